"""The logged predictions on the page."""

from __future__ import annotations

import asyncio
import json
import re
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from creditrisk.serving import tally
from creditrisk.serving.log import DecisionRecord, OutcomeRecord, PredictionLog, PredictionRecord
from creditrisk.ui.page import book_count, book_figures, book_html, book_state, words
from creditrisk.ui.page.book_detail import detail_html
from creditrisk.ui.page.book_view import BookView
from creditrisk.ui.page.grid import Column, Grid
from page_parts import RETAIL, fill, logged, text_of

TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def record(days_ago: int = 0, score: int = 700, **changes) -> PredictionRecord:
    values = {"model_version": "v1", "model_sha256": "a" * 64, "portfolio": "retail", "purpose": "production"}
    values |= {"source": "api", "inputs": {}, "features": {}, "rating": "Good", "decision": "approve", "score": score}
    at = TODAY - timedelta(days=days_ago)
    return PredictionRecord(**values | {"created_at": at, "pd": 1 - (score - 300) / 600} | changes)


def log_these(url: str, *records: PredictionRecord) -> list[str]:
    log = PredictionLog(url)
    try:
        return log.append(records).prediction_ids
    finally:
        log.close()


def rows_of(view: BookView) -> list[list]:
    return json.loads(view.listing.grid.rows)


# The window


def test_an_empty_log_is_made_where_there_is_none_and_has_nothing_to_show(bench, url):
    assert Path(url.removeprefix("sqlite:///")).exists()
    summary = bench.book.summary
    assert (summary.n, summary.in_window, summary.mean_pd, bench.book.rows) == (0, 0, None, [])
    assert bench.book.window == "" and bench.book.log.problem == ""
    assert "No predictions yet" in book_html.nothing(bench.book) and "creditrisk serve" in book_html.nothing(bench.book)


def test_every_prediction_is_in_one_bar_of_each_distribution(bench, url):
    fill(url, bench.data, 60)
    fill(url, bench.data, 5, "what_if")
    bench.book.choose("")
    summary = bench.book.summary
    assert summary.n == summary.in_window == 65 == sum(summary.ratings.values())
    assert sum(n for _, n in summary.scores) == 65
    assert list(summary.ratings) == ["Poor", "Average", "Good", "Excellent"]
    assert (summary.scores[0][0], summary.scores[-1][0]) == (300, 875)
    assert summary.by_purpose == {"production": 60, "what_if": 5}
    assert len(bench.book.rows) == 65 and bench.book.rows[0]["purpose"] == "what_if"
    assert summary.mean_pd == pytest.approx(np.mean([row["pd"] for row in logged(url)]))
    scores = sorted(row["score"] for row in logged(url))
    assert summary.quartiles == tuple(scores[int(np.ceil(q * 65)) - 1] for q in (0.25, 0.5, 0.75))


def test_production_is_shown_at_first_and_the_heading_says_how_many_of_how_many(bench, url):
    fill(url, bench.data, 6)
    fill(url, bench.data, 2, "what_if")
    bench.book.refresh()
    assert (bench.book.purpose, bench.book.summary.n, bench.book.summary.in_window) == ("production", 6, 8)
    assert "6 of 8 predictions of the last 30 days" in book_html.book_heading(bench.book)
    bench.book.choose("what_if")
    assert bench.book.summary.n == 2 and {row["purpose"] for row in bench.book.rows} == {"what_if"}
    assert "2 of 8 predictions" in book_html.book_heading(bench.book)
    assert "purpose what-if, all model versions" in book_html.book_heading(bench.book)
    bench.book.choose("shadow")
    assert bench.book.summary.n == 0 and "The time holds 6 production, 2 what-if." in book_html.nothing(bench.book)
    bench.book.choose("", "v9")
    assert bench.book.summary.n == 0 and bench.book.rows == []


def test_all_purposes_are_shown_at_first_where_there_is_no_production(bench, url):
    view = BookView(bench.book)
    view.look()
    assert bench.book.purpose == "production"  # nothing is known yet
    log_these(url, record(purpose="file"), record(purpose="file"))
    view.look()
    assert (bench.book.purpose, bench.book.summary.n, len(bench.book.rows)) == ("", 2, 2)
    assert view.choice.purpose.value == ""
    log_these(url, record())
    view.look()
    assert (bench.book.purpose, bench.book.summary.n) == ("", 3)  # it does not change under the reader
    bench.book.choose("production")
    bench.book.choose_window("7")
    assert bench.book.summary.n == 1


