"""A model as tables: looked up for each application, without a call of pandas or XGBoost.

A value of a feature has a *place*: the slot of its bin for a scorecard, the interval between two thresholds for trees.
All the rest of the arithmetic is the same for every value of a place, so it is done once, when a model is compiled.
What comes out is what the model itself says: PDs to the bit, contributions of trees to the rounding of float32, in
which XGBoost adds them up.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import factorial, inf, isfinite, nan
from types import FunctionType

import numpy as np

from creditrisk.binning.bins import Bins
from creditrisk.data import features as feature_library
from creditrisk.data.features import FEATURES, derive, sources
from creditrisk.data.portfolio import Derive
from creditrisk.errors import ArtifactError
from creditrisk.modelling.design import TreeDesign, WoeDesign
from creditrisk.modelling.pd_model import Logistic, Trees
from creditrisk.modelling.scorecard import Reasons, Scorecard, scores_of
from creditrisk.serving.model import TOLERANCE, ModelData, input_arrays
from creditrisk.serving.scored import Scored

FEW = 32
"""Up to so many rows are taken apart value by value; more of them, column by column."""
CHUNK = 16
"""Rows of trees looked up at a time: what is between stays in the processor's cache."""
BITS = 8
"""Conditions that one table of trees tells apart: their pattern is a byte."""
LARGEST = 8_000_000
"""Entries of all tables of contributions, 8 bytes each. Larger models are left to XGBoost."""
REASONS_TOLERANCE = 1e-4
"""XGBoost's own contributions are sums of float32."""

# --- Places -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Numbers:
    """Places of numbers: the first one, one more at each cut from which on it begins, and some of their own."""

    cuts: tuple[float, ...]
    first: int
    missing: int
    codes: Mapping[float, int]

    def of(self, value: float | None) -> int:
        if value is None or value != value:
            return self.missing
        if self.codes and value in self.codes:
            return self.codes[value]
        return self.first + bisect_right(self.cuts, value)

    def of_all(self, values: np.ndarray) -> np.ndarray:
        """int64 (n,) of float64 (n,)."""
        places = self.first + np.searchsorted(self.cuts, values, side="right")
        for code, place in self.codes.items():
            places[values == code] = place
        places[np.isnan(values)] = self.missing
        return places


@dataclass(frozen=True)
class Levels:
    """Places of text: one for each known level, and those of missing and of unknown ones."""

    places: Mapping[str, int]
    missing: int
    unseen: int

    def of(self, value: str | None) -> int:
        if value is None or value != value:
            return self.missing
        return self.places.get(value, self.unseen)

    def of_all(self, values: np.ndarray) -> np.ndarray:
        """int64 (n,) of text (n,) with None missing."""
        return np.fromiter(map(self.of, values.tolist()), dtype=np.int64, count=len(values))


# --- Derived features -------------------------------------------------------------------------------------------------

AWKWARD = (nan, 0.0, -0.0, 1.0, -1.0, 3.7, 5e-324, 1e-300, 1e300, -1e300, 1e15, -1e15, 40.0, 0.1)
PROBES = 4_000


def _quotient_of_numbers(numerator: float, denominator: float) -> float:
    return numerator / denominator if denominator != 0 else nan


def on_numbers(spec: Derive) -> Callable[..., float]:
    """A derived feature of one row: floats in, float out, as `derive` has it for columns.

    It is the library's own function, with quotients of numbers where it has those of columns. Where that cannot be, or
    gives another bit for any awkward number, it is `derive` itself, at the price of arrays of one element.
    """
    definition = FEATURES[spec.function]
    names = sources(spec)

    def of_arrays(*values: float) -> float:
        return float(derive(spec, {name: np.array([value]) for name, value in zip(names, values, strict=True)})[0])

    function = definition.function
    quotient = {"_quotient": _quotient_of_numbers} if function.__globals__ is vars(feature_library) else {}
    rule = FunctionType(
        function.__code__, function.__globals__ | quotient, argdefs=function.__defaults__, closure=function.__closure__
    )
    scale, otherwise = spec.scale, spec.zero_denominator

    def of_numbers(*values: float) -> float:
        if otherwise is not None and values[-1] == 0:
            return otherwise
        value = rule(*values) * scale
        return value if isfinite(value) else nan

    return of_numbers if _same(of_numbers, spec) else of_arrays


