"""The database is locked, full, gone or deleted under a running server: a clear 503 as long as it lasts, no longer."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest

import postgres
from creditrisk.serving.log import PredictionLog
from servers import Client, Server, running

LONG = bool(os.environ.get("CREDITRISK_SOAK"))
LASTS = 10.0 if LONG else 2.0  # seconds of the trouble
BUSY = 3.0 if LONG else 0.5  # seconds that the server waits for a database
CLIENTS = 4
# Who comes while a batch is waiting waits for that batch and then for its own; each waits `BUSY` for its turn, and
# again for the database.
BOUND = 4 * BUSY + 1
QUICK = 1.0  # seconds within which /health answers all the time
RECOVERY = 5.0  # seconds from the end of the trouble to the next prediction
SETTINGS = {"CREDITRISK_BUSY_SECONDS": str(BUSY)}


@dataclass(frozen=True)
class Answer:
    status: int
    content: dict
    retry_after: str | None
    seconds: float
    sent: float  # on the monotonic clock


class Trouble:
    """A server whose database gets into trouble: clients that go on asking all the time, and somebody at /health."""

    def __init__(self, server: Server, applications: list[dict]) -> None:
        self.server = server
        self.answers: list[Answer] = []
        self.health: list[float] = []
        self.failures: list[str] = []
        self.began = self.ended = self.over = float("nan")
        self._applications, self._numbers, self._stopped = applications, count(), threading.Event()

    @contextmanager
    def asked(self) -> Iterator[Trouble]:
        """Clients ask from here until one is answered after the end of the block; the trouble comes and goes in it."""
        asking = [self._predict] * CLIENTS + [self._ask_health]
        threads = [threading.Thread(target=self._guarded, args=(one,), daemon=True) for one in asking]
        for thread in threads:
            thread.start()
        try:
            time.sleep(0.3)
            yield self
            self.over = time.monotonic()
            while time.monotonic() < self.over + RECOVERY and not self._has_recovered():
                time.sleep(0.05)
        finally:
            self._stopped.set()
            for thread in threads:
                thread.join(timeout=BOUND + 30)
                assert not thread.is_alive(), "a client waits without end"

    def lasts(self, seconds: float = LASTS) -> None:
        """Wait while the trouble lasts; it must have begun, and not end before."""
        self.began = time.monotonic()
        time.sleep(seconds)
        self.ended = time.monotonic()

    def assert_clear(self, url: str) -> None:
        """Predictions before and after, 503 in time in between, /health quick all the time, every answer stored."""
        assert not self.failures and self.server.process.poll() is None
        assert [a for a in self.answers if a.status == 200 and a.sent < self.began], "it had been at work before"
        meanwhile = [a for a in self.answers if self.began < a.sent and a.sent + a.seconds < self.ended]
        assert meanwhile and {a.status for a in meanwhile} == {503}
        for answer in self.answers:
            assert answer.status in (200, 503) and answer.seconds < BOUND
            if answer.status == 503:
                assert int(answer.retry_after) > 0
                assert answer.content["detail"].startswith("the prediction log is not available")
        assert len(self.health) > 10 * LASTS and max(self.health) < QUICK
        assert self._has_recovered(), "it works again without a restart"
        with closing(PredictionLog(url)) as log:
            stored = {row["prediction_id"] for row in log.predictions(limit=100_000)}
        answered = [a.content["prediction_id"] for a in self.answers if a.status == 200]
        assert len(set(answered)) == len(answered) and set(answered) <= stored

    def _has_recovered(self) -> bool:
        return any(a.status == 200 and a.sent > self.over for a in list(self.answers))

    def _guarded(self, asking) -> None:
        try:
            asking()
        except Exception as error:
            self.failures.append(repr(error))

    def _predict(self) -> None:
        client = Client(self.server.port)
        while not self._stopped.is_set():
            number = next(self._numbers)
            application = self._applications[number % len(self._applications)]
            sent = time.monotonic()
            named = {**application, "application_id": f"trouble-{number}"}
            status, content, headers = client.try_to_predict(named)
            took = time.monotonic() - sent
            self.answers.append(Answer(status, content, headers["Retry-After"], took, sent))
            time.sleep(0.02)

    def _ask_health(self) -> None:
        client = Client(self.server.port)
        while not self._stopped.is_set():
            sent = time.monotonic()
            assert client.get("/health") == {"status": "ok"}
            self.health.append(time.monotonic() - sent)
            time.sleep(0.02)


@contextmanager
def in_trouble(url: str, artifacts: str, home: Path, applications: list[dict]) -> Iterator[Trouble]:
    with running(1, url, artifacts, home, settings=SETTINGS) as (server,):
        yield Trouble(server, applications)
        printed = server.stop()
    assert "Traceback" not in printed and "trouble-" not in printed


LOCKING = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)
connection.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.read()
"""


