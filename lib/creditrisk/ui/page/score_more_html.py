"""The cards below the result as HTML: what would change it, another cut-off, another version of the model."""

from __future__ import annotations

from html import escape

from creditrisk.serving.contract import number_in_words
from creditrisk.ui.page.score_challenger import ChallengerState, Other
from creditrisk.ui.page.score_changes import Change, Outcome, changeable
from creditrisk.ui.page.score_html import DECISIONS
from creditrisk.ui.page.score_result import Result, label_of, measure
from creditrisk.ui.page.score_state import ApplicantState
from creditrisk.ui.page.words import in_percent, table, with_code

UNDECLARED = (
    "The portfolio of this model declares no input that an applicant can change. Mark such inputs with "
    "`changeable = true` in the portfolio file and train anew."
)
WAITING = "Waits for a result."
MOVED_ALONE = (
    "One input at a time, in round figures, the others as entered. It is what the model says of such an application, "
    "no promise."
)
WHAT_IF = (
    "A what-if of this page alone: saved predictions are still decided by the policy in force, not by this cut-off."
)
NOWHERE = "–"


# --- What would change it ---------------------------------------------------------------------------------------------


def changes_panel(state: ApplicantState, found: tuple[Outcome, ...]) -> str:
    """The smallest change of each input that reaches what is worth reaching."""
    return f"<section><h2>What would change it</h2>{_changes(state, found)}</section>"


def _changes(state: ApplicantState, found: tuple[Outcome, ...]) -> str:
    if not changeable(state.book):
        return _said(with_code(UNDECLARED))
    if state.result is None:
        return _said(WAITING)
    parts = "".join(_outcome(state, one) for one in _worth_saying(found))
    if not any(one.goal.kind in ("approve", "rating") for one in found):
        best = "Approved and rated" if state.result.decision == "approve" else "Rated"
        parts = _said(f"{best} {escape(state.result.rating)}, the best rating there is.") + parts
    return f'{parts}<p class="cr-soft cr-small cr-note">{MOVED_ALONE}</p>'


def _worth_saying(found: tuple[Outcome, ...]) -> list[Outcome]:
    """The next rating is told to a declined applicant only where no single change leads to an approval."""
    approvable = any(one.goal.kind == "approve" and one.changes for one in found)
    return [one for one in found if not (approvable and one.goal.kind == "rating")]


def _outcome(state: ApplicantState, outcome: Outcome) -> str:
    goal = outcome.goal
    heading, nothing = {
        "approve": ("To be approved", "No single change reaches an approval."),
        "rating": (f"To be rated {goal.name} or better", f"No single change reaches {goal.name}."),
        "lose": ("Where the approval ends", "No single change ends the approval."),
    }[goal.kind]
    ranges = [_range(state, *one) for one in outcome.without]
    if not outcome.changes:
        tried = f" Tried: {'; '.join(ranges)}." if ranges else " No input that can be changed is given."
        return _part(heading, f'<p class="cr-said">{escape(nothing + tried)}</p>')
    items = "".join(_change(state, one) for one in outcome.changes)
    rest = ""
    if ranges:
        verb = "would end it" if goal.kind == "lose" else "would be enough"
        rest = f'<p class="cr-soft cr-small">No value {verb} for {escape("; ".join(ranges))}.</p>'
    return _part(heading, f'<ul class="cr-changes">{items}</ul>{rest}')


def _part(heading: str, content: str) -> str:
    return f'<div class="cr-section"><h3>{escape(heading)}</h3>{content}</div>'


def _change(state: ApplicantState, change: Change) -> str:
    unit = state.book.columns[change.name].unit
    before, after = (escape(measure(value, unit)) for value in (change.before, change.after))
    return (
        f"<li><p><span>{escape(label_of(state.book, change.name))}</span>"
        f'<span>{before} <span aria-hidden="true">→</span><span class="cr-unseen"> to </span> <b>{after}</b></span></p>'
        f'<span class="cr-soft cr-small">{_difference(change, unit)}PD then {in_percent(change.pd)}, '
        f"score {change.score}, {escape(change.rating)}</span></li>"
    )


def _difference(change: Change, unit: str) -> str:
    if isinstance(change.after, str):
        return ""
    more = change.after - change.before
    size = measure(float(f"{abs(more):.12g}"), "percentage points" if unit == "%" else unit)
    return f"{escape(size)} {'more' if more > 0 else 'less'}: "


def _range(state: ApplicantState, name: str, low: float | None, high: float | None) -> str:
    column, label = state.book.columns[name], label_of(state.book, name)
    if low is None:
        return label
    above = "above " if column.above is not None and low <= column.above else ""
    return f"{label} from {above}{number_in_words(low)} to {measure(high, column.unit)}"


# --- Another cut-off --------------------------------------------------------------------------------------------------


