"""The artifact: `model_data_vN.joblib`, the manifest that vouches for it, and how both are written and read.

A model file holds nothing but plain data (numbers, text, bytes, lists, dicts), so reading it needs no class of any
library: the reader refuses every other content before it could run. Whoever loads a model needs nothing else, and
refuses it when its hash is not the manifest's or its test vectors do not reproduce.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import io
import json
import os
import pickle
import platform
import tempfile
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import fsspec
import joblib
import numpy as np
from filelock import FileLock

from creditrisk.data.features import derive, sources
from creditrisk.data.portfolio import Portfolio, parse_portfolio
from creditrisk.errors import ArtifactError
from creditrisk.modelling.design import WoeDesign
from creditrisk.modelling.gates import Gate
from creditrisk.modelling.pd_model import PDModel
from creditrisk.modelling.scorecard import Reasons, Scorecard
from creditrisk.settings import settings

SCHEMA = 1
MANIFEST = "manifest.json"
CHAMPION, CHALLENGER = "champion", "challenger"
PARTS = (
    "version", "portfolio", "features", "design", "bins", "model", "calibration", "scorecard", "baseline", "metrics",
    "training", "versions", "test_vectors",
)  # fmt: skip
TOLERANCE = {"logistic": 1e-12, "xgboost": 1e-6}
LIBRARIES = ("creditrisk", "numpy", "pandas", "scikit-learn", "xgboost-cpu", "xgboost", "joblib")


@dataclass(frozen=True)
class ModelData:
    """One model version with everything it needs.

    `threshold` is the cut-off PD, `baseline` the training baseline of the drift check, `metrics` has `test` and `cv`,
    `training` says on what and when it was trained, `test_vectors` are inputs with the PDs they must give. `card` has
    the points of a scorecard, made from the model where those of this model are not given; None for trees.
    """

    version: str
    portfolio: Portfolio
    model: PDModel
    reasons: Reasons
    threshold: float
    baseline: dict
    metrics: dict
    training: dict
    versions: dict
    test_vectors: dict
    sha256: str = ""
    card: Scorecard | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.model.design, WoeDesign):
            object.__setattr__(self, "card", None)
        elif self.card is None or not self.card.is_of(self.model):
            object.__setattr__(self, "card", Scorecard.fit(self.model, self.portfolio.points))

    @cached_property
    def features(self) -> tuple[str, ...]:
        """The columns the model reads, before encoding."""
        return self.model.features

    @property
    def pd_kind(self) -> str:
        """What its PDs are: "point-in-time" or "through-the-cycle"."""
        return self.model.calibration.pd_kind

    @property
    def gate(self) -> Gate | None:
        """What the release gate said on the test rows; None for a model from before there was one."""
        found = self.metrics.get("gate")
        return None if found is None else Gate.from_dict(found)

    def columns(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Inputs by column name (n,) with the derived features the model reads added."""
        columns = dict(inputs)
        for name, column in self.portfolio.features.items():
            if name in self.features:
                columns[name] = derive(column.derive, {s: columns[s] for s in sources(column.derive)})
        return columns

    def to_dict(self) -> dict:
        """The content of the model file."""
        fitted = self.model.to_dict()
        design = fitted["design"]
        return {
            "schema": SCHEMA,
            "version": self.version,
            "portfolio": {"name": self.portfolio.name, "source": self.portfolio.source, "text": self.portfolio.text},
            "features": list(self.features),
            "design": {k: v for k, v in design.items() if k != "bins"},
            "bins": design.get("bins", []),
            "model": fitted["model"],
            "calibration": fitted["calibration"],
            "scorecard": {
                "scale": self.portfolio.scale.model_dump(),
                "points": self.portfolio.points.model_dump(),
                "threshold": self.threshold,
                "reasons": asdict(self.reasons),
                "card": None if self.card is None else self.card.to_dict(),
            },
            "baseline": self.baseline,
            "metrics": self.metrics,
            "training": self.training,
            "versions": self.versions,
            "test_vectors": self.test_vectors,
        }

    @classmethod
    def from_dict(cls, data: dict, sha256: str = "") -> ModelData:
        design = data["design"] | ({"bins": data["bins"]} if data["design"]["kind"] == "woe" else {})
        reasons = {k: tuple(v) if isinstance(v, list | tuple) else v for k, v in data["scorecard"]["reasons"].items()}
        return cls(
            version=data["version"],
            portfolio=parse_portfolio(data["portfolio"]["text"], data["portfolio"]["source"]),
            model=PDModel.from_dict({"design": design, "model": data["model"], "calibration": data["calibration"]}),
            reasons=Reasons(**reasons),
            threshold=data["scorecard"]["threshold"],
            baseline=data["baseline"],
            metrics=data["metrics"],
            training=data["training"],
            versions=data["versions"],
            test_vectors=data["test_vectors"],
            sha256=sha256,
            card=None if (card := data["scorecard"].get("card")) is None else Scorecard.from_dict(card),
        )


