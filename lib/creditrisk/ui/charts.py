"""Static charts and tables for notebooks and reports. Every figure is a PNG, so a report needs no kernel."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from html import escape

import numpy as np
import pandas as pd
from IPython.display import Image
from matplotlib.figure import Figure

from creditrisk.binning.bins import Bins
from creditrisk.data.portfolio import Portfolio
from creditrisk.monitoring.drift import AMBER_PSI, RED_PSI

INK, SOFT, GRID = "#1d2733", "#5a6675", "#d9dee5"
BLUE, ORANGE, RED, GREEN = "#1f5f99", "#c8641b", "#a3262a", "#2b7a4b"
RATING_COLOURS = (RED, ORANGE, BLUE, GREEN)
_WIDTH = 7.6


def _figure(height: float, columns: int = 1, rows: int = 1, width: float = _WIDTH):
    figure = Figure(figsize=(width, height), dpi=160, layout="constrained")
    axes = np.atleast_1d(figure.subplots(rows, columns)).ravel()
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.spines[["left", "bottom"]].set_color(GRID)
        axis.tick_params(colors=SOFT, labelsize=8)
    return figure, axes


def _png(figure: Figure, alt: str) -> Image:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return Image(buffer.getvalue(), width=int(figure.get_figwidth() * 100), alt=alt)


def iv_bars(funnel: pd.DataFrame, book: Portfolio, min_iv: float = 0.02) -> Image:
    """Information value of each candidate."""
    shown = funnel.dropna(subset="iv").sort_values("iv")
    figure, (axis,) = _figure(0.26 * len(shown) + 0.8)
    colours = [BLUE if status == "scorecard" else SOFT for status in shown["status"]]
    labels = [book.columns[name].label or name for name in shown["column"]]
    axis.barh(labels, shown["iv"], color=colours)
    axis.bar_label(axis.containers[0], fmt="%.3f", fontsize=7, color=SOFT, padding=3)
    axis.axvline(min_iv, color=ORANGE, linewidth=1, linestyle="--")
    axis.set_xlabel(
        f"Information value (dashed: {min_iv:g}, the least a scorecard variable needs)", fontsize=8, color=SOFT
    )
    return _png(figure, "Information value by variable")


def bin_charts(bins: Sequence[Bins], book: Portfolio, columns: int = 2) -> Image:
    """Share of rows (bars) and bad rate (line) over the bins of some variables."""
    rows = -(-len(bins) // columns)
    figure, axes = _figure(2.1 * rows, columns, rows)
    for axis, variable in zip(axes, bins, strict=False):
        table = variable.table()
        axis.bar(range(len(table)), table["count_share"], color=GRID)
        rate = axis.twinx()
        rate.plot(range(len(table)), table["bad_rate"], color=ORANGE, marker="o", markersize=3, linewidth=1.4)
        rate.set_ylim(bottom=0)
        rate.spines[["top"]].set_visible(False)
        rate.spines[["left", "bottom", "right"]].set_color(GRID)
        rate.tick_params(colors=ORANGE, labelsize=7)
        rate.yaxis.set_major_formatter(_percent)
        axis.yaxis.set_major_formatter(_percent)
        axis.set_xticks(range(len(table)), [_cut(label) for label in table["bin"]], rotation=30, ha="right", fontsize=6)
        label = book.columns[variable.name].label or variable.name
        axis.set_title(f"{label}: IV {variable.iv:.3f}", fontsize=9, loc="left")
    for axis in axes[len(bins) :]:
        axis.set_visible(False)
    figure.supylabel("share of rows (bars), bad rate (line)", fontsize=7, color=SOFT)
    return _png(figure, "Share of rows and bad rate by bin")


def side_by_side_charts(
    bins: Sequence[Bins],
    tables: Sequence[pd.DataFrame],
    book: Portfolio,
    *,
    names: tuple[str, str] = ("training", "test"),
    columns: int = 2,
) -> Image:
    """Share of rows (bars) and bad rate (points with 95% intervals) over the bins, of training and another sample.

    `tables` are those of creditrisk.binning.evidence.side_by_side, one for each of `bins`; `names` are of the samples.
    """
    rows = -(-len(bins) // columns)
    figure, axes = _figure(2.5 * rows + 0.3, columns, rows)
    samples = (
        ("count_share", "bad_rate", "bad_rate_low", "bad_rate_high", GRID, BLUE, "o", "-", -1),
        ("test_count_share", "test_bad_rate", "test_low", "test_high", "#f6e3d3", ORANGE, "D", "--", 1),
    )
    for axis, variable, table in zip(axes, bins, tables, strict=False):
        places = np.arange(len(table))
        regular = table["bin"].isin(variable.labels()[: variable.n_regular]).to_numpy()
        rate = axis.twinx()
        for name, (share, bad_rate, low, high, light, dark, marker, line, side) in zip(names, samples, strict=True):
            axis.bar(places + 0.2 * side, table[share], 0.38, color=light)
            at, seen = places + 0.1 * side, table[bad_rate]
            rate.plot(at[regular], seen[regular], color=dark, linestyle=line, linewidth=1.2)
            spread = np.clip([seen - table[low], table[high] - seen], 0, None)
            rate.errorbar(at, seen, spread, fmt=marker, color=dark, markersize=3.5, linewidth=0.9, label=name)
        _style_bins(axis, rate, table["bin"], _title(variable, book))
    _hide(axes[len(bins) :])
    handles, labels = rate.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=2, fontsize=7, frameon=False, labelcolor=SOFT)
    figure.supylabel("share of rows (bars, left axis), bad rate (points, right axis)", fontsize=7, color=SOFT)
    return _png(figure, f"Share of rows and bad rate by bin, {names[0]} against {names[1]}")


def woe_charts(bins: Sequence[Bins], book: Portfolio, columns: int = 2) -> Image:
    """WOE of each bin: to the right safer than the book, to the left riskier."""
    rows = -(-len(bins) // columns)
    figure, axes = _figure(1.9 * rows, columns, rows)
    reach = max(float(np.abs(variable.woe).max()) for variable in bins) * 1.25 or 1.0
    for axis, variable in zip(axes, bins, strict=False):
        table = variable.table().iloc[::-1]
        colours = [BLUE if woe >= 0 else ORANGE for woe in table["woe"]]
        bars = axis.barh(range(len(table)), table["woe"], color=colours, height=0.7)
        axis.bar_label(bars, [f"{woe:+.2f}" for woe in table["woe"]], fontsize=6, color=SOFT, padding=2)
        axis.axvline(0, color=SOFT, linewidth=0.8)
        axis.set_xlim(-reach, reach)
        axis.set_xticks([])
        axis.set_yticks(range(len(table)), [_cut(label) for label in table["bin"]], fontsize=6)
        axis.set_title(_title(variable, book), fontsize=9, loc="left")
    _hide(axes[len(bins) :])
    figure.supxlabel("WOE: above 0 (blue) safer than the book, below 0 (orange) riskier", fontsize=7, color=SOFT)
    return _png(figure, "WOE by bin")


FEWEST = 30
"""A bad rate of fewer rows than this in a period is not drawn: it says nothing."""


def rates_over_time(
    bins: Sequence[Bins], tables: Sequence[pd.DataFrame], book: Portfolio, *, marked: str = "", columns: int = 2
) -> Image:
    """Bad rate of each regular bin by period: lines that keep their order are a binning that holds.

    `tables` are those of Bins.table(X, y, by=periods), one for each of `bins`; the dashed line stands before the period
    `marked`, such as the first of the test rows. A number at the end of each line is that of the bin, from 1.
    """
    rows = -(-len(bins) // columns)
    figure, axes = _figure(2.3 * rows + 0.2, columns, rows)
    for axis, variable, table in zip(axes, bins, tables, strict=False):
        periods = list(dict.fromkeys(table["by"]))
        steps = np.linspace(0.4, 1.0, max(variable.n_regular, 2))
        risk = np.argsort(np.argsort(-variable.woe[: variable.n_regular]))  # the riskiest bin is drawn darkest
        ends = []
        for k, label in enumerate(variable.labels()[: variable.n_regular]):
            rates = table[(table["bin"] == label) & (table["count"] >= FEWEST)].set_index("by")["bad_rate"]
            line = rates.reindex(periods).to_numpy()
            colour = _shade(BLUE, steps[risk[k]])
            axis.plot(range(len(periods)), line, color=colour, linewidth=1.3, marker="o", markersize=2)
            last = np.flatnonzero(~np.isnan(line))
            if len(last):
                ends.append((float(line[last[-1]]), str(k + 1), colour))
        _end_labels(axis, ends, len(periods) - 1)
        if marked in periods[1:]:
            axis.axvline(periods.index(marked) - 0.5, color=ORANGE, linewidth=1, linestyle="--")
        every = -(-len(periods) // 6)
        axis.set_xticks(range(0, len(periods), every), [str(p) for p in periods[::every]], fontsize=7)
        axis.set_xlim(-0.3, len(periods) - 0.3)
        axis.set_ylim(bottom=0)
        axis.yaxis.set_major_formatter(_percent)
        axis.set_title(_title(variable, book), fontsize=9, loc="left")
    _hide(axes[len(bins) :])
    note = ", dashed: test rows from here on" if marked else ""
    figure.supylabel(f"bad rate by bin (numbered){note}", fontsize=7, color=SOFT)
    return _png(figure, "Bad rate by bin over time")


def _end_labels(axis, ends: list[tuple[float, str, str]], at: int) -> None:
    """The number of each line at its end, pushed apart where lines end close together."""
    low, high = axis.get_ylim()
    gap, place = (high - min(low, 0)) * 0.065, -np.inf
    for rate, number, colour in sorted(ends):
        place = max(rate, place + gap)
        axis.annotate(
            number, (at, rate), (at + 0.25, place), textcoords="data", fontsize=6.5, color=colour, va="center",
            annotation_clip=False,
        )  # fmt: skip


def _shade(colour: str, strength: float) -> tuple[float, float, float]:
    """The colour mixed with white; 1 is the colour itself."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    return tuple(1 - strength * (1 - part) for part in parts)


