"""The master scale: grades bounded by PD, proposed from data, and tested one by one.

A grade holds the PDs above the bound of the one before it, up to and including its own `max_pd`; the last one's is 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil, floor, log10

import numpy as np
import pandas as pd
from scipy.special import ndtri

from creditrisk.binning.evidence import rate_interval
from creditrisk.data.portfolio import Grade
from creditrisk.errors import DataError
from creditrisk.modelling.findings import JEFFREYS, NOT_APPLICABLE
from creditrisk.modelling.inference import jeffreys_p

FEWEST, MOST = 7, 15
LARGEST_SHARE = 0.30
SHARES = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
"""What the largest grade may hold, one after the other, where no scale keeps to less."""
ENOUGH_BADS = 10
DISTINCT_P = 0.01
"""One-sided p-value below which a grade's bad rate is above that of the grade before it."""
LADDER = (1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0)
"""Bounds are these times a power of ten: numbers that people remember."""
STEPS = 48
"""At most so many steps of the ladder are tried as bounds."""


@dataclass(frozen=True)
class ProposedScale:
    """Proposed grades, with what the rows they were proposed from hold in each.

    `pooled` is the PD of a grade as a whole, as `pooled_pds` has it, and `given_up` the wishes that these rows cannot
    meet, in words.
    """

    grades: tuple[Grade, ...]
    rows: tuple[int, ...]
    bads: tuple[int, ...]
    mean_pd: tuple[float, ...]
    pooled: tuple[float, ...]
    given_up: tuple[str, ...] = ()

    def table(self) -> pd.DataFrame:
        """One row a grade: grade, max_pd, rows, share, bads, bad_rate, mean_pd, pooled_pd."""
        rows, bads = np.array(self.rows), np.array(self.bads)
        return pd.DataFrame(
            {
                "grade": [grade.name for grade in self.grades],
                "max_pd": [grade.max_pd for grade in self.grades],
                "rows": rows,
                "share": rows / rows.sum(),
                "bads": bads,
                "bad_rate": bads / rows,
                "mean_pd": self.mean_pd,
                "pooled_pd": self.pooled,
            }
        )

    def toml(self) -> str:
        """The grades as a portfolio takes them; what they held stands beside each as a comment."""
        parts = [
            f'[[grades]]\nname = "{grade.name}"\nmax_pd = {grade.max_pd!r}  '
            f"# pooled PD {pooled:.5f}: {bads:,} bads in {rows:,} rows\n"
            for grade, rows, bads, pooled in zip(self.grades, self.rows, self.bads, self.pooled, strict=True)
        ]
        return "\n".join(parts)


