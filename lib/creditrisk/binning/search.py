"""The IV-optimal binning under constraints, exact over the pre-bins, by dynamic programming.

IV of a bin depends on its counts alone, so the best binning of pre-bins 0..j whose last bin is i..j extends the best
binning of 0..i-1 whose last bin's bad rate is on the right side of the new one. The whole last bin is the state:
its rate decides what may follow (a state of its end alone is not exact once bins have a least size). For each i the
states before it are sorted by rate once, so the cost is O(max_bins * P^2 + P^2 log P) for P pre-bins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from creditrisk.binning.bins import rate_of, shape_of
from creditrisk.errors import BinningError

TRENDS = ("auto", "ascending", "descending", "peak", "valley", "none")
MUST, NEVER = "the cuts that must be made", "the cuts that must not be made"
SOME = 1e-9  # goods and bads a bin needs in any case: without either its IV would be infinite
_EVEN = 1e-12  # relative error of shares and of rate differences: a bin of exactly 5% is large enough


@dataclass(frozen=True)
class Limits:
    """What a binning must satisfy.

    Shares are of all rows (of all weight), missing and special included; counts are of goods, bads or levels' rows.
    `min_difference` is the least difference in bad rate between neighbours. `must_cut` are values at which a bin must
    begin, `never_cut` values at which none may, or pairs (low, high) between which, ends excluded, none may. Levels
    with fewer than `rare_rows` rows are pooled. `max_pre_bins` is how finely the first search looks.
    """

    max_bins: int = 8
    min_share: float = 0.05
    max_share: float = 1.0
    min_goods: float = 1.0
    min_bads: float = 1.0
    min_difference: float = 0.0
    must_cut: tuple[float, ...] = ()
    never_cut: tuple[float | tuple[float, float], ...] = ()
    rare_rows: float = 30.0
    max_pre_bins: int = 64

    def __post_init__(self) -> None:
        ranges = {
            "max_bins": (1, np.inf, "a whole number of 1 or more"),
            "min_share": (0, 1, "a share from 0 to 1"),
            "max_share": (1e-300, 1, "a share above 0, at most 1"),
            "min_goods": (0, np.inf, "a number of 0 or more"),
            "min_bads": (0, np.inf, "a number of 0 or more"),
            "min_difference": (0, 1 - 1e-12, "a share from 0, below 1"),
            "rare_rows": (0, np.inf, "a number of 0 or more"),
            "max_pre_bins": (2, np.inf, "a whole number of 2 or more"),
        }
        for name, (low, high, what) in ranges.items():
            value = getattr(self, name)
            whole = what.startswith("a whole")
            if not _is_number(value) or not low <= value <= high or (whole and value != int(value)):
                raise BinningError(f"{name} is {value!r}; it must be {what}")
        for name in ("must_cut", "never_cut"):
            if isinstance(getattr(self, name), str) or not hasattr(getattr(self, name), "__len__"):
                raise BinningError(f"{name} is {getattr(self, name)!r}; it must be a list of numbers")
        for name, pair in (("must_cut", False), ("never_cut", True)):
            for one in getattr(self, name):
                if not _is_number(one) and not (pair and np.shape(one) == (2,) and all(map(_is_number, one))):
                    raise BinningError(f"{name} holds {one!r}; it takes numbers{' and pairs of numbers' * pair}")
        object.__setattr__(self, "max_bins", int(self.max_bins))
        if self.min_share > self.max_share:
            raise BinningError(f"min_share {self.min_share:g} is above max_share {self.max_share:g}")


def _is_number(one) -> bool:
    return isinstance(one, int | float | np.number) and not isinstance(one, bool) and one == one


@dataclass(frozen=True)
class Search:
    """A found binning: `starts` are the pre-bins at which bins begin, `iv` what the regular bins add up to.

    `trend` is the shape that was found, one of bins.SHAPES. `unmet` says in words why nothing satisfies the limits;
    the binning is then a single bin, and empty otherwise.
    """

    starts: tuple[int, ...]
    iv: float
    trend: str
    unmet: str = ""


def best_binning(
    goods: np.ndarray,
    bads: np.ndarray,
    totals: tuple[float, float],
    limits: Limits,
    trend: str,
    *,
    must: Sequence[int] = (),
    never: Sequence[int] = (),
) -> Search:
    """The binning of ordered pre-bins with the most IV.

    `goods`, `bads` are counts by pre-bin, float (P,); `totals` are the goods and bads of all rows. `trend` is how the
    bad rate may move: "ascending", "descending", "auto" (the better of the two), "peak" (up, then down, or either
    alone), "valley", or "none" (any order). A bin must begin at each pre-bin of `must`, and none at those of `never`.
    When nothing satisfies the limits the result is a single bin of no IV, and `unmet` says why. Raises BinningError
    for another trend.
    """
    if trend not in TRENDS:
        raise BinningError(f"trend is {trend!r}; it must be one of {', '.join(TRENDS)}")
    limits = replace(limits, min_goods=max(limits.min_goods, SOME), min_bads=max(limits.min_bads, SOME))
    problem = _Problem.of(goods, bads, totals, limits, must, never)
    found = [problem.solve(t) for t in (("ascending", "descending") if trend == "auto" else (trend,))]
    iv, starts = max(found, key=lambda one: (one[0], -len(one[1])))
    if not starts:
        return Search((0,), 0.0, "flat", _why(goods, bads, totals, limits, trend, must, never))
    rates = rate_of(np.add.reduceat(goods, starts), np.add.reduceat(bads, starts))
    return Search(starts, iv, shape_of(rates))


@dataclass(frozen=True)
class _Problem:
    """Everything about bins i..j that the search needs, (P, P) each: IV, bad rate, and whether the bin may be."""

    iv: np.ndarray
    rate: np.ndarray
    fits: np.ndarray
    max_bins: int
    step: float

    @classmethod
    def of(cls, goods, bads, totals, limits: Limits, must, never) -> _Problem:
        size = len(goods)
        g, b = _sums(goods), _sums(bads)
        all_goods, all_bads = totals
        everything = all_goods + all_bads
        with np.errstate(divide="ignore", invalid="ignore"):
            share_g, share_b = g / all_goods, b / all_bads
            iv = (share_g - share_b) * (np.log(share_g) - np.log(share_b))
            rate = b / (g + b)
        fits = (
            (g >= limits.min_goods * (1 - _EVEN))
            & (b >= limits.min_bads * (1 - _EVEN))
            & (g + b > 0)
            & (g + b >= limits.min_share * everything * (1 - _EVEN))
            & (g + b <= limits.max_share * everything * (1 + _EVEN))
            & np.tri(size, dtype=bool).T
        )
        begins = np.isin(np.arange(size), np.asarray(must, dtype=np.int64)).cumsum()
        fits &= begins[None, :] == begins[:, None]  # no bin holds the beginning of a bin inside it
        barred = np.asarray([position for position in never if 0 < position < size], dtype=np.int64)
        fits[barred, :] = False
        fits[:, barred - 1] = False
        return cls(iv, rate, fits, min(limits.max_bins, size), limits.min_difference)

    def solve(self, trend: str) -> tuple[float, tuple[int, ...]]:
        """The most IV and where the bins begin; no bins and -inf when nothing fits."""
        if trend in ("peak", "valley"):
            return self._turning(rises_first=trend == "peak")
        up = None if trend == "none" else trend == "ascending"
        best = self._forward(up)
        last = best[-1].max(axis=1)
        k = int(np.argmax(last))
        if not np.isfinite(last[k]):
            return -np.inf, ()
        start = int(np.argmax(best[-1, k]))
        return float(last[k]), self._back(best, k, start, len(self.iv) - 1, up)

    def _turning(self, rises_first: bool) -> tuple[float, tuple[int, ...]]:
        """Peak or valley: the turning bin is shared by the best way up to it and the best way on from it."""
        size = len(self.iv)
        mirror = replace(self, **{name: getattr(self, name)[::-1, ::-1].T for name in ("iv", "rate", "fits")})
        there, back = self._forward(rises_first), mirror._forward(rises_first)
        before, after = there.transpose(1, 2, 0), back[::-1, :, ::-1].transpose(1, 0, 2)  # both by k, i, j
        best, chosen = -np.inf, (0, 0, 0, 0)
        for k in range(self.max_bins):
            rest = after[: self.max_bins - k]
            total = before[k] + rest.max(axis=0) - np.where(self.fits, self.iv, 0.0)
            i, j = (int(x) for x in np.unravel_index(int(np.argmax(total)), total.shape))
            if total[i, j] > best + 1e-15:
                best, chosen = float(total[i, j]), (k, i, j, int(np.argmax(rest[:, i, j])))
        if not np.isfinite(best):
            return -np.inf, ()
        k, i, j, k_after = chosen
        starts = self._back(there, k, i, j, rises_first)
        mirrored = mirror._back(back, k_after, size - 1 - j, size - 1 - i, rises_first)
        ends = {size - start for start in mirrored}  # a bin of the mirror begins where one of ours ends
        return best, (*starts, *sorted(end for end in ends if j < end < size))

    def _forward(self, up: bool | None) -> np.ndarray:
        """Most IV of k + 1 bins over 0..j whose last bin is i..j, float (P, max_bins, P) by j, k, i; -inf for none.

        `up`: bad rates rise (True), fall (False) or only differ (None) from bin to bin.
        """
        size = len(self.iv)
        iv = np.where(self.fits, self.iv, -np.inf)
        best = np.full((size, self.max_bins, size), -np.inf)
        best[:, 0, 0] = iv[0]
        rates = np.where(self.fits, -self.rate if up is False else self.rate, np.inf)
        order = np.argsort(rates, axis=0, kind="stable")  # the first i of column i - 1 are the bins that end there
        order, rates = np.ascontiguousarray(order.T), np.ascontiguousarray(np.take_along_axis(rates, order, axis=0).T)
        low, high = self._bounds(falling=up is False)
        leading = np.full((self.max_bins - 1, size + 1), -np.inf)
        leading_above = leading.copy()
        begins = np.flatnonzero(self.fits.any(axis=1))
        for i in begins[begins > 0] if self.max_bins > 1 else ():
            before = best[i - 1, :-1].take(order[i - 1, :i], axis=1)
            sorted_rates = rates[i - 1, :i]
            np.maximum.accumulate(before, axis=1, out=leading[:, 1 : i + 1])
            reached = leading.take(sorted_rates.searchsorted(low[i, i:]), axis=1)
            if up is None:  # from bins of higher rates, too
                np.maximum.accumulate(before[:, ::-1], axis=1, out=leading_above[:, 1 : i + 1])
                above = i - sorted_rates.searchsorted(high[i, i:], side="right")
                reached = np.maximum(reached, leading_above.take(above, axis=1))
            reached += iv[i, i:]
            best[i:, 1:, i] = reached.T
        return best

    def _bounds(self, falling: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """A bin i..j may follow bins of a rate strictly below the first, or strictly above the second; (P, P) each.

        With `falling`, rates are counted from the other side: all signs are turned.
        """
        rate = -self.rate if falling else self.rate
        dust = _EVEN * np.abs(rate)  # what rounding leaves of equal rates of weighted rows
        if not self.step:
            return rate - dust, rate + dust
        below, above = rate - self.step + _EVEN, rate + self.step - _EVEN
        return np.minimum(np.nextafter(below, np.inf), rate - dust), np.maximum(
            np.nextafter(above, -np.inf), rate + dust
        )

    def _back(self, best: np.ndarray, k: int, i: int, j: int, up: bool | None) -> tuple[int, ...]:
        """Where the bins begin that reached best[j, k, i]."""
        starts = [i]
        rate = -self.rate if up is False else self.rate
        low, high = self._bounds(falling=up is False)
        while k > 0:
            k, end = k - 1, i - 1
            follows = rate[:i, end] < low[i, j]
            if up is None:
                follows |= rate[:i, end] > high[i, j]
            i, j = int(np.argmax(np.where(follows & self.fits[:i, end], best[end, k, :i], -np.inf))), end
            starts.insert(0, i)
        return tuple(starts)


def holds(goods: np.ndarray, bads: np.ndarray, totals: tuple[float, float], limits: Limits, trend: str) -> bool:
    """Whether bins with these counts, float (bins,), satisfy the limits (must_cut and never_cut aside) and the trend.

    `trend` is "ascending" or "descending".
    """
    count, everything = goods + bads, sum(totals)
    rates = rate_of(goods, bads)
    steps = np.diff(rates) * (1 if trend == "ascending" else -1)
    return bool(
        len(goods) <= limits.max_bins
        and (goods >= max(limits.min_goods, SOME) * (1 - _EVEN)).all()
        and (bads >= max(limits.min_bads, SOME) * (1 - _EVEN)).all()
        and (count >= limits.min_share * everything * (1 - _EVEN)).all()
        and (count <= limits.max_share * everything * (1 + _EVEN)).all()
        and (steps > _EVEN * rates[1:]).all()
        and (steps >= limits.min_difference - _EVEN).all()
    )


def _sums(counts: np.ndarray) -> np.ndarray:
    """Sums over pre-bins i..j, float (P, P)."""
    total = np.concatenate([[0.0], np.cumsum(counts, dtype=np.float64)])
    return total[None, 1:] - total[:-1, None]


# --- Why nothing fits -------------------------------------------------------------------------------------------------


def _why(goods, bads, totals, limits: Limits, trend: str, must, never) -> str:
    """Which constraint cannot hold: alone if one cannot, else a smallest set that cannot hold together."""
    values = goods.sum() + bads.sum()
    words = {
        "min_goods": f"at least {_number(limits.min_goods)} goods in each bin (there are {goods.sum():,.10g})",
        "min_bads": f"at least {_number(limits.min_bads)} bads in each bin (there are {bads.sum():,.10g})",
        "min_share": f"at least {limits.min_share:.3g} of all rows in each bin (there are {values / sum(totals):.3g})",
        "max_share": f"at most {limits.max_share:.3g} of all rows in each bin",
        "max_bins": f"at most {limits.max_bins} bins",
        "min_difference": f"bad rates of neighbours at least {limits.min_difference:g} apart",
        "trend": f"trend {trend}",
    }
    if len(must):
        words["must"] = MUST
    if len(never):
        words["never"] = NEVER

    def feasible(names: Sequence[str]) -> bool:
        kept = {name: getattr(limits, name) for name in names if hasattr(limits, name)}
        some = replace(_FREE, **kept)
        if "max_bins" not in names:
            some = replace(some, max_bins=len(goods))
        must_hold = must if "must" in names else ()
        problem = _Problem.of(goods, bads, totals, some, must_hold, never if "never" in names else ())
        problem = replace(problem, iv=np.zeros_like(problem.iv))  # whether there is a binning, not how good it is
        trends = ("none",) if "trend" not in names else ("ascending", "descending") if trend == "auto" else (trend,)
        return any(problem.solve(t)[1] for t in trends)

    culprits = list(words)
    for name in words:  # leave out what does not matter; what stays cannot hold together
        rest = [other for other in culprits if other != name]
        if not feasible(rest):
            culprits = rest
    return " together with ".join(words[name] for name in culprits)


def _number(least: float) -> str:
    return "some" if least <= SOME else f"{least:.3g}"


_FREE = Limits(max_bins=1, min_share=0.0, min_goods=0.0, min_bads=0.0)
