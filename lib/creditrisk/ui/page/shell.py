"""The page: a header, the tabs, and what keeps them up to date."""

from __future__ import annotations

from typing import Protocol

import ipywidgets as widgets

from creditrisk.ui.page import shell_html
from creditrisk.ui.page.book_view import BookView
from creditrisk.ui.page.file_view import FileView
from creditrisk.ui.page.model_view import ModelView
from creditrisk.ui.page.monitoring_view import MonitoringView
from creditrisk.ui.page.parts import classed
from creditrisk.ui.page.pulse import Seen
from creditrisk.ui.page.score_view import ScoreView
from creditrisk.ui.page.words import empty
from creditrisk.ui.page.workbench import Workbench, newer_model, open_workbench
from creditrisk.ui.styles import CSS
from creditrisk.ui.summary_box import SummaryBox

TABS = ("Score an applicant", "Score a file", "Book", "Monitoring", "Model")


class TabView(Protocol):
    """A tab: its widget, and `look`, which is called whenever it comes into sight and when something is new in it.

    Charts are to be drawn in `look` first: one that is drawn in a hidden tab has no size and fails in the browser.
    """

    view: widgets.Widget

    def look(self) -> None: ...


class RiskPage(SummaryBox):
    """The page as a widget."""


def open_page(bench: Workbench | None = None) -> RiskPage:
    """The whole page over a workbench, by default the one that the settings name."""
    bench = bench or open_workbench()
    notice = widgets.HTML()
    views = _views(bench)
    tabs = widgets.Tab(children=[view.view for view in views], titles=TABS)

    def announce() -> None:
        notice.value = shell_html.notice(newer_model(bench.data, bench.artifacts) if bench.data else "")

    def look_again(_change=None) -> None:
        views[tabs.selected_index or 0].look()
        announce()

    def something_new(seen: Seen) -> None:
        bench.log.problem = seen.problem
        look_again()

    tabs.observe(look_again, "selected_index")
    bench.pulse.start(something_new)
    parts = [widgets.HTML(f"<style>{CSS}</style>"), widgets.HTML(shell_html.header(bench.card)), notice, tabs]
    model = f"{bench.data.portfolio.title}, model {bench.data.version}" if bench.data else "no model"
    return classed(RiskPage(parts, f"Credit Risk Workbench ({model}): {', '.join(TABS)}"), "cr-page")


def _views(bench: Workbench) -> list[TabView]:
    version = bench.data.version if bench.data else ""
    if bench.data is None:
        needs_model = [NoModel(bench.problem) for _ in range(3)]
        return [*needs_model[:2], BookView(bench.book), MonitoringView(bench.monitoring, version), needs_model[2]]
    return [
        ScoreView(bench.applicant, version),
        FileView(bench.file),
        BookView(bench.book),
        MonitoringView(bench.monitoring, version),
        ModelView(bench.model),
    ]


class NoModel:
    """What a tab that needs a model shows without one."""

    def __init__(self, problem: str) -> None:
        text = problem if "creditrisk train" in problem else f"{problem}. Run `creditrisk train` to make a model"
        self.view = widgets.HTML(empty("There is no model to score with", f"{text}, then reload this page."))

    def look(self) -> None:
        """Nothing changes here."""


def prepare() -> None:
    """Do ahead what takes long and keeps: load libraries and try the model once. A visitor then waits for neither."""
    open_workbench().log.close()
