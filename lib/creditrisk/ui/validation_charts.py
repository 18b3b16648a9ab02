"""Tables and static charts of the validation report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np
import pandas as pd
from IPython.display import HTML, Image
from scipy.special import expit, logit

from creditrisk.data.portfolio import Portfolio
from creditrisk.modelling.findings import FAIL, NOT_APPLICABLE, PASS, WATCH, Finding, Verdict
from creditrisk.modelling.sensitivity import Swept
from creditrisk.ui.charts import BLUE, GREEN, GRID, INK, ORANGE, RED, SOFT, _figure, _hide, _percent, _png, show

COLOURS = {PASS: GREEN, WATCH: "#9a6700", FAIL: RED, NOT_APPLICABLE: SOFT}
SIGNS = {PASS: "✓", WATCH: "!", FAIL: "✕", NOT_APPLICABLE: "–"}
SECTIONS = {
    "data": "Data",
    "discrimination": "Discrimination",
    "calibration": "Calibration",
    "stability": "Stability",
    "concentration": "Concentration",
    "sensitivity": "Sensitivity and monotonicity",
    "benchmark": "Benchmark",
    "fairness": "Fairness screen",
    "implementation": "Implementation",
    "scope": "Outside what this book can show",
}
_TABLE = "width: 100%; table-layout: fixed; line-height: 1.35"
_LEFT = "text-align: left; white-space: normal; overflow-wrap: break-word; vertical-align: top"
_SMALL = f"color: {SOFT}; font-size: 0.9em"


# --- Findings in words ------------------------------------------------------------------------------------------------


def pending() -> HTML:
    """What stands in the place of the summary until the last test has run."""
    return HTML("<p><em>The summary is written when the last test has run.</em></p>")


def summary(verdict: Verdict, findings: Sequence[Finding], facts: Mapping[str, str]) -> HTML:
    """The first pages: verdict, what was validated, and every test with value, threshold, source and result."""
    colour = COLOURS[verdict.status]
    box = (
        f'<div style="border-left: 5px solid {colour}; padding: 0.4rem 0.9rem; margin: 0.6rem 0; break-inside: avoid">'
        f'<p style="margin: 0.2rem 0; font-size: 1.05rem; max-width: none"><strong style="color: {colour}">'
        f"{SIGNS[verdict.status]} {escape(verdict.text)}</strong></p>"
        f'<p style="margin: 0.2rem 0; max-width: none">{len(findings)} tests: {_counts(findings)}.</p></div>'
    )
    rows = "".join(
        f'<tr><th style="{_LEFT}; font-weight: normal; color: {SOFT}; width: 20%">{escape(name)}</th>'
        f'<td style="{_LEFT}">{escape(str(value))}</td></tr>'
        for name, value in facts.items()
    )
    return HTML(f'{box}<table style="{_TABLE}">{rows}</table>{_all_tests(findings)}')


def _counts(findings: Sequence[Finding]) -> str:
    """How many have which result, in words: those that there are."""
    counts = [(status, sum(one.status == status for one in findings)) for status in COLOURS]
    return ", ".join(f"{count} {status}" for status, count in counts if count)


def _all_tests(findings: Sequence[Finding]) -> str:
    body = []
    for section, title in SECTIONS.items():
        mine = [one for one in findings if one.section == section]
        if mine:
            body.append(
                f'<tr style="break-after: avoid"><td colspan="5" style="{_LEFT}; padding-top: 0.5rem">'
                f'<strong>{escape(title)}</strong> <span style="{_SMALL}">{_counts(mine)}</span></td></tr>'
            )
            body += [_row(one, (one.name, one.shown or "–", one.threshold, one.source)) for one in mine]
    heads = {"test": 25, "value": 15, "threshold": 21, "source": 17, "result": 22}
    return _table(heads, body, "font-size: 0.66rem; line-height: 1.25")


def findings_table(findings: Sequence[Finding], section: str) -> HTML:
    """The tests of one section: name, value, threshold, result and why."""
    rows = [_row(one, (one.name, one.shown or "–", one.threshold)) for one in findings if one.section == section]
    return HTML(_table({"test": 28, "value": 20, "threshold": 27, "result": 25}, rows))


def _row(one: Finding, texts: Sequence[str]) -> str:
    """A test: these cells, then its result and why."""
    colour = COLOURS[one.status]
    result = f'<strong style="color: {colour}; white-space: nowrap">{SIGNS[one.status]} {one.status}</strong>'
    why = f'<br><span style="{_SMALL}">{escape(one.why)}</span>' if one.why else ""
    cells = [*map(escape, texts), result + why]
    return "<tr>" + "".join(f'<td style="{_LEFT}">{cell}</td>' for cell in cells) + "</tr>"


def _table(heads: Mapping[str, int], rows: Sequence[str], style: str = "") -> str:
    """A table of these rows as wide as the page; `heads` are its columns with their widths in percent."""
    head = "".join(f'<th style="{_LEFT}; width: {width}%">{escape(name)}</th>' for name, width in heads.items())
    return f'<table style="{_TABLE}; {style}"><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>'


def words(frame: pd.DataFrame, widths: Sequence[int]) -> HTML:
    """A table of text that wraps; `widths` are percentages by column."""
    rows = [
        "<tr>" + "".join(f'<td style="{_LEFT}">{escape(str(value))}</td>' for value in row) + "</tr>"
        for row in frame.itertuples(index=False)
    ]
    return HTML(_table(dict(zip(map(str, frame.columns), widths, strict=True)), rows))


def reasons(findings: Sequence[Finding], section: str) -> HTML:
    """Tests of a section that do not apply: what, where it comes from, why not."""
    rows = [(one.name, one.source, one.why) for one in findings if one.section == section]
    return words(pd.DataFrame(rows, columns=["test", "source", "why it is not applicable"]), (34, 24, 42))


def bullets(sentences: Sequence[str]) -> HTML:
    """Sentences as a list."""
    return HTML("<ul>" + "".join(f"<li>{escape(one)}</li>" for one in sentences) + "</ul>")


def percents(frame: pd.DataFrame, *names: str, **formats: str):
    """A table with some columns as percentages, others with the formats given."""
    return show(frame, dict.fromkeys(names, "{:.2%}") | formats)


# --- Discrimination and calibration -----------------------------------------------------------------------------------


def discrimination_charts(bad: np.ndarray, pds: np.ndarray, gains: pd.DataFrame) -> Image:
    """Left: share of bads among the riskiest rows. Right: where goods and bads lie by PD, on a logit axis."""
    figure, (left, right) = _figure(2.9, 2)
    rows = np.append(0, np.cumsum(gains["rows"]) / gains["rows"].sum())
    left.plot([0, 1], [0, 1], color=GRID, linewidth=1)
    share = float(np.mean(bad))
    left.plot([0, share, 1], [0, 1, 1], color=SOFT, linewidth=1, linestyle="--")
    left.plot(rows, np.append(0, gains["captured"]), color=BLUE, marker="o", markersize=3)
    _label(left, "share of rows, riskiest first", "share of bads (dashed: the best)")
    left.xaxis.set_major_formatter(_percent)
    left.yaxis.set_major_formatter(_percent)
    x = logit(np.clip(pds, 1e-6, 1 - 1e-6))
    edges = np.linspace(x.min(), x.max() + 1e-9, 41)
    for mask, colour, name in ((bad == 0, BLUE, "goods"), (bad == 1, ORANGE, "bads")):
        weights = np.full(int(mask.sum()), 1 / max(int(mask.sum()), 1))
        right.hist(x[mask], bins=edges, weights=weights, color=colour, alpha=0.55, label=name)
    _logit_ticks(right.xaxis, x.min(), x.max())
    right.legend(fontsize=7, frameon=False, labelcolor=SOFT)
    _label(right, "PD", "share of goods, share of bads")
    right.yaxis.set_major_formatter(_percent)
    return _png(figure, "Gains, and goods and bads by PD")


def calibration_curve(curve: pd.DataFrame, grades: pd.DataFrame) -> Image:
    """Bad rate against mean PD, by groups of equal expected bads and by grade, on logit axes with 95% intervals."""
    figure, axes = _figure(3.3, 2)
    tables = (("by groups of equal expected bads", curve), ("by grade", grades[grades["rows"] > 0]))
    for axis, (name, table) in zip(axes, tables, strict=True):
        none, every = ((table["bads"] == count).to_numpy() for count in (0, table["rows"]))
        seen = ~none & ~every
        lows = [table["mean_pd"].min(), table.loc[seen, "bad_rate"].min() if seen.any() else 1.0]
        floor = max(min(lows) / 2, 1e-5)
        ceiling = min(float(table[["high", "mean_pd"]].max().max()), 0.9995)
        low, high = float(logit(floor)), float(logit(max(ceiling, 2 * floor)))
        at = {
            c: logit(np.clip(table[c].to_numpy(), floor, max(ceiling, 2 * floor)))
            for c in ("mean_pd", "bad_rate", "low", "high")
        }
        axis.plot([low, high], [low, high], color=SOFT, linewidth=1, linestyle="--")
        axis.vlines(at["mean_pd"], at["low"], at["high"], color=BLUE, linewidth=1)
        axis.plot(at["mean_pd"][seen], at["bad_rate"][seen], "o", color=BLUE, markersize=4)
        for which, marker, end in ((none, "v", low), (every, "^", high)):
            if which.any():  # nothing, drawn unclipped, would count as a point at the figure's corner
                places = at["mean_pd"][which]
                axis.plot(places, np.full(len(places), end), marker, color=ORANGE, markersize=5, clip_on=False)
        axis.set(xlim=(low, high), ylim=(low, high))
        _logit_ticks(axis.xaxis, low, high)
        _logit_ticks(axis.yaxis, low, high)
        _label(axis, "mean PD", "bad rate")
        marks = [f"▼ {none.sum()} without a bad"] * bool(none.any()) + [f"▲ {every.sum()} all bad"] * bool(every.any())
        axis.set_title(name + (f" ({', '.join(marks)})" if marks else ""), fontsize=8, loc="left", color=INK)
    return _png(figure, "Calibration on logit axes")


def grade_chart(table: pd.DataFrame) -> Image:
    """Share of rows by grade (bars); bad rate with its interval, and mean PD (bar marks), on a logarithmic axis.

    The mean PD is point-in-time, as outcomes judge it; the grades are those of the served PDs.
    """
    figure, (axis,) = _figure(2.7)
    places = np.arange(len(table))
    axis.bar(places, table["share"], color=GRID)
    axis.set_xticks(places, table["grade"])
    axis.yaxis.set_major_formatter(_percent)
    _label(axis, "grade, the safest first", "share of rows (bars)")
    rate = axis.twinx()
    used, seen = (table["rows"] > 0).to_numpy(), (table["bads"] > 0).to_numpy()
    floor = max(float(np.nanmin(table["mean_pd"][used])) / 3, 1e-5)
    rate.vlines(
        places[used], table["low"][used].clip(floor), table["high"][used].clip(floor), color=ORANGE, linewidth=1
    )
    rate.plot(places[seen], table["bad_rate"][seen], "o", color=ORANGE, markersize=4, label="bad rate, 95% interval")
    rate.plot(
        places[used],
        table["mean_pd"][used],
        "_",
        color=BLUE,
        markersize=14,
        markeredgewidth=2,
        label="mean point-in-time PD",
    )
    rate.set(yscale="log", ylim=(floor, 1.3))
    rate.spines[["top", "left", "bottom", "right"]].set_visible(False)
    rate.tick_params(colors=SOFT, labelsize=8)
    rate.yaxis.set_major_formatter(lambda v, _: f"{v:.4g}")
    figure.legend(loc="outside upper right", ncols=2, fontsize=7, frameon=False, labelcolor=SOFT)
    return _png(figure, "Rows, bad rate and mean PD by grade")


# --- Stability --------------------------------------------------------------------------------------------------------


def period_charts(table: pd.DataFrame, word: str, first: str) -> Image:
    """Bad rate and mean PD over time (above), PSI of the PD (below); dashed: the first period of judged rows."""
    figure, (above, below) = _figure(3.6, 1, 2)
    places, labels = np.arange(len(table)), table["period"].tolist()
    above.vlines(places, table["low"], table["high"], color=ORANGE, linewidth=1)
    above.plot(places, table["bad_rate"], "o", color=ORANGE, markersize=3.5, label="bad rate, 95% interval")
    above.plot(places, table["mean_pd"], color=BLUE, linewidth=1.5, label="mean PD")
    above.set_ylim(bottom=0)
    above.yaxis.set_major_formatter(_percent)
    figure.legend(loc="outside upper right", ncols=2, fontsize=7, frameon=False, labelcolor=SOFT)
    below.bar(places, table["psi"], color=[COLOURS[status] if status != PASS else BLUE for status in table["status"]])
    below.plot(places, table["chance"], color=SOFT, linewidth=1, marker="_", linestyle="", markersize=8)
    below.set_ylim(0, max(0.12, float(table[["psi", "chance"]].max().max()) * 1.1))
    for limit in (0.1, 0.25):
        if limit < below.get_ylim()[1]:
            below.axhline(limit, color=SOFT, linewidth=0.8, linestyle=":")
    _label(below, f"{word} (dashed: judged rows from here on)", "PSI of the PD")
    _label(above, "", "bad rate, mean PD")
    every = -(-len(labels) // 12)
    for axis in (above, below):
        if first in labels[1:]:
            axis.axvline(labels.index(first) - 0.5, color=SOFT, linewidth=1, linestyle="--")
        axis.set_xticks(places[::every], labels[::every], fontsize=7)
        axis.set_xlim(-0.7, len(labels) - 0.3)
    return _png(figure, "Bad rate, mean PD and PSI over time")


def psi_heatmap(table: pd.DataFrame, book: Portfolio, word: str) -> Image:
    """PSI of each input (rows) in each period (columns), from `stability.input_periods`; darker has moved more."""
    names, periods = table.index.tolist(), table.columns.tolist()
    figure, (axis,) = _figure(0.22 * len(names) + 0.9)
    axis.pcolormesh(table.to_numpy(), cmap="Oranges", vmin=0, vmax=0.25, edgecolors="white", linewidth=1)
    axis.invert_yaxis()
    for (i, j), value in np.ndenumerate(table.to_numpy()):
        if np.isfinite(value):
            colour = "white" if value > 0.18 else SOFT
            axis.text(
                j + 0.5, i + 0.5, f"{value:.2f}".removeprefix("0"), ha="center", va="center", fontsize=6, color=colour
            )
    axis.set_yticks(np.arange(len(names)) + 0.5, [_name(book, n) for n in names], fontsize=7)
    axis.set_xticks(np.arange(len(periods)) + 0.5, periods, fontsize=6, rotation=45 if len(periods) > 8 else 0)
    axis.spines[["left", "bottom"]].set_visible(False)
    axis.tick_params(length=0)
    _label(axis, f"{word} of the judged rows", "")
    return _png(figure, "PSI of each input over time")


# --- Sensitivity, benchmark, fairness ---------------------------------------------------------------------------------


def sweep_charts(swept: Sequence[Swept], book: Portfolio, columns: int = 4) -> Image:
    """PD over the range of each swept input: the median applicant (line), and where the middle 80% lie (band).

    Drawn over the values that applicants have; what was tried goes on to the hard limits.
    """
    rows = -(-len(swept) // columns)
    figure, axes = _figure(1.55 * rows + 0.2, columns, rows)
    bands = [np.quantile(one.pds, [0.1, 0.5, 0.9], axis=0) for one in swept]
    floor = max(min(float(band.min()) for band in bands) / 2, 1e-5)
    for k, (axis, one, (low, middle, high)) in enumerate(zip(axes, swept, bands, strict=False)):
        axis.fill_between(one.values, low, high, color=BLUE, alpha=0.18, linewidth=0)
        axis.plot(one.values, middle, color=BLUE, linewidth=1.5)
        axis.set(yscale="log", ylim=(floor, 1), xlim=one.seen if one.seen[0] < one.seen[1] else None)
        axis.yaxis.set_major_formatter(lambda v, _: f"{v * 100:.4g}%")
        axis.yaxis.set_minor_formatter(lambda v, _: "")
        axis.xaxis.set_major_formatter(_short)
        axis.tick_params(labelsize=6, labelleft=k % columns == 0)
        axis.set_title(_name(book, one.name), fontsize=7.5, loc="left", color=RED if one.wrong else INK)
    _hide(axes[len(swept) :])
    figure.supylabel("PD, logarithmic", fontsize=7, color=SOFT)
    return _png(figure, "PD over the range of each input")


def sensitivity_chart(table: pd.DataFrame, book: Portfolio, base: float) -> Image:
    """Mean PD when one input changes for everybody, against the mean PD as it is (dashed)."""
    shown = table.iloc[::-1]
    figure, (axis,) = _figure(0.23 * len(shown) + 0.8)
    places = np.arange(len(shown))
    axis.hlines(places, shown["low"], shown["high"], color=BLUE, linewidth=6)
    axis.axvline(base, color=ORANGE, linewidth=1, linestyle="--")
    names = [
        _name(book, n) + (", left out" if c == "left out" else "")
        for n, c in zip(shown["column"], shown["change"], strict=True)
    ]
    axis.set_yticks(places, names, fontsize=7)
    axis.set_xlim(left=0)
    axis.xaxis.set_major_formatter(_percent)
    _label(axis, f"mean PD (dashed: as it is, {base:.2%})", "")
    return _png(figure, "Mean PD when one input changes")


def forest(labels: Sequence[str], table: pd.DataFrame, what: str, marks: Sequence[float] = ()) -> Image:
    """Values with their intervals, one row each: `table` has the columns value, low, high; dashed lines at `marks`."""
    figure, (axis,) = _figure(0.3 * len(labels) + 0.7)
    places = np.arange(len(labels))[::-1]
    axis.hlines(
        places, table["low"].fillna(table["value"]), table["high"].fillna(table["value"]), color=BLUE, linewidth=1.5
    )
    axis.plot(table["value"], places, "o", color=BLUE, markersize=5)
    for mark in marks:
        axis.axvline(mark, color=ORANGE, linewidth=1, linestyle="--")
    axis.set_yticks(places, labels, fontsize=8)
    axis.set_ylim(-0.6, len(labels) - 0.4)
    _label(axis, what, "")
    return _png(figure, what)


def _name(book: Portfolio, column: str) -> str:
    return book.columns[column].label or column


def _label(axis, x: str, y: str) -> None:
    axis.set_xlabel(x, fontsize=8, color=SOFT)
    axis.set_ylabel(y, fontsize=8, color=SOFT)


def _short(value: float, _position=None) -> str:
    """A number as short as an axis has room for: 1.2M, 350k."""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"


def _logit_ticks(axis, low: float, high: float) -> None:
    """Ticks at PDs that people read, on an axis of log-odds, as many as there is room for."""
    ticks = [
        0.5,
        0.1,
        0.01,
        0.9,
        0.001,
        0.99,
        1e-4,
        0.2,
        0.05,
        0.02,
        0.005,
        0.002,
        0.999,
        1e-5,
    ]  # the wanted ones first
    kept: list[float] = []
    for tick in ticks:
        at = float(logit(tick))
        if low <= at <= high and all(abs(at - float(logit(other))) > 0.11 * (high - low) for other in kept):
            kept.append(tick)
    if len(kept) < 2:
        kept = expit(np.linspace(low, high, 3)).round(5).tolist()
    axis.set_ticks(logit(kept), [f"{tick * 100:.4g}%" for tick in kept], fontsize=7)
