"""Outcomes on the page."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime

import pytest

from creditrisk.monitoring.outcomes import judge
from creditrisk.serving.log import PredictionLog
from creditrisk.ui.page import outcomes_html, outcomes_state
from creditrisk.ui.page.monitoring_view import MonitoringView
from matured import AS_OF, log_matured
from page_parts import PERIOD, fill, text_of

OUTCOMES = 1


@pytest.fixture
def view(bench) -> MonitoringView:
    return MonitoringView(bench.monitoring, "v1")


def looked(view: MonitoringView) -> str:
    """What the section says when somebody looks at it."""
    view.look()
    view.sections.selected_index = OUTCOMES
    return text_of(view.outcomes.view)


def test_without_predictions_it_says_when_outcomes_are_known(view):
    assert "No predictions to follow yet" in looked(view) and "12 months after" in looked(view)


def test_outcomes_are_judged_by_themselves_where_that_is_quick(bench, url, view):
    log_matured(bench.data, url, rows=1_500)
    shown = looked(view)
    judging = bench.monitoring.outcomes.shown
    log = PredictionLog(url, PERIOD)
    expected = judge(log, bench.data).to_dict()
    log.close()
    assert not judging.stored
    assert {**judging.report, "as_of": ""} == {**expected, "as_of": ""}
    pooled = expected["cohorts"][-1]
    assert f"{pooled['defaults']:,} defaults among {pooled['n']:,} loans" in shown
    assert "Outcomes exist for granted loans only." in shown  # the warning of selection stands beside the verdict
    assert "Estimated; blind to concept drift." in shown
    level = view.outcomes.level
    lit = {light: len(mark.x) for light, mark in level._points.items()}
    assert sum(lit.values()) == sum(one["status"] == "judged" for one in expected["cohorts"]) - 1
    table = outcomes_html.level_table(expected)
    assert table.index("all judged") < table.index("2023-12") < table.index("2023-01")


def test_immature_vintages_have_no_figure(bench, url, view):
    fill(url, bench.data, 5)
    shown = looked(view)
    assert "No outcome yet" in shown and "no outcome yet: its window ends on" in shown
    assert "No vintage is judged yet." in shown
    assert all(len(mark.x) == 0 for mark in view.outcomes.level._points.values())


def test_a_riskier_portfolio_is_red_in_words(bench, url, view):
    log_matured(bench.data, url, rows=1_500, riskier=1.5)
    shown = looked(view)
    assert "Recalibrate" in shown or "Redevelop" in shown
    assert "▲ red" in shown
    assert len(view.outcomes.level._points["red"].x) > 0


def test_a_stored_report_is_shown_first_and_judging_again_takes_its_place(bench, url, view):
    log_matured(bench.data, url, rows=600)
    log = PredictionLog(url, PERIOD)
    report = judge(log, bench.data, as_of=AS_OF, by="quarter")
    log.store_outcome_report("v1", bench.data.sha256, "w", report.verdict, 1, report.to_dict())
    log.close()
    assert f"as of {AS_OF}, stored report of" in looked(view)
    assert "2023 Q1" in text_of(view.outcomes.view)
    view.outcomes.begin.click()
    shown = text_of(view.outcomes.view)
    assert f"as of {datetime.now(UTC):%Y-%m-%d}, judged on" in shown and "2023 Q1" not in shown
    view.outcomes.by.value = "quarter"
    assert "2023 Q1" in text_of(view.outcomes.view)
    looked(view)  # what was judged since is not put back by an older stored report
    assert not bench.monitoring.outcomes.shown.stored


def test_a_report_is_handed_out_as_json(bench, url, view):
    log_matured(bench.data, url, rows=600)
    looked(view)
    told = json.loads(view.outcomes.json.make())
    assert told["verdict"] == bench.monitoring.outcomes.shown.report["verdict"]
    assert view.outcomes.json.filename == f"outcomes-v1-{told['as_of'][:10]}.json"


def test_a_large_log_waits_to_be_asked_and_a_huge_one_is_left_to_the_command(bench, url, view, monkeypatch):
    log_matured(bench.data, url, rows=300)
    monkeypatch.setattr(outcomes_state, "BY_ITSELF", 100)
    assert "300 production predictions are to be read" in looked(view)
    monkeypatch.setattr(outcomes_state, "MOST", 200)
    view.outcomes.begin.click()
    assert "creditrisk outcomes -p model v1" in text_of(view.outcomes.view)
    monkeypatch.setattr(outcomes_state, "MOST", 300)
    view.outcomes.begin.click()
    assert bench.monitoring.outcomes.shown is not None


def test_judging_aside_tells_how_far_it_is_and_can_be_stopped(bench, url, view, monkeypatch):
    log_matured(bench.data, url, rows=600)
    monkeypatch.setattr(outcomes_state, "BY_ITSELF", 0)
    monkeypatch.setattr(outcomes_state, "SECONDS", 0.01)
    monkeypatch.setattr("creditrisk.monitoring.cohorts.PAGE", 100)
    looked(view)
    state, seen = bench.monitoring.outcomes, []
    state.observe(lambda change: seen.append(change["new"]), "read")

    async def begin(stop: bool) -> str:
        state.begin()
        assert state.running and state.begin() is None  # a second click does nothing
        said = text_of(view.outcomes.view)
        if stop:
            view.outcomes.stop.click()
        await state._task
        return said

    assert "Reading predictions and their outcomes: 0 of 600." in asyncio.run(begin(stop=True))
    assert "Stopped before all predictions were read" in text_of(view.outcomes.view) and state.shown is None
    asyncio.run(begin(stop=False))
    assert state.shown is not None and not state.running and seen[-1] == 600


def test_predictions_of_scored_files_are_judged_when_asked(bench, url, view):
    fill(url, bench.data, 5, "file")
    assert "Predictions of scored files are to be read" in looked(view)
    view.outcomes.begin.click()
    assert bench.monitoring.outcomes.shown.report["cohorts"][0]["predictions"] == 5


def test_what_goes_wrong_in_judging_is_said(bench, url, view, monkeypatch):
    fill(url, bench.data, 5)

    def broken(*_, **__):
        raise OSError("disk <full>")

    monkeypatch.setattr(outcomes_state, "judge", broken)
    looked(view)
    assert "disk &lt;full&gt;" in text_of(view.outcomes.view)
