"""Retraining: what monitoring asks for, the challenger that answers it, and whether it may be proposed.

Nothing here makes a champion: that is a person's act (`creditrisk promote`). What was tried is filed in the manifest,
so that a schedule does not make the same challenger every night while a person thinks about it.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from creditrisk.batch import open_log
from creditrisk.errors import ParameterError, StepFailed, TooFewOutcomes
from creditrisk.modelling.train import HOLD_ORDER
from creditrisk.modelling.validation import recorded
from creditrisk.monitoring import outcomes
from creditrisk.monitoring.drift import AMBER, GREEN, LACKING, RED
from creditrisk.params import RetrainParams
from creditrisk.promotion import Evidence, examine
from creditrisk.recalibration import moment_of, newest
from creditrisk.runs import RunFolder, read_result, run_notebook
from creditrisk.serving.log import PredictionLog
from creditrisk.serving.model import CHAMPION, ModelData, load_model, read_manifest, set_challenger

NOTHING, RECALIBRATE, REDEVELOP = "nothing", outcomes.RECALIBRATE, outcomes.REDEVELOP
"""What may be done. The last two are verdicts on outcomes, too."""
WAITING, PROPOSED, NOT_FIT, TOO_FEW, STEP_FAILED = "waiting", "proposed", "not fit", "too few outcomes", "step failed"
"""How it may end, besides with nothing to do."""
EXIT_STATUS = {NOTHING: 0, WAITING: 0, PROPOSED: 0, NOT_FIT: 1, STEP_FAILED: 1, TOO_FEW: 3}
LAST_WINDOWS = 5
"""Newest windows of the drift check that are looked at; two flagged ones in a row among them are a red stream."""
AGAIN_DAYS = 30
"""So long an attempt stands: until then the same is not tried again for the same champion."""


# --- What monitoring says ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Drift:
    """The newest windows of the champion's drift check, newest first, as one stream: `status` and why."""

    status: str
    why: str
    windows: tuple[dict, ...] = ()

    @property
    def table(self) -> pd.DataFrame:
        """One row a window: report, checked_at, window, predictions, status, flagged."""
        names = {"id": "report", "created_at": "checked_at", "window_key": "window", "n": "predictions"}
        names |= {"status": "status", "flagged": "flagged"}
        rows = [{new: one[old] for old, new in names.items()} for one in self.windows]
        frame = pd.DataFrame(rows, columns=list(names.values()))
        return frame.assign(checked_at=[f"{one:%Y-%m-%d %H:%M}" for one in frame["checked_at"]])


def drift_of(log: PredictionLog, data: ModelData) -> Drift:
    """The stream of a model's drift checks: red when two of the newest windows in a row are flagged.

    Windows of automatic checks; where a lender scores files alone, there are none, and each file is a window. One with
    insufficient data says nothing, and does not come between two others. Raises LogError.
    """
    rows: list[dict] = []
    for trigger in ("automatic", "file"):
        rows = rows or log.reports(LAST_WINDOWS, model_version=data.version, model_sha256=data.sha256, trigger=trigger)
    return judge_stream(rows)


def judge_stream(rows: Sequence[Mapping[str, Any]]) -> Drift:
    """The stream of windows, newest first, each with a status."""
    windows, told = tuple(dict(row) for row in rows), [row for row in rows if row["status"] != LACKING]
    if not told:
        return Drift(
            LACKING, f"{len(windows)} drift checks, none with enough data" if windows else "no drift check yet", windows
        )
    flagged = [row["status"] in (AMBER, RED) for row in told]
    what = f"{sum(flagged)} of the last {len(told)} windows flagged"
    if any(one and other for one, other in zip(flagged, flagged[1:], strict=False)):
        return Drift(RED, f"{what}, two in a row", windows)
    if any(flagged):
        return Drift(AMBER, f"{what}, not two in a row", windows)
    return Drift(GREEN, what, windows)


@dataclass(frozen=True)
class Outcome:
    """The verdict on the champion's outcomes, one of `outcomes.VERDICTS`, and why."""

    verdict: str
    why: str


