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
from creditrisk.modelling.metrics import EDGE, auc, calibration_line, error_of_gain, evaluate, ks


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
    assert all(np.isfinite(value) for value in figures.values())


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
    assert np.isfinite(figures["calibration_slope"]) and figures["calibration_slope"] < 0


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
