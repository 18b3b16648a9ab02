"""Fitted bins are plain data that every reader executes alike, on boundary values to the last bit."""

from __future__ import annotations

import dataclasses
import json
from math import inf, log, nan, nextafter

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from creditrisk.binning.bins import NEUTRAL, OWN, WORST, Bins, iv_of, shape_of, woe_of
from creditrisk.binning.fit import fit_bins
from creditrisk.binning.search import Limits
from creditrisk.errors import BinningError

AGE = Bins(
    "age", "numeric", (50, 30, 15, 4, 1), (5, 10, 15, 0, 10), cuts=(25.0, 40.5), special=(-1.0,), trend="ascending"
)
HOME = Bins("home", "category", (60, 30, 8, 0), (5, 20, 15, 0), groups=(("Owned", "Family"), ("Rented",)))


def test_slots_are_half_open_to_the_last_bit():
    values = [24.0, nextafter(25, -inf), 25.0, nextafter(25, inf), nextafter(40.5, -inf), 40.5, 41.0]
    assert AGE.assign(np.array(values)).tolist() == [0, 0, 1, 1, 1, 2, 2]
    tiny = Bins("x", "numeric", (1, 1, 0), (1, 1, 0), cuts=(0.0,))
    assert tiny.assign(np.array([-5e-324, -0.0, 0.0, 5e-324])).tolist() == [0, 1, 1, 1]


def test_codes_missing_and_infinite_values_have_their_slots():
    values = np.array([-inf, -1e300, inf, nan, -1.0, nextafter(-1, -2), -0.5])
    assert AGE.assign(values).tolist() == [0, 0, 2, 4, 3, 0, 0]
    counts = (1,) * 6
    inside = dataclasses.replace(AGE, special=(30.0, -999.0), goods=counts, bads=counts, policies=())
    assert inside.assign(np.array([29.9, 30.0, 30.1, -999.0, nan])).tolist() == [1, 3, 1, 4, 5]
    assert AGE.missing_slot == 4 and AGE.n_regular == 3 and AGE.n_slots == 5


def test_levels_missing_and_unseen_have_their_slots():
    values = np.array(["Family", "Rented", "Owned", None, nan, pd.NA, "owned", "", "Boat"], dtype=object)
    assert HOME.assign(values).tolist() == [0, 1, 0, 2, 2, 2, 3, 3, 3]
    assert HOME.assign(np.array([], dtype=object)).tolist() == []
    assert HOME.transform(np.array(["Boat"], dtype=object))[0] == 0.0  # neutral


@pytest.mark.parametrize("count", [3, 63, 64, 65, 40_000])
@pytest.mark.parametrize("bins", [1, 9, 254, 255, 256, 300])
def test_few_and_many_values_and_few_and_many_bins_get_the_same_slots(count, bins):
    draw = np.random.default_rng(count)
    cuts = tuple(float(i) for i in range(bins - 1))
    many = Bins("x", "numeric", (1,) * (bins + 3), (1,) * (bins + 3), cuts=cuts, special=(-5.0, 0.5))
    values = np.append(
        draw.choice([-5.0, 0.5, nan, inf, -inf, *cuts, *(np.array(cuts) - 0.25)], count - 3), [nan, 7, -5]
    )
    slots = np.searchsorted(cuts, values, side="right")
    slots[values == -5], slots[values == 0.5], slots[np.isnan(values)] = bins, bins + 1, bins + 2
    assert many.assign(values).dtype == np.int64 and (many.assign(values) == slots).all()
    assert many.transform(values).tobytes() == many.woe[slots].tobytes()
    assert many.assign(values[::2][::-1]).tolist() == slots[::2][::-1].tolist()  # any layout in memory
    frame = np.empty((count, 2), order="F")
    assert many.transform(values, out=frame[:, 1]).tobytes() == frame[:, 1].tobytes() == many.woe[slots].tobytes()


