"""A place to choose or drop a file, which comes over the page's own connection in parts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any, Protocol

import anywidget
from traitlets import Unicode

LONGEST_NAME = 120


class Receiver(Protocol):
    """Who is told of a file that comes."""

    def begin(self, name: str, size: int) -> None: ...
    def receive(self, got: int) -> None: ...
    def refuse(self, name: str, problem: str) -> None: ...


@dataclass
class _Coming:
    id: str
    name: str
    size: int
    content: bytearray = field(default_factory=bytearray)


class Upload(anywidget.AnyWidget):
    """Takes one file at a time; a second one takes the place of the first.

    `problem_of(name, size)` says why a file is not taken, before it is sent; `arrived(name, content)` is called with
    one that is there as a whole.
    """

    _esm = Path(__file__).with_name("upload.js")
    accept = Unicode().tag(sync=True)
    limits = Unicode().tag(sync=True)

    def __init__(
        self,
        receiver: Receiver,
        arrived: Callable[[str, bytes], None],
        problem_of: Callable[[str, int], str],
        *,
        accept: str,
        limits: str,
    ) -> None:
        super().__init__(accept=accept, limits=limits)
        self._receiver, self._arrived, self._problem_of = receiver, arrived, problem_of
        self._coming: _Coming | None = None
        self.on_msg(self._heard)

    def stop(self) -> None:
        """Take no more of the file that is coming."""
        if self._coming is not None:
            self._tell("stop", self._coming.id)
            self._coming = None

    def _heard(self, _widget: object, message: Any, buffers: list) -> None:
        kind, number = message.get("kind"), str(message.get("id", ""))
        if kind == "begin":
            self._begin(message, number)
        elif self._coming is None or number != self._coming.id:
            self._tell("stop", number)
        elif kind == "part":
            self._part(self._coming, buffers)
        elif kind == "failed":
            name, self._coming = self._coming.name, None
            self._receiver.refuse(name, f"{name}: the browser cannot read it any more; choose it again.")

    def _begin(self, message: dict, number: str) -> None:
        self.stop()
        name, size = PurePath(str(message.get("name", ""))).name[-LONGEST_NAME:], int(message.get("size", 0))
        problem = self._problem_of(name, size)
        if message.get("files", 1) != 1:
            problem = "One file at a time: choose or drop a single one."
        if problem:
            self._receiver.refuse(name, problem)
            self._tell("stop", number)
            return
        self._coming = _Coming(number, name, size)
        self._receiver.begin(name, size)
        self._part(self._coming, [])

    def _part(self, coming: _Coming, buffers: list) -> None:
        for part in buffers:
            coming.content += part
        got = len(coming.content)
        if got > coming.size or (buffers and not got):
            self._coming = None
            self._receiver.refuse(coming.name, f"{coming.name}: it changed while it was sent; choose it again.")
            return self._tell("stop", coming.id)
        self._receiver.receive(got)
        if got < coming.size:
            return self._tell("next", coming.id)
        self._coming = None
        self._tell("done", coming.id)
        self._arrived(coming.name, bytes(coming.content))

    def _tell(self, kind: str, number: str) -> None:
        self.send({"kind": kind, "id": number})
