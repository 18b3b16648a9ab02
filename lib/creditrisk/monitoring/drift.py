"""Drift: do new rows still look like those of a frozen baseline?

Each column gets the rule of old and a battery of tests beside it.

- The rule: Z = (new mean - training mean) / training standard deviation, flagged at |Z| >= 3. It measures a shift in
  standard deviations of single values, not of the mean, so it fires on extreme shifts of a mean only.
- PSI = sum (q - p) ln(q / p) over frozen bins, the shares p before and q now smoothed by half a row a bin (Jeffreys),
  so that no empty bin makes it infinite. Without any drift it is (1/n + 1/N) chi2(B - 1) distributed (Yurdakul 2018):
  its expected value under no drift is taken off (`psi_adjusted`), and that law gives its p.
- The shape: Kolmogorov-Smirnov for numbers, chi-square for levels; and the share of missing values.
- All columns together: the smallest p of a column, times the number of its tests, goes through Benjamini and Hochberg's
  control of false discoveries over all columns (q); score and PD are a family of their own.

A column is amber when q < 0.01 and the shift is large enough to matter (adjusted PSI of 0.10 and more, or 5 points more
or fewer missing), red from an adjusted PSI of 0.25 on, or when the rule fires. Where there are two families each has a
level of 0.005, so that a window is wrong as seldom. The convention of 0.10 and 0.25 is the field's; significance alone
would flag what nobody cares about in large windows, size alone what is noise in small ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property
from math import inf, nextafter, sqrt
from types import MappingProxyType

import numpy as np
import pandas as pd
from scipy import special

Z_LIMIT = 3.0
FALSE_DISCOVERIES = 0.01
AMBER_PSI, RED_PSI = 0.10, 0.25
MISSING_POINTS = 0.05
"""A share of missing values that moves by less does not matter."""
LEAST_ROWS = 50
"""A smaller window says nothing about a distribution ..."""
LEAST_ROWS_OF_Z = 10
"""... and a still smaller one nothing about a mean: the rule is told, and decides nothing."""
BINS, FEW_BINS, ROWS_FOR_BINS = 10, 5, 200
LEAST_SHARES = (0.025, 0.10)
"""What a bin between given bounds holds at least, in larger windows and in small ones: five rows or so."""
"""Windows of fewer than ROWS_FOR_BINS rows are compared on FEW_BINS bins, each two of the others."""
GRID = 200
"""Quantiles of the baseline that a column's Kolmogorov-Smirnov distance is read at."""
RARE, MOST_LEVELS, MOST_NAMES = 0.01, 20, 1_000
"""Levels below this share, or beyond so many, are one bin; so many of their names are known all the same."""
TESTABLE = 5.0
"""Rows expected in a bin, at least in four of five of them, or a test's law does not hold."""

GREEN, AMBER, RED, LACKING = "green", "amber", "red", "insufficient data"
STATUSES = (GREEN, AMBER, RED, LACKING)
ABSENT = "the column is absent"
TRAINING = "training rows (booked loans)"


# --- The baseline -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ColumnBaseline:
    """What the baseline's rows held in one column.

    A number falls into bin i if edges[i-1] <= number < edges[i]; `counts` has one more element than `edges`. `cuts` are
    the places in `edges` of those between bins of PSI (deciles, and both sides of a value that many rows share), and
    `few_cuts` those for small windows; empty: all. Of a category, `counts` are by level, then of all `others` together.
    `optional`: leaving the value out is the sender's choice and no drift.
    """

    name: str
    kind: str  # number | category
    n: int
    missing: int
    mean: float | None = None
    std: float | None = None
    edges: tuple[float, ...] = ()
    cuts: tuple[int, ...] = ()
    few_cuts: tuple[int, ...] = ()
    levels: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    counts: tuple[int, ...] = ()
    optional: bool = False

    @classmethod
    def fit(cls, name: str, column: pd.Series, optional: bool = False, bounds: Sequence[float] = ()) -> ColumnBaseline:
        """Summarise one column; text is a category, everything else a number. `bounds` of bins replace deciles."""
        if pd.api.types.is_numeric_dtype(column):
            return _of_numbers(name, column, optional, bounds)
        return _of_levels(name, column, optional)

    def bins(self, few: bool = False) -> tuple[np.ndarray, list[str]]:
        """For each element of a tally the bin of PSI it belongs to, and the bins' names. The last one is `missing`."""
        if self.kind == "category":
            names = [*self.levels, "other levels", "levels never seen before"]
            return np.arange(len(names)), [*names, "missing"]
        cuts = self.few_cuts if few and self.few_cuts else self.cuts or tuple(range(len(self.edges)))
        of = np.searchsorted(np.array(cuts), np.arange(len(self.edges) + 1), side="left")
        return of, [*_names_of([self.edges[i] for i in cuts]), "missing"]


