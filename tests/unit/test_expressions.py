"""Rules allow comparisons of columns and nothing else, and a missing value never fails one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from creditrisk.data.expressions import Expression

NAN = float("nan")


def holds(rule: str, **columns) -> list[bool]:
    arrays = {name: values if isinstance(values, np.ndarray) else np.array(values) for name, values in columns.items()}
    result = Expression.parse(rule).holds(arrays)
    assert result.dtype == bool
    return result.tolist()


@pytest.mark.parametrize(
    "rule, part",
    [
        ("open('x') == 'y'", "open('x')"),
        ("a.real < 3", "a.real"),
        ("a[0] < 3", "a[0]"),
        ("(lambda: 1) < a", "lambda: 1"),
        ("(a := 3) < 2", "(a := 3)"),
        ("a ** 2 < 3", "a ** 2"),
        ("a // 2 < 3", "a // 2"),
        ("a % 2 == 1", "a % 2"),
        ("a @ b < 1", "a @ b"),
        ("a & b < 1", "a & b"),
        ("~a < 1", "~a"),
        ("+a < 1", "+a"),
        ("a in b", "a in b"),
        ("a is b", "a is b"),
        ("a < 1 if b < 1 else b < 2", "if b < 1 else"),
        ("[a] < 3", "[a]"),
        ("(a, b) < 3", "(a, b)"),
        ("{a} == 3", "{a}"),
        ("[x for x in a] == 1", "for x in a"),
        ("f'{a}' == 'x'", "f'{a}'"),
        ("a == b'x'", "b'x'"),
        ("a == None", "None"),
        ("a == True", "True"),
        ("a == ...", "..."),
        ("a < 1j", "1j"),
        ("a < 1e400", "1e309"),
        ("a < " + "9" * 400, "99999"),
        ("*a < 3", "cannot read"),
        ("a < 3; b < 3", "cannot read"),
        ("a = 3", "cannot read"),
        ("import os", "cannot read"),
        ("", "cannot read"),
        ("a <", "cannot read"),
        ("a < 3\nb < 3", "cannot read"),
        ("a < \0", "cannot read"),
        ("(" * 5_000 + "a" + ")" * 5_000 + " < 1", "cannot read"),
        ("not " * 50_000 + "a < 1", "cannot read"),
    ],
)
def test_whatever_is_no_comparison_of_columns_is_refused_by_its_part(rule, part):
    with pytest.raises(ValueError) as caught:
        Expression.parse(rule)
    message = str(caught.value)
    assert part in message and len(message) < 300
    assert "is not allowed in a rule; allowed are + - * /" in message or message.startswith("cannot read the rule")


@pytest.mark.parametrize(
    "rule, message",
    [
        ("a", "the rule 'a' compares nothing"),
        ("a + 1", "compares nothing"),
        ("-a", "compares nothing"),
        ("1 < 2", "reads no column"),
        ("a and b", "'a' is a column, where the rule needs a comparison"),
        ("a < 1 or 5", "'5' is a number, where the rule needs a comparison"),
        ("not a", "'a' is a column, where the rule needs a comparison"),
        ("(a < 1) + 1 < 2", "'a < 1' is a comparison, where the rule needs a number"),
        ("-'x' == a", "\"'x'\" is text, where the rule needs a number"),
        ("(a < 1) == (b < 1)", "cannot be compared"),
        ("n == 'x'", "'n' and \"'x'\" cannot be compared: number with text"),
        ("t > n", "'t' and 'n' cannot be compared: text with number"),
        ("t < 'x'", "text can be compared with == and != only"),
        ("t * 2 == 4", "'t' is text, where the rule needs a number"),
        ("d > 5", "'d' and '5' cannot be compared: date with number"),
        ("d > 'soon'", "write the date as 'YYYY-MM-DD'"),
        ("d - d == n", "'d' is a date, where the rule needs a number"),
    ],
)
def test_a_rule_that_mixes_kinds_is_refused(rule, message):
    with pytest.raises(ValueError) as caught:
        Expression.parse(rule, {"n": "number", "t": "text", "d": "date"})
    assert message in str(caught.value)


def test_columns_and_compared_texts_are_listed_once_in_order():
    rule = Expression.parse(" b < a or b > 3 and 'x' == t or t != 'y' ")
    assert rule.columns == ("b", "a", "t")
    assert set(rule.compared) == {("t", "x"), ("t", "y")}


def test_operators_bind_as_in_arithmetic():
    assert holds("a + b * c == 7", a=[1.0], b=[2.0], c=[3.0]) == [True]
    assert holds("(a + b) * c == 9", a=[1.0], b=[2.0], c=[3.0]) == [True]
    assert holds("a - b - c == -4", a=[1.0], b=[2.0], c=[3.0]) == [True]
    assert holds("a / b / c == 2", a=[12.0], b=[2.0], c=[3.0]) == [True]
    assert holds("-a < b", a=[1.0], b=[0.0]) == [True]
    assert holds("not a < 1 and b < 1", a=[5.0, 0.0], b=[0.0, 0.0]) == [True, False]
    assert holds("not (a < 1 and b < 1)", a=[5.0, 0.0], b=[0.0, 0.0]) == [True, False]
    assert holds("a < 1 or b < 1 and a > 9", a=[0.0, 10.0, 5.0], b=[5.0, 0.0, 0.0]) == [True, True, False]
    assert holds("0 < a <= 2 < b", a=[0.0, 2.0, 2.0], b=[3.0, 3.0, 2.0]) == [False, True, False]
    assert holds("1 < 2 and a < 3", a=[1.0, 5.0]) == [True, False]
    assert holds("a < 3 or 2 < 1", a=[1.0, 5.0]) == [True, False]


def test_a_missing_value_never_fails_a_rule():
    for rule in ("a < 1", "a > 1", "a == 1", "a != 1", "not a < 1", "not a != 5", "a < 1 and b < 1", "a + b > 9"):
        assert holds(rule, a=[NAN], b=[5.0]) == [True], rule
    text = np.array(["x", None, NAN, "y"], dtype=object)
    assert holds("t == 'x'", t=text) == [True, True, True, False]
    assert holds("t != 'x'", t=text) == [False, True, True, True]
    dates = np.array(["2024-02-29", "NaT", "2024-03-01"], dtype="datetime64[us]")
    assert holds("d < '2024-03-01'", d=dates) == [True, True, False]
    assert holds("'2024-03-01' <= d", d=dates) == [False, True, True]
    assert holds("not d == '2024-02-29'", d=dates) == [False, True, True]


def test_division_by_zero_is_no_error_and_0_by_0_holds_nothing():
    with np.errstate(all="raise"):
        assert holds("a / b > 1", a=[1.0, 0.0, 1.0], b=[0.0, 0.0, 0.5]) == [True, False, True]
        assert holds("a * a > 1", a=[1e200]) == [True]


numbers = st.floats(allow_nan=True, allow_infinity=False, width=32)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(numbers, numbers), min_size=1, max_size=30))
def test_a_rule_over_columns_is_the_rule_over_each_row(rows):
    a, b = (np.array(column) for column in zip(*rows, strict=True))
    for rule, python in (
        ("a <= 0.03 * b", lambda a, b: a <= 0.03 * b),
        ("not a > b or a - b == 0", lambda a, b: not a > b or a - b == 0),
        ("-a < b and b != 0", lambda a, b: -a < b and b != 0),
        ("0 <= a < b", lambda a, b: 0 <= a < b),
    ):
        expected = [bool(x != x or y != y or python(x, y)) for x, y in rows]
        assert holds(rule, a=a, b=b) == expected
