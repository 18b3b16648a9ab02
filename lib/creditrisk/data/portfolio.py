"""The contract of a book of loans: one TOML file, read into typed objects.

The API schema, the applicant form, the row checks and the drift columns are all generated from it. A lender with
other columns writes another file and changes no code.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from functools import cache, cached_property
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from creditrisk.data.expressions import Expression
from creditrisk.data.features import FEATURES
from creditrisk.errors import PortfolioError

BUILT_IN = Path(__file__).parent / "portfolios"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def _rule_text(text: str) -> str:
    Expression.parse(text)
    return text


RuleText = Annotated[str, AfterValidator(_rule_text)]


class Table(_Part):
    """One table as it is delivered, and how it joins the base table."""

    key: str = Field("", description="Column that identifies a row; empty when rows have no identifier.")
    join: str = Field("", description="Column shared with the base table; empty for the base table itself.")
    unmatched: Literal["reject", "keep"] = Field(
        "reject", description="What happens to a base row without a match: rejected, or kept with missing values."
    )
    query: str = Field("", description="SQL used when data comes from a database; default SELECT * FROM the table.")


class Target(_Part):
    """What bad means, in words and in numbers."""

    column: str
    good: tuple[int | str, ...] = (0,)
    bad: tuple[int | str, ...] = (1,)
    indeterminate: tuple[int | str, ...] = Field(
        (), description="Values that are neither good nor bad; such rows are set aside, counted."
    )
    definition: str
    days_past_due: int | None = Field(None, ge=1, description="Days past due that make a loan bad.")
    performance_months: int = Field(0, ge=0, description="Months after observation in which bad is measured.")
    observation_date: str = Field("", description="Column with the date from which the window runs.")
    exclusions: dict[str, RuleText] = Field(
        default_factory=dict, description="Reason = rule; rows for which the rule holds are set aside, counted."
    )


class Derive(_Part):
    """A derived column: a function of the feature library over other columns."""

    function: str
    args: dict[str, str] = Field(
        default_factory=dict, description="Function argument = column, where the two names differ."
    )
    zero_denominator: float | None = Field(
        None, description="Structural value when the denominator is zero; without it the feature is missing."
    )
    scale: float = Field(1.0, description="The result is multiplied by this (100 makes a percentage).")


class Column(_Part):
    """One column: where it comes from, what it may hold, how it may be used."""

    kind: Literal["number", "integer", "category", "date", "text"]
    role: Literal["input", "optional", "feature", "audit", "info", "id", "target", "date"] = "info"
    table: str = Field("", description="The table it is delivered in; empty for a derived column.")
    derive: Derive | None = None
    label: str = ""
    help: str = ""
    unit: str = ""
    wire: str = Field("", description="Name in requests, when it differs from the column's name.")
    also_called: tuple[str, ...] = Field((), description="Other names accepted for this column in files.")
    min: float | None = Field(None, description="Hard limit: a value below is refused.")
    max: float | None = Field(None, description="Hard limit: a value above is refused.")
    above: float | None = Field(None, description="Hard limit: a value at or below is refused.")
    warn_below: float | None = Field(None, description="Soft limit: a value below is scored, with a warning.")
    warn_above: float | None = Field(None, description="Soft limit: a value above is scored, with a warning.")
    levels: tuple[str, ...] = ()
    aliases: dict[str, str] = Field(default_factory=dict, description="Spelling as delivered = level.")
    special: tuple[float, ...] = Field((), description="Codes that are not measurements; each gets its own bin.")
    nullable: bool = Field(False, description="May be missing in the tables. Inputs are still required to score.")
    may_be_absent: bool = Field(False, description="The whole column may be missing from the table.")
    risk: Literal["increasing", "decreasing", "any"] = Field(
        "any", description="Expected direction of PD as the value rises."
    )
    known_at_application: bool = True
    default: float | str | None = Field(None, description="What a form shows at first.")
    reason: str = Field("", description="Text given to an applicant when this input lowers the score most.")

    @model_validator(mode="after")
    def _is_coherent(self) -> Column:
        if self.kind == "category" and not self.levels:
            raise ValueError("a category needs levels = [...]")
        if self.kind != "category" and (self.levels or self.aliases):
            raise ValueError(f'levels and aliases are for kind = "category", not {self.kind!r}')
        for spelling, level in self.aliases.items():
            if level not in self.levels:
                raise ValueError(
                    f"alias {spelling!r} names level {level!r}, which is not in levels {list(self.levels)}"
                )
        if self.kind in ("category", "date", "text") and self.risk != "any":
            raise ValueError('risk = "increasing" or "decreasing" is for numbers')
        low = self.min if self.min is not None else self.above
        if low is not None and self.max is not None and low > self.max:
            raise ValueError(f"the lower limit {low:g} is above max {self.max:g}")
        if self.role in ("input", "optional", "feature") and not self.known_at_application:
            raise ValueError(
                f"a column that is not known at application cannot have role = {self.role!r}; "
                'training on it would leak the outcome (use role = "info")'
            )
        if not self.table and self.derive is None:
            raise ValueError('needs either table = "..." or derive = {...}')
        if self.role == "feature" and self.derive is None:
            raise ValueError('role = "feature" needs derive = {function = ...}')
        return self

    @property
    def is_numeric(self) -> bool:
        return self.kind in ("number", "integer")


class Rule(_Part):
    """A cleaning rule over the columns of a row; rows for which it does not hold are rejected."""

    name: str
    check: RuleText


class Restricted(_Part):
    """A protected attribute and what may be done with it."""

    use: Literal["audit", "model"]
    no_worse_from: float | None = Field(
        None, description="From this value on the attribute may not make the score worse (age 62 in US law)."
    )


class Rating(_Part):
    """A client-facing rating: scores below `below`; the last one has no bound."""

    name: str
    below: int | None = None


class Scale(_Part):
    """The scale of credit_score: score = int(low + (1 - PD) * (high - low))."""

    low: int = 300
    high: int = 900
    ratings: tuple[Rating, ...]


class Points(_Part):
    """The additive scale of scorecard points: `at` points at `odds`:1 good:bad, `pdo` points double the odds."""

    at: float = 600.0
    odds: float = Field(50.0, gt=0)
    pdo: float = Field(20.0, gt=0)


class Grade(_Part):
    """One grade of the master scale: PDs up to and including max_pd."""

    name: str
    max_pd: float = Field(gt=0, le=1)


class Portfolio(_Part):
    """A book's contract. Made by `load_portfolio`; `text` is the TOML it was read from."""

    name: str
    title: str
    base: str
    target: Target
    tables: dict[str, Table]
    columns: dict[str, Column]
    scale: Scale
    application_id: str = Field("", description="Column of a file of applications that identifies one; may be empty.")
    currency: str = ""
    max_reject_share: float = Field(0.05, ge=0, le=1)
    approval_share: float = Field(0.8, gt=0, lt=1, description="Share of applicants the portfolio wants to approve.")
    missing_share_of_optional: float = Field(
        0.1, ge=0, lt=1, description="Share of training rows in which an optional input is masked at random."
    )
    points: Points = Points()
    grades: tuple[Grade, ...] = ()
    rules: tuple[Rule, ...] = ()
    restricted: dict[str, Restricted] = Field(default_factory=dict)
    source: str = Field("", exclude=True)
    text: str = Field("", exclude=True)

    @property
    def inputs(self) -> dict[str, Column]:
        """The columns an applicant is asked for, required ones first, by column name."""
        asked = {n: c for n, c in self.columns.items() if c.role == "input"}
        return asked | {n: c for n, c in self.columns.items() if c.role == "optional"}

    @property
    def features(self) -> dict[str, Column]:
        """The columns derived from inputs."""
        return {n: c for n, c in self.columns.items() if c.role == "feature"}

    @property
    def candidates(self) -> dict[str, Column]:
        """What a model may use: inputs and features that are not restricted to audit."""
        return {n: c for n, c in (self.inputs | self.features).items() if c.kind in ("number", "integer", "category")}

    @property
    def protected(self) -> frozenset[str]:
        """Attributes that may never be given as a reason."""
        return frozenset(self.restricted)

    @cached_property
    def wire_names(self) -> dict[str, str]:
        """Accepted name in a request or file -> column name."""
        names = {}
        for name, column in self.columns.items():
            for alias in (name, column.wire, *column.also_called):
                if alias:
                    names[alias] = name
        return names

    @model_validator(mode="after")
    def _is_coherent(self) -> Portfolio:
        for check in (_check_tables, _check_columns, _check_uses, _check_scales):
            check(self)
        return self


