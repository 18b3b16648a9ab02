"""How fast, as limits and ratios within one run. `make bench` runs and prints them."""

from __future__ import annotations

import time
from collections.abc import Callable

from creditrisk.data.sample import make_book
from creditrisk.data.tables import to_columns
from creditrisk.serving.scorer import Scorer
from unit.models import RETAIL, published, some_applications


def best_of(action: Callable[[], object], times: int = 3) -> float:
    """Seconds of the fastest of some tries: the one that other work on the machine disturbed least."""
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def test_the_embedded_book_of_50_000_loans_takes_less_than_2_seconds() -> None:
    seconds = best_of(make_book)
    print(f"\nembedded book, 50,000 loans: {seconds:.2f} s")
    assert seconds < 2


def test_scoring_a_frame_costs_little_more_than_the_trees_and_their_contributions(tmp_path) -> None:
    """Against what cannot be avoided: the booster's margins and exact contributions of the same rows."""
    data = published(tmp_path)["v2"]
    scorer = Scorer(data)
    inputs = to_columns(some_applications(20_000).frame, list(RETAIL.inputs), RETAIL)
    columns = data.columns(inputs)
    bare = best_of(lambda: (data.model.margin(columns), data.model.contributions(columns)))
    whole = best_of(lambda: scorer.score(inputs))
    print(f"\nscore 20,000 applications with reasons: {whole:.2f} s, {whole / bare:.2f} times the trees alone")
    assert whole < 3 * bare
