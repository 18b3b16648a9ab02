"""What can be wrong with overrides: in one entry, in a file, and against a portfolio.

A check yields a mistake as (path of keys, what is wrong), so that a file with several mistakes says all at once.
"""

from __future__ import annotations

import difflib
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

from creditrisk.binning.fit import MISSING
from creditrisk.data.portfolio import Column, Portfolio
from creditrisk.data.portfolio_checks import unknown

if TYPE_CHECKING:
    from creditrisk.binning.overrides import Override

FORMAT = 1
FILE_KEYS = ("format", "portfolio", "variables")
KEYS = ("cuts", "groups", "missing", "use", "reason", "by", "at")
USES = ("in", "out")

Where = tuple[str | int, ...]
Found = Iterator[tuple[Where, str]]


# --- A file -----------------------------------------------------------------------------------------------------------


def check_file(data: Mapping) -> Found:
    """The mistakes at the top of a file."""
    yield from _unknown_keys(data, FILE_KEYS)
    version = data.get("format", FORMAT)
    if type(version) is not int or version != FORMAT:
        yield ("format",), f"{shown(version)} is not a format that can be read; it must be {FORMAT}"
    if not isinstance(data.get("portfolio", ""), str):
        yield ("portfolio",), f"{shown(data['portfolio'])} is not the name of a portfolio"
    if not isinstance(data.get("variables", {}), Mapping):
        yield ("variables",), f"{shown(data['variables'])} is not a mapping of variable to what was decided"


def check_entry(said: Any) -> Found:
    """The mistakes in one variable of a file."""
    if not isinstance(said, Mapping):
        yield (), f"{shown(said)} is neither a list of cuts, a list of groups, nor a mapping of {', '.join(KEYS)}"
        return
    if not said:
        yield (), f"says nothing; give one or more of {', '.join(KEYS)}"
    yield from _unknown_keys(said, KEYS)
    yield from check_content(said)


def _unknown_keys(data: Mapping, allowed: tuple[str, ...]) -> Found:
    for key in data:
        if key not in allowed:
            yield (str(key),), f"unknown key{_hint(key, allowed)} (allowed: {', '.join(allowed)})"


# --- One override -----------------------------------------------------------------------------------------------------


def check_content(said: Mapping) -> Found:
    """The mistakes in what one override says, by key; what is None or absent is not said."""
    for check in (_check_cuts, _check_groups, _check_missing, _check_use, _check_record):
        yield from check(said)


def _check_cuts(said: Mapping) -> Found:
    cuts = said.get("cuts")
    if cuts is None:
        return
    if said.get("groups") is not None:
        yield ("cuts",), "stand beside groups; a number has cuts, a category groups"
    if not isinstance(cuts, list | tuple):
        yield ("cuts",), f"{shown(cuts)} is not a list of numbers"
        return
    seen = set()
    for i, cut in enumerate(cuts):
        if isinstance(cut, list | tuple):
            yield ("cuts", i), f"{shown(cut)} is a list; groups of levels stand under the key groups"
        elif isinstance(cut, str):
            yield ("cuts", i), f"{shown(cut)} is not a number; levels stand in lists, one list for each group"
        elif isinstance(cut, bool) or not isinstance(cut, Real):
            yield ("cuts", i), f"{shown(cut)} is not a number"
        elif not _is_finite(cut):
            yield ("cuts", i), f"{shown(cut)} is not finite; the outermost bins are open, so leave out their ends"
        elif float(cut) in seen:
            yield ("cuts", i), f"{float(cut):g} stands twice"
        else:
            seen.add(float(cut))


def _check_groups(said: Mapping) -> Found:
    groups = said.get("groups")
    if groups is None:
        return
    if not isinstance(groups, list | tuple) or not groups:
        yield ("groups",), f"{shown(groups)} is not a list of groups, each a list of levels"
        return
    seen = set()
    for i, group in enumerate(groups):
        if not isinstance(group, list | tuple) or not group:
            yield ("groups", i), f"{shown(group)} is not a group, a list of one or more levels"
            continue
        for j, level in enumerate(group):
            if level is None:
                yield ("groups", i, j), "null is no level; what missing values are worth stands under the key missing"
            elif not isinstance(level, str):
                yield ("groups", i, j), f"the level {shown(level)} is not text"
            elif level in seen:
                yield ("groups", i, j), f"the level {level!r} stands twice"
            else:
                seen.add(level)


def _check_missing(said: Mapping) -> Found:
    missing = said.get("missing")
    if missing is None or (isinstance(missing, str) and missing in MISSING):
        return
    if isinstance(missing, bool) or not isinstance(missing, Integral):
        known = f"{', '.join(MISSING)}, or the number of a bin"
        yield ("missing",), f"{shown(missing)} is no policy{_hint(missing, MISSING)} (allowed: {known})"
        return
    bins = [said[key] for key in ("cuts", "groups") if isinstance(said.get(key), list | tuple)]
    if not bins:
        yield ("missing",), f"the number of a bin ({missing}) needs cuts or groups beside it"
        return
    count = len(bins[0]) + (said.get("cuts") is not None)
    if not 0 <= missing < count:
        yield ("missing",), f"there is no bin {missing}; they are numbered from 0 to {count - 1}"


def _check_use(said: Mapping) -> Found:
    use, reason = said.get("use", ""), said.get("reason", "")
    if use not in ("", *USES):
        yield ("use",), f'{shown(use)} is neither "in" nor "out"{_hint(use, USES)}'
    elif use and isinstance(reason, str) and not reason.strip():
        yield ("use",), f'"{use}" needs a reason: say why the variable is forced {use}'


