"""What a validation unit tests of a PD model version. Each test is a pure function and gives findings.

`bad` is 0/1 (n,), `pds` the point-in-time probability of default (n,): outcomes of some years cannot judge PDs that
were shifted to a long-run bad rate. Only grades and approvals are those of the served PDs. Thresholds stand here as
named constants with their sources; stability, sensitivity and fairness have modules of their own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import inf, isfinite, sqrt
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.stats import norm

from creditrisk.binning.evidence import neighbour_p, rate_interval
from creditrisk.data.portfolio import Portfolio
from creditrisk.data.tables import Book, to_columns
from creditrisk.errors import DataError
from creditrisk.modelling.attempts import Attempt, fit_attempt
from creditrisk.modelling.calibration import Calibration
from creditrisk.modelling.design import Columns, WoeDesign
from creditrisk.modelling.findings import (
    ECB,
    ENOUGH_BADS,
    FAIL,
    FEWEST_BADS,
    JEFFREYS,
    NOT_APPLICABLE,
    OBSERVED_EXPECTED,
    PASS,
    POLICY,
    WATCH,
    Band,
    Finding,
    Limit,
    banded,
    nothing,
    number_text,
    p_text,
    too_few,
    worst,
)
from creditrisk.modelling.inference import (
    Interval,
    auc_covariance,
    auc_difference,
    auc_interval,
    brier,
    calibration_fit,
    herfindahl,
    hosmer_lemeshow,
    jeffreys_p,
    observed_to_expected,
    spiegelhalter,
)
from creditrisk.modelling.metrics import EQUAL_PDS, auc
from creditrisk.modelling.pd_model import PDModel

if TYPE_CHECKING:
    from creditrisk.modelling.train import Training

DEFAULTS = Limit(ENOUGH_BADS, FEWEST_BADS, "Vergouwe et al. (2005): 100 events and 100 non-events", "below")
OUTSIDE = Limit(0.01, 0.05, POLICY)
AUC_LEVEL = Limit(0.70, 0.50, "Hosmer and Lemeshow (2000), ch. 5; no regulator sets one", "below")
GINI_FALL = Limit(0.10, 0.20, POLICY)
AUC_FALL_P = Limit(0.05, 0.01, f"{ECB}, 2.5.4.1; cut-offs are policy", "below")
ORDER = Limit(0.20, 0.05, "policy default; two-proportion or Fisher's test", "below")
"""The least p-value of neighbours whose bad rates are in the wrong order; above, it is chance."""
INTERCEPT = Band(-0.1, 0.1, "bounds of the release gate; Cox (1958)")
SLOPE = Band(0.9, 1.1, "bounds of the release gate; Cox (1958)")
RED_GRADES = Limit(1, 2, POLICY)
AMBER_GRADES = Limit(0.2, 0.3, POLICY)
"""Share of grades that are amber or red."""
BRIER_SKILL = Limit(0.0, 0.0, "Murphy (1973): 0 is the bad rate alone", "below")
FIT_P = 0.05
"""Of tests of goodness of fit. They never fail: with rows enough they reject every model, however little it errs."""
HOSMER_LEMESHOW = "Hosmer, Lemeshow and Sturdivant (2013), 5.2.2; cut-off is policy"
SPIEGELHALTER = "Spiegelhalter (1986); cut-off is policy"
BADS_A_GROUP = 20
"""Bads in a group of the calibration curve."""
LARGEST_GRADE = Limit(0.30, inf, POLICY)
CONCENTRATION_P = Limit(0.05, 0.01, f"{ECB}, 2.5.5.3; cut-offs are policy", "below")
WORSE_BY = Limit(0.0, 0.01, POLICY)
"""AUC by which another version may be significantly better: anything is watched, this much fails."""


# --- The rows that are judged -----------------------------------------------------------------------------------------

PARTS = ("train", "test")
"""Into what a book is split."""


@dataclass(frozen=True)
class Recorded:
    """What a model was trained on, as far as its file says. `rows` of the embedded book is 0 where it is not said."""

    data: str
    rows: int
    seed: int
    split: str
    as_of: str
    parts: dict[str, int]


def recorded(training: Mapping) -> Recorded:
    """What the `training` part of a model file says of the book and its split.

    Older files do not say where the tables were or when outcomes were read; the latter is then the day of training.
    Raises DataError for a file from when rows were set aside for calibration: that split is no longer made.
    """
    if set(training["rows"]) != set(PARTS):
        raise DataError(
            f"this model file was made from a book split into {', '.join(training['rows'])}; books are now split into "
            f"{' and '.join(PARTS)}, and calibration is cross-fitted on the training rows, so its split cannot be made "
            "again: train the model anew, or validate it with the release that made it"
        )
    source = training.get("source", {})
    split = "out_of_time" if training["split"].startswith("out of time") else "random"
    return Recorded(
        data=source.get("data", ""),
        rows=int(source.get("rows") or 0),
        seed=int(training["seed"]),
        split=source.get("split", split),
        as_of=source.get("as_of") or training["created"][:10],
        parts=dict(training["rows"]),
    )


def rebuilt(parts: Mapping[str, int], said: Recorded, found: float, expected: float) -> Finding:
    """That the split made again is that of training: rows by part, and the model's AUC on the test rows.

    Raises DataError when it is not: the model may have learned from the rows that would judge it.
    """
    if dict(parts) != said.parts or not abs(found - expected) < 1e-4:
        sizes = ", ".join(f"{part} {rows:,}" for part, rows in said.parts.items())
        now = ", ".join(f"{part} {rows:,}" for part, rows in parts.items())
        raise DataError(
            f"this is not the book the model was trained on: it was split into {sizes} rows with a test AUC of "
            f"{expected:.4f}, now into {now} with {found:.4f}; give data, rows and as_of as they were in that run"
        )
    return Finding(
        "data.rebuilt", "Split of training made again: difference in test AUC", abs(found - expected), PASS,
        "no row more or less, AUC within 0.0001", "artifact", "the test rows are those the model has never seen",
        form="{:.6f}",
    )  # fmt: skip


@dataclass(frozen=True)
class Judged:
    """The rows that judge the model: `what` they are, the checked book they are in, their positions there (n,)."""

    what: str
    book: Book
    index: np.ndarray

    @property
    def bad(self) -> np.ndarray:
        return self.book.bad[self.index]

    @property
    def frame(self) -> pd.DataFrame:
        return self.book.frame.iloc[self.index].reset_index(drop=True)

    @property
    def dates(self) -> pd.Series | None:
        return None if self.book.dates is None else self.book.dates.iloc[self.index].reset_index(drop=True)

    @cached_property
    def columns(self) -> dict[str, np.ndarray]:
        """Inputs and features as models read them."""
        return to_columns(self.frame, list(self.book.portfolio.candidates), self.book.portfolio)

    @cached_property
    def inputs(self) -> dict[str, np.ndarray]:
        """What an applicant is asked for."""
        return {name: self.columns[name] for name in self.book.portfolio.inputs}

    def evenly(self, most: int) -> np.ndarray:
        """Positions of at most so many rows, spread evenly over these."""
        return np.unique(np.linspace(0, len(self.index) - 1, min(most, len(self.index))).astype(int))


def new_rows(sample: Book, development: pd.DataFrame) -> Judged:
    """The rows of a new sample that the model was not developed on. Raises DataError when none, or one class, is left.

    A row is one of development when its key, inputs and date are the same.
    """
    book = sample.portfolio
    key, date = book.tables[book.base].key, book.target.observation_date
    known = seen_before(sample.frame, development, [n for n in (key, *book.candidates, date) if n])
    index = np.flatnonzero(~known)
    if len(set(sample.bad[index])) < 2:
        raise DataError(
            f"the sample has {len(index):,} rows that the model was not developed on, of {len(known):,}, and not both "
            "goods and bads among them; give loans that came later"
        )
    return Judged(
        f"a new sample: {len(index):,} rows; {int(known.sum()):,} known from development left out", sample, index
    )


def seen_before(frame: pd.DataFrame, development: pd.DataFrame, names: Sequence[str]) -> np.ndarray:
    """Rows of a new sample that the model was developed on: the same in all these columns, bool (n,)."""
    marks = [pd.util.hash_pandas_object(one[list(names)].astype("str"), index=False) for one in (frame, development)]
    return marks[0].isin(marks[1]).to_numpy()


def fingerprint(columns: Columns, bad: np.ndarray) -> str:
    """SHA-256 of the judged rows: whoever has the same rows in the same order gets the same."""
    digest = hashlib.sha256(np.ascontiguousarray(bad, dtype=np.int8).tobytes())
    for name in sorted(columns):
        digest.update(name.encode())
        values = np.asarray(columns[name])
        plain = values.astype(np.float64).tobytes() if values.dtype != object else "\n".join(map(str, values)).encode()
        digest.update(plain)
    return digest.hexdigest()


def enough_defaults(bad: np.ndarray) -> Finding:
    """Whether there are bads (and goods) enough to judge with."""
    fewest = int(min(bad.sum(), len(bad) - bad.sum()))
    status = DEFAULTS.status(fewest)
    why = {PASS: "", WATCH: "intervals are wide", FAIL: "no verdict on discrimination or calibration"}[status]
    name = "Bads, or goods if fewer, among the judged rows"
    return Finding("data.defaults", name, fewest, status, DEFAULTS.text("{:.0f}"), DEFAULTS.source, why, form="{:,.0f}")


def rejected_share(book: Book) -> Finding:
    """Rows that broke a rule of the portfolio and are not judged, as a share of those received."""
    share, limit = book.rejected_rows / book.received, book.portfolio.max_reject_share
    status = FAIL if share > limit else PASS
    why = "what is wrong with so many rows may bias all that follows" if status == FAIL else "each with its reason"
    return Finding(
        "data.rejected", "Rows rejected on checking", share, status, f"fail above {limit:.0%}",
        "the portfolio's max_reject_share", why, form="{:.2%}",
    )  # fmt: skip


def outside_training(reference: Columns, columns: Columns, names: Iterable[str]) -> Finding:
    """Share of rows with a value that training has not seen: beyond its range, or another level."""
    out, worst = None, []
    for name in names:
        known, values = np.asarray(reference[name]), np.asarray(columns[name])
        if known.dtype == object:
            strange = ~pd.isna(values) & ~np.isin(values.astype(str), [str(v) for v in set(known) if v is not None])
        else:
            low, high = (np.nanmin(known), np.nanmax(known)) if np.isfinite(known).any() else (inf, -inf)
            strange = (values < low) | (values > high)
        out = strange if out is None else out | strange
        worst += [name] if strange.any() else []
    share = float(out.mean()) if out is not None and len(out) else 0.0
    why = f"values not seen in training: {', '.join(worst)}" if worst else "every value lies in the range of training"
    return Finding(
        "data.outside", "Judged rows outside the range of training", share, OUTSIDE.status(share),
        OUTSIDE.text("{:.0%}"), OUTSIDE.source, why, form="{:.2%}",
    )  # fmt: skip


# --- Discrimination ---------------------------------------------------------------------------------------------------


def auc_level(bad: np.ndarray, pds: np.ndarray) -> Finding:
    """AUC with DeLong's interval."""
    key, name, text = "discrimination.auc", "AUC", "watch below 0.70, fail when the interval reaches 0.50"
    if why := too_few(int(bad.sum()), len(bad)):
        return nothing(key, name, why, text, AUC_LEVEL.source)
    area = auc_interval(bad, pds)
    if not isfinite(area.low):  # the PDs tell bads from goods without a mistake, or all are equal
        area = Interval(area.value, area.value, area.value)
    status = FAIL if area.low <= AUC_LEVEL.fail else WATCH if area.value < AUC_LEVEL.watch else PASS
    return Finding(
        key, name, area.value, status, text, AUC_LEVEL.source, "DeLong's 95% interval", (area.low, area.high)
    )


