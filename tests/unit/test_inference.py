"""How sure a figure is: against hand computations, published values and simulation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit
from scipy.stats import beta, chi2, norm

from creditrisk.modelling.inference import (
    auc_covariance,
    auc_difference,
    auc_interval,
    brier,
    calibration_fit,
    herfindahl,
    hosmer_lemeshow,
    impact_ratio,
    jeffreys_p,
    observed_to_expected,
    placements,
    spiegelhalter,
)
from creditrisk.modelling.metrics import auc


def sample(rows: int, seed: int, slope: float = 1.0, shift: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Outcomes and PDs; with slope 1 and shift 0 the PDs are true."""
    draw = np.random.default_rng(seed)
    margin = draw.normal(-2, 1, rows)
    return (draw.random(rows) < expit(margin)).astype(int), expit(slope * margin + shift)


def test_delong_is_the_variance_of_placements_counted_one_by_one():
    draw = np.random.default_rng(1)
    bad, scores = (draw.random(60) < 0.3).astype(bool), draw.integers(0, 8, (60, 2)).astype(float)
    of_bads, of_goods = placements(bad, scores)
    for j in range(2):
        b, g = scores[bad, j], scores[~bad, j]
        wins = (b[:, None] > g[None, :]) + 0.5 * (b[:, None] == g[None, :])
        assert of_bads[:, j] == pytest.approx(wins.mean(axis=1)) and of_goods[:, j] == pytest.approx(wins.mean(axis=0))
    areas, covariance = auc_covariance(bad, scores)
    assert areas == pytest.approx([auc(bad, scores[:, 0]), auc(bad, scores[:, 1])])
    by_hand = np.cov(of_bads[:, 0], of_bads[:, 1])[0, 1] / len(of_bads)
    by_hand += np.cov(of_goods[:, 0], of_goods[:, 1])[0, 1] / len(of_goods)
    assert covariance[0, 1] == pytest.approx(by_hand) == covariance[1, 0]


def test_the_interval_of_an_auc_covers_the_true_one_as_often_as_it_says():
    bad, pd = sample(400_000, 1)
    true, hits = auc(bad, pd), 0
    for seed in range(300):
        b, p = sample(800, seed + 10)
        found = auc_interval(b, p)
        hits += found.low <= true <= found.high
        assert 0 < found.low < found.value < found.high < 1
    assert 0.91 <= hits / 300 <= 0.98


def test_a_paired_difference_knows_that_two_scores_go_together():
    bad, pd = sample(4_000, 3)
    noise = np.random.default_rng(4).normal(0, 0.2, len(pd))
    gap, p = auc_difference(bad, pd, logit(pd) + noise)
    apart = np.hypot(*(auc_interval(bad, s).high - auc_interval(bad, s).value for s in (pd, logit(pd) + noise)))
    assert gap.low < gap.value < gap.high and gap.high - gap.value < apart / 2
    same, p_same = auc_difference(bad, pd, logit(pd))  # the same order
    assert (same.value, p_same) == (0.0, 1.0)
    worse, p_worse = auc_difference(bad, pd, np.random.default_rng(5).random(len(pd)))
    assert worse.low > 0 and p_worse < 1e-6


def test_too_few_of_a_class_have_no_interval():
    for bad in (np.zeros(5), np.array([1, 0, 0, 0, 0])):
        assert np.isnan(auc_interval(bad, np.arange(5.0)).low)
    assert np.isnan(auc_interval([1, 1, 0, 0], [3.0, 4.0, 1.0, 2.0]).high)  # perfect: no spread to go by


def test_true_pds_have_slope_1_intercept_0_and_as_many_bads_as_expected():
    hits = np.zeros(3)
    for seed in range(200):
        found = calibration_fit(*sample(1_500, seed))
        for k, (one, right) in enumerate(((found.slope, 1), (found.intercept, 0), (found.observed_to_expected, 1))):
            hits[k] += one.low <= right <= one.high
    assert (hits / 200 >= 0.90).all(), hits


@pytest.mark.parametrize("slope, shift", [(2.0, 0.0), (0.5, 0.0), (1.0, 0.7), (1.0, -0.7)])
def test_wrong_pds_are_told_by_how_they_are_wrong(slope, shift):
    bad, pd = sample(40_000, 5, slope, shift)
    found = calibration_fit(bad, pd)
    assert abs(found.slope.value - 1 / slope) < found.slope.high - found.slope.low  # four standard errors
    if slope == 1:
        assert abs(found.intercept.value + shift) < found.intercept.high - found.intercept.low
        assert (found.observed_to_expected.value < 1) == (shift > 0)


