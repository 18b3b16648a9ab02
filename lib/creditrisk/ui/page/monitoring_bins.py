"""The bins of a column in a drift report as people read them: names that say what a bin holds, and its shares."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from creditrisk.monitoring.drift import Bin
from creditrisk.ui.page.monitoring_state import ColumnView

ALWAYS = {"missing": "missing", "levels never seen before": "never seen", "other levels": "other"}
"""Bins that no bound makes, with their short names."""
_BOUND = r"(-?[\d.,]+(?:e[+-]?\d+)?)"
_BELOW, _FROM = re.compile(f"below {_BOUND}"), re.compile(f"{_BOUND} or more")
_BETWEEN, _EXACTLY = re.compile(f"{_BOUND} to {_BOUND}"), re.compile(f"exactly {_BOUND}")
LONGEST = 14


@dataclass(frozen=True)
class BinView:
    """One bin: its name and a short one for an axis, shares of rows before and now, and what it adds to PSI."""

    name: str
    short: str
    before: float
    now: float
    psi: float


def bins_of(column: ColumnView) -> list[BinView]:
    """The bins that hold anything, before or now; what is missing and what was never seen always."""
    before, now = (sum(getattr(one, when) for one in column.bins) or 1 for when in ("before", "now"))
    names = _names(column.bins) if column.kind == "number" else [_of_level(one.name) for one in column.bins]
    return [
        BinView(name, short, one.before / before, one.now / now, one.psi)
        for (name, short), one in zip(names, column.bins, strict=True)
        if one.before or one.now or one.name in ("missing", "levels never seen before")
    ]


def chance_of(column: ColumnView) -> float | None:
    """The PSI that a window of this size shows without any drift."""
    before, now = (sum(getattr(one, when) for one in column.bins) for when in ("before", "now"))
    used = sum(bool(one.before or one.now) for one in column.bins)
    return (used - 1) * (1 / before + 1 / now) if before and now and used else None


def _of_level(name: str) -> tuple[str, str]:
    return name, ALWAYS.get(name, name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…")


def _names(bins: Sequence[Bin]) -> list[tuple[str, str]]:
    exact = [_EXACTLY.fullmatch(one.name) for one in bins]
    before = [None, *exact[:-1]]
    after = [*exact[1:], None]
    return [_of_bin(one.name, was, comes) for one, was, comes in zip(bins, before, after, strict=True)]


def _of_bin(name: str, was: re.Match | None, comes: re.Match | None) -> tuple[str, str]:
    """A bin between bounds; beside one that holds a single value it begins above, or ends below that value."""
    if found := _EXACTLY.fullmatch(name):
        return name, f"= {_compact(found[1])}"
    if found := _BELOW.fullmatch(name):
        return name, f"< {_compact(found[1])}"
    if found := _FROM.fullmatch(name):
        return (f"above {was[1]}", f"> {_compact(was[1])}") if was else (name, f"≥ {_compact(found[1])}")
    if found := _BETWEEN.fullmatch(name):
        low = was[1] if was else found[1]
        word, sign = ("above ", ">") if was else ("", "")
        return f"{word}{low} to {'below ' if comes else ''}{found[2]}", f"{sign}{_compact(low)}–{_compact(found[2])}"
    return name, ALWAYS.get(name, name)


def _compact(text: str) -> str:
    """1,417,000 as 1.42M; what is short stays."""
    value = float(text.replace(",", ""))
    for size, sign in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            return f"{value / (1e3 if sign == 'k' else size):.3g}{sign}"
    return f"{value:.3g}" if abs(value) < 1_000 else f"{value:,.0f}"