def outcome_of(log: PredictionLog, data: ModelData, as_of: dt.datetime) -> Outcome:
    """What the outcome report of a model says: the one place that knows the report. Raises LogError."""
    if not log.followed(data.version, data.sha256, 1, purposes=outcomes.EARNEST, until=as_of):
        return Outcome(outcomes.NO_OUTCOME, f"{data.version} has made no prediction in earnest")
    report = outcomes.judge(log, data, as_of=as_of)
    return Outcome(report.verdict, report.reason)


# --- The decision -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Decision:
    """What is to be done, and why, in sentences. `asked` is what monitoring asks for, whoever forced something else.

    `waiting` is the record of an attempt that still stands: then nothing is done.
    """

    action: str
    why: tuple[str, ...]
    asked: str
    forced: bool = False
    waiting: dict | None = None

    def lines(self) -> list[str]:
        """In words, as lines."""
        return [f"{'to do' if self.action != NOTHING else 'decision'}: {self.action}", *self.why]

    def to_dict(self) -> dict:
        """Plain data."""
        return asdict(self) | {"why": list(self.why)}


def decide(
    drift: Drift,
    outcome: Outcome,
    champion: ModelData,
    attempts: Sequence[Mapping] = (),
    *,
    force: str = "",
    why: str = "",
    now: dt.datetime | None = None,
) -> Decision:
    """What to do about a champion.

    Outcomes come first: their verdict is followed. Where they are silent or see nothing wrong, a red drift stream leads
    to recalibration, and only where that has been done, or tried and found wanting, to redevelopment. `attempts` are
    the records of the manifest, oldest first; one for this champion stands for AGAIN_DAYS. `force` does either in any
    case, with a reason: ParameterError without one.
    """
    now, why = now or dt.datetime.now(dt.UTC), " ".join(why.split())
    mine = [one for one in attempts if one["champion_sha256"] == champion.sha256]
    asked, reasons = _asked(drift, outcome, champion, mine)
    if force:
        if not why:
            raise ParameterError("--force needs --why TEXT: it is recorded, with what monitoring says")
        return Decision(force, (f"forced: {why}", *reasons), asked, forced=True)
    stands = next((one for one in reversed(mine) if one["action"] == asked and _age(one, now) < AGAIN_DAYS), None)
    if asked != NOTHING and stands:
        how = f"waits for a person: {stands['command']}" if stands["proposed"] else "was not fit"
        told = (
            f"{stands['version']} was made for this on {stands['at'][:10]} in run {stands['run']} and {how}; the same "
            f"is tried again after {AGAIN_DAYS} days, or at once with --force {asked} --why TEXT"
        )
        return Decision(NOTHING, (told, *reasons), asked, waiting=dict(stands))
    return Decision(asked, tuple(reasons), asked)


def _asked(drift: Drift, outcome: Outcome, champion: ModelData, attempts: Sequence[Mapping]) -> tuple[str, list[str]]:
    """What monitoring asks for, and why."""
    said = [f"outcomes: {outcome.verdict}: {outcome.why}", f"drift of inputs: {drift.status}: {drift.why}"]
    tried = next((one for one in reversed(attempts) if one["action"] == RECALIBRATE and not one["proposed"]), None)
    in_vain = tried and f"{tried['version']}, recalibrated on {tried['at'][:10]}, was not fit: it takes a new model"
    if outcome.verdict == outcomes.REDEVELOP:
        return REDEVELOP, said
    if outcome.verdict == outcomes.RECALIBRATE:
        return (REDEVELOP, [in_vain, *said]) if in_vain else (RECALIBRATE, said)
    if drift.status != RED:
        return NOTHING, said
    if in_vain:
        return REDEVELOP, [in_vain, *said]
    if done := champion.training.get("recalibration"):
        told = (
            f"{champion.version} has been recalibrated already, from {done['of']}, and inputs have drifted all the same"
        )
        return REDEVELOP, [told, *said]
    return RECALIBRATE, ["inputs have drifted and outcomes speak for no new model: calibration comes first", *said]


