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

from creditrisk.binning.bins import Bins, iv_of, woe_of

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
    assert AGE.assign(np.array([-inf, -1e300, inf, nan, -1.0, nextafter(-1, -2), -0.5])).tolist() == [
        0,
        0,
        2,
        4,
        3,
        0,
        0,
    ]
    counts = (1,) * 6
    inside = dataclasses.replace(AGE, special=(30.0, -999.0), goods=counts, bads=counts)
    assert inside.assign(np.array([29.9, 30.0, 30.1, -999.0, nan])).tolist() == [1, 3, 1, 4, 5]
    assert AGE.missing_slot == 4 and AGE.n_regular == 3 and AGE.n_slots == 5


def test_levels_missing_and_unseen_have_their_slots():
    values = np.array(["Family", "Rented", "Owned", None, nan, pd.NA, "owned", "", "Boat"], dtype=object)
    assert HOME.assign(values).tolist() == [0, 1, 0, 2, 2, 2, 3, 3, 3]
    assert HOME.assign(np.array([], dtype=object)).tolist() == []
    assert HOME.transform(np.array(["Boat"], dtype=object))[0] == 0.0  # neutral


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
