"""Promotion: who may become champion, what is asked for it, and what is kept of it."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from creditrisk import promotion
from creditrisk.data.sample import write_book
from creditrisk.data.tables import prepare_book, read_tables
from creditrisk.errors import ArtifactError, DataError, ParameterError
from creditrisk.modelling import tracking
from creditrisk.modelling.inference import auc_difference
from creditrisk.modelling.metrics import auc, log_loss
from creditrisk.modelling.train import split_book
from creditrisk.promotion import AUC_MARGIN, LOSS_MARGIN, Evidence, PromotionRefused, promote, version_to_compare
from creditrisk.serving.model import (
    ModelData,
    input_arrays,
    load_model,
    next_versions,
    promoted,
    read_manifest,
    save_models,
    version_names,
)
from unit.models import RETAIL, small_models, small_training

HERE = {"data": "", "rows": 4_000, "split": "auto", "as_of": ""}
"""What a training run on the embedded book of these tests says of its source."""


@cache
def trained(version: str) -> ModelData:
    data = small_models()[version]
    return replace(data, training=data.training | {"source": HERE})


def filed(folder: Path, champion: str | None, **models: ModelData) -> str:
    save_models(str(folder), {v: trained(v) for v in ("v1", "v2")} | models, champion)
    return str(folder)


def shifted(data: ModelData, by: float) -> ModelData:
    """The same order of applicants, with other PDs: log-odds of bad moved."""
    calibration = data.model.calibration
    model = data.model.calibrated(replace(calibration, intercept=calibration.intercept + by))
    vectors = data.test_vectors
    pds = model.pd(data.columns(input_arrays(vectors["inputs"], data.portfolio)))
    return replace(data, model=model, test_vectors=vectors | {"pd": pds.tolist()}, card=None)


@pytest.fixture(autouse=True)
def no_registry(settings_in, monkeypatch):
    """No MLflow store, so that nothing is told to the one of this machine."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture
def folder(tmp_path) -> str:
    """Both versions, v1 the champion."""
    return filed(tmp_path / "artifacts", "v1")


def text_of(folder: str) -> str:
    return (Path(folder) / "manifest.json").read_text()


# What a promotion does


def test_a_better_version_takes_the_champions_place_and_all_of_it_is_recorded(folder):
    done = promote("v2", by="A. Analyst", reason="better ranking", artifacts=folder)
    manifest = json.loads(text_of(folder))
    assert manifest["aliases"] == {"champion": "v2", "challenger": "v1"}
    (record,) = manifest["promotions"]
    assert record == json.loads(json.dumps(done.to_dict()))
    models = manifest["models"]
    assert (record["version"], record["sha256"]) == ("v2", models["v2"]["sha256"])
    assert (record["before"], record["before_sha256"]) == ("v1", models["v1"]["sha256"])
    assert (record["by"], record["reason"], record["forced"]) == ("A. Analyst", "better ranking", False)
    assert record["at"].endswith("+00:00") and record["overridden"] == []
    assert load_model("champion", folder).version == "v2"


def test_the_evidence_is_that_of_the_test_rows_of_its_training_run(folder):
    rows = small_training().part("test")
    pds = {v: trained(v).model.point_in_time.pd(rows.columns) for v in ("v1", "v2")}
    gap, _ = auc_difference(rows.bad, pds["v2"], pds["v1"], 0.90)
    found = promote("v2", artifacts=folder).evidence
    assert (found.rows, found.bads) == (len(rows), rows.bad.sum())
    assert found.auc == pytest.approx(auc(rows.bad, pds["v2"]), abs=1e-12)
    assert (found.difference, found.difference_low) == pytest.approx((gap.value, gap.low), abs=1e-12)
    losses = [log_loss(rows.bad, pds[v]) for v in ("v2", "v1")]
    assert (found.log_loss, found.champion_log_loss) == pytest.approx(losses, abs=1e-12)
    assert found.loss_difference_low < found.loss_difference == pytest.approx(losses[0] - losses[1], abs=1e-12)
    assert "v1 of the same run has not seen either" in found.what


