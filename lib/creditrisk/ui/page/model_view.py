"""The Model tab: widgets over its state, without logic of their own."""

from __future__ import annotations

import ipywidgets as widgets

from creditrisk.ui.page.model_state import ModelState


class ModelView:
    """The Model tab."""

    def __init__(self, state: ModelState) -> None:
        self._state = state
        self.view = widgets.VBox()

    def look(self) -> None:
        """Come into sight."""
