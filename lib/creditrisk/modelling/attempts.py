"""The four training attempts, fitted and compared on equal terms.

Bins are fitted before resampling and again inside every fold; resampling touches training rows only. The tuned
attempts run with and without SMOTETomek, so that the table tells tuning and resampling apart.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from scipy.special import logit

from creditrisk.binning.bins import Bins
from creditrisk.binning.evidence import hold_order
from creditrisk.binning.overrides import NONE, Overrides
from creditrisk.binning.search import Limits
from creditrisk.data.portfolio import Portfolio
from creditrisk.modelling.design import TreeDesign, WoeDesign, fit_tree_design, fit_woe_design
from creditrisk.modelling.gates import Gate
from creditrisk.modelling.metrics import auc, error_of_gain
from creditrisk.modelling.pd_model import Logistic, PDModel, Trees


@dataclass(frozen=True)
class Rows:
    """Columns (name -> (n,)) and 0/1 outcomes (n,)."""

    columns: dict[str, np.ndarray]
    bad: np.ndarray

    def __len__(self) -> int:
        return len(self.bad)

    def take(self, index: np.ndarray) -> Rows:
        return Rows({name: values[index] for name, values in self.columns.items()}, self.bad[index])


@dataclass(frozen=True)
class Attempt:
    """One way to train. `params` are those of the family; tuning replaces some of them."""

    number: int
    family: str  # logistic | forest | xgboost
    resampling: str = "none"  # none | under | smotetomek
    tuned: bool = False
    params: dict = field(default_factory=dict)

    @property
    def name(self) -> str:
        family = {"logistic": "Logistic on WOE", "forest": "Random forest", "xgboost": "XGBoost"}[self.family]
        parts = (f"{self.number} {family}", self.resampler, "Optuna" if self.tuned else "")
        return ", ".join(filter(None, parts))

    @property
    def resampler(self) -> str:
        """What balances the classes of its training rows; empty when nothing does."""
        return {"none": "", "under": "RandomUnderSampler", "smotetomek": "SMOTETomek"}[self.resampling]


ATTEMPTS = (
    Attempt(1, "logistic"),
    Attempt(1, "forest"),
    Attempt(1, "xgboost"),
    Attempt(2, "logistic", "under"),
    Attempt(2, "xgboost", "under"),
    Attempt(3, "logistic", "smotetomek", tuned=True),
    Attempt(3, "logistic", "none", tuned=True),
    Attempt(4, "xgboost", "smotetomek", tuned=True),
    Attempt(4, "xgboost", "none", tuned=True),
)


@dataclass(frozen=True)
class Candidates:
    """Variables open to each family: `woe` to the scorecard, `trees` to forests and XGBoost.

    Every fit obeys the `overrides`. On the rows `newest`, where there are some, the order of bad rates holds in every
    binning that is searched.
    """

    woe: tuple[str, ...]
    trees: tuple[str, ...]
    overrides: Overrides = NONE
    newest: Rows | None = field(default=None, compare=False, repr=False)

    @property
    def forced(self) -> frozenset[str]:
        """Variables that stay in the scorecard, whatever speaks against them."""
        return frozenset(self.overrides.used("in")) & frozenset(self.woe)


@dataclass(frozen=True)
class Forest:
    """A scikit-learn forest, for comparison only: it is not shipped."""

    estimator: object

    def margin(self, matrix: np.ndarray) -> np.ndarray:
        return logit(np.clip(self.estimator.predict_proba(matrix)[:, 1], 1e-4, 1 - 1e-4))


def mask_optional(rows: Rows, book: Portfolio, seed: int) -> Rows:
    """Hide each optional input in a random share of the rows, so that leaving it out is something a model has seen."""
    rng = np.random.default_rng(seed)
    columns = dict(rows.columns)
    for name in optional_inputs(book, columns):
        hidden = rng.random(len(rows)) < book.missing_share_of_optional
        columns[name] = np.where(hidden, _nothing(book, name), columns[name])
    return Rows(columns, rows.bad)


def without_optional(rows: Rows, book: Portfolio, names: Collection[str] | None = None) -> Rows:
    """The rows with all optional inputs left out, or those named."""
    hidden = optional_inputs(book, rows.columns) if names is None else names
    return Rows(rows.columns | {n: np.full(len(rows), _nothing(book, n)) for n in hidden}, rows.bad)


def optional_inputs(book: Portfolio, names: Collection[str]) -> list[str]:
    """Those of the names that an application may leave out."""
    return [name for name, column in book.inputs.items() if column.role == "optional" and name in names]


def _nothing(book: Portfolio, name: str) -> float | None:
    """What stands for a missing value of a column."""
    return np.nan if book.columns[name].is_numeric else None


def resample(matrix: np.ndarray, bad: np.ndarray, how: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Balance the classes of training rows. Columns are put on one scale while neighbours are sought."""
    if how == "none":
        return matrix, bad
    if how == "under":
        from imblearn.under_sampling import RandomUnderSampler

        return RandomUnderSampler(random_state=seed).fit_resample(matrix, bad)
    from imblearn.combine import SMOTETomek
    from imblearn.over_sampling import SMOTE

    centre, spread = matrix.mean(axis=0), matrix.std(axis=0)
    spread = np.where(spread > 0, spread, 1.0)
    neighbours = min(5, int(min(bad.sum(), len(bad) - bad.sum())) - 1)
    sampler = SMOTETomek(random_state=seed, smote=SMOTE(random_state=seed, k_neighbors=max(neighbours, 1)))
    balanced, labels = sampler.fit_resample((matrix - centre) / spread, bad)
    return balanced * spread + centre, labels


