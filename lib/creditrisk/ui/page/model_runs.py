"""Runs of notebooks as the Model tab needs them: their results and reports, read from the run folders."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from creditrisk.errors import DataError
from creditrisk.settings import settings

LOOKED_AT = 200
"""Of the runs of a notebook, the newest so many are looked at."""
_NAME = re.compile(r"(\d{8}T\d{6}Z)-([\w.-]+)-[0-9a-f]{6}")


@dataclass(frozen=True)
class Run:
    """One run that ended well: its name, when it began, and what its result says."""

    folder: Path
    started: datetime
    result: Mapping[str, Any]

    @property
    def name(self) -> str:
        return self.folder.name

    def has(self, file: str) -> bool:
        """Whether the run has left this file."""
        return (self.folder / file).is_file()

    def read(self, file: str) -> bytes:
        """The content of a file of the run. Raises DataError when it is gone."""
        try:
            return (self.folder / file).read_bytes()
        except OSError as error:
            raise DataError(f"{self.name}: {file} cannot be read: {error.strerror}") from None

    @property
    def attempts(self) -> pd.DataFrame | None:
        """The comparison of attempts of a training run, None where it is not there."""
        try:
            return pd.read_csv(self.folder / "comparison.csv") if self.has("comparison.csv") else None
        except (OSError, ValueError):
            return None


@dataclass(frozen=True)
class Documents:
    """What the run folders hold on one model: its training run and its newest validation, each None if not there."""

    training: Run | None = None
    validation: Run | None = None


def documents_of(version: str, sha256: str, run: str, folder: Path | None = None) -> Documents:
    """The runs on a model file with this hash that `run` has trained."""
    folder = folder or settings().runs_dir
    trained = _run(folder / run) if _NAME.fullmatch(run) else None
    return Documents(trained, next(_validations(folder, version, sha256), None))


def _validations(folder: Path, version: str, sha256: str) -> Iterator[Run]:
    """Finished validations of a model with a report, the newest first."""
    try:
        names = [
            path.name for path in folder.iterdir() if (found := _NAME.fullmatch(path.name)) and found[2] == "validate"
        ]
    except OSError:
        return
    for name in sorted(names, reverse=True)[:LOOKED_AT]:
        run = _run(folder / name)
        said = run.result if run else {}
        if said.get("model") == version and said.get("model_sha256") == sha256 and run.has("report.html"):
            yield run


def _run(folder: Path) -> Run | None:
    """A run that ended well, else None."""
    try:
        result = json.loads((folder / "result.json").read_text("utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(result, dict) or result.get("status") != "ok":
        return None
    stamp = datetime.strptime(_NAME.fullmatch(folder.name)[1], "%Y%m%dT%H%M%SZ")
    return Run(folder, stamp.replace(tzinfo=UTC), result)
