"""Recalibration: a model as it is with a new calibration map, fitted on its own matured predictions in the log.

Only months that the outcome report judges count: their performance window is over and enough of their outcomes are
known, as bads are known before goods are. The earlier part of them fits the map; the later part judges it, and no map
is ever fitted on it. The order of applicants stays as it is, so ranking figures of the training run still hold; the
level, and where there are bads enough the spread, of the PDs is that of the newest outcomes.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy.special import expit, logit

from creditrisk.errors import DataError, TooFewOutcomes
from creditrisk.modelling.calibration import Calibration, fit_calibration
from creditrisk.modelling.findings import FEWEST_BADS
from creditrisk.modelling.gates import Gate, release_gate
from creditrisk.modelling.metrics import EDGE, evaluate
from creditrisk.modelling.train import MIN_BADS
from creditrisk.modelling.validation import fingerprint
from creditrisk.monitoring.checks import SCORES
from creditrisk.monitoring.cohorts import month_of
from creditrisk.monitoring.outcomes import EARNEST, PERFORMANCE_MONTHS, judge
from creditrisk.serving.log import PredictionLog
from creditrisk.serving.model import ModelData, input_arrays, library_versions

YEARS = (1, 2, 3, 5, 10)
"""The newest years that are used: one, so that every season counts once, more only where they hold too few bads."""
FIT_SHARE = 0.6
"""Share of these predictions, the earlier ones, that the map is fitted on."""
FIT_BADS, JUDGE_BADS = MIN_BADS, FEWEST_BADS
"""Fewer bads, or goods, than these do not fit a map, and do not judge one."""
RANKING = ("auc", "auc_low", "auc_high", "gini", "ks")
"""Figures of the training run's test rows that no new map changes, since it keeps the order of applicants."""
PAGE = 5_000
ROUNDING = 1e-9
"""Of PDs, as a share of them."""
TOLERANCE = 1e-6
"""By how much a PD that is made again from logged features may differ from the logged one."""


@dataclass(frozen=True)
class Matured:
    """Logged predictions whose outcome is final, oldest first.

    `columns` are the features by name (n,), `bad` 0/1 (n,), `at` the times of prediction, datetime64 UTC (n,).
    """

    columns: dict[str, np.ndarray]
    bad: np.ndarray
    at: np.ndarray

    def __len__(self) -> int:
        return len(self.bad)

    @property
    def bads(self) -> int:
        return int(self.bad.sum())

    def take(self, rows: np.ndarray) -> Matured:
        """Some of them: a mask, bool (n,)."""
        return Matured({name: one[rows] for name, one in self.columns.items()}, self.bad[rows], self.at[rows])

    def has(self, least: int) -> bool:
        """Whether there are so many bads, and so many goods."""
        return min(self.bads, len(self) - self.bads) >= least

    def in_words(self) -> str:
        return f"{len(self):,} predictions from {self.span}, {self.bads:,} bads" if len(self) else "no predictions"

    @property
    def span(self) -> str:
        """From when to when they were made; there is one at least."""
        return " to ".join(f"{pd.Timestamp(one):%Y-%m-%d}" for one in (self.at[0], self.at[-1]))

    def described(self) -> dict:
        """What the model file keeps of them, so that they can be read again."""
        return {
            "rows": len(self),
            "bads": self.bads,
            "since": _iso(self.at[0]),
            "until": _iso(self.at[-1] + np.timedelta64(1, "us")),
            "sha256": fingerprint(self.columns, self.bad),
        }


def _iso(moment: np.datetime64) -> str:
    return pd.Timestamp(moment).tz_localize("UTC").isoformat()


# --- Reading ----------------------------------------------------------------------------------------------------------


def moment_of(as_of: str) -> dt.datetime:
    """The moment as of which outcomes are known: the midnight (UTC) at which an ISO day begins, now when empty."""
    return dt.datetime.combine(dt.date.fromisoformat(as_of), dt.time(), dt.UTC) if as_of else dt.datetime.now(dt.UTC)


def lineage(data: ModelData) -> list[tuple[str, str]]:
    """(version, hash) of the model and of those it was recalibrated from: the same model, so the same margins."""
    before = data.training.get("recalibration", {}).get("lineage", [])
    return [(data.version, data.sha256), *((version, sha256) for version, sha256 in before)]