def _fail(path: str, message: str) -> None:
    raise ValueError(f"{path}: {message}")


def _known(path: str, name: str, allowed, what: str) -> None:
    if name not in allowed:
        near = difflib.get_close_matches(name, list(allowed), 1)
        hint = f"; did you mean {near[0]!r}?" if near else f"; known are {', '.join(allowed)}"
        _fail(path, f"there is no {what} {name!r}{hint}")


def _check_tables(book: Portfolio) -> None:
    _known("base", book.base, book.tables, "table")
    for name, table in book.tables.items():
        if name == book.base and table.join:
            _fail(f"tables.{name}.join", "the base table joins nothing; leave join out")
        if name != book.base and not table.join:
            _fail(f"tables.{name}.join", f"missing: the column this table shares with {book.base!r}")


def _check_columns(book: Portfolio) -> None:
    for name, column in book.columns.items():
        path = f"columns.{name}"
        if column.table:
            _known(f"{path}.table", column.table, book.tables, "table")
        if column.derive is not None:
            _known(f"{path}.derive.function", column.derive.function, FEATURES, "feature function")
            arguments = FEATURES[column.derive.function].arguments
            for argument in column.derive.args:
                _known(f"{path}.derive.args", argument, arguments, f"argument of {column.derive.function}")
            for argument in arguments:
                source = column.derive.args.get(argument, argument)
                _known(f"{path}.derive", source, book.columns, "column")
                used = book.columns[source]
                if column.role in ("input", "optional", "feature") and not used.known_at_application:
                    _fail(path, f"uses {source!r}, which is not known at application; training on it would leak")
                if column.role == "feature" and source not in book.inputs:
                    _fail(path, f"uses {source!r}, which is not an input, so it could not be computed when scoring")
    taken: dict[str, str] = {}
    for name, column in book.columns.items():
        for alias in {name, column.wire, *column.also_called} - {""}:
            if alias in taken:
                _fail(f"columns.{name}", f"the name {alias!r} already belongs to {taken[alias]!r}")
            taken[alias] = name
    if not book.inputs:
        _fail("columns", 'no column has role = "input": there is nothing to score')


