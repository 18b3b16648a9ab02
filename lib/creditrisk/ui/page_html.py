"""The parts of the page that are read, as HTML: functions of the state alone. Every text from outside is escaped."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from creditrisk.data.portfolio import Scale
from creditrisk.monitoring.drift import Z_LIMIT
from creditrisk.serving.contract import number_in_words
from creditrisk.ui.decision_words import contradiction
from creditrisk.ui.form import APPLICATION_ID, Field
from creditrisk.ui.log_state import BookSummary, ColumnView, ReportView
from creditrisk.ui.state import PRODUCT, ApplicantState, ModelCard, Result, Stored
from creditrisk.ui.styles import rating_colours

Z_SHOWN = 2 * Z_LIMIT  # the bar of a larger shift is cut off here
NAMED = 4  # so many missing fields are named, more are counted
VERDICTS = {
    "green": ("yes", "✓", "Green: no drift"),
    "amber": ("unsure", "!", "Amber: drift"),
    "red": ("no", "✕", "Red: drift"),
    "insufficient data": ("unsure", "?", "Unsure"),
}
DECISIONS = {
    "approve": ("yes", "✓", "Approve"),
    "refer": ("unsure", "!", "Refer"),
    "decline": ("no", "✕", "Decline"),
}
FLAGS = {
    "green": ("ok", "✓ green"),
    "amber": ("lack", "! amber"),
    "red": ("flag", "▲ red"),
    "insufficient data": ("soft", "? too little data"),
}


def percent(share: float) -> str:
    """A probability for people, never rounded to certainty."""
    if 0 < share < 0.00005:
        return "<0.01%"
    if 0.99995 <= share < 1:
        return ">99.99%"
    return f"{share:.2%}"


def _pd(share: float) -> str:
    return escape(percent(share))


def header(card: ModelCard | None) -> str:
    """The product's name, and the model in a line."""
    if card is None:
        return f'<header class="cr-head"><div><h1>{PRODUCT}</h1><p class="cr-soft">No model yet</p></div></header>'
    auc = "not recorded" if card.auc is None else f"{card.auc:.3f}"
    facts = {
        "Model": f"{escape(card.version)} <code>{escape(card.short_hash)}</code>",
        "Trained": escape(card.trained),
        "Test AUC": auc,
    }
    listed = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in facts.items())
    return (
        f'<header class="cr-head"><div><h1>{PRODUCT}</h1><p class="cr-soft">{escape(card.title)}</p></div>'
        f'<dl class="cr-facts">{listed}</dl></header>'
    )


def notice(text: str) -> str:
    """A sentence that asks for attention, empty without a text."""
    return _box("unsure", "!", text, "") if text else ""


def empty(title: str, advice: str) -> str:
    """What a place without content says: `advice` may hold `code` in backticks."""
    return f'<div class="cr-empty"><h2>{escape(title)}</h2><p>{_with_code(advice)}</p></div>'


def no_log(problem: str) -> str:
    """What stands in place of the log's content while it does not answer, empty without a problem."""
    return empty("The prediction log cannot be read", problem) if problem else ""


def _with_code(text: str) -> str:
    parts = escape(text).split("`")
    return "".join(f"<code>{part}</code>" if i % 2 else part for i, part in enumerate(parts))


def hint(field: Field, error: str) -> str:
    """The line below a field: what is wrong with it, else what belongs in it."""
    if error:
        return f'<p class="cr-error" role="alert">⚠ {escape(error)}</p>'
    return f'<p class="cr-hint">{escape(field.hint)}</p>'


def _box(kind: str, icon: str, title: str, more: str) -> str:
    return (
        f'<div class="cr-verdict cr-{kind}"><span class="cr-icon" aria-hidden="true">{icon}</span>'
        f"<div><b>{escape(title)}</b>{escape(more)}</div></div>"
    )


# --- Score an applicant -----------------------------------------------------------------------------------------------


def result_panel(state: ApplicantState) -> str:
    """The result, or what it waits for."""
    if state.result is None:
        return f'<section aria-live="polite"><h2>Result</h2><p class="cr-soft cr-said">{_waiting(state)}</p></section>'
    result = state.result
    return (
        f'<section aria-live="polite"><h2>Result</h2>{_figures(result)}{score_scale(result, state.book.scale)}'
        f"{_decision(result, state.book.scale)}{_reasons(result)}{_warnings(result)}</section>"
    )


