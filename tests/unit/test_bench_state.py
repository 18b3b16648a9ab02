"""The binning bench's state and its words, driven without a browser or a widget."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from creditrisk.binning.bins import Bins
from creditrisk.binning.overrides import Override, Overrides
from creditrisk.binning.search import Limits
from creditrisk.data.portfolio import load_portfolio
from creditrisk.data.sample import make_book
from creditrisk.data.tables import prepare_book
from creditrisk.errors import OverridesError
from creditrisk.modelling.design import fit_column
from creditrisk.modelling.train import split_book
from creditrisk.ui import bench_html, bench_words
from creditrisk.ui.bench_state import BinningBench, default_file, periods_of

RETAIL = load_portfolio("retail")


@pytest.fixture(scope="module")
def made() -> SimpleNamespace:
    """A small book and its split."""
    book = prepare_book(make_book(6_000).tables, RETAIL, "2025-01-01")
    return SimpleNamespace(book=book, split=split_book(book, "auto", 42))


@pytest.fixture
def file(tmp_path) -> Path:
    return tmp_path / "decisions" / "overrides.json"


@pytest.fixture
def open_bench(made, file):
    """Opens a bench over the small book, as often as one likes."""
    return lambda: BinningBench.of_book(made.book, made.split, str(file))


@pytest.fixture
def bench(open_bench):
    bench = open_bench()
    bench.choose("loan_amount")
    return bench


def arrays(count: int = 4_000, seed: int = 5) -> SimpleNamespace:
    """Columns of a book of known shape: income falls in risk on the training rows, half of it missing at times."""
    draw = np.random.default_rng(seed)
    income = draw.integers(1, 11, count) * 1_000.0
    purpose = draw.choice(["Home", "Auto", "Education", "Personal"], count).astype(object)
    bad = draw.random(count) < 0.35 - income / 40_000 + 0.1 * (purpose == "Home")
    income[draw.random(count) < 0.05] = np.nan
    train, test = np.arange(count // 2), np.arange(count // 2, count)
    return SimpleNamespace(
        columns={"income": income, "loan_purpose": purpose}, bad=bad.astype(float), train=train, test=test
    )


def bench_of(data: SimpleNamespace, file: Path, **more) -> BinningBench:
    return BinningBench(RETAIL, data.columns, data.bad, data.train, data.test, file=str(file), **more)


# --- What it starts from ----------------------------------------------------------------------------------------------


def test_the_bench_starts_with_the_bins_that_training_would_fit(bench, made):
    train = made.split.train
    for row in bench.rows:
        values = made.book.frame[row.name].iloc[train]
        values = values.to_numpy(float) if RETAIL.columns[row.name].is_numeric else values.to_numpy(object)
        fitted = fit_column(values, made.book.bad[train], RETAIL, row.name, Limits())
        assert bench.version(row.name).bins == fitted
        assert not row.edited and not row.unsaved and row.use == ""
    assert [row.name for row in bench.rows] == [r.name for r in sorted(bench.rows, key=lambda r: -r.iv)]
    assert {row.label for row in bench.rows} >= {"Loan amount", "Loan tenure (months)"}


def test_training_and_test_rows_are_counted_apart(bench, made):
    version = bench.version()
    assert sum(version.bins.goods) + sum(version.bins.bads) == len(made.split.train) == bench.train_rows
    assert version.table["test_count"].sum() == len(made.split.test) == bench.test_rows


def test_rows_say_how_stable_and_how_near_the_best_a_binning_is(file):
    data = arrays()
    steady = bench_of(data, file).rows
    assert all(row.psi < 0.02 and row.certificate > 0.95 for row in steady)
    moved = data.columns["income"].copy()
    moved[data.test] = np.minimum(moved[data.test], 3_000.0)  # nobody earns well any more
    data.columns["income"] = moved
    row = next(row for row in bench_of(data, file).rows if row.name == "income")
    assert row.psi > 0.25 and bench_words.stability(row.psi) == "shifted"


def test_a_variable_with_nothing_to_cut_is_marked_and_has_no_certificate(file):
    data = arrays()
    data.columns["loan_amount"] = np.full(len(data.bad), 7.0)
    row = bench_of(data, file).rows[-1]
    assert (row.name, row.bins, row.iv, row.certificate) == ("loan_amount", 1, 0.0, None)
    assert [note.text for note in row.marks] == ["! one bin"]
    assert "–" in bench_html.variable_figures(row)
    bench = bench_of(data, file)
    bench.choose("loan_amount")
    assert bench.verdict == "This is the optimum: IV 0.0000; there is one bin only."


def test_selection_by_itself_is_said_in_the_words_of_training(bench):
    said = {row.name: row.selected for row in bench.rows}
    assert said["credit_utilization_ratio"] == "scorecard"
    assert said["enquiry_count"] == "trees only (IV below 0.02)"


# --- Edits ------------------------------------------------------------------------------------------------------------


def test_a_merge_keeps_all_rows_and_says_what_it_costs(bench):
    before = bench.bins
    bench.merge(1, 2)
    assert bench.bins == before.merge(1, 2)
    lost = before.iv - bench.bins.iv
    assert f"{lost:.4f} ({lost / before.iv:.1%}) less than the optimum" in bench.verdict
    assert bench.edited and bench.can_undo and bench.bin == 1
    assert next(row for row in bench.rows if row.name == "loan_amount").edited


def test_a_split_counts_the_rows_anew(bench):
    middle = (bench.bins.cuts[0] + bench.bins.cuts[1]) / 2
    count = bench.bins.n_regular
    bench.split(f"{middle:.0f}")
    assert bench.bins.n_regular == count + 1 and float(f"{middle:.0f}") in bench.bins.cuts
    assert sum(bench.bins.goods) + sum(bench.bins.bads) == bench.train_rows
    assert bench.bin == 1, "the lower part of what was split"


def test_a_cut_moves_between_its_neighbours_and_nowhere_else(bench):
    low, middle, high = bench.bins.cuts[:3]
    bench.move_cut(1, f"{high + 1:.0f}")
    assert bench.errors["cut"] == f"the neighbouring cuts allow a number above {low:.0f} and below {high:.0f}"
    assert bench.bins.cuts[1] == middle and not bench.can_undo
    bench.move_cut(1, f"{low + 1:.0f}")
    assert bench.bins.cuts[:3] == (low, low + 1, high) and bench.errors == {}


@pytest.mark.parametrize(
    ("text", "cuts"),
    [
        ("300000, 1500000", (300_000, 1_500_000)),
        ("[1500000; 300000]", (300_000, 1_500_000)),
        ("300000 1500000 300000", (300_000, 1_500_000)),
        ("300000,1500000", (300_000, 1_500_000)),
        ("", ()),
    ],
)
def test_all_cuts_can_be_typed_as_people_write_lists(bench, text, cuts):
    bench.set_cuts(text)
    assert bench.bins.cuts == cuts and bench.errors == {}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("300,000", "may be one number or several; write 300000"),
        ("a, 5", "a is not a number"),
        ("1, inf", "inf is not"),
    ],
)
def test_a_list_that_is_not_understood_changes_nothing_and_is_named(bench, text, complaint):
    before = bench.bins
    bench.set_cuts(text)
    assert complaint in bench.errors["cuts"] and bench.bins == before and not bench.can_undo


def test_a_typed_list_keeps_all_digits_of_the_cuts_that_were_not_changed(file):
    data = arrays()
    data.columns["income"] = data.columns["income"] / 7
    bench = bench_of(data, file)
    bench.choose("income")
    before = bench.bins.cuts
    shown = bench_words.cuts_in_words(before)
    assert [float(part) for part in shown.split(", ")] != list(before), "the text shows fewer digits"
    bench.set_cuts(shown + ", 1400")
    assert bench.bins.cuts == tuple(sorted((*before, 1400.0)))


@pytest.mark.parametrize(
    ("act", "field", "complaint"),
    [
        (lambda b: b.split("much"), "split", "much is not a number"),
        (lambda b: b.split(""), "split", "type a number"),
        (lambda b: b.split("1,5"), "split", "write decimals with a point"),
        (lambda b: b.split(str(b.bins.cuts[0])), "split", "there is a cut at"),
        (lambda b: b.merge(0, 99), "merge", "there is no regular bin 99"),
        (lambda b: b.set_missing(99), "missing", "there is no regular bin 99"),
    ],
)
def test_what_cannot_be_done_is_said_at_its_field_without_an_exception(bench, act, field, complaint):
    before = bench.bins
    act(bench)
    assert list(bench.errors) == [field] and complaint in bench.errors[field]
    assert bench.bins == before
    assert 'role="alert"' in bench_html.problem(bench.errors, field)
    bench.merge(0, 1)
    assert bench.errors == {}, "the next edit that works takes it away"


def test_levels_move_split_off_and_join(bench):
    bench.choose("loan_purpose")
    home = next(i for i, group in enumerate(bench.bins.groups) if "Home" in group)
    auto = next(i for i, group in enumerate(bench.bins.groups) if "Auto" in group)
    bench.move_levels(["Auto"], home)
    joined = next(group for group in bench.bins.groups if "Auto" in group)
    assert set(joined) == {"Auto", "Home"} and joined == bench.bins.groups[bench.bin] and auto != home
    bench.move_levels(["Home"], None)
    assert ("Home",) in bench.bins.groups and bench.bins.groups[bench.bin] == ("Home",)
    bench.move_levels(["Home"], None)
    assert bench.errors["levels"] == "Home is there already"
    bench.move_levels([], 0)
    assert bench.errors["levels"] == "choose one or more levels"
    assert sum(bench.bins.goods) + sum(bench.bins.bads) == bench.train_rows
    rates = bench.version().table["bad_rate"].to_numpy()
    assert (np.diff(rates) >= 0).all(), "groups stay in the order of their bad rates"


def test_missing_values_stay_with_their_bin_when_cuts_change(file):
    bench = bench_of(arrays(), file)
    bench.choose("income")
    bench.set_missing(1)
    start = bench.bins.cuts[0]
    assert bench.bins.missing == 1 and bench.bins.woe[bench.bins.missing_slot] == bench.bins.woe[1]
    bench.split(f"{start - 500:g}")
    assert bench.bins.cuts[bench.bins.missing - 1] == start, "still the bin that begins there"
    bench.merge(bench.bins.missing - 1, bench.bins.missing)
    assert bench.bins.woe[bench.bins.missing_slot] == bench.bins.woe[bench.bins.missing]
    bench.set_missing("worst")
    assert bench.bins.woe[bench.bins.missing_slot] == bench.bins.woe[: bench.bins.n_regular].min()
    bench.set_missing("neutral")
    assert bench.bins.woe[bench.bins.missing_slot] == 0


def test_undo_redo_and_back_to_the_optimum_are_kept_by_variable(bench):
    optimum = bench.bins
    bench.merge(0, 1)
    once = bench.bins
    bench.merge(0, 1)
    twice = bench.bins
    bench.undo()
    assert bench.bins == once and bench.can_redo
    bench.choose("age")
    assert not bench.can_undo and not bench.can_redo and not bench.edited
    bench.choose("loan_amount")
    bench.redo()
    assert bench.bins == twice and not bench.can_redo
    bench.reset()
    assert bench.bins == optimum and not bench.edited and bench.can_undo
    bench.undo()
    assert bench.bins == twice
    bench.undo()
    bench.split("300001")
    assert not bench.can_redo, "an edit forgets what was undone"
    for _ in range(5):
        bench.undo()
    assert bench.bins == optimum


def test_an_edit_that_changes_nothing_leaves_no_step_to_undo(bench):
    bench.set_cuts(bench_words.cuts_in_words(bench.bins.cuts))
    bench.set_missing(bench.bins.missing)
    bench.reset()
    assert not bench.can_undo and bench.unsaved == []


def test_edits_answer_at_once_on_fifty_thousand_rows(file):
    bench = bench_of(arrays(50_000), file)
    bench.choose("income")
    seconds = []
    for act in (lambda: bench.split("4500"), lambda: bench.merge(0, 1), lambda: bench.set_missing("worst")) * 3:
        clock = time.perf_counter()
        act()
        assert bench.verdict and bench.row_marks and bench.rows
        seconds.append(time.perf_counter() - clock)
    assert np.median(seconds) < 0.1


# --- What is said -----------------------------------------------------------------------------------------------------


def two_samples(train: list[tuple[int, int]], test: list[tuple[int, int]], cuts: tuple[float, ...]):
    """Arrays of a number with these (goods, bads) between the cuts, on training and test rows."""
    values, bad = [], []
    for counts in (train, test):
        for k, (goods, bads) in enumerate(counts):
            values += [float(k)] * (goods + bads)
            bad += [0.0] * goods + [1.0] * bads
    count = sum(g + b for g, b in train)
    everything = np.arange(len(values))
    return SimpleNamespace(
        columns={"loan_amount": np.array(values)}, bad=np.array(bad), train=everything[:count], test=everything[count:]
    )


ORDERLY = [(500, 10), (500, 30), (500, 60), (500, 120)]


def test_order_that_holds_and_order_that_turns_are_said_with_the_bad_rates(file):
    bench = bench_of(two_samples(ORDERLY, ORDERLY, (1, 2, 3)), file)
    assert bench.verdict == f"This is the optimum: IV {bench.bins.iv:.4f}; order holds on the test rows."
    turned = bench_of(two_samples(ORDERLY, [(500, 10), (500, 60), (500, 30), (500, 20)], (1, 2, 3)), file)
    assert turned.verdict.endswith(
        "; bins 2 and 3 change places on the test rows (10.7% against 5.7%) and bins 3 and 4 (5.7% against 3.8%)."
    )
    assert [[note.text for note in turned.row_marks[k]] for k in range(4)] == [
        [], ["⇅ reverses with bin 3 on test"], ["⇅ reverses with bin 4 on test"], []
    ]  # fmt: skip
    assert [note.text for note in turned.rows[0].marks] == ["⇅ 2 reversed"]
    assert turned.look_first() == [f"Loan amount: {turned.verdict.partition('; ')[2][:-1]}"]


def test_rates_are_shown_with_the_digits_that_tell_them_apart():
    assert bench_words.apart(0.0404, 0.0395) == ("4.04%", "3.95%")
    assert bench_words.apart(0.031, 0.028) == ("3.1%", "2.8%")


def test_limits_that_are_broken_are_said_and_not_forbidden(file):
    bench = bench_of(two_samples([(970, 30), (30, 0), (960, 40), (900, 100)], ORDERLY, (1, 2, 3)), file)
    assert [note for note in bench.notes if note.kind == "limit"] == []
    bench.set_cuts("1 2 3 8")
    said = [note.text for note in bench.notes if note.kind == "limit"]
    assert said[:4] == [
        "Bin 2 holds 1.0% of the rows, less than 5%",
        "Bin 2 has no bads; its WOE is smoothed",
        "Bin 5 holds no rows",
        "The bad rate should rise from bin to bin, and does not: bins 1 and 2 (3.0% to 0.0%)",
    ]
    marks = bench.row_marks
    assert [note.text for note in marks[1] if note.kind == "limit"] == ["! no bads", "! below 5%"]
    assert [note.text for note in marks[4]] == ["! no rows"]
    assert "Bin 2 has no bads" in bench_html.verdict(bench) and "! no rows" in bench_html.bin_cells(bench, 4)
    bench.explain("kept small on purpose")
    assert bench.save("Analyst"), bench.errors


def test_a_binning_beyond_the_limits_may_have_more_than_the_optimum(file):
    bench = bench_of(two_samples([(995, 5), (40, 1), (960, 60), (30, 20)], ORDERLY, (1, 2, 3)), file)
    bench.set_cuts("1 2 3")
    assert "more than the optimum, which keeps to the limits" in bench.verdict


def test_neighbours_alike_are_marked_with_their_p_value(file):
    bench = bench_of(two_samples([(500, 10), (500, 11), (500, 60)], ORDERLY[:3], (1, 2)), file)
    bench.set_cuts("1 2")
    assert [note.text for note in bench.row_marks[0]] == ["≈ like bin 2 (p\u00a00.83)"]
    assert any(note.text.startswith("Bins 1 and 2 are alike") for note in bench.notes)
    assert bench.row_marks[1] == []


def test_bins_of_a_file_that_leave_levels_out_still_show_every_row(file):
    data = arrays()
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({"loan_purpose": [["Home"], ["Auto", "Personal"]]}))
    bench = bench_of(data, file)
    bench.choose("loan_purpose")
    table = bench.version().table
    assert table["count"].sum() == len(data.train) and list(table["bin"])[-1] == "unseen"
    assert bench_html.bin_title(bench, table.index[-1]) == "unseen"
    assert bench.loose_levels == ("Education",)
    bench.move_levels(["Education"], 0)
    assert bench.loose_levels == () and "unseen" not in list(bench.version().table["bin"])


def test_over_time_has_every_bin_in_every_period(bench, made):
    table = bench.over_time()
    assert table["count"].sum() == bench.train_rows + bench.test_rows
    assert list(dict.fromkeys(table["by"])) == sorted(set(table["by"])) and table["by"].iloc[0] == "2019Q1"
    assert bench.first_test_period == "2022Q4" and bench.dated


@pytest.mark.parametrize(("end", "kind"), [("2020-12-31", "2020-12"), ("2025-12-31", "2025Q4"), ("2044-12-31", "2044")])
def test_periods_are_months_quarters_or_years_but_not_too_many(end, kind):
    periods = periods_of(pd.Series(pd.date_range("2020-01-01", end, freq="D")))
    assert periods[-1] == kind and len(set(periods)) <= 40


def test_a_book_without_dates_has_nothing_over_time(file):
    bench = bench_of(arrays(), file)
    assert not bench.dated and bench.over_time() is None and bench.first_test_period == ""


# --- Saving -----------------------------------------------------------------------------------------------------------


def test_saving_asks_for_a_name_and_a_reason_for_each_change_and_loses_nothing(bench, file):
    bench.merge(0, 1)
    edited = bench.bins
    bench.choose("age")
    bench.force("out")
    assert not bench.save("  ")
    assert bench.errors["by"].startswith("needed")
    assert bench.errors["reason"] == "needed: why Age (years) is changed"
    assert bench.errors["save"] == "a reason is needed for Loan amount: choose each and give one"
    assert not file.exists()
    bench.explain("not allowed in this country")
    assert not bench.save("Analyst") and "Loan amount" in bench.errors["save"] and "reason" not in bench.errors
    bench.choose("loan_amount")
    assert bench.bins == edited
    bench.explain("two thin bins")
    assert bench.save("Analyst") and bench.errors == {} and "2 changes" in bench.said
    saved = Overrides.read(file, RETAIL)
    assert saved["loan_amount"].cuts == edited.cuts and saved["loan_amount"].reason == "two thin bins"
    assert (saved["age"].use, saved["age"].cuts, saved["age"].by) == ("out", None, "Analyst")
    assert saved["age"].at.endswith("+00:00") and saved.portfolio == "retail"
    assert bench.unsaved == []
    assert not bench.save("Analyst") and "nothing to save" in bench.errors["save"]


def test_training_with_the_saved_file_makes_the_bins_the_bench_showed(bench, file, made):
    bench.merge(1, 2)
    bench.explain("thin")
    bench.choose("loan_purpose")
    bench.move_levels(["Auto"], next(i for i, g in enumerate(bench.bins.groups) if "Home" in g))
    bench.set_missing(1)
    bench.explain("as agreed")
    bench.choose("age")
    bench.set_missing("worst")
    bench.explain("prudent")
    assert bench.save("Analyst")
    saved = Overrides.read(file, RETAIL)
    for name in ("loan_amount", "loan_purpose", "age"):
        values = made.book.frame[name].iloc[made.split.train]
        values = values.to_numpy(object) if name == "loan_purpose" else values.to_numpy(float)
        again = fit_column(values, made.book.bad[made.split.train], RETAIL, name, Limits(), saved[name])
        shown = bench.version(name).bins
        assert (again.cuts, again.goods, again.bads) == (shown.cuts, shown.goods, shown.bads)
        assert np.array_equal(again.woe, shown.woe)


def test_a_file_is_continued_where_it_was_left(bench, open_bench, file):
    bench.merge(0, 1)
    bench.explain("thin")
    bench.force("in")
    bench.save("First")
    again = open_bench()
    again.choose("loan_amount")
    assert again.bins == bench.bins and (again.use, again.reason) == ("in", "thin")
    assert again.edited and again.unsaved == [] and again.can_undo
    again.undo()
    assert not again.edited and again.unsaved == ["loan_amount"]
    again.redo()
    assert again.unsaved == []
    again.force("")
    again.explain("bins only")
    assert again.save("Second")
    entry = Overrides.read(file)["loan_amount"]
    assert (entry.use, entry.by, entry.reason, entry.cuts) == ("", "Second", "bins only", bench.bins.cuts)


def test_going_back_to_the_optimum_takes_the_entry_out_of_the_file(bench, open_bench, file):
    bench.merge(0, 1)
    bench.explain("thin")
    bench.choose("age")
    bench.force("out")
    bench.explain("law")
    bench.save("First")
    again = open_bench()
    again.choose("loan_amount")
    again.reset()
    assert again.decided("loan_amount") == "back to the optimum, not forced"
    assert again.save("Second"), again.errors
    assert list(Overrides.read(file)) == ["age"]


def test_entries_of_others_stay_whatever_this_bench_saves(bench, file):
    others = Overrides(
        (
            Override("income", cuts=(1e6,), reason="theirs", by="Other", at="2026-01-01T00:00:00+00:00"),
            Override("gender", use="out", reason="never", by="Other", at="2026-01-01T00:00:00+00:00"),
        ),
        "retail",
    )
    bench.merge(0, 1)
    bench.explain("thin")
    file.parent.mkdir(parents=True)
    others.write(file)  # after this bench was opened
    assert bench.save("Analyst"), bench.errors
    saved = Overrides.read(file)
    assert list(saved) == ["income", "gender", "loan_amount"]
    assert (saved["income"], saved["gender"]) == (others["income"], others["gender"])


def test_what_somebody_else_wrote_about_the_same_variable_is_said_before_it_is_replaced(bench, open_bench, file):
    other = open_bench()
    other.choose("loan_amount")
    other.set_cuts("1000000")
    other.explain("round")
    other.save("Other")
    bench.merge(0, 1)
    bench.explain("thin")
    assert not bench.save("Analyst")
    assert "written by Other" in bench.errors["save"] and "cuts 1,000,000" in bench.errors["save"]
    assert Overrides.read(file)["loan_amount"].by == "Other"
    assert bench.save("Analyst") and Overrides.read(file)["loan_amount"].by == "Analyst"


def test_what_this_bench_wrote_itself_is_no_news_to_it(bench, file):
    bench.choose("loan_purpose")
    for first in range(2):
        bench.merge(first, first + 1)
        bench.set_missing(first)
        bench.explain(f"step {first}")
        assert bench.save("Analyst"), bench.errors
    assert Overrides.read(file)["loan_purpose"].reason == "step 1"


def test_a_file_that_broke_meanwhile_is_not_written_over(bench, file):
    bench.merge(0, 1)
    bench.explain("thin")
    file.parent.mkdir(parents=True)
    file.write_text("{")
    assert not bench.save("Analyst")
    assert "not valid JSON" in bench.errors["save"] and file.read_text() == "{" and bench.edited


def test_a_place_that_cannot_be_written_is_said_and_the_edits_stay(bench, tmp_path):
    (tmp_path / "decisions").write_text("a file where a folder should be")
    bench.merge(0, 1)
    bench.explain("thin")
    assert not bench.save("Analyst")
    assert bench.errors["save"] and bench.unsaved == ["loan_amount"]


def test_cuts_brought_from_elsewhere_are_shown_and_kept_as_they_are(open_bench, file):
    file.parent.mkdir(parents=True)
    file.write_text('{"age": [25, 40, 55.5]}')
    bench = open_bench()
    bench.choose("age")
    assert bench.bins.cuts == (25, 40, 55.5) and bench.reason == "brought from overrides.json"
    bench.force("in")
    assert bench.save("Analyst")
    assert Overrides.read(file)["age"].cuts == (25, 40, 55.5)


def test_missing_alone_is_saved_without_cuts_and_comes_back(file):
    data = arrays()
    bench = bench_of(data, file)
    bench.choose("income")
    bench.set_missing("worst")
    bench.explain("prudent")
    assert bench.save("Analyst")
    entry = Overrides.read(file)["income"]
    assert entry.missing == "worst" and entry.cuts is None
    again = bench_of(data, file)
    assert again.version("income").bins == bench.version("income").bins


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", "not valid JSON"),
        ('{"portfolio": "german", "variables": {}}', "portfolio 'german'"),
        ('{"agee": [1]}', "agee"),
    ],
)
def test_a_file_that_does_not_fit_stops_the_bench_with_its_mistakes(open_bench, file, text, complaint):
    file.parent.mkdir(parents=True)
    file.write_text(text)
    with pytest.raises(OverridesError, match=complaint):
        open_bench()


def test_an_address_is_refused_since_it_cannot_be_written(made):
    with pytest.raises(OverridesError, match="give a file on this computer"):
        BinningBench.of_book(made.book, made.split, "s3://bucket/overrides.json")


def test_without_a_file_overrides_lie_beside_the_models_or_at_home(settings_in, tmp_path, monkeypatch):
    from creditrisk.settings import reload_settings

    assert default_file() == str(tmp_path / "artifacts" / "overrides.json")
    monkeypatch.setenv("CREDITRISK_ARTIFACTS", "s3://bucket/models")
    monkeypatch.setenv("CREDITRISK_HOME", str(tmp_path))
    reload_settings()
    assert default_file() == str(tmp_path / "overrides.json")


# --- Following and showing --------------------------------------------------------------------------------------------


def test_every_change_is_one_revision(bench):
    seen = []
    bench.observe(lambda change: seen.append(change["new"]), "revision")
    for act in (
        lambda: bench.merge(0, 1), bench.undo, bench.redo, bench.reset, lambda: bench.choose("age"),
        lambda: bench.choose_bin(1), lambda: bench.force("in"), lambda: bench.explain("x"), lambda: bench.split("?"),
    ):  # fmt: skip
        before = len(seen)
        act()
        assert len(seen) == before + 1
    for act in (bench.redo, lambda: bench.choose("age"), lambda: bench.choose_bin(1), lambda: bench.force("in")):
        act()
    assert len(seen) == 9, "what changes nothing is no revision"


def test_texts_from_outside_are_escaped(bench):
    bench.merge(0, 1)
    bench.explain("<script>alert(1)</script>")
    assert "<script>" not in bench_html.changes(bench) and "&lt;script&gt;" in bench_html.changes(bench)
    bench.split("<b>")
    assert "<b>" not in bench_html.problem(bench.errors, "split")


def test_bins_are_counted_from_one_and_ends_are_open(bench):
    assert bench_html.bin_title(bench, 0).startswith(f"1{bench_html.GAP}[−∞, ")
    assert bench_html.bin_title(bench, bench.bins.n_regular - 1).endswith("∞)")
    bench.choose("loan_purpose")
    assert bench_html.bin_title(bench, 0) == f"1{bench_html.GAP}{bench.bins.labels()[0]}"


def test_the_state_needs_neither_widgets_nor_a_drawing_library():
    code = (
        "import sys; import creditrisk.ui.bench_state, creditrisk.ui.bench_words;"
        "heavy = {'ipywidgets', 'bqplot', 'IPython', 'matplotlib'} & set(sys.modules);"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_the_widget_follows_the_state_and_passes_actions_on(bench, file):
    from creditrisk.ui import bench as view

    shown = view.VariableView(bench)
    bench.observe(lambda _: shown.show(), "revision")
    shown.show()
    optimum = bench.bins
    shown._numbers._merge.after.click()
    assert bench.bins == optimum.merge(0, 1) and not shown.undo.disabled
    assert bench.verdict.split(";")[0] in shown._verdict.value
    shown.undo.click()
    assert bench.bins == optimum and shown.undo.disabled and not shown.redo.disabled
    shown._numbers.split.text.value = "12x"
    shown._numbers.split.button.click()
    assert "12x is not a number" in shown._numbers.split._problem.value
    assert shown._numbers.split.text.value == "12x", "what was typed stays to be corrected"
    shown.pick.value = "loan_purpose"
    assert bench.chosen == "loan_purpose" and "cr-quiet" in shown._numbers.view._dom_classes
    widget = view.bench_widget(bench)
    assert repr(widget) == "Binning bench (Retail loans): 13 variables; open it in JupyterLab to edit them"


def test_many_variables_come_in_pages(file, monkeypatch):
    from creditrisk.ui import bench as view

    monkeypatch.setattr(view, "PAGE", 20)
    bench = bench_of(arrays(), file)
    rows = [replace(bench.rows[0], name=f"v{i}") for i in range(43)]
    many = SimpleNamespace(rows=rows, chosen="v0", choose=print)
    shown = view.VariablesView(many)
    shown.show()
    assert len(shown._box.children) == 20 and shown._where.value == "1 to 20 of 43"
    shown._after.click()
    shown._after.click()
    assert len(shown._box.children) == 3 and shown._after.disabled and shown._where.value == "41 to 43 of 43"
    many.chosen = "v25"
    shown.show()
    assert shown._where.value == "21 to 40 of 43", "the page of what was chosen elsewhere"


def test_the_chart_names_bins_and_keeps_test_and_training_apart(bench):
    from creditrisk.ui.bench_chart import BinChart

    chart = BinChart(bench.choose_bin)
    chart.show(bench.version(), 0)
    count = bench.bins.n_regular
    assert list(chart._numbers.tick_labels.values()) == [str(k + 1) for k in range(count)]
    assert len(chart._edges.tick_values) == count - 1
    assert chart._points[0].marker != chart._points[1].marker
    assert chart._lines[0].line_style != chart._lines[1].line_style
    assert np.allclose(chart._points[0].y, bench.version().table["bad_rate"])
    assert np.allclose(chart._bars[1].y[:count], bench.version().table["test_count_share"])
    assert not chart._bars[1].y[count:].any() and chart._bars[1].x[count:].min() > chart._x.max


# --- Static charts ----------------------------------------------------------------------------------------------------


def test_static_charts_are_pictures_of_every_kind_of_variable(bench):
    from creditrisk.ui import charts

    names = ["loan_amount", "loan_purpose", "number_of_open_accounts"]
    bins = [bench.version(name).bins for name in names]
    images = [
        charts.side_by_side_charts(bins, [bench.version(name).table for name in names], RETAIL),
        charts.woe_charts(bins, RETAIL),
        charts.rates_over_time(bins, [bench.over_time(n) for n in names], RETAIL, marked=bench.first_test_period),
        charts.bin_charts(bins, RETAIL),
    ]
    for image in images:
        assert image.data.startswith(b"\x89PNG") and len(image.data) > 10_000 and image.alt


def test_an_empty_bin_is_drawn_as_nothing(file):
    from creditrisk.ui import charts

    bench = bench_of(two_samples(ORDERLY, ORDERLY, (1, 2, 3)), file)
    bench.set_cuts("1 2 3 8")
    version = bench.version()
    assert isinstance(version.bins, Bins) and 4 not in version.table.index
    assert charts.side_by_side_charts([version.bins], [version.table], RETAIL).data
    assert charts.woe_charts([version.bins], RETAIL).data


def test_an_edit_that_costs_much_is_said_apart(bench):
    name = max(bench.rows, key=lambda row: row.bins).name
    bench.choose(name)
    while bench.version().bins.n_regular > 1:
        bench.merge(0, 1)
    assert any("information value is gone" in note.text for note in bench.notes)


def test_a_name_takes_its_complaint_away_and_the_report_has_every_bin(bench):
    name = max(bench.rows, key=lambda row: row.bins).name
    bench.choose(name)
    bench.merge(0, 1)
    assert not bench.save("") and "by" in bench.errors
    bench.named()
    assert "by" not in bench.errors
    bench.explain("too thin")
    assert bench.decisions()["reason"].tolist() == ["too thin"]
    table = bench.bins_table()
    assert set(table["variable"]) == {row.name for row in bench.rows} and (table["count"].sum() > 0)
