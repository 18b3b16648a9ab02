"""Tables as a spreadsheet file (.xlsx) that reads well and prints: every figure a value, and text never a formula."""

from __future__ import annotations

import io
import re
import textwrap
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import isinf

import numpy as np
import pandas as pd
from openpyxl import Workbook
from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE
from openpyxl.comments import Comment
from openpyxl.styles import Alignment, Border, Font, PatternFill, Side
from openpyxl.utils import get_column_letter

EPOCH = datetime(1980, 1, 1, tzinfo=UTC)
"""What stands in the file for the time of writing, which would make equal files differ."""
TEXT, COUNT, SHARE, PERCENT, POINT = "", "#,##0", "0.0%", "0.00%", "0"
TENTH, TWO, THREE, FOUR, ODDS = "0.0", "0.00", "0.000", "0.0000", "[<1]0.000;#,##0.0"
SIGNED = "+0.0;-0.0;0.0"
GREEN, AMBER, RED = "E3F1E7", "FCEFD3", "F8DCDC"
P_VALUE = '[<0.0001]"<0.0001";0.0000'


@dataclass(frozen=True)
class Column:
    """How a column of a table is shown: its title, the number format, and a note where the title needs one."""

    title: str
    form: str = TEXT
    note: str = ""


@dataclass(frozen=True)
class Sheet:
    """A table with a title and a text above it. `frozen` columns stay in sight; a line is drawn where `group` changes.

    `marks` colours a cell by its text; `code` is set in a fixed-width font, without a line round anything.
    """

    name: str
    title: str
    about: str
    table: pd.DataFrame
    columns: Mapping[str, Column]
    frozen: int = 1
    group: str = ""
    marks: Mapping[str, str] = field(default_factory=dict)
    code: bool = False


WIDEST, NARROWEST, WIDEST_CODE = 72, 8, 140
LINE, TOP = 15.0, 4
INK, HEAD, RULE = "1D2733", "24476B", "AAB4C0"
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
_SHOWN = {
    COUNT: "{:,.0f}", SHARE: "{:.1%}", PERCENT: "{:.2%}", POINT: "{:.0f}", TWO: "{:.2f}", THREE: "{:.3f}",
    FOUR: "{:.4f}", SIGNED: "{:+.1f}", P_VALUE: "{:.5f}", TENTH: "{:.1f}", ODDS: "{:,.1f}",
}  # fmt: skip
"""Python's form of a number format, to know how wide a number is."""


