"""The charts of the Model tab: bqplot figures that are made once and given new data."""

from __future__ import annotations

from collections.abc import Sequence

import bqplot
import numpy as np
import pandas as pd

from creditrisk.ui.page.charts import axis, figure
from creditrisk.ui.page.model_bins import BinRow
from creditrisk.ui.styles import ACCENT, FIGURE, INK, SOFT

TICKS = (0.0001, 0.001, 0.01, 0.05, 0.2, 0.5, 0.8, 0.95, 0.99, 0.999)
EDGE = 1e-6
"""Shares nearer to 0 or 1 have the log-odds of this one, which are endless otherwise."""
SIZE = 48  # of a point, in square pixels
ROOM = 0.5
"""Log-odds beyond the outermost group with goods and bads; those of one kind alone stand at the edge."""


def logit(share: np.ndarray) -> np.ndarray:
    """Log-odds of shares, those at the ends at EDGE."""
    clipped = np.clip(np.asarray(share, dtype=np.float64), EDGE, 1 - EDGE)
    return np.log(clipped / (1 - clipped))


class CalibrationChart:
    """Bad rates with 95% intervals against mean PDs of groups, on axes of log-odds; the line is a right model's."""

    def __init__(self) -> None:
        x, y = bqplot.LinearScale(), bqplot.LinearScale()
        self._scales = {"x": x, "y": y}
        ends = logit(np.array([0.0, 1.0]))
        ideal = bqplot.Lines(x=ends, y=ends, scales=self._scales, colors=[SOFT], line_style="dashed", stroke_width=1.5)
        self._intervals = bqplot.Lines(x=[], y=[], scales=self._scales, colors=[FIGURE], stroke_width=2)
        self._points = bqplot.Scatter(
            x=[], y=[], scales=self._scales, colors=[FIGURE], default_size=SIZE, stroke=INK, stroke_width=1,
        )  # fmt: skip
        axes = [axis(x, "mean PD of the group"), axis(y, "bad rate", vertical=True)]
        self._axes = axes
        self.figure = figure([ideal, self._intervals, self._points], axes, bottom=44)
        self.figure.layout.height = "340px"

    def show(self, curve: pd.DataFrame) -> None:
        """Show groups: mean_pd, bad_rate, low, high."""
        rate = curve["bad_rate"].to_numpy()
        mixed = (rate > 0) & (rate < 1)
        x, low, high = (logit(curve[name].to_numpy()) for name in ("mean_pd", "low", "high"))
        ends = np.concatenate([x, low[mixed], high[mixed]])
        least, most = float(ends.min()) - ROOM, float(ends.max()) + ROOM
        for scale, one in zip(self._scales.values(), self._axes, strict=True):
            scale.min, scale.max = least, most
            one.tick_labels, one.tick_values = _ticks(least, most)
        y, low, high = (np.clip(values, least, most) for values in (logit(rate), low, high))
        with self._intervals.hold_sync():
            self._intervals.x, self._intervals.y = np.column_stack([x, x]), np.column_stack([low, high])
        with self._points.hold_sync():
            self._points.x, self._points.y = x, y


def _ticks(least: float, most: float) -> tuple[dict[str, str], np.ndarray]:
    """Labels of round shares by the text that the browser has for their places in log-odds, and these places."""
    pairs = [(float(np.round(logit(np.array([share]))[0], 4)), share) for share in TICKS]
    inside = [(place, share) for place, share in pairs if least <= place <= most]
    labels = {f"{place:.4f}".rstrip("0").rstrip("."): f"{share * 100:g}%" for place, share in inside}
    return labels, np.array([place for place, _ in inside])


class BinChart:
    """Share of the training rows (bars, left) and bad rates (points, right) by bin."""

    def __init__(self) -> None:
        self._x, self._shares, self._rates = (bqplot.LinearScale(min=0) for _ in range(3))
        self._bars = bqplot.Bars(
            x=[], y=[], scales={"x": self._x, "y": self._shares}, padding=0.3, colors=[FIGURE], opacities=[0.4],
        )  # fmt: skip
        right = {"x": self._x, "y": self._rates}
        # A scale leaves room for points that are drawn on it: with none on the left, its 0 would be lower.
        level = bqplot.Scatter(x=[], y=[], scales={"x": self._x, "y": self._shares}, default_size=SIZE)
        self._line = bqplot.Lines(x=[], y=[], scales=right, colors=[INK], stroke_width=1.5)
        self._points = bqplot.Scatter(x=[], y=[], scales=right, colors=[INK], default_size=SIZE)
        self._tested = bqplot.Scatter(
            x=[], y=[], scales=right, colors=[ACCENT], marker="triangle-up", default_size=SIZE, fill=False,
            stroke_width=2,
        )  # fmt: skip
        left, rates = axis(self._shares, "share of rows", vertical=True), axis(self._rates, "bad rate", vertical=True)
        rates.side, rates.grid_lines, rates.label_offset = "right", "none", "46px"
        for one in (left, rates):
            one.tick_format = ".0%"
        marks = [self._bars, level, self._line, self._points, self._tested]
        self._bin_axis = axis(self._x, "bin, as numbered in the table")
        self.figure = figure(marks, [self._bin_axis, left, rates], bottom=44)
        self.figure.fig_margin = {**self.figure.fig_margin, "right": 62}
        self._share_axis, self._rate_axis = left, rates

    def show(self, rows: Sequence[BinRow]) -> None:
        """Show bins; those whose bad rate is not known have a bar alone."""
        known = [(place, row) for place, row in enumerate(rows, 1) if row.rate is not None]
        tested = [(place, row.test_rate) for place, row in enumerate(rows, 1) if row.test_rate is not None]
        ordered = [(place, row.rate) for place, row in known if not row.missing]
        self._x.min, self._x.max = 0.5, len(rows) + 0.5
        self._bin_axis.tick_labels = {str(place): name for place, name in enumerate(bin_names(rows), 1)}
        self._bin_axis.tick_values = np.arange(1, len(rows) + 1)
        _fit(self._shares, self._share_axis, max([0.05, *(float(row.share) for row in rows)]))
        _fit(self._rates, self._rate_axis, max([0.04, *(row.rate for _, row in known), *(rate for _, rate in tested)]))
        self._rate_axis.visible = bool(known)
        _put(self._bars, [(place, float(row.share)) for place, row in enumerate(rows, 1)])
        _put(self._line, ordered)
        _put(self._points, [(place, row.rate) for place, row in known])
        _put(self._tested, tested)


def _fit(scale: bqplot.LinearScale, one: bqplot.Axis, most: float) -> None:
    """A scale of shares from 0 to a round number above `most`, with four or five round ticks."""
    step = next(size for size in (0.01, 0.02, 0.05, 0.1, 0.2, 0.25) if most <= 4.5 * size or size == 0.25)
    ticks = np.arange(0, most + step, step)
    scale.max, one.tick_values = float(ticks[-1]), ticks


def _put(mark, pairs: Sequence[tuple[int, float]]) -> None:
    places, values = np.array(pairs, dtype=np.float64).reshape(-1, 2).T
    with mark.hold_sync():
        mark.x, mark.y = places, values


def bin_names(rows: Sequence[BinRow]) -> list[str]:
    """What bins are called in chart and table: their number, M if their values are missing."""
    return [row.label[:1].upper() if row.missing else str(number) for number, row in enumerate(rows, 1)]
