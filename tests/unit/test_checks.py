"""Scheduled drift checks: each is run once, against the model that made the predictions, and failures are kept."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest
import sqlalchemy as sa

from creditrisk.errors import ArtifactError
from creditrisk.monitoring import checks
from creditrisk.monitoring.checks import SCORES, CheckWorker, check_rows, check_scored, report_record, run_due_checks
from creditrisk.serving import log as log_module
from creditrisk.serving.log import CHECKS, MAX_ATTEMPTS, PREDICTIONS, PredictionLog, migrate
from creditrisk.serving.model import ModelData
from creditrisk.serving.scorer import Scorer
from unit.models import published, some_applications

PERIOD = 10


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> dict[str, ModelData]:
    return published(tmp_path_factory.mktemp("artifacts"))


@pytest.fixture
def log(tmp_path: Path) -> Iterator[PredictionLog]:
    url = f"sqlite:///{tmp_path / 'predictions.db'}"
    migrate(url)
    log = PredictionLog(url, PERIOD)
    yield log
    log.close()


class Clock:
    """The log's time, which tests move on."""

    ahead = timedelta()

    def pass_seconds(self, seconds: float) -> None:
        self.ahead += timedelta(seconds=seconds)


@pytest.fixture
def clock(monkeypatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(log_module, "now", lambda: datetime.now(UTC) + clock.ahead)
    return clock


def predict(log: PredictionLog, data: ModelData, count: int, **changes) -> None:
    """Log production predictions; `changes` are inputs that all of them say alike."""
    scorer, rows = Scorer(data), some_applications().frame.head(count).assign(**changes).to_dict("records")
    scored = scorer.score_rows(rows)
    log.append([scorer.record(scored, i, row, purpose="production", source="api") for i, row in enumerate(rows)])


def state(log: PredictionLog) -> list[dict]:
    with log._reader.connect() as connection:
        rows = connection.execute(sa.select(CHECKS).order_by(CHECKS.c.model_version, CHECKS.c.bucket)).mappings()
        return [dict(row) for row in rows]


def test_every_due_check_is_run_once_on_its_own_predictions(log, models):
    predict(log, models["v2"], 25)
    predict(log, models["v1"], 10, credit_utilization_ratio=100.0)
    finder = {data.sha256: data for data in models.values()}
    assert run_due_checks(log, lambda check: finder[check.model_sha256], "me") == 3
    assert run_due_checks(log, lambda check: finder[check.model_sha256], "me") == 0
    reports = {(r["model_version"], r["window_key"]): r for r in log.reports()}
    assert set(reports) == {("v1", "bucket-1"), ("v2", "bucket-1"), ("v2", "bucket-2")}
    for (version, key), report in reports.items():
        assert report["n"] == PERIOD and report["trigger"] == "automatic"
        check = next(c for c in state(log) if (c["model_version"], f"bucket-{c['bucket']}") == (version, key))
        rows = log.rows_of_check(checks.Check(**{k: check[k] for k in checks.Check.__dataclass_fields__}))
        assert report["report"] == check_rows(models[version], rows).to_dict()
        assert (report["first_prediction"], report["last_prediction"]) == (rows[0]["id"], rows[-1]["id"])
    utilisation = {c["column"]: c for c in reports["v1", "bucket-1"]["report"]["columns"]}["credit_utilization_ratio"]
    assert utilisation["new_mean"] == 100.0 and utilisation["n"] == PERIOD
    assert {c["status"] for c in state(log)} == {"done"}


def test_extreme_predictions_are_drift(log, models):
    predict(log, models["v2"], PERIOD, loan_amount=1e9)
    run_due_checks(log, lambda check: models["v2"], "me")
    (report,) = log.reports()
    assert report["status"] == "red" and "loan_amount" in report["report"]["flagged"] and report["flagged"] >= 1


def test_a_failing_check_is_tried_again_later_and_holds_up_no_other(log, models, caplog, clock):
    predict(log, models["v1"], PERIOD)  # the oldest: it is the first to be claimed, each time
    predict(log, models["v2"], 2 * PERIOD)

    def find(check):
        if check.model_version == "v1":
            raise ArtifactError("the file is away")
        return models["v2"]

    for attempt in range(1, MAX_ATTEMPTS + 1):
        assert run_due_checks(log, find, "me") == (2 if attempt == 1 else 0)
        assert run_due_checks(log, find, "me") == 0, "not again at once"
        failed, *others = state(log)
        assert (failed["attempts"], failed["error"]) == (attempt, "the file is away")
        assert failed["status"] == ("pending" if attempt < MAX_ATTEMPTS else "failed")
        assert [check["status"] for check in others] == ["done", "done"]
        assert [check["attempts"] for check in others] == [1, 1]
        clock.pass_seconds(601)
    assert run_due_checks(log, find, "me") == 0
    assert len(log.reports()) == 2 and "the file is away" in caplog.text


def test_a_check_that_failed_once_is_done_when_it_can_be(log, models, clock):
    predict(log, models["v1"], PERIOD)

    def nowhere(check):
        raise ArtifactError("not yet")

    assert run_due_checks(log, nowhere, "me") == 0
    clock.pass_seconds(4)
    assert run_due_checks(log, lambda check: models["v1"], "me") == 0
    clock.pass_seconds(2)
    assert run_due_checks(log, lambda check: models["v1"], "me") == 1
    (check,) = state(log)
    assert (check["status"], check["attempts"], check["error"]) == ("done", 2, None)


def test_the_message_of_a_foreign_error_is_not_kept_since_it_may_quote_applications(log, models, caplog):
    predict(log, models["v1"], PERIOD)

    def fails(check):
        raise RuntimeError("income of Ms Example is 5")

    run_due_checks(log, fails, "me")
    assert state(log)[0]["error"] == "RuntimeError" and "Example" not in caplog.text


def test_a_check_whose_predictions_are_purged_has_failed_for_good(log, models):
    predict(log, models["v1"], 2 * PERIOD)
    with log.writing() as connection:
        connection.execute(sa.delete(PREDICTIONS).where(PREDICTIONS.c.sequence == 3))
    assert run_due_checks(log, lambda check: models["v1"], "me") == 1
    purged, whole = state(log)
    assert (purged["status"], purged["attempts"], whole["status"]) == ("failed", 1, "done")
    assert purged["error"] == "1 of its 10 predictions are no longer in the log; they were purged"
    assert [report["window_key"] for report in log.reports()] == ["bucket-2"]


def test_two_workers_share_the_checks(log, models):
    predict(log, models["v2"], 12 * PERIOD)
    done = []
    threads = [
        threading.Thread(target=lambda: done.append(run_due_checks(log, lambda check: models["v2"], "me")))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(done) == 12 and len(log.reports()) == 12


def test_reports_of_files_and_of_logged_rows_are_of_the_same_rule(models):
    data, frame = models["v2"], some_applications().frame
    scored = Scorer(data).score_frame(frame)
    rows = [{"id": i + 5, "features": scored.features_of(i), **scored.result_of(i)} for i in range(len(scored))]
    by_rows, by_columns = check_rows(data, rows), check_scored(data, scored)
    assert [i.column for i in by_rows.items] == [*data.features, *SCORES] and by_rows.rows == len(frame)
    for a, b in zip(by_rows.items, by_columns.items, strict=True):
        assert a.status == b.status and (a.z is None or a.z == pytest.approx(b.z, abs=1e-12))
    record = report_record(by_rows, rows)
    assert (record.n, record.first_prediction, record.last_prediction) == (len(frame), 5, len(frame) + 4)
    assert record.status == by_rows.status and record.report == by_rows.to_dict()
    assert report_record(by_columns).first_prediction is None


def test_an_optional_input_that_nobody_sends_is_insufficient_data_and_no_drift(models):
    data = models["v2"]
    assert "enquiry_count" in data.features
    scored = Scorer(data).score_frame(some_applications(80).frame.assign(enquiry_count=float("nan")))
    report = check_scored(data, scored)
    assert {i.column for i in report.items if i.status == "insufficient data"} == {"enquiry_count"}
    assert "enquiry_count" not in report.flagged


def until(condition, seconds: float = 10) -> bool:
    end = time.monotonic() + seconds
    while not (met := condition()) and time.monotonic() < end:
        time.sleep(0.02)
    return met


def test_the_worker_runs_what_falls_due_when_it_is_woken(log, models):
    worker = CheckWorker(log, lambda check: models["v2"], every=60)
    worker.start()
    try:
        predict(log, models["v2"], PERIOD)
        worker.wake()
        assert until(lambda: len(log.reports()) == 1)
        assert pd.Timestamp(log.reports()[0]["created_at"]).tz is not None
    finally:
        worker.stop()
    assert not worker._thread.is_alive()


@pytest.mark.parametrize("busy", [True, False])
def test_the_worker_leaves_the_time_to_predictions_while_there_are_any(log, models, busy):
    ticks = iter(range(10**6))
    worker = CheckWorker(log, lambda check: models["v2"], every=0.4, made=lambda: next(ticks) if busy else 0)
    begun = time.monotonic()
    worker._after_check("ok", seconds=5.0)
    waited = time.monotonic() - begun
    assert (waited >= 0.4) if busy else (waited < 0.3), "a check costs nobody anything when nobody asks"


def test_a_check_whose_worker_died_is_run_by_another_when_its_lease_is_over(log, models):
    predict(log, models["v2"], PERIOD)
    assert log.claim_check("dead", lease_seconds=0.5) is not None
    worker = CheckWorker(log, lambda check: models["v2"], every=0.05, lease_seconds=0.5)
    worker.start()
    try:
        time.sleep(0.2)
        assert log.reports() == [], "not while it may still be at work"
        assert until(lambda: len(log.reports()) == 1)
    finally:
        worker.stop()


def test_the_worker_outlives_a_log_that_is_away(log, models, monkeypatch, caplog):
    claim, asked = log.claim_check, []

    def away(owner, **options):
        asked.append(owner)
        if len(asked) < 4:
            raise checks.CreditRiskError("the log is away")
        return claim(owner, **options)

    monkeypatch.setattr(log, "claim_check", away)
    predict(log, models["v2"], PERIOD)
    worker = CheckWorker(log, lambda check: models["v2"], every=0.01)
    worker.start()
    try:
        assert until(lambda: len(log.reports()) == 1)
    finally:
        worker.stop()
    assert caplog.text.count("held up") == 1, "said once, not every second"
