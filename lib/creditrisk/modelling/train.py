"""Training as a sequence of steps the notebook can tell: split, select, attempt, compare, choose.

Test rows are set aside first and only judge. A model is fitted to all training rows; its calibration is cross-fitted:
every fifth (tenth, on a small book) of them in turn is left untouched by a model of the others, and the map from margin
to PD is fitted to these out-of-fold margins. So no row calibrates a model that has learned from it, and no row is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from sklearn.model_selection import train_test_split
from threadpoolctl import threadpool_limits

from creditrisk.binning import evidence
from creditrisk.binning.bins import Bins, counts_in
from creditrisk.binning.overrides import NONE, Override, Overrides
from creditrisk.binning.search import Limits
from creditrisk.data.portfolio import Portfolio
from creditrisk.data.tables import Book, to_columns
from creditrisk.errors import DataError, OverridesError
from creditrisk.modelling.attempts import (
    ATTEMPTS,
    WRONG_SIGN,
    Attempt,
    Candidates,
    Clock,
    CrossValidation,
    Fitted,
    OutOfFold,
    Rows,
    fit_attempt,
    judge_variables,
    mask_optional,
    optional_inputs,
    tune,
)
from creditrisk.modelling.calibration import NONE as UNCALIBRATED
from creditrisk.modelling.calibration import Calibration, fit_calibration, line_between
from creditrisk.modelling.design import WoeDesign, fit_woe_design
from creditrisk.modelling.gates import Gate, release_gate
from creditrisk.modelling.inference import auc_difference, auc_interval
from creditrisk.modelling.metrics import error_of_gain, evaluate
from creditrisk.modelling.pd_model import LeftOut, PDModel
from creditrisk.modelling.selection import select

TEST_SHARE = 0.25
NEWEST_SHARE = 0.25
"""Share of the training rows, the newest by date, on which bad rates must keep their order where that is asked for."""
HOLD_ORDER = "hold_order"
"""Who overrides the bins of a variable whose order reversed."""
TUNING_ROWS = 12_000
"""Hyper-parameters are sought on at most this many training rows; models are then fitted on all of them."""
VERSIONS = {"v1": "logistic", "v2": "xgboost"}
"""Which family each shipped model version belongs to."""
SHIPPED_AS = {"logistic": "v1", "forest": "v2", "xgboost": "v2"}
"""The shipped version that each family is compared with."""
Chosen = dict[str, tuple[Fitted, str]]
"""The shipped model of each version, and why that one."""
SMALL = 5_000
"""Rows below which folds are more, and drawn several times for tuning."""
MIN_BADS = 30
"""Fewer bads, or goods, than this in the training rows are not learned from."""
MATERIAL_GAIN = 0.001
"""AUC that resampling must add before its distortion of the PD is worth repairing."""


@dataclass(frozen=True)
class Split:
    """Row positions of the two parts, and how they were made."""

    how: str
    train: np.ndarray
    test: np.ndarray
    description: str

    def table(self, book: Book) -> pd.DataFrame:
        """Rows, bad rate and dates of each part."""
        rows = []
        for part in ("train", "test"):
            index = getattr(self, part)
            row = {
                "part": part,
                "rows": len(index),
                "bads": int(book.bad[index].sum()),
                "bad_rate": book.bad[index].mean(),
            }
            if book.dates is not None:
                dates = book.dates.iloc[index]
                row |= {"from": f"{dates.min():%Y-%m-%d}", "to": f"{dates.max():%Y-%m-%d}"}
            rows.append(row)
        return pd.DataFrame(rows)


def split_book(book: Book, how: str, seed: int) -> Split:
    """Set test rows aside.

    `auto` is out of time (the last 25% by date) where the portfolio has an observation date, else random (stratified).
    Raises DataError when the book is too small or has no dates for an out-of-time split.
    """
    if how == "auto":
        how = "out_of_time" if book.dates is not None else "random"
    everything = np.arange(len(book.bad))
    _require_both(book.bad, everything, "the book", MIN_BADS)
    if how == "out_of_time":
        if book.dates is None:
            raise DataError("split is out_of_time, but the portfolio names no observation_date; use random or auto")
        dates = book.dates.to_numpy()
        start = np.sort(dates)[int(np.floor(len(dates) * (1 - TEST_SHARE)))]
        test = everything[dates >= start]
        first = f"{pd.Timestamp(start):%Y-%m-%d}"
        description = f"out of time: tested on rows from {first} on"
        _require_both(book.bad, everything[~(dates >= start)], f"the book before {first}, the test,", MIN_BADS)
    else:
        test = _stratified(everything, book.bad, TEST_SHARE, seed)
        description = f"random, stratified, {TEST_SHARE:.0%} for the test"
    train = np.setdiff1d(everything, test, assume_unique=True)
    for part, index, least in (("training", train, MIN_BADS), ("test", test, 1)):
        _require_both(book.bad, index, f"the {part} part", least)
    return Split(how, train, test, description)


def _require_both(bad: np.ndarray, index: np.ndarray, what: str, least: int) -> None:
    bads = int(bad[index].sum())
    goods = len(index) - bads
    if min(bads, goods) < least:
        raise DataError(
            f"{what} has {bads:,} bads and {goods:,} goods; at least {least} of each are needed: give more loans, "
            "or split at random where it was by date"
        )


def _stratified(index: np.ndarray, bad: np.ndarray, share: float, seed: int) -> np.ndarray:
    """A share of the positions, with the bad rate of all of them."""
    _, drawn = train_test_split(index, test_size=share, stratify=bad[index], random_state=seed)
    return np.sort(drawn)


@dataclass(frozen=True)
class Training:
    """A split book with its selected columns: all that an attempt needs."""

    book: Book
    split: Split
    seed: int
    rows: Rows
    bins: WoeDesign
    funnel: pd.DataFrame
    candidates: Candidates

    @property
    def overrides(self) -> Overrides:
        """What analysts decided, and where `hold_order` was asked for, what it changed."""
        return self.candidates.overrides

    def part(self, name: str) -> Rows:
        """The rows of "train" or "test"."""
        return self.rows.take(getattr(self.split, name))

    @property
    def folds(self) -> int:
        return 5 if len(self.rows) >= SMALL else 10


def begin(
    book: Book, split: Split, seed: int, overrides: Overrides | None = None, hold_order: bool = False
) -> Training:
    """Bin every candidate on the training rows and select by VIF and IV, as analysts have overridden it.

    With `hold_order`, bins whose order of bad rates reverses on the newest training rows are merged until it holds;
    from there they are overrides too, and so does the order of other bins that an attempt finds. Raises OverridesError
    when the overrides do not fit the portfolio.
    """
    portfolio, overrides = book.portfolio, overrides or NONE
    overrides.check(portfolio)
    names = list(portfolio.candidates)
    rows = Rows(to_columns(book.frame, names, portfolio), book.bad)
    train = rows.take(split.train)
    bins = fit_woe_design(train.columns, train.bad, names, portfolio, Limits(), overrides)
    obeyed, newest = overrides, None
    if hold_order:
        index, what = _newest(book, split, seed)
        newest = rows.take(index)
        obeyed = hold_orders(bins.bins, newest, what, overrides)
        bins = fit_woe_design(train.columns, train.bad, names, portfolio, Limits(), obeyed)
    _stop_if_worse_from(portfolio, mask_optional(train, portfolio, seed), obeyed)
    iv = pd.Series({b.name: b.iv for b in bins.bins})
    funnel = select(book.frame.iloc[split.train], iv, portfolio, overrides=overrides)
    by_status = funnel.groupby("status")["column"].agg(tuple)
    scorecard = by_status.get("scorecard", ())
    open_to_trees = scorecard + by_status.get("trees only", ())
    if not open_to_trees:
        raise DataError("no column is left to model with; the selection table says why")
    candidates = Candidates(scorecard or open_to_trees, open_to_trees, obeyed, newest)
    return Training(book, split, seed, rows, bins, funnel, candidates)


def _newest(book: Book, split: Split, seed: int) -> tuple[np.ndarray, str]:
    """Rows on which the order of bad rates must hold, and what they are: never a test row."""
    dates = None if book.dates is None else book.dates.iloc[split.train].to_numpy()
    if dates is None or np.isnat(dates).all():
        drawn = _stratified(split.train, book.bad, NEWEST_SHARE, seed)
        return drawn, f"{NEWEST_SHARE:.0%} of the training rows, drawn at random"
    known = np.sort(dates[~np.isnat(dates)])
    start = known[int(np.floor(len(known) * (1 - NEWEST_SHARE)))]
    return split.train[dates >= start], f"the newest training rows, from {pd.Timestamp(start):%Y-%m-%d} on"


def hold_orders(bins: Iterable[Bins], rows: Rows, what: str, overrides: Overrides) -> Overrides:
    """The overrides, and one more for each variable whose bins had to be merged for its order to hold on `rows`.

    `what` says which rows these are. Bins that an analyst has given stay as they are; whatever else was decided about
    a variable is kept, with its reason.
    """
    for one in bins:
        mine = overrides.get(one.name)
        if mine and (mine.bins is not None or mine.use == "out"):
            continue
        values = rows.columns[one.name]
        held = evidence.hold_order(one, values, rows.bad)
        if held == one:
            continue
        labels = one.labels()
        pairs = evidence.reversals(one, *counts_in(one.assign(values), rows.bad, one.n_slots))
        reversed_ = "; ".join(f"{labels[k]} and {labels[k + 1]}" for k in pairs)
        made = Override.of(held, by=HOLD_ORDER, reason=f"bad rates in the other order in {what}: {reversed_}")
        if mine:
            by, reason = (
                ", ".join(filter(None, (mine.by, made.by))),
                "; ".join(filter(None, (mine.reason, made.reason))),
            )
            made = replace(made, missing=mine.missing, use=mine.use, by=by, reason=reason)
        overrides = overrides.with_(made)
    return overrides


def _stop_if_worse_from(portfolio: Portfolio, train: Rows, overrides: Overrides) -> None:
    """Raise OverridesError when given bins of a protected number would make it score worse from its limit on.

    Searched bins follow the portfolio's direction of risk, so they cannot; given ones may.
    """
    names = [n for n, one in portfolio.restricted.items() if one.no_worse_from is not None]
    names = [n for n in names if n in overrides and overrides[n].bins is not None and overrides[n].use != "out"]
    for bins in fit_woe_design(train.columns, train.bad, names, portfolio, Limits(), overrides).bins:
        limit = portfolio.restricted[bins.name].no_worse_from
        first, last = bins.assign(np.array([limit, np.nextafter(limit, -np.inf)]))
        older, younger = bins.woe[first : bins.n_regular], bins.woe[: last + 1]
        if older.min() < younger.max():
            raise OverridesError(
                f"{overrides.source}, {bins.name}: with these cuts, values from {limit:g} on could score worse than "
                f"lower ones (WOE {older.min():.3f}, below {younger.max():.3f}), which the portfolio's no_worse_from "
                "forbids; merge bins until none from there on is riskier"
            )


def run_attempts(
    training: Training,
    trials: int,
    *,
    attempts: Iterable[Attempt] = ATTEMPTS,
    on_trial: Callable[[str, int, float], None] | None = None,
) -> list[Fitted]:
    """Tune (where the attempt says so), fit, calibrate and measure each attempt."""
    portfolio, seed = training.book.portfolio, training.seed
    train = training.part("train")
    tuning_rows = train
    if len(train) > TUNING_ROWS:
        tuning_rows = train.take(_stratified(np.arange(len(train)), train.bad, TUNING_ROWS / len(train), seed))
    folds, repeats = (3, 1) if len(tuning_rows) >= SMALL else (5, 3)  # one draw of folds says little on a small book
    tuning = CrossValidation(tuning_rows, training.candidates, portfolio, folds, seed, repeats)
    judging = judging_folds(training)
    fitted = []
    with threadpool_limits(1):  # threads of the numerical libraries wait for each other more than they help here
        for attempt in attempts:
            clock = Clock()
            if attempt.tuned:
                report = (lambda name: lambda n, best: on_trial(name, n, best))(attempt.name) if on_trial else None
                attempt = tune(attempt, tuning, trials, seed, report)
            model = fit_attempt(attempt, train, training.candidates, portfolio, seed)
            fitted.append(judge(training, attempt, model, judging.out_of_fold(attempt), clock))
    return fitted


def judging_folds(training: Training) -> CrossValidation:
    """The folds of the training rows on which attempts are cross-validated and calibrated."""
    return CrossValidation(
        training.part("train"), training.candidates, training.book.portfolio, training.folds, training.seed
    )


def attempt_of(training: Mapping) -> Attempt:
    """The attempt that a model file's `training` part names, with its parameters. Raises DataError for another one."""
    by_name = {one.name: one for attempt in ATTEMPTS for one in (replace(attempt, tuned=False), attempt)}
    if training["attempt"] not in by_name:
        raise DataError(f"attempt {training['attempt']!r} is none of {'; '.join(by_name)}")
    return replace(by_name[training["attempt"]], params=dict(training["params"]))


