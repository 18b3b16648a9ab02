"""What speaks for and against fitted bins: do neighbours differ, and does their order hold on other rows."""

from __future__ import annotations

from math import erfc, sqrt

import numpy as np
import pandas as pd

from creditrisk.binning.bins import Bins, counts_in, outcomes, rate_of

ALIKE = 0.05
"""Neighbouring bins whose bad rates differ with a p-value above this are called alike."""
PSI_WATCH, PSI_ACT = 0.1, 0.25
_SMALL = 5.0  # expected goods or bads below which the normal approximation is left for the exact test


def rate_interval(goods: np.ndarray, bads: np.ndarray, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Wilson's interval of a bad rate, float64 (bins,) low and high; NaN for an empty bin."""
    from scipy.special import ndtri

    goods, bads = np.asarray(goods, dtype=np.float64), np.asarray(bads, dtype=np.float64)
    count, z = goods + bads, float(ndtri(0.5 + level / 2))
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = bads / count
        centre = (rate + z * z / (2 * count)) / (1 + z * z / count)
        half = z / (1 + z * z / count) * np.sqrt(rate * (1 - rate) / count + (z / (2 * count)) ** 2)
    return np.maximum(centre - half, 0.0), np.minimum(centre + half, 1.0)


def neighbour_p(goods: np.ndarray, bads: np.ndarray) -> np.ndarray:
    """Two-sided p-value that each bin and the next have the same bad rate, float64 (bins - 1,).

    The pooled two-proportion z-test, or Fisher's exact test where fewer than five goods or bads are expected in a bin.
    An optimistic figure: the cuts were chosen on the same rows. Weighted counts are taken for rows.
    """
    goods, bads = np.asarray(goods, dtype=np.float64), np.asarray(bads, dtype=np.float64)
    pairs = zip(goods, bads, goods[1:], bads[1:], strict=False)
    return np.array([_same_rate_p(*pair) for pair in pairs], dtype=np.float64)


def _same_rate_p(g: float, b: float, h: float, c: float) -> float:
    n, m = g + b, h + c
    if not n or not m or not b + c or not g + h:
        return 1.0
    rate = (b + c) / (n + m)
    if min(n, m) * min(rate, 1 - rate) < _SMALL:
        from scipy.stats import fisher_exact

        return float(fisher_exact(np.rint([[g, b], [h, c]]).astype(int)).pvalue)
    z = (b / n - c / m) / sqrt(rate * (1 - rate) * (1 / n + 1 / m))
    return erfc(abs(z) / sqrt(2))


def psi(expected: np.ndarray, observed: np.ndarray) -> float:
    """Population stability index of counts by slot, (slots,) each; half a row is added to each slot of either.

    NaN when a sample has no rows. Slots that neither sample fills do not count.
    """
    expected, observed = np.asarray(expected, dtype=np.float64), np.asarray(observed, dtype=np.float64)
    used = expected + observed > 0
    if not expected.sum() or not observed.sum():
        return float("nan")
    a, b = expected[used] + 0.5, observed[used] + 0.5
    a, b = a / a.sum(), b / b.sum()
    return float(((b - a) * np.log(b / a)).sum())


def reversals(bins: Bins, goods: np.ndarray, bads: np.ndarray) -> list[int]:
    """Regular bins k whose bad rate, in a sample with these counts by slot, lies on the other side of bin k + 1's
    than it did in training. Bins the sample does not fill, and equal rates, reverse nothing."""
    trained = np.sign(np.diff(rate_of(bins.goods, bins.bads)[: bins.n_regular]))
    seen = np.sign(np.diff(rate_of(goods, bads)[: bins.n_regular]))
    return np.flatnonzero(trained * seen < 0).tolist()


def hold_order(bins: Bins, X, y, weight=None) -> Bins:
    """The same bins with neighbours merged until the sample X (n,), y (n,) has its bad rates in the order of training.

    Of the pairs that reverse, the one whose merging costs the least IV goes first.
    """
    while True:
        goods, bads = counts_in(bins.assign(X), outcomes(bins.name, X, y), bins.n_slots, weight)
        pairs = reversals(bins, goods, bads)
        if not pairs:
            return bins
        bins = max((bins.merge(k, k + 1) for k in pairs), key=lambda merged: merged.iv)


def side_by_side(bins: Bins, X, y, weight=None) -> pd.DataFrame:
    """The training table beside another sample's, values X (n,) and outcomes y, 0/1 (n,), one row for each slot
    that holds rows of either; the index is the slot.

    Columns: bin, count, count_share, goods, bads, bad_rate, bad_rate_low, bad_rate_high (95%), woe, iv, p_next (that
    this regular bin and the next have the same bad rate), alike (p_next above ALIKE), test_count, test_count_share,
    test_bads, test_bad_rate, test_low, test_high, reverses (the order against the next bin is not that of training).
    """
    goods, bads = np.array(bins.goods), np.array(bins.bads)
    test_goods, test_bads = counts_in(bins.assign(X), outcomes(bins.name, X, y), bins.n_slots, weight)
    regular, count, test_count = slice(0, bins.n_regular), goods + bads, test_goods + test_bads
    p_next = np.full(bins.n_slots, np.nan)
    p_next[: max(bins.n_regular - 1, 0)] = neighbour_p(goods[regular], bads[regular])
    low, high = rate_interval(goods, bads)
    test_low, test_high = rate_interval(test_goods, test_bads)
    table = pd.DataFrame(
        {
            "bin": bins.labels(),
            "count": count,
            "count_share": count / count.sum(),
            "goods": goods,
            "bads": bads,
            "bad_rate": rate_of(goods, bads),
            "bad_rate_low": low,
            "bad_rate_high": high,
            "woe": bins.woe,
            "iv": bins.iv_by_slot,
            "p_next": p_next,
            "alike": p_next > ALIKE,
            "test_count": test_count,
            "test_count_share": test_count / max(test_count.sum(), 1),
            "test_bads": test_bads,
            "test_bad_rate": rate_of(test_goods, test_bads),
            "test_low": test_low,
            "test_high": test_high,
            "reverses": np.isin(np.arange(bins.n_slots), reversals(bins, test_goods, test_bads)),
        }
    )
    return table.rename_axis("slot")[(count > 0) | (test_count > 0)]
