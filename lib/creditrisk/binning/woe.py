"""Fit bins to columns, and the scikit-learn transformer that turns columns into WOE."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from creditrisk.binning.bins import Bins
from creditrisk.binning.search import Limits, best_binning, pre_bin_cuts

TREND_OF_RISK = {"increasing": "ascending", "decreasing": "descending", "any": "auto"}
"""A portfolio's direction of risk as the trend of the bad rate over bins."""


def fit_bins(
    name: str,
    values: np.ndarray,
    bad: np.ndarray,
    *,
    trend: str = "auto",
    special: tuple[float, ...] = (),
    limits: Limits | None = None,
) -> Bins:
    """Fit one variable's bins.

    `values`: float64 (n,) with NaN missing, or object (n,) of text with None missing. `bad`: 0/1 (n,). Raises
    ValueError when the target holds anything else, or one class only.
    """
    bad = np.asarray(bad)
    if not np.isin(bad, (0, 1)).all():
        raise ValueError(f"binning {name!r}: the target holds values other than 0 and 1, or missing ones")
    if bad.min() == bad.max():
        raise ValueError(f"binning {name!r}: every row is {'bad' if bad[0] else 'good'}; both classes are needed")
    limits = limits or Limits()
    fit = _fit_numeric if values.dtype.kind == "f" else _fit_category
    return fit(name, values, bad.astype(np.float64), trend, special, limits)


def _fit_numeric(name, values, bad, trend, special, limits: Limits) -> Bins:
    is_code = np.isin(values, special)
    regular = ~np.isnan(values) & ~is_code
    totals = (float((1 - bad).sum()), float(bad.sum()))
    cuts: tuple[float, ...] = ()
    if regular.any():
        fine = pre_bin_cuts(values[regular], limits.max_pre_bins)
        slots = np.searchsorted(fine, values[regular], side="right")
        bads = np.bincount(slots, weights=bad[regular], minlength=len(fine) + 1)
        goods = np.bincount(slots, minlength=len(fine) + 1) - bads
        found = best_binning(goods, bads, totals, limits, trend)
        cuts = tuple(float(fine[start - 1]) for start in found.starts[1:])
        trend = found.trend
    empty = Bins(name, "numeric", (0.0,) * (len(cuts) + len(special) + 2), (0.0,) * (len(cuts) + len(special) + 2),
                 cuts=cuts, special=tuple(special), trend=trend)  # fmt: skip
    return _counted(empty, values, bad)


def _fit_category(name, values, bad, trend, special, limits: Limits) -> Bins:
    text = pd.Series(values, dtype="object")
    by_level = pd.DataFrame({"level": text, "bad": bad}).dropna(subset="level").groupby("level", observed=True)["bad"]
    counts = by_level.agg(["sum", "count"])
    rate = (counts["sum"] + bad.mean()) / (counts["count"] + 1)  # smoothed, so that rare levels do not lead
    counts = counts.assign(rate=rate).sort_index().sort_values("rate", kind="stable")
    totals = (float((1 - bad).sum()), float(bad.sum()))
    bads = counts["sum"].to_numpy(dtype=np.float64)
    goods = counts["count"].to_numpy(dtype=np.float64) - bads
    groups: tuple[tuple[str, ...], ...] = ()
    if len(counts):
        found = best_binning(goods, bads, totals, limits, "ascending")
        ends = [*found.starts[1:], len(counts)]
        groups = tuple(tuple(counts.index[a:b]) for a, b in zip(found.starts, ends, strict=True))
    empty = Bins(
        name, "category", (0.0,) * (len(groups) + 2), (0.0,) * (len(groups) + 2), groups=groups, trend="ascending"
    )
    return _counted(empty, values, bad)


def _counted(bins: Bins, values: np.ndarray, bad: np.ndarray) -> Bins:
    """The same bins with the counts of a sample."""
    slots = bins.assign(values)
    bads = np.bincount(slots, weights=bad, minlength=bins.n_slots)
    goods = np.bincount(slots, minlength=bins.n_slots) - bads
    return Bins(
        bins.name, bins.kind, tuple(goods.tolist()), tuple(bads.tolist()),
        cuts=bins.cuts, groups=bins.groups, special=bins.special, trend=bins.trend,
    )  # fmt: skip


class WOETransformer(TransformerMixin, BaseEstimator):
    """Replace each column by its weight of evidence, ln(share of goods / share of bads).

    Parameters
    ----------
    max_bins : int, default 8
    min_bin_share : float, default 0.05
        Least share of all rows in a regular bin.
    trend : {"auto", "ascending", "descending"} or dict by column
        How the bad rate may move over the bins of a number.
    special : dict by column of tuples, optional
        Codes that are not measurements.

    Attributes
    ----------
    bins_ : dict of Bins by column
    iv_ : Series of information values by column, highest first
    """

    def __init__(self, max_bins=8, min_bin_share=0.05, trend="auto", special=None):
        self.max_bins = max_bins
        self.min_bin_share = min_bin_share
        self.trend = trend
        self.special = special

    def fit(self, X: pd.DataFrame, y) -> WOETransformer:
        """Fit bins of every column of X, shape (n, columns), to y, 0/1 (n,) with 1 for bad."""
        limits = Limits(max_bins=self.max_bins, min_share=self.min_bin_share)
        trends = self.trend if isinstance(self.trend, Mapping) else {}
        for option in (trends, self.special or {}):
            for name in option:
                if name not in X.columns:
                    raise ValueError(f"there is no column {name!r}; columns are {list(X.columns)}")
        self.bins_ = {
            name: fit_bins(
                name,
                column_values(X[name]),
                np.asarray(y),
                trend=trends.get(name, "auto" if trends else self.trend),
                special=tuple((self.special or {}).get(name, ())),
                limits=limits,
            )
            for name in X.columns
        }
        self.feature_names_in_ = np.asarray(X.columns, dtype=object)
        self.n_features_in_ = X.shape[1]
        ivs = {name: bins.iv for name, bins in self.bins_.items()}
        self.iv_ = pd.Series(ivs, name="iv").sort_values(ascending=False)
        return self

    def transform(self, X: pd.DataFrame) -> pd.DataFrame:
        """WOE of every fitted column, float64 (n, columns)."""
        check_is_fitted(self)
        missing = [name for name in self.bins_ if name not in X.columns]
        if missing:
            raise ValueError(f"missing column {missing[0]!r}")
        return pd.DataFrame(
            {name: bins.transform(column_values(X[name])) for name, bins in self.bins_.items()}, index=X.index
        )

    def get_feature_names_out(self, input_features=None) -> np.ndarray:
        check_is_fitted(self)
        return self.feature_names_in_


def column_values(column: pd.Series) -> np.ndarray:
    """A column as bins read it: float64 with NaN, or object with None where missing."""
    if pd.api.types.is_numeric_dtype(column):
        return column.to_numpy(dtype=np.float64, na_value=np.nan)
    text = column.astype("object")
    return text.where(text.notna(), None).to_numpy(dtype=object)
