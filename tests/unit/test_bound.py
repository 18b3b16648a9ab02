"""The certificate is honest: no binning within the limits has more IV than the bound, and some reach it."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from creditrisk.binning.bound import isotonic, isotonic_bound
from creditrisk.binning.search import Limits
from unit.test_search import Case, pick, random_case

MONOTONE = ("auto", "ascending", "descending")


def bound_of(case: Case, trend: str) -> float | None:
    return isotonic_bound(np.array(case.goods, float), np.array(case.bads, float), case.totals, case.as_limits(), trend)


def many_goods(seed: int) -> Case:
    """A case with many groups of goods alone, in which the least first and last bins end."""
    draw, case = np.random.default_rng(seed), random_case(seed)
    bads = tuple(b if draw.random() < 0.5 else 0 for b in case.bads)
    totals = case.totals[0], max(case.totals[1] - sum(case.bads) + sum(bads), 1)
    limits = case.limits | {"max_share": Fraction(1), "min_difference": Fraction(0)}
    if draw.random() < 0.5:
        limits |= {
            "min_share": Fraction(0),
            "min_bads": int(draw.integers(0, 4)),
            "min_goods": int(draw.integers(0, 9)),
        }
    if sum(case.goods) + sum(bads) == 0:
        return case
    return Case(case.goods, bads, totals, limits)


def split_goods(case: Case) -> Case:
    """The same rows with groups of goods alone divided into single rows, as values may divide them."""
    goods, bads = [], []
    for g, b in zip(case.goods, case.bads, strict=True):
        alone = b == 0 and 1 < g <= 3 and len(goods) < 9
        goods += [1] * g if alone else [g]
        bads += [0] * g if alone else [b]
    return replace(case, goods=tuple(goods), bads=tuple(bads))


def check_bound(seeds: range, of) -> Counter:
    seen: Counter = Counter()
    for seed in seeds:
        case = of(seed)
        fine = split_goods(replace(case, must=(), never=()))
        for trend in MONOTONE:
            bound = bound_of(case, trend)
            if sum(case.goods) and sum(case.bads) and case.limits["min_goods"]:
                assert np.isfinite(bound) and bound >= 0, (seed, trend)
            best, holders = fine.brute_force(trend)
            if bound is None or not holders:
                seen["unknown" if bound is None else "impossible"] += 1
                continue
            assert best <= bound * (1 + 1e-9) + 1e-12, (seed, trend, best, bound)
            seen["reached" if best > bound - 1e-9 else "above"] += 1
    return seen


@pytest.mark.parametrize("of", [random_case, many_goods])
def test_no_binning_of_any_way_to_cut_exceeds_the_bound(of):
    seen = check_bound(range(500), of)
    assert seen["reached"] > 100 and seen["above"] > 50


@pytest.mark.soak
@pytest.mark.parametrize("of", [random_case, many_goods])
def test_no_binning_of_many_more_problems_exceeds_the_bound(of):
    check_bound(range(500, 12_000), of)


def test_the_bound_is_reached_where_limits_do_not_bind():
    """With a bin for every block of isotonic regression nothing is lost."""
    free = {"max_bins": 9, "min_share": Fraction(0), "max_share": Fraction(1), "min_goods": 1, "min_bads": 1}
    free |= {"min_difference": Fraction(0)}
    for seed in range(150):
        case = random_case(seed)
        case = Case(
            tuple(g + 1 for g in case.goods), tuple(b + 1 for b in case.bads),
            (case.totals[0] + len(case.goods), case.totals[1] + len(case.bads)), free,
        )  # fmt: skip
        for trend in MONOTONE:
            assert case.brute_force(trend)[0] == pytest.approx(bound_of(case, trend), abs=1e-12), (seed, trend)


def test_few_bins_are_best_cut_where_blocks_begin():
    """What lets a million values be searched at a few hundred places."""
    for seed in range(150):
        draw = np.random.default_rng(seed)
        goods, bads = draw.integers(1, 40, 9), draw.integers(1, 40, 9)
        limits = {"max_bins": pick(draw, 2, 3, 4), "min_share": Fraction(0), "max_share": Fraction(1)}
        limits |= {"min_goods": 1, "min_bads": 1, "min_difference": Fraction(0)}
        case = Case(tuple(goods.tolist()), tuple(bads.tolist()), (int(goods.sum()), int(bads.sum())), limits)
        for trend in ("ascending", "descending"):
            blocks = isotonic(goods, bads, case.totals, case.as_limits(), trend)
            best = case.brute_force(trend)[1]
            assert any(set(starts[1:]) <= set(blocks.starts.tolist()) for starts in best), (seed, blocks.starts, best)


def test_blocks_are_those_of_isotonic_regression():
    goods, bads = np.array([90.0, 80, 85, 40, 50]), np.array([10.0, 20, 15, 60, 50])
    rising = isotonic(goods, bads, (345, 155), Limits(min_share=0), "ascending")
    assert rising.starts.tolist() == [1, 3]
    shares = np.array([[90, 165, 90], [10, 35, 110]]) / [[345], [155]]
    assert rising.iv == pytest.approx(((shares[0] - shares[1]) * np.log(shares[0] / shares[1])).sum())
    falling = isotonic(goods, bads, (345, 155), Limits(min_share=0), "descending")
    assert falling.starts.tolist() == [] and falling.iv == pytest.approx(0, abs=1e-12)


def test_the_first_and_last_rows_that_make_a_least_bin_are_not_told_apart():
    """One good row in front would be a block of infinite IV that no bin can be."""
    goods, bads = np.array([1.0, 9, 50, 50, 20, 0]), np.array([0.0, 1, 10, 30, 40, 1])
    tight = isotonic(goods, bads, (130, 82), Limits(min_share=0.3), "ascending")
    loose = isotonic(goods, bads, (130, 82), Limits(min_share=0), "ascending")
    assert np.isfinite(loose.iv) and tight.iv < loose.iv
    assert tight.starts.tolist() == [3] and loose.starts.tolist() == [2, 3, 4]


def test_other_trends_and_no_rows_have_no_bound():
    goods, bads = np.array([9.0, 5, 9]), np.array([1.0, 5, 1])
    for trend in ("peak", "valley", "none"):
        assert isotonic_bound(goods, bads, (23, 7), Limits(), trend) is None
    assert isotonic_bound(np.zeros(2), np.zeros(2), (23, 7), Limits(), "auto") is None


def test_a_variable_that_no_bin_fits_in_has_a_bound_of_one_bin():
    goods, bads = np.array([9.0, 5, 9]), np.array([1.0, 5, 1])
    assert isotonic_bound(goods, bads, (23, 7), Limits(min_bads=9), "auto") == 0
    assert isotonic_bound(goods, bads, (230, 7), Limits(min_share=0.5), "auto") > 0
