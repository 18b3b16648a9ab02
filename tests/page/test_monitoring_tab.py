"""Drift reports on the page."""

from __future__ import annotations

from creditrisk.monitoring.checks import check_rows, report_record
from creditrisk.serving.log import PredictionLog
from creditrisk.serving.model import load_model
from creditrisk.ui.page.monitoring_view import MonitoringView
from page_parts import PERIOD, fill, text_of


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


def test_monitoring_without_reports_says_what_makes_one(bench):
    shown = text_of(MonitoringView(bench.monitoring, "v1").view)
    assert "No drift report yet" in shown and f"0 of {PERIOD} production predictions" in shown
