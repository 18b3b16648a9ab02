"""Runs that belong together, as a table with a link to the report of each."""

from __future__ import annotations

from html import escape

import pandas as pd
from IPython.display import HTML

_CELL = "text-align: left; vertical-align: top; white-space: normal"


def run_links(table: pd.DataFrame) -> HTML:
    """A table of runs: step, run (its folder, beside that of the report shown), status, seconds, says."""
    if not len(table):
        return HTML("<p>No other run belongs to this one.</p>")
    head = "".join(f'<th style="{_CELL}">{name}</th>' for name in ("step", "report", "status", "seconds", "says"))
    rows = "".join(
        f'<tr><td style="{_CELL}">{escape(one.step)}</td>'
        f'<td style="{_CELL}"><a href="../{escape(one.run, quote=True)}/report.html">{escape(one.run)}</a></td>'
        f'<td style="{_CELL}">{escape(one.status)}</td><td>{one.seconds:.1f}</td>'
        f'<td style="{_CELL}">{escape(one.says)}</td></tr>'
        for one in table.itertuples(index=False)
    )
    return HTML(f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>")
