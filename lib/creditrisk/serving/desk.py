"""Where requests meet: what arrives together is scored as one batch, committed as one transaction, then answered.

A request is answered after the commit of its batch, never before.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from creditrisk.errors import CreditRiskError, LogError
from creditrisk.serving.log import PredictionLog, PredictionRecord
from creditrisk.serving.models import Served

logger = logging.getLogger(__name__)

MOST_WAITING = 5_000
"""Applications that may wait; beyond, requests are turned away, which is better than answering none in time."""
MOST_AT_ONCE = 200
"""Applications of one transaction; a longer list of one request is still one."""
MOST_QUICK = 25
"""Applications of one request that are scored in the event loop; more would keep the others waiting."""
QUIET_SECONDS, GATHERING_SECONDS = 0.0002, 0.001
"""After so much time without another request, or so much in all, what has been gathered is answered; at once when it
is as much as usual."""
FORGETTING = 0.9
"""What is usual shrinks by this factor with every batch that is smaller."""
QUICK_SECONDS = 0.02
"""How long the event loop waits for another writer."""


class Busy(CreditRiskError):
    """More applications wait than can be answered in time."""


@dataclass(slots=True)
class Job:
    """The applications of one request: checked values by column name, and what is logged with them."""

    served: Served
    values: Sequence[dict[str, Any]]
    inputs: Sequence[dict[str, Any]]
    purpose: str
    caller: str | None = None
    application_ids: Sequence[str | None] = ()
    idempotency_keys: Sequence[str | None] = ()
    started: float = field(default_factory=time.perf_counter)
    future: asyncio.Future | None = None
    loop: asyncio.AbstractEventLoop | None = None


@dataclass(frozen=True, slots=True)
class Answered:
    """One application's row in the log: `record` as it was made now, or `stored` as it was before.

    Of one stored before: by which key it was found (idempotency_key or dedupe_key), and whether its inputs are as now.
    """

    record: PredictionRecord
    stored: dict[str, Any] | None = None
    found_by: str | None = None
    same_inputs: bool = True


class Desk:
    """Scores and logs jobs. `on_due` is called after a commit by which a drift check fell due; `made` counts batches.

    There are two ways. The quick one, for SQLite, whose commit takes a fraction of a millisecond: all jobs that one
    round of the event loop has brought are answered at its end, without a thread that would contend for the
    interpreter. It waits for no lock longer than QUICK_SECONDS. What it cannot store, long lists, and all of PostgreSQL
    go the patient way: a thread takes what waits as one batch, and waits as long as the log does.
    """

    def __init__(
        self,
        log: PredictionLog,
        on_due: Callable[[], None] | None = None,
        on_batch: Callable[[int, float], None] | None = None,
    ) -> None:
        self.log, self._on_due, self._on_batch = log, on_due, on_batch
        on_sqlite = log.url.get_backend_name() == "sqlite"
        self._quick = log.impatient(QUICK_SECONDS) if on_sqlite else None
        self.made = 0
        self._usual = 1.0
        self._gathered: dict[asyncio.AbstractEventLoop, list[Job]] = {}
        self._jobs: deque[Job] = deque()
        self._waiting = 0
        self._arrived = threading.Condition()
        self._open = False
        self._thread: threading.Thread | None = None

    def stop(self, seconds: float = 30) -> None:
        """Take no more jobs, finish those that wait, end the thread."""
        with self._arrived:
            self._open = False
            self._arrived.notify()
        if self._thread is not None:
            self._thread.join(seconds)
        if self._quick is not None:
            self._quick.close()

    async def submit(self, job: Job) -> list[Answered]:
        """The answers of a job, in order, once they are committed. Raises Busy, LogError or what scoring raises."""
        job.loop = loop = asyncio.get_running_loop()
        job.future = loop.create_future()
        if self._quick is None or self._waiting or len(job.values) > MOST_QUICK:
            self._hand_over([job])
        elif loop in self._gathered:
            self._gathered[loop].append(job)
        else:
            self._gathered[loop] = [job]
            begun = time.perf_counter()
            loop.call_soon(self._end_of_round, loop, 1, begun, begun)
        return await job.future

    # --- The quick way

    def _end_of_round(self, loop: asyncio.AbstractEventLoop, seen: int, last: float, begun: float) -> None:
        """Answer what has been gathered, unless more is coming in: the fewer commits, the sooner all are answered."""
        count = len(self._gathered[loop])
        if count < self._usual:
            moment = time.perf_counter()
            if count > seen:
                seen, last = count, moment
            if moment - last < QUIET_SECONDS and moment - begun < GATHERING_SECONDS:
                loop.call_soon(self._end_of_round, loop, seen, last, begun)
                return
        self._usual = max(count, FORGETTING * self._usual)
        jobs = self._gathered.pop(loop)
        try:
            results = self._answer(jobs, self._quick)
        except Exception:  # whatever it is, the patient way finds out for whom
            self._hand_over(jobs)
            return
        _resolve([(job.future, result) for job, result in zip(jobs, results, strict=True)])

    # --- The patient way

    def _hand_over(self, jobs: list[Job]) -> None:
        with self._arrived:
            if not self._open:
                self._open = True
                self._thread = threading.Thread(target=self._work, name="prediction-desk", daemon=True)
                self._thread.start()
            for job in jobs:
                if self._waiting and self._waiting + len(job.values) > MOST_WAITING:
                    _resolve([(job.future, Busy(f"{self._waiting:,} applications wait to be scored"))])
                    continue
                self._jobs.append(job)
                self._waiting += len(job.values)
            self._arrived.notify()

    def _work(self) -> None:
        while True:
            with self._arrived:
                while not self._jobs:
                    if not self._open:
                        return
                    self._arrived.wait()
                jobs, rows = [], 0
                while self._jobs and (not jobs or rows + len(self._jobs[0].values) <= MOST_AT_ONCE):
                    jobs.append(self._jobs.popleft())
                    rows += len(jobs[-1].values)
            self._settle(jobs)
            with self._arrived:
                self._waiting -= rows

    def _settle(self, jobs: list[Job]) -> None:
        """Answer a batch; when it fails for another reason than the log, each job alone, so that none spoils others."""
        try:
            results: list[Any] = self._answer(jobs, self.log)
        except Exception as error:
            if len(jobs) > 1 and not isinstance(error, LogError):
                for job in jobs:
                    self._settle([job])
                return
            if not isinstance(error, CreditRiskError):
                logger.error("a prediction failed: %s", type(error).__name__)  # its message may quote an application
            results = [error] * len(jobs)
        by_loop: dict[asyncio.AbstractEventLoop, list] = {}
        for job, result in zip(jobs, results, strict=True):
            by_loop.setdefault(job.loop, []).append((job.future, result))
        for loop, settled in by_loop.items():
            try:
                loop.call_soon_threadsafe(_resolve, settled)
            except RuntimeError:  # the loop has ended: nobody waits for the answers any more
                continue

    def _answer(self, jobs: list[Job], log: PredictionLog) -> list[list[Answered]]:
        self.made += 1
        records = make_records(jobs)
        begun = time.perf_counter()
        appended = log.append(records)
        if self._on_batch is not None:
            self._on_batch(len(records), time.perf_counter() - begun)
        if self._on_due is not None and appended.checks:
            self._on_due()
        answers = [
            Answered(record)
            if appended.inserted[k]
            else Answered(
                record, self._stored(appended.prediction_ids[k]), appended.found_by[k], appended.same_inputs[k]
            )
            for k, record in enumerate(records)
        ]
        results, start = [], 0
        for job in jobs:
            results.append(answers[start : start + len(job.values)])
            start += len(job.values)
        return results

    def _stored(self, prediction_id: str) -> dict[str, Any]:
        row = self.log.prediction(prediction_id)
        if row is None:
            raise LogError(f"prediction {prediction_id} was in the log a moment ago and is gone now")
        return row


def _resolve(settled: list[tuple[asyncio.Future, Any]]) -> None:
    for future, result in settled:
        if future.cancelled():  # the client has gone; its prediction is logged all the same
            continue
        if isinstance(result, Exception):
            future.set_exception(result)
        else:
            future.set_result(result)


def make_records(jobs: Sequence[Job]) -> list[PredictionRecord]:
    """Score the applications of all jobs, those of one model together; their log rows in order."""
    made: list[list[PredictionRecord]] = [[] for _ in jobs]
    by_model: dict[int, list[int]] = {}
    for position, job in enumerate(jobs):
        by_model.setdefault(id(job.served), []).append(position)
    for positions in by_model.values():
        served = jobs[positions[0]].served
        scored = served.scorer.score_rows([values for position in positions for values in jobs[position].values])
        policy = served.policy
        decisions = policy.decide(scored.pd)
        now, row = datetime.now(UTC), 0
        for position in positions:
            job = jobs[position]
            latency = (time.perf_counter() - job.started) * 1e3
            for k, inputs in enumerate(job.inputs):
                application_id = job.application_ids[k] if job.application_ids else None
                made[position].append(
                    served.scorer.record(
                        scored,
                        row,
                        inputs,
                        purpose=job.purpose,
                        source="api",
                        application_id=application_id,
                        dedupe_key=None if application_id is None else served.dedupe_key(application_id, job.purpose),
                        idempotency_key=job.idempotency_keys[k] if job.idempotency_keys else None,
                        caller=job.caller,
                        latency_ms=latency,
                        decision=decisions[row],
                        policy=policy.version,
                        created_at=now,
                    )
                )
                row += 1
    return [record for records in made for record in records]
