"""The search finds the binning with the most IV that any search could find, or says what cannot hold."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from math import log

import numpy as np
import pytest

from creditrisk.binning.search import TRENDS, Limits, Search, best_binning, holds
from creditrisk.errors import BinningError

Pair = tuple[int, int]


# --- The reference: every way to cut, in exact numbers ----------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """Counts by pre-bin, the limits as exact numbers, and where bins must or must not begin."""

    goods: tuple[int, ...]
    bads: tuple[int, ...]
    totals: Pair
    limits: dict[str, int | Fraction]
    must: tuple[int, ...] = ()
    never: tuple[int, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Everything that can be asked of a binning."""
        return (*self.limits, "trend", "must", "never")

    def as_limits(self, **more) -> Limits:
        return Limits(**{k: v if k == "max_bins" else float(v) for k, v in self.limits.items()}, **more)

    def found(self, trend: str) -> Search:
        """What the search makes of it."""
        goods, bads = np.array(self.goods, dtype=float), np.array(self.bads, dtype=float)
        return best_binning(goods, bads, self.totals, self.as_limits(), trend, must=self.must, never=self.never)

    def binnings(
        self, trend: str, names: tuple[str, ...] | None = None
    ) -> Iterator[tuple[tuple[int, ...], list[Pair]]]:
        """Every binning with the named constraints (all), as where its bins begin and their goods and bads.

        In any case a bin holds rows, and neighbours differ in bad rate.
        """
        names = self.names if names is None else names
        size, everything = len(self.goods), sum(self.totals)
        limits = {name: value for name, value in self.limits.items() if name in names}
        fits: dict[Pair, Pair] = {}
        for a, b in itertools.combinations(range(size + 1), 2):
            good, bad = sum(self.goods[a:b]), sum(self.bads[a:b])
            if (
                good + bad > 0
                and ("min_goods" not in limits or good >= max(limits["min_goods"], 1))
                and ("min_bads" not in limits or bad >= max(limits["min_bads"], 1))
                and ("min_share" not in limits or Fraction(good + bad, everything) >= limits["min_share"])
                and ("max_share" not in limits or Fraction(good + bad, everything) <= limits["max_share"])
            ):
                fits[a, b] = good, bad
        for cut in itertools.product((False, True), repeat=size - 1):
            starts = (0, *itertools.compress(range(1, size), cut))
            bins = list(itertools.pairwise((*starts, size)))
            if not all(one in fits for one in bins) or len(bins) > limits.get("max_bins", size):
                continue
            if "must" in names and not {i for i in self.must if i < size} <= set(starts):
                continue
            if "never" in names and set(self.never) & set(starts[1:]):
                continue
            sums = [fits[one] for one in bins]
            rates = [Fraction(bad, good + bad) for good, bad in sums]
            steps = [b - a for a, b in itertools.pairwise(rates)]
            if any(abs(step) < limits.get("min_difference", 0) for step in steps):
                continue
            if moves(steps, trend if "trend" in names else "none"):
                yield starts, sums

    def brute_force(self, trend: str) -> tuple[float, set[tuple[int, ...]]]:
        """The most IV of any binning, and the binnings that have it."""
        ivs = {starts: self.iv(sums) for starts, sums in self.binnings(trend)}
        best = max(ivs.values(), default=0.0)
        return best, {starts for starts, iv in ivs.items() if iv > best - 1e-12}

    def iv(self, sums: list[Pair]) -> float:
        goods, bads = self.totals
        return sum((g / goods - b / bads) * log((g / goods) / (b / bads)) for g, b in sums)


def moves(steps: list[Fraction], trend: str) -> bool:
    """Whether bad rates with these steps between neighbours, none of them 0, move as the trend says."""
    if not all(steps):
        return False
    rises = [step > 0 for step in steps]
    turns = list(itertools.pairwise(rises))
    return {
        "ascending": all(rises),
        "descending": not any(rises),
        "auto": all(rises) or not any(rises),
        "peak": (False, True) not in turns,
        "valley": (True, False) not in turns,
        "none": True,
    }[trend]


