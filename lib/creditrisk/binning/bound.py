"""How much IV any monotone binning could have: the optimality certificate.

IV of a bin is a convex function of its counts, so joining bins never raises IV, and among all ways to make the bad
rate monotone isotonic regression (PAVA) keeps the most of every convex measure (Robertson, Wright and Dykstra, Order
Restricted Statistical Inference, 1988, theorem 1.5.1). Without a least size the first block could be one good row of
infinite IV; but every binning within the limits has the first rows that reach the least size in its first bin, and
the last in its last, so these are joined before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from creditrisk.binning.search import SOME, Limits


@dataclass(frozen=True)
class Isotonic:
    """Blocks of constant bad rate: the groups of rows at which they begin, and what their IV adds up to.

    `whole` is False when a block begins inside a group, where no cut may be: the bound is then out of reach.
    """

    starts: np.ndarray
    iv: float
    whole: bool


def isotonics(goods, bads, totals: tuple[float, float], limits: Limits, trends: Sequence[str]) -> dict[str, Isotonic]:
    """`isotonic` for each of these trends; what does not depend on the trend is done once."""
    joined = _ends_joined(np.asarray(goods, float), np.asarray(bads, float), totals, limits)
    return {trend: _isotonic(*joined, totals, trend) for trend in trends}


def isotonic(goods: np.ndarray, bads: np.ndarray, totals: tuple[float, float], limits: Limits, trend: str) -> Isotonic:
    """Isotonic regression of the bad rate on ordered groups of rows, within the limits of a first and a last bin.

    `goods`, `bads` are counts by group, float (n,), `totals` those of all rows; `trend` is "ascending" or
    "descending". `iv` is the most that any such binning can add up to; `starts` are the positions of groups, int
    (blocks - 1,), at which blocks begin (one that begins inside a group is left out). A binning with no other limit
    than a number of bins is best cut at some of these.
    """
    return isotonics(goods, bads, totals, limits, (trend,))[trend]


def _isotonic(goods, bads, places, totals: tuple[float, float], trend: str) -> Isotonic:
    """Blocks of groups whose ends are joined."""
    from scipy.optimize import isotonic_regression  # half a second to import, and needed by fitting only

    count = goods + bads
    blocks = isotonic_regression(bads / count, weights=count, increasing=trend == "ascending").blocks[:-1]
    share_goods = np.add.reduceat(goods, blocks) / totals[0]
    share_bads = np.add.reduceat(bads, blocks) / totals[1]
    with np.errstate(divide="ignore", invalid="ignore"):
        iv = (share_goods - share_bads) * (np.log(share_goods) - np.log(share_bads))
    starts = places[blocks[1:]]
    return Isotonic(starts[starts >= 0], float(iv.sum()), bool((starts >= 0).all()))


def isotonic_bound(goods, bads, totals: tuple[float, float], limits: Limits, trend: str) -> float | None:
    """The most IV of any binning with this trend ("auto": either direction); None for a trend PAVA does not bound."""
    trends = {"auto": ("ascending", "descending"), "ascending": ("ascending",), "descending": ("descending",)}
    if trend not in trends or not sum(goods) + sum(bads):
        return None
    bound = max(one.iv for one in isotonics(goods, bads, totals, limits, trends[trend]).values())
    return bound if np.isfinite(bound) else None


def _ends_joined(goods, bads, totals, limits: Limits) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Groups with the first rows that reach the least size of a bin as one, and the last; and where each begins.

    A group of goods alone may be divided, where a bin could end inside it; what begins inside a group has place -1.
    """
    place = np.flatnonzero(goods + bads > 0)
    goods, bads = goods[place], bads[place]
    first, part = _least(goods, bads, totals, limits)
    last, last_part = _least(goods[::-1], bads[::-1], totals, limits)
    stop = len(goods) - last
    if first > stop or (first == stop and (part or last_part)):
        return goods.sum(keepdims=True), bads.sum(keepdims=True), place[:1]
    joined_goods = np.concatenate([[goods[:first].sum() + part], goods[first:stop], [goods[stop:].sum() + last_part]])
    joined_bads = np.concatenate([[bads[:first].sum()], bads[first:stop], [bads[stop:].sum()]])
    places = np.concatenate([place[:1], place[first:stop], place[stop : stop + 1] if last else [-1]])
    joined_goods[1] -= part  # these are the same group when it is the only one in between
    joined_goods[-2] -= last_part
    if part:
        places[1] = -1
    if last_part:
        places[-1] = -1
    if (joined_goods < 0).any():
        return goods.sum(keepdims=True), bads.sum(keepdims=True), place[:1]
    keep = joined_goods + joined_bads > 0
    return joined_goods[keep], joined_bads[keep], places[keep]


def _least(goods, bads, totals, limits: Limits) -> tuple[int, float]:
    """How many whole groups the first bin holds at least, and how many goods of the next, which has no bads."""
    g, b = np.cumsum(goods), np.cumsum(bads)
    rows = limits.min_share * sum(totals) * (1 - 1e-12)
    least_goods, least_bads = (max(least, SOME) * (1 - 1e-12) for least in (limits.min_goods, limits.min_bads))
    enough = (g >= least_goods) & (b >= least_bads) & (g + b >= rows)
    if not enough.any():
        return len(goods) + 1, 0.0
    at = int(np.argmax(enough))
    if bads[at] > 0:
        return at + 1, 0.0
    before_g, before_b = (float(g[at - 1]), float(b[at - 1])) if at else (0.0, 0.0)
    return at, max(limits.min_goods - before_g, rows - before_g - before_b, 0.0)
