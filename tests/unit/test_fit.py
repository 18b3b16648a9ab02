"""One variable's bins: the best there are, within every limit, whatever the values, the weights and the gaps."""

from __future__ import annotations

import itertools
import json
import re
import warnings
from collections import Counter
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.tree import DecisionTreeClassifier

from creditrisk.binning.bins import NEUTRAL, OWN, Bins, iv_of
from creditrisk.binning.counts import partial_counts
from creditrisk.binning.fit import LEAK, MIN_OUTSIDE, BinningWarning, bins_at, fit_bins, from_counts
from creditrisk.binning.search import TRENDS, Limits
from creditrisk.errors import BinningError
from unit.test_search import Case, pick, random_limits

MONOTONE = ("auto", "ascending", "descending")
FREE = Limits(min_share=0, min_goods=0, min_bads=0, max_bins=50)


def regular(bins: Bins) -> tuple[np.ndarray, np.ndarray]:
    return np.array(bins.goods)[: bins.n_regular], np.array(bins.bads)[: bins.n_regular]


def regular_iv(bins: Bins) -> float:
    return float(bins.iv_by_slot[: bins.n_regular].sum())


NO_CUT = re.compile("no cut keeps to trend|" + re.escape(LEAK))
"""What is said of one bin that satisfies the limits, when it is the best there is."""


