"""A drift report as a page of its own: no script, nothing fetched, some ten kilobytes."""

from __future__ import annotations

from html import escape

from creditrisk.monitoring.drift import AMBER, GREEN, LACKING, RED, Z_LIMIT, ColumnDrift, DriftReport

SIGNS = {GREEN: "✓ green", AMBER: "! amber", RED: "▲ red", LACKING: "? insufficient data"}
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1d2733; background: #fff; max-width: 60rem; margin: 2rem auto;
  padding: 0 1rem; }
h1 { font-size: 1.5rem; margin: 0 0 .25rem; } h2 { font-size: 1.05rem; margin: 1.75rem 0 .25rem; }
.verdict { border-left: .35rem solid; padding: .6rem 1rem; margin: 1rem 0; background: #f5f7f9; font-weight: 600; }
.soft { color: #55606d; } .green { color: #1c6b3a; } .amber { color: #8a5a00; } .red { color: #a3242c; }
.lack { color: #55606d; }
.wide { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .25rem .6rem; border-bottom: 1px solid #dfe4e9; white-space: nowrap; }
th { font-size: .85rem; color: #55606d; }
th:first-child, td:first-child, .text { text-align: left; white-space: normal; }
.left { text-align: left; }
tr:has(+ .why) td { border-bottom: 0; padding-bottom: 0; } .why td { padding-top: 0; }
.bar { display: block; height: .45rem; background: #9fb1c4; } .bar.now { background: #2f6db0; }
@media (prefers-color-scheme: dark) { body { background: #14191f; color: #e4e9ee; } .verdict { background: #1e252d; }
  .soft, th, .lack { color: #9fabb8; } .green { color: #6fcf8e; } .amber { color: #e0ad4f; } .red { color: #f08a8f; }
  th, td { border-color: #2c3640; } }
@media print { body { margin: 0; max-width: none; } }
"""


def page(report: DriftReport, title: str) -> str:
    """HTML of a report: the verdict, every column, and the bins of those that are flagged."""
    shown = [item for item in report.worst_first if item.flagged and item.bins]
    head = "".join(
        f"<th{' class=text' if name in ('Column', 'Verdict') else ''}>{name}</th>"
        for name in ("Column", "Verdict", "PSI", "less chance", "q", "Z", "missing before", "now")
    )
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head><body>'
        f'<h1>{escape(title)}</h1><p class="soft">{report.rows:,} rows held against {report.baseline_rows:,}: '
        f"{escape(report.reference)}</p>"
        f'<p class="verdict {_class(report.status)}">{SIGNS[report.status]}. {escape(report.verdict)}</p>'
        f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>'
        + "".join(map(_row, report.worst_first))
        + "</tbody></table></div>"
        + "".join(map(_bins, shown))
        + f'<p class="soft">PSI less chance is PSI without what a window of this size shows under no drift. q is the '
        "share of false discoveries among columns as suspicious. Z is the shift of the mean in standard deviations of "
        f"single values; its rule fires at {Z_LIMIT:g}, on extreme shifts of a mean only.</p></body></html>"
    )


def _class(status: str) -> str:
    return "lack" if status == LACKING else status


def _row(item: ColumnDrift) -> str:
    why = item.status != GREEN or "real but small" in item.reason
    name = item.column if item.role == "input" else f"{item.column} (the model's result)"
    cells = [
        _number(item.psi),
        _number(item.psi_adjusted),
        _number(item.q),
        "–" if item.z is None else f"{item.z:+.2f}",
    ]
    cells += [f"{item.train_missing:.1%}", f"{item.new_missing:.1%}"]
    return (
        f'<tr><td>{escape(name)}</td><td class="left {_class(item.status)}">{SIGNS[item.status]}</td>'
        + "".join(f"<td>{cell}</td>" for cell in cells)
        + "</tr>"
        + (f'<tr class="why"><td></td><td colspan="7" class="text soft">{escape(item.reason)}</td></tr>' if why else "")
    )


def _number(value: float | None) -> str:
    return "–" if value is None else "&lt;0.001" if 0 < value < 0.001 else f"{value:.3f}"


def _bins(item: ColumnDrift) -> str:
    before, now = (sum(getattr(one, when) for one in item.bins) or 1 for when in ("before", "now"))
    most = max(max(one.before / before, one.now / now) for one in item.bins)
    rows = "".join(
        f"<tr><td>{escape(one.name)}</td><td>{one.before / before:.1%}</td><td>{one.now / now:.1%}</td>"
        f'<td>{one.psi:.3f}</td><td class="text" style="width:40%">'
        f'<span class="bar" style="width:{one.before / before / most:.1%}"></span>'
        f'<span class="bar now" style="width:{one.now / now / most:.1%}"></span></td></tr>'
        for one in item.bins
        if one.before or one.now
    )
    return (
        f'<h2>{escape(item.column)} <span class="{_class(item.status)}">{SIGNS[item.status]}</span></h2>'
        '<div class="wide"><table><thead><tr><th>Bin</th><th>before</th><th>now</th><th>adds to PSI</th>'
        f'<th class="text">before (grey) and now (blue)</th></tr></thead><tbody>{rows}</tbody></table></div>'
    )
