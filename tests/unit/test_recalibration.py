"""Recalibration: which logged outcomes count, what moves with the map, how the new version is judged and promoted."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from creditrisk import recalibration
from creditrisk.errors import DataError, TooFewOutcomes
from creditrisk.modelling.calibration import Calibration, fit_calibration
from creditrisk.modelling.gates import release_gate
from creditrisk.modelling.scorecard import Reasons, scores_of
from creditrisk.monitoring.checks import SCORES, results_of
from creditrisk.monitoring.drift import Baseline, compare
from creditrisk.promotion import PromotionRefused, promote
from creditrisk.recalibration import lineage, moment_of, newest, recalibrate
from creditrisk.serving.log import OutcomeRecord, PredictionLog
from creditrisk.serving.model import load_model, load_twin, read_manifest, save_models, version_names
from matured import AS_OF, log_matured
from unit.models import RETAIL, published, small_book, small_fitted, small_training

MOMENT = moment_of(AS_OF)


@pytest.fixture(scope="module")
def logged(tmp_path_factory):
    """Both versions, and in a log of each a year of matured predictions that defaulted more than it says."""
    folder = tmp_path_factory.mktemp("recalibration")
    models = published(folder / "artifacts")
    logs, parts = {}, {}
    for version, data in models.items():
        url = f"sqlite:///{folder / version}.db"
        log_matured(data, url, riskier=1.5)
        logs[version] = PredictionLog(url)
        parts[version] = newest(data, logs[version], MOMENT)
    yield SimpleNamespace(models=models, logs=logs, parts=parts)
    for log in logs.values():
        log.close()


def renewed(logged, version: str):
    return recalibrate(logged.models[version], "v3", logged.parts[version], why="a reason", run="a-run", as_of=MOMENT)


# Which outcomes count


def test_the_later_part_lies_after_the_earlier_and_both_are_all_that_matured(logged):
    parts = logged.parts["v2"]
    assert parts.fitted.at.max() < parts.judged.at.min()
    rows = len(parts.fitted) + len(parts.judged)
    assert rows == len(logged.logs["v2"].outcomes(10_000)) and len(parts.fitted) == pytest.approx(0.6 * rows, abs=2)


def test_months_whose_window_is_not_over_do_not_count(logged):
    """A year before 1 July 2024 lies 1 July 2023; of July on nothing is final."""
    parts = newest(logged.models["v2"], logged.logs["v2"], moment_of("2024-07-01"))
    assert parts.judged.at.max() < np.datetime64("2023-07-01")
    assert len(parts.fitted) + len(parts.judged) < len(logged.parts["v2"].fitted)


def test_too_few_outcomes_are_refused_with_the_numbers(logged):
    with pytest.raises(TooFewOutcomes) as told:
        newest(logged.models["v2"], logged.logs["v2"], moment_of("2024-03-01"))
    assert "needed are 30 bads and 30 goods" in str(told.value) and "predictions of mature" in str(told.value)
    with pytest.raises(TooFewOutcomes, match="0 predictions .* can be judged from 2024-02-01 on"):
        newest(logged.models["v2"], logged.logs["v2"], moment_of("2024-01-01"))


def test_months_of_which_too_many_outcomes_are_missing_do_not_count(logged, tmp_path):
    url = f"sqlite:///{tmp_path / 'half.db'}"
    log_matured(logged.models["v2"], url, 1_000, riskier=1.5, known=0.5)
    with pytest.raises(TooFewOutcomes, match="lack too many outcomes"):
        newest(logged.models["v2"], PredictionLog(url), MOMENT)


def test_an_application_that_was_scored_by_a_predecessor_too_counts_once(logged, tmp_path):
    url = f"sqlite:///{tmp_path / 'twice.db'}"
    log_matured(logged.models["v2"], url, 1_500, riskier=1.5)
    successor = replace(renewed(logged, "v2"), sha256="f" * 64)
    log_matured(successor, url, 1_500, riskier=1.5)
    parts = newest(successor, PredictionLog(url), MOMENT)
    assert len(parts.fitted) + len(parts.judged) == len(
        {row["application_id"] for row in PredictionLog(url).predictions(10_000)}
    )
    assert lineage(successor)[1:] == [("v2", logged.models["v2"].sha256)]


def test_logged_pds_that_the_model_does_not_give_are_refused(logged, tmp_path):
    url = f"sqlite:///{tmp_path / 'other.db'}"
    data = logged.models["v2"]
    shifted = replace(data.model.calibration, intercept=data.model.calibration.intercept + 0.5)
    log_matured(replace(data, model=data.model.calibrated(shifted)), url, 1_000)
    with pytest.raises(DataError, match="do not come out as logged"):
        newest(data, PredictionLog(url), MOMENT)


# What moves with the map


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_the_map_is_fitted_on_the_earlier_part_alone_and_judged_on_the_later(logged, version):
    parts, before, after = logged.parts[version], logged.models[version], renewed(logged, version)
    expected = fit_calibration(parts.fitted.bad, before.model.margin(parts.fitted.columns))
    found = after.model.calibration
    assert found.method == "platt" and (found.intercept, found.slope) == (expected.intercept, expected.slope)
    pds = after.model.pd(parts.judged.columns)
    assert after.gate == release_gate(parts.judged.bad, pds)
    assert abs(np.log(pds.mean() / parts.judged.bad.mean())) < abs(
        np.log(before.model.pd(parts.judged.columns).mean() / parts.judged.bad.mean())
    )


def test_few_bads_shift_the_level_only(logged, tmp_path):
    url = f"sqlite:///{tmp_path / 'few.db'}"
    log_matured(logged.models["v2"], url, 800)
    parts = newest(logged.models["v2"], PredictionLog(url), MOMENT)
    assert parts.fitted.bads < 50
    made = recalibrate(logged.models["v2"], "v3", parts, why="", run="a-run", as_of=MOMENT)
    assert made.model.calibration.method == "shift" and made.model.calibration.slope == 1


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_the_same_applicants_are_approved_for_the_same_reasons(logged, version):
    before, after, rows = logged.models[version], renewed(logged, version), small_training().part("train")
    approved = [one.model.pd(rows.columns) < one.threshold for one in (before, after)]
    assert 0.1 < approved[0].mean() < 0.95 and (approved[0] == approved[1]).all()
    expected = Reasons.fit(after.model, rows.columns, RETAIL, after.threshold)
    assert after.reasons.baseline == pytest.approx(expected.baseline, abs=1e-9)
    assert after.reasons.basis == pytest.approx(expected.basis, abs=1e-9)
    assert after.reasons.typical == expected.typical


def test_the_points_of_a_scorecard_are_those_of_the_new_map(logged):
    after = renewed(logged, "v1")
    assert after.card.is_of(after.model) and after.card.base != logged.models["v1"].card.base


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_the_baseline_of_the_results_is_that_of_the_training_rows_under_the_new_map(logged, version):
    after = renewed(logged, version)
    pds = after.model.calibration.pd(small_fitted()[version].out_of_fold)
    (found,) = after.baseline["scores"]
    assert found["name"] == SCORES[0] and after.baseline["columns"] == logged.models[version].baseline["columns"]
    counts = np.bincount(np.searchsorted(found["edges"], pds, side="right"), minlength=len(found["edges"]) + 1)
    assert counts.tolist() == list(found["counts"])
    assert (found["mean"], found["std"]) == pytest.approx((pds.mean(), pds.std()), rel=0.05)
    results = results_of(pds, scores_of(pds, RETAIL.scale))
    features = small_book().frame.iloc[small_training().split.train][list(after.features)]
    report = compare(Baseline.from_dict(after.baseline), features, results)
    assert report.status == "green"


@pytest.mark.parametrize("knots", [(), ((-3.0, -4.0), (-1.0, -1.5), (2.0, 0.5))])
def test_a_map_can_be_turned_around(knots):
    one = Calibration("isotonic" if knots else "platt", -0.3, 0.8, knots=knots)
    margins = np.linspace(-8, 8, 101)
    assert recalibration.margin_of(one, one.log_odds(margins)) == pytest.approx(margins, abs=1e-9)


def test_pds_that_were_aimed_at_a_long_run_rate_are_aimed_at_it_again(logged):
    data, parts = logged.models["v2"], logged.parts["v2"]
    aimed = data.model.calibration.aimed_at(0.05, data.model.margin(parts.fitted.columns))
    made = recalibrate(
        replace(data, model=data.model.calibrated(aimed)), "v3", parts, why="", run="a-run", as_of=MOMENT
    )
    assert made.pd_kind == "through-the-cycle" and made.model.pd(parts.fitted.columns).mean() == pytest.approx(0.05)
    assert made.gate == renewed(logged, "v2").gate, "outcomes judge the PDs before the shift"


# The version and its promotion


@pytest.fixture
def filed(settings_in, tmp_path):
    """A champion whose PDs are too low by now, and its recalibration, filed beside it."""
    folder = str(tmp_path / "artifacts")
    champion = published(folder)["v2"]
    log_matured(champion, settings_in.log_url, riskier=1.5)
    log = PredictionLog(settings_in.log_url)
    before = {path.name: path.read_bytes() for path in (tmp_path / "artifacts").glob("model_data_*")}
    (version,) = version_names("next", folder, ["new"]).values()
    made = recalibrate(champion, version, newest(champion, log, MOMENT), why="low", run="a-run", as_of=MOMENT)
    save_models(folder, {version: made}, as_new=True)
    yield SimpleNamespace(folder=folder, log=log, files=before, version=version, path=tmp_path / "artifacts")
    log.close()


def test_a_recalibrated_version_is_filed_beside_the_others_and_says_what_it_is(filed):
    assert filed.version == "v3" and {one: (filed.path / one).read_bytes() for one in filed.files} == filed.files
    manifest, made = read_manifest(filed.folder), load_model("v3", filed.folder)
    assert manifest["aliases"] == {"champion": "v2", "challenger": "v1"} and manifest["archived"] == []
    said = made.training["recalibration"]
    assert (said["of"], said["of_sha256"]) == ("v2", manifest["models"]["v2"]["sha256"])
    assert said["why"] == "low" and said["fitted"]["bads"] > said["judged"]["bads"] > 20
    assert load_twin("v3", filed.folder).model == made.model


def test_promotion_judges_it_on_the_later_part_read_again_from_the_log(filed):
    done = promote("v3", by="A. Analyst", artifacts=filed.folder, mirror=False)
    said = load_model("v3", filed.folder).training["recalibration"]["judged"]
    assert (done.evidence.rows, done.evidence.bads) == (said["rows"], said["bads"])
    assert done.evidence.difference == 0 and done.evidence.loss_difference < -0.01
    assert not any("no longer the same" in note for note in done.notes)
    assert read_manifest(filed.folder)["aliases"] == {"champion": "v3", "challenger": "v2"}


def test_promotion_says_when_the_rows_are_no_longer_those_that_judged_it(filed):
    row = max(filed.log.outcomes(10_000), key=lambda one: one["observed_at"])
    corrected = OutcomeRecord(bad=1 - row["bad"], observed_at=row["observed_at"], prediction_id=row["prediction_id"])
    filed.log.add_outcomes([corrected])
    done = promote("v3", by="A. Analyst", artifacts=filed.folder, mirror=False)
    assert any("no longer the same" in note for note in done.notes)


def test_a_recalibration_of_another_model_than_the_champion_is_refused(filed):
    promote("v1", by="A. Analyst", artifacts=filed.folder, force=True, reason="points", mirror=False)
    with pytest.raises(PromotionRefused, match="v3 is v2 with another calibration, and the champion is v1 by now"):
        promote("v3", by="A. Analyst", artifacts=filed.folder, mirror=False)