def test_too_few_defaults_are_said_and_do_not_bar(folder):
    done = promote("v2", artifacts=folder)
    assert trained("v2").gate.status == "insufficient defaults"
    assert sum("insufficient defaults: too few defaults" in note for note in done.notes) == 2
    assert any("insufficient defaults" in line for line in done.lines())


def test_the_first_champion_is_asked_for_its_own_gate_only(tmp_path):
    elsewhere = replace(trained("v1"), training=trained("v1").training | {"source": HERE | {"data": "/nowhere"}})
    folder = filed(tmp_path, None, v1=elsewhere)
    done = promote("v1", artifacts=folder)
    assert done.before is None and done.evidence is None and "there was no champion" in done.notes[-1]
    assert read_manifest(folder)["aliases"] == {"champion": "v1"}


def test_promoting_the_champion_says_so_and_changes_nothing(folder):
    before = text_of(folder)
    done = promote("champion", artifacts=folder)
    assert not done.changed and done.lines() == ["v1 is the champion already; nothing was changed"]
    assert text_of(folder) == before


def test_who_promotes_is_the_login_name_unless_it_is_given(folder, monkeypatch):
    monkeypatch.setenv("LOGNAME", "somebody")
    assert promote("v2", artifacts=folder).by == "somebody"

    def nobody():
        raise KeyError("getpwuid(): uid not found: 4711")

    monkeypatch.setattr(promotion.getpass, "getuser", nobody)
    with pytest.raises(ParameterError, match="--by NAME"):
        promote("v1", artifacts=folder)


# Refusals


def refused(name: str, folder: str, **more) -> list[str]:
    before = text_of(folder)
    with pytest.raises(PromotionRefused) as told:
        promote(name, artifacts=folder, **more)
    assert text_of(folder) == before
    *lines, last = str(told.value).splitlines()
    assert last == "not promoted; --force --reason TEXT overrides this, on record"
    return lines


def test_a_version_that_ranks_worse_is_refused_with_the_figures(tmp_path):
    folder = filed(tmp_path, "v2")
    (line,) = refused("v1", folder)
    rows = small_training().part("test")
    pds = {v: trained(v).model.pd(rows.columns) for v in ("v1", "v2")}
    gap, _ = auc_difference(rows.bad, pds["v1"], pds["v2"], 0.90)
    assert gap.low < -AUC_MARGIN
    assert f"{auc(rows.bad, pds['v1']):.4f} against {auc(rows.bad, pds['v2']):.4f} of v2" in line
    assert f"{gap.value:+.4f} may be as low as {gap.low:+.4f}" in line and "more than -0.005 is asked" in line


def test_pds_that_are_wrong_are_refused_though_the_order_is_the_same(tmp_path):
    wrong = shifted(replace(trained("v1"), version="v3"), 2.0)
    folder = filed(tmp_path, "v1")
    save_models(folder, {"v3": wrong}, as_new=True)
    gate, loss = refused("v3", folder)
    assert "v3 fails its release gate on the rows it was compared on: observed/expected" in gate
    assert "log-loss is significantly worse" in loss and f"at most {LOSS_MARGIN:g} is allowed" in loss


@pytest.mark.parametrize(("status", "said"), [
    ("fail", "v2 fails its release gate, as recorded in training: the ratio is off"),
    (None, "v2 has no release gate, as recorded in training: train it anew"),
])  # fmt: skip
def test_a_version_without_a_passed_gate_is_refused(tmp_path, status, said):
    data = trained("v2")
    gate = data.metrics["gate"] | {"status": status, "reasons": ["the ratio is off"]} if status else None
    folder = filed(tmp_path, "v1", v2=replace(data, metrics=data.metrics | {"gate": gate}))
    assert refused("v2", folder) == [said]


def test_force_needs_a_reason_and_records_what_it_overrode(tmp_path):
    folder = filed(tmp_path, "v2")
    (line,) = refused("v1", folder)
    with pytest.raises(ParameterError, match="--force needs --reason"):
        promote("v1", artifacts=folder, force=True, reason="  ")
    done = promote("v1", artifacts=folder, by="B. Boss", force=True, reason="the regulator wants points")
    (record,) = read_manifest(folder)["promotions"]
    assert record["forced"] and record["overridden"] == [line] and record["by"] == "B. Boss"
    assert record["evidence"]["difference"] == done.evidence.difference
    assert read_manifest(folder)["aliases"] == {"champion": "v1", "challenger": "v2"}


