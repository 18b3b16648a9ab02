"""How the served PD answers to each input: never against the declared direction of risk, and by how much."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf

import numpy as np
import pandas as pd

from creditrisk.data.portfolio import Column, Portfolio
from creditrisk.modelling.design import Columns, WoeDesign
from creditrisk.modelling.findings import FAIL, PASS, Finding, nothing, number_text
from creditrisk.modelling.pd_model import PDModel, Trees

WRONG_MOVE = 1e-12
"""PDs that fall by less than this are dust of rounding."""


PDOf = Callable[[Columns], np.ndarray]
"""PDs of columns by name, as the model is served: derived features are made anew from changed inputs."""


def steps_of(model: PDModel, name: str) -> np.ndarray:
    """Values at which the model's PD can change in one of its own columns, sorted; empty when it does not read it."""
    if isinstance(model.design, WoeDesign):
        found = [cut for bins in model.design.bins if bins.name == name for cut in bins.cuts]
        return np.array(sorted(found), dtype=np.float64)
    if not isinstance(model.model, Trees) or name not in model.design.inputs:
        return np.array([])
    import xgboost

    booster = xgboost.Booster()
    booster.load_model(bytearray(model.model.booster))
    column = f"f{model.design.inputs.index(name)}"
    nodes = re.findall(rf"\[{column}<([^\]]+)\]", "\n".join(booster.get_dump()))
    return np.unique(np.array(nodes, dtype=np.float64))


def sweep_values(values: np.ndarray, column: Column, steps: np.ndarray, most: int = 200) -> np.ndarray:
    """What to set a number to, ascending: quantiles and ends seen, hard limits, and both sides of the model's steps."""
    known = values[np.isfinite(values) & ~np.isin(values, column.special)]
    if not len(known):
        return np.array([])
    if len(steps) > most:
        steps = steps[np.linspace(0, len(steps) - 1, most).astype(int)]
    ends = [end for end in (column.min, column.max) if end is not None]
    seen = np.quantile(known, np.linspace(0, 1, 41), method="inverted_cdf")
    if column.kind == "integer":
        sides = [np.ceil(steps) - 1, np.ceil(steps)]
    else:  # trees compare in float32: a little beyond its rounding
        near = np.maximum(np.abs(steps), 1) * 1e-6
        sides = [steps - near, steps, steps + near]
    found = np.unique(np.concatenate([seen, ends, *sides]))
    low = column.min if column.min is not None else column.above if column.above is not None else -inf
    fine = (found >= low) & (found <= (inf if column.max is None else column.max))
    fine &= found > (-inf if column.above is None else column.above)
    return found[fine & ~np.isin(found, column.special)]


def sweep(pd_of: PDOf, columns: Columns, name: str, values: np.ndarray) -> np.ndarray:
    """PD of every row with `name` set to every value, the rest as it is: float64 (n, values)."""
    rows, times = len(columns[name]), len(values)
    wide = {other: np.repeat(one, times) for other, one in columns.items()} | {name: np.tile(values, rows)}
    return pd_of(wide).reshape(rows, times)


def wrong_moves(pds: np.ndarray, risk: str) -> int:
    """How often the PD moves against the direction of risk over swept values, (n, values)."""
    sign = {"increasing": 1.0, "decreasing": -1.0}[risk]
    return int((sign * np.diff(pds, axis=1) < -WRONG_MOVE).sum())


@dataclass(frozen=True)
class Swept:
    """One column swept: the values, the PDs (n, values), and the range of values that these applicants have."""

    name: str
    risk: str
    values: np.ndarray
    pds: np.ndarray
    seen: tuple[float, float]

    @property
    def wrong(self) -> int:
        """Moves against the direction of risk."""
        return wrong_moves(self.pds, self.risk)


def sweep_all(book: Portfolio, model: PDModel, inputs: Columns, columns: Columns, pd_of: PDOf) -> list[Swept]:
    """Every number with a declared direction of risk: inputs as they are served, features in the model's own columns.

    `inputs` are the applicants' inputs, `columns` these with derived features, `pd_of` the served model over inputs.
    Columns that no path leads from to the model are left out.
    """
    found = []
    for name, column in book.candidates.items():
        if not column.is_numeric or column.risk == "any":
            continue
        served = name in inputs
        if not served and name not in model.features:
            continue
        known = np.asarray(columns[name], dtype=np.float64)
        values = sweep_values(known, column, steps_of(model, name))
        if len(values) > 1:
            pds = sweep(pd_of if served else model.pd, inputs if served else columns, name, values)
            found.append(Swept(name, column.risk, values, pds, (float(np.nanmin(known)), float(np.nanmax(known)))))
    return found


