"""Discrimination on public books, by nested cross-validation. `make bench` prints it.

Every outer fold is a test that nothing has seen: bins, selection, tuning, the fit and its calibration are those of
`creditrisk train` on the other folds alone. The attempts are the tuned ones without resampling, which ship unless
resampling earns its place. Where a draw of the folds moves the mean by much, folds are drawn several times.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import StratifiedKFold

from creditrisk.data.portfolio import load_portfolio
from creditrisk.data.source import load_tables
from creditrisk.data.tables import Book, prepare_book
from creditrisk.modelling.train import ATTEMPTS, VERSIONS, Split, begin, run_attempts

ROOT = Path(__file__).resolve().parents[2]
PUBLIC_DATA = ROOT.parent / "shared" / "data"
TRIALS = 20
"""Optuna trials, as in training by default."""


@dataclass(frozen=True)
class Required:
    """The least cross-validated mean AUC of a version on a book, over `folds` drawn once for each of `seeds`."""

    book: str
    version: str
    folds: int
    least: float
    seeds: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.book}-{self.version}"


REQUIRED = (
    Required("taiwan", "v1", folds=5, least=0.772, seeds=(1, 2)),
    Required("taiwan", "v2", folds=5, least=0.784, seeds=(1, 2)),
    Required("german", "v1", folds=10, least=0.785, seeds=(1, 2, 3)),
)


def public_book(name: str) -> Book:
    """A prepared book of the public data; skips with the reason when its tables are not there."""
    folder = PUBLIC_DATA / name
    if not folder.exists():
        pytest.skip(f"there are no tables of {name} in {folder}")
    portfolio = load_portfolio(name)
    tables, _ = load_tables(str(folder), portfolio, rows=0, seed=0)
    return prepare_book(tables, portfolio)


def nested_aucs(book: Book, version: str, folds: int, seed: int) -> Iterator[float]:
    """AUC of the PDs of a version on each outer fold, (folds,); all of its training is done on the other folds."""
    attempts = [one for one in ATTEMPTS if one.family == VERSIONS[version] and one.tuned and not one.resampler]
    splitter = StratifiedKFold(folds, shuffle=True, random_state=seed)
    for train, test in splitter.split(np.zeros(len(book.bad)), book.bad):
        split = Split("random", train, test, f"one of {folds} folds for the test")
        (fitted,) = run_attempts(begin(book, split, seed), TRIALS, attempts=attempts)
        yield fitted.test["auc"]


@pytest.mark.parametrize("required", REQUIRED, ids=str)
def test_cross_validated_auc_on_a_public_book(required: Required) -> None:
    book, start = public_book(required.book), time.perf_counter()
    aucs = [list(nested_aucs(book, required.version, required.folds, seed)) for seed in required.seeds]
    table = pd.DataFrame(
        {
            "folds drawn by seed": required.seeds,
            "mean AUC": np.mean(aucs, axis=1).round(4),
            "standard error over folds": (np.std(aucs, axis=1, ddof=1) / np.sqrt(required.folds)).round(4),
            "least": np.min(aucs, axis=1).round(4),
            "most": np.max(aucs, axis=1).round(4),
        }
    )
    mean, seconds = np.mean(aucs), time.perf_counter() - start
    print(f"\n\n{required}: {len(book.bad):,} rows, {required.folds} folds, {TRIALS} trials, {seconds:.0f} s")
    print(f"{table.to_string(index=False)}\nmean AUC {mean:.4f}, at least {required.least} is required")
    assert mean >= required.least
