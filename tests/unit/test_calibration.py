"""Calibration turns a distorted margin into a right PD, and never into a worse order."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from creditrisk.modelling.calibration import PLATT_BADS, Calibration, fit_calibration
from creditrisk.modelling.metrics import auc, calibration_line


def drawn(rows: int = 20_000, seed: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Outcomes, and the log-odds they were drawn from."""
    rng = np.random.default_rng(seed)
    z = rng.normal(-2.5, 1.5, rows)
    return (rng.random(rows) < expit(z)).astype(float), z


@pytest.mark.parametrize(("shift", "stretch"), [(0, 1), (2.3, 1), (-1.5, 0.4), (0.7, 3.0)])
def test_platt_undoes_a_known_distortion(shift, stretch):
    bad, z = drawn()
    found = fit_calibration(bad, (z - shift) / stretch)
    assert found.method == "platt" and (found.rows, found.bads) == (len(bad), bad.sum())
    assert found.slope == pytest.approx(stretch, rel=0.05) and found.intercept == pytest.approx(shift, abs=0.15)
    pd = found.pd((z - shift) / stretch)
    assert pd.mean() == pytest.approx(bad.mean(), abs=1e-8)
    assert calibration_line(bad, pd) == (pytest.approx(1, abs=1e-6), pytest.approx(0, abs=1e-6))
    assert auc(bad, pd) == pytest.approx(auc(bad, z), abs=1e-12)


def few(bads: int, goods: int) -> tuple[np.ndarray, np.ndarray]:
    bad = np.repeat([1.0, 0.0], [bads, goods])
    return bad, np.random.default_rng(0).normal(bad, 1.0) * 2


@pytest.mark.parametrize(("bads", "goods", "method"), [
    (PLATT_BADS, 500, "platt"), (PLATT_BADS - 1, 500, "shift"), (500, PLATT_BADS - 1, "shift"), (1, 500, "shift"),
])  # fmt: skip
def test_too_few_of_either_class_correct_the_level_alone(bads, goods, method):
    bad, margin = few(bads, goods)
    found = fit_calibration(bad, margin)
    assert found.method == method
    assert method == "platt" or found.slope == 1.0
    assert found.pd(margin).mean() == pytest.approx(bad.mean(), abs=1e-8)


def test_a_margin_of_the_wrong_sign_does_not_turn_the_order_around():
    bad, z = drawn(5_000)
    found = fit_calibration(bad, -z)
    assert (found.method, found.slope) == ("shift", 1.0)
    assert found.pd(-z).mean() == pytest.approx(bad.mean(), abs=1e-8)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 10.0])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_separated_fold_gets_no_endless_slope(scale, sign):
    bad = np.repeat([1.0, 0.0], [100, 900])
    margin = sign * scale * (2 * bad - 1 + np.random.default_rng(0).uniform(-0.5, 0.5, 1_000))
    found = fit_calibration(bad, margin)
    assert (found.method, found.slope) == ("shift", 1.0)
    pd = found.pd(margin)
    assert pd.mean() == pytest.approx(0.1, abs=1e-8) and (pd > 0).all() and (pd < 1).all()


@pytest.mark.parametrize("level", [-200.0, 0.0, 7.0, 200.0])
def test_a_constant_margin_becomes_the_bad_rate(level):
    bad = np.repeat([1.0, 0.0], [60, 540])
    found = fit_calibration(bad, np.full(600, level))
    assert found.slope == 1.0
    assert found.pd(np.array([level]))[0] == pytest.approx(0.1, abs=1e-6)


@pytest.mark.parametrize("outcome", [0.0, 1.0])
def test_one_class_leaves_the_margin_as_it_is(outcome):
    found = fit_calibration(np.full(80, outcome), np.linspace(-3, 3, 80))
    assert (found.method, found.intercept, found.slope) == ("none", 0.0, 1.0)


def test_extreme_margins_give_pds_between_0_and_1_in_order():
    pd = Calibration("platt", -1.0, 2.0).pd(np.array([-1e6, -30.0, 0.0, 30.0, 1e6]))
    assert (np.diff(pd) >= 0).all() and pd[0] == 0.0 and pd[-1] == 1.0
    assert pd[2] == pytest.approx(expit(-1.0))


def test_it_is_plain_data():
    found = fit_calibration(*drawn(2_000))
    assert Calibration(**found.to_dict()) == found
    assert {type(value) for value in found.to_dict().values()} <= {str, int, float}