@dataclass(frozen=True)
class Baseline:
    """Columns as they were in the rows that others are held against. A check needs nothing else of those rows.

    `scores` are the model's own results, tested apart from its inputs. `reference` says whose rows these are.
    """

    columns: tuple[ColumnBaseline, ...]
    rows: int
    scores: tuple[ColumnBaseline, ...] = ()
    reference: str = TRAINING

    @classmethod
    def fit(
        cls,
        frame: pd.DataFrame,
        scores: pd.DataFrame | None = None,
        optional: Iterable[str] = (),
        reference: str = TRAINING,
        bounds: Mapping[str, Sequence[float]] = MappingProxyType({}),
    ) -> Baseline:
        """Summarise every column of a frame, numbers and text alike.

        `optional` names columns that may be left out, `bounds` those of `scores` whose bins have a meaning of their
        own, as grades do: their bounds, instead of deciles.
        """
        optional = set(optional)
        columns = tuple(ColumnBaseline.fit(str(name), frame[name], name in optional) for name in frame.columns)
        given = {} if scores is None else {str(name): scores[name] for name in scores}
        results = [ColumnBaseline.fit(name, values, bounds=bounds.get(name, ())) for name, values in given.items()]
        return cls(columns, len(frame), tuple(results), reference)

    def to_dict(self) -> dict:
        """Plain data for JSON and for the model file."""
        every = {"columns": self.columns, "scores": self.scores}
        return {
            "rows": self.rows,
            "reference": self.reference,
            **{name: [_lists(asdict(column)) for column in columns] for name, columns in every.items()},
        }

    @classmethod
    def from_dict(cls, data: Mapping) -> Baseline:
        """The baseline again; those of models trained before there were tests beside the rule are understood."""

        def column(stored: Mapping) -> ColumnBaseline:
            return ColumnBaseline(**{k: tuple(v) if isinstance(v, list) else v for k, v in stored.items()})

        return cls(
            tuple(map(column, data["columns"])),
            data["rows"],
            tuple(map(column, data.get("scores", ()))),
            data.get("reference", TRAINING),
        )


def _lists(data: dict) -> dict:
    return {k: list(v) if isinstance(v, tuple) else v for k, v in data.items()}


def _of_numbers(name: str, column: pd.Series, optional: bool, bounds: Sequence[float]) -> ColumnBaseline:
    values = _numbers(column)
    missing = len(column) - len(values)
    if not len(values):
        return ColumnBaseline(name, "number", len(column), missing, optional=optional)
    constant = values.min() == values.max()  # the mean of equal numbers need not be that number
    deciles = _quantiles(values, BINS)
    heavy = [v for v in np.unique(deciles).tolist() if np.count_nonzero(values == v) > len(values) / BINS]
    beside = [nextafter(v, inf) for v in heavy]  # with it, the value is a bin of its own
    edges = np.unique(np.concatenate([_quantiles(values, GRID), deciles, beside, bounds]))
    cuts, few = ({*heavy, *beside, *some} for some in (deciles.tolist(), deciles[1::2].tolist()))
    if len(bounds):
        cuts, few = (set(_bounds_between(values, bounds, least)) for least in LEAST_SHARES)
    counts = np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1)
    place = {edge: i for i, edge in enumerate(edges.tolist())}
    return ColumnBaseline(
        name, "number", len(column), missing,
        mean=float(values[0] if constant else values.mean()), std=0.0 if constant else float(values.std()),
        edges=tuple(place), cuts=tuple(sorted(place[edge] for edge in cuts)),
        few_cuts=tuple(sorted(place[edge] for edge in few)), counts=tuple(counts.tolist()), optional=optional,
    )  # fmt: skip


