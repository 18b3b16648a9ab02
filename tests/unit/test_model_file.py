"""The model file and its manifest: what is written is read back, and nothing else is."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import threading
import uuid
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import fsspec
import joblib
import numpy as np
import pytest

from creditrisk.errors import ArtifactError
from creditrisk.serving import model as model_file
from creditrisk.serving.model import (
    PARTS,
    ModelData,
    load_exact,
    load_model,
    read_manifest,
    read_model,
    replay,
    resolve,
    save_models,
)
from creditrisk.serving.scorer import Scorer
from unit.models import RETAIL, published, small_models, small_training, some_applications

VERSIONS = ("v1", "v2")


@pytest.fixture
def folder(tmp_path) -> Path:
    """An artifacts folder with both versions published."""
    published(tmp_path / "artifacts")
    return tmp_path / "artifacts"


def retrained(version: str, seed: int = 43) -> ModelData:
    """The same model with another history, hence another file."""
    data = small_models()[version]
    return replace(data, training=data.training | {"seed": seed})


def manifest_of(folder: Path) -> dict:
    return json.loads((folder / "manifest.json").read_text())


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def dumped(content: object) -> bytes:
    buffer = io.BytesIO()
    joblib.dump(content, buffer)
    return buffer.getvalue()


def plant(folder: Path, content: bytes, version: str = "v2") -> None:
    """Put a file in place of a model, with a manifest that vouches for it."""
    (folder / f"model_data_{version}.joblib").write_bytes(content)
    manifest = manifest_of(folder)
    manifest["models"][version]["sha256"] = hashlib.sha256(content).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))


# What is written


@pytest.mark.parametrize("version", VERSIONS)
def test_a_loaded_model_is_the_saved_one(folder, version):
    saved, loaded = small_models()[version], load_model(version, str(folder))
    assert replace(loaded, sha256="") == saved
    assert loaded.sha256 == sha256(folder / f"model_data_{version}.joblib")
    columns = small_training().part("test").columns
    assert np.array_equal(loaded.model.pd(columns), saved.model.pd(columns))
    applications = some_applications().frame
    before, after = (Scorer(data).score_frame(applications) for data in (saved, loaded))
    assert np.array_equal(before.pd, after.pd) and before.reasons == after.reasons


def test_the_manifest_says_what_is_in_the_folder(folder):
    manifest = manifest_of(folder)
    assert manifest == read_manifest(str(folder)) and manifest["schema"] == 1
    assert manifest["aliases"] == {"champion": "v2", "challenger": "v1"} and manifest["archived"] == []
    for version, kind in (("v1", "logistic"), ("v2", "xgboost")):
        entry, path = manifest["models"][version], folder / f"model_data_{version}.joblib"
        assert entry["file"] == path.name and entry["sha256"] == sha256(path) and entry["bytes"] == path.stat().st_size
        assert (entry["portfolio"], entry["kind"], entry["run"]) == ("retail", kind, "a-run")
        assert entry["auc"] == small_models()[version].metrics["test"]["auc"]
        assert entry["versions"]["python"] and entry["created"]


def types_within(value: object) -> set[type]:
    found = {type(value)}
    if isinstance(value, dict):
        found |= set().union(*(types_within(part) for pair in value.items() for part in pair))
    elif isinstance(value, list | tuple):
        found |= set().union(*(types_within(part) for part in value))
    return found


@pytest.mark.parametrize("version", VERSIONS)
def test_a_model_file_holds_plain_data_only(folder, version):
    data = joblib.load(folder / f"model_data_{version}.joblib")
    assert types_within(data) <= {dict, list, tuple, str, bytes, int, float, bool, type(None)}
    assert set(PARTS) <= set(data) and data["schema"] == 1
    assert data["test_vectors"]["pd"] and len(data["test_vectors"]["inputs"]["age"]) == len(data["test_vectors"]["pd"])
    text = str({k: v for k, v in data.items() if k != "model"})
    assert str(Path.home()) not in text and str(folder) not in text


def test_what_is_not_plain_data_is_not_written(folder):
    odd = replace(small_models()["v2"], metrics={"test": {"auc": np.float64(0.9)}})
    before = {path.name: path.read_bytes() for path in folder.glob("*.*")}
    with pytest.raises(ArtifactError, match="numpy.*not plain data"):
        save_models(str(folder), {"v1": retrained("v1"), "v2": odd}, "v2")
    assert {path.name: path.read_bytes() for path in folder.glob("*.*")} == before


def test_a_champion_that_does_not_exist_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(ArtifactError, match="no model 'v3' to be the champion; there are v1"):
        save_models(str(tmp_path), {"v1": small_models()["v1"]}, "v3")
    assert not list(tmp_path.glob("*.joblib")) and not (tmp_path / "manifest.json").exists()


def test_one_version_can_be_published_without_the_other(folder):
    v1 = sha256(folder / "model_data_v1.joblib")
    save_models(str(folder), {"v2": retrained("v2")}, "v2")
    assert manifest_of(folder)["aliases"] == {"champion": "v2"}
    assert load_model("v1", str(folder)).sha256 == v1 and load_model("v2", str(folder)).training["seed"] == 43


# Names


def test_versions_and_aliases_resolve(folder):
    manifest = read_manifest(str(folder))
    assert [resolve(n, manifest) for n in ("v1", "v2", "champion", "challenger")] == ["v1", "v2", "v2", "v1"]
    with pytest.raises(ArtifactError, match="no model 'v9'; there are v1, v2, champion, challenger"):
        load_model("v9", str(folder))
    assert load_model(folder=str(folder)).version == "v2"
    manifest["aliases"]["champion"] = "v7"
    with pytest.raises(ArtifactError, match="no model 'champion'"):
        resolve("champion", manifest)


def test_a_folder_without_models_says_what_to_run(tmp_path):
    with pytest.raises(ArtifactError, match="creditrisk train"):
        load_model("v1", str(tmp_path / "nowhere"))


@pytest.mark.parametrize(("text", "said"), [
    ("{", "not valid JSON"), ("[]", "schema None"), ("3", "schema None"), ('{"schema": 2}', "schema 2; .* schema 1"),
    ('{"schema": 1, "models": []}', "'models' is not"), ("\xff\xfe", "not valid JSON"),
])  # fmt: skip
def test_a_manifest_of_another_shape_is_refused(folder, text, said):
    (folder / "manifest.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(ArtifactError, match=said):
        load_model("v1", str(folder))
    with pytest.raises(ArtifactError, match=said):
        save_models(str(folder), {"v1": small_models()["v1"]}, "v1")


# Refusals


def test_a_missing_file_is_named(folder):
    (folder / "model_data_v2.joblib").unlink()
    with pytest.raises(ArtifactError, match=r"model_data_v2\.joblib: the manifest names this file"):
        load_model("champion", str(folder))
    assert load_model("v1", str(folder)).version == "v1"


def test_every_flipped_byte_is_noticed(folder):
    path = folder / "model_data_v1.joblib"
    content = path.read_bytes()
    for at in np.linspace(0, len(content) - 1, 25).astype(int):
        path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        with pytest.raises(ArtifactError, match=r"v1\.joblib was altered or is damaged: its SHA-256 is"):
            load_model("v1", str(folder))


def test_another_hash_in_the_manifest_is_refused(folder):
    manifest = manifest_of(folder)
    manifest["models"]["v1"]["sha256"] = "0" * 64
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ArtifactError, match="the manifest says 000000000000"):
        load_model("v1", str(folder))


class Attack:
    """Unpickling this calls a function: it would make a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return Path.touch, (self.target,)


