"""From columns to a model's matrix: WOE for the scorecard, numbers and 0/1 levels for trees. Fitted state is data."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from creditrisk.binning.bins import Bins
from creditrisk.binning.fit import BinningWarning, fit_bins
from creditrisk.binning.overrides import NONE, Override, Overrides
from creditrisk.binning.search import Limits
from creditrisk.data.portfolio import Portfolio

Columns = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class WoeDesign:
    """One WOE column for each variable."""

    bins: tuple[Bins, ...]

    @property
    def inputs(self) -> tuple[str, ...]:
        """The variable behind each column of the matrix."""
        return tuple(b.name for b in self.bins)

    def matrix(self, columns: Columns) -> np.ndarray:
        """WOE, float64 (n, variables)."""
        return np.column_stack([b.transform(columns[b.name]) for b in self.bins])

    def keep(self, names) -> WoeDesign:
        return WoeDesign(tuple(b for b in self.bins if b.name in set(names)))

    def to_dict(self) -> dict:
        return {"kind": "woe", "bins": [b.to_dict() for b in self.bins]}


@dataclass(frozen=True)
class TreeDesign:
    """Numbers as they are (NaN is missing), and a 0/1 column for each level seen in training.

    `medians` replace missing numbers when the model was trained on imputed rows; None leaves them missing.
    `monotone` holds the direction of risk by matrix column: 1 increasing, -1 decreasing, 0 any.
    """

    numbers: tuple[str, ...]
    levels: tuple[tuple[str, str], ...]
    monotone: tuple[int, ...]
    medians: tuple[float, ...] | None = None

    @property
    def inputs(self) -> tuple[str, ...]:
        return self.numbers + tuple(name for name, _ in self.levels)

    def matrix(self, columns: Columns) -> np.ndarray:
        """float64 (n, columns of the matrix)."""
        parts = [columns[name] for name in self.numbers]
        if self.medians is not None:
            parts = [np.where(np.isnan(v), m, v) for v, m in zip(parts, self.medians, strict=True)]
        parts += [(columns[name] == level).astype(np.float64) for name, level in self.levels]
        return np.column_stack(parts)

    def to_dict(self) -> dict:
        return {
            "kind": "tree",
            "numbers": list(self.numbers),
            "levels": [list(pair) for pair in self.levels],
            "monotone": list(self.monotone),
            "medians": None if self.medians is None else list(self.medians),
        }


Design = WoeDesign | TreeDesign


def design_from_dict(data: dict) -> Design:
    if data["kind"] == "woe":
        return WoeDesign(tuple(Bins.from_dict(b) for b in data["bins"]))
    medians = data["medians"]
    return TreeDesign(
        tuple(data["numbers"]), tuple((n, level) for n, level in data["levels"]), tuple(data["monotone"]),
        None if medians is None else tuple(medians),
    )  # fmt: skip


def fit_woe_design(
    columns: Columns, bad: np.ndarray, names, book: Portfolio, limits: Limits, overrides: Overrides = NONE
) -> WoeDesign:
    """Bins of each named variable: as it is overridden, else as the portfolio says."""
    return WoeDesign(
        tuple(fit_column(columns[name], bad, book, name, limits, overrides.get(name)) for name in names)
    )  # fmt: skip


def fit_column(
    values: np.ndarray, bad: np.ndarray, book: Portfolio, name: str, limits: Limits, override: Override | None = None
) -> Bins:
    """Bins of one column of the book, as the portfolio says: direction of risk, special codes, binning options.

    Cuts or groups of an override take the place of the search; its policy for missing values, that of the portfolio's.
    """
    own = book.columns[name].binning_options
    fixed = {option: own.pop(option) for option in ("trend", "special", "missing") if option in own}
    if override and override.missing is not None:
        fixed["missing"] = override.missing
    if override and override.bins is not None:
        return override.fitted(values, bad, limits=replace(limits, **own), **fixed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BinningWarning)  # a variable that cannot be cut leaves by its IV
        return fit_bins(name, values, bad, limits=replace(limits, **own), **fixed)


def fit_tree_design(columns: Columns, names, book: Portfolio, *, impute: bool = False) -> TreeDesign:
    """Matrix layout for trees over the named variables, with the portfolio's directions of risk."""
    numbers = [name for name in names if book.columns[name].is_numeric]
    levels = [
        (name, level)
        for name in names
        if not book.columns[name].is_numeric
        for level in book.columns[name].levels
        if (columns[name] == level).any()
    ]
    direction = {"increasing": 1, "decreasing": -1, "any": 0}
    monotone = [direction[book.columns[name].risk] for name in numbers] + [0] * len(levels)
    medians = None
    if impute:
        medians = tuple(float(np.nanmedian(columns[n])) if np.isfinite(columns[n]).any() else 0.0 for n in numbers)
    return TreeDesign(tuple(numbers), tuple(levels), tuple(monotone), medians)
