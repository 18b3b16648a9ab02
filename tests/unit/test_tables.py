"""Tables as they are delivered become one checked book, and every row is accounted for."""

from __future__ import annotations

import datetime as dt
import random
import re
import sqlite3

import fsspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from creditrisk.data import tables as tables_module
from creditrisk.data.features import derive
from creditrisk.data.portfolio import Portfolio, load_portfolio, parse_portfolio
from creditrisk.data.sample import make_applications, make_book, write_book
from creditrisk.data.source import load_tables
from creditrisk.data.tables import (
    REJECTED_COLUMNS,
    check_applications,
    prepare_book,
    read_file,
    read_tables,
    soft_warnings,
    to_columns,
    whole_as_such,
)
from creditrisk.errors import DataError

MINI = """
name = "mini"
title = "A book of three tables"
base = "loans"
application_id = "app"
max_reject_share = 0.5
[target]
column = "default"
good = [0]
bad = [1]
indeterminate = [2]
definition = "90 days past due in a year"
performance_months = 12
observation_date = "opened"
[target.exclusions]
"tiny loan" = "amount < 10"
"car before 2018" = "purpose == 'Car' and opened < '2018-01-01'"
[tables.loans]
key = "loan_id"
[tables.people]
key = "cust_id"
join = "cust_id"
[tables.bureau]
key = "cust_id"
join = "cust_id"
unmatched = "keep"
[columns.loan_id]
kind = "text"
role = "id"
table = "loans"
[columns.cust_id]
kind = "text"
role = "id"
table = "loans"
[columns.default]
kind = "integer"
role = "target"
table = "loans"
[columns.opened]
kind = "date"
role = "date"
table = "loans"
[columns.amount]
kind = "number"
role = "input"
table = "loans"
above = 0
warn_above = 1000
warn_below = 20
[columns.purpose]
kind = "category"
role = "input"
table = "loans"
levels = ["Car", "Home", "none"]
aliases = { Auto = "Car", "1" = "Home" }
[columns.amount_per_late]
kind = "number"
role = "feature"
derive = { function = "ratio", args = { numerator = "amount", denominator = "late_share" } }
[columns.age]
kind = "integer"
role = "input"
table = "people"
min = 18
max = 100
special = [-1]
[columns.city]
kind = "text"
table = "people"
may_be_absent = true
[columns.late_share]
kind = "number"
role = "input"
derive = { function = "delinquency_ratio", args = { delinquent_months = "late", total_loan_months = "months" } }
max = 100
[columns.open_accounts]
kind = "integer"
role = "optional"
table = "bureau"
wire = "num_open"
also_called = ["accounts"]
min = 0
[columns.late]
kind = "integer"
table = "bureau"
min = 0
[columns.months]
kind = "integer"
table = "bureau"
min = 0
[[rules]]
name = "age fits the amount"
check = "amount <= 100 * age or age == -1"
[scale]
ratings = [{ name = "Any" }]
"""
AS_OF = "2024-01-01"
CODED_TEXT = pd.ArrowDtype(pa.dictionary(pa.int32(), pa.string()))


def portfolio(*changes: tuple[str, str]) -> Portfolio:
    text = MINI
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    return parse_portfolio(text, "mini.toml")


def delivered(**changes) -> dict[str, pd.DataFrame]:
    """Eight clean loans of eight people; `loans={"amount": [...]}` replaces columns of a table."""
    ids = [f"C{i}" for i in range(1, 9)]
    tables = {
        "loans": {
            "loan_id": [f"L{i}" for i in range(1, 9)],
            "cust_id": ids,
            "default": [0, 1, 0, 1, 0, 0, 1, 0],
            "opened": [f"2020-01-0{i}" for i in range(1, 9)],
            "amount": [100.0, 200.0, 300.0, 400.0, 500.0, 600.0, 700.0, 800.0],
            "purpose": ["Car", "Home", "Auto", "Car", "none", "Home", "Car", "Home"],
        },
        "people": {
            "cust_id": ids,
            "age": [20, 30, 40, 50, 60, 70, 80, 90],
            "city": ["Pune", "Delhi", None, "", "Delhi", "A", "B", "C"],
        },
        "bureau": {
            "cust_id": ids,
            "open_accounts": [1, 2, 3, 4, 5, 6, 7, 8],
            "late": [0, 1, 2, 3, 4, 5, 6, 7],
            "months": [10] * 8,
        },
    }
    return {
        name: pd.DataFrame({k: v for k, v in (columns | changes.get(name, {})).items() if v is not None})
        for name, columns in tables.items()
    }


def prepared(book: Portfolio | None = None, as_of: str = AS_OF, **changes):
    return prepare_book(delivered(**changes), book or portfolio(), as_of)


def refused(book: Portfolio | None = None, **changes) -> str:
    with pytest.raises(DataError) as caught:
        prepared(book, **changes)
    return str(caught.value)


def rejections(found) -> list[tuple]:
    assert list(found.rejected.columns) == REJECTED_COLUMNS
    return [tuple(None if pd.isna(v) else v for v in row) for row in found.rejected.itertuples(index=False)]


# --- Reading ----------------------------------------------------------------------------------------------------------


def test_a_clean_book_keeps_every_row_with_its_derived_columns():
    found = prepared()
    assert found.frame["loan_id"].tolist() == [f"L{i}" for i in range(1, 9)]
    assert found.bad.dtype == np.int8 and found.bad.tolist() == [0, 1, 0, 1, 0, 0, 1, 0]
    assert found.frame["purpose"].tolist() == ["Car", "Home", "Car", "Car", "none", "Home", "Car", "Home"]
    assert found.frame["late_share"].tolist() == [0, 10, 20, 30, 40, 50, 60, 70]
    assert found.frame["amount_per_late"].tolist()[1:5] == [20, 15, 400 / 30, 12.5]
    assert np.isnan(found.frame["amount_per_late"][0])
    assert found.frame["city"].isna().tolist() == [False, False, True, True] + [False] * 4
    assert found.dates.dt.day.tolist() == [1, 2, 3, 4, 5, 6, 7, 8]
    assert found.totals().to_dict() == {"received": 8, "rejected": 0, "kept": 8}
    assert rejections(found) == [] and found.set_aside == {} and len(found.rejections()) == 0
    assert [tuple(vars(join).values()) for join in found.joins] == [
        ("people", "cust_id", 8, 0, 0, 0),
        ("bureau", "cust_id", 8, 0, 0, 0),
    ]
    assert set(found.frame.columns) == set(portfolio().columns)
    found.stop_if_too_many_rejected()


def test_the_tables_given_are_left_as_they_were():
    given_, same = delivered(), delivered()
    prepare_book(given_, portfolio(), AS_OF)
    for name, table in same.items():
        pd.testing.assert_frame_equal(given_[name], table)


@pytest.fixture(scope="module")
def retail():
    """A small book with a gap, a bad row, and numbers that only exact reading gives back."""
    book = make_book(400, 3)
    book.customers.loc[7, "residence_type"] = None
    book.customers.loc[5, "income"] = 0
    book.loans["bank_balance_at_application"] = book.loans["bank_balance_at_application"] / 7
    return book


