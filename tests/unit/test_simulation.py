"""A simulated stream: what drifts does so by what was asked, everything else is as the book has it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from creditrisk.data.features import derive
from creditrisk.data.portfolio import Portfolio, load_portfolio, parse_portfolio
from creditrisk.data.sample import BAD_RATE, make_applications, make_book
from creditrisk.data.tables import prepare_book
from creditrisk.errors import DataError, ParameterError
from creditrisk.sending import payloads
from creditrisk.serving.contract import application_model
from creditrisk.simulation import BLOCK, Change, Drawn, Source, Stream, open_source, read_changes, read_number

RETAIL = load_portfolio("retail")


def stream(*drift: str, start: int = 0, seed: int = 42, book: Portfolio = RETAIL, source: Source | None = None):
    return Stream(source or open_source(book), book, read_changes(drift, book), start, seed)


def rows(of: Stream, count: int) -> pd.DataFrame:
    return joined(parts(of, count))


def parts(of: Stream, count: int, most: int = BLOCK) -> list[Drawn]:
    found, first = [], 0
    while first < count:
        found.append(of.take(first, min(most, count - first)))
        first += len(found[-1])
    return found


def joined(drawn: Sequence[Drawn]) -> pd.DataFrame:
    return pd.concat([one.frame for one in drawn], ignore_index=True)


def with_features(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(**{name: derive(one.derive, dict(frame)) for name, one in RETAIL.features.items()})


def p_values(now: pd.DataFrame, before: pd.DataFrame) -> dict[str, float]:
    """Two-sample tests of each column: Kolmogorov-Smirnov for numbers, chi-square for levels."""
    found = {}
    for name in now.columns:
        if RETAIL.columns[name].is_numeric:
            found[name] = stats.ks_2samp(now[name].dropna(), before[name].dropna().astype("float64")).pvalue
        else:
            counts = pd.DataFrame({"now": now[name].value_counts(), "before": before[name].value_counts()}).fillna(0)
            found[name] = stats.chi2_contingency(counts.to_numpy()).pvalue
    return found


# --- Numbers and changes as people write them -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "number"),
    [("2,000", 2000), ("1,234,567.5", 1234567.5), ("5_000", 5000), ("1.5", 1.5), (".5", 0.5), ("+20 000", 20000),
     ("-3", -3), ("1e3", 1000)],
)  # fmt: skip
def test_numbers_are_read_with_and_without_separators_of_thousands(text, number):
    assert read_number(text) == number


@pytest.mark.parametrize("text", ["1,5", "2,00", "1.000,5", "", "+", "x2", "1,0000", "nan", "0x10", "١", "1e999", "e3"])
def test_what_is_no_number_or_may_be_another_is_refused(text):
    with pytest.raises(ParameterError, match="is not a number; write it as in 1.5 or 2,000"):
        read_number(text)


@pytest.mark.parametrize(
    ("text", "change"),
    [
        ("income=1.5", Change("times", "income", 1.5)),
        ("income=+20,000", Change("add", "income", 20_000)),
        ("income=-5000", Change("add", "income", -5_000)),
        ("income=-5%", Change("percent", "income", -5)),
        (" spread : income = 1.5 ", Change("spread", "income", 1.5)),
        ("mix:loan_purpose=Personal:0.5", Change("mix", "loan_purpose", 0.5, "Personal")),
        ("mix:loan_purpose=Personaal:50%", Change("mix", "loan_purpose", 0.5, "Personal")),
        ("missing:enquiry_count=0.1", Change("missing", "enquiry_count", 0.1)),
        ("num_open_accounts=2", Change("times", "number_of_open_accounts", 2)),
    ],
)
def test_every_form_of_a_change_is_read(text, change):
    assert read_changes([text], RETAIL) == (change,)


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (["incom=2"], ["no input 'incom'", "did you mean 'income'?", "inputs are age, income, loan_amount"]),
        (["loan_to_income=2"], ["derived from loan_amount, income"]),
        (["delinquent_months=2"], ["not asked of applicants", "inputs are age"]),
        (["default=2"], ["not asked of applicants"]),
        (["sprad:income=2"], ["no drift 'sprad'", "did you mean 'spread'?"]),
        (["mix:loan_purpose=Persnal:0.5"], ["did you mean 'Personal'?", "levels are Education, Home, Auto, Personal"]),
        (["mix:loan_purpose=0.5"], ["say the level and its share"]),
        (["mix:income=high:0.5"], ["income is a number"]),
        (["loan_purpose=2"], ["has levels", "mix:loan_purpose=Education:0.5"]),
        (["missing:income=0.1"], ["required of every applicant", "only enquiry_count"]),
        (["missing:enquiry_count=1.5"], ["1.5 is not a share"]),
        (["income=5%"], ["a part or a change", "income=+5%"]),
        (["income=1,5"], ["'1,5' is not a number"]),
        (["spread:income=-1"], ["-1 is not a factor"]),
        (["income"], ["write NAME=CHANGE"]),
        (["mix:loan_type=Secured:0.6", "mix:loan_type=Unsecured:0.6"], ["1.2 in all", "not add up to more than 1"]),
        (["mix:loan_type=Secured:0.6", "mix:loan_type=Unsecured:0.1"], ["add up to 1", "all levels"]),
    ],
)
def test_what_cannot_drift_is_refused_with_the_way_out(texts, words):
    with pytest.raises(ParameterError) as caught:
        read_changes(texts, RETAIL)
    for word in words:
        assert word in str(caught.value)


# --- The stream -------------------------------------------------------------------------------------------------------


def test_a_row_depends_on_the_seed_and_its_number_only():
    drift = ("income=1.5", "mix:loan_purpose=Personal:0.6", "missing:enquiry_count=0.2")
    whole = rows(stream(*drift, start=700), 2_300)
    pd.testing.assert_frame_equal(joined(parts(stream(*drift, start=700), 2_300, most=37)), whole)
    late = stream(*drift, start=700).take(2_290, 10)
    pd.testing.assert_frame_equal(late.frame, whole.iloc[2_290:2_300].reset_index(drop=True))
    assert not rows(stream(*drift, start=700, seed=43), 2_300)["income"].equals(whole["income"])


def test_before_the_moment_of_drift_nothing_differs_and_after_it_only_what_drifts():
    clean, drifted = rows(stream(), 3_000), rows(stream("income=1.5", start=1_700), 3_000)
    pd.testing.assert_frame_equal(drifted.head(1_700), clean.head(1_700))
    assert np.array_equal(drifted["income"].iloc[1_700:], 1.5 * clean["income"].iloc[1_700:])
    pd.testing.assert_frame_equal(drifted.drop(columns="income"), clean.drop(columns="income"))


def test_a_derived_feature_follows_what_it_is_made_of():
    clean, drifted = (with_features(rows(stream(*drift), 1_000)) for drift in ((), ("income=1.5",)))
    assert np.allclose(drifted["loan_to_income"], clean["loan_to_income"] / 1.5)


@pytest.mark.parametrize(
    ("drift", "changed"),
    [("income=+20,000", lambda x: x + 20_000), ("income=-5%", lambda x: 0.95 * x), ("income=0.5", lambda x: x / 2)],
)
def test_shifts_and_factors_do_what_they_say(drift, changed):
    clean, drifted = rows(stream(), 1_000), rows(stream(drift), 1_000)
    assert np.allclose(drifted["income"], changed(clean["income"]))


def test_a_wider_spread_of_a_positive_quantity_keeps_mean_and_order_and_stays_positive():
    clean, drifted = rows(stream(), 5_000)["income"], rows(stream("spread:income=1.5"), 5_000)["income"]
    assert drifted.mean() == pytest.approx(clean.mean(), rel=0.02)
    assert np.log(drifted).std() == pytest.approx(1.5 * np.log(clean).std(), rel=1e-9)
    assert (drifted.rank() == clean.rank()).all() and drifted.min() > 0


def test_a_narrower_spread_between_two_limits_keeps_the_mean():
    name = "credit_utilization_ratio"
    clean, drifted = rows(stream(), 5_000)[name], rows(stream(f"spread:{name}=0.5"), 5_000)[name]
    assert drifted.mean() == pytest.approx(clean.mean(), rel=0.02)
    assert drifted.std() == pytest.approx(clean.std() / 2, rel=1e-9)


def test_values_beyond_hard_limits_are_clipped_to_them_and_counted():
    clean, (drawn,) = rows(stream(), 1_000), parts(stream("age=+60", start=300), 1_000)
    beyond = (clean["age"] + 60 > 100) & (np.arange(1_000) >= 300)
    assert 100 < beyond.sum() < 700
    assert np.array_equal(drawn.clipped["age"], beyond)
    assert np.array_equal(drawn.frame["age"].iloc[300:], np.minimum(clean["age"] + 60, 100).iloc[300:])


def test_whole_numbers_stay_whole():
    drifted = rows(stream("age=1.1", "loan_tenure_months=0.37"), 1_000)
    for name in ("age", "loan_tenure_months"):
        assert (drifted[name] == np.rint(drifted[name])).all()
    assert drifted["loan_tenure_months"].min() >= 1


def test_codes_that_are_no_measurements_do_not_move():
    marked = RETAIL.text.replace(
        "[columns.avg_dpd_per_delinquency]\n", "[columns.avg_dpd_per_delinquency]\nspecial=[0]\n"
    )
    book = parse_portfolio(marked)
    name = "avg_dpd_per_delinquency"
    clean, drifted = rows(stream(book=book), 1_000)[name], rows(stream(f"{name}=+7", book=book), 1_000)[name]
    assert (clean == 0).sum() > 100
    assert np.array_equal(drifted, np.where(clean == 0, 0, clean + 7))


def test_a_mix_gives_a_level_its_share_and_brings_what_goes_with_it():
    drifted, clean = rows(stream("mix:loan_purpose=Personal:0.7"), 10_000), rows(stream(), 10_000)
    shares = drifted["loan_purpose"].value_counts(normalize=True)
    assert shares["Personal"] == pytest.approx(0.7, abs=0.02)
    others = shares.drop("Personal") / 0.3
    before = clean["loan_purpose"].value_counts(normalize=True).drop("Personal")
    assert np.allclose(others.sort_index(), (before / before.sum()).sort_index(), atol=0.03)
    assert ((drifted["loan_purpose"] == "Personal") == (drifted["loan_type"] == "Unsecured")).all()
    for purpose in ("Personal", "Home"):  # within a purpose, applicants are who they were
        now, then = (frame[frame["loan_purpose"] == purpose] for frame in (drifted, clean))
        assert min(p_values(now.drop(columns=["loan_purpose", "loan_type"]), then).values()) > 1e-4


def test_several_mixes_hold_at_once():
    drift = ("mix:loan_purpose=Home:0.1", "mix:loan_purpose=Auto:0.6", "mix:residence_type=Rented:0.5")
    drifted = rows(stream(*drift), 10_000)
    purposes = drifted["loan_purpose"].value_counts(normalize=True)
    assert (purposes["Home"], purposes["Auto"]) == pytest.approx((0.1, 0.6), abs=0.02)
    assert (drifted["residence_type"] == "Rented").mean() == pytest.approx(0.5, abs=0.02)


def test_an_input_that_is_left_out_is_left_out_by_the_share_asked_for_and_risk_stays_what_it_was():
    (clean,), (drifted,) = parts(stream(), 1_000), parts(stream("missing:enquiry_count=0.1"), 1_000)
    assert drifted.frame["enquiry_count"].isna().mean() == pytest.approx(0.1, abs=0.03)
    said = drifted.frame["enquiry_count"].notna()
    assert drifted.frame["enquiry_count"][said].equals(clean.frame["enquiry_count"][said])
    assert np.array_equal(drifted.true_pd, clean.true_pd)
    sent = payloads(drifted.frame, RETAIL)
    assert ["enquiry_count" in one for one in sent] == said.tolist()


@pytest.mark.parametrize(
    "drift",
    [(), ("income=-1,000,000,000",), ("income=1e12",), ("spread:income=40",), ("credit_utilization_ratio=9", "age=0"),
     ("mix:residence_type=Mortgage:1", "number_of_open_accounts=30", "missing:enquiry_count=1")],
)  # fmt: skip
def test_every_application_of_every_stream_is_one_that_the_api_takes(drift):
    contract = application_model(RETAIL)
    for said in payloads(rows(stream(*drift), 500), RETAIL):
        contract.model_validate(said)


# --- Undrifted means as in training -----------------------------------------------------------------------------------


def test_a_clean_stream_is_distributed_as_the_rows_models_are_trained_on():
    """Both ways: the same test tells a drift of a tenth apart."""
    book = prepare_book(make_book(20_000).tables, RETAIL)
    before = book.frame
    found = p_values(with_features(rows(stream(), 10_000)), before)
    assert set(found) == set(RETAIL.candidates) and min(found.values()) > 0.05 / len(found) / 10, found
    moved = p_values(with_features(rows(stream("income=1.1"), 10_000)), before)
    assert {name for name, p in moved.items() if p < 1e-6} == {"income", "loan_to_income"}


def test_true_pds_of_a_clean_stream_have_the_level_of_the_book_and_follow_what_drifts():
    clean = np.concatenate([one.true_pd for one in parts(stream(), 20_000)])
    poorer = np.concatenate([one.true_pd for one in parts(stream("income=0.7"), 20_000)])
    assert clean.mean() == pytest.approx(BAD_RATE, abs=0.005)
    assert (poorer > clean).all() and poorer.mean() > 1.5 * BAD_RATE


def test_the_true_pd_of_an_application_is_that_of_the_books_rule():
    from creditrisk.data.sample import true_pds

    book = make_book(dirty=False)
    loans = book.loans.merge(book.customers, on="cust_id").merge(book.bureau_data, on="cust_id")
    said = loans.rename(columns={"number_of_open_accounts": "num_open_accounts"}).assign(
        delinquency_ratio=100 * loans["delinquent_months"] / loans["total_loan_months"],
        avg_dpd_per_delinquency=loans["total_dpd"] / loans["delinquent_months"].clip(lower=1),
    )
    difference = np.log(book.true_pd / (1 - book.true_pd)) - np.log(true_pds(said) / (1 - true_pds(said)))
    sure = (book.true_pd > 1e-9) & (book.true_pd < 1 - 1e-9)
    assert np.ptp(difference[sure]) < 1e-6 and abs(difference[sure].mean()) < 0.1  # one constant, and nearly the same


def test_outcomes_are_as_frequent_as_the_pds_say_and_more_so_only_after_the_moment_of_drift():
    drawn = parts(stream(start=10_000), 20_000)
    early, late = drawn[:10], drawn[10:]
    for some, times in ((early, 1.0), (late, 1.0), (early, 2.0), (late, 2.0)):
        factor = times if some is late else 1.0
        risk = np.minimum(1, factor * np.concatenate([one.true_pd for one in some]))
        bads = np.concatenate([one.bads(one.true_pd, times) for one in some])
        assert abs(bads.sum() - risk.sum()) < 4 * np.sqrt((risk * (1 - risk)).sum())


# --- Rows of a file ---------------------------------------------------------------------------------------------------


def test_rows_of_a_file_are_drawn_with_replacement_and_bad_ones_never(tmp_path):
    applications = make_applications(50)
    applications.loc[3, "income"] = 0
    applications.to_csv(tmp_path / "new.csv", index=False)
    source = open_source(RETAIL, str(tmp_path / "new.csv"))
    assert source.rejected == 1 and source.true_pds is None and "49 rows of new.csv" in source.about
    drawn = rows(stream(source=source), 2_000)
    kept = applications.drop(index=3).rename(columns={"num_open_accounts": "number_of_open_accounts"})
    told = kept[list(RETAIL.inputs)].astype({name: float for name, c in RETAIL.inputs.items() if c.is_numeric})
    assert set(drawn.itertuples(index=False, name=None)) == set(told.itertuples(index=False, name=None))


def test_a_level_that_no_row_of_the_file_has_is_put_there_by_its_word_alone(tmp_path):
    applications = make_applications(400)
    applications[applications["loan_purpose"] != "Auto"].to_csv(tmp_path / "new.csv", index=False)
    source = open_source(RETAIL, str(tmp_path / "new.csv"))
    clean, drifted = rows(stream(source=source), 3_000), rows(stream("mix:loan_purpose=Auto:0.1", source=source), 3_000)
    assert (drifted["loan_purpose"] == "Auto").mean() == pytest.approx(0.1, abs=0.02)
    pd.testing.assert_frame_equal(drifted.drop(columns="loan_purpose"), clean.drop(columns="loan_purpose"))


def test_a_file_without_a_usable_row_and_a_portfolio_without_a_file_are_refused(tmp_path):
    make_applications(3).assign(income=0).to_csv(tmp_path / "new.csv", index=False)
    with pytest.raises(DataError, match=r"none of its 3 rows can be scored: row 1, income: .*0"):
        open_source(RETAIL, str(tmp_path / "new.csv"))
    with pytest.raises(DataError, match="fit the portfolio 'retail' only, not 'german'; give --data FILE"):
        open_source(load_portfolio("german"))
