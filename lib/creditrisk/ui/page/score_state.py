"""What the Score tab knows: one applicant, without a widget."""

from __future__ import annotations

import math
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from traitlets import Any as Anything
from traitlets import Dict, HasTraits, Tuple, Unicode

from creditrisk.data.portfolio import Portfolio
from creditrisk.errors import CreditRiskError
from creditrisk.modelling.scorecard import scores_of
from creditrisk.monitoring.checks import run_due_checks
from creditrisk.serving.contract import number_in_words, soft_limit_warnings, wire_name
from creditrisk.serving.log import Check
from creditrisk.serving.model import ModelData, load_exact
from creditrisk.serving.policy import MODEL_CUT_OFF, Policies, Policy, load_policies
from creditrisk.serving.scored import Scored
from creditrisk.serving.scorer import Scorer, dedupe_key
from creditrisk.settings import settings
from creditrisk.ui.form import Field, fields_of, read_form
from creditrisk.ui.page.log_access import LogAccess


@dataclass(frozen=True)
class Reason:
    """Why the PD is as high as it is: `odds` times the odds of default of the applicant it is compared with."""

    text: str
    label: str
    value: str
    weight: float

    @property
    def odds(self) -> float:
        return math.exp(self.weight)


@dataclass(frozen=True)
class Result:
    """One applicant scored. `cut_offs` are the PDs at which the policy's decision changes, rising, with their scores.

    `decision` is that of the policy in force, None where none can be read; `policy` is its version, empty where the
    model's own cut-off decides. `points` are those of a scorecard, None for trees. `against` says whom reasons compare
    the applicant with.
    """

    pd: float
    score: int
    rating: str
    grade: str | None
    points: int | None
    decision: str | None
    policy: str
    cut_offs: tuple[tuple[float, int], ...]
    reasons: tuple[Reason, ...]
    against: str
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Stored:
    """The prediction that the log held before: nothing was added. Figures are None where they cannot be read.

    `same_inputs` says whether it was made of the inputs in the form; `when` is in UTC.
    """

    prediction_id: str
    same_inputs: bool
    pd: float | None = None
    score: int | None = None
    when: datetime | None = None


