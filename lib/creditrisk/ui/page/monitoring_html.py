"""The parts of the Monitoring tab that are read, as HTML: functions of the state alone."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from creditrisk.monitoring.drift import AMBER, AMBER_PSI, GREEN, LACKING, RED, RED_PSI, Z_LIMIT
from creditrisk.serving.contract import number_in_words
from creditrisk.ui.page.monitoring_bins import bins_of, chance_of
from creditrisk.ui.page.monitoring_state import ColumnView, ReportView, Stream
from creditrisk.ui.page.words import box, table

Z_SHOWN = 2 * Z_LIMIT  # the bar of a larger shift is cut off here
NAMED = 5
MOST_COLUMNS = 60
"""Columns of a table of checks: those that were flagged come first."""
VERDICTS = {
    GREEN: ("yes", "✓", "Green: no drift"),
    AMBER: ("unsure", "!", "Amber: drift"),
    RED: ("no", "✕", "Red: drift"),
    LACKING: ("unsure", "?", "Unsure"),
}
FLAGS = {
    GREEN: ("ok", "✓ green"),
    AMBER: ("lack", "! amber"),
    RED: ("flag", "▲ red"),
    LACKING: ("soft", "? too little data"),
}
SIGNS = {GREEN: ("green", "·"), AMBER: ("amber", "!"), RED: ("red", "▲"), LACKING: ("lacking", "?")}
SOURCES = {"automatic": "automatic", "file": "scored files", "notebook": "made by hand"}
HOW = {"automatic": "checked automatically", "file": "checked with a scored file"}
NO_CHECK = (
    "Every full {period:,} of production predictions of a model is checked by itself while `creditrisk serve` runs; "
    "`creditrisk drift` checks at any time. Until then there is nothing to compare."
)


def number_of(value: float | None) -> str:
    """A PSI, q or p."""
    return "–" if value is None else "<0.001" if 0 < value < 0.001 else f"{value:.3f}"


# --- The stream's state -----------------------------------------------------------------------------------------------


def tab_heading(progress: str) -> str:
    """The name of the tab, and how far the next check is."""
    return f'<h2>Monitoring</h2><p class="cr-soft">{escape(progress)}</p>'


def stream_panel(stream: Stream, version_in_use: str) -> str:
    """The verdict on a model's stream of checks, and how far the next one is."""
    return f"{stream_box(stream)}{_facts(stream, version_in_use)}"


def stream_box(stream: Stream) -> str:
    """The verdict on the stream in a sentence, and what to do."""
    newest = stream.newest
    flagged = _names([one.label for one in newest.columns if one.flagged]) if newest else ""
    where = f"in {flagged}" if flagged else "of a column that can no longer be compared"
    if stream.status == RED:
        return box(
            "no", "▲", f"Red: the last {stream.run} checks in a row were flagged",
            f"The newest predictions no longer look like the baseline: drift {where}. Ask what has changed, the "
            "applicants or the way a column is filled. Mend a broken column at its source; if the applicants have "
            "changed, look at outcomes: recalibrate when the level is off, redevelop when the ranking is.",
        )  # fmt: skip
    if stream.status == AMBER:
        return box("unsure", "!", "Amber: the last check was flagged, the one before was not",
                   f"Drift {where}. One check alone may be chance; a second one in a row hardly ever is.")  # fmt: skip
    if stream.status == GREEN:
        return box("yes", "✓", "Green: the newest predictions look like the baseline",
                   "The last check was not flagged. Nothing to do.")  # fmt: skip
    if stream.status == LACKING:
        return box("unsure", "?", "Insufficient data: the last check had too little to compare",
                   "Look at which columns no longer arrive, or arrive empty.")  # fmt: skip
    return box("unsure", "?", "No automatic check yet",
               f"Every full {stream.period:,} of production predictions of a model is checked by itself.")  # fmt: skip


def _names(labels: Sequence[str]) -> str:
    more = len(labels) - NAMED
    return ", ".join(labels[:NAMED]) + (f" and {more} more" if more > 0 else "")


def _facts(stream: Stream, version_in_use: str) -> str:
    newest = stream.newest
    left = max(stream.period - stream.since, 0)
    share = min(stream.since / stream.period, 1.0)
    model = f"{escape(stream.model.version)} <code>{escape(stream.model.sha256[:8])}</code>"
    other = version_in_use not in ("", stream.model.version)
    facts = [
        ("Model", model + (f'<small class="cr-soft">this page scores with {escape(version_in_use)}</small>' * other)),
        ("Last automatic check", f"{newest.when:%Y-%m-%d %H:%M} UTC" if newest else "none yet"),
        (
            "Next automatic check",
            f"{stream.since:,} of {stream.period:,} predictions"
            f'<span class="cr-track" aria-hidden="true"><i style="width:{share:.0%}"></i></span>'
            f'<small class="cr-soft">{left:,} to go</small>',
        ),
        ("Due and not run", _count(stream.waiting, "lack")),
        ("Failed for good", _count(len(stream.failed), "flag")),
    ]
    rows = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in facts)
    return f'<dl class="cr-facts cr-mon-facts">{rows}</dl>{_failed(stream.failed)}'


