"""Coefficients of a scorecard: errors from the information matrix, signs, collinearity, and how shipped ones differ."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit, logit
from scipy.stats import norm
from sklearn.linear_model import LogisticRegression

from creditrisk.binning.bins import Bins
from creditrisk.modelling.attempts import Attempt, Rows, fit_attempt, mask_optional
from creditrisk.modelling.calibration import Calibration
from creditrisk.modelling.coefficients import COLUMNS, coefficient_table, difference_in_words, fit_logistic
from creditrisk.modelling.design import WoeDesign
from creditrisk.modelling.pd_model import Logistic, PDModel
from unit.models import RETAIL, small_fitted, small_training

# GPA, TUCE, PSI, GRADE of 32 students: Spector and Mazzeo (1980), as in Greene, Econometric Analysis.
SPECTOR = np.fromstring("""
2.66 20 0 0  2.89 22 0 0  3.28 24 0 0  2.92 12 0 0  4.00 21 0 1  2.86 17 0 0  2.76 17 0 0  2.87 21 0 0
3.03 25 0 0  3.92 29 0 1  2.63 20 0 0  3.32 23 0 0  3.57 23 0 0  3.26 25 0 1  3.53 26 0 0  2.74 19 0 0
2.75 25 0 0  2.83 19 0 0  3.12 23 1 0  3.16 25 1 1  2.06 22 1 0  3.62 28 1 1  2.89 14 1 0  3.51 26 1 0
3.54 24 1 1  2.83 27 1 1  3.39 17 1 1  2.67 24 1 0  3.65 21 1 1  4.00 23 1 1  3.10 21 1 0  2.39 19 1 1
""", sep=" ").reshape(32, 4)  # fmt: skip


def test_coefficients_and_errors_are_the_published_ones():
    fit = fit_logistic(SPECTOR[:, :3], SPECTOR[:, 3])
    assert fit.beta == pytest.approx([-13.02135, 2.826113, 0.0951577, 2.378688], rel=1e-5)
    assert fit.std_error == pytest.approx([4.931324, 1.262941, 0.1415542, 1.064564], rel=1e-5)
    assert fit.log_likelihood == pytest.approx(-12.88963, abs=5e-6) and not fit.why_not


def test_one_group_against_another_is_the_log_odds_ratio_with_its_textbook_error():
    goods, bads = (90, 400), (30, 25)
    group = np.repeat([1.0, 1.0, 0.0, 0.0], [90, 30, 400, 25])
    bad = np.repeat([0, 1, 0, 1], [90, 30, 400, 25])
    fit = fit_logistic(group[:, None], bad)
    ratio = np.log(bads[0] / goods[0]) - np.log(bads[1] / goods[1])
    assert fit.beta == pytest.approx([np.log(25 / 400), ratio], abs=1e-9)
    assert fit.std_error == pytest.approx([np.sqrt(1 / 25 + 1 / 400), np.sqrt(1 / 90 + 1 / 30 + 1 / 400 + 1 / 25)])


def two_variables(rng: np.random.Generator, rows: int = 4_000) -> tuple[PDModel, Rows]:
    """A scorecard of two correlated variables of two bins each, and rows to fit it to."""
    x = rng.random(rows)
    y = np.where(rng.random(rows) < 0.6, x, rng.random(rows))
    bad = (rng.random(rows) < expit(-2 + 1.5 * (x > 0.5) + 0.8 * (y > 0.5))).astype(float)
    empty = (0.0, 0.0, 0.0)
    bins = tuple(Bins(n, "numeric", empty, empty, cuts=(0.5,)).counted(v, bad) for n, v in (("x", x), ("y", y)))
    return PDModel(WoeDesign(bins), Logistic((-0.9, -0.8), -2.0)), Rows({"x": x, "y": y}, bad)


def test_z_p_vif_and_importance_are_those_of_their_definitions():
    model, rows = two_variables(np.random.default_rng(0))
    table = coefficient_table(model, rows)
    assert tuple(table.columns) == COLUMNS and table["variable"].tolist() == ["intercept", "x", "y"]
    assert table["z"].to_numpy() == pytest.approx((table["coefficient"] / table["std_error"]).to_numpy())
    assert table["p"].to_numpy() == pytest.approx(2 * norm.sf(np.abs(table["z"])), rel=1e-9)
    woe = model.design.matrix(rows.columns)
    r = np.corrcoef(woe, rowvar=False)[0, 1]
    assert table["vif"].tolist()[1:] == pytest.approx([1 / (1 - r * r)] * 2) and 0.4 < r < 0.8
    for name, j in (("x", 0), ("y", 1)):
        row = table.set_index("variable").loc[name]
        assert row["importance"] == pytest.approx(abs(row["coefficient"]) * woe[:, j].std())
    assert table["importance_share"].sum() == pytest.approx(1)
    assert table.loc[[0], ["vif", "importance"]].isna().to_numpy().all()


def test_the_fit_is_that_of_the_rows_as_they_are_without_penalty_whatever_the_model_was_fitted_with():
    training = small_training()
    rows = mask_optional(training.part("train"), RETAIL, training.seed)
    loose = fit_attempt(
        Attempt(3, "logistic", params={"C": 10.0}), training.part("train"), training.candidates, RETAIL, 42
    )
    matrix = loose.design.matrix(rows.columns)
    hard = LogisticRegression(C=1e-4).fit(matrix, rows.bad)
    tight = replace(loose, model=Logistic(tuple(hard.coef_[0].tolist()), float(hard.intercept_[0])))
    first, second = coefficient_table(loose, rows), coefficient_table(tight, rows)
    assert first["coefficient"].tolist() == pytest.approx(second["coefficient"].tolist(), rel=1e-6)
    beta = first["coefficient"].to_numpy()
    missed = rows.bad - expit(beta[0] + matrix @ beta[1:])
    assert np.abs(np.column_stack([np.ones(len(matrix)), matrix]).T @ missed).max() < 1e-5, "no better coefficients"
    assert first["errors_apart"].abs().max() < 1
    assert second["errors_apart"].abs().max() > 5 and second["note"].str.contains("shipped above by").any()
    assert "within 2 standard errors" in difference_in_words(first)
    assert "Penalty, resampling and calibration" in difference_in_words(second)
    assert "intercept" in difference_in_words(second)


def test_shipped_coefficients_are_those_that_serve_calibration_included():
    training, model = small_training(), small_fitted()["v1"].model
    rows = mask_optional(training.part("train"), RETAIL, training.seed)
    shipped = coefficient_table(model, rows)["shipped"].to_numpy()
    columns = training.part("test").columns
    served = shipped[0] + model.design.matrix(columns) @ shipped[1:]
    assert np.abs(served - logit(model.pd(columns))).max() < 1e-9


def test_a_coefficient_of_the_wrong_sign_or_without_significance_is_noted():
    model, rows = two_variables(np.random.default_rng(1))
    assert coefficient_table(model, rows)["sign"].tolist() == ["", "right", "right"]
    x, y = model.design.bins
    backwards = replace(model, design=WoeDesign((replace(x, goods=x.bads, bads=x.goods), y)))
    table = coefficient_table(backwards, rows)
    assert table["sign"].tolist() == ["", "wrong", "right"] and "wrong sign" in table["note"][1]
    noise = rows.columns | {"y": np.random.default_rng(2).permutation(rows.columns["y"])}
    table = coefficient_table(model, Rows(noise, rows.bad))
    assert table["p"][2] > 0.05 and f"not significant (p {table['p'][2]:.2f})" in table["note"][2]
    assert "significant" not in table["note"][1]


def test_rows_that_carry_no_likeliest_coefficients_say_so_instead_of_giving_some():
    model, rows = two_variables(np.random.default_rng(3), rows=400)
    separated = Rows(rows.columns, (rows.columns["x"] >= 0.5).astype(float))
    same = Rows({"x": rows.columns["x"], "y": rows.columns["x"]}, rows.bad)
    alike = replace(model, design=WoeDesign((model.design.bins[0], replace(model.design.bins[0], name="y"))))
    for of, on, why in (
        (model, separated, "separate bads from goods"),
        (alike, same, "a combination of others"),
        (model, Rows(rows.columns, np.zeros(400)), "one class"),
    ):
        table = coefficient_table(of, on)
        assert table[["coefficient", "std_error", "z", "p"]].isna().to_numpy().all() and set(table["sign"]) == {""}
        assert table["note"].str.contains(why).all() and why in difference_in_words(table)
        assert table["shipped"].notna().all()


def test_a_variable_that_ships_with_nothing_is_noted():
    model, rows = two_variables(np.random.default_rng(4))
    none = replace(model, model=Logistic((0.0, -1.0), -2.0), calibration=Calibration("platt", 0.1, 0.9))
    table = coefficient_table(none, rows)
    assert "zero as shipped" in table["note"][1] and table["shipped"].tolist()[1:] == [0.0, -0.9]


def test_trees_have_no_coefficients():
    with pytest.raises(TypeError, match="not one"):
        coefficient_table(small_fitted()["v2"].model, small_training().part("train"))