class Command(Attack):
    def __reduce__(self):
        import os

        return os.system, (f"touch {self.target}",)


class Late(Attack):
    """Nothing is called when it is made; its state is set by code of the attacker's choice."""

    def __reduce__(self):
        return dict, (), None, None, iter([("touched", Command(self.target))])


def object_array(payload: object) -> np.ndarray:
    array = np.empty(2, dtype=object)
    array[:] = payload, 1
    return array


SHAPES = {
    "itself": lambda payload: payload,
    "a value": lambda payload: {"schema": 1, "version": payload},
    "a key": lambda payload: {(payload, 1): "v1"},
    "deep": lambda payload: {"schema": 1, "model": [{"coefficients": ([payload],)}]},
    "an object array": lambda payload: {"schema": 1, "model": object_array(payload)},
    "a set": lambda payload: {"schema": 1, "model": {1, frozenset([2]), payload}},
}


@pytest.mark.parametrize("kind", [Attack, Command, Late])
@pytest.mark.parametrize("shape", SHAPES)
def test_code_in_a_file_is_refused_and_never_runs(folder, tmp_path, kind, shape):
    target = tmp_path / "touched"
    content = dumped(SHAPES[shape](kind(target)))
    plant(folder, content)
    with pytest.raises(ArtifactError, match="model_data_v2.joblib holds .* which is not plain data"):
        load_model("v2", str(folder))
    assert not target.exists()
    with suppress(TypeError):  # a dict is no key, but by then it is too late
        joblib.load(io.BytesIO(content))
    assert target.exists(), "the attack works where nothing is checked"


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_code_is_refused_in_every_pickle_protocol(protocol, tmp_path):
    content = pickle.dumps({"schema": 1, "model": Command(tmp_path / "touched")}, protocol=protocol)
    with pytest.raises(ArtifactError, match="not plain data"):
        read_model(content, "a file", hashlib.sha256(content).hexdigest())
    assert not (tmp_path / "touched").exists()