def test_a_page_that_reads_aside_shows_all_purposes_too(bench, url):
    log_these(url, record(purpose="file"))

    async def look() -> None:
        bench.book.refresh()
        await bench.book._task

    asyncio.run(look())
    assert (bench.book.purpose, bench.book.summary.n, len(bench.book.rows)) == ("", 1, 1)


@pytest.mark.parametrize(
    ("days_ago", "window"), [([0, 40], "30"), ([29], "30"), ([30], "365"), ([364], "365"), ([365], "all")]
)
def test_the_first_window_is_the_shortest_that_holds_something(bench, url, days_ago, window):
    log_these(url, *[record(days) for days in reversed(days_ago)])
    bench.book.refresh()
    assert bench.book.window == window and bench.book.summary.n == 1
    bench.book.choose_window("all")
    assert bench.book.summary.n == len(days_ago)


def test_dates_are_days_of_utc_and_both_are_included(bench, url):
    log_these(
        url, *[record(days) for days in (5, 4, 3, 2)], record(created_at=TODAY - timedelta(days=2, seconds=-86_399))
    )
    bench.book.refresh()
    day = [(TODAY - timedelta(days=days)).date() for days in range(6)]
    bench.book.choose_dates(day[4], day[2])
    assert bench.book.summary.n == 4 and len(bench.book.rows) == 4
    told = f"from {book_html.on_day(day[4])} to {book_html.on_day(day[2])}"
    assert told in book_html.book_heading(bench.book)
    bench.book.choose_dates(None, day[3])
    assert bench.book.summary.n == 3
    bench.book.choose_dates(day[2], day[3])
    assert "The last day is before the first one" in book_html.book_heading(bench.book)
    bench.book.choose_dates(day[0], None)
    assert bench.book.summary.n == 0 and bench.book.problem == ""
    assert "No predictions in this time" in book_html.nothing(bench.book)


def test_a_model_version_can_be_looked_at_alone(bench, url):
    log_these(url, record(), record(model_version="v2"), record(model_version="v2"))
    bench.book.refresh()
    assert bench.book.summary.by_version == {"v1": 1, "v2": 2}
    bench.book.choose("production", "v2")
    assert bench.book.summary.n == 2 and {row["model_version"] for row in bench.book.rows} == {"v2"}


def test_a_window_that_is_too_large_is_counted_in_part_and_says_so(bench, url, monkeypatch):
    monkeypatch.setattr(book_count, "MOST", 3)
    log_these(url, *[record() for _ in range(5)])
    bench.book.refresh()
    assert bench.book.summary.n == 3 and bench.book.summary.left_out
    assert "Only the newest" in book_html.book_heading(bench.book)


# Counting


def test_stretches_of_the_past_are_counted_once_and_those_that_may_change_again(bench, url, monkeypatch):
    monkeypatch.setattr(book_count, "STRETCH", 4)
    monkeypatch.setattr(book_count, "LATE", 2)
    asked = []
    real = tally.tally
    monkeypatch.setattr(tally, "tally", lambda log, low, high, *time: asked.append(low) or real(log, low, high, *time))
    log_these(url, *[record() for _ in range(13)])
    bench.book.refresh()
    assert bench.book.summary.n == 13 and asked == [1, 4, 8, 12]
    log_these(url, record())
    bench.book.refresh()
    assert bench.book.summary.n == 14 and asked[4:] == [8, 12]  # 11 is too near the newest
    bench.book.count_again()
    assert asked[6:] == [1, 4, 8, 12] and bench.book.summary.n == 14


def test_what_is_kept_is_counted_anew_after_a_while_and_new_outcomes_are_seen(bench, url, monkeypatch):
    monkeypatch.setattr(book_count, "STRETCH", 2)
    monkeypatch.setattr(book_count, "LATE", 0)
    ids = log_these(url, *[record() for _ in range(6)])
    bench.book.refresh()
    log = PredictionLog(url)
    log.add_outcomes([OutcomeRecord(prediction_id=ids[0], observed_at=TODAY, bad=True)])
    bench.book.refresh()
    assert bench.book.summary.policy.known == 1
    log.add_outcomes([OutcomeRecord(prediction_id=ids[1], observed_at=TODAY, bad=False)])
    monkeypatch.setattr(book_count, "OUTCOME_SECONDS", 0.0)
    bench.book.refresh()
    assert (bench.book.summary.policy.known, bench.book.summary.policy.bad) == (2, 1)
    with log.writing() as connection:
        connection.exec_driver_sql("DELETE FROM predictions WHERE id = 2")
    log.close()
    bench.book.refresh()
    assert bench.book.summary.n == 6  # kept
    monkeypatch.setattr(book_count, "KEEP_SECONDS", 0.0)
    bench.book.refresh()
    assert bench.book.summary.n == 5


