"""From files to a checked book: read, normalise, join, check, quarantine.

Whole-table mistakes (a missing column, a wrong type, a duplicate key, an empty file) stop with one clear message.
Single bad rows do not: they go to `rejected`, with table, row, column, value and reason, and are counted. Row numbers
count data rows from 1; in a CSV file the line is one more.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO
from zipfile import BadZipFile

import fsspec
import numpy as np
import pandas as pd
import pandera.pandas as pa
import sqlalchemy as sa

from creditrisk.data.expressions import Expression
from creditrisk.data.features import derive, sources
from creditrisk.data.portfolio import UTMOST, Column, Portfolio
from creditrisk.errors import DataError

NAMED = 20  # columns of a file that an error names
ZIPPED, OLD_OFFICE = b"PK\x03\x04", b"\xd0\xcf\x11\xe0"
"""How an .xlsx file begins, and what is no .xlsx: an .xls, or a workbook with a password."""
MISSING_TEXTS = frozenset({"", "na", "n/a", "nan", "null", "none", "<na>", "#n/a"})
REJECTED_COLUMNS = ["table", "row", "key", "column", "value", "reason"]


@dataclass(frozen=True)
class Join:
    """What joining one table to the base table did, in rows of the base table."""

    table: str
    on: str
    rows: int
    lost: int
    duplicated: int
    unused: int


@dataclass(frozen=True)
class Book:
    """A checked book: `frame` has one row a loan, every delivered column, derived inputs and features.

    `bad` is int8 (n,), 1 for bad. `dates` is the observation date (n,), or None. `received` counts the base table's
    rows, and received + duplicated by joins = kept + rejected + set aside.
    """

    portfolio: Portfolio
    frame: pd.DataFrame
    bad: np.ndarray
    dates: pd.Series | None
    received: int
    joins: tuple[Join, ...]
    rejected: pd.DataFrame
    rejected_rows: int
    set_aside: dict[str, int]

    def totals(self) -> pd.Series:
        """Control totals: what was received and where each row went."""
        duplicated = sum(join.duplicated for join in self.joins)
        parts = {"received": self.received}
        if duplicated:
            parts["added by joins"] = duplicated
        parts |= {"rejected": self.rejected_rows} | {f"set aside: {k}": v for k, v in self.set_aside.items()}
        return pd.Series(parts | {"kept": len(self.frame)}, name="rows")

    def rejections(self) -> pd.DataFrame:
        """Rejections by reason: table, column, reason and number of rows."""
        by = ["table", "column", "reason"]
        counted = self.rejected.groupby(by, sort=False).size().rename("rows")
        return counted.sort_values(ascending=False, kind="stable").reset_index()

    def stop_if_too_many_rejected(self) -> None:
        """Raise DataError when the share of rejected rows is above the portfolio's limit."""
        stop_if_too_many_rejected(self.rejected, self.rejected_rows, self.received, self.portfolio)


# --- Reading ----------------------------------------------------------------------------------------------------------


def read_tables(source: str, book: Portfolio) -> dict[str, pd.DataFrame]:
    """Read every table of the portfolio from a folder, an fsspec URL or a SQLAlchemy database URL.

    A folder holds T.parquet, T.csv or T.xlsx for each table T. Values are still as delivered.
    """
    if _is_database(source):
        return _read_database(source, book)
    fs, root = _filesystem(source)
    if not fs.isdir(root):
        raise DataError(f"{source}: there is no such folder")
    tables = {}
    for name in book.tables:
        found = [path for ext in ("parquet", "csv", "xlsx") if fs.exists(path := f"{root.rstrip('/')}/{name}.{ext}")]
        if not found:
            raise DataError(f"{source}: no file for table {name!r}; expected {name}.parquet, {name}.csv or {name}.xlsx")
        with fs.open(found[0], "rb") as file:
            tables[name] = read_opened(file, PurePosixPath(found[0]).name)
        tables[name].attrs["file"] = PurePosixPath(found[0]).name  # for messages
    return tables


def read_file(path: str) -> pd.DataFrame:
    """Read one CSV, Parquet or xlsx file (path or fsspec URL). CSV values stay text."""
    fs, root = _filesystem(path)
    if not fs.exists(root) or fs.isdir(root):
        raise DataError(f"{path}: there is no such file")
    with fs.open(root, "rb") as file:
        return read_opened(file, PurePosixPath(root).name)


