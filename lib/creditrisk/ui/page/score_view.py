"""The Score tab: widgets over its state, without logic of their own."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import ipywidgets as widgets

from creditrisk.ui.form import APPLICATION_ID, Field
from creditrisk.ui.page import score_html
from creditrisk.ui.page.assist import Assist
from creditrisk.ui.page.parts import classed, shown
from creditrisk.ui.page.score_more_view import ChallengerCard, ChangesCard, CutOffCard
from creditrisk.ui.page.score_state import ApplicantState


class FieldView:
    """One field: its input, and below it a hint or what is wrong. `place` is its class on the page."""

    def __init__(self, field: Field, enter: Callable[[str], None], error_of: Callable[[], str], place: str) -> None:
        self._field, self._error_of, self.place = field, error_of, place
        self.input = _input(field)
        self._below = widgets.HTML()
        self.view = classed(widgets.VBox([self.input, self._below]), "cr-field", place)
        self.input.observe(lambda change: enter(change["new"]), "value")
        self.show()

    def show(self) -> None:
        """Mark the field when it has an error, and say which."""
        error = self._error_of()
        self._below.value = score_html.hint(self._field, error, f"{self.place}-said")
        (self.view.add_class if error else self.view.remove_class)("cr-invalid")

    @property
    def marks(self) -> dict:
        """What a screen reader is told of it."""
        return {
            "wrong": bool(self._error_of()),
            "below": f"{self.place}-said",
            "needed": not self._field.optional,
            "keyboard": {"number": "decimal", "integer": "numeric"}.get(self._field.kind, ""),
        }


def _input(field: Field) -> widgets.Widget:
    if field.kind == "category":
        first = [("Not known" if field.optional else "Choose…", "")]
        given = [(level, level) for level in field.levels]
        options = first + given if field.optional or not field.initial else given
        return widgets.Dropdown(description=field.label, options=options, value=field.initial)
    placeholder = "not known" if field.optional else ""
    return widgets.Text(description=field.label, value=field.initial, placeholder=placeholder, continuous_update=True)


class ScoreView:
    """The form with the result beside it, and below both what would change it, another cut-off, another version."""

    def __init__(self, state: ApplicantState, version: str = "") -> None:
        self._state = state
        self.fields = {
            name: FieldView(field, partial(state.enter, name), partial(self._error, name), f"cr-in-{i}")
            for i, (name, field) in enumerate(state.fields.items())
        }
        ask_id = Field(APPLICATION_ID, "Application ID (optional)", "", "", "text", (), True, "")
        self.application_id = FieldView(
            ask_id, state.enter_application_id, partial(self._error, APPLICATION_ID), "cr-in-id"
        )
        self.application_id.input.placeholder = ""
        self.save = classed(widgets.Button(description="Save prediction", button_style="primary"), "cr-save")
        self.save.on_click(lambda _: state.save())
        self.reset = widgets.Button(description="Reset")
        self.reset.on_click(self._reset)
        self._result, self._glance, self._saving = widgets.HTML(), widgets.HTML(), widgets.HTML()
        self._assist = Assist(folds=int(any(field.optional for field in state.fields.values())))
        self.changes, self.cut_off = ChangesCard(state), CutOffCard(state)
        self.challenger = ChallengerCard(state, version)
        state.observe(self._show, ["errors", "missing", "result", "saved", "stored", "problem"])
        self.view = self._layout()
        self._show()

    def look(self) -> None:
        """The result follows what is typed; another version may have come."""
        self.challenger.look()

    def _error(self, name: str) -> str:
        return self._state.errors.get(name, "")

    def _layout(self) -> widgets.Widget:
        asked = {False: [], True: []}
        for name, field in self._state.fields.items():
            asked[field.optional].append(self.fields[name].view)
        form = [widgets.HTML("<h2>Applicant</h2>"), classed(widgets.Box(asked[False]), "cr-fields")]
        if asked[True]:
            folded = widgets.Accordion(
                children=[classed(widgets.Box(asked[True]), "cr-fields")],
                titles=(f"Optional inputs ({len(asked[True])})",),
                selected_index=None,
            )
            form.append(classed(folded, "cr-fold"))
        keep = [self.application_id.view] if self._state.book.application_id else []
        actions = classed(widgets.Box([*keep, self.save, self.reset]), "cr-actions")
        result = classed(widgets.VBox([self._result, actions, self._saving]), "cr-card", "cr-side")
        both = classed(widgets.Box([classed(widgets.VBox(form), "cr-card"), result]), "cr-score")
        left = classed(widgets.Box([self.changes.view, self.challenger.view]), "cr-stack")
        more = classed(widgets.Box([left, self.cut_off.view]), "cr-pair", "cr-more")
        return widgets.VBox([both, more, classed(self._glance, "cr-sticky"), self._assist])

    def _reset(self, _) -> None:
        self._state.reset()
        for name, field in self.fields.items():
            field.input.value = self._state.texts[name]
        self.application_id.input.value = ""
        self._state.reset()  # filling the fields in was not typing: nothing counts as touched
        self._show()

    def _show(self, _change=None) -> None:
        self._result.value = score_html.result_panel(self._state)
        self._glance.value = score_html.glance(self._state)
        fields = (*self.fields.values(), self.application_id)
        for field in fields:
            field.show()
        self._saving.value = score_html.saving(self._state)
        self.save.disabled = self._state.result is None or bool(self._state.saved)
        done = "Not saved: scored before" if self._state.stored else "Saved"
        self.save.description = done if self._state.saved else "Save prediction"
        shown(self._saving, self._saving.value)
        self._assist.fields = {field.place: field.marks for field in fields} | self.cut_off.marks
        self._assist.spoken = score_html.spoken(self._state)
