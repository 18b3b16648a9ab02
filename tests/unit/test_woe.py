"""The transformer turns columns of any type into WOE, and is a scikit-learn citizen."""

from __future__ import annotations

import datetime
import warnings
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline

from creditrisk.binning.bins import NEUTRAL, OWN
from creditrisk.binning.fit import BinningWarning, bins_at, column_values, fit_bins
from creditrisk.binning.search import Limits
from creditrisk.binning.woe import WOETransformer
from creditrisk.data.portfolio import load_portfolio
from creditrisk.errors import BinningError


def portfolio(rows: int = 2_000, seed: int = 5) -> tuple[pd.DataFrame, np.ndarray]:
    """A score with gaps and a code, a text with gaps, a number without information; and the outcome."""
    draw = np.random.default_rng(seed)
    score = draw.normal(50, 15, rows).round(1)
    bad = (draw.random(rows) < 1 / (1 + np.exp(4 - score / 20))).astype(int)
    score[draw.random(rows) < 0.05] = np.nan
    score[draw.random(rows) < 0.05] = -999
    home = pd.Series(np.where(draw.random(rows) < 0.2 + 0.5 * bad, "Rented", "Owned"), dtype="object")
    home[::37] = None
    table = pd.DataFrame({"score": score, "home": home, "noise": draw.integers(0, 9, rows)})
    return table.set_index(pd.Index(range(5_000, 5_000 - rows, -1))), bad


@pytest.fixture(scope="module")
def frame() -> tuple[pd.DataFrame, np.ndarray]:
    return portfolio()


def woe_by_hand(transformer: WOETransformer, X: pd.DataFrame) -> np.ndarray:
    return np.column_stack([bins.transform(column_values(X[name])) for name, bins in transformer.bins_.items()])


# --- Fit and transform ------------------------------------------------------------------------------------------------


def test_columns_become_woe_in_their_order(frame):
    X, bad = frame
    transformer = WOETransformer(special={"score": (-999,)}).fit(X, bad)
    out = transformer.transform(X)
    assert out.shape == X.shape and out.dtype == np.float64 and not np.isnan(out).any()
    assert list(transformer.bins_) == list(X.columns) == transformer.get_feature_names_out().tolist()
    assert out.tobytes() == woe_by_hand(transformer, X).tobytes()
    for name, bins in transformer.bins_.items():
        assert bins == fit_bins(name, column_values(X[name]), bad, special=(-999,) if name == "score" else ())
    assert transformer.iv_.to_dict() == {name: bins.iv for name, bins in transformer.bins_.items()}
    assert transformer.iv_.is_monotonic_decreasing and transformer.iv_.name == "iv"
    assert transformer.n_features_in_ == 3 and transformer.feature_names_in_.tolist() == list(X.columns)
    assert transformer.fit_transform(X, bad).tobytes() == out.tobytes()
    one = X.iloc[[17]]
    assert transformer.transform(one).tolist() == out[[17]].tolist()


def test_a_frame_comes_out_as_a_frame_with_its_index_when_asked(frame):
    X, bad = frame
    transformer = WOETransformer().set_output(transform="pandas").fit(X, bad)
    out = transformer.transform(X)
    assert isinstance(out, pd.DataFrame) and list(out.columns) == list(X.columns) and out.index.equals(X.index)
    assert (out.to_numpy() == woe_by_hand(transformer, X)).all()