def _same(function: Callable[..., float], spec: Derive) -> bool:
    names = sources(spec)
    count = len(FEATURES[spec.function].arguments)
    if len(set(names)) < count or len(AWKWARD) ** count > PROBES:
        return False
    probes = np.array(list(product(AWKWARD, repeat=count)))
    try:
        with np.errstate(all="ignore"):
            found = [function(*values) for values in probes.tolist()]
    except Exception:  # written for arrays only
        return False
    if {type(value) for value in found} - {float, int}:
        return False
    expected = derive(spec, dict(zip(names, probes.T, strict=True)))
    found = np.array(found, dtype=np.float64)
    return np.array_equal(found, expected, equal_nan=True) and np.array_equal(np.signbit(found), np.signbit(expected))


# --- A scorecard ------------------------------------------------------------------------------------------------------


class CardTables:
    """A scorecard: by slot of each variable, what it adds to the margin."""

    def __init__(self, design: WoeDesign, model: Logistic, card: Scorecard | None) -> None:
        self.lookups = [_slots(bins) for bins in design.bins]
        self.intercept = model.intercept
        coefficients = np.array(model.coefficients)
        self._parts = [bins.woe * c for bins, c in zip(design.bins, coefficients, strict=True)]
        self._parts_of_one = [parts.tolist() for parts in self._parts]
        self._card = card
        self._points = [] if card is None else [np.array(points, dtype=np.int64) for points in card.points]

    def margin(self, places: Sequence[int]) -> float:
        """Log-odds of bad of one row from its slots (variables,)."""
        margin = self.intercept
        for parts, place in zip(self._parts_of_one, places, strict=True):
            margin += parts[place]
        return margin

    def margins(self, places: np.ndarray) -> np.ndarray:
        """Log-odds of bad, float64 (n,), of slots (variables, n); added in the order of the model."""
        margin = np.full(places.shape[1], self.intercept)
        for parts, of_rows in zip(self._parts, places, strict=True):
            margin += parts[of_rows]
        return margin

    def contributions(self, places: np.ndarray) -> np.ndarray:
        """What each variable adds to the margin, float64 (n, variables)."""
        return np.column_stack([parts[of_rows] for parts, of_rows in zip(self._parts, places, strict=True)])

    def points(self, places: np.ndarray) -> np.ndarray | None:
        """Points of the card, int64 (n,)."""
        if self._card is None:
            return None
        total = np.full(places.shape[1], self._card.base, dtype=np.int64)
        for points, of_rows in zip(self._points, places, strict=True):
            total += points[of_rows]
        return total


def _slots(bins: Bins) -> Numbers | Levels:
    """Where `Bins.assign` puts a value."""
    if bins.kind == "category":
        places = {level: slot for slot, group in enumerate(bins.groups) for level in group}
        return Levels(places, bins.missing_slot, bins.n_slots - 1)
    codes = {code: bins.n_regular + i for i, code in enumerate(bins.special)}
    return Numbers(bins.cuts, 0, bins.missing_slot, codes)


# --- Trees ------------------------------------------------------------------------------------------------------------


class TooLarge(Exception):
    """Trees whose tables would not fit, or that XGBoost splits in ways that are not known here."""


@dataclass(frozen=True)
class Group:
    """A part of a tree that fits a table: its leaves, and the conditions on which it depends.

    A condition is (matrix column, places for which it holds): bool, the place of missing last. Those on the way from
    the root to the part come joined by column.
    """

    conditions: list[tuple[int, np.ndarray]]
    leaves: list[Leaf]


@dataclass(frozen=True)
class Leaf:
    """A leaf: its value; by matrix column on its path, the places that stay on it, and its share of training weight."""

    value: float
    stays: dict[int, np.ndarray]
    shares: dict[int, float]


