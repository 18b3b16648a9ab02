"""Bins and scorecards as SQL give Python's numbers to the last bit, in real SQLite and PostgreSQL."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from math import inf, nan

import numpy as np
import psycopg
import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

import postgres
from creditrisk.binning.bins import NEUTRAL, OWN, POLICIES, WORST, Bins
from creditrisk.binning.sql import DIALECTS, bins_sql, dialect_of, slots_sql
from creditrisk.data.portfolio import Points
from creditrisk.errors import BinningError
from creditrisk.modelling.calibration import Calibration
from creditrisk.modelling.design import WoeDesign
from creditrisk.modelling.pd_model import Logistic, PDModel
from creditrisk.modelling.scorecard import points_table
from creditrisk.modelling.scorecard_sql import scorecard_sql
from unit.models import RETAIL, small_fitted, small_training

FLOAT = "DOUBLE PRECISION"
POINTS = Points(at=600.0, odds=50.0, pdo=20.0)


@dataclass(frozen=True)
class Database:
    """A real database; its own dialect has its name."""

    dialect: str
    connection: sqlite3.Connection | psycopg.Connection

    def fill(self, table: str, columns: dict[str, tuple[str, Sequence]]) -> None:
        """Make a table anew from columns of (type, values)."""
        name = _quoted(table)
        self.connection.execute(f"DROP TABLE IF EXISTS {name}")
        self.connection.execute(
            f"CREATE TABLE {name} ({', '.join(f'{_quoted(n)} {t}' for n, (t, _) in columns.items())})"
        )
        mark = "?" if self.dialect == "sqlite" else "%s"
        insert = f"INSERT INTO {name} VALUES ({', '.join([mark] * len(columns))})"
        rows = list(zip(*(values for _, values in columns.values()), strict=True))
        self.connection.cursor().executemany(insert, rows)

    def rows(self, statement: str) -> list[tuple]:
        return self.connection.execute(statement).fetchall()

    def columns(self, statement: str) -> dict[str, list]:
        """The result by column, in the order of the statement."""
        cursor = self.connection.execute(statement)
        names = [one[0] for one in cursor.description]
        assert len(set(names)) == len(names)
        return dict(zip(names, map(list, zip(*cursor.fetchall(), strict=True)), strict=True))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


@pytest.fixture(scope="module")
def postgresql(postgres_url) -> Iterator[Database]:
    with postgres.fresh_database(postgres_url) as url:
        plain = sa.make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
        with psycopg.connect(plain, autocommit=True, prepare_threshold=None) as connection:  # tables change
            yield Database("postgresql", connection)


@pytest.fixture(scope="module")
def sqlite() -> Iterator[Database]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    yield Database("sqlite", connection)
    connection.close()


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> Database:
    return request.getfixturevalue(request.param)


def agrees(
    database: Database, bins: Bins, values: list, as_values=None, type_: str = "", generic: bool = False
) -> None:
    """Columns, one row, JSON reloaded and SQL give the same slot and the same bits of WOE for each value.

    `values` go into the database as they are (SQLite stores NaN as NULL), and `as_values`, the same as bins read them,
    into Python.
    """
    read = values if as_values is None else as_values
    if bins.kind == "numeric":
        python = np.array([nan if v is None else v for v in read], dtype=np.float64)
    else:
        python = np.array(read, dtype=object)
    slots, woe = bins.assign(python), bins.transform(python)

    repeats = 64 // len(values) + 1  # many rows are counted in another way than few
    assert bins.transform(np.tile(python, repeats)).tobytes() == np.tile(woe, repeats).tobytes()
    assert np.concatenate([bins.transform(python[i : i + 1]) for i in range(len(python))]).tobytes() == woe.tobytes()
    reloaded = Bins.from_dict(json.loads(json.dumps(bins.to_dict())))
    assert reloaded.transform(python).tobytes() == woe.tobytes()

    type_ = type_ or (FLOAT if bins.kind == "numeric" else "TEXT")
    for dialect in [database.dialect, "generic"] if generic else [database.dialect]:
        stored = [None if dialect == "generic" and v != v else v for v in values]  # the standard knows no NaN
        database.fill("t", {"i": ("INTEGER", range(len(values))), bins.name: (type_, stored)})
        for same in (bins, reloaded):
            found = database.rows(f"SELECT {slots_sql(same, dialect)}, {bins_sql(same, dialect)} FROM t ORDER BY i")
            wrong = [(v, a, b) for v, a, (b, _) in zip(values, slots.tolist(), found, strict=True) if a != b]
            assert not wrong
            assert np.array([float(row[1]) for row in found]).tobytes() == woe.tobytes()


def around(numbers: Sequence[float]) -> list[float]:
    """Each number, and the float64 below and above it."""
    return [x for n in numbers for x in (math.nextafter(n, -inf), n, math.nextafter(n, inf))]


# --- Numbers ----------------------------------------------------------------------------------------------------------

AGE = Bins("age", "numeric", (50, 30, 15, 4, 1), (5, 10, 15, 9, 10), cuts=(25.0, 40.5), special=(-1.0,))
CUTS = (-1e300, -2.5, 0.0, 0.1, 25.0, 31769.366129, 2.0**53, 1e22, 1.7e308)
CODES = (-1.0, 30.0, 25.0, -999.0)  # the first two lie inside bins, the third is a cut
LARGEST = 1.7976931348623157e308
ODD = [None, nan, inf, -inf, 0.0, -0.0, 5e-324, -5e-324, LARGEST, -LARGEST]


def steps(cuts: Sequence[float], special: Sequence[float] = (), policies: tuple = ()) -> Bins:
    """Bins of a number with another WOE in each slot."""
    size = len(cuts) + 1 + len(special) + 1
    counts = tuple(range(20, 20 + size))
    return Bins("x", "numeric", counts, counts[::-1], cuts=tuple(cuts), special=tuple(special), policies=policies)


def test_a_value_falls_into_its_slot_in_a_database_too(database):
    values = [24.0, 25.0, 40.0, 40.5, -1.0, -1.5, None, inf, -inf]
    database.fill("t", {"i": ("INTEGER", range(len(values))), "age": (FLOAT, values)})
    found = database.rows(f"SELECT {slots_sql(AGE, database.dialect)} FROM t ORDER BY i")
    assert [slot for (slot,) in found] == [0, 1, 1, 2, 3, 0, 4, 2, 0]


def test_boundaries_codes_and_odd_values_have_the_same_woe_to_the_last_bit(database):
    bins = steps(CUTS, CODES)
    assert len(set(bins.woe)) == bins.n_slots
    agrees(database, bins, around(CUTS) + around(CODES) + ODD, generic=True)


@pytest.mark.parametrize(
    "policies", [(OWN, NEUTRAL, WORST, 2, 0), (WORST, 9, 1, OWN, OWN), (0, 0, 0, 0, NEUTRAL), (NEUTRAL,) * 4 + (WORST,)]
)
def test_policies_hold_in_a_database_too(database, policies):
    agrees(database, steps(CUTS, CODES, policies), around(CODES) + [None, 1e5])


def test_of_equal_codes_the_same_one_counts(database):
    bins = steps([0.0], special=[0.0, 3.0, -0.0])
    assert bins.assign(np.array([0.0])).tolist() == [4]
    agrees(database, bins, [0.0, -0.0, 3.0, None, 5.0])


def test_an_infinite_code_is_a_code(database):
    bins = steps([0.0], special=[inf, -inf])
    agrees(database, bins, [inf, -inf, 1e308, -1e308, None])
    with pytest.raises(BinningError, match="inf cannot be written as a number for generic"):
        bins_sql(bins, "generic")


def test_one_bin_has_no_cut(database):
    agrees(database, Bins("x", "numeric", (5.0, 1.0), (2.0, 3.0)), [1.0, None, inf, nan, -inf], generic=True)


def test_whole_numbers_are_compared_as_floats(database):
    top = 2**53
    values = [None, -1, 0, 1, 2, 3, 4, 7, 8, top - 1, top, top + 1, top + 3, 2**63 - 1, -(2**63)]  # top + 3 rounds up
    agrees(database, steps([0.0, 3.0, 7.5, top, top + 4], special=[4.0]), values, type_="BIGINT", generic=True)


DECIMALS = """
25  24.99999999999999999999999999  24.999999999999996  25.0000000000000000001  -1.00000000000000000000001
0.1  0.09999999999999999  0.1000000000000000055511151231257827021181583404541015625
31769.366129  31769.366128999998  31769.36612899999  NaN  Infinity  -Infinity
"""


def test_decimal_columns_give_what_float64_gives(postgresql):
    values = [Decimal(text) for text in DECIMALS.split()]
    assert values[1] < 25 == float(values[1])  # a comparison of decimals would put it into another bin
    agrees(postgresql, steps(CUTS, CODES), [None, *values], [None, *map(float, values)], type_="NUMERIC")


def test_single_precision_columns_give_what_float64_gives(postgresql):
    values = [float(np.float32(v)) for v in (0.1, 25.0, 31769.366129, 2.5, -2.5, 1e22)]
    agrees(postgresql, steps(CUTS), values, type_="REAL")


def test_text_in_a_column_of_numbers_has_no_woe_in_sqlite(sqlite):
    sqlite.fill("t", {"age": ("", ["", "abc", "30", b"30", 30])})
    found = [woe for (woe,) in sqlite.rows(f"SELECT {bins_sql(AGE, 'sqlite')} FROM t")]
    assert found == [None, None, None, None, AGE.woe[1]]


def test_sqlite_says_that_a_column_is_not_there(sqlite):
    sqlite.fill("t", {"other": (FLOAT, [1.0])})
    with pytest.raises(sqlite3.OperationalError, match="no such column: age"):
        sqlite.rows(f"SELECT {bins_sql(AGE, 'sqlite')} FROM t")


numbers = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-50, 50).map(lambda n: n / 4)


@st.composite
def numeric_bins(draw) -> Bins:
    cuts = tuple(sorted(draw(st.lists(numbers, unique=True, max_size=8))))
    special = tuple(draw(st.lists(st.sampled_from(cuts) if cuts and draw(st.booleans()) else numbers, max_size=3)))
    goods, bads, policies = _counts(draw, len(cuts) + 1, len(special) + 1)
    return Bins("x", "numeric", goods, bads, cuts=cuts, special=special, policies=policies)


def _counts(draw, regular: int, rest: int) -> tuple[tuple, tuple, tuple]:
    size = regular + rest
    goods, bads = (draw(st.lists(st.integers(0, 400), min_size=size, max_size=size).filter(any)) for _ in range(2))
    policy = st.sampled_from([*POLICIES, *range(regular)])
    return tuple(goods), tuple(bads), tuple(draw(st.lists(policy, min_size=rest, max_size=rest)))


@settings(max_examples=150, deadline=None)
@given(numeric_bins(), st.lists(numbers, max_size=5))
def test_random_bins_of_numbers_agree_everywhere(database, bins, more):
    agrees(database, bins, [*around((*bins.cuts, *bins.special)), *ODD, *more])


# --- Numbers as text --------------------------------------------------------------------------------------------------

EDGE = [
    31769.366129, 83218.495766, 0.1, -0.0, 0.0, 1e22, 1e23, 9007199254740993.0, 2.0**63, 1.7976931348623157e308,
    2.2250738585072014e-308, 2.225073858507201e-308, 5e-324, -5.687999860711828e-308, 7.509496565222469e-137, 1e-290,
    float(np.nextafter(1e-290, 0)), -1.306770445416214e259,
]  # fmt: skip


def test_numbers_come_back_from_a_database_to_the_last_bit(database):
    rng = np.random.default_rng(7)
    anything = rng.integers(0, 2**64, 1_500, dtype=np.uint64).view(np.float64)
    plain = np.round(rng.uniform(0, 1e5, 1_500), 6)
    values = np.concatenate([EDGE, anything[np.isfinite(anything)], plain, rng.uniform(-4, 4, 500)])
    spelled = dialect_of(database.dialect)
    found = []
    for part in np.array_split(values, 10):
        found += database.rows(f"SELECT {', '.join(spelled.number(v) for v in part)}")[0]
    assert np.array(found).tobytes() == values.tobytes()


@settings(max_examples=300, deadline=None)
@given(st.floats(min_value=1e-290, max_value=1e308) | st.integers(1, 10**11).map(lambda n: n / 10**6))
def test_a_number_is_written_far_from_the_middle_between_two_floats(value):
    text = dialect_of("sqlite").number(value)
    assert float(text) == value and ("." in text or "e" in text)
    for near in (math.nextafter(value, -inf), math.nextafter(value, inf)):
        middle = (Fraction(value) + Fraction(near)) / 2
        assert abs(Fraction(text) - middle) > Fraction(value) / 2**58


def test_numbers_are_as_short_as_that_allows():
    for dialect, text in (("sqlite", "25.5"), ("postgresql", "25.5::float8"), ("generic", "25.5e0")):
        assert dialect_of(dialect).number(25.5) == text
    assert dialect_of("sqlite").number(31769.366129) == "31769.366128999998"  # repr lies 0.4998 of the way to the next
    assert dialect_of("generic").number(1e-7) == "1e-07" and dialect_of("postgresql").number(1e22) == "1e+22::float8"


# --- Levels -----------------------------------------------------------------------------------------------------------

GROUPS = (
    ("Owned", "owned ", "O'Neil"),
    ('say "hi"', "back\\slash\\", "E'\\n'", "'", "''"),
    ("OWNED", "two\nlines", "NULL", "%s %% :name ?", "--", "/* */ ;"),
    ("caf\u00e9", "Straße", "日本", "😀"),
    ("cafe\u0301", " Owned", "tab\t", "\u00a0"),
)
COUNTS = (60, 50, 40, 30, 20, 10, 5), (5, 8, 13, 20, 40, 30, 2)
HOME = Bins("home", "category", *COUNTS, groups=GROUPS, policies=(OWN, WORST))
OTHERS = ["", " ", "owned", "Owned ", "oWNED", "O''Neil", "STRASSE", "strasse", "CAFÉ", "cafe", "null", "two", None]


def all_levels(bins: Bins) -> list[str]:
    return [level for group in bins.groups for level in group]


def test_levels_are_compared_byte_by_byte(database):
    assert len(set(HOME.woe)) == HOME.n_slots - 1  # unseen levels are as bad as the worst group
    agrees(database, HOME, all_levels(HOME) + OTHERS, generic=True)


def test_the_empty_text_is_a_level_like_others(database):
    bins = Bins("home", "category", (5, 4, 3, 2), (1, 2, 3, 4), groups=(("",), ("a",)))
    assert bins.assign(np.array(["", None], dtype=object)).tolist() == [0, 2]
    agrees(database, bins, ["", "a", " ", None, "b"], generic=True)


def test_levels_longer_than_a_text_of_the_generic_dialect_are_told_apart(database):
    bins = Bins("home", "category", (5, 4, 3, 2), (1, 2, 3, 4), groups=(("x" * 300,), ("x" * 255,)))
    agrees(database, bins, ["x" * n for n in (254, 255, 256, 299, 300, 301, 400)], generic=True)


def test_a_collation_of_sqlite_that_ignores_case_or_spaces_does_not_matter(sqlite):
    for collation in ("NOCASE", "RTRIM"):
        agrees(sqlite, HOME, all_levels(HOME) + OTHERS, type_=f"TEXT COLLATE {collation}")
    assert sqlite.rows("SELECT count(*) FROM t WHERE home = 'cafe '") == [(1,)]  # the last one does ignore spaces


def test_a_collation_of_postgresql_that_ignores_case_does_not_matter(postgresql):
    try:
        postgresql.connection.execute(
            "CREATE COLLATION caseless (provider = icu, locale = 'und-u-ks-level1', deterministic = false)"
        )
    except psycopg.errors.FeatureNotSupported:
        postgres.skip_or_fail("this PostgreSQL is built without ICU")
    agrees(postgresql, HOME, all_levels(HOME) + OTHERS, type_="TEXT COLLATE caseless")
    assert postgresql.rows("SELECT count(*) FROM t WHERE home = 'CAFE'") == [(4,)]


@pytest.mark.parametrize("type_", ["INTEGER", "BIGINT"])
def test_whole_numbers_stand_for_the_levels_they_are_written_as(database, type_):
    bins = Bins("code", "category", (9, 8, 7, 6), (1, 2, 3, 4), groups=(("1", "2"), ("10", "-3")))
    values = [1, 2, 10, -3, 3, 100, 0, None]
    agrees(database, bins, values, [None if v is None else str(v) for v in values], type_=type_, generic=True)


def test_bins_without_a_level_know_missing_and_unseen_only(database):
    agrees(database, Bins("home", "category", (5.0, 4.0), (3.0, 4.0)), ["a", "", None], generic=True)


@pytest.mark.parametrize(("level", "what"), [("a\0b", "NUL"), ("\ud800", "Unicode")])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_levels_that_sql_cannot_spell_are_refused(dialect, level, what):
    bins = Bins("home", "category", (5, 4, 3), (1, 2, 3), groups=((level,),))
    with pytest.raises(BinningError, match=what):
        bins_sql(bins, dialect)
    with pytest.raises(BinningError, match=what):
        bins_sql(AGE, dialect, column=level)


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=6)
pairs = st.sampled_from(["a", "A", "a ", "'", "\\", '"', "", "é", "É", "%s"])


@st.composite
def level_bins(draw) -> Bins:
    levels = draw(st.lists(texts | pairs, unique=True, min_size=1, max_size=12))
    homes = draw(st.lists(st.integers(0, 4), min_size=len(levels), max_size=len(levels)))
    groups = [
        tuple(level for level, at in zip(levels, homes, strict=True) if at == home) for home in sorted(set(homes))
    ]
    goods, bads, policies = _counts(draw, len(groups), 2)
    return Bins("x", "category", goods, bads, groups=tuple(groups), policies=policies)


@settings(max_examples=150, deadline=None)
@given(level_bins(), st.lists(texts | pairs, max_size=5))
def test_random_groups_of_levels_agree_everywhere(database, bins, more):
    near = [other for level in all_levels(bins) for other in (level + " ", level.swapcase(), level[:-1])]
    agrees(database, bins, [*all_levels(bins), *near, *more, None])


# --- What is given and what is asked ----------------------------------------------------------------------------------

NAMES = [
    "select",
    "Age",
    "two words",
    'say "hi"',
    "it's",
    "back`tick",
    "semi;colon --",
    "line\nend",
    "50%",
    "größe",
    "a.b",
]


@pytest.mark.parametrize("name", NAMES)
def test_any_name_of_a_column_is_quoted(database, name):
    agrees(database, replace(AGE, name=name), [24.0, None, -1.0])
    for dialect in (database.dialect, "generic"):
        named = database.rows(f"SELECT {slots_sql(AGE, dialect, column=name)} FROM t ORDER BY i")
        assert named == [(0,), (4,), (3,)]


def test_points_are_whole_and_other_numbers_are_floats(database):
    database.fill("t", {"age": (FLOAT, [24.0])})
    for values, found in (([7, 1, 2, 3, 4], 7), ([0.1, 1, 2, 3, 4], 0.1), (np.arange(5) - 3, -3)):
        (answer,) = database.rows(f"SELECT {bins_sql(AGE, database.dialect, values=values)} FROM t")[0]
        assert answer == found and type(answer) is type(found)


@pytest.mark.parametrize(("values", "message"), [
    ([1, 2, 3], "3 values for 5 slots"), ([1, 2, nan, 4, 5], "slot 2 is nan"), ([1, 2, 3, 4, "5"], "slot 4 is '5'"),
    ([1, inf, 3, 4, 5], "slot 1 is inf"),
])  # fmt: skip
def test_values_are_one_number_a_slot(values, message):
    with pytest.raises(BinningError, match=message):
        bins_sql(AGE, values=values)


def test_an_unknown_dialect_is_told_with_those_known():
    for call in (lambda: bins_sql(AGE, "oracle"), lambda: scorecard_sql(CARD, POINTS, "t", "oracle")):
        with pytest.raises(BinningError, match="'oracle'; known are sqlite, postgresql, generic"):
            call()


def test_names_that_postgresql_would_cut_off_are_refused():
    assert "ü" * 31 in bins_sql(replace(AGE, name="ü" * 31), "postgresql")
    with pytest.raises(BinningError, match="longer than 63 bytes"):
        bins_sql(replace(AGE, name="ü" * 32), "postgresql")
    with pytest.raises(BinningError, match="empty"):
        bins_sql(replace(AGE, name=""), "sqlite")


# --- Scorecards -------------------------------------------------------------------------------------------------------


def card_of(bins: Sequence[Bins], coefficients: Sequence[float], intercept=-2.0, calibration=(0.1, 1.1)) -> PDModel:
    return PDModel(
        WoeDesign(tuple(bins)), Logistic(tuple(coefficients), intercept), Calibration("platt", *calibration)
    )  # fmt: skip


CARD = card_of([AGE, HOME], [-0.9, -1.3])


def columns_for(database: Database, model: PDModel, columns: dict[str, np.ndarray]) -> dict[str, tuple[str, list]]:
    """Columns of a table; of missing numbers PostgreSQL gets half as NULL, half as NaN."""
    table = {}
    for bins in model.design.bins:
        values = columns[bins.name].tolist()
        if bins.kind == "numeric":
            gaps = database.dialect == "sqlite"
            table[bins.name] = (FLOAT, [None if v != v and (gaps or i % 2) else v for i, v in enumerate(values)])
        else:
            table[bins.name] = ("TEXT", values)
    return table


def card_agrees(found: dict[str, list], model: PDModel, points: Points, columns: dict[str, np.ndarray]) -> None:
    """The result of a statement is what Python gives: points and bits of WOE the same, PD within 1e-12."""
    card = points_table(model, points)
    total, start = np.full(len(found["points"]), card["points"].iloc[0]), 1
    for bins in model.design.bins:
        expected = bins.transform(columns[bins.name])
        assert np.array(found[f"{bins.name}_woe"], dtype=np.float64).tobytes() == expected.tobytes()
        own = card["points"].to_numpy()[start : start + bins.n_slots][bins.assign(columns[bins.name])]
        assert found[f"{bins.name}_points"] == own.tolist()
        total, start = total + own, start + bins.n_slots
    assert found["points"] == total.tolist() and {type(p) for p in found["points"]} == {int}
    log_odds = model.calibration.intercept + model.calibration.slope * model.margin(columns)
    assert np.allclose(np.array(found["log_odds"], dtype=np.float64), log_odds, rtol=1e-14, atol=1e-14)
    assert np.allclose(np.array(found["pd"], dtype=np.float64), model.pd(columns), rtol=1e-12, atol=1e-12)


def with_odd_rows(model: PDModel, columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The columns of a book, where boundary values, gaps and unseen levels take the place of some of the values."""
    changed = {}
    for shift, bins in enumerate(model.design.bins):
        values = columns[bins.name].copy()
        odd = [*around((*bins.cuts, *bins.special)), nan, nan, inf, -inf, -0.0]
        odd = odd if bins.kind == "numeric" else [*all_levels(bins), None, "unseen", "", "OWNED"]
        values[shift * 20 : shift * 20 + len(odd)] = odd
        changed[bins.name] = values
    return changed