@pytest.mark.parametrize(
    "value", [np.float64(0.5), np.arange(3), np.array([None, 1]), RETAIL, hashlib, Path("x"), dict]
)
def test_a_class_of_any_library_is_refused(value):
    if value is hashlib:
        value = hashlib.sha256
    content = dumped({"schema": 1, "metrics": value})
    with pytest.raises(ArtifactError, match="not plain data"):
        read_model(content, "a file", hashlib.sha256(content).hexdigest())


def test_extension_codes_and_persistent_ids_lead_nowhere(tmp_path):
    import copyreg
    import os

    copyreg.add_extension("posix", "system", 240)
    try:
        calls = pickle.EXT1 + b"\xf0" + pickle.UNICODE + f"touch {tmp_path / 'touched'}\n".encode() + pickle.TUPLE1
        for content in (pickle.PROTO + b"\x02" + calls + pickle.REDUCE + pickle.STOP, b"Psomething\n."):
            with pytest.raises(ArtifactError):
                read_model(content, "a file", hashlib.sha256(content).hexdigest())
        assert os.system is not None and not (tmp_path / "touched").exists()
    finally:
        copyreg.remove_extension("posix", "system", 240)


@pytest.mark.parametrize("content", [b"", b"\x80", b"no pickle", b"PK\x03\x04", dumped([1, 2]), dumped("text")])
def test_what_is_no_model_is_refused(content):
    with pytest.raises(ArtifactError, match="a file (cannot be read|is not a model)"):
        read_model(content, "a file", hashlib.sha256(content).hexdigest())


@pytest.mark.parametrize("share", [0.01, 0.5, 0.99])
def test_a_truncated_file_is_refused(folder, share):
    content = (folder / "model_data_v2.joblib").read_bytes()
    plant(folder, content[: int(len(content) * share)])
    with pytest.raises(ArtifactError, match=r"model_data_v2\.joblib cannot be read"):
        load_model("v2", str(folder))


def changed(version: str, **parts) -> bytes:
    return dumped(small_models()[version].to_dict() | parts)


@pytest.mark.parametrize("part", PARTS)
def test_a_missing_part_is_named(folder, part):
    data = small_models()["v1"].to_dict()
    del data[part]
    plant(folder, dumped(data), "v1")
    with pytest.raises(ArtifactError, match=f"model_data_v1.joblib lacks {part}$"):
        load_model("v1", str(folder))


