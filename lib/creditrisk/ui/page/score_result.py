"""One applicant's result as people read it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from creditrisk.data.portfolio import Portfolio
from creditrisk.errors import CreditRiskError
from creditrisk.modelling.scorecard import scores_of
from creditrisk.serving.contract import number_in_words, soft_limit_warnings, wire_name
from creditrisk.serving.model import ModelData
from creditrisk.serving.policy import MODEL_CUT_OFF, Policy, policy_in_force
from creditrisk.serving.scored import Scored


@dataclass(frozen=True)
class Reason:
    """Why the PD is as high as it is: `odds` times the odds of default of the applicant it is compared with."""

    text: str
    label: str
    value: str
    weight: float

    @property
    def odds(self) -> float:
        return math.exp(self.weight)


@dataclass(frozen=True)
class Result:
    """One applicant scored. `cut_offs` are the PDs at which the policy's decision changes, rising, with their scores.

    `decision` is that of the policy in force, None where none can be read; `policy` is its version, empty where the
    model's own cut-off decides. `points` are those of a scorecard, None for trees. `against` says whom reasons compare
    the applicant with.
    """

    pd: float
    score: int
    rating: str
    grade: str | None
    points: int | None
    decision: str | None
    policy: str
    cut_offs: tuple[tuple[float, int], ...]
    reasons: tuple[Reason, ...]
    against: str
    warnings: tuple[str, ...]


def policy_of(data: ModelData) -> Policy | None:
    """The policy in force; None where none can decide, of which saving says why."""
    try:
        return policy_in_force(data)
    except CreditRiskError:
        return None


def result_of(data: ModelData, scored: Scored, values: Mapping[str, Any], policy: Policy | None) -> Result:
    """The result in the first row of `scored`, made of `values` by column name."""
    book = data.portfolio
    known = scored.features_of(0) | dict(values)
    reasons = []
    for reason in scored.reasons[0]:
        column, value = book.columns[reason["feature"]], known[reason["feature"]]
        shown = measure(round(value, 2) if isinstance(value, float) else value, column.unit)
        reasons.append(Reason(reason["text"], label_of(book, reason["feature"]), shown, reason["weight"]))
    cut_offs = () if policy is None else tuple(dict.fromkeys(policy.cut_offs))
    at = scores_of(np.array(cut_offs), book.scale).tolist()
    return Result(
        pd=float(scored.pd[0]),
        score=int(scored.score[0]),
        rating=str(scored.rating[0]),
        grade=None if scored.grade is None else str(scored.grade[0]),
        points=None if scored.points is None else int(scored.points[0]),
        decision=None if policy is None else str(policy.decide(float(scored.pd[0]))),
        policy="" if policy is None or policy.version == MODEL_CUT_OFF else policy.version,
        cut_offs=tuple(zip(cut_offs, at, strict=True)),
        reasons=tuple(reasons),
        against=data.reasons.against,
        warnings=tuple(_soft_warnings(book, values)),
    )


def label_of(book: Portfolio, name: str) -> str:
    """What people call a column."""
    return book.columns[name].label or name.replace("_", " ")


def measure(value: Any, unit: str) -> str:
    """A value with its unit: 24 months, 30%, Owned."""
    if isinstance(value, str):
        return value
    shown = number_in_words(value)
    return f"{shown}{unit}" if unit == "%" else f"{shown} {unit}".strip()


def _soft_warnings(book: Portfolio, values: Mapping[str, Any]) -> list[str]:
    """The API's warnings, with labels for wire names."""
    found = []
    for name, value in values.items():
        wire, label = wire_name(name, book.columns[name]), book.columns[name].label or name
        sentences = soft_limit_warnings({wire: value}, book)
        found += [f"{label}{sentence.removeprefix(wire)}" for sentence in sentences]
    return found
