"""The prediction log: every prediction, and which drift checks are due, in one database.

A prediction exists once it is in the log. Its row, the count of its model and the drift check that falls due
with it are one transaction, so every full hundred of production predictions gets exactly one check, whatever
the number of workers and whenever they die.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import OperationalError

from creditrisk.errors import LogError
from creditrisk.serving.database import (
    UtcTime,
    migrate,
    open_engine,
    parse_url,
    readable_errors,
    require_head,
    shown,
)

__all__ = ["AppendResult", "Check", "PredictionLog", "PredictionRecord", "ReportRecord", "migrate"]

PURPOSES = ("production", "file", "what_if", "shadow", "backfill")
SOURCES = ("api", "page", "file")
TRIGGERS = ("automatic", "file", "notebook")
MAX_ATTEMPTS = 5
RACES = 20  # times an append may lose to another process before giving up
DEADLOCK = ("40P01", "40001")  # PostgreSQL has rolled this transaction back to let another one through
CHUNK = 5_000

METADATA = sa.MetaData(naming_convention={"pk": "pk_%(table_name)s", "uq": "uq_%(table_name)s_%(column_0_name)s"})
BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")  # only INTEGER counts up by itself in SQLite
JSON = sa.JSON(none_as_null=True)

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
    sa.Index("ix_predictions_created_at", "created_at"),
    sa.Index("ix_predictions_model_sequence", "model_version", "model_sha256", "sequence"),
    sa.Index("ix_predictions_model_id", "model_version", "model_sha256", "id"),
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
    sqlite_autoincrement=True,
)


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class PredictionRecord:
    """One prediction on its way into the log.

    `inputs` is the request as received, `features` what the model saw before encoding (missing values None or
    NaN), `pd` a probability 0..1. Two records with one `dedupe_key` are one prediction: the first stays. A
    record that no database would take raises LogError here, where it cannot spoil a batch of others.
    """

    model_version: str
    model_sha256: str
    portfolio: str
    purpose: str
    source: str
    inputs: dict[str, Any] | None
    features: dict[str, Any] | None
    pd: float
    score: int
    rating: str
    reasons: list[Any] | None = None
    grade: str | None = None
    points: int | None = None
    application_id: str | None = None
    dedupe_key: str | None = None
    run: str | None = None
    prediction_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    created_at: datetime = field(default_factory=_now)

    def __post_init__(self) -> None:
        _one_of("purpose", self.purpose, PURPOSES)
        _one_of("source", self.source, SOURCES)
        if not 0 <= self.pd <= 1:
            raise LogError(f"prediction {self.prediction_id}: pd={self.pd!r} is not a probability between 0 and 1")
        if self.created_at.tzinfo is None:
            raise LogError(f"prediction {self.prediction_id}: created_at has no time zone; use datetime.now(UTC)")
        for name in _TEXTS:
            value = getattr(self, name)
            if value is not None and not _storable(value):
                raise LogError(f"prediction {self.prediction_id}: {name}={value!r} is not a text a database can hold")


_TEXTS = (
    "prediction_id",
    "application_id",
    "dedupe_key",
    "run",
    "model_version",
    "model_sha256",
    "portfolio",
    "rating",
    "grade",
)
_COLUMNS = tuple(item.name for item in fields(PredictionRecord))


@dataclass(frozen=True)
class AppendResult:
    """Per record, in order: the id under which the prediction is stored, and whether this call stored it."""

    prediction_ids: list[str]
    inserted: list[bool]


@dataclass(frozen=True)
class Check:
    """A drift check that a worker has claimed: production predictions first..last_sequence of one model."""

    model_version: str
    model_sha256: str
    bucket: int
    first_sequence: int
    last_sequence: int
    attempts: int
    owner: str
    lease_until: datetime

    @property
    def window_key(self) -> str:
        return f"bucket-{self.bucket}"


@dataclass(frozen=True)
class ReportRecord:
    """The outcome of a drift check. `n` rows were compared; `flagged` columns had drifted."""

    n: int
    status: str
    flagged: int
    report: dict[str, Any]
    first_prediction: int | None = None
    last_prediction: int | None = None
    created_at: datetime = field(default_factory=_now)


class _Raced(LogError):
    """Another transaction got there first; nothing was stored and trying again is right."""


class PredictionLog:
    """The log behind one URL, safe to share between threads; every process opens its own.

    `period` is the number of production predictions per automatic drift check of a model. Every method raises
    LogError when the database cannot be reached; run `migrate(url)` once before the first use.
    """

    def __init__(self, url: str, period: int = 100) -> None:
        self.url = parse_url(url)
        self.period = _positive("period", period)
        self._writer = open_engine(self.url)
        self._reader = open_engine(self.url, read_only=True)
        self._insert = sqlite.insert if self.url.get_backend_name() == "sqlite" else postgresql.insert

    def close(self) -> None:
        """Give all connections back."""
        self._writer.dispose()
        self._reader.dispose()

    def ping(self) -> None:
        """Raise LogError unless the database answers."""
        self._read(sa.select(sa.literal(1)))

    def check_schema(self) -> None:
        """Raise LogError, with what to run, unless the database has the schema of this version."""
        require_head(self.url, self._reader)

    # Writing predictions

    def append(self, records: Sequence[PredictionRecord]) -> AppendResult:
        """Store all records, count new production ones and schedule checks that fall due: all or nothing.

        Raises LogError when a prediction_id is already taken by another prediction.
        """
        if not records:
            return AppendResult([], [])
        for _ in range(RACES):
            try:
                with self._write() as connection:
                    return self._append(connection, records)
            except _Raced:
                continue
        raise LogError(f"prediction log {shown(self.url)}: other writers keep sending the same dedupe keys; send again")

    def _append(self, connection: sa.Connection, records: Sequence[PredictionRecord]) -> AppendResult:
        counted = {_model(record) for record in records if record.purpose == "production"}
        # Locked in one order, so that two writers with the same models cannot wait for each other.
        counters = {model: self._lock_counter(connection, model) for model in sorted(counted)}
        last = {model: n for model, (n, _) in counters.items()}
        keys = [record.dedupe_key for record in records if record.dedupe_key is not None]
        stored = self._stored_ids(connection, keys)
        ids, inserted, rows = [], [], []
        for record in records:
            known = stored.get(record.dedupe_key) if record.dedupe_key is not None else None
            ids.append(known or record.prediction_id)
            inserted.append(known is None)
            if known is not None:
                continue
            row = {name: getattr(record, name) for name in _COLUMNS}
            row |= {"pd": float(record.pd), "score": int(record.score), "sequence": None}
            row["points"] = None if record.points is None else int(record.points)
            if record.purpose == "production":
                row["sequence"] = last[_model(record)] = last[_model(record)] + 1
            if record.dedupe_key is not None:
                stored[record.dedupe_key] = record.prediction_id
            rows.append(row)
        self._insert_rows(connection, rows)
        for model, (_, scheduled) in counters.items():
            self._count(connection, model, last[model], scheduled)
        return AppendResult(ids, inserted)

    def _lock_counter(self, connection: sa.Connection, model: tuple[str, str]) -> tuple[int, int]:
        """The model's count and how much of it is scheduled; no other writer of this model gets past here."""
        statement = self._insert(COUNTERS).values(**_of(model), n=0, scheduled=0)
        statement = statement.on_conflict_do_update(
            index_elements=[COUNTERS.c.model_version, COUNTERS.c.model_sha256], set_={"n": COUNTERS.c.n}
        ).returning(COUNTERS.c.n, COUNTERS.c.scheduled)
        return tuple(connection.execute(statement).one())

    def _stored_ids(self, connection: sa.Connection, keys: list[str]) -> dict[str, str]:
        found: dict[str, str] = {}
        columns = sa.select(PREDICTIONS.c.dedupe_key, PREDICTIONS.c.prediction_id)
        for start in range(0, len(keys), CHUNK):
            chosen = columns.where(PREDICTIONS.c.dedupe_key.in_(keys[start : start + CHUNK]))
            found.update((key, prediction_id) for key, prediction_id in connection.execute(chosen))
        return found

    def _insert_rows(self, connection: sa.Connection, rows: list[dict[str, Any]]) -> None:
        statement = self._insert(PREDICTIONS).on_conflict_do_nothing(index_elements=[PREDICTIONS.c.dedupe_key])
        statement = statement.execution_options(preserve_rowcount=True)
        for start in range(0, len(rows), CHUNK):
            chunk = rows[start : start + CHUNK]
            # On PostgreSQL another transaction may have stored a key since it was looked up: start again.
            if connection.execute(statement, chunk).rowcount != len(chunk):
                raise _Raced("a dedupe key was stored by another writer meanwhile")

    def _count(self, connection: sa.Connection, model: tuple[str, str], n: int, scheduled: int) -> None:
        due = range(scheduled + self.period, n + 1, self.period)
        if due:
            newest = sa.select(sa.func.max(CHECKS.c.bucket)).where(_is(CHECKS, model))
            bucket = connection.execute(newest).scalar() or 0
            checks = [
                {
                    **_of(model),
                    "bucket": bucket + number,
                    "first_sequence": last - self.period + 1,
                    "last_sequence": last,
                    "created_at": _now(),
                    "status": "pending",
                    "attempts": 0,
                }
                for number, last in enumerate(due, start=1)
            ]
            connection.execute(sa.insert(CHECKS), checks)
            scheduled = due[-1]
        connection.execute(sa.update(COUNTERS).where(_is(COUNTERS, model)).values(n=n, scheduled=scheduled))

    # Drift checks

    def claim_check(self, owner: str, lease_seconds: float = 60) -> Check | None:
        """Take the oldest check that is pending or whose worker let its lease run out; None without one.

        A check that was claimed 5 times without a report is marked failed instead of being handed out again.
        """
        now = _now()
        expired = (CHECKS.c.status == "running") & (CHECKS.c.lease_until < now)
        spent = CHECKS.c.attempts >= MAX_ATTEMPTS
        oldest = (
            sa.select(CHECKS)
            .where((CHECKS.c.status == "pending") | (expired & ~spent))
            .order_by(CHECKS.c.created_at, CHECKS.c.model_version, CHECKS.c.model_sha256, CHECKS.c.bucket)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        if not self._read(sa.select(CHECKS.c.bucket).where((CHECKS.c.status == "pending") | expired).limit(1)):
            return None  # the usual answer, found without the write lock
        with self._write() as connection:
            given_up = {
                "status": "failed",
                "error": f"no report in {MAX_ATTEMPTS} attempts: the worker died or hung",
            }
            connection.execute(sa.update(CHECKS).where(expired & spent).values(**given_up))
            row = connection.execute(oldest).mappings().one_or_none()
            if row is None:
                return None
            claim = {
                "owner": owner,
                "lease_until": now + timedelta(seconds=lease_seconds),
                "attempts": row["attempts"] + 1,
            }
            this = _is(CHECKS, (row["model_version"], row["model_sha256"])) & (CHECKS.c.bucket == row["bucket"])
            connection.execute(sa.update(CHECKS).where(this).values(status="running", **claim))
            return Check(**{item.name: {**row, **claim}[item.name] for item in fields(Check)})

    def rows_of_check(self, check: Check) -> list[dict[str, Any]]:
        """The predictions that the check covers, oldest first."""
        covered = PREDICTIONS.c.sequence.between(check.first_sequence, check.last_sequence)
        model = (check.model_version, check.model_sha256)
        return self._read(
            sa.select(PREDICTIONS).where(_is(PREDICTIONS, model) & covered).order_by(PREDICTIONS.c.sequence)
        )

    def finish_check(self, check: Check, report: ReportRecord) -> int:
        """Store the check's report and mark the check done, in one transaction; returns the id of the report.

        May be called again, by the same or a later worker: the first report stays and its id is returned.
        """
        model = (check.model_version, check.model_sha256)
        covered = PREDICTIONS.c.sequence.between(check.first_sequence, check.last_sequence)
        ends = sa.select(sa.func.min(PREDICTIONS.c.id), sa.func.max(PREDICTIONS.c.id))
        with self._write() as connection:
            first, last = connection.execute(ends.where(_is(PREDICTIONS, model) & covered)).one()
            place = {"first_prediction": first, "last_prediction": last}
            values = {**_values(report), **place}
            report_id = self._store_report(connection, model, "automatic", check.window_key, values)
            this = _is(CHECKS, model) & (CHECKS.c.bucket == check.bucket) & (CHECKS.c.status != "done")
            done = {"status": "done", "lease_until": None, "error": None, **place}
            connection.execute(sa.update(CHECKS).where(this).values(**done))
            return report_id

    def fail_check(self, check: Check, error: str) -> None:
        """Put a check back to be tried again, or mark it failed at its 5th attempt.

        Does nothing when the check has been taken over by another worker or finished in the meantime.
        """
        this = _is(CHECKS, (check.model_version, check.model_sha256)) & (CHECKS.c.bucket == check.bucket)
        mine = (CHECKS.c.status == "running") & (CHECKS.c.attempts == check.attempts)
        status = "failed" if check.attempts >= MAX_ATTEMPTS else "pending"
        with self._write() as connection:
            values = {"status": status, "error": error, "lease_until": None}
            connection.execute(sa.update(CHECKS).where(this & mine).values(**values))

    def store_report(
        self, report: ReportRecord, *, model_version: str, model_sha256: str, trigger: str, window_key: str
    ) -> int:
        """Store a drift report that was asked for (trigger file or notebook); returns its id.

        The same model, trigger and window is the same report: the first one stays and its id is returned.
        """
        _one_of("trigger", trigger, TRIGGERS)
        with self._write() as connection:
            model = (model_version, model_sha256)
            return self._store_report(connection, model, trigger, window_key, _values(report))

    def _store_report(
        self,
        connection: sa.Connection,
        model: tuple[str, str],
        trigger: str,
        window_key: str,
        values: dict[str, Any],
    ) -> int:
        key = [REPORTS.c.model_version, REPORTS.c.model_sha256, REPORTS.c.trigger, REPORTS.c.window_key]
        row = {**_of(model), "trigger": trigger, "window_key": window_key, **values}
        connection.execute(self._insert(REPORTS).values(row).on_conflict_do_nothing(index_elements=key))
        this = _is(REPORTS, model) & (REPORTS.c.trigger == trigger) & (REPORTS.c.window_key == window_key)
        return connection.execute(sa.select(REPORTS.c.id).where(this)).scalar_one()

    # Reading

    def predictions(
        self,
        limit: int = 100,
        before_id: int | None = None,
        model_version: str | None = None,
        model_sha256: str | None = None,
        purpose: str | None = None,
        newest_first: bool = True,
        after_id: int | None = None,
    ) -> list[dict[str, Any]]:
        """Up to `limit` predictions as dicts of all columns, by id.

        For the next page pass the last id seen, as `before_id` (newest first) or `after_id` (oldest first).
        """
        wanted = {"model_version": model_version, "model_sha256": model_sha256, "purpose": purpose}
        return self._page(PREDICTIONS, limit, before_id, after_id, newest_first, wanted)

    def prediction(self, prediction_id: str) -> dict[str, Any] | None:
        """One prediction as a dict of all columns; None when there is none with this id."""
        found = self._read(sa.select(PREDICTIONS).where(PREDICTIONS.c.prediction_id == prediction_id))
        return found[0] if found else None

    def reports(
        self,
        limit: int = 100,
        before_id: int | None = None,
        model_version: str | None = None,
        model_sha256: str | None = None,
    ) -> list[dict[str, Any]]:
        """Up to `limit` drift reports as dicts of all columns, newest first; pages as in `predictions`."""
        wanted = {"model_version": model_version, "model_sha256": model_sha256}
        return self._page(REPORTS, limit, before_id, None, True, wanted)

    def window(
        self, model_version: str, model_sha256: str, n: int, purposes: Sequence[str] = ("production",)
    ) -> list[dict[str, Any]]:
        """The last `n` predictions of one model with one of the `purposes`, oldest first."""
        for purpose in purposes:
            _one_of("purpose", purpose, PURPOSES)
        chosen = _is(PREDICTIONS, (model_version, model_sha256)) & PREDICTIONS.c.purpose.in_(purposes)
        newest = sa.select(PREDICTIONS).where(chosen).order_by(PREDICTIONS.c.id.desc()).limit(_positive("n", n))
        return self._read(newest)[::-1]

    def counts(self) -> dict[str, Any]:
        """How much there is: predictions by purpose, counters by model, checks by status, reports."""
        with readable_errors(self.url), self._reader.connect() as connection:
            purposes = connection.execute(_tally(PREDICTIONS.c.purpose)).all()
            checks = connection.execute(_tally(CHECKS.c.status)).all()
            reports = connection.execute(sa.select(sa.func.count()).select_from(REPORTS)).scalar_one()
            models = connection.execute(sa.select(COUNTERS).order_by(*COUNTERS.primary_key)).mappings().all()
        return {
            "predictions": sum(n for _, n in purposes),
            "by_purpose": {purpose: n for purpose, n in purposes},
            "models": [dict(model) for model in models],
            "checks": {"pending": 0, "running": 0, "done": 0, "failed": 0} | {status: n for status, n in checks},
            "reports": reports,
        }

    def _page(
        self,
        table: sa.Table,
        limit: int,
        before_id: int | None,
        after_id: int | None,
        newest_first: bool,
        wanted: dict[str, str | None],
    ) -> list[dict[str, Any]]:
        query = sa.select(table).order_by(table.c.id.desc() if newest_first else table.c.id)
        query = query.limit(_positive("limit", limit))
        for name, value in wanted.items():
            if value is not None:
                query = query.where(table.c[name] == value)
        if before_id is not None:
            query = query.where(table.c.id < before_id)
        if after_id is not None:
            query = query.where(table.c.id > after_id)
        return self._read(query)

    def _read(self, query: sa.Select) -> list[dict[str, Any]]:
        with readable_errors(self.url), self._reader.connect() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    @contextmanager
    def _write(self) -> Iterator[sa.Connection]:
        with readable_errors(self.url):
            try:
                with self._writer.begin() as connection:
                    yield connection
            except OperationalError as error:
                if getattr(error.orig, "sqlstate", None) in DEADLOCK:
                    raise _Raced(f"prediction log {shown(self.url)}: two writers waited for each other") from error
                raise


def _one_of(name: str, value: str, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise LogError(f"{name}={value!r} is unknown; use one of {', '.join(allowed)}")


def _positive(name: str, value: int) -> int:
    if value < 1:
        raise LogError(f"{name}={value}: give a number of 1 or more")
    return value


def _storable(text: str) -> bool:
    if not isinstance(text, str) or "\0" in text:
        return False
    return text.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in text)


def _model(record: PredictionRecord) -> tuple[str, str]:
    return record.model_version, record.model_sha256


def _of(model: tuple[str, str]) -> dict[str, str]:
    return {"model_version": model[0], "model_sha256": model[1]}


def _is(table: sa.Table, model: tuple[str, str]) -> sa.ColumnElement[bool]:
    return (table.c.model_version == model[0]) & (table.c.model_sha256 == model[1])


def _values(report: ReportRecord) -> dict[str, Any]:
    return {item.name: getattr(report, item.name) for item in fields(report)}


def _tally(column: sa.Column) -> sa.Select:
    return sa.select(column, sa.func.count()).group_by(column)
