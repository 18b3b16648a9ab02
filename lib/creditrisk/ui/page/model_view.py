"""The Model tab: widgets over its state, without logic of their own."""

from __future__ import annotations

from collections.abc import Callable
from html import escape

import ipywidgets as widgets

from creditrisk.binning.sql import DIALECTS
from creditrisk.errors import DataError
from creditrisk.ui.page import model_figures_html as figures_html
from creditrisk.ui.page import model_files, model_html
from creditrisk.ui.page.download import CSV, HTML, JSON, Download
from creditrisk.ui.page.grid import Column, Grid
from creditrisk.ui.page.model_bins import bin_rows
from creditrisk.ui.page.model_charts import BinChart, CalibrationChart
from creditrisk.ui.page.model_report import ReportPanel
from creditrisk.ui.page.model_runs import Run
from creditrisk.ui.page.model_state import ModelState, Shown
from creditrisk.ui.page.parts import classed, shown
from creditrisk.ui.page.words import empty, percent

REPORT = "report.html"


class ModelView:
    """A model of the manifest: its card, figures, calibration, variables, scale, history and documents."""

    def __init__(self, state: ModelState) -> None:
        self._state = state
        self._busy = self._in_sight = False
        self._heading, self._progress, self._problem = widgets.HTML(), widgets.HTML(), widgets.HTML()
        self.model = classed(widgets.Dropdown(description="Version", options=[("none", "")], value=""), "cr-wide")
        self.model.observe(self._choose, "value")
        bar = classed(widgets.Box([self._heading, self.model]), "cr-bar")
        self._facts = Facts()
        self._documents = Files(state)
        self._curve = Calibration(state)
        self._variables = Variables(state)
        card = self._facts.part
        self._filled = widgets.VBox(
            [
                widgets.HTML(model_html.contents()),
                _card(card["card"], self._documents.files),
                classed(_pair(_card(card["validation"], self._documents.reports), _card(card["gate"])), "cr-uneven"),
                _card(card["metrics"]),
                _pair(self._curve.view, _card(card["cut_off"])),
                _card(card["attempts"]),
                self._variables.view,
                _card(card["grades"]),
                _card(card["history"]),
                _pair(_card(card["use"]), _card(card["libraries"])),
                self._documents.panel,
            ]
        )
        classed(self._filled, "cr-stack")
        self.view = classed(widgets.VBox([bar, self._progress, self._problem, self._filled]), "cr-stack", "cr-model")
        state.observe(self._offer, ["listed", "chosen"])
        state.observe(self._show, ["shown", "busy", "problem", "judging", "unjudged", "evidence"])
        self._offer()
        self._show()

    def look(self) -> None:
        """Draw the charts from now on, and read the manifest again."""
        self._in_sight = True
        self._state.refresh()
        self._show()

    def _choose(self, change) -> None:
        if not self._busy and change["new"]:
            self._state.choose(change["new"])

    def _offer(self, _change=None) -> None:
        self._busy = True
        try:
            options = tuple((one.label, one.key) for one in self._state.listed)
            if options and self.model.options != options:
                self.model.options = options
            if any(key == self._state.chosen for _, key in options):
                self.model.value = self._state.chosen
        finally:
            self._busy = False

    def _show(self, change=None) -> None:
        state = self._state
        self._heading.value = model_html.heading(state.shown)
        self._progress.value = model_html.progress(state.busy)
        self._problem.value = empty("This model cannot be shown", state.problem) if state.problem else ""
        shown(self._progress, state.busy)
        shown(self._problem, state.problem)
        shown(self._filled, state.shown is not None and not state.problem)
        if state.shown is None:
            return
        if change is None or change["name"] in ("shown", "evidence"):
            self._facts.show(state.shown, state.evidence)
            self._documents.show(state.shown)
            self._variables.show(draw=self._in_sight)
        self._curve.show(draw=self._in_sight)


def _card(*parts: widgets.Widget) -> widgets.VBox:
    return classed(widgets.VBox(parts), "cr-card")


def _pair(*parts: widgets.Widget) -> widgets.Box:
    return classed(widgets.Box(parts), "cr-pair")


