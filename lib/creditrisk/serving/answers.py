"""What the API answers: the models of its answers, and how rows of the log become them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    StringConstraints,
    TypeAdapter,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

from creditrisk.data.portfolio import Column, Portfolio
from creditrisk.modelling.scorecard import Scorecard
from creditrisk.serving.contract import STORABLE, storable, wire_name, written_day, zero_or_one
from creditrisk.serving.model import ModelData
from creditrisk.serving.records import DECISIONS, OUTCOME_STATUSES

SCORE_NOTE = (
    "Linear in PD, hence not additive: no input has a share of it that could be added to those of others. "
    "Points of a scorecard are additive."
)


Text = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=200),
    AfterValidator(storable),
    Field(json_schema_extra={"pattern": STORABLE}),
]


def _id_text(value: Any) -> Any:
    """An application_id as text: /predict takes numbers, too."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


_ID_SCHEMA = {"anyOf": [{"type": "string", "minLength": 1, "maxLength": 200, "pattern": STORABLE}, {"type": "integer"}]}
ApplicationId = Annotated[Text, BeforeValidator(_id_text), WithJsonSchema(_ID_SCHEMA)]
MOST_OUTCOMES = 1_000


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
    decision: str | None = Field(description="What the cut-off policy says: approve, refer or decline.")
    policy: str | None = Field(description="The version of that policy.")
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
    decision: str | None = Field(description="What the cut-off policy said: approve, refer or decline.")
    policy: str | None
    reasons: list[Reason] | None
    caller: str | None = Field(description="The name of the API key.")
    latency_ms: float | None = Field(description="Milliseconds from the request to the end of scoring.")


_NAMES = {"prediction_id": ["string"], "application_id": ["string", "integer"]}
_ONE_NAME = [
    {"required": [one], "properties": {one: {"type": _NAMES[one]}, other: {"type": "null"}}}
    for one, other in (("prediction_id", "application_id"), ("application_id", "prediction_id"))
]


class ReportedOutcome(BaseModel):
    """What became of the loan behind a prediction, named by prediction_id or by application_id."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"oneOf": _ONE_NAME})

    prediction_id: Text | None = None
    application_id: ApplicationId | None = None
    observed_at: Annotated[date, BeforeValidator(written_day)] = Field(
        description="The day the outcome is known to hold for, ISO 8601."
    )
    bad: Annotated[Literal[0, 1], BeforeValidator(zero_or_one)] = Field(
        description="1 for a default as the portfolio defines it, 0 for none."
    )

    @model_validator(mode="after")
    def _names_one(self) -> ReportedOutcome:
        if (self.prediction_id is None) == (self.application_id is None):
            raise ValueError("name the prediction by prediction_id or by application_id, one of them")
        if self.observed_at > datetime.now(UTC).date():
            raise ValueError("observed_at is in the future; an outcome is seen first")
        return self


_ONE = TypeAdapter(ReportedOutcome)
_SEVERAL = TypeAdapter(Annotated[list[ReportedOutcome], Field(min_length=1, max_length=MOST_OUTCOMES)])


def _one_or_several(body: Any) -> ReportedOutcome | list[ReportedOutcome]:
    """What a body holds. Read as the one or the other, so that a mistake is told of what was meant."""
    if not isinstance(body, dict | list):
        raise PydanticCustomError("neither_one_nor_several", "must be an object or a list")
    return (_SEVERAL if isinstance(body, list) else _ONE).validate_python(body)


ReportedOutcomes = Annotated[
    ReportedOutcome | list[ReportedOutcome],
    PlainValidator(
        _one_or_several,
        json_schema_input_type=ReportedOutcome
        | Annotated[list[ReportedOutcome], Field(min_length=1, max_length=MOST_OUTCOMES)],
    ),
]
EXAMPLE_OUTCOMES = {
    "one": {"value": {"application_id": "A-1", "observed_at": "2026-01-31", "bad": 1}},
    "several": {
        "value": [
            {"application_id": "A-1", "observed_at": "2026-01-31", "bad": 1},
            {"prediction_id": "019c1a2b-3c4d-7e5f-8a9b-0c1d2e3f4a5b", "observed_at": "2026-01-31", "bad": 0},
        ]
    },
}
EXAMPLE_OVERRIDE = {
    "prediction_id": "019c1a2b-3c4d-7e5f-8a9b-0c1d2e3f4a5b",
    "decision": "approve",
    "reason": "a guarantor has signed",
    "decided_by": "user-17",
}


class OutcomeStored(BaseModel):
    """What became of a reported outcome."""

    status: Literal[OUTCOME_STATUSES] = Field(
        description=(
            "stored: it is new. corrected: it is new and counts in place of the other verdict that was reported for "
            "the same day. duplicate: it was reported before. superseded: it was reported before, and the other "
            "verdict has been reported for the same day since, which counts; to go back, report a later observed_at. "
            "unknown: the log holds no such prediction, and nothing is stored."
        )
    )
    prediction_ids: list[str] = Field(description="The predictions that the outcome belongs to.")


class Override(BaseModel):
    """A person's decision in the place of the policy's."""

    model_config = ConfigDict(extra="forbid")

    prediction_id: Text
    decision: Literal[DECISIONS]
    reason: Text = Field(description="Why the policy's decision is overridden.")
    decided_by: Text = Field(description="Who decided: a name or a staff number.")


class DecisionMade(BaseModel):
    """A recorded override."""

    id: int
    timestamp: datetime
    prediction_id: str
    decision: str
    reason: str
    decided_by: str
    caller: str | None


class DriftCheck(BaseModel):
    """One drift check: a window of predictions against the training baseline of their model."""

    id: int
    timestamp: datetime
    model_version: str
    trigger: str = Field(description="automatic (every full hundred), file or notebook.")
    window_key: str = Field(description="Which window; a window is checked once.")
    n: int = Field(description="Predictions compared.")
    status: str = Field(description="green, amber, red, or insufficient data.")
    flagged: int = Field(description="Columns that have drifted.")
    flagged_columns: list[str]
    columns: list[dict[str, Any]] = Field(description="Each column's Z, PSI, tests, verdict and its reason.")


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


# --- From the log to answers ------------------------------------------------------------------------------------------


def logged(row: Mapping[str, Any]) -> LoggedPrediction:
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
        decision=row["decision"],
        policy=row["policy"],
        reasons=row["reasons"],
        caller=row["caller"],
        latency_ms=row["latency_ms"],
    )


def decision_made(row: Mapping[str, Any]) -> DecisionMade:
    kept = ("id", "prediction_id", "decision", "reason", "decided_by", "caller")
    return DecisionMade(timestamp=row["created_at"], **{name: row[name] for name in kept})


def drift_check(row: Mapping[str, Any]) -> DriftCheck:
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
        columns=[{k: v for k, v in column.items() if k != "bins"} for column in report.get("columns", ())],
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
