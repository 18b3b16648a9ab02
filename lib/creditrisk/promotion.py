"""Promotion: a person makes a model version the champion, once it has shown that it is fit and no worse.

What is asked: its recorded release gate; and, on rows that neither it nor the present champion was trained on, an AUC
that is not lower by more than a margin (paired DeLong), a release gate that does not fail, and a log-loss that is not
significantly higher. A person may go on all the same, with a reason, which is recorded with what was overridden.
"""

from __future__ import annotations

import datetime as dt
import getpass
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from math import ceil, isfinite, sqrt

import numpy as np
import pandas as pd

from creditrisk.data.source import load_tables
from creditrisk.data.tables import Book, prepare_book, read_tables, to_columns
from creditrisk.errors import ArtifactError, CreditRiskError, DataError, LogError, ParameterError
from creditrisk.modelling.gates import TOO_FEW, Gate, release_gate
from creditrisk.modelling.inference import auc_difference, z_of
from creditrisk.modelling.metrics import EDGE, auc
from creditrisk.modelling.train import Split, split_book
from creditrisk.modelling.validation import (
    fingerprint,
    not_comparable,
    other_version,
    rebuilt,
    recorded,
    seen_before,
)
from creditrisk.recalibration import judged_again
from creditrisk.serving.log import PredictionLog
from creditrisk.serving.model import CHAMPION, ModelData, load_model, read_manifest, resolve, set_champion
from creditrisk.settings import settings

AUC_MARGIN = 0.005
"""AUC that a new champion may lack. Half of what validation calls a failure (0.01): so little is within what the next
sample of loans moves an AUC by, and a model that is simpler or better calibrated may be worth it."""
LOSS_MARGIN = 0.001
"""Log-loss per loan by which a new champion may be worse: half a percent of the 0.2 or so of a book with 8% bads."""
LEVEL = 0.90
"""Of two-sided intervals: either end alone is a one-sided bound at 95%."""
EMBEDDED_ROWS = 50_000
"""Size of the embedded book where a model file does not say it."""


class PromotionRefused(CreditRiskError):
    """A model is not fit to be champion: one reason a line, with figures."""


@dataclass(frozen=True)
class Evidence:
    """The candidate against the champion on the same rows: `what` they are, and their fingerprint.

    `difference` is AUC of the candidate less that of the champion, `difference_low` its one-sided lower bound at 95%.
    `loss_difference` is log-loss of the candidate less that of the champion, per loan, with its lower bound. None is
    unknown.
    """

    what: str
    rows: int
    bads: int
    sha256: str
    auc: float | None
    champion_auc: float | None
    difference: float | None
    difference_low: float | None
    log_loss: float | None
    champion_log_loss: float | None
    loss_difference: float | None
    loss_difference_low: float | None
    gate: Gate

    def lines(self, version: str, champion: str) -> list[str]:
        """In words, as lines."""
        return [
            f"judged on {self.what}: {self.rows:,} rows, {self.bads:,} bads",
            f"AUC {_shown(self.auc)}, {champion} {_shown(self.champion_auc)}: difference "
            f"{_shown(self.difference, '+.4f')}, at least {_shown(self.difference_low, '+.4f')} (one-sided 95%, paired "
            f"DeLong; asked is more than {-AUC_MARGIN:g})",
            f"log-loss {_shown(self.log_loss)}, {champion} {_shown(self.champion_log_loss)}: difference "
            f"{_shown(self.loss_difference, '+.5f')}, at least {_shown(self.loss_difference_low, '+.5f')} (one-sided "
            f"95%, paired; asked is at most {LOSS_MARGIN:g})",
            f"release gate of {version} on these rows: {self.gate}",
        ]

    def to_dict(self) -> dict:
        """Plain data."""
        return asdict(self) | {"gate": self.gate.to_dict()}