@pytest.mark.parametrize("own", [True, False], ids=["own", "generic"])
def test_a_trained_scorecard_gives_the_same_points_woe_and_pd_in_a_database(database, own):
    model = small_fitted()["v1"].model
    columns = with_odd_rows(model, small_training().part("test").columns)
    assert {bins.kind for bins in model.design.bins} == {"numeric", "category"}
    table = columns_for(database, model, columns)
    if not own:  # the generic dialect knows no NaN
        table = {name: (type_, [None if v != v else v for v in values]) for name, (type_, values) in table.items()}
    rows = len(next(iter(columns.values())))
    database.fill("applications", {"loan_id": ("INTEGER", range(rows))} | table)
    dialect = database.dialect if own else "generic"
    statement = scorecard_sql(model, RETAIL.points, "applications", dialect, id_columns=["loan_id"])
    found = database.columns(f"SELECT * FROM ({statement}) AS card ORDER BY loan_id")
    assert found["loan_id"] == list(range(rows))
    assert list(found)[-3:] == ["points", "log_odds", "pd"] and len(found) == 4 + 2 * len(model.design.bins)
    card_agrees(found, model, RETAIL.points, columns)


COLLIDING = ["points", "pd", "log_odds", "base", "binned", "scored", "points_points", "pd_woe", *NAMES]