@pytest.mark.parametrize("count", [5, 63, 64, 200])
def test_text_in_any_container_gets_the_same_slots(count):
    levels = np.array(["Family", "Rented", None, "Boat", "Owned"] * 40, dtype=object)[:count]
    slots = HOME.assign(levels)
    assert slots.tolist() == ([0, 1, 2, 3, 0] * 40)[:count]
    unused = pd.Categorical(levels, categories=["unused", "Boat", "Family", "Rented", "Owned"])
    for values in (pd.Categorical(levels), unused, pd.array(levels, dtype="string"), pd.Series(levels).to_numpy()):
        assert HOME.assign(values).tolist() == slots.tolist()
    whole = levels[levels != None].astype(str)  # noqa: E711
    assert HOME.assign(whole).tolist() == slots[slots != 2].tolist()


def test_hundreds_of_levels_have_their_slots():
    names = [f"level {i}" for i in range(400)]
    bins = Bins("x", "category", (2,) * 402, (1,) * 402, groups=tuple((name,) for name in names))
    values = np.array([*names, None, "new"], dtype=object)
    assert bins.assign(values).tolist() == list(range(402))
    assert bins.assign(pd.Categorical(values)).tolist() == list(range(402))
    assert bins.assign(values[-40:]).tolist() == list(range(362, 402))


def test_one_value_and_many_values_get_the_same_bits():
    values = np.random.default_rng(1).choice([nan, -1.0, 25.0, 40.5, 24.9, 99.0], 200)
    many = AGE.transform(values)
    assert many.tobytes() == np.concatenate([AGE.transform(values[i : i + 1]) for i in range(200)]).tobytes()


def test_woe_is_the_log_of_share_of_goods_over_share_of_bads():
    assert woe_of([80, 20], [10, 30]).tolist() == pytest.approx([log(0.8 / 0.25), log(0.2 / 0.75)])
    assert AGE.woe[0] > 0 > AGE.woe[2]  # fewer bads: safer: higher
    assert iv_of([80, 20], [10, 30]).sum() == pytest.approx(0.55 * log(3.2) - 0.55 * log(0.2 / 0.75))
    assert AGE.iv == pytest.approx(iv_of(AGE.goods, AGE.bads).sum()) == AGE.table()["iv"].sum()


counts = st.lists(st.tuples(st.integers(0, 500), st.integers(0, 500)), min_size=1, max_size=12)


@settings(max_examples=200, deadline=None)
@given(counts)
def test_woe_is_finite_and_its_sign_says_on_which_side_of_the_book_a_bin_lies(pairs):
    goods, bads = (np.array(column, dtype=np.float64) for column in zip(*pairs, strict=True))
    assume(goods.sum() and bads.sum())
    woe, iv = woe_of(goods, bads), iv_of(goods, bads)
    assert np.isfinite(woe).all() and np.isfinite(iv).all() and (iv >= 0).all()
    assert (woe[goods + bads == 0] == 0).all()
    assert (woe[(bads == 0) & (goods > 0)] > 0).all() and (woe[(goods == 0) & (bads > 0)] < 0).all()
    share = goods / goods.sum() - bads / bads.sum()
    clear = np.abs(share) > 1e-12
    assert (np.sign(woe[clear]) == np.sign(share[clear])).all()
    full = (goods > 0) & (bads > 0)
    assert woe[full] == pytest.approx(np.log(goods[full] / goods.sum() / (bads[full] / bads.sum())), abs=1e-9)


def test_a_purer_bin_of_more_rows_is_further_from_neutral():
    few, many = woe_of([1, 10, 900], [0, 0, 90])[:2]
    assert 0 < few < many
    row = 1 / 110  # the row at the book's own odds that a pure bin gets: the same share of goods and of bads
    assert woe_of([3, 97], [0, 10])[0] == pytest.approx(log((3 / 100 + row) / row))
    assert woe_of([0, 100], [3, 7])[0] == pytest.approx(log(row / (3 / 10 + row)))
    assert 0 > woe_of([0, 900], [1, 90])[0] > woe_of([0, 900], [9, 90])[0]


finite = st.floats(allow_nan=False, allow_infinity=False)