def books_are_the_same(one, other) -> None:
    pd.testing.assert_frame_equal(one.frame, other.frame)
    pd.testing.assert_frame_equal(one.rejected, other.rejected, check_dtype=False)
    assert one.bad.tolist() == other.bad.tolist() and one.totals().to_dict() == other.totals().to_dict()


@pytest.mark.parametrize("kind", ["parquet", "csv", "xlsx", "sqlite", "memory"])
def test_every_way_of_delivery_gives_the_same_book(kind, retail, tmp_path):
    book = load_portfolio("retail")
    expected = prepare_book(retail.tables, book, "2026-01-01")
    assert expected.rejected_rows and len(expected.frame) > 390
    source = str(tmp_path)
    if kind == "sqlite":
        source = f"sqlite:///{tmp_path / 'book.db'}"
        engine = sa.create_engine(source, poolclass=sa.NullPool)
        for name, table in retail.tables.items():
            table.to_sql(name, engine, index=False)
    elif kind == "memory":
        source = f"memory://{tmp_path.name}/book"
        for name, table in retail.tables.items():
            with fsspec.open(f"{source}/{name}.csv", "w") as file:
                table.to_csv(file, index=False)
    else:
        for name, table in retail.tables.items():
            path = tmp_path / f"{name}.{kind}"
            if kind == "parquet":
                table.to_parquet(path)
            elif kind == "csv":
                table.to_csv(path, index=False)
            else:
                table.to_excel(path, index=False)
    books_are_the_same(prepare_book(read_tables(source, book), book, "2026-01-01"), expected)


def test_the_embedded_book_is_written_read_and_checked(tmp_path):
    book = load_portfolio("retail")
    sample = write_book(tmp_path, 1_000, format="csv")
    tables, none = load_tables(str(tmp_path), book, rows=1_000, seed=42)
    assert none is None
    embedded, made = load_tables("", book, rows=1_000, seed=42)
    assert made.oracle_auc == sample.oracle_auc
    books_are_the_same(prepare_book(tables, book, "2026-01-01"), prepare_book(embedded, book, "2026-01-01"))
    found = prepare_book(embedded, book, "2026-01-01")
    assert found.rejections().to_dict("split")["data"] == [
        ["customers", "income", "not above 0", 1],
        ["loans", "loan_amount", "not above 0", 1],
        ["loans", "processing_fee", "breaks: processing fee at most 3% of the loan", 1],
    ]
    assert "Personaal" in set(sample.loans["loan_purpose"]) and "Personaal" not in set(found.frame["loan_purpose"])
    assert found.frame["residence_type"].isna().sum() == 1  # nullable in the tables: not rejected
    with pytest.raises(DataError, match="data is empty.*retail.*german_credit.parquet"):
        load_tables("", load_portfolio("german"), rows=1_000, seed=1)


def test_text_without_blanks_is_missing_alike_in_every_format(tmp_path):
    frame = pd.DataFrame(
        {"id": ["007", None, "NA", "x y"], "n": [1.5, None, 3, 0.1], "purpose": ["none", None, "Car", "1"]}
    )
    frame.to_csv(tmp_path / "f.csv", index=False)
    frame.to_parquet(tmp_path / "f.parquet")
    frame.to_excel(tmp_path / "f.xlsx", index=False)
    for kind in ("csv", "parquet", "xlsx"):
        read = read_file(str(tmp_path / f"f.{kind}"))
        texts = tables_module._texts(read["id"])
        assert [None if pd.isna(v) else v for v in texts] == ["007", None, "NA", "x y"], kind
        numbers, wrong = tables_module._numbers(read["n"], False)
        assert (
            numbers.tolist()[0::2] == [1.5, 3]
            and numbers[3] == 0.1
            and np.isnan(numbers[1])
            and not (wrong != "").any()
        )
        levels, wrong = tables_module._levels(read["purpose"], portfolio().columns["purpose"])
        assert levels.tolist() == ["none", None, "Car", "Home"] and not (wrong != "").any(), kind


def csv(tmp_path, text: str | bytes, name: str = "f.csv") -> str:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


def test_a_csv_keeps_text_as_it_is_written(tmp_path):
    path = csv(tmp_path, b'\xef\xbb\xbf app , amount,note\r\n007, 1e3,"a, b"\r\n\r\n 008 ,NaN,"say ""x"""\r\n')
    frame = read_file(path)
    assert list(frame.columns) == ["app", "amount", "note"]
    assert frame["app"].tolist() == ["007", "008 "] and frame["amount"].tolist() == ["1e3", "NaN"]
    assert frame["note"].tolist() == ["a, b", 'say "x"']
    assert read_file(csv(tmp_path, "a,b\n1,2\n", "UPPER.CSV"))["b"].tolist() == ["2"]