def test_a_long_count_runs_beside_the_page_says_how_far_it_is_and_gives_way_to_another(bench, url, monkeypatch):
    monkeypatch.setattr(book_count, "STRETCH", 1)
    monkeypatch.setattr(book_count, "LATE", 0)
    monkeypatch.setattr(book_state, "QUIET_SECONDS", 0.0)
    log_these(url, record(200), *[record(10) for _ in range(8)], record())
    said, asked, real = [], [], tally.tally

    def slowly(log, low, *rest):
        asked.append(low)
        time.sleep(0.02)
        return real(log, low, *rest)

    monkeypatch.setattr(tally, "tally", slowly)
    bench.book.window = "all"
    bench.book.observe(lambda change: said.append(change["new"]), "counting")

    async def look() -> None:
        bench.book.refresh()
        assert bench.book.summary.in_window == 0  # not waited for
        for _ in range(500):
            await asyncio.sleep(0.01)
            if len(said) > 1 and bench.book.window == "all":
                bench.book.choose_window("7")
            if bench.book._task.done():
                return

    asyncio.run(look())
    assert said[0] == "Reading the log" and any("of about 10 predictions" in one for one in said)
    assert len(asked) < 10 and asked[-1] == 10  # the rest of the first window was not counted
    assert bench.book.counting == "" and bench.book.summary.n == 1 and len(bench.book.rows) == 1


def test_a_database_that_is_down_is_said_and_comes_back(bench, url, monkeypatch):
    fill(url, bench.data, 3)
    view = BookView(bench.book)
    view.look()
    path = Path(url.removeprefix("sqlite:///"))
    log = PredictionLog(url)
    log.write_back()
    log.close()
    bench.book.log.close()
    kept = path.read_bytes()
    path.write_bytes(b"no database at all")

    async def look() -> None:
        bench.book.refresh()
        if bench.book._task is not None:
            await bench.book._task

    asyncio.run(look())
    assert bench.book.summary is None and "cannot be read" in text_of(view.view)
    bench.book.log.close()
    path.write_bytes(kept)
    view.look()
    assert bench.book.summary.n == 3 and "cannot be read" not in text_of(view.view)


# What is told of a window


def test_ratings_and_scores_of_another_portfolio_are_shown_too(bench, url):
    rows = [(900, "Excellent"), (250, "Z"), (930, "A"), (300, "Poor")]
    log_these(url, *[record(score=score, rating=rating, pd=0.5) for score, rating in rows])
    bench.book.refresh()
    summary = bench.book.summary
    assert summary.ratings == {"Poor": 1, "Average": 0, "Good": 0, "Excellent": 1, "Z": 1, "A": 1}
    assert dict(summary.scores) | {250: 1, 300: 1, 900: 1, 925: 1} == dict(summary.scores)
    assert sum(n for _, n in summary.scores) == 4


def test_the_best_score_of_the_scale_has_no_bar_of_its_own():
    groups = pd.DataFrame({"score": [300, 899, 900], "n": [1, 1, 1]})
    assert book_figures._score_counts(groups, RETAIL.scale)[-1] == (875, 2)