def fit_attempt(attempt: Attempt, rows: Rows, candidates: Candidates, book: Portfolio, seed: int) -> PDModel:
    """Fit one attempt to training rows. The model's PDs are not calibrated yet."""
    return _fit(attempt, _prepare(attempt, rows, candidates, book, seed), seed, _held(candidates, book))


@dataclass(frozen=True)
class Prepared:
    """What a model is fitted to: design, matrix (n, columns), outcomes (n,) and weights (n,); None for equal ones."""

    design: WoeDesign | TreeDesign
    matrix: np.ndarray
    bad: np.ndarray
    weight: np.ndarray | None = None


def _design_key(attempt: Attempt) -> tuple:
    """What of an attempt decides its design and resampled matrix."""
    if attempt.family == "logistic":
        return ("woe", attempt.resampling, attempt.params.get("max_bins", 8), attempt.params.get("min_share", 0.05))
    return ("tree", attempt.resampling)


def _prepare(attempt: Attempt, rows: Rows, candidates: Candidates, book: Portfolio, seed: int) -> Prepared:
    """Rows as a model is to see them, resampled where the attempt says so.

    Trees see every row twice, as it is and without its optional inputs, in the proportion that the portfolio gives, so
    that both kinds of applicants are learned from all rows. Elsewhere these inputs are hidden in some of the rows.
    """
    if attempt.family != "logistic" and attempt.resampling == "none":
        design = fit_tree_design(rows.columns, candidates.trees, book)
        matrix, share = design.matrix(rows.columns), book.missing_share_of_optional
        if not share or not optional_inputs(book, candidates.trees):
            return Prepared(design, matrix, rows.bad)
        lacking = design.matrix(without_optional(rows, book).columns)
        weight = np.repeat([1 - share, share], len(rows))
        return Prepared(design, np.vstack([matrix, lacking]), np.tile(rows.bad, 2), weight)
    masked = mask_optional(rows, book, seed)
    if attempt.family == "logistic":
        design = _fit_bins(attempt, masked, candidates.woe, candidates, book)
    else:
        design = fit_tree_design(masked.columns, candidates.trees, book, impute=attempt.resampling == "smotetomek")
    return Prepared(design, *resample(design.matrix(masked.columns), masked.bad, attempt.resampling, seed))


def _fit_bins(attempt: Attempt, rows: Rows, names, candidates: Candidates, book: Portfolio) -> WoeDesign:
    """The bins of some variables as an attempt makes them of these rows."""
    _, _, max_bins, min_share = _design_key(attempt)
    limits = Limits(max_bins=max_bins, min_share=min_share)
    overrides, newest = candidates.overrides, candidates.newest
    design = fit_woe_design(rows.columns, rows.bad, names, book, limits, overrides)
    if newest is None:
        return design
    given = {name for name, one in overrides.items() if one.bins is not None}
    return WoeDesign(
        tuple(b if b.name in given else hold_order(b, newest.columns[b.name], newest.bad) for b in design.bins)
    )  # fmt: skip


@dataclass(frozen=True)
class Held:
    """Variables that a scorecard may not drop: `always`, or unless their coefficient has the wrong `sign`."""

    always: frozenset[str] = frozenset()
    unless_sign: frozenset[str] = frozenset()


def _held(candidates: Candidates, book: Portfolio) -> Held:
    """What is forced in. A protected variable that may not score worse from some value on never turns its sign."""
    limited = {name for name, limit in book.restricted.items() if limit.no_worse_from is not None}
    return Held(candidates.forced - limited, candidates.forced & limited)


