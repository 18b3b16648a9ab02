"""The Monitoring tab: widgets over its state, without logic of their own."""

from __future__ import annotations

import ipywidgets as widgets

from creditrisk.ui.page import monitoring_html
from creditrisk.ui.page.monitoring_drift_view import DriftView
from creditrisk.ui.page.monitoring_lists_view import AlertsView, ReportsView
from creditrisk.ui.page.monitoring_state import MonitoringState, Stream
from creditrisk.ui.page.outcomes_view import OutcomesView
from creditrisk.ui.page.parts import classed, shown
from creditrisk.ui.page.words import no_log

SECTIONS = ("Drift", "Outcomes", "Reports", "Alerts")


class MonitoringView:
    """The state of a model's stream on top, below it drift, outcomes, reports and alerts."""

    def __init__(self, state: MonitoringState, version_in_use: str) -> None:
        self._state, self._version = state, version_in_use
        self._heading, self._problem, self._verdict = (widgets.HTML() for _ in range(3))
        self.model = widgets.Dropdown(description="Model", options=[("none", None)], value=None)
        self.source = widgets.Dropdown(description="Checks", options=[("none", "")], value="")
        self.refresh = widgets.Button(description="Refresh")
        self.refresh.on_click(lambda _: self.look())
        self.model.observe(self._choose_model, "value")
        self.source.observe(self._choose_source, "value")
        self.drift = DriftView(state, version_in_use)
        self.outcomes = OutcomesView(state.outcomes)
        self.reports = ReportsView(state.listing, self._open)
        self.alerts = AlertsView(state.alerts)
        self._views = (self.drift, self.outcomes, self.reports, self.alerts)
        self.sections = classed(widgets.Tab([one.view for one in self._views], titles=SECTIONS), "cr-mon-sections")
        self.sections.observe(lambda _: self._look_at_section(), "selected_index")
        self._busy = False
        bar = classed(widgets.Box([self._heading, self.model, self.source, self.refresh]), "cr-bar")
        self._card = classed(widgets.VBox([self._verdict]), "cr-card")
        self.view = classed(widgets.VBox([bar, self._problem, self._card, self.sections]), "cr-stack")
        state.observe(self._show, "stream")
        state.log.observe(self._show, "problem")
        self._show()

    def look(self) -> None:
        """Read the log again."""
        self._state.refresh()
        self._look_at_section()

    def _look_at_section(self) -> None:
        section = self._views[self.sections.selected_index or 0]
        if section is self.outcomes:
            self._state.outcomes.refresh(self._state.stream and self._state.stream.model)
        section.look()

    def _open(self, report_id: int) -> None:
        """Show a report that was chosen from the list."""
        self._state.open(report_id)
        self.sections.selected_index = SECTIONS.index("Drift")

    def _choose_model(self, change) -> None:
        if not self._busy and change["new"]:
            self._state.choose_model(change["new"])
            self._look_at_section()

    def _choose_source(self, change) -> None:
        if not self._busy and change["new"]:
            self._state.choose_source(change["new"])

    def _show(self, _change=None) -> None:
        state, stream = self._state, self._state.stream
        self._heading.value = monitoring_html.tab_heading(state.progress)
        self._problem.value = no_log(state.log.problem)
        shown(self._problem, state.log.problem)
        has_model = stream is not None and stream.model is not None
        for part in (self._card, self.model):
            shown(part, has_model)
        shown(self.sections, stream is not None)
        shown(self.source, stream is not None and len(stream.sources) > 1)
        if has_model:
            self._verdict.value = monitoring_html.stream_panel(stream, self._version)
            self._offer(stream)

    def _offer(self, stream: Stream) -> None:
        self._busy = True
        try:
            models = tuple((one.short, one) for one in stream.models)
            if self.model.options != models:
                self.model.options = models
            self.model.value = stream.model
            sources = tuple((monitoring_html.SOURCES[one], one) for one in stream.sources) or (("none", ""),)
            if self.source.options != sources:
                self.source.options = sources
            self.source.value = stream.source
        finally:
            self._busy = False
