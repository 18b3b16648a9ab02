"""Proposed grades keep their promises, say what they cannot keep, and are tested one by one."""

from __future__ import annotations

import tomllib
from itertools import combinations

import numpy as np
import pytest
from scipy.special import expit, logit
from scipy.stats import beta

from creditrisk.data.portfolio import Grade, parse_portfolio
from creditrisk.errors import DataError
from creditrisk.modelling.findings import FAIL, NOT_APPLICABLE, PASS, WATCH
from creditrisk.modelling.grades import (
    _Ladder,
    _Wishes,
    grade_counts,
    grade_table,
    pooled_pds,
    positions,
    propose_grades,
)
from unit.models import RETAIL


def book(rows: int, seed: int = 1, spread: float = 1.2, level: float = -2.5) -> tuple[np.ndarray, np.ndarray]:
    """Outcomes drawn from true PDs."""
    rng = np.random.default_rng(seed)
    pds = expit(rng.normal(level, spread, rows))
    return (rng.random(rows) < pds).astype(np.int8), pds


@pytest.mark.parametrize(("rows", "spread", "level"), [(40_000, 1.2, -2.5), (200_000, 1.5, -4.0), (20_000, 0.9, -1.5)])
def test_a_proposal_keeps_every_promise_where_the_rows_allow_it(rows, spread, level):
    bad, pds = book(rows, spread=spread, level=level)
    scale = propose_grades(bad, pds)
    table = scale.table()
    assert scale.given_up == () and 7 <= len(table) <= 15
    assert table["max_pd"].is_monotonic_increasing and table["max_pd"].is_unique and table["max_pd"].iloc[-1] == 1
    assert table["bads"].min() >= 10 and table["share"].max() <= 0.30
    assert table["rows"].sum() == rows and table["bads"].sum() == bad.sum()
    n, rate = table["rows"].to_numpy(), table["bad_rate"].to_numpy()
    pooled = (n[:-1] * rate[:-1] + n[1:] * rate[1:]) / (n[:-1] + n[1:])
    z = np.diff(rate) / np.sqrt(pooled * (1 - pooled) * (1 / n[:-1] + 1 / n[1:]))
    assert z.min() > 2.326
    steps = np.diff(np.log(table["max_pd"]))  # roughly geometric: no step is many times another
    assert steps.max() / steps.min() < 8


def test_the_counts_of_a_proposal_are_those_of_its_bounds():
    bad, pds = book(30_000)
    scale = propose_grades(bad, pds)
    at = positions(pds, scale.grades)
    assert scale.rows == tuple(np.bincount(at)) == tuple(grade_counts(pds, scale.grades))
    assert scale.bads == tuple(np.bincount(at, weights=bad).astype(int))
    assert scale.mean_pd == pytest.approx([pds[at == k].mean() for k in range(len(scale.rows))])
    assert scale.pooled == pytest.approx(pooled_pds(bad, pds, scale.grades))
    for k, grade in enumerate(scale.grades):
        assert pds[at == k].max() <= grade.max_pd and pds[at == k].min() > (scale.grades[k - 1].max_pd if k else -1)


def test_the_search_finds_the_most_even_of_all_scales():
    bad, pds = book(3_000, spread=1.0)
    ladder = _Ladder.of(bad, pds)
    kept = np.linspace(0, len(ladder.bounds) - 1, 13).astype(int)
    parts = [slice(low, high) for low, high in zip([0, *(kept[:-1] + 1)], kept + 1, strict=True)]
    small = _Ladder(
        ladder.bounds[kept], *(np.array([x[p].sum() for p in parts]) for x in (ladder.rows, ladder.bads, ladder.sums))
    )
    wishes, size, tops = _Wishes(5, 0.5, 0.5), len(kept), np.log(small.bounds)

    def cost(ends: tuple[int, ...]) -> float:
        starts = [0, *(end + 1 for end in ends[:-1])]
        n = [small.rows[a : b + 1].sum() for a, b in zip(starts, ends, strict=True)]
        d = [small.bads[a : b + 1].sum() for a, b in zip(starts, ends, strict=True)]
        rates = np.divide(d, n, out=np.full(len(n), np.nan), where=np.array(n) > 0)
        if min(d) < 5 or max(n) > 0.5 * sum(n) or not (np.diff(rates) > 0).all():
            return np.inf
        below = [2 * tops[0] - tops[1], *(tops[end] for end in ends[:-1])]
        return float(sum((tops[b] - a) ** 2 for a, b in zip(below, ends, strict=True)))

    for grades in (3, 4, 5):
        every = [(*cut, size - 1) for cut in combinations(range(size - 1), grades - 1)]
        least = min(map(cost, every))
        assert cost(tuple(small.best(wishes, grades, grades))) == pytest.approx(least)
    most = max(
        k for k in range(2, size) if min(cost((*c, size - 1)) for c in combinations(range(size - 1), k - 1)) < np.inf
    )
    assert len(small.best(wishes, 2, 12)) == most and small.best(wishes, most + 1, 12) is None


