"""What the Book tab shows of what was counted: distributions, approvals at a cut-off, predictions over time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime

import numpy as np
import pandas as pd

from creditrisk.data.portfolio import Portfolio, Scale
from creditrisk.ui.page.book_count import Counted

SCORE_STEP = 25
DAYS, WEEKS = 31, 200
"""A window of up to so many days is shown by day, by week; a longer one by month."""


@dataclass(frozen=True)
class Approvals:
    """What a rule approves: `n` of `of` predictions, their mean PD, and how many of those with an outcome are bad."""

    n: int
    of: int
    mean_pd: float | None
    known: int
    bad: int

    @property
    def share(self) -> float:
        return self.n / self.of if self.of else 0.0

    @property
    def bad_rate(self) -> float | None:
        return self.bad / self.known if self.known else None


@dataclass(frozen=True)
class Period:
    """A day, week or month: predictions, those that have a decision of the policy, and those it approved."""

    start: date
    n: int
    decided: int
    approved: int

    @property
    def share(self) -> float | None:
        return self.approved / self.decided if self.decided else None


class Profile:
    """Predictions by score, best first: what a cut-off on the score would approve, at once for any cut-off."""

    def __init__(self, groups: pd.DataFrame, outcomes: pd.DataFrame) -> None:
        sums = groups.groupby("score")[["n", "pds"]].sum().sort_index(ascending=False)
        known = outcomes.groupby("score")[["n", "bad"]].sum().reindex(sums.index, fill_value=0)
        self.scores = sums.index.to_numpy(dtype=np.int64)
        self._sums = {
            "n": sums["n"].cumsum().to_numpy(),
            "pds": sums["pds"].cumsum().to_numpy(),
            "known": known["n"].cumsum().to_numpy(),
            "bad": known["bad"].cumsum().to_numpy(),
        }

    def at(self, score: int) -> Approvals:
        """What is approved when this score and more is."""
        of = int(self._sums["n"][-1]) if len(self.scores) else 0
        place = int(np.searchsorted(-self.scores, -score, side="right")) - 1
        if place < 0:
            return Approvals(0, of, None, 0, 0)
        n, pds, known, bad = (self._sums[name][place] for name in ("n", "pds", "known", "bad"))
        return Approvals(int(n), of, float(pds / n), int(known), int(bad))

    def cut_off_of(self, n: int) -> int:
        """The score that approves nearly `n` of the predictions."""
        if not len(self.scores):
            return 0
        return int(self.scores[np.argmin(np.abs(self._sums["n"] - n))])

    def curve(self, points: int = 80) -> tuple[np.ndarray, np.ndarray]:
        """Shares approved and mean PDs of those approved, from few to all."""
        if not len(self.scores):
            return np.empty(0), np.empty(0)
        n = self._sums["n"]
        at = np.unique(np.searchsorted(n, np.linspace(n[0], n[-1], points)).clip(0, len(n) - 1))
        return n[at] / n[-1], self._sums["pds"][at] / n[at]


@dataclass(frozen=True)
class BookSummary:
    """A window of the log: `n` predictions of the purpose and the model chosen, of `in_window` in all.

    `by_purpose` and `by_version` count what is in the window; `ratings` by name, worst first; `scores` as (lower edge,
    count) in steps of SCORE_STEP; `quartiles` of the score. `periods` are days, weeks or months (`unit`). `decisions`
    are those of the policy, and `policy` is what it approved. `policy_score` is the lowest score that it approved,
    where it decided on all of them and approved every better score; None where no score says what it did.
    """

    n: int
    in_window: int
    left_out: bool
    since: date | None
    until: date | None
    at: datetime
    seconds: float
    by_purpose: Mapping[str, int]
    by_version: Mapping[str, int]
    mean_pd: float | None
    ratings: Mapping[str, int]
    scores: tuple[tuple[int, int], ...]
    quartiles: tuple[int, ...]
    unit: str
    periods: tuple[Period, ...]
    decisions: Mapping[str, int]
    policy: Approvals
    policy_score: int | None
    profile: Profile


def summarise(counted: Counted, purpose: str, version: str, book: Portfolio | None) -> BookSummary:
    """The predictions of a purpose and a model version (empty: any) among those counted."""
    groups, outcomes = (_of(frame, purpose, version) for frame in (counted.groups, counted.outcomes))
    n = int(groups["n"].sum())
    days = pd.to_datetime(counted.groups["day"].cat.categories)
    unit, periods = _periods(groups)
    approved, known = groups[groups["decision"] == "approve"], outcomes[outcomes["decision"] == "approve"]
    m = int(approved["n"].sum())
    decisions = groups.groupby("decision", observed=True)["n"].sum()
    return BookSummary(
        n=n,
        in_window=int(counted.groups["n"].sum()),
        left_out=counted.left_out,
        since=days.min().date() if len(days) else None,
        until=days.max().date() if len(days) else None,
        at=counted.at,
        seconds=counted.seconds,
        by_purpose=_counts(counted.groups, "purpose"),
        by_version=_counts(counted.groups, "model_version"),
        mean_pd=float(groups["pds"].sum() / n) if n else None,
        ratings=_rating_counts(groups, book),
        scores=_score_counts(groups, book.scale if book else None),
        quartiles=_quartiles(groups),
        unit=unit,
        periods=periods,
        decisions={str(name): int(count) for name, count in decisions.items()},
        policy=Approvals(
            m, int(decisions.sum()), float(approved["pds"].sum() / m) if m else None, int(known["n"].sum()),
            int(known["bad"].sum()),
        ),
        policy_score=_policy_score(groups),
        profile=Profile(groups, outcomes),
    )  # fmt: skip


def _policy_score(groups: pd.DataFrame) -> int | None:
    approved = groups["decision"] == "approve"
    if not approved.any() or groups["decision"].isna().any():
        return None
    lowest, others = int(groups["score"][approved].min()), groups["score"][~approved]
    return lowest if others.empty or int(others.max()) <= lowest else None


def _of(frame: pd.DataFrame, purpose: str, version: str) -> pd.DataFrame:
    chosen = np.ones(len(frame), dtype=bool)
    for name, value in (("purpose", purpose), ("model_version", version)):
        if value:
            chosen &= (frame[name] == value).to_numpy()
    return frame[chosen]


def _counts(groups: pd.DataFrame, name: str) -> dict[str, int]:
    return {str(value): int(n) for value, n in groups.groupby(name, observed=True)["n"].sum().items()}


def _rating_counts(groups: pd.DataFrame, book: Portfolio | None) -> dict[str, int]:
    """Counts by rating, worst first: the portfolio's order, then by score what another portfolio called its own."""
    counts = _counts(groups, "rating")
    worst = groups.groupby("rating", observed=True)["score"].min()
    known = [rating.name for rating in book.scale.ratings] if book else []
    others = sorted((name for name in counts if name not in known), key=worst.__getitem__)
    return {name: counts.get(name, 0) for name in [*known, *others]}


