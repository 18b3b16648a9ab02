"""Derived features: one definition each, for one applicant and for ten million rows.

A feature is a small NumPy function whose argument names are column names. Training, file scoring, the API, the page
and the drift check all call it through `derive`. A ratio with a zero denominator is missing (NaN), never 0: income 0
must not look like the safest borrower. A portfolio may declare a structural value instead.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Feature:
    """A derived feature: its function and the columns it reads; the last argument is the denominator."""

    name: str
    function: Callable[..., np.ndarray]

    @property
    def arguments(self) -> tuple[str, ...]:
        return tuple(inspect.signature(self.function).parameters)

    @property
    def denominator(self) -> str:
        return self.arguments[-1]


FEATURES: dict[str, Feature] = {}


def feature(function: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
    """Enter a function into the feature library under its own name."""
    FEATURES[function.__name__] = Feature(function.__name__, function)
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


def derive(spec, columns: Mapping[str, np.ndarray]) -> np.ndarray:
    """Compute one derived column.

    `spec` is the portfolio's Derive; `columns` maps column names to arrays of shape (n,). Returns float64 (n,).
    """
    definition = FEATURES[spec.function]
    arguments = {a: np.asarray(columns[spec.args.get(a, a)], dtype=np.float64) for a in definition.arguments}
    with np.errstate(over="ignore", invalid="ignore"):
        values = definition.function(**arguments) * spec.scale
    values = np.where(np.isfinite(values), values, np.nan)  # beyond the range of floats is no measurement either
    if spec.zero_denominator is not None:
        values = np.where(arguments[definition.denominator] == 0, spec.zero_denominator, values)
    return values


def sources(spec) -> tuple[str, ...]:
    """The columns that a derived column reads."""
    return tuple(spec.args.get(a, a) for a in FEATURES[spec.function].arguments)