def _bounds_between(values: np.ndarray, bounds: Sequence[float], least: float) -> list[float]:
    """Those of the bounds, rising, that leave at least this share of the values in every bin."""
    kept: list[float] = []
    for bound in sorted(bounds):
        since = np.mean((values < bound) & (values >= (kept[-1] if kept else -inf)))
        if since >= least and np.mean(values >= bound) >= least:
            kept.append(bound)
    return kept


def _quantiles(values: np.ndarray, parts: int) -> np.ndarray:
    return np.quantile(values, np.linspace(0, 1, parts + 1)[1:-1], method="inverted_cdf")


def _of_levels(name: str, column: pd.Series, optional: bool) -> ColumnBaseline:
    found = column.dropna().astype("str").value_counts()
    frequent = [level for level, n in found.items() if n >= RARE * len(column)][:MOST_LEVELS]
    levels = sorted(frequent)
    others = found.drop(levels)
    return ColumnBaseline(
        name, "category", len(column), int(len(column) - found.sum()), levels=tuple(levels),
        others=tuple(sorted(others.index[:MOST_NAMES])),
        counts=(*(int(found[level]) for level in levels), int(others.sum())), optional=optional,
    )  # fmt: skip


def _numbers(column: pd.Series) -> np.ndarray:
    """The finite numbers of a column, float64; text that is no number, and infinity, count as missing."""
    if not pd.api.types.is_numeric_dtype(column):
        column = pd.to_numeric(column, errors="coerce")
    values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    finite = np.isfinite(values)
    return values if finite.all() else values[finite]


def _names_of(cuts: Sequence[float]) -> list[str]:
    """What a reader calls the bins between cuts: below 5, 5 to 8, exactly 8, above 8, ..."""
    if not cuts:
        return ["any value"]
    names = [f"below {_in_words(cuts[0])}"]
    for low, high in zip(cuts, [*cuts[1:], inf], strict=True):
        if high == nextafter(low, inf):
            names.append(f"exactly {_in_words(low)}")
        elif high == inf:
            names.append(f"{_in_words(low)} or more")
        else:
            names.append(f"{_in_words(low)} to {_in_words(high)}")
    return names


def _in_words(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.4g}"


# --- A window ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Tally:
    """What some rows hold in one column, in the terms of its baseline. Tallies of parts of a window add up.

    `counts` int64: by place between the baseline's edges; or by its levels, then other levels, then levels never seen.
    """

    rows: int
    present: int
    total: float
    differs: bool  # whether a number is not the baseline's mean
    counts: np.ndarray

    @classmethod
    def of(cls, base: ColumnBaseline, column: pd.Series) -> Tally:
        """Count a column of a window."""
        if base.kind == "category":
            return cls._of_levels(base, column)
        values = _numbers(column)
        edges = np.array(base.edges)
        counts = np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1)
        differs = bool(base.mean is not None and len(values) and (values != base.mean).any())
        return cls(len(column), len(values), float(values.sum()), differs, counts)

    @classmethod
    def _of_levels(cls, base: ColumnBaseline, column: pd.Series) -> Tally:
        found = column.value_counts()
        names = found.index.astype("str")
        by_name = pd.Series(found.to_numpy(), index=names).groupby(level=0).sum()
        known = [int(by_name.get(level, 0)) for level in base.levels]
        rest = by_name.drop([level for level in base.levels if level in by_name.index])
        whole = len(base.others) >= MOST_NAMES  # their names are not all known: none is called unseen
        others = int(rest.sum()) if whole else int(rest[rest.index.isin(base.others)].sum())
        counts = np.array([*known, others, int(rest.sum()) - others], dtype=np.int64)
        return cls(len(column), int(found.sum()), 0.0, False, counts)

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.rows + other.rows, self.present + other.present, self.total + other.total,
            self.differs or other.differs, self.counts + other.counts,
        )  # fmt: skip


@dataclass(frozen=True)
class Bin:
    """One bin of one column: its name, rows before and now, and what it adds to PSI."""

    name: str
    before: int
    now: int
    psi: float


