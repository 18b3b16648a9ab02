"""The coefficients of a scorecard with what speaks for and against each: errors, signs, collinearity, importance.

A shipped scorecard may be fitted with a penalty and on resampled rows, and neither leaves errors that mean anything.
So the same WOE columns are fitted once more, unpenalised, on the training rows as they are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import erfc, expit, logit

from creditrisk.modelling.attempts import Rows
from creditrisk.modelling.design import WoeDesign
from creditrisk.modelling.pd_model import PDModel
from creditrisk.modelling.selection import variance_inflation

SIGNIFICANT = 0.05
"""A coefficient with a p-value above this cannot be told from none."""
APART = 2.0
"""Standard errors by which a shipped coefficient may lie from the unpenalised one before it is said to differ."""
STEPS = 100
INTERCEPT = "intercept"
COLUMNS = (
    "variable", "coefficient", "std_error", "z", "p", "sign", "vif", "importance", "importance_share", "shipped",
    "errors_apart", "note",
)  # fmt: skip


@dataclass(frozen=True)
class LogisticFit:
    """A logistic regression by maximum likelihood: logit P(bad) = beta[0] + matrix @ beta[1:].

    `beta` is float64 (columns + 1,), the intercept first, and `covariance` the inverse of the information matrix at
    `beta`. Where the likelihood has no maximum, because some columns separate bads from goods or are combinations of
    others, `why_not` says so and both are NaN.
    """

    beta: np.ndarray
    covariance: np.ndarray
    log_likelihood: float
    why_not: str = ""

    @property
    def std_error(self) -> np.ndarray:
        """Standard errors, float64 (columns + 1,)."""
        return np.sqrt(np.diag(self.covariance))


def fit_logistic(matrix: np.ndarray, bad: np.ndarray) -> LogisticFit:
    """Fit by Newton's method with halved steps; matrix is float64 (n, columns), bad 0/1 (n,)."""
    bad = np.asarray(bad, dtype=np.float64)
    design = np.column_stack([np.ones(len(bad)), np.asarray(matrix, dtype=np.float64)])
    size = design.shape[1]
    if not 0 < bad.sum() < len(bad):
        return _unfitted(size, "the rows are of one class")
    if np.linalg.matrix_rank(design) < size:
        return _unfitted(size, "a column is constant, or a combination of others")
    beta = np.zeros(size)
    beta[0] = logit(bad.mean())
    current = _log_likelihood(design, bad, beta)
    for _ in range(STEPS):
        pd_ = expit(design @ beta)
        information = (design * (pd_ * (1 - pd_))[:, None]).T @ design
        if np.linalg.cond(information) > 1e15:
            break
        step = np.linalg.solve(information, design.T @ (bad - pd_))
        while (proposed := _log_likelihood(design, bad, beta + step)) < current and np.abs(step).max() > 1e-12:
            step /= 2
        beta, gain, current = beta + step, proposed - current, proposed
        if gain <= 1e-12 * max(1.0, abs(current)) and np.abs(step).max() < 1e-8:
            return LogisticFit(beta, np.linalg.inv(information), current)
    return _unfitted(size, "some columns separate bads from goods, so no coefficients are the likeliest")


def _log_likelihood(design: np.ndarray, bad: np.ndarray, beta: np.ndarray) -> float:
    log_odds = design @ beta
    return float(bad @ log_odds - np.logaddexp(0, log_odds).sum())


def _unfitted(size: int, why: str) -> LogisticFit:
    return LogisticFit(np.full(size, np.nan), np.full((size, size), np.nan), float("nan"), why)


def coefficient_table(model: PDModel, rows: Rows) -> pd.DataFrame:
    """What an unpenalised fit of the scorecard's WOE columns says, one row for the intercept and each variable.

    `rows` are the training rows that the model was fitted on, before any resampling and with optional inputs masked as
    they were (`mask_optional`). Columns: variable, coefficient, std_error, z, p (two-sided, of no effect), sign
    ("right" when negative, as every coefficient for P(bad) must be with WOE as ln(share of goods / share of bads)),
    vif, importance (the change of log-odds for one standard deviation of WOE), importance_share, shipped (the served
    model's, calibration included), errors_apart (shipped less coefficient, in standard errors), note (in words, what
    to look at; empty where there is nothing). Raises TypeError for a model that is no scorecard.
    """
    if not isinstance(model.design, WoeDesign):
        raise TypeError("coefficients of WOE are those of a scorecard; this model is not one")
    matrix = model.design.matrix(rows.columns)
    fit = fit_logistic(matrix, rows.bad)
    slope = model.calibration.slope
    shipped = np.array([
        model.calibration.intercept + slope * model.model.intercept, *(slope * c for c in model.model.coefficients)
    ])  # fmt: skip
    importance = np.concatenate([[np.nan], np.abs(fit.beta[1:]) * matrix.std(axis=0)])
    z = fit.beta / fit.std_error
    table = pd.DataFrame(
        {
            "variable": [INTERCEPT, *model.design.inputs],
            "coefficient": fit.beta,
            "std_error": fit.std_error,
            "z": z,
            "p": erfc(np.abs(z) / np.sqrt(2)),
            "sign": ["", *np.where(fit.beta[1:] < 0, "right", "wrong")],
            "vif": [np.nan, *variance_inflation(matrix)],
            "importance": importance,
            "importance_share": importance / np.nansum(importance) if np.nansum(importance) else importance,
            "shipped": shipped,
            "errors_apart": (shipped - fit.beta) / fit.std_error,
        }
    )
    if fit.why_not:
        table.loc[1:, "sign"] = ""
    table["note"] = [fit.why_not and f"not fitted: {fit.why_not}"] * len(table)
    if not fit.why_not:
        table["note"] = [_note(row) for row in table.itertuples()]
    return table[list(COLUMNS)]


def _note(row) -> str:
    """What to look at, in words."""
    found = []
    if row.variable != INTERCEPT:
        found += ["wrong sign"] if row.sign == "wrong" else []
        found += [f"not significant (p {row.p:.2f})"] if row.p > SIGNIFICANT else []
        found += ["wrong sign as shipped"] if row.shipped > 0 and row.sign == "right" else []
        found += ["zero as shipped"] if row.shipped == 0 else []
    if abs(row.errors_apart) > APART:
        found.append(f"shipped {'above' if row.errors_apart > 0 else 'below'} by {abs(row.errors_apart):.1f} errors")
    return ", ".join(found)


def difference_in_words(table: pd.DataFrame) -> str:
    """Where the shipped coefficients differ from the unpenalised ones, in a sentence."""
    if table["coefficient"].isna().any():
        return (
            f"The unpenalised fit has no coefficients ({table['note'].iloc[0]}); those shipped rest on their penalty."
        )
    apart = table[table["errors_apart"].abs() > APART]
    if apart.empty:
        return f"Every shipped coefficient lies within {APART:g} standard errors of the unpenalised one."
    named = ", ".join(f"{v} ({e:+.1f})" for v, e in zip(apart["variable"], apart["errors_apart"], strict=True))
    return (
        f"Shipped coefficients more than {APART:g} standard errors from the unpenalised ones, by how many: {named}. "
        "Penalty, resampling and calibration account for it."
    )
