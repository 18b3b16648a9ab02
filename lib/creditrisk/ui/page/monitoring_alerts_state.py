"""What the Monitoring tab knows of alerts: what people were told of, and whether anybody would be."""

from __future__ import annotations

from traitlets import Any, Bool, HasTraits

from creditrisk.serving import alert_log
from creditrisk.settings import settings
from creditrisk.ui.page.log_access import LogAccess

ALERTS = 50


class AlertsState(HasTraits):
    """Changes of status, newest first. With `all` also those that nobody was told of; None before the first reading."""

    alerts = Any(None, allow_none=True)
    all = Bool(False)

    def __init__(self, log: LogAccess) -> None:
        super().__init__()
        self.log = log

    @property
    def has_receivers(self) -> bool:
        """Whether receivers are set where this page runs; a service may run elsewhere, and with others."""
        return bool(settings().alert_urls.strip() or settings().alert_file)

    def refresh(self) -> None:
        """Read the log again."""
        found = self.log.ask(lambda log: alert_log.alerts(log, ALERTS, all=self.all))
        if found is not None:
            self.alerts = found

    def show_all(self, yes: bool) -> None:
        """Show changes that were only remembered, too."""
        self.all = yes
        self.refresh()