@settings(max_examples=100, deadline=None)
@given(st.lists(finite, max_size=8, unique=True), st.lists(finite, max_size=2, unique=True), st.integers(0, 9))
def test_json_gives_back_the_same_bins_to_the_last_bit(cuts, special, seed):
    draw = np.random.default_rng(seed)
    size = len(cuts) + len(special) + 2
    goods, bads = draw.integers(0, 50, (2, size)).astype(float) / 3 + 0.1
    bins = Bins(
        "x", "numeric", tuple(goods), tuple(bads), tuple(sorted(cuts)), special=tuple(special), trend="ascending"
    )
    again = Bins.from_dict(json.loads(json.dumps(bins.to_dict(), allow_nan=False)))
    assert again == bins and hash(again) == hash(bins)
    near = [v for cut in (*cuts, *special) for v in (cut, nextafter(cut, inf), nextafter(cut, -inf))] + [nan, inf, -inf]
    values = np.array(near)
    assert (again.assign(values) == bins.assign(values)).all()
    assert again.transform(values).tobytes() == bins.transform(values).tobytes() and again.iv == bins.iv


def test_json_gives_back_the_same_levels():
    again = Bins.from_dict(json.loads(json.dumps(HOME.to_dict())))
    assert again == HOME and again.groups == (("Owned", "Family"), ("Rented",))
    assert again.woe.tobytes() == HOME.woe.tobytes()


def test_bins_of_another_sign_or_with_other_counts_are_refused():
    with pytest.raises(ValueError, match="'age' use WOE sign 'bad_over_good'; this package uses 'good_over_bad'"):
        Bins.from_dict(AGE.to_dict() | {"woe_sign": "bad_over_good"})
    with pytest.raises(ValueError, match="'age': 4 counts for 5 slots"):
        Bins.from_dict(AGE.to_dict() | {"goods": [1, 2, 3, 4]})
    with pytest.raises(ValueError, match="'home': 4 counts for 3 slots"):
        Bins.from_dict(HOME.to_dict() | {"groups": [["Owned", "Family", "Rented"]]})


def test_labels_tell_every_slot_apart():
    assert AGE.labels() == ["[-inf, 25)", "[25, 40.5)", "[40.5, inf)", "code -1", "missing"]
    assert HOME.labels() == ["Owned, Family", "Rented", "missing", "unseen"]
    narrow = Bins("x", "numeric", (1,) * 4, (1,) * 4, cuts=(0.12341, 0.12342))
    assert narrow.labels() == ["[-inf, 0.12341)", "[0.12341, 0.12342)", "[0.12342, inf)", "missing"]
    assert Bins("x", "numeric", (1,) * 3, (1,) * 3, cuts=(1_234_567.5,)).labels()[1] == "[1,234,567.5, inf)"
    cuts = (1_200_000.0, 1_200_000.5, 1_200_001.0)
    close = Bins("x", "numeric", (1,) * 5, (1,) * 5, cuts=cuts)
    assert len(set(close.labels())) == 5
    for texts in (close.labels(), Bins("x", "numeric", (1,) * 4, (1,) * 4, cuts=(1e-9, 2e-9)).labels()):
        assert all(text.startswith(("[", "missing")) for text in texts)


def test_the_table_has_a_row_for_each_slot_that_holds_rows():
    table = AGE.table()
    assert table["bin"].tolist() == AGE.labels() and table["count"].tolist() == [55, 40, 30, 4, 11]
    assert table["count_share"].sum() == pytest.approx(1)
    assert table["bad_rate"].tolist() == pytest.approx([5 / 55, 0.25, 0.5, 0, 10 / 11])
    assert HOME.table()["bin"].tolist() == ["Owned, Family", "Rented", "missing"]