@dataclass(frozen=True)
class Promotion:
    """What a promotion did. `changed` is false when the version was the champion before.

    `before` is the champion it took the place of, None without one; `overridden` are the reasons against it that a
    person overrode; `notes` what else is to be known; `warnings` what went wrong beside it.
    """

    version: str
    sha256: str
    before: str | None
    before_sha256: str | None
    at: str
    by: str
    reason: str
    overridden: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    evidence: Evidence | None = None
    changed: bool = True
    warnings: tuple[str, ...] = ()

    @property
    def forced(self) -> bool:
        """Whether anything stood against it."""
        return bool(self.overridden)

    def lines(self) -> list[str]:
        """In words, as lines."""
        if not self.changed:
            return [f"{self.version} is the champion already; nothing was changed"]
        place = f"in place of {self.before}" if self.before else "where there was none"
        told = [f"{self.version} is the champion, {place}; promoted by {self.by} at {self.at}"]
        told += [f"reason: {self.reason}"] if self.reason else []
        told += [f"overridden: {one}" for one in self.overridden]
        told += [] if self.evidence is None else self.evidence.lines(self.version, self.before or "")
        return told + [f"note: {one}" for one in self.notes]

    def to_dict(self) -> dict:
        """What the manifest keeps, plain data."""
        kept = {name: getattr(self, name) for name in ("version", "sha256", "before", "before_sha256", "at", "by")}
        return kept | {
            "reason": self.reason,
            "forced": self.forced,
            "overridden": list(self.overridden),
            "notes": list(self.notes),
            "evidence": None if self.evidence is None else self.evidence.to_dict(),
        }


def promote(
    name: str,
    *,
    by: str = "",
    reason: str = "",
    force: bool = False,
    data: str = "",
    as_of: str = "",
    artifacts: str = "",
    mirror: bool = True,
) -> Promotion:
    """Make a version the champion; the champion before becomes the challenger.

    `by` is who does it, else the login name. It is held against the champion on the test rows of its own training run,
    made again as its file says (`as_of` instead of the day that it names), or on the loans of `data`, a folder or URL
    with outcomes read on `as_of`. With `force`, which needs a reason, it is promoted whatever speaks against it. The
    MLflow registry is told, unless `mirror` is false; failing that is a warning. Raises PromotionRefused, one reason a
    line; ArtifactError when the model cannot be loaded; DataError when `data` cannot be read; ParameterError when
    nobody is named, no reason is given, or `as_of` is no date.
    """
    who, reason = " ".join(by.split()) or _login(), " ".join(reason.split())
    _require_date(as_of)
    if force and not reason:
        raise ParameterError("--force needs --reason: it is recorded with your name, and with what you override")
    manifest = read_manifest(artifacts)
    version, before = resolve(name, manifest), manifest["aliases"].get(CHAMPION)
    sha256 = manifest["models"][version]["sha256"]
    former = manifest["models"].get(before, {}).get("sha256") if before else None
    at = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    done = Promotion(version, sha256, before, former, at, who, reason)
    if version == before:
        return replace(done, changed=False)
    candidate = load_model(version, artifacts)
    against, notes, evidence = examine(candidate, before, data=data, as_of=as_of, artifacts=artifacts)
    if against and not force:
        raise PromotionRefused("\n".join([*against, "not promoted; --force --reason TEXT overrides this, on record"]))
    if force and not against:
        notes.append("nothing had to be overridden")
    done = replace(done, overridden=tuple(against), notes=tuple(notes), evidence=evidence)
    aliases = set_champion(done.to_dict(), artifacts)
    return replace(done, warnings=_mirrored(done, candidate, aliases, manifest) if mirror else ())


def examine(
    candidate: ModelData, before: str | None, *, data: str = "", as_of: str = "", artifacts: str = ""
) -> tuple[list[str], list[str], Evidence | None]:
    """What promotion asks of a version, and nothing done: reasons against it, what is to be known, and the evidence.

    `before` is the champion that it is held against, None without one; `data` and `as_of` as in `promote`.
    """
    against, notes = _of_gate(candidate, "release gate, as recorded in training")
    if before is None:
        return against, [*notes, "there was no champion to hold it against: only its own release gate was asked"], None
    evidence, more, said = _against_champion(candidate, before, data, as_of, artifacts)
    return against + more, notes + said, evidence


def version_to_compare(model: ModelData, wanted: str = "", artifacts: str = "") -> tuple[ModelData | None, str]:
    """The version to hold a model against on its test rows, and why there is none, or why that one may know them.

    It is the one `wanted`, version or alias, else one of the same training run: the champion or challenger where it is
    of that run, else another. Raises ArtifactError when the one wanted is not there or cannot be loaded.
    """
    manifest, passed = read_manifest(artifacts), []
    while name := other_version(model.version, wanted, manifest):
        try:
            other = load_model(name, artifacts)
            why_not = not_comparable(model.training, other.training)
        except ArtifactError:
            if wanted:
                raise
            why_not = "it cannot be loaded"
        if wanted or not why_not:
            return other, why_not
        passed.append(name)
        manifest = manifest | {
            "aliases": {alias: version for alias, version in manifest["aliases"].items() if version != name},
            "models": {version: one for version, one in manifest["models"].items() if version != name},
        }
    if not passed:
        return None, "there is no other version"
    return None, f"no other version of the same training run can be loaded; {', '.join(passed)} may know these rows"