def _check_uses(book: Portfolio) -> None:
    _known("target.column", book.target.column, book.columns, "column")
    if book.target.observation_date:
        _known("target.observation_date", book.target.observation_date, book.columns, "column")
        if book.columns[book.target.observation_date].kind != "date":
            _fail("target.observation_date", f'{book.target.observation_date!r} is not of kind "date"')
    elif book.target.performance_months:
        _fail("target.performance_months", "needs observation_date, the column from which the window runs")
    values = [*book.target.good, *book.target.bad, *book.target.indeterminate]
    if len(set(values)) != len(values):
        _fail("target", f"a value stands in more than one of good, bad, indeterminate: {values}")
    for i, rule in enumerate(book.rules):
        for name in Expression.parse(rule.check).columns:
            _known(f"rules[{i}].check", name, book.columns, "column")
    for reason, rule in book.target.exclusions.items():
        for name in Expression.parse(rule).columns:
            _known(f"target.exclusions.{reason}", name, book.columns, "column")
    for name, limit in book.restricted.items():
        path = f"restricted.{name}"
        _known(path, name, book.columns, "column")
        column = book.columns[name]
        if limit.use == "audit" and column.role in ("input", "optional", "feature"):
            _fail(path, f"may be audited, never modelled, but columns.{name} has role = {column.role!r}")
        if limit.no_worse_from is not None and column.risk != "decreasing":
            _fail(
                f"{path}.no_worse_from",
                f'needs columns.{name}.risk = "decreasing": only a PD that never rises with {name} '
                f"keeps {limit.no_worse_from:g} and over from scoring worse for it",
            )


def _check_scales(book: Portfolio) -> None:
    bounds = [rating.below for rating in book.scale.ratings]
    if not bounds or bounds[-1] is not None or None in bounds[:-1] or bounds[:-1] != sorted(set(bounds[:-1])):
        _fail("scale.ratings", "need rising bounds `below`, and a last rating without one")
    if book.scale.low >= book.scale.high:
        _fail("scale", f"low {book.scale.low} is not below high {book.scale.high}")
    steps = [grade.max_pd for grade in book.grades]
    if steps and (steps != sorted(set(steps)) or steps[-1] != 1.0):
        _fail("grades", f"max_pd must rise strictly and end at 1.0, but is {steps}")