class ApplicantState(HasTraits):
    """The form and its result. `enter` a text; `result` is None while anything is missing or wrong."""

    errors = Dict()
    missing = Tuple()
    result = Anything(None, allow_none=True)
    saved = Unicode()
    stored = Anything(None, allow_none=True)
    problem = Unicode()

    def __init__(self, data: ModelData, log: LogAccess, artifacts: str = "") -> None:
        super().__init__()
        self.book: Portfolio = data.portfolio
        self.fields: Mapping[str, Field] = fields_of(data.portfolio)
        self.texts = {name: field.initial for name, field in self.fields.items()}
        self.application_id = ""
        self._data, self._scorer, self._log, self._artifacts = data, Scorer(data), log, artifacts
        self._touched: set[str] = set()
        self._record: tuple[Scored, dict, str | None] | None = None
        self._read()

    def enter(self, name: str, text: str) -> None:
        """Take the text of one field, and score anew when the form is complete."""
        self._touched.add(name)
        self.texts[name] = text
        self._read()

    def enter_application_id(self, text: str) -> None:
        """Take the lender's own identifier of the application; may be empty."""
        self.application_id = text
        self._read()

    def reset(self) -> None:
        """Back to the portfolio's defaults."""
        self._touched.clear()
        self.application_id = ""
        self.texts = {name: field.initial for name, field in self.fields.items()}
        self._read()

    def save(self) -> None:
        """Log the prediction shown, once; `saved` is then its id, or `problem` says why there is none.

        An application id that this model has scored before keeps its stored prediction: `stored` is then that one.
        """
        if self._record is None or self.saved:
            return
        scored, inputs, application_id = self._record
        try:
            policy = self._policy()
        except CreditRiskError as problem:
            self.problem = f"No policy can decide: {problem}"
            return
        record = self._scorer.record(
            scored,
            0,
            inputs,
            purpose="production",
            source="page",
            application_id=application_id,
            dedupe_key=None if application_id is None else dedupe_key(self._data, application_id),
            decision=str(policy.decide(float(scored.pd[0]))),
            policy=policy.version,
        )
        answer = self._log.ask(lambda log: log.append([record]))
        self.problem = self._log.problem
        if answer is not None:
            self.stored = None if answer.inserted[0] else self._stored(answer.prediction_ids[0], answer.same_inputs[0])
            self.saved = answer.prediction_ids[0]
            self._log.ask(lambda log: run_due_checks(log, self._model_of, _owner()))

    def _policy(self) -> Policy:
        file = settings().policy_file
        policies = load_policies(file) if file else Policies.of_model(self._data)
        return policies.in_force(datetime.now(UTC), self._data.portfolio.name)

    def _stored(self, prediction_id: str, same_inputs: bool) -> Stored:
        row = self._log.ask(lambda log: log.prediction(prediction_id))
        if row is None:
            return Stored(prediction_id, same_inputs)
        return Stored(prediction_id, same_inputs, row["pd"], row["score"], row["created_at"].astimezone(UTC))

    def _read(self) -> None:
        reading = read_form(self.book, self.texts, self.application_id)
        self._record = None
        self.saved = self.problem = ""
        self.stored = None
        emptied = [name for name in reading.missing if name in self._touched]
        self.errors = reading.errors | {n: f"needed; enter {self.fields[n].allowed}" for n in emptied}
        self.missing = reading.missing
        if reading.values is None:
            self.result = None
            return
        scored = self._scorer.score_rows([reading.values])
        given = {n: v for n, v in reading.values.items() if v is not None}
        inputs = {wire_name(n, self.book.columns[n]): v for n, v in given.items()}
        self._record = (scored, inputs, reading.application_id)
        self.result = self._result(scored, given)

    def _result(self, scored: Scored, values: Mapping[str, Any]) -> Result:
        known = scored.features_of(0) | dict(values)
        reasons = []
        for reason in scored.reasons[0]:
            column, value = self.book.columns[reason["feature"]], known[reason["feature"]]
            label = column.label or reason["feature"].replace("_", " ")
            shown = value if isinstance(value, str) else _measure(value, column.unit)
            reasons.append(Reason(reason["text"], label, shown, reason["weight"]))
        try:
            policy = self._policy()
        except CreditRiskError:  # saving says what is wrong
            policy = None
        cut_offs = () if policy is None else tuple(dict.fromkeys(policy.cut_offs))
        at = scores_of(np.array(cut_offs), self.book.scale).tolist()
        return Result(
            pd=float(scored.pd[0]),
            score=int(scored.score[0]),
            rating=str(scored.rating[0]),
            grade=None if scored.grade is None else str(scored.grade[0]),
            points=None if scored.points is None else int(scored.points[0]),
            decision=None if policy is None else str(policy.decide(float(scored.pd[0]))),
            policy="" if policy is None or policy.version == MODEL_CUT_OFF else policy.version,
            cut_offs=tuple(zip(cut_offs, at, strict=True)),
            reasons=tuple(reasons),
            against=self._data.reasons.against,
            warnings=tuple(_soft_warnings(self.book, values)),
        )

    def _model_of(self, check: Check) -> ModelData:
        if (check.model_version, check.model_sha256) == (self._data.version, self._data.sha256):
            return self._data
        return load_exact(check.model_version, check.model_sha256, self._artifacts)


def _measure(value: float, unit: str) -> str:
    shown = number_in_words(round(value, 2))
    return f"{shown}{unit}" if unit == "%" else f"{shown} {unit}".strip()


def _soft_warnings(book: Portfolio, values: Mapping[str, Any]) -> list[str]:
    """The API's warnings, with labels for wire names."""
    found = []
    for name, value in values.items():
        wire, label = wire_name(name, book.columns[name]), book.columns[name].label or name
        sentences = soft_limit_warnings({wire: value}, book)
        found += [f"{label}{sentence.removeprefix(wire)}" for sentence in sentences]
    return found


def _owner() -> str:
    return f"page:{socket.gethostname()}:{os.getpid()}"
