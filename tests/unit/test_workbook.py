"""The workbook of a scorecard, read back: numbers are those of their sources, text is text, and it can be read."""

from __future__ import annotations

import math
import zipfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import openpyxl
import pandas as pd
import pytest

from creditrisk.binning.sql import DIALECTS
from creditrisk.errors import BinningError
from creditrisk.modelling import spreadsheet, workbook
from creditrisk.modelling.attempts import mask_optional
from creditrisk.modelling.calibration import Calibration
from creditrisk.modelling.coefficients import coefficient_table
from creditrisk.modelling.metrics import auc
from creditrisk.modelling.scorecard import Scorecard, points_table
from creditrisk.modelling.scorecard_sql import scorecard_sql
from creditrisk.modelling.spreadsheet import COUNT, TOP, Column, Sheet, workbook_bytes
from creditrisk.modelling.workbook import Filing, Sample, cut_offs, gains_of, period_labels, verdict, write_workbook
from unit.models import RETAIL, small_fitted, small_models, small_training

SHEETS = [
    "Card", "Coefficients", "Bins", "Funnel", "Gains", "Stability", "Periods", "Cut-offs", "SQL sqlite",
    "SQL postgresql", "SQL generic", "About",
]  # fmt: skip
FILING = Filing(
    "v1", "5e" * 32, "20260101T000000Z-train-abcdef", "2026-01-01T00:00:00+00:00", "3 Logistic on WOE", "a reason",
    {"python": "3.11.9"},
)  # fmt: skip


def written(path: Path, **changes) -> Path:
    fitted = small_fitted()["v1"]
    given = {
        "cut_off": fitted.threshold,
        "left": fitted.left,
        "reasons": small_models()["v1"].reasons,
        "filing": FILING,
    }
    return write_workbook(path, fitted.model, small_training(), **given | changes)


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> Path:
    return written(tmp_path_factory.mktemp("filed") / "deep" / "scorecard.xlsx")


@pytest.fixture(scope="module")
def book(path) -> openpyxl.Workbook:
    return openpyxl.load_workbook(path)


def read(book: openpyxl.Workbook, name: str) -> pd.DataFrame:
    """The table of one sheet, by its titles."""
    titles, *rows = ([cell.value for cell in row] for row in book[name].iter_rows(min_row=TOP))
    return pd.DataFrame(rows, columns=titles)


def numbers(column: pd.Series) -> np.ndarray:
    return column.astype(float).to_numpy()


def sample(part: str) -> Sample:
    model = small_fitted()["v1"].model
    return Sample.of(model, Scorecard.fit(model, RETAIL.points), small_training().part(part))


# Numbers


def test_every_subject_has_its_sheet(book):
    assert book.sheetnames == SHEETS


def test_the_card_is_the_points_table_and_scores_rows_by_itself(book):
    model, columns = small_fitted()["v1"].model, small_training().part("test").columns
    card, source = read(book, "Card"), points_table(model, RETAIL.points)
    assert (
        card["Variable"].tolist() == source["variable"].tolist()
        and card["Points"].tolist() == source["points"].tolist()
    )
    assert card["Bin"].tolist()[1:] == source["bin"].tolist()[1:] and card["Bin"][0] == "everybody"
    assert np.allclose(numbers(card["WOE"])[1:], source["woe"][1:], atol=1e-15)
    total, exact = np.full(len(columns["age"]), card["Points"][0]), np.full(len(columns["age"]), card["Unrounded"][0])
    for bins in model.design.bins:
        of_bin = card[card["Variable"] == bins.name].set_index("Bin")
        labels = np.array(bins.labels(), dtype=object)[bins.assign(columns[bins.name])]
        total = total + of_bin["Points"].loc[labels].to_numpy()
        exact = exact + of_bin["Unrounded"].loc[labels].to_numpy(dtype=float)
        assert of_bin["Share of rows"].sum() == pytest.approx(1)
        table = bins.table().set_index("bin")
        filled = of_bin.loc[table.index]
        assert np.allclose(numbers(filled["Bad rate"]), table["bad_rate"]) and of_bin["Bad rate"].count() == len(table)
        assert np.allclose(numbers(filled["Share of rows"]), table["count_share"])
        assert set(of_bin["In words"]) == {RETAIL.columns[bins.name].label}
    assert total.tolist() == sample("test").points.tolist()
    assert np.abs(exact - sample("test").unrounded).max() < 1e-6
    largest = Scorecard.fit(model, RETAIL.points).largest_error
    assert f"differ from the unrounded score by {largest:.2f} at most" in book["Card"]["A2"].value


