"""Outcomes against the PDs that were served: figures with intervals, tests, and the lights that they are given.

`bad` is 0/1 (n,), `pds` the point-in-time PD (n,), `served` the PD as it was served (n,), which bounds the grades.
A light is green, amber, red or not evaluable. Thresholds are conventions: no regulator sets them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isfinite, sqrt

import numpy as np
from scipy.special import expit, logit, ndtr

from creditrisk.binning.evidence import rate_interval
from creditrisk.data.portfolio import Grade
from creditrisk.modelling.findings import FEWEST_BADS, JEFFREYS, OBSERVED_EXPECTED, POLICY, Band, Limit, p_text
from creditrisk.modelling.gates import SLOPES
from creditrisk.modelling.grades import grade_table
from creditrisk.modelling.inference import Interval, auc_covariance, auc_interval, calibration_fit, jeffreys_p, z_of
from creditrisk.modelling.metrics import EDGE
from creditrisk.monitoring.estimation import expected_auc

GREEN, AMBER, RED, NOT_EVALUABLE = "green", "amber", "red", "not evaluable"
LIGHTS = (GREEN, AMBER, RED, NOT_EVALUABLE)
GINI_FALL = Limit(0.10, 0.20, POLICY)
"""Relative falls of the Gini that are amber and red, where chance does not explain them."""
CHANCE = Limit(0.05, 0.01, POLICY, "below")
"""One-sided p below which chance is no explanation of a fall of the AUC: one that is amber, one that is red."""
DETECTABLE = 1.645
"""Standard errors that an AUC must fall by before that p is reached."""
SLOPE = Band(*SLOPES, "bounds of the release gate; Cox (1958)")
MATERIAL = OBSERVED_EXPECTED.high
"""Observed over expected below which an underestimation is never red: with loans enough the smallest is no chance."""
NAN = float("nan")
NOTHING = Interval(NAN, NAN, NAN)


@dataclass(frozen=True)
class Reference:
    """What outcomes are held against: the validation AUC of a model, its master scale, and the shift in log-odds that
    took its PDs to a long-run bad rate (0 for point-in-time PDs)."""

    auc: float
    grades: tuple[Grade, ...] = ()
    offset: float = 0.0


@dataclass(frozen=True)
class GradeTest:
    """One grade of the master scale. `adjusted` is the Jeffreys p after Holm's correction over the grades tested."""

    grade: str
    max_pd: float
    n: int
    defaults: int
    default_rate: Interval
    mean_pd: float
    jeffreys_p: float
    adjusted: float
    light: str


@dataclass(frozen=True)
class Discrimination:
    """How well PDs rank loans, against the initial validation and against what the PDs themselves expect here.

    `fall` is that of the Gini below `reference`, the lower of the two, as a share of it; `p` of that fall by chance.
    `ecb_s` and `ecb_p` are the test against the initial validation alone. `detectable` is the least fall of the AUC
    that so many outcomes could show. Figures are NaN where too few defaults make them not evaluable; `why` says so.
    """

    light: str
    why: str
    auc: Interval = NOTHING
    gini: Interval = NOTHING
    ks: Interval = NOTHING
    initial: float = NAN
    expected: float = NAN
    ecb_s: float = NAN
    ecb_p: float = NAN
    reference: float = NAN
    fall: float = NAN
    p: float = NAN
    detectable: float = NAN


@dataclass(frozen=True)
class Judged:
    """A set of loans with outcomes, judged. Lights: `level` of the PDs, `slope` of calibration, discrimination."""

    n: int
    defaults: int
    default_rate: Interval
    mean_pd: float
    jeffreys_p: float
    observed_to_expected: Interval
    intercept: Interval
    slope: Interval
    level_light: str
    slope_light: str
    slope_why: str
    discrimination: Discrimination
    grades: tuple[GradeTest, ...]

    @property
    def red_grades(self) -> tuple[str, ...]:
        return tuple(one.grade for one in self.grades if one.light == RED)

    @property
    def amber_grades(self) -> tuple[str, ...]:
        return tuple(one.grade for one in self.grades if one.light == AMBER)