class Facts:
    """The parts of the tab that are only read."""

    def __init__(self) -> None:
        names = (
            "card",
            "validation",
            "gate",
            "metrics",
            "cut_off",
            "attempts",
            "grades",
            "history",
            "use",
            "libraries",
        )
        self.part = {name: widgets.HTML() for name in names}

    def show(self, model: Shown, evidence) -> None:
        own = ("card", "validation", "gate", "history", "use", "libraries")
        found = {name: getattr(model_html, name)(model) for name in own}
        found |= {name: getattr(figures_html, name)(model) for name in ("metrics", "cut_off", "attempts")}
        found["grades"] = figures_html.grades(model, evidence)
        for name, html in found.items():
            self.part[name].value = html


class Calibration:
    """The calibration curve, or what has to be done for it."""

    def __init__(self, state: ModelState) -> None:
        self._state = state
        self.chart = CalibrationChart()
        self._heading, self._progress, self._problem, self._table = (widgets.HTML() for _ in range(4))
        self.judge = widgets.Button(description="Draw from the test rows")
        self.judge.on_click(lambda _: state.judge())
        self._room = widgets.VBox()
        parts = [self._heading, self._progress, self._problem, self.judge, self._room, self._table]
        self.view = classed(widgets.VBox(parts), "cr-card", "cr-curve")

    def show(self, draw: bool) -> None:
        """Follow the state; the chart is drawn once somebody looks."""
        state = self._state
        self._heading.value = figures_html.calibration_heading(
            state.evidence, state.shown is not None and "judged" in state.shown.data.metrics
        )
        self._progress.value = model_html.progress(state.judging)
        self._problem.value = empty("The curve cannot be drawn", state.unjudged) if state.unjudged else ""
        shown(self._progress, state.judging)
        shown(self._problem, state.unjudged and not state.judging)
        shown(self.judge, state.evidence is None and not state.judging)
        shown(self._room, state.evidence is not None)
        shown(self._table, state.evidence is not None)
        if state.evidence is not None and draw:
            self.chart.show(state.evidence.curve)
            self._table.value = figures_html.curve_table(state.evidence)
            if not self._room.children:
                self._room.children = [self.chart.figure]


class Variables:
    """What the model reads: weights, the bins of one variable, and the points of a scorecard."""

    def __init__(self, state: ModelState) -> None:
        self._state = state
        self._busy = self._draw = False
        self.chart = BinChart()
        self._weights, self._heading, self._table, self._points = (widgets.HTML() for _ in range(4))
        self.variable = classed(widgets.Dropdown(description="Variable", options=[("none", "")], value=""), "cr-wide")
        self.variable.observe(self._choose, "value")
        title = widgets.HTML('<h2 id="model-bins">Bins of a variable</h2>')
        bar = classed(widgets.Box([title, self.variable]), "cr-bar")
        self._room = widgets.VBox()
        self.card = Grid("Scorecard points", _CARD, page=25)
        self._card = _card(self._points, self.card)
        self.view = classed(
            widgets.VBox([_card(self._weights), _card(bar, self._heading, self._room, self._table), self._card]),
            "cr-stack",
        )
        state.observe(lambda _: self.show_bins(), "variable")

    def _choose(self, change) -> None:
        if not self._busy and change["new"]:
            self._state.look_at(change["new"])

    def show(self, draw: bool) -> None:
        """Follow the model; charts are drawn once somebody looks."""
        model = self._state.shown
        self._busy, self._draw = True, draw
        try:
            options = tuple((one.label, one.name) for one in model.variables)
            if self.variable.options != options:
                self.variable.options = options
            self.variable.value = self._state.variable
        finally:
            self._busy = False
        self._weights.value = figures_html.weights(model, self._state.evidence)
        shown(self._card, model.data.card is not None)
        if model.data.card is not None:
            self._points.value = figures_html.card_heading(model)
            self.card.show(figures_html.card_frame(model))
        self.show_bins()

    def show_bins(self) -> None:
        """The bins of the variable that is looked at."""
        state, model = self._state, self._state.shown
        if model is None or all(one.name != state.variable for one in model.variables):
            return
        rows = bin_rows(model.data, state.variable, state.evidence)
        self._heading.value = figures_html.bins_heading(model, state.variable, state.evidence)
        self._table.value = figures_html.bins_table(model, rows, state.evidence)
        if self._draw:
            self.chart.show(rows)
            if not self._room.children:
                self._room.children = [self.chart.figure]


