"""What the page knows and does, without a widget in it: the page shows it, the tests drive it.

Every class keeps its state in traits, so that a view can follow it. Nothing here raises for what an outsider can
cause: a missing model, a wrong value or an unreachable database becomes a text that says what to do.
"""

from __future__ import annotations

import math
import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

import numpy as np
from traitlets import Any as Anything
from traitlets import Bool, Dict, HasTraits, Int, List, Tuple, Unicode

from creditrisk.data.portfolio import Portfolio
from creditrisk.errors import CreditRiskError, LogError
from creditrisk.modelling.scorecard import scores_of
from creditrisk.monitoring.checks import run_due_checks
from creditrisk.monitoring.drift import Z_LIMIT
from creditrisk.serving.contract import number_in_words, soft_limit_warnings, wire_name
from creditrisk.serving.log import Check, PredictionLog, migrate
from creditrisk.serving.model import CHAMPION, ModelData, load_exact, load_model, read_manifest, resolve
from creditrisk.serving.scorer import Scored, Scorer, dedupe_key
from creditrisk.settings import settings
from creditrisk.ui.form import Field, fields_of, read_form

PRODUCT = "Credit Risk Workbench"
RECENT = 50
NEWEST = 2_000
REPORTS = 25
SCORE_STEP = 25
T = TypeVar("T")


# --- The model --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ModelCard:
    """The model in a line: what it is for, which one it is, when it was trained, how it did on the test rows."""

    title: str
    version: str
    short_hash: str
    trained: str
    auc: float | None

    @classmethod
    def of(cls, data: ModelData) -> ModelCard:
        auc = data.metrics.get("test", {}).get("auc")
        return cls(data.portfolio.title, data.version, data.sha256[:8], _day(data.training.get("created", "")), auc)


def _day(text: str) -> str:
    try:
        day = datetime.fromisoformat(text)
        return f"{day.day} {day:%b %Y}"
    except ValueError:
        return text or "on a day not recorded"


def newer_model(data: ModelData, artifacts: str = "") -> str:
    """A sentence when the artifacts folder has another champion than the one loaded, else an empty text."""
    try:
        manifest = read_manifest(artifacts)
        version = resolve(CHAMPION, manifest)
    except (CreditRiskError, OSError):
        return ""
    if manifest["models"][version]["sha256"] == data.sha256:
        return ""
    return f"A newer model ({version}) has been published. Reload the page to score with it."


# --- One applicant ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Reason:
    """Why the PD is as high as it is: `odds` times the odds of default of the average training row."""

    text: str
    label: str
    value: str
    weight: float

    @property
    def odds(self) -> float:
        return math.exp(self.weight)


@dataclass(frozen=True)
class Result:
    """One applicant scored. `cut_off` is the PD from which the model declines, `cut_off_score` its score."""

    pd: float
    score: int
    rating: str
    grade: str | None
    cut_off: float
    cut_off_score: int
    reasons: tuple[Reason, ...]
    warnings: tuple[str, ...]

    @property
    def within_cut_off(self) -> bool:
        return self.pd < self.cut_off


