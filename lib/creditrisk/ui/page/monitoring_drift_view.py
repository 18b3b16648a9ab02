"""Drift on the Monitoring tab: columns over time, one of them in one check, PSI over time, and a whole report."""

from __future__ import annotations

import json

import ipywidgets as widgets

from creditrisk.ui.page import monitoring_html
from creditrisk.ui.page.download import HTML, JSON, Download
from creditrisk.ui.page.monitoring_bins import bins_of
from creditrisk.ui.page.monitoring_charts import SERIES, DistributionChart, PsiChart
from creditrisk.ui.page.monitoring_state import ColumnView, MonitoringState, ReportView, Stream
from creditrisk.ui.page.parts import classed, shown
from creditrisk.ui.page.picks import Picks
from creditrisk.ui.page.words import empty


class DriftView:
    """A model's checks: a cell of the table picks a check and a column, and everything below follows."""

    def __init__(self, state: MonitoringState, version_in_use: str) -> None:
        self._state, self._version = state, version_in_use
        self._empty, self._map_heading, self._psi_heading = (widgets.HTML() for _ in range(3))
        self._column_heading, self._legend, self._figures, self._bins = (widgets.HTML() for _ in range(4))
        self.map = Picks(self._pick, roving=True, at_end=True)
        self.table = Picks(self._pick)
        self.distribution, self.psi = DistributionChart(), PsiChart()
        self.chosen = classed(widgets.Dropdown(description="Report", options=[("none", 0)], value=0), "cr-wide")
        self.chosen.observe(self._choose, "value")
        self.json = Download("Report as JSON", "drift.json", bytes, JSON)
        self.page = Download("Report as a page", "drift.html", bytes, HTML)
        self._busy, self._in_sight = False, False
        self._column_chart, self._psi_chart = widgets.VBox(), widgets.VBox()
        self._filled = self._cards()
        self.view = classed(widgets.VBox([self._empty, *self._filled]), "cr-stack")
        state.observe(self._show, ["stream", "chosen", "column"])
        self._show()

    def _cards(self) -> list[widgets.Widget]:
        left = widgets.VBox([self._legend, self._column_chart, self._bins])
        column = classed(widgets.Box([left, self._figures]), "cr-mon-column")
        bar = classed(widgets.Box([self.chosen, self.json, self.page]), "cr-bar", "cr-mon-bar")
        return [
            classed(widgets.VBox(parts), "cr-card")
            for parts in (
                [self._map_heading, self.map],
                [self._column_heading, column],
                [self._psi_heading, self._psi_chart],
                [bar, self.table],
            )
        ]

    def look(self) -> None:
        """Draw the charts from now on."""
        self._in_sight = True
        self._show()

    def _pick(self, picked: str) -> None:
        number, _, column = picked.partition("|")
        with self._state.hold_trait_notifications():
            if number.isdigit():
                self._state.choose(int(number))
            if column:
                self._state.choose_column(column)

    def _choose(self, change) -> None:
        if not self._busy and change["new"]:
            self._state.choose(change["new"])

    def _show(self, _change=None) -> None:
        state, report, column = self._state, self._state.report, self._state.shown_column
        for part in self._filled:
            shown(part, report is not None)
        shown(self._empty, report is None)
        if report is None or state.stream is None:
            self._empty.value = empty("No drift report yet", monitoring_html.NO_CHECK.format(period=state.log.period))
            return
        self._show_map(state.stream, report, column)
        self._offer(report)
        self.table.html = monitoring_html.report_panel(report, self._version)
        self.table.current = [f"|{column.column}"] if column else []
        self._show_downloads(report)
        if column is not None:
            self._show_column(report, column)
            self._show_psi(state.stream, column)

    def _show_map(self, stream: Stream, report: ReportView, column: ColumnView | None) -> None:
        shown(self._filled[0], stream.checks)
        shown(self._filled[2], stream.checks)
        if stream.checks:
            self._map_heading.value = monitoring_html.map_heading(stream)
            self.map.html = monitoring_html.map_table(stream)
            name = column.column if column else ""
            self.map.current = [f"{report.id}|{name}", f"{report.id}|", f"|{name}"]

    def _show_column(self, report: ReportView, column: ColumnView) -> None:
        self._column_heading.value = monitoring_html.column_heading(report, column)
        self._legend.value = monitoring_html.distribution_legend(column)
        self._figures.value = monitoring_html.column_figures(column)
        self._bins.value = monitoring_html.bins_table(column)
        shown(self._column_chart, column.bins)
        if self._in_sight and column.bins:
            bins = bins_of(column)
            self.distribution.show([one.short for one in bins], [one.before for one in bins], [one.now for one in bins])
            self._column_chart.children = self._column_chart.children or [self.distribution.figure]

    def _show_psi(self, stream: Stream, column: ColumnView) -> None:
        if not stream.checks:
            return
        newest = stream.checks[0]
        names = [one.column for one in newest.columns if one.role == "score"]
        names = [*names, *([column.column] if column.column not in names else [])][: len(SERIES)]
        columns = [one for name in names if (one := newest.column(name))]
        self._psi_heading.value = monitoring_html.psi_heading(stream, columns)
        if not self._in_sight:
            return
        checks, alarms = stream.checks[::-1], stream.alarms()
        lines = [[(found := check.column(name)) and found.psi_adjusted for check in checks] for name in names]
        self.psi.show([check.name for check in checks], lines, [check.id in alarms for check in checks])
        self._psi_chart.children = self._psi_chart.children or [self.psi.figure]

    def _show_downloads(self, report: ReportView) -> None:
        name = f"drift-{report.model.version}-report-{report.id}"
        self.json.filename, self.page.filename = f"{name}.json", f"{name}.html"
        self.json.make = lambda: report_json(report)
        self.page.make = lambda: report.report.to_html(
            f"Drift report {report.id}: model {report.model.version}, {report.when:%Y-%m-%d %H:%M} UTC"
        ).encode()

    def _offer(self, report: ReportView) -> None:
        """The checks to choose from, and the report shown when it is none of them."""
        listed = {one.id: one for one in (*self._state.reports, report)}
        self._busy = True
        try:
            names = {one.id: f"{one.title} · {one.when:%Y-%m-%d %H:%M} · {one.status}" for one in listed.values()}
            options = tuple((name, number) for number, name in names.items())
            if self.chosen.options != options:
                self.chosen.options = options
            self.chosen.value = report.id
        finally:
            self._busy = False


def report_json(report: ReportView) -> bytes:
    """A report as a file: which it is, then all that it holds."""
    about = {
        "id": report.id,
        "created_at": report.when.isoformat(),
        "model_version": report.model.version,
        "model_sha256": report.model.sha256,
        "trigger": report.trigger,
    }
    return json.dumps(about | report.report.to_dict(), indent=1, ensure_ascii=False).encode()
