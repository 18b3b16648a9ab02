"""Grids of the File tab: which columns they have, and a place for one until there is something to show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ipywidgets as widgets
import pandas as pd

from creditrisk.data.portfolio import Portfolio
from creditrisk.serving.contract import number_in_words, wire_name
from creditrisk.ui.page.grid import Column, Grid
from creditrisk.ui.page.words import percent

LONGEST = 80
SIGNS = {"approve": "✓ approve", "refer": "! refer", "decline": "✕ decline"}


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _figure(value: float) -> str:
    return number_in_words(round(float(value), 4))


REJECTED = (
    Column("row", "Row", _figure, right=True),
    Column("application_id", "Application", _short, roomy=True),
    Column("column", "Column", wrapped=True),
    Column("value", "Value", _short, wrapped=True),
    Column("reason", "Reason", _short, wrapped=True),
)
RESULTS = (
    Column("row", "Row", _figure, right=True, roomy=True),
    Column("application_id", "Application", _short),
    Column("default_probability", "PD", percent, right=True),
    Column("credit_score", "Score", right=True),
    Column("points", "Points", right=True, roomy=True),
    Column("rating", "Rating", roomy=True),
    Column("grade", "Grade", roomy=True),
    Column("decision", "Decision", lambda name: SIGNS.get(name, name)),
    Column("logged", "Logged", roomy=True),
)


def scored_columns(rows: pd.DataFrame, book: Portfolio) -> list[Column]:
    """The columns of scored rows: results first, then reasons, inputs, and what names the prediction in the log."""
    reasons = [name for name in rows.columns if name.startswith("reason_")]
    columns = [*RESULTS, *(Column(name, f"Reason {name.removeprefix('reason_')}", roomy=True) for name in reasons)]
    for name, column in book.inputs.items():
        text = _figure if column.is_numeric else _short
        columns.append(Column(name, column.label or wire_name(name, column), text, column.is_numeric, roomy=True))
    columns += [Column("policy", "Policy", roomy=True), Column("prediction_id", "Prediction ID", roomy=True)]
    return [column for column in columns if column.name in rows.columns]


class GridPlace:
    """Holds a grid once there is something in it: each is some hundred kilobytes of script."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._names: list[str] = []
        self.grid: Grid | None = None
        self.box = widgets.VBox()

    def show(self, rows: pd.DataFrame, columns: Sequence[Column]) -> None:
        """Put rows in place of those that are shown; columns of `columns` that they have not are left out."""
        there = [column for column in columns if column.name in rows.columns]
        names = [column.name for column in there]
        if self.grid is None or names != self._names:
            before, self.grid, self._names = self.grid, Grid(self._label, there), names
            self.box.children = [self.grid]
            if before is not None:
                before.close()
        self.grid.show(rows)