class TreeTables:
    """XGBoost trees as tables, which hold exact path-dependent TreeSHAP contributions besides the leaves.

    A pattern of which conditions of a part of a tree hold decides its leaf, and the contributions of its features too
    (a contribution weighs what the tree would say with and without knowledge of each feature). The place of a value
    says which conditions on its feature hold, so the pattern of a row is a sum of one number for each feature.
    Leaves are added as XGBoost does it, tree by tree in float32.
    """

    def __init__(self, design: TreeDesign, model: Trees) -> None:
        """Raises TooLarge."""
        trees, base = _read(model.booster)
        cuts = [_thresholds(trees, column) for column in range(len(design.inputs))]
        groups = [group for tree in trees for group in _groups(tree, cuts)]
        names = list(dict.fromkeys(design.inputs))
        feature_of = [names.index(name) for name in design.inputs]
        self.n_features = len(names)
        sizes = np.array([1] + [1 << len(group.conditions) for group in groups], dtype=np.int64)
        touched = [sorted({feature_of[column] for leaf in group.leaves for column in leaf.stays}) for group in groups]
        if int(sum(size * len(found) for size, found in zip(sizes[1:], touched, strict=True))) > LARGEST:
            raise TooLarge("tables of contributions beyond the largest")
        self._starts = np.cumsum(sizes) - sizes
        self._leaf = np.zeros(int(sizes.sum()), dtype=np.float32)
        self._leaf[0] = base  # as a first tree, which has one pattern
        self._tabulate(groups, touched, feature_of, sizes)
        self.lookups, self._patterns = _patterns(design, cuts, groups)

    def _tabulate(
        self, groups: list[Group], touched: list[list[int]], feature_of: list[int], sizes: np.ndarray
    ) -> None:
        """Fill leaves and contributions by pattern. Tables are ordered by feature, so that each is one sum."""
        order = sorted((feature, g) for g, found in enumerate(touched) for feature in found)
        begins, end = {}, 0
        for feature, g in order:
            begins[feature, g] = end
            end += int(sizes[g + 1])
        self._contribution = np.zeros(end)
        self._group_of = np.array([g + 1 for _, g in order], dtype=np.intp)
        self._begins = np.array([begins[pair] for pair in order], dtype=np.intp)
        known = [feature for feature, _ in order]
        self._features = np.array(sorted(set(known)), dtype=np.intp)
        self._first = np.array([known.index(feature) for feature in self._features], dtype=np.intp)
        of_leaf = [(g, leaf) for g, group in enumerate(groups) for leaf in group.leaves]
        holds = [_patterns_that_hold(group) for group in groups]
        weights = _contributions([leaf for _, leaf in of_leaf])
        for (g, leaf), weight in zip(of_leaf, weights, strict=True):
            size, columns = int(sizes[g + 1]), list(leaf.stays)
            stays = np.array([holds[g](column, leaf.stays[column]) for column in columns]).reshape(len(columns), size)
            self._leaf[self._starts[g + 1] :][:size][stays.all(axis=0)] = leaf.value
            pattern = (1 << np.arange(len(columns))) @ stays if columns else np.zeros(size, dtype=np.int64)
            for i, column in enumerate(columns):
                begin = begins[feature_of[column], g]
                self._contribution[begin : begin + size] += weight[pattern, i]

    def _pattern(self, places: np.ndarray | Sequence) -> np.ndarray:
        """The pattern of each group, uint8 (n, groups) of places (features, n), without n of (features,)."""
        return np.add.reduce(self._patterns.take(places, axis=0), axis=0, dtype=np.uint8)

    def margin(self, places: Sequence[int]) -> float:
        """Log-odds of bad of one row from its places (features,)."""
        leaves = self._leaf.take(self._starts + self._pattern(places))
        return float(np.add.accumulate(leaves)[-1])

    def margins(self, places: np.ndarray) -> np.ndarray:
        """Log-odds of bad, float64 (n,), of places (features, n)."""
        out = np.empty(places.shape[1])
        for rows in _chunks(places):
            leaves = self._leaf.take(self._starts + self._pattern(places[:, rows]))
            out[rows] = np.add.accumulate(leaves, axis=1)[:, -1]
        return out

    def contributions(self, places: np.ndarray) -> np.ndarray:
        """What each feature adds to the margin, float64 (n, features)."""
        out = np.zeros((places.shape[1], self.n_features))
        for rows in _chunks(places) if len(self._features) else ():
            pattern = self._pattern(places[:, rows])
            parts = self._contribution.take(self._begins + pattern.take(self._group_of, axis=1))
            out[rows, self._features] = np.add.reduceat(parts, self._first, axis=1)
        return out

    def points(self, places: np.ndarray) -> None:
        """Trees have no points."""
        return None


