"""Analysts' decisions about single variables, which training obeys: bins, forced in or out, with who, when and why.

They live in one JSON file that can be read, compared and edited by hand. A file may also be a plain mapping of variable
to cuts, or to groups of levels, as other libraries export them. Bins are `[a, b)`: a cut is the first value of the bin
above it.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from numbers import Integral
from pathlib import Path
from typing import Any

import pandas as pd

from creditrisk.binning.bins import OWN, Bins, Policy
from creditrisk.binning.fit import bins_at
from creditrisk.binning.overrides_checks import (
    FILE_KEYS,
    FORMAT,
    KEYS,
    Found,
    Where,
    check_against,
    check_content,
    check_entry,
    check_file,
    lines_of,
    shown,
    told,
)
from creditrisk.data.portfolio import Portfolio
from creditrisk.errors import OverridesError


@dataclass(frozen=True)
class Override:
    """What was decided about one variable, by whom, when and why.

    `cuts` of a number or `groups` of levels take the place of the search (None: it is searched; no cuts at all are one
    bin). `missing` is what a missing value is worth: "own", "neutral", "worst", "similar", "auto", or the number of a
    bin, counted from 0 in the order of the cuts or of the groups given here. `use` is "in", "out" or empty; forced in
    or out needs a reason. `at` is an ISO time in UTC. Raises OverridesError, a line for each mistake.
    """

    variable: str
    cuts: tuple[float, ...] | None = None
    groups: tuple[tuple[str, ...], ...] | None = None
    missing: Policy | None = None
    use: str = ""
    reason: str = ""
    by: str = ""
    at: str = ""

    def __post_init__(self) -> None:
        if found := list(check_content({key: getattr(self, key) for key in KEYS})):
            raise OverridesError(told((((self.variable, *at), what) for at, what in found), "override", {}))
        if self.cuts is not None:
            object.__setattr__(self, "cuts", tuple(sorted(float(cut) for cut in self.cuts)))
        if self.groups is not None:
            object.__setattr__(self, "groups", tuple(tuple(group) for group in self.groups))
        if isinstance(self.missing, Integral):
            object.__setattr__(self, "missing", int(self.missing))

    @classmethod
    def of(
        cls, bins: Bins, *, missing: Policy | None = None, use: str = "", reason: str = "", by: str = "", at: str = ""
    ) -> Override:
        """The override that asks for the cuts or groups of `bins`; without `at`, made now."""
        given = {"cuts": bins.cuts} if bins.kind == "numeric" else {"groups": bins.groups}
        return cls(bins.name, **given, missing=missing, use=use, reason=reason, by=by, at=at or utc_now())

    @property
    def bins(self) -> tuple | None:
        """Its cuts or groups; None where the bins are searched."""
        return self.groups if self.cuts is None else self.cuts

    @property
    def why(self) -> str:
        """The reason, and who gave it."""
        return f"{self.reason} ({self.by})" if self.by else self.reason

    @property
    def what(self) -> str:
        """What was decided, in words."""
        said = [f"forced {self.use}"] if self.use else []
        if self.cuts is not None:
            said.append("cuts " + " | ".join(map(_short, self.cuts)) if self.cuts else "one bin")
        if self.groups is not None:
            said.append("groups " + " | ".join(", ".join(group) for group in self.groups))
        if self.missing is not None:
            said.append(f"missing {self.missing if isinstance(self.missing, str) else f'with {self._missing_bin}'}")
        return "; ".join(said) or "a note"

    @property
    def _missing_bin(self) -> str:
        """The bin that missing values join, in words."""
        if self.groups is not None:
            return ", ".join(self.groups[self.missing])
        edges = ["-inf", *map(_short, self.cuts), "inf"]
        return f"[{edges[self.missing]}, {edges[self.missing + 1]})"

    def fitted(self, values, bad, *, missing: Policy = "auto", **options) -> Bins:
        """The bins it asks for, with the counts of values (n,) and outcomes, 0/1 (n,).

        `options` are those of `bins_at`; `missing` is for an override that does not say it.
        """
        missing = missing if self.missing is None else self.missing
        number = isinstance(missing, int)
        bins = bins_at(self.variable, values, bad, self.bins, missing=OWN if number else missing, **options)
        if not number:
            return bins
        # Groups come back in the order of their bad rates in this sample; the number is that of the group as given.
        return bins.with_policy("missing", missing if self.groups is None else bins.groups.index(self.groups[missing]))

    def to_dict(self) -> dict:
        """Plain data for JSON, without the variable's name; what is not said is left out."""
        said = {key: value for key in KEYS if (value := getattr(self, key)) not in (None, "")}
        return {key: _plain(value) for key, value in said.items()}