def _age(attempt: Mapping, now: dt.datetime) -> float:
    """Days since an attempt."""
    return (now - dt.datetime.fromisoformat(attempt["at"])).total_seconds() / 86_400


def attempts_of(artifacts: str) -> list[dict]:
    """What was tried in an artifacts folder, oldest first."""
    return read_manifest(artifacts).get("proposals", [])


# --- Steps ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Step:
    """A notebook run that belongs to this one."""

    name: str
    run: str
    status: str
    seconds: float
    headline: str
    error: str = ""


@dataclass(frozen=True)
class Made:
    """A version that a step has made, the others of the same step, and the steps so far."""

    version: str
    others: tuple[str, ...]
    steps: tuple[Step, ...]


def run_step(name: str, params: Mapping[str, Any]) -> tuple[Step, dict]:
    """Run one notebook of the package; its step, and what its result says. Raises ParameterError for bad values."""
    done = run_notebook(name, params, progress=False)
    result = read_result(done.folder.path)
    headline = str(result.get("headline", ""))
    return Step(name, done.folder.path.name, done.status, done.seconds, headline, done.error), result


def make_challenger(decision: Decision, champion: ModelData, params: RetrainParams, run: RunFolder) -> Made:
    """Recalibrate or redevelop, in a run of its own. Raises StepFailed when it does not reach its end."""
    if decision.action == RECALIBRATE:
        given = {
            "model": champion.version,
            "artifacts": params.artifacts,
            "as_of": params.as_of,
            "why": decision.why[0],
        }
        step, result = run_step("recalibrate", given)
        _stop_unless_ok(step)
        return Made(result["version"], (), (step,))
    step, result = run_step("train", training_params(champion, params, run))
    _stop_unless_ok(step)
    models = read_manifest(params.artifacts)["models"]
    kind = champion.model.to_dict()["model"]["kind"]
    made = list(result["models"])
    version = next(one for one in made if models[one]["kind"] == kind)
    return Made(version, tuple(one for one in made if one != version), (step,))


def _stop_unless_ok(step: Step) -> None:
    if step.status != "ok":
        raise StepFailed(f"{step.name} did not reach its end ({step.status}), see run {step.run}: {step.error}")


def training_params(champion: ModelData, params: RetrainParams, run: RunFolder) -> dict[str, Any]:
    """What the train notebook is told: as the champion's training run, with the portfolio and the analysts' overrides
    of its file, on `data`, out of time where the book has dates, under new numbers."""
    said, training = recorded(champion.training), champion.training
    portfolio = params.portfolio
    if not portfolio:
        portfolio = str(run.file("portfolio.toml"))
        Path(portfolio).write_text(champion.portfolio.text, "utf-8")
    given = {
        "portfolio": portfolio,
        "data": params.data or said.data,
        "artifacts": params.artifacts,
        "split": "out_of_time" if champion.portfolio.target.observation_date else "random",
        "seed": said.seed,
        "trials": params.trials,
        "as_of": params.as_of,
        "hold_order": bool(training.get("hold_order")),
        "versions": "next",
    }
    rows = params.rows or said.rows
    given |= {"rows": rows} if rows else {}
    decided = training.get("overrides", {})
    kept = {name: one for name, one in decided.get("variables", {}).items() if one.get("by") != HOLD_ORDER}
    if kept:
        given["overrides"] = str(run.file("overrides.json"))
        Path(given["overrides"]).write_text(json.dumps(decided | {"variables": kept}, indent=2), "utf-8")
    return given


# --- The proposal -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Proposal:
    """Whether a version is proposed: reasons against it, what is to be known, and the figures behind it."""

    version: str
    champion: str
    action: str
    against: tuple[str, ...]
    notes: tuple[str, ...]
    evidence: Evidence | None
    command: str

    @property
    def proposed(self) -> bool:
        return not self.against

    def lines(self) -> list[str]:
        """In words, as lines; the last one is the command, or that there is none."""
        told = [] if self.evidence is None else self.evidence.lines(self.version, self.champion)
        told += [f"note: {one}" for one in self.notes] + [f"against it: {one}" for one in self.against]
        if self.proposed:
            return [*told, f"{self.version} is the challenger, and may be promoted by a person:", f"  {self.command}"]
        forced = f"{self.command} --force --reason TEXT"
        return [*told, f"{self.version} is not proposed; a person may overrule this, on record: {forced}"]

    def to_dict(self) -> dict:
        """Plain data."""
        plain = {"version": self.version, "champion": self.champion, "action": self.action, "command": self.command}
        plain |= {"proposed": self.proposed, "against": list(self.against), "notes": list(self.notes)}
        return plain | {"evidence": None if self.evidence is None else self.evidence.to_dict()}