def _filesystem(url: str):
    try:
        return fsspec.core.url_to_fs(url)
    except (ValueError, ImportError) as error:  # an unknown protocol, or one whose package is not installed
        raise DataError(f"{url}: cannot be opened: {_first_line(error)}") from None


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def read_opened(file: BinaryIO, name: str) -> pd.DataFrame:
    """Read an opened CSV, Parquet or xlsx file; its name says which. CSV values stay text."""
    kind = PurePosixPath(name).suffix.lower()
    try:
        if kind == ".parquet":
            return pd.read_parquet(file)
        if kind == ".csv":
            options = {"keep_default_na": False, "encoding": "utf-8-sig", "skipinitialspace": True}
            return _with_header(pd.read_csv(file, header=None, dtype=str, **options))
        if kind in (".xlsx", ".xlsm"):
            return _with_header(_sheet(file, name))
    except pd.errors.EmptyDataError:
        raise DataError(f"{name}: the file is empty") from None
    except UnicodeDecodeError:
        raise DataError(f"{name}: {_encoding_problem(file)}") from None
    except (pd.errors.ParserError, ValueError, OSError, KeyError, BadZipFile) as error:
        hint = _separator_hint(file) if isinstance(error, pd.errors.ParserError) else ""
        reason = _first_line(error).removeprefix("Error tokenizing data. C error: ")
        raise DataError(f"{name}: cannot be read: {reason}{hint}") from None
    raise DataError(f"{name}: cannot read this kind of file; give .csv, .parquet or .xlsx")


def _sheet(file: BinaryIO, name: str) -> pd.DataFrame:
    """The first sheet of a workbook."""
    start = file.read(len(ZIPPED))
    file.seek(0)
    if not start:
        raise pd.errors.EmptyDataError
    if start != ZIPPED:
        old = "; it is of the kind before 2007 (.xls), or has a password" if start == OLD_OFFICE else ""
        raise DataError(f"{name}: is not an Excel workbook{old}; open it and save it as .xlsx, or as CSV in UTF-8")
    return pd.read_excel(file, header=None, dtype=object, keep_default_na=False, engine="openpyxl")


def _encoding_problem(file: BinaryIO) -> str:
    """Where a CSV file is not UTF-8, and what to do."""
    advice = "save it as CSV in UTF-8"
    file.seek(0)
    if file.read(2) in (b"\xff\xfe", b"\xfe\xff"):
        return f"its text is UTF-16; {advice}"
    file.seek(0)
    for number, line in enumerate(file, start=1):
        try:
            line.decode()
        except UnicodeDecodeError as error:
            around = line[max(error.start - 15, 0) : error.start + 15].decode("latin-1").strip()
            return f"line {number} is not UTF-8 text (byte 0x{line[error.start]:02x} in {around!r}); {advice}"
    return f"it is not UTF-8 text; {advice}"


def _separator_hint(file) -> str:
    """What to do where the first line of a CSV file has another mark than commas between its columns; else empty."""
    file.seek(0)
    line = file.readline(65_536).decode("utf-8", "replace")
    mark = "" if "," in line else _mark_in(line)
    return (
        f"; its columns are parted by {mark!r}: save it with commas between them, and decimals with a point"
        if mark
        else ""
    )


def _with_header(cells: pd.DataFrame) -> pd.DataFrame:
    """The first row as names of columns; pandas by itself would rename one that stands twice."""
    if cells.empty:
        return cells
    names = ["" if pd.isna(name) else str(name).strip() for name in cells.iloc[0]]
    frame = cells.iloc[1:].set_axis(names, axis=1)
    return frame.loc[:, [name != "" for name in names]].reset_index(drop=True)


def _is_database(source: str) -> bool:
    if "://" not in source:
        return False
    try:
        sa.make_url(source).get_dialect()
    except (sa.exc.NoSuchModuleError, sa.exc.ArgumentError, ModuleNotFoundError):
        return False
    return True


def _read_database(source: str, book: Portfolio) -> dict[str, pd.DataFrame]:
    url = sa.make_url(source)
    shown = url.render_as_string(hide_password=True)
    file = url.database if url.get_backend_name() == "sqlite" else None
    if file and not file.startswith((":memory:", "file:")) and not Path(file).is_file():
        raise DataError(f"{shown}: there is no such database file")  # SQLite would make an empty one
    tables, reading = {}, "the database"
    try:
        engine = sa.create_engine(url, poolclass=sa.NullPool)
        with engine.connect() as connection:
            for name, table in book.tables.items():
                reading = f"table {name!r}"
                quoted = engine.dialect.identifier_preparer.quote_identifier(name)
                query = table.query or f"SELECT * FROM {quoted}"
                tables[name] = pd.read_sql_query(sa.text(query), connection)
    except (sa.exc.SQLAlchemyError, pd.errors.DatabaseError, ImportError) as error:
        cause = error.__cause__ if isinstance(error, pd.errors.DatabaseError) and error.__cause__ else error
        reason = _first_line(getattr(cause, "orig", None) or cause)
        raise DataError(f"{shown}: {reading} cannot be read: {reason}") from None
    return tables