@dataclass(frozen=True)
class ColumnDrift:
    """One column compared. Means are of values present; shares are of all rows; p, q and distances are 0 to 1.

    `p` is the smallest of psi_p, shape_p and missing_p times their number, `q` that after control of false discoveries
    over the columns of a role. What could not be computed is None.
    """

    column: str
    kind: str
    status: str  # green | amber | red | insufficient data
    reason: str
    n: int
    train_mean: float | None = None
    train_std: float | None = None
    new_mean: float | None = None
    z: float | None = None
    z_flag: bool = False
    psi: float | None = None
    psi_adjusted: float | None = None
    psi_p: float | None = None
    shape: str | None = None  # KS | chi-square
    distance: float | None = None
    shape_p: float | None = None
    missing_p: float | None = None
    p: float | None = None
    q: float | None = None
    train_missing: float = 0.0
    new_missing: float = 0.0
    unseen: float = 0.0
    role: str = "input"  # input | score
    bins: tuple[Bin, ...] = field(default=(), repr=False)

    @property
    def flagged(self) -> bool:
        """Whether the column is amber or red."""
        return self.status in (AMBER, RED)

    @property
    def decides(self) -> bool:
        """Whether a column that could not be compared is as bad as one that has drifted."""
        return self.status == LACKING and self.reason.startswith((ABSENT, _ALL_MISSING))


_ALL_MISSING = "every value is missing"


@dataclass(frozen=True)
class DriftReport:
    """The columns of a window compared with a baseline. Data first: `to_dict()` for JSON, `columns` for a frame."""

    items: tuple[ColumnDrift, ...]
    rows: int
    baseline_rows: int
    reference: str = TRAINING

    @property
    def columns(self) -> pd.DataFrame:
        """One row a column, the worst first. Columns: `column z z_flag psi psi_adjusted p q status` and more."""
        names = [one.name for one in fields(ColumnDrift) if one.name != "bins"]
        rows = [[getattr(item, name) for name in names] for item in self.worst_first]
        return pd.DataFrame(rows, columns=names)

    @property
    def worst_first(self) -> list[ColumnDrift]:
        """The columns by verdict, then by size of their shift."""
        order = {status: place for place, status in enumerate((RED, AMBER, LACKING, GREEN))}
        return sorted(self.items, key=lambda one: (order[one.status], -(one.psi_adjusted or 0), -abs(one.z or 0)))

    @cached_property
    def flagged(self) -> tuple[str, ...]:
        """Names of the columns that are amber or red, or that are not there any more."""
        return tuple(item.column for item in self.items if item.flagged or item.decides)

    @cached_property
    def status(self) -> str:
        """The verdict of the window: that of its worst column.

        A column that is absent, or that lost all its values, makes it red. A window in which nothing could be compared
        is insufficient data.
        """
        if not self.rows:
            return LACKING
        found = {RED if item.decides else item.status for item in self.items}
        return next((status for status in (RED, AMBER, GREEN) if status in found), LACKING)

    @property
    def verdict(self) -> str:
        """The verdict in a sentence."""
        return self.verdict_with({})

    def verdict_with(self, labels: Mapping[str, str]) -> str:
        """The verdict in a sentence, with labels in place of names of columns."""
        if self.status == LACKING:
            least = f"fewer than {LEAST_ROWS}" if self.rows < LEAST_ROWS else "with nothing in them to compare"
            return f"Not enough data: {self.rows:,} row{'' if self.rows == 1 else 's'}, {least}."
        if self.status == GREEN:
            return f"No drift in {sum(item.status == GREEN for item in self.items)} columns."
        worst = max(self.items, key=lambda one: (one.decides, one.status == RED, one.flagged, one.psi_adjusted or 0))
        more = len(self.flagged) - 1
        others = f" (and {more} more column{'' if more == 1 else 's'})" if more else ""
        return f"{labels.get(worst.column, worst.column)}: {worst.reason}{others}."

    def to_dict(self) -> dict:
        """Plain data for JSON; `from_dict` makes the report of it again."""
        return {
            "status": self.status,
            "rule": f"|Z| >= {Z_LIMIT:g}",
            "rows": self.rows,
            "baseline_rows": self.baseline_rows,
            "reference": self.reference,
            "flagged": list(self.flagged),
            "columns": [_lists(asdict(item)) for item in self.items],
        }

    @classmethod
    def from_dict(cls, data: Mapping) -> DriftReport:
        """A stored report; those from when there was only the rule are understood."""
        before = {"ok": GREEN, "flagged": RED, "not checked": LACKING}
        items = tuple(
            ColumnDrift(
                **{
                    **stored,
                    "status": before.get(stored["status"], stored["status"]),
                    "bins": tuple(Bin(**one) for one in stored.get("bins", ())),
                }
            )
            for stored in data["columns"]
        )
        return cls(items, data["rows"], data["baseline_rows"], data.get("reference", TRAINING))

    def to_html(self, title: str = "Drift report") -> str:
        """A page of its own, some ten kilobytes whatever the number of rows."""
        from creditrisk.monitoring.drift_page import page

        return page(self, title)