def quietly(*args, **options) -> tuple[Bins | None, str]:
    """Bins and what was said: a warning's text, or with no bins an error's."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            bins = fit_bins(*args, **options)
        except BinningError as error:
            return None, str(error)
    assert {one.category for one in said} <= {BinningWarning}, [str(one.message) for one in said]
    return bins, "; ".join(str(one.message) for one in said)


def portfolio(rows: int = 4_000, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """A number whose rise means more bads, with gaps and a code; and the outcome."""
    draw = np.random.default_rng(seed)
    values = draw.normal(50, 15, rows).round(1)
    bad = (draw.random(rows) < 1 / (1 + np.exp(4 - values / 20))).astype(int)
    values[draw.random(rows) < 0.05] = np.nan
    values[draw.random(rows) < 0.05] = -999
    return values, bad


# --- Small samples: every way to cut between distinct values ----------------------------------------------------------


@dataclass(frozen=True)
class Sample:
    values: np.ndarray
    bad: np.ndarray
    special: tuple[float, ...]
    distinct: np.ndarray
    limits: Limits
    case: Case

    def starts(self, bins: Bins) -> tuple[int, ...]:
        """The distinct values at which bins begin, by number."""
        return 0, *np.searchsorted(self.distinct, bins.cuts).tolist()


def small_sample(seed: int, *, asked: bool = True) -> Sample | None:
    """Few distinct values with ties, gaps and codes, with any shape and limits; None without two values or classes.

    With `asked`, some cuts must or must not be made.
    """
    draw = np.random.default_rng(seed)
    rows, size = int(draw.integers(4, 70)), int(draw.integers(2, 10) if draw.random() < 0.95 else 13)
    pool = np.sort(draw.choice(np.arange(-20, 40), size, replace=False)) / 4
    values = draw.choice(pool, rows)
    place = (values - pool[0]) / (pool[-1] - pool[0])
    rate = pick(draw, place, 1 - place, 1 - np.abs(2 * place - 1), np.abs(2 * place - 1), np.full(rows, 0.4), often=0.3)
    bad = (draw.random(rows) < 0.1 + 0.8 * rate).astype(int)
    special = (-999.0, 2.5) if draw.random() < 0.3 else ()
    if special:
        values[draw.random(rows) < 0.1] = -999
    if draw.random() < 0.4:
        values[draw.random(rows) < 0.15] = np.nan
    inside = ~np.isnan(values) & ~np.isin(values, special)
    distinct = np.unique(values[inside])
    if bad.min() == bad.max() or len(distinct) < 2:
        return None
    goods, bads = (tuple(int((inside & (values == v) & (bad == k)).sum()) for v in distinct) for k in (0, 1))
    must, never, barred = (), (), ()
    if asked and draw.random() < 0.15:
        must = (int(draw.integers(1, len(distinct))),)
    if asked and draw.random() < 0.15:
        never = barred = (int(draw.integers(1, len(distinct))),)
    between: tuple = ()
    if asked and draw.random() < 0.15:
        low, high = sorted(draw.integers(0, len(distinct), 2).tolist())
        never, between = tuple({*never, *range(low + 1, high)}), ((distinct[low], distinct[high]),)
    case = Case(goods, bads, (int((bad == 0).sum()), int(bad.sum())), random_limits(draw), must, never)
    limits = case.as_limits(
        must_cut=tuple(distinct[i] for i in must), never_cut=(*(distinct[i] for i in barred), *between)
    )
    return Sample(values, bad, special, distinct, limits, case)


def check_small_samples(trend: str, seeds: range) -> Counter:
    """Compares fitted bins with the best of every way to cut; counts samples by the number of bins."""
    seen: Counter = Counter()
    for seed in seeds:
        sample = small_sample(seed)
        if sample is None:
            continue
        best, holders = sample.case.brute_force(trend)
        bins, said = quietly(
            "x", sample.values, sample.bad, trend=trend, special=sample.special, limits=sample.limits, missing="own"
        )
        forced = sample.limits.must_cut or sample.limits.max_share < 1
        if not holders:
            seen["none"] += 1
            assert (bins is None) == bool(forced), (seed, said)
            assert "no binning has" in said and (bins is None or bins.n_regular == 1), (seed, said)
            continue
        assert bins is not None and (not said or (bins.n_regular == 1 and NO_CUT.search(said))), (seed, said)
        assert sample.starts(bins) in holders, (seed, sample.starts(bins), regular_iv(bins), holders, best)
        seen[bins.n_regular] += 1
        assert [sum(bins.goods), sum(bins.bads)] == list(sample.case.totals)
        if bins.n_regular > 1:
            assert regular_iv(bins) == pytest.approx(best, abs=1e-12)
        if trend not in MONOTONE:
            assert bins.bound is None and bins.certificate is None
        elif bins.bound is not None:
            assert best <= bins.bound * (1 + 1e-9) + 1e-12, seed
            seen["bounded"] += 1
            if bins.certificate is not None:
                assert 0 <= bins.certificate <= 1 + 1e-9 and (bins.n_regular == 1 or bins.certificate > 0), seed
    return seen


@pytest.mark.parametrize("trend", TRENDS)
def test_bins_of_few_values_are_the_best_of_every_way_to_cut_and_the_certificate_holds(trend):
    seen = check_small_samples(trend, range(250))
    assert sum(seen[k] for k in range(2, 9)) > 50 and sum(seen[k] for k in range(3, 9)) > 10 and seen["none"] > 20
    assert seen["bounded"] > 100 or trend not in MONOTONE


@pytest.mark.soak
@pytest.mark.parametrize("trend", TRENDS)
def test_bins_of_many_more_small_samples_are_the_best(trend):
    check_small_samples(trend, range(250, 4_000))


@pytest.mark.parametrize("trend", MONOTONE)
def test_bins_of_few_values_are_the_best_when_the_first_or_last_bin_ends_among_goods_alone(trend):
    """Isotonic regression cannot see where in a run of goods a bin of the least size may end; the search must."""
    for seed in range(10_000, 10_900):
        sample = small_sample(seed, asked=False)
        if sample is None:
            continue
        limits = sample.case.limits | {"max_share": Fraction(1), "min_difference": Fraction(0), "max_bins": 3}
        case = replace(sample.case, limits=limits)
        holders = case.brute_force(trend)[1]
        bins, _ = quietly("x", sample.values, sample.bad, trend=trend, special=sample.special, limits=case.as_limits())
        assert not holders or sample.starts(bins) in holders, (seed, sample.starts(bins), holders)


# --- Larger samples ---------------------------------------------------------------------------------------------------


def large_sample(seed: int):
    """Spread, rounded, zero-heavy or whole numbers with any shape, perhaps gaps and weights; and limits."""
    draw = np.random.default_rng(seed)
    rows = pick(draw, 300, 1_000, 3_000)
    kind = draw.integers(0, 4)
    if kind == 0:
        values = draw.normal(size=rows)
    elif kind == 1:
        values = draw.lognormal(size=rows).round(2)
    elif kind == 2:
        values = np.where(draw.random(rows) < 0.6, 0, draw.exponential(5, rows).round(1))
    else:
        values = draw.integers(0, 200, rows).astype(float)
    place = np.argsort(np.argsort(values)) / rows
    peak = 1 - np.abs(2 * place - 1)
    rate = pick(draw, place, 1 - place, peak, 1 - peak, 0.5 + 0.3 * np.sin(12 * place), often=0.3)
    bad = (draw.random(rows) < 0.1 + 0.5 * rate).astype(int)
    inside = values.copy()
    if draw.random() < 0.3:
        values[draw.random(rows) < 0.1] = np.nan
    weight = draw.random(rows) * 3 if draw.random() < 0.3 else None
    limits = {
        "max_bins": int(draw.integers(2, 12)),
        "min_share": pick(draw, 0.05, 0.0, 0.01, 0.1),
        "max_share": pick(draw, 1.0, 0.5, 0.3, often=0.7),
        "min_goods": pick(draw, 1.0, 0.0, 5.0, 20.0),
        "min_bads": pick(draw, 1.0, 0.0, 5.0, 20.0),
        "min_difference": pick(draw, 0.0, 0.01, 0.05, often=0.7),
    }
    if draw.random() < 0.25:
        limits["must_cut"] = (float(np.quantile(inside, draw.uniform(0.2, 0.8))),)
    if draw.random() < 0.25:
        limits["never_cut"] = (tuple(np.sort(np.quantile(inside, draw.random(2))).tolist()),)
    return values, bad, weight, Limits(**limits)


def check_limits(bins: Bins, totals: float, limits: Limits, trend: str) -> None:
    """Every limit holds; weights may be off by rounding."""
    goods, bads = regular(bins)
    rates = bads / (goods + bads)
    assert bins.n_regular <= limits.max_bins
    assert (goods > 0).all() and (goods >= limits.min_goods - 1e-9).all()
    assert (bads > 0).all() and (bads >= limits.min_bads - 1e-9).all()
    assert (goods + bads >= limits.min_share * totals - 1e-9).all()
    assert (goods + bads <= limits.max_share * totals + 1e-9).all()
    assert (np.abs(np.diff(rates)) >= max(limits.min_difference - 1e-9, 1e-13)).all()
    allowed = {"auto": MONOTONE, "peak": ("peak", *MONOTONE), "valley": ("valley", *MONOTONE)}.get(trend, (trend,))
    assert trend == "none" or bins.trend in ("flat", *allowed)
    assert set(limits.must_cut) <= set(bins.cuts)
    assert not any(low < cut < high for cut in bins.cuts for low, high in limits.never_cut)


def check_large_samples(seeds: range) -> Counter:
    seen: Counter = Counter()
    for seed, trend in itertools.product(seeds, TRENDS):
        values, bad, weight, limits = large_sample(seed)
        fine, said = quietly("x", values, bad, trend=trend, limits=limits, weight=weight, missing="own")
        coarse, also = quietly("x", values, bad, trend=trend, limits=limits, weight=weight, missing="own", refine=False)
        if coarse is not None and not also:
            assert fine is not None and (not said or NO_CUT.search(said)), (seed, trend, said, coarse.cuts)
        if fine is None:
            seen["none"] += 1
            continue
        for bins, complaint in ((fine, said), (coarse, also)):
            if bins is not None and not complaint:
                check_limits(bins, len(bad) if weight is None else weight.sum(), limits, trend)
                assert bins.certificate is None or -1e-12 <= bins.certificate <= 1 + 1e-9, (seed, trend)
        assert set(fine.cuts) <= {*values, *limits.must_cut, *itertools.chain(*limits.never_cut)}
        better = regular_iv(fine) - (regular_iv(coarse) if coarse else 0.0)
        assert better >= -1e-12, (seed, trend, regular_iv(fine), coarse.cuts)
        seen["better" if better > 1e-9 else "same"] += 1
    return seen


def test_refined_cuts_of_many_values_keep_every_limit_and_have_no_less_iv_than_pre_bins():
    seen = check_large_samples(range(40))
    assert seen["better"] > 60 and seen["none"] > 10


@pytest.mark.soak
def test_refined_cuts_of_many_more_samples_keep_every_limit():
    check_large_samples(range(40, 600))


def test_bins_of_spread_values_come_close_to_the_bound():
    for seed in range(6):
        values, bad = portfolio(3_000, seed)
        bins = fit_bins("x", values, bad, special=(-999,))
        assert bins.certificate > 0.9 and bins.n_regular >= 4
        assert fit_bins("x", values, bad, special=(-999,), limits=Limits(max_bins=20)).certificate >= bins.certificate


@pytest.mark.parametrize("trend", TRENDS)
def test_a_demand_that_only_exact_cuts_can_meet_is_met_among_many_values(trend):
    """Two halves exactly: no pre-bin edge need be at the middle."""
    rows = 1_001 * 2
    values = np.arange(rows, dtype=float)
    bad = (np.random.default_rng(3).random(rows) < np.where(values < 1_001, 0.2, 0.5)).astype(int)
    halves = Limits(min_share=0.5, max_share=0.5)
    wanted = {"descending": "'x': no binning has"}.get(trend, "")
    bins, said = quietly("x", values, bad, trend=trend, limits=halves)
    assert said.startswith(f"binning {wanted}") if wanted else bins.cuts == (1_001.0,)


# --- Weights ----------------------------------------------------------------------------------------------------------


def any_values(draw: np.random.Generator, rows: int) -> tuple[np.ndarray, tuple[float, ...]]:
    """Numbers or text, with gaps, and special codes."""
    kind = draw.integers(0, 4)
    values = draw.normal(size=rows) if kind == 0 else draw.integers(0, 15 if kind == 1 else 300, rows).astype(float)
    values[draw.random(rows) < 0.1] = np.nan
    if kind == 3:
        return np.array([None if np.isnan(v) else f"level {v:.0f}" for v in values // 20], dtype=object), ()
    special = (-9.0,) if draw.random() < 0.5 else ()
    if special:
        values[draw.random(rows) < 0.1] = -9
    return values, special


def weighted_samples(count: int):
    """Samples with whole weights: values, outcomes, weights, options; both classes have weight."""
    for seed in range(count):
        draw = np.random.default_rng(seed)
        rows = pick(draw, 60, 300, 900)
        values, special = any_values(draw, rows)
        place = pd.Series(values).rank(na_option="top").to_numpy() / rows
        bad = (draw.random(rows) < 0.1 + 0.5 * place).astype(int)
        weight = draw.integers(0, 4, rows)
        if 0 < bad[weight > 0].sum() < (weight > 0).sum():
            limits = Limits(max_bins=int(draw.integers(2, 9)), min_share=pick(draw, 0.05, 0.0, 0.1))
            for trend in ("auto", "peak", "none"):
                yield values, bad, weight, {"special": special, "limits": limits, "trend": trend}


@pytest.mark.parametrize("refine", [False, True])
def test_whole_weights_are_rows_that_occur_more_than_once(refine):
    for values, bad, weight, options in weighted_samples(25):
        rows = np.repeat(np.arange(len(bad)), weight)
        repeated, _ = quietly("x", values[rows], bad[rows], refine=refine, **options)
        weighted, _ = quietly("x", values, bad, weight=weight.astype(float), refine=refine, **options)
        assert (weighted.cuts, weighted.groups) == (repeated.cuts, repeated.groups)
        assert replace(weighted, bound=None) == replace(repeated, bound=None)
        assert weighted.bound == (None if repeated.bound is None else pytest.approx(repeated.bound))


@pytest.mark.parametrize("trend", TRENDS)
def test_whole_weights_are_repeated_rows_where_cuts_are_refined_too(trend):
    """Where a cut is looked for must follow from the weight, not from the number, of the rows around it."""
    for seed in range(8):
        draw = np.random.default_rng(seed)
        values = draw.normal(size=800)
        bad = (draw.random(800) < 0.4 + 0.2 * np.sin(3 * values)).astype(int)
        weight = draw.choice([1, 30], 800, p=[0.8, 0.2])
        repeated, _ = quietly("x", np.repeat(values, weight), np.repeat(bad, weight), trend=trend)
        assert quietly("x", values, bad, weight=weight.astype(float), trend=trend)[0].cuts == repeated.cuts


def test_rows_without_weight_are_as_good_as_absent():
    for values, bad, weight, options in weighted_samples(15):
        some = weight > 0
        draw = np.random.default_rng(1)
        weight = np.where(some, draw.random(len(bad)) + 0.1, 0)
        with_them, _ = quietly("x", values, bad, weight=weight, **options)
        without, _ = quietly("x", values[some], bad[some], weight=weight[some], **options)
        assert with_them == without
    noise = np.array([1e9, 7.0, -1e9])  # values that have no weight are no cuts, no levels and no ends
    values, bad = np.append(np.arange(50.0), noise), np.append(np.arange(50) % 2, [0, 1, 1])
    bins, _ = quietly("x", values, bad, weight=np.append(np.ones(50), [0, 0, 0]), limits=FREE, trend="none")
    assert bins == quietly("x", values[:50], bad[:50], limits=FREE, trend="none")[0]


@pytest.mark.parametrize("scale", [0.1, 0.3, 1 / 3, 1e-4, 1e6])
def test_the_unit_of_weight_does_not_move_a_cut(scale):
    """The limits that are in weight are scaled with it. Few values, so that every cut is looked at."""
    for seed in range(40):
        draw = np.random.default_rng(seed)
        values = draw.integers(0, 25, 300).astype(float)
        bad = (draw.random(300) < 0.1 + pick(draw, values, 25 - values) / 40).astype(int)
        weight = draw.integers(1, 4, 300).astype(float)
        limits = Limits(max_bins=int(draw.integers(2, 9)), min_share=0.01, min_goods=3, min_bads=3)
        scaled = replace(limits, min_goods=3 * scale, min_bads=3 * scale)
        for trend in ("auto", "peak", "none"):
            one = fit_bins("x", values, bad, weight=weight, limits=limits, trend=trend)
            other = fit_bins("x", values, bad, weight=weight * scale, limits=scaled, trend=trend)
            assert one.cuts == other.cuts and regular_iv(one) == pytest.approx(regular_iv(other)), (seed, trend)
            assert np.array(other.goods) / scale == pytest.approx(np.array(one.goods), abs=1e-9)


def test_levels_keep_their_groups_in_another_unit_of_weight():
    draw = np.random.default_rng(5)
    values = np.array([f"level {i}" for i in draw.integers(0, 12, 2_000)], dtype=object)
    bad = (draw.random(2_000) < np.array([int(v[6:]) for v in values]) / 20 + 0.05).astype(int)
    weight = draw.integers(1, 4, 2_000).astype(float)
    one = fit_bins("x", values, bad, weight=weight, limits=Limits(rare_rows=300))
    for scale in (0.1, 7.0):
        limits = Limits(rare_rows=300 * scale, min_goods=scale, min_bads=scale)
        assert fit_bins("x", values, bad, weight=weight * scale, limits=limits).groups == one.groups


def test_a_slot_of_bads_alone_has_no_goods_whatever_the_weights():
    """What rounding leaves of a difference of sums would be a WOE of -30."""
    for seed in range(30):
        draw = np.random.default_rng(seed)
        values, bad = draw.integers(0, 10, 300).astype(float), draw.integers(0, 2, 300)
        values[:40], values[40:80] = np.nan, -9
        bad[:80] = 1
        weight = draw.random(300) * 3 + 0.1
        bins, _ = quietly("x", values, bad, weight=weight, special=(-9,), missing="own")
        counted = bins.counted(values, bad, weight)
        for one in (bins, counted):
            assert one.goods[one.missing_slot] == one.goods[one.n_regular] == 0
            assert -8 < one.woe[one.missing_slot] < 0 and -8 < one.woe[one.n_regular] < 0
        opposite, _ = quietly("x", values, 1 - bad, weight=weight, special=(-9,), missing="own")
        assert opposite.bads[opposite.missing_slot] == opposite.bads[opposite.n_regular] == 0


@pytest.mark.parametrize("values", [np.arange(4.0), np.array(list("abca"), dtype=object)])
@pytest.mark.parametrize(
    "weight, message",
    [
        ([1, 1, -1, 1], "the weight -1 in row 3 is not a number of 0 or more"),
        ([1, np.nan, 1, 1], "the weight nan in row 2 is not a number of 0 or more"),
        ([1, 1, 1, np.inf], "the weight inf in row 4 is not a number of 0 or more"),
        ([1, 1, 1], "4 rows and 3 weights; as many of both are needed"),
        ([[1], [1], [1], [1]], "4 rows and 4 weights; as many of both are needed"),
        ([0, 0, 0, 0], "every weight is zero"),
        ([1, 0, 1, 0], "every row is good; both classes are needed"),
    ],
)
def test_weights_that_cannot_be_are_refused(values, weight, message):
    with pytest.raises(BinningError) as caught:
        fit_bins("x", values, np.array([0, 1, 0, 1]), weight=np.array(weight))
    assert str(caught.value).startswith("binning 'x': ") and message in str(caught.value)


# --- Values of any kind -----------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(TRENDS))
def test_the_order_of_rows_does_not_matter(seed, trend):
    values, bad = portfolio(300, seed)
    order = np.random.default_rng(seed).permutation(300)
    weight = np.random.default_rng(seed + 1).integers(1, 5, 300) / 4
    for more in ({}, {"weight": weight}, {"refine": False}):
        again = more | ({"weight": weight[order]} if "weight" in more else {})
        one, other = (
            quietly("x", v, y, trend=trend, special=(-999,), **options)[0]
            for v, y, options in ((values, bad, more), (values[order], bad[order], again))
        )
        assert one == other
    text = np.array([None if np.isnan(v) else f"{v // 10:.0f}" for v in values], dtype=object)
    assert quietly("x", text, bad)[0] == quietly("x", text[order], bad[order])[0]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(-5, 5) | st.sampled_from([0, 0, 0, 9]), st.integers(0, 1)), min_size=2, max_size=80),
    st.sampled_from(TRENDS),
)
def test_every_row_is_counted_once_and_ties_stay_together(rows, trend):
    values, bad = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    if bad.min() == bad.max():
        bad[0] = 1 - bad[0]
    bins, _ = quietly("x", values, bad, trend=trend, limits=FREE)
    assert set(bins.cuts) <= set(values) and min(bins.cuts, default=9) > values.min() - (len(set(values)) == 1)
    assert bins == replace(bins.counted(values, bad), bound=bins.bound)
    assert sum(bins.goods) == (bad == 0).sum() and sum(bins.bads) == bad.sum()
    assert np.isfinite(bins.woe).all()
    json.dumps(bins.to_dict(), allow_nan=False)


def test_values_in_another_unit_or_type_give_the_same_bins():
    values, bad = portfolio()
    bins = fit_bins("x", values, bad, special=(-999.0,))
    for factor in (2.0**10, 2.0**-900, 2.0**900):
        other = fit_bins("x", values * factor, bad, special=(-999.0 * factor,))
        assert other.cuts == tuple(cut * factor for cut in bins.cuts)
        assert (other.goods, other.bads, other.bound) == (bins.goods, bins.bads, bins.bound)
    whole = np.nan_to_num(values, nan=0).astype(int)
    expected = fit_bins("x", whole.astype(float), bad)
    for kind in (np.int16, np.int64, np.float32, object):
        assert fit_bins("x", pd.Series(whole).astype(kind).to_numpy(float if kind is object else kind), bad) == expected
    falling = fit_bins("x", -values, bad, special=(999.0,))
    assert falling.trend == "descending" and falling.iv == pytest.approx(bins.iv, rel=0.05)


def test_truth_values_are_numbers():
    bad = np.array([0, 0, 0, 1] * 20 + [0, 1, 1, 1] * 20)
    bins = fit_bins("x", np.arange(160) >= 80, bad)
    assert (bins.kind, bins.cuts, bins.trend) == ("numeric", (1.0,), "ascending")


@pytest.mark.parametrize("trend", TRENDS)
@pytest.mark.parametrize("refine", [False, True])
@pytest.mark.parametrize("size", [8, 500])
def test_infinite_values_fall_into_the_outermost_bins_and_are_no_cuts(trend, refine, size):
    draw = np.random.default_rng(2)
    values = draw.integers(0, size, 1_000).astype(float)
    bad = (draw.random(1_000) < np.where(values < size / 2, 0.2, 0.6)).astype(int)
    values[draw.random(1_000) < 0.1], values[draw.random(1_000) < 0.1] = np.inf, -np.inf
    never = Limits(never_cut=((size / 4, np.inf),))
    for limits in (Limits(), Limits(min_share=0, max_bins=30), never, replace(never, never_cut=((-np.inf, size / 4),))):
        bins, _ = quietly("x", values, bad, trend=trend, refine=refine, limits=limits)
        assert np.isfinite(bins.cuts).all(), bins.cuts
        assert sum(bins.goods) + sum(bins.bads) == 1_000
        assert bins.assign(np.array([-np.inf, np.inf])).tolist() == [0, bins.n_regular - 1]
        json.dumps(bins.to_dict(), allow_nan=False)


def test_huge_and_tiny_numbers_are_cut_where_they_are():
    bad = np.array([0, 0, 0, 1] * 30 + [0, 1, 1, 1] * 30)
    top = np.finfo(float).max
    for low, high in ((-top, top), (0.0, 5e-324), (-5e-324, 5e-324), (1.0, np.nextafter(1, 2)), (1e300, 1.1e300)):
        bins = fit_bins("x", np.repeat([low, high], 120), bad)
        assert bins.cuts == (high,) and bins.goods[:2] == (90.0, 30.0)


def test_all_distinct_and_heavily_tied_values_are_binned_alike():
    draw = np.random.default_rng(4)
    values = draw.normal(size=5_000)
    bad = (draw.random(5_000) < 1 / (1 + np.exp(1.5 - values))).astype(int)
    distinct = fit_bins("x", values, bad)
    tied = fit_bins("x", np.round(values), bad)
    assert len(set(values)) == 5_000 and len(set(np.round(values))) < 12
    assert distinct.trend == tied.trend == "ascending" and tied.iv > 0.85 * distinct.iv


def iv_of_leaves(leaves: np.ndarray, bad: np.ndarray) -> float:
    counts = pd.crosstab(leaves, bad)
    return float(iv_of(counts[0], counts[1]).sum())


@pytest.mark.parametrize("seed", [1, 2])
def test_a_count_that_is_zero_for_almost_all_has_the_iv_that_a_tree_finds(seed):
    draw = np.random.default_rng(seed)
    rows = 20_000
    for past_due in (draw.poisson(3, rows) + 1.0, draw.lognormal(3, 1, rows)):
        counts = np.where(draw.random(rows) < 0.94, 0.0, past_due)
        bad = (draw.random(rows) < np.where(counts > 0, 0.5, 0.03)).astype(int)
        bins = fit_bins("x", counts, bad, limits=Limits(min_share=0.01))
        tree = DecisionTreeClassifier(max_depth=3, max_leaf_nodes=8, min_samples_leaf=0.01, criterion="entropy")
        of_tree = iv_of_leaves(tree.fit(counts[:, None], bad).apply(counts[:, None]), bad)
        deciles = pd.qcut(counts, 10, duplicates="drop", labels=False)
        assert iv_of_leaves(deciles, bad) == 0  # all rows are in one bin
        assert bins.iv > 0.95 * of_tree > 0.5
        assert bins.goods[0] + bins.bads[0] == pytest.approx((counts == 0).sum(), rel=0.01) and bins.n_regular > 1


def test_missing_that_is_itself_the_strongest_signal_keeps_its_bin_and_its_iv():
    draw = np.random.default_rng(6)
    values = draw.normal(size=6_000)
    bad = (draw.random(6_000) < 0.1).astype(int)
    gone = draw.random(6_000) < 0.1
    bad[gone] = draw.random(gone.sum()) < 0.6
    values[gone] = np.nan
    text = np.array([None if np.isnan(v) else "ab"[int(v > 0)] for v in values], dtype=object)
    for column in (values, text):
        bins, _ = quietly("x", column, bad)
        goods, bads = (~bad.astype(bool))[gone].sum(), bad[gone].sum()
        assert (bins.goods[bins.missing_slot], bins.bads[bins.missing_slot]) == (goods, bads)
        alone = iv_of([goods, (bad == 0).sum() - goods], [bads, bad.sum() - bads])[0]
        assert bins.iv_by_slot[bins.missing_slot] == pytest.approx(alone) and alone > 0.5
        assert bins.iv_by_slot[bins.missing_slot] > 0.7 * bins.iv
        assert bins.woe[bins.missing_slot] == bins.woe.min() < -2 and bins.missing == OWN


# --- What missing values and codes are worth --------------------------------------------------------------------------


def test_a_few_missing_values_are_neutral_and_enough_have_a_woe_of_their_own():
    for gaps, policy in ((1, NEUTRAL), (MIN_OUTSIDE - 1, NEUTRAL), (MIN_OUTSIDE, OWN), (200, OWN)):
        values = np.append(np.arange(400.0), np.full(int(gaps), np.nan))
        bad = np.append(np.arange(400) % 3 == 0, np.arange(int(gaps)) < gaps).astype(int)
        coded = np.nan_to_num(values, nan=-1)
        assert fit_bins("x", values, bad).missing == policy
        bins = fit_bins("x", coded, bad, special=(-1,))
        assert bins.policies == (policy, OWN)  # nobody is missing: nothing is known, and nothing is worth anything
        assert (bins.woe[bins.n_regular] == 0) == (policy == NEUTRAL)
    for missing in (OWN, NEUTRAL, "worst"):
        assert fit_bins("x", values, bad, missing=missing).missing == missing


def test_missing_may_share_the_bin_of_the_nearest_bad_rate():
    draw = np.random.default_rng(7)
    values = np.repeat([0.0, 1.0, 2.0, np.nan], 500)
    bad = (draw.random(2_000) < np.repeat([0.1, 0.3, 0.6, 0.32], 500)).astype(int)
    bins = fit_bins("x", values, bad, missing="similar")
    assert bins.cuts == (1.0, 2.0) and bins.missing == 1 and bins.woe[bins.missing_slot] == bins.woe[1]
    assert sum(bins.goods) + sum(bins.bads) == 2_000 and bins.goods[bins.missing_slot] > 0
    nobody = fit_bins("x", values[:1_500], bad[:1_500], missing="similar")
    assert nobody.missing == NEUTRAL and nobody.woe[nobody.missing_slot] == 0


def test_each_special_code_has_a_bin_and_is_no_cut():
    values, bad = portfolio(3_000)
    values[:200], values[200:300] = 40, 41.25  # codes may lie among the values
    bins = fit_bins("x", values, bad, special=(-999, 40, 41.25, 1e9))
    slots = bins.assign(np.array([-999, 40, 41.25, 1e9, 40.1, np.nan]))
    assert (slots[:4] == bins.n_regular + np.arange(4)).all() and slots[4] < bins.n_regular
    assert not {40.0, 41.25} & set(bins.cuts)
    for i, code in enumerate((-999, 40, 41.25, 1e9)):
        slot = bins.n_regular + i
        assert bins.goods[slot] + bins.bads[slot] == (values == code).sum()
    assert sum(bins.goods) + sum(bins.bads) == 3_000


def test_a_code_given_twice_or_as_missing_is_counted_once():
    values, bad = portfolio(1_000)
    for special in ((-999, -999.0), (-999, np.nan)):
        bins, _ = quietly("x", values, bad, special=special)
        if bins is not None:
            assert sum(bins.goods) + sum(bins.bads) == 1_000, special


# --- Outcomes with a name ---------------------------------------------------------------------------------------------

TEXT = np.array(list("abcd"), dtype=object)


@pytest.mark.parametrize("values", [np.arange(4.0), TEXT, pd.Categorical(list("abcd"))])
@pytest.mark.parametrize(
    "bad, message",
    [
        (np.array([0, 1, 2, 0]), "the target is 2 in row 3; it must be 0 (good) or 1 (bad) in every row (1 of 4 rows"),
        (np.array([0, 1, np.nan, 0]), "the target is missing, or not a number in row 3"),
        (np.array([0, 1, None, 1], dtype=object), "the target is missing, or not a number in row 3"),
        (np.array(["good", "bad", "good", "bad"]), "the target is missing, or not a number in row 1"),
        (np.zeros(4), "every row is good; both classes are needed"),
        (np.ones(4, dtype=bool), "every row is bad; both classes are needed"),
        (np.array([0, 1]), "4 values and 2 outcomes; as many of both are needed"),
        (np.array([]), "4 values and 0 outcomes"),
        (np.array([[0, 1, 0, 1]]), "as many of both are needed"),
    ],
)
def test_a_target_that_cannot_be_learned_from_is_refused(values, bad, message):
    with pytest.raises(BinningError) as caught:
        fit_bins("x", values, bad)
    assert str(caught.value).startswith("binning 'x': ") and message in str(caught.value)


def test_an_empty_column_is_refused():
    for values in (np.array([]), np.array([], dtype=object)):
        with pytest.raises(BinningError, match="'x': there are no rows"):
            fit_bins("x", values, np.array([]))


@pytest.mark.parametrize(
    "values, why",
    [
        (np.full(100, 7.0), "all its values are the same"),
        (np.full(100, np.nan), "there is no regular value"),
        (np.full(100, -999.0), "there is no regular value"),
        (np.where(np.arange(100) % 2, np.nan, -999.0), "there is no regular value"),
        (np.full(100, None, dtype=object), "there is no regular value"),
        (np.full(100, "a", dtype=object), "all its values are the same"),
        (np.array([f"{i}" for i in range(100)], dtype=object), "each of its 100 levels has fewer than 30 rows"),
    ],
)
@pytest.mark.parametrize("refine", [False, True])
def test_values_without_information_are_one_bin_with_a_warning(values, why, refine):
    bad = np.array([0, 1, 1, 0] * 25)
    with pytest.warns(BinningWarning, match=f"'x' is one bin: {why}") as said:
        bins = fit_bins("x", values, bad, special=() if values.dtype == object else (-999.0,), refine=refine)
    assert len(said) == 1
    assert bins.n_regular <= 1 and bins.cuts == () and bins.iv == pytest.approx(0, abs=1e-12)
    assert bins.transform(values) == pytest.approx(np.zeros(100)) and bins.certificate in (None, 0.0)
    assert sum(bins.goods) == sum(bins.bads) == 50


@pytest.mark.parametrize("trend", TRENDS)
def test_demands_that_no_binning_meets_are_one_bin_with_a_warning_of_what_cannot_hold(trend):
    values = np.append(np.arange(90.0), np.full(10, np.nan))
    bad = (np.arange(100) % 10 == 0).astype(int)
    for limits, why in (
        (Limits(min_bads=10), r"no binning has at least 10 bads in each bin \(there are 9\)"),
        (Limits(min_share=0.95), r"no binning has at least 0.95 of all rows in each bin \(there are 0.9\)"),
        (Limits(min_goods=82), r"no binning has at least 82 goods in each bin \(there are 81\)"),
    ):
        for refine in (False, True):
            with pytest.warns(BinningWarning, match=f"'x' is one bin: {why}") as said:
                bins = fit_bins("x", values, bad, trend=trend, limits=limits, refine=refine)
            assert len(said) == 1 and bins.n_regular == 1 and bins.bads[:2] == (9.0, 1.0)


MUST, NEVER = "the cuts that must be made", "the cuts that must not be made"


@pytest.mark.parametrize("trend", ["auto", "ascending", "none"])
@pytest.mark.parametrize("refine", [False, True])
@pytest.mark.parametrize("size", [20, 600])
@pytest.mark.parametrize(
    "limits, words",
    [
        ({"must_cut": (5.0,), "never_cut": (5.0,)}, [MUST, NEVER]),
        ({"must_cut": (5.0,), "never_cut": ((2.0, 8.0),)}, [MUST, NEVER]),
        ({"must_cut": (5.0, 10.0, 15.0), "max_bins": 3}, ["at most 3 bins", MUST]),
        ({"must_cut": (5.0,), "min_share": 0.4}, ["at least 0.4 of all rows", MUST]),
        ({"max_share": 0.3, "max_bins": 3}, ["at most 0.3 of all rows", "at most 3 bins"]),
    ],
)
def test_contradictory_demands_are_refused_and_both_are_named(limits, words, trend, refine, size):
    draw = np.random.default_rng(8)
    values = np.concatenate([draw.permutation(np.arange(2_000) % 20), draw.uniform(0, 20, size)])
    bad = (draw.random(len(values)) < 0.1 + values / 40).astype(int)
    if "min_share" in limits and size == 600:
        values = np.append(values, 20 + draw.random(100))
        bad = np.append(bad, [0, 1] * 50)
    with pytest.raises(BinningError) as caught:
        fit_bins("x", values, bad, limits=Limits(**limits), trend=trend, refine=refine)
    message = str(caught.value)
    assert message.startswith("binning 'x': no binning has ") and " together with " in message
    assert all(word in message for word in words), message
    assert message.count(" together with ") == 1, message


@pytest.mark.parametrize("order", ["ascending", "descending"])
def test_a_cut_that_holds_in_one_direction_only_is_made_in_that_direction(order):
    """auto is the better of two directions; that the other cannot be is no error and no warning."""
    values = np.repeat(np.arange(6.0), 200)
    rate = np.repeat([0.1, 0.12, 0.5, 0.45, 0.6, 0.62], 200)
    bad = (np.random.default_rng(9).random(1_200) < (rate if order == "ascending" else 1 - rate)).astype(int)
    for limits in (Limits(must_cut=(2.0,)), Limits(max_share=0.4), Limits(must_cut=(2.0, 4.0), max_bins=4)):
        bins, said = quietly("x", values, bad, limits=limits)
        assert not said and bins.trend == order and set(limits.must_cut) <= set(bins.cuts)


def test_cuts_that_must_be_made_need_not_be_observed_values():
    values, bad = portfolio()
    bins = fit_bins("x", values, bad, special=(-999,), limits=Limits(must_cut=(50.05, 61.23)))
    assert {50.05, 61.23} <= set(bins.cuts) and bins.certificate <= 1
    coarse = fit_bins("x", values, bad, special=(-999,), limits=Limits(must_cut=[50.05]), refine=False)
    assert 50.05 in coarse.cuts
    counts = partial_counts("x", values, bad, edges=(40.0, 50.05, 60.0), special=(-999,))
    assert 50.05 in from_counts(counts, limits=Limits(must_cut=(50.05,))).cuts


def test_a_cut_that_must_be_made_where_counts_have_no_edge_is_refused():
    values, bad = portfolio()
    counts = partial_counts("x", values, bad, edges=(40.0, 60.0), special=(-999,))
    with pytest.raises(BinningError, match="50"):
        from_counts(counts, limits=Limits(must_cut=(50.0,)))


@pytest.mark.parametrize("refine", [False, True])
def test_a_cut_beyond_all_values_cannot_be_made(refine):
    values, bad = portfolio(500)
    for cut in (-5_000.0, 5_000.0):
        with pytest.raises(BinningError, match=MUST):
            fit_bins("x", values, bad, limits=Limits(must_cut=(cut,)), refine=refine)


@pytest.mark.parametrize("never", [(np.int64(5),), [5], [[2, 9]], ((2, 9), 12.0), (np.float64(5), (np.int64(7), 9.5))])
def test_cuts_that_must_not_be_made_come_as_numbers_and_pairs_of_any_type(never):
    draw = np.random.default_rng(10)
    values = draw.integers(0, 15, 2_000).astype(float)
    bad = (draw.random(2_000) < values / 20).astype(int)
    bins = fit_bins("x", values, bad, limits=Limits(min_share=0.01, max_bins=15, never_cut=never))
    for one in never:
        low, high = (one, one) if np.ndim(one) == 0 else one
        assert not any(low < cut < high or low == cut == high for cut in bins.cuts)


@pytest.mark.parametrize("values", [np.arange(4.0), TEXT])
def test_unknown_trends_and_policies_are_refused(values):
    bad = np.array([0, 1, 0, 1])
    with pytest.raises(BinningError, match="'x': trend is 'up'; it must be one of auto, ascending"):
        fit_bins("x", values, bad, trend="up")
    with pytest.raises(BinningError, match="'x': missing is 'mean'; it must be one of auto, similar, own"):
        fit_bins("x", values, bad, missing="mean")


def test_a_perfect_separator_is_not_silently_worthless():
    """Bins need goods and bads, so there is none; but such a column is a leak, and someone must hear of it."""
    values = np.arange(200.0)
    with pytest.warns(BinningWarning, match="'x' is one bin"):
        fit_bins("x", values, (values >= 100).astype(int))


# --- Levels -----------------------------------------------------------------------------------------------------------


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
    assert fit_bins("x", pd.Categorical(values), bad) == bins == fit_bins("x", values, bad, trend="descending")


def test_groups_of_few_levels_are_the_best_of_every_way_to_join_neighbours():
    seen = Counter()
    for seed in range(120):
        draw = np.random.default_rng(seed)
        counts = draw.integers(1, 40, (int(draw.integers(2, 8)), 2))
        levels = np.array([f"{i}" for i in range(len(counts))], dtype=object)
        values, bad = np.repeat(np.tile(levels, 2), counts.T.ravel()), np.repeat([0, 1], counts.sum(axis=0))
        limits = random_limits(draw) | {"max_share": Fraction(1)}
        rates = [Fraction(int(b), int(g + b)) for g, b in counts]
        order = sorted(range(len(counts)), key=rates.__getitem__)
        case = Case(*(tuple(int(x) for x in counts[order, k]) for k in (0, 1)), tuple(counts.sum(axis=0)), limits)
        holders = case.brute_force("ascending")[1]
        bins, said = quietly("x", values, bad, limits=case.as_limits(rare_rows=0))
        if not holders:
            assert bins.n_regular == 1 and "no binning has" in said
            continue
        ends = np.cumsum([len(group) for group in bins.groups])
        if len(set(rates)) == len(rates):  # levels of one rate may stand in either order
            assert [int(level) for group in bins.groups for level in group] == order
            assert (0, *ends[:-1].tolist()) in holders
        assert regular_iv(bins) == pytest.approx(case.brute_force("ascending")[0], abs=1e-12)
        assert bins.certificate is None or bins.certificate <= 1 + 1e-9
        seen[bins.n_regular] += 1
    assert sum(seen[k] for k in range(2, 8)) > 50


def test_rare_levels_are_pooled_and_what_was_never_seen_counts_with_them():
    draw = np.random.default_rng(11)
    values = np.array(["safe"] * 900 + ["risky"] * 900 + [f"rare {i // 20}" for i in range(200)], dtype=object)
    bad = (draw.random(2_000) < np.repeat([0.1, 0.6, 0.35], [900, 900, 200])).astype(int)
    bins = fit_bins("x", values, bad)
    pool = tuple(f"rare {i}" for i in range(10))
    assert bins.groups == (("safe",), pool, ("risky",)) and bins.other == 1 and bins.unseen == 1
    never = bins.transform(np.array(["new", "rare 3", None], dtype=object))
    assert never[0] == never[1] == bins.woe[1] and never[2] == 0
    whole = fit_bins("x", values, bad, limits=Limits(rare_rows=0))
    assert whole.other is None and whole.unseen == NEUTRAL and len(whole.groups) >= 3


def test_thousands_of_levels_are_binned_in_few_pre_bins():
    draw = np.random.default_rng(4)
    values = np.array([f"zip {i}" for i in draw.integers(0, 3_000, 20_000)], dtype=object)
    bad = (draw.random(20_000) < 0.2).astype(int)
    for limits in (Limits(rare_rows=0), Limits(rare_rows=6)):
        bins = fit_bins("x", values, bad, limits=limits)
        assert sorted(level for group in bins.groups for level in group) == sorted(set(values))
        goods, bads = regular(bins)
        assert 1 < len(bins.groups) <= 8 and (np.diff(bads / (goods + bads)) > 0).all()
        assert sum(bins.goods) + sum(bins.bads) == 20_000 and 0 < bins.certificate <= 1
        assert np.isfinite(bins.transform(values)).all()


def test_levels_with_odd_names_are_levels():
    names = ["", " ", "nan", "None", "missing", "unseen", "a\0", "a", "ä", "\U0001f600"]
    values = np.array(names * 100, dtype=object)
    bad = (np.random.default_rng(5).random(1_000) < np.tile(np.linspace(0.05, 0.9, 10), 100)).astype(int)
    bins = fit_bins("x", values, bad, limits=Limits(max_bins=10))
    assert sorted(level for group in bins.groups for level in group) == sorted(names)
    assert bins.goods[bins.missing_slot] + bins.bads[bins.missing_slot] == 0
    assert Bins.from_dict(json.loads(json.dumps(bins.to_dict()))) == bins


def test_cuts_of_text_are_refused():
    bad = np.array([0, 1] * 50)
    for limits in (Limits(must_cut=(1.0,)), Limits(never_cut=(1.0,))):
        with pytest.raises(BinningError, match="'x': must_cut and never_cut are values of a number; this column holds"):
            fit_bins("x", np.array(list("ab") * 50, dtype=object), bad, limits=limits)


def test_levels_that_are_not_text_are_refused():
    with pytest.raises(BinningError, match="'x': the level 1 is not text"):
        fit_bins("x", np.array([1, "b"] * 50, dtype=object), np.array([0, 1] * 50))


# --- Cuts and groups from elsewhere -----------------------------------------------------------------------------------


def test_given_cuts_are_taken_as_they_are_with_the_counts_of_the_sample():
    values, bad = portfolio()
    bins = bins_at("x", values, bad, [60, 40.5, np.float64(30)], special=(-999,))
    assert bins.cuts == (30.0, 40.5, 60.0) and bins.special == (-999.0,)
    inside = ~np.isnan(values) & (values != -999)
    for slot, (low, high) in enumerate(itertools.pairwise((-np.inf, 30, 40.5, 60, np.inf))):
        rows = inside & (values >= low) & (values < high)
        assert (bins.goods[slot], bins.bads[slot]) == ((rows & (bad == 0)).sum(), (rows & (bad == 1)).sum())
    assert sum(bins.goods) + sum(bins.bads) == len(bad) and bins.trend == "ascending"
    assert bins.certificate < fit_bins("x", values, bad, special=(-999,)).certificate
    weight = np.random.default_rng(1).integers(0, 3, len(bad))
    repeated = bins_at("x", np.repeat(values, weight), np.repeat(bad, weight), [40], special=(-999,))
    weighted = bins_at("x", values, bad, [40], special=(-999,), weight=weight.astype(float))
    assert (weighted.goods, weighted.bads) == (repeated.goods, repeated.bads)
    assert bins_at("x", values, bad, [], special=(-999,)).n_regular == 1
    for missing in (OWN, NEUTRAL, "worst"):
        assert bins_at("x", values, bad, [40], missing=missing).missing == missing


def test_given_groups_are_put_in_order_and_other_levels_are_unseen():
    values = np.array(["a"] * 100 + ["b"] * 100 + ["c"] * 100 + [None] * 50, dtype=object)
    bad = np.concatenate([np.arange(100) < 60, np.arange(100) < 10, np.arange(100) < 30, np.arange(50) < 9]).astype(int)
    bins = bins_at("x", values, bad, [["a"], ["b", "z"]])
    assert bins.groups == (("b", "z"), ("a",)) and bins.bads == (10.0, 60.0, 9.0, 30.0)
    assert bins.transform(np.array(["c", "q"], dtype=object)).tolist() == [0, 0]
    assert sum(bins.goods) + sum(bins.bads) == 350


@pytest.mark.parametrize(
    "values, at, message",
    [
        (np.arange(4.0), [1, np.nan], "the cut nan is not a finite number"),
        (np.arange(4.0), [1, np.inf], "the cut inf is not a finite number"),
        (np.arange(4.0), [1, 1.0], "the cut 1 stands twice"),
        (np.arange(4.0), [True], "the cut True is not a finite number"),
        (np.arange(4.0), [["a"], ["b"]], "it holds numbers; give cuts, not groups of levels"),
        (TEXT, [1, 2], "it holds text; give groups of levels, not cuts"),
        (TEXT, [["a"], ["a", "b"]], "the level 'a' stands twice"),
        (TEXT, [["a"], []], "is not a list of levels"),
        (TEXT, ["ab", "c"], "is not a list of levels"),
        (TEXT, [[1]], "the level 1 is not text"),
    ],
)
def test_cuts_and_groups_that_cannot_be_are_refused(values, at, message):
    with pytest.raises(BinningError) as caught:
        bins_at("x", values, np.array([0, 1, 0, 1]), at)
    assert str(caught.value).startswith("binning 'x': ") and message in str(caught.value)


def test_given_cuts_know_wrong_policies_trends_and_one_class():
    values, bad = np.arange(4.0), np.array([0, 1, 0, 1])
    with pytest.raises(BinningError, match="missing is 'mean'"):
        bins_at("x", values, bad, [2], missing="mean")
    with pytest.raises(BinningError, match="trend is 'up'"):
        bins_at("x", values, bad, [2], trend="up")
    with pytest.raises(BinningError, match="every row is bad; both classes are needed"):
        bins_at("x", values, bad, [2], weight=bad.astype(float))


def test_the_certificate_of_given_cuts_is_a_number_or_nothing():
    """A bin of goods alone, or an order that is not the trend's, is nothing that the bound is about."""
    values = np.repeat(np.arange(6.0), 50)
    bad = (np.arange(300) % 50 < np.repeat([0, 20, 10, 30, 50, 25], 50)).astype(int)
    for cuts in ([1], [4, 5], [1, 2, 3, 4, 5], [2, 3], [100]):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.simplefilter("ignore", BinningWarning)  # no row is at 100 or above
            certificate = bins_at("x", values, bad, cuts).certificate
        assert certificate is None or 0 <= certificate <= 1 + 1e-9, cuts


