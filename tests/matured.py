"""Predictions in a log whose outcomes have matured, drawn from the known rule of the embedded book."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
from scipy.special import expit, logit

from creditrisk.data.sample import make_book
from creditrisk.data.tables import prepare_book, to_columns
from creditrisk.serving.log import OutcomeRecord, PredictionLog, PredictionRecord, migrate
from creditrisk.serving.model import ModelData
from creditrisk.serving.scorer import Scorer

START, MONTHS = datetime(2023, 1, 1, tzinfo=UTC), 12
AS_OF = "2025-02-01"
"""By then the window of a year after each of these months is over."""


def log_matured(
    data: ModelData, url: str, rows: int = 3_000, *, riskier: float = 0.0, known: float = 1.0, seed: int = 7
) -> list[str]:
    """Log predictions spread evenly over MONTHS from START on, and what became of them a year later.

    Applicants are fresh loans of the embedded book. `riskier` is added to the log-odds of their true PD; of a share
    `known` the outcome is reported. Returns their prediction ids, oldest first.
    """
    sample = make_book(rows, seed)
    book = prepare_book(sample.tables, data.portfolio)
    true = dict(zip(sample.loans["loan_id"], sample.true_pd, strict=True))
    odds = logit(book.frame["loan_id"].map(true).to_numpy()) + riskier
    rng = np.random.default_rng(seed)
    bad = rng.random(len(odds)) < expit(odds)
    scorer = Scorer(data)
    scored = scorer.score(to_columns(book.frame, list(data.portfolio.inputs), data.portfolio))
    step = timedelta(days=365) / len(odds)
    records = [
        scorer.record(
            scored, i, {}, purpose="production", source="api", application_id=f"app-{seed}-{i}",
            created_at=START + i * step, decision="approve",
        )
        for i in range(len(odds))
    ]  # fmt: skip
    told = rng.random(len(odds)) < known
    migrate(url)
    log = PredictionLog(url)
    try:
        log.append(records)
        log.add_outcomes(
            [_outcome(one, happened) for one, happened, said in zip(records, bad, told, strict=True) if said]
        )
    finally:
        log.close()
    return [one.prediction_id for one in records]


def _outcome(record: PredictionRecord, bad: bool) -> OutcomeRecord:
    seen = pd.Timestamp(record.created_at) + pd.DateOffset(months=12)
    return OutcomeRecord(bad=int(bad), observed_at=seen.to_pydatetime(), prediction_id=record.prediction_id)


def store_windows(data: ModelData, url: str, statuses: list[str]) -> None:
    """Drift reports of automatic windows, the oldest first, with these statuses."""
    from creditrisk.serving.records import ReportRecord
    from creditrisk.serving.schema import REPORTS

    migrate(url)
    log = PredictionLog(url)
    try:
        with log.writing() as connection:
            for number, status in enumerate(statuses, 1):
                record = ReportRecord(n=100, status=status, flagged=int(status in ("amber", "red")), report={})
                values: Mapping = {
                    name: getattr(record, name) for name in ("n", "status", "flagged", "report", "created_at")
                }
                connection.execute(
                    REPORTS.insert().values(
                        model_version=data.version,
                        model_sha256=data.sha256,
                        trigger="automatic",
                        window_key=f"bucket-{number}",
                        **values,
                    )  # fmt: skip
                )
    finally:
        log.close()
