"""The applicant beside another version of the model: scored from the same form, never logged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from traitlets import Any as Anything
from traitlets import Bool, HasTraits, Unicode

from creditrisk.errors import CreditRiskError
from creditrisk.serving.model import CHALLENGER, CHAMPION, ModelData, load_exact, read_manifest
from creditrisk.serving.scorer import Scorer
from creditrisk.ui.form import read_form
from creditrisk.ui.page.score_result import label_of, policy_of, result_of


@dataclass(frozen=True)
class Other:
    """A version of the manifest, and what it is there: challenger, champion or another version."""

    version: str
    sha256: str
    role: str


def other_than(data: ModelData, artifacts: str) -> Other | None:
    """The version to hold a model against: the challenger, else a newer champion, else any; None without one."""
    try:
        manifest = read_manifest(artifacts)
    except (CreditRiskError, OSError):
        return None
    aliases, models = manifest["aliases"], manifest["models"]
    named = [(aliases[alias], alias) for alias in (CHALLENGER, CHAMPION) if aliases.get(alias) in models]
    named += [(version, "another version") for version in reversed(models)]
    for version, role in named:
        if models[version]["sha256"] != data.sha256:
            return Other(version, models[version]["sha256"], role)
    return None


class ChallengerState(HasTraits):
    """The other version and its result. It is loaded at the first `open`, and follows the form while it is open."""

    other = Anything(None, allow_none=True)
    result = Anything(None, allow_none=True)
    problem = Unicode()
    is_open = Bool(False)

    def __init__(self, data: ModelData, artifacts: str) -> None:
        super().__init__()
        self._data, self._artifacts = data, artifacts
        self._scorer: Scorer | None = None
        self._loaded: Other | None = None
        self.look()

    def look(self) -> None:
        """Ask the manifest which version it is now."""
        self.other = other_than(self._data, self._artifacts)

    def open(self, texts: Mapping[str, str]) -> None:
        """Show it from now on."""
        self.is_open = True
        self.follow(texts)

    def close(self) -> None:
        """Score nothing with it any more."""
        self.is_open = False

    def follow(self, texts: Mapping[str, str]) -> None:
        """Score what the form says, with the other version; `problem` says why there is no result."""
        if not self.is_open or self.other is None:
            self.result, self.problem = None, ""
            return
        try:
            if read_form(self._data.portfolio, texts).values is None:
                self.result, self.problem = None, ""
                return
            scorer = self._ready()
            reading = read_form(scorer.data.portfolio, texts)
            if reading.values is None:
                self.result, self.problem = None, self._lacking(scorer, reading.missing, reading.errors)
                return
            given = {name: value for name, value in reading.values.items() if value is not None}
            scored = scorer.score_rows([reading.values])
            result = result_of(scorer.data, scored, given, policy_of(scorer.data))
        except (CreditRiskError, OSError, ImportError, ValueError) as problem:
            self.result, self.problem = None, f"{self.other.version} cannot be used: {problem}"
            return
        self.problem, self.result = "", result

    @property
    def loaded(self) -> bool:
        """Whether the next result comes at once."""
        return self._loaded is not None and self._loaded == self.other

    def _ready(self) -> Scorer:
        if self._scorer is None or not self.loaded:
            self._scorer = Scorer(load_exact(self.other.version, self.other.sha256, self._artifacts))
            self._scorer.compiled  # noqa: B018  what takes long is done before `loaded` says that it is
            self._loaded = self.other
        return self._scorer

    def _lacking(self, scorer: Scorer, missing: tuple[str, ...], errors: Mapping[str, str]) -> str:
        """Why the other version has no result where this one has."""
        book, version = scorer.data.portfolio, self.other.version
        if missing:
            labels = ", ".join(label_of(book, name) for name in missing)
            return f"{version} needs inputs that are not given here: {labels}."
        labels = ", ".join(label_of(book, name) for name in errors if name in book.columns)
        return f"{version} does not accept what is entered for {labels}."