def _title(variable: Bins, book: Portfolio) -> str:
    return f"{book.columns[variable.name].label or variable.name}: IV {variable.iv:.3f}"


def _style_bins(axis, rate, labels: Sequence[str], title: str) -> None:
    """Shares on the left axis, bad rates on the right one, bins below."""
    rate.set_ylim(bottom=0)
    rate.spines[["top"]].set_visible(False)
    rate.spines[["left", "bottom", "right"]].set_color(GRID)
    for one in (axis, rate):
        one.tick_params(colors=SOFT, labelsize=7)
        one.yaxis.set_major_formatter(_percent)
    axis.set_xticks(range(len(labels)), [_cut(label) for label in labels], rotation=30, ha="right", fontsize=6)
    axis.set_title(title, fontsize=9, loc="left")


def _hide(axes) -> None:
    for axis in axes:
        axis.set_visible(False)


def calibration_chart(parts: dict[str, tuple[np.ndarray, np.ndarray]], groups: int = 10) -> Image:
    """Observed bad rate against mean PD in equal groups of rows, on logarithmic axes; parts are name -> (bad, pd)."""
    figure, axes = _figure(3.2, len(parts))
    for axis, (name, (bad, pds)) in zip(axes, parts.items(), strict=True):
        order = np.array_split(np.argsort(pds, kind="stable"), groups)
        mean = np.array([pds[g].mean() for g in order])
        seen = np.array([bad[g].mean() for g in order])
        size = np.array([len(g) for g in order])
        error = 1.96 * np.sqrt(np.maximum(seen * (1 - seen), 1e-12) / size)
        shown = seen > 0
        low = max(mean[shown].min() / 2, 1e-5) if shown.any() else 1e-4
        axis.plot([low, 1], [low, 1], color=SOFT, linewidth=1, linestyle="--")
        axis.errorbar(
            mean[shown], seen[shown], yerr=np.minimum(error[shown], seen[shown] * 0.95), fmt="o", color=BLUE,
            markersize=4, linewidth=1, capsize=2,
        )  # fmt: skip
        axis.set(xscale="log", yscale="log", xlim=(low, 1), ylim=(low, 1))
        axis.set_xlabel("mean PD", fontsize=8, color=SOFT)
        axis.set_ylabel("bad rate", fontsize=8, color=SOFT)
        hidden = int((~shown).sum())
        axis.set_title(name + (f" ({hidden} groups without a bad)" if hidden else ""), fontsize=9, loc="left")
    return _png(figure, "Calibration: bad rate against mean PD")


