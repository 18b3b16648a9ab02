"""How the page's charts look: axes and figures of bqplot that are made once and given new data."""

from __future__ import annotations

import bqplot
import numpy as np

from creditrisk.ui.styles import CARD, LINE

HEIGHT = "230px"
LEFT, RIGHT, TOP = 56, 14, 18


def axis(scale, label: str, vertical: bool = False) -> bqplot.Axis:
    return bqplot.Axis(
        scale=scale,
        label=label,
        side="left" if vertical else "bottom",
        grid_lines="solid" if vertical else "none",
        grid_color=LINE,
        tick_format=",d" if isinstance(scale, bqplot.LinearScale) else None,
        label_offset="42px" if vertical else "34px",
    )


def steps(most: float, room: float) -> tuple[float, np.ndarray]:
    """The top of an axis of counts from 0, `room` times `most` or a step above, and whole round ticks below it."""
    rough = most * room / 4
    size = 10.0 ** np.floor(np.log10(rough)) if rough > 1 else 1.0
    step = max(1.0, next(size * n for n in (1, 2, 5, 10) if size * n >= rough))
    ticks = np.arange(0, most * room + step, step)
    return max(most * room, float(ticks[ticks >= most][0])), ticks[ticks <= max(most * room, ticks[ticks >= most][0])]


def figure(marks: list, axes: list, bottom: int) -> bqplot.Figure:
    margin = {"top": TOP, "bottom": bottom, "left": LEFT, "right": RIGHT}
    made = bqplot.Figure(
        marks=marks, axes=axes, fig_margin=margin, background_style={"fill": CARD}, min_aspect_ratio=0.5,
        max_aspect_ratio=8, padding_x=0, padding_y=0, title="", display_toolbar=False,
    )  # fmt: skip
    made.layout.height, made.layout.width, made.layout.min_width = HEIGHT, "100%", "0"
    made.layout.overflow = "hidden"
    made.add_class("cr-chart")
    return made
