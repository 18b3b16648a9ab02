"""Which columns may enter: VIF by its definition, and a reason for every column of the book."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression

from creditrisk.binning.overrides import Override, Overrides
from creditrisk.modelling.selection import drop_collinear, select, variance_inflation
from unit.models import RETAIL, small_training


def related(rows: int = 400) -> np.ndarray:
    rng = np.random.default_rng(2)
    free = rng.normal(size=(rows, 4)) * [1, 1e6, 1e-3, 50] + [0, 1e7, 5, 0]
    mixed = free @ [2, 1e-6, 300, 0.01] + rng.normal(size=rows) * 0.3
    return np.column_stack([free, mixed])


def by_regression(matrix: np.ndarray) -> list[float]:
    """1 / (1 - R2) of each column on the others."""
    found = []
    scaled = (matrix - matrix.mean(axis=0)) / matrix.std(axis=0)
    for j in range(matrix.shape[1]):
        others = np.delete(scaled, j, axis=1)
        found.append(1 / (1 - LinearRegression().fit(others, scaled[:, j]).score(others, scaled[:, j])))
    return found


def test_vif_is_that_of_the_regression_on_the_other_columns():
    matrix = related()
    assert variance_inflation(matrix) == pytest.approx(by_regression(matrix), rel=1e-6)


def test_vif_does_not_depend_on_units():
    matrix = related()
    changed = matrix * [1e-6, 1e9, -1, 1, 1e-12] + [0, 5, 0, -1e4, 0]
    assert variance_inflation(changed) == pytest.approx(variance_inflation(matrix), rel=1e-4)


def test_an_exact_combination_has_infinite_vif_and_the_others_their_own():
    matrix = related()[:, :4]
    exact = np.column_stack([matrix, 2 * matrix[:, 0] - 3])
    vif = variance_inflation(exact)
    assert np.isinf(vif[[0, 4]]).all()
    assert vif[1:4] == pytest.approx(variance_inflation(matrix[:, 1:4]), rel=0.02)


def test_constant_columns_have_no_vif_and_disturb_nobody():
    matrix = related()
    vif = variance_inflation(np.column_stack([matrix, np.full(len(matrix), 0.1), np.zeros(len(matrix))]))
    assert np.isnan(vif[5:]).all() and vif[:5] == pytest.approx(variance_inflation(matrix))
    assert np.isnan(variance_inflation(np.ones((5, 2)))).all()
    assert variance_inflation(related()[:, :1]) == pytest.approx([1.0])
    assert variance_inflation(related()[:, :0]).shape == (0,)


def frame_of(**columns: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame(columns)


def test_of_two_copies_the_one_that_is_asked_for_stays():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=300), rng.normal(size=300)
    frame = frame_of(asked=x, copied=x * 2, other=y)
    for names in (["asked", "copied", "other"], ["copied", "asked", "other"]):
        table = drop_collinear(frame, names, keep_last=["asked"]).set_index("column")
        assert table["dropped"].to_dict() == {"asked": False, "copied": True, "other": False}
        assert np.isinf(table["vif"]["copied"]) and table["vif"]["asked"] == pytest.approx(1, abs=0.05)


def test_a_column_that_is_not_asked_for_never_pushes_out_one_that_is():
    rng = np.random.default_rng(0)
    income, loan, rest = rng.normal(size=(3, 2_000))
    # Income is explained by both of the others together; neither of them is above the limit itself.
    frame = frame_of(income=income, loan=0.85 * income + 0.35 * rest, balance=0.95 * income - 0.22 * rest)
    vif = dict(zip(frame, variance_inflation(frame.to_numpy()), strict=True))
    limit = np.sort(list(vif.values()))[-2:].mean()
    assert max(vif, key=vif.get) == "income"
    table = drop_collinear(frame, list(frame), ["income", "loan"], limit=limit).set_index("column")
    assert not table["dropped"]["income"] and table["vif"]["income"] < limit


def test_a_ratio_outlives_the_inputs_it_is_made_of_and_inputs_outlive_the_rest():
    rng = np.random.default_rng(0)
    loan, income, free = rng.normal(size=(3, 300))
    ratio = loan - income + rng.normal(size=300) * 1e-3
    frame = frame_of(loan=loan, income=income, fee=loan * 0.02, ratio=ratio, free=free)
    asked = ["loan", "income", "ratio"]
    kept = drop_collinear(frame, list(frame), asked, ["ratio"]).set_index("column")["dropped"]
    assert kept["fee"] and not kept["ratio"] and kept["loan"] != kept["income"] and not kept["free"]


def test_nothing_is_dropped_below_the_limit_and_missing_values_count_as_the_median():
    matrix = related()
    frame = pd.DataFrame(matrix, columns=list("abcde"))
    limit = variance_inflation(matrix).max() + 1e-6
    assert not drop_collinear(frame, list("abcde"), [], limit=limit)["dropped"].any()
    frame.loc[::3, "b"] = np.nan
    filled = frame.fillna(frame.median())
    vif = drop_collinear(frame, list("abcde"), [], limit=np.inf).set_index("column")["vif"]
    assert vif[list("abcde")].tolist() == pytest.approx(variance_inflation(filled.to_numpy()).tolist())


# The funnel


def test_every_column_of_the_portfolio_is_listed_once_with_a_reason():
    funnel = small_training().funnel
    assert sorted(funnel["column"]) == sorted(RETAIL.columns)
    assert funnel["reason"].str.len().gt(3).all()
    assert set(funnel["status"]) == {"scorecard", "trees only", "out"}
    reason = funnel.set_index("column")["reason"]
    assert reason["gender"].startswith("protected") and reason["principal_outstanding"] == "not known at application"
    assert reason["default"] == "the outcome itself" and reason["loan_id"] == "identifier"
    assert reason["city"] == "not asked of an applicant"


def test_what_a_model_may_use_is_asked_of_an_applicant_and_not_collinear():
    funnel = small_training().funnel.set_index("column")
    used = funnel[funnel["status"] != "out"]
    assert set(used.index) <= set(RETAIL.candidates)
    assert (used["vif"].dropna() <= 10).all()
    assert (funnel.loc[funnel["status"] == "scorecard", "iv"] >= 0.02).all()
    assert (funnel.loc[funnel["status"] == "trees only", "iv"] < 0.02).all()
    assert small_training().candidates.woe == tuple(funnel.index[funnel["status"] == "scorecard"])


def test_iv_decides_between_scorecard_and_trees():
    frame = small_training().book.frame.head(500)
    iv = pd.Series(0.02, index=list(RETAIL.candidates))
    iv["income"] = 0.0199
    funnel = select(frame, iv, RETAIL).set_index("column")
    assert funnel.loc["income", "status"] == "trees only" and "IV 0.020 below 0.02" in funnel.loc["income", "reason"]
    assert funnel.loc["age", "status"] == "scorecard"


def test_a_constant_and_an_undelivered_column_are_reported_not_fatal():
    frame = small_training().book.frame.head(500).assign(loan_tenure_months=24.0).drop(columns=["gst", "city"])
    iv = pd.Series(0.1, index=list(RETAIL.candidates))
    iv["loan_tenure_months"] = 0.0
    funnel = select(frame, iv, RETAIL).set_index("column")
    assert (funnel.loc[["gst", "city"], "status"] == "out").all() and np.isnan(funnel.loc["gst", "vif"])
    assert np.isnan(funnel.loc["loan_tenure_months", "vif"])
    assert funnel.loc["loan_tenure_months", "status"] == "trees only"


# Overrides


def forced(**uses: str) -> Overrides:
    return Overrides(tuple(Override(name, use=use, reason="policy", by="ana") for name, use in uses.items()))


def test_forced_out_leaves_with_its_reason_and_forced_in_stays_with_its():
    frame = small_training().book.frame.head(500)
    iv = pd.Series(0.1, index=list(RETAIL.candidates))
    iv[["income", "loan_type"]] = 0.001
    overrides = forced(income="in", loan_type="in", age="out", loan_purpose="out")
    free, funnel = (select(frame, iv, RETAIL, overrides=o).set_index("column") for o in (Overrides(), overrides))
    assert (free.loc[["income", "loan_type"], "status"] == "trees only").all()
    assert (funnel.loc[["income", "loan_type"], "status"] == "scorecard").all()
    assert (funnel.loc[["income", "loan_type"], "reason"] == "forced in: policy (ana)").all()
    assert (funnel.loc[["age", "loan_purpose"], "status"] == "out").all()
    assert (funnel.loc[["age", "loan_purpose"], "reason"] == "forced out: policy (ana)").all()
    others = funnel.index.difference(["income", "loan_type", "age", "loan_purpose"])
    assert (funnel.loc[others, "status"] == free.loc[others, "status"]).all()


def test_a_reason_without_a_name_stands_alone():
    iv = pd.Series(0.1, index=list(RETAIL.candidates))
    overrides = Overrides((Override("age", use="out", reason="policy"),))
    funnel = select(small_training().book.frame.head(500), iv, RETAIL, overrides=overrides).set_index("column")
    assert funnel.loc["age", "reason"] == "forced out: policy"


def test_what_is_known_to_be_no_input_keeps_its_own_reason():
    iv = pd.Series(0.1, index=list(RETAIL.candidates))
    funnel = select(small_training().book.frame.head(500), iv, RETAIL, overrides=forced(gender="out", loan_id="out"))
    reason = funnel.set_index("column")["reason"]
    assert reason["gender"].startswith("protected") and reason["loan_id"] == "identifier"


def collinear() -> pd.DataFrame:
    """A book's frame in which age and income say the same."""
    frame = small_training().book.frame.head(500)
    return frame.assign(income=frame["age"] * 1e4 + np.random.default_rng(0).normal(size=500))