def importance_chart(names: Sequence[str], sizes: np.ndarray, book: Portfolio) -> Image:
    """Mean absolute contribution of each input to the log-odds."""
    order = np.argsort(sizes)
    figure, (axis,) = _figure(0.26 * len(names) + 0.7)
    axis.barh([book.columns[names[i]].label or names[i] for i in order], sizes[order], color=BLUE)
    axis.set_xlabel("mean absolute contribution to the log-odds of bad", fontsize=8, color=SOFT)
    return _png(figure, "What the model relies on")


def score_charts(scores: np.ndarray, ratings: np.ndarray, book: Portfolio) -> Image:
    """Distribution of credit scores, and applications by rating."""
    scale = book.scale
    figure, (left, right) = _figure(2.6, 2)
    left.hist(scores, bins=np.arange(scale.low, scale.high + 21, 20), color=BLUE)
    for rating in scale.ratings[:-1]:
        left.axvline(rating.below, color=GRID, linewidth=1)
    left.set_xlabel("credit score (lines: rating bounds)", fontsize=8, color=SOFT)
    left.set_ylabel("applications", fontsize=8, color=SOFT)
    names = [rating.name for rating in scale.ratings]
    counts = [int((ratings == name).sum()) for name in names]
    bars = right.bar(names, counts, color=[RATING_COLOURS[i % 4] for i in range(len(names))])
    right.bar_label(bars, [f"{count:,}" for count in counts], fontsize=8, color=SOFT)
    right.set_ylabel("applications", fontsize=8, color=SOFT)
    return _png(figure, "Score distribution and ratings")


