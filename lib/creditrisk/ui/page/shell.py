"""The page: a header, the tabs, and what keeps them up to date."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from typing import Protocol

import ipywidgets as widgets
from traitlets import TraitError

from creditrisk.ui import PRODUCT
from creditrisk.ui.page import shell_html
from creditrisk.ui.page.lean import without_sklearn
from creditrisk.ui.page.parts import classed, shown
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
    with without_sklearn():
        return Shell(bench or open_workbench()).view


class Shell:
    """Header, notice and tabs. A newer champion is announced, and used once somebody says so: the log and what was
    typed stay."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        self._head, self._notice = widgets.HTML(), widgets.HTML()
        self.use_newest = widgets.Button(description="Use it now", button_style="primary")
        self.use_newest.on_click(self._use_newest)
        self._announcement = classed(widgets.Box([self._notice, self.use_newest]), "cr-announcement")
        self._views = _views(bench)
        self._tabs = widgets.Tab(children=[view.view for view in self._views], titles=TABS)
        self._tabs.observe(self._look, "selected_index")
        self._head.value = shell_html.header(bench.card)
        self._announce()
        bench.pulse.start(self._something_new)
        parts = [widgets.HTML(f"<style>{CSS}</style>"), self._head, self._announcement, self._tabs]
        model = f"{bench.data.portfolio.title}, model {bench.data.version}" if bench.data else "no model"
        self.view = classed(RiskPage(parts, f"{PRODUCT} ({model}): {', '.join(TABS)}"), "cr-page")

    def _look(self, _change=None) -> None:
        self._views[self._tabs.selected_index or 0].look()
        self._announce()

    def _something_new(self, seen: Seen) -> None:
        self._bench.log.problem = seen.problem
        self._look()

    def _announce(self) -> None:
        text = newer_model(self._bench.data, self._bench.artifacts)
        self._notice.value = shell_html.notice(text)
        shown(self._announcement, text)

    def _use_newest(self, _button) -> None:
        """Make everything anew that depends on the model."""
        before = self._bench
        fresh = open_workbench(before.artifacts, before.log.url, before.log.period)
        if fresh.data is None:
            self._notice.value = shell_html.notice(f"The newer model cannot be used: {fresh.problem}")
            return
        before.log.close()
        old, self._bench, self._views = self._views, fresh, _views(fresh)
        if isinstance(old[0], ScoreView) and isinstance(self._views[0], ScoreView):
            keep_typed(old[0], self._views[0])
        self._head.value = shell_html.header(fresh.card)
        self._tabs.children = [view.view for view in self._views]
        self._look()
        for view in old:
            _close(view.view)


def keep_typed(old: ScoreView, new: ScoreView) -> None:
    """Type into a form what stood in another, where it asks for the same."""
    pairs = [(old.application_id, new.application_id)]
    pairs += [(field, new.fields[name]) for name, field in old.fields.items() if name in new.fields]
    for before, now in pairs:
        with suppress(TraitError):  # a choice that is no choice any more
            now.input.value = before.input.value


def _close(widget: widgets.Widget) -> None:
    for child in getattr(widget, "children", ()):
        _close(child)
    widget.close()


def _views(bench: Workbench) -> list[TabView]:
    version = bench.data.version if bench.data else ""
    book = Later(lambda: _class("book")(bench.book))
    monitoring = Later(lambda: _class("monitoring")(bench.monitoring, version))
    if bench.data is None:
        score, file, model = (NoModel(bench.problem) for _ in range(3))
    else:
        score = ScoreView(bench.applicant, version)
        file = Later(lambda: _class("file")(bench.file))
        model = Later(lambda: _class("model")(bench.model))
    return [score, file, book, monitoring, model]


def _class(tab: str) -> Callable[..., TabView]:
    return getattr(import_module(f"creditrisk.ui.page.{tab}_view"), f"{tab.capitalize()}View")


class Later:
    """A tab that is made once somebody looks at it: a visitor waits for the first one only."""

    def __init__(self, make: Callable[[], TabView]) -> None:
        self._make, self.made = make, None
        self.view = widgets.VBox([widgets.HTML('<p class="cr-soft" role="status">Opening…</p>')])

    def look(self) -> None:
        """Make it where that has not been done, and have it look."""
        if self.made is None:
            self.made = self._make()
            self.view.children = [self.made.view]
        self.made.look()


class NoModel:
    """What a tab that needs a model shows without one."""

    def __init__(self, problem: str) -> None:
        text = problem if "creditrisk train" in problem else f"{problem}. Run `creditrisk train` to make a model"
        self.view = widgets.HTML(empty("There is no model to score with", f"{text}, then reload this page."))

    def look(self) -> None:
        """Nothing changes here."""


def prepare() -> None:
    """Do ahead what takes long and keeps: load libraries and try the model once. A visitor then waits for neither.

    A kernel whose visitor is there already has no time for a rehearsal.
    """
    if os.environ.get("VOILA_PREHEAT") == "True":
        with without_sklearn():
            open_workbench().log.close()
        for tab in ("file", "book", "monitoring", "model"):
            _class(tab)
