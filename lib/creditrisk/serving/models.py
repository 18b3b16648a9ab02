"""The models that may answer: the one that serves, and the others of its folder by name. A newer one takes over."""

from __future__ import annotations

import logging
import threading
from datetime import UTC, datetime
from functools import cached_property

from pydantic import BaseModel

from creditrisk.errors import ArtifactError, CreditRiskError
from creditrisk.serving.contract import SoftLimits, application_model, wire_name
from creditrisk.serving.model import CHAMPION, ModelData, load_model, read_manifest, resolve
from creditrisk.serving.policy import Policies, Policy
from creditrisk.serving.scorer import Scorer, dedupe_key

logger = logging.getLogger(__name__)

MOST_KEPT = 8
"""Models that are kept ready beside the one that serves."""


class UnknownModel(ArtifactError):
    """The folder lists no such model."""


class Served:
    """A model, ready to answer: its scorer, what its applications look like, the policy that decides."""

    def __init__(self, data: ModelData, policies: Policies | None = None) -> None:
        self.data = data
        self._policies = policies or Policies.of_model(data)
        self.scorer = Scorer(data)
        self.scorer.compiled  # noqa: B018  made now, not with the first request
        self.application: type[BaseModel] = application_model(data.portfolio)
        self.wire_names = tuple((name, wire_name(name, column)) for name, column in data.portfolio.inputs.items())
        self.soft_limits = SoftLimits.of(data.portfolio)

    @property
    def policy(self) -> Policy:
        """The cut-off policy in force now."""
        return self._policies.in_force(datetime.now(UTC), self.data.portfolio.name)

    @cached_property
    def key(self) -> tuple[str, str]:
        return self.data.version, self.data.sha256

    def dedupe_key(self, application_id: str, purpose: str) -> str:
        """Under which one application is one prediction of this model."""
        return dedupe_key(self.data, application_id, purpose)


class Models:
    """`serving` answers unless a request names another model. Safe to share between threads."""

    def __init__(
        self, serving: Served, name: str = CHAMPION, folder: str = "", policies: Policies | None = None
    ) -> None:
        self.serving, self.name, self.folder, self._policies = serving, name, folder, policies
        self._kept: dict[tuple[str, str], Served] = {serving.key: serving}
        self._named: dict[str, Served] = {}
        self._loading = threading.Lock()

    @classmethod
    def open(cls, name: str = CHAMPION, folder: str = "", policies: Policies | None = None) -> Models:
        """The models of an artifacts folder. Raises ArtifactError when the one to serve is not fit to."""
        return cls(Served(load_model(name, folder), policies), name, folder, policies)

    def ready(self, name: str | None) -> Served | None:
        """The model of this version or alias if it needs no loading; None as name is the one that serves."""
        if name is None or name in (self.name, self.serving.data.version):
            return self.serving
        return self._named.get(name)

    def get(self, name: str) -> Served:
        """The model of this version or alias, loaded if need be. Raises UnknownModel, or ArtifactError."""
        if (known := self.ready(name)) is not None:
            return known
        if not self.folder:
            raise UnknownModel(f"there is no model {name[:60]!r} here; {self.serving.data.version} serves")
        self._named[name] = found = self._load(name)
        return found

    def refresh(self) -> bool:
        """Have the newest model of the served name take over; whether one did.

        Raises ArtifactError when the folder's model is not fit to serve; the present one then goes on serving.
        """
        if not self.folder:
            return False
        found = self._load(self.name)
        self._named.clear()  # what a name stands for may have changed
        if found is self.serving:
            return False
        if found.data.portfolio.name != self.serving.data.portfolio.name:
            raise ArtifactError(
                f"{self.name} is now {found.data.version} of portfolio {found.data.portfolio.name}, and this service "
                f"answers for {self.serving.data.portfolio.name}: start another service for it"
            )
        self.serving = found
        return True

    def _load(self, name: str) -> Served:
        manifest = read_manifest(self.folder)
        try:
            version = resolve(name, manifest)
        except ArtifactError as error:
            raise UnknownModel(str(error)) from None
        key = (version, manifest["models"][version]["sha256"])
        if (known := self._kept.get(key)) is not None:
            return known
        with self._loading:
            if (known := self._kept.get(key)) is not None:
                return known
            served = Served(load_model(version, self.folder), self._policies)
            while len(self._kept) >= MOST_KEPT:
                oldest = next(key for key, one in self._kept.items() if one is not self.serving)
                del self._kept[oldest]
            self._kept[served.key] = served
            return served


class Watch:
    """Looks for a newer model of the served name every `every` seconds, in a thread of its own."""

    def __init__(self, models: Models, every: float = 1.0) -> None:
        self._models, self._every = models, every
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="model-watch", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(timeout=10)

    def _run(self) -> None:
        said = ""
        while not self._stop.wait(self._every):
            try:
                before = self._models.serving.data.version
                if self._models.refresh():
                    now = self._models.serving.data
                    logger.warning("model %s (%s...) has taken over from %s", now.version, now.sha256[:12], before)
                said = ""
            except CreditRiskError as error:
                if str(error) != said:
                    logger.warning("the model that serves goes on: %s", error)
                said = str(error)
            except OSError as error:
                if type(error).__name__ != said:
                    logger.warning("the model that serves goes on: the folder cannot be read: %s", error.strerror)
                said = type(error).__name__
