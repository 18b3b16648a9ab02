"""Fit bins to columns, and the scikit-learn transformer that turns columns into WOE."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from creditrisk.binning.bins import Bins
from creditrisk.binning.search import TRENDS, Limits, best_binning, pre_bin_cuts

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

    `values`: numbers (n,) with NaN missing, or object (n,) of text with None missing. `bad`: 0/1 (n,). Raises
    ValueError when the target holds anything else, or one class only, and when a value is infinite.
    """
    bad = np.asarray(bad)
    if len(values) != len(bad) or not len(bad):
        raise ValueError(f"binning {name!r}: {len(values)} values and {len(bad)} outcomes; as many of both are needed")
    if not np.isin(bad, (0, 1)).all():
        raise ValueError(f"binning {name!r}: the target holds values other than 0 and 1, or missing ones")
    if bad.min() == bad.max():
        raise ValueError(f"binning {name!r}: every row is {'bad' if bad[0] else 'good'}; both classes are needed")
    limits = limits or Limits()
    if values.dtype.kind not in "fiub":
        return _fit_category(name, values, bad.astype(np.float64), limits)
    values = values.astype(np.float64)
    if np.isinf(values).any():
        raise ValueError(f"binning {name!r}: row {int(np.argmax(np.isinf(values))) + 1} is infinite")
    return _fit_numeric(name, values, bad.astype(np.float64), trend, special, limits)


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


def _fit_category(name, values, bad, limits: Limits) -> Bins:
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
        begin = _pre_bins_of_levels(goods + bads, limits.max_pre_bins)
        goods, bads = np.add.reduceat(goods, begin), np.add.reduceat(bads, begin)
        starts = begin[list(best_binning(goods, bads, totals, limits, "ascending").starts)]
        ends = [*starts[1:], len(counts)]
        groups = tuple(tuple(counts.index[a:b]) for a, b in zip(starts, ends, strict=True))
    empty = Bins(
        name, "category", (0.0,) * (len(groups) + 2), (0.0,) * (len(groups) + 2), groups=groups, trend="ascending"
    )
    return _counted(empty, values, bad)


def _pre_bins_of_levels(counts: np.ndarray, limit: int) -> np.ndarray:
    """Positions at which pre-bins of ordered levels begin: every level when few, else about equal counts."""
    if len(counts) <= limit:
        return np.arange(len(counts))
    before = np.cumsum(counts) - counts
    return np.unique(np.floor(before * limit / counts.sum()), return_index=True)[1]


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
        _require_frame(X)
        limits = Limits(max_bins=self.max_bins, min_share=self.min_bin_share)
        trends, trend = (self.trend, "auto") if isinstance(self.trend, Mapping) else ({}, self.trend)
        if trend not in TRENDS or not set(trends.values()) <= set(TRENDS):
            raise ValueError(f"trend is {self.trend!r}; each must be one of {', '.join(TRENDS)}")
        for option in (trends, self.special or {}):
            for name in option:
                if name not in X.columns:
                    raise ValueError(f"there is no column {name!r}; columns are {list(X.columns)}")
        self.bins_ = {
            name: fit_bins(
                name,
                column_values(X[name]),
                np.asarray(y),
                trend=trends.get(name, trend),
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
        _require_frame(X)
        missing = [name for name in self.bins_ if name not in X.columns]
        if missing:
            raise ValueError(f"missing column {missing[0]!r}")
        return pd.DataFrame({name: _transform(bins, X[name]) for name, bins in self.bins_.items()}, index=X.index)

    def get_feature_names_out(self, input_features=None) -> np.ndarray:
        check_is_fitted(self)
        return self.feature_names_in_


def _require_frame(X) -> None:
    if not isinstance(X, pd.DataFrame):
        raise TypeError(f"WOE needs a pandas DataFrame, whose columns have names, not {type(X).__name__}")
    if not X.columns.is_unique:
        raise ValueError(f"the column {X.columns[X.columns.duplicated()][0]!r} stands twice")


def _transform(bins: Bins, column: pd.Series) -> np.ndarray:
    values = column_values(column)
    if (values.dtype.kind == "f") != (bins.kind == "numeric") and column.notna().any():
        wanted = "numbers" if bins.kind == "numeric" else "text"
        raise ValueError(f"the column {bins.name!r} was fitted as {wanted}, but holds {column.dtype}")
    return bins.transform(values)


def column_values(column: pd.Series) -> np.ndarray:
    """A column as bins read it: float64 with NaN, or object with None where missing."""
    if column.dtype == object:
        column = column.infer_objects()  # numbers with None among them
    if pd.api.types.is_numeric_dtype(column):
        return column.to_numpy(dtype=np.float64, na_value=np.nan)
    text = column.astype("str").astype("object")  # mixed types too, so that levels can be sorted and stored
    return text.where(text.notna(), None).to_numpy(dtype=object)
