"""Drift of a model's own features against the rows it was trained on.

The rule: Z = (new mean - training mean) / training standard deviation, flagged at |Z| >= 3. It measures the shift of a
column's mean in standard deviations of single values, so it catches extreme shifts only. Columns are compared as they
are before encoding.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields

import numpy as np
import pandas as pd

Z_LIMIT = 3.0
NUMERIC_BINS = 10
ABSENT = "the column is absent"


@dataclass(frozen=True)
class ColumnBaseline:
    """What training rows held in one column: counts by bin or level, mean and standard deviation of numbers."""

    name: str
    kind: str  # number | category
    n: int
    missing: int
    mean: float | None = None
    std: float | None = None
    edges: tuple[float, ...] = ()
    levels: tuple[str, ...] = ()
    counts: tuple[int, ...] = ()


@dataclass(frozen=True)
class Baseline:
    """The training baseline of a set of columns. A check needs nothing else of the training data."""

    columns: tuple[ColumnBaseline, ...]
    rows: int

    @classmethod
    def fit(cls, frame: pd.DataFrame) -> Baseline:
        """Summarise every column of a frame, numbers and text alike."""
        return cls(tuple(_summary(str(name), frame[name]) for name in frame.columns), len(frame))

    def to_dict(self) -> dict:
        """Plain data for JSON and for the model file."""
        return {"rows": self.rows, "columns": [_lists(asdict(column)) for column in self.columns]}

    @classmethod
    def from_dict(cls, data: dict) -> Baseline:
        tuples = ("edges", "levels", "counts")
        columns = [ColumnBaseline(**{k: tuple(v) if k in tuples else v for k, v in c.items()}) for c in data["columns"]]
        return cls(tuple(columns), data["rows"])


def _lists(data: dict) -> dict:
    return {k: list(v) if isinstance(v, tuple) else v for k, v in data.items()}


def _numbers(column: pd.Series) -> np.ndarray:
    """The finite numbers of a column, float64; text that is no number, and infinity, count as missing."""
    values = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    return values[np.isfinite(values)]


def _summary(name: str, column: pd.Series) -> ColumnBaseline:
    if pd.api.types.is_numeric_dtype(column):
        values = _numbers(column)
        missing = len(column) - len(values)
        if not len(values):
            return ColumnBaseline(name, "number", len(column), missing)
        constant = values.min() == values.max()  # the mean of equal numbers need not be that number
        edges = np.unique(np.quantile(values, np.linspace(0, 1, NUMERIC_BINS + 1)[1:-1], method="inverted_cdf"))
        counts = np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1)
        return ColumnBaseline(
            name, "number", len(column), missing,
            mean=float(values[0] if constant else values.mean()), std=0.0 if constant else float(values.std()),
            edges=tuple(edges.tolist()), counts=tuple(counts.tolist()),
        )  # fmt: skip
    present = column.dropna()
    counts = present.astype("str").value_counts().sort_index()
    missing = len(column) - len(present)
    levels, by_level = tuple(counts.index), tuple(int(c) for c in counts)
    return ColumnBaseline(name, "category", len(column), missing, levels=levels, counts=by_level)


@dataclass(frozen=True)
class ColumnDrift:
    """One column compared. Means are of values present; shares are of all rows."""

    column: str
    kind: str
    status: str  # ok | flagged | insufficient data | not checked
    reason: str
    n: int
    train_mean: float | None = None
    train_std: float | None = None
    new_mean: float | None = None
    z: float | None = None
    z_flag: bool = False
    train_missing: float = 0.0
    new_missing: float = 0.0


@dataclass(frozen=True)
class DriftReport:
    """The columns of a window compared with a baseline. Data first: `to_dict()` for JSON, `columns` for a frame."""

    items: tuple[ColumnDrift, ...]
    rows: int
    baseline_rows: int

    @property
    def columns(self) -> pd.DataFrame:
        """One row a column, flagged ones first."""
        table = pd.DataFrame([asdict(item) for item in self.items], columns=[f.name for f in fields(ColumnDrift)])
        order = table["status"].map({"flagged": 0, "insufficient data": 1, "ok": 2, "not checked": 3})
        size = -table["z"].astype("float64").abs().fillna(-1.0)
        table = table.assign(order=order, size=size).sort_values(["order", "size"], kind="stable", ignore_index=True)
        return table.drop(columns=["order", "size"])

    @property
    def flagged(self) -> tuple[str, ...]:
        """Names of the flagged columns."""
        return tuple(item.column for item in self.items if item.status == "flagged")

    @property
    def status(self) -> str:
        """The verdict of the window: drift, insufficient data, or ok.

        A column that is absent, or a window in which no column could be checked, is insufficient data. A column that
        is there but empty, as an optional input that nobody sends, does not decide.
        """
        if self.flagged:
            return "drift"
        checked = any(item.status == "ok" for item in self.items)
        return "ok" if checked and not any(item.reason == ABSENT for item in self.items) else "insufficient data"

    def to_dict(self) -> dict:
        return {
            "status": self.status,
            "rule": f"|Z| >= {Z_LIMIT:g}",
            "rows": self.rows,
            "baseline_rows": self.baseline_rows,
            "flagged": list(self.flagged),
            "columns": [asdict(item) for item in self.items],
        }


def compare(baseline: Baseline, frame: pd.DataFrame) -> DriftReport:
    """Compare a window with the baseline, column by column.

    An absent or empty column is "insufficient data", never an error. A column that was constant in training is flagged
    when any new value differs from it.
    """
    return DriftReport(tuple(_compare(column, frame) for column in baseline.columns), len(frame), baseline.rows)


def _compare(base: ColumnBaseline, frame: pd.DataFrame) -> ColumnDrift:
    train_missing = base.missing / base.n if base.n else 0.0
    common = {"column": base.name, "kind": base.kind, "train_mean": base.mean, "train_std": base.std,
              "train_missing": train_missing}  # fmt: skip
    if base.name not in frame.columns:
        return ColumnDrift(status="insufficient data", reason=ABSENT, n=0, **common)
    present = _numbers(frame[base.name]) if base.kind == "number" else frame[base.name].dropna().to_numpy()
    common |= {"n": len(present), "new_missing": 1 - len(present) / len(frame) if len(frame) else 0.0}
    if not len(present):
        return ColumnDrift(status="insufficient data", reason="no value is present", **common)
    if base.kind == "category":
        return ColumnDrift(status="not checked", reason="Z is for numbers", **common)
    if base.mean is None:
        return ColumnDrift(status="insufficient data", reason="no value was present in training", **common)
    mean = float(present.mean())
    if base.std == 0:
        moved = bool((present != base.mean).any())
        reason = "constant in training, now other values" if moved else "constant, as in training"
        return ColumnDrift(
            status="flagged" if moved else "ok", reason=reason, new_mean=mean, z_flag=moved,
            z=None if moved else 0.0, **common,
        )  # fmt: skip
    z = (mean - base.mean) / base.std
    flag = bool(abs(z) >= Z_LIMIT)
    reason = f"the mean moved by {z:+.2f} standard deviations"
    return ColumnDrift(
        status="flagged" if flag else "ok", reason=reason, new_mean=mean, z=float(z), z_flag=flag, **common
    )