def cross_fitted(attempt: Attempt, model: PDModel, unseen: OutOfFold, portfolio: Portfolio, seed: int) -> PDModel:
    """A model, calibrated by what models of the same making said of rows they had not seen.

    Trees are told apart from scorecards: their map may be isotonic, and rows without optional inputs may have a line
    of their own. A scorecard's points must add up, which neither would let them.
    """
    trees = attempt.family != "logistic"
    calibration = fit_calibration(unseen.bad, unseen.margin, isotonic=trees, seed=seed)
    model = replace(model.calibrated(calibration), left_out=None)
    names = tuple(optional_inputs(portfolio, model.features))
    if not trees or not names or unseen.lacking is None:
        return model
    line = line_between(unseen.bad, unseen.lacking, unseen.margin)
    return replace(model, left_out=line and LeftOut(names, *line))


def judge(training: Training, attempt: Attempt, model: PDModel, unseen: OutOfFold, clock: Clock) -> Fitted:
    """Calibrate by the out-of-fold margins, then measure on the test rows, before and after.

    A long-run bad rate of the portfolio is aimed at last, on the out-of-fold PDs, and measured nowhere: the figures
    and the gate are of the PDs before that shift.
    """
    portfolio, test = training.book.portfolio, training.part("test")
    model = cross_fitted(attempt, model, unseen, portfolio, training.seed)
    found, margin, target = model.calibration, model.margin(test.columns), portfolio.long_run_bad_rate
    shipped = found if target is None else found.aimed_at(target, unseen.margin)
    area = auc_interval(test.bad, margin)

    def cut_off(one: Calibration) -> float:
        return float(np.quantile(one.pd(unseen.margin), portfolio.approval_share))

    def figures(one: Calibration) -> dict[str, float]:
        return evaluate(test.bad, one.pd(margin), cut_off(one)) | {"auc_low": area.low, "auc_high": area.high}

    def gate(one: Calibration) -> Gate:
        return release_gate(test.bad, one.pd(margin), made(attempt, one))

    left, against = judge_variables(
        attempt, model, training.part("train"), training.candidates, portfolio, training.seed
    )
    return Fitted(
        attempt,
        model.calibrated(shipped),
        unseen.aucs,
        raw=figures(UNCALIBRATED),
        test=figures(found),
        threshold=cut_off(shipped),
        seconds=clock.seconds,
        left=left,
        against=against,
        gate=gate(found),
        raw_gate=gate(UNCALIBRATED),
        margin=margin,
        out_of_fold=unseen.margin,
    )


