"""The File tab: what a file becomes, what is wrong with it, and what is logged of it."""

from __future__ import annotations

import asyncio
import io
import time

import pandas as pd
import pytest

from creditrisk.data.sample import make_applications
from creditrisk.serving import policy
from creditrisk.serving.log import PredictionLog
from creditrisk.serving.scorer import Scorer, scored_table
from creditrisk.settings import Settings
from creditrisk.ui.page import file_html, file_scoring
from creditrisk.ui.page.file_state import EMPTY, LOGGING, READY, SHOWN, rejected_table
from creditrisk.ui.page.file_view import FileView
from creditrisk.ui.page.upload import Upload
from page_parts import fill, logged, text_of


def sample(rows: int = 60) -> pd.DataFrame:
    return make_applications(rows).astype(object)


def as_csv(frame: pd.DataFrame, **options) -> bytes:
    return frame.to_csv(index=False, **options).encode()


def send(state, content: bytes, name: str = "loans.csv"):
    asyncio.run(state.score(name, content))
    return state.preview


@pytest.fixture
def state(bench):
    return bench.file


@pytest.fixture
def reports(url):
    def read() -> list[dict]:
        log = PredictionLog(url)
        try:
            return log.reports()
        finally:
            log.close()

    return read


# --- What is scored ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["csv", "parquet", "xlsx"])
def test_a_file_of_each_kind_is_scored_as_the_scorer_does_it(state, models, monkeypatch, kind):
    monkeypatch.setattr(file_scoring, "PART_ROWS", 25)  # three parts
    frame, content = make_applications(60), io.BytesIO()
    if kind == "csv":
        content.write(as_csv(frame))
    else:
        getattr(frame, {"parquet": "to_parquet", "xlsx": "to_excel"}[kind])(content, index=False)
    preview = send(state, content.getvalue(), f"loans.{kind}")
    assert (state.stage, state.problem, preview.scored) == (READY, "", 60)
    checked = file_scoring.check_sent(frame, state.book, "x")
    expected = scored_table(checked, Scorer(models.made["v1"]).score_frame(checked.frame), models.made["v1"])
    columns = ["row", "application_id", "default_probability", "credit_score", "points", "rating"]
    pd.testing.assert_frame_equal(preview.table[columns], expected[columns], check_dtype=False)
    assert set(preview.table["decision"]) <= {"approve", "refer", "decline"}
    assert preview.mean_pd == pytest.approx(expected["default_probability"].mean())
    assert [name for name, _ in preview.grades.rows] == [grade.name for grade in state.book.grades]
    assert sum(n for _, n in preview.grades.rows) == 60
    assert sum(n for _, n in preview.decisions.rows) == sum(n for _, n in preview.ratings.rows) == 60


def test_each_bad_row_is_found_with_its_row_column_value_and_reason(state):
    frame = sample()
    frame.loc[3, "age"], frame.loc[7, "residence_type"] = 12, "Castle <b>"
    frame.loc[10, "application_id"] = frame.loc[9, "application_id"]
    preview = send(state, as_csv(frame))
    table = rejected_table(preview)
    assert table[["row", "column", "value"]].values.tolist() == [
        [4, "age", "12"],
        [8, "residence_type", "Castle <b>"],
        [11, "application_id", frame.loc[9, "application_id"]],
    ]
    assert table["reason"].tolist()[0] == "below 18, the least allowed" and "row 10" in table["reason"].tolist()[2]
    assert (preview.scored, preview.checked.rejected_rows, preview.checked.duplicates) == (57, 2, 1)
    assert b"Castle <b>" in state.rejected_csv()
    view = FileView(state)
    assert "3 reasons in 3 rows" in text_of(view.view)
    assert "Castle &lt;b&gt;" in view.rejected.grid.rows


@pytest.mark.parametrize(
    ("content", "name", "told"),
    [
        (b"", "a.csv", "a.csv: the file is empty"),
        (b"age,income\n", "a.csv", "missing columns"),
        (b"x,y\n1,2\n", "a.csv", "none of the 11 columns that are needed is there ('age', 'income', "),
        (b"x,y\n1,2\n", "a.csv", "its first row has x, y: it must have the names of the columns; the model is for "),
        (b"age;income\n1;2\n", "a.csv", "parted by ';': save it with commas"),
        (b"age,age\n1,2\n", "a.csv", "'age' stands twice in the header"),
        ("age,city\n31,Köln\n".encode("latin-1"), "a.csv", "line 2 is not UTF-8 text"),
        (b"PAR1nonsense", "a.parquet", "a.parquet: cannot be read"),
        (b"PK\x03\x04nonsense", "a.xlsx", "a.xlsx: cannot be read"),
        (b"%PDF-1.7", "a.pdf", "cannot read this kind of file; give .csv, .parquet or .xlsx"),
    ],
)
def test_what_is_wrong_with_a_whole_file_is_told(state, content, name, told):
    assert send(state, content, name) is None
    assert told in state.problem and state.stage == EMPTY
    view = FileView(state)
    assert "Nothing was scored" in text_of(view.view) and "Log these predictions</h2>" not in text_of(view.view)
    send(state, as_csv(sample(5)))  # and the next file is taken
    assert state.problem == "" and state.preview.scored == 5


