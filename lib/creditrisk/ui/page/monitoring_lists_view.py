"""Lists of the Monitoring tab: drift reports to browse, and the alerts that people were sent."""

from __future__ import annotations

from collections.abc import Callable

import ipywidgets as widgets
import pandas as pd

from creditrisk.monitoring.drift import STATUSES
from creditrisk.serving.records import TRIGGERS
from creditrisk.ui.page import monitoring_lists_html
from creditrisk.ui.page.grid import Column, Grid
from creditrisk.ui.page.monitoring_alerts_state import AlertsState
from creditrisk.ui.page.monitoring_html import SOURCES
from creditrisk.ui.page.monitoring_lists_html import status_words
from creditrisk.ui.page.monitoring_reports_state import REPORTS, ReportsState
from creditrisk.ui.page.parts import classed, shown
from creditrisk.ui.page.words import empty

COLUMNS = (
    Column("id", "Report", right=True),
    Column("created_at", "Time (UTC)", "{:%Y-%m-%d %H:%M}".format),
    Column("status", "Verdict", status_words, markup=True),
    Column("flagged", "Flagged", right=True),
    Column("n", "Predictions", "{:,}".format, right=True),
    Column("model", "Model"),
    Column("trigger", "Made", lambda trigger: SOURCES.get(trigger, trigger), roomy=True),
    Column("window_key", "Window", lambda key: key.replace("bucket-", "check "), roomy=True),
)
NOTHING = "Change the filters above, or let `creditrisk serve`, `creditrisk score` or `creditrisk drift` make some."


class ReportsView:
    """All drift reports, filtered; `opened` is told the id of the one that is chosen."""

    def __init__(self, state: ReportsState, opened: Callable[[int], None]) -> None:
        self._state, self._opened = state, opened
        self._heading, self._empty = widgets.HTML(), widgets.HTML()
        self.version = widgets.Dropdown(description="Model", options=[("all", "")], value="")
        self.trigger = _offered("Made", [("all", ""), *((SOURCES[one], one) for one in TRIGGERS)])
        self.status = _offered("Verdict", [("all", ""), *((one, one) for one in STATUSES)])
        for name in ("version", "trigger", "status"):
            getattr(self, name).observe(self._filter, "value")
        self.grid = Grid("Drift reports", COLUMNS, key="id", page=25)
        self.grid.observe(self._choose, "chosen")
        self._busy = False
        bar = classed(widgets.Box([self.version, self.trigger, self.status]), "cr-bar", "cr-mon-bar")
        self._rows = widgets.VBox([self.grid])
        self.view = classed(widgets.VBox([self._heading, bar, self._empty, self._rows]), "cr-card")
        state.observe(self._show, "rows")

    def look(self) -> None:
        """Read the log again."""
        self._state.refresh()

    def _choose(self, change) -> None:
        if change["new"]:
            self._opened(int(change["new"]))
            self.grid.chosen = ""

    def _filter(self, _change) -> None:
        if not self._busy:
            self._state.filter(version=self.version.value, trigger=self.trigger.value, status=self.status.value)

    def _show(self, _change=None) -> None:
        rows = self._state.rows or ()
        self._offer()
        self._heading.value = monitoring_lists_html.reports_heading(len(rows), REPORTS)
        shown(self._rows, rows)
        shown(self._empty, not rows)
        self._empty.value = empty("No drift report", NOTHING)
        table = pd.DataFrame(list(rows), columns=[one.name for one in COLUMNS if one.name != "model"])
        table["model"] = [f"{row['model_version']} ({row['model_sha256'][:8]})" for row in rows]
        self.grid.show(table)

    def _offer(self) -> None:
        options = (("all", ""), *((one, one) for one in self._state.versions))
        if self.version.options != options:
            self._busy = True
            try:
                self.version.options = options
                self.version.value = self._state.version
            finally:
                self._busy = False


def _offered(name: str, options: list[tuple[str, str]]) -> widgets.Dropdown:
    return widgets.Dropdown(description=name, options=options, value="")


class AlertsView:
    """What people were told of, and how to tell somebody."""

    def __init__(self, state: AlertsState) -> None:
        self._state = state
        self._heading, self._table = widgets.HTML(), widgets.HTML()
        self.all = widgets.Checkbox(description="Also changes that nobody was told of", indent=False)
        self.all.layout.width = "auto"
        self.all.observe(lambda change: state.show_all(change["new"]), "value")
        self.view = classed(widgets.VBox([self._heading, self.all, self._table]), "cr-card")
        state.observe(self._show, "alerts")

    def look(self) -> None:
        """Read the log again."""
        self._state.refresh()

    def _show(self, _change=None) -> None:
        self._heading.value = monitoring_lists_html.alerts_heading(self._state.has_receivers)
        self._table.value = monitoring_lists_html.alerts_table(self._state.alerts or ())