def judge_loans(bad: np.ndarray, served: np.ndarray, reference: Reference) -> Judged:
    """Judge loans whose outcomes are all known; at least one."""
    pds = point_in_time(served, reference.offset)
    n, defaults = len(bad), int(bad.sum())
    fit, mean = calibration_fit(bad, pds), float(pds.mean())
    low, high = rate_interval(np.array([n - defaults]), np.array([defaults]))
    p = float(jeffreys_p(mean, n, defaults))
    slope_light, slope_why = _slope_light(fit.slope, _few(defaults, n) or fit.no_slope)
    return Judged(
        n=n,
        defaults=defaults,
        default_rate=Interval(defaults / n, float(low[0]), float(high[0])),
        mean_pd=mean,
        jeffreys_p=p,
        observed_to_expected=fit.observed_to_expected,
        intercept=fit.intercept,
        slope=fit.slope,
        level_light=level_light(p, defaults, n * mean),
        slope_light=slope_light,
        slope_why=slope_why,
        discrimination=judge_ranking(bad, pds, reference.auc),
        grades=judge_grades(bad, pds, served, reference.grades),
    )


def point_in_time(served: np.ndarray, offset: float) -> np.ndarray:
    """PDs without the shift to a long-run bad rate: outcomes of some years cannot judge others."""
    return expit(logit(np.clip(served, EDGE, 1 - EDGE)) - offset) if offset else served


def _few(bads: int, n: int) -> str:
    """Why so few cannot judge ranking and slope; empty when they can."""
    fewest = min(bads, n - bads)
    told = f"{bads:,} defaults among {n:,} loans; {FEWEST_BADS} defaults and goods are needed"
    return told if fewest < FEWEST_BADS else ""


# --- The level of PDs -------------------------------------------------------------------------------------------------


def level_light(p: float, defaults: int, expected: float) -> str:
    """Of a Jeffreys p: amber below 0.05, red below 0.01 where observed over expected is MATERIAL, too.

    No more defaults than expected are never lit. (Where hardly any is expected, as of thirty loans with a PD of 0.01%,
    the prior of the test lets even none of them have a small p.)
    """
    if defaults <= expected:
        return GREEN
    if p < JEFFREYS.fail and defaults >= MATERIAL * expected:
        return RED
    return AMBER if p < JEFFREYS.watch else GREEN


def holm(p: Sequence[float]) -> np.ndarray:
    """Holm's adjusted p-values (1979), float64 (n,): the chance that any true null is rejected stays below the level.

    NaN stays NaN and is no test.
    """
    p = np.asarray(p, dtype=np.float64)
    adjusted, tested = np.full(len(p), NAN), np.flatnonzero(np.isfinite(p))
    order = tested[np.argsort(p[tested], kind="stable")]
    stepped = np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1))
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted


def judge_grades(
    bad: np.ndarray, pds: np.ndarray, served: np.ndarray, grades: Sequence[Grade]
) -> tuple[GradeTest, ...]:
    """Each grade that holds loans, the safest first, its mean PD tested one-sided; lights are of Holm's adjusted p."""
    if not grades:
        return ()
    table = grade_table(bad, pds, grades, served=served)
    table["adjusted"] = holm(table["jeffreys_p"])
    return tuple(
        GradeTest(
            grade=row.grade,
            max_pd=float(row.max_pd),
            n=int(row.rows),
            defaults=int(row.bads),
            default_rate=Interval(float(row.bad_rate), float(row.low), float(row.high)),
            mean_pd=float(row.mean_pd),
            jeffreys_p=float(row.jeffreys_p),
            adjusted=float(row.adjusted),
            light=level_light(float(row.adjusted), int(row.bads), row.rows * row.mean_pd),
        )
        for row in table[table["rows"] > 0].itertuples(index=False)
    )


# --- Slope ------------------------------------------------------------------------------------------------------------


def _slope_light(slope: Interval, few: str) -> tuple[str, str]:
    """Red: the whole interval lies outside the band. Amber: the slope does, and its interval does not hold 1."""
    if few or not isfinite(slope.value):
        return NOT_EVALUABLE, few or "the slope cannot be estimated"
    if slope.high < SLOPE.low or slope.low > SLOPE.high:
        return RED, f"calibration slope {slope.value:.2f}, wholly outside {SLOPE.low:g} to {SLOPE.high:g}"
    outside = not SLOPE.low <= slope.value <= SLOPE.high
    if outside and not slope.low <= 1 <= slope.high:
        return AMBER, f"calibration slope {slope.value:.2f}, outside {SLOPE.low:g} to {SLOPE.high:g}"
    return GREEN, f"calibration slope {slope.value:.2f}"


