"""The box that the page and the bench stand in."""

from __future__ import annotations

import ipywidgets as widgets


class SummaryBox(widgets.VBox):
    """Widgets below each other; where widgets cannot be shown, it says in one line what they hold."""

    def __init__(self, children, summary: str) -> None:
        super().__init__(children)
        self._summary = summary

    def __repr__(self) -> str:
        return self._summary
