"""What the page knows of the prediction log: the log itself, the book of predictions, the drift reports. No widgets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any, TypeVar

import numpy as np
from traitlets import Any as Anything
from traitlets import HasTraits, Int, List, Unicode

from creditrisk.data.portfolio import Portfolio
from creditrisk.errors import LogError
from creditrisk.monitoring.drift import DriftReport
from creditrisk.serving.log import PredictionLog, migrate
from creditrisk.serving.model import ModelData

RECENT = 50
NEWEST = 2_000
REPORTS = 25
SCORE_STEP = 25
T = TypeVar("T")


# --- The prediction log -----------------------------------------------------------------------------------------------


class LogAccess(HasTraits):
    """The prediction log as the page meets it: opened when first asked, its schema made where there is none.

    `problem` is empty while the log answers; else it says what is wrong and what to do.
    """

    problem = Unicode()

    def __init__(self, url: str, period: int) -> None:
        super().__init__()
        self.url, self.period = url, period
        self._log: PredictionLog | None = None

    def ask(self, question: Callable[[PredictionLog], T]) -> T | None:
        """The answer of the log, or None when it gives none; the next question then opens it anew."""
        try:
            if self._log is None:
                self._log = self._open()
            answer = question(self._log)
        except (LogError, OSError) as problem:
            self.close()
            self.problem = str(problem)
            return None
        self.problem = ""
        return answer

    def _open(self) -> PredictionLog:
        log = PredictionLog(self.url, self.period)
        try:
            log.check_schema()
        except LogError:
            log.close()
            migrate(self.url)
        return log

    def close(self) -> None:
        """Give the connections back."""
        if self._log is not None:
            self._log.close()
            self._log = None


# --- The book of predictions ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class BookSummary:
    """Logged predictions of one purpose, or of all.

    `looked_at` of `total` predictions, the newest, make the distributions: `ratings` by name, worst first, `scores` as
    (lower edge, count) in steps of SCORE_STEP, `quartiles` of the score. `recent` holds the newest rows of the log.
    """

    total: int
    looked_at: int
    by_purpose: Mapping[str, int]
    ratings: Mapping[str, int]
    scores: tuple[tuple[int, int], ...]
    quartiles: tuple[float, ...]
    mean_pd: float | None
    recent: tuple[Mapping[str, Any], ...]


class BookState(HasTraits):
    """The Book tab. `purpose` is empty for all; `summary` is None before the first reading and without an answer."""

    purpose = Unicode()
    summary = Anything(None, allow_none=True)

    def __init__(self, log: LogAccess, book: Portfolio | None) -> None:
        super().__init__()
        self.log, self._book = log, book

    def refresh(self) -> None:
        """Read the log again."""
        self.summary = self.log.ask(self._summarise)

    def choose(self, purpose: str) -> None:
        """Show predictions of one purpose only, or of all (empty)."""
        self.purpose = purpose
        self.refresh()

    def _summarise(self, log: PredictionLog) -> BookSummary:
        by_purpose = log.counts()["by_purpose"]
        rows = log.predictions(limit=NEWEST, purpose=self.purpose or None)
        scores = [row["score"] for row in rows]
        return BookSummary(
            total=by_purpose.get(self.purpose, 0) if self.purpose else sum(by_purpose.values()),
            looked_at=len(rows),
            by_purpose=by_purpose,
            ratings=_rating_counts(rows, self._book),
            scores=_score_counts(scores, self._book),
            quartiles=tuple(np.quantile(scores, (0.25, 0.5, 0.75)).tolist()) if scores else (),
            mean_pd=sum(row["pd"] for row in rows) / len(rows) if rows else None,
            recent=tuple(rows[:RECENT]),
        )


def _rating_counts(rows: list[dict], book: Portfolio | None) -> dict[str, int]:
    """Counts by rating, worst first: the portfolio's order, then by score what another portfolio called its own."""
    worst: dict[str, int] = {}
    counts: dict[str, int] = {}
    for row in rows:
        counts[row["rating"]] = counts.get(row["rating"], 0) + 1
        worst[row["rating"]] = min(row["score"], worst.get(row["rating"], row["score"]))
    known = [rating.name for rating in book.scale.ratings] if book else []
    others = sorted((name for name in counts if name not in known), key=worst.__getitem__)
    return {name: counts.get(name, 0) for name in [*known, *others]}