def test_coefficients_are_those_of_the_unpenalised_fit(book):
    model, training = small_fitted()["v1"].model, small_training()
    source = coefficient_table(model, mask_optional(training.part("train"), RETAIL, training.seed))
    found = read(book, "Coefficients")
    titles = {"Coefficient": "coefficient", "Standard error": "std_error", "z": "z", "p": "p", "VIF": "vif",
              "Importance": "importance", "As shipped": "shipped", "Apart, in errors": "errors_apart"}  # fmt: skip
    for title, name in titles.items():
        assert np.allclose(numbers(found[title]), source[name], rtol=1e-12, equal_nan=True), title
    assert found["Sign"].tolist()[1:] == source["sign"].tolist()[1:] == ["right"] * (len(found) - 1)


def test_bins_are_those_of_every_candidate_with_counts_and_certificate(book):
    training, model = small_training(), small_fitted()["v1"].model
    found = read(book, "Bins")
    assert set(found["Variable"]) == {bins.name for bins in training.bins.bins}
    shipped = {bins.name: bins for bins in model.design.bins}
    assert set(found.loc[found["In the card"] == "yes", "Variable"]) == set(shipped)
    for bins in training.bins.bins:
        bins = shipped.get(bins.name, bins)
        mine = found[found["Variable"] == bins.name]
        assert (
            mine["Rows"].sum() == len(training.split.train) and mine["Bads"].sum() == training.part("train").bad.sum()
        )
        assert (
            mine["Goods"].tolist() == bins.table()["goods"].tolist()
            and mine["Bin"].tolist() == bins.table()["bin"].tolist()
        )
        assert numbers(mine["IV of variable"]) == pytest.approx(bins.iv)
        assert numbers(mine["IV of bin"]).sum() == pytest.approx(bins.iv)
        certificate = np.nan if bins.certificate is None else bins.certificate
        assert np.allclose(numbers(mine["Certificate"]), certificate, equal_nan=True)
    assert found["Certificate"].notna().any()


def test_every_column_of_the_book_is_in_the_funnel_with_a_reason_if_it_is_not_in_the_card(book):
    fitted, found = small_fitted()["v1"], read(book, "Funnel").set_index("Column")
    assert sorted(found.index) == sorted(RETAIL.columns)
    assert set(found.index[found["Status"] == "in the card"]) == set(fitted.model.features)
    left = found[found["Status"] == "left in fitting"]
    assert fitted.left and left["Reason"].to_dict() == fitted.left
    assert found["Reason"].map(bool).all()
    assert (found.loc["gender", "Status"], found.loc["gender", "Reason"]) == (
        "out",
        "protected: audited, never modelled",
    )
    assert found.loc["enquiry_count", "Status"] == "not for the card"
    assert f"{len(fitted.model.features)} in the card, {len(left)} left in fitting" in book["Funnel"]["A2"].value


