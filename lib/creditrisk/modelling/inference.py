"""How sure a figure is: intervals and tests for discrimination, calibration, concentration and fairness.

`bad` is 0/1 (n,), `pd` a probability of default (n,), `score` anything that rises with risk (n,).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import erfc, log, sqrt

import numpy as np
from scipy.special import betainc, chdtrc, expit, logit, ndtri

from creditrisk.modelling.metrics import EDGE, fit_level, fit_line, rank_groups, ranks, why_no_slope


@dataclass(frozen=True)
class Interval:
    """An estimate with its two-sided confidence interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.4f} ({self.low:.4f} to {self.high:.4f})"


def z_of(level: float) -> float:
    """How many standard errors a two-sided interval of this level reaches to either side."""
    return float(ndtri(0.5 + level / 2))


# --- Discrimination ---------------------------------------------------------------------------------------------------


def placements(bad: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each score column: of each bad the share of goods below it, of each good the share of bads above it.

    `scores` is (n, models). Returns float64 (bads, models) and (goods, models); ties count half. Their means are the
    AUC (DeLong, DeLong and Clarke-Pearson 1988; by ranks, as Sun and Xu 2014).
    """
    bad = np.asarray(bad, dtype=bool)
    scores = np.asarray(scores, dtype=np.float64).reshape(len(bad), -1)
    bads, goods = int(bad.sum()), int((~bad).sum())
    of_bads, of_goods = np.empty((bads, scores.shape[1])), np.empty((goods, scores.shape[1]))
    for j, score in enumerate(scores.T):
        among_all = ranks(score)
        of_bads[:, j] = (among_all[bad] - ranks(score[bad])) / goods
        of_goods[:, j] = 1 - (among_all[~bad] - ranks(score[~bad])) / bads
    return of_bads, of_goods


def auc_covariance(bad: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """AUC of each score column of (n, models), and their covariance (models, models), by DeLong's method.

    NaN where there are fewer than two bads or two goods.
    """
    bad, scores = np.asarray(bad, dtype=bool), np.asarray(scores, dtype=np.float64)
    models = 1 if scores.ndim == 1 else scores.shape[1]
    if min(bad.sum(), (~bad).sum()) < 2:
        return np.full(models, np.nan), np.full((models, models), np.nan)
    of_bads, of_goods = placements(bad, scores)
    covariance = np.cov(of_bads, rowvar=False) / len(of_bads) + np.cov(of_goods, rowvar=False) / len(of_goods)
    return of_bads.mean(axis=0), np.atleast_2d(covariance)


def auc_interval(bad: np.ndarray, score: np.ndarray, level: float = 0.95) -> Interval:
    """AUC with DeLong's interval, on the logit scale so that it stays within 0 and 1."""
    areas, covariance = auc_covariance(bad, score)
    area, error = float(areas[0]), sqrt(covariance[0, 0]) if np.isfinite(covariance[0, 0]) else float("nan")
    if not 0 < area < 1 or not np.isfinite(error):
        return Interval(area, float("nan"), float("nan"))
    half = z_of(level) * error / (area * (1 - area))
    return Interval(area, float(expit(logit(area) - half)), float(expit(logit(area) + half)))


def auc_difference(
    bad: np.ndarray, score: np.ndarray, other: np.ndarray, level: float = 0.95
) -> tuple[Interval, float]:
    """AUC of `score` less that of `other` on the same rows, with its interval; and the two-sided p of no difference."""
    areas, covariance = auc_covariance(bad, np.column_stack([score, other]))
    gap = float(areas[0] - areas[1])
    variance = float(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    if not np.isfinite(variance):
        return Interval(gap, float("nan"), float("nan")), float("nan")
    error = sqrt(max(variance, 0.0))
    half = z_of(level) * error
    p = erfc(abs(gap) / error / sqrt(2)) if error > 0 else float(gap == 0)
    return Interval(gap, gap - half, gap + half), p


# --- Calibration ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class CalibrationFit:
    """Slope and intercept of calibration, and observed over expected bads, each with its interval; and the bads.

    `no_slope` says why the slope is NaN, empty where it is not.
    """

    slope: Interval
    intercept: Interval
    observed_to_expected: Interval
    bads: int
    no_slope: str = ""


def calibration_fit(bad: np.ndarray, pd: np.ndarray, level: float = 0.95) -> CalibrationFit:
    """Cox's slope (1 when right) and calibration in the large (0 when right), and O/E (1 when right).

    Standard errors are from the information matrix; the interval of O/E is that of `observed_to_expected`. What the
    rows do not determine is NaN: slope and intercept where they are of one class, the slope also where all PDs are
    equal or those of goods and bads do not overlap.
    """
    bad = np.asarray(bad, dtype=np.float64)
    x = logit(np.clip(pd, EDGE, 1 - EDGE))
    bads, z = int(bad.sum()), z_of(level)
    slope = offset = Interval(float("nan"), float("nan"), float("nan"))
    ratio, _ = observed_to_expected(bad, pd, level)
    no_slope = why_no_slope(bad, x)
    if not no_slope:
        a, b = fit_line(bad, x)
        error = _error_of_slope(a, b, x)
        slope = Interval(b, b - z * error, b + z * error)
    if 0 < bads < len(bad):
        a = fit_level(bad, x)
        error = 1 / sqrt(_variance(expit(a + x)))
        offset = Interval(a, a - z * error, a + z * error)
    return CalibrationFit(slope, offset, ratio, bads, no_slope)


def _error_of_slope(a: float, b: float, x: np.ndarray) -> float:
    """Standard error of b: the last element of the inverse of the information matrix of (a, b), in closed form."""
    p = expit(a + b * x)
    weight = p * (1 - p)
    about = x - np.average(x, weights=weight)
    return 1 / sqrt(float((weight * about**2).sum()))


def _variance(p: np.ndarray) -> float:
    """Variance of the number of bads among rows with these PDs."""
    return float((p * (1 - p)).sum())


def observed_to_expected(bad: np.ndarray, pd: np.ndarray, level: float = 0.95) -> tuple[Interval, float]:
    """Bads over the sum of PDs (1 when right) with its interval, and the standard error of its logarithm.

    Bads are a sum of outcomes with unequal PDs, hence of variance sum p (1 - p), the p at the observed level: less
    than the Poisson sum p, by much where PDs are far from 0. Rows of one class have no such p; they get Poisson's
    interval (Wilson and Hilferty) and no standard error.
    """
    bad, pd = np.asarray(bad, dtype=np.float64), np.asarray(pd, dtype=np.float64)
    bads, expected, z = float(bad.sum()), float(pd.sum()), z_of(level)
    if not expected:
        ratio = float("inf") if bads else float("nan")
        return Interval(ratio, ratio, ratio), float("nan")
    if not 0 < bads < len(bad):
        low = bads * (1 - 1 / (9 * bads) - z / (3 * sqrt(bads))) ** 3 if bads else 0.0
        more = bads + 1
        high = more * (1 - 1 / (9 * more) + z / (3 * sqrt(more))) ** 3
        return Interval(bads / expected, low / expected, high / expected), float("nan")
    x = logit(np.clip(pd, EDGE, 1 - EDGE))
    error = sqrt(_variance(expit(x + fit_level(bad, x)))) / bads
    reach = float(np.exp(z * error))
    return Interval(bads / expected, bads / expected / reach, bads / expected * reach), error


def hosmer_lemeshow(bad: np.ndarray, pd: np.ndarray, groups: int = 10) -> tuple[float, int, float]:
    """Statistic, degrees of freedom and p of Hosmer and Lemeshow's test, over `groups` groups by PD (`rank_groups`).

    Sum of (bads - expected)^2 / (rows * p (1 - p)), p the mean PD of the group. For rows that nothing was estimated
    on: then it is about chi-squared with as many degrees of freedom as groups, not two less as on the rows of the fit
    (Hosmer, Lemeshow and Sturdivant 2013, 5.2.2). Groups whose PDs are all 0 or all 1 count only where they are wrong.
    """
    bad, pd = np.asarray(bad, dtype=np.float64), np.asarray(pd, dtype=np.float64)
    group = rank_groups(pd, groups)
    rows, bads, expected = (np.bincount(group, weights) for weights in (None, bad, pd))
    gap, variance = bads - expected, expected * (1 - expected / np.maximum(rows, 1))
    certain = variance <= EDGE  # an empty group, too
    statistic = float((gap[~certain] ** 2 / variance[~certain]).sum())
    if (np.abs(gap[certain]) > EDGE).any():
        statistic = float("inf")
    degrees = int((~certain).sum())
    if not degrees:
        return statistic, 0, float("nan") if statistic == 0 else 0.0
    return statistic, degrees, float(chdtrc(degrees, statistic))


def spiegelhalter(bad: np.ndarray, pd: np.ndarray) -> tuple[float, float]:
    """z and two-sided p of Spiegelhalter's test that the Brier score is what right PDs would give.

    z = sum (y - p)(1 - 2p) / sqrt(sum (1 - 2p)^2 p (1 - p)): Spiegelhalter 1986. NaN where no PD says anything that
    could be wrong, as when all are 1/2.
    """
    bad, pd = np.asarray(bad, dtype=np.float64), np.asarray(pd, dtype=np.float64)
    away = float(((bad - pd) * (1 - 2 * pd)).sum())
    variance = float(((1 - 2 * pd) ** 2 * pd * (1 - pd)).sum())
    if variance <= 0:
        z = float("nan") if away == 0 else float(np.copysign(np.inf, away))
        return z, float("nan") if away == 0 else 0.0
    z = away / sqrt(variance)
    return z, erfc(abs(z) / sqrt(2))


def jeffreys_p(pd: float | np.ndarray, rows: int | np.ndarray, bads: int | np.ndarray) -> np.ndarray:
    """One-sided p that the PD is not too low, given `bads` of `rows`: Beta(D + 1/2, N - D + 1/2), up to PD.

    Small values say that risk is understated. ECB, Instructions for reporting the validation results of internal
    models (2019), 2.5.3.1.
    """
    rows, bads = np.asarray(rows, dtype=np.float64), np.asarray(bads, dtype=np.float64)
    return betainc(bads + 0.5, rows - bads + 0.5, pd)


@dataclass(frozen=True)
class Brier:
    """The Brier score and its parts over groups of equal PD rank: score = reliability - resolution + uncertainty
    (+ what PDs differ within groups). `skill` is against the bad rate alone."""

    score: float
    reliability: float
    resolution: float
    uncertainty: float

    @property
    def skill(self) -> float:
        return 1 - self.score / self.uncertainty if self.uncertainty else float("nan")


def brier(bad: np.ndarray, pd: np.ndarray, groups: int = 10) -> Brier:
    """Murphy's decomposition (1973) over `groups` groups of about equal size by PD, those of `rank_groups`."""
    bad, pd = np.asarray(bad, dtype=np.float64), np.asarray(pd, dtype=np.float64)
    rate = float(bad.mean())
    group = rank_groups(pd, groups)
    rows, bads, expected = (np.bincount(group, weights) for weights in (None, bad, pd))
    used = rows > 0
    weight, seen, said = rows[used] / len(bad), bads[used] / rows[used], expected[used] / rows[used]
    return Brier(
        float(np.mean((pd - bad) ** 2)),
        float((weight * (said - seen) ** 2).sum()),
        float((weight * (seen - rate) ** 2).sum()),
        rate * (1 - rate),
    )


# --- Concentration and fairness ---------------------------------------------------------------------------------------


def herfindahl(counts: np.ndarray) -> tuple[float, float]:
    """Coefficient of variation of grades' shares and the concentration index, 0 (even) to 1 (one grade).

    ECB Instructions (2019), 2.5.5.3: CV = sqrt(K sum (R - 1/K)^2), HI = 1 + ln((CV^2 + 1) / K) / ln K.
    """
    counts = np.asarray(counts, dtype=np.float64)
    size = len(counts)
    if size < 2 or not counts.sum():
        return float("nan"), float("nan")
    shares = counts / counts.sum()
    variation = sqrt(size * float(((shares - 1 / size) ** 2).sum()))
    return variation, 1 + log((variation**2 + 1) / size) / log(size)


def impact_ratio(
    approved: int, rows: int, approved_reference: int, rows_reference: int, level: float = 0.95
) -> Interval:
    """Approval rate of a group over that of the reference group, with an interval on the log scale (Katz 1978)."""
    if not rows or not rows_reference or not approved_reference:
        return Interval(float("nan"), float("nan"), float("nan"))
    ratio = (approved / rows) / (approved_reference / rows_reference)
    if not approved:
        return Interval(ratio, float("nan"), float("nan"))
    error = sqrt(1 / approved - 1 / rows + 1 / approved_reference - 1 / rows_reference)
    half = z_of(level) * error
    return Interval(ratio, ratio * float(np.exp(-half)), ratio * float(np.exp(half)))
