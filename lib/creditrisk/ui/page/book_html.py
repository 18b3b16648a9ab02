"""The parts of the Book tab that are read, as HTML: functions of the state alone."""

from __future__ import annotations

from datetime import date
from html import escape

from creditrisk.data.portfolio import Scale
from creditrisk.ui.page.book_count import MOST
from creditrisk.ui.page.book_figures import Approvals, BookSummary, Period
from creditrisk.ui.page.book_state import ALL, FOUND, RECENT, WINDOWS, BookState
from creditrisk.ui.page.words import empty, in_percent, percent, table
from creditrisk.ui.styles import rating_colours

NO_PREDICTIONS = "Save a prediction here, call the API (`creditrisk serve`), or score a file with `creditrisk score`."
NEAREST = "No score approves exactly what the policy did; this one comes nearest in number."
SIGNS = {"approve": "✓ Approve", "refer": "! Refer", "decline": "✕ Decline"}


def in_words(name: str) -> str:
    """A purpose as people say it."""
    return {"what_if": "what-if"}.get(name, name.replace("_", " "))


def on_day(day: date) -> str:
    return f"{day.day} {day:%b %Y}"


def book_heading(state: BookState) -> str:
    """What is shown below, exactly: how many of how many, of which time, of what purpose and model."""
    if state.problem:
        return f'<h2>Logged predictions</h2><p class="cr-error" role="alert">⚠ {escape(state.problem)}</p>'
    summary = state.summary
    if summary is None:
        said = "Reading the log" if state.window == "" and not state.log.problem else ""
        return f'<h2>Logged predictions</h2><p class="cr-soft">{said}</p>'
    of = f"{summary.n:,}" if summary.n == summary.in_window else f"{summary.n:,} of {summary.in_window:,}"
    chosen = [f"purpose {in_words(state.purpose)}" if state.purpose else "all purposes"]
    chosen.append(f"model {state.version}" if state.version else "all model versions")
    told = f"{of} predictions {_time(state)}: {', '.join(chosen)}"
    mean = f". Mean PD {percent(summary.mean_pd)}" if summary.mean_pd is not None else ""
    bound = f" Only the newest {MOST:,} of this time are counted; choose dates for older ones." * summary.left_out
    return (
        f'<h2>Logged predictions</h2><p class="cr-soft">{escape(told + mean)}.{bound} '
        f"Counted at {summary.at:%H:%M:%S} UTC.</p>"
    )


def _time(state: BookState) -> str:
    since, until, *_ = state.question()
    summary = state.summary
    if since is None and until is None:
        if summary.since is None:
            return "in the log"
        return f"in the log, from {on_day(summary.since)} to {on_day(summary.until)}"
    begin = f"from {on_day(since.date())}" if since else "from the beginning"
    if until is None:
        return f"of the {WINDOWS[state.window].lower()}, {begin} on" if state.window in WINDOWS else f"{begin} on"
    return f"{begin} to {on_day(state.last_day)}"


def counting(text: str) -> str:
    """How far a count is that takes long."""
    return f'<p class="cr-counting" role="status">{escape(text)} …</p>' if text else ""


def nothing(state: BookState) -> str:
    """What stands in place of figures when there are none."""
    summary = state.summary
    if summary.in_window == 0 and state.window in ("", ALL):
        return empty("No predictions yet", NO_PREDICTIONS)
    if summary.in_window == 0:
        return empty("No predictions in this time", "Choose a longer one, or All, above.")
    others = ", ".join(f"{n:,} {in_words(name)}" for name, n in sorted(summary.by_purpose.items()))
    return empty(
        "No such predictions in this time", f"The time holds {others}. Choose another purpose or model version above."
    )


def rating_heading(summary: BookSummary) -> str:
    """Shares by rating, in words: the chart for those who cannot see it, and exact for those who can."""
    shares = [f"{escape(name)} {n:,} ({n / max(summary.n, 1):.1%})" for name, n in summary.ratings.items()]
    return f'<h2>By rating</h2><p class="cr-soft cr-small">{" · ".join(shares)}</p>'


def score_heading(summary: BookSummary) -> str:
    """Where the middle of the scores lies."""
    low, middle, high = summary.quartiles
    return (
        f'<h2>By credit score</h2><p class="cr-soft cr-small">Median {middle}; the middle half lies between {low} '
        f"and {high}. The dashed line is the cut-off chosen below.</p>"
    )


def cut_off_heading(score: int, scale: Scale | None) -> str:
    """What the cut-off means."""
    if scale is None or not scale.low < score <= scale.high:
        return f"Approved are scores of {score} and above."
    most = 1 - (score - scale.low) / (scale.high - scale.low)
    return f"Approved are scores of {score} and above, that is PDs up to {percent(most)}."


def as_policy_heading(score: int, whole: Approvals, policy: Approvals) -> str:
    """What the cut-off of the policy means, which is a PD, as a score: `whole` is what that score would approve."""
    if whole.n == policy.n:
        return f"As the policy decided: approved are scores of {score} and above."
    return (
        f"As the policy decided, whose cut-off is a PD. Scores are whole: {score} holds PDs on both sides of it, so no "
        f"score approves exactly what the policy does. All scores of {score} and above would be {whole.n:,}."
    )


def outside(score: int, low: int, high: int, kept: int) -> str:
    """That a score was entered that there is not."""
    told = f"{score:,} is not a score: enter one from {low} to {high}. The cut-off is still {kept}."
    return f'<p class="cr-error" role="alert">⚠ {told}</p>'