def made(attempt: Attempt, calibration: Calibration) -> str:
    """What of a model's making explains PDs that are far from right, in words; empty when nothing does."""
    if calibration.method != UNCALIBRATED.method or not attempt.resampler:
        return ""
    return f"trained on rows balanced by {attempt.resampler}, and not calibrated"


def notes(fitted: Fitted) -> list[str]:
    """What became of a scorecard's variables in fitting, in sentences; none for trees."""
    if fitted.attempt.family != "logistic":
        return []
    sign = [name for name, why in fitted.left.items() if why == WRONG_SIGN]
    weak = [f"{name} ({why})" for name, why in fitted.left.items() if why != WRONG_SIGN]
    against = [f"{name} ({why})" for name, why in fitted.against.items()]
    told = [
        f"Left the scorecard in fitting, coefficient of the wrong sign: {', '.join(sign) or 'none'}.",
        f"Left the scorecard in fitting, too little IV: {', '.join(weak) or 'none'}.",
    ]
    return told + ([f"Overrides to look at again: {', '.join(against)}."] if against else [])


def comparison(fitted: list[Fitted], chosen: Chosen | None = None, test: Rows | None = None) -> pd.DataFrame:
    """The attempts in one table: figures of the same test rows, before (`_raw`) and after calibration.

    `auc_low` and `auc_high` are DeLong's 95% interval. Given the chosen models and the test rows, `difference` is the
    AUC less that of the shipped model of the family (forests: the trees), with its paired interval and p (DeLong, two
    sided); the shipped model itself has none.
    """
    twice = ("mean_pd", "calibration_slope", "calibration_intercept", "brier", "log_loss")
    rows = []
    for f in fitted:
        row = {"attempt": f.attempt.name, "cv_auc": float(np.mean(f.cv_auc))}
        row |= {k: f.test[k] for k in ("auc", "auc_low", "auc_high", "gini", "ks")}
        if chosen is not None and test is not None:
            row |= _difference(f, chosen[SHIPPED_AS[f.attempt.family]][0], test)
        row["bad_rate"] = f.test["bad_rate"]
        for k in twice:
            row |= {f"{k}_raw": f.raw[k], k: f.test[k]}
        row |= {"calibration": f.model.calibration.method, "gate_raw": f.raw_gate.status, "gate": f.gate.status}
        rows.append(row | {k: f.test[k] for k in ("precision", "recall", "f1")} | {"seconds": round(f.seconds, 2)})
    return pd.DataFrame(rows)


