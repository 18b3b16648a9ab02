"""What the Book tab knows: the logged predictions, without a widget."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from traitlets import Any as Anything
from traitlets import HasTraits, Unicode

from creditrisk.data.portfolio import Portfolio
from creditrisk.serving.log import PredictionLog
from creditrisk.ui.page.log_access import LogAccess

RECENT = 50
NEWEST = 2_000
SCORE_STEP = 25


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
