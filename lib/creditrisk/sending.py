"""Where a simulated stream goes: straight into the prediction log, or to an API that runs.

Every application has an id of its own, under which it is one prediction however often it is sent; so what fails is sent
again until it is answered, and nothing counts twice.
"""

from __future__ import annotations

import http.client
import json
import math
import queue
import re
import ssl
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from email.utils import parsedate_to_datetime
from itertools import chain, repeat
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

import numpy as np
import pandas as pd
from tqdm import tqdm

from creditrisk.data.portfolio import Portfolio
from creditrisk.data.tables import to_columns
from creditrisk.errors import CreditRiskError, LogError, ParameterError
from creditrisk.monitoring.alerts import Alerts, consider_drift
from creditrisk.monitoring.checks import run_due_checks
from creditrisk.serving.contract import wire_name
from creditrisk.serving.log import Check, OutcomeRecord, PredictionLog
from creditrisk.serving.model import ModelData
from creditrisk.serving.policy import Policy
from creditrisk.serving.records import VERDICTS
from creditrisk.serving.scorer import Scorer, dedupe_key
from creditrisk.simulation import Drawn, Stream

T = TypeVar("T")

CALLER = "simulate"
"""Who made simulated predictions, in the log."""
BATCH = 100
"""Applications of one transaction with the log."""
PAUSES = (0.25, 0.5, 1, 2, 4)
"""Seconds between the first tries; the last one between all further ones."""
LEASE_SECONDS = 8.0
"""After so long a check is begun anew, when the log has gone away in the middle of it."""
SETTLE_SECONDS = 15
"""How long the end waits for drift checks that others have taken on."""
LOOK_SECONDS = 0.5
UNFLAGGED = (VERDICTS[0], VERDICTS[-1])  # all is well, and too little to tell
MOST_NAMED = 3
TRANSIENT = (429, 502, 503, 504)


class GaveUp(CreditRiskError):
    """Nothing answered for longer than the user wants to wait."""


class Stopped(Exception):
    """The user has ended the stream while something was waited for."""


# --- What is to be sent, and what became of it ------------------------------------------------------------------------


@dataclass(frozen=True)
class Outcomes:
    """Which outcomes are reported: of predictions whose `months` have passed by `as_of`, at `times` the PD."""

    months: int
    as_of: date
    times: float = 1.0
    approved_only: bool = False

    def day_of(self, predicted: datetime) -> date:
        """The first day on which the whole window lies behind."""
        return (pd.Timestamp(predicted.date()) + pd.DateOffset(months=self.months, days=1)).date()


