"""The tables of the prediction log. Migrations bring a database to them; a test holds the two against each other."""

from __future__ import annotations

from datetime import UTC, datetime

import sqlalchemy as sa

from creditrisk.errors import LogError


class UtcTime(sa.TypeDecorator):
    """A moment. Takes aware datetimes only and always gives aware UTC back, whatever the database keeps."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise LogError(f"the time {value.isoformat()} has no time zone; use datetime.now(UTC)")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


METADATA = sa.MetaData(naming_convention={"pk": "pk_%(table_name)s", "uq": "uq_%(table_name)s_%(column_0_name)s"})
BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")  # only INTEGER counts up by itself in SQLite
JSON = sa.JSON(none_as_null=True)


def _present(name: str, *columns: str, unique: bool = False) -> sa.Index:
    """An index of the rows that have the first column, so that the others cost nothing."""
    only = sa.text(f"{columns[0]} IS NOT NULL")
    return sa.Index(name, *columns, unique=unique, sqlite_where=only, postgresql_where=only)


PREDICTIONS = sa.Table(
    "predictions",
    METADATA,
    sa.Column("id", BIG, primary_key=True),
    sa.Column("prediction_id", sa.Text, nullable=False, unique=True),
    sa.Column("created_at", UtcTime, nullable=False),
    sa.Column("model_version", sa.Text, nullable=False),
    sa.Column("model_sha256", sa.Text, nullable=False),
    sa.Column("sequence", BIG),  # running number among the model's production predictions
    sa.Column("portfolio", sa.Text, nullable=False),
    sa.Column("application_id", sa.Text),
    sa.Column("dedupe_key", sa.Text, unique=True),
    sa.Column("purpose", sa.Text, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("run", sa.Text),
    sa.Column("inputs", JSON),
    sa.Column("features", JSON),
    sa.Column("pd", sa.Double, nullable=False),
    sa.Column("score", sa.Integer, nullable=False),
    sa.Column("rating", sa.Text, nullable=False),
    sa.Column("reasons", JSON),
    sa.Column("grade", sa.Text),  # on the master scale; null without one
    sa.Column("points", sa.Integer),  # of a scorecard; null for trees
    sa.Column("caller", sa.Text),  # name of the API key
    sa.Column("latency_ms", sa.Double),  # from the request's arrival to its transaction
    sa.Column("decision", sa.Text),  # of the policy; what a person decided instead is in decisions
    sa.Column("policy", sa.Text),
    sa.Column("idempotency_key", sa.Text),
    sa.Index("ix_predictions_created_at", "created_at", "id"),
    # Without the model's hash: a version has hardly more than one, and short entries are what a transaction costs.
    sa.Index("ix_predictions_version_sequence", "model_version", "sequence"),
    sa.Index("ix_predictions_version_id", "model_version", "id"),
    sa.Index("ix_predictions_purpose", "purpose", "id"),
    sa.Index("ix_predictions_rating", "rating", "id"),
    _present("ix_predictions_decision", "decision", "id"),
    _present("ix_predictions_application", "application_id", "id"),
    _present("uq_predictions_idempotency_key", "idempotency_key", unique=True),
    sqlite_autoincrement=True,
)
COUNTERS = sa.Table(
    "prediction_counters",
    METADATA,
    sa.Column("model_version", sa.Text, primary_key=True),
    sa.Column("model_sha256", sa.Text, primary_key=True),
    sa.Column("n", BIG, nullable=False),
    sa.Column("scheduled", BIG, nullable=False),  # how many of the n lie in a scheduled check
)
CHECKS = sa.Table(
    "drift_checks",
    METADATA,
    sa.Column("model_version", sa.Text, primary_key=True),
    sa.Column("model_sha256", sa.Text, primary_key=True),
    sa.Column("bucket", BIG, primary_key=True, autoincrement=False),
    sa.Column("first_sequence", BIG, nullable=False),  # kept per check: the period may change between runs
    sa.Column("last_sequence", BIG, nullable=False),
    sa.Column("created_at", UtcTime, nullable=False),
    sa.Column("status", sa.Text, nullable=False),  # pending, running, done, failed
    sa.Column("owner", sa.Text),
    sa.Column("lease_until", UtcTime),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("error", sa.Text),
    sa.Column("first_prediction", BIG),
    sa.Column("last_prediction", BIG),
    sa.Column("not_before", UtcTime),  # a check that failed waits until then
    sa.Index("ix_drift_checks_status", "status", "created_at"),
)
REPORTS = sa.Table(
    "drift_reports",
    METADATA,
    sa.Column("id", BIG, primary_key=True),
    sa.Column("created_at", UtcTime, nullable=False),
    sa.Column("model_version", sa.Text, nullable=False),
    sa.Column("model_sha256", sa.Text, nullable=False),
    sa.Column("trigger", sa.Text, nullable=False),
    sa.Column("window_key", sa.Text, nullable=False),
    sa.Column("first_prediction", BIG),
    sa.Column("last_prediction", BIG),
    sa.Column("n", sa.Integer, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("flagged", sa.Integer, nullable=False),
    sa.Column("report", JSON),
    sa.UniqueConstraint("model_version", "model_sha256", "trigger", "window_key", name="uq_drift_reports_window"),
    sa.Index("ix_drift_reports_created_at", "created_at"),
    sqlite_autoincrement=True,
)
OUTCOME_REPORTS = sa.Table(
    "outcome_reports",
    METADATA,
    sa.Column("id", BIG, primary_key=True),
    sa.Column("created_at", UtcTime, nullable=False),
    sa.Column("model_version", sa.Text, nullable=False),
    sa.Column("model_sha256", sa.Text, nullable=False),
    sa.Column("window_key", sa.Text, nullable=False),  # as of which day, by what, of how many months
    sa.Column("n", sa.Integer, nullable=False),  # predictions whose outcomes were judged
    sa.Column("verdict", sa.Text, nullable=False),
    sa.Column("report", JSON),
    sa.UniqueConstraint("model_version", "model_sha256", "window_key", name="uq_outcome_reports_window"),
    sqlite_autoincrement=True,
)
OUTCOMES = sa.Table(
    "outcomes",
    METADATA,
    sa.Column("id", BIG, primary_key=True),
    sa.Column("created_at", UtcTime, nullable=False),
    sa.Column("prediction_id", sa.Text, nullable=False),
    sa.Column("observed_at", UtcTime, nullable=False),
    sa.Column("bad", sa.Integer, nullable=False),
    sa.Column("source", sa.Text),
    sa.Column("caller", sa.Text),
    sa.UniqueConstraint("prediction_id", "observed_at", "bad", name="uq_outcomes_report"),
    sa.Index("ix_outcomes_observed_at", "observed_at", "id"),
    sqlite_autoincrement=True,
)
DECISIONS = sa.Table(
    "decisions",
    METADATA,
    sa.Column("id", BIG, primary_key=True),
    sa.Column("created_at", UtcTime, nullable=False),
    sa.Column("prediction_id", sa.Text, nullable=False),
    sa.Column("decision", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("decided_by", sa.Text, nullable=False),
    sa.Column("caller", sa.Text),
    sa.Index("ix_decisions_prediction", "prediction_id", "id"),
    sqlite_autoincrement=True,
)
HOLDS = sa.Table(
    "legal_holds",
    METADATA,
    sa.Column("id", BIG, primary_key=True),
    sa.Column("created_at", UtcTime, nullable=False),
    sa.Column("prediction_id", sa.Text),
    sa.Column("application_id", sa.Text),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("held_by", sa.Text, nullable=False),
    sa.Column("released_at", UtcTime),
    sa.Column("released_by", sa.Text),
    sa.Index("ix_legal_holds_prediction", "prediction_id"),
    sa.Index("ix_legal_holds_application", "application_id"),
    sqlite_autoincrement=True,
)
ENTRIES = sa.Table(
    "log_entries",
    METADATA,
    sa.Column("id", BIG, primary_key=True),
    sa.Column("created_at", UtcTime, nullable=False),
    sa.Column("action", sa.Text, nullable=False),  # export, purge, hold, release
    sa.Column("done_by", sa.Text, nullable=False),
    sa.Column("parameters", JSON),
    sa.Column("rows", BIG, nullable=False),  # predictions exported, deleted, held or released
    sqlite_autoincrement=True,
)
ALERTS = sa.Table(
    "alerts",
    METADATA,
    sa.Column("id", BIG, primary_key=True),
    sa.Column("created_at", UtcTime, nullable=False),
    sa.Column("subject", sa.Text, nullable=False),  # what changed, as in drift:v2
    sa.Column("model_version", sa.Text, nullable=False),
    sa.Column("model_sha256", sa.Text, nullable=False),
    sa.Column("status_before", sa.Text),  # null for the first of a subject
    sa.Column("status", sa.Text, nullable=False),  # green, amber, red, insufficient data
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),  # pending, sent, held, failed, dropped
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("lease_until", UtcTime),  # a pending one belongs to its owner, or waits, until then
    sa.Column("owner", sa.Text),
    sa.Column("sent_at", UtcTime),  # when the first receiver had it
    sa.Column("delivered", JSON),  # names of the receivers that have it
    sa.Column("error", sa.Text),
    sa.Index("ix_alerts_subject", "subject", "id"),
    sa.Index("ix_alerts_state", "state", "id"),
    sqlite_autoincrement=True,
)