def _count(count: int, sign: str) -> str:
    return f'<span class="cr-{sign}">! {count:,}</span>' if count else "none"


def _failed(failed: Sequence[tuple[int, str]]) -> str:
    if not failed:
        return ""
    told = "".join(f"<li><span>Check {window} failed: {escape(why)}</span></li>" for window, why in failed)
    return f'<ul class="cr-notes">{told}</ul>'


# --- Columns over time ------------------------------------------------------------------------------------------------


def map_heading(stream: Stream) -> str:
    """What the table of checks shows, and what its signs mean."""
    count = len(stream.checks)
    what = f"The last {count} checks" if count > 1 else "The only check"
    signs = (
        ("green", "·", "no drift"), ("amber", "!", "drift"), ("red", "▲", "strong drift"),
        ("lacking", "?", "too little data"), ("none", "", "not in the report"),
    )  # fmt: skip
    legend = "".join(
        f'<li><span class="cr-mon-cell cr-mon-cell-{kind}">{sign}</span>{word}</li>' for kind, sign, word in signs
    )
    return (
        f'<h2>Columns over time</h2><p class="cr-soft">{what} of model {escape(stream.model.version)} '
        f"({SOURCES[stream.source]}), the newest on the right. Choose a cell, a column or a check to see it below.</p>"
        f'<ul class="cr-mon-legend" aria-label="Signs">{legend}'
        "<li>▲ below a check: flagged, as the one before</li></ul>"
    )


def map_table(stream: Stream) -> str:
    """Columns by checks, oldest check first, each cell a button: its sign and colour are the column's status then."""
    checks = stream.checks[::-1]
    alarms = stream.alarms()
    head = "".join(_check_head(check, check.id in alarms) for check in checks)
    rows = _map_rows(checks)
    left_out = f'<p class="cr-hint">{len(rows) - MOST_COLUMNS} more columns, none flagged more often, are left out.</p>'
    body, family = "", ""
    for column in rows[:MOST_COLUMNS]:
        if column.role != family:
            family = column.role
            name = "Results of the model" if family == "score" else "Inputs"
            across = f'scope="rowgroup" colspan="{len(checks) + 1}"'
            body += f'<tr class="cr-mon-family"><th {across}><span>{name}</span></th></tr>'
        cells = "".join(_map_cell(check, check.column(column.column)) for check in checks)
        body += (
            f'<tr><th scope="row"><button type="button" class="cr-mon-link" data-pick="|{escape(column.column)}">'
            f"{escape(column.label)}</button></th>{cells}</tr>"
        )
    return (
        '<div class="cr-tablebox cr-mon-mapbox" role="region" aria-label="Status of each column in each check">'
        '<table class="cr-mon-map"><thead><tr><th scope="col"><span>Check</span></th>'
        f"{head}</tr></thead><tbody>{body}</tbody></table></div>{left_out if len(rows) > MOST_COLUMNS else ''}"
    )


def _map_rows(checks: Sequence[ReportView]) -> list[ColumnView]:
    """Every column once, as its newest report has it: results first, then inputs by how often they were flagged."""
    newest: dict[tuple[str, str], ColumnView] = {}
    flagged: dict[tuple[str, str], int] = {}
    for check in checks:
        for one in check.columns:
            key = (one.role, one.column)
            newest[key] = one
            flagged[key] = flagged.get(key, 0) + one.flagged
    order = sorted(newest, key=lambda key: (key[0] != "score", -flagged[key], newest[key].label.lower()))
    return [newest[key] for key in order]


def _check_head(check: ReportView, alarm: bool) -> str:
    kind = SIGNS.get(check.status, ("none", ""))[0]
    often = ", the second flagged in a row or a later one" if alarm else ""
    told = f"Check {check.name}, {check.when:%Y-%m-%d %H:%M} UTC: {check.status}{often}"
    tall = " cr-mon-tall" if len(check.name) > 3 else ""
    return (
        f'<th scope="col"><button type="button" class="cr-mon-check cr-mon-check-{kind}{tall}" data-pick="{check.id}|" '
        f'aria-label="{told}" title="{told}">{check.name}{"<i>▲</i>" if alarm else ""}</button></th>'
    )