def test_one_class_has_no_line_but_still_a_count():
    found = calibration_fit(np.zeros(100), np.full(100, 0.02))
    assert np.isnan(found.slope.value) and np.isnan(found.intercept.value)
    assert found.observed_to_expected.value == found.observed_to_expected.low == 0 < found.observed_to_expected.high
    whole, error = observed_to_expected(np.ones(40), np.full(40, 0.5))
    exact = chi2.ppf(0.025, 80) / 40, chi2.ppf(0.975, 82) / 40
    assert (whole.low, whole.high) == pytest.approx(exact, rel=2e-3) and np.isnan(error)  # Wilson and Hilferty


@pytest.mark.parametrize("level", [0.02, 0.3, 0.5])
def test_equal_pds_have_no_slope_rather_than_a_narrow_interval(level):
    found = calibration_fit(np.repeat([1, 0], [300, 700]), np.full(1_000, level))
    assert np.isnan([found.slope.value, found.slope.low, found.slope.high]).all()
    assert found.no_slope == "all PDs are equal"
    assert found.intercept.value == pytest.approx(logit(0.3) - logit(level))
    assert found.intercept.high - found.intercept.value == pytest.approx(1.959964 / np.sqrt(1_000 * 0.3 * 0.7))


def test_pds_of_goods_and_bads_that_do_not_overlap_have_no_slope():
    found = calibration_fit(np.repeat([1, 0], [30, 70]), np.repeat([0.4, 0.1], [30, 70]))
    assert np.isnan(found.slope.high) and "do not overlap" in found.no_slope and np.isfinite(found.intercept.high)


def test_slope_and_intercept_are_those_of_a_logistic_regression_with_its_wald_intervals():
    # statsmodels 0.15.0: Logit(bad, [1, x]) and GLM(bad, 1, Binomial(), offset=x), conf_int()
    x = np.repeat([-3.0, -2.0, -1.0, 0.0, 1.0], 40)
    bad = np.concatenate([np.arange(40) < bads for bads in (3, 4, 12, 17, 30)])
    found = calibration_fit(bad, expit(x))
    slope = (found.slope.value, found.slope.low, found.slope.high)
    assert slope == pytest.approx((0.9422097, 0.6517505, 1.2326690), abs=1e-6)
    level = (found.intercept.value, found.intercept.low, found.intercept.high)
    assert level == pytest.approx((-0.0209929, -0.3694719, 0.3274861), abs=1e-6)


def test_bads_where_every_pd_is_0_are_infinitely_more_than_expected():
    ratio, _ = observed_to_expected(np.array([1, 0, 0]), np.zeros(3))
    assert ratio.value == ratio.low == np.inf
    assert np.isnan(observed_to_expected(np.zeros(3), np.zeros(3))[0].value)


# Goodness of fit


def test_hosmer_and_lemeshow_is_that_computed_by_hand_with_a_degree_of_freedom_for_each_group():
    # bads 2 of 10 at a PD of .1, and 4 of 10 at .5: (2 - 1)^2 / (10 * .1 * .9) + (4 - 5)^2 / (10 * .5 * .5)
    bad = np.concatenate([np.arange(10) < 2, np.arange(10) < 4])
    statistic, degrees, p = hosmer_lemeshow(bad, np.repeat([0.1, 0.5], 10))
    assert (statistic, degrees) == (pytest.approx(1 / 0.9 + 1 / 2.5), 2)
    assert p == pytest.approx(np.exp(-statistic / 2)), "chi-squared of two degrees"


def test_hosmer_and_lemeshow_over_tenths_is_the_sum_of_pearsons_chi_squared():
    bad, pd = sample(2_000, 3)
    statistic, degrees, p = hosmer_lemeshow(bad, pd)
    by_hand = 0.0
    for part in np.array_split(np.argsort(pd), 10):  # no ties, and rows that ten divides
        seen, expected = np.array([bad[part].sum(), (1 - bad[part]).sum()]), np.array([pd[part].sum(), 0.0])
        expected[1] = len(part) - expected[0]
        by_hand += ((seen - expected) ** 2 / expected).sum()
    assert (statistic, degrees) == (pytest.approx(by_hand), 10)
    assert p == pytest.approx(chi2.sf(by_hand, 10))
    order = np.random.default_rng(0).permutation(len(pd))
    coarse = np.round(pd, 1)
    assert hosmer_lemeshow(bad[order], coarse[order]) == pytest.approx(hosmer_lemeshow(bad, coarse))


def test_right_pds_are_rejected_by_neither_test_more_often_than_they_say():
    p = np.array([(hosmer_lemeshow(*one)[2], spiegelhalter(*one)[1]) for one in (sample(1_000, s) for s in range(400))])
    assert ((p < 0.05).mean(axis=0) < 0.085).all() and ((p < 0.5).mean(axis=0) > 0.4).all()


