"""The charts of drift: figures that are made once and given new data."""

from __future__ import annotations

from collections.abc import Sequence

import bqplot
import numpy as np

from creditrisk.monitoring.drift import AMBER_PSI, RED_PSI
from creditrisk.ui.page.charts import axis, figure
from creditrisk.ui.styles import ACCENT, BAD, FIGURE, INK, SOFT, WARN

TICKS = 8
"""Labels that fit below a chart on a narrow page."""
SERIES = ((INK, "circle"), (ACCENT, "diamond"), (SOFT, "square"))
"""Colour and mark of each line of PSI."""


def few(places: Sequence[int], most: int = TICKS) -> list[int]:
    """At most so many of the places, evenly, the last one among them."""
    step = -(-len(places) // most) or 1
    return list(places)[::-1][::step][::-1]


def round_ticks(low: float, high: float) -> np.ndarray:
    """Three to seven round values from `low` to `high`."""
    rough = (high - low) / 6
    size = 10.0 ** np.floor(np.log10(rough))
    step = next(size * n for n in (1, 2, 2.5, 5, 10) if size * n >= rough * 0.999)
    return np.arange(np.ceil(low / step - 1e-9), np.floor(high / step + 1e-9) + 1) * step


def put(mark: bqplot.Mark, x: Sequence[float] = (), y: Sequence[float] = ()) -> None:
    """Give a mark new data in one message, without gaps at the end: bqplot fails to place the name of such a line."""
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    known = np.flatnonzero(np.isfinite(y))
    last = known[-1] + 1 if len(known) else 0
    with mark.hold_sync():
        mark.x, mark.y = x[:last], y[:last]


class DistributionChart:
    """Shares of the baseline and of the window, side by side in each bin."""

    def __init__(self) -> None:
        x, y = bqplot.OrdinalScale(), bqplot.LinearScale(min=0)
        self._bars = bqplot.Bars(
            x=[], y=[[], []], scales={"x": x, "y": y}, type="grouped", padding=0.25, colors=[SOFT, FIGURE],
            stroke=INK, opacities=[0.55, 1.0],
        )  # fmt: skip
        self._x_axis, self._y, self._y_axis = axis(x, ""), y, axis(y, "", vertical=True)
        self._y_axis.tick_format = ".0%"
        self.figure = figure([self._bars], [self._x_axis, self._y_axis], bottom=84)
        self.figure.layout.height = "290px"

    def show(self, names: Sequence[str], before: Sequence[float], now: Sequence[float]) -> None:
        """Show shares (0 to 1) by bin."""
        slanted = sum(map(len, names)) > 40
        self._x_axis.tick_rotate = -32 if slanted else 0
        self._x_axis.tick_style = {"text-anchor": "end" if slanted else "middle"}
        self._y.max = max(0.05, *before, *now) * 1.05
        self._y_axis.tick_values = round_ticks(0, self._y.max)
        with self._bars.hold_sync():
            self._bars.x, self._bars.y = list(names), np.array([before, now], dtype=np.float64)


class PsiChart:
    """PSI of some columns, check by check, against the limits of amber and red."""

    def __init__(self) -> None:
        self._x, self._y = bqplot.LinearScale(), bqplot.LinearScale(min=0)
        scales = {"x": self._x, "y": self._y}
        self._x_axis, self._y_axis = axis(self._x, "check"), axis(self._y, "PSI less chance", vertical=True)
        self._y_axis.tick_format = ".2f"
        self._limits = [
            bqplot.Lines(x=[0, 1], y=[limit, limit], scales=scales, colors=[colour], line_style=style, stroke_width=1.5)
            for limit, colour, style in ((AMBER_PSI, WARN, "dashed"), (RED_PSI, BAD, "dash_dotted"))
        ]
        self._lines = [
            bqplot.Lines(x=[], y=[], scales=scales, colors=[colour], stroke_width=2, marker=mark, marker_size=28)
            for colour, mark in SERIES
        ]
        self._alarms = bqplot.Scatter(
            x=[], y=[], scales=scales, colors=[BAD], marker="triangle-up", default_size=110, stroke=BAD
        )
        marks = [*self._limits, *self._lines, self._alarms]
        self.figure = figure(marks, [self._x_axis, self._y_axis], bottom=44)
        self.figure.layout.height = "260px"

    def show(
        self, names: Sequence[str], series: Sequence[Sequence[float | None]], alarms: Sequence[bool]
    ) -> None:  # fmt: skip
        """Show one value a check of each series, oldest first; `alarms` are marked on the first series."""
        places = np.arange(len(names), dtype=np.float64)
        values = [np.array([np.nan if one is None else one for one in line], dtype=np.float64) for line in series]
        most = max([RED_PSI, *(float(np.nanmax(line)) for line in values if np.isfinite(line).any())])
        self._x.min, self._x.max, self._y.max = -0.5, max(len(names) - 0.5, 0.5), most * 1.12
        self._y_axis.tick_values = round_ticks(0, self._y.max)
        shown = few(range(len(names)))
        with self._x_axis.hold_sync():
            self._x_axis.tick_values = np.array(shown, dtype=np.float64)
            self._x_axis.tick_labels = {str(place): names[place] for place in shown}
        for limit in self._limits:
            limit.x = [-0.5, max(len(names) - 0.5, 0.5)]
        for i, line in enumerate(self._lines):
            put(line, *((places, values[i]) if i < len(values) else ()))
        worst = np.max([np.nan_to_num(line) for line in values], axis=0) if values else np.array([])
        lit = np.array(alarms, dtype=bool)
        put(self._alarms, places[lit], worst[lit])
