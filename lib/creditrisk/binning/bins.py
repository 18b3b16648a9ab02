"""One variable's fitted bins as plain data.

WOE is ln(share of goods / share of bads): higher is safer. That sign is used everywhere in this package. Numeric bins
are half-open, `[a, b)`. Special codes, missing values and (for text) levels never seen in training have slots of their
own. Whatever executes a binning (columns, one row, SQL, JSON reloaded elsewhere) reads these same numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property

import numpy as np
import pandas as pd

from creditrisk.errors import BinningError

WOE_SIGN = "good_over_bad"
SMOOTHING = 1.0
"""Rows at the book's own odds that are added to a bin without goods or without bads, so that its WOE is finite.

Half a row to either side would be a row at odds of 1:1, and make a bin of a few goods alone look risky.
"""
OWN, NEUTRAL, WORST = "own", "neutral", "worst"
POLICIES = (OWN, NEUTRAL, WORST)
"""What WOE a slot outside the regular bins gets: its own; 0, the book's average; that of the riskiest regular bin.

The number of a regular bin is a fourth policy: the slot's rows are counted with that bin, and share its WOE.
"""
SHAPES = ("flat", "ascending", "descending", "peak", "valley", "none")
_CHUNK = 16_384  # values compared at a time: they stay in the processor's cache
_FEW = 64

Policy = str | int


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


def iv_of_shares(goods: np.ndarray, bads: np.ndarray) -> np.ndarray:
    """Information value by bin from shares of all goods and of all bads, both above 0; not smoothed."""
    return (goods - bads) * (np.log(goods) - np.log(bads))


def rate_of(goods: np.ndarray, bads: np.ndarray) -> np.ndarray:
    """Bad rate by bin, float64 (bins,); NaN for an empty bin."""
    goods, bads = np.asarray(goods, dtype=np.float64), np.asarray(bads, dtype=np.float64)
    count = goods + bads
    return np.divide(bads, count, out=np.full(count.shape, np.nan), where=count > 0)


def shape_of(rates: np.ndarray) -> str:
    """How bad rates move over bins in order: one of SHAPES ("flat" for one bin or none)."""
    steps = np.diff(np.asarray(rates, dtype=np.float64))
    if len(steps) == 0:
        return "flat"
    rises, falls = steps > 0, steps < 0
    if rises.all():
        return "ascending"
    if falls.all():
        return "descending"
    turn = int(np.argmax(falls)) if rises[0] else int(np.argmax(rises))
    if rises[:turn].all() and falls[turn:].all():
        return "peak"
    return "valley" if falls[:turn].all() and rises[turn:].all() else "none"


def counts_in(
    slots: np.ndarray, bad: np.ndarray, n_slots: int, weight: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Goods and bads by slot, float64 (n_slots,) each; `bad` is 0/1 (n,), `weight` float64 (n,)."""
    weight = np.ones(len(bad)) if weight is None else np.asarray(weight, dtype=np.float64)
    goods = np.bincount(slots, weights=(1 - bad) * weight, minlength=n_slots)
    return goods, np.bincount(slots, weights=bad * weight, minlength=n_slots)


def codes_of(special) -> tuple[float, ...]:
    """Special codes as floats, each once; NaN is no code but a missing value."""
    return tuple(dict.fromkeys(float(code) for code in np.ravel(special) if code == code))


