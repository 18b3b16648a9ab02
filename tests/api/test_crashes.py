"""Workers die in the middle of their work and many write at once: no answer is lost, no hundred goes unchecked."""

from __future__ import annotations

import http.client
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from creditrisk.serving.log import CHECKS, PREDICTIONS, PredictionLog
from creditrisk.serving.schema import REPORTS
from servers import Client, Server, running

KILLS = 20 if os.environ.get("CREDITRISK_SOAK") else 2
LEASE = 60  # seconds until the check of a dead worker is handed out again
WORKERS = 3
BETWEEN_KILLS = 150  # answers at least: each kill hits a service that is at work
PER_CONNECTION = 25  # requests about: clients come back to another worker, so that all have work
PATIENCE = 60  # seconds

only_linux = pytest.mark.skipif(sys.platform != "linux", reason="finds the workers of a server in /proc")


class Load:
    """Clients that send predictions until they are stopped or have sent enough; what they sent and what was answered.

    Every other application has an application_id, and its client sends it again until it is answered. The others are
    sent once: when the connection breaks, nobody knows whether they are in the log.
    """

    def __init__(self, port: int, applications: list[dict], clients: int, count: int | None, pause: float) -> None:
        self.answers: list[dict] = []
        self.named: list[str] = []
        self.broken = 0  # connections that ended without an answer
        self.lost = 0  # sent once, not answered
        self.refused: Counter[int] = Counter()
        self.failures: list[str] = []
        self._applications, self._port, self._pause, self._left = applications, port, pause, count
        self._sent = 0
        self._guard, self._stopped = threading.Lock(), threading.Event()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(clients)]

    @contextmanager
    def running(self) -> Iterator[Load]:
        for thread in self._threads:
            thread.start()
        try:
            yield self
        finally:
            self._stopped.set()
            self.wait()

    def is_running(self) -> bool:
        return any(thread.is_alive() for thread in self._threads)

    def wait(self) -> None:
        """Wait until all clients have ended."""
        for thread in self._threads:
            thread.join(timeout=3 * PATIENCE)
            assert not thread.is_alive(), "a client waits without end"

    def _run(self) -> None:
        client = Client(self._port, seconds=PATIENCE)
        try:
            while not self._stopped.is_set() and (number := self._next()) is not None:
                if number % PER_CONNECTION == 0:
                    client.close()
                application = self._applications[number % len(self._applications)]
                if number % 2:
                    self._insist(client, {**application, "application_id": f"named-{number}"})
                else:
                    self._try(client, application)
                time.sleep(self._pause)
        except Exception as error:
            self.failures.append(repr(error))

    def _next(self) -> int | None:
        with self._guard:
            if self._left is not None and self._sent >= self._left:
                return None
            self._sent += 1
            return self._sent

    def _try(self, client: Client, application: dict) -> bool:
        """Send once; whether it was answered."""
        try:
            status, content, _ = client.try_to_predict(application)
        except (OSError, http.client.HTTPException):
            with self._guard:
                self.broken += 1
                self.lost += "application_id" not in application
            return False
        if status == 200:
            with self._guard:
                self.answers.append(content)
                if "application_id" in application:
                    self.named.append(application["application_id"])
        else:
            self.refused[status] += 1
        return status == 200

    def _insist(self, client: Client, application: dict) -> None:
        deadline = time.monotonic() + PATIENCE
        while not self._try(client, application):
            assert time.monotonic() < deadline, "an application was not answered for a minute"
            time.sleep(0.05)


def wait_for_checks(url: str, seconds: float) -> None:
    """Wait until no drift check is open."""
    deadline = time.monotonic() + seconds
    with closing(PredictionLog(url)) as log:
        while (checks := log.counts()["checks"])["pending"] + checks["running"]:
            assert time.monotonic() < deadline, checks
            time.sleep(0.2)