def _check_record(said: Mapping) -> Found:
    for key in ("reason", "by", "at"):
        if not isinstance(said.get(key, ""), str):
            yield (key,), f"{shown(said[key])} is not text"
    at = said.get("at", "")
    if isinstance(at, str) and at and not _is_utc(at):
        yield ("at",), f"{at!r} is not an ISO time in UTC such as 2024-01-31T09:30:00+00:00"


def _is_finite(number: Any) -> bool:
    try:
        return math.isfinite(number)
    except OverflowError:  # a whole number beyond the range of floats
        return False


def _is_utc(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).utcoffset() == timedelta(0)
    except ValueError:
        return False


# --- Against a portfolio ----------------------------------------------------------------------------------------------


def check_against(one: Override, book: Portfolio) -> Found:
    """What one override asks that the portfolio does not allow."""
    column = book.columns.get(one.variable)
    if column is None:
        yield (), _no_column(one.variable, book)
        return
    asks = one.use == "in" or one.bins is not None or one.missing is not None
    if asks and one.variable not in book.candidates:
        yield ("use",) if one.use == "in" else (), f"no model may use it: {_barred(one.variable, column, book)}"
        return
    if column.is_numeric and one.groups is not None:
        yield ("groups",), "groups of levels for a number; give cuts"
    if not column.is_numeric and one.cuts is not None:
        yield ("cuts",), f"cuts for text; give groups of its levels: {', '.join(column.levels)}"
    for i, group in enumerate(one.groups or ()):
        for j, level in enumerate(group):
            if not column.is_numeric and level not in column.levels:
                yield ("groups", i, j), _no_level(level, column)


def _no_column(name: str, book: Portfolio) -> str:
    if name in book.wire_names:
        return f"there is no column {name!r}; its name here is {book.wire_names[name]!r}"
    near = [one for one in book.columns if one.lower() == name.lower()]
    near = near or difflib.get_close_matches(name, book.columns, 1)
    hint = f"did you mean {near[0]!r}?" if near else f"a model may use {', '.join(book.candidates)}"
    return f"there is no column {name!r}; {hint}"


def _barred(name: str, column: Column, book: Portfolio) -> str:
    """Why a column is no candidate."""
    restricted = book.restricted.get(name)
    if column.role == "audit" or (restricted and restricted.use == "audit"):
        return "it is protected, audited but never modelled"
    if column.role in ("id", "target"):
        return {"id": "it is an identifier", "target": "it is the outcome itself"}[column.role]
    if not column.known_at_application:
        return "it is not known at application"
    return f"it is not asked of an applicant (role {column.role!r}, kind {column.kind!r})"


def _no_level(level: str, column: Column) -> str:
    if level in column.aliases:
        return f"{level!r} is a spelling of the level {column.aliases[level]!r}; write that"
    return unknown(level, column.levels, "level")


# --- Where it stands, and how it is told ------------------------------------------------------------------------------

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|\n|[^\s{}\[\],:"]+')


def lines_of(text: str) -> tuple[dict[Where, int], list[tuple[Where, str]]]:
    """The line (from 1) of each key and list item of a JSON text, by its path; and a mistake for each key that stands
    twice, of which a reader of JSON would keep the last without a word."""
    lines: dict[Where, int] = {}
    twice = []
    path: list[str | int] = []
    line, last = 1, ""
    for match in _TOKEN.finditer(text):
        token = match[0]
        if token == "\n":
            line += 1
            continue
        if path and isinstance(path[-1], int) and token not in "]},:":
            lines[tuple(path)] = line
        if token in "{[":
            path.append("" if token == "{" else 0)
        elif token in "}]":
            path.pop()
        elif token == "," and isinstance(path[-1], int):
            path[-1] += 1
        elif token == ":":
            path[-1] = json.loads(last)
            at = tuple(path)
            if at in lines:
                twice.append((at, "this key stands twice"))
                lines = {other: where for other, where in lines.items() if other[: len(at)] != at}
            lines[at] = line
        last = token
    return lines, twice


def told(found: Iterable[tuple[Where, str]], source: str, lines: Mapping[Where, int]) -> str:
    """Mistakes as text, one a line and in the order of the file: file, line, variable and key, what is wrong."""
    messages = []
    for at, what in found:
        bare = at[:2] + at[3:]  # where a file has a list for a variable, it names no key for it
        line = next((lines[one[:n]] for n in range(len(at), 0, -1) for one in (at, bare) if one[:n] in lines), 0)
        shown_from = 1 if at[:1] == ("variables",) and len(at) > 1 else 0
        keys = ".".join(key for key in at[shown_from:] if isinstance(key, str))
        place = f"{source}, line {line}" if line else source
        messages.append((line, f"{place}, {keys}: {what}" if keys else f"{place}: {what}"))
    return "\n".join(dict.fromkeys(text for _, text in sorted(messages, key=lambda one: one[0])))


def shown(value: Any) -> str:
    """A value in a message, cut short when it is long."""
    try:
        text = repr(value)
    except ValueError:  # a whole number of thousands of digits
        return "this number"
    return text if len(text) <= 60 else text[:57] + "..."


def _hint(value: Any, allowed: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(str(value).lower(), allowed, 1)
    return f"; did you mean {near[0]!r}?" if near else ""