# --- Normalising: names, types, spellings -----------------------------------------------------------------------------


class _Rejections:
    """Collects rejected cells; a row may break several rules."""

    def __init__(self) -> None:
        self.parts: list[pd.DataFrame] = []

    def add(self, table: str, rows, keys, column: str, values, reason) -> None:
        if len(rows):
            part = pd.DataFrame({"table": table, "row": np.asarray(rows, dtype=np.int64)})
            part["key"] = [_text(key) for key in keys]
            part["column"] = column
            part["value"] = [_text(value) for value in values]
            part["reason"] = reason
            self.parts.append(part[REJECTED_COLUMNS])

    def frame(self) -> pd.DataFrame:
        if not self.parts:
            return pd.DataFrame(
                {name: pd.Series(dtype="int64" if name == "row" else "str") for name in REJECTED_COLUMNS}
            )
        found = pd.concat(self.parts).drop_duplicates()  # a row that several base rows join to is reported once
        return found.sort_values(["table", "row"], kind="stable", ignore_index=True)


EXACT = 2.0**53
"""From here on, floating-point numbers skip whole ones."""


def _text(value) -> str | None:
    """One value as text; None where it is missing. 7.0 is 7: a column of numbers with gaps comes as floats."""
    if isinstance(value, float) and value.is_integer() and abs(value) < EXACT:
        return str(int(value))
    return None if np.ndim(value) == 0 and pd.isna(value) else str(value)


def _texts(values: pd.Series) -> pd.Series:
    """Values of any type as text without spaces around it; missing where they are missing or empty."""
    if not isinstance(values.dtype, pd.StringDtype):
        values = values.astype("object").map(_text, na_action="ignore")
    text = values.astype("str").str.strip()
    return text.where(text != "")


def id_texts(values: pd.Series, file: str, first_row: int = 1) -> pd.Series:
    """Ids or keys as text. Raises DataError for those that came as numbers which cannot tell neighbours apart."""
    if pd.api.types.is_float_dtype(values.dtype) and len(long := np.flatnonzero((values.abs() >= EXACT).fillna(False))):
        raise DataError(
            f"{file}, column {values.name!r}: {values.iloc[long[0]]:.0f} in row {first_row + int(long[0])} came as a "
            "floating-point number, which has lost its last digits; store ids as text or as whole numbers"
        )
    return _texts(values)


def _rename(frame: pd.DataFrame, wanted: Mapping[str, Column], file: str) -> pd.DataFrame:
    """Give columns their own names where they came under another accepted one."""
    frame = frame.rename(columns=lambda name: str(name).strip())
    doubled = frame.columns[frame.columns.duplicated()]
    if len(doubled):
        raise DataError(f"{file}: the column {doubled[0]!r} stands twice in the header")
    names = {}
    for name, column in wanted.items():
        accepted = dict.fromkeys((name, column.wire, *column.also_called))
        given = [alias for alias in accepted if alias and alias in frame.columns]
        if len(given) > 1:
            raise DataError(f"{file}: {given[1]!r} and {given[0]!r} are two names of one column; keep one")
        if given:
            names[given[0]] = name
    return frame.rename(columns=names)


def _numbers(values: pd.Series, whole: bool) -> tuple[pd.Series, np.ndarray]:
    """(float64 values, what is wrong with each cell: empty text where nothing is)."""
    if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
        numbers = values.astype("float64")
        unreadable = np.zeros(len(values), dtype=bool)
    else:
        text = _texts(values)
        text = text.where(~text.str.lower().isin(MISSING_TEXTS))
        numbers = pd.to_numeric(text, errors="coerce").astype("float64")
        unreadable = (numbers.isna() & text.notna()).to_numpy()
    infinite = np.isinf(numbers.to_numpy())
    fraction = (numbers.notna() & (numbers != np.floor(numbers))).to_numpy() & whole
    words = ["not a number", "not a finite number", "not a whole number"]
    return numbers, np.select([unreadable, infinite, fraction], words, "")


def _levels(values: pd.Series, column: Column) -> tuple[pd.Series, np.ndarray]:
    """(text values with aliases resolved, what is wrong with each cell)."""
    text = _texts(values)
    known = set(column.levels) | set(column.aliases)
    text = text.where(~text.str.lower().isin(MISSING_TEXTS) | text.isin(known))
    text = text.replace(dict(column.aliases))
    unknown = (text.notna() & ~text.isin(column.levels)).to_numpy()
    reason = f"unknown level; allowed: {', '.join(column.levels)}"
    return text.astype("object").where(text.notna(), None), np.where(unknown, reason, "")


