"""What the API answers when it cannot do what was asked: never a client's input, always the way out."""

from __future__ import annotations

import difflib
import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any
from urllib.parse import parse_qsl

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from creditrisk.data.portfolio import Portfolio
from creditrisk.errors import ArtifactError, LogError
from creditrisk.serving.contract import ID_LENGTH, UTMOST, allowed_in_words, number_in_words, wire_name
from creditrisk.serving.models import UnknownModel

logger = logging.getLogger(__name__)

MOST_MISTAKES = 20
MOST_LETTERS = 60
RETRY_SECONDS = 5
DROPPED = 16
"""So many times the allowed size is read of a body before the connection is closed on it."""
NO_LOG = (
    "the prediction log is not available, and a prediction exists only once it is logged: none is answered. "
    "Send the request again later; with an application_id it cannot count twice"
)
NO_MODEL = "the model cannot be loaded at the moment; send the request again later, or name another model"
BUSY = "more applications wait than can be answered in time; send the request again later"
IN_WORDS = {
    400: "the body cannot be read: it is not UTF-8, is nested too deeply, or holds a number of thousands of digits",
    404: "there is nothing at this address; GET / lists what there is",
    405: "this address does not take this method; GET / lists what there is",
}
OF_FRAMEWORK = ("Not Found", "Method Not Allowed", "There was an error parsing the body")
"""What the framework says of these; what an endpoint says itself is left as it is."""
A_MOMENT = "as in 2026-01-31T12:00:00Z"
A_TEXT = "a text of 1 to 200 characters"
REPORTED = {
    "prediction_id": (str, f"{A_TEXT}, as /predict answered it"),
    "application_id": (str, f"{A_TEXT}, as it was sent to /predict"),
    "observed_at": (str, "a day, as in 2026-01-31"),
    "bad": (int, "0 or 1 (1: the loan went bad)"),
    "decision": (str, "one of approve, refer, decline"),
    "reason": (str, f"{A_TEXT} that says why the policy's decision is overridden"),
    "decided_by": (str, f"{A_TEXT}, a name or a staff number"),
}
"""What the fields of reports must be: the type and the words for it."""
KINDS = {bool: "true or false", int: "a number", float: "a number", str: "a text", list: "a list", dict: "an object"}


class Mistake(BaseModel):
    """One thing that is wrong with a request."""

    loc: list[str | int] = Field(description="Where: body or query, then the field.")
    msg: str = Field(description="What is wrong and what is allowed.")
    type: str = Field(description="The kind of mistake, for programs.")


class Mistakes(BaseModel):
    """Why a request was refused; it was neither scored nor logged."""

    detail: list[Mistake]


class Problem(BaseModel):
    """Why a request was not answered."""

    detail: str


class BodyLimit:
    """ASGI middleware: a request body of more than `most` bytes is answered with 413, announced length or not.

    Some of the excess is read and dropped first, since clients read no answer while they are still sending.
    """

    def __init__(self, app: ASGIApp, most: int) -> None:
        self.app, self.most = app, most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received <= self.most:
                return message
            while message.get("more_body", False) and received <= DROPPED * self.most:
                message = await receive()
                received += len(message.get("body", b""))
            raise HTTPException(
                413,
                too_long(self.most),
                headers={"Connection": "close"},
            )

        await self.app(scope, counted if scope["type"] == "http" else receive, send)


class KnownParameters:
    """ASGI middleware: a query with a parameter that the endpoint does not describe is answered with 422.

    A parameter that is passed over would answer another question than the one that was asked. What an endpoint knows
    is what the OpenAPI document of `api` says of it.
    """

    def __init__(self, app: ASGIApp, api: FastAPI) -> None:
        self.app, self._api = app, api

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (query := scope["query_string"]):
            route, known = self._endpoints.get((scope["method"], scope["path"]), (None, ()))
            asked = (name for name, _ in parse_qsl(query.decode("latin-1"), keep_blank_values=True))
            if route is not None and (wrong := unknown_parameters(asked, known)):
                scope["route"] = route  # under which it is counted
                await JSONResponse({"detail": wrong}, 422)(scope, receive, send)
                return
        await self.app(scope, receive, send)

    @cached_property
    def _endpoints(self) -> dict[tuple[str, str], tuple[BaseRoute, list[str]]]:
        """The route and the parameters of each method and path."""
        paths, found = self._api.openapi()["paths"], {}
        for route in self._api.routes:
            path = getattr(route, "path", "")
            for method in getattr(route, "methods", None) or ():
                described = paths.get(path, {}).get(method.lower(), {}).get("parameters", [])
                found[method, path] = (route, [one["name"] for one in described if one["in"] == "query"])
        return found


