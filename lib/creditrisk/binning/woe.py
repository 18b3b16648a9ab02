"""The scikit-learn transformer that turns columns into weight of evidence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from numbers import Integral, Number, Real

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin, _fit_context
from sklearn.utils import ClassifierTags
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import _check_feature_names_in, check_is_fitted, validate_data

from creditrisk.binning.bins import Bins
from creditrisk.binning.fit import MISSING, bins_at, column_values, fit_bins, is_text
from creditrisk.binning.search import TRENDS, Limits
from creditrisk.data.portfolio import Portfolio
from creditrisk.errors import BinningError

_OWN_OPTIONS = ("trend", "special", "missing", "cuts", "groups")


class WOETransformer(TransformerMixin, BaseEstimator):
    """Replace each column by its weight of evidence, ln(share of goods / share of bads): higher is safer.

    Parameters
    ----------
    max_bins : int, default 8
        Most regular bins; special codes, missing values and unseen levels come on top.
    min_bin_share : float, default 0.05
        Least share of all rows (of all weight) in a regular bin. Smaller bins give more IV and less stable WOE.
    trend : {"auto", "ascending", "descending", "peak", "valley", "none"} or dict by column, default "auto"
        How the bad rate may move over the bins of a number; "auto" is the better of ascending and descending. Levels
        are ordered by bad rate.
    special : dict by column of sequences, optional
        Codes that are not measurements; each gets its own bin.
    missing : {"auto", "own", "neutral", "worst", "similar"}, default "auto"
        What a missing value is worth: see `creditrisk.binning.fit.fit_bins`.
    options : dict by column of dicts, optional
        What differs for a column: any field of `creditrisk.binning.search.Limits`, `trend`, `special`, `missing`; or
        `cuts` (numbers) or `groups` (lists of levels), which are taken as they are.
    refine : bool, default True
        Seek cuts among all values, not only at pre-bin edges.

    Attributes
    ----------
    bins_ : dict of Bins by column
    iv_ : Series of information values by column, missing and special bins included, highest first
    n_features_in_, feature_names_in_ : as in scikit-learn
    """

    _parameter_constraints = {
        "max_bins": [Interval(Integral, 1, None, closed="left")],
        "min_bin_share": [Interval(Real, 0, 1, closed="both")],
        "trend": [StrOptions(set(TRENDS)), Mapping],
        "special": [Mapping, None],
        "missing": [StrOptions(set(MISSING))],
        "options": [Mapping, None],
        "refine": ["boolean"],
    }

    def __init__(
        self, max_bins=8, min_bin_share=0.05, trend="auto", special=None, missing="auto", options=None, refine=True
    ):
        self.max_bins = max_bins
        self.min_bin_share = min_bin_share
        self.trend = trend
        self.special = special
        self.missing = missing
        self.options = options
        self.refine = refine

    @classmethod
    def for_portfolio(cls, book: Portfolio, **parameters) -> WOETransformer:
        """A transformer with the options of each column of a portfolio: direction of risk, special codes, binning."""
        return cls(options={name: column.binning_options for name, column in book.candidates.items()}, **parameters)

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None) -> WOETransformer:
        """Fit bins of every column of X, shape (n, columns), to y (n,): two classes, of which the greater is bad.

        X is a DataFrame of numbers and text, or an array. `sample_weight` is float (n,). Raises BinningError (a
        ValueError) when y has gaps or not two classes, and for options of a column that is not there.
        """
        X = self._frame(X, reset=True)
        bad = self._bad(y, len(X))
        weight = None if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
        own = self._options(list(X.columns))
        self.bins_ = {name: self._fit_one(name, X[name], bad, weight, **own[name]) for name in X.columns}
        ivs = {name: bins.iv for name, bins in self.bins_.items()}
        self.iv_ = pd.Series(ivs, name="iv", dtype=np.float64).sort_values(ascending=False, kind="stable")
        return self

    def transform(self, X):
        """WOE of every fitted column, float64 (n, columns)."""
        check_is_fitted(self)
        X = self._frame(X, reset=False)
        woe = np.empty((len(X), len(self.bins_)), order="F")
        for j, (name, bins) in enumerate(self.bins_.items()):
            bins.transform(_checked_values(bins, X[name]), out=woe[:, j])
        return woe

    def get_feature_names_out(self, input_features=None) -> np.ndarray:
        """The names of the columns, object (columns,)."""
        check_is_fitted(self)
        return _check_feature_names_in(self, input_features)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.target_tags.one_d_labels = True
        tags.classifier_tags = ClassifierTags(multi_class=False)  # of the target: two classes
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        tags.input_tags.categorical = True
        return tags

    def _fit_one(self, name, column: pd.Series, bad, weight, *, cuts=None, groups=None, trend, special, missing, **own):
        values = column_values(column)
        if cuts is not None or groups is not None:
            at = cuts if groups is None else groups
            return bins_at(name, values, bad, at, special=special, weight=weight, missing=missing, trend=trend)
        limits = Limits(**{"max_bins": self.max_bins, "min_share": self.min_bin_share} | own)
        return fit_bins(
            name, values, bad, trend=trend, special=special, limits=limits, missing=missing, weight=weight,
            refine=self.refine,
        )  # fmt: skip

    def _options(self, columns: list[str]) -> dict[str, dict]:
        """What holds for each column."""
        trends = self.trend if isinstance(self.trend, Mapping) else {}
        for option in (trends, self.special or {}, self.options or {}):
            for name in option:
                if name not in columns:
                    raise BinningError(f"there is no column {name!r}; columns are {columns}")
        known = {field.name for field in fields(Limits)} | set(_OWN_OPTIONS)
        own = {}
        for name in columns:
            given = dict((self.options or {}).get(name, {}))
            for option in given:
                if option not in known:
                    raise BinningError(f"column {name!r}: unknown option {option!r}; allowed: {sorted(known)}")
            own[name] = {
                "trend": trends.get(name, "auto" if isinstance(self.trend, Mapping) else self.trend),
                "special": tuple((self.special or {}).get(name, ())),
                "missing": self.missing,
            } | given
        return own

    def _frame(self, X, reset: bool) -> pd.DataFrame:
        if not isinstance(X, pd.DataFrame):
            X = validate_data(self, X, reset=reset, dtype=None, ensure_all_finite=False)
            names = getattr(self, "feature_names_in_", [f"x{i}" for i in range(X.shape[1])])
            return pd.DataFrame(X, columns=names)
        if not X.columns.is_unique:
            raise BinningError(f"the column {X.columns[X.columns.duplicated()][0]!r} stands twice")
        missing = [] if reset else [name for name in self.bins_ if name not in X.columns]
        if missing:
            raise BinningError(f"missing column {missing[0]!r}")
        validate_data(self, X, reset=reset, skip_check_array=True)
        return X

    def _bad(self, y, rows: int) -> np.ndarray:
        """Outcomes as 0/1 (n,): of two classes the greater is bad, as `classes_[1]` is elsewhere in scikit-learn."""
        if y is None:
            raise ValueError("WOETransformer requires y to be passed, but the target y is None")
        y = np.asarray(y)
        if y.ndim == 2 and y.shape[1] == 1:
            y = y.ravel()
        if y.ndim != 1 or len(y) != rows:
            raise BinningError(f"X has {rows} rows and y has shape {y.shape}; as many outcomes as rows are needed")
        if y.dtype.kind not in "biuf" and not all(isinstance(one, Number) or pd.isna(one) for one in pd.unique(y)):
            raise BinningError("the target is text or dates; give 1 for bad and 0 for good")
        gaps = pd.isna(y)
        if gaps.any():
            raise BinningError(f"the target is missing in row {int(np.argmax(gaps)) + 1} ({int(gaps.sum()):,} rows)")
        ends = (
            (y.min(), y.max()) if y.dtype.kind in "biu" and len(y) else (0, 0)
        )  # quicker than sorting millions of outcomes
        two = ends[0] < ends[1] and ((y == ends[0]) | (y == ends[1])).all()
        classes = np.array(ends) if two else np.unique(y)
        if len(classes) != 2:
            raise BinningError(f"the target has {len(classes)} classes, {classes[:5].tolist()}; two are needed")
        return (y == classes[1]).astype(np.float64)


def _checked_values(bins: Bins, column: pd.Series):
    values = column_values(column)
    if not is_text(values) and bins.kind == "category" and not bins.groups:  # it was empty in training: all is unseen
        return pd.Categorical(np.where(np.isnan(values), None, "a number"))
    if is_text(values) == (bins.kind == "numeric") and column.notna().any():
        wanted = "numbers" if bins.kind == "numeric" else "text"
        raise BinningError(f"the column {bins.name!r} was fitted as {wanted}, but holds {column.dtype}")
    return values
