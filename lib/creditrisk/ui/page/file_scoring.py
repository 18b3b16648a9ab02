"""A file that somebody sent, scored: read, checked and scored in parts, summed up, and logged when it is wanted.

Plain functions, called in a thread by the state of the tab.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import PurePosixPath

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from pyarrow import ArrowException

from creditrisk.data.portfolio import Column, Portfolio
from creditrisk.data.tables import Applications, check_applications, read_opened
from creditrisk.errors import DataError
from creditrisk.monitoring.checks import GrowingWindow, store_file_check
from creditrisk.monitoring.drift import DriftReport
from creditrisk.serving.contract import allowed_in_words, example_application, wire_name
from creditrisk.serving.log import PredictionLog
from creditrisk.serving.model import ModelData
from creditrisk.serving.policy import DECISIONS, Policy
from creditrisk.serving.scored import Scored
from creditrisk.serving.scorer import Scorer, decided_table, file_records, scored_table
from creditrisk.serving.stream import ADDED, BEFORE, BEFORE_OTHERWISE, log_states

MAX_BYTES = 50 * 2**20
MAX_ROWS = 100_000
"""Some 700 MB of memory and ten seconds."""
MAX_UNPACKED = 500 * 2**20
"""Bytes that a compressed file may grow to."""
PART_ROWS = 2_500
"""Rows that are scored, and logged in one transaction, before somebody who waits is told."""
KINDS = (".csv", ".parquet", ".xlsx")
INSTEAD = "Score it on the command line: `creditrisk score -p applications FILE`, `creditrisk score-file` for millions."


@dataclass(frozen=True)
class Counts:
    """A value of something ranked and how many rows have it, best or first of all first."""

    rows: tuple[tuple[str, int], ...]
    of: int


@dataclass(frozen=True)
class Preview:
    """A scored file that is not in the log yet. `parts` are its accepted rows and their results, a few thousand each.

    `policy` decides; None when none can be read or is in force: `policy_problem` then says why.
    """

    name: str
    sha256: str
    data: ModelData
    checked: Applications
    parts: tuple[tuple[Applications, Scored], ...]
    policy: Policy | None
    policy_problem: str
    drift: DriftReport | None

    @property
    def scored(self) -> int:
        return len(self.checked.frame)

    @cached_property
    def table(self) -> pd.DataFrame:
        """What the scored file holds, one row for each accepted application."""
        return self.table_with(None)

    def table_with(self, logged: Logged | None) -> pd.DataFrame:
        """The scored file, with what the log made of each row once it is logged."""
        tables, start = [], 0
        for some, scored in self.parts:
            table = scored_table(some, scored, self.data)
            if self.policy is not None:
                end = start + len(scored)
                stored = () if logged is None else (logged.prediction_ids[start:end], logged.states[start:end])
                table = decided_table(table, scored, self.policy, *stored)
                start = end
            tables.append(table)
        return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()

    @cached_property
    def mean_pd(self) -> float | None:
        return float(np.concatenate([scored.pd for _, scored in self.parts]).mean()) if self.parts else None

    @cached_property
    def ratings(self) -> Counts:
        """Rows by rating, best first."""
        names = [rating.name for rating in reversed(self.data.portfolio.scale.ratings)]
        return self._counted("rating", names)

    @cached_property
    def grades(self) -> Counts | None:
        """Rows by grade, safest first; None without a master scale."""
        grades = self.data.portfolio.grades
        return self._counted("grade", [grade.name for grade in grades]) if grades else None

    @cached_property
    def decisions(self) -> Counts | None:
        """Rows by the policy's decision; None where none decides."""
        return self._counted("decision", list(DECISIONS)) if self.policy is not None and self.parts else None

    def _counted(self, column: str, names: list[str]) -> Counts:
        found = self.table[column].value_counts() if self.parts else {}
        return Counts(tuple((name, int(found.get(name, 0))) for name in names), self.scored)

    @cached_property
    def mistakes(self) -> tuple[tuple[str, str, int], ...]:
        """What was wrong, most often first: column, reason and in how many rows."""
        found = self.checked.rejected.groupby(["column", "reason"], dropna=False)["row"].nunique()
        found = found.sort_values(ascending=False, kind="stable")
        return tuple((str(column), str(reason), int(rows)) for (column, reason), rows in found.items())

    @property
    def spoilt(self) -> str:
        """That too many rows are rejected to log the others; empty when there are not."""
        most, share = self.data.portfolio.max_reject_share, self.checked.rejected_rows / self.checked.received
        if share <= most:
            return ""
        return (
            f"{share:.1%} of the rows are rejected, more than the {most:.0%} that the portfolio allows. "
            "Correct the rejected rows, then send the file again."
        )

    @property
    def kept_out(self) -> str:
        """Why these predictions must not be logged; empty when they may."""
        if not self.parts:
            return "No row was scored."
        if self.policy is None:
            return f"No policy can decide: {self.policy_problem}"
        return self.spoilt


@dataclass(frozen=True)
class Logged:
    """What the log made of the rows, in their order: the ids of their predictions, and how these came there."""

    prediction_ids: tuple[str, ...]
    states: tuple[str, ...]

    @property
    def added(self) -> int:
        return self.states.count(ADDED)

    @property
    def before(self) -> int:
        return self.states.count(BEFORE)

    @property
    def otherwise(self) -> int:
        return self.states.count(BEFORE_OTHERWISE)