@pytest.mark.parametrize("table", ["binned", "Scored", "applications", 'my "table"; --'])
def test_names_that_look_like_those_of_the_statement_do_not_matter(database, table):
    model = card_of([replace(AGE, name=name) for name in COLLIDING], np.linspace(-2, 2, len(COLLIDING)))
    values = np.array([24.0, nan, 25.0, -1.0, 60.0])
    columns = {name: np.roll(values, i) for i, name in enumerate(COLLIDING)}
    database.fill(table, {"order by": ("INTEGER", range(5))} | columns_for(database, model, columns))
    schema = "main" if database.dialect == "sqlite" else "public"
    for place in (table, (schema, table)):
        statement = scorecard_sql(model, POINTS, place, database.dialect, id_columns=["order by", "binned"])
        with pytest.raises(BinningError, match="two columns of the result are named 'pd'"):
            scorecard_sql(model, POINTS, place, database.dialect, id_columns=["pd"])
        found = database.columns(statement)
        assert list(found)[:2] == ["order by", "binned"]
        card_agrees(found, model, POINTS, columns)


def test_levels_with_line_ends_survive_the_layout(database):
    columns = {"age": np.full(3, 30.0), "home": np.array(["two\nlines", "two\n      lines", None], dtype=object)}
    database.fill("t", columns_for(database, CARD, columns))
    card_agrees(database.columns(scorecard_sql(CARD, POINTS, "t", database.dialect)), CARD, POINTS, columns)