def _fit(attempt: Attempt, prepared: Prepared, seed: int, held: Held) -> PDModel:
    design, matrix, bad = prepared.design, prepared.matrix, prepared.bad
    if attempt.family == "logistic":
        return _fit_logistic(design, matrix, bad, attempt.params, held)
    if attempt.family == "forest":
        from sklearn.ensemble import RandomForestClassifier

        forest = RandomForestClassifier(n_estimators=100, min_samples_leaf=5, random_state=seed, n_jobs=-1)
        return PDModel(design, Forest(forest.fit(matrix, bad, prepared.weight)))
    return PDModel(design, _fit_trees(prepared, attempt.params, seed))


def _fit_logistic(design: WoeDesign, matrix: np.ndarray, bad: np.ndarray, params: dict, held: Held) -> PDModel:
    """Logistic regression of bad on WOE. A variable whose coefficient has the wrong sign leaves, one at a time:
    with WOE as ln(goods/bads) every coefficient for P(bad) must be negative. What is held stays."""
    from sklearn.linear_model import LogisticRegression

    names = [b.name for b in design.bins]
    forced = held.always | held.unless_sign
    kept = [j for j, b in enumerate(design.bins) if b.name in forced or not _too_weak(b, params)]
    kept = kept or [int(np.argmax([b.iv for b in design.bins]))]
    while True:
        model = LogisticRegression(C=params.get("C", 1.0), solver="newton-cholesky")
        model.fit(matrix[:, kept], bad)
        coefficients = model.coef_[0]
        loose = np.array([names[j] not in held.always for j in kept])
        worst = int(np.argmax(np.where(loose, coefficients, -np.inf)))
        if not loose.any() or coefficients[worst] < 0 or len(kept) == 1:
            break
        kept.pop(worst)
    logistic = Logistic(tuple(float(c) for c in coefficients), float(model.intercept_[0]))
    if loose.any() and coefficients[worst] > 0:  # even the last one: it says nothing, and everybody gets the bad rate
        logistic = Logistic((0.0,), float(logit(bad.mean())))
    return PDModel(design.keep([names[j] for j in kept]), logistic)


def _too_weak(bins: Bins, params: dict) -> bool:
    """Whether a variable has too little IV for a scorecard."""
    return bins.iv < params.get("min_iv", 0.0) or _one_for_all(bins)


def _one_for_all(bins: Bins) -> bool:
    """Whether all training rows have one WOE: one bin, and no code or missing value that is worth anything else."""
    filled = np.add(bins.goods, bins.bads) > 0
    return len(np.unique(bins.woe[filled])) <= 1


def _fit_trees(prepared: Prepared, params: dict, seed: int) -> Trees:
    import xgboost

    matrix = prepared.matrix

    settings = {"objective": "binary:logistic", "tree_method": "hist", "seed": seed} | {
        name: value for name, value in params.items() if name != "n_estimators"
    }
    settings["nthread"] = 1 if len(matrix) < 50_000 else 0  # below, threads wait for each other; the trees are the same
    settings["monotone_constraints"] = "(" + ",".join(map(str, prepared.design.monotone)) + ")"
    data = xgboost.DMatrix(matrix.astype(np.float32), label=prepared.bad, weight=prepared.weight)
    booster = xgboost.train(settings, data, num_boost_round=params.get("n_estimators", 100))
    return Trees(bytes(booster.save_raw("ubj")))


WRONG_SIGN = "wrong sign"


def judge_variables(
    attempt: Attempt, model: PDModel, rows: Rows, candidates: Candidates, book: Portfolio, seed: int
) -> tuple[dict[str, str], dict[str, str]]:
    """Of a scorecard fitted to these rows: why each candidate it lacks has left, and what speaks against overrides.

    Two mappings of variable to words, empty for trees.
    """
    if attempt.family != "logistic":
        return {}, {}
    left, against = {}, {}
    gone = [name for name in candidates.woe if name not in model.features]
    for bins in _fit_bins(attempt, mask_optional(rows, book, seed), gone, candidates, book).bins:
        left[bins.name] = _weakness(bins, attempt.params) or WRONG_SIGN
        if bins.name in candidates.forced:
            against[bins.name] = f"{WRONG_SIGN}, which no_worse_from forbids: it is not in the scorecard"
    for bins, coefficient in zip(model.design.bins, model.model.coefficients, strict=True):
        found = []
        if bins.name in candidates.forced:
            found = [_weakness(bins, attempt.params), WRONG_SIGN if coefficient > 0 else ""]
        if bins.name in candidates.overrides and candidates.overrides[bins.name].bins is not None:
            found.append(_against_risk(bins, book.columns[bins.name].risk))
        if any(found):
            against[bins.name] = ", ".join(filter(None, found))
    return left, against


