"""Outcomes on the Monitoring tab, as HTML: functions of a report as its `to_dict` says it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from creditrisk.monitoring.outcomes import (
    JUDGED,
    NO_ACTION,
    NO_OUTCOME,
    POOLED,
    RECALIBRATE,
    REDEVELOP,
    WATCH,
)
from creditrisk.ui.page.outcomes_charts import Point
from creditrisk.ui.page.outcomes_state import Judging, OutcomesState
from creditrisk.ui.page.words import box, empty, table

VERDICTS = {
    NO_OUTCOME: ("unsure", "?", "No outcome yet"),
    NO_ACTION: ("yes", "✓", "No action: outcomes are as the PDs said"),
    WATCH: ("unsure", "!", "Watch"),
    RECALIBRATE: ("no", "✕", "Recalibrate: the level of PDs is wrong"),
    REDEVELOP: ("no", "✕", "Redevelop: the ranking is wrong"),
}
LIGHTS = {
    "green": ("ok", "✓ green"),
    "amber": ("lack", "! amber"),
    "red": ("flag", "▲ red"),
    "not evaluable": ("soft", "– not evaluable"),
}
MARKS = '<ul class="cr-mon-legend">{}</ul>'.format(
    "".join(
        f'<li><span class="cr-{kind}" aria-hidden="true">{mark}</span>{word}</li>'
        for kind, mark, word in (
            ("ok", "●", "green"), ("lack", "■", "amber"), ("flag", "▲", "red"), ("soft", "◆", "not evaluable"),
            ("soft", "│", "95% interval"),
        )
    )
)  # fmt: skip
Row = Mapping[str, Any]


def is_judged(report: Row) -> bool:
    """Whether any vintage is: else there is nothing to draw."""
    return _pooled(report) is not None


def verdict_panel(judging: Judging) -> str:
    """What outcomes say of the model, why, and what to keep in mind."""
    report = judging.report
    kind, icon, title = VERDICTS.get(report["verdict"], ("unsure", "?", report["verdict"]))
    reasons = "; ".join(report["reasons"])
    rows = [one for one in report["cohorts"] if one["vintage"] != POOLED]
    judged = sum(one["status"] == JUDGED for one in rows)
    made = "stored report of" if judging.stored else "judged on"
    about = (
        f"Model {report['model_version']} as of {report['as_of'][:10]}, {made} {judging.when:%Y-%m-%d %H:%M} UTC: "
        f"{judged} of {len(rows)} vintages judged, {report['performance_months']} months after each prediction."
    )
    warnings = "".join(f"<li><span>{escape(one)}</span></li>" for one in report["warnings"])
    return (
        f'<p class="cr-soft">{escape(about)}</p>'
        f'<div class="cr-space">{box(kind, icon, title, _sentence(reasons))}</div>'
        f'<h3 class="cr-space">Keep in mind</h3><ul class="cr-notes">{warnings}</ul>'
    )


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith('.') else '.'}" if text else ""


def nothing_yet(state: OutcomesState) -> str:
    """What stands in place of a report while there is none: what to do for one."""
    if state.problem:
        return empty("No report on outcomes", state.problem)
    if not state.has_predictions:
        return empty("No predictions to follow yet",
                     f"Outcomes are known {state.months} months after a production prediction.")  # fmt: skip
    waiting = "" if state.has_outcomes else " The log holds no outcome yet: report them with `POST /outcomes`."
    if not state.judges:
        model = state.model[0] if state.model else ""
        return empty("No report on outcomes of this model", f"Run `creditrisk outcomes -p model {model}`.{waiting}")
    return empty("Outcomes have not been judged yet",
                 f"{_how_many(state)} are to be read, which can be stopped.{waiting}")  # fmt: skip


def problem(text: str) -> str:
    """Why there is no newer report."""
    return f'<p class="cr-error" role="alert">{escape(text)}</p>'


def progress(state: OutcomesState) -> str:
    """How far the judging is."""
    counted = state.total and not state.files
    share = min(state.read / state.total, 1.0) if counted else 0.0
    bar = f'<div class="cr-track" aria-hidden="true"><i style="width:{share:.0%}"></i></div>' if counted else ""
    of = f"{state.read:,} of {state.total:,}" if counted else f"{state.read:,} so far"
    return f'<p role="status">Reading predictions and their outcomes: {of}.</p>{bar}'


def _how_many(state: OutcomesState) -> str:
    if not state.total:
        return "Predictions of scored files"
    return f"{state.total:,} production predictions{' and those of scored files' if state.files else ''}"


# --- Level ------------------------------------------------------------------------------------------------------------


def level_heading(report: Row) -> str:
    """What the chart of default rates shows, with the figures of all judged vintages in words."""
    return f'<h2>Default rate and expected PD</h2><p class="cr-soft">{_level_words(_pooled(report))}</p>{MARKS}'


def _level_words(pooled: Row | None) -> str:
    if pooled is None:
        return "No vintage is judged yet."
    return (
        f"All judged: {pooled['defaults']:,} defaults among {pooled['n']:,} loans, {_rate(pooled, 'default_rate')}; "
        f"the PDs expect {pooled['mean_pd']:.2%} (blue lines)."
    )


def level_points(report: Row) -> list[Point]:
    """Default rates by vintage beside the PD that was expected."""
    return [
        Point(one["vintage"], one["default_rate"], one["default_rate_low"], one["default_rate_high"],
              one["level_light"] or "not evaluable", one["mean_pd"])
        for one in _vintages(report)
    ]  # fmt: skip


def level_table(report: Row) -> str:
    """Every vintage: what is known of it, observed against expected, and its light. Immature ones have no figure."""
    head = (
        '<th>Vintage</th><th class="cr-right">Predictions</th><th class="cr-right">Loans known</th>'
        '<th class="cr-right">Defaults</th><th class="cr-right">Default rate</th><th class="cr-right">Mean PD</th>'
        '<th class="cr-right">Observed / expected</th><th class="cr-right">Jeffreys p</th><th>Level</th>'
    )
    return (
        "<h2>Level of PDs by vintage</h2>"
        f"{table('Level of PDs by vintage', head, ''.join(map(_level_row, _newest_first(report))), 'cr-scroll')}"
    )


def _level_row(one: Row) -> str:
    begin = f'<td>{escape(one["vintage"])}</td><td class="cr-right">{one["predictions"]:,}</td>'
    if one["status"] != JUDGED:
        return f'<tr>{begin}<td colspan="7" class="cr-soft">{escape(one["status"])}: {escape(one["why"])}</td></tr>'
    return (
        f'<tr>{begin}<td class="cr-right">{one["known"]:,} of {one["loans"]:,}</td>'
        f'<td class="cr-right">{one["defaults"]:,}</td><td class="cr-right">{_rate(one, "default_rate")}</td>'
        f'<td class="cr-right">{one["mean_pd"]:.2%}</td>'
        f'<td class="cr-right">{_between(one, "observed_to_expected", ".2f")}</td>'
        f'<td class="cr-right">{_p(one["jeffreys_p"])}</td>{_light(one["level_light"])}</tr>'
    )


# --- Ranking and slope ------------------------------------------------------------------------------------------------


def ranking_heading(report: Row) -> str:
    """What the chart of Gini shows, with the figures of all judged vintages in words."""
    return f'<h2>Gini against validation</h2><p class="cr-soft">{_ranking_words(report, _pooled(report))}</p>{MARKS}'


def _ranking_words(report: Row, pooled: Row | None) -> str:
    initial = f"{gini_of(report['validation_auc']):.3f} at validation (dashed)"
    if pooled is None or pooled["gini"] is None:
        return f"Not evaluable yet: too few defaults are known. {initial}."
    return (
        f"All judged: Gini {_between(pooled, 'gini', '.3f')}, AUC {pooled['auc']:.3f}; {initial}. Blue lines: what the "
        "PDs of these loans expect of themselves."
    )


def gini_of(area: float) -> float:
    return 2 * area - 1


def ranking_points(report: Row) -> list[Point]:
    """Gini by vintage beside what the PDs of its loans expect."""
    return [
        Point(one["vintage"], one["gini"], one["gini_low"], one["gini_high"],
              one["discrimination_light"] or "not evaluable",
              None if one["expected"] is None else gini_of(one["expected"]))
        for one in _vintages(report)
    ]  # fmt: skip


def ranking_table(report: Row) -> str:
    """Judged vintages: discrimination against validation, calibration slope and intercept, each with its light."""
    rows = "".join(_ranking_row(one) for one in _newest_first(report) if one["status"] == JUDGED)
    heading = "<h2>Discrimination and calibration by vintage</h2>"
    if not rows:
        return f'{heading}<p class="cr-soft">No vintage is judged yet.</p>'
    head = (
        '<th>Vintage</th><th class="cr-right">AUC</th><th class="cr-right">Gini</th><th class="cr-right">Fall</th>'
        '<th>Ranking</th><th class="cr-right">Slope</th><th>Slope is</th><th class="cr-right">Intercept</th>'
    )
    return (
        f'{heading}<p class="cr-soft">With 95% intervals. Fall: of the Gini below the lower of validation '
        f"({gini_of(report['validation_auc']):.3f}) and what these PDs expect. A slope of 1 and an intercept of 0 are "
        f"perfect.</p>{table('Discrimination and calibration by vintage', head, rows, 'cr-scroll')}"
    )


def _ranking_row(one: Row) -> str:
    fall = "–" if one["fall"] is None else f"{one['fall']:+.0%}".replace("-", "−")
    return (
        f'<tr><td>{escape(one["vintage"])}</td><td class="cr-right">{_between(one, "auc", ".3f")}</td>'
        f'<td class="cr-right">{_between(one, "gini", ".3f")}</td><td class="cr-right">{fall}</td>'
        f'{_light(one["discrimination_light"])}<td class="cr-right">{_between(one, "slope", ".2f")}</td>'
        f'{_light(one["slope_light"])}<td class="cr-right">{_between(one, "intercept", ".2f")}</td></tr>'
    )


# --- Grades and estimates ---------------------------------------------------------------------------------------------


def grades_table(report: Row) -> str:
    """Grades of all judged vintages together."""
    rows = "".join(
        f'<tr><td>{escape(one["grade"])}</td><td class="cr-right">{one["n"]:,}</td>'
        f'<td class="cr-right">{one["defaults"]:,}</td><td class="cr-right">{_rate(one, "default_rate")}</td>'
        f'<td class="cr-right">{one["mean_pd"]:.2%}</td><td class="cr-right">{_p(one["adjusted"])}</td>'
        f"{_light(one['light'])}</tr>"
        for one in report["grades"]
        if one["vintage"] == POOLED
    )
    if not rows:
        return ""
    head = (
        '<th>Grade</th><th class="cr-right">Loans</th><th class="cr-right">Defaults</th>'
        '<th class="cr-right">Default rate</th><th class="cr-right">Mean PD</th>'
        '<th class="cr-right">p, adjusted</th><th>Light</th>'
    )
    return (
        "<h2>Grades, all judged vintages</h2>"
        '<p class="cr-soft">p: Jeffreys, after the correction of Holm over the grades.</p>'
        f"{table('Grades of all judged vintages', head, rows)}"
    )


def estimates_table(report: Row) -> str:
    """What PDs expect of each month before its outcomes are known, and what came of it."""
    rows = "".join(
        f'<tr><td>{escape(one["month"])}</td><td class="cr-right">{one["loans"]:,}</td>'
        f'<td class="cr-right">{one["rate"]:.2%} ({one["rate_low"]:.2%} to {one["rate_high"]:.2%})</td>'
        f'<td class="cr-right">{_or(one["realised_rate"], ".2%")}</td>'
        f'<td class="cr-right">{_or(one["loans_auc"], ".3f")}</td>'
        f'<td class="cr-right">{_or(one["realised_auc"], ".3f")}</td></tr>'
        for one in reversed(report["estimated"]["months"])
        if one["rate"] is not None
    )
    head = (
        '<th>Month</th><th class="cr-right">Loans</th><th class="cr-right">Default rate expected</th>'
        '<th class="cr-right">realised</th><th class="cr-right">AUC expected</th><th class="cr-right">realised</th>'
    )
    label = report["estimated"]["label"]
    return (
        f'<h2>Estimated performance</h2><p class="cr-soft">{escape(_sentence(label))} From the PDs alone: it '
        "follows applicants that change; a risk that changes at the same inputs shows in outcomes only.</p>"
        f"{table('Estimated performance by month', head, rows, 'cr-scroll')}"
    )


# --- Pieces -----------------------------------------------------------------------------------------------------------


def _vintages(report: Row) -> Sequence[Row]:
    return [one for one in report["cohorts"] if one["vintage"] != POOLED]


def _newest_first(report: Row) -> Sequence[Row]:
    """All judged vintages together, then one by one."""
    pooled = _pooled(report)
    return [*([] if pooled is None else [pooled]), *reversed(_vintages(report))]


def _pooled(report: Row) -> Row | None:
    return next((one for one in report["cohorts"] if one["vintage"] == POOLED), None)


def _rate(one: Row, name: str) -> str:
    return _between(one, name, ".2%")


def _between(one: Row, name: str, form: str) -> str:
    value, low, high = one[name], one[f"{name}_low"], one[f"{name}_high"]
    if value is None:
        return "–"
    ends = "" if low is None or high is None else f" ({low:{form}} to {high:{form}})"
    return f"{value:{form}}{ends}".replace("-", "−")


def _or(value: float | None, form: str) -> str:
    return "–" if value is None else f"{value:{form}}"


def _p(value: float | None) -> str:
    return "–" if value is None else "&lt;0.001" if value < 0.001 else f"{value:.3f}"


def _light(light: str | None) -> str:
    kind, words = LIGHTS.get(light or "not evaluable", ("soft", str(light)))
    return f'<td class="cr-{kind}">{escape(words)}</td>'