def gini_fall(bad: np.ndarray, pds: np.ndarray, reference: float, test: str, what: str) -> Finding:
    """Fall of the Gini against a reference AUC, taken as fixed, as a share of the reference's Gini."""
    key, name = f"discrimination.{test}", f"Fall of the Gini against {what}"
    text = GINI_FALL.text("{:.0%}")
    if why := too_few(int(bad.sum()), len(bad)):
        return nothing(key, name, why, text, GINI_FALL.source)
    if not reference > 0.5:
        return nothing(key, name, f"the AUC of {what} is {reference:.3f}", text, GINI_FALL.source)
    areas, covariance = auc_covariance(bad, pds)
    gini = 2 * reference - 1
    fall, half = 1 - (2 * float(areas[0]) - 1) / gini, 1.96 * 2 * sqrt(max(float(covariance[0, 0]), 0.0)) / gini
    status = GINI_FALL.status(fall)
    why = f"AUC {areas[0]:.4f} after {reference:.4f}"
    return Finding(key, name, fall, status, text, GINI_FALL.source, why, (fall - half, fall + half), "{:+.1%}")


def auc_since_development(bad: np.ndarray, pds: np.ndarray, initial: float, *, same_rows: bool) -> Finding:
    """AUC against the one of the initial validation, which is taken as fixed; small p says that it fell.

    S = (initial - current) / s, p = 1 - Phi(S), s by DeLong. ECB Instructions (2019), 2.5.4.1.
    """
    key, name, text = "discrimination.auc_since_development", "AUC fell since development: p", AUC_FALL_P.text()
    why = "these are the rows of the initial validation" if same_rows else too_few(int(bad.sum()), len(bad))
    if why:
        return nothing(key, name, why, text, AUC_FALL_P.source)
    areas, covariance = auc_covariance(bad, pds)
    error = sqrt(float(covariance[0, 0]))
    p = float(norm.sf((initial - float(areas[0])) / error)) if error > 0 else float(areas[0] >= initial)
    return Finding(
        key, name, p, AUC_FALL_P.status(p), text, AUC_FALL_P.source, f"AUC {areas[0]:.4f}, initially {initial:.4f}"
    )