def _chunks(places: np.ndarray) -> Iterator[slice]:
    for start in range(0, places.shape[1], CHUNK):
        yield slice(start, start + CHUNK)


def _read(booster: bytes) -> tuple[list[dict], np.float32]:
    """The trees as XGBoost's JSON has them, and the margin that all start from. Raises TooLarge for other models."""
    import xgboost  # needed by tree models only

    own = xgboost.Booster({"nthread": 1})
    own.load_model(bytearray(booster))
    learner = json.loads(own.save_raw("json"))["learner"]
    trees = learner["gradient_booster"].get("model", {}).get("trees", [])
    if learner["gradient_booster"]["name"] != "gbtree" or learner["learner_model_param"]["num_target"] != "1":
        raise TooLarge("not one output of plain trees")
    if not trees or any(any(tree["split_type"]) for tree in trees):
        raise TooLarge("no trees, or splits by category")
    first = json.loads(own[:1].save_raw("json"))
    (tree,) = first["learner"]["gradient_booster"]["model"]["trees"]
    leaves = [i for i, child in enumerate(tree["left_children"]) if child == -1]
    for i in leaves:
        tree["split_conditions"][i] = 0.0
    own.load_model(bytearray(json.dumps(first).encode()))
    nothing = np.full((1, int(learner["learner_model_param"]["num_feature"])), np.nan, dtype=np.float32)
    return trees, own.inplace_predict(nothing, predict_type="margin")[0]


def _thresholds(trees: list[dict], column: int) -> np.ndarray:
    """The thresholds of a matrix column, float32, rising."""
    found = [
        tree["split_conditions"][i]
        for tree in trees
        for i, split in enumerate(tree["split_indices"])
        if split == column and tree["left_children"][i] != -1
    ]
    return np.unique(np.array(found, dtype=np.float32))


def smallest_from(thresholds: np.ndarray) -> tuple[float, ...]:
    """For each float32 threshold the smallest float64 that is not below it once it is rounded to float32.

    That is half way to the next smaller float32. Half way itself is rounded to the one of the two whose last bit is 0.
    """
    lowest = np.finfo(np.float32).min  # below it there is nothing: such numbers are rounded to it
    below = np.nextafter(np.maximum(thresholds, np.nextafter(lowest, np.float32(0))), lowest).astype(np.float64)
    half = below + (thresholds.astype(np.float64) - below) / 2
    odd = thresholds.view(np.uint32) & 1 == 1
    return tuple(np.where(thresholds == lowest, -inf, np.where(odd, np.nextafter(half, inf), half)).tolist())


