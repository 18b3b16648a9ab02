"""What one application costs, in microseconds and as ratios within one run. `make bench` runs and prints them."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

import pytest

from creditrisk.data.tables import to_columns
from creditrisk.serving.compiled import CompiledModel
from creditrisk.serving.model import input_arrays
from unit.models import RETAIL, PlainScorer, published, some_applications

PD_ALONE = {"v1": 60, "v2": 150}
"""Microseconds for the PD of one application."""
WITH_REASONS = {"v1": 250, "v2": 500}
"""Microseconds for one application with its reasons: 1,000 requests a second leave 1,000 for all that they need."""


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> dict[str, CompiledModel]:
    return {v: CompiledModel(data) for v, data in published(tmp_path_factory.mktemp("artifacts")).items()}


def microseconds(action: Callable[[], object], times: int = 300) -> float:
    """The median of some tries."""
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        action()
        taken.append(time.perf_counter() - start)
    return 1e6 * median(taken)


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_one_application_takes_microseconds(models, version) -> None:
    model, row = models[version], some_applications().frame.iloc[0].to_dict()
    names = model.data.portfolio.inputs

    def by_columns():
        return model.data.model.pd(model.data.columns(input_arrays({n: [row.get(n)] for n in names}, RETAIL)))

    alone, whole = microseconds(lambda: model.pd_one(row)), microseconds(lambda: model.score_rows([row]))
    before = microseconds(by_columns)
    print(f"\none application, {version}: PD {alone:.1f} us ({before:.0f} by columns), with reasons {whole:.0f} us")
    assert model.why_not == ""
    assert alone <= PD_ALONE[version] and alone < before / 4
    assert whole <= WITH_REASONS[version]


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_batch_with_reasons_costs_less_than_the_scorer_by_columns(models, version) -> None:
    model, rows = models[version], some_applications().frame.to_dict("records")
    scorer = PlainScorer(model.data)
    print()
    for count in (1, 8, 32, 100):
        some = rows[:count]
        now = microseconds(lambda some=some: model.score_rows(some), 100)
        before = microseconds(lambda some=some: scorer.score_rows(some), 30)
        print(f"{count:>3} with reasons, {version}: {now:.0f} us, {before / now:.1f} times less than by columns")
        assert now < before


def test_contributions_of_trees_cost_a_fraction_of_those_of_xgboost(models) -> None:
    model = models["v2"]
    columns = model.data.columns(to_columns(some_applications(2_000).frame, list(RETAIL.inputs), RETAIL))
    bare = microseconds(lambda: model.data.model.contributions(columns), 3)
    tables = microseconds(lambda: model.contributions(columns), 3)
    print(f"\ncontributions of 2,000 applications: {tables / 1000:.0f} ms, XGBoost {bare / tables:.0f} times as long")
    assert tables < bare / 4
