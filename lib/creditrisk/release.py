"""From a chosen model to a version that can be served: baseline, reasons, test vectors, figures, in one artifact."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd

from creditrisk.data.sample import SampleBook
from creditrisk.modelling.attempts import Fitted, known
from creditrisk.modelling.interactions import Interactions
from creditrisk.modelling.metrics import auc
from creditrisk.modelling.scorecard import Reasons, scores_of
from creditrisk.modelling.train import Training, notes
from creditrisk.monitoring.checks import SCORES, results_of
from creditrisk.monitoring.drift import Baseline
from creditrisk.serving.model import ModelData, library_versions, make_test_vectors


def make_model_data(
    version: str, fitted: Fitted, why: str, training: Training, run: str, source: dict | None = None
) -> ModelData:
    """A model version with its training baseline: the training rows, features before encoding.

    Figures and release gate are those of the test rows, before a shift to a long-run bad rate. `source` says where
    the book came from, so that its split can be made again: data, rows, split, as_of.
    """
    portfolio = training.book.portfolio
    rows = training.part("train")
    frame = training.book.frame.iloc[training.split.train]
    inputs = {name: rows.columns[name] for name in portfolio.inputs}
    return ModelData(
        version=version,
        portfolio=portfolio,
        model=fitted.model,
        reasons=Reasons.fit(fitted.model, rows.columns, portfolio, fitted.threshold),
        threshold=fitted.threshold,
        baseline=_baseline(fitted, frame, training).to_dict(),
        metrics={
            "test": known(fitted.test),
            "raw": known(fitted.raw),
            "cv": _folds(fitted),
            "gate": fitted.gate.to_dict(),
            "raw_gate": fitted.raw_gate.to_dict(),
        },
        training={
            "created": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
            "run": run,
            "attempt": fitted.attempt.name,
            "params": fitted.attempt.params,
            "resampling": fitted.attempt.resampling,
            "why": why,
            "pd_kind": fitted.model.calibration.pd_kind,
            "split": training.split.description,
            "source": source or {},
            "seed": training.seed,
            "rows": {part: len(getattr(training.split, part)) for part in ("train", "test")},
            "overrides": training.overrides.to_dict(),
            "hold_order": training.candidates.newest is not None,
            "notes": notes(fitted),
        },
        versions=library_versions(),
        test_vectors=make_test_vectors(fitted.model, inputs, rows.columns),
    )


def _baseline(fitted: Fitted, frame: pd.DataFrame, training: Training) -> Baseline:
    """Features before encoding of the training rows, and PDs and scores that these had from models blind to them.

    PDs are compared by grade where there are grades: how the safest of all differ from one another, by a thousandth of
    a percent, is not the same in models of other rows, and nobody asks.
    """
    portfolio = training.book.portfolio
    optional = [name for name, column in portfolio.columns.items() if column.role == "optional"]
    results = None
    if fitted.out_of_fold is not None:
        pds = fitted.model.calibration.pd(fitted.out_of_fold)
        results = results_of(pds, scores_of(pds, portfolio.scale))
    pd_bounds = [grade.max_pd for grade in portfolio.grades[:-1]]
    score_bounds = sorted({float(score) for score in scores_of(np.array(pd_bounds), portfolio.scale)})
    bounds = dict(zip(SCORES, (pd_bounds, score_bounds), strict=True))
    return Baseline.fit(frame[list(fitted.model.features)], results, optional, bounds=bounds)


def _folds(fitted: Fitted) -> dict:
    return {"auc": float(np.mean(fitted.cv_auc)), "folds": [float(value) for value in fitted.cv_auc]}


def oracle_on_test(sample: SampleBook, training: Training) -> float:
    """AUC of the embedded book's true PDs on the test rows: what no model can beat but by luck."""
    loans = sample.loans["loan_id"]
    true_pd = dict(zip(loans, sample.true_pd, strict=True))
    tested = training.book.frame["loan_id"].iloc[training.split.test]
    return auc(training.book.bad[training.split.test], tested.map(true_pd).to_numpy())


def training_result(
    fitted: list[Fitted],
    models: dict[str, ModelData],
    training: Training,
    sample: SampleBook | None,
    champion: tuple[str | None, str] = (None, ""),
    interactions: Interactions | None = None,
) -> dict:
    """What result.json of a training run says. `champion` is the version, None for nobody, and why."""
    book = training.book
    result = {
        "portfolio": book.portfolio.name,
        "data": {
            "received": book.received,
            "rejected": book.rejected_rows,
            "set_aside": book.set_aside,
            "kept": len(book.frame),
            "joins": [vars(join) for join in book.joins],
        },
        "split": training.split.description,
        "overrides": training.overrides.to_dict(),
        "attempts": [one.summary() for one in fitted],
        "interactions": interactions and interactions.to_dict(),
        "champion": {"version": champion[0], "why": champion[1]},
        "models": {
            version: {
                "attempt": data.training["attempt"],
                "why": data.training["why"],
                "notes": data.training["notes"],
                "features": list(data.features),
                "pd_kind": data.pd_kind,
                "calibration": data.model.calibration.to_dict(),
                **data.metrics,
            }
            for version, data in models.items()
        },
    }
    if sample is not None:
        result["oracle"] = {"auc": oracle_on_test(sample, training), "book_auc": sample.oracle_auc}
    return result
