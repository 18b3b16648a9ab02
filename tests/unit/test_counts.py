"""Counts by pre-bin add up: chunks, partitions and months give the same bins as all rows at once."""

from __future__ import annotations

import itertools
import json
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from creditrisk.binning.bins import Bins
from creditrisk.binning.counts import Counts, Ordered, partial_counts, pre_bin_edges
from creditrisk.binning.fit import BinningWarning, fit_bins, from_counts
from creditrisk.binning.search import TRENDS, Limits
from creditrisk.errors import BinningError

samples = st.lists(st.integers(-40, 40) | st.sampled_from([0, 0, 7, 7, 7, 1000]), min_size=1, max_size=300)


# --- Pre-bins ---------------------------------------------------------------------------------------------------------


@settings(max_examples=150, deadline=None)
@given(samples, st.integers(2, 20))
def test_pre_bins_never_split_ties_and_heavy_values_keep_their_own(sample, limit):
    values = np.array(sample, dtype=np.float64) / 4
    edges = pre_bin_edges(values, limit)
    assert (np.diff(edges) > 0).all()
    assert set(edges) <= set(values) - {values.min()}  # an edge is a value, so equal values stay together
    slots = np.searchsorted(edges, values, side="right")
    assert set(slots) == set(range(len(edges) + 1))  # and no pre-bin is empty
    distinct, counts = np.unique(values, return_counts=True)
    if len(distinct) <= limit:
        assert edges == tuple(distinct[1:])
    else:
        assert len(edges) < 2 * limit
        for value in distinct[counts > len(values) / limit]:
            assert set(values[slots == slots[values == value][0]]) == {value}


def test_pre_bins_of_spread_values_hold_about_equal_counts():
    values = np.random.default_rng(1).lognormal(10, 2, 10_000)
    counts = np.bincount(np.searchsorted(pre_bin_edges(values), values, side="right"))
    assert len(counts) == 64 and counts.min() >= 150 and counts.max() <= 165


def test_a_value_that_most_rows_hold_leaves_the_other_pre_bins_to_the_rest():
    draw = np.random.default_rng(2)
    values = np.where(draw.random(10_000) < 0.94, 0, draw.lognormal(0, 1, 10_000))
    edges = pre_bin_edges(values, 64)
    counts = np.bincount(np.searchsorted(edges, values, side="right"))
    assert counts[0] == (values == 0).sum() and len(counts) > 50 and counts[1:].max() < 30


def test_missing_codes_and_infinite_values_are_no_edges():
    values = np.array([np.nan, 1, 2, 3, -999, np.inf, -np.inf, 2, 1e9, np.nan])
    assert pre_bin_edges(values, special=(-999, 1e9)) in ((1, 2, 3), (2, 3))
    assert np.isfinite(pre_bin_edges(np.append(values, np.arange(500.0)), 10)).all()
    assert pre_bin_edges(np.array([])) == pre_bin_edges(np.array([np.nan])) == pre_bin_edges(np.array([5.0])) == ()


# --- Counting ---------------------------------------------------------------------------------------------------------


def simply(values, bad, edges, special, weight) -> tuple[list[float], list[float]]:
    """Goods and bads by pre-bin, code and missing, row by row."""
    slots = {"goods": [0.0] * (len(edges) + 2 + len(special)), "bads": [0.0] * (len(edges) + 2 + len(special))}
    for value, is_bad, w in zip(values, bad, weight, strict=True):
        if np.isnan(value):
            slot = -1
        elif value in special:
            slot = len(edges) + 1 + special.index(value)
        else:
            slot = sum(value >= edge for edge in edges)
        slots["bads" if is_bad else "goods"][slot] += w
    return slots["goods"], slots["bads"]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from([-np.inf, -9.0, -1, 0, 0, 2.5, 3, 4, 9, np.inf, np.nan]), st.booleans(),
                  st.integers(0, 8)),
        min_size=1, max_size=60,
    ),
    st.lists(st.sampled_from([-1.0, 0.0, 2.0, 2.5, 3.5, 9.0, 50.0]), unique=True).map(lambda x: tuple(sorted(x))),
    st.sampled_from([(), (-9.0,), (3.0, -9.0), (77.0,)]),
)  # fmt: skip
def test_rows_are_counted_where_their_values_lie(rows, edges, special):
    values, bad, weight = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    counts = partial_counts("x", values, bad, edges=edges, special=special)
    assert [list(counts.goods), list(counts.bads)] == list(simply(values, bad, edges, special, np.ones(len(bad))))
    if weight.any():
        weighed = partial_counts("x", values, bad, edges=edges, special=special, weight=weight / 8)
        assert [list(weighed.goods), list(weighed.bads)] == list(simply(values, bad, edges, special, weight / 8))


