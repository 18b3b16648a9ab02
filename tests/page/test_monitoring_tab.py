"""Drift, reports and alerts on the page."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
import sqlalchemy as sa

from creditrisk.errors import LogError
from creditrisk.monitoring.checks import check_rows, report_record, run_due_checks
from creditrisk.monitoring.drift import Bin
from creditrisk.serving import alert_log
from creditrisk.serving.alert_log import Judged
from creditrisk.serving.log import PredictionLog
from creditrisk.serving.model import load_model
from creditrisk.ui.page.monitoring_bins import bins_of, chance_of
from creditrisk.ui.page.monitoring_drift_view import report_json
from creditrisk.ui.page.monitoring_html import map_table, stream_box
from creditrisk.ui.page.monitoring_view import MonitoringView
from page_parts import PERIOD, fill, text_of

WINDOW = 60
"""Enough rows of a window to compare it; the tests of the tab check so many by hand."""


def aged(frame) -> None:
    frame["age"] = 9_000


def richer(frame) -> None:
    frame["income"] *= 50


def by_hand(url, data, changes) -> list[int]:
    """Reports of windows of WINDOW what-ifs, one a change, oldest first."""
    log = PredictionLog(url, PERIOD)
    about = {"model_version": data.version, "model_sha256": data.sha256, "trigger": "notebook"}
    ids = []
    for number, change in enumerate(changes):
        fill(url, data, WINDOW, "what_if", change)
        rows = log.window(data.version, data.sha256, WINDOW, ["what_if"])
        ids.append(log.store_report(report_record(check_rows(data, rows)), window_key=f"w{number}", **about))
    log.close()
    return ids


def by_itself(url, data, changes) -> None:
    """Automatic checks of windows of WINDOW production predictions, one a change."""
    for change in changes:
        fill(url, data, WINDOW, change=change, period=WINDOW)
    log = PredictionLog(url, WINDOW)
    run_due_checks(log, lambda check: data, "test")
    log.close()


def test_the_newest_report_is_shown_and_a_choice_stays_when_others_come_in(bench, url):
    first, second = by_hand(url, bench.data, [None, aged])
    monitoring = bench.monitoring
    monitoring.refresh()
    assert [report.id for report in monitoring.reports] == [second, first]
    assert monitoring.report.id == second and monitoring.report.status == "red"
    worst = monitoring.shown_column
    assert (worst.label, worst.status) == ("Age", "red") and worst.z > 3
    assert monitoring.report.verdict.startswith("Age: extreme mean shift")
    monitoring.choose(first)
    monitoring.choose_column("income")
    by_hand(url, bench.data, [None, aged, aged])
    monitoring.refresh()
    assert len(monitoring.reports) == 3
    assert monitoring.report.id == first and monitoring.shown_column.column == "income"
    monitoring.choose(0)
    assert monitoring.report.id == monitoring.reports[0].id


def test_progress_towards_the_next_check_counts_this_model_only(bench, url, models):
    fill(url, load_model("v2", models.folder), 3)
    fill(url, bench.data, PERIOD + 1)
    bench.monitoring.refresh()
    assert bench.monitoring.progress.startswith(f"1 of {PERIOD} production predictions of model v1")
    assert "1 due and not yet run" in bench.monitoring.progress
    assert [model.version for model in bench.monitoring.stream.models] == ["v1", "v2"]


def test_monitoring_without_reports_says_what_makes_one(bench):
    shown = text_of(MonitoringView(bench.monitoring, "v1").view)
    assert "No drift report yet" in shown and f"0 of {PERIOD} production predictions" in shown
    assert "No automatic check yet" in shown


def test_one_flagged_check_is_amber_and_two_in_a_row_are_red(bench, url):
    monitoring = bench.monitoring
    by_itself(url, bench.data, [None, aged])
    monitoring.refresh()
    assert (monitoring.stream.status, monitoring.stream.run) == ("amber", 1)
    assert monitoring.stream.alarms() == frozenset()
    assert "Amber" in stream_box(monitoring.stream) and "Age" in stream_box(monitoring.stream)
    by_itself(url, bench.data, [aged])
    monitoring.refresh()
    assert (monitoring.stream.status, monitoring.stream.run) == ("red", 2)
    assert monitoring.stream.alarms() == {monitoring.reports[0].id}
    assert "the last 2 checks in a row were flagged" in stream_box(monitoring.stream)
    by_itself(url, bench.data, [None])
    monitoring.refresh()
    assert monitoring.stream.status == "green" and "Nothing to do" in stream_box(monitoring.stream)


def test_the_table_of_checks_has_a_sign_a_name_and_a_place_for_every_column_and_check(bench, url):
    by_itself(url, bench.data, [None, richer])
    bench.monitoring.refresh()
    stream = bench.monitoring.stream
    table = map_table(stream)
    newest, before = stream.checks
    assert re.search(rf'aria-label="red, PSI [\d.]+" data-pick="{newest.id}\|income">▲</button>', table)
    assert re.search(rf'aria-label="green, PSI [\d.]+" data-pick="{before.id}\|income">·</button>', table)
    assert f'data-pick="{newest.id}|"' in table and 'data-pick="|income"' in table
    rows = re.findall(r'<tr><th scope="row"><button [^>]*>(.+?)</button>', table)
    assert rows[:2] == ["Credit score", "Default probability"]  # the model's results have rows of their own
    flagged = [one.label for one in newest.columns if one.flagged and one.role == "input"]
    assert "Yearly income" in flagged and set(rows[2 : 2 + len(flagged)]) == set(flagged)  # what was flagged is on top
    assert len(rows) == len(newest.columns)
    assert table.count("data-pick") == len(rows) * 2 + 2 + len(rows)


def test_names_from_outside_are_escaped_everywhere(bench, url):
    by_itself(url, bench.data, [None])
    monitoring = bench.monitoring
    monitoring.refresh()
    bad = '<script>"x"&'
    report = monitoring.reports[0]
    column = replace(report.columns[0], column=bad, label=bad, reason=bad, bins=(Bin(bad, 1, 1, 0.0),), kind="category")
    broken = replace(report, columns=(column,), verdict=bad, model=report.model._replace(version=bad))
    monitoring._known[report.id] = broken
    monitoring.stream = replace(
        monitoring.stream,
        checks=(broken,),
        newest=broken,
        model=broken.model,
        models=(broken.model,),
        failed=((3, bad),),
    )
    view = MonitoringView(monitoring, bad)
    view.drift.look()
    for part in (text_of(view.view), view.drift.map.html, view.drift.table.html):
        assert "<script>" not in part and "&lt;script&gt;" in part


def test_picking_a_cell_shows_that_column_of_that_check(bench, url):
    by_itself(url, bench.data, [None, aged])
    view = MonitoringView(bench.monitoring, "v1")
    view.look()
    newest, before = bench.monitoring.reports
    view.drift.map.pick(f"{before.id}|income")
    assert bench.monitoring.report.id == before.id and bench.monitoring.shown_column.column == "income"
    assert view.drift.map.current == [f"{before.id}|income", f"{before.id}|", "|income"]
    shown = text_of(view.drift.view)
    assert f"Check {before.window}: {WINDOW} predictions against" in shown and "PSI by chance alone" in shown
    assert f"Drift report {before.id}" in view.drift.table.html
    assert view.drift.chosen.value == before.id
    view.drift.table.pick("|age")  # of a report's table: the column only
    assert (bench.monitoring.report.id, bench.monitoring.shown_column.column) == (before.id, "age")
    view.drift.map._told(None, {"pick": "no such|thing"}, [])  # whatever a client sends
    view.drift.map._told(None, {"pick": "999999|"}, [])
    view.drift.map._told(None, "nonsense", [])
    assert bench.monitoring.report.id == before.id


def test_shares_and_the_chart_are_those_of_the_report(bench, url):
    by_itself(url, bench.data, [aged])
    view = MonitoringView(bench.monitoring, "v1")
    view.look()
    column = bench.monitoring.shown_column
    assert column.column == "age"
    bins = bins_of(column)
    assert sum(one.before for one in bins) == pytest.approx(1) and sum(one.now for one in bins) == pytest.approx(1)
    bars = view.drift.distribution._bars
    assert list(bars.x) == [one.short for one in bins]
    assert bars.y[1].tolist() == [one.now for one in bins]
    assert max(bins, key=lambda one: one.now).now == 1.0 and bins[-1].name == "missing"
    noise = (len(bins) - 1 - (bins[-1].before == bins[-1].now == 0)) * (
        1 / column.n + 1 / sum(b.before for b in column.bins)
    )
    assert chance_of(column) == pytest.approx(noise)
    assert column.psi_adjusted == pytest.approx(column.psi - noise)


def test_bins_are_named_so_that_neighbours_of_a_single_value_are_clear(bench, url):
    by_itself(url, bench.data, [None])
    bench.monitoring.refresh()
    column = bench.monitoring.reports[0].columns[0]
    names = ["below 0", "exactly 0", "4.941e-324 to 0.8065", "0.8065 to 1,417,000", "1,417,000 or more", "missing"]
    renamed = replace(column, kind="number", bins=tuple(Bin(name, i, 1, 0.0) for i, name in enumerate(names)))
    assert [(one.name, one.short) for one in bins_of(renamed)] == [
        ("below 0", "< 0"),
        ("exactly 0", "= 0"),
        ("above 0 to 0.8065", ">0–0.806"),
        ("0.8065 to 1,417,000", "0.806–1.42M"),
        ("1,417,000 or more", "≥ 1.42M"),
        ("missing", "missing"),
    ]
    between = ["exactly 1", "1 to 2", "exactly 2", "2 or more"]
    renamed = replace(column, kind="number", bins=tuple(Bin(name, 1, 1, 0.0) for name in between))
    assert [one.name for one in bins_of(renamed)] == ["exactly 1", "above 1 to below 2", "exactly 2", "above 2"]


def test_checks_that_failed_are_named_with_their_cause(bench, url):
    fill(url, bench.data, PERIOD)
    log = PredictionLog(url, PERIOD)
    log.fail_check(log.claim_check("worker"), "4 of its <4> predictions are gone", final=True)
    log.close()
    bench.monitoring.refresh()
    shown = text_of(MonitoringView(bench.monitoring, "v1").view)
    assert "1 failed for good" in shown and "Check 1 failed: 4 of its &lt;4&gt; predictions are gone" in shown


def test_reports_of_another_model_and_of_other_sources_can_be_looked_at(bench, url, models):
    other = load_model("v2", models.folder)
    by_itself(url, bench.data, [None])
    by_hand(url, bench.data, [aged])
    by_itself(url, other, [aged])
    monitoring = bench.monitoring
    monitoring.refresh()
    assert monitoring.stream.model.version == "v1" and monitoring.stream.sources == ("automatic", "notebook")
    assert [report.trigger for report in monitoring.reports] == ["automatic"]
    monitoring.choose_source("notebook")
    assert [report.trigger for report in monitoring.reports] == ["notebook"]
    assert monitoring.stream.status == "green"  # the verdict is that of the automatic checks
    assert monitoring.stream.newest.trigger == "automatic"
    monitoring.choose_model(monitoring.stream.models[1])
    assert monitoring.reports[0].model.version == "v2" and monitoring.stream.status == "amber"
    shown = text_of(MonitoringView(monitoring, "v1").view)
    assert "this page scores with v1" in shown
    by_hand_of_v1 = monitoring.log.ask(lambda log: log.reports(limit=1, trigger="notebook"))[0]["id"]
    monitoring.open(by_hand_of_v1)
    stream = monitoring.stream
    assert (stream.model.version, stream.source, monitoring.report.id) == ("v1", "notebook", by_hand_of_v1)


def test_reports_are_listed_filtered_and_opened(bench, url):
    by_itself(url, bench.data, [None, aged])
    by_hand(url, bench.data, [aged])
    view = MonitoringView(bench.monitoring, "v1")
    view.look()
    view.sections.selected_index = 2
    rows = json.loads(view.reports.grid.rows)
    assert len(rows) == 3 and "▲ red" in rows[0][3]["read"]
    view.reports.trigger.value = "automatic"
    view.reports.status.value = "green"
    (row,) = json.loads(view.reports.grid.rows)
    view.reports.grid.chosen = row[0]
    assert bench.monitoring.stream.source == "automatic"
    assert view.sections.selected_index == 0 and str(bench.monitoring.report.id) == row[0]
    view.sections.selected_index = 2
    view.reports.status.value = "insufficient data"
    assert "No drift report" in text_of(view.reports.view)


def test_a_report_is_handed_out_whole(bench, url):
    by_itself(url, bench.data, [aged])
    view = MonitoringView(bench.monitoring, "v1")
    view.look()
    report = bench.monitoring.report
    told = json.loads(view.drift.json.make())
    assert told == json.loads(report_json(report))
    assert told["id"] == report.id and told["status"] == "red" and told["flagged"] == list(report.report.flagged)
    assert told["model_sha256"] == bench.data.sha256
    page = view.drift.page.make().decode()
    assert page.startswith("<!doctype html>") and f"Drift report {report.id}" in page
    assert view.drift.page.filename == f"drift-v1-report-{report.id}.html"


def test_alerts_say_who_has_them_and_why_others_do_not(bench, url, monkeypatch):
    monkeypatch.delenv("CREDITRISK_ALERT_URLS", raising=False)
    view = MonitoringView(bench.monitoring, "v1")
    view.look()
    view.sections.selected_index = 3
    shown = text_of(view.alerts.view)
    assert "No alerts yet" in shown and "CREDITRISK_ALERT_URLS" in shown
    log = PredictionLog(url, PERIOD)
    red = Judged("red", lambda _: ("drift <v1>", "look & see"))
    alert_log.decide(log, "drift:v1", lambda _: red)
    alert = alert_log.claim(log, "worker", 60)
    alert_log.finish(log, alert, ["Slack"], "E-Mail: no answer")
    log.close()
    view.look()
    shown = text_of(view.alerts.view)
    assert "drift &lt;v1&gt;" in shown and "look &amp; see" in shown
    assert "to Slack" in shown and "E-Mail: no answer" in shown and "to be sent" in shown


def test_a_log_that_is_away_says_so_keeps_what_was_read_and_recovers(bench, url, monkeypatch):
    by_itself(url, bench.data, [None])
    view = MonitoringView(bench.monitoring, "v1")
    view.look()

    def away(*_):
        raise LogError("prediction log: no route to <host>")

    with monkeypatch.context() as broken:
        broken.setattr(PredictionLog, "counters", away)
        view.look()
        shown = text_of(view.view)
        assert "The prediction log cannot be read" in shown and "no route to &lt;host&gt;" in shown
        assert "Drift report" in view.drift.table.html
    view.look()
    assert "cannot be read" not in text_of(view.view)


def test_looking_again_reads_no_report_twice(bench, url):
    by_itself(url, bench.data, [None, aged])
    bench.monitoring.refresh()
    asked = []
    log = bench.monitoring.log
    log.ask(lambda log: sa.event.listen(log._reader, "before_cursor_execute", lambda *a: asked.append(a[2])))
    bench.monitoring.refresh()
    assert asked and not [one for one in asked if "drift_reports.report" in one]
