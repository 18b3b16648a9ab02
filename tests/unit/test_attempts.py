"""Fitting an attempt: what resampling touches, what is masked, what a seed decides."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from creditrisk.binning.bins import counts_in
from creditrisk.binning.evidence import reversals
from creditrisk.binning.overrides import Override, Overrides
from creditrisk.binning.search import Limits
from creditrisk.modelling import attempts
from creditrisk.modelling.attempts import (
    ATTEMPTS,
    Attempt,
    Candidates,
    CrossValidation,
    Rows,
    fit_attempt,
    judge_variables,
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


def test_resampled_rows_and_scorecards_have_optional_inputs_hidden_in_some_rows(rows, monkeypatch):
    seen = []
    monkeypatch.setattr(attempts, "resample", lambda matrix, bad, *_: (seen.append(matrix), (matrix, bad))[1])
    candidates = Candidates((), ("enquiry_count", "age"))
    fit_attempt(Attempt(2, "xgboost", "under", params={"n_estimators": 2}), rows, candidates, RETAIL, 0)
    assert np.isnan(seen[0]).mean(axis=0) == pytest.approx([RETAIL.missing_share_of_optional, 0], abs=0.03)


def test_trees_see_every_row_as_it_is_and_without_its_optional_inputs(rows):
    share = RETAIL.missing_share_of_optional
    seen = attempts._prepare(Attempt(4, "xgboost"), rows, Candidates((), ("enquiry_count", "age")), RETAIL, 0)
    whole, lacking = seen.matrix[: len(rows)], seen.matrix[len(rows) :]
    assert np.array_equal(whole[:, 0], rows.columns["enquiry_count"]) and np.isnan(lacking[:, 0]).all()
    assert np.array_equal(whole[:, 1], lacking[:, 1]) and np.array_equal(seen.bad, np.r_[rows.bad, rows.bad])
    assert seen.weight.tolist() == [1 - share] * len(rows) + [share] * len(rows), "in the portfolio's proportion"
    without = attempts._prepare(Attempt(4, "xgboost"), rows, Candidates((), ("age",)), RETAIL, 0)
    assert without.weight is None and len(without.matrix) == len(rows)


def test_every_row_gets_its_out_of_fold_margin_from_a_model_that_has_not_seen_it(rows):
    cv = CrossValidation(rows, Candidates((), ("enquiry_count", "loan_to_income")), RETAIL, 3, 0)
    attempt = Attempt(4, "xgboost", params={"n_estimators": 5})
    found = cv.out_of_fold(attempt)
    assert found.aucs == tuple(cv.aucs(attempt)) and len(found.margin) == len(rows)
    for train, held_out in cv.parts:
        model = fit_attempt(attempt, rows.take(train), cv.candidates, RETAIL, 0)
        part = rows.take(held_out)
        assert np.array_equal(found.margin[held_out], model.margin(part.columns))
        hidden = part.columns | {"enquiry_count": np.full(len(part), np.nan)}
        assert np.array_equal(found.lacking[held_out], model.margin(hidden))
    unread = CrossValidation(rows, Candidates((), ("loan_to_income",)), RETAIL, 2, 0)
    assert unread.out_of_fold(attempt).lacking is None


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


# Overrides


GIVEN = Overrides((Override("loan_to_income", cuts=(1.0, 2.0)), Override("age", cuts=(40.0,))))


@pytest.mark.parametrize("params", [{}, {"max_bins": 12, "min_share": 0.02}, {"max_bins": 2}])
def test_every_scorecard_and_every_fold_uses_the_given_cuts(rows, params):
    candidates = replace(FEW, overrides=GIVEN)
    attempt = Attempt(3, "logistic", params=params)
    cv = CrossValidation(rows, candidates, RETAIL, 3, 0)
    list(cv.aucs(attempt))
    designs = [fit_attempt(attempt, rows, candidates, RETAIL, 0).design, *(p.design for p in cv._prepared.values())]
    assert len(designs) == 4
    counts = set()
    for design in designs:
        bins = {b.name: b for b in design.bins}
        assert (bins["loan_to_income"].cuts, bins["age"].cuts) == ((1.0, 2.0), (40.0,))
        counts.add(bins["loan_to_income"].goods)
    assert len(counts) == 4, "each with the counts, hence WOE, of its own rows"
    free = CrossValidation(rows, FEW, RETAIL, 3, 0)
    list(free.aucs(attempt))
    for one, other in zip(free._prepared.values(), cv._prepared.values(), strict=True):
        assert one.design.bins[0] == other.design.bins[0], "what is not overridden is searched as ever"


def turning() -> Rows:
    """Two columns of which the second takes the wrong sign beside the first."""
    rng = np.random.default_rng(0)
    used, safe = rng.normal(size=(2, 3_000))
    bad = (rng.random(3_000) < expit(2 * used - 1.5 * safe - 1)).astype(np.int8)
    noise = rng.normal(size=3_000)
    return Rows(
        {"credit_utilization_ratio": used, "delinquency_ratio": used + safe, "income": noise, "age": -used - safe}, bad
    )


def scorecard_of(rows: Rows, names: tuple[str, ...], *overrides: Override, **params):
    candidates = Candidates(names, (), Overrides(overrides))
    attempt = Attempt(3, "logistic", params={"C": 1e6} | params)
    model = fit_attempt(attempt, rows, candidates, RETAIL, 0)
    return model, *judge_variables(attempt, model, rows, candidates, RETAIL, 0)


PAIR = ("credit_utilization_ratio", "delinquency_ratio")


def test_a_variable_leaves_for_its_sign_or_its_iv_and_it_is_said_which():
    model, left, against = scorecard_of(turning(), (*PAIR, "income"), min_iv=0.03)
    assert model.features == ("credit_utilization_ratio",) and against == {}
    assert left == {"delinquency_ratio": "wrong sign", "income": "IV 0.021 below 0.030"}


def test_forced_in_stays_with_the_wrong_sign_and_it_is_said():
    model, left, against = scorecard_of(turning(), PAIR, Override("delinquency_ratio", use="in", reason="x"))
    assert model.features == PAIR and left == {}
    coefficients = dict(zip(model.features, model.model.coefficients, strict=True))
    assert coefficients["delinquency_ratio"] > 0 > coefficients["credit_utilization_ratio"]
    assert against == {"delinquency_ratio": "wrong sign"}


def test_forced_in_stays_with_little_iv_and_it_is_said():
    rows = turning()
    model, left, against = scorecard_of(
        rows, (PAIR[0], "income"), Override("income", use="in", reason="x"), min_iv=0.03
    )  # fmt: skip
    assert model.features == (PAIR[0], "income") and left == {}
    assert against == {"income": "IV 0.021 below 0.030"}
    one_bin = Override("income", cuts=(), use="in", reason="x")
    alone, _, against = scorecard_of(rows, ("income",), one_bin)
    assert alone.features == ("income",) and np.isfinite(alone.pd(rows.columns)).all()
    assert against == {"income": "one bin"}


def test_one_bin_beside_a_code_that_tells_goods_from_bads_stays_in_the_scorecard():
    rng = np.random.default_rng(0)
    used, late = rng.normal(size=3_000), rng.random(3_000) < 0.3
    bad = (rng.random(3_000) < expit(used + 2 * late - 2)).astype(np.int8)
    rows = Rows({"credit_utilization_ratio": used, "income": np.where(late, 500.0, -1.0)}, bad)
    column = RETAIL.columns["income"].model_copy(update={"special": (-1.0,)})
    book = RETAIL.model_copy(update={"columns": {**RETAIL.columns, "income": column}})
    attempt, candidates = Attempt(3, "logistic"), Candidates(("credit_utilization_ratio", "income"), ())
    model = fit_attempt(attempt, rows, candidates, book, 0)
    assert model.features == candidates.woe
    assert model.design.bins[1].labels() == ["[-inf, inf)", "code -1", "missing"]
    assert judge_variables(attempt, model, rows, candidates, book, 0) == ({}, {})


def test_forced_in_never_turns_the_sign_of_what_may_not_score_worse_from_some_value_on():
    rows = turning()
    names = (PAIR[0], "age")
    assert RETAIL.restricted["age"].no_worse_from == 62
    forced = Override("age", use="in", reason="x")
    model, left, against = scorecard_of(rows, names, forced)
    assert model.features == (PAIR[0],) and left == {"age": "wrong sign"}
    assert "no_worse_from forbids" in against["age"]
    model, _, _ = scorecard_of(rows, ("age",), forced, min_iv=10.0)
    assert model.features == ("age",) and model.model.coefficients[0] < 0, "for its IV it stays"


def test_given_cuts_against_the_direction_of_risk_are_obeyed_and_said():
    rng = np.random.default_rng(0)
    age = rng.uniform(20, 70, 3_000)
    bad = (rng.random(3_000) < np.select([age < 30, age < 50], [0.1, 0.4], 0.2)).astype(np.int8)
    rows = Rows({"income": age, PAIR[0]: rng.normal(size=3_000)}, bad)
    model, _, against = scorecard_of(rows, ("income",), Override("income", cuts=(30.0, 50.0, 90.0)))
    assert model.design.bins[0].cuts == (30.0, 50.0, 90.0)
    assert against == {"income": "bad rate not decreasing throughout"}
    _, _, against = scorecard_of(rows, ("income",), Override("income", cuts=(50.0, 90.0)))
    assert against == {}, "an empty bin is against nothing"


def test_nothing_is_said_of_trees(rows):
    attempt = Attempt(1, "xgboost", params={"n_estimators": 2})
    model = fit_attempt(attempt, rows, FEW, RETAIL, 0)
    assert judge_variables(attempt, model, rows, FEW, RETAIL, 0) == ({}, {})


def test_where_the_order_must_hold_it_holds_in_every_searched_binning(rows):
    rng = np.random.default_rng(1)
    newest = rows.take(np.sort(rng.permutation(len(rows))[:200]))
    names = (*FEW.woe, "loan_amount")
    attempt = Attempt(3, "logistic", params={"max_bins": 12, "min_share": 0.02})

    def turned(candidates: Candidates) -> dict:
        cv = CrossValidation(rows, candidates, RETAIL, 2, 0)
        list(cv.aucs(attempt))
        designs = [fit_attempt(attempt, rows, candidates, RETAIL, 0).design, *(p.design for p in cv._prepared.values())]
        counted = [
            (b, counts_in(b.assign(newest.columns[b.name]), newest.bad, b.n_slots)) for d in designs for b in d.bins
        ]
        return {b.name for b, counts in counted if reversals(b, *counts)}

    given = Overrides((Override("loan_amount", cuts=(1e5, 2e5, 3e5, 4e5, 5e5, 1e6, 2e6)),))
    assert turned(Candidates(names, ())) - {"loan_amount"}, "there is something to hold"
    assert turned(Candidates(names, (), newest=newest)) == set()
    assert turned(Candidates(names, (), given, newest)) == {"loan_amount"}, "what an analyst gave stays as it is"


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
        assert sorted(np.concatenate([held_out for _, held_out in half])) == list(range(len(rows)))
    for train, held_out in cv.parts:
        assert len(train) + len(held_out) == len(rows)
        assert rows.bad[held_out].mean() == pytest.approx(rows.bad.mean(), abs=0.005)
    one_bad_each = rows.take(np.r_[np.flatnonzero(rows.bad == 1)[:3], np.flatnonzero(rows.bad == 0)[:60]])
    assert len(CrossValidation(one_bad_each, FEW, RETAIL, 10, 0).parts) == 3


def test_the_four_attempts_run_tuning_with_and_without_resampling():
    assert {a.number for a in ATTEMPTS} == {1, 2, 3, 4}
    assert len({a.name for a in ATTEMPTS}) == len(ATTEMPTS)
    assert {(a.family, a.resampling) for a in ATTEMPTS if a.tuned} == {
        (family, how) for family in ("logistic", "xgboost") for how in ("none", "smotetomek")
    }
