"""Servers that tests start: a free port, and waiting until one answers."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import pytest

T = TypeVar("T")

PATIENCE = 60  # seconds for a process to start on a busy machine


def free_port() -> int:
    """A port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def run_alone(work: Coroutine[Any, Any, T]) -> T:
    """What a coroutine returns, run in a thread of its own: other tests may have left an event loop in this one."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


def wait_until_it_answers(url: str, server: subprocess.Popen, output: Path) -> None:
    """Fail, with the end of what the server wrote to `output`, unless it answers within a minute."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except (urllib.error.URLError, OSError):
            if server.poll() is not None:
                break
            time.sleep(0.1)
    pytest.fail(f"{url} did not answer:\n{output.read_text()[-2000:]}")


class Client:
    """One keep-alive connection; it connects again after an error."""

    def __init__(self, port: int, seconds: float = 60) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=seconds)

    def close(self) -> None:
        self._connection.close()

    def get(self, path: str):
        return self._ask("GET", path, None)

    def predict(self, application: dict):
        return self._ask("POST", "/predict", json.dumps(application))

    def try_to_predict(self, application: dict) -> tuple[int, dict, http.client.HTTPMessage]:
        """Status, content and headers of the answer, whatever it is. Raises OSError or HTTPException without one."""
        try:
            self._connection.request("POST", "/predict", json.dumps(application), {"Content-Type": "application/json"})
            response = self._connection.getresponse()
            return response.status, json.loads(response.read()), response.headers
        except BaseException:
            self._connection.close()
            raise

    def _ask(self, method: str, path: str, body: str | None):
        self._connection.request(method, path, body, {"Content-Type": "application/json"} if body else {})
        response = self._connection.getresponse()
        content = response.read()
        assert response.status == 200, content
        return json.loads(content)


class Server:
    """`creditrisk serve` in a process of its own."""

    def __init__(
        self, url: str, artifacts: str, home: Path, workers: int = 1, settings: dict[str, str] | None = None
    ) -> None:
        self.port = free_port()
        self.output = home / f"server-{self.port}.txt"
        environment = {name: value for name, value in os.environ.items() if not name.startswith("CREDITRISK_")}
        environment |= {"CREDITRISK_HOME": str(home), "CREDITRISK_DATABASE_URL": url} | (settings or {})
        command = [sys.executable, "-m", "creditrisk.cli", "serve", "--port", str(self.port), "--artifacts", artifacts]
        command += ["--workers", str(workers)] if workers > 1 else []
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT)

    def client(self) -> Client:
        return Client(self.port)

    def workers(self) -> list[int]:
        """The process ids of the workers of a server with several, the longest running first (Linux)."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        found = []
        for pid in children.read_text().split() if children.exists() else []:
            try:
                if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    found.append(int(pid))
            except OSError:  # it has ended since
                continue
        return found

    def connections(self) -> dict[int, int]:
        """How many open connections each worker has, by process id, the longest running first (Linux)."""
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        own = {f"socket:[{row[9]}]" for row in rows if row[1].endswith(f":{self.port:04X}") and row[3] == "01"}
        found = {}
        for pid in self.workers():
            with suppress(OSError):  # it has ended since
                files = [os.readlink(file) for file in Path(f"/proc/{pid}/fd").iterdir() if file.is_symlink()]
                found[pid] = len(own.intersection(files))
        return found

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.output.read_text()
            try:
                assert self.client().get("/health") == {"status": "ok"}
                return
            except OSError:
                time.sleep(0.05)
        raise AssertionError(f"not ready in {PATIENCE} s: {self.output.read_text()}")

    def stop(self) -> str:
        """Send SIGTERM; returns what the process printed."""
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(timeout=30) in (0, -signal.SIGTERM), self.output.read_text()
        return self.output.read_text()


@contextmanager
def running(
    count: int, url: str, artifacts: str, home: Path, workers: int = 1, settings: dict[str, str] | None = None
) -> Iterator[list[Server]]:
    """Servers that share one log, ready; killed at the end if the test has not stopped them."""
    servers = [Server(url, artifacts, home, workers, settings) for _ in range(count)]
    try:
        for server in servers:
            server.wait_until_ready()
        yield servers
    finally:
        for server in servers:
            if server.process.poll() is None:
                workers = server.workers()
                for pid in (server.process.pid, *workers):
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                server.process.wait()
