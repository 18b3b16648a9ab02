"""Bins of a categorical variable: levels in the order of their bad rates, rare ones pooled, neighbours joined."""

from __future__ import annotations

import numpy as np

from creditrisk.binning.bins import NEUTRAL, OWN, Bins, rate_of, shape_of
from creditrisk.binning.bound import isotonic_bound
from creditrisk.binning.counts import Counts
from creditrisk.binning.search import Limits, best_binning
from creditrisk.errors import BinningError

SMOOTHING = 0.1
"""Rows at the book's odds that are added to a level before levels are ordered by bad rate.

So of two levels without a bad the larger one leads. Levels of few rows are not ordered by it but pooled.
"""
_MOST = 256  # levels told apart by the search; beyond, neighbours in the order are joined first


def bins_of_levels(counts: Counts, limits: Limits) -> tuple[Bins, str]:
    """The best bins of ordered levels, and why they are one bin ("" where they are the best there is).

    Unseen levels share the WOE of the bin that holds the pool of rare ones, if there is a pool.
    """
    if limits.must_cut or limits.never_cut:
        raise BinningError(
            f"binning {counts.name!r}: must_cut and never_cut are values of a number; this column holds text"
        )
    size = counts.n_regular
    goods, bads = np.array(counts.goods[:size]), np.array(counts.bads[:size])
    members = [[level] for level in counts.levels]
    rare = np.flatnonzero(goods + bads < limits.rare_rows)
    pool = [counts.levels[i] for i in rare] if len(rare) > 1 else []
    if pool:
        members = [[level] for level in counts.levels if level not in set(pool)] + [pool]
        goods, bads = (np.append(np.delete(x, rare), x[rare].sum()) for x in (goods, bads))
    average = counts.totals[1] / sum(counts.totals)
    order = np.argsort((bads + SMOOTHING * average) / (goods + bads + SMOOTHING), kind="stable")
    goods, bads, members = goods[order], bads[order], [members[i] for i in order]
    starts, unmet, bound = np.arange(min(size, 1)), "", None
    if len(order) > 1:
        begin = _pre_bins(goods + bads)
        found = best_binning(
            np.add.reduceat(goods, begin), np.add.reduceat(bads, begin), counts.totals, limits, "ascending"
        )
        starts, unmet = begin[list(found.starts)], found.unmet and f"no binning has {found.unmet}"
        bound = isotonic_bound(goods, bads, counts.totals, limits, "ascending")
        if ((goods == 0) | (bads == 0)).all() and len(starts) == 1:
            unmet = "its levels tell goods and bads apart without fail; is it known only after the outcome?"
    elif size > 1:
        unmet = f"each of its {size} levels has fewer than {limits.rare_rows:g} rows"
    if len(starts):
        goods, bads = np.add.reduceat(goods, starts), np.add.reduceat(bads, starts)
    ends = [*starts[1:], len(members)]
    groups = tuple(tuple(sum(members[a:b], [])) for a, b in zip(starts, ends, strict=False))
    other = next((i for i, group in enumerate(groups) if pool and pool[0] in group), None)
    outside_goods, outside_bads = counts.goods[size:], counts.bads[size:]
    bins = Bins(
        counts.name, "category", (*goods.tolist(), *outside_goods, 0.0), (*bads.tolist(), *outside_bads, 0.0),
        groups=groups, trend=shape_of(rate_of(goods, bads)), other=other, bound=bound,
        policies=(OWN, NEUTRAL if other is None else other),
    )  # fmt: skip
    return bins, unmet


def _pre_bins(counts: np.ndarray) -> np.ndarray:
    """Positions at which pre-bins of ordered levels begin: every level when few, else about equal counts."""
    if len(counts) <= _MOST:
        return np.arange(len(counts))
    before = np.cumsum(counts) - counts
    return np.unique(np.floor(before * _MOST / counts.sum()), return_index=True)[1]