class ApplicantState(HasTraits):
    """The form and its result. `enter` a text; `result` is None while anything is missing or wrong."""

    errors = Dict()
    missing = Tuple()
    result = Anything(None, allow_none=True)
    saved = Unicode()
    saved_before = Bool(False)
    problem = Unicode()

    def __init__(self, data: ModelData, log: LogAccess, artifacts: str = "") -> None:
        super().__init__()
        self.book: Portfolio = data.portfolio
        self.fields: Mapping[str, Field] = fields_of(data.portfolio)
        self.texts = {name: field.initial for name, field in self.fields.items()}
        self.application_id = ""
        self._data, self._scorer, self._log, self._artifacts = data, Scorer(data), log, artifacts
        self._touched: set[str] = set()
        self._record: tuple[Scored, dict, str | None] | None = None
        self._read()

    def enter(self, name: str, text: str) -> None:
        """Take the text of one field, and score anew when the form is complete."""
        self._touched.add(name)
        self.texts[name] = text
        self._read()

    def enter_application_id(self, text: str) -> None:
        """Take the lender's own identifier of the application; may be empty."""
        self.application_id = text
        self._read()

    def reset(self) -> None:
        """Back to the portfolio's defaults."""
        self._touched.clear()
        self.application_id = ""
        self.texts = {name: field.initial for name, field in self.fields.items()}
        self._read()

    def save(self) -> None:
        """Log the prediction shown, once; `saved` is then its id, or `problem` says why there is none.

        An application id that this model has scored before keeps its stored prediction: `saved_before` is then true.
        """
        if self._record is None or self.saved:
            return
        scored, inputs, application_id = self._record
        record = self._scorer.record(
            scored,
            0,
            inputs,
            purpose="production",
            source="page",
            application_id=application_id,
            dedupe_key=None if application_id is None else dedupe_key(self._data, application_id),
        )
        answer = self._log.ask(lambda log: log.append([record]))
        self.problem = self._log.problem
        if answer is not None:
            self.saved_before = not answer.inserted[0]
            self.saved = answer.prediction_ids[0]
            self._log.ask(lambda log: run_due_checks(log, self._model_of, _owner()))

    def _read(self) -> None:
        reading = read_form(self.book, self.texts, self.application_id)
        self._record = None
        self.saved = self.problem = ""
        emptied = [name for name in reading.missing if name in self._touched]
        self.errors = reading.errors | {n: f"needed; enter {self.fields[n].allowed}" for n in emptied}
        self.missing = reading.missing
        if reading.values is None:
            self.result = None
            return
        scored = self._scorer.score_rows([reading.values])
        given = {n: v for n, v in reading.values.items() if v is not None}
        inputs = {wire_name(n, self.book.columns[n]): v for n, v in given.items()}
        self._record = (scored, inputs, reading.application_id)
        self.result = self._result(scored, given)

    def _result(self, scored: Scored, values: Mapping[str, Any]) -> Result:
        known = scored.features_of(0) | dict(values)
        reasons = []
        for reason in scored.reasons[0]:
            column, value = self.book.columns[reason["feature"]], known[reason["feature"]]
            label = column.label or reason["feature"].replace("_", " ")
            shown = value if isinstance(value, str) else _measure(value, column.unit)
            reasons.append(Reason(reason["text"], label, shown, reason["weight"]))
        return Result(
            pd=float(scored.pd[0]),
            score=int(scored.score[0]),
            rating=str(scored.rating[0]),
            grade=None if scored.grade is None else str(scored.grade[0]),
            cut_off=self._data.threshold,
            cut_off_score=int(scores_of(np.array([self._data.threshold]), self.book.scale)[0]),
            reasons=tuple(reasons),
            warnings=tuple(_soft_warnings(self.book, values)),
        )

    def _model_of(self, check: Check) -> ModelData:
        if (check.model_version, check.model_sha256) == (self._data.version, self._data.sha256):
            return self._data
        return load_exact(check.model_version, check.model_sha256, self._artifacts)


def _measure(value: float, unit: str) -> str:
    shown = number_in_words(round(value, 2))
    return f"{shown}{unit}" if unit == "%" else f"{shown} {unit}".strip()


def _soft_warnings(book: Portfolio, values: Mapping[str, Any]) -> list[str]:
    """The API's warnings, with labels for wire names."""
    found = []
    for name, value in values.items():
        wire, label = wire_name(name, book.columns[name]), book.columns[name].label or name
        sentences = soft_limit_warnings({wire: value}, book)
        found += [f"{label}{sentence.removeprefix(wire)}" for sentence in sentences]
    return found


def _owner() -> str:
    return f"page:{socket.gethostname()}:{os.getpid()}"


# --- The prediction log -----------------------------------------------------------------------------------------------


class LogAccess(HasTraits):
    """The prediction log as the page meets it: opened when first asked, its schema made where there is none.

    `problem` is empty while the log answers; else it says what is wrong and what to do.
    """

    problem = Unicode()

    def __init__(self, url: str, period: int) -> None:
        super().__init__()
        self.url, self.period = url, period
        self._log: PredictionLog | None = None

    def ask(self, question: Callable[[PredictionLog], T]) -> T | None:
        """The answer of the log, or None when it gives none; the next question then opens it anew."""
        try:
            if self._log is None:
                self._log = self._open()
            answer = question(self._log)
        except (LogError, OSError) as problem:
            self.close()
            self.problem = str(problem)
            return None
        self.problem = ""
        return answer

    def _open(self) -> PredictionLog:
        log = PredictionLog(self.url, self.period)
        try:
            log.check_schema()
        except LogError:
            log.close()
            migrate(self.url)
        return log

    def close(self) -> None:
        """Give the connections back."""
        if self._log is not None:
            self._log.close()
            self._log = None


