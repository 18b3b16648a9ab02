"""What an application must look like, generated from the portfolio: used by the API and by the page's form."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    Strict,
    StringConstraints,
    WithJsonSchema,
    create_model,
)

from creditrisk.data.portfolio import UTMOST, Column, Portfolio, parse_portfolio

ID_LENGTH = 200
STORABLE = r"^[^\u0000]*[^\s\u0000][^\u0000]*$"
"""Texts that are not blank and hold no NUL character, as JSON Schema says it; `storable` is what holds."""


_ID_SCHEMA = {
    "anyOf": [{"type": "string", "minLength": 1, "maxLength": ID_LENGTH, "pattern": STORABLE}, {"type": "integer"}]
}
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_WRITTEN_OUT = re.compile(r"\d{4}-\d\d-\d\d[Tt ]", re.ASCII)


def application_model(book: Portfolio) -> type[BaseModel]:
    """The model of one application: wire names, hard limits, levels with their aliases; unknown fields refused.

    `model.model_validate(payload).model_dump()` gives values by column name, with None for optional inputs left out.
    """
    return _model(book.text, book.source)


@cache
def _model(text: str, source: str) -> type[BaseModel]:
    book = parse_portfolio(text, source)
    fields: dict[str, Any] = {name: _field(name, column) for name, column in book.inputs.items()}
    if book.application_id:
        names = AliasChoices(*dict.fromkeys(["application_id", book.application_id]))
        about = "The lender's own identifier of the application; sending it again does not make a second prediction."
        fields["application_id"] = (
            Annotated[
                str,
                StringConstraints(strip_whitespace=True, min_length=1, max_length=ID_LENGTH),
                BeforeValidator(_id_text),
                AfterValidator(storable),
                WithJsonSchema(_ID_SCHEMA),
            ]
            | None,
            Field(default=None, validation_alias=names, description=about),
        )
    config = ConfigDict(extra="forbid", title=f"Application, {book.title}")
    return create_model("Application", __config__=config, **fields)


def wire_name(name: str, column: Column) -> str:
    """The name of an input in requests, answers and logged inputs."""
    return column.wire or name


def allowed_in_words(column: Column) -> str:
    """What a request may say for an input, as in `a whole number from 18 to 100`."""
    if column.kind == "category":
        return "one of " + ", ".join(column.levels)
    low, above, high = column.min, column.above, column.max
    parts = [f"above {number_in_words(above)}"] if above is not None else []
    if low is not None and high is not None:
        parts.append(f"from {number_in_words(low)} to {number_in_words(high)}")
    elif low is not None:
        parts.append(f"of {number_in_words(low)} or more")
    elif high is not None:
        parts.append(f"at most {number_in_words(high)}" if parts else f"of {number_in_words(high)} or less")
    return " ".join(["a whole number" if column.kind == "integer" else "a number", " and ".join(parts)]).strip()


@dataclass(frozen=True)
class SoftLimits:
    """Beyond which values an application is scored with a warning: (name in requests, limit, word, sign) each."""

    limits: tuple[tuple[str, float, str, int], ...]

    @classmethod
    def of(cls, book: Portfolio) -> SoftLimits:
        found = []
        for name, column in book.inputs.items():
            if column.is_numeric:
                both = ((column.warn_below, "below", -1), (column.warn_above, "above", 1))
                found += [
                    (wire_name(name, column), limit, word, sign) for limit, word, sign in both if limit is not None
                ]
        return cls(tuple(found))

    def warnings(self, inputs: Mapping[str, Any]) -> list[str]:
        """One sentence for each input (by wire name) beyond its limit."""
        return [
            f"{wire} {number_in_words(value)} is {word} {number_in_words(limit)}, "
            "beyond what the model has seen much of"
            for wire, limit, word, sign in self.limits
            if (value := inputs.get(wire)) is not None and sign * value > sign * limit
        ]


def soft_limit_warnings(inputs: Mapping[str, Any], book: Portfolio) -> list[str]:
    """One sentence for each input (by wire name) beyond its soft limit; such an application is scored."""
    return SoftLimits.of(book).warnings(inputs)


def number_in_words(value: float) -> str:
    """A number as people read it: 12,000,000 and 0.5."""
    return f"{int(value):,}" if float(value).is_integer() else f"{value:,.12g}"


def example_application(book: Portfolio) -> dict:
    """A valid application by wire name: the portfolio's defaults, else something inside the limits."""
    return {wire_name(name, column): _example(column) for name, column in book.inputs.items() if column.role == "input"}


def _example(column: Column) -> Any:
    if column.kind == "category":
        return column.default or column.levels[0]
    low = column.min if column.min is not None else column.above or 0.0
    value = column.default if column.default is not None else min(max(low + 1, 0), column.max or low + 1)
    return int(value) if float(value).is_integer() else value


def _field(name: str, column: Column) -> tuple[Any, Any]:
    about = ". ".join(
        part for part in (column.label, column.help, f"Unit: {column.unit}" if column.unit else "") if part
    )
    names = AliasChoices(*dict.fromkeys([wire_name(name, column), name, *column.also_called]))
    if column.kind == "category":
        annotation: Any = Annotated[Literal[column.levels], BeforeValidator(_level_of(column))]
    else:
        limits = {"ge": column.min, "le": column.max, "gt": column.above}
        kept = {key: int(v) if column.kind == "integer" else v for key, v in limits.items() if v is not None}
        if column.kind == "integer":
            bounded = {"ge": -int(UTMOST), "le": int(UTMOST)} | kept
            annotation = Annotated[int, Strict(), Field(**bounded), BeforeValidator(_whole)]
        else:
            bounded = {"ge": -UTMOST, "le": UTMOST} | kept
            annotation = Annotated[float, Strict(), Field(allow_inf_nan=False, **bounded)]
    if column.role == "input":
        return annotation, Field(validation_alias=names, description=about)
    return annotation | None, Field(default=None, validation_alias=names, description=about)


def _whole(value: Any) -> Any:
    """12.0 is 12; everything else is left to the check."""
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) <= UTMOST else value


def _id_text(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def storable(text: str) -> str:
    """The text, unless no database could hold it. Raises ValueError."""
    if "\0" in text:
        raise ValueError("holds a NUL character, which no database stores")
    return text


def written_out(moment: Any) -> Any:
    """The moment, unless it is a bare number, which would be read as seconds since 1970. Raises ValueError."""
    if isinstance(moment, str) and not _WRITTEN_OUT.match(moment):
        raise ValueError("must be a date and a time with time zone, as in 2026-01-31T12:00:00Z")
    return moment


def written_day(day: Any) -> Any:
    """The day, unless it is a number or holds a time. Raises ValueError."""
    if isinstance(day, date) or (isinstance(day, str) and _DAY.fullmatch(day)):
        return day
    raise ValueError("must be a day, as in 2026-01-31")


def zero_or_one(value: Any) -> Any:
    """The value, unless it is a boolean, which Python takes for a number. Raises ValueError."""
    if isinstance(value, bool):
        raise ValueError("must be 0 or 1")
    return value


def _level_of(column: Column):
    def resolve(value: Any) -> Any:
        return column.aliases.get(value.strip(), value.strip()) if isinstance(value, str) else value

    return resolve
