"""One small training run that the unit tests share: fitted once a session, published wherever a test wants it."""

from __future__ import annotations

from functools import cache

import xgboost

from creditrisk.data.portfolio import load_portfolio
from creditrisk.data.sample import make_applications, make_book
from creditrisk.data.tables import Applications, Book, check_applications, prepare_book
from creditrisk.modelling import train
from creditrisk.modelling.attempts import Attempt, Clock, CrossValidation, Fitted, OutOfFold, fit_attempt
from creditrisk.modelling.scorecard import grades_of, ratings_of, scores_of
from creditrisk.release import make_model_data
from creditrisk.serving.model import ModelData, input_arrays, load_model, save_models
from creditrisk.serving.scored import Scored

RETAIL = load_portfolio("retail")
xgboost.set_config(nthread=1)  # on tables this small threads mostly wait for each other; results are the same


@cache
def small_book() -> Book:
    return prepare_book(make_book(4_000).tables, RETAIL)


@cache
def small_training() -> train.Training:
    return train.begin(small_book(), train.split_book(small_book(), "auto", 42), 42)


@cache
def small_fitted() -> dict[str, Fitted]:
    """v1 and v2 as they come: untuned, and cross-fitted on two folds only, which is quick."""
    training = small_training()
    rows = training.part("train")
    two = folds(training)
    fitted = {}
    for version, attempt in (("v1", Attempt(3, "logistic")), ("v2", Attempt(4, "xgboost"))):
        model = fit_attempt(attempt, rows, training.candidates, RETAIL, 42)
        fitted[version] = train.judge(training, attempt, model, two.out_of_fold(attempt), Clock())
    return fitted


def folds(training: train.Training) -> CrossValidation:
    """Two folds of the training rows: quick."""
    return CrossValidation(training.part("train"), training.candidates, RETAIL, 2, 42)


def unseen(one: Fitted, training: train.Training | None = None) -> OutOfFold:
    """The out-of-fold margins that an attempt was calibrated by, but for those without optional inputs."""
    return OutOfFold((training or small_training()).part("train").bad, one.out_of_fold, None, one.cv_auc)


@cache
def small_models() -> dict[str, ModelData]:
    """Both versions as `save_models` takes them: they have no hash yet."""
    return {v: make_model_data(v, one, "a reason", small_training(), "a-run") for v, one in small_fitted().items()}


def published(folder: object) -> dict[str, ModelData]:
    """Publish both versions in a folder, v2 as champion, and load them again."""
    save_models(str(folder), small_models(), "v2")
    return {version: load_model(version, str(folder)) for version in small_models()}


@cache
def some_applications(rows: int = 300) -> Applications:
    return check_applications(make_applications(rows), RETAIL, "applications")


class PlainScorer:
    """What a model says, worked out with the model itself and no tables: what serving is held against."""

    def __init__(self, data: ModelData) -> None:
        self.data = data

    def score(self, inputs: dict) -> Scored:
        data, book = self.data, self.data.portfolio
        columns = data.columns(inputs)
        features = {name: columns[name] for name in data.features}
        pds = data.model.pd(columns)
        scores = scores_of(pds, book.scale)
        return Scored(
            pd=pds,
            score=scores,
            rating=ratings_of(scores, book.scale),
            grade=grades_of(pds, book),
            points=None if data.card is None else data.card.total(data.model.design, columns),
            reasons=data.reasons.of(data.model.contributions(columns), features),
            features=features,
        )

    def score_rows(self, rows) -> Scored:
        names = self.data.portfolio.inputs
        return self.score(input_arrays({n: [row.get(n) for row in rows] for n in names}, self.data.portfolio))