def test_a_column_of_a_wrong_type_is_told_with_row_and_value(state):
    frame = sample(10)
    frame["income"] = [f"about {n}" for n in range(10)]
    send(state, as_csv(frame))
    assert "'income'" in state.problem and "row 1" in state.problem and "'about 0'" in state.problem


def test_a_file_beyond_the_limits_is_refused_with_what_to_do_instead(state, monkeypatch):
    monkeypatch.setattr(file_scoring, "MAX_ROWS", 20)
    for name, content in (("a.csv", as_csv(sample(21))), ("a.parquet", make_applications(21).to_parquet())):
        assert send(state, content, name) is None
        assert "21 rows" in state.problem and "creditrisk score-file" in state.problem
    assert send(state, as_csv(sample(20))).scored == 20
    monkeypatch.setattr(file_scoring, "MAX_UNPACKED", 1_000)
    assert send(state, make_applications(20).to_parquet(), "a.parquet") is None
    assert "once it is unpacked" in state.problem
    view = FileView(state)
    view.upload._handle_custom_msg(
        {"kind": "begin", "id": "1", "name": "big.csv", "size": file_scoring.MAX_BYTES + 1, "files": 1}, []
    )
    assert "50 MB" in state.problem and "creditrisk score" in state.problem and state.stage == EMPTY


def test_a_file_of_only_bad_rows_has_no_scores_and_nothing_to_log(state):
    preview = send(state, as_csv(sample(3).assign(age=5)))
    assert preview.scored == 0 and preview.checked.rejected_rows == 3
    view = FileView(state)
    assert view.log.disabled and "Rejected rows" in text_of(view.view)
    assert "Scored rows" not in text_of(view.view) and "No row could be scored" in text_of(view.view)
    assert "3 rows: <code>age</code> below 18, the least allowed" in text_of(view.view)


def test_too_many_rejected_rows_are_told_first_and_keep_the_others_out_of_the_log(state, url):
    frame = sample(40)
    frame.loc[:3, "age"], frame.loc[4, "income"] = 5, -1
    preview = send(state, as_csv(frame))
    assert preview.mistakes == (("age", "below 18, the least allowed", 4), ("income", "not above 0", 1))
    told = "12.5% of the rows are rejected, more than the 5% that the portfolio allows."
    text = file_html.summary(preview)
    assert text.index("Too many rows are rejected to log this file") < text.index(told) < text.index("Rating")
    asyncio.run(state.store())
    assert state.logged is None and told in state.log_problem
    assert FileView(state).log.disabled
    assert send(state, as_csv(sample(40))).spoilt == ""


def test_the_template_is_a_file_that_can_be_scored_and_every_column_is_told(state):
    preview = send(state, state.template_csv())
    assert (preview.scored, preview.checked.rejected_rows) == (1, 0)
    told = file_html.columns_table(state.book)
    assert all(
        f"<code>{name}</code>" in told.replace("<wbr>", "")
        for name in state.template_csv().decode("utf-8-sig").split("\r\n")[0].split(",")
    )
    assert told.count("(optional)") == 2


# --- Drift ------------------------------------------------------------------------------------------------------------


def test_the_file_as_a_whole_is_judged_for_drift(state):
    send(state, as_csv(sample(300)))
    assert state.preview.drift.status == "green" and "Like the training data" in file_html.summary(state.preview)
    send(state, as_csv(sample(300).assign(age=97)))
    assert state.preview.drift.status == "red"
    assert "Drift: red" in file_html.summary(state.preview) and "Age: " in file_html.summary(state.preview)


# --- The log ----------------------------------------------------------------------------------------------------------


def test_nothing_is_logged_before_it_is_asked_for_and_then_once(state, url, reports, models):
    send(state, as_csv(sample()))
    assert logged(url) == [] and reports() == []
    view = FileView(state)
    assert "Nothing is in the log yet" in text_of(view.view)
    view.log.click()
    view.log.click()
    rows = logged(url)
    assert (
        len(rows) == 60 and {row["purpose"] for row in rows} == {"file"} and {row["source"] for row in rows} == {"file"}
    )
    assert state.logged.added == 60 and "60 of 60 predictions were added" in text_of(view.view) and view.log.disabled
    (report,) = reports()
    assert (report["trigger"], report["n"]) == ("file", 60)
    by_id = {row["application_id"]: row for row in rows}
    for _, row in state.table.iterrows():
        kept = by_id[row["application_id"]]
        told = (kept["prediction_id"], kept["decision"], kept["policy"], kept["pd"])
        assert told == (row["prediction_id"], row["decision"], row["policy"], row["default_probability"])
    assert set(state.table["logged"]) == {"added"}

    send(state, as_csv(sample()))  # the same file once more
    asyncio.run(state.store())
    assert len(logged(url)) == 60 and state.logged.before == 60 and len(reports()) == 1
    assert "In the log already" in file_html.logging(state)


