"""Measures of a PD model on a sample. `bad` is 0/1 (n,), `pd` the probability of default, float (n,)."""

from __future__ import annotations

import numpy as np
from pandas import DataFrame
from scipy.optimize import brentq
from scipy.special import expit, logit

EDGE = 1e-12
"""PDs are kept this far from 0 and 1 before a logarithm is taken."""
SAME = 1e-6
"""PDs whose log-odds are all within this are equal: nothing can be learned from how they differ."""
EQUAL_PDS = "all PDs are equal"


def ranks(values: np.ndarray) -> np.ndarray:
    """The rank of each value from 1, float64 (n,); values that are equal share the mean of their ranks."""
    from scipy.stats import rankdata  # half a second to import, and no score needs it

    return rankdata(values)


def auc(bad: np.ndarray, score: np.ndarray) -> float:
    """Probability that a bad has a higher score than a good, ties counting half (Mann-Whitney). NaN for one class."""
    bad = np.asarray(bad, dtype=bool)
    bads = int(bad.sum())
    goods = len(bad) - bads
    if not bads or not goods:
        return float("nan")
    return float((ranks(score)[bad].sum() - bads * (bads + 1) / 2) / (bads * goods))


def ks(bad: np.ndarray, score: np.ndarray) -> float:
    """Largest distance between the distributions of bads and goods over all scores, a fraction."""
    bad = np.asarray(bad, dtype=bool)
    if not bad.any() or bad.all():
        return float("nan")
    order = np.argsort(score, kind="stable")
    ordered = np.asarray(score)[order]
    ends = np.append(ordered[1:] != ordered[:-1], True)  # compare only where a run of equal scores ends
    bads = np.cumsum(bad[order]) / bad.sum()
    goods = np.cumsum(~bad[order]) / (~bad).sum()
    return float(np.abs(bads - goods)[ends].max())


def rank_groups(values: np.ndarray, groups: int = 10) -> np.ndarray:
    """The group of each row by rank, from 0 for the lowest values, int64 (n,); as many rows in each as ties allow.

    Rows of one value are never apart: all are in the group in which the middle of them lies, so that the order of rows
    does not matter. A value that many rows share may leave groups next to its own empty.
    """
    middles = np.rint(2 * ranks(values)).astype(np.int64) - 1  # twice the place of the middle: whole, hence exact
    return middles * groups // max(2 * len(middles), 1)


def gains(bad: np.ndarray, pd: np.ndarray, groups: int = 10) -> DataFrame:
    """Groups of about equal size by PD, the riskiest first, from `rank_groups`; only those that hold rows.

    Columns: group (from 1), rows, bads, bad_rate, mean_pd, captured (share of all bads so far), goods_so_far (share of
    all goods), gap (captured less goods_so_far; its greatest value is near the KS), lift (bad rate over that of all
    rows), lift_so_far. Shares of nothing are NaN.
    """
    bad, pd = np.asarray(bad, dtype=np.float64), np.asarray(pd, dtype=np.float64)
    group = rank_groups(-pd, groups)
    counts = (np.bincount(group, weights, minlength=groups) for weights in (None, bad, pd))
    every_rows, every_bads, every_pd = counts
    used = np.flatnonzero(every_rows)
    rows, bads = every_rows[used], every_bads[used].astype(np.int64)
    with np.errstate(divide="ignore", invalid="ignore"):
        overall = np.float64(bads.sum()) / rows.sum()
        captured, goods_so_far = np.cumsum(bads) / bads.sum(), np.cumsum(rows - bads) / (rows - bads).sum()
        return DataFrame(
            {
                "group": used + 1,
                "rows": rows,
                "bads": bads,
                "bad_rate": bads / rows,
                "mean_pd": every_pd[used] / rows,
                "captured": captured,
                "goods_so_far": goods_so_far,
                "gap": captured - goods_so_far,
                "lift": bads / rows / overall,
                "lift_so_far": np.cumsum(bads) / np.cumsum(rows) / overall,
            }
        )


def why_no_slope(bad: np.ndarray, x: np.ndarray) -> str:
    """Why no b of logit P(bad) = a + b x can be estimated from these rows, in words; empty where one can.

    There is none where x does not vary (EQUAL_PDS), and none that is finite where bads and goods do not overlap in x
    (Albert and Anderson 1984).
    """
    bad = np.asarray(bad, dtype=bool)
    if not 0 < bad.sum() < len(bad):
        return "not both goods and bads"
    if np.ptp(x) < SAME:
        return EQUAL_PDS
    bads, goods = x[bad], x[~bad]
    apart = bads.min() >= goods.max() or bads.max() <= goods.min()
    return "the PDs of goods and bads do not overlap" if apart else ""


