"""The HTTP API: an application in, a logged prediction out.

A prediction is logged before it is answered, so an answer that a client holds can always be found in the log.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Annotated, Any, Literal

from fastapi import Depends, FastAPI, Header, HTTPException, Query, Request
from fastapi.responses import PlainTextResponse
from fastapi.routing import APIRoute
from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, Field
from starlette.types import ASGIApp, Receive, Scope, Send

from creditrisk.errors import LogError
from creditrisk.serving import answers
from creditrisk.serving.answers import (
    EXAMPLE_OUTCOMES,
    EXAMPLE_OVERRIDE,
    DecisionMade,
    DriftCheck,
    Health,
    Index,
    LoggedPrediction,
    ModelInfo,
    OutcomeStored,
    Override,
    Prediction,
    ReportedOutcome,
    ReportedOutcomes,
)
from creditrisk.serving.contract import application_model, example_application, storable, written_out
from creditrisk.serving.desk import Desk
from creditrisk.serving.log import PredictionLog
from creditrisk.serving.metrics import CONTENT_TYPE, Metrics
from creditrisk.serving.models import Models, UnknownModel
from creditrisk.serving.predict import KEY_LENGTH, KEY_PATTERN, MOST_APPLICATIONS, REQUESTED, Predict
from creditrisk.serving.problems import (
    MOST_LETTERS,
    BodyLimit,
    KnownParameters,
    Mistakes,
    Problem,
    explain_problems,
    mistake,
)
from creditrisk.serving.records import DECISIONS, PURPOSES, TRIGGERS, VERDICTS, DecisionRecord, OutcomeRecord

MOST_BYTES = 1_000_000

Limit = Annotated[int, Query(ge=1, le=1000, description="At most so many elements.")]
BeforeId = Annotated[
    int | None, Query(ge=1, le=2**63 - 1, description="Only elements before this id: the last one of a page.")
]
_SPACE_FOR_PLUS = re.compile(r"(:\d\d(?:\.\d+)?) (?=\d\d:?\d\d$)", re.ASCII)


def _written_moment(value: Any) -> Any:
    """The text of a moment. A plus sign that was not escaped arrives as a space, which no time has before its zone."""
    return written_out(_SPACE_FOR_PLUS.sub(r"\1+", value) if isinstance(value, str) else value)


def _in_utc(moment: datetime) -> datetime:
    """The moment in UTC. The first and the last there are may lie beyond it elsewhere: nothing does."""
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        return (datetime.min if moment.year == 1 else datetime.max).replace(tzinfo=UTC)


Moment = Annotated[AwareDatetime, BeforeValidator(_written_moment), AfterValidator(_in_utc)]
Since = Annotated[Moment | None, Query(description="Only from this moment on, ISO 8601 with time zone.")]
Until = Annotated[Moment | None, Query(description="Only before this moment, ISO 8601 with time zone.")]
Word = Annotated[
    str, Field(min_length=1, max_length=200, json_schema_extra={"pattern": r"^[^\u0000]*$"}), AfterValidator(storable)
]
ModelName = Annotated[Word | None, Query(description="Version or alias, as in v1 and champion.")]
OldModelName = Annotated[Word | None, Query(description="Another name of model.", deprecated=True)]
ApplicationId = Annotated[Word | None, Query(description="Of this application, as it was sent to /predict.")]
Purpose = Annotated[Literal[PURPOSES] | None, Query(description="What predictions were made for.")]
Decided = Annotated[Literal[DECISIONS] | None, Query(description="What the cut-off policy said.")]
Trigger = Annotated[Literal[TRIGGERS] | None, Query(description="automatic: every full hundred.")]
Verdict = Annotated[Literal[VERDICTS] | None, Query(description="What the check found.")]


def _stretch(since: Since = None, until: Until = None) -> tuple[datetime | None, datetime | None]:
    if since is not None and until is not None and until < since:
        words = "until must not be before since; a page has what is from since on and before until"
        raise _refusal("until", words, "until_before_since")
    return since, until


Stretch = Annotated[tuple[datetime | None, datetime | None], Depends(_stretch)]


def _refusal(parameter: str, words: str, kind: str) -> HTTPException:
    return HTTPException(422, [mistake(("query", parameter), words, kind)])


def create_app(
    models: Models,
    log: PredictionLog,
    *,
    on_due: Callable[[], None] | None = None,
    lifespan: Callable[[FastAPI], AbstractAsyncContextManager[None]] | None = None,
    most_bytes: int = MOST_BYTES,
    metrics: Metrics | None = None,
) -> FastAPI:
    """The API of some models over one migrated prediction log.

    `on_due` is called when drift checks have fallen due. Request bodies over `most_bytes` are refused. The app's
    `state.desk` is where predictions are made; it starts with the first one, and whoever runs the app stops it.
    """
    served = models.serving
    book = served.data.portfolio
    metrics = metrics or Metrics()
    app = FastAPI(
        title=f"creditrisk: {book.title}",
        description="Scores applications. Every prediction is logged before it is answered.",
        version=version("creditrisk"),
        docs_url=None,  # these pages would load scripts from a CDN
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
        responses={422: {"model": Mistakes, "description": "The request is wrong; the answer says where"}},
    )
    app.state.direct = {}
    app.add_middleware(BodyLimit, most=most_bytes)
    app.add_middleware(KnownParameters, api=app)
    explain_problems(app, {"/outcomes": ReportedOutcome, "/decisions": Override})
    no_log = {503: {"model": Problem, "description": "The prediction log is not available"}}
    no_model = {503: {"model": Problem, "description": "The model cannot be loaded at the moment"}}
    too_long = {413: {"model": Problem, "description": f"More than {most_bytes:,} bytes"}}
    unreadable = {400: {"model": Problem, "description": "The body cannot be read as JSON at all"}}
    unknown = {404: {"model": Problem, "description": "There is no such prediction"}}

    def caller(request: Request) -> str | None:
        return request.scope.get("state", {}).get("caller")

    def version_of(model: str | None, model_version: str | None, rows: Callable[..., list]) -> str | None:
        """The version that a query asks for; `rows` tells whether the log has a version that the folder has not."""
        if model is not None and model_version is not None:
            words = "model_version is another name of model; send one of them"
            raise _refusal("model_version", words, "two_names")
        name = model_version if model is None else model
        if name is None:
            return None
        if (ready := models.ready(name)) is not None:
            return ready.data.version
        if rows(1, model_version=name):
            return name
        try:
            return models.get(name).data.version
        except UnknownModel as error:
            raise _refusal("model_version" if model is None else "model", str(error), "unknown_model") from None

    @app.get("/", summary="List the endpoints")
    def index() -> Index:
        routes = [route for route in app.routes if isinstance(route, APIRoute)]
        endpoints = {f"{method} {route.path}": route.summary for route in routes for method in sorted(route.methods)}
        return Index(title=app.title, endpoints=endpoints, openapi=app.openapi_url)

    @app.get("/health", summary="Say that the service is alive")
    async def health() -> Health: ...

    _serve_by(app, "GET", "/health", _Constant(b'{"status":"ok"}'))

    @app.get(
        "/ready",
        summary="Say whether predictions can be made: a model serves, the log can be written",
        responses=no_log,
    )
    def ready() -> Health:
        log.check_writable()
        return Health()

    @app.get("/model-info", summary="Describe the model that serves, or another, and its inputs", responses=no_model)
    def describe(model: ModelName = None) -> ModelInfo:
        return answers.model_info((models.serving if model is None else models.get(model)).data)

    async def predict(
        application: BaseModel,
        model: Annotated[str | None, Query(description="Version or alias; left out: the one that serves.")] = None,
        purpose: Annotated[
            Literal[REQUESTED], Query(description="Only production counts towards drift checks.")
        ] = "production",
        idempotency_key: Annotated[
            str | None,
            Header(
                min_length=1,
                max_length=KEY_LENGTH,
                pattern=KEY_PATTERN,
                description="Sent again with it, a request is answered as before.",
            ),
        ] = None,
    ) -> Prediction | list[Prediction]: ...

    one = application_model(book)
    predict.__annotations__["application"] = (
        one | Annotated[list[one], Field(min_length=1, max_length=MOST_APPLICATIONS)]
    )
    app.post(
        "/predict",
        summary="Score one application, or a list, and log the predictions",
        description=(
            "Sent again with the same application_id, an application gets its stored prediction. "
            "A list is answered in its order; if one application is wrong, none of the list is scored."
        ),
        responses=too_long | unreadable | no_log,
        openapi_extra={"requestBody": {"content": {"application/json": {"example": example_application(book)}}}},
    )(predict)
    app.state.desk = desk = Desk(log, on_due, metrics.batch)
    _serve_by(app, "POST", "/predict", Predict(models, desk, most_bytes, metrics.prediction))

    ratings = [rating.name for rating in book.scale.ratings]
    of_rating = Query(None, description="What the scale calls the score.", json_schema_extra={"enum": ratings})

    @app.get("/logs", summary="List predictions, newest first", responses=no_log)
    def logs(
        stretch: Stretch, limit: Limit = 100, before_id: BeforeId = None, model: ModelName = None,
        model_version: OldModelName = None, purpose: Purpose = None, application_id: ApplicationId = None,
        rating: Word | None = of_rating, decision: Decided = None,
    ) -> list[LoggedPrediction]:  # fmt: skip
        if rating is not None and rating not in ratings and not log.predictions(1, rating=rating):
            # what the log still has, of a portfolio before or beside this one, can be asked for
            raise _refusal("rating", f"rating must be one of {', '.join(ratings)}", "literal_error")
        since, until = stretch
        rows = log.predictions(
            limit, before_id, model_version=version_of(model, model_version, log.predictions), purpose=purpose,
            application_id=application_id, rating=rating, decision=decision, since=since, until=until,
        )  # fmt: skip
        return [answers.logged(row) for row in rows]

    @app.get("/drift-reports", summary="List drift checks, newest first", responses=no_log)
    def drift_reports(
        stretch: Stretch, limit: Limit = 100, before_id: BeforeId = None, model: ModelName = None,
        model_version: OldModelName = None, trigger: Trigger = None, status: Verdict = None,
    ) -> list[DriftCheck]:  # fmt: skip
        since, until = stretch
        rows = log.reports(
            limit, before_id, model_version=version_of(model, model_version, log.reports), trigger=trigger,
            status=status, since=since, until=until,
        )  # fmt: skip
        return [answers.drift_check(row) for row in rows]

    @app.post(
        "/outcomes",
        summary="Report what became of loans: one outcome or a list",
        description=(
            "An outcome of an application_id belongs to all its predictions but what-ifs. Of several outcomes of a "
            "prediction the one reported last counts. One outcome is answered by one object, a list by a list."
        ),
        responses=too_long | unreadable | no_log,
        openapi_extra={"requestBody": {"content": {"application/json": {"examples": EXAMPLE_OUTCOMES}}}},
    )
    def report_outcomes(outcomes: ReportedOutcomes, request: Request) -> OutcomeStored | list[OutcomeStored]:
        reported = outcomes if isinstance(outcomes, list) else [outcomes]
        told = [OutcomeRecord(**one.model_dump(), source="api", caller=caller(request)) for one in reported]
        found = log.add_outcomes(told)
        stored = [OutcomeStored(status=one.status, prediction_ids=list(one.prediction_ids)) for one in found]
        return stored if isinstance(outcomes, list) else stored[0]

    @app.post(
        "/decisions",
        summary="Override the decision of a prediction",
        responses=too_long | unreadable | unknown | no_log,
        openapi_extra={"requestBody": {"content": {"application/json": {"example": EXAMPLE_OVERRIDE}}}},
    )
    def override(decision: Override, request: Request) -> DecisionMade:
        found = log.add_decision(DecisionRecord(**decision.model_dump(), caller=caller(request)))
        if found is None:
            named = decision.prediction_id
            shown = named if len(named) <= MOST_LETTERS else named[:MOST_LETTERS] + "..."
            raise HTTPException(404, f"there is no prediction {shown} in the log")
        return answers.decision_made(
            next(row for row in log.decisions_of(decision.prediction_id) if row["id"] == found)
        )

    @app.get("/decisions", summary="List the overrides of one prediction, newest first", responses=no_log)
    def decisions(prediction_id: Word) -> list[DecisionMade]:
        return [answers.decision_made(row) for row in reversed(log.decisions_of(prediction_id))]

    @app.get("/metrics", summary="Numbers for Prometheus", response_class=PlainTextResponse)
    def numbers() -> PlainTextResponse:
        try:
            counts = log.check_counts()
            checks, up = {status: counts[status] for status in ("pending", "running", "failed")}, True
        except LogError:
            checks, up = {}, False
        serving = models.serving.data
        model = {"version": serving.version, "sha256": serving.sha256, "portfolio": serving.portfolio.name}
        text = metrics.text(database_up=up, checks=checks, model=model)
        return PlainTextResponse(text, media_type=CONTENT_TYPE)

    return app


class _Constant:
    """An ASGI application with one answer."""

    def __init__(self, body: bytes) -> None:
        self._headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        self._body = {"type": "http.response.body", "body": body}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": list(self._headers)})
        await send(self._body)


class Direct:
    """ASGI middleware: requests to the endpoints that answer by themselves go there straight, past the framework.

    Everything else, wrong methods among it, goes the usual way, on which these endpoints are, too.
    """

    def __init__(self, app: FastAPI) -> None:
        self.app, self._direct = app, app.state.direct

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = self._direct.get((scope["method"], scope["path"])) if scope["type"] == "http" else None
        if found is None or (scope["query_string"] and isinstance(found.app, _Constant)):  # which reads no query
            await self.app(scope, receive, send)
        else:
            scope["route"] = found  # under which it is counted
            await found.app(scope, receive, send)


def _serve_by(app: FastAPI, method: str, path: str, served_by: ASGIApp) -> None:
    """Have a described route answered by an ASGI application: the framework's own way costs more than scoring."""
    route = next(route for route in app.router.routes if getattr(route, "path", "") == path)
    route.app = served_by
    app.state.direct[method, path] = route
