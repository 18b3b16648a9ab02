"""HTML in which parts can be picked, by click or by key."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import anywidget
from traitlets import Bool, List, Unicode


class Picks(anywidget.AnyWidget):
    """`html` whose buttons with `data-pick` tell `picked` their value; those named in `current` are marked.

    With `roving` the buttons of a table are one tab stop, and arrow keys go from one to the next. `at_end` shows the
    right end of a table that is wider than its box, until somebody scrolls. Whoever makes the HTML escapes what comes
    from outside.
    """

    _esm = Path(__file__).with_name("picks.js")
    html = Unicode().tag(sync=True)
    current = List(Unicode()).tag(sync=True)
    roving = Bool(False).tag(sync=True)
    at_end = Bool(False).tag(sync=True)

    def __init__(self, picked: Callable[[str], None], **settings) -> None:
        super().__init__(**settings)
        self.pick = picked
        self.on_msg(self._told)

    def _told(self, _widget: object, message: object, _buffers: object) -> None:
        if isinstance(message, dict) and isinstance(message.get("pick"), str):
            self.pick(message["pick"])