def _map_cell(check: ReportView, column: ColumnView | None) -> str:
    if column is None:
        return '<td><span class="cr-mon-cell cr-mon-cell-none"></span></td>'
    kind, sign = SIGNS.get(column.status, ("none", "?"))
    psi = "" if column.psi is None else f", PSI {column.psi:.2f}"
    return (
        f'<td><button type="button" class="cr-mon-cell cr-mon-cell-{kind}" aria-label="{column.status}{psi}" '
        f'data-pick="{check.id}|{escape(column.column)}">{sign}</button></td>'
    )


# --- One column in one report -----------------------------------------------------------------------------------------


def column_heading(report: ReportView, column: ColumnView) -> str:
    """Which column of which report, its verdict, and why."""
    kind, flag = FLAGS[column.status]
    against = f"{report.n:,} predictions against {report.report.baseline_rows:,} {escape(report.report.reference)}"
    why = _sentence(column.reason) if column.reason else "As in the baseline."
    return (
        f'<h2>{escape(column.label)} <span class="cr-mon-flagword cr-{kind}">{flag}</span></h2>'
        f'<p class="cr-soft">{report.title}: {against}.</p><p class="cr-space">{escape(why)}</p>'
    )


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith('.') else '.'}"


def distribution_legend(column: ColumnView) -> str:
    """What the two bars are, or why there are none."""
    if not column.bins:
        return f'<p class="cr-soft">No distribution is kept of it: {escape(column.reason or "nothing to compare")}.</p>'
    return (
        '<ul class="cr-mon-legend"><li><span class="cr-mon-swatch cr-mon-swatch-before"></span>baseline</li>'
        '<li><span class="cr-mon-swatch cr-mon-swatch-now"></span>this check</li></ul>'
    )


def column_figures(column: ColumnView) -> str:
    """Every figure that the verdict comes from, and the bins in numbers."""
    chance = chance_of(column)
    told = [
        ("Mean, baseline → now", _means(column), column.kind == "number"),
        (f"Z (rule: ±{Z_LIMIT:g})", _z(column.z) + (" ▲" if column.z_flag else ""), column.kind == "number"),
        ("PSI", number_of(column.psi), True),
        ("PSI by chance alone", number_of(chance), True),
        ("PSI less chance", number_of(column.psi_adjusted), True),
        ("q", number_of(column.q), True),
        (f"{escape(column.shape or 'Shape')} distance", f"{number_of(column.distance)} (p {number_of(column.shape_p)})",
         column.shape is not None),
        ("Missing, baseline → now", f"{column.train_missing:.1%} → {column.new_missing:.1%}", True),
        ("Never seen before", f"{column.unseen:.1%}", column.kind == "category"),
        ("Values", f"{column.n:,}", True),
    ]  # fmt: skip
    rows = "".join(f"<div><dt>{name}</dt><dd>{escape(value)}</dd></div>" for name, value, yes in told if yes)
    return f'<dl class="cr-mon-pairs">{rows}</dl>'


def bins_table(column: ColumnView) -> str:
    """The distribution in numbers: shares of the baseline and now, and what each bin adds to PSI."""
    if not column.bins:
        return ""
    rows = "".join(
        f'<tr><th scope="row">{escape(one.name)}</th><td class="cr-right">{one.before:.1%}</td>'
        f'<td class="cr-right">{one.now:.1%}</td><td class="cr-right cr-roomy">{_points(one.now - one.before)}</td>'
        f'<td class="cr-right">{number_of(one.psi)}</td></tr>'
        for one in bins_of(column)
    )
    head = (
        '<th>Bin</th><th class="cr-right">Baseline</th><th class="cr-right">Now</th>'
        '<th class="cr-right cr-roomy">Points</th><th class="cr-right">Adds to PSI</th>'
    )
    return table("Distribution in numbers", head, rows, "cr-mon-tight")


def _points(change: float) -> str:
    return f"{100 * change:+.1f}".replace("-", "−")


# --- PSI over time ----------------------------------------------------------------------------------------------------


def psi_heading(stream: Stream, columns: Sequence[ColumnView]) -> str:
    """What the lines are, where the limits lie, and what chance gives."""
    marks = ("●", "◆", "■")
    names = "".join(
        f'<li><span class="cr-mon-line-{i}" aria-hidden="true">{marks[i]}</span>{escape(one.label)}</li>'
        for i, one in enumerate(columns)
    )
    limits = (
        f'<li><span class="cr-lack" aria-hidden="true">- -</span>amber from {AMBER_PSI:.2f}</li>'
        f'<li><span class="cr-flag" aria-hidden="true">-·-</span>red from {RED_PSI:.2f}</li>'
        '<li><span class="cr-flag" aria-hidden="true">▲</span>flagged two in a row</li>'
    )
    chances = [chance for one in columns if (chance := chance_of(one)) is not None]
    chance = ""
    if chances:
        size = f"{min(chances):.2f}" if f"{min(chances):.2f}" == f"{max(chances):.2f}" else (
            f"{min(chances):.2f} to {max(chances):.2f}"
        )  # fmt: skip
        chance = f" A check of {stream.checks[0].n:,} shows a PSI of about {size} without any drift: that is taken off."
    return (
        f'<h2>PSI over time</h2><p class="cr-soft">Results of the model and the column chosen.{chance} '
        f'{psi_words(stream, columns)}</p><ul class="cr-mon-legend">{names}{limits}</ul>'
    )