# --- The book of predictions ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class BookSummary:
    """Logged predictions of one purpose, or of all.

    `looked_at` of `total` predictions, the newest, make the distributions: `ratings` by name, worst first, `scores` as
    (lower edge, count) in steps of SCORE_STEP, `quartiles` of the score. `recent` holds the newest rows of the log.
    """

    total: int
    looked_at: int
    by_purpose: Mapping[str, int]
    ratings: Mapping[str, int]
    scores: tuple[tuple[int, int], ...]
    quartiles: tuple[float, ...]
    mean_pd: float | None
    recent: tuple[Mapping[str, Any], ...]


class BookState(HasTraits):
    """The Book tab. `purpose` is empty for all; `summary` is None before the first reading and without an answer."""

    purpose = Unicode()
    summary = Anything(None, allow_none=True)

    def __init__(self, log: LogAccess, book: Portfolio | None) -> None:
        super().__init__()
        self.log, self._book = log, book

    def refresh(self) -> None:
        """Read the log again."""
        self.summary = self.log.ask(self._summarise)

    def choose(self, purpose: str) -> None:
        """Show predictions of one purpose only, or of all (empty)."""
        self.purpose = purpose
        self.refresh()

    def _summarise(self, log: PredictionLog) -> BookSummary:
        by_purpose = log.counts()["by_purpose"]
        rows = log.predictions(limit=NEWEST, purpose=self.purpose or None)
        scores = [row["score"] for row in rows]
        return BookSummary(
            total=by_purpose.get(self.purpose, 0) if self.purpose else sum(by_purpose.values()),
            looked_at=len(rows),
            by_purpose=by_purpose,
            ratings=_rating_counts(rows, self._book),
            scores=_score_counts(scores, self._book),
            quartiles=tuple(np.quantile(scores, (0.25, 0.5, 0.75)).tolist()) if scores else (),
            mean_pd=sum(row["pd"] for row in rows) / len(rows) if rows else None,
            recent=tuple(rows[:RECENT]),
        )


def _rating_counts(rows: list[dict], book: Portfolio | None) -> dict[str, int]:
    """Counts by rating, worst first: the portfolio's order, then by score what another portfolio called its own."""
    worst: dict[str, int] = {}
    counts: dict[str, int] = {}
    for row in rows:
        counts[row["rating"]] = counts.get(row["rating"], 0) + 1
        worst[row["rating"]] = min(row["score"], worst.get(row["rating"], row["score"]))
    known = [rating.name for rating in book.scale.ratings] if book else []
    others = sorted((name for name in counts if name not in known), key=worst.__getitem__)
    return {name: counts.get(name, 0) for name in [*known, *others]}