def _weakness(bins: Bins, params: dict) -> str:
    """How a variable is too weak for a scorecard, in words; empty when it is not."""
    if _one_for_all(bins):
        return "one bin"
    return f"IV {bins.iv:.3f} below {params.get('min_iv', 0.0):.3f}" if _too_weak(bins, params) else ""


def _against_risk(bins: Bins, risk: str) -> str:
    """Whether the bad rate moves against the portfolio's direction of risk, in words; empty when it does not."""
    filled = np.flatnonzero(np.add(bins.goods, bins.bads)[: bins.n_regular] > 0)
    steps = np.diff(bins.woe[filled]) * {"increasing": 1, "decreasing": -1, "any": 0}[risk]
    return f"bad rate not {risk} throughout" if bins.kind == "numeric" and (steps > 0).any() else ""


# --- Cross-validation and tuning --------------------------------------------------------------------------------------


class CrossValidation:
    """Stratified folds over rows, drawn `repeats` times; what attempts share (bins, resampled rows) is made once."""

    def __init__(
        self, rows: Rows, candidates: Candidates, book: Portfolio, folds: int, seed: int, repeats: int = 1
    ) -> None:
        from sklearn.model_selection import RepeatedStratifiedKFold

        self.candidates, self.book, self.seed = candidates, book, seed
        self.held = _held(candidates, book)
        most = int(min(rows.bad.sum(), len(rows) - rows.bad.sum()))
        self.folds = max(2, min(folds, most))
        splitter = RepeatedStratifiedKFold(n_splits=self.folds, n_repeats=repeats, random_state=seed)
        self.rows = rows
        self.parts = list(splitter.split(np.zeros(len(rows)), rows.bad))
        self._prepared: dict[tuple, Prepared] = {}

    def models(self, attempt: Attempt) -> Iterator[tuple[np.ndarray, PDModel]]:
        """Positions of the rows of each held-out fold, and the model of all others."""
        for fold, (train, held_out) in enumerate(self.parts):
            key = (fold, *_design_key(attempt))
            if key not in self._prepared:
                rows = self.rows.take(train)
                self._prepared[key] = _prepare(attempt, rows, self.candidates, self.book, self.seed)
            yield held_out, _fit(attempt, self._prepared[key], self.seed, self.held)

    def aucs(self, attempt: Attempt) -> Iterator[float]:
        """AUC on each held-out fold."""
        for index, model in self.models(attempt):
            held_out = self.rows.take(index)
            yield auc(held_out.bad, model.margin(held_out.columns))

    def out_of_fold(self, attempt: Attempt) -> OutOfFold:
        """Every row's margin by the model that has not seen it; folds must be drawn once."""
        margin, lacking, aucs = np.empty(len(self.rows)), None, []
        for index, model in self.models(attempt):
            held_out = self.rows.take(index)
            margin[index] = model.margin(held_out.columns)
            aucs.append(auc(held_out.bad, margin[index]))
            if optional_inputs(self.book, model.features):
                lacking = margin.copy() if lacking is None else lacking
                lacking[index] = model.margin(without_optional(held_out, self.book).columns)
        return OutOfFold(self.rows.bad, margin, lacking, tuple(aucs))


@dataclass(frozen=True)
class OutOfFold:
    """Outcomes (n,) of rows and their margins (n,), each by a model that has not seen the row; `lacking` is without
    optional inputs, None where no model reads any. `aucs` are those of the folds."""

    bad: np.ndarray
    margin: np.ndarray
    lacking: np.ndarray | None
    aucs: tuple[float, ...]


