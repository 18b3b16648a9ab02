"""One applicant on the page: scored as one types, explained, saved."""

from __future__ import annotations

from dataclasses import replace

import pytest

from creditrisk.data.portfolio import built_in_portfolios, load_portfolio
from creditrisk.serving.log import PredictionLog
from creditrisk.serving.model import load_model
from creditrisk.serving.scorer import Scorer
from creditrisk.settings import reload_settings
from creditrisk.ui.form import fields_of
from creditrisk.ui.page import score_html, score_view, words
from creditrisk.ui.page.score_gauge import gauge
from creditrisk.ui.page.score_view import ScoreView
from creditrisk.ui.page.workbench import open_workbench
from page_parts import PERIOD, RETAIL, logged, text_of


def test_the_result_is_what_the_scorer_gives_for_the_same_application(models, applicant):
    scored = Scorer(load_model("v1", models.folder)).score_rows(
        [{name: c.default for name, c in RETAIL.inputs.items() if c.default is not None}]
    )
    result = applicant.result
    assert (result.pd, result.score, result.rating) == (scored.pd[0], scored.score[0], scored.rating[0])
    assert result.grade == scored.grade[0]
    assert [(r.text, r.weight) for r in result.reasons] == [(r["text"], r["weight"]) for r in scored.reasons[0]]


def test_a_riskier_applicant_gets_a_higher_pd_with_the_value_behind_each_reason(applicant):
    before = applicant.result.pd
    applicant.enter("credit_utilization_ratio", "95")
    applicant.enter("delinquency_ratio", "60")
    assert applicant.result.pd > before
    shown = {reason.label: reason.value for reason in applicant.result.reasons}
    assert shown["Credit utilisation"] == "95%" and shown["Delinquency ratio"] == "60%"
    assert all(reason.odds > 1 for reason in applicant.result.reasons) and len(shown) <= 4


def test_a_value_beyond_a_soft_limit_is_scored_with_a_warning(applicant):
    assert applicant.result.warnings == ()
    applicant.enter("loan_tenure_months", "72")
    assert applicant.errors == {} and applicant.result is not None
    assert applicant.result.warnings == ("Loan tenure 72 is above 60, beyond what the model has seen much of",)


@pytest.fixture
def decide_by(tmp_path, monkeypatch):
    """Writes a policy file and makes it the one of the settings."""

    def write(text: str) -> None:
        (tmp_path / "policy.toml").write_text(text)
        monkeypatch.setenv("CREDITRISK_POLICY_FILE", str(tmp_path / "policy.toml"))
        reload_settings()

    yield write
    monkeypatch.undo()
    reload_settings()


def policy(approve: float, decline: float) -> str:
    return f"""[[policy]]
version = "2020-01"
effective = 2020-01-01
approve_below = {approve!r}
decline_from = {decline!r}
"""


@pytest.mark.parametrize(("above", "decision"), [(0.0, "decline"), (1e-9, "approve")])
def test_a_pd_at_the_cut_off_is_declined_as_it_was_counted_in_training(applicant, decide_by, above, decision):
    cut_off = applicant.result.pd + above
    decide_by(policy(cut_off, cut_off))
    applicant.enter("age", "38")
    assert applicant.result.decision == decision


def test_the_page_decides_by_the_policy_that_it_logs(applicant, url, decide_by):
    assert applicant.result.policy == "" and applicant.result.cut_offs[0][0] == applicant._data.threshold
    pd = applicant.result.pd
    decide_by(policy(pd / 2, pd * 2))
    applicant.enter("age", "38")
    result, shown = applicant.result, score_html.result_panel(applicant)
    assert (result.decision, result.policy, len(result.cut_offs)) == ("refer", "2020-01", 2)
    assert "Refer" in shown and "where policy 2020-01 leaves it to a person" in shown
    assert f"cut-off {result.cut_offs[0][1]} and {result.cut_offs[1][1]}" in shown
    assert "! Refer" in score_html.glance(applicant)
    applicant.save()
    (row,) = logged(url)
    assert (row["decision"], row["policy"]) == ("refer", "2020-01")