def library_versions() -> dict[str, str]:
    """Versions of Python and of the libraries a model's numbers depend on."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def make_test_vectors(
    model: PDModel, inputs: dict[str, np.ndarray], columns: dict[str, np.ndarray], rows: int = 16
) -> dict:
    """Inputs spread over the PDs of a sample, and the PD of each: what a loader replays."""
    pds = model.pd(columns)
    picked = np.argsort(pds, kind="stable")[np.linspace(0, len(pds) - 1, rows).astype(int)]
    return {
        "inputs": {name: _plain(values[picked]) for name, values in inputs.items()},
        "pd": _plain(model.pd({name: values[picked] for name, values in columns.items()})),
    }


def _plain(values: np.ndarray) -> list:
    """A list of Python values, missing as None."""
    return [None if v is None or v != v else v for v in values.tolist()]


def input_arrays(rows: dict[str, list], book: Portfolio) -> dict[str, np.ndarray]:
    """Inputs by column name as the models read them, from lists with None for missing."""
    return {
        name: np.array(values, dtype=np.float64 if book.columns[name].is_numeric else object)
        for name, values in rows.items()
    }


# --- Writing ----------------------------------------------------------------------------------------------------------


def save_models(folder: str, models: dict[str, ModelData], champion: str | None) -> dict[str, str]:
    """Write model files, archive those they replace, and publish both in the manifest, replaced last and at once.

    Until the manifest is replaced, and if it never is, readers get the models it names from the archive. Returns the
    path (elsewhere the URL) of each file by version. The other version named becomes the challenger; without a
    champion (None: no model may be one) neither alias stands for a model. Raises ArtifactError, before anything is
    written, when there is no model to be champion or a model is not plain data.
    """
    folder = folder or settings().artifacts_dir
    contents = {name: _dump(data.to_dict()) for name, data in models.items()}
    fs, root = fsspec.core.url_to_fs(folder)
    fs.makedirs(root, exist_ok=True)
    with _locked(fs, root):
        manifest = _read_manifest(fs, root) or {"schema": SCHEMA, "models": {}, "aliases": {}, "archived": []}
        if champion is not None and champion not in manifest["models"] | models:
            known = ", ".join(manifest["models"] | models)
            raise ArtifactError(f"{folder}: there is no model {champion!r} to be the champion; there are {known}")
        paths = {}
        for name, data in models.items():
            content = contents[name]
            file = f"model_data_{name}.joblib"
            _archive(fs, root, manifest, name, content)
            _write(fs, f"{root}/{file}", content)
            paths[name] = f"{root}/{file}" if _is_local(fs) else fs.unstrip_protocol(f"{root}/{file}")
            manifest["models"][name] = {
                "file": file,
                "sha256": _sha256(content),
                "bytes": len(content),
                "portfolio": data.portfolio.name,
                "kind": data.model.to_dict()["model"]["kind"],
                "created": data.training.get("created", ""),
                "run": data.training.get("run", ""),
                "auc": data.metrics["test"]["auc"],
                "versions": data.versions,
            }
        others = [name for name in models if name != champion]
        manifest["aliases"] = {}
        if champion is not None:
            manifest["aliases"] = {CHAMPION: champion} | ({CHALLENGER: others[0]} if others else {})
        manifest["published"] = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
        _write(fs, f"{root}/{MANIFEST}", json.dumps(manifest, indent=2).encode())
    return paths


def _dump(data: dict) -> bytes:
    buffer = io.BytesIO()
    joblib.dump(data, buffer)
    _unpickle(buffer.getvalue(), "this model")  # what could not be read back is not written
    return buffer.getvalue()


def _archive(fs, root: str, manifest: dict, name: str, content: bytes) -> None:
    """Keep the published file of a version before `content` replaces it.

    A file that is not the published one is left out: a writer that died may have replaced, and archived, it already.
    """
    entry = manifest["models"].get(name)
    if entry is None or entry["sha256"] == _sha256(content):
        return
    published, kept = f"{root}/{entry['file']}", _archived(name, entry["sha256"])
    if fs.exists(published) and _sha256(old := fs.cat_file(published)) == entry["sha256"]:
        fs.makedirs(f"{root}/archive", exist_ok=True)
        _write(fs, f"{root}/{kept}", old)
    if fs.exists(f"{root}/{kept}"):
        manifest["archived"].append(entry | {"version": name, "file": kept})


def _archived(version: str, sha256: str) -> str:
    """Where a replaced file is kept."""
    return f"archive/model_data_{version}-{sha256[:12]}.joblib"


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _is_local(fs) -> bool:
    return "file" in (fs.protocol if isinstance(fs.protocol, tuple) else (fs.protocol,))


def _write(fs, path: str, content: bytes) -> None:
    """Replace a file at once where the file system can."""
    if not _is_local(fs):
        fs.pipe_file(path, content)
        return
    handle, temporary = tempfile.mkstemp(dir=Path(path).parent, prefix=".writing-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _locked(fs, root: str):
    """One writer at a time in a local folder."""
    return (
        FileLock(f"{root}/.lock")
        if _is_local(fs)
        else FileLock(Path(tempfile.gettempdir()) / "creditrisk-artifacts.lock")
    )


# --- Reading ----------------------------------------------------------------------------------------------------------


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str):
        raise ArtifactError(
            f"holds {module}.{name}, which is not plain data; a model file never does, so it was not made here"
        )


def _unpickle(content: bytes, what: str) -> dict:
    try:
        data = _PlainUnpickler(io.BytesIO(content)).load()
    except ArtifactError as error:
        raise ArtifactError(f"{what} {error}") from None
    except Exception as error:
        raise ArtifactError(f"{what} cannot be read: {type(error).__name__}") from None
    if not isinstance(data, dict):
        raise ArtifactError(f"{what} is not a model")
    return data


def _read_manifest(fs, root: str) -> dict | None:
    path = f"{root}/{MANIFEST}"
    if not fs.exists(path):
        return None
    try:
        manifest = json.loads(fs.cat_file(path))
    except ValueError as error:
        raise ArtifactError(f"{path} is not valid JSON: {error}") from None
    if not isinstance(manifest, dict) or manifest.get("schema") != SCHEMA:
        found = manifest.get("schema") if isinstance(manifest, dict) else None
        raise ArtifactError(f"{path} has schema {found!r}; this version reads schema {SCHEMA}")
    for part, kind in (("models", dict), ("aliases", dict), ("archived", list)):
        if not isinstance(manifest.setdefault(part, kind()), kind):
            raise ArtifactError(f"{path}: {part!r} is not what a manifest holds; put the file back, or train anew")
    return manifest


def read_manifest(folder: str = "") -> dict:
    """The manifest of an artifacts folder. Raises ArtifactError when there is none."""
    folder = folder or settings().artifacts_dir
    fs, root = fsspec.core.url_to_fs(folder)
    manifest = _read_manifest(fs, root)
    if manifest is None:
        raise ArtifactError(f"{folder}: no {MANIFEST}, so no trained model; run `creditrisk train` first")
    return manifest


def resolve(name: str, manifest: dict) -> str:
    """The version behind an alias or version name. Raises ArtifactError that lists what there is."""
    found = manifest["aliases"].get(name, name)
    if found == CHAMPION and manifest["models"]:
        raise ArtifactError(
            "there is no champion: no model of the last training run passed its release gate, and its report says why; "
            f"name a model to use it all the same: {', '.join(manifest['models'])}"
        )
    if found not in manifest["models"]:
        known = [*manifest["models"], *manifest["aliases"]]
        raise ArtifactError(f"there is no model {name!r}; there are {', '.join(known)}")
    return found


def load_model(name: str = CHAMPION, folder: str = "") -> ModelData:
    """Load and verify a model by version or alias.

    Raises ArtifactError when the file's hash is not the manifest's, it holds anything but plain data, a part is
    missing or does not work, or its test vectors do not reproduce.
    """
    folder = folder or settings().artifacts_dir
    fs, root = fsspec.core.url_to_fs(folder)
    manifest = read_manifest(folder)
    version = resolve(name, manifest)
    entry = manifest["models"][version]
    model = _read_listed(fs, root, entry | {"version": version})
    if model is None:
        raise ArtifactError(f"{root}/{entry['file']}: the manifest names this file, but it is not there")
    return model


def _read_listed(fs, root: str, entry: dict) -> ModelData | None:
    """A model that the manifest lists; None when its file is not there.

    A newer version is written over a published file before the manifest names it. Until then, and if the writer
    died, the listed one is the copy in the archive.
    """
    contents = {}
    for file in (entry["file"], _archived(entry["version"], entry["sha256"])):
        if fs.exists(f"{root}/{file}"):
            contents[file] = fs.cat_file(f"{root}/{file}")
            if _sha256(contents[file]) == entry["sha256"]:
                return read_model(contents[file], file, entry["sha256"])
    for file, content in contents.items():
        return read_model(content, file, entry["sha256"])  # raises, and says how it differs
    return None


def load_exact(version: str, sha256: str, folder: str = "") -> ModelData:
    """Load and verify the very model that made a prediction, published now or archived since.

    Raises ArtifactError when the folder holds no such file, and as `load_model` does.
    """
    folder = folder or settings().artifacts_dir
    fs, root = fsspec.core.url_to_fs(folder)
    manifest = read_manifest(folder)
    published = [entry | {"version": name} for name, entry in manifest["models"].items()]
    kept = [*published, *reversed(manifest.get("archived", []))]
    listed = [entry for entry in kept if (entry["version"], entry["sha256"]) == (version, sha256)]
    for entry in listed:
        if (model := _read_listed(fs, root, entry)) is not None:
            return model
    wrong = f"names {listed[0]['file']}, which is not there" if listed else "lists no such file, published or archived"
    raise ArtifactError(
        f"model {version} with SHA-256 {sha256[:12]}... is not in {folder}: the manifest {wrong}; put the file back"
    )


def read_model(content: bytes, what: str, sha256: str) -> ModelData:
    """Verify the bytes of a model file against its hash, and make the model from these same bytes."""
    found = _sha256(content)
    if found != sha256:
        raise ArtifactError(
            f"{what} was altered or is damaged: its SHA-256 is {found[:12]}..., the manifest says {sha256[:12]}..."
        )
    data = _unpickle(content, what)
    if data.get("schema") != SCHEMA:
        raise ArtifactError(f"{what} has schema {data.get('schema')!r}; this version reads schema {SCHEMA}")
    missing = [part for part in PARTS if part not in data]
    if missing:
        raise ArtifactError(f"{what} lacks {', '.join(missing)}")
    try:
        model = ModelData.from_dict(data, found)
        replay(model, what)
    except ArtifactError:
        raise
    except Exception as error:  # whatever is wrong with its parts, the file is at fault
        raise ArtifactError(f"{what} holds parts that do not work: {type(error).__name__}: {error}") from error
    return model


def replay(data: ModelData, what: str) -> float:
    """Score the test vectors; returns the largest difference. Raises ArtifactError when it is above tolerance."""
    inputs = input_arrays(data.test_vectors["inputs"], data.portfolio)
    pds, expected = data.model.pd(data.columns(inputs)), np.array(data.test_vectors["pd"], dtype=np.float64)
    if not len(pds) or pds.shape != expected.shape:
        raise ArtifactError(f"{what} has {len(expected)} PDs for {len(pds)} test vectors; it cannot be verified")
    difference = float(np.abs(pds - expected).max())
    allowed = TOLERANCE[data.model.to_dict()["model"]["kind"]]
    if not difference <= allowed:
        raise ArtifactError(
            f"{what} does not reproduce its test vectors: PDs differ by up to {difference:.2g} (allowed {allowed:g}); "
            f"it was made with {data.versions}, this is {library_versions()}"
        )
    return difference


def _load_pyfunc(path: str):
    """Entry point of MLflow's python_function flavour: predict(frame of inputs) -> frame of scores."""
    from creditrisk.serving.scorer import FrameScorer

    file = next(Path(path).glob("*.joblib"), Path(path)) if Path(path).is_dir() else Path(path)
    content = file.read_bytes()
    return FrameScorer(read_model(content, file.name, _sha256(content)))
