"""What interactions between inputs add to boosted trees: against additive trees, and pair by pair.

Everything is fitted to training rows and measured on test rows, so that a pair which only seems to matter shows no
gain. A variable that says nothing on its own, and so has no information value, can still be found here.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from math import sqrt

import numpy as np
import pandas as pd
from scipy.special import expit
from sklearn.model_selection import train_test_split
from threadpoolctl import threadpool_limits

from creditrisk.modelling.attempts import Fitted, Rows, fit_attempt
from creditrisk.modelling.calibration import fit_calibration
from creditrisk.modelling.inference import Interval, auc_difference, z_of
from creditrisk.modelling.metrics import auc, log_loss
from creditrisk.modelling.pd_model import PDModel
from creditrisk.modelling.train import Training

PAIRS = 4
"""Pairs that are measured: the strongest in training."""
RANKED_ROWS, RANKING = 300, {"n_estimators": 100, "max_depth": 3, "learning_rate": 0.1}
"""Training rows and trees whose TreeSHAP interactions rank the pairs; their cost grows fast with depth."""
ADDITIVE = {"max_depth": 1, "learning_rate": 0.1}
STEPS = tuple(range(50, 601, 50))
"""How many additive trees there may be: each says little, so it takes many."""


@dataclass(frozen=True)
class Pair:
    """Two inputs, and what trees that may combine these two gain over trees that combine none: in AUC and log-loss."""

    first: str
    second: str
    auc: Interval
    log_loss: Interval


@dataclass(frozen=True)
class Interactions:
    """Boosted trees against additive ones of the same inputs, on the test rows, with 95% intervals.

    `gain` is that of AUC (DeLong, with its `p`), `log_loss_gain` by how much log-loss falls. `rounds` are those of the
    additive trees. `pairs` begin with the one whose log-loss falls most.
    """

    auc: float
    additive_auc: float
    gain: Interval
    p: float
    log_loss_gain: Interval
    rounds: int
    pairs: tuple[Pair, ...]

    def __str__(self) -> str:
        """The findings in sentences."""
        chance = ", which may be chance" if self.gain.low <= 0 <= self.gain.high else ""
        told = (
            f"Boosted trees have an AUC of {self.auc:.4f} on the test rows, additive ones {self.additive_auc:.4f}: "
            f"interactions change it by {_signed(self.gain)}{chance}."
        )
        shown = [pair for pair in self.pairs if pair.log_loss.low > 0]
        if not shown:
            return f"{told} No single pair is shown to add anything."
        names = "; ".join(f"{pair.first} with {pair.second}, {_signed(pair.auc)} AUC" for pair in shown)
        return f"{told} Pairs that are shown to lower log-loss, each by itself: {names}."

    def table(self) -> pd.DataFrame:
        """One row a pair: pair, auc_gain, auc_low, auc_high, log_loss_gain, log_loss_low, log_loss_high."""
        rows = [(f"{p.first}, {p.second}", *asdict(p.auc).values(), *asdict(p.log_loss).values()) for p in self.pairs]
        figures = [f"{name}_{end}" for name in ("auc", "log_loss") for end in ("gain", "low", "high")]
        return pd.DataFrame(rows, columns=["pair", *figures])

    def to_dict(self) -> dict:
        """Plain data."""
        return asdict(self)


def _signed(found: Interval) -> str:
    return f"{found.value:+.4f} ({found.low:+.4f} to {found.high:+.4f})"


def find_interactions(shipped: Fitted, training: Training) -> Interactions:
    """What interactions add to the shipped trees (refitted without resampling, where they had it).

    Additive trees are of depth 1, with the same inputs, directions of risk and other parameters, and as many as help on
    a held-out fifth of the training rows. A pair is measured by trees of depth 2 that may combine its two inputs on a
    path, and no others, against trees of depth 2 that may combine none. Every model is calibrated by a fifth of
    the training rows that its like, fitted to the rest, has not seen.
    """
    candidates, book, seed = training.candidates, training.book.portfolio, training.seed
    train, test = training.part("train"), training.part("test")
    most, last = train_test_split(np.arange(len(train)), test_size=0.2, stratify=train.bad, random_state=seed)
    untouched = train.take(last)
    plain = replace(shipped.attempt, resampling="none")

    def fitted(**params) -> PDModel:
        attempt = replace(plain, params=plain.params | params)
        model, like = (fit_attempt(attempt, rows, candidates, book, seed) for rows in (train, train.take(most)))
        return model.calibrated(fit_calibration(untouched.bad, like.margin(untouched.columns)))

    with threadpool_limits(1):
        whole = fitted()
        rounds = _additive_rounds(plain.params, train, seed, lambda params, rows: fit_attempt(
            replace(plain, params=params), rows, candidates, book, seed
        ))  # fmt: skip
        additive = fitted(**ADDITIVE, n_estimators=rounds)
        gain, p = _auc_gain(whole, additive, test)
        apart = {**ADDITIVE, "max_depth": 2, "n_estimators": rounds}
        none = fitted(**apart, interaction_constraints=_together(whole))
        pairs = []
        for pair in strongest_pairs(fitted(**RANKING), train, seed):
            one = fitted(**apart, interaction_constraints=_together(whole, pair))
            pairs.append(Pair(*pair, _auc_gain(one, none, test)[0], _log_loss_gain(one, none, test)))
    pairs.sort(key=lambda one: -one.log_loss.value)
    area = auc(test.bad, whole.margin(test.columns))
    return Interactions(
        area, area - gain.value, gain, p, _log_loss_gain(whole, additive, test), rounds, tuple(pairs)
    )  # fmt: skip


def _additive_rounds(params: dict, train: Rows, seed: int, fit: Callable[[dict, Rows], PDModel]) -> int:
    """How many trees of depth 1 have the lowest log-loss on a held-out fifth of the training rows."""
    rest, held_out = train_test_split(np.arange(len(train)), test_size=0.2, stratify=train.bad, random_state=seed)
    model, held_out = fit(params | ADDITIVE | {"n_estimators": STEPS[-1]}, train.take(rest)), train.take(held_out)
    matrix = model.design.matrix(held_out.columns)
    return min(STEPS, key=lambda rounds: log_loss(held_out.bad, expit(model.model.margin(matrix, rounds))))


def strongest_pairs(model: PDModel, rows: Rows, seed: int) -> list[tuple[str, str]]:
    """Pairs of inputs by the mean size of their TreeSHAP interaction on some rows, the PAIRS strongest first."""
    index = np.random.default_rng(seed).permutation(len(rows))[:RANKED_ROWS]
    by_column = model.model.interactions(model.design.matrix(rows.take(index).columns))
    names = list(model.features)
    of_input = np.array([[name == one for one in model.design.inputs] for name in names], dtype=np.float64)
    size = np.abs(of_input @ by_column @ of_input.T).mean(axis=0)
    first, second = np.triu_indices(len(names), 1)
    order = np.argsort(-size[first, second], kind="stable")[:PAIRS]
    return [(names[first[k]], names[second[k]]) for k in order if size[first[k], second[k]] > 0]


def _together(model: PDModel, pair: tuple[str, ...] = ()) -> str:
    """XGBoost's constraint that a path of a tree reads the two inputs of a pair, or else one input only."""
    groups = [set(pair)] if pair else []
    groups += [{name} for name in model.features if name not in pair]
    return json.dumps([[j for j, name in enumerate(model.design.inputs) if name in group] for group in groups])


def _auc_gain(one: PDModel, other: PDModel, rows: Rows) -> tuple[Interval, float]:
    return auc_difference(rows.bad, one.margin(rows.columns), other.margin(rows.columns))


def _log_loss_gain(one: PDModel, other: PDModel, rows: Rows, level: float = 0.95) -> Interval:
    """By how much the log-loss of `one` is below that of the `other`, with its interval."""
    gains = _losses(other, rows) - _losses(one, rows)
    mean, half = float(gains.mean()), z_of(level) * float(gains.std(ddof=1)) / sqrt(len(gains))
    return Interval(mean, mean - half, mean + half)


def _losses(model: PDModel, rows: Rows) -> np.ndarray:
    """Log-loss of each row, float64 (n,)."""
    odds = model.calibration.log_odds(model.margin(rows.columns))
    return np.logaddexp(0, odds) - rows.bad * odds
