"""What the Model tab knows, without a widget."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pandas as pd
from traitlets import Any as AnyTrait
from traitlets import HasTraits, Tuple, Unicode

from creditrisk.errors import CreditRiskError
from creditrisk.serving.model import CHALLENGER, CHAMPION, ModelData, load_exact, read_manifest
from creditrisk.serving.policy import MODEL_CUT_OFF, Policies, load_policies
from creditrisk.settings import settings
from creditrisk.ui.page.log_access import LogAccess
from creditrisk.ui.page.model_bins import Variable, variables_of
from creditrisk.ui.page.model_evidence import Evidence, evidence_of
from creditrisk.ui.page.model_runs import Documents, documents_of

ROWS_AT_ONCE = 200_000
"""A training run of up to so many rows is made again as soon as its model is looked at, a larger one when asked."""
KINDS = {"logistic": "scorecard", "xgboost": "trees"}
ARCHIVED = "archived"


@dataclass(frozen=True)
class Listed:
    """A model file that the manifest lists. `role` is champion, challenger, archived, or empty."""

    version: str
    sha256: str
    role: str
    entry: Mapping[str, Any] = field(default_factory=dict, compare=False)

    @property
    def key(self) -> str:
        return f"{self.version} {self.sha256}"

    @property
    def short_hash(self) -> str:
        return self.sha256[:8]

    @property
    def label(self) -> str:
        """The model in a line, as the chooser has it. A gate that was passed goes without saying."""
        kind = KINDS.get(self.entry.get("kind", ""), "")
        gate = {"pass": "", "fail": "gate failed"}.get(self.entry.get("gate") or "pass", "gate undecided")
        told = (self.role, kind, str(self.entry.get("created", ""))[:10], gate)
        own = self.short_hash if self.role == ARCHIVED else ""
        return " · ".join([self.version, *filter(None, (own, *told))])


def listed_in(manifest: Mapping[str, Any]) -> tuple[Listed, ...]:
    """Every model of a manifest: champion, challenger, other published ones, then archived ones, the latest first."""
    roles = {version: alias for alias, version in manifest["aliases"].items()}
    order = {CHAMPION: 0, CHALLENGER: 1}
    published = [
        Listed(version, entry["sha256"], roles.get(version, ""), entry) for version, entry in manifest["models"].items()
    ]
    published.sort(key=lambda one: order.get(one.role, 2))
    archived = [Listed(one["version"], one["sha256"], ARCHIVED, one) for one in reversed(manifest["archived"])]
    unique = {one.key: one for one in reversed([*published, *archived])}
    return tuple(reversed(unique.values()))


@dataclass(frozen=True)
class Shown:
    """A model with what stands around it: the one it is compared with (None without one), history, runs, policy.

    `why_apart` says why the other one's figures are of other rows; empty where they are of the same.
    """

    listed: Listed
    data: ModelData
    other: ModelData | None
    other_listed: Listed | None
    why_apart: str
    promotions: tuple[Mapping[str, Any], ...]
    proposals: tuple[Mapping[str, Any], ...]
    documents: Documents
    attempts: pd.DataFrame | None
    variables: tuple[Variable, ...]
    policy: str
    limits: tuple[str, ...]


class ModelState(HasTraits):
    """The Model tab: the models there are, the one chosen, and what the rows of its training run say of it.

    `busy` says what is being loaded, `problem` why the chosen model cannot be shown; `judging` and `unjudged` are the
    same of its evidence.
    """

    listed = Tuple()
    chosen = Unicode()
    busy = Unicode()
    problem = Unicode()
    shown = AnyTrait(None, allow_none=True)
    judging = Unicode()
    unjudged = Unicode()
    evidence = AnyTrait(None, allow_none=True)
    variable = Unicode()

    def __init__(self, data: ModelData, log: LogAccess, artifacts: str = "") -> None:
        super().__init__()
        self._data, self._log, self._artifacts = data, log, artifacts
        self._manifest: Mapping[str, Any] = {}
        self._models = {f"{data.version} {data.sha256}": data}
        self._evidence: dict[str, Evidence] = {}
        self._unjudged: dict[str, str] = {}
        self._tasks: set[asyncio.Task] = set()

    def refresh(self) -> None:
        """Read the manifest again. The model shown stays, with what is new around it."""
        try:
            self._manifest = read_manifest(self._artifacts)
        except (CreditRiskError, OSError) as problem:
            self.problem = str(problem)
            return
        self.listed = listed_in(self._manifest)
        keys = [one.key for one in self.listed]
        if self.chosen not in keys:
            own = f"{self._data.version} {self._data.sha256}"
            self.chosen = own if own in keys else keys[0] if keys else ""
        self._load()

    def choose(self, key: str) -> None:
        """Show another model."""
        if key != self.chosen and any(one.key == key for one in self.listed):
            self.chosen = key
            self._load()

    def look_at(self, variable: str) -> None:
        """Show the bins of a variable."""
        if self.shown is not None and any(one.name == variable for one in self.shown.variables):
            self.variable = variable

    def _load(self) -> None:
        listed = next((one for one in self.listed if one.key == self.chosen), None)
        if listed is None:
            self.problem = "The manifest lists no model. Run `creditrisk train` to make one."
            return
        if self.shown is None or self.shown.listed.key != listed.key:
            self.busy = f"Loading model {listed.version}…"
        self._aside(lambda: self._found(listed), lambda found, problem: self._loaded(listed, found, problem))

    def _found(self, listed: Listed) -> Shown:
        """Everything about a model; slow, and without a trait."""
        from creditrisk.modelling.validation import limits_of_use, not_comparable  # brings every family of models

        data, other_listed = self._model(listed), self._beside(listed)
        other = None
        if other_listed is not None:
            try:
                other = self._model(other_listed)
            except (CreditRiskError, OSError):
                other_listed = None
        of_this = [one for one in self._manifest.get("proposals", []) if one.get("sha256") == listed.sha256]
        documents = documents_of(data.version, data.sha256, str(data.training.get("run", "")))
        synthetic = not data.training.get("source", {}).get("data", "")
        return Shown(
            listed=listed,
            data=data,
            other=other,
            other_listed=other_listed,
            why_apart=not_comparable(data.training, other.training) if other else "",
            promotions=tuple(reversed(self._manifest["promotions"])),
            proposals=tuple(reversed(of_this)),
            documents=documents,
            attempts=documents.training.attempts if documents.training else None,
            variables=variables_of(data),
            policy=policy_in_words(data),
            limits=tuple(limits_of_use(data.portfolio, None, data.model.calibration, synthetic=synthetic)),
        )

    def _model(self, listed: Listed) -> ModelData:
        if listed.key not in self._models:
            self._models[listed.key] = load_exact(listed.version, listed.sha256, self._artifacts)
        return self._models[listed.key]

    def _beside(self, listed: Listed) -> Listed | None:
        """The model whose figures stand beside: the challenger for the champion, the champion for all others."""
        wanted = CHALLENGER if listed.role == CHAMPION else CHAMPION
        return next((one for one in self.listed if one.role == wanted and one.key != listed.key), None)

    def _loaded(self, listed: Listed, found: Shown | None, problem: str) -> None:
        if listed.key != self.chosen:  # somebody has chosen another one since
            return
        self.busy, self.problem = "", f"Model {listed.version} cannot be shown: {problem}" if problem else ""
        if found is None:
            self.shown = None
            return
        with self.hold_trait_notifications():
            names = [one.name for one in found.variables]
            if self.variable not in names:
                self.variable = names[0] if names else ""
            self.evidence, self.unjudged = self._evidence.get(listed.key), self._unjudged.get(listed.key, "")
            self.shown = found
        self._judge_at_once()

    def _judge_at_once(self) -> None:
        """Judge the model shown, unless that is done, has failed, or takes long."""
        shown: Shown | None = self.shown
        if shown and not self.evidence and not self.unjudged and rows_of(shown.data) <= ROWS_AT_ONCE:
            self.judge()

    def judge(self) -> None:
        """Make the rows of the training run again, and hold the model shown against them."""
        shown: Shown | None = self.shown
        if shown is None or self.judging:
            return
        key, self.unjudged = shown.listed.key, ""
        self.judging = f"Making the {rows_of(shown.data):,} rows of the training run of {shown.data.version} again…"
        self._aside(lambda: evidence_of(shown.data), lambda found, problem: self._judged(key, found, problem))

    def _judged(self, key: str, found: Evidence | None, problem: str) -> None:
        self.judging = ""
        if found is not None:
            self._evidence[key] = found
        self._unjudged[key] = problem
        if self.shown is not None and self.shown.listed.key == key:
            self.unjudged, self.evidence = problem, found
        self._judge_at_once()  # another one may have been chosen meanwhile, and waits

    def _aside(self, work: Callable[[], Any], done: Callable[[Any, str], None]) -> None:
        """Give `done` the result of `work`, or a problem; in a thread where an event loop runs."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # a plain script or a test
            done(*_tried(work))
            return

        async def later() -> None:
            done(*await asyncio.to_thread(_tried, work))

        task = loop.create_task(later())
        self._tasks.add(task)  # the loop alone would let it go
        task.add_done_callback(self._tasks.discard)


