"""The File tab: widgets over its state, without logic of their own."""

from __future__ import annotations

import ipywidgets as widgets

from creditrisk.ui.page.file_state import FileState


class FileView:
    """The File tab."""

    def __init__(self, state: FileState) -> None:
        self._state = state
        self.view = widgets.VBox()

    def look(self) -> None:
        """Come into sight."""
