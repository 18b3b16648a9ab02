"""Retention of the prediction log: export, purge by age, legal holds. Each leaves an entry of its own in the log.

A purge never deletes what is under a legal hold, nor what is younger than the minimum age. It changes no counter, no
sequence number and no drift report, so the hundreds go on where they were.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from creditrisk.errors import LogError
from creditrisk.serving.database import open_engine, readable_errors, to_json
from creditrisk.serving.log import PredictionLog
from creditrisk.serving.records import now, said
from creditrisk.serving.schema import DECISIONS, ENTRIES, HOLDS, OUTCOMES, PREDICTIONS

MINIMUM_DAYS = 365
"""A younger prediction is not purged: complaints, validation and audits ask for it."""
OLDEST_DAYS = 99_999
PAGE = 1_000
"""Predictions in memory at a time, and of one transaction of a purge: requests are logged in between."""
FORMATS = (".jsonl", ".csv", ".parquet")
BELONGING = ("outcomes", "decisions")


@dataclass(frozen=True)
class Exported:
    """A file of `rows` predictions; `entry` is the id of the log's entry about it."""

    path: Path
    rows: int
    entry: int


@dataclass(frozen=True)
class Purged:
    """Predictions from before `cutoff`: `rows` were deleted (with `dry_run`: would be), `held` are kept by holds."""

    cutoff: datetime
    rows: int
    held: int
    dry_run: bool
    entry: int | None


@dataclass(frozen=True)
class Hold:
    """A legal hold that was placed or released; `predictions` is how many it covers now."""

    id: int
    predictions: int


# Export


