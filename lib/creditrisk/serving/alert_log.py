"""Alerts in the prediction log: which change of status is told, when, and by whom. Sending is somebody else's.

Every change of a subject's status is one row, also when nobody is told of it: the newest row is the status now.

    dropped   remembered only, or overtaken by a later change before it was sent
    held      waits for the end of the cool-down
    pending   to be sent: by whoever holds its lease, or from the end of its lease on by anybody
    sent      at least one receiver has it
    failed    given up: no receiver could be reached in all attempts

Decisions are made one at a time, in write transactions, whatever the number of workers: one change is one
row. A sender that dies lets its lease run out and another one sends again, so a receiver gets an alert
at least once. Exactly once is impossible: who dies after a mail server has taken a message cannot say so any more.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from creditrisk.serving.records import now, one_of, positive, said
from creditrisk.serving.schema import ALERTS, CHECKS, REPORTS

if TYPE_CHECKING:
    from creditrisk.serving.log import PredictionLog

GREEN, AMBER, RED, INSUFFICIENT = STATUSES = ("green", "amber", "red", "insufficient data")
STATES = ("pending", "sent", "held", "failed", "dropped")
NOTIFY = (RED, GREEN)
"""Statuses that are told; the others are remembered only."""
BACK_OFF = (30, 120, 600, 1_800, 3_600)
"""Seconds that an alert waits after its first, second, ... attempt that did not reach everybody; then the last."""
MAX_ATTEMPTS = 30
"""More than a day of attempts; an alert that nobody has by then has failed."""
ALERT_LOCK = 0x616C7274  # decisions are made one at a time (PostgreSQL's advisory locks)
WINDOWS = 20
"""Newest drift checks of a model that are looked at."""

Words = tuple[str, str]
"""Title and body."""


@dataclass(frozen=True)
class Alert:
    """A change of status, as it is stored. `delivered`: names of the receivers that have it."""

    id: int
    created_at: datetime
    subject: str
    model_version: str
    model_sha256: str
    status_before: str | None
    status: str
    title: str
    body: str
    state: str
    attempts: int
    owner: str | None
    delivered: list[str] | None
    error: str | None


@dataclass(frozen=True)
class Judged:
    """The status of a subject now; `words` gives title and body, and is asked only when the status has changed."""

    status: str
    words: Callable[[sa.Connection], Words]


# Decisions


def decide(
    log: PredictionLog,
    subject: str,
    judge: Callable[[sa.Connection], Judged | None],
    *,
    model_version: str = "",
    model_sha256: str = "",
    cool_down: float = 0,
    notify: Collection[str] = NOTIFY,
) -> Alert | None:
    """Store the subject's status if it has changed; returns what was stored, None without a change.

    `judge` is asked inside the transaction, so that of two workers the one with the later facts decides last; it
    returns None when there is nothing to judge. `cool_down` in seconds. The first status of a subject is told only
    when it is red, green only when something else was told before.
    """
    said("subject", subject)
    with log.reading() as connection:  # the usual answer, found without the write lock
        judged = judge(connection)
        if judged is None or not _is_news(judged.status, _newest(connection, subject)):
            return None
    with log.writing() as connection:
        _alone(connection)
        judged, before = judge(connection), _newest(connection, subject)
        if judged is None or not _is_news(judged.status, before):
            return None
        title, body = _checked(judged, connection)
        held = (ALERTS.c.subject == subject) & (ALERTS.c.state == "held")
        connection.execute(sa.update(ALERTS).where(held).values(state="dropped"))
        row = {
            "created_at": now(),
            "subject": subject,
            "model_version": model_version,
            "model_sha256": model_sha256,
            "status_before": before and before.status,
            "status": judged.status,
            "title": title,
            "body": body,
            "state": _state(judged.status, before, _told(connection, subject), cool_down, notify),
            "attempts": 0,
        }
        number = connection.execute(sa.insert(ALERTS).values(row).returning(ALERTS.c.id)).scalar_one()
        if row["state"] == "pending":
            _overtake(connection, subject, number)
        return Alert(id=number, owner=None, delivered=None, error=None, **row)


def release(log: PredictionLog, cool_down: float) -> int:
    """Let those held go whose cool-down is over, if they still are news; returns how many are pending now."""
    with log.reading() as connection:
        if not _due(connection, cool_down):
            return 0
    released = 0
    with log.writing() as connection:
        _alone(connection)
        for row, told in _due(connection, cool_down):
            # What was told last may have failed since, and then this may be no news any more.
            known = told and told.status
            is_news = row.status != known and not (row.status == GREEN and known is None)
            state = "pending" if is_news else "dropped"
            connection.execute(sa.update(ALERTS).where(ALERTS.c.id == row.id).values(state=state))
            if is_news:
                _overtake(connection, row.subject, row.id)
                released += 1
    return released


def _is_news(status: str, before: sa.Row | None) -> bool:
    """Whether the status has changed, or was meant to be told and nobody could be reached."""
    return before is None or before.status != status or before.state == "failed"


def _state(
    status: str, before: sa.Row | None, told: sa.Row | None, cool_down: float, notify: Collection[str]
) -> str:  # fmt: skip
    """What becomes of a change to this status; `told` is the last alert that was sent or will be."""
    known = told and told.status
    if status not in notify or (before is None and status != RED) or (status == GREEN and known in (None, GREEN)):
        return "dropped"
    if _rests(told, cool_down):
        return "dropped" if status == known else "held"
    return "pending"


def _rests(told: sa.Row | None, cool_down: float) -> bool:
    """Whether the cool-down after the last alert is still on; it begins when the first receiver has it."""
    if told is None or cool_down <= 0:
        return False
    return told.sent_at is None or told.sent_at + timedelta(seconds=cool_down) > now()


def _newest(connection: sa.Connection, subject: str) -> sa.Row | None:
    table = ALERTS.c
    newest = sa.select(table.status, table.state).where(table.subject == subject).order_by(table.id.desc()).limit(1)
    return connection.execute(newest).one_or_none()


def _told(connection: sa.Connection, subject: str) -> sa.Row | None:
    """The last alert of a subject that was sent, or is on its way."""
    table = ALERTS.c
    told = sa.select(table.status, table.sent_at).where(table.subject == subject, table.state.in_(("pending", "sent")))
    return connection.execute(told.order_by(table.id.desc()).limit(1)).one_or_none()


def _due(connection: sa.Connection, cool_down: float) -> list[tuple[sa.Row, sa.Row | None]]:
    """Alerts held whose cool-down is over, each with what was told last."""
    table = ALERTS.c
    held = sa.select(table.id, table.subject, table.status).where(table.state == "held").order_by(table.id)
    found = [(row, _told(connection, row.subject)) for row in connection.execute(held).all()]
    return [(row, told) for row, told in found if not _rests(told, cool_down)]


def _overtake(connection: sa.Connection, subject: str, number: int) -> None:
    """Stop telling the rest of the receivers about what a newer alert has overtaken."""
    table = ALERTS.c
    partly = (table.subject == subject) & (table.id < number) & (table.state == "pending") & table.sent_at.is_not(None)
    connection.execute(sa.update(ALERTS).where(partly).values(state="sent", owner=None, lease_until=None))


def _checked(judged: Judged, connection: sa.Connection) -> Words:
    one_of("status", judged.status, STATUSES)
    title, body = judged.words(connection)
    title = " ".join(said("title", title).split())  # one line: it is the subject of a mail
    return title, said("body", body)


def _alone(connection: sa.Connection) -> None:
    """Until the transaction ends nobody else decides. SQLite has one writer at a time anyhow."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(ALERT_LOCK)))