def stream_status(windows: Sequence[tuple[int, str]]) -> str | None:
    """The status of a stream of windows that do not overlap: (number, status) each, newest first; None without any.

    Two flagged windows in a row are red. One alone is amber however bad it is: windows come for ever, so that one is
    flagged without any drift sooner or later, and two in a row hardly ever are.
    """
    if not windows:
        return None
    run = flagged_run(windows)
    return RED if run > 1 else AMBER if run else LACKING if windows[0][1] == LACKING else GREEN


def flagged_run(windows: Sequence[tuple[int, str]]) -> int:
    """How many of the newest windows were flagged one directly after the other."""
    run = 0
    for place, (number, status) in enumerate(windows):
        if status not in (AMBER, RED) or number != windows[0][0] - place:
            break
        run += 1
    return run


# --- Comparing --------------------------------------------------------------------------------------------------------


def compare(baseline: Baseline, frame: pd.DataFrame, scores: pd.DataFrame | None = None) -> DriftReport:
    """Compare a window with the baseline, column by column; `scores` are the model's results on its rows.

    A column that is absent or empty is "insufficient data", never an error. A column that was constant is flagged by
    the rule when any new value differs from it.
    """
    given = {"input": frame, "score": pd.DataFrame() if scores is None else scores}
    columns = {"input": baseline.columns, "score": () if scores is None else baseline.scores}
    tallies = {
        (role, base.name): Tally.of(base, given[role][base.name])
        for role, of_role in columns.items()
        for base in of_role
        if base.name in given[role].columns
    }
    return report_of(baseline, tallies, len(frame), with_scores=scores is not None)


def report_of(
    baseline: Baseline, tallies: Mapping[tuple[str, str], Tally], rows: int, with_scores: bool = False
) -> DriftReport:
    """The report of a window of which there are tallies only: (role, column) -> tally. Absent columns have none."""
    families = {"input": baseline.columns} | ({"score": baseline.scores} if with_scores and baseline.scores else {})
    items: list[ColumnDrift] = []
    for role, columns in families.items():
        compared = [_compared(base, tallies.get((role, base.name)), rows, role) for base in columns]
        items += _judged(compared, FALSE_DISCOVERIES / len(families))
    return DriftReport(tuple(items), rows, baseline.rows, baseline.reference)


def _compared(base: ColumnBaseline, tally: Tally | None, rows: int, role: str) -> ColumnDrift:
    """One column's numbers, with `q` and the verdict still to come; insufficient data where there is none to have."""
    item = ColumnDrift(
        base.name, base.kind, LACKING, ABSENT, 0, base.mean, base.std, role=role,
        train_missing=base.missing / base.n if base.n else 0.0,
    )  # fmt: skip
    if tally is None:
        return item
    n = tally.present
    item = replace(item, n=n, new_missing=1 - n / rows if rows else 0.0)
    if base.n == base.missing:
        return replace(item, reason="no value was present in the baseline")
    if not n:
        enough = rows >= LEAST_ROWS and not base.optional
        lost = f"{_ALL_MISSING} ({item.train_missing:.1%} before)"
        return replace(item, reason=lost if enough else "no value is present")
    if base.kind == "number":
        mean = float(base.mean if base.std == 0 and not tally.differs else tally.total / n)
        z, z_flag = _z(base, mean, tally.differs)
        item = replace(item, new_mean=mean, z=z, z_flag=z_flag)
    else:
        item = replace(item, unseen=float(tally.counts[-1] / rows))
    for count, whose in ((n, ""), (base.n - base.missing, " in the baseline")):
        if count < LEAST_ROWS:
            return replace(item, reason=f"{count} values{whose}, fewer than {LEAST_ROWS}")
    return _tested(item, base, tally)


