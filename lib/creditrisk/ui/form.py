"""The applicant form, generated from the portfolio: its fields, and what the texts typed into them mean."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from creditrisk.data.portfolio import Column, Portfolio
from creditrisk.serving.contract import (
    ID_LENGTH,
    UTMOST,
    allowed_in_words,
    application_model,
    number_in_words,
    wire_name,
)

APPLICATION_ID = "application_id"
LONGEST_NUMBER = 40

# 1200000, 1,200,000, 12,00,000 and 1 200 000 are one number. 0,500 is not: somebody means a half.
_GROUPED = re.compile(r"[1-9]\d{0,2}(?P<mark>[ ,_'\u00a0\u202f])(?:\d{2,3}(?P=mark))*\d{3}(\.\d*)?", re.ASCII)
_PLAIN = re.compile(r"\d+(\.\d*)?|\.\d+", re.ASCII)
_DECIMAL_COMMA = re.compile(r"\d+,\d+")


@dataclass(frozen=True)
class Field:
    """One field of the form. `initial` is the text it starts with, `allowed` says what may be entered."""

    name: str
    label: str
    hint: str
    allowed: str
    kind: str
    levels: tuple[str, ...]
    optional: bool
    initial: str


@dataclass(frozen=True)
class Reading:
    """What the form says: values by column name once it is complete, else what is missing or wrong, by field."""

    values: dict[str, Any] | None
    application_id: str | None
    missing: tuple[str, ...]
    errors: dict[str, str]


def fields_of(book: Portfolio) -> dict[str, Field]:
    """The fields of the portfolio's form by column name, required ones first."""
    return {name: _field(name, column) for name, column in book.inputs.items()}


def _field(name: str, column: Column) -> Field:
    label = column.label or name.replace("_", " ").capitalize()
    limits = limits_of(column)
    initial = "" if column.default is None else column.default
    return Field(
        name=name,
        label=f"{label} ({column.unit})" if column.unit else label,
        hint=" · ".join(part for part in (column.help, limits.replace(" ", "\u00a0")) if part),
        allowed=allowed_in_words(column),
        kind=column.kind,
        levels=column.levels,
        optional=column.role == "optional",
        initial=initial if isinstance(initial, str) else number_in_words(initial),
    )


def limits_of(column: Column) -> str:
    """The hard limits of a number in words, empty without any: `18 to 100`, `above 0`, `at least 1`."""
    if column.min is not None and column.max is not None:
        return f"{number_in_words(column.min)} to {number_in_words(column.max)}"
    parts = []
    if column.min is not None:
        parts.append(f"at least {number_in_words(column.min)}")
    if column.above is not None:
        parts.append(f"above {number_in_words(column.above)}")
    if column.max is not None:
        parts.append(f"at most {number_in_words(column.max)}")
    return ", ".join(parts)


def parse_number(text: str) -> float | int:
    """The number that a text means; whole ones are int. Raises ValueError that says what to write instead."""
    bare = text.strip().replace("\u2212", "-").removesuffix("%").strip()
    digits = bare[1:].lstrip() if bare[:1] in ("-", "+") else bare
    sign = -1 if bare.startswith("-") else 1
    if len(digits) > LONGEST_NUMBER:
        raise ValueError("that number is too long")
    grouped = _GROUPED.fullmatch(digits)
    if grouped:
        digits = digits.replace(grouped["mark"], "")
    elif not _PLAIN.fullmatch(digits):
        if _DECIMAL_COMMA.fullmatch(digits):
            raise ValueError(f"write decimals with a point: {bare.replace(',', '.')}")
        raise ValueError(f"{_short(text)} is not a number; write digits, as in 1200000 or 12.5")
    return sign * (float(digits) if "." in digits else int(digits))


def read_form(book: Portfolio, texts: Mapping[str, str], application_id: str = "") -> Reading:
    """Read the texts of a form against the portfolio's contract, the same that the API holds requests to."""
    payload, missing, errors = {}, [], {}
    for name, column in book.inputs.items():
        text = texts.get(name, "").strip()
        if not text:
            missing += [name] if column.role == "input" else []
            continue
        try:
            payload[wire_name(name, column)] = parse_number(text) if column.is_numeric else text
        except ValueError as problem:
            errors[name] = str(problem)
    if application_id.strip():
        payload[APPLICATION_ID] = application_id.strip()
    try:
        values = application_model(book).model_validate(payload).model_dump()
    except ValidationError as problem:
        for mistake in problem.errors():
            name = book.wire_names.get(str(mistake["loc"][0]), str(mistake["loc"][0]))
            if name in book.inputs and name not in errors and name not in missing:
                errors[name] = _explain(book.columns[name], texts[name].strip(), mistake)
            elif name not in book.inputs:
                errors[APPLICATION_ID] = f"not accepted; use 1 to {ID_LENGTH} characters, without NUL characters"
        values = None
    given = values.pop(APPLICATION_ID, None) if values else None
    return Reading(values, given, tuple(missing), errors)


def _explain(column: Column, text: str, mistake: Mapping[str, Any]) -> str:
    """What the API would answer, said of a field."""
    beyond = (mistake["type"] == "less_than_equal" and column.max is None) or (
        mistake["type"] == "greater_than_equal" and column.min is None
    )
    utmost = f", at most {number_in_words(UTMOST)} either way" if beyond else ""
    unit = f" {column.unit}" if column.unit and not beyond else ""
    return f"{_short(text)} is not accepted; enter {allowed_in_words(column)}{unit}{utmost}"


def _short(text: str) -> str:
    return text if len(text) <= 24 else f"{text[:23]}…"
