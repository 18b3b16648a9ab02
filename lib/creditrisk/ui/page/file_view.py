"""The File tab: widgets over its state, without logic of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import PurePath

import ipywidgets as widgets

from creditrisk.ui.page import file_html, file_scoring
from creditrisk.ui.page.download import PARQUET, Download
from creditrisk.ui.page.file_grid import REJECTED, GridPlace, scored_columns
from creditrisk.ui.page.file_state import LOGGING, SHOWN, FileState, rejected_table
from creditrisk.ui.page.parts import classed, shown
from creditrisk.ui.page.upload import Upload

ORDERS = [
    ("in the order of the file", "first"),
    ("highest PD first", "riskiest"),
    ("lowest PD first", "safest"),
    ("approved", "approve"),
    ("referred", "refer"),
    ("declined", "decline"),
]


class FileView:
    """A place for a file, what came of it, and what a file must hold."""

    def __init__(self, state: FileState) -> None:
        self._state = state
        self._tasks: set[asyncio.Task] = set()
        self.upload = Upload(
            state, self._arrived, _refusal, accept=",".join(file_scoring.KINDS), limits=file_html.LIMITS
        )
        self._progress, self._problem = widgets.HTML(), widgets.HTML()
        self._summary, self._logging = widgets.HTML(), widgets.HTML()
        self._scored_head, self._rejected_head = widgets.HTML(), widgets.HTML()
        self.stop = widgets.Button(description="Stop")
        self.log = classed(widgets.Button(description="Log these predictions"), "mod-primary")
        self.order = widgets.Dropdown(description="Show", options=ORDERS, value="first")
        self.scored, self.rejected = GridPlace("Scored rows"), GridPlace("Rejected rows")
        self.downloads = [
            Download("Scored file, CSV", "scored.csv", state.scored_csv),
            Download("Scored file, Parquet", "scored.parquet", state.scored_parquet, PARQUET),
        ]
        self.rejected_download = Download("Rejected rows, CSV", "rejected.csv", state.rejected_csv)
        self.template = Download("Template, CSV", f"{state.book.name}_applications.csv", state.template_csv)
        self.stop.on_click(lambda _: self._stop())
        self.log.on_click(lambda _: self._do(state.store()))
        self.order.observe(self._show_rows, "value")
        self.view = classed(widgets.VBox(self._cards()), "cr-stack", "cr-file")
        state.observe(self._show_progress, ["stage", "done", "total"])
        state.observe(self._show, ["stage", "problem", "notice", "log_problem", "preview", "logged"])
        state.observe(self._show_preview, ["preview", "logged"])
        self._show()
        self._show_preview()

    def look(self) -> None:
        """Nothing here is read anew."""

    def _cards(self) -> list[widgets.Widget]:
        doing = classed(widgets.Box([self._progress, self.stop]), "cr-bar", "cr-doing")
        heading = widgets.HTML(file_html.heading(self._state.version))
        larger = widgets.HTML(file_html.larger())
        self._doing = doing
        first = classed(widgets.VBox([heading, self.upload, larger, doing, self._problem]), "cr-card")
        bar = classed(widgets.Box([self._scored_head, self.order]), "cr-bar")
        take = classed(widgets.Box(self.downloads), "cr-actions")
        take_rejected = classed(widgets.Box([self.rejected_download]), "cr-actions")
        log = classed(widgets.Box([self.log]), "cr-actions")
        self._summary_card = classed(widgets.VBox([self._summary]), "cr-card")
        self._log_card = classed(widgets.VBox([self._logging, log]), "cr-card")
        self._scored_card = classed(widgets.VBox([bar, self.scored.box, take]), "cr-card")
        self._rejected_card = classed(widgets.VBox([self._rejected_head, self.rejected.box, take_rejected]), "cr-card")
        columns = widgets.HTML(file_html.columns_table(self._state.book))
        needed = classed(widgets.VBox([columns, classed(widgets.Box([self.template]), "cr-actions")]), "cr-card")
        return [first, self._summary_card, self._rejected_card, self._scored_card, self._log_card, needed]

    def _arrived(self, name: str, content: bytes) -> None:
        self._do(self._state.score(name, content))

    def _stop(self) -> None:
        self.upload.stop()
        self._state.stop()

    def _do(self, work: Coroutine) -> None:
        """Begin work that takes a while; the page stays free."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # a plain script or a test
            asyncio.run(work)
            return
        task = loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _show_progress(self, _change=None) -> None:
        self._progress.value = file_html.progress(self._state)
        shown(self._doing, self._state.busy)

    def _show(self, _change=None) -> None:
        state = self._state
        self._show_progress()
        self._problem.value = file_html.problem(state)
        preview = state.preview
        self._logging.value = file_html.logging(state)
        self.log.disabled = state.busy or state.logged is not None or preview is None or bool(preview.kept_out)
        self.log.description = "Logged" if state.logged else "Logging…" if state.stage == LOGGING else _to_log(preview)
        found = preview is not None
        shown(self._summary_card, found)
        shown(self._log_card, found and preview.parts)
        shown(self._scored_card, found and preview.parts)
        shown(self._rejected_card, found and len(preview.checked.rejected))

    def _show_preview(self, _change=None) -> None:
        preview = self._state.preview
        if preview is None:
            self._summary.value = ""
            return
        self._summary.value = file_html.summary(preview)
        stem = PurePath(preview.name).stem
        for button, ending in zip(self.downloads, ("csv", "parquet"), strict=True):
            button.filename = f"{stem}_scored.{ending}"
        self.rejected_download.filename = f"{stem}_rejected.csv"
        if len(preview.checked.rejected):
            rows = rejected_table(preview).head(SHOWN)
            self.rejected.show(rows, REJECTED)
            self._rejected_head.value = file_html.rejected_heading(preview, len(rows))
        self._show_rows()

    def _show_rows(self, _change=None) -> None:
        if self._state.preview is None or not self._state.preview.parts:
            return
        rows, of = self._state.rows_to_show(self.order.value)
        self.scored.show(rows, scored_columns(rows, self._state.book))
        self._scored_head.value = file_html.scored_heading(len(rows), of, self._state.preview.scored)


def _refusal(name: str, size: int) -> str:
    return file_scoring.too_large(name, size) if size > file_scoring.MAX_BYTES else ""


def _to_log(preview) -> str:
    return f"Log {preview.scored:,} prediction{'s' if preview.scored != 1 else ''}" if preview else "Log"