# --- What given bins leave out, and what cannot be cut ----------------------------------------------------------------


def test_given_bins_say_which_hold_no_row_and_which_levels_they_forget():
    bad = np.array([0, 1] * 50)
    with pytest.warns(BinningWarning, match=r"'x': no row is in \[200, inf\), so its WOE is 0"):
        bins_at("x", np.arange(100.0), bad, [50, 200])
    levels = np.array(list("abcd") * 25, dtype=object)
    with pytest.warns(BinningWarning, match=r"'x': c, d \(50.0% of the rows\) are in no group, so their WOE is 0"):
        bins_at("x", levels, bad, [["a"], ["b"]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        bins_at("x", levels, bad, [["a", "b"], ["c", "d"]])


def test_a_variable_that_no_cut_keeps_within_the_limits_says_so():
    values, bad = portfolio()
    for options in ({"trend": "descending"}, {"limits": Limits(min_difference=0.9)}, {"limits": Limits(min_share=0.6)}):
        with pytest.warns(BinningWarning, match="'x' is one bin: no cut keeps to trend"):
            assert fit_bins("x", values, bad, special=(-999,), **options).n_regular == 1
    _, said = quietly("x", values, bad, special=(-999,), limits=Limits(max_bins=1))
    assert not said  # one bin was asked for


def test_special_codes_of_text_are_refused_and_one_code_needs_no_list():
    with pytest.raises(BinningError, match="special codes are numbers; a level has a group of its own"):
        fit_bins("x", TEXT, np.array([0, 1, 0, 1]), special=[1])
    values, bad = portfolio()
    assert fit_bins("x", values, bad, special=-999) == fit_bins("x", values, bad, special=(-999,))
