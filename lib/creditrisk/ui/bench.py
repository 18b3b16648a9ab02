"""The binning bench: widgets over its state, without logic of their own. Each shows it, or passes on an action."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import ipywidgets as widgets

from creditrisk.binning.bins import NEUTRAL, OWN, WORST
from creditrisk.data.tables import Book
from creditrisk.ui import bench_html, bench_words
from creditrisk.ui.bench_chart import BinChart
from creditrisk.ui.bench_state import BinningBench, Row
from creditrisk.ui.bench_styles import CSS
from creditrisk.ui.summary_box import SummaryBox

if TYPE_CHECKING:
    from creditrisk.modelling.train import Split

PAGE = 15
"""Variables shown at once; more are on further pages."""
NO_LEVELS = "a group of its own"
USES = [("by selection", ""), ("forced in", "in"), ("forced out, of the trees too", "out")]
ENTER_SECONDS = 1.0  # in which a text that follows its Enter arrives


class BenchWidget(SummaryBox):
    """The bench as a widget."""


def open_bench(book: Book, split: Split, overrides: str = "") -> BenchWidget:
    """The bench over the candidates of a split book; `overrides` is the file to read and write."""
    return bench_widget(BinningBench.of_book(book, split, overrides))


def bench_widget(bench: BinningBench) -> BenchWidget:
    """The bench over a state."""
    variables, chosen, saving = VariablesView(bench), VariableView(bench), SavingView(bench)
    side = _classed(widgets.Box([variables.view, saving.view]), "cr-side-by-side")
    desk = _classed(widgets.Box([side, chosen.view]), "cr-desk")
    head = widgets.HTML(f"<style>{CSS}</style>{bench_html.header(bench)}")

    def show(_=None) -> None:
        for part in (variables, chosen, saving):
            part.show()

    bench.observe(show, "revision")
    show()
    about = f"{bench_html.TITLE} ({bench.book.title}): {len(bench.rows)} variables; open it in JupyterLab to edit them"
    return _classed(BenchWidget([head, desk], about), "cr-page", "cr-bench")


def _classed(widget: widgets.DOMWidget, *names: str) -> widgets.DOMWidget:
    for name in names:
        widget.add_class(name)
    return widget


def _shown(widget: widgets.DOMWidget, yes: object) -> None:
    (widget.remove_class if yes else widget.add_class)("cr-quiet")


def _marked(widget: widgets.DOMWidget, name: str, yes: object) -> None:
    (widget.add_class if yes else widget.remove_class)(name)


# --- All variables ----------------------------------------------------------------------------------------------------


class RowView:
    """One row that is chosen by a click anywhere on it, or by its button from the keyboard."""

    def __init__(self, kind: str, parts: int) -> None:
        self.button = widgets.Button()
        self.parts = [widgets.HTML() for _ in range(parts)]
        self.view = _classed(widgets.Box([self.button, *self.parts]), "cr-row", kind)
        self._act: Callable[[], None] = lambda: None
        self.button.on_click(lambda _: self._act())

    def show(self, name: str, here: bool, texts: tuple[str, ...], act: Callable[[], None] | None) -> None:
        """Show a name and the rest; a row without an action cannot be chosen."""
        self.button.description, self.button.tooltip = name, "chosen" if here else ""
        self.button.disabled = act is None
        self._act = act or (lambda: None)
        for part, text in zip(self.parts, texts, strict=True):
            part.value = text
        _marked(self.view, "cr-here", here)


class VariablesView:
    """The table of all variables, the strongest first."""

    def __init__(self, bench: BinningBench) -> None:
        self._bench = bench
        self._rows: list[RowView] = []
        self._box = _classed(widgets.Box(), "cr-rows")
        self._first, self._chosen = 0, ""
        self._before, self._after = widgets.Button(description="‹ Stronger"), widgets.Button(description="Weaker ›")
        self._before.on_click(lambda _: self._turn(-1))
        self._after.on_click(lambda _: self._turn(1))
        self._where = widgets.HTML()
        self._pager = _classed(widgets.Box([self._before, self._where, self._after]), "cr-pager")
        head = widgets.HTML(f"<h3>Variables</h3>{bench_html.variable_head()}")
        self.view = _classed(widgets.VBox([head, self._box, self._pager]), "cr-card")

    def show(self) -> None:
        """Show the page of rows that one is on."""
        rows = self._bench.rows
        if self._chosen != self._bench.chosen:  # wherever it was chosen, its row is in sight
            self._chosen = self._bench.chosen
            place = next((i for i, row in enumerate(rows) if row.name == self._chosen), 0)
            self._first = place // PAGE * PAGE
        shown = rows[self._first : self._first + PAGE]
        while len(self._rows) < len(shown):
            self._rows.append(RowView("cr-var", 2))
        for view, row in zip(self._rows, shown, strict=False):
            self._show_row(view, row)
        _set_children(self._box, [view.view for view in self._rows[: len(shown)]])
        _shown(self._pager, len(rows) > PAGE)
        self._before.disabled, self._after.disabled = self._first == 0, self._first + PAGE >= len(rows)
        self._where.value = f"{self._first + 1} to {self._first + len(shown)} of {len(rows)}"

    def _show_row(self, view: RowView, row: Row) -> None:
        here = row.name == self._bench.chosen
        texts = (bench_html.variable_figures(row), bench_html.variable_marks(row))
        view.show(row.short, here, texts, partial(self._bench.choose, row.name))

    def _turn(self, pages: int) -> None:
        self._first = max(self._first + pages * PAGE, 0)
        self.show()


def _set_children(box: widgets.Box, children: list[widgets.Widget]) -> None:
    if list(box.children) != children:
        box.children = children


# --- The chosen variable ----------------------------------------------------------------------------------------------


class VariableView:
    """The chosen variable: what it is worth, its chart, its bins, and what can be done with them."""

    def __init__(self, bench: BinningBench) -> None:
        self._bench = bench
        names = sorted((row.label, row.name) for row in bench.rows)
        self.pick = widgets.Dropdown(description="Variable", options=names, value=bench.chosen)
        self.pick.observe(lambda change: bench.choose(change["new"]), "value")
        self.undo, self.redo, self.reset = _buttons("Undo", "Redo", "Back to the optimum")
        for button, act in ((self.undo, bench.undo), (self.redo, bench.redo), (self.reset, bench.reset)):
            button.on_click(lambda _, act=act: act())
        tools = _classed(widgets.Box([self.undo, self.redo, self.reset]), "cr-buttons")
        top = _classed(widgets.Box([self.pick, tools]), "cr-top")
        self._facts, self._verdict, self._legend = widgets.HTML(), widgets.HTML(), widgets.HTML()
        self.chart = BinChart(self._choose_slot)
        self._bins = BinsView(bench)
        self._numbers, self._levels, self._missing = NumberEdits(bench), LevelEdits(bench), MissingEdit(bench)
        self._decision = DecisionView(bench)
        whole = _classed(widgets.Box([self._numbers.cuts.view, self._missing.view]), "cr-edit")
        edits = _classed(widgets.VBox([self._numbers.view, self._levels.view, whole, self._decision.view]), "cr-card")
        look = [top, self._facts, self._verdict, self._legend, self.chart.figure, self._bins.view]
        self.view = _classed(widgets.VBox([_classed(widgets.VBox(look), "cr-card"), edits]), "cr-main")
        self._drawn: tuple = ()

    def show(self) -> None:
        """Show the chosen variable as it stands."""
        bench = self._bench
        self.pick.value = bench.chosen
        self.undo.disabled, self.redo.disabled = not bench.can_undo, not bench.can_redo
        self.reset.disabled = not bench.edited
        self._facts.value = bench_html.facts(bench)
        self._verdict.value = bench_html.verdict(bench)
        self._draw()
        self._bins.show()
        numeric = bench.bins.kind == "numeric"
        for view in (self._numbers.view, self._numbers.cuts.view):
            _shown(view, numeric)
        _shown(self._levels.view, not numeric)
        (self._numbers if numeric else self._levels).show()
        self._missing.show()
        self._decision.show()

    def _draw(self) -> None:
        """Draw anew what changed, and nothing when nothing did."""
        version = self._bench.version()
        if self._drawn[:1] != (version,):
            self._legend.value = bench_html.legend(self._bench)
            self.chart.show(version, self._bench.bin)
        elif self._drawn != (version, self._bench.bin):
            self.chart.choose(self._bench.bin)
        self._drawn = (version, self._bench.bin)

    def _choose_slot(self, slot: int) -> None:
        self._bench.choose_bin(slot)


class BinsView:
    """The table of bins; a click on one chooses it."""

    def __init__(self, bench: BinningBench) -> None:
        self._bench = bench
        self._rows: list[RowView] = []
        self._box = _classed(widgets.Box(), "cr-rows")
        self._head = widgets.HTML(bench_html.bin_head(bench))
        self.view = widgets.VBox([self._head, self._box])

    def show(self) -> None:
        bench = self._bench
        slots = [*range(bench.bins.n_regular), *(s for s in bench.version().table.index if s >= bench.bins.n_regular)]
        while len(self._rows) < len(slots):
            self._rows.append(RowView("cr-bin", 1))
        for view, slot in zip(self._rows, slots, strict=False):
            regular = slot < bench.bins.n_regular
            cells = (bench_html.bin_cells(bench, slot),)
            act = partial(bench.choose_bin, slot) if regular else None
            view.show(bench_html.bin_title(bench, slot), regular and slot == bench.bin, cells, act)
        _set_children(self._box, [view.view for view in self._rows[: len(slots)]])


# --- Edits ------------------------------------------------------------------------------------------------------------


def _buttons(*names: str) -> list[widgets.Button]:
    return [widgets.Button(description=name) for name in names]


class AskView:
    """A field with a button that does something with its text; Enter does the same. Below it, what is wrong.

    The text arrives when the field is left, or on Enter; Enter is told apart by a message of its own, which may come
    before the text or after it.
    """

    def __init__(self, label: str, verb: str, act: Callable[[str], None], *kinds: str, hint: str = "") -> None:
        self.text = widgets.Text(description=label, placeholder=hint, continuous_update=False)
        self.button = widgets.Button(description=verb)
        self._problem = widgets.HTML()
        self._act, self._done, self._entered = act, "", 0.0
        self.button.on_click(self._do)
        self.text.observe(self._arrived, "value")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # leaving the field must not act, as the newer way does
            self.text.on_submit(self._enter)
        ask = _classed(widgets.Box([self.text, self.button]), "cr-ask")
        self.view = _classed(widgets.VBox([ask, self._problem]), "cr-field", *kinds)

    def fill(self, text: str) -> None:
        """Put a text into the field without acting on it."""
        self._done, self._entered = text, 0.0
        self.text.value = text

    def show(self, problem: str) -> None:
        """Mark the field when something is wrong, and say what."""
        self._problem.value = problem
        _marked(self.view, "cr-invalid", problem)

    def _do(self, _=None) -> None:
        self._done, self._entered = self.text.value, 0.0
        self._act(self.text.value)

    def _enter(self, _) -> None:
        if self.text.value != self._done:
            self._do()
        else:
            self._entered = time.monotonic()

    def _arrived(self, change) -> None:
        if change["new"] != self._done and time.monotonic() - self._entered < ENTER_SECONDS:
            self._do()


class MergeView:
    """The chosen bin's neighbours, to merge it with."""

    def __init__(self, bench: BinningBench) -> None:
        self._bench = bench
        self._title, self._problem = widgets.HTML(), widgets.HTML()
        self.before, self.after = _buttons("", "")
        self.before.on_click(lambda _: bench.merge(bench.bin - 1, bench.bin))
        self.after.on_click(lambda _: bench.merge(bench.bin, bench.bin + 1))
        row = _classed(widgets.Box([self._title, self.before, self.after]), "cr-buttons", "cr-merge")
        self.view = widgets.VBox([row, self._problem])

    def show(self) -> None:
        number, count = self._bench.bin + 1, self._bench.bins.n_regular
        self._title.value = f"<h3>{bench_html.chosen_bin(self._bench)}</h3>"
        self.before.description, self.after.description = f"Merge with bin {number - 1}", f"Merge with bin {number + 1}"
        _shown(self.before, number > 1)
        _shown(self.after, number < count)
        self._problem.value = bench_html.problem(self._bench.errors, "merge")


