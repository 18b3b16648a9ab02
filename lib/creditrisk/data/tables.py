"""From files to a checked book: read, normalise, join, check, quarantine.

Whole-table mistakes (a missing column, a wrong type, a duplicate key, an empty file) stop with one clear message.
Single bad rows do not: they go to `rejected`, with table, row, column, value and reason, and are counted. Row numbers
count data rows from 1; in a CSV file the line is one more.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

import fsspec
import numpy as np
import pandas as pd
import pandera.pandas as pa
import sqlalchemy as sa

from creditrisk.data.expressions import Expression
from creditrisk.data.features import derive, sources
from creditrisk.data.portfolio import Column, Portfolio
from creditrisk.errors import DataError

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
    """A checked book: `frame` has one row a loan, every declared column, derived inputs and features.

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
    fs, root = fsspec.core.url_to_fs(source)
    if not fs.isdir(root):
        raise DataError(f"{source}: there is no such folder")
    tables = {}
    for name in book.tables:
        found = [path for ext in ("parquet", "csv", "xlsx") if fs.exists(path := f"{root.rstrip('/')}/{name}.{ext}")]
        if not found:
            raise DataError(f"{source}: no file for table {name!r}; expected {name}.parquet, {name}.csv or {name}.xlsx")
        with fs.open(found[0], "rb") as file:
            tables[name] = _read_file(file, PurePosixPath(found[0]).name)
    return tables


def read_file(path: str) -> pd.DataFrame:
    """Read one CSV, Parquet or xlsx file (path or fsspec URL). CSV values stay text."""
    fs, root = fsspec.core.url_to_fs(path)
    if not fs.exists(root) or fs.isdir(root):
        raise DataError(f"{path}: there is no such file")
    with fs.open(root, "rb") as file:
        return _read_file(file, PurePosixPath(root).name)


def _read_file(file, name: str) -> pd.DataFrame:
    try:
        if name.endswith(".parquet"):
            frame = pd.read_parquet(file)
        elif name.endswith(".csv"):
            frame = pd.read_csv(file, dtype=str, keep_default_na=False, encoding="utf-8-sig", skipinitialspace=True)
        elif name.endswith((".xlsx", ".xlsm")):
            frame = pd.read_excel(file, dtype=object)
        else:
            raise DataError(f"{name}: cannot read this kind of file; give .csv, .parquet or .xlsx")
    except pd.errors.EmptyDataError:
        raise DataError(f"{name}: the file is empty") from None
    except (pd.errors.ParserError, UnicodeDecodeError, ValueError, OSError, KeyError) as error:
        raise DataError(f"{name}: cannot be read: {str(error).strip().splitlines()[0]}") from None
    doubled = frame.columns[frame.columns.duplicated()].unique()
    if len(doubled):
        raise DataError(f"{name}: the column {doubled[0]!r} stands twice in the header")
    return frame


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
    engine = sa.create_engine(url)
    tables = {}
    try:
        with engine.connect() as connection:
            for name, table in book.tables.items():
                quoted = engine.dialect.identifier_preparer.quote_identifier(name)
                query = table.query or f"SELECT * FROM {quoted}"
                tables[name] = pd.read_sql_query(sa.text(query), connection)
    except sa.exc.SQLAlchemyError as error:
        shown = url.render_as_string(hide_password=True)
        reason = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
        raise DataError(f"{shown}: table {name!r} cannot be read: {reason}") from None
    finally:
        engine.dispose()
    return tables


# --- Normalising: names, types, spellings -----------------------------------------------------------------------------


class _Rejections:
    """Collects rejected cells; a row may break several rules."""

    def __init__(self) -> None:
        self.parts: list[pd.DataFrame] = []

    def add(self, table: str, rows, keys, column: str, values, reason) -> None:
        if len(rows):
            part = pd.DataFrame({"table": table, "row": np.asarray(rows, dtype=np.int64)})
            part["key"] = [None if k is None else str(k) for k in keys]
            part["column"] = column
            part["value"] = [None if pd.isna(v) else str(v) for v in values]
            part["reason"] = reason
            self.parts.append(part[REJECTED_COLUMNS])

    def frame(self) -> pd.DataFrame:
        if not self.parts:
            return pd.DataFrame(
                {name: pd.Series(dtype="int64" if name == "row" else "str") for name in REJECTED_COLUMNS}
            )
        return pd.concat(self.parts, ignore_index=True).sort_values(["table", "row"], kind="stable", ignore_index=True)