def _login() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container without a user of that number
        raise ParameterError("nobody is logged in here by name; say who promotes, with --by NAME") from None


def _require_date(as_of: str) -> None:
    try:
        dt.date.fromisoformat(as_of or "2000-01-01")
    except ValueError:
        raise ParameterError(f"as_of is {as_of!r}, which is not a date; write it as YYYY-MM-DD") from None


def _mirrored(done: Promotion, candidate: ModelData, aliases: Mapping[str, str], manifest: Mapping) -> tuple[str, ...]:
    from creditrisk.modelling.tracking import mirror_promotion  # MLflow is slow to import

    runs = {alias: (version, manifest["models"][version]["run"]) for alias, version in aliases.items()}
    tags = {"promoted_by": done.by, "promoted_at": done.at, "forced": str(done.forced).lower()}
    warning = mirror_promotion(candidate.portfolio.name, runs, tags)
    return (warning,) if warning else ()


# --- What speaks against it -------------------------------------------------------------------------------------------


def _of_gate(candidate: ModelData, what: str, gate: Gate | None = None) -> tuple[list[str], list[str]]:
    """Reasons against a model by its release gate, and what is to be known. Too few defaults are no reason."""
    gate = gate or candidate.gate
    if gate is None:
        return [f"{candidate.version} has no {what}: train it anew"], []
    if gate.failed:
        return [f"{candidate.version} fails its {what}: {'; '.join(gate.reasons)}"], []
    return [], [f"{what}: {gate}"] if gate.status == TOO_FEW else []


def _against_champion(
    candidate: ModelData, before: str, data: str, as_of: str, artifacts: str
) -> tuple[Evidence | None, list[str], list[str]]:
    """Evidence on rows that neither was trained on, reasons against the candidate, and what is to be known."""
    try:
        champion = load_model(before, artifacts)
    except ArtifactError as problem:
        return None, [f"the champion {before} cannot be held against it: {problem}"], []
    if champion.portfolio.name != candidate.portfolio.name:
        other = f"{before} is of portfolio {champion.portfolio.name}, {candidate.version} of {candidate.portfolio.name}"
        return None, [f"they cannot be compared: {other}; a folder holds the models of one portfolio"], []
    sample = prepare_book(read_tables(data, candidate.portfolio), candidate.portfolio, as_of) if data else None
    try:
        if sample is None and "recalibration" in candidate.training:
            rows = _logged_rows(candidate, champion)
        else:
            rows = _fresh_rows(candidate, champion, sample) if sample else _test_rows(candidate, champion, as_of)
        evidence = compare(candidate, champion, rows)
    except (DataError, LogError, OSError) as problem:
        way = "" if data else "; give loans that neither knows, with --data FOLDER"
        return None, [f"{candidate.version} cannot be held against {before}: {problem}{way}"], []
    against, notes = judge(evidence, candidate, before)
    return evidence, against, [*rows.notes, *notes]


def judge(evidence: Evidence, candidate: ModelData, champion: str) -> tuple[list[str], list[str]]:
    """Reasons against the candidate, and what is to be known, each with its figures."""
    against, notes = _of_gate(candidate, "release gate on the rows it was compared on", evidence.gate)
    if evidence.difference_low is None:
        against.append(
            f"AUC cannot be compared: {evidence.bads:,} bads and {evidence.rows - evidence.bads:,} goods; two of each "
            "are the least"
        )
    elif not evidence.difference_low > -AUC_MARGIN:
        told = f"{evidence.auc:.4f} against {evidence.champion_auc:.4f} of {champion}"
        bound = f"the difference of {evidence.difference:+.4f} may be as low as {evidence.difference_low:+.4f}"
        asked = f"(one-sided 95%, paired DeLong), and more than {-AUC_MARGIN:g} is asked"
        more = _bads_needed(evidence)
        against.append(f"AUC is not shown to be no worse: {told}; {bound} {asked}{more}")
    if evidence.loss_difference_low is not None and evidence.loss_difference_low > LOSS_MARGIN:
        against.append(
            f"log-loss is significantly worse: {evidence.log_loss:.4f} against {evidence.champion_log_loss:.4f} of "
            f"{champion}; the difference of {evidence.loss_difference:+.5f} is at least "
            f"{evidence.loss_difference_low:+.5f} (one-sided 95%, paired), and at most {LOSS_MARGIN:g} is allowed"
        )
    return against, notes