# Sending


def claim(log: PredictionLog, owner: str, lease_seconds: float) -> Alert | None:
    """Take the oldest pending alert that nobody is sending, for so many seconds; None without one.

    The alerts of one subject are sent in their order. One whose sender died in its 30th attempt is given up.
    """
    table, earlier, moment = ALERTS.c, ALERTS.alias("earlier"), now()
    free = (table.state == "pending") & (table.lease_until.is_(None) | (table.lease_until < moment))
    before = (earlier.c.subject == table.subject) & (earlier.c.state == "pending") & (earlier.c.id < table.id)
    ready = free & ~sa.select(earlier.c.id).where(before).exists()
    with log.reading() as connection:
        if connection.execute(sa.select(table.id).where(ready).limit(1)).first() is None:
            return None
    with log.writing() as connection:
        _alone(connection)
        spent = free & (table.attempts >= MAX_ATTEMPTS)
        why = f"its sender died in attempt {MAX_ATTEMPTS}"
        given_up = {"state": _given_up(), "error": sa.func.coalesce(table.error, why), "owner": None}
        connection.execute(sa.update(ALERTS).where(spent).values(**given_up))
        row = connection.execute(sa.select(ALERTS).where(ready).order_by(table.id).limit(1)).mappings().one_or_none()
        if row is None:
            return None
        lease = {"owner": owner, "attempts": row["attempts"] + 1}
        until = moment + timedelta(seconds=lease_seconds)
        connection.execute(sa.update(ALERTS).where(table.id == row["id"]).values(lease_until=until, **lease))
        return _alert({**row, **lease})


