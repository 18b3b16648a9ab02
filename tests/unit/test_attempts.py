"""Fitting an attempt: what resampling touches, what is masked, what a seed decides."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from creditrisk.binning.search import Limits
from creditrisk.modelling import attempts
from creditrisk.modelling.attempts import (
    ATTEMPTS,
    Attempt,
    Candidates,
    CrossValidation,
    Rows,
    fit_attempt,
    mask_optional,
    resample,
    tune,
)
from creditrisk.modelling.design import fit_woe_design
from creditrisk.modelling.metrics import auc
from unit.models import RETAIL, small_training

LIGHT = {"logistic": {}, "forest": {}, "xgboost": {"n_estimators": 15}}
FEW = Candidates(
    ("credit_utilization_ratio", "loan_to_income", "age"), ("credit_utilization_ratio", "loan_type", "age")
)


@pytest.fixture(scope="module")
def rows() -> Rows:
    return small_training().part("train").take(np.arange(1_200))


# Masking


def test_masking_hides_a_share_of_optional_inputs_and_nothing_else(rows):
    masked = mask_optional(rows, RETAIL, 1)
    assert [n for n, c in RETAIL.inputs.items() if c.role == "optional"] == ["enquiry_count"]
    for name, values in masked.columns.items():
        if name != "enquiry_count":
            assert values is rows.columns[name]
    hidden = np.isnan(masked.columns["enquiry_count"])
    assert hidden.mean() == pytest.approx(RETAIL.missing_share_of_optional, abs=0.03)
    assert not np.isnan(rows.columns["enquiry_count"]).any()
    assert np.array_equal(masked.columns["enquiry_count"][~hidden], rows.columns["enquiry_count"][~hidden])
    assert np.array_equal(np.isnan(mask_optional(rows, RETAIL, 1).columns["enquiry_count"]), hidden)
    assert not np.array_equal(np.isnan(mask_optional(rows, RETAIL, 2).columns["enquiry_count"]), hidden)


def test_models_are_fitted_to_masked_rows(rows, monkeypatch):
    seen = []
    monkeypatch.setattr(attempts, "resample", lambda matrix, bad, *_: (seen.append(matrix), (matrix, bad))[1])
    candidates = Candidates((), ("enquiry_count", "age"))
    fit_attempt(Attempt(4, "xgboost", params={"n_estimators": 2}), rows, candidates, RETAIL, 0)
    assert np.isnan(seen[0]).mean(axis=0) == pytest.approx([RETAIL.missing_share_of_optional, 0], abs=0.03)


def test_optional_categories_are_masked_too(rows):
    column = RETAIL.columns["residence_type"].model_copy(update={"role": "optional"})
    book = RETAIL.model_copy(update={"columns": RETAIL.columns | {"residence_type": column}})
    masked = mask_optional(rows, book, 1).columns["residence_type"]
    assert np.mean([value is None for value in masked]) > 0.05
    kept = np.array([value is not None for value in masked])
    assert (masked[kept] == rows.columns["residence_type"][kept]).all()


# Resampling


@pytest.mark.parametrize("how", ["under", "smotetomek"])
def test_resampling_balances_the_classes(rows, how):
    matrix = np.column_stack([rows.columns["age"], rows.columns["loan_amount"]])
    balanced, bad = resample(matrix, rows.bad, how, 0)
    assert bad.mean() == pytest.approx(0.5, abs=0.02) and len(balanced) == len(bad)
    assert (len(bad) < len(matrix)) == (how == "under")
    low, high = matrix.min(axis=0), matrix.max(axis=0)
    margin = 1e-9 * np.abs(matrix).max(axis=0)
    assert (balanced >= low - margin).all() and (balanced <= high + margin).all()


def test_no_resampling_is_the_same_rows(rows):
    matrix = rows.columns["age"].reshape(-1, 1)
    same, bad = resample(matrix, rows.bad, "none", 0)
    assert same is matrix and bad is rows.bad


@pytest.mark.parametrize("bads", [2, 3, 297, 298])
def test_smotetomek_manages_with_very_few_of_either_class(bads):
    rng = np.random.default_rng(0)
    bad = np.repeat([1, 0], [bads, 300 - bads])
    matrix = rng.normal(bad[:, None], 1.0, (300, 2))
    _, labels = resample(matrix, bad, "smotetomek", 0)
    assert min(labels.sum(), len(labels) - labels.sum()) > 250


def test_resampling_seeks_neighbours_on_one_scale(rows):
    matrix = np.column_stack([rows.columns["age"], rows.columns["loan_amount"], np.ones(len(rows))])
    one, _ = resample(matrix, rows.bad, "smotetomek", 0)
    other, _ = resample(matrix * [1, 1e-6, 1], rows.bad, "smotetomek", 0)
    assert other * [1, 1e6, 1] == pytest.approx(one, rel=1e-6)


@pytest.mark.parametrize("attempt", [a for a in ATTEMPTS if a.resampling != "none"], ids=lambda a: a.name)
def test_resampling_sees_training_rows_only_and_bins_are_fitted_before(rows, attempt, monkeypatch):
    attempt = replace(attempt, params=LIGHT[attempt.family])
    seen = []

    def spy(matrix, bad, how, seed):
        seen.append((len(matrix), int(bad.sum()), how))
        return resample(matrix, bad, how, seed)

    monkeypatch.setattr(attempts, "resample", spy)
    model = fit_attempt(attempt, rows, FEW, RETAIL, 0)
    assert seen == [(len(rows), int(rows.bad.sum()), attempt.resampling)]
    if attempt.family == "logistic":
        for bins in model.design.bins:
            assert (sum(bins.goods), sum(bins.bads)) == (len(rows) - rows.bad.sum(), rows.bad.sum())

    seen.clear()
    cv = CrossValidation(rows, FEW, RETAIL, 3, 0)
    found = list(cv.aucs(attempt))
    assert [n for n, _, _ in seen] == [len(train) for train, _ in cv.parts]
    assert all(n == len(rows) * 2 / 3 for n, _, _ in seen)
    assert len(found) == 3 and all(0.5 < value < 1 for value in found)
    list(cv.aucs(attempt))
    assert len(seen) == 3, "what does not depend on tuned parameters is made once a fold"


# Fitting


@pytest.mark.parametrize("attempt", [a for a in ATTEMPTS if not a.tuned], ids=lambda a: a.name)
def test_every_attempt_tells_bads_from_goods(rows, attempt):
    model = fit_attempt(attempt, rows, FEW, RETAIL, 0)
    assert auc(rows.bad, model.margin(rows.columns)) > 0.8


@pytest.mark.parametrize("how", ["none", "under", "smotetomek"])
def test_a_scorecard_has_no_coefficient_of_the_wrong_sign(how):
    # Alone, the ratio is risky for its share of `used`; beside `used` only the safe share of it is left.
    rng = np.random.default_rng(0)
    used, safe = rng.normal(size=(2, 3_000))
    bad = (rng.random(3_000) < expit(2 * used - 1.5 * safe - 1)).astype(np.int8)
    columns = {"credit_utilization_ratio": used, "delinquency_ratio": used + safe, "age": -safe}
    names = ("credit_utilization_ratio", "delinquency_ratio")
    design = fit_woe_design(columns, bad, names, RETAIL, Limits())
    both = LogisticRegression(C=1e6).fit(design.matrix(columns), bad).coef_[0]
    assert both[1] > 0.1 and both[0] < 0, "together the second one takes the wrong sign"
    attempt = Attempt(3, "logistic", how, params={"C": 1e6})
    model = fit_attempt(attempt, Rows(columns, bad), Candidates(names, ()), RETAIL, 0)
    assert model.features == ("credit_utilization_ratio",) and model.model.coefficients[0] < 0


@pytest.mark.parametrize("how", ["none", "under", "smotetomek"])
def test_a_variable_that_says_nothing_never_turns_the_risk_around(rows, how):
    for seed in (0, 9, 21):  # the last two take the wrong sign when resampled
        noise = np.random.default_rng(seed).normal(size=len(rows))
        model = fit_attempt(
            Attempt(3, "logistic", how), Rows({"income": noise}, rows.bad), Candidates(("income",), ()), RETAIL, seed
        )
        pd = model.pd({"income": np.linspace(-3, 3, 50)})
        assert (np.diff(pd) <= 0).all() and np.isfinite(pd).all()


@pytest.mark.parametrize(
    "attempt",
    [
        Attempt(3, "logistic", "smotetomek"),
        Attempt(2, "xgboost", "under", params={"n_estimators": 15}),
        Attempt(4, "xgboost", "smotetomek", params={"n_estimators": 15}),
        Attempt(4, "xgboost", params={"n_estimators": 15, "subsample": 0.7, "colsample_bytree": 0.5}),
    ],
    ids=lambda a: a.name,
)
def test_the_same_seed_gives_the_same_model_to_the_byte(rows, attempt):
    one, two, other = (fit_attempt(attempt, rows, FEW, RETAIL, seed).to_dict() for seed in (7, 7, 8))
    assert one == two
    assert one != other


# Tuning


@pytest.mark.parametrize("family", ["logistic", "xgboost"])
def test_tuning_reports_every_trial_and_is_decided_by_the_seed(rows, family):
    cv = CrossValidation(rows.take(np.arange(600)), FEW, RETAIL, 2, 0)
    told = []
    attempt = Attempt(3, family, tuned=True)
    best = tune(attempt, cv, 3, seed=5, on_trial=lambda n, value: told.append((n, value)))
    assert [n for n, _ in told] == [1, 2, 3]
    values = [value for _, value in told]
    assert values == sorted(values) and values[-1] >= np.mean(list(cv.aucs(best))) - 1e-12
    assert best.tuned and best.family == family and best.params.keys() == attempts._STARTING_POINTS[family][0].keys()
    assert tune(attempt, cv, 3, seed=5) == best
    assert all(type(value) in (int, float) for value in best.params.values())


class Judged:
    """Cross-validation with known results: each fold's AUC grows with C, by the gain and by luck."""

    parts = range(5)
    folds = 5

    def __init__(self, gain: float, luck: float) -> None:
        self.gain, self.luck = gain, luck

    def aucs(self, attempt: Attempt):
        steps = np.log10(attempt.params["C"])
        return iter(0.8 + steps * (self.gain + self.luck * np.array([-1.0, 1.0, -1.0, 1.0, 0.0])))


