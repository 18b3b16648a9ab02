"""The model file and its manifest: what is written is read back, and nothing else is."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import signal
import subprocess
import sys
import threading
import uuid
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import fsspec
import joblib
import numpy as np
import pytest

from creditrisk.errors import ArtifactError, ParameterError
from creditrisk.serving import model as model_file
from creditrisk.serving.model import (
    NEEDED,
    PARTS,
    ModelData,
    library_versions,
    load_exact,
    load_exact_twin,
    load_model,
    load_twin,
    next_versions,
    promoted,
    read_manifest,
    read_model,
    read_twin,
    replay,
    resolve,
    save_models,
    set_champion,
    version_names,
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
        assert entry["gate"] == small_models()[version].gate.status
    assert manifest["promotions"] == [] and not promoted(manifest)


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


def test_a_model_is_filed_under_its_own_name_only(folder):
    before = manifest_of(folder)
    with pytest.raises(ArtifactError, match="filed as v3 says that it is v1; make it as v3"):
        save_models(str(folder), {"v3": small_models()["v1"]}, as_new=True)
    assert manifest_of(folder) == before and not (folder / "model_data_v3.joblib").exists()


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


def test_another_version_of_a_library_is_no_fault_while_the_pds_are_the_same(folder):
    other = library_versions() | {"numpy": "1.0", "xgboost-cpu": "0.9", "some library": "7"}
    plant(folder, changed("v2", versions=other))
    assert load_model("v2", str(folder)).versions == other


def test_pds_that_another_library_computes_otherwise_are_refused_with_both_lists_of_versions(folder):
    vectors = small_models()["v2"].test_vectors
    away = vectors | {"pd": [pd + 1e-4 for pd in vectors["pd"]]}
    plant(folder, changed("v2", versions=library_versions() | {"xgboost-cpu": "0.9"}, test_vectors=away))
    with pytest.raises(ArtifactError) as told:
        load_model("v2", str(folder))
    made, here = str(told.value).split("it was made with")[1].split("this is")
    assert "'xgboost-cpu': '0.9'" in made and str(library_versions()) in here


@pytest.mark.parametrize("library", [*NEEDED, "xgboost-cpu"])
def test_a_file_that_does_not_say_the_version_of_a_library_is_refused(folder, library):
    known = {name: said for name, said in library_versions().items() if name != library}
    plant(folder, changed("v2", versions=known))
    with pytest.raises(ArtifactError, match=rf"model_data_v2.joblib does not say with which version of {library[:7]}"):
        load_model("v2", str(folder))


def test_a_scorecard_needs_no_version_of_xgboost(folder):
    known = {name: said for name, said in library_versions().items() if "xgboost" not in name}
    plant(folder, changed("v1", versions=known), "v1")
    assert load_model("v1", str(folder)).versions == known


def test_a_library_that_is_gone_is_said(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "xgboost", None)
    with pytest.raises(ArtifactError, match="holds parts that do not work: ModuleNotFoundError.*xgboost"):
        load_model("v2", str(folder))


# The twin: JSON, and XGBoost's own format


def twin_files(version: str) -> list[str]:
    return [f"model_data_{version}.json"] + ([f"model_data_{version}.ubj"] if version == "v2" else [])


@pytest.mark.parametrize("version", VERSIONS)
def test_a_twin_is_the_model_itself(folder, version):
    filed, twin = load_model(version, str(folder)), load_twin(version, str(folder))
    assert twin.sha256 == filed.sha256 and twin.model == filed.model and twin.portfolio == filed.portfolio
    applications = some_applications().frame
    one, other = (Scorer(data).score_frame(applications) for data in (filed, twin))
    assert np.array_equal(one.pd, other.pd) and one.reasons == other.reasons
    assert np.array_equal(one.score, other.score) and list(one.grade) == list(other.grade)
    assert version == "v2" or np.array_equal(one.points, other.points)
    listed = json.loads(json.dumps(filed.to_dict() | {"model": None}))  # tuples are lists in JSON
    assert json.loads(json.dumps(twin.to_dict() | {"model": None})) == listed


@pytest.mark.parametrize("version", VERSIONS)
def test_a_twin_is_strict_json_and_its_hash_is_in_the_manifest(folder, version):
    entry = manifest_of(folder)["models"][version]
    path = folder / entry["twin"]["file"]
    assert path.name == f"model_data_{version}.json" and entry["twin"]["sha256"] == sha256(path)
    assert entry["twin"]["bytes"] == path.stat().st_size
    for word in ("NaN", "Infinity"):
        assert not any(line.strip(" ,").endswith(word) for line in path.read_text("ascii").splitlines())
    data = json.loads(path.read_text())
    assert data["twin"] == {"format": 1, "of": entry["sha256"]} and set(PARTS) <= set(data)
    if version == "v2":
        trees = folder / entry["booster"]["file"]
        assert trees.name == "model_data_v2.ubj" and data["model"]["booster"] == entry["booster"]
        assert entry["booster"]["sha256"] == sha256(trees)
        import xgboost

        booster = xgboost.Booster()
        booster.load_model(trees)
        assert booster.num_boosted_rounds() > 1


FRESH = """
import json, pickle, sys
from creditrisk.serving import model
from creditrisk.serving.scorer import Scorer