def signed(form: str) -> Callable[[float], str]:
    """Writes a number with a true minus sign."""
    return lambda value: form.format(value).replace("-", "−")


_CARD = (
    Column("variable", "Variable"),
    Column("bin", "Bin"),
    Column("share", "Share of rows", "{:.1%}".format, right=True, roomy=True),
    Column("rate", "Bad rate", percent, right=True, roomy=True),
    Column("woe", "WOE", signed("{:+.3f}"), right=True, roomy=True),
    Column("points", "Points", signed("{:.0f}"), right=True),
)


class Files:
    """What can be opened and saved: reports of runs, the card, the scorecard."""

    def __init__(self, state: ModelState) -> None:
        self._state = state
        self.panel = ReportPanel()
        self.open_validation = widgets.Button(description="Open the validation report", button_style="primary")
        self.open_training = widgets.Button(description="Open the training report")
        self.open_validation.on_click(lambda _: self._open(self._run("validation"), "Validation report"))
        self.open_training.on_click(lambda _: self._open(self._run("training"), "Training report"))
        self.save_validation = Download("Save", REPORT, lambda: self._run("validation").read(REPORT), HTML)
        self._said = widgets.HTML()
        self._of_validation = classed(widgets.Box([self.open_validation, self.save_validation]), "cr-actions")
        opened = classed(widgets.Box([self.open_training]), "cr-actions")
        self.reports = widgets.VBox([self._of_validation, opened, self._said])
        self.card = Download("Model card, JSON", "card.json", self._card_json, JSON)
        self.weights = Download("Weights, CSV", "weights.csv", self._weights, CSV)
        self.csv = Download("Scorecard, CSV", "scorecard.csv", self._scorecard, CSV)
        self.xlsx = Download("Scorecard, Excel", "scorecard.xlsx", self._workbook, model_files.XLSX)
        self.dialect = widgets.Dropdown(description="SQL dialect", options=list(DIALECTS))
        self.sql = Download("Scorecard, SQL", "scorecard.sql", self._statement, model_files.SQL)
        self._of_card = classed(
            widgets.Box([self.csv, self.xlsx, classed(widgets.Box([self.dialect, self.sql]), "cr-one")]), "cr-actions"
        )
        self.files = widgets.VBox([classed(widgets.Box([self.card, self.weights]), "cr-actions"), self._of_card])

    def show(self, model: Shown) -> None:
        """Offer what there is for this model."""
        data, documents = model.data, model.documents
        validated, trained = (_has_report(run) for run in (documents.validation, documents.training))
        shown(self._of_validation, validated)
        shown(self.open_training, trained)
        self._said.value = model_html.training_missing(documents, str(data.training.get("run", "")))
        shown(self._of_card, data.card is not None)
        name = f"{data.portfolio.name}-{data.version}-{data.sha256[:8]}"
        self.card.filename, self.weights.filename = f"{name}-card.json", f"{name}-weights.csv"
        self.csv.filename, self.xlsx.filename = f"{name}-scorecard.csv", f"{name}-scorecard.xlsx"
        self.sql.filename, self.save_validation.filename = f"{name}-scorecard.sql", f"{name}-validation.html"

    def _run(self, which: str) -> Run | None:
        return getattr(self._state.shown.documents, which)

    def _open(self, run: Run | None, title: str) -> None:
        model = self._state.shown
        if run is None:
            return
        try:
            html = run.read(REPORT).decode("utf-8", "replace")
        except DataError as problem:
            self._said.value = f'<p class="cr-error">{escape(str(problem))}</p>'
            return
        self.panel.open_with(
            f"{title} of {model.data.version}, {model_html.when(run.started.isoformat())}", f"{run.name}.html", html
        )

    def _card_json(self) -> bytes:
        model = self._state.shown
        return model_files.card_json(model.data, model.listed.entry, model.promotions)

    def _weights(self) -> bytes:
        return model_files.weights_csv(self._state.shown.data, self._state.evidence)

    def _scorecard(self) -> bytes:
        return model_files.scorecard_csv(self._state.shown.data)

    def _workbook(self) -> bytes:
        model = self._state.shown
        return model_files.scorecard_xlsx(model.data, model.documents.training)

    def _statement(self) -> bytes:
        return model_files.scorecard_statement(self._state.shown.data, self.dialect.value)


def _has_report(run: Run | None) -> bool:
    return run is not None and run.has(REPORT)