def cut_off_table(state: ApplicantState) -> str:
    """The cut-off in force beside the one that is tried out, and what each is expected to do.

    While what was entered for it is wrong, it does nothing.
    """
    mine, result = state.cut_off, state.result
    then = None if mine.error else mine.cut_off
    in_force = None if state.policy is None else state.policy.approve_below
    rows = [
        ("Approved below a PD of", *(_percent(at) for at in (in_force, then))),
        ("Score at that PD", *(_score(state, at) for at in (in_force, then))),
        ("Expected approval rate", *(_approval(state, at) for at in (in_force, then))),
        ("Expected bad rate of those", *(_bad_rate(state, at) for at in (in_force, then))),
    ]
    if result is not None:
        tried = NOWHERE if then is None else _decision("approve" if result.pd < then else "decline")
        rows.append(("This applicant", _decision(result.decision), tried))
    body = "".join(
        f'<tr><th scope="row">{name}</th><td class="cr-right">{now}</td><td class="cr-right"><b>{then}</b></td></tr>'
        for name, now, then in rows
    )
    head = '<th><span class="cr-unseen">Figure</span></th><th class="cr-right">In force</th>'
    return table("The cut-off in force and the one tried out", f'{head}<th class="cr-right">What if</th>', body)


def cut_off_note(state: ApplicantState) -> str:
    """That it decides nothing, and what the expected rates are computed from."""
    strategy = state.cut_off.strategy
    if strategy is None:
        source = "Expected rates are not available: this model file holds no distribution of PDs."
    else:
        source = (
            f"Expected rates are those of the {strategy.rows:,} {strategy.reference} that the model was made of, from "
            "the distribution of their PDs in the model file; the bad rate is the mean PD of those approved."
        )
    between = ""
    if state.policy is not None and state.policy.cut_offs[1] > state.policy.cut_offs[0]:
        referred = _percent(state.policy.cut_offs[1])
        between = f" The policy in force refers PDs from there to {referred} to a person."
    return (
        f'<p class="cr-said"><b>{escape(WHAT_IF)}</b></p>'
        f'<p class="cr-soft cr-small cr-note">{escape(source + between)}</p>'
    )


def _percent(pd: float | None) -> str:
    return NOWHERE if pd is None else in_percent(pd)


def _score(state: ApplicantState, pd: float | None) -> str:
    return NOWHERE if pd is None else str(state.score_at(pd))


def _approval(state: ApplicantState, pd: float | None) -> str:
    strategy = state.cut_off.strategy
    return NOWHERE if pd is None or strategy is None else f"{strategy.at(pd).approval:.1%}"


def _bad_rate(state: ApplicantState, pd: float | None) -> str:
    strategy = state.cut_off.strategy
    expected = None if pd is None or strategy is None else strategy.at(pd).bad_rate
    return _percent(expected)


def _decision(decision: str | None) -> str:
    _, icon, title = DECISIONS.get(decision or "", ("", "?", "No decision"))
    return f'<span aria-hidden="true">{icon}</span> {title}'


# --- Another version --------------------------------------------------------------------------------------------------


def challenger_intro(other: Other | None) -> str:
    """What stands above the button that opens the comparison."""
    if other is None:
        return f"<h2>Beside another version</h2>{_said('The artifacts folder holds no other version of this model.')}"
    return f"<h2>Beside {escape(_named(other))}</h2>"


def button_of(challenger: ChallengerState) -> str:
    """What the button does."""
    if challenger.other is None:
        return ""
    return "Hide" if challenger.is_open else f"Score with {challenger.other.version}, too"


def _named(other: Other) -> str:
    return f"{other.role if other.role == 'another version' else f'the {other.role}'}, {other.version}"


def challenger_panel(state: ApplicantState, version: str) -> str:
    """Both results side by side."""
    challenger = state.challenger
    if not challenger.is_open or challenger.other is None:
        return ""
    if challenger.problem:
        return f'<p class="cr-error" role="alert">⚠ {escape(challenger.problem)}</p>'
    if state.result is None:
        return _said(WAITING)
    if challenger.result is None:
        return f'<p class="cr-said cr-soft" role="status">Loading {escape(challenger.other.version)}…</p>'
    ours, theirs = _rows(state.result), _rows(challenger.result)
    names = [name for name in ours if ours[name] != NOWHERE or theirs[name] != NOWHERE]
    body = "".join(
        f'<tr><th scope="row">{name}</th><td>{ours[name]}</td><td>{theirs[name]}</td></tr>' for name in names
    )
    head = (
        f'<th><span class="cr-unseen">Figure</span></th><th>{escape(version)}, scores here</th>'
        f"<th>{escape(challenger.other.version)}, {escape(challenger.other.role)}</th>"
    )
    note = f"Nothing that {escape(challenger.other.version)} says is logged; saving logs what {escape(version)} says."
    return table("Both versions", head, body, "cr-both") + f'<p class="cr-soft cr-small cr-note">{note}</p>'


def _rows(result: Result) -> dict[str, str]:
    cut_offs = " and ".join(_percent(pd) for pd, _ in result.cut_offs) or NOWHERE
    reason = result.reasons[0] if result.reasons else None
    return {
        "Probability of default": in_percent(result.pd),
        "Credit score": str(result.score),
        "Rating": escape(result.rating),
        "Grade": NOWHERE if result.grade is None else escape(result.grade),
        "Points": NOWHERE if result.points is None else str(result.points),
        "Decision": _decision(result.decision),
        "Cut-off PD": cut_offs,
        "Heaviest reason": NOWHERE if reason is None else f"{escape(reason.label)}: {escape(reason.value)}",
    }


def _said(text: str) -> str:
    return f'<p class="cr-said cr-soft">{text}</p>'
