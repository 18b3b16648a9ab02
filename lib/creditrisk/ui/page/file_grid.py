"""Grids of the File tab: tables that a visitor sorts, filters and pages in the browser."""

from __future__ import annotations

import ipywidgets as widgets
import pandas as pd

from creditrisk.data.portfolio import Portfolio
from creditrisk.serving.contract import wire_name
from creditrisk.ui.page.file_state import SHOWN, rejected_table

HEADS = {
    "row": "Row", "application_id": "Application ID", "default_probability": "PD (%)", "credit_score": "Score",
    "points": "Points", "rating": "Rating", "grade": "Grade", "decision": "Decision", "logged": "Logged",
    "prediction_id": "Prediction ID", "column": "Column", "value": "Value", "reason": "Reason",
}  # fmt: skip
FIRST = tuple(HEADS)[:9]


class Grid:
    """A table in its own box. The grid itself, some hundred kilobytes of script, is made when there is something."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.table = None
        self.box = widgets.VBox()
        self.box.add_class("cr-grid")

    def show(self, frame: pd.DataFrame) -> None:
        """Show a table in place of the one before."""
        from itables.widget import ITable  # slow to load, and not needed to open the page

        options = {
            "classes": "display nowrap compact",
            "style": "width:100%",
            "maxBytes": 0,
            "pageLength": 10,
            "lengthMenu": [10, 25, 50, 100],
            "scrollX": True,
            "showIndex": False,
            "language": {"search": "Filter", "lengthMenu": "_MENU_ rows a page"},
        }
        with pd.option_context("display.float_format", _figure):
            if self.table is None:
                self.table = ITable(frame, **options)
                self.box.children = [self.table]
            else:
                self.table.update(frame)


def scored_grid(rows: pd.DataFrame, book: Portfolio) -> pd.DataFrame:
    """Scored rows as a grid shows them: the results first, then reasons, then the inputs."""
    rows = rows.copy()
    rows["default_probability"] = 100 * rows["default_probability"]
    reasons = [name for name in rows.columns if name.startswith("reason_")]
    ordered = [name for name in FIRST if name in rows.columns] + reasons
    ordered += [name for name in book.inputs if name in rows.columns]
    ordered += [name for name in ("policy", "prediction_id") if name in rows.columns]
    heads = HEADS | {name: f"Reason {name.removeprefix('reason_')}" for name in reasons} | {"policy": "Policy"}
    heads |= {name: column.label or wire_name(name, column) for name, column in book.inputs.items()}
    return _plain(rows[ordered]).rename(columns=heads)


def rejected_grid(preview) -> pd.DataFrame:
    """Rejected rows as a grid shows them."""
    return _plain(rejected_table(preview).head(SHOWN)).rename(columns=HEADS)


def _plain(frame: pd.DataFrame) -> pd.DataFrame:
    """Whole numbers without decimals, and nothing where nothing is."""
    frame = frame.reset_index(drop=True)
    for name in frame.columns:
        values = frame[name]
        if pd.api.types.is_float_dtype(values) and (values.dropna() % 1 == 0).all() and name != "default_probability":
            frame[name] = values.astype("Int64")
        elif not pd.api.types.is_numeric_dtype(values):
            frame[name] = values.astype("object").where(values.notna(), "")
    return frame


def _figure(value: float) -> str:
    return "<0.01" if 0 < value < 0.005 else f"{value:,.2f}"
