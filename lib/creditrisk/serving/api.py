"""The HTTP API of one model: an application in, a logged prediction out.

A prediction is logged before it is answered, so an answer that a client holds can always be found in the log.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from datetime import datetime
from importlib.metadata import version
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import FastAPI, Query
from fastapi.routing import APIRoute
from pydantic import BaseModel, Field

from creditrisk.data.portfolio import Column, Portfolio
from creditrisk.errors import LogError
from creditrisk.modelling.scorecard import Scorecard, grades_of
from creditrisk.serving.contract import application_model, example_application, soft_limit_warnings, wire_name
from creditrisk.serving.log import PredictionLog
from creditrisk.serving.model import ModelData
from creditrisk.serving.problems import BodyLimit, Mistakes, Problem, explain_problems
from creditrisk.serving.scorer import Scorer, dedupe_key

MOST_BYTES = 1_000_000
SCORE_NOTE = (
    "Linear in PD, hence not additive: no input has a share of it that could be added to those of others. "
    "Points of a scorecard are additive."
)
OTHER_INPUTS = "this application_id was scored before, with other inputs; this is the stored prediction of those"

Limit = Annotated[int, Query(ge=1, le=1000, description="At most so many elements.")]
BeforeId = Annotated[
    int | None, Query(ge=1, le=2**63 - 1, description="Only elements before this id: the last one of a page.")
]

# --- What is answered -------------------------------------------------------------------------------------------------


class Reason(BaseModel):
    """What raised this applicant's PD."""

    feature: str
    text: str = Field(description="The reason in words, for the applicant.")
    weight: float = Field(description="Log-odds of bad above the baseline that /model-info states.")


class Prediction(BaseModel):
    """A logged prediction."""

    prediction_id: str
    default_probability: float = Field(description="Calibrated probability of default, 0 to 1.")
    credit_score: int = Field(description=SCORE_NOTE)
    points: int | None = Field(description="Scorecard points, the sum of those of the card; null for trees.")
    rating: str
    timestamp: datetime = Field(description="When it was made, ISO 8601, UTC.")
    grade: str | None = Field(description="Grade on the master scale; null where the portfolio has none.")
    reasons: list[Reason] = Field(description="Up to four, heaviest first; none is a protected attribute.")
    model_version: str
    warnings: list[str] = Field(description="Inputs beyond soft limits, in words. They were scored all the same.")


class LoggedPrediction(BaseModel):
    """One row of the prediction log."""

    id: int = Field(description="Rising number; pass the last one as before_id for the next page.")
    prediction_id: str
    timestamp: datetime
    model_version: str
    application_id: str | None
    purpose: str = Field(description="production, file, what_if, shadow or backfill.")
    inputs: dict[str, Any] | None = Field(description="The application as received, by wire name.")
    default_probability: float
    credit_score: int
    points: int | None = Field(description="Scorecard points; null for trees.")
    rating: str
    grade: str | None = Field(description="Grade on the master scale at the time; null where there was none.")
    reasons: list[Reason] | None


class DriftCheck(BaseModel):
    """One drift check: a window of predictions against the training baseline of their model."""

    id: int
    timestamp: datetime
    model_version: str
    trigger: str = Field(description="automatic (every full hundred), file or notebook.")
    window_key: str = Field(description="Which window; a window is checked once.")
    n: int = Field(description="Predictions compared.")
    status: str = Field(description="ok, drift or insufficient data.")
    flagged: int = Field(description="Columns that have drifted.")
    flagged_columns: list[str]
    columns: list[dict[str, Any]] = Field(description="Each column's means, Z, shares of missing values and verdict.")


class InputInfo(BaseModel):
    """What one input of an application may hold."""

    kind: str
    required: bool
    label: str
    help: str
    unit: str
    min: float | None
    max: float | None
    above: float | None = Field(description="A value must be larger than this.")
    warn_below: float | None = Field(description="Soft limit: scored, with a warning.")
    warn_above: float | None = Field(description="Soft limit: scored, with a warning.")
    levels: list[str]
    default: float | str | None = Field(description="What a form may show at first; it is not filled in.")
    also_called: list[str] = Field(description="Other names that are accepted.")


class ScoreScale(BaseModel):
    """The scale of credit_score."""

    low: int
    high: int
    formula: str
    additive: bool = Field(description="Whether contributions of single inputs add up on it.")
    about: str


class PointsScale(BaseModel):
    """The scale of a scorecard's points."""

    at: float = Field(description="This many points are odds of `odds` goods to 1 bad.")
    odds: float
    pdo: float = Field(description="So many more points double the odds.")
    base: int = Field(description="Points that everybody has.")
    lowest: int
    highest: int
    largest_error: float = Field(description="The most by which whole points can differ from the unrounded score.")
    largest_pd_error: float = Field(description="The most by which a PD read off whole points can differ.")
    additive: bool = Field(description="Whether contributions of single inputs add up on it.")
    about: str