# --- Ranking ----------------------------------------------------------------------------------------------------------


def judge_ranking(bad: np.ndarray, pds: np.ndarray, initial: float) -> Discrimination:
    """AUC, Gini and KS, and whether the ranking is worse than it should be.

    The test of the ECB (Instructions 2019, 2.5.4.1) takes the AUC of the initial validation as fixed: S = (initial -
    current) / s, p = 1 - Phi(S), s by DeLong. Granted loans, or a narrower market, have PDs closer together than the
    rows of the validation: then even a perfect model has a lower AUC. So the fall is measured from the lower of two
    references, the initial AUC and the one that these PDs expect of themselves, and only one that chance does not
    explain is lit: amber from 10% of the Gini and p below 0.05, red from 20% and p below 0.01.
    """
    n, bads = len(bad), int(bad.sum())
    if why := _few(bads, n):
        return Discrimination(NOT_EVALUABLE, why, initial=initial)
    areas, covariance = auc_covariance(bad, pds)
    area, error, expected = float(areas[0]), sqrt(max(float(covariance[0, 0]), 0.0)), expected_auc(pds)
    interval = auc_interval(bad, pds)
    found = Discrimination(
        light=GREEN,
        why="",
        auc=interval,
        gini=Interval(*(2 * x - 1 for x in (interval.value, interval.low, interval.high))),
        ks=ks_interval(bad, pds),
        initial=initial,
        expected=expected,
        ecb_s=_standard(initial - area, error),
        ecb_p=_p_of_fall(initial - area, error),
        detectable=DETECTABLE * error,
    )
    known = [one for one in (initial, expected) if isfinite(one)]
    if not known or min(known) <= 0.5:
        return replace(found, light=NOT_EVALUABLE, why="no reference ranks better than chance")
    reference = min(known)
    fall = 1 - (2 * area - 1) / (2 * reference - 1)
    p = _p_of_fall(reference - area, error)
    light, why = _ranking_light(found, reference, fall, p)
    return replace(found, light=light, why=why, reference=reference, fall=fall, p=p)


def _standard(fall: float, error: float) -> float:
    return fall / error if error > 0 else NAN


def _p_of_fall(fall: float, error: float) -> float:
    return float(ndtr(-fall / error)) if error > 0 else float(fall <= 0)


def _ranking_light(found: Discrimination, reference: float, fall: float, p: float) -> tuple[str, str]:
    what = "initial validation" if reference == found.initial else "what the PDs of these loans expect"
    told = f"AUC {found.auc.value:.3f} after {reference:.3f} ({what})"
    size = f"the Gini fell by {fall:.0%}"
    if fall < GINI_FALL.watch:
        narrow = found.initial - found.auc.value > 0 and found.ecb_p < CHANCE.watch
        more = f"; below the {found.initial:.3f} of validation because PDs here lie closer together" if narrow else ""
        return GREEN, told + more
    if p >= CHANCE.watch:
        return GREEN, f"{told}: {size}, which chance explains ({p_text(p)})"
    return RED if fall >= GINI_FALL.fail and p < CHANCE.fail else AMBER, f"{told}: {size}, {p_text(p)}"


def ks_interval(bad: np.ndarray, score: np.ndarray, level: float = 0.95) -> Interval:
    """KS with Wald's interval at the cut-off where it is found, a fraction; NaN for one class.

    Variance b (1 - b) / bads + g (1 - g) / goods, b and g the shares above the cut-off. That the cut-off was chosen on
    the same rows is not in it, so with few bads the KS is somewhat too high.
    """
    bad = np.asarray(bad, dtype=bool)
    bads, goods = int(bad.sum()), int((~bad).sum())
    if not bads or not goods:
        return NOTHING
    order = np.argsort(score, kind="stable")
    ordered = np.asarray(score)[order]
    ends = np.append(ordered[1:] != ordered[:-1], True)  # compare only where a run of equal scores ends
    b, g = np.cumsum(bad[order])[ends] / bads, np.cumsum(~bad[order])[ends] / goods
    at = int(np.argmax(np.abs(b - g)))
    value = float(abs(b[at] - g[at]))
    half = z_of(level) * sqrt(b[at] * (1 - b[at]) / bads + g[at] * (1 - g[at]) / goods)
    return Interval(value, max(value - half, 0.0), min(value + half, 1.0))
