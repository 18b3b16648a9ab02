"""Tables and static charts of outcomes. Each chart of outcomes says that they exist for granted loans only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from IPython.display import Image
from pandas.api.types import is_numeric_dtype

from creditrisk.monitoring.estimation import ESTIMATED
from creditrisk.monitoring.judgement import AMBER, GREEN, NOT_EVALUABLE, RED
from creditrisk.monitoring.outcomes import POOLED, SELECTION, OutcomeReport
from creditrisk.ui import charts
from creditrisk.ui.charts import BLUE, GRID, INK, ORANGE, SOFT, _figure, _hide, _percent, _png

COLOURS = {GREEN: charts.GREEN, AMBER: "#9a6700", RED: charts.RED, NOT_EVALUABLE: SOFT}
_SHARES = ("default_rate", "mean_pd")
_AREAS = ("auc", "gini", "ks")
_WAITING = "#eef1f5"


def lights(frame: pd.DataFrame, **formats: str):
    """A table whose lights have their colours; rates are percentages. Empty columns are left out."""
    shown = frame.dropna(axis="columns", how="all")
    chosen = {name: "{:.2%}" for name in shown if name.startswith(_SHARES) and is_numeric_dtype(shown[name])} | formats
    coloured = [name for name in shown if name == "light" or name.endswith("_light")]
    return charts.show(shown, {k: v for k, v in chosen.items() if k in shown}).map(_colour, subset=coloured)


def _colour(light: object) -> str:
    return f"color: {COLOURS[light]}; font-weight: bold" if light in COLOURS else ""


def intervals(frame: pd.DataFrame) -> pd.DataFrame:
    """A table in which each figure with `_low` and `_high` beside it is one text with its 95% interval."""
    found = frame.copy()
    for name in [one.removesuffix("_low") for one in frame if one.endswith("_low")]:
        ends = frame[[name, f"{name}_low", f"{name}_high"]]
        form = "{:.2%}" if name.startswith(_SHARES) else "{:.3f}" if name in _AREAS else "{:.2f}"
        found[name] = [_interval(*row, form) for row in ends.itertuples(index=False)]
        found = found.drop(columns=[f"{name}_low", f"{name}_high"])
    return found


def _interval(value: float, low: float, high: float, form: str) -> str:
    if pd.isna(value):
        return ""
    return form.format(value) if pd.isna(low) else f"{form} ({form} to {form})".format(value, low, high)


def vintage_trends(report: OutcomeReport) -> Image:
    """By vintage: default rate and mean PD, Gini against its references, calibration slope, each with 95% intervals.

    Vintages that are not judged are grey and hold nothing.
    """
    table = report.cohorts[report.cohorts["vintage"] != POOLED]
    figure, (rate, gini, slope) = _figure(5.4, 1, 3)
    places = np.arange(len(table))
    _points(rate, places, table, "default_rate", table["level_light"], "default rate, 95% interval")
    rate.plot(places, table["mean_pd"], "_", color=BLUE, markersize=10, markeredgewidth=2, label="mean PD")
    rate.yaxis.set_major_formatter(_percent)
    rate.set_ylim(bottom=0)
    _points(gini, places, table, "gini", table["discrimination_light"], "Gini, 95% interval")
    gini.plot(places, 2 * table["expected"] - 1, "_", color=BLUE, markersize=10, markeredgewidth=2, label="expected")
    gini.axhline(2 * report.reference.auc - 1, color=SOFT, linewidth=1, linestyle="--", label="at validation")
    _points(slope, places, table, "slope", table["slope_light"], "calibration slope, 95% interval")
    slope.axhline(1, color=SOFT, linewidth=1, linestyle="--")
    for axis, name in ((rate, "default rate"), (gini, "Gini"), (slope, "slope")):
        _vintages(axis, table["vintage"].tolist(), (table["status"] != "judged").to_numpy())
        axis.set_ylabel(name, fontsize=8, color=SOFT)
        _legend(axis)
    _footnote(figure, "Points have the colours of their lights; grey vintages are not judged yet.")
    return _png(figure, "Default rate, Gini and calibration slope by vintage")


def grade_calibration(report: OutcomeReport, vintage: str = POOLED) -> Image:
    """Default rate with its interval against the mean PD, grade by grade, on a logarithmic axis; loans as bars."""
    table = report.grades[report.grades["vintage"] == vintage]
    figure, (axis,) = _figure(3.0)
    places = np.arange(len(table))
    axis.bar(places, table["n"], color=GRID)
    axis.set_xticks(places, table["grade"])
    axis.set_ylabel("loans (bars)", fontsize=8, color=SOFT)
    rate, floor = axis.twinx(), max(float(table["mean_pd"].min()) / 3, 1e-5) if len(table) else 1e-4
    ends = table[["default_rate_low", "default_rate_high"]].clip(floor)
    rate.vlines(places, ends["default_rate_low"], ends["default_rate_high"], color=ORANGE, linewidth=1)
    seen = (table["defaults"] > 0).to_numpy()
    rate.scatter(places[seen], table["default_rate"][seen], s=22, c=[COLOURS[one] for one in table["light"][seen]])
    rate.plot(places, table["mean_pd"], "_", color=BLUE, markersize=14, markeredgewidth=2, label="mean PD")
    rate.set(yscale="log", ylim=(floor, 1.3))
    rate.spines[["top", "left", "bottom", "right"]].set_visible(False)
    rate.tick_params(colors=SOFT, labelsize=8)
    rate.yaxis.set_major_formatter(lambda value, _: f"{value * 100:.3g}%")
    rate.set_ylabel("default rate (points), mean PD (bar marks)", fontsize=8, color=SOFT)
    _footnote(figure, f"Vintage: {vintage}. Points have the colours of their lights.")
    return _png(figure, "Default rate and mean PD by grade")


def estimated_and_realised(report: OutcomeReport) -> Image:
    """By month: what the PDs of its loans expect (line, band), and what came of those that are judged (points)."""
    table = report.estimated
    figure, (rate, area) = _figure(4.2, 1, 2)
    places = np.arange(len(table))
    rate.fill_between(places, table["rate_low"], table["rate_high"], color=BLUE, alpha=0.15, linewidth=0)
    rate.plot(places, table["rate"], color=BLUE, linewidth=1.4, marker=".", label="estimated, loans")
    rate.plot(places, table["mean_pd"], color=SOFT, linewidth=1, linestyle=":", label="estimated, all predictions")
    rate.plot(places, table["realised_rate"], "o", color=ORANGE, markersize=4, label="realised")
    rate.set_ylim(bottom=0)
    rate.yaxis.set_major_formatter(_percent)
    area.plot(places, table["loans_auc"], color=BLUE, linewidth=1.4, marker=".", label="estimated, loans")
    area.plot(places, table["auc"], color=SOFT, linewidth=1, linestyle=":", label="estimated, all predictions")
    area.plot(places, table["realised_auc"], "o", color=ORANGE, markersize=4, label="realised")
    area.axhline(report.reference.auc, color=SOFT, linewidth=1, linestyle="--", label="at validation")
    for axis, name in ((rate, "default rate"), (area, "AUC")):
        _vintages(axis, table["month"].tolist(), np.zeros(len(table), dtype=bool))
        axis.set_ylabel(name, fontsize=8, color=SOFT)
        _legend(axis)
    _footnote(figure, f"Lines: {ESTIMATED}.")
    return _png(figure, "Estimated and realised default rate and AUC by month")


def segment_trends(report: OutcomeReport, columns: int = 2) -> Image:
    """Default rate with its interval and mean PD by vintage, one chart for each segment."""
    rows = -(-len(report.segments) // columns)
    figure, axes = _figure(2.0 * rows + 0.4, columns, rows)
    for axis, (name, part) in zip(axes, report.segments.items(), strict=False):
        table = part.cohorts[part.cohorts["vintage"] != POOLED]
        places = np.arange(len(table))
        _points(axis, places, table, "default_rate", table["level_light"], "default rate")
        axis.plot(places, table["mean_pd"], "_", color=BLUE, markersize=8, markeredgewidth=2, label="mean PD")
        _vintages(axis, table["vintage"].tolist(), (table["status"] != "judged").to_numpy(), most=5)
        axis.set_ylim(bottom=0)
        axis.yaxis.set_major_formatter(_percent)
        axis.set_title(f"{name}: {part.verdict}", fontsize=9, loc="left", color=INK)
    _hide(axes[len(report.segments) :])
    _footnote(figure, "Points: default rate with 95% interval; bar marks: mean PD.")
    return _png(figure, f"Default rate and mean PD by vintage and {report.segment}")


def _points(axis, places: np.ndarray, table: pd.DataFrame, name: str, colours: pd.Series, label: str) -> None:
    """A figure of each vintage with its interval, in the colour of its light."""
    known = table[name].notna().to_numpy()
    if not known.any():
        return
    axis.vlines(places[known], table[f"{name}_low"][known], table[f"{name}_high"][known], color=GRID, linewidth=2)
    shades = [COLOURS.get(one, SOFT) for one in colours[known]]
    axis.scatter(places[known], table[name][known], s=18, c=shades, zorder=3)
    axis.plot([], [], "o", color=SOFT, markersize=4, label=label)


def _vintages(axis, labels: Sequence[str], waiting: np.ndarray, most: int = 12) -> None:
    """Vintages below, grey where nothing is judged."""
    for place in np.flatnonzero(waiting):
        axis.axvspan(place - 0.5, place + 0.5, color=_WAITING, linewidth=0, zorder=0)
    every = -(-len(labels) // most)
    axis.set_xticks(range(0, len(labels), every), labels[::every], fontsize=7)
    axis.set_xlim(-0.6, max(len(labels) - 0.4, 0.6))


def _legend(axis) -> None:
    """What the marks are, above the chart, where nothing is drawn."""
    if axis.get_legend_handles_labels()[0]:
        axis.legend(
            loc="lower left", bbox_to_anchor=(0, 0.98), ncols=4, fontsize=7, frameon=False, labelcolor=SOFT,
            borderaxespad=0,
        )  # fmt: skip


def _footnote(figure, text: str) -> None:
    figure.supxlabel(f"{SELECTION} {text}", fontsize=7, color=SOFT)
