"""The scorecard as a workbook (.xlsx), as a lender files it: one subject a sheet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isnan
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import expit

from creditrisk.binning.bins import rate_of
from creditrisk.binning.evidence import PSI_ACT, PSI_WATCH, psi
from creditrisk.binning.sql import DIALECTS
from creditrisk.data.portfolio import Portfolio
from creditrisk.errors import BinningError
from creditrisk.modelling.attempts import Rows, mask_optional
from creditrisk.modelling.calibration import POINT_IN_TIME
from creditrisk.modelling.coefficients import coefficient_table, difference_in_words
from creditrisk.modelling.metrics import auc, gains, ks, rank_groups
from creditrisk.modelling.pd_model import PDModel
from creditrisk.modelling.scorecard import Reasons, Scorecard, factor_of, score_of, unrounded_points
from creditrisk.modelling.scorecard_sql import card_of, scorecard_sql
from creditrisk.modelling.spreadsheet import (
    AMBER,
    COUNT,
    FOUR,
    GREEN,
    ODDS,
    P_VALUE,
    PERCENT,
    POINT,
    RED,
    SHARE,
    SIGNED,
    TENTH,
    THREE,
    TWO,
    Column,
    Sheet,
    workbook_bytes,
)
from creditrisk.modelling.train import Training

MOST_PERIODS = 24
"""Months, or else quarters or years, are taken so that there are no more than this."""
MOST_BANDS = 40


@dataclass(frozen=True)
class Filing:
    """Under what a card is filed: version of the model, hash of its file if known, run, time, attempt, and why it."""

    version: str = "v1"
    sha256: str = ""
    run: str = ""
    created: str = ""
    attempt: str = ""
    why: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)


def write_workbook(
    path: str | Path,
    model: PDModel,
    training: Training,
    *,
    cut_off: float,
    card: Scorecard | None = None,
    reasons: Reasons | None = None,
    left: Mapping[str, str] | None = None,
    filing: Filing | None = None,
) -> Path:
    """Write the workbook of a scorecard and return its path. Equal arguments give equal bytes.

    `cut_off` is the model's cut-off PD, `card` the points of its model file (`ModelData.card`), so that those filed are
    those served; without it the model is rounded here. `left` says why candidates left in fitting (`Fitted.left`). Text
    that a spreadsheet would take for a formula is stored as text. Raises TypeError for a model that is no scorecard,
    BinningError for a card that is not of this model or not on the portfolio's scale.
    """
    card, filing = card_of(model, training.book.portfolio.points, card), filing or Filing()
    samples = {name: Sample.of(model, card, training.part(name)) for name in ("train", "test")}
    rows = mask_optional(training.part("train"), training.book.portfolio, training.seed)
    sheets = [
        card_sheet(model, card, training.book.portfolio),
        coefficients_sheet(model, rows, training.book.portfolio),
        bins_sheet(model, training),
        funnel_sheet(model, training, left or {}),
        gains_sheet(samples, model.calibration.pd_kind),
        stability_sheet(model, card, training),
        *([periods_sheet(model, card, training)] if training.book.dates is not None else []),
        cut_off_sheet(samples["test"], card, cut_off),
        *(sql_sheet(model, card, training.book.portfolio, dialect) for dialect in DIALECTS),
        about_sheet(model, card, training, samples, cut_off, reasons, filing),
    ]
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(workbook_bytes(sheets, f"Scorecard {filing.version}, {training.book.portfolio.title}"))
    return path


@dataclass(frozen=True)
class Sample:
    """Outcomes, PDs and points of some rows, (n,) each."""

    bad: np.ndarray
    pd: np.ndarray
    points: np.ndarray
    unrounded: np.ndarray

    @classmethod
    def of(cls, model: PDModel, card: Scorecard, rows: Rows) -> Sample:
        margin = model.margin(rows.columns)
        log_odds = model.calibration.intercept + model.calibration.slope * margin
        points = card.total(model.design, rows.columns)
        return cls(rows.bad, model.calibration.pd(margin), points, score_of(log_odds, card.scale))


# --- Sheets -----------------------------------------------------------------------------------------------------------

WOE_NOTE = "Weight of evidence: ln(share of all goods / share of all bads) of the training rows. Higher is safer."
IV_NOTE = "Information value: (share of goods - share of bads) * WOE, summed over bins. Below 0.02 is little."
VIF_NOTE = (
    "Variance inflation factor: how many times as large the variance of the coefficient is as it would be without "
    "correlation to the other columns. Above 10 is collinear."
)
PSI_NOTE = (
    f"Population stability index against the training rows. Below {PSI_WATCH:g} stable, from {PSI_WATCH:g} watch, "
    f"from {PSI_ACT:g} act."
)
CERTIFICATE_NOTE = (
    "Information value of the regular bins as a share of the most that any binning with this trend and these limits "
    "could reach. Empty where no bound is known."
)


def _label(name: str, book: Portfolio) -> str:
    return book.columns[name].label if name in book.columns else ""


def card_sheet(model: PDModel, card: Scorecard, book: Portfolio) -> Sheet:
    """The card: every bin with its points, and what the training rows held in it."""
    table = card.table(model.design)
    counts = [(np.nan, np.nan)]
    for bins in model.design.bins:
        rows = np.add(bins.goods, bins.bads)
        counts += zip(rows / rows.sum(), rate_of(bins.goods, bins.bads), strict=True)
    table[["share", "bad_rate"]] = np.array(counts, dtype=np.float64)
    base, by_slot = unrounded_points(model, card.scale)
    table.insert(4, "unrounded", np.concatenate([[base], *by_slot]))
    table.insert(1, "label", [_label(name, book) for name in table["variable"]])
    table.loc[0, ["bin", "woe"]] = ["everybody", np.nan]
    lowest, highest = card.span
    scale = card.scale
    return Sheet(
        "Card",
        f"Scorecard, {book.title}",
        f"An applicant's points are the base and the points of one bin of each variable, added up: from {lowest} to "
        f"{highest}. {scale.at:g} points are odds of {scale.odds:g} goods to 1 bad, and {scale.pdo:g} more double the "
        f"odds. Whole points differ from the unrounded score by {card.largest_error:.2f} at most.",
        table,
        {
            "variable": Column("Variable"),
            "label": Column("In words"),
            "bin": Column("Bin", note="[a, b) holds a and not b. A bin that no training row fell into has WOE 0, "
                          "unless the binning says otherwise."),
            "woe": Column("WOE", THREE, WOE_NOTE),
            "points": Column("Points", POINT, "Whole points; higher is safer. Calibration is folded in."),
            "unrounded": Column("Unrounded", TWO, "Points before rounding: they add up to the score of the PD itself."),
            "share": Column("Share of rows", SHARE, "Of the training rows."),
            "bad_rate": Column("Bad rate", SHARE, "Of the training rows in this bin."),
        },
        frozen=3,
        group="variable",
    )  # fmt: skip


def coefficients_sheet(model: PDModel, rows: Rows, book: Portfolio) -> Sheet:
    """Coefficients with errors from an unpenalised fit, beside the shipped ones."""
    table = coefficient_table(model, rows)
    table.insert(1, "label", [_label(name, book) for name in table["variable"]])
    return Sheet(
        "Coefficients",
        "Coefficients of WOE for P(bad)",
        "Fitted once more on the same WOE columns and training rows, not resampled and not penalised, so that errors "
        f"and p-values mean what they say. {difference_in_words(table)}",
        table,
        {
            "variable": Column("Variable"),
            "label": Column("In words"),
            "coefficient": Column("Coefficient", FOUR, "Of WOE in ln(odds of bad), by maximum likelihood."),
            "std_error": Column("Standard error", FOUR, "From the information matrix. The bins are taken as given."),
            "z": Column("z", TWO, "Coefficient / standard error."),
            "p": Column("p", P_VALUE, "Two-sided, of no effect (Wald)."),
            "sign": Column("Sign", note="With WOE as ln(share of goods / share of bads) every coefficient for P(bad) "
                           "must be negative."),
            "vif": Column("VIF", TWO, VIF_NOTE + " Here: of the WOE columns."),
            "importance": Column("Importance", THREE, "Change of ln(odds) for one standard deviation of WOE."),
            "importance_share": Column("Share of importance", SHARE),
            "shipped": Column("As shipped", FOUR, "The served model's, calibration included."),
            "errors_apart": Column("Apart, in errors", SIGNED, "Shipped less unpenalised, in standard errors."),
            "note": Column("To look at"),
        },
        marks={"right": GREEN, "wrong": RED},
    )  # fmt: skip


def bins_sheet(model: PDModel, training: Training) -> Sheet:
    """The bins of every candidate: those of the card as the model has them, the others as selection saw them."""
    shipped = {bins.name: bins for bins in model.design.bins}
    candidates = sorted(training.bins.bins, key=lambda b: (b.name not in shipped, -b.iv))
    tables = []
    for bins in (shipped.get(b.name, b) for b in candidates):
        part = bins.table().rename(columns={"iv": "bin_iv"})
        part.insert(0, "variable", bins.name)
        part.insert(1, "in_card", "yes" if bins.name in shipped else "no")
        certificate = np.nan if bins.certificate is None else bins.certificate
        tables.append(part.assign(iv=bins.iv, certificate=certificate, trend=bins.trend))
    table = pd.concat(tables, ignore_index=True)
    return Sheet(
        "Bins",
        "Bins of every candidate",
        "Counts of the training rows (optional inputs masked as in training). Variables of the card come first, with "
        "the bins of the model; the others have the bins on which selection judged them.",
        table,
        {
            "variable": Column("Variable"),
            "in_card": Column("In the card"),
            "bin": Column("Bin", note="[a, b) holds a and not b."),
            "count": Column("Rows", COUNT),
            "count_share": Column("Share", SHARE),
            "goods": Column("Goods", COUNT),
            "bads": Column("Bads", COUNT),
            "bad_rate": Column("Bad rate", SHARE),
            "woe": Column("WOE", THREE, WOE_NOTE),
            "bin_iv": Column("IV of bin", THREE),
            "iv": Column("IV of variable", THREE, IV_NOTE),
            "certificate": Column("Certificate", PERCENT, CERTIFICATE_NOTE),
            "trend": Column("Trend", note="How the bad rate moves over the regular bins."),
        },
        frozen=3,
        group="variable",
    )


IN, LEFT = "in the card", "left in fitting"
STATUS = {"trees only": "not for the card", "out": "out"}


def funnel_sheet(model: PDModel, training: Training, left: Mapping[str, str]) -> Sheet:
    """What became of every column of the book, with a reason for each that is not in the card."""
    table = training.funnel[["column", "status", "reason", "iv", "vif"]].copy()
    for i, row in table.iterrows():
        if row["column"] in model.features:
            table.loc[i, "status"] = IN
        elif row["status"] == "scorecard":
            table.loc[i, ["status", "reason"]] = [LEFT, left.get(row["column"], "left in fitting")]
        else:
            table.loc[i, "status"] = STATUS.get(row["status"], row["status"])
    order = {IN: 0, LEFT: 1, STATUS["trees only"]: 2}
    table = table.sort_values("status", key=lambda s: s.map(order).fillna(3), kind="stable", ignore_index=True)
    table.insert(1, "label", [_label(name, training.book.portfolio) for name in table["column"]])
    counts = table["status"].value_counts(sort=False)
    return Sheet(
        "Funnel",
        "From the columns of the book to the card",
        f"{len(table)} columns: {', '.join(f'{n} {status}' for status, n in counts.items())}. A column must be known "
        "at application and not protected, not collinear, asked of an applicant, and carry information value; in "
        "fitting, its coefficient must have the right sign.",
        table,
        {
            "column": Column("Column"),
            "label": Column("In words"),
            "status": Column("Status"),
            "reason": Column("Reason"),
            "iv": Column("IV", THREE, IV_NOTE + " Here: with the bins on which selection judged."),
            "vif": Column("VIF", ODDS, VIF_NOTE + " Here: of the numbers as they are."),
        },
        group="status",
        marks={IN: GREEN},
    )


def gains_of(sample: Sample) -> pd.DataFrame:
    """`metrics.gains` of a sample by tenths, with the lowest and highest points of each; the group is the decile."""
    points = pd.Series(sample.points).groupby(rank_groups(-sample.pd)).agg(["min", "max"])
    table = gains(sample.bad, sample.pd).rename(columns={"group": "decile"})
    return table.assign(lowest=points["min"].to_numpy(), highest=points["max"].to_numpy())


def judged_before(pd_kind: str) -> str:
    """A sentence where mean PDs stand beside bad rates that do not judge them; empty where they do."""
    return "" if pd_kind == POINT_IN_TIME else " Bad rates judge PDs before the shift to a long-run rate, not these."


def gains_sheet(samples: Mapping[str, Sample], pd_kind: str) -> Sheet:
    """Gains by decile of the training and of the test rows."""
    table = pd.concat([gains_of(s).assign(sample=name) for name, s in samples.items()], ignore_index=True)
    table = table[["sample", *(c for c in table.columns if c != "sample")]]
    figures = []
    for name, sample in samples.items():
        area = auc(sample.bad, sample.pd)
        figures.append(
            f"{name.capitalize()} rows: AUC {area:.4f}, Gini {2 * area - 1:.4f}, KS {ks(sample.bad, sample.pd):.4f}"
        )
    return Sheet(
        "Gains",
        "Gains by decile of PD",
        f"The riskiest tenth comes first; rows of one PD are in one decile. PDs are {pd_kind}.{judged_before(pd_kind)} "
        f"{'. '.join(figures)}.",
        table,
        {
            "sample": Column("Sample"),
            "decile": Column("Decile", POINT, "1 is the riskiest tenth by PD."),
            "rows": Column("Rows", COUNT),
            "bads": Column("Bads", COUNT),
            "bad_rate": Column("Bad rate", PERCENT),
            "mean_pd": Column("Mean PD", PERCENT, "Of the training rows, too, it is that of the served model, which "
                              "has learned from them: only the test rows judge it."),
            "lowest": Column("Lowest points", POINT),
            "highest": Column("Highest points", POINT),
            "captured": Column("Bads so far", SHARE, "Share of all bads in this decile and the riskier ones."),
            "goods_so_far": Column("Goods so far", SHARE),
            "gap": Column("Gap", SHARE, "Bads so far less goods so far; its greatest value is near the KS."),
            "lift": Column("Lift", TWO, "Bad rate of the decile over that of all rows."),
            "lift_so_far": Column("Lift so far", TWO),
        },
        frozen=2,
        group="sample",
    )  # fmt: skip


def verdict(value: float) -> str:
    """What the usual bands say of a PSI; empty without one."""
    if isnan(value):
        return ""
    return "act" if value >= PSI_ACT else "watch" if value >= PSI_WATCH else "stable"


def period_labels(dates: pd.Series) -> tuple[np.ndarray, str]:
    """Months of dates, object (n,), or quarters or years where there are more than MOST_PERIODS; and what they are.

    A missing date has an empty label.
    """
    words = {"M": "month", "Q": "quarter", "Y": "year"}
    letter = next((x for x in words if dates.dt.to_period(x).nunique() <= MOST_PERIODS), "Y")
    labels = dates.dt.to_period(letter).astype(str)
    return np.where(dates.isna(), "", labels).astype(object), words[letter]


def _slots(model: PDModel, card: Scorecard, training: Training) -> dict[str, tuple[np.ndarray, int]]:
    """Slot of every row of the book and how many there are, by what is watched: the points, and each variable.

    Points fall into tenths of the training rows, variables into the bins of the card.
    """
    columns = training.rows.columns
    points = card.total(model.design, columns)
    cuts = np.unique(np.quantile(points[training.split.train], np.linspace(0, 1, 11)[1:-1], method="inverted_cdf"))
    watched = {"points": (np.searchsorted(cuts, points, side="right"), len(cuts) + 1)}
    return watched | {b.name: (b.assign(columns[b.name]), b.n_slots) for b in model.design.bins}


def _psi(slots: np.ndarray, size: int, reference: np.ndarray, rows: np.ndarray) -> float:
    """PSI of some rows against others, both positions in `slots`."""
    return psi(np.bincount(slots[reference], minlength=size), np.bincount(slots[rows], minlength=size))


def stability_sheet(model: PDModel, card: Scorecard, training: Training) -> Sheet:
    """PSI of the points and of each variable: test rows against training rows, and each period."""
    split, dates, book = training.split, training.book.dates, training.book.portfolio
    periods, word = (None, "") if dates is None else period_labels(dates)
    names = [] if dates is None else [label for label in sorted(set(periods)) if label]
    rows = []
    for name, (slots, size) in _slots(model, card, training).items():
        found = _psi(slots, size, split.train, split.test)
        row = {"what": name, "label": _label(name, book) or "Total points, in tenths", "psi": found}
        row["verdict"] = verdict(found)
        row |= {label: _psi(slots, size, split.train, np.flatnonzero(periods == label)) for label in names}
        rows.append(row)
    how = split.description[:1].upper() + split.description[1:]
    dated = "" if dates is None else f" By {word}: all rows of the book with a date; few rows show some PSI by chance."
    return Sheet(
        "Stability",
        "Population stability",
        f"PSI against the training rows, over the bins of the card and over tenths of the points. {how}.{dated}",
        pd.DataFrame(rows),
        {
            "what": Column("Variable"),
            "label": Column("In words"),
            "psi": Column("PSI, test", THREE, PSI_NOTE),
            "verdict": Column("Verdict", note=PSI_NOTE),
            **{label: Column(label, THREE) for label in names},
        },
        frozen=2,
        marks={"stable": GREEN, "watch": AMBER, "act": RED},
    )


def periods_sheet(model: PDModel, card: Scorecard, training: Training) -> Sheet:
    """Each period of the book: rows, bad rate, PD, points, and the PSI of the points."""
    split, rows, kind = training.split, training.rows, model.calibration.pd_kind
    labels, word = period_labels(training.book.dates)
    everything = Sample.of(model, card, rows)
    slots, size = _slots(model, card, training)["points"]
    tested = np.isin(np.arange(len(labels)), split.test)
    found = []
    for label in sorted(set(labels)):
        mine = np.flatnonzero(labels == label)
        parts = {True: "test", False: "train"}
        moved = _psi(slots, size, split.train, mine)
        found.append(
            {
                "period": label or "no date",
                "part": " and ".join(parts[p] for p in sorted(set(tested[mine].tolist()))),
                "rows": len(mine),
                "bads": int(everything.bad[mine].sum()),
                "bad_rate": everything.bad[mine].mean(),
                "mean_pd": everything.pd[mine].mean(),
                "mean_points": everything.points[mine].mean(),
                "psi": moved,
                "verdict": verdict(moved),
            }
        )
    return Sheet(
        "Periods",
        f"The book by {word}",
        f"All rows that were kept. PSI is against the training rows; few rows show some by chance. PDs are {kind}."
        f"{judged_before(kind)}",
        pd.DataFrame(found),
        {
            "period": Column(word.capitalize()),
            "part": Column("Part", note="Train: the rows that the model was fitted to and calibrated on."),
            "rows": Column("Rows", COUNT),
            "bads": Column("Bads", COUNT),
            "bad_rate": Column("Bad rate", PERCENT),
            "mean_pd": Column("Mean PD", PERCENT),
            "mean_points": Column("Mean points", TENTH),
            "psi": Column("PSI of points", THREE, PSI_NOTE),
            "verdict": Column("Verdict", note=PSI_NOTE),
        },
        marks={"stable": GREEN, "watch": AMBER, "act": RED},
    )


def cut_offs(sample: Sample, card: Scorecard) -> pd.DataFrame:
    """What each cut-off would do to a sample, by band of points from the lowest: who has so many or more is approved.

    Columns: points, below, pd and odds (goods to 1 bad) that belong to `points`, rows, bads, bad_rate (of the band),
    approved, approval_rate, approved_bad_rate, bads_caught and goods_lost (shares of all that are declined).
    """
    low, high = int(sample.points.min()), int(sample.points.max())
    step = next(s * 10**e for e in range(12) for s in (1, 2, 5) if (high - low) / (s * 10**e) <= MOST_BANDS - 1)
    edges = np.arange(low // step * step, high + 1, step)
    band = np.searchsorted(edges, sample.points, side="right") - 1
    rows = np.bincount(band, minlength=len(edges))
    bads = np.bincount(band, weights=sample.bad, minlength=len(edges))
    approved, approved_bads = (np.cumsum(counts[::-1])[::-1] for counts in (rows, bads))
    goods = len(sample.bad) - sample.bad.sum()
    log_odds = (card.scale.at - edges) / factor_of(card.scale) - np.log(card.scale.odds)
    with np.errstate(divide="ignore", invalid="ignore"):
        return pd.DataFrame(
            {
                "points": edges,
                "below": edges + step,
                "pd": expit(log_odds),
                "odds": np.exp(-log_odds),
                "rows": rows,
                "bads": bads.astype(int),
                "bad_rate": bads / rows,
                "approved": approved,
                "approval_rate": approved / len(sample.bad),
                "approved_bad_rate": approved_bads / approved,
                "bads_caught": 1 - approved_bads / sample.bad.sum(),
                "goods_lost": 1 - (approved - approved_bads) / goods,
            }
        )


HERE = "the model's cut-off lies here"


def cut_off_sheet(sample: Sample, card: Scorecard, cut_off: float) -> Sheet:
    """Cut-off strategy on the test rows."""
    table = cut_offs(sample, card)
    at = float(score_of(np.log(cut_off) - np.log1p(-cut_off), card.scale)) if 0 < cut_off < 1 else float("nan")
    here = (table["points"] <= at) & (at < table["below"])
    table["note"] = np.where(here, HERE, "")
    approved = sample.pd < cut_off
    bad_rate = sample.bad[approved].mean() if approved.any() else float("nan")
    return Sheet(
        "Cut-offs",
        "Cut-off strategy by band of points",
        f"Test rows. Each line: whoever has so many points or more is approved. The model declines from a PD of "
        f"{cut_off:.2%}, which is {at:.1f} points: it approves {approved.mean():.1%} of these rows, of which "
        f"{bad_rate:.2%} are bad.",
        table,
        {
            "points": Column("Cut-off, points", POINT, "Approve from so many points on."),
            "below": Column("Band below", POINT, "The band is from the cut-off to below this."),
            "pd": Column("PD at cut-off", PERCENT, "That belongs to the cut-off on the points scale."),
            "odds": Column("Odds at cut-off", ODDS, "Goods to 1 bad."),
            "rows": Column("Rows in band", COUNT),
            "bads": Column("Bads in band", COUNT),
            "bad_rate": Column("Bad rate of band", PERCENT),
            "approved": Column("Approved", COUNT),
            "approval_rate": Column("Approval rate", SHARE),
            "approved_bad_rate": Column("Bad rate of approved", PERCENT),
            "bads_caught": Column("Bads caught", SHARE, "Share of all bads that are declined."),
            "goods_lost": Column("Goods lost", SHARE, "Share of all goods that are declined."),
            "note": Column("Note"),
        },
        marks={HERE: AMBER},
    )


def sql_sheet(model: PDModel, card: Scorecard, book: Portfolio, dialect: str) -> Sheet:
    """The card as one SQL statement, a line a row: joined by line ends, they are the statement."""
    ids = (book.application_id,) if book.application_id else ()
    about = (
        "WOE, points, log-odds and PD of every row of the table `applications`, which needs a column for each "
        "variable, named as in the card. Copy the lines below, and change the names of table and identifier to yours."
    )
    try:
        lines = scorecard_sql(model, card.scale, "applications", dialect, id_columns=ids, card=card).split("\n")
    except BinningError as error:
        about, lines = f"There is no statement for {dialect}.", [str(error)]
    table = pd.DataFrame({"statement": lines})
    columns = {"statement": Column(f"Statement, {dialect}")}
    return Sheet(f"SQL {dialect}", f"The card as SQL: {dialect}", about, table, columns, frozen=0, code=True)


def about_sheet(
    model: PDModel,
    card: Scorecard,
    training: Training,
    samples: Mapping[str, Sample],
    cut_off: float,
    reasons: Reasons | None,
    filing: Filing,
) -> Sheet:
    """What the card is, how it was made, and what the terms of this workbook mean."""
    parts = (
        ("Model", _model_facts(model, training, cut_off, filing)),
        ("Sample", _sample_facts(training)),
        ("Points", _points_facts(card, training.book.portfolio, samples)),
        ("Reasons", {"Baseline": reasons.about} if reasons else {}),
        ("Terms", TERMS),
    )
    rows = [(part, item, str(value)) for part, facts in parts for item, value in facts.items() if str(value)]
    return Sheet(
        "About",
        "About this workbook",
        "What the card is, how it was made, and what the terms mean. Every figure in this workbook is a value that was "
        "computed when it was written.",
        pd.DataFrame(rows, columns=["part", "item", "value"]),
        {"part": Column("Part"), "item": Column("Item"), "value": Column("Value")},
        frozen=2,
        group="part",
    )


UNSEEN = "each scored by a model that has not seen it"


def _model_facts(model: PDModel, training: Training, cut_off: float, filing: Filing) -> dict[str, object]:
    calibration = model.calibration
    rows = f", on {calibration.rows:,} training rows with {calibration.bads:,} bads, {UNSEEN}"
    on = rows if calibration.rows else ""
    kind = calibration.pd_kind
    if calibration.long_run is not None:
        kind += f": shifted so that the mean PD of the training rows, {UNSEEN}, is {calibration.long_run:.2%}"
    return {
        "Portfolio": f"{training.book.portfolio.title} ({training.book.portfolio.name})",
        "Model version": filing.version,
        "SHA-256 of the model file": filing.sha256 or "not known when this was written",
        "Run": filing.run or "not recorded",
        "Trained": filing.created or "not recorded",
        "Attempt": filing.attempt,
        "Why this attempt": filing.why,
        "Calibration": f"{calibration.method}: logit PD = {calibration.intercept:.4f} + {calibration.slope:.4f} * "
        f"margin{on}",
        "PDs are": kind,
        "Cut-off": f"a PD of {cut_off:.2%} or more is declined (the portfolio approves "
        f"{training.book.portfolio.approval_share:.0%} of applicants)",
        "Seed": training.seed,
        "Libraries": ", ".join(f"{name} {version}" for name, version in filing.versions.items()),
    }


def _sample_facts(training: Training) -> dict[str, object]:
    book = training.book
    facts: dict[str, object] = {"Bad means": book.portfolio.target.definition, "Split": training.split.description}
    for row in training.split.table(book).to_dict("records"):
        dates = f", {row['from']} to {row['to']}" if "from" in row else ""
        facts[f"Rows, {row['part']}"] = f"{row['rows']:,}, of which {row['bads']:,} bad ({row['bad_rate']:.2%}){dates}"
    return facts


def _points_facts(card: Scorecard, book: Portfolio, samples: Mapping[str, Sample]) -> dict[str, object]:
    scale, (lowest, highest) = card.scale, card.span
    seen = max(float(np.abs(s.points - s.unrounded).max()) for s in samples.values())
    return {
        "Scale": f"{scale.at:g} points are odds of {scale.odds:g} goods to 1 bad; {scale.pdo:g} more double the odds",
        "Formula": f"score = {scale.at:g} + {factor_of(scale):.4f} * (ln(goods to 1 bad) - ln({scale.odds:g})), "
        "calibration folded in",
        "Base points": card.base,
        "Range of the card": f"{lowest} to {highest} points",
        "Largest rounding error, points": f"{card.largest_error:.2f}, over all combinations of bins. On the "
        f"training and test rows: {seen:.2f}",
        "Largest rounding error, PD": "a PD read off whole points differs from the model's by "
        f"{100 * card.largest_pd_error:.2f} percentage points at most, and its odds by "
        f"{2 ** (card.largest_error / scale.pdo) - 1:.1%}; PDs are always computed from the unrounded model",
        "credit_score is another scale": f"int({book.scale.low} + (1 - PD) * {book.scale.high - book.scale.low}): "
        "linear in PD, hence not additive. Points are additive",
    }


TERMS = {
    "Good and bad": "A bad loan is one as defined above; every other one that was kept is good",
    "Bad rate": "Bads as a share of rows",
    "WOE": f"{WOE_NOTE} So every coefficient for P(bad) must be negative. Bins of goods or bads alone are smoothed",
    "IV": IV_NOTE,
    "VIF": VIF_NOTE,
    "PSI": PSI_NOTE,
    "Certificate": CERTIFICATE_NOTE,
    "AUC, Gini, KS": "AUC: the chance that a bad has a higher PD than a good. Gini: 2 * AUC - 1. KS: the greatest gap "
    "between the shares of bads and of goods above a PD",
    "PDO": "Points to double the odds",
    "Odds": "Goods to 1 bad",
}
