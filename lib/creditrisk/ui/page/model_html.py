"""The model card of the Model tab as HTML: what a version is, its release gate, its history and its documents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from html import escape
from typing import Any

from creditrisk.modelling.design import WoeDesign
from creditrisk.modelling.gates import FAIL, PASS, TOO_FEW
from creditrisk.serving.model import CHALLENGER, CHAMPION, ModelData, library_versions
from creditrisk.settings import shown_path
from creditrisk.ui.page.model_runs import Documents, Run
from creditrisk.ui.page.model_state import ARCHIVED, Shown
from creditrisk.ui.page.words import box, table, with_code

ROLES = {
    CHAMPION: "Champion: new predictions are made with it",
    CHALLENGER: "Challenger: held ready beside the champion",
    ARCHIVED: "Archived: another file of this name has taken its place",
    "": "Published, neither champion nor challenger",
}
GATES = {
    PASS: ("yes", "✓", "Release gate passed"),
    FAIL: ("no", "✕", "Release gate failed"),
    TOO_FEW: ("unsure", "?", "Release gate undecided: too few defaults"),
}
PARTS = {
    "card": "Card",
    "validation": "Validation",
    "gate": "Release gate",
    "figures": "Figures",
    "calibration": "Calibration",
    "policy": "Cut-off",
    "attempts": "Attempts",
    "variables": "Variables",
    "bins": "Bins",
    "scale": "Master scale",
    "promotions": "Promotions",
    "limits": "Limits",
}
VERDICTS = {"pass": ("ok", "✓ pass"), "fail": ("flag", "✕ fail"), "undecided": ("lack", "? undecided")}
COUNTED = (("pass", "passed"), ("watch", "to watch"), ("fail", "failed"), ("not applicable", "not applicable"))
METHODS = {"platt": "Platt's line", "isotonic": "isotonic map", "shift": "shift of the log-odds", "none": "none"}
OPINIONS = {"pass": ("yes", "✓"), "watch": ("unsure", "!"), "fail": ("no", "✕")}


def when(text: str) -> str:
    """A moment as people read it: 24 Nov 2026, 01:15 UTC."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return text or "not recorded"
    return f"{moment.day} {moment:%b %Y, %H:%M} UTC"


def progress(text: str) -> str:
    """What is under way, with a bar that moves; empty without one."""
    bar = '<span class="cr-running" aria-hidden="true"><i></i></span>'
    return f'<p class="cr-busy" role="status">{bar}{escape(text)}</p>' if text else ""


def heading(shown: Shown | None) -> str:
    if shown is None:
        return "<h2>Model</h2>"
    data = shown.data
    return (
        f'<h2>{escape(data.portfolio.title)}, model {escape(data.version)}</h2><p class="cr-soft">'
        f"{escape(ROLES[shown.listed.role])}.</p>"
    )


def contents() -> str:
    """Links to the parts of the tab."""
    links = "".join(f'<a href="#model-{place}">{title}</a>' for place, title in PARTS.items())
    return f'<nav class="cr-contents" aria-label="Parts of the model tab">{links}</nav>'


def card(shown: Shown) -> str:
    """The facts of the card in two columns."""
    data = shown.data
    recalibration = data.training.get("recalibration") or {}
    left = facts(
        {
            "Portfolio": f"{data.portfolio.title} ({data.portfolio.name})",
            "Version": f"{data.version}, {_kind(data)}",
            "SHA-256": data.sha256,
            "Trained": when(recalibration.get("trained") or data.training.get("created", "")),
            "Training run": data.training.get("run", "") or "not recorded",
            "Attempt": data.training.get("attempt", "not recorded"),
            "Parameters": _parameters(data.training.get("params", {})),
            "Resampling": _resampling(data.training),
            **_recalibration(recalibration),
        },
        code=("SHA-256", "Training run"),
    )
    target = data.portfolio.target
    right = facts(
        {
            "Default": target.definition,
            "Outcome window": f"{target.performance_months} months" if target.performance_months else "not declared",
            "Observed from": target.observation_date or "no date in the data",
            "Training sample": _sample(data),
            "Split": data.training.get("split", "not recorded"),
            "Source": _source(data),
            "PDs": data.model.calibration.about_pds,
            "Calibration": _calibration(data),
            "Expert overrides": _overrides(data.training.get("overrides", {})),
        }
    )
    return f'<h2 id="model-card">Model card</h2><div class="cr-pair cr-cardfacts">{left}{right}</div>'


def facts(items: Mapping[str, str], code: Sequence[str] = ()) -> str:
    """Names and values, one a line."""
    rows = "".join(
        f"<dt>{escape(name)}</dt><dd>{f'<code>{escape(value)}</code>' if name in code else escape(value)}</dd>"
        for name, value in items.items()
        if value
    )
    return f'<dl class="cr-list">{rows}</dl>'


def _kind(data: ModelData) -> str:
    count = len(data.features)
    if isinstance(data.model.design, WoeDesign):
        return f"scorecard: logistic regression on WOE of {count} variables"
    return f"boosted trees (XGBoost) of {count} variables"