def pick(draw: np.random.Generator, usual, *others, often: float = 0.5):
    """The usual value, or one of the others."""
    return usual if draw.random() < often else others[int(draw.integers(len(others)))]


def random_limits(draw: np.random.Generator) -> dict[str, int | Fraction]:
    """Limits of every kind, of which about half do not bind."""
    limits = {
        "max_bins": pick(draw, 8, 1, 2, 3, 4, 5),
        "min_share": pick(draw, Fraction(0), Fraction(1, 20), Fraction(1, 10), Fraction(1, 4)),
        "max_share": pick(draw, Fraction(1), Fraction(3, 5), Fraction(2, 5), often=0.8),
        "min_goods": pick(draw, 1, 0, 2, 5),
        "min_bads": pick(draw, 1, 0, 2, 5),
        "min_difference": pick(draw, Fraction(0), Fraction(1, 100), Fraction(1, 20), Fraction(1, 5), often=0.6),
    }
    return limits


def random_case(seed: int) -> Case:
    """Few or many rows, any shape, zero counts, equal rates, rows outside the regular bins, limits of every kind."""
    draw = np.random.default_rng(seed)
    size, top = int(draw.integers(1, 10)), pick(draw, 40, 3, 8, 300, often=0.4)
    goods, bads = draw.integers(0, top, size), draw.integers(0, max(top // 2, 2), size)
    shape = draw.integers(0, 6)
    if shape < 4:  # rising, falling, up and down, down and up
        bads = np.sort(bads)[:: -1 if shape in (1, 3) else 1]
        bads = np.concatenate([bads[::2], bads[1::2][::-1]]) if shape > 1 else bads
    elif shape == 4:
        goods = 3 * bads  # one rate throughout, or nearly
        goods[:: int(draw.integers(2, 5))] += 1
    goods[0] += goods.sum() + bads.sum() == 0
    outside = draw.integers(0, 10, 2) * (draw.random() < 0.5)
    totals = max(int(goods.sum() + outside[0]), 1), max(int(bads.sum() + outside[1]), 1)
    must, never = (
        tuple(sorted(set(draw.integers(0, size, int(draw.integers(1, 3))).tolist()))) if draw.random() < 0.15 else ()
        for _ in range(2)
    )
    return Case(tuple(goods.tolist()), tuple(bads.tolist()), totals, random_limits(draw), must, never)


# --- What is found ----------------------------------------------------------------------------------------------------


def check_against_brute_force(trend: str, seeds: range) -> Counter:
    """Compares every case and counts what they were: found bins by number, and constraints that could not hold."""
    seen: Counter = Counter()
    for seed in seeds:
        case = random_case(seed)
        found = case.found(trend)
        best, holders = case.brute_force(trend)
        if holders:
            assert not found.unmet and found.starts in holders, (seed, found, holders)
            assert found.iv == pytest.approx(best, abs=1e-12), seed
            assert found.trend == shape(case, found.starts), seed
            seen[len(found.starts)] += 1
        else:
            assert (found.starts, found.iv, found.trend) == ((0,), 0.0, "flat"), seed
            names = culprits(found.unmet)
            assert not any(case.binnings(trend, names)), (seed, found.unmet)  # these alone cannot hold together,
            for name in names:
                rest = tuple(other for other in names if other != name)
                assert any(case.binnings(trend, rest)), (seed, found.unmet, name)  # and without any of them, can
                seen[name] += 1
    return seen


def shape(case: Case, starts: tuple[int, ...]) -> str:
    """The narrowest name for how the bad rate moves."""
    if len(starts) == 1:
        return "flat"
    sums = [(sum(case.goods[a:b]), sum(case.bads[a:b])) for a, b in itertools.pairwise((*starts, len(case.goods)))]
    rates = [Fraction(bad, good + bad) for good, bad in sums]
    steps = [b - a for a, b in itertools.pairwise(rates)]
    return next(name for name in ("ascending", "descending", "peak", "valley", "none") if moves(steps, name))


def culprits(unmet: str) -> tuple[str, ...]:
    """The constraints that a message names."""
    words = {
        "min_goods": r"^at least \S+ goods? in each bin",
        "min_bads": r"^at least \S+ bads? in each bin",
        "min_share": r"^at least \S+ of all rows in each bin",
        "max_share": r"^at most \S+ of all rows in each bin",
        "max_bins": r"^at most \d+ bins?$",
        "min_difference": r"^bad rates of neighbours at least \S+ apart",
        "trend": r"^trend \w+$",
        "must": r"^the cuts that must be made",
        "never": r"^the cuts that must not be made",
    }
    found = []
    for part in unmet.split(" together with "):
        names = [name for name, pattern in words.items() if re.search(pattern, part)]
        assert len(names) == 1, unmet
        found += names
    return tuple(found)


@pytest.mark.parametrize("trend", TRENDS)
def test_the_search_finds_the_optimum_of_every_way_to_cut_or_what_cannot_hold(trend):
    seen = check_against_brute_force(trend, range(1_000))
    bins = Counter({count: times for count, times in seen.items() if isinstance(count, int)})
    assert sum(bins.values()) > 400 and sum(bins[count] for count in bins if count > 1) > 200  # neither hopeless nor
    assert sum(bins[count] for count in bins if count > 2) > 50 and max(bins) >= 5  # trivial
    least = {"min_goods", "min_bads", "min_share", "max_share", "max_bins", "min_difference", "must", "never"}
    assert least <= set(seen) and ("trend" in seen) == (trend != "none")  # and every constraint was once in the way


@pytest.mark.soak
@pytest.mark.parametrize("trend", TRENDS)
def test_the_search_finds_the_optimum_of_many_more_problems(trend):
    check_against_brute_force(trend, range(1_000, 12_000))


@pytest.mark.parametrize("name", ["max_bins", "min_share", "max_share", "min_goods", "min_bads", "min_difference"])
def test_each_limit_alone_changes_what_is_found_and_the_optimum_is_found(name):
    free = {"max_bins": 9, "min_share": Fraction(0), "max_share": Fraction(1), "min_goods": 0, "min_bads": 0}
    free |= {"min_difference": Fraction(0)}
    tight = {"max_bins": 2, "min_share": Fraction(1, 4), "max_share": Fraction(3, 5), "min_goods": 12, "min_bads": 12}
    tight |= {"min_difference": Fraction(1, 4)}
    changed = 0
    for seed in range(200):
        case = replace(random_case(seed), limits=free | {name: tight[name]}, must=(), never=())
        best, holders = case.brute_force("auto")
        found = case.found("auto")
        assert (found.starts in holders and found.iv == pytest.approx(best, abs=1e-12)) if holders else found.unmet
        changed += bool(holders) and found.starts not in replace(case, limits=free).brute_force("auto")[1]
    assert changed >= (3 if name == "max_share" else 15), changed


def test_a_peak_may_be_a_rise_a_fall_or_both_and_never_a_fall_and_a_rise():
    limits = Limits(min_share=0)
    up_down, down_up = np.array([10.0, 50, 90, 50, 10]), np.array([90.0, 50, 10, 50, 90])
    totals = (up_down.sum(), down_up.sum())
    assert best_binning(down_up, up_down, totals, limits, "peak").starts == (0, 1, 2, 3, 4)
    assert best_binning(up_down, down_up, totals, limits, "valley").starts == (0, 1, 2, 3, 4)
    assert best_binning(up_down, down_up, totals, limits, "peak").trend in ("ascending", "descending")
    rising = np.array([1.0, 2, 3, 4]), np.array([1.0, 3, 6, 12])
    for trend in ("peak", "valley", "none", "auto"):
        found = best_binning(*rising, (10, 22), limits, trend)
        assert (found.starts, found.trend) == ((0, 1, 2, 3), "ascending")


def test_the_better_of_two_directions_is_taken_and_not_a_peak():
    goods, bads = np.array([90.0, 10, 80]), np.array([10.0, 90, 20])
    ways = [best_binning(goods, bads, (180, 120), Limits(min_share=0), t) for t in ("ascending", "descending")]
    assert best_binning(goods, bads, (180, 120), Limits(min_share=0), "auto") == max(ways, key=lambda way: way.iv)
    assert best_binning(goods, bads, (180, 120), Limits(min_share=0), "peak").iv > max(way.iv for way in ways)


@pytest.mark.parametrize("trend", TRENDS)
def test_equal_rates_are_never_two_bins(trend):
    goods, bads = np.array([10.0, 20.0, 30.0]), np.array([1.0, 2.0, 3.0])
    assert best_binning(goods, bads, (60, 6), Limits(min_share=0), trend).starts == (0,)
    apart = best_binning(goods, bads, (60, 6), Limits(min_share=0), trend, must=[1])
    assert apart.unmet == "the cuts that must be made"


@pytest.mark.parametrize("scale", [0.1, 0.3, 1 / 3, 1e-3, 7e5])
def test_equal_rates_of_weighted_rows_are_never_two_bins(scale):
    """Sums of weights are not exact; what differs by their rounding alone does not differ."""
    some = Limits(min_share=0, min_goods=0, min_bads=0)
    for trend, count in itertools.product(TRENDS, range(2, 9)):
        goods, bads = np.arange(1, count + 1) * 3 * scale, np.arange(1, count + 1) * scale
        starts = best_binning(goods, bads, (goods.sum(), bads.sum()), some, trend).starts
        assert starts == (0,), (trend, count, starts)


@pytest.mark.parametrize("scale", [0.1, 0.3, 1 / 3, 0.7])
def test_a_bin_of_just_the_least_counts_is_large_enough_whatever_the_unit_of_weight(scale):
    for least in (1, 2, 3, 7):
        goods = np.array([5, 1, 1, 3, 2, 1, 7, 30]) * scale
        bads = np.array([30, 1, 4, 2, 1, 2, 4, 7]) * scale
        limits = Limits(min_share=0, min_goods=least * scale, min_bads=least * scale)
        whole = Limits(min_share=0, min_goods=least, min_bads=least)
        found = best_binning(goods, bads, (goods.sum(), bads.sum()), limits, "none")
        wanted = best_binning(np.rint(goods / scale), np.rint(bads / scale), (50, 51), whole, "none")
        assert found.starts == wanted.starts and found.iv == pytest.approx(wanted.iv)


@pytest.mark.parametrize("share", [0.05, 0.1, 0.15, 0.2, 0.3, 0.35])
def test_a_bin_of_exactly_the_least_or_greatest_share_may_be(share):
    """As 5% of 60 rows is 3 rows, though 0.05 times 60 is a little more as floats go."""
    for rows in (40, 60, 140, 1_000):
        part = round(share * rows)
        goods, bads = np.array([part - 1.0, rows - part - 1.0]), np.array([1.0, 1.0])
        totals = (rows - 2, 2)
        assert best_binning(goods, bads, totals, Limits(min_share=share), "auto").starts == (0, 1)
        assert best_binning(goods, bads, totals, Limits(min_share=0, max_share=1 - share), "auto").starts == (0, 1)
        rest = best_binning(goods, bads, totals, Limits(min_share=share + 0.01), "auto")
        assert rest.starts == (0,)


def test_a_difference_in_rate_of_exactly_the_least_is_enough():
    goods, bads = np.array([90.0, 80.0, 70.0]), np.array([10.0, 20.0, 30.0])
    assert best_binning(goods, bads, (240, 60), Limits(min_difference=0.1), "ascending").starts == (0, 1, 2)
    assert len(best_binning(goods, bads, (240, 60), Limits(min_difference=0.11), "ascending").starts) == 2


@pytest.mark.parametrize("difference", [1e-15, 1e-13, 1e-12, 1e-11])
def test_a_tiny_least_difference_does_not_let_a_wrong_order_pass(difference):
    goods, bads = np.array([10.0, 20.0, 30.0]), np.array([1.0, 2.0, 3.0])
    for trend in TRENDS:
        assert best_binning(goods, bads, (60, 6), Limits(min_share=0, min_difference=difference), trend).starts == (0,)


def test_no_bin_is_without_goods_or_without_bads_whatever_the_limits():
    for goods, bads in (([5.0, 3.0], [0.0, 0.0]), ([0.0, 0.0], [3.0, 1.0]), ([0.0, 9.0], [3.0, 0.0])):
        totals = (sum(goods) + 1, sum(bads) + 1)
        for trend in TRENDS:
            found = best_binning(np.array(goods), np.array(bads), totals, Limits(min_goods=0, min_bads=0), trend)
            assert found.starts == (0,) and np.isfinite(found.iv)
            assert bool(found.unmet) == (not sum(goods) or not sum(bads))


def test_more_bins_than_pre_bins_and_pre_bins_without_rows_are_no_trouble():
    goods, bads = np.array([0.0, 9, 0, 5, 0, 0, 2, 0]), np.array([0.0, 1, 0, 5, 0, 0, 8, 0])
    for trend in ("auto", "ascending", "peak", "valley", "none"):
        found = best_binning(goods, bads, (16, 14), Limits(max_bins=10_000, min_share=0), trend)
        assert len(found.starts) == 3 and found.trend == "ascending"


def test_what_cannot_hold_is_said_in_words_with_the_numbers():
    goods, bads = np.array([50.0, 30.0, 15.0]), np.array([1.0, 1.0, 3.0])
    few = best_binning(goods, bads, (95, 5), Limits(min_bads=6), "auto")
    assert few.unmet == "at least 6 bads in each bin (there are 5)"
    both = best_binning(goods, bads, (95, 5), Limits(max_bins=2), "ascending", must=[1, 2])
    assert both.unmet == "at most 2 bins together with the cuts that must be made"
    against = best_binning(goods, bads, (95, 5), Limits(), "ascending", must=[1, 2], never=[2])
    assert against.unmet == "the cuts that must be made together with the cuts that must not be made"
    wide = best_binning(goods, bads, (95, 5), Limits(max_share=0.4), "auto")
    assert wide.unmet == "at most 0.4 of all rows in each bin"


@pytest.mark.parametrize("trend", ["increasing", "", None, "Ascending", ["auto"]])
def test_another_trend_is_refused_instead_of_taken_for_one_of_ours(trend):
    with pytest.raises(BinningError, match="it must be one of auto, ascending, descending, peak, valley, none"):
        best_binning(np.ones(2), np.ones(2), (2, 2), Limits(), trend)


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_bins": 0}, {"max_bins": 2.5}, {"min_share": -0.1}, {"min_share": 1.1}, {"min_share": float("nan")},
        {"max_share": 0}, {"max_share": 1.5}, {"min_goods": -1}, {"min_bads": float("nan")}, {"min_difference": 1},
        {"min_difference": -0.01}, {"rare_rows": -1}, {"max_pre_bins": 1},
    ],
)  # fmt: skip
def test_a_limit_out_of_its_range_is_refused_by_name(wrong):
    with pytest.raises(BinningError, match=f"{next(iter(wrong))} is .*it must be "):
        Limits(**wrong)


def test_contradictory_shares_are_refused_with_both_numbers():
    with pytest.raises(BinningError, match="min_share 0.3 is above max_share 0.2"):
        Limits(min_share=0.3, max_share=0.2)


def test_whether_limits_hold_is_judged_as_the_search_judges():
    agreed = Counter()
    for seed in range(600):
        case = random_case(seed)
        goods, bads = np.array(case.goods, dtype=float), np.array(case.bads, dtype=float)
        for trend in ("ascending", "descending"):
            whole = tuple(range(len(goods)))
            wanted = any(starts == whole for starts, _ in replace(case, must=(), never=()).binnings(trend))
            assert holds(goods, bads, case.totals, case.as_limits(), trend) == wanted, seed
            agreed[wanted] += 1
    assert agreed[True] > 80 and agreed[False] > 80
