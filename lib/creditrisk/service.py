"""The API as a process: settings, models, prediction log, drift checks and who may call, put together.

Run it with `creditrisk serve`, or with any ASGI server from the factory `creditrisk.service:create`.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from anyio import to_thread
from fastapi import FastAPI
from starlette.types import ASGIApp

from creditrisk.monitoring.alerts import AlertWorker, open_alerts
from creditrisk.monitoring.checks import CheckWorker
from creditrisk.serving.access import LOOPBACK_NAMES, Access, RateLimit, described, keys_from
from creditrisk.serving.api import Direct, create_app
from creditrisk.serving.log import Check, PredictionLog
from creditrisk.serving.metrics import Measured, Metrics
from creditrisk.serving.model import ModelData, load_exact
from creditrisk.serving.models import Models, Watch
from creditrisk.serving.policy import load_policies
from creditrisk.settings import Settings, reload_settings

SWITCH_SECONDS = 0.0005
"""So soon the event loop gets the interpreter back from a drift check (Python's own default is ten times as long)."""


def create() -> ASGIApp:
    """The API with the model that CREDITRISK_SERVE_MODEL names (a version or an alias; default champion).

    Raises ArtifactError, LogError or ParameterError when model, prediction log or settings are not fit to serve.
    """
    chosen = reload_settings()
    policies = load_policies(chosen.policy_file) if chosen.policy_file else None
    models = Models.open(chosen.serve_model, chosen.artifacts_dir, policies)
    str(models.serving.policy)  # raises now, and not with the first request, when none is in force
    metrics = Metrics(chosen.metrics_folder)
    log = PredictionLog(chosen.log_url, chosen.drift_period, busy_seconds=chosen.busy_seconds)
    try:
        log.check_schema()
        alerts = open_alerts(log, chosen)
    except BaseException:
        log.close()
        raise
    sys.setswitchinterval(SWITCH_SECONDS)
    finder = model_finder(models, chosen.artifacts_dir)
    told = AlertWorker(alerts, log) if alerts else None
    checks = CheckWorker(
        log,
        finder,
        on_check=metrics.drift_check,
        made=lambda: app.state.desk.made,
        after_report=lambda check: told and told.look_at(check.model_version, check.model_sha256),
    )
    watch = Watch(models)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        checks.start()
        watch.start()
        if told:
            told.look_at(*models.serving.key)
            told.start()
        try:
            yield
        finally:
            for part in filter(None, (app.state.desk, watch, checks, told)):
                await to_thread.run_sync(part.stop)
            log.close()

    app = create_app(models, log, on_due=checks.wake, lifespan=lifespan, metrics=metrics)
    paths = {path for route in app.routes if (path := getattr(route, "path", ""))}
    return Measured(guarded(app, chosen), metrics, paths)


def guarded(app: FastAPI, chosen: Settings) -> ASGIApp:
    """The application behind its door: API keys, rate limit and security headers, as the settings say."""
    keys = keys_from(chosen.keys_file, chosen.keys)
    limit = RateLimit(chosen.rate_limit, chosen.rate_burst or None) if chosen.rate_limit else None
    plain = app.openapi
    app.openapi = lambda: described(plain(), keys is not None, limit is not None)
    return Access(Direct(app), keys, limit, hosts=LOOPBACK_NAMES | {chosen.serve_host})


def model_finder(models: Models, folder: str) -> Callable[[Check], ModelData]:
    """Finds the model whose predictions a drift check covers: one that serves, else one kept in `folder`.

    The function raises ArtifactError when the folder does not hold that very file.
    """
    known: dict[tuple[str, str], ModelData] = {}

    def find(check: Check) -> ModelData:
        key = (check.model_version, check.model_sha256)
        if key == models.serving.key:
            return models.serving.data
        if key not in known:
            known[key] = load_exact(*key, folder)
        return known[key]

    return find