@pytest.mark.parametrize(
    "content, name, message",
    [
        ("", "f.csv", "f.csv: the file is empty"),
        ("\n\n", "f.csv", "f.csv: the file is empty"),
        ("a,b\n1,2,3\n", "f.csv", "f.csv: cannot be read: .*line 2"),
        ('a,b\n"1,2\n', "f.csv", "f.csv: cannot be read: "),
        (b"a\n\xff\xfe\n", "f.csv", "f.csv: line 2 is not UTF-8 text"),
        (b"PK\x03\x04 no workbook", "f.xlsx", "f.xlsx: cannot be read: "),
        (
            b"no workbook",
            "f.xlsx",
            "f.xlsx: is not an Excel workbook; open it and save it as .xlsx, or as CSV in UTF-8",
        ),
        (
            b"\xd0\xcf\x11\xe0 of 1997",
            "f.xlsx",
            r"f.xlsx: is not an Excel workbook; it is .* \(.xls\), or has a password",
        ),
        (b"", "f.xlsx", "f.xlsx: the file is empty"),
        (b"PAR1", "f.parquet", "f.parquet: cannot be read: "),
        (b"", "f.parquet", "f.parquet: cannot be read: "),
        ("a", "f.json", r"f.json: cannot read this kind of file; give .csv, .parquet or .xlsx"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(content, name, message, tmp_path):
    with pytest.raises(DataError, match=message):
        read_file(csv(tmp_path, content, name))


def test_a_trailing_comma_does_not_shift_columns(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):  # pandas would take the first column for an index
        read_file(csv(tmp_path, "a,b\n1,2,\n3,4,\n"))
    assert read_file(csv(tmp_path, "a,b,\n1,2,\n")).to_dict("list") == {"a": ["1"], "b": ["2"]}


def test_a_place_that_holds_no_tables_is_named(tmp_path):
    book = portfolio()
    for source, message in [
        (str(tmp_path / "gone"), "gone: there is no such folder"),
        (str(tmp_path), "no file for table 'loans'; expected loans.parquet, loans.csv or loans.xlsx"),
        ("memory://nowhere/at-all", "memory://nowhere/at-all: there is no such folder"),
        ("nosuchthing://bucket/x", "nosuchthing://bucket/x: cannot be opened: "),
        (f"sqlite:///{tmp_path}/gone.db", "there is no such database file"),
        ("postgresql+psycopg://me:secret@127.0.0.1:1/x", r"postgresql\+psycopg://me:\*\*\*@.*: the database cannot be"),
        ("mysql://me:secret@127.0.0.1/x", r"mysql://me:\*\*\*@127.0.0.1/x: the database cannot be read: No module"),
    ]:
        with pytest.raises(DataError, match=message) as caught:
            read_tables(source, book)
        assert "secret" not in str(caught.value)
    assert not (tmp_path / "gone.db").exists()
    with pytest.raises(DataError, match="gone.csv: there is no such file"):
        read_file(str(tmp_path / "gone.csv"))
    with pytest.raises(DataError, match="there is no such file"):
        read_file(str(tmp_path))


def test_a_database_is_read_by_table_or_by_the_query_of_the_portfolio(tmp_path):
    path = tmp_path / "book.db"
    connection = sqlite3.connect(path)
    for name, table in delivered().items():
        table.to_sql("order" if name == "loans" else name, connection, index=False)
    connection.commit()
    connection.close()
    with pytest.raises(DataError, match=r"sqlite:///.*: table 'loans' cannot be read: no such table: loans"):
        read_tables(f"sqlite:///{path}", portfolio())
    book = portfolio(
        ('[tables.loans]\nkey = "loan_id"', '[tables.loans]\nkey = "loan_id"\nquery = "SELECT * FROM \\"order\\""')
    )
    tables = read_tables(f"sqlite:///{path}", book)
    books_are_the_same(prepare_book(tables, book, AS_OF), prepared())


# --- Whole-table mistakes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "table, change, message",
    [
        ("loans", lambda t: t.drop(columns=["amount", "purpose"]),
         "loans: missing columns 'amount', 'purpose'; the file has loan_id, cust_id, default, opened"),
        ("people", lambda t: t.drop(columns="cust_id"), "people: missing column 'cust_id'; the file has age, city"),
        ("people", lambda t: t.iloc[:0], "people: the file has a header but no rows"),
        ("people", lambda t: pd.DataFrame(), "people: the file is empty"),
        ("people", lambda t: None, "the table 'people' was not given; given are loans, bureau"),
        ("loans", lambda t: t.assign(amount=["1,200", "2,400", "x", "y", "5", "", "", ""]),
         "loans, column 'amount': wrong type: 4 of 5 values are not a number, the first in row 1: '1,200'; "
         "the portfolio says kind = 'number'"),
        ("people", lambda t: t.assign(age=t["age"] + 0.5),
         "people, column 'age': wrong type: 8 of 8 values are not a whole number, the first in row 1: '20.5'"),
        ("people", lambda t: t.assign(age=t["age"] > 30),
         "people, column 'age': wrong type: 8 of 8 values are not a number, the first in row 1: 'False'"),
        ("loans", lambda t: t.assign(opened=["2020-01-01"] * 3 + ["soon"] * 5),
         "loans, column 'opened': wrong type: 5 of 8 values are not a date (YYYY-MM-DD), the first in row 4: 'soon'"),
        ("people", lambda t: t.assign(cust_id=["C1", "C1", "C2", "C2", "C3", "C1", "C4", "C5"]),
         "people, column 'cust_id': duplicate key: 2 keys stand more than once, e.g. 'C1' in rows 1, 2, 6"),
        ("people", lambda t: t.assign(cust_id=t["cust_id"].replace("C3", " ")),
         "people, column 'cust_id': the key is missing or unreadable in row 3"),
        ("loans", lambda t: t.assign(loan_id=t["loan_id"].replace("L4", None)),
         "loans, column 'loan_id': the key is missing or unreadable in row 4"),
        ("loans", lambda t: t.assign(loan_id=["L1", "", None, "L4", "L5", "", "L7", "L8"]),
         "loans, column 'loan_id': the key is missing or unreadable in row 2"),
        ("loans", lambda t: t.assign(default=[0, 1, 3, 1, 7, 0, 0, 0]),
         "loans, column 'default': the target is '3' in row 3 and not declared in 2 rows; "
         "the portfolio declares good [0], bad [1], indeterminate [2]"),
        ("loans", lambda t: t.assign(default=[0, 1, None, 1, 0, 0, 0, 0]),
         "the target is missing in row 3 and not declared in 1 rows"),
        ("loans", lambda t: t.assign(default=["0", "1", "late", "1", "0", "0", "0", "0"]),
         "the target is 'late' in row 3 and not declared in 1 rows"),
        ("loans", lambda t: t.assign(default=0), "'default': every row is good; both classes are needed"),
        ("loans", lambda t: t.assign(default=1), "'default': every row is bad; both classes are needed"),
        ("loans", lambda t: t.assign(default=2), "'default': every row is indeterminate; both classes are needed"),
        ("bureau", lambda t: t.assign(num_open=1),
         "bureau: 'num_open' and 'open_accounts' are two names of one column; keep one"),
        ("bureau", lambda t: t.drop(columns="open_accounts").assign(num_open=1, accounts=1),
         "bureau: 'accounts' and 'num_open' are two names of one column; keep one"),
        ("people", lambda t: pd.concat([t, t["age"]], axis=1), "people: the column 'age' stands twice in the header"),
        ("people", lambda t: t.assign(**{" age": 3}), "people: the column 'age' stands twice in the header"),
    ],
)  # fmt: skip
def test_a_mistake_of_a_whole_table_stops_with_one_clear_message(table, change, message):
    tables = delivered()
    tables[table] = change(tables[table])
    tables = {name: frame for name, frame in tables.items() if frame is not None}
    with pytest.raises(DataError) as caught:
        prepare_book(tables, portfolio(), AS_OF)
    assert message in str(caught.value)


def test_a_name_twice_in_a_header_is_refused_and_not_renamed(tmp_path):
    path = csv(tmp_path, "app,age,amount,age\n1,20,5,30\n")
    with pytest.raises(DataError, match="f.csv: the column 'age' stands twice in the header"):
        check_applications(read_file(path), portfolio(), "f.csv")
    pd.DataFrame([["age", "age"], [1, 2]]).to_excel(tmp_path / "f.xlsx", header=False, index=False)
    with pytest.raises(DataError, match="the column 'age' stands twice"):
        check_applications(read_file(str(tmp_path / "f.xlsx")), portfolio(), "f.xlsx")


def test_a_book_of_one_class_after_the_checks_is_refused_with_the_reasons():
    assert refused(loans={"amount": [100, -1, 300, 0, 500, 600, -7, 800]}) == (
        "every row left is good; rejected: 3. The first: table loans, row 2, column amount, value -1: not above 0"
    )
    assert refused(loans={"amount": [-1] * 8}).startswith(
        "no row is left to learn from; rejected: 8. The first: table loans, row 1, column amount, value -1: not above"
    )
    with pytest.raises(DataError, match="no row is left to learn from; rejected: 0; outcome window of 12 months.*: 8$"):
        prepared(as_of="2020-06-30")
    with pytest.raises(DataError, match="as_of is 'soon', which is not a date; write it as YYYY-MM-DD"):
        prepared(as_of="soon")


@pytest.mark.parametrize(("change", "hint"), [
    (lambda text: text.replace(",", ";"), "its columns are parted by ';': save it with commas between them"),
    (lambda text: text.replace(",", ";").replace(".", ","), "its columns are parted by ';': save it with commas"),
    (lambda text: text.replace(",", "\t"), r"its columns are parted by '\\t': save it with commas between them"),
    (lambda text: text.replace("age,income", "Age,INCOME", 1), "capitals count: write 'age' for 'Age', 'income' for "),
])  # fmt: skip
def test_a_header_that_is_almost_right_gets_a_hint(tmp_path, change, hint):
    retail, path = load_portfolio("retail"), tmp_path / "in.csv"
    path.write_text(change(make_applications(5).to_csv(index=False)))
    with pytest.raises(DataError, match=hint):
        check_applications(tables_module.read_file(str(path)), retail, "in.csv")


def test_too_many_rejected_rows_stop_with_the_first_of_them():
    limited = portfolio(("max_reject_share = 0.5", "max_reject_share = 0.24"))
    found = prepared(limited, loans={"amount": [-5, 200, -1, 400, 500, 600, 700, 800]})
    with pytest.raises(DataError) as caught:
        found.stop_if_too_many_rejected()
    assert str(caught.value) == (
        "2 of 8 rows are rejected (25.0%), more than the portfolio's limit of 24%; see rejected.parquet. "
        "The first: table loans, row 1, column amount, value -5: not above 0"
    )
    prepared(portfolio(("0.5", "0.25")), loans={"amount": [-5, 200, -1] + [400] * 5}).stop_if_too_many_rejected()
    limited = portfolio(("max_reject_share = 0.5", "max_reject_share = 0.29"))
    tables_module.stop_if_too_many_rejected(found.rejected, 29, 100, limited)  # 0.29 * 100 is below 29 in floats
    with pytest.raises(DataError):
        tables_module.stop_if_too_many_rejected(found.rejected, 30, 100, limited)


# --- Single bad rows --------------------------------------------------------------------------------------------------


def test_rejected_cells_are_told_by_table_row_key_column_value_and_reason():
    found = prepared(
        loans={
            "amount": ["100", "1,200", "inf", "0", "90000", "", "700", "800"],
            "purpose": ["Car", "Boat", "Auto", "Home", "Home", "Home", "car", "Home"],
            "default": [0, 1, 0, 1, 0, 1, 1, 1],
        },
        people={"age": [20, 30, 40.5, 17, 60, 101, 80, 90]},
    )
    assert rejections(found) == [
        ("loans", 2, "L2", "amount", "1,200", "not a number"),
        ("loans", 2, "L2", "purpose", "Boat", "unknown level; allowed: Car, Home, none"),
        ("loans", 3, "L3", "amount", "inf", "not a finite number"),
        ("loans", 4, "L4", "amount", "0", "not above 0"),
        ("loans", 5, "L5", "amount", "amount=90000, age=60", "breaks: age fits the amount"),
        ("loans", 6, "L6", "amount", None, "missing"),
        ("loans", 7, "L7", "purpose", "car", "unknown level; allowed: Car, Home, none"),
        ("people", 3, "C3", "age", "40.5", "not a whole number"),
        ("people", 4, "C4", "age", "17", "below 18, the least allowed"),
        ("people", 6, "C6", "age", "101", "above 100, the most allowed"),
    ]
    assert found.frame["loan_id"].tolist() == ["L1", "L8"]
    assert found.totals().to_dict() == {"received": 8, "rejected": 6, "kept": 2}
    assert found.rejections().to_dict("records")[0] == {
        "table": "loans", "column": "purpose", "reason": "unknown level; allowed: Car, Home, none", "rows": 2,
    }  # fmt: skip


def test_a_fraction_among_whole_numbers_is_found_beside_a_cell_that_is_no_number():
    found = prepared(people={"age": ["20.5", "abc", "40", "50", "60", "70", "80", "1e1"]})
    assert [(r[1], r[4], r[5]) for r in rejections(found)] == [
        (1, "20.5", "not a whole number"), (2, "abc", "not a number"), (8, "10", "below 18, the least allowed"),
    ]  # fmt: skip


def test_codes_pass_the_limits_and_derived_values_are_checked_too():
    found = prepared(people={"age": [-1, 30, 40, 50, 60, 70, 80, -2]}, bureau={"late": [0, 1, 2, 3, 4, 5, 6, 12]})
    assert rejections(found) == [
        ("loans", 8, "L8", "late_share", "120", "above 100, the most allowed"),
        ("loans", 8, "L8", "amount", "amount=800, age=-2", "breaks: age fits the amount"),
        ("people", 8, "C8", "age", "-2", "below 18, the least allowed"),
    ]
    assert found.frame["age"][0] == -1
    found = prepared(bureau={"months": [10] * 7 + [0]})  # 7 of 0 months: no share
    assert rejections(found) == [("loans", 8, "L8", "late_share", None, "missing")]


def test_a_missing_value_is_rejected_only_where_the_portfolio_needs_it():
    found = prepared(
        loans={
            "opened": [None, "", "2020-13-45"] + ["2020-01-01"] * 5,
            "cust_id": ["C1", "C2", "C3", "C4", "C5", "C6", "C7", None],
        },
        bureau={"open_accounts": [None] * 8},
    )
    assert rejections(found) == [
        ("loans", 1, "L1", "opened", None, "missing"),
        ("loans", 2, "L2", "opened", None, "missing"),
        ("loans", 3, "L3", "opened", "2020-13-45", "not a date (YYYY-MM-DD)"),
        ("loans", 8, "L8", "cust_id", None, "no row in people with this cust_id"),
    ]
    assert found.frame["open_accounts"].isna().all() and len(found.frame) == 4
    nullable = portfolio(('kind = "integer"\nrole = "input"', 'kind = "integer"\nnullable = true\nrole = "input"'))
    assert len(prepared(nullable, people={"age": [None] * 8}).frame) == 8


def test_a_base_row_without_a_match_is_rejected_or_kept_as_the_portfolio_says():
    people = delivered()["people"].iloc[[0, 1, 2, 3, 4, 7]].to_dict("list")
    bureau = delivered()["bureau"].iloc[[0, 1, 7]].to_dict("list")
    tables = delivered() | {"people": pd.DataFrame(people), "bureau": pd.DataFrame(bureau)}
    tables["people"].loc[6] = ["stranger", 40, "X"]
    found = prepare_book(tables, portfolio(), AS_OF)
    assert rejections(found) == [
        ("loans", 6, "L6", "cust_id", "C6", "no row in people with this cust_id"),
        ("loans", 7, "L7", "cust_id", "C7", "no row in people with this cust_id"),
    ]
    assert [tuple(vars(join).values()) for join in found.joins] == [
        ("people", "cust_id", 8, 2, 0, 1),
        ("bureau", "cust_id", 8, 5, 0, 0),
    ]
    assert found.frame["loan_id"].tolist() == ["L1", "L2", "L3", "L4", "L5", "L8"]
    assert found.frame["late_share"].isna().tolist() == [False, False, True, True, True, False]
    assert found.frame["open_accounts"].isna().tolist() == [False, False, True, True, True, False]


def test_a_missing_key_matches_nothing_not_even_a_missing_key():
    book = portfolio(('[tables.people]\nkey = "cust_id"', "[tables.people]"))
    ids = ["C1", "C2", "C3", "C4", "C5", "C6", None, None]
    found = prepared(book, loans={"cust_id": ids}, people={"cust_id": ids})
    assert [row[:3] for row in rejections(found)] == [("loans", 7, "L7"), ("loans", 8, "L8")]
    assert found.totals().to_dict() == {"received": 8, "rejected": 2, "kept": 6}
    assert found.joins[0].lost == 2 and found.joins[0].unused == 2 and found.joins[0].duplicated == 0


def test_rows_that_a_join_multiplies_are_counted():
    book = portfolio(('[tables.people]\nkey = "cust_id"', "[tables.people]"))
    ids = ["C1", "C1", "C1", "C2", "C2", "C3", "C4", "C5"]
    found = prepared(book, people={"cust_id": ids, "age": [20, 21, 17, 30, 31, 40, "x", 60]})
    assert found.frame["loan_id"].tolist() == ["L1", "L1", "L2", "L2", "L3", "L5"]
    assert found.frame["age"].tolist() == [20, 21, 30, 31, 40, 60]
    assert found.totals().to_dict() == {"received": 8, "added by joins": 3, "rejected": 5, "kept": 6}
    assert rejections(found) == [
        ("loans", 6, "L6", "cust_id", "C6", "no row in people with this cust_id"),
        ("loans", 7, "L7", "cust_id", "C7", "no row in people with this cust_id"),
        ("loans", 8, "L8", "cust_id", "C8", "no row in people with this cust_id"),
        ("people", 3, None, "age", "17", "below 18, the least allowed"),
        ("people", 7, None, "age", "x", "not a number"),
    ]


def test_one_bad_row_that_several_loans_share_is_told_once():
    found = prepared(
        loans={"cust_id": ["C1", "C1", "C1", "C2", "C2", "C3", "C4", "C5"]},
        people={"age": [17, "x", 40, 50, 60, 70, 80, 90]},
    )
    assert rejections(found) == [
        ("people", 1, "C1", "age", "17", "below 18, the least allowed"),
        ("people", 2, "C2", "age", "x", "not a number"),
    ]
    assert found.rejected_rows == 5 and found.frame["loan_id"].tolist() == ["L6", "L7", "L8"]
    assert [join.unused for join in found.joins] == [3, 3]


def test_a_column_that_two_tables_bring_is_read_from_the_base_table():
    branches = """[tables.branches]
key = "branch"
join = "branch"
[columns.branch]
kind = "text"
table = "people"
[columns.size]
kind = "number"
table = "branches"
[columns.loan_id]"""
    tables = delivered(loans={"branch": list("aabbaabb")}, people={"branch": list("xxxxxxxx")})
    tables["branches"] = pd.DataFrame({"branch": ["a", "b"], "size": [1, 2]})
    found = prepare_book(tables, portfolio(("[columns.loan_id]", branches)), AS_OF)
    assert found.frame["branch"].tolist() == list("aabbaabb")
    assert found.frame["size"].tolist() == [1, 1, 2, 2, 1, 1, 2, 2]


def test_a_bad_row_that_nothing_joins_to_is_told_and_rejects_nothing():
    tables = delivered()
    tables["people"] = pd.concat([tables["people"], pd.DataFrame({"cust_id": ["C9"], "age": ["old"]})])
    found = prepare_book(tables, portfolio(), AS_OF)
    assert rejections(found) == [("people", 9, "C9", "age", "old", "not a number")]
    assert found.rejected_rows == 0 and len(found.frame) == 8


def test_undecided_excluded_and_immature_rows_are_set_aside_and_counted():
    found = prepared(
        as_of="2021-01-05",
        loans={
            "default": [2, 1, 0, 1, 0, 2, 1, 0],
            "amount": [5.0, 5.0, 300, 400, 500, 600, 700, 800],
            "opened": ["2020-01-01"] * 2 + ["2017-12-31"] * 2 + ["2020-01-05"] + ["2020-01-06"] * 2 + ["2020-02-29"],
            "purpose": ["Car", "Car", "Auto", "Home", "Car", "Car", "Car", "Car"],
        },
    )  # fmt: skip
    assert found.set_aside == {
        "indeterminate": 2,
        "excluded, tiny loan": 1,
        "excluded, car before 2018": 1,
        "outcome window of 12 months not over on 2021-01-05": 2,
    }
    assert found.frame["loan_id"].tolist() == ["L4", "L5"] and found.bad.tolist() == [1, 0]
    assert found.totals().to_dict() == {
        "received": 8, "rejected": 0, "set aside: indeterminate": 2, "set aside: excluded, tiny loan": 1,
        "set aside: excluded, car before 2018": 1,
        "set aside: outcome window of 12 months not over on 2021-01-05": 2, "kept": 2,
    }  # fmt: skip
    assert len(found.frame) == len(found.bad) == len(found.dates)


def test_a_window_ends_on_the_day_of_the_month_and_a_leap_day_on_the_28th():
    opened = ["2020-01-01"] * 6 + ["2020-02-29", "2020-02-29"]
    assert len(prepared(as_of="2021-02-28", loans={"opened": opened}).frame) == 8
    assert len(prepared(as_of="2021-02-27", loans={"opened": opened}).frame) == 6
    assert len(prepare_book(delivered(), portfolio(), dt.date(2021, 1, 8)).frame) == 8
    far = prepared(loans={"opened": ["2020-01-01"] * 6 + ["9999-12-31", "1700-01-01"]})
    assert far.set_aside == {"outcome window of 12 months not over on 2024-01-01": 1}


def test_a_missing_value_excludes_no_row():
    book = portfolio(('kind = "category"\nrole = "input"', 'kind = "category"\nnullable = true\nrole = "input"'))
    opened = ["2017-01-01"] * 7 + ["2020-01-01"]
    found = prepared(book, loans={"purpose": [None, "", "NA"] + ["Car"] * 5, "opened": opened})
    assert found.set_aside == {"excluded, car before 2018": 4}
    assert found.frame["loan_id"].tolist() == ["L1", "L2", "L3", "L8"]
    assert found.frame["purpose"].tolist() == [None, None, None, "Car"]


# --- Types of columns -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.set_index(pd.Index(list("hgfedcba"))),
        lambda t: t.sample(frac=1, random_state=1).sort_values(t.columns[0]),
        lambda t: t.astype("object"),
        lambda t: t.astype("category"),
        lambda t: t.convert_dtypes(),
        lambda t: t.convert_dtypes(dtype_backend="pyarrow"),
        lambda t: t.astype(str).fillna(""),
        lambda t: t.assign(late=t["late"].astype(float)) if "late" in t else t,
        lambda t: t.astype(str).fillna("").map(lambda v: f"  {v}\t"),
        lambda t: t.astype({name: CODED_TEXT for name in t if "_id" in name}),
        lambda t: t.assign(opened=pd.to_datetime(t["opened"])) if "opened" in t else t,
        lambda t: t.assign(opened=pd.to_datetime(t["opened"]).dt.tz_localize("Asia/Kolkata")) if "opened" in t else t,
        lambda t: t.assign(opened=pd.to_datetime(t["opened"]).dt.date) if "opened" in t else t,
        lambda t: t.assign(opened=t["opened"] + "T00:00:00+05:30") if "opened" in t else t,
        lambda t: t.assign(opened=[*(t["opened"][:4] + "T00:00Z"), *t["opened"][4:]]) if "opened" in t else t,
        lambda t: t.assign(opened=t["opened"].str.replace("-", "").astype(int)) if "opened" in t else t,
        lambda t: t.assign(default=t["default"].astype("Int8")) if "default" in t else t,
        lambda t: t.rename(columns=lambda name: f" {name} "),
        lambda t: t.rename(columns={"open_accounts": "num_open"}),
        lambda t: t.rename(columns={"open_accounts": "accounts"}),
        lambda t: t[t.columns[::-1]].assign(extra=1),
    ],
)  # fmt: skip
def test_the_type_a_column_comes_in_does_not_matter(change):
    changed = {name: change(table) for name, table in delivered().items()}
    books_are_the_same(prepare_book(changed, portfolio(), AS_OF), prepared())


