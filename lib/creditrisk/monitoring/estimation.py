"""What PDs alone say of themselves: default rate, Brier score and AUC before any outcome is known.

All three hold if the PDs are right for these rows. They follow inputs that have moved; a risk that has moved at the
same inputs (concept drift) they cannot see. Whoever shows them says so: ESTIMATED.
"""

from __future__ import annotations

from math import sqrt

import numpy as np

from creditrisk.modelling.inference import Interval, z_of

ESTIMATED = "estimated; blind to concept drift"


def expected_rate(pd: np.ndarray, level: float = 0.95) -> Interval:
    """The default rate that PDs (n,) expect, their mean, and the interval in which that of these rows will lie.

    Defaults are taken as independent, hence of variance sum p (1 - p); common shocks make it wider.
    """
    pd = np.asarray(pd, dtype=np.float64)
    if not len(pd):
        return Interval(float("nan"), float("nan"), float("nan"))
    mean = float(pd.mean())
    half = z_of(level) * sqrt(float((pd * (1 - pd)).sum())) / len(pd)
    return Interval(mean, max(mean - half, 0.0), min(mean + half, 1.0))


def expected_brier(pd: np.ndarray) -> float:
    """The Brier score that PDs (n,) expect of themselves: the mean of p (1 - p)."""
    pd = np.asarray(pd, dtype=np.float64)
    return float(np.mean(pd * (1 - pd))) if len(pd) else float("nan")


def expected_auc(pd: np.ndarray) -> float:
    """The AUC that PDs (n,) expect of themselves, in O(n log n); ties count half. NaN where all are 0, or all 1.

    sum over i, j of p_i (1 - p_j) [1(p_i > p_j) + 1(p_i = p_j) / 2] / (sum p * sum (1 - p)): the pairs of a bad and a
    good that each pair of rows is expected to make. A row is paired with itself, too, which is lost among many.
    """
    values, counts = np.unique(np.asarray(pd, dtype=np.float64), return_counts=True)
    bads, goods = values * counts, (1 - values) * counts
    pairs = bads.sum() * goods.sum()
    if not pairs > 0:
        return float("nan")
    below = np.cumsum(goods) - goods
    return float((bads * (below + goods / 2)).sum() / pairs)
