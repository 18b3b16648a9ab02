"""Bins as a SQL expression that gives, on every row, what `Bins.assign` and `Bins.transform` give: to the last bit.

Intervals are half-open, `[a, b)`, as chains of `x < b`; missing values come first, special codes before intervals,
levels never seen last. Numbers are compared as float64 and levels as text, byte by byte, whatever type or collation
the column has.

Dialects:

- "postgresql", with standard_conforming_strings on, as it is by default. NaN is missing. A CHAR(n) column loses its
  trailing spaces, as everywhere in PostgreSQL.
- "sqlite". It stores NaN as NULL by itself. A column may hold anything there: text in a column of numbers has no bin,
  and the result is NULL. Before version 3.43 the last bit needs a build with 80-bit long double (x86, not Windows).
- "generic" keeps to the SQL standard, which names no NaN and no collation: a missing number must be NULL, and text is
  compared as the database does.

Numbers that stand for levels (1 for the level "1") must be whole: databases write other numbers in different ways.
The text may hold `%`, `?` and `:` in levels and names: give it to a driver without parameters.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from numbers import Integral, Real

from creditrisk.binning.bins import Bins
from creditrisk.errors import BinningError

SQLITE, POSTGRESQL, GENERIC = "sqlite", "postgresql", "generic"
_MARGIN = Fraction(1, 2**58)
"""Relative error of a decimal-to-binary conversion that a written number must survive; 17 digits always do."""
_TINY = 1e-290  # SQLite reads decimals below this with two roundings


@dataclass(frozen=True)
class Dialect:
    """How one database spells names, numbers and text."""

    name: str
    quote: str = '"'
    as_number: str = "CAST({} AS DOUBLE PRECISION)"
    as_text: str = "CAST({} AS VARCHAR({}))"
    float_end: str = ""
    infinity: str = ""
    longest_name: int | None = None

    def identifier(self, name: str) -> str:
        """A name of a table or column, quoted. Raises BinningError for one that the database cannot hold."""
        self._check_text(name, "name")
        if not name:
            raise BinningError("SQL: a name of a table or column is empty")
        if self.longest_name and len(name.encode()) > self.longest_name:
            raise BinningError(
                f"SQL: the name {name!r} is longer than {self.longest_name} bytes, where {self.name} cuts names off; "
                "use a shorter one"
            )
        return self.quote + name.replace(self.quote, self.quote * 2) + self.quote

    def string(self, text: str) -> str:
        """Text as a literal. Raises BinningError for text that a database cannot hold."""
        self._check_text(text, "level")
        return "'" + text.replace("'", "''") + "'"

    def number(self, value: float) -> str:
        """A float64 as a literal that the database reads back to the last bit; an integer as it is.

        Raises BinningError for NaN, and for infinity where the dialect has no literal for it.
        """
        if isinstance(value, Integral):
            return str(int(value))
        value = float(value)
        if math.isinf(value) and self.infinity:
            return "-" * (value < 0) + self.infinity
        if not math.isfinite(value):
            raise BinningError(f"SQL: {value!r} cannot be written as a number for {self.name}; use a finite one")
        if self.name == SQLITE and 0 < abs(value) < _TINY:
            return f"({_decimal(value * 2.0**1000)} / {_decimal(2.0**500)} / {_decimal(2.0**500)})"
        text = _decimal(value)
        return text if self.name == GENERIC and "e" in text else text + self.float_end

    def _check_text(self, text: str, what: str) -> None:
        if not isinstance(text, str):
            raise BinningError(f"SQL: the {what} {text!r} is not text")
        if "\0" in text:
            raise BinningError(f"SQL: the {what} {text!r} holds a NUL character, which SQL cannot spell; remove it")
        try:
            text.encode()
        except UnicodeEncodeError:
            raise BinningError(f"SQL: the {what} {text!r} is not valid Unicode; remove the lone surrogate") from None


DIALECTS: Mapping[str, Dialect] = {
    dialect.name: dialect
    for dialect in (
        # Backticks: SQLite takes "x" for the text 'x' where there is no column x, instead of saying so.
        Dialect(
            SQLITE, quote="`", as_number="CAST({} AS REAL)", as_text="CAST({} AS TEXT) COLLATE BINARY", infinity="9e999"
        ),
        Dialect(
            POSTGRESQL, as_number="{}::float8", as_text='{}::text COLLATE "C"', float_end="::float8",
            infinity="'Infinity'::float8", longest_name=63,
        ),
        Dialect(GENERIC, float_end="e0"),  # with an exponent a standard literal is a float, without it a decimal
    )
}  # fmt: skip


def dialect_of(name: str) -> Dialect:
    """The dialect of this name. Raises BinningError, which lists those known, for any other."""
    if name not in DIALECTS:
        raise BinningError(f"SQL: unknown dialect {name!r}; known are {', '.join(DIALECTS)}")
    return DIALECTS[name]


def bins_sql(
    bins: Bins,
    dialect: str = GENERIC,
    *,
    column: str | None = None,
    values: Sequence[float | int] | None = None,
) -> str:
    """A CASE expression over a column that gives a number by slot: without `values` the WOE.

    `column` is its name where it is not that of the bins. `values` has one number for each slot (`bins.n_slots`), such
    as points; all whole, or else all float64. Raises BinningError for an unknown dialect, for values that are not one
    finite number a slot, and for levels or names that no database can hold.
    """
    return "\n".join(case_lines(bins, dialect, column=column, values=values))


def case_lines(
    bins: Bins, dialect: str, *, column: str | None = None, values: Sequence[float | int] | None = None
) -> list[str]:
    """`bins_sql` line by line, for whoever indents it: a level or a name may hold a line end of its own."""
    spelled = dialect_of(dialect)
    name = spelled.identifier(bins.name if column is None else column)
    numbers = [spelled.number(value) for value in _by_slot(bins, values)]
    arms = _number_arms(bins, name, spelled) if bins.kind == "numeric" else _level_arms(bins, name, spelled)
    return ["CASE", *(f"  {arm} {'NULL' if slot is None else numbers[slot]}" for arm, slot in arms), "END"]


def slots_sql(bins: Bins, dialect: str = GENERIC, *, column: str | None = None) -> str:
    """A CASE expression that gives the slot, as `Bins.assign` does: to count rows by bin where they are."""
    return bins_sql(bins, dialect, column=column, values=range(bins.n_slots))


Arm = tuple[str, int | None]
"""What stands before the number of a line of a CASE, and the slot whose number it is; None for no number."""


def _number_arms(bins: Bins, name: str, dialect: Dialect) -> list[Arm]:
    number = dialect.as_number.format(name)
    missing = f"{name} IS NULL"
    if dialect.name == POSTGRESQL:
        missing += f" OR {number} = 'NaN'"  # it is above all other numbers there
    arms: list[Arm] = [(f"WHEN {missing} THEN", bins.missing_slot)]
    if dialect.name == SQLITE:
        arms.append((f"WHEN typeof({name}) IN ('text', 'blob') THEN", None))  # or it would count as 0
    for i, code in enumerate(bins.special):
        hidden = code != code or code in bins.special[i + 1 :]  # NaN is missing; of equal codes the last one counts
        if not hidden:
            arms.append((f"WHEN {number} = {dialect.number(float(code))} THEN", bins.n_regular + i))
    for slot, cut in enumerate(bins.cuts):
        arms.append((f"WHEN {number} < {dialect.number(float(cut))} THEN", slot))
    return [*arms, ("ELSE", len(bins.cuts))]


def _level_arms(bins: Bins, name: str, dialect: Dialect) -> list[Arm]:
    longest = max((len(level) for group in bins.groups for level in group), default=0)
    text = dialect.as_text.format(name, max(255, longest + 1))  # cut off there, a longer value still is no level
    arms: list[Arm] = [(f"WHEN {name} IS NULL THEN", bins.missing_slot)]
    for slot, group in enumerate(bins.groups):
        if group:
            arms.append((f"WHEN {text} IN ({', '.join(map(dialect.string, group))}) THEN", slot))
    return [*arms, ("ELSE", bins.n_slots - 1)]


def _by_slot(bins: Bins, values: Sequence[float | int] | None) -> list[float] | list[int]:
    """One number for each slot: all ints, or all floats."""
    values = bins.woe.tolist() if values is None else list(values)
    if len(values) != bins.n_slots:
        raise BinningError(f"binning {bins.name!r}: {len(values)} values for {bins.n_slots} slots; give one for each")
    for slot, value in enumerate(values):
        if not isinstance(value, Real) or not math.isfinite(value):
            raise BinningError(f"binning {bins.name!r}: the value of slot {slot} is {value!r}, not a finite number")
    if all(isinstance(value, Integral) for value in values):
        return [int(value) for value in values]
    return [float(value) for value in values]


def _decimal(value: float) -> str:
    """A short decimal of a finite float64, far enough from the middle between two floats to be read without doubt.

    The shortest one, as repr writes it, may lie near a middle: SQLite before 3.43 rounds twice, and reads 31769.366129
    as the float below it.
    """
    if value == 0:
        return repr(value)
    short, exact = Fraction(repr(value)), Fraction(value)
    middles = [
        (exact + Fraction(near)) / 2
        for near in (math.nextafter(value, -math.inf), math.nextafter(value, math.inf))
        if math.isfinite(near)
    ]
    if all(abs(short - middle) > abs(exact) * _MARGIN for middle in middles):
        return repr(value)
    long = f"{value:.17g}"
    return long if "." in long or "e" in long else long + ".0"