def test_numbers_with_gaps_are_read_from_every_type_and_keys_stay_joined():
    ids = [1, 2, 3, 4, 5, 6, 7, 8]
    found = prepared(
        loans={"cust_id": [*ids[:-1], None]},  # floats, because of the gap
        people={"cust_id": ids},
        bureau={"cust_id": [str(i) for i in ids], "open_accounts": pd.array([1, None] * 4, dtype="Int64")},
    )
    assert found.frame["cust_id"].tolist() == ["1", "2", "3", "4", "5", "6", "7"]
    assert [join.lost for join in found.joins] == [1, 1]
    assert found.frame["open_accounts"].isna().sum() == 3 and found.frame["open_accounts"].dtype == np.float64


def test_a_category_given_as_numbers_is_resolved_by_its_aliases():
    levels, wrong = tables_module._levels(pd.Series([1.0, np.nan, 2.5, np.inf, -1]), portfolio().columns["purpose"])
    assert levels.tolist() == ["Home", None, "2.5", "inf", "-1"]
    assert (wrong != "").tolist() == [False, False, True, True, True]
    levels, wrong = tables_module._levels(pd.Series([True, False]), portfolio().columns["purpose"])
    assert (wrong != "").all()


@pytest.mark.parametrize("text", ["1,200", "1_200", "0x10", "12%", "$5", "1 2", "1.2.3", "1e", "--5", "True", "１２"])
def test_text_that_is_no_plain_number_is_refused_as_it_stands(text):
    found = prepared(loans={"amount": [text, *map(str, range(200, 900, 100))]})
    assert rejections(found) == [("loans", 1, "L1", "amount", text, "not a number")]


