"""What each notebook may be told: names, types, ranges and one sentence per parameter."""

from __future__ import annotations

import ast
import difflib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from numbers import Integral
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args, get_origin
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo

from creditrisk.errors import ParameterError

_WORDS = {"true": True, "yes": True, "false": False, "no": False}
_LARGEST = 18  # digits: more is a slip of the finger, and int(Decimal("1e999999999")) would eat the memory
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


@dataclass(frozen=True)
class Allowed:
    """What a value may be, in words; kept beside the type so that messages and help say the same."""

    text: str


@dataclass(frozen=True)
class PathLike:
    """Marks text that may be a relative path; `suffixes` limits which of them are paths (empty: all)."""

    suffixes: tuple[str, ...] = ()


def _whole(value: Any) -> int:
    number = _decimal(value)
    if number is None or number != number.to_integral_value():
        raise ValueError(f"{value!r} is not a whole number")
    return int(number)


def _decimal(value: Any) -> Decimal | None:
    """The number that an int, a float or a text stands for; None for anything else, booleans included."""
    if isinstance(value, bool) or not isinstance(value, Integral | float | str) or not str(value).isascii():
        return None
    try:
        number = Decimal(str(value).strip())
    except InvalidOperation:
        return None
    return number if number.is_finite() and number.adjusted() <= _LARGEST else None