def rank_order(rows: np.ndarray, bads: np.ndarray, test: str, what: str) -> Finding:
    """Whether the bad rate rises from group to group; `rows` and `bads` are by group (groups,), the safest first."""
    key, name = f"discrimination.{test}", f"Bad rates out of order, by {what}"
    text = f"least p of such a pair: {ORDER.text()}"
    rows, bads = np.asarray(rows), np.asarray(bads)
    used = rows > 0
    if used.sum() < 2:
        return nothing(key, name, f"fewer than two groups by {what} hold rows", text, ORDER.source)
    p = neighbour_p((rows - bads)[used], bads[used])[np.diff(bads[used] / rows[used]) < 0]
    why = f"least {p_text(p.min())}" if len(p) else f"rises over all {int(used.sum())} groups"
    status = ORDER.status(p.min()) if len(p) else PASS
    return Finding(key, name, len(p), status, text, ORDER.source, why, form="{:.0f}")


# --- Calibration ------------------------------------------------------------------------------------------------------


def calibration(bad: np.ndarray, pds: np.ndarray) -> list[Finding]:
    """Intercept, slope and observed over expected bads, each in its band; then two tests of goodness of fit."""
    names = {
        "intercept": ("Calibration intercept (0 when right)", INTERCEPT),
        "slope": ("Calibration slope (1 when right)", SLOPE),
        "observed_expected": ("Observed over expected bads", OBSERVED_EXPECTED),
    }
    if why := too_few(int(bad.sum()), len(bad)):
        found = [nothing(f"calibration.{k}", n, why, band.text, band.source) for k, (n, band) in names.items()]
        return found + goodness_of_fit(bad, pds)
    fit = calibration_fit(bad, pds)
    values = {"intercept": fit.intercept, "slope": fit.slope, "observed_expected": fit.observed_to_expected}
    found = {k: banded(f"calibration.{k}", n, values[k], band) for k, (n, band) in names.items()}
    if fit.no_slope:  # one PD for everybody is no model; PDs that tell bads from goods too well are no failure
        status = FAIL if fit.no_slope == EQUAL_PDS else NOT_APPLICABLE
        why = f"the slope cannot be estimated: {fit.no_slope}"
        found["slope"] = replace(found["slope"], status=status, why=why)
    return [*found.values(), *goodness_of_fit(bad, pds)]