class ReasonsInfo(BaseModel):
    """What reasons are measured from."""

    baseline: str = Field(description="Whose mean contributions, in a sentence.")
    basis: dict[str, Any] = Field(
        description="Share and number of rows, cut-off PD, lowest and highest PD of these rows."
    )
    contributions: dict[str, float] = Field(description="Those means by feature, in log-odds of bad.")
    at_most: int


class ModelInfo(BaseModel):
    """The model that serves."""

    model_version: str
    sha256: str = Field(description="Of the model file, as in the manifest.")
    portfolio: str
    kind: str
    features: list[str] = Field(description="The columns the model reads.")
    inputs: dict[str, InputInfo] = Field(description="What an application may say, by name in requests.")
    metrics: dict[str, Any] = Field(description="On the test rows and in cross-validation.")
    threshold: float = Field(description="Cut-off PD at the portfolio's approval share.")
    pd_kind: str = Field(description="What PDs are: point-in-time or through-the-cycle.")
    credit_score: ScoreScale
    points: PointsScale | None = Field(description="Null for a model that is no scorecard.")
    reasons: ReasonsInfo
    trained: str | None = Field(description="When, ISO 8601.")
    training: dict[str, Any] = Field(description="On what and how it was trained.")
    versions: dict[str, str] = Field(description="Of Python and libraries at training.")


class Health(BaseModel):
    status: Literal["ok"] = "ok"


class Index(BaseModel):
    """What there is."""

    title: str
    endpoints: dict[str, str] = Field(description="Method and address: what it does.")
    openapi: str = Field(description="Address of the full description of requests and answers.")


# --- The application --------------------------------------------------------------------------------------------------


def create_app(
    scorer: Scorer,
    log: PredictionLog,
    *,
    on_logged: Callable[[], None] | None = None,
    lifespan: Callable[[FastAPI], AbstractAsyncContextManager[None]] | None = None,
    most_bytes: int = MOST_BYTES,
) -> FastAPI:
    """The API of one model over one migrated prediction log.

    `on_logged` is called after each new prediction is stored. Request bodies over `most_bytes` are refused.
    """
    data = scorer.data
    book = data.portfolio
    app = FastAPI(
        title=f"creditrisk: {book.title}",
        description=f"Scores applications with model {data.version}. Every prediction is logged before it is answered.",
        version=version("creditrisk"),
        docs_url=None,  # these pages would load scripts from a CDN
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
    )
    app.add_middleware(BodyLimit, most=most_bytes)
    explain_problems(app, book)
    info = model_info(data)
    # Threads that wait inside SQLite sleep and are woken unfairly, some after seconds; PostgreSQL has a queue.
    one_writer = threading.Lock() if log.url.get_backend_name() == "sqlite" else nullcontext()
    no_log = {503: {"model": Problem, "description": "The prediction log is not available"}}
    refused = {422: {"model": Mistakes, "description": "The request is wrong; the answer says where"}}
    too_long = {413: {"model": Problem, "description": f"More than {most_bytes:,} bytes"}}

    @app.get("/", summary="List the endpoints")
    def index() -> Index:
        routes = [route for route in app.routes if isinstance(route, APIRoute)]
        endpoints = {f"{method} {route.path}": route.summary for route in routes for method in sorted(route.methods)}
        return Index(title=app.title, endpoints=endpoints, openapi=app.openapi_url)

    @app.get("/health", summary="Say whether predictions can be made", responses=no_log)
    def health() -> Health:
        log.ping()
        return Health()

    @app.get("/model-info", summary="Describe the model and its inputs")
    def describe() -> ModelInfo:
        return info

    def predict(application: BaseModel) -> Prediction:
        values = application.model_dump()
        application_id = values.pop("application_id", None) if book.application_id else None
        inputs = {wire_name(name, column): values[name] for name, column in book.inputs.items()}
        inputs = {name: value for name, value in inputs.items() if value is not None}
        record = scorer.record(
            scorer.score_rows([values]),
            0,
            inputs,
            purpose="production",
            source="api",
            application_id=application_id,
            dedupe_key=None if application_id is None else dedupe_key(data, application_id),
        )
        with one_writer:
            stored = log.append([record])
        if not stored.inserted[0]:
            return _repeated(log, stored.prediction_ids[0], inputs, book)
        if on_logged is not None:
            on_logged()
        return _prediction({name: getattr(record, name) for name in _ANSWERED}, book)

    predict.__annotations__["application"] = application_model(book)  # known only now, from the portfolio
    app.post(
        "/predict",
        summary="Score one application and log the prediction",
        description="Sent again with the same application_id, an application gets its stored prediction.",
        responses=refused | too_long | no_log,
        openapi_extra={"requestBody": {"content": {"application/json": {"example": example_application(book)}}}},
    )(predict)

    @app.get("/logs", summary="List predictions, newest first", responses=refused | no_log)
    def logs(limit: Limit = 100, before_id: BeforeId = None) -> list[LoggedPrediction]:
        return [_logged(row) for row in log.predictions(limit, before_id)]

    @app.get("/drift-reports", summary="List drift checks, newest first", responses=refused | no_log)
    def drift_reports(limit: Limit = 100, before_id: BeforeId = None) -> list[DriftCheck]:
        return [_drift_check(row) for row in log.reports(limit, before_id)]

    return app