def _groups(tree: dict, cuts: list[np.ndarray]) -> list[Group]:
    """Parts of a tree with at most BITS conditions each, as large as they can be, in the order of its leaves."""
    left, right, split = tree["left_children"], tree["right_children"], tree["split_indices"]
    weight = tree["sum_hessian"]

    def holds(node: int) -> np.ndarray:
        """Places of the node's column that go left."""
        own = cuts[split[node]]
        place = np.searchsorted(own, np.float32(tree["split_conditions"][node]))
        return np.append(np.arange(len(own) + 1) <= place, bool(tree["default_left"][node]))

    def below(node: int, stays: dict, shares: dict) -> Iterator[tuple[int, dict, dict]]:
        if not weight[node] > 0:
            raise TooLarge("a node without training weight")
        goes_left = holds(node)
        for child, goes in ((left[node], goes_left), (right[node], ~goes_left)):
            column = split[node]
            before = stays.get(column)
            own = {column: goes if before is None else before & goes}
            yield child, stays | own, shares | {column: shares.get(column, 1.0) * weight[child] / weight[node]}

    def part(node: int, stays: dict, shares: dict) -> tuple[list[tuple[int, np.ndarray]], list[Leaf]]:
        """Splits and leaves from a node on."""
        if left[node] == -1:
            return [], [Leaf(tree["split_conditions"][node], stays, shares)]
        splits, leaves = [(split[node], holds(node))], []
        for child in below(node, stays, shares):
            more, found = part(*child)
            splits, leaves = splits + more, leaves + found
        return splits, leaves

    def grouped(node: int, stays: dict, shares: dict) -> Iterator[Group]:
        splits, leaves = part(node, stays, shares)
        conditions = list({(column, places.tobytes()): (column, places) for column, places in splits}.values())
        known = {(column, places.tobytes()) for column, places in conditions}
        conditions += [(c, places) for c, places in stays.items() if (c, places.tobytes()) not in known]
        if len(conditions) <= BITS:
            yield Group(conditions, leaves)
        elif left[node] == -1:
            raise TooLarge(f"a leaf under more than {BITS} columns")
        else:
            for child in below(node, stays, shares):
                yield from grouped(*child)

    return list(grouped(0, {}, {}))


def _patterns_that_hold(group: Group) -> Callable[[int, np.ndarray], np.ndarray]:
    """For places of a column that are a union of what the group tells apart: patterns with them, bool (patterns,).

    Patterns that no value makes, such as below 3 but not below 5, count as any.
    """
    patterns = np.arange(1 << len(group.conditions))
    by_column: dict[int, dict[int, np.ndarray]] = {}
    for bit, (column, places) in enumerate(group.conditions):
        by_column.setdefault(column, {})[bit] = places

    def of(column: int, stays: np.ndarray) -> np.ndarray:
        bits = by_column[column]
        mask = sum(1 << bit for bit in bits)
        codes = sum((places.astype(np.int64) << bit for bit, places in bits.items()), np.zeros(len(stays), np.int64))
        return np.isin(patterns & mask, codes[stays])

    return of


def _contributions(leaves: list[Leaf]) -> list[np.ndarray]:
    """TreeSHAP of each leaf, float64 (2 ** d, d): by pattern of which of its d columns stay, for each of them.

    Of a set of known columns the leaf gets its value times the shares of the unknown ones, and nothing where a known
    one leaves: v(S). A contribution is the Shapley value, the mean of v(S + column) - v(S) over the sets S of other
    columns, of each size alike. Sums over sets of one size are coefficients of a polynomial.
    """
    found: list[np.ndarray] = [np.zeros((1, 0))] * len(leaves)
    by_depth: dict[int, list[int]] = {}
    for i, leaf in enumerate(leaves):
        by_depth.setdefault(len(leaf.stays), []).append(i)
    for d, all_of_them in by_depth.items():
        for start in range(0, len(all_of_them), 512) if d else ():
            which = all_of_them[start : start + 512]
            share = np.array([list(leaves[i].shares.values()) for i in which])[:, None, :]  # leaves, patterns, columns
            stays = (np.arange(1 << d)[:, None] >> np.arange(d) & 1).astype(np.float64)[None]
            value = np.array([leaves[i].value for i in which])[:, None]
            weights = [factorial(k) * factorial(d - 1 - k) / factorial(d) for k in range(d)]
            out = np.empty((len(which), 1 << d, d))
            for column in range(d):
                by_size = [np.ones((len(which), 1 << d))]
                for other in range(d):
                    if other != column:
                        unknown, known = share[:, :, other], stays[:, :, other]
                        without = [size * unknown for size in by_size] + [0.0]
                        by_size = [a + b for a, b in zip(without, [0.0] + [s * known for s in by_size], strict=True)]
                mean = sum(weight * size for weight, size in zip(weights, by_size, strict=True))
                out[:, :, column] = value * (stays[:, :, column] - share[:, :, column]) * mean
            for i, table in zip(which, out, strict=True):
                found[i] = table
    return found


