"""The release gate: whether a model's PDs are right enough to be used, judged on rows that nothing was learned from.

Three criteria, each with an interval: observed over expected bads, the intercept (calibration in the large) and the
slope of calibration. The first is a test of equivalence: two one-sided tests at 5% must both say that the ratio is
within its bounds, which they do when its 90% interval is. So the model has to show that it is right; where the bads
are too few to show anything, only a clear failure counts, and the status says so.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import ceil, log, sqrt

import numpy as np
import pandas as pd

from creditrisk.modelling.inference import Interval, calibration_fit, observed_to_expected, z_of

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
    """Judge point-in-time PDs (n,) by outcomes 0/1 (n,) of the holdout, never of the calibration rows.

    `made` says how the PDs came about where that explains a failure; the reasons repeat it.
    """
    bad, pd = np.asarray(bad, dtype=np.float64), np.asarray(pd, dtype=np.float64)
    fit = calibration_fit(bad, pd, LEVEL)
    ratio, error = observed_to_expected(bad, pd, EQUIVALENCE)
    needed = _bads_needed(fit.bads, error)
    few = fit.bads < needed and not _is_inside(ratio, RATIOS)
    criteria = (
        _criterion("observed/expected", ratio, RATIOS, few, by_interval=True),
        _criterion("intercept", fit.intercept, INTERCEPTS, few),
        _criterion("slope", fit.slope, SLOPES, few),
    )
    mean, rate = (float(x.mean()) if len(x) else 0.0 for x in (pd, bad))
    reasons = [_why(one, mean, rate) for one in criteria if one.verdict == FAIL]
    status = FAIL if reasons else TOO_FEW if few else PASS
    if reasons and made:
        reasons.append(made)
    if few:
        reasons.append(
            f"too few defaults to conclude: {fit.bads:,} bads, and about {float(f'{needed:.1e}'):,.0f} are needed for "
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
    """The verdict on one figure, by its value or its interval; where bads are few, by an interval outside of bounds."""
    low, high = bounds
    if few:
        verdict = FAIL if found.low > high or found.high < low else UNDECIDED
    elif by_interval:
        verdict = PASS if _is_inside(found, bounds) else FAIL
    else:
        verdict = PASS if low <= found.value <= high else FAIL
    level = EQUIVALENCE if by_interval else LEVEL
    rule = f"{f'{level:.0%} interval ' if by_interval else ''}within {low:g} to {high:g}"
    figures = (float(x) if np.isfinite(x) else None for x in (found.value, found.low, found.high))
    return Criterion(name, *figures, level, rule, verdict)


def _why(one: Criterion, mean_pd: float, bad_rate: float) -> str:
    """Why a criterion fails, in words."""
    if one.name == "slope":
        wrong = "high PDs are too high and low ones too low" if one.value < 1 else "PDs differ too little"
    elif one.name == "intercept":
        wrong = f"PDs are too {'low' if one.value > 0 else 'high'}"
    else:
        wrong = f"mean PD {mean_pd:.1%} against a bad rate of {bad_rate:.1%}"
        return f"{one} has no {one.rule}: {wrong}"
    return f"{one} is not {one.rule}: {wrong}"
