"""Cut-offs and bins of missing values, in words that are worked out from the model."""

from __future__ import annotations

from dataclasses import replace

import pytest

from creditrisk.modelling.scorecard import Scorecard
from creditrisk.ui.card_words import cut_off_in_words, missing_that_pays
from unit.models import RETAIL, small_models


@pytest.fixture
def card() -> tuple[Scorecard, object]:
    data = small_models()["v1"]
    return data.card, data.model.design


def with_missing(card, design, place: int, points: int, goods: float, bads: float):
    """The card and design with other points and counts for the missing values of one variable."""
    bins = design.bins[place]
    slot = bins.missing_slot

    def swapped(values, value):
        return (*values[:slot], value, *values[slot + 1 :])

    changed = replace(bins, goods=swapped(bins.goods, goods), bads=swapped(bins.bads, bads))
    by_slot = [*card.points[:place], swapped(card.points[place], points), *card.points[place + 1 :]]
    variables = (*design.bins[:place], changed, *design.bins[place + 1 :])
    return replace(card, points=tuple(by_slot)), replace(design, bins=variables)


def test_a_missing_value_that_gets_more_points_than_any_given_one_is_named_with_its_rows(card):
    best = max(card[0].points[0][: card[1].bins[0].n_regular])
    name = card[1].bins[0].name
    (said,) = missing_that_pays(*with_missing(*card, 0, best + 3, 11.0, 1.0))
    assert said.startswith(f"{name}, missing: {best + 3} points, more than any given value ({best} at most); ")
    assert "few rows, N=12, 1 bad; treat with care" in said
    (said,) = missing_that_pays(*with_missing(*card, 0, best + 3, 900.0, 100.0))
    assert "few rows" not in said and "N=1,000, 100 bads" in said


def test_a_missing_value_worth_no_more_than_a_given_one_is_not_mentioned(card):
    best = max(card[0].points[0][: card[1].bins[0].n_regular])
    quiet = with_missing(*card, 0, best, 11.0, 1.0)
    assert not any(said.startswith(card[1].bins[0].name) for said in missing_that_pays(*quiet))


def test_a_cut_off_is_told_with_what_it_was_set_to_approve_and_what_it_approves():
    assert cut_off_in_words("v2", 0.0389, 0.7963, RETAIL) == (
        "v2 declines from a PD of 3.89% on (a credit score of about 876): set on the training rows to approve the "
        "portfolio's target of 80%, it approves 79.6% of the test rows."
    )
