"""The Book tab: widgets over its state, without logic of their own."""

from __future__ import annotations

import ipywidgets as widgets

from creditrisk.ui.page import book_html
from creditrisk.ui.page.book_charts import RatingChart, ScoreChart
from creditrisk.ui.page.book_state import BookState
from creditrisk.ui.page.parts import classed, shown
from creditrisk.ui.page.words import empty, no_log

NO_PREDICTIONS = "Save a prediction here, call the API (`creditrisk serve`), or score a file with `creditrisk score`."


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
        bar = classed(widgets.Box([self._heading, self.purpose, self.refresh]), "cr-bar")
        self._charts = classed(widgets.Box(), "cr-pair")
        self._in_sight = False
        self._filled = [self._charts, classed(widgets.VBox([self._table]), "cr-card")]
        self.view = classed(widgets.VBox([bar, self._empty, *self._filled]), "cr-stack")
        state.observe(self._show, "summary")
        state.log.observe(self._show, "problem")
        self._show()

    def look(self) -> None:
        """Read the log again, and draw the charts from now on."""
        self._in_sight = True
        self._state.refresh()
        self._show()

    def _draw(self, summary) -> None:
        self.ratings.show(summary.ratings)
        self.scores.show(summary.scores)
        self._above[0].value = book_html.rating_heading(summary)
        self._above[1].value = book_html.score_heading(summary)
        if not self._charts.children:
            self._charts.children = [
                classed(widgets.VBox([above, chart.figure]), "cr-card")
                for above, chart in zip(self._above, (self.ratings, self.scores), strict=True)
            ]

    def _choose(self, change) -> None:
        if not self._busy:
            self._state.choose(change["new"])

    def _show(self, _change=None) -> None:
        summary = self._state.summary
        has_rows = summary is not None and bool(summary.recent)
        for part in self._filled:
            shown(part, has_rows)
        shown(self._empty, not has_rows)
        shown(self.purpose, summary is not None and summary.by_purpose)
        if summary is None:
            self._heading.value = "<h2>Logged predictions</h2>"
            self._empty.value = no_log(self._state.log.problem)
            return
        self._heading.value = book_html.book_heading(summary)
        self._offer(summary.by_purpose)
        if not has_rows:
            self._empty.value = empty("No predictions yet", NO_PREDICTIONS)
            return
        if self._in_sight:
            self._draw(summary)
        self._table.value = book_html.recent_table(summary)

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
