"""What scoring gives: results by row."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

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
        return {name: values[row] for name, values in self._plain_features.items()}

    def result_of(self, row: int) -> dict:
        """PD, score, rating, grade, points and reasons of one row as plain values, by their names in the log."""
        return {name: values[row] for name, values in self._plain_results.items()}

    @cached_property
    def _plain_features(self) -> dict[str, list]:
        return {name: _plain(values) for name, values in self.features.items()}

    @cached_property
    def _plain_results(self) -> dict[str, list]:
        nothing = [None] * len(self)
        return {
            "pd": self.pd.tolist(),
            "score": self.score.tolist(),
            "rating": self.rating.tolist(),
            "grade": nothing if self.grade is None else self.grade.tolist(),
            "points": nothing if self.points is None else self.points.tolist(),
            "reasons": self.reasons,
        }


def _plain(values: np.ndarray) -> list:
    """Values as Python has them, None for missing ones."""
    return [None if value != value else value for value in values.tolist()]
