"""What an application must look like, generated from the portfolio: used by the API and by the page's form."""

from __future__ import annotations

from functools import cache
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, Strict, create_model

from creditrisk.data.portfolio import Column, Portfolio, parse_portfolio

ID_LENGTH = 200


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
            Annotated[str, BeforeValidator(_id_text), Field(min_length=1, max_length=ID_LENGTH)] | None,
            Field(default=None, validation_alias=names, description=about),
        )
    return create_model("Application", __config__=ConfigDict(extra="forbid", title=f"Application, {book.title}"), **fields)


def example_application(book: Portfolio) -> dict:
    """A valid application by wire name: the portfolio's defaults, else something inside the limits."""
    return {
        column.wire or name: _example(column) for name, column in book.inputs.items() if column.role == "input"
    }


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
    names = AliasChoices(*dict.fromkeys([column.wire or name, name, *column.also_called]))
    if column.kind == "category":
        annotation: Any = Annotated[Literal[column.levels], BeforeValidator(_level_of(column))]
    else:
        limits = {"ge": column.min, "le": column.max, "gt": column.above}
        kept = {key: int(v) if column.kind == "integer" else v for key, v in limits.items() if v is not None}
        if column.kind == "integer":
            bounded = {"ge": -(10**15), "le": 10**15} | kept
            annotation = Annotated[int, BeforeValidator(_whole), Strict(), Field(**bounded)]
        else:
            annotation = Annotated[float, Strict(), Field(allow_inf_nan=False, **({"le": 1e15, "ge": -1e15} | kept))]
    if column.role == "input":
        return annotation, Field(validation_alias=names, description=about)
    return annotation | None, Field(default=None, validation_alias=names, description=about)


def _whole(value: Any) -> Any:
    """12.0 is 12; everything else is left to the check."""
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 1e15 else value


def _id_text(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _level_of(column: Column):
    def resolve(value: Any) -> Any:
        return column.aliases.get(value.strip(), value.strip()) if isinstance(value, str) else value

    return resolve
