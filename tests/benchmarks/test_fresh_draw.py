"""The two models on loans that nobody has seen: a fresh draw of the embedded book, whose true PDs are known.

`make bench` trains them as `creditrisk train` does (tuned, without resampling, which earns its place on none of our
books), and holds them against the oracle: the true PDs themselves.
"""

from __future__ import annotations

import time

import numpy as np
import pytest

from creditrisk.data.sample import make_book
from creditrisk.data.tables import prepare_book, to_columns
from creditrisk.modelling import train
from creditrisk.modelling.attempts import ATTEMPTS, Fitted, Rows, without_optional
from creditrisk.modelling.inference import calibration_fit
from creditrisk.modelling.metrics import auc
from unit.models import RETAIL

ROWS, FRESH_ROWS, TRIALS = 50_000, 200_000, 20
SEED, FRESH_SEED = 42, 2027
AUC_SHORT_OF_THE_ORACLE = {"v1": 0.009, "v2": 0.002}
BRIER_OF_THE_ORACLE = 1.05
"""The Brier score of v2 is at most this much of the oracle's, given all inputs."""
SLOPES, INTERCEPTS = (0.95, 1.05), (-0.1, 0.1)
"""With optional inputs given, and with all of them left out."""


@pytest.fixture(scope="module")
def fitted() -> dict[str, Fitted]:
    book = prepare_book(make_book(ROWS, SEED).tables, RETAIL)
    training = train.begin(book, train.split_book(book, "auto", SEED), SEED)
    tuned = [one for one in ATTEMPTS if one.tuned and one.resampling == "none"]
    start = time.perf_counter()
    found = train.run_attempts(training, TRIALS, attempts=tuned)
    print(f"\ntuned and fitted in {time.perf_counter() - start:.0f} s, {TRIALS} trials each")
    return {version: one for version, one in zip(("v1", "v2"), found, strict=True)}


@pytest.fixture(scope="module")
def fresh() -> tuple[Rows, np.ndarray]:
    """Rows of a fresh draw, and their true PDs."""
    sample = make_book(FRESH_ROWS, FRESH_SEED)
    book = prepare_book(sample.tables, RETAIL)
    true = dict(zip(sample.loans["loan_id"], sample.true_pd, strict=True))
    columns = to_columns(book.frame, list(RETAIL.candidates), RETAIL)
    return Rows(columns, book.bad), book.frame["loan_id"].map(true).to_numpy()


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_fresh_draw_is_judged_as_nearly_as_well_as_by_the_true_pds(fitted, fresh, version):
    rows, true = fresh
    model = fitted[version].model
    if version == "v1":
        print("bins:", ", ".join(f"{bins.name} {bins.n_regular}" for bins in model.design.bins))
    best = auc(rows.bad, true)
    for given, seen in (("given", rows), ("left out", without_optional(rows, RETAIL))):
        pds = model.pd(seen.columns)
        short, fit = best - auc(rows.bad, pds), calibration_fit(rows.bad, pds)
        brier = float(np.mean((pds - rows.bad) ** 2) / np.mean((true - rows.bad) ** 2))
        slope, intercept = fit.slope.value, fit.intercept.value
        print(
            f"{version}, optional inputs {given}: AUC {best - short:.4f}, "
            f"{short:.4f} short of the oracle; Brier {brier:.3f} of the oracle's; slope {slope:.3f}, "
            f"intercept {intercept:+.3f}"
        )
        assert SLOPES[0] <= slope <= SLOPES[1] and INTERCEPTS[0] <= intercept <= INTERCEPTS[1]
        if given == "given":
            assert short <= AUC_SHORT_OF_THE_ORACLE[version]
            assert version == "v1" or brier <= BRIER_OF_THE_ORACLE
