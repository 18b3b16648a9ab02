"""Outcomes are judged when their time is up, and not before; what is judged is judged as the field does it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from math import isnan, sqrt

import numpy as np
import pytest
import sqlalchemy as sa
from scipy.special import expit, logit
from scipy.stats import norm

from creditrisk.errors import LogError, ParameterError
from creditrisk.modelling.gates import SLOPES
from creditrisk.modelling.validation import GINI_FALL as VALIDATED_GINI_FALL
from creditrisk.modelling.validation import SLOPE as VALIDATED_SLOPE
from creditrisk.monitoring import cohorts as cohorts_module
from creditrisk.monitoring.cohorts import UNKNOWN, Followed, month_of
from creditrisk.monitoring.estimation import ESTIMATED, expected_auc, expected_brier, expected_rate
from creditrisk.monitoring.judgement import (
    AMBER,
    GINI_FALL,
    GREEN,
    NOT_EVALUABLE,
    RED,
    SLOPE,
    Reference,
    holm,
    judge_grades,
    judge_loans,
    judge_ranking,
    ks_interval,
    level_light,
)
from creditrisk.monitoring.outcomes import (
    NO_ACTION,
    NO_OUTCOME,
    POOLED,
    RECALIBRATE,
    REDEVELOP,
    SELECTION,
    VERDICTS,
    WATCH,
    OutcomeReport,
    Rules,
    judge,
    judge_followed,
)
from creditrisk.serving.log import DecisionRecord, OutcomeRecord, PredictionLog, PredictionRecord, migrate
from creditrisk.serving.model import ModelData
from unit.models import RETAIL, published

GRADES = RETAIL.grades
JANUARY = 2024 * 12
AS_OF = datetime(2026, 1, 15, tzinfo=UTC)
RULES = Rules(AS_OF)


def followed(
    n: int, seed: int = 1, *, truth: Callable = lambda pd, rng: pd, granted: float = 1.0, months: int = 24, low: int = 0
) -> Followed:
    """Predictions of some months from January 2024 on, with outcomes seen a year later; `granted` share of the best."""
    rng = np.random.default_rng(seed)
    pds = rng.beta(0.6, 6, n)
    month = (JANUARY + low + rng.integers(0, months, n)).astype(np.int32)
    bad = (rng.random(n) < truth(pds, rng)).astype(np.int8)
    loan = pds <= np.quantile(pds, granted)
    bad = np.where(loan, bad, UNKNOWN).astype(np.int8)
    return Followed(month, pds, loan, bad, (month + 12).astype(np.int32), np.zeros(n, np.int16), ("all",))


def report_on(some: Followed, rules: Rules = RULES, **reference) -> OutcomeReport:
    return judge_followed(some, Reference(**{"auc": expected_auc(some.pd), "grades": GRADES, **reference}), rules)


def higher(times: float) -> Callable:
    return lambda pds, rng: np.clip(times * pds, 0, 1)


def at_random(pds: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return rng.permutation(pds)


# --- Estimated before outcomes arrive ---------------------------------------------------------------------------------


@pytest.mark.parametrize("decimals", [1, 2, 16])
def test_the_estimated_auc_is_that_of_all_pairs(decimals):
    p = np.round(np.random.default_rng(3).beta(1, 4, 301), decimals)
    pairs = p[:, None] * (1 - p)[None, :]
    order = (p[:, None] > p[None, :]) + 0.5 * (p[:, None] == p[None, :])
    assert expected_auc(p) == pytest.approx((pairs * order).sum() / (p.sum() * (1 - p).sum()), abs=1e-12)


def test_estimates_by_hand():
    assert expected_auc(np.array([0.2, 0.6])) == pytest.approx((0.2 * 0.8 / 2 + 0.6 * 0.8 + 0.6 * 0.4 / 2) / 0.96)
    assert expected_brier(np.array([0.2, 0.6])) == pytest.approx((0.16 + 0.24) / 2)
    rate = expected_rate(np.array([0.2, 0.6]))
    assert rate.value == pytest.approx(0.4) and (rate.low, rate.high) == (0, 1), "two loans may do anything"
    rate = expected_rate(np.repeat([0.2, 0.6], 50))
    assert rate.high - 0.4 == pytest.approx(0.4 - rate.low) == pytest.approx(1.959964 * sqrt(20) / 100)
    assert isnan(expected_auc(np.zeros(5))) and isnan(expected_auc(np.array([])))


def test_estimates_come_near_what_happens_where_pds_are_right_and_are_blind_where_risk_moved():
    right, moved = report_on(followed(40_000)), report_on(followed(40_000, truth=higher(1.5)))
    for report, near in ((right, True), (moved, False)):
        months = report.estimated.dropna(subset="realised_auc")
        gaps = (months["realised_rate"] / months["rate"] - 1).mean()
        assert (abs(gaps) < 0.03) if near else gaps > 0.35
        assert report.to_dict()["estimated"]["label"] == ESTIMATED == "estimated; blind to concept drift"
    months = right.estimated.dropna(subset="realised_auc")
    assert abs((months["realised_auc"] - months["loans_auc"]).mean()) < 0.01
    assert abs((months["realised_brier"] - months["loans_brier"]).mean()) < 0.002


# --- Tests and lights -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("defaults", "p", "light"),
    [(10, 0.480, GREEN), (13, 0.164, GREEN), (16, 0.0327, AMBER), (18, 0.0084, RED), (20, 0.0018, RED)],
)
def test_the_jeffreys_test_of_a_grade_gives_the_published_values(defaults, p, light):
    bad, pds = np.arange(200) < defaults, np.full(200, 0.05)
    (grade,) = judge_grades(bad, pds, pds, GRADES)
    assert (grade.grade, grade.n, grade.defaults) == ("C2", 200, defaults)
    assert grade.jeffreys_p == grade.adjusted == pytest.approx(p, abs=5e-4 if p > 0.1 else 5e-5)
    assert grade.light == light
    assert judge_loans(bad.astype(np.int8), pds, Reference(0.8, GRADES)).level_light == light


def test_with_many_loans_an_error_too_small_to_matter_is_not_red():
    assert level_light(1e-6, 1_050, 1_000) == AMBER
    assert level_light(1e-6, 1_100, 1_000) == RED


def test_no_more_defaults_than_expected_are_never_evidence_of_pds_that_are_too_low():
    pds = np.full(30, 0.0001)
    (grade,) = judge_grades(np.zeros(30), pds, pds, GRADES)
    assert grade.jeffreys_p < 0.10 and grade.light == GREEN
    assert level_light(0.001, 3, 3.0) == GREEN and level_light(0.04, 4, 3.0) == AMBER


def test_grades_are_corrected_for_their_number():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, np.nan, 0.6]) == pytest.approx([1.0, np.nan, 1.0], nan_ok=True)
    clean = []
    for seed in range(300):
        some = followed(2_000, seed)
        clean.append(judge_grades(some.bad, some.pd, some.pd, GRADES))
    falsely = sum(any(one.light != GREEN for one in grades) for grades in clean)
    raw = sum(any(one.jeffreys_p < 0.05 for one in grades) for grades in clean)
    assert falsely <= 0.08 * 300 < 0.2 * 300 < raw, "5% and chance; without correction far more"


def test_the_test_against_the_initial_auc_is_that_of_the_ecb():
    rng = np.random.default_rng(5)
    bad = np.arange(120) < 40
    pds = np.round(np.clip(rng.beta(2, 8, 120) + 0.1 * bad, 0, 1), 2)
    bads, goods = pds[bad], pds[~bad]
    order = (bads[:, None] > goods[None, :]) + 0.5 * (bads[:, None] == goods[None, :])
    variance = order.mean(axis=1).var(ddof=1) / len(bads) + order.mean(axis=0).var(ddof=1) / len(goods)
    found = judge_ranking(bad, pds, 0.80)
    assert found.auc.value == pytest.approx(order.mean())
    assert found.ecb_s == pytest.approx((0.80 - order.mean()) / sqrt(variance))
    assert found.ecb_p == pytest.approx(norm.sf(found.ecb_s))
    assert found.detectable == pytest.approx(1.645 * sqrt(variance))
    assert found.gini.value == pytest.approx(2 * order.mean() - 1)
    assert found.gini.low == pytest.approx(2 * found.auc.low - 1) and found.auc.low < found.auc.value < found.auc.high


def test_below_twenty_defaults_ranking_and_slope_are_not_evaluable():
    rng = np.random.default_rng(1)
    pds = rng.beta(1, 9, 400)
    for defaults, light in ((19, NOT_EVALUABLE), (20, GREEN)):
        bad = np.zeros(400, dtype=np.int8)
        bad[np.argsort(-(pds + 0.1 * rng.random(400)))[:defaults]] = 1
        judged = judge_loans(bad, pds, Reference(0.7))
        assert judged.discrimination.light == light
        assert isnan(judged.discrimination.auc.value) == (light == NOT_EVALUABLE)
        assert (judged.slope_light == NOT_EVALUABLE) == (light == NOT_EVALUABLE)
        assert judged.jeffreys_p >= 0, "the level is tested with whatever there is"
    assert "19 defaults among 400 loans" in judge_loans(np.arange(400) < 19, pds, Reference(0.7)).discrimination.why


def test_a_narrower_market_is_no_loss_of_ranking_but_a_loss_is():
    reference = expected_auc(followed(50_000).pd)
    narrow, useless = followed(20_000, granted=0.6), followed(20_000, granted=0.6, truth=at_random)
    narrow, useless = (report_on(one, auc=reference).pooled.discrimination for one in (narrow, useless))
    assert narrow.auc.value < reference - 0.05 and narrow.ecb_p < 0.001, "lower than at validation, beyond chance"
    assert narrow.light == GREEN and narrow.reference == narrow.expected and "closer together" in narrow.why
    assert useless.light == RED and useless.fall > 0.5


def test_ks_has_an_interval_by_hand():
    bad = np.array([0, 0, 0, 1, 1, 0, 1, 0, 1, 1])  # below the fourth lie no bad and three of five goods
    found = ks_interval(bad, np.arange(10) / 10)
    assert found.value == pytest.approx(0.6)
    half = 1.959964 * sqrt(0.0 / 5 + 0.6 * 0.4 / 5)
    assert (found.low, found.high) == (pytest.approx(0.6 - half), pytest.approx(min(0.6 + half, 1)))


def test_limits_are_those_of_the_validation_report():
    assert (GINI_FALL.watch, GINI_FALL.fail) == (VALIDATED_GINI_FALL.watch, VALIDATED_GINI_FALL.fail)
    assert (SLOPE.low, SLOPE.high) == (VALIDATED_SLOPE.low, VALIDATED_SLOPE.high) == SLOPES


def test_through_the_cycle_pds_are_judged_without_their_shift():
    plain = followed(20_000)
    shifted = replace(plain, pd=expit(logit(plain.pd) + 0.7))
    assert report_on(shifted, auc=0.8).pooled.slope_light == GREEN
    judged = report_on(shifted, auc=0.8, offset=0.7)
    assert judged.pooled.mean_pd == pytest.approx(report_on(plain, auc=0.8).pooled.mean_pd)
    assert judged.verdict == NO_ACTION and any("through-the-cycle" in one for one in judged.warnings)
    places = {one.grade: one.n for one in judged.pooled.grades}
    assert places == {one.grade: one.n for one in report_on(shifted, auc=0.8).pooled.grades}, "grades are of served PDs"


# --- Maturity ---------------------------------------------------------------------------------------------------------


def test_an_immature_vintage_gives_no_number_and_early_defaulters_do_not_leak():
    some = followed(6_000)
    young = some.month >= JANUARY + 12  # as of 15 January 2026 those of 2024 are mature
    quiet = replace(some, bad=np.where(young, UNKNOWN, some.bad).astype(np.int8))
    loud = replace(some, bad=np.where(young, 1, some.bad).astype(np.int8), seen=some.month + 2)
    loud = replace(loud, seen=np.where(young, loud.seen, some.seen))
    # Whether nobody or everybody of the immature has defaulted, the reports are the same to the last letter.
    assert report_on(loud).to_dict() == report_on(quiet).to_dict()
    table = report_on(loud).cohorts.set_index("vintage")
    waiting = table.loc["2025-01":"2025-12"]
    assert set(waiting["status"]) == {"no outcome yet"} and len(waiting) == 12
    told = {"matures", "status", "why", "predictions"}
    assert waiting.drop(columns=list(told)).isna().all(axis=None), "no number but how many predictions there are"
    assert table.loc["2024-01":"2024-12", "n"].notna().all() and table.loc[POOLED, "n"] == (~young).sum()


def test_a_vintage_matures_on_the_day_after_the_window_of_its_last_prediction():
    some = followed(3_000, months=3)  # January to March 2024
    last = datetime(2025, 3, 31, 23, 59, tzinfo=UTC)
    before, after = (report_on(some, Rules(day)) for day in (last, last + timedelta(minutes=1)))
    assert [one.vintage for one in before.judged] == ["2024-01", "2024-02"]
    assert [one.vintage for one in after.judged] == ["2024-01", "2024-02", "2024-03"]
    assert after.vintages[-1].matures == "2025-04-01"
    quarters = [report_on(some, Rules(day, by="quarter")) for day in (last, last + timedelta(minutes=1))]
    assert [[one.vintage for one in report.judged] for report in quarters] == [[], ["2024 Q1"]]
    assert quarters[0].verdict == NO_OUTCOME and "2024 Q1, can be judged from 2025-04-01" in quarters[0].reason
    assert len(report_on(some, Rules(last, months=24)).judged) == 0


def test_a_good_seen_before_its_window_is_over_is_not_known_and_a_bad_is():
    some = followed(2_000, months=1)
    early = replace(some, seen=(some.month + 11).astype(np.int32))
    (vintage,) = report_on(early).vintages
    goods = int((some.bad == 0).sum())
    assert (vintage.early, vintage.missing, vintage.known) == (goods, goods, 2_000 - goods)
    assert vintage.status == "incomplete" and vintage.judged is None
    share = f"{1 - goods / 2_000:.0%}"
    assert vintage.why == f"outcomes of {goods:,} of 2,000 loans are missing; {share} are known, and 80% are needed"
    assert any("good when last seen" in one for one in report_on(early).warnings)


def test_a_vintage_with_too_many_unknown_outcomes_is_not_judged_and_says_how_many():
    some = followed(2_000, months=2)
    second = np.flatnonzero(some.month == JANUARY + 1)
    bad = some.bad.copy()
    bad[second[: len(second) // 4]] = UNKNOWN
    report = report_on(replace(some, bad=bad))
    first, other = report.vintages
    assert first.status == "judged" and other.status == "incomplete" and other.missing == len(second) // 4
    assert report.pooled.n == first.known, "what is incomplete is in no figure"
    judged = report_on(replace(some, bad=bad), replace(RULES, complete=0.7)).vintages[1]
    assert judged.status == "judged" and judged.why.startswith(f"outcomes of {len(second) // 4} of")
    table = report.cohorts.set_index("vintage")
    assert isnan(table.loc["2024-02", "defaults"]) and table.loc["2024-02", "missing"] == len(second) // 4


def test_declined_applications_are_not_missed_and_the_report_says_what_is_not_known():
    report = report_on(followed(4_000, granted=0.6))
    assert report.pooled is not None and all(one.missing == 0 for one in report.vintages if one.known)
    assert report.warnings[0].startswith(SELECTION) and "1,600 of 4,000 predictions were declined" in report.warnings[0]
    some = followed(500, months=2)
    nobody = report_on(replace(some, granted=some.granted & False, bad=np.full(500, UNKNOWN, np.int8)))
    assert nobody.verdict == NO_OUTCOME, "a vintage of which every application was declined has nothing to judge"


@pytest.mark.parametrize(
    ("rules", "message"),
    [({"by": "week"}, "month, quarter"), ({"months": 0}, "1 to 600"), ({"complete": 0}, "share above 0")],
)
def test_rules_that_cannot_be_are_refused(rules, message):
    with pytest.raises(ParameterError, match=message):
        Rules(AS_OF, **rules)


# --- The verdict ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("granted", [1.0, 0.7])
def test_a_right_model_is_asked_for_no_action(granted):
    verdicts = Counter(report_on(followed(4_000, seed, granted=granted)).verdict for seed in range(100))
    assert verdicts[RECALIBRATE] + verdicts[REDEVELOP] <= 0.02 * 100, verdicts
    assert verdicts[NO_ACTION] >= 0.75 * 100, verdicts


@pytest.mark.parametrize(("truth", "verdict"), [(higher(1.5), RECALIBRATE), (at_random, REDEVELOP)])
def test_a_wrong_level_asks_for_recalibration_and_lost_ranking_for_redevelopment(truth, verdict):
    found = Counter(report_on(followed(6_000, seed, truth=truth, granted=0.8)).verdict for seed in range(40))
    assert found[verdict] >= 0.95 * 40, found


def test_a_grade_that_is_red_twice_in_a_row_asks_for_recalibration():
    some = followed(8_000, months=24)
    found = np.random.default_rng(0).random(8_000)
    bad = np.where(found < some.pd, 1, 0)
    worse = np.isin(some.month, [JANUARY + 4, JANUARY + 5]) & (some.pd > 0.05) & (some.pd <= 0.1)
    bad = np.where(worse, found < 4 * some.pd, bad).astype(np.int8)
    report = report_on(replace(some, bad=bad))
    assert report.verdict == RECALIBRATE and "grade D1 is red twice in a row, in 2024-05 and 2024-06" in report.reasons
    apart = replace(some, month=np.where(some.month == JANUARY + 5, JANUARY + 7, some.month).astype(np.int32))
    reasons = report_on(replace(apart, bad=bad)).reasons
    assert not any("twice in a row" in one for one in reasons), "another judged vintage lies between"


def test_pds_that_are_too_high_and_a_bad_last_vintage_are_watched():
    high = report_on(followed(6_000, truth=higher(0.6)))
    assert high.verdict == WATCH and any("PDs are too high" in one for one in high.reasons)
    some = followed(20_000)
    last = some.month == JANUARY + 11
    rng = np.random.default_rng(2)
    bad = np.where(last, rng.random(20_000) < 1.6 * some.pd, some.bad).astype(np.int8)
    report = report_on(replace(some, bad=bad))
    assert report.verdict == WATCH and any("in the last judged vintage, 2024-12" in one for one in report.reasons)


def test_every_verdict_has_a_reason_and_the_report_is_json():
    for some in (
        followed(3_000),
        followed(3_000, truth=at_random),
        followed(300, months=1, low=30),
        followed(3, months=1),
    ):
        report = report_on(some)
        assert report.verdict in VERDICTS and report.reason
        text = json.dumps(report.to_dict(), allow_nan=False)
        assert json.loads(text)["verdict"] == report.verdict
        assert len(report.cohorts) == len(report.vintages) + (report.pooled is not None)
        assert set(report.grades["vintage"]) <= {one.vintage for one in report.judged} | {POOLED}


# --- From the log, on both databases ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> ModelData:
    return published(tmp_path_factory.mktemp("artifacts"))["v2"]


@pytest.fixture
def log(empty_url) -> Iterator[PredictionLog]:
    migrate(empty_url)
    log = PredictionLog(empty_url, period=10**6)
    yield log
    log.close()


def record(data: ModelData, pd: float, at: datetime, **more) -> PredictionRecord:
    values = {"purpose": "production", "source": "api", "inputs": {"loan_purpose": "Home"}, "features": {}}
    values |= {"pd": pd, "score": 700, "rating": "Good", "created_at": at, "decision": "approve"}
    return PredictionRecord(data.version, data.sha256, "retail", **values | more)


def fill(
    log: PredictionLog, data: ModelData, n: int, truth: Callable = lambda pd, rng: pd, until: date = date(2026, 1, 1)
):
    """Two years of predictions from January 2024 on, and the outcomes of those granted that were seen by `until`."""
    rng = np.random.default_rng(11)
    pds = rng.beta(0.6, 6, n)
    bad = rng.random(n) < np.clip(truth(pds, rng), 0, 1)
    first, purposes = datetime(2024, 1, 1, tzinfo=UTC), ("Home", "Auto", "Personaal")
    rows, outcomes = [], []
    for i in range(n):
        at = first + timedelta(days=730 * i / n)
        granted = pds[i] < 0.3
        rows.append(
            record(
                data, pds[i], at, inputs={"loan_purpose": purposes[i % 3]}, decision="approve" if granted else "decline"
            )
        )
        seen = at + timedelta(days=int(rng.integers(60, 360)) if bad[i] else 367)
        if granted and seen.date() < until:
            outcomes.append(OutcomeRecord(int(bad[i]), seen, prediction_id=rows[-1].prediction_id))
    log.append(rows)
    log.add_outcomes(outcomes)


@pytest.mark.parametrize(
    ("truth", "until", "verdict"),
    [
        (lambda pd, rng: pd, date(2026, 1, 1), NO_ACTION),
        (lambda pd, rng: 1.6 * pd, date(2026, 1, 1), RECALIBRATE),
        (at_random, date(2026, 1, 1), REDEVELOP),
        (lambda pd, rng: pd, date(2024, 6, 1), NO_OUTCOME),
    ],
)
def test_verdicts_on_a_log(log, data, truth, until, verdict):
    fill(log, data, 6_000, truth, until)
    as_of = datetime(until.year, until.month, 1, tzinfo=UTC)
    report = judge(log, replace(data, metrics={"test": {"auc": 0.83}}), as_of=as_of)
    assert report.verdict == verdict, report.reason
    assert report.rules.months == RETAIL.target.performance_months == 12
    if verdict == NO_OUTCOME:
        assert report.reason == "the first vintage, 2024-01, can be judged from 2025-02-01 on"
        assert report.pooled is None and report.grades.empty and report.estimated["realised_rate"].isna().all()
    else:
        assert [one.vintage for one in report.judged] == [f"2024-{month:02d}" for month in range(1, 13)]


def test_only_what_was_meant_in_earnest_counts_unless_asked(log, data):
    at = datetime(2024, 1, 10, tzinfo=UTC)
    for purpose, count in (("production", 5), ("file", 4), ("what_if", 3), ("shadow", 2), ("backfill", 1)):
        log.append([record(data, 0.1, at, purpose=purpose) for _ in range(count)])
    log.append([replace(record(data, 0.1, at), model_sha256="0" * 64)])  # another file of the same version
    assert judge(log, data, as_of=AS_OF).vintages[0].predictions == 9
    assert judge(log, data, as_of=AS_OF, purposes=("shadow",)).vintages[0].predictions == 2
    with pytest.raises(LogError, match="purpose='real' is unknown"):
        judge(log, data, purposes=("real",))


def test_the_outcome_reported_last_counts_as_far_as_it_had_been_seen(log, data):
    at = datetime(2024, 1, 10, tzinfo=UTC)
    rows = [record(data, 0.1, at) for _ in range(4)]
    log.append(rows)
    said = [(0, date(2025, 1, 20)), (0, date(2025, 1, 20)), (1, date(2024, 6, 1)), (0, date(2025, 1, 20))]
    log.add_outcomes(
        [OutcomeRecord(bad, day, prediction_id=r.prediction_id) for (bad, day), r in zip(said, rows, strict=True)]
    )
    log.add_outcomes([OutcomeRecord(1, date(2025, 3, 1), prediction_id=rows[0].prediction_id)])  # corrected later on
    then, now = (judge(log, data, as_of=day).pooled for day in ("2025-02-15", date(2026, 1, 1)))
    assert (then.n, then.defaults) == (4, 1) and (now.n, now.defaults) == (4, 2)
    (vintage,) = judge(log, data, as_of="2026-01-01").vintages
    assert vintage.late == 1 and any(
        "seen after their window" in w for w in judge(log, data, as_of="2026-01-01").warnings
    )


def test_a_persons_decision_stands_for_the_policys(log, data):
    rows = [
        record(data, 0.1, datetime(2024, 1, 10, tzinfo=UTC), decision=one) for one in ("decline", "approve", "refer")
    ]
    rows.append(record(data, 0.1, datetime(2024, 1, 10, tzinfo=UTC), decision=None))
    log.append(rows)
    log.add_decision(DecisionRecord(rows[0].prediction_id, "approve", "a guarantor", "N. N."))
    log.add_decision(DecisionRecord(rows[1].prediction_id, "approve", "first", "N. N."))
    log.add_decision(DecisionRecord(rows[1].prediction_id, "decline", "second", "N. N."))
    (vintage,) = judge(log, data, as_of=AS_OF).vintages
    assert (vintage.predictions, vintage.loans, vintage.missing) == (4, 2, 2)
    assert vintage.status == "no outcome yet" and vintage.why == "none of the outcomes of 2 loans is known"


def test_the_log_is_read_in_pages_with_one_statement_each(log, data, monkeypatch):
    fill(log, data, 1_000)
    whole = judge(log, data, as_of=AS_OF, segment="loan_purpose").to_dict()
    monkeypatch.setattr(cohorts_module, "PAGE", 100)
    statements = []
    sa.event.listen(log._reader, "before_cursor_execute", lambda *told: statements.append(told[2]))
    assert judge(log, data, as_of=AS_OF, segment="loan_purpose").to_dict() == whole
    assert len([one for one in statements if "predictions" in one]) == 11, "ten pages, and one that is empty"


def test_segments_have_the_same_tables_and_add_up(log, data):
    fill(log, data, 3_000)
    report = judge(log, data, as_of=AS_OF, segment="loan_purpose")
    assert list(report.segments) == ["Auto", "Home", "Personal"], "spelling aliases are resolved"
    assert sum(one.pooled.n for one in report.segments.values()) == report.pooled.n
    assert sum(one.pooled.defaults for one in report.segments.values()) == report.pooled.defaults
    assert list(report.segments["Auto"].cohorts) == list(report.cohorts)
    assert list(report.by_segment["segment"]) == list(report.segments)
    assert set(report.to_dict()["segments"]) == set(report.segments)
    log.append(
        [record(data, 0.1, datetime(2024, 1, 1, tzinfo=UTC), inputs=given) for given in ({}, {"loan_purpose": "Boat"})]
    )
    assert {"not given", "other"} <= set(judge(log, data, as_of=AS_OF, segment="loan_purpose").segments)
    with pytest.raises(ParameterError, match="'income' is not a category .* use one of residence_type, loan_purpose"):
        judge(log, data, segment="income")


def test_a_log_without_predictions_says_what_to_do(log, data):
    with pytest.raises(LogError, match="no production or file prediction in the log before .* POST /outcomes"):
        judge(log, data)
    with pytest.raises(ParameterError, match="as_of='soon' is not a date"):
        judge(log, data, as_of="soon")
    assert month_of(datetime(2024, 1, 1, tzinfo=UTC)) == JANUARY
