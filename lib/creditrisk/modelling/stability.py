"""Do the judged rows still look like those the model was developed on: PSI of the PD and of inputs, over time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import chi2

from creditrisk.binning.evidence import PSI_ACT, PSI_WATCH, psi, rate_interval
from creditrisk.modelling.design import Columns
from creditrisk.modelling.findings import NOT_APPLICABLE, PASS, Finding, Limit, nothing, too_few, worst
from creditrisk.modelling.metrics import auc

PSI = Limit(PSI_WATCH, PSI_ACT, "convention; neither ECB nor Basel sets one")
PSI_CHANCE = 0.01
"""A PSI counts only above what as few rows would show by chance with this probability (Yurdakul 2018)."""
FEWEST_ROWS = 50
"""A PSI of fewer rows is not taken."""


def slots(reference: np.ndarray, bins: int = 10) -> Callable[[np.ndarray], np.ndarray]:
    """How to count values in slots made from `reference`: a function from values to counts (slots,).

    Numbers fall into quantiles of the reference, equal cuts once; text into its levels. Missing values have a slot of
    their own, and so have levels that the reference lacks.
    """
    reference = np.asarray(reference)
    if reference.dtype == object:
        levels = sorted({str(value) for value in reference if value is not None})
        place = {level: i for i, level in enumerate(levels)}

        def of_levels(values: np.ndarray) -> np.ndarray:
            found = [len(place) if v is None else place.get(str(v), len(place) + 1) for v in values]
            return np.bincount(np.array(found, dtype=np.int64), minlength=len(place) + 2)

        return of_levels
    known = reference[np.isfinite(reference)]
    shares = np.linspace(0, 1, bins + 1)[1:-1]
    cuts = np.unique(np.quantile(known, shares, method="inverted_cdf")) if len(known) else np.array([])

    def of_numbers(values: np.ndarray) -> np.ndarray:
        present = np.isfinite(values)
        inside = np.bincount(np.searchsorted(cuts, values[present], side="right"), minlength=len(cuts) + 1)
        return np.append(inside, (~present).sum())

    return of_numbers


@dataclass(frozen=True)
class Shift:
    """PSI of one column, and the PSI that so few rows show by chance with probability PSI_CHANCE."""

    psi: float
    chance: float
    rows: int

    @property
    def status(self) -> str:
        if self.rows < FEWEST_ROWS:
            return NOT_APPLICABLE
        return PSI.status(self.psi) if self.psi > self.chance else PASS


def shift(reference: np.ndarray, values: np.ndarray, bins: int = 10) -> Shift:
    """PSI of `values` against `reference`, over quantiles or levels of the reference."""
    count = slots(reference, bins)
    return _shift(count(reference), count(values))


def _shift(expected: np.ndarray, observed: np.ndarray) -> Shift:
    """Under no change the PSI is about (1/n + 1/N) chi-squared with one degree less than slots (Yurdakul 2018)."""
    rows, size = int(observed.sum()), int((expected + observed > 0).sum())
    if not rows:
        return Shift(float("nan"), float("nan"), 0)
    error = 1 / rows + 1 / int(expected.sum())
    return Shift(psi(expected, observed), error * float(chi2.ppf(1 - PSI_CHANCE, max(size - 1, 1))), rows)


def score_stability(reference: np.ndarray, pds: np.ndarray) -> Finding:
    """PSI of the PD against `reference`: out-of-fold PDs of the training rows, each by a model that has not seen it.

    PDs of training rows by the model itself would not do: what a model has learned by heart it tells apart better than
    new rows.
    """
    found, name = shift(reference, pds), "PSI of the PD, judged against out-of-fold PDs of training rows"
    if found.status == NOT_APPLICABLE:
        return nothing("stability.score", name, f"only {found.rows} rows", PSI.text(), PSI.source)
    why = f"by chance up to {found.chance:.3f} on so many rows"
    return Finding("stability.score", name, found.psi, found.status, PSI.text(), PSI.source, why)


def input_shifts(reference: Columns, columns: Columns, names: Sequence[str]) -> pd.DataFrame:
    """PSI of each named column: column, psi, chance, status; the largest first."""
    found = {name: shift(reference[name], columns[name]) for name in names}
    rows = [(name, one.psi, one.chance, one.status) for name, one in found.items()]
    table = pd.DataFrame(rows, columns=["column", "psi", "chance", "status"])
    return table.sort_values("psi", ascending=False, kind="stable", ignore_index=True)


def input_stability(table: pd.DataFrame) -> Finding:
    """The largest PSI of an input, from `input_shifts`."""
    name, tested = "Largest PSI of an input", table[table["status"] != NOT_APPLICABLE]
    if tested.empty:
        return nothing("stability.inputs", name, "too few rows", PSI.text(), PSI.source)
    moved = tested.loc[tested["status"] != PASS, "column"]
    why = f"moved: {', '.join(moved)}" if len(moved) else f"{tested['column'].iloc[0]}; none moved beyond chance"
    result = worst(tested["status"])
    return Finding("stability.inputs", name, float(tested["psi"].iloc[0]), result, PSI.text(), PSI.source, why)


PERIODS = (("M", "month"), ("Q", "quarter"), ("Y", "year"))
ROWS_A_PERIOD = 150


def periods_of(dates: pd.Series) -> tuple[pd.Series, str]:
    """Text labels of months, or of quarters or years where a month holds too few rows; and what they are."""
    for letter, word in PERIODS:
        labels = dates.dt.to_period(letter).astype("str")
        if labels.value_counts().median() >= ROWS_A_PERIOD or word == "year":
            return labels, word
    raise AssertionError("years are always taken")


def by_period(labels: Sequence[str], bad: np.ndarray, pds: np.ndarray, reference: np.ndarray) -> pd.DataFrame:
    """Each period in order: period, rows, bads, bad_rate, low, high (Wilson), mean_pd, auc, psi, chance, status.

    PSI is that of the PD against `reference`, with few slots since periods hold few rows.
    """
    labels, count, rows = np.asarray(labels, dtype=object), slots(reference, 5), []
    expected = count(reference)
    for label in sorted(set(labels)):
        mine = labels == label
        moved = _shift(expected, count(pds[mine]))
        few = too_few(int(bad[mine].sum()), int(mine.sum()))
        area = float("nan") if few else auc(bad[mine], pds[mine])
        rows.append(
            {"period": label, "rows": int(mine.sum()), "bads": int(bad[mine].sum()), "mean_pd": float(pds[mine].mean())}
            | {"auc": area, "psi": moved.psi, "chance": moved.chance, "status": moved.status}
        )
    table = pd.DataFrame(rows)
    low, high = rate_interval(table["rows"] - table["bads"], table["bads"])
    return table.assign(bad_rate=table["bads"] / table["rows"], low=low, high=high)


def history(dates: pd.Series, bad: np.ndarray, pds: np.ndarray, word: str, judged: pd.DataFrame) -> pd.DataFrame:
    """`by_period` of development rows before the first of the judged periods, and the judged ones below.

    `word` is what the judged periods are. Only a split by time leaves rows before them.
    """
    letter = next(letter for letter, name in PERIODS if name == word)
    labels = dates.dt.to_period(letter).astype("str").to_numpy(dtype=object)
    early = labels < judged["period"].iloc[0]
    if not early.any():
        return judged
    return pd.concat([by_period(labels[early], bad[early], pds[early], pds), judged], ignore_index=True)


def input_periods(
    labels: Sequence[str], columns: Columns, reference: Columns, names: Sequence[str], most: int = 18
) -> pd.DataFrame:
    """PSI of each named column (rows) in each of the last `most` periods (columns) against `reference`.

    Few slots, as periods hold few rows; a period of fewer than FEWEST_ROWS rows has NaN.
    """
    labels, found = np.asarray(labels, dtype=object), {}
    for name in names:
        count = slots(reference[name], 5)
        expected = count(reference[name])
        found[name] = {}
        for label in sorted(set(labels))[-most:]:
            moved = _shift(expected, count(columns[name][labels == label]))
            found[name][label] = moved.psi if moved.rows >= FEWEST_ROWS else np.nan
    return pd.DataFrame(found).T


def period_stability(table: pd.DataFrame | None, word: str) -> Finding:
    """The worst period, from `by_period`; None when the rows have no dates."""
    key, name = "stability.periods", f"Largest PSI of the PD in a {word}"
    if table is None:
        return nothing(key, name, "the portfolio names no observation date", PSI.text(), PSI.source)
    tested = table[table["status"] != NOT_APPLICABLE]
    if tested.empty:
        return nothing(key, name, f"no {word} holds {FEWEST_ROWS} rows", PSI.text(), PSI.source)
    at = tested.loc[tested["psi"].idxmax()]
    moved = tested.loc[tested["status"] != PASS, "period"]
    why = f"moved: {', '.join(moved)}" if len(moved) else f"{at['period']}; none moved beyond chance"
    return Finding(key, name, float(at["psi"]), worst(tested["status"]), PSI.text(), PSI.source, why)
