"""Alerts: people are told when the status of a subject changes (drift, outcomes), not at every check.

What is told is decided in the prediction log (serving/alert_log.py); here it is sent. An alert is sent outside of any
transaction, by whoever holds its lease. A receiver gets it at least once: twice, when its sender died before it could
say that it had sent. One that cannot be reached is tried again, without the others getting it again.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

from creditrisk.errors import CreditRiskError, ParameterError
from creditrisk.monitoring.drift import flagged_run, stream_status
from creditrisk.monitoring.outcomes import (
    NO_ACTION,
    NO_OUTCOME,
    RECALIBRATE,
    REDEVELOP,
    WATCH,
    OutcomeReport,
)
from creditrisk.monitoring.receivers import Receiver, open_receivers
from creditrisk.serving import alert_log
from creditrisk.serving.alert_log import AMBER, GREEN, INSUFFICIENT, NOTIFY, RED, STATUSES, Alert, Judged, Words
from creditrisk.serving.records import one_of
from creditrisk.settings import Settings

if TYPE_CHECKING:
    from creditrisk.serving.log import PredictionLog

logger = logging.getLogger(__name__)

COOL_DOWN_SECONDS = 6 * 3600.0
LEASE_SECONDS = 120.0
"""So long an alert is its sender's own; a receiver that does not answer takes some 20 s."""
FLAGGED = (AMBER, RED)
OF_OUTCOMES = {NO_OUTCOME: INSUFFICIENT, NO_ACTION: GREEN, WATCH: AMBER, RECALIBRATE: RED, REDEVELOP: RED}
"""What a verdict on outcomes is among the statuses."""
NAMED = 8
"""Columns that a message names."""


@dataclass(frozen=True)
class Sent:
    """An alert that somebody has now. `receivers` have it; `missing` could not be reached yet, each with why."""

    alert_id: int
    subject: str
    status: str
    title: str
    receivers: tuple[str, ...]
    missing: dict[str, str] = field(default_factory=dict)