def test_true_and_false_among_numbers_are_no_numbers():
    found = prepared(loans={"amount": [True, 200, 300, 400, 500, 600, 700, 800]})
    assert rejections(found) == [("loans", 1, "L1", "amount", "True", "not a number")]
    assert "8 of 8 values are not a number" in refused(people={"age": pd.array([True, False] * 4, dtype="boolean")})
    assert "7 of 7 values are not a number" in refused(
        people={"age": pd.array([True, None] + [False] * 6, dtype="boolean")}
    )


# --- Control totals of random dirt ------------------------------------------------------------------------------------

CELLS = {
    "amount": ["50", "700", "5", "0", "-3", "1,200", "inf", "", "nan", "20000"],
    "purpose": ["Car", "Auto", " Home ", "1", "none", "boat", "", None],
    "opened": ["2020-05-05", "2017-05-05", "2023-06-01", "not yet", None],
    "age": ["20", "99", "-1", "17", "20.5", "old", ""],
    "late": ["0", "3", "12", "-1", "x", ""],
    "months": ["10", "12", "0", ""],
    "open_accounts": ["1", "", "-1", "many"],
}


def number(text) -> float | None:
    """A cell as a number; None when it is missing; raises ValueError when it is no finite number."""
    if text is None or str(text).strip() in ("", "nan"):
        return None
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError(text)
    return value


