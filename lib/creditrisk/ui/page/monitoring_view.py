"""The Monitoring tab: widgets over its state, without logic of their own."""

from __future__ import annotations

import ipywidgets as widgets

from creditrisk.ui.page import monitoring_html
from creditrisk.ui.page.monitoring_state import MonitoringState
from creditrisk.ui.page.parts import classed, shown
from creditrisk.ui.page.words import empty, no_log

NO_REPORTS = "Every full {} of production predictions is checked by itself; `creditrisk drift` checks at any time."


class MonitoringView:
    """The newest drift report, or an earlier one that was chosen."""

    def __init__(self, state: MonitoringState, version_in_use: str) -> None:
        self._state, self._version = state, version_in_use
        self._heading, self._report, self._table, self._empty = (widgets.HTML() for _ in range(4))
        self.chosen = classed(widgets.Dropdown(description="Report", options=[("none", 0)], value=0), "cr-wide")
        self.refresh = widgets.Button(description="Refresh")
        self.refresh.on_click(lambda _: state.refresh())
        self._busy = False
        self.chosen.observe(self._choose, "value")
        bar = classed(widgets.Box([self._heading, self.chosen, self.refresh]), "cr-bar")
        self._filled = [classed(widgets.VBox([part]), "cr-card") for part in (self._report, self._table)]
        self.view = classed(widgets.VBox([bar, self._empty, *self._filled]), "cr-stack")
        state.observe(self._show, ["reports", "chosen", "progress"])
        state.log.observe(self._show, "problem")
        self._show()

    def look(self) -> None:
        """Read the log again."""
        self._state.refresh()

    def _choose(self, change) -> None:
        if not self._busy and change["new"]:
            self._state.choose(change["new"])

    def _show(self, _change=None) -> None:
        state, report = self._state, self._state.report
        self._heading.value = f'<h2>Drift</h2><p class="cr-soft">{state.progress}</p>'
        for part in (*self._filled, self.chosen):
            shown(part, report is not None)
        shown(self._empty, report is None)
        if report is None:
            nothing = empty("No drift report yet", NO_REPORTS.format(state.log.period))
            self._empty.value = no_log(state.log.problem) or nothing
            return
        self._offer()
        self._report.value = monitoring_html.report_panel(report, self._version)
        self._table.value = monitoring_html.reports_table(state.reports, report)

    def _offer(self) -> None:
        self._busy = True
        try:
            options = [(f"{r.id} · {r.when:%Y-%m-%d %H:%M} · {r.status}", r.id) for r in self._state.reports]
            if self.chosen.options != tuple(options):
                self.chosen.options = options
            self.chosen.value = self._state.report.id
        finally:
            self._busy = False