def unknown_parameters(asked: Iterable[str], known: Sequence[str]) -> list[dict]:
    """A mistake for each name in a query that is none of the `known`, the first ones; empty when all are."""
    names = [name for name in dict.fromkeys(asked) if name not in known]
    found = []
    for name in names[:MOST_MISTAKES]:
        shown = _shown(name) or "''"
        there = _known(name, known) if known else "this address takes none"
        found.append(mistake(("query", shown), f"{shown} is an unknown parameter; {there}", "unknown_parameter"))
    return found + _and_more(len(names), "query")


def _known(name: str, known: Sequence[str]) -> str:
    """What there is in the place of an unknown name, the likely one first."""
    near = difflib.get_close_matches(str(_shown(name)), known, 1)
    hint = f"did you mean {near[0]}? Known are" if near else "known are"
    return f"{hint} {', '.join(known)}"


def _and_more(count: int, where: str) -> list[dict]:
    """The mistake that stands for those of `count` that are not told."""
    if count <= MOST_MISTAKES:
        return []
    return [mistake((where,), f"and {count - MOST_MISTAKES:,} more mistakes", "too_many_mistakes")]


def too_long(most: int) -> str:
    """What is said of a body of more than `most` bytes."""
    return f"the body has more than {most:,} bytes; send fewer applications per request"


def mistake(where: Sequence[str], message: str, kind: str) -> dict:
    """One mistake of a request."""
    return {"loc": list(where), "msg": message, "type": kind}


def explain_problems(app: FastAPI, reports: Mapping[str, type[BaseModel]]) -> None:
    """Have `app` answer mistakes, unknown addresses and an absent log in words.

    `reports`: what the bodies hold that are no applications, by address.
    """

    async def mistaken(request: Request, error: RequestValidationError) -> JSONResponse:
        sent_as = request.headers.get("content-type", "").lower()
        is_json = sent_as.startswith("application/") and "json" in sent_as
        report = reports.get(request.url.path)
        return JSONResponse({"detail": mistakes_in_words(error.errors(), None, is_json, report)}, 422)

    async def refused(request: Request, error: StarletteHTTPException) -> JSONResponse:
        detail = IN_WORDS.get(error.status_code) if error.detail in OF_FRAMEWORK else error.detail
        headers = dict(error.headers or {})
        if error.status_code == 405:  # the framework names the methods of one route, an address may have several
            headers["Allow"] = ", ".join(sorted(_methods(app, request.url.path)))
        return JSONResponse({"detail": detail}, error.status_code, headers)

    async def no_log(request: Request, error: LogError) -> JSONResponse:
        logger.warning("%s %s was not answered: %s", request.method, request.url.path, error)
        return JSONResponse({"detail": NO_LOG}, 503, {"Retry-After": str(RETRY_SECONDS)})

    async def no_model(request: Request, error: ArtifactError) -> JSONResponse:
        if isinstance(error, UnknownModel):
            return JSONResponse({"detail": [mistake(("query", "model"), str(error), "unknown_model")]}, 422)
        logger.warning("%s %s was not answered: %s", request.method, request.url.path, error)
        return JSONResponse({"detail": NO_MODEL}, 503, {"Retry-After": str(RETRY_SECONDS)})

    app.add_exception_handler(RequestValidationError, mistaken)
    app.add_exception_handler(ArtifactError, no_model)
    app.add_exception_handler(StarletteHTTPException, refused)
    app.add_exception_handler(LogError, no_log)


def _methods(app: FastAPI, path: str) -> set[str]:
    """What an address can be asked; its routes have no parameters in their paths."""
    routes = (route for route in app.routes if getattr(route, "path", "") == path)
    return set().union(*(route.methods for route in routes))


def mistakes_in_words(
    errors: Sequence[Mapping[str, Any]],
    book: Portfolio | None,
    is_json: bool,
    report: type[BaseModel] | None = None,
) -> list[dict]:
    """Validation errors as {loc, msg, type}, the first ones; `is_json` tells whether the body came as JSON.

    `book` is that of an application; None for other bodies, which hold a `report` or a list of them.
    """
    found = []
    for error in errors[:MOST_MISTAKES]:
        where, *path = error["loc"]
        if where != "body":
            message = _of_query(error, path)
        elif book is None:
            message = _of_report(error, path, is_json, list(report.model_fields) if report else [])
        else:
            message = _of_body(error, book, path, is_json)
        loc = [where, *(_shown(part) for part in path)]
        found.append({"loc": loc, "msg": message, "type": error["type"]})
    return found + _and_more(len(errors), "body")