def _waiting(state: ApplicantState) -> str:
    labels = {name: field.label for name, field in state.fields.items()} | {APPLICATION_ID: "Application ID"}
    wrong = [label for name, label in labels.items() if name in state.errors and name not in state.missing]
    missing = [labels[name] for name in state.missing]
    parts = [f"No result: correct {', '.join(wrong)}."] if wrong else []
    if len(missing) > NAMED:
        parts.append(f"Fill in {len(missing)} more fields to see a result.")
    elif missing:
        parts.append(f"Fill in {', '.join(missing)} to see a result.")
    return escape(" ".join(parts))


def _figures(result: Result) -> str:
    figures = {
        "Probability of default": f'<span data-cr="pd">{_pd(result.pd)}</span>',
        "Credit score": f'<span data-cr="score">{result.score}</span><small>{escape(result.rating)}</small>',
    }
    if result.grade is not None:
        figures["Grade"] = escape(result.grade)
    if result.points is not None:
        figures["Points"] = f'<span data-cr="points">{result.points}</span>'
    listed = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in figures.items())
    return f'<dl class="cr-figures">{listed}</dl>'


def score_scale(result: Result, scale: Scale) -> str:
    """The score on its scale: a band for each rating, named; a mark at the score; the cut-off as a dashed line."""
    span = scale.high - scale.low
    colours = rating_colours([rating.name for rating in scale.ratings])
    low, bands = scale.low, []
    for rating in scale.ratings:
        high = min(scale.high if rating.below is None else rating.below, scale.high)
        here = " cr-here" if rating.name == result.rating else ""
        name = escape(rating.name)
        bands.append(
            f'<div class="cr-band{here}" style="flex:{high - low} 1 0" title="{name}: {low} to {high}">'
            f'<i style="background:{colours[rating.name]}"></i><span>{name}</span></div>'
        )
        low = high
    at = 100 * (result.score - scale.low) / span
    lines, texts = "", " and ".join(str(score) for _, score in result.cut_offs)
    for _, score in result.cut_offs:
        lines += f'<div class="cr-cut" style="left:{100 * (score - scale.low) / span:.2f}%"></div>'
    told = ""
    if result.cut_offs:
        cut = 100 * (result.cut_offs[-1][1] - scale.low) / span
        side = f"right:{100 - cut:.2f}%;padding-right:6px" if cut > 50 else f"left:{cut:.2f}%;padding-left:6px"
        lines += f'<div class="cr-cut-text" style="{side}">cut-off {texts}</div>'
        told = f"; the cut-off is at {texts}"
    return (
        f'<div class="cr-scale" role="img" aria-label="Score {result.score} on a scale from {scale.low} to '
        f'{scale.high}, rated {escape(result.rating)}{told}">'
        f'<b class="cr-mark-text" style="left:clamp(13px,{at:.2f}%,calc(100% - 13px))">{result.score}</b>'
        f'<i class="cr-mark" style="left:{at:.2f}%"></i>'
        f'<div class="cr-bands">{"".join(bands)}</div>{lines}</div>'
    )


def _decision(result: Result, scale: Scale) -> str:
    if result.decision is None:
        return _box("unsure", "?", "No decision", "The cut-off policy cannot be read, or none is in force.")
    kind, icon, title = DECISIONS[result.decision]
    low, high = result.cut_offs[0], result.cut_offs[-1]
    whose = f"cut-off of policy {result.policy}" if result.policy else "model's cut-off"
    where = {
        "approve": f"below the {whose}, {percent(low[0])}",
        "refer": f"from {percent(low[0])} to {percent(high[0])}, where policy {result.policy} leaves it to a person",
        "decline": f"at or above the {whose}, {percent(high[0])}",
    }[result.decision]
    against = contradiction(result.rating, result.decision, scale, (high if result.decision == "decline" else low)[1])
    return _box(kind, icon, title, f"The PD is {where}. {against}".strip())


def _reasons(result: Result) -> str:
    if not result.reasons:
        return (
            '<div class="cr-section"><h3>Reasons</h3><p class="cr-said cr-soft">No input raises this PD above that of '
            f"{escape(result.against)}.</p></div>"
        )
    most = max(reason.weight for reason in result.reasons)
    items = "".join(
        f"<li><p><span>{escape(reason.text)}</span><span>odds × {_factor(reason.odds)}</span></p>"
        f'<div class="cr-track"><i style="width:{100 * reason.weight / most:.0f}%"></i></div>'
        f'<span class="cr-soft cr-small">{escape(reason.label)}: {escape(reason.value)}</span></li>'
        for reason in result.reasons
    )
    return (
        '<div class="cr-section"><h3>What raises this PD most</h3><p class="cr-soft cr-small">Odds of default against '
        f'{escape(result.against)}</p><ol class="cr-reasons">{items}</ol></div>'
    )


def _factor(odds: float) -> str:
    return f"{odds:,.0f}" if odds >= 100 else f"{odds:.1f}" if odds >= 10 else f"{odds:.2f}"