def test_scikit_learn_can_clone_chain_and_search_it(frame):
    X, bad = frame
    transformer = WOETransformer(
        max_bins=3, min_bin_share=0.1, trend={"score": "ascending"}, options={"score": {"special": (-999,)}}
    )
    copy = clone(transformer)
    assert copy.get_params() == transformer.get_params() and not hasattr(copy, "bins_")
    assert copy.set_params(max_bins=2).fit(X, bad).bins_["score"].n_regular == 2
    chain = make_pipeline(clone(transformer), LogisticRegression())
    assert cross_val_score(chain, X, bad, scoring="roc_auc").min() > 0.7
    search = GridSearchCV(chain, {"woetransformer__max_bins": [1, 5]}, scoring="roc_auc", cv=2).fit(X, bad)
    assert search.best_params_ == {"woetransformer__max_bins": 5}
    columns = make_column_transformer((WOETransformer(), ["home", "score"]), remainder="drop")
    assert columns.fit(X, bad).get_feature_names_out().tolist() == ["woetransformer__home", "woetransformer__score"]
    for call in (lambda new: new.transform(X), lambda new: new.get_feature_names_out()):
        with pytest.raises(NotFittedError):
            call(clone(transformer))


def test_an_array_is_taken_by_position(frame):
    X, bad = frame
    numbers = X[["score", "noise"]]
    by_name = WOETransformer().fit(numbers, bad)
    by_place = WOETransformer().fit(numbers.to_numpy(), bad)
    assert list(by_place.bins_) == ["x0", "x1"] == by_place.get_feature_names_out().tolist()
    assert by_place.transform(numbers.to_numpy()).tobytes() == by_name.transform(numbers).tobytes()
    mixed = WOETransformer().fit(X.to_numpy(), bad)
    assert [bins.kind for bins in mixed.bins_.values()] == ["numeric", "category", "numeric"]
    assert mixed.transform(X.to_numpy()).tobytes() == WOETransformer().fit(X, bad).transform(X).tobytes()
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        assert by_name.transform(numbers.to_numpy()).tobytes() == by_name.transform(numbers).tobytes()


def test_columns_named_by_numbers_are_taken_by_name(frame):
    """scikit-learn checks the order of names that are text only; another order must not swap WOE."""
    X, bad = frame
    numbered = X[["score", "noise"]].set_axis([7, 3], axis=1)
    transformer = WOETransformer().fit(numbered, bad)
    turned = transformer.transform(numbered[[3, 7]])
    assert turned.tolist() in (
        transformer.transform(numbered).tolist(),
        transformer.transform(numbered)[:, ::-1].tolist(),
    )


def test_an_empty_frame_becomes_an_empty_frame(frame):
    X, bad = frame
    transformer = WOETransformer().fit(X, bad)
    assert transformer.transform(X[:0]).shape == (0, 3)
    assert transformer.set_output(transform="pandas").transform(X[:0]).columns.tolist() == list(X.columns)


def test_whole_weights_are_rows_that_occur_more_than_once(frame):
    X, bad = frame
    weight = np.random.default_rng(3).integers(0, 3, len(X))
    repeated = WOETransformer(special={"score": (-999,)}).fit(X.loc[np.repeat(X.index, weight)], np.repeat(bad, weight))
    weighted = WOETransformer(special={"score": (-999,)}).fit(X, bad, sample_weight=weight / 1.0)
    assert {k: (b.cuts, b.groups, b.goods, b.bads) for k, b in weighted.bins_.items()} == {
        k: (b.cuts, b.groups, b.goods, b.bads) for k, b in repeated.bins_.items()
    }
    with pytest.raises(BinningError, match="'score': 2000 rows and 1999 weights"):
        WOETransformer().fit(X, bad, sample_weight=weight[:-1])


# --- The target -------------------------------------------------------------------------------------------------------


