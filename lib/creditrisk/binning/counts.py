"""Goods and bads by pre-bin: all that a search needs to know, and sums, so that samples can be counted apart.

Counts of chunks, partitions or months add up to the counts of the whole, as long as all use the same pre-bin edges.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd

from creditrisk.binning.bins import checked_cuts, codes_of, counts_in, level_codes, outcomes
from creditrisk.errors import BinningError


@dataclass(frozen=True)
class Counts:
    """One variable's goods and bads by pre-bin (or level), then by special code, then missing.

    Pre-bins are half-open between `edges`, which are observed values; `levels` are in the order of their names.
    """

    name: str
    kind: str
    goods: tuple[float, ...]
    bads: tuple[float, ...]
    edges: tuple[float, ...] = ()
    levels: tuple[str, ...] = ()
    special: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        size = self.n_regular + len(self.special) + 1
        if len(self.goods) != size or len(self.bads) != size:
            raise BinningError(f"counts of {self.name!r}: {len(self.goods)} numbers for {size} pre-bins")

    @property
    def n_regular(self) -> int:
        return len(self.edges) + 1 if self.kind == "numeric" else len(self.levels)

    @property
    def totals(self) -> tuple[float, float]:
        """Goods and bads of all rows."""
        return float(sum(self.goods)), float(sum(self.bads))

    def __add__(self, other: Counts) -> Counts:
        """Counts of both samples. Raises BinningError when the pre-bins are not the same."""
        mine, theirs = (self.name, self.kind, self.edges, self.special), (
            other.name, other.kind, other.edges, other.special,
        )  # fmt: skip
        if mine != theirs:
            what = next(w for w, a, b in zip(("name", "kind", "edges", "special codes"), mine, theirs, strict=True)
                        if a != b)  # fmt: skip
            raise BinningError(f"counts of {self.name!r} and {other.name!r} cannot be added: the {what} differ")
        levels = tuple(sorted({*self.levels, *other.levels}))
        (g, b), (h, c) = self._by_level(levels), other._by_level(levels)
        return replace(self, levels=levels, goods=tuple((g + h).tolist()), bads=tuple((b + c).tolist()))

    def __radd__(self, other):
        """So that sum() adds counts up."""
        return self if other == 0 else NotImplemented

    def _by_level(self, levels: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
        goods, bads = np.array(self.goods), np.array(self.bads)
        if self.kind == "numeric":
            return goods, bads
        place = {level: i for i, level in enumerate(levels)}
        to = [*(place[level] for level in self.levels), *range(len(levels), len(levels) + len(self.special) + 1)]
        size = len(levels) + len(self.special) + 1
        return np.bincount(to, weights=goods, minlength=size), np.bincount(to, weights=bads, minlength=size)

    def to_dict(self) -> dict:
        """Plain data for JSON."""
        return {name: list(v) if isinstance(v, tuple) else v for name, v in vars(self).items()}

    @classmethod
    def from_dict(cls, data: dict) -> Counts:
        return cls(**{name: tuple(v) if isinstance(v, list) else v for name, v in data.items()})


def partial_counts(
    name: str,
    values: np.ndarray,
    bad: np.ndarray,
    *,
    edges: tuple[float, ...] = (),
    special: tuple[float, ...] = (),
    weight: np.ndarray | None = None,
) -> Counts:
    """Counts of one chunk of rows.

    `values`: float64 (n,) with NaN missing, or object (n,) of text with None missing; `bad`: 0/1 (n,); `weight`:
    float64 (n,). `edges` are the pre-bins of numbers, the same for every chunk: `pre_bin_edges` of any one sample.
    Raises BinningError as `fit_bins` does for a target that is not 0/1.
    """
    bad = outcomes(name, values, bad)
    weight = checked_weight(name, bad, weight)
    if isinstance(values, pd.Categorical) or np.asarray(values).dtype.kind not in "fiub":
        return _count_levels(name, values, bad, weight)
    edges = tuple(float(edge) for edge in edges)
    if edges != checked_cuts(name, edges, "edge"):
        raise BinningError(f"counts of {name!r}: the edges {list(edges)} do not rise")
    return Ordered.of(np.asarray(values, dtype=np.float64), bad, weight, special).counts(name, edges)


def pre_bin_edges(values: np.ndarray, limit: int = 64, special: tuple[float, ...] = ()) -> tuple[float, ...]:
    """Edges of pre-bins: observed values, so that ties are never split; every distinct value when there are few.

    `values` are float64 (n,), NaN missing. A value that holds more than 1/limit of the rows keeps a pre-bin of its
    own (a count that is zero in most rows); the rest is cut into about equal counts.
    """
    values = np.asarray(values, dtype=np.float64)
    return Ordered.of(values, np.zeros(len(values)), None, special).edges(limit)


def checked_weight(name: str, bad: np.ndarray, weight) -> np.ndarray | None:
    """Weights as float64 (n,). Raises BinningError unless they are finite, not negative, and as many as rows."""
    if weight is None:
        return None
    weight = np.asarray(weight, dtype=np.float64)
    if weight.shape != bad.shape:
        raise BinningError(f"binning {name!r}: {len(bad)} rows and {weight.size} weights; as many of both are needed")
    if len(weight) and not weight.any():
        raise BinningError(f"binning {name!r}: every weight is zero")
    if not (np.isfinite(weight) & (weight >= 0)).all():
        row = int(np.argmin(np.isfinite(weight) & (weight >= 0)))
        raise BinningError(
            f"binning {name!r}: the weight {weight[row]:g} in row {row + 1} is not a number of 0 or more"
        )
    return weight


def _count_levels(name: str, values: np.ndarray, bad: np.ndarray, weight: np.ndarray | None) -> Counts:
    if weight is not None:
        seen = weight > 0
        values, bad, weight = values[seen], bad[seen], weight[seen]
    codes, found = level_codes(values)
    for level in found:
        if not isinstance(level, str):
            raise BinningError(f"binning {name!r}: the level {level!r} is not text")
    order = np.argsort(found.astype("str"), kind="stable") if len(found) else np.array([], dtype=np.int64)
    place = np.empty(len(found) + 1, dtype=np.int64)
    place[order], place[-1] = np.arange(len(found)), len(found)  # missing has code -1, the last
    goods, bads = counts_in(place[codes], bad, len(found) + 1, weight)
    return Counts(name, "category", tuple(goods.tolist()), tuple(bads.tolist()), levels=tuple(found[order]))


@dataclass(frozen=True)
class Ordered:
    """A number's values in order: counts between any two cuts are a difference of positions.

    `values` are all regular values sorted, `bad_values` those of bads. `rows` and `goods` are the running weights of
    all rows and of goods over `values`, `bads` those over `bad_values` (each one longer), None when every row weighs 1.
    `outside` are goods and bads of special codes, then missing, float (codes + 1, 2).
    """

    values: np.ndarray
    bad_values: np.ndarray
    rows: np.ndarray | None
    goods: np.ndarray | None
    bads: np.ndarray | None
    special: tuple[float, ...]
    outside: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray, bad: np.ndarray, weight: np.ndarray | None, special) -> Ordered:
        """Sort once: `values` float64 (n,), `bad` 0/1 (n,), `weight` float64 (n,) or None."""
        special, nothing = codes_of(special), np.empty((0, 2))
        if weight is None:
            return cls(np.sort(values), np.sort(values[bad > 0]), None, None, None, special, nothing)._without(special)
        order = np.argsort(values, kind="stable")
        order = order[weight[order] > 0]
        values, bad, weight = values[order], bad[order], weight[order]
        running = _running(weight), _running(weight * (1 - bad)), _running(weight[bad > 0])
        return cls(values, values[bad > 0], *running, special, nothing)._without(special)

    def _without(self, special: tuple[float, ...]) -> Ordered:
        """Special codes and missing values (sorted to the end) taken out of the regular values and counted."""
        outside = []
        stay, stay_bads = np.ones(len(self.values), dtype=bool), np.ones(len(self.bad_values), dtype=bool)
        for value in (*special, np.nan):
            rows = slice(*(int(np.searchsorted(self.values, value, side)) for side in ("left", "right")))
            bads = slice(*(int(np.searchsorted(self.bad_values, value, side)) for side in ("left", "right")))
            outside.append(self._counts(rows, bads))
            stay[rows] = stay_bads[bads] = False
        rows, goods, bads = self.rows, self.goods, self.bads
        if rows is not None:
            rows, goods = _running(np.diff(rows)[stay]), _running(np.diff(goods)[stay])
            bads = _running(np.diff(bads)[stay_bads])
        values = self.values if stay.all() else self.values[stay]
        bad_values = self.bad_values if stay_bads.all() else self.bad_values[stay_bads]
        return Ordered(values, bad_values, rows, goods, bads, special, np.array(outside))

    def _counts(self, rows: slice, bads: slice) -> tuple[float, float]:
        """Goods and bads of the values at these positions, and of the bads' values at those."""
        bad = self._sum(self.bads, bads)
        return self._sum(self.rows, rows) - bad if self.goods is None else self._sum(self.goods, rows), bad

    @staticmethod
    def _sum(running: np.ndarray | None, part: slice) -> float:
        return float(part.stop - part.start if running is None else running[part.stop] - running[part.start])

    @cached_property
    def firsts(self) -> np.ndarray:
        """Where each distinct value begins, int64 (distinct,)."""
        fresh = np.flatnonzero(self.values[1:] != self.values[:-1]) + 1
        return np.concatenate([[0], fresh]) if len(self.values) else fresh

    def between(self, edges) -> tuple[np.ndarray, np.ndarray]:
        """Goods and bads between the edges, float64 (edges + 1,) each."""
        edges = np.asarray(edges, dtype=np.float64)
        return self._at(np.searchsorted(self.values, edges), np.searchsorted(self.bad_values, edges))

    def _at(self, places: np.ndarray, bad_places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Goods and bads between these positions of `values` and of `bad_values`."""
        ends = np.concatenate([[0], places, [len(self.values)]])
        bad_ends = np.concatenate([[0], bad_places, [len(self.bad_values)]])
        bads = np.diff(bad_ends if self.bads is None else self.bads[bad_ends]).astype(np.float64)
        return (np.diff(ends) - bads, bads) if self.goods is None else (np.diff(self.goods[ends]), bads)

    def counts(self, name: str, edges) -> Counts:
        """Goods and bads between the edges, and outside the regular values."""
        goods, bads = self.between(edges)
        outside_goods, outside_bads = self.outside.T.tolist()
        return Counts(
            name, "numeric", (*goods.tolist(), *outside_goods), (*bads.tolist(), *outside_bads),
            edges=tuple(map(float, edges)), special=self.special,
        )  # fmt: skip

    @cached_property
    def totals(self) -> tuple[float, float]:
        """Goods and bads of all rows, those outside the regular values too."""
        goods, bads = self.between(())
        outside_goods, outside_bads = self.outside.sum(axis=0)
        return float(goods[0] + outside_goods), float(bads[0] + outside_bads)

    @property
    def separates(self) -> bool:
        """Whether all goods lie below all bads, or above."""
        if not len(self.bad_values):
            return False
        first, last = self.bad_values[0], np.nextafter(self.bad_values[-1], np.inf)
        below, above = self.between([first])[0], self.between([last])[0]
        return bool((below[1] == 0 and below[0] > 0) or (above[0] == 0 and above[1] > 0))

    @property
    def weight(self) -> float:
        """Rows (or weight) of the regular values."""
        return float(len(self.values) if self.rows is None else self.rows[-1])

    def edges(self, limit: int) -> tuple[float, ...]:
        """See `pre_bin_edges`; rows count by their weight."""
        values, first = self.values, self.firsts
        if len(first) <= limit:
            return _finite(values[first[1:]])
        counts = np.diff(np.append(first, len(values)) if self.rows is None else self.rows[np.append(first, -1)])
        heavy = counts > counts.sum() / limit
        own = np.flatnonzero(heavy)
        picked = [own, np.minimum(own + 1, len(first) - 1)]
        light = np.cumsum(np.where(heavy, 0, counts))
        room = max(limit - 2 * len(own), 2)
        picked.append(np.searchsorted(light, np.linspace(0, 1, room + 1)[1:-1] * light[-1]))
        places = np.unique(np.concatenate(picked))
        return _finite(values[first[places[places > 0]]])

    def groups(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Goods, bads and first value of the groups of neighbouring values no best binning divides, (groups,) each.

        Those are the values that hold a bad, and the runs of goods alone between them (Fayyad and Irani, 1992): far
        fewer than distinct values.
        """
        bad_first = np.concatenate([[True], self.bad_values[1:] != self.bad_values[:-1]])
        bad_at = np.flatnonzero(bad_first) if len(self.bad_values) else np.array([], dtype=np.int64)
        holding = self.bad_values[bad_at]
        low = np.searchsorted(self.values, holding)
        high = low + 1
        tied = self.values[np.minimum(high, len(self.values) - 1)] == holding  # few, or few distinct: worth asking
        high[tied] = np.searchsorted(self.values, holding[tied], "right")
        begin = np.empty(2 * len(holding) + 1, dtype=np.int64)
        begin[0], begin[1::2], begin[2::2] = 0, low, high
        bad_begin = np.empty(len(begin), dtype=np.int64)
        bad_begin[0::2], bad_begin[1::2] = np.append(bad_at, len(self.bad_values)), bad_at
        goods, bads = (counts[1:] for counts in self._at(begin, bad_begin))
        keep = np.diff(np.append(begin, len(self.values))) > 0
        return goods[keep], bads[keep], self.values[begin[keep]]

    def inside(self, low: float, high: float, most: int) -> np.ndarray:
        """Up to `most` values strictly between two others, at equal steps of rows (or weight)."""
        a, b = int(np.searchsorted(self.values, low, "right")), int(np.searchsorted(self.values, high))
        steps = np.linspace(0, 1, most)
        if a >= b:
            return self.values[:0]
        if self.rows is None:
            return self.values[np.minimum(a + (steps * (b - a)).astype(np.int64), b - 1)]
        wanted = self.rows[a] + steps * (self.rows[b] - self.rows[a])
        return self.values[np.clip(np.searchsorted(self.rows, wanted, "right") - 1, a, b - 1)]

    def after(self, rows: np.ndarray) -> np.ndarray:
        """The first value with at least so many rows (or weight) below it, (some,); none beyond the last value."""
        at = np.ceil(rows - 1e-9).astype(np.int64) if self.rows is None else np.searchsorted(self.rows, rows - 1e-9)
        at = at[(at > 0) & (at <= len(self.values))]
        at = np.searchsorted(self.values, self.values[at - 1], "right")
        return self.values[at[at < len(self.values)]]

    def before(self, rows: np.ndarray) -> np.ndarray:
        """The last value with at least so many rows (or weight) from it on, (some,)."""
        rows = self.weight - rows
        at = np.floor(rows + 1e-9).astype(np.int64) if self.rows is None else (
            np.searchsorted(self.rows, rows + 1e-9, "right") - 1
        )  # fmt: skip
        return self.values[at[(at >= 0) & (at < len(self.values))]]


def _finite(edges: np.ndarray) -> tuple[float, ...]:
    """Edges that a cut may be at; infinite values stay with the outermost finite ones."""
    return tuple(edges[np.isfinite(edges)].tolist())


def _running(weight: np.ndarray) -> np.ndarray:
    return np.concatenate([[0.0], np.cumsum(weight)])