def _z(base: ColumnBaseline, mean: float, differs: bool) -> tuple[float | None, bool]:
    """Z and whether the rule fires. What was constant has no Z once it moves."""
    if base.std == 0:
        return (None, True) if differs else (0.0, False)
    z = (mean - base.mean) / base.std
    return z, abs(z) >= Z_LIMIT


def _tested(item: ColumnDrift, base: ColumnBaseline, tally: Tally) -> ColumnDrift:
    """PSI, shape and missing values of a column, with their p."""
    few = tally.present < ROWS_FOR_BINS
    of, names = base.bins(few)
    before = np.bincount(of[: len(base.counts)], weights=base.counts, minlength=len(names) - 1)
    now = np.bincount(of[: len(tally.counts)], weights=tally.counts, minlength=len(names) - 1)
    if not base.optional:
        before, now = np.append(before, base.missing), np.append(now, tally.rows - tally.present)
    terms, psi, adjusted, psi_p = psi_of(before, now)
    bins = tuple(Bin(*one) for one in zip(names, before.astype(int).tolist(), now.astype(int).tolist(), terms.tolist()))
    if base.kind == "number":
        shape, (distance, shape_p) = "KS", ks_of(base.counts, tally.counts)
    else:
        shape, (distance, shape_p) = "chi-square", chi_square_of(before, now)
    missing_p = None
    if not base.optional and (base.missing or tally.present < tally.rows):
        missing_p = _proportions_p(base.missing, base.n, tally.rows - tally.present, tally.rows)
    tests = [p for p in (psi_p, shape_p, missing_p) if p is not None]
    return replace(
        item, bins=bins, psi=psi, psi_adjusted=adjusted, psi_p=psi_p, shape=shape, distance=distance, shape_p=shape_p,
        missing_p=missing_p, p=min(1.0, len(tests) * min(tests)), status=GREEN, reason="",
    )  # fmt: skip


def _judged(items: Sequence[ColumnDrift], level: float) -> list[ColumnDrift]:
    """Items of a family with q and verdict; those without tests stay what they are, unless the rule fires.

    `level` is the share of false discoveries allowed; so many families share what a window is allowed.
    """
    tested = [item for item in items if item.p is not None]
    by_column = {}
    if tested:
        from scipy import stats  # half a second to import

        found = stats.false_discovery_control([item.p for item in tested])
        by_column = {item.column: min(1.0, float(q)) for item, q in zip(tested, found, strict=True)}
    return [_with_verdict(replace(item, q=by_column.get(item.column)), level) for item in items]


def _with_verdict(item: ColumnDrift, level: float) -> ColumnDrift:
    by_rule = _rule_in_words(item) if item.z_flag else ""
    if item.q is None:
        return replace(item, status=RED, reason=by_rule) if by_rule and item.n >= LEAST_ROWS_OF_Z else item
    missing = abs(item.new_missing - item.train_missing) if item.missing_p is not None else 0.0
    significant = item.q < level
    matters = item.psi_adjusted >= AMBER_PSI or missing >= MISSING_POINTS
    red = item.z_flag or (significant and item.psi_adjusted >= RED_PSI)
    status = RED if red else AMBER if significant and matters else GREEN
    noise = item.psi - item.psi_adjusted
    words = [by_rule] if by_rule else []
    if significant and matters:
        words.append(f"PSI {item.psi:.2f}, of which chance explains {noise:.2f} ({_culprit(item)})")
    elif significant:
        words.append(f"a shift that is real but small: PSI {item.psi:.3f}, of which chance explains {noise:.3f}")
    elif not by_rule:
        among = f"PSI {item.psi:.2f}, which chance gives one of so many columns often enough (q {item.q:.3f})"
        words.append("as in the baseline" if item.psi_adjusted < AMBER_PSI else among)
    return replace(item, status=status, reason="; ".join(words))