def test_gains_add_up_and_end_where_they_must(book):
    found, source = read(book, "Gains"), {name: sample(name) for name in ("train", "test")}
    for name, one in source.items():
        mine = found[found["Sample"] == name]
        assert mine["Decile"].tolist() == list(range(1, 11))
        assert (mine["Rows"].sum(), mine["Bads"].sum()) == (len(one.bad), one.bad.sum())
        assert np.abs(mine["Rows"] / len(one.bad) - 0.1).max() < 0.02
        riskiest = np.argsort(-one.pd, kind="stable")[: mine["Rows"].iloc[0]]
        assert mine["Bads"].iloc[0] == one.bad[riskiest].sum()
        assert mine["Bads so far"].iloc[0] == pytest.approx(one.bad[riskiest].sum() / one.bad.sum())
        assert mine["Mean PD"].iloc[0] == pytest.approx(one.pd[riskiest].mean())
        assert mine["Lowest points"].iloc[0] == one.points[riskiest].min()
        assert mine[["Bads so far", "Goods so far", "Lift so far"]].iloc[-1].tolist() == pytest.approx([1, 1, 1])
        assert (mine["Gap"] - (mine["Bads so far"] - mine["Goods so far"])).abs().max() < 1e-12
        assert f"{name.capitalize()} rows: AUC {auc(one.bad, one.pd):.4f}" in book["Gains"]["A2"].value


def test_rows_of_one_pd_share_a_decile_so_that_their_order_does_not_matter():
    rng = np.random.default_rng(0)
    pds = rng.choice([0.01, 0.02, 0.3, 0.31], size=1_000, p=[0.05, 0.55, 0.3, 0.1])
    one = Sample((rng.random(1_000) < pds).astype(float), pds, np.zeros(1_000), np.zeros(1_000))
    order = rng.permutation(1_000)
    other = Sample(one.bad[order], one.pd[order], one.points, one.unrounded)
    pd.testing.assert_frame_equal(gains_of(one), gains_of(other))
    assert gains_of(one)["rows"].tolist() == [int((pds == pd_).sum()) for pd_ in (0.31, 0.3, 0.02, 0.01)]
    assert gains_of(one)["captured"].iloc[-1] == 1


def test_a_decile_has_the_points_of_its_own_rows():
    rng = np.random.default_rng(3)
    pds = rng.choice([0.02, 0.05, 0.2, 0.4], size=500)
    one = Sample((rng.random(500) < pds).astype(float), pds, rng.integers(400, 700, 500), np.zeros(500))
    table = gains_of(one)
    for row, level in zip(table.itertuples(), (0.4, 0.2, 0.05, 0.02), strict=True):
        mine = one.points[pds == level]
        assert (row.lowest, row.highest, row.rows) == (mine.min(), mine.max(), len(mine))


def psi_by_hand(expected: np.ndarray, observed: np.ndarray) -> float:
    a, b = (expected + 0.5) / (expected + 0.5).sum(), (observed + 0.5) / (observed + 0.5).sum()
    return float(((b - a) * np.log(b / a)).sum())


def test_stability_is_the_psi_of_test_and_of_each_period_over_the_bins_of_the_card(book):
    training, model = small_training(), small_fitted()["v1"].model
    found = read(book, "Stability").set_index("Variable")
    assert found.index.tolist() == ["points", *model.features]
    quarters = training.book.dates.dt.to_period("Q").astype(str).to_numpy()
    assert [title for title in found if title[:4].isdigit()] == sorted(set(quarters))
    for bins in model.design.bins:
        slots = bins.assign(training.rows.columns[bins.name])
        counts = {"PSI, test": slots[training.split.test], "2023Q2": slots[quarters == "2023Q2"]}
        train = np.bincount(slots[training.split.train], minlength=bins.n_slots)
        filled = train + sum(np.bincount(part, minlength=bins.n_slots) for part in counts.values()) > 0
        for title, part in counts.items():
            count = np.bincount(part, minlength=bins.n_slots)
            used = filled & (train + count > 0)
            assert found.loc[bins.name, title] == pytest.approx(psi_by_hand(train[used], count[used]))
    points = Scorecard.fit(model, RETAIL.points).total(model.design, training.rows.columns)
    cuts = np.unique(np.quantile(points[training.split.train], np.arange(1, 10) / 10, method="inverted_cdf"))
    by_band = [np.bincount(np.searchsorted(cuts, points[rows], side="right"), minlength=10)
               for rows in (training.split.train, training.split.test)]  # fmt: skip
    assert found.loc["points", "PSI, test"] == pytest.approx(psi_by_hand(*by_band))
    assert set(found["Verdict"]) == {"stable"}


