"""Drift checks on the prediction log: each on the features of one model, against that model's own baseline."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable

import pandas as pd

from creditrisk.errors import CreditRiskError
from creditrisk.monitoring.drift import Baseline, DriftReport, compare
from creditrisk.serving.log import Check, PredictionLog, ReportRecord
from creditrisk.serving.model import ModelData

logger = logging.getLogger(__name__)

LEASE_SECONDS = 60.0
"""So long a check is its worker's own; it takes some milliseconds."""


def check_rows(data: ModelData, rows: list[dict]) -> DriftReport:
    """Compare the logged features of some predictions with the baseline of the model that made them."""
    return compare(Baseline.from_dict(data.baseline), pd.DataFrame([row["features"] for row in rows]))


def check_features(data: ModelData, features: dict) -> DriftReport:
    """Compare features of a scored file, column -> (n,), with the model's baseline."""
    return compare(Baseline.from_dict(data.baseline), pd.DataFrame(features))


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
) -> int:
    """Run every scheduled check that is due and that nobody else has, once; returns how many were stored.

    A check that fails waits a while before it is tried again, and its error is kept with it. One whose predictions are
    no longer all in the log has failed for good: part of a window says nothing about the window. `after_check` is
    called with the verdict, or "failed", and the seconds that it took.
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
    ) -> None:
        self._log, self._model_of, self._every, self._on_check = log, model_of, every, on_check
        self._made, self._lease_seconds = made, lease_seconds
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
                run_due_checks(self._log, self._model_of, self._owner, self._after_check, self._lease_seconds)
                away = False
            except Exception as error:  # the log may be away for a while; the next round tries again
                if not away:
                    logger.warning("drift checks are held up until the prediction log answers: %s", _cause(error))
                away = True
            self._wake.wait(self._every)
            self._wake.clear()
