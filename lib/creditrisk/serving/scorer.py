"""Scoring: one arithmetic for one applicant and for a million. Scores and log rows are made here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np
import pandas as pd

from creditrisk.data.tables import Applications, check_applications, to_columns
from creditrisk.serving.compiled import CompiledModel
from creditrisk.serving.log import PredictionRecord
from creditrisk.serving.model import ModelData
from creditrisk.serving.policy import Policy
from creditrisk.serving.scored import Scored


class Scorer:
    """Scores applications with one model, and makes their log rows."""

    def __init__(self, data: ModelData) -> None:
        self.data = data

    @cached_property
    def compiled(self) -> CompiledModel:
        """The model as tables, made at the first use: some tenths of a second for trees."""
        return CompiledModel(self.data)

    def score(self, inputs: dict[str, np.ndarray]) -> Scored:
        """Score checked inputs: column name -> (n,), numbers float64 with NaN missing, text objects with None."""
        return self.compiled.score(inputs)

    def score_rows(self, rows: Sequence[Mapping]) -> Scored:
        """Score checked applications given as mappings by column name; inputs left out are missing."""
        return self.compiled.score_rows(rows)

    def score_frame(self, frame: pd.DataFrame) -> Scored:
        """Score checked applications, one row each."""
        return self.score(to_columns(frame, list(self.data.portfolio.inputs), self.data.portfolio))

    def record(self, scored: Scored, row: int, inputs: dict, *, purpose: str, source: str, **more) -> PredictionRecord:
        """The log row of one prediction; `inputs` is the application as received."""
        return PredictionRecord(
            model_version=self.data.version,
            model_sha256=self.data.sha256,
            portfolio=self.data.portfolio.name,
            purpose=purpose,
            source=source,
            inputs=inputs,
            features=scored.features_of(row),
            **scored.result_of(row),
            **more,
        )


def dedupe_key(data: ModelData, application_id: str, purpose: str = "production") -> str:
    """The key under which one application is one prediction of a model, however often it is sent.

    Scored files count as production here. What is not meant in earnest has keys of its own purpose, so that a what-if
    never stands for the prediction that an applicant gets, nor the other way around.
    """
    meant = "app" if purpose in ("production", "file") else f"app-{purpose}"
    return f"{meant}:{data.version}:{data.sha256[:16]}:{application_id}"


def file_records(
    scorer: Scorer,
    applications: Applications,
    scored: Scored,
    *,
    run: str,
    file_sha256: str,
    policy: Policy | None = None,
) -> list[PredictionRecord]:
    """Log rows of a scored file, with the decisions of a policy if there is one.

    The same file, or the same application, scored again has the same keys.
    """
    data = scorer.data
    decisions = [None] * len(scored) if policy is None else policy.decide(scored.pd).tolist()
    wire = {name: column.wire or name for name, column in data.portfolio.inputs.items()}
    inputs = applications.frame.rename(columns=wire).astype("object")
    inputs = inputs.where(inputs.notna(), None).to_dict("records")
    records = []
    for i, row in enumerate(applications.rows):
        known = applications.ids is not None and pd.notna(applications.ids.iloc[i])
        given = applications.ids.iloc[i] if known else None
        by_row = f"file:{data.version}:{data.sha256[:16]}:{file_sha256[:16]}:{row}"
        key = dedupe_key(data, given) if known else by_row
        records.append(
            scorer.record(
                scored,
                i,
                inputs[i],
                purpose="file",
                source="file",
                run=run,
                application_id=given,
                dedupe_key=key,
                decision=decisions[i],
                policy=policy and policy.version,
            )  # fmt: skip
        )
    return records


def scored_table(applications: Applications, scored: Scored, data: ModelData) -> pd.DataFrame:
    """What a scored file holds: row, application_id, inputs, PD, score, points, rating, grade, model, reasons."""
    table = pd.DataFrame({"row": applications.rows})
    if applications.ids is not None:
        table["application_id"] = applications.ids
    table = pd.concat([table, applications.frame], axis=1)
    table["default_probability"] = scored.pd
    table["credit_score"] = scored.score
    if scored.points is not None:
        table["points"] = scored.points
    table["rating"] = scored.rating
    if scored.grade is not None:
        table["grade"] = scored.grade
    table["model_version"], table["model_sha256"] = data.version, data.sha256
    most = max((len(reasons) for reasons in scored.reasons), default=0)
    for i in range(most):
        table[f"reason_{i + 1}"] = [r[i]["text"] if len(r) > i else None for r in scored.reasons]
    return table


def decided_table(
    table: pd.DataFrame,
    scored: Scored,
    policy: Policy,
    prediction_ids: Sequence[str] | None = None,
    states: Sequence[str] | None = None,
) -> pd.DataFrame:
    """A scored table with the policy's decision on each row beside its figures, before the reasons.

    Columns: decision, policy; and for logged rows prediction_id, under which the log holds the prediction, and logged:
    how it came there.
    """
    more = {"decision": policy.decide(scored.pd), "policy": [policy.version] * len(table)}
    if prediction_ids is not None:
        more |= {"prediction_id": list(prediction_ids), "logged": list(states or ())}
    at = next((i for i, name in enumerate(table.columns) if name.startswith("reason_")), len(table.columns))
    columns = pd.DataFrame(more, index=table.index).astype("object")
    return pd.concat([table.iloc[:, :at], columns, table.iloc[:, at:]], axis=1)


class FrameScorer:
    """A model as MLflow's python_function: a frame of applications in, a frame of scores out."""

    def __init__(self, data: ModelData) -> None:
        self._scorer = Scorer(data)

    def predict(self, frame: pd.DataFrame, params: dict | None = None) -> pd.DataFrame:
        """Score applications; a row that fails the portfolio's checks is missing from the result's index."""
        checked = check_applications(frame, self._scorer.data.portfolio, "the frame")
        scored = self._scorer.score_frame(checked.frame)
        return scored_table(checked, scored, self._scorer.data).set_index(checked.rows - 1)
