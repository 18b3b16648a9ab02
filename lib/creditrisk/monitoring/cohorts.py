"""Predictions by the calendar month or quarter in which they were made, and whether their time is up.

A vintage is mature when the performance window of its last prediction has passed. Before, those who have defaulted
early are known and their peers are not, so nothing is counted. Windows are counted in calendar months: what was
predicted in January 2025 has a window of twelve months behind it from January 2026 on, and a vintage of January 2025,
whose last day counts, from 1 February 2026 on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from creditrisk.data.portfolio import Portfolio
from creditrisk.errors import LogError, ParameterError
from creditrisk.serving.log import PredictionLog
from creditrisk.serving.model import ModelData

MONTHS = {"month": 1, "quarter": 3}
"""Length of a vintage."""
NOT_GIVEN = "not given"
NEVER_GRANTED = ("decline", "refer")
"""Final decisions after which there is no loan: a referred application that nobody decided has none either."""
UNKNOWN = -1
PAGE = 5_000


@dataclass(frozen=True)
class Followed:
    """Predictions with what was seen of them, by prediction (n,): small numbers, whatever the log holds of each.

    `month` of the prediction and `seen` of the outcome are months since year 0; `pd` as served; `granted` whether there
    is a loan, as far as the decision tells; `bad` 1, 0 or UNKNOWN; `segment` a place in `levels`.
    """

    month: np.ndarray
    pd: np.ndarray
    granted: np.ndarray
    bad: np.ndarray
    seen: np.ndarray
    segment: np.ndarray
    levels: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.pd)

    def only(self, rows: np.ndarray) -> Followed:
        """Those of `rows`, bool (n,)."""
        taken = {name: getattr(self, name)[rows] for name in ("month", "pd", "granted", "bad", "seen", "segment")}
        return Followed(**taken, levels=self.levels)

    def outcomes(self, months: int) -> np.ndarray:
        """What is known for good, int8 (n,): 1, 0 or UNKNOWN.

        A bad stays one. A good that was seen before its own window had passed may still turn bad: it is not known.
        """
        early = (self.bad == 0) & (self.seen < self.month + months)
        return np.where(early, np.int8(UNKNOWN), self.bad)


def month_of(moment: datetime) -> int:
    """Months since year 0 of a moment, UTC."""
    moment = moment.astimezone(UTC)
    return moment.year * 12 + moment.month - 1


def month_name(month: int) -> str:
    """As in 2025-01."""
    return f"{month // 12:04d}-{month % 12 + 1:02d}"


def vintage_name(first: int, by: str) -> str:
    """As in 2025-01, or 2025 Q1 of a quarter, from its first month."""
    return month_name(first) if by == "month" else f"{first // 12:04d} Q{first % 12 // 3 + 1}"


def first_months(month: np.ndarray, by: str) -> np.ndarray:
    """The first month of the vintage of each prediction, (n,)."""
    return month - month % MONTHS[by]


def matures(first: int, by: str, months: int) -> int:
    """The month on whose first day a vintage becomes mature."""
    return first + MONTHS[by] + months


def read_followed(
    log: PredictionLog, data: ModelData, as_of: datetime, purposes: Sequence[str], segment: str = ""
) -> Followed:
    """What the log holds of a model's predictions as of a moment, page by page.

    `segment` is a category among the portfolio's inputs; empty for none. Raises ParameterError when it is not, LogError
    when the model has made no such prediction by then.
    """
    book = data.portfolio
    segment = _category(segment, book) if segment else ""
    names = tuple(name for name, column in book.wire_names.items() if column == segment)
    levels: dict[str, int] = {}
    pages = [
        _page(rows, levels, segment, book)
        for rows in _pages(log, data, until=as_of, seen_by=as_of, purposes=purposes, names=names)
    ]
    if not pages:
        raise LogError(
            f"model {data.version} has no {' or '.join(purposes)} prediction in the log before {as_of:%Y-%m-%d %H:%M} "
            "UTC; run `creditrisk score` or call the API, and report outcomes with POST /outcomes when they are known"
        )
    joined = [np.concatenate(columns) for columns in zip(*pages, strict=True)]
    return Followed(*joined, levels=tuple(levels))


def _pages(log: PredictionLog, data: ModelData, **asked) -> Iterator[list[dict]]:
    last = None
    while rows := log.followed(data.version, data.sha256, PAGE, last, **asked):
        yield rows
        last = rows[-1]["id"]


def _page(rows: list[dict], levels: dict[str, int], segment: str, book: Portfolio) -> tuple[np.ndarray, ...]:
    """The fields of Followed, of one page; new levels of the segment are added to `levels`."""
    count = len(rows)
    seen = (0 if row["bad"] is None else month_of(row["observed_at"]) for row in rows)
    places = (levels.setdefault(_level(row["given"], segment, book), len(levels)) for row in rows)
    return (
        np.fromiter((month_of(row["created_at"]) for row in rows), np.int32, count),
        np.fromiter((row["pd"] for row in rows), np.float64, count),
        np.fromiter((row["decision"] not in NEVER_GRANTED for row in rows), np.bool_, count),
        np.fromiter((UNKNOWN if row["bad"] is None else row["bad"] for row in rows), np.int8, count),
        np.fromiter(seen, np.int32, count),
        np.fromiter(places, np.int16, count),
    )


def _level(given: str | None, segment: str, book: Portfolio) -> str:
    """The level of the portfolio that a value as sent stands for; what it does not know is one level together."""
    if not segment or given is None:
        return NOT_GIVEN
    column = book.columns[segment]
    level = column.aliases.get(given.strip(), given.strip())
    return level if level in column.levels else "other"


def _category(segment: str, book: Portfolio) -> str:
    """The column of an input, by any of its names. Raises ParameterError unless it is a category."""
    usable = [name for name, column in book.inputs.items() if column.kind == "category"]
    name = book.wire_names.get(segment, segment)
    if name not in usable:
        raise ParameterError(
            f"segment={segment!r} is not a category among the inputs of {book.name!r}; use one of {', '.join(usable)}"
        )
    return name