def test_a_shifted_test_sample_is_told(tmp_path):
    training = small_training()
    columns = dict(training.rows.columns)
    columns["age"] = np.where(np.isin(np.arange(len(columns["age"])), training.split.test), 60.0, columns["age"])
    moved = replace(training, rows=replace(training.rows, columns=columns))
    fitted = small_fitted()["v1"]
    sheet = workbook.stability_sheet(fitted.model, Scorecard.fit(fitted.model, RETAIL.points), moved)
    verdicts = sheet.table.set_index("what")["verdict"]
    assert verdicts["age"] == "act" and verdicts["income"] == "stable"
    assert [verdict(value) for value in (0.0999, 0.1, 0.2499, 0.25, math.nan)] == [
        "stable",
        "watch",
        "watch",
        "act",
        "",
    ]


def test_periods_count_every_row_once(book):
    training, found = small_training(), read(book, "Periods").set_index("Quarter")
    assert found["Rows"].sum() == len(training.rows) and found["Bads"].sum() == training.rows.bad.sum()
    quarters = training.book.dates.dt.to_period("Q").astype(str).to_numpy()
    mine = quarters == "2021Q3"
    everything = Sample.of(
        small_fitted()["v1"].model, Scorecard.fit(small_fitted()["v1"].model, RETAIL.points), training.rows
    )
    row = found.loc["2021Q3"]
    assert row["Rows"] == mine.sum() and row["Bad rate"] == pytest.approx(everything.bad[mine].mean())
    assert row["Mean PD"] == pytest.approx(everything.pd[mine].mean())
    assert row["Mean points"] == pytest.approx(everything.points[mine].mean())
    assert row["Part"] == "train" and found["Part"].iloc[-1] == "test"


def test_periods_are_months_quarters_or_years_as_many_as_can_be_looked_at():
    def labels(start: str, end: str):
        return period_labels(pd.Series(pd.date_range(start, end, freq="15D")))

    assert labels("2022-01-01", "2023-12-31")[1] == "month" and labels("2022-01-01", "2024-01-31")[1] == "quarter"
    assert labels("2010-01-01", "2023-12-31")[1] == "year"
    found, word = period_labels(pd.Series(pd.to_datetime(["2022-01-31", None, "2022-02-01"])))
    assert (found.tolist(), word) == (["2022-01", "", "2022-02"], "month")


def test_each_cut_off_says_what_it_would_do_to_the_test_rows(book):
    one, found = sample("test"), read(book, "Cut-offs")
    assert found["Rows in band"].sum() == len(one.bad) and found["Bads in band"].sum() == one.bad.sum()
    assert 10 < len(found) <= workbook.MOST_BANDS and found["Approval rate"][0] == 1
    for _, row in found.iterrows():
        approved = one.points >= row["Cut-off, points"]
        inside = approved & (one.points < row["Band below"])
        assert row["Approved"] == approved.sum() and row["Approval rate"] == pytest.approx(approved.mean())
        assert row["Bad rate of approved"] == pytest.approx(one.bad[approved].mean())
        assert row["Bads caught"] == pytest.approx(one.bad[~approved].sum() / one.bad.sum())
        assert row["Goods lost"] == pytest.approx((1 - one.bad[~approved]).sum() / (1 - one.bad).sum())
        assert row["Rows in band"] == inside.sum()
        assert row["PD at cut-off"] == pytest.approx(1 / (1 + 50 * 2 ** ((row["Cut-off, points"] - 600) / 20)))
        assert row["Odds at cut-off"] == pytest.approx(50 * 2 ** ((row["Cut-off, points"] - 600) / 20))
    cut_off = small_fitted()["v1"].threshold
    (here,) = found.index[found["Note"].notna()]
    assert found["PD at cut-off"][here + 1] < cut_off <= found["PD at cut-off"][here]
    approved = one.pd < cut_off
    assert (
        f"approves {approved.mean():.1%} of these rows, of which {one.bad[approved].mean():.2%}"
        in book["Cut-offs"]["A2"].value
    )