def test_force_that_nothing_stands_against_is_not_recorded_as_forced(folder):
    done = promote("v2", artifacts=folder, force=True, reason="to be safe")
    assert not done.forced and "nothing had to be overridden" in done.notes


def test_a_champion_that_cannot_be_loaded_is_a_reason_that_a_person_may_override(folder):
    (Path(folder) / "model_data_v1.joblib").write_bytes(b"damaged")
    (line,) = refused("v2", folder)
    assert "the champion v1 cannot be held against it" in line and "altered or is damaged" in line
    assert promote("v2", artifacts=folder, force=True, reason="v1 is lost").overridden == (line,)


def test_a_candidate_that_cannot_be_loaded_cannot_be_forced(folder):
    (Path(folder) / "model_data_v2.joblib").write_bytes(b"damaged")
    with pytest.raises(ArtifactError, match="altered or is damaged"):
        promote("v2", artifacts=folder, force=True, reason="why not")


def evidence(**figures) -> Evidence:
    rows = small_training().part("test")
    fair = promotion.release_gate(rows.bad, trained("v2").model.pd(rows.columns))
    base = dict.fromkeys(("auc", "champion_auc"), 0.9) | dict.fromkeys(("log_loss", "champion_log_loss"), 0.2)
    base |= {"difference": 0.0, "difference_low": 0.0, "loss_difference": 0.0, "loss_difference_low": 0.0}
    return Evidence(what="rows", rows=1_000, bads=100, sha256="", gate=fair, **base | figures)


@pytest.mark.parametrize(("figures", "barred"), [
    ({"difference_low": -AUC_MARGIN}, True),
    ({"difference_low": np.nextafter(-AUC_MARGIN, 0)}, False),
    ({"loss_difference_low": LOSS_MARGIN}, False),
    ({"loss_difference_low": np.nextafter(LOSS_MARGIN, 1)}, True),
    ({"difference": None, "difference_low": None}, True),
    ({"loss_difference": 0.5, "loss_difference_low": -0.1}, False),
])  # fmt: skip
def test_margins_are_where_they_are_said_to_be(figures, barred):
    against, _ = promotion.judge(evidence(**figures), trained("v2"), "v1")
    assert bool(against) == barred


def test_a_refusal_says_how_many_bads_would_do():
    against, _ = promotion.judge(evidence(difference=0.0, difference_low=-0.010), trained("v2"), "v1")
    assert "100 bads are too few to show it, and about 400 would do for this difference" in against[0]
    against, _ = promotion.judge(evidence(difference=-0.006, difference_low=-0.010), trained("v2"), "v1")
    assert "would do" not in against[0]


# The rows that judge


@pytest.fixture(scope="module")
def tables(tmp_path_factory) -> str:
    """A lender's tables, as files."""
    path = tmp_path_factory.mktemp("book")
    write_book(str(path), 4_000, 42, "parquet")
    return str(path)


def of_run(data: ModelData, run: str, tables: str, split: str, seed: int, version: str = "") -> ModelData:
    """The model as if another run had trained it on files, with another split."""
    book = prepare_book(read_tables(tables, RETAIL), RETAIL)
    parts = split_book(book, split, seed)
    said = {"train": len(book.bad) - len(parts.test), "test": len(parts.test)}
    area = auc(book.bad[parts.test], promotion._pds(data, book.frame.iloc[parts.test]))
    training = data.training | {"run": run, "seed": seed, "split": parts.description, "rows": said}
    training |= {"source": {"data": tables, "rows": 0, "split": split, "as_of": ""}}
    metrics = data.metrics | {"test": data.metrics["test"] | {"auc": area}}
    return replace(data, version=version or data.version, training=training, metrics=metrics)


