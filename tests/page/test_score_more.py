"""Beside the result: another cut-off to try out, the challenger, what a screen reader is told."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from creditrisk.data.portfolio import parse_portfolio
from creditrisk.monitoring.drift import Baseline
from creditrisk.serving.model import load_model
from creditrisk.serving.scorer import Scorer
from creditrisk.ui.page import score_html, score_more_html
from creditrisk.ui.page.score_challenger import other_than
from creditrisk.ui.page.score_cut_off import CutOffState, Strategy
from creditrisk.ui.page.score_more_view import CutOffCard
from creditrisk.ui.page.score_view import ScoreView
from creditrisk.ui.page.workbench import open_workbench
from page_parts import PERIOD, logged, text_of

# --- Another cut-off --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pds():
    return np.random.default_rng(7).beta(0.5, 6, 20_000)


@pytest.fixture(scope="module")
def strategy(pds):
    scores = pd.DataFrame({"default_probability": pds})
    baseline = Baseline.fit(scores[[]], scores, bounds={"default_probability": [0.01, 0.05, 0.1, 0.2]})
    return Strategy.of(baseline.to_dict())


@pytest.mark.parametrize("cut_off", [0.0005, 0.01, 0.037, 0.1, 0.33, 0.9])
def test_expected_rates_are_those_of_the_rows_behind_the_baseline(strategy, pds, cut_off):
    expected, approved = strategy.at(cut_off), pds < cut_off
    assert expected.approval == pytest.approx(approved.mean(), abs=0.003)
    assert expected.bad_rate == pytest.approx(pds[approved].mean(), rel=0.02, abs=1e-5)
    assert strategy.rows == len(pds)


def test_a_cut_off_at_either_end_approves_nobody_or_everybody(strategy, pds):
    assert strategy.at(0.0).approval == 0 and strategy.at(0.0).bad_rate is None
    assert strategy.at(1.0).approval == pytest.approx(1)
    assert strategy.at(1.0).bad_rate == pytest.approx(pds.mean(), rel=0.02)
    rates = [strategy.at(cut_off).approval for cut_off in np.linspace(0, 1, 400)]
    assert rates == sorted(rates)


def test_the_cut_off_for_a_share_approves_that_share(strategy):
    for share in (0.1, 0.5, 0.8, 0.97):
        assert strategy.at(strategy.cut_off_for(share)).approval == pytest.approx(share, abs=1e-6)


def test_the_models_own_cut_off_approves_what_its_portfolio_wants(applicant):
    mine = applicant.cut_off
    assert mine.cut_off == applicant._data.threshold
    assert mine.approval == pytest.approx(applicant.book.approval_share, abs=0.02)


def test_a_text_or_a_share_moves_the_cut_off_and_a_mistake_does_not(applicant):
    mine = applicant.cut_off
    mine.enter("12.5")
    assert mine.cut_off == 0.125 and mine.error == ""
    for text, said in (("0", "above 0"), ("100", "below 100"), ("much", "not a number"), ("", "needed")):
        mine.enter(text)
        assert said in mine.error and mine.cut_off == 0.125
    mine.approve(0.6)
    assert mine.approval == pytest.approx(0.6, abs=0.005) and mine.error == ""
    mine.reset()
    assert mine.cut_off == mine.first


def test_while_the_cut_off_is_wrong_nothing_is_said_of_what_it_would_do(applicant):
    card = CutOffCard(applicant)
    card.entered.value = "3"
    assert "<b>3.00%</b>" in text_of(card.view) and text_of(card.view).count("<b>–</b>") == 0
    card.entered.value = "abc"
    said = text_of(card.view)
    assert "<b>3.00%</b>" not in said and said.count("<b>–</b>") == 5
    card.entered.value = "4"
    assert "<b>4.00%</b>" in text_of(card.view) and text_of(card.view).count("<b>–</b>") == 0


def test_text_and_slider_follow_one_another(applicant):
    card = ScoreView(applicant).cut_off
    card.entered.value = "20"
    assert applicant.cut_off.cut_off == 0.2
    assert card.slider.value == pytest.approx(100 * applicant.cut_off.approval, abs=0.5)
    card.slider.value = 40
    assert card.entered.value == applicant.cut_off.text and applicant.cut_off.approval == pytest.approx(0.4, abs=0.006)
    card.entered.value = "x"
    assert "cr-invalid" in card._field._dom_classes and card.slider.value == 40
    card.reset.click()
    assert card.entered.value == applicant.cut_off.text and "cr-invalid" not in card._field._dom_classes
    assert card.reset.disabled


def test_what_is_tried_out_is_never_what_is_saved(applicant, url):
    view = ScoreView(applicant)
    assert "saved predictions are still decided by the policy in force" in text_of(view.view)
    before = applicant.result.decision
    view.cut_off.entered.value = "0.000001" if before == "approve" else "99"
    other = "Decline" if before == "approve" else "Approve"
    table = score_more_html.cut_off_table(applicant)
    assert table.index(before.capitalize()) < table.index(other)
    view.save.click()
    (row,) = logged(url)
    assert row["decision"] == before


def test_a_model_without_a_distribution_of_pds_says_that_rates_are_not_available(applicant):
    data = replace(applicant._data, baseline={"columns": [], "rows": 10})
    applicant.cut_off = CutOffState(data, None)
    assert applicant.cut_off.strategy is None and applicant.cut_off.approval is None
    assert "Expected rates are not available" in score_more_html.cut_off_note(applicant)
    assert "–" in score_more_html.cut_off_table(applicant)
    assert type(ScoreView(applicant).cut_off.slider).__name__ == "FloatSlider"


# --- Another version --------------------------------------------------------------------------------------------------


def test_the_challenger_scores_the_same_form_and_logs_nothing(applicant, models, url):
    view = ScoreView(applicant, "v1")
    challenger = applicant.challenger
    assert (challenger.other.version, challenger.other.role) == ("v2", "challenger")
    applicant.enter("age", "39")
    applicant.enter("age", "38")
    assert not challenger.loaded and challenger.result is None  # nobody has asked
    view.challenger.button.click()
    applicant.enter("credit_utilization_ratio", "95")
    values = {n: c.default for n, c in applicant.book.inputs.items() if c.default is not None}
    scored = Scorer(load_model("v2", models.folder)).score_rows([values | {"credit_utilization_ratio": 95}])
    assert challenger.result.pd == scored.pd[0] and challenger.result.rating == scored.rating[0]
    assert challenger.result.cut_offs[0][0] == load_model("v2", models.folder).threshold
    said = text_of(view.challenger.view)
    assert score_html.in_percent(applicant.result.pd) in said and score_html.in_percent(challenger.result.pd) in said
    assert "Nothing that v2 says is logged" in said
    view.save.click()
    assert [row["model_version"] for row in logged(url)] == ["v1"]
    view.challenger.button.click()
    assert "Nothing that" not in text_of(view.challenger.view)


def test_an_incomplete_form_waits_for_both(applicant):
    view = ScoreView(applicant, "v1")
    view.challenger.button.click()
    applicant.enter("age", "")
    assert applicant.challenger.result is None and applicant.challenger.problem == ""
    assert "Waits for a result" in text_of(view.challenger.view)
    applicant.enter("age", "40")
    assert applicant.challenger.result is not None


@pytest.fixture
def folder(models, tmp_path) -> Path:
    """A copy of the artifacts, to be changed."""
    return Path(shutil.copytree(models.folder, tmp_path / "artifacts"))


def edit(folder: Path, change) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    change(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))


def test_a_version_that_does_not_load_says_why_and_leaves_the_page_at_work(folder, url):
    (folder / "model_data_v2.joblib").write_bytes(b"nonsense")
    applicant = open_workbench(str(folder), url, PERIOD).applicant
    view = ScoreView(applicant, "v1")
    view.challenger.button.click()
    assert "v2 cannot be used: model_data_v2.joblib was altered" in text_of(view.challenger.view)
    assert applicant.result is not None


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("max = 100\nwarn_above = 70", "max = 80\nwarn_above = 70", "v2 does not accept what is entered for Age."),
        ('role = "optional"', 'role = "input"', "v2 needs inputs that are not given here: Credit enquiries."),
    ],
)
def test_a_version_of_another_portfolio_says_what_it_misses(applicant, models, old, new, said):
    data = load_model("v2", models.folder)
    assert old in data.portfolio.text
    other = replace(data, portfolio=parse_portfolio(data.portfolio.text.replace(old, new), "other.toml"))
    applicant.enter("age", "90")
    challenger = applicant.challenger
    challenger._scorer, challenger._loaded = Scorer(other), challenger.other
    challenger.open(applicant.texts)
    assert (challenger.problem, challenger.result) == (said, None)


def test_without_a_challenger_another_version_is_held_beside_and_without_one_nothing(folder, url):
    edit(folder, lambda manifest: manifest["aliases"].pop("challenger"))
    applicant = open_workbench(str(folder), url, PERIOD).applicant
    view = ScoreView(applicant, "v1")
    assert applicant.challenger.other.role == "another version"
    view.challenger.button.click()
    edit(folder, lambda manifest: manifest["models"].pop("v2"))
    view.look()
    assert applicant.challenger.other is None and applicant.challenger.result is None
    assert "holds no other version" in text_of(view.challenger.view)
    assert "cr-quiet" in view.challenger.button._dom_classes


def test_the_model_that_scores_here_is_never_held_against_itself(folder, models):
    data = load_model("v1", models.folder)
    edit(folder, lambda manifest: manifest["aliases"].update(champion="v2", challenger="v1"))
    other = other_than(data, str(folder))
    assert (other.version, other.role) == ("v2", "champion")
    assert other_than(data, str(folder / "nowhere")) is None


# --- What a screen reader is told -------------------------------------------------------------------------------------


def test_a_wrong_field_is_marked_for_those_who_hear_the_page(applicant):
    view = ScoreView(applicant)
    age = view._assist.fields["cr-in-0"]
    assert age == {"wrong": False, "below": "cr-in-0-said", "needed": True, "keyboard": "numeric"}
    assert view._assist.spoken.startswith("PD ") and applicant.result.rating in view._assist.spoken
    view.fields["age"].input.value = "7"
    assert view._assist.fields["cr-in-0"]["wrong"] and 'id="cr-in-0-said"' in text_of(view.fields["age"].view)
    assert view._assist.spoken == "No result: correct Age (years)."
    assert not view._assist.fields["cr-in-id"]["needed"] and view._assist.folds == 1
