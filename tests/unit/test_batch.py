"""Files and windows as the notebooks handle them: read, scored, logged once, checked once, stored once."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pandas as pd
import pytest

from creditrisk.batch import (
    Window,
    baseline_of,
    by_segment,
    current_window,
    log_file,
    named_sample,
    open_log,
    policy_in_force,
    read_applications,
    rejections_in_words,
    stop_if_too_many_rejected,
    store_window,
    with_decisions,
    write_scored,
)
from creditrisk.data.portfolio import load_portfolio
from creditrisk.data.sample import make_applications, make_book
from creditrisk.data.tables import check_applications, prepare_book
from creditrisk.errors import DataError, LogError, ParameterError
from creditrisk.monitoring.checks import check_rows
from creditrisk.runs import RunFolder
from creditrisk.serving.model import ModelData
from creditrisk.serving.scorer import Scorer, scored_table
from creditrisk.serving.stream import ADDED, BEFORE, BEFORE_OTHERWISE
from creditrisk.settings import reload_settings
from unit.models import RETAIL, published, some_applications


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> dict[str, ModelData]:
    return published(tmp_path_factory.mktemp("artifacts"))


@pytest.fixture
def data(models) -> ModelData:
    return models["v2"]


def logged(data: ModelData, frame: pd.DataFrame, sha: str = "f" * 64):
    scorer, checked = Scorer(data), check_applications(frame, RETAIL, "a file")
    return log_file(scorer, checked, scorer.score_frame(checked.frame), "a-run", sha)


def stored_reports() -> list[dict]:
    log = open_log()
    try:
        return log.reports()
    finally:
        log.close()


# Reading and writing


def test_a_file_is_known_by_the_hash_of_its_content(tmp_path):
    path = tmp_path / "today.csv"
    make_applications(5).to_csv(path, index=False)
    delivered = read_applications(str(path), RETAIL)
    assert (delivered.name, len(delivered.frame)) == ("today.csv", 5)
    assert delivered.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    copy = tmp_path / "copy.csv"
    copy.write_bytes(path.read_bytes())
    assert read_applications(str(copy), RETAIL).sha256 == delivered.sha256
    with pytest.raises(DataError, match="no such file"):
        read_applications(str(tmp_path / "none.csv"), RETAIL)


def test_the_embedded_applications_are_always_the_same_and_fit_the_embedded_book_only():
    one, two = read_applications("", RETAIL), read_applications("", RETAIL)
    assert one.sha256 == two.sha256 and len(one.frame) == 1_000
    pd.testing.assert_frame_equal(one.frame, two.frame)
    with pytest.raises(DataError, match="not 'german'; give a file"):
        read_applications("", load_portfolio("german"))


@pytest.mark.parametrize("name", ["scored.csv", "deep/er/scored.parquet", "SCORED.CSV", ""])
def test_a_scored_file_is_written_in_the_form_its_ending_says(tmp_path, data, name):
    applications = some_applications()
    table = scored_table(applications, Scorer(data).score_frame(applications.frame), data)
    run = RunFolder(tmp_path, "score")
    target = write_scored(table, str(tmp_path / name) if name else "", run)
    assert target == tmp_path / (name or "scored.parquet")
    again = pd.read_csv(target) if name.lower().endswith(".csv") else pd.read_parquet(target)
    assert list(again.columns) == list(table.columns) and len(again) == len(table)
    assert again["default_probability"].tolist() == table["default_probability"].tolist()
    assert set(again["model_version"]) == {data.version} and set(again["model_sha256"]) == {data.sha256}
    if name.lower().endswith(".csv"):
        first = target.read_text().splitlines()[1].split(",")
        assert first[list(table.columns).index("age")] == str(int(table["age"][0]))  # 38, not 38.0


# Scored files


def test_a_file_logged_twice_adds_nothing_the_second_time(settings_in, data):
    frame = make_applications(30)
    first, second = logged(data, frame), logged(data, frame)
    assert (first.new, first.known) == (30, 0) and (second.new, second.known) == (0, 30)
    assert first.report == second.report
    (report,) = stored_reports()
    assert (report["trigger"], report["window_key"], report["n"]) == ("file", f"file-{'f' * 16}", 30)
    log = open_log()
    try:
        assert log.counts()["predictions"] == 30 and log.counts()["checks"]["pending"] == 0
    finally:
        log.close()


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_points_and_grades_are_in_the_file_and_in_the_log(settings_in, models, tmp_path, version):
    data, frame = models[version], make_applications(30)
    checked = check_applications(frame, RETAIL, "a file")
    scored = Scorer(data).score_frame(checked.frame)
    log_file(Scorer(data), checked, scored, "a-run", "f" * 64)
    log = open_log()
    try:
        rows = log.predictions(newest_first=False)
    finally:
        log.close()
    written = write_scored(
        scored_table(checked, scored, data), str(tmp_path / "scored.csv"), RunFolder(tmp_path, "score")
    )
    table = pd.read_csv(written)
    assert [row["grade"] for row in rows] == table["grade"].tolist() == scored.grade.tolist()
    if version == "v1":
        assert [row["points"] for row in rows] == table["points"].tolist() == scored.points.tolist()
    else:
        assert {row["points"] for row in rows} == {None} and "points" not in table


def test_every_row_of_a_logged_file_names_its_prediction_in_the_log(settings_in, data, tmp_path):
    frame = make_applications(30)
    frame.loc[3, "age"] = 7  # rejected: rows of the file and of the table part
    checked = check_applications(frame, RETAIL, "a file")
    scored = Scorer(data).score_frame(checked.frame)
    done = log_file(Scorer(data), checked, scored, "a-run", "f" * 64)
    table = with_decisions(scored_table(checked, scored, data), scored, done.policy, done)
    place = table.columns.get_loc
    added = list(table.columns[place("grade") + 1 : place("reason_1")])
    assert added == ["model_version", "model_sha256", "decision", "policy", "prediction_id", "logged"]
    again = pd.read_csv(write_scored(table, str(tmp_path / "scored.csv"), RunFolder(tmp_path, "score")))
    log = open_log()
    try:
        for _, row in again.iterrows():
            stored = log.prediction(row["prediction_id"])
            assert (stored["application_id"], stored["pd"]) == (row["application_id"], row["default_probability"])
            assert (stored["decision"], stored["policy"]) == (row["decision"], row["policy"])
            assert row["decision"] == ("approve" if stored["pd"] < data.threshold else "decline")
    finally:
        log.close()
    assert set(again["logged"]) == {ADDED} and set(again["policy"]) == {"model-cut-off"}
    assert len(again) == 29 and {"approve", "decline"} == set(again["decision"])


def test_a_row_that_was_scored_before_is_told_from_one_whose_inputs_have_changed(settings_in, data):
    frame = make_applications(3)
    first = logged(data, frame)
    frame.loc[1, "income"] *= 2
    second = logged(data, pd.concat([frame, make_applications(4).iloc[3:]]), "e" * 64)
    assert second.states == (BEFORE, BEFORE_OTHERWISE, BEFORE, ADDED)
    assert second.prediction_ids[:3] == first.prediction_ids and first.states == (ADDED,) * 3
    assert (second.new, second.known, second.changed) == (1, 3, 1)


def test_a_file_is_decided_by_the_policy_of_the_settings(settings_in, data, tmp_path, monkeypatch):
    file = tmp_path / "policy.toml"
    file.write_text('[[policy]]\nversion = "strict"\neffective = 2020-01-01\napprove_below = 0.0\ndecline_from = 1.0\n')
    monkeypatch.setenv("CREDITRISK_POLICY_FILE", str(file))
    reload_settings()
    assert policy_in_force(data).version == "strict"
    done = logged(data, make_applications(5))
    log = open_log()
    try:
        rows = log.predictions()
    finally:
        log.close()
    assert {(row["decision"], row["policy"]) for row in rows} == {("refer", "strict")}
    checked = check_applications(make_applications(5), RETAIL, "a file")
    scored = Scorer(data).score_frame(checked.frame)
    plain = with_decisions(scored_table(checked, scored, data), scored, done.policy)
    assert set(plain["decision"]) == {"refer"} and "prediction_id" not in plain, "a file that was not logged has no ids"


def test_too_many_rejected_rows_stop_scoring_and_the_message_says_where_they_are(tmp_path):
    frame, run = make_applications(20), RunFolder(tmp_path, "score")
    frame.loc[0, "age"] = 7
    stop_if_too_many_rejected(check_applications(frame, RETAIL, "a file"), RETAIL, run)  # 5% is allowed
    frame.loc[1, "age"] = 7
    with pytest.raises(DataError, match=r"2 of 20 rows are rejected \(10.0%\).*limit of 5%") as told:
        stop_if_too_many_rejected(check_applications(frame, RETAIL, "a file"), RETAIL, run)
    assert f"see {tmp_path / 'rejected.parquet'}. The first: table a file, row 1, column age" in str(told.value)


def test_a_loan_that_breaks_two_rules_is_one_row_and_two_broken_rules():
    tables = {name: table.copy() for name, table in make_book(300).tables.items()}
    clean = prepare_book(tables, RETAIL)
    assert rejections_in_words(clean) == "No row was rejected." or clean.rejected_rows
    before, rows = len(clean.rejected), clean.rejected_rows
    fine = clean.frame["loan_id"].iloc[:2]
    loans = tables["loans"]
    loans.loc[loans["loan_id"] == fine.iloc[0], ["loan_tenure_months", "loan_amount"]] = [0, -1]
    loans.loc[loans["loan_id"] == fine.iloc[1], "loan_tenure_months"] = 0
    book = prepare_book(tables, RETAIL)
    told = rejections_in_words(book)
    assert book.rejected_rows == rows + 2 and len(book.rejected) >= before + 3
    assert told.startswith(f"{len(book.rejected)} rules broken by {book.rejected_rows} rejected rows of loans.")
    assert told.endswith("one row may break several.")


def test_a_longer_file_adds_what_is_new(settings_in, data, models):
    assert logged(data, make_applications(30)).new == 30
    more = pd.concat([make_applications(30), make_applications(60).iloc[30:]])
    longer = logged(data, more, "e" * 64)
    assert (longer.new, longer.known, longer.report.rows) == (30, 30, 60)
    assert len(stored_reports()) == 2
    assert logged(models["v1"], make_applications(30)).new == 30, "another model, other predictions"


def test_rows_without_identifier_are_logged_once_per_file(settings_in, data):
    frame = make_applications(10).drop(columns="application_id")
    assert logged(data, frame).new == 10 and logged(data, frame).new == 0
    assert logged(data, frame, "e" * 64).new == 10


def test_control_totals_add_up(settings_in, data):
    frame = pd.concat([make_applications(20), make_applications(3)], ignore_index=True)
    frame.loc[0, "age"] = 7  # rejected, so its second copy counts
    checked = check_applications(frame, RETAIL, "a file")
    scored = Scorer(data).score_frame(checked.frame)
    done = log_file(Scorer(data), checked, scored, "a-run", "f" * 64)
    assert (checked.rejected_rows, checked.duplicates, len(scored)) == (1, 2, 20)
    assert checked.received == 23 == len(scored) + checked.rejected_rows + checked.duplicates
    assert done.new + done.known == len(scored) and done.report.rows == len(scored)


def test_a_file_without_one_good_row_logs_nothing_and_stores_no_report(settings_in, data):
    done = logged(data, make_applications(4).assign(age=7))
    assert (done.new, done.known, done.report.status, done.report.rows) == (0, 0, "insufficient data", 0)
    assert stored_reports() == []


# Windows


def test_an_empty_log_says_what_to_do(settings_in, data):
    with pytest.raises(LogError, match="model v2 has no prediction in the log yet; run `creditrisk score`"):
        current_window(data, 100, "")


def test_a_window_is_the_last_predictions_of_this_very_model(settings_in, data, models):
    logged(models["v1"], make_applications(40))
    logged(data, make_applications(40))
    taken = current_window(data, 25, "")
    assert [row["application_id"] for row in taken.rows] == make_applications(40)["application_id"].tolist()[15:]
    assert {row["model_version"] for row in taken.rows} == {"v2"}
    assert taken.key == f"predictions-{taken.rows[0]['id']}-{taken.rows[-1]['id']}"
    assert taken.compared(data).to_dict() == check_rows(data, taken.rows).to_dict() and len(taken.rows) == 25
    assert "fewer" not in taken.description and taken.rejected.empty


def test_a_window_smaller_than_asked_says_so(settings_in, data):
    logged(data, make_applications(40))
    taken = current_window(data, 1_000, "")
    assert len(taken.rows) == 40
    assert "the log holds 40 predictions of this model, fewer than the window of 1,000" in taken.description
    assert taken.compared(data).rows == 40


def test_a_window_can_be_a_file(settings_in, data, tmp_path):
    frame = make_applications(12)
    frame.loc[0, "age"] = 7
    frame.to_csv(tmp_path / "today.csv", index=False)
    taken = current_window(data, 5, str(tmp_path / "today.csv"))
    assert len(taken.scored) == 11 and taken.rows is None and taken.key.startswith("file-")
    assert taken.description == "11 of 12 rows of today.csv; the others were rejected"
    assert taken.rejected["row"].tolist() == [1]
    frame.iloc[1:].to_csv(tmp_path / "good.csv", index=False)
    assert current_window(data, 5, str(tmp_path / "good.csv")).description == "11 of 11 rows of good.csv"
    frame.assign(age=7).to_csv(tmp_path / "bad.csv", index=False)
    none = current_window(data, 5, str(tmp_path / "bad.csv"))
    assert none.compared(data).status == "insufficient data"


def test_a_window_can_be_held_against_the_first_applicants_or_a_file(settings_in, data, tmp_path):
    logged(data, make_applications(300))
    scorer, checked = Scorer(data), check_applications(make_applications(240, seed=5), RETAIL, "applications")
    scored, rows = scorer.score_frame(checked.frame), checked.frame.to_dict("records")
    log = open_log()
    log.append([scorer.record(scored, i, row, purpose="production", source="api") for i, row in enumerate(rows)])
    log.close()
    taken = current_window(data, 120, "")
    first = named_sample(data, "first:200")
    report = taken.compared(data, baseline_of(data, first))
    assert (report.rows, report.baseline_rows, report.reference) == (120, 200, "the first 200 production applications")
    assert named_sample(data, "first:120", taken).rows[-1]["id"] < taken.rows[0]["id"]
    with pytest.raises(ParameterError, match="compared with themselves"):
        named_sample(data, "first:121", taken)
    with pytest.raises(LogError, match="holds 240 of the first 9,999 production"):
        named_sample(data, "first:9999")
    make_applications(90, seed=2).to_csv(tmp_path / "june.csv", index=False)
    by_file = baseline_of(data, named_sample(data, str(tmp_path / "june.csv")))
    assert by_file.reference == "90 of 90 rows of june.csv" and by_file.rows == 90
    assert baseline_of(data, named_sample(data, "")).reference == "training rows (booked loans)"


def test_a_window_is_compared_by_segment_with_the_same_segment_of_applicants(settings_in, data, tmp_path):
    before, now = make_applications(1_500, seed=2), make_applications(1_500, seed=3)
    now.loc[now["loan_purpose"] == "Home", "age"] += 20
    for name, frame in (("before", before), ("now", now.query("age < 90"))):
        frame.to_parquet(tmp_path / f"{name}.parquet")
    taken = current_window(data, 1, str(tmp_path / "now.parquet"))
    sample = named_sample(data, str(tmp_path / "before.parquet"))
    table = by_segment(data, taken, sample, "loan_purpose").set_index("level")
    assert table["rows"].sum() == len(taken.inputs) and table["before"].sum() == 1_500
    assert table.loc["Home", "status"] == "red" and "age" in table.loc["Home", "verdict"]
    assert set(table.drop("Home")["status"]) <= {"green", "insufficient data"}
    with pytest.raises(ParameterError, match="use one of residence_type, loan_purpose"):
        by_segment(data, taken, sample, "age")
    with pytest.raises(ParameterError, match="add -p reference first:N"):
        by_segment(data, taken, None, "loan_purpose")


def test_storing_the_same_window_again_is_the_same_report(settings_in, data):
    logged(data, make_applications(40))
    taken = current_window(data, 25, "")
    report = taken.compared(data)
    first = store_window(data, report, taken)
    assert store_window(data, report, taken) == first
    by_notebook = [r for r in stored_reports() if r["trigger"] == "notebook"]
    assert [r["id"] for r in by_notebook] == [first] and by_notebook[0]["report"] == report.to_dict()
    assert by_notebook[0]["first_prediction"] == taken.rows[0]["id"]
    other = current_window(data, 24, "")
    assert store_window(data, other.compared(data), other) != first


def test_a_window_of_a_file_is_stored_without_log_rows(settings_in, data, tmp_path):
    make_applications(12).to_parquet(tmp_path / "today.parquet")
    taken: Window = current_window(data, 5, str(tmp_path / "today.parquet"))
    store_window(data, taken.compared(data), taken)
    (report,) = stored_reports()
    assert (report["first_prediction"], report["window_key"], report["n"]) == (None, taken.key, 12)


def test_the_log_is_made_where_the_settings_say(settings_in):
    open_log().close()
    assert Path(settings_in.runs_dir / "predictions.db").exists()
