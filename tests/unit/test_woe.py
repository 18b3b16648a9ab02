"""Bins are fitted within their limits, and the transformer is a scikit-learn citizen."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline

from creditrisk.binning.bins import Bins
from creditrisk.binning.search import Limits
from creditrisk.binning.woe import TREND_OF_RISK, WOETransformer, column_values, fit_bins


def sample(rows: int = 4_000, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """A number whose rise means more bads, with gaps and a code; and the outcome."""
    draw = np.random.default_rng(seed)
    values = draw.normal(50, 15, rows).round(1)
    bad = (draw.random(rows) < 1 / (1 + np.exp(4 - values / 20))).astype(int)
    values[draw.random(rows) < 0.05] = np.nan
    values[draw.random(rows) < 0.05] = -999
    return values, bad


def regular(bins: Bins) -> tuple[np.ndarray, np.ndarray]:
    return np.array(bins.goods)[: bins.n_regular], np.array(bins.bads)[: bins.n_regular]


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 10_000),
    st.sampled_from(["ascending", "descending", "auto"]),
    st.builds(
        Limits, max_bins=st.integers(1, 10), min_share=st.sampled_from([0, 0.05, 0.2]), min_bads=st.integers(1, 20)
    ),
)
def test_bins_respect_their_limits_and_count_every_row_once(seed, trend, limits):
    values, bad = sample(600, seed)
    bins = fit_bins("x", values, bad, trend=trend, special=(-999.0,), limits=limits)
    assert sum(bins.goods) == (bad == 0).sum() and sum(bins.bads) == bad.sum()
    assert bins.goods[bins.missing_slot] + bins.bads[bins.missing_slot] == np.isnan(values).sum()
    assert bins.goods[bins.n_regular] + bins.bads[bins.n_regular] == (values == -999).sum()
    goods, bads = regular(bins)
    assert 1 <= bins.n_regular <= limits.max_bins and set(bins.cuts) <= set(values)
    if bins.n_regular > 1:
        assert (goods + bads >= limits.min_share * 600).all() and (bads >= limits.min_bads).all() and (goods >= 1).all()
        steps = np.diff(bads / (goods + bads))
        assert (steps > 0).all() if bins.trend == "ascending" else (steps < 0).all()
        assert trend in ("auto", bins.trend)
    assert np.isfinite(bins.woe).all() and bins.transform(values).shape == (600,)
    json.dumps(bins.to_dict(), allow_nan=False)


def test_the_trend_is_found_and_a_wrong_one_finds_nothing():
    values, bad = sample()
    rising = fit_bins("x", values, bad, special=(-999.0,))
    assert rising.trend == "ascending" and rising.n_regular >= 4 and rising.iv > 0.1
    assert fit_bins("x", -values, bad, special=(999.0,)).trend == "descending"
    assert fit_bins("x", values, bad, special=(-999.0,), trend="descending").n_regular == 1
    assert rising.woe[0] > 0 > rising.woe[rising.n_regular - 1]
    assert set(TREND_OF_RISK.values()) == {"ascending", "descending", "auto"}


def test_rows_in_another_order_and_numbers_in_another_unit_give_the_same_bins():
    values, bad = sample()
    bins = fit_bins("x", values, bad, special=(-999.0,))
    order = np.random.default_rng(2).permutation(len(bad))
    assert fit_bins("x", values[order], bad[order], special=(-999.0,)) == bins
    doubled = fit_bins("x", values * 1024, bad, special=(-999.0 * 1024,))
    assert doubled.cuts == tuple(cut * 1024 for cut in bins.cuts) and doubled.goods == bins.goods
    whole = fit_bins("x", np.nan_to_num(values, nan=0).astype(int), bad)
    assert whole.kind == "numeric" and whole == fit_bins(
        "x", np.nan_to_num(values, nan=0).astype(int).astype(float), bad
    )


def test_values_without_information_are_one_bin():
    bad = np.array([0, 1] * 50)
    for values in (np.full(100, 7.0), np.full(100, np.nan), np.full(100, -999.0)):
        bins = fit_bins("x", values, bad, special=(-999.0,))
        assert bins.n_regular == 1 and bins.iv == 0 and (bins.transform(values) == 0).all()
    empty = fit_bins("x", np.full(100, None, dtype=object), bad)
    assert empty.groups == () and empty.iv == 0
    assert empty.assign(np.array([None, "a"], dtype=object)).tolist() == [0, 1]
    one = fit_bins("x", np.array(["a"] * 100, dtype=object), bad)
    assert one.groups == (("a",),) and one.iv == 0


def test_missing_values_that_are_all_bad_get_a_finite_low_woe():
    values = np.array([1.0, 2.0] * 50 + [np.nan] * 5)
    bad = np.array(([0] * 9 + [1]) * 10 + [1] * 5)
    bins = fit_bins("x", values, bad)
    assert -10 < bins.woe[bins.missing_slot] < -2
    assert fit_bins("x", values, np.where(np.isnan(values), 0, bad)).woe[bins.missing_slot] > 0  # all good: never risky


def test_levels_are_grouped_by_bad_rate_and_each_level_once():
    draw = np.random.default_rng(3)
    rate = {"a": 0.02, "b": 0.05, "c": 0.2, "d": 0.21, "e": 0.5, "rare": 0.0}
    values = draw.choice(list(rate), 5_000, p=[0.5, 0.1, 0.15, 0.1, 0.149, 0.001]).astype(object)
    bad = (draw.random(5_000) < np.vectorize(rate.get)(values)).astype(int)
    values[::50] = None
    bins = fit_bins("x", values, bad)
    levels = [level for group in bins.groups for level in group]
    assert sorted(levels) == sorted(rate)
    assert levels.index("a") < levels.index("b") < levels.index("c") < levels.index("e")
    goods, bads = regular(bins)
    assert (np.diff(bads / (goods + bads)) > 0).all() and len(bins.groups) >= 3
    assert bins.goods[bins.missing_slot] + bins.bads[bins.missing_slot] == 100
    assert bins.transform(np.array(["a"], dtype=object)) > 0 > bins.transform(np.array(["e"], dtype=object))
    order = draw.permutation(5_000)
    assert fit_bins("x", values[order], bad[order]) == bins


def test_thousands_of_levels_are_binned_in_few_pre_bins():
    draw = np.random.default_rng(4)
    values = np.array([f"zip {i}" for i in draw.integers(0, 3_000, 20_000)], dtype=object)
    bad = (draw.random(20_000) < 0.2).astype(int)
    bins = fit_bins("x", values, bad)
    assert sorted(level for group in bins.groups for level in group) == sorted(set(values))
    goods, bads = regular(bins)
    assert 1 < len(bins.groups) <= 8 and (np.diff(bads / (goods + bads)) > 0).all()
    assert sum(bins.goods) + sum(bins.bads) == 20_000
    halves = fit_bins("x", values, bad, limits=Limits(max_pre_bins=2, min_share=0))
    sizes = np.array(halves.goods[:2]) + np.array(halves.bads[:2])
    assert len(halves.groups) == 2 and abs(sizes[0] - 10_000) < 50  # two pre-bins of about equal counts


@pytest.mark.parametrize(
    "bad, message",
    [
        (np.array([0, 1, 2, 0]), "'x': the target holds values other than 0 and 1"),
        (np.array([0, 1, np.nan, 0]), "'x': the target holds values other than 0 and 1, or missing ones"),
        (np.array(["good", "bad", "good", "bad"]), "'x': the target holds values other than 0 and 1"),
        (np.array([0, 1, None, 1], dtype=object), "'x': the target holds values other than 0 and 1"),
        (np.zeros(4), "'x': every row is good; both classes are needed"),
        (np.ones(4, dtype=bool), "'x': every row is bad; both classes are needed"),
        (np.array([0, 1]), "'x': 4 values and 2 outcomes"),
        (np.array([]), "'x': 4 values and 0 outcomes"),
    ],
)
def test_a_target_that_cannot_be_learned_from_is_refused(bad, message):
    for values in (np.arange(4.0), np.array(list("abcd"), dtype=object)):
        with pytest.raises(ValueError) as caught:
            fit_bins("x", values, bad)
        assert message in str(caught.value)


def test_infinite_values_are_refused_with_their_row():
    with pytest.raises(ValueError, match="'x': row 2 is infinite"):
        fit_bins("x", np.array([1, np.inf, 2, 3]), np.array([0, 1, 0, 1]))
    with pytest.raises(ValueError, match="at least|as many"):
        fit_bins("x", np.array([]), np.array([]))


# --- The transformer --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def frame() -> tuple[pd.DataFrame, np.ndarray]:
    values, bad = sample(2_000, 5)
    draw = np.random.default_rng(6)
    home = pd.Series(np.where(draw.random(2_000) < 0.2 + 0.5 * bad, "Rented", "Owned"), dtype="object")
    home[::97] = None
    table = pd.DataFrame({"score": values, "home": home, "noise": draw.integers(0, 9, 2_000)})
    return table.set_index(pd.Index(range(5_000, 3_000, -1))), bad


def test_columns_become_woe_in_their_order_with_their_index(frame):
    X, bad = frame
    transformer = WOETransformer(special={"score": (-999,)}).fit(X, bad)
    out = transformer.transform(X)
    assert list(out.columns) == list(X.columns) == transformer.get_feature_names_out().tolist()
    assert out.index.equals(X.index) and (out.dtypes == np.float64).all() and not out.isna().any(axis=None)
    for name, bins in transformer.bins_.items():
        assert out[name].to_numpy().tobytes() == bins.transform(column_values(X[name])).tobytes()
        assert bins == fit_bins(name, column_values(X[name]), bad, special=(-999,) if name == "score" else ())
    assert transformer.iv_.is_monotonic_decreasing and set(transformer.iv_.index) == set(X.columns)
    assert transformer.n_features_in_ == 3 and transformer.feature_names_in_.tolist() == list(X.columns)
    shuffled = transformer.transform(X[["noise", "home", "score"]].assign(more=1))
    pd.testing.assert_frame_equal(shuffled, out)
    pd.testing.assert_frame_equal(transformer.fit_transform(X, bad), out)


def test_scikit_learn_can_clone_chain_and_cross_validate_it(frame):
    X, bad = frame
    transformer = WOETransformer(
        max_bins=3, min_bin_share=0.1, trend={"score": "ascending"}, special={"score": (-999,)}
    )
    copy = clone(transformer)
    assert copy.get_params() == transformer.get_params() and not hasattr(copy, "bins_")
    assert copy.set_params(max_bins=2).fit(X, bad).bins_["score"].n_regular == 2
    wrapped = transformer.set_output(transform="pandas").fit(X, bad).transform(X)
    assert isinstance(wrapped, pd.DataFrame) and list(wrapped) == list(X)
    scores = cross_val_score(make_pipeline(clone(transformer), LogisticRegression()), X, bad, scoring="roc_auc")
    assert scores.min() > 0.7
    with pytest.raises(NotFittedError):
        clone(transformer).transform(X)
    with pytest.raises(NotFittedError):
        clone(transformer).get_feature_names_out()


@pytest.mark.parametrize(
    "options, message",
    [
        ({"trend": {"scor": "ascending"}}, "there is no column 'scor'; columns are ['score', 'home', 'noise']"),
        ({"special": {"age": (1,)}}, "there is no column 'age'"),
        ({"trend": "increasing"}, "trend is 'increasing'; each must be one of ascending, descending, auto"),
        ({"trend": {"score": "up"}}, "each must be one of"),
    ],
)
def test_an_option_for_an_unknown_column_or_trend_is_refused(options, message, frame):
    with pytest.raises(ValueError) as caught:
        WOETransformer(**options).fit(*frame)
    assert message in str(caught.value)


def test_an_empty_choice_of_trends_is_automatic(frame):
    X, bad = frame
    assert WOETransformer(trend={}).fit(X, bad).bins_ == WOETransformer().fit(X, bad).bins_
    expected = WOETransformer().fit(X, bad).bins_["score"]
    assert WOETransformer(trend={"noise": "descending"}).fit(X, bad).bins_["score"] == expected


def test_a_frame_that_does_not_fit_is_refused(frame):
    X, bad = frame
    transformer = WOETransformer().fit(X, bad)
    for call, error, message in (
        (lambda: transformer.transform(X.drop(columns="home")), ValueError, "missing column 'home'"),
        (lambda: transformer.transform(X.assign(home=1.0)), ValueError, "'home' was fitted as text, but holds float64"),
        (
            lambda: transformer.transform(X.assign(score="a")),
            ValueError,
            "'score' was fitted as numbers, but holds str",
        ),
        (lambda: transformer.transform(X.to_numpy()), TypeError, "a pandas DataFrame"),
        (lambda: transformer.transform(X[["score", "score", "home", "noise"]]), ValueError, "'score' stands twice"),
        (lambda: WOETransformer().fit(X.to_numpy(), bad), TypeError, "a pandas DataFrame"),
        (lambda: WOETransformer().fit(X, bad[:-1]), ValueError, "2000 values and 1999 outcomes"),
    ):
        with pytest.raises(error, match=message):
            call()


@pytest.mark.parametrize("name", ["score", "home"])
def test_a_column_that_is_wholly_missing_is_missing_whatever_its_type(name, frame):
    X, bad = frame
    transformer = WOETransformer().fit(X, bad)
    woe = transformer.bins_[name].woe[transformer.bins_[name].missing_slot]
    for gap in (None, np.nan, pd.array([pd.NA] * len(X), dtype="Int64"), pd.array([None] * len(X), dtype="str")):
        assert set(transformer.transform(X.assign(**{name: gap}))[name]) == {woe}


@pytest.mark.parametrize(
    "kind",
    ["object", "category", "convertible", "pyarrow"],
)
def test_the_type_a_column_comes_in_does_not_matter(kind, frame):
    X, bad = frame
    expected = WOETransformer().fit(X, bad)
    change = {
        "object": lambda t: t.astype("object").where(t.notna(), None),
        "category": lambda t: t.assign(home=t["home"].astype("category")),
        "convertible": lambda t: t.convert_dtypes(),
        "pyarrow": lambda t: t.convert_dtypes(dtype_backend="pyarrow"),
    }[kind]
    again = WOETransformer().fit(change(X), bad)
    assert again.bins_ == expected.bins_
    pd.testing.assert_frame_equal(expected.transform(change(X)), expected.transform(X))


def test_levels_of_mixed_types_become_text():
    values = column_values(pd.Series([1, "b", None, 2.5], dtype="object"))
    assert values.tolist() == ["1", "b", None, "2.5"]
    assert column_values(pd.Series([True, False])).tolist() == [1.0, 0.0]
