"""Ratings and decisions that seem to contradict one another are explained, others are not."""

from __future__ import annotations

import numpy as np
import pytest

from creditrisk.data.portfolio import load_portfolio
from creditrisk.ui.decision_words import WHY, contradiction, contradictions

SCALE = load_portfolio("retail").scale


@pytest.mark.parametrize(("rating", "decision", "score", "said"), [
    ("Good", "decline", 876, f"Rated Good and yet declined: {WHY}, which lies at a score of 876, in Excellent."),
    ("Average", "approve", 640, f"Rated Average and yet approved: {WHY}, which lies at a score of 640, in Average."),
    ("Good", "approve", 640, ""),
    ("Poor", "decline", 876, ""),
    ("Good", "refer", 876, ""),
])  # fmt: skip
def test_only_a_rating_against_its_decision_is_explained(rating, decision, score, said):
    assert contradiction(rating, decision, SCALE, score) == said


def test_contradictions_of_many_are_counted():
    ratings = np.array(["Poor", "Good", "Excellent", "Average", "Excellent"], dtype=object)
    declined = np.array(["decline"] * 4 + ["approve"], dtype=object)
    assert contradictions(ratings, declined, SCALE) == f"2 rated Good or Excellent are declined: {WHY}."
    approved = np.array(["approve", "approve", "decline", "approve", "approve"], dtype=object)
    both = f"1 rated Good or Excellent are declined, and 2 rated Poor or Average are approved: {WHY}."
    assert contradictions(ratings, approved, SCALE) == both
    assert contradictions(ratings[:2], np.array(["decline", "approve"]), SCALE) == ""
