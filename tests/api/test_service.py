"""The API as a process: it counts and checks exactly once, survives restarts, and finds the model of every check."""

from __future__ import annotations

import http.client
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import sqlalchemy as sa
from starlette.testclient import TestClient

from creditrisk import service
from creditrisk.errors import ArtifactError, LogError
from creditrisk.monitoring.checks import run_due_checks
from creditrisk.serving.log import CHECKS, MAX_ATTEMPTS, Check, PredictionLog, PredictionRecord, migrate
from creditrisk.serving.model import load_model, save_models
from creditrisk.serving.models import Models, Served
from creditrisk.serving.scorer import Scorer
from creditrisk.settings import reload_settings
from servers import Client, running

PROMISE = 5  # seconds from the hundredth prediction to its drift check


def wait_for_reports(client: Client, count: int, seconds: float = PROMISE) -> list[dict]:
    deadline = time.monotonic() + seconds
    while len(reports := client.get("/drift-reports")) < count and time.monotonic() < deadline:
        time.sleep(0.05)
    return reports


@pytest.mark.parametrize("empty_urls", ["sqlite", pytest.param("postgresql", marks=pytest.mark.soak)], indirect=True)
def test_150_predictions_give_one_quiet_drift_check_in_time_and_all_of_it_survives_a_restart(
    trained, applications, empty_url, tmp_path
):
    with running(1, empty_url, trained.folder, tmp_path) as (server,):
        client = server.client()
        for application in applications[:100]:
            client.predict(application)
        hundredth = time.monotonic()
        (report,) = wait_for_reports(client, 1)
        assert time.monotonic() - hundredth < PROMISE
        assert (report["trigger"], report["n"], report["flagged"], report["status"]) == ("automatic", 100, 0, "green")
        for number, application in enumerate(applications[100:150]):
            last = client.predict({**application, "application_id": f"restart-{number}"})
        time.sleep(1.5)  # longer than the worker sleeps: it would have found another check by now
        assert client.get("/drift-reports") == [report]
        logs, info = client.get("/logs?limit=1000"), client.get("/model-info")
        assert len(logs) == 150 and logs[0]["prediction_id"] == last["prediction_id"]
        printed = server.stop()
    assert "restart-" not in printed and "Traceback" not in printed

    with running(1, empty_url, trained.folder, tmp_path) as (server,):
        client = server.client()
        assert client.get("/logs?limit=1000") == logs
        assert client.get("/drift-reports") == [report]
        assert client.get("/model-info") == info
        assert client.predict({**applications[149], "application_id": "restart-49"}) == last
        for application in applications[150:200]:
            client.predict(application)
        assert [r["window_key"] for r in wait_for_reports(client, 2)] == ["bucket-2", "bucket-1"]
        server.stop()


