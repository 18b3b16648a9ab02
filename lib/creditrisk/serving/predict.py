"""POST /predict: one application or a list in, logged predictions out.

This is the one endpoint whose speed decides, so it reads and answers requests itself; the API's framework describes it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl

from anyio import to_thread
from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from creditrisk.errors import ArtifactError, LogError
from creditrisk.serving.desk import Answered, Busy, Desk, Job
from creditrisk.serving.models import Models, Served, UnknownModel
from creditrisk.serving.problems import (
    BUSY,
    IN_WORDS,
    NO_LOG,
    NO_MODEL,
    RETRY_SECONDS,
    mistake,
    mistakes_in_words,
    too_long,
    unknown_parameters,
)

logger = logging.getLogger(__name__)

REQUESTED = ("production", "shadow", "what_if", "backfill")
"""What a request may be for; only production counts towards drift checks."""
PARAMETERS = ("model", "purpose")
MOST_APPLICATIONS = 1_000
KEY_LENGTH = 200
KEY_PATTERN = "^[ -~]*[!-~][ -~]*$"
OTHER_INPUTS = "this application_id was scored before, with other inputs; this is the stored prediction of those"
FAULT = "the service has failed at this request; nothing was answered that is not logged"
Headers = tuple[tuple[bytes, bytes], ...]
_REPEATED = ((b"idempotent-replayed", b"true"),)  # said of an answer that changed nothing; its body is as before
_JSON_HEADER = (b"content-type", b"application/json")


class Refused(Exception):
    """The request gets this status and these details."""

    def __init__(self, status: int, detail: Any, headers: Headers = ()) -> None:
        self.status, self.detail, self.headers = status, detail, headers


class Predict:
    """The ASGI application behind POST /predict."""

    def __init__(self, models: Models, desk: Desk, most_bytes: int, on_answer: Callable[[Answered], None]) -> None:
        self._models, self._desk, self._most_bytes, self._on_answer = models, desk, most_bytes, on_answer
        self._lists: dict[type, TypeAdapter] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            content, headers = await self._answer(scope, await self._body(receive))
        except Refused as refused:
            await _respond(send, refused.status, to_json({"detail": refused.detail}), refused.headers)
        except HTTPException:  # of the framework's middleware, which answers it
            raise
        except Exception as error:  # a fault of ours; its message may quote an application, which no log file may hold
            logger.error("POST /predict failed: %s", type(error).__name__)
            await _respond(send, 500, to_json({"detail": FAULT}))
        else:
            await _respond(send, 200, content, headers)

    async def _body(self, receive: Receive) -> bytes:
        message = await receive()
        body = message.get("body", b"")
        if message.get("more_body", False):
            chunks, size = [body], len(body)
            while message.get("more_body", False):
                message = await receive()
                size += len(message.get("body", b""))
                if size <= self._most_bytes:
                    chunks.append(message.get("body", b""))
                elif size > 16 * self._most_bytes or message["type"] == "http.disconnect":
                    break  # a little of the excess is read and dropped: clients read no answer while they still send
            body = b"".join(chunks) if size <= self._most_bytes else None
        if body is None or len(body) > self._most_bytes:
            raise Refused(413, too_long(self._most_bytes), ((b"connection", b"close"),))
        return body

    async def _answer(self, scope: Scope, body: bytes) -> tuple[bytes, Headers]:
        name, purpose = _query(scope["query_string"])
        is_json, key = _headers(scope["headers"])
        served = await self._served(name)
        applications, is_list = self._read(served, body, is_json)
        values, ids = [], []
        for application in applications:
            row = application.__dict__
            ids.append(row.get("application_id") if served.data.portfolio.application_id else None)
            values.append(row)
        inputs = [
            {wire: value for name, wire in served.wire_names if (value := row[name]) is not None} for row in values
        ]
        caller = scope.get("state", {}).get("caller")
        keys = _keys(key, caller, len(values), is_list)
        job = Job(served, values, inputs, purpose, caller, ids, keys)
        try:
            answers = await self._desk.submit(job)
        except Busy:
            raise Refused(503, BUSY, _RETRY) from None
        except LogError as error:
            logger.warning("POST /predict was not answered: %s", error)
            raise Refused(503, NO_LOG, _RETRY) from None
        for answer in answers:
            self._on_answer(answer)
        told = [prediction(answer, inputs[k], served) for k, answer in enumerate(answers)]
        repeated = all(answer.stored is not None for answer in answers)
        return to_json(told if is_list else told[0]), _REPEATED if repeated else ()

    async def _served(self, name: str | None) -> Served:
        try:
            return self._models.ready(name) or await to_thread.run_sync(self._models.get, name)
        except UnknownModel as error:
            raise Refused(422, [mistake(("query", "model"), str(error), "unknown_model")]) from None
        except (ArtifactError, OSError) as error:
            logger.warning("model %s could not be loaded: %s", name, error)
            raise Refused(503, NO_MODEL, _RETRY) from None

    def _read(self, served: Served, body: bytes, is_json: bool) -> tuple[list, bool]:
        """The applications of a body, and whether they came as a list."""
        model = served.application
        is_list = body[:1] == b"[" or body.lstrip()[:1] == b"["
        if is_json:
            try:
                if not is_list:
                    return [model.model_validate_json(body)], False
                found = self._list_of(model).validate_json(body)
                if 0 < len(found) <= MOST_APPLICATIONS:
                    return found, True
            except ValidationError:
                pass  # read once more, for words
        return self._explained(served, body, is_json, is_list)

    def _list_of(self, model: type) -> TypeAdapter:
        if model not in self._lists:
            self._lists = {model: TypeAdapter(list[model])}
        return self._lists[model]

    def _explained(self, served: Served, body: bytes, is_json: bool, is_list: bool) -> tuple[list, bool]:
        """What the fast way did not take, read the slow way: it knows where a mistake is."""
        book = served.data.portfolio

        def refused(errors: list[dict]) -> Refused:
            return Refused(422, mistakes_in_words(errors, book, is_json))

        if not body:
            raise refused([{"type": "missing", "loc": ("body",), "msg": ""}])
        if not is_json:
            raise refused([{"type": "model_attributes_type", "loc": ("body",), "msg": ""}])
        try:
            content = json.loads(body)
        except json.JSONDecodeError as error:
            wrong = {"type": "json_invalid", "loc": ("body", error.pos), "msg": "", "ctx": {"error": error.msg}}
            raise refused([wrong]) from None
        except (ValueError, RecursionError):
            raise Refused(400, IN_WORDS[400]) from None
        if is_list and isinstance(content, list) and not 0 < len(content) <= MOST_APPLICATIONS:
            many = f"a list holds 1 to {MOST_APPLICATIONS:,} applications, this one {len(content):,}"
            raise Refused(422, [mistake(("body",), many, "too_long" if content else "too_short")])
        try:
            checked = self._list_of(served.application) if is_list else TypeAdapter(served.application)
            found = checked.validate_python(content)
        except ValidationError as error:
            found = error.errors(include_url=False, include_input=False)
            raise refused([one | {"loc": ("body", *one["loc"])} for one in found]) from None
        return found if is_list else [found], is_list


def prediction(answer: Answered, inputs: dict[str, Any], served: Served) -> dict[str, Any]:
    """What is answered of one application: its row in the log, in words for clients."""
    made, stored = answer.record, answer.stored
    if stored is None:
        return {
            "prediction_id": made.prediction_id,
            "default_probability": made.pd,
            "credit_score": made.score,
            "points": made.points,
            "rating": made.rating,
            "timestamp": moment(made.created_at),
            "grade": made.grade,
            "decision": made.decision,
            "policy": made.policy,
            "reasons": made.reasons or [],
            "model_version": made.model_version,
            "warnings": served.soft_limits.warnings(inputs),
        }
    before = {name: value for name, value in (stored["inputs"] or {}).items() if value is not None}
    warnings = served.soft_limits.warnings(before)
    if not answer.same_inputs:
        if answer.found_by == "idempotency_key":
            reused = "this Idempotency-Key was used before, for another application; send a new one"
            raise Refused(422, [mistake(("header", "Idempotency-Key"), reused, "idempotency_key_reused")])
        warnings = [*warnings, OTHER_INPUTS]
    return {
        "prediction_id": stored["prediction_id"],
        "default_probability": stored["pd"],
        "credit_score": stored["score"],
        "points": stored["points"],
        "rating": stored["rating"],
        "timestamp": moment(stored["created_at"]),
        "grade": made.grade if stored["grade"] is None else stored["grade"],  # one logged before grades were
        "decision": stored["decision"],
        "policy": stored["policy"],
        "reasons": stored["reasons"] or [],
        "model_version": stored["model_version"],
        "warnings": warnings,
    }


_RETRY = ((b"retry-after", str(RETRY_SECONDS).encode()),)


@lru_cache(256)  # one batch, one moment
def moment(at: datetime) -> str:
    """A moment as answers have it: ISO 8601, UTC."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _query(query: bytes) -> tuple[str | None, str]:
    """The model and the purpose that a query asks for."""
    if not query:
        return None, "production"
    pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    if wrong := unknown_parameters((name for name, _ in pairs), PARAMETERS):
        raise Refused(422, wrong)
    asked = dict(pairs)
    purpose = asked.get("purpose", "production")
    if purpose not in REQUESTED:
        words = f"purpose must be one of {', '.join(REQUESTED)}"
        raise Refused(422, [mistake(("query", "purpose"), words, "literal_error")])
    return asked.get("model"), purpose