def monotonicity(swept: Sequence[Swept]) -> Finding:
    """Moves of the served PD against the declared directions of risk, over all swept columns."""
    key, name, text = "sensitivity.monotone", "PD moves against a declared direction", "fail from 1"
    if not swept:
        return nothing(key, name, "the portfolio declares no direction of risk", text, "portfolio")
    wrong = sum(one.wrong for one in swept)
    moves = sum(one.pds.shape[0] * (one.pds.shape[1] - 1) for one in swept)
    guilty = [one.name for one in swept if one.wrong]
    why = f"{moves:,} moves of {len(swept)} inputs tried" + (f"; wrong: {', '.join(guilty)}" if guilty else "")
    status = FAIL if wrong else PASS
    return Finding(key, name, wrong, status, text, "directions declared in the portfolio", why, form="{:,.0f}")


def no_worse_from(limit: float, name: str, values: np.ndarray, pds: np.ndarray) -> Finding:
    """Applicants whose PD is higher at some value from `limit` on than at some value below; `pds` is (n, values)."""
    key, source = f"sensitivity.no_worse_from.{name}", "portfolio; 12 CFR 1002.6(b)(2) for age"
    label = f"Applicants worse off for {name} of {limit:g} or over"
    older, younger = pds[:, values >= limit], pds[:, values < limit]
    if not older.size or not younger.size:
        return nothing(key, label, f"no value of {name} on either side of {limit:g}", "fail from 1", source)
    worse = int((older.max(axis=1) > younger.min(axis=1) + WRONG_MOVE).sum())
    why = f"{len(pds):,} applicants at {len(values)} values of {name}"
    return Finding(key, label, worse, FAIL if worse else PASS, "fail from 1", source, why, form="{:,.0f}")


def protected_limits(book: Portfolio, swept: Sequence[Swept]) -> list[Finding]:
    """`no_worse_from` for each restricted number that the portfolio lets a model read, from its sweep."""
    by_name = {one.name: one for one in swept}
    found = []
    for name, rule in book.restricted.items():
        if rule.no_worse_from is not None and name in by_name:
            found.append(no_worse_from(rule.no_worse_from, name, by_name[name].values, by_name[name].pds))
    return found


def left_out(inputs: Columns, names: Sequence[str]) -> dict[str, np.ndarray]:
    """The inputs as if nobody had given those named."""
    return {n: _nothing_like(values) if n in names else values for n, values in inputs.items()}


def _nothing_like(values: np.ndarray) -> np.ndarray:
    if values.dtype == object:
        return np.full(len(values), None, dtype=object)
    return np.full(len(values), np.nan)


def sensitivity(book: Portfolio, inputs: Columns, pd_of: PDOf) -> pd.DataFrame:
    """Mean PD when one input changes for everybody, the others as they are; the most telling input first.

    Columns: column, change, low, high (mean PDs), span. A number moves by one standard deviation either way, within
    its hard limits; everybody gets the safest and the riskiest level of a category; an optional input is left out.
    """
    rows, base = [], float(pd_of(inputs).mean())
    for name, column in book.inputs.items():
        values = inputs[name]
        if column.is_numeric:
            spread = float(np.nanstd(values)) if np.isfinite(values).any() else 0.0
            if spread > 0:
                means = [_mean(pd_of, inputs, name, _moved(values, column, step)) for step in (-spread, spread)]
                rows.append(
                    (name, f"one standard deviation ({number_text(spread)}) either way", min(means), max(means))
                )
        else:
            means = {lv: _mean(pd_of, inputs, name, np.full(len(values), lv, dtype=object)) for lv in column.levels}
            safe, risky = min(means, key=means.get), max(means, key=means.get)
            rows.append((name, f"all {safe}, or all {risky}", means[safe], means[risky]))
        if column.role == "optional":
            mean = _mean(pd_of, inputs, name, _nothing_like(values))
            rows.append((name, "left out", min(mean, base), max(mean, base)))
    table = pd.DataFrame(rows, columns=["column", "change", "low", "high"])
    table = table.assign(span=table["high"] - table["low"])
    return table.sort_values("span", ascending=False, kind="stable", ignore_index=True)


def _mean(pd_of: PDOf, inputs: Columns, name: str, values: np.ndarray) -> float:
    return float(pd_of({**inputs, name: values}).mean())


def _moved(values: np.ndarray, column: Column, step: float) -> np.ndarray:
    """Values moved by a step, within hard limits; special codes stay, and a value never crosses an open limit."""
    step = np.sign(step) * max(round(abs(step)), 1) if column.kind == "integer" else step
    moved = (
        np.clip(values + step, column.min, column.max) if (column.min, column.max) != (None, None) else values + step
    )
    if column.above is not None:
        moved = np.where(moved > column.above, moved, values)
    return np.where(np.isin(values, column.special), values, moved)
