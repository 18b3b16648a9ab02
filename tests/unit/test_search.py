"""The search finds the binning with the most IV that any search could find, and pre-bins keep values whole."""

from __future__ import annotations

import itertools
from fractions import Fraction
from math import log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from creditrisk.binning.search import Limits, Search, best_binning, pre_bin_cuts


def brute_force(goods, bads, totals, limits: Limits, trend: str) -> tuple[float, set[tuple[int, ...]]]:
    """The most IV over every way to cut, and the cuts that reach it; rates are compared as fractions."""
    all_goods, all_bads = totals
    best, holders = -1.0, set()
    size = len(goods)
    for inner in itertools.product([False, True], repeat=size - 1):
        starts = (0, *(i for i, cut in enumerate(inner, 1) if cut))
        if len(starts) > limits.max_bins:
            continue
        sums = [(sum(goods[a:b]), sum(bads[a:b])) for a, b in itertools.pairwise((*starts, size))]
        if any(
            g < max(limits.min_goods, 1)
            or b < max(limits.min_bads, 1)
            or g + b < Fraction(limits.min_share).limit_denominator(1000) * (all_goods + all_bads)
            for g, b in sums
        ):
            continue
        rates = [Fraction(b, g + b) for g, b in sums]
        rising = all(a < b for a, b in itertools.pairwise(rates))
        falling = all(a > b for a, b in itertools.pairwise(rates))
        if not {"ascending": rising, "descending": falling, "auto": rising or falling}[trend]:
            continue
        iv = sum((g / all_goods - b / all_bads) * log((g / all_goods) / (b / all_bads)) for g, b in sums)
        if iv > best + 1e-12:
            best, holders = iv, {starts}
        elif iv > best - 1e-12:
            holders.add(starts)
    return best, holders


def instance(seed: int):
    """A small random problem: few or many rows, zero counts, equal rates, rows outside the regular bins, any limits."""
    draw = np.random.default_rng(seed)
    size = int(draw.integers(1, 11))
    top = int(draw.choice([2, 5, 40]))
    goods, bads = draw.integers(0, top, size), draw.integers(0, max(top // 2, 2), size)
    if draw.random() < 0.5:  # with a trend, so that many bins are worth having
        bads = np.sort(bads) if draw.random() < 0.5 else np.sort(bads)[::-1]
    elsewhere = draw.integers(0, 10, 2) if draw.random() < 0.5 else np.array([0, 0])
    limits = Limits(
        max_bins=int(draw.integers(1, 9)),
        min_share=float(draw.choice([0.0, 0.05, 0.1, 0.25])),
        min_goods=float(draw.integers(0, 4)),
        min_bads=float(draw.integers(0, 4)),
    )
    return goods, bads, (max(goods.sum() + elsewhere[0], 1), max(bads.sum() + elsewhere[1], 1)), limits


@pytest.mark.parametrize("trend", ["ascending", "descending", "auto"])
def test_the_search_reaches_the_optimum_of_every_way_to_cut(trend):
    bins = []
    for seed in range(300):
        goods, bads, totals, limits = instance(seed)
        found = best_binning(goods.astype(float), bads.astype(float), totals, limits, trend)
        best, holders = brute_force(goods.tolist(), bads.tolist(), totals, limits, trend)
        if not holders:
            assert (found.starts, found.iv) == ((0,), 0.0), seed
            continue
        assert found.starts in holders, seed
        assert found.iv == pytest.approx(best, abs=1e-12), seed
        bins.append(len(found.starts))
        assert found.trend in ("ascending", "descending") and trend in ("auto", found.trend)
        if len(found.starts) > 1:
            rates = np.add.reduceat(bads, found.starts) / np.add.reduceat(goods + bads, found.starts)
            assert (np.diff(rates) > 0).all() == (found.trend == "ascending")
    assert len(bins) > 100 and max(bins) >= 5  # the problems were neither hopeless nor trivial


def test_a_tie_goes_to_fewer_bins_and_equal_rates_are_never_two_bins():
    goods, bads = np.array([10.0, 20.0, 30.0]), np.array([1.0, 2.0, 3.0])
    for trend in ("ascending", "descending", "auto"):
        assert best_binning(goods, bads, (60, 6), Limits(min_share=0), trend).starts == (0,)


def test_nothing_that_satisfies_the_limits_is_one_bin_of_no_iv():
    for goods, bads in (([5.0, 0.0], [0.0, 0.0]), ([0.0, 0.0], [3.0, 1.0])):
        found = best_binning(np.array(goods), np.array(bads), (10, 10), Limits(), "ascending")
        assert found == Search((0,), 0.0, "ascending")


def test_another_trend_is_refused_instead_of_taken_for_descending():
    for trend in ("increasing", "", None):
        with pytest.raises(ValueError, match="it must be one of ascending, descending, auto"):
            best_binning(np.ones(2), np.ones(2), (2, 2), Limits(), trend)


samples = st.lists(st.integers(-40, 40) | st.sampled_from([0, 0, 7, 7, 7, 1000]), min_size=1, max_size=300)


@settings(max_examples=150, deadline=None)
@given(samples, st.integers(2, 20))
def test_pre_bins_never_split_ties_and_heavy_values_keep_their_own(sample, limit):
    values = np.array(sample, dtype=np.float64) / 4
    cuts = pre_bin_cuts(values, limit)
    assert (np.diff(cuts) > 0).all()
    assert set(cuts) <= set(values) - {values.min()}  # a cut is a value, so equal values stay together
    slots = np.searchsorted(cuts, values, side="right")
    assert set(slots) == set(range(len(cuts) + 1))  # and no pre-bin is empty
    distinct, counts = np.unique(values, return_counts=True)
    if len(distinct) <= limit:
        assert cuts.tolist() == distinct[1:].tolist()
    else:
        assert len(cuts) < 2 * limit
        for value in distinct[counts > len(values) / limit]:
            assert set(values[slots == slots[values == value][0]]) == {value}


def test_pre_bins_of_spread_values_hold_about_equal_counts():
    values = np.random.default_rng(1).lognormal(10, 2, 10_000)
    counts = np.bincount(np.searchsorted(pre_bin_cuts(values, 64), values, side="right"))
    assert len(counts) == 64 and counts.min() >= 150 and counts.max() <= 165