def refuse(*given, **more):
    raise AssertionError("something was unpickled")

for name in ("load", "loads", "Unpickler"):
    setattr(pickle, name, refuse)
model._PlainUnpickler.load = model._unpickle = model.joblib.load = refuse
data = model.load_twin(sys.argv[1], sha256=sys.argv[2])
scored = Scorer(data).score_rows(json.load(sys.stdin))
print(json.dumps([scored.pd.tolist(), None if scored.points is None else scored.points.tolist(), scored.reasons]))
"""


@pytest.mark.parametrize("version", VERSIONS)
def test_a_fresh_process_needs_the_twin_alone(folder, tmp_path, version):
    alone = tmp_path / "alone"
    alone.mkdir()
    for name in twin_files(version):
        (folder / name).rename(alone / name)
    frame = some_applications(20).frame
    rows = frame.astype(object).where(frame.notna(), None).to_dict("records")
    listed = manifest_of(folder)["models"][version]["twin"]["sha256"]
    done = subprocess.run(
        [sys.executable, "-c", FRESH, str(alone / f"model_data_{version}.json"), listed],
        input=json.dumps(rows), capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    pds, points, reasons = json.loads(done.stdout)
    scored = Scorer(load_model(version, str(folder))).score_rows(rows)
    assert pds == pytest.approx(scored.pd.tolist(), abs=0 if version == "v1" else 1e-6)
    assert points == (None if version == "v2" else scored.points.tolist())
    assert [[r["text"] for r in row] for row in reasons] == [[r["text"] for r in row] for row in scored.reasons]


@pytest.mark.parametrize("value", [
    float("nan"), float("inf"), -float("inf"), -0.0, 5e-324, 0.1 + 0.2, 1 / 3, 2**63, "\ud800 \u2028 é",
    [(1, None)], {},
])  # fmt: skip
def test_json_gives_back_what_it_was_given(tmp_path, value):
    data = replace(small_models()["v1"], metrics=small_models()["v1"].metrics | {"odd": value})
    save_models(str(tmp_path), {"v1": data}, "v1")
    back = load_twin("v1", str(tmp_path)).metrics["odd"]
    assert repr(back) == repr([[1, None]] if isinstance(value, list) else value)


@pytest.mark.parametrize("value", [{1: "one"}, {"$number": "nan"}, {1, 2}, b"bytes"])
def test_what_json_cannot_hold_is_not_written(folder, value):
    odd = replace(small_models()["v1"], metrics=small_models()["v1"].metrics | {"odd": value})
    before = {path.name: path.read_bytes() for path in folder.glob("*.*")}
    with pytest.raises(ArtifactError, match="this model holds .*, which its JSON cannot hold"):
        save_models(str(folder), {"v1": odd}, "v1")
    assert {path.name: path.read_bytes() for path in folder.glob("*.*")} == before


@pytest.mark.parametrize(("name", "said"), [
    ("model_data_v2.json", "model_data_v2.json was altered or is damaged: its SHA-256 is .*, the manifest says"),
    ("model_data_v2.ubj", "v2.ubj, the trees of model_data_v2.json, was altered or .*, model_data_v2.json says"),
])  # fmt: skip
def test_every_flipped_byte_of_a_twin_is_noticed(folder, name, said):
    path = folder / name
    content = path.read_bytes()
    for at in np.linspace(0, len(content) - 1, 12).astype(int):
        path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        for wanted in ("v2", str(folder / "model_data_v2.json")):
            with pytest.raises(ArtifactError, match=said):
                load_twin(wanted, str(folder))
    path.write_bytes(content[:-1])
    with pytest.raises(ArtifactError, match=said):
        load_twin("v2", str(folder))


def plant_twin(folder: Path, content: bytes, version: str = "v2") -> None:
    """Put a JSON in place of a twin, with a manifest that vouches for it."""
    (folder / f"model_data_{version}.json").write_bytes(content)
    manifest = manifest_of(folder)
    manifest["models"][version]["twin"]["sha256"] = hashlib.sha256(content).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))


def twin_of(folder: Path, version: str = "v2") -> dict:
    return json.loads((folder / f"model_data_{version}.json").read_text())


@pytest.mark.parametrize(("change", "said"), [
    (lambda data: data | {"schema": 2}, "has schema 2; this version reads schema 1"),
    (lambda data: data | {"twin": {"format": 2, "of": "x"}}, "is a twin of format 2; this version reads format 1"),
    (lambda data: {k: v for k, v in data.items() if k != "twin"}, "is a twin of format None"),
    (lambda data: {k: v for k, v in data.items() if k != "baseline"}, "lacks baseline"),
    (lambda data: data | {"versions": {}}, "does not say with which version of python, numpy"),
    (lambda data: data | {"version": "v1"}, "is the twin of v1, .* not of v2"),
    (lambda data: data | {"twin": data["twin"] | {"of": "0" * 64}}, "is the twin of v2, 000000000000..., not of v2"),
    (lambda data: data | {"model": {"kind": "xgboost", "booster": "trees"}}, "does not say which file holds its trees"),
    (lambda data: data | {"model": {"kind": "xgboost"}}, "holds parts that do not work: KeyError"),
    (lambda data: data | {"calibration": data["calibration"] | {"intercept": 0.0}}, "does not reproduce its test vec"),
    (lambda data: data | {"test_vectors": {"inputs": {}, "pd": []}}, "holds parts that do not work"),
    (lambda data: [data], "is a twin of format None"),
    (lambda data: data | {"threshold": float("nan")}, "NaN is no JSON"),
])  # fmt: skip
def test_a_twin_that_is_vouched_for_but_wrong_is_refused(folder, change, said):
    plant_twin(folder, json.dumps(change(twin_of(folder))).encode())
    with pytest.raises(ArtifactError, match=f"model_data_v2.json {said}|cannot be read: {said}"):
        load_twin("v2", str(folder))


@pytest.mark.parametrize("share", [0.0, 0.5, 0.999])
def test_a_truncated_twin_is_refused(folder, share):
    content = (folder / "model_data_v2.json").read_bytes()
    plant_twin(folder, content[: int(len(content) * share)])
    with pytest.raises(ArtifactError, match=r"model_data_v2\.json cannot be read"):
        load_twin("v2", str(folder))


def test_nesting_without_end_is_refused():
    content = b"[" * 200_000
    with pytest.raises(ArtifactError, match="cannot be read"):
        read_twin(content, None, "a file", hashlib.sha256(content).hexdigest())


def test_missing_parts_of_a_twin_are_named(folder):
    (folder / "model_data_v2.ubj").unlink()
    for wanted in ("v2", str(folder / "model_data_v2.json")):
        with pytest.raises(ArtifactError, match=r"needs the trees of model_data_v2\.ubj, which is not there"):
            load_twin(wanted, str(folder))
    (folder / "model_data_v2.json").unlink()
    with pytest.raises(ArtifactError, match=r"model_data_v2\.json: the manifest names this file"):
        load_twin("v2", str(folder))
    with pytest.raises(ArtifactError, match="there is no such file"):
        load_twin(str(folder / "model_data_v2.json"))
    assert load_model("v2", str(folder)).version == "v2"


def test_a_twin_that_nothing_vouches_for_is_refused(folder, tmp_path):
    copy = tmp_path / "model_data_v1.json"
    copy.write_bytes((folder / "model_data_v1.json").read_bytes())
    with pytest.raises(ArtifactError, match="no manifest vouches for this file; give its SHA-256"):
        load_twin(str(copy))
    assert load_twin(str(copy), sha256=sha256(copy)).version == "v1"
    assert load_twin(str(copy), str(folder)).version == "v1"


def test_a_folder_from_before_twins_says_so(folder):
    manifest = manifest_of(folder)
    for entry in manifest["models"].values():
        entry.pop("twin")
    manifest.pop("promotions")
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ArtifactError, match="was filed without a twin, by an earlier version; file the model anew"):
        load_twin("v1", str(folder))
    assert load_model("v1", str(folder)).version == "v1" and not promoted(read_manifest(str(folder)))
    save_models(str(folder), {"v1": retrained("v1")}, "v2")
    assert load_exact("v1", manifest_of(folder)["archived"][0]["sha256"], str(folder)).training["seed"] == 42


def test_twins_are_archived_with_their_models(folder):
    old = {version: load_model(version, str(folder)) for version in VERSIONS}
    save_models(str(folder), {version: retrained(version) for version in VERSIONS}, "v2")
    for entry in manifest_of(folder)["archived"]:
        stem = f"archive/model_data_{entry['version']}-{entry['sha256'][:12]}"
        assert entry["twin"]["file"] == f"{stem}.json" and sha256(folder / f"{stem}.json") == entry["twin"]["sha256"]
        was = old[entry["version"]]
        assert load_exact_twin(entry["version"], entry["sha256"], str(folder)).model == was.model
        assert load_twin(str(folder / f"{stem}.json")).training == was.training
    assert load_twin("v2", str(folder)).training["seed"] == 43
    with pytest.raises(ArtifactError, match=r"v2 with SHA-256 000000000000\.\.\. is not in the manifest"):
        load_exact_twin("v2", "0" * 64, str(folder))


# New versions


def test_new_versions_follow_the_highest_number_ever_used():
    manifest = {"models": {"v1": {}, "v2": {}}, "archived": []}
    assert next_versions({"models": {}, "archived": []}, 2) == ["v1", "v2"]
    assert next_versions(manifest, 2) == ["v3", "v4"]
    assert next_versions(manifest | {"archived": [{"version": "v12"}]}, 1) == ["v13"]
    assert next_versions(manifest | {"promotions": [{"version": "v7"}]}, 1) == ["v8"]
    assert next_versions({"models": {"pilot": {}, "v2": {}, "v3b": {}}, "archived": []}, 1) == ["v3"]


def test_new_versions_leave_files_and_aliases_alone(folder):
    before = {path.name: path.read_bytes() for path in folder.glob("model_data_*")}
    names = version_names("next", str(folder))
    assert names == {"v1": "v3", "v2": "v4"}
    models = {new: replace(retrained(base), version=new) for base, new in names.items()}
    paths = save_models(str(folder), models, as_new=True)
    assert [Path(path).name for path in paths.values()] == ["model_data_v3.joblib", "model_data_v4.joblib"]
    assert before.items() <= {path.name: path.read_bytes() for path in folder.glob("model_data_*")}.items()
    manifest = manifest_of(folder)
    assert manifest["aliases"] == {"champion": "v2", "challenger": "v1"} and manifest["archived"] == []
    assert load_model("v4", str(folder)).training["seed"] == 43 == load_twin("v3", str(folder)).training["seed"]
    save_models(str(folder), models, as_new=True)  # the same files again are no harm
    with pytest.raises(ArtifactError, match="v3 is there already, filed by run 'a-run'.*ask version_names again"):
        save_models(str(folder), {"v3": replace(retrained("v1", 44), version="v3")}, as_new=True)
    assert load_model("v3", str(folder)).training["seed"] == 43
    with pytest.raises(ValueError, match="takes no champion"):
        save_models(str(folder), models, "v3", as_new=True)


def promote_by_hand(folder: Path, version: str) -> None:
    manifest = manifest_of(folder)
    before = manifest["aliases"]["champion"]
    hashes = {name: entry["sha256"] for name, entry in manifest["models"].items()}
    record = {"version": version, "sha256": hashes[version], "before": before, "before_sha256": hashes[before]}
    set_champion(record, str(folder))


def test_training_replaces_its_versions_until_a_person_has_promoted_one(folder, tmp_path):
    same, new = {"v1": "v1", "v2": "v2"}, {"v1": "v3", "v2": "v4"}
    assert version_names("auto", str(folder)) == same == version_names("auto", str(tmp_path / "nowhere"))
    promote_by_hand(folder, "v1")
    assert version_names("auto", str(folder)) == new
    assert version_names("replace", str(folder)) == same
    assert version_names("next", str(folder), ["v1"]) == {"v1": "v3"}
    with pytest.raises(ParameterError, match="versions is 'always'; use one of auto, replace, next"):
        version_names("always", str(folder))


def test_a_promotion_survives_a_training_run_that_replaces_the_models(folder):
    promote_by_hand(folder, "v1")
    (record,) = manifest_of(folder)["promotions"]
    save_models(str(folder), {version: retrained(version) for version in VERSIONS}, "v2")
    assert manifest_of(folder)["promotions"] == [record]
    assert load_exact("v1", record["sha256"], str(folder)).training["seed"] == 42


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


@pytest.mark.parametrize("ending", [
    "manifest.json", "model_data_v2.json", "model_data_v2.ubj", "model_data_v2.joblib", "model_data_v1.json",
    "model_data_v1.joblib",
])  # fmt: skip
def test_a_writer_that_dies_leaves_the_published_models_loadable(folder, dying_at, monkeypatch, ending):
    old = {version: load_model(version, str(folder)) for version in VERSIONS}
    dying_at(ending)
    for seed in (43, 44):  # the second writer finds what the first one left
        with pytest.raises(KeyboardInterrupt):
            save_models(str(folder), {version: retrained(version, seed) for version in VERSIONS}, "v2")
        for version in VERSIONS:
            assert load_model(version, str(folder)) == old[version]
            assert load_twin(version, str(folder)).training["seed"] == 42
            assert load_exact(version, old[version].sha256, str(folder)) == old[version]
    monkeypatch.undo()
    save_models(str(folder), {version: retrained(version, 45) for version in VERSIONS}, "v2")
    for version in VERSIONS:
        assert load_model(version, str(folder)).training["seed"] == 45
        assert load_exact(version, old[version].sha256, str(folder)) == old[version]
    assert [e["sha256"] for e in manifest_of(folder)["archived"]] == [old[v].sha256 for v in VERSIONS]
    assert not list(folder.rglob(".writing-*"))


KILLED = """
import os, signal, sys
from dataclasses import replace
from creditrisk.serving import model