def goodness_of_fit(bad: np.ndarray, pds: np.ndarray) -> list[Finding]:
    """Hosmer and Lemeshow's test over tenths of the rows by PD, and Spiegelhalter's z of the Brier score.

    Both are information, watched at most. The judged rows have estimated nothing, so the former has as many degrees of
    freedom as groups.
    """
    statistic, degrees, p = hosmer_lemeshow(bad, pds)
    z, p_of_z = spiegelhalter(bad, pds)
    few = too_few(int(bad.sum()), len(bad))
    return [
        _informative(
            "hosmer_lemeshow", "Hosmer-Lemeshow over tenths by PD: p that PDs are right", p, HOSMER_LEMESHOW, few,
            f"chi-squared {statistic:.2f}; degrees of freedom {degrees}, one a group: these rows estimated nothing",
        ),
        _informative(
            "spiegelhalter", "Spiegelhalter's z of the Brier score: p that PDs are right", p_of_z, SPIEGELHALTER, few,
            f"z {z:+.2f}; says nothing by itself: read it with intercept and slope",
        ),
    ]  # fmt: skip


def _informative(test: str, name: str, p: float, source: str, few: str, why: str) -> Finding:
    """A p-value that is watched when small and never fails."""
    key, text = f"calibration.{test}", f"watch below {FIT_P:g}; never fails: with many rows it rejects any model"
    if few or not isfinite(p):
        return nothing(key, name, few or "no PD leaves anything to chance", text, source)
    return Finding(key, name, p, WATCH if p < FIT_P else PASS, text, source, why)


def left_out(bad: np.ndarray, pds: np.ndarray, names: Sequence[str]) -> Finding:
    """Observed over expected bads with PDs as if nobody had given the optional inputs `names`."""
    key, name, band = "calibration.left_out", "Observed over expected, optional inputs left out", OBSERVED_EXPECTED
    why = "" if names else "the portfolio has no optional input"
    if why := why or too_few(int(bad.sum()), len(bad)):
        return nothing(key, name, why, band.text, band.source)
    found = banded(key, name, observed_to_expected(bad, pds)[0], band)
    told = f"without {', '.join(names)} the AUC is {auc(bad, pds):.4f}"
    return replace(found, why="; ".join(filter(None, (found.why, told))))


def recorded_gate(gate: Mapping | None) -> Finding:
    """What the release gate said in the training run, as the model file records it; None where there was no gate."""
    key, name, source = "calibration.release_gate", "Release gate, as recorded in training", "artifact"
    if gate is None:
        return nothing(key, name, "the model file records no gate", "", source)
    why = "; ".join(gate.get("reasons", ()))
    status = {"pass": PASS, "fail": FAIL}.get(gate["status"], WATCH)
    return Finding(key, name, None, status, "pass; watch with insufficient defaults", source, why)


