"""The Book tab: widgets over its state, without logic of their own."""

from __future__ import annotations

import ipywidgets as widgets
import pandas as pd

from creditrisk.ui.page import book_html
from creditrisk.ui.page.assist import Assist
from creditrisk.ui.page.book_charts import RatingChart, ScoreChart, TimeChart, TradeChart
from creditrisk.ui.page.book_detail import detail_html
from creditrisk.ui.page.book_state import ALL, DATES, WINDOWS, BookState
from creditrisk.ui.page.grid import Column, Grid
from creditrisk.ui.page.parts import classed, shown
from creditrisk.ui.page.words import no_log, percent

SCORES = (300, 900)


class BookView:
    """Logged predictions of a window: how they are spread, what a cut-off approves, over time, and one by one."""

    def __init__(self, state: BookState) -> None:
        self._state, self._busy, self._in_sight = state, False, False
        self.choice = Choice(state)
        self.charts = Charts()
        self.cut_off = CutOff(state, self._cut)
        self.listing = Listing(state)
        self._heading, self._counting, self._empty = widgets.HTML(), widgets.HTML(), widgets.HTML()
        self._figures = classed(widgets.VBox(), "cr-stack")
        parts = [self._heading, self.choice.view, self._counting, self._empty, self._figures, self.listing.view]
        self.view = classed(widgets.VBox(parts), "cr-stack", "cr-book")
        state.observe(self._show, ["summary", "problem"])
        state.observe(self._say, "counting")
        state.log.observe(self._show, "problem")
        self._show()

    def look(self) -> None:
        """Read the log again, and draw the charts from now on."""
        self._in_sight = True
        self._show()
        self._state.refresh()

    def _say(self, _change=None) -> None:
        self._counting.value = book_html.counting(self._state.counting)

    def _show(self, _change=None) -> None:
        summary = self._state.summary
        self._heading.value = book_html.book_heading(self._state)
        has_rows = summary is not None and summary.n > 0
        shown(self._figures, has_rows)
        shown(self.listing.view, summary is not None and (summary.in_window or self._state.window not in ("", ALL)))
        shown(self._empty, not has_rows)
        shown(self.choice.view, summary is not None)
        if summary is None:
            self._empty.value = no_log(self._state.log.problem)
            return
        self.choice.offer(summary)
        self._empty.value = "" if has_rows else book_html.nothing(self._state)
        if has_rows and self._in_sight:
            self.charts.show(summary)
            self.cut_off.show()
            if not self._figures.children:
                self._figures.children = [
                    self.charts.spread,
                    self.cut_off.card(self.charts.trade),
                    self.charts.over_time,
                ]

    def _cut(self) -> None:
        """Show the cut-off that is set in the charts."""
        state = self._state
        self.charts.cut(state.cut_off_score(), state.approvals(), state.summary.policy)


class Choice:
    """Which predictions are looked at."""

    def __init__(self, state: BookState) -> None:
        self._state, self._busy = state, False
        self.window = widgets.Dropdown(description="Time", options=[(text, key) for key, text in WINDOWS.items()])
        self.first, self.last = widgets.DatePicker(description="From"), widgets.DatePicker(description="To")
        self.purpose = widgets.Dropdown(description="Purpose", options=[("all", "")], value="")
        self.version = widgets.Dropdown(description="Model version", options=[("all", "")], value="")
        self.refresh = widgets.Button(description="Refresh", tooltip="Read the log again and count all of it anew")
        self.refresh.on_click(lambda _: state.count_again())
        self.window.observe(self._told(lambda: state.choose_window(self.window.value)), "value")
        self._dates = [classed(self.first, "cr-date"), classed(self.last, "cr-date")]
        for one in self._dates:
            one.observe(self._told(lambda: state.choose_dates(self.first.value, self.last.value)), "value")
        for one in (self.purpose, self.version):
            one.observe(self._told(lambda: state.choose(self.purpose.value, self.version.value)), "value")
        parts = [self.window, *self._dates, self.purpose, self.version, self.refresh]
        self.view = classed(widgets.Box(parts), "cr-bar", "cr-choice")

    def _told(self, choose):
        """Tell the state what somebody chose, not what was only offered."""

        def tell(_change) -> None:
            if not self._busy:
                choose()

        return tell

    def offer(self, summary) -> None:
        """The purposes and versions that the window holds, with their counts; the choice stays."""
        state = self._state
        self._busy = True
        try:
            self.window.value = state.window or None
            self.first.value, self.last.value = state.first_day, state.last_day
            for one in self._dates:
                shown(one, state.window == DATES)
            _fill(self.purpose, summary.by_purpose, state.purpose)
            _fill(self.version, summary.by_version, state.version)
        finally:
            self._busy = False


