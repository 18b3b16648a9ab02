"""Numbers for Prometheus: what was asked, how long it took, what was predicted.

Written here and not with prometheus_client, for two reasons: an increment costs a fraction, and with several worker
processes the numbers of all are added up, whichever of them is asked. For that each worker counts in a file of its own,
mapped into memory, in a common folder: the others read it as it is now, and it still counts when its worker has died.
"""

from __future__ import annotations

import json
import math
import mmap
import os
import tempfile
import threading
import time
from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

if TYPE_CHECKING:
    from creditrisk.serving.desk import Answered

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
MOST_NUMBERS = 8192
"""Numbers that one process can keep, 64 KB; series beyond are not counted, but that it happened is."""
METHODS = frozenset({"GET", "POST", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"})
UNMATCHED = "unmatched"
"""The path of requests that no endpoint has: their own would let anybody make as many series as he likes."""
SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
ROWS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)

# name: (kind, labels, bounds of a histogram, help)
FAMILIES: dict[str, tuple[str, tuple[str, ...], tuple[float, ...], str]] = {
    "creditrisk_requests_total": ("counter", ("method", "path", "status"), (), "Requests answered."),
    "creditrisk_request_seconds": ("histogram", ("method", "path"), SECONDS, "Time from request to answer."),
    "creditrisk_predictions_total": (
        "counter", ("model", "rating", "decision", "purpose"), (), "Predictions logged, by what they say.",
    ),
    "creditrisk_repeated_predictions_total": (
        "counter", ("model",), (), "Answers from the log to what had been sent before.",
    ),
    "creditrisk_batch_rows": ("histogram", (), ROWS, "Predictions of one transaction."),
    "creditrisk_log_commit_seconds": ("histogram", (), SECONDS, "Time to store and commit one transaction."),
    "creditrisk_log_failures_total": ("counter", (), (), "Transactions that the prediction log did not take."),
    "creditrisk_drift_checks_total": ("counter", ("result",), (), "Drift checks run, by what came of them."),
    "creditrisk_drift_checks_open": ("gauge", ("status",), (), "Drift checks that wait, run or have failed."),
    "creditrisk_database_up": ("gauge", (), (), "Whether the prediction log answers."),
    "creditrisk_model_info": ("gauge", ("version", "sha256", "portfolio"), (), "The model that serves: always 1."),
    "creditrisk_workers": ("gauge", (), (), "Worker processes counted here since the start, dead ones too."),
    "creditrisk_numbers_lost_total": ("counter", (), (), "Series not counted, for want of room: see MOST_NUMBERS."),
}  # fmt: skip

Series = tuple[str, ...]
"""The family's name, then the values of its labels."""


class Metrics:
    """The numbers of one process, or with `folder` of all processes that share it. Safe to use from several threads.

    Make `folder` anew for every start of the service, before its workers start.
    """

    def __init__(self, folder: str | Path | None = None) -> None:
        self._folder = Path(folder) if folder else None
        self._lock = threading.Lock()
        self._places: dict[Series, int] = {}
        self._used = 0
        self._requests: dict[tuple, tuple[int, int]] = {}
        self._names = None
        if self._folder is None:
            self._numbers: Any = [0.0] * MOST_NUMBERS
        else:
            self._numbers, self._names, self._stem = _open_numbers(self._folder)
        self._lost = self._place(("creditrisk_numbers_lost_total",))
        self._batches = self._place(("creditrisk_batch_rows",))
        self._commits = self._place(("creditrisk_log_commit_seconds",))

    # --- Counting

    def request(self, method: str, path: str, status: int, seconds: float) -> None:
        """A request has been answered. `path` is the endpoint's template, or UNMATCHED."""
        key = (method, path, status)
        with self._lock:
            places = self._requests.get(key)
            if places is None:
                known = method if method in METHODS else "other"
                places = self._requests[(known, path, status)] = (
                    self._place(("creditrisk_requests_total", known, path, str(status))),
                    self._place(("creditrisk_request_seconds", known, path)),
                )
            numbers, (total, times) = self._numbers, places
            numbers[total] += 1
            numbers[times] += seconds
            numbers[times + 1 + bisect_left(SECONDS, seconds)] += 1

    def prediction(self, answered: Answered) -> None:
        """A prediction has been answered: made and logged now, or found in the log."""
        record = answered.record
        if answered.stored is not None:
            self._add("creditrisk_repeated_predictions_total", record.model_version)
            return
        self._add(
            "creditrisk_predictions_total",
            record.model_version,
            record.rating,
            record.decision or "",
            record.purpose,
        )

    def batch(self, rows: int, seconds: float) -> None:
        """A transaction of so many predictions has been committed."""
        with self._lock:
            numbers = self._numbers
            for place, bounds, value in ((self._batches, ROWS, rows), (self._commits, SECONDS, seconds)):
                numbers[place] += value
                numbers[place + 1 + bisect_left(bounds, value)] += 1

    def log_failed(self) -> None:
        """The prediction log has not taken a transaction."""
        self._add("creditrisk_log_failures_total")

    def drift_check(self, result: str) -> None:
        """A drift check has been run: green, amber, red, insufficient data, or failed."""
        self._add("creditrisk_drift_checks_total", result)

    def _add(self, *series: str) -> None:
        with self._lock:
            place = self._places.get(series)
            self._numbers[self._place(series) if place is None else place] += 1

    def _place(self, series: Series) -> int:
        """Where the numbers of a series begin: a counter's one; a histogram's sum, then one for each bucket."""
        place = self._places.get(series)
        if place is None:
            size = _size(series[0])
            if self._used + size > MOST_NUMBERS - _SPARE:
                self._numbers[self._lost] += 1
                return MOST_NUMBERS - _SPARE  # written and never read
            if self._names is not None:
                self._names.write(json.dumps([self._used, *series]).encode() + b"\n")  # unbuffered, so all or nothing
            place = self._places[series] = self._used
            self._used += size
        return place

    # --- Telling

    def text(
        self,
        *,
        database_up: bool | None = None,
        checks: Mapping[str, int] | None = None,
        model: Mapping[str, str] | None = None,
    ) -> str:
        """All numbers in Prometheus's text format (CONTENT_TYPE).

        What this process does not count is given: whether the log answers; number of drift checks by status; version,
        sha256 and portfolio of the model that serves. What is left out is not told.
        """
        totals, workers = self._totals()
        gauges: dict[Series, float] = {("creditrisk_workers",): workers}
        if database_up is not None:
            gauges[("creditrisk_database_up",)] = int(database_up)
        for status, count in (checks or {}).items():
            gauges[("creditrisk_drift_checks_open", status)] = count
        if model is not None:
            labels = FAMILIES["creditrisk_model_info"][1]
            gauges[("creditrisk_model_info", *(model.get(label, "") for label in labels))] = 1
        by_family: dict[str, list[Series]] = {}
        for series in sorted([*totals, *gauges]):
            by_family.setdefault(series[0], []).append(series)
        lines = []
        for name, (kind, _, _, what) in FAMILIES.items():
            if name in by_family:
                lines += [f"# HELP {name} {what}", f"# TYPE {name} {kind}"]
                for series in by_family[name]:
                    lines += _samples(series, totals.get(series) or [gauges[series]])
        return "\n".join(lines) + "\n"

    def _totals(self) -> tuple[dict[Series, list[float]], int]:
        """The numbers of each series, added up over all workers, and the number of these."""
        with self._lock:
            totals = {
                series: list(self._numbers[place : place + _size(series[0])]) for series, place in self._places.items()
            }
        if self._folder is None:
            return totals, 1
        workers = 1
        for names in self._folder.glob("worker-*.names"):
            if names.stem == self._stem:
                continue
            workers += 1
            for series, numbers in _read_numbers(names):
                mine = totals.get(series)
                totals[series] = numbers if mine is None else [a + b for a, b in zip(mine, numbers, strict=True)]
        return totals, workers


_SPARE = len(SECONDS) + 2


def _size(family: str) -> int:
    kind, _, bounds, _ = FAMILIES[family]
    return len(bounds) + 2 if kind == "histogram" else 1


def _open_numbers(folder: Path) -> tuple[memoryview, Any, str]:
    """The numbers of this process as doubles in a mapped file, the file that names them, and what both are called."""
    folder.mkdir(parents=True, exist_ok=True)
    handle, path = tempfile.mkstemp(dir=folder, prefix=f"worker-{os.getpid()}-", suffix=".numbers")
    with os.fdopen(handle, "r+b") as file:
        file.truncate(MOST_NUMBERS * 8)
        mapped = mmap.mmap(file.fileno(), MOST_NUMBERS * 8)
    names = open(Path(path).with_suffix(".names"), "wb", buffering=0)  # noqa: SIM115  open as long as the process
    return memoryview(mapped).cast("d"), names, Path(path).stem


def _read_numbers(names: Path) -> Iterator[tuple[Series, list[float]]]:
    """The series and numbers of another process, as they are now."""
    try:
        lines = names.read_bytes().split(b"\n")[:-1]  # a line without its end is being written
        numbers = memoryview(names.with_suffix(".numbers").read_bytes()).cast("d")
    except OSError:  # pragma: no cover - somebody clears the folder
        return
    for line in lines:
        place, *series = json.loads(line)
        yield tuple(series), numbers[place : place + _size(series[0])].tolist()


def _samples(series: Series, numbers: list[float]) -> Iterator[str]:
    name, *values = series
    kind, labels, bounds, _ = FAMILIES[name]
    said = [f'{label}="{_escaped(value)}"' for label, value in zip(labels, values, strict=True)]
    if kind != "histogram":
        yield f"{name}{_braced(said)} {_number(numbers[0])}"
        return
    total, below = numbers[0], 0.0
    for bound, count in zip((*bounds, math.inf), numbers[1:], strict=True):
        below += count
        le = '"+Inf"' if bound == math.inf else f'"{_number(bound)}"'
        yield f"{name}_bucket{_braced([*said, f'le={le}'])} {_number(below)}"
    yield f"{name}_sum{_braced(said)} {_number(total)}"
    yield f"{name}_count{_braced(said)} {_number(below)}"


def _braced(labels: Iterable[str]) -> str:
    inside = ",".join(labels)
    return f"{{{inside}}}" if inside else ""


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(float(value))


class Measured:
    """ASGI middleware that counts every request of an application: path template, method, status, seconds.

    A request whose client left before it was answered counts as 499, one that failed without an answer as 500. `paths`
    are those that a request may have had even if no route of the framework has seen it.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, paths: Collection[str] = ()) -> None:
        self.app, self.metrics, self._paths = app, metrics, frozenset(paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        status = 499

        def noted(message: Message):
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            return send(message)  # awaited by the caller: a coroutine of our own would cost one more

        begun = time.perf_counter()
        try:
            await self.app(scope, receive, noted)
        except Exception:
            if status == 499:
                status = 500
            raise
        finally:
            route = scope.get("route")
            if route is not None:
                path = getattr(route, "path", UNMATCHED)
            else:  # answered before the router: by an endpoint itself, or at the door
                path = scope["path"] if scope["path"] in self._paths else UNMATCHED
            self.metrics.request(scope["method"], path, status, time.perf_counter() - begun)
