"""The contract of a book of loans: one TOML file, read into typed objects.

The API schema, the applicant form, the row checks and the drift columns are all generated from it. A lender with
other columns writes another file and changes no code.
"""

from __future__ import annotations

import re
import tomllib
from functools import cache, cached_property
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, model_validator

from creditrisk.data.expressions import Expression
from creditrisk.data.portfolio_checks import Mistakes, check_book, check_column, unknown
from creditrisk.data.portfolio_errors import explain, located
from creditrisk.errors import PortfolioError

BUILT_IN = Path(__file__).parent / "portfolios"
UTMOST = 1e15
"""Numbers beyond this, either way, are refused everywhere: their sums and squares would leave the range of floats."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


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


class Binning(_Part):
    """How one column is binned, where it is not as all others; what is left out is as it is for them."""

    trend: Literal["auto", "ascending", "descending", "peak", "valley", "none"] | None = Field(
        None, description="How the bad rate may move over the bins; without it, the column's direction of risk."
    )
    max_bins: int | None = Field(None, ge=1)
    min_share: float | None = Field(None, ge=0, le=1, description="Least share of all rows in a bin.")
    max_share: float | None = Field(None, gt=0, le=1, description="Greatest share of all rows in a bin.")
    min_goods: float | None = Field(None, ge=0)
    min_bads: float | None = Field(None, ge=0)
    min_difference: float | None = Field(
        None, ge=0, lt=1, description="Least difference in bad rate between neighbouring bins."
    )
    must_cut: tuple[float, ...] = Field((), description="Values at which a bin must begin.")
    never_cut: tuple[float | tuple[float, float], ...] = Field(
        (), description="Values at which no bin may begin, or pairs between which none may."
    )
    missing: Literal["auto", "own", "neutral", "worst", "similar"] | None = Field(
        None, description="What a missing value is worth."
    )


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
    binning: Binning = Binning()
    known_at_application: bool = True
    default: float | str | None = Field(None, description="What a form shows at first.")
    reason: str = Field("", description="Text given to an applicant when this input lowers the score most.")
    changeable: bool = Field(
        False,
        description="An applicant may answer it otherwise tomorrow: amount, term. The page looks there for advice.",
    )

    @model_validator(mode="after")
    def _is_coherent(self) -> Column:
        if mistakes := list(check_column(self)):
            raise Mistakes(mistakes)
        return self

    @property
    def is_scored(self) -> bool:
        """Whether a model may see it: an input or a feature."""
        return self.role in ("input", "optional", "feature")

    @property
    def is_numeric(self) -> bool:
        return self.kind in ("number", "integer")

    @property
    def binning_options(self) -> dict:
        """How to bin it, as keywords: trend (from the direction of risk, unless given), special codes, limits."""
        trend = {"increasing": "ascending", "decreasing": "descending", "any": "auto"}[self.risk]
        own = self.binning.model_dump(exclude_none=True, exclude_defaults=True)
        return {"trend": trend, "special": self.special} | own


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
    long_run_bad_rate: float | None = Field(
        None, gt=0, lt=1, description="Mean PD that calibrated PDs are shifted to; without it they are point-in-time."
    )
    missing_share_of_optional: float = Field(
        0.1, ge=0, lt=1, description="Share of training rows in which an optional input is masked at random."
    )
    points: Points = Points()
    grades: tuple[Grade, ...] = ()
    rules: tuple[Rule, ...] = ()
    restricted: dict[str, Restricted] = Field(default_factory=dict)
    _source: str = PrivateAttr("")
    _text: str = PrivateAttr("")

    @property
    def source(self) -> str:
        """Name of the file it was read from."""
        return self._source

    @property
    def text(self) -> str:
        """The TOML it was read from."""
        return self._text

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
        if mistakes := list(check_book(self)):
            raise Mistakes(mistakes)
        return self


def built_in_portfolios() -> list[str]:
    """Names of the portfolios that come with the package."""
    return sorted(path.stem for path in BUILT_IN.glob("*.toml"))


def load_portfolio(name_or_path: str) -> Portfolio:
    """Read a portfolio by built-in name (`retail`) or by path to a TOML file.

    Raises PortfolioError: file, line, key, what is wrong and what is allowed, one line for each mistake.
    """
    path = Path(name_or_path)
    if path.suffix != ".toml":
        if message := unknown(str(name_or_path), built_in_portfolios(), "portfolio"):
            raise PortfolioError(
                f"{message} (built in are {', '.join(built_in_portfolios())}; or give the path of a .toml file)"
            )
        path = BUILT_IN / f"{name_or_path}.toml"
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise PortfolioError(f"{path}: there is no such portfolio file") from None
    except UnicodeDecodeError as error:
        raise PortfolioError(f"{path}: not UTF-8 text (byte {error.start})") from None
    except OSError as error:
        raise PortfolioError(f"{path}: cannot be read: {error.strerror}") from None
    return parse_portfolio(text, path.name)


@cache
def parse_portfolio(text: str, source: str = "portfolio.toml") -> Portfolio:
    """Read a portfolio from TOML text; `source` is the file name used in messages."""
    try:
        data = _tuples(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        reason, _, place = str(error).removesuffix(")").partition(" (at ")
        at = re.match(r"line (\d+)", place)
        line = int(at[1]) if at else len(text.splitlines())
        raise PortfolioError(f"{source}, line {line}: not valid TOML: {reason}") from None
    try:
        book = Portfolio.model_validate(data)
    except ValidationError as error:
        found = explain(error.errors(), data, Portfolio)
        lines = [located(path, message, text, source) for path, message in found]
        raise PortfolioError("\n".join(dict.fromkeys(lines))) from None
    book._source, book._text = source, text
    return book


def _tuples(data):
    """TOML's arrays as the tuples that strict models take."""
    if isinstance(data, dict):
        return {key: _tuples(value) for key, value in data.items()}
    return tuple(_tuples(value) for value in data) if isinstance(data, list) else data
