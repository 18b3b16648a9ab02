"""The parts of the Book tab that are read, as HTML: functions of the state alone."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from creditrisk.ui.page.book_state import BookSummary
from creditrisk.ui.page.words import in_percent, or_dash, table
from creditrisk.ui.styles import rating_colours


def book_heading(summary: BookSummary) -> str:
    """What the charts below are drawn from."""
    newest = summary.looked_at < summary.total
    looked = f"newest {summary.looked_at:,} of {summary.total:,}" if newest else f"{summary.total:,}"
    mean = f" · mean PD {in_percent(summary.mean_pd)}" if summary.mean_pd is not None else ""
    return f'<h2>Logged predictions</h2><p class="cr-soft">{looked} predictions{mean}</p>'


def rating_heading(summary: BookSummary) -> str:
    """Shares by rating, in words: the chart for those who cannot see it, and exact for those who can."""
    shares = [f"{escape(name)} {n / max(summary.looked_at, 1):.0%}" for name, n in summary.ratings.items()]
    return f'<h2>By rating</h2><p class="cr-soft cr-small">{" · ".join(shares)}</p>'


def score_heading(summary: BookSummary) -> str:
    """Where the middle of the scores lies."""
    low, middle, high = (f"{q:.0f}" for q in summary.quartiles)
    return (
        f'<h2>By credit score</h2><p class="cr-soft cr-small">Median {middle}; the middle half lies between {low} '
        f"and {high}</p>"
    )


def recent_table(summary: BookSummary) -> str:
    """The newest predictions, newest first."""
    colours = rating_colours(list(summary.ratings))
    more = [name for name in ("points", "decision", "policy") if any(row[name] is not None for row in summary.recent)]
    rows = "".join(_recent_row(row, colours[row["rating"]], more) for row in summary.recent)
    head = (
        '<th>Time (UTC)</th><th class="cr-roomy">Prediction</th><th>Application</th><th class="cr-right">PD</th>'
        '<th class="cr-right">Score</th>'
    )
    head += '<th class="cr-right">Points</th>' if "points" in more else ""
    decided = "".join(f"<th>{name.capitalize()}</th>" for name in more if name != "points")
    head += f"<th>Rating</th>{decided}<th>Purpose</th>"
    return f"<h2>Newest predictions</h2>{table('Newest predictions', head, rows, 'cr-scroll')}"


def _recent_row(row: Mapping, colour: str, more: list[str]) -> str:
    """A row of the log. Ids are shown whole: those of one minute begin alike. A click selects all of one."""
    number, application = escape(row["prediction_id"]), escape(row["application_id"] or "–")
    points = f'<td class="cr-right">{or_dash(row["points"])}</td>' if "points" in more else ""
    decided = "".join(f"<td>{or_dash(row[name])}</td>" for name in more if name != "points")
    return (
        f"<tr><td>{row['created_at']:%Y-%m-%d %H:%M}</td>"
        f'<td class="cr-roomy"><code class="cr-id" title="Click to select, then copy">{number}</code></td>'
        f'<td><span class="cr-id">{application}</span></td>'
        f'<td class="cr-right">{in_percent(row["pd"])}</td><td class="cr-right">{row["score"]}</td>{points}'
        f'<td><span class="cr-dot" style="background:{colour}"></span>{escape(row["rating"])}</td>{decided}'
        f"<td>{escape(row['purpose'].replace('_', ' '))}</td></tr>"
    )