def jeffreys(bad: np.ndarray, pds: np.ndarray) -> Finding:
    """One-sided Jeffreys test of all judged rows: a small p says that the mean point-in-time PD is too low."""
    p = float(jeffreys_p(float(np.mean(pds)), len(bad), int(bad.sum())))
    why = f"mean point-in-time PD {np.mean(pds):.4f}, bad rate {np.mean(bad):.4f}"
    name = "Jeffreys test of the whole: p that the PD is not too low"
    return Finding("calibration.jeffreys", name, p, JEFFREYS.status(p), JEFFREYS.text(), JEFFREYS.source, why)


def jeffreys_grades(status: Sequence[str], names: Sequence[str]) -> Finding:
    """All grades together, from the status of each: pass, watch (amber), fail (red), not applicable (empty).

    A row has the grade of its served PD; tested is the mean point-in-time PD of the rows in a grade.
    """
    key, name = "calibration.jeffreys_grades", "Grades whose PD is too low (Jeffreys, amber or red)"
    text = "watch: a red grade, or over 20% of grades; fail: 2 red ones, or over 30%"
    tested = [(s, n) for s, n in zip(status, names, strict=True) if s != NOT_APPLICABLE]
    if not tested:
        return nothing(key, name, "no grade holds a row", text, JEFFREYS.source)
    red, amber = [n for s, n in tested if s == FAIL], [n for s, n in tested if s == WATCH]
    share = (len(red) + len(amber)) / len(tested)
    by_share = FAIL if share > AMBER_GRADES.fail else WATCH if share > AMBER_GRADES.watch else PASS
    told = [f"{word}: {', '.join(some)}" for word, some in (("red", red), ("amber", amber)) if some]
    what = "the mean point-in-time PD of the rows served with each grade"
    why = "; ".join([*told, f"{len(tested)} grades tested by {what}, 1 in 20 is amber by chance"])
    result = worst([RED_GRADES.status(len(red)), by_share])
    return Finding(key, name, len(red) + len(amber), result, text, JEFFREYS.source, why, form="{:.0f}")


def brier_skill(bad: np.ndarray, pds: np.ndarray) -> Finding:
    """Brier score against that of the bad rate alone."""
    key, name, text = "calibration.brier_skill", "Brier skill against the bad rate alone", "fail at 0 or below"
    if why := too_few(int(bad.sum()), len(bad)):
        return nothing(key, name, why, text, BRIER_SKILL.source)
    parts = brier(bad, pds)
    status = PASS if parts.skill > BRIER_SKILL.fail else FAIL
    return Finding(key, name, parts.skill, status, text, BRIER_SKILL.source, f"Brier score {parts.score:.4f}")


