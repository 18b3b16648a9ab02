"""What the page knows and does, without a widget in it: the page shows it, the tests drive it.

Every class keeps its state in traits, so that a view can follow it. Nothing here raises for what an outsider can
cause: a missing model, a wrong value or an unreachable database becomes a text that says what to do.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from creditrisk.errors import CreditRiskError
from creditrisk.serving.log import PredictionLog
from creditrisk.serving.model import CHAMPION, ModelData, load_model, read_manifest, resolve
from creditrisk.settings import settings
from creditrisk.ui.page.book_state import BookState
from creditrisk.ui.page.file_state import FileState
from creditrisk.ui.page.log_access import LogAccess
from creditrisk.ui.page.model_state import ModelState
from creditrisk.ui.page.monitoring_state import MonitoringState
from creditrisk.ui.page.pulse import Pulse
from creditrisk.ui.page.score_state import ApplicantState


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


def newer_model(data: ModelData | None, artifacts: str = "") -> str:
    """A sentence when the artifacts folder has another champion than the one loaded, else an empty text."""
    try:
        manifest = read_manifest(artifacts)
        version = resolve(CHAMPION, manifest)
    except (CreditRiskError, OSError):
        return ""
    if data is None:
        return f"A model ({version}) has been published."
    if manifest["models"][version]["sha256"] == data.sha256:
        return ""
    return f"A newer model ({version}) has been published. This page still scores with {data.version}."


@dataclass(frozen=True)
class Workbench:
    """Everything behind one visit of the page. Without a model `problem` says why, and log and reports still show."""

    data: ModelData | None
    artifacts: str
    problem: str
    log: LogAccess
    pulse: Pulse
    applicant: ApplicantState | None
    file: FileState | None
    book: BookState
    monitoring: MonitoringState
    model: ModelState | None

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
        pulse=Pulse(log.url, artifacts),
        applicant=ApplicantState(data, log, artifacts) if data else None,
        file=FileState(data, log, artifacts) if data else None,
        book=BookState(log, data.portfolio if data else None),
        monitoring=MonitoringState(log, data),
        model=ModelState(data, log, artifacts) if data else None,
    )