class NumberEdits:
    """Edits of a number's bins: merge, move a cut, split, or all cuts anew."""

    def __init__(self, bench: BinningBench) -> None:
        self._bench = bench
        self._merge = MergeView(bench)
        self.low = AskView("Begins at", "Move", lambda text: self._move(bench.bin - 1, text), "cr-number")
        self.high = AskView("Ends before", "Move", lambda text: self._move(bench.bin, text), "cr-number")
        self.split = AskView("Split at", "Split", self._split, "cr-number", hint="a value")
        self.cuts = AskView("All cuts", "Apply", bench.set_cuts, "cr-wide", hint="none: one bin")
        self._moved = 0
        self._filled: tuple = ()
        one = _classed(widgets.Box([self.low.view, self.high.view, self.split.view]), "cr-edit")
        self.view = _classed(widgets.VBox([self._merge.view, one]), "cr-edits")

    def show(self) -> None:
        bench = self._bench
        cuts, place = bench.bins.cuts, bench.bin
        self._merge.show()
        if self._filled != (bench.chosen, cuts, place):  # what was typed and refused stays to be corrected
            self._filled = (bench.chosen, cuts, place)
            self.low.fill(bench_words.cut_in_words(cuts[place - 1]) if place else "")
            self.high.fill(bench_words.cut_in_words(cuts[place]) if place < len(cuts) else "")
            self.cuts.fill(bench_words.cuts_in_words(cuts))
            self.split.fill("")
        _shown(self.low.view, place > 0)
        _shown(self.high.view, place < len(cuts))
        wrong = bench_html.problem(bench.errors, "cut")
        self.low.show(wrong if self._moved == place - 1 else "")
        self.high.show(wrong if self._moved == place else "")
        self.split.show(bench_html.problem(bench.errors, "split"))
        self.cuts.show(bench_html.problem(bench.errors, "cuts"))

    def _move(self, cut: int, text: str) -> None:
        self._moved = cut
        self._bench.move_cut(cut, text)

    def _split(self, text: str) -> None:
        self._bench.split(text)


