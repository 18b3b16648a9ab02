"""The parts of the Score tab that are read, as HTML: functions of the state alone."""

from __future__ import annotations

from html import escape, unescape

from creditrisk.data.portfolio import Scale
from creditrisk.ui.decision_words import contradiction
from creditrisk.ui.form import APPLICATION_ID, Field
from creditrisk.ui.page.score_gauge import gauge
from creditrisk.ui.page.score_result import Result
from creditrisk.ui.page.score_state import ApplicantState, Stored
from creditrisk.ui.page.words import box, in_percent, percent

NAMED = 4  # so many missing fields are named, more are counted
DECISIONS = {
    "approve": ("yes", "✓", "Approve"),
    "refer": ("unsure", "!", "Refer"),
    "decline": ("no", "✕", "Decline"),
}


def hint(field: Field, error: str, place: str) -> str:
    """The line below a field: what is wrong with it, else what belongs in it. `place` is its id on the page."""
    return line_below(error, field.hint, place)


def line_below(error: str, advice: str, place: str) -> str:
    """An error, else advice."""
    if error:
        return f'<p class="cr-error" role="alert" id="{place}">⚠ {escape(error)}</p>'
    return f'<p class="cr-hint" id="{place}">{escape(advice)}</p>'


def result_panel(state: ApplicantState) -> str:
    """The result, or what it waits for."""
    if state.result is None:
        return f'<section><h2>Result</h2><p class="cr-soft cr-said">{_waiting(state)}</p></section>'
    result = state.result
    return (
        f'<section><h2>Result</h2><div class="cr-top">{gauge(result, state.book.scale)}{_figures(result)}</div>'
        f"{_decision(result, state.book.scale)}{_reasons(result)}{_warnings(result)}</section>"
    )


def spoken(state: ApplicantState) -> str:
    """The result in a sentence, for those who hear the page."""
    if state.result is None:
        return unescape(_waiting(state))
    result = state.result
    decision = DECISIONS.get(result.decision or "", ("", "", "No decision"))[2]
    return f"PD {percent(result.pd)}, score {result.score}, {result.rating}: {decision}."


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
    figures = {"Probability of default": f'<span data-cr="pd">{in_percent(result.pd)}</span>'}
    if result.grade is not None:
        figures["Grade"] = escape(result.grade)
    if result.points is not None:
        figures["Points"] = f'<span data-cr="points">{result.points}</span>'
    listed = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in figures.items())
    return f'<dl class="cr-figures">{listed}</dl>'


def _decision(result: Result, scale: Scale) -> str:
    if result.decision is None:
        return box("unsure", "?", "No decision", "The cut-off policy cannot be read, or none is in force.")
    kind, icon, title = DECISIONS[result.decision]
    low, high = result.cut_offs[0], result.cut_offs[-1]
    whose = f"cut-off of policy {result.policy}" if result.policy else "model's cut-off"
    where = {
        "approve": f"below the {whose}, {percent(low[0])}",
        "refer": f"from {percent(low[0])} to {percent(high[0])}, where policy {result.policy} leaves it to a person",
        "decline": f"at or above the {whose}, {percent(high[0])}",
    }[result.decision]
    against = contradiction(result.rating, result.decision, scale, (high if result.decision == "decline" else low)[1])
    return box(kind, icon, title, f"The PD is {where}. {against}".strip())


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
        f'<div class="cr-glance"><span>PD {in_percent(result.pd)}</span>'
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
        figures = f"PD {in_percent(stored.pd)}, score {stored.score}, scored on {stored.when:%Y-%m-%d at %H:%M} UTC."
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