def note(log: PredictionLog, alert: Alert, delivered: Sequence[str], lease_seconds: float) -> None:
    """Keep, while others are still to come, who has the alert, and its lease for so many seconds more."""
    until = now() + timedelta(seconds=lease_seconds)
    values = {
        "delivered": list(delivered),
        "sent_at": sa.func.coalesce(ALERTS.c.sent_at, _moment()),
        "lease_until": until,
    }
    with log.writing() as connection:
        connection.execute(sa.update(ALERTS).where(_mine(alert)).values(**values))


def finish(log: PredictionLog, alert: Alert, delivered: Sequence[str], error: str | None) -> datetime | None:
    """End an attempt: sent when `error` is None, else to be tried again; returns when, None if that was the last.

    Does nothing when another sender has taken the alert over in the meantime.
    """
    table, again = ALERTS.c, None
    values: dict[str, Any] = {"error": error, "owner": None, "lease_until": None}
    if delivered:
        values |= {"delivered": list(delivered), "sent_at": sa.func.coalesce(table.sent_at, _moment())}
    if error is None:
        values["state"] = "sent"
    elif alert.attempts >= MAX_ATTEMPTS:
        values["state"] = "sent" if delivered else _given_up()
    else:
        wait = BACK_OFF[min(alert.attempts, len(BACK_OFF)) - 1]
        values["lease_until"] = again = now() + timedelta(seconds=wait)
    with log.writing() as connection:
        connection.execute(sa.update(ALERTS).where(_mine(alert)).values(**values))
    return again


def _moment() -> sa.ColumnElement[datetime]:
    return sa.literal(now(), ALERTS.c.sent_at.type)


def _given_up() -> sa.ColumnElement[str]:
    return sa.case((ALERTS.c.sent_at.is_not(None), "sent"), else_="failed")


def _mine(alert: Alert) -> sa.ColumnElement[bool]:
    table = ALERTS.c
    same = (table.owner == alert.owner) & (table.attempts == alert.attempts)
    return (table.id == alert.id) & (table.state == "pending") & same


def _alert(row: Any) -> Alert:
    return Alert(**{item.name: row[item.name] for item in fields(Alert)})


# Looking


def alerts(
    log: PredictionLog, limit: int = 100, before_id: int | None = None, *, subject: str | None = None, all: bool = False
) -> list[dict[str, Any]]:
    """Up to `limit` alerts as dicts of all columns, newest first; for the next page pass the last id.

    Those that people were told of or will be; with `all` also changes that were only remembered.
    """
    query = sa.select(ALERTS).order_by(ALERTS.c.id.desc()).limit(positive("limit", limit))
    if not all:
        query = query.where(ALERTS.c.state != "dropped")
    if subject is not None:
        query = query.where(ALERTS.c.subject == subject)
    if before_id is not None:
        query = query.where(ALERTS.c.id < before_id)
    with log.reading() as connection:
        return [dict(row) for row in connection.execute(query).mappings()]


def drift_windows(connection: sa.Connection, model_version: str, model_sha256: str) -> list[tuple[int, str]]:
    """Bucket and status of a model's newest automatic drift reports, newest bucket first, 20 buckets at most.

    The newest bucket is found by the key of the checks: the cost does not grow with the log. A check that has not
    been made yet, or whose report is gone, is left out.
    """
    ours = (CHECKS.c.model_version == model_version) & (CHECKS.c.model_sha256 == model_sha256)
    # Said this way, the index by status does not lure SQLite into reading all that are done.
    done = sa.select(CHECKS.c.bucket).where(ours, CHECKS.c.status.not_in(("pending", "running", "failed")))
    newest = connection.execute(done.order_by(CHECKS.c.bucket.desc()).limit(1)).scalar()
    if newest is None:
        return []
    by_key = {_key(bucket): bucket for bucket in range(newest, max(0, newest - WINDOWS), -1)}
    rows = connection.execute(_reports(model_version, model_sha256, by_key, REPORTS.c.window_key, REPORTS.c.status))
    return sorted(((by_key[key], status) for key, status in rows), reverse=True)


def drift_report(
    connection: sa.Connection, model_version: str, model_sha256: str, bucket: int
) -> tuple[int, dict[str, Any]] | None:
    """Id and content of the automatic drift report of one bucket; None when it is gone."""
    found = _reports(model_version, model_sha256, [_key(bucket)], REPORTS.c.id, REPORTS.c.report)
    row = connection.execute(found).one_or_none()
    return row and (row.id, row.report or {})


def _key(bucket: int) -> str:
    return f"bucket-{bucket}"


def _reports(model_version: str, model_sha256: str, keys: Collection[str], *columns: sa.Column) -> sa.Select:
    table = REPORTS.c
    ours = (table.model_version == model_version) & (table.model_sha256 == model_sha256)
    return sa.select(*columns).where(ours, table.trigger == "automatic", table.window_key.in_(list(keys)))