@pytest.mark.parametrize("schema", [0, 2, "1", None])
def test_another_schema_is_refused(folder, schema):
    plant(folder, changed("v1", schema=schema), "v1")
    with pytest.raises(ArtifactError, match=r"has schema .*; this version reads schema 1"):
        load_model("v1", str(folder))


@pytest.mark.parametrize(("part", "value"), [
    ("portfolio", {"name": "retail", "source": "retail.toml", "text": "name = 3"}),
    ("model", {"kind": "xgboost", "booster": b"no booster"}),
    ("model", {"kind": "logistic", "coefficients": [1.0], "intercept": 0.0}),
    ("model", 5),
    ("design", {"kind": "tree"}),
    ("bins", [{"name": "age"}]),
    ("calibration", {"method": "platt"}),
    ("scorecard", {}),
    ("test_vectors", {"inputs": {}, "pd": []}),
    ("test_vectors", {"inputs": {"age": ["old"]}, "pd": [0.1]}),
])  # fmt: skip
def test_parts_that_do_not_work_are_the_files_fault(folder, part, value):
    version = "v1" if part == "bins" else "v2"
    plant(folder, changed(version, **{part: value}), version)
    with pytest.raises(
        ArtifactError, match=f"model_data_{version}.joblib (holds parts that do not work|does not reproduce|has)"
    ):
        load_model(version, str(folder))


@pytest.mark.parametrize(("version", "by"), [("v1", 1e-9), ("v2", 1e-5), ("v2", float("nan"))])
def test_a_changed_test_vector_is_noticed(folder, version, by):
    vectors = small_models()[version].test_vectors
    other = [*vectors["pd"][:-1], vectors["pd"][-1] + by]
    plant(folder, changed(version, test_vectors=vectors | {"pd": other}), version)
    with pytest.raises(ArtifactError, match="does not reproduce its test vectors.*it was made with.*this is"):
        load_model(version, str(folder))


def test_a_model_that_computes_something_else_is_noticed(folder):
    model = small_models()["v1"].to_dict()["model"]
    coefficients = [model["coefficients"][0] * (1 + 1e-6), *model["coefficients"][1:]]
    plant(folder, changed("v1", model=model | {"coefficients": coefficients}), "v1")
    with pytest.raises(ArtifactError, match="does not reproduce"):
        load_model("v1", str(folder))


def test_test_vectors_cannot_be_too_few():
    data = small_models()["v1"]
    for pds in ([], data.test_vectors["pd"][:1]):
        with pytest.raises(ArtifactError, match=f"has {len(pds)} PDs for 16 test vectors"):
            replay(replace(data, test_vectors=data.test_vectors | {"pd": pds}), "a file")
    assert len(set(data.test_vectors["pd"])) > 8 and max(data.test_vectors["pd"]) > 0.5 > min(data.test_vectors["pd"])


# Replacing


def test_replaced_models_are_archived_under_their_hash(folder):
    old = {version: sha256(folder / f"model_data_{version}.joblib") for version in VERSIONS}
    save_models(str(folder), {version: retrained(version) for version in VERSIONS}, "v1")
    manifest = manifest_of(folder)
    assert manifest["aliases"] == {"champion": "v1", "challenger": "v2"}
    assert [(e["version"], e["sha256"]) for e in manifest["archived"]] == list(old.items())
    for entry in manifest["archived"]:
        assert entry["file"] == f"archive/model_data_{entry['version']}-{entry['sha256'][:12]}.joblib"
        assert sha256(folder / entry["file"]) == entry["sha256"]
        assert load_exact(entry["version"], entry["sha256"], str(folder)).training["seed"] == 42
    for version in VERSIONS:
        assert load_model(version, str(folder)).training["seed"] == 43
    save_models(str(folder), {"v2": retrained("v2", 44)}, "v2")
    assert len(manifest_of(folder)["archived"]) == 3


def test_publishing_the_same_file_again_archives_nothing(folder):
    save_models(str(folder), small_models(), "v2")
    assert manifest_of(folder)["archived"] == [] and not (folder / "archive").exists()


