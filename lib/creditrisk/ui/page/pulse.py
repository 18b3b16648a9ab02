"""What has changed behind the page since it last looked: new predictions, new reports, a newer champion."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from creditrisk.errors import CreditRiskError
from creditrisk.serving.log import PredictionLog
from creditrisk.serving.model import CHAMPION, read_manifest, resolve

SECONDS = 5.0
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Seen:
    """The newest of everything: ids of the last prediction and the last report, the champion's version and hash.

    `problem` says why the log does not answer; its ids are then empty.
    """

    prediction: str = ""
    report: int = 0
    champion: tuple[str, str] = ("", "")
    problem: str = ""


class Pulse:
    """Looks at the log and the manifest every few seconds, and tells when something is new.

    The looking is done in a thread: a database that does not answer must not hold up somebody who types.
    """

    def __init__(self, url: str, artifacts: str = "") -> None:
        self._url, self._artifacts = url, artifacts
        self._log: PredictionLog | None = None
        self._task: asyncio.Task | None = None

    def look(self) -> Seen:
        """The newest of everything at this moment."""
        prediction, report, problem = "", 0, ""
        try:
            if self._log is None:
                self._log = PredictionLog(self._url)
            newest, reports = self._log.predictions(limit=1), self._log.reports(limit=1)
            prediction = newest[0]["prediction_id"] if newest else ""
            report = reports[0]["id"] if reports else 0
        except (CreditRiskError, OSError) as error:
            problem = str(error)
            self._forget()
        return Seen(prediction, report, self._champion(), problem)

    def _champion(self) -> tuple[str, str]:
        try:
            manifest = read_manifest(self._artifacts)
            version = resolve(CHAMPION, manifest)
            return version, manifest["models"][version]["sha256"]
        except (CreditRiskError, OSError):
            return "", ""

    def start(self, tell: Callable[[Seen], None], seconds: float = SECONDS) -> None:
        """Call `tell` in the running event loop whenever something is new; does nothing where no loop runs.

        When it raises it is told again at the next look: one chart that fails must not leave a page without news.
        """
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # a plain script or a test: nobody to tell
            return
        self._task = loop.create_task(self._beat(tell, seconds))

    async def _beat(self, tell: Callable[[Seen], None], seconds: float) -> None:
        before = await asyncio.to_thread(self.look)
        while True:
            await asyncio.sleep(seconds)
            now = await asyncio.to_thread(self.look)
            if now != before:
                try:
                    tell(now)
                    before = now
                except Exception as problem:  # its message may quote applications
                    logger.error("What is new could not be shown (%s)", type(problem).__name__)

    def stop(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()
        self._forget()

    def _forget(self) -> None:
        if self._log is not None:
            self._log.close()
            self._log = None