@pytest.mark.parametrize("name", ["age", "income"])
def test_a_forced_variable_stays_whatever_its_vif_and_the_other_leaves(name):
    iv = pd.Series(0.1, index=list(RETAIL.candidates))
    funnel = select(collinear(), iv, RETAIL, overrides=forced(**{name: "in"})).set_index("column")
    other = {"age": "income", "income": "age"}[name]
    assert funnel.loc[name, "status"] == "scorecard" and funnel.loc[name, "vif"] < 10
    assert funnel.loc[other, "status"] == "out" and funnel.loc[other, "reason"].startswith("collinear")
    both = select(collinear(), iv, RETAIL, overrides=forced(age="in", income="in")).set_index("column")
    assert (both.loc[["age", "income"], "status"] == "scorecard").all() and (
        both.loc[["age", "income"], "vif"] > 10
    ).all()


def test_what_is_forced_out_pushes_nobody_out_by_vif():
    iv = pd.Series(0.1, index=list(RETAIL.candidates))
    assert (select(collinear(), iv, RETAIL).set_index("column").loc[["age", "income"], "status"] == "out").sum() == 1
    for name, other in (("age", "income"), ("income", "age")):
        funnel = select(collinear(), iv, RETAIL, overrides=forced(**{name: "out"})).set_index("column")
        assert funnel.loc[other, "status"] == "scorecard" and np.isnan(funnel.loc[name, "vif"])
