"""The parts of the File tab that are read, as HTML: functions of the state alone."""

from __future__ import annotations

from html import escape

from creditrisk.data.portfolio import Portfolio
from creditrisk.ui.page.file_scoring import INSTEAD, MAX_BYTES, MAX_ROWS, Counts, Preview, Wanted, wanted_columns
from creditrisk.ui.page.file_state import EMPTY, LOGGING, RECEIVING, SCORING, FileState, rejected_table
from creditrisk.ui.page.words import box, in_percent, percent, table, with_code
from creditrisk.ui.styles import rating_colours

LIMITS = f"CSV, Parquet or Excel (.xlsx), up to {MAX_BYTES / 2**20:.0f} MB and {MAX_ROWS:,} rows."
MOST_WARNINGS = 6
MOST_MISTAKES = 5
NAMED = 3
DOING = {
    "receiving": "Sending",
    "reading": "Reading",
    "checking": "Checking",
    "scoring": "Scoring",
    "summing up": "Summing up",
    "logging": "Logging",
}
DECISIONS = {"approve": ("good", "✓", "Approve"), "refer": ("warn", "!", "Refer"), "decline": ("bad", "✕", "Decline")}
DRIFT = {
    "green": ("yes", "✓", "Like the training data"),
    "amber": ("unsure", "!", "Drift: amber"),
    "red": ("no", "✕", "Drift: red"),
    "insufficient data": ("unsure", "?", "Too few rows to judge drift"),
}


def heading(version: str) -> str:
    """What this tab is for."""
    return (
        "<h2>Score a file of applications</h2>"
        f'<p class="cr-soft cr-said">Each row is checked and scored with model {escape(version)}. You see the result '
        "first; nothing is logged until you say so.</p>"
    )


def larger() -> str:
    """What to do with a larger file."""
    return f'<p class="cr-soft cr-small cr-said">Larger? {with_code(INSTEAD)}</p>'


def progress(state: FileState) -> str:
    """How far it is, while something is being done."""
    if not state.busy:
        return ""
    share = state.done / state.total if state.total else None
    what = f"{DOING[state.stage]} {escape(state.name)}"
    if share is not None and state.stage == RECEIVING:
        what += f": {state.done / 2**20:.1f} of {state.total / 2**20:.1f} MB"
    elif share is not None and state.stage in (SCORING, LOGGING):
        what += f": {state.done:,} of {state.total:,} rows"
    width = "" if share is None else f' value="{share:.4f}"'
    return (
        f'<div class="cr-progress"><span role="status">{what}…</span>'
        f'<progress max="1"{width} aria-label="{DOING[state.stage]}"></progress></div>'
    )


def problem(state: FileState) -> str:
    """What was wrong with the file, or that it was stopped."""
    if state.problem:
        return (
            '<div class="cr-verdict cr-no cr-space" role="alert" data-cr="file-problem"><span class="cr-icon" '
            'aria-hidden="true">✕</span><div><b>Nothing was scored</b>'
            f'<span class="cr-said">{with_code(state.problem)}</span></div></div>'
        )
    if state.notice:
        return f'<p role="status" class="cr-said">{escape(state.notice)}</p>'
    if state.stage == EMPTY:
        return (
            '<p class="cr-soft cr-said">No file yet. What it must hold is told below; the template has every column '
            "and one example row.</p>"
        )
    return ""


# --- The summary ------------------------------------------------------------------------------------------------------


def summary(preview: Preview) -> str:
    """What the file holds, and what the model and the policy make of it."""
    checked = preview.checked
    figures = {"Rows read": f"{checked.received:,}", "Scored": f"{preview.scored:,}"}
    figures["Rejected"] = f"{checked.rejected_rows:,}"
    if checked.duplicates:
        figures["Repeated ids"] = f"{checked.duplicates:,}"
    if preview.mean_pd is not None:
        figures["Mean PD"] = in_percent(preview.mean_pd)
    if preview.decisions is not None:
        approved = dict(preview.decisions.rows)["approve"]
        figures["Approved"] = f"{approved:,}<small>{approved / preview.scored:.1%}</small>"
    listed = "".join(
        f'<div><dt>{name}</dt><dd data-cr="file-{_key(name)}">{v}</dd></div>' for name, v in figures.items()
    )
    return (
        f'<section aria-label="Summary"><h2>{escape(preview.name)}</h2><dl class="cr-figures cr-totals">{listed}</dl>'
        f"{_spoilt(preview)}{_charts(preview)}{_drift(preview)}{_warnings(preview)}</section>"
    )


