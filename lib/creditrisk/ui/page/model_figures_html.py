"""The figures of the Model tab as HTML: how well a model ranks, whether its PDs are right, what it reads, its scale."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from math import isfinite
from typing import Any

import numpy as np
import pandas as pd

from creditrisk.modelling.design import WoeDesign
from creditrisk.modelling.scorecard import scores_of
from creditrisk.serving.model import ModelData
from creditrisk.ui.page.model_bins import DIRECTIONS, BinRow, Variable, bin_rows, label_of, weights_of
from creditrisk.ui.page.model_charts import bin_names
from creditrisk.ui.page.model_evidence import Evidence
from creditrisk.ui.page.model_html import predictions
from creditrisk.ui.page.model_state import Shown
from creditrisk.ui.page.words import percent, table

GRADE_SIGNS = {"pass": ("ok", "✓"), "watch": ("lack", "! amber"), "fail": ("flag", "✕ red")}


def _known(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and isfinite(value)


def _share(value: Any) -> str:
    return percent(float(value)) if _known(value) else "–"


def _four(value: Any) -> str:
    return f"{value:.4f}".replace("-", "−") if _known(value) else "–"


def _three(value: Any) -> str:
    return f"{value:.3f}".replace("-", "−") if _known(value) else "–"


# --- Metrics ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Figure:
    """One line of figures: its name, how it is read from metrics, and what is ideal."""

    name: str
    read: Callable[[Mapping[str, Any]], str]
    ideal: str = ""


def _with_interval(test: Mapping[str, Any]) -> str:
    shown = _four(test.get("auc"))
    if _known(test.get("auc_low")):
        return f"{shown}<br><span class='cr-soft cr-small'>{_four(test['auc_low'])} to {_four(test['auc_high'])}</span>"
    return shown


def _plain(name: str, write: Callable[[Any], str]) -> Callable[[Mapping[str, Any]], str]:
    return lambda test: write(test.get(name))


GROUPS: tuple[tuple[str, tuple[_Figure, ...], str], ...] = (
    (
        "Does it tell goods from bads?",
        (
            _Figure("AUC (95% interval)", _with_interval, "1"),
            _Figure("Gini", _plain("gini", _four), "1"),
            _Figure("KS", _plain("ks", _four), "1"),
        ),
        "AUC is the chance that a bad has a higher PD than a good, both picked at random: 0.5 is guessing. Gini is "
        "the same on a scale from 0 (2 × AUC − 1). KS is the widest gap between the shares of bads and goods that a "
        "cut-off declines.",
    ),
    (
        "Are its PDs right?",
        (
            _Figure("Mean PD", _plain("mean_pd", _share), "the bad rate"),
            _Figure("Bad rate", _plain("bad_rate", _share)),
            _Figure("Calibration slope", _plain("calibration_slope", _three), "1"),
            _Figure("Calibration intercept", _plain("calibration_intercept", _three), "0"),
        ),
        "A slope below 1 says that high PDs are too high and low ones too low; above 1, that PDs differ too little. An "
        "intercept above 0 says that PDs are too low on the whole.",
    ),
    (
        "How far are PDs from outcomes?",
        (
            _Figure("Brier score", _plain("brier", _four), "0"),
            _Figure("Log-loss", _plain("log_loss", _four), "0"),
        ),
        "Both reward PDs that rank well and have the right level. The Brier score is the mean squared distance from 0 "
        "or 1; log-loss punishes confident errors most. They compare models on the same rows and mean little by "
        "themselves.",
    ),
    (
        "At its own cut-off",
        (
            _Figure("Cut-off PD", _plain("threshold", _share)),
            _Figure("Bads declined (recall)", _plain("recall", _share), "100%"),
            _Figure("Bads among declined (precision)", _plain("precision", _share)),
        ),
        "What declining from the cut-off on would have done to the test rows.",
    ),
)


def figures_of(data: ModelData) -> dict[str, Any]:
    """What a model was judged by: of a recalibrated one the predictions that matured later, else its test rows."""
    return data.metrics.get("judged") or data.metrics.get("test", {})


def metrics(shown: Shown) -> str:
    """Every figure on the rows that judge the model, with what it means, beside that of another model."""
    tests = [figures_of(shown.data)]
    names = [f"{shown.data.version}{f' ({shown.listed.role})' if shown.listed.role else ''}"]
    if shown.other is not None and shown.other_listed is not None:
        tests.append(figures_of(shown.other))
        names.append(f"{shown.other.version} ({shown.other_listed.role})")
    recalibrated = "judged" in shown.data.metrics
    head = "<th>Figure</th>" + "".join(f'<th class="cr-right">{escape(name)}</th>' for name in names)
    parts = []
    for title, figures, words in GROUPS:
        rows = "".join(
            f"<tr><td>{escape(one.name)}{_ideal(one)}</td>"
            + "".join(f'<td class="cr-right">{one.read(test)}</td>' for test in tests)
            + "</tr>"
            for one in figures
        )
        parts.append(
            f'<div class="cr-group"><h3>{escape(title)}</h3>{table(escape(title), head, rows)}'
            f'<p class="cr-hint">{escape(words)}</p></div>'
        )
    return (
        f'<h2 id="model-figures">Figures on {"matured predictions" if recalibrated else "test rows"}</h2>'
        f'<p class="cr-soft">{escape(_on_what(shown))}</p>'
        f'<div class="cr-pair cr-groups">{"".join(parts)}</div>{_folds(shown)}'
    )


def _ideal(one: _Figure) -> str:
    return f' <span class="cr-soft cr-ideal">ideal: {one.ideal}</span>' if one.ideal else ""


def _on_what(shown: Shown) -> str:
    if "judged" in shown.data.metrics:
        test = shown.data.metrics["test"]
        told = (
            f"{predictions(shown.data.training['recalibration']['judged'])}, later than those it was recalibrated on."
        )
        told += f" AUC on the test rows of its training run: {_four(test.get('auc'))}."
        return told if shown.other is None else f"{told} {_apart(shown)}"
    count = shown.data.training.get("rows", {}).get("test")
    split = str(shown.data.training.get("split", ""))
    told = f"{count:,} rows it has not learned from" if count else "Rows it has not learned from"
    told += f", {split}." if split else "."
    if shown.data.pd_kind != "point-in-time":
        told += " Figures are those of the point-in-time PDs, before the shift to the long-run rate."
    if shown.other is not None and (shown.why_apart or "judged" in shown.other.metrics):
        told += f" {_apart(shown)}"
    return told


def _apart(shown: Shown) -> str:
    why = f": {shown.why_apart}" if shown.why_apart else ""
    return f"Figures of {shown.other.version} are of other rows, so compare with care{why}."


def _folds(shown: Shown) -> str:
    folds = shown.data.metrics.get("cv", {}).get("folds", [])
    if not folds:
        return ""
    told = (
        f"Cross-validated AUC on the training rows: {shown.data.metrics['cv']['auc']:.4f}, over {len(folds)} folds "
        f"from {min(folds):.4f} to {max(folds):.4f}. Far from the AUC on test rows, it would speak of overfitting or "
        "of a change over time."
    )
    return f'<p class="cr-hint cr-space">{escape(told)}</p>'


def attempts(shown: Shown) -> str:
    """The comparison of attempts of the training run."""
    found, run = shown.attempts, str(shown.data.training.get("run", ""))
    if found is None:
        told = f"The comparison is kept in the training run ({run or 'not recorded'}), which is not in the run folder."
        return f'<h2 id="model-attempts">Attempts compared</h2><p class="cr-soft cr-space">{escape(told)}</p>'
    own = shown.data.training.get("attempt")
    wanted = (
        ("cv_auc", "CV AUC", _four), ("auc", "Test AUC", _four), ("ks", "KS", _four), ("brier", "Brier", _four),
        ("log_loss", "Log-loss", _four), ("calibration_slope", "Slope", _three),
        ("calibration_intercept", "Intercept", _three),
    )  # fmt: skip
    columns = [one for one in wanted if one[0] in found]
    head = "<th>Attempt</th>" + "".join(f'<th class="cr-right">{name}</th>' for _, name, _ in columns) + "<th>Gate</th>"
    rows = "".join(
        f"<tr{' class=cr-mine' if row['attempt'] == own else ''}><td>{escape(str(row['attempt']))}"
        f"{' (shown)' if row['attempt'] == own else ''}</td>"
        + "".join(f'<td class="cr-right">{write(row[key])}</td>' for key, _, write in columns)
        + f"<td>{_gate(row.get('gate'))}</td></tr>"
        for row in found.to_dict("records")
    )
    return (
        f'<h2 id="model-attempts">Attempts compared</h2>{table("Attempts compared", head, rows)}'
        '<p class="cr-hint">All of training run '
        f"{escape(run)}, on the same test rows. Tuning saw the training rows only (CV AUC).</p>"
    )


def _gate(status: Any) -> str:
    sign = {"pass": ("ok", "✓ pass"), "fail": ("flag", "✕ fail")}.get(str(status), ("lack", f"? {status}"))
    return f'<span class="cr-{sign[0]}">{escape(sign[1])}</span>'


# --- Calibration ------------------------------------------------------------------------------------------------------


OLDER = (
    " This version was recalibrated on later outcomes: where the level has changed since, it is meant to be off on "
    "these older rows."
)


def calibration_heading(evidence: Evidence | None, recalibrated: bool = False) -> str:
    title = '<h2 id="model-calibration">Calibration curve</h2>'
    if evidence is None:
        return f'{title}<p class="cr-soft">Bad rates of test rows against the PDs they were given.</p>'
    told = (
        f"{len(evidence.curve)} groups of {evidence.rows:,} test rows by PD, with about as many expected bads each, "
        "and 95% intervals (Wilson). On the dashed line PDs are right, above it too low. Groups at the upper or lower "
        "edge are all bads or all goods."
    ) + (OLDER if recalibrated else "")
    return f'{title}<p class="cr-soft">{escape(told)}</p>'


def curve_table(evidence: Evidence) -> str:
    """The groups of the curve as numbers."""
    rows = "".join(
        f'<tr><td class="cr-right">{row.rows:,.0f}</td><td class="cr-right">{row.bads:,.0f}</td>'
        f'<td class="cr-right">{_share(row.mean_pd)}</td><td class="cr-right">{_share(row.bad_rate)}</td>'
        f'<td class="cr-right">{_share(row.low)} to {_share(row.high)}</td></tr>'
        for row in evidence.curve.itertuples()
    )
    names = ("Rows", "Bads", "Mean PD", "Bad rate", "95% interval")
    head = "".join(f'<th class="cr-right">{name}</th>' for name in names)
    groups = table("Groups of the calibration curve", head, rows, "cr-scroll")
    return f'<details class="cr-more"><summary>The groups as a table</summary>{groups}</details>'


def grades(shown: Shown, evidence: Evidence | None) -> str:
    """The master scale: bounds, and what the rows of the training run held in each grade."""
    declared = shown.data.portfolio.grades
    if not declared:
        return (
            '<h2 id="model-scale">Master scale</h2><p class="cr-soft cr-space">This portfolio declares no grades.</p>'
        )
    found = None if evidence is None else evidence.grades
    rows, before = [], 0.0
    for i, grade in enumerate(declared):
        cells = f'<td>{escape(grade.name)}</td><td class="cr-right">{_bound(before)} to {_bound(grade.max_pd)}</td>'
        if found is not None:
            one = found.iloc[i]
            kind, sign = GRADE_SIGNS.get(one["status"], ("soft", "–"))
            cells += (
                f'<td class="cr-right">{_share(one["pooled_pd"])}</td><td class="cr-right">{one["rows"]:,}</td>'
                f'<td class="cr-right">{one["share"]:.1%}</td><td class="cr-right">{one["bads"]:,}</td>'
                f'<td class="cr-right">{_share(one["mean_pd"])}</td><td class="cr-right">{_share(one["bad_rate"])}</td>'
                f'<td class="cr-right">{_share(one["low"])} to {_share(one["high"])}</td>'
                f'<td class="cr-{kind}">{sign}</td>'
            )
        rows.append(f"<tr>{cells}</tr>")
        before = grade.max_pd
    names = ("Pooled PD", "Test rows", "Share", "Bads", "Mean PD", "Bad rate", "95% interval")
    more = (
        "".join(f'<th class="cr-right">{name}</th>' for name in names) + "<th>Jeffreys</th>"
        if found is not None
        else ""
    )
    about = (
        "Pooled PD is the bad rate of the training rows of a grade; mean PD and bad rate are of the test rows. The "
        "Jeffreys test asks whether a grade's mean PD is too low for its bads: amber below a p-value of 5%, red below "
        "1%."
        if found is not None
        else "A grade holds PDs above the bound before it, up to and including its own."
    ) + (OLDER if found is not None and "judged" in shown.data.metrics else "")
    head = f'<th>Grade</th><th class="cr-right">PD</th>{more}'
    scale = table("Master scale", head, "".join(rows))
    return f'<h2 id="model-scale">Master scale</h2>{scale}<p class="cr-hint">{escape(about)}</p>'


def _bound(value: float) -> str:
    return f"{value * 100:g}%"


def cut_off(shown: Shown) -> str:
    """Cut-off, scale and policy."""
    data = shown.data
    scale, points = data.portfolio.scale, data.portfolio.points
    score = int(scores_of(np.array([data.threshold]), scale)[0])
    names = [f"{one.name} below {one.below}" if one.below else f"{one.name} above" for one in scale.ratings]
    items = [
        ("Cut-off of the model", f"PD {percent(data.threshold)}, a credit score of about {score}"),
        ("Policy", shown.policy),
        ("Credit score", f"{scale.low} to {scale.high}, falling with the PD: {', '.join(names)}"),
        ("Scorecard points", f"{points.at:g} points at odds of {points.odds:g}:1, {points.pdo:g} more double the odds"
         if data.card else "none: points add up on a scorecard only"),
        ("Reasons", data.reasons.about),
    ]  # fmt: skip
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in items)
    return f'<h2 id="model-policy">Cut-off and policy</h2><dl class="cr-list cr-space">{rows}</dl>'


# --- Variables --------------------------------------------------------------------------------------------------------


def weights(shown: Shown, evidence: Evidence | None) -> str:
    """What each variable weighs: coefficients of a scorecard, gain of trees, contributions where they are known."""
    data, found = shown.data, weights_of(shown.data, evidence)
    known = {one.name: one for one in shown.variables}
    is_card = isinstance(data.model.design, WoeDesign)
    errors = {} if evidence is None or evidence.coefficients is None else evidence.coefficients.set_index("variable")
    rows = "".join(
        f"<tr><td>{escape(known[row['variable']].label)}</td>{_direction(known[row['variable']])}"
        + (_of_card(row, known[row["variable"]], errors) if is_card else _of_trees(row))
        + (f"<td>{_bar(row['contribution'], found['contribution'].max())}</td>" if evidence else "")
        + "</tr>"
        for row in found.to_dict("records")
    )
    names = (
        ["Coefficient", *(["Standard error", "VIF"] if len(errors) else []), "IV", "Points, range"]
        if is_card
        else ["Share of gain"]
    )
    head = "<th>Variable</th><th>Direction of risk</th>" + "".join(
        f'<th class="cr-right">{name}</th>' for name in names
    )
    head += "<th>Mean contribution</th>" if evidence else ""
    title = "Coefficients" if is_card else "Importance"
    told = f'<p class="cr-hint">{escape(_about_weights(is_card, evidence))}</p>'
    return f'<h2 id="model-variables">{title}</h2>{table(title, head, rows)}{told}'


def _direction(one: Variable) -> str:
    if one.direction == "any":
        told = f'<span class="cr-soft">{DIRECTIONS["any"]}</span>'
    else:
        told = escape(DIRECTIONS[one.direction]) + ("" if one.held else ' <span class="cr-lack">! not held</span>')
    protected = ' <span class="cr-soft">(protected)</span>' if one.protected else ""
    return f"<td>{told}{protected}</td>"


def _of_card(row: Mapping[str, Any], one: Variable, errors) -> str:
    cells = f'<td class="cr-right">{_three(row["coefficient"])}</td>'
    if len(errors):
        fit = errors.loc[one.name]
        cells += f'<td class="cr-right">{_three(fit["std_error"])}</td><td class="cr-right">{fit["vif"]:.2f}</td>'
    return f'{cells}<td class="cr-right">{_three(one.iv)}</td><td class="cr-right">{row.get("points_range", "–")}</td>'


def _of_trees(row: Mapping[str, Any]) -> str:
    return f'<td class="cr-right">{row["gain_share"]:.1%}</td>'


def _bar(value: float, most: float) -> str:
    width = 100 * value / most if most else 0
    bar = f'<span class="cr-track" aria-hidden="true"><i style="width:{width:.1f}%"></i></span>'
    return f'<span class="cr-weight">{bar}<span class="cr-num">{value:.2f}</span></span>'


def _about_weights(is_card: bool, evidence: Evidence | None) -> str:
    if is_card:
        told = (
            "Coefficients are of WOE, ln(share of goods / share of bads), before calibration: each has to be negative."
        )
    else:
        told = "Gain is how much the splits on a variable lowered the loss in training, as a share of all. "
        told += "Directions are held by every tree."
    if evidence is None:
        return told
    told += " Mean contribution: by how much a variable moves the log-odds of a test row, up or down, on average."
    if is_card and evidence.about_coefficients:
        told += f" Standard errors are of the same columns fitted without a penalty. {evidence.about_coefficients}"
    return told


def bins_heading(shown: Shown, name: str, evidence: Evidence | None) -> str:
    """The variable whose bins are shown, its direction, and what the marks of the chart are."""
    one = next((one for one in shown.variables if one.name == name), None)
    if one is None:
        return ""
    is_card = isinstance(shown.data.model.design, WoeDesign)
    whose = "bins of the scorecard" if is_card else "bins of the training baseline, as the drift check has them"
    iv = f" Information value {one.iv:.3f}." if one.iv is not None else ""
    keys = [("bar", "", "share of training rows")]
    keys += [("dot", "", "bad rate, training rows")] if is_card or evidence else []
    keys += [("tri", "▲", "bad rate, test rows")] if is_card and evidence else []
    legend = "".join(
        f'<span><i class="cr-mark-key cr-mark-{kind}" aria-hidden="true">{sign}</i>{text}</span>'
        for kind, sign, text in keys
    )
    return (
        f'<h3>{escape(one.label)}</h3><p class="cr-soft">{escape(DIRECTIONS[one.direction])}; {whose}.{iv}</p>'
        f'<p class="cr-legend">{legend}</p>'
    )


def bins_table(shown: Shown, rows: Sequence[BinRow], evidence: Evidence | None) -> str:
    """One row a bin, missing values last."""
    is_card = isinstance(shown.data.model.design, WoeDesign)
    has_rates = is_card or evidence is not None
    tested = is_card and evidence is not None
    head = '<th>Bin</th><th>Values</th><th class="cr-right">Rows</th><th class="cr-right">Share</th>'
    named = (
        ("Bads", has_rates),
        ("Bad rate", has_rates),
        ("95% interval", has_rates),
        ("Test rows", tested),
        ("WOE", is_card),
        ("Points", is_card),
    )
    head += "".join(f'<th class="cr-right">{name}</th>' for name, yes in named if yes)
    body = "".join(
        f"<tr{' class=cr-missing' if row.missing else ''}><td>{escape(name)}</td>"
        f"<td>{escape(row.label)}</td>{_right(f'{row.rows:,.0f}', f'{row.share:.1%}')}"
        f"{_right(*_outcome(row)) if has_rates else ''}{_right(_share(row.test_rate)) if tested else ''}"
        f"{_right(_three(row.woe), _points(row.points)) if is_card else ''}</tr>"
        for name, row in zip(bin_names(rows), rows, strict=True)
    )
    return table("Bins of the variable", head, body)


def _right(*texts: str) -> str:
    return "".join(f'<td class="cr-right">{text}</td>' for text in texts)


def _outcome(row: BinRow) -> tuple[str, str, str]:
    interval = "–" if row.low is None else f"{_share(row.low)} to {_share(row.high)}"
    return "–" if row.bads is None else f"{row.bads:,.0f}", _share(row.rate), interval


def _points(points: int | None) -> str:
    return "–" if points is None else f"{points:+d}".replace("-", "−") if points else "0"


def card_frame(shown: Shown) -> pd.DataFrame:
    """The whole scorecard: variable, bin, share, bad rate, woe, points; in the order of the card."""
    lines = [
        {
            "variable": label_of(name, shown.data.portfolio), "bin": row.label, "share": row.share, "rate": row.rate,
            "woe": row.woe, "points": row.points,
        }
        for name in shown.data.features
        for row in bin_rows(shown.data, name, None)
    ]  # fmt: skip
    base = {"variable": "Base points", "bin": "everybody", "points": shown.data.card.base}
    return pd.DataFrame([base, *lines], columns=["variable", "bin", "share", "rate", "woe", "points"])


def card_heading(shown: Shown) -> str:
    """What the points add up to."""
    card = shown.data.card
    low, high = card.span
    told = (
        f"An applicant's points are the base of {card.base} and the points of one bin of each variable, added up: from "
        f"{low:,} to {high:,}. Whole points differ from the unrounded score by {card.largest_error:.2f} at most."
    ).replace("from -", "from −")
    return f'<h2>Scorecard points</h2><p class="cr-soft">{escape(told)}</p>'