# --- Shapes and policies ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "rates, shape",
    [
        ([], "flat"), ([0.3], "flat"), ([0.1, 0.2], "ascending"), ([0.2, 0.1], "descending"), ([0.1, 0.1], "none"),
        ([0.1, 0.3, 0.2], "peak"), ([0.3, 0.1, 0.2], "valley"), ([0.1, 0.3, 0.2, 0.25], "none"),
        ([0.1, 0.2, 0.3, 0.2, 0.1], "peak"), ([0.3, 0.2, 0.1, 0.2], "valley"), ([0.3, 0.1, 0.2, 0.15], "none"),
        ([0.1, 0.2, 0.2, 0.1], "none"), ([0.1, nan, 0.2], "none"), ([0.1, 0.2, nan], "none"),
    ],
)  # fmt: skip
def test_the_shape_says_how_rates_move(rates, shape):
    assert shape_of(np.array(rates)) == shape


def test_policies_say_what_a_slot_outside_the_regular_bins_is_worth():
    assert AGE.policies == (OWN, OWN) and HOME.policies == (OWN, NEUTRAL)
    neutral = AGE.with_policy("missing", NEUTRAL).with_policy(-1.0, WORST)
    assert neutral.woe[neutral.missing_slot] == 0 and neutral.missing == NEUTRAL
    assert neutral.woe[3] == AGE.woe[:3].min() < 0
    assert neutral.iv_by_slot[neutral.missing_slot] == 0
    assert neutral.woe[:3].tolist() == AGE.woe[:3].tolist() and (neutral.goods, neutral.bads) == (AGE.goods, AGE.bads)
    unseen = HOME.with_policy("unseen", WORST)
    assert unseen.transform(np.array(["Boat"], dtype=object))[0] == HOME.woe[1] == HOME.woe[:2].min()
    assert HOME.with_policy("unseen", 0).transform(np.array(["Boat"], dtype=object))[0] == HOME.woe[0]


def test_missing_merged_into_a_bin_shares_its_woe_and_the_counts_stay_apart():
    merged = AGE.with_policy("missing", 2)
    together = woe_of([50, 30, 15 + 1, 4], [5, 10, 15 + 10, 0])
    assert merged.woe[2] == merged.woe[4] == pytest.approx(together[2])
    assert merged.woe[:2].tolist() == pytest.approx(AGE.woe[:2].tolist())
    assert (merged.goods, merged.bads) == (AGE.goods, AGE.bads)
    assert merged.iv == pytest.approx(iv_of([50, 30, 16, 4], [5, 10, 25, 0]).sum()) and merged.iv <= AGE.iv
    assert merged.iv == pytest.approx(merged.iv_by_slot.sum())
    assert AGE.with_policy("missing", np.int64(2)) == merged
    again = Bins.from_dict(json.loads(json.dumps(merged.to_dict())))
    assert again == merged and again.woe.tobytes() == merged.woe.tobytes() and again.missing == 2


@pytest.mark.parametrize("policy", ["mean", 3, -1, 1.0, True, None, nan, [0]])
def test_another_policy_is_refused(policy):
    with pytest.raises(BinningError, match="'age': there is no regular bin"):
        AGE.with_policy("missing", policy)


@pytest.mark.parametrize("slot", ["unseen", -2, "Missing", 0])
def test_a_policy_of_a_slot_that_is_not_there_is_refused(slot):
    with pytest.raises(BinningError, match="'age': there is no slot"):
        AGE.with_policy(slot, NEUTRAL)


# --- Editing ----------------------------------------------------------------------------------------------------------