class LevelEdits:
    """Edits of groups of levels: merge groups, move levels, split them off."""

    def __init__(self, bench: BinningBench) -> None:
        self._bench = bench
        self._merge = MergeView(bench)
        self.levels = widgets.SelectMultiple(description="Levels of this bin", options=[], rows=4)
        self.to = widgets.Dropdown(description="Move them to", options=[(NO_LEVELS, -1)], value=-1)
        self.move = widgets.Button(description="Move")
        self.move.on_click(self._move)
        self._problem = widgets.HTML()
        target = _classed(widgets.Box([self.to, self.move]), "cr-ask")
        self._fields = _classed(widgets.VBox([target, self._problem]), "cr-field")
        row = _classed(widgets.Box([self.levels, self._fields]), "cr-edit")
        self.view = _classed(widgets.VBox([self._merge.view, row]), "cr-edits")
        self._filled: tuple = ()

    def show(self) -> None:
        bench = self._bench
        self._merge.show()
        groups = bench.bins.groups
        if groups and self._filled != (bench.chosen, groups, bench.bin):
            self._filled = (bench.chosen, groups, bench.bin)
            loose = [(f"{level} (in no bin)", level) for level in bench.loose_levels]
            self.levels.options = [*((level, level) for level in groups[bench.bin]), *loose]
            self.levels.value = groups[bench.bin] if len(groups[bench.bin]) == 1 else ()
            others = [(f"bin {i + 1}: {_short(group)}", i) for i, group in enumerate(groups) if i != bench.bin]
            self.to.options = [(NO_LEVELS, -1), *others]
            self.to.value = -1
        problem = bench_html.problem(bench.errors, "levels")
        self._problem.value = problem
        _marked(self._fields, "cr-invalid", problem)

    def _move(self, _) -> None:
        self._bench.move_levels(list(self.levels.value), None if self.to.value < 0 else self.to.value)


