"""From a model's margin to a PD: a map fitted on rows the model has not seen, kept as plain data."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit

from creditrisk.modelling.metrics import fit_line


@dataclass(frozen=True)
class Calibration:
    """logit PD = intercept + slope * margin. `method` says how it was found, `rows` and `bads` on what."""

    method: str
    intercept: float
    slope: float
    rows: int = 0
    bads: int = 0

    def pd(self, margin: np.ndarray) -> np.ndarray:
        """PD of each margin, float64 (n,)."""
        return expit(self.intercept + self.slope * np.asarray(margin, dtype=np.float64))

    def to_dict(self) -> dict:
        return asdict(self)


NONE = Calibration("none", 0.0, 1.0)
PLATT_BADS = 50
"""Fewer bads than this cannot carry a slope; only the level is corrected."""


def fit_calibration(bad: np.ndarray, margin: np.ndarray) -> Calibration:
    """Platt's line on the logit when the fold has enough bads and goods for a slope, else a shift of the level.

    A fold whose margins separate bads from goods has no likeliest slope; it gets the shift, too.
    """
    bad, margin = np.asarray(bad, dtype=np.float64), np.asarray(margin, dtype=np.float64)
    bads = int(bad.sum())
    counts = {"rows": len(bad), "bads": bads}
    overlap = 0 < bads < len(bad) and margin[bad == 1].min() < margin[bad == 0].max()
    if overlap and min(bads, len(bad) - bads) >= PLATT_BADS:
        intercept, slope = fit_line(bad, margin)
        if slope > 0:
            return Calibration("platt", intercept, slope, **counts)
    if not 0 < bads < len(bad):
        return Calibration("none", 0.0, 1.0, **counts)
    low, high = -60.0 - margin.max(), 60.0 - margin.min()
    shift = brentq(lambda a: expit(a + margin).mean() - bad.mean(), low, high)
    return Calibration("shift", float(shift), 1.0, **counts)
