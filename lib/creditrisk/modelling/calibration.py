"""From a model's margin to a PD: a map fitted on rows the model has not seen, kept as plain data.

Which map is a matter of rule, and its words stay with it: a shift corrects the level, Platt's line level and spread,
isotonic any rising shape. Each needs more bads than the one before.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import cached_property

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit, logit

from creditrisk.modelling.metrics import error_of_gain, fit_line, log_loss

POINT_IN_TIME, THROUGH_THE_CYCLE = "point-in-time", "through-the-cycle"
PLATT_BADS = 50
"""Fewer bads, or goods, than this cannot carry a slope; only the level is corrected."""
ISOTONIC_ROWS, ISOTONIC_BADS = 1_000, 200
"""Fewer rows, or fewer bads or goods, than this cannot carry a shape."""
BLOCK = 20
"""Bads and goods that each block of an isotonic map holds at least: no PD rests on a few rows, none is 0 or 1."""
FOLDS = 10
"""Folds of the rows on which isotonic and Platt compete."""
FARTHEST = float(logit(1 - 1e-9))
"""The PDs of an isotonic map stay within these log-odds, either way."""


@dataclass(frozen=True)
class Calibration:
    """logit PD = intercept + slope * margin; with `knots`, intercept + the line from knot to knot.

    `method` is none, shift, platt or isotonic, and `why` says why; `rows` and `bads` are what it was fitted on.
    `knots` are (margin, log-odds of bad), both rising; outside of them the line goes on with `slope`. Where a long-run
    bad rate was aimed at, `intercept` includes the `offset` that took the mean PD of these rows from `mean_pd` to
    `long_run`. What an older model file lacks is as by default.
    """

    method: str
    intercept: float
    slope: float
    rows: int = 0
    bads: int = 0
    why: str = ""
    knots: tuple[tuple[float, float], ...] = ()
    offset: float = 0.0
    mean_pd: float | None = None
    long_run: float | None = None

    @property
    def pd_kind(self) -> str:
        """Whether PDs are those of the years they were calibrated on, or of the long run."""
        return POINT_IN_TIME if self.long_run is None else THROUGH_THE_CYCLE

    @property
    def about_pds(self) -> str:
        """What PDs are, in words, with the shift that made them so."""
        if self.long_run is None:
            return self.pd_kind
        means = f"mean out-of-fold PD of the training rows {self.mean_pd:.2%} before, {self.long_run:.2%} after"
        return f"{self.pd_kind}: log-odds shifted by {self.offset:+.4f}, {means}"

    @cached_property
    def _segments(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Margins and log-odds of the knots, and slopes: before the first, between neighbours, after the last."""
        margins, odds = np.array(self.knots, dtype=np.float64).T
        return margins, odds, np.concatenate([[self.slope], np.diff(odds) / np.diff(margins), [self.slope]])

    def log_odds(self, margin: np.ndarray) -> np.ndarray:
        """Calibrated log-odds of bad, float64 (n,). What a row gets does not depend on the others."""
        margin = np.asarray(margin, dtype=np.float64)
        if not self.knots:
            return self.intercept + self.slope * margin
        margins, odds, slopes = self._segments
        passed = np.searchsorted(margins, margin, side="right")
        knot = np.maximum(passed - 1, 0)
        shape = odds[knot] + slopes[passed] * (margin - margins[knot])
        return np.clip(self.intercept + shape, -FARTHEST, FARTHEST)

    def pd(self, margin: np.ndarray) -> np.ndarray:
        """PD of each margin, float64 (n,)."""
        return expit(self.log_odds(margin))

    @property
    def point_in_time(self) -> Calibration:
        """The map without the shift to a long-run bad rate."""
        if self.long_run is None:
            return self
        return replace(self, intercept=self.intercept - self.offset, offset=0.0, mean_pd=None, long_run=None)

    def aimed_at(self, long_run: float, margin: np.ndarray) -> Calibration:
        """The map, shifted in log-odds so that the mean PD of these margins is the long-run bad rate (0 < rate < 1)."""
        odds = self.log_odds(margin)
        offset, mean = shift_to(long_run, odds), float(expit(odds).mean())
        return replace(self, intercept=self.intercept + offset, offset=offset, mean_pd=mean, long_run=long_run)

    def to_dict(self) -> dict:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict) -> Calibration:
        """From plain data; knots may be lists, as JSON has them."""
        return cls(**data | {"knots": tuple((float(x), float(y)) for x, y in data.get("knots", ()))})


NONE = Calibration("none", 0.0, 1.0)


