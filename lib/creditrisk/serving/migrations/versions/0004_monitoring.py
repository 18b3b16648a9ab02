"""Alerts and reports on outcomes; verdicts on drift get the words that they have since there is more than one test."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT = sa.DateTime(timezone=True)
WORDS = {"ok": "green", "drift": "red"}


def upgrade() -> None:
    op.create_table(
        "alerts",
        sa.Column("id", BIG, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("model_version", sa.Text(), nullable=False),
        sa.Column("model_sha256", sa.Text(), nullable=False),
        sa.Column("status_before", sa.Text()),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("lease_until", MOMENT),
        sa.Column("owner", sa.Text()),
        sa.Column("sent_at", MOMENT),
        sa.Column("delivered", sa.JSON()),
        sa.Column("error", sa.Text()),
        sa.PrimaryKeyConstraint("id", name="pk_alerts"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_alerts_subject", "alerts", ["subject", "id"])
    op.create_index("ix_alerts_state", "alerts", ["state", "id"])
    op.create_table(
        "outcome_reports",
        sa.Column("id", BIG, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("model_version", sa.Text(), nullable=False),
        sa.Column("model_sha256", sa.Text(), nullable=False),
        sa.Column("window_key", sa.Text(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("report", sa.JSON()),
        sa.PrimaryKeyConstraint("id", name="pk_outcome_reports"),
        sa.UniqueConstraint("model_version", "model_sha256", "window_key", name="uq_outcome_reports_window"),
        sqlite_autoincrement=True,
    )
    for before, now in WORDS.items():
        op.execute(
            sa.text("UPDATE drift_reports SET status = :now WHERE status = :old").bindparams(now=now, old=before)
        )


def downgrade() -> None:
    for before, now in (("drift", "amber"), *WORDS.items()):
        op.execute(
            sa.text("UPDATE drift_reports SET status = :old WHERE status = :now").bindparams(now=now, old=before)
        )
    op.drop_table("outcome_reports")
    op.drop_table("alerts")
