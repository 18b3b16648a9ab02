"""Small things that every tab does to its widgets."""

from __future__ import annotations

import ipywidgets as widgets


def classed(widget: widgets.DOMWidget, *names: str) -> widgets.DOMWidget:
    for name in names:
        widget.add_class(name)
    return widget


def shown(widget: widgets.DOMWidget, yes: object) -> None:
    (widget.remove_class if yes else widget.add_class)("cr-quiet")
