"""Tables for serving say what the model says: PDs to the bit, contributions to the rounding of float32."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import combinations
from math import factorial, inf, nan, nextafter

import numpy as np
import pytest
import xgboost
from hypothesis import given, settings
from hypothesis import strategies as st

from creditrisk.binning.bins import NEUTRAL, OWN, WORST, Bins
from creditrisk.data.features import FEATURES, derive, feature, sources
from creditrisk.data.portfolio import UTMOST, Derive
from creditrisk.errors import ArtifactError
from creditrisk.modelling.attempts import Attempt, fit_attempt
from creditrisk.modelling.calibration import Calibration
from creditrisk.modelling.design import TreeDesign, WoeDesign
from creditrisk.modelling.pd_model import LeftOut, Logistic, Trees, as_float32
from creditrisk.modelling.scorecard import Reasons
from creditrisk.serving import compiled
from creditrisk.serving.compiled import (
    FEW,
    CardTables,
    CompiledModel,
    ReasonTables,
    TooLarge,
    TreeTables,
    on_numbers,
    smallest_from,
)
from creditrisk.serving.model import ModelData, input_arrays
from creditrisk.serving.scored import Scored
from unit.models import RETAIL, PlainScorer, published, small_training, some_applications

CLOSE = 1e-5  # XGBoost adds its contributions up in float32

# --- Models -----------------------------------------------------------------------------------------------------------


def with_trees(data: ModelData, **more) -> ModelData:
    return replace(data, model=replace(data.model, **more))


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> dict[str, ModelData]:
    """Both published models, and trees as they could be: imputed, moved for lack of inputs, mapped by knots."""
    found = published(tmp_path_factory.mktemp("artifacts"))
    v2, training = found["v2"], small_training()
    params = {"n_estimators": 60, "max_depth": 5}
    attempt = Attempt(4, "xgboost", "smotetomek", params=params)
    imputed = fit_attempt(attempt, training.part("train"), training.candidates, RETAIL, 42)
    optional = tuple(name for name, column in RETAIL.inputs.items() if column.role != "input")
    knots = Calibration("isotonic", -0.1, 0.9, knots=((-4.0, -5.0), (-2.5, -2.0), (0.5, 0.25)))
    names = (*optional, "income")
    return found | {
        "imputed": with_trees(v2, design=imputed.design, model=imputed.model, left_out=None),
        "left out": with_trees(v2, left_out=LeftOut(names, -0.3, 0.7)),
        "isotonic": with_trees(v2, calibration=knots, left_out=None),
    }


MODELS = ("v1", "v2", "imputed", "left out", "isotonic")


@pytest.fixture(scope="module")
def both(models) -> dict[str, tuple[PlainScorer, CompiledModel]]:
    return {name: (PlainScorer(data), CompiledModel(data)) for name, data in models.items()}


def assert_same(found: Scored, expected: Scored, *, trees: bool) -> None:
    assert found.pd.tobytes() == expected.pd.tobytes()
    for part in ("score", "rating", "grade", "points"):
        mine, theirs = getattr(found, part), getattr(expected, part)
        assert (mine is None) == (theirs is None), part
        assert mine is None or (mine.tolist() == theirs.tolist() and mine.dtype == theirs.dtype), part
    assert tuple(found.features) == tuple(expected.features) and len(found) == len(expected)
    for row in range(len(found)):
        assert found.features_of(row) == expected.features_of(row)
    if not trees:
        assert found.reasons == expected.reasons
        return
    for mine, theirs in zip(found.reasons, expected.reasons, strict=True):
        assert_same_reasons(mine, theirs)


def assert_same_reasons(mine: list[dict], theirs: list[dict]) -> None:
    """The same in the same order, but where weights are as close as float32 leaves them."""
    weights = [[reason["weight"] for reason in reasons] for reasons in (mine, theirs)]
    most = max(map(len, weights))
    padded = [np.array(each + [0.0] * (most - len(each))) for each in weights]
    assert np.abs(padded[0] - padded[1]).max(initial=0.0) <= CLOSE
    for i, (a, b) in enumerate(zip(mine, theirs, strict=False)):
        near = [abs(weights[1][j] - weights[1][i]) <= 2 * CLOSE for j in range(len(theirs)) if j != i]
        assert (a["feature"], a["text"]) == (b["feature"], b["text"]) or any(near) or weights[1][i] <= 2 * CLOSE


# --- Applications -----------------------------------------------------------------------------------------------------


def numbers_for(name: str) -> st.SearchStrategy:
    """Numbers, the more of them around those at which something changes."""
    column = RETAIL.inputs[name]
    low, high = column.min if column.min is not None else column.above or 0.0, column.max or UTMOST
    ends = [low, high, nextafter(low, inf), nextafter(high, -inf), 0.0, -0.0, 1e-300, UTMOST, float(np.float32(high))]
    return st.none() | st.just(nan) | st.sampled_from(ends) | st.floats(low, high) | st.integers(int(low), int(high))


def texts_for(name: str) -> st.SearchStrategy:
    return st.none() | st.sampled_from([*RETAIL.inputs[name].levels, "never seen"])


applications = st.fixed_dictionaries(
    {},
    optional={
        name: numbers_for(name) if column.is_numeric else texts_for(name) for name, column in RETAIL.inputs.items()
    },
)


@pytest.fixture(scope="module")
def rows() -> list[dict]:
    return some_applications(150).frame.to_dict("records")


def around(data: ModelData, row: dict) -> list[dict]:
    """A row with each number that the model reads at, and one bit off, each of its cuts or thresholds, and between."""
    design, found = data.model.design, []
    if isinstance(design, WoeDesign):
        cuts = {bins.name: bins.cuts for bins in design.bins if bins.kind == "numeric"}
    else:
        trees = trees_of(data.model.model)
        cuts = {name: thresholds_of(trees, j).tolist() for j, name in enumerate(design.numbers)}
    for name, of_name in cuts.items():
        if name in RETAIL.inputs:
            for cut in of_name:
                found += [row | {name: value} for value in near(cut)]
    return found


def near(cut: float) -> list[float]:
    """A number, its neighbours as float64 and as float32, and what lies half way between the latter."""
    single = np.float32(cut)
    with np.errstate(over="ignore"):
        down, up = (float(np.nextafter(single, np.float32(end))) for end in (-inf, inf))
    middles = [(down + float(single)) / 2, (up + float(single)) / 2]
    exact = [cut, float(single), down, up, *middles]
    return exact + [nextafter(v, end) for v in exact for end in (-inf, inf)]


def trees_of(model: Trees) -> list[dict]:
    booster = xgboost.Booster()
    booster.load_model(bytearray(model.booster))
    return json.loads(booster.save_raw("json"))["learner"]["gradient_booster"]["model"]["trees"]


def thresholds_of(trees: list[dict], column: int) -> np.ndarray:
    splits = [
        condition
        for tree in trees
        for condition, split, child in zip(
            tree["split_conditions"], tree["split_indices"], tree["left_children"], strict=True
        )
        if split == column and child != -1
    ]
    return np.unique(np.float32(splits))


# --- One arithmetic ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
def test_applications_get_what_the_scorer_says_one_by_one_and_at_once(both, rows, name):
    scorer, model = both[name]
    trees = name != "v1"
    assert model.why_not == ""
    assert_same(model.score_rows(rows), scorer.score_rows(rows), trees=trees)
    for count in (1, 8, FEW, FEW + 1):
        assert_same(model.score_rows(rows[:count]), scorer.score_rows(rows[:count]), trees=trees)
    expected = scorer.score_rows(rows).pd
    assert [model.pd_one(row) for row in rows] == expected.tolist()
    assert model.score(input_arrays({n: [r.get(n) for r in rows] for n in RETAIL.inputs}, RETAIL)).pd.tolist() == (
        expected.tolist()
    )


@pytest.mark.parametrize("name", MODELS)
@settings(max_examples=60, deadline=None)
@given(some=st.lists(applications, min_size=1, max_size=4))
def test_any_application_gets_what_the_scorer_says(both, name, some):
    scorer, model = both[name]
    expected = scorer.score_rows(some)
    assert_same(model.score_rows(some), expected, trees=name != "v1")
    assert [model.pd_one(row) for row in some] == expected.pd.tolist()


@pytest.mark.parametrize("name", MODELS)
def test_a_bit_beside_a_cut_is_on_the_side_where_the_model_has_it(both, rows, name):
    scorer, model = both[name]
    found = around(scorer.data, rows[0])
    assert len(found) > 100
    expected = scorer.score_rows(found).pd
    assert [model.pd_one(row) for row in found] == expected.tolist() and len(set(expected.tolist())) > 4
    assert model.score_rows(found).pd.tolist() == expected.tolist()


@pytest.mark.parametrize("name", MODELS)
def test_what_a_row_gets_does_not_depend_on_those_it_is_scored_with(both, rows, name):
    model = both[name][1]
    rows = [*rows, {}, {"loan_purpose": "Auto"}]
    whole = model.score_rows(rows)
    for i, row in enumerate(rows):
        one = model.score_rows([row])
        assert one.pd[0] == whole.pd[i] and one.reasons == [whole.reasons[i]]
    columns = model.data.columns(input_arrays({n: [r.get(n) for r in rows] for n in RETAIL.inputs}, RETAIL))
    every = model.contributions(columns)
    for i in range(len(rows)):
        alone = model.contributions({n: values[i : i + 1] for n, values in columns.items()})
        assert alone.tobytes() == every[i].tobytes()


@pytest.mark.parametrize("name", MODELS)
def test_no_application_is_no_prediction(both, name):
    none = both[name][1].score_rows([])
    assert len(none) == 0 and none.reasons == [] and set(none.features) == set(both[name][1].data.features)


@pytest.mark.parametrize("name", MODELS)
def test_an_application_is_left_as_it_was_given(both, rows, name):
    row = dict(rows[0])
    both[name][1].pd_one(row)
    both[name][1].score_rows([row])
    assert row == rows[0]


# --- Slots ------------------------------------------------------------------------------------------------------------

CODED = Bins(
    "age", "numeric", (50, 30, 15, 4, 3, 1), (5, 10, 15, 1, 4, 10), cuts=(25.0, 40.5),
    special=(-1.0, 30.0), policies=(OWN, 1, WORST),
)  # fmt: skip
LEVELS = Bins(
    "home", "category", (60, 30, 8, 0), (5, 20, 15, 0), groups=(("Owned", "Family"), ("Rented",)),
    policies=(WORST, NEUTRAL),
)  # fmt: skip
one_number = st.sampled_from([-1.0, 30.0, 0.0, -0.0, 1e308, inf, -inf, nan, *near(25.0), *near(40.5), *near(30.0)])


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(one_number | st.floats(), st.sampled_from(["Owned", "Family", "Rented", "Tent", "", None]))))
def test_slots_and_woe_are_those_of_the_bins(pairs):
    tables = CardTables(WoeDesign((CODED, LEVELS)), Logistic((-1.1, 0.7), -2.3), None)
    columns = {
        "age": np.array([age for age, _ in pairs], dtype=np.float64),
        "home": np.array([home for _, home in pairs], dtype=object),
    }
    expected = [bins.assign(columns[bins.name]).tolist() for bins in (CODED, LEVELS)]
    of_each = [[lookup.of(v) for v in columns[n].tolist()] for n, lookup in zip(columns, tables.lookups, strict=True)]
    of_all = [lookup.of_all(columns[n]) for n, lookup in zip(columns, tables.lookups, strict=True)]
    assert of_each == [places.tolist() for places in of_all] == expected
    design, model = WoeDesign((CODED, LEVELS)), Logistic((-1.1, 0.7), -2.3)
    margins = model.margin(design.matrix(columns))
    assert tables.margins(np.array(of_all, dtype=np.intp)).tobytes() == margins.tobytes()
    assert [tables.margin(places) for places in zip(*of_each, strict=True)] == margins.tolist()
    contributions = tables.contributions(np.array(of_all, dtype=np.intp))
    assert contributions.tobytes() == model.contributions(design.matrix(columns)).tobytes()


# --- Trees ------------------------------------------------------------------------------------------------------------


def grown(
    rounds: int, depth: int, *, medians=None, seed: int = 0, columns: int = 6, **more
) -> tuple[TreeDesign, Trees]:
    """Trees over numbers with gaps and two texts."""
    random = np.random.default_rng(seed)
    numbers = tuple(f"x{j}" for j in range(columns))
    levels = (("home", "Owned"), ("home", "Rented"), ("loan", "Auto"))
    X = np.round(random.normal(size=(800, columns)), 2)
    X[random.random(X.shape) < 0.1] = nan
    texts = random.integers(0, 3, size=(800, 2))
    encoded = np.column_stack([texts[:, 0] == 0, texts[:, 0] == 1, texts[:, 1] == 0])
    matrix = np.column_stack([X, encoded]).astype(np.float32)
    odds = np.nan_to_num(X[:, 0]) * np.nan_to_num(X[:, 1]) + texts[:, 0] + np.isnan(X[:, 2])
    bad = random.random(800) < 1 / (1 + np.exp(-odds))
    settings_ = {"objective": "binary:logistic", "max_depth": depth, "eta": 0.4, "nthread": 1, "seed": seed} | more
    booster = xgboost.train(settings_, xgboost.DMatrix(matrix, bad.astype(float)), rounds)
    design = TreeDesign(numbers, levels, (0,) * (columns + 3), medians)
    return design, Trees(bytes(booster.save_raw("ubj")))


def awkward_columns(design: TreeDesign, model: Trees, n: int = 300) -> dict[str, np.ndarray]:
    """Values at random, on and beside thresholds, missing, and huge."""
    random, trees = np.random.default_rng(1), trees_of(model)
    columns = {}
    for j, name in enumerate(design.numbers):
        cuts = thresholds_of(trees, j)
        beside = [v for cut in cuts[:: max(len(cuts) // 12, 1)].tolist() for v in near(cut)]
        pool = np.array([nan, 1e300, -1e300, 0.0, -0.0, 1e-320, *beside, *random.normal(size=20)])
        columns[name] = random.choice(pool, n)
    pool = np.array(["Owned", "Rented", "Auto", "Tent", None], dtype=object)
    return columns | {name: random.choice(pool, n) for name in dict.fromkeys(name for name, _ in design.levels)}


def by_feature(design: TreeDesign, parts: np.ndarray) -> np.ndarray:
    names = list(dict.fromkeys(design.inputs))
    return np.column_stack([parts[:, [of == name for of in design.inputs]].sum(axis=1) for name in names])


def places_of(design: TreeDesign, tables: TreeTables, columns: dict) -> np.ndarray:
    names = dict.fromkeys(design.inputs)
    return np.array([lookup.of_all(columns[n]) for n, lookup in zip(names, tables.lookups, strict=True)])


@pytest.mark.parametrize("depth", range(1, 8))
@pytest.mark.parametrize("medians", [None, (0.3, -0.2, 0.0, 1.5, 9.0, -9.0)])
def test_trees_of_any_depth_say_what_xgboost_says(depth, medians):
    design, model = grown(30, depth, medians=medians, seed=depth)
    columns = awkward_columns(design, model)
    tables = TreeTables(design, model)
    places, matrix = places_of(design, tables, columns), design.matrix(columns)
    margins = model.margin(matrix)
    assert tables.margins(places).tobytes() == margins.tobytes() and len(set(margins.tolist())) > 10
    assert [tables.margin(of_row) for of_row in places.T.tolist()] == margins.tolist()
    expected = by_feature(design, model.contributions(matrix))
    assert np.abs(tables.contributions(places) - expected).max() <= CLOSE


def said_without(tree: dict, row: np.ndarray, known: frozenset[int], node: int = 0) -> float:
    """What a tree says of a row of which only some columns are known: the others by their training weight."""
    left, right = tree["left_children"][node], tree["right_children"][node]
    condition, column = tree["split_conditions"][node], tree["split_indices"][node]
    if left == -1:
        return condition
    if column in known:
        goes_left = tree["default_left"][node] if np.isnan(row[column]) else row[column] < np.float32(condition)
        return said_without(tree, row, known, left if goes_left else right)
    weight = tree["sum_hessian"]
    return sum(said_without(tree, row, known, child) * weight[child] / weight[node] for child in (left, right))


def test_contributions_are_shapley_values_by_their_definition():
    design, model = grown(3, 4, seed=5)
    columns = awkward_columns(design, model, 25)
    tables, matrix = TreeTables(design, model), as_float32(design.matrix(columns))
    width, trees = matrix.shape[1], trees_of(model)
    expected = np.zeros(matrix.shape)
    for i, row in enumerate(matrix):
        sets = (frozenset(s) for size in range(width + 1) for s in combinations(range(width), size))
        value = {s: sum(said_without(tree, row, s) for tree in trees) for s in sets}
        for column in range(width):
            for s, without in value.items():
                if column not in s:
                    share = factorial(len(s)) * factorial(width - len(s) - 1) / factorial(width)
                    expected[i, column] += share * (value[s | {column}] - without)
    found = tables.contributions(places_of(design, tables, columns))
    assert np.abs(found - by_feature(design, expected)).max() < 1e-12


def assert_cut_is_right(threshold: float, *values: float) -> None:
    """From the cut on a float64 is where its float32 is not below the threshold."""
    (cut,) = smallest_from(np.array([threshold], dtype=np.float32))
    for value in (*values, *near(threshold), inf, -inf):
        assert (value >= cut) == bool(as_float32(np.array([value]))[0] >= np.float32(threshold)), value


@settings(max_examples=200, deadline=None)
@given(st.floats(width=32, allow_nan=False, allow_infinity=False), st.floats(allow_nan=False))
def test_a_float64_is_from_a_cut_on_where_its_float32_is_not_below_the_threshold(threshold, value):
    assert_cut_is_right(threshold, value)


@pytest.mark.parametrize("threshold", [np.finfo(np.float32).min, np.finfo(np.float32).max, 0.0, -0.0, 1e-45, -1e-45])
def test_cuts_hold_at_the_ends_of_float32(threshold):
    assert_cut_is_right(threshold)


def test_one_leaf_alone_and_columns_no_tree_splits_are_no_trouble():
    design, model = grown(5, 2, gamma=1e6)  # nothing is worth a split
    tables = TreeTables(design, model)
    columns = awkward_columns(design, model, 5)
    places = places_of(design, tables, columns)
    assert tables.margins(places).tobytes() == model.margin(design.matrix(columns)).tobytes()
    assert not tables.contributions(places).any() and tables.contributions(places).shape == (5, 8)


def test_leaves_under_too_many_columns_are_refused():
    design, model = grown(40, 12, columns=30, min_child_weight=0, gamma=0)
    with pytest.raises(TooLarge):
        TreeTables(design, model)


def test_a_model_too_large_for_tables_is_asked_itself(models, rows, monkeypatch):
    monkeypatch.setattr(compiled, "LARGEST", 100)
    for name in ("v2", "left out"):
        scorer, model = PlainScorer(models[name]), CompiledModel(models[name])
        assert "largest" in model.why_not
        for some in (rows, rows[:1], []):
            assert_same(model.score_rows(some), scorer.score_rows(some), trees=False)
        assert [model.pd_one(row) for row in rows[:5]] == scorer.score_rows(rows).pd[:5].tolist()


def test_tables_that_say_something_else_are_refused(models, monkeypatch):
    monkeypatch.setattr(compiled, "smallest_from", lambda cuts: tuple((cuts * 1.5).astype(float).tolist()))
    with pytest.raises(ArtifactError, match="tables for serving give other PDs"):
        CompiledModel(models["v2"])


# --- Derived features -------------------------------------------------------------------------------------------------

QUOTIENTS = sorted(name for name, one in FEATURES.items() if one.is_quotient)
specs = st.builds(
    Derive,
    function=st.sampled_from(QUOTIENTS),
    zero_denominator=st.none() | st.sampled_from([0.0, -1.0]),
    scale=st.sampled_from([1.0, 100.0, 1e-3]),
)
values = st.floats(allow_infinity=False) | st.sampled_from([0.0, -0.0, 1.0, 1e-320, 1e308])


@settings(max_examples=150, deadline=None)
@given(specs, values, values)
def test_a_derived_feature_of_numbers_has_the_bits_of_that_of_columns(spec, one, other):
    names = sources(spec)
    expected = derive(spec, {names[0]: np.array([one]), names[1]: np.array([other])})
    assert np.array([on_numbers(spec)(one, other)], dtype=np.float64).tobytes() == expected.tobytes() or (
        np.isnan(expected[0]) and np.isnan(on_numbers(spec)(one, other))
    )


@pytest.mark.parametrize("function", QUOTIENTS)
def test_quotients_of_the_library_need_no_arrays(function):
    assert on_numbers(Derive(function=function)).__name__ == "of_numbers"


def test_a_feature_written_for_arrays_alone_is_called_with_arrays():
    @feature
    def capped(debt, income):
        out = np.asarray(debt / income)
        out[out > 1] = 1.0
        return out

    try:
        spec = Derive(function="capped")
        function = on_numbers(spec)
        assert [function(*pair) for pair in ((3.0, 2.0), (1.0, 2.0))] == [1.0, 0.5]
        assert function.__name__ == "of_arrays" and np.isnan(function(nan, 1.0))
    finally:
        del FEATURES["capped"]


# --- Reasons ----------------------------------------------------------------------------------------------------------


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_reasons_are_chosen_as_the_model_chooses_them(draw):
    n, names = draw.draw(st.integers(0, 4)), ("a", "b", "c", "d", "e", "home")
    number = st.sampled_from([-1.0, 0.0, 0.5, 1.0, nextafter(1.0, 2), 1e308, inf, -inf, nan])
    weight = st.sampled_from([-1.0, 0.0, 0.25, 0.5, 1.0, 4e-7, 6e-7]) | st.floats(-5, 5)
    columns = {name: np.array(draw.draw(st.lists(number, min_size=n, max_size=n))) for name in names[:-1]}
    text = st.sampled_from(["Owned", None])
    columns["home"] = np.array(draw.draw(st.lists(text, min_size=n, max_size=n)), dtype=object)
    each = {"min_size": 6, "max_size": 6}
    contributions = np.array(draw.draw(st.lists(st.lists(weight, **each), min_size=n, max_size=n))).reshape(n, 6)
    directions = (*draw.draw(st.lists(st.sampled_from([-1, 0, 1]), min_size=5, max_size=5)), 0)
    with_typical = draw.draw(st.booleans())
    reasons = Reasons(
        features=names,
        baseline=tuple(draw.draw(st.lists(weight, **each))),
        texts=tuple(f"{name} is bad" for name in names),
        allowed=tuple(draw.draw(st.lists(st.booleans(), **each))),
        directions=directions if with_typical else (),
        typical=tuple(1.0 if d else None for d in directions) if with_typical else (),
    )
    found = ReasonTables(reasons, [True] * 5 + [False]).of(contributions, columns)
    assert found == reasons.of(contributions, columns)