@dataclass(frozen=True)
class Parts:
    """The newest matured predictions: the earlier part to fit on, the later to judge. `since` is the first month that
    was read, in months since year 0."""

    fitted: Matured
    judged: Matured
    since: int

    @property
    def lines(self) -> list[str]:
        """In words, as lines."""
        return [f"fitted on {self.fitted.in_words()}", f"judged on {self.judged.in_words()}, none of which it knows"]


def newest(data: ModelData, log: PredictionLog, as_of: dt.datetimetime) -> Parts:
    """The newest matured predictions of a model, as of a moment, in two parts by time.

    Those of one year back if that is enough, else of more. Raises TooFewOutcomes with the numbers when all are not.
    """
    months, why = _judged_months(data, log, as_of)
    last = max((month for found in months.values() for month in found), default=0)
    for years in YEARS:
        since = last + 1 - 12 * years
        found = _matured(data, log, as_of, months, since)
        fitted, judged = _split(found)
        if fitted.has(FIT_BADS) and judged.has(JUDGE_BADS):
            return Parts(fitted, judged, since)
    parts = f"{len(fitted):,} with {fitted.bads:,} bads and {len(judged):,} with {judged.bads:,}"
    raise TooFewOutcomes(
        f"too few matured outcomes of {data.version} to recalibrate on: {len(found):,} predictions of mature and "
        f"complete months have an outcome (by time, {parts}); needed are {FIT_BADS} bads and {FIT_BADS} goods in the "
        f"earlier part to fit on, {JUDGE_BADS} and {JUDGE_BADS} in the later to judge by. {why}".strip()
    )


def _judged_months(
    data: ModelData, log: PredictionLog, as_of: dt.datetimetime
) -> tuple[dict[tuple[str, str], set[int]], str]:
    """By model of the lineage, the months whose outcomes are mature and complete; and why those of the model itself,
    in words, where there are none."""
    months, told = {}, f"{data.version} has made no prediction in earnest."
    for version, sha256 in lineage(data):
        if not log.followed(version, sha256, 1, purposes=EARNEST, until=as_of):
            continue
        report = judge(log, replace(data, version=version, sha256=sha256), as_of=as_of)
        months[version, sha256] = {one.first for one in report.judged}
        if version == data.version:
            told = "" if report.judged else f"{report.reason[:1].upper()}{report.reason[1:]}."
    return months, told


def _matured(
    data: ModelData, log: PredictionLog, as_of: dt.datetimetime, months: Mapping[tuple[str, str], set[int]], since: int
) -> Matured:
    """The predictions of some months, from month `since` on, with their final outcomes; of several predictions of one
    application the first. Raises DataError when logged features do not give the logged PDs."""
    rows = [
        row
        for (version, sha256), known in months.items()
        for row in _pages(log, version, sha256, {month for month in known if month >= since})
        if row["observed_at"] <= as_of and row["features"] is not None and not _is_early(row, data)
    ]
    rows = _first_of_each_application(rows)
    features = {name: [row["features"].get(name) for row in rows] for name in data.features}
    columns = input_arrays(features, data.portfolio)
    bad = np.array([row["bad"] for row in rows], dtype=np.int8)
    at = np.array([row["predicted_at"].replace(tzinfo=None) for row in rows], dtype="datetime64[us]")
    _stop_if_other_pds(data, columns, rows)
    return Matured(columns, bad, at)


def _is_early(row: Mapping, data: ModelData) -> bool:
    """Whether a good was seen before its own window had passed: it may still turn bad."""
    months = data.portfolio.target.performance_months or PERFORMANCE_MONTHS
    return not row["bad"] and month_of(row["observed_at"]) < month_of(row["predicted_at"]) + months


