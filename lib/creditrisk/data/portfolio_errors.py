"""Mistakes in a portfolio file as a person can act on them: file, line, key path, what is wrong, what is allowed."""

from __future__ import annotations

import difflib
import re
from typing import get_args, get_origin

from pydantic import BaseModel

from creditrisk.data.portfolio_checks import Found, Mistakes, Path

_WORDS = {
    "model_type": "a table",
    "dict_type": "a table",
    "tuple_type": "a list",
    "string_type": "text",
    "bool_type": "true or false",
    "int_type": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
}


def explain(mistakes: list[dict], data: dict, model: type[BaseModel]) -> Found:
    """What pydantic found when it read `data` as `model`, in the words of a TOML file."""
    expected: dict[Path, list[str]] = {}
    for mistake in mistakes:
        path, value = _place(mistake["loc"], data), _shown(mistake["input"])
        error = mistake.get("ctx", {}).get("error")
        if isinstance(error, Mistakes):
            yield from (((*path, *inner), message) for inner, message in error.found)
        elif mistake["type"] == "extra_forbidden":
            allowed = _allowed_keys(path[:-1], model)
            near = difflib.get_close_matches(path[-1], allowed, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            yield path, f"unknown key {path[-1]!r}{hint} (allowed: {', '.join(allowed)})"
        elif mistake["type"] == "missing":
            yield path, f"the key {path[-1]!r} is missing"
        elif mistake["type"] == "value_error":
            yield path, str(error)
        elif mistake["type"] in _WORDS:
            expected.setdefault((*path, value), []).append(_WORDS[mistake["type"]])
        else:
            yield path, f"{mistake['msg'].replace('Input should be', 'must be')}, but it is {value}"
    for (*path, value), words in expected.items():  # a union of types gives one mistake a type
        yield tuple(path), f"must be {' or '.join(words)}, but it is {value}"


def _place(loc: tuple, data) -> Path:
    """The key path of a mistake, without the names of union members at its end."""
    path = []
    for part in loc:
        if not isinstance(data, tuple if isinstance(part, int) else dict):
            break
        path.append(str(part))
        data = data[part] if isinstance(part, int) else data.get(part)
    return tuple(path)


def _shown(value) -> str:
    text = repr(list(value) if isinstance(value, tuple) else value)
    return text if len(text) <= 60 else text[:57] + "..."


def located(path: Path, message: str, text: str, source: str) -> str:
    """One line: file, line, key path, what is wrong."""
    line = line_of(text, path)
    where = f"{source}, line {line}" if line else source
    return f"{where}, {'.'.join(path)}: {message}"


def _allowed_keys(path: Path, model: type[BaseModel]) -> list[str]:
    """The keys that the part at `path` of a portfolio file allows."""
    rest = list(path)
    while rest:
        annotation = model.model_fields[rest.pop(0)].annotation
        if get_origin(annotation) in (dict, tuple):
            rest.pop(0)  # the name or number of one of many
        model = next(one for one in (annotation, *get_args(annotation)) if isinstance(one, type(BaseModel)))
    return list(model.model_fields)


_KEY = r"""(?:"[^"]*"|'[^']*'|[\w-]+)"""
_DOTTED = rf"({_KEY}(?:\s*\.\s*{_KEY})*)\s*"


def line_of(text: str, path: Path) -> int | None:
    """The line (from 1) of the deepest key of `path` that can be found in the TOML text."""
    best: tuple[int, int] | None = None
    header: list[str] = []
    counts: dict[Path, int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if match := re.match(rf"\s*(\[\[?)\s*{_DOTTED}\]", line):
            header = _keys(match[2])
            if match[1] == "[[":
                counts[tuple(header)] = counts.get(tuple(header), -1) + 1
                header.append(str(counts[tuple(header)]))
            here = header
        elif match := re.match(rf"\s*{_DOTTED}=", line):
            here = header + _keys(match[1])
        else:
            continue
        if tuple(here) == path[: len(here)] and (best is None or len(here) > best[0]):
            best = (len(here), number)
    return best[1] if best else None


def _keys(dotted: str) -> list[str]:
    return [part.strip("\"'") for part in re.findall(_KEY, dotted)]