@pytest.fixture
def dying_at(monkeypatch):
    """Makes the writer die when it comes to a file whose name ends so."""
    write = model_file._write

    def arrange(ending: str):
        def dies(fs, path, content):
            if path.endswith(ending):
                raise KeyboardInterrupt
            write(fs, path, content)

        monkeypatch.setattr(model_file, "_write", dies)

    yield arrange
    monkeypatch.setattr(model_file, "_write", write)


@pytest.mark.parametrize("ending", ["manifest.json", "model_data_v2.joblib", "model_data_v1.joblib"])
def test_a_writer_that_dies_leaves_the_published_models_loadable(folder, dying_at, monkeypatch, ending):
    old = {version: load_model(version, str(folder)) for version in VERSIONS}
    dying_at(ending)
    for seed in (43, 44):  # the second writer finds what the first one left
        with pytest.raises(KeyboardInterrupt):
            save_models(str(folder), {version: retrained(version, seed) for version in VERSIONS}, "v2")
        for version in VERSIONS:
            assert load_model(version, str(folder)) == old[version]
            assert load_exact(version, old[version].sha256, str(folder)) == old[version]
    monkeypatch.undo()
    save_models(str(folder), {version: retrained(version, 45) for version in VERSIONS}, "v2")
    for version in VERSIONS:
        assert load_model(version, str(folder)).training["seed"] == 45
        assert load_exact(version, old[version].sha256, str(folder)) == old[version]
    assert [e["sha256"] for e in manifest_of(folder)["archived"]] == [old[v].sha256 for v in VERSIONS]
    assert not list(folder.rglob(".writing-*"))


def test_an_altered_file_is_not_archived_as_the_published_one(folder):
    path = folder / "model_data_v2.joblib"
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    save_models(str(folder), {"v2": retrained("v2")}, "v2")
    assert manifest_of(folder)["archived"] == []
    assert load_model("v2", str(folder)).training["seed"] == 43


def test_readers_always_get_a_whole_model_while_writers_replace_it(folder):
    seeds, problems, stop = set(), [], threading.Event()

    def read() -> None:
        while not stop.is_set():
            try:
                seeds.add(load_model("v1", str(folder)).training["seed"])
            except Exception as problem:
                problems.append(problem)

    def write(first: int) -> None:
        for seed in range(first, first + 6):
            save_models(str(folder), {"v1": retrained("v1", seed)}, "v1")

    readers = [threading.Thread(target=read) for _ in range(2)]
    writers = [threading.Thread(target=write, args=(first,)) for first in (100, 200)]
    for thread in readers + writers:
        thread.start()
    for thread in writers:
        thread.join()
    stop.set()
    for thread in readers:
        thread.join()
    assert problems == [] and len(seeds) > 1
    manifest = manifest_of(folder)
    assert len(manifest["archived"]) == 12
    assert all(sha256(folder / entry["file"]) == entry["sha256"] for entry in manifest["archived"])


# Elsewhere


def test_a_folder_may_be_a_url(tmp_path):
    url = f"memory://{uuid.uuid4().hex}/artifacts"
    paths = save_models(url, small_models(), "v2")
    assert load_model("champion", url) == replace(small_models()["v2"], sha256=load_model("v2", url).sha256)
    for version, path in paths.items():
        with fsspec.open(path, "rb") as file:
            assert hashlib.sha256(file.read()).hexdigest() == load_model(version, url).sha256
    save_models(url, {"v1": retrained("v1")}, "v2")
    old = read_manifest(url)["archived"][0]
    assert load_exact("v1", old["sha256"], url).training["seed"] == 42
    with pytest.raises(ArtifactError, match="creditrisk train"):
        load_model("v1", f"memory://{uuid.uuid4().hex}")


def test_no_folder_is_the_one_of_the_settings(settings_in):
    paths = save_models("", small_models(), "v2")
    assert Path(paths["v1"]).parent == Path(settings_in.artifacts_dir)
    assert load_model().version == "v2" and read_manifest()["aliases"]["champion"] == "v2"
