"""What the Score tab knows: one applicant, without a widget."""

from __future__ import annotations

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
from creditrisk.serving.contract import wire_name
from creditrisk.serving.log import Check
from creditrisk.serving.model import ModelData, load_exact
from creditrisk.serving.policy import Policy, policy_in_force
from creditrisk.serving.scored import Scored
from creditrisk.serving.scorer import Scorer, dedupe_key
from creditrisk.ui.form import Field, fields_of, read_form
from creditrisk.ui.page.log_access import LogAccess
from creditrisk.ui.page.score_challenger import ChallengerState
from creditrisk.ui.page.score_changes import Outcome, goals_of, outcomes
from creditrisk.ui.page.score_cut_off import CutOffState
from creditrisk.ui.page.score_result import policy_of, result_of


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
    """The form and its result. `enter` a text; `result` is None while anything is missing or wrong.

    `policy` is the one in force when the result was made; None where none can be read. Beside the result are a
    `cut_off` to try out and a `challenger`: neither is ever logged.
    """

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
        self._values: Mapping[str, Any] = {}
        self.policy: Policy | None = policy_of(data)
        self.cut_off = CutOffState(data, None if self.policy is None else self.policy.approve_below)
        self.challenger = ChallengerState(data, artifacts)
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
            policy = policy_in_force(self._data)
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

    def what_would_change(self) -> tuple[Outcome, ...]:
        """What would change the result shown, goal by goal; empty without a result."""
        if self.result is None:
            return ()
        goals = goals_of(self.result.rating, self.policy, self.result.decision, self.book)
        return outcomes(self._scorer, self._values, goals)

    def score_at(self, pd: float) -> int:
        """The score of a PD."""
        return int(scores_of(np.array([pd]), self.book.scale)[0])

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
        self._values, self.policy = given, policy_of(self._data)
        self.result = result_of(self._data, scored, given, self.policy)

    def _model_of(self, check: Check) -> ModelData:
        if (check.model_version, check.model_sha256) == (self._data.version, self._data.sha256):
            return self._data
        return load_exact(check.model_version, check.model_sha256, self._artifacts)


def _owner() -> str:
    return f"page:{socket.gethostname()}:{os.getpid()}"