def test_text_in_a_column_of_numbers_has_neither_points_nor_pd_in_sqlite(sqlite):
    sqlite.fill("t", {"age": ("", ["thirty"]), "home": ("TEXT", ["Owned"])})
    found = sqlite.columns(scorecard_sql(CARD, POINTS, "t", "sqlite"))
    assert found["home_woe"] == [HOME.woe[0]]
    assert [found[name] for name in ("age_woe", "age_points", "points", "log_odds", "pd")] == [[None]] * 5


EXTREME = [-1e300, -1e4, -746.0, -745.0, -710.0, -700.5, -700.0, -36.0, 0.0, 36.0, 700.0, 709.9, 746.0, 1e300]


@pytest.mark.parametrize("own", [True, False], ids=["own", "generic"])
def test_extreme_log_odds_have_a_pd(database, own):
    database.fill("t", {"age": (FLOAT, [None])})
    neutral = replace(AGE, policies=(OWN, NEUTRAL))
    scale = Points(at=0, odds=1, pdo=1e-300)  # the points of any log-odds are small on it
    for log_odds in EXTREME:
        model = card_of([neutral], [1.0], intercept=log_odds, calibration=(0.0, 1.0))
        (row,) = database.rows(scorecard_sql(model, scale, "t", database.dialect if own else "generic"))
        assert float(row[-2]) == log_odds
        assert float(row[-1]) == pytest.approx(expit(log_odds), rel=1e-12, abs=1e-300)


