"""The tests of a validation report: hand-computed and published values, and that each one fails when it should."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from scipy.stats import fisher_exact, norm

from creditrisk.data.sample import make_book
from creditrisk.data.tables import prepare_book
from creditrisk.errors import DataError
from creditrisk.modelling import fairness, sensitivity, stability, validation
from creditrisk.modelling.calibration import NONE
from creditrisk.modelling.findings import (
    FAIL,
    NOT_APPLICABLE,
    PASS,
    WATCH,
    Band,
    Finding,
    Limit,
    banded,
    verdict,
    worst,
)
from creditrisk.modelling.inference import Interval
from creditrisk.modelling.metrics import gains
from unit.models import RETAIL, small_book, small_models, small_training


def right(rows: int, seed: int = 1, level: float = -2.5) -> tuple[np.ndarray, np.ndarray]:
    """Outcomes drawn from true PDs."""
    rng = np.random.default_rng(seed)
    pds = expit(rng.normal(level, 1.2, rows))
    return (rng.random(rows) < pds).astype(np.int8), pds


def by_key(findings) -> dict[str, Finding]:
    return {one.key: one for one in findings}


# --- Findings and the verdict -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("side", "value", "status"),
    [("above", 0.099, PASS), ("above", 0.1, WATCH), ("above", 0.25, FAIL),
     ("below", 0.05, PASS), ("below", 0.0499, WATCH), ("below", 0.0099, FAIL)],
)  # fmt: skip
def test_a_limit_turns_at_its_ends(side, value, status):
    limit = Limit(0.1, 0.25, "") if side == "above" else Limit(0.05, 0.01, "", "below")
    assert limit.status(value) == status


@pytest.mark.parametrize(
    ("value", "low", "high", "status"),
    [(1.0, 0.5, 1.6, PASS), (1.1, 1.0, 1.2, PASS), (1.2, 1.05, 1.4, WATCH), (1.2, 1.11, 1.3, FAIL),
     (0.8, 0.7, 0.89, FAIL), (0.8, 0.7, 0.9, WATCH)],
)  # fmt: skip
def test_a_value_outside_its_band_fails_only_when_its_whole_interval_is(value, low, high, status):
    band = Band(0.9, 1.1, "")
    assert band.status(Interval(value, low, high)) == status
    assert bool(band.why(Interval(value, low, high))) == (status != PASS or not (low >= 0.9 and high <= 1.1))


def test_a_finding_is_plain_data_without_nan():
    found = Finding("a.b", "name", float("nan"), PASS, interval=(float("nan"), 1.0))
    text = json.dumps(found.to_dict(), allow_nan=False)
    assert json.loads(text)["value"] is None and json.loads(text)["interval"] == [None, 1.0]
    assert json.loads(text)["section"] == "a" and found.shown == ""


@pytest.mark.parametrize(
    ("keys", "status", "action"),
    [
        ({}, PASS, "none"),
        ({"stability.score": WATCH, "scope.x": NOT_APPLICABLE}, WATCH, "watch"),
        ({"calibration.slope": FAIL, "stability.score": WATCH}, FAIL, "recalibrate"),
        ({"calibration.slope": FAIL, "discrimination.auc": FAIL}, FAIL, "redevelop"),
        ({"calibration.slope": FAIL, "sensitivity.monotone": FAIL}, FAIL, "mend"),
        ({"data.defaults": FAIL, "discrimination.auc": FAIL}, FAIL, "wait"),
    ],
)
def test_the_verdict_says_what_the_failures_ask_for(keys, status, action):
    findings = [Finding("data.rebuilt", "rebuilt", 0.0, PASS)]
    findings += [Finding(key, f"the test {key}", 1.0, one) for key, one in keys.items()]
    found = verdict(findings)
    assert (found.status, found.action) == (status, action)
    if action not in ("none", "wait"):
        blamed = [key for key, one in keys.items() if one == status]
        assert all(f"the test {key}" in found.text for key in blamed)


def test_the_worst_status_ignores_what_does_not_apply():
    assert worst([PASS, NOT_APPLICABLE, WATCH]) == WATCH
    assert worst([NOT_APPLICABLE]) == worst([]) == NOT_APPLICABLE


# --- The rows that are judged -----------------------------------------------------------------------------------------

TRAINED = {
    "split": "out of time: tested on rows from 2022-10-01 on", "seed": 7, "created": "2026-01-02T03:04:05+00:00",
    "rows": {"train": 5, "test": 1},
}  # fmt: skip


def test_an_older_model_file_says_its_split_in_words_only():
    said = validation.recorded(TRAINED)
    assert (said.split, said.seed, said.as_of, said.rows, said.data) == ("out_of_time", 7, "2026-01-02", 0, "")
    assert validation.recorded(TRAINED | {"split": "random, stratified, 25% for the test"}).split == "random"
    source = {"data": "folder", "rows": 9, "split": "random", "as_of": "2025-05-05"}
    said = validation.recorded(TRAINED | {"source": source})
    assert (said.data, said.rows, said.split, said.as_of) == ("folder", 9, "random", "2025-05-05")


def test_a_model_file_of_three_parts_is_refused_with_what_to_do():
    with pytest.raises(DataError, match="train, calibration, test.*train the model anew"):
        validation.recorded(TRAINED | {"rows": {"train": 3, "calibration": 2, "test": 1}})


@pytest.mark.parametrize(("parts", "area"), [({"train": 4, "test": 2}, 0.8), (TRAINED["rows"], 0.81)])
def test_rows_that_the_model_may_have_learned_from_never_judge_it(parts, area):
    said = validation.recorded(TRAINED)
    assert validation.rebuilt(TRAINED["rows"], said, 0.80001, 0.8).status == PASS
    with pytest.raises(DataError, match="give data, rows and as_of"):
        validation.rebuilt(parts, said, area, 0.8)


def test_a_new_sample_is_judged_without_the_rows_of_development():
    book, training = small_book(), small_training()
    development = book.frame.iloc[training.split.train]
    judged = validation.new_rows(book, development)
    assert judged.index.tolist() == training.split.test.tolist()
    assert judged.bad.tolist() == book.bad[training.split.test].tolist()
    other = prepare_book(make_book(500, 9).tables, RETAIL)  # the same keys, other customers
    assert len(validation.new_rows(other, development).index) == len(other.frame)
    with pytest.raises(DataError, match="give loans that came later"):
        validation.new_rows(book, book.frame)


def test_the_fingerprint_is_of_values_outcomes_and_names():
    columns, bad = {"x": np.array([1.0, np.nan]), "y": np.array(["a", None], dtype=object)}, np.array([0, 1])
    marks = [
        validation.fingerprint(*given)
        for given in (
            (columns, bad),
            (columns | {"x": np.array([1.0, 2.0])}, bad),
            (columns | {"y": np.array(["a", "b"], dtype=object)}, bad),
            (columns, np.array([1, 0])),
            ({"z": columns["x"], "y": columns["y"]}, bad),
        )
    ]
    assert len(set(marks)) == 5
    assert validation.fingerprint(dict(reversed(columns.items())), bad.astype(np.int8)) == marks[0]


def test_a_value_that_training_has_not_seen_is_counted_and_a_missing_one_is_not():
    known = {"x": np.array([1.0, 5.0, np.nan]), "y": np.array(["a", "b", None], dtype=object)}
    new = {"x": np.array([1.0, 5.1, np.nan, 3.0]), "y": np.array(["a", "c", None, "c"], dtype=object)}
    found = validation.outside_training(known, new, ["x", "y"])
    assert found.value == 0.5 and found.status == FAIL and "x, y" in found.why
    assert validation.outside_training(known, known, ["x", "y"]).value == 0.0


def test_too_few_defaults_leave_a_test_not_applicable_and_no_verdict():
    bad, pds = np.zeros(500, dtype=np.int8), np.full(500, 0.05)
    bad[:19] = 1
    everything = [*validation.calibration(bad, pds), validation.auc_level(bad, pds), validation.brier_skill(bad, pds)]
    everything += [
        validation.gini_fall(bad, pds, 0.8, "x", "y"),
        validation.complexity(bad, pds, pds, is_scorecard=True),
    ]
    everything += [validation.against_other(bad, pds, pds, "v1"), validation.left_out(bad, pds, ["a"])]
    assert {one.status for one in everything} == {NOT_APPLICABLE}
    assert all("19 bads" in one.why for one in everything)
    assert verdict([validation.enough_defaults(bad), *everything]).action == "wait"


# --- Discrimination ---------------------------------------------------------------------------------------------------


def test_auc_is_watched_when_low_and_fails_when_it_could_be_a_coin():
    bad, pds = right(20_000)
    noise = np.random.default_rng(2).normal(0, 1, 20_000)
    assert validation.auc_level(bad, pds).status == PASS
    assert validation.auc_level(bad, np.log(pds) + 1.8 * noise).status == WATCH
    assert validation.auc_level(bad[:3_000], noise[:3_000]).status == FAIL
    assert validation.auc_level(bad, bad.astype(float)).status == PASS  # told apart without a mistake: no interval


def test_the_fall_of_the_gini_is_a_share_of_the_reference():
    bad = np.repeat([0, 1], [100, 100])
    score = np.concatenate([np.repeat([0.0, 1.0], [80, 20]), np.repeat([0.0, 1.0], [20, 80])])  # AUC .8
    found = validation.gini_fall(bad, score, 0.9, "x", "a reference")
    assert found.value == pytest.approx(1 - 0.6 / 0.8) and found.status == FAIL
    assert validation.gini_fall(bad, score, 0.85, "x", "a reference").status == WATCH
    assert validation.gini_fall(bad, score, 0.8, "x", "a reference").status == PASS
    assert validation.gini_fall(bad, score, 0.5, "x", "a reference").status == NOT_APPLICABLE


def test_the_auc_since_development_is_tested_as_the_ecb_does():
    rng = np.random.default_rng(3)
    bad = (rng.random(400) < 0.2).astype(np.int8)
    score = rng.normal(0, 1, 400) + bad
    wins = (score[bad == 1][:, None] > score[bad == 0][None, :]).astype(float)
    spread = np.var(wins.mean(axis=1), ddof=1) / bad.sum() + np.var(wins.mean(axis=0), ddof=1) / (bad == 0).sum()
    initial = wins.mean() + 2 * np.sqrt(spread)
    found = validation.auc_since_development(bad, score, initial, same_rows=False)
    assert found.value == pytest.approx(norm.sf(2.0)) and found.status == WATCH
    assert validation.auc_since_development(bad, score, initial, same_rows=True).status == NOT_APPLICABLE


def test_tenths_do_not_part_rows_of_one_pd_so_that_order_does_not_make_their_rates_fall():
    pds = np.repeat([0.02, 0.1, 0.3], [600, 300, 100])
    bad = np.concatenate([np.arange(600) < 12, np.arange(300) < 30, np.arange(100) < 30]).astype(int)
    tenths = gains(bad, pds)[::-1]
    assert tenths["rows"].tolist() == [600, 300, 100]
    found = validation.rank_order(tenths["rows"], tenths["bads"], "tenths", "tenth of the rows")
    assert (found.value, found.status, found.why) == (0, PASS, "rises over all 3 groups")


def test_bad_rates_out_of_order_are_watched_and_fail_as_chance_grows_unlikely():
    rows = np.array([1_000, 0, 1_000, 1_000])
    assert validation.rank_order(rows, [10, 0, 20, 30], "x", "grade").status == PASS
    assert validation.rank_order(rows, [10, 0, 10, 30], "x", "grade").status == PASS  # equal is not out of order
    chance = validation.rank_order(rows, [11, 0, 10, 30], "x", "grade")
    assert (chance.status, chance.value) == (PASS, 1)
    assert validation.rank_order(rows, [20, 0, 12, 30], "x", "grade").status == WATCH
    assert validation.rank_order(rows, [60, 0, 20, 30], "x", "grade").status == FAIL
    assert validation.rank_order(np.array([5, 0]), [1, 0], "x", "grade").status == NOT_APPLICABLE


# --- Calibration ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bads", "p", "status"),
    [(10, 0.480, PASS), (13, 0.164, PASS), (16, 0.0327, WATCH), (18, 0.0084, FAIL), (20, 0.0018, FAIL)],
)
def test_jeffreys_p_is_that_of_the_published_cases(bads, p, status):
    bad = np.repeat([1, 0], [bads, 200 - bads])
    found = validation.jeffreys(bad, np.full(200, 0.05))
    assert found.value == pytest.approx(p, abs=6e-5 if p < 0.1 else 6e-4) and found.status == status


def test_right_pds_pass_calibration_and_wrong_ones_fail_the_test_that_they_break():
    bad, pds = right(60_000)
    assert {one.status for one in validation.calibration(bad, pds)} == {PASS}
    log_odds = np.log(pds / (1 - pds))
    doubled = by_key(validation.calibration(bad, expit(log_odds + 0.7)))
    assert doubled["calibration.intercept"].status == doubled["calibration.observed_expected"].status == FAIL
    assert doubled["calibration.slope"].status == PASS
    steep = by_key(validation.calibration(bad, expit(1.5 * log_odds + 1.0)))
    assert steep["calibration.slope"].status == FAIL
    assert steep["calibration.slope"].value == pytest.approx(1 / 1.5, abs=0.03)


def test_one_pd_for_everybody_fails_by_its_slope():
    bad = (np.arange(2_000) < 200).astype(int)
    found = by_key(validation.calibration(bad, np.full(2_000, 0.1)))
    slope = found["calibration.slope"]
    assert (slope.status, slope.why) == (FAIL, "the slope cannot be estimated: all PDs are equal")
    assert slope.shown == "" and found["calibration.intercept"].status == PASS
    assert json.dumps([one.to_dict() for one in found.values()], allow_nan=False)
    assert validation.auc_level(bad, np.full(2_000, 0.1)).status == FAIL


def test_pds_that_part_goods_and_bads_have_no_slope_to_judge():
    bad = np.repeat([1, 0], [100, 100])
    found = by_key(validation.calibration(bad, np.where(bad == 1, 0.9, 0.1)))["calibration.slope"]
    assert found.status == NOT_APPLICABLE and "do not overlap" in found.why


def test_a_figure_that_is_not_known_is_not_in_its_band():
    found = banded("a.b", "name", Interval(float("nan"), float("nan"), float("nan")), Band(0.9, 1.1, ""))
    assert found.status == NOT_APPLICABLE and found.why


def test_every_test_of_observed_over_expected_has_the_interval_of_a_binomial():
    pds = np.full(2_000, 0.4)
    bad = (np.arange(2_000) < 840).astype(int)
    reach = 1.959964 * np.sqrt(2_000 * 0.42 * 0.58) / 840
    ends = pytest.approx((1.05 * np.exp(-reach), 1.05 * np.exp(reach)), abs=1e-6)
    assert by_key(validation.calibration(bad, pds))["calibration.observed_expected"].interval == ends
    assert validation.left_out(bad, pds, ["a"]).interval == ends
    whole = fairness.fairness(np.full(2_000, "a", dtype=object), bad, pds, pds < 0.5)
    assert tuple(whole.loc[0, ["oe_low", "oe_high"]]) == ends


def test_goodness_of_fit_is_watched_and_never_fails():
    bad, pds = right(60_000)
    keys = ["calibration.hosmer_lemeshow", "calibration.spiegelhalter"]
    assert [(one.key, one.status) for one in validation.goodness_of_fit(bad, pds)] == [(key, PASS) for key in keys]
    wrong = validation.goodness_of_fit(bad, pds * 0.5)
    assert [one.status for one in wrong] == [WATCH, WATCH] and wrong[0].value < 1e-12
    assert "degrees of freedom 10" in wrong[0].why and "never fails" in wrong[0].threshold
    some = validation.goodness_of_fit(bad, np.full(60_000, 0.5))
    assert [one.status for one in some] == [WATCH, NOT_APPLICABLE], "at PDs of 1/2 z is not defined"


def test_grades_fail_together_by_number_and_by_share():
    names = [f"G{i}" for i in range(10)]

    def judged(red: int, amber: int, empty: int = 0) -> str:
        status = [FAIL] * red + [WATCH] * amber + [NOT_APPLICABLE] * empty
        return validation.jeffreys_grades(status + [PASS] * (10 - len(status)), names).status

    assert [judged(0, 0), judged(0, 2), judged(0, 3), judged(0, 4)] == [PASS, PASS, WATCH, FAIL]
    assert [judged(1, 0), judged(2, 0), judged(0, 2, 5)] == [WATCH, FAIL, FAIL]
    assert judged(0, 0, 10) == NOT_APPLICABLE


def test_pds_worse_than_the_bad_rate_alone_fail_the_brier_skill():
    bad, pds = right(5_000)
    assert validation.brier_skill(bad, pds).status == PASS
    assert validation.brier_skill(bad, 1 - pds).status == FAIL


def test_groups_of_the_calibration_curve_hold_equal_expected_bads():
    bad, pds = right(20_000)
    table = validation.reliability(bad, pds, 10)
    expected = table["rows"] * table["mean_pd"]
    assert len(table) == 10 and table["rows"].sum() == 20_000 and table["bads"].sum() == bad.sum()
    assert expected.to_numpy() == pytest.approx(pds.sum() / 10, rel=0.02)
    assert table["mean_pd"].is_monotonic_increasing and (table["low"] <= table["bad_rate"]).all()


def test_rows_of_one_pd_are_one_point_of_the_calibration_curve():
    pds = np.repeat([0.0, 0.02, 0.1, 0.4], [50, 400, 100, 25])
    bad = np.concatenate([np.zeros(50), np.arange(400) < 8, np.arange(100) < 9, np.arange(25) < 12]).astype(int)
    table = validation.reliability(bad, pds, 10)
    # expected bads 0, 8, 10, 10 of 28: their middles, in tenths, are 0, 1.4, 4.6 and 8.2
    assert table["rows"].tolist() == [50, 400, 100, 25] and table["bads"].tolist() == [0, 8, 9, 12]
    order = np.random.default_rng(0).permutation(len(bad))
    pd.testing.assert_frame_equal(validation.reliability(bad[order], pds[order], 10), table)
    assert validation.reliability(np.array([0, 1]), np.zeros(2))["rows"].tolist() == [2]


def test_pds_without_optional_inputs_are_held_to_the_same_band():
    bad, pds = right(20_000)
    assert validation.left_out(bad, pds, ["enquiry_count"]).status == PASS
    assert validation.left_out(bad, pds * 0.6, ["enquiry_count"]).status == FAIL
    assert validation.left_out(bad, pds, []).status == NOT_APPLICABLE


def test_the_recorded_release_gate_is_repeated():
    failed = validation.recorded_gate({"status": "fail", "reasons": ["the slope is 0.5"]})
    assert failed.status == FAIL and failed.why == "the slope is 0.5"
    assert validation.recorded_gate({"status": "insufficient defaults", "reasons": []}).status == WATCH
    assert validation.recorded_gate(None).status == NOT_APPLICABLE


# --- Stability --------------------------------------------------------------------------------------------------------


def test_psi_finds_a_shift_and_is_quiet_without_one():
    rng = np.random.default_rng(4)
    reference = rng.lognormal(0, 0.8, 10_000)
    assert stability.score_stability(reference, rng.lognormal(0, 0.8, 2_000)).status == PASS
    assert stability.score_stability(reference, 2 * rng.lognormal(0, 0.8, 2_000)).status == FAIL
    flagged = [stability.shift(reference, rng.lognormal(0, 0.8, 60)).status != PASS for _ in range(300)]
    plain = [stability.shift(reference, rng.lognormal(0, 0.8, 60)).psi >= 0.1 for _ in range(300)]
    assert np.mean(plain) > 0.5 and np.mean(flagged) < 0.05  # so few rows show a PSI of 0.1 by chance
    few = stability.score_stability(reference, reference[:49])
    assert few.status == NOT_APPLICABLE and few.name.endswith("against out-of-fold PDs of training rows")


def test_one_outlier_hides_nothing_and_the_top_tenth_counts():
    rng = np.random.default_rng(5)
    reference = np.append(rng.lognormal(0, 0.8, 9_999), 1e6)
    assert stability.shift(reference, 2 * rng.lognormal(0, 0.8, 1_000)).psi > 0.5
    even, moved = np.arange(10_000.0), np.concatenate([np.arange(0, 9_000, 9_000 / 6_500), np.full(3_500, 9_500.0)])
    exact = 9 * (0.65 / 9 - 0.1) * np.log(0.65 / 9 / 0.1) + (0.35 - 0.1) * np.log(3.5)
    assert stability.shift(even, moved).psi == pytest.approx(exact, abs=0.01)


def test_missing_values_and_unseen_levels_are_a_shift():
    numbers, levels = np.arange(1_000.0), np.array(["a", "b"] * 500, dtype=object)
    gone, other = numbers.copy(), levels.copy()
    gone[::4], other[::4] = np.nan, "c"
    assert stability.shift(numbers, gone).status == FAIL and np.isfinite(stability.shift(numbers, gone).psi)
    assert stability.shift(levels, other).status == FAIL
    other[::4] = None
    assert stability.shift(levels, other).status == FAIL
    table = stability.input_shifts({"n": numbers, "l": levels}, {"n": gone, "l": levels}, ["l", "n"])
    assert table["column"].tolist() == ["n", "l"] and table["status"].tolist() == [FAIL, PASS]
    found = stability.input_stability(table)
    assert found.status == FAIL and found.why == "moved: n"


def test_periods_are_as_fine_as_rows_allow_and_history_ends_where_judging_begins():
    dates = pd.Series(pd.date_range("2020-01-01", "2021-12-31", periods=4_800))
    assert stability.periods_of(dates)[1] == "month"
    assert stability.periods_of(dates[::4])[1] == "quarter"
    assert stability.periods_of(dates[::40])[1] == "year"
    bad, pds = right(4_800)
    late = (dates >= "2021-07-01").to_numpy()
    labels, word = stability.periods_of(dates[late])
    judged = stability.by_period(labels, bad[late], pds[late], pds)
    assert judged["period"].tolist() == [f"2021-{month:02d}" for month in range(7, 13)]
    assert judged["rows"].sum() == late.sum() and judged["bads"].sum() == bad[late].sum()
    every = stability.history(dates[~late], bad[~late], pds[~late], word, judged)
    assert len(every) == 24 and every["period"].is_monotonic_increasing
    assert len(stability.history(dates[late], bad[late], pds[late], word, judged)) == 6  # a random split has none
    assert stability.period_stability(None, "period").status == NOT_APPLICABLE
    assert stability.period_stability(judged, word).status == PASS
    moved = stability.by_period(labels, bad[late], pds[late] * np.where(labels == "2021-09", 3, 1), pds)
    found = stability.period_stability(moved, word)
    assert found.status == FAIL and found.why == "moved: 2021-09"


# --- Concentration ----------------------------------------------------------------------------------------------------


def test_concentration_is_that_of_the_ecb_by_hand():
    names = ["A", "B", "C"]
    largest, rose = validation.concentration(np.array([80, 10, 10]), np.array([40, 30, 30]), names)
    now, then = (np.sqrt(3 * sum((s - 1 / 3) ** 2 for s in shares)) for shares in ((0.8, 0.1, 0.1), (0.4, 0.3, 0.3)))
    p = 1 - norm.cdf(np.sqrt(2) * (now - then) / np.sqrt(now**2 * (0.5 + now**2)))
    assert rose.value == pytest.approx(p) and largest.value == 0.8
    assert largest.status == WATCH and largest.why == "grade A"
    same = validation.concentration(np.array([30, 30, 40]), np.array([40, 30, 30]), names)
    assert same[1].value == pytest.approx(0.5) and same[1].status == PASS


# --- Sensitivity and monotonicity -------------------------------------------------------------------------------------


def served(version: str):
    data = small_models()[version]
    columns = small_training().part("test").take(slice(0, 60)).columns
    return (
        data,
        {name: columns[name] for name in RETAIL.inputs},
        columns,
        lambda given: data.model.pd(data.columns(given)),
    )


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_the_served_model_never_moves_against_a_declared_direction(version):
    data, inputs, columns, pd_of = served(version)
    swept = sensitivity.sweep_all(RETAIL, data.model, inputs, columns, pd_of)
    found = sensitivity.monotonicity(swept)
    assert (found.value, found.status) == (0, PASS)
    declared = {n for n, c in RETAIL.candidates.items() if c.is_numeric and c.risk != "any"}
    assert {one.name for one in swept} == {n for n in declared if n in inputs or n in data.features}
    assert any(np.ptp(one.pds, axis=1).max() > 0.01 for one in swept)
    limits = sensitivity.protected_limits(RETAIL, swept)
    assert [(one.key, one.status) for one in limits] == [("sensitivity.no_worse_from.age", PASS)]


def test_a_model_that_moves_the_wrong_way_is_caught_by_name():
    data, inputs, columns, _ = served("v1")
    at = data.model.design.inputs.index("credit_utilization_ratio")
    turned = tuple(-c if j == at else c for j, c in enumerate(data.model.model.coefficients))
    wrong = replace(data.model, model=replace(data.model.model, coefficients=turned))
    swept = sensitivity.sweep_all(RETAIL, wrong, inputs, columns, lambda given: wrong.pd(data.columns(given)))
    found = sensitivity.monotonicity(swept)
    assert found.status == FAIL and found.value > 0 and found.why.endswith("wrong: credit_utilization_ratio")


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_between_its_steps_the_pd_does_not_move(version):
    data, inputs, columns, pd_of = served(version)
    name = "credit_utilization_ratio"
    steps, values = sensitivity.steps_of(data.model, name), np.linspace(0, 100, 4_001)
    pds = sensitivity.sweep(pd_of, inputs, name, values)
    moves = np.flatnonzero((np.diff(pds, axis=1) != 0).any(axis=0))
    assert len(steps) and len(moves)
    assert all(((steps > values[k] - 1e-4) & (steps < values[k + 1] + 1e-4)).any() for k in moves)
    tried = sensitivity.sweep_values(columns[name], RETAIL.columns[name], steps)
    assert tried.min() == 0 and tried.max() == 100 and np.isin(steps[(steps > 0) & (steps < 100)], tried).all()


def test_whole_numbers_are_swept_in_whole_numbers_within_their_limits():
    column = RETAIL.columns["number_of_open_accounts"]
    tried = sensitivity.sweep_values(np.array([1.0, 2.0, 4.0, np.nan]), column, np.array([2.5, 3.0, 70.0]))
    assert tried.tolist() == [1, 2, 3, 4, 50]


def test_an_older_applicant_may_not_be_worse_off_anywhere():
    values = np.array([40.0, 61.0, 62.0, 70.0])
    fine = np.array([[0.3, 0.2, 0.2, 0.1], [0.3, 0.3, 0.3, 0.3]])
    assert sensitivity.no_worse_from(62, "age", values, fine).value == 0
    found = sensitivity.no_worse_from(62, "age", values, np.vstack([fine, [0.3, 0.2, 0.25, 0.1]]))
    assert (found.value, found.status) == (1, FAIL)


def test_sensitivity_moves_one_input_within_its_limits():
    _, inputs, _, pd_of = served("v2")
    asked = []

    def watched(given):
        asked.append(given)
        return pd_of(given)

    table = sensitivity.sensitivity(RETAIL, inputs, watched).set_index(["column", "change"])
    assert ("enquiry_count", "left out") in table.index and (table["span"] >= 0).all()
    assert table.loc["residence_type", "span"].iloc[0] > 0 and "all Owned" in table.loc["residence_type"].index[0]
    for given in asked[1:]:
        changed = [name for name in inputs if given[name] is not inputs[name]]
        assert len(changed) == 1
        values, column = given[changed[0]], RETAIL.columns[changed[0]]
        if column.is_numeric and np.isfinite(values.astype(float)).all():
            assert (values > (column.above if column.above is not None else -np.inf)).all()
            assert (values >= (column.min if column.min is not None else -np.inf)).all()
            assert (values <= (column.max if column.max is not None else np.inf)).all()
    bare = sensitivity.left_out(inputs, ["enquiry_count", "loan_type"])
    assert np.isnan(bare["enquiry_count"]).all() and set(bare["loan_type"]) == {None} and bare["age"] is inputs["age"]


# --- Benchmark --------------------------------------------------------------------------------------------------------


def test_the_other_version_is_the_one_asked_for_or_the_other_alias():
    manifest = {"aliases": {"champion": "v2", "challenger": "v1"}, "models": {"v1": {}, "v2": {}, "v3": {}}}
    assert validation.other_version("v2", "", manifest) == "v1"
    assert validation.other_version("v1", "", manifest) == "v2"
    assert validation.other_version("v1", "challenger", manifest) == "v1"
    assert validation.other_version("v1", "v3", manifest) == "v3"
    assert validation.other_version("v1", "", {"aliases": {"champion": "v1"}, "models": {"v1": {}}}) == ""


def test_a_version_of_another_split_is_not_compared():
    one = {"run": "a", "seed": 1, "split": "s", "rows": {"test": 3}}
    assert validation.not_comparable(one, dict(one)) == ""
    assert "another run (b)" in validation.not_comparable(one, one | {"run": "b"})
    bad, pds = right(2_000)
    found = validation.against_other(bad, pds, None, "v1", "it was trained in another run")
    assert found.status == NOT_APPLICABLE and found.why == "it was trained in another run"


def test_a_significantly_better_rival_is_watched_and_fails_when_far_better():
    bad, pds = right(30_000)
    rng = np.random.default_rng(6)
    log_odds = np.log(pds / (1 - pds))
    near, far = log_odds + rng.normal(0, 0.25, 30_000), log_odds + rng.normal(0, 1.0, 30_000)
    assert validation.against_other(bad, pds, near, "v1").status == PASS
    assert validation.against_other(bad, near, pds, "v1").status == WATCH
    assert validation.against_other(bad, far, pds, "v1").status == FAIL


def test_trees_that_add_nothing_to_a_plain_logistic_are_watched():
    bad, pds = right(30_000)
    worse = np.log(pds) + np.random.default_rng(7).normal(0, 0.6, 30_000)
    assert validation.complexity(bad, pds, worse, is_scorecard=False).status == PASS
    assert validation.complexity(bad, pds, pds, is_scorecard=False).status == WATCH
    assert validation.complexity(bad, pds, pds, is_scorecard=True).status == PASS
    assert validation.complexity(bad, worse, pds, is_scorecard=True).status == FAIL


# --- Fairness screen --------------------------------------------------------------------------------------------------


def test_the_screen_flags_a_low_ratio_that_is_not_chance():
    groups = np.repeat(np.array(["a", "b", "c", None], dtype=object), [100, 60, 29, 10])
    approved = np.concatenate([np.arange(100) < 80, np.arange(60) < 30, np.zeros(29), np.zeros(10)]).astype(bool)
    bad, pds = np.arange(199) % 2, np.full(199, 0.5)
    table = fairness.fairness(groups, bad, pds, approved).set_index("group")
    assert table["ratio"].iloc[:2].tolist() == pytest.approx([1.0, 0.5 / 0.8]) and np.isnan(table.loc["c", "ratio"])
    assert table.loc["b", "p"] == pytest.approx(fisher_exact([[30, 30], [80, 20]]).pvalue)
    assert table["flagged"].tolist() == [False, True, False]  # 29 rows are too few to be flagged
    assert table.loc["b", "ratio_low"] < 0.625 < table.loc["b", "ratio_high"]
    approval, level = fairness.fairness_findings("kind", table.reset_index())
    assert approval.status == WATCH and approval.why == "flagged for review: b"
    assert level.status == PASS and "insufficient defaults: 1" in level.why


def test_a_low_ratio_by_chance_and_one_group_alone_are_not_flagged():
    groups = np.repeat(np.array(["a", "b"], dtype=object), [100, 30])
    approved = np.concatenate([np.arange(100) < 12, np.arange(30) < 2])
    bad, pds = np.arange(130) % 2, np.full(130, 0.5)
    approval, _ = fairness.fairness_findings("kind", fairness.fairness(groups, bad, pds, approved))
    assert approval.value == pytest.approx(2 / 30 / 0.12) and approval.status == PASS
    alone = fairness.fairness_findings("kind", fairness.fairness(groups[:100], bad[:100], pds[:100], approved[:100]))
    assert alone[0].status == NOT_APPLICABLE
    nobody = fairness.fairness(np.full(130, None, dtype=object), bad, pds, approved)
    assert {one.status for one in fairness.fairness_findings("kind", nobody)} == {NOT_APPLICABLE}


def test_pds_that_are_wrong_for_one_group_fail_for_it():
    bad, pds = right(20_000)
    groups = np.where(np.arange(20_000) < 8_000, "a", "b").astype(object)
    told = np.where(groups == "a", pds * 0.7, pds)
    level = fairness.fairness_findings("kind", fairness.fairness(groups, bad, told, pds < 0.1))[1]
    assert level.status == FAIL and level.why.startswith("group a") and level.value == pytest.approx(1 / 0.7, abs=0.1)


def test_groups_are_levels_of_audited_attributes_and_the_age_limit():
    frame = pd.DataFrame({"gender": ["M", None], "age": [61.0, 62.0]})
    groups = fairness.audit_groups(RETAIL, frame)
    assert set(groups) == {"gender", "age"}  # marital_status is not in this book
    assert groups["gender"].tolist() == ["M", None] and groups["age"].tolist() == ["under 62", "62 and over"]
    assert [one.key for one in fairness.not_screened(RETAIL, frame)] == ["fairness.marital_status.approval"]


def test_an_audited_number_without_a_limit_is_cut_at_its_quartiles():
    restricted = {"age": SimpleNamespace(no_worse_from=None)}
    book = SimpleNamespace(restricted=restricted, columns=RETAIL.columns)
    ages = pd.DataFrame({"age": [20.0, 30.0, 40.0, 50.0, np.nan]})
    groups = fairness.audit_groups(book, ages)["age"].tolist()
    assert groups == ["under 27.5", "27.5 to under 35", "35 to under 42.5", "42.5 and over", None]


# --- Implementation, scope and words ----------------------------------------------------------------------------------


def test_what_computes_otherwise_than_before_is_seen():
    assert validation.reproduces(0.0, 1e-12).status == PASS and validation.reproduces(1e-6, 1e-12).status == FAIL
    assert validation.same_pds(np.array([0.1, 0.2]), np.array([0.1, 0.2]), 1e-12).status == PASS
    assert validation.same_pds(np.array([0.1, 0.3]), np.array([0.1, 0.2]), 1e-6).status == FAIL
    found = validation.same_libraries({"numpy": "1", "xgboost": "3"}, {"numpy": "2", "xgboost": "3"})
    assert found.status == WATCH and found.why == "numpy 1 then, 2 now"


def test_what_cannot_be_computed_is_said_with_the_reason():
    found = validation.not_computable(RETAIL, NONE)
    assert {one.status for one in found} == {NOT_APPLICABLE} and all(one.why and one.source for one in found)
    assert {"scope.migrations", "scope.migration_matrix", "scope.exposure"} <= {one.key for one in found}


def test_the_report_names_rules_with_their_date_and_claims_compliance_with_none():
    told = " ".join(" ".join(row) for row in validation.REFERENCES)
    assert "complian" not in told.lower() and validation.REFERENCES_AS_OF
    limits = validation.limits_of_use(RETAIL, None, NONE, synthetic=True)
    assert any("point-in-time" in one for one in limits) and any("made from a rule" in one for one in limits)
    shifted = validation.limits_of_use(RETAIL, None, SimpleNamespace(long_run=0.05), synthetic=False)
    assert any("through-the-cycle: shifted to a long-run rate of 5.00%" in one for one in shifted)
    assert not any("made from a rule" in one or "PDs are point-in-time" in one for one in shifted)


def test_every_rejected_column_has_a_reason():
    table = validation.selection_table(small_training().funnel, small_models()["v1"].features)
    assert table["reason"].str.len().min() > 0 and len(table) == len(RETAIL.columns)
    assert set(table.loc[table["in_model"] == "yes", "column"]) == set(small_models()["v1"].features)