def propose(version: str, action: str, artifacts: str, validation: Mapping) -> Proposal:
    """Hold a challenger against the champion, as promotion does, on rows that neither knows.

    What validation found is told and does not bar: promotion does not ask for it. Where its result is empty, since the
    training rows could not be made again, a redeveloped model is not proposed; a recalibrated one ranks as its
    predecessor, which was validated. A recalibration must lower the log-loss, or it is a version for nothing.
    """
    champion = read_manifest(artifacts)["aliases"].get(CHAMPION)
    candidate = load_model(version, artifacts)
    against, notes, evidence = examine(candidate, champion, artifacts=artifacts)
    if action == RECALIBRATE and evidence is not None and not (evidence.loss_difference or 0.0) < 0:
        against.append(
            f"the new calibration does not help: log-loss {evidence.log_loss:.4f} against "
            f"{evidence.champion_log_loss:.4f} of {champion} on the predictions that judge it"
        )
    said = _of_validation(validation, action)
    if action == REDEVELOP and not validation:
        against.append(said)
    else:
        notes.append(said)
    folder = f" --artifacts {artifacts}" if artifacts else ""
    return Proposal(
        version, champion, action, tuple(against), tuple(notes), evidence,
        f"creditrisk promote {version}{folder}",
    )  # fmt: skip


def _of_validation(result: Mapping, action: str) -> str:
    if not result:
        return "it could not be validated; the run of that step says why"
    failed = [one["name"] for one in result.get("findings", []) if one["status"] == "fail"]
    told = f"validation: {result['verdict']['status']}; {result['verdict']['text']}"
    if action == RECALIBRATE and failed:
        return (
            f"{told} It judges on the rows of the training run, which are older than the outcomes that the new "
            "calibration was fitted to: read it with that in mind"
        )
    return told


def file_proposal(
    proposal: Proposal, decision: Decision, champion: ModelData, artifacts: str, run: RunFolder
) -> dict[str, str]:
    """Keep the attempt in the manifest; a version that is proposed becomes the challenger. Returns the aliases."""
    models = read_manifest(artifacts)["models"]
    record = {
        "version": proposal.version,
        "sha256": models[proposal.version]["sha256"],
        "champion": champion.version,
        "champion_sha256": champion.sha256,
        "action": proposal.action,
        "proposed": proposal.proposed,
        "command": proposal.command,
        "against": list(proposal.against),
        "why": list(decision.why),
        "forced": decision.forced,
        "at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "run": run.path.name,
    }
    return set_challenger(record, artifacts)


# --- The whole --------------------------------------------------------------------------------------------------------