def _rename(frame: pd.DataFrame, wanted: Mapping[str, Column], file: str) -> pd.DataFrame:
    """Give columns their own names where they came under another accepted one."""
    frame = frame.rename(columns=lambda name: str(name).strip())
    names = {}
    for name, column in wanted.items():
        for alias in (column.wire, *column.also_called):
            if alias and alias in frame.columns:
                if name in frame.columns:
                    raise DataError(f"{file}: {alias!r} and {name!r} are two names of one column; keep one")
                names[alias] = name
    return frame.rename(columns=names)


def _numbers(values: pd.Series, whole: bool) -> tuple[pd.Series, pd.Series, str]:
    """(float64 values, cells that cannot be read, what they should be)."""
    if pd.api.types.is_bool_dtype(values):
        return values.astype("float64"), pd.Series(True, index=values.index), "not a number"
    text = values.astype("str") if not pd.api.types.is_numeric_dtype(values) else None
    blank = values.isna() if text is None else text.isna() | text.str.strip().str.lower().isin(MISSING_TEXTS)
    source = values if text is None else text.str.strip().where(~blank)
    numbers = pd.to_numeric(source, errors="coerce").astype("float64")
    unreadable = (numbers.isna() & ~blank) | np.isinf(numbers)
    if whole and not unreadable.any():
        return numbers, numbers.notna() & (numbers != np.floor(numbers)), "not a whole number"
    return numbers, unreadable, "not a number"


def _levels(values: pd.Series, column: Column) -> tuple[pd.Series, pd.Series]:
    """(text values with aliases resolved, cells whose level is unknown)."""
    if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
        present = values.dropna()
        whole = (present == np.floor(present)).all()
        text = values.map(lambda v: str(int(v)) if whole else str(v), na_action="ignore").astype("str")
    else:
        text = values.astype("str").str.strip()
    known = set(column.levels) | set(column.aliases)
    blank = text.isna() | (text.str.lower().isin(MISSING_TEXTS) & ~text.isin(known))
    text = text.replace(dict(column.aliases)).where(~blank)
    return text.astype("object").where(~blank, None), ~blank & ~text.isin(column.levels)


def _dates(values: pd.Series) -> tuple[pd.Series, pd.Series]:
    if not pd.api.types.is_datetime64_any_dtype(values):
        text = values.astype("str").str.strip()
        blank = values.isna() | text.str.lower().isin(MISSING_TEXTS)
        dates = pd.to_datetime(text.where(~blank), errors="coerce", format="ISO8601")
        return dates.astype("datetime64[us]"), dates.isna() & ~blank
    if values.dt.tz is not None:
        values = values.dt.tz_convert(None)
    return values.astype("datetime64[us]"), pd.Series(False, index=values.index)


def _normalise(
    frame: pd.DataFrame, wanted: Mapping[str, Column], table: str, file: str, key: str, rejects: _Rejections
):
    """Columns in their declared types. Returns the frame and bool (n,): rows without an unreadable cell."""
    out, good = {}, pd.Series(True, index=frame.index)
    keys = frame[key] if key and key in frame.columns else pd.Series([None] * len(frame), index=frame.index)
    for name, column in wanted.items():
        if name not in frame.columns:
            continue
        if column.is_numeric:
            out[name], wrong, what = _numbers(frame[name], column.kind == "integer")
        elif column.kind == "category":
            out[name], wrong = _levels(frame[name], column)
            what = f"unknown level; allowed: {', '.join(column.levels)}"
        elif column.kind == "date":
            out[name], wrong = _dates(frame[name])
            what = "not a date (YYYY-MM-DD)"
        else:
            text = frame[name].astype("str").str.strip()
            out[name], wrong, what = text, pd.Series(False, index=frame.index), ""
        filled = int(frame[name].notna().sum())
        if column.kind != "category" and wrong.sum() > 0.5 * max(filled, 1):
            row = int(np.flatnonzero(wrong)[0])
            raise DataError(
                f"{file}, column {name!r}: wrong type: {int(wrong.sum()):,} of {filled:,} values are {what}, "
                f"the first in row {row + 1}: {frame[name].iloc[row]!r}; the portfolio says kind = {column.kind!r}"
            )
        bad_rows = np.flatnonzero(wrong)
        rejects.add(table, bad_rows + 1, keys.iloc[bad_rows], name, frame[name].iloc[bad_rows], what)
        good &= ~wrong
    return pd.DataFrame(out, index=frame.index), good


