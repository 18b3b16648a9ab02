"""The charts of the Book tab: bqplot figures that are made once and given new data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import bqplot
import numpy as np

from creditrisk.ui.page.book_state import SCORE_STEP
from creditrisk.ui.page.charts import axis, figure, steps
from creditrisk.ui.styles import FIGURE, INK, rating_colours

TICK = 100  # of the score axis: what still fits on a narrow page


class RatingChart:
    """How many predictions have each rating, worst first, with the count above each bar."""

    def __init__(self) -> None:
        x, y = bqplot.OrdinalScale(), bqplot.LinearScale(min=0)
        self._bars = bqplot.Bars(
            x=[], y=[], scales={"x": x, "y": y}, padding=0.35, label_display=True, label_display_format=",d",
            label_font_style={"font-size": "13px", "fill": INK, "font-weight": "600"},
            label_display_vertical_offset=-14,
        )  # fmt: skip
        self._y, self._axis = y, axis(y, "predictions", vertical=True)
        self.figure = figure([self._bars], [axis(x, ""), self._axis], bottom=26)

    def show(self, counts: Mapping[str, int]) -> None:
        """Show counts by rating."""
        colours = rating_colours(list(counts))
        self._y.max, self._axis.tick_values = steps(max([1, *counts.values()]), room=1.12)
        with self._bars.hold_sync():
            self._bars.x = list(counts)
            self._bars.y = np.array(list(counts.values()), dtype=np.float64)
            self._bars.colors = [colours[name] for name in counts]


class ScoreChart:
    """How the scores are spread, in steps of SCORE_STEP."""

    def __init__(self) -> None:
        x, y = bqplot.LinearScale(), bqplot.LinearScale(min=0)
        self._bars = bqplot.Bars(x=[], y=[], scales={"x": x, "y": y}, padding=0.12, colors=[FIGURE])
        self._x, self._x_axis = x, axis(x, "credit score")
        self._y, self._y_axis = y, axis(y, "predictions", vertical=True)
        self.figure = figure([self._bars], [self._x_axis, self._y_axis], bottom=44)

    def show(self, counts: Sequence[tuple[int, int]]) -> None:
        """Show (lower edge of the step, count) pairs."""
        edges = np.array([edge for edge, _ in counts], dtype=np.float64)
        heights = np.array([n for _, n in counts], dtype=np.float64)
        if len(edges):
            low, high = float(edges[0]), float(edges[-1] + SCORE_STEP)
            self._x.min, self._x.max = low, high
            self._x_axis.tick_values = np.arange(np.ceil(low / TICK) * TICK, high + 1, TICK)
        self._y.max, self._y_axis.tick_values = steps(max([1, *heights]), room=1.0)
        with self._bars.hold_sync():
            self._bars.x, self._bars.y = edges + SCORE_STEP / 2, heights