def test_the_greater_of_two_classes_is_bad(frame):
    X, bad = frame
    expected = WOETransformer().fit(X, bad).bins_
    whole = pd.Series(bad, index=X.index)
    for y in (bad.astype(bool), whole, whole.astype("Int64"), whole.to_frame(), bad[:, None], bad * 7.5 - 1):
        assert WOETransformer().fit(X, y).bins_ == expected


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda y: np.where(y, "bad", "good"), "the target is text or dates; give 1 for bad and 0 for good"),
        (lambda y: y[:-1], "X has 2000 rows and y has shape"),
        (lambda y: np.where(np.arange(2_000) == 4, np.nan, y), r"the target is missing in row 5 \(1 rows\)"),
        (lambda y: pd.Series(y).astype("Int64").where(pd.Series(y) == 0), "the target is missing in row"),
        (lambda y: y * 0, r"the target has 1 classes, \[0\]; two are needed"),
        (lambda y: np.arange(2_000) % 3, r"the target has 3 classes, \[0, 1, 2\]; two are needed"),
        (lambda y: np.column_stack([y, y]), r"y has shape \(2000, 2\)"),
        (lambda y: None, "requires y to be passed"),
    ],
)
def test_a_target_that_cannot_be_learned_from_is_refused(change, message, frame):
    X, bad = frame
    with pytest.raises(ValueError, match=message):
        WOETransformer().fit(X, change(bad))


# --- Options ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "option",
    [
        {"max_bins": 2}, {"min_share": 0.3}, {"max_share": 0.25}, {"min_goods": 400.0}, {"min_bads": 150},
        {"min_difference": 0.15}, {"must_cut": (33.3,)}, {"must_cut": [33.3, 60]}, {"never_cut": [[20, 60]]},
        {"never_cut": (50.0, (0.0, 45.0))}, {"max_pre_bins": 4, "trend": "none"}, {"rare_rows": 1e6},
    ],
)  # fmt: skip
def test_each_limit_may_be_set_for_a_column(option, frame):
    X, bad = frame
    others = WOETransformer(max_bins=6, min_bin_share=0.02).fit(X, bad).bins_
    name = "home" if "rare_rows" in option else "score"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BinningWarning)
        fitted = WOETransformer(max_bins=6, min_bin_share=0.02, options={name: option}).fit(X, bad).bins_
        limits = {k: v for k, v in option.items() if k != "trend"}
        limits = Limits(**{"max_bins": 6, "min_share": 0.02} | limits)
        alone = fit_bins(name, column_values(X[name]), bad, limits=limits, trend=option.get("trend", "auto"))
    assert fitted[name] == alone != others[name]
    assert {k: b for k, b in fitted.items() if k != name} == {k: b for k, b in others.items() if k != name}


def test_trend_codes_and_missing_may_be_set_for_a_column_and_have_the_last_word(frame):
    X, bad = frame
    transformer = WOETransformer(
        trend="descending", missing="worst", special={"score": (1,)},
        options={"score": {"trend": "ascending", "special": [-999], "missing": NEUTRAL}},
    ).fit(X, bad)  # fmt: skip
    bins = transformer.bins_["score"]
    assert (bins.trend, bins.special, bins.missing) == ("ascending", (-999.0,), NEUTRAL)
    assert transformer.bins_["home"].missing == "worst"
    by_column = WOETransformer(trend={"score": "descending"}).fit(X, bad).bins_
    assert by_column["noise"] == WOETransformer().fit(X, bad).bins_["noise"]
    assert by_column["score"] == WOETransformer(trend="descending").fit(X, bad).bins_["score"]
    assert WOETransformer(trend={}, special={}, options={}).fit(X, bad).bins_ == WOETransformer().fit(X, bad).bins_


def test_given_cuts_and_groups_are_taken_as_they_are(frame):
    X, bad = frame
    weight = np.random.default_rng(1).random(len(X))
    options = {"score": {"cuts": [40, 55.5], "special": (-999,)}, "home": {"groups": [["Rented"], ["Owned", "Other"]]}}
    transformer = WOETransformer(options=options).fit(X, bad, sample_weight=weight)
    assert transformer.bins_["score"].cuts == (40.0, 55.5) and transformer.bins_["score"].special == (-999.0,)
    assert transformer.bins_["home"].groups == (("Owned", "Other"), ("Rented",))
    alone = bins_at("score", column_values(X["score"]), bad, [40, 55.5], special=(-999,), weight=weight)
    assert transformer.bins_["score"] == alone
    uncut = WOETransformer(options={"score": {"cuts": []}}).fit(X, bad).bins_["score"]
    assert uncut.cuts == () and uncut.n_regular == 1