def _fill(dropdown: widgets.Dropdown, counts, chosen: str) -> None:
    counts = dict(counts) | ({chosen: 0} if chosen and chosen not in counts else {})
    options = [(f"all ({sum(counts.values()):,})", "")]
    options += [(f"{book_html.in_words(name)} ({n:,})", name) for name, n in sorted(counts.items())]
    if dropdown.options != tuple(options):
        dropdown.options = options
    dropdown.value = chosen


class Charts:
    """The figures of a window."""

    def __init__(self) -> None:
        self.ratings, self.scores, self.trade, self.times = RatingChart(), ScoreChart(), TradeChart(), TimeChart()
        self._above = [widgets.HTML() for _ in range(3)]
        self._exact = widgets.HTML()
        cards = [
            classed(widgets.VBox([above, chart.figure]), "cr-card")
            for above, chart in zip(self._above, (self.ratings, self.scores), strict=False)
        ]
        self.spread = classed(widgets.Box(cards), "cr-pair")
        pair = classed(widgets.Box([self.times.counts, self.times.shares]), "cr-pair")
        self.over_time = classed(widgets.VBox([self._above[2], pair, self._exact]), "cr-card")

    def show(self, summary) -> None:
        """Draw a window."""
        self.ratings.show(summary.ratings)
        self.scores.show(summary.scores)
        self.trade.show(summary.profile)
        self.times.show(summary.periods, summary.unit)
        headings = (book_html.rating_heading, book_html.score_heading, book_html.time_heading)
        for place, heading in zip(self._above, headings, strict=True):
            place.value = heading(summary)
        self._exact.value = book_html.time_table(summary)

    def cut(self, score: int, here, policy) -> None:
        """Draw a cut-off."""
        self.scores.cut(score)
        self.trade.cut(here, policy)


class CutOff:
    """Approvals at a cut-off that can be moved."""

    def __init__(self, state: BookState, moved) -> None:
        self._state, self._moved, self._busy = state, moved, False
        low, high = (state.book.scale.low, state.book.scale.high) if state.book else SCORES
        self.slider = classed(
            widgets.IntSlider(min=low, max=high, description="Cut-off", readout=False), "cr-book-slide"
        )
        self._assist = Assist(fields={"cr-book-slide": {"label": "Cut-off, lowest score approved"}})
        self.number = widgets.IntText(description="Score")
        self.share = widgets.BoundedFloatText(min=0, max=100, step=1, description="Approve %")
        self.share.observe(lambda change: self._busy or self._aim(change["new"]), "value")
        self.reset = widgets.Button(description="As the policy")
        self.reset.on_click(lambda _: self._set(0))
        self.slider.observe(lambda change: self._busy or self._set(change["new"]), "value")
        self.number.observe(lambda change: self._busy or self._enter(change["new"]), "value")
        self._refused = widgets.HTML()
        shown(self._refused, False)
        self._said, self._table, self._marks = widgets.HTML(), widgets.HTML(), widgets.HTML()

    def card(self, trade) -> widgets.Widget:
        """All of it, beside a chart of every cut-off."""
        bar = classed(widgets.Box([self.slider, self.number, self.share, self.reset]), "cr-cutoff")
        left = widgets.VBox([bar, self._refused, self._said, self._table, self._assist])
        pair = classed(widgets.Box([left, widgets.VBox([self._marks, trade.figure])]), "cr-pair")
        return classed(widgets.VBox([widgets.HTML("<h2>Approvals at a cut-off</h2>"), pair]), "cr-card")

    def _aim(self, percent: float) -> None:
        self._state.aim_for(percent / 100)
        self.show()

    def _enter(self, score: int) -> None:
        low, high = self.slider.min, self.slider.max
        if low <= score <= high:
            self._set(score)
            return
        self._refused.value = book_html.outside(score, low, high, self._state.cut_off_score())
        shown(self._refused, True)

    def _set(self, score: int) -> None:
        self._state.cut_off = score
        self.show()

    def show(self) -> None:
        """What the cut-off that is set approves."""
        state = self._state
        score, here, policy = state.cut_off_score(), state.approvals(), state.summary.policy
        self._busy = True
        try:
            self.slider.min, self.slider.max = min(self.slider.min, score), max(self.slider.max, score)
            self.slider.value = self.number.value = score
            shown(self._refused, False)
            self.share.value = round(100 * here.share, 1)
        finally:
            self._busy = False
        self._said.value = f'<p aria-live="polite">{self._meaning(score)}</p>'
        self._table.value = book_html.cut_off_table(here, policy)
        self._marks.value = book_html.trade_heading(here, policy)
        self.reset.disabled = not state.cut_off
        self._moved()

    def _meaning(self, score: int) -> str:
        state = self._state
        if state.as_policy():
            return book_html.as_policy_heading(score, state.summary.profile.at(score), state.summary.policy)
        told = book_html.cut_off_heading(score, state.book.scale if state.book else None)
        return told if state.cut_off or not state.summary.policy.of else f"{told} {book_html.NEAREST}"


