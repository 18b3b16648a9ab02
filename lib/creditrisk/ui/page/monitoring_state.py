"""What the Monitoring tab knows of drift: a model's checks, the one chosen, and how far the next one is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any, NamedTuple

from traitlets import Any as Anything
from traitlets import HasTraits, Int, Unicode

from creditrisk.data.portfolio import Portfolio
from creditrisk.monitoring.drift import AMBER, RED, Bin, DriftReport, flagged_run, stream_status
from creditrisk.serving import alert_log
from creditrisk.serving.log import PredictionLog
from creditrisk.serving.model import ModelData
from creditrisk.serving.records import TRIGGERS
from creditrisk.ui.page.log_access import LogAccess
from creditrisk.ui.page.monitoring_alerts_state import AlertsState
from creditrisk.ui.page.monitoring_reports_state import ReportsState
from creditrisk.ui.page.outcomes_state import OutcomesState

CHECKS = 30
"""Newest checks that are held against each other."""
FAILED = 5
KNOWN = 300
"""Reports that are remembered instead of being read again."""


class Model(NamedTuple):
    """Which model: two of the same version are told apart by their hash."""

    version: str
    sha256: str

    @property
    def short(self) -> str:
        return f"{self.version} ({self.sha256[:8]})"


@dataclass(frozen=True)
class ColumnView:
    """One column of a drift report, with the name people know it by; else as in ColumnDrift."""

    label: str
    column: str
    role: str
    kind: str
    status: str
    reason: str
    n: int
    train_mean: float | None
    new_mean: float | None
    z: float | None
    z_flag: bool
    psi: float | None
    psi_adjusted: float | None
    q: float | None
    shape: str | None
    distance: float | None
    shape_p: float | None
    train_missing: float
    new_missing: float
    unseen: float
    bins: tuple[Bin, ...]

    @property
    def flagged(self) -> bool:
        return self.status in (AMBER, RED)


@dataclass(frozen=True)
class ReportView:
    """One drift report. `columns` are the worst first, `verdict` is the report in a sentence.

    `window` is the number of an automatic check among those of its model, 0 of other reports.
    """

    id: int
    when: datetime
    status: str
    n: int
    model: Model
    trigger: str
    window: int
    columns: tuple[ColumnView, ...]
    flagged: int
    verdict: str
    report: DriftReport

    @property
    def name(self) -> str:
        """What its column is called in a table of checks."""
        return str(self.window) if self.window else f"#{self.id}"

    @property
    def title(self) -> str:
        """What it is called by itself."""
        return f"Check {self.window}" if self.window else f"Report #{self.id}"

    def column(self, name: str) -> ColumnView | None:
        return next((one for one in self.columns if one.column == name), None)


@dataclass(frozen=True)
class Stream:
    """A model's checks of one source (`automatic`, `file`, `notebook`), newest first, and its automatic checks' state.

    `newest` is the last automatic check and `status` that of their stream, None without one; `run` how many of its
    newest windows were flagged in a row. `since` of `period` production predictions are made towards the next check,
    `waiting` checks are due and not yet run, and `failed` (window, why) were given up.
    """

    models: tuple[Model, ...]
    model: Model | None
    sources: tuple[str, ...]
    source: str
    checks: tuple[ReportView, ...]
    newest: ReportView | None
    status: str | None
    run: int
    since: int
    period: int
    waiting: int
    failed: tuple[tuple[int, str], ...]

    def alarms(self) -> frozenset[int]:
        """Ids of the checks that were flagged directly after another flagged one: chance hardly ever does that."""
        follow = zip(self.checks, self.checks[1:], strict=False)
        return frozenset(
            new.id
            for new, old in follow
            if new.status in (AMBER, RED) and old.status in (AMBER, RED) and new.window == old.window + bool(new.window)
        )


class MonitoringState(HasTraits):
    """The Monitoring tab. `stream` is None before the first reading; what was read stays while the log is away.

    `chosen` is the id of a report and 0 for the newest, `column` a column's name and empty for the worst one: a choice
    stays when something new comes in.
    """

    stream = Anything(None, allow_none=True)
    chosen = Int(0)
    column = Unicode()

    def __init__(self, log: LogAccess, data: ModelData | None) -> None:
        super().__init__()
        self.log, self._data = log, data
        self._own = Model(data.version, data.sha256) if data else None
        self._model: Model | None = None
        self._source = ""
        self._known: dict[int, ReportView] = {}
        self.alerts = AlertsState(log)
        self.listing = ReportsState(log)
        self.outcomes = OutcomesState(log, data)

    @property
    def reports(self) -> tuple[ReportView, ...]:
        """The checks shown, newest first."""
        return self.stream.checks if self.stream else ()

    @property
    def report(self) -> ReportView | None:
        """The report chosen, else the newest."""
        return self._known.get(self.chosen) or next(iter(self.reports), None)

    @property
    def shown_column(self) -> ColumnView | None:
        """The column chosen, as the report shown has it; else the worst one of that report."""
        report = self.report
        if report is None or not report.columns:
            return None
        return report.column(self.column) or report.columns[0]

    @property
    def progress(self) -> str:
        """How far the next automatic check is, and what became of others, in words."""
        stream = self.stream
        if stream is None or stream.model is None:
            return ""
        parts = [
            f"{stream.since:,} of {stream.period:,} production predictions of model {stream.model.version} "
            "towards the next automatic check"
        ]
        if stream.waiting:
            more = " or more" if stream.waiting == CHECKS else ""
            parts.append(f"{stream.waiting}{more} due and not yet run")
        if stream.failed:
            parts.append(f"{len(stream.failed)}{' or more' if len(stream.failed) == FAILED else ''} failed for good")
        return "; ".join(parts)

    def refresh(self) -> None:
        """Read the log again; what was chosen stays."""
        stream = self.log.ask(self._read)
        if stream is not None:
            self.stream = stream

    def choose(self, report_id: int) -> None:
        """Show a report, of whatever model; 0 is the newest."""
        if report_id and report_id not in self._known:
            row = self.log.ask(lambda log: log.report(report_id))
            if row is None:
                return
            self._remember(row)
        self.chosen = report_id

    def open(self, report_id: int) -> None:
        """Show a report among the checks of its own model and source."""
        self.choose(report_id)
        report = self._known.get(report_id)
        if (
            report is not None
            and self.stream
            and (report.model, report.trigger) != (self.stream.model, self.stream.source)
        ):
            self._model, self._source = report.model, report.trigger
            self.refresh()

    def choose_column(self, name: str) -> None:
        """Show how a column is distributed; empty is the worst one."""
        self.column = name

    def choose_model(self, model: Model) -> None:
        """Show the checks of another model."""
        if model != (self.stream and self.stream.model):
            self._model, self._source, self.chosen = model, "", 0
            self.refresh()

    def choose_source(self, source: str) -> None:
        """Show checks that were made by themselves, with scored files, or by hand."""
        self._source, self.chosen = source, 0
        self.refresh()

    def _read(self, log: PredictionLog) -> Stream:
        counters = log.counters()
        models = self._models(log, counters)
        model = self._model or self._own or next(iter(models), None)
        if model is None:
            return Stream((), None, (), "", (), None, None, 0, 0, self.log.period, 0, ())
        mine = {"model_version": model.version, "model_sha256": model.sha256, "whole": False}
        sources = tuple(one for one in TRIGGERS if log.reports(limit=1, trigger=one, **mine))
        source = self._source if self._source in sources else next(iter(sources), "")
        rows = log.reports(limit=CHECKS, trigger=source, **mine) if source else []
        with log.reading() as connection:
            windows = alert_log.drift_windows(connection, *model)
        made = next((one for one in counters if (one["model_version"], one["model_sha256"]) == model), None)
        checks = sorted((self._view(log, row) for row in rows), key=lambda one: (one.window, one.id), reverse=True)
        return Stream(
            models=models,
            model=model,
            sources=sources,
            source=source,
            checks=tuple(checks),
            newest=checks[0] if source == "automatic" else self._last_automatic(log, mine),
            status=stream_status(windows),
            run=flagged_run(windows) if windows else 0,
            since=made["n"] - made["scheduled"] if made else 0,
            period=self.log.period,
            waiting=sum(len(log.checks(*model, limit=CHECKS, status=one)) for one in ("pending", "running")),
            failed=tuple(
                (one["bucket"], one["error"] or "") for one in log.checks(*model, limit=FAILED, status="failed")
            ),
        )

    def _last_automatic(self, log: PredictionLog, mine: Mapping[str, Any]) -> ReportView | None:
        rows = log.reports(limit=1, trigger="automatic", **mine)
        return self._view(log, rows[0]) if rows else None

    def _models(self, log: PredictionLog, counters: Sequence[Mapping[str, Any]]) -> tuple[Model, ...]:
        """This page's model, then those with reports, then those with predictions."""
        found = [self._own] if self._own else []
        found += [Model(row["model_version"], row["model_sha256"]) for row in log.reports(limit=50, whole=False)]
        found += [Model(one["model_version"], one["model_sha256"]) for one in counters]
        return tuple(dict.fromkeys(found))

    def _view(self, log: PredictionLog, row: Mapping[str, Any]) -> ReportView:
        known = self._known.get(row["id"])
        return known or self._remember(log.report(row["id"]) or {**row, "report": None})

    def _remember(self, row: Mapping[str, Any]) -> ReportView:
        view = _report_view(row, self._data.portfolio if self._data else None)
        if len(self._known) >= KNOWN:
            del self._known[next(one for one in self._known if one != self.chosen)]
        self._known[row["id"]] = view
        return view


def _label(column: str, book: Portfolio | None) -> str:
    named = book.columns[column].label if book and column in book.columns else ""
    words = column.replace("_", " ")
    return named or f"{words[:1].upper()}{words[1:]}"


def _report_view(row: Mapping[str, Any], book: Portfolio | None) -> ReportView:
    empty = {"columns": [], "rows": row["n"], "baseline_rows": 0}
    report = DriftReport.from_dict(row["report"] or empty)
    told = [field.name for field in fields(ColumnView) if field.name != "label"]
    key = row["window_key"]
    return ReportView(
        id=row["id"],
        when=row["created_at"].astimezone(UTC),
        status=row["status"],
        n=row["n"],
        model=Model(row["model_version"], row["model_sha256"]),
        trigger=row["trigger"],
        window=int(key.removeprefix("bucket-")) if row["trigger"] == "automatic" and key.startswith("bucket-") else 0,
        columns=tuple(
            ColumnView(label=_label(one.column, book), **{name: getattr(one, name) for name in told})
            for one in report.worst_first
        ),
        flagged=row["flagged"],
        verdict=report.verdict_with({one.column: _label(one.column, book) for one in report.items}),
        report=report,
    )