def test_what_missing_is_worth_holds_for_given_cuts_too(frame):
    X, bad = frame
    for column, given in (("score", {"cuts": [40, 55]}), ("home", {"groups": [["Rented"], ["Owned"]]})):
        for missing in (NEUTRAL, "worst", OWN, "similar"):
            own = WOETransformer(options={column: given | {"missing": missing}}).fit(X, bad).bins_[column]
            whole = WOETransformer(missing=missing, options={column: given}).fit(X, bad).bins_[column]
            assert own == whole and (own.missing == missing if missing != "similar" else type(own.missing) is int)


@pytest.mark.parametrize(
    "parameters, message",
    [
        ({"trend": {"scor": "ascending"}}, r"there is no column 'scor'; columns are \['score', 'home', 'noise'\]"),
        ({"special": {"age": (1,)}}, "there is no column 'age'"),
        ({"options": {"Score": {"max_bins": 2}}}, "there is no column 'Score'"),
        ({"options": {"score": {"max_bin": 2}}}, "column 'score': unknown option 'max_bin'; allowed: .*'max_bins'"),
        ({"options": {"score": {"max_bins": 0}}}, "max_bins is 0; it must be a whole number of 1 or more"),
        ({"options": {"score": {"min_share": 0.9, "max_share": 0.1}}}, "min_share 0.9 is above max_share 0.1"),
        ({"options": {"score": {"trend": "up"}}}, "'score': trend is 'up'; it must be one of auto, ascending"),
        ({"options": {"score": {"missing": "mean"}}}, "'score': missing is 'mean'"),
        ({"trend": {"score": "up"}}, "'score': trend is 'up'"),
        ({"trend": "increasing"}, "The 'trend' parameter of WOETransformer must be"),
        ({"missing": "mean"}, "The 'missing' parameter of WOETransformer must be"),
        ({"max_bins": 0}, "The 'max_bins' parameter of WOETransformer must be"),
        ({"min_bin_share": 1.5}, "The 'min_bin_share' parameter of WOETransformer must be"),
        ({"options": {"home": {"must_cut": [1]}}}, "'home': must_cut and never_cut are values of a number"),
        ({"options": {"home": {"cuts": [1]}}}, "'home': it holds text; give groups of levels, not cuts"),
        ({"options": {"score": {"groups": [["a"]]}}}, "'score': it holds numbers; give cuts, not groups"),
        (
            {"options": {"score": {"must_cut": [50], "never_cut": [50]}}},
            "must be made \\(50\\) together with .* must not be made \\(50\\)",
        ),
    ],
)
def test_an_option_that_cannot_be_is_refused_with_its_column(parameters, message, frame):
    with pytest.raises(ValueError, match=message):
        WOETransformer(**parameters).fit(*frame)


@pytest.mark.parametrize("option", [{"max_bins": 3.0}, {"max_bins": np.int64(3)}, {"min_share": 0}])
def test_numbers_of_any_type_are_taken(option, frame):
    X, bad = frame
    bins = WOETransformer(options={"score": option}).fit(X, bad).bins_["score"]
    assert 1 < bins.n_regular <= option.get("max_bins", 8)


def test_a_portfolio_says_how_its_columns_are_binned():
    book = load_portfolio("retail")
    transformer = WOETransformer.for_portfolio(book, max_bins=4)
    assert transformer.max_bins == 4 and set(transformer.options) == set(book.candidates)
    for name, column in book.candidates.items():
        assert transformer.options[name] == column.binning_options
    draw = np.random.default_rng(7)
    bad = draw.integers(0, 2, 500)
    X = pd.DataFrame(
        {
            name: draw.normal(50, 20, 500) + 8 * bad if column.is_numeric else draw.choice(["a", "b"], 500)
            for name, column in book.candidates.items()
        }
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BinningWarning)
        bins = clone(transformer).fit(X, bad).bins_
    trends = {
        name: {"increasing": ("ascending", "flat"), "decreasing": ("descending", "flat")}.get(column.risk)
        for name, column in book.candidates.items() if column.is_numeric
    }  # fmt: skip
    assert "descending" in [allowed[0] for allowed in trends.values() if allowed]
    assert all(not allowed or bins[name].trend in allowed for name, allowed in trends.items())
    assert max(one.n_regular for one in bins.values()) in (3, 4)


