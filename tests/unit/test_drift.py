"""Drift: the rule as it was specified, the battery beside it, and what both make of awkward data."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from creditrisk.monitoring import drift
from creditrisk.monitoring.drift import (
    LEAST_ROWS,
    ROWS_FOR_BINS,
    Z_LIMIT,
    Baseline,
    ColumnBaseline,
    ColumnDrift,
    DriftReport,
    Tally,
    compare,
    psi_of,
    report_of,
    stream_status,
)
from unit.models import small_models, small_training


def one(training, new) -> ColumnDrift:
    """The verdict on one column."""
    (item,) = compare(Baseline.fit(pd.DataFrame({"x": training})), pd.DataFrame({"x": new})).items
    return item


# --- The rule


def test_z_is_the_formula():
    rng = np.random.default_rng(0)
    for _ in range(20):
        old, new = rng.normal(rng.uniform(-5, 5), rng.uniform(0.1, 9), 500), rng.normal(size=60)
        item = one(old, new)
        assert item.z == pytest.approx((new.mean() - old.mean()) / old.std(), rel=1e-12)
        assert (item.train_mean, item.train_std, item.new_mean, item.n) == (old.mean(), old.std(), new.mean(), 60)
        assert item.z_flag == (abs(item.z) >= 3)
        assert not item.z_flag or (item.status == "red" and "extreme mean shift" in item.reason)


@pytest.mark.parametrize(("mean", "flag"), [
    (3.0, True), (-3.0, True), (np.nextafter(3.0, 0), False), (-np.nextafter(3.0, 0), False), (3.5, True), (0.0, False),
])  # fmt: skip
@pytest.mark.parametrize("n", [1, 10, 100])
def test_the_limit_itself_is_flagged(mean, flag, n):
    item = one([-1.0, 1.0] * 500, [mean] * n)
    assert (item.train_mean, item.train_std) == (0, 1) and item.z == pytest.approx(mean, rel=1e-15)
    if n == 1:  # the mean is the number itself
        assert item.z_flag == flag
        assert item.status == "insufficient data", "one row says nothing about a mean"
    elif n == 10:
        assert item.status == ("red" if item.z_flag else "insufficient data")
    assert Z_LIMIT == 3


def test_the_training_rows_themselves_do_not_drift():
    training = small_training()
    frame = training.book.frame[list(small_models()["v2"].features)]
    baseline = Baseline.fit(frame)
    report = compare(baseline, frame)
    assert report.status == "green" and report.flagged == () and report.rows == report.baseline_rows == len(frame)
    assert all(item.z == 0 for item in report.items if item.kind == "number")
    assert all(item.psi == item.distance == 0 and item.p == 1 for item in report.items)
    shuffled = compare(baseline, frame.sample(frac=1, random_state=1))
    assert all(abs(item.z) < 1e-9 for item in shuffled.items if item.kind == "number")


@pytest.mark.parametrize("value", [0.1, 7.0, 1e15, 1 / 3, 0.0])
def test_a_constant_column_drifts_as_soon_as_it_moves(value):
    item = one([value] * 1_000, [value] * 70)
    assert (item.status, item.z, item.train_std, item.train_mean) == ("green", 0.0, 0.0, value)
    moved = one([value] * 1_000, [value] * 69 + [np.nextafter(value, 9e15)])
    assert (moved.status, moved.z_flag, moved.z) == ("red", True, None) and "constant" in moved.reason


# --- The battery


def test_psi_is_the_formula_with_half_a_row_in_every_bin():
    terms, psi, adjusted, p = psi_of(np.array([50, 30, 20, 0, 0]), np.array([20, 30, 40, 10, 0]))
    e, a = (np.array([50, 30, 20, 0]) + 0.5) / 102, (np.array([20, 30, 40, 10]) + 0.5) / 102
    assert terms[:4] == pytest.approx((a - e) * np.log(a / e), rel=1e-12) and terms[4] == 0
    assert psi == pytest.approx(terms.sum()) and adjusted == pytest.approx(psi - 3 * 0.02)
    assert p == pytest.approx(stats.chi2.sf(psi / 0.02, 3), rel=1e-9)


@pytest.mark.parametrize(
    ("n", "expected", "critical"), [(100, 0.091, 0.171), (250, 0.037, 0.069), (1000, 0.010, 0.019)]
)
def test_what_no_drift_gives_is_that_of_the_published_law(n, expected, critical):
    """Ten bins, N = 10,000: expected value and 5% critical value, (1/n + 1/N) times those of chi2(9)."""
    spread = 1 / n + 1 / 10_000
    rng = np.random.default_rng(n)
    same = np.full(10, 0.1)
    found = np.array([psi_of(rng.multinomial(10_000, same), rng.multinomial(n, same))[1:] for _ in range(4_000)])
    assert 9 * spread == pytest.approx(expected, abs=6e-4)
    assert found[:, 0].mean() == pytest.approx(9 * spread, rel=0.06)
    assert np.quantile(found[:, 0], 0.95) == pytest.approx(critical, rel=0.08)
    assert (found[:, 2] < 0.05).mean() == pytest.approx(0.05, abs=0.013)


def test_shape_tests_are_those_of_scipy():
    rng = np.random.default_rng(3)
    before = np.round(rng.gamma(2, 10, 4_000))
    for n in (60, 300, 5_000):
        now = np.round(rng.gamma(2.3, 10, n))
        item, exact = one(before, now), stats.ks_2samp(before, now, method="asymp")
        assert item.shape == "KS" and item.distance <= exact.statistic + 1e-12
        assert item.distance == pytest.approx(exact.statistic, abs=0.01), "the grid loses little"
        assert np.log(item.shape_p) == pytest.approx(np.log(exact.pvalue), rel=0.25, abs=0.4)
    levels = np.array(["a", "b", "c"])
    old, new = levels[rng.choice(3, 2_000, p=(0.5, 0.3, 0.2))], levels[rng.choice(3, 200, p=(0.4, 0.3, 0.3))]
    item = one(old, new)
    table = [[(side == level).sum() for level in levels] for side in (old, new)]
    assert item.shape == "chi-square"
    assert item.shape_p == pytest.approx(stats.chi2_contingency(table, correction=False).pvalue, rel=1e-9)


def test_q_is_the_control_of_false_discoveries_within_a_family():
    rng = np.random.default_rng(5)
    frame = pd.DataFrame({f"x{i}": rng.normal(i * 0.02, 1, 400) for i in range(9)})
    base = pd.DataFrame({name: rng.normal(0, 1, 3_000) for name in frame})
    results = pd.DataFrame({"pd": rng.beta(1, 9, 400), "score": rng.normal(600, 50, 400)})
    report = compare(Baseline.fit(base, results.sample(400, replace=True)), frame, results)
    for role, n in (("input", 9), ("score", 2)):
        items = [item for item in report.items if item.role == role]
        assert len(items) == n
        assert [item.q for item in items] == pytest.approx(stats.false_discovery_control([i.p for i in items]).tolist())
        assert all(i.p == pytest.approx(min(1, 2 * min(i.psi_p, i.shape_p))) for i in items)


def shifted(kind: str, rng: np.random.Generator, n: int = 400) -> tuple[pd.DataFrame, pd.DataFrame]:
    base = pd.DataFrame({"income": rng.lognormal(10, 0.8, 5_000), "purpose": rng.choice(["a", "b", "c"], 5_000)})
    new = pd.DataFrame({"income": rng.lognormal(10, 0.8, n), "purpose": rng.choice(["a", "b", "c"], n)})
    match kind:
        case "times":
            new["income"] *= 2
        case "spread":
            new["income"] = (new["income"] - base["income"].mean()) * 1.5 + base["income"].mean()
        case "new level":
            new.loc[rng.random(n) < 0.1, "purpose"] = "never seen"
        case "missing":
            new.loc[rng.random(n) < 0.1, "income"] = np.nan
        case "missing level":
            new.loc[rng.random(n) < 0.1, "purpose"] = None
    return base, new


@pytest.mark.parametrize(("kind", "column", "culprit"), [
    ("times", "income", "or more"), ("spread", "income", "below"), ("new level", "purpose", "never seen"),
    ("missing", "income", "missing"), ("missing level", "purpose", "missing"),
])  # fmt: skip
def test_a_shift_the_rule_does_not_see_is_flagged_and_the_reason_names_the_culprit(kind, column, culprit):
    base, new = shifted(kind, np.random.default_rng(1))
    report = compare(Baseline.fit(base), new)
    (flagged,) = [item for item in report.items if item.flagged]
    assert flagged.column == column and report.status == flagged.status and not flagged.z_flag
    assert culprit in flagged.reason.split("(")[1] and column in report.verdict
    assert report.flagged == (column,)


def test_a_shift_that_is_real_but_small_is_told_and_is_green():
    rng = np.random.default_rng(2)
    item = one(rng.normal(size=50_000), rng.normal(0.1, 1, 50_000))
    assert item.q < 1e-6 and item.status == "green" and "real but small" in item.reason


def test_score_and_pd_are_compared_apart_from_the_inputs():
    rng = np.random.default_rng(3)
    frame = pd.DataFrame({"x": rng.normal(size=3_000)})
    baseline = Baseline.fit(frame, pd.DataFrame({"default_probability": rng.beta(1, 9, 3_000)}))
    same = frame.head(300)
    report = compare(baseline, same, pd.DataFrame({"default_probability": rng.beta(2, 9, 300)}))
    assert [(item.column, item.role, item.status) for item in report.items] == [
        ("x", "input", "green"), ("default_probability", "score", "red")
    ]  # fmt: skip
    assert [item.column for item in compare(baseline, same).items] == ["x"], "without results there is nothing to say"


@pytest.mark.parametrize(("newest_first", "status"), [
    ("", None), ("g", "green"), ("a", "amber"), ("r", "amber"), ("ar", "red"), ("ra", "red"), ("agr", "amber"),
    ("gaa", "green"), ("i", "insufficient data"), ("iaa", "insufficient data"), ("a-a", "amber"),
])  # fmt: skip
def test_two_flagged_windows_in_a_row_are_red_and_one_is_amber(newest_first, status):
    words = {"g": "green", "a": "amber", "r": "red", "i": "insufficient data"}
    windows = [(9 - place, words[one]) for place, one in enumerate(newest_first) if one != "-"]
    assert stream_status(windows) == status


# --- Awkward data


@pytest.mark.parametrize(("new", "missing"), [
    ([None, None], 1.0), ([np.nan], 1.0), ([], 0.0), (["many", "few"], 1.0), ([np.inf, -np.inf], 1.0),
])  # fmt: skip
def test_a_column_without_numbers_is_insufficient_data_not_green(new, missing):
    item = one([1.0, 2.0, 3.0], new)
    assert (item.status, item.n, item.z, item.z_flag) == ("insufficient data", 0, None, False)
    assert item.new_missing == missing


def test_one_outlier_in_the_baseline_hardly_moves_psi():
    rng = np.random.default_rng(0)
    income, new = rng.lognormal(10, 0.8, 10_000), rng.lognormal(10, 0.8, 1_000) * 2
    with_outlier = income.copy()
    with_outlier[0] = 20 * income.max()
    clean, spoilt = one(income, new), one(with_outlier, new)
    assert clean.psi > 0.5 and spoilt.psi == pytest.approx(clean.psi, rel=0.05)


@pytest.mark.parametrize("training", ["numbers", "levels", "constant", "empty", "mostly zero"])
@pytest.mark.parametrize("window", ["emptied", "new level", "all missing", "constant", "one row", "absent", "no row"])
def test_whatever_a_window_holds_every_figure_is_finite_or_said_to_be_lacking(training, window):
    rng = np.random.default_rng(4)
    values = {
        "numbers": rng.normal(50, 10, 2_000), "levels": rng.choice(["a", "b", "c"], 2_000),
        "constant": np.full(2_000, 5.0), "empty": np.full(2_000, np.nan),
        "mostly zero": np.where(rng.random(2_000) < 0.8, 0.0, rng.gamma(2, 3, 2_000)),
    }[training]  # fmt: skip
    is_text = training == "levels"
    new = {
        "emptied": np.repeat(values[:1], 300), "new level": ["z"] * 300 if is_text else [1e9] * 300,
        "all missing": [None] * 300 if is_text else [np.nan] * 300, "constant": np.repeat(values[5:6], 300),
        "one row": values[:1], "absent": None, "no row": values[:0],
    }[window]  # fmt: skip
    frame = pd.DataFrame({"other": range(300)}) if new is None else pd.DataFrame({"x": new})
    report = compare(Baseline.fit(pd.DataFrame({"x": values})), frame)
    (item,) = report.items
    told = [item.z, item.psi, item.psi_adjusted, item.p, item.q, item.distance, item.new_mean, item.new_missing]
    assert all(number is None or np.isfinite(number) for number in told)
    assert item.status == "insufficient data" or None not in (item.psi, item.psi_adjusted, item.p, item.q)
    if window in ("one row", "no row") or training == "empty":
        assert item.status == "insufficient data"
    if window in ("absent", "all missing"):
        assert item.status == "insufficient data" and item.psi is None, "never a silent 0"
        assert report.status == ("red" if training != "empty" or window == "absent" else "insufficient data")
    if window == "new level" and training != "empty":
        assert item.status == "red"
    json.dumps(report.to_dict(), allow_nan=False)
    assert "nan" not in report.to_html().lower()


def test_an_absent_column_is_insufficient_data_and_makes_the_verdict_red():
    baseline = Baseline.fit(pd.DataFrame({"x": np.arange(200.0), "level": ["a", "b"] * 100}))
    report = compare(baseline, pd.DataFrame({"x": np.arange(200.0)}))
    assert [item.status for item in report.items] == ["green", "insufficient data"]
    assert report.status == "red" and report.flagged == ("level",) and "absent" in report.verdict
    assert compare(baseline, pd.DataFrame()).status == "insufficient data"
    assert compare(Baseline.fit(pd.DataFrame()), pd.DataFrame()).columns.empty


def test_an_input_that_may_be_left_out_is_no_drift_when_nobody_sends_it():
    frame = pd.DataFrame({"asked": np.arange(500.0), "optional": np.arange(500.0)})
    left_out = frame.assign(optional=np.nan)
    for optional, status in ((["optional"], "green"), ([], "red")):
        report = compare(Baseline.fit(frame, optional=optional), left_out)
        assert report.status == status and report.items[1].status == "insufficient data"
    half = frame.assign(optional=frame["optional"].where(frame.index % 2 == 0))
    assert compare(Baseline.fit(frame, optional=["optional"]), half).status == "green"
    moved = half.assign(optional=half["optional"] * 3)
    assert compare(Baseline.fit(frame, optional=["optional"]), moved).flagged == ("optional",), (
        "what is sent is compared"
    )


def test_a_small_window_gets_its_rule_and_no_verdict_on_its_distribution():
    rng = np.random.default_rng(6)
    item = one(rng.normal(size=2_000), rng.normal(size=LEAST_ROWS - 1))
    assert item.status == "insufficient data" and item.z is not None and item.psi is None
    assert one(rng.normal(size=2_000), rng.normal(size=LEAST_ROWS)).psi is not None


def test_missing_values_and_infinities_are_left_out_and_counted():
    item = one([1.0, 3.0, np.nan, np.inf], [2.0, np.nan, -np.inf, 4.0])
    assert (item.train_mean, item.train_std, item.train_missing) == (2.0, 1.0, 0.5)
    assert (item.new_mean, item.n, item.new_missing, item.z) == (3.0, 2, 0.5, 1.0)


def test_whole_numbers_booleans_and_text_numbers_are_numbers():
    assert one(pd.array([1, 2, None], dtype="Int64"), [1, 2]).z == 0
    assert one([True, False], [True]).z == 1
    assert one([1.0, 3.0], ["3", "3"]).z == 1
    assert one(np.array([1, 3], dtype=np.int64), np.array([3], dtype=np.float32)).z == 1


# --- Baselines


def test_a_value_that_many_rows_share_is_a_bin_of_its_own():
    rng = np.random.default_rng(0)
    values = np.where(rng.random(5_000) < 0.6, 0.0, rng.gamma(2, 3, 5_000))
    item = one(values, values[:400])
    names = [each.name for each in item.bins]
    assert "exactly 0" in names and names[-1] == "missing"
    zero = item.bins[names.index("exactly 0")]
    assert (zero.before, zero.now) == ((values == 0).sum(), (values[:400] == 0).sum())


@pytest.mark.parametrize(("n", "bins"), [(ROWS_FOR_BINS - 1, 5), (ROWS_FOR_BINS, 10)])
def test_small_windows_are_compared_on_fewer_bins(n, bins):
    rng = np.random.default_rng(0)
    item = one(rng.normal(size=10_000), rng.normal(size=n))
    assert len(item.bins) == bins + 1
    assert [each.before for each in item.bins] == pytest.approx([10_000 / bins] * bins + [0], abs=2)


def test_rare_levels_are_one_bin_and_those_never_seen_another():
    training = ["a"] * 900 + ["b"] * 95 + [f"rare {i}" for i in range(5)]
    item = one(training, ["a"] * 200 + ["rare 3"] * 4 + ["new"] * 2)
    assert {each.name: (each.before, each.now) for each in item.bins} == {
        "a": (900, 200), "b": (95, 0), "other levels": (5, 4), "levels never seen before": (0, 2), "missing": (0, 0)
    }  # fmt: skip
    assert item.unseen == pytest.approx(2 / 206)
    (column,) = Baseline.fit(pd.DataFrame({"x": [f"L{i % 40}" for i in range(4_000)]})).columns
    assert len(column.levels) == drift.MOST_LEVELS and len(column.others) == 20


def test_a_baseline_counts_every_number_in_one_bin():
    values = np.round(np.random.default_rng(0).gamma(1, 3, 999), 1)
    (column,) = Baseline.fit(pd.DataFrame({"x": values})).columns
    assert sum(column.counts) == 999 and len(column.counts) == len(column.edges) + 1
    assert list(column.edges) == sorted(set(column.edges))
    at = np.searchsorted(column.edges, values, side="right")
    assert np.bincount(at, minlength=len(column.counts)).tolist() == list(column.counts)


def test_parts_of_a_window_add_up_to_the_window():
    base, new = shifted("times", np.random.default_rng(1), 1_000)
    new.loc[::7, "purpose"] = "never seen"
    new.loc[::5, "income"] = np.nan
    baseline = Baseline.fit(base)
    tallies = {}
    for part in (new[:13], new[13:400], new[400:]):
        for column in baseline.columns:
            tally, key = Tally.of(column, part[column.name]), ("input", column.name)
            tallies[key] = tallies[key] + tally if key in tallies else tally
    summed, whole = report_of(baseline, tallies, len(new)).to_dict(), compare(baseline, new).to_dict()
    for found, expected in zip(summed.pop("columns"), whole.pop("columns"), strict=True):
        for name in ("new_mean", "z"):
            of_parts, of_all = found.pop(name), expected.pop(name)
            assert of_parts == of_all or of_parts == pytest.approx(of_all, rel=1e-12)
        assert found == expected
    assert summed == whole


def test_baselines_and_reports_survive_json_with_finite_numbers_only():
    frame = pd.DataFrame({
        "usual": [1.0, 2.0, np.nan], "infinite": [np.inf, 1.0, -np.inf], "constant": [5.0] * 3, "empty": [np.nan] * 3,
        "level": ["a", None, "b"], "no level": pd.Series([None] * 3, dtype="object"), "count": [1, 2, 3],
    })  # fmt: skip
    baseline = Baseline.fit(frame, frame[["count"]], ["usual"], "somebody")
    again = Baseline.from_dict(json.loads(json.dumps(baseline.to_dict(), allow_nan=False)))
    assert again == baseline and again.reference == "somebody"
    new = pd.DataFrame({"usual": [np.inf, 2.0] * 50, "constant": [5.0, 6.0] * 50, "level": ["a", 1] * 50})
    report = compare(again, new, new[["usual"]].rename(columns={"usual": "count"}))
    text = json.dumps(report.to_dict(), allow_nan=False)
    assert DriftReport.from_dict(json.loads(text)) == report
    assert json.loads(text)["status"] == "red" and json.loads(text)["rule"] == "|Z| >= 3"


def test_baselines_and_reports_from_when_there_was_only_the_rule_are_understood():
    column = {"name": "x", "kind": "number", "n": 80, "missing": 0, "mean": 2.5, "std": 1.1, "edges": [2.0, 3.0],
              "levels": [], "counts": [20, 20, 40]}  # fmt: skip
    baseline = Baseline.from_dict({"rows": 80, "columns": [column]})
    (item,) = compare(baseline, pd.DataFrame({"x": [1.0, 2.0, 3.0, 4.0] * 50})).items
    assert item.status == "green" and len(item.bins) == 4
    stored = {"column": "x", "kind": "number", "status": "flagged", "reason": "it moved", "n": 100, "z": 4.0}
    report = DriftReport.from_dict({"columns": [stored], "rows": 100, "baseline_rows": 4})
    assert report.status == "red" and report.flagged == ("x",) and "it moved" in report.verdict


def test_the_frame_of_a_report_has_the_worst_first_under_agreed_names():
    rng = np.random.default_rng(1)
    base = pd.DataFrame({name: rng.normal(size=3_000) for name in ("calm", "gone", "moved", "far")})
    new = pd.DataFrame({name: rng.normal(size=300) for name in ("calm", "moved", "far")})
    new["moved"] += 0.3
    new["far"] += 9
    report = compare(Baseline.fit(base), new)
    assert report.columns["column"].tolist() == ["far", "moved", "gone", "calm"]
    assert {"column", "z", "z_flag", "psi", "psi_adjusted", "p", "q", "status"} <= set(report.columns)
    assert report.columns["status"].tolist() == ["red", "amber", "insufficient data", "green"]
    assert [item.column for item in report.items] == list(base.columns)


def test_the_page_of_a_report_stays_small_needs_nothing_and_says_what_the_report_says():
    base, new = shifted("times", np.random.default_rng(1), 3_000)
    new["purpose"] = "<script>"
    html = compare(Baseline.fit(base), new).to_html("Drift of <a window>")
    assert len(html) < 30_000 and "http" not in html and "<script" not in html
    assert "&lt;script&gt;" not in html, "a level never seen is counted, not told"
    assert "Drift of &lt;a window&gt;" in html and "▲ red" in html and "levels never seen before" in html


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
        assert column.optional == (data.portfolio.columns[column.name].role == "optional")
    by_name = {column.name: column for column in baseline.scores}
    assert set(by_name) == {"default_probability", "credit_score"}
    bad_rate = float(rows.bad.mean())
    assert by_name["default_probability"].mean == pytest.approx(bad_rate, rel=0.05), "calibrated, on rows unseen"


def test_columns_of_a_frame_without_a_portfolio_can_be_held_against_each_other():
    baseline = ColumnBaseline.fit("x", pd.Series([1, 2, 3]))
    assert baseline.kind == "number" and not baseline.optional