def propose_grades(
    bad: np.ndarray,
    pds: np.ndarray,
    *,
    fewest: int = FEWEST,
    most: int = MOST,
    min_bads: int = ENOUGH_BADS,
    max_share: float = LARGEST_SHARE,
) -> ProposedScale:
    """As many grades, up to `most`, as these rows can tell apart. `bad` is 0/1 (n,), `pds` the served PDs (n,).

    Each has `min_bads` bads, at most `max_share` of the rows and a bad rate above the one before it (DISTINCT_P);
    among such scales the one whose bounds rise most evenly on a logarithmic scale is taken. Where fewer than `fewest`
    grades can have all that, the largest grade may hold more, step by step. Where not even that helps, `fewest` grades
    are made whose bad rates only rise; then bads may be few; then grades fewer, down to one. Raises DataError where
    there is no bad.
    """
    bad, pds = np.asarray(bad, dtype=np.int64), np.asarray(pds, dtype=np.float64)
    ladder = _Ladder.of(bad, pds)
    shares = [max_share, *(share for share in SHARES if share > max_share)]
    tries = [
        *((_Wishes(min_bads, share, DISTINCT_P), fewest, most) for share in shares),
        (_Wishes(min_bads, 1.0, 0.5), fewest, fewest),  # what is not apart is not cut more often than it must be
        (_Wishes(max(min_bads // 2, 1), 1.0, 0.5), fewest, fewest),
        *((_Wishes(1, 1.0, 0.5), count, count) for count in range(fewest, 0, -1)),
    ]
    for wishes, least, greatest in tries:
        if (ends := ladder.best(wishes, least, greatest)) is not None:
            found = _scale(ladder, ends)
            return replace(found, given_up=_given_up(found, fewest, min_bads, max_share))
    raise DataError(f"no scale of grades can be proposed: none of the {len(bad):,} rows is bad; give more loans")


def _given_up(scale: ProposedScale, fewest: int, min_bads: int, max_share: float) -> tuple[str, ...]:
    """What a scale does not have of what it should have."""
    rows, bads = np.array(scale.rows), np.array(scale.bads)
    rate, top = bads / rows, int(np.argmax(rows))
    z = _apart(rate[:-1], rows[:-1], rate[1:], rows[1:])
    share = rows[top] / rows.sum()
    told = {
        f"at most {max_share:.0%} of rows in a grade: {scale.grades[top].name} has {share:.0%} of them, and "
        f"{bads[top] / bads.sum():.1%} of the bads": share > max_share,
        f"bad rates of all neighbours apart (p below {DISTINCT_P:g})": bool((z <= -ndtri(DISTINCT_P)).any()),
        f"{min_bads} bads in each grade": bool((bads < min_bads).any()),
        f"{fewest} grades": len(rows) < fewest,
    }
    return tuple(text for text, missing in told.items() if missing)


def _scale(ladder: _Ladder, ends: list[int]) -> ProposedScale:
    """The proposal whose grades end with these steps of the ladder."""
    starts = [0, *(end + 1 for end in ends[:-1])]
    pieces = [slice(start, end + 1) for start, end in zip(starts, ends, strict=True)]
    rows = [int(ladder.rows[piece].sum()) for piece in pieces]
    bads = [int(ladder.bads[piece].sum()) for piece in pieces]
    sums = [float(ladder.sums[piece].sum()) for piece in pieces]
    bounds = [float(ladder.bounds[end]) for end in ends[:-1]] + [1.0]
    grades = tuple(Grade(name=name, max_pd=bound) for name, bound in zip(_names(len(ends)), bounds, strict=True))
    return ProposedScale(
        grades,
        tuple(rows),
        tuple(bads),
        tuple(total / count for total, count in zip(sums, rows, strict=True)),
        tuple(_pooled(np.array(rows), np.array(bads)).tolist()),
    )


def _names(count: int) -> list[str]:
    """A1, A2, B1, B2 and so on."""
    return [f"{'ABCDEFGHIJKLMNOPQRSTUVWXYZ'[i // 2]}{i % 2 + 1}" for i in range(count)]


@dataclass(frozen=True)
class _Wishes:
    """What each grade must have: bads, at most this share of rows, and a bad rate above the last one's at this p."""

    min_bads: int
    max_share: float
    distinct_p: float


@dataclass(frozen=True)
class _Ladder:
    """Rows, bads and sums of PD by step of the ladder of bounds, (steps,); `bounds` are the upper ends."""

    bounds: np.ndarray
    rows: np.ndarray
    bads: np.ndarray
    sums: np.ndarray

    @classmethod
    def of(cls, bad: np.ndarray, pds: np.ndarray) -> _Ladder:
        """The steps that hold rows, from about the lowest to about the highest PD."""
        low, high = np.clip(np.quantile(pds, [0.005, 0.995]), 1e-6, 0.999)
        powers = range(floor(log10(low)), ceil(log10(high)) + 1)
        numbers = np.unique([float(f"{step * 10.0**power:.12g}") for power in powers for step in LADDER])
        bounds = numbers[(numbers > low) & (numbers < min(high, 1.0))]
        if len(bounds) >= STEPS:
            bounds = bounds[np.linspace(0, len(bounds) - 1, STEPS - 1).astype(int)]
        bounds = np.append(bounds, 1.0)
        step = np.searchsorted(bounds, pds, side="left")
        rows = np.bincount(step, minlength=len(bounds))
        bads = np.bincount(step, weights=bad, minlength=len(bounds)).astype(np.int64)
        return cls(bounds, rows, bads, np.bincount(step, weights=pds, minlength=len(bounds)))

    def best(self, wishes: _Wishes, fewest: int, most: int) -> list[int] | None:
        """Last steps of the grades of the best scale with the most grades, None when there is none.

        Dynamic programming over the step at which the last grade begins and the one at which it ends, since what a
        grade must be depends on the grade before it.
        """
        size = len(self.bounds)
        fine, rate, count = self._pieces(wishes)
        tops = np.log(self.bounds)
        uneven = (tops[None, :] - np.append(tops[0] - np.diff(tops[:2]).sum(), tops[:-1])[:, None]) ** 2
        z = float(-ndtri(wishes.distinct_p)) if wishes.distinct_p < 0.5 else 0.0
        cost = np.full((size, size), np.inf)
        cost[0] = np.where(fine[0], uneven[0], np.inf)
        layers: list[np.ndarray] = []
        found: tuple[int, list[np.ndarray]] | None = None
        for grades in range(1, most + 1):
            if grades >= fewest and np.isfinite(cost[:, -1]).any():
                found = (int(np.argmin(cost[:, -1])), list(layers))
            if grades == most:
                break
            new, back = np.full((size, size), np.inf), np.zeros((size, size), dtype=np.int64)
            for i in range(1, size):
                before = np.flatnonzero(np.isfinite(cost[:, i - 1]))  # where a grade that ends just before i begins
                after = np.flatnonzero(fine[i])
                if not len(before) or not len(after):
                    continue
                apart = _apart(
                    rate[before, i - 1][:, None], count[before, i - 1][:, None], rate[i, after], count[i, after]
                )
                total = np.where(apart > z, cost[before, i - 1][:, None], np.inf)
                pick = np.argmin(total, axis=0)
                new[i, after] = total[pick, np.arange(len(after))] + uneven[i, after]
                back[i, after] = before[pick]
            layers.append(back)
            cost = new
        return None if found is None else self._ends(*found)

    def _ends(self, start: int, layers: list[np.ndarray]) -> list[int]:
        """Last steps of all grades, from where the last one begins and the choices made on the way."""
        ends, end = [len(self.bounds) - 1], len(self.bounds) - 1
        for back in reversed(layers):
            start, end = int(back[start, end]), start - 1
            ends.append(end)
        return ends[::-1]

    def _pieces(self, wishes: _Wishes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """For steps i to j: whether they may be one grade, its bad rate and its rows, all (steps, steps)."""
        rows = np.append(0, np.cumsum(self.rows))
        bads = np.append(0, np.cumsum(self.bads))
        n, d = rows[None, 1:] - rows[:-1, None], bads[None, 1:] - bads[:-1, None]
        fine = (n > 0) & (d >= wishes.min_bads) & (n <= wishes.max_share * rows[-1])
        return fine & (np.arange(len(n))[:, None] <= np.arange(len(n))), d / np.maximum(n, 1), n


def _apart(rate: np.ndarray, rows: np.ndarray, next_rate: np.ndarray, next_rows: np.ndarray) -> np.ndarray:
    """z of the difference between bad rates, positive when the second is higher (pooled two-proportion test)."""
    pooled = (rate * rows + next_rate * next_rows) / np.maximum(rows + next_rows, 1)
    error = np.sqrt(
        np.maximum(pooled * (1 - pooled), 1e-300) * (1 / np.maximum(rows, 1) + 1 / np.maximum(next_rows, 1))
    )
    return (next_rate - rate) / error


# --- Grades at work ---------------------------------------------------------------------------------------------------


def positions(pds: np.ndarray, grades: Sequence[Grade]) -> np.ndarray:
    """The grade of each PD as its position, int64 (n,)."""
    bounds = [grade.max_pd for grade in grades]
    return np.minimum(np.searchsorted(bounds, pds, side="left"), len(bounds) - 1)


def grade_counts(pds: np.ndarray, grades: Sequence[Grade]) -> np.ndarray:
    """Rows by grade, int64 (grades,)."""
    return np.bincount(positions(pds, grades), minlength=len(grades))


def pooled_pds(bad: np.ndarray, pds: np.ndarray, grades: Sequence[Grade]) -> np.ndarray:
    """The PD of each grade as a whole, its bad rate, float64 (grades,); NaN for an empty grade.

    `pds` are the served PDs, which bound the grades; the bad rate is point-in-time, whatever they are. Without a bad,
    or without a good, it is (bads + 1/2) / (rows + 1): never 0 or 1.
    """
    at = positions(pds, grades)
    rows, bads = np.bincount(at, minlength=len(grades)), np.bincount(at, weights=bad, minlength=len(grades))
    return _pooled(rows, bads)


def _pooled(rows: np.ndarray, bads: np.ndarray) -> np.ndarray:
    pure = (bads == 0) | (bads == rows)
    return np.where(rows > 0, np.where(pure, (bads + 0.5) / (rows + 1), bads / np.maximum(rows, 1)), np.nan)


def grade_table(
    bad: np.ndarray,
    pds: np.ndarray,
    grades: Sequence[Grade],
    pooled: np.ndarray | None = None,
    served: np.ndarray | None = None,
) -> pd.DataFrame:
    """Each grade tested on rows with outcomes, the safest first.

    `pds` are point-in-time: outcomes can judge no others. Grades are bounded in the `served` PDs, which a shift to a
    long-run bad rate makes other ones; None where they are the same. So a row has the grade that it is served with,
    and a grade is tested by the mean point-in-time PD of its rows.

    Columns: grade, max_pd (bound of the served PD), rows, share, bads, bad_rate, low, high (Wilson, 95%), mean_pd
    (point-in-time), pooled_pd (of the rows the scale was made on, `pooled`), jeffreys_p (one-sided, of mean_pd),
    status: pass, watch (amber), fail (red), or not applicable for a grade without rows.
    """
    at, size = positions(pds if served is None else served, grades), len(grades)
    rows = np.bincount(at, minlength=size)
    bads = np.bincount(at, weights=bad, minlength=size).astype(np.int64)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.bincount(at, weights=pds, minlength=size) / rows
        rate = bads / rows
    low, high = rate_interval(rows - bads, bads)
    p = np.where(rows > 0, jeffreys_p(np.nan_to_num(mean), rows, bads), np.nan)
    return pd.DataFrame(
        {
            "grade": [grade.name for grade in grades],
            "max_pd": [grade.max_pd for grade in grades],
            "rows": rows,
            "share": rows / max(len(at), 1),
            "bads": bads,
            "bad_rate": rate,
            "low": low,
            "high": high,
            "mean_pd": mean,
            "pooled_pd": np.full(size, np.nan) if pooled is None else pooled,
            "jeffreys_p": p,
            "status": [JEFFREYS.status(x) if np.isfinite(x) else NOT_APPLICABLE for x in p],
        }
    )
