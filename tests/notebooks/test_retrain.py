"""creditrisk retrain from end to end: real notebooks, a real log, real model files."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from creditrisk.cli import main
from creditrisk.data.sample import write_book
from creditrisk.modelling.metrics import auc
from creditrisk.modelling.pd_model import Logistic
from creditrisk.serving.model import ModelData, load_model, make_test_vectors, read_manifest, save_models
from matured import AS_OF, log_matured, store_windows
from unit.models import small_models, small_training

SOURCE = {"data": "", "rows": 4_000, "split": "auto", "as_of": ""}


def trained(version: str) -> ModelData:
    data = small_models()[version]
    return replace(data, training=data.training | {"source": SOURCE})


def poor_scorecard() -> ModelData:
    """A scorecard that reads one variable only: the weakest it has."""
    data, training = trained("v1"), small_training()
    weakest = int(np.argmin(np.abs(data.model.model.coefficients)))
    kept = tuple(one if i == weakest else 0.0 for i, one in enumerate(data.model.model.coefficients))
    model = replace(data.model, model=Logistic(kept, data.model.model.intercept))
    rows, test = training.part("train"), training.part("test")
    inputs = {name: rows.columns[name] for name in data.portfolio.inputs}
    measured = data.metrics["test"] | {"auc": auc(test.bad, model.pd(test.columns))}
    return replace(
        data, model=model, card=None, metrics=data.metrics | {"test": measured},
        test_vectors=make_test_vectors(model, inputs, rows.columns),
    )  # fmt: skip


def retrain(capsys, *options: str) -> tuple[int, dict, str]:
    """Exit status, result.json of the run whose folder is the last line, and what was said on the way."""
    status = main(["retrain", "--no-progress", *options])
    told = capsys.readouterr()
    folder = Path(told.out.splitlines()[-1])
    assert (folder / "report.html").is_file()
    return status, json.loads((folder / "result.json").read_text()), told.err


@pytest.mark.soak
def test_from_drift_to_a_recalibrated_champion(settings_in, capsys):
    folder = settings_in.artifacts_dir
    save_models(folder, {version: trained(version) for version in ("v1", "v2")}, "v2")
    champion = load_model("champion")

    store_windows(champion, settings_in.log_url, ["green", "amber", "red"])
    status, result, said = retrain(capsys, "--as-of", AS_OF)
    assert (status, result["outcome"]) == (3, "too few outcomes") and result["decision"]["action"] == "recalibrate"
    assert "needed are 30 bads" in said and list(read_manifest()["models"]) == ["v1", "v2"]

    log_matured(champion, settings_in.log_url, riskier=1.5)
    status, result, said = retrain(capsys, "--as-of", AS_OF)
    assert (status, result["outcome"]) == (0, "proposed") and "creditrisk promote v3" in said
    assert [step["name"] for step in result["steps"]] == ["recalibrate", "validate"]
    assert all((settings_in.runs_dir / step["run"] / "report.html").is_file() for step in result["steps"])
    assert read_manifest()["aliases"] == {"champion": "v2", "challenger": "v3"}
    assert load_model("v2").sha256 == champion.sha256
    newest = max(settings_in.runs_dir.glob("*-retrain-*"), key=lambda path: path.stat().st_mtime)
    assert f'href="../{result["steps"][0]["run"]}/report.html"' in (newest / "report.html").read_text("utf-8")

    status, result, said = retrain(capsys, "--as-of", AS_OF)
    assert (status, result["outcome"]) == (0, "waiting") and list(read_manifest()["models"]) == ["v1", "v2", "v3"]

    assert main(["promote", "challenger", "--by", "A. Analyst"]) == 0
    assert "the matured predictions that v3 was judged on" in capsys.readouterr().out
    assert read_manifest()["aliases"] == {"champion": "v3", "challenger": "v2"}
    status, result, said = retrain(capsys, "--as-of", AS_OF)
    assert (status, result["outcome"], result["champion"]) == (0, "nothing", "v3")


@pytest.mark.soak
def test_a_better_model_of_the_champions_kind_is_proposed_and_promoted(settings_in, capsys, tmp_path):
    save_models(settings_in.artifacts_dir, {"v1": poor_scorecard(), "v2": trained("v2")}, "v1")
    write_book(str(tmp_path / "newest"), 3_000, 5, "parquet")
    options = ("--force", "redevelop", "--why", "it reads one variable", "--trials", "1")
    status, result, said = retrain(capsys, *options, "--data", str(tmp_path / "newest"))
    assert (status, result["outcome"]) == (0, "proposed"), said
    assert result["decision"]["why"][0] == "forced: it reads one variable" and result["decision"]["asked"] == "nothing"
    assert [step["name"] for step in result["steps"]] == ["train", "validate"]
    manifest = read_manifest()
    assert list(manifest["models"]) == ["v1", "v2", "v3", "v4"]
    assert manifest["aliases"] == {"champion": "v1", "challenger": "v3"}
    assert manifest["models"]["v3"]["kind"] == "logistic"
    assert load_model("v3").training["source"]["data"] == str(tmp_path / "newest")
    evidence = result["proposal"]["evidence"]
    assert evidence["difference_low"] > 0 and "none of which v1 was trained on" in evidence["what"]
    assert main(["promote", "v3", "--by", "A. Analyst"]) == 0
    assert load_model("champion").version == "v3"


def test_without_a_champion_there_is_nothing_to_retrain(settings_in, capsys):
    status = main(["retrain", "--no-progress"])
    assert status == 2 and "no trained model" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["recalibrate", "retrain"])
def test_the_notebooks_need_no_parameter(name, settings_in, capsys):
    save_models(settings_in.artifacts_dir, {version: trained(version) for version in ("v1", "v2")}, "v2")
    status = main([name, "--no-progress"])
    said = capsys.readouterr().err
    assert (status, "too few matured outcomes" in said) == ((1, True) if name == "recalibrate" else (0, False))
