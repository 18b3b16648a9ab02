"""Experiments and registry: every attempt is a run, the registry mirrors the manifest, the first use is safe."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from creditrisk.data.sample import make_applications
from creditrisk.data.tables import check_applications
from creditrisk.modelling import tracking
from creditrisk.modelling.attempts import Attempt, Fitted
from creditrisk.serving.model import load_model, save_models
from creditrisk.serving.scorer import Scorer
from creditrisk.settings import reload_settings
from unit.models import RETAIL, small_fitted, small_models


@pytest.fixture(scope="module")
def recorded(tmp_path_factory) -> Iterator[SimpleNamespace]:
    """Two attempts logged and registered in a fresh store; MLflow takes seconds to make one."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)  # where MLflow would leave files of its own
        patch.setenv("CREDITRISK_RUNS", str(home / "runs"))
        for name in ("MLFLOW_TRACKING_URI", "CREDITRISK_TRACKING_URI"):
            patch.delenv(name, raising=False)
        reload_settings()
        import mlflow

        fitted = list(small_fitted().values())
        fitted[0] = replace(fitted[0], attempt=replace(fitted[0].attempt, params={"C": 0.5}))
        fitted[1] = replace(fitted[1], test=fitted[1].test | {"calibration_slope": float("nan")})
        table = home / "comparison.csv"
        table.write_text("attempt,auc\n")
        runs = tracking.log_attempts(fitted, [table], {"portfolio": "retail", "xgboost-cpu": "3"})
        by_version = {v: runs[one.attempt.name] for v, one in zip(("v1", "v2"), fitted, strict=True)}
        paths = save_models(str(home / "artifacts"), small_models(), "v2")
        aliases = {"champion": "v2", "challenger": "v1"}
        said = {v: tracking.gate_tags(one) for v, one in zip(("v1", "v2"), fitted, strict=True)}
        numbers = tracking.register_models("retail", paths, by_version, aliases, said)
        again = tracking.register_models("retail", {"v2": paths["v2"]}, by_version, {"champion": "v2"})
        yield SimpleNamespace(
            client=mlflow.MlflowClient(),
            mlflow=mlflow,
            runs=runs,
            fitted=fitted,
            numbers=numbers,
            again=again,
            home=home,
        )
        mlflow.set_tracking_uri(None)
    reload_settings()


def test_the_store_is_a_file_in_the_run_folder(recorded):
    assert tracking.tracking_uri() == f"sqlite:///{recorded.home / 'runs' / 'mlflow.db'}"
    assert (recorded.home / "runs" / "mlflow.db").stat().st_size > 0
    assert sorted(path.name for path in recorded.home.iterdir()) == ["artifacts", "comparison.csv", "runs"]


def test_every_attempt_is_a_run_with_parameters_figures_and_tags(recorded):
    experiment = recorded.client.get_experiment_by_name("credit-risk-modelling")
    found = {run.info.run_name: run for run in recorded.client.search_runs([experiment.experiment_id])}
    assert set(found) >= set(recorded.runs) == {one.attempt.name for one in recorded.fitted}
    for one in recorded.fitted:
        run = found[one.attempt.name]
        assert run.info.status == "FINISHED" and run.info.run_id == recorded.runs[one.attempt.name]
        assert run.data.params["family"] == one.attempt.family and run.data.params["resampling"] == "none"
        for name in ("auc", "precision", "recall", "f1", "gini", "ks", "brier", "log_loss"):
            assert run.data.metrics[name] == pytest.approx(one.test[name])
        assert run.data.metrics["cv_auc"] == pytest.approx(np.mean(one.cv_auc))
        assert (run.data.tags["portfolio"], run.data.tags["attempt"]) == ("retail", str(one.attempt.number))
        assert [file.path for file in recorded.client.list_artifacts(run.info.run_id)][:1] == ["comparison.csv"]
    assert found[recorded.fitted[0].attempt.name].data.params["C"] == "0.5"
    assert "calibration_slope" not in found[recorded.fitted[1].attempt.name].data.metrics, "NaN is no figure"


def test_every_attempt_carries_its_release_gate_and_its_figures_before_calibration(recorded):
    for one in recorded.fitted:
        run = recorded.client.get_run(recorded.runs[one.attempt.name])
        assert run.data.tags["gate"] == one.gate.status and run.data.tags["gate_raw"] == one.raw_gate.status
        assert run.data.tags["gate_reasons"] == "; ".join(one.gate.reasons)
        assert run.data.tags["calibration"] == one.model.calibration.method
        assert run.data.tags["pd_kind"] == "point-in-time"
        assert run.data.metrics["gate_passed"] == float(one.gate.passed)
        ratio = one.gate.criteria[0]
        for end, value in (("", ratio.value), ("_low", ratio.low), ("_high", ratio.high)):
            assert run.data.metrics[f"gate_observed_to_expected{end}"] == pytest.approx(value)
        for name in ("mean_pd", "calibration_slope", "calibration_intercept", "brier", "log_loss"):
            assert run.data.metrics[f"{name}_raw"] == pytest.approx(one.raw[name])
        assert run.data.metrics["auc_low"] < run.data.metrics["auc"] < run.data.metrics["auc_high"]


