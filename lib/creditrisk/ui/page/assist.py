"""What a screen reader is told of the form: which field is wrong and why, and the result once somebody pauses."""

from __future__ import annotations

from pathlib import Path

import anywidget
from traitlets import Dict, Int, Unicode


class Assist(anywidget.AnyWidget):
    """Marks fields by their class, and speaks `spoken`. It shows nothing.

    `fields` has for each class of a field: wrong, below (id of the line below it), needed, label, keyboard. `folds` is
    how many accordions of the class cr-fold there are; their heads are made buttons that keys reach.
    """

    _esm = Path(__file__).with_name("assist.js")
    fields = Dict().tag(sync=True)
    folds = Int(0).tag(sync=True)
    spoken = Unicode().tag(sync=True)