def brier_table(samples: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> pd.DataFrame:
    """Brier score and its parts (Murphy) of samples, name -> (bad, pds): sample, score, its parts, skill."""
    rows = []
    for name, (bad, pds) in samples.items():
        parts = brier(bad, pds)
        rows.append({"sample": name, **{k: getattr(parts, k) for k in _BRIER}})
    return pd.DataFrame(rows)


_BRIER = ("score", "reliability", "resolution", "uncertainty", "skill")


def reliability(bad: np.ndarray, pds: np.ndarray, groups: int | None = None) -> pd.DataFrame:
    """Groups of about equal expected bads by PD, the safest first, so that each says about as much.

    There are as many, from 4 to 20, as have about BADS_A_GROUP bads, unless their number is given. Rows of one PD are
    never apart, so there may be fewer.

    Columns: rows, bads, mean_pd, bad_rate, low, high (Wilson, 95%).
    """
    groups = groups or int(np.clip(bad.sum() // BADS_A_GROUP, 4, 20))
    levels, at = np.unique(pds, return_inverse=True)
    expected = levels * np.bincount(at)
    middles = np.cumsum(expected) - expected / 2  # of the expected bads of each PD, which has all its rows in one group
    of_level = np.minimum((middles / max(expected.sum(), 1e-300) * groups).astype(int), groups - 1)
    counts = [np.bincount(of_level[at], weights, minlength=groups) for weights in (None, bad, pds)]
    rows, bads, sums = (count[counts[0] > 0] for count in counts)
    bads = bads.astype(np.int64)
    low, high = rate_interval(rows - bads, bads)
    columns = {"rows": rows, "bads": bads, "mean_pd": sums / rows, "bad_rate": bads / rows, "low": low, "high": high}
    return pd.DataFrame(columns)


# --- Concentration ----------------------------------------------------------------------------------------------------


def concentration(counts: np.ndarray, initial: np.ndarray, names: Sequence[str]) -> list[Finding]:
    """Rows by grade, judged (`counts`) and in development (`initial`), both (grades,): largest share, Herfindahl.

    p = 1 - Phi(sqrt(K - 1) (CV - CV initial) / sqrt(CV^2 (1/2 + CV^2))): ECB Instructions (2019), 2.5.5.3.
    """
    counts, initial = np.asarray(counts, dtype=np.float64), np.asarray(initial, dtype=np.float64)
    shares = counts / counts.sum()
    top = int(np.argmax(shares))
    largest = Finding(
        "concentration.largest", "Share of rows in the largest grade", float(shares[top]),
        LARGEST_GRADE.status(shares[top]), LARGEST_GRADE.text("{:.0%}"), LARGEST_GRADE.source, f"grade {names[top]}",
        form="{:.1%}",
    )  # fmt: skip
    key, name = "concentration.herfindahl", "Concentration in grades rose since development: p"
    if len(counts) < 2 or not initial.sum():
        missing = nothing(key, name, "fewer than two grades", CONCENTRATION_P.text(), CONCENTRATION_P.source)
        return [largest, missing]
    (now, index), (then, _) = herfindahl(counts), herfindahl(initial)
    spread = sqrt(now**2 * (0.5 + now**2))
    p = float(norm.sf(sqrt(len(counts) - 1) * (now - then) / spread)) if spread > 0 else 1.0
    why = f"index {index:.3f} (0 even, 1 one grade); CV {now:.3f}, in development {then:.3f}"
    status = CONCENTRATION_P.status(p)
    return [largest, Finding(key, name, p, status, CONCENTRATION_P.text(), CONCENTRATION_P.source, why)]


# --- Benchmark --------------------------------------------------------------------------------------------------------


def other_version(version: str, wanted: str, manifest: Mapping) -> str:
    """The version to compare with: the one wanted, else the champion or challenger that `version` is not; may be "".

    `manifest` is that of the artifacts folder.
    """
    aliases = manifest["aliases"]
    if wanted:
        return aliases.get(wanted, wanted)
    others = [*aliases.values(), *manifest["models"]]
    return next((name for name in others if name != version), "")


def not_comparable(training: Mapping, other: Mapping) -> str:
    """Why another version may know the judged rows; empty when it was trained on the same split."""
    same = all(training.get(name) == other.get(name) for name in ("run", "seed", "split", "rows"))
    return "" if same else f"it was trained in another run ({other.get('run', '')}) and may know these rows"


def plain_logistic(training: Training) -> PDModel:
    """A logistic regression on WOE of the scorecard's candidates, untuned, fitted on the training rows."""
    rows, book = training.part("train"), training.book.portfolio
    return fit_attempt(Attempt(1, "logistic"), rows, training.candidates, book, training.seed)


def benchmark_table(bad: np.ndarray, models: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """PDs of several models on the same rows: model, value (AUC), low, high, gini, brier, oe, slope (NaN: none)."""
    rows = []
    for name, pds in models.items():
        area, fit = auc_interval(bad, pds), calibration_fit(bad, pds)
        rows.append(
            {"model": name, "value": area.value, "low": area.low, "high": area.high, "gini": 2 * area.value - 1}
            | {"brier": brier(bad, pds).score, "oe": fit.observed_to_expected.value, "slope": fit.slope.value}
        )
    return pd.DataFrame(rows)


def against_other(bad: np.ndarray, pds: np.ndarray, other: np.ndarray | None, name: str, why_not: str = "") -> Finding:
    """AUC less that of another version on the same rows, paired (DeLong). None: not comparable, `why_not` says why."""
    key, label = "benchmark.other", f"AUC less that of {name or 'another version'}"
    text = f"watch: significantly worse; fail: by {WORSE_BY.fail:g} or more"
    if why := ("" if other is not None else why_not) or too_few(int(bad.sum()), len(bad)):
        return nothing(key, label, why, text, WORSE_BY.source)
    gap, p = auc_difference(bad, pds, other)
    status = PASS if gap.high >= 0 else WORSE_BY.status(-gap.value)
    why = f"paired DeLong, {p_text(p)}"
    return Finding(key, label, gap.value, status, text, WORSE_BY.source, why, (gap.low, gap.high), "{:+.4f}")


def is_scorecard(model: PDModel) -> bool:
    """Whether its points can add up: bins and a line, no trees."""
    return isinstance(model.design, WoeDesign)


def complexity(bad: np.ndarray, pds: np.ndarray, plain: np.ndarray, *, is_scorecard: bool) -> Finding:
    """What the model adds to a plain logistic regression on WOE, paired (DeLong): complexity should earn its place."""
    key, name = "benchmark.plain", "AUC less that of a plain logistic on WOE"
    text = "watch: trees not significantly better; fail: significantly worse"
    source = "ECB guide to internal models (2025): performance justifies complexity"
    if why := too_few(int(bad.sum()), len(bad)):
        return nothing(key, name, why, text, source)
    gap, p = auc_difference(bad, pds, plain)
    status = FAIL if gap.high < 0 else PASS if is_scorecard or gap.low > 0 else WATCH
    why = f"paired DeLong, {p_text(p)}" + ("; the model is a scorecard itself" if is_scorecard else "")
    return Finding(key, name, gap.value, status, text, source, why, (gap.low, gap.high), "{:+.4f}")


# --- Implementation, and what cannot be tested ------------------------------------------------------------------------


def reproduces(difference: float, allowed: float) -> Finding:
    """That the file's own test vectors give the PDs they gave when it was made."""
    status, why = (PASS, "") if difference <= allowed else (FAIL, "the model does not compute what it did")
    return Finding(
        "implementation.test_vectors", "Test vectors: largest difference of a PD", difference, status,
        f"fail above {allowed:g}", "artifact", why, form="{:.2g}",
    )  # fmt: skip


def same_pds(served: np.ndarray, known: np.ndarray, allowed: float) -> Finding:
    """That judged rows get the same PD as applications: derived features made anew, as the server makes them."""
    difference = float(np.abs(served - known).max())
    status, why = (PASS, f"{len(known):,} rows") if difference <= allowed else (FAIL, "features are not made alike")
    return Finding(
        "implementation.served", "Judged rows scored as applications: largest difference of a PD", difference, status,
        f"fail above {allowed:g}", "one definition of a feature", why, form="{:.2g}",
    )  # fmt: skip


def same_libraries(then: Mapping[str, str], now: Mapping[str, str]) -> Finding:
    """Libraries in another version than at training."""
    other = [f"{name} {then[name]} then, {now.get(name, 'absent')} now" for name in then if then[name] != now.get(name)]
    why = "; ".join(other) or "all as at training"
    return Finding(
        "implementation.libraries", "Libraries in another version than at training", len(other),
        WATCH if other else PASS, "watch from 1", "artifact", why, form="{:.0f}",
    )  # fmt: skip


def not_computable(book: Portfolio, calibration: Calibration) -> list[Finding]:
    """Tests that a validation unit expects and that this book does not allow, each with the reason."""
    once = "each applicant is graded once, at application; a migration needs two gradings of one customer"
    cycle = "PDs are point-in-time: calibrated to the outcomes of the training rows, not to a cycle"
    if calibration.long_run is not None:
        cycle = f"PDs are shifted to a given rate of {calibration.long_run:.2%}; the book does not hold a whole cycle"
    granted = f"{book.title}: an outcome is known only where credit was granted"
    return [
        nothing("scope.migrations", "Customer migrations (upper and lower MWB)", once, "", f"{ECB}, 2.5.5.1"),
        nothing("scope.migration_matrix", "Stability of the migration matrix", once, "", f"{ECB}, 2.5.5.2"),
        nothing(
            "scope.exposure", "Concentration by exposure", "the portfolio declares no exposure", "", f"{ECB}, 2.5.5.3"
        ),
        nothing("scope.overrides", "Overrides of grades by people", "the book holds no decisions of people", "", ECB),
        nothing("scope.long_run", "PD against the long-run average default rate", cycle, "", "EBA/GL/2017/16"),
        nothing("scope.rejected", "Performance on applicants who were declined", granted, "", "practice"),
    ]


# --- Words of the report ----------------------------------------------------------------------------------------------


def selection_table(funnel: pd.DataFrame, features: Sequence[str]) -> pd.DataFrame:
    """The funnel of training with whether the model reads each column: column, in_model, status, reason, iv, vif."""
    read = np.where(funnel["column"].isin(features), "yes", "no")
    return funnel.assign(in_model=read)[["column", "in_model", "status", "reason", "iv", "vif"]]


def definition_table(book: Portfolio, as_of: str) -> pd.DataFrame:
    """What bad means, as the portfolio says it: item, meaning."""
    target = book.target
    aside = [*target.exclusions, *(f"{target.column} = {value}" for value in target.indeterminate)]
    rows = {
        "bad": target.definition,
        "in the data": f"{target.column}: bad is {_list(target.bad)}, good is {_list(target.good)}",
        "days past due": str(target.days_past_due or "not declared"),
        "outcome window": f"{target.performance_months} months" if target.performance_months else "not declared",
        "observed from": target.observation_date or "no date in the data",
        "outcomes read on": as_of,
        "set aside by declaration": ", ".join(aside) or "nothing",
    }
    return pd.DataFrame({"item": list(rows), "meaning": list(rows.values())})


def _list(values: Iterable) -> str:
    return " or ".join(map(str, values))


def model_table(training: Mapping, model: PDModel, version: str) -> pd.DataFrame:
    """What the model file says of how the model was made: item, is."""
    calibration, kind = model.calibration, "scorecard" if is_scorecard(model) else "trees"
    seen = "each scored by a model that has not seen it"
    params = ", ".join(f"{name} {value:.4g}" for name, value in training["params"].items())
    rows = {
        "version": f"{version}: {training['attempt']}",
        "kind": f"{kind}, {len(model.features)} columns",
        "parameters": params or "those of the family",
        "resampling": training["resampling"],
        "why this one": training["why"],
        "calibration": f"{calibration.method} on {calibration.rows:,} training rows with {calibration.bads:,} bads, "
        f"{seen}; {calibration.pd_kind}. {calibration.why}",
        "reads": ", ".join(model.features),
        "overrides": ", ".join(training.get("overrides", {}).get("variables", {})) or "none",
    }
    return pd.DataFrame({"item": list(rows), "is": list(rows.values())})


def limits_of_use(book: Portfolio, dates: pd.Series | None, calibration: Calibration, *, synthetic: bool) -> list[str]:
    """What the model is not for, in sentences. `dates` are of all rows it was made of or judged on, `calibration` is
    that of the served model."""
    target = book.target
    months = f"within {target.performance_months} months" if target.performance_months else "in the outcome window"
    told = [
        f"A PD is the probability of this outcome {months}: {target.definition}. It is no lifetime PD (IFRS 9), and a "
        "loss needs exposure and loss given default, which are not modelled.",
        "PDs are point-in-time: their level is that of the training rows. They are not calibrated to a long-run "
        "average."
        if calibration.long_run is None
        else f"PDs are through-the-cycle: shifted to a long-run rate of {calibration.long_run:.2%}. Grades and the "
        "cut-off are of these PDs; outcomes judge the point-in-time PDs, those before the shift.",
        "Outcomes exist only where a loan was granted. How the model ranks applicants who used to be declined is not "
        "known, and a lower cut-off takes it there.",
    ]
    if dates is not None:
        told.append(
            f"It is known to hold for loans from {dates.min():%Y-%m-%d} to {dates.max():%Y-%m-%d}; later ones need "
            "monitoring."
        )
    soft = {"below": [], "above": []}
    for name, column in book.inputs.items():
        for word, limit in (("below", column.warn_below), ("above", column.warn_above)):
            soft[word] += [f"{column.label or name} {word} {number_text(limit)}"] if limit is not None else []
    if said := soft["below"] + soft["above"]:
        told.append(f"Beyond these values training has seen little: {', '.join(said)}.")
    optional = [c.label or n for n, c in book.inputs.items() if c.role == "optional"]
    told.append(
        "Every input is required" + (f", but for {', '.join(optional)}." if optional else ".")
        + " Values outside the hard limits are refused, not scored."
    )  # fmt: skip
    audited = [n for n, rule in book.restricted.items() if rule.use == "audit"]
    if audited:
        told.append(
            f"The fairness screen covers {', '.join(book.restricted)}, at one cut-off. It is no legal opinion, and it "
            "says nothing about attributes that the book does not hold."
        )
    if synthetic:
        told.append("The embedded book is made from a rule, not from lenders' records: its figures flatter any model.")
    return told


REFERENCES_AS_OF = "2026-11"
REFERENCES = (
    (
        "SR 26-2, OCC Bulletin 2026-13, FDIC FIL-15-2026",
        "Of 17 Apr 2026; take the place of SR 11-7 and OCC 2011-12. Principles; timing of validation by risk.",
        "the report as a whole",
    ),
    (
        "ECB Instructions, validation reporting",
        "Edition of Feb 2019, the latest known.",
        "Jeffreys, AUC, concentration",
    ),
    (
        "ECB guide to internal models",
        "Revised 28 Jul 2025: models of machine learning are explainable, performance justifies complexity.",
        "benchmark, sensitivity",
    ),
    ("CRR art. 185; EBA/GL/2017/16", "In force; PDs of rating systems, long-run averages.", "calibration, scope"),
    (
        "Regulation B, 12 CFR 1002.6(b)(2)",
        "In force: age in a scoring system may not count against applicants of 62 or over.",
        "sensitivity",
    ),
    ("Regulation B, 12 CFR 1002.9(b)(2)", "In force: specific principal reasons to the applicant.", "not tested here"),
    (
        "Regulation B, effects test",
        "Final rule of 22 Apr 2026 took it out from 21 Jul 2026; state law and other acts remain.",
        "fairness screen",
    ),
    ("29 CFR 1607.4(D), four-fifths rule", "Made for employment; never a rule of lending.", "fairness screen"),
    ("CFPB Circular 2022-03", "Withdrawn 12 May 2025.", "none"),
    (
        "EU AI Act, annex III 5(b)",
        "Creditworthiness of natural persons is high-risk; duties from 2 Dec 2027, publication to be confirmed.",
        "logs, monitoring",
    ),
    ("IFRS 9", "Lifetime PDs, forward-looking: another object than these.", "limits of use"),
)
"""Document, its state as known at REFERENCES_AS_OF, where this report touches it. Check before relying on it."""