def _require_columns(frame: pd.DataFrame, wanted: Mapping[str, Column], file: str) -> None:
    if frame.empty and not len(frame.columns):
        raise DataError(f"{file}: the file is empty")
    missing = [n for n, c in wanted.items() if n not in frame.columns and not c.may_be_absent]
    if missing:
        found = ", ".join(map(str, frame.columns[:20])) + (", ..." if len(frame.columns) > 20 else "")
        names = ", ".join(repr(n) for n in missing)
        raise DataError(f"{file}: missing column{'s' if len(missing) > 1 else ''} {names}; the file has {found}")
    if frame.empty:
        raise DataError(f"{file}: the file has a header but no rows")


def _require_unique(values: pd.Series, file: str) -> None:
    doubled = values[values.duplicated(keep=False) & values.notna()]
    if len(doubled):
        first = doubled.iloc[0]
        rows = [int(i) + 1 for i in np.flatnonzero(values == first)[:3]]
        raise DataError(
            f"{file}, column {values.name!r}: duplicate key: {doubled.nunique():,} keys stand more than once, "
            f"e.g. {first!r} in rows {', '.join(map(str, rows))}"
        )
    if values.isna().any():
        raise DataError(
            f"{file}, column {values.name!r}: the key is missing in row {int(np.argmax(values.isna())) + 1}"
        )


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
                    found[f"{name} {word} {limit:,g}"] = count
    return found


def soft_warnings(frame: pd.DataFrame, book: Portfolio) -> dict[str, int]:
    """Inputs beyond the portfolio's soft limits: sentence -> number of rows. Such rows are scored."""
    return _soft_warnings(frame, book.inputs)


