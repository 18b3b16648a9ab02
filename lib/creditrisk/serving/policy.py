"""The cut-off policy: what is decided on a PD. It has a version and a day from which it holds, and both are logged.

A file holds all policies of a lender, past and future; the one in force at a moment decides:

    [[policy]]
    version = "2026-01"
    effective = 2026-01-01
    approve_below = 0.08
    decline_from = 0.15
"""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, overload

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from creditrisk.data.portfolio_errors import explain, located
from creditrisk.errors import DataError, ParameterError
from creditrisk.settings import settings

Decision = Literal["approve", "refer", "decline"]
DECISIONS: tuple[Decision, ...] = ("approve", "refer", "decline")
MODEL_CUT_OFF = "model-cut-off"
"""Version of the policy that is made from a model's own cut-off, where no file gives one."""

_WORDS = np.array(DECISIONS, dtype=object)


def _moment(value: Any) -> Any:
    """A TOML date as its first moment in UTC."""
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError(f"{value.isoformat()} has no time zone: write {value.isoformat()}Z, or the date alone")
        try:
            return value.astimezone(UTC)
        except OverflowError:
            raise ValueError(f"{value.isoformat()} is before year 1 or after 9999 in UTC") from None
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    raise ValueError(f"must be a date, as in 2026-01-31 (it begins at midnight UTC), but it is {value!r}")


