"""What the File tab knows, without a widget."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pandas as pd
from traitlets import Any as Anything
from traitlets import HasTraits, Int, Unicode

from creditrisk.data.tables import Applications
from creditrisk.errors import CreditRiskError
from creditrisk.serving.model import ModelData
from creditrisk.serving.policy import DECISIONS, Policy, policy_in_force
from creditrisk.serving.scored import Scored
from creditrisk.serving.scorer import Scorer
from creditrisk.ui.page import file_scoring
from creditrisk.ui.page.download import csv_bytes
from creditrisk.ui.page.file_scoring import Logged, Preview
from creditrisk.ui.page.log_access import LogAccess

EMPTY, RECEIVING, READING, CHECKING, SCORING, SUMMING, READY, LOGGING = STAGES = (
    "empty", "receiving", "reading", "checking", "scoring", "summing up", "ready", "logging",
)  # fmt: skip
BUSY = (RECEIVING, READING, CHECKING, SCORING, SUMMING, LOGGING)
SHOWN = 1_000
"""Rows that the browser gets; the others are in the downloads."""
ORDERS = ("first", "riskiest", "safest", *DECISIONS)


class FileState(HasTraits):
    """A file on its way from the browser to the log.

    `stage` says where it is, `done` of `total` how far. `problem` says what was wrong with the file, `log_problem` why
    nothing was logged, `notice` what else there is to know. `preview` is the scored file, `logged` what the log made
    of it.
    """

    stage = Unicode(EMPTY)
    done, total = Int(0), Int(0)
    name, problem, log_problem, notice = Unicode(), Unicode(), Unicode(), Unicode()
    preview = Anything(None, allow_none=True)
    logged = Anything(None, allow_none=True)

    def __init__(self, data: ModelData, log: LogAccess, artifacts: str = "") -> None:
        super().__init__()
        self.book = data.portfolio
        self._data, self._log, self._artifacts = data, log, artifacts
        self._scorer = Scorer(data)
        self._job = 0
        self._logged_table = pd.DataFrame()

    @property
    def busy(self) -> bool:
        return self.stage in BUSY

    @property
    def version(self) -> str:
        return self._data.version

    # From the browser

    def begin(self, name: str, size: int) -> None:
        """A file begins to come; what was there before is gone."""
        self._begin(name)
        self.done, self.total, self.stage = 0, size, RECEIVING

    def receive(self, got: int) -> None:
        """So many bytes of it are there."""
        self.done = got

    def refuse(self, name: str, problem: str) -> None:
        """A file is not taken."""
        self._begin(name)
        self.problem = problem
        self.stage = EMPTY

    def stop(self) -> None:
        """Let go of what is being done. What is logged stays logged."""
        self._job += 1
        if self.stage == LOGGING:
            told = f"Stopped after {self.done:,} of {self.total:,} rows"
            self.log_problem = f"{told}; those are in the log. Log again to add the others."
            self.stage = READY
        elif self.busy:
            self.notice = f"Stopped. Nothing of {self.name} was scored or logged."
            self.stage = EMPTY

    async def score(self, name: str, content: bytes) -> None:
        """Read, check and score a file; the page stays free meanwhile. `preview` or `problem` is then set."""
        job = self._begin(name)
        try:
            preview = await self._previewed(job, name, content)
        except CreditRiskError as problem:
            if job == self._job:
                self.problem, self.stage = str(problem), EMPTY
            return
        except Exception as problem:  # its message may quote applications
            if job == self._job:
                self.problem, self.stage = f"{name} could not be scored ({type(problem).__name__}).", EMPTY
            return
        if preview is not None and job == self._job:
            self.preview, self.stage = preview, READY

    async def _previewed(self, job: int, name: str, content: bytes) -> Preview | None:
        """The scored file; None when somebody stopped it."""
        self.stage = READING
        frame = await asyncio.to_thread(file_scoring.read_sent, name, content)
        if job != self._job:
            return None
        self.stage = CHECKING
        checked = await asyncio.to_thread(file_scoring.check_sent, frame, self.book, name)
        if job != self._job:
            return None
        del frame
        self.done, self.total, self.stage = 0, len(checked.frame), SCORING
        parts = []
        for some in file_scoring.in_parts(checked):
            parts.append((some, await asyncio.to_thread(self._scorer.score_frame, some.frame)))
            if job != self._job:
                return None
            self.done += len(some.frame)
        self.stage = SUMMING
        return await asyncio.to_thread(self._summed_up, name, content, checked, parts)

    def _summed_up(
        self, name: str, content: bytes, checked: Applications, parts: list[tuple[Applications, Scored]]
    ) -> Preview:
        preview = _under(file_scoring.sum_up(name, content, self._data, checked, parts), *self._policy())
        preview.table  # noqa: B018 - made here, so that nobody waits for it later
        return preview

    def _begin(self, name: str) -> int:
        self._job += 1
        self.preview = self.logged = None
        self.name, self.problem, self.log_problem, self.notice = name, "", "", ""
        self.done = self.total = 0
        return self._job

    def _policy(self) -> tuple[Policy | None, str]:
        try:
            return policy_in_force(self._data), ""
        except CreditRiskError as problem:
            return None, str(problem)

    # To the log

    async def store(self) -> None:
        """Log the predictions shown; `logged` says then what came of it, or `log_problem` why nothing did.

        When another policy has come into force since, its decisions are shown first and nothing is logged.
        """
        preview = self.preview
        if preview is None or self.busy or self.logged is not None:
            return
        self.log_problem, self.notice = "", ""
        self._job += 1
        job = self._job
        self.done, self.total, self.stage = 0, preview.scored, LOGGING
        policy, problem = await asyncio.to_thread(self._policy)
        if job != self._job:
            return
        if policy != preview.policy:
            self.preview = _under(preview, policy, problem)
            version = policy.version if policy else "none"
            self.log_problem = f"The policy in force is now {version}: look at its decisions, then log."
            self.stage = READY
            return
        if preview.kept_out:
            self.log_problem, self.stage = preview.kept_out, READY
            return
        await self._store(job, preview)

    async def _store(self, job: int, preview: Preview) -> None:
        loop = asyncio.get_running_loop()

        def told(done: int) -> bool:
            loop.call_soon_threadsafe(self._stored_so_far, job, done)
            return job == self._job

        try:
            logged, table = await asyncio.to_thread(self._append, preview, told)
        except (CreditRiskError, OSError) as problem:
            if job == self._job:
                told_before = f"{self.done:,} of {self.total:,} rows are in the log; log again to add the others. "
                self.log_problem = f"Not all logged. {told_before if self.done else ''}{problem}"
                self.stage = READY
            return
        if logged is not None and job == self._job:
            self._logged_table = table
            self.logged, self.stage = logged, READY

    def _stored_so_far(self, job: int, done: int) -> None:
        if job == self._job:
            self.done = done

    def _append(self, preview: Preview, told: Callable[[int], bool]) -> tuple[Logged | None, pd.DataFrame]:
        log = self._log.open()
        try:
            logged = file_scoring.log_parts(log, self._scorer, preview, told)
        finally:
            log.close()
        return logged, preview.table_with(logged)

    # To look at and to take away

    def rows_to_show(self, order: str = "first") -> tuple[pd.DataFrame, int]:
        """Up to SHOWN scored rows in an order of ORDERS (a decision: its rows only), and of how many they are."""
        table = self.table
        if order in DECISIONS:
            table = table[table["decision"] == order] if "decision" in table else table.iloc[:0]
        elif order == "riskiest":
            return table.nlargest(SHOWN, "default_probability"), len(table)
        elif order == "safest":
            return table.nsmallest(SHOWN, "default_probability"), len(table)
        return table.iloc[:SHOWN], len(table)

    @property
    def table(self) -> pd.DataFrame:
        """The scored file as it stands: once it is logged, with the ids in the log."""
        if self.preview is None:
            return pd.DataFrame()
        return self.preview.table if self.logged is None else self._logged_table

    def scored_csv(self) -> bytes:
        """The scored file as CSV."""
        return csv_bytes(self.table)

    def scored_parquet(self) -> bytes:
        """The scored file as Parquet."""
        return self.table.to_parquet(index=False)

    def rejected_csv(self) -> bytes:
        """The rejected rows with their reasons as CSV."""
        return csv_bytes(rejected_table(self.preview)) if self.preview else b""

    def template_csv(self) -> bytes:
        """A file to begin with as CSV."""
        return csv_bytes(file_scoring.template(self.book))


def rejected_table(preview: Preview) -> pd.DataFrame:
    """What was wrong: row in the file, application id if there is one, column, value, reason."""
    table = preview.checked.rejected.drop(columns="table").rename(columns={"key": "application_id"})
    return table.drop(columns="application_id") if preview.checked.ids is None else table


def _under(preview: Preview, policy: Policy | None, problem: str) -> Preview:
    return replace(preview, policy=policy, policy_problem=problem)
