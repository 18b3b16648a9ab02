"""Drift checks on the prediction log: each on the features of one model, against that model's own baseline."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Sequence

import pandas as pd

from creditrisk.errors import CreditRiskError
from creditrisk.monitoring.drift import Baseline, DriftReport, Tally, compare, report_of
from creditrisk.serving.log import Check, PredictionLog, ReportRecord
from creditrisk.serving.model import ModelData
from creditrisk.serving.scored import Scored

logger = logging.getLogger(__name__)

LEASE_SECONDS = 60.0
"""So long a check is its worker's own; it takes some milliseconds."""


SCORES = ("default_probability", "credit_score")
"""What the model says of an applicant, as columns of a check."""


def results_of(pd_values: Sequence[float], scores: Sequence[float]) -> pd.DataFrame:
    """A model's results as a check takes them."""
    return pd.DataFrame(dict(zip(SCORES, (pd_values, scores), strict=True)), dtype="float64")


def check_rows(data: ModelData, rows: list[dict], baseline: Baseline | None = None) -> DriftReport:
    """Compare some logged predictions with the baseline of the model that made them, or with another one of it."""
    features = pd.DataFrame([row["features"] for row in rows])
    results = results_of([row["pd"] for row in rows], [row["score"] for row in rows])
    return compare(baseline or Baseline.from_dict(data.baseline), features, results)


def check_scored(data: ModelData, scored: Scored, baseline: Baseline | None = None) -> DriftReport:
    """Compare scored rows with the model's baseline, or with another one of it."""
    results = results_of(scored.pd, scored.score)
    return compare(baseline or Baseline.from_dict(data.baseline), pd.DataFrame(scored.features), results)


class GrowingWindow:
    """A window that comes in parts and is compared as a whole: only counts are kept."""

    def __init__(self, data: ModelData) -> None:
        self._baseline = Baseline.from_dict(data.baseline)
        self._tallies: dict[tuple[str, str], Tally] = {}
        self._rows = 0

    def add(self, scored: Scored) -> None:
        """Count some more scored rows."""
        self._rows += len(scored)
        results = results_of(scored.pd, scored.score)
        parts = (("input", self._baseline.columns, pd.DataFrame(scored.features)),
                 ("score", self._baseline.scores, results))  # fmt: skip
        for role, columns, frame in parts:
            for base in columns:
                if base.name in frame.columns:
                    tally, key = Tally.of(base, frame[base.name]), (role, base.name)
                    self._tallies[key] = self._tallies[key] + tally if key in self._tallies else tally

    def report(self) -> DriftReport:
        """The comparison of all rows so far."""
        return report_of(self._baseline, self._tallies, self._rows, with_scores=True)


def report_record(report: DriftReport, rows: list[dict] | None = None) -> ReportRecord:
    """A drift report as the log stores it."""
    first, last = (rows[0]["id"], rows[-1]["id"]) if rows else (None, None)
    return ReportRecord(
        n=report.rows,
        status=report.status,
        flagged=len(report.flagged),
        report=report.to_dict(),
        first_prediction=first,
        last_prediction=last,
    )


def store_file_check(log: PredictionLog, data: ModelData, file_sha256: str, report: DriftReport) -> int:
    """Keep the check of a scored file, which is one whatever the number of its rows. Returns its id.

    The same file again is the same check.
    """
    return log.store_report(
        report_record(report),
        model_version=data.version,
        model_sha256=data.sha256,
        trigger="file",
        window_key=f"file-{file_sha256[:16]}",
    )


SHARE_OF_TIME = 59
"""While predictions are being made, the worker waits after a check so many times as long as it took ..."""
QUIET_SECONDS = 0.05
"""... and goes on as soon as none has been made for so long."""


def run_due_checks(
    log: PredictionLog,
    model_of: Callable[[Check], ModelData],
    owner: str,
    after_check: Callable[[str, float], None] | None = None,
    lease_seconds: float = LEASE_SECONDS,
    after_report: Callable[[Check], None] = lambda check: None,
) -> int:
    """Run every scheduled check that is due and that nobody else has, once; returns how many were stored.

    A check that fails waits a while before it is tried again, and its error is kept with it. One whose predictions are
    no longer all in the log has failed for good: part of a window says nothing about the window. `after_check` is
    called with the verdict, or "failed", and the seconds that it took; `after_report` with each check that was stored.
    """
    done = 0
    while (check := log.claim_check(owner, lease_seconds=lease_seconds)) is not None:
        begun, result = time.perf_counter(), "failed"
        try:
            rows = log.rows_of_check(check)
            if gone := check.n - len(rows):
                reason = f"{gone} of its {check.n} predictions are no longer in the log; they were purged"
                logger.warning("drift check %s of model %s failed: %s", check.bucket, check.model_version, reason)
                log.fail_check(check, reason, final=True)
                continue
            report = report_record(check_rows(model_of(check), rows), rows)
            log.finish_check(check, report)
            result, done = report.status, done + 1
        except Exception as error:  # whatever it is, the other checks go on and the cause stays with this one
            cause = _cause(error)
            logger.warning("drift check %s of model %s failed: %s", check.bucket, check.model_version, cause)
            log.fail_check(check, cause)
        finally:
            if after_check is not None:
                after_check(result, time.perf_counter() - begun)
        if result != "failed":
            after_report(check)
    return done


def _cause(error: Exception) -> str:
    """Why something failed; the message of a foreign error may quote applications, which no log file may hold."""
    return str(error) if isinstance(error, CreditRiskError) else type(error).__name__


class CheckWorker:
    """Runs scheduled drift checks in a thread of its own, off the request path, and out of its way.

    `made` counts the predictions or batches made by this process: while it grows, checks take a sixtieth of the time.
    A check whose worker has died is handed out again after `lease_seconds`.
    """

    def __init__(
        self,
        log: PredictionLog,
        model_of: Callable[[Check], ModelData],
        every: float = 1.0,
        on_check: Callable[[str], None] | None = None,
        made: Callable[[], int] = lambda: 0,
        lease_seconds: float = LEASE_SECONDS,
        after_report: Callable[[Check], None] = lambda check: None,
    ) -> None:
        self._log, self._model_of, self._every, self._on_check = log, model_of, every, on_check
        self._made, self._lease_seconds, self._after_report = made, lease_seconds, after_report
        self._owner = f"{socket.gethostname()}:{os.getpid()}"
        self._wake, self._stop = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="drift-checks", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        """Look for work now."""
        self._wake.set()

    def stop(self) -> None:
        self._stop.set()
        self._wake.set()
        self._thread.join(timeout=10)

    def _after_check(self, result: str, seconds: float) -> None:
        """Leave most of the time to those who ask for predictions: under load, checks may come a little later."""
        if self._on_check is not None:
            self._on_check(result)
        end = time.monotonic() + min(SHARE_OF_TIME * seconds, self._every)
        while (left := end - time.monotonic()) > 0:
            made = self._made()
            if self._stop.wait(min(left, QUIET_SECONDS)) or self._made() == made:
                return

    def _run(self) -> None:
        away = False
        while not self._stop.is_set():
            try:
                run_due_checks(
                    self._log, self._model_of, self._owner, self._after_check, self._lease_seconds, self._after_report
                )
                away = False
            except Exception as error:  # the log may be away for a while; the next round tries again
                if not away:
                    logger.warning("drift checks are held up until the prediction log answers: %s", _cause(error))
                away = True
            self._wake.wait(self._every)
            self._wake.clear()