def test_what_rounding_leaves_of_a_difference_of_weights_is_nothing():
    for seed in range(40):
        draw = np.random.default_rng(seed)
        values, weight = draw.integers(0, 6, 300).astype(float), draw.random(300) * 3
        values[:60:2], values[1:60:2] = np.nan, -9
        bad = np.where(values < 3, draw.integers(0, 2, 300), 1)
        bad[np.isnan(values)] = 1
        counts = partial_counts("x", values, bad, edges=(1, 3, 4, 5), special=(-9,), weight=weight)
        slots = np.array(counts.goods)
        assert slots[[2, 3, 4, 6]].tolist() == [0, 0, 0, 0], slots
        opposite = partial_counts("x", values, 1 - bad, edges=(1, 3, 4, 5), special=(-9,), weight=weight)
        assert np.array(opposite.bads)[[2, 3, 4, 6]].tolist() == [0, 0, 0, 0]


# --- Adding up --------------------------------------------------------------------------------------------------------


def chunks(rows: int, count: int = 10) -> list[slice]:
    ends = np.linspace(0, rows, count + 1).astype(int)
    return [slice(a, b) for a, b in itertools.pairwise(ends)]


def numbers(seed: int, rows: int = 2_000) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    values = draw.normal(size=rows) if seed % 2 else np.where(draw.random(rows) < 0.7, 0, draw.integers(0, 99, rows))
    bad = (draw.random(rows) < 0.1 + 0.4 * (np.argsort(np.argsort(values)) / rows)).astype(int)
    values = values.astype(float)
    values[draw.random(rows) < 0.07], values[draw.random(rows) < 0.07] = np.nan, -999
    return values, bad


def quietly(call, *args, **options) -> Bins:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BinningWarning)
        return call(*args, **options)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("weighted", [False, True])
def test_ten_chunks_of_numbers_give_the_bins_of_the_whole(seed, weighted):
    values, bad = numbers(seed)
    weight = np.random.default_rng(seed).integers(0, 9, len(bad)) / 8 if weighted else None
    edges = pre_bin_edges(values if weight is None else np.repeat(values, (weight * 8).astype(int)), special=(-999,))
    parts = []
    for rows in chunks(len(bad)):
        part = None if weight is None else weight[rows]
        parts.append(partial_counts("x", values[rows], bad[rows], edges=edges, special=(-999,), weight=part).to_dict())
    parts = [Counts.from_dict(json.loads(json.dumps(part, allow_nan=False))) for part in parts]
    total = sum(parts)
    assert total == partial_counts("x", values, bad, edges=edges, special=(-999,), weight=weight)
    for trend, limits in itertools.product(TRENDS, (Limits(), Limits(max_bins=3, min_share=0.1), Limits(min_bads=60))):
        whole = quietly(
            fit_bins, "x", values, bad, special=(-999,), trend=trend, limits=limits, weight=weight, refine=False
        )
        assert quietly(from_counts, total, trend=trend, limits=limits) == whole
        assert sum(whole.goods) + sum(whole.bads) == (len(bad) if weight is None else weight.sum())


def test_ten_chunks_of_text_with_different_levels_give_the_bins_of_the_whole():
    draw = np.random.default_rng(3)
    place = np.arange(4_000) // 400  # each chunk has levels that no other has
    values = np.array([f"level {i}" for i in draw.integers(0, 8, 4_000)], dtype=object)
    own = draw.random(4_000) < 0.2
    values[own] = [f"of chunk {i}, {k}" for i, k in zip(place[own], draw.integers(0, 5, own.sum()), strict=True)]
    bad = (draw.random(4_000) < np.array([len(v) % 7 for v in values]) / 10).astype(int)
    values[draw.random(4_000) < 0.05] = None
    values[:400] = None  # one chunk has no level at all
    parts = [partial_counts("x", values[rows], bad[rows]) for rows in chunks(4_000)]
    assert len({part.levels for part in parts}) == 10 and parts[0].levels == ()
    for some in (parts, parts[::-1], [Counts.from_dict(json.loads(json.dumps(part.to_dict()))) for part in parts]):
        total = sum(some)
        assert total == partial_counts("x", values, bad) == partial_counts("x", pd.Categorical(values), bad)
        for limits in (Limits(), Limits(rare_rows=0), Limits(max_bins=3, rare_rows=100)):
            assert from_counts(total, limits=limits) == fit_bins("x", values, bad, limits=limits)


def test_months_of_categories_that_do_not_occur_count_like_months_without_them():
    values = pd.Categorical(["a", "b", "a", "a"], categories=["z", "b", "a", "unused"])
    bad = np.array([0, 1, 1, 0])
    assert partial_counts("x", values, bad) == partial_counts("x", np.array(values, dtype=object), bad)
    assert partial_counts("x", values, bad).levels == ("a", "b")
    some = partial_counts("x", values, bad, weight=np.array([1, 0, 1, 1]))
    assert some.levels == ("a",) and some.totals == (2, 1)


