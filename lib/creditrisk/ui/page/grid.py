"""A table to sort, filter and choose a row of, the same on every tab: itables' DataTables with rows that change."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from html import escape
from importlib import resources
from pathlib import Path
from typing import Any

import itables.widget
import pandas as pd
from itables.widget import ITable
from traitlets import Bool, Unicode

PAGES = (10, 25, 50, 100)
LANGUAGE = {
    "search": "Filter",
    "info": "Rows _START_ to _END_ of _TOTAL_",
    "infoEmpty": "No rows",
    "infoFiltered": "(filtered from _MAX_)",
    "lengthMenu": "_MENU_ rows a page",
    "emptyTable": "No rows",
    "zeroRecords": "No row matches the filter",
}
LAYOUT = {"topStart": "info", "topEnd": "search", "bottomStart": "pageLength", "bottomEnd": "paging"}


def _module() -> str:
    """The module of itables' widget, with ours in place of what it gives."""
    theirs = Path(itables.widget.__file__).with_name("static").joinpath("widget.js").read_text("utf-8")
    parts = re.split(r"export\s*\{\s*(\w+) as default\s*\};?", theirs)
    if len(parts) != 3:
        raise ImportError(f"itables {itables.__version__} gives its widget otherwise than 2.9; see ui/page/grid.py")
    before, base, after = parts
    ours = resources.files("creditrisk.ui.page").joinpath("grid.js").read_text("utf-8")
    return f"{before}\nconst base = {base};\n{after}\n{ours}"


@dataclass(frozen=True)
class Column:
    """A column of a grid: its name in the DataFrame, its heading, how a value is written and where it stands.

    Sorting goes by the value, and what is read by `text` of it, without it str(). `roomy` columns are left out on a
    narrow page; the words of `wrapped` ones go on in a second line. With `markup` the text is HTML and has itself to
    escape what comes from outside.
    """

    name: str
    title: str
    text: Callable[[Any], str] | None = None
    right: bool = False
    roomy: bool = False
    wrapped: bool = False
    markup: bool = False


class Grid(ITable):
    """Rows of a DataFrame under `columns`; one can be chosen where `key` names the column that tells them apart.

    `chosen` is the key of the row that was chosen, empty without one. `show` puts other rows in place: page, order,
    filter and the choice stay as they are.
    """

    _esm = _module()
    rows = Unicode("[]").tag(sync=True)
    chosen = Unicode().tag(sync=True)
    choosable = Bool().tag(sync=True)
    label = Unicode().tag(sync=True)

    def __init__(self, label: str, columns: Sequence[Column], key: str = "", page: int = 10) -> None:
        self._columns, self._key = tuple(columns), key
        super().__init__(
            pd.DataFrame(columns=["", *(escape(column.title) for column in columns)]),
            classes="cr-grid",
            style="width:100%",
            columnDefs=[{"targets": 0, "visible": False, "searchable": False}, *map(_definition, *_numbered(columns))],
            layout=LAYOUT,
            language=LANGUAGE,
            lengthMenu=list(PAGES),
            pageLength=page,
            autoWidth=False,
            order=[],
            text_in_header_can_be_selected=False,
        )
        self.label, self.choosable = label, bool(key)
        self.add_class("cr-gridbox")

    def show(self, frame: pd.DataFrame) -> None:
        """Put the rows of `frame` in place of those that are shown."""
        cells = [[_cell(column, value) for value in frame[column.name]] for column in self._columns]
        keys = frame[self._key].astype(str) if self._key else [""] * len(frame)
        self.rows = json.dumps([list(row) for row in zip(keys, *cells, strict=True)])


def _numbered(columns: Sequence[Column]) -> tuple[Sequence[Column], range]:
    return columns, range(1, len(columns) + 1)


def _definition(column: Column, place: int) -> dict[str, Any]:
    """What DataTables is told of a column."""
    kinds = (("cr-right", column.right), ("cr-roomy", column.roomy), ("cr-wrapped", column.wrapped))
    names = [name for name, yes in kinds if yes]
    read = {"_": "read", "sort": "value", "type": "value"}
    return {"targets": place, "render": read, "className": " ".join(names) or "cr-left"}


def _cell(column: Column, value: Any) -> dict[str, Any]:
    """A value as it is read, and as it is sorted by."""
    if value is None or pd.isna(value):
        return {"read": "–", "value": None}
    read = str(value) if column.text is None else column.text(value)
    value = value.isoformat() if isinstance(value, date) else getattr(value, "item", lambda: value)()
    read = read if column.markup else escape(read)
    return {"read": read, "value": escape(value) if isinstance(value, str) else value}