def _score_counts(scores: list[int], book: Portfolio | None) -> tuple[tuple[int, int], ...]:
    if not scores:
        return ()
    low, high = (book.scale.low, book.scale.high) if book else (min(scores), max(scores))
    first = min(low, *scores) // SCORE_STEP
    # The best score of a scale is its upper end: it belongs to the last bar, not to one of its own.
    last = max(first, (max(high, *scores) - 1) // SCORE_STEP)
    counts = np.bincount(np.clip(np.array(scores) // SCORE_STEP - first, 0, last - first), minlength=last - first + 1)
    return tuple(((first + i) * SCORE_STEP, int(n)) for i, n in enumerate(counts))


# --- Monitoring -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ColumnView:
    """One column of a drift report, with the name people know it by."""

    label: str
    status: str
    reason: str
    train_mean: float | None
    new_mean: float | None
    z: float | None
    train_missing: float
    new_missing: float


@dataclass(frozen=True)
class ReportView:
    """One drift report. `columns` are flagged ones first, then by size of the shift."""

    id: int
    when: datetime
    status: str
    n: int
    model_version: str
    short_hash: str
    trigger: str
    columns: tuple[ColumnView, ...]

    @property
    def flagged(self) -> int:
        return sum(column.status == "flagged" for column in self.columns)

    @property
    def verdict(self) -> str:
        """The report in a sentence."""
        limit = f"{Z_LIMIT:g} standard deviations"
        if self.status == "drift":
            return f"{self.flagged} of {len(self.columns)} columns moved by {limit} or more"
        if self.status == "insufficient data":
            return "Some columns hold too little data to judge"
        return f"None of {len(self.columns)} columns moved by {limit} or more"


class MonitoringState(HasTraits):
    """The Monitoring tab: the newest reports, the one chosen, and how far the next automatic check is."""

    reports = List()
    chosen = Int(0)
    progress = Unicode()

    def __init__(self, log: LogAccess, data: ModelData | None) -> None:
        super().__init__()
        self.log, self._data = log, data

    @property
    def report(self) -> ReportView | None:
        """The report chosen, else the newest."""
        by_id = {report.id: report for report in self.reports}
        return by_id.get(self.chosen, self.reports[0] if self.reports else None)

    def refresh(self) -> None:
        """Read the log again and show the newest report."""
        answer = self.log.ask(lambda log: (log.reports(limit=REPORTS), log.counts()))
        rows, counts = answer if answer is not None else ([], None)
        self.progress = self._progress(counts) if counts else ""
        self.chosen = 0
        self.reports = [_report_view(row, self._data.portfolio if self._data else None) for row in rows]

    def choose(self, report_id: int) -> None:
        """Show an earlier report."""
        self.chosen = report_id

    def _progress(self, counts: Mapping[str, Any]) -> str:
        parts = []
        if self._data:
            mine = [m for m in counts["models"] if m["model_sha256"] == self._data.sha256]
            since = mine[0]["n"] - mine[0]["scheduled"] if mine else 0
            parts.append(
                f"{since} of {self.log.period} production predictions of model {self._data.version} "
                "towards the next automatic check"
            )
        waiting = counts["checks"]["pending"] + counts["checks"]["running"]
        if waiting:
            parts.append(f"{waiting} due and not yet run")
        if counts["checks"]["failed"]:
            parts.append(f"{counts['checks']['failed']} failed for good")
        return "; ".join(parts)


def _report_view(row: Mapping[str, Any], book: Portfolio | None) -> ReportView:
    columns = [
        ColumnView(
            label=(book.columns[c["column"]].label if book and c["column"] in book.columns else "")
            or c["column"].replace("_", " "),
            status=c["status"],
            reason=c["reason"],
            train_mean=c["train_mean"],
            new_mean=c["new_mean"],
            z=c["z"],
            train_missing=c["train_missing"],
            new_missing=c["new_missing"],
        )
        for c in row["report"]["columns"]
    ]
    order = {"flagged": 0, "insufficient data": 1}
    columns.sort(key=lambda c: (order.get(c.status, 2), -abs(c.z) if c.z is not None else 1.0))
    return ReportView(
        id=row["id"],
        when=row["created_at"].astimezone(UTC),
        status=row["status"],
        n=row["n"],
        model_version=row["model_version"],
        short_hash=row["model_sha256"][:8],
        trigger=row["trigger"],
        columns=tuple(columns),
    )


# --- All of it --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Workbench:
    """Everything behind one visit of the page. Without a model `problem` says why, and log and reports still show."""

    data: ModelData | None
    artifacts: str
    problem: str
    log: LogAccess
    applicant: ApplicantState | None
    book: BookState
    monitoring: MonitoringState

    @property
    def card(self) -> ModelCard | None:
        return ModelCard.of(self.data) if self.data else None


def open_workbench(artifacts: str = "", url: str = "", period: int = 0) -> Workbench:
    """Load the champion and open the log, as set by CREDITRISK_ARTIFACTS and CREDITRISK_DATABASE_URL.

    What the log holds is read once somebody looks: a log of millions takes a while.
    """
    log = LogAccess(url or settings().log_url, period or settings().drift_period)
    data, problem = None, ""
    try:
        data = load_model(CHAMPION, artifacts)
    except (CreditRiskError, OSError, ImportError, ValueError) as error:
        problem = str(error)
    log.ask(PredictionLog.ping)
    return Workbench(
        data=data,
        artifacts=artifacts,
        problem=problem,
        log=log,
        applicant=ApplicantState(data, log, artifacts) if data else None,
        book=BookState(log, data.portfolio if data else None),
        monitoring=MonitoringState(log, data),
    )