@pytest.mark.parametrize(("gain", "luck", "moves"), [(0.01, 0.001, True), (0.001, 0.01, False), (0.0, 0.0, False)])
def test_tuning_leaves_the_starting_point_only_for_more_than_luck(gain, luck, moves):
    found = tune(Attempt(3, "logistic", tuned=True), Judged(gain, luck), 12, seed=1)
    start = attempts._STARTING_POINTS["logistic"][0]
    assert (found.params != start) == moves
    assert found.params["C"] > start["C"] or not moves


def test_tuning_starts_at_the_known_good_point(rows):
    cv = CrossValidation(rows.take(np.arange(600)), FEW, RETAIL, 2, 0)
    best = tune(Attempt(4, "xgboost", tuned=True), cv, 1, seed=5)
    assert best.params == attempts._STARTING_POINTS["xgboost"][0]


def test_folds_keep_the_bad_rate_and_hold_every_row_out_once(rows):
    cv = CrossValidation(rows, FEW, RETAIL, 4, 3, repeats=2)
    assert len(cv.parts) == 8
    for half in (cv.parts[:4], cv.parts[4:]):
        held_out = np.concatenate([part.columns["loan_amount"] for _, part in half])
        assert sorted(held_out) == sorted(rows.columns["loan_amount"])
    for train, held_out in cv.parts:
        assert len(train) + len(held_out) == len(rows)
        assert held_out.bad.mean() == pytest.approx(rows.bad.mean(), abs=0.005)
    one_bad_each = rows.take(np.r_[np.flatnonzero(rows.bad == 1)[:3], np.flatnonzero(rows.bad == 0)[:60]])
    assert len(CrossValidation(one_bad_each, FEW, RETAIL, 10, 0).parts) == 3


def test_the_four_attempts_run_tuning_with_and_without_resampling():
    assert {a.number for a in ATTEMPTS} == {1, 2, 3, 4}
    assert len({a.name for a in ATTEMPTS}) == len(ATTEMPTS)
    assert {(a.family, a.resampling) for a in ATTEMPTS if a.tuned} == {
        (family, how) for family in ("logistic", "xgboost") for how in ("none", "smotetomek")
    }
