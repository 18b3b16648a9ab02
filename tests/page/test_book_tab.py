"""The logged predictions on the page."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from creditrisk.serving.log import PredictionLog, PredictionRecord
from creditrisk.ui.page import book_html, book_state, score_html, words
from creditrisk.ui.page.book_view import BookView
from page_parts import RETAIL, fill, logged, text_of


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
    monkeypatch.setattr(book_state, "NEWEST", 5)
    fill(url, bench.data, 9)
    bench.book.refresh()
    assert (bench.book.summary.looked_at, bench.book.summary.total) == (5, 9)
    assert "newest 5 of 9 predictions" in book_html.book_heading(bench.book.summary)


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
    assert book_state._score_counts([300, 899, 900], RETAIL)[-1] == (875, 2)


def test_what_comes_from_outside_cannot_become_markup(bench, url):
    applicant = bench.applicant
    applicant.enter("income", "<img src=x>")
    assert "<img" not in score_html.hint(applicant.fields["income"], applicant.errors["income"])
    applicant.enter("income", "1000")
    applicant.enter_application_id("<script>alert(1)</script>")
    applicant.save()
    bench.book.refresh()
    table = book_html.recent_table(bench.book.summary)
    assert "<script>" not in table and "&lt;script&gt;" in table
    assert "<b>" not in words.empty("No", "<b>bold</b> `creditrisk train`")


def test_ids_in_the_table_are_whole_and_show_what_else_the_log_holds(bench, url):
    bench.applicant.save()
    bench.applicant.enter("age", "39")
    bench.applicant.save()
    bench.book.refresh()
    table, rows = book_html.recent_table(bench.book.summary), logged(url)
    for row in rows:
        assert f">{row['prediction_id']}</code>" in table and f'<td class="cr-right">{row["points"]}</td>' in table
        assert f"<td>{row['decision']}</td><td>{row['policy']}</td>" in table and row["points"] is not None
    bare = [dict(row, points=None, decision=None, policy=None) for row in rows]
    table = book_html.recent_table(replace(bench.book.summary, recent=tuple(bare)))
    assert "Points" not in table and "Policy" not in table and rows[0]["prediction_id"] in table
    table = book_html.recent_table(replace(bench.book.summary, recent=(rows[0], bare[1])))
    assert table.count("<td>–</td>") == 2 and '<td class="cr-right">–</td>' in table


def test_an_empty_book_says_what_fills_it_and_fills_without_a_reload(bench, url):
    view = BookView(bench.book)
    view.look()
    assert "call the API" in text_of(view.view)
    fill(url, bench.data, 7)
    view.refresh.click()
    shown = text_of(view.view)
    assert "call the API" not in shown and "7 predictions" in shown
    assert ("production (7)", "production") in view.purpose.options
    assert view.ratings._bars.y.sum() == view.scores._bars.y.sum() == 7
    view.purpose.value = "production"
    assert bench.book.purpose == "production"