def test_a_cut_off_tells_what_it_would_approve_beside_what_the_policy_did(bench, url):
    scores = [840, 840, 780, 780, 720, 600]
    ids = log_these(url, *[record(score=s, decision="approve" if s >= 780 else "decline") for s in scores])
    log = PredictionLog(url)
    seen = zip(ids[:5], (False, False, True, False, True), strict=True)
    log.add_outcomes([OutcomeRecord(prediction_id=one, observed_at=TODAY, bad=bad) for one, bad in seen])
    log.close()
    book = bench.book
    book.refresh()
    assert book.cut_off_score() == 780  # that of the policy, as near as can be
    here, policy = book.approvals(), book.summary.policy
    assert here == policy and (here.n, here.of, here.known, here.bad) == (4, 6, 4, 1)
    assert here.mean_pd == pytest.approx((0.1 + 0.1 + 0.2 + 0.2) / 4) and here.bad_rate == 0.25
    book.cut_off = 781
    assert (book.approvals().n, book.approvals().bad_rate) == (2, 0.0)
    book.cut_off = 700
    here = book.approvals()
    assert (here.n, here.share, here.bad_rate) == (5, 5 / 6, 0.4)
    told = book_html.cut_off_table(here, policy)
    assert (
        ">5<" in told
        and ">4<" in told
        and told.count(">6<") == 2
        and "40.00%" in told
        and "1 more than the policy approved" in told
    )
    assert "PDs up to 33.33%" in book_html.cut_off_heading(700, RETAIL.scale)
    book.cut_off = 900
    assert (book.approvals().n, book.approvals().mean_pd) == (0, None)
    assert "–" in book_html.cut_off_table(book.approvals(), policy)


def test_as_the_policy_is_what_the_policy_approved_also_where_a_score_lies_on_both_sides_of_its_pd(bench, url):
    decisions = [(890, "approve"), (878, "approve"), (878, "decline"), (878, "refer"), (800, "decline")]
    log_these(url, *[record(score=score, decision=decision) for score, decision in decisions])
    view = BookView(bench.book)
    view.look()
    assert bench.book.cut_off_score() == view.cut_off.number.value == 878
    assert bench.book.approvals() == bench.book.summary.policy and bench.book.approvals().n == 2
    told = text_of(view.view)
    assert "878 holds PDs on both sides" in told and "All scores of 878 and above would be 4." in told
    view.cut_off.slider.value = 879
    assert bench.book.approvals().n == 1 and "Approved are scores of 879 and above" in view.cut_off._said.value
    view.cut_off.number.value = 878
    assert bench.book.approvals().n == 4 and "PDs up to 3.67%" in view.cut_off._said.value
    log_these(url, record(score=895, decision="decline"))  # by a rule: no score says what the policy did
    view.cut_off.reset.click()
    view.look()
    assert bench.book.summary.policy_score is None and bench.book.cut_off_score() == 890
    assert book_html.NEAREST in view.cut_off._said.value


def test_a_score_that_there_is_not_is_refused_in_words(bench, url):
    log_these(url, *[record(score=s) for s in (600, 700, 800)])
    view = BookView(bench.book)
    view.look()
    view.cut_off.slider.value = 700
    for entered in (1200, 0):
        view.cut_off.number.value = entered
        assert f"{entered:,} is not a score: enter one from 300 to 900. The cut-off is still 700." in text_of(view.view)
        assert bench.book.cut_off == 700
    view.cut_off.number.value = 650
    assert bench.book.cut_off == 650 and "cr-quiet" in view.cut_off._refused._dom_classes


def test_where_no_policy_decided_the_cut_off_is_the_share_that_the_portfolio_wants(bench, url):
    log_these(url, *[record(score=s, decision=None) for s in range(600, 700, 10)])
    bench.book.refresh()
    assert bench.book.summary.policy.of == 0 and bench.book.approvals().share == RETAIL.approval_share
    assert "No policy decided" in book_html.cut_off_table(bench.book.approvals(), bench.book.summary.policy)


def test_every_cut_off_is_on_the_curve():
    groups = pd.DataFrame({"score": [800, 700, 600], "n": [1, 2, 1], "pds": [0.1, 0.6, 0.5]})
    outcomes = pd.DataFrame({"score": [700], "n": [2], "bad": [1]})
    profile = book_figures.Profile(groups, outcomes)
    shares, pds = profile.curve()
    assert shares.tolist() == [0.25, 0.75, 1.0] and pds == pytest.approx([0.1, 0.7 / 3, 0.3])
    assert profile.at(650) == book_figures.Approvals(3, 4, pytest.approx(0.7 / 3), 2, 1)
    assert book_figures.Profile(groups[:0], outcomes[:0]).curve()[0].size == 0


