"""What would change a result: searched on the scorer that serves, checked here value by value."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from creditrisk.data.portfolio import Column, parse_portfolio
from creditrisk.modelling.scorecard import ratings_of, scores_of
from creditrisk.serving.model import load_model
from creditrisk.serving.policy import Policies
from creditrisk.serving.scorer import Scorer
from creditrisk.ui.page import score_more_html
from creditrisk.ui.page.score_changes import Goal, changeable, goals_of, outcomes, rounding, span_of
from creditrisk.ui.page.workbench import open_workbench
from page_parts import PERIOD, RETAIL

VALUES = {name: column.default for name, column in RETAIL.inputs.items() if column.default is not None}
NAMES = [rating.name for rating in RETAIL.scale.ratings]
RISKY = VALUES | {"delinquency_ratio": 20, "credit_utilization_ratio": 75, "avg_dpd_per_delinquency": 5}


@pytest.fixture(scope="module", params=["v1", "v2"])
def scorer(models, request):
    return Scorer(load_model(request.param, models.folder))


def cut_at(pd: float):
    return Policies.of_model(pd).policies[0]


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
@pytest.mark.parametrize("kind", ["approve", "lose", "rating"])
def test_no_nearer_round_value_reaches_the_goal(scorer, share, kind):
    values = RISKY | ({"delinquency_ratio": 100 * share} if kind == "rating" else {})
    now = scorer.score_rows([values])
    pd, better = float(now.pd[0]), NAMES[NAMES.index(now.rating[0]) + 1 :]
    goal = Goal(kind, "", cut_at(pd * share if kind == "approve" else min(pd / share, 1.0)), tuple(better))
    (found,) = outcomes(scorer, values, [goal])
    by_name = {change.name: change for change in found.changes}
    assert {*by_name, *(name for name, *_ in found.without)} == set(changeable(RETAIL))
    for name, column in changeable(RETAIL).items():
        now, (low, high) = values[name], span_of(column, values[name])
        step = rounding(column, now, (low, high))
        tried = np.round(np.arange(np.ceil(low / step), np.floor(high / step) + 1) * step, 9)
        tried = tried[(tried != now) & (tried > (column.above or -np.inf))]
        reached = tried[goal.reached(scorer.score_rows([values | {name: value} for value in tried.tolist()]))]
        if name not in by_name:
            assert not len(reached)
            continue
        change = by_name[name]
        assert abs(change.after - now) == np.abs(reached - now).min()
        then = scorer.score_rows([values | {name: change.after}])
        assert (change.pd, change.score, change.rating) == (then.pd[0], then.score[0], then.rating[0])
        assert low <= change.after <= high
    assert [one.size for one in found.changes] == sorted(one.size for one in found.changes)


class Stub:
    """Scores applications by a function of one input."""

    data = SimpleNamespace(portfolio=RETAIL)

    def __init__(self, pd_of) -> None:
        self._pd_of = pd_of

    def score_rows(self, rows):
        pds = np.array([self._pd_of(row) for row in rows])
        scores = scores_of(pds, RETAIL.scale)
        return SimpleNamespace(pd=pds, score=scores, rating=ratings_of(scores, RETAIL.scale))


def test_the_nearer_side_is_told_where_both_reach_the_goal():
    islands = Stub(lambda row: 0.01 if row["credit_utilization_ratio"] in (12, 13, 90, 91) else 0.5)
    (found,) = outcomes(islands, RISKY, [Goal("approve", "", cut_at(0.1), ())])
    assert [(one.name, one.after) for one in found.changes] == [("credit_utilization_ratio", 90)]
    (found,) = outcomes(islands, RISKY | {"credit_utilization_ratio": 20}, [Goal("approve", "", cut_at(0.1), ())])
    assert [one.after for one in found.changes] == [13]
    (found,) = outcomes(islands, RISKY | {"credit_utilization_ratio": 12}, [Goal("lose", "", cut_at(0.1), ())])
    assert [one.after for one in found.changes] == [11]


def test_a_value_that_the_portfolio_refuses_is_never_told():
    at_nothing = Stub(lambda row: 0.01 if row["loan_amount"] <= 0 else 0.5)
    (found,) = outcomes(at_nothing, RISKY, [Goal("approve", "", cut_at(0.1), ())])
    assert found.changes == () and len(found.without) == len(changeable(RETAIL))


def test_a_wide_range_is_searched_coarsely_and_then_between_what_fails_and_what_reaches(scorer):
    column = RETAIL.columns["loan_amount"]
    values = RISKY | {"loan_amount": 60_000, "income": 30_000}
    step = rounding(column, 60_000, span_of(column, 60_000))
    assert (35_000_000 - 0) / step > 500 > 0
    pd = float(scorer.score_rows([values]).pd[0])
    goal = Goal("approve", "", cut_at(pd * 0.9), ())
    (found,) = outcomes(scorer, values, [goal])
    change = next(one for one in found.changes if one.name == "loan_amount")
    places = np.arange(min(60_000, change.after) + step, max(60_000, change.after), step)
    between = [values | {"loan_amount": float(value)} for value in places]
    assert change.after % step == 0 and not goal.reached(scorer.score_rows(between)).any()


def test_changes_are_looked_for_within_the_limits_and_from_what_lies_beyond_soft_ones():
    tenure = RETAIL.columns["loan_tenure_months"]
    assert span_of(tenure, 24) == (1, 60) and span_of(tenure, 72) == (1, 72)
    assert span_of(RETAIL.columns["loan_amount"], 5e6) == (0, 35_000_000)


@pytest.mark.parametrize(
    ("limits", "kind", "value", "step"),
    [
        ({"min": 0, "max": 100}, "number", 83, 1),
        ({"min": 0, "max": 1}, "number", 0.4, 0.01),
        ({"min": 1, "max": 600}, "integer", 24, 1),
        ({"above": 0, "warn_above": 35_000_000}, "number", 1_500_000, 10_000),
        ({"above": 0, "warn_above": 35_000_000}, "number", 20_000, 100),
    ],
)
def test_values_are_rounded_as_people_round_them(limits, kind, value, step):
    column = Column(kind=kind, role="input", table="book", changeable=True, **limits)
    assert rounding(column, value, span_of(column, value)) == pytest.approx(step)


def test_levels_of_a_category_are_tried_and_special_codes_are_not(models):
    text = RETAIL.text.replace('default = "Owned"\n', 'default = "Owned"\nchangeable = true\n')
    text = text.replace("default = 24\n", "default = 24\nspecial = [12]\n")
    data = load_model("v1", models.folder)
    scorer = Scorer(replace(data, portfolio=parse_portfolio(text, "other.toml")))
    rented = RISKY | {"residence_type": "Rented"}
    pds = {level: scorer.score_rows([rented | {"residence_type": level}]).pd[0] for level in ("Rented", "Owned")}
    assert pds["Owned"] < pds["Rented"]  # or the sample book is another
    (found,) = outcomes(scorer, rented, [Goal("approve", "", cut_at(pds["Rented"]), ())])
    change = next(one for one in found.changes if one.name == "residence_type")
    assert change.after != "Rented" and change.pd < pds["Rented"] and change.size == 1
    (coded,) = outcomes(scorer, RISKY | {"loan_tenure_months": 12}, [Goal("approve", "", cut_at(1e-9), ())])
    assert ("loan_tenure_months", None, None) in coded.without


def test_an_approval_comes_before_a_rating_and_what_is_best_can_only_be_lost():
    policy = cut_at(0.05)
    kinds = {
        ("Poor", "decline"): ["approve", "rating"],
        ("Excellent", "decline"): ["approve"],
        ("Good", "approve"): ["rating", "lose"],
        ("Excellent", "approve"): ["lose"],
        ("Good", None): ["rating"],
        ("Average", "refer"): ["approve", "rating"],
    }
    for (rating, decision), expected in kinds.items():
        assert [goal.kind for goal in goals_of(rating, policy, decision, RETAIL)] == expected
    next_one = goals_of("Poor", policy, "decline", RETAIL)[1]
    assert next_one.name == "Average" and next_one.ratings == ("Average", "Good", "Excellent")


def test_the_card_says_the_change_and_where_none_is_enough(applicant):
    for name, text in {"credit_utilization_ratio": "75", "delinquency_ratio": "20"}.items():
        applicant.enter(name, text)
    applicant.policy = cut_at(applicant.result.pd * 0.7)
    applicant.result = replace(applicant.result, decision="decline")
    found = applicant.what_would_change()
    said = score_more_html.changes_panel(applicant, found)
    change = next(one for one in found[0].changes if one.name == "credit_utilization_ratio")
    assert f"<b>{change.after}%</b>" in said and "To be approved" in said
    assert f"{75 - change.after} percentage points less: PD then" in said
    applicant.policy = cut_at(1e-12)
    said = score_more_html.changes_panel(applicant, applicant.what_would_change())
    assert "No single change reaches an approval. Tried: Loan amount from above 0 to 35,000,000; " in said


def test_a_model_whose_portfolio_declares_nothing_still_loads_and_says_so(models, url):
    bench = open_workbench(models.folder, url, PERIOD)
    applicant = bench.applicant
    applicant.book = parse_portfolio(RETAIL.text.replace("changeable = true", ""), "old.toml")
    said = score_more_html.changes_panel(applicant, ())
    assert "declares no input that an applicant can change" in said and "<code>changeable = true</code>" in said