def fate(loan: dict, person: dict | None, bureau: dict | None) -> str:
    """What must become of a joined row, by the words of the portfolio and nothing of the code under test."""
    try:
        amount, age = number(loan["amount"]), number(person["age"]) if person else None
        late, months, accounts = (number(bureau[k]) if bureau else None for k in ("late", "months", "open_accounts"))
        opened = dt.date.fromisoformat(loan["opened"]) if loan["opened"] else None
    except ValueError:
        return "rejected"
    purpose = {"Auto": "Car", "1": "Home"}.get((loan["purpose"] or "").strip(), (loan["purpose"] or "").strip())
    if person is None or opened is None or purpose not in ("Car", "Home", "none"):
        return "rejected"
    if amount is None or amount <= 0 or age is None or age != int(age) or (age != -1 and not 18 <= age <= 100):
        return "rejected"
    if bureau:
        if None in (late, months) or months == 0 or late < 0 or months < 0 or 100 * late / months > 100:
            return "rejected"
        if accounts is not None and accounts < 0:
            return "rejected"
    if not (amount <= 100 * age or age == -1):
        return "rejected"
    if loan["default"] == 2 or amount < 10 or (purpose == "Car" and opened < dt.date(2018, 1, 1)):
        return "set aside"
    return "set aside" if opened > dt.date(2023, 1, 1) else "kept"


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(20, 60), st.booleans())
def test_received_and_added_rows_are_kept_set_aside_or_rejected_with_a_reason(seed, rows, unique):
    draw = random.Random(seed)

    def cell(column: str):
        return draw.choice(CELLS[column] if draw.random() < 0.12 else CELLS[column][:2])

    loans = [
        {"loan_id": f"L{i}", "cust_id": draw.choice([f"C{draw.randrange(rows)}"] * 9 + [None]),
         "default": [0, 1, 2][i] if i < 3 else draw.choice([0, 0, 1, 2]),
         **{name: cell(name) for name in ("amount", "purpose", "opened")}}
        for i in range(rows)
    ]  # fmt: skip
    ids = [f"C{i}" for i in range(rows) if draw.random() < 0.9] or ["C0"]
    people_ids = ids if unique else [draw.choice([*ids, None]) for _ in ids]
    people = [{"cust_id": cust, "age": cell("age")} for cust in people_ids]
    bureau = [{"cust_id": c, **{k: cell(k) for k in ("late", "months", "open_accounts")}} for c in ids[::2]]
    tables = {"loans": pd.DataFrame(loans), "people": pd.DataFrame(people), "bureau": pd.DataFrame(bureau)}
    book = portfolio() if unique else portfolio(('[tables.people]\nkey = "cust_id"', "[tables.people]"))

    joined = [
        (loan, person, next((b for b in bureau if b["cust_id"] == loan["cust_id"]), None))
        for loan in loans
        for person in [p for p in people if p["cust_id"] == loan["cust_id"] is not None] or [None]
    ]
    fates = [fate(*row) for row in joined]
    try:
        found = prepare_book(tables, book, AS_OF)
    except DataError as error:
        message = str(error)
        kept_bads = {loan["default"] for (loan, *_), what in zip(joined, fates, strict=True) if what == "kept"}
        assert "wrong type" in message or (len(kept_bads) < 2 and re.match("every row left|no row is left", message))
        return
    assert found.received + sum(join.duplicated for join in found.joins) == len(joined)
    assert found.frame["loan_id"].tolist() == [row[0]["loan_id"] for row, what in zip(joined, fates) if what == "kept"]
    assert found.rejected_rows == fates.count("rejected")
    assert sum(found.set_aside.values()) == fates.count("set aside")
    totals = found.totals().to_dict()
    assert totals.pop("received") + totals.pop("added by joins", 0) == sum(totals.values()) == len(joined)
    told = {(table, row) for table, row in zip(found.rejected["table"], found.rejected["row"], strict=True)}
    for (loan, person, bureau_row), what in zip(joined, fates, strict=True):
        places = {("loans", loans.index(loan) + 1)}
        places |= {("people", i + 1) for i, p in enumerate(people) if p is person}
        places |= {("bureau", i + 1) for i, b in enumerate(bureau) if b is bureau_row}
        assert (what != "rejected") or told & places