def test_a_card_with_few_totals_has_few_bands():
    one = Sample(np.array([0.0, 1.0, 0.0]), np.array([0.1, 0.5, 0.1]), np.array([601, 597, 601]), np.zeros(3))
    table = cut_offs(one, Scorecard.fit(small_fitted()["v1"].model, RETAIL.points))
    assert table["points"].tolist() == [597, 598, 599, 600, 601] and table["approved"].tolist() == [3, 2, 2, 2, 2]
    assert table["bad_rate"].isna().tolist() == [False, True, True, True, False]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_lines_of_sql_are_the_statement(book, dialect):
    statement = scorecard_sql(
        small_fitted()["v1"].model, RETAIL.points, "applications", dialect, id_columns=["application_id"]
    )
    lines = [row[0].value or "" for row in book[f"SQL {dialect}"].iter_rows(min_row=TOP + 1)]
    assert "\n".join(lines).rstrip("\n") == statement.rstrip("\n") and "CASE" in statement


def test_a_name_that_a_database_cannot_hold_is_said_in_place_of_the_statement():
    model = small_fitted()["v1"].model
    card = Scorecard.fit(model, RETAIL.points)
    sheet = workbook.sql_sheet(model, card, RETAIL.model_copy(update={"application_id": "x" * 64}), "postgresql")
    assert "longer than 63 bytes" in sheet.table["statement"][0] and "no statement for postgresql" in sheet.about


def test_about_says_what_was_filed_and_how_far_points_are_off(book):
    about = read(book, "About").set_index("Item")["Value"]
    card, data = Scorecard.fit(small_fitted()["v1"].model, RETAIL.points), small_models()["v1"]
    assert (about["Model version"], about["SHA-256 of the model file"]) == ("v1", "5e" * 32)
    assert (about["Run"], about["Trained"]) == (FILING.run, FILING.created)
    assert about["Bad means"] == RETAIL.target.definition and about["Baseline"] == data.reasons.about
    assert about["Largest rounding error, points"].startswith(f"{card.largest_error:.2f}, over all combinations")
    seen = max(np.abs(s.points - s.unrounded).max() for s in map(sample, ("train", "test")))
    assert about["Largest rounding error, points"].endswith(f"{seen:.2f}") and seen <= card.largest_error
    assert f"by {100 * card.largest_pd_error:.2f} percentage points at most" in about["Largest rounding error, PD"]
    assert f"odds by {math.exp(card.largest_error * math.log(2) / 20) - 1:.1%}" in about["Largest rounding error, PD"]
    assert "linear in PD, hence not additive" in about["credit_score is another scale"]
    assert "ln(share of all goods / share of all bads)" in about["WOE"] and "must be negative" in about["WOE"]
    assert about["Rows, test"].startswith(f"{len(small_training().split.test):,}, of which")
    assert "2023-12" in about["Rows, test"] and "600 points are odds of 50" in about["Scale"]


def test_what_is_not_known_is_said_to_be(tmp_path):
    about = read(openpyxl.load_workbook(written(tmp_path / "c.xlsx", filing=None, reasons=None)), "About")
    about = about.set_index("Item")["Value"]
    assert about["SHA-256 of the model file"] == "not known when this was written" and "Baseline" not in about
    assert about["Run"] == "not recorded" and "Attempt" not in about


