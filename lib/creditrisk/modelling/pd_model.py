"""A fitted PD model: design, model, calibration. All of it plain data, executed the same for one row and a million."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from creditrisk.modelling.calibration import NONE, Calibration
from creditrisk.modelling.design import Columns, Design, design_from_dict


@dataclass(frozen=True)
class Logistic:
    """margin = intercept + sum of coefficient * column, in log-odds of bad."""

    coefficients: tuple[float, ...]
    intercept: float

    def margin(self, matrix: np.ndarray) -> np.ndarray:
        """Log-odds of bad, float64 (n,), added column by column so that a row's result does not depend on others."""
        margin = np.full(len(matrix), self.intercept)
        for j, coefficient in enumerate(self.coefficients):
            margin = margin + coefficient * matrix[:, j]
        return margin

    def contributions(self, matrix: np.ndarray) -> np.ndarray:
        """What each matrix column adds to the margin, float64 (n, columns)."""
        return matrix * np.array(self.coefficients)

    def to_dict(self) -> dict:
        return {"kind": "logistic", "coefficients": list(self.coefficients), "intercept": self.intercept}


@dataclass(frozen=True)
class Trees:
    """An XGBoost model as the bytes of its own UBJSON format."""

    booster: bytes

    @cached_property
    def _booster(self):
        import xgboost  # needed by tree models only

        booster = xgboost.Booster()
        booster.load_model(bytearray(self.booster))
        return booster

    def margin(self, matrix: np.ndarray, rounds: int = 0) -> np.ndarray:
        """Log-odds of bad, float64 (n,), of the first `rounds` trees or, with 0, of all."""
        if not len(matrix):  # XGBoost refuses a matrix without rows
            return np.empty(0)
        margin = self._booster.inplace_predict(as_float32(matrix), iteration_range=(0, rounds), predict_type="margin")
        return np.asarray(margin, dtype=np.float64)

    def contributions(self, matrix: np.ndarray) -> np.ndarray:
        """Exact tree contributions (TreeSHAP) of each matrix column to the margin, float64 (n, columns)."""
        import xgboost

        if not len(matrix):
            return np.empty(matrix.shape)
        data = xgboost.DMatrix(as_float32(matrix))
        return self._booster.predict(data, pred_contribs=True)[:, :-1].astype(np.float64)

    def interactions(self, matrix: np.ndarray) -> np.ndarray:
        """TreeSHAP interactions of each pair of matrix columns in the margin, float64 (n, columns, columns)."""
        import xgboost

        data = xgboost.DMatrix(as_float32(matrix))
        return self._booster.predict(data, pred_interactions=True)[:, :-1, :-1].astype(np.float64)

    def to_dict(self) -> dict:
        return {"kind": "xgboost", "booster": self.booster}


def as_float32(matrix: np.ndarray) -> np.ndarray:
    """What XGBoost computes with. A number too large for it is the largest it takes: it refuses infinity."""
    largest = float(np.finfo(np.float32).max)
    return np.clip(matrix, -largest, largest).astype(np.float32)


@dataclass(frozen=True)
class LeftOut:
    """What is done to the margin of a row that leaves optional inputs out: intercept + slope * margin.

    Without an input a model knows less than its margin says, as far as the trees themselves do not draw it in. A row
    that lacks some of the `names` is moved by that share of the way.
    """

    names: tuple[str, ...]
    intercept: float
    slope: float

    def share(self, columns: Columns) -> np.ndarray:
        """The share of these inputs that each row lacks, float64 (n,)."""
        return np.mean([lacks(columns[name]) for name in self.names], axis=0)

    def slopes(self, columns: Columns) -> np.ndarray:
        """By what the margin of each row is multiplied, float64 (n,)."""
        return 1 + self.share(columns) * (self.slope - 1)

    def margin(self, margin: np.ndarray, columns: Columns) -> np.ndarray:
        """Margins (n,), moved where inputs are left out."""
        return self.slopes(columns) * margin + self.share(columns) * self.intercept

    def to_dict(self) -> dict:
        return {"names": list(self.names), "intercept": self.intercept, "slope": self.slope}

    @classmethod
    def from_dict(cls, data: dict) -> LeftOut:
        return cls(tuple(data["names"]), data["intercept"], data["slope"])


def lacks(values: np.ndarray) -> np.ndarray:
    """Which values are missing: NaN in numbers, None in text; bool (n,)."""
    values = np.asarray(values)
    return np.isnan(values) if values.dtype != object else np.equal(values, None)


@dataclass(frozen=True)
class PDModel:
    """Columns in, PD out."""

    design: Design
    model: Logistic | Trees
    calibration: Calibration = NONE
    left_out: LeftOut | None = None

    @property
    def features(self) -> tuple[str, ...]:
        """The columns the model reads, before encoding."""
        return tuple(dict.fromkeys(self.design.inputs))

    def margin(self, columns: Columns) -> np.ndarray:
        """Uncalibrated log-odds of bad, float64 (n,)."""
        margin = self.model.margin(self.design.matrix(columns))
        return margin if self.left_out is None else self.left_out.margin(margin, columns)

    def pd(self, columns: Columns) -> np.ndarray:
        """Calibrated probability of default, float64 (n,)."""
        return self.calibration.pd(self.margin(columns))

    def contributions(self, columns: Columns) -> np.ndarray:
        """What each feature adds to the calibrated log-odds of bad, float64 (n, features).

        Exact for a shift and Platt's line. An isotonic map has no parts by feature: there they are those of the line
        that it competed with, so that they add up to the margin and keep its order. The constant beside them is one for
        all rows that give their optional inputs, and another for those that do not.
        """
        parts = self.calibration.slope * self.model.contributions(self.design.matrix(columns))
        if self.left_out is not None:
            parts = parts * self.left_out.slopes(columns)[:, None]
        position = {name: i for i, name in enumerate(self.features)}
        out = np.zeros((len(parts), len(position)))
        for j, name in enumerate(self.design.inputs):
            out[:, position[name]] += parts[:, j]
        return out

    def calibrated(self, calibration: Calibration) -> PDModel:
        return replace(self, calibration=calibration)

    @property
    def point_in_time(self) -> PDModel:
        """The model without the shift to a long-run bad rate: the PDs that outcomes can judge."""
        return self.calibrated(self.calibration.point_in_time)

    def to_dict(self) -> dict:
        """Plain data; the trees are bytes."""
        return {
            "design": self.design.to_dict(),
            "model": self.model.to_dict(),
            "calibration": self.calibration.to_dict(),
            "left_out": self.left_out and self.left_out.to_dict(),
        }

    @classmethod
    def from_dict(cls, data: dict) -> PDModel:
        model = data["model"]
        fitted = (
            Trees(bytes(model["booster"]))
            if model["kind"] == "xgboost"
            else Logistic(tuple(model["coefficients"]), model["intercept"])
        )
        left_out = LeftOut.from_dict(found) if (found := data.get("left_out")) else None
        return cls(design_from_dict(data["design"]), fitted, Calibration.from_dict(data["calibration"]), left_out)