def _short(group: tuple[str, ...], most: int = 28) -> str:
    text = ", ".join(group)
    return text if len(text) <= most else text[: most - 1] + "…"


class MissingEdit:
    """What missing values are worth."""

    def __init__(self, bench: BinningBench) -> None:
        self._bench = bench
        self._busy = False
        self.policy = widgets.Dropdown(description="Missing values are worth", options=[OWN], value=OWN)
        self.policy.observe(self._choose, "value")
        self._problem = widgets.HTML()
        self.view = _classed(widgets.VBox([self.policy, self._problem]), "cr-field", "cr-choice")

    def show(self) -> None:
        bins = self._bench.bins
        options = [(bench_words.missing_in_words(p), p) for p in (OWN, NEUTRAL, WORST, *range(bins.n_regular))]
        self._busy = True
        try:
            if list(self.policy.options) != options:
                self.policy.options = options
            self.policy.value = bins.missing
        finally:
            self._busy = False
        self._problem.value = bench_html.missing_hint(self._bench)

    def _choose(self, change) -> None:
        if not self._busy:
            self._bench.set_missing(change["new"])


# --- Deciding and saving ----------------------------------------------------------------------------------------------


class DecisionView:
    """Whether the chosen variable is forced in or out, and why it is decided as it is."""

    def __init__(self, bench: BinningBench) -> None:
        self._bench = bench
        self._busy = False
        self.use = widgets.Dropdown(description="In the scorecard", options=USES, value="")
        self._hint = widgets.HTML()
        self.use.observe(self._force, "value")
        self.reason = widgets.Text(description="Reason for the change", placeholder="why these bins, or why in or out")
        self.reason.observe(self._explain, "value")
        self._problem = widgets.HTML()
        self._fields = _classed(widgets.VBox([self.reason, self._problem]), "cr-field", "cr-wide")
        self.view = _classed(
            widgets.Box([_classed(widgets.VBox([self.use, self._hint]), "cr-field", "cr-choice"), self._fields]),
            "cr-edit",
            "cr-line",
        )

    def show(self) -> None:
        bench = self._bench
        self._hint.value = bench_html.selection_hint(bench)
        self._busy = True
        try:
            self.use.value, self.reason.value = bench.use, bench.reason
        finally:
            self._busy = False
        problem = bench_html.problem(bench.errors, "reason")
        self._problem.value = problem
        _marked(self._fields, "cr-invalid", problem)

    def _force(self, change) -> None:
        if not self._busy:
            self._bench.force(change["new"])

    def _explain(self, change) -> None:
        if not self._busy:
            self._bench.explain(change["new"])


class SavingView:
    """What would be written, who writes it, and what came of it."""

    def __init__(self, bench: BinningBench) -> None:
        self._bench = bench
        self._changes, self._problem, self._saved = widgets.HTML(), widgets.HTML(), widgets.HTML()
        self.by = widgets.Text(description="Your name", placeholder="kept with each change")
        self.save = widgets.Button(description="Save", button_style="primary")
        self.save.on_click(lambda _: bench.save(self.by.value))
        self.by.observe(lambda change: bench.named() if change["new"].strip() else None, "value")
        self._field = _classed(widgets.VBox([self.by, self._problem]), "cr-field")
        head = widgets.HTML("<h3>Changes to save</h3>")
        self.view = _classed(
            widgets.VBox([head, self._changes, self._field, self.save, self._saved]), "cr-card", "cr-save-card"
        )

    def show(self) -> None:
        bench = self._bench
        self._changes.value = bench_html.changes(bench)
        count = len(bench.unsaved)
        self.save.description = f"Save {count} change{'s' * (count != 1)}" if count else "Save"
        self.save.disabled = not count
        problem = bench_html.problem(bench.errors, "by")
        self._problem.value = problem
        _marked(self._field, "cr-invalid", problem)
        self._saved.value = bench_html.saved(bench)