write = model._write

def killed(fs, path, content):
    if path.endswith(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
    write(fs, path, content)

model._write = killed
data = {version: model.load_model(version, sys.argv[1]) for version in ("v1", "v2")}
newer = {version: replace(one, training=one.training | {"seed": 43}) for version, one in data.items()}
if sys.argv[3] == "new":
    model.save_models(sys.argv[1], {f"v{n}": replace(m, version=f"v{n}") for n, m in zip((3, 4), newer.values())},
                      as_new=True)
else:
    model.save_models(sys.argv[1], newer, "v1")
"""


@pytest.mark.parametrize(("ending", "how"), [
    ("manifest.json", "replace"), ("model_data_v2.json", "replace"), ("manifest.json", "new"),
])  # fmt: skip
def test_a_process_that_is_killed_before_the_manifest_leaves_the_old_state(folder, ending, how):
    old, before = {v: load_model(v, str(folder)) for v in VERSIONS}, manifest_of(folder)
    done = subprocess.run([sys.executable, "-c", KILLED, str(folder), ending, how], capture_output=True, timeout=120)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert manifest_of(folder) == before
    for version in VERSIONS:
        assert load_model(version, str(folder)) == old[version]
        assert load_twin(version, str(folder)).model == old[version].model
    assert version_names("next", str(folder)) == {"v1": "v3", "v2": "v4"}
    save_models(str(folder), {"v3": replace(retrained("v1", 44), version="v3")}, as_new=True)  # no lock is left
    assert load_twin("v3", str(folder)).training["seed"] == 44


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
    assert load_exact_twin("v1", old["sha256"], url).training["seed"] == 42
    assert load_twin("v2", url).model == load_model("v2", url).model
    assert load_twin(f"{url}/model_data_v2.json").model == load_model("v2", url).model
    with pytest.raises(ArtifactError, match="creditrisk train"):
        load_model("v1", f"memory://{uuid.uuid4().hex}")


def test_no_folder_is_the_one_of_the_settings(settings_in):
    paths = save_models("", small_models(), "v2")
    assert Path(paths["v1"]).parent == Path(settings_in.artifacts_dir)
    assert load_model().version == "v2" and read_manifest()["aliases"]["champion"] == "v2"