def assert_exact(url: str, load: Load) -> int:
    """Each answer once in the log, no hole in the count, one done check per hundred; returns how many are logged."""
    with closing(PredictionLog(url)) as log, log._reader.connect() as connection:
        columns = ("id", "prediction_id", "sequence", "purpose", "pd", "application_id")
        rows = connection.execute(sa.select(*(PREDICTIONS.c[name] for name in columns))).mappings().all()
        checks = connection.execute(sa.select(CHECKS).order_by(CHECKS.c.bucket)).mappings().all()
        reports = connection.execute(sa.select(REPORTS).order_by(REPORTS.c.id)).mappings().all()
        counters = log.counts()["models"]
    n = len(rows)
    stored = Counter(row["prediction_id"] for row in rows)
    answered = Counter(answer["prediction_id"] for answer in load.answers)
    assert set(answered.values()) == {1} and set(stored.values()) == {1}
    assert not set(answered) - set(stored), "answered and not logged"
    pds = {row["prediction_id"]: row["pd"] for row in rows}
    assert all(pds[answer["prediction_id"]] == answer["default_probability"] for answer in load.answers)
    assert sorted(row["application_id"] for row in rows if row["application_id"]) == sorted(load.named)
    assert 0 <= n - len(answered) <= load.lost, "only what nobody was answered may be there beside the answers"

    assert sorted(row["sequence"] for row in rows) == list(range(1, n + 1))
    hundreds = n // 100
    assert [(model["n"], model["scheduled"]) for model in counters] == [(n, 100 * hundreds)]
    assert [check["bucket"] for check in checks] == list(range(1, hundreds + 1))
    assert {check["status"] for check in checks} <= {"done"}
    assert len(reports) == hundreds and {report["n"] for report in reports} <= {100}
    ids = {row["sequence"]: row["id"] for row in rows}
    by_window = {report["window_key"]: report for report in reports}
    for check in checks:
        first = 100 * (check["bucket"] - 1) + 1
        assert (check["first_sequence"], check["last_sequence"]) == (first, first + 99)
        own = [ids[sequence] for sequence in range(first, first + 100)]
        report = by_window[f"bucket-{check['bucket']}"]
        assert (report["first_prediction"], report["last_prediction"]) == (min(own), max(own))
    return n


def wait_for_workers(server: Server) -> None:
    """Wait until every worker has taken a connection."""
    deadline = time.monotonic() + PATIENCE
    while True:
        clients = [server.client() for _ in range(4 * WORKERS)]
        for client in clients:
            client.get("/health")
        taken = server.connections()
        for client in clients:
            client.close()
        if len(taken) == WORKERS and all(taken.values()):
            return
        assert server.process.poll() is None and time.monotonic() < deadline, (taken, server.output.read_text())
        time.sleep(0.2)


def wait_for_answers(load: Load, count: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while len(load.answers) < count:
        assert time.monotonic() < deadline and not load.failures, (len(load.answers), count, load.failures)
        time.sleep(0.01)


@pytest.mark.parametrize("empty_urls", ["sqlite", pytest.param("postgresql", marks=pytest.mark.soak)], indirect=True)
@only_linux
def test_killing_workers_in_the_middle_of_load_loses_no_answer_and_no_drift_check(
    trained, applications, empty_url, tmp_path: Path
):
    with running(1, empty_url, trained.folder, tmp_path, workers=WORKERS) as (server,):
        wait_for_workers(server)
        load = Load(server.port, applications, clients=8, count=None, pause=0.01)
        killed = set()
        with load.running():
            for number in range(KILLS):
                wait_for_answers(load, len(load.answers) + BETWEEN_KILLS + 17 * number % 50)
                taken = server.connections()
                busiest = max(taken, key=taken.get)
                os.kill(busiest, signal.SIGKILL)
                killed.add(busiest)
            wait_for_answers(load, len(load.answers) + BETWEEN_KILLS)
        assert not load.failures and not load.refused
        assert len(killed) == KILLS <= load.broken, "each kill has hit a worker at work"
        wait_for_workers(server)  # whoever was killed has a successor
        assert not killed & set(server.workers())
        wait_for_checks(empty_url, LEASE + 15)
        server.stop()
    assert assert_exact(empty_url, load) >= KILLS * BETWEEN_KILLS


@only_linux
@pytest.mark.soak
def test_two_thousand_predictions_over_three_workers_at_once_are_counted_and_checked_exactly(
    trained, applications, empty_url, tmp_path: Path
):
    with running(1, empty_url, trained.folder, tmp_path, workers=WORKERS) as (server,):
        wait_for_workers(server)
        load = Load(server.port, applications, clients=24, count=2_000, pause=0)
        at_work = set()
        with load.running():
            while load.is_running():
                at_work |= {pid for pid, connections in server.connections().items() if connections}
                time.sleep(0.05)
        assert len(at_work) == WORKERS
        assert not load.failures and not load.refused and not load.lost
        wait_for_checks(empty_url, 30)
        server.stop()
    assert assert_exact(empty_url, load) == 2_000
