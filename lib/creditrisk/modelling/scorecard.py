"""From PD to what people read: score, rating, grade, scorecard points, reasons."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

import numpy as np
import pandas as pd
from scipy.special import expit

from creditrisk.data.features import sources
from creditrisk.data.portfolio import Points, Portfolio, Scale
from creditrisk.modelling.design import Columns, WoeDesign
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


# --- Points -----------------------------------------------------------------------------------------------------------

TRIES = 20_000
"""Ways to round a card that are looked at; the best one is among the first few hundred."""


def factor_of(points: Points) -> float:
    """Points for each unit of log-odds: score = at + factor * (ln(good:bad odds) - ln(odds)), factor = pdo / ln 2."""
    return points.pdo / float(np.log(2))


def score_of(log_odds: np.ndarray, points: Points) -> np.ndarray:
    """Unrounded points of log-odds of bad, float64 (n,): a PD's place on the scale."""
    return points.at - factor_of(points) * (np.log(points.odds) + np.asarray(log_odds, dtype=np.float64))


@dataclass(frozen=True)
class Scorecard:
    """Whole points for each slot of each variable. With the base they add up to an applicant's points.

    `points` is by variable, then by slot of its bins. `error` is the least and the most by which a total can differ
    from the unrounded score, over all combinations of slots; no other whole points have a smaller largest error.
    `reach` is the lowest and the highest unrounded score of any combination.
    """

    variables: tuple[str, ...]
    base: int
    points: tuple[tuple[int, ...], ...]
    scale: Points
    error: tuple[float, float]
    reach: tuple[float, float]

    @classmethod
    def fit(cls, model: PDModel, scale: Points) -> Scorecard:
        """The card of a scorecard model on a points scale, calibration folded in.

        Raises TypeError for a model whose points would not add up: trees, or a calibration that is no line.
        """
        base, by_slot = unrounded_points(model, scale)
        whole, points, error = _round(base, by_slot)
        return cls(tuple(b.name for b in model.design.bins), whole, points, scale, error, _reach(base, by_slot))

    def is_of(self, model: PDModel) -> bool:
        """Whether these are points of this model: its variables, slots and unrounded scores."""
        base, by_slot = unrounded_points(model, self.scale)
        slots = [len(points) for points in self.points]
        same = self.variables == tuple(b.name for b in model.design.bins) and slots == [len(p) for p in by_slot]
        return same and np.allclose(self.reach, _reach(base, by_slot), rtol=0, atol=1e-6)

    @property
    def largest_error(self) -> float:
        """The most by which a total can differ from the unrounded score, in points."""
        return max(abs(end) for end in self.error)

    @property
    def largest_pd_error(self) -> float:
        """The most by which the PD that belongs to a total can differ from the model's own."""
        shift = self.largest_error / factor_of(self.scale)
        odds = np.array(self.reach[::-1])
        low, high = (self.scale.at - odds) / factor_of(self.scale) - np.log(self.scale.odds)
        centre = np.clip([-shift / 2, shift / 2], low, high)  # a step of log-odds changes the PD most around even odds
        return float(np.abs(expit(centre + [shift, -shift]) - expit(centre)).max())

    @property
    def span(self) -> tuple[int, int]:
        """The lowest and the highest total."""
        return self.base + sum(map(min, self.points)), self.base + sum(map(max, self.points))

    def total(self, design: WoeDesign, columns: Columns) -> np.ndarray:
        """The points of each row, int64 (n,)."""
        names = [bins.name for bins in design.bins]
        if names != list(self.variables):
            raise ValueError(f"this card is of {list(self.variables)}, not of {names}")
        total = np.full(len(columns[names[0]]), self.base, dtype=np.int64)
        for bins, points in zip(design.bins, self.points, strict=True):
            total += np.array(points, dtype=np.int64)[bins.assign(columns[bins.name])]
        return total

    def table(self, design: WoeDesign) -> pd.DataFrame:
        """One row for each slot: variable, bin, woe, points. The first row holds the base points."""
        rows = [("base", "", 0.0, self.base)]
        for bins, points in zip(design.bins, self.points, strict=True):
            rows += [(bins.name, *of_slot) for of_slot in zip(bins.labels(), bins.woe, points, strict=True)]
        return pd.DataFrame(rows, columns=["variable", "bin", "woe", "points"]).astype({"points": np.int64})

    def to_dict(self) -> dict:
        """Plain data."""
        return asdict(self) | {"scale": self.scale.model_dump()}

    @classmethod
    def from_dict(cls, data: Mapping) -> Scorecard:
        """From plain data, JSON's lists included."""
        points = tuple(tuple(int(p) for p in slots) for slots in data["points"])
        pairs = {name: tuple(data[name]) for name in ("variables", "error", "reach")}
        return cls(**dict(data) | pairs | {"points": points, "scale": Points(**data["scale"])})


