"""A workbench over small models and an empty log, for the tests of the page."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from creditrisk.data.sample import make_book
from creditrisk.data.tables import prepare_book
from creditrisk.modelling import train
from creditrisk.modelling.attempts import Attempt
from creditrisk.release import make_model_data
from creditrisk.serving.model import save_models
from page_parts import RETAIL, opened


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> SimpleNamespace:
    """Two small models of one book, and a folder where the first is the champion."""
    book = prepare_book(make_book(3_000).tables, RETAIL)
    training = train.begin(book, train.split_book(book, "auto", 42), 42)
    fitted = train.run_attempts(training, 1, attempts=[Attempt(3, "logistic"), Attempt(4, "xgboost")])
    made = {v: make_model_data(v, one, "", training, "a-run") for v, one in zip(("v1", "v2"), fitted, strict=True)}
    folder = str(tmp_path_factory.mktemp("artifacts"))
    save_models(folder, made, "v1")
    return SimpleNamespace(folder=folder, made=made)


@pytest.fixture
def url(tmp_path) -> str:
    return f"sqlite:///{tmp_path / 'log' / 'predictions.db'}"


@pytest.fixture
def bench(models, url):
    return opened(models.folder, url)


@pytest.fixture
def applicant(bench):
    return bench.applicant