def _parameters(params: Mapping[str, Any]) -> str:
    said = (f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in params.items())
    return ", ".join(said) or "those of the family"


def _resampling(training: Mapping[str, Any]) -> str:
    why = training.get("why", "")
    return f"{training.get('resampling', 'not recorded')}{f'. {why}' if why else ''}"


def _recalibration(said: Mapping[str, Any]) -> dict[str, str]:
    if not said:
        return {}
    return {
        "Recalibrated": f"from {said['of']}, on outcomes read on {when(said['as_of'])}, by run {said['run']}",
        "Why": shortened(str(said["why"])),
        "Fitted on": predictions(said["fitted"]),
        "Judged on": predictions(said["judged"]),
    }


def shortened(reasons: str) -> str:
    """The first of several reasons, and how many more there are."""
    first, *more = reasons.split("; ")
    return f"{first}; and {len(more)} more reason{'s' if len(more) > 1 else ''}" if more else first


def predictions(part: Mapping[str, Any]) -> str:
    """Which matured predictions a recalibration has used."""
    since, until = (when(str(part[end])).split(",")[0] for end in ("since", "until"))
    return f"{part['rows']:,} matured predictions ({part['bads']:,} bads), {since} to {until}"


def _sample(data: ModelData) -> str:
    rows, calibration, gate = data.training.get("rows", {}), data.model.calibration, data.gate
    bads = {
        "train": calibration.bads if calibration.rows == rows.get("train") else None,
        "test": gate.bads if gate and gate.rows == rows.get("test") else None,
    }
    names = {"train": "to learn from", "test": "held out to test on"}
    parts = (
        f"{count:,} rows{'' if bads.get(part) is None else f' ({bads[part]:,} bads)'} {names.get(part, part)}"
        for part, count in rows.items()
    )
    return ", ".join(parts) or "not recorded"


def _source(data: ModelData) -> str:
    source = data.training.get("source", {})
    if source.get("data"):
        return shown_path(source["data"])
    return f"embedded book of {source['rows']:,} loans" if source.get("rows") else "not recorded"


def _calibration(data: ModelData) -> str:
    calibration = data.model.calibration
    return f"{METHODS.get(calibration.method, calibration.method)}. {calibration.why}".rstrip(". ") + "."


def _overrides(overrides: Mapping[str, Any]) -> str:
    return ", ".join(overrides.get("variables", {})) or "none"


# --- Use, gate, history -----------------------------------------------------------------------------------------------


def use(shown: Shown) -> str:
    """What the model is for, and what it is not for."""
    data = shown.data
    book = data.portfolio
    meant = (
        f"For applications for {book.title.lower()}: the probability of default, with score, rating, grade and "
        "reasons, for a decision at a cut-off. Its own cut-off was set to approve "
        f"{book.approval_share:.0%} of applicants."
    )
    limits = "".join(f"<li>{escape(one)}</li>" for one in shown.limits)
    notes = "".join(f"<li>{escape(one)}</li>" for one in data.training.get("notes", []))
    more = f'<h3 class="cr-section">Noted in training</h3><ul class="cr-plain">{notes}</ul>' if notes else ""
    return (
        f'<h2 id="model-limits">Use and limits</h2><p class="cr-space">{escape(meant)}</p>'
        f'<h3 class="cr-section">Limits</h3><ul class="cr-plain">{limits}</ul>{more}'
    )


def gate(shown: Shown) -> str:
    """The verdict of the release gate and the figures behind it."""
    found = shown.data.gate
    if found is None:
        return '<h2 id="model-gate">Release gate</h2>' + box(
            "unsure", "?", "No release gate", "This model is from before there was one."
        )
    kind, icon, title = GATES.get(found.status, GATES[TOO_FEW])
    more = "" if found.status == PASS else "; ".join(found.reasons)
    rows = "".join(
        f'<tr><td>{escape(one.name.capitalize())}</td><td class="cr-right">{_three(one.value)}</td>'
        f'<td class="cr-right">{_three(one.low)} to {_three(one.high)}</td><td class="cr-wrap">{escape(one.rule)}</td>'
        f'<td class="cr-{VERDICTS[one.verdict][0]}">{VERDICTS[one.verdict][1]}</td></tr>'
        for one in found.criteria
    )
    head = (
        '<th>Criterion</th><th class="cr-right">Value</th><th class="cr-right">Interval</th><th>Asked for</th>'
        "<th>Verdict</th>"
    )
    whose = "matured predictions" if "judged" in shown.data.metrics else "test rows"
    about = (
        f"{found.rows:,} {whose} with {found.bads:,} bads: mean PD {found.mean_pd:.2%}, bad rate "
        f"{found.bad_rate:.2%}. The gate asks whether PDs are right, not how well they rank."
    )
    return (
        f'<h2 id="model-gate">Release gate</h2><div class="cr-space">{box(kind, icon, title, more)}</div>'
        f'{table("Release gate", head, rows)}<p class="cr-hint">{escape(about)}</p>'
    )