def test_what_rows_cannot_give_is_said_and_the_rest_is_kept():
    rng = np.random.default_rng(2)
    pds = np.concatenate([rng.uniform(1e-5, 1e-4, 8_000), expit(rng.normal(-1, 1.2, 2_000))])
    bad = (rng.random(10_000) < pds).astype(np.int8)
    scale = propose_grades(bad, pds)
    assert len(scale.grades) >= 7 and len(scale.given_up) == 1 and "A1 has 8" in scale.given_up[0]
    assert min(scale.bads) >= 10 and (np.diff(scale.table()["bad_rate"]) > 0).all()

    few = propose_grades(*book(1_200, spread=0.8))
    assert len(few.grades) == 7 and (np.diff(few.table()["bad_rate"]) > 0).all()
    assert any("apart" in wish for wish in few.given_up)


def test_few_distinct_pds_give_few_grades():
    pds = np.repeat([0.01, 0.1, 0.4], 1_000)
    bad = (np.random.default_rng(3).random(3_000) < pds).astype(np.int8)
    three = propose_grades(bad, pds)
    assert three.rows == (1_000, 1_000, 1_000) and "7 grades" in three.given_up
    assert propose_grades(bad, np.full(3_000, 0.1)).rows == (3_000,)
    assert propose_grades(bad, 1 - pds).rows == (3_000,)  # the riskier, the fewer bads
    with pytest.raises(DataError, match="none of the 3,000 rows is bad"):
        propose_grades(np.zeros(3_000), pds)


def test_the_proposal_is_ready_for_the_portfolio():
    scale = propose_grades(*book(30_000))
    grades = tomllib.loads(scale.toml())["grades"]
    assert tuple(Grade(**one) for one in grades) == scale.grades
    head, _, _ = RETAIL.text.partition("[[grades]]")
    assert parse_portfolio(head + scale.toml()).grades == scale.grades
    assert f"{scale.bads[0]:,} bads in {scale.rows[0]:,} rows" in scale.toml()


GRADES = (
    Grade(name="A", max_pd=0.02),
    Grade(name="B", max_pd=0.05),
    Grade(name="C", max_pd=0.1),
    Grade(name="D", max_pd=1),
)


def test_a_grade_holds_pds_up_to_its_bound():
    pds = np.array([0.0, 0.02, np.nextafter(0.02, 1), 0.05, 0.1, 1.0])
    assert positions(pds, GRADES).tolist() == [0, 0, 1, 1, 2, 3]


@pytest.mark.parametrize(("bads", "status"), [(10, PASS), (16, WATCH), (18, FAIL)])
def test_each_grade_is_tested_alone(bads, status):
    pds = np.concatenate([np.full(200, 0.05), np.full(100, 0.01)])
    bad = np.concatenate([np.repeat([1, 0], [bads, 200 - bads]), np.zeros(100, dtype=int)])
    table = grade_table(bad, pds, GRADES, np.array([0.01, 0.04, 0.08, 0.3])).set_index("grade")
    assert table.loc["B", "jeffreys_p"] == pytest.approx(beta.cdf(0.05, bads + 0.5, 200 - bads + 0.5))
    assert table["status"].tolist() == [PASS, status, NOT_APPLICABLE, NOT_APPLICABLE]
    assert table["rows"].tolist() == [100, 200, 0, 0] and table["bads"].tolist() == [0, bads, 0, 0]
    assert table.loc["B", ["mean_pd", "bad_rate", "pooled_pd"]].tolist() == pytest.approx([0.05, bads / 200, 0.04])
    assert table.loc["C", ["bad_rate", "mean_pd", "jeffreys_p"]].isna().all()


def test_a_row_has_the_grade_of_its_served_pd_and_is_tested_by_its_point_in_time_pd():
    at_the_time = np.repeat([0.03, 0.09], 200)
    served = expit(logit(at_the_time) - 0.8)  # a shift to a lower long-run rate: .0137 and .0425, grades A and B
    bad = np.concatenate([np.arange(200) < 6, np.arange(200) < 18])  # just as many as the PDs of their time say
    table = grade_table(bad, at_the_time, GRADES, served=served).set_index("grade")
    assert table["rows"].tolist() == [200, 200, 0, 0] and table["bads"].tolist() == [6, 18, 0, 0]
    assert table["mean_pd"].tolist()[:2] == pytest.approx([0.03, 0.09])
    assert table.loc["B", "jeffreys_p"] == pytest.approx(beta.cdf(0.09, 18.5, 182.5))
    assert table["status"].tolist()[:2] == [PASS, PASS]
    wrong = grade_table(bad, served, GRADES)["status"].tolist()  # outcomes do not judge PDs of another rate
    assert FAIL in wrong


@pytest.mark.parametrize("pd_", [0.0, 1e-9, 0.2, 1.0])
def test_a_single_row_has_one_grade(pd_):
    found = propose_grades(np.array([1]), np.array([pd_]))
    assert found.rows == (1,) and found.pooled == (0.75,)


def test_the_pooled_pd_of_a_grade_is_its_bad_rate_and_never_0_or_1():
    pooled = pooled_pds(np.array([0, 0, 1, 1, 0]), np.array([0.01, 0.01, 0.06, 0.2, 0.2]), GRADES)
    assert pooled[[0, 2, 3]].tolist() == pytest.approx([0.5 / 3, 1.5 / 2, 0.5]) and np.isnan(pooled[1])