@contextmanager
def locked_by_another_process(file: Path) -> Iterator[None]:
    command = [sys.executable, "-c", LOCKING, str(file)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "locked\n"
        yield
        process.stdin.close()


def test_while_another_process_holds_the_lock_predictions_get_503_and_readers_are_served(
    trained, applications, tmp_path: Path
):
    file = tmp_path / "predictions.db"
    url = f"sqlite:///{file}"
    with in_trouble(url, trained.folder, tmp_path, applications) as trouble:
        with trouble.asked(), locked_by_another_process(file):
            assert trouble.server.client().get("/logs?limit=1"), "readers wait for nobody"
            trouble.lasts()
        trouble.assert_clear(url)


# Nowhere to write to


@contextmanager
def files_may_not_grow(server: Server, folder: Path) -> Iterator[None]:
    """The server's files may have the size they have and not a byte more."""
    import resource

    size = max(file.stat().st_size for file in folder.glob("predictions.db*"))
    soft, hard = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (size, hard))
    yield
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def no_room_left(_server: Server, folder: Path) -> Iterator[None]:
    """Somebody else fills the disk to the last byte, and makes room again."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        block = 1 << 16
        while block:
            try:
                file.write(b"x" * block)
            except OSError:
                block //= 2
    yield
    filler.unlink()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 8 MB; skips visibly where this user may not mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small disk can be mounted by root on Linux only")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def assert_fills(trained, applications, home: Path, folder: Path, full) -> None:
    url = f"sqlite:///{folder / 'predictions.db'}"
    with in_trouble(url, trained.folder, home, applications) as trouble:
        with trouble.asked(), full(trouble.server, folder):
            time.sleep(0.2)  # what is left of a page that was begun
            trouble.lasts()
        trouble.assert_clear(url)


def test_on_a_full_disk_predictions_get_503_until_there_is_room_again(trained, applications, tmp_path, small_disk):
    assert_fills(trained, applications, tmp_path, small_disk, no_room_left)


@pytest.mark.skipif(sys.platform != "linux", reason="prlimit is Linux")
def test_where_files_may_not_grow_predictions_get_503_until_they_may(trained, applications, tmp_path):
    folder = tmp_path / "log"
    folder.mkdir()
    assert_fills(trained, applications, tmp_path, folder, files_may_not_grow)


# Gone


@contextmanager
def moved_away(file: Path) -> Iterator[None]:
    """The database's files are elsewhere for a while, as when a disk is not mounted."""
    files = list(file.parent.glob(f"{file.name}*"))
    away = file.parent / "away"
    away.mkdir()
    for one in files:
        one.rename(away / one.name)
    yield
    assert not file.exists(), "an empty database in its place would hide what is gone"
    for one in files:
        (away / one.name).rename(one)


def test_while_the_log_is_elsewhere_predictions_get_503_and_no_empty_log_takes_its_place(
    trained, applications, tmp_path
):
    file = tmp_path / "log" / "predictions.db"
    file.parent.mkdir()
    url = f"sqlite:///{file}"
    with in_trouble(url, trained.folder, tmp_path, applications) as trouble:
        with trouble.asked(), moved_away(file):
            trouble.lasts()
        trouble.assert_clear(url)


def test_a_deleted_log_is_missed_at_once_and_never_replaced_by_an_empty_one(trained, applications, tmp_path):
    file = tmp_path / "log" / "predictions.db"
    file.parent.mkdir()
    with running(1, f"sqlite:///{file}", trained.folder, tmp_path, settings=SETTINGS) as (server,):
        client = server.client()
        assert client.predict(applications[0])["prediction_id"]
        for one in file.parent.glob("predictions.db*"):
            one.unlink()
        for application in applications[1:4]:
            status, content, headers = client.try_to_predict(application)
            assert status == 503 and int(headers["Retry-After"]) > 0
            assert content["detail"].startswith("the prediction log is not available")
        assert client.get("/health") == {"status": "ok"}
        assert not file.exists()
        printed = server.stop()
    assert "unable to open database file" in printed and "Traceback" not in printed


def test_while_postgresql_is_down_predictions_get_503_until_it_is_back(trained, applications, tmp_path):
    if reason := postgres.absent_reason():
        postgres.skip_or_fail(reason)
    with postgres.running_postgres() as url, in_trouble(url, trained.folder, tmp_path, applications) as trouble:
        with trouble.asked(), postgres.stopped(url):
            trouble.lasts()
        trouble.assert_clear(url)