def _warnings(result: Result) -> str:
    if not result.warnings:
        return ""
    items = "".join(f"<li>{escape(text)}</li>" for text in result.warnings)
    return f'<div class="cr-section"><h3>Please check</h3><ul class="cr-notes">{items}</ul></div>'


def glance(state: ApplicantState) -> str:
    """The result in one line, for narrow pages."""
    if state.result is None:
        return '<div class="cr-glance">No result yet</div>'
    result = state.result
    _, icon, title = DECISIONS.get(result.decision or "", ("", "?", "No decision"))
    decision = f"{icon} {title}"
    return (
        f'<div class="cr-glance"><span>PD {_pd(result.pd)}</span>'
        f"<span>{result.score} {escape(result.rating)}</span><span>{decision}</span></div>"
    )


def saving(state: ApplicantState) -> str:
    """What came of saving."""
    if state.problem:
        return f'<p class="cr-error" role="alert">⚠ Not saved. {escape(state.problem)}</p>'
    if state.stored:
        return _stored(state.stored)
    if state.saved:
        number = f'<code data-cr="saved">{escape(state.saved)}</code>'
        return f'<p class="cr-said" role="status">✓ Saved as {number}. Change a value to save another.</p>'
    return ""


def _stored(stored: Stored) -> str:
    """That nothing was saved, because the log held a prediction of this application; and which one that is."""
    if stored.pd is None:
        figures = "Its figures cannot be read just now."
    else:
        figures = f"PD {_pd(stored.pd)}, score {stored.score}, scored on {stored.when:%Y-%m-%d at %H:%M} UTC."
    if stored.same_inputs:
        inputs = "It was made of the same inputs."
    else:
        inputs = "It was made of other inputs than those in the form, so the result above is not what the log holds."
    advice = "To log this applicant anew, use another application ID."
    return (
        '<div class="cr-verdict cr-unsure cr-space" role="alert"><span class="cr-icon" aria-hidden="true">!</span>'
        "<div><b>Not saved: this application_id was scored before; the stored prediction stands</b>"
        f'<span class="cr-said">{figures} {inputs} {advice}</span><br><code class="cr-id" data-cr="stored">'
        f"{escape(stored.prediction_id)}</code></div></div>"
    )


# --- Book -------------------------------------------------------------------------------------------------------------


def book_heading(summary: BookSummary) -> str:
    """What the charts below are drawn from."""
    newest = summary.looked_at < summary.total
    looked = f"newest {summary.looked_at:,} of {summary.total:,}" if newest else f"{summary.total:,}"
    mean = f" · mean PD {_pd(summary.mean_pd)}" if summary.mean_pd is not None else ""
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
    return f"<h2>Newest predictions</h2>{_table('Newest predictions', head, rows, 'cr-scroll')}"


def _recent_row(row: Mapping, colour: str, more: list[str]) -> str:
    """A row of the log. Ids are shown whole: those of one minute begin alike. A click selects all of one."""
    number, application = escape(row["prediction_id"]), escape(row["application_id"] or "–")
    points = f'<td class="cr-right">{_or_dash(row["points"])}</td>' if "points" in more else ""
    decided = "".join(f"<td>{_or_dash(row[name])}</td>" for name in more if name != "points")
    return (
        f"<tr><td>{row['created_at']:%Y-%m-%d %H:%M}</td>"
        f'<td class="cr-roomy"><code class="cr-id" title="Click to select, then copy">{number}</code></td>'
        f'<td><span class="cr-id">{application}</span></td>'
        f'<td class="cr-right">{_pd(row["pd"])}</td><td class="cr-right">{row["score"]}</td>{points}'
        f'<td><span class="cr-dot" style="background:{colour}"></span>{escape(row["rating"])}</td>{decided}'
        f"<td>{escape(row['purpose'].replace('_', ' '))}</td></tr>"
    )


def _or_dash(value: object) -> str:
    return "–" if value is None else escape(str(value))


def _table(name: str, head: str, rows: str, more: str = "") -> str:
    return (
        f'<div class="cr-tablebox {more}" tabindex="0" role="region" aria-label="{name}"><table class="cr-table">'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


# --- Monitoring -------------------------------------------------------------------------------------------------------


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
        f'<div class="cr-space">{_box(kind, icon, title, report.verdict)}</div>'
        f"{_table('Drift by column', head, rows)}"
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
    return f"<h2>Reports</h2>{_table('Drift reports', head, rows)}"


def _flag_class(status: str) -> str:
    return {"green": "cr-ok", "red": "cr-flag"}.get(status, "cr-lack")