def stop_if_too_many_rejected(rejected: pd.DataFrame, rows: int, received: int, book: Portfolio) -> None:
    """Raise DataError when rejected rows exceed the portfolio's `max_reject_share`."""
    if rows > book.max_reject_share * received:
        first = rejected.iloc[0]
        raise DataError(
            f"{rows:,} of {received:,} rows are rejected ({rows / received:.1%}), more than the portfolio's limit of "
            f"{book.max_reject_share:.0%}; see rejected.parquet. The first: table {first['table']}, row {first['row']}, "
            f"column {first['column']}, value {first['value']}: {first['reason']}"
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
        wanted = {n: c for n, c in book.columns.items() if c.table == name}
        frame = _rename(tables[name], wanted | {n: book.columns[n] for n in _keys(book, name)}, name)
        frame = frame.reset_index(drop=True)
        _require_columns(frame, wanted | {n: book.columns[n] for n in _keys(book, name)}, name)
        typed = wanted | {n: book.columns[n] for n in _keys(book, name) if n in book.columns}
        parts[name], fine[name] = _normalise(frame, typed, name, name, table.key, rejects)
        if table.key:
            _require_unique(parts[name][table.key], name)
        parts[name][f"row of {name}"] = np.arange(1, len(frame) + 1)
        if not fine[name].all() and name != book.base:
            parts[name]["unreadable " + name] = ~fine[name]
    _require_target(parts[book.base], book)

    frame = parts[book.base]
    received, joins, keep = len(frame), [], fine[book.base].copy()
    base_key = book.tables[book.base].key
    for name, table in book.tables.items():
        if name == book.base:
            continue
        before = len(frame)
        right = parts[name]
        merged = frame.reset_index(names="base position").merge(right, on=table.join, how="left", indicator="match")
        keep = keep.iloc[merged["base position"]].reset_index(drop=True)
        lost = (merged["match"] == "left_only").reset_index(drop=True)
        if table.unmatched == "reject":
            rows = np.flatnonzero(lost)
            rejects.add(
                book.base, merged[f"row of {book.base}"].iloc[rows], _key_values(merged, base_key).iloc[rows],
                table.join, merged[table.join].iloc[rows], f"no row in {name} with this {table.join}",
            )  # fmt: skip
            keep &= ~lost
        unused = int((~right[table.join].isin(frame[table.join])).sum())
        if f"unreadable {name}" in merged:
            keep &= ~merged.pop(f"unreadable {name}").fillna(False).astype(bool)
        joins.append(Join(name, table.join, before, int(lost.sum()), len(merged) - before, unused))
        frame = merged.drop(columns=["base position", "match"])

    columns = {n: c for n, c in book.columns.items() if n in frame.columns}
    for name, column in book.columns.items():
        if column.derive is not None and name not in frame.columns:
            frame[name] = derive(column.derive, {s: frame[s].to_numpy() for s in sources(column.derive)})
            columns[name] = column
    keep &= _reject_rows(frame, columns, book, keep, base_key, rejects)

    rejected_rows = int((~keep).sum())
    frame = frame[keep].reset_index(drop=True)
    frame, set_aside = _set_aside(frame, book, as_of)
    if frame.empty:
        raise DataError("no row is left to learn from: " + ", ".join(f"{k}: {v:,}" for k, v in set_aside.items()))
    bad = frame[book.target.column].isin(book.target.bad).to_numpy().astype(np.int8)
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


def _require_target(frame: pd.DataFrame, book: Portfolio) -> None:
    target = book.target
    values = frame[target.column]
    allowed = [*target.good, *target.bad, *target.indeterminate]
    wrong = ~values.isin(allowed)
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        value = values.iloc[row]
        shown = "missing" if pd.isna(value) else f"{value:g}" if isinstance(value, float) else repr(value)
        raise DataError(
            f"{book.base}, column {target.column!r}: the target is {shown} in row {row + 1} and not declared in "
            f"{int(wrong.sum()):,} rows; the portfolio declares good {list(target.good)}, bad {list(target.bad)}"
            + (f", indeterminate {list(target.indeterminate)}" if target.indeterminate else "")
        )
    present = [name for name in ("good", "bad") if values.isin(getattr(target, name)).any()]
    if len(present) < 2:
        raise DataError(f"{book.base}, column {target.column!r}: every row is {present[0]}; both classes are needed")


def _reject_rows(
    frame, columns, book: Portfolio, readable: pd.Series, base_key: str, rejects: _Rejections
) -> pd.Series:
    """Apply hard limits and cleaning rules; returns bool (n,): rows that break none."""
    keep = np.ones(len(frame), dtype=bool)
    keys = _key_values(frame, base_key)

    def nullable(name: str, column: Column) -> bool:
        return column.nullable or column.role not in ("input", "target", "id")

    failures = _limit_failures(frame[readable.to_numpy()], columns, nullable)
    positions = np.flatnonzero(readable)[failures["position"]]
    for (column, reason), part in failures.assign(position=positions).groupby(["column", "reason"], sort=False):
        at = part["position"].to_numpy()
        table = columns[column].table or book.base
        rejects.add(table, frame[f"row of {table}"].iloc[at].fillna(0), keys.iloc[at], column, part["value"], reason)
        keep[at] = False
    arrays = {name: frame[name].to_numpy() for name in columns}
    for rule in book.rules:
        names = Expression.parse(rule.check).columns
        if not all(name in arrays for name in names):
            continue
        at = np.flatnonzero(~Expression.parse(rule.check).holds(arrays) & readable.to_numpy())
        shown = [", ".join(f"{n}={frame[n].iloc[i]:g}" if columns[n].is_numeric else f"{n}={frame[n].iloc[i]}"
                           for n in names) for i in at]  # fmt: skip
        rejects.add(
            book.base, frame[f"row of {book.base}"].iloc[at], keys.iloc[at], names[0], shown, f"breaks: {rule.name}"
        )
        keep[at] = False
    return pd.Series(keep, index=frame.index)


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
        read_on = pd.Timestamp(as_of or dt.date.today())
        matures = frame[target.observation_date] + pd.DateOffset(months=target.performance_months)
        drop(
            f"outcome window of {target.performance_months} months not over on {read_on:%Y-%m-%d}",
            (matures > read_on).to_numpy() | frame[target.observation_date].isna().to_numpy(),
        )
    return frame, counts


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
    wanted = dict(book.inputs)
    frame = _rename(frame, book.columns, file).reset_index(drop=True)
    for name, column in book.inputs.items():
        if name not in frame.columns and column.derive and all(s in frame.columns for s in sources(column.derive)):
            wanted |= {source: book.columns[source] for source in sources(column.derive)}
    needed = {
        n: c
        for n, c in book.inputs.items()
        if c.role == "input" and not (c.derive and set(sources(c.derive)) <= set(wanted))
    }
    _require_columns(frame, needed, file)
    id_name = book.application_id if book.application_id in frame.columns else ""
    ids = frame[id_name].astype("str").str.strip() if id_name else None

    rejects = _Rejections()
    typed, readable = _normalise(frame, wanted, file, file, id_name, rejects)
    for name, column in book.inputs.items():
        if name not in typed.columns:
            if column.derive and all(s in typed.columns for s in sources(column.derive)):
                typed[name] = derive(column.derive, {s: typed[s].to_numpy() for s in sources(column.derive)})
            else:
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