def test_a_policy_that_cannot_be_read_is_told_and_nothing_is_saved(applicant, url, decide_by):
    decide_by("nonsense")
    applicant.enter("age", "38")
    assert applicant.result.decision is None and "No decision" in score_html.result_panel(applicant)
    assert "? No decision" in score_html.glance(applicant)
    applicant.save()
    assert applicant.saved == "" and "policy.toml, line 1" in applicant.problem and logged(url) == []


def test_saving_logs_the_prediction_shown_exactly_once(applicant, url, models):
    applicant.enter("number_of_open_accounts", "3")
    applicant.save()
    applicant.save()  # an impatient second click
    (row,) = logged(url)
    assert applicant.saved == row["prediction_id"] and applicant.problem == ""
    assert (row["purpose"], row["source"], row["application_id"]) == ("production", "page", None)
    assert row["pd"] == applicant.result.pd and row["score"] == applicant.result.score
    assert row["model_sha256"] == load_model("v1", models.folder).sha256
    assert row["inputs"]["num_open_accounts"] == 3 and "number_of_open_accounts" not in row["inputs"]
    assert "enquiry_count" not in row["inputs"] and row["inputs"]["residence_type"] == "Owned"
    applicant.enter("number_of_open_accounts", "4")
    assert applicant.saved == ""
    applicant.save()
    assert len(logged(url)) == 2


def test_an_application_saved_before_keeps_its_stored_prediction(applicant, url):
    applicant.enter_application_id(" A-7 ")
    applicant.save()
    first = applicant.saved
    applicant.enter("age", "60")
    applicant.save()
    assert applicant.saved == first and applicant.stored.prediction_id == first
    (row,) = logged(url)
    assert row["application_id"] == "A-7" and applicant.stored.score == row["score"]
    assert applicant.stored.pd == row["pd"] != applicant.result.pd and applicant.stored.when == row["created_at"]
    applicant.enter("age", "38")
    assert applicant.stored is None and applicant.saved == ""


def test_a_form_that_was_scored_before_is_not_called_saved(applicant, url):
    view = ScoreView(applicant)
    view.application_id.input.value = "A-7"
    view.save.click()
    assert view.save.description == "Saved" and "scored before" not in text_of(view.view)
    pd_then = words.percent(applicant.result.pd)
    view.fields["age"].input.value = "39"
    view.fields["age"].input.value = "38"
    view.save.click()
    said = text_of(view.view)
    assert "this application_id was scored before; the stored prediction stands" in said and "cr-unsure" in said
    assert "It was made of the same inputs" in said and "✓ Saved" not in said
    assert view.save.disabled and view.save.description == "Not saved: scored before"
    view.fields["age"].input.value = "60"
    view.save.click()
    said = text_of(view.view)
    (row,) = logged(url)
    assert "It was made of other inputs than those in the form" in said and row["prediction_id"] in said
    assert f"PD {pd_then}, score {row['score']}, scored on {row['created_at']:%Y-%m-%d at %H:%M} UTC" in said
    view.application_id.input.value = "A-8"
    view.save.click()
    assert view.save.description == "Saved" and len(logged(url)) == 2


def test_an_application_id_that_no_database_holds_is_marked(applicant):
    applicant.enter_application_id("x" * 201)
    assert "1 to 200 characters" in applicant.errors["application_id"] and applicant.result is None


def test_reset_gives_the_first_form_back(applicant):
    first = applicant.result
    applicant.enter("age", "")
    applicant.enter_application_id("A-1")
    applicant.reset()
    assert applicant.result == first and applicant.errors == {} and applicant.application_id == ""


def test_the_prediction_that_fills_a_period_has_its_drift_check_run(applicant, url):
    for age in range(30, 30 + PERIOD):
        assert reports_of(url) == []
        applicant.enter("age", str(age))
        applicant.save()
    (report,) = reports_of(url)
    assert (report["n"], report["trigger"], report["model_version"]) == (PERIOD, "automatic", "v1")


def reports_of(url: str) -> list[dict]:
    log = PredictionLog(url)
    try:
        return log.reports()
    finally:
        log.close()