def test_pds_are_labelled_point_in_time_or_through_the_cycle(book, tmp_path):
    assert "PDs are point-in-time" in book["Gains"]["A2"].value
    assert read(book, "About").set_index("Item")["Value"]["PDs are"] == "point-in-time"
    model, training = small_fitted()["v1"].model, small_training()
    margin = small_fitted()["v1"].out_of_fold
    shifted = model.calibrated(model.calibration.aimed_at(0.05, margin))
    other = openpyxl.load_workbook(write_workbook(tmp_path / "c.xlsx", shifted, training, cut_off=0.1))
    about = read(other, "About").set_index("Item")["Value"]["PDs are"]
    assert "mean PD of the training rows, each scored by a model that has not seen it, is 5.00%" in about
    for name in ("Gains", "Periods"):
        said = "PDs are through-the-cycle. Bad rates judge PDs before the shift to a long-run rate, not these."
        assert said in other[name]["A2"].value and "before the shift" not in book[name]["A2"].value


def test_the_points_filed_are_those_of_the_stored_card(tmp_path):
    model, columns = small_fitted()["v1"].model, small_training().part("test").columns
    fresh = Scorecard.fit(model, RETAIL.points)
    first = tuple(p + 1 for p in fresh.points[0][:1]) + fresh.points[0][1:]
    stored = replace(fresh, base=fresh.base - 2, points=(first, *fresh.points[1:]))
    book = openpyxl.load_workbook(written(tmp_path / "c.xlsx", card=stored))
    assert read(book, "Card")["Points"].tolist() == stored.table(model.design)["points"].tolist()
    statement = "\n".join(row[0].value or "" for row in book["SQL sqlite"].iter_rows(min_row=TOP + 1))
    assert statement.rstrip("\n") == scorecard_sql(
        model, RETAIL.points, "applications", "sqlite", id_columns=["application_id"], card=stored
    ).rstrip("\n")
    assert (
        read(book, "Gains").query("Sample == 'test'")["Lowest points"].min()
        == stored.total(model.design, columns).min()
    )
    other = small_fitted()["v1"].model.calibrated(Calibration("shift", 1.0, 1.0))
    with pytest.raises(BinningError, match="not of this model"):
        write_workbook(tmp_path / "d.xlsx", other, small_training(), cut_off=0.1, card=stored)
    assert not (tmp_path / "d.xlsx").exists()


def test_a_book_without_dates_has_no_periods(tmp_path):
    training = small_training()
    undated = replace(training, book=replace(training.book, dates=None))
    fitted = small_fitted()["v1"]
    path = write_workbook(tmp_path / "c.xlsx", fitted.model, undated, cut_off=fitted.threshold)
    book = openpyxl.load_workbook(path)
    assert book.sheetnames == [name for name in SHEETS if name != "Periods"]
    assert list(read(book, "Stability")) == ["Variable", "In words", "PSI, test", "Verdict"]


def test_trees_are_not_filed(tmp_path):
    with pytest.raises(TypeError, match="not one"):
        write_workbook(tmp_path / "c.xlsx", small_fitted()["v2"].model, small_training(), cut_off=0.1)
    assert not (tmp_path / "c.xlsx").exists()


# Text, bytes and layout

DANGEROUS = ["=1+1", '=HYPERLINK("http://x","y")', "+1", "-1+2", "@SUM(A1)", "\t=1", "#N/A", "'=1", "1e5", "TRUE"]


def test_text_that_looks_like_a_formula_stays_text(tmp_path):
    table = pd.DataFrame({"what": DANGEROUS, "n": range(len(DANGEROUS))})
    sheet = Sheet("=Sheet"[1:], "=1+1", "@about", table, {"what": Column("=2+2"), "n": Column("-n", COUNT)})
    path = tmp_path / "t.xlsx"
    path.write_bytes(workbook_bytes([sheet], "=title"))
    page = openpyxl.load_workbook(path)["Sheet"]
    assert [cell.value for cell in page["A"][TOP:]] == DANGEROUS
    assert {cell.data_type for cell in page["A"][TOP:]} == {"s"}
    assert [page[at].value for at in ("A1", "A2", "A4", "B4")] == ["=1+1", "@about", "=2+2", "-n"]
    for row in page.iter_rows():
        for cell in row:
            if isinstance(cell.value, str):
                assert cell.quotePrefix == (cell.value[:1] in ("=", "+", "-", "@", "\t"))
    with zipfile.ZipFile(path) as parts:
        assert b"<f>" not in parts.read("xl/worksheets/sheet1.xml")


