"""The cards below the result as widgets. They follow once somebody pauses, so that typing is never held up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import ipywidgets as widgets

from creditrisk.ui.page import score_html, score_more_html
from creditrisk.ui.page.parts import classed, shown
from creditrisk.ui.page.score_state import ApplicantState

PAUSE = 0.12


class Later:
    """Calls a function when its caller has been quiet for a moment; at once where no event loop runs."""

    def __init__(self, function: Callable[[], None]) -> None:
        self._function = function
        self._handle: asyncio.TimerHandle | None = None

    def __call__(self, _change: object = None) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # a plain script or a test
            self._function()
            return
        if self._handle is not None:
            self._handle.cancel()
        self._handle = loop.call_later(PAUSE, self._function)


class ChangesCard:
    """The smallest change of an input that reaches another result."""

    def __init__(self, state: ApplicantState) -> None:
        self._state = state
        self._html = widgets.HTML()
        self.view = classed(widgets.VBox([self._html]), "cr-card")
        state.observe(Later(self._show), "result")
        self._show()

    def _show(self) -> None:
        self._html.value = score_more_html.changes_panel(self._state, self._state.what_would_change())


class CutOffCard:
    """Another cut-off, entered as a PD or as a share to approve."""

    def __init__(self, state: ApplicantState) -> None:
        self._state, self._mine, self._following = state, state.cut_off, False
        self.entered = widgets.Text(description="Cut-off PD (%)", value=self._mine.text, continuous_update=True)
        self.slider = widgets.FloatSlider(
            description="Share approved (%)", min=1, max=99, step=0.5, readout=False, value=self._share()
        )
        self.reset = widgets.Button(description="Back to the cut-off in force")
        self._below, self._table, self._note = widgets.HTML(), widgets.HTML(), widgets.HTML()
        self._field = classed(widgets.VBox([self.entered, self._below]), "cr-field", "cr-in-cut-off")
        self.entered.observe(self._entered, "value")
        self.slider.observe(self._slid, "value")
        self.reset.on_click(lambda _: self._mine.reset())
        self._mine.observe(self._follow, ["cut_off", "error"])
        state.observe(Later(self._show), "result")
        head = widgets.HTML("<h2>Another cut-off</h2>")
        given = [self._field] if self._mine.strategy is None else [self._field, classed(self.slider, "cr-slide")]
        asked = classed(widgets.Box(given), "cr-fields")
        self.view = classed(widgets.VBox([head, asked, self._table, self._note, self.reset]), "cr-card", "cr-tried")
        self._show()

    @property
    def marks(self) -> dict:
        """What a screen reader is told of its fields."""
        field = {"wrong": bool(self._mine.error), "below": "cr-in-cut-off-said", "keyboard": "decimal"}
        return {"cr-in-cut-off": field, "cr-slide": {"label": "Share approved, percent"}}

    def _share(self) -> float:
        approval = self._mine.approval
        return 50.0 if approval is None else min(max(round(200 * approval) / 2, 1.0), 99.0)

    def _entered(self, change: dict) -> None:
        if not self._following:
            self._mine.enter(change["new"])

    def _slid(self, change: dict) -> None:
        if not self._following:
            self._mine.approve(change["new"] / 100)

    def _follow(self, change: dict) -> None:
        """Move what was not touched: the text after the slider, the slider after the text."""
        self._following = True
        try:
            if not self._mine.error and not self._mine.says(self.entered.value):
                self.entered.value = self._mine.text
            if abs(self.slider.value - self._share()) >= 0.5:
                self.slider.value = self._share()
        finally:
            self._following = False
        self._show()

    def _show(self) -> None:
        self._below.value = score_html.line_below(self._mine.error, "Above 0, below 100", "cr-in-cut-off-said")
        (self._field.add_class if self._mine.error else self._field.remove_class)("cr-invalid")
        self._table.value = score_more_html.cut_off_table(self._state)
        self._note.value = score_more_html.cut_off_note(self._state)
        self.reset.disabled = self._mine.cut_off == self._mine.first and not self._mine.error


class ChallengerCard:
    """Another version of the model, loaded when somebody asks for it."""

    def __init__(self, state: ApplicantState, version: str) -> None:
        self._state, self._version = state, version
        self._intro, self._panel = widgets.HTML(), widgets.HTML()
        self.button = widgets.Button()
        self.button.on_click(self._clicked)
        bar = classed(widgets.Box([self._intro, self.button]), "cr-bar")
        self.view = classed(widgets.VBox([bar, self._panel]), "cr-card", "cr-beside")
        state.observe(Later(self._follow), "result")
        state.challenger.observe(self._show, ["other", "result", "problem", "is_open"])
        self._show()

    def look(self) -> None:
        """Another version may be the challenger by now."""
        before = self._state.challenger.other
        self._state.challenger.look()
        if self._state.challenger.other != before:
            self._follow()

    def _clicked(self, _) -> None:
        challenger = self._state.challenger
        if challenger.is_open:
            challenger.close()
        else:
            challenger.open(self._state.texts)

    def _follow(self) -> None:
        self._state.challenger.follow(self._state.texts)
        self._show()

    def _show(self, _change: object = None) -> None:
        challenger = self._state.challenger
        self._intro.value = score_more_html.challenger_intro(challenger.other)
        self.button.description = score_more_html.button_of(challenger)
        shown(self.button, challenger.other is not None)
        self._panel.value = score_more_html.challenger_panel(self._state, self._version)
        shown(self._panel, self._panel.value)
