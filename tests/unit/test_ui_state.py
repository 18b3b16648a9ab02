"""The page's state, its HTML and its widgets, driven without a browser."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from creditrisk.data.portfolio import built_in_portfolios, load_portfolio
from creditrisk.data.sample import make_applications, make_book
from creditrisk.data.tables import check_applications, prepare_book
from creditrisk.modelling import train
from creditrisk.modelling.attempts import Attempt
from creditrisk.monitoring.checks import check_rows, report_record
from creditrisk.release import make_model_data
from creditrisk.serving.contract import application_model, example_application, wire_name
from creditrisk.serving.log import PredictionLog, PredictionRecord, migrate
from creditrisk.serving.model import load_model, save_models
from creditrisk.serving.scorer import Scorer
from creditrisk.settings import reload_settings
from creditrisk.ui import log_state, page, page_html, state
from creditrisk.ui.form import fields_of, parse_number, read_form
from creditrisk.ui.state import open_workbench

RETAIL = load_portfolio("retail")
PERIOD = 4


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> SimpleNamespace:
    """Two small models of one book, and a folder where the first is the champion."""
    book = prepare_book(make_book(3_000).tables, RETAIL)
    training = train.begin(book, train.split_book(book, "auto", 42), 42)
    fitted = train.run_attempts(training, 1, attempts=[Attempt(3, "logistic"), Attempt(4, "xgboost")])
    made = {v: make_model_data(v, one, "", training, "a-run") for v, one in zip(("v1", "v2"), fitted, strict=True)}
    folder = str(tmp_path_factory.mktemp("artifacts"))
    save_models(folder, made, "v1")
    return SimpleNamespace(folder=folder, made=made)


def opened(folder: str, url: str):
    """A workbench somebody has looked at."""
    bench = open_workbench(folder, url, PERIOD)
    bench.book.refresh()
    bench.monitoring.refresh()
    return bench


@pytest.fixture
def url(tmp_path) -> str:
    return f"sqlite:///{tmp_path / 'log' / 'predictions.db'}"


@pytest.fixture
def bench(models, url):
    return opened(models.folder, url)


@pytest.fixture
def applicant(bench):
    return bench.applicant


def logged(url: str) -> list[dict]:
    log = PredictionLog(url)
    try:
        return log.predictions()
    finally:
        log.close()


def fill(url: str, data, rows: int, purpose: str = "production", change=None) -> None:
    """Log predictions for some applications of the sample book."""
    frame = check_applications(make_applications(rows), data.portfolio, "applications").frame.copy()
    if change:
        change(frame)
    scorer = Scorer(data)
    scored = scorer.score_frame(frame)
    log = PredictionLog(url, PERIOD)
    log.append([scorer.record(scored, i, {}, purpose=purpose, source="api") for i in range(len(frame))])
    log.close()


# --- The form ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("38", 38),
        (" 1,200,000 ", 1_200_000),
        ("12,00,000", 1_200_000),
        ("1 200 000", 1_200_000),
        ("1\u202f200\u202f000.5", 1_200_000.5),
        ("12.50", 12.5),
        (".5", 0.5),
        ("-3", -3),
        ("\u22123", -3),
        ("30%", 30),
        ("007", 7),
    ],
)
def test_numbers_are_read_as_people_write_them(text, number):
    read = parse_number(text)
    assert read == number and type(read) is type(number)


@pytest.mark.parametrize("text", ["twelve", "1.2.3", "1,2,3", "12a", "nan", "inf", "1e6", "--3", "1,20", "١٢", "0,500"])
def test_a_text_that_is_no_number_is_refused_and_not_guessed_at(text):
    with pytest.raises(ValueError, match=r"not a number|with a point"):
        parse_number(text)


def test_a_decimal_comma_is_not_taken_for_a_mark_between_thousands():
    with pytest.raises(ValueError, match=r"write decimals with a point: 12\.5"):
        parse_number("12,5")


def test_a_number_of_thousands_of_digits_is_refused_quickly():
    with pytest.raises(ValueError, match="too long"):
        parse_number("9" * 100_000)


@pytest.mark.parametrize("name", built_in_portfolios())
def test_every_portfolio_makes_a_form_that_reads_back_what_its_api_takes(name):
    book = load_portfolio(name)
    fields = fields_of(book)
    assert list(fields) == list(book.inputs)
    example = example_application(book)
    texts = {n: str(example[wire_name(n, c)]) for n, c in book.inputs.items() if c.role == "input"}
    reading = read_form(book, texts)
    expected = application_model(book).model_validate(example).model_dump()
    expected.pop("application_id", None)
    assert reading.values == expected and not reading.errors and not reading.missing


def test_a_field_says_what_the_portfolio_says():
    fields = fields_of(RETAIL)
    assert fields["age"].label == "Age (years)" and fields["age"].hint.replace("\u00a0", " ") == "18 to 100"
    assert fields["income"].hint.replace("\u00a0", " ") == "Gross, all sources · above 0"
    assert fields["income"].initial == "1,200,000" and fields["age"].initial == "38"
    assert fields["residence_type"].levels == ("Owned", "Rented", "Mortgage")
    assert [name for name, field in fields.items() if field.optional] == ["enquiry_count"]


@pytest.mark.parametrize(
    ("field", "text", "complaint"),
    [
        ("age", "17", "17 is not accepted; enter a whole number from 18 to 100 years"),
        ("age", "101", "101 is not accepted"),
        ("age", "38.5", "38.5 is not accepted; enter a whole number"),
        ("income", "0", "enter a number above 0"),
        ("income", "9" * 16, "at most 1,000,000,000,000,000 either way"),
        ("income", "a lot", "a lot is not a number"),
        ("delinquency_ratio", "100.01", "enter a number from 0 to 100 %"),
        ("residence_type", "Tent", "enter one of Owned, Rented, Mortgage"),
        ("enquiry_count", "-1", "-1 is not accepted"),
    ],
)
def test_a_wrong_value_is_marked_at_its_field_and_nothing_is_scored(applicant, field, text, complaint):
    applicant.enter(field, text)
    assert list(applicant.errors) == [field] and complaint in applicant.errors[field]
    assert applicant.result is None
    applicant.save()
    assert applicant.saved == ""
    applicant.enter(field, applicant.fields[field].initial)
    assert applicant.errors == {} and applicant.result is not None


def test_several_mistakes_are_marked_each_at_its_own_field(applicant):
    for name, text in {"age": "7", "income": "x", "loan_amount": "-1"}.items():
        applicant.enter(name, text)
    assert set(applicant.errors) == {"age", "income", "loan_amount"}


def test_a_required_field_is_complained_about_only_once_it_was_emptied(applicant):
    applicant.enter("age", "")
    assert applicant.missing == ("age",) and applicant.result is None
    assert applicant.errors == {"age": "needed; enter a whole number from 18 to 100"}
    fresh = read_form(load_portfolio("german"), {})
    assert fresh.errors == {} and len(fresh.missing) == len(load_portfolio("german").inputs)


# --- One applicant ----------------------------------------------------------------------------------------------------


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
    result, shown = applicant.result, page_html.result_panel(applicant)
    assert (result.decision, result.policy, len(result.cut_offs)) == ("refer", "2020-01", 2)
    assert "Refer" in shown and "where policy 2020-01 leaves it to a person" in shown
    assert f"cut-off {result.cut_offs[0][1]} and {result.cut_offs[1][1]}" in shown
    assert "! Refer" in page_html.glance(applicant)
    applicant.save()
    (row,) = logged(url)
    assert (row["decision"], row["policy"]) == ("refer", "2020-01")


def test_a_policy_that_cannot_be_read_is_told_and_nothing_is_saved(applicant, url, decide_by):
    decide_by("nonsense")
    applicant.enter("age", "38")
    assert applicant.result.decision is None and "No decision" in page_html.result_panel(applicant)
    assert "? No decision" in page_html.glance(applicant)
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
    view = page.ScoreView(applicant)
    view.application_id.input.value = "A-7"
    view.save.click()
    assert view.save.description == "Saved" and "scored before" not in text_of(view.view)
    pd_then = page_html.percent(applicant.result.pd)
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


def test_the_prediction_that_fills_a_period_has_its_drift_check_run(applicant, bench):
    for age in range(30, 30 + PERIOD):
        bench.monitoring.refresh()
        assert bench.monitoring.reports == []
        applicant.enter("age", str(age))
        applicant.save()
    bench.monitoring.refresh()
    (report,) = bench.monitoring.reports
    assert report.n == PERIOD and report.trigger == "automatic"
    assert bench.monitoring.progress.startswith(f"0 of {PERIOD} production predictions of model v1")


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


# --- The book ---------------------------------------------------------------------------------------------------------


def test_an_empty_log_is_made_where_there_is_none_and_has_nothing_to_show(bench, url):
    assert Path(url.removeprefix("sqlite:///")).exists()
    summary = bench.book.summary
    assert (summary.total, summary.looked_at, summary.recent, summary.mean_pd) == (0, 0, (), None)
    assert bench.book.log.problem == ""


def test_every_prediction_is_in_one_bar_of_each_distribution(bench, url, models):
    fill(url, bench.data, 60)
    fill(url, bench.data, 5, "what_if")
    bench.book.refresh()
    summary = bench.book.summary
    assert summary.total == summary.looked_at == 65 == sum(summary.ratings.values())
    assert sum(n for _, n in summary.scores) == 65
    assert list(summary.ratings) == ["Poor", "Average", "Good", "Excellent"]
    assert (summary.scores[0][0], summary.scores[-1][0]) == (300, 875)
    assert summary.by_purpose == {"production": 60, "what_if": 5}
    assert len(summary.recent) == 50 and summary.recent[0]["purpose"] == "what_if"
    assert summary.mean_pd == pytest.approx(np.mean([row["pd"] for row in logged(url)]))


def test_a_purpose_can_be_looked_at_alone(bench, url):
    fill(url, bench.data, 6)
    fill(url, bench.data, 2, "what_if")
    bench.book.choose("what_if")
    assert bench.book.summary.total == bench.book.summary.looked_at == 2
    assert {row["purpose"] for row in bench.book.summary.recent} == {"what_if"}
    bench.book.choose("")
    assert bench.book.summary.total == 8


def test_a_large_log_is_summarised_by_its_newest_rows_and_says_so(bench, url, monkeypatch):
    monkeypatch.setattr(log_state, "NEWEST", 5)
    fill(url, bench.data, 9)
    bench.book.refresh()
    assert (bench.book.summary.looked_at, bench.book.summary.total) == (5, 9)
    assert "newest 5 of 9 predictions" in page_html.book_heading(bench.book.summary)


def test_ratings_and_scores_of_another_portfolio_are_shown_too(bench, url):
    made = {"model_version": "v1", "model_sha256": "f" * 64, "portfolio": "other", "purpose": "file", "source": "file"}
    rows = [(900, "Excellent"), (250, "Z"), (930, "A"), (300, "Poor")]
    log = PredictionLog(url)
    log.append([PredictionRecord(**made, inputs={}, features={}, pd=0.5, score=s, rating=r) for s, r in rows])
    log.close()
    bench.book.refresh()
    summary = bench.book.summary
    assert summary.ratings == {"Poor": 1, "Average": 0, "Good": 0, "Excellent": 1, "Z": 1, "A": 1}
    assert dict(summary.scores) | {250: 1, 300: 1, 900: 1, 925: 1} == dict(summary.scores)
    assert sum(n for _, n in summary.scores) == 4


def test_the_best_score_of_the_scale_has_no_bar_of_its_own():
    assert log_state._score_counts([300, 899, 900], RETAIL)[-1] == (875, 2)


# --- Monitoring -------------------------------------------------------------------------------------------------------


def test_the_newest_report_is_shown_and_an_earlier_one_can_be_chosen(bench, url):
    log = PredictionLog(url, PERIOD)
    about = {"model_version": "v1", "model_sha256": bench.data.sha256, "trigger": "notebook"}
    ids = []
    for number, change in enumerate((None, lambda frame: frame.__setitem__("age", 9_000))):
        fill(url, bench.data, 20, "what_if", change)
        rows = log.window("v1", bench.data.sha256, 20, ["what_if"])
        ids.append(log.store_report(report_record(check_rows(bench.data, rows)), window_key=str(number), **about))
    log.close()
    monitoring = bench.monitoring
    monitoring.refresh()
    assert [report.id for report in monitoring.reports] == ids[::-1]
    assert monitoring.report.id == ids[1] and monitoring.report.status == "red"
    first = monitoring.report.columns[0]
    assert (first.label, first.status) == ("Age", "red") and first.z > 3
    assert monitoring.report.verdict.startswith("age: extreme mean shift")
    monitoring.choose(ids[0])
    assert monitoring.report.id == ids[0] and monitoring.report.status == "insufficient data"
    monitoring.refresh()
    assert monitoring.report.id == ids[1]


def test_progress_towards_the_next_check_counts_this_model_only(bench, url, models):
    fill(url, load_model("v2", models.folder), 3)
    fill(url, bench.data, PERIOD + 1)
    bench.monitoring.refresh()
    assert bench.monitoring.progress.startswith(f"1 of {PERIOD} production predictions of model v1")
    assert "1 due and not yet run" in bench.monitoring.progress


# --- What is missing or broken ----------------------------------------------------------------------------------------


def test_without_a_model_the_page_says_what_to_run_and_still_shows_the_log(tmp_path, url, models):
    migrate(url)
    fill(url, load_model("v1", models.folder), 3)
    bench = opened(str(tmp_path / "nothing"), url)
    assert bench.data is None and bench.applicant is None and bench.card is None
    assert "run `creditrisk train`" in bench.problem
    assert bench.book.summary.total == 3 and bench.book.summary.scores


def test_a_model_file_that_was_altered_is_not_used(models, tmp_path, url):
    folder = tmp_path / "artifacts"
    shutil.copytree(models.folder, folder)
    with open(folder / "model_data_v1.joblib", "ab") as file:
        file.write(b"!")
    bench = open_workbench(str(folder), url, PERIOD)
    assert bench.applicant is None and "was altered or is damaged" in bench.problem


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda folder: f"sqlite:///{folder / 'text.db'}", "file is not a database"),
        (lambda folder: "mysql://root:hunter2@localhost/log", "mysql is not supported"),
        (lambda folder: "not a url", "not a database URL"),
        (lambda folder: "postgresql://risk:hunter2@127.0.0.1:9/log?connect_timeout=2", "check that it is running"),
    ],
)
def test_a_log_that_cannot_be_opened_becomes_a_message_without_the_password(models, tmp_path, make, complaint):
    (tmp_path / "text.db").write_text("this is a text, and long enough not to be taken for an empty database" * 40)
    bench = opened(models.folder, make(tmp_path))
    assert complaint in bench.log.problem and "hunter2" not in bench.log.problem
    assert bench.book.summary is None and bench.monitoring.reports == []
    assert bench.applicant.result is not None


def test_a_model_published_meanwhile_is_announced(models, tmp_path, url):
    folder = str(tmp_path / "artifacts")
    save_models(folder, models.made, "v1")
    data = load_model("champion", folder)
    assert state.newer_model(data, folder) == ""
    save_models(folder, models.made, "v2")
    assert "A newer model (v2)" in state.newer_model(data, folder)


def test_the_model_card_names_version_hash_day_and_auc(bench, models):
    card = bench.card
    assert card.title == "Retail loans" and card.version == "v1"
    assert bench.data.sha256.startswith(card.short_hash) and len(card.short_hash) == 8
    assert card.auc == models.made["v1"].metrics["test"]["auc"]
    assert card.trained.split()[-1] == models.made["v1"].training["created"][:4]


# --- As HTML ----------------------------------------------------------------------------------------------------------


def test_what_comes_from_outside_cannot_become_markup(bench, url):
    applicant = bench.applicant
    applicant.enter("income", "<img src=x>")
    assert "<img" not in page_html.hint(applicant.fields["income"], applicant.errors["income"])
    applicant.enter("income", "1000")
    applicant.enter_application_id("<script>alert(1)</script>")
    applicant.save()
    bench.book.refresh()
    table = page_html.recent_table(bench.book.summary)
    assert "<script>" not in table and "&lt;script&gt;" in table
    assert "<b>" not in page_html.empty("No", "<b>bold</b> `creditrisk train`")


@pytest.mark.parametrize(
    ("share", "text"), [(0, "0.00%"), (0.00001, "<0.01%"), (0.0379, "3.79%"), (1, "100.00%"), (0.99999, ">99.99%")]
)
def test_a_pd_is_never_rounded_to_certainty(share, text):
    assert page_html.percent(share) == text


def test_the_score_scale_says_in_words_what_it_shows(applicant):
    shown = page_html.score_scale(applicant.result, RETAIL.scale)
    result = applicant.result
    assert f"Score {result.score} on a scale from 300 to 900, rated {result.rating}" in shown
    assert f"cut-off {result.cut_offs[0][1]}" in shown
    assert all(rating.name in shown for rating in RETAIL.scale.ratings)


def test_a_rating_that_speaks_against_the_decision_is_explained_and_no_other(applicant):
    for used in ("30", "99"):
        applicant.enter("credit_utilization_ratio", used)
        result, said = applicant.result, page_html.result_panel(applicant)
        good = result.rating in ("Good", "Excellent")
        assert (f"Rated {result.rating} and yet" in said) == (good != (result.decision == "approve"))
    applicant.result = replace(applicant.result, pd=0.2, rating="Good", decision="decline", cut_offs=((0.05, 870),))
    said = page_html.result_panel(applicant)
    assert "Decline" in said and "Rated Good and yet declined: the rating is a band of the score" in said
    assert "which lies at a score of 870, in Excellent." in said


def test_a_long_empty_form_counts_its_fields_instead_of_naming_them_all(applicant):
    for name in ("age", "income"):
        applicant.enter(name, "")
    assert "Fill in Age (years), Yearly income to see a result." in page_html.result_panel(applicant)
    for name in ("loan_amount", "loan_tenure_months", "delinquency_ratio"):
        applicant.enter(name, "")
    assert "Fill in 5 more fields to see a result." in page_html.result_panel(applicant)


def test_ids_in_the_table_are_whole_and_show_what_else_the_log_holds(bench, url):
    bench.applicant.save()
    bench.applicant.enter("age", "39")
    bench.applicant.save()
    bench.book.refresh()
    table, rows = page_html.recent_table(bench.book.summary), logged(url)
    for row in rows:
        assert f">{row['prediction_id']}</code>" in table and f'<td class="cr-right">{row["points"]}</td>' in table
        assert f"<td>{row['decision']}</td><td>{row['policy']}</td>" in table and row["points"] is not None
    bare = [dict(row, points=None, decision=None, policy=None) for row in rows]
    table = page_html.recent_table(replace(bench.book.summary, recent=tuple(bare)))
    assert "Points" not in table and "Policy" not in table and rows[0]["prediction_id"] in table
    table = page_html.recent_table(replace(bench.book.summary, recent=(rows[0], bare[1])))
    assert table.count("<td>–</td>") == 2 and '<td class="cr-right">–</td>' in table


# --- As widgets -------------------------------------------------------------------------------------------------------


def text_of(widget) -> str:
    """The HTML of a widget and of all that it shows."""
    if "cr-quiet" in getattr(widget, "_dom_classes", ()):
        return ""
    return (
        getattr(widget, "value", "")
        if type(widget).__name__ == "HTML"
        else " ".join(text_of(child) for child in getattr(widget, "children", ()))
    )


def test_typing_into_a_field_scores_and_marks_it(applicant):
    view = page.ScoreView(applicant)
    before = text_of(view.view)
    view.fields["credit_utilization_ratio"].input.value = "99"
    assert page_html.percent(applicant.result.pd) in text_of(view.view).replace("&gt;", ">") != before
    view.fields["age"].input.value = "7"
    assert "cr-invalid" in view.fields["age"].view._dom_classes
    assert "7 is not accepted" in text_of(view.fields["age"].view)
    assert view.save.disabled and "data-cr" not in text_of(view.view)
    view.reset.click()
    assert view.fields["age"].input.value == "38" and not view.save.disabled
    assert "cr-invalid" not in view.fields["age"].view._dom_classes


def test_saving_shows_the_id_and_waits_for_another_value(applicant, url):
    view = page.ScoreView(applicant)
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
            shown = page._input(field)
            assert shown.value == field.initial
            assert [value for _, value in shown.options if value] == list(field.levels)


def test_optional_inputs_are_folded_away(applicant):
    view = page.ScoreView(applicant)
    (folded,) = [w for w in view.view.children[0].children[0].children if type(w).__name__ == "Accordion"]
    assert folded.selected_index is None and folded.titles == ("Optional inputs (1)",)
    assert folded.children[0].children == (view.fields["enquiry_count"].view,)


def test_an_empty_book_says_what_fills_it_and_fills_without_a_reload(bench, url):
    view = page.BookView(bench.book)
    view.come_into_sight()
    assert "call the API" in text_of(view.view)
    fill(url, bench.data, 7)
    view.refresh.click()
    shown = text_of(view.view)
    assert "call the API" not in shown and "7 predictions" in shown
    assert ("production (7)", "production") in view.purpose.options
    assert view.ratings._bars.y.sum() == view.scores._bars.y.sum() == 7
    view.purpose.value = "production"
    assert bench.book.purpose == "production"


def test_monitoring_without_reports_says_what_makes_one(bench):
    shown = text_of(page.MonitoringView(bench.monitoring, "v1").view)
    assert "No drift report yet" in shown and f"0 of {PERIOD} production predictions" in shown


def test_the_page_opens_without_a_model_and_without_a_log(tmp_path):
    (tmp_path / "log").write_text("in the way")
    bench = open_workbench(str(tmp_path / "nothing"), f"sqlite:///{tmp_path / 'log' / 'x.db'}", PERIOD)
    shown = text_of(page.open_page(bench))
    assert "There is no model to score with" in shown and "<code>creditrisk train</code>" in shown
    assert shown.count("The prediction log cannot be read") == 2


def test_looking_at_a_tab_reads_the_log_again_and_announces_a_newer_model(models, tmp_path, url):
    folder = str(tmp_path / "artifacts")
    save_models(folder, models.made, "v1")
    bench = open_workbench(folder, url, PERIOD)
    view = page.open_page(bench)
    tabs = view.children[-1]
    fill(url, bench.data, 3)
    save_models(folder, models.made, "v2")
    tabs.selected_index = 1
    assert "3 predictions" in text_of(view) and "A newer model (v2)" in text_of(view)