def test_no_cell_of_a_workbook_is_a_formula_or_an_error(book):
    kinds = {cell.data_type for page in book for row in page.iter_rows() for cell in row}
    assert kinds <= {"s", "n"}


def test_what_a_file_cannot_hold_is_replaced_and_what_is_missing_stays_empty(tmp_path):
    table = pd.DataFrame({"what": ["a\x00b\x1f", None, pd.NA], "n": [np.inf, np.nan, np.float64(0.5)]}, dtype=object)
    path = tmp_path / "t.xlsx"
    columns = {"what": Column("What"), "n": Column("N", "0.0")}
    path.write_bytes(workbook_bytes([Sheet("Sheet", "t", "a", table, columns)], "t"))
    page = openpyxl.load_workbook(path)["Sheet"]
    values = [[cell.value for cell in row] for row in page.iter_rows(min_row=TOP + 1)]
    assert values == [["a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}", "infinite"], [None, None], [None, 0.5]]


def test_equal_workbooks_are_equal_bytes_whenever_they_are_written(tmp_path, path, monkeypatch):
    class Later(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime(2031, 5, 6, 7, 8, 9, tzinfo=tz or UTC)

    monkeypatch.setattr("openpyxl.writer.excel.datetime.datetime", Later)
    monkeypatch.setattr("time.time", lambda: 1_900_000_000.0)
    assert written(tmp_path / "again.xlsx").read_bytes() == path.read_bytes()
    assert written(tmp_path / "other.xlsx", filing=replace(FILING, run="another")).read_bytes() != path.read_bytes()


@pytest.mark.parametrize("name", SHEETS)
def test_a_sheet_can_be_read(book, name):
    """A header that stays in sight, number formats, and no text that is cut off."""
    page = book[name]
    columns = page.max_column
    assert page.freeze_panes and page.freeze_panes.endswith(str(TOP + 1)) and page.print_title_rows == f"${TOP}:${TOP}"
    assert page.page_setup.orientation == "landscape" and page.page_setup.fitToWidth == 1
    assert page["A1"].value and page["A2"].value
    widths = [page.column_dimensions[openpyxl.utils.get_column_letter(j)].width for j in range(1, columns + 1)]
    assert max(widths) <= spreadsheet.WIDEST_CODE
    assert (
        name.startswith("SQL")
        or page.auto_filter.ref == f"A{TOP}:{openpyxl.utils.get_column_letter(columns)}{page.max_row}"
    )
    assert page.row_dimensions[2].height >= 15 * math.ceil(len(page["A2"].value) / sum(widths) / 1.15)
    for row in page.iter_rows(min_row=TOP):
        for cell, width in zip(row, widths, strict=True):
            if isinstance(cell.value, str):
                lines = page.row_dimensions[cell.row].height or 15
                fits = len(cell.value) + 1 <= width or cell.alignment.wrap_text
                assert fits and len(cell.value) <= (lines / 15) * width * 1.1, (cell.coordinate, cell.value)
                assert max(map(len, cell.value.split()), default=0) < width or name.startswith("SQL")
            elif isinstance(cell.value, float) and not float(cell.value).is_integer():
                assert cell.number_format != "General", (cell.coordinate, cell.value)
    for cell in page[TOP]:
        assert cell.comment is None or (cell.comment.text and cell.comment.height >= 45)
    terms = {"WOE", "VIF", "PSI, test", "Certificate", "IV", "p"} & {cell.value for cell in page[TOP]}
    assert all(cell.comment for cell in page[TOP] if cell.value in terms)
