"""The drift rule: Z = (new mean - training mean) / training standard deviation, flagged at 3."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from creditrisk.monitoring.drift import Z_LIMIT, Baseline, ColumnDrift, compare
from unit.models import small_models, small_training


def one(training, new) -> ColumnDrift:
    """The verdict on one column."""
    (item,) = compare(Baseline.fit(pd.DataFrame({"x": training})), pd.DataFrame({"x": new})).items
    return item


def test_z_is_the_formula():
    rng = np.random.default_rng(0)
    for _ in range(20):
        old, new = rng.normal(rng.uniform(-5, 5), rng.uniform(0.1, 9), 500), rng.normal(size=60)
        item = one(old, new)
        assert item.z == pytest.approx((new.mean() - old.mean()) / old.std(), rel=1e-12)
        assert (item.train_mean, item.train_std, item.new_mean, item.n) == (old.mean(), old.std(), new.mean(), 60)
        assert item.z_flag == (abs(item.z) >= 3) and item.status == ("flagged" if item.z_flag else "ok")


@pytest.mark.parametrize(("mean", "flag"), [
    (3.0, True), (-3.0, True), (np.nextafter(3.0, 0), False), (-np.nextafter(3.0, 0), False), (3.5, True), (0.0, False),
])  # fmt: skip
def test_the_limit_itself_is_flagged(mean, flag):
    item = one([-1.0, 1.0], [mean])
    assert (item.train_mean, item.train_std) == (0, 1) and item.z == mean
    assert (item.z_flag, item.status) == (flag, "flagged" if flag else "ok")
    assert Z_LIMIT == 3


def test_the_training_rows_themselves_do_not_drift():
    training = small_training()
    frame = training.book.frame[list(small_models()["v2"].features)]
    baseline = Baseline.fit(frame)
    report = compare(baseline, frame)
    assert report.status == "ok" and report.flagged == () and report.rows == report.baseline_rows == len(frame)
    assert all(item.z == 0 for item in report.items if item.kind == "number")
    shuffled = compare(baseline, frame.sample(frac=1, random_state=1))
    assert all(abs(item.z) < 1e-9 for item in shuffled.items if item.kind == "number")


@pytest.mark.parametrize("value", [0.1, 7.0, 1e15, 1 / 3, 0.0])
def test_a_constant_column_drifts_as_soon_as_it_moves(value):
    item = one([value] * 1_000, [value] * 7)
    assert (item.status, item.z, item.train_std, item.train_mean) == ("ok", 0.0, 0.0, value)
    moved = one([value] * 1_000, [value] * 6 + [np.nextafter(value, 9e15)])
    assert (moved.status, moved.z_flag, moved.z) == ("flagged", True, None) and "constant" in moved.reason


@pytest.mark.parametrize(("new", "missing"), [
    ([None, None], 1.0), ([np.nan], 1.0), ([], 0.0), (["many", "few"], 1.0), ([np.inf, -np.inf], 1.0),
])  # fmt: skip
def test_a_column_without_numbers_is_insufficient_data_not_ok(new, missing):
    item = one([1.0, 2.0, 3.0], new)
    assert (item.status, item.n, item.z, item.z_flag, item.new_missing) == (
        "insufficient data",
        0,
        None,
        False,
        missing,
    )


def test_an_absent_column_and_an_empty_frame_are_insufficient_data():
    baseline = Baseline.fit(pd.DataFrame({"x": [1.0, 2.0], "level": ["a", "b"]}))
    for frame in (pd.DataFrame(), pd.DataFrame({"other": [1]}), pd.DataFrame([{}])):
        report = compare(baseline, frame)
        assert report.status == "insufficient data" and {item.reason for item in report.items} == {
            "the column is absent"
        }
        assert len(report.columns) == 2
    assert compare(Baseline.fit(pd.DataFrame()), pd.DataFrame()).columns.empty


def test_a_column_never_filled_in_training_cannot_be_compared():
    item = one([np.nan, np.nan], [1.0, 2.0])
    assert (item.status, item.train_mean, item.train_missing) == ("insufficient data", None, 1.0)


def test_a_single_row_is_compared():
    assert one([0.0, 2.0], [1.0]).z == 0 and one([0.0, 2.0], [4.0]).z == 3


def test_missing_values_and_infinities_are_left_out_and_counted():
    item = one([1.0, 3.0, np.nan, np.inf], [2.0, np.nan, -np.inf, 4.0])
    assert (item.train_mean, item.train_std, item.train_missing) == (2.0, 1.0, 0.5)
    assert (item.new_mean, item.n, item.new_missing, item.z) == (3.0, 2, 0.5, 1.0)


def test_whole_numbers_booleans_and_text_numbers_are_numbers():
    assert one(pd.array([1, 2, None], dtype="Int64"), [1, 2]).z == 0
    assert one([True, False], [True]).z == 1
    assert one([1.0, 3.0], ["3", "3"]).z == 1
    assert one(np.array([1, 3], dtype=np.int64), np.array([3], dtype=np.float32)).z == 1


def test_categories_are_reported_without_z():
    training = pd.DataFrame({"level": ["a", "b", None, "a"]})
    (column,) = Baseline.fit(training).columns
    assert (column.levels, column.counts, column.missing, column.n) == (("a", "b"), (2, 1), 1, 4)
    for new in (["b", "never seen"], pd.Series(["a"], dtype="str")):
        (item,) = compare(Baseline.fit(training), pd.DataFrame({"level": new})).items
        assert (item.kind, item.status, item.z, item.z_flag) == ("category", "not checked", None, False)
    (item,) = compare(Baseline.fit(training), pd.DataFrame({"level": [None, None]})).items
    assert item.status == "insufficient data"


def test_a_baseline_counts_every_number_in_one_bin():
    values = np.round(np.random.default_rng(0).gamma(1, 3, 999), 1)
    (column,) = Baseline.fit(pd.DataFrame({"x": values})).columns
    assert sum(column.counts) == 999 and len(column.counts) == len(column.edges) + 1
    assert list(column.edges) == sorted(set(column.edges))
    at = np.searchsorted(column.edges, values, side="right")
    assert np.bincount(at, minlength=len(column.counts)).tolist() == list(column.counts)


def test_baselines_and_reports_survive_json_with_finite_numbers_only():
    frame = pd.DataFrame({
        "usual": [1.0, 2.0, np.nan], "infinite": [np.inf, 1.0, -np.inf], "constant": [5.0] * 3, "empty": [np.nan] * 3,
        "level": ["a", None, "b"], "no level": pd.Series([None] * 3, dtype="object"), "count": [1, 2, 3],
    })  # fmt: skip
    baseline = Baseline.fit(frame)
    again = Baseline.from_dict(json.loads(json.dumps(baseline.to_dict(), allow_nan=False)))
    assert again == baseline
    new = pd.DataFrame(
        {"usual": [np.inf, 2.0], "constant": [5.0, 6.0], "infinite": [np.inf, np.inf], "level": ["a", 1]}
    )
    report = compare(again, new)
    assert report == compare(baseline, new)
    text = json.dumps(report.to_dict(), allow_nan=False)
    assert json.loads(text)["flagged"] == ["constant"] and json.loads(text)["status"] == "drift"
    assert json.loads(text)["rule"] == "|Z| >= 3"


def test_flagged_columns_come_first_then_the_unknown_then_by_size():
    training = pd.DataFrame({name: [-1.0, 1.0] for name in ("calm", "gone", "moved", "far", "restless")})
    training["fixed"] = 2.0
    new = pd.DataFrame({"calm": [0.1], "moved": [-4.0], "far": [9.0], "restless": [-2.0], "fixed": [3.0]})
    report = compare(Baseline.fit(training), new)
    assert report.columns["column"].tolist() == ["far", "moved", "fixed", "gone", "restless", "calm"]
    assert set(report.flagged) == {"far", "moved", "fixed"} and report.status == "drift"
    assert [item.column for item in report.items] == list(training.columns)


@pytest.mark.parametrize(("new", "status"), [
    ({"x": [1.0], "y": [1.0]}, "ok"), ({"x": [1.0]}, "insufficient data"), ({"x": [99.0]}, "drift"),
])  # fmt: skip
def test_drift_outranks_insufficient_data_which_outranks_ok(new, status):
    baseline = Baseline.fit(pd.DataFrame({"x": [0.0, 2.0], "y": [0.0, 2.0]}))
    assert compare(baseline, pd.DataFrame(new)).status == status


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_the_baseline_of_a_model_is_of_its_own_features_over_the_training_rows(version):
    data, training = small_models()[version], small_training()
    baseline = Baseline.from_dict(data.baseline)
    assert tuple(column.name for column in baseline.columns) == data.features
    rows = training.part("train")
    assert baseline.rows == len(rows)
    for column in baseline.columns:
        if column.kind == "number":
            values = rows.columns[column.name]
            assert column.mean == pytest.approx(np.nanmean(values)) and column.std == pytest.approx(np.nanstd(values))


def test_an_empty_column_does_not_decide_the_verdict_but_an_absent_one_does():
    baseline = Baseline.fit(pd.DataFrame({"asked": [1.0, 2.0, 3.0], "optional": [1.0, 2.0, 3.0]}))
    left_out = compare(baseline, pd.DataFrame({"asked": [2.0], "optional": [np.nan]}))
    assert left_out.status == "ok" and [i.status for i in left_out.items] == ["ok", "insufficient data"]
    assert compare(baseline, pd.DataFrame({"asked": [2.0]})).status == "insufficient data"
    assert compare(baseline, pd.DataFrame({"asked": [np.nan], "optional": [np.nan]})).status == "insufficient data"


def test_a_window_of_categories_alone_is_not_called_ok():
    frame = pd.DataFrame({"purpose": ["Home", "Auto"]})
    assert compare(Baseline.fit(frame), frame).status == "insufficient data"
