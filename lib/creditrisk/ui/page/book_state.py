"""What the Book tab knows: a window of the logged predictions, and one of them in full, without a widget."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

from traitlets import Any as Anything
from traitlets import HasTraits, Int, Unicode

from creditrisk.data.portfolio import Portfolio
from creditrisk.errors import LogError
from creditrisk.serving import tally
from creditrisk.serving.log import PredictionLog
from creditrisk.ui.page.book_count import Counted, Counter, Stopped
from creditrisk.ui.page.book_figures import Approvals, summarise
from creditrisk.ui.page.log_access import LogAccess

RECENT = 500
FOUND = 100
QUIET_SECONDS = 0.4
"""A count that takes longer says how far it is."""
ALL, DATES = "all", "dates"
WINDOWS = {
    "7": "Last 7 days",
    "30": "Last 30 days",
    "90": "Last 90 days",
    "365": "Last 12 months",
    ALL: "All",
    DATES: "Dates",
}
BEGIN_WITH = ("30", "365", ALL)
"""The first of these that holds a prediction is shown at first."""


class Question(NamedTuple):
    """What is looked at: a time (`until` not included), a purpose and a model version, empty for any."""

    since: datetime | None
    until: datetime | None
    purpose: str
    version: str

    @property
    def time(self) -> tuple[datetime | None, datetime | None]:
        return self.since, self.until


@dataclass(frozen=True)
class Detail:
    """One prediction as the log has it, what people decided instead of the policy, and the outcome that counts."""

    row: Mapping[str, Any]
    decisions: Sequence[Mapping[str, Any]]
    outcome: Mapping[str, Any] | None


class BookState(HasTraits):
    """The Book tab. `window` is one of WINDOWS, empty before the log was first read; an empty `purpose` is any.

    At first it is production, or any where the first time that is shown holds no production.

    `summary` and `rows` (the newest RECENT of the window) are None before the first reading and without an answer.
    `counting` says how far a count is that takes long. `cut_off` is a score, 0 for what comes nearest to the policy.
    `found` are the predictions with the id that was `sought`, None without a search. `chosen` is the id of the
    prediction whose `detail` is shown.
    """

    window = Unicode()
    purpose = Unicode("production")
    version = Unicode()
    problem = Unicode()
    counting = Unicode()
    summary = Anything(None, allow_none=True)
    rows = Anything(None, allow_none=True)
    cut_off = Int()
    sought = Unicode()
    found = Anything(None, allow_none=True)
    chosen = Unicode()
    detail = Anything(None, allow_none=True)

    def __init__(self, log: LogAccess, book: Portfolio | None) -> None:
        super().__init__()
        self.log, self.book = log, book
        self.first_day: date | None = None
        self.last_day: date | None = None
        self._counter, self._counted, self._counted_for = Counter(), None, None
        self._task: asyncio.Task | None = None
        self._asked: Question | None = None
        self._again = False
        self._settled = False

    # The window

    def refresh(self) -> None:
        """Read the log again; where an event loop runs this is done in a thread, else at once."""
        log = self.log.ask(lambda log: log)
        if log is None:
            self.summary = self.rows = None
            return
        if self._task is not None and not self._task.done():
            self._again = True
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # a plain script or a test
            self._read_at_once(log)
            return
        self._task = loop.create_task(self._read_aside(log, loop))

    def count_again(self) -> None:
        """Read the log again, and count all of it anew."""
        self._counter.forget()
        self.refresh()

    def choose_window(self, window: str) -> None:
        """Show another time."""
        self.window = window
        if window == DATES and self.first_day is None:
            today = datetime.now(UTC).date()
            self.first_day, self.last_day = today - timedelta(days=29), today
        self._changed()

    def choose_dates(self, first: date | None, last: date | None) -> None:
        """Show the predictions from one day to another, both included; None for no bound."""
        self.first_day, self.last_day, self.window = first, last, DATES
        self.problem = "The last day is before the first one." if first and last and last < first else ""
        if not self.problem:
            self._changed()

    def choose(self, purpose: str, version: str | None = None) -> None:
        """Show predictions of one purpose only, or of all (empty), and of one model version."""
        self._settled = True
        self.purpose, self.version = purpose, self.version if version is None else version
        self._changed()

    def _changed(self) -> None:
        question = self.question()
        if self._counted is not None and self._counted_for == question.time:
            self.summary = summarise(self._counted, question.purpose, question.version, self.book)
        self.refresh()

    def question(self) -> Question:
        """What is looked at now."""
        since = until = None
        if self.window == DATES:
            since = _midnight(self.first_day) if self.first_day else None
            until = _midnight(self.last_day + timedelta(days=1)) if self.last_day else None
        elif self.window.isdigit():
            since = _days_ago(int(self.window))
        return Question(since, until, self.purpose, self.version)

    def _read_at_once(self, log: PredictionLog) -> None:
        begin = self.log.ask(_begin) if not self.window else self.window
        if begin is None:
            self.summary = self.rows = None
            return
        self._asked = self.question() if self.window else self._begin_with(begin)
        counted = self.log.ask(lambda log: self._count(log, self._asked))
        if counted is not None:
            self._settle(counted)
            self._asked = self.question()
        rows = None if counted is None else self.log.ask(lambda log: _newest(log, self._asked))
        self._take(rows, counted)

    async def _read_aside(self, log: PredictionLog, loop: asyncio.AbstractEventLoop) -> None:
        again = True
        while again:
            self._again = False
            slow = loop.call_later(QUIET_SECONDS, self._tell)
            try:
                if not self.window:
                    self._begin_with(await asyncio.to_thread(_begin, log))
                self._asked = question = self.question()
                rows = await asyncio.to_thread(_newest, log, question)
                if self.question() == question:
                    self.rows = rows
                tell = _Teller(loop, self._tell)
                counted = await asyncio.to_thread(self._count, log, question, tell, self._still_wanted)
                self._take(rows, counted)
            except Stopped:
                pass
            except (LogError, OSError) as problem:
                self._no_answer(problem)
                return
            finally:
                slow.cancel()
                self.counting = ""
            again = self._again or self.question() != self._asked

    def _still_wanted(self) -> bool:
        return self.question() == self._asked

    def _begin_with(self, window: str) -> Question:
        self.window = window
        return self.question()

    def _count(self, log: PredictionLog, question: Question, *how: Any) -> Counted:
        return self._counter.count(log, *question.time, *how)

    def _settle(self, counted: Counted) -> None:
        """Once there are predictions: all purposes, where none is production and nobody has chosen one."""
        if self._settled or not len(counted.groups):
            return
        self._settled = True
        if not (counted.groups["purpose"] == self.purpose).any():
            self.purpose = ""

    def _take(self, rows: list[dict] | None, counted: Counted | None) -> None:
        """Show what was read, unless something else was asked for meanwhile."""
        if counted is None or rows is None:
            self.summary = self.rows = None
            return
        self._settle(counted)
        self._counted, self._counted_for = counted, self._asked.time
        question = self.question()
        if question.time == self._asked.time:
            self.summary = summarise(counted, question.purpose, question.version, self.book)
        if question == self._asked:
            self.rows = rows
        if self.chosen:
            self.open(self.chosen)

    def _tell(self, done: int = 0, of: int = 0) -> None:
        self.counting = f"Counting: {done:,} of about {of:,} predictions" if of else "Reading the log"

    def _no_answer(self, problem: Exception) -> None:
        def say(_log: PredictionLog) -> None:
            raise problem

        self.log.ask(say)
        self.summary = self.rows = None

    # The cut-off

    def approvals(self) -> Approvals:
        """What the cut-off that is set would approve of the window; as the policy, what the policy approved."""
        if self.as_policy():
            return self.summary.policy
        return self.summary.profile.at(self.cut_off_score())

    def as_policy(self) -> bool:
        """Whether no other cut-off is set than that of the policy, and the policy has one."""
        return not self.cut_off and self.summary is not None and self.summary.policy_score is not None

    def cut_off_score(self) -> int:
        """The cut-off that is set; else the policy's, or the score that approves nearly as many as the policy did."""
        if self.cut_off or self.summary is None:
            return self.cut_off
        if self.as_policy():
            return self.summary.policy_score
        policy = self.summary.policy
        share = policy.share if policy.of else self.book.approval_share if self.book else 0.8
        return self.summary.profile.cut_off_of(round(share * self.summary.n))

    def aim_for(self, share: float) -> None:
        """Set the cut-off that approves nearly this share of the window."""
        if self.summary is not None:
            self.cut_off = self.summary.profile.cut_off_of(round(share * self.summary.n))

    # One prediction

    def find(self, text: str) -> None:
        """Look for the prediction, or the predictions of the application, with this id, whenever they were made."""
        text = text.strip()
        if not text:
            self.sought, self.found = "", None
            return
        found = self.log.ask(lambda log: _with_id(log, text))
        if found is None:
            return
        self.sought, self.found = text, found
        if len(found) == 1:
            self.open(found[0]["prediction_id"])

    def open(self, prediction_id: str) -> None:
        """Show one prediction in full; an empty id closes it."""
        detail = self.log.ask(lambda log: _detail(log, prediction_id)) if prediction_id else None
        self.chosen = prediction_id
        self.detail = detail


