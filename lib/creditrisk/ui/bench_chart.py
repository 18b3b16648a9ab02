"""The bench's chart: share of rows and bad rate by bin, training and test told apart by shape as well as colour."""

from __future__ import annotations

from collections.abc import Callable

import bqplot
import numpy as np

from creditrisk.ui.bench_variable import Version
from creditrisk.ui.bench_words import percent
from creditrisk.ui.charts import BLUE, ORANGE
from creditrisk.ui.styles import INK, LINE, SOFT

HEIGHT = "300px"
LIGHT_TRAIN, LIGHT_TEST = "#d3dde6", "#f3dcc9"
CHOSEN = "#eaf1f7"
BARS_REACH = 0.62  # of the height: above it the lines have the room for themselves
BESIDE = 0.2  # of a bin, by which the bars of the two samples stand beside each other
APART = 0.09  # of a bin, by which points of the two samples stand beside each other
TICKS = {"fill": SOFT, "font-size": "12.5px"}  # said here, since a dark theme makes them white
UNSEEN = 40
PLOT = 560  # pixels that the bins share at the usual width


class BinChart:
    """Made once and given new data. `choose(k)` is called when slot k of the chart is clicked."""

    def __init__(self, choose: Callable[[int], None]) -> None:
        self._x = bqplot.LinearScale(min=-0.5, max=0.5)
        self._rate, self._share = bqplot.LinearScale(min=0, max=1), bqplot.LinearScale(min=0, max=1)
        on_rate, on_share = {"x": self._x, "y": self._rate}, {"x": self._x, "y": self._share}
        self._chosen = bqplot.Lines(
            x=[-0.5, 0.5], y=[1, 1], scales=on_share, fill="bottom", fill_colors=[CHOSEN], fill_opacities=[1],
            colors=[CHOSEN], stroke_width=0,
        )  # fmt: skip
        self._bars = [_bars(on_share, LIGHT_TRAIN), _bars(on_share, LIGHT_TEST)]
        self._whiskers = [_lines(on_rate, colour, 1.5) for colour in (BLUE, ORANGE)]
        self._lines = [_lines(on_rate, BLUE, 2, "solid"), _lines(on_rate, ORANGE, 2, "dashed")]
        self._points = [_points(on_rate, BLUE, "circle"), _points(on_rate, ORANGE, "diamond")]
        # bqplot keeps room for points beside an axis that has some; the bars' axis must keep the same.
        even = _points(on_share, BLUE, "circle")
        even.opacities = [0]
        _put(even, np.array([0.0]), np.array([0.0]))
        self._marks = bqplot.Label(
            x=[], y=[], text=[], scales=on_rate, align="middle", colors=[INK], default_size=15, font_weight="bold",
            apply_clip=False,
        )  # fmt: skip
        self._catch = bqplot.Bars(x=[], y=[], scales=on_share, padding=0, colors=["#fff"], opacities=[0])
        self._catch.on_element_click(lambda _, event: choose(int(event["data"]["index"])))
        self._numbers, self._edges = (
            bqplot.Axis(scale=self._x, side=side, grid_lines="none", tick_values=[], tick_style=TICKS)
            for side in ("top", "bottom")
        )
        self._rate_axis = _vertical(self._rate, "left", "bad rate", "solid")
        self._share_axis = _vertical(self._share, "right", "share of rows", "none")
        self.figure = bqplot.Figure(
            marks=[
                self._chosen, *self._bars, even, *self._whiskers, *self._lines, *self._points, self._marks, self._catch
            ],
            axes=[self._rate_axis, self._share_axis, self._numbers, self._edges],
            fig_margin={"top": 30, "bottom": 30, "left": 60, "right": 64}, background_style={"fill": "#fff"},
            min_aspect_ratio=0.5, max_aspect_ratio=8, padding_x=0, padding_y=0, title="", display_toolbar=False,
        )  # fmt: skip
        layout = self.figure.layout
        layout.height, layout.width, layout.min_width, layout.overflow = HEIGHT, "100%", "0", "hidden"
        self.figure.add_class("cr-chart")

    def show(self, version: Version, chosen: int) -> None:
        """Show these bins, with regular bin `chosen` marked."""
        table, bins = version.table, version.bins
        slots = _slots(version)
        place = {slot: i for i, slot in enumerate(slots)}
        at = np.array([place[slot] for slot in table.index], dtype=np.float64)
        shares = [table["count_share"].to_numpy(), table["test_count_share"].to_numpy()]
        rates = [_floats(table["bad_rate"]), _floats(table["test_bad_rate"])]
        ends = [
            (_floats(table["bad_rate_low"]), _floats(table["bad_rate_high"])),
            (_floats(table["test_low"]), _floats(table["test_high"])),
        ]
        regular = table.index.to_numpy() < bins.n_regular
        ticks = self._name(version, slots)
        top = self._scale_axes(len(slots), shares, rates, ends)
        for i, side in enumerate((-1, 1)):
            with self._bars[i].hold_sync():
                self._bars[i].x = np.append(at, _beyond(at)) + BESIDE * side
                self._bars[i].y = np.append(shares[i], np.zeros(UNSEEN))
            seen = ~np.isnan(rates[i])
            _put(self._points[i], at[seen] + APART * side, rates[i][seen])
            line = seen & regular
            _put(self._lines[i], at[line] + APART * side, rates[i][line])
            low, high = (np.minimum(end[seen], top) for end in ends[i])
            x = at[seen] + APART * side
            _put(self._whiskers[i], np.column_stack([x, x]), np.column_stack([low, high]))
        self._mark(table, place, top)
        self._catch_clicks(len(slots))
        for axis, places in ticks.items():
            axis.tick_values = np.array(places, dtype=np.float64)
        self.choose(chosen)

    def choose(self, chosen: int) -> None:
        """Mark another regular bin."""
        _put(self._chosen, np.array([chosen - 0.5, chosen + 0.5]), np.array([1e3, 1e3]))

    def _scale_axes(self, count: int, shares, rates, ends) -> float:
        """Set the ranges of the axes; the top of the bad rates."""
        self._x.min, self._x.max = -0.5, count - 0.5
        most = float(np.nanmax([*rates[0], *rates[1], 0.001]))
        reach = float(np.nanmax([*ends[0][1], *ends[1][1], 0.001]))
        top = min(reach, 1.5 * most) * 1.12
        self._rate.max = top
        _scale(self._rate_axis, top)
        top_share = max(float(np.max(shares)), 0.01) / BARS_REACH
        self._share.max = top_share
        _scale(self._share_axis, top_share)
        return self._rate.max

    def _mark(self, table, place: dict[int, int], top: float) -> None:
        """Signs between neighbours: alike, or changing places on the test rows."""
        found = [
            (place[slot] + 0.5, "≈" * bool(row.alike) + "⇅" * bool(row.reverses))
            for slot, row in zip(table.index, table.itertuples(), strict=True)
            if row.alike or row.reverses
        ]
        with self._marks.hold_sync():
            self._marks.x = np.array([x for x, _ in found], dtype=np.float64)
            self._marks.y = np.full(len(found), top * 0.955)
            self._marks.text = np.array([text for _, text in found], dtype="U2")

    def _catch_clicks(self, count: int) -> None:
        with self._catch.hold_sync():
            places = np.arange(count, dtype=np.float64)
            self._catch.x = np.append(places, _beyond(places))
            self._catch.y = np.append(np.full(count, 1e3), np.zeros(UNSEEN))

    def _name(self, version: Version, slots: list[int]) -> dict[bqplot.Axis, list[float]]:
        """Bins by number above; below, the cuts where they are made, or the levels. The places of the names by axis.

        Names must be there before their places: bqplot writes them with a delay, and would take those of before.
        """
        bins, labels = version.bins, version.bins.labels()
        numbers = {i: str(slot + 1) for i, slot in enumerate(slots) if slot < bins.n_regular}
        if bins.kind == "numeric":
            numbers |= {i: labels[slot] for i, slot in enumerate(slots) if slot >= bins.n_regular}
            below = {i + 0.5: text for i, text in enumerate(_brief(bins.cuts))}
        else:
            room = max(int(PLOT / len(slots) / 7), 4)
            below = {i: _short(labels[slot], room) for i, slot in enumerate(slots)}
        named = {self._numbers: numbers, self._edges: below or {0: ""}}  # without a place bqplot makes up its own
        for axis, names in named.items():
            axis.tick_labels = {f"{at:g}": text for at, text in names.items()}
        return {axis: list(names) for axis, names in named.items()}


