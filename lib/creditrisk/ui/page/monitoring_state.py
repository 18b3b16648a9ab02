"""What the Monitoring tab knows: drift reports and how far the next check is, without a widget."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any

from traitlets import HasTraits, Int, List, Unicode

from creditrisk.data.portfolio import Portfolio
from creditrisk.monitoring.drift import DriftReport
from creditrisk.serving.model import ModelData
from creditrisk.ui.page.log_access import LogAccess

REPORTS = 25


@dataclass(frozen=True)
class ColumnView:
    """One column of a drift report, with the name people know it by."""

    label: str
    status: str
    reason: str
    train_mean: float | None
    new_mean: float | None
    z: float | None
    psi: float | None
    psi_adjusted: float | None
    q: float | None
    train_missing: float
    new_missing: float


@dataclass(frozen=True)
class ReportView:
    """One drift report. `columns` are the worst first, `verdict` is the report in a sentence."""

    id: int
    when: datetime
    status: str
    n: int
    model_version: str
    short_hash: str
    trigger: str
    columns: tuple[ColumnView, ...]
    flagged: int
    verdict: str


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
    report = DriftReport.from_dict(row["report"])
    told = [field.name for field in fields(ColumnView) if field.name != "label"]
    columns = [
        ColumnView(
            label=(book.columns[c.column].label if book and c.column in book.columns else "")
            or c.column.replace("_", " "),
            **{name: getattr(c, name) for name in told},
        )
        for c in report.worst_first
    ]
    return ReportView(
        id=row["id"],
        when=row["created_at"].astimezone(UTC),
        status=row["status"],
        n=row["n"],
        model_version=row["model_version"],
        short_hash=row["model_sha256"][:8],
        trigger=row["trigger"],
        columns=tuple(columns),
        flagged=row["flagged"],
        verdict=report.verdict,
    )