def drift_chart(columns: pd.DataFrame, book: Portfolio, limit: float) -> Image:
    """Z of each numeric column with the limits of the rule."""
    shown = columns.dropna(subset="z").iloc[::-1]
    figure, (axis,) = _figure(0.27 * len(shown) + 0.8)
    colours = [RED if flag else BLUE for flag in shown["z_flag"]]
    labels = [(book.columns[n].label or n) if n in book.columns else n for n in shown["column"]]
    axis.barh(labels, shown["z"], color=colours)
    for side in (-limit, limit):
        axis.axvline(side, color=ORANGE, linewidth=1, linestyle="--")
    axis.axvline(0, color=SOFT, linewidth=0.8)
    reach = max(limit * 1.15, float(shown["z"].abs().max()) * 1.1 if len(shown) else 0)
    axis.set_xlim(-reach, reach)
    axis.set_xlabel(f"Z: shift of the mean in training standard deviations (dashed: {limit:g})", fontsize=8, color=SOFT)
    return _png(figure, "Z by column")


_STATUS_COLOURS = {"red": RED, "amber": ORANGE}


def psi_chart(columns: pd.DataFrame, book: Portfolio) -> Image:
    """Adjusted PSI of each column, by verdict, with the bounds from which a shift matters."""
    shown = columns.dropna(subset="psi_adjusted").iloc[::-1]
    figure, (axis,) = _figure(0.27 * len(shown) + 0.8)
    labels = [(book.columns[n].label or n) if n in book.columns else n.replace("_", " ") for n in shown["column"]]
    axis.barh(labels, shown["psi_adjusted"], color=[_STATUS_COLOURS.get(status, BLUE) for status in shown["status"]])
    for bound, colour in ((AMBER_PSI, ORANGE), (RED_PSI, RED)):
        axis.axvline(bound, color=colour, linewidth=1, linestyle="--")
    most = float(shown["psi_adjusted"].max()) if len(shown) else 0.0
    axis.set_xlim(0, max(RED_PSI * 1.3, most * 1.1))
    about = f"PSI beyond chance (dashed: amber from {AMBER_PSI:g}, red from {RED_PSI:g}, if q is small, too)"
    axis.set_xlabel(about, fontsize=8, color=SOFT)
    return _png(figure, "PSI by column")