def sample(rows: int = 500, seed: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Values for AGE's bins with codes and gaps, outcomes, months."""
    draw = np.random.default_rng(seed)
    values = draw.choice(
        [18, 24.9, 25, 30.5, 40.5, 60, -1, nan], rows, p=[0.2, 0.1, 0.15, 0.15, 0.15, 0.15, 0.05, 0.05]
    )
    bad = (draw.random(rows) < np.nan_to_num(values, nan=40) / 100 + 0.1).astype(int)
    return values, bad, draw.choice(["2026-01", "2026-02", "2026-03"], rows)


def text_sample(rows: int = 600) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(2)
    names = np.array(["Owned", "Family", "Rented", "Boat", None], dtype=object)
    values = draw.choice(names, rows, p=[0.3, 0.3, 0.15, 0.15, 0.1])
    rate = {"Owned": 0.1, "Family": 0.2, "Rented": 0.5, "Boat": 0.7, None: 0.3}
    return values, (draw.random(rows) < np.array([rate[value] for value in values])).astype(int)


def test_neighbours_merge_into_one_bin():
    merged = AGE.merge(1, 2)
    assert (merged.cuts, merged.goods, merged.bads) == ((25.0,), (50, 45, 4, 1), (5, 25, 0, 10))
    assert AGE.merge(2, 1) == merged and merged.trend == "ascending"
    all_of_them = AGE.merge(0, 2)
    assert (all_of_them.cuts, all_of_them.goods, all_of_them.trend) == ((), (95, 4, 1), "flat")


def test_groups_merge_wherever_they_stand():
    three = Bins("x", "category", (9, 5, 2, 1, 0), (1, 5, 8, 1, 0), groups=(("a",), ("b", "c"), ("d",)))
    merged = three.merge(2, 0)
    assert (merged.groups, merged.goods, merged.bads) == ((("a", "d"), ("b", "c")), (11, 5, 1, 0), (9, 5, 1, 0))


def test_policies_and_the_pool_follow_their_bins_through_a_merge():
    shared = AGE.with_policy("missing", 2).with_policy(-1.0, 0)
    assert shared.merge(0, 1).policies == (0, 1) and shared.merge(1, 2).policies == (0, 1)
    assert shared.merge(0, 2).policies == (0, 0)
    three = Bins(
        "x", "category", (9, 5, 2, 1, 0), (1, 5, 8, 1, 0), groups=(("a",), ("b", "c"), ("d",)), policies=(OWN, 1),
        other=1,
    )  # fmt: skip
    assert (three.merge(0, 2).other, three.merge(0, 2).unseen) == (1, 1)
    assert (three.merge(0, 1).other, three.merge(0, 1).unseen) == (0, 0)
    turned = dataclasses.replace(three, bads=(9, 5, 1, 1, 0)).in_order()
    assert turned.groups == (("d",), ("a",), ("b", "c")) and (turned.other, turned.unseen) == (2, 2)
    assert turned.goods == (2, 9, 5, 1, 0) and turned.bads == (1, 9, 5, 1, 0)


some = st.floats(0.5, 900)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(some, some), min_size=3, max_size=9), st.data(), st.sampled_from([OWN, NEUTRAL, 0]),
    st.sampled_from(["numeric", "category"]),
)  # fmt: skip
def test_a_merge_never_raises_iv_and_loses_no_row(pairs, data, policy, kind):
    goods, bads = zip(*pairs, strict=True)
    count = len(pairs) - 1
    if kind == "numeric":
        bins = Bins("x", kind, goods, bads, cuts=tuple(range(count - 1)), policies=(policy,))
    else:
        bins = Bins(
            "x", kind, (*goods, 0.0), (*bads, 0.0), groups=tuple((f"{i}",) for i in range(count)),
            policies=(policy, NEUTRAL),
        )  # fmt: skip
    first, last = sorted(data.draw(st.lists(st.integers(0, count - 1), min_size=2, max_size=2, unique=True)))
    merged = bins.merge(first, last)
    assert merged.iv <= bins.iv + 1e-12
    assert sum(merged.goods) == pytest.approx(sum(goods)) and sum(merged.bads) == pytest.approx(sum(bads))
    assert merged.n_regular == count - (last - first if kind == "numeric" else 1)
    assert (merged.goods[merged.missing_slot], merged.bads[merged.missing_slot]) == pairs[-1]


@pytest.mark.parametrize("first, last", [(0, 0), (0, 3), (-1, 0), (0.0, 1), (True, 2), (None, 1)])
def test_bins_that_are_not_there_do_not_merge(first, last):
    with pytest.raises(BinningError, match="'age': (there is no regular bin|merge takes two bins)"):
        AGE.merge(first, last)