def _flag(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().lower() in _WORDS:
        return _WORDS[value.strip().lower()]
    raise ValueError(f"{value!r} is neither true nor false")


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not text (in YAML, put it in quotes)")
    return value.strip()


def _location(value: Any) -> str:
    text = _text(value)
    if _URL.match(text) and urlsplit(text).password:
        # The value is left out on purpose: parameters are written to files, notebooks and logs.
        raise ValueError("the address carries a password; give credentials by environment variables instead")
    return text


def _file_ending_in(*suffixes: str):
    def check(value: Any) -> str:
        text = _location(value)
        if text and not text.lower().endswith(suffixes):
            raise ValueError(f"{text!r} has another ending")
        return text

    return check


def _day(value: Any) -> str:
    if isinstance(value, date) and not isinstance(value, datetime):
        return value.isoformat()  # unquoted dates in YAML arrive as dates
    text = _text(value)
    if text and (not re.fullmatch(r"\d{4}-\d{2}-\d{2}", text, re.ASCII) or not _is_day(text)):
        raise ValueError(f"{text!r} is not a date of the calendar")
    return text


def _reference(value: str) -> str:
    """A file, or first:N with a number in it. Raises ValueError."""
    if value.startswith("first:") and not re.fullmatch(r"first:[1-9][0-9]{0,8}", value):
        raise ValueError("must be first:N with a number of applications, as in first:1000, or a file")
    return value


def _is_day(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


Whole = Annotated[int, BeforeValidator(_whole), Allowed("a whole number")]
Share = Annotated[
    float, BeforeValidator(lambda value: _real(value)), Field(gt=0, le=1), Allowed("a share above 0, up to 1")
]
Flag = Annotated[bool, BeforeValidator(_flag), Allowed("true or false (also yes, no)")]
Name = Annotated[str, BeforeValidator(_text), Field(min_length=1), Allowed("text that is not empty")]
Text = Annotated[str, BeforeValidator(_text), Allowed("text, or empty")]
Reference = Annotated[
    str, BeforeValidator(_text), AfterValidator(_reference), Allowed("a file, first:N as in first:1000, or empty")
]

Folder = Annotated[str, BeforeValidator(_location), PathLike(), Allowed("a folder or URL, or empty")]
Portfolio = Annotated[
    str,
    BeforeValidator(_location),
    Field(min_length=1),
    PathLike((".toml",)),
    Allowed("the name of a built-in portfolio or the path of a .toml file"),
]
Day = Annotated[str, BeforeValidator(_day), Allowed("an ISO date such as 2024-01-31, or empty")]
TableFile = Annotated[
    str,
    BeforeValidator(_file_ending_in(".csv", ".parquet", ".xlsx")),
    PathLike(),
    Allowed("a file ending in .csv, .parquet or .xlsx, or empty"),
]
PortfolioOrEmpty = Annotated[
    str,
    BeforeValidator(_location),
    PathLike((".toml",)),
    Allowed("the name of a built-in portfolio or the path of a .toml file, or empty"),
]
ScoredFile = Annotated[
    str,
    BeforeValidator(_file_ending_in(".csv", ".parquet")),
    PathLike(),
    Allowed("a file ending in .csv or .parquet, or empty"),
]
OverridesFile = Annotated[
    str,
    BeforeValidator(_file_ending_in(".json")),
    PathLike(),
    Allowed("a file ending in .json, or empty"),
]


class RunParams(BaseModel):
    """Base of all parameter models: unknown names and ill-typed values are refused, never guessed."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)

    def resolved(self, folder: Path) -> Self:
        """The same parameters with relative paths counted from `folder`; URLs and names stay as they are."""
        changed = {}
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            marks = [mark for mark in field.metadata if isinstance(mark, PathLike)]
            if marks and value and not _URL.match(value) and value.endswith(marks[0].suffixes or ("",)):
                changed[name] = str(folder / Path(value).expanduser())
        return self.model_copy(update=changed)


class TrainParams(RunParams):
    """Parameters of notebooks/train.ipynb."""

    portfolio: Portfolio = Field(
        "retail", description="Name of a built-in portfolio, or path of a TOML file that describes the book."
    )
    data: Folder = Field(
        "",
        description="Folder, URL or database with the tables (.parquet, .csv, .xlsx); empty: embedded book.",
    )
    artifacts: Folder = Field(
        "", description="Folder for the models, made if absent; empty takes the one from the settings."
    )
    split: Literal["auto", "random", "out_of_time"] = Field(
        "auto", description="How the test part is chosen: at random, the latest loans, or as the book allows."
    )
    seed: Whole = Field(42, ge=0, le=2**32 - 1, description="Seed of every random choice in the run.")
    trials: Whole = Field(20, ge=1, le=1000, description="Optuna trials for each tuned attempt.")
    rows: Whole = Field(50_000, ge=1000, description="Loans in the sample book, used if data is empty.")
    as_of: Day = Field("", description="Date (ISO) at which the outcomes were read; empty takes today.")
    overrides: OverridesFile = Field(
        "", description="File (.json) of bins and of variables forced in or out by analysts; empty: none."
    )
    hold_order: Flag = Field(
        False, description="Whether bins are merged whose order of bad rates reverses on the newest training rows."
    )
    versions: Literal["auto", "replace", "next"] = Field(
        "auto",
        description="Whether the models replace v1 and v2 or take the next numbers (v3, v4) and leave the champion; "
        "auto: next once a person has promoted a model in the folder.",
    )


class ScoreParams(RunParams):
    """Parameters of notebooks/score.ipynb."""

    applications: TableFile = Field(
        "", description="File of applications (.csv, .parquet, .xlsx); empty takes the sample applications."
    )
    model: Name = Field("champion", description="Model version (v1, v2) or alias (champion, challenger).")
    artifacts: Folder = Field("", description="Folder that holds the models; empty takes the one from the settings.")
    output: ScoredFile = Field(
        "", description="Scored file to write (.csv, .parquet); empty takes scored.parquet in the run folder."
    )
    log: Flag = Field(True, description="Whether the predictions are written to the prediction log.")


class DriftParams(RunParams):
    """Parameters of notebooks/drift.ipynb."""

    model: Name = Field("champion", description="Model version (v1, v2) or alias (champion, challenger).")
    artifacts: Folder = Field("", description="Folder that holds the models; empty takes the one from the settings.")
    window: Whole = Field(1000, ge=1, description="Number of last logged predictions to check.")
    current: TableFile = Field(
        "", description="File of applications (.csv, .parquet, .xlsx) to check instead of the log."
    )
    reference: Reference = Field(
        "",
        description="What to compare with; empty: the training rows (booked loans). first:N takes the model's first N "
        "production applications, a file (.csv, .parquet, .xlsx) those in it: the applicants through the door.",
    )
    segment: Text = Field(
        "", description="Input with levels, such as loan_purpose, to compare by as well; empty: none."
    )


class OutcomesParams(RunParams):
    """Parameters of notebooks/outcomes.ipynb."""

    model: Name = Field("champion", description="Model version (v1, v2) or alias (champion, challenger).")
    artifacts: Folder = Field("", description="Folder that holds the models; empty takes the one from the settings.")
    as_of: Day = Field("", description="Date (ISO) as of which outcomes are judged; empty takes today.")
    by: Literal["month", "quarter"] = Field("month", description="Calendar time that makes a vintage.")
    months: Whole = Field(0, ge=0, le=600, description="Months of the performance window; 0: the portfolio's, else 12.")
    complete: Share = Field(0.8, description="Share of granted loans whose outcome must be known to judge a vintage.")
    segment: Text = Field("", description="Input, a category such as loan_purpose, to report by as well; empty: none.")
    purposes: Name = Field(
        "production, file", description="Predictions that count, by purpose; also what_if, shadow, backfill."
    )


class BinningParams(RunParams):
    """Parameters of notebooks/binning.ipynb."""

    portfolio: Portfolio = Field(
        "retail", description="Name of a built-in portfolio, or path of a TOML file that describes the book."
    )
    data: Folder = Field(
        "",
        description="Folder, URL or database with the tables (.parquet, .csv, .xlsx); empty: embedded book.",
    )
    split: Literal["auto", "random", "out_of_time"] = Field(
        "auto", description="How the test part is chosen, as in training: bins are fitted on the rest."
    )
    seed: Whole = Field(42, ge=0, le=2**32 - 1, description="Seed of the embedded book and of the split.")
    rows: Whole = Field(50_000, ge=1000, description="Loans in the sample book, used if data is empty.")
    as_of: Day = Field("", description="Date (ISO) at which the outcomes were read; empty takes today.")
    overrides: OverridesFile = Field(
        "", description="File (.json) that the bench reads and saves to; empty: overrides.json beside the models."
    )


class ValidateParams(RunParams):
    """Parameters of notebooks/validate.ipynb."""

    model: Name = Field("champion", description="Model version (v1, v2) or alias (champion, challenger) to validate.")
    artifacts: Folder = Field("", description="Folder that holds the models; empty takes the one from the settings.")
    against: Text = Field("", description="Version or alias to compare with; empty takes one of the same training run.")
    data: Folder = Field("", description="Where the tables of the training run are; empty: as recorded with the model.")
    rows: Whole = Field(0, ge=0, description="Loans in the embedded book; 0: as recorded with the model, else 50000.")
    as_of: Day = Field("", description="Date (ISO) at which the training run read outcomes; empty: as recorded.")
    sample: Folder = Field(
        "", description="Tables of new loans with outcomes to judge on; empty: the test rows of the training run."
    )
    sample_as_of: Day = Field("", description="Date (ISO) at which outcomes of the sample were read; empty: today.")


class RecalibrateParams(RunParams):
    """Parameters of notebooks/recalibrate.ipynb."""

    model: Name = Field("champion", description="Model version (v1, v2) or alias (champion, challenger).")
    artifacts: Folder = Field("", description="Folder that holds the models; empty takes the one from the settings.")
    as_of: Day = Field("", description="Date (ISO) as of which outcomes are known; empty: now.")
    why: Text = Field("", description="Why it is done; kept in the model file.")


class RetrainParams(RunParams):
    """Parameters of notebooks/retrain.ipynb."""

    artifacts: Folder = Field("", description="Folder that holds the models; empty takes the one from the settings.")
    force: Literal["", "recalibrate", "redevelop"] = Field(
        "", description="What to do whatever monitoring says; empty: what it asks for."
    )
    why: Text = Field("", description="Why it is forced; recorded, and needed then.")
    as_of: Day = Field("", description="Date (ISO) as of which outcomes are known, in the log and in data; empty: now.")
    data: Folder = Field(
        "", description="Newest tables to redevelop on; empty: where those of the champion's training run are."
    )
    portfolio: PortfolioOrEmpty = Field(
        "", description="Portfolio to redevelop with, name or TOML file; empty: the one in the champion's file."
    )
    rows: Whole = Field(0, ge=0, description="Loans in the embedded book; 0: as the champion's training run had.")
    trials: Whole = Field(20, ge=1, le=1000, description="Optuna trials for each tuned attempt of a redevelopment.")


NOTEBOOK_PARAMS: dict[str, type[RunParams]] = {
    "train": TrainParams,
    "score": ScoreParams,
    "drift": DriftParams,
    "outcomes": OutcomesParams,
    "binning": BinningParams,
    "validate": ValidateParams,
    "recalibrate": RecalibrateParams,
    "retrain": RetrainParams,
}


def check_params(name: str, values: Mapping[str, Any]) -> RunParams:
    """The checked parameters of notebook `name`, one of NOTEBOOK_PARAMS, defaults filled in.

    Raises ParameterError with one line per mistake: unknown names and ill-typed or out-of-range values.
    """
    model = NOTEBOOK_PARAMS.get(name)
    if model is None:
        raise ParameterError(f"no notebook called {name!r}{_nearest(name, NOTEBOOK_PARAMS)}")
    mistakes = unknown_names(name, values, model.model_fields)
    known = {key: value for key, value in values.items() if key in model.model_fields}
    try:
        checked = model(**known)
    except ValidationError as problem:
        mistakes += [_mistake(model, known, error) for error in problem.errors()]
    if mistakes:
        raise ParameterError("\n".join(mistakes))
    return checked


def check_declared(
    notebook: str, values: Mapping[str, Any], declared: Mapping[str, tuple[str, str]]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The checked parameters of a notebook without a model of its own: (those given, all with defaults).

    `declared` maps each name of its parameters cell to (annotation, default as source text). An annotated
    int, float, bool or str is strict; without annotation, text is read as the type of the default. Raises
    ParameterError with one line per mistake.
    """
    mistakes = unknown_names(notebook, values, declared)
    given = {}
    for name, value in values.items():
        if name in declared:
            try:
                given[name] = _as_declared(value, *declared[name])
            except ValueError as problem:
                mistakes.append(f"{name}: {problem}. Default: {declared[name][1]}")
    if mistakes:
        raise ParameterError("\n".join(mistakes))
    defaults = {name: _jsonable(_literal(default), default) for name, (_, default) in declared.items()}
    return given, {**defaults, **given}


def _as_declared(value: Any, annotation: str, default: str) -> Any:
    checks = {"int": _whole, "float": _real, "bool": _flag, "str": _text}
    if annotation in checks:
        return checks[annotation](value)
    kind = type(_literal(default)).__name__
    if isinstance(value, str) and kind in ("int", "float", "bool"):
        return {**checks, "int": _number}[kind](value)
    if _jsonable(value, None) != value:
        raise ValueError(f"{value!r} cannot be written to params.json; give numbers, text, lists or mappings")
    return value


def _real(value: Any) -> float:
    number = _decimal(value)
    if number is None:
        raise ValueError(f"{value!r} is not a number")
    return float(number)


def _number(value: Any) -> int | float:
    number = _real(value)
    return _whole(value) if number.is_integer() else number


def _literal(source: str) -> Any:
    """The value of a default that is plain data, Ellipsis for a default that must be computed."""
    try:
        return ast.literal_eval(source)
    except (ValueError, SyntaxError):
        return ...


def _jsonable(value: Any, otherwise: Any) -> Any:
    """The value if JSON gives it back unchanged, else `otherwise`."""
    try:
        return value if json.loads(json.dumps(value, allow_nan=False)) == value else otherwise
    except (TypeError, ValueError):
        return otherwise


def unknown_names(notebook: str, given: Iterable[str], known: Iterable[str]) -> list[str]:
    """One message for each name of `given` that notebook does not take."""
    known = list(known)
    return [f"{notebook} has no parameter {name!r}{_nearest(name, known)}" for name in given if name not in known]


def allowed(field: FieldInfo) -> str:
    """What a parameter may be, in words: type, range, choices."""
    if get_origin(field.annotation) is Literal:
        return "one of " + ", ".join(map(str, get_args(field.annotation)))
    words = next((mark.text for mark in field.metadata if isinstance(mark, Allowed)), "a value of its type")
    low = next((mark.ge for mark in field.metadata if hasattr(mark, "ge")), None)
    high = next((mark.le for mark in field.metadata if hasattr(mark, "le")), None)
    if low is not None and high is not None:
        return f"{words} from {low} to {high}"
    return words if low is None else f"{words}, {low} or more"


def describe_params(name: str) -> str:
    """The parameters of a notebook as lines of help text: name, default, sentence, what is allowed."""
    lines = []
    for key, field in NOTEBOOK_PARAMS[name].model_fields.items():
        default = f'"{field.default}"' if isinstance(field.default, str) else str(field.default).lower()
        lines += [f"  {key} = {default}", f"      {field.description}", f"      Allowed: {allowed(field)}."]
    return "\n".join(lines)


def _nearest(name: str, known: Iterable[str]) -> str:
    known = list(known)
    close = difflib.get_close_matches(name, known, n=1)
    guess = f"; did you mean {close[0]!r}?" if close else "."
    return f"{guess} Allowed: {', '.join(known) or 'none'}"


def _mistake(model: type[RunParams], given: Mapping[str, Any], error: Mapping[str, Any]) -> str:
    name = str(error["loc"][0])
    raised = error.get("ctx", {}).get("error")
    what = str(raised) if raised is not None else f"{given[name]!r} is not allowed"
    return f"{name}: {what}. Allowed: {allowed(model.model_fields[name])}"
