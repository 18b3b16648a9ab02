"""The prediction log: every prediction, what came of it, and which drift checks are due, in one database.

A prediction exists once it is in the log. Its row, the count of its model and the drift check that falls due
with it are one transaction, so every full hundred of production predictions gets exactly one check, whatever
the number of workers and whenever they die.
"""

from __future__ import annotations

import heapq
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import fields
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError, OperationalError

from creditrisk.errors import LogError
from creditrisk.serving.database import (
    BUSY_SECONDS,
    READ_SECONDS,
    Prepared,
    Turns,
    migrate,
    open_engine,
    parse_url,
    readable_errors,
    require_head,
    shown,
    to_json,
)
from creditrisk.serving.records import (
    COLUMNS,
    OUTCOME_STATUSES,
    PURPOSES,
    TRIGGERS,
    AppendResult,
    Check,
    DecisionRecord,
    OutcomeRecord,
    OutcomeResult,
    PredictionRecord,
    ReportRecord,
    now,
    one_of,
    positive,
)
from creditrisk.serving.schema import (
    CHECKS,
    COUNTERS,
    DECISIONS,
    HOLDS,
    METADATA,
    OUTCOME_REPORTS,
    OUTCOMES,
    PREDICTIONS,
    REPORTS,
    UtcTime,
)

__all__ = [
    "CHECKS",
    "METADATA",
    "PREDICTIONS",
    "AppendResult",
    "Check",
    "DecisionRecord",
    "OutcomeRecord",
    "OutcomeResult",
    "PredictionLog",
    "PredictionRecord",
    "ReportRecord",
    "migrate",
]

MAX_ATTEMPTS = 5
BACK_OFF = (5, 30, 120, 600)
"""Seconds that a check waits after its first, second, ... failure."""
RACES = 20  # times an append may lose to another process before giving up
DEADLOCK = ("40P01", "40001")  # PostgreSQL has rolled this transaction back to let another one through
TAKEN = ("uq_predictions_dedupe_key", "uq_predictions_idempotency_key")
KEYS = ("idempotency_key", "dedupe_key")  # in the order in which they are believed
CHUNK = 5_000
PURGE_LOCK = 0x70757267  # keeps what belongs to a prediction apart from a purge that deletes it (PostgreSQL)


class _Raced(LogError):
    """Another transaction got there first; nothing was stored and trying again is right."""


class _Stored(NamedTuple):
    """What a record is held against when its key is known."""

    prediction_id: str
    idempotency_key: str | None
    dedupe_key: str | None
    application_id: str | None
    inputs: Any


