"""How sure a figure is: against hand computations, published values and simulation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit
from scipy.stats import beta, chi2

from creditrisk.modelling.inference import (
    auc_covariance,
    auc_difference,
    auc_interval,
    brier,
    calibration_fit,
    herfindahl,
    impact_ratio,
    jeffreys_p,
    observed_to_expected,
    placements,
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


def test_jeffreys_p_is_that_of_the_published_example():
    found = jeffreys_p(0.05, 200, np.array([10, 13, 16, 18, 20]))
    assert found.round(4).tolist() == [0.4804, 0.1638, 0.0327, 0.0084, 0.0018]
    assert jeffreys_p(0.03, 500, 22) == pytest.approx(beta.cdf(0.03, 22.5, 478.5))


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
