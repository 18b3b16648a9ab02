"""`creditrisk dashboard` in a process of its own, and the raw requests that a browser would not send."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import pytest

from servers import free_port, wait_until_it_answers

PERIOD = 60
"""Production predictions per drift check."""
Answer = tuple[int, dict[str, str], str]


class PageProcess:
    """The page over the artifacts/ and runs/ of a folder, listening; `stop` it at the end."""

    def __init__(
        self, folder: Path, *arguments: str, settings: Mapping[str, str] | None = None, base_url: str = "/"
    ) -> None:
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}{base_url}".removesuffix("/")
        self.output = folder / f"page-{self.port}.log"
        # Relative, as people write them: the page's kernels run in another folder.
        places = {
            "CREDITRISK_ARTIFACTS": "artifacts",
            "CREDITRISK_RUNS": "runs",
            "CREDITRISK_DRIFT_PERIOD": str(PERIOD),
        }
        own = {name: value for name, value in os.environ.items() if not name.startswith("CREDITRISK_")}
        command = [sys.executable, "-m", "creditrisk.cli", "dashboard", "--port", str(self.port), *arguments]
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                command, cwd=folder, env=own | places | dict(settings or {}), stdout=output, stderr=output
            )
        try:
            wait_until_it_answers(f"{self.address}/voila/static/voila.js", self.process, self.output)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> str:
        """End the server; returns what it said."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        return self.output.read_text("utf-8", "replace")

    def ask(
        self,
        path: str,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        body: str | None = None,
        source: str = "127.0.0.1",
    ) -> Answer:
        """Status, headers and text of the answer to a request whose path is sent as it is, from a loopback address."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60, source_address=(source, 0))
        try:
            connection.putrequest(method, path, skip_host="Host" in (headers or {}))
            for name, value in (headers or {}).items():
                connection.putheader(name, value)
            if body is not None:
                connection.putheader("Content-Type", "application/x-www-form-urlencoded")
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body.encode() if body is not None else None)
            response = connection.getresponse()
            return response.status, dict(response.getheaders()), response.read().decode("utf-8", "replace")
        finally:
            connection.close()

    def kernels(self) -> dict[int, str]:
        """The processes of the page's kernels, and the ids of those that are visible in their commands (Linux)."""
        found = {}
        for pid in _children(self.process.pid):
            with suppress(OSError):
                command = Path(f"/proc/{pid}/cmdline").read_bytes().decode()
                if match := re.search(r"kernel-([0-9a-f-]{36})\.json", command):
                    found[pid] = match[1]
        return found

    def wait_for_kernels(self, count: int, seconds: float = 60) -> None:
        """Fail unless the page has this many kernels within the time, and keeps them for a moment."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if len(self.kernels()) == count:
                time.sleep(1.2)  # a kernel that is on its way would show by now
                if len(self.kernels()) == count:
                    return
            time.sleep(0.2)
        pytest.fail(f"{len(self.kernels())} kernels after {seconds} s, not {count}:\n{self.output.read_text()[-2000:]}")

    def wait_until_ready(self, seconds: float = 60) -> None:
        """Fail unless a kernel kept ready has done its work and asked for its visitor (Linux)."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
            to_here = {f"socket:[{row[9]}]" for row in rows if row[2].endswith(f":{self.port:04X}") and row[3] == "01"}
            if any(to_here & _files(pid) for pid in self.kernels()):
                return
            time.sleep(0.1)
        pytest.fail(f"no kernel is ready after {seconds} s:\n{self.output.read_text()[-2000:]}")

    def open_files(self) -> int:
        """How many files and sockets the server has open (Linux)."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))


def _files(pid: int) -> set[str]:
    found = set()
    with suppress(OSError):  # it may end meanwhile
        for file in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                found.add(os.readlink(file))
    return found


def _children(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(OSError):
            found += map(int, (task / "children").read_text().split())
    return found


def kernel_of(html: str) -> str:
    """The id of the kernel of a page, as its browser reads it."""
    config = re.search(r'<script id="jupyter-config-data" type="application/json">(.*?)</script>', html, re.S)
    return json.loads(config[1])["kernelId"]


def memory(pid: int) -> float:
    """Megabytes of a process, what it shares with others counted by its share (Linux)."""
    rows = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return int(next(row for row in rows if row.startswith("Pss:")).split()[1]) / 1024