def test_rows_that_the_champion_was_trained_on_in_another_run_do_not_judge(tmp_path, tables):
    champion = of_run(trained("v1"), "earlier", tables, "random", 7)
    candidate = of_run(trained("v2"), "later", tables, "out_of_time", 42)
    folder = filed(tmp_path, "v1", v1=champion, v2=candidate)
    book = prepare_book(read_tables(tables, RETAIL), RETAIL)
    both = np.intersect1d(split_book(book, "random", 7).test, split_book(book, "out_of_time", 42).test)
    assert 0 < len(both) < len(split_book(book, "out_of_time", 42).test)
    found = promote("v2", artifacts=folder, force=True, reason="to see").evidence
    assert (found.rows, found.bads) == (len(both), book.bad[both].sum())
    assert f"without {1_000 - len(both):,} that v1 was trained on" in found.what


def test_nothing_is_left_to_judge_on_when_the_champion_knows_all_rows(tmp_path, tables, monkeypatch):
    champion = of_run(trained("v1"), "earlier", tables, "random", 7)
    candidate = of_run(trained("v2"), "later", tables, "out_of_time", 42)
    folder = filed(tmp_path, "v1", v1=champion, v2=candidate)
    everything = prepare_book(read_tables(tables, RETAIL), RETAIL).frame
    monkeypatch.setattr(promotion, "_trained_on", lambda model: everything)
    (line,) = refused("v2", folder)
    assert "0 of 1,000 rows are left" in line and "--data FOLDER" in line


def test_a_champion_whose_training_rows_are_gone_is_compared_on_given_loans_only(tmp_path, tables):
    champion = of_run(trained("v1"), "earlier", tables, "random", 7)
    gone = replace(champion, training=champion.training | {"source": HERE | {"data": str(tmp_path / "gone")}})
    folder = filed(tmp_path / "artifacts", "v1", v1=gone, v2=of_run(trained("v2"), "later", tables, "out_of_time", 42))
    (line,) = refused("v2", folder)
    assert "the rows that v1 was trained on, in another run, cannot be made again" in line
    assert "there is no such folder" in line and "with --data FOLDER" in line
    write_book(str(tmp_path / "fresh"), 6_000, 99, "csv")
    done = promote("v2", artifacts=folder, data=str(tmp_path / "fresh"), force=True, reason="to see")
    assert done.evidence.what == "a new sample, none of which v2 was trained on" and done.evidence.rows > 5_500
    assert any("whether v1 was trained on some of these loans is not known" in note for note in done.notes)


def test_given_loans_that_either_was_trained_on_are_left_out(tmp_path, tables):
    models = {v: of_run(trained(v), "one", tables, "out_of_time", 42) for v in ("v1", "v2")}
    folder = filed(tmp_path, "v1", **models)
    found = promote("v2", artifacts=folder, data=tables).evidence
    assert found.rows == 1_000 and "2,998 that v2 was trained on" in found.what


def test_given_loans_that_cannot_be_read_are_an_error_and_no_reason_to_override(folder, tmp_path):
    with pytest.raises(DataError, match="there is no such folder"):
        promote("v2", artifacts=folder, data=str(tmp_path / "nowhere"), force=True, reason="why not")
    assert not promoted(read_manifest(folder))


def test_a_day_that_is_none_is_an_error_and_no_reason_to_override(folder):
    with pytest.raises(ParameterError, match="as_of is '31.12.2025', which is not a date; write it as YYYY-MM-DD"):
        promote("v2", artifacts=folder, as_of="31.12.2025", force=True, reason="why not")


def test_a_book_that_is_not_the_one_of_training_does_not_judge(tmp_path):
    other = replace(trained("v2"), training=trained("v2").training | {"source": HERE | {"rows": 3_000}})
    (line,) = refused("v2", filed(tmp_path, "v1", v2=other))
    assert "this is not the book the model was trained on" in line


def test_a_champion_from_when_rows_were_set_aside_for_calibration_is_compared_on_given_loans_only(tmp_path, tables):
    older = trained("v1").training | {"rows": {"train": 2_398, "calibration": 600, "test": 1_000}, "run": "older"}
    folder = filed(tmp_path, "v1", v1=replace(trained("v1"), training=older))
    (line,) = refused("v2", folder)
    assert "was made from a book split into train, calibration, test" in line and "with --data FOLDER" in line
    done = promote("v2", artifacts=folder, data=tables, force=True, reason="to see")
    assert done.evidence is not None and "whether v1 was trained on some of these loans" in " ".join(done.notes)


