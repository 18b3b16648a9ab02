"""The measures of a PD model equal independent references."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit, logit
from scipy.stats import ks_2samp
from sklearn.metrics import (
    brier_score_loss,
    f1_score,
    log_loss,
    precision_score,
    recall_score,
    roc_auc_score,
)

from creditrisk.modelling import metrics
from creditrisk.modelling.metrics import (
    EDGE,
    auc,
    calibration_line,
    error_of_gain,
    evaluate,
    gains,
    ks,
    rank_groups,
)


def sample(kind: str, rows: int = 800) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    pd = expit(rng.normal(-1.5, 1.2, rows))
    bad = (rng.random(rows) < expit(0.3 + 0.7 * logit(pd))).astype(np.float64)
    if kind == "ties":
        pd = np.round(pd, 1)
    elif kind == "two values":
        pd = np.where(pd > 0.2, 0.3, 0.1)
    elif kind == "one value":
        pd = np.full(rows, 0.2)
    elif kind == "0 and 1":
        pd[:40], pd[40:60] = 0.0, 1.0
    elif kind == "one bad":
        bad = np.zeros(rows)
        bad[17] = 1.0
    return bad, pd


KINDS = ("smooth", "ties", "two values", "one value", "0 and 1", "one bad")


@pytest.mark.parametrize("kind", KINDS)
def test_discrimination_equals_the_references_ties_included(kind):
    bad, pd = sample(kind)
    assert auc(bad, pd) == pytest.approx(roc_auc_score(bad, pd), abs=1e-12)
    assert ks(bad, pd) == pytest.approx(ks_2samp(pd[bad == 1], pd[bad == 0]).statistic, abs=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_figures_of_a_sample_equal_the_references(kind):
    bad, pd = sample(kind)
    figures = evaluate(bad, pd, 0.3)
    called = (pd >= 0.3).astype(int)
    assert figures["gini"] == 2 * figures["auc"] - 1
    assert figures["auc"] == auc(bad, pd) and figures["ks"] == ks(bad, pd)
    assert figures["brier"] == pytest.approx(brier_score_loss(bad, pd), abs=1e-12)
    assert figures["log_loss"] == pytest.approx(log_loss(bad, np.clip(pd, EDGE, 1 - EDGE)), abs=1e-9)
    assert figures["precision"] == pytest.approx(precision_score(bad, called, zero_division=0))
    assert figures["recall"] == pytest.approx(recall_score(bad, called, zero_division=0))
    assert figures["f1"] == pytest.approx(f1_score(bad, called, zero_division=0))
    assert figures["mean_pd"] == pytest.approx(pd.mean()) and figures["bad_rate"] == pytest.approx(bad.mean())
    unknown = {"calibration_slope"} if kind == "one value" else set()
    assert {name for name, value in figures.items() if not np.isfinite(value)} == unknown


def likeliest(bad: np.ndarray, x: np.ndarray, free: bool) -> np.ndarray:
    """The line of logit P(bad) on x by a general minimiser; the slope is held at 1 unless it is free."""

    def loss(beta: np.ndarray) -> float:
        z = beta[0] + (beta[1] if free else 1.0) * x
        return float(np.mean(np.logaddexp(0, z) - bad * z))

    options = {"xatol": 1e-9, "fatol": 1e-15, "maxiter": 5_000, "maxfev": 5_000}
    return minimize(loss, np.array([0.0, 1.0] if free else [0.0]), method="Nelder-Mead", options=options).x


@pytest.mark.parametrize("kind", ["smooth", "ties", "two values", "0 and 1", "one bad"])
def test_calibration_line_maximises_the_likelihood(kind):
    bad, pd = sample(kind)
    slope, intercept = calibration_line(bad, pd)
    x = logit(np.clip(pd, EDGE, 1 - EDGE))
    assert slope == pytest.approx(likeliest(bad, x, free=True)[1], rel=1e-4)
    assert intercept == pytest.approx(likeliest(bad, x, free=False)[0], abs=1e-5)


def test_calibration_line_finds_the_line_that_outcomes_were_drawn_from():
    rng = np.random.default_rng(1)
    z = rng.normal(-2, 1.5, 200_000)
    bad = (rng.random(len(z)) < expit(z)).astype(float)
    slope, intercept = calibration_line(bad, expit((z + 0.8) / 0.5))
    assert slope == pytest.approx(0.5, abs=0.01)
    slope, intercept = calibration_line(bad, expit(z - 0.4))
    assert (slope, intercept) == (pytest.approx(1, abs=0.02), pytest.approx(0.4, abs=0.02))


@pytest.mark.parametrize("outcome", [0.0, 1.0])
def test_one_class_gives_no_figure_of_discrimination_and_no_error(outcome):
    figures = evaluate(np.full(50, outcome), np.linspace(0, 1, 50), 0.5)
    for name in ("auc", "gini", "ks", "calibration_slope", "calibration_intercept"):
        assert np.isnan(figures[name]), name
    assert 0 <= figures["brier"] <= 1 and np.isfinite(figures["log_loss"])


def test_certain_and_wrong_pds_cost_much_but_stay_finite():
    bad = np.array([0.0, 1.0, 0.0, 1.0])
    figures = evaluate(bad, 1 - bad, 0.5)
    assert figures["brier"] == 1 and figures["auc"] == 0 and figures["ks"] == 1
    assert figures["log_loss"] == pytest.approx(-np.log(EDGE), rel=1e-3)
    assert np.isfinite(figures["calibration_intercept"])
    assert np.isnan(figures["calibration_slope"]), "the likelihood rises without end as the slope falls"


def test_the_level_of_pds_that_are_all_1_is_found_among_a_million_rows():
    bad = np.zeros(1_000_000)
    bad[0] = 1
    assert calibration_line(bad, np.ones(len(bad)))[1] == pytest.approx(logit(1e-6) - logit(1 - EDGE), abs=1e-3)


@pytest.mark.parametrize(("bad", "pd", "why"), [
    ([1, 0, 1, 0], [0.3, 0.3, 0.3, 0.3 + 1e-12], "all PDs are equal"),
    ([1, 1, 0, 0], [0.4, 0.3, 0.2, 0.1], "do not overlap"),
    ([1, 1, 0, 0], [0.3, 0.2, 0.2, 0.1], "do not overlap"),  # they touch: still none that is finite
    ([1, 1, 0, 0], [0.1, 0.2, 0.3, 0.4], "do not overlap"),
    ([1, 0, 1, 0], [0.4, 0.3, 0.2, 0.1], ""),
    ([0, 0], [0.1, 0.2], "not both"), ([], [], "not both"),
])  # fmt: skip
def test_a_slope_that_rows_do_not_determine_is_unknown_and_the_reason_is_said(bad, pd, why):
    found = metrics.why_no_slope(np.array(bad), logit(np.array(pd)))
    assert why in found and bool(found) == bool(why)
    assert np.isnan(calibration_line(np.array(bad), np.array(pd))[0]) == bool(why)


# Groups and gains


def test_gains_are_those_counted_by_hand():
    pds = np.linspace(0.9, 0.1, 8)
    table = gains(np.array([1, 1, 0, 1, 0, 0, 0, 0]), pds, groups=4)
    assert table["group"].tolist() == [1, 2, 3, 4]
    assert table["bads"].tolist() == [2, 1, 0, 0] and table["rows"].tolist() == [2, 2, 2, 2]
    assert table["mean_pd"].tolist() == pytest.approx(
        [pds[:2].mean(), pds[2:4].mean(), pds[4:6].mean(), pds[6:].mean()]
    )
    assert table["captured"].tolist() == pytest.approx([2 / 3, 1, 1, 1])
    assert table["goods_so_far"].tolist() == pytest.approx([0, 0.2, 0.6, 1])
    assert table["lift"].tolist() == pytest.approx([1 / 0.375, 0.5 / 0.375, 0, 0])
    assert table["lift_so_far"].tolist() == pytest.approx([1 / 0.375, 0.75 / 0.375, 0.5 / 0.375, 1])
    assert table["gap"].max() == pytest.approx(0.8)


def test_rows_of_one_pd_are_in_one_group_whatever_their_order():
    #  places of the middles among 10 rows: .3 at 1, .2 at 5, .1 at 9; of five groups these are the first, third, fifth
    pds, bad = np.repeat([0.3, 0.2, 0.1], [2, 6, 2]), np.array([1, 0, 1, 1, 0, 0, 0, 0, 0, 0])
    expected = gains(bad, pds, groups=5)
    assert expected["group"].tolist() == [1, 3, 5] and expected["rows"].tolist() == [2, 6, 2]
    assert expected["bads"].tolist() == [1, 2, 0] and expected["mean_pd"].tolist() == pytest.approx([0.3, 0.2, 0.1])
    rng = np.random.default_rng(0)
    for _ in range(10):
        order = rng.permutation(10)
        assert gains(bad[order], pds[order], groups=5).equals(expected)


def test_a_value_never_spans_groups_and_groups_rise_with_values():
    rng = np.random.default_rng(1)
    for levels in (1, 2, 3, 7, 12, 40, 10_000):
        values = rng.integers(0, levels, 997) / levels
        group = rank_groups(values)
        assert group.min() >= 0 and group.max() <= 9
        by_value = [set(group[values == one]) for one in np.unique(values)]
        assert all(len(one) == 1 for one in by_value)
        firsts = [one.pop() for one in by_value]
        assert firsts == sorted(firsts)
    sizes = np.bincount(rank_groups(rng.random(1_003)), minlength=10)
    assert sizes.max() - sizes.min() <= 1, "without ties, groups are as equal as they can be"


@pytest.mark.parametrize("outcome", [0, 1])
def test_gains_of_one_class_are_counted_and_shares_of_nothing_are_unknown(outcome):
    table = gains(np.full(20, outcome), np.linspace(0, 1, 20))
    assert table["bads"].sum() == 20 * outcome and len(table) == 10
    missing = "goods_so_far" if outcome else "captured"
    assert table[missing].isna().all() and table["gap"].isna().all()
    assert gains(np.array([outcome]), np.array([0.3]))["rows"].tolist() == [1]
    assert gains(np.empty(0), np.empty(0)).empty


def test_a_pd_at_the_threshold_is_called_bad():
    bad, pd = np.array([1.0, 0.0, 1.0, 0.0]), np.array([0.3, 0.3, 0.29999, 0.1])
    figures = evaluate(bad, pd, 0.3)
    assert (figures["precision"], figures["recall"], figures["f1"]) == (0.5, 0.5, 0.5)
    nobody = evaluate(bad, pd, 0.9)
    assert (nobody["precision"], nobody["recall"], nobody["f1"]) == (0.0, 0.0, 0.0)


def test_the_order_of_rows_and_the_type_of_outcomes_do_not_matter():
    bad, pd = sample("ties")
    order = np.random.default_rng(0).permutation(len(bad))
    assert evaluate(bad[order].astype(np.int8), pd[order], 0.3) == pytest.approx(evaluate(bad, pd, 0.3), rel=1e-9)


def test_log_loss_equals_the_reference_and_a_certain_error_costs_much_but_not_everything():
    bad, pd = sample("smooth")
    assert metrics.log_loss(bad, pd) == pytest.approx(log_loss(bad, pd), abs=1e-12)
    assert metrics.log_loss(np.array([1.0]), np.array([0.0])) == pytest.approx(-np.log(EDGE))


def test_error_of_gain_counts_that_folds_share_training_rows():
    gains = np.array([0.01, 0.03, 0.02, 0.04, 0.00])
    naive = gains.std(ddof=1) / np.sqrt(5)
    assert error_of_gain(gains, 5) == pytest.approx(naive * np.sqrt(1 + 5 / 4))
    repeated = error_of_gain(np.tile(gains, 100), 5)
    assert repeated > gains.std() * np.sqrt(1 / 4) * 0.99, "more repeats cannot make the folds independent"
