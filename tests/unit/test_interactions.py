"""Interactions are found where outcomes hold one, on rows that nothing was fitted to, and not where they hold none."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit

from creditrisk.modelling import train
from creditrisk.modelling.attempts import Attempt, Candidates, Clock, Fitted, Rows, fit_attempt
from creditrisk.modelling.inference import auc_difference
from creditrisk.modelling.interactions import PAIRS, STEPS, Interactions, find_interactions
from unit.models import RETAIL, folds, small_training

NAMES = ("credit_utilization_ratio", "delinquency_ratio", "loan_to_income", "enquiry_count", "residence_type")
PLANTED = {"credit_utilization_ratio", "loan_to_income"}


def planted(together: float, resampling: str = "none") -> tuple[Fitted, train.Training]:
    """Trees fitted to outcomes that depend on two inputs, each by itself and, by so much, on both together."""
    training = small_training()
    rng = np.random.default_rng(11)
    rows = len(training.rows)
    columns = {name: rng.normal(size=rows) for name in NAMES[:4]}
    columns["residence_type"] = rng.choice(np.array(["Owned", "Rented", "Mortgage"], dtype=object), rows)
    first, second = columns["credit_utilization_ratio"] > 0, columns["loan_to_income"] > 0
    odds = (
        -2.5
        + (1.5 - together / 3) * (1.0 * first + second)
        + together * (first & second)
        + columns["delinquency_ratio"]
    )
    bad = (rng.random(rows) < expit(odds)).astype(np.int8)
    training = replace(training, rows=Rows(columns, bad), candidates=Candidates(NAMES, NAMES))
    attempt = Attempt(4, "xgboost", resampling, params={"n_estimators": 100, "max_depth": 3, "learning_rate": 0.1})
    model = fit_attempt(attempt, training.part("train"), training.candidates, RETAIL, 42)
    return train.judge(training, attempt, model, folds(training).out_of_fold(attempt), Clock()), training


@pytest.fixture(scope="module")
def found() -> tuple[Fitted, train.Training, Interactions]:
    shipped, training = planted(3.0)
    return shipped, training, find_interactions(shipped, training)


def test_a_planted_pair_is_the_strongest_and_its_gain_is_beyond_chance(found):
    _, _, interactions = found
    first, *others = interactions.pairs
    assert {first.first, first.second} == PLANTED and len(interactions.pairs) == PAIRS
    assert first.auc.low > 0 and first.log_loss.low > 0
    assert all(pair.log_loss.value < first.log_loss.value / 4 for pair in others)
    assert interactions.gain.low > 0 and interactions.p < 0.01 and interactions.log_loss_gain.low > 0
    assert f"{first.first} with {first.second}, +0.0" in str(interactions) and "chance" not in str(interactions)


def test_the_gain_is_that_of_the_shipped_trees_on_the_test_rows(found):
    shipped, training, interactions = found
    assert interactions.auc == pytest.approx(shipped.test["auc"], abs=1e-12)
    assert interactions.additive_auc == pytest.approx(interactions.auc - interactions.gain.value)
    assert interactions.rounds in STEPS
    additive = replace(
        shipped.attempt, params={"n_estimators": interactions.rounds, "max_depth": 1, "learning_rate": 0.1}
    )
    model = fit_attempt(additive, training.part("train"), training.candidates, RETAIL, 42)
    test = training.part("test")
    assert auc_difference(test.bad, shipped.margin, model.margin(test.columns)) == (interactions.gain, interactions.p)


def test_outcomes_without_an_interaction_show_none():
    interactions = find_interactions(*planted(0.0))
    assert interactions.gain.low <= 0.002 and all(pair.auc.value < 0.004 for pair in interactions.pairs)
    assert interactions.log_loss_gain.low <= 0


def test_resampled_trees_are_refitted_without_it_to_compare_like_with_like(found):
    shipped, training = planted(3.0, "under")
    interactions = find_interactions(shipped, training)
    assert interactions == found[2] and shipped.test["auc"] != interactions.auc


def test_it_is_plain_data_and_reads_as_a_table(found):
    interactions = found[2]
    plain = json.loads(json.dumps(interactions.to_dict(), allow_nan=False))
    assert plain["pairs"][0]["log_loss"]["low"] == interactions.pairs[0].log_loss.low
    table = interactions.table()
    assert table["pair"][0] == f"{interactions.pairs[0].first}, {interactions.pairs[0].second}"
    assert (table["auc_low"] <= table["auc_gain"]).all() and (table["log_loss_gain"] <= table["log_loss_high"]).all()


def test_interactions_of_columns_add_up_to_their_contributions(found):
    shipped, training, _ = found
    model = shipped.model
    matrix = model.design.matrix(training.part("test").take(np.arange(50)).columns)
    pairs = model.model.interactions(matrix)
    assert pairs.shape == (50, matrix.shape[1], matrix.shape[1])
    assert pairs == pytest.approx(pairs.transpose(0, 2, 1), abs=1e-5)
    assert pairs.sum(axis=2) == pytest.approx(model.model.contributions(matrix), abs=1e-4)


def test_the_first_trees_of_a_model_are_a_model_of_so_many_trees(found):
    shipped, training, _ = found
    few = replace(shipped.attempt, params=shipped.attempt.params | {"n_estimators": 7})
    model = fit_attempt(few, training.part("train"), training.candidates, RETAIL, 42)
    matrix = model.design.matrix(training.part("test").columns)
    assert shipped.model.model.margin(matrix, 7).tolist() == model.model.margin(matrix).tolist()
    assert shipped.model.model.margin(matrix, 0).tolist() == shipped.margin.tolist()
