"""The charts of outcomes: one value a vintage with its interval, marked by its light."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import bqplot
import numpy as np

from creditrisk.ui.page.charts import axis, figure
from creditrisk.ui.page.monitoring_charts import few, put, round_ticks
from creditrisk.ui.styles import BAD, FIGURE, GOOD, SOFT, WARN

MARKS = {
    "green": (GOOD, "circle"),
    "amber": (WARN, "square"),
    "red": (BAD, "triangle-up"),
    "not evaluable": (SOFT, "diamond"),
}


@dataclass(frozen=True)
class Point:
    """One vintage: its value with a 95% interval and light, None where it is not judged, and what was expected."""

    name: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    light: str = "not evaluable"
    expected: float | None = None


class VintageChart:
    """Values by vintage with their intervals, what was expected of each, and one level to hold them all against."""

    def __init__(self, tick_format: str, from_zero: bool) -> None:
        self._from_zero = from_zero
        self._x, self._y = bqplot.LinearScale(), bqplot.LinearScale()
        scales = {"x": self._x, "y": self._y}
        self._x_axis, self._y_axis = axis(self._x, "vintage"), axis(self._y, "", vertical=True)
        self._y_axis.tick_format = tick_format
        self._level = bqplot.Lines(x=[], y=[], scales=scales, colors=[SOFT], line_style="dashed", stroke_width=1.5)
        self._whiskers = bqplot.Lines(x=[], y=[], scales=scales, colors=[SOFT], stroke_width=1.5)
        self._expected = bqplot.Lines(x=[], y=[], scales=scales, colors=[FIGURE], stroke_width=3)
        self._points = {
            light: bqplot.Scatter(
                x=[], y=[], scales=scales, colors=[colour], stroke=colour, marker=mark, default_size=70
            )
            for light, (colour, mark) in MARKS.items()
        }
        marks = [self._level, self._expected, self._whiskers, *self._points.values()]
        self.figure = figure(marks, [self._x_axis, self._y_axis], bottom=44)
        self.figure.layout.height = "260px"

    def show(self, points: Sequence[Point], level: float | None = None) -> None:
        """Show vintages, oldest first; `level` is a dashed line across all."""
        places = np.arange(len(points), dtype=np.float64)
        self._scale(points, level)
        shown = few(range(len(points)), 4)  # what fits on a narrow page
        with self._x_axis.hold_sync():
            self._x_axis.tick_values = np.array(shown, dtype=np.float64)
            self._x_axis.tick_labels = {str(place): points[place].name for place in shown}
        put(self._level, *(([-0.5, len(points) - 0.5], [level, level]) if level is not None else ()))
        with_ends = [(i, one.low, one.high) for i, one in enumerate(points) if None not in (one.low, one.high)]
        put(self._whiskers, *_segments([((i, i), (low, high)) for i, low, high in with_ends]))
        told = [(i, one.expected) for i, one in enumerate(points) if one.expected is not None]
        put(self._expected, *_segments([((i - 0.28, i + 0.28), (value, value)) for i, value in told]))
        for light, mark in self._points.items():
            mine = [i for i, one in enumerate(points) if one.value is not None and one.light == light]
            put(mark, places[mine], [points[i].value for i in mine])

    def _scale(self, points: Sequence[Point], level: float | None) -> None:
        values = [v for one in points for v in (one.value, one.low, one.high, one.expected) if v is not None]
        values += [] if level is None else [level]
        low, high = (min(values), max(values)) if values else (0.0, 1.0)
        room = 0.08 * (high - low or 1.0)
        self._x.min, self._x.max = -0.5, max(len(points) - 0.5, 0.5)
        self._y.min, self._y.max = 0.0 if self._from_zero else low - room, high + room
        self._y_axis.tick_values = round_ticks(self._y.min, self._y.max)


def _segments(pieces: Sequence[tuple]) -> tuple[list[float], list[float]]:
    """Short lines one after the other in a single one, with gaps between them."""
    x = [value for (xs, _) in pieces for value in (*xs, xs[1])]
    y = [value for (_, ys) in pieces for value in (*ys, np.nan)]
    return x, y
