"""The artifact: `model_data_vN.joblib`, the manifest that vouches for it, and how both are written and read.

A model file holds nothing but plain data (numbers, text, bytes, lists, dicts), so reading it needs no class of any
library: the reader refuses every other content before it could run. Whoever loads a model needs nothing else, and
refuses it when its hash is not the manifest's or its test vectors do not reproduce.

Beside each file lies its twin, the same as strict JSON: `model_data_vN.json`, and for trees `model_data_vN.ubj`, which
is XGBoost's own format. It outlives versions of Python, pickle and joblib, and is verified in the same way.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import io
import json
import os
import pickle
import platform
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from math import isfinite
from pathlib import Path, PurePosixPath

import fsspec
import joblib
import numpy as np
from filelock import FileLock

from creditrisk.data.features import derive, sources
from creditrisk.data.portfolio import Portfolio, parse_portfolio
from creditrisk.errors import ArtifactError, ParameterError
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
NEEDED = ("python", "numpy", "pandas", "scikit-learn", "joblib")
"""What every model file says the version of; trees name their XGBoost, too."""
TWIN = 1
"""Format of the twin: how JSON holds what JSON has no word for."""


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
            "left_out": fitted["left_out"],
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
            model=PDModel.from_dict(
                {"design": design} | {part: data.get(part) for part in ("model", "calibration", "left_out")}
            ),
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


# --- Names of versions ------------------------------------------------------------------------------------------------


def next_versions(manifest: Mapping, count: int) -> list[str]:
    """Names for new versions, as in v3, v4. A number is never used again, be its file archived by now."""
    listed = [*manifest["models"], *(entry["version"] for entry in manifest["archived"])]
    listed += [one["version"] for one in manifest.get("promotions", [])]
    numbers = [int(found[1]) for name in listed if (found := re.fullmatch(r"v(\d+)", name))]
    first = max(numbers, default=0) + 1
    return [f"v{number}" for number in range(first, first + count)]


def promoted(manifest: Mapping) -> bool:
    """Whether a person has promoted a model in this folder. From then on no training run moves an alias by itself."""
    return bool(manifest.get("promotions"))


def version_names(how: str, folder: str = "", bases: Sequence[str] = ("v1", "v2")) -> dict[str, str]:
    """Under which version each of a training run's models is filed, by its base name.

    `replace`: under its own, in place of what is there. `next`: under a new number (v3, v4). `auto`: replace, unless a
    person has promoted a model in this folder. Where a name is not its base, file with `save_models(as_new=True)`.
    Ask just before filing: another run may take the same numbers, and the later one is then refused.
    """
    if how not in ("auto", "replace", "next"):
        raise ParameterError(f"versions is {how!r}; use one of auto, replace, next")
    fs, root = fsspec.core.url_to_fs(folder or settings().artifacts_dir)
    manifest = _read_manifest(fs, root) or _new_manifest()
    if how == "replace" or (how == "auto" and not promoted(manifest)):
        return {base: base for base in bases}
    return dict(zip(bases, next_versions(manifest, len(bases)), strict=True))


# --- Writing ----------------------------------------------------------------------------------------------------------


def save_models(
    folder: str, models: dict[str, ModelData], champion: str | None = None, *, as_new: bool = False
) -> dict[str, str]:
    """Write model files and their twins, archive those they replace, and publish all in the manifest, replaced last.

    Until the manifest is replaced, and if it never is, readers get the models it names from the archive. Returns the
    path (elsewhere the URL) of each file by version. The other version named becomes the challenger; without a
    champion (None: no model may be one) neither alias stands for a model. With `as_new` the models are new versions:
    those there, and the aliases, are left alone. Raises ArtifactError, before anything is written, when there is no
    model to be champion, a model is not plain data or says that it is another version, or a new version is there.
    """
    if as_new and champion is not None:
        raise ValueError("as_new leaves the aliases alone, so it takes no champion")
    folder = folder or settings().artifacts_dir
    contents = {name: _contents(name, data) for name, data in models.items()}
    fs, root = fsspec.core.url_to_fs(folder)
    fs.makedirs(root, exist_ok=True)
    with _locked(fs, root):
        manifest = _read_manifest(fs, root) or _new_manifest()
        if champion is not None and champion not in manifest["models"] | models:
            known = ", ".join(manifest["models"] | models)
            raise ArtifactError(f"{folder}: there is no model {champion!r} to be the champion; there are {known}")
        if as_new:
            _stop_if_taken(folder, manifest, {name: _sha256(contents[name][""]) for name in models})
        paths = {}
        for name, data in models.items():
            described = _describe(name, contents[name])
            _archive(fs, root, manifest, name, described["sha256"])
            for part, content in contents[name].items():
                _write(fs, f"{root}/{(described[part] if part else described)['file']}", content)
            file = f"{root}/{described['file']}"
            paths[name] = file if _is_local(fs) else fs.unstrip_protocol(file)
            manifest["models"][name] = described | {
                "portfolio": data.portfolio.name,
                "kind": data.model.to_dict()["model"]["kind"],
                "created": data.training.get("created", ""),
                "run": data.training.get("run", ""),
                "auc": data.metrics["test"]["auc"],
                "gate": None if data.gate is None else data.gate.status,
                "versions": data.versions,
            }
        if not as_new:
            others = [name for name in models if name != champion]
            manifest["aliases"] = {}
            if champion is not None:
                manifest["aliases"] = {CHAMPION: champion} | ({CHALLENGER: others[0]} if others else {})
        manifest["published"] = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
        _write(fs, f"{root}/{MANIFEST}", json.dumps(manifest, indent=2).encode())
    return paths


def set_champion(record: Mapping, folder: str = "") -> dict[str, str]:
    """Make a version the champion and file the record of its promotion, both at once. Returns the aliases.

    The record says what was judged: `version` with its `sha256`, and `before`, the champion it was held against (None
    without one), with `before_sha256`. The champion before becomes the challenger. Raises ArtifactError when another
    model stands in one of these places by now.
    """
    folder = folder or settings().artifacts_dir
    fs, root = fsspec.core.url_to_fs(folder)
    with _locked(fs, root):
        manifest = read_manifest(folder)
        models, before = manifest["models"], manifest["aliases"].get(CHAMPION)
        known = before in models
        judged = {record["version"]: record["sha256"]} | ({before: record["before_sha256"]} if known else {})
        same = all(name in models and models[name]["sha256"] == sha256 for name, sha256 in judged.items())
        if before != record["before"] or not same:
            raise ArtifactError(
                f"{folder}: models or aliases were changed by another process while {record['version']} was judged; "
                "nothing was promoted: look at `creditrisk models` and promote again"
            )
        manifest["aliases"] |= {CHAMPION: record["version"]} | ({CHALLENGER: before} if known else {})
        if manifest["aliases"].get(CHALLENGER) == record["version"]:
            del manifest["aliases"][CHALLENGER]
        manifest["promotions"].append(dict(record))
        _write(fs, f"{root}/{MANIFEST}", json.dumps(manifest, indent=2, allow_nan=False).encode())
    return manifest["aliases"]


def set_challenger(record: Mapping, folder: str = "") -> dict[str, str]:
    """File the record of a proposal and, if it is `proposed`, make its version the challenger. Returns the aliases.

    The record says what was judged: `version` with its `sha256`, and `champion` with `champion_sha256`. The champion
    stays. Raises ArtifactError when another model stands in one of these places by now.
    """
    folder = folder or settings().artifacts_dir
    fs, root = fsspec.core.url_to_fs(folder)
    with _locked(fs, root):
        manifest = read_manifest(folder)
        models = manifest["models"]
        judged = {record["version"]: record["sha256"], record["champion"]: record["champion_sha256"]}
        same = all(name in models and models[name]["sha256"] == sha256 for name, sha256 in judged.items())
        if manifest["aliases"].get(CHAMPION) != record["champion"] or not same:
            raise ArtifactError(
                f"{folder}: models or aliases were changed by another process while {record['version']} was judged; "
                "nothing was proposed: look at `creditrisk models` and start again"
            )
        if record["proposed"]:
            manifest["aliases"][CHALLENGER] = record["version"]
        manifest.setdefault("proposals", []).append(dict(record))
        _write(fs, f"{root}/{MANIFEST}", json.dumps(manifest, indent=2, allow_nan=False).encode())
    return manifest["aliases"]


def _new_manifest() -> dict:
    return {"schema": SCHEMA, "models": {}, "aliases": {}, "archived": [], "promotions": []}


def _stop_if_taken(folder: str, manifest: Mapping, hashes: Mapping[str, str]) -> None:
    archived = {entry["version"]: entry for entry in manifest["archived"]}
    for name, sha256 in hashes.items():
        entry = (archived | manifest["models"]).get(name)
        if entry is not None and entry["sha256"] != sha256:
            raise ArtifactError(
                f"{folder}: {name} is there already, filed by run {entry.get('run', '')!r} at {entry['created']}, and "
                "new versions replace nothing; ask version_names again and file under the names it gives"
            )


def _contents(name: str, data: ModelData) -> dict[str, bytes]:
    """What is written for a model, by part: "" the model file, "twin" its JSON, "booster" the trees, if it has any."""
    if data.version != name:
        raise ArtifactError(f"the model to be filed as {name} says that it is {data.version}; make it as {name}")
    content = data.to_dict()
    parts = {"": _dump(content)}
    model = content["model"]
    if "booster" in model:
        parts["booster"] = model["booster"]
        content["model"] = model | {"booster": {"file": f"model_data_{name}.ubj"} | _hash_of(model["booster"])}
    content = {"twin": {"format": TWIN, "of": _sha256(parts[""])}} | content
    parts["twin"] = json.dumps(_to_json(content), indent=1, allow_nan=False).encode()
    return parts


def _describe(name: str, contents: Mapping[str, bytes]) -> dict:
    """The manifest's entry of a model's files."""
    ends = {"": "joblib", "twin": "json", "booster": "ubj"}
    found = {part: {"file": f"model_data_{name}.{ends[part]}"} | _hash_of(one) for part, one in contents.items()}
    return found.pop("") | found


def _hash_of(content: bytes) -> dict:
    return {"sha256": _sha256(content), "bytes": len(content)}


def _dump(data: dict) -> bytes:
    buffer = io.BytesIO()
    joblib.dump(data, buffer)
    _unpickle(buffer.getvalue(), "this model")  # what could not be read back is not written
    return buffer.getvalue()


def _to_json(value):
    """Plain data as strict JSON holds it: tuples are lists, and a number that JSON lacks is {"$number": "nan"}."""
    if isinstance(value, dict):
        if wrong := [key for key in value if not isinstance(key, str) or key == "$number"]:
            raise ArtifactError(f"this model holds the key {wrong[0]!r}, which its JSON cannot hold")
        return {key: _to_json(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_to_json(one) for one in value]
    if isinstance(value, float) and not isfinite(value):
        return {"$number": repr(value)}
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise ArtifactError(f"this model holds {type(value).__name__}, which its JSON cannot hold")


def _archive(fs, root: str, manifest: dict, name: str, sha256: str) -> None:
    """Keep the published files of a version before a model with another hash replaces it.

    A file that is not the published one is left out: a writer that died may have replaced, and archived, it already.
    """
    entry = manifest["models"].get(name)
    if entry is None or entry["sha256"] == sha256:
        return
    kept = {}
    for part in ("", "twin", "booster"):
        listed = entry if not part else entry.get(part)
        if listed is None:
            continue
        published, to = f"{root}/{listed['file']}", _archived(name, entry["sha256"], listed["file"])
        if fs.exists(published) and _sha256(old := fs.cat_file(published)) == listed["sha256"]:
            fs.makedirs(f"{root}/archive", exist_ok=True)
            _write(fs, f"{root}/{to}", old)
        if fs.exists(f"{root}/{to}"):
            kept[part] = listed | {"file": to}
    if "" in kept:
        rest = {key: value for key, value in kept.pop("").items() if key not in ("twin", "booster")}
        manifest["archived"].append(rest | kept | {"version": name})


def _archived(version: str, sha256: str, file: str) -> str:
    """Where a replaced file is kept: under the hash of its model file, so that a twin stays beside it."""
    return f"archive/model_data_{version}-{sha256[:12]}{PurePosixPath(file).suffix}"


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
    for part, kind in (("models", dict), ("aliases", dict), ("archived", list), ("promotions", list)):
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
    found = _read_file(fs, root, entry, entry)
    return None if found is None else read_model(*found, entry["sha256"])


def _read_file(fs, root: str, entry: dict, listed: dict) -> tuple[bytes, str] | None:
    """Content and name of a file of a model: the one with the hash that is listed, else any; None without one."""
    contents = {}
    for file in (listed["file"], _archived(entry["version"], entry["sha256"], listed["file"])):
        if fs.exists(f"{root}/{file}"):
            contents[file] = fs.cat_file(f"{root}/{file}")
            if _sha256(contents[file]) == listed["sha256"]:
                return contents[file], file
    return next(((content, file) for file, content in contents.items()), None)  # whoever reads it says how it differs


def load_exact(version: str, sha256: str, folder: str = "") -> ModelData:
    """Load and verify the very model that made a prediction, published now or archived since.

    Raises ArtifactError when the folder holds no such file, and as `load_model` does.
    """
    folder = folder or settings().artifacts_dir
    fs, root = fsspec.core.url_to_fs(folder)
    listed = [one for one in _entries(read_manifest(folder)) if (one["version"], one["sha256"]) == (version, sha256)]
    for entry in listed:
        if (model := _read_listed(fs, root, entry)) is not None:
            return model
    wrong = f"names {listed[0]['file']}, which is not there" if listed else "lists no such file, published or archived"
    raise ArtifactError(
        f"model {version} with SHA-256 {sha256[:12]}... is not in {folder}: the manifest {wrong}; put the file back"
    )


def load_twin(name: str = CHAMPION, folder: str = "", sha256: str = "") -> ModelData:
    """Load and verify a model from its twin; nothing is unpickled.

    `name` is a version, an alias, or the path (or URL) of a .json file, whose trees are the .ubj file of the same name
    beside it. The hash of the JSON must be the manifest's (of `folder`, for a file else of its own folder), or
    `sha256` where that is given; the trees' hash must be the JSON's. Raises ArtifactError as `load_model` does.
    """
    if not name.endswith(".json"):
        folder = folder or settings().artifacts_dir
        fs, root = fsspec.core.url_to_fs(folder)
        manifest = read_manifest(folder)
        version = resolve(name, manifest)
        return _read_twin_of(fs, root, manifest["models"][version] | {"version": version}, sha256)
    fs, path = fsspec.core.url_to_fs(name)
    if not fs.exists(path):
        raise ArtifactError(f"{name}: there is no such file")
    place, trees = PurePosixPath(path).parent, path.removesuffix(".json") + ".ubj"
    if not sha256:
        inner = place.name == "archive"
        where, root = fsspec.core.url_to_fs(folder) if folder else (fs, str(place.parent if inner else place))
        manifest = _read_manifest(where, root)
        file = PurePosixPath(path).name
        entries = [] if manifest is None else _entries(manifest)
        twins = {PurePosixPath(one["twin"]["file"]).name: one["twin"]["sha256"] for one in entries if "twin" in one}
        if file not in twins:
            raise ArtifactError(f"{name}: no manifest vouches for this file; give its SHA-256, or its artifacts folder")
        sha256 = twins[file]
    booster = fs.cat_file(trees) if fs.exists(trees) else None
    return read_twin(fs.cat_file(path), booster, PurePosixPath(path).name, sha256)


def load_exact_twin(version: str, sha256: str, folder: str = "") -> ModelData:
    """As `load_exact`, from the twin; `sha256` is that of the model file."""
    folder = folder or settings().artifacts_dir
    fs, root = fsspec.core.url_to_fs(folder)
    for entry in _entries(read_manifest(folder)):
        if (entry["version"], entry["sha256"]) == (version, sha256):
            return _read_twin_of(fs, root, entry)
    raise ArtifactError(f"model {version} with SHA-256 {sha256[:12]}... is not in the manifest of {folder}")


def _entries(manifest: Mapping) -> list[dict]:
    """Every model that the manifest lists, published ones first, then archived ones, the latest first."""
    published = [entry | {"version": name} for name, entry in manifest["models"].items()]
    return [*published, *reversed(manifest["archived"])]


def _read_twin_of(fs, root: str, entry: dict, sha256: str = "") -> ModelData:
    """The twin of a model that the manifest lists."""
    if "twin" not in entry:
        raise ArtifactError(f"{entry['file']} was filed without a twin, by an earlier version; file the model anew")
    found = _read_file(fs, root, entry, entry["twin"])
    if found is None:
        raise ArtifactError(f"{root}/{entry['twin']['file']}: the manifest names this file, but it is not there")
    trees = _read_file(fs, root, entry, entry["booster"]) if "booster" in entry else None
    model = read_twin(found[0], trees and trees[0], found[1], sha256 or entry["twin"]["sha256"])
    if (model.version, model.sha256) != (entry["version"], entry["sha256"]):
        raise ArtifactError(
            f"{found[1]} is the twin of {model.version}, {model.sha256[:12]}..., not of {entry['version']}, "
            f"{entry['sha256'][:12]}..."
        )
    return model


def read_model(content: bytes, what: str, sha256: str) -> ModelData:
    """Verify the bytes of a model file against its hash, and make the model from these same bytes."""
    _check_hash(content, what, sha256)
    return _made(_unpickle(content, what), what, sha256)


def read_twin(content: bytes, booster: bytes | None, what: str, sha256: str) -> ModelData:
    """Verify the bytes of a twin against its hash, and make the model from them and, for trees, the .ubj file's.

    The model's `sha256` is that of the model file whose twin it is.
    """
    _check_hash(content, what, sha256)
    try:
        data = json.loads(content, parse_constant=_no_number, object_hook=_number)
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{what} cannot be read: {error}") from None
    said = data.get("twin") if isinstance(data, dict) else None
    if not isinstance(said, dict) or said.get("format") != TWIN or not isinstance(said.get("of"), str):
        found = said.get("format") if isinstance(said, dict) else None
        raise ArtifactError(f"{what} is a twin of format {found!r}; this version reads format {TWIN}")
    model = data.get("model")
    if isinstance(model, dict) and "booster" in model:
        trees = model["booster"]
        if not isinstance(trees, dict) or not isinstance(trees.get("sha256"), str):
            raise ArtifactError(f"{what} does not say which file holds its trees")
        if booster is None:
            raise ArtifactError(f"{what} needs the trees of {trees.get('file')}, which is not there; put it beside it")
        _check_hash(booster, f"{trees.get('file')}, the trees of {what},", trees["sha256"], what)
        data = data | {"model": model | {"booster": booster}}
    return _made(data, what, said["of"])


def _number(pairs: dict):
    """Back from `_to_json`."""
    return float(pairs["$number"]) if pairs.keys() == {"$number"} else pairs


def _no_number(name: str):
    raise ValueError(f"{name} is no JSON")


def _check_hash(content: bytes, what: str, sha256: str, whose: str = "the manifest") -> None:
    found = _sha256(content)
    if found != sha256:
        raise ArtifactError(
            f"{what} was altered or is damaged: its SHA-256 is {found[:12]}..., {whose} says {sha256[:12]}..."
        )


def _made(data: dict, what: str, sha256: str) -> ModelData:
    """The model of a file's content, once it has shown that it works."""
    if data.get("schema") != SCHEMA:
        raise ArtifactError(f"{what} has schema {data.get('schema')!r}; this version reads schema {SCHEMA}")
    missing = [part for part in PARTS if part not in data]
    if missing:
        raise ArtifactError(f"{what} lacks {', '.join(missing)}")
    try:
        _require_versions(data["versions"], data["model"]["kind"], what)
        model = ModelData.from_dict(data, sha256)
        replay(model, what)
    except ArtifactError:
        raise
    except Exception as error:  # whatever is wrong with its parts, the file is at fault
        raise ArtifactError(f"{what} holds parts that do not work: {type(error).__name__}: {error}") from error
    return model


def _require_versions(versions: Mapping, kind: str, what: str) -> None:
    """Raise ArtifactError when a file does not say with which libraries it was made.

    Another version than here is no fault: whether the PDs are the same is seen by the test vectors.
    """
    trees = [] if kind != "xgboost" or {"xgboost", "xgboost-cpu"} & versions.keys() else ["xgboost"]
    unsaid = [name for name in NEEDED if not isinstance(versions.get(name), str)] + trees
    if unsaid:
        raise ArtifactError(
            f"{what} does not say with which version of {', '.join(unsaid)} it was made, as every model file does; it "
            f"names {dict(versions)}"
        )


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