def test_an_application_scored_before_with_other_inputs_keeps_its_prediction_and_is_told(state, url):
    changed = sample(6)
    send(state, as_csv(changed.head(5)))
    asyncio.run(state.store())
    changed.loc[2, "income"] = 900_000
    send(state, as_csv(changed))
    asyncio.run(state.store())
    assert (state.logged.added, state.logged.before, state.logged.otherwise) == (1, 4, 1)
    assert state.table["logged"].tolist()[2] == "before, other inputs" and len(logged(url)) == 6
    assert "the stored predictions stand" in file_html.logging(state)


def test_too_many_rejected_rows_are_not_logged(state, url):
    frame = sample(10)
    frame.loc[[1, 5], "age"] = 5
    preview = send(state, as_csv(frame))
    assert len(rejected_table(preview)) == 2 and preview.scored == 8
    view = FileView(state)
    assert "20.0% of the rows are rejected, more than the 5%" in text_of(view.view) and view.log.disabled
    asyncio.run(state.store())
    assert logged(url) == [] and "20.0%" in state.log_problem


def test_an_outage_of_the_log_is_told_and_logging_again_adds_the_rest(state, url, monkeypatch):
    monkeypatch.setattr(file_scoring, "PART_ROWS", 25)
    send(state, as_csv(sample()))
    append, calls = PredictionLog.append, []

    def failing(self, records):
        calls.append(len(records))
        if len(calls) == 2:
            raise OSError("the database is away")
        return append(self, records)

    monkeypatch.setattr(PredictionLog, "append", failing)
    asyncio.run(state.store())
    assert state.logged is None and "the database is away" in state.log_problem
    assert "25 of 60 rows are in the log" in state.log_problem and len(logged(url)) == 25
    asyncio.run(state.store())
    assert (state.logged.added, state.logged.before, state.log_problem) == (35, 25, "")


def test_another_policy_since_the_preview_is_shown_before_anything_is_logged(state, url, tmp_path, monkeypatch):
    send(state, as_csv(sample()))
    file = tmp_path / "policy.toml"
    file.write_text('[[policy]]\nversion = "strict"\neffective = 2020-01-01\napprove_below = 0.0\n')
    monkeypatch.setattr(policy, "settings", lambda: Settings(policy_file=file))
    asyncio.run(state.store())
    assert logged(url) == [] and "now strict" in state.log_problem
    assert set(state.table["decision"]) == {"decline"}
    asyncio.run(state.store())
    assert {row["policy"] for row in logged(url)} == {"strict"}
    file.write_text("nonsense")
    assert "No policy can decide" in send(state, as_csv(sample(3))).kept_out
    assert "decision" not in state.table and state.preview.decisions is None


# --- While it is done -------------------------------------------------------------------------------------------------


def test_the_page_stays_free_and_a_file_can_be_stopped_or_replaced(state, monkeypatch):
    monkeypatch.setattr(file_scoring, "PART_ROWS", 5)
    score, beats = state._scorer.score_frame, []
    monkeypatch.setattr(state._scorer, "score_frame", lambda frame: time.sleep(0.05) or score(frame))

    async def visit():
        first = asyncio.create_task(state.score("first.csv", as_csv(sample(60))))
        while state.done < 15:
            await asyncio.sleep(0.005)
            beats.append(state.done)
        second = asyncio.create_task(state.score("second.csv", as_csv(sample(10))))
        await asyncio.gather(first, second)
        assert (state.preview.name, state.preview.scored) == ("second.csv", 10)
        third = asyncio.create_task(state.score("third.csv", as_csv(sample(60))))
        while state.done < 15:
            await asyncio.sleep(0.005)
        state.stop()
        await third

    asyncio.run(visit())
    assert len(beats) > 5
    assert state.preview is None and state.stage == EMPTY and "Stopped" in state.notice


def test_logging_that_is_stopped_says_how_far_it_came(state, url, monkeypatch):
    monkeypatch.setattr(file_scoring, "PART_ROWS", 10)
    send(state, as_csv(sample()))
    append = PredictionLog.append
    monkeypatch.setattr(PredictionLog, "append", lambda *given: time.sleep(0.03) or append(*given))

    async def visit():
        task = asyncio.create_task(state.store())
        while state.stage != LOGGING or state.done < 20:
            await asyncio.sleep(0.002)
        state.stop()
        await task

    asyncio.run(visit())
    assert state.stage == READY and state.logged is None and "rows" in state.log_problem
    assert 20 <= len(logged(url)) < 60
    asyncio.run(state.store())
    assert len(logged(url)) == 60