@dataclass(frozen=True)
class Bins:
    """Fitted bins of one variable.

    Slots, in this order: regular bins, one for each special code, missing, and for categories unseen levels. `goods`
    and `bads` are counts by slot (floats: weights are allowed). `trend` is how the bad rate moves over regular bins,
    one of SHAPES. `policies` says for each slot after the regular bins what WOE it gets: see POLICIES; empty means
    all their own, and unseen levels neutral. `other` is the group into which rare levels were pooled. `bound` is the
    most IV that regular bins of this trend could reach on the training values, None when it is not known.
    """

    name: str
    kind: str
    goods: tuple[float, ...]
    bads: tuple[float, ...]
    cuts: tuple[float, ...] = ()
    groups: tuple[tuple[str, ...], ...] = ()
    special: tuple[float, ...] = ()
    trend: str = ""
    policies: tuple[Policy, ...] = ()
    other: int | None = None
    bound: float | None = None
    woe_sign: str = field(default=WOE_SIGN)

    def __post_init__(self) -> None:
        if self.woe_sign != WOE_SIGN:
            raise ValueError(f"bins of {self.name!r} use WOE sign {self.woe_sign!r}; this package uses {WOE_SIGN!r}")
        if any(not a < b for a, b in zip(self.cuts, self.cuts[1:], strict=False)):
            raise ValueError(f"bins of {self.name!r}: the cuts {list(self.cuts)} do not rise")
        if self.special and self.kind == "category":
            raise ValueError(f"bins of {self.name!r}: special codes are for numbers; a level has a group of its own")
        if len(self.goods) != self.n_slots or len(self.bads) != self.n_slots:
            raise ValueError(f"bins of {self.name!r}: {len(self.goods)} counts for {self.n_slots} slots")
        if not self.policies:
            unseen = (NEUTRAL,) * (self.kind == "category")
            object.__setattr__(self, "policies", (OWN,) * (len(self.special) + 1) + unseen)
        if len(self.policies) != self.n_slots - self.n_regular:
            raise ValueError(f"bins of {self.name!r}: {len(self.policies)} policies for {self.n_slots} slots")
        for policy in self.policies:
            if policy not in POLICIES and not (type(policy) is int and 0 <= policy < self.n_regular):
                raise ValueError(
                    f"bins of {self.name!r}: policy {policy!r} is neither one of {', '.join(POLICIES)} "
                    f"nor a regular bin from 0 to {self.n_regular - 1}"
                )

    # --- Slots --------------------------------------------------------------------------------------------------------

    @property
    def n_regular(self) -> int:
        return len(self.cuts) + 1 if self.kind == "numeric" else len(self.groups)

    @property
    def n_slots(self) -> int:
        return self.n_regular + len(self.special) + (1 if self.kind == "numeric" else 2)

    @property
    def missing_slot(self) -> int:
        return self.n_regular + len(self.special)

    @property
    def missing(self) -> Policy:
        """The policy of the missing slot."""
        return self.policies[len(self.special)]

    @property
    def unseen(self) -> Policy:
        """The policy of levels never seen in training; for numbers there are none."""
        return self.policies[-1] if self.kind == "category" else NEUTRAL

    @cached_property
    def _slot_of_level(self) -> dict[str | None, int]:
        slots = {level: slot for slot, group in enumerate(self.groups) for level in group}
        return slots | {None: self.missing_slot}

    def assign(self, values: np.ndarray | pd.Categorical) -> np.ndarray:
        """Slot of each value, int64 (n,). Numbers as float64 with NaN missing; levels as text, None missing."""
        if self.kind == "category":
            return self._assign_levels(values)
        values = np.asarray(values, dtype=np.float64)
        if len(values) < _FEW:
            slots = np.searchsorted(self.cuts, values, side="right")
            for i, code in enumerate(self.special):
                slots[values == code] = self.n_regular + i
            slots[np.isnan(values)] = self.missing_slot
            return slots
        slots = np.empty(len(values), dtype=np.int64)
        for start, found in self._chunks(values):
            slots[start : start + len(found)] = found
        return slots

    def _chunks(self, values: np.ndarray):
        """Slots by chunks of values, as (start, slots); counting comparisons beats a binary search for few cuts."""
        small = np.uint8 if self.n_slots < 256 else np.int64
        for start in range(0, len(values), _CHUNK):
            part = values[start : start + _CHUNK]
            slots = np.zeros(len(part), dtype=small)
            for cut in self.cuts:
                slots += part >= cut
            for i, code in enumerate(self.special):
                slots[part == code] = self.n_regular + i
            gaps = np.isnan(part)
            if gaps.any():
                slots[gaps] = self.missing_slot
            yield start, slots

    def _assign_levels(self, values: np.ndarray) -> np.ndarray:
        lookup, unseen = self._slot_of_level, self.n_slots - 1
        if len(values) < _FEW:
            found = (self.missing_slot if pd.isna(v) else lookup.get(v, unseen) for v in values)
            return np.fromiter(found, dtype=np.int64, count=len(values))
        codes, slots = self._slots_by_level(values)
        return slots[codes]

    def _slots_by_level(self, values: np.ndarray | pd.Categorical) -> tuple[np.ndarray, np.ndarray]:
        """Codes (n,) and the slot that each code stands for, int64; a missing value has code -1, the last."""
        if isinstance(values, pd.Categorical):
            codes, levels = values.codes, values.categories
        else:
            codes, levels = pd.factorize(np.asarray(values, dtype=object))
        lookup, unseen = self._slot_of_level, self.n_slots - 1
        return codes, np.array([*(lookup.get(level, unseen) for level in levels), self.missing_slot], dtype=np.int64)

    def transform(self, values: np.ndarray | pd.Categorical, out: np.ndarray | None = None) -> np.ndarray:
        """WOE of each value, float64 (n,), written to `out` where it is given."""
        woe = np.empty(len(values)) if out is None else out
        if len(values) < _FEW:
            return np.take(self.woe, self.assign(values), out=woe, mode="clip")
        if self.kind == "category":
            codes, slots = self._slots_by_level(values)
            return np.take(self.woe[slots], codes, out=woe, mode="wrap")
        values = np.asarray(values, dtype=np.float64)
        for start, slots in self._chunks(values):
            np.take(self.woe, slots, out=woe[start : start + len(slots)], mode="clip")
        return woe

    # --- WOE and IV ---------------------------------------------------------------------------------------------------

    @cached_property
    def woe(self) -> np.ndarray:
        """WOE by slot, float64 (n_slots,); 0 (neutral) for a slot that training never filled."""
        owner = np.arange(self.n_slots)
        for slot, policy in enumerate(self.policies, self.n_regular):
            owner[slot] = policy if isinstance(policy, int) else slot
        goods = np.bincount(owner, weights=self.goods, minlength=self.n_slots)
        bads = np.bincount(owner, weights=self.bads, minlength=self.n_slots)
        woe = woe_of(goods, bads)[owner]
        for slot, policy in enumerate(self.policies, self.n_regular):
            if policy == NEUTRAL:
                woe[slot] = 0.0
            elif policy == WORST:
                woe[slot] = woe[: self.n_regular].min(initial=0.0)
        return woe

    @cached_property
    def iv_by_slot(self) -> np.ndarray:
        """(share of goods - share of bads) * WOE by slot, float64 (n_slots,)."""
        goods, bads = np.array(self.goods), np.array(self.bads)
        return (goods / goods.sum() - bads / bads.sum()) * self.woe

    @cached_property
    def iv(self) -> float:
        """Information value of the variable, missing and special slots included."""
        return float(self.iv_by_slot.sum())

    @property
    def certificate(self) -> float | None:
        """IV of the regular bins as a share of `bound`, which no binning of its trend and limits can exceed.

        None where no bound is known, or none holds: bins in no order, of goods or bads alone, or beyond the limits.
        """
        goods, bads = np.array(self.goods)[: self.n_regular], np.array(self.bads)[: self.n_regular]
        if not self.bound or self.trend not in ("flat", "ascending", "descending") or not (goods * bads).all():
            return None
        share = float(iv_of_shares(goods / sum(self.goods), bads / sum(self.bads)).sum() / self.bound)
        return share if share <= 1 + 1e-9 else None

    # --- Looking at them ----------------------------------------------------------------------------------------------

    def labels(self) -> list[str]:
        """A text for each slot."""
        if self.kind == "category":
            labels = [", ".join(group) for group in self.groups]
            return [repr(label) if label in ("missing", "unseen") else label for label in labels] + [
                "missing",
                "unseen",
            ]
        edges = ["-inf", *(_short(self.cuts)), "inf"]
        regular = [f"[{a}, {b})" for a, b in zip(edges, edges[1:], strict=False)]
        return regular + [f"code {code:g}" for code in self.special] + ["missing"]

    def table(self, X=None, y=None, *, by=None, weight=None) -> pd.DataFrame:
        """The binning table: one row for each regular bin, and for each other slot that holds rows.

        Without arguments, of the training sample. With values X (n,) and outcomes y, 0/1 (n,), of that sample: `woe`
        stays what a model uses, `woe_observed` is the sample's own, and slots that only training filled are shown
        empty. With `by` (n,), such as months, the tables of each of its values in order, told apart by the column `by`.
        Columns: bin, count, count_share, goods, bads, bad_rate, woe, iv.
        """
        if X is None:
            return self._table(np.array(self.goods), np.array(self.bads), self.iv_by_slot)
        slots, bad = self.assign(X), outcomes(self.name, X, y)
        weight = None if weight is None else np.asarray(weight, dtype=np.float64)
        if by is None:
            return self._sample_table(*counts_in(slots, bad, self.n_slots, weight))
        tables = {}
        if len(by) != len(bad):
            raise BinningError(f"binning {self.name!r}: {len(bad)} rows and {len(by)} values to tell them apart by")
        codes, values = pd.factorize(pd.Series(by), sort=True, use_na_sentinel=False)
        for code, value in enumerate(values):
            rows = codes == code
            part = None if weight is None else weight[rows]
            tables[value] = self._sample_table(*counts_in(slots[rows], bad[rows], self.n_slots, part))
        return pd.concat(tables, names=["by"]).reset_index("by").reset_index(drop=True)

    def _sample_table(self, goods: np.ndarray, bads: np.ndarray) -> pd.DataFrame:
        with np.errstate(divide="ignore", invalid="ignore"):
            both = goods.sum() > 0 and bads.sum() > 0
            observed = woe_of(goods, bads) if both else np.full(len(goods), np.nan)
            iv = iv_of(goods, bads) if both else np.full(len(goods), np.nan)
        table = self._table(goods, bads, iv, also=np.array(self.goods) + np.array(self.bads) > 0)
        table.insert(table.columns.get_loc("woe") + 1, "woe_observed", observed[table.pop("slot")])
        return table

    def _table(self, goods, bads, iv, also: np.ndarray | None = None) -> pd.DataFrame:
        count = goods + bads
        held = (count > 0) | (np.arange(self.n_slots) < self.n_regular)
        shown = np.flatnonzero(held if also is None else held | also)
        share = count / count.sum() if count.sum() else np.zeros(len(count))
        table = {
            "bin": np.array(self.labels(), dtype=object),
            "count": count,
            "count_share": share,
            "goods": goods,
            "bads": bads,
            "bad_rate": rate_of(goods, bads),
            "woe": self.woe,
            "iv": iv,
        } | ({} if also is None else {"slot": np.arange(self.n_slots)})
        return pd.DataFrame({name: values[shown] for name, values in table.items()}).astype({"bin": "str"})

    # --- Editing: each edit gives new bins ----------------------------------------------------------------------------

    def merge(self, first: int, last: int) -> Bins:
        """The same bins with regular bins `first` to `last` (of a category: these two groups) as one.

        Raises BinningError when there is no such bin.
        """
        first, last = sorted((self._regular(first), self._regular(last)))
        if first == last:
            raise BinningError(f"binning {self.name!r}: merge takes two bins, not bin {first} twice")
        merged = range(first, last + 1) if self.kind == "numeric" else (first, last)
        owner = np.arange(self.n_slots)
        owner[list(merged)] = first
        return self._renumbered(owner)

    def split(self, at, X, y, weight=None) -> Bins:
        """The same bins with one more cut (number `at`), or with the levels `at` in a group of their own.

        The rows X (n,), y (n,) that the bins were fitted on are counted anew. Raises BinningError when there is a
        cut already, or when `at` is not some but not all of the levels of one group.
        """
        if self.kind == "numeric":
            if at in self.cuts:
                raise BinningError(f"binning {self.name!r}: there is a cut at {at:g} already")
            return self.with_cuts((*self.cuts, at), X, y, weight)
        levels = (at,) if isinstance(at, str) else tuple(at)
        group = next((group for group in self.groups if set(levels) < set(group)), ())
        if not levels or not group:
            raise BinningError(f"binning {self.name!r}: {list(levels)} is not part of one group of levels")
        rest = tuple(level for level in group if level not in levels)
        index = self.groups.index(group)
        return self.with_groups((*self.groups[:index], rest, levels, *self.groups[index + 1 :]), X, y, weight)

    def with_cuts(self, cuts: Sequence[float], X, y, weight=None) -> Bins:
        """Bins at these cuts, with the counts of the rows X (n,), y (n,) that the bins were fitted on.

        A slot that was counted with a bin stays with it, if there still is that bin. Raises BinningError for cuts that
        are not finite numbers, and for text.
        """
        if self.kind != "numeric":
            raise BinningError(f"binning {self.name!r}: it holds text; give groups of levels, not cuts")
        cuts = checked_cuts(self.name, cuts)
        spans = {span: i for i, span in enumerate(_spans(cuts))}
        place = [spans.get(span) for span in _spans(self.cuts)]
        policies = tuple(_moved(policy, place) for policy in self.policies)
        empty = (0.0,) * (len(cuts) + 1 + len(policies))
        blank = replace(self, cuts=cuts, goods=empty, bads=empty, policies=policies, trend="")
        return replace(blank.counted(X, y, weight), bound=self.bound)

    def with_groups(self, groups: Sequence[Sequence[str]], X, y, weight=None) -> Bins:
        """Bins of these groups of levels, with the counts of a sample, in the order of their bad rates.

        The group that holds the pool of rare levels stays the one of unseen levels. Raises BinningError when a level
        stands twice or a group is empty, and for numbers.
        """
        if self.kind != "category":
            raise BinningError(f"binning {self.name!r}: it holds numbers; give cuts, not groups of levels")
        groups = checked_groups(self.name, groups)
        members = {frozenset(group): i for i, group in enumerate(groups)}
        place = [members.get(frozenset(group)) for group in self.groups]
        other = None
        if self.other is not None:
            pool = set(self.groups[self.other])
            other = next((i for i, group in enumerate(groups) if pool <= set(group)), place[self.other])
        *outside, unseen = (_moved(policy, place) for policy in self.policies)
        if isinstance(self.unseen, int) and self.unseen == self.other:
            unseen = NEUTRAL if other is None else other
        unseen = NEUTRAL if unseen == OWN else unseen
        empty = (0.0,) * (len(groups) + len(self.policies))
        blank = replace(
            self, groups=groups, goods=empty, bads=empty, policies=(*outside, unseen), other=other, trend=""
        )
        return replace(blank.counted(X, y, weight).in_order(), bound=self.bound)

    def with_policy(self, slot: str | float, policy: Policy) -> Bins:
        """The same bins where "missing", "unseen" or a special code gets its WOE in another way: see POLICIES."""
        places: dict[str | float, int] = {code: i for i, code in enumerate(self.special)}
        places["missing"] = len(self.special)
        if self.kind == "category":
            places["unseen"] = len(self.special) + 1
        if slot not in places:
            raise BinningError(f"binning {self.name!r}: there is no slot {slot!r}; there are {list(places)}")
        if policy not in POLICIES:
            policy = self._regular(policy)
        changed = list(self.policies)
        changed[places[slot]] = policy
        return replace(self, policies=tuple(changed))

    def counted(self, X, y, weight=None) -> Bins:
        """The same bins with the counts of another sample, values X (n,), outcomes y, 0/1 (n,), and no bound."""
        goods, bads = counts_in(self.assign(X), outcomes(self.name, X, y), self.n_slots, weight)
        regular = slice(0, self.n_regular)
        trend = shape_of(rate_of(goods[regular], bads[regular]))
        return replace(self, goods=tuple(goods.tolist()), bads=tuple(bads.tolist()), trend=trend, bound=None)

    def in_order(self) -> Bins:
        """The same groups of levels in the order of their bad rates; numbers stay as they are."""
        if self.kind == "numeric":
            return self
        regular = slice(0, self.n_regular)
        rates = np.nan_to_num(rate_of(self.goods, self.bads)[regular], nan=-1.0)
        place = np.empty(self.n_slots, dtype=np.int64)
        place[:] = np.arange(self.n_slots)
        place[np.argsort(rates, kind="stable")] = np.arange(self.n_regular)
        return self._renumbered(place)

    def _regular(self, number) -> int:
        if isinstance(number, bool) or not isinstance(number, int | np.integer) or not 0 <= number < self.n_regular:
            raise BinningError(
                f"binning {self.name!r}: there is no regular bin {number!r}; they are numbered from 0 to "
                f"{self.n_regular - 1}"
            )
        return int(number)

    def _renumbered(self, owner: np.ndarray) -> Bins:
        """Slot i becomes part of slot owner[i]; slots that are left without a number close ranks."""
        left = np.unique(owner)
        new = np.searchsorted(left, owner)
        goods, bads = np.bincount(new, weights=self.goods), np.bincount(new, weights=self.bads)
        n_regular = int(new[: self.n_regular].max(initial=-1)) + 1
        cuts: tuple[float, ...] = ()
        groups: tuple[tuple[str, ...], ...] = ()
        if self.kind == "numeric":
            cuts = tuple(cut for cut, a, b in zip(self.cuts, new, new[1:], strict=False) if a != b)
        else:
            members: list[list[str]] = [[] for _ in range(n_regular)]
            for slot, group in enumerate(self.groups):
                members[new[slot]] += group
            groups = tuple(tuple(group) for group in members)
        return replace(
            self, cuts=cuts, groups=groups, goods=tuple(goods.tolist()), bads=tuple(bads.tolist()),
            policies=tuple(int(new[p]) if isinstance(p, int) else p for p in self.policies),
            other=None if self.other is None else int(new[self.other]),
            trend=shape_of(rate_of(goods[:n_regular], bads[:n_regular])),
        )  # fmt: skip

    # --- Plain data ---------------------------------------------------------------------------------------------------

    def to_dict(self) -> dict:
        """Plain data for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict) -> Bins:
        groups = tuple(tuple(group) for group in data["groups"])
        rest = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items() if k != "groups"}
        return cls(**rest, groups=groups)


def _spans(cuts: tuple[float, ...]) -> list[tuple[float, float]]:
    """Where each bin begins and ends."""
    edges = (-np.inf, *cuts, np.inf)
    return list(zip(edges, edges[1:], strict=False))


def _moved(policy: Policy, place: list[int | None]) -> Policy:
    """A policy where bins got other numbers: None in `place` for a bin that is no more."""
    if not isinstance(policy, int):
        return policy
    return OWN if place[policy] is None else place[policy]


def level_codes(values: np.ndarray | pd.Categorical) -> tuple[np.ndarray, np.ndarray]:
    """Codes (n,), -1 for missing, and the levels they stand for, object (levels,), each of which occurs."""
    if not isinstance(values, pd.Categorical):
        return pd.factorize(np.asarray(values, dtype=object))
    codes, levels = values.codes, values.categories.to_numpy(dtype=object)
    occurs = np.bincount(codes + 1, minlength=len(levels) + 1)[1:] > 0
    if occurs.all():
        return codes, levels
    return np.append(np.cumsum(occurs) - 1, -1)[codes], levels[occurs]


def outcomes(name: str, values, bad) -> np.ndarray:
    """Outcomes as float64 0/1 (n,). Raises BinningError: as many as values, no gaps, nothing but 0 and 1."""
    bad = np.asarray(bad)
    if bad.ndim != 1 or len(bad) != len(values):
        raise BinningError(
            f"binning {name!r}: {len(values)} values and {len(bad)} outcomes; as many of both are needed"
        )
    try:
        bad = bad.astype(np.float64, copy=False)
    except (TypeError, ValueError):
        bad = np.full(len(bad), np.nan)
    wrong = ~((bad == 0) | (bad == 1))
    if wrong.any():
        row = int(np.argmax(wrong))
        what = "missing, or not a number" if np.isnan(bad[row]) else f"{bad[row]:g}"
        raise BinningError(
            f"binning {name!r}: the target is {what} in row {row + 1}; it must be 0 (good) or 1 (bad) in every row "
            f"({int(wrong.sum()):,} of {len(bad):,} rows are not)"
        )
    return bad


def checked_cuts(name: str, cuts: Sequence[float], what: str = "cut") -> tuple[float, ...]:
    """Cuts in order. Raises BinningError when one is not a finite number or stands twice; `what` is its name there."""
    for cut in cuts:
        number = isinstance(cut, int | float | np.number) and not isinstance(cut, bool) and np.isfinite(cut)
        if not number:
            raise BinningError(f"binning {name!r}: the {what} {cut!r} is not a finite number")
    found = sorted(float(cut) for cut in cuts)
    for a, b in zip(found, found[1:], strict=False):
        if a == b:
            raise BinningError(f"binning {name!r}: the {what} {a:g} stands twice")
    return tuple(found)


def checked_groups(name: str, groups: Sequence[Sequence[str]]) -> tuple[tuple[str, ...], ...]:
    """Groups of levels. Raises BinningError when one is empty, holds other things than text, or shares a level."""
    seen: set[str] = set()
    for group in groups:
        if isinstance(group, str) or not len(group):
            raise BinningError(f"binning {name!r}: {group!r} is not a list of levels")
        for level in group:
            if not isinstance(level, str):
                raise BinningError(f"binning {name!r}: the level {level!r} is not text")
            if level in seen:
                raise BinningError(f"binning {name!r}: the level {level!r} stands twice")
            seen.add(level)
    return tuple(tuple(group) for group in groups)


def _short(cuts: tuple[float, ...]) -> list[str]:
    """Cut points with as few digits as keep them apart."""
    texts: list[str] = []
    for digits in (3, 4, 6, 9, 17):
        texts = [f"{cut:,.0f}" if abs(cut) >= 1_000 and cut == int(cut) else f"{cut:,.{digits}g}" for cut in cuts]
        if len(set(texts)) == len(texts) and not any("e" in text for text in texts):
            break
    return texts