def _score_counts(scores: list[int], book: Portfolio | None) -> tuple[tuple[int, int], ...]:
    if not scores:
        return ()
    low, high = (book.scale.low, book.scale.high) if book else (min(scores), max(scores))
    first = min(low, *scores) // SCORE_STEP
    # The best score of a scale is its upper end: it belongs to the last bar, not to one of its own.
    last = max(first, (max(high, *scores) - 1) // SCORE_STEP)
    counts = np.bincount(np.clip(np.array(scores) // SCORE_STEP - first, 0, last - first), minlength=last - first + 1)
    return tuple(((first + i) * SCORE_STEP, int(n)) for i, n in enumerate(counts))


# --- Monitoring -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ColumnView:
    """One column of a drift report, with the name people know it by."""

    label: str
    status: str
    reason: str
    train_mean: float | None
    new_mean: float | None
    z: float | None
    psi: float | None
    psi_adjusted: float | None
    q: float | None
    train_missing: float
    new_missing: float


@dataclass(frozen=True)
class ReportView:
    """One drift report. `columns` are the worst first, `verdict` is the report in a sentence."""

    id: int
    when: datetime
    status: str
    n: int
    model_version: str
    short_hash: str
    trigger: str
    columns: tuple[ColumnView, ...]
    flagged: int
    verdict: str


class MonitoringState(HasTraits):
    """The Monitoring tab: the newest reports, the one chosen, and how far the next automatic check is."""

    reports = List()
    chosen = Int(0)
    progress = Unicode()

    def __init__(self, log: LogAccess, data: ModelData | None) -> None:
        super().__init__()
        self.log, self._data = log, data

    @property
    def report(self) -> ReportView | None:
        """The report chosen, else the newest."""
        by_id = {report.id: report for report in self.reports}
        return by_id.get(self.chosen, self.reports[0] if self.reports else None)

    def refresh(self) -> None:
        """Read the log again and show the newest report."""
        answer = self.log.ask(lambda log: (log.reports(limit=REPORTS), log.counts()))
        rows, counts = answer if answer is not None else ([], None)
        self.progress = self._progress(counts) if counts else ""
        self.chosen = 0
        self.reports = [_report_view(row, self._data.portfolio if self._data else None) for row in rows]

    def choose(self, report_id: int) -> None:
        """Show an earlier report."""
        self.chosen = report_id

    def _progress(self, counts: Mapping[str, Any]) -> str:
        parts = []
        if self._data:
            mine = [m for m in counts["models"] if m["model_sha256"] == self._data.sha256]
            since = mine[0]["n"] - mine[0]["scheduled"] if mine else 0
            parts.append(
                f"{since} of {self.log.period} production predictions of model {self._data.version} "
                "towards the next automatic check"
            )
        waiting = counts["checks"]["pending"] + counts["checks"]["running"]
        if waiting:
            parts.append(f"{waiting} due and not yet run")
        if counts["checks"]["failed"]:
            parts.append(f"{counts['checks']['failed']} failed for good")
        return "; ".join(parts)


def _report_view(row: Mapping[str, Any], book: Portfolio | None) -> ReportView:
    report = DriftReport.from_dict(row["report"])
    told = [field.name for field in fields(ColumnView) if field.name != "label"]
    columns = [
        ColumnView(
            label=(book.columns[c.column].label if book and c.column in book.columns else "")
            or c.column.replace("_", " "),
            **{name: getattr(c, name) for name in told},
        )
        for c in report.worst_first
    ]
    return ReportView(
        id=row["id"],
        when=row["created_at"].astimezone(UTC),
        status=row["status"],
        n=row["n"],
        model_version=row["model_version"],
        short_hash=row["model_sha256"][:8],
        trigger=row["trigger"],
        columns=tuple(columns),
        flagged=row["flagged"],
        verdict=report.verdict,
    )