def _spoilt(preview: Preview) -> str:
    """That no row could be scored, or too few to log them."""
    if not preview.parts:
        advice = "What was wrong is below. Correct the rows, then send the file again."
        return f'<div class="cr-section" role="alert">{box("no", "✕", "No row could be scored", advice)}</div>'
    if preview.spoilt:
        title = "Too many rows are rejected to log this file"
        return f'<div class="cr-section" role="alert">{box("unsure", "!", title, preview.spoilt)}</div>'
    return ""


def _key(name: str) -> str:
    return name.lower().replace(" ", "-")


def _charts(preview: Preview) -> str:
    if not preview.parts:
        return ""
    names = [name for name, _ in preview.ratings.rows]
    charts = [_bars("Decisions", _decisions(preview), ""), _ratings("Rating", preview.ratings, names)]
    if preview.grades is not None:
        charts.append(_ratings("Grade", preview.grades, [name for name, _ in preview.grades.rows]))
    return f'<div class="cr-dists">{"".join(filter(None, charts))}</div>'


def _decisions(preview: Preview) -> list[tuple[str, int, str]]:
    if preview.decisions is None:
        return []
    rows = [(name, n) for name, n in preview.decisions.rows if n or name != "refer"]
    return [(f"{DECISIONS[name][1]} {DECISIONS[name][2]}", n, f"var(--cr-{DECISIONS[name][0]})") for name, n in rows]


def _ratings(title: str, counts: Counts, names: list[str]) -> str:
    colours = rating_colours(names[::-1])
    return _bars(title, [(name, n, colours[name]) for name, n in counts.rows], "")


def _bars(title: str, rows: list[tuple[str, int, str]], note: str) -> str:
    if not rows:
        return ""
    of = sum(n for _, n, _ in rows) or 1
    most = max(n for _, n, _ in rows) or 1
    items = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td class="cr-bar-cell"><i style="width:{100 * n / most:.1f}%;'
        f'background:{colour}"></i></td><td class="cr-num">{n:,}</td><td class="cr-num cr-soft">{n / of:.1%}</td></tr>'
        for name, n, colour in rows
    )
    return (
        f'<div><h3>{escape(title)}</h3>{note}<table class="cr-bars" aria-label="{escape(title)}">{items}</table></div>'
    )


def _drift(preview: Preview) -> str:
    if preview.drift is None:
        return ""
    drift = preview.drift
    kind, icon, title = DRIFT[drift.status]
    labels = {name: column.label or name for name, column in preview.data.portfolio.columns.items()}
    worst = [item for item in drift.worst_first if item.flagged or item.decides][:NAMED]
    more = len(drift.flagged) - len(worst)
    told = "; ".join(f"{labels.get(item.column, item.column)}: {item.reason}" for item in worst)
    told = f"{told}{f'; and {more} more' if more > 0 else ''}." if worst else drift.verdict
    against = f"The file as a whole against {drift.baseline_rows:,} {drift.reference}. "
    return f'<div class="cr-section">{box(kind, icon, title, against + told)}</div>'


def _warnings(preview: Preview) -> str:
    warnings = sorted(preview.checked.warnings.items(), key=lambda one: -one[1])
    if not warnings:
        return ""
    items = "".join(f"<li>{n:,} row{'s' if n > 1 else ''}: {escape(text)}</li>" for text, n in warnings[:MOST_WARNINGS])
    more = len(warnings) - MOST_WARNINGS
    items += f"<li>{more} more such sentences</li>" if more > 0 else ""
    return f'<div class="cr-section"><h3>Please check</h3><ul class="cr-notes">{items}</ul></div>'


# --- The log ----------------------------------------------------------------------------------------------------------


def logging(state: FileState) -> str:
    """What logging would do, or did."""
    preview = state.preview
    if preview is None:
        return ""
    text = f'<div class="cr-space">{_log_text(state, preview)}</div>'
    return f"<h2>Log these predictions</h2>{_log_problem(state)}{text}"


def _log_text(state: FileState, preview: Preview) -> str:
    if state.logged is not None:
        return _logged(state)
    if preview.kept_out:
        return box("unsure", "!", "These predictions cannot be logged", with_code(preview.kept_out))
    approve, decline = preview.policy.cut_offs
    version = escape(preview.policy.version)
    cut = f"approve below a PD of {percent(approve)}"
    cut += f", decline from {percent(decline)}" if decline > approve else ", else decline"
    ids = (
        "An application id that this model has scored before keeps the prediction that is stored."
        if preview.checked.ids is not None
        else "The file has no application ids: a row is known again only when the same file is sent."
    )
    return (
        f'<p class="cr-said"><b>Nothing is in the log yet.</b> Logging stores {preview.scored:,} '
        f"prediction{'s' if preview.scored != 1 else ''} (purpose: file) with the decisions of policy {version} "
        f"({escape(cut)}), and one drift report on the file as a whole. {ids}</p>"
    )