def test_a_split_and_a_merge_undo_each_other():
    values, bad, _ = sample()
    bins = AGE.counted(values, bad)
    split = bins.split(30, values, bad)
    assert split.cuts == (25.0, 30.0, 40.5) and split.merge(1, 2) == bins
    assert sum(split.goods) + sum(split.bads) == 500 and split.special == AGE.special
    levels, bad = text_sample()
    home = HOME.with_groups([["Owned", "Family"], ["Rented", "Boat"]], levels, bad)
    apart = home.split("Boat", levels, bad)
    assert apart.groups == (("Owned", "Family"), ("Rented",), ("Boat",))
    assert apart.merge(1, 2) == home and sum(apart.goods) + sum(apart.bads) == 600
    assert home.split(["Owned"], levels, bad).groups == (("Owned",), ("Family",), ("Rented", "Boat"))


@pytest.mark.parametrize("at, message", [(25, "there is a cut at 25 already"), (nan, "finite"), ("30", "finite")])
def test_a_number_is_split_at_a_new_finite_cut_only(at, message):
    values, bad, _ = sample()
    with pytest.raises(BinningError, match=f"'age': .*{message}"):
        AGE.split(at, values, bad)


@pytest.mark.parametrize("at", ["Boat", [], ["Owned", "Rented"], ["Owned", "Family"], ["Owned", "Boat"], [None], "Own"])
def test_what_is_not_a_part_of_one_group_is_not_split_off(at):
    with pytest.raises(BinningError, match="'home': .* is not part of one group of levels"):
        HOME.split(at, *text_sample())


def test_new_cuts_count_the_sample_anew_and_keep_codes_and_policies():
    values, bad, _ = sample()
    bins = AGE.with_policy("missing", WORST).with_cuts([40.5, 20], values, bad)
    assert bins.cuts == (20.0, 40.5) and bins.special == (-1.0,) and bins.policies == (OWN, WORST)
    low, code = (values < 20) & (values != -1), values == -1
    for slot, rows in enumerate((low, (values >= 20) & (values < 40.5), values >= 40.5, code, np.isnan(values))):
        assert (bins.goods[slot], bins.bads[slot]) == ((rows & (bad == 0)).sum(), (rows & (bad == 1)).sum())
    weight = np.random.default_rng(1).integers(0, 3, 500)
    weighed = AGE.with_cuts([30], values, bad, weight)
    repeated = AGE.with_cuts([30], np.repeat(values, weight), np.repeat(bad, weight))
    assert (weighed.goods, weighed.bads) == (repeated.goods, repeated.bads)


def test_a_shared_bin_stays_shared_when_another_bin_is_split():
    """An edit changes what it says and nothing else."""
    values, bad, _ = sample()
    shared = AGE.counted(values, bad).with_policy("missing", 2).with_policy(-1.0, 0)
    split = shared.split(30, values, bad)
    assert split.cuts == (25.0, 30.0, 40.5) and split.policies == (0, 3)
    levels, bad = text_sample()
    home = HOME.counted(levels, bad).with_policy("missing", 1).with_policy("unseen", WORST)
    split = home.split("Family", levels, bad)
    assert split.unseen == WORST and split.groups[split.missing] == ("Rented",)


def test_new_groups_are_put_in_order_and_keep_their_pool():
    levels, bad = text_sample()
    bins = HOME.with_groups([["Boat"], ["Rented"], ["Owned", "Family"]], levels, bad)
    assert bins.groups == (("Owned", "Family"), ("Rented",), ("Boat",)) and bins.trend == "ascending"
    assert sum(bins.goods) + sum(bins.bads) == 600 and bins.goods[4] + bins.bads[4] == 0
    pooled = dataclasses.replace(bins, other=1, policies=(OWN, 1))
    wider = pooled.with_groups([["Boat"], ["Rented", "Owned"], ["Family"]], levels, bad)
    assert wider.groups[wider.other] == ("Rented", "Owned") and wider.unseen == wider.other
    gone = pooled.with_groups([["Boat"], ["Owned"]], levels, bad)
    assert gone.other is None and gone.unseen == NEUTRAL and sum(gone.goods) + sum(gone.bads) == 600


