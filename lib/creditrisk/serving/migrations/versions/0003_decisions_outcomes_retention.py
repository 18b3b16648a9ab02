"""Decisions, outcomes, idempotency keys and retention; a drift check that failed waits before it is tried again.

Predictions made before have no caller, latency, decision or policy: nobody knows them any more. The index by time gets
the id behind it, so that a purge and an export walk through equal times in one order. Those by model lose the model's
hash: it hardly narrows anything that the version has not, and was most of what a transaction had to write.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT = sa.DateTime(timezone=True)
ADDED = (
    ("caller", sa.Text()),
    ("latency_ms", sa.Double()),
    ("decision", sa.Text()),
    ("policy", sa.Text()),
    ("idempotency_key", sa.Text()),
)
TABLES = ("outcomes", "decisions", "legal_holds", "log_entries")


def _present(name: str, columns: list[str], unique: bool = False) -> None:
    only = sa.text(f"{columns[0]} IS NOT NULL")
    op.create_index(name, "predictions", columns, unique=unique, sqlite_where=only, postgresql_where=only)


def upgrade() -> None:
    for name, kind in ADDED:
        op.add_column("predictions", sa.Column(name, kind))
    op.add_column("drift_checks", sa.Column("not_before", MOMENT))
    op.drop_index("ix_predictions_created_at", table_name="predictions")
    op.create_index("ix_predictions_created_at", "predictions", ["created_at", "id"])
    for name in ("sequence", "id"):
        op.drop_index(f"ix_predictions_model_{name}", table_name="predictions")
        op.create_index(f"ix_predictions_version_{name}", "predictions", ["model_version", name])
    op.create_index("ix_predictions_purpose", "predictions", ["purpose", "id"])
    op.create_index("ix_predictions_rating", "predictions", ["rating", "id"])
    _present("ix_predictions_decision", ["decision", "id"])
    _present("ix_predictions_application", ["application_id", "id"])
    _present("uq_predictions_idempotency_key", ["idempotency_key"], unique=True)
    op.create_index("ix_drift_reports_created_at", "drift_reports", ["created_at"])
    op.create_table(
        "outcomes",
        sa.Column("id", BIG, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("prediction_id", sa.Text(), nullable=False),
        sa.Column("observed_at", MOMENT, nullable=False),
        sa.Column("bad", sa.Integer(), nullable=False),
        sa.Column("source", sa.Text()),
        sa.Column("caller", sa.Text()),
        sa.PrimaryKeyConstraint("id", name="pk_outcomes"),
        sa.UniqueConstraint("prediction_id", "observed_at", "bad", name="uq_outcomes_report"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_outcomes_observed_at", "outcomes", ["observed_at", "id"])
    op.create_table(
        "decisions",
        sa.Column("id", BIG, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("prediction_id", sa.Text(), nullable=False),
        sa.Column("decision", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("decided_by", sa.Text(), nullable=False),
        sa.Column("caller", sa.Text()),
        sa.PrimaryKeyConstraint("id", name="pk_decisions"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_decisions_prediction", "decisions", ["prediction_id", "id"])
    op.create_table(
        "legal_holds",
        sa.Column("id", BIG, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("prediction_id", sa.Text()),
        sa.Column("application_id", sa.Text()),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("held_by", sa.Text(), nullable=False),
        sa.Column("released_at", MOMENT),
        sa.Column("released_by", sa.Text()),
        sa.PrimaryKeyConstraint("id", name="pk_legal_holds"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_legal_holds_prediction", "legal_holds", ["prediction_id"])
    op.create_index("ix_legal_holds_application", "legal_holds", ["application_id"])
    op.create_table(
        "log_entries",
        sa.Column("id", BIG, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("done_by", sa.Text(), nullable=False),
        sa.Column("parameters", sa.JSON()),
        sa.Column("rows", BIG, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_log_entries"),
        sqlite_autoincrement=True,
    )


def downgrade() -> None:
    for table in reversed(TABLES):
        op.drop_table(table)
    op.drop_index("ix_drift_reports_created_at", table_name="drift_reports")
    for name in ("purpose", "rating", "decision", "application"):
        op.drop_index(f"ix_predictions_{name}", table_name="predictions")
    op.drop_index("uq_predictions_idempotency_key", table_name="predictions")
    op.drop_index("ix_predictions_created_at", table_name="predictions")
    op.create_index("ix_predictions_created_at", "predictions", ["created_at"])
    for name in ("sequence", "id"):
        op.drop_index(f"ix_predictions_version_{name}", table_name="predictions")
        op.create_index(f"ix_predictions_model_{name}", "predictions", ["model_version", "model_sha256", name])
    op.drop_column("drift_checks", "not_before")
    for name, _ in reversed(ADDED):
        op.drop_column("predictions", name)