# --- Frames that do not fit -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda X: X.drop(columns="home"), "missing column 'home'"),
        (lambda X: X.rename(columns={"home": "hme"}), "missing column 'home'"),
        (lambda X: X[["home", "score", "noise"]], "must be in the same order as they were in fit"),
        (lambda X: X.assign(more=1), "Feature names unseen at fit time:\n- more"),
        (lambda X: X.assign(home=1.0), "'home' was fitted as text, but holds float64"),
        (lambda X: X.assign(score="a"), "'score' was fitted as numbers, but holds str"),
        (lambda X: X[["score", "score", "home", "noise"]], "the column 'score' stands twice"),
        (lambda X: X["score"], "Expected a 2-dimensional container"),
        (lambda X: X.to_numpy()[:, :2], "2 features, but WOETransformer is expecting 3"),
    ],
)
@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
def test_a_frame_that_does_not_fit_is_refused(change, message, frame):
    X, bad = frame
    with pytest.raises(ValueError, match=message):
        WOETransformer().fit(X, bad).transform(change(X))


def test_a_frame_that_cannot_be_fitted_is_refused(frame):
    X, bad = frame
    with pytest.raises(ValueError, match="the column 'score' stands twice"):
        WOETransformer().fit(X[["score", "score"]], bad)
    with pytest.raises(ValueError, match="two are needed"):
        WOETransformer().fit(X[:0], bad[:0])


def test_a_column_without_information_warns_and_has_no_iv(frame):
    X, bad = frame
    for values, why in ((7.0, "all its values are the same"), (np.nan, "there is no regular value")):
        with pytest.warns(BinningWarning, match=f"'more' is one bin: {why}"):
            transformer = WOETransformer().fit(X.assign(more=values), bad)
        assert transformer.iv_["more"] == pytest.approx(0, abs=1e-12) and transformer.iv_.index[-1] == "more"


# --- Types ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["score", "home"])
def test_a_column_that_is_wholly_missing_is_missing_whatever_its_type(name, frame):
    X, bad = frame
    transformer = WOETransformer().fit(X, bad)
    woe = transformer.bins_[name].woe[transformer.bins_[name].missing_slot]
    place = list(X.columns).index(name)
    for gap in (None, np.nan, pd.array([pd.NA] * len(X), dtype="Int64"), pd.array([None] * len(X), dtype="str"),
                pd.NaT, pd.Categorical([None] * len(X))):  # fmt: skip
        assert set(transformer.transform(X.assign(**{name: gap}))[:, place]) == {woe}


@pytest.mark.parametrize("kind", ["object", "category", "string", "convertible", "pyarrow", "small", "sparse"])
def test_the_type_a_column_comes_in_does_not_matter(kind, frame):
    X, bad = frame
    X = X.assign(flag=(X["noise"] > 4))
    expected = WOETransformer().fit(X, bad)
    change = {
        "object": lambda t: t.astype("object").where(t.notna(), None),
        "category": lambda t: t.assign(home=t["home"].astype("category")),
        "string": lambda t: t.assign(home=t["home"].astype("string[python]")),
        "convertible": lambda t: t.convert_dtypes(),
        "pyarrow": lambda t: t.convert_dtypes(dtype_backend="pyarrow"),
        "small": lambda t: t.assign(noise=t["noise"].astype(np.uint8)),
        "sparse": lambda t: t.assign(noise=pd.arrays.SparseArray(t["noise"])),
    }[kind]
    again = WOETransformer().fit(change(X), bad)
    assert again.bins_ == expected.bins_
    assert expected.transform(change(X)).tobytes() == expected.transform(X).tobytes() == again.transform(X).tobytes()