def test_a_prediction_that_cannot_be_logged_says_so_and_can_be_saved_later(models, tmp_path):
    in_the_way = tmp_path / "log"
    in_the_way.write_text("a file where the log's folder should be")
    bench = open_workbench(models.folder, f"sqlite:///{in_the_way / 'predictions.db'}", PERIOD)
    applicant = bench.applicant
    assert applicant.result is not None
    applicant.save()
    assert applicant.saved == "" and "choose a folder that can be written" in applicant.problem
    in_the_way.unlink()
    applicant.save()
    assert applicant.saved and applicant.problem == ""


def test_the_gauge_says_in_words_what_it_shows(applicant):
    shown = gauge(applicant.result, RETAIL.scale)
    result = applicant.result
    assert f"Score {result.score} on a scale from 300 to 900, rated {result.rating}" in shown
    assert f"cut-off {result.cut_offs[0][1]}" in shown
    assert all(rating.name in shown for rating in RETAIL.scale.ratings)


def test_a_rating_that_speaks_against_the_decision_is_explained_and_no_other(applicant):
    for used in ("30", "99"):
        applicant.enter("credit_utilization_ratio", used)
        result, said = applicant.result, score_html.result_panel(applicant)
        good = result.rating in ("Good", "Excellent")
        assert (f"Rated {result.rating} and yet" in said) == (good != (result.decision == "approve"))
    applicant.result = replace(applicant.result, pd=0.2, rating="Good", decision="decline", cut_offs=((0.05, 870),))
    said = score_html.result_panel(applicant)
    assert "Decline" in said and "Rated Good and yet declined: the rating is a band of the score" in said
    assert "which lies at a score of 870, in Excellent." in said


def test_a_long_empty_form_counts_its_fields_instead_of_naming_them_all(applicant):
    for name in ("age", "income"):
        applicant.enter(name, "")
    assert "Fill in Age (years), Yearly income to see a result." in score_html.result_panel(applicant)
    for name in ("loan_amount", "loan_tenure_months", "delinquency_ratio"):
        applicant.enter(name, "")
    assert "Fill in 5 more fields to see a result." in score_html.result_panel(applicant)


def test_typing_into_a_field_scores_and_marks_it(applicant):
    view = ScoreView(applicant)
    before = text_of(view.view)
    view.fields["credit_utilization_ratio"].input.value = "99"
    assert words.percent(applicant.result.pd) in text_of(view.view).replace("&gt;", ">") != before
    view.fields["age"].input.value = "7"
    assert "cr-invalid" in view.fields["age"].view._dom_classes
    assert "7 is not accepted" in text_of(view.fields["age"].view)
    assert view.save.disabled and "data-cr" not in text_of(view.view)
    view.reset.click()
    assert view.fields["age"].input.value == "38" and not view.save.disabled
    assert "cr-invalid" not in view.fields["age"].view._dom_classes


def test_saving_shows_the_id_and_waits_for_another_value(applicant, url):
    view = ScoreView(applicant)
    view.save.click()
    (row,) = logged(url)
    assert view.save.disabled and view.save.description == "Saved" and row["prediction_id"] in text_of(view.view)
    view.fields["age"].input.value = "39"
    assert not view.save.disabled and row["prediction_id"] not in text_of(view.view)
    assert len(logged(url)) == 1


@pytest.mark.parametrize("name", built_in_portfolios())
def test_a_category_without_a_default_starts_with_nothing_chosen(name):
    for field in fields_of(load_portfolio(name)).values():
        if field.kind == "category":
            shown = score_view._input(field)
            assert shown.value == field.initial
            assert [value for _, value in shown.options if value] == list(field.levels)


def test_optional_inputs_are_folded_away(applicant):
    view = ScoreView(applicant)
    (folded,) = [w for w in view.view.children[0].children[0].children if type(w).__name__ == "Accordion"]
    assert folded.selected_index is None and folded.titles == ("Optional inputs (1)",)
    assert folded.children[0].children == (view.fields["enquiry_count"].view,)
