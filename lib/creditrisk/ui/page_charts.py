"""The page's charts: bqplot figures that are made once and given new data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import bqplot
import numpy as np

from creditrisk.ui.log_state import SCORE_STEP
from creditrisk.ui.styles import FIGURE, INK, LINE, rating_colours

HEIGHT = "230px"
LEFT, RIGHT, TOP = 56, 14, 18
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
        self._y, self._axis = y, _axis(y, "predictions", vertical=True)
        self.figure = _figure([self._bars], [_axis(x, ""), self._axis], bottom=26)

    def show(self, counts: Mapping[str, int]) -> None:
        """Show counts by rating."""
        colours = rating_colours(list(counts))
        self._y.max, self._axis.tick_values = _steps(max([1, *counts.values()]), room=1.12)
        with self._bars.hold_sync():
            self._bars.x = list(counts)
            self._bars.y = np.array(list(counts.values()), dtype=np.float64)
            self._bars.colors = [colours[name] for name in counts]


class ScoreChart:
    """How the scores are spread, in steps of SCORE_STEP."""

    def __init__(self) -> None:
        x, y = bqplot.LinearScale(), bqplot.LinearScale(min=0)
        self._bars = bqplot.Bars(x=[], y=[], scales={"x": x, "y": y}, padding=0.12, colors=[FIGURE])
        self._x, self._x_axis = x, _axis(x, "credit score")
        self._y, self._y_axis = y, _axis(y, "predictions", vertical=True)
        self.figure = _figure([self._bars], [self._x_axis, self._y_axis], bottom=44)

    def show(self, counts: Sequence[tuple[int, int]]) -> None:
        """Show (lower edge of the step, count) pairs."""
        edges = np.array([edge for edge, _ in counts], dtype=np.float64)
        heights = np.array([n for _, n in counts], dtype=np.float64)
        if len(edges):
            low, high = float(edges[0]), float(edges[-1] + SCORE_STEP)
            self._x.min, self._x.max = low, high
            self._x_axis.tick_values = np.arange(np.ceil(low / TICK) * TICK, high + 1, TICK)
        self._y.max, self._y_axis.tick_values = _steps(max([1, *heights]), room=1.0)
        with self._bars.hold_sync():
            self._bars.x, self._bars.y = edges + SCORE_STEP / 2, heights


def _axis(scale, label: str, vertical: bool = False) -> bqplot.Axis:
    return bqplot.Axis(
        scale=scale,
        label=label,
        side="left" if vertical else "bottom",
        grid_lines="solid" if vertical else "none",
        grid_color=LINE,
        tick_format=",d" if isinstance(scale, bqplot.LinearScale) else None,
        label_offset="42px" if vertical else "34px",
    )


def _steps(most: float, room: float) -> tuple[float, np.ndarray]:
    """The top of an axis of counts from 0, `room` times `most` or a step above, and whole round ticks below it."""
    rough = most * room / 4
    size = 10.0 ** np.floor(np.log10(rough)) if rough > 1 else 1.0
    step = max(1.0, next(size * n for n in (1, 2, 5, 10) if size * n >= rough))
    ticks = np.arange(0, most * room + step, step)
    return max(most * room, float(ticks[ticks >= most][0])), ticks[ticks <= max(most * room, ticks[ticks >= most][0])]


def _figure(marks: list, axes: list, bottom: int) -> bqplot.Figure:
    margin = {"top": TOP, "bottom": bottom, "left": LEFT, "right": RIGHT}
    figure = bqplot.Figure(
        marks=marks, axes=axes, fig_margin=margin, background_style={"fill": "#fff"}, min_aspect_ratio=0.5,
        max_aspect_ratio=8, padding_x=0, padding_y=0, title="",
    )  # fmt: skip
    figure.layout.height, figure.layout.width, figure.layout.min_width = HEIGHT, "100%", "0"
    figure.layout.overflow = "hidden"
    figure.add_class("cr-chart")
    return figure
