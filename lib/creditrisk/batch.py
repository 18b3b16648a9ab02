"""Files and windows as the scoring and drift notebooks handle them: read, log, check once, store."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import fsspec
import pandas as pd

from creditrisk.data import tables
from creditrisk.data.portfolio import Portfolio
from creditrisk.data.sample import make_applications
from creditrisk.data.source import EMBEDDED
from creditrisk.data.tables import Applications, Book, check_applications, read_file, whole_as_such
from creditrisk.errors import DataError, LogError, ParameterError
from creditrisk.monitoring.alerts import consider_outcomes, open_alerts
from creditrisk.monitoring.checks import check_scored, report_record, results_of, store_file_check
from creditrisk.monitoring.drift import AMBER, RED, Baseline, DriftReport, compare
from creditrisk.monitoring.outcomes import OutcomeReport
from creditrisk.runs import RunFolder
from creditrisk.serving.log import PredictionLog, migrate
from creditrisk.serving.model import ModelData
from creditrisk.serving.policy import Policy, policy_in_force
from creditrisk.serving.scored import Scored
from creditrisk.serving.scorer import Scorer, decided_table, file_records
from creditrisk.serving.stream import BEFORE_OTHERWISE, log_states
from creditrisk.settings import settings


@dataclass(frozen=True)
class Delivered:
    """A file as delivered: its values, its name for messages, and the hash of its content."""

    frame: pd.DataFrame
    name: str
    sha256: str


@dataclass(frozen=True)
class Logged:
    """What logging a file did: predictions added, predictions already there, and the check of the file.

    By scored row: `prediction_ids`, under which the log holds its prediction, and `states`, how it came there: ADDED
    now, BEFORE, or BEFORE_OTHERWISE, of other inputs than those of the row. `policy` is what decided.
    """

    new: int
    known: int
    report: DriftReport
    prediction_ids: tuple[str, ...]
    states: tuple[str, ...]
    policy: Policy

    @property
    def changed(self) -> int:
        """Predictions already there that were made of other inputs than those of the row."""
        return self.states.count(BEFORE_OTHERWISE)


@dataclass(frozen=True)
class Window:
    """Some predictions and where they came from; `inputs` are their inputs, one row each, `rows` log rows, if any."""

    key: str
    description: str
    inputs: pd.DataFrame
    scored: Scored | None
    rows: list[dict] | None
    rejected: pd.DataFrame

    def compared(self, data: ModelData, baseline: Baseline | None = None) -> DriftReport:
        """The window held against the model's baseline, or another one of it."""
        return compare(baseline or Baseline.from_dict(data.baseline), *self.results)

    @property
    def results(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Features before encoding, and scores, of its rows."""
        if self.scored is not None:
            return pd.DataFrame(self.scored.features), results_of(self.scored.pd, self.scored.score)
        features = pd.DataFrame([row["features"] for row in self.rows])
        return features, results_of([row["pd"] for row in self.rows], [row["score"] for row in self.rows])


def _window_of_file(data: ModelData, path: str) -> Window:
    delivered = read_applications(path, data.portfolio)
    checked = check_applications(delivered.frame, data.portfolio, delivered.name)
    text = f"{len(checked.frame):,} of {checked.received:,} rows of {delivered.name}"
    if len(checked.frame) < checked.received:
        text += "; the others were rejected"
    frame = checked.frame.reset_index(drop=True)
    scored = Scorer(data).score_frame(frame)
    return Window(f"file-{delivered.sha256[:16]}", text, frame, scored, None, checked.rejected)


def _window_of_log(data: ModelData, key: str, text: str, rows: list[dict]) -> Window:
    names = {wire: name for name, wire in data.portfolio.wire_names.items()}
    inputs = pd.DataFrame([row["inputs"] or {} for row in rows]).rename(columns=names)
    return Window(key, text, inputs, None, rows, pd.DataFrame())


def open_log() -> PredictionLog:
    """The prediction log of the settings, created or migrated first."""
    url = settings().log_url
    migrate(url)
    return PredictionLog(url, settings().drift_period)


def read_applications(path: str, book: Portfolio) -> Delivered:
    """A file of applications, or the embedded ones when `path` is empty."""
    if path:
        fs, root = fsspec.core.url_to_fs(path)
        frame = read_file(path)
        return Delivered(frame, Path(root).name, hashlib.sha256(fs.cat_file(root)).hexdigest())
    if book.name != EMBEDDED:
        raise DataError(
            f"applications is empty, and the embedded ones fit {EMBEDDED!r} only, not {book.name!r}; give a file"
        )
    frame = make_applications()
    content = pd.util.hash_pandas_object(frame, index=False).to_numpy().tobytes()
    return Delivered(frame, "embedded applications", hashlib.sha256(content).hexdigest())


def write_scored(table: pd.DataFrame, output: str, run: RunFolder) -> Path:
    """Write the scored table to `output` (.csv or .parquet), or to scored.parquet in the run folder."""
    target = Path(output) if output else run.file("scored.parquet")
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.suffix.lower() == ".csv":
        whole_as_such(table).to_csv(target, index=False)
    else:
        table.to_parquet(target, index=False)
    return target


def stop_if_too_many_rejected(checked: Applications | Book, book: Portfolio, run: RunFolder) -> None:
    """Raise DataError when more rows are rejected than the portfolio's `max_reject_share` allows.

    The message names the whole path of the run's rejected rows, which are there already.
    """
    where = str(run.file("rejected.parquet").resolve())
    tables.stop_if_too_many_rejected(checked.rejected, checked.rejected_rows, checked.received, book, where)


def rejections_in_words(book: Book) -> str:
    """How many rules were broken by how many rows; the table of rejections counts the former."""
    broken, rows = len(book.rejected), book.rejected_rows
    if not broken:
        return "No row was rejected."
    rules, them = "rule" if broken == 1 else "rules", "row" if rows == 1 else "rows"
    told = f"{broken:,} {rules} broken by {rows:,} rejected {them} of {book.portfolio.base}."
    return told if broken == rows else f"{told} Counts below are of broken rules: one row may break several."


def log_file(
    scorer: Scorer, checked: Applications, scored: Scored, run: str, file_sha256: str, policy: Policy | None = None
) -> Logged:
    """Log a scored file in one transaction and check it once, as a whole, against the model's baseline.

    Predictions are logged with the decision of `policy`, by default the one in force.
    """
    policy = policy or policy_in_force(scorer.data)
    records = file_records(scorer, checked, scored, run=run, file_sha256=file_sha256, policy=policy)
    report = check_scored(scorer.data, scored)
    log = open_log()
    try:
        added = log.append(records)
        if len(scored):
            store_file_check(log, scorer.data, file_sha256, report)
    finally:
        log.close()
    new = sum(added.inserted)
    return Logged(new, len(added.inserted) - new, report, tuple(added.prediction_ids), tuple(log_states(added)), policy)


def with_decisions(table: pd.DataFrame, scored: Scored, policy: Policy, logged: Logged | None = None) -> pd.DataFrame:
    """A scored table with the policy's decision on each row beside its figures, before the reasons.

    Columns: decision, policy; and for a logged file prediction_id, under which the log holds the prediction, and
    logged: "added" now; "before", when this model had scored the application already; or "before, other inputs", when
    it had scored it with others: the log's prediction, which stands, is then not the one in the file.
    """
    stored = (logged.prediction_ids, logged.states) if logged is not None else ()
    return decided_table(table, scored, policy, *stored)


def current_window(data: ModelData, window: int, path: str) -> Window:
    """The last predictions of a model in the log, or the accepted rows of a file.

    Raises LogError when the model has made no prediction yet.
    """
    if path:
        return _window_of_file(data, path)
    log = open_log()
    try:
        rows = log.window(data.version, data.sha256, window, purposes=("production", "file"))
    finally:
        log.close()
    if not rows:
        raise LogError(
            f"model {data.version} has no prediction in the log yet; run `creditrisk score`, call the API, "
            "or give a file with -p current FILE"
        )
    text = f"logged from {rows[0]['created_at']:%Y-%m-%d %H:%M} to {rows[-1]['created_at']:%Y-%m-%d %H:%M} UTC"
    if len(rows) < window:
        text += f"; the log holds {len(rows):,} predictions of this model, fewer than the window of {window:,}"
    key = f"predictions-{rows[0]['id']}-{rows[-1]['id']}"
    return _window_of_log(data, key, text, rows)


FIRST = "first:"


def named_sample(data: ModelData, reference: str, taken: Window | None = None) -> Window | None:
    """The applicants that a window is held against; None for an empty `reference`: then it is the training rows.

    Applicants differ from booked loans without any drift, so a sample of those who came through the door may serve
    better: `reference` is "first:N" for the model's first N production applications, or a file of applications. Raises
    LogError when the log has fewer of them, ParameterError when the window `taken` is partly the same rows.
    """
    if not reference:
        return None
    if not reference.startswith(FIRST):
        return _window_of_file(data, reference)
    n = int(reference.removeprefix(FIRST))
    log = open_log()
    try:
        rows = log.production(data.version, data.sha256, 1, n)
    finally:
        log.close()
    if len(rows) < n:
        raise LogError(
            f"the log holds {len(rows):,} of the first {n:,} production applications of model {data.version}"
        )
    if taken is not None and taken.rows and taken.rows[0]["id"] <= rows[-1]["id"]:
        raise ParameterError(
            f"the window begins at prediction {taken.rows[0]['id']:,}, the first {n:,} applications end at "
            f"{rows[-1]['id']:,}: rows would be compared with themselves; take a smaller window or reference"
        )
    return _window_of_log(data, reference, f"the first {n:,} production applications", rows)


def baseline_of(data: ModelData, sample: Window | None) -> Baseline:
    """The baseline that a sample of applicants makes; without one it is the model's own."""
    own = Baseline.from_dict(data.baseline)
    if sample is None:
        return own
    optional = [column.name for column in own.columns if column.optional]
    return Baseline.fit(*sample.results, optional, sample.description)


def by_segment(data: ModelData, taken: Window, sample: Window | None, segment: str) -> pd.DataFrame:
    """Drift of each level of an input against the same level of the sample: level, rows, before, status, verdict.

    Raises ParameterError without a sample, since the model file has no baseline of a part of the training rows, and
    for what is no input with levels.
    """
    levels = [name for name, column in data.portfolio.inputs.items() if column.kind == "category"]
    if segment not in levels:
        raise ParameterError(f"segment={segment!r} is no input with levels; use one of {', '.join(levels)}")
    if sample is None:
        raise ParameterError("a segment is compared with the same one of applicants before; add -p reference first:N")
    told, optional = [], [c.name for c in Baseline.from_dict(data.baseline).columns if c.optional]
    both = [(window.inputs.get(segment, pd.Series(dtype="object")), window.results) for window in (taken, sample)]
    for level in sorted(set().union(*(values.dropna() for values, _ in both))):
        now, before = (tuple(one[values.to_numpy() == level] for one in results) for values, results in both)
        report = compare(Baseline.fit(*before, optional), *now)
        told.append((level, report.rows, report.baseline_rows, report.status, report.verdict))
    return pd.DataFrame(told, columns=["level", "rows", "before", "status", "verdict"])


def automatic_checks(data: ModelData, last: int = 200) -> pd.DataFrame:
    """The model's last automatic checks, oldest first: when, bucket, n, status, flagged, alarm, worst (column: PSI).

    A check is an alarm when it and the one before are flagged. Empty where there is no log or no check yet.
    """
    log = open_log()
    try:
        rows = log.reports(last, model_version=data.version, model_sha256=data.sha256, trigger="automatic")
    finally:
        log.close()
    told = []
    for row in rows:
        worst = DriftReport.from_dict(row["report"]).worst_first[0]
        told.append(
            {
                "when": row["created_at"],
                "bucket": int(row["window_key"].removeprefix("bucket-")),
                "n": row["n"],
                "status": row["status"],
                "flagged": row["status"] in (AMBER, RED),
                "worst": worst.column,
                "psi_adjusted": worst.psi_adjusted,
            }
        )
    names = ["when", "bucket", "n", "status", "flagged", "worst", "psi_adjusted"]
    table = pd.DataFrame(told, columns=names).sort_values("bucket", ignore_index=True)
    follows = table["bucket"].diff() == 1
    table["alarm"] = table["flagged"].astype(bool) & table["flagged"].shift(fill_value=False).astype(bool) & follows
    return table


def keep_outcomes(report: OutcomeReport) -> int:
    """Store a report on outcomes, the same window once, and tell whoever is to be told of a change. Returns its id."""
    rules = report.rules
    parts = (f"{rules.as_of:%Y-%m-%d}", rules.by, f"{rules.months} months", f"{rules.complete:g} known", report.segment)
    n = report.pooled.n if report.pooled else 0
    log = open_log()
    try:
        stored = log.store_outcome_report(
            report.model_version,
            report.model_sha256,
            ", ".join(filter(None, parts)),
            report.verdict,
            n,
            report.to_dict(),
        )
        if (alerts := open_alerts(log, settings())) is not None:
            consider_outcomes(alerts, report)
    finally:
        log.close()
    return stored


def store_window(data: ModelData, report: DriftReport, taken: Window) -> int:
    """Keep the report in `drift_reports`; the same window again is the same row. Returns its id."""
    log = open_log()
    try:
        return log.store_report(
            report_record(report, taken.rows),
            model_version=data.version,
            model_sha256=data.sha256,
            trigger="notebook",
            window_key=taken.key,
        )
    finally:
        log.close()