def _dates(values: pd.Series) -> tuple[pd.Series, np.ndarray]:
    """(datetime64[us] values, what is wrong with each cell). A time zone is dropped: the day stays as delivered."""
    if pd.api.types.is_datetime64_any_dtype(values):
        values = values.dt.tz_localize(None) if values.dt.tz is not None else values
        return values.astype("datetime64[us]"), np.full(len(values), "")
    text = _texts(values)
    text = text.where(~text.str.lower().isin(MISSING_TEXTS)).str.replace(_ZONE, r"\1", regex=True)
    dates = pd.to_datetime(text, errors="coerce", format="ISO8601").astype("datetime64[us]")
    return dates, np.where(dates.isna() & text.notna(), "not a date (YYYY-MM-DD)", "")


_ZONE = r"([T ]\d\d:?\d\d.*?) ?(?:Z|[+-]\d\d(?::?\d\d)?)$"


def _normalise(
    frame: pd.DataFrame, wanted: Mapping[str, Column], table: str, file: str, key: str, rejects: _Rejections
) -> tuple[pd.DataFrame, pd.Series]:
    """Columns in their declared types. Returns the frame and bool (n,): rows without an unreadable cell."""
    out, good = {}, pd.Series(True, index=frame.index)
    nothing = pd.Series([None] * len(frame), index=frame.index)
    keys = id_texts(frame[key], file) if key and key in frame.columns else nothing
    for name, column in wanted.items():
        if name not in frame.columns:
            continue
        if column.is_numeric:
            out[name], reasons = _numbers(frame[name], column.kind == "integer")
        elif column.kind == "category":
            out[name], reasons = _levels(frame[name], column)
        elif column.kind == "date":
            out[name], reasons = _dates(frame[name])
        else:
            out[name], reasons = id_texts(frame[name], file), np.full(len(frame), "")
        wrong = reasons != ""
        filled = int((out[name].notna() | wrong).sum())
        if column.kind != "category" and wrong.sum() > 0.5 * filled:
            row = int(np.argmax(wrong))
            raise DataError(
                f"{file}, column {name!r}: wrong type: {int(wrong.sum()):,} of {filled:,} values are {reasons[row]}, "
                f"the first in row {row + 1}: {_text(frame[name].iloc[row])!r}; the portfolio says "
                f"kind = {column.kind!r}"
            )
        rows = np.flatnonzero(wrong)
        rejects.add(table, rows + 1, keys.iloc[rows], name, frame[name].iloc[rows], reasons[rows])
        good &= ~wrong
    return pd.DataFrame(out, index=frame.index), good


def _require_columns(frame: pd.DataFrame, wanted: Mapping[str, Column], file: str, given, note: str = "") -> None:
    """Stop when a column of `wanted` or every row is missing; `given` are the names as delivered."""
    if frame.empty and not len(frame.columns):
        raise DataError(f"{file}: the file is empty")
    missing = {n: c for n, c in wanted.items() if n not in frame.columns and not c.may_be_absent}
    if missing:
        raise DataError(f"{file}: {_missing_in_words(missing, len(wanted), [*map(str, given)])}{note}")
    if frame.empty:
        raise DataError(f"{file}: the file has a header but no rows")


def _missing_in_words(missing: Mapping[str, Column], of: int, given: list[str]) -> str:
    found = ", ".join(given[:NAMED]) + ", ..." * (len(given) > NAMED)
    hint = _header_hint(missing, given)
    if len(missing) == of > 1 and not hint:
        some = ", ".join(map(repr, [*missing][:6])) + ", ..." * (of > 6)
        return (
            f"none of the {of} columns that are needed is there ({some}); its first row has {found}: it must have the "
            "names of the columns"
        )
    names = ", ".join(repr(n) + (f" (or {c.wire!r})" if c.wire else "") for n, c in missing.items())
    return f"missing column{'s' if len(missing) > 1 else ''} {names}; the file has {found}{hint}"


def _header_hint(missing: Mapping[str, Column], given: list[str]) -> str:
    """What seems to be wrong with a header: the mark between columns, or the case of names; else empty."""
    if len(given) == 1 and (mark := _mark_in(given[0])):
        return f"; its columns are parted by {mark!r}: save it with commas between them"
    cased = {name.lower(): name for name in given}
    wanted = [
        next((a for a in (n, c.wire, *c.also_called) if a and a.lower() in cased), "") for n, c in missing.items()
    ]
    alike = [f"{name!r} for {cased[name.lower()]!r}" for name in wanted if name]
    return f"; capitals count: write {', '.join(alike[:3])}{', ...' if len(alike) > 3 else ''}" if alike else ""