def test_spiegelhalters_z_is_that_computed_by_hand():
    # sum (y - p)(1 - 2p) = .8 * .6 - .4 * .2, and sum (1 - 2p)^2 p (1 - p) = .36 * .16 + .04 * .24
    z, p = spiegelhalter(np.array([1, 0]), np.array([0.2, 0.4]))
    assert z == pytest.approx((0.8 * 0.6 - 0.4 * 0.2) / np.sqrt(0.36 * 0.16 + 0.04 * 0.24))
    assert p == pytest.approx(2 * norm.sf(abs(z)))
    bad, pd = sample(500, 8)
    by_brier = np.mean((bad - pd) ** 2) - np.mean(pd * (1 - pd))  # the Brier score less what right PDs expect of it
    error = np.sqrt(np.sum((1 - 2 * pd) ** 2 * pd * (1 - pd))) / len(pd)
    assert spiegelhalter(bad, pd)[0] == pytest.approx(by_brier / error)


def test_pds_that_leave_nothing_to_chance_are_right_or_infinitely_wrong():
    bad = np.array([1, 0, 0])
    assert hosmer_lemeshow(bad, bad)[:2] == (0.0, 0) and np.isnan(hosmer_lemeshow(bad, bad)[2])
    assert hosmer_lemeshow(bad, 1 - bad)[0] == np.inf and hosmer_lemeshow(bad, 1 - bad)[2] == 0
    assert hosmer_lemeshow(np.array([1, 0]), np.array([0.0, 0.5]))[::2] == (np.inf, 0.0)
    assert np.isnan(spiegelhalter(bad, np.full(3, 0.5))).all() and spiegelhalter(bad, 1 - bad) == (np.inf, 0.0)


def test_no_rows_have_no_figure_and_no_error():
    none = np.empty(0)
    assert np.isnan(auc_interval(none, none).value) and np.isnan(calibration_fit(none, none).intercept.value)
    assert np.isnan(hosmer_lemeshow(none, none)[2]) and np.isnan(spiegelhalter(none, none)[0])


def test_jeffreys_p_is_that_of_the_published_example():
    found = jeffreys_p(0.05, 200, np.array([10, 13, 16, 18, 20]))
    assert found.round(4).tolist() == [0.4804, 0.1638, 0.0327, 0.0084, 0.0018]
    assert jeffreys_p(0.03, 500, 22) == pytest.approx(beta.cdf(0.03, 22.5, 478.5))


def test_the_parts_of_brier_do_not_depend_on_the_order_of_rows_with_equal_pds():
    bad, pd = sample(600, 2)
    coarse, order = np.round(pd, 1), np.random.default_rng(1).permutation(600)
    parts = brier(bad, coarse)
    assert vars(brier(bad[order], coarse[order])) == pytest.approx(vars(parts))
    means = {level: bad[coarse == level].mean() for level in np.unique(coarse)}
    assert parts.resolution <= np.mean([(means[level] - bad.mean()) ** 2 for level in coarse]) + 1e-12


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 1_000), st.integers(2, 15))
def test_the_parts_of_brier_add_up_where_pds_are_the_same_within_groups(seed, groups):
    draw = np.random.default_rng(seed)
    pd = np.repeat(np.sort(draw.random(groups)), 50)
    bad = (draw.random(len(pd)) < pd).astype(int)
    parts = brier(bad, pd, groups)
    assert parts.score == pytest.approx(parts.reliability - parts.resolution + parts.uncertainty)
    assert parts.skill == pytest.approx(1 - parts.score / (bad.mean() * (1 - bad.mean()))) or bad.mean() in (0, 1)


def test_concentration_is_0_when_even_and_1_when_in_one_grade():
    assert herfindahl([5, 5, 5]) == pytest.approx((0, 0))
    assert herfindahl([10, 0, 0, 0]) == pytest.approx((3**0.5, 1))
    assert np.isnan(herfindahl([7])).all() and np.isnan(herfindahl([0, 0])).all()


def test_an_impact_ratio_has_katzs_interval():
    found = impact_ratio(60, 100, 160, 200)
    error = (1 / 60 - 1 / 100 + 1 / 160 - 1 / 200) ** 0.5
    assert found.value == pytest.approx(0.75)
    assert (found.low, found.high) == pytest.approx((0.75 * np.exp(-1.959964 * error), 0.75 * np.exp(1.959964 * error)))
    assert np.isnan(impact_ratio(0, 100, 160, 200).low) and np.isnan(impact_ratio(1, 2, 0, 200).value)
