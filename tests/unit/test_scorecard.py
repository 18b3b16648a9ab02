"""Score, rating, grade, points and reasons say what the PD says."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import logit

from creditrisk.data.portfolio import Points, parse_portfolio
from creditrisk.modelling.calibration import Calibration
from creditrisk.modelling.scorecard import Reasons, grades_of, points_table, ratings_of, scores_of
from unit.models import RETAIL, small_fitted, small_models, small_training


def test_the_score_is_the_formula_of_existing_clients():
    pds = np.concatenate([[0.0, 1.0, 0.5, 2 / 3, 1e-12, 1 - 1e-12], np.random.default_rng(0).random(5_000)])
    scores = scores_of(pds, RETAIL.scale)
    assert scores.tolist() == [int(300 + (1 - pd) * 600) for pd in pds.tolist()]
    assert scores[:4].tolist() == [900, 300, 600, 500] and scores.dtype == np.int64


@pytest.mark.parametrize(("score", "rating"), [
    (300, "Poor"), (499, "Poor"), (500, "Average"), (649, "Average"), (650, "Good"), (749, "Good"),
    (750, "Excellent"), (900, "Excellent"),
])  # fmt: skip
def test_a_rating_begins_at_its_bound(score, rating):
    assert ratings_of(np.array([score]), RETAIL.scale).tolist() == [rating]


def test_a_grade_ends_at_its_bound():
    bounds = [grade.max_pd for grade in RETAIL.grades]
    names = [grade.name for grade in RETAIL.grades]
    assert grades_of(np.array(bounds), RETAIL).tolist() == names
    above = np.nextafter(bounds[:-1], 1)
    assert grades_of(above, RETAIL).tolist() == names[1:]
    assert grades_of(np.array([0.0, 1.0]), RETAIL).tolist() == [names[0], names[-1]]
    assert grades_of(np.array([0.5]), RETAIL.model_copy(update={"grades": ()})) is None


# Points

POINTS = [RETAIL.points, Points(at=500.0, odds=1.0, pdo=40.0)]


def unrounded(model, points: Points) -> tuple[float, list[np.ndarray]]:
    """Base points and points by slot of each variable, from the definition: a score linear in ln odds."""
    factor = points.pdo / np.log(2)
    offset = points.at - factor * np.log(points.odds)
    slope = model.calibration.slope
    base = offset - factor * (model.calibration.intercept + slope * model.model.intercept)
    by_slot = [-factor * slope * c * b.woe for b, c in zip(model.design.bins, model.model.coefficients, strict=True)]
    return base, by_slot


@pytest.mark.parametrize("points", POINTS)
def test_points_add_up_to_the_odds_of_the_calibrated_pd(points):
    model, columns = small_fitted()["v1"].model, small_training().part("test").columns
    base, by_slot = unrounded(model, points)
    slots = [b.assign(columns[b.name]) for b in model.design.bins]
    total = base + sum(values[slot] for values, slot in zip(by_slot, slots, strict=True))
    factor = points.pdo / np.log(2)
    expected = points.at - factor * np.log(points.odds) - factor * logit(model.pd(columns))
    assert np.abs(total - expected).max() < 1e-6

    card = points_table(model, points)
    assert card.loc[0, "variable"] == "base" and card["points"].dtype == np.int64
    assert card["points"].tolist() == [round(base), *(round(p) for values in by_slot for p in values)]
    whole = card.loc[0, "points"] + sum(
        card.loc[card["variable"] == b.name, "points"].to_numpy()[slot]
        for b, slot in zip(model.design.bins, slots, strict=True)
    )
    assert np.abs(whole - total).max() <= len(slots) / 2 + 0.5


def test_pdo_more_points_double_the_odds():
    model = small_fitted()["v1"].model
    safer = model.calibrated(Calibration("shift", model.calibration.intercept - np.log(2), model.calibration.slope))
    base = unrounded(model, RETAIL.points)[0]
    assert unrounded(safer, RETAIL.points)[0] - base == pytest.approx(RETAIL.points.pdo)
    difference = points_table(safer, RETAIL.points)["points"] - points_table(model, RETAIL.points)["points"]
    assert difference.tolist() == [20] + [0] * (len(difference) - 1)


def test_safer_bins_have_more_points():
    card = points_table(small_fitted()["v1"].model, RETAIL.points)
    for _, part in card[card["variable"] != "base"].groupby("variable"):
        order = part.sort_values("woe")["points"]
        assert order.is_monotonic_increasing


def test_trees_have_no_points():
    with pytest.raises(TypeError, match="not one"):
        points_table(small_fitted()["v2"].model, RETAIL.points)


# Reasons


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_reasons_are_few_positive_ordered_and_never_protected(version):
    data, columns = small_models()[version], small_training().part("test").columns
    assert "age" in data.features and "age" not in np.array(data.features)[list(data.reasons.allowed)]
    contributions = data.model.contributions(columns)
    given = np.ones(contributions.shape, dtype=bool)
    found = data.reasons.of(contributions, given)
    above = contributions - np.array(data.reasons.baseline)
    lengths = {len(reasons) for reasons in found}
    assert max(lengths) == 4 and len(lengths) > 1
    for row, reasons in zip(above, found, strict=True):
        weights = [reason["weight"] for reason in reasons]
        assert weights == sorted(weights, reverse=True) and all(weight > 0 for weight in weights)
        ranked = sorted(
            (v for n, v in zip(data.features, row, strict=True) if n != "age" and round(v, 6) > 0), reverse=True
        )
        assert weights == pytest.approx(ranked[:4], abs=1e-6)
        for reason in reasons:
            assert reason["text"] == (
                RETAIL.columns[reason["feature"]].reason or RETAIL.columns[reason["feature"]].label
            )


def test_scorecard_reasons_add_up_to_the_distance_from_the_average_training_row():
    data, training = small_models()["v1"], small_training()
    columns = training.part("test").columns
    above = data.model.contributions(columns) - np.array(data.reasons.baseline)
    average = logit(data.model.pd(training.part("development").columns)).mean()
    assert np.abs(above.sum(axis=1) - (logit(data.model.pd(columns)) - average)).max() < 1e-6


def test_an_input_left_out_is_no_reason():
    reasons = Reasons(("a", "b"), (0.0, 0.0), ("A", "B"), (True, True))
    weights = np.array([[2.0, 1.0]])
    assert [r["feature"] for r in reasons.of(weights, np.array([[True, True]]))[0]] == ["a", "b"]
    assert [r["feature"] for r in reasons.of(weights, np.array([[False, True]]))[0]] == ["b"]


def test_rounding_noise_is_no_reason():
    reasons = Reasons(("a", "b"), (0.1 + 0.2, 0.0), ("A", "B"), (True, True))
    contributions = np.array([[0.3 + 1e-9, 0.0]])
    assert reasons.of(contributions, np.ones((1, 2), dtype=bool)) == [[]]


def test_what_derives_from_a_protected_attribute_is_no_reason_either():
    text = RETAIL.text.replace("no_worse_from = 62", "").replace(
        "[columns.gender]",
        '[columns.income_by_age]\nkind = "number"\nrole = "feature"\n'
        'derive = { function = "ratio", args = { numerator = "income", denominator = "age" } }\n\n[columns.gender]',
    )
    book = parse_portfolio(text, "own.toml")

    class Model:
        features = ("age", "income", "income_by_age", "loan_to_income")

        def contributions(self, columns):
            return np.zeros((1, 4))

    assert Reasons.fit(Model(), {}, book).allowed == (False, True, False, True)