def psi_words(stream: Stream, columns: Sequence[ColumnView]) -> str:
    """The lines in words: where each ended, and how often two in a row were flagged."""
    ends = "; ".join(f"{escape(one.label)} {number_of(one.psi_adjusted)}" for one in columns)
    alarms = len(stream.alarms())
    often = f"{alarms} of {len(stream.checks)} checks" if alarms else "No check"
    return f"Newest values: {ends}. {often} came directly after another flagged one."


# --- One report -------------------------------------------------------------------------------------------------------


def report_panel(report: ReportView, version_in_use: str) -> str:
    """One drift report: the verdict, what it is about, and every column."""
    kind, icon, title = VERDICTS.get(report.status, ("unsure", "?", report.status))
    model = f"model {report.model.short}"
    about = f"{report.when:%Y-%m-%d %H:%M} UTC · {report.n:,} predictions of {model}, {trigger_words(report.trigger)}."
    if version_in_use not in ("", report.model.version):
        about += f" This page scores with model {version_in_use}."
    rows = "".join(_drift_row(column) for column in report.columns)
    head = (
        '<th>Column</th><th>Verdict</th><th class="cr-right">PSI</th><th class="cr-right">less chance</th>'
        f'<th class="cr-right">q</th><th class="cr-right">Z</th><th>Rule: ±{Z_LIMIT:g}</th>'
        '<th class="cr-right">Mean, training → now</th><th class="cr-right">Missing</th>'
    )
    check = f": check {report.window} of model {escape(report.model.version)}" if report.window else ""
    return (
        f'<h2>Drift report {report.id}{check}</h2><p class="cr-soft">{escape(about)}</p>'
        f'<div class="cr-space">{box(kind, icon, title, report.verdict)}</div>'
        f"{table('Drift by column', head, rows)}"
        f'<p class="cr-hint">Rule: an extreme shift of a mean, |Z| of {Z_LIMIT:g} or more, in standard deviations of '
        "single values. Verdict: q below its limit and a PSI less chance of "
        f"{AMBER_PSI:.2f} (amber) or {RED_PSI:.2f} (red), or the rule, or missing values.</p>"
    )


def trigger_words(trigger: str) -> str:
    return HOW.get(trigger, "checked by hand")


def _drift_row(column: ColumnView) -> str:
    kind, flag = FLAGS[column.status]
    reason = f'<tr class="cr-why"><td></td><td colspan="8" class="cr-soft cr-small">{escape(column.reason)}</td></tr>'
    why = "" if column.status == GREEN else reason
    psi, adjusted, q = map(number_of, (column.psi, column.psi_adjusted, column.q))
    pick = f'data-pick="|{escape(column.column)}"'
    name = f'<button type="button" class="cr-mon-link" {pick}>{escape(column.label)}</button>'
    return (
        f'<tr><td>{name}</td><td class="cr-{kind}">{flag}</td><td class="cr-right">{escape(psi)}</td>'
        f'<td class="cr-right">{escape(adjusted)}</td><td class="cr-right">{escape(q)}</td>'
        f'<td class="cr-right">{_z(column.z)}</td><td>{_z_bar(column.z)}</td>'
        f'<td class="cr-right">{_means(column)}</td>'
        f'<td class="cr-right">{column.train_missing:.1%} → {column.new_missing:.1%}</td></tr>{why}'
    )


def _means(column: ColumnView) -> str:
    return "–" if column.kind != "number" else f"{mean_of(column.train_mean)} → {mean_of(column.new_mean)}"


def mean_of(value: float | None) -> str:
    """A mean, with as many digits as tell."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 1000 else number_in_words(round(value, 2 if abs(value) >= 1 else 4))


def _z(z: float | None) -> str:
    return "–" if z is None else f"{z:+.2f}".replace("-", "−")


def _z_bar(z: float | None) -> str:
    if z is None:
        return ""
    width = 50 * min(abs(z), Z_SHOWN) / Z_SHOWN
    left = 50 - width if z < 0 else 50
    over = " cr-over" if abs(z) >= Z_LIMIT else ""
    bar = f'<i style="left:{left:.1f}%;width:{width:.1f}%"></i>'
    return f'<span class="cr-z{over}" aria-hidden="true">{bar}<u></u></span>'
