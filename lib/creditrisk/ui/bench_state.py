"""What the binning bench knows and does, without a widget in it: the bench shows it, the tests drive it.

Bins are fitted on the training rows and looked at again on the test rows. Nothing here raises for what
an analyst can type: it becomes a text at the field, and what was there before stays.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from traitlets import Dict, HasTraits, Int, Unicode

from creditrisk.binning.bins import Bins, Policy
from creditrisk.binning.fit import column_values
from creditrisk.binning.overrides import Override, Overrides, utc_now
from creditrisk.binning.search import Limits
from creditrisk.data.portfolio import Portfolio
from creditrisk.data.tables import Book, to_columns
from creditrisk.errors import BinningError, CreditRiskError, OverridesError
from creditrisk.modelling.selection import MIN_IV, select
from creditrisk.settings import settings, shown_path
from creditrisk.ui import bench_words
from creditrisk.ui.bench_variable import Desk, Variable, Version
from creditrisk.ui.bench_words import Note

if TYPE_CHECKING:
    from creditrisk.modelling.train import Split

FILE = "overrides.json"
MOST_MONTHS, MOST_QUARTERS = 18, 40


def default_file() -> str:
    """Where overrides go when no file is named: beside the models, or in home when the models are behind a URL."""
    folder = settings().artifacts_dir
    return str((settings().home if "://" in folder else Path(folder)) / FILE)


@dataclass(frozen=True)
class Row:
    """One variable in the table of all; `short` is its label without the unit.

    `use` is "in", "out" or empty; `unsaved` says that the file says otherwise.
    """

    name: str
    label: str
    short: str
    iv: float
    certificate: float | None
    psi: float
    bins: int
    trend: str
    marks: tuple[Note, ...]
    selected: str
    edited: bool
    use: str
    unsaved: bool


class BinningBench(HasTraits):
    """All variables of a book, one of them chosen. Whatever changes, `revision` changes last: a view follows that.

    `bin` is the chosen regular bin, from 0. `errors` says by field what is wrong with what was typed: split, cut, cuts,
    levels, reason, by, save. `said` is what came of saving.
    """

    chosen = Unicode()
    bin = Int(0)
    errors = Dict()
    said = Unicode()
    revision = Int(0)

    def __init__(
        self,
        book: Portfolio,
        columns: Mapping[str, np.ndarray],
        bad: np.ndarray,
        train: np.ndarray,
        test: np.ndarray,
        *,
        file: str = "",
        sample: str = "test",
        periods: np.ndarray | None = None,
    ) -> None:
        """Columns by name and outcomes 0/1, (n,) each; `train` and `test` are positions of rows.

        `file` holds the overrides, and is read now where it exists; `sample` says in a word or two what the test is;
        `periods` are texts (n,), such as quarters. Raises OverridesError when the file cannot be read or does not fit
        the portfolio.
        """
        super().__init__()
        self.book, self.sample, self.file = book, sample, file or default_file()
        self.train_rows, self.test_rows = len(train), len(test)
        self._columns, self._bad, self._test, self._periods = columns, bad, test, periods
        self._rows = np.concatenate([train, test])
        self._selected: dict[str, str] = {}
        self._conflict: tuple[str, ...] = ()
        overrides = self._read()
        self._desks = {}
        for name in columns:
            limits = dict(book.columns[name].binning_options)
            options = {key: limits.pop(key) for key in ("trend", "special", "missing") if key in limits}
            values = column_values(pd.Series(columns[name]))
            variable = Variable(
                name,
                label_of(book, name),
                values[train],
                bad[train],
                values[test],
                bad[test],
                Limits(**limits),
                options,
            )
            self._desks[name] = Desk(variable, overrides.get(name))
        self.chosen = self.rows[0].name

    @classmethod
    def of_book(cls, book: Book, split: Split, file: str = "") -> BinningBench:
        """A bench over the candidates of a split book."""
        names = list(book.portfolio.candidates)
        columns = to_columns(book.frame, names, book.portfolio)
        sample = "test, out of time" if split.how == "out_of_time" else "test"
        bench = cls(
            book.portfolio, columns, np.asarray(book.bad, dtype=np.float64), split.train, split.test, file=file,
            sample=sample, periods=None if book.dates is None else periods_of(book.dates),
        )  # fmt: skip
        ivs = pd.Series({name: desk.variable.optimum.bins.iv for name, desk in bench._desks.items()})
        for said in select(book.frame.iloc[split.train], ivs, book.portfolio).itertuples():
            bench._selected[said.column] = said.reason if said.status == "out" else said.status
        return bench

    # --- What there is to see -----------------------------------------------------------------------------------------

    @property
    def rows(self) -> list[Row]:
        """All variables, the strongest first."""
        return sorted((self._row(name) for name in self._desks), key=lambda row: -row.iv)

    def _row(self, name: str) -> Row:
        desk = self._desks[name]
        version = desk.version
        return Row(
            name=name,
            label=desk.variable.label,
            short=label_of(self.book, name, unit=False),
            iv=version.bins.iv,
            certificate=version.bins.certificate,
            psi=version.psi,
            bins=version.bins.n_regular,
            trend=version.bins.trend,
            marks=version.marks,
            selected=self._selected_by_itself(name),
            edited=desk.edited,
            use=desk.use,
            unsaved=desk.changed,
        )

    def _selected_by_itself(self, name: str) -> str:
        selected = self._selected.get(name, "")
        if selected not in ("scorecard", "trees only"):
            return selected
        return "scorecard" if self._desks[name].version.bins.iv >= MIN_IV else f"trees only (IV below {MIN_IV:g})"

    def summary(self) -> pd.DataFrame:
        """The table of all variables for a report."""
        return pd.DataFrame(
            {
                "variable": row.label,
                "iv": row.iv,
                "certificate": bench_words.percent(row.certificate),
                "psi": row.psi,
                "bins": row.bins,
                "trend": bench_words.TRENDS[row.trend],
                "marks": ", ".join(note.text for note in row.marks),
                "selection": row.selected,
                "decided": ", ".join(filter(None, ["edited" * row.edited, f"forced {row.use}" if row.use else ""])),
            }
            for row in self.rows
        )

    def bins_table(self) -> pd.DataFrame:
        """Every bin of every variable as it stands: variable (the column's name), then the columns of side_by_side."""
        tables = {row.name: self.version(row.name).table for row in self.rows}
        return pd.concat(tables, names=["variable"]).reset_index()

    def decisions(self) -> pd.DataFrame:
        """What the file of overrides says of each variable: variable, what, by, at, reason."""
        entries = [entry for name in self._desks if (entry := self._desks[name].entry()) is not None]
        return Overrides(tuple(entries)).table()

    def look_first(self) -> list[str]:
        """A sentence for each variable of some strength whose bins change places on the test rows, strongest first."""
        rows = [row for row in self.rows if row.iv >= MIN_IV and self.version(row.name).table["reverses"].any()]
        return [f"{row.label}: {bench_words.order_in_words(self.version(row.name).table)}" for row in rows]

    def version(self, name: str = "") -> Version:
        """A variable as it stands, by default the chosen one."""
        return self._desks[name or self.chosen].version

    def over_time(self, name: str = "") -> pd.DataFrame | None:
        """Bins.table of training and test rows by period; None without dates."""
        if not self.dated:
            return None
        name, rows = name or self.chosen, self._rows
        return self.version(name).bins.table(self._columns[name][rows], self._bad[rows], by=self._periods[rows])

    @property
    def dated(self) -> bool:
        """Whether the book has dates, so that bins can be looked at over time."""
        return self._periods is not None

    @property
    def overridden(self) -> list[str]:
        """The variables that the file says something of, as far as they are on the bench."""
        return [name for name, desk in self._desks.items() if desk.saved is not None]

    @property
    def about_file(self) -> str:
        """Where overrides are kept, and how many there are."""
        place = shown_path(self.file)
        if not Path(self.file).expanduser().exists():
            return f"overrides: none yet; they are saved to {place}"
        return f"overrides: {_counted(len(self.overridden), 'variable')} in {place}"

    @property
    def first_test_period(self) -> str:
        """The period in which out-of-time test rows begin; empty when they are spread over all."""
        if not self.dated or not self.sample.endswith("out of time"):
            return ""
        return str(min(self._periods[self._test]))

    @property
    def variable(self) -> Variable:
        return self._desk.variable

    @property
    def bins(self) -> Bins:
        return self._desk.version.bins

    @property
    def loose_levels(self) -> tuple[str, ...]:
        """Levels of the chosen variable that are in no group, as bins from elsewhere may leave them."""
        held = {level for group in self.bins.groups for level in group}
        return tuple(level for level in self.variable.levels if level not in held)

    @property
    def selected(self) -> str:
        """What becomes of the chosen variable in training by itself; empty when that is not known."""
        return self._selected_by_itself(self.chosen)

    @property
    def use(self) -> str:
        """Whether the chosen variable is forced "in" or "out"; empty when neither."""
        return self._desk.use

    @property
    def reason(self) -> str:
        return self._desk.reason

    @property
    def can_undo(self) -> bool:
        return self._desk.at > 0

    @property
    def can_redo(self) -> bool:
        return self._desk.at < len(self._desk.versions) - 1

    @property
    def edited(self) -> bool:
        return self._desk.edited

    @property
    def verdict(self) -> str:
        """What the chosen binning costs, and whether its order holds on the test rows."""
        desk = self._desk
        return bench_words.verdict(desk.version.bins, desk.variable.optimum.bins, desk.edited, desk.version.table)

    @property
    def notes(self) -> list[Note]:
        """What else is to be said of the chosen binning: limits not kept, neighbours alike."""
        version, variable = self._desk.version, self._desk.variable
        broken = []
        if self.edited:
            optimum = variable.optimum.bins
            broken = bench_words.broken_limits(version.bins, variable.limits, variable.trend, optimum)
        return broken + bench_words.alike_notes(version.table)

    @property
    def row_marks(self) -> dict[int, list[Note]]:
        """Marks of the chosen variable's regular bins."""
        return bench_words.row_marks(self._desk.version.table, self.bins, self._desk.variable.limits)

    @property
    def unsaved(self) -> list[str]:
        """Variables of which the file says something else, in the order of their labels."""
        return sorted((name for name, desk in self._desks.items() if desk.changed), key=self.label)

    def label(self, name: str) -> str:
        return self._desks[name].variable.label

    def decided(self, name: str) -> str:
        """What is decided about a variable, in words."""
        entry = self._desks[name].entry()
        return "back to the optimum, not forced" if entry is None else entry.what

    def reason_of(self, name: str) -> str:
        return self._desks[name].reason.strip()

    @property
    def _desk(self) -> Desk:
        return self._desks[self.chosen]

    # --- Choosing -----------------------------------------------------------------------------------------------------

    def choose(self, name: str) -> None:
        """Look at another variable."""
        if name in self._desks and name != self.chosen:
            self.chosen, self.bin, self.errors = name, 0, {}
            self._changed()

    def choose_bin(self, number: int) -> None:
        """Look at another regular bin, counted from 0."""
        if 0 <= number < self.bins.n_regular and number != self.bin:
            self.bin = number
            self.errors = {key: text for key, text in self.errors.items() if key not in ("cut", "levels")}
            self._changed()

    # --- Editing ------------------------------------------------------------------------------------------------------

    def merge(self, first: int, last: int) -> None:
        """Merge regular bins `first` to `last` (of a category: these two groups), counted from 0."""
        self._edit("merge", lambda bins: bins.merge(first, last), lambda bins: min(first, last))

    def split(self, text: str) -> None:
        """One more cut, at a typed value."""

        def make(bins: Bins) -> Bins:
            at = bench_words.read_cut(text)
            if at in bins.cuts:
                raise ValueError(f"there is a cut at {text.strip()} already")
            return self._cut_at((*bins.cuts, at))

        self._edit("split", make, lambda bins: int(np.searchsorted(bins.cuts, bench_words.read_cut(text))))

    def move_cut(self, number: int, text: str) -> None:
        """Another value for a cut, counted from 0, between its neighbours."""

        def make(bins: Bins) -> Bins:
            at = bench_words.read_cut(text, bins.cuts)
            edges = (-np.inf, *bins.cuts, np.inf)
            if not edges[number] < at < edges[number + 2]:
                raise ValueError(_between(edges[number], edges[number + 2]))
            return self._cut_at((*bins.cuts[:number], at, *bins.cuts[number + 1 :]))

        self._edit("cut", make)

    def set_cuts(self, text: str) -> None:
        """All cuts anew, from a typed list; an empty one is one bin."""
        self._edit("cuts", lambda bins: self._cut_at(sorted(set(bench_words.read_cuts(text, bins.cuts)))))

    def move_levels(self, levels: Sequence[str], to: int | None) -> None:
        """Levels to another group, counted from 0, or (None) to a group of their own."""

        def make(bins: Bins) -> Bins:
            if not levels:
                raise ValueError("choose one or more levels")
            target = () if to is None else bins.groups[to]
            groups = [
                tuple(level for level in group if level not in levels) for group in bins.groups if group != target
            ]
            kept = tuple(level for level in target if level not in levels)
            groups = [group for group in (*groups, (*kept, *levels)) if group]
            if {frozenset(group) for group in groups} == {frozenset(group) for group in bins.groups}:
                raise ValueError(f"{bench_words.listed(levels)} {'is' if len(levels) == 1 else 'are'} there already")
            return self._grouped(groups)

        self._edit("levels", make, lambda bins: next(i for i, group in enumerate(bins.groups) if levels[0] in group))

    def set_missing(self, policy: Policy) -> None:
        """What missing values are worth: "own", "neutral", "worst", or the number of a bin, counted from 0."""
        self._edit("missing", lambda bins: bins.with_policy("missing", policy), missing=policy)

    def undo(self) -> None:
        """Take the last edit of the chosen variable back."""
        self._go_to(max(self._desk.at - 1, 0))

    def redo(self) -> None:
        """Make the edit that was undone last again."""
        self._go_to(min(self._desk.at + 1, len(self._desk.versions) - 1))

    def reset(self) -> None:
        """Back to the optimum; can be undone."""
        self._edit("reset", lambda bins: self.variable.optimum.bins, missing=None)

    def _edit(
        self,
        field: str,
        make: Callable[[Bins], Bins],
        place: Callable[[Bins], int] | None = None,
        missing: object = ...,
    ) -> None:
        """Make an edit, or say at `field` why it cannot be made; `place` is the bin to look at next."""
        desk = self._desk
        try:
            bins = make(desk.version.bins)
        except (BinningError, ValueError) as problem:
            self._say(field, str(problem).removeprefix(f"binning {self.chosen!r}: "))
            return
        given = desk.version.missing if missing is ... else missing
        if isinstance(given, int) and not isinstance(bins.missing, int):
            given = None
        desk.push(bins, bins.missing if isinstance(given, int) else given)
        self.errors, self.said = {}, ""
        self.bin = min(self.bin if place is None else place(bins), bins.n_regular - 1)
        self._changed()

    def _cut_at(self, cuts: Sequence[float]) -> Bins:
        """The chosen bins at other cuts; missing values stay with the bin that begins where theirs began."""
        before = self.bins
        bins = before.with_cuts(cuts, self.variable.values, self.variable.bad)
        if not isinstance(before.missing, int):
            return bins
        start = -np.inf if before.missing == 0 else before.cuts[before.missing - 1]
        return bins.with_policy("missing", int(np.searchsorted(bins.cuts, start, side="right")))

    def _grouped(self, groups: Sequence[Sequence[str]]) -> Bins:
        """The chosen bins of other groups; missing values stay with the first level of the group they were with."""
        before = self.bins
        bins = before.with_groups(groups, self.variable.values, self.variable.bad)
        if not isinstance(before.missing, int):
            return bins
        first = before.groups[before.missing][0]
        return bins.with_policy("missing", next(i for i, group in enumerate(bins.groups) if first in group))

    def _go_to(self, at: int) -> None:
        if at != self._desk.at:
            self._desk.at = at
            self.errors, self.said = {}, ""
            self.bin = min(self.bin, self.bins.n_regular - 1)
            self._changed()

    # --- Deciding and saving ------------------------------------------------------------------------------------------

    def force(self, use: str) -> None:
        """Force the chosen variable "in" or "out" of the scorecard; empty leaves it to selection."""
        if use != self._desk.use:
            self._desk.use, self.said = use, ""
            self._changed()

    def explain(self, reason: str) -> None:
        """Why the chosen variable is decided as it is."""
        if reason != self._desk.reason:
            self._desk.reason, self.said = reason, ""
            self.errors = {key: text for key, text in self.errors.items() if key not in ("reason", "save")}
            self._changed()

    def named(self) -> None:
        """Somebody has given a name: what was missing is there."""
        if "by" in self.errors:
            self.errors = {key: text for key, text in self.errors.items() if key != "by"}
            self._changed()

    def save(self, by: str) -> bool:
        """Write what changed to the file, and leave alone what others wrote there; True when it is written.

        Needs a name and a reason for each change. When somebody else has written one of the same variables since the
        file was read, that is said first, and a second call writes.
        """
        self.said = ""
        self.errors = {key: text for key, text in self.errors.items() if key not in ("by", "reason", "save")}
        changed = self.unsaved
        mistakes = self._missing_from(changed, by)
        try:
            found = self._read()
        except CreditRiskError as problem:
            mistakes["save"] = str(problem)
            found = Overrides()
        mistakes = mistakes or self._written_by_others(changed, found)
        if mistakes:
            self.errors = self.errors | mistakes
            self._changed()
            return False
        at = utc_now()
        entries = {name: self._desks[name].entry(by.strip(), at) for name in changed}
        merged = replace(found, portfolio=self.book.name)
        for name, entry in entries.items():
            merged = merged.without(name) if entry is None else merged.with_(entry)
        try:
            Path(self.file).expanduser().parent.mkdir(parents=True, exist_ok=True)
            merged.write(self.file)
        except (CreditRiskError, OSError) as problem:
            self._say("save", str(problem))
            return False
        for name, entry in entries.items():
            self._desks[name].written(entry)
        self.errors = {}
        self.said = f"Saved to {shown_path(self.file)}: {_counted(len(changed), 'change')}, {len(merged)} in the file."
        self._changed()
        return True

    def _missing_from(self, changed: Sequence[str], by: str) -> dict[str, str]:
        """What saving lacks."""
        mistakes = {}
        if not changed:
            mistakes["save"] = "there is nothing to save: the file says what is shown here"
        if changed and not by.strip():
            mistakes["by"] = "needed: who makes these changes"
        silent = [n for n in changed if not self.reason_of(n) and self._desks[n].entry() is not None]
        if self.chosen in silent:
            mistakes["reason"] = f"needed: why {self.label(self.chosen)} is changed"
        if others := [self.label(name) for name in silent if name != self.chosen]:
            mistakes["save"] = f"a reason is needed for {bench_words.listed(others)}: choose each and give one"
        return mistakes

    def _written_by_others(self, changed: Sequence[str], found: Overrides) -> dict[str, str]:
        """What the file has got since it was read, of the variables to be written; said once."""
        news = [name for name in changed if found.get(name) != self._desks[name].saved]
        again = tuple(found.get(name) for name in news)
        if not news or again == self._conflict:
            return {}
        self._conflict = again
        told = [_news(self.label(name), found.get(name)) for name in news]
        return {"save": f"{' '.join(told)} Save again to replace this."}

    def _read(self) -> Overrides:
        """What the file says now; nothing when there is no file yet."""
        if "://" in self.file:
            raise OverridesError(f"{self.file}: the bench cannot write to an address; give a file on this computer")
        if not Path(self.file).expanduser().exists():
            return Overrides(portfolio=self.book.name)
        return Overrides.read(self.file, self.book)

    def _say(self, field: str, what: str) -> None:
        self.errors = {**self.errors, field: what}
        self._changed()

    def _changed(self) -> None:
        self.revision += 1


def label_of(book: Portfolio, name: str, unit: bool = True) -> str:
    """The label that people read, with its unit."""
    column = book.columns[name]
    label = column.label or name.replace("_", " ").capitalize()
    return f"{label} ({column.unit})" if column.unit and unit else label


def periods_of(dates: pd.Series) -> np.ndarray:
    """Months as text (n,), or quarters or years where there would be too many."""
    for kind, most in (("M", MOST_MONTHS), ("Q", MOST_QUARTERS), ("Y", np.inf)):
        periods = dates.dt.to_period(kind)
        if periods.nunique() <= most:
            break
    return periods.astype(str).to_numpy(dtype=object)


def _between(low: float, high: float) -> str:
    ends = [f"above {bench_words.cut_in_words(low)}"] if np.isfinite(low) else []
    ends += [f"below {bench_words.cut_in_words(high)}"] if np.isfinite(high) else []
    return f"the neighbouring cuts allow a number {' and '.join(ends)}"


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


def _news(label: str, entry: Override | None) -> str:
    if entry is None:
        return f"{label} was taken out of the file since it was read here."
    who = f" by {entry.by}" if entry.by else ""
    return f"{label} was written{who} since the file was read here ({entry.what})."
