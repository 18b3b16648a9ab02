"""Drift checks on the prediction log: each on the features of one model, against that model's own baseline."""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Callable

import pandas as pd

from creditrisk.errors import CreditRiskError
from creditrisk.monitoring.drift import Baseline, DriftReport, compare
from creditrisk.serving.log import Check, PredictionLog, ReportRecord
from creditrisk.serving.model import ModelData

logger = logging.getLogger(__name__)


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


def run_due_checks(log: PredictionLog, model_of: Callable[[Check], ModelData], owner: str) -> int:
    """Run every scheduled check that nobody else has, once; returns how many were stored.

    A check that fails is put back at the end, to be tried again later, and its error is kept with it.
    """
    done, failed = 0, []
    while (check := log.claim_check(owner)) is not None:
        try:
            rows = log.rows_of_check(check)
            log.finish_check(check, report_record(check_rows(model_of(check), rows), rows))
            done += 1
        except Exception as error:  # whatever it is, the other checks go on and the cause stays with this one
            cause = _cause(error)
            logger.warning("drift check %s of model %s failed: %s", check.bucket, check.model_version, cause)
            failed.append((check, cause))  # put back now, it would be the next one claimed
    for check, cause in failed:
        log.fail_check(check, cause)
    return done


def _cause(error: Exception) -> str:
    """Why something failed; the message of a foreign error may quote applications, which no log file may hold."""
    return str(error) if isinstance(error, CreditRiskError) else type(error).__name__


class CheckWorker:
    """Runs scheduled drift checks in a thread of its own, off the request path."""

    def __init__(self, log: PredictionLog, model_of: Callable[[Check], ModelData], every: float = 1.0) -> None:
        self._log, self._model_of, self._every = log, model_of, every
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

    def _run(self) -> None:
        away = False
        while not self._stop.is_set():
            try:
                run_due_checks(self._log, self._model_of, self._owner)
                away = False
            except Exception as error:  # the log may be away for a while; the next round tries again
                if not away:
                    logger.warning("drift checks are held up until the prediction log answers: %s", _cause(error))
                away = True
            self._wake.wait(self._every)
            self._wake.clear()
