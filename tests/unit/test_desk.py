"""Where requests meet: one batch, one transaction, an answer after the commit, and nobody spoils it for others."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from creditrisk.errors import LogError
from creditrisk.serving import desk as desks
from creditrisk.serving.contract import example_application
from creditrisk.serving.desk import Busy, Desk, Job
from creditrisk.serving.log import PredictionLog, migrate
from creditrisk.serving.models import Served
from servers import run_alone
from unit.models import RETAIL, published

VALID = example_application(RETAIL)


@pytest.fixture(scope="module")
def served(tmp_path_factory) -> Served:
    return Served(published(tmp_path_factory.mktemp("artifacts"))["v1"])


@pytest.fixture
def log(tmp_path) -> Iterator[PredictionLog]:
    migrate(url := f"sqlite:///{tmp_path / 'predictions.db'}")
    log = PredictionLog(url, busy_seconds=1)
    yield log
    log.close()


def job(served: Served, rows: int = 1, **changes) -> Job:
    values = served.application.model_validate(VALID | changes).__dict__
    inputs = {wire: values[name] for name, wire in served.wire_names if values[name] is not None}
    return Job(served, [values] * rows, [inputs] * rows, "production")


def answers(desk: Desk, *jobs: Job) -> list:
    """What becomes of jobs that arrive together: answers, or the error of each."""

    async def together():
        return await asyncio.gather(*(desk.submit(one) for one in jobs), return_exceptions=True)

    try:
        return run_alone(together())
    finally:
        desk.stop()


def test_requests_that_arrive_together_are_one_transaction(served, log):
    batches = []
    found = answers(
        Desk(log, on_batch=lambda rows, _: batches.append(rows)), *(job(served, age=30 + k) for k in range(8))
    )
    assert batches == [8] and len(log.predictions(1000)) == 8
    ids = [answer.record.prediction_id for (answer,) in found]
    assert ids == [row["prediction_id"] for row in reversed(log.predictions(1000))]
    ages = [row["inputs"]["age"] for row in reversed(log.predictions(1000))]
    assert ages == list(range(30, 38)), "each with its own answer"


def test_a_job_is_answered_after_its_commit(served, log, monkeypatch):
    there = []
    plain = desks._resolve
    monkeypatch.setattr(desks, "_resolve", lambda settled: (there.append(len(log.predictions(10))), plain(settled)))
    answers(Desk(log), job(served))
    assert there == [1]


def test_while_another_process_writes_answers_wait_and_the_loop_does_not(served, log):
    other = sqlite3.connect(log.url.database, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    threading.Timer(0.4, other.rollback).start()
    longest = 0.0

    async def meanwhile():
        nonlocal longest
        while not task.done():
            start = time.perf_counter()
            await asyncio.sleep(0.001)
            longest = max(longest, time.perf_counter() - start)

    async def both():
        nonlocal task
        task = asyncio.ensure_future(desk.submit(job(served)))
        await meanwhile()
        return await task

    task, desk = None, Desk(log)
    start = time.perf_counter()
    ((answer,), taken) = run_alone(both()), time.perf_counter() - start
    desk.stop()
    other.close()
    assert taken > 0.3 and longest < 0.3, "the loop goes on while the answer waits"
    assert [row["prediction_id"] for row in log.predictions(10)] == [answer.record.prediction_id]


def test_what_cannot_be_stored_is_an_error_and_not_an_answer(served, log):
    other = sqlite3.connect(log.url.database, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    found = answers(Desk(log), job(served), job(served))
    other.rollback()
    other.close()
    assert all(isinstance(one, LogError) for one in found) and log.predictions(10) == []


def test_one_job_that_breaks_spoils_no_other(served, log, caplog):
    broken = replace(job(served), values=[{"age": "SECRET"}])
    first, second, third = answers(Desk(log), job(served), broken, job(served))
    assert isinstance(second, Exception) and not isinstance(second, LogError)
    assert len(first) == len(third) == 1 and len(log.predictions(10)) == 2
    assert "a prediction failed" in caplog.text and "SECRET" not in caplog.text


def test_jobs_of_different_models_that_arrive_together_keep_their_order(served, log, tmp_path):
    other = Served(published(tmp_path / "more")["v2"])
    found = answers(Desk(log), job(served), job(other), job(served))
    assert [answer.record.model_version for (answer,) in found] == ["v1", "v2", "v1"]


def test_too_many_that_wait_are_turned_away(served, log, monkeypatch):
    monkeypatch.setattr(desks, "MOST_WAITING", 40)
    monkeypatch.setattr(desks, "MOST_QUICK", 0)
    found = answers(Desk(log), *(job(served, 15) for _ in range(5)))
    turned_away = [one for one in found if isinstance(one, Busy)]
    assert turned_away and len(log.predictions(1000)) == 15 * (5 - len(turned_away))


def test_stopping_finishes_what_waits(served, log, monkeypatch):
    monkeypatch.setattr(desks, "MOST_QUICK", 0)
    desk = Desk(log)

    async def leave():
        for _ in range(5):
            asyncio.ensure_future(desk.submit(job(served)))
        await asyncio.sleep(0)

    run_alone(leave())  # the clients have gone with their loop
    desk.stop()
    assert len(log.predictions(10)) == 5
