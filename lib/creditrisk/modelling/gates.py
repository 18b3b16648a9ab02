"""The release gate: whether a model's PDs are right enough to be used, judged on rows that nothing was learned from.

Three criteria, each with an interval: observed over expected bads, the intercept (calibration in the large) and the
slope of calibration. The first is judged by its interval, as a test of equivalence: two one-sided tests at 5% must both
say that the ratio is within its bounds, which they do when its 90% interval is. So the model has to show that it is
right. Where the bads are enough for that, intercept and slope are judged by their values; their 95% intervals are
shown and not judged. Where the bads are too few to show anything, only a clear failure counts, an interval wholly
outside its bounds, and the status says so. A figure that cannot be estimated never passes; PDs that are all equal fail
however few the bads are, since more bads would not give them a slope.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import ceil, log, sqrt

import numpy as np
import pandas as pd

from creditrisk.modelling.inference import Interval, calibration_fit, observed_to_expected, z_of
from creditrisk.modelling.metrics import EQUAL_PDS

PASS, FAIL, TOO_FEW = "pass", "fail", "insufficient defaults"
UNDECIDED = "undecided"
"""The verdict on a criterion that too few bads leave open."""
EQUIVALENCE, LEVEL = 0.90, 0.95
"""Of the interval of observed over expected bads (a one-sided test at 5% on either side), and of the others."""
RATIOS, INTERCEPTS, SLOPES = (0.9, 1.1), (-0.1, 0.1), (0.9, 1.1)
CHANCE = 1.0
"""Bads are enough when even a right model whose ratio is off by this many standard errors is shown to be right.
At 0 they would be enough as soon as a ratio of exactly 1 is, and a right model would then nearly always fail."""


@dataclass(frozen=True)
class Criterion:
    """One line of the gate: a figure with its interval, what is asked of it, and the verdict. None is unknown."""

    name: str
    value: float | None
    low: float | None
    high: float | None
    level: float
    rule: str
    verdict: str

    def __str__(self) -> str:
        low, high = ("?" if x is None else f"{x:.3f}" for x in (self.low, self.high))
        return f"{self.name} {'?' if self.value is None else f'{self.value:.3f}'} ({low} to {high})"


@dataclass(frozen=True)
class Gate:
    """What the gate says of PDs with this mean on rows with this bad rate: `status` pass, fail or insufficient
    defaults, the criteria behind it, and the reasons in words."""

    status: str
    rows: int
    bads: int
    mean_pd: float
    bad_rate: float
    criteria: tuple[Criterion, ...]
    reasons: tuple[str, ...]

    @property
    def passed(self) -> bool:
        return self.status == PASS

    @property
    def failed(self) -> bool:
        """Whether it bars the model. Too few defaults do not."""
        return self.status == FAIL

    def __str__(self) -> str:
        return f"{self.status}: {'; '.join(self.reasons)}"

    def table(self) -> pd.DataFrame:
        """One row a criterion: criterion, value, low and high of its interval, rule, verdict."""
        columns = ["criterion", "value", "low", "high", "rule", "verdict"]
        rows = [(c.name, c.value, c.low, c.high, c.rule, c.verdict) for c in self.criteria]
        return pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(columns[1:4], float))

    def to_dict(self) -> dict:
        """Plain data, without NaN."""
        return {"passed": self.passed, **asdict(self)}

    @classmethod
    def from_dict(cls, data: dict) -> Gate:
        kept = {key: value for key, value in data.items() if key != "passed"}
        criteria = tuple(Criterion(**one) for one in data["criteria"])
        return cls(**kept | {"criteria": criteria, "reasons": tuple(data["reasons"])})


def release_gate(bad: np.ndarray, pd: np.ndarray, made: str = "") -> Gate:
    """Judge point-in-time PDs (n,) by outcomes 0/1 (n,) of the holdout, never of rows that models were calibrated on.

    `made` says how the PDs came about where that explains a failure; the reasons repeat it.
    """
    bad, pd = np.asarray(bad, dtype=np.float64), np.asarray(pd, dtype=np.float64)
    fit = calibration_fit(bad, pd, LEVEL)
    ratio, error = observed_to_expected(bad, pd, EQUIVALENCE)
    needed, one_class = _bads_needed(fit.bads, error), fit.bads in (0, len(bad))
    few = one_class or (fit.bads < needed and not _is_inside(ratio, RATIOS))
    same = fit.no_slope == EQUAL_PDS
    criteria = (
        _criterion("observed/expected", ratio, RATIOS, few, by_interval=True),
        _criterion("intercept", fit.intercept, INTERCEPTS, few),
        _criterion("slope", fit.slope, SLOPES, few and not same),
    )
    mean, rate = (float(x.mean()) if len(x) else 0.0 for x in (pd, bad))
    reasons = [_why(one, mean, rate, fit.no_slope) for one in criteria if one.verdict == FAIL]
    status = FAIL if reasons else TOO_FEW if few else PASS
    if reasons and made:
        reasons.append(made)
    if few and not same:  # more bads would not tell equal PDs apart
        some = f"{fit.bads:,} bads and no goods" if one_class and fit.bads else f"{fit.bads:,} bads"
        reasons.append(
            f"too few defaults to conclude: {some}, and about {float(f'{needed:.1e}'):,.0f} are needed for "
            "a right model to show that it is; until then only an interval wholly outside its bounds counts"
        )
    return Gate(status, len(bad), fit.bads, mean, rate, criteria, tuple(reasons or [", ".join(map(str, criteria))]))


def _bads_needed(bads: int, error: float) -> int:
    """How many bads let a right model show that it is right, if the error shrinks with the root of their number."""
    one = error * sqrt(bads) if error == error else 1.0
    return ceil((one * (z_of(EQUIVALENCE) + CHANCE) / min(log(RATIOS[1]), -log(RATIOS[0]))) ** 2)


def _is_inside(found: Interval, bounds: tuple[float, float]) -> bool:
    return bounds[0] <= found.low and found.high <= bounds[1]  # never so where one is NaN


def _criterion(
    name: str, found: Interval, bounds: tuple[float, float], few: bool, by_interval: bool = False
) -> Criterion:
    """The verdict on one figure, by its value or its interval; where bads are few, by an interval outside of bounds.

    A figure that is not known passes neither way.
    """
    low, high = bounds
    level = EQUIVALENCE if by_interval else LEVEL
    interval, span = f"{level:.0%} interval", f"{low:g} to {high:g}"
    if few:
        rule = f"{interval} {REACHING} {span}"
        verdict = FAIL if found.low > high or found.high < low else UNDECIDED
    elif by_interval:
        rule = f"{interval} within {span}"
        verdict = PASS if _is_inside(found, bounds) else FAIL
    else:
        rule = f"value within {span}"
        verdict = PASS if low <= found.value <= high else FAIL
    figures = (float(x) if np.isfinite(x) else None for x in (found.value, found.low, found.high))
    return Criterion(name, *figures, level, rule, verdict)


REACHING = "not wholly outside"


def _why(one: Criterion, mean_pd: float, bad_rate: float, no_slope: str) -> str:
    """Why a criterion fails, in words."""
    wrong = f"mean PD {mean_pd:.1%} against a bad rate of {bad_rate:.1%}"
    if one.value is None:
        return f"{one.name} cannot be estimated: {no_slope if one.name == 'slope' else wrong}"
    if one.name == "slope":
        wrong = "high PDs are too high and low ones too low" if one.value < 1 else "PDs differ too little"
    elif one.name == "intercept":
        wrong = f"PDs are too {'low' if one.value > 0 else 'high'}"
    if REACHING in one.rule:
        return f"{one} has its {one.rule.replace(REACHING, 'wholly outside')}: {wrong}"
    if one.rule.startswith("value"):
        return f"{one}, judged by its value, is not {one.rule.removeprefix('value ')}: {wrong}"
    return f"{one} has no {one.rule}: {wrong}"
