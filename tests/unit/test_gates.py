"""The release gate lets right PDs pass, bars wrong ones with the reason, and says when bads are too few to tell."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit, logit
from scipy.stats import norm

from creditrisk.data.sample import make_book
from creditrisk.data.tables import prepare_book
from creditrisk.modelling import train
from creditrisk.modelling.attempts import Attempt, Candidates, Clock, fit_attempt
from creditrisk.modelling.gates import FAIL, PASS, TOO_FEW, UNDECIDED, Gate, release_gate
from unit.models import RETAIL, folds

LEVELS = np.array([0.01, 0.02, 0.05, 0.10, 0.20, 0.40])


def exact(rows: int) -> tuple[np.ndarray, np.ndarray]:
    """PDs in six groups of so many rows, and outcomes with just these bad rates."""
    pd = np.repeat(LEVELS, rows)
    bad = np.concatenate([np.arange(rows) < round(level * rows) for level in LEVELS]).astype(float)
    return bad, pd


def figures(gate: Gate) -> dict[str, float]:
    return {one.name: one.value for one in gate.criteria}


def verdicts(gate: Gate) -> dict[str, str]:
    return {one.name: one.verdict for one in gate.criteria}


def test_right_pds_with_enough_bads_pass():
    gate = release_gate(*exact(4_000))
    assert gate.passed and gate.status == PASS and not gate.failed
    assert figures(gate) == {
        "observed/expected": pytest.approx(1, abs=1e-12),
        "intercept": pytest.approx(0, abs=1e-9),
        "slope": pytest.approx(1, abs=1e-6),
    }
    assert set(verdicts(gate).values()) == {PASS}
    assert (gate.rows, gate.bads, gate.mean_pd, gate.bad_rate) == (24_000, 3_120, pytest.approx(0.13), 0.13)


@pytest.mark.parametrize(("shift", "stretch", "failing"), [
    (0.3, 1.0, {"observed/expected", "intercept"}),
    (-0.3, 1.0, {"observed/expected", "intercept"}),
    (0.0, 1.0, set()),
])  # fmt: skip
def test_pds_off_the_level_fail_either_way(shift, stretch, failing):
    bad, pd = exact(4_000)
    gate = release_gate(bad, expit(shift + stretch * logit(pd)))
    assert {name for name, verdict in verdicts(gate).items() if verdict == FAIL} == failing
    assert gate.failed == bool(failing)
    if failing:
        assert figures(gate)["intercept"] == pytest.approx(-shift, abs=1e-6)
        assert f"PDs are too {'high' if shift > 0 else 'low'}" in str(gate)


@pytest.mark.parametrize(("stretch", "said"), [
    (1.25, "high PDs are too high and low ones too low"), (0.8, "PDs differ too little"),
])  # fmt: skip
def test_pds_at_the_right_level_but_too_far_apart_or_too_close_fail_by_their_slope(stretch, said):
    bad, pd = exact(4_000)
    odds = stretch * logit(pd)
    for _ in range(60):  # the level that makes mean PD and bad rate equal
        odds = odds + logit(bad.mean()) - logit(expit(odds).mean())
    gate = release_gate(bad, expit(odds))
    assert verdicts(gate) == {"observed/expected": PASS, "intercept": PASS, "slope": FAIL}
    assert figures(gate)["slope"] == pytest.approx(1 / stretch, rel=1e-6) and said in str(gate)


def test_the_interval_of_observed_over_expected_is_that_of_a_binomial():
    bad = np.repeat([1.0, 0.0], [450, 550])
    line = release_gate(bad, np.full(1_000, 0.44)).criteria[0]
    assert line.value == pytest.approx(450 / 440)
    reach = norm.ppf(0.95) * np.sqrt(1_000 * 0.45 * 0.55) / 450
    assert (np.log(line.low / line.value), np.log(line.high / line.value)) == pytest.approx((-reach, reach))


def test_the_interval_of_observed_over_expected_holds_the_truth_nine_times_in_ten():
    rng = np.random.default_rng(4)
    held = 0
    for _ in range(400):
        pd = expit(rng.normal(-1, 1.5, 1_500))
        line = release_gate((rng.random(1_500) < pd).astype(float), pd).criteria[0]
        held += line.low <= 1 <= line.high
    assert held / 400 == pytest.approx(0.90, abs=0.045)


def off(ratio: float, bads: int) -> Gate:
    """PDs that are right but for a common factor, on rows with so many bads."""
    bad, pd = exact(max(100, round(bads / 78) * 100))
    return release_gate(bad, pd / ratio)


@pytest.mark.parametrize(("ratio", "verdict"), [
    (1.0, PASS), (1.03, PASS), (0.97, PASS), (1.085, FAIL), (0.915, FAIL), (1.3, FAIL), (0.7, FAIL),
])  # fmt: skip
def test_observed_over_expected_must_be_shown_to_be_within_its_bounds(ratio, verdict):
    gate = off(ratio, 3_120)
    line = gate.criteria[0]
    assert line.value == pytest.approx(ratio, abs=1e-9) and line.verdict == verdict
    assert (line.low >= 0.9 and line.high <= 1.1) == (verdict == PASS), (
        "two one-sided tests: the interval, not the value"
    )
    assert ("has no 90% interval within 0.9 to 1.1" in str(gate)) == (verdict == FAIL)


# Too few bads


def test_with_too_few_bads_to_tell_nothing_is_concluded_and_it_is_said():
    gate = release_gate(*exact(100))
    assert gate.bads == 78 and gate.status == TOO_FEW and not gate.passed and not gate.failed
    assert set(verdicts(gate).values()) == {UNDECIDED}
    assert gate.reasons == (
        "too few defaults to conclude: 78 bads, and about 560 are needed for a right model to show that it is; until "
        "then only an interval wholly outside its bounds counts",
    )


@pytest.mark.parametrize(("ratio", "status"), [(1.1, TOO_FEW), (0.9, TOO_FEW), (2.0, FAIL), (0.5, FAIL)])
def test_of_few_bads_only_a_clear_failure_counts(ratio, status):
    gate = off(ratio, 78)
    assert gate.status == status
    assert gate.reasons[-1].startswith("too few defaults"), "a failure says so, too"
    line = gate.criteria[0]
    assert (line.verdict == FAIL) == (line.low > 1.1 or line.high < 0.9)


def test_a_right_model_rarely_fails_for_having_just_enough_bads():
    rng = np.random.default_rng(1)
    for rows in (1_500, 3_000, 4_500, 6_000, 9_000):  # 100 to 600 bads
        found = []
        for _ in range(40):
            pd = expit(rng.normal(-3, 1.0, rows))
            found.append(verdicts(release_gate((rng.random(rows) < pd).astype(float), pd))["observed/expected"])
        assert found.count(FAIL) <= 4, rows


@pytest.mark.parametrize(("bads", "pd", "status"), [(0, 0.01, TOO_FEW), (0, 0.5, FAIL), (300, 0.9999, TOO_FEW)])
def test_rows_of_one_class_are_no_error(bads, pd, status):
    gate = release_gate(np.repeat([1.0, 0.0], [bads, 300 - bads]), np.full(300, pd))
    assert gate.status == status and "too few defaults" in str(gate)
    assert json.loads(json.dumps(gate.to_dict(), allow_nan=False))["criteria"][1]["value"] is None


@pytest.mark.parametrize("rows", [100, 1_000, 100_000])
def test_one_pd_for_everybody_fails_however_many_rows_there_are(rows):
    bad = np.arange(rows) < round(0.13 * rows)
    gate = release_gate(bad, np.full(rows, bad.mean()))  # the level is exactly right
    assert gate.failed and verdicts(gate)["slope"] == FAIL
    assert gate.reasons == ("slope cannot be estimated: all PDs are equal",)
    assert json.loads(json.dumps(gate.to_dict(), allow_nan=False))["criteria"][2]["value"] is None
    assert Gate.from_dict(gate.to_dict()) == gate


def test_pds_that_part_goods_and_bads_have_no_slope_and_do_not_pass_for_want_of_it():
    def parted(rows: int) -> Gate:
        bad = np.repeat([1.0, 0.0], [rows, rows])
        return release_gate(bad, np.repeat([0.6, 0.4], [rows, rows]))

    assert parted(20).status == TOO_FEW and verdicts(parted(20))["slope"] == UNDECIDED
    assert parted(2_000).failed
    assert "slope cannot be estimated: the PDs of goods and bads do not overlap" in str(parted(2_000))


def test_a_thousand_bads_without_a_good_do_not_conclude():
    gate = release_gate(np.ones(1_000), np.full(1_000, 0.9999))
    assert gate.status == TOO_FEW and "1,000 bads and no goods" in str(gate)


def test_bads_where_every_pd_is_0_fail():
    gate = release_gate(np.arange(50) < 20, np.zeros(50))
    assert gate.failed
    assert "observed/expected cannot be estimated: mean PD 0.0% against a bad rate of 40.0%" in str(gate)


def test_what_is_judged_is_said_the_value_where_bads_are_enough_else_the_interval():
    enough, few = release_gate(*exact(4_000)), release_gate(*exact(100))
    assert [one.rule for one in enough.criteria] == [
        "90% interval within 0.9 to 1.1", "value within -0.1 to 0.1", "value within 0.9 to 1.1",
    ]  # fmt: skip
    assert [one.rule for one in few.criteria] == [
        "90% interval not wholly outside 0.9 to 1.1", "95% interval not wholly outside -0.1 to 0.1",
        "95% interval not wholly outside 0.9 to 1.1",
    ]  # fmt: skip
    bad, pd = exact(1_500)
    near = release_gate(bad, expit(0.09 + logit(pd)))  # a value within the bounds, its interval not wholly
    line = near.criteria[1]
    assert line.verdict == PASS and line.low < -0.1 < line.value
    off_level = release_gate(bad, expit(0.3 + logit(pd)))
    assert "), judged by its value, is not within -0.1 to 0.1: PDs are too high" in str(off_level)
    bad, pd = exact(100)
    off_level = release_gate(bad, expit(1 + logit(pd)))
    assert ") has its 95% interval wholly outside -0.1 to 0.1: PDs are too high" in str(off_level)


def test_no_rows_are_no_error_and_no_pass():
    assert release_gate(np.empty(0), np.empty(0)).status == TOO_FEW


# What it is kept as


@pytest.mark.parametrize("gate", [release_gate(*exact(4_000)), off(1.3, 3_120), off(1.0, 78)], ids=lambda g: g.status)
def test_it_is_plain_data_and_reads_as_a_table(gate):
    plain = json.loads(json.dumps(gate.to_dict(), allow_nan=False))
    assert Gate.from_dict(plain) == gate and plain["passed"] == gate.passed
    table = gate.table()
    assert table["criterion"].tolist() == ["observed/expected", "intercept", "slope"]
    assert table["verdict"].tolist() == list(verdicts(gate).values())
    assert (table["low"] <= table["value"]).all() and (table["value"] <= table["high"]).all()
    assert str(gate).startswith(f"{gate.status}: ")


# Real models


@pytest.fixture(scope="module")
def training() -> train.Training:
    """A book of 10,000 loans with four inputs: enough bads in the test to tell."""
    book = prepare_book(make_book(10_000, seed=5).tables, RETAIL)
    made = train.begin(book, train.split_book(book, "random", 5), 5)
    few = ("credit_utilization_ratio", "loan_to_income", "delinquency_ratio", "residence_type")
    return replace(made, candidates=Candidates(few, few))


@pytest.mark.parametrize("family", ["logistic", "xgboost"])
def test_smote_without_calibration_fails_and_the_message_says_why(training, family):
    attempt = Attempt(
        3, family, "smotetomek", params={"n_estimators": 40, "max_depth": 3} if family == "xgboost" else {}
    )
    model = fit_attempt(attempt, training.part("train"), training.candidates, RETAIL, 42)
    found, test = (
        train.judge(training, attempt, model, folds(training).out_of_fold(attempt), Clock()),
        training.part("test"),
    )
    said = str(found.raw_gate)
    assert found.raw_gate.failed and found.raw["mean_pd"] > 1.5 * test.bad.mean()
    assert f"mean PD {found.raw['mean_pd']:.1%} against a bad rate of {test.bad.mean():.1%}" in said
    assert "trained on rows balanced by SMOTETomek, and not calibrated" in said
    assert verdicts(found.gate)["observed/expected"] != FAIL, "calibration repairs the level"
    assert "SMOTETomek" not in str(found.gate)
    for gate in (found.gate, found.raw_gate):
        assert (gate.rows, gate.bads) == (len(test), test.bad.sum()), "judged on the test rows"


def test_resampling_is_named_only_where_it_explains_a_failure(training):
    attempt = Attempt(1, "logistic")
    model = fit_attempt(attempt, training.part("train"), training.candidates, RETAIL, 42)
    found = train.judge(training, attempt, model, folds(training).out_of_fold(attempt), Clock())
    assert not found.raw_gate.failed and "balanced" not in str(found.raw_gate)
