"""From PD to what people read: score, rating, grade, scorecard points, reasons."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from creditrisk.data.features import sources
from creditrisk.data.portfolio import Points, Portfolio, Scale
from creditrisk.modelling.design import WoeDesign
from creditrisk.modelling.pd_model import PDModel


def scores_of(pds: np.ndarray, scale: Scale) -> np.ndarray:
    """credit_score = int(low + (1 - PD) * (high - low)), int64 (n,). Linear in PD, hence not additive."""
    return (scale.low + (1.0 - np.asarray(pds)) * (scale.high - scale.low)).astype(np.int64)


def ratings_of(scores: np.ndarray, scale: Scale) -> np.ndarray:
    """The rating of each score, object (n,)."""
    bounds = [rating.below for rating in scale.ratings[:-1]]
    names = np.array([rating.name for rating in scale.ratings], dtype=object)
    return names[np.searchsorted(bounds, scores, side="right")]


def grades_of(pds: np.ndarray, book: Portfolio) -> np.ndarray | None:
    """The master-scale grade of each PD, object (n,); None when the portfolio has no grades."""
    if not book.grades:
        return None
    bounds = [grade.max_pd for grade in book.grades]
    names = np.array([grade.name for grade in book.grades], dtype=object)
    return names[np.minimum(np.searchsorted(bounds, pds, side="left"), len(names) - 1)]


def points_table(model: PDModel, points: Points) -> pd.DataFrame:
    """The scorecard: whole points for each bin of each variable, and the base points.

    score = offset + factor * ln(good:bad odds), factor = pdo / ln 2, offset = at - factor * ln(odds). Calibration is
    folded in. Rows: variable, bin, woe, points; the first row holds the base points.
    """
    if not isinstance(model.design, WoeDesign):
        raise TypeError("points add up only on a scorecard; this model is not one")
    factor = points.pdo / np.log(2)
    offset = points.at - factor * np.log(points.odds)
    slope = model.calibration.slope
    base = offset - factor * (model.calibration.intercept + slope * model.model.intercept)
    rows = [("base", "", 0.0, base)]
    for bins, coefficient in zip(model.design.bins, model.model.coefficients, strict=True):
        for label, woe in zip(bins.labels(), bins.woe, strict=True):
            rows.append((bins.name, label, woe, -factor * slope * coefficient * woe))
    card = pd.DataFrame(rows, columns=["variable", "bin", "woe", "points"])
    return card.assign(points=card["points"].round().astype(np.int64))


def _behind(name: str, book: Portfolio) -> set[str]:
    """A column and all that it derives from."""
    derived = book.columns[name].derive
    return {name}.union(*(_behind(source, book) for source in sources(derived))) if derived else {name}


@dataclass(frozen=True)
class Reasons:
    """Reasons against a stated baseline: the mean contribution of each feature over the training rows."""

    features: tuple[str, ...]
    baseline: tuple[float, ...]
    texts: tuple[str, ...]
    allowed: tuple[bool, ...]
    most: int = 4

    @classmethod
    def fit(cls, model: PDModel, columns, book: Portfolio) -> Reasons:
        """Baseline from training columns. Protected attributes, and what derives from one, are never a reason."""
        means = model.contributions(columns).mean(axis=0)
        texts = tuple(book.columns[n].reason or book.columns[n].label or n for n in model.features)
        allowed = tuple(book.protected.isdisjoint(_behind(n, book)) for n in model.features)
        return cls(model.features, tuple(means.tolist()), texts, allowed)

    def of(self, contributions: np.ndarray, given: np.ndarray) -> list[list[dict]]:
        """For each row up to four {feature, text, weight}, heaviest first; weight is log-odds above the baseline.

        `given` is bool (n, features): an input that was left out is never a reason.
        """
        above = np.where(given & np.array(self.allowed), contributions - np.array(self.baseline), -np.inf)
        order = np.argsort(-above, axis=1, kind="stable")[:, : self.most]
        return [
            [
                {"feature": self.features[j], "text": self.texts[j], "weight": weight}
                for j in row
                if (weight := round(float(above[i, j]), 6)) > 0
            ]
            for i, row in enumerate(order)
        ]
