"""Fit one variable's bins: count by pre-bin, search, then look closer around the cuts that were found."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from numbers import Number

import numpy as np
import pandas as pd

from creditrisk.binning.bins import NEUTRAL, OWN, POLICIES, Bins, Policy, codes_of, outcomes, rate_of, shape_of
from creditrisk.binning.bound import isotonic_bound, isotonics
from creditrisk.binning.counts import Counts, Ordered, checked_weight, partial_counts
from creditrisk.binning.levels import bins_of_levels
from creditrisk.binning.search import MUST, NEVER, TRENDS, Limits, best_binning, holds
from creditrisk.errors import BinningError

MIN_OUTSIDE = 30.0
"""Rows that missing values or a special code need for a WOE of their own; with fewer they are neutral by default."""
MISSING = ("auto", "similar", *POLICIES)
LEAK = "its values tell goods and bads apart without fail; is it known only after the outcome?"
CLOSE = 0.01
"""Share of the bound that a first search may leave before a finer one is made."""
_ROUNDS = 12
_AROUND = 6  # places looked at to either side of a cut, in each round of refinement


class BinningWarning(UserWarning):
    """A variable was binned in one bin, with the reason; or given bins leave rows or levels out."""


def fit_bins(
    name: str,
    values: np.ndarray,
    bad: np.ndarray,
    *,
    trend: str = "auto",
    special: Sequence[float] = (),
    limits: Limits | None = None,
    missing: Policy = "auto",
    weight: np.ndarray | None = None,
    refine: bool = True,
) -> Bins:
    """Fit one variable's bins.

    `values`: numbers (n,) with NaN missing, or object (n,) of text with None missing; infinite values fall into the
    outermost bins. `bad`: 0/1 (n,). `weight`: float64 (n,); shares and counts are then of weight. `trend` is one of
    search.TRENDS; levels are ordered by bad rate, whatever it says. `missing` is "auto" (own WOE from MIN_OUTSIDE rows
    on, else neutral), "similar" (counted with the bin of the nearest bad rate), or one of bins.POLICIES. Without
    `refine`, cuts are sought at pre-bin edges only.

    Raises BinningError when the target holds anything else than 0 and 1, or one class only, and when cuts that must be
    made contradict the limits. A variable that cannot be cut is one bin, with a BinningWarning that says why.
    """
    values = values if isinstance(values, pd.Categorical) else np.asarray(values)
    bad, weight = _two_classes(name, values, bad, weight)
    limits = limits or Limits()
    if is_text(values):
        if len(codes_of(special)):
            raise BinningError(f"binning {name!r}: special codes are numbers; a level has a group of its own")
        counts = partial_counts(name, values, bad, weight=weight)
        return from_counts(counts, limits=limits, trend=trend, missing=missing)
    _check_options(name, trend, missing)
    ordered = Ordered.of(values.astype(np.float64, copy=False), bad, weight, special)
    if not refine:
        counts = ordered.counts(name, _with_must(ordered.edges(limits.max_pre_bins), limits))
        return from_counts(counts, limits=limits, trend=trend, missing=missing)
    bins, unmet = _best_bins(name, ordered, limits, trend)
    if bins.n_regular == 1 and not unmet and ordered.separates:
        unmet = LEAK
    return with_policies(_settled(bins, unmet, limits, trend, min(len(ordered.firsts), 2)), missing)


def bins_at(
    name: str, values: np.ndarray, bad: np.ndarray, at: Sequence, *, special: Sequence[float] = (),
    weight: np.ndarray | None = None, missing: Policy = "auto", trend: str = "auto", limits: Limits | None = None,
) -> Bins:  # fmt: skip
    """Bins at given cuts (of a number) or of given groups of levels, with the counts of a sample and no search.

    Levels that are in no group count as unseen. `values`, `bad`, `weight`, `special` and `missing` are those of
    `fit_bins`; the certificate is about `trend` and `limits`, to which the bins need not keep. Raises BinningError for
    cuts that are no finite numbers, groups that share a level, and text where numbers are, or the other way round.
    """
    values = values if isinstance(values, pd.Categorical) else np.asarray(values)
    bad, weight = _two_classes(name, values, bad, weight)
    _check_options(name, trend, missing)
    grouped = any(not isinstance(one, int | float | np.number) for one in at)
    if is_text(values):
        if not grouped:
            raise BinningError(f"binning {name!r}: it holds text; give groups of levels, not cuts")
        blank = Bins(name, "category", (0.0, 0.0), (0.0, 0.0))
        bins = blank.with_groups(at, values, bad, weight)
        counts = partial_counts(name, values, bad, weight=weight)
        bound = bins_of_levels(counts, limits or Limits())[0].bound
        return _looked_at(replace(with_policies(bins, missing), bound=bound), counts.levels)
    if grouped:
        raise BinningError(f"binning {name!r}: it holds numbers; give cuts, not groups of levels")
    values = values.astype(np.float64, copy=False)
    special = codes_of(special)
    blank = Bins(name, "numeric", (0.0,) * (len(special) + 2), (0.0,) * (len(special) + 2), special=special)
    ordered = Ordered.of(values, bad, weight, special)
    bound = isotonic_bound(*ordered.groups()[:2], ordered.totals, limits or Limits(), trend)
    return _looked_at(replace(with_policies(blank.with_cuts(at, values, bad, weight), missing), bound=bound))


def _looked_at(bins: Bins, levels: Sequence[str] = ()) -> Bins:
    """The bins, with a BinningWarning for bins that hold no rows, and for levels of the sample that are in no group."""
    count = np.array(bins.goods) + np.array(bins.bads)
    labels = bins.labels()
    empty = [labels[k] for k in range(bins.n_regular) if not count[k]]
    if empty:
        _warn(f"{bins.name!r}: no row is in {'; '.join(empty)}, so its WOE is 0")
    forgotten = sorted(set(levels) - {level for group in bins.groups for level in group})
    if forgotten:
        share = count[-1] / count.sum()
        _warn(f"{bins.name!r}: {', '.join(forgotten)} ({share:.1%} of the rows) are in no group, so their WOE is 0")
    return bins


def _warn(text: str) -> None:
    warnings.warn(text, BinningWarning, stacklevel=4)


def from_counts(counts: Counts, *, limits: Limits | None = None, trend: str = "auto", missing: Policy = "auto") -> Bins:
    """Bins from counts by pre-bin, of one sample or of many added up.

    The same bins as `fit_bins(..., refine=False)` finds on all the rows with the same edges. The certificate is then
    about binnings on those edges. Parameters and errors are those of `fit_bins`.
    """
    limits = limits or Limits()
    _check_options(counts.name, trend, missing)
    goods, bads = counts.totals
    if not goods or not bads:
        raise BinningError(
            f"binning {counts.name!r}: every row is {'good' if goods else 'bad'}; both classes are needed"
        )
    if counts.kind == "category":
        bins, unmet = bins_of_levels(counts, limits)
        return with_policies(_settled(bins, unmet, limits, trend, min(counts.n_regular, 2)), missing)
    bins, unmet = _search(counts, limits, trend)
    goods, bads = np.array(counts.goods[: counts.n_regular]), np.array(counts.bads[: counts.n_regular])
    bins = replace(bins, bound=isotonic_bound(goods, bads, counts.totals, limits, trend))
    return with_policies(_settled(bins, unmet, limits, trend, min(int((goods + bads > 0).sum()), 2)), missing)


def _check_options(name: str, trend: str, missing: Policy) -> None:
    if trend not in TRENDS:
        raise BinningError(f"binning {name!r}: trend is {trend!r}; it must be one of {', '.join(TRENDS)}")
    if missing not in MISSING:
        raise BinningError(f"binning {name!r}: missing is {missing!r}; it must be one of {', '.join(MISSING)}")


def _two_classes(name: str, values, bad, weight) -> tuple[np.ndarray, np.ndarray | None]:
    """Outcomes and weights, checked: there are rows of both classes."""
    bad = outcomes(name, values, bad)
    weight = checked_weight(name, bad, weight)
    counted = bad if weight is None else bad[weight > 0]
    if not len(counted):
        raise BinningError(f"binning {name!r}: there are no rows")
    if counted.min() == counted.max():
        raise BinningError(f"binning {name!r}: every row is {'bad' if counted[0] else 'good'}; both classes are needed")
    return bad, weight


# --- Numbers ----------------------------------------------------------------------------------------------------------


Found = tuple[Bins, str]
"""Bins, and why they are one bin although the values differ ("" where they are the best there is)."""


def _search(counts: Counts, limits: Limits, trend: str) -> Found:
    """The best bins on the edges of the counts."""
    size = counts.n_regular
    goods, bads, edges = np.array(counts.goods), np.array(counts.bads), np.array(counts.edges)
    starts: Sequence[int] = (0,)
    unmet = ""
    if goods[:size].sum() + bads[:size].sum():
        _check_must(counts, limits)
        must = np.flatnonzero(np.isin(edges, limits.must_cut)) + 1
        found = best_binning(
            goods[:size], bads[:size], counts.totals, limits, trend, must=must, never=_barred(edges, limits)
        )
        starts, unmet = found.starts, found.unmet and f"no binning has {_named(found.unmet, limits)}"
    cuts = [float(edges[start - 1]) for start in starts[1:]]
    sums = [np.concatenate([np.add.reduceat(x[:size], starts), x[size:]]) for x in (goods, bads)]
    trend = shape_of(rate_of(*sums)[: len(starts)])
    return _numeric(counts.name, cuts, *sums, counts.special, trend), unmet


def _named(unmet: str, limits: Limits) -> str:
    """What cannot hold, with the values that were asked for."""
    for words, asked in ((MUST, limits.must_cut), (NEVER, limits.never_cut)):
        values = ", ".join(f"{one:g}" if np.ndim(one) == 0 else f"{one[0]:g} to {one[1]:g}" for one in asked)
        unmet = unmet.replace(words, f"{words} ({values})")
    return unmet


def _check_must(counts: Counts, limits: Limits) -> None:
    for cut in limits.must_cut:
        if cut not in counts.edges:
            raise BinningError(
                f"binning {counts.name!r}: a bin must begin at {cut:g}, but the counts have no edge there; count with "
                "that edge"
            )


def _numeric(name, cuts, goods, bads, special, trend: str) -> Bins:
    return Bins(
        name, "numeric", tuple(map(float, goods)), tuple(map(float, bads)), cuts=tuple(cuts), special=special,
        trend=trend,
    )  # fmt: skip


def _settled(bins: Bins, unmet: str, limits: Limits, trend: str, values: int) -> Bins:
    """The bins; or the error, where cuts were demanded that cannot be made; or a warning, where none could be.

    `values` is how many distinct values (at most two are told apart) the variable has.
    """
    if unmet.startswith("no binning") and (limits.must_cut or limits.max_share < 1):
        raise BinningError(f"binning {bins.name!r}: {unmet}")
    if not unmet and bins.n_regular == 1 and limits.max_bins > 1:
        unmet = f"no cut keeps to trend {trend} and the limits"
    why = {0: "there is no regular value", 1: "all its values are the same"}.get(values)
    if why or unmet:
        warnings.warn(f"{bins.name!r} is one bin: {why or unmet}", BinningWarning, stacklevel=4)
    return bins


def _with_must(edges: Sequence[float], limits: Limits) -> tuple[float, ...]:
    """Pre-bin edges, with the cuts that must be made and the ends of where none may be made among them."""
    asked = [float(cut) for cut in limits.must_cut] + [end for one in limits.never_cut for end in np.ravel(one)]
    return tuple(sorted({*edges, *(float(end) for end in asked if np.isfinite(end))}))


def _barred(edges: np.ndarray, limits: Limits) -> np.ndarray:
    """Pre-bins at which no bin may begin."""
    barred = np.zeros(len(edges), dtype=bool)
    for one in limits.never_cut:
        if np.ndim(one) == 0:
            barred |= edges == one
        else:
            barred |= (edges > one[0]) & (edges < one[1])
    return np.flatnonzero(barred) + 1


def _best_bins(name: str, ordered: Ordered, limits: Limits, trend: str) -> Found:
    """The best bins over all values, with their certificate.

    For a monotone trend the blocks of isotonic regression come first: the best choice of at most max_bins of them is
    the best of all binnings when it satisfies the other limits too. Where it does not, the search goes over values
    around the blocks and at the least sizes, and then looks ever closer around the cuts it found.
    """
    if trend not in _DIRECTIONS or len(ordered.firsts) < 2:
        edges = _edges(ordered, limits, ordered.edges(limits.max_pre_bins))
        return _searched(name, ordered, edges, limits, trend)
    goods, bads, values = ordered.groups()
    blocks = isotonics(goods, bads, ordered.totals, limits, _DIRECTIONS[trend])
    best: Found | None = None
    for direction, found in sorted(blocks.items(), key=lambda item: -item[1].iv):
        if best and not best[1] and _regular_iv(best[0]) >= found.iv:
            break
        cuts = values[found.starts]
        bins = _of_blocks(name, ordered, cuts, limits, direction) if found.whole and np.isfinite(found.iv) else None
        tried = (bins, "") if bins else _within_limits(name, ordered, cuts, limits, direction, found.iv)
        best = tried if best is None or _rank(tried) > _rank(best) else best
    bound = max(found.iv for found in blocks.values())
    return replace(best[0], bound=bound if np.isfinite(bound) else None), best[1]


_DIRECTIONS = {"auto": ("ascending", "descending"), "ascending": ("ascending",), "descending": ("descending",)}


def _of_blocks(name: str, ordered: Ordered, cuts: np.ndarray, limits: Limits, trend: str) -> Bins | None:
    """The best bins that begin where blocks of isotonic regression begin, if they satisfy all limits."""
    if limits.must_cut or limits.never_cut or not np.isfinite(cuts).all():
        return None
    goods, bads = ordered.between(cuts)
    totals = ordered.totals
    if len(goods) > limits.max_bins:
        free = Limits(max_bins=limits.max_bins, min_share=0.0, min_goods=0.0, min_bads=0.0)
        starts = best_binning(goods, bads, totals, free, trend).starts
        goods, bads = np.add.reduceat(goods, starts), np.add.reduceat(bads, starts)
        cuts = cuts[np.array(starts[1:], dtype=np.int64) - 1]
    if len(goods) < 2 or not holds(goods, bads, totals, limits, trend):
        return None
    outside_goods, outside_bads = ordered.outside.T
    counts = np.concatenate([goods, outside_goods]), np.concatenate([bads, outside_bads])
    return _numeric(name, cuts.tolist(), *counts, ordered.special, trend)


def _rank(found: Found) -> tuple[bool, float]:
    """What makes a binning better: that it satisfies the limits, then its IV."""
    return not found[1], _regular_iv(found[0])


def _within_limits(name: str, ordered: Ordered, blocks: np.ndarray, limits: Limits, trend: str, bound: float) -> Found:
    """The best bins where limits keep blocks of isotonic regression from being bins.

    First on the blocks and where least sizes are just met; where that leaves more than CLOSE to the bound, or a limit
    may need cuts elsewhere, on edges at equal counts as well.
    """
    few = len(ordered.firsts) <= limits.max_pre_bins
    awkward = limits.max_share < 1 or limits.min_difference or limits.must_cut or limits.never_cut
    found = None
    if not few and not awkward:
        found = _searched(name, ordered, _edges(ordered, limits, blocks), limits, trend)
        if not found[1] and _regular_iv(found[0]) >= (1 - CLOSE) * bound:
            return found
    again = _searched(name, ordered, _edges(ordered, limits, blocks, ordered.edges(limits.max_pre_bins)), limits, trend)
    return max((one for one in (found, again) if one), key=_rank)


def _edges(ordered: Ordered, limits: Limits, *also: Sequence[float]) -> tuple[float, ...]:
    """Pre-bin edges of a search: every value when there are few; else `also`, and where sizes are just met."""
    if len(ordered.firsts) <= limits.max_pre_bins:
        return _with_must(ordered.edges(limits.max_pre_bins), limits)
    found, everything = [np.asarray(edges) for edges in also], sum(ordered.totals)
    for share in {limits.min_share, limits.max_share} - {0.0, 1.0}:
        steps = np.arange(1, min(1 / share, 25)) * share * everything
        found += [ordered.after(steps), ordered.before(steps)]
    edges = np.unique(np.concatenate(found))
    return _with_must(edges[np.isfinite(edges)].tolist(), limits)


def _searched(name: str, ordered: Ordered, edges: tuple[float, ...], limits: Limits, trend: str) -> Found:
    """The best bins on these edges, then again on finer ones around the cuts found, until no value is left between.

    Exact on each round's pre-bins, a local optimum among all values: the certificate says how much any other could add.
    """
    bins, unmet = _search(ordered.counts(name, edges), limits, trend)
    grid = np.array([-np.inf, *edges, np.inf])
    for _ in range(_ROUNDS if bins.cuts else 0):
        closer = _around(ordered, grid, bins.cuts)
        if not len(np.setdiff1d(closer, grid)):
            break
        closer = _with_must(closer.tolist(), limits)
        grid = np.array([-np.inf, *closer, np.inf])
        found, _ = _search(ordered.counts(name, closer), limits, trend)
        bins = found if found.iv > bins.iv else bins
    return bins, unmet


def _regular_iv(bins: Bins) -> float:
    return float(bins.iv_by_slot[: bins.n_regular].sum())


def _around(ordered: Ordered, grid: np.ndarray, cuts: Sequence[float]) -> np.ndarray:
    """Each cut, its neighbours on the grid, and some of the observed values between them."""
    places = np.searchsorted(grid, cuts)
    closer = [grid[places - 1], np.array(cuts), grid[places + 1]]
    for end in (*places, *(places + 1)):
        closer.append(ordered.inside(grid[end - 1], grid[end], _AROUND))
    found = np.unique(np.concatenate(closer))
    return found[np.isfinite(found)]


# --- Policies ---------------------------------------------------------------------------------------------------------


def with_policies(bins: Bins, missing: Policy) -> Bins:
    """The same bins with what missing values and special codes are worth."""
    policies = list(bins.policies)
    first = bins.n_regular
    for i in range(len(bins.special) + 1):
        rows = bins.goods[first + i] + bins.bads[first + i]
        policies[i] = OWN if rows >= MIN_OUTSIDE or not rows else NEUTRAL
    place = len(bins.special)
    if missing == "similar":
        policies[place] = _similar(bins)
    elif missing != "auto":
        policies[place] = missing
    return replace(bins, policies=tuple(policies))


def _similar(bins: Bins) -> Policy:
    """The regular bin whose bad rate is nearest to that of missing values."""
    rates = rate_of(bins.goods, bins.bads)
    if np.isnan(rates[bins.missing_slot]) or np.isnan(rates[: bins.n_regular]).all():
        return NEUTRAL
    return int(np.nanargmin(np.abs(rates[: bins.n_regular] - rates[bins.missing_slot])))


# --- Columns of a frame -----------------------------------------------------------------------------------------------


def column_values(column: pd.Series) -> np.ndarray | pd.Categorical:
    """A column as bins read it: float64 with NaN missing, or a Categorical of text; both (n,)."""
    if pd.api.types.is_numeric_dtype(column.dtype) or pd.api.types.is_bool_dtype(column.dtype):
        return column.to_numpy(dtype=np.float64, na_value=np.nan)
    codes, found = pd.factorize(column)
    if column.dtype == object and len(found) and all(isinstance(v, Number) for v in found):
        return column.to_numpy(dtype=np.float64, na_value=np.nan)  # numbers with None among them
    if not all(type(level) is str for level in found):  # 1 and "1" are one level
        again, levels = pd.factorize(np.array([str(level) for level in found], dtype=object))
        codes, found = np.append(again, -1)[codes], levels
    return pd.Categorical.from_codes(codes, categories=pd.Index(found, dtype=object), validate=False)


def is_text(values) -> bool:
    """Whether values (n,) are levels rather than numbers."""
    return values.dtype.kind not in "fiub"