class _Teller:
    """Passes on from a thread how far a count is, once it takes long."""

    def __init__(self, loop: asyncio.AbstractEventLoop, tell) -> None:
        self._loop, self._tell, self._begun = loop, tell, time.monotonic()

    def __call__(self, done: int, of: int) -> None:
        if done < of and time.monotonic() - self._begun > QUIET_SECONDS:
            self._loop.call_soon_threadsafe(self._tell, done, of)


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _days_ago(days: int) -> datetime:
    """The begin of the first of so many days, of which today is the last."""
    return _midnight(datetime.now(UTC).date() - timedelta(days=days - 1))


def _begin(log: PredictionLog) -> str:
    """The window to show at first; empty while there is nothing to show."""
    for window in BEGIN_WITH:
        if tally.ends(log, None if window == ALL else _days_ago(int(window))) is not None:
            return window
    return ""


def _newest(log: PredictionLog, question: Question) -> list[dict[str, Any]]:
    since, until, purpose, version = question
    return log.predictions(RECENT, purpose=purpose or None, model_version=version or None, since=since, until=until)


def _with_id(log: PredictionLog, text: str) -> list[dict[str, Any]]:
    row = log.prediction(text)
    return [row] if row is not None else log.predictions(FOUND, application_id=text)


def _detail(log: PredictionLog, prediction_id: str) -> Detail | None:
    row = log.prediction(prediction_id)
    if row is None:
        return None
    outcomes = log.outcomes(1, prediction_id=prediction_id, current=True)
    return Detail(row, log.decisions_of(prediction_id), outcomes[0] if outcomes else None)