def _slots(version: Version) -> list[int]:
    """Regular slots, empty ones too, then those outside that hold rows."""
    regular = range(version.bins.n_regular)
    return [*regular, *(slot for slot in version.table.index if slot not in regular)]


def _beyond(at: np.ndarray) -> np.ndarray:
    """Where bars of no height, out of sight, give the others the width of a bin and the whole width of the chart.

    bqplot divides the range of all bars by their number, and keeps half a share of its width free to either side.
    """
    return at.min() + len(at) + np.arange(1, UNSEEN + 1)


def _floats(column) -> np.ndarray:
    return column.to_numpy(dtype=np.float64)


def _bars(scales, colour: str) -> bqplot.Bars:
    return bqplot.Bars(x=[], y=[], scales=scales, padding=0.62, colors=[colour])


def _lines(scales, colour: str, width: float, style: str = "solid") -> bqplot.Lines:
    return bqplot.Lines(x=[], y=[], scales=scales, colors=[colour], stroke_width=width, line_style=style)


def _points(scales, colour: str, marker: str) -> bqplot.Scatter:
    return bqplot.Scatter(
        x=[], y=[], scales=scales, colors=[colour], marker=marker, default_size=70, stroke="#fff", stroke_width=1,
        apply_clip=False,
    )  # fmt: skip