def _mark_in(line: str) -> str:
    """The mark that parts columns in a line in place of a comma; empty without one."""
    return next((mark for mark in (";", "\t", "|") if mark in line), "")


def _require_unique(values: pd.Series, file: str) -> None:
    doubled = values[values.duplicated(keep=False) & values.notna()]
    if len(doubled):
        first = doubled.iloc[0]
        rows = [int(i) + 1 for i in np.flatnonzero(values == first)[:3]]
        raise DataError(
            f"{file}, column {values.name!r}: duplicate key: {doubled.nunique():,} keys stand more than once, "
            f"e.g. {_text(first)!r} in rows {', '.join(map(str, rows))}"
        )
    if values.isna().any():
        row = int(np.argmax(values.isna())) + 1
        raise DataError(f"{file}, column {values.name!r}: the key is missing or unreadable in row {row}")


# --- Checks of rows, by pandera ---------------------------------------------------------------------------------------


def _schema(columns: Mapping[str, Column], nullable) -> pa.DataFrameSchema:
    """A pandera schema of the hard limits; `nullable(name, column)` says which may be missing."""
    schema = {}
    for name, column in columns.items():
        checks = []
        if column.min is not None:
            checks.append(pa.Check.ge(column.min, error=f"below {column.min:g}, the least allowed"))
        if column.max is not None:
            checks.append(pa.Check.le(column.max, error=f"above {column.max:g}, the most allowed"))
        if column.above is not None:
            checks.append(pa.Check.gt(column.above, error=f"not above {column.above:g}"))
        if column.is_numeric:
            checks.append(pa.Check.in_range(-UTMOST, UTMOST, error=f"beyond {UTMOST:g} either way"))
        schema[name] = pa.Column(None, checks, nullable=nullable(name, column))
    return pa.DataFrameSchema(schema)


def _limit_failures(frame: pd.DataFrame, columns: Mapping[str, Column], nullable) -> pd.DataFrame:
    """Cells outside hard limits: columns position, column, value, reason."""
    present = {name: column for name, column in columns.items() if name in frame.columns}
    checked = frame[list(present)].reset_index(drop=True)
    try:
        _schema(present, nullable).validate(checked, lazy=True)
    except pa.errors.SchemaErrors as error:
        cases = error.failure_cases
        special = {name: set(column.special) for name, column in present.items() if column.special}
        is_code = [
            c in special and v in special[c] for c, v in zip(cases["column"], cases["failure_case"], strict=True)
        ]
        cases = cases[~np.array(is_code, dtype=bool)]
        reason = cases["check"].replace({"not_nullable": "missing"})
        return pd.DataFrame(
            {"position": cases["index"].astype("int64"), "column": cases["column"],
             "value": cases["failure_case"], "reason": reason}
        )  # fmt: skip
    return pd.DataFrame({"position": pd.Series(dtype="int64"), "column": [], "value": [], "reason": []})


def _soft_warnings(frame: pd.DataFrame, columns: Mapping[str, Column]) -> dict[str, int]:
    """Values beyond soft limits: sentence -> number of rows. They are used all the same."""
    found = {}
    for name, column in columns.items():
        if name in frame.columns and column.is_numeric:
            for limit, word, beyond in (
                (column.warn_below, "below", lambda v, x: v < x),
                (column.warn_above, "above", lambda v, x: v > x),
            ):
                if limit is not None and (count := int(beyond(frame[name], limit).sum())):
                    found[f"{name} {word} {limit:,.12g}"] = count
    return found


def soft_warnings(frame: pd.DataFrame, book: Portfolio) -> dict[str, int]:
    """Inputs beyond the portfolio's soft limits: sentence -> number of rows. Such rows are scored."""
    return _soft_warnings(frame, book.inputs)


def stop_if_too_many_rejected(
    rejected: pd.DataFrame, rows: int, received: int, book: Portfolio, where: str = "rejected.parquet"
) -> None:
    """Raise DataError when rejected rows, which `where` holds, exceed the portfolio's `max_reject_share`."""
    if rows / received > book.max_reject_share:
        raise DataError(too_many_rejected(rows, received, book, where, _first(rejected)))


def too_many_rejected(rows: int, received: int, book: Portfolio, where: str, first: str) -> str:
    """What is said when more rows are rejected than the portfolio allows; `first` describes the first of them."""
    return (
        f"{rows:,} of {received:,} rows are rejected ({rows / received:.1%}), more than the portfolio's limit of "
        f"{book.max_reject_share:.0%}; see {where}. {first}"
    )