@dataclass(frozen=True)
class Plan:
    """How a stream is sent: `n` applications under the name `run`, `rate` a second (0: as fast as it goes).

    With `per_day`, predictions are made so many a day from the day `start` on; else now. After `patience` seconds
    without an answer it ends.
    """

    n: int
    run: str
    rate: float = 0.0
    per_day: int = 0
    start: date | None = None
    outcomes: Outcomes | None = None
    patience: float = 600.0

    def moment(self, number: int) -> datetime:
        """When prediction `number` (from 0) is made."""
        if not self.per_day or self.start is None:
            return datetime.now(UTC)
        first = datetime(self.start.year, self.start.month, self.start.day, tzinfo=UTC)
        return first + timedelta(days=number // self.per_day, seconds=86_400 * (number % self.per_day) / self.per_day)

    def application_id(self, number: int) -> str:
        return f"{self.run}-{number + 1:06d}"


@dataclass
class Tally:
    """What has been sent so far. `known`: were there already; `checks`: name and status of each, in order."""

    sent: int = 0
    known: int = 0
    clipped: Counter = field(default_factory=Counter)
    checks: list[tuple[str, str]] = field(default_factory=list)
    outcomes: int = 0
    bads: int = 0
    immature: int = 0
    not_approved: int = 0
    limited: int = 0
    open_checks: int = 0

    @property
    def first_flagged(self) -> str:
        """The name of the first flagged check; empty without one."""
        return next((name for name, status in self.checks if status not in UNFLAGGED), "")


class Screen:
    """A progress bar on standard error, and lines on standard output above it."""

    def __init__(self, total: int, shown: bool) -> None:
        self._bar = tqdm(total=total, unit=" applications", file=sys.stderr, disable=not shown)

    def say(self, line: str) -> None:
        if self._bar.disable:
            print(line, flush=True)
        else:
            tqdm.write(line, file=sys.stdout)
            sys.stdout.flush()

    def advance(self, count: int) -> None:
        self._bar.update(count)

    def close(self) -> None:
        self._bar.close()


class Waiting:
    """Tries again until it works, says so once, and gives up in the end. Shared by threads."""

    def __init__(self, screen: Screen, stop: threading.Event, patience: float) -> None:
        self._screen, self._stop, self._patience = screen, stop, patience
        self._guard, self._since = threading.Lock(), None
        self.seconds = 0.0  # in all

    def pauses(self) -> Iterator[float]:
        return chain(PAUSES, repeat(PAUSES[-1]))

    def failed(self, why: str, pause: float, begun: float) -> None:
        """Wait `pause` seconds. Raises Stopped, or GaveUp when `begun` was too long ago."""
        with self._guard:
            if self._since is None:
                self._since = time.monotonic()
                self._screen.say(f"{why}; waiting")
        if time.monotonic() + pause - begun > self._patience:
            raise GaveUp(f"{why}; given up after {self._patience:g} s")
        if self._stop.wait(pause):
            raise Stopped

    def worked(self) -> None:
        if self._since is None:
            return
        with self._guard:
            if self._since is not None:
                away, self._since = time.monotonic() - self._since, None
                self.seconds += away
                self._screen.say(f"it answers again after {away:.0f} s; going on")

    def for_log(self, action: Callable[[], T]) -> T:
        """What an action on the prediction log gives, as soon as the log answers."""
        begun = time.monotonic()
        for pause in self.pauses():
            try:
                done = action()
            except LogError as problem:
                self.failed(str(problem), pause, begun)
            else:
                self.worked()
                return done
        raise AssertionError  # pauses do not end


class Pace:
    """When each row is due at `rate` rows a second; time spent waiting for an answer does not count."""

    def __init__(self, rate: float, stop: threading.Event, waiting: Waiting) -> None:
        self._rate, self._stop, self._waiting, self._begun = rate, stop, waiting, time.monotonic()

    def due(self, sent: int, most: int) -> int:
        """How many rows may be sent now, at most `most`; waits for the first. 0 when it was stopped."""
        if not self._rate:
            return 0 if self._stop.is_set() else most
        while not self._stop.is_set():
            passed = time.monotonic() - self._begun - self._waiting.seconds
            due = int(passed * self._rate) + 1 - sent
            if due > 0:
                return min(due, most)
            self._stop.wait(min(LOOK_SECONDS, max(0.001, sent / self._rate - passed)))
        return 0


# --- Drift checks, as they are stored ---------------------------------------------------------------------------------


class Watch:
    """Tells of each drift check of one model that is stored from now on.

    `page(before_id)` gives the newest checks, or those before an id, as dicts of id, window_key, status, columns;
    `before` are the newest of those that are there already.
    """

    def __init__(
        self,
        page: Callable[[int | None], list[dict[str, Any]]],
        before: list[dict[str, Any]],
        screen: Screen,
        tally: Tally,
    ) -> None:
        self._page, self._screen, self._tally = page, screen, tally
        self._begun = max((one["id"] for one in before), default=0)
        self._told: set[int] = set()

    def look(self) -> None:
        """Say what is new, in order. A lower id may come later, when several workers store checks."""
        found: list[dict[str, Any]] = []
        before = None
        while rows := self._page(before):
            new = [one for one in rows if one["id"] > self._begun and one["id"] not in self._told]
            found += new
            if rows[-1] not in new:
                break
            before = rows[-1]["id"]
        for one in reversed(found):
            self._told.add(one["id"])
            name = f"check {one['window_key'].removeprefix('bucket-')}"
            self._tally.checks.append((name, one["status"]))
            self._screen.say(check_in_words(name, one["status"], one["columns"]))


def check_in_words(name: str, status: str, columns: Sequence[dict[str, Any]]) -> str:
    """A drift check in a line: `check 21: amber; income PSI 0.23`."""
    flagged = [one for one in columns if one["status"] not in UNFLAGGED]
    flagged.sort(key=lambda one: -(one.get("psi_adjusted") or 0))
    told = [_column_in_words(one) for one in flagged[:MOST_NAMED]]
    if len(flagged) > MOST_NAMED:
        told.append(f"{len(flagged) - MOST_NAMED} more")
    return f"{name}: {status}" + ("; " + ", ".join(told) if told else "")


def _column_in_words(column: dict[str, Any]) -> str:
    if (size := column.get("psi_adjusted")) is not None:
        missing = column.get("new_missing", 0) - column.get("train_missing", 0)
        more = f" ({missing:+.0%} missing)" if abs(missing) >= 0.005 else ""
        return f"{column['column']} PSI {size:.2f}{more}"
    return column["column"] if column.get("z") is None else f"{column['column']} Z {column['z']:+.1f}"


# --- Applications as they are sent ------------------------------------------------------------------------------------


def payloads(frame: pd.DataFrame, book: Portfolio) -> list[dict[str, Any]]:
    """Applications by wire name, as a client would send them; what is not said is left out."""
    columns = {}
    for name in frame.columns:
        column = book.columns[name]
        values = frame[name].tolist()
        columns[wire_name(name, column)] = [_plain(value) for value in values]
    rows = zip(*columns.values(), strict=True)
    return [{name: value for name, value in zip(columns, row, strict=True) if value is not None} for row in rows]


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return None if math.isnan(value) else int(value) if value.is_integer() else value
    return value


# --- To the log -------------------------------------------------------------------------------------------------------


def send_to_log(
    stream: Stream,
    plan: Plan,
    log: PredictionLog,
    data: ModelData,
    policy: Policy,
    model_of: Callable[[Check], ModelData],
    screen: Screen,
    stop: threading.Event,
    tally: Tally,
    alerts: Alerts | None = None,
) -> None:
    """Score and log the stream as production predictions, and run drift checks as they fall due, as a service does.

    Ends early, with whole batches only, when `stop` is set. Raises GaveUp.
    """
    waiting = Waiting(screen, stop, plan.patience)
    pace = Pace(plan.rate, stop, waiting)
    scorer = Scorer(data)

    def page(before: int | None) -> list[dict[str, Any]]:
        rows = log.reports(20, before, data.version, data.sha256, trigger="automatic")
        return [row | {"columns": (row["report"] or {}).get("columns", [])} for row in rows]

    def check() -> None:
        waiting.for_log(lambda: run_due_checks(log, model_of, f"{CALLER}:{plan.run}", lease_seconds=LEASE_SECONDS))
        waiting.for_log(watch.look)
        if alerts is not None:
            sent = waiting.for_log(lambda: consider_drift(alerts, log, data.version, data.sha256))
            if sent is not None:
                screen.say(f"alert: {sent.title} (told: {', '.join(sent.receivers) or 'nobody yet'})")

    due = 0
    with suppress(Stopped):
        watch = Watch(page, waiting.for_log(lambda: page(None)), screen, tally)
        while tally.sent < plan.n and (count := pace.due(tally.sent, min(BATCH, plan.n - tally.sent))):
            drawn = stream.take(tally.sent, count)
            records = _records(scorer, drawn, plan, policy)
            added = waiting.for_log(lambda records=records: log.append(records))
            if not all(added.same_inputs):
                raise GaveUp(
                    f"run {plan.run} is there already with other applications, as another --seed or --drift makes "
                    "them; repeat its options to go on with it, or name another --run"
                )
            tally.sent += len(drawn)
            tally.known += added.inserted.count(False)
            _count_clipped(tally, drawn)
            if plan.outcomes is not None:
                told = _outcomes(drawn, records, added.prediction_ids, plan, tally)
                waiting.for_log(lambda told=told: log.add_outcomes(told))
                tally.outcomes += len(told)
                tally.bads += sum(one.bad for one in told)
            screen.advance(len(drawn))
            if added.checks:
                due += added.checks
                check()
        deadline = time.monotonic() + SETTLE_SECONDS
        while len(tally.checks) < due and time.monotonic() < deadline and not stop.wait(LOOK_SECONDS):
            check()  # one that failed while the log was away is tried again after a few seconds
    tally.open_checks = max(0, due - len(tally.checks))


def _records(scorer: Scorer, drawn: Drawn, plan: Plan, policy: Policy) -> list:
    book = scorer.data.portfolio
    scored = scorer.score(to_columns(drawn.frame, list(book.inputs), book))
    decisions = policy.decide(scored.pd)
    records = []
    for i, inputs in enumerate(payloads(drawn.frame, book)):
        number = drawn.first + i
        application_id = plan.application_id(number)
        record = scorer.record(
            scored, i, inputs, purpose="production", source="api", run=plan.run, caller=CALLER,
            application_id=application_id, dedupe_key=dedupe_key(scorer.data, application_id),
            decision=str(decisions[i]), policy=policy.version, created_at=plan.moment(number),
        )  # fmt: skip
        records.append(record)
    return records


def _outcomes(drawn: Drawn, records: list, prediction_ids: list[str], plan: Plan, tally: Tally) -> list[OutcomeRecord]:
    """What became of those whose window has passed. Counts the others."""
    asked = plan.outcomes
    known = drawn.true_pd if drawn.true_pd is not None else np.array([record.pd for record in records])
    bads, told = drawn.bads(known, asked.times), []
    for record, prediction_id, bad in zip(records, prediction_ids, bads.tolist(), strict=True):
        day = asked.day_of(record.created_at)
        if asked.approved_only and record.decision != "approve":
            tally.not_approved += 1
        elif day > asked.as_of:
            tally.immature += 1
        else:
            told.append(OutcomeRecord(bad, day, prediction_id=prediction_id, source=CALLER, caller=CALLER))
    return told


def _count_clipped(tally: Tally, drawn: Drawn) -> None:
    tally.clipped.update({name: int(marked.sum()) for name, marked in drawn.clipped.items() if marked.any()})


# --- To an API --------------------------------------------------------------------------------------------------------


class ApiError(CreditRiskError):
    """The API has answered, and it will not do what was asked."""


_ADDRESS = "write the address of an API, as in http://127.0.0.1:8000"


@dataclass(frozen=True)
class Address:
    """Where an API is, and the key to it. `url` as people write it."""

    url: str
    key: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        try:
            parts = urlsplit(self.url)
            _ = parts.port
        except ValueError as problem:
            raise ParameterError(f"--api {self.url}: {problem}; {_ADDRESS}") from None
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.username:
            raise ParameterError(f"--api {self.url}: {_ADDRESS}")


@dataclass(frozen=True)
class Answer:
    """What was answered, whatever it is."""

    status: int
    text: str
    headers: http.client.HTTPMessage

    @property
    def content(self) -> Any:
        """The JSON of the body; None where it is none."""
        try:
            return json.loads(self.text)
        except ValueError:
            return None

    @property
    def retry_seconds(self) -> float | None:
        """How long the API asks to wait: seconds, or until a date."""
        said = (self.headers.get("Retry-After") or "").strip()
        if re.fullmatch(r"\d{1,6}", said):
            return float(said)
        with suppress(ValueError, TypeError):
            return max(0.0, (parsedate_to_datetime(said) - datetime.now(UTC)).total_seconds())
        return None

    @property
    def detail(self) -> str:
        """Why it was refused, in the API's words."""
        content = self.content
        said = content.get("detail") if isinstance(content, dict) else None
        if isinstance(said, list):
            said = "; ".join(str(one.get("msg", one)) if isinstance(one, dict) else str(one) for one in said)
        return str(said or http.client.responses.get(self.status, "no reason given"))


class Connection:
    """One keep-alive connection to an API; made anew after an error. Of one thread at a time."""

    def __init__(self, address: Address, seconds: float = 30) -> None:
        parts = urlsplit(address.url)
        self._path, self._key = parts.path.rstrip("/"), address.key
        secure = {"context": ssl.create_default_context()} if parts.scheme == "https" else {}
        kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        self._connection = kind(parts.hostname, parts.port, timeout=seconds, **secure)

    def ask(self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> Answer:
        """The answer, whatever it is. Raises OSError or HTTPException without one."""
        sent = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        sent |= {"Content-Type": "application/json"} if body is not None else {}
        try:
            self._connection.request(method, self._path + path, body, sent | (headers or {}))
            response = self._connection.getresponse()
            content = response.read()
        except BaseException:
            self._connection.close()
            raise
        return Answer(response.status, content.decode("utf-8", "replace"), response.headers)

    def close(self) -> None:
        self._connection.close()


def ask_for_model(address: Address, name: str = "") -> dict[str, Any]:
    """What GET /model-info says of the model that serves, or of another. Raises ApiError, with what to do."""
    connection = Connection(address)
    try:
        answer = connection.ask("GET", f"/model-info?model={quote(name)}" if name else "/model-info")
    except (OSError, http.client.HTTPException) as problem:
        raise ApiError(f"{address.url} does not answer ({_reason(problem)}); start it with creditrisk serve") from None
    finally:
        connection.close()
    if answer.status in (401, 403):
        raise ApiError(f"{address.url}: {answer.detail}; give a key with --key-file FILE")
    info = answer.content
    if answer.status != 200 or not isinstance(info, dict) or not {"model_version", "sha256", "portfolio"} <= set(info):
        raise ApiError(f"{address.url}/model-info answered {answer.status}: {answer.detail}")
    return info


def _reason(problem: Exception) -> str:
    return getattr(problem, "strerror", None) or type(problem).__name__


@dataclass(frozen=True)
class _Item:
    number: int
    body: bytes
    clipped: tuple[str, ...]


class ApiSender:
    """Sends a stream over several connections, one application a request."""

    def __init__(
        self,
        stream: Stream,
        plan: Plan,
        address: Address,
        info: dict[str, Any],
        screen: Screen,
        stop: threading.Event,
        tally: Tally,
        connections: int = 4,
        model: str = "",
    ) -> None:
        self._stream, self._plan, self._address, self._screen = stream, plan, address, screen
        self._stop, self._tally, self._connections = stop, tally, connections
        self._path = f"/predict?model={quote(model)}" if model else "/predict"
        self._reports = f"/drift-reports?trigger=automatic&limit=20&model={quote(info['model_version'])}"
        self._waiting = Waiting(screen, stop, plan.patience)
        self._pace = Pace(plan.rate, stop, self._waiting)
        self._items: queue.Queue[_Item | None] = queue.Queue(4 * connections)
        self._guard, self._problem, self._looked = threading.Lock(), None, time.monotonic()
        self._own = Connection(address)

    def send(self) -> None:
        """Send all of it, or what was sent before `stop` was set. Raises ApiError, or GaveUp."""
        workers = [threading.Thread(target=self._work, daemon=True) for _ in range(self._connections)]
        try:
            with suppress(Stopped):
                watch = Watch(self._page, self._newest(), self._screen, self._tally)
                for worker in workers:
                    worker.start()
                self._feed(watch)
                while any(worker.is_alive() for worker in workers):
                    time.sleep(0.05)
                    self._look(watch)
                self._settle(watch)
        except BaseException:
            self._stop.set()  # whatever has happened, nothing goes on being sent
            raise
        finally:
            for worker in workers:
                if worker.ident is not None:
                    worker.join()
            self._own.close()
        if self._problem is not None:
            raise self._problem

    def _feed(self, watch: Watch) -> None:
        """Hand all applications to the workers, and tell of drift checks meanwhile."""
        for item in chain(self._applications(), repeat(None, self._connections)):
            while not self._stop.is_set():
                if time.monotonic() - self._looked > LOOK_SECONDS:
                    self._look(watch)
                with suppress(queue.Full):
                    self._items.put(item, timeout=LOOK_SECONDS)
                    break

    def _applications(self) -> Iterator[_Item]:
        """What is sent, at the pace that is asked for."""
        book, first = self._stream.book, 0
        while first < self._plan.n:
            drawn = self._stream.take(first, min(BATCH, self._plan.n - first))
            for i, said in enumerate(payloads(drawn.frame, book)):
                if not self._pace.due(first + i, 1):
                    return
                if book.application_id:
                    said["application_id"] = self._plan.application_id(first + i)
                clipped = tuple(name for name, marked in drawn.clipped.items() if marked[i])
                yield _Item(first + i, json.dumps(said).encode(), clipped)
            first += len(drawn)

    def _work(self) -> None:
        connection = Connection(self._address)
        try:
            while not self._stop.is_set():
                try:
                    item = self._items.get(timeout=LOOK_SECONDS)
                except queue.Empty:
                    continue
                if item is None:
                    return
                new = self._deliver(connection, item)
                with self._guard:
                    self._tally.sent += 1
                    self._tally.known += not new
                    self._tally.clipped.update(item.clipped)
                self._screen.advance(1)
        except Stopped:
            return
        except Exception as problem:  # told by the thread that has begun this one
            with self._guard:
                self._problem = self._problem or problem
            self._stop.set()
        finally:
            connection.close()

    def _deliver(self, connection: Connection, item: _Item) -> bool:
        """Send one application until it is answered; whether it was new to the log."""
        key = {"Idempotency-Key": self._plan.application_id(item.number)}
        begun, tries = time.monotonic(), 0
        for pause in self._waiting.pauses():
            tries += 1
            try:
                answer = connection.ask("POST", self._path, item.body, key)
            except (OSError, http.client.HTTPException) as problem:
                self._waiting.failed(f"{self._address.url} does not answer ({_reason(problem)})", pause, begun)
                continue
            if answer.status == 200:
                self._waiting.worked()
                return tries > 1 or answer.headers.get("Idempotent-Replayed") is None
            if answer.status not in TRANSIENT:
                raise ApiError(f"{self._address.url}/predict answered {answer.status}: {answer.detail}")
            wait = pause if answer.retry_seconds is None else answer.retry_seconds
            if answer.status == 429:
                self._limited(wait)
            else:
                self._waiting.failed(f"{self._address.url} answered {answer.status}: {answer.detail}", wait, begun)
        raise AssertionError  # pauses do not end

    def _limited(self, seconds: float) -> None:
        """Wait as long as the API's rate limit wants it; it is no failure, and is said once."""
        with self._guard:
            self._tally.limited += 1
            if self._tally.limited == 1:
                self._screen.say("the API limits how many requests it takes (429); waiting each time as it asks")
        if self._stop.wait(seconds):
            raise Stopped

    def _page(self, before: int | None) -> list[dict[str, Any]]:
        answer = self._own.ask("GET", self._reports + (f"&before_id={before}" if before else ""))
        if answer.status not in (200, *TRANSIENT):
            raise ApiError(f"{self._address.url}/drift-reports answered {answer.status}: {answer.detail}")
        if answer.status != 200:
            raise OSError(answer.status, answer.detail)
        return answer.content

    def _newest(self) -> list[dict[str, Any]]:
        """The newest checks, as soon as the API gives them: what was stored before must be known."""
        begun = time.monotonic()
        for pause in self._waiting.pauses():
            try:
                found = self._page(None)
            except (OSError, http.client.HTTPException) as problem:
                self._waiting.failed(f"{self._address.url} does not answer ({_reason(problem)})", pause, begun)
            else:
                self._waiting.worked()
                return found
        raise AssertionError  # pauses do not end

    def _look(self, watch: Watch) -> bool:
        """Whether the API could be asked for its drift checks; if not now, then later."""
        self._looked = time.monotonic()
        try:
            watch.look()
        except (OSError, http.client.HTTPException):
            return False
        return True

    def _settle(self, watch: Watch) -> None:
        """Wait a while for the checks that the API has still to run."""
        deadline = time.monotonic() + SETTLE_SECONDS
        while True:
            self._tally.open_checks = self._open_checks()
            looked = self._look(watch)
            if (looked and not self._tally.open_checks) or time.monotonic() > deadline or self._stop.wait(0.3):
                return

    def _open_checks(self) -> int:
        """How many checks the API has still to run, as far as it says."""
        try:
            text = self._own.ask("GET", "/metrics").text
        except (OSError, http.client.HTTPException):
            return 0
        found = re.findall(r'^creditrisk_drift_checks_open\{status="(?:pending|running)"\} (\S+)$', text, re.MULTILINE)
        return int(sum(map(float, found)))
