"""Predictions and what became of them: vintage by vintage, and the verdict on the model.

Only a vintage whose performance window has wholly passed is judged, and only where enough of its outcomes are known.
Of all others the report holds no figure of an outcome. Until then PDs alone are asked what to expect.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, date, datetime
from math import isfinite
from typing import Any

import numpy as np
import pandas as pd

from creditrisk.errors import ParameterError
from creditrisk.modelling.findings import OBSERVED_EXPECTED, p_text, too_few
from creditrisk.modelling.inference import Interval
from creditrisk.modelling.metrics import auc
from creditrisk.monitoring.cohorts import (
    MONTHS,
    UNKNOWN,
    Followed,
    first_months,
    matures,
    month_name,
    month_of,
    read_followed,
    vintage_name,
)
from creditrisk.monitoring.estimation import ESTIMATED, expected_auc, expected_brier, expected_rate
from creditrisk.monitoring.judgement import (
    AMBER,
    NOT_EVALUABLE,
    RED,
    Judged,
    Reference,
    judge_loans,
    point_in_time,
)
from creditrisk.serving.log import PredictionLog
from creditrisk.serving.model import ModelData
from creditrisk.serving.records import PURPOSES, one_of

NO_OUTCOME, NO_ACTION, WATCH, RECALIBRATE, REDEVELOP = (
    "no outcome yet", "no action", "watch", "recalibrate", "redevelop"
)  # fmt: skip
VERDICTS = (NO_OUTCOME, NO_ACTION, WATCH, RECALIBRATE, REDEVELOP)
JUDGED, IMMATURE, INCOMPLETE = "judged", NO_OUTCOME, "incomplete"
"""What a vintage may be."""
POOLED = "all judged"
EARNEST = ("production", "file")
PERFORMANCE_MONTHS = 12
COMPLETE = 0.8
"""Share of granted loans whose outcome must be known. Those that are missing are seldom a fair draw: goods are reported
late, or bads first. A lender whose applicants often do not take up what was granted lowers it, or reports decisions."""
HOW_LIT = (
    "Level: Jeffreys p below 0.05 is amber, below 0.01 red where observed over expected is 1.1 or more. Grades: the "
    "same, by p after Holm's correction over the grades of a vintage, so that any false amber has a chance of 5% at "
    "most. Discrimination: a fall of the Gini by 10% is amber, by 20% red, where chance does not explain it (p below "
    "0.05, 0.01). Slope: amber outside 0.9 to 1.1 when its interval leaves out 1, red when the interval lies outside."
)


@dataclass(frozen=True)
class Rules:
    """How outcomes are judged: as of when, vintages of a month or quarter, months of the performance window, and the
    share of loans whose outcome must be known."""

    as_of: datetime
    by: str = "month"
    months: int = PERFORMANCE_MONTHS
    complete: float = COMPLETE

    def __post_init__(self) -> None:
        if self.by not in MONTHS:
            raise ParameterError(f"by={self.by!r} is no vintage; use one of {', '.join(MONTHS)}")
        if not 1 <= self.months <= 600:
            raise ParameterError(f"months={self.months}: a performance window has 1 to 600 months")
        if not 0 < self.complete <= 1:
            raise ParameterError(f"complete={self.complete}: give a share above 0, up to 1")


@dataclass(frozen=True)
class Vintage:
    """The predictions of one month or quarter. `matures` is the day from which it can be judged, ISO.

    `status` is judged, no outcome yet, or incomplete, with the reason in `why`. `loans` are those granted, `known`
    those of them whose outcome is known, `missing` the others; `early` were goods when last seen, before their window
    had passed, and count as missing; `late` are bads seen after it. All of these are None of an immature vintage, and
    `judged` is None of all that is not judged.
    """

    vintage: str
    first: int
    matures: str
    status: str
    why: str
    predictions: int
    loans: int | None = None
    known: int | None = None
    missing: int | None = None
    early: int | None = None
    late: int | None = None
    judged: Judged | None = None


@dataclass(frozen=True)
class Estimate:
    """What the PDs of one month expect: of all its predictions, and of its loans. Rates are fractions.

    `loans` are those with an outcome where the vintage is judged, else those granted; `rate_low` to `rate_high` is
    where their default rate lies if the PDs are right. `realised_*` are known of judged vintages only.
    """

    month: str
    predictions: int
    mean_pd: float
    brier: float
    auc: float
    loans: int
    rate: float
    rate_low: float
    rate_high: float
    loans_brier: float
    loans_auc: float
    realised_rate: float | None = None
    realised_brier: float | None = None
    realised_auc: float | None = None


@dataclass(frozen=True)
class OutcomeReport:
    """Outcomes of a model as of a moment. Data first: `to_dict()` for JSON; `cohorts`, `grades`, `estimated` as frames.

    `verdict` is one of VERDICTS, `reasons` say why, `warnings` what to keep in mind. `segments` has the same for each
    level of an input, when asked; their verdicts are for looking, as among twenty one is amber by chance.
    """

    model_version: str
    model_sha256: str
    rules: Rules
    reference: Reference
    vintages: tuple[Vintage, ...]
    pooled: Judged | None
    estimates: tuple[Estimate, ...]
    verdict: str
    reasons: tuple[str, ...]
    warnings: tuple[str, ...]
    segment: str = ""
    segments: Mapping[str, OutcomeReport] = field(default_factory=dict)

    @property
    def reason(self) -> str:
        """Why the verdict, in one text."""
        return "; ".join(self.reasons)

    @property
    def judged(self) -> tuple[Vintage, ...]:
        """The vintages that are judged, oldest first."""
        return tuple(one for one in self.vintages if one.judged is not None)

    @property
    def cohorts(self) -> pd.DataFrame:
        """One row a vintage, then all judged ones together; figures are missing where nothing is judged."""
        return pd.DataFrame(self._cohort_rows(), columns=[*COUNTS, *FIGURES])

    @property
    def grades(self) -> pd.DataFrame:
        """One row for each vintage and grade that holds loans, then those of all judged vintages together."""
        return pd.DataFrame(self._grade_rows(), columns=["vintage", *GRADE_COLUMNS])

    def _cohort_rows(self) -> list[dict[str, Any]]:
        rows = [_counts(one) | _figures(one.judged) for one in self.vintages]
        return rows if self.pooled is None else [*rows, _counts(_all(self.judged)) | _figures(self.pooled)]

    def _grade_rows(self) -> list[dict[str, Any]]:
        sets = [(one.vintage, one.judged) for one in self.judged]
        sets += [(POOLED, self.pooled)] if self.pooled is not None else []
        return [{"vintage": name} | _flat(grade) for name, judged in sets for grade in judged.grades]

    @property
    def estimated(self) -> pd.DataFrame:
        """One row a month, whether its outcomes are known or not: estimated; blind to concept drift."""
        names = [one.name for one in fields(Estimate)]
        frame = pd.DataFrame([asdict(one) for one in self.estimates], columns=names)
        return frame.astype({name: "float64" for name in names if name.startswith("realised_")})

    @property
    def by_segment(self) -> pd.DataFrame:
        """One row a segment: segment, verdict, and the figures of its judged vintages together."""
        rows = [{"segment": n, "verdict": r.verdict, **_figures(r.pooled)} for n, r in self.segments.items()]
        return pd.DataFrame(rows, columns=["segment", "verdict", *FIGURES])

    @property
    def headline(self) -> str:
        """The verdict in one line."""
        count = len(self.judged)
        what = f"{count} of {len(self.vintages)} vintages judged"
        if self.pooled is not None:
            what += f", {self.pooled.defaults:,} defaults among {self.pooled.n:,} loans"
        return f"outcomes: {self.verdict}; {what}"

    def to_dict(self) -> dict:
        """Plain data for JSON, which knows no NaN: None is not known."""
        return _plain(
            {
                "verdict": self.verdict,
                "reasons": self.reasons,
                "warnings": self.warnings,
                "model_version": self.model_version,
                "model_sha256": self.model_sha256,
                "as_of": self.rules.as_of.isoformat(),
                "by": self.rules.by,
                "performance_months": self.rules.months,
                "complete": self.rules.complete,
                "validation_auc": self.reference.auc,
                "lights": HOW_LIT,
                "cohorts": [dict.fromkeys((*COUNTS, *FIGURES)) | row for row in self._cohort_rows()],
                "grades": self._grade_rows(),
                "estimated": {"label": ESTIMATED, "months": [asdict(one) for one in self.estimates]},
                "segment": self.segment,
                "segments": {name: report.to_dict() for name, report in self.segments.items()},
            }
        )


# --- Making a report --------------------------------------------------------------------------------------------------


def judge(
    log: PredictionLog,
    data: ModelData,
    *,
    as_of: datetime | date | str = "",
    by: str = "month",
    months: int = 0,
    complete: float = COMPLETE,
    purposes: Sequence[str] = EARNEST,
    segment: str = "",
) -> OutcomeReport:
    """The outcomes of a model in the log, judged as of a moment (a day is its midnight UTC; empty is now).

    `months` of the performance window are those of the portfolio, else 12, when 0. Predictions that were not meant in
    earnest (what-ifs, shadows, backfills) count only when `purposes` names them. `segment` is a category among the
    inputs. Reads the log in pages. Raises ParameterError for what cannot be asked, LogError when the model has made no
    prediction.
    """
    for purpose in purposes:
        one_of("purpose", purpose, PURPOSES)
    months = months or data.portfolio.target.performance_months or PERFORMANCE_MONTHS
    rules = Rules(_moment(as_of), by, months, complete)
    followed = read_followed(log, data, rules.as_of, purposes, segment)
    calibration = data.model.calibration
    reference = Reference(float(data.metrics["test"]["auc"]), data.portfolio.grades, calibration.offset)
    return judge_followed(followed, reference, rules, data.version, data.sha256, segment)


def _moment(as_of: datetime | date | str) -> datetime:
    if as_of == "":
        return datetime.now(UTC)
    if isinstance(as_of, str):
        try:
            as_of = datetime.fromisoformat(as_of)
        except ValueError:
            raise ParameterError(f"as_of={as_of!r} is not a date such as 2026-01-31") from None
    if not isinstance(as_of, datetime):
        as_of = datetime(as_of.year, as_of.month, as_of.day)
    return as_of if as_of.tzinfo else as_of.replace(tzinfo=UTC)


def judge_followed(
    followed: Followed,
    reference: Reference,
    rules: Rules,
    model_version: str = "",
    model_sha256: str = "",
    segment: str = "",
) -> OutcomeReport:
    """The report on predictions that were read already; with `segment`, one for each of their levels, too."""
    report = _report(followed, reference, rules, model_version, model_sha256)
    if not segment:
        return report
    levels = sorted(range(len(followed.levels)), key=followed.levels.__getitem__)
    segments = {
        followed.levels[place]: _report(
            followed.only(followed.segment == place), reference, rules, model_version, model_sha256
        )
        for place in levels
    }
    values = {one.name: getattr(report, one.name) for one in fields(report)}
    return OutcomeReport(**values | {"segment": segment, "segments": segments})


def _report(followed: Followed, reference: Reference, rules: Rules, version: str, sha256: str) -> OutcomeReport:
    bad = followed.outcomes(rules.months)
    first = first_months(followed.month, rules.by)
    vintages = tuple(
        _vintage(followed.only(first == one), bad[first == one], int(one), reference, rules) for one in np.unique(first)
    )
    judged = [one.first for one in vintages if one.judged is not None]
    rows = np.isin(first, judged) & (bad != UNKNOWN)
    pooled = judge_loans(bad[rows], followed.pd[rows], reference) if judged else None
    verdict, reasons = decide(vintages, pooled, rules)
    return OutcomeReport(
        model_version=version,
        model_sha256=sha256,
        rules=rules,
        reference=reference,
        vintages=vintages,
        pooled=pooled,
        estimates=_estimates(followed, bad, np.isin(first, judged), reference),
        verdict=verdict,
        reasons=reasons,
        warnings=_warnings(followed, vintages, reference),
    )


def _vintage(mine: Followed, bad: np.ndarray, first: int, reference: Reference, rules: Rules) -> Vintage:
    """One vintage, judged where it is mature and enough of its outcomes are known."""
    from_month = matures(first, rules.by, rules.months)
    start = f"{month_name(from_month)}-01"
    named = {"vintage": vintage_name(first, rules.by), "first": first, "matures": start, "predictions": len(mine)}
    if month_of(rules.as_of) < from_month:
        return Vintage(**named, status=IMMATURE, why=f"its window ends on {start}")
    known = bad != UNKNOWN
    loans = int((mine.granted | known).sum())
    counts = {
        "loans": loans,
        "known": int(known.sum()),
        "missing": loans - int(known.sum()),
        "early": int(((mine.bad == 0) & ~known).sum()),
        "late": int(((bad == 1) & (mine.seen > mine.month + rules.months)).sum()),
    }
    if not known.any():
        what = f"none of the outcomes of {loans:,} loans is known" if loans else "no loan was granted"
        return Vintage(**named, **counts, status=IMMATURE, why=what)
    if counts["known"] < rules.complete * loans:
        share = counts["known"] / loans
        why = f"outcomes of {counts['missing']:,} of {loans:,} loans are missing; {share:.0%} are known, and "
        return Vintage(**named, **counts, status=INCOMPLETE, why=f"{why}{rules.complete:.0%} are needed")
    why = f"outcomes of {counts['missing']:,} of {loans:,} loans are missing" if counts["missing"] else ""
    return Vintage(**named, **counts, status=JUDGED, why=why, judged=judge_loans(bad[known], mine.pd[known], reference))


def _estimates(followed: Followed, bad: np.ndarray, judged: np.ndarray, reference: Reference) -> tuple[Estimate, ...]:
    """What PDs expect of each month; and what came of it, in judged vintages."""
    pds = point_in_time(followed.pd, reference.offset)
    return tuple(
        _estimate(int(month), pds[mine], bad[mine], followed.granted[mine], bool(judged[mine][0]))
        for month in np.unique(followed.month)
        for mine in (followed.month == month,)
    )


def _estimate(month: int, pds: np.ndarray, bad: np.ndarray, granted: np.ndarray, judged: bool) -> Estimate:
    loans = bad != UNKNOWN if judged else granted  # who is known early must not decide who is counted
    rate = expected_rate(pds[loans])
    realised = {}
    if judged and loans.any():
        seen, said = bad[loans].astype(np.float64), pds[loans]
        enough = not too_few(int(seen.sum()), len(seen))
        realised = {
            "realised_rate": float(seen.mean()),
            "realised_brier": float(np.mean((said - seen) ** 2)),
            "realised_auc": auc(seen, said) if enough else None,
        }
    return Estimate(
        month=month_name(month),
        predictions=len(pds),
        mean_pd=float(pds.mean()),
        brier=expected_brier(pds),
        auc=expected_auc(pds),
        loans=int(loans.sum()),
        rate=rate.value,
        rate_low=rate.low,
        rate_high=rate.high,
        loans_brier=expected_brier(pds[loans]),
        loans_auc=expected_auc(pds[loans]),
        **realised,
    )


# --- The verdict ------------------------------------------------------------------------------------------------------


def decide(vintages: Sequence[Vintage], pooled: Judged | None, rules: Rules) -> tuple[str, tuple[str, ...]]:
    """The verdict on the whole and its reasons, from all judged vintages together and one after the other.

    redevelop: ranking red and calibration slope red. recalibrate: the level of all loans red; or two red grades; or the
    same grade red in two judged vintages in a row; or the level red in the last two. watch: any other light that is not
    green, PDs that are clearly too high, or the level red in the last judged vintage. Else no action.
    """
    if pooled is None:
        return NO_OUTCOME, (_why_nothing(vintages, rules),)
    judged = [one for one in vintages if one.judged is not None]
    ranking = pooled.discrimination
    if ranking.light == RED and pooled.slope_light == RED:
        return REDEVELOP, (ranking.why, pooled.slope_why, _level(pooled))
    if reasons := _too_low(judged, pooled):
        return RECALIBRATE, (*reasons, *_lit(pooled, level=False))
    reasons = [*_lit(pooled), *_too_high(pooled)]
    if judged[-1].judged.level_light == RED:
        reasons.append(f"in the last judged vintage, {judged[-1].vintage}: {_level(judged[-1].judged)}")
    if reasons:
        return WATCH, tuple(reasons)
    unknown = "discrimination not evaluable: " if ranking.light == NOT_EVALUABLE else ""
    return NO_ACTION, (_level(pooled), unknown + ranking.why)


def _why_nothing(vintages: Sequence[Vintage], rules: Rules) -> str:
    incomplete = [one for one in vintages if one.status == INCOMPLETE]
    if incomplete:
        names = ", ".join(one.vintage for one in incomplete[-3:])
        return f"mature vintages lack too many outcomes ({names}): {incomplete[-1].why}"
    waiting = [one for one in vintages if one.known is None]
    silent = [one for one in vintages if one.known == 0]
    if silent:
        names = ", ".join(one.vintage for one in silent[-3:])
        return f"no outcome is known of mature vintages ({names}); report outcomes with POST /outcomes"
    return f"the first vintage, {waiting[0].vintage}, can be judged from {waiting[0].matures} on"


def _level(judged: Judged) -> str:
    """Defaults against what PDs expect, in words."""
    ratio = judged.observed_to_expected
    return (
        f"{judged.defaults:,} defaults among {judged.n:,} loans where PDs expect {judged.n * judged.mean_pd:,.1f} "
        f"(observed over expected {ratio.value:.2f}, Jeffreys {p_text(judged.jeffreys_p)})"
    )


def _too_low(judged: Sequence[Vintage], pooled: Judged) -> list[str]:
    """Why PDs are too low and must be calibrated anew, if they must."""
    reasons = []
    if pooled.level_light == RED:
        reasons.append(f"PDs are too low: {_level(pooled)}")
    if len(pooled.red_grades) >= 2:
        reasons.append(f"PDs of grades {', '.join(pooled.red_grades)} are too low (red)")
    pairs = list(zip(judged, judged[1:], strict=False))
    for before, after in pairs:
        for grade in before.judged.red_grades:
            if grade in after.judged.red_grades:
                reasons.append(f"grade {grade} is red twice in a row, in {before.vintage} and {after.vintage}")
    if pairs and all(one.judged.level_light == RED for one in pairs[-1]):
        reasons.append(f"PDs are too low in the last two judged vintages, {' and '.join(v.vintage for v in pairs[-1])}")
    return reasons


def _too_high(pooled: Judged) -> list[str]:
    high = pooled.observed_to_expected.high
    return [f"PDs are too high: {_level(pooled)}"] if high < OBSERVED_EXPECTED.low else []


def _lit(pooled: Judged, level: bool = True) -> list[str]:
    """What is amber or red of all judged loans together, in words."""
    ranking, reasons = pooled.discrimination, []
    if level and pooled.level_light in (AMBER, RED):
        reasons.append(f"level {pooled.level_light}: {_level(pooled)}")
    if level and (lit := [f"{one.grade} {one.light}" for one in pooled.grades if one.light in (AMBER, RED)]):
        reasons.append(f"PDs of grades may be too low: {', '.join(lit)}")
    if ranking.light in (AMBER, RED):
        reasons.append(f"discrimination {ranking.light}: {ranking.why}")
    if pooled.slope_light in (AMBER, RED):
        reasons.append(f"slope {pooled.slope_light}: {pooled.slope_why}")
    return reasons


def _warnings(followed: Followed, vintages: Sequence[Vintage], reference: Reference) -> tuple[str, ...]:
    """What whoever reads the report should keep in mind."""
    count = len(followed)
    never = int((~followed.granted & (followed.bad == UNKNOWN)).sum())
    told = [
        f"{SELECTION} {never:,} of {count:,} predictions were declined or never decided, and nothing will be "
        "known of them: what holds for loans need not hold for applicants."
    ]
    early, late, missing = (sum(getattr(one, name) or 0 for one in vintages) for name in ("early", "late", "missing"))
    if missing:
        told.append(f"Outcomes of {missing:,} loans of mature vintages are missing; those known may be no fair draw.")
    if early:
        told.append(f"{early:,} of them were good when last seen, but before their window had passed: not known yet.")
    if late:
        told.append(
            f"{late:,} bads were seen after their window had passed, and count. If they defaulted after it, report "
            "outcomes as they stood at its end."
        )
    if any(one.judged is not None for one in vintages):
        told.append("Tests take defaults as independent. In a downturn they come together, and lights come too easily.")
    if reference.offset:
        told.append("PDs are through-the-cycle; outcomes judge them without the shift to the long-run bad rate.")
    return tuple(told)


SELECTION = "Outcomes exist for granted loans only."
"""Stands on every chart of outcomes."""


# --- Frames -----------------------------------------------------------------------------------------------------------

COUNTS = (
    "vintage", "matures", "status", "why", "predictions", "loans", "known", "missing", "early", "late"
)  # fmt: skip
INTERVALS = ("default_rate", "observed_to_expected", "intercept", "slope")
RANKING = ("auc", "gini", "ks")
FIGURES = (
    "n", "defaults", "mean_pd",
    *(f"{name}{end}" for name in INTERVALS for end in ("", "_low", "_high")),
    "jeffreys_p", "level_light", "slope_light",
    *(f"{name}{end}" for name in RANKING for end in ("", "_low", "_high")),
    "initial", "expected", "fall", "p", "ecb_s", "ecb_p", "detectable", "discrimination_light",
)  # fmt: skip
GRADE_COLUMNS = (
    "grade", "max_pd", "n", "defaults", "default_rate", "default_rate_low", "default_rate_high", "mean_pd",
    "jeffreys_p", "adjusted", "light",
)  # fmt: skip


def _counts(one: Vintage) -> dict[str, Any]:
    return {name: getattr(one, name) for name in COUNTS}


def _all(judged: Sequence[Vintage]) -> Vintage:
    """The counts of all judged vintages together."""
    names = ("predictions", "loans", "known", "missing", "early", "late")
    sums = {name: sum(getattr(one, name) for one in judged) for name in names}
    return Vintage(vintage=POOLED, first=judged[0].first, matures="", status=JUDGED, why="", **sums)


def _figures(judged: Judged | None) -> dict[str, Any]:
    """The figures of a set of loans as one row; empty where nothing is judged."""
    if judged is None:
        return {}
    ranking = judged.discrimination
    found: dict[str, Any] = {"slope_light": judged.slope_light, "level_light": judged.level_light}
    found |= {name: getattr(judged, name) for name in ("n", "defaults", "mean_pd", "jeffreys_p")}
    for names, of in ((INTERVALS, judged), (RANKING, ranking)):
        for name in names:
            found |= _ends(name, getattr(of, name))
    found |= {n: getattr(ranking, n) for n in ("initial", "expected", "fall", "p", "ecb_s", "ecb_p", "detectable")}
    return found | {"discrimination_light": ranking.light}


def _flat(grade: Any) -> dict[str, Any]:
    found = {one.name: getattr(grade, one.name) for one in fields(grade)}
    return {k: v for k, v in found.items() if not isinstance(v, Interval)} | _ends("default_rate", grade.default_rate)


def _ends(name: str, value: Interval) -> dict[str, float]:
    return {name: value.value, f"{name}_low": value.low, f"{name}_high": value.high}


def _plain(value: Any) -> Any:
    """Plain data for JSON: NaN, infinity and pandas' missing values as None."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, int | np.integer):
        return int(value)
    number = float(value)
    return number if isfinite(number) else None
