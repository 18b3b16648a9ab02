"""The embedded book keeps the published figures it is meant to reproduce."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from creditrisk.data.sample import SampleBook, make_applications, make_book, write_book
from creditrisk.errors import ParameterError


@pytest.fixture(scope="module")
def book() -> SampleBook:
    return make_book()


@pytest.fixture(scope="module")
def clean() -> pd.DataFrame:
    """Customers, loans, bureau data and truth of a clean book side by side."""
    book = make_book(dirty=False, seed=1)
    joined = book.loans.merge(book.customers, on="cust_id").merge(book.bureau_data, on="cust_id")
    assert joined["loan_id"].tolist() == book.loans["loan_id"].tolist()
    return joined.assign(true_pd=book.true_pd)


def shares(column: pd.Series) -> dict:
    return column.value_counts(normalize=True).to_dict()


def test_columns_and_kinds_are_those_of_the_contract(book):
    assert list(book.tables) == ["customers", "loans", "bureau_data"]
    assert list(book.customers) == [
        "cust_id", "age", "gender", "marital_status", "employment_status", "income", "number_of_dependants",
        "residence_type", "years_at_current_address", "city", "state", "zipcode",
    ]  # fmt: skip
    assert list(book.loans) == [
        "loan_id", "cust_id", "loan_purpose", "loan_type", "sanction_amount", "loan_amount", "processing_fee",
        "gst", "net_disbursement", "loan_tenure_months", "principal_outstanding",
        "bank_balance_at_application", "disbursal_date", "installment_start_dt", "default",
    ]  # fmt: skip
    assert list(book.bureau_data) == [
        "cust_id", "number_of_open_accounts", "number_of_closed_accounts", "total_loan_months",
        "delinquent_months", "total_dpd", "enquiry_count", "credit_utilization_ratio",
    ]  # fmt: skip
    assert book.customers["cust_id"].iloc[0] == "C00001"
    assert book.loans["loan_id"].iloc[-1] == "L50000"
    for table, key in (("customers", "cust_id"), ("loans", "loan_id"), ("bureau_data", "cust_id")):
        assert book.tables[table][key].is_unique
    assert set(book.loans["cust_id"]) == set(book.customers["cust_id"]) == set(book.bureau_data["cust_id"])
    assert set(book.loans["default"]) == {0, 1}
    assert pd.api.types.is_datetime64_dtype(book.loans["disbursal_date"])
    assert pd.api.types.is_datetime64_dtype(book.loans["installment_start_dt"])


def test_the_same_seed_gives_the_same_book_and_another_seed_another():
    first, again, other = make_book(2_000, 5), make_book(2_000, 5), make_book(2_000, 6)
    for name, table in first.tables.items():
        pd.testing.assert_frame_equal(table, again.tables[name])
        assert not table.equals(other.tables[name])
    assert np.array_equal(first.true_pd, again.true_pd)


@pytest.mark.parametrize("seed", [0, 42])
def test_mean_true_pd_is_exactly_the_promised_rate_on_every_draw(seed):
    book = make_book(seed=seed)
    assert book.true_pd.mean() == pytest.approx(0.086, abs=1e-9)
    assert book.bad_rate == pytest.approx(0.086, abs=0.003)
    assert book.bad_rate == book.loans["default"].mean()


def test_oracle_auc_is_exact_and_about_985(book):
    assert book.oracle_auc == pytest.approx(roc_auc_score(book.loans["default"], book.true_pd), abs=1e-12)
    assert book.oracle_auc == pytest.approx(0.985, abs=0.004)
    assert "50,000 loans" in book.summary and f"{book.oracle_auc:.4f}" in book.summary


def test_true_pd_is_calibrated_to_the_drawn_defaults(book):
    bins = np.digitize(book.true_pd, [0.01, 0.1, 0.3, 0.5, 0.7, 0.9])
    for number in np.unique(bins):
        inside = bins == number
        p = book.true_pd[inside]
        deviation = book.loans["default"].to_numpy()[inside].sum() - p.sum()
        assert abs(deviation) < 4 * np.sqrt((p * (1 - p)).sum())


def test_dirty_values_are_there_in_the_published_counts(book):
    customers, loans = book.customers, book.loans
    assert customers["residence_type"].isna().sum() == 62
    assert (loans["loan_purpose"] == "Personaal").sum() == 22
    assert (loans.loc[loans["loan_purpose"] == "Personaal", "loan_type"] == "Unsecured").all()
    poor = (customers["income"] == 0).to_numpy()
    assert poor.sum() == 8
    amounts = ["sanction_amount", "loan_amount", "processing_fee", "gst", "net_disbursement"]
    assert (loans.loc[poor, [*amounts, "bank_balance_at_application"]] == 0).all(axis=None)
    assert (loans.loc[poor, "principal_outstanding"] == -1).all()
    assert (loans.loc[poor, "default"] == 0).all() and (book.true_pd[poor] == 0).all()
    fee = loans["processing_fee"] / loans["loan_amount"].where(~poor)
    assert (fee > 1).sum() == 7
    assert fee[fee > 1].between(1.0699, 1.4901).all()
    assert np.allclose(fee[(fee < 1)], 0.02)


@pytest.mark.parametrize(("rows", "expected"), [(500, 0), (1_000, 1), (100_000, 16)])
def test_dirty_values_keep_their_proportion_in_other_sizes(rows, expected):
    book = make_book(rows)
    assert (book.customers["income"] == 0).sum() == expected
    assert len(book.loans) == rows and book.loans["loan_id"].is_unique
    assert make_book(rows, dirty=False).customers["income"].min() >= 100_000


def test_a_clean_book_has_no_dirty_value(clean):
    assert not clean.isna().any(axis=None)
    assert set(clean["loan_purpose"]) == {"Personal", "Home", "Auto", "Education"}
    assert (clean["processing_fee"] * 50 == clean["loan_amount"]).all()


def test_age_sex_and_city_follow_their_rules(clean):
    assert clean["age"].between(18, 70).all() and clean["age"].isin([18, 70]).sum() > 0
    assert clean["age"].mean() == pytest.approx(39.5, abs=0.3)
    assert clean["age"].std() == pytest.approx(9.9, abs=0.3)
    assert shares(clean["gender"]) == pytest.approx({"M": 0.6, "F": 0.4}, abs=0.01)
    assert shares(clean["city"]) == pytest.approx(dict.fromkeys(clean["city"].unique(), 0.1), abs=0.01)
    assert clean["city"].nunique() == 10
    assert (clean.groupby("city")[["state", "zipcode"]].nunique() == 1).all(axis=None)


def test_marriage_and_employment_go_by_age_band_with_inclusive_upper_ages(clean):
    band = pd.cut(clean["age"], [0, 25, 35, 45, 55, 65, 99])
    married = clean["marital_status"] == "Married"
    salaried = clean["employment_status"] == "Salaried"
    wanted = [0.2, 0.4, 0.6, 0.7, 0.8, 0.9], [0.35, 0.55, 0.38, 0.15, 0.10, 0.05]
    for found, shares_by_band in zip((married, salaried), wanted, strict=True):
        by_band = found.groupby(band, observed=True).mean()
        assert by_band.tolist() == pytest.approx(shares_by_band, abs=0.05)
        for number, last_age in enumerate((25, 35, 45, 55)):  # a band's last age is inside it
            assert found[clean["age"] == last_age].mean() == pytest.approx(shares_by_band[number], abs=0.07)


def test_dependants_follow_marital_status(clean):
    by_status = clean.groupby("marital_status")["number_of_dependants"]
    assert shares(by_status.get_group("Single")) == pytest.approx({0: 0.607, 1: 0.295, 2: 0.098}, abs=0.015)
    married = {2: 0.255, 3: 0.443, 4: 0.218, 5: 0.083}
    assert shares(by_status.get_group("Married")) == pytest.approx(married, abs=0.015)


def test_residence_goes_by_age(clean):
    for low, high, weights in ((18, 29, [70, 0, 30]), (30, 49, [50, 30, 20]), (50, 70, [70, 20, 10])):
        share = shares(clean.loc[clean["age"].between(low, high), "residence_type"])
        found = [100 * share.get(kind, 0) for kind in ("Owned", "Mortgage", "Rented")]
        assert found == pytest.approx(weights, abs=2)
    assert (clean.loc[clean["age"] < 30, "residence_type"] != "Mortgage").all()
    assert (clean.loc[clean["age"] == 30, "residence_type"] == "Mortgage").any()
    assert clean["years_at_current_address"].agg(["min", "max"]).tolist() == [1, 31]


def test_income_falls_into_bands_by_work_and_sex(clean):
    assert (clean["income"] % 1_000 == 0).all() and clean["income"].between(1e5, 12e6).all()
    expected = {
        ("Salaried", "F"): [0.55, 0.20, 0.10, 0.15],
        ("Salaried", "M"): [0.35, 0.40, 0.15, 0.10],
        ("Self-Employed", "F"): [0.35, 0.25, 0.30, 0.10],
        ("Self-Employed", "M"): [0.20, 0.32, 0.27, 0.21],
    }
    band = np.searchsorted([1e6, 2.5e6, 4e6], clean["income"], side="right")
    for (work, sex), weights in expected.items():
        group = (clean["employment_status"] == work) & (clean["gender"] == sex)
        assert np.bincount(band[group], minlength=4) / group.sum() == pytest.approx(weights, abs=0.02)
    low = clean.loc[clean["income"] < 1e6, "income"]
    assert low.quantile([0.25, 0.5, 0.75]).tolist() == pytest.approx([325e3, 550e3, 775e3], rel=0.03)


def test_purpose_decides_type_amount_cap_and_tenure(clean):
    weights = {"Personal": 0.35, "Home": 0.30, "Auto": 0.20, "Education": 0.15}
    assert shares(clean["loan_purpose"]) == pytest.approx(weights, abs=0.01)
    assert ((clean["loan_type"] == "Unsecured") == (clean["loan_purpose"] == "Personal")).all()
    rules = {
        "Personal": (10 / 12, 5e6, 6, 23),
        "Auto": (15 / 12, 10e6, 12, 35),
        "Education": (20 / 12, 20e6, 12, 59),
        "Home": (40 / 12, np.inf, 24, 48),
    }
    for purpose, (multiple, cap, shortest, longest) in rules.items():
        loans = clean[clean["loan_purpose"] == purpose]
        months = loans["loan_tenure_months"]
        assert (months.min(), months.max()) == (shortest, longest)
        assert months.mean() == pytest.approx((shortest + longest) / 2, abs=0.5)
        base = loans["income"] * multiple * (1.5 - 0.012 * loans["age"].clip(upper=55))
        free = base * 1.1 < cap
        ratio = (loans["sanction_amount"] / base)[free & (loans["income"] > 1e6)]
        assert ratio.between(0.899, 1.101).all() and ratio.mean() == pytest.approx(1, abs=0.005)
        assert loans["sanction_amount"].max() <= cap
        assert cap == np.inf or (loans["sanction_amount"] == cap).any()


def test_loan_amount_and_charges_are_parts_of_the_sanction(clean):
    assert (clean[["sanction_amount", "loan_amount"]] % 1_000 == 0).all(axis=None)
    drawn = clean["loan_amount"] / clean["sanction_amount"]
    assert drawn.between(0.69, 1).all() and drawn.mean() == pytest.approx(0.85, abs=0.005)
    for part, share in (("processing_fee", 0.02), ("gst", 0.18), ("net_disbursement", 0.8)):
        assert np.allclose(clean[part], share * clean["loan_amount"], atol=0.5)


def test_bureau_counts_follow_their_rules(clean):
    uniform = {"number_of_open_accounts": range(1, 5), "number_of_closed_accounts": range(3)}
    for column, levels in uniform.items():
        assert shares(clean[column]) == pytest.approx(dict.fromkeys(levels, 1 / len(levels)), abs=0.01)
    extra = clean["enquiry_count"] - clean["number_of_open_accounts"]
    assert shares(extra) == pytest.approx(dict.fromkeys(range(6), 1 / 6), abs=0.01)
    months = clean.groupby("number_of_open_accounts")["total_loan_months"]
    assert months.mean().tolist() == pytest.approx([30.5, 61, 91.5, 122], rel=0.02)
    assert (months.max() <= 60 * months.max().index).all() and (months.min() >= months.min().index).all()
    assert (months.min()[1], months.max()[1]) == (1, 60)


def test_delinquency_follows_its_rule_and_never_exceeds_the_history(clean):
    months, history = clean["delinquent_months"], clean["total_loan_months"]
    assert (months <= history).all()
    long = months[history >= 24]
    assert (long == 0).mean() == pytest.approx(0.4, abs=0.01)
    assert long.between(1, 12).mean() == pytest.approx(0.5, abs=0.01)
    assert long.between(13, 24).mean() == pytest.approx(0.1, abs=0.01)
    late = months > 0
    assert (clean.loc[~late, "total_dpd"] == 0).all()
    average = (clean["total_dpd"] / months)[late]
    assert average.between(1, 10).all() and average.mean() == pytest.approx(5.5, abs=0.05)


def test_utilization_falls_into_its_bands(clean):
    used = clean["credit_utilization_ratio"]
    found = [used.between(low, high).mean() for low, high in ((0, 29), (30, 59), (60, 89), (90, 99))]
    assert found == pytest.approx([0.4, 0.3, 0.2, 0.1], abs=0.01)
    assert (used.min(), used.max()) == (0, 99)


def test_balances_are_parts_of_income_and_principal_is_capped(clean):
    balance = clean["bank_balance_at_application"] / clean["income"]
    assert balance.between(0.1399, 0.7501).all()
    assert [balance.mean(), balance.std()] == pytest.approx([0.374, 0.092], abs=0.003)
    principal = clean["principal_outstanding"]
    assert (principal <= 0.72 * clean["loan_amount"] + 0.5).all() and principal.max() == 5_000_000
    free = (principal < 0.7199 * clean["loan_amount"]) & (principal < 5e6) & (clean["loan_purpose"] == "Home")
    expected = (
        0.272
        + 0.0058 * clean["age"]
        + 0.026 * clean["number_of_open_accounts"]
        + 0.016 * clean["number_of_closed_accounts"]
    )
    surprise = (principal / clean["income"] - expected)[free]
    assert [surprise.mean(), surprise.std()] == pytest.approx([0, 0.066], abs=0.003)


def test_true_pd_has_the_published_coefficients(clean):
    residence = clean["residence_type"].map({"Owned": 0, "Mortgage": 1.643, "Rented": 3.294})
    purpose = clean["loan_purpose"].map({"Personal": 0, "Auto": -1.662, "Education": -0.743, "Home": -4.172})
    used = clean["credit_utilization_ratio"]
    late = clean["delinquent_months"].replace(0, np.nan)
    z = (
        0.1483 * used
        + 0.1093 * 100 * clean["delinquent_months"] / clean["total_loan_months"]
        + 3.359 * clean["loan_amount"] / clean["income"]
        + 0.215 * (clean["total_dpd"] / late).fillna(0)
        + 0.259 * clean["number_of_open_accounts"]
        + 0.008 * clean["loan_tenure_months"]
        + 0.002 * clean["age"]
        + residence
        + purpose
        + 0.3 * (clean["enquiry_count"] - clean["number_of_open_accounts"] - 2.5) * (used - 45) / 30
    )
    middle = clean["true_pd"].between(1e-6, 1 - 1e-6)
    constant = (np.log(clean["true_pd"] / (1 - clean["true_pd"])) - z)[middle]
    assert constant.max() - constant.min() < 1e-6
    assert constant.mean() == pytest.approx(-21.911, abs=1)


def test_enquiries_alone_hide_their_effect(clean):
    assert 0.45 < roc_auc_score(clean["default"], clean["enquiry_count"]) < 0.6


def test_every_calendar_day_of_five_years_has_its_27_or_28_loans(book):
    per_day = book.loans["disbursal_date"].value_counts()
    assert set(per_day) == {27, 28}
    assert set(per_day.index) == set(pd.date_range("2019-01-01", "2023-12-31"))
    wait = (book.loans["installment_start_dt"] - book.loans["disbursal_date"]).dt.days
    assert (wait.min(), wait.max()) == (1, 30)
    assert make_book(100, start="2024-03-01").loans["disbursal_date"].iloc[0] == pd.Timestamp("2024-03-01")


def by_year(book: SampleBook, values: pd.Series | np.ndarray) -> pd.Series:
    return pd.Series(np.asarray(values, dtype=float)).groupby(book.loans["disbursal_date"].dt.year).mean()


def test_drift_moves_mix_and_bad_rate_and_is_off_by_default(book):
    moving = make_book(drift=True)
    assert moving.true_pd.mean() == pytest.approx(0.086, abs=1e-9)
    for quiet, wanted in ((book, False), (moving, True)):
        personal = by_year(quiet, quiet.loans["loan_purpose"] == "Personal")
        used = by_year(quiet, quiet.bureau_data["credit_utilization_ratio"])
        rate = by_year(quiet, quiet.true_pd)
        assert (personal.iloc[-1] - personal.iloc[0] > 0.08) == wanted
        assert (used.iloc[-1] - used.iloc[0] > 3) == wanted
        assert (rate.max() / rate.min() > 1.5) == wanted


@pytest.mark.parametrize("format", ["parquet", "csv"])
def test_written_book_reads_back_as_made_and_nothing_else_is_written(tmp_path, format):
    book = write_book(tmp_path / "deep" / "book", rows=1_000, format=format, drift=True)
    names = sorted(path.name for path in (tmp_path / "deep" / "book").iterdir())
    assert names == [f"{name}.{format}" for name in ("bureau_data", "customers", "loans")]
    for name, table in book.tables.items():
        path = tmp_path / "deep" / "book" / f"{name}.{format}"
        if format == "csv":
            dates = [column for column in table if pd.api.types.is_datetime64_dtype(table[column])]
            back = pd.read_csv(path, parse_dates=dates)
        else:
            back = pd.read_parquet(path)
        # CSV and parquet keep dates in other units than the second; the instants must be the same.
        pd.testing.assert_frame_equal(back, table, check_dtype=False)


def test_wrong_arguments_are_refused_with_the_value(tmp_path):
    with pytest.raises(ParameterError, match="rows=99"):
        make_book(99)
    for start in ("soon", "2019-13-01", ""):
        with pytest.raises(ParameterError, match=f"start='{start}'"):
            make_book(100, start=start)
    with pytest.raises(ParameterError, match="'xlsx'"):
        write_book(tmp_path, 100, format="xlsx")
    with pytest.raises(ParameterError, match="rows=0"):
        make_applications(0)
    assert not list(tmp_path.iterdir())


def test_applications_come_in_the_wire_form_without_dirt(clean):
    applications = make_applications(20_000)
    assert list(applications) == [
        "application_id", "age", "income", "loan_amount", "loan_tenure_months", "avg_dpd_per_delinquency",
        "delinquency_ratio", "credit_utilization_ratio", "num_open_accounts", "residence_type",
        "loan_purpose", "loan_type", "enquiry_count",
    ]  # fmt: skip
    assert not applications.isna().any(axis=None)
    assert applications["application_id"].iloc[0] == "A000001"
    assert applications["income"].min() > 0
    late = applications["delinquency_ratio"] > 0
    assert ((applications["avg_dpd_per_delinquency"] > 0) == late).all()
    assert applications["delinquency_ratio"].between(0, 100).all()
    renamed = clean.rename(columns={"number_of_open_accounts": "num_open_accounts"})
    for column in ("age", "income", "loan_amount", "loan_tenure_months", "num_open_accounts"):
        assert applications[column].mean() == pytest.approx(renamed[column].mean(), rel=0.05)
    pd.testing.assert_frame_equal(applications, make_applications(20_000))
    assert len(make_applications(1)) == 1