def test_counts_of_months_need_not_hold_both_classes():
    values, bad = np.array([1.0, 2.0, 3.0, np.nan]), np.zeros(4)
    one, other = (partial_counts("x", values, y, edges=(2.0, 3.0)) for y in (bad, 1 - bad))
    assert (one + other).totals == (4, 4)
    with pytest.raises(BinningError, match="'x': every row is good; both classes are needed"):
        from_counts(one)
    with pytest.raises(BinningError, match="'x': every row is bad; both classes are needed"):
        from_counts(other)


@pytest.mark.parametrize(
    "other, what",
    [
        ({"name": "y"}, "the name differ"),
        ({"edges": (1.0, 3.0)}, "the edges differ"),
        ({"special": (-8.0,)}, "the special codes differ"),
    ],
)
def test_counts_of_other_pre_bins_cannot_be_added(other, what):
    values, bad = numbers(1, 50)
    same = {"name": "x", "edges": (1.0, 2.0), "special": (-999.0,)}
    one, two = (
        partial_counts(kind["name"], values, bad, edges=kind["edges"], special=kind["special"])
        for kind in (same, same | other)
    )
    with pytest.raises(BinningError, match=what):
        one + two
    with pytest.raises(BinningError, match="the kind differ"):
        one + partial_counts("x", np.array(["a"] * 50, dtype=object), bad)


def test_counts_of_the_wrong_number_are_refused():
    with pytest.raises(BinningError, match="counts of 'x': 2 numbers for 3 pre-bins"):
        Counts("x", "numeric", (1.0, 2.0), (1.0, 2.0), edges=(5.0,))


@pytest.mark.parametrize("edges", [(3.0, 1.0), (1.0, 1.0), (1.0, np.nan), (1.0, np.inf)])
def test_edges_out_of_order_or_not_numbers_are_refused(edges):
    with pytest.raises(BinningError, match="'x'.*edge"):
        partial_counts("x", np.arange(9.0), np.arange(9) % 2, edges=edges)


def test_edges_and_codes_of_numpy_are_plain_numbers_in_json():
    counts = partial_counts("x", np.arange(9.0), np.arange(9) % 2, edges=tuple(np.arange(2, 5)), special=np.arange(2))
    assert Counts.from_dict(json.loads(json.dumps(counts.to_dict()))) == counts
    assert counts.edges == (2.0, 3.0, 4.0) and counts.special == (0.0, 1.0)


@pytest.mark.parametrize("values", [np.arange(3.0), np.array(list("abc"), dtype=object)])
def test_a_chunk_with_a_target_that_is_not_0_or_1_is_refused(values):
    for bad, message in (
        ([0, 2, 1], "the target is 2 in row 2"),
        ([0, np.nan, 1], "missing, or not a number in row 2"),
    ):
        with pytest.raises(BinningError, match=message):
            partial_counts("x", values, np.array(bad))


# --- Values in order --------------------------------------------------------------------------------------------------


def ordered_samples(count: int):
    """Values with ties, their outcomes, and whole weights or none."""
    for seed in range(count):
        draw = np.random.default_rng(seed)
        rows = int(draw.integers(1, 40))
        values = draw.choice([-np.inf, -2, 0, 1, 1.5, 4, 9, np.inf, np.nan, -999], rows)
        bad = draw.integers(0, 2, rows).astype(float)
        weight = draw.integers(1, 5, rows).astype(float) if seed % 2 else None
        yield values, bad, weight


def test_groups_hold_all_rows_and_are_cut_wherever_a_bad_is():
    for values, bad, weight in ordered_samples(200):
        ordered = Ordered.of(values, bad, weight, (-999,))
        goods, bads, first = ordered.groups()
        inside = ~np.isnan(values) & (values != -999)
        w = np.ones(len(bad)) if weight is None else weight
        assert (np.diff(first) > 0).all() and set(first) <= set(values[inside])
        assert goods.sum() == (w * (1 - bad))[inside].sum() and bads.sum() == (w * bad)[inside].sum()
        for i, low in enumerate(first):
            rows = inside & (values >= low) & ((values < first[i + 1]) if i + 1 < len(first) else True)
            assert goods[i] == (w * (1 - bad))[rows].sum() and bads[i] == (w * bad)[rows].sum()
            assert not bads[i] or len(set(values[rows])) == 1  # a value with a bad stands alone
        assert all(a or b for a, b in itertools.pairwise(bads))  # and goods alone are not divided


def test_the_first_value_with_so_much_below_it_and_the_last_with_so_much_from_it_on():
    for values, bad, weight in ordered_samples(200):
        ordered = Ordered.of(values, bad, weight, (-999,))
        rows, w = ordered.values, np.ones(len(bad)) if weight is None else weight
        inside = ~np.isnan(values) & (values != -999)
        for want in (0.5, 1, 2, 3.5, 7, 20, 1e9):
            enough = [v for v in np.unique(rows) if w[inside & (values < v)].sum() >= want]
            assert ordered.after(np.array([want])).tolist() == enough[:1], want
            enough = [v for v in np.unique(rows) if w[inside & (values >= v)].sum() >= want]
            assert ordered.before(np.array([want])).tolist() == enough[-1:], want
