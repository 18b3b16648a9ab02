"""The parts of the Monitoring tab that are read, as HTML: functions of the state alone."""

from __future__ import annotations

from html import escape

from creditrisk.monitoring.drift import Z_LIMIT
from creditrisk.serving.contract import number_in_words
from creditrisk.ui.page.monitoring_state import ColumnView, ReportView
from creditrisk.ui.page.words import box, table

Z_SHOWN = 2 * Z_LIMIT  # the bar of a larger shift is cut off here
VERDICTS = {
    "green": ("yes", "✓", "Green: no drift"),
    "amber": ("unsure", "!", "Amber: drift"),
    "red": ("no", "✕", "Red: drift"),
    "insufficient data": ("unsure", "?", "Unsure"),
}
FLAGS = {
    "green": ("ok", "✓ green"),
    "amber": ("lack", "! amber"),
    "red": ("flag", "▲ red"),
    "insufficient data": ("soft", "? too little data"),
}


def report_panel(report: ReportView, version_in_use: str) -> str:
    """One drift report: the verdict, what it is about, and every column."""
    kind, icon, title = VERDICTS[report.status]
    model = f"model {report.model_version} ({report.short_hash})"
    about = f"{report.when:%Y-%m-%d %H:%M} UTC · {report.n:,} predictions of {model}, {_trigger(report.trigger)}."
    if version_in_use not in ("", report.model_version):
        about += f" This page scores with model {version_in_use}."
    rows = "".join(_drift_row(column) for column in report.columns)
    head = (
        '<th>Column</th><th>Verdict</th><th class="cr-right">PSI</th><th class="cr-right">less chance</th>'
        f'<th class="cr-right">q</th><th class="cr-right">Z</th><th>Rule: ±{Z_LIMIT:g}</th>'
        '<th class="cr-right">Mean, training → now</th><th class="cr-right">Missing</th>'
    )
    return (
        f'<h2>Drift report {report.id}</h2><p class="cr-soft">{escape(about)}</p>'
        f'<div class="cr-space">{box(kind, icon, title, report.verdict)}</div>'
        f"{table('Drift by column', head, rows)}"
    )


def _trigger(trigger: str) -> str:
    return {"automatic": "checked automatically", "file": "checked with a scored file"}.get(trigger, "checked by hand")


def _drift_row(column: ColumnView) -> str:
    kind, flag = FLAGS[column.status]
    reason = f'<tr class="cr-why"><td></td><td colspan="8" class="cr-soft cr-small">{escape(column.reason)}</td></tr>'
    why = "" if column.status == "green" else reason
    psi, adjusted, q = (
        "–" if value is None else "<0.001" if 0 < value < 0.001 else f"{value:.3f}"
        for value in (column.psi, column.psi_adjusted, column.q)
    )  # fmt: skip
    z = "–" if column.z is None else f"{column.z:+.2f}".replace("-", "−")
    return (
        f'<tr><td>{escape(column.label)}</td><td class="cr-{kind}">{flag}</td><td class="cr-right">{psi}</td>'
        f'<td class="cr-right">{adjusted}</td><td class="cr-right">{escape(q)}</td><td class="cr-right">{z}</td>'
        f"<td>{_z_bar(column.z)}</td>"
        f'<td class="cr-right">{_mean(column.train_mean)} → {_mean(column.new_mean)}</td>'
        f'<td class="cr-right">{column.train_missing:.1%} → {column.new_missing:.1%}</td></tr>{why}'
    )


def _mean(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 1000 else number_in_words(round(value, 2 if abs(value) >= 1 else 4))


def _z_bar(z: float | None) -> str:
    if z is None:
        return ""
    width = 50 * min(abs(z), Z_SHOWN) / Z_SHOWN
    left = 50 - width if z < 0 else 50
    over = " cr-over" if abs(z) >= Z_LIMIT else ""
    bar = f'<i style="left:{left:.1f}%;width:{width:.1f}%"></i>'
    return f'<span class="cr-z{over}" aria-hidden="true">{bar}<u></u></span>'


def reports_table(reports: list[ReportView], shown: ReportView | None) -> str:
    """The reports there are, newest first."""
    rows = "".join(
        f"<tr><td>{report.id}{' (shown)' if report is shown else ''}</td><td>{report.when:%Y-%m-%d %H:%M}</td>"
        f'<td class="{_flag_class(report.status)}">{VERDICTS[report.status][1]} {VERDICTS[report.status][2]}</td>'
        f'<td class="cr-right">{report.flagged}</td><td class="cr-right">{report.n:,}</td>'
        f"<td>{escape(report.model_version)} <code>{escape(report.short_hash)}</code></td>"
        f"<td>{escape(_trigger(report.trigger))}</td></tr>"
        for report in reports
    )
    head = (
        '<th>Report</th><th>Time (UTC)</th><th>Verdict</th><th class="cr-right">Flagged</th>'
        '<th class="cr-right">Predictions</th><th>Model</th><th>How</th>'
    )
    return f"<h2>Reports</h2>{table('Drift reports', head, rows)}"


def _flag_class(status: str) -> str:
    return {"green": "cr-ok", "red": "cr-flag"}.get(status, "cr-lack")
