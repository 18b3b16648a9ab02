"""The first schema: predictions, their counters, drift checks and drift reports.

Types are spelled out and not taken from the code, so that this step means the same in every later version.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "predictions",
        sa.Column("id", BIG, nullable=False),
        sa.Column("prediction_id", sa.Text(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("model_version", sa.Text(), nullable=False),
        sa.Column("model_sha256", sa.Text(), nullable=False),
        sa.Column("sequence", BIG),
        sa.Column("portfolio", sa.Text(), nullable=False),
        sa.Column("application_id", sa.Text()),
        sa.Column("dedupe_key", sa.Text()),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("run", sa.Text()),
        sa.Column("inputs", sa.JSON()),
        sa.Column("features", sa.JSON()),
        sa.Column("pd", sa.Double(), nullable=False),
        sa.Column("score", sa.Integer(), nullable=False),
        sa.Column("rating", sa.Text(), nullable=False),
        sa.Column("reasons", sa.JSON()),
        sa.PrimaryKeyConstraint("id", name="pk_predictions"),
        sa.UniqueConstraint("prediction_id", name="uq_predictions_prediction_id"),
        sa.UniqueConstraint("dedupe_key", name="uq_predictions_dedupe_key"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_predictions_created_at", "predictions", ["created_at"])
    op.create_index("ix_predictions_model_sequence", "predictions", ["model_version", "model_sha256", "sequence"])
    op.create_index("ix_predictions_model_id", "predictions", ["model_version", "model_sha256", "id"])
    op.create_table(
        "prediction_counters",
        sa.Column("model_version", sa.Text(), nullable=False),
        sa.Column("model_sha256", sa.Text(), nullable=False),
        sa.Column("n", BIG, nullable=False),
        sa.Column("scheduled", BIG, nullable=False),
        sa.PrimaryKeyConstraint("model_version", "model_sha256", name="pk_prediction_counters"),
    )
    op.create_table(
        "drift_checks",
        sa.Column("model_version", sa.Text(), nullable=False),
        sa.Column("model_sha256", sa.Text(), nullable=False),
        sa.Column("bucket", BIG, nullable=False),
        sa.Column("first_sequence", BIG, nullable=False),
        sa.Column("last_sequence", BIG, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text()),
        sa.Column("lease_until", MOMENT),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("error", sa.Text()),
        sa.Column("first_prediction", BIG),
        sa.Column("last_prediction", BIG),
        sa.PrimaryKeyConstraint("model_version", "model_sha256", "bucket", name="pk_drift_checks"),
    )
    op.create_index("ix_drift_checks_status", "drift_checks", ["status", "created_at"])
    op.create_table(
        "drift_reports",
        sa.Column("id", BIG, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("model_version", sa.Text(), nullable=False),
        sa.Column("model_sha256", sa.Text(), nullable=False),
        sa.Column("trigger", sa.Text(), nullable=False),
        sa.Column("window_key", sa.Text(), nullable=False),
        sa.Column("first_prediction", BIG),
        sa.Column("last_prediction", BIG),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("flagged", sa.Integer(), nullable=False),
        sa.Column("report", sa.JSON()),
        sa.PrimaryKeyConstraint("id", name="pk_drift_reports"),
        sa.UniqueConstraint("model_version", "model_sha256", "trigger", "window_key", name="uq_drift_reports_window"),
        sqlite_autoincrement=True,
    )


def downgrade() -> None:
    for table in ("drift_reports", "drift_checks", "prediction_counters", "predictions"):
        op.drop_table(table)
