"""The HTTP API: an application in, a logged prediction out.

A prediction is logged before it is answered, so an answer that a client holds can always be found in the log.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from importlib.metadata import version
from typing import Annotated, Literal

from fastapi import FastAPI, Header, HTTPException, Query, Request
from fastapi.responses import PlainTextResponse
from fastapi.routing import APIRoute
from pydantic import AwareDatetime, BaseModel, BeforeValidator, Field
from starlette.types import ASGIApp, Receive, Scope, Send

from creditrisk.errors import LogError
from creditrisk.serving import answers
from creditrisk.serving.answers import (
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
)
from creditrisk.serving.contract import application_model, example_application, written_out
from creditrisk.serving.desk import Desk
from creditrisk.serving.log import PredictionLog
from creditrisk.serving.metrics import CONTENT_TYPE, Metrics
from creditrisk.serving.models import Models
from creditrisk.serving.predict import KEY_LENGTH, KEY_PATTERN, MOST_APPLICATIONS, REQUESTED, Predict
from creditrisk.serving.problems import BodyLimit, Mistakes, Problem, explain_problems
from creditrisk.serving.records import DecisionRecord, OutcomeRecord

MOST_BYTES = 1_000_000

Limit = Annotated[int, Query(ge=1, le=1000, description="At most so many elements.")]
BeforeId = Annotated[
    int | None, Query(ge=1, le=2**63 - 1, description="Only elements before this id: the last one of a page.")
]
Moment = Annotated[AwareDatetime, BeforeValidator(written_out)]
Since = Annotated[Moment | None, Query(description="Only from this moment on, ISO 8601 with time zone.")]
Until = Annotated[Moment | None, Query(description="Only before this moment, ISO 8601 with time zone.")]
Named = Annotated[str | None, Query(max_length=200)]


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
    )
    app.state.direct = {}
    app.add_middleware(BodyLimit, most=most_bytes)
    explain_problems(app)
    no_log = {503: {"model": Problem, "description": "The prediction log is not available"}}
    refused = {422: {"model": Mistakes, "description": "The request is wrong; the answer says where"}}
    too_long = {413: {"model": Problem, "description": f"More than {most_bytes:,} bytes"}}
    unreadable = {400: {"model": Problem, "description": "The body cannot be read as JSON at all"}}
    unknown = {404: {"model": Problem, "description": "There is no such prediction"}}

    def caller(request: Request) -> str | None:
        return request.scope.get("state", {}).get("caller")

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

    @app.get("/model-info", summary="Describe the model that serves, or another, and its inputs", responses=refused)
    def describe(model: Named = None) -> ModelInfo:
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
        responses=refused | too_long | unreadable | no_log,
        openapi_extra={"requestBody": {"content": {"application/json": {"example": example_application(book)}}}},
    )(predict)
    app.state.desk = desk = Desk(log, on_due, metrics.batch)
    _serve_by(app, "POST", "/predict", Predict(models, desk, most_bytes, metrics.prediction))

    @app.get("/logs", summary="List predictions, newest first", responses=refused | no_log)
    def logs(
        limit: Limit = 100, before_id: BeforeId = None, model_version: Named = None, purpose: Named = None,
        application_id: Named = None, rating: Named = None, decision: Named = None, since: Since = None,
        until: Until = None,
    ) -> list[LoggedPrediction]:  # fmt: skip
        rows = log.predictions(
            limit, before_id, model_version=model_version, purpose=purpose, application_id=application_id,
            rating=rating, decision=decision, since=since, until=until,
        )  # fmt: skip
        return [answers.logged(row) for row in rows]

    @app.get("/drift-reports", summary="List drift checks, newest first", responses=refused | no_log)
    def drift_reports(
        limit: Limit = 100, before_id: BeforeId = None, model_version: Named = None, trigger: Named = None,
        status: Named = None, since: Since = None, until: Until = None,
    ) -> list[DriftCheck]:  # fmt: skip
        rows = log.reports(
            limit, before_id, model_version=model_version, trigger=trigger, status=status, since=since, until=until
        )
        return [answers.drift_check(row) for row in rows]

    @app.post("/outcomes", summary="Report what became of loans", responses=refused | too_long | unreadable | no_log)
    def report_outcomes(
        outcomes: Annotated[list[ReportedOutcome], Field(min_length=1, max_length=MOST_APPLICATIONS)], request: Request
    ) -> list[OutcomeStored]:
        told = [OutcomeRecord(**one.model_dump(), source="api", caller=caller(request)) for one in outcomes]
        found = log.add_outcomes(told)
        return [OutcomeStored(status=one.status, prediction_ids=list(one.prediction_ids)) for one in found]

    @app.post(
        "/decisions",
        summary="Override the decision of a prediction",
        responses=refused | too_long | unreadable | unknown | no_log,
    )
    def override(decision: Override, request: Request) -> DecisionMade:
        found = log.add_decision(DecisionRecord(**decision.model_dump(), caller=caller(request)))
        if found is None:
            raise HTTPException(404, "the log holds no such prediction")
        return answers.decision_made(
            next(row for row in log.decisions_of(decision.prediction_id) if row["id"] == found)
        )

    @app.get("/decisions", summary="List the overrides of one prediction, newest first", responses=refused | no_log)
    def decisions(prediction_id: Annotated[str, Query(min_length=1, max_length=200)]) -> list[DecisionMade]:
        return [answers.decision_made(row) for row in log.decisions_of(prediction_id)]

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
        if scope["type"] == "http" and (served_by := self._direct.get((scope["method"], scope["path"]))) is not None:
            await served_by(scope, receive, send)
        else:
            await self.app(scope, receive, send)


def _serve_by(app: FastAPI, method: str, path: str, served_by: ASGIApp) -> None:
    """Have a described route answered by an ASGI application: the framework's own way costs more than scoring."""
    next(route for route in app.router.routes if getattr(route, "path", "") == path).app = served_by
    app.state.direct[method, path] = served_by