@pytest.mark.parametrize(
    "edit, message",
    [
        (lambda: AGE.with_cuts([1, inf], *sample()[:2]), "'age': the cut inf is not a finite number"),
        (lambda: AGE.with_cuts([2, 2.0], *sample()[:2]), "'age': the cut 2 stands twice"),
        (lambda: HOME.with_groups([["a"], ["b", "a"]], *text_sample()), "'home': the level 'a' stands twice"),
        (lambda: HOME.with_groups([["a"], []], *text_sample()), "'home': .* is not a list of levels"),
        (lambda: HOME.with_groups(["ab"], *text_sample()), "'home': 'ab' is not a list of levels"),
        (lambda: HOME.with_cuts([1, 2], *text_sample()), "'home'"),
        (lambda: AGE.with_groups([["a"]], *sample()[:2]), "'age'"),
        (lambda: AGE.counted(sample()[0], sample()[1][:-1]), "'age': 500 values and 499 outcomes"),
        (lambda: AGE.counted(sample()[0], sample()[1] * 2), "'age': the target is 2 in row"),
    ],
)
def test_an_edit_that_cannot_be_is_refused(edit, message):
    with pytest.raises(BinningError, match=message):
        edit()


def test_another_sample_is_counted_in_the_same_bins():
    values, bad, _ = sample()
    counted = AGE.counted(values, bad)
    assert (counted.cuts, counted.special, counted.policies) == (AGE.cuts, AGE.special, AGE.policies)
    assert sum(counted.goods) == (bad == 0).sum() and sum(counted.bads) == bad.sum()
    assert counted.trend == shape_of(counted.table()["bad_rate"].to_numpy()[:3])
    assert HOME.in_order().groups == HOME.groups and AGE.in_order() is AGE


def test_the_certificate_is_the_share_of_the_bound_and_nothing_where_no_bound_is_known():
    bounded = dataclasses.replace(AGE, bound=1.25)
    assert bounded.certificate == pytest.approx(iv_of(AGE.goods, AGE.bads)[:3].sum() / 1.25)
    assert AGE.certificate is None
    assert bounded.with_policy("missing", 1).certificate == bounded.certificate  # it is about the regular bins


@pytest.mark.filterwarnings("error")
def test_edits_and_other_samples_leave_no_certificate_that_is_not_true():
    values, bad, _ = sample(4_000)
    fitted = fit_bins("age", values, bad, special=(-1,))
    edits = [fitted.split(24, values, bad), fitted.with_cuts([19, 1e6], values, bad), fitted.merge(0, 1)]
    edits += [fitted.counted(*sample(60, seed)[:2]) for seed in range(2, 9)]
    for bins in edits:
        assert bins.certificate is None or 0 <= bins.certificate <= 1 + 1e-9


# --- Tables -----------------------------------------------------------------------------------------------------------


def test_the_table_of_a_sample_shows_the_models_woe_and_its_own():
    values, bad, _ = sample()
    table = AGE.table(values, bad)
    counted = AGE.counted(values, bad)
    assert table["bin"].tolist() == AGE.labels()
    assert table["goods"].tolist() == list(counted.goods) and table["bads"].tolist() == list(counted.bads)
    assert table["woe"].tolist() == AGE.woe.tolist()
    assert table["woe_observed"].tolist() == woe_of(counted.goods, counted.bads).tolist()
    assert table["iv"].sum() == pytest.approx(iv_of(counted.goods, counted.bads).sum())
    weight = np.random.default_rng(1).integers(0, 3, 500)
    repeated = AGE.table(np.repeat(values, weight), np.repeat(bad, weight))
    pd.testing.assert_frame_equal(AGE.table(values, bad, weight=weight), repeated)