def tune(
    attempt: Attempt, cv: CrossValidation, trials: int, seed: int, on_trial: Callable[[int, float], None] | None = None
) -> Attempt:
    """The attempt with parameters sought by Optuna, by mean cross-validated AUC.

    Where the best found beats the best starting point by no more than one standard error of the difference over the
    folds, the starting point stays: on a small book the rest is noise. Deterministic for a seed. `on_trial` is called
    with (trials done, best AUC so far).
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    space = _logistic_space if attempt.family == "logistic" else _tree_space

    def objective(trial: optuna.Trial) -> float:
        values: list[float] = []
        for fold, value in enumerate(cv.aucs(replace(attempt, params=space(trial)))):
            values.append(value)
            trial.report(float(np.mean(values)), fold)
            if trial.should_prune():
                raise optuna.TrialPruned
        trial.set_user_attr("aucs", values)
        return float(np.mean(values))

    pruner = optuna.pruners.MedianPruner(n_startup_trials=8, n_warmup_steps=1)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed), pruner=pruner)
    callbacks = [lambda study, trial: on_trial(trial.number + 1, study.best_value)] if on_trial else None
    points = _STARTING_POINTS[attempt.family]
    for point in points:
        study.enqueue_trial(point)
    study.optimize(objective, n_trials=trials, callbacks=callbacks)

    tried = [trial for trial in study.trials[: len(points)] if trial.state.is_finished()]
    best, start = study.best_trial, max(tried, key=lambda trial: trial.value)
    gain = np.subtract(best.user_attrs["aucs"], start.user_attrs["aucs"])
    chosen = best if gain.mean() > error_of_gain(gain, cv.folds) else start
    return replace(attempt, params=space(optuna.trial.FixedTrial(chosen.params)))


_STARTING_POINTS = {
    "logistic": [{"C": 1.0, "max_bins": 8, "min_share": 0.05, "min_iv": 0.02}],
    "xgboost": [  # one for a large book, and a cautious one for a small book with many weak inputs
        {"n_estimators": 200, "max_depth": 3, "learning_rate": 0.1, "min_child_weight": 5.0, "subsample": 0.8,
         "colsample_bytree": 0.8, "reg_lambda": 1.0},
        {"n_estimators": 300, "max_depth": 3, "learning_rate": 0.03, "min_child_weight": 2.0, "subsample": 0.6,
         "colsample_bytree": 0.3, "reg_lambda": 5.0},
    ],
}  # fmt: skip
"""What Optuna tries first."""


def _logistic_space(trial) -> dict:
    return {
        "C": trial.suggest_float("C", 1e-2, 10.0, log=True),
        "max_bins": trial.suggest_int("max_bins", 4, 12, step=2),
        "min_share": trial.suggest_categorical("min_share", [0.02, 0.05]),
        "min_iv": trial.suggest_float("min_iv", 0.005, 0.05, log=True),
    }


def _tree_space(trial) -> dict:
    return {
        "n_estimators": trial.suggest_int("n_estimators", 50, 500, step=50),
        "max_depth": trial.suggest_int("max_depth", 2, 6),
        "learning_rate": trial.suggest_float("learning_rate", 0.02, 0.3, log=True),
        "min_child_weight": trial.suggest_float("min_child_weight", 1.0, 50.0, log=True),
        "subsample": trial.suggest_float("subsample", 0.5, 1.0),
        "colsample_bytree": trial.suggest_float("colsample_bytree", 0.2, 1.0),
        "reg_lambda": trial.suggest_float("reg_lambda", 0.1, 30.0, log=True),
    }


@dataclass(frozen=True)
class Fitted:
    """An attempt after training: its model (calibrated), cross-validated AUCs and figures on the test rows.

    `raw` and `raw_gate` are before calibration, `test` and `gate` after it, but before a shift to a long-run bad rate,
    which outcomes cannot judge. `margin` is that of the test rows, `out_of_fold` that of the training rows, each by a
    model that has not seen it. `threshold` is the cut-off in the model's own PDs.
    `left` and `against` are what `judge_variables` says.
    """

    attempt: Attempt
    model: PDModel
    cv_auc: tuple[float, ...]
    raw: dict[str, float]
    test: dict[str, float]
    threshold: float
    seconds: float
    left: dict[str, str] = field(default_factory=dict)
    against: dict[str, str] = field(default_factory=dict)
    gate: Gate | None = None
    raw_gate: Gate | None = None
    margin: np.ndarray | None = field(default=None, compare=False, repr=False)
    out_of_fold: np.ndarray | None = field(default=None, compare=False, repr=False)

    def summary(self) -> dict:
        """What result.json says of it: name, how it was trained, figures and gate on the test rows."""
        return {
            "name": self.attempt.name,
            "attempt": self.attempt.number,
            "family": self.attempt.family,
            "resampling": self.attempt.resampling,
            "tuned": self.attempt.tuned,
            "params": self.attempt.params,
            "cv_auc": float(np.mean(self.cv_auc)),
            **known(self.test),
            "raw": known(self.raw),
            "gate": self.gate and self.gate.to_dict(),
            "raw_gate": self.raw_gate and self.raw_gate.to_dict(),
            "seconds": round(self.seconds, 2),
        }


def known(figures: Mapping[str, float]) -> dict[str, float | None]:
    """Figures with None for what could not be had, as JSON has it."""
    return {name: None if value is None or value != value else value for name, value in figures.items()}


class Clock:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self._start = time.perf_counter()

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self._start