def _score_counts(groups: pd.DataFrame, scale: Scale | None) -> tuple[tuple[int, int], ...]:
    if not len(groups):
        return ()
    scores = groups["score"].to_numpy()
    worst, best = int(scores.min()), int(scores.max())
    low, high = (scale.low, scale.high) if scale else (worst, best)
    first = min(low, worst) // SCORE_STEP
    # The best score of a scale is its upper end: it belongs to the last bar, not to one of its own.
    last = max(first, (max(high, best) - 1) // SCORE_STEP)
    places = np.clip(scores // SCORE_STEP - first, 0, last - first)
    counts = np.bincount(places, weights=groups["n"], minlength=last - first + 1)
    return tuple(((first + i) * SCORE_STEP, int(n)) for i, n in enumerate(counts))


def _quartiles(groups: pd.DataFrame) -> tuple[int, ...]:
    """The least scores that a quarter, half and three quarters of the predictions do not exceed."""
    if not len(groups):
        return ()
    by_score = groups.groupby("score")["n"].sum().sort_index()
    reached = by_score.cumsum().to_numpy() / by_score.sum()
    return tuple(int(by_score.index[np.searchsorted(reached, q)]) for q in (0.25, 0.5, 0.75))


def _periods(groups: pd.DataFrame) -> tuple[str, tuple[Period, ...]]:
    """The days, weeks or months from the first prediction to the last, those without a prediction included."""
    if not len(groups):
        return "day", ()
    n, decided = groups["n"], groups["n"].where(groups["decision"].notna(), 0)
    approved = groups["n"].where(groups["decision"] == "approve", 0)
    daily = pd.DataFrame({"n": n, "decided": decided, "approved": approved}).groupby(groups["day"], observed=True).sum()
    daily.index = pd.DatetimeIndex(daily.index.astype(str))
    span = (daily.index.max() - daily.index.min()).days + 1
    unit, rule = ("day", "D") if span <= DAYS else ("week", "W-MON") if span <= WEEKS else ("month", "MS")
    sums = daily.resample(rule, label="left", closed="left").sum()
    return unit, tuple(
        Period(row.Index.date(), int(row.n), int(row.decided), int(row.approved)) for row in sums.itertuples()
    )