class Policy(BaseModel):
    """PDs below `approve_below` are approved, those of `decline_from` or more declined, what lies between referred.

    `effective` is the moment from which it holds, `portfolio` the one it is for (empty: any).
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    version: str = Field(min_length=1, max_length=100)
    effective: Annotated[datetime, BeforeValidator(_moment)]
    approve_below: float = Field(ge=0, le=1)
    decline_from: float | None = Field(None, ge=0, le=1, description="Left out: as approve_below, nobody is referred.")
    portfolio: str = Field("", description="Name of the portfolio it is for; empty for every one without its own.")

    @property
    def cut_offs(self) -> tuple[float, float]:
        """The PDs at which a decision changes, rising."""
        return self.approve_below, self.approve_below if self.decline_from is None else self.decline_from

    @overload
    def decide(self, pd: float) -> Decision: ...
    @overload
    def decide(self, pd: np.ndarray) -> np.ndarray: ...
    def decide(self, pd):
        """The decision on one PD, or an array of them (of plain texts, shape of `pd`).

        A decision is the number of cut-offs that the PD has reached; so a PD exactly at one has reached it. Raises
        DataError for a PD that is none: NaN, or outside 0 to 1.
        """
        if isinstance(pd, float | int):
            if not 0 <= pd <= 1:  # false for NaN, too
                raise DataError(f"policy {self.version}: {pd!r} is no PD; nothing is decided on it")
            return DECISIONS[bisect_right(self.cut_offs, pd)]
        pd = np.asarray(pd, dtype=float)
        if not (fit := (pd >= 0) & (pd <= 1)).all():
            row = int(np.argmin(fit))
            raise DataError(f"policy {self.version}: row {row + 1} has {pd.flat[row]!r}, which is no PD")
        return _WORDS[np.searchsorted(self.cut_offs, pd, side="right")]

    def __str__(self) -> str:
        approve, decline = self.cut_offs
        between = f", referred between, declined from {decline:.4g}" if decline > approve else ", declined from there"
        return f"policy {self.version}: approved below a PD of {approve:.4g}{between}"


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    policy: tuple[Policy, ...]


@dataclass(frozen=True)
class Policies:
    """All policies of a lender. Made by `load_policies`, or from a model's own cut-off; `source` is named in errors."""

    policies: tuple[Policy, ...]
    source: str = ""
    _schedules: dict[str, tuple[list[datetime], list[Policy]]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        schedules = {}
        for name in {one.portfolio for one in self.policies}:
            ordered = sorted((one for one in self.policies if one.portfolio == name), key=lambda one: one.effective)
            schedules[name] = ([one.effective for one in ordered], ordered)
        object.__setattr__(self, "_schedules", schedules)

    @classmethod
    def of_model(cls, model: Any) -> Policies:
        """The one policy that declines from a model's own cut-off on (`model.threshold`, or that number)."""
        cut_off = float(getattr(model, "threshold", model))
        always = datetime.min.replace(tzinfo=UTC)
        return cls((Policy(version=MODEL_CUT_OFF, effective=always, approve_below=cut_off),), "the model")

    def in_force(self, at: datetime, portfolio: str = "") -> Policy:
        """The policy that decides at a moment (aware): the last to take effect of the portfolio's own, else of all.

        Raises ParameterError when none is in force yet.
        """
        for name in (portfolio, "") if portfolio else ("",):
            if schedule := self._schedules.get(name):
                begun = bisect_right(schedule[0], at)
                if begun:
                    return schedule[1][begun - 1]
        of = f" for portfolio {portfolio!r}" if portfolio else ""
        starts = [self._schedules[name][0][0] for name in {"", portfolio} & set(self._schedules)]
        first = min(starts, default=None)
        begins = f"the first takes effect on {first:%Y-%m-%d %H:%M} UTC" if first else "there is none"
        raise ParameterError(
            f"{self.source}: no policy{of} is in force at {at:%Y-%m-%d %H:%M %Z}; {begins}. Add one to the file"
        )


def load_policies(path: str | Path) -> Policies:
    """Read a file of policies.

    Raises ParameterError: file, line, key, what is wrong and what is allowed, one line for each mistake.
    """
    path = Path(path)
    try:
        text = path.read_text("utf-8-sig")
    except FileNotFoundError:
        raise ParameterError(f"{path}: there is no such policy file") from None
    except UnicodeDecodeError as error:
        raise ParameterError(f"{path}: not UTF-8 text (byte {error.start})") from None
    except OSError as error:
        raise ParameterError(f"{path}: cannot be read: {error.strerror}") from None
    return parse_policies(text, path.name)


def policy_in_force(model: Any) -> Policy:
    """The policy that decides now on a model's PDs: of the settings' policy file, else the model's own cut-off.

    Raises ParameterError when the file cannot be read, or when none of its policies is in force.
    """
    file = settings().policy_file
    policies = load_policies(file) if file else Policies.of_model(model)
    return policies.in_force(datetime.now(UTC), model.portfolio.name)


def parse_policies(text: str, source: str = "policy.toml") -> Policies:
    """Read policies from TOML text; `source` is the file name used in messages. Raises as `load_policies` does."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        reason, _, place = str(error).removesuffix(")").partition(" (at ")
        at = re.match(r"line (\d+)", place)
        line = int(at[1]) if at else max(1, len(text.splitlines()))
        raise ParameterError(f"{source}, line {line}: not valid TOML: {reason}") from None
    data = {key: tuple(value) if isinstance(value, list) else value for key, value in data.items()}
    if not data.get("policy", ...):
        data.pop("policy")
    if "policy" not in data and not data:
        raise ParameterError(f"{source}: there is no policy in it; write a [[policy]] with version, effective, ...")
    try:
        policies = _File.model_validate(data).policy
    except ValidationError as error:
        found = explain(error.errors(), data, _File)
    else:
        found = _coherent(policies)
    lines = list(dict.fromkeys(located(path, message, text, source) for path, message in found))
    if lines:
        raise ParameterError("\n".join(lines))
    return Policies(policies, source)


def _coherent(policies: tuple[Policy, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    """What no single key can get wrong: (key path, message) of each mistake."""
    versions: set[str] = set()
    starts: dict[tuple[str, datetime], str] = {}
    for number, one in enumerate(policies):
        place = ("policy", str(number))
        approve, decline = one.cut_offs
        if decline < approve:
            message = f"must not be below approve_below, {approve!r}, but it is {decline!r}: a PD between would be both"
            yield (*place, "decline_from"), message
        if one.version in versions:
            message = f"{one.version!r} is the version of another policy, too; the log tells policies apart by it"
            yield (*place, "version"), message
        versions.add(one.version)
        start = (one.portfolio, one.effective)
        if start in starts:
            yield (*place, "effective"), f"{starts[start]!r} takes effect at the same moment; one of them can"
        starts[start] = one.version
