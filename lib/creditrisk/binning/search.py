"""The IV-optimal binning under constraints, exact over the pre-bins, by dynamic programming.

IV of a bin depends on its counts alone, so the best binning of pre-bins 0..j whose last bin is i..j extends the best
binning of 0..i-1 whose last bin's bad rate is on the right side of the new one. The whole last bin is the state:
its rate decides what may follow. Cost O(max_bins * P^2 log P) for P pre-bins.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

TRENDS = ("ascending", "descending", "auto")


@dataclass(frozen=True)
class Limits:
    """What a binning must satisfy. Shares are of all rows, missing and special included."""

    max_bins: int = 8
    min_share: float = 0.05
    min_goods: float = 1.0
    min_bads: float = 1.0
    max_pre_bins: int = 64


@dataclass(frozen=True)
class Search:
    """A found binning: `starts` are the pre-bins at which bins begin, `iv` what the regular bins add up to."""

    starts: tuple[int, ...]
    iv: float
    trend: str


def pre_bin_cuts(values: np.ndarray, limit: int) -> np.ndarray:
    """Cut points between pre-bins: observed values, so ties are never split; every distinct value when few.

    A value that holds more than 1/limit of the rows keeps a pre-bin of its own.
    """
    distinct, counts = np.unique(values, return_counts=True)
    if len(distinct) <= limit:
        return distinct[1:]
    heavy = counts > counts.sum() / limit
    own = np.flatnonzero(heavy)
    cuts = set(distinct[own]) | set(distinct[np.minimum(own + 1, len(distinct) - 1)])
    light = np.repeat(distinct[~heavy], counts[~heavy])
    room = max(limit - 2 * len(own), 2)
    cuts |= set(np.quantile(light, np.linspace(0, 1, room + 1)[1:-1], method="inverted_cdf"))
    return np.array(sorted(cuts - {distinct[0]}))


def best_binning(
    goods: np.ndarray, bads: np.ndarray, totals: tuple[float, float], limits: Limits, trend: str
) -> Search:
    """The binning of ordered pre-bins with the most IV.

    `goods`, `bads` are counts by pre-bin, float (P,); `totals` are the goods and bads of all rows. `trend` is
    "ascending" (bad rate rises), "descending", or "auto", the better of the two. When no binning satisfies the limits
    the result is a single bin. Raises ValueError for another trend.
    """
    if trend not in TRENDS:
        raise ValueError(f"trend is {trend!r}; it must be one of {', '.join(TRENDS)}")
    if trend == "auto":
        both = [best_binning(goods, bads, totals, limits, t) for t in ("ascending", "descending")]
        return max(both, key=lambda found: found.iv)
    sign = 1.0 if trend == "ascending" else -1.0
    size = len(goods)
    g, b = _sums(goods), _sums(bads)
    all_goods, all_bads = totals
    with np.errstate(divide="ignore", invalid="ignore"):
        share_g, share_b = g / all_goods, b / all_bads
        iv = (share_g - share_b) * (np.log(share_g) - np.log(share_b))
        rate = sign * b / (g + b)
    fits = (
        (g >= max(limits.min_goods, 1e-9))
        & (b >= max(limits.min_bads, 1e-9))
        & (g + b >= limits.min_share * (all_goods + all_bads) * (1 - 1e-12))
        & np.tri(size, dtype=bool).T
    )

    best = np.where(fits & (np.arange(size) == 0)[:, None], iv, -np.inf)  # one bin: it begins at pre-bin 0
    layers = [(best, np.full((size, size), -1))]
    for _ in range(1, min(limits.max_bins, size)):
        best, came_from = _extend(layers[-1][0], iv, rate, fits)
        if not np.isfinite(best).any():
            break
        layers.append((best, came_from))
    last = [layer[:, size - 1].max() for layer, _ in layers]
    k = int(np.argmax(last))
    if not np.isfinite(last[k]):
        return Search((0,), 0.0, trend)
    starts, end = [int(np.argmax(layers[k][0][:, size - 1]))], size - 1
    for depth in range(k, 0, -1):
        previous = int(layers[depth][1][starts[0], end])
        end = starts[0] - 1
        starts.insert(0, previous)
    return Search(tuple(starts), float(last[k]), trend)


def _sums(counts: np.ndarray) -> np.ndarray:
    """Sums over pre-bins i..j, float (P, P)."""
    total = np.concatenate([[0.0], np.cumsum(counts, dtype=np.float64)])
    return total[None, 1:] - total[:-1, None]


def _extend(before: np.ndarray, iv: np.ndarray, rate: np.ndarray, fits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One bin more: the best of each last bin (i, j), and where the bin before it begins."""
    size = len(before)
    best, came_from = np.full((size, size), -np.inf), np.full((size, size), -1)
    for i in range(1, size):
        at = np.flatnonzero(np.isfinite(before[:i, i - 1]))
        to = np.flatnonzero(fits[i])
        if not len(at) or not len(to):
            continue
        order = at[np.argsort(rate[at, i - 1], kind="stable")]
        leading = np.maximum.accumulate(before[order, i - 1])
        holder = order[_running_argmax(before[order, i - 1])]
        below = np.searchsorted(rate[order, i - 1], rate[i, to], side="left")  # bins with a strictly lower rate
        to, below = to[below > 0], below[below > 0] - 1
        best[i, to] = leading[below] + iv[i, to]
        came_from[i, to] = holder[below]
    return best, came_from


def _running_argmax(values: np.ndarray) -> np.ndarray:
    """Position of the running maximum, its first holder."""
    new = np.concatenate([[True], values[1:] > np.maximum.accumulate(values)[:-1]])
    return np.maximum.accumulate(np.where(new, np.arange(len(values)), 0))