@pytest.mark.parametrize(
    ("days", "unit", "periods"), [(6, "day", 7), (30, "day", 31), (31, "week", None), (300, "month", None)]
)
def test_time_is_shown_by_day_week_or_month_without_gaps(bench, url, days, unit, periods):
    log_these(url, record(days, decision="decline"), record(), record(decision=None))
    bench.book.choose_window("all")
    summary = bench.book.summary
    assert summary.unit == unit and sum(one.n for one in summary.periods) == 3
    if periods:
        assert len(summary.periods) == periods
    starts = [one.start for one in summary.periods]
    assert starts == sorted(set(starts)) and starts[0] <= (TODAY - timedelta(days=days)).date()
    if unit == "week":
        assert {start.weekday() for start in starts} == {0}
    assert (summary.periods[0].share, summary.periods[-1].share) == (0.0, 1.0)
    assert summary.periods[1].n == 0 and summary.periods[1].share is None
    told = book_html.time_heading(summary)
    assert f"By {unit}" in told and "the policy approved 50.0% of 2" in told and "between 0.0% (" in told
    assert book_html.time_table(summary).count("<tr>") == len(summary.periods) + 1


def test_one_day_is_a_bar_of_usual_width_with_both_its_parts(bench, url):
    log_these(url, record(), record(), record(decision="decline"))
    view = BookView(bench.book)
    view.look()
    times = view.charts.times
    assert times._bars.x.tolist() == [-3, -2, -1, 0, 1, 2, 3]  # bqplot takes the width from the places
    assert [part[3] for part in times._bars.y.tolist()] == [2, 1] and times._bars.y.sum() == 3
    assert (times._x.min, times._x.max) == pytest.approx((-3.6, 3.6))
    assert times._line.x.tolist() == [0]


# One by one


def test_a_long_id_is_clipped_and_can_be_read_in_full(bench, url):
    log_these(url, record(application_id='A"' + 60 * "x"))
    view = BookView(bench.book)
    view.look()
    cell = rows_of(view)[0][2]["read"]
    assert f'<span class="cr-clipped" title="A&quot;{60 * "x"}">A&quot;xx' in cell


def test_the_grid_holds_the_newest_and_an_id_is_found_beyond_them(bench, url, monkeypatch):
    monkeypatch.setattr(book_state, "RECENT", 3)
    monkeypatch.setattr(book_html, "RECENT", 3)
    ids = log_these(
        url, *[record(400, application_id=f"A-{i // 2}", purpose="file") for i in range(4)], *[record()] * 0
    )
    log_these(url, *[record() for _ in range(4)])
    view = BookView(bench.book)
    view.look()
    assert len(rows_of(view)) == 3 and "The newest 3 of those counted above" in text_of(view.view)
    view.listing.sought.value = " A-1 "
    assert [row[0] for row in rows_of(view)] == [ids[3], ids[2]] and bench.book.chosen == ""
    assert "2 predictions with the ID <b>A-1</b>" in text_of(view.view)
    view.listing.sought.value = ids[0]
    assert [row[0] for row in rows_of(view)] == [ids[0]] and bench.book.chosen == ids[0]
    view.listing.sought.value = "<b>nobody"
    assert "No prediction has the ID <b>&lt;b&gt;nobody</b>" in text_of(view.view)
    view.listing.back.click()
    assert len(rows_of(view)) == 3 and bench.book.found is None and view.listing.sought.value == ""


def test_a_row_that_is_chosen_is_shown_in_full_and_stays_while_others_come(bench, url):
    applicant = bench.applicant
    applicant.enter_application_id("A-77")
    applicant.save()
    (row,) = logged(url)
    log = PredictionLog(url)
    log.add_outcomes(
        [OutcomeRecord(prediction_id=row["prediction_id"], observed_at=datetime(2026, 1, 5, tzinfo=UTC), bad=True)]
    )
    made = DecisionRecord(row["prediction_id"], "decline", "Income not <verified>", "A. Officer", "desk")
    log.add_decision(made)
    log.close()
    view = BookView(bench.book)
    view.look()
    view.listing.grid.chosen = row["prediction_id"]
    told = text_of(view.listing.view)
    for part in (row["prediction_id"], "A-77", str(row["score"]), row["policy"], row["model_sha256"][:12], "✕ Bad</b>"):
        assert part in told
    assert "observed on 5 Jan 2026" in told and "Income not &lt;verified&gt;" in told and "A. Officer" in told
    assert "Credit utilisation (%)" in told
    for reason in row["reasons"]:
        assert reason["text"] in told and f"{reason['weight']:.3f}" in told
    fill(url, bench.data, 2)
    view.look()
    assert len(rows_of(view)) == 3 and view.listing.grid.chosen == row["prediction_id"]
    assert "A-77" in text_of(view.listing._detail)


