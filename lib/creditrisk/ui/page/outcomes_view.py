"""Outcomes on the Monitoring tab: widgets over their state, without logic of their own."""

from __future__ import annotations

import json

import ipywidgets as widgets

from creditrisk.ui.page import outcomes_html
from creditrisk.ui.page.download import JSON, Download
from creditrisk.ui.page.outcomes_charts import VintageChart
from creditrisk.ui.page.outcomes_state import Judging, OutcomesState
from creditrisk.ui.page.parts import classed, shown


class OutcomesView:
    """The report on outcomes, and the button that makes a new one from what the log holds now."""

    def __init__(self, state: OutcomesState) -> None:
        self._state = state
        self._empty, self._verdict, self._problem, self._progress = (widgets.HTML() for _ in range(4))
        self._headings = (widgets.HTML(), widgets.HTML())
        self._tables = tuple(widgets.HTML() for _ in range(4))
        self.level = VintageChart(".1%", from_zero=True)
        self.ranking = VintageChart(".2f", from_zero=False)
        self.by = widgets.Dropdown(description="Vintages", options=[("by month", "month"), ("by quarter", "quarter")])
        self.begin = widgets.Button(description="Judge now")
        self.stop = widgets.Button(description="Stop")
        self.json = Download("Outcomes as JSON", "outcomes.json", bytes, JSON)
        self._download = widgets.Box([self.json])
        self.begin.on_click(lambda _: state.begin())
        self.stop.on_click(lambda _: state.stop())
        self.by.observe(lambda change: state.judge_by(change["new"]), "value")
        self._in_sight, self._drawn = False, None
        self._bar = classed(
            widgets.Box([widgets.HTML("<h2>Outcomes</h2>"), self.by, self.begin, self.stop, self._download]), "cr-bar"
        )
        top = classed(widgets.VBox([self._bar, self._progress, self._problem, self._empty, self._verdict]), "cr-card")
        self._charts = classed(widgets.Box(), "cr-pair")
        tables = [classed(widgets.VBox([one]), "cr-card") for one in self._tables]
        self._filled = [self._charts, *tables]
        self.view = classed(widgets.VBox([top, *self._filled]), "cr-stack")
        state.observe(self._show)
        self._show()

    def look(self) -> None:
        """Draw the charts from now on."""
        self._in_sight = True
        self._show()

    def _show(self, _change=None) -> None:
        state, judging = self._state, self._state.shown
        for part in (*self._filled, self._verdict, self._download):
            shown(part, judging is not None)
        shown(self._empty, judging is None and not state.running)
        shown(self._progress, state.running)
        shown(self.stop, state.running)
        shown(self.begin, state.judges and state.has_predictions and not state.running)
        shown(self.by, state.judges and judging is not None)
        self.begin.description = "Judge again" if judging else "Judge now"
        self._progress.value = outcomes_html.progress(state) if state.running else ""
        shown(self._problem, judging is not None and state.problem)
        self._problem.value = outcomes_html.problem(state.problem)
        if judging is None:
            self._empty.value = outcomes_html.nothing_yet(state)
            return
        self._show_report(judging)

    def _show_report(self, judging: Judging) -> None:
        report = judging.report
        self._verdict.value = outcomes_html.verdict_panel(judging)
        for heading, make in zip(
            self._headings, (outcomes_html.level_heading, outcomes_html.ranking_heading), strict=True
        ):
            heading.value = make(report)
        makers = (
            outcomes_html.level_table, outcomes_html.ranking_table, outcomes_html.grades_table,
            outcomes_html.estimates_table,
        )  # fmt: skip
        for card, text, make in zip(self._filled[1:], self._tables, makers, strict=True):
            text.value = make(report)
            shown(card, text.value)
        self.json.filename = f"outcomes-{report['model_version']}-{report['as_of'][:10]}.json"
        self.json.make = lambda: json.dumps(report, indent=1, ensure_ascii=False).encode()
        any_judged = outcomes_html.is_judged(report)
        shown(self._charts, any_judged)
        if self._in_sight and any_judged and self._drawn is not judging:
            self._draw(report)
            self._drawn = judging

    def _draw(self, report) -> None:
        self.level.show(outcomes_html.level_points(report))
        self.ranking.show(outcomes_html.ranking_points(report), outcomes_html.gini_of(report["validation_auc"]))
        if not self._charts.children:
            self._charts.children = [
                classed(widgets.VBox([heading, chart.figure]), "cr-card")
                for heading, chart in zip(self._headings, (self.level, self.ranking), strict=True)
            ]
