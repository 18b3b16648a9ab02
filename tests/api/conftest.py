"""Fixtures of the API tests: one small training run, its models, and applications from its book."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import pytest
from starlette.testclient import TestClient

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # helpers that several test folders share

from creditrisk.data.portfolio import load_portfolio  # noqa: E402
from creditrisk.data.sample import make_book  # noqa: E402
from creditrisk.data.tables import Book, prepare_book  # noqa: E402
from creditrisk.modelling import train  # noqa: E402
from creditrisk.modelling.attempts import Attempt  # noqa: E402
from creditrisk.release import make_model_data  # noqa: E402
from creditrisk.serving.api import create_app  # noqa: E402
from creditrisk.serving.contract import wire_name  # noqa: E402
from creditrisk.serving.log import PredictionLog, migrate  # noqa: E402
from creditrisk.serving.model import ModelData, load_model, save_models  # noqa: E402
from creditrisk.serving.models import Models, Served  # noqa: E402


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A small book, the two models trained on it, and the folder they are published in."""
    portfolio = load_portfolio("retail")
    book = prepare_book(make_book(4_000).tables, portfolio)
    training = train.begin(book, train.split_book(book, "auto", 42), 42)
    attempts = [Attempt(3, "logistic"), Attempt(4, "xgboost")]  # untuned: seconds instead of half a minute
    fitted = train.run_attempts(training, 1, attempts=attempts)
    models = {v: make_model_data(v, one, "", training, "a-run") for v, one in zip(("v1", "v2"), fitted, strict=True)}
    folder = str(tmp_path_factory.mktemp("artifacts"))
    save_models(folder, models, "v2")
    return SimpleNamespace(book=book, folder=folder)


@pytest.fixture(scope="session", params=["v1", "v2"])
def either_model(request: pytest.FixtureRequest, trained: SimpleNamespace) -> ModelData:
    return load_model(request.param, trained.folder)


@pytest.fixture(scope="session")
def champion(trained: SimpleNamespace) -> ModelData:
    return load_model("champion", trained.folder)


@pytest.fixture(scope="session")
def applications(trained: SimpleNamespace) -> list[dict]:
    """Complete rows of the training book as clients would send them."""
    return as_payloads(trained.book)


def as_payloads(book: Book) -> list[dict]:
    inputs = book.portfolio.inputs
    rows = book.frame[list(inputs)].dropna().astype("object")
    rows = rows.rename(columns={name: wire_name(name, column) for name, column in inputs.items()})
    return rows.sample(frac=1, random_state=1).to_dict("records")


class Service:
    """The API over one model and one fresh log, in this process and without drift checks of its own."""

    def __init__(self, data: ModelData, url: str, **options) -> None:
        migrate(url)
        self.data = data
        self.log = PredictionLog(url)
        self.client = TestClient(create_app(Models(Served(data)), self.log, **options))

    def predict(self, payload, **changes):
        return self.client.post("/predict", json={**payload, **changes})

    def close(self) -> None:
        self.client.app.state.desk.stop()
        self.log.close()

    def rows(self) -> list[dict]:
        return self.log.predictions(limit=1000)


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Service]]:
    """Makes a Served over a SQLite file of its own."""
    with ExitStack() as stack:

        def start(data: ModelData, **options) -> Service:
            served = Service(data, f"sqlite:///{tmp_path / 'log' / 'predictions.db'}", **options)
            stack.callback(served.close)
            return served

        yield start


@pytest.fixture
def served(serve: Callable[..., Service], champion: ModelData) -> Service:
    return serve(champion)