def _put(mark, x: np.ndarray, y: np.ndarray) -> None:
    with mark.hold_sync():
        mark.x, mark.y = x, y


def _vertical(scale, side: str, label: str, grid: str) -> bqplot.Axis:
    return bqplot.Axis(
        scale=scale, side=side, label=label, label_offset="50px", grid_lines=grid,
        grid_color=LINE, tick_format=".0%", label_color=SOFT, tick_style=TICKS,
    )  # fmt: skip


def _scale(axis: bqplot.Axis, top: float) -> None:
    """Ticks of an axis of shares from 0 to `top`, and no share above 1. Their format goes first, as names do."""
    size = 10.0 ** np.floor(np.log10(top / 4))
    step = next(size * n for n in (1, 2, 2.5, 5, 10) if size * n >= top / 5)
    ticks = np.arange(0, min(top, 1.0 + step / 2), step)
    axis.tick_format = ".0%" if np.allclose(ticks * 100, np.rint(ticks * 100)) else ".1%"
    axis.tick_values = ticks


def _brief(cuts) -> list[str]:
    """Cuts with as few digits as keep them apart, millions as M."""
    for digits in (3, 4, 6, 12):
        texts = [
            f"{cut / 1e6:.{digits}g}M"
            if abs(cut) >= 1e6
            else f"{cut:,.{digits}g}"
            if abs(cut) < 1000
            else f"{cut:,.0f}"
            for cut in cuts
        ]
        if len(set(texts)) == len(texts):
            break
    return texts if cuts else []


def _short(text: str, room: int) -> str:
    return text if len(text) <= room else text[: room - 1] + "…"


def in_words(version: Version) -> str:
    """The chart for those who cannot see it: bad rates by bin, training and test."""
    pairs = [
        f"bin {slot + 1} {percent(row.bad_rate)} and {percent(row.test_bad_rate)}"
        for slot, row in zip(version.table.index, version.table.itertuples(), strict=True)
        if slot < version.bins.n_regular
    ]
    return "Bad rate by bin, training and test: " + "; ".join(pairs)