def built_in_portfolios() -> list[str]:
    """Names of the portfolios that come with the package."""
    return sorted(path.stem for path in BUILT_IN.glob("*.toml"))


def load_portfolio(name_or_path: str) -> Portfolio:
    """Read a portfolio by built-in name (`retail`) or by path to a TOML file.

    Raises PortfolioError: file, line, key, what is wrong and what is allowed, one line for each mistake.
    """
    path = Path(name_or_path)
    if path.suffix != ".toml":
        if name_or_path not in built_in_portfolios():
            raise PortfolioError(
                f"there is no portfolio {name_or_path!r}; built in are {', '.join(built_in_portfolios())}, "
                "or give the path of a .toml file"
            )
        path = BUILT_IN / f"{name_or_path}.toml"
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise PortfolioError(f"{path}: there is no such portfolio file") from None
    except UnicodeDecodeError as error:
        raise PortfolioError(f"{path}: not UTF-8 text (byte {error.start})") from None
    return parse_portfolio(text, path.name)


@cache
def parse_portfolio(text: str, source: str = "portfolio.toml") -> Portfolio:
    """Read a portfolio from TOML text; `source` is the file name used in messages."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise PortfolioError(f"{source}: not valid TOML: {error}") from None
    try:
        book = Portfolio.model_validate(data, strict=False)
    except ValidationError as error:
        lines = [_explain(mistake, text, source) for mistake in error.errors()]
        raise PortfolioError("\n".join(dict.fromkeys(lines))) from None
    return book.model_copy(update={"source": source, "text": text})


def _explain(mistake: dict, text: str, source: str) -> str:
    path = [str(part) for part in mistake["loc"]]
    message = mistake["msg"].removeprefix("Value error, ")
    if mistake["type"] == "extra_forbidden":
        allowed = _allowed_keys(path[:-1])
        near = difflib.get_close_matches(path[-1], allowed, 1)
        message = f"unknown key {path[-1]!r}" + (f"; did you mean {near[0]!r}?" if near else "")
        message += f" (allowed: {', '.join(allowed)})"
    elif mistake["type"] == "missing":
        message = f"the key {path[-1]!r} is missing"
    elif mistake["type"] == "value_error" and not path:
        where, _, message = message.partition(": ")
        path = re.split(r"[.\[]", where.replace("]", ""))
    elif mistake["type"] != "value_error":
        message += f", but it is {mistake['input']!r}"
    line = _line_of(text, path)
    return f"{source}, line {line}, {'.'.join(path)}: {message}" if line else f"{source}, {'.'.join(path)}: {message}"


def _allowed_keys(path: list[str]) -> list[str]:
    """The keys that the model at `path` of a portfolio file allows."""
    model: type[BaseModel] = Portfolio
    inner = {"tables": Table, "columns": Column, "restricted": Restricted, "rules": Rule, "grades": Grade}
    direct = {"target": Target, "scale": Scale, "points": Points, "derive": Derive}
    for part in path:
        model = inner.get(part) or direct.get(part) or (Rating if part == "ratings" else model)
    return [name for name in model.model_fields if name not in ("source", "text")]


def _line_of(text: str, path: list[str]) -> int | None:
    """The line (from 1) of the deepest key of `path` that can be found in the TOML text."""
    best: tuple[int, int] | None = None
    header: list[str] = []
    counts: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if match := re.match(r"\s*(\[\[?)([^\]]+)\]", line):
            header = [part.strip().strip("\"'") for part in match[2].split(".")]
            if match[1] == "[[":
                counts[match[2]] = counts.get(match[2], -1) + 1
                header.append(str(counts[match[2]]))
            here = header
        elif match := re.match(r"\s*([\w\"'.-]+)\s*=", line):
            here = header + [part.strip("\"'") for part in match[1].split(".")]
        else:
            continue
        depth = next((i for i, (a, b) in enumerate(zip(here, path, strict=False)) if a != b), min(len(here), len(path)))
        if depth == len(here) and (best is None or depth > best[0]):
            best = (depth, number)
    return best[1] if best else None