def checks_chart(checks: pd.DataFrame) -> Image:
    """The worst column's adjusted PSI in each automatic check, by verdict; a triangle stands on alarms."""
    figure, (axis,) = _figure(2.4)
    sizes = checks["psi_adjusted"].astype("float64").fillna(0.0)
    axis.bar(checks["bucket"], sizes, color=[_STATUS_COLOURS.get(status, BLUE) for status in checks["status"]])
    alarms = checks[checks["alarm"]]
    axis.plot(alarms["bucket"], sizes[alarms.index] + 0.03, "v", color=RED, markersize=5)
    axis.axhline(AMBER_PSI, color=ORANGE, linewidth=1, linestyle="--")
    axis.set_ylim(0, max(RED_PSI * 1.3, float(sizes.max()) * 1.2))
    axis.set_xlabel("check (one each hundred predictions)", fontsize=8, color=SOFT)
    axis.set_ylabel("PSI beyond chance", fontsize=8, color=SOFT)
    return _png(figure, "Automatic checks")


def show(frame: pd.DataFrame, formats: dict[str, str] | None = None):
    """A table without row numbers: text to the left, numbers with as many decimals as their size needs.

    Headings may be broken after underscores, so that a wide table fits a printed page.
    """
    formats = formats or {}
    numeric = [name for name in frame if pd.api.types.is_numeric_dtype(frame[name])]
    chosen = {name: formats.get(name, _whole if _is_whole(frame[name]) else _number) for name in numeric}
    words = [name for name in frame if name not in chosen]
    styler = frame.style.hide(axis="index").format(chosen, na_rep="").format("{}", subset=words, na_rep="")
    styler = styler.format_index(_breakable, axis="columns")
    styler = styler.set_properties(subset=words, **{"text-align": "left"})
    heads = [f"th.col{i}" for i, name in enumerate(frame) if name in words]
    if heads:
        styler = styler.set_table_styles([{"selector": ", ".join(heads), "props": "text-align: left"}])
    own = hashlib.md5(repr([*frame.columns, len(frame)]).encode(), usedforsecurity=False).hexdigest()[:8]
    return styler.set_uuid(own).set_table_attributes('class="dataframe"')


def _breakable(name: object) -> str:
    """The name of a column as a heading that may be broken after each underscore: a wide table then fits a page."""
    return escape(str(name)).replace("_", "_<wbr>")


def _is_whole(values: pd.Series) -> bool:
    """Whether all that is there are whole numbers, more than 0 and 1: counts and amounts, whatever their type."""
    there = values.dropna().to_numpy(dtype=np.float64)
    return len(there) > 0 and bool((there == np.floor(there)).all()) and np.abs(there).max() > 1


def _whole(value: float) -> str:
    return "" if pd.isna(value) else f"{value:,.0f}"


def _number(value: float) -> str:
    if pd.isna(value):
        return ""
    whole = isinstance(value, int | np.integer) or abs(value) >= 1_000
    return f"{value:,.0f}" if whole else f"{value:,.3f}"


def _percent(value: float, _position=None) -> str:
    """A share as a percentage with the digits it needs: 7.5%, 10%, 12.5%."""
    return f"{value * 100:.1f}".removesuffix(".0") + "%"


def _cut(label: str, most: int = 18) -> str:
    return label if len(label) <= most else label[: most - 1] + "…"
