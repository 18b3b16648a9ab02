"""What goes into the prediction log and what comes back: plain records, checked where they are made."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, date, datetime, timedelta
from typing import Any

from creditrisk.errors import LogError

PURPOSES = ("production", "file", "what_if", "shadow", "backfill")
SOURCES = ("api", "page", "file")
TRIGGERS = ("automatic", "file", "notebook")
VERDICTS = ("green", "amber", "red", "insufficient data")  # of a drift report
DECISIONS = ("approve", "refer", "decline")
OUTCOME_STATUSES = ("corrected", "stored", "superseded", "duplicate", "unknown")
LARGEST = 2**31 - 1  # of an INTEGER column


def now() -> datetime:
    """This moment, UTC."""
    return datetime.now(UTC)


def new_prediction_id() -> str:
    """A UUID of version 7: 48 bits of milliseconds, 74 of chance.

    Ids made after one another lie side by side in the index, so that a transaction touches one page and not many.
    """
    digits = f"{time.time_ns() // 1_000_000:012x}{os.urandom(10).hex()}"
    variant = "89ab"[int(digits[15], 16) & 3]
    return f"{digits[:8]}-{digits[8:12]}-7{digits[12:15]}-{variant}{digits[16:19]}-{digits[19:31]}"


@dataclass(frozen=True, slots=True)
class PredictionRecord:
    """One prediction on its way into the log.

    `inputs` is the request as received, `features` what the model saw before encoding (missing values None or
    NaN), `pd` a probability 0..1, `latency_ms` milliseconds. `decision` is the policy's, `policy` its version.
    Two records with one `dedupe_key` or one `idempotency_key` are one prediction: the first stays. A record that no
    database would take raises LogError here, where it cannot spoil a batch of others.
    """

    model_version: str
    model_sha256: str
    portfolio: str
    purpose: str
    source: str
    inputs: dict[str, Any] | None
    features: dict[str, Any] | None
    pd: float
    score: int
    rating: str
    reasons: list[Any] | None = None
    grade: str | None = None
    points: int | None = None
    application_id: str | None = None
    dedupe_key: str | None = None
    run: str | None = None
    caller: str | None = None
    latency_ms: float | None = None
    decision: str | None = None
    policy: str | None = None
    idempotency_key: str | None = None
    prediction_id: str = field(default_factory=new_prediction_id)
    created_at: datetime = field(default_factory=now)

    def __post_init__(self) -> None:
        one_of("purpose", self.purpose, PURPOSES)
        one_of("source", self.source, SOURCES)
        if self.decision is not None:
            one_of("decision", self.decision, DECISIONS)
        if not 0 <= self.pd <= 1:
            raise self._wrong(f"pd={self.pd!r} is not a probability between 0 and 1")
        if self.created_at.tzinfo is None:
            raise self._wrong("created_at has no time zone; use datetime.now(UTC)")
        if not (-LARGEST <= self.score <= LARGEST and -LARGEST <= (self.points or 0) <= LARGEST):
            raise self._wrong(f"score={self.score!r} or points={self.points!r} is beyond {LARGEST:,}")
        if self.latency_ms is not None and not 0 <= self.latency_ms < math.inf:
            raise self._wrong(f"latency_ms={self.latency_ms!r} is not a number of milliseconds")
        for name in _TEXTS:
            value = getattr(self, name)
            if value is not None and not storable(value):
                raise self._wrong(f"{name}={value!r} is not a text a database can hold")

    def _wrong(self, what: str) -> LogError:
        return LogError(f"prediction {self.prediction_id}: {what}")


_TEXTS = (
    "prediction_id", "application_id", "dedupe_key", "idempotency_key", "run", "model_version", "model_sha256",
    "portfolio", "rating", "grade", "caller", "policy",
)  # fmt: skip
COLUMNS = tuple(item.name for item in fields(PredictionRecord))


@dataclass(frozen=True)
class AppendResult:
    """What became of the records of one `append`, per record and in order.

    `prediction_ids`: under which id the prediction is stored. `inserted`: whether this call stored it. For one that
    was stored before, `found_by` names the key that told so (`idempotency_key` or `dedupe_key`, else None), and
    `same_inputs` says whether the stored prediction is one of the same inputs and application_id (True for a new one).
    `checks` is the number of drift checks that fell due.
    """

    prediction_ids: list[str]
    inserted: list[bool]
    found_by: list[str | None] = field(default_factory=list)
    same_inputs: list[bool] = field(default_factory=list)
    checks: int = 0


@dataclass(frozen=True)
class Check:
    """A drift check that a worker has claimed: production predictions first..last_sequence of one model."""

    model_version: str
    model_sha256: str
    bucket: int
    first_sequence: int
    last_sequence: int
    attempts: int
    owner: str
    lease_until: datetime

    @property
    def window_key(self) -> str:
        return f"bucket-{self.bucket}"

    @property
    def n(self) -> int:
        """Predictions that it covers."""
        return self.last_sequence - self.first_sequence + 1


@dataclass(frozen=True)
class ReportRecord:
    """The outcome of a drift check. `n` rows were compared; `flagged` columns had drifted."""

    n: int
    status: str
    flagged: int
    report: dict[str, Any]
    first_prediction: int | None = None
    last_prediction: int | None = None
    created_at: datetime = field(default_factory=now)


@dataclass(frozen=True)
class OutcomeRecord:
    """What became of a loan: `bad` 1 or 0, seen at `observed_at` (a date is midnight UTC).

    Names one prediction or an application: all its predictions but what-ifs. Raises LogError for what cannot be.
    """

    bad: int
    observed_at: datetime | date
    prediction_id: str | None = None
    application_id: str | None = None
    source: str | None = None
    caller: str | None = None

    def __post_init__(self) -> None:
        if (self.prediction_id is None) == (self.application_id is None):
            raise LogError("an outcome belongs to a prediction_id or to an application_id: give one of them")
        if self.bad not in (0, 1):
            raise LogError(f"bad={self.bad!r}: write 1 for a bad, 0 for a good")
        if not isinstance(self.observed_at, datetime):
            moment = datetime(self.observed_at.year, self.observed_at.month, self.observed_at.day, tzinfo=UTC)
            object.__setattr__(self, "observed_at", moment)
        if self.observed_at.tzinfo is None:
            raise LogError(f"observed_at={self.observed_at.isoformat()} has no time zone")
        if self.observed_at > now() + timedelta(days=1):
            raise LogError(f"observed_at={self.observed_at.isoformat()} is in the future; outcomes are seen first")
        _all_storable(self, ("prediction_id", "application_id", "source", "caller"))


@dataclass(frozen=True)
class OutcomeResult:
    """What became of one reported outcome, and the predictions it belongs to.

    `status`: stored; corrected, when it is stored in place of the other verdict on the same day; duplicate, known
    already; superseded, known already but replaced since by the other verdict on the same day; unknown, when there is
    no such prediction. Of several predictions, the first of OUTCOME_STATUSES that holds for one.
    """

    status: str
    prediction_ids: tuple[str, ...] = ()


@dataclass(frozen=True)
class DecisionRecord:
    """A decision (approve, refer, decline) that a person made instead of the policy, with the reason."""

    prediction_id: str
    decision: str
    reason: str
    decided_by: str
    caller: str | None = None

    def __post_init__(self) -> None:
        one_of("decision", self.decision, DECISIONS)
        _all_storable(self, ("prediction_id", "reason", "decided_by", "caller"))
        for name in ("reason", "decided_by"):
            said(name, getattr(self, name))


def one_of(name: str, value: str, allowed: Sequence[str]) -> None:
    """Raise LogError unless the value is one of the allowed."""
    if value not in allowed:
        raise LogError(f"{name}={value!r} is unknown; use one of {', '.join(allowed)}")


def positive(name: str, value: int) -> int:
    """The value. Raises LogError unless it is 1 or more and a database can count so far."""
    if not 1 <= value < 2**63:
        raise LogError(f"{name}={value}: give a number of 1 or more")
    return value


def said(name: str, text: str | None) -> str:
    """The text without spaces at its ends. Raises LogError when nothing is left."""
    if not (text or "").strip():
        raise LogError(f"{name} is empty; say it, for the record")
    if not storable(text):
        raise LogError(f"{name}={text!r} is not a text a database can hold")
    return text.strip()


def storable(text: str) -> bool:
    """Whether every database takes it: a str without NUL and lone surrogates."""
    if not isinstance(text, str) or "\0" in text:
        return False
    return text.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in text)


def _all_storable(record: Any, names: Sequence[str]) -> None:
    for name in names:
        value = getattr(record, name)
        if value is not None and not storable(value):
            raise LogError(f"{name}={value!r} is not a text a database can hold")
