"""One variable on the binning bench: its rows, what the search found, and every version of its bins since."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd

from creditrisk.binning.bins import Bins, Policy, level_codes
from creditrisk.binning.evidence import psi, side_by_side
from creditrisk.binning.fit import BinningWarning, fit_bins
from creditrisk.binning.overrides import Override
from creditrisk.binning.search import Limits
from creditrisk.ui.bench_words import Note

NO_REASON = "not given yet"  # stands in a draft, which is shown and never written


@dataclass(frozen=True)
class Variable:
    """What does not change: the rows of one variable, how it is searched, and what the search found.

    `values` are float64 (n,) with NaN missing or a Categorical, `bad` 0/1 (n,). `options` are trend, special codes and
    missing, as far as the portfolio says something of them.
    """

    name: str
    label: str
    values: np.ndarray | pd.Categorical
    bad: np.ndarray
    test_values: np.ndarray | pd.Categorical
    test_bad: np.ndarray
    limits: Limits
    options: Mapping

    @cached_property
    def optimum(self) -> Version:
        return Version.of(self, self.searched())

    @cached_property
    def levels(self) -> tuple[str, ...]:
        """The levels that the training rows hold; none for a number."""
        if not isinstance(self.values, pd.Categorical):
            return ()
        return tuple(level_codes(self.values)[1])

    @property
    def trend(self) -> str:
        """How the bad rate should move."""
        return self.options.get("trend", "auto")

    def searched(self, **changed) -> Bins:
        """The best bins of the training rows."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", BinningWarning)  # the bench says in its table that there is one bin
            options = {**self.options, **changed}
            return fit_bins(self.name, self.values, self.bad, limits=self.limits, **options)

    def bins_of(self, override: Override) -> Bins:
        """The bins that an override asks for."""
        if override.bins is None:
            return self.optimum.bins if override.missing is None else self.searched(missing=override.missing)
        return override.fitted(self.values, self.bad, limits=self.limits, **self.options)


@dataclass(frozen=True)
class Version:
    """Bins, and how they look on training and test rows.

    `table` is of evidence.side_by_side, with the slot as its index. `missing` is what the analyst said missing values
    are worth, None when nothing was said.
    """

    bins: Bins
    table: pd.DataFrame
    psi: float
    missing: Policy | None = None

    @classmethod
    def of(cls, variable: Variable, bins: Bins, missing: Policy | None = None) -> Version:
        table = side_by_side(bins, variable.test_values, variable.test_bad)
        return cls(bins, table, psi(table["count"], table["test_count"]), missing)

    @cached_property
    def marks(self) -> tuple[Note, ...]:
        """What stands out, in a word or two each."""
        if self.bins.n_regular < 2:
            return (Note("limit", "! one bin"),)
        turned, alike = int(self.table["reverses"].sum()), int(self.table["alike"].sum())
        marks = [Note("order", f"⇅ {turned} reversed")] if turned else []
        return (*marks, *([Note("alike", f"≈ {alike} alike")] if alike else []))


class Desk:
    """One variable with its versions: the optimum first, then every edit; and what the file says of it."""

    def __init__(self, variable: Variable, saved: Override | None) -> None:
        self.variable, self.saved = variable, saved
        self.versions = [variable.optimum]
        self.use, self.reason = "", ""
        if saved is not None:
            self.use, self.reason = saved.use, saved.reason
            bins = variable.bins_of(saved)
            if not _same(bins, variable.optimum.bins):
                self.versions.append(Version.of(variable, bins, saved.missing))
        self.at = len(self.versions) - 1
        self._opened = self.version.bins

    @property
    def version(self) -> Version:
        return self.versions[self.at]

    @property
    def edited(self) -> bool:
        """Whether the bins are not those that the search found."""
        return not _same(self.version.bins, self.variable.optimum.bins)

    @property
    def changed(self) -> bool:
        """Whether the file says something else."""
        if not _same(self.version.bins, self._opened) or self.use != (self.saved.use if self.saved else ""):
            return True
        return self.saved is not None and self.reason.strip() != self.saved.reason.strip()

    def push(self, bins: Bins, missing: Policy | None) -> None:
        """Make these bins the version that counts; what was undone is forgotten."""
        if _same(bins, self.version.bins):
            return
        self.versions[self.at + 1 :] = [Version.of(self.variable, bins, missing)]
        self.at += 1

    def entry(self, by: str = "", at: str = "") -> Override | None:
        """What to write for the variable; None when nothing is decided about it. Without a name it is a draft."""
        reason = self.reason.strip() or ("" if by else NO_REASON)
        told = {"use": self.use, "reason": reason, "by": by, "at": at}
        bins, optimum = self.version.bins, self.variable.optimum.bins
        if self.saved is not None and _same(bins, self._opened):
            kept = replace(self.saved, **told)
            return kept if kept.bins is not None or kept.missing is not None or kept.use or not self.saved.use else None
        said = {} if self.version.missing is None or not self.edited else {"missing": self.version.missing}
        if not _same_cuts(bins, optimum) or isinstance(said.get("missing"), int):
            said |= {"cuts": bins.cuts} if bins.kind == "numeric" else {"groups": bins.groups}
        return Override(self.variable.name, **said, **told) if said or self.use else None

    def written(self, saved: Override | None) -> None:
        """Take note of what the file says now."""
        self.saved, self._opened = saved, self.version.bins


def _same_cuts(a: Bins, b: Bins) -> bool:
    return a.cuts == b.cuts and {frozenset(group) for group in a.groups} == {frozenset(group) for group in b.groups}


def _same(a: Bins, b: Bins) -> bool:
    """Whether two bins of one variable do the same."""
    return _same_cuts(a, b) and a.policies == b.policies