def _reach(base: float, by_slot: Sequence[np.ndarray]) -> tuple[float, float]:
    """The lowest and the highest unrounded score."""
    return float(base + sum(p.min() for p in by_slot)), float(base + sum(p.max() for p in by_slot))


def points_table(model: PDModel, points: Points) -> pd.DataFrame:
    """The scorecard of a model as a table: whole points for each bin of each variable, and the base points first.

    Rows: variable, bin, woe, points. `Scorecard.fit` says how they are rounded, and how far that takes a total away.
    """
    return Scorecard.fit(model, points).table(model.design)


def unrounded_points(model: PDModel, points: Points) -> tuple[float, list[np.ndarray]]:
    """Base points, and points by slot of each variable, float64 (slots,): they add up to the score of the served PD."""
    if not isinstance(model.design, WoeDesign):
        raise TypeError("points add up only on a scorecard; this model is not one")
    if model.calibration.method == "isotonic":
        raise TypeError(
            "points add up only where calibration is a line; this model's is isotonic: calibrate it "
            "by a shift or Platt's line"
        )
    slope, factor = model.calibration.slope, factor_of(points)
    base = score_of(model.calibration.intercept + slope * model.model.intercept, points)
    pairs = zip(model.design.bins, model.model.coefficients, strict=True)
    return float(base), [-factor * slope * coefficient * bins.woe for bins, coefficient in pairs]


@dataclass(frozen=True)
class _Rounding:
    """Whole points by slot, and the ends of their deviations from the unrounded ones."""

    points: tuple[int, ...]
    low: float
    high: float

    @property
    def width(self) -> float:
        return self.high - self.low


def _roundings(exact: np.ndarray) -> list[_Rounding]:
    """Every way to round that could be best, the narrowest range of deviations first.

    Deviations differ from minus the fractional parts by whole numbers. A set of them that no other one lies within
    rounds all fractions from some bound on up and all below it down, so there is one way for each fraction.
    """
    floor = np.floor(exact)
    fraction = exact - floor
    ways = []
    for bound in np.unique(fraction):
        whole = floor + (fraction >= bound)
        middle = np.round(((whole - exact).max() + (whole - exact).min()) / 2)  # near zero; the base takes the rest
        away = whole - middle - exact
        ways.append(_Rounding(tuple(int(p) for p in whole - middle), float(away.min()), float(away.max())))
    return sorted(ways, key=lambda way: way.width)


def _round(base: float, by_slot: Sequence[np.ndarray]) -> tuple[int, tuple[tuple[int, ...], ...], tuple[float, float]]:
    """Whole base points, whole points by slot, and the ends of the error of a total.

    The error of a total lies anywhere in the sum of the variables' ranges of deviations; whole base points move that
    sum by whole steps. Combinations of roundings are looked at by rising width of the sum, until no later one could
    have a smaller largest error than the best so far.
    """
    ways = [_roundings(exact) for exact in by_slot]
    best: tuple[float, int, tuple[int, ...]] | None = None
    heap = [(sum(way[0].width for way in ways), (0,) * len(ways), 0)]
    for _ in range(TRIES):
        if not heap or (best is not None and heap[0][0] / 2 >= best[0] - 1e-12):
            break
        width, chosen, first = heapq.heappop(heap)
        middle = sum((way[i].low + way[i].high) / 2 for way, i in zip(ways, chosen, strict=True))
        whole = round(base - middle)
        largest = width / 2 + abs(whole - base + middle)
        if best is None or largest < best[0] - 1e-12:
            best = (largest, whole, chosen)
        for j in range(first, len(ways)):
            if chosen[j] + 1 < len(ways[j]):
                wider = width - ways[j][chosen[j]].width + ways[j][chosen[j] + 1].width
                heapq.heappush(heap, (wider, (*chosen[:j], chosen[j] + 1, *chosen[j + 1 :]), j))
    _, whole, chosen = best
    taken = [way[i] for way, i in zip(ways, chosen, strict=True)]
    ends = (whole - base + sum(t.low for t in taken), whole - base + sum(t.high for t in taken))
    return whole, tuple(t.points for t in taken), (float(ends[0]), float(ends[1]))


# --- Reasons ----------------------------------------------------------------------------------------------------------

NEAR = 0.10
"""Share of the training rows, nearest to the cut-off in PD rank, whose mean contributions reasons are measured from."""
_DIRECTION = {"increasing": 1, "decreasing": -1, "any": 0}