class Alerts:
    """Tells the receivers behind apprise `urls` (and those of an apprise `file`) when a status changes.

    `notify` are the statuses that are told, the others are remembered only. Within `cool_down_seconds` after an alert a
    further change of the same subject waits. Safe to share between threads; every process makes its own, and each alert
    is sent by one of them. Raises ParameterError for what is no apprise URL, and when there is no receiver at all.
    """

    def __init__(
        self,
        log: PredictionLog,
        urls: str | Sequence[str],
        cool_down_seconds: float = COOL_DOWN_SECONDS,
        *,
        file: Path | None = None,
        notify: Collection[str] = NOTIFY,
        lease_seconds: float = LEASE_SECONDS,
    ) -> None:
        for status in notify:
            one_of("status to be told", status, STATUSES)
        self.receivers: list[Receiver] = open_receivers(urls, file)
        if not self.receivers:
            raise ParameterError(NO_RECEIVER)
        self._log, self._cool_down, self._notify = log, cool_down_seconds, frozenset(notify)
        self._lease_seconds = lease_seconds
        self._owner = f"{socket.gethostname()}:{os.getpid()}"
        self._one_at_a_time = threading.Lock()

    def consider(
        self,
        subject: str,
        status: str,
        title: str,
        body: str,
        *,
        model_version: str = "",
        model_sha256: str = "",
        send: bool = True,
    ) -> Sent | None:
        """Remember the subject's status and tell of it if it is news; returns who has the alert, None when nobody has.

        `subject` as in "drift:v2", `status` one of STATUSES. Told is a change to red, or back to green from what was
        told, and other statuses when they are in `notify`; the first status of a subject only when it is red. A change
        within the cool-down is held back, and told at its end if it is still one then: by `flush`. Without `send` that
        is left to `flush` too. Raises LogError when the log cannot be reached; a receiver that cannot be is no error.
        """
        one_of("status", status, STATUSES)
        judged = Judged(status, lambda _: (title, body))
        model = {"model_version": model_version, "model_sha256": model_sha256}
        return self.consider_judged(subject, lambda _: judged, **model, send=send)

    def consider_judged(
        self,
        subject: str,
        judge: Callable[[sa.Connection], Judged | None],
        *,
        model_version: str = "",
        model_sha256: str = "",
        send: bool = True,
    ) -> Sent | None:
        """As `consider`, with a status that is judged from the log itself, in the transaction that decides."""
        alert = alert_log.decide(
            self._log,
            subject,
            judge,
            model_version=model_version,
            model_sha256=model_sha256,
            cool_down=self._cool_down,
            notify=self._notify,
        )
        if not send:
            return None
        sent = self.flush()
        return next((one for one in sent if alert is not None and one.alert_id == alert.id), None)

    def flush(self) -> list[Sent]:
        """Send what is due: held alerts whose cool-down is over, failed attempts whose time has come, orphans.

        Returns what reached somebody. Raises LogError when the log cannot be reached.
        """
        with self._one_at_a_time:
            alert_log.release(self._log, self._cool_down)
            sent = []
            while (alert := alert_log.claim(self._log, self._owner, self._lease_seconds)) is not None:
                done = self._send(alert)
                if done.receivers:
                    sent.append(done)
            return sent

    def _send(self, alert: Alert) -> Sent:
        """One attempt: to every receiver that has not got the alert yet."""
        have = [one.name for one in self.receivers if one.name in (alert.delivered or ())]
        waiting = [one for one in self.receivers if one.name not in have]
        reached, missing = [], {}
        for place, receiver in enumerate(waiting, start=1):
            reason = receiver.send(alert.title, alert.body, alert.status)
            if reason is None:
                reached.append(receiver.name)
            else:
                missing[receiver.name] = reason
            if place < len(waiting):
                alert_log.note(self._log, alert, [*have, *reached], self._lease_seconds)
        error = "; ".join(f"{name}: {reason}" for name, reason in missing.items()) or None
        again = alert_log.finish(self._log, alert, [*have, *reached], error)
        if error:
            then = f"next attempt at {again:%H:%M:%S} UTC" if again else "given up"
            logger.warning("alert %s (%s) did not reach all: %s; %s", alert.id, alert.subject, error, then)
        return Sent(alert.id, alert.subject, alert.status, alert.title, tuple(reached), missing)


NO_RECEIVER = "no receiver of alerts: set CREDITRISK_ALERT_URLS, or CREDITRISK_ALERT_FILE; docs/monitoring.md says how"


def open_alerts(log: PredictionLog, chosen: Settings) -> Alerts | None:
    """Alerts as the settings say; None when they name no receiver. Raises ParameterError for what cannot be."""
    if not chosen.alert_urls.strip() and chosen.alert_file is None:
        return None
    file, notify = chosen.alert_file, statuses_told(chosen)
    return Alerts(log, chosen.alert_urls, chosen.alert_cool_down, file=file, notify=notify)


def statuses_told(chosen: Settings) -> frozenset[str]:
    """The statuses that the settings want told. Raises ParameterError for an unknown one."""
    notify = frozenset(one.strip() for one in chosen.alert_on.split(",") if one.strip())
    if wrong := sorted(notify.difference(STATUSES)):
        raise ParameterError(f"CREDITRISK_ALERT_ON: {wrong[0]!r} is no status; use some of {', '.join(STATUSES)}")
    return notify


# Outcomes


def consider_outcomes(alerts: Alerts, report: OutcomeReport) -> Sent | None:
    """Tell when the verdict on a model's outcomes has changed. Figures of groups only, nothing of an applicant."""
    title = f"Outcomes of model {report.model_version}: {report.verdict}"
    body = f"As of {report.rules.as_of:%Y-%m-%d}: {report.reason or report.headline}. See: creditrisk outcomes"
    model = {"model_version": report.model_version, "model_sha256": report.model_sha256}
    return alerts.consider(f"outcomes:{report.model_version}", OF_OUTCOMES[report.verdict], title, body, **model)


# Drift