def calibration_line(bad: np.ndarray, pd: np.ndarray) -> tuple[float, float]:
    """(slope, intercept) of calibration; NaN where the rows do not determine them.

    The slope is b of logit P(bad) = a + b logit(pd), 1 when right. The intercept is a of the same line with b held at
    1 (calibration in the large), 0 when right. Cox 1958.
    """
    bad = np.asarray(bad, dtype=np.float64)
    x = logit(np.clip(pd, EDGE, 1 - EDGE))
    slope = float("nan") if why_no_slope(bad, x) else fit_line(bad, x)[1]
    return slope, fit_level(bad, x)


def fit_level(bad: np.ndarray, x: np.ndarray) -> float:
    """a that maximises the likelihood of logit P(bad) = a + x: the mean of P(bad) is the bad rate. NaN for one class.

    `x` are log-odds of PDs that keep away from 0 and 1 by EDGE.
    """
    rate = float(np.mean(bad)) if len(bad) else 0.0
    if not 0 < rate < 1:
        return float("nan")
    return float(brentq(lambda a: expit(a + x).mean() - rate, -60.0, 60.0))


def fit_line(bad: np.ndarray, x: np.ndarray, steps: int = 100) -> tuple[float, float]:
    """(a, b) that maximise the likelihood of logit P(bad) = a + b x, by Newton's method with halved steps."""
    bad = np.asarray(bad, dtype=np.float64)
    design = np.column_stack([np.ones_like(x), x])
    beta = np.array([logit(bad.mean()), 0.0])

    def loss(beta: np.ndarray) -> float:
        z = design @ beta
        return float(np.logaddexp(0, z).sum() - bad @ z)

    current = loss(beta)
    for _ in range(steps):
        p = expit(design @ beta)
        gradient = design.T @ (bad - p)
        hessian = (design * (p * (1 - p))[:, None]).T @ design + 1e-10 * np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        while (proposed := loss(beta + step)) > current and np.abs(step).max() > 1e-12:
            step /= 2
        beta = beta + step
        if current - proposed < 1e-12 * max(1.0, abs(current)):
            break
        current = proposed
    return float(beta[0]), float(beta[1])


def error_of_gain(gains: np.ndarray, folds: int) -> float:
    """Standard error of the mean of paired differences over the held-out folds of (repeated) k-fold cross-validation.

    Folds share training rows, so their differences are not independent: the variance is multiplied by
    1 / len(gains) + 1 / (folds - 1). Nadeau and Bengio 2003.
    """
    return float(np.std(gains, ddof=1) * np.sqrt(1 / len(gains) + 1 / (folds - 1)))


def log_loss(bad: np.ndarray, pd: np.ndarray) -> float:
    """Mean of -ln of the probability given to what happened; PDs count as at least EDGE away from 0 and 1."""
    clipped = np.clip(pd, EDGE, 1 - EDGE)
    return float(-np.mean(bad * np.log(clipped) + (1 - bad) * np.log1p(-clipped)))


def evaluate(bad: np.ndarray, pd: np.ndarray, threshold: float) -> dict[str, float]:
    """Every figure of a model on a sample. Precision, recall and F1 call a PD of `threshold` or more bad."""
    bad, pd = np.asarray(bad, dtype=np.float64), np.asarray(pd, dtype=np.float64)
    slope, intercept = calibration_line(bad, pd)
    area = auc(bad, pd)
    called = pd >= threshold
    hits = float((called & (bad == 1)).sum())
    precision = hits / called.sum() if called.any() else 0.0
    recall = hits / bad.sum() if bad.any() else 0.0
    return {
        "auc": area,
        "gini": 2 * area - 1,
        "ks": ks(bad, pd),
        "brier": float(np.mean((pd - bad) ** 2)),
        "log_loss": log_loss(bad, pd),
        "mean_pd": float(pd.mean()),
        "bad_rate": float(bad.mean()),
        "calibration_slope": slope,
        "calibration_intercept": intercept,
        "precision": float(precision),
        "recall": float(recall),
        "f1": float(2 * precision * recall / (precision + recall)) if hits else 0.0,
        "threshold": float(threshold),
    }