def _log_problem(state: FileState) -> str:
    if not state.log_problem:
        return ""
    return f'<p class="cr-error" role="alert">⚠ {escape(state.log_problem)}</p>'


def _logged(state: FileState) -> str:
    logged, of = state.logged, state.preview.scored
    parts = [f"{logged.added:,} of {of:,} predictions were added."]
    if logged.before:
        parts.append(f"{logged.before:,} were in the log before, made of the same inputs.")
    if logged.otherwise:
        parts.append(
            f"{logged.otherwise:,} application ids were scored before with other inputs: the stored predictions stand. "
            "The column `logged` of the scored file says which."
        )
    kind, icon, title = ("unsure", "!", "Logged in part") if logged.otherwise else ("yes", "✓", "Logged")
    if not logged.added and not logged.otherwise:
        title = "In the log already"
    return f'<div role="status" data-cr="file-logged">{_said_box(kind, icon, title, " ".join(parts))}</div>'


def _said_box(kind: str, icon: str, title: str, more: str) -> str:
    return (
        f'<div class="cr-verdict cr-{kind}"><span class="cr-icon" aria-hidden="true">{icon}</span>'
        f"<div><b>{escape(title)}</b>{with_code(more)}</div></div>"
    )


# --- Grids ------------------------------------------------------------------------------------------------------------


def scored_heading(shown: int, of: int, total: int) -> str:
    """How many of the scored rows the grid holds."""
    if not of:
        told = "No row is of this kind."
    elif shown == of == total:
        told = f"All {total:,} rows."
    elif of == total:
        told = f"{shown:,} of {total:,} rows; the downloads hold all of them."
    else:
        told = f"{shown:,} of {of:,} such rows, of {total:,}; the downloads hold all of them."
    return (
        f'<h2>Scored rows</h2><p class="cr-soft cr-said" data-cr="file-shown">{told} Filter and sort work on what is '
        "shown.</p>"
    )


def rejected_heading(preview: Preview, shown: int) -> str:
    """How many rows were rejected, and how their rows are counted."""
    checked, found = preview.checked, len(rejected_table(preview))
    rows = checked.rejected_rows + checked.duplicates
    told = f"{found:,} reason{'s' if found != 1 else ''} in {rows:,} row{'s' if rows != 1 else ''}."
    if shown < found:
        told = f"{shown:,} of {found:,} reasons in {rows:,} rows; the download holds all of them."
    return (
        f'<h2>Rejected rows</h2><p class="cr-soft cr-said">{told} They are not scored. Row 1 is the first below the '
        f"header, so the line of a CSV file or a spreadsheet is one more.</p>{_mistakes(preview)}"
    )


def _mistakes(preview: Preview) -> str:
    """What was wrong most often, where several rows have it in common."""
    if not any(rows > 1 for _, _, rows in preview.mistakes):
        return ""
    items = "".join(
        f"<li>{rows:,} row{'s' if rows != 1 else ''}: <code>{escape(column)}</code> {escape(reason)}</li>"
        for column, reason, rows in preview.mistakes[:MOST_MISTAKES]
    )
    more = len(preview.mistakes) - MOST_MISTAKES
    items += f"<li>{more} more kind{'s' if more > 1 else ''} of mistake</li>" if more > 0 else ""
    return f'<ul class="cr-plain" aria-label="What was wrong">{items}</ul>'


def _name(column: str) -> str:
    """The name of a column, which may go on in a second line after each of its words."""
    return f"<code>{escape(column).replace('_', '_<wbr>')}</code>"


def _also(column: Wanted) -> str:
    names = ", ".join(map(_name, column.others))
    return f'<br><span class="cr-soft cr-small">or {names}</span>' if names else ""


def columns_table(book: Portfolio) -> str:
    """What a file must hold."""
    rows = "".join(
        f'<tr><td class="cr-words">{_name(one.name)}{_also(one)}</td>'
        f'<td class="cr-words"><b>{escape(one.label)}</b>{"" if one.needed else " (optional)"}: '
        f"{escape(one.allowed)}</td></tr>"
        for one in wanted_columns(book)
    )
    head = '<th scope="col">Column</th><th scope="col">What it holds</th>'
    return (
        "<h2>What the file must hold</h2>"
        '<p class="cr-soft cr-said">One row for each application, columns in any order, names as written here. CSV: '
        "commas between columns, decimal points, UTF-8. Other columns are ignored.</p>"
        f"{table('Columns of a file of applications', head, rows)}"
    )
