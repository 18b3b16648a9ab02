"""Counts of the prediction log: what a distribution needs of millions of predictions, stretch of ids by stretch.

A stretch is short enough for an answer at once, and one that lies in the past is not asked for again by who keeps it.
"""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa

from creditrisk.serving.log import PredictionLog
from creditrisk.serving.schema import OUTCOMES, PREDICTIONS


class Group(NamedTuple):
    """Predictions alike in all but their PD: how many they are, and the sum of their PDs. `day` is a date in UTC."""

    day: str
    purpose: str
    model_version: str
    score: int
    rating: str
    decision: str | None
    n: int
    pds: float


class OutcomeGroup(NamedTuple):
    """Predictions with a known outcome: how many they are, and how many of them turned out bad."""

    purpose: str
    model_version: str
    score: int
    decision: str | None
    n: int
    bad: int


def ends(log: PredictionLog, since: datetime | None = None, until: datetime | None = None) -> tuple[int, int] | None:
    """The first and the last id of the predictions of a time (`until` not included); None when there is none."""
    table = PREDICTIONS.c
    query = sa.select(sa.func.min(table.id), sa.func.max(table.id))
    with log.reading() as connection:
        first, last = connection.execute(_in_time(query, since, until)).one()
    return None if first is None else (first, last)


def newest_outcome(log: PredictionLog) -> int:
    """The id of the outcome that was reported last; 0 without one."""
    with log.reading() as connection:
        return connection.execute(sa.select(sa.func.max(OUTCOMES.c.id))).scalar() or 0


def tally(
    log: PredictionLog, first: int, last: int, since: datetime | None = None, until: datetime | None = None
) -> list[Group]:
    """The predictions whose ids lie from `first` to `last`, and which were made in a time, in groups."""
    table = PREDICTIONS.c
    with log.reading() as connection:
        on_sqlite = connection.dialect.name == "sqlite"
        in_utc = sa.func.timezone("UTC", table.created_at)
        day = sa.func.substr(table.created_at, 1, 10) if on_sqlite else sa.func.to_char(in_utc, "YYYY-MM-DD")
        alike = [table[name] for name in ("purpose", "model_version", "score", "rating", "decision")]
        # By the label: the expression has parameters, and PostgreSQL does not take two of them for the same.
        query = sa.select(day.label("day"), *alike, sa.func.count(), sa.func.sum(table.pd))
        query = query.where(table.id.between(first, last)).group_by(sa.text("day"), *alike)
        return [Group(*row) for row in connection.execute(_in_time(query, since, until))]


def tally_outcomes(
    log: PredictionLog, first: int, last: int, since: datetime | None = None, until: datetime | None = None
) -> list[OutcomeGroup]:
    """Of the same predictions those whose outcome is known, in groups; what was reported last counts."""
    table, later = PREDICTIONS.c, OUTCOMES.alias("later")
    newer = sa.select(later.c.id).where(later.c.prediction_id == OUTCOMES.c.prediction_id, later.c.id > OUTCOMES.c.id)
    alike = [table[name] for name in ("purpose", "model_version", "score", "decision")]
    query = sa.select(*alike, sa.func.count(), sa.func.sum(OUTCOMES.c.bad))
    query = query.join(OUTCOMES, OUTCOMES.c.prediction_id == table.prediction_id)
    query = query.where(table.id.between(first, last), ~newer.exists()).group_by(*alike)
    with log.reading() as connection:
        return [OutcomeGroup(*row) for row in connection.execute(_in_time(query, since, until))]


def _in_time(query: sa.Select, since: datetime | None, until: datetime | None) -> sa.Select:
    if since is not None:
        query = query.where(PREDICTIONS.c.created_at >= since)
    return query if until is None else query.where(PREDICTIONS.c.created_at < until)