class Retraining:
    """One run from the decision to the proposal. Each step gives what it found as lines; `outcome` says how it ends.

    A step that there is no reason for, or no ground since an earlier one failed, does nothing and says so.
    """

    def __init__(self, params: RetrainParams, run: RunFolder) -> None:
        self.params, self.run = params, run
        self.as_of = moment_of(params.as_of)
        self.champion = load_model(CHAMPION, params.artifacts)
        self.outcome, self.problem = NOTHING, ""
        self.steps: list[Step] = []
        self.made: Made | None = None
        self.proposal: Proposal | None = None
        self._validation: dict = {}

    def look(self) -> list[str]:
        """Read what monitoring says of the champion."""
        log = open_log()
        try:
            self.drift, self.seen = drift_of(log, self.champion), outcome_of(log, self.champion, self.as_of)
        finally:
            log.close()
        return [
            f"champion: {self.champion.version}",
            f"drift of inputs: {self.drift.status}; {self.drift.why}",
            f"outcomes: {self.seen.verdict}; {self.seen.why}",
        ]

    def decide(self) -> list[str]:
        """Decide what is to be done."""
        attempts = attempts_of(self.params.artifacts)
        self.decision = decide(
            self.drift, self.seen, self.champion, attempts, force=self.params.force, why=self.params.why
        )
        self.outcome = WAITING if self.decision.waiting else self.outcome
        return self.decision.lines()

    def make(self) -> list[str]:
        """Make the challenger that was decided on."""
        if self.decision.action == NOTHING:
            return ["nothing is made"]
        try:
            if self.decision.action == RECALIBRATE:
                self._require_outcomes()
            self.made = make_challenger(self.decision, self.champion, self.params, self.run)
        except TooFewOutcomes as problem:
            self.outcome, self.problem = TOO_FEW, str(problem)
        except StepFailed as problem:
            self.outcome, self.problem = STEP_FAILED, str(problem)
        if self.made is None:
            return [self.problem]
        self.steps += self.made.steps
        others = f"; beside it {', '.join(self.made.others)}" if self.made.others else ""
        return [f"the challenger is {self.made.version}{others}", *(one.headline for one in self.made.steps)]

    def _require_outcomes(self) -> None:
        log = open_log()
        try:
            newest(self.champion, log, self.as_of)
        finally:
            log.close()

    def validate(self) -> list[str]:
        """Validate the challenger."""
        if self.made is None:
            return ["nothing is validated"]
        given = {"model": self.made.version, "against": CHAMPION, "artifacts": self.params.artifacts}
        step, result = run_step("validate", given)
        self.steps.append(step)
        if step.status != "ok":
            return [f"validation did not reach its end ({step.status}): {step.error}"]
        self._validation = result
        return [step.headline]

    def compare(self) -> list[str]:
        """Hold the challenger against the champion, and propose it or not."""
        if self.made is None:
            return ["nothing is compared"]
        artifacts = self.params.artifacts
        self.proposal = propose(self.made.version, self.decision.action, artifacts, self._validation)
        file_proposal(self.proposal, self.decision, self.champion, artifacts, self.run)
        self.outcome = PROPOSED if self.proposal.proposed else NOT_FIT
        return self.proposal.lines()

    @property
    def table(self) -> pd.DataFrame:
        """The runs of the steps: step, run, status, seconds, says."""
        rows = [(one.name, one.run, one.status, one.seconds, one.headline) for one in self.steps]
        return pd.DataFrame(rows, columns=["step", "run", "status", "seconds", "says"])

    @property
    def headline(self) -> str:
        """How it ended, in one line."""
        why = self.decision.why[0] if self.decision.why else ""
        endings = {
            NOTHING: "nothing to do",
            WAITING: f"nothing to do: {why}",
            TOO_FEW: f"{self.decision.action} is asked for and cannot be done: {self.problem}",
            STEP_FAILED: self.problem,
        }
        if self.proposal is None:
            return f"retrain: {endings[self.outcome]}"
        word = "proposed" if self.proposal.proposed else "not proposed"
        told = self.proposal.command if self.proposal.proposed else "; ".join(self.proposal.against)
        return f"retrain: {self.decision.action}; {self.proposal.version} is {word}: {told}"

    def finish(self) -> None:
        """Save the result. Raises StepFailed where a step has not reached its end, so that the run is a failed one."""
        self.run.save_result(
            {
                "headline": self.headline,
                "outcome": self.outcome,
                "champion": self.champion.version,
                "champion_sha256": self.champion.sha256,
                "as_of": self.as_of,
                "drift": {"status": self.drift.status, "why": self.drift.why}
                | {"reports": [one["id"] for one in self.drift.windows]},
                "outcomes": asdict(self.seen),
                "decision": self.decision.to_dict(),
                "steps": [asdict(one) for one in self.steps],
                "proposal": self.proposal and self.proposal.to_dict(),
                "problem": self.problem or None,
            }
        )
        if self.outcome == STEP_FAILED:
            raise StepFailed(self.problem)
