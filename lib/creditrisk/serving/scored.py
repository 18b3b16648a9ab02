"""What scoring gives: results by row."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Scored:
    """Results by row (n,): PD, score, rating, grade, points, reasons; and the model's own features before encoding.

    `grade` is None where the portfolio has no master scale, `points` for a model that is no scorecard.
    """

    pd: np.ndarray
    score: np.ndarray
    rating: np.ndarray
    grade: np.ndarray | None
    points: np.ndarray | None
    reasons: list[list[dict]]
    features: dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.pd)

    def features_of(self, row: int) -> dict:
        """The features of one row as plain values, missing as None."""
        return {name: _value(values[row]) for name, values in self.features.items()}


def _value(value):
    if value is None or value != value:
        return None
    return float(value) if isinstance(value, np.floating) else value