def _three(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}".replace("-", "−")


def history(shown: Shown) -> str:
    """Who promoted what, when and why; what retraining has proposed of this version."""
    rows = "".join(_promotion(one, shown.listed.sha256) for one in shown.promotions)
    head = "<th>When</th><th>Version</th><th>In place of</th><th>By</th><th>Reason</th><th>Forced</th>"
    told = (
        table("Promotions", head, rows)
        if rows
        else '<p class="cr-soft cr-space">Nobody has promoted a model in this folder: the champion is the better one '
        "of its training run that passed its release gate.</p>"
    )
    proposals = "".join(
        f"<li>{escape(when(one['at']))}: {escape(one['action'])}, {'proposed' if one['proposed'] else 'not proposed'}."
        f"<details class='cr-more'><summary>Why</summary>"
        f"{escape('; '.join([*one['why'], *one['against']]))}</details></li>"
        for one in shown.proposals
    )
    more = (
        f'<h3 class="cr-section">Proposals of retraining</h3><ul class="cr-plain">{proposals}</ul>' if proposals else ""
    )
    return f'<h2 id="model-promotions">Promotions</h2>{told}{more}'


def _promotion(one: Mapping[str, Any], sha256: str) -> str:
    overridden = one.get("overridden", [])
    forced = (
        f"▲ yes, over {len(overridden)} objection{'' if len(overridden) == 1 else 's'}" if one.get("forced") else "no"
    )
    mine = " (shown)" if one.get("sha256") == sha256 else ""
    why = "".join(
        f'<tr class="cr-why"><td></td><td colspan="5" class="cr-soft cr-small">Overridden: {escape(text)}</td></tr>'
        for text in overridden
    )
    return (
        f"<tr><td>{escape(when(one['at']))}</td>"
        f"<td>{escape(one['version'])}{mine} <code>{escape(one['sha256'][:8])}</code></td>"
        f"<td>{escape(one.get('before') or '–')}</td><td>{escape(one['by'])}</td>"
        f'<td class="cr-wrap">{escape(one.get("reason") or "none given")}</td>'
        f'<td class="{"cr-flag" if one.get("forced") else "cr-soft"}">{forced}</td></tr>{why}'
    )


def libraries(shown: Shown) -> str:
    """Versions of what made the model, beside those of this page where they differ."""
    made, here = shown.data.versions, library_versions()
    rows = "".join(
        f"<tr><td>{escape(name)}</td><td>{escape(version)}</td><td>{_here(version, here.get(name))}</td></tr>"
        for name, version in made.items()
    )
    head = "<th>Library</th><th>Trained with</th><th>This page</th>"
    told = "The model reproduced its test vectors when it was loaded here, so other versions change no PD."
    heading = '<h2 id="model-libraries">Library versions</h2>'
    return f'{heading}{table("Library versions", head, rows)}<p class="cr-hint">{told}</p>'


def _here(made: str, here: str | None) -> str:
    if here == made:
        return '<span class="cr-soft">the same</span>'
    return f'<span class="cr-lack">! {escape(here or "not installed")}</span>'


# --- Documents --------------------------------------------------------------------------------------------------------


def validation(shown: Shown) -> str:
    """What the newest validation of this model found, or how to make one."""
    run, title = shown.documents.validation, '<h2 id="model-validation">Validation</h2>'
    if run is None:
        command = f"`creditrisk validate -p model {shown.data.version}`"
        if shown.listed.role == ARCHIVED:
            advice = "An archived model cannot be validated by name: only published versions can."
        else:
            advice = f"{command} tests it on loans it has not seen and takes a few minutes."
        return (
            f'{title}<p class="cr-space cr-said">No finished validation of this model file is in the run '
            f"folder. {with_code(advice)}</p>"
        )
    verdict = run.result.get("verdict", {})
    kind, icon = OPINIONS.get(str(verdict.get("status")), ("unsure", "?"))
    statuses = [one.get("status") for one in run.result.get("findings", [])]
    counts = ", ".join(f"{statuses.count(name)} {word}" for name, word in COUNTED if statuses.count(name))
    rows = run.result.get("judged_rows")
    judged = f", on {rows:,} loans" if isinstance(rows, int) else ""
    opinion = f"Validation: {verdict.get('status', 'no verdict')}"
    about = f"{when(run.started.isoformat())}. {len(statuses)} tests{judged}: {counts}."
    return (
        f'{title}<div class="cr-space">{box(kind, icon, opinion, str(verdict.get("text", "")))}</div>'
        f'<p class="cr-hint">{escape(about)}</p>'
    )


def training_missing(documents: Documents, run: str) -> str:
    """That there is no training report, empty where there is one."""
    if _report(documents.training):
        return ""
    return f'<p class="cr-hint">The run that trained it ({escape(run or "not recorded")}) is not in the run folder.</p>'


def _report(run: Run | None) -> bool:
    return run is not None and run.has("report.html")