def test_a_prediction_that_is_gone_or_bare_is_told_as_such(bench, url):
    log_these(url, record(decision=None, inputs=None, reasons=None))
    bench.book.refresh()
    bench.book.open(bench.book.rows[0]["prediction_id"])
    told = detail_html(bench.book.chosen, bench.book.detail, None)
    assert "No policy decided on it" in told and "The log keeps none" in told and "No reason was logged" in told
    bench.book.open("gone")
    assert "Prediction gone is no longer in the log" in detail_html("gone", bench.book.detail, None)


def test_what_comes_from_outside_cannot_become_markup(bench, url):
    applicant = bench.applicant
    applicant.enter_application_id("<script>alert(1)</script>")
    applicant.save()
    log_these(url, record(rating="<i>", caller="<i>", run="<i>", policy="<i>", inputs={"<i>": "<i>"}))
    view = BookView(bench.book)
    view.look()
    assert "<script>" not in view.listing.grid.rows and "&lt;script&gt;" in view.listing.grid.rows
    for row in bench.book.rows:
        bench.book.open(row["prediction_id"])
        assert "<script>" not in text_of(view.view) and "<i>" not in text_of(view.view) + view.listing.grid.rows
    assert "<b>" not in words.empty("No", "<b>bold</b> `creditrisk train`")


def test_a_grid_sorts_by_values_and_shows_texts():
    grid = Grid("Things", [Column("p", "PD", words.percent, right=True), Column("at", "Day", roomy=True)], "id")
    grid.show(pd.DataFrame({"id": ["a", "b"], "p": [0.5, None], "at": [date(2026, 1, 2), "<"]}))
    first, second = json.loads(grid.rows)
    assert first == ["a", {"read": "50.00%", "value": 0.5}, {"read": "2026-01-02", "value": "2026-01-02"}]
    assert second == ["b", {"read": "–", "value": None}, {"read": "&lt;", "value": "&lt;"}]
    assert [one["className"] for one in grid._dt_args["columnDefs"][1:]] == ["cr-right", "cr-roomy"]
    assert re.search(r"const base = \w+;", grid._esm) and "export default {" in grid._esm


# The widgets


def test_an_empty_book_says_what_fills_it_and_fills_without_a_reload(bench, url):
    view = BookView(bench.book)
    view.look()
    assert "call the API" in text_of(view.view)
    fill(url, bench.data, 7)
    view.choice.refresh.click()
    shown = text_of(view.view)
    assert "call the API" not in shown and "7 predictions" in shown
    assert view.choice.window.value == "30" and ("production (7)", "production") in view.choice.purpose.options
    assert view.charts.ratings._bars.y.sum() == view.charts.scores._bars.y.sum() == 7
    assert view.charts.times._bars.y.sum() == 7
    view.choice.purpose.value = ""
    assert bench.book.purpose == "" and bench.book.window == "30"


def test_moving_the_cut_off_moves_its_figures_and_marks(bench, url):
    log_these(url, *[record(score=s) for s in (600, 700, 800)])
    view = BookView(bench.book)
    view.look()
    view.cut_off.slider.value = 650
    assert bench.book.cut_off == 650 and view.cut_off.number.value == 650
    assert ">2<" in view.cut_off._table.value and view.charts.scores._line.x.tolist() == [650, 650]
    assert view.charts.trade._here.x.tolist() == pytest.approx([2 / 3])
    assert view.cut_off.share.value == 66.7
    view.look()
    assert view.cut_off.slider.value == 650
    view.cut_off.share.value = 30
    assert bench.book.cut_off == view.cut_off.number.value == 800 and view.cut_off.share.value == 33.3
    view.cut_off.reset.click()
    assert bench.book.cut_off == 0 and view.cut_off.number.value == 600 and view.cut_off.reset.disabled


def test_dates_are_asked_for_only_where_they_count(bench, url):
    log_these(url, record(3), record())
    view = BookView(bench.book)
    view.look()
    assert "cr-quiet" in view.choice.first._dom_classes
    view.choice.window.value = "dates"
    assert "cr-quiet" not in view.choice.first._dom_classes and bench.book.summary.n == 2
    view.choice.first.value = TODAY.date()
    assert bench.book.summary.n == 1
