"""The charts of the Book tab: bqplot figures that are made once and given new data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import bqplot
import numpy as np

from creditrisk.ui.page.book_figures import SCORE_STEP, Approvals, Period, Profile
from creditrisk.ui.page.charts import axis, figure, steps
from creditrisk.ui.styles import ACCENT, FIGURE, INK, SOFT, rating_colours

TICK = 100  # of the score axis: what still fits on a narrow page
LABELS = 5  # that fit below the bars of a narrow page
PLACES = 7  # for bars over time, at least, some of them empty: one bar alone would have no width
DAY, MONTH = "{0.day} {0:%b}", "{0:%b %y}"


def _upward(axis: bqplot.Axis, scale: bqplot.LinearScale, most: float, room: float = 1.0) -> None:
    """Let an axis of counts reach from 0 to `most`, with thousands as k: long numbers do not fit beside it."""
    scale.max, axis.tick_values = steps(max(most, 1), room=room)
    axis.tick_format = "~s" if scale.max >= 1_000 else ",d"


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
        _upward(self._axis, self._y, max(counts.values(), default=1), room=1.12)
        with self._bars.hold_sync():
            self._bars.x = list(counts)
            self._bars.y = np.array(list(counts.values()), dtype=np.float64)
            self._bars.colors = [colours[name] for name in counts]


class ScoreChart:
    """How the scores are spread, in steps of SCORE_STEP, with a line at the cut-off."""

    def __init__(self) -> None:
        x, y = bqplot.LinearScale(), bqplot.LinearScale(min=0)
        scales = {"x": x, "y": y}
        self._bars = bqplot.Bars(x=[], y=[], scales=scales, padding=0.12, colors=[FIGURE])
        self._line = bqplot.Lines(x=[], y=[], scales=scales, colors=[INK], stroke_width=2, line_style="dashed")
        self._x, self._x_axis = x, axis(x, "credit score")
        self._y, self._y_axis = y, axis(y, "predictions", vertical=True)
        self.figure = figure([self._bars, self._line], [self._x_axis, self._y_axis], bottom=44)

    def show(self, counts: Sequence[tuple[int, int]]) -> None:
        """Show (lower edge of the step, count) pairs."""
        edges = np.array([edge for edge, _ in counts], dtype=np.float64)
        heights = np.array([n for _, n in counts], dtype=np.float64)
        if len(edges):
            low, high = float(edges[0]), float(edges[-1] + SCORE_STEP)
            self._x.min, self._x.max = low, high
            self._x_axis.tick_values = np.arange(np.ceil(low / TICK) * TICK, high + 1, TICK)
        _upward(self._y_axis, self._y, max(heights, default=1))
        with self._bars.hold_sync():
            self._bars.x, self._bars.y = edges + SCORE_STEP / 2, heights

    def cut(self, score: int) -> None:
        """Draw the line at a score."""
        with self._line.hold_sync():
            self._line.x, self._line.y = np.array([score, score], float), np.array([0.0, self._y.max])


class TradeChart:
    """Every cut-off: how many it approves and how many of those are expected to turn out bad."""

    def __init__(self) -> None:
        x, y = bqplot.LinearScale(min=0, max=1), bqplot.LinearScale(min=0)
        scales = {"x": x, "y": y}
        self._curve = bqplot.Lines(x=[], y=[], scales=scales, colors=[FIGURE], stroke_width=2)
        self._policy = bqplot.Scatter(x=[], y=[], scales=scales, colors=[INK], marker="diamond", default_size=110)
        self._here = bqplot.Scatter(x=[], y=[], scales=scales, colors=[ACCENT], marker="circle", default_size=110)
        self._y = y
        across, up = axis(x, "share approved"), axis(y, "mean PD of those approved", vertical=True)
        across.tick_format, up.tick_format, across.tick_values = ".0%", ".1~%", np.linspace(0, 1, 6)
        self._up = up
        self.figure = figure([self._curve, self._policy, self._here], [across, up], bottom=44)

    def show(self, profile: Profile) -> None:
        """Show all cut-offs of a window."""
        shares, pds = profile.curve()
        most, places = steps(max(float(pds.max()) * 1000, 1.0) if len(pds) else 1000.0, room=1.0)
        self._y.max, self._up.tick_values = most / 1000, places / 1000
        with self._curve.hold_sync():
            self._curve.x, self._curve.y = shares, pds

    def cut(self, here: Approvals, policy: Approvals) -> None:
        """Mark the cut-off that is set and, where it approved any, the policy."""
        for mark, one in ((self._here, here), (self._policy, policy)):
            with mark.hold_sync():
                mark.x = np.array([one.share] if one.mean_pd is not None else [])
                mark.y = np.array([one.mean_pd] if one.mean_pd is not None else [])


class TimeChart:
    """Predictions by day, week or month, those approved below those not, and the share of those approved."""

    def __init__(self) -> None:
        x, y, share = bqplot.LinearScale(), bqplot.LinearScale(min=0), bqplot.LinearScale(min=0, max=1)
        self._bars = bqplot.Bars(
            x=[],
            y=[[], []],
            type="stacked",
            scales={"x": x, "y": y},
            padding=0.25,
            colors=[FIGURE, SOFT],
            opacities=[1],
        )
        self._line = bqplot.Lines(
            x=[], y=[], scales={"x": x, "y": share}, colors=[ACCENT], stroke_width=2, marker="circle", marker_size=36
        )
        self._x, self._y = x, y
        self._below, self._beneath = axis(x, ""), axis(x, "")
        self._up, of = axis(y, "predictions", vertical=True), axis(share, "approved", vertical=True)
        of.tick_format, of.tick_values = ".0%", np.array([0, 0.25, 0.5, 0.75, 1.0])
        self.counts = figure([self._bars], [self._below, self._up], bottom=26)
        self.shares = figure([self._line], [self._beneath, of], bottom=26)

    def show(self, periods: Sequence[Period], unit: str) -> None:
        """Show the periods, in order."""
        places = np.arange(len(periods), dtype=np.float64)
        approved = np.array([one.approved for one in periods], dtype=np.float64)
        others = np.array([one.n for one in periods], dtype=np.float64) - approved
        before = max(0, PLACES - len(periods)) // 2
        after = max(0, PLACES - len(periods)) - before
        self._x.min, self._x.max = -0.6 - before, len(periods) + after - 0.4
        every = max(1, -(-len(periods) // LABELS))
        form = MONTH if unit == "month" else DAY
        for one in (self._below, self._beneath):
            one.tick_values = places[::every]
            one.tick_labels = {str(int(i)): form.format(periods[int(i)].start) for i in places[::every]}
        _upward(self._up, self._y, max(approved + others, default=1))
        with self._bars.hold_sync():
            self._bars.x = np.arange(-before, len(periods) + after, dtype=np.float64)
            self._bars.y = np.pad(np.array([approved, others]), ((0, 0), (before, after)))
        known = [i for i, one in enumerate(periods) if one.share is not None]
        with self._line.hold_sync():
            self._line.x = places[known]
            self._line.y = np.array([periods[i].share for i in known], dtype=np.float64)