class PredictionLog:
    """The log behind one URL, safe to share between threads; every process opens its own.

    `period` is the number of production predictions per automatic drift check of a model. A writer that cannot begin
    for `busy_seconds` gives up, and so does a question that takes `read_seconds`; the threads of one process take turns
    first, so that one call lasts twice `busy_seconds` at most. Every method raises LogError when the database cannot
    be reached, is full or is locked, and works again when it can; run `migrate(url)` once before the first use.
    """

    def __init__(
        self,
        url: str,
        period: int = 100,
        *,
        busy_seconds: float = BUSY_SECONDS,
        read_seconds: float = READ_SECONDS,
        turns: Turns | None = None,
    ) -> None:
        self.url = parse_url(url)
        self.period = positive("period", period)
        self.busy_seconds = busy_seconds
        self._writer = open_engine(self.url, busy_seconds=busy_seconds)
        self._reader = open_engine(self.url, read_only=True, busy_seconds=busy_seconds, read_seconds=read_seconds)
        self._on_sqlite = self.url.get_backend_name() == "sqlite"
        self._insert = sqlite.insert if self._on_sqlite else postgresql.insert
        self._turns = (turns or Turns()) if self._on_sqlite else None
        self._prepare()

    def _prepare(self) -> None:
        dialect = self._writer.dialect
        self._to_database = UtcTime().dialect_impl(dialect).bind_processor(dialect) or (lambda moment: moment)
        self._store = Prepared(sa.insert(PREDICTIONS), dialect, [*COLUMNS, "sequence"])
        self._at = {name: place for place, name in enumerate(self._store.names)}
        self._converted = [(self._at[name], convert) for name, convert in _CONVERTED.items()]
        # A record has no sequence; what stands in its place is overwritten.
        self._fields_of = attrgetter(*("pd" if name == "sequence" else name for name in self._store.names))
        this = _is(COUNTERS, (sa.bindparam("version"), sa.bindparam("sha256")))
        self._add = Prepared(
            sa.update(COUNTERS)
            .where(this)
            .values(n=COUNTERS.c.n + sa.bindparam("new", type_=COUNTERS.c.n.type))
            .returning(COUNTERS.c.n, COUNTERS.c.scheduled),
            dialect,
        )
        # One parameter whatever the number of keys, so that the statement stays the same.
        any_of = "IN (SELECT value FROM json_each(:keys))" if self._on_sqlite else "= ANY(:keys)"
        told = ", ".join(_Stored._fields)
        self._find = {
            key: Prepared(
                sa.text(f"SELECT {told} FROM predictions WHERE {key} {any_of} AND {key} IS NOT NULL"), dialect
            )
            for key in KEYS
        }

    def impatient(self, busy_seconds: float) -> PredictionLog:
        """The same log, for a writer that gives up sooner; on SQLite it takes turns with those of this one."""
        url = self.url.render_as_string(hide_password=False)
        return PredictionLog(url, self.period, busy_seconds=busy_seconds, turns=self._turns)

    def close(self) -> None:
        """Give all connections back."""
        self._writer.dispose()
        self._reader.dispose()

    def ping(self) -> None:
        """Raise LogError unless the database answers."""
        self._read(sa.select(sa.literal(1)))

    def check_writable(self) -> None:
        """Raise LogError unless a writer can begin; nothing is written."""
        with self.writing() as connection:
            connection.execute(sa.select(sa.literal(1)))

    def check_schema(self) -> None:
        """Raise LogError, with what to run, unless the database has the schema of this version."""
        require_head(self.url, self._reader)

    # Writing predictions

    def append(self, records: Sequence[PredictionRecord]) -> AppendResult:
        """Store all records, count new production ones and schedule checks that fall due: all or nothing.

        A record whose dedupe_key or idempotency_key is known is not stored again; the result says as what it was
        stored, and whether with the same inputs. Raises LogError when a prediction_id is already taken by another
        prediction. When the connection breaks during the commit, LogError cannot say whether the records were stored:
        to send them again is right, with the keys they had.
        """
        if not records:
            return AppendResult([], [])
        for _ in range(RACES):
            try:
                with self.writing() as connection:
                    return self._append(connection, records)
            except _Raced:
                continue
        raise LogError(f"prediction log {shown(self.url)}: other writers keep sending the same keys; send again")

    def _append(self, connection: sa.Connection, records: Sequence[PredictionRecord]) -> AppendResult:
        if any(record.dedupe_key is not None or record.idempotency_key is not None for record in records):
            result, new = self._tell_apart(connection, records)
        else:
            count, new = len(records), records
            ids = [record.prediction_id for record in records]
            result = {"prediction_ids": ids, "inserted": [True] * count, "same_inputs": [True] * count}
            result["found_by"] = [None] * count
        added = Counter(_model(record) for record in new if record.purpose == "production")
        last, checks = {}, 0
        # Counted in one order, so that two writers with the same models cannot wait for each other.
        for model in sorted(added):
            n, scheduled = self._count(connection, model, added[model])
            last[model] = n - added[model]
            if n - scheduled >= self.period:
                checks += self._schedule(connection, model, n, scheduled)
        rows = self._rows(new, last)
        for start in range(0, len(rows), CHUNK):
            self._store.many(connection, rows[start : start + CHUNK])
        return AppendResult(**result, checks=checks)

    def _tell_apart(
        self, connection: sa.Connection, records: Sequence[PredictionRecord]
    ) -> tuple[dict[str, list], list[PredictionRecord]]:
        """Fields of the result, and the records that are new, by what is stored and what comes before in the batch."""
        known = {name: self._known(connection, name, records) for name in KEYS}
        ids, inserted, found_by, same, new = [], [], [], [], []
        for record in records:
            name = next((name for name in KEYS if getattr(record, name) in known[name]), None)
            found_by.append(name)
            inserted.append(name is None)
            if name is None:
                ids.append(record.prediction_id)
                same.append(True)
                new.append(record)
                for key in KEYS:
                    if (value := getattr(record, key)) is not None:
                        known[key][value] = record
                continue
            stored = known[name][getattr(record, name)]
            ids.append(stored.prediction_id)
            same.append(stored.application_id == record.application_id and _said(stored.inputs) == _said(record.inputs))
        return {"prediction_ids": ids, "inserted": inserted, "found_by": found_by, "same_inputs": same}, new

    def _known(self, connection: sa.Connection, name: str, records: Sequence[PredictionRecord]) -> dict[str, Any]:
        """What is stored already, by the key of this name."""
        keys = [key for record in records if (key := getattr(record, name)) is not None]
        found: dict[str, Any] = {}
        for start in range(0, len(keys), CHUNK):
            chunk = keys[start : start + CHUNK]
            asked = json.dumps(chunk, ensure_ascii=False) if self._on_sqlite else chunk
            stored = map(_Stored._make, self._find[name].rows(connection, (asked,)))
            found.update((getattr(one, name), one) for one in stored)
        return found

    def _count(self, connection: sa.Connection, model: tuple[str, str], new: int) -> tuple[int, int]:
        """Add to the model's count; returns it, and how much of it is scheduled.

        No other writer of this model gets past here before this transaction ends.
        """
        values = {"new": new, "version": model[0], "sha256": model[1]}
        in_order = tuple(values[name] for name in self._add.names)
        found = self._add.rows(connection, in_order)
        if not found:
            first = self._insert(COUNTERS).values(**_of(model), n=0, scheduled=0).on_conflict_do_nothing()
            connection.execute(first)
            found = self._add.rows(connection, in_order)
        return found[0]

    def _schedule(self, connection: sa.Connection, model: tuple[str, str], n: int, scheduled: int) -> int:
        """Schedule the checks that are due with the model's n-th prediction; returns how many."""
        due = range(scheduled + self.period, n + 1, self.period)
        newest = sa.select(sa.func.max(CHECKS.c.bucket)).where(_is(CHECKS, model))
        bucket = connection.execute(newest).scalar() or 0
        checks = [
            {
                **_of(model),
                "bucket": bucket + number,
                "first_sequence": last - self.period + 1,
                "last_sequence": last,
                "created_at": now(),
                "status": "pending",
                "attempts": 0,
            }
            for number, last in enumerate(due, start=1)
        ]
        connection.execute(sa.insert(CHECKS), checks)
        connection.execute(sa.update(COUNTERS).where(_is(COUNTERS, model)).values(scheduled=due[-1]))
        return len(checks)

    def _rows(self, records: Sequence[PredictionRecord], last: dict[tuple[str, str], int]) -> list[tuple]:
        """Records as rows of the insert; `last` is each model's count before them and is counted on."""
        moment = written = None
        rows = []
        for record in records:
            row = list(self._fields_of(record))  # changing a few of 24 fields is cheaper than naming all
            if record.purpose == "production":
                model = (record.model_version, record.model_sha256)
                last[model] += 1
                row[self._at["sequence"]] = last[model]
            else:
                row[self._at["sequence"]] = None
            if record.created_at is not moment:
                moment = record.created_at
                written = self._to_database(moment)
            row[self._at["created_at"]] = written
            for place, convert in self._converted:
                if row[place] is not None:
                    row[place] = convert(row[place])
            rows.append(tuple(row))
        return rows

    # Drift checks

    def claim_check(self, owner: str, lease_seconds: float = 60) -> Check | None:
        """Take the oldest check that is pending or whose worker let its lease run out; None without one.

        A check that failed is pending again only after a while. One that was claimed 5 times without a report is
        marked failed instead of being handed out again.
        """
        moment = now()
        expired = (CHECKS.c.status == "running") & (CHECKS.c.lease_until < moment)
        waiting = (CHECKS.c.status == "pending") & ((CHECKS.c.not_before <= moment) | CHECKS.c.not_before.is_(None))
        unfinished = CHECKS.c.status.in_(("pending", "running"))  # said apart, since it is what the index can answer
        spent = CHECKS.c.attempts >= MAX_ATTEMPTS
        oldest = (
            sa.select(CHECKS)
            .where(unfinished, waiting | (expired & ~spent))
            .order_by(CHECKS.c.created_at, CHECKS.c.model_version, CHECKS.c.model_sha256, CHECKS.c.bucket)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        if not self._read(sa.select(CHECKS.c.bucket).where(unfinished, waiting | expired).limit(1)):
            return None  # the usual answer, found without the write lock
        with self.writing() as connection:
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
                "lease_until": moment + timedelta(seconds=lease_seconds),
                "attempts": row["attempts"] + 1,
            }
            this = _is(CHECKS, (row["model_version"], row["model_sha256"])) & (CHECKS.c.bucket == row["bucket"])
            connection.execute(sa.update(CHECKS).where(this).values(status="running", **claim))
            return Check(**{item.name: {**row, **claim}[item.name] for item in fields(Check)})

    def rows_of_check(self, check: Check) -> list[dict[str, Any]]:
        """The predictions that the check covers, oldest first."""
        return self.production(check.model_version, check.model_sha256, check.first_sequence, check.last_sequence)

    def production(self, model_version: str, model_sha256: str, first: int, last: int) -> list[dict[str, Any]]:
        """A model's production predictions from the first-th to the last-th, oldest first, as far as they are there."""
        covered = _is(PREDICTIONS, (model_version, model_sha256)) & PREDICTIONS.c.sequence.between(first, last)
        return self._read(sa.select(PREDICTIONS).where(covered).order_by(PREDICTIONS.c.sequence))

    def finish_check(self, check: Check, report: ReportRecord) -> int:
        """Store the check's report and mark the check done, in one transaction; returns the id of the report.

        May be called again, by the same or a later worker: the first report stays and its id is returned.
        """
        model = (check.model_version, check.model_sha256)
        covered = PREDICTIONS.c.sequence.between(check.first_sequence, check.last_sequence)
        ends = sa.select(sa.func.min(PREDICTIONS.c.id), sa.func.max(PREDICTIONS.c.id))
        with self.writing() as connection:
            first, last = connection.execute(ends.where(_is(PREDICTIONS, model) & covered)).one()
            place = {"first_prediction": first, "last_prediction": last}
            values = {**_values(report), **place}
            report_id = self._store_report(connection, model, "automatic", check.window_key, values)
            this = _is(CHECKS, model) & (CHECKS.c.bucket == check.bucket) & (CHECKS.c.status != "done")
            done = {"status": "done", "lease_until": None, "error": None, **place}
            connection.execute(sa.update(CHECKS).where(this).values(**done))
            return report_id

    def fail_check(self, check: Check, error: str, final: bool = False) -> None:
        """Put a check back to be tried again after a while, or mark it failed: at its 5th attempt, or when `final`.

        Does nothing when the check has been taken over by another worker or finished in the meantime.
        """
        this = _is(CHECKS, (check.model_version, check.model_sha256)) & (CHECKS.c.bucket == check.bucket)
        mine = (CHECKS.c.status == "running") & (CHECKS.c.attempts == check.attempts)
        values = {"status": "failed", "error": error, "lease_until": None}
        if not final and check.attempts < MAX_ATTEMPTS:
            values["status"] = "pending"
            values["not_before"] = now() + timedelta(seconds=BACK_OFF[check.attempts - 1])
        with self.writing() as connection:
            connection.execute(sa.update(CHECKS).where(this & mine).values(**values))

    def store_report(
        self, report: ReportRecord, *, model_version: str, model_sha256: str, trigger: str, window_key: str
    ) -> int:
        """Store a drift report that was asked for (trigger file or notebook); returns its id.

        The same model, trigger and window is the same report: the first one stays and its id is returned.
        """
        one_of("trigger", trigger, TRIGGERS)
        with self.writing() as connection:
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

    # What came of predictions

    def add_outcomes(self, rows: Sequence[OutcomeRecord]) -> list[OutcomeResult]:
        """Store what became of loans, in one transaction; the statuses are those of OutcomeResult.

        An outcome of an application is one of each of its predictions but what-ifs. Of several outcomes of a
        prediction the one reported last counts. The same report (observed_at and bad) twice is one row: to go back to
        an earlier verdict, report it as seen at a later time.
        """
        with self.writing() as connection:
            self.hold_still(connection)
            owners = self._owners(connection, rows)
            stored = self._stored_outcomes(connection, {one for found in owners for one in found})
            results, new = [], []
            for record, found in zip(rows, owners, strict=True):
                statuses = set()
                for one in found:
                    verdicts = stored.setdefault((one, record.observed_at), [])
                    if record.bad in verdicts:
                        statuses.add("duplicate" if verdicts[-1] == record.bad else "superseded")
                        continue
                    statuses.add("corrected" if verdicts else "stored")
                    verdicts.append(int(record.bad))
                    new.append(_outcome_row(record, one))
                status = next((one for one in OUTCOME_STATUSES if one in statuses), "unknown")
                results.append(OutcomeResult(status, tuple(found)))
            statement = self._insert(OUTCOMES).on_conflict_do_nothing()
            for start in range(0, len(new), CHUNK):
                connection.execute(statement, new[start : start + CHUNK])
        return results

    def _owners(self, connection: sa.Connection, rows: Sequence[OutcomeRecord]) -> list[list[str]]:
        """The predictions that each outcome belongs to."""
        table = PREDICTIONS.c
        by_id = {row.prediction_id: [] for row in rows if row.prediction_id is not None}
        for chunk in _chunks(by_id):
            found = sa.select(table.prediction_id).where(table.prediction_id.in_(chunk))
            by_id.update((one, [one]) for one in connection.execute(found).scalars())
        by_application: dict[str, list[str]] = {
            row.application_id: [] for row in rows if row.application_id is not None
        }
        for chunk in _chunks(by_application):
            wanted = table.application_id.in_(chunk) & (table.purpose != "what_if")
            found = sa.select(table.application_id, table.prediction_id).where(wanted).order_by(table.id)
            for application_id, prediction_id in connection.execute(found):
                by_application[application_id].append(prediction_id)
        return [
            by_application[row.application_id] if row.prediction_id is None else by_id[row.prediction_id]
            for row in rows
        ]

    def _stored_outcomes(
        self, connection: sa.Connection, prediction_ids: set[str]
    ) -> dict[tuple[str, datetime], list[int]]:
        """The verdicts on each prediction and day, in the order of their reports."""
        table, stored = OUTCOMES.c, {}
        for chunk in _chunks(sorted(prediction_ids)):
            found = sa.select(table.prediction_id, table.observed_at, table.bad).order_by(table.id)
            for one, observed_at, bad in connection.execute(found.where(table.prediction_id.in_(chunk))):
                stored.setdefault((one, observed_at), []).append(bad)
        return stored

    def add_decision(self, record: DecisionRecord) -> int | None:
        """Store what a person decided instead of the policy; returns its id, None when there is no such prediction.

        The policy's own decision stays as it is. Sent again unchanged, a decision keeps its id.
        """
        with self.writing() as connection:
            self.hold_still(connection)
            known = sa.select(PREDICTIONS.c.id).where(PREDICTIONS.c.prediction_id == record.prediction_id)
            if connection.execute(known).first() is None:
                return None
            values = {item.name: getattr(record, item.name) for item in fields(record)}
            newest = sa.select(DECISIONS).where(DECISIONS.c.prediction_id == record.prediction_id)
            last = connection.execute(newest.order_by(DECISIONS.c.id.desc()).limit(1)).mappings().first()
            if last is not None and all(last[name] == value for name, value in values.items()):
                return last["id"]
            statement = sa.insert(DECISIONS).values(created_at=now(), **values).returning(DECISIONS.c.id)
            return connection.execute(statement).scalar_one()

    def decisions_of(self, prediction_id: str) -> list[dict[str, Any]]:
        """What people decided instead of the policy, oldest first, as dicts of all columns; the last one counts."""
        chosen = DECISIONS.c.prediction_id == prediction_id
        return self._read(sa.select(DECISIONS).where(chosen).order_by(DECISIONS.c.id))

    def outcomes(
        self,
        limit: int = 100,
        before_id: int | None = None,
        *,
        prediction_id: str | None = None,
        application_id: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        current: bool = False,
    ) -> list[dict[str, Any]]:
        """Up to `limit` outcomes as dicts of all columns, newest report first; pages as in `predictions`.

        `since` and `until` (not included) are times of observation. `current`: only those that count.
        """
        query = self._page_of(OUTCOMES, limit, before_id, None, True, {"prediction_id": prediction_id})
        if application_id is not None:
            own = sa.select(PREDICTIONS.c.prediction_id).where(PREDICTIONS.c.application_id == application_id)
            query = query.where(OUTCOMES.c.prediction_id.in_(own))
        if current:
            query = query.where(_counts())
        return self._read(_between(query, OUTCOMES.c.observed_at, since, until))

    def outcomes_of_model(
        self,
        model_version: str,
        model_sha256: str,
        limit: int = 1_000,
        after_id: int | None = None,
        *,
        purposes: Sequence[str] = ("production",),
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> list[dict[str, Any]]:
        """Predictions of a model whose outcome is known: the outcome that counts beside what was predicted.

        By id of the outcome, oldest first; for the next page pass the last one as `after_id`. `since` and `until` (not
        included) are times of prediction. Dicts of id, prediction_id, observed_at, bad, predicted_at, application_id,
        purpose, pd, score, points, rating, grade, decision, features.
        """
        for purpose in purposes:
            one_of("purpose", purpose, PURPOSES)
        told = [OUTCOMES.c[name] for name in ("id", "prediction_id", "observed_at", "bad")]
        told.append(PREDICTIONS.c.created_at.label("predicted_at"))
        told += [PREDICTIONS.c[name] for name in _JUDGED]
        joined = sa.select(*told).join(PREDICTIONS, PREDICTIONS.c.prediction_id == OUTCOMES.c.prediction_id)
        query = joined.where(_is(PREDICTIONS, (model_version, model_sha256)), PREDICTIONS.c.purpose.in_(purposes))
        query = _between(query.where(_counts()), PREDICTIONS.c.created_at, since, until)
        if after_id is not None:
            query = query.where(OUTCOMES.c.id > after_id)
        return self._read(query.order_by(OUTCOMES.c.id).limit(positive("limit", limit)))

    def followed(
        self,
        model_version: str,
        model_sha256: str,
        limit: int = 5_000,
        after_id: int | None = None,
        *,
        purposes: Sequence[str] = ("production", "file"),
        until: datetime | None = None,
        seen_by: datetime | None = None,
        names: Sequence[str] = (),
    ) -> list[dict[str, Any]]:
        """Predictions of a model, each with what has been seen of it: narrow rows, for reading many of them.

        By id, oldest first; for the next page pass the last one as `after_id`. Only predictions before `until`;
        outcomes observed after `seen_by` are as if they were not there. Dicts of id, created_at, pd, decision (a
        person's, else the policy's), given (the input, as text, under the first of `names` that was sent), and bad and
        observed_at of the outcome that was reported last, None without one.
        """
        for purpose in purposes:
            one_of("purpose", purpose, PURPOSES)
        table = PREDICTIONS.c
        # + 0: else PostgreSQL looks for the greatest id from the end of the table on, once for each prediction.
        outcome = sa.select(sa.func.max(OUTCOMES.c.id + 0)).where(OUTCOMES.c.prediction_id == table.prediction_id)
        if seen_by is not None:
            outcome = outcome.where(OUTCOMES.c.observed_at <= seen_by)
        person = sa.select(DECISIONS.c.decision).where(DECISIONS.c.prediction_id == table.prediction_id)
        person = person.order_by(DECISIONS.c.id.desc()).limit(1).scalar_subquery()
        given = [table.inputs[name].as_string() for name in names] or [sa.null()]
        page = sa.select(
            table.id,
            table.created_at,
            table.pd,
            sa.func.coalesce(person, table.decision).label("decision"),
            (sa.func.coalesce(*given) if len(given) > 1 else given[0]).label("given"),
            outcome.scalar_subquery().label("outcome"),
        ).where(_is(PREDICTIONS, (model_version, model_sha256)), table.purpose.in_(purposes))
        if after_id is not None:
            page = page.where(table.id > after_id)
        page = _between(page, table.created_at, None, until).order_by(table.id)
        page = page.limit(positive("limit", limit)).subquery()
        told = [page.c[name] for name in ("id", "created_at", "pd", "decision", "given")]
        joined = sa.select(*told, OUTCOMES.c.bad, OUTCOMES.c.observed_at).outerjoin(
            OUTCOMES, OUTCOMES.c.id == page.c.outcome
        )
        return self._read(joined.order_by(page.c.id))

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
        *,
        application_id: str | None = None,
        rating: str | None = None,
        decision: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> list[dict[str, Any]]:
        """Up to `limit` predictions as dicts of all columns, by id.

        For the next page pass the last id seen, as `before_id` (newest first) or `after_id` (oldest first). `since`
        and `until` (not included) are times of prediction; `decision` is the policy's.
        """
        wanted = {"purpose": purpose, "application_id": application_id, "rating": rating, "decision": decision}
        hashes = [model_sha256]
        if model_version is not None and model_sha256 is None:
            hashes = self._hashes(model_version)  # each of them is a stretch of the index in the order of ids
        ids = self._stretch(since, until)
        pages = []
        for sha256 in hashes:
            one = {**wanted, "model_version": model_version, "model_sha256": sha256}
            query = self._page_of(PREDICTIONS, limit, before_id, after_id, newest_first, one)
            if ids is not None:
                query = _between(query.where(PREDICTIONS.c.id.between(*ids)), PREDICTIONS.c.created_at, since, until)
            pages.append(self._read(query))
        if len(pages) == 1:
            return pages[0]
        return list(heapq.merge(*pages, key=lambda row: row["id"], reverse=newest_first))[:limit]

    def prediction(self, prediction_id: str) -> dict[str, Any] | None:
        """One prediction as a dict of all columns; None when there is none with this id."""
        found = self._read(sa.select(PREDICTIONS).where(PREDICTIONS.c.prediction_id == prediction_id))
        return found[0] if found else None

    def store_outcome_report(
        self, model_version: str, model_sha256: str, window_key: str, verdict: str, n: int, report: dict[str, Any]
    ) -> int:
        """Keep a report on outcomes; the same window again takes the place of the one before. Returns its id."""
        place = {**_of((model_version, model_sha256)), "window_key": window_key}
        told = {"created_at": now(), "verdict": verdict, "n": n, "report": report}
        statement = self._insert(OUTCOME_REPORTS).values(**place, **told)
        statement = statement.on_conflict_do_update(index_elements=list(place), set_=told).returning(
            OUTCOME_REPORTS.c.id
        )
        with self.writing() as connection:
            return connection.execute(statement).scalar_one()

    def outcome_reports(
        self, limit: int = 100, model_version: str | None = None, model_sha256: str | None = None
    ) -> list[dict[str, Any]]:
        """Up to `limit` reports on outcomes as dicts of all columns, newest first."""
        wanted = {"model_version": model_version, "model_sha256": model_sha256}
        return self._read(self._page_of(OUTCOME_REPORTS, limit, None, None, True, wanted))

    def reports(
        self,
        limit: int = 100,
        before_id: int | None = None,
        model_version: str | None = None,
        model_sha256: str | None = None,
        *,
        trigger: str | None = None,
        status: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        whole: bool = True,
    ) -> list[dict[str, Any]]:
        """Up to `limit` drift reports as dicts of all columns, newest first; pages as in `predictions`.

        Unless `whole`, without the report itself: what a list of many needs.
        """
        wanted = {
            "model_version": model_version,
            "model_sha256": model_sha256,
            "trigger": trigger,
            "status": status,
        }
        query = self._page_of(REPORTS, limit, before_id, None, True, wanted)
        if not whole:
            query = query.with_only_columns(*(column for column in REPORTS.c if column is not REPORTS.c.report))
        return self._read(_between(query, REPORTS.c.created_at, since, until))

    def report(self, report_id: int) -> dict[str, Any] | None:
        """One drift report as a dict of all columns; None when there is none with this id."""
        found = self._read(sa.select(REPORTS).where(REPORTS.c.id == report_id))
        return found[0] if found else None

    def window(
        self, model_version: str, model_sha256: str, n: int, purposes: Sequence[str] = ("production",)
    ) -> list[dict[str, Any]]:
        """The last `n` predictions of one model with one of the `purposes`, oldest first."""
        for purpose in purposes:
            one_of("purpose", purpose, PURPOSES)
        chosen = _is(PREDICTIONS, (model_version, model_sha256)) & PREDICTIONS.c.purpose.in_(purposes)
        newest = sa.select(PREDICTIONS).where(chosen).order_by(PREDICTIONS.c.id.desc()).limit(positive("n", n))
        return self._read(newest)[::-1]

    def holds(self, active: bool = True) -> list[dict[str, Any]]:
        """Legal holds as dicts of all columns, oldest first; with `active` only those that are not released."""
        query = sa.select(HOLDS).order_by(HOLDS.c.id)
        return self._read(query.where(HOLDS.c.released_at.is_(None)) if active else query)

    def counts(self) -> dict[str, Any]:
        """How much there is: predictions by purpose, counters by model, checks by status, reports."""
        with readable_errors(self.url, self.busy_seconds), self._reader.connect() as connection:
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

    def _stretch(self, since: datetime | None, until: datetime | None) -> tuple[int, int] | None:
        """The first and the last id of a time, from its index alone; None when no time is asked for.

        Nearly all ids between them are of that time, so that a page is found without reading much else.
        """
        if since is None and until is None:
            return None
        ends = sa.select(sa.func.min(PREDICTIONS.c.id).label("first"), sa.func.max(PREDICTIONS.c.id).label("last"))
        (found,) = self._read(_between(ends, PREDICTIONS.c.created_at, since, until))
        return found["first"] or 0, found["last"] or 0

    def counters(self) -> list[dict[str, Any]]:
        """For each model how many production predictions it has made (n), and how many lie in a check (scheduled)."""
        return self._read(sa.select(COUNTERS).order_by(*COUNTERS.primary_key))

    def checks(
        self, model_version: str, model_sha256: str, limit: int = 100, status: str | None = None
    ) -> list[dict[str, Any]]:
        """Up to `limit` automatic drift checks of a model as dicts of all columns, the newest window first."""
        mine = sa.select(CHECKS).where(_is(CHECKS, (model_version, model_sha256)))
        mine = mine if status is None else mine.where(CHECKS.c.status == status)
        return self._read(mine.order_by(CHECKS.c.bucket.desc()).limit(positive("limit", limit)))

    def check_counts(self) -> dict[str, int]:
        """Drift checks by status: pending, running, done, failed."""
        with readable_errors(self.url, self.busy_seconds), self._reader.connect() as connection:
            found = connection.execute(_tally(CHECKS.c.status)).all()
        return {"pending": 0, "running": 0, "done": 0, "failed": 0} | {status: n for status, n in found}

    def _hashes(self, model_version: str) -> list[str]:
        """Of the models with this version, by leaps through the index: as many steps as there are hashes."""
        table = PREDICTIONS.c
        least = sa.select(sa.func.min(table.model_sha256)).where(table.model_version == model_version)
        seen = least.cte("seen", recursive=True)
        found = seen.c[0]
        following = least.where(table.model_sha256 > found).scalar_subquery()
        seen = seen.union_all(sa.select(following).where(found.is_not(None)))
        return [sha256 for row in self._read(sa.select(seen)) for sha256 in row.values() if sha256 is not None]

    def _page_of(
        self,
        table: sa.Table,
        limit: int,
        before_id: int | None,
        after_id: int | None,
        newest_first: bool,
        wanted: dict[str, str | None],
    ) -> sa.Select:
        query = sa.select(table).order_by(table.c.id.desc() if newest_first else table.c.id)
        query = query.limit(positive("limit", limit))
        for name, value in wanted.items():
            if value is not None:
                query = query.where(table.c[name] == value)
        if before_id is not None:
            query = query.where(table.c.id < before_id)
        if after_id is not None:
            query = query.where(table.c.id > after_id)
        return query

    def _read(self, query: sa.Select) -> list[dict[str, Any]]:
        with self.reading() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    # Transactions

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A connection for questions; it cannot write and never waits for writers. Raises LogError."""
        with readable_errors(self.url, self.busy_seconds), self._reader.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """A transaction of the one who writes: committed at the end, rolled back on any error. Raises LogError."""
        if self._turns is not None and not self._turns.acquire(self.busy_seconds):
            raise LogError(
                f"prediction log {shown(self.url)}: other threads have been writing for {self.busy_seconds:g} s; "
                "send again"
            )
        try:
            with readable_errors(self.url, self.busy_seconds), _races(self.url), self._writer.begin() as connection:
                yield connection
        finally:
            if self._turns is not None:
                self._turns.release()

    def hold_still(self, connection: sa.Connection, alone: bool = False) -> None:
        """Until the transaction ends no purge deletes, or, `alone`, nobody adds to what a purge deletes.

        SQLite has one writer at a time anyhow.
        """
        if not self._on_sqlite:
            lock = sa.func.pg_advisory_xact_lock if alone else sa.func.pg_advisory_xact_lock_shared
            connection.execute(sa.select(lock(PURGE_LOCK)))

    def write_back(self) -> None:
        """Bring all that was written into SQLite's main file, as far as nobody is reading the rest just now."""
        if self._on_sqlite:
            with readable_errors(self.url, self.busy_seconds):
                connection = self._writer.raw_connection()
            try:
                with suppress(self._writer.dialect.loaded_dbapi.Error):
                    connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            finally:
                connection.close()


_CONVERTED = {
    "pd": float,
    "score": int,
    "points": int,
    "latency_ms": float,
    "inputs": to_json,
    "features": to_json,
    "reasons": to_json,
}
_JUDGED = ("application_id", "purpose", "pd", "score", "points", "rating", "grade", "decision", "features")


@contextmanager
def _races(url: sa.URL) -> Iterator[None]:
    """Name what is only a lost race, after which PostgreSQL has rolled back."""
    try:
        yield
    except OperationalError as error:
        if getattr(error.orig, "sqlstate", None) in DEADLOCK:
            raise _Raced(f"prediction log {shown(url)}: two writers waited for each other") from error
        raise
    except IntegrityError as error:
        # Another transaction may have stored a key since it was looked up.
        if getattr(getattr(error.orig, "diag", None), "constraint_name", None) in TAKEN:
            raise _Raced(f"prediction log {shown(url)}: a key was stored by another writer meanwhile") from error
        raise


def _said(inputs: dict[str, Any] | str | None) -> dict[str, Any]:
    """Inputs as the log gives them back, without those that are not there."""
    written = inputs if isinstance(inputs, str) else to_json(inputs)
    return {name: value for name, value in (json.loads(written) or {}).items() if value is not None}


def _model(record: PredictionRecord) -> tuple[str, str]:
    return record.model_version, record.model_sha256


def _of(model: tuple[str, str]) -> dict[str, str]:
    return {"model_version": model[0], "model_sha256": model[1]}


def _is(table: sa.Table, model: tuple[Any, Any]) -> sa.ColumnElement[bool]:
    return (table.c.model_version == model[0]) & (table.c.model_sha256 == model[1])


def _counts() -> sa.ColumnElement[bool]:
    """Whether an outcome is the one of its prediction that was reported last."""
    later = OUTCOMES.alias("later")
    newer = sa.select(later.c.id).where(later.c.prediction_id == OUTCOMES.c.prediction_id, later.c.id > OUTCOMES.c.id)
    return ~newer.exists()


def _between(query: sa.Select, column: sa.Column, since: datetime | None, until: datetime | None) -> sa.Select:
    if since is not None:
        query = query.where(column >= since)
    return query if until is None else query.where(column < until)


def _outcome_row(record: OutcomeRecord, prediction_id: str) -> dict[str, Any]:
    return {
        "created_at": now(),
        "prediction_id": prediction_id,
        "observed_at": record.observed_at,
        "bad": int(record.bad),
        "source": record.source,
        "caller": record.caller,
    }


def _chunks(values: Any) -> Iterator[list]:
    values = list(values)
    return (values[start : start + CHUNK] for start in range(0, len(values), CHUNK))


def _values(report: ReportRecord) -> dict[str, Any]:
    return {item.name: getattr(report, item.name) for item in fields(report)}


def _tally(column: sa.Column) -> sa.Select:
    return sa.select(column, sa.func.count()).group_by(column)