def _first(rejected: pd.DataFrame) -> str:
    one = rejected.iloc[0]
    return (
        f"The first: table {one['table']}, row {one['row']}, column {one['column']}, "
        f"value {one['value']}: {one['reason']}"
    )


# --- The book to learn from -------------------------------------------------------------------------------------------


def prepare_book(tables: Mapping[str, pd.DataFrame], book: Portfolio, as_of: str | dt.date = "") -> Book:
    """Check and join delivered tables, derive columns, set immature and excluded rows aside.

    `as_of` is the date on which outcomes were read (default today): rows whose performance window ends later are set
    aside. Raises DataError for whole-table mistakes; single bad rows go to `Book.rejected`.
    """
    rejects = _Rejections()
    parts, fine = {}, {}
    for name, table in book.tables.items():
        if name not in tables:
            raise DataError(f"the table {name!r} was not given; given are {', '.join(tables) or 'none'}")
        wanted = {n: c for n, c in book.columns.items() if c.table == name or n in _keys(book, name)}
        file = tables[name].attrs.get("file", name)
        frame = _rename(tables[name], wanted, file).reset_index(drop=True)
        _require_columns(frame, wanted, file, tables[name].columns)
        parts[name], fine[name] = _normalise(frame, wanted, name, file, table.key, rejects)
        if table.key:
            _require_unique(parts[name][table.key], file)
        if name == book.base:
            _require_target(parts[name][book.target.column], frame[book.target.column], book, file)
        elif not fine[name].all():
            parts[name][f"unreadable {name}"] = ~fine[name]
        parts[name][f"row of {name}"] = np.arange(1, len(frame) + 1)

    frame = parts[book.base]
    received, joins, keep = len(frame), [], fine[book.base].copy()
    base_key = book.tables[book.base].key
    for name, table in book.tables.items():
        if name == book.base:
            continue
        before = len(frame)
        right = parts[name]
        unused = int((~right[table.join].isin(frame[table.join].dropna())).sum())
        new = [table.join, *(column for column in right if column not in frame)]
        right = right.loc[right[table.join].notna(), new]  # pandas would match a missing key with a missing key
        merged = frame.reset_index(names="base position").merge(right, on=table.join, how="left")
        keep = keep.iloc[merged["base position"]].reset_index(drop=True)
        lost = merged[f"row of {name}"].isna()
        if table.unmatched == "reject":
            rows = np.flatnonzero(lost)
            rejects.add(
                book.base, merged[f"row of {book.base}"].iloc[rows], _key_values(merged, base_key).iloc[rows],
                table.join, merged[table.join].iloc[rows], f"no row in {name} with this {table.join}",
            )  # fmt: skip
            keep &= ~lost
        if f"unreadable {name}" in merged:
            keep &= ~merged.pop(f"unreadable {name}").eq(True)
        joins.append(Join(name, table.join, before, int(lost.sum()), len(merged) - before, unused))
        frame = merged.drop(columns="base position")

    columns = {n: c for n, c in book.columns.items() if n in frame.columns}
    for name, column in sorted(book.columns.items(), key=lambda item: item[1].role == "feature"):  # features last
        if column.derive is not None and name not in frame.columns:
            frame[name] = derive(column.derive, {s: frame[s].to_numpy() for s in sources(column.derive)})
            columns[name] = column
    keep &= _reject_rows(frame, columns, book, keep, rejects)

    rejected_rows = int((~keep).sum())
    frame = frame[keep].reset_index(drop=True)
    frame, set_aside = _set_aside(frame, book, as_of)
    bad = frame[book.target.column].isin(book.target.bad).to_numpy().astype(np.int8)
    if len(set(bad)) < 2:
        left = f"every row left is {'bad' if bad[0] else 'good'}" if len(bad) else "no row is left to learn from"
        aside = "".join(f"; {reason}: {rows:,}" for reason, rows in set_aside.items())
        first = f". {_first(rejects.frame())}" if rejected_rows else ""
        raise DataError(f"{left}; rejected: {rejected_rows:,}{aside}{first}")
    dates = frame[book.target.observation_date] if book.target.observation_date else None
    frame = frame.drop(columns=[f"row of {name}" for name in book.tables])
    return Book(book, frame, bad, dates, received, tuple(joins), rejects.frame(), rejected_rows, set_aside)


def _keys(book: Portfolio, table: str) -> list[str]:
    """The key columns that a table must hold besides the columns declared for it."""
    spec = book.tables[table]
    needed = [spec.key, spec.join]
    if table == book.base:
        needed += [other.join for other in book.tables.values()]
    return [name for name in dict.fromkeys(needed) if name]