def test_a_result_with_one_name_twice_is_refused():
    for ids, name in ((["age_woe"], "age_woe"), (["id", "id"], "id"), (["log_odds"], "log_odds"), (["PD"], "PD")):
        with pytest.raises(BinningError, match=f"two columns of the result are named '{name}'"):
            scorecard_sql(CARD, POINTS, "t", "sqlite", id_columns=ids)
    assert '"PD"' in scorecard_sql(CARD, POINTS, "t", "postgresql", id_columns=["PD"])  # another name there
    assert "`id`" in scorecard_sql(CARD, POINTS, "t", "sqlite", id_columns="id")


def test_trees_are_no_scorecard():
    with pytest.raises(TypeError, match="not one"):
        scorecard_sql(small_fitted()["v2"].model, POINTS, "t")


def test_a_statement_says_what_it_is():
    statement = scorecard_sql(CARD, POINTS, "t", "postgresql")
    head = [line for line in statement.splitlines() if line.startswith("--")]
    assert statement.startswith(head[0]) and "2 variables" in head[0]
    for words in (
        "ln(share of goods / share of bads): higher is safer",
        "600 points are odds of 50",
        "half-open, [a, b)",
    ):
        assert any(words in line for line in head)
    assert statement.count("CASE") == 2 * 2 + 2  # one for each output of a variable, one for the PD; and the head's
