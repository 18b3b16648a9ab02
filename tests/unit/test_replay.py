"""Replay: a logged prediction made again by the model that made it, and what differs when it does."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import sqlalchemy as sa

from creditrisk.errors import ArtifactError, LogError
from creditrisk.replay import replay
from creditrisk.serving.contract import wire_name
from creditrisk.serving.log import PredictionLog, migrate
from creditrisk.serving.model import TOLERANCE, load_model, save_models
from creditrisk.serving.scorer import Scorer, file_records
from unit.models import RETAIL, published, small_models, some_applications

VERSIONS = ("v1", "v2")


def logged_by(data, log: PredictionLog, row: int = 0, purpose: str = "production", **more) -> str:
    """Log the prediction of one application as the API does; returns its id."""
    frame = some_applications().frame
    values = frame.astype(object).where(frame.notna(), None).to_dict("records")[row]
    inputs = {wire_name(n, c): values[n] for n, c in RETAIL.inputs.items() if values[n] is not None}
    record = Scorer(data).record(Scorer(data).score_rows([values]), 0, inputs, purpose=purpose, source="api", **more)
    log.append([record])
    return record.prediction_id


@pytest.fixture
def kept(settings_in, tmp_path):
    """Published models, and a log with a prediction of each."""
    models = published(tmp_path / "artifacts")
    url = settings_in.log_url
    migrate(url)
    log = PredictionLog(url)
    ids = {version: logged_by(models[version], log) for version in VERSIONS}
    yield SimpleNamespace(url=url, log=log, ids=ids, folder=tmp_path / "artifacts", models=models)
    log.close()


def change(kept, **columns) -> None:
    """Write over what the log holds."""
    engine = sa.create_engine(kept.url)
    sets = ", ".join(f"{name} = :{name}" for name in columns)
    with engine.begin() as connection:
        connection.execute(sa.text(f"UPDATE predictions SET {sets}"), columns)
    engine.dispose()


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("twin", [False, True])
def test_a_logged_prediction_is_made_again(kept, version, twin):
    row = kept.log.prediction(kept.ids[version])
    found = replay(kept.ids[version], twin=twin)
    kind = {"v1": "logistic", "v2": "xgboost"}[version]
    assert found.agrees and found.difference == 0.0 and found.tolerance == TOLERANCE[kind]
    for name in ("pd", "score", "rating", "grade", "points"):
        assert found.logged[name] == row[name] == found.replayed[name]
    assert found.replayed["reasons"] == [(r["feature"], r["text"]) for r in row["reasons"]]
    assert found.model_sha256 == kept.models[version].sha256 and found.unknown == ()
    assert (found.replayed["points"] is None) == (version == "v2")


@pytest.mark.soak
def test_every_prediction_of_a_scored_file_is_made_again(kept):
    applications = some_applications()
    (optional, *_) = (name for name, column in RETAIL.inputs.items() if column.role == "optional")
    frame = applications.frame.assign(**{optional: applications.frame[optional].where(applications.rows % 2 == 0)})
    scorer, applications = Scorer(kept.models["v2"]), replace(applications, frame=frame)
    scored = scorer.score_frame(frame)
    records = file_records(scorer, applications, scored, run="a-run", file_sha256="f" * 64)[:25]
    kept.log.append(records)
    assert any(record.inputs[optional] is None for record in records)
    assert all(replay(record.prediction_id).agrees for record in records)


@pytest.mark.parametrize("twin", [False, True])
def test_the_model_that_made_it_is_taken_though_another_is_published_by_now(kept, twin):
    newer = {v: replace(one, training=one.training | {"seed": 43}, threshold=0.5) for v, one in small_models().items()}
    save_models(str(kept.folder), newer, "v1")
    assert replay(kept.ids["v1"], twin=twin).agrees
    assert load_model("v1", str(kept.folder)).sha256 != kept.models["v1"].sha256
    for path in (kept.folder / "archive").iterdir():
        path.unlink()
    with pytest.raises(ArtifactError, match="v1.*which is not there|not there"):
        replay(kept.ids["v1"], twin=twin)


@pytest.mark.parametrize(("columns", "said"), [
    ({"score": 1}, "score: 1 was logged, "),
    ({"rating": "Superb"}, "rating: Superb was logged, "),
    ({"grade": "Z"}, "grade: Z was logged, "),
    ({"points": 7}, "points: 7 was logged, "),
    ({"reasons": "[]"}, "reasons: no reason was logged, "),
    ({"reasons": '[{"feature": "age", "text": "Because", "weight": 1.0}]'}, "reasons: age: Because was logged, "),
    ({"features": '{"age": 17.5, "no longer": 1}'}, "features before encoding: age, no longer, "),
])  # fmt: skip
def test_what_differs_is_said(kept, columns, said):
    change(kept, **columns)
    found = replay(kept.ids["v1"])
    assert not found.agrees and len(found.differs) == 1 and found.differs[0].startswith(said)
    assert found.lines()[-1] == "does not agree" and f"differs: {found.differs[0]}" in found.lines()


@pytest.mark.parametrize(("version", "by", "agrees"), [
    ("v1", 5e-13, True), ("v1", 5e-12, False), ("v2", 5e-7, True), ("v2", 5e-6, False),
])  # fmt: skip
def test_pds_agree_within_the_tolerance_of_their_kind(kept, version, by, agrees):
    row = kept.log.prediction(kept.ids[version])
    change(kept, pd=row["pd"] + by)
    found = replay(kept.ids[version])
    assert found.agrees == agrees and found.difference == pytest.approx(by, rel=1e-2)


def test_inputs_that_were_changed_afterwards_do_not_agree(kept):
    inputs = kept.log.prediction(kept.ids["v1"])["inputs"]
    change(kept, inputs=json.dumps(inputs | {"income": inputs["income"] / 3}))
    assert any(one.startswith("pd by ") for one in replay(kept.ids["v1"]).differs)


def test_what_older_predictions_were_logged_without_is_not_held_against_them(kept):
    change(kept, grade=None, points=None, features=None)
    found = replay(kept.ids["v1"])
    assert found.agrees and found.unknown == ("grade", "points", "features")
    assert "not in the log, hence not compared: grade, points, features" in found.lines()


@pytest.mark.parametrize(("inputs", "said"), [
    (None, "its inputs are not in the log"),
    ('{"height": "secret"}', "v1 cannot read the logged inputs: KeyError"),
    ('{"age": "secret"}', "v1 cannot read the logged inputs: TypeError"),
])  # fmt: skip
def test_inputs_that_are_none_of_the_model_are_refused_without_their_values(kept, inputs, said):
    change(kept, inputs=inputs)
    with pytest.raises(LogError, match=said) as told:
        replay(kept.ids["v1"])
    assert "secret" not in str(told.value)


def test_a_prediction_or_a_model_that_is_not_there_is_named(kept, tmp_path):
    with pytest.raises(LogError, match="holds no prediction 'nothing'"):
        replay("nothing")
    with pytest.raises(LogError, match="no such file"):
        replay(kept.ids["v1"], f"sqlite:///{tmp_path / 'none.db'}")
    with pytest.raises(ArtifactError, match="creditrisk train"):
        replay(kept.ids["v1"], artifacts=str(tmp_path / "nowhere"))
    change(kept, model_sha256="0" * 64)
    with pytest.raises(ArtifactError, match="v1 with SHA-256 000000000000"):
        replay(kept.ids["v1"])


def test_an_altered_model_does_not_answer(kept):
    path = kept.folder / "model_data_v1.joblib"
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    with pytest.raises(ArtifactError, match="altered or is damaged"):
        replay(kept.ids["v1"])
    assert replay(kept.ids["v1"], twin=True).agrees


def test_nothing_is_written_to_the_log(kept):
    kept.log.close()
    files = {p: p.read_bytes() for p in Path(kept.url.removeprefix("sqlite:///")).parent.glob("predictions.db")}
    counts = kept.log.counts()
    replay(kept.ids["v2"])
    assert kept.log.counts() == counts
    kept.log.close()
    assert {path: path.read_bytes() for path in files} == files


def test_inputs_are_shown_only_when_asked_for(kept):
    found = replay(kept.ids["v1"])
    secret = f"input income = {found.inputs['income']:,.0f}"
    assert secret not in found.lines() and secret in found.lines(show_inputs=True)
    assert not any(line.startswith("input ") for line in found.lines())


def test_an_application_is_answered_by_its_newest_production_prediction(kept):
    v1, v2 = kept.models["v1"], kept.models["v2"]
    logged_by(v1, kept.log, application_id="A-7")
    newest = logged_by(v2, kept.log, row=1, application_id="A-7")
    logged_by(v1, kept.log, row=2, purpose="what_if", application_id="A-7")
    only = logged_by(v1, kept.log, application_id="A-8")
    filed = logged_by(v1, kept.log, purpose="file", application_id="A-9")
    found = replay("A-7")
    assert found.agrees and found.prediction_id == newest
    assert found.lines()[0] == "application A-7: the newest production prediction of it is taken"
    assert found.lines()[1].startswith(f"prediction {newest} of ")
    assert (replay("A-8").prediction_id, replay("A-8").lines()[0]) == (
        only, "application A-8: the only production prediction of it is taken",
    )  # fmt: skip
    assert replay("A-9").prediction_id == filed
    assert replay("A-9").lines()[0].endswith("is taken, of purpose file; it has no production prediction")


def test_a_prediction_id_is_never_taken_for_an_application(kept):
    logged_by(kept.models["v1"], kept.log, application_id=kept.ids["v2"])
    found = replay(kept.ids["v2"])
    assert found.prediction_id == kept.ids["v2"] and found.chosen == "" and found.lines()[0].startswith("prediction ")