def near_cut_off(pds: np.ndarray, cut_off: float, share: float = NEAR) -> np.ndarray:
    """The `share` of rows nearest to a cut-off PD in rank, half of them to either side where there are so many.

    bool (n,). Rows with the PD of one that is taken are taken too, so that the order of rows does not matter.
    """
    ordered = np.sort(pds)
    size = max(1, round(share * len(ordered)))
    first = min(max(int(np.searchsorted(ordered, cut_off)) - size // 2, 0), len(ordered) - size)
    return (pds >= ordered[first]) & (pds <= ordered[first + size - 1])


def _behind(name: str, book: Portfolio) -> set[str]:
    """A column and all that it derives from."""
    derived = book.columns[name].derive
    return {name}.union(*(_behind(source, book) for source in sources(derived))) if derived else {name}


@dataclass(frozen=True)
class Reasons:
    """Reasons against a stated baseline: the mean contribution of each feature over the rows that `basis` describes.

    By feature, `texts` are for applicants, `allowed` says whether it may be a reason at all. For trees `typical` is the
    middle value of the baseline's rows, and a value on its safer side is no reason: trees look at features together,
    so that such a value may weigh more than the mean, but "is high" would not be true of it. None where that cannot
    happen or nothing is declared: `directions` of risk are 1 rising, -1 falling, 0 any.
    """

    features: tuple[str, ...]
    baseline: tuple[float, ...]
    texts: tuple[str, ...]
    allowed: tuple[bool, ...]
    most: int = 4
    directions: tuple[int, ...] = ()
    typical: tuple[float | None, ...] = ()
    basis: dict = field(default_factory=dict)

    @classmethod
    def fit(
        cls, model: PDModel, columns: Columns, book: Portfolio, cut_off: float | None = None, share: float = NEAR
    ) -> Reasons:
        """Baseline from training columns: the mean contributions of the `share` of rows nearest to the cut-off PD.

        Without `cut_off` it is the PD at the portfolio's approval share of these rows. A share of 1 takes all rows.
        Protected attributes, and what derives from one, are never a reason.
        """
        pds = model.pd(columns)
        cut_off = float(np.quantile(pds, book.approval_share)) if cut_off is None else float(cut_off)
        near = near_cut_off(pds, cut_off, share)
        rows = {name: columns[name][near] for name in model.features}
        directions = tuple(_DIRECTION[book.columns[n].risk] for n in model.features)
        together = not isinstance(model.design, WoeDesign)
        pairs = zip(model.features, directions, strict=True)
        return cls(
            features=model.features,
            baseline=tuple(model.contributions(rows).mean(axis=0).tolist()),
            texts=tuple(book.columns[n].reason or book.columns[n].label or n for n in model.features),
            allowed=tuple(book.protected.isdisjoint(_behind(n, book)) for n in model.features),
            directions=directions,
            typical=tuple(_middle(rows[n]) if together and direction else None for n, direction in pairs),
            basis={
                "share": share,
                "rows": int(near.sum()),
                "of_rows": len(pds),
                "cut_off": cut_off,
                "lowest_pd": float(pds[near].min()),
                "highest_pd": float(pds[near].max()),
            },
        )

    @property
    def against(self) -> str:
        """Whom an applicant is compared with, in a few words."""
        return "the average applicant near the cut-off" if self._is_near else "the average applicant in training"

    @property
    def about(self) -> str:
        """The baseline in a sentence."""
        basis = self.basis
        if not self._is_near:
            return "Reasons are measured from the mean contributions of all training rows."
        return (
            "Reasons are measured from the mean contributions of applicants near the cut-off: the "
            f"{basis['rows']:,} of {basis['of_rows']:,} training rows ({basis['share']:.0%}, and ties) nearest in PD "
            f"rank to the cut-off PD of {basis['cut_off']:.2%}, with PDs from {basis['lowest_pd']:.2%} to "
            f"{basis['highest_pd']:.2%}."
        )

    @property
    def _is_near(self) -> bool:
        return bool(self.basis) and self.basis["share"] < 1

    def of(self, contributions: np.ndarray, columns: Columns) -> list[list[dict]]:
        """For each row up to four {feature, text, weight}, heaviest first; weight is log-odds above the baseline.

        `contributions` is float64 (n, features), `columns` holds the values of the features: one that was left out is
        never a reason.
        """
        above = np.where(self._open(columns), contributions - np.array(self.baseline), -np.inf)
        order = np.argsort(-above, axis=1, kind="stable")[:, : self.most]
        return [
            [
                {"feature": self.features[j], "text": self.texts[j], "weight": weight}
                for j in row
                if (weight := round(float(above[i, j]), 6)) > 0
            ]
            for i, row in enumerate(order)
        ]

    def _open(self, columns: Columns) -> np.ndarray:
        """Which features could be a reason for each row, bool (n, features)."""
        found = []
        for j, name in enumerate(self.features):
            values = columns[name]
            may = self.allowed[j] & ~pd.isna(values)
            if self.typical and self.typical[j] is not None:
                may &= (values - self.typical[j]) * self.directions[j] >= 0
            found.append(may)
        return np.column_stack(found)


def _middle(values: np.ndarray) -> float | None:
    """The median of the values that are there; None without one."""
    values = values[~np.isnan(values)]
    return float(np.median(values)) if len(values) else None