class Listing:
    """The newest predictions of the window, or those that were sought, and one of them in full."""

    def __init__(self, state: BookState) -> None:
        self._state = state
        self._heading, self._detail = widgets.HTML(), widgets.HTML()
        self.sought = widgets.Text(
            description="Find an ID", placeholder="application or prediction", continuous_update=False
        )
        self.back = widgets.Button(description="Back to recent")
        self.back.on_click(lambda _: self._clear())
        self.sought.observe(lambda change: state.find(change["new"]), "value")
        self._dots: dict[str, str] = {}
        self.grid = Grid("Predictions", self._columns(), "prediction_id")
        self.grid.observe(lambda change: state.open(change["new"]), "chosen")
        search = classed(widgets.Box([self.sought, self.back]), "cr-find")
        bar = classed(widgets.Box([self._heading, search]), "cr-bar")
        self.view = classed(widgets.VBox([bar, self.grid, self._detail]), "cr-card")
        state.observe(self._show, ["rows", "found"])
        state.observe(self._show_detail, ["chosen", "detail"])
        self._show()

    def _columns(self) -> list[Column]:
        return [
            Column("created_at", "Time (UTC)", lambda at: f"{at:%Y-%m-%d %H:%M}", roomy=True),
            Column("application_id", "Application", book_html.cut_short, markup=True),
            Column("pd", "PD", percent, right=True, roomy=True),
            Column("score", "Score", right=True),
            Column("rating", "Rating", lambda name: self._dots.get(name, ""), roomy=True, markup=True),
            Column("grade", "Grade", roomy=True),
            Column("decision", "Decision", lambda name: book_html.SIGNS.get(name, name)),
            Column("policy", "Policy", book_html.cut_short, roomy=True, markup=True),
            Column("purpose", "Purpose", book_html.in_words, roomy=True),
            Column("model_version", "Model", book_html.cut_short, roomy=True, markup=True),
        ]

    def _clear(self) -> None:
        self.sought.value = ""

    def _show(self, _change=None) -> None:
        state = self._state
        rows = state.found if state.found is not None else state.rows or ()
        known = [rating.name for rating in state.book.scale.ratings] if state.book else []
        others = {row["rating"] for row in rows} - set(known)
        self._dots = book_html.rating_dots([*known, *sorted(others)])
        names = ["prediction_id", *(column.name for column in self._columns())]
        self.grid.show(pd.DataFrame([[row[name] for name in names] for row in rows], columns=names))
        self._heading.value = book_html.grid_heading(state)
        shown(self.back, state.found is not None)

    def _show_detail(self, _change=None) -> None:
        state = self._state
        self.grid.chosen = state.chosen
        shown(self._detail, state.chosen)
        self._detail.value = detail_html(state.chosen, state.detail, state.book) if state.chosen else ""