def too_large(name: str, size: int) -> str:
    """Why a file of so many bytes is not taken."""
    return f"{name} has {size / 2**20:,.1f} MB; this page takes files of up to {MAX_BYTES / 2**20:.0f} MB. {INSTEAD}"


def read_sent(name: str, content: bytes) -> pd.DataFrame:
    """The rows of a file as it was sent. Raises DataError for one that cannot be read or is too large."""
    if PurePosixPath(name).suffix.lower() not in KINDS:
        raise DataError(f"{name}: cannot read this kind of file; give {', '.join(KINDS[:-1])} or {KINDS[-1]}")
    if not content:
        raise DataError(f"{name}: the file is empty")
    if len(content) > MAX_BYTES:
        raise DataError(too_large(name, len(content)))
    _stop_if_it_unpacks_to_too_much(name, content)
    try:
        frame = read_opened(io.BytesIO(content), name)
    except DataError:
        raise
    except Exception as error:  # whatever the readers of such files make of a damaged one
        raise DataError(f"{name}: cannot be read: it is damaged or of another kind ({type(error).__name__})") from None
    _stop_if_too_long(name, len(frame))
    return frame


def _stop_if_it_unpacks_to_too_much(name: str, content: bytes) -> None:
    """Raise DataError when a small file would fill the memory; what cannot be told is left to the reader."""
    unpacked = 0
    if name.lower().endswith(".parquet"):
        try:
            about = pq.ParquetFile(io.BytesIO(content)).metadata
        except (ArrowException, OSError, ValueError):
            return
        _stop_if_too_long(name, about.num_rows)
        unpacked = sum(about.row_group(i).total_byte_size for i in range(about.num_row_groups))
    elif zipfile.is_zipfile(io.BytesIO(content)):
        with zipfile.ZipFile(io.BytesIO(content)) as packed:
            unpacked = sum(one.file_size for one in packed.infolist())
    if unpacked > MAX_UNPACKED:
        raise DataError(
            f"{name} holds {unpacked / 2**20:,.0f} MB once it is unpacked; this page takes up to "
            f"{MAX_UNPACKED / 2**20:.0f} MB. {INSTEAD}"
        )


def _stop_if_too_long(name: str, rows: int) -> None:
    if rows > MAX_ROWS:
        raise DataError(f"{name} has {rows:,} rows; this page takes up to {MAX_ROWS:,}. {INSTEAD}")


def check_sent(frame: pd.DataFrame, book: Portfolio, name: str) -> Applications:
    """The applications that can be scored, and the rows that cannot with their reasons. Raises DataError."""
    return check_applications(frame, book, name)


def in_parts(checked: Applications) -> Iterator[Applications]:
    """The accepted rows, a few thousand at a time."""
    for start in range(0, len(checked.frame), PART_ROWS):
        part = slice(start, start + PART_ROWS)
        yield replace(
            checked,
            frame=checked.frame.iloc[part].reset_index(drop=True),
            rows=checked.rows[part],
            ids=None if checked.ids is None else checked.ids.iloc[part].reset_index(drop=True),
        )


def sum_up(
    name: str, content: bytes, data: ModelData, checked: Applications, parts: list[tuple[Applications, Scored]]
) -> Preview:
    """The preview of what was scored, without a policy."""
    window = GrowingWindow(data)
    for _, scored in parts:
        window.add(scored)
    drift = window.report() if parts else None
    return Preview(name, hashlib.sha256(content).hexdigest(), data, checked, tuple(parts), None, "", drift)


def log_parts(log: PredictionLog, scorer: Scorer, preview: Preview, told: Callable[[int], bool]) -> Logged | None:
    """Log a scored file part by part, each in one transaction, and the check of the file as a whole.

    `told` is called with the rows done and says whether to go on; None when it says no. The same file logged again adds
    what is missing. Raises LogError.
    """
    numbers: list[str] = []
    states: list[str] = []
    for some, scored in preview.parts:
        if not told(len(states)):
            return None
        records = file_records(scorer, some, scored, run="", file_sha256=preview.sha256, policy=preview.policy)
        added = log.append(records)
        numbers += added.prediction_ids
        states += log_states(added)
    if preview.drift is not None:
        store_file_check(log, preview.data, preview.sha256, preview.drift)
    return Logged(tuple(numbers), tuple(states))


# --- What a file must hold --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Wanted:
    """A column of a file of applications: its name, other names it may have, what it may hold."""

    name: str
    others: tuple[str, ...]
    label: str
    allowed: str
    needed: bool


def wanted_columns(book: Portfolio) -> list[Wanted]:
    """The columns of a file of applications, needed ones first."""
    found = [_wanted(name, column) for name, column in book.inputs.items()]
    if book.application_id:
        about = "your own identifier; sent again, it does not make a second prediction"
        found.append(Wanted(book.application_id, (), "Application ID", about, False))
    return sorted(found, key=lambda one: not one.needed)


def _wanted(name: str, column: Column) -> Wanted:
    wire = wire_name(name, column)
    others = tuple(other for other in dict.fromkeys((name, *column.also_called)) if other != wire)
    unit = f" {column.unit}" if column.unit else ""
    return Wanted(wire, others, column.label or name, f"{allowed_in_words(column)}{unit}", column.role == "input")


def template(book: Portfolio) -> pd.DataFrame:
    """A file to begin with: every column, and one application that would be accepted."""
    example = example_application(book) | {book.application_id: "A-1"}
    names = [one.name for one in wanted_columns(book)]
    names.sort(key=lambda name: name != book.application_id)
    return pd.DataFrame([{name: example.get(name) for name in names}])
