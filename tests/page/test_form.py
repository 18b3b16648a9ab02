"""The form that a portfolio makes, and what the texts typed into it mean."""

from __future__ import annotations

import pytest

from creditrisk.data.portfolio import built_in_portfolios, load_portfolio
from creditrisk.serving.contract import application_model, example_application, wire_name
from creditrisk.ui.form import fields_of, parse_number, read_form
from page_parts import RETAIL


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("38", 38),
        (" 1,200,000 ", 1_200_000),
        ("12,00,000", 1_200_000),
        ("1 200 000", 1_200_000),
        ("1\u202f200\u202f000.5", 1_200_000.5),
        ("12.50", 12.5),
        (".5", 0.5),
        ("-3", -3),
        ("\u22123", -3),
        ("30%", 30),
        ("007", 7),
    ],
)
def test_numbers_are_read_as_people_write_them(text, number):
    read = parse_number(text)
    assert read == number and type(read) is type(number)


@pytest.mark.parametrize("text", ["twelve", "1.2.3", "1,2,3", "12a", "nan", "inf", "1e6", "--3", "1,20", "١٢", "0,500"])
def test_a_text_that_is_no_number_is_refused_and_not_guessed_at(text):
    with pytest.raises(ValueError, match=r"not a number|with a point"):
        parse_number(text)


def test_a_decimal_comma_is_not_taken_for_a_mark_between_thousands():
    with pytest.raises(ValueError, match=r"write decimals with a point: 12\.5"):
        parse_number("12,5")


def test_a_number_of_thousands_of_digits_is_refused_quickly():
    with pytest.raises(ValueError, match="too long"):
        parse_number("9" * 100_000)


@pytest.mark.parametrize("name", built_in_portfolios())
def test_every_portfolio_makes_a_form_that_reads_back_what_its_api_takes(name):
    book = load_portfolio(name)
    fields = fields_of(book)
    assert list(fields) == list(book.inputs)
    example = example_application(book)
    texts = {n: str(example[wire_name(n, c)]) for n, c in book.inputs.items() if c.role == "input"}
    reading = read_form(book, texts)
    expected = application_model(book).model_validate(example).model_dump()
    expected.pop("application_id", None)
    assert reading.values == expected and not reading.errors and not reading.missing


def test_a_field_says_what_the_portfolio_says():
    fields = fields_of(RETAIL)
    assert fields["age"].label == "Age (years)" and fields["age"].hint.replace("\u00a0", " ") == "18 to 100"
    assert fields["income"].hint.replace("\u00a0", " ") == "Gross, all sources · above 0"
    assert fields["income"].initial == "1,200,000" and fields["age"].initial == "38"
    assert fields["residence_type"].levels == ("Owned", "Rented", "Mortgage")
    assert [name for name, field in fields.items() if field.optional] == ["enquiry_count"]


@pytest.mark.parametrize(
    ("field", "text", "complaint"),
    [
        ("age", "17", "17 is not accepted; enter a whole number from 18 to 100 years"),
        ("age", "101", "101 is not accepted"),
        ("age", "38.5", "38.5 is not accepted; enter a whole number"),
        ("income", "0", "enter a number above 0"),
        ("income", "9" * 16, "at most 1,000,000,000,000,000 either way"),
        ("income", "a lot", "a lot is not a number"),
        ("delinquency_ratio", "100.01", "enter a number from 0 to 100 %"),
        ("residence_type", "Tent", "enter one of Owned, Rented, Mortgage"),
        ("enquiry_count", "-1", "-1 is not accepted"),
    ],
)
def test_a_wrong_value_is_marked_at_its_field_and_nothing_is_scored(applicant, field, text, complaint):
    applicant.enter(field, text)
    assert list(applicant.errors) == [field] and complaint in applicant.errors[field]
    assert applicant.result is None
    applicant.save()
    assert applicant.saved == ""
    applicant.enter(field, applicant.fields[field].initial)
    assert applicant.errors == {} and applicant.result is not None


def test_several_mistakes_are_marked_each_at_its_own_field(applicant):
    for name, text in {"age": "7", "income": "x", "loan_amount": "-1"}.items():
        applicant.enter(name, text)
    assert set(applicant.errors) == {"age", "income", "loan_amount"}


def test_a_required_field_is_complained_about_only_once_it_was_emptied(applicant):
    applicant.enter("age", "")
    assert applicant.missing == ("age",) and applicant.result is None
    assert applicant.errors == {"age": "needed; enter a whole number from 18 to 100"}
    fresh = read_form(load_portfolio("german"), {})
    assert fresh.errors == {} and len(fresh.missing) == len(load_portfolio("german").inputs)
