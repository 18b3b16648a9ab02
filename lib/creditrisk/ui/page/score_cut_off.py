"""Another cut-off, tried out: what it would approve of the rows that the model knows. Nothing is decided by it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from traitlets import Float, HasTraits, Unicode

from creditrisk.serving.model import ModelData
from creditrisk.ui.form import parse_number

LEAST_ROWS = 100
"""A baseline of fewer rows says nothing about shares."""
PD = "default_probability"


@dataclass(frozen=True)
class Expected:
    """Of a cut-off: the share approved, and the mean PD of those, None where nobody is."""

    approval: float
    bad_rate: float | None


@dataclass(frozen=True)
class Strategy:
    """How PDs are spread over the rows that a model's baseline was made of; PDs are even between two bounds.

    `bounds` rise from 0 to 1, `below` is the share of rows below each, `mass` the sum of their PDs as a share.
    """

    bounds: np.ndarray
    below: np.ndarray
    mass: np.ndarray
    rows: int
    reference: str

    @classmethod
    def of(cls, baseline: Mapping) -> Strategy | None:
        """From the baseline in a model file; None where it holds no PDs, or too few."""
        stored = next((one for one in baseline.get("scores", ()) if one["name"] == PD), None)
        if stored is None or sum(stored["counts"]) < LEAST_ROWS:
            return None
        counts = np.array(stored["counts"], dtype=np.float64)
        bounds = np.clip(np.array([0.0, *stored["edges"], 1.0]), 0.0, 1.0)
        share = counts / counts.sum()
        mass = share * (bounds[:-1] + bounds[1:]) / 2
        return cls(
            bounds,
            np.concatenate([[0.0], np.cumsum(share)]),
            np.concatenate([[0.0], np.cumsum(mass)]),
            int(counts.sum()),
            baseline.get("reference", "rows of the baseline"),
        )

    def at(self, cut_off: float) -> Expected:
        """What a cut-off PD is expected to do: all below it are approved."""
        i = int(np.clip(np.searchsorted(self.bounds, cut_off, side="right") - 1, 0, len(self.bounds) - 2))
        low, high = self.bounds[i], self.bounds[i + 1]
        part = min((cut_off - low) / (high - low), 1.0) if high > low else 1.0
        some = part * (self.below[i + 1] - self.below[i])
        approved = float(self.below[i] + some)
        mass = float(self.mass[i] + some * (low + min(cut_off, high)) / 2)
        return Expected(approved, mass / approved if approved > 0 else None)

    def cut_off_for(self, approval: float) -> float:
        """The cut-off PD that approves a share of the rows."""
        return float(np.interp(approval, self.below, self.bounds))


class CutOffState(HasTraits):
    """The cut-off that is tried out, a PD; `error` says what is wrong with the text that was entered for it."""

    cut_off = Float(0.0)
    error = Unicode()

    def __init__(self, data: ModelData, in_force: float | None) -> None:
        super().__init__()
        self.strategy = Strategy.of(data.baseline)
        self.first = data.threshold if in_force is None else in_force
        self.cut_off = self.first

    @property
    def text(self) -> str:
        """The cut-off as it is entered: percent."""
        return f"{100 * self.cut_off:.4g}"

    def says(self, text: str) -> bool:
        """Whether a text means the cut-off that there is."""
        try:
            return math.isclose(parse_number(text) / 100, self.cut_off, rel_tol=1e-3)
        except ValueError:
            return False

    @property
    def approval(self) -> float | None:
        """The share that it approves; None where the model does not say."""
        return None if self.strategy is None else self.strategy.at(self.cut_off).approval

    def enter(self, text: str) -> None:
        """Take a PD in percent."""
        try:
            percent = parse_number(text)
            if not 0 < percent < 100:
                raise ValueError(f"{text.strip()} is not accepted; enter a PD above 0 and below 100 %")
        except ValueError as problem:
            self.error = str(problem) if text.strip() else "needed; enter a PD above 0 and below 100 %"
            return
        self.error = ""
        self.cut_off = percent / 100

    def approve(self, share: float) -> None:
        """Take the cut-off that approves so many."""
        if self.strategy is not None:
            self.error = ""
            self.cut_off = float(f"{min(max(self.strategy.cut_off_for(share), 1e-6), 1 - 1e-6):.3g}")

    def reset(self) -> None:
        """Back to the policy's."""
        self.error = ""
        self.cut_off = self.first