def _patterns(design: TreeDesign, cuts: list[np.ndarray], groups: list[Group]) -> tuple[list, np.ndarray]:
    """Lookups by feature, and by place what it adds to the pattern of each group, uint8 (places, 1 + groups)."""
    of_column = [np.zeros((len(own) + 2, 1 + len(groups)), dtype=np.uint8) for own in cuts]
    for g, group in enumerate(groups):
        for bit, (column, places) in enumerate(group.conditions):
            of_column[column][:, g + 1] |= places.astype(np.uint8) << bit
    lookups: list[Numbers | Levels] = []
    tables, end = [], 0
    n = len(design.numbers)
    for j in range(n):
        edges = smallest_from(cuts[j])
        missing = len(edges) + 1 if design.medians is None else bisect_right(edges, design.medians[j])
        lookups.append(Numbers(edges, end, end + missing, {}))
        tables.append(of_column[j])
        end += len(tables[-1])
    for name in dict.fromkeys(name for name, _ in design.levels):
        columns = {level: n + i for i, (of, level) in enumerate(design.levels) if of == name}
        rows = []
        for own in (*columns.values(), None):  # in the end that of any other level, which has no column: all are 0
            place = {j: np.searchsorted(cuts[j], float(j == own), side="right") for j in columns.values()}
            rows.append(np.sum([of_column[j][place[j]] for j in place], axis=0, dtype=np.uint8))
        lookups.append(
            Levels({level: end + i for i, level in enumerate(columns)}, end + len(columns), end + len(columns))
        )
        tables.append(np.array(rows, dtype=np.uint8))
        end += len(rows)
    return lookups, np.concatenate(tables)


# --- What people read -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Bands:
    """Names of bands of numbers, the bounds between them rising."""

    bounds: np.ndarray
    names: np.ndarray
    side: str

    def of(self, values: np.ndarray) -> np.ndarray:
        return self.names[np.searchsorted(self.bounds, values, side=self.side)]


class ReasonTables:
    """`Reasons.of` with what does not depend on the row done before."""

    def __init__(self, reasons: Reasons, is_number: Sequence[bool]) -> None:
        self._reasons = reasons
        self._baseline = np.array(reasons.baseline)
        self._is_number = is_number
        typical = reasons.typical or (None,) * len(reasons.features)
        directions = reasons.directions or (0,) * len(reasons.features)
        # A value may be a reason from low to high: on the riskier side of the typical one, nowhere if not allowed.
        low = [t if t is not None and d > 0 else -inf for t, d in zip(typical, directions, strict=True)]
        high = [t if t is not None and d < 0 else inf for t, d in zip(typical, directions, strict=True)]
        self._low = np.where(reasons.allowed, low, inf)
        self._high = np.where(reasons.allowed, high, -inf)

    def of(self, contributions: np.ndarray, columns: Mapping[str, np.ndarray]) -> list[list[dict]]:
        """Reasons of each row from contributions (n, features) and the features' values (n,)."""
        features, texts = self._reasons.features, self._reasons.texts
        values = np.empty(contributions.shape)
        for j, (name, is_number) in enumerate(zip(features, self._is_number, strict=True)):
            values[:, j] = columns[name] if is_number else [nan if v is None or v != v else 0.0 for v in columns[name]]
        may = (values >= self._low) & (values <= self._high)
        above = np.where(may, contributions - self._baseline, -inf)
        order = (-above).argsort(axis=1, kind="stable")[:, : self._reasons.most]
        heaviest = above[np.arange(len(above))[:, None], order]
        return [
            [
                {"feature": features[j], "text": texts[j], "weight": weight}
                for j, value in zip(of_row, values, strict=True)
                if value > 0 and (weight := round(value, 6)) > 0
            ]
            for of_row, values in zip(order.tolist(), heaviest.tolist(), strict=True)
        ]