def _bads_needed(evidence: Evidence) -> str:
    """How many bads would let this difference pass, where more of them could: the error shrinks with their root."""
    room = evidence.difference + AUC_MARGIN
    if room <= 0:
        return ""
    needed = ceil(evidence.bads * ((evidence.difference - evidence.difference_low) / room) ** 2)
    return f"; {evidence.bads:,} bads are too few to show it, and about {needed:,} would do for this difference"


def compare(candidate: ModelData, champion: ModelData, rows: Rows) -> Evidence:
    """Both models' PDs, point-in-time, against the outcomes of the same rows. Raises DataError without an input."""
    bad = rows.bad
    pds = [_pds_of(one, rows) for one in (candidate, champion)]
    gap, _ = auc_difference(bad, pds[0], pds[1], LEVEL)
    losses = [_losses(bad, one) for one in pds]
    more = losses[0] - losses[1]
    error = z_of(LEVEL) * float(np.std(more, ddof=1)) / sqrt(len(bad)) if len(bad) > 1 else float("nan")
    columns = rows.features or to_columns(rows.frame, list(candidate.portfolio.inputs), candidate.portfolio)
    return Evidence(
        rows.what,
        len(bad),
        int(bad.sum()),
        fingerprint(columns, bad),
        *(_finite(auc(bad, one)) for one in pds),
        *map(_finite, (gap.value, gap.low)),
        *(_finite(one.mean()) for one in losses),
        *map(_finite, (more.mean(), more.mean() - error)),
        release_gate(bad, pds[0]),
    )


def _pds_of(model: ModelData, rows: Rows) -> np.ndarray:
    """Point-in-time PDs of the rows that judge, float64 (n,)."""
    return _pds(model, rows.frame) if rows.features is None else model.model.point_in_time.pd(rows.features)


def _pds(model: ModelData, frame: pd.DataFrame) -> np.ndarray:
    """Point-in-time PDs of rows as of applications, float64 (n,)."""
    inputs = model.portfolio.inputs
    if lacking := [name for name in inputs if name not in frame.columns]:
        raise DataError(f"{model.version} is asked for {', '.join(lacking)}, which these rows do not hold")
    return model.model.point_in_time.pd(model.columns(to_columns(frame, list(inputs), model.portfolio)))


def _losses(bad: np.ndarray, pds: np.ndarray) -> np.ndarray:
    """Log-loss of each row, float64 (n,)."""
    clipped = np.clip(pds, EDGE, 1 - EDGE)
    return -np.where(bad == 1, np.log(clipped), np.log1p(-clipped))


def _finite(value: float) -> float | None:
    return float(value) if isfinite(value) else None


def _shown(value: float | None, form: str = ".4f") -> str:
    return "?" if value is None else f"{value:{form}}"


# --- The rows that judge ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rows:
    """Rows that judge: `what` they are, inputs by column (n,), outcomes 0/1 (n,), and what is to be known of them.

    Logged predictions have no inputs here but `features` by column (n,), as the model has read them.
    """

    what: str
    frame: pd.DataFrame
    bad: np.ndarray
    notes: tuple[str, ...] = ()
    features: dict[str, np.ndarray] | None = None


def rebuild(model: ModelData, as_of: str = "") -> tuple[Book, Split]:
    """The book and the split that a model was trained on, made again from what its file says.

    Raises DataError when the tables are gone, or when they do not give the same rows and test AUC.
    """
    said = recorded(model.training)
    tables, _ = load_tables(said.data, model.portfolio, rows=said.rows or EMBEDDED_ROWS, seed=said.seed)
    book = prepare_book(tables, model.portfolio, as_of or said.as_of)
    split = split_book(book, said.split, said.seed)
    parts = {part: len(getattr(split, part)) for part in said.parts}
    area = auc(book.bad[split.test], _pds(model, book.frame.iloc[split.test]))
    rebuilt(parts, said, area, model.metrics["test"]["auc"])
    return book, split


