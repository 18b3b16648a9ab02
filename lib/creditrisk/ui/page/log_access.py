"""The prediction log as the page meets it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from traitlets import HasTraits, Unicode

from creditrisk.errors import LogError
from creditrisk.serving.log import PredictionLog, migrate

T = TypeVar("T")


class LogAccess(HasTraits):
    """The prediction log as the page meets it: opened when first asked, its schema made where there is none.

    `problem` is empty while the log answers; else it says what is wrong and what to do.
    """

    problem = Unicode()

    def __init__(self, url: str, period: int) -> None:
        super().__init__()
        self.url, self.period = url, period
        self._log: PredictionLog | None = None

    def ask(self, question: Callable[[PredictionLog], T]) -> T | None:
        """The answer of the log, or None when it gives none; the next question then opens it anew."""
        try:
            if self._log is None:
                self._log = self.open()
            answer = question(self._log)
        except (LogError, OSError) as problem:
            self.close()
            self.problem = str(problem)
            return None
        self.problem = ""
        return answer

    def open(self) -> PredictionLog:
        """A log of its own, for work in a thread; the caller closes it. Raises LogError."""
        log = PredictionLog(self.url, self.period)
        try:
            log.check_schema()
        except LogError:
            log.close()
            migrate(self.url)
        return log

    def close(self) -> None:
        """Give the connections back."""
        if self._log is not None:
            self._log.close()
            self._log = None