# --- The model --------------------------------------------------------------------------------------------------------


class CompiledModel:
    """One model, ready to score applications one at a time or some at a time; `Scorer` says the same, slower.

    `why_not` says why a model has no tables and XGBoost is asked instead; it is empty for one that has.
    """

    def __init__(self, data: ModelData) -> None:
        """Compile and verify. Raises ArtifactError when tables and model do not say the same."""
        book, model = data.portfolio, data.model
        self.data, self.why_not = data, ""
        self._tables: CardTables | TreeTables | None = None
        try:
            self._tables = self._compiled()
        except TooLarge as error:
            self.why_not = str(error)
        self._derived = {
            name: (on_numbers(column.derive), sources(column.derive))
            for name, column in book.features.items()
            if name in data.features
        }
        own = {name for name in data.features if name not in self._derived}
        read = own.union(*(names for _, names in self._derived.values())) - self._derived.keys()
        self._left_out = () if model.left_out is None else model.left_out.names
        self._inputs = [name for name in book.inputs if name in read | set(self._left_out)]
        self._is_number = {name: book.columns[name].is_numeric for name in (*self._inputs, *data.features)}
        self._of_one = [] if self._tables is None else list(zip(data.features, self._tables.lookups, strict=True))
        scale = book.scale
        self._ratings = Bands(
            np.array([rating.below for rating in scale.ratings[:-1]]),
            np.array([rating.name for rating in scale.ratings], dtype=object),
            "right",
        )
        self._grades = None
        if book.grades:
            bounds = np.array([grade.max_pd for grade in book.grades[:-1]])
            self._grades = Bands(bounds, np.array([grade.name for grade in book.grades], dtype=object), "left")
        self._reasons = ReasonTables(data.reasons, [self._is_number[name] for name in data.reasons.features])
        self._verify()

    def _compiled(self) -> CardTables | TreeTables:
        match self.data.model.design, self.data.model.model:
            case WoeDesign() as design, Logistic() as model:
                return CardTables(design, model, self.data.card)
            case TreeDesign() as design, Trees() as model:
                return TreeTables(design, model)
        raise TooLarge("neither a scorecard nor trees")

    def _verify(self) -> None:
        """Hold tables against the model on its test vectors."""
        if self._tables is None:
            return
        vectors, model = self.data.test_vectors, self.data.model
        names, n = list(vectors["inputs"]), len(vectors["pd"])
        rows = [{name: vectors["inputs"][name][i] for name in names} for i in range(n)]
        columns = self.data.columns(input_arrays(vectors["inputs"], self.data.portfolio))
        allowed = TOLERANCE["logistic" if isinstance(model.model, Logistic) else "xgboost"]
        for what, found, expected, most in (
            ("PDs", [self.pd_one(row) for row in rows], model.pd(columns), allowed),
            ("PDs of rows at once", self.score_rows(rows).pd, model.pd(columns), allowed),
            ("contributions", self.contributions(columns), model.contributions(columns), REASONS_TOLERANCE),
        ):
            away = float(np.abs(np.asarray(found) - expected).max(initial=0.0))
            if not away <= most:
                raise ArtifactError(
                    f"model {self.data.version}: tables for serving give other {what} than the model itself, by up to "
                    f"{away:.2g} (allowed {most:g}); this is a fault of this software, please report it with the model"
                )

    # --- One row ------------------------------------------------------------------------------------------------------

    def pd_one(self, row: Mapping[str, float | str | None]) -> float:
        """The PD of one checked application by column name; inputs left out are missing."""
        if self._tables is None:
            return float(self.pd(self._columns([row]))[0])
        if self._derived:
            row = {**row}
            for name, (function, names) in self._derived.items():
                row[name] = function(*[nan if (v := row.get(source)) is None else v for source in names])
        margin = self._tables.margin([lookup.of(row.get(name)) for name, lookup in self._of_one])
        if self._left_out:
            lacking = sum((v := row.get(name)) is None or v != v for name in self._left_out)
            margin = self._moved(margin, lacking / len(self._left_out))
        return float(self.data.model.calibration.pd(margin))

    # --- Some rows ----------------------------------------------------------------------------------------------------

    def score_rows(self, rows: Sequence[Mapping[str, float | str | None]]) -> Scored:
        """Score checked applications given as mappings by column name; inputs left out are missing."""
        if self._tables is None or len(rows) > FEW:
            return self._scored(columns := self._columns(rows), self._places(columns))
        lists = {name: [row.get(name) for row in rows] for name in self._inputs}
        for name, (function, names) in self._derived.items():
            values = zip(*([nan if v is None else v for v in lists[source]] for source in names), strict=True)
            lists[name] = [function(*each) for each in values]
        places = np.array([[lookup.of(v) for v in lists[name]] for name, lookup in self._of_one], dtype=np.intp)
        kinds = self._is_number
        columns = {n: np.array(values, dtype=np.float64 if kinds[n] else object) for n, values in lists.items()}
        return self._scored(columns, places.reshape(len(self._of_one), len(rows)))

    def score(self, inputs: Mapping[str, np.ndarray]) -> Scored:
        """Score checked inputs: column name -> (n,), numbers float64 with NaN missing, text objects with None."""
        columns = self.data.columns(dict(inputs))
        return self._scored(columns, self._places(columns))

    def pd(self, columns: Mapping[str, np.ndarray]) -> np.ndarray:
        """PDs, float64 (n,), of columns with derived features."""
        return self.data.model.calibration.pd(self._margins(columns, self._places(columns), self._lacking(columns)))

    def contributions(self, columns: Mapping[str, np.ndarray]) -> np.ndarray:
        """What each feature adds to the calibrated log-odds of bad, float64 (n, features)."""
        return self._contributions(columns, self._places(columns), self._lacking(columns))

    def _columns(self, rows: Sequence[Mapping]) -> dict[str, np.ndarray]:
        lists = {name: [row.get(name) for row in rows] for name in self._inputs}
        return self.data.columns(input_arrays(lists, self.data.portfolio))

    def _places(self, columns: Mapping[str, np.ndarray]) -> np.ndarray | None:
        if self._tables is None:
            return None
        return np.array([lookup.of_all(columns[name]) for name, lookup in self._of_one], dtype=np.intp)

    def _scored(self, columns: Mapping[str, np.ndarray], places: np.ndarray | None) -> Scored:
        data = self.data
        features = {name: columns[name] for name in data.features}
        lacking = self._lacking(columns)
        pds = data.model.calibration.pd(self._margins(columns, places, lacking))
        scores = scores_of(pds, data.portfolio.scale)
        return Scored(
            pd=pds,
            score=scores,
            rating=self._ratings.of(scores),
            grade=None if self._grades is None else self._grades.of(pds),
            points=None if places is None else self._tables.points(places),
            reasons=self._reasons.of(self._contributions(columns, places, lacking), features),
            features=features,
        )

    def _margins(self, columns: Mapping[str, np.ndarray], places: np.ndarray | None, lacking) -> np.ndarray:
        if places is None:
            return self.data.model.margin(columns)
        margins = self._tables.margins(places)
        return margins if lacking is None else self._moved(margins, lacking)

    def _contributions(self, columns: Mapping[str, np.ndarray], places: np.ndarray | None, lacking) -> np.ndarray:
        if places is None:
            return self.data.model.contributions(columns)
        parts = self.data.model.calibration.slope * self._tables.contributions(places)
        return parts if lacking is None else parts * self._slopes(lacking)[:, None]

    # --- Inputs left out: `LeftOut` says what this is -----------------------------------------------------------------

    def _lacking(self, columns: Mapping[str, np.ndarray]) -> np.ndarray | None:
        """The share of the model's optional inputs that each row lacks; None where it does not matter."""
        return self.data.model.left_out.share(columns) if self._left_out else None

    def _slopes(self, share):
        return 1 + share * (self.data.model.left_out.slope - 1)

    def _moved(self, margin, share):
        return self._slopes(share) * margin + share * self.data.model.left_out.intercept