def workbook_bytes(sheets: Sequence[Sheet], title: str) -> bytes:
    """The sheets as one file: equal sheets give equal bytes."""
    book = Workbook()
    book.remove(book.active)
    for sheet in sheets:
        _lay_out(book.create_sheet(sheet.name), sheet)
    book.properties.title, book.properties.creator = title, "creditrisk"
    book.properties.created = EPOCH.replace(tzinfo=None)
    raw = io.BytesIO()
    book.save(raw)
    steady = io.BytesIO()
    with zipfile.ZipFile(raw) as source, zipfile.ZipFile(steady, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            content = source.read(name)
            if name == "docProps/core.xml":
                moment = EPOCH.strftime("%Y-%m-%dT%H:%M:%SZ").encode()
                content = re.sub(rb"(<dcterms:modified[^>]*>)[^<]*", rb"\g<1>" + moment, content)
            entry = zipfile.ZipInfo(name, EPOCH.timetuple()[:6])
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            target.writestr(entry, content)
    return steady.getvalue()


def _lay_out(page, sheet: Sheet) -> None:
    """Title, text, header and rows of one sheet."""
    names = list(sheet.columns)
    last = get_column_letter(max(len(names), 1))
    widths = [_width(sheet, name) for name in names]
    for j, width in enumerate(widths, start=1):
        page.column_dimensions[get_column_letter(j)].width = width
    _text(page.cell(1, 1), sheet.title).font = Font(size=15, bold=True, color=HEAD)
    page.row_dimensions[1].height = 24
    about = _text(page.cell(2, 1), sheet.about)
    about.font, about.alignment = Font(color=INK, italic=True), Alignment(wrap_text=True, vertical="top")
    for row in (1, 2) if len(names) > 1 else ():
        page.merge_cells(f"A{row}:{last}{row}")
    page.row_dimensions[2].height = LINE * _lines(sheet.about, sum(widths)) + 4
    _header(page, sheet, widths)
    _body(page, sheet, widths)
    page.freeze_panes = page.cell(TOP + 1, sheet.frozen + 1)
    if not sheet.code and len(sheet.table):
        page.auto_filter.ref = f"A{TOP}:{last}{TOP + len(sheet.table)}"
    page.sheet_view.showGridLines = False
    page.page_setup.orientation, page.page_setup.paperSize = "landscape", page.PAPERSIZE_A4
    page.page_setup.fitToWidth, page.page_setup.fitToHeight = 1, 0
    page.sheet_properties.pageSetUpPr.fitToPage = True
    page.print_title_rows = f"{TOP}:{TOP}"
    page.oddFooter.center.text = "&A, page &P of &N"


def _header(page, sheet: Sheet, widths: Sequence[float]) -> None:
    for j, column in enumerate(sheet.columns.values(), start=1):
        cell = _text(page.cell(TOP, j), column.title)
        cell.font, cell.fill = Font(bold=True, color="FFFFFF"), PatternFill("solid", fgColor=HEAD)
        cell.alignment = Alignment(wrap_text=True, vertical="center", **_aligned(j, column))
        if column.note:
            cell.comment = Comment(column.note, "creditrisk", width=320, height=30 + 18 * _lines(column.note, 42))
    titles = [c.title for c in sheet.columns.values()]
    most = max(_lines(title, width - 4) for title, width in zip(titles, widths, strict=True))
    page.row_dimensions[TOP].height = LINE * most + 6


def _body(page, sheet: Sheet, widths: Sequence[float]) -> None:
    columns, before = list(sheet.columns.items()), None
    for i, row in enumerate(sheet.table.to_dict("records"), start=TOP + 1):
        group = row.get(sheet.group)
        begins, before = bool(sheet.group) and group != before, group
        lines = 1
        for j, (name, column) in enumerate(columns, start=1):
            cell, value = page.cell(i, j), row[name]
            cell.font = Font(name="Consolas", size=10) if sheet.code else Font(color=INK)
            aligned = _aligned(j, column)
            cell.alignment = Alignment(vertical="top", **aligned)
            if begins:
                cell.border = Border(top=Side("thin", color=RULE))
            _put(cell, value, column.form)
            if isinstance(cell.value, str) and len(cell.value) + 2 > widths[j - 1]:
                cell.alignment = Alignment(vertical="top", wrap_text=True, **aligned)
                lines = max(lines, _lines(cell.value, widths[j - 1] - 2))
            if (colour := sheet.marks.get(value if isinstance(value, str) else None)) is not None:
                cell.fill = PatternFill("solid", fgColor=colour)
        if lines > 1:
            page.row_dimensions[i].height = LINE * lines


def _aligned(j: int, column: Column) -> dict:
    """Numbers to the right, text to the left and a little away from the number before it."""
    return {"horizontal": "right"} if column.form != TEXT else {"horizontal": "left", "indent": int(j > 1)}


def _put(cell, value, form: str) -> None:
    """A value in its format; what is missing stays empty, and infinity is a word."""
    if value is None or value is pd.NA or value != value or value == "":
        return
    if isinstance(value, str):
        _text(cell, value)
    elif isinf(value):
        _text(cell, "infinite").alignment = Alignment(vertical="top", horizontal="right")
    else:
        cell.value = value.item() if isinstance(value, np.generic) else value
        cell.number_format = form or "General"


def _text(cell, text: str):
    """Text as text, whatever it looks like: a spreadsheet would run what begins with one of FORMULA_STARTS."""
    cell.value = ILLEGAL_CHARACTERS_RE.sub("\N{REPLACEMENT CHARACTER}", text)
    cell.data_type = "s"
    cell.quotePrefix = text.startswith(FORMULA_STARTS)
    return cell


def _shown(value, form: str) -> str:
    """About what a cell shows."""
    if value is None or value is pd.NA or value != value:
        return ""
    if isinstance(value, str):
        return value
    return "infinite" if isinf(value) else _SHOWN.get(form, "{}").format(value)


def _width(sheet: Sheet, name: str) -> float:
    """Wide enough for the longest value and the longest word of the title, within limits."""
    column = sheet.columns[name]
    values = [_shown(value, column.form) for value in sheet.table[name]]
    longest = max((len(line) for value in values for line in value.split("\n")), default=0)
    word = max(map(len, column.title.split()), default=0)
    return float(min(max(longest + 3, word + 5, NARROWEST), WIDEST_CODE if sheet.code else WIDEST))


def _lines(text: str, width: float) -> int:
    """How many lines a text takes where `width` digits fit on one: most letters are narrower."""
    return sum(max(len(textwrap.wrap(line, max(int(width), 1))), 1) for line in text.split("\n"))