def _rule_in_words(item: ColumnDrift) -> str:
    if item.z is None:
        return "constant in the baseline, now other values"
    return f"extreme mean shift: the mean moved by {item.z:+.1f} standard deviations"


def _culprit(item: ColumnDrift) -> str:
    """The bin that adds most, in words."""
    most = max(item.bins, key=lambda one: one.psi)
    before, now = (sum(getattr(one, when) for one in item.bins) for when in ("before", "now"))
    return f"{most.name}: {most.before / before:.1%} before, {most.now / now:.1%} now"


# --- Statistics -------------------------------------------------------------------------------------------------------


def psi_of(before: np.ndarray, now: np.ndarray) -> tuple[np.ndarray, float, float, float]:
    """PSI of counts by bin (B,): what each bin adds (B,), their sum, that less what no drift would give, and p.

    Bins that are empty in both are no bins. Under no drift PSI ~ (1/n + 1/N) chi2(B - 1): Yurdakul (2018, Western
    Michigan University) and Yurdakul and Naranjo (2020, J. Risk Model Validation 14(4)), theorem 3.3.
    """
    used = (before + now) > 0
    terms, b = np.zeros(len(before)), int(used.sum())
    if b < 2:
        return terms, 0.0, 0.0, 1.0
    p = (before[used] + 0.5) / (before.sum() + b / 2)
    q = (now[used] + 0.5) / (now.sum() + b / 2)
    terms[used] = (q - p) * np.log(q / p)
    psi, spread = float(terms.sum()), 1 / before.sum() + 1 / now.sum()
    return terms, psi, max(0.0, psi - (b - 1) * spread), float(special.chdtrc(b - 1, psi / spread))


def ks_of(before: Sequence[int], now: Sequence[int]) -> tuple[float, float]:
    """Kolmogorov-Smirnov's distance and p of two samples counted on one grid of values.

    Read at the grid's points, the distance is at most that of the values themselves, so p errs on the safe side. The
    law is the asymptotic one with Stephens' correction for small samples (1970, J. Royal Stat. Soc. B 32(1)).
    """
    before, now = np.asarray(before, dtype=np.float64), np.asarray(now, dtype=np.float64)
    n_before, n_now = before.sum(), now.sum()
    gap = np.abs(np.cumsum(before)[:-1] / n_before - np.cumsum(now)[:-1] / n_now)
    distance = float(gap.max(initial=0.0))
    root = sqrt(n_before * n_now / (n_before + n_now))
    return distance, float(special.kolmogorov(distance * (root + 0.12 + 0.11 / root)))


def chi_square_of(before: np.ndarray, now: np.ndarray) -> tuple[float, float]:
    """Largest difference of a bin's share, and the p of the chi-square test; bins too rare to test are pooled."""
    table = np.array([before, now], dtype=np.float64)
    shares = table / table.sum(axis=1, keepdims=True)
    distance = float(np.abs(shares[1] - shares[0]).max(initial=0.0))
    expected = table.sum(axis=0) * (table.sum(axis=1).min() / table.sum())
    rare = expected < TESTABLE
    pooled = np.column_stack([table[:, ~rare], table[:, rare].sum(axis=1)]) if rare.any() else table
    pooled = pooled[:, pooled.sum(axis=0) > 0]
    if pooled.shape[1] < 2:
        return distance, 1.0
    expected = np.outer(pooled.sum(axis=1), pooled.sum(axis=0)) / pooled.sum()
    statistic = ((pooled - expected) ** 2 / expected).sum()
    return distance, float(special.chdtrc(pooled.shape[1] - 1, statistic))


def _proportions_p(k_before: int, n_before: int, k_now: int, n_now: int) -> float:
    """Whether two shares differ: the pooled test of proportions, Fisher's exact one where too few are expected."""
    share = (k_before + k_now) / (n_before + n_now)
    expected = [n * part for n in (n_before, n_now) for part in (share, 1 - share)]
    if min(expected) < TESTABLE:
        from scipy import stats

        return float(stats.fisher_exact([[k_before, n_before - k_before], [k_now, n_now - k_now]]).pvalue)
    error = sqrt(share * (1 - share) * (1 / n_before + 1 / n_now))
    return float(2 * special.ndtr(-abs(k_now / n_now - k_before / n_before) / error))
