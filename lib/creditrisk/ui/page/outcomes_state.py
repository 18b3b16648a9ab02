"""What the Monitoring tab knows of outcomes: the newest report on them, and the judging of what the log holds now."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from traitlets import Any as Anything
from traitlets import Bool, HasTraits, Int, Unicode

from creditrisk.errors import CreditRiskError
from creditrisk.monitoring.outcomes import PERFORMANCE_MONTHS, judge
from creditrisk.serving.log import PredictionLog
from creditrisk.serving.model import ModelData
from creditrisk.ui.page.log_access import LogAccess

BY_ITSELF = 20_000
"""Predictions of a model whose outcomes are judged without being asked: it takes less than a second."""
MOST = 2_000_000
"""Predictions that are judged on the page at all: beyond, it takes minutes."""
SECONDS = 0.3


class Stopped(CreditRiskError):
    """The judging was stopped by the visitor."""


@dataclass(frozen=True)
class Judging:
    """A report on outcomes as its `to_dict` says it, and when it was made; `stored` when it comes from the log."""

    report: Mapping[str, Any]
    when: datetime
    stored: bool


class OutcomesState(HasTraits):
    """Outcomes of one model. `shown` is the newest report there is; `running` while outcomes are being judged.

    `read` predictions were looked at so far, of `total` from production and of those of scored `files`, if any.
    `problem` says why there is no report, or no newer one.
    """

    shown = Anything(None, allow_none=True)
    running = Bool(False)
    read, total = Int(0), Int(0)
    problem = Unicode()
    by = Unicode("month")

    def __init__(self, log: LogAccess, data: ModelData | None) -> None:
        super().__init__()
        self.log, self._data = log, data
        self.model: tuple[str, str] | None = None
        self.has_outcomes, self.files = False, False
        self._task: asyncio.Task | None = None
        self._count, self._stop = 0, False

    @property
    def judges(self) -> bool:
        """Whether this model's outcomes can be judged here: it is the one that the page has loaded."""
        return self._data is not None and self.model == (self._data.version, self._data.sha256)

    @property
    def months(self) -> int:
        """Months until the outcome of a prediction is known."""
        return (self._data and self._data.portfolio.target.performance_months) or PERFORMANCE_MONTHS

    def refresh(self, model: tuple[str, str] | None) -> None:
        """Look at a model: what was reported of it and how much there is to judge; a little is judged by itself."""
        if model is None:
            return
        if model != self.model:
            self.stop()
            self.model, self.shown, self.problem = model, None, ""
        found = self.log.ask(self._look)
        if found is None:
            return
        self.total, self.files, self.has_outcomes, newest = found
        if newest is not None and (self.shown is None or newest.when > self.shown.when):
            self.shown = newest
        little = 0 < self.total <= BY_ITSELF and not self.files  # nobody has counted those of files
        if self.shown is None and self.judges and not self.problem and little:
            self.begin()

    @property
    def has_predictions(self) -> bool:
        """Whether there is anything whose outcome will be known one day."""
        return bool(self.total or self.files)

    def _look(self, log: PredictionLog) -> tuple[int, bool, bool, Judging | None]:
        made = [one["n"] for one in log.counters() if (one["model_version"], one["model_sha256"]) == self.model]
        stored = log.outcome_reports(1, *self.model)
        newest = Judging(stored[0]["report"], stored[0]["created_at"].astimezone(UTC), True) if stored else None
        files = bool(log.followed(*self.model, 1, purposes=("file",)))
        return sum(made), files, bool(log.outcomes(limit=1)), newest

    def judge_by(self, by: str) -> None:
        """Make vintages of a month or a quarter, and judge again."""
        self.by = by
        self.begin()

    def begin(self) -> None:
        """Judge what the log holds now: aside where an event loop runs, else at once."""
        if self.running or not self.judges:
            return
        if self.total > MOST:
            self.problem = (
                f"The log holds {self.total:,} predictions of model {self.model[0]}, too many to judge on this page. "
                f"Run `creditrisk outcomes -p model {self.model[0]}`: its report shows here."
            )
            return
        self.problem, self.running, self.read = "", True, 0
        self._count, self._stop = 0, False
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # a plain script or a test
            self._end(self._judged(self.model, self.by))
            return
        self._task = loop.create_task(self._aside())

    def stop(self) -> None:
        """Judge no further."""
        self._stop = True

    async def _aside(self) -> None:
        asked = self.model
        judging = asyncio.ensure_future(asyncio.to_thread(self._judged, asked, self.by))
        while not judging.done():
            await asyncio.wait({judging}, timeout=SECONDS)
            self.read = self._count
        self._end(judging.result() if asked == self.model else "")

    def _end(self, result: Judging | str) -> None:
        if isinstance(result, str):
            self.problem = result
        else:
            self.shown = result
        self.running = False

    def _judged(self, model: tuple[str, str], by: str) -> Judging | str:
        """The report, or why there is none. Runs in a thread: it sets no trait, and has a connection of its own."""
        try:
            log = PredictionLog(self.log.url, self.log.period)
            try:
                return Judging(judge(_Counted(log, self), self._data, by=by).to_dict(), datetime.now(UTC), False)
            finally:
                log.close()
        except Stopped:
            return "Stopped before all predictions were read: nothing was judged."
        except (CreditRiskError, OSError) as error:
            return str(error)

    def counted(self, rows: int) -> None:
        """Note that so many more predictions were read; raises Stopped when nobody waits for them any more."""
        self._count += rows
        if self._stop:
            raise Stopped("stopped")


class _Counted:
    """The log as judging reads it, telling how far it is."""

    def __init__(self, log: PredictionLog, state: OutcomesState) -> None:
        self._log, self._state = log, state

    def followed(self, *asked, **wanted) -> list[dict[str, Any]]:
        rows = self._log.followed(*asked, **wanted)
        self._state.counted(len(rows))
        return rows