@dataclass(frozen=True)
class Overrides(Mapping[str, Override]):
    """Overrides by variable, in order. `portfolio` is the name of the book they are for, where it is known.

    `source` and `lines` (path of keys in the file -> line) are for messages.
    """

    entries: tuple[Override, ...] = ()
    portfolio: str = ""
    source: str = field(default="overrides", compare=False)
    lines: Mapping[Where, int] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        names = [one.variable for one in self.entries]
        if twice := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
            raise OverridesError(told((((name,), "stands twice") for name in twice), self.source, {}))

    def __getitem__(self, variable: str) -> Override:
        for one in self.entries:
            if one.variable == variable:
                return one
        raise KeyError(variable)

    def __iter__(self) -> Iterator[str]:
        return (one.variable for one in self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def used(self, use: str) -> tuple[str, ...]:
        """The variables that are forced "in", or "out"."""
        return tuple(one.variable for one in self.entries if one.use == use)

    # --- Editing: each edit gives new overrides -----------------------------------------------------------------------

    def with_(self, override: Override) -> Overrides:
        """The same with this override, in the place of the one there is for its variable."""
        by_name = dict(self) | {override.variable: override}
        return Overrides(tuple(by_name.values()), self.portfolio, self.source)

    def without(self, variable: str) -> Overrides:
        """The same without this variable's override, if there is one."""
        left = tuple(one for one in self.entries if one.variable != variable)
        return Overrides(left, self.portfolio, self.source)

    # --- Plain data and files -----------------------------------------------------------------------------------------

    @classmethod
    def read(cls, path: str | Path, book: Portfolio | None = None) -> Overrides:
        """Overrides of a JSON file, by path or URL; an empty path is no overrides.

        Raises OverridesError with one line for each mistake: file, line, variable, what is wrong, what is allowed.
        With `book`, that includes what `check` finds.
        """
        if not str(path):
            return cls()
        text, source = _text_of(str(path)), Path(path).name
        try:
            data = json.loads(text)
        except json.JSONDecodeError as error:
            place = f"{source}, line {error.lineno}"
            raise OverridesError(f"{place}: not valid JSON: {error.msg} (column {error.colno})") from None
        except (ValueError, RecursionError):
            raise OverridesError(f"{source}: a number has thousands of digits, or lists are nested too deep") from None
        return cls._checked(data, source, *lines_of(text), book)

    @classmethod
    def from_dict(cls, data: Mapping, source: str = "overrides", book: Portfolio | None = None) -> Overrides:
        """Overrides of plain data as `to_dict` gives it, or of a mapping of variable to cuts or groups.

        Raises OverridesError, as `read` does.
        """
        return cls._checked(_plain(data), source, {}, [], book)

    @classmethod
    def _checked(cls, data: Any, source: str, lines: dict, found: list, book: Portfolio | None) -> Overrides:
        """Overrides of what a file holds; `found` are the mistakes known so far."""
        if not isinstance(data, dict):
            raise OverridesError(f"{source}: {shown(data)} is not a mapping of variables (a JSON object)")
        if not any(key in data and not isinstance(data[key], list) for key in FILE_KEYS):  # a plain mapping
            data, lines = {"variables": data}, {("variables", *at): line for at, line in lines.items()}
            found = [(("variables", *at), what) for at, what in found]
        found = [*found, *check_file(data)]
        variables = data.get("variables", {})
        variables = _spelled_out(variables if isinstance(variables, dict) else {}, source)
        entries = []
        for name, said in variables.items():
            mistakes = [(("variables", name, *at), what) for at, what in check_entry(said)]
            found += mistakes
            entries.append(Override(name) if mistakes else Override(name, **said))
        portfolio = data.get("portfolio", "")
        overrides = cls(tuple(entries), portfolio if isinstance(portfolio, str) else "", source, lines)
        overrides._stop([*found, *(overrides._misfits(book) if book else ())])
        return overrides

    def to_dict(self) -> dict:
        """Plain data for JSON."""
        variables = {one.variable: one.to_dict() for one in self.entries}
        return {"format": FORMAT, "portfolio": self.portfolio, "variables": variables}

    def write(self, path: str | Path) -> None:
        """Write the file; readers see the old content or the new, never a part. Raises OverridesError if it cannot."""
        text = json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        target = Path(path).expanduser().resolve()  # of a link, the file it points at
        part = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
        try:
            try:
                part.write_text(text, "utf-8")
                os.replace(part, target)
            finally:
                part.unlink(missing_ok=True)
        except OSError as error:
            raise OverridesError(f"{path}: overrides cannot be written: {error.strerror}") from None

    # --- Against a portfolio ------------------------------------------------------------------------------------------

    def check(self, book: Portfolio) -> None:
        """Raise OverridesError when they do not fit the portfolio, with one line for each mistake."""
        self._stop(list(self._misfits(book)))

    def _misfits(self, book: Portfolio) -> Found:
        if self.portfolio and self.portfolio != book.name:
            yield ("portfolio",), f"they are for the portfolio {self.portfolio!r}, and this one is {book.name!r}"
        for one in self.entries:
            yield from ((("variables", one.variable, *at), what) for at, what in check_against(one, book))

    def _stop(self, found: list[tuple[Where, str]]) -> None:
        if found:
            raise OverridesError(told(found, self.source, self.lines))

    def table(self) -> pd.DataFrame:
        """One row for each override: variable, what, by, at, reason."""
        rows = [(one.variable, one.what, one.by, one.at, one.reason) for one in self.entries]
        return pd.DataFrame(rows, columns=["variable", "what", "by", "at", "reason"], dtype="str")


NONE = Overrides()


def utc_now() -> str:
    """The time as overrides record it: ISO in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _short(cut: float) -> str:
    return f"{cut:,.0f}" if cut == int(cut) and abs(cut) < 1e15 else f"{cut:,.6g}"


def _spelled_out(variables: dict, source: str) -> dict:
    """Variables of a file, with bare lists as the cuts or groups that they are."""
    said = dict(variables)
    for name, value in variables.items():
        if isinstance(value, list):
            key = "groups" if any(isinstance(one, list) for one in value) else "cuts"
            said[name] = {key: value, "reason": f"brought from {source}"}
    return said


def _plain(value: Any) -> Any:
    """Mappings as dicts, sequences and arrays as lists."""
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    value = value.tolist() if hasattr(value, "tolist") else value
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value


def _text_of(path: str) -> str:
    try:
        if "://" in path:
            import fsspec

            with fsspec.open(path, "rb") as file:
                return file.read().decode("utf-8-sig")
        return Path(path).expanduser().read_text("utf-8-sig")
    except FileNotFoundError:
        raise OverridesError(f"{path}: there is no such file of overrides") from None
    except UnicodeDecodeError as error:
        raise OverridesError(f"{path}: not UTF-8 text (byte {error.start})") from None
    except OSError as error:
        raise OverridesError(f"{path}: cannot be read: {error.strerror or error}") from None