@pytest.mark.parametrize(
    "values, expected",
    [
        ([True, False, None], [1.0, 0.0, np.nan]),
        ([Decimal("1.5"), Decimal("NaN"), None], [1.5, np.nan, np.nan]),
        ([1, None, 2.5], [1.0, np.nan, 2.5]),
        ([pd.NA, 3, np.nan], [np.nan, 3.0, np.nan]),
        ([np.inf, None, -np.inf], [np.inf, np.nan, -np.inf]),
    ],
)
def test_objects_that_are_numbers_are_numbers(values, expected):
    found = column_values(pd.Series(values, dtype="object"))
    assert found.dtype == np.float64 and np.array_equal(found, expected, equal_nan=True)


@pytest.mark.parametrize(
    "column, expected",
    [
        (pd.Series([1, 0, None], dtype="Int64"), [1.0, 0.0, np.nan]),
        (pd.Series([True, False, None], dtype="boolean"), [1.0, 0.0, np.nan]),
        (pd.Series([True, False, None], dtype="bool[pyarrow]"), [1.0, 0.0, np.nan]),
        (pd.Series([1.5, None], dtype="Float32"), [1.5, np.nan]),
        (pd.Series([1.5, None], dtype="double[pyarrow]"), [1.5, np.nan]),
        (pd.Series([7, 8], dtype="uint8"), [7.0, 8.0]),
        (pd.Series([True, False]), [1.0, 0.0]),
    ],
)
def test_columns_of_numbers_are_numbers(column, expected):
    found = column_values(column)
    assert found.dtype == np.float64 and np.array_equal(found, expected, equal_nan=True)


@pytest.mark.parametrize(
    "values, expected",
    [
        ([1, "b", None, 2.5], ["1", "b", None, "2.5"]),
        ([1, "1", None, "x"], ["1", "1", None, "x"]),
        (["nan", "", " ", np.nan, pd.NA, pd.NaT], ["nan", "", " ", None, None, None]),
        ([datetime.date(2026, 1, 31), None], ["2026-01-31", None]),
        ([b"a", "a"], ["b'a'", "a"]),
    ],
)
def test_other_objects_are_their_text(values, expected):
    found = column_values(pd.Series(values, dtype="object"))
    assert isinstance(found, pd.Categorical)
    assert [None if pd.isna(value) else value for value in found] == expected


def test_a_category_of_numbers_is_text_whatever_the_order_of_its_categories():
    column = pd.Series(pd.Categorical([3, 1, None, 1], categories=[1, 2, 3]))
    assert [None if pd.isna(v) else v for v in column_values(column)] == ["3", "1", None, "1"]
    assert column_values(column.cat.set_categories([3, 2, 1])).tolist()[:2] == ["3", "1"]


def test_levels_that_training_never_saw_are_unseen_in_any_container(frame):
    X, bad = frame
    transformer = WOETransformer().fit(X, bad)
    for column in (pd.Series("Boat", index=X.index), pd.Series("Boat", index=X.index, dtype="category")):
        assert set(transformer.transform(X.assign(home=column))[:, 1]) == {0.0}


def test_hundreds_of_columns_and_levels_are_transformed_alike():
    draw = np.random.default_rng(8)
    bad = draw.integers(0, 2, 600)
    X = pd.DataFrame(draw.normal(size=(600, 40)), columns=[f"c{i}" for i in range(40)])
    X["zip"] = [f"zip {i}" for i in draw.integers(0, 300, 600)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BinningWarning)
        transformer = WOETransformer(options={"zip": {"rare_rows": 0}}).fit(X, bad)
    out = transformer.transform(X)
    assert out.tobytes() == woe_by_hand(transformer, X).tobytes() and out.shape == (600, 41)
    assert np.concatenate([transformer.transform(X[i : i + 50]) for i in range(0, 600, 50)]).tolist() == out.tolist()