def _key_values(frame: pd.DataFrame, key: str) -> pd.Series:
    return frame[key] if key else pd.Series([None] * len(frame), index=frame.index)


def _require_target(values: pd.Series, delivered: pd.Series, book: Portfolio, file: str) -> None:
    target = book.target
    allowed = [*target.good, *target.bad, *target.indeterminate]
    wrong = ~values.isin(allowed)
    if wrong.any():
        row = int(np.argmax(wrong))
        shown = _texts(delivered).iloc[row]
        raise DataError(
            f"{file}, column {target.column!r}: the target is {'missing' if pd.isna(shown) else repr(shown)} in "
            f"row {row + 1} and not declared in {int(wrong.sum()):,} rows; the portfolio declares "
            f"good {list(target.good)}, bad {list(target.bad)}"
            + (f", indeterminate {list(target.indeterminate)}" if target.indeterminate else "")
        )
    present = [name for name in ("good", "bad") if values.isin(getattr(target, name)).any()]
    if len(present) < 2:
        only = present[0] if present else "indeterminate"
        raise DataError(f"{file}, column {target.column!r}: every row is {only}; both classes are needed")


def _reject_rows(frame, columns, book: Portfolio, readable: pd.Series, rejects: _Rejections) -> pd.Series:
    """Apply hard limits and cleaning rules; returns bool (n,): rows that break none."""
    keep = np.ones(len(frame), dtype=bool)

    def nullable(name: str, column: Column) -> bool:
        if name == book.target.observation_date:
            return False
        return column.nullable or column.role not in ("input", "target", "id")

    failures = _limit_failures(frame[readable.to_numpy()], columns, nullable)
    positions = np.flatnonzero(readable)[failures["position"]]
    for (name, reason), part in failures.assign(position=positions).groupby(["column", "reason"], sort=False):
        if reason == "missing":
            part = part[~_unmatched(frame, columns[name], book)[part["position"]]]
        at = part["position"].to_numpy()
        table = columns[name].table or book.base
        keys = _key_values(frame, book.tables[table].key)
        rejects.add(table, frame[f"row of {table}"].iloc[at], keys.iloc[at], name, part["value"], reason)
        keep[at] = False
    keys = _key_values(frame, book.tables[book.base].key)
    arrays = {name: frame[name].to_numpy() for name in columns}
    for rule in book.rules:
        names = Expression.parse(rule.check).columns
        if not all(name in arrays for name in names):
            continue
        at = np.flatnonzero(~Expression.parse(rule.check).holds(arrays) & readable.to_numpy())
        shown = [", ".join(f"{n}={_text(frame[n].iloc[i])}" for n in names) for i in at]
        rejects.add(
            book.base, frame[f"row of {book.base}"].iloc[at], keys.iloc[at], names[0], shown, f"breaks: {rule.name}"
        )
        keep[at] = False
    return pd.Series(keep, index=frame.index)


def _unmatched(frame: pd.DataFrame, column: Column, book: Portfolio) -> np.ndarray:
    """Rows, bool (n,), that miss a column because its table has no row for them; such rows are kept on purpose."""
    tables = [column.table] if column.table else [book.columns[s].table for s in sources(column.derive)]
    return np.logical_or.reduce([frame[f"row of {table}"].isna().to_numpy() for table in tables])


def _set_aside(frame: pd.DataFrame, book: Portfolio, as_of: str | dt.date) -> tuple[pd.DataFrame, dict[str, int]]:
    target, counts = book.target, {}

    def drop(reason: str, rows: np.ndarray) -> None:
        nonlocal frame
        if rows.any():
            counts[reason] = int(rows.sum())
            frame = frame[~rows].reset_index(drop=True)

    drop("indeterminate", frame[target.column].isin(target.indeterminate).to_numpy())
    for reason, rule in target.exclusions.items():
        expression = Expression.parse(rule)
        columns = {name: frame[name].to_numpy() for name in expression.columns}
        known = ~np.logical_or.reduce([pd.isna(values) for values in columns.values()])
        drop(f"excluded, {reason}", expression.holds(columns) & known)
    if target.performance_months:
        read_on = _as_date(as_of or dt.date.today())
        matures = frame[target.observation_date] + pd.DateOffset(months=target.performance_months)
        drop(
            f"outcome window of {target.performance_months} months not over on {read_on:%Y-%m-%d}",
            (matures > read_on).to_numpy(),
        )
    return frame, counts