def _of_query(error: Mapping[str, Any], path: list) -> str:
    name, kind = _shown(path[0]) if path else "the query", error["type"]
    if kind == "missing":
        return f"{name} is missing"
    if kind == "literal_error":
        allowed = re.findall("'([^']+)'", error["ctx"]["expected"])
        return f"{name} must be one of {', '.join(allowed)}"
    if kind == "timezone_aware":
        return f"{name} has no time zone; write it with one, {A_MOMENT}"
    if kind.startswith("datetime"):
        return f"{name} is no day or time there is; write it {A_MOMENT}"
    if kind.startswith("int_"):
        return f"{name} must be a whole number"
    return f"{name} {_must(error['msg'])}"


def _must(message: str) -> str:
    """A message of the library's in our words."""
    return re.sub("^[A-Z][a-z]+ should", "must", message.removeprefix("Value error, "))


def _of_report(error: Mapping[str, Any], path: list, is_json: bool, known: list[str]) -> str:
    """What is wrong with a body that is no application: outcomes or an override with the `known` fields."""
    kind = error["type"]
    if kind == "json_invalid":
        return f"the body is not valid JSON: {error['ctx']['error']} at character {path[0]}"
    if not path and kind == "missing":
        return "the body is empty; GET /openapi.json says what it holds"
    if not is_json:
        return "send the body as JSON, with the header Content-Type: application/json"
    element = f"element {path[0] + 1}" if path and isinstance(path[0], int) else ""
    name = next((part for part in path if isinstance(part, str)), None)
    if name is not None:
        message = _of_field(error, name, known)
        return f"{element}: {message}" if element else message
    if kind == "too_short":
        return "the list is empty; send one element at least"
    if kind == "too_long":
        return f"a list holds at most {error['ctx']['max_length']:,} elements, this one {len(error['input']):,}"
    if kind == "value_error":  # of several fields together
        return f"{element}: {_must(error['msg'])}" if element else _must(error["msg"])
    several = ", or a list of such," if kind == "neither_one_nor_several" else ""
    return f"{element or 'the body'} must be one JSON object{several} with the fields {', '.join(known)}" + _but(
        error["input"], dict
    )


def _of_field(error: Mapping[str, Any], name: str, known: list[str]) -> str:
    kind, shown = error["type"], _shown(name)
    if kind == "extra_forbidden":
        return f"{shown} is an unknown field; {_known(name, known)}"
    type_, allowed = REPORTED.get(name, (str, A_TEXT))
    if kind == "missing":
        return f"{shown} is missing; it must be {allowed}"
    if kind == "value_error" and "NUL" in error["msg"]:
        return f"{shown} {_must(error['msg'])}"
    return f"{shown} must be {allowed}{_but(error['input'], type_)}"


def _but(value: Any, type_: type) -> str:
    """What kind of value came instead, where that is the mistake. Never the value."""
    kind = "null" if value is None else KINDS.get(type(value), "")
    return f", not {kind}" if kind and kind != KINDS[type_] else ""


def _of_body(error: Mapping[str, Any], book: Portfolio, path: list, is_json: bool) -> str:
    kind = error["type"]
    if path and isinstance(path[0], int) and kind != "json_invalid":  # the place in a list of applications
        return f"application {path[0] + 1}: {_of_body(error, book, path[1:], is_json)}"
    if kind == "json_invalid":
        return f"the body is not valid JSON: {error['ctx']['error']} at character {path[0]}"
    if not path:
        if kind == "missing":
            return "the body is empty; send one application as a JSON object"
        if not is_json:
            return "send the application as JSON, with the header Content-Type: application/json"
        return "must be one JSON object in valid Unicode: the fields of one application; or the body a list of such"
    name = path[0]
    known = {wire_name(n, column): column for n, column in book.inputs.items()}
    column = known.get(name) or book.inputs.get(book.wire_names.get(name, ""))
    if kind == "extra_forbidden":
        return _unexpected(name, book, known, column is not None)
    if column is None:
        return f"{_shown(name)} must be a text of 1 to {ID_LENGTH} characters, without NUL characters"
    if kind == "missing":
        return f"{name} is missing: {allowed_in_words(column)} is needed"
    beyond = (kind == "less_than_equal" and column.max is None) or (kind == "greater_than_equal" and column.min is None)
    utmost = f", and not beyond {number_in_words(UTMOST)} either way" if beyond else ""
    return f"{name} must be {allowed_in_words(column)}{utmost}"


def _unexpected(name: Any, book: Portfolio, known: Mapping[str, Any], is_other_name: bool) -> str:
    if is_other_name:
        column = book.wire_names[name]
        return f"{name} is another name of {wire_name(column, book.inputs[column])}; send one of them"
    names = [*known, *(["application_id"] if book.application_id else [])]
    return f"{_shown(name)} is an unknown field; {_known(name, names)}"


def _shown(part: Any) -> str | int:
    """A part of a path, short enough to be answered."""
    return part[:MOST_LETTERS] + "..." if isinstance(part, str) and len(part) > MOST_LETTERS else part