def test_only_so_many_rows_go_to_the_browser_and_the_downloads_hold_all(state, monkeypatch):
    send(state, as_csv(sample(SHOWN + 200)))
    rows, of = state.rows_to_show()
    assert (len(rows), of) == (SHOWN, SHOWN + 200)
    riskiest, _ = state.rows_to_show("riskiest")
    assert riskiest["default_probability"].is_monotonic_decreasing
    assert riskiest["default_probability"].iloc[0] == state.table["default_probability"].max()
    declined, of = state.rows_to_show("decline")
    assert set(declined["decision"]) == {"decline"} and of == dict(state.preview.decisions.rows)["decline"]
    assert len(pd.read_csv(io.BytesIO(state.scored_csv()))) == SHOWN + 200
    assert len(pd.read_parquet(io.BytesIO(state.scored_parquet()))) == SHOWN + 200
    view = FileView(state)
    assert f"{SHOWN:,} of {SHOWN + 200:,} rows; the downloads hold all of them" in text_of(view.view)
    assert [one.filename for one in view.downloads] == ["loans_scored.csv", "loans_scored.parquet"]


def test_an_id_that_a_spreadsheet_would_compute_is_text_in_the_download(state):
    frame = sample(5)
    frame.loc[0, "application_id"] = "=cmd|' /C calc'!A0"
    send(state, as_csv(frame))
    assert b"'=cmd" in state.scored_csv()
    assert state.table["application_id"].iloc[0].startswith("=cmd")


# --- The way of a file from the browser -------------------------------------------------------------------------------


class Told:
    def __init__(self):
        self.said = []

    def begin(self, name, size):
        self.said.append(("begin", name, size))

    def receive(self, got):
        self.said.append(("receive", got))

    def refuse(self, name, problem):
        self.said.append(("refuse", problem))


@pytest.fixture
def upload(monkeypatch):
    told, arrived = Told(), []
    upload = Upload(told, lambda *file: arrived.append(file), lambda name, size: "", accept=".csv", limits="")
    upload.told, upload.files, upload.sent = told, arrived, []
    monkeypatch.setattr(upload, "send", lambda message, buffers=None: upload.sent.append(message))
    return upload


def hear(upload, kind, number="1", buffers=(), **more):
    upload._handle_custom_msg({"kind": kind, "id": number, **more}, list(buffers))


def test_a_file_comes_in_parts_each_asked_for_after_the_one_before(upload):
    hear(upload, "begin", name="../a.csv", size=6, files=1)
    hear(upload, "part", buffers=[memoryview(b"abcd")])
    assert upload.files == [] and upload.sent == [{"kind": "next", "id": "1"}] * 2
    hear(upload, "part", buffers=[memoryview(b"ef")])
    assert upload.files == [("a.csv", b"abcdef")] and upload.sent[-1] == {"kind": "done", "id": "1"}
    hear(upload, "begin", "2", name="empty.csv", size=0, files=1)
    assert upload.files[-1] == ("empty.csv", b"")


def test_a_second_file_replaces_the_first_and_a_stopped_one_takes_no_more(upload):
    hear(upload, "begin", "1", name="a.csv", size=6, files=1)
    hear(upload, "begin", "2", name="b.csv", size=2, files=1)
    hear(upload, "part", "1", [b"abcdef"])
    hear(upload, "part", "2", [b"xy"])
    assert upload.files == [("b.csv", b"xy")]
    hear(upload, "begin", "3", name="c.csv", size=2, files=1)
    upload.stop()
    hear(upload, "part", "3", [b"xy"])
    assert len(upload.files) == 1 and upload.sent[-1] == {"kind": "stop", "id": "3"}


def test_a_file_that_changes_and_several_at_once_are_refused(upload):
    hear(upload, "begin", name="a.csv", size=2, files=1)
    hear(upload, "part", buffers=[b"abc"])
    assert "changed while it was sent" in upload.told.said[-1][1]
    hear(upload, "begin", name="a.csv", size=2, files=3)
    assert "One file at a time" in upload.told.said[-1][1] and upload.files == []


def test_a_fresh_tab_says_what_to_do(state, url, models):
    fill(url, models.made["v1"], 2)
    view = FileView(state)
    text = text_of(view.view)
    assert "No file yet" in text and "What the file must hold" in text and "creditrisk score-file" in text
    assert "Summary" not in text and "Rejected rows" not in text and "Log these predictions" not in text
