"""Calibration turns a distorted margin into a right PD by a map the rows can carry, and never into a worse order."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit

from creditrisk.data.portfolio import Points
from creditrisk.modelling.calibration import (
    BLOCK,
    ISOTONIC_BADS,
    ISOTONIC_ROWS,
    PLATT_BADS,
    Calibration,
    fit_calibration,
)
from creditrisk.modelling.metrics import auc, calibration_line, log_loss
from creditrisk.modelling.scorecard import points_table
from unit.models import small_models


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


# Which map, by rule


def bent(rows: int = 20_000, seed: int = 7) -> tuple[np.ndarray, np.ndarray]:
    """Outcomes whose log-odds are no line of the margin: steep in the middle, flat at the ends."""
    rng = np.random.default_rng(seed)
    margin = rng.normal(0, 2, rows)
    return (rng.random(rows) < expit(-2 + 2 * np.tanh(2 * margin))).astype(float), margin


def test_isotonic_only_where_it_is_better_than_a_line_on_held_out_rows():
    found = fit_calibration(*bent(), isotonic=True)
    assert found.method == "isotonic" and "isotonic lowers Platt's log-loss by" in found.why
    assert ", more than one standard error" in found.why
    straight = fit_calibration(*drawn(), isotonic=True)
    assert straight.method == "platt" and straight.knots == ()
    assert "on 10 held-out folds isotonic" in straight.why and ", more than" not in straight.why
    fresh, margin = bent(seed=8)
    line = fit_calibration(*bent())
    assert log_loss(fresh, found.pd(margin)) < log_loss(fresh, line.pd(margin)) - 0.002


def test_a_scorecard_never_gets_isotonic_whose_points_would_not_add_up():
    found = fit_calibration(*bent())
    assert found.method == "platt" and found.knots == () and "additive" in found.why


def kept(bads: int, goods: int) -> tuple[np.ndarray, np.ndarray]:
    """So many bads and goods of the bent rows."""
    bad, margin = bent(60_000)
    index = np.concatenate([np.flatnonzero(bad == 1)[:bads], np.flatnonzero(bad == 0)[:goods]])
    return bad[index], margin[index]


@pytest.mark.parametrize(("bads", "goods", "method"), [
    (ISOTONIC_BADS, 4_000, "isotonic"), (ISOTONIC_BADS - 1, 4_000, "platt"), (4_000, ISOTONIC_BADS - 1, "platt"),
    (ISOTONIC_BADS, ISOTONIC_ROWS - ISOTONIC_BADS - 1, "platt"),
])  # fmt: skip
def test_isotonic_needs_rows_and_bads_and_goods(bads, goods, method):
    found = fit_calibration(*kept(bads, goods), isotonic=True)
    assert found.method == method
    assert method == "isotonic" or f"isotonic needs {ISOTONIC_ROWS:,} rows with {ISOTONIC_BADS}" in found.why


def test_every_map_says_why_it_was_chosen():
    margin = np.linspace(-3, 3, 400)
    said = {
        "none": fit_calibration(np.zeros(400), margin).why,
        "few": fit_calibration(*few(20, 500)).why,
        "falling": fit_calibration(*(lambda bad, z: (bad, -z))(*drawn(5_000))).why,
        "apart": fit_calibration((margin > 0).astype(float), margin).why,
        "line": fit_calibration(*drawn(5_000)).why,
    }
    assert said["none"] == "left as it is: the 400 rows are all good or all bad"
    assert said["few"] == "level only: 20 bads or goods, and a slope needs 50"
    assert said["falling"] == "level only: no positive slope fits"
    assert said["apart"] == "level only: bads and goods do not overlap, so any slope would do"
    assert said["line"] == "705 bads and slope 0.947; a line keeps points additive, so isotonic is not for a scorecard"


# Isotonic


@pytest.fixture(scope="module")
def steps() -> Calibration:
    return fit_calibration(*bent(), isotonic=True)


def test_isotonic_never_ties_two_margins_nor_turns_their_order(steps):
    bad, margin = bent(seed=9)
    assert auc(bad, steps.pd(margin)) == auc(bad, margin)
    grid = np.unique(np.concatenate([np.linspace(-12, 12, 5_001), [x for x, _ in steps.knots]]))
    assert (np.diff(steps.pd(grid)) > 0).all()


def test_isotonic_keeps_the_level_and_stays_away_from_0_and_1(steps):
    bad, margin = bent()
    assert steps.pd(margin).mean() == pytest.approx(bad.mean(), abs=1e-9)
    ends = steps.pd(np.array([-1e30, -500.0, 500.0, 1e30]))
    assert (ends > 0).all() and (ends < 1).all() and (np.diff(ends) >= 0).all()


def test_every_isotonic_block_holds_bads_and_goods_enough(steps):
    bad, margin = bent()
    between = [-np.inf, *[(a + b) / 2 for (a, _), (b, _) in zip(steps.knots, steps.knots[1:], strict=False)], np.inf]
    near = np.digitize(margin, between) - 1
    bads, rows = np.bincount(near, bad), np.bincount(near)
    assert len(steps.knots) > 3 and bads.min() >= BLOCK / 2 and (rows - bads).min() >= BLOCK / 2
    assert steps.slope > 0 and (np.diff(np.array(steps.knots), axis=0) > 0).all()


def test_a_block_as_bad_as_the_line_says_leaves_the_line_as_it_is():
    bad, margin = drawn(30_000)
    line = fit_calibration(bad, margin)
    flat = replace(
        line, method="isotonic", intercept=0.0, knots=((-1.0, line.log_odds(-1.0)), (2.0, line.log_odds(2.0)))
    )
    assert flat.pd(margin) == pytest.approx(line.pd(margin), abs=1e-12)


@pytest.mark.parametrize("isotonic", [True, False])
def test_a_row_gets_the_same_pd_alone_and_among_a_million(isotonic):
    found = fit_calibration(*bent(), isotonic=isotonic)
    margin = np.concatenate([np.random.default_rng(0).normal(0, 4, 1_000_000 - 50), np.linspace(-9, 9, 50)])
    all_at_once = found.pd(margin)
    for i in [*range(0, 1_000_000, 9_973), *range(999_950, 1_000_000)]:
        assert found.pd(margin[i : i + 1])[0] == all_at_once[i]
    assert found.pd(np.empty(0)).shape == (0,)


def test_the_same_rows_give_the_same_map():
    assert fit_calibration(*bent(), isotonic=True, seed=3) == fit_calibration(*bent(), isotonic=True, seed=3)


# A long-run bad rate


@pytest.mark.parametrize("target", [0.01, 0.08, 0.5])
@pytest.mark.parametrize("rows", ["bent", "drawn", "few"])
def test_a_long_run_bad_rate_is_the_mean_pd_and_the_shift_is_recorded(rows, target):
    bad, margin = {"bent": bent(), "drawn": drawn(), "few": few(20, 500)}[rows]
    now = fit_calibration(bad, margin, isotonic=True)
    found = now.aimed_at(target, margin)
    assert found.method == {"bent": "isotonic", "drawn": "platt", "few": "shift"}[rows]
    assert found.pd(margin).mean() == pytest.approx(target, abs=1e-9)
    assert (now.pd_kind, found.pd_kind) == ("point-in-time", "through-the-cycle")
    assert found.long_run == target and found.mean_pd == pytest.approx(bad.mean(), abs=1e-8)
    assert found.log_odds(margin) - now.log_odds(margin) == pytest.approx(np.full(len(margin), found.offset), abs=1e-9)
    assert (found.slope, found.knots, found.why) == (now.slope, now.knots, now.why)
    assert found.point_in_time.pd(margin) == pytest.approx(now.pd(margin), abs=1e-12)
    assert now.point_in_time is now and now.about_pds == "point-in-time"
    assert f"shifted by {found.offset:+.4f}" in found.about_pds and f"{target:.2%} after" in found.about_pds


def test_the_points_of_a_scorecard_hold_the_shift_in_their_base():
    model = small_models()["v1"].model
    shifted = model.calibrated(replace(model.calibration, intercept=model.calibration.intercept - 2.0))
    before, after = (points_table(one, Points(pdo=20)) for one in (model, shifted))
    assert after["points"][0] - before["points"][0] == pytest.approx(2.0 * 20 / np.log(2), abs=1.01)
    margin = np.linspace(-8, 2, 500)
    aimed = model.calibration.aimed_at(0.01, margin)
    line = aimed.intercept + aimed.slope * margin
    assert aimed.pd(margin) == pytest.approx(expit(line), abs=1e-15), "intercept and slope are the whole line"


# Plain data


@pytest.mark.parametrize("isotonic", [True, False])
def test_it_is_plain_data(isotonic):
    found = fit_calibration(*bent(4_000), isotonic=isotonic).aimed_at(0.05, bent(4_000)[1])
    assert (found.method == "isotonic") == isotonic
    assert Calibration.from_dict(json.loads(json.dumps(found.to_dict()))) == found


def test_a_map_from_an_older_model_file_loads_as_it_was():
    old = Calibration.from_dict({"method": "platt", "intercept": -0.5, "slope": 0.9, "rows": 7_000, "bads": 600})
    assert old == Calibration("platt", -0.5, 0.9, 7_000, 600) and old.pd_kind == "point-in-time"
    assert old.pd(np.array([1.0]))[0] == expit(-0.5 + 0.9)