def _pages(log: PredictionLog, version: str, sha256: str, months: set[int]) -> Iterator[dict]:
    """Predictions of these months with their outcomes."""
    if not months:
        return
    since, until = (
        dt.datetime(month // 12, month % 12 + 1, 1, tzinfo=dt.UTC) for month in (min(months), max(months) + 1)
    )
    last = None
    while page := log.outcomes_of_model(version, sha256, PAGE, last, purposes=EARNEST, since=since, until=until):
        last = page[-1]["id"]
        yield from (row | {"version": version} for row in page if month_of(row["predicted_at"]) in months)


def _first_of_each_application(rows: list[dict]) -> list[dict]:
    kept, known = [], set()
    for row in sorted(rows, key=lambda row: (row["predicted_at"], row["prediction_id"])):
        application = row["application_id"]
        if application is None or application not in known:
            kept.append(row)
            known.add(application)
    return kept


def _stop_if_other_pds(data: ModelData, columns: dict[str, np.ndarray], rows: list[dict]) -> None:
    mine = np.array([row["version"] == data.version for row in rows], dtype=bool)
    if not mine.any():
        return
    made = data.model.pd({name: one[mine] for name, one in columns.items()})
    said = np.array([row["pd"] for row in rows])[mine]
    if wrong := int((~(np.abs(made - said) <= TOLERANCE)).sum()):
        raise DataError(
            f"{wrong:,} of {len(said):,} logged predictions of {data.version} do not come out as logged when they are "
            "made again from the logged features; creditrisk replay ID shows one of them. Nothing is fitted on these"
        )


def _split(found: Matured) -> tuple[Matured, Matured]:
    """Earlier and later predictions; those of one moment stay together."""
    if not len(found):
        return found, found
    start = found.at[min(int(len(found) * FIT_SHARE), len(found) - 1)]
    return found.take(found.at < start), found.take(found.at >= start)


# --- Fitting ----------------------------------------------------------------------------------------------------------


def recalibrate(
    champion: ModelData, version: str, parts: Parts, *, why: str, run: str, as_of: dt.datetime
) -> ModelData:
    """The champion's model under another version, with a map fitted on the earlier part and a gate of the later.

    A shift or Platt's line, by the rule of training; PDs that were aimed at a long-run rate are aimed at it again, on
    the rows of the fit. Cut-off, reasons and the baseline of the results move with the map, so that the same applicants
    are approved, for the same reasons.
    """
    fitted, judged = parts.fitted, parts.judged
    old, margin = champion.model.calibration, champion.model.margin(fitted.columns)
    fresh = fit_calibration(fitted.bad, margin)
    told = f"{fitted.bads:,} bads" + (f" and slope {fresh.slope:.3f}" if fresh.method == "platt" else "; level only")
    fresh = replace(fresh, why=f"{told}; recalibrated on matured predictions of {champion.version}")
    shipped = fresh if old.long_run is None else fresh.aimed_at(old.long_run, margin)
    model = champion.model.calibrated(shipped)
    moved = _moved(old, shipped)
    threshold = float(moved(np.array([champion.threshold]))[0])
    pds = model.point_in_time.pd(judged.columns)
    gate = release_gate(judged.bad, pds)
    return replace(
        champion,
        version=version,
        model=model,
        threshold=threshold,
        reasons=_moved_reasons(champion, shipped, moved),
        baseline=moved_baseline(champion, moved),
        metrics={
            "test": {name: value for name, value in champion.metrics["test"].items() if name in RANKING},
            "cv": champion.metrics["cv"],
            "judged": {name: value for name, value in evaluate(judged.bad, pds, threshold).items() if value == value},
            "gate": gate.to_dict(),
        },
        training=_training(champion, parts, why, run, as_of),
        versions=library_versions(),
        test_vectors=_vectors(champion, model),
        sha256="",
        card=None,
    )


def champion_gate(champion: ModelData, judged: Matured) -> Gate:
    """What the release gate says of the PDs that are in force, on the rows that judge the new ones."""
    return release_gate(judged.bad, champion.model.point_in_time.pd(judged.columns))


def _training(champion: ModelData, parts: Parts, why: str, run: str, as_of: dt.datetime) -> dict:
    """What the file says of its making: all of the training run, which still names the rows that it has not seen, and
    the recalibration."""
    training = champion.training
    source = training.get("source", {})
    return training | {
        "created": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "source": source | {"as_of": source.get("as_of") or training["created"][:10]},
        "recalibration": {
            "of": champion.version,
            "of_sha256": champion.sha256,
            "lineage": [list(one) for one in lineage(champion)],
            "trained": training["created"],
            "run": run,
            "why": why,
            "as_of": as_of.isoformat(),
            "read_since": parts.since,
            "fitted": parts.fitted.described(),
            "judged": parts.judged.described(),
        },
    }


def _vectors(champion: ModelData, model) -> dict:
    vectors = champion.test_vectors
    columns = champion.columns(input_arrays(vectors["inputs"], champion.portfolio))
    return vectors | {"pd": model.pd(columns).tolist()}


def margin_of(calibration: Calibration, odds: np.ndarray) -> np.ndarray:
    """The margins that have these calibrated log-odds, float64 (n,): the map backwards."""
    shape = np.asarray(odds, dtype=np.float64) - calibration.intercept
    if not calibration.knots:
        return shape / calibration.slope
    margins, values = np.array(calibration.knots, dtype=np.float64).T
    inside = np.interp(shape, values, margins)
    beyond = np.clip(shape - values[-1], 0, None) + np.clip(shape - values[0], None, 0)
    return inside + beyond / calibration.slope


def _moved(old: Calibration, new: Calibration) -> Callable[[np.ndarray], np.ndarray]:
    """From PDs of the old map to those of the new one for the same applicants."""

    def moved(pds: np.ndarray) -> np.ndarray:
        odds = logit(np.clip(np.asarray(pds, dtype=np.float64), EDGE, 1 - EDGE))
        return expit(new.log_odds(margin_of(old, odds)))

    return moved


def _moved_reasons(champion: ModelData, new: Calibration, moved: Callable[[np.ndarray], np.ndarray]):
    """The same rows near the cut-off: contributions grow with the slope of the map, and PDs move with it."""
    reasons, ratio = champion.reasons, new.slope / champion.model.calibration.slope
    named = [name for name in ("cut_off", "lowest_pd", "highest_pd") if name in reasons.basis]
    basis = dict(zip(named, moved(np.array([reasons.basis[name] for name in named])).tolist(), strict=True))
    return replace(reasons, baseline=tuple(one * ratio for one in reasons.baseline), basis=reasons.basis | basis)


def moved_baseline(champion: ModelData, moved: Callable[[np.ndarray], np.ndarray]) -> dict:
    """The drift baseline with the PDs of the training rows as the new map gives them; inputs stay as they are.

    Scores are left out: they are whole numbers, so that their counts cannot be moved, and they are made of the PD,
    which is watched.
    """
    results = [one for one in champion.baseline.get("scores", []) if one["name"] == SCORES[0]]
    return champion.baseline | {"scores": [_moved_column(one, moved) for one in results]}


def _moved_column(one: Mapping, moved: Callable[[np.ndarray], np.ndarray]) -> dict:
    """The summary of a column of PDs. Edges move with the map, so that counts stay; mean and deviation are those of the
    bins' middles."""
    if one["mean"] is None:
        return dict(one)
    edges = np.array(one["edges"], dtype=np.float64)
    if one["std"] == 0 or not len(edges):
        mean, std = float(moved(np.array([one["mean"]]))[0]), one["std"]
    else:
        middles = moved(np.concatenate([[edges[0] / 2], (edges[:-1] + edges[1:]) / 2, [(edges[-1] + 1) / 2]]))
        weights = np.array(one["counts"], dtype=np.float64)
        mean = float(np.average(middles, weights=weights))
        std = float(np.sqrt(np.average((middles - mean) ** 2, weights=weights)))
    # Edges are PDs that rows have, and an upper one of a bin of one value is the next float: rounding must not part
    # these rows from their bin.
    beside = np.isin(edges, np.nextafter(edges, np.inf))
    turned = moved(edges) * np.where(beside, 1 + ROUNDING, 1 - ROUNDING)
    return dict(one) | {"edges": np.maximum.accumulate(turned).tolist(), "mean": mean, "std": std}


# --- Judging again ----------------------------------------------------------------------------------------------------


def judged_again(candidate: ModelData, champion: ModelData, log: PredictionLog) -> tuple[Matured, list[str]]:
    """The logged rows that a recalibrated version was judged on, read again, and what is to be known of them.

    Raises DataError when the champion is another model by now: these rows say nothing about it.
    """
    said = candidate.training["recalibration"]
    if (champion.version, champion.sha256) not in lineage(candidate):
        raise DataError(
            f"{candidate.version} is {said['of']} with another calibration, and the champion is {champion.version} by "
            "now, another model; recalibrate that one: creditrisk retrain"
        )
    as_of = dt.datetime.fromisoformat(said["as_of"])
    months, _ = _judged_months(candidate, log, as_of)
    found = _matured(candidate, log, as_of, months, said["read_since"])
    since, until = (np.datetime64(said["judged"][name].removesuffix("+00:00")) for name in ("since", "until"))
    found, notes = found.take((found.at >= since) & (found.at < until)), []
    if not len(found):
        raise DataError(f"the log no longer holds the predictions that judged {candidate.version}")
    if fingerprint(found.columns, found.bad) != said["judged"]["sha256"]:
        then = f"{said['judged']['rows']:,} with {said['judged']['bads']:,} bads then"
        notes.append(
            f"the rows that judged {candidate.version} are no longer the same: {then}, {found.in_words()} now; "
            "outcomes were corrected, or predictions purged"
        )
    return found, notes
