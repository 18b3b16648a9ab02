"""The API as a process: settings, model, prediction log and drift checks put together.

Run it with `creditrisk serve`, or with any ASGI server from the factory `creditrisk.service:create`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from anyio import to_thread
from fastapi import FastAPI

from creditrisk.monitoring.checks import CheckWorker
from creditrisk.serving.api import create_app
from creditrisk.serving.log import Check, PredictionLog
from creditrisk.serving.model import ModelData, load_exact, load_model
from creditrisk.serving.scorer import Scorer
from creditrisk.settings import reload_settings


def create() -> FastAPI:
    """The API with the model that CREDITRISK_SERVE_MODEL names (a version or an alias; default champion).

    Raises ArtifactError or LogError when the model or the prediction log is not fit to serve.
    """
    chosen = reload_settings()
    data = load_model(chosen.serve_model, chosen.artifacts_dir)
    log = PredictionLog(chosen.log_url, chosen.drift_period)
    try:
        log.check_schema()
    except BaseException:
        log.close()
        raise
    worker = CheckWorker(log, model_finder(data, chosen.artifacts_dir))

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        worker.start()
        try:
            yield
        finally:
            await to_thread.run_sync(worker.stop)
            log.close()

    return create_app(Scorer(data), log, on_logged=worker.wake, lifespan=lifespan)


def model_finder(served: ModelData, folder: str) -> Callable[[Check], ModelData]:
    """Finds the model whose predictions a drift check covers: the one that serves, else one kept in `folder`.

    The function raises ArtifactError when the folder does not hold that very file.
    """
    known = {(served.version, served.sha256): served}

    def find(check: Check) -> ModelData:
        key = (check.model_version, check.model_sha256)
        if key not in known:
            known[key] = load_exact(*key, folder)
        return known[key]

    return find