def _as_date(value: str | dt.date) -> pd.Timestamp:
    try:
        return pd.Timestamp(value).tz_localize(None)
    except ValueError:
        raise DataError(f"as_of is {value!r}, which is not a date; write it as YYYY-MM-DD") from None


# --- A file of applications to score ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Applications:
    """Checked applications. `frame` holds inputs by column name and `row` numbers; ids is text (n,) or None.

    received = accepted + rejected rows + duplicates.
    """

    frame: pd.DataFrame
    rows: np.ndarray
    ids: pd.Series | None
    received: int
    rejected: pd.DataFrame
    rejected_rows: int
    duplicates: int
    warnings: dict[str, int]


def check_applications(frame: pd.DataFrame, book: Portfolio, file: str) -> Applications:
    """Check a file of applications against the portfolio's inputs.

    Inputs that are derived may be given as such or through the columns they derive from. Raises DataError when a
    required column is missing or of a wrong type; bad rows are rejected with their reasons.
    """
    wanted, given = dict(book.inputs), frame.columns
    frame = _rename(frame, book.columns, file).reset_index(drop=True)
    derivable = {
        name: column
        for name, column in book.inputs.items()
        if name not in frame.columns and column.derive and set(sources(column.derive)) <= set(frame.columns)
    }
    wanted |= {source: book.columns[source] for column in derivable.values() for source in sources(column.derive)}
    needed = {name: column for name, column in book.inputs.items() if column.role == "input" and name not in derivable}
    _require_columns(frame, needed, file, given, f"; the model is for {book.title}")
    id_name = book.application_id if book.application_id in frame.columns else ""
    ids = id_texts(frame[id_name], file) if id_name else None

    rejects = _Rejections()
    typed, readable = _normalise(frame, wanted, file, file, id_name, rejects)
    for name, column in derivable.items():
        typed[name] = derive(column.derive, {s: typed[s].to_numpy() for s in sources(column.derive)})
    for name, column in book.inputs.items():
        if name not in typed.columns:
            typed[name] = np.nan if column.is_numeric else None
    keys = ids if ids is not None else pd.Series([None] * len(frame))

    failures = _limit_failures(typed[readable], wanted | book.inputs, lambda name, column: column.role != "input")
    positions = np.flatnonzero(readable)[failures["position"]]
    for (column, reason), part in failures.assign(position=positions).groupby(["column", "reason"], sort=False):
        at = part["position"].to_numpy()
        rejects.add(file, at + 1, keys.iloc[at], column, part["value"], reason)
    fine = readable.to_numpy().copy()
    fine[positions] = False

    duplicates = 0
    if ids is not None:
        first = ids[fine].drop_duplicates()
        repeated = fine & ids.notna().to_numpy() & ~np.isin(np.arange(len(ids)), first.index)
        at = np.flatnonzero(repeated)
        row_of = {value: position + 1 for position, value in first.items()}
        reasons = [f"duplicate of row {row_of[ids.iloc[i]]}" for i in at]
        rejects.add(file, at + 1, keys.iloc[at], id_name, ids.iloc[at], reasons)
        duplicates = int(repeated.sum())
        fine &= ~repeated
    accepted = typed.loc[fine, list(book.inputs)].reset_index(drop=True)
    return Applications(
        frame=accepted,
        rows=np.flatnonzero(fine) + 1,
        ids=ids[fine].reset_index(drop=True) if ids is not None else None,
        received=len(frame),
        rejected=rejects.frame(),
        rejected_rows=len(frame) - int(fine.sum()) - duplicates,
        duplicates=duplicates,
        warnings=soft_warnings(accepted, book),
    )


def whole_as_such(frame: pd.DataFrame) -> pd.DataFrame:
    """A table whose columns of nothing but whole numbers are whole: a text file then says 38 and not 38.0."""
    found = {}
    for name in frame.columns[[pd.api.types.is_float_dtype(dtype) for dtype in frame.dtypes]]:
        values = frame[name].to_numpy(dtype=np.float64, na_value=np.nan)
        there = values[~np.isnan(values)]
        if len(there) and (np.abs(there) < EXACT).all() and (there == np.floor(there)).all():
            found[name] = pd.array(values, dtype="Int64")
    return frame.assign(**found)


def to_columns(frame: pd.DataFrame, names, book: Portfolio) -> dict[str, np.ndarray]:
    """Columns as the models read them: numbers float64 with NaN, categories object with None where missing."""
    columns = {}
    for name in names:
        if book.columns[name].is_numeric:
            columns[name] = frame[name].to_numpy(dtype=np.float64, na_value=np.nan)
        else:
            values = frame[name].astype("object")
            columns[name] = values.where(values.notna(), None).to_numpy(dtype=object)
    return columns
