"""Training end to end on a small book: fair splits, one seed one result, directions of risk that hold when served."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from creditrisk.binning.bins import counts_in
from creditrisk.binning.evidence import reversals
from creditrisk.binning.overrides import Override, Overrides
from creditrisk.data.features import sources
from creditrisk.data.portfolio import parse_portfolio
from creditrisk.data.sample import make_book
from creditrisk.data.tables import Book, prepare_book, to_columns
from creditrisk.errors import DataError, OverridesError, PortfolioError
from creditrisk.modelling import train
from creditrisk.modelling.attempts import ATTEMPTS, Attempt, Candidates, Clock, Fitted, Rows, fit_attempt
from creditrisk.modelling.calibration import fit_calibration, line_between
from creditrisk.modelling.gates import Gate, release_gate
from creditrisk.modelling.inference import auc_difference, auc_interval
from creditrisk.modelling.pd_model import LeftOut
from creditrisk.release import make_model_data, oracle_on_test, training_result
from creditrisk.runs import RunFolder
from creditrisk.serving.model import load_model, save_models
from creditrisk.serving.scorer import Scorer
from unit.models import (
    RETAIL,
    folds,
    published,
    small_book,
    small_fitted,
    small_models,
    small_training,
    some_applications,
    unseen,
)


def part_of(book: Book, index) -> Book:
    frame = book.frame.iloc[index].reset_index(drop=True)
    dates = None if book.dates is None else book.dates.iloc[index].reset_index(drop=True)
    return replace(book, frame=frame, bad=book.bad[index], dates=dates)


def with_outcomes(book: Book, bads: int) -> Book:
    bad = np.zeros(len(book.bad), dtype=np.int8)
    bad[np.random.default_rng(0).permutation(len(bad))[:bads]] = 1
    return replace(book, bad=bad)


# Splits


@pytest.mark.parametrize("how", ["random", "out_of_time", "auto"])
def test_every_row_is_in_one_part_and_the_shares_are_kept(how):
    book = small_book()
    split = train.split_book(book, how, 1)
    parts = (split.train, split.test)
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(len(book.bad)))
    assert len(split.test) / len(book.bad) == pytest.approx(train.TEST_SHARE, abs=0.01)
    if how == "random":
        assert book.bad[split.test].mean() == pytest.approx(book.bad.mean(), abs=0.003)
    table = split.table(book).set_index("part")
    assert table["rows"].to_dict() == {"train": len(parts[0]), "test": len(parts[1])}
    assert table["bads"].sum() == book.bad.sum()


def test_out_of_time_tests_on_later_dates_only_even_where_dates_are_shared():
    book = small_book()
    months = replace(book, dates=book.dates.dt.to_period("Q").dt.to_timestamp())
    for dated in (book, months):
        split = train.split_book(dated, "out_of_time", 1)
        assert dated.dates.iloc[split.train].max() < dated.dates.iloc[split.test].min()
        assert f"{dated.dates.iloc[split.test].min():%Y-%m-%d}" in split.description


def test_auto_is_out_of_time_where_there_are_dates():
    book = small_book()
    assert train.split_book(book, "auto", 1).how == "out_of_time"
    undated = replace(book, dates=None)
    assert train.split_book(undated, "auto", 1).how == "random"
    with pytest.raises(DataError, match="observation_date"):
        train.split_book(undated, "out_of_time", 1)


def test_the_seed_decides_the_split():
    one, same, other = (train.split_book(small_book(), "random", seed) for seed in (3, 3, 4))
    assert np.array_equal(one.test, same.test) and np.array_equal(one.train, same.train)
    assert not np.array_equal(one.test, other.test)


@pytest.mark.parametrize("how", ["random", "out_of_time"])
@pytest.mark.parametrize("bads", [0, 1, 2, 20, train.MIN_BADS, -1, -20])
def test_too_few_of_either_class_is_a_clear_error(how, bads):
    book = small_book()
    few = with_outcomes(book, bads if bads >= 0 else len(book.bad) + bads)
    with pytest.raises(DataError, match=rf"bads and .* goods; at least {train.MIN_BADS} of each"):
        train.split_book(few, how, 1)


def test_a_book_of_one_date_cannot_be_split_by_date():
    book = replace(small_book(), dates=pd.Series(pd.Timestamp("2023-05-01")).repeat(len(small_book().bad)))
    with pytest.raises(DataError, match="the book before 2023-05-01, the test, has 0 bads.*split at random"):
        train.split_book(book, "auto", 1)


def test_a_tiny_book_is_a_clear_error():
    with pytest.raises(DataError, match="at least"):
        train.split_book(part_of(small_book(), np.arange(4)), "random", 1)


def test_parts_of_a_training_are_the_rows_of_the_split():
    training = small_training()
    assert len(training.part("train")) + len(training.part("test")) == len(training.rows)
    assert np.array_equal(training.part("test").bad, training.book.bad[training.split.test])
    income = training.book.frame["income"].to_numpy()[training.split.train]
    assert np.array_equal(training.part("train").columns["income"], income)


# Selecting


def test_bins_and_selection_look_at_training_rows_only():
    training = small_training()
    elsewhere = training.book.bad.copy()
    elsewhere[training.split.test] = 1 - elsewhere[training.split.test]
    again = train.begin(replace(training.book, bad=elsewhere), training.split, 42)
    assert again.bins == training.bins
    pd.testing.assert_frame_equal(again.funnel, training.funnel)


# Overrides


DECIDED = Overrides(
    (
        Override(
            "income", cuts=(5e5, 1e6), use="in", reason="asked by the board", by="ana", at="2024-05-01T10:00:00+00:00"
        ),
        Override("residence_type", groups=(("Rented",), ("Owned", "Mortgage")), missing=1, by="ana"),
        Override("loan_purpose", use="out", reason="steered by the product", by="bo"),
    ),
    "retail",
)


@pytest.fixture(scope="module")
def decided() -> train.Training:
    return train.begin(small_book(), small_training().split, 42, DECIDED)


def test_decisions_reach_bins_selection_and_candidates(decided):
    bins = {b.name: b for b in decided.bins.bins}
    free = {b.name: b for b in small_training().bins.bins}
    assert bins["income"].cuts == (5e5, 1e6) and sum(bins["income"].bads) == decided.part("train").bad.sum()
    assert sorted(map(sorted, bins["residence_type"].groups)) == [["Mortgage", "Owned"], ["Rented"]]
    assert all(bins[name] == free[name] for name in bins if name not in ("income", "residence_type"))
    funnel = decided.funnel.set_index("column")
    assert funnel.loc["income", "iv"] == bins["income"].iv < 0.02
    assert funnel.loc["income", ["status", "reason"]].tolist() == ["scorecard", "forced in: asked by the board (ana)"]
    assert funnel.loc["loan_purpose", ["status", "reason"]].tolist() == [
        "out",
        "forced out: steered by the product (bo)",
    ]
    assert small_training().funnel.set_index("column").loc["loan_purpose", "status"] == "scorecard"
    assert "income" in decided.candidates.woe and "income" in decided.candidates.trees
    assert "loan_purpose" not in decided.candidates.woe + decided.candidates.trees
    assert decided.overrides == DECIDED and small_training().overrides == Overrides()


def test_decisions_are_found_in_the_saved_and_reloaded_models(decided, tmp_path):
    rows, fitted = decided.part("train"), {}
    for version, attempt in (("v1", Attempt(3, "logistic", params={"min_iv": 0.02})), ("v2", Attempt(4, "xgboost"))):
        model = fit_attempt(attempt, rows, decided.candidates, RETAIL, 42)
        fitted[version] = train.judge(decided, attempt, model, folds(decided).out_of_fold(attempt), Clock())
    models = {v: make_model_data(v, one, "a reason", decided, "a-run") for v, one in fitted.items()}
    save_models(str(tmp_path), models, "v2")
    for version in models:
        loaded = load_model(version, str(tmp_path))
        assert Overrides.from_dict(loaded.training["overrides"], book=loaded.portfolio) == DECIDED
        assert loaded.training["hold_order"] is False
        assert "loan_purpose" not in loaded.features
        if version == "v1":
            bins = {b.name: b for b in loaded.model.design.bins}
            assert bins["income"].cuts == (5e5, 1e6)
            assert bins["residence_type"].missing == bins["residence_type"].groups.index(("Owned", "Mortgage"))
            assert loaded.training["notes"] == train.notes(fitted["v1"])
            assert loaded.training["notes"][-1].startswith("Overrides to look at again: income (IV 0.0")
        else:
            assert loaded.training["notes"] == []

    RunFolder(tmp_path, "train").save_result(training_result(list(fitted.values()), models, decided, None))
    result = json.loads((tmp_path / "result.json").read_text())
    assert Overrides.from_dict(result["overrides"]) == DECIDED
    assert result["models"]["v1"]["notes"] == models["v1"].training["notes"]


def test_the_notes_tell_sign_from_iv_and_what_overrides_keep():
    left = {"a": "wrong sign", "b": "IV 0.010 below 0.020", "c": "wrong sign", "d": "one bin"}
    one = replace(attempt_with("logistic", "none", [0.9]), left=left, against={"e": "wrong sign"})
    assert train.notes(one) == [
        "Left the scorecard in fitting, coefficient of the wrong sign: a, c.",
        "Left the scorecard in fitting, too little IV: b (IV 0.010 below 0.020), d (one bin).",
        "Overrides to look at again: e (wrong sign).",
    ]
    assert [line.split(": ")[-1] for line in train.notes(attempt_with("logistic", "none", [0.9]))] == ["none."] * 2
    assert train.notes(attempt_with("xgboost", "none", [0.9])) == []


def test_overrides_that_do_not_fit_the_book_stop_the_training():
    wrong = Overrides.from_dict({"agee": [30], "gender": [["M"], ["F"]]}, "o.json")
    with pytest.raises(OverridesError, match=r"o\.json, agee: .*did you mean 'age'\?\no\.json, gender: "):
        train.begin(small_book(), small_training().split, 42, wrong)


def test_a_book_with_everything_forced_out_cannot_be_modelled():
    all_out = Overrides(tuple(Override(name, use="out", reason="x") for name in RETAIL.candidates))
    with pytest.raises(DataError, match="no column is left"):
        train.begin(small_book(), small_training().split, 42, all_out)


@pytest.mark.parametrize(("cuts", "worse"), [
    ((30.0, 62.0, 69.0), True),  # from 62 on: few rows, riskier than at 30
    ((200.0,), False),  # an empty bin that nobody is in
    ((30.0, 45.0), False),
])  # fmt: skip
def test_given_cuts_may_not_make_those_of_62_and_over_score_worse(cuts, worse):
    split, book = small_training().split, small_book()
    ages, bad = book.frame["age"].to_numpy(float), book.bad.copy()
    bad[ages >= 62] = 1
    bad[(ages >= 30) & (ages < 62)] &= np.arange(((ages >= 30) & (ages < 62)).sum()) % 2 == 0
    decision = Overrides((Override("age", cuts=cuts),), source="o.json")
    if not worse:
        train.begin(book, split, 42, decision)
        return
    with pytest.raises(OverridesError, match=r"^o\.json, age: .* from 62 on could score worse .*no_worse_from"):
        train.begin(replace(book, bad=bad), split, 42, decision)
    out = replace(decision["age"], use="out", reason="x")
    train.begin(replace(book, bad=bad), split, 42, Overrides((out,)))


# Order that must hold out of time


def reversed_in(training: train.Training, index: np.ndarray) -> set[str]:
    rows = training.rows.take(index)
    counted = [(b, counts_in(b.assign(rows.columns[b.name]), rows.bad, b.n_slots)) for b in training.bins.bins]
    return {b.name for b, counts in counted if reversals(b, *counts)}


def newest_of(book: Book, index: np.ndarray) -> np.ndarray:
    dates = book.dates.to_numpy()[index]
    return index[dates >= np.sort(dates)[len(dates) * 3 // 4]]


def test_bins_whose_order_reverses_on_the_newest_training_rows_are_merged_and_recorded():
    free, split = small_training(), small_training().split
    newest = newest_of(small_book(), split.train)
    held = train.begin(small_book(), split, 42, hold_order=True)
    reversing = reversed_in(free, newest)
    assert reversing and reversed_in(held, newest) == set()
    assert set(held.overrides) == reversing and held.candidates.newest is not None
    before, after = ({b.name: b for b in one.bins.bins} for one in (free, held))
    start = f"{small_book().dates.iloc[newest].min():%Y-%m-%d}"
    for name, one in held.overrides.items():
        assert one.by == "hold_order" and one.at.endswith("+00:00") and one.use == ""
        assert one.bins == (after[name].cuts if RETAIL.columns[name].is_numeric else after[name].groups)
        labels = before[name].labels()
        assert f"from {start} on" in one.reason
        assert any(f"{a} and {b}" in one.reason for a, b in zip(labels, labels[1:], strict=False))
        assert set(after[name].cuts) < set(before[name].cuts) or after[name].groups != before[name].groups
    for name in set(before) - reversing:
        assert after[name] == before[name]


def test_the_test_rows_never_decide_whether_an_order_holds():
    book, split = small_book(), small_training().split
    elsewhere = book.bad.copy()
    elsewhere[split.test] = 1 - elsewhere[split.test]
    one, other = (train.begin(replace(book, bad=bad), split, 42, hold_order=True) for bad in (book.bad, elsewhere))
    assert [(o.variable, o.bins, o.reason) for o in one.overrides.values()] == [
        (o.variable, o.bins, o.reason) for o in other.overrides.values()
    ]


def test_without_dates_the_order_must_hold_on_training_rows_drawn_at_random():
    book = replace(small_book(), dates=None)
    split = train.split_book(book, "random", 3)
    held = train.begin(book, split, 3, hold_order=True)
    drawn, what = train._newest(book, split, 3)
    assert len(drawn) == pytest.approx(train.NEWEST_SHARE * len(split.train), abs=1) and "drawn at random" in what
    assert set(drawn) < set(split.train)
    assert reversed_in(train.begin(book, split, 3), drawn) and held.overrides
    assert reversed_in(held, drawn) == set()
    assert all(what in one.reason for one in held.overrides.values())
    no_day = replace(book, dates=pd.Series(pd.NaT, index=book.frame.index, dtype="datetime64[us]"))
    assert set(train.begin(no_day, split, 3, hold_order=True).overrides) == set(held.overrides)


def test_an_analyst_s_bins_outrank_the_order_and_other_decisions_stay_beside_it():
    split = small_training().split
    free = train.begin(small_book(), split, 42, hold_order=True).overrides
    numbers = [name for name in free if RETAIL.columns[name].is_numeric and name != "age"]
    first, second, third = numbers[:3]
    given = tuple(c for c in next(b for b in small_training().bins.bins if b.name == first).cuts)
    mine = Overrides((
        Override(first, cuts=given, by="ana"),
        Override(second, use="in", missing="worst", reason="asked by the board", by="ana"),
        Override(third, use="out", reason="not ours", by="ana"),
    ))  # fmt: skip
    held = train.begin(small_book(), split, 42, mine, hold_order=True)
    assert (held.overrides[first], held.overrides[third]) == (mine[first], mine[third])
    both = held.overrides[second]
    assert (both.cuts, both.use, both.missing) == (free[second].cuts, "in", "worst")
    assert both.by == "ana, hold_order" and both.reason.startswith("asked by the board; bad rates in the other")
    reason = held.funnel.set_index("column")["reason"]
    assert reason[second] == "forced in: asked by the board (ana)"
    assert list(held.overrides)[:3] == [first, second, third], "those of analysts first"


# Attempts


@pytest.fixture(scope="module")
def tiny() -> train.Training:
    book = prepare_book(make_book(1_500, seed=3).tables, RETAIL)
    training = train.begin(book, train.split_book(book, "random", 5), 5)
    few = ("credit_utilization_ratio", "loan_to_income", "delinquency_ratio", "residence_type")
    return replace(training, candidates=Candidates(few, few))


def comparable(fitted: list[Fitted]) -> list[dict]:
    return [
        {"model": one.model.to_dict(), "figures": {k: v for k, v in one.summary().items() if k != "seconds"}}
        for one in fitted
    ]


def test_tuned_attempts_report_trials_and_are_decided_by_the_seed(tiny, monkeypatch):
    monkeypatch.setattr(train.Training, "folds", 3)
    monkeypatch.setattr(train, "SMALL", 0)  # folds drawn once
    told = []
    tuned = [a for a in ATTEMPTS if a.tuned and a.resampling == "none"]
    fitted = train.run_attempts(tiny, 1, attempts=tuned, on_trial=lambda *news: told.append(news))
    assert [(name, n) for name, n, _ in told] == [(a.name, 1) for a in tuned]
    assert all(0.5 < best < 1 for _, _, best in told)
    assert comparable(train.run_attempts(tiny, 1, attempts=tuned)) == comparable(fitted)
    for one in fitted:
        assert len(one.cv_auc) == 3 and one.attempt.params
        assert one.test["auc"] > 0.8 and one.test["mean_pd"] == pytest.approx(one.test["bad_rate"], abs=0.05)
    table = train.comparison(fitted)
    assert table["attempt"].tolist() == [a.name for a in tuned]
    assert table["auc"].tolist() == [one.test["auc"] for one in fitted]


def test_calibration_repairs_what_undersampling_did_to_the_level(tiny, monkeypatch):
    monkeypatch.setattr(train.Training, "folds", 2)
    one = train.run_attempts(tiny, 1, attempts=[Attempt(2, "logistic", "under")])[0]
    assert one.raw["mean_pd"] > 1.8 * one.raw["bad_rate"]
    assert one.test["mean_pd"] == pytest.approx(one.test["bad_rate"], abs=0.03)
    assert one.test["auc"] == pytest.approx(one.raw["auc"], abs=1e-12)
    declined = one.model.calibration.pd(one.out_of_fold) >= one.threshold
    assert declined.mean() == pytest.approx(0.2, abs=0.002), "the cut-off approves the portfolio's share"


def test_the_comparison_holds_every_attempt_before_and_after_calibration_on_the_same_rows():
    fitted = small_fitted()
    chosen = {version: (one, "") for version, one in fitted.items()}
    test = small_training().part("test")
    other = replace(fitted["v1"], attempt=Attempt(1, "forest"), margin=fitted["v1"].margin)
    table = train.comparison([*fitted.values(), other], chosen, test).set_index("attempt")
    assert len(table) == 3 and (table["bad_rate"] == test.bad.mean()).all()
    for one in (*fitted.values(), other):
        row = table.loc[one.attempt.name]
        interval = auc_interval(test.bad, one.model.margin(test.columns))
        assert (row["auc_low"], row["auc_high"]) == pytest.approx((interval.low, interval.high))
        assert row["auc_low"] < row["auc"] < row["auc_high"]
        for name in ("mean_pd", "calibration_slope", "calibration_intercept", "brier", "log_loss"):
            assert (row[f"{name}_raw"], row[name]) == (one.raw[name], one.test[name])
        assert (row["gate_raw"], row["gate"]) == (one.raw_gate.status, one.gate.status)
        assert row["calibration"] == one.model.calibration.method
    gap, p = auc_difference(test.bad, fitted["v1"].margin, fitted["v2"].margin)
    found = table.loc["1 Random forest", ["difference", "difference_low", "difference_high", "p"]].tolist()
    assert found == pytest.approx([gap.value, gap.low, gap.high, p]), "forests are held against the trees"
    assert table.loc[[one.attempt.name for one in fitted.values()], "p"].isna().all(), "what ships, against itself"
    assert "p" not in train.comparison(list(fitted.values()))


def test_the_gate_and_the_figures_are_those_of_the_test_rows_alone():
    training = small_training()
    elsewhere = replace(training, rows=Rows(training.rows.columns, training.rows.bad.copy()))
    elsewhere.rows.bad[training.split.train] = 1 - training.rows.bad[training.split.train]
    for version, one in small_fitted().items():
        again = train.judge(elsewhere, one.attempt, one.model, unseen(one), Clock())
        assert (again.gate, again.test) == (one.gate, one.test), version
        test = training.part("test")
        assert again.gate == release_gate(test.bad, one.model.pd(test.columns))
        assert again.raw_gate == release_gate(test.bad, expit(one.model.margin(test.columns)))


@pytest.mark.parametrize(("family", "isotonic"), [("logistic", False), ("xgboost", True), ("forest", True)])
def test_only_trees_may_be_calibrated_by_isotonic(family, isotonic, monkeypatch):
    asked = []

    def spy(bad, margin, **options):
        asked.append(options["isotonic"])
        return fit_calibration(bad, margin)

    monkeypatch.setattr(train, "fit_calibration", spy)
    one = small_fitted()["v1"]
    train.judge(small_training(), replace(one.attempt, family=family), one.model, unseen(one), Clock())
    assert asked == [isotonic]


# A long-run bad rate


def test_a_long_run_bad_rate_shifts_what_ships_and_nothing_that_is_judged(tmp_path):
    text = RETAIL.text.replace("approval_share = 0.80", "long_run_bad_rate = 0.05\napproval_share = 0.80", 1)
    book = replace(small_book(), portfolio=parse_portfolio(text, "retail.toml"))
    training = replace(small_training(), book=book)
    models = {}
    for version, now in small_fitted().items():
        one = train.judge(training, now.attempt, now.model, unseen(now), Clock())
        assert one.model.calibration.pd(now.out_of_fold).mean() == pytest.approx(0.05, abs=1e-9)
        assert (one.test, one.raw, one.gate) == (now.test, now.raw, now.gate), "judged before the shift"
        approved = [
            (f.model.calibration.pd(now.out_of_fold) < f.threshold).tolist() for f in (one, now)
        ]  # fmt: skip
        assert approved[0] == approved[1] and one.threshold < now.threshold
        models[version] = make_model_data(version, one, "a reason", training, "a-run")
    save_models(str(tmp_path), models, "v2")
    for version, now in small_fitted().items():
        loaded = load_model(version, str(tmp_path))
        assert loaded.pd_kind == loaded.training["pd_kind"] == "through-the-cycle"
        map_ = loaded.model.calibration
        assert (map_.long_run, map_.mean_pd) == (0.05, pytest.approx(now.model.calibration.pd(now.out_of_fold).mean()))
        assert map_.offset == pytest.approx(map_.intercept - now.model.calibration.intercept) != 0
        test = training.part("test").columns
        assert loaded.model.point_in_time.pd(test) == pytest.approx(now.model.pd(test), abs=1e-12)
    assert small_models()["v2"].pd_kind == "point-in-time"


@pytest.mark.parametrize("rate", ["0", "1", "0.0", "1.0", "-0.1", '"5%"'])
def test_a_long_run_bad_rate_is_between_0_and_1(rate):
    text = RETAIL.text.replace("approval_share = 0.80", f"long_run_bad_rate = {rate}\napproval_share = 0.80", 1)
    with pytest.raises(PortfolioError, match="long_run_bad_rate"):
        parse_portfolio(text, "retail.toml")
    assert RETAIL.long_run_bad_rate is None


# Choosing


def test_trees_are_offered_every_allowed_input_and_not_only_those_with_information_value_of_their_own():
    training = small_training()
    funnel = training.funnel.set_index("column")
    weak = funnel.index[funnel["iv"] < 0.02]
    assert "enquiry_count" in weak and set(weak) & set(RETAIL.candidates) <= set(training.candidates.trees)
    assert not set(weak) & set(training.candidates.woe)
    left_out = set(RETAIL.candidates) - set(training.candidates.trees)
    assert all(funnel.loc[name, "reason"].startswith(("collinear", "forced out")) for name in left_out)
    assert "enquiry_count" in small_fitted()["v2"].model.features


def gated(v1: float, v2: float) -> train.Chosen:
    """Both versions, judged on 10,000 rows of which 1,000 are bad, with PDs of so much."""
    bad = np.repeat([1.0, 0.0], [1_000, 9_000])
    spread = np.tile([0.98, 1.02], 5_000)
    pds = {"v1": v1 * spread, "v2": v2 * spread}
    fitted = {"v1": attempt_with("logistic", "none", PLAIN), "v2": attempt_with("xgboost", "none", PLAIN)}
    return {v: (replace(fitted[v], gate=Gate(*_status(release_gate(bad, pd)))), "") for v, pd in pds.items()}


def _status(gate: Gate) -> tuple:
    """The gate by its ratio alone: PDs this close to each other have no slope."""
    status = {"pass": "pass", "fail": "fail"}[gate.criteria[0].verdict]
    return (status, gate.rows, gate.bads, gate.mean_pd, gate.bad_rate, gate.criteria[:1], gate.reasons[:1])


@pytest.mark.parametrize(("v1", "v2", "champion"), [
    (0.1, 0.1, "v2"), (0.1, 0.2, "v1"), (0.2, 0.1, "v2"), (0.2, 0.2, None),
])  # fmt: skip
def test_the_champion_is_the_trees_else_the_scorecard_else_nobody_by_their_gates(v1, v2, champion):
    found, why = train.champion_of(gated(v1, v2))
    assert found == champion
    assert ("v2 fails its release gate: " in why) == (v2 == 0.2)
    assert ("mean PD 20.0% against a bad rate of 10.0%" in why) == (v2 == 0.2)
    assert why.startswith(
        f"the champion is {champion}, whose release gate says pass" if champion else "no champion; v2"
    )


def test_too_few_defaults_do_not_bar_a_champion():
    bad = np.repeat([1.0, 0.0], [20, 180])
    gate = release_gate(bad, np.tile([0.08, 0.12], 100))
    chosen = {v: (replace(attempt_with(f, "none", PLAIN), gate=gate), "") for v, f in train.VERSIONS.items()}
    found, why = train.champion_of(chosen)
    assert gate.status == "insufficient defaults" and found == "v2" and "insufficient defaults" in why


def attempt_with(family: str, resampling: str, aucs: list[float]) -> Fitted:
    return Fitted(Attempt(3, family, resampling, True), None, tuple(aucs), {}, {}, 0.5, 0.0)


PLAIN = [0.90, 0.91, 0.89, 0.92, 0.90]


@pytest.mark.parametrize(("gains", "used"), [
    ([0.01, 0.012, 0.011, 0.009, 0.010], True),
    ([0.0, 0.0, 0.0, 0.0, 0.0], False),
    ([-0.01, -0.01, -0.02, -0.01, -0.01], False),
    ([0.05, -0.03, 0.04, -0.04, 0.03], False),  # larger on average, but not by two standard errors
    ([0.0005, 0.0006, 0.0005, 0.0006, 0.0005], False),  # certain, but immaterial
    ([0.002, 0.0021, 0.002, 0.0021, 0.002], True),
])  # fmt: skip
def test_smotetomek_ships_only_when_it_earns_its_place(gains, used):
    fitted = []
    for family in ("logistic", "xgboost"):
        fitted.append(attempt_with(family, "smotetomek", [a + g for a, g in zip(PLAIN, gains, strict=True)]))
        fitted.append(attempt_with(family, "none", PLAIN))
    chosen = train.choose(fitted)
    assert {v: one.attempt.family for v, (one, _) in chosen.items()} == {"v1": "logistic", "v2": "xgboost"}
    for one, why in chosen.values():
        assert one.attempt.resampling == ("smotetomek" if used else "none")
        assert f"{np.mean(gains):+.4f}" in why and ("it is used" if used else "it is not used") in why


# What ships


def test_a_model_version_says_how_it_was_made():
    training, book = small_training(), small_book()
    for version, data in small_models().items():
        one = small_fitted()[version]
        assert (data.version, data.threshold, data.model) == (version, one.threshold, one.model)
        assert data.gate == one.gate and Gate.from_dict(data.metrics["raw_gate"]) == one.raw_gate
        assert data.metrics["test"] == one.test and data.metrics["cv"] == {
            "auc": pytest.approx(np.mean(one.cv_auc)),
            "folds": list(one.cv_auc),
        }
        history = data.training
        assert (history["why"], history["run"], history["seed"]) == ("a reason", "a-run", 42)
        assert history["split"] == training.split.description and sum(history["rows"].values()) == len(book.bad)
        assert pd.Timestamp(history["created"]).tz is not None
        assert len(data.test_vectors["pd"]) == 16 and set(data.test_vectors["inputs"]) == set(RETAIL.inputs)


def test_the_result_of_a_training_run_is_finite_and_knows_the_ceiling(tmp_path):
    sample, training = make_book(4_000), small_training()
    result = training_result(list(small_fitted().values()), small_models(), training, sample, ("v1", "a reason"))
    RunFolder(tmp_path, "train").save_result(result)  # refuses NaN and what JSON cannot say
    stored = json.loads((tmp_path / "result.json").read_text())
    data = stored["data"]
    assert data["received"] == 4_000 == data["kept"] + data["rejected"] + sum(data["set_aside"].values())
    assert [attempt["family"] for attempt in stored["attempts"]] == ["logistic", "xgboost"]
    assert stored["models"]["v1"]["test"]["auc"] == small_fitted()["v1"].test["auc"]
    for version, one in small_fitted().items():
        assert Gate.from_dict(stored["models"][version]["gate"]) == one.gate
        assert stored["models"][version]["calibration"]["why"] == one.model.calibration.why != ""
        assert stored["models"][version]["pd_kind"] == "point-in-time"
    assert [attempt["gate"]["status"] for attempt in stored["attempts"]] == [
        o.gate.status for o in small_fitted().values()
    ]
    assert stored["champion"] == {"version": "v1", "why": "a reason"}
    assert stored["oracle"]["book_auc"] == sample.oracle_auc
    assert stored["oracle"]["auc"] == oracle_on_test(sample, training) > stored["models"]["v2"]["test"]["auc"] - 0.01
    assert "oracle" not in training_result([], {}, training, None)


# Directions of risk, proved on the models as they are served


@pytest.fixture(scope="module")
def served(tmp_path_factory) -> dict[str, Scorer]:
    return {v: Scorer(data) for v, data in published(tmp_path_factory.mktemp("artifacts")).items()}


def swept(scorer: Scorer, name: str, values: np.ndarray, applicants: int = 200) -> np.ndarray:
    """PDs of applicants (rows) as one input takes each of the values (columns)."""
    frame = some_applications().frame.iloc[:applicants]
    inputs = {n: np.repeat(frame[n].to_numpy(), len(values)) for n in RETAIL.inputs}
    rows = pd.DataFrame(inputs).assign(**{name: np.tile(values, applicants)})
    data = scorer.data
    columns = data.columns(to_columns(rows, list(RETAIL.inputs), RETAIL))
    return data.model.pd(columns).reshape(applicants, len(values))


def range_of(name: str) -> np.ndarray:
    """The declared range and beyond what training saw, with every cut of the bins and both its neighbours."""
    column = RETAIL.columns[name]
    low = column.min if column.min is not None else 1.0
    high = column.max if column.max is not None else 10 * column.warn_above
    steps = np.linspace(low, high, 60)
    cuts = [cut for b in small_models()["v1"].model.design.bins if b.name == name for cut in b.cuts]
    near = [edge for cut in cuts for edge in (np.nextafter(cut, low), cut, np.nextafter(cut, high))]
    seen = small_training().part("train").columns[name]
    return np.unique(np.concatenate([steps, near, np.quantile(seen[~np.isnan(seen)], np.linspace(0, 1, 40))]))


DIRECTED = [name for name, column in RETAIL.inputs.items() if column.risk != "any"]


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("name", DIRECTED)
def test_the_pd_of_every_applicant_moves_in_the_declared_direction(served, version, name):
    pds = swept(served[version], name, range_of(name))
    steps = np.diff(pds, axis=1) * (1 if RETAIL.columns[name].risk == "increasing" else -1)
    assert (steps >= 0).all(), f"{(steps < 0).sum()} steps against the direction, by up to {-steps.min():.2g}"
    data = served[version].data
    reads = {name} | {f for f, column in RETAIL.features.items() if name in sources(column.derive)}
    moved = (pds.max(axis=1) > pds.min(axis=1)).any()
    assert moved == bool(reads & set(data.features)), "the sweep must reach the model"


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_an_applicant_of_62_or_over_never_scores_worse_than_at_a_younger_age(served, version):
    limit = RETAIL.restricted["age"].no_worse_from
    ages = np.arange(18.0, 101.0)
    pds = swept(served[version], "age", ages)
    younger, older = pds[:, ages < limit], pds[:, ages >= limit]
    assert limit == 62 and "age" in served[version].data.features
    assert (older.max(axis=1) <= younger.min(axis=1)).all()


# Cross-fitted calibration


def test_a_model_is_fitted_to_all_training_rows_and_calibrated_by_what_it_has_not_seen():
    training = small_training()
    for version, one in small_fitted().items():
        found, rows = one.model.calibration, training.part("train")
        assert (found.rows, found.bads) == (len(rows), rows.bad.sum())
        assert expit(found.log_odds(one.out_of_fold)).mean() == pytest.approx(rows.bad.mean(), abs=1e-6), version
        again = folds(training).out_of_fold(one.attempt)
        assert np.array_equal(again.margin, one.out_of_fold)
        seen = fit_attempt(one.attempt, rows, training.candidates, RETAIL, 42).margin(rows.columns)
        assert np.array_equal(one.model.margin(rows.columns), seen), "fitted to all of them"


def test_rows_without_optional_inputs_have_a_line_of_their_own():
    training = small_training()
    one, rows = small_fitted()["v2"], training.part("train")
    assert one.model.left_out.names == ("enquiry_count",) and small_fitted()["v1"].model.left_out is None
    unseen_rows = folds(training).out_of_fold(one.attempt)
    hidden = rows.columns | {"enquiry_count": np.full(len(rows), np.nan)}
    moved = one.model.left_out.margin(unseen_rows.lacking, hidden)
    assert not np.allclose(moved, unseen_rows.lacking)
    theirs, mine = fit_calibration(rows.bad, unseen_rows.margin), fit_calibration(rows.bad, moved)
    assert (mine.slope, mine.intercept) == pytest.approx((theirs.slope, theirs.intercept), abs=1e-6), "one map for both"
    bare = replace(one.model, left_out=None)
    test = training.part("test").columns
    assert np.array_equal(one.model.pd(test), bare.pd(test)), "who gives the input is not touched"
    lacking = test | {"enquiry_count": np.full(len(training.part("test")), np.nan)}
    line = one.model.left_out
    assert one.model.margin(lacking) == pytest.approx(line.intercept + line.slope * bare.margin(lacking), abs=1e-12)
    assert one.model.contributions(lacking) == pytest.approx(line.slope * bare.contributions(lacking), abs=1e-9)
    as_scorecard = train.cross_fitted(Attempt(3, "logistic"), one.model, unseen_rows, RETAIL, 42)
    assert as_scorecard.left_out is None, "points must add up"


def test_a_row_that_lacks_some_optional_inputs_is_moved_by_that_share_of_the_way():
    line = LeftOut(("number", "text"), 0.4, 0.8)
    columns = {"number": np.array([1.0, np.nan, np.nan]), "text": np.array(["a", "a", None], dtype=object)}
    assert line.share(columns).tolist() == [0.0, 0.5, 1.0]
    assert line.margin(np.array([2.0, 2.0, 2.0]), columns) == pytest.approx([2.0, 2 * 0.9 + 0.2, 2 * 0.8 + 0.4])
    assert LeftOut.from_dict(json.loads(json.dumps(line.to_dict()))) == line


def test_rows_that_carry_no_line_leave_margins_as_they_are():
    few = np.array([1] * 10 + [0] * 500)
    margin = np.linspace(-1, 1, len(few))
    assert line_between(few, margin, margin) is None
