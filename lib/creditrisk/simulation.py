"""A living stream of applications that drifts from a moment on: drawing and drifting, nothing that scores or sends.

What an applicant says is drifted; features that a model derives from it follow. A row of a stream depends on its seed
and its number, not on how many are asked for at once, and the rows before the drift are those of a stream without any.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from creditrisk.data.features import sources
from creditrisk.data.portfolio import UTMOST, Column, Portfolio
from creditrisk.data.portfolio_checks import unknown
from creditrisk.data.sample import draw_applications, true_pds
from creditrisk.data.source import EMBEDDED
from creditrisk.data.tables import check_applications, read_file
from creditrisk.errors import DataError, ParameterError

BLOCK = 1_000
"""Rows that are drawn at once."""
REFERENCE_ROWS = 20_000
"""Undrifted rows from which centres, and applicants with a given level, are taken."""
SMALLEST_STEP = 1e-6
"""How far a fraction stays from a limit that it may not touch; a whole number stays 1 away."""
FORMS = ("spread", "mix", "missing")
EXAMPLES = "income=1.5, income=+20,000, income=-5%, spread:income=1.5, mix:loan_purpose=Personal:0.5, missing:NAME=0.1"

_NUMBER = re.compile(r"[+-]?(?=\.?\d)(\d{1,3}([,_ ]\d{3})+|\d+)?(\.\d+)?([eE][+-]?\d+)?", re.ASCII)


def read_number(text: str) -> float:
    """A number as people write it: 1.5, 2,000, +20_000. Raises ParameterError."""
    plain = re.sub("[,_ ]", "", text.strip())
    if not _NUMBER.fullmatch(text.strip()) or not math.isfinite(float(plain)):
        raise ParameterError(f"{text!r} is not a number; write it as in 1.5 or 2,000")
    return float(plain)


# --- What drifts ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Change:
    """One way in which applications drift.

    `kind` and `amount`: times (factor), add (in the column's unit), percent (of each value), spread (factor of the
    distances from the median, at equal mean), mix (the share of applications that say `level`), missing (the share that
    does not say it).
    """

    kind: str
    column: str
    amount: float
    level: str = ""

    def __str__(self) -> str:
        return {
            "times": f"{self.column} x{self.amount:g}",
            "add": f"{self.column} {self.amount:+,.12g}",
            "percent": f"{self.column} {self.amount:+g}%",
            "spread": f"spread of {self.column} x{self.amount:g}",
            "mix": f"{self.level} in {self.amount:.4g} of {self.column}",
            "missing": f"{self.column} missing in {self.amount:.4g}",
        }[self.kind]


def read_changes(texts: Sequence[str], book: Portfolio) -> tuple[Change, ...]:
    """Read what drifts, as in EXAMPLES. Raises ParameterError that says which of them is wrong, and what is allowed."""
    changes = tuple(_read_change(text, book) for text in texts)
    for column in {one.column: None for one in changes if one.kind == "mix"}:
        shares = {one.level: one.amount for one in changes if (one.kind, one.column) == ("mix", column)}
        total = sum(shares.values())
        if total > 1 + 1e-9 or (total < 1 - 1e-9 and set(shares) == set(book.columns[column].levels)):
            must = "add up to 1, since they are all levels" if total < 1 else "not add up to more than 1"
            raise ParameterError(f"the shares of {column} ({', '.join(shares)}) are {total:g} in all; they must {must}")
    return changes


def _read_change(text: str, book: Portfolio) -> Change:
    try:
        return _change(text.strip(), book)
    except ParameterError as problem:
        raise ParameterError(f"--drift {text}: {problem}") from None


def _change(text: str, book: Portfolio) -> Change:
    said, equals, value = (part.strip() for part in text.partition("="))
    form, colon, name = (part.strip() for part in said.rpartition(":"))
    if colon and (message := unknown(form, FORMS, "drift")):
        raise ParameterError(message)
    if not (equals and name and value):
        raise ParameterError(f"write NAME=CHANGE, as in {EXAMPLES}")
    column = _input(name, book)
    kind = book.columns[column]
    if form == "mix":
        return _mix(column, kind, value)
    if form == "missing":
        optional = [one for one, other in book.inputs.items() if other.role == "optional"]
        if column not in optional:
            which = f"of this book only {', '.join(optional)}" if optional else "this book has none"
            raise ParameterError(f"{column} is required of every applicant; optional inputs can be missing, {which}")
        return Change("missing", column, _share(value))
    if not kind.is_numeric:
        example = f"mix:{column}={kind.levels[0]}:0.5"
        raise ParameterError(f"{column} has levels, which have no size; their mix can drift, as in {example}")
    if form == "spread":
        return Change("spread", column, _factor(value))
    if value.endswith("%"):
        if value[0] not in "+-":
            raise ParameterError(f"{value} may be a part or a change; write {column}=+{value} for that much more")
        return Change("percent", column, read_number(value.removesuffix("%")))
    return Change("add", column, read_number(value)) if value[0] in "+-" else Change("times", column, _factor(value))


def _input(name: str, book: Portfolio) -> str:
    """The input that a name or wire name stands for."""
    inputs = {alias: column for alias, column in book.wire_names.items() if column in book.inputs}
    if name in inputs:
        return inputs[name]
    known = book.columns.get(book.wire_names.get(name, ""))
    if known is not None and known.derive is not None:
        raise ParameterError(f"{name} is derived from {', '.join(sources(known.derive))}; let those drift")
    if known is not None:
        raise ParameterError(f"{name} is not asked of applicants; inputs are {', '.join(book.inputs)}")
    raise ParameterError(f"{unknown(name, inputs, 'input')} (inputs are {', '.join(book.inputs)})")


def _mix(column: str, about: Column, value: str) -> Change:
    level, colon, share = (part.strip() for part in value.rpartition(":"))
    if about.is_numeric:
        raise ParameterError(f"{column} is a number, not a level; write {column}=1.5 or spread:{column}=1.5")
    if not colon:
        raise ParameterError(f"say the level and its share, as in mix:{column}={about.levels[0]}:0.5")
    level = about.aliases.get(level, level)
    if message := unknown(level, about.levels, f"level of {column}"):
        raise ParameterError(f"{message} (levels are {', '.join(about.levels)})")
    return Change("mix", column, _share(share), level)


def _share(text: str) -> float:
    share = read_number(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    if not 0 <= share <= 1:
        raise ParameterError(f"{text} is not a share; write 0 to 1, as in 0.1, or 0% to 100%")
    return share


def _factor(text: str) -> float:
    factor = read_number(text)
    if factor < 0:
        raise ParameterError(f"{text} is not a factor; write one of 0 or more, as in 1.5")
    return factor


# --- Where applications come from -------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Source:
    """Where undrifted applications come from.

    `draw(rng, rows)` gives inputs by column name: numbers float64, levels as text, what is not said NaN or None.
    `true_pds` gives (n,) true PDs of such rows, where they are known. `about` says it in words.
    """

    draw: Callable[[np.random.Generator, int], pd.DataFrame]
    about: str
    true_pds: Callable[[pd.DataFrame], np.ndarray] | None = None
    rejected: int = 0


def open_source(book: Portfolio, data: str = "") -> Source:
    """The rows of a file of applications, drawn with replacement, or the generator of the embedded book.

    Raises DataError when there is no file and the portfolio is another, or when no row of the file is usable.
    """
    return _of_file(book, data) if data else _of_generator(book)


def _of_generator(book: Portfolio) -> Source:
    if book.name != EMBEDDED:
        raise DataError(
            f"embedded applications fit the portfolio {EMBEDDED!r} only, not {book.name!r}; "
            "give --data FILE, a file of applications to draw from"
        )
    made = draw_applications(np.random.default_rng(0), 1).columns
    own = {book.wire_names[name]: name for name in made if name in book.wire_names}
    if absent := [name for name, column in book.inputs.items() if column.role == "input" and name not in own]:
        raise DataError(f"the embedded applications do not say {', '.join(absent)}; give --data FILE to draw from")

    def draw(rng: np.random.Generator, rows: int) -> pd.DataFrame:
        drawn = draw_applications(rng, rows).rename(columns={alias: name for name, alias in own.items()})
        return _typed(drawn.reindex(columns=list(book.inputs)), book)

    def truth(frame: pd.DataFrame) -> np.ndarray:
        return true_pds(frame.rename(columns=own))

    return Source(draw, "drawn by the rules of the embedded book", truth)


def _of_file(book: Portfolio, data: str) -> Source:
    name = Path(data).name
    checked = check_applications(read_file(data), book, name)
    if not len(checked.frame):
        raise DataError(f"{name}: none of its {checked.received:,} rows can be scored: {_why(checked.rejected)}")
    rows = _typed(checked.frame, book)

    def draw(rng: np.random.Generator, count: int) -> pd.DataFrame:
        return rows.iloc[rng.integers(0, len(rows), count)].reset_index(drop=True)

    return Source(draw, f"drawn from {len(rows):,} rows of {name}", rejected=checked.rejected_rows)


def _why(rejected: pd.DataFrame) -> str:
    first = rejected.iloc[0]
    return f"row {first['row']}, {first['column']}: {first['reason']}"


def _typed(frame: pd.DataFrame, book: Portfolio) -> pd.DataFrame:
    """Numbers as float64, levels as plain text or None."""
    columns = {}
    for name in frame.columns:
        if book.columns[name].is_numeric:
            columns[name] = frame[name].to_numpy(dtype=np.float64, na_value=np.nan)
        else:
            values = frame[name].astype("object")
            columns[name] = values.where(values.notna(), None).to_numpy(dtype=object)
    return pd.DataFrame(columns)


# --- The stream -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Drawn:
    """Consecutive rows of a stream, the first of them row number `first` (from 0).

    `frame` is what is sent, (n, inputs) by column name. `true_pd` (n,), where it is known, is of what is true, said or
    not. `drifted` (n,) marks rows after the moment of drift, `clipped` by column those brought back to its hard limits.
    `luck` (n,) is uniform in 0..1: a loan goes bad when it is below the PD.
    """

    first: int
    frame: pd.DataFrame
    true_pd: np.ndarray | None
    drifted: np.ndarray
    clipped: Mapping[str, np.ndarray]
    luck: np.ndarray

    def __len__(self) -> int:
        return len(self.frame)

    def part(self, start: int, stop: int) -> Drawn:
        """Some of the rows, counted from the first of these."""
        rows = slice(start, stop)
        return Drawn(
            self.first + start,
            self.frame.iloc[rows].reset_index(drop=True),
            None if self.true_pd is None else self.true_pd[rows],
            self.drifted[rows],
            {name: marked[rows] for name, marked in self.clipped.items()},
            self.luck[rows],
        )

    def bads(self, pds: np.ndarray, times: float = 1.0) -> np.ndarray:
        """Which loans go bad, (n,) of 0 and 1, at these PDs, which are `times` as high (at most 1) where it drifted."""
        risk = np.minimum(1.0, np.where(self.drifted, times * pds, pds))
        return (self.luck < risk).astype(int)


class Stream:
    """Applications without end. The first `start` are as their source has them, all later ones have drifted."""

    def __init__(
        self, source: Source, book: Portfolio, changes: Sequence[Change] = (), start: int = 0, seed: int = 42
    ) -> None:
        self.source, self.book, self.changes, self.start, self.seed = source, book, tuple(changes), start, seed
        self._reference = source.draw(np.random.default_rng([seed]), REFERENCE_ROWS) if changes else pd.DataFrame()
        self._block = lru_cache(2)(self._draw_block)

    def take(self, first: int, most: int = BLOCK) -> Drawn:
        """Rows from number `first` on: `most` of them, or fewer where a block of BLOCK rows ends."""
        number, offset = divmod(first, BLOCK)
        return self._block(number).part(offset, min(offset + most, BLOCK))

    def _draw_block(self, number: int) -> Drawn:
        def generator(purpose: int) -> np.random.Generator:
            return np.random.default_rng([self.seed, number, purpose])

        first = number * BLOCK
        frame = self.source.draw(generator(0), BLOCK)
        drifted = np.arange(first, first + BLOCK) >= self.start
        clipped: dict[str, np.ndarray] = {}
        hidden: dict[str, np.ndarray] = {}
        if self.changes and drifted.any():
            frame, clipped, hidden = self._drift(frame, drifted, generator(1))
        truth = None if self.source.true_pds is None else self.source.true_pds(frame)
        for column, rows in hidden.items():
            values = frame[column].to_numpy(copy=True)
            values[rows] = np.nan if self.book.columns[column].is_numeric else None
            frame[column] = values
        return Drawn(first, frame, truth, drifted, clipped, generator(2).random(BLOCK))

    def _drift(
        self, frame: pd.DataFrame, drifted: np.ndarray, rng: np.random.Generator
    ) -> tuple[pd.DataFrame, dict[str, np.ndarray], dict[str, np.ndarray]]:
        """The rows with those after the moment changed; which were clipped, and which do not say an input, by column.

        Chance is drawn for all rows alike, so that the moment of drift changes nothing but itself.
        """
        frame = self._mixed(frame, drifted, rng)
        moved: dict[str, np.ndarray] = {}
        hidden: dict[str, np.ndarray] = {}
        for change in self.changes:
            name = change.column
            if change.kind == "missing":
                rows = drifted & (rng.random(len(frame)) < change.amount)
                hidden[name] = hidden.get(name, np.zeros(len(frame), dtype=bool)) | rows
            elif change.kind != "mix":
                values = moved.get(name, frame[name].to_numpy(dtype=np.float64))
                moved[name] = _moved(values, change, self.book.columns[name], self._reference[name].to_numpy())
        clipped = {}
        for name, values in moved.items():
            column = self.book.columns[name]
            measured = drifted & ~np.isin(values, column.special)
            values = np.rint(values) if column.kind == "integer" else values
            low, high = _limits(column, self._reference[name].to_numpy())
            clipped[name] = measured & ((values < low) | (values > high))
            frame[name] = np.where(measured, np.clip(values, low, high), frame[name])
        return frame, clipped, hidden

    def _mixed(self, frame: pd.DataFrame, drifted: np.ndarray, rng: np.random.Generator) -> pd.DataFrame:
        """The rows with the shares of levels that are wanted.

        A row that does not say what it should is another applicant, who does: what goes with a level, as the size of a
        loan with its purpose, comes with it. Where nobody in the source does, only the word is changed.
        """
        named: dict[str, dict[str, float]] = {}
        for change in self.changes:
            if change.kind == "mix":
                named.setdefault(change.column, {})[change.level] = change.amount
        if not named:
            return frame
        wanted, said, known = ([] for _ in range(3))
        for name, shares in named.items():
            levels = list(shares)
            wanted.append(np.searchsorted(np.cumsum(list(shares.values())), rng.random(len(frame)), side="right"))
            said.append(_codes(frame[name], levels))
            known.append(_codes(self._reference[name], levels))
        pick = rng.random(len(frame))
        wanted, said, known = (np.column_stack(codes) for codes in (wanted, said, known))
        other = drifted & (wanted != said).any(axis=1)
        values = {name: frame[name].to_numpy(copy=True) for name in frame.columns}
        for combination in np.unique(wanted[other], axis=0):
            rows = np.flatnonzero(other & (wanted == combination).all(axis=1))
            like = np.flatnonzero((known == combination).all(axis=1))
            if len(like):
                chosen = self._reference.iloc[like[(pick[rows] * len(like)).astype(int)]]
                for name, column in values.items():
                    column[rows] = chosen[name].to_numpy()
                continue
            for (name, shares), code in zip(named.items(), combination, strict=True):
                if code < len(shares):
                    values[name][rows] = list(shares)[code]
        return pd.DataFrame(values)


def _codes(values: pd.Series, levels: Sequence[str]) -> np.ndarray:
    """The number of each value among the levels; one past the last for any other."""
    codes = pd.Index(levels, dtype="object").get_indexer(values)
    return np.where(codes < 0, len(levels), codes)


def _moved(values: np.ndarray, change: Change, column: Column, reference: np.ndarray) -> np.ndarray:
    """Values changed, before limits; codes that are no measurements stay as they are."""
    if change.kind == "times":
        moved = values * change.amount
    elif change.kind == "percent":
        moved = values * (1 + change.amount / 100)
    elif change.kind == "add":
        moved = values + change.amount
    else:
        measured = reference[~np.isnan(reference) & ~np.isin(reference, column.special)]
        moved = _spread(values, change.amount, measured, _is_positive(column)) if len(measured) else values
    return np.where(np.isin(values, column.special), values, moved)


def _spread(values: np.ndarray, factor: float, measured: np.ndarray, positive: bool) -> np.ndarray:
    """Values `factor` times as far from the median of `measured`, at its mean.

    Of a quantity that is positive by its limits, distances are ratios, so that no income falls below zero.
    """
    if not positive:
        return measured.mean() + factor * (values - measured.mean())
    median = np.median(measured)
    wider = median * (measured / median) ** factor
    return median * (values / median) ** factor * (measured.mean() / wider.mean())


def _is_positive(column: Column) -> bool:
    return (column.above is not None and column.above >= 0) or (column.min is not None and column.min > 0)


def _limits(column: Column, reference: np.ndarray) -> tuple[float, float]:
    """The least and the greatest value that the portfolio allows."""
    low, high = -UTMOST, UTMOST
    if column.above is not None:
        present = reference[~np.isnan(reference)]
        whole = column.kind == "integer" or bool(len(present) and (present == np.rint(present)).all())
        low = column.above + (1 if whole else SMALLEST_STEP)
    return max(low, column.min if column.min is not None else low), high if column.max is None else column.max
