"""Counts of the log are right on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone

import pytest

from creditrisk.serving import tally
from creditrisk.serving.log import OutcomeRecord, PredictionLog, PredictionRecord, migrate
from creditrisk.serving.tally import Group, OutcomeGroup

NOON = datetime(2026, 3, 31, 12, tzinfo=UTC)


def record(at: datetime = NOON, score: int = 700, pd: float = 0.25, **changes) -> PredictionRecord:
    values = {"model_version": "v1", "model_sha256": "a" * 64, "portfolio": "retail", "purpose": "production"}
    values |= {"source": "api", "inputs": {}, "features": {}, "rating": "Good", "decision": "approve", "created_at": at}
    return PredictionRecord(**values | {"score": score, "pd": pd} | changes)


@pytest.fixture
def log(empty_url) -> Iterator[PredictionLog]:
    migrate(empty_url)
    log = PredictionLog(empty_url)
    yield log
    log.close()


def test_an_empty_log_has_nothing_to_count(log):
    assert tally.ends(log) is None and tally.newest_outcome(log) == 0
    assert tally.tally(log, 1, 100) == tally.tally_outcomes(log, 1, 100) == []


def test_predictions_alike_are_one_group_with_the_sum_of_their_pds(log):
    same = [record(), record(pd=0.5), record(NOON + timedelta(hours=11, minutes=59))]
    other = [record(score=701), record(purpose="file"), record(decision=None), record(rating="Fair")]
    log.append([*same, *other, record(model_version="v2")])
    found = tally.tally(log, 1, 100)
    assert sorted(one.n for one in found) == [1, 1, 1, 1, 1, 3]
    assert Group("2026-03-31", "production", "v1", 700, "Good", "approve", 3, 1.0) in found
    assert {one.decision for one in found} == {"approve", None}
    assert {type(one.pds) for one in found} == {float}


def test_a_day_is_one_of_utc_wherever_the_prediction_was_made(log):
    log.append([record(datetime(2026, 4, 1, 1, tzinfo=timezone(timedelta(hours=2))))])
    assert [one.day for one in tally.tally(log, 1, 100)] == ["2026-03-31"]


def test_only_the_ids_and_the_time_asked_for_are_counted(log):
    log.append([record(NOON + timedelta(days=day)) for day in range(5)])
    since, until = NOON + timedelta(days=1), NOON + timedelta(days=3)
    assert tally.ends(log, since, until) == (2, 3) and tally.ends(log) == (1, 5)
    assert tally.ends(log, NOON + timedelta(days=9)) is None
    assert [one.day for one in tally.tally(log, 1, 5, since, until)] == ["2026-04-01", "2026-04-02"]
    assert sum(one.n for one in tally.tally(log, 3, 4)) == 2


def test_of_several_outcomes_the_last_one_counts(log):
    ids = log.append([record(), record(pd=0.5), record(score=600, decision="decline")]).prediction_ids
    for number, bad in ((0, True), (0, False), (1, True), (2, True)):
        log.add_outcomes([OutcomeRecord(prediction_id=ids[number], observed_at=NOON + timedelta(days=9), bad=bad)])
    assert tally.newest_outcome(log) == 4
    assert sorted(tally.tally_outcomes(log, 1, 100)) == [
        OutcomeGroup("production", "v1", 600, "decline", 1, 1),
        OutcomeGroup("production", "v1", 700, "approve", 2, 1),
    ]
    assert tally.tally_outcomes(log, 3, 3) == [OutcomeGroup("production", "v1", 600, "decline", 1, 1)]
    assert tally.tally_outcomes(log, 1, 3, NOON + timedelta(days=1)) == []
