"""Columns to matrix to PD: one row and many, missing and unseen values, plain data and back."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import xgboost
from scipy.special import logit

from creditrisk.binning.overrides import Override, Overrides
from creditrisk.binning.search import Limits
from creditrisk.data.portfolio import parse_portfolio
from creditrisk.modelling.design import design_from_dict, fit_column, fit_tree_design, fit_woe_design
from creditrisk.modelling.pd_model import Logistic, PDModel, as_float32
from unit.models import RETAIL, small_fitted, small_training

VERSIONS = ("v1", "v2")
TOLERANCE = {"v1": 1e-12, "v2": 1e-4}  # trees add up in single precision


@pytest.fixture(scope="module")
def columns() -> dict[str, np.ndarray]:
    return small_training().part("test").columns


@pytest.fixture(params=VERSIONS)
def version(request) -> str:
    return request.param


@pytest.fixture
def model(version) -> PDModel:
    return small_fitted()[version].model


def some(columns: dict[str, np.ndarray], rows) -> dict[str, np.ndarray]:
    return {name: values[rows].copy() for name, values in columns.items()}


def with_value(columns: dict[str, np.ndarray], name: str, value) -> dict[str, np.ndarray]:
    filled = np.empty(len(columns[name]), dtype=columns[name].dtype)
    filled[:] = value
    return columns | {name: filled}


def test_one_row_is_scored_as_many_rows_are(model, columns):
    with xgboost.config_context(nthread=2):
        pd, contributions = model.pd(columns), model.contributions(columns)
    for i in range(0, len(pd), 7):
        one = some(columns, [i])
        assert model.pd(one)[0] == pd[i]
        assert np.array_equal(model.contributions(one)[0], contributions[i])


def test_the_order_and_number_of_rows_do_not_change_a_pd(model, columns):
    pd = model.pd(columns)
    order = np.random.default_rng(0).permutation(len(pd))[:333]
    assert np.array_equal(model.pd(some(columns, order)), pd[order])


def test_contributions_add_up_to_the_calibrated_log_odds(model, version, columns):
    slope, intercept = model.calibration.slope, model.calibration.intercept
    if version == "v1":
        base = model.model.intercept
    else:
        booster = xgboost.Booster()
        booster.load_model(bytearray(model.model.booster))
        one_row = xgboost.DMatrix(as_float32(model.design.matrix(some(columns, [0]))))
        base = float(booster.predict(one_row, pred_contribs=True)[0, -1])
    if model.left_out is not None:  # who leaves inputs out has a constant of his own
        base = model.left_out.margin(np.full(len(columns["age"]), base), columns)
    total = model.contributions(columns).sum(axis=1) + intercept + slope * base
    assert np.abs(total - (intercept + slope * model.margin(columns))).max() < TOLERANCE[version]
    line = model.calibrated(replace(model.calibration, knots=()))  # an isotonic map has no parts but its line's
    pd = line.pd(columns)
    inside = (pd > 1e-9) & (pd < 1 - 1e-9)
    assert np.abs(total - logit(pd))[inside].max() < max(TOLERANCE[version], 1e-6)


def test_a_category_contributes_once_whatever_the_number_of_its_levels(model, columns):
    assert len(set(model.features)) == len(model.features)
    assert model.contributions(columns).shape == (len(columns["age"]), len(model.features))


def test_plain_data_and_back_is_the_same_model(model, columns):
    again = PDModel.from_dict(model.to_dict())
    assert again == model
    assert np.array_equal(again.pd(columns), model.pd(columns))
    assert np.array_equal(again.contributions(columns), model.contributions(columns))


def test_the_scorecard_and_the_layout_of_the_trees_survive_json(version, columns):
    model = small_fitted()[version].model
    design = design_from_dict(json.loads(json.dumps(model.design.to_dict())))
    assert design == model.design
    assert np.array_equal(design.matrix(columns), model.design.matrix(columns), equal_nan=True)
    if version == "v1":
        assert PDModel.from_dict(json.loads(json.dumps(model.to_dict()))) == model


def test_any_input_may_be_missing(model, columns):
    few = some(columns, slice(0, 50))
    for name in model.features:
        pd = model.pd(with_value(few, name, np.nan if RETAIL.columns[name].is_numeric else None))
        assert np.isfinite(pd).all() and (pd > 0).all() and (pd < 1).all(), name


def test_a_level_never_seen_in_training_is_neutral(model, version, columns):
    few = some(columns, slice(0, 50))
    name = "residence_type"
    assert name in model.features
    unseen = with_value(few, name, "Houseboat")
    assert np.isfinite(model.pd(unseen)).all()
    matrix = model.design.matrix(unseen)
    its = [j for j, source in enumerate(model.design.inputs) if source == name]
    assert (matrix[:, its] == 0).all()
    if version == "v1":
        assert (model.contributions(unseen)[:, model.features.index(name)] == 0).all()


def test_numbers_beyond_single_precision_do_not_stop_a_batch(model, columns):
    few = some(columns, slice(0, 3))
    few["income"][1], few["loan_to_income"][1], few["loan_amount"][2] = 1e300, np.inf, -1e300
    usual = model.pd(some(columns, [0]))[0]
    pd = model.pd(few)
    assert np.isfinite(pd).all() and pd[0] == usual
    assert np.isfinite(model.contributions(few)).all()


def test_no_rows_are_no_pds(model, columns):
    none = some(columns, slice(0, 0))
    assert model.pd(none).shape == (0,)
    assert model.contributions(none).shape == (0, len(model.features))


def test_logistic_margin_is_the_sum_of_columns():
    model = Logistic((-1.0, 0.5), 0.25)
    assert model.margin(np.array([[1.0, 2.0], [0.0, 0.0]])).tolist() == [0.25, 0.25]
    assert model.contributions(np.array([[1.0, 2.0]])).tolist() == [[-1.0, 1.0]]


# Layout


def test_trees_know_the_levels_and_directions_of_the_portfolio():
    columns = {
        "age": np.array([20.0, 30.0, np.nan, 40.0]),
        "loan_amount": np.array([1.0, 2.0, 3.0, np.nan]),
        "residence_type": np.array(["Owned", "Rented", None, "Owned"], dtype=object),
    }
    design = fit_tree_design(columns, ["age", "residence_type", "loan_amount"], RETAIL)
    assert design.numbers == ("age", "loan_amount")
    assert design.levels == (("residence_type", "Owned"), ("residence_type", "Rented"))  # nobody has a mortgage
    assert design.monotone == (-1, 1, 0, 0)
    assert design.medians is None and np.isnan(design.matrix(columns)[2, 0])
    assert design.matrix(columns)[:, 2:].tolist() == [[1, 0], [0, 1], [0, 0], [1, 0]]
    imputed = fit_tree_design(columns, ["age", "loan_amount"], RETAIL, impute=True)
    assert imputed.medians == (30.0, 2.0)
    assert imputed.matrix(columns).tolist() == [[20, 1], [30, 2], [30, 3], [40, 2]]


def test_a_column_without_any_value_can_be_imputed():
    columns = {"age": np.full(3, np.nan)}
    assert fit_tree_design(columns, ["age"], RETAIL, impute=True).matrix(columns).tolist() == [[0], [0], [0]]


def test_woe_of_every_variable_moves_in_the_direction_of_the_portfolio():
    rows = small_training().part("train")
    names = [n for n, c in RETAIL.candidates.items() if c.is_numeric and c.risk != "any"]
    design = fit_woe_design(rows.columns, rows.bad, names, RETAIL, Limits())
    assert design.inputs == tuple(names)
    for bins in design.bins:
        steps = np.diff(bins.woe[: bins.n_regular])
        sign = -1 if RETAIL.columns[bins.name].risk == "increasing" else 1
        assert (sign * steps >= 0).all(), bins.name
    assert design.keep(["income", "age"]).inputs == ("age", "income")


# Overrides


def overridden(name: str, book=RETAIL, **said):
    rows = small_training().part("train")
    return fit_column(rows.columns[name], rows.bad, book, name, Limits(), Override(name, **said))


def test_given_cuts_take_the_place_of_the_search_and_the_counts_are_of_the_rows():
    rows = small_training().part("train")
    bins = overridden("income", cuts=(2e6, 5e5))
    assert bins.cuts == (5e5, 2e6)
    income = rows.columns["income"]
    inside = (income >= 5e5) & (income < 2e6)
    assert bins.bads[1] == rows.bad[inside].sum() and bins.goods[1] == (1 - rows.bad[inside]).sum()
    assert overridden("income", cuts=()).n_regular == 1


def test_levels_that_given_groups_do_not_mention_are_neutral():
    bins = overridden("residence_type", groups=(("Rented",), ("Owned",)))
    assert sorted(bins.groups) == [("Owned",), ("Rented",)]
    assert bins.transform(np.array(["Mortgage", "Houseboat"], dtype=object)).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("number", [0, 1])
def test_the_bin_that_missing_values_join_is_numbered_as_it_was_given(number):
    given = (("Rented",), ("Owned", "Mortgage"))  # the other way round by bad rate
    bins = overridden("residence_type", groups=given, missing=number)
    assert bins.groups == given[::-1]
    values = np.array([None, given[number][0]], dtype=object)
    assert np.diff(bins.transform(values)).tolist() == [0.0]
    delinquency = overridden("delinquency_ratio", cuts=(20.0, 5.0), missing=number)
    values = np.array([np.nan, (0.0, 10.0)[number]])
    assert delinquency.missing == number and np.diff(delinquency.transform(values)).tolist() == [0.0]


def test_an_override_wins_over_the_portfolio_and_leaves_the_rest_of_it():
    text = RETAIL.text.replace("[columns.income]", "[columns.income]\nspecial = [-1.0]", 1).replace(
        "[columns.delinquency_ratio]", '[columns.delinquency_ratio]\nbinning = {max_bins = 2, missing = "worst"}', 1
    )
    book = parse_portfolio(text)
    assert overridden("delinquency_ratio", book).missing == "worst"
    assert overridden("delinquency_ratio", book, cuts=(5.0, 10.0, 20.0)).n_regular == 4
    assert overridden("delinquency_ratio", book, cuts=(5.0, 10.0, 20.0)).missing == "worst"
    policy_only = overridden("delinquency_ratio", book, missing="neutral")
    assert policy_only.missing == "neutral" and policy_only.n_regular == 2, "the search goes on as the portfolio says"
    assert overridden("income", book, cuts=(5e5,)).special == (-1.0,)


def test_only_the_variables_named_are_overridden():
    rows = small_training().part("train")
    overrides = Overrides((Override("income", cuts=(1e6,)), Override("age", use="in", reason="x")))
    names = ("age", "income", "loan_type")
    searched = fit_woe_design(rows.columns, rows.bad, names, RETAIL, Limits())
    design = fit_woe_design(rows.columns, rows.bad, names, RETAIL, Limits(), overrides)
    assert design.inputs == names and design.bins[1].cuts == (1e6,)
    assert (design.bins[0], design.bins[2]) == (searched.bins[0], searched.bins[2])