def _tried(work: Callable[[], Any]) -> tuple[Any, str]:
    try:
        return work(), ""
    except (CreditRiskError, OSError, ImportError) as problem:
        return None, str(problem)
    except Exception as problem:  # whatever is wrong with a file, the page goes on
        return None, f"{type(problem).__name__}: {problem}"


def rows_of(data: ModelData) -> int:
    """Rows of the training run of a model, training and test."""
    return sum(data.training.get("rows", {}).values())


def policy_in_words(data: ModelData) -> str:
    """What is decided on a PD of this portfolio now, in a sentence."""
    file = settings().policy_file
    try:
        policies = load_policies(file) if file else Policies.of_model(data)
        policy = policies.in_force(datetime.now(UTC), data.portfolio.name)
    except CreditRiskError as problem:
        return f"No policy can decide: {problem}"
    approve, decline = policy.cut_offs
    if policy.version == MODEL_CUT_OFF:
        return f"No policy file is set: an applicant is declined from this model's own cut-off PD of {approve:.2%} on."
    between = f", referred to a person from there to {decline:.2%}" if decline > approve else ""
    since = f"{policy.effective:%Y-%m-%d}"
    decided = f"approved below a PD of {approve:.2%}{between}, declined from {decline:.2%} on"
    return f"Policy {policy.version}, in force since {since}: {decided}."
