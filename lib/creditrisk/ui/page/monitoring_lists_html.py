"""Alerts and reports of the Monitoring tab as they are listed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from creditrisk.ui.page.monitoring_html import FLAGS
from creditrisk.ui.page.words import empty, table, with_code

STATES = {
    "sent": ("ok", "✓ sent"),
    "pending": ("lack", "… to be sent"),
    "held": ("lack", "… waits for the cool-down"),
    "failed": ("flag", "✕ reached nobody"),
    "dropped": ("soft", "not told"),
}
NO_RECEIVER = (
    "No receiver is set where this page runs. Set `CREDITRISK_ALERT_URLS` (or `CREDITRISK_ALERT_FILE`) for "
    "`creditrisk serve`, which sends, try it with `creditrisk alerts test`, and see docs/monitoring.md."
)
NO_ALERTS = "Nothing has turned red while `creditrisk serve` ran with a receiver."
HOW_TOLD = "People are told when a status changes to red and when it is green again, not at every check."


def status_words(status: str) -> str:
    """A status with its sign and colour."""
    kind, words = FLAGS.get(status, ("soft", status))
    return f'<span class="cr-{kind}">{escape(words)}</span>'


def alerts_heading(has_receivers: bool) -> str:
    """What alerts are, and how to get any."""
    missing = "" if has_receivers else f'<p class="cr-space cr-said">{with_code(NO_RECEIVER)}</p>'
    return f'<h2>Alerts</h2><p class="cr-soft">{HOW_TOLD}</p>{missing}'


def alerts_table(alerts: Sequence[Mapping[str, Any]]) -> str:
    """What people were told, newest first, and who has it."""
    if not alerts:
        return f'<div class="cr-space">{empty("No alerts yet", NO_ALERTS)}</div>'
    rows = "".join(map(_alert_row, alerts))
    head = "<th>Time (UTC)</th><th>Subject</th><th>Status</th><th>Message</th><th>Receivers</th>"
    return table("Alerts sent", head, rows, "cr-scroll")


def _alert_row(alert: Mapping[str, Any]) -> str:
    before = f"{escape(alert['status_before'])} → " if alert["status_before"] else ""
    return (
        f"<tr><td>{alert['created_at']:%Y-%m-%d %H:%M}</td><td>{escape(alert['subject'])}</td>"
        f'<td><span class="cr-soft">{before}</span>{status_words(alert["status"])}</td>'
        f'<td class="cr-mon-wrap"><details><summary>{escape(alert["title"])}</summary>'
        f'<p class="cr-mon-body">{escape(alert["body"])}</p></details></td>'
        f'<td class="cr-mon-wrap">{_delivery(alert)}</td></tr>'
    )


def _delivery(alert: Mapping[str, Any]) -> str:
    kind, words = STATES.get(alert["state"], ("soft", alert["state"]))
    have = ", ".join(alert["delivered"] or ())
    told = f'<span class="cr-{kind}">{escape(words)}</span>' + (f" to {escape(have)}" if have else "")
    if alert["error"]:
        often = f" after {alert['attempts']} attempts" if alert["attempts"] > 1 else ""
        told += f'<br><span class="cr-small cr-soft">{escape(alert["error"])}{often}</span>'
    return told


def reports_heading(count: int, most: int) -> str:
    """How many reports are listed."""
    what = (
        f"The newest {count:,} drift reports" if count >= most else f"{count:,} drift report{'' if count == 1 else 's'}"
    )
    return (
        f'<h2>Drift reports</h2><p class="cr-soft">{what} of all models, also those that were made with a scored file '
        "or by hand. Choose one to read it under Drift.</p>"
    )