def _headers(headers: list[tuple[bytes, bytes]]) -> tuple[bool, str | None]:
    """Whether the body is said to be JSON, and the Idempotency-Key."""
    is_json, key = False, None
    for name, value in headers:
        if name == b"content-type":
            sent_as = value.split(b";", 1)[0].strip().lower()
            is_json = sent_as == b"application/json" or (
                sent_as.startswith(b"application/") and sent_as.endswith(b"+json")
            )
        elif name == b"idempotency-key":
            key = value.decode("latin-1").strip()
            if not 1 <= len(key) <= KEY_LENGTH or not (key.isascii() and key.isprintable()):
                words = f"Idempotency-Key must be 1 to {KEY_LENGTH} printable ASCII characters"
                raise Refused(422, [mistake(("header", "Idempotency-Key"), words, "string_pattern_mismatch")])
    return is_json, key


def _keys(key: str | None, caller: str | None, count: int, is_list: bool) -> list[str] | tuple[()]:
    """The key of each application: a caller's own, and those of a list numbered."""
    if key is None:
        return ()
    whose = f"{caller or ''}:{key}"
    return [f"{whose}#{k}" for k in range(count)] if is_list else [whose]


async def _respond(send: Send, status: int, body: bytes, headers: Headers = ()) -> None:
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [_JSON_HEADER, length, *headers]})
    await send({"type": "http.response.body", "body": body})
