"""A button that hands the browser a file. It goes through the kernel: nothing is written to where a server serves."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anywidget
import pandas as pd
from traitlets import Bool, Unicode

from creditrisk.data.tables import whole_as_such
from creditrisk.errors import CreditRiskError
from creditrisk.serving.retention import no_formula

CSV, PARQUET, JSON, HTML = "text/csv", "application/vnd.apache.parquet", "application/json", "text/html"
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


class Download(anywidget.AnyWidget):
    """A button `label` that makes a file when it is clicked, and saves it as `filename`.

    `make` gives the bytes. Where an event loop runs it is called in a thread, so that the page stays quick; it must not
    touch widgets. When it raises, the button says why, and can be clicked again.
    """

    _esm = Path(__file__).with_name("download.js")
    label = Unicode().tag(sync=True)
    filename = Unicode().tag(sync=True)
    media_type = Unicode().tag(sync=True)
    disabled = Bool(False).tag(sync=True)

    def __init__(self, label: str, filename: str, make: Callable[[], bytes], media_type: str = CSV) -> None:
        super().__init__(label=label, filename=filename, media_type=media_type)
        self.make = make
        self._tasks: set[asyncio.Task] = set()
        self.on_msg(self._asked)

    def _asked(self, _widget: object, message: Any, _buffers: object) -> None:
        if not isinstance(message, dict) or message.get("kind") != "make":
            return
        asked = str(message.get("asked", ""))
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # a plain script or a test
            self._answer(asked, *self._made())
            return
        task = loop.create_task(self._make_aside(asked))
        self._tasks.add(task)  # the loop alone would let it go
        task.add_done_callback(self._tasks.discard)

    async def _make_aside(self, asked: str) -> None:
        self._answer(asked, *await asyncio.to_thread(self._made))

    def _made(self) -> tuple[bytes, str]:
        """The file, or no bytes and what went wrong."""
        try:
            return self.make(), ""
        except (CreditRiskError, OSError) as problem:
            return b"", f"The file could not be made: {problem}"
        except Exception as problem:  # its message may quote applications, or mean nothing to a visitor
            return b"", f"The file could not be made ({type(problem).__name__}). Try again, or reload the page."

    def _answer(self, asked: str, content: bytes, problem: str) -> None:
        self.send({"asked": asked, "problem": problem}, buffers=[] if problem else [content])


def csv_bytes(frame: pd.DataFrame) -> bytes:
    """A table as a CSV file that a spreadsheet opens without computing any text in it as a formula."""
    safe = whole_as_such(frame).rename(columns=_text_only)
    for place, dtype in enumerate(frame.dtypes):
        if not (pd.api.types.is_numeric_dtype(dtype) or pd.api.types.is_datetime64_any_dtype(dtype)):
            safe.isetitem(place, frame.iloc[:, place].astype("object").map(_text_only, na_action="ignore"))
    return safe.to_csv(index=False, lineterminator="\r\n").encode("utf-8-sig")


def _text_only(value: Any) -> Any:
    return value if isinstance(value, str) and _NUMBER.fullmatch(value) else no_formula(value)