def fit_calibration(bad: np.ndarray, margin: np.ndarray, *, isotonic: bool = False, seed: int = 0) -> Calibration:
    """The map that these rows can carry, chosen by rule; `why` says it in words.

    Isotonic only where it is allowed (never for a scorecard, whose points must add up), rows and bads are enough, and
    its log-loss on held-out folds is below Platt's by more than one standard error. Platt's line only with PLATT_BADS
    bads and goods, which overlap, and a positive slope. Else a shift of the level.
    """
    bad, margin = np.asarray(bad, dtype=np.float64), np.asarray(margin, dtype=np.float64)
    bads = int(bad.sum())
    rarer = min(bads, len(bad) - bads)

    def made(method: str, intercept: float, slope: float, why: str, **more) -> Calibration:
        return Calibration(method, float(intercept), float(slope), len(bad), bads, why, **more)

    if not rarer:
        return made("none", 0.0, 1.0, f"left as it is: the {len(bad):,} rows are all good or all bad")
    intercept, slope, why = 0.0, 0.0, ""
    if rarer < PLATT_BADS:
        why = f"{rarer} bads or goods, and a slope needs {PLATT_BADS}"
    elif not margin[bad == 1].min() < margin[bad == 0].max():
        why = "bads and goods do not overlap, so any slope would do"
    else:
        intercept, slope = fit_line(bad, margin)
    if slope <= 0:
        return made("shift", shift_to(bad.mean(), margin), 1.0, f"level only: {why or 'no positive slope fits'}")
    better, why = False, "a line keeps points additive, so isotonic is not for a scorecard"
    if isotonic:
        better, why = _compete(bad, margin, seed)
    if better:
        knots, intercept = _isotonic(bad, margin, (intercept, slope))
        return made("isotonic", intercept, slope, why, knots=knots)
    return made("platt", intercept, slope, f"{bads:,} bads and slope {slope:.3f}; {why}")


def line_between(bad: np.ndarray, margin: np.ndarray, other: np.ndarray) -> tuple[float, float] | None:
    """Intercept and slope that take margins (n,) to the scale of `other` margins (n,) of the same rows: after both,
    one Platt's line gives the PDs of either. None where the rows do not carry a line.
    """
    bad = np.asarray(bad, dtype=np.float64)
    both = [fit_calibration(bad, one) for one in (margin, other)]
    if any(one.method != "platt" for one in both):
        return None
    mine, theirs = both
    return (mine.intercept - theirs.intercept) / theirs.slope, mine.slope / theirs.slope


def _compete(bad: np.ndarray, margin: np.ndarray, seed: int) -> tuple[bool, str]:
    """Whether isotonic takes the place of Platt's line, and why, in words."""
    rarer = int(min(bad.sum(), len(bad) - bad.sum()))
    if len(bad) < ISOTONIC_ROWS or rarer < ISOTONIC_BADS:
        needs = f"{ISOTONIC_ROWS:,} rows with {ISOTONIC_BADS} bads and goods"
        return False, f"isotonic needs {needs}, these are {len(bad):,} with {rarer}"
    gains = _gains_of_isotonic(bad, margin, seed)
    gain, error = float(gains.mean()), error_of_gain(gains, FOLDS)
    if gain <= 0:
        return False, f"on {FOLDS} held-out folds isotonic raises Platt's log-loss by {-gain:.5f}"
    compared = f"on {FOLDS} held-out folds isotonic lowers Platt's log-loss by {gain:.5f}"
    return gain > error, f"{compared}, {'more' if gain > error else 'no more'} than one standard error ({error:.5f})"


def shift_to(rate: float, log_odds: np.ndarray) -> float:
    """What must be added to log-odds (n,) for their mean PD to be `rate`."""
    low, high = -60.0 - log_odds.max(), 60.0 - log_odds.min()
    return float(brentq(lambda a: expit(a + log_odds).mean() - rate, low, high))


def _isotonic(
    bad: np.ndarray, margin: np.ndarray, line: tuple[float, float]
) -> tuple[tuple[tuple[float, float], ...], float]:
    """Knots at the centres of isotonic blocks, and the intercept that keeps the level.

    Blocks of pooled neighbours have rising bad rates. They are joined until each holds BLOCK bads and goods, and lines
    from centre to centre replace the steps, whose ties would cost order. The centre of a block is the margin with its
    mean PD by Platt's `line`: a mean of margins would lie lower, the more so the wider the block.
    """
    from sklearn.isotonic import IsotonicRegression

    _, block = np.unique(IsotonicRegression().fit_transform(margin, bad), return_inverse=True)
    expected = expit(line[0] + line[1] * margin)
    joined: list[np.ndarray] = []
    for one in np.column_stack([np.bincount(block), np.bincount(block, bad), np.bincount(block, expected)]):
        if joined and (_is_small(joined[-1]) or one[1] / one[0] <= joined[-1][1] / joined[-1][0]):
            joined[-1] = joined[-1] + one
        else:
            joined.append(one)
    if len(joined) > 1 and _is_small(joined[-1]):
        joined[-2:] = [joined[-2] + joined[-1]]
    knots = tuple((float((logit(pds / n) - line[0]) / line[1]), float(logit(bads / n))) for n, bads, pds in joined)
    return knots, shift_to(bad.mean(), Calibration("isotonic", 0.0, line[1], knots=knots).log_odds(margin))


def _is_small(block: np.ndarray) -> bool:
    rows, bads, _ = block
    return min(bads, rows - bads) < BLOCK


def _gains_of_isotonic(bad: np.ndarray, margin: np.ndarray, seed: int) -> np.ndarray:
    """How much lower than Platt's the log-loss of isotonic is on each held-out fold, float64 (FOLDS,)."""
    from sklearn.model_selection import StratifiedKFold

    gains = []
    for rest, held_out in StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(margin, bad):
        line = fit_line(bad[rest], margin[rest])
        knots, intercept = _isotonic(bad[rest], margin[rest], line)
        platt, isotonic = Calibration("platt", *line), Calibration("isotonic", intercept, line[1], knots=knots)
        losses = [log_loss(bad[held_out], one.pd(margin[held_out])) for one in (platt, isotonic)]
        gains.append(losses[0] - losses[1])
    return np.array(gains)
