"""Variables of a model, bin by bin, and what each weighs: from the model file, with outcomes where they are known."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd

from creditrisk.binning.bins import Bins
from creditrisk.binning.evidence import rate_interval
from creditrisk.data.portfolio import Portfolio
from creditrisk.modelling.design import TreeDesign, WoeDesign
from creditrisk.monitoring.drift import Baseline
from creditrisk.serving.model import ModelData
from creditrisk.ui.page.model_evidence import Evidence

DIRECTIONS = {
    "increasing": "↗ PD rises with the value",
    "decreasing": "↘ PD falls as the value rises",
    "any": "no direction declared",
}
SMALLEST = "4.941e-324 to"  # how the edge just above 0 is written


@dataclass(frozen=True)
class BinRow:
    """One bin: training rows in it, and their bad rate with a 95% interval; None is not known.

    `woe` and `points` are of a scorecard. `test_rate` is the bad rate of the test rows.
    """

    label: str
    rows: float
    share: float
    bads: float | None = None
    rate: float | None = None
    low: float | None = None
    high: float | None = None
    woe: float | None = None
    points: int | None = None
    test_rate: float | None = None
    missing: bool = False


@dataclass(frozen=True)
class Variable:
    """A variable that a model reads. `held` says whether its direction was held in fitting; `iv` is of a scorecard."""

    name: str
    label: str
    direction: str
    held: bool
    iv: float | None = None
    protected: bool = False


def label_of(name: str, book: Portfolio) -> str:
    """What people call a column."""
    column = book.columns.get(name)
    label = (column.label if column else "") or name.replace("_", " ")
    return f"{label} ({column.unit})" if column and column.unit else label


def variables_of(data: ModelData) -> tuple[Variable, ...]:
    """The variables that a model reads, in its own order: the strongest first."""
    design, book = data.model.design, data.portfolio
    ivs = {bins.name: bins.iv for bins in design.bins} if isinstance(design, WoeDesign) else {}
    held = dict(zip(design.inputs, design.monotone, strict=True)) if isinstance(design, TreeDesign) else {}
    return tuple(
        Variable(
            name,
            label_of(name, book),
            book.columns[name].risk if name in book.columns else "any",
            bool(held.get(name)) if held else _is_monotone(design, name),
            ivs.get(name),
            name in book.protected,
        )
        for name in data.features
    )


def _is_monotone(design: WoeDesign, name: str) -> bool:
    """Whether the bins were made to rise, or to fall, throughout."""
    return next(bins.trend in ("ascending", "descending") for bins in design.bins if bins.name == name)


def bin_rows(data: ModelData, name: str, evidence: Evidence | None) -> list[BinRow]:
    """The bins of a variable: those of the scorecard, for trees those of the training baseline. Missing is the last."""
    outcomes = evidence.outcomes.get(name) if evidence else None
    if isinstance(data.model.design, WoeDesign):
        return _of_scorecard(data, name, outcomes)
    column = next((one for one in Baseline.from_dict(data.baseline).columns if one.name == name), None)
    if column is None:
        return []
    of, names = column.bins()
    tally = np.bincount(of[: len(column.counts)], weights=column.counts, minlength=len(names) - 1).tolist()
    counts = [*tally, float(column.missing)]
    goods, bads = outcomes if outcomes else (None, None)
    rows = []
    for i, (label, count) in enumerate(zip(names, counts, strict=True)):
        if not count and i < len(names) - 1:
            continue
        told = _rates(goods[i], bads[i]) if goods is not None else {}
        label = label.replace(SMALLEST, "above 0 to")
        rows.append(BinRow(label, count, count / max(column.n, 1), missing=i == len(names) - 1, **told))
    return rows


def _of_scorecard(data: ModelData, name: str, tested: tuple[np.ndarray, np.ndarray] | None) -> list[BinRow]:
    place, bins = next((i, b) for i, b in enumerate(data.model.design.bins) if b.name == name)
    points = data.card.points[place] if data.card else [None] * bins.n_slots
    total, rows = sum(bins.goods) + sum(bins.bads), []
    for slot, label in enumerate(slot_words(bins)):
        goods, bads = bins.goods[slot], bins.bads[slot]
        if slot > bins.missing_slot and not goods + bads:
            continue
        seen = tested[0][slot] + tested[1][slot] if tested else 0
        rows.append(
            BinRow(
                label, goods + bads, (goods + bads) / total if total else 0.0, woe=float(bins.woe[slot]),
                points=points[slot], test_rate=float(tested[1][slot] / seen) if seen else None,
                missing=slot >= bins.missing_slot, **_rates(goods, bads),
            )
        )  # fmt: skip
    return rows


def _rates(goods: float, bads: float) -> dict[str, float | None]:
    if goods + bads <= 0:
        return {"bads": 0.0}
    low, high = rate_interval(np.array([goods]), np.array([bads]))
    return {"bads": float(bads), "rate": float(bads / (goods + bads)), "low": float(low[0]), "high": float(high[0])}


def slot_words(bins: Bins) -> list[str]:
    """A text for each slot as people read it; `bins.labels()` where short numbers would not tell cuts apart."""
    labels = bins.labels()
    if bins.kind == "category" or not bins.cuts:
        return labels
    cuts = [f"{cut:,.0f}" if abs(cut) >= 1000 else f"{cut:.4g}" for cut in bins.cuts]
    if len(set(cuts)) < len(cuts):
        return labels
    words = [f"below {cuts[0]}", *(f"{low} to {high}" for low, high in pairwise(cuts)), f"{cuts[-1]} or more"]
    return words + labels[bins.n_regular :]


def weights_of(data: ModelData, evidence: Evidence | None) -> pd.DataFrame:
    """What each variable weighs, the heaviest first: variable, gain_share (trees), coefficient and range of points
    (scorecard), contribution (mean absolute, on test rows; NaN where not known), and their shares."""
    design = data.model.design
    table = pd.DataFrame({"variable": list(data.features)})
    if isinstance(design, WoeDesign):
        own = zip(design.inputs, data.model.model.coefficients, strict=True)
        table["coefficient"] = table["variable"].map(dict(own))
        if data.card:
            spans = {n: max(p) - min(p) for n, p in zip(data.card.variables, data.card.points, strict=True)}
            table["points_range"] = table["variable"].map(spans)
    else:
        table["gain_share"] = table["variable"].map(gains_of(data)).fillna(0.0)
    table["contribution"] = table["variable"].map(dict(evidence.contributions)) if evidence else np.nan
    by = "contribution" if evidence else "gain_share" if "gain_share" in table else "points_range"
    return table.sort_values(by, ascending=False, ignore_index=True) if by in table else table


def gains_of(data: ModelData) -> dict[str, float]:
    """Share of the total gain of all splits, by variable; empty for a scorecard."""
    import xgboost

    if not isinstance(data.model.design, TreeDesign):
        return {}
    booster = xgboost.Booster()
    booster.load_model(bytearray(data.model.model.booster))
    gains = booster.get_score(importance_type="total_gain")
    named = booster.feature_names or [f"f{i}" for i in range(len(data.model.design.inputs))]
    total, shares = sum(gains.values()) or 1.0, dict.fromkeys(data.features, 0.0)
    for column, name in zip(named, data.model.design.inputs, strict=True):
        shares[name] += gains.get(column, 0.0) / total
    return shares
