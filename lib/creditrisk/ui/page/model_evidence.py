"""A model held against the rows of its own training run, which are made again as its file says.

A model file holds no row of its book. Calibration curve, outcomes by grade, standard errors and mean contributions
need the rows; they are the same again, and shown to be, or nothing is told.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from creditrisk.data.source import load_tables
from creditrisk.data.tables import Book, prepare_book, to_columns
from creditrisk.modelling.design import WoeDesign
from creditrisk.monitoring.drift import Baseline, ColumnBaseline
from creditrisk.serving.model import ModelData

EMBEDDED_ROWS = 50_000
"""Loans in the embedded book where a model file does not say it."""
EXPLAINED = 2_000
"""Test rows whose contributions are averaged."""


@dataclass(frozen=True)
class Evidence:
    """What the rows of the training run say of a model.

    `curve` has groups of test rows by PD with their bad rates, `grades` the master scale on the test rows (None
    without grades), `coefficients` the unpenalised fit on the training rows (None for trees) with what sets the shipped
    ones apart, `contributions` the mean absolute contribution of each feature to the log-odds on test rows. `outcomes`
    are goods and bads by variable and slot: of the training rows for trees, of the test rows for a scorecard.
    """

    what: str
    rows: int
    bads: int
    curve: pd.DataFrame
    grades: pd.DataFrame | None
    coefficients: pd.DataFrame | None
    about_coefficients: str
    contributions: Mapping[str, float]
    outcomes: Mapping[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)


def evidence_of(model: ModelData) -> Evidence:
    """Make the rows of a model's training run again and hold it against them.

    Raises DataError when the tables are gone, or do not give the rows and the test AUC that the model file names.
    """
    from creditrisk.modelling.validation import reliability  # brings every family of models: slow to import

    rows = _Rows.of(model)
    pds = model.model.point_in_time.pd(rows.columns("test"))
    bad = rows.bad("test")
    coefficients, about = _coefficients(model, rows)
    return Evidence(
        what=rows.what,
        rows=len(bad),
        bads=int(bad.sum()),
        curve=reliability(bad, pds),
        grades=_grades(model, rows, bad, pds),
        coefficients=coefficients,
        about_coefficients=about,
        contributions=_contributions(model, rows),
        outcomes=_outcomes(model, rows),
    )


@dataclass(frozen=True)
class _Rows:
    """The book of a training run, and the positions of its parts."""

    model: ModelData
    book: Book
    parts: Mapping[str, np.ndarray]
    what: str

    @classmethod
    def of(cls, model: ModelData) -> _Rows:
        from creditrisk.modelling.metrics import auc
        from creditrisk.modelling.train import split_book
        from creditrisk.modelling.validation import rebuilt, recorded

        said = recorded(model.training)
        tables, _ = load_tables(said.data, model.portfolio, rows=said.rows or EMBEDDED_ROWS, seed=said.seed)
        book = prepare_book(tables, model.portfolio, said.as_of)
        split = split_book(book, said.split, said.seed)
        rows = cls(model, book, {part: getattr(split, part) for part in ("train", "test")}, split.description)
        found = auc(rows.bad("test"), model.model.pd(rows.columns("test")))
        rebuilt({part: len(index) for part, index in rows.parts.items()}, said, found, model.metrics["test"]["auc"])
        return rows

    def bad(self, part: str) -> np.ndarray:
        return self.book.bad[self.parts[part]]

    @cached_property
    def _columns(self) -> dict[str, np.ndarray]:
        portfolio = self.model.portfolio
        inputs = to_columns(self.book.frame, list(portfolio.inputs), portfolio)
        return self.model.columns(inputs)

    def columns(self, part: str) -> dict[str, np.ndarray]:
        return {name: values[self.parts[part]] for name, values in self._columns.items()}


def _grades(model: ModelData, rows: _Rows, bad: np.ndarray, pds: np.ndarray) -> pd.DataFrame | None:
    from creditrisk.modelling.grades import grade_table, pooled_pds

    grades = model.portfolio.grades
    if not grades:
        return None
    served = {part: model.model.pd(rows.columns(part)) for part in ("train", "test")}
    pooled = pooled_pds(rows.bad("train"), served["train"], grades)
    return grade_table(bad, pds, grades, pooled, served["test"])


def _coefficients(model: ModelData, rows: _Rows) -> tuple[pd.DataFrame | None, str]:
    if not isinstance(model.model.design, WoeDesign):
        return None, ""
    from creditrisk.modelling.attempts import Rows, mask_optional
    from creditrisk.modelling.coefficients import coefficient_table, difference_in_words

    trained = Rows(rows.columns("train"), rows.bad("train"))
    table = coefficient_table(model.model, mask_optional(trained, model.portfolio, int(model.training["seed"])))
    return table, difference_in_words(table)


def _contributions(model: ModelData, rows: _Rows) -> dict[str, float]:
    """Mean absolute contribution of each feature to the log-odds, over test rows spread evenly, the largest first."""
    count = len(rows.parts["test"])
    picked = np.unique(np.linspace(0, count - 1, min(EXPLAINED, count)).astype(int))
    columns = {name: values[picked] for name, values in rows.columns("test").items()}
    means = np.abs(model.model.contributions(columns)).mean(axis=0)
    return dict(sorted(zip(model.features, means.tolist(), strict=True), key=lambda pair: -pair[1]))


def _outcomes(model: ModelData, rows: _Rows) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    if isinstance(model.model.design, WoeDesign):
        columns, bad = rows.columns("test"), rows.bad("test")
        slots = {bins.name: (bins.assign(columns[bins.name]), bins.n_slots) for bins in model.model.design.bins}
    else:
        columns, bad = rows.columns("train"), rows.bad("train")
        baseline = Baseline.from_dict(model.baseline)
        slots = {one.name: places(one, columns[one.name]) for one in baseline.columns if one.name in columns}
    return {
        name: (np.bincount(at, weights=1 - bad, minlength=size), np.bincount(at, weights=bad, minlength=size))
        for name, (at, size) in slots.items()
    }


def places(column: ColumnBaseline, values: Any) -> tuple[np.ndarray, int]:
    """The bin of the training baseline that each value falls into, int64 (n,), and how many there are."""
    of, names = column.bins()
    if column.kind == "category":
        level = {name: i for i, name in enumerate(column.levels)} | dict.fromkeys(column.others, len(column.levels))
        unseen = len(names) - 2
        at = np.array([len(names) - 1 if v is None or v != v else level.get(v, unseen) for v in values], dtype=np.int64)
        return at, len(names)
    values = np.asarray(values, dtype=np.float64)
    found = of[np.searchsorted(column.edges, values, side="right")]
    return np.where(np.isnan(values), len(names) - 1, found).astype(np.int64), len(names)