def export(
    log: PredictionLog,
    out: str | Path,
    *,
    by: str,
    since: datetime | None = None,
    until: datetime | None = None,
    model_version: str | None = None,
) -> Exported:
    """Write predictions with their outcomes and decisions to a .jsonl, .csv or .parquet file, oldest first.

    All columns, as of the moment the export begins; `since` and `until` (not included) are times of prediction. JSON is
    nested in .jsonl and text in the others. In .csv an apostrophe stands before a text that a spreadsheet would take
    for a formula; the others hold what was logged. Memory stays bounded. The file appears when it is whole, readable
    by its owner only. Raises LogError for a name that is taken or of no known format, and when it cannot be written.
    """
    path, by = Path(out), said("by", by)
    if path.suffix.lower() not in FORMATS:
        raise LogError(f"{path}: the name must end in {', '.join(FORMATS[:-1])} or {FORMATS[-1]}")
    if path.exists():
        raise LogError(f"{path} exists; an export replaces nothing: choose another name")
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    query = sa.select(PREDICTIONS).order_by(PREDICTIONS.c.created_at, PREDICTIONS.c.id)
    for condition in _asked(since, until, model_version):
        query = query.where(condition)
    rows = 0
    try:
        with os.fdopen(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
            with closing(_WRITERS[path.suffix.lower()](file)) as writer:
                for page in _pages(log, query):
                    writer.write(page)
                    rows += len(page)
            file.flush()
            os.fsync(file.fileno())
        parameters = {"file": path.name, "since": since, "until": until, "model": model_version}
        with log.writing() as connection:
            entry = _enter(connection, "export", by, parameters, rows)
        os.replace(part, path)
    except OSError as error:
        raise LogError(f"{path} cannot be written: {error.strerror or error}; choose another place") from error
    finally:
        with suppress(OSError):
            part.unlink()
    return Exported(path, rows, entry)


def _asked(since: datetime | None, until: datetime | None, model_version: str | None) -> list[sa.ColumnElement[bool]]:
    table, conditions = PREDICTIONS.c, []
    if since is not None:
        conditions.append(table.created_at >= since)
    if until is not None:
        conditions.append(table.created_at < until)
    if model_version is not None:
        conditions.append(table.model_version == model_version)
    return conditions


def _pages(log: PredictionLog, query: sa.Select) -> Iterator[list[dict[str, Any]]]:
    """The predictions asked for, as they are when this begins, each with what belongs to it."""
    with _asking(log) as engine, engine.connect() as connection, engine.connect() as other:
        result = connection.execution_options(stream_results=True, yield_per=PAGE).execute(query)
        for part in result.mappings().partitions():
            page = [dict(row) for row in part]
            by_id = {row["prediction_id"]: row for row in page}
            for row in page:
                row.update({name: [] for name in BELONGING})
            for table in (OUTCOMES, DECISIONS):
                owned = sa.select(table).where(table.c.prediction_id.in_(by_id)).order_by(table.c.id)
                for row in other.execute(owned).mappings():
                    told = {name: value for name, value in row.items() if name not in ("id", "prediction_id")}
                    by_id[row["prediction_id"]][table.name].append(told)
            yield page


class _Jsonl:
    def __init__(self, file: io.BufferedWriter) -> None:
        self._file = file

    def write(self, page: Sequence[dict[str, Any]]) -> None:
        for row in page:
            self._file.write(to_json(row).encode())
            self._file.write(b"\n")

    def close(self) -> None:
        pass


def _texts(row: dict[str, Any]) -> dict[str, Any]:
    """A row whose JSON is text, for files that have plain columns only."""
    return {
        name: to_json(value) if isinstance(value, dict | list) else value for name, value in row.items()
    }  # fmt: skip


FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def no_formula(value: Any) -> Any:
    """The value, a text that a spreadsheet would compute with an apostrophe before it. Clients choose some of them."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


class _Csv:
    def __init__(self, file: io.BufferedWriter) -> None:
        self._text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
        self._table = csv.writer(self._text)
        self._table.writerow(_COLUMNS)

    def write(self, page: Sequence[dict[str, Any]]) -> None:
        for row in page:
            row["created_at"] = row["created_at"].isoformat()
            self._table.writerow(map(no_formula, _texts(row).values()))

    def close(self) -> None:
        self._text.detach()


class _Parquet:
    def __init__(self, file: io.BufferedWriter) -> None:
        import pyarrow as pa
        from pyarrow import parquet

        kinds = {sa.Integer: pa.int64(), sa.Double: pa.float64(), sa.DateTime: pa.timestamp("us", tz="UTC")}
        kinds |= {sa.BigInteger: pa.int64(), sa.Text: pa.string(), sa.JSON: pa.string()}
        types = {column.name: getattr(column.type, "impl", column.type) for column in PREDICTIONS.columns}
        schema = [(name, kinds[type(kind)]) for name, kind in types.items()]
        self._schema = pa.schema([*schema, *((name, pa.string()) for name in BELONGING)])
        self._table = pa.Table
        self._writer = parquet.ParquetWriter(file, self._schema, compression="zstd")

    def write(self, page: Sequence[dict[str, Any]]) -> None:
        self._writer.write_table(self._table.from_pylist(list(map(_texts, page)), schema=self._schema))

    def close(self) -> None:
        self._writer.close()


_COLUMNS = [*(column.name for column in PREDICTIONS.columns), *BELONGING]
_WRITERS: dict[str, Callable[[io.BufferedWriter], Any]] = {".jsonl": _Jsonl, ".csv": _Csv, ".parquet": _Parquet}


# Purge


def purge(
    log: PredictionLog, older_than_days: int, *, by: str, minimum_days: int = MINIMUM_DAYS, dry_run: bool = False
) -> Purged:
    """Delete predictions made more than `older_than_days` days ago, with their outcomes and decisions.

    What is under a legal hold stays. Each transaction deletes some and counts them in the purge's entry, so that the
    entry says what is gone even when a purge is cut short; a later one goes on. Raises LogError when the age is less
    than `minimum_days`.
    """
    by = said("by", by)
    if older_than_days < minimum_days:
        raise LogError(
            f"predictions are kept for {minimum_days} days at least: {older_than_days} days is too young to purge"
        )
    cutoff = now() - timedelta(days=min(older_than_days, OLDEST_DAYS))
    if dry_run:
        with _asking(log) as engine, engine.connect() as connection:
            return Purged(cutoff, _count(connection, cutoff, ~_held()), _count(connection, cutoff, _held()), True, None)
    parameters = {"older_than_days": older_than_days, "minimum_days": minimum_days, "cutoff": cutoff}
    entry, rows, last = None, 0, None
    while True:
        with log.writing() as connection:
            log.hold_still(connection, alone=True)
            if entry is None:
                entry = _enter(connection, "purge", by, parameters, 0)
            gone = connection.execute(_oldest(cutoff, last)).all()
            if not gone:
                break
            last = (gone[-1].created_at, gone[-1].id)
            _delete(connection, gone)
            rows += len(gone)
            connection.execute(sa.update(ENTRIES).where(ENTRIES.c.id == entry).values(rows=rows))
    log.write_back()
    with _asking(log) as engine, engine.connect() as connection:
        return Purged(cutoff, rows, _count(connection, cutoff, _held()), False, entry)


def _oldest(cutoff: datetime, last: tuple[datetime, int] | None) -> sa.Select:
    """The next predictions to delete after the `last` one deleted, in the order of the index by time."""
    table = PREDICTIONS.c
    query = sa.select(table.id, table.prediction_id, table.created_at).where(table.created_at < cutoff, ~_held())
    if last is not None:
        moment, number = last
        query = query.where(table.created_at >= moment, (table.created_at > moment) | (table.id > number))
    return query.order_by(table.created_at, table.id).limit(PAGE)


def _delete(connection: sa.Connection, gone: Sequence[sa.Row]) -> None:
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("PRAGMA secure_delete=ON")  # or the values stay in the file's free pages
    ids = [row.prediction_id for row in gone]
    for table in (OUTCOMES, DECISIONS):
        connection.execute(sa.delete(table).where(table.c.prediction_id.in_(ids)))
    connection.execute(sa.delete(PREDICTIONS).where(PREDICTIONS.c.id.in_([row.id for row in gone])))


def _held() -> sa.ColumnElement[bool]:
    """Whether a prediction is under a legal hold, of its own or of its application."""
    active = HOLDS.c.released_at.is_(None)
    own = sa.select(HOLDS.c.id).where(active, HOLDS.c.prediction_id == PREDICTIONS.c.prediction_id)
    shared = sa.select(HOLDS.c.id).where(active, HOLDS.c.application_id == PREDICTIONS.c.application_id)
    return own.exists() | shared.exists()


def _count(connection: sa.Connection, cutoff: datetime, condition: sa.ColumnElement[bool]) -> int:
    counted = sa.select(sa.func.count()).select_from(PREDICTIONS)
    return connection.execute(counted.where(PREDICTIONS.c.created_at < cutoff, condition)).scalar_one()


# Legal holds


def hold(
    log: PredictionLog,
    *,
    reason: str,
    by: str,
    prediction_id: str | None = None,
    application_id: str | None = None,
) -> Hold:
    """Keep a prediction, or all of an application (those that are made later too), from every purge until released.

    Raises LogError when the log holds no such prediction or application: a hold of a misspelt id would hold nothing.
    """
    if (prediction_id is None) == (application_id is None):
        raise LogError("a hold is of a prediction or of an application: name one of them")
    reason, by = said("reason", reason), said("by", by)
    name, value = ("prediction_id", prediction_id) if application_id is None else ("application_id", application_id)
    value = said(name, value)
    with log.writing() as connection:
        log.hold_still(connection)
        covered = _covered(connection, name, value)
        if not covered:
            raise LogError(f"the log holds no prediction with {name} {value!r}; look at the id")
        row = {"created_at": now(), name: value, "reason": reason, "held_by": by}
        number = connection.execute(sa.insert(HOLDS).values(row).returning(HOLDS.c.id)).scalar_one()
        _enter(connection, "hold", by, {"hold": number, name: value, "reason": reason}, covered)
    return Hold(number, covered)


def release(log: PredictionLog, hold_id: int, *, by: str) -> Hold:
    """End a legal hold. It stays on record. Raises LogError when there is none with this id, or it has ended."""
    by = said("by", by)
    with log.writing() as connection:
        log.hold_still(connection)
        row = connection.execute(sa.select(HOLDS).where(HOLDS.c.id == hold_id)).mappings().one_or_none()
        if row is None:
            raise LogError(f"there is no legal hold {hold_id}; creditrisk log holds lists them")
        if row["released_at"] is not None:
            raise LogError(
                f"legal hold {hold_id} was released on {row['released_at']:%Y-%m-%d} by {row['released_by']}"
            )
        name = "application_id" if row["prediction_id"] is None else "prediction_id"
        covered = _covered(connection, name, row[name])
        ended = {"released_at": now(), "released_by": by}
        connection.execute(sa.update(HOLDS).where(HOLDS.c.id == hold_id).values(**ended))
        _enter(connection, "release", by, {"hold": hold_id, name: row[name]}, covered)
    return Hold(hold_id, covered)


def _covered(connection: sa.Connection, name: str, value: str) -> int:
    counted = sa.select(sa.func.count()).select_from(PREDICTIONS).where(PREDICTIONS.c[name] == value)
    return connection.execute(counted).scalar_one()


# Entries


def entries(log: PredictionLog, limit: int = 100) -> list[dict[str, Any]]:
    """The last exports, purges, holds and releases as dicts of all columns, newest first."""
    with _asking(log) as engine, engine.connect() as connection:
        found = connection.execute(sa.select(ENTRIES).order_by(ENTRIES.c.id.desc()).limit(limit))
        return [dict(row) for row in found.mappings()]


def _enter(connection: sa.Connection, action: str, by: str, parameters: dict[str, Any], rows: int) -> int:
    told = json.loads(to_json({name: value for name, value in parameters.items() if value is not None}))
    row = {"created_at": now(), "action": action, "done_by": by, "parameters": told, "rows": rows}
    return connection.execute(sa.insert(ENTRIES).values(row).returning(ENTRIES.c.id)).scalar_one()


@contextmanager
def _asking(log: PredictionLog) -> Iterator[sa.Engine]:
    """An engine for long questions, for which those who serve have no time."""
    engine = open_engine(log.url, read_only=True, busy_seconds=log.busy_seconds)
    try:
        with readable_errors(log.url, log.busy_seconds):
            yield engine
    finally:
        engine.dispose()


# What people write


def parse_age(text: str) -> int:
    """Days of an age as in '400d'. Raises LogError."""
    found = re.fullmatch(r"([0-9]{1,5})d", text.strip(), re.ASCII)
    if found is None:
        raise LogError(f"{text!r} is no age; write days, as in 400d")
    return int(found[1])


def parse_moment(text: str) -> datetime:
    """A date, which is midnight UTC, or an ISO 8601 time, UTC unless it says otherwise. Raises LogError."""
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise LogError(f"{text!r} is no date; write YYYY-MM-DD, or YYYY-MM-DDTHH:MM:SS") from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
