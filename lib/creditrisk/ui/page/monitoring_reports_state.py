"""What the Monitoring tab knows of the drift reports in the log: a list of them, as it is filtered."""

from __future__ import annotations

from traitlets import Any, HasTraits, Unicode

from creditrisk.ui.page.log_access import LogAccess

REPORTS = 500
"""Newest reports that are listed; filters look at all of them."""


class ReportsState(HasTraits):
    """The newest reports of the log: of a version, a trigger and a status, each empty for all.

    `rows` are dicts without the report itself, None before the first reading. `versions` are those to choose from.
    """

    rows = Any(None, allow_none=True)
    versions = Any(())
    version, trigger, status = Unicode(), Unicode(), Unicode()

    def __init__(self, log: LogAccess) -> None:
        super().__init__()
        self.log = log

    def refresh(self) -> None:
        """Read the log again."""
        rows = self.log.ask(
            lambda log: log.reports(
                limit=REPORTS,
                model_version=self.version or None,
                trigger=self.trigger or None,
                status=self.status or None,
                whole=False,
            )
        )
        if rows is None:
            return
        if not (self.version or self.trigger or self.status):
            self.versions = tuple(dict.fromkeys([*self.versions, *(row["model_version"] for row in rows)]))
        self.rows = rows

    def filter(self, **wanted: str) -> None:
        """Keep only reports of this `version`, `trigger`, `status`; empty texts let all pass."""
        for name, value in wanted.items():
            setattr(self, name, value)
        self.refresh()
