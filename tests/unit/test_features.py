"""One definition of a feature: a row alone and a million rows give the same bits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from creditrisk.data.features import FEATURES, derive, feature, sources
from creditrisk.data.portfolio import Derive, load_portfolio

values = st.floats(allow_nan=True, allow_infinity=False) | st.sampled_from([0.0, -0.0, 1.0, 1e-320, 1e308])
QUOTIENTS = sorted(name for name, one in FEATURES.items() if one.is_quotient)
rows = st.lists(st.tuples(values, values), min_size=1, max_size=40)
specs = st.builds(
    Derive,
    function=st.sampled_from(QUOTIENTS),
    zero_denominator=st.none() | st.sampled_from([0.0, -1.0]),
    scale=st.sampled_from([1.0, 100.0, 1e-3]),
)


def columns_of(spec: Derive, pairs) -> dict[str, np.ndarray]:
    numerator, denominator = sources(spec)
    left, right = zip(*pairs, strict=True)
    return {numerator: np.array(left), denominator: np.array(right)}


def same_bits(a, b) -> bool:
    a, b = np.asarray(a), np.asarray(b)
    return a.dtype == b.dtype == np.float64 and a.shape == b.shape and a.tobytes() == b.tobytes()


@settings(max_examples=150, deadline=None)
@given(specs, rows)
def test_one_row_and_many_rows_give_the_same_bits(spec, pairs):
    columns = columns_of(spec, pairs)
    many = derive(spec, columns)
    assert many.shape == (len(pairs),)
    for i in range(len(pairs)):
        assert same_bits(derive(spec, {name: column[i : i + 1] for name, column in columns.items()}), many[i : i + 1])
        assert same_bits(derive(spec, {name: float(column[i]) for name, column in columns.items()}), many[i])


@settings(max_examples=60, deadline=None)
@given(specs, rows, st.randoms())
def test_the_order_of_rows_does_not_matter(spec, pairs, draw):
    order = list(range(len(pairs)))
    draw.shuffle(order)
    columns = columns_of(spec, pairs)
    shuffled = derive(spec, {name: column[order] for name, column in columns.items()})
    assert same_bits(shuffled, derive(spec, columns)[order])


@settings(max_examples=150, deadline=None)
@given(specs, rows)
def test_a_zero_denominator_is_missing_unless_a_value_is_declared(spec, pairs):
    with np.errstate(divide="raise", over="raise", invalid="raise"):
        got = derive(spec, columns_of(spec, pairs))
    for (numerator, denominator), value in zip(pairs, got, strict=True):
        if denominator == 0:
            assert np.isnan(value) if spec.zero_denominator is None else value == spec.zero_denominator
        elif np.isnan(numerator) or np.isnan(denominator):
            assert np.isnan(value)
        else:
            assert not np.isinf(value)  # what no float can hold is missing too


@given(st.integers(-10_000, 10_000), st.integers(-10_000, 10_000).filter(bool), st.sampled_from([1.0, 100.0, 0.5]))
def test_the_value_is_the_quotient_times_the_scale_for_whole_numbers_too(numerator, denominator, scale):
    spec = Derive(function="ratio", scale=scale)
    for kind in (int, float, np.int32, np.float32):
        given_ = {"numerator": np.array([numerator], dtype=kind), "denominator": np.array([denominator], dtype=kind)}
        assert derive(spec, given_)[0] == numerator / denominator * scale


def test_arguments_are_not_interchangeable():
    for name in QUOTIENTS:
        definition = FEATURES[name]
        first, second = definition.arguments
        plain = derive(Derive(function=name), {first: np.array([2.0]), second: np.array([8.0])})
        swapped = derive(
            Derive(function=name, args={first: second, second: first}),
            {first: np.array([2.0]), second: np.array([8.0])},
        )
        assert swapped[0] / plain[0] == pytest.approx(16)
        assert definition.denominator == second


def test_the_library_says_what_its_names_say():
    columns = {
        "loan_amount": [500.0], "income": [2000.0], "delinquent_months": [6.0], "total_loan_months": [24.0],
        "total_dpd": [30.0],
    }  # fmt: skip
    values = {name: derive(Derive(function=name), columns)[0] for name in QUOTIENTS if name != "ratio"}
    assert values == {"loan_to_income": 0.25, "delinquency_ratio": 25.0, "avg_dpd_per_delinquency": 5.0}


MONTHS = FEATURES["months_behind"].arguments
months = st.lists(st.sampled_from([-2.0, -1.0, 0.0, 1.0, 2.0, 3.0, 9.0, np.nan]), min_size=6, max_size=6)


@given(st.lists(months, min_size=1, max_size=20))
def test_months_behind_are_those_of_two_or_more_payments_and_missing_when_one_is(table):
    columns = dict(zip(MONTHS, np.array(table).T, strict=True))
    spec = Derive(function="months_behind")
    many = derive(spec, columns)
    for row, value in zip(table, many, strict=True):
        assert same_bits(value, derive(spec, dict(zip(MONTHS, row, strict=True))))
        if np.isnan(row).any():
            assert np.isnan(value)
        else:
            assert value == len([one for one in row if one >= 2])


def test_months_behind_counts_all_six_statuses_of_the_taiwan_book():
    derived = load_portfolio("taiwan").columns["months_behind"].derive
    assert sources(derived) == ("PAY_0", "PAY_2", "PAY_3", "PAY_4", "PAY_5", "PAY_6")


def test_no_delinquent_month_is_0_days_late_and_no_income_is_missing_in_the_retail_book():
    book = load_portfolio("retail")
    zero = {name: np.array([0.0]) for name in ("total_dpd", "delinquent_months", "total_loan_months", "income")}
    zero["loan_amount"] = np.array([5.0])
    assert derive(book.columns["avg_dpd_per_delinquency"].derive, zero)[0] == 0
    assert np.isnan(derive(book.columns["delinquency_ratio"].derive, zero)[0])
    assert np.isnan(derive(book.columns["loan_to_income"].derive, zero)[0])


def test_columns_are_read_by_the_names_the_portfolio_gives():
    spec = Derive(function="ratio", args={"numerator": "BILL", "denominator": "LIMIT"}, scale=100.0)
    assert sources(spec) == ("BILL", "LIMIT")
    assert derive(spec, {"BILL": [1, None], "LIMIT": [4, 4]}).tolist()[0] == 25.0
    assert sources(Derive(function="loan_to_income", args={"income": "salary"})) == ("loan_amount", "salary")


def test_a_feature_enters_the_library_under_its_own_name(monkeypatch):
    monkeypatch.setattr("creditrisk.data.features.FEATURES", entered := {})

    @feature
    def instalment_to_income(instalment, income):
        return instalment / income

    assert list(entered) == ["instalment_to_income"]
    assert entered["instalment_to_income"].arguments == ("instalment", "income")