@pytest.mark.parametrize("empty_urls", [pytest.param("sqlite", marks=pytest.mark.soak), "postgresql"], indirect=True)
def test_predictions_from_eight_threads_over_two_processes_are_counted_and_checked_exactly_once(
    trained, champion, applications, empty_url, tmp_path
):
    answers: list[list[dict]] = [[] for _ in range(8)]
    with running(2, empty_url, trained.folder, tmp_path) as servers:

        def send(number: int) -> None:
            client = servers[number % 2].client()
            answers[number] += [client.predict(a) for a in applications[number * 50 : number * 50 + 50]]

        threads = [threading.Thread(target=send, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        client = servers[0].client()
        reports = wait_for_reports(client, 4)
        logs = client.get("/logs?limit=1000")
        assert sorted(r["window_key"] for r in reports) == ["bucket-1", "bucket-2", "bucket-3", "bucket-4"]
        assert [r["n"] for r in reports] == [100] * 4
        time.sleep(1.5)
        assert len(client.get("/drift-reports")) == 4
        for server in servers:
            server.stop()
    flat = [answer for part in answers for answer in part]
    assert len(flat) == 400
    assert {a["prediction_id"] for a in flat} == {row["prediction_id"] for row in logs}
    frame = pd.DataFrame(applications[:400]).rename(columns=champion.portfolio.wire_names)
    assert [a["default_probability"] for a in flat] == Scorer(champion).score_frame(frame).pd.tolist()
    log = PredictionLog(empty_url)
    counts = log.counts()
    log.close()
    assert counts["checks"] == {"pending": 0, "running": 0, "done": 4, "failed": 0}
    assert counts["models"] == [{"model_version": "v2", "model_sha256": champion.sha256, "n": 400, "scheduled": 400}]


def test_a_body_that_is_far_too_long_gets_its_answer_from_a_real_server(trained, tmp_path):
    url = f"sqlite:///{tmp_path / 'predictions.db'}"
    with running(1, url, trained.folder, tmp_path) as (server,):
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        connection.request("POST", "/predict", b" " * 3_000_000, {"Content-Type": "application/json"})
        response = connection.getresponse()
        assert response.status == 413 and b"1,000,000 bytes" in response.read()
        assert server.client().get("/logs") == []


def test_the_process_loads_nothing_of_tracking_running_or_plotting():
    code = "import sys, creditrisk.service; print({name.split('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert not any(f"'{name}'" in loaded for name in ("mlflow", "papermill", "matplotlib", "ipywidgets", "optuna"))


# The factory


@pytest.fixture
def environment(monkeypatch, tmp_path, trained) -> Iterator[pytest.MonkeyPatch]:
    """Settings for `create`: the trained models and a log in tmp_path that is not migrated yet."""
    monkeypatch.setenv("CREDITRISK_HOME", str(tmp_path))
    monkeypatch.setenv("CREDITRISK_ARTIFACTS", trained.folder)
    monkeypatch.setenv("CREDITRISK_DATABASE_URL", f"sqlite:///{tmp_path / 'predictions.db'}")
    monkeypatch.delenv("CREDITRISK_SERVE_MODEL", raising=False)
    reload_settings()
    yield monkeypatch
    monkeypatch.undo()
    reload_settings()


def test_create_serves_the_champion_or_the_model_that_is_named(environment, champion, tmp_path):
    migrate(f"sqlite:///{tmp_path / 'predictions.db'}")
    for named, version in ((None, champion.version), ("challenger", "v1"), ("v1", "v1"), ("", champion.version)):
        if named is not None:
            environment.setenv("CREDITRISK_SERVE_MODEL", named)
        with TestClient(service.create(), base_url="http://127.0.0.1") as client:
            assert client.get("/model-info").json()["model_version"] == version


def test_create_refuses_an_unknown_model_and_a_log_without_tables_with_what_to_do(environment):
    with pytest.raises(LogError, match="creditrisk serve"):
        service.create()
    environment.setenv("CREDITRISK_SERVE_MODEL", "v9")
    with pytest.raises(ArtifactError, match="there is no model 'v9'; there are v1, v2"):
        service.create()


def test_the_drift_period_is_a_setting(environment, applications, tmp_path):
    migrate(f"sqlite:///{tmp_path / 'predictions.db'}")
    environment.setenv("CREDITRISK_DRIFT_PERIOD", "10")
    reload_settings()
    with TestClient(service.create(), base_url="http://127.0.0.1") as client:
        for application in applications[:10]:
            assert client.post("/predict", json=application).status_code == 200
        deadline = time.monotonic() + PROMISE
        while not (reports := client.get("/drift-reports").json()) and time.monotonic() < deadline:
            time.sleep(0.05)
    assert [report["n"] for report in reports] == [10]


# The model of a check


def check_of(version: str, sha256: str) -> Check:
    now = pd.Timestamp.now("UTC").to_pydatetime()
    return Check(version, sha256, 1, 1, 100, 1, "test", now)


def test_the_model_of_a_check_is_the_served_one_a_published_one_or_an_archived_one(trained, tmp_path):
    v1, v2 = (load_model(version, trained.folder) for version in ("v1", "v2"))
    folder = str(tmp_path / "artifacts")
    save_models(folder, {"v1": v1, "v2": v2}, "v2")
    v1, old = (load_model(version, folder) for version in ("v1", "v2"))
    save_models(folder, {"v2": replace(v2, training={**v2.training, "seed": 43})}, "v2")
    served = load_model("v2", folder)
    assert old.sha256 != served.sha256
    find = service.model_finder(Models(Served(served)), folder)
    assert find(check_of("v2", served.sha256)) is served
    assert find(check_of("v1", v1.sha256)).sha256 == v1.sha256
    archived = find(check_of("v2", old.sha256))
    assert archived.training == v2.training and archived.sha256 == old.sha256
    assert find(check_of("v2", old.sha256)) is archived
    for path in (tmp_path / "artifacts" / "archive").iterdir():
        path.unlink()
    with pytest.raises(ArtifactError, match="names archive/.* which is not there"):
        service.model_finder(Models(Served(served)), folder)(check_of("v2", old.sha256))
    with pytest.raises(ArtifactError, match="model v1 with SHA-256 bbbbbbbbbbbb... is not in .*lists no such file"):
        find(check_of("v1", "b" * 64))


def filled_log(tmp_path: Path, *records: PredictionRecord) -> PredictionLog:
    url = f"sqlite:///{tmp_path / 'predictions.db'}"
    migrate(url)
    log = PredictionLog(url, period=1)
    for record in records:
        log.append([record])
    return log


def record_of(version: str, sha256: str, features: dict) -> PredictionRecord:
    return PredictionRecord(version, sha256, "retail", "production", "api", {}, features, 0.5, 600, "Average")


def checks(log: PredictionLog) -> dict[str, tuple]:
    """Status, attempts and error of each model's only check."""
    query = sa.select(CHECKS.c.model_version, CHECKS.c.status, CHECKS.c.attempts, CHECKS.c.error)
    with log._reader.connect() as connection:
        return {row[0]: tuple(row[1:]) for row in connection.execute(query)}


def wait_no_longer(log: PredictionLog) -> None:
    """Have the time pass that a failed check waits for."""
    with log.writing() as connection:
        connection.execute(sa.update(CHECKS).values(not_before=None))


def test_a_check_whose_model_is_gone_fails_with_the_cause_and_holds_up_no_other(trained, champion, tmp_path):
    features = dict.fromkeys(champion.features, 1.0)
    log = filled_log(tmp_path, record_of("v7", "f" * 64, features), record_of("v2", champion.sha256, features))
    find = service.model_finder(Models(Served(champion)), trained.folder)
    assert run_due_checks(log, find, "test") == 1
    assert checks(log)["v2"][0] == "done"
    for _ in range(MAX_ATTEMPTS):
        wait_no_longer(log)
        run_due_checks(log, find, "test")
    found = checks(log)
    log.close()
    status, attempts, error = found["v7"]
    assert (status, attempts) == ("failed", MAX_ATTEMPTS)
    assert error.startswith("model v7 with SHA-256 ffffffffffff... is not in")


def test_a_check_that_breaks_in_an_unforeseen_way_fails_alone_and_quotes_no_application(champion, tmp_path, caplog):
    features = dict.fromkeys(champion.features, 1.0)
    log = filled_log(tmp_path, record_of("v7", "f" * 64, features), record_of("v2", champion.sha256, features))

    def find(check: Check):
        if check.model_version == "v7":
            raise RuntimeError("value 'SECRET' of a row")
        return champion

    assert run_due_checks(log, find, "test") == 1
    assert checks(log)["v2"][0] == "done"
    for _ in range(MAX_ATTEMPTS):
        wait_no_longer(log)
        run_due_checks(log, find, "test")
    found = checks(log)
    log.close()
    assert found["v7"] == ("failed", MAX_ATTEMPTS, "RuntimeError")
    assert "drift check 1 of model v7 failed: RuntimeError" in caplog.text and "SECRET" not in caplog.text