# --- From the log to answers ------------------------------------------------------------------------------------------

_ANSWERED = (
    "prediction_id", "created_at", "model_version", "inputs", "pd", "score", "points", "rating", "grade", "reasons",
)  # fmt: skip


def _prediction(row: Mapping[str, Any], book: Portfolio, warnings: tuple[str, ...] = ()) -> Prediction:
    return Prediction(
        prediction_id=row["prediction_id"],
        default_probability=row["pd"],
        credit_score=row["score"],
        points=row["points"],
        rating=row["rating"],
        timestamp=row["created_at"],
        grade=row["grade"],
        reasons=row["reasons"] or [],
        model_version=row["model_version"],
        warnings=[*soft_limit_warnings(row["inputs"] or {}, book), *warnings],
    )


def _repeated(log: PredictionLog, prediction_id: str, inputs: dict[str, Any], book: Portfolio) -> Prediction:
    """The stored prediction of an application that was sent before."""
    row = log.prediction(prediction_id)
    if row is None:
        raise LogError(f"prediction {prediction_id} was in the log a moment ago and is gone now")
    if row["grade"] is None and (grades := grades_of(np.array([row["pd"]]), book)) is not None:
        row = row | {"grade": str(grades[0])}  # logged before grades were; it is this model's prediction, so its scale
    before = {name: value for name, value in (row["inputs"] or {}).items() if value is not None}
    return _prediction(row, book, () if before == inputs else (OTHER_INPUTS,))


def _logged(row: Mapping[str, Any]) -> LoggedPrediction:
    return LoggedPrediction(
        id=row["id"],
        prediction_id=row["prediction_id"],
        timestamp=row["created_at"],
        model_version=row["model_version"],
        application_id=row["application_id"],
        purpose=row["purpose"],
        inputs=row["inputs"],
        default_probability=row["pd"],
        credit_score=row["score"],
        points=row["points"],
        rating=row["rating"],
        grade=row["grade"],
        reasons=row["reasons"],
    )


def _drift_check(row: Mapping[str, Any]) -> DriftCheck:
    report = row["report"] or {}
    return DriftCheck(
        id=row["id"],
        timestamp=row["created_at"],
        model_version=row["model_version"],
        trigger=row["trigger"],
        window_key=row["window_key"],
        n=row["n"],
        status=row["status"],
        flagged=row["flagged"],
        flagged_columns=report.get("flagged", []),
        columns=report.get("columns", []),
    )


def model_info(data: ModelData) -> ModelInfo:
    """What /model-info says of a model."""
    book = data.portfolio
    return ModelInfo(
        model_version=data.version,
        sha256=data.sha256,
        portfolio=book.name,
        kind=data.model.to_dict()["model"]["kind"],
        features=list(data.features),
        inputs={wire_name(name, column): _input_info(name, column) for name, column in book.inputs.items()},
        metrics=data.metrics,
        threshold=data.threshold,
        pd_kind=data.pd_kind,
        credit_score=_score_scale(book),
        points=_points_scale(data.card),
        reasons=ReasonsInfo(
            baseline=data.reasons.about,
            basis=data.reasons.basis,
            contributions=dict(zip(data.reasons.features, data.reasons.baseline, strict=True)),
            at_most=data.reasons.most,
        ),
        trained=data.training.get("created"),
        training=data.training,
        versions=data.versions,
    )


def _score_scale(book: Portfolio) -> ScoreScale:
    low, high = book.scale.low, book.scale.high
    formula = f"int({low} + (1 - PD) * {high - low})"
    return ScoreScale(low=low, high=high, formula=formula, additive=False, about=SCORE_NOTE)


def _points_scale(card: Scorecard | None) -> PointsScale | None:
    if card is None:
        return None
    scale, (lowest, highest) = card.scale, card.span
    about = (
        f"{scale.at:g} points are odds of {scale.odds:g} goods to 1 bad, and {scale.pdo:g} more double the odds. "
        "An applicant's points are the base and the points of one bin of each variable, added up."
    )
    return PointsScale(
        at=scale.at, odds=scale.odds, pdo=scale.pdo, base=card.base, lowest=lowest, highest=highest,
        largest_error=card.largest_error, largest_pd_error=card.largest_pd_error, additive=True, about=about,
    )  # fmt: skip


def _input_info(name: str, column: Column) -> InputInfo:
    wire = wire_name(name, column)
    limits = ("kind", "label", "help", "unit", "min", "max", "above", "warn_below", "warn_above", "default")
    return InputInfo(
        required=column.role == "input",
        levels=list(column.levels),
        also_called=[other for other in dict.fromkeys((name, *column.also_called)) if other != wire],
        **{limit: getattr(column, limit) for limit in limits},
    )
