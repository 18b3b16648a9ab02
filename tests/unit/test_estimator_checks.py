"""The transformer does what scikit-learn's own checks ask of an estimator."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import check_estimator, parametrize_with_checks

from creditrisk.binning.woe import WOETransformer

EXCEPTIONS: dict[str, str] = {}
"""Checks that may fail, with the reason; there are none. The check of array_api is skipped by scikit-learn itself."""

pytestmark = pytest.mark.filterwarnings("ignore::creditrisk.binning.fit.BinningWarning")


@pytest.mark.filterwarnings("ignore::creditrisk.binning.fit.BinningWarning")  # the checks' data are often worthless
@parametrize_with_checks([WOETransformer()], expected_failed_checks=lambda estimator: EXCEPTIONS)
def test_scikit_learn_finds_nothing_wrong(estimator, check):
    check(estimator)


@pytest.mark.filterwarnings("ignore::creditrisk.binning.fit.BinningWarning")
@pytest.mark.parametrize(
    "estimator",
    [
        WOETransformer(max_bins=3, min_bin_share=0.0, trend="none", missing="similar"),
        WOETransformer(trend="peak", refine=False),
    ],
)
def test_scikit_learn_finds_nothing_wrong_with_other_parameters(estimator):
    results = check_estimator(estimator, on_fail=None, on_skip=None)
    assert [one["check_name"] for one in results if one["status"] == "failed"] == []
    skipped = {one["check_name"] for one in results if one["status"] == "skipped"}
    assert skipped <= {"check_array_api_input"} and len(results) > 40


def test_the_checks_would_find_a_fault():
    """A transformer that loses a row fails them, so that passing means something."""

    class Forgetful(WOETransformer):
        def transform(self, X):
            return super().transform(X)[:-1]

    results = check_estimator(Forgetful(), on_fail=None, on_skip=None)
    assert any(one["status"] == "failed" for one in results)


def test_columns_of_text_pass_through_a_pipeline():
    frame = pd.DataFrame({"a": np.arange(400.0), "b": ["x", "y"] * 200})
    bad = (np.arange(400) % 3 == 0).astype(int)
    pipeline = make_pipeline(FunctionTransformer(), WOETransformer()).set_output(transform="pandas")
    out = pipeline.fit(frame, bad).transform(frame)
    assert list(out.columns) == ["a", "b"] == pipeline[-1].get_feature_names_out().tolist()
