"""What would change a result: the smallest change of one changeable input that reaches a goal."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from creditrisk.data.portfolio import Column, Portfolio
from creditrisk.serving.policy import Policy
from creditrisk.serving.scored import Scored
from creditrisk.serving.scorer import Scorer

MOST = 500
"""Values of one input that are scored at once."""


@dataclass(frozen=True)
class Goal:
    """Another result: `rating` or a better one, or a decision; `kind` is approve, rating or lose."""

    kind: str
    name: str
    policy: Policy | None
    ratings: tuple[str, ...]

    def reached(self, scored: Scored) -> np.ndarray:
        """Which rows reach it, bool (n,)."""
        if self.kind == "rating":
            return np.isin(scored.rating.astype(str), self.ratings)
        approved = self.policy.decide(scored.pd) == "approve"
        return approved if self.kind == "approve" else ~approved


@dataclass(frozen=True)
class Change:
    """One input set from `before` to `after`, all others as they are, and the result then.

    `size` is the change as a share of the range it was looked for in; 1 for another level of a category.
    """

    name: str
    before: Any
    after: Any
    pd: float
    score: int
    rating: str
    size: float


@dataclass(frozen=True)
class Outcome:
    """What reaches a goal, smallest change first, and the inputs of which no value does, each with its range."""

    goal: Goal
    changes: tuple[Change, ...]
    without: tuple[tuple[str, float | None, float | None], ...]


def changeable(book: Portfolio) -> dict[str, Column]:
    """The inputs that the portfolio says an applicant can change."""
    return {name: column for name, column in book.inputs.items() if column.changeable}


def goals_of(rating: str, policy: Policy | None, decision: str | None, book: Portfolio) -> list[Goal]:
    """What is worth reaching, or keeping: an approval, else the next rating; then where an approval would end."""
    names = [one.name for one in book.scale.ratings]
    better = tuple(names[names.index(rating) + 1 :])
    goals = []
    if decision not in (None, "approve"):
        goals.append(Goal("approve", "approve", policy, ()))
    if better:
        goals.append(Goal("rating", better[0], None, better))
    if decision == "approve":
        goals.append(Goal("lose", "no longer approved", policy, ()))
    return goals


def outcomes(scorer: Scorer, values: Mapping[str, Any], goals: Sequence[Goal]) -> tuple[Outcome, ...]:
    """For each goal what reaches it: one input at a time, upwards and downwards, within its limits."""
    found: dict[str, list[Change]] = {goal.name: [] for goal in goals}
    without: dict[str, list[tuple]] = {goal.name: [] for goal in goals}
    for name, column in changeable(scorer.data.portfolio).items():
        if values.get(name) is None:
            continue
        search = _Search(scorer, values, name, column)
        for goal in goals:
            change = search.smallest(goal)
            if change is not None:
                found[goal.name].append(change)
            else:
                without[goal.name].append((name, *(search.span or (None, None))))
    return tuple(
        Outcome(goal, tuple(sorted(found[goal.name], key=lambda one: one.size)), tuple(without[goal.name]))
        for goal in goals
    )


def span_of(column: Column, value: float) -> tuple[float, float]:
    """Where a number is looked for: within hard and soft limits, widened to a value that lies beyond soft ones."""
    lows = [limit for limit in (column.min, column.above, column.warn_below) if limit is not None]
    highs = [limit for limit in (column.max, column.warn_above) if limit is not None]
    return min(max(lows), value), max(min(highs), value)


def rounding(column: Column, value: float, span: tuple[float, float]) -> float:
    """The power of ten that people round such values to: hundredths of a range with hard limits, else of the value."""
    closed = column.max is not None and (column.min is not None or column.above is not None)
    width = span[1] - span[0]
    size = width / 100 if closed else max(abs(value) / 50, width / 1e6)
    step = 10.0 ** math.floor(math.log10(size)) if size > 0 else 1.0
    return max(step, 1.0) if column.kind == "integer" else step


class _Search:
    """All values of one input that are worth a look, scored at once; a second time where they lie far apart."""

    def __init__(self, scorer: Scorer, values: Mapping[str, Any], name: str, column: Column) -> None:
        self._scorer, self._values, self._name, self._column = scorer, values, name, column
        self._now = values[name]
        self.span = None
        if column.kind == "category":
            self._tried: list = [level for level in column.levels if level != self._now]
        elif self._now in column.special:
            self._tried = []  # a code, not a measurement: there is no way from it to a number
        else:
            self.span = span_of(column, float(self._now))
            self._step = rounding(column, float(self._now), self.span)
            self._tried = self._grid()
        self._scored = self._score(self._tried)

    def _score(self, tried: Sequence) -> Scored | None:
        if not tried:
            return None
        return self._scorer.score_rows([{**self._values, self._name: value} for value in tried])

    def _grid(self) -> list[float]:
        """Round values in the range, rising: all of them, or those at distances that grow by some percent."""
        low, high = self.span
        first, last = math.ceil(low / self._step - 1e-9), math.floor(high / self._step + 1e-9)
        if last - first < MOST:
            return self._values_of(range(first, last + 1))
        at = round(self._now / self._step)
        places: set[int] = set()
        for end in (first, last):
            far = abs(end - at)
            away = np.unique(np.round(np.geomspace(1, far, MOST // 2)).astype(np.int64)) if far else []
            places |= {at + int(np.sign(end - at)) * int(one) for one in away}
        return self._values_of(sorted(places | {at}))

    def _values_of(self, places: Sequence[int]) -> list[float]:
        column, digits = self._column, max(0, -round(math.log10(self._step)))
        values = (round(place * self._step, digits) for place in places)
        return [
            int(value) if value.is_integer() else value
            for value in map(float, values)
            if value != self._now
            and self.span[0] <= value <= self.span[1]
            and (column.above is None or value > column.above)
            and value not in column.special
        ]

    def smallest(self, goal: Goal) -> Change | None:
        """The nearest value that reaches the goal, up or down; None where none does."""
        if self._scored is None:
            return None
        reached = np.flatnonzero(goal.reached(self._scored))
        if not len(reached):
            return None
        if self.span is None:
            best = min(reached, key=lambda i: self._scored.pd[i])
            return self._change(self._tried[best], self._scored, best, 1.0)
        return min((self._nearest(goal, side) for side in self._sides(reached)), key=lambda change: change.size)

    def _sides(self, reached: np.ndarray) -> list[int]:
        """The nearest that reaches a goal on each side, as positions."""
        values = np.array(self._tried, dtype=float)[reached]
        below, above = reached[values < self._now], reached[values > self._now]
        return [*below[-1:].tolist(), *above[:1].tolist()]

    def _nearest(self, goal: Goal, i: int) -> Change:
        """What lies between a value that reaches the goal and its neighbour that does not is looked at again."""
        up = self._tried[i] > self._now
        nearer = i - 1 if up else i + 1
        inside = 0 <= nearer < len(self._tried) and (self._tried[nearer] > self._now) == up
        start = self._tried[nearer] if inside else self._now
        ends = sorted((round(start / self._step), round(self._tried[i] / self._step)))
        between = range(ends[0] + 1, ends[1])
        tried = self._values_of(between[:: max(1, math.ceil(len(between) / MOST))])
        if tried:
            scored = self._score(tried)
            reached = np.flatnonzero(goal.reached(scored))
            if len(reached):
                j = int(reached[0] if up else reached[-1])
                return self._change(tried[j], scored, j)
        return self._change(self._tried[i], self._scored, i)

    def _change(self, value: Any, scored: Scored, i: int, size: float | None = None) -> Change:
        if size is None:
            size = abs(value - self._now) / (self.span[1] - self.span[0])
        rating = str(scored.rating[i])
        return Change(self._name, self._now, value, float(scored.pd[i]), int(scored.score[i]), rating, size)
