"""A report of a run in a panel over the page. Its HTML goes through the kernel: no server has to serve run folders."""

from __future__ import annotations

from pathlib import Path

import anywidget
from traitlets import Bool, Unicode


class ReportPanel(anywidget.AnyWidget):
    """A closable panel that shows an HTML document in a frame where no script of it runs.

    `open_with` shows a document; closing the panel lets go of it.
    """

    _esm = Path(__file__).with_name("model_report.js")
    title = Unicode().tag(sync=True)
    filename = Unicode().tag(sync=True)
    html = Unicode().tag(sync=True)
    opened = Bool(False).tag(sync=True)

    def __init__(self) -> None:
        super().__init__()
        self.observe(self._let_go, "opened")

    def open_with(self, title: str, filename: str, html: str) -> None:
        """Show a document under a title; `filename` is what it is saved as."""
        with self.hold_sync():
            self.title, self.filename, self.html, self.opened = title, filename, html, True

    def _let_go(self, change) -> None:
        if not change["new"]:
            self.html = ""