def test_the_table_of_a_sample_shows_slots_that_only_training_filled_empty():
    table = AGE.table(np.array([20.0, 21, 45]), np.array([0, 1, 0]))
    assert table["bin"].tolist() == AGE.labels() and table["count"].tolist() == [2, 0, 1, 0, 0]
    nobody = AGE.table(np.array([]), np.array([]))
    assert nobody["count"].tolist() == [0] * 5 and nobody["woe"].tolist() == AGE.woe.tolist()
    all_good = AGE.table(np.array([20.0, 21]), np.array([0, 0]))
    assert all_good["goods"].sum() == 2 and all_good["iv"].isna().all() and all_good["woe_observed"].isna().all()
    levels = np.array(["Boat", "Owned"], dtype=object)
    assert HOME.table(levels, np.array([0, 1]))["bin"].tolist() == [*HOME.labels()]


def test_the_table_by_month_is_the_tables_of_the_months_in_order():
    values, bad, months = sample()
    by = AGE.table(values, bad, by=months)
    assert by["by"].drop_duplicates().tolist() == ["2026-01", "2026-02", "2026-03"]
    assert by["count"].sum() == 500 and by.index.tolist() == list(range(len(by)))
    for month, part in by.groupby("by"):
        rows = months == month
        alone = AGE.table(values[rows], bad[rows])
        pd.testing.assert_frame_equal(part.drop(columns="by").reset_index(drop=True), alone)
    indexed = pd.Series(pd.to_datetime(months), index=range(900, 400, -1))
    assert AGE.table(values, bad, by=indexed)["count"].tolist() == by["count"].tolist()
    weight = np.random.default_rng(1).random(500)
    assert AGE.table(values, bad, by=months, weight=weight)["count"].sum() == pytest.approx(weight.sum())


def test_rows_without_a_month_are_not_lost_from_the_table():
    values, bad, months = sample()
    gaps = months.astype(object)
    gaps[::7] = None
    assert AGE.table(values, bad, by=gaps)["count"].sum() == 500


def test_months_of_another_number_of_rows_are_refused():
    values, bad, months = sample()
    with pytest.raises(BinningError, match="'age': 500 .*499"):
        AGE.table(values, bad, by=months[:-1])


# --- Old files --------------------------------------------------------------------------------------------------------


def test_every_field_comes_back_from_json():
    values, bad, _ = sample()
    levels, outcome = text_sample()
    fitted = fit_bins("age", values, bad, special=(-1,))
    home = fit_bins("home", levels, outcome, limits=Limits(rare_rows=120))
    assert home.other is not None and fitted.bound is not None
    for bins in (fitted, fitted.with_policy("missing", 1).with_policy(-1, WORST), home, home.merge(0, 1), AGE, HOME):
        again = Bins.from_dict(json.loads(json.dumps(bins.to_dict(), allow_nan=False)))
        assert again == bins and hash(again) == hash(bins)
        for one in dataclasses.fields(Bins):
            assert type(getattr(again, one.name)) is type(getattr(bins, one.name)), one.name
        assert again.certificate == bins.certificate and again.woe.tobytes() == bins.woe.tobytes()


@pytest.mark.parametrize("bins", [AGE, HOME])
def test_bins_written_before_there_were_policies_still_load(bins):
    data = {k: v for k, v in bins.to_dict().items() if k not in ("policies", "other", "bound")}
    again = Bins.from_dict(json.loads(json.dumps(data)))
    assert again == bins and again.certificate is None and again.other is None
    assert again.missing == OWN and again.unseen == NEUTRAL
    assert Bins.from_dict(data | {"policies": []}) == bins


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"policies": ["own"]}, "1 policies for 5 slots"),
        ({"policies": ["own", "mean"]}, "policy 'mean' is neither one of own, neutral, worst nor a regular bin from 0"),
        ({"policies": ["own", 3]}, "policy 3 is neither"),
        ({"policies": ["own", -1]}, "policy -1 is neither"),
        ({"policies": ["own", True]}, "policy True is neither"),
        ({"cuts": [40.5, 25.0]}, "do not rise"),
        ({"cuts": [25.0, 25.0]}, "do not rise"),
    ],
)
def test_bins_that_cannot_be_do_not_load(wrong, message):
    with pytest.raises(ValueError, match=f"'age': .*{message}"):
        Bins.from_dict(AGE.to_dict() | wrong)