def consider_drift(
    alerts: Alerts, log: PredictionLog, model_version: str, model_sha256: str, *, send: bool = True
) -> Sent | None:
    """Tell when a model's stream of predictions has begun to drift, or looks like its baseline again.

    Judged from the newest automatic drift reports, whatever the order in which they were stored: red when the last two
    windows were flagged, one directly after the other; amber when only the last was. `log` is the one of `alerts`.
    """

    def judge(connection: sa.Connection) -> Judged | None:
        windows = alert_log.drift_windows(connection, model_version, model_sha256)
        status = stream_status(windows)
        return status and Judged(status, lambda again: _drift_words(again, model_version, model_sha256, windows))

    model = {"model_version": model_version, "model_sha256": model_sha256}
    return alerts.consider_judged(f"drift:{model_version}", judge, **model, send=send)


def _drift_words(
    connection: sa.Connection, model_version: str, model_sha256: str, windows: Sequence[tuple[int, str]]
) -> Words:
    """Title and body: which columns, how many windows, what to do next. Names and counts only: no applicant's data."""
    (newest, status), stream = windows[0], stream_status(windows)
    number, report = alert_log.drift_report(connection, model_version, model_sha256, newest) or (None, {})
    rows = f" of {report['rows']:,} predictions" if report.get("rows") else ""
    whose = f"model {model_version} ({model_sha256[:12]})"
    where = f"Report {number}, window {newest}{rows}: " if number else f"Window {newest}: "
    if stream == GREEN:
        title = f"creditrisk: no drift of model {model_version} any more"
        return title, f"{where}the newest predictions of {whose} look like its baseline again. Nothing to do."
    if stream == INSUFFICIENT:
        title = f"creditrisk: drift of model {model_version} cannot be judged"
        advice = "See which columns no longer arrive, or arrive empty: the report names them."
        return title, f"{where}there is too little to compare the predictions of {whose} on.\n{advice}"
    run = flagged_run(windows)
    flagged = [str(name) for name in report.get("flagged", ())]
    names = ", ".join(flagged[:NAMED]) + (f" and {len(flagged) - NAMED} more" if len(flagged) > NAMED else "")
    more = " or more" if run == alert_log.WINDOWS else ""
    often = f"the last {run} windows{more} in a row were flagged" if run > 1 else "the last window was flagged"
    lines = [
        f"The predictions of {whose} no longer look like its baseline: {often}.",
        f"{where}{status}. Columns: {names or 'see the report'}.",
        "What to do: look at the report (monitoring page, or creditrisk drift) and ask what has changed, the "
        "applicants or the way a column is filled. Mend a broken column at its source. If the applicants have changed, "
        "hold predictions against outcomes: recalibrate when the level is off, redevelop when the ranking is.",
    ]
    title = f"creditrisk: drift of model {model_version} is {stream}"
    return title, "\n".join(lines if run > 1 else [*lines[:2], "One window alone may be chance; the next one tells."])


# The worker


class AlertWorker:
    """Judges streams and sends alerts in a thread of its own, so that neither predictions nor drift checks wait.

    Every `every` seconds, and at once when it is told of a new report, it looks at the models that it knows of: an
    alert that a dying process did not get round to is made up for.
    """

    def __init__(self, alerts: Alerts, log: PredictionLog, every: float = 15.0) -> None:
        self._alerts, self._log, self._every = alerts, log, every
        self._models: dict[tuple[str, str], None] = {}
        self._wake, self._stop = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="alerts", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def look_at(self, model_version: str, model_sha256: str) -> None:
        """Judge this model now, and from now on."""
        self._models[model_version, model_sha256] = None
        self._wake.set()

    def stop(self) -> None:
        """What is being sent may end within 10 s; else another process sends it again."""
        self._stop.set()
        self._wake.set()
        self._thread.join(timeout=10)

    def _run(self) -> None:
        away = False
        while not self._stop.is_set():
            self._wake.clear()
            try:
                for model in list(self._models):
                    consider_drift(self._alerts, self._log, *model, send=False)
                self._alerts.flush()
                away = False
            except Exception as error:  # the log may be away for a while; the next round tries again
                if not away:
                    cause = str(error) if isinstance(error, CreditRiskError) else type(error).__name__
                    logger.warning("alerts are held up until the prediction log answers: %s", cause)
                away = True
            if not self._stop.is_set():
                self._wake.wait(self._every)