def _difference(one: Fitted, shipped: Fitted, test: Rows) -> dict[str, float]:
    """AUC of an attempt less that of the shipped model."""
    if one is shipped:
        return dict.fromkeys(("difference", "difference_low", "difference_high", "p"), float("nan"))
    gap, p = auc_difference(test.bad, one.margin, shipped.margin)
    return {"difference": gap.value, "difference_low": gap.low, "difference_high": gap.high, "p": p}


def choose(fitted: list[Fitted]) -> Chosen:
    """The shipped model of each version and why: SMOTETomek only if it earns its place.

    It does when its cross-validated AUC beats the same family tuned without it by more than two standard errors of
    the difference over the folds, and by at least MATERIAL_GAIN.
    """
    chosen = {}
    for version, family in VERSIONS.items():
        tuned = {f.attempt.resampling: f for f in fitted if f.attempt.tuned and f.attempt.family == family}
        plain, resampled = tuned["none"], tuned["smotetomek"]
        gain = np.array(resampled.cv_auc) - np.array(plain.cv_auc)
        error = error_of_gain(gain, len(gain))
        earns = gain.mean() > max(2 * error, MATERIAL_GAIN)
        why = f"SMOTETomek changes cross-validated AUC by {gain.mean():+.4f} (standard error {error:.4f}): " + (
            "it is used" if earns else "it is not used"
        )
        chosen[version] = (resampled if earns else plain, why)
    return chosen


def champion_of(chosen: Chosen) -> tuple[str | None, str]:
    """The version to be champion, and why: v2 if its gate does not fail, else v1 if its does not, else none."""
    barred = []
    for version in reversed(VERSIONS):
        gate = chosen[version][0].gate
        if not gate.failed:
            told = f"the champion is {version}, whose release gate says {gate.status}"
            return version, "; ".join([told, *barred])
        barred.append(f"{version} fails its release gate: {'; '.join(gate.reasons)}")
    return None, "; ".join(["no champion", *barred])
