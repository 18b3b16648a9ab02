"""The page: widgets over the state, without logic of their own. Each shows a trait, or passes on what was typed."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import ipywidgets as widgets

from creditrisk.ui import page_html
from creditrisk.ui.form import APPLICATION_ID, Field
from creditrisk.ui.log_state import BookState, MonitoringState
from creditrisk.ui.page_charts import RatingChart, ScoreChart
from creditrisk.ui.state import ApplicantState, Workbench, newer_model, open_workbench
from creditrisk.ui.styles import CSS
from creditrisk.ui.summary_box import SummaryBox

TABS = ("Score an applicant", "Book", "Monitoring")
NO_PREDICTIONS = "Save a prediction here, call the API (`creditrisk serve`), or score a file with `creditrisk score`."
NO_REPORTS = "Every full {} of production predictions is checked by itself; `creditrisk drift` checks at any time."


class RiskPage(SummaryBox):
    """The page as a widget."""


def open_page(bench: Workbench | None = None) -> RiskPage:
    """The whole page over a workbench, by default the one that the settings name."""
    bench = bench or open_workbench()
    notice = widgets.HTML()
    score = ScoreView(bench.applicant) if bench.applicant else None
    book, monitoring = BookView(bench.book), MonitoringView(bench.monitoring, bench.data.version if bench.data else "")
    tabs = widgets.Tab(
        children=[score.view if score else _no_model(bench.problem), book.view, monitoring.view], titles=TABS
    )

    def announce(_=None) -> None:
        notice.value = page_html.notice(newer_model(bench.data, bench.artifacts) if bench.data else "")

    def look_again(change) -> None:
        if change["new"] == 1:
            bench.book.refresh()
            book.come_into_sight()
        if change["new"] == 2:
            bench.monitoring.refresh()
        announce()

    if score:
        score.save.on_click(announce)
    tabs.observe(look_again, "selected_index")
    parts = [widgets.HTML(f"<style>{CSS}</style>"), widgets.HTML(page_html.header(bench.card)), notice, tabs]
    model = f"{bench.data.portfolio.title}, model {bench.data.version}" if bench.data else "no model"
    return _classed(RiskPage(parts, f"Credit Risk Workbench ({model}): {', '.join(TABS)}"), "cr-page")


def prepare() -> None:
    """Do ahead what takes long and keeps: load libraries and try the model once. A visitor then waits for neither."""
    open_workbench().log.close()


def _classed(widget: widgets.DOMWidget, *names: str) -> widgets.DOMWidget:
    for name in names:
        widget.add_class(name)
    return widget


def _shown(widget: widgets.DOMWidget, yes: object) -> None:
    (widget.remove_class if yes else widget.add_class)("cr-quiet")


def _no_model(problem: str) -> widgets.Widget:
    text = problem if "creditrisk train" in problem else f"{problem}. Run `creditrisk train` to make a model"
    return widgets.HTML(page_html.empty("There is no model to score with", f"{text}, then reload this page."))


# --- Score an applicant -----------------------------------------------------------------------------------------------


class FieldView:
    """One field: its input, and below it a hint or what is wrong."""

    def __init__(self, field: Field, enter: Callable[[str], None], error_of: Callable[[], str]) -> None:
        self._field, self._error_of = field, error_of
        self.input = _input(field)
        self._below = widgets.HTML()
        self.view = _classed(widgets.VBox([self.input, self._below]), "cr-field")
        self.input.observe(lambda change: enter(change["new"]), "value")
        self.show()

    def show(self) -> None:
        """Mark the field when it has an error, and say which."""
        error = self._error_of()
        self._below.value = page_html.hint(self._field, error)
        (self.view.add_class if error else self.view.remove_class)("cr-invalid")


def _input(field: Field) -> widgets.Widget:
    if field.kind == "category":
        first = [("Not known" if field.optional else "Choose…", "")]
        given = [(level, level) for level in field.levels]
        options = first + given if field.optional or not field.initial else given
        return widgets.Dropdown(description=field.label, options=options, value=field.initial)
    placeholder = "not known" if field.optional else ""
    return widgets.Text(description=field.label, value=field.initial, placeholder=placeholder, continuous_update=True)


class ScoreView:
    """The form with the result beside it."""

    def __init__(self, state: ApplicantState) -> None:
        self._state = state
        self.fields = {
            name: FieldView(field, partial(state.enter, name), partial(self._error, name))
            for name, field in state.fields.items()
        }
        ask_id = Field(APPLICATION_ID, "Application ID (optional)", "", "", "text", (), True, "")
        self.application_id = FieldView(ask_id, state.enter_application_id, partial(self._error, APPLICATION_ID))
        self.application_id.input.placeholder = ""
        self.save = _classed(widgets.Button(description="Save prediction", button_style="primary"), "cr-save")
        self.save.on_click(lambda _: state.save())
        self.reset = widgets.Button(description="Reset")
        self.reset.on_click(self._reset)
        self._result, self._glance, self._saving = widgets.HTML(), widgets.HTML(), widgets.HTML()
        state.observe(self._show, ["errors", "missing", "result", "saved", "stored", "problem"])
        self.view = self._layout()
        self._show()

    def _error(self, name: str) -> str:
        return self._state.errors.get(name, "")

    def _layout(self) -> widgets.Widget:
        asked = {False: [], True: []}
        for name, field in self._state.fields.items():
            asked[field.optional].append(self.fields[name].view)
        form = [widgets.HTML("<h2>Applicant</h2>"), _classed(widgets.Box(asked[False]), "cr-fields")]
        if asked[True]:
            folded = widgets.Accordion(
                children=[_classed(widgets.Box(asked[True]), "cr-fields")],
                titles=(f"Optional inputs ({len(asked[True])})",),
                selected_index=None,
            )
            form.append(folded)
        keep = [self.application_id.view] if self._state.book.application_id else []
        actions = _classed(widgets.Box([*keep, self.save, self.reset]), "cr-actions")
        result = _classed(widgets.VBox([self._result, actions, self._saving]), "cr-card", "cr-side")
        both = _classed(widgets.Box([_classed(widgets.VBox(form), "cr-card"), result]), "cr-score")
        return widgets.VBox([both, _classed(self._glance, "cr-sticky")])

    def _reset(self, _) -> None:
        self._state.reset()
        for name, field in self.fields.items():
            field.input.value = self._state.texts[name]
        self.application_id.input.value = ""
        self._state.reset()  # filling the fields in was not typing: nothing counts as touched
        self._show()

    def _show(self, _change=None) -> None:
        for field in (*self.fields.values(), self.application_id):
            field.show()
        self._result.value = page_html.result_panel(self._state)
        self._glance.value = page_html.glance(self._state)
        self._saving.value = page_html.saving(self._state)
        self.save.disabled = self._state.result is None or bool(self._state.saved)
        done = "Not saved: scored before" if self._state.stored else "Saved"
        self.save.description = done if self._state.saved else "Save prediction"


# --- Book -------------------------------------------------------------------------------------------------------------


class BookView:
    """Distributions of the logged predictions, and the newest of them."""

    def __init__(self, state: BookState) -> None:
        self._state = state
        self._heading, self._table, self._empty = widgets.HTML(), widgets.HTML(), widgets.HTML()
        self.ratings, self.scores = RatingChart(), ScoreChart()
        self._above = (widgets.HTML(), widgets.HTML())
        self.purpose = widgets.Dropdown(description="Purpose", options=[("all", "")], value="")
        self.refresh = widgets.Button(description="Refresh")
        self.refresh.on_click(lambda _: state.refresh())
        self._busy = False
        self.purpose.observe(self._choose, "value")
        bar = _classed(widgets.Box([self._heading, self.purpose, self.refresh]), "cr-bar")
        self._charts = _classed(widgets.Box(), "cr-pair")
        self._in_sight = False
        self._filled = [self._charts, _classed(widgets.VBox([self._table]), "cr-card")]
        self.view = _classed(widgets.VBox([bar, self._empty, *self._filled]), "cr-stack")
        state.observe(self._show, "summary")
        state.log.observe(self._show, "problem")
        self._show()

    def come_into_sight(self) -> None:
        """Draw the charts from now on: one that is drawn in a hidden tab has no size and fails in the browser."""
        self._in_sight = True
        self._show()

    def _draw(self, summary) -> None:
        self.ratings.show(summary.ratings)
        self.scores.show(summary.scores)
        self._above[0].value = page_html.rating_heading(summary)
        self._above[1].value = page_html.score_heading(summary)
        if not self._charts.children:
            self._charts.children = [
                _classed(widgets.VBox([above, chart.figure]), "cr-card")
                for above, chart in zip(self._above, (self.ratings, self.scores), strict=True)
            ]

    def _choose(self, change) -> None:
        if not self._busy:
            self._state.choose(change["new"])

    def _show(self, _change=None) -> None:
        summary = self._state.summary
        has_rows = summary is not None and bool(summary.recent)
        for part in self._filled:
            _shown(part, has_rows)
        _shown(self._empty, not has_rows)
        _shown(self.purpose, summary is not None and summary.by_purpose)
        if summary is None:
            self._heading.value = "<h2>Logged predictions</h2>"
            self._empty.value = page_html.no_log(self._state.log.problem)
            return
        self._heading.value = page_html.book_heading(summary)
        self._offer(summary.by_purpose)
        if not has_rows:
            self._empty.value = page_html.empty("No predictions yet", NO_PREDICTIONS)
            return
        if self._in_sight:
            self._draw(summary)
        self._table.value = page_html.recent_table(summary)

    def _offer(self, by_purpose) -> None:
        """The purposes that the log holds, with their counts; the choice stays."""
        options = [(f"all ({sum(by_purpose.values()):,})", "")]
        options += [(f"{name.replace('_', ' ')} ({n:,})", name) for name, n in sorted(by_purpose.items())]
        self._busy = True
        try:
            self.purpose.options = options
            self.purpose.value = self._state.purpose if self._state.purpose in by_purpose else ""
        finally:
            self._busy = False


# --- Monitoring -------------------------------------------------------------------------------------------------------


class MonitoringView:
    """The newest drift report, or an earlier one that was chosen."""

    def __init__(self, state: MonitoringState, version_in_use: str) -> None:
        self._state, self._version = state, version_in_use
        self._heading, self._report, self._table, self._empty = (widgets.HTML() for _ in range(4))
        self.chosen = _classed(widgets.Dropdown(description="Report", options=[("none", 0)], value=0), "cr-wide")
        self.refresh = widgets.Button(description="Refresh")
        self.refresh.on_click(lambda _: state.refresh())
        self._busy = False
        self.chosen.observe(self._choose, "value")
        bar = _classed(widgets.Box([self._heading, self.chosen, self.refresh]), "cr-bar")
        self._filled = [_classed(widgets.VBox([part]), "cr-card") for part in (self._report, self._table)]
        self.view = _classed(widgets.VBox([bar, self._empty, *self._filled]), "cr-stack")
        state.observe(self._show, ["reports", "chosen", "progress"])
        state.log.observe(self._show, "problem")
        self._show()

    def _choose(self, change) -> None:
        if not self._busy and change["new"]:
            self._state.choose(change["new"])

    def _show(self, _change=None) -> None:
        state, report = self._state, self._state.report
        self._heading.value = f'<h2>Drift</h2><p class="cr-soft">{state.progress}</p>'
        for part in (*self._filled, self.chosen):
            _shown(part, report is not None)
        _shown(self._empty, report is None)
        if report is None:
            nothing = page_html.empty("No drift report yet", NO_REPORTS.format(state.log.period))
            self._empty.value = page_html.no_log(state.log.problem) or nothing
            return
        self._offer()
        self._report.value = page_html.report_panel(report, self._version)
        self._table.value = page_html.reports_table(state.reports, report)

    def _offer(self) -> None:
        self._busy = True
        try:
            options = [(f"{r.id} · {r.when:%Y-%m-%d %H:%M} · {r.status}", r.id) for r in self._state.reports]
            if self.chosen.options != tuple(options):
                self.chosen.options = options
            self.chosen.value = self._state.report.id
        finally:
            self._busy = False