# --- Applications -----------------------------------------------------------------------------------------------------


def applications(**changes) -> pd.DataFrame:
    columns = {
        "app": ["001", "002", "003", "004"],
        "amount": [100, 200, 300, 400],
        "purpose": ["Car", "Auto", "Home", "none"],
        "age": [20, 30, 40, 50],
        "late_share": [0.0, 10.0, 20.0, 30.0],
        "num_open": [1, 2, 3, 4],
    } | changes
    return pd.DataFrame({name: values for name, values in columns.items() if values is not None})


def checked(book: Portfolio | None = None, **changes):
    return check_applications(applications(**changes), book or portfolio(), "apps.csv")


def accounted(found) -> bool:
    return found.received == len(found.frame) + found.rejected_rows + found.duplicates


def test_clean_applications_pass_in_the_order_of_the_portfolio():
    found = checked()
    assert list(found.frame.columns) == ["amount", "purpose", "age", "late_share", "open_accounts"]
    assert found.frame["purpose"].tolist() == ["Car", "Car", "Home", "none"]
    assert found.rows.tolist() == [1, 2, 3, 4] and found.ids.tolist() == ["001", "002", "003", "004"]
    assert (found.received, found.rejected_rows, found.duplicates, found.warnings) == (4, 0, 0, {})
    assert list(found.rejected.columns) == REJECTED_COLUMNS and found.rejected.empty


def test_the_embedded_applications_pass_the_retail_checks():
    frame, book = make_applications(200), load_portfolio("retail")
    found = check_applications(frame, book, "f")
    assert len(found.frame) == 200 and found.ids.tolist() == frame["application_id"].tolist()
    assert found.frame["number_of_open_accounts"].tolist() == frame["num_open_accounts"].tolist()


def test_optional_inputs_and_ids_may_be_left_out():
    found = checked(num_open=None, app=None)
    assert found.ids is None and found.frame["open_accounts"].isna().all() and len(found.frame) == 4
    assert found.frame["open_accounts"].dtype == np.float64
    found = checked(num_open=[1, None, None, 4])
    assert found.frame["open_accounts"].isna().tolist() == [False, True, True, False]
    assert checked(app=None, amount=[100, 0, 300, 400]).rejected["key"].isna().all()


def test_ids_stay_text_as_delivered_and_a_missing_one_is_no_duplicate(tmp_path):
    rows = "app,amount,purpose,age,late_share\n" + "".join(
        f"{app},100,Car,30,5\n" for app in ["007", "", " 7", "", "7.0"]
    )
    found = check_applications(read_file(csv(tmp_path, rows)), portfolio(), "f.csv")
    assert [None if pd.isna(i) else i for i in found.ids] == ["007", None, "7", None, "7.0"]
    assert found.duplicates == 0
    numbered = checked(app=[7, None, 9, None])  # a column of floats
    assert [None if pd.isna(i) else i for i in numbered.ids] == ["7", None, "9", None]
    assert checked(app=[7, 8, 9, 10]).ids.tolist() == ["7", "8", "9", "10"]


def test_refused_values_are_told_with_row_id_column_value_and_reason():
    found = checked(
        amount=["100", "-5", "x", "400"], age=[20, None, 40.5, 101], purpose=["boat", "Car", "Car", "Car"],
        num_open=[1, 2, 3, -1],
    )  # fmt: skip
    assert rejections(found) == [
        ("apps.csv", 1, "001", "purpose", "boat", "unknown level; allowed: Car, Home, none"),
        ("apps.csv", 2, "002", "amount", "-5", "not above 0"),
        ("apps.csv", 2, "002", "age", None, "missing"),
        ("apps.csv", 3, "003", "amount", "x", "not a number"),
        ("apps.csv", 3, "003", "age", "40.5", "not a whole number"),
        ("apps.csv", 4, "004", "age", "101", "above 100, the most allowed"),
        ("apps.csv", 4, "004", "open_accounts", "-1", "below 0, the least allowed"),
    ]
    assert found.rejected_rows == 4 and len(found.frame) == 0 and accounted(found) and found.warnings == {}


def test_a_file_in_which_no_row_is_readable_is_refused_row_by_row():
    found = check_applications(applications().iloc[:2].assign(amount=["a", "5"], age=["20", "b"]), portfolio(), "f")
    assert [row[1:5] for row in rejections(found)] == [(1, "001", "amount", "a"), (2, "002", "age", "b")]
    assert len(found.frame) == 0 and list(found.frame) == list(portfolio().inputs) and accounted(found)


def test_row_numbers_count_data_rows_from_1_whatever_the_index():
    frame = applications(age=[17, 30, 40, 50]).set_index(pd.Index([90, 3, 3, 1]))
    found = check_applications(frame, portfolio(), "f")
    assert found.rejected["row"].tolist() == [1] and found.rows.tolist() == [2, 3, 4]
    assert found.frame.index.tolist() == [0, 1, 2] and found.ids.index.tolist() == [0, 1, 2]


def test_an_application_sent_twice_is_a_duplicate_of_the_first_that_is_fine():
    found = checked(
        app=["A", "A", " A ", "B"], amount=[0, 200, 300, 400],
    )  # fmt: skip
    assert rejections(found) == [
        ("apps.csv", 1, "A", "amount", "0", "not above 0"),
        ("apps.csv", 3, "A", "app", "A", "duplicate of row 2"),
    ]
    assert (found.rejected_rows, found.duplicates) == (1, 1) and found.rows.tolist() == [2, 4] and accounted(found)


