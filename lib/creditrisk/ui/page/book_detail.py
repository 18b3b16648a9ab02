"""One logged prediction in full, as HTML."""

from __future__ import annotations

import math
from collections.abc import Mapping
from html import escape
from typing import Any

from creditrisk.data.portfolio import Portfolio
from creditrisk.serving.contract import number_in_words, wire_name
from creditrisk.ui.form import fields_of
from creditrisk.ui.page.book_html import SIGNS, in_words, on_day
from creditrisk.ui.page.book_state import Detail
from creditrisk.ui.page.words import empty, in_percent, table


def detail_html(chosen: str, detail: Detail | None, book: Portfolio | None) -> str:
    """All that the log holds of a prediction."""
    if detail is None:
        return empty(f"Prediction {chosen} is no longer in the log", "It was deleted, or the log is another one now.")
    row = detail.row
    labels = _labels(book)
    return (
        f'<section class="cr-detail" aria-live="polite"><h2>Prediction</h2>'
        f'<p><code class="cr-id">{escape(row["prediction_id"])}</code></p>'
        f"{_figures(row)}{_decided(detail)}{_outcome(detail)}"
        f'<div class="cr-pair cr-space"><div>{_inputs(row, labels)}</div>'
        f"<div>{_reasons(row, labels)}{_origin(row)}</div></div></section>"
    )


def _labels(book: Portfolio | None) -> dict[str, str]:
    """What people call an input or a feature, by its name in the log."""
    if book is None:
        return {}
    fields = fields_of(book)
    labels = {name: column.label or name.replace("_", " ").capitalize() for name, column in book.columns.items()}
    return labels | {wire_name(name, book.columns[name]): field.label for name, field in fields.items()}


def _label(name: str, labels: Mapping[str, str]) -> str:
    return escape(labels.get(name, name.replace("_", " ").capitalize()))


def _figures(row: Mapping[str, Any]) -> str:
    figures = {
        "Probability of default": in_percent(row["pd"]),
        "Credit score": f"{row['score']}<small>{escape(row['rating'])}</small>",
        "Grade": escape(row["grade"]) if row["grade"] else None,
        "Points": row["points"],
    }
    shown = "".join(
        f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in figures.items() if value is not None
    )
    return f'<dl class="cr-figures">{shown}</dl>'


def _decided(detail: Detail) -> str:
    row = detail.row
    if row["decision"] is None:
        told = ["No policy decided on it."]
    else:
        told = [
            f"<b>{SIGNS.get(row['decision'], escape(row['decision']))}</b> by policy {escape(row['policy'] or '–')}."
        ]
    for one in detail.decisions:
        told.append(
            f"<b>{SIGNS.get(one['decision'], escape(one['decision']))}</b> by {escape(one['decided_by'])} on "
            f"{one['created_at']:%Y-%m-%d at %H:%M} UTC instead: {escape(one['reason'])}"
        )
    return "".join(f'<p class="cr-space">{one}</p>' for one in told)


def _outcome(detail: Detail) -> str:
    outcome = detail.outcome
    if outcome is None:
        return '<p class="cr-soft">No outcome is known yet.</p>'
    verdict = "✕ Bad" if outcome["bad"] else "✓ Good"
    return f"<p>Outcome: <b>{verdict}</b>, observed on {on_day(outcome['observed_at'])}.</p>"


def _inputs(row: Mapping[str, Any], labels: Mapping[str, str]) -> str:
    if not row["inputs"]:
        return '<h3>Inputs as received</h3><p class="cr-soft cr-said">The log keeps none of this prediction.</p>'
    rows = "".join(
        f'<tr><td class="cr-words">{_label(name, labels)}</td><td class="cr-right">{_value(value)}</td></tr>'
        for name, value in row["inputs"].items()
    )
    head = '<th>Input</th><th class="cr-right">Value</th>'
    return f"<h3>Inputs as received</h3>{table('Inputs as received', head, rows)}"


def _value(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float) and value != round(value, 4):
        return f'<span title="{value!r}">{value:,.4f}</span>'
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return number_in_words(value) if is_number else escape(str(value))


def _reasons(row: Mapping[str, Any], labels: Mapping[str, str]) -> str:
    if not row["reasons"]:
        return '<h3>Reasons</h3><p class="cr-soft cr-said">No reason was logged: no input raised this PD.</p>'
    rows = "".join(
        f'<tr><td class="cr-wrap">{escape(str(one.get("text", "")))}<br><span class="cr-soft cr-small">'
        f"{_label(str(one.get('feature', '')), labels)}</span></td>"
        f'<td class="cr-right">{_weight(one.get("weight"))}</td>'
        f'<td class="cr-right">{_odds(one.get("weight"))}</td></tr>'
        for one in row["reasons"]
    )
    head = '<th>Reason</th><th class="cr-right">Weight</th><th class="cr-right">Odds ×</th>'
    return f"<h3>Reasons, heaviest first</h3>{table('Reasons', head, rows)}"


def _weight(weight: float | None) -> str:
    return "–" if weight is None else f"{weight:.3f}"


def _odds(weight: float | None) -> str:
    return "–" if weight is None else f"{math.exp(min(weight, 50.0)):,.2f}"


def _origin(row: Mapping[str, Any]) -> str:
    facts = {
        "Application": row["application_id"],
        "Time": f"{row['created_at']:%Y-%m-%d %H:%M:%S} UTC",
        "Model": f"{row['model_version']} ({row['model_sha256'][:12]})",
        "Purpose": in_words(row["purpose"]),
        "Source": row["source"],
        "Caller": row["caller"],
        "Run": row["run"],
        "Latency": None if row["latency_ms"] is None else f"{row['latency_ms']:.1f} ms",
    }
    rows = "".join(
        f'<tr><td>{name}</td><td class="cr-wrap" title="{escape(row["model_sha256"]) if name == "Model" else ""}">'
        f"{escape(str(value)) if value else '–'}</td></tr>"
        for name, value in facts.items()
    )
    name = "Where it came from"
    return f'<h3 class="cr-space">{name}</h3>{table(name, "<th>Fact</th><th>Value</th>", rows)}'
