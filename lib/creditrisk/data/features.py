"""Derived features: one definition each, for one applicant and for ten million rows.

A feature is a small NumPy function whose argument names are column names. Training, file scoring, the API, the page
and the drift check all call it through `derive`. A ratio with a zero denominator is missing (NaN), never 0: income 0
must not look like the safest borrower. A portfolio may declare a structural value instead. A count over months of
which one is missing is missing too.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np


@dataclass(frozen=True)
class Feature:
    """A derived feature: its function and the columns it reads; the last argument of a quotient is the denominator."""

    name: str
    function: Callable[..., np.ndarray]
    is_quotient: bool = True

    @property
    def arguments(self) -> tuple[str, ...]:
        return tuple(inspect.signature(self.function).parameters)

    @property
    def denominator(self) -> str | None:
        return self.arguments[-1] if self.is_quotient else None


FEATURES: dict[str, Feature] = {}


def feature(function: Callable[..., np.ndarray], *, is_quotient: bool = True) -> Callable[..., np.ndarray]:
    """Enter a function into the feature library under its own name."""
    FEATURES[function.__name__] = Feature(function.__name__, function, is_quotient)
    return function


def _quotient(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """numerator / denominator as float64; missing where the denominator is zero or either side is missing."""
    numerator, denominator = np.asarray(numerator, dtype=np.float64), np.asarray(denominator, dtype=np.float64)
    out = np.full(np.broadcast(numerator, denominator).shape, np.nan)
    with np.errstate(over="ignore", invalid="ignore"):
        return np.divide(numerator, denominator, out=out, where=denominator != 0)


@feature
def loan_to_income(loan_amount, income):
    """Loan amount over yearly income (a ratio)."""
    return _quotient(loan_amount, income)


@feature
def delinquency_ratio(delinquent_months, total_loan_months):
    """Share of loan months in delinquency, in percent (0 to 100)."""
    return 100.0 * _quotient(delinquent_months, total_loan_months)


@feature
def avg_dpd_per_delinquency(total_dpd, delinquent_months):
    """Days past due per delinquent month, in days."""
    return _quotient(total_dpd, delinquent_months)


@feature
def ratio(numerator, denominator):
    """A quotient of two columns named by the portfolio."""
    return _quotient(numerator, denominator)


@partial(feature, is_quotient=False)
def months_behind(month_1, month_2, month_3, month_4, month_5, month_6):
    """In how many of six months an account was two or more payments behind; each month is a number of payments."""
    months = np.stack(np.broadcast_arrays(month_1, month_2, month_3, month_4, month_5, month_6)).astype(np.float64)
    return np.where(np.isnan(months).any(axis=0), np.nan, (months >= 2).sum(axis=0))


def derive(spec, columns: Mapping[str, np.ndarray]) -> np.ndarray:
    """Compute one derived column.

    `spec` is the portfolio's Derive; `columns` maps column names to arrays of shape (n,). Returns float64 (n,).
    """
    definition = FEATURES[spec.function]
    arguments = {a: np.asarray(columns[spec.args.get(a, a)], dtype=np.float64) for a in definition.arguments}
    with np.errstate(over="ignore", invalid="ignore"):
        values = definition.function(**arguments) * spec.scale
    values = np.where(np.isfinite(values), values, np.nan)  # beyond the range of floats is no measurement either
    if spec.zero_denominator is not None and definition.denominator:
        values = np.where(arguments[definition.denominator] == 0, spec.zero_denominator, values)
    return values


def sources(spec) -> tuple[str, ...]:
    """The columns that a derived column reads."""
    return tuple(spec.args.get(a, a) for a in FEATURES[spec.function].arguments)