def test_derived_inputs_may_come_as_their_source_columns():
    sources = {"late_share": None, "late": [0, 3, "6", 1], "months": [10, 10, 12, 0]}
    found = checked(**sources)
    assert found.frame["late_share"].tolist() == [0, 30, 50]
    assert rejections(found) == [("apps.csv", 4, "004", "late_share", None, "missing")]
    spec = portfolio().columns["late_share"].derive
    assert found.frame["late_share"].tolist() == derive(spec, {"late": [0, 3, 6], "months": [10, 10, 12]}).tolist()
    assert checked(late=[9] * 4, months=[10] * 4).frame["late_share"].tolist() == [0, 10, 20, 30]  # given as such
    both = checked(**(sources | {"late": [-1, 3, 12, "x"], "months": [10, 10, 10, 10]}))
    assert rejections(both) == [
        ("apps.csv", 1, "001", "late", "-1", "below 0, the least allowed"),
        ("apps.csv", 3, "003", "late_share", "120", "above 100, the most allowed"),
        ("apps.csv", 4, "004", "late", "x", "not a number"),
    ]
    for given_ in ({"late": [1] * 4}, {}):
        with pytest.raises(DataError, match="apps.csv: missing column 'late_share'; the file has app"):
            checked(late_share=None, **given_)


def test_retail_takes_ratios_or_the_counts_behind_them():
    book = load_portfolio("retail")
    frame = make_applications(50)
    counts = pd.DataFrame(
        {"total_dpd": [12, 0] * 25, "delinquent_months": [6, 0] * 25, "total_loan_months": [24, 9] * 25}
    )
    raw = pd.concat([frame.drop(columns=["avg_dpd_per_delinquency", "delinquency_ratio"]), counts], axis=1)
    found = check_applications(raw, book, "f")
    assert found.frame["avg_dpd_per_delinquency"].tolist() == [2, 0] * 25
    assert found.frame["delinquency_ratio"].tolist() == [25, 0] * 25


@pytest.mark.parametrize(
    "change, message",
    [
        ({"amount": None}, "apps.csv: missing column 'amount'; the file has app, purpose, age, late_share, num_open"),
        ({"amount": None, "age": None}, "apps.csv: missing columns 'amount', 'age'; the file has app"),
        ({"purpose": None, "num_open": None}, "missing column 'purpose'; the file has app, amount, age, late_share"),
        ({"amount": ["a", "b", "c", 4]}, "apps.csv, column 'amount': wrong type: 3 of 4 values are not a number"),
        ({"accounts": [1, 2, 3, 4]}, "apps.csv: 'accounts' and 'num_open' are two names of one column"),
    ],
)
def test_a_file_of_applications_that_is_wrong_as_a_whole_is_refused(change, message):
    with pytest.raises(DataError) as caught:
        checked(**change)
    assert message in str(caught.value)


def test_an_input_that_may_be_missing_in_the_tables_is_still_needed_to_score():
    nullable = portfolio(('kind = "integer"\nrole = "input"', 'kind = "integer"\nnullable = true\nrole = "input"'))
    assert rejections(checked(nullable, age=[20, None, 40, 50])) == [("apps.csv", 2, "002", "age", None, "missing")]


def test_an_empty_file_of_applications_is_refused():
    for frame, message in (
        (applications().iloc[:0], "f: the file has a header but no rows"),
        (pd.DataFrame(), "f: the file is empty"),
    ):
        with pytest.raises(DataError, match=message):
            check_applications(frame, portfolio(), "f")


def test_values_beyond_soft_limits_are_counted_and_kept():
    found = checked(amount=[1000, 1001, 20, 19.5], age=[90, 90, 90, 90])
    assert found.warnings == {"amount below 20": 1, "amount above 1,000": 1} and len(found.frame) == 4
    assert soft_warnings(found.frame, portfolio()) == found.warnings
    assert checked(amount=[5000, 0, 1, 30], age=[17, 20, 20, 20]).warnings == {"amount below 20": 1}  # kept rows only


def test_columns_for_a_model_are_floats_with_nan_and_objects_with_none():
    found = checked(portfolio(), num_open=None)
    columns = to_columns(found.frame, ["amount", "open_accounts", "purpose"], portfolio())
    assert [array.dtype for array in columns.values()] == [np.float64, np.float64, object]
    assert np.isnan(columns["open_accounts"]).all()
    frame = pd.DataFrame(
        {"purpose": pd.array(["Car", None], dtype="str"), "amount": pd.array([1, None], dtype="Int64")}
    )
    columns = to_columns(frame, ["purpose", "amount"], portfolio())
    assert columns["purpose"].tolist() == ["Car", None] and np.isnan(columns["amount"][1])


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_every_application_is_accepted_refused_with_a_reason_or_a_duplicate(seed):
    draw = random.Random(seed)

    def cells(column: str) -> list:
        return [draw.choice(CELLS[column] if draw.random() < 0.15 else CELLS[column][:2]) for _ in range(30)]

    frame = pd.DataFrame({name: cells(name) for name in ("amount", "purpose", "age", "late", "months")})
    frame["app"] = [draw.choice(["", "A", "B", *"CDEFGHIJKLMNOPQR"]) for _ in range(30)]
    try:
        found = check_applications(frame, portfolio(), "f")
    except DataError as error:
        assert "wrong type" in str(error)
        return
    assert accounted(found)
    duplicate = found.rejected["reason"].str.startswith("duplicate")
    assert set(found.rows) | set(found.rejected["row"]) == set(range(1, 31))
    assert not set(found.rows) & set(found.rejected["row"])
    assert (
        duplicate.sum() == found.duplicates and found.rejected.loc[~duplicate, "row"].nunique() == found.rejected_rows
    )
    assert found.ids.dropna().is_unique
    assert found.frame["amount"].gt(0).all() and found.frame["late_share"].between(0, 100).all()
    assert frame["purpose"].iloc[found.rows - 1].str.strip().replace({"Auto": "Car", "1": "Home"}).tolist() == list(
        found.frame["purpose"]
    )


def test_a_number_beyond_every_sensible_one_is_rejected():
    frame = make_applications(3).astype({"income": "float64"})
    frame.loc[1, "income"] = 1e300
    checked = check_applications(frame, load_portfolio("retail"), "apps.csv")
    assert len(checked.frame) == 2
    assert checked.rejected[["row", "column", "reason"]].values.tolist() == [[2, "income", "beyond 1e+15 either way"]]


def test_whole_numbers_are_written_as_such_and_nothing_else_changes():
    frame = pd.DataFrame(
        {
            "whole": [38.0, None, -2.0],
            "half": [38.0, 0.5, 1.0],
            "empty": [None, None, None],
            "huge": [1e300, 1.0, 2.0],
            "int": [1, 2, 3],
            "text": ["1.0", "a", None],
        }
    ).astype({"empty": "float64"})
    before = frame.copy()
    assert whole_as_such(frame).to_csv(index=False).splitlines() == [
        "whole,half,empty,huge,int,text",
        "38,38.0,,1e+300,1,1.0",
        ",0.5,,1.0,2,a",
        "-2,1.0,,2.0,3,",
    ]
    pd.testing.assert_frame_equal(frame, before)
    assert whole_as_such(frame.iloc[:0]).empty