def test_pds_are_compared_before_a_shift_to_a_long_run_rate(tmp_path):
    data = trained("v2")
    columns = small_training().part("train").columns
    long_run = data.model.calibrated(data.model.calibration.aimed_at(0.30, data.model.margin(columns)))
    moved = shifted(replace(data, model=long_run), 0.0)
    found = promote("v2", artifacts=filed(tmp_path, "v1", v2=moved)).evidence
    assert found.gate.mean_pd < 0.15


# One folder, several writers


def test_a_model_that_was_replaced_while_it_was_judged_is_not_promoted(folder, monkeypatch):
    judge = promotion.compare

    def meanwhile(*given):
        newer = replace(trained("v2"), training=trained("v2").training | {"seed": 5})
        save_models(folder, {"v2": newer}, "v1")
        return judge(*given)

    monkeypatch.setattr(promotion, "compare", meanwhile)
    with pytest.raises(ArtifactError, match="changed by another process while v2 was judged; nothing was promoted"):
        promote("v2", artifacts=folder)
    manifest = read_manifest(folder)
    assert manifest["aliases"]["champion"] == "v1" and manifest["promotions"] == [] and len(manifest["archived"]) == 1


def test_promotions_and_new_versions_at_the_same_time_are_all_kept(folder):
    problems = []

    def train() -> None:
        for number in range(3, 11):
            name = f"v{number}"
            save_models(folder, {name: replace(trained("v1"), version=name)}, as_new=True)

    def swap() -> None:
        for name in ("v2", "v1") * 4:
            promote(name, artifacts=folder, force=True, reason="swap", mirror=False, by="A. Analyst")

    def guarded(work) -> None:
        try:
            work()
        except Exception as problem:
            problems.append(problem)

    threads = [threading.Thread(target=guarded, args=(work,)) for work in (train, swap)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    manifest = read_manifest(folder)
    assert problems == [] and len(manifest["promotions"]) == 8
    assert list(manifest["models"]) == [f"v{number}" for number in range(1, 11)]
    assert manifest["aliases"] == {"champion": "v1", "challenger": "v2"}


def test_training_after_a_promotion_files_new_versions_and_leaves_the_champion(folder):
    assert version_names("auto", folder) == {"v1": "v1", "v2": "v2"}
    promote("v2", artifacts=folder)
    names = version_names("auto", folder)
    assert names == {"v1": "v3", "v2": "v4"} == version_names("next", folder)
    before = load_model("v2", folder)
    save_models(folder, {new: replace(trained(base), version=new) for base, new in names.items()}, as_new=True)
    manifest = read_manifest(folder)
    assert manifest["aliases"] == {"champion": "v2", "challenger": "v1"} and manifest["archived"] == []
    assert load_model("v2", folder) == before and load_model("v4", folder).version == "v4"
    assert next_versions(manifest, 2) == ["v5", "v6"]


# The registry


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    """An MLflow store with both versions of one training run, and v2 of an older one."""
    from creditrisk.settings import reload_settings

    home = tmp_path_factory.mktemp("registry")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        patch.setenv("CREDITRISK_RUNS", str(home / "runs"))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        reload_settings()
        import mlflow

        tracking.ensure_experiment()
        client = mlflow.MlflowClient()
        client.create_registered_model("retail")
        numbers = {}
        for version, run in (("v2", "an older run"), ("v1", "a-run"), ("v2", "a-run"), ("v2", "a newer run")):
            with tracking.attempt_run(version, {"run": run}) as flow:
                made = flow.active_run().info
            numbers[version, run] = client.create_model_version(
                "retail", made.artifact_uri, made.run_id, tags={"version": version}
            ).version
        client.set_registered_model_alias("retail", "champion", numbers["v1", "a-run"])
        yield SimpleNamespace(client=client, numbers=numbers, runs=home / "runs")
        mlflow.set_tracking_uri(None)
    reload_settings()


def test_the_registry_follows_with_aliases_and_tags(registry, folder, monkeypatch):
    from creditrisk.settings import reload_settings

    monkeypatch.setenv("CREDITRISK_RUNS", str(registry.runs))
    reload_settings()
    done = promote("v2", by="A. Analyst", artifacts=folder)
    assert done.warnings == ()
    named = {a: registry.client.get_model_version_by_alias("retail", a) for a in ("champion", "challenger")}
    assert str(named["champion"].version) == str(registry.numbers["v2", "a-run"])
    assert str(named["challenger"].version) == str(registry.numbers["v1", "a-run"])
    tags = named["champion"].tags
    assert (tags["promoted_by"], tags["promoted_at"], tags["forced"]) == ("A. Analyst", done.at, "false")
    assert "promoted_by" not in named["challenger"].tags


def test_a_version_that_is_not_in_the_registry_is_a_warning_and_leaves_no_wrong_alias(registry, tmp_path, monkeypatch):
    from creditrisk.settings import reload_settings

    monkeypatch.setenv("CREDITRISK_RUNS", str(registry.runs))
    reload_settings()
    registry.client.set_registered_model_alias("retail", "champion", registry.numbers["v1", "a-run"])
    unknown = replace(trained("v2"), training=trained("v2").training | {"run": "never registered"})
    folder = filed(tmp_path / "artifacts", None, v2=unknown)
    done = promote("v2", artifacts=folder)
    assert done.warnings == ("not in the MLflow registry: v2 of run never registered",)
    assert "champion" not in registry.client.get_registered_model("retail").aliases
    assert read_manifest(folder)["aliases"] == {"champion": "v2"}


@pytest.mark.parametrize("uri", ["", "http://127.0.0.1:9"])
def test_a_registry_that_is_not_there_is_a_warning(folder, monkeypatch, uri):
    from creditrisk.settings import reload_settings

    monkeypatch.setenv("CREDITRISK_TRACKING_URI", uri)
    reload_settings()
    done = promote("v2", artifacts=folder)
    assert done.changed and done.warnings[0].startswith("the MLflow registry was not told: ")
    assert read_manifest(folder)["aliases"]["champion"] == "v2"


# The version that another is compared with


def test_a_version_is_compared_with_one_of_its_own_training_run(tmp_path):
    later = replace(trained("v1"), version="v3", training=trained("v1").training | {"run": "b-run"})
    folder = filed(tmp_path, "v1", v3=later, v4=replace(later, version="v4"))
    (tmp_path / "manifest.json").write_text(
        json.dumps(json.loads(text_of(folder)) | {"aliases": {"champion": "v3", "challenger": "v4"}})
    )
    other, why_not = version_to_compare(load_model("v2", folder), artifacts=folder)
    assert (other.version, why_not) == ("v1", ""), "champion and challenger are of another run"
    assert version_to_compare(load_model("v3", folder), artifacts=folder)[0].version == "v4"
    other, why_not = version_to_compare(load_model("v2", folder), "champion", folder)
    assert other.version == "v3" and "another run (b-run) and may know these rows" in why_not, "asked for by name"
    with pytest.raises(ArtifactError, match="v9"):
        version_to_compare(load_model("v2", folder), "v9", folder)


def test_where_no_version_is_of_the_same_run_it_is_said_why_none_is_compared(tmp_path):
    later = replace(trained("v1"), version="v3", training=trained("v1").training | {"run": "b-run"})
    save_models(str(tmp_path), {"v2": trained("v2"), "v3": later}, "v2")
    other, why_not = version_to_compare(load_model("v2", str(tmp_path)), artifacts=str(tmp_path))
    assert other is None
    assert why_not == "no other version of the same training run can be loaded; v3 may know these rows"
    save_models(str(tmp_path / "alone"), {"v2": trained("v2")}, "v2")
    alone = version_to_compare(load_model("v2", str(tmp_path / "alone")), artifacts=str(tmp_path / "alone"))
    assert alone == (None, "there is no other version")


def test_a_version_of_the_same_run_that_is_damaged_is_passed_over(tmp_path):
    folder = filed(tmp_path, "v1")
    validated = load_model("v2", folder)
    (tmp_path / "model_data_v1.joblib").write_bytes(b"damaged")
    other, why_not = version_to_compare(validated, artifacts=folder)
    assert other is None and "v1" in why_not