def test_registered_models_carry_what_their_gate_says(recorded):
    for version, one in zip(("v1", "v2"), recorded.fitted, strict=True):
        tags = recorded.client.get_model_version("retail", recorded.numbers[version]).tags
        assert (tags["version"], tags["gate"], tags["pd_kind"]) == (version, one.gate.status, "point-in-time")


def test_the_registry_mirrors_versions_and_aliases(recorded):
    assert recorded.numbers == {"v1": "1", "v2": "2"} and recorded.again == {"v2": "3"}
    tags = {v.version: v.tags["version"] for v in recorded.client.search_model_versions("name='retail'")}
    assert {str(number): name for number, name in tags.items()} == {"1": "v1", "2": "v2", "3": "v2"}
    for alias, number in (("champion", "3"), ("challenger", "1")):
        assert str(recorded.client.get_model_version_by_alias("retail", alias).version) == number


@pytest.mark.parametrize(("alias", "version"), [("champion", "v2"), ("challenger", "v1")])
def test_a_registered_model_predicts_what_the_model_file_does(recorded, alias, version):
    applications = make_applications(20)
    result = recorded.mlflow.pyfunc.load_model(f"models:/retail@{alias}").predict(applications)
    data = load_model(version, str(recorded.home / "artifacts"))
    expected = Scorer(data).score_frame(check_applications(applications, RETAIL, "a file").frame)
    assert result["default_probability"].tolist() == expected.pd.tolist()
    assert result["credit_score"].tolist() == expected.score.tolist()


def test_a_deleted_experiment_is_brought_back_not_fatal(recorded):
    experiment = recorded.client.get_experiment_by_name("credit-risk-modelling").experiment_id
    recorded.client.delete_experiment(experiment)
    assert tracking.ensure_experiment() == experiment
    with tracking.attempt_run("after", {}) as mlflow:
        mlflow.log_metric("auc", 0.5)


def test_a_run_that_fails_is_recorded_as_failed(recorded):
    broken = Fitted(Attempt(9, "xgboost"), None, (0.5,), {"mean_pd": 0.1}, {"auc": 0.5}, 0.5, 0.0)
    with pytest.raises(FileNotFoundError):
        tracking.log_attempts([broken], [recorded.home / "no such file.csv"], {})
    assert recorded.mlflow.active_run() is None
    experiment = tracking.ensure_experiment()
    newest = recorded.client.search_runs([experiment], max_results=1)[0]
    assert (newest.info.run_name, newest.info.status) == (broken.attempt.name, "FAILED")


def test_a_model_behind_a_url_can_be_registered(recorded):
    import uuid

    url = f"memory://{uuid.uuid4().hex}"
    paths = save_models(url, {"v1": small_models()["v1"]}, "v1")
    run = recorded.runs[recorded.fitted[0].attempt.name]
    number = tracking.register_models("elsewhere", paths, {"v1": run}, {"champion": "v1"})["v1"]
    model = recorded.mlflow.pyfunc.load_model(f"models:/elsewhere/{number}")
    assert len(model.predict(make_applications(3))) == 3


def test_the_tracking_uri_can_be_set(settings_in, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://one.example")
    assert tracking.tracking_uri() == "http://one.example"
    monkeypatch.setenv("CREDITRISK_TRACKING_URI", "http://two.example")
    reload_settings()
    assert tracking.tracking_uri() == "http://two.example"


STARTS = """
import sys
from creditrisk.modelling import tracking
import mlflow
print("READY", flush=True)
sys.stdin.readline()
with tracking.attempt_run(sys.argv[1], {}) as mlflow:
    mlflow.log_metric("auc", 0.7)
print(tracking.ensure_experiment())
"""


@pytest.mark.soak
def test_two_processes_can_start_at_once_on_a_fresh_store(tmp_path):
    environment = {k: v for k, v in os.environ.items() if "TRACKING_URI" not in k} | {"CREDITRISK_RUNS": str(tmp_path)}
    started = [
        subprocess.Popen(
            [sys.executable, "-c", STARTS, name], env=environment, text=True, cwd=tmp_path,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        for name in ("one", "two")
    ]  # fmt: skip
    for process in started:
        assert process.stdout.readline() == "READY\n"
    for process in started:
        process.stdin.write("\n")
        process.stdin.flush()
    said = [process.communicate(timeout=120) for process in started]
    assert [process.returncode for process in started] == [0, 0], said
    assert said[0][0] == said[1][0], "one experiment"