def _trained_on(model: ModelData, as_of: str = "") -> pd.DataFrame:
    """The rows a model was developed on: all but the test rows."""
    book, split = rebuild(model, as_of)
    return book.frame.drop(index=split.test)


def _test_rows(candidate: ModelData, champion: ModelData, as_of: str) -> Rows:
    """The candidate's test rows without those that the champion was trained on."""
    book, split = rebuild(candidate, as_of)
    frame, bad = book.frame.iloc[split.test], book.bad[split.test]
    what = f"the test rows of {candidate.version}, {split.description}"
    if not not_comparable(candidate.training, champion.training):
        return Rows(f"{what}, which {champion.version} of the same run has not seen either", frame, bad)
    try:
        developed = _trained_on(champion)
    except (DataError, OSError) as problem:
        later = _younger(frame, champion)
        if len(set(bad[later])) < 2:
            raise DataError(
                f"the rows that {champion.version} was trained on, in another run, cannot be made again, so it may "
                f"know those that would judge it: {problem}"
            ) from None
        notes = (f"the rows that {champion.version} was trained on cannot be made again: {problem}",)
        told = f", of these only the {int(later.sum()):,} too young to have been among those of {champion.version}"
        return _both_classes(f"{what}{told}", frame, bad, later, notes)
    known = _known(frame, developed, book)
    return _both_classes(f"{what}{_left_out({champion.version: known})}", frame, bad, ~known)


def _younger(frame: pd.DataFrame, champion: ModelData) -> np.ndarray:
    """Rows whose performance window was not over when the champion's training run read outcomes, bool (n,).

    It set such rows aside, whatever tables it read. None without dates or a window.
    """
    target, read_on = champion.portfolio.target, pd.Timestamp(recorded(champion.training).as_of)
    if not target.observation_date or not target.performance_months:
        return np.zeros(len(frame), dtype=bool)
    matured = frame[target.observation_date] + pd.DateOffset(months=target.performance_months)
    return (matured > read_on).to_numpy()


def _fresh_rows(candidate: ModelData, champion: ModelData, sample: Book) -> Rows:
    """The rows of a new sample that neither model was trained on, as far as that can be known."""
    new, notes, seen = np.ones(len(sample.bad), dtype=bool), [], {}
    for model in (candidate, champion):
        try:
            known = _known(sample.frame, _trained_on(model), sample)
        except (DataError, OSError) as problem:
            notes.append(f"whether {model.version} was trained on some of these loans is not known: {problem}")
            continue
        new &= ~known
        seen[model.version] = known
    return _both_classes(f"a new sample{_left_out(seen)}", sample.frame, sample.bad, new, tuple(notes))


def _logged_rows(candidate: ModelData, champion: ModelData) -> Rows:
    """The later part of the matured predictions that a version was recalibrated on: it was not fitted to them."""
    log = PredictionLog(settings().log_url)
    try:
        log.check_schema()
        found, notes = judged_again(candidate, champion, log)
    finally:
        log.close()
    what = f"the matured predictions that {candidate.version} was judged on, from {found.span}"
    return Rows(what, pd.DataFrame(), found.bad, tuple(notes), found.columns)


def _left_out(seen: Mapping[str, np.ndarray]) -> str:
    """In words, which rows are left out, because a model was trained on them; bool (n,) by version."""
    if not seen:
        return ""
    left = [f"{int(rows.sum()):,} that {version} was trained on" for version, rows in seen.items() if rows.any()]
    if left:
        return f", without {' and '.join(left)}"
    return f", none of which {' or '.join(seen)} was trained on"


def _known(frame: pd.DataFrame, developed: pd.DataFrame, book: Book) -> np.ndarray:
    """Rows with the key, inputs and date of one that a model was developed on, bool (n,)."""
    portfolio = book.portfolio
    names = (portfolio.tables[portfolio.base].key, *portfolio.candidates, portfolio.target.observation_date)
    return seen_before(frame, developed, [name for name in names if name and name in developed.columns])


def _both_classes(
    what: str, frame: pd.DataFrame, bad: np.ndarray, kept: np.ndarray, notes: tuple[str, ...] = ()
) -> Rows:
    if len(set(bad[kept])) < 2:
        raise DataError(f"{int(kept.sum()):,} of {len(bad):,} rows are left of {what}, and not both goods and bads")
    return Rows(what, frame[kept], bad[kept], notes)
