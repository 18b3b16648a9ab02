"""Rating and decision, in words: where they seem to contradict one another, a reader is told why."""

from __future__ import annotations

import numpy as np

from creditrisk.data.portfolio import Scale

WHY = "the rating is a band of the score, the decision comes from the cut-off PD of the policy"


def is_good(ratings: np.ndarray | str, scale: Scale) -> np.ndarray:
    """Which ratings are in the upper half of the scale, bool of the shape of `ratings`."""
    names = [rating.name for rating in scale.ratings]
    return np.isin(np.asarray(ratings, dtype=str), names[len(names) // 2 :])


def contradiction(rating: str, decision: str, scale: Scale, cut_off_score: int) -> str:
    """Why a good rating is declined, or a poor one approved; empty where neither is so.

    `cut_off_score` is the score of the PD at which the decision changes.
    """
    good = bool(is_good(rating, scale))
    if (good, decision) not in ((True, "decline"), (False, "approve")):
        return ""
    band = next(one.name for one in scale.ratings if one.below is None or cut_off_score < one.below)
    return f"Rated {rating} and yet {decision}d: {WHY}, which lies at a score of {cut_off_score}, in {band}."


def contradictions(ratings: np.ndarray, decisions: np.ndarray, scale: Scale) -> str:
    """The same of many, texts (n,): how many good ratings are declined and poor ones approved; may be empty."""
    names = [rating.name for rating in scale.ratings]
    good, decisions = is_good(ratings, scale), np.asarray(decisions, dtype=str)
    declined, approved = int((good & (decisions == "decline")).sum()), int((~good & (decisions == "approve")).sum())
    least = len(names) // 2
    told = [f"{declined:,} rated {' or '.join(names[least:])} are declined"] if declined else []
    told += [f"{approved:,} rated {' or '.join(names[:least])} are approved"] if approved else []
    return f"{', and '.join(told)}: {WHY}." if told else ""
