"""What a reader of a model should know before its figures mislead: cut-offs, and bins of missing values that pay."""

from __future__ import annotations

from creditrisk.data.portfolio import Portfolio
from creditrisk.modelling.design import WoeDesign
from creditrisk.modelling.scorecard import Scorecard, scores_of

FEW = 0.01
"""Share of the training rows below which a bin is said to hold few."""


def cut_off_in_words(version: str, cut_off: float, approved: float, book: Portfolio) -> str:
    """What a decline by this model means: its cut-off PD and score, and whom it is meant to approve, and does.

    `approved` is the share of the test rows below the cut-off, 0..1.
    """
    score = int(scores_of([cut_off], book.scale)[0])
    return (
        f"{version} declines from a PD of {cut_off:.2%} on (a credit score of about {score}): set on the training rows "
        f"to approve the portfolio's target of {book.approval_share:.0%}, it approves {approved:.1%} of the test rows."
    )


def missing_that_pays(card: Scorecard, design: WoeDesign) -> list[str]:
    """A sentence for each bin of missing or special values that gets more points than every given value does."""
    found = []
    for bins, points in zip(design.bins, card.points, strict=True):
        best, rows = max(points[: bins.n_regular]), sum(bins.goods) + sum(bins.bads)
        for slot in range(bins.n_regular, bins.n_slots):
            if points[slot] <= best:
                continue
            count = bins.goods[slot] + bins.bads[slot]
            few = "few rows, " if count < FEW * rows else ""
            bads = f"{bins.bads[slot]:,.0f} bad{'' if bins.bads[slot] == 1 else 's'}"
            found.append(
                f"{bins.name}, {bins.labels()[slot]}: {points[slot]} points, more than any given value ({best} at "
                f"most); {few}N={count:,.0f}, {bads}; treat with care: whoever leaves it out gains."
            )
    return found
