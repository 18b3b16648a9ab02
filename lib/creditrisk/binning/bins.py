"""One variable's fitted bins as plain data.

WOE is ln(share of goods / share of bads): higher is safer. That sign is used everywhere in this package. Numeric bins
are half-open, `[a, b)`. Special codes, missing values and (for text) levels never seen in training have slots of their
own. Whatever executes a binning (columns, one row, JSON reloaded elsewhere) reads these same numbers.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd

WOE_SIGN = "good_over_bad"
SMOOTHING = 1.0
"""Rows at the book's own odds that are added to a bin without goods or without bads, so that its WOE is finite.

Half a row to either side would be a row at odds of 1:1, and make a bin of a few goods alone look risky.
"""


def woe_of(goods: np.ndarray, bads: np.ndarray) -> np.ndarray:
    """WOE by bin from counts: ln((goods / all goods) / (bads / all bads)); float64 (bins,).

    A bin with only goods or only bads is smoothed; an empty bin is neutral, 0.
    """
    goods, bads = np.asarray(goods, dtype=np.float64), np.asarray(bads, dtype=np.float64)
    all_goods, all_bads = goods.sum(), bads.sum()
    added = np.where((goods == 0) | (bads == 0), SMOOTHING / (all_goods + all_bads), 0.0)
    return np.log(goods / all_goods + added) - np.log(bads / all_bads + added)


def iv_of(goods: np.ndarray, bads: np.ndarray) -> np.ndarray:
    """Information value by bin: (share of goods - share of bads) * WOE; float64 (bins,)."""
    goods, bads = np.asarray(goods, dtype=np.float64), np.asarray(bads, dtype=np.float64)
    return (goods / goods.sum() - bads / bads.sum()) * woe_of(goods, bads)


@dataclass(frozen=True)
class Bins:
    """Fitted bins of one variable.

    Slots, in this order: regular bins, one for each special code, missing, and for categories unseen levels. `goods`
    and `bads` are counts by slot (floats: weights are allowed), `trend` is how the bad rate moves over regular bins.
    """

    name: str
    kind: str
    goods: tuple[float, ...]
    bads: tuple[float, ...]
    cuts: tuple[float, ...] = ()
    groups: tuple[tuple[str, ...], ...] = ()
    special: tuple[float, ...] = ()
    trend: str = ""
    woe_sign: str = field(default=WOE_SIGN)

    def __post_init__(self) -> None:
        if self.woe_sign != WOE_SIGN:
            raise ValueError(f"bins of {self.name!r} use WOE sign {self.woe_sign!r}; this package uses {WOE_SIGN!r}")
        if len(self.goods) != self.n_slots or len(self.bads) != self.n_slots:
            raise ValueError(f"bins of {self.name!r}: {len(self.goods)} counts for {self.n_slots} slots")

    @property
    def n_regular(self) -> int:
        return len(self.cuts) + 1 if self.kind == "numeric" else len(self.groups)

    @property
    def n_slots(self) -> int:
        return self.n_regular + len(self.special) + (1 if self.kind == "numeric" else 2)

    @property
    def missing_slot(self) -> int:
        return self.n_regular + len(self.special)

    @cached_property
    def woe(self) -> np.ndarray:
        """WOE by slot, float64 (n_slots,); 0 (neutral) for a slot that training never filled."""
        return woe_of(np.array(self.goods), np.array(self.bads))

    @cached_property
    def iv(self) -> float:
        """Information value of the variable, missing and special slots included."""
        return float(iv_of(np.array(self.goods), np.array(self.bads)).sum())

    @cached_property
    def _slot_of_level(self) -> dict[str | None, int]:
        slots = {level: slot for slot, group in enumerate(self.groups) for level in group}
        return slots | {None: self.missing_slot}

    def assign(self, values: np.ndarray) -> np.ndarray:
        """Slot of each value, int64 (n,). Numbers as float64 with NaN missing; levels as text with None missing."""
        if self.kind == "category":
            unseen = self.n_slots - 1
            lookup = self._slot_of_level
            slots = np.fromiter((lookup.get(v, unseen) for v in values), dtype=np.int64, count=len(values))
            slots[pd.isna(np.asarray(values, dtype=object))] = self.missing_slot  # NaN is not the None of the lookup
            return slots
        values = np.asarray(values, dtype=np.float64)
        slots = np.searchsorted(self.cuts, values, side="right")
        for i, code in enumerate(self.special):
            slots[values == code] = self.n_regular + i
        slots[np.isnan(values)] = self.missing_slot
        return slots

    def transform(self, values: np.ndarray) -> np.ndarray:
        """WOE of each value, float64 (n,)."""
        return self.woe[self.assign(values)]

    def labels(self) -> list[str]:
        """A text for each slot."""
        if self.kind == "category":
            return [", ".join(group) for group in self.groups] + ["missing", "unseen"]
        edges = ["-inf", *(_short(self.cuts)), "inf"]
        regular = [f"[{a}, {b})" for a, b in zip(edges, edges[1:], strict=False)]
        return regular + [f"code {code:g}" for code in self.special] + ["missing"]

    def table(self) -> pd.DataFrame:
        """The binning table of the training sample: one row for each slot that holds rows."""
        goods, bads = np.array(self.goods), np.array(self.bads)
        count = goods + bads
        table = pd.DataFrame(
            {
                "bin": self.labels(),
                "count": count,
                "count_share": count / count.sum(),
                "goods": goods,
                "bads": bads,
                "bad_rate": np.divide(bads, count, out=np.full(len(count), np.nan), where=count > 0),
                "woe": self.woe,
                "iv": iv_of(goods, bads),
            }
        )
        return table[count > 0].reset_index(drop=True)

    def to_dict(self) -> dict:
        """Plain data for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict) -> Bins:
        groups = tuple(tuple(group) for group in data["groups"])
        rest = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items() if k != "groups"}
        return cls(**rest, groups=groups)


def _short(cuts: tuple[float, ...]) -> list[str]:
    """Cut points with as few digits as keep them apart."""
    texts: list[str] = []
    for digits in (3, 4, 6, 9, 17):
        texts = [f"{cut:,.0f}" if abs(cut) >= 1_000 and cut == int(cut) else f"{cut:,.{digits}g}" for cut in cuts]
        if len(set(texts)) == len(texts) and not any("e" in text for text in texts):
            break
    return texts
