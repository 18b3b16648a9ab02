"""Counting the log for the Book tab: stretch by stretch, and not again what lies in the past."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd

from creditrisk.serving import tally
from creditrisk.serving.log import PredictionLog

STRETCH = 25_000
"""Ids that are counted with one question."""
MOST = 3_000_000
"""The newest ids of a window that are counted; what is older is left out, and the tab says so."""
LATE = 1_000  # ids that may still become visible below the newest one, from transactions that are not yet finished
KEEP_SECONDS = 600.0  # then what a purge deleted is missed
OUTCOME_SECONDS = 60.0  # new outcomes of old predictions are seen after that long
GROUPS, OUTCOMES = tally.Group._fields, tally.OutcomeGroup._fields
TEXTS = ("day", "purpose", "model_version", "rating", "decision")


class Stopped(Exception):
    """Another window was asked for meanwhile."""


@dataclass(frozen=True)
class Counted:
    """A window of the log in groups, as in serving.tally: `groups` of predictions, `outcomes` of those that are known.

    `left_out` says that the window has older predictions than those counted. `at` is the moment, `seconds` how long it
    took.
    """

    groups: pd.DataFrame
    outcomes: pd.DataFrame
    left_out: bool
    at: datetime
    seconds: float


class Counter:
    """Counts windows of one log. What is told by stretches of the past is kept for a while."""

    def __init__(self) -> None:
        self._words: dict[str | None, int] = {}
        self._kept: dict[tuple, tuple[float, np.ndarray]] = {}
        self._outcomes_until = (0, -math.inf)

    def forget(self) -> None:
        """Count everything anew from now on."""
        self._kept = {}

    def count(
        self,
        log: PredictionLog,
        since: datetime | None,
        until: datetime | None,
        tell: Callable[[int, int], Any] = lambda done, of: None,
        going: Callable[[], bool] = lambda: True,
    ) -> Counted:
        """Count the predictions of a time. `tell` hears how many ids are done; Stopped once `going` says no."""
        begun = time.monotonic()
        self._kept = {key: kept for key, kept in self._kept.items() if begun - kept[0] <= KEEP_SECONDS}
        found = tally.ends(log, since, until)
        groups, outcomes, left_out = [], [], False
        if found is not None:
            first, last = max(found[0], found[1] - MOST + 1), found[1]
            left_out = first > found[0]
            newest = self._newest_outcome(log, begun)
            for low in range(first - first % STRETCH, last + 1, STRETCH):
                if not going():
                    raise Stopped
                high = low + STRETCH - 1
                # Whole stretches inside the window are alike in every window that holds them.
                inside = first < low and high < last
                time_of = () if inside else (max(low, first), min(high, last), since, until)
                groups.append(self._part(log, tally.tally, low, high, time_of, high < last - LATE, 0, begun))
                if newest:
                    known = self._part(log, tally.tally_outcomes, low, high, time_of, high < last - LATE, newest, begun)
                    outcomes.append(known)
                tell(min(high, last) - first + 1, last - first + 1)
        at, seconds = datetime.now(UTC), time.monotonic() - begun
        return Counted(self._frame(groups, GROUPS), self._frame(outcomes, OUTCOMES), left_out, at, seconds)

    def _newest_outcome(self, log: PredictionLog, now: float) -> int:
        """Which outcomes what is kept knows of; 0 while there are none."""
        known, at = self._outcomes_until
        newest = tally.newest_outcome(log)
        if newest != known and now - at >= OUTCOME_SECONDS:
            self._outcomes_until = known, at = newest, now
        return known if newest else 0

    def _part(
        self,
        log: PredictionLog,
        ask: Callable,
        low: int,
        high: int,
        time_of: tuple,
        is_past: bool,
        state: int,
        now: float,
    ) -> np.ndarray:
        key = (ask, low, high, time_of, state)
        if key in self._kept:
            return self._kept[key][1]
        part = self._coded(ask(log, *(time_of or (low, high))))
        if is_past:
            self._kept[key] = now, part
        return part

    def _coded(self, rows: Iterable[tuple]) -> np.ndarray:
        """Rows as numbers, texts by their place in the vocabulary."""
        words = self._words
        coded = [
            [words.setdefault(value, len(words)) if value is None or isinstance(value, str) else value for value in row]
            for row in rows
        ]
        return np.array(coded, dtype=np.float64)

    def _frame(self, parts: list[np.ndarray], names: tuple[str, ...]) -> pd.DataFrame:
        """All parts as one table."""
        parts = [part for part in parts if len(part)]
        table = np.concatenate(parts) if parts else np.empty((0, len(names)))
        vocabulary = np.array(list(self._words), dtype=object)
        columns: dict[str, Any] = {}
        for place, name in enumerate(names):
            numbers = table[:, place]
            if name in TEXTS:
                columns[name] = _texts(numbers.astype(np.int64), vocabulary)
            else:
                columns[name] = numbers if name == "pds" else numbers.astype(np.int64)
        return pd.DataFrame(columns)


def _texts(codes: np.ndarray, vocabulary: np.ndarray) -> pd.Categorical:
    """Codes of the vocabulary as a categorical of the words that are there."""
    used, places = np.unique(codes, return_inverse=True)
    words = vocabulary[used]
    known = np.array([word is not None for word in words], dtype=bool)
    renamed = np.where(known, np.cumsum(known) - 1, -1)
    return pd.Categorical.from_codes(renamed[places] if len(codes) else [], categories=words[known].tolist())