def cut_off_table(here: Approvals, policy: Approvals) -> str:
    """What a cut-off would approve, beside what the policy approved."""
    rows = [
        ("Predictions", *(f"{one.of:,}" for one in (here, policy))),
        ("Approved", *(f"{one.n:,}" if one.of else "–" for one in (here, policy))),
        ("Approval rate", *(f"{one.share:.1%}" if one.of else "–" for one in (here, policy))),
        ("Mean PD of those approved", *(_rate(one.mean_pd) for one in (here, policy))),
        ("Bad rate observed", *(_rate(one.bad_rate) for one in (here, policy))),
        ("Outcomes known", *(f"{one.known:,}" for one in (here, policy))),
    ]
    body = "".join(
        f'<tr><td class="cr-words">{name}</td><td class="cr-right">{a}</td><td class="cr-right">{b}</td></tr>'
        for name, a, b in rows
    )
    head = '<th></th><th class="cr-right">This cut-off</th><th class="cr-right">Policy</th>'
    return table("Approvals at the cut-off and by the policy", head, body) + _difference(here, policy)


def _rate(rate: float | None) -> str:
    return "–" if rate is None else in_percent(rate)


def _difference(here: Approvals, policy: Approvals) -> str:
    if not policy.of:
        return '<p class="cr-soft cr-small cr-space">No policy decided on these predictions.</p>'
    more = here.n - policy.n
    told = (
        f"{abs(more):,} {'more' if more > 0 else 'fewer'} than the policy approved."
        if more
        else "As many as the policy."
    )
    if here.known:
        told += " The observed bad rate is of those with an outcome; loans that were declined have none as a rule."
    return f'<p class="cr-soft cr-small cr-space">{told}</p>'


def trade_heading(here: Approvals, policy: Approvals) -> str:
    """The two marks of the chart, in words."""
    marks = [f"● this cut-off: {here.share:.1%} approved, mean PD {_rate(here.mean_pd)}"]
    if policy.of:
        marks.append(f"◆ the policy: {policy.share:.1%}, {_rate(policy.mean_pd)}")
    return f'<h3>Every cut-off</h3><p class="cr-soft cr-small">{" · ".join(marks)}</p>'


def time_heading(summary: BookSummary) -> str:
    """Where the most and the fewest were approved, in words."""
    of = sum(one.decided for one in summary.periods)
    approved = sum(one.approved for one in summary.periods)
    told = f"{len(summary.periods)} {summary.unit}s"
    if len(summary.periods) == 1:
        told = f"1 {summary.unit}"
    if of:
        told += f"; the policy approved {approved / of:.1%} of {of:,}"
        shares = [one for one in summary.periods if one.share is not None]
        least, most = min(shares, key=lambda one: one.share), max(shares, key=lambda one: one.share)
        if least.share < most.share:
            told += (
                f", between {least.share:.1%} ({_start(least, summary)}) and {most.share:.1%} ({_start(most, summary)})"
            )
    return (
        f'<h2>By {summary.unit}</h2><p class="cr-soft cr-small">{told}.</p>'
        '<p class="cr-legend cr-small"><span class="cr-key cr-key-approved"></span>approved'
        '<span class="cr-key cr-key-other"></span>not approved</p>'
    )


def _start(one: Period, summary: BookSummary) -> str:
    if summary.unit == "month":
        return f"{one.start:%b %Y}"
    return f"{'week of ' if summary.unit == 'week' else ''}{on_day(one.start)}"


def time_table(summary: BookSummary) -> str:
    """The exact figures of the charts over time."""
    rows = "".join(
        f'<tr><td>{_start(one, summary)}</td><td class="cr-right">{one.n:,}</td>'
        f'<td class="cr-right">{one.approved:,}</td>'
        f'<td class="cr-right">{"–" if one.share is None else f"{one.share:.1%}"}</td></tr>'
        for one in reversed(summary.periods)
    )
    head = (
        f'<th>{summary.unit.capitalize()}</th><th class="cr-right">Predictions</th><th class="cr-right">Approved</th>'
        '<th class="cr-right">Approval rate</th>'
    )
    figures = table("Predictions over time", head, rows, "cr-scroll")
    return f"<details><summary>Figures by {summary.unit}</summary>{figures}</details>"


def grid_heading(state: BookState) -> str:
    """Which rows the grid holds."""
    if state.found is not None:
        n, sought = len(state.found), escape(state.sought)
        most = f" (the newest {FOUND})" if n == FOUND else ""
        told = (
            f"{n:,} prediction{'s' * (n != 1)} with the ID <b>{sought}</b>{most}, of any time and purpose."
            if n
            else f"No prediction has the ID <b>{sought}</b>. An ID is found when it is typed whole."
        )
        return f'<h2>Predictions found</h2><p class="cr-soft cr-small" role="status">{told}</p>'
    n = len(state.rows or ())
    if not n:
        told = "There is none in what is chosen above. An ID is found whenever its prediction was made."
        return f'<h2>Recent predictions</h2><p class="cr-soft cr-small">{told}</p>'
    told = f"The newest {n:,} of those counted above" if n == RECENT else f"All {n:,} of those counted above"
    advice = "" if n < RECENT else " Older ones are found by their ID."
    told += f", newest first.{advice} Choose one to see all of it."
    return f'<h2>Recent predictions</h2><p class="cr-soft cr-small">{told}</p>'


def cut_short(name: str) -> str:
    """A name that may be long, as HTML: no wider than its column, and in full where the pointer rests on it."""
    return f'<span class="cr-clipped" title="{escape(name)}">{escape(name)}</span>'


def rating_dots(names: list[str]) -> dict[str, str]:
    """A rating with its colour, as HTML."""
    colours = rating_colours(names)
    return {name: f'<span class="cr-dot" style="background:{colours[name]}"></span>{escape(name)}' for name in names}
