"""What serving adds to a prediction: lists, other models, purposes, keys, decisions, outcomes, numbers."""

from __future__ import annotations

import json
import statistics
import time
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from creditrisk import service
from creditrisk.errors import ArtifactError
from creditrisk.serving.access import add_key, revoke_keys
from creditrisk.serving.api import create_app
from creditrisk.serving.log import PredictionLog, migrate
from creditrisk.serving.model import load_model, save_models
from creditrisk.serving.models import Models, Served
from creditrisk.serving.policy import parse_policies
from creditrisk.serving.predict import OTHER_INPUTS
from creditrisk.settings import reload_settings

POLICIES = """
[[policy]]
version = "2024-01"
effective = 2024-01-01
approve_below = 0.05
decline_from = 0.20

[[policy]]
version = "far away"
effective = 2999-01-01
approve_below = 0.01
"""
REPLAYED = "Idempotent-Replayed"


def post(served, body, path: str = "/predict", **headers):
    return served.client.post(path, json=body, headers=headers)


# Lists


def test_a_list_is_answered_in_its_order_as_its_members_are_alone(served, applications):
    some = applications[:40]
    listed = post(served, some).json()
    alone = [served.predict(application).json() for application in some]
    differ = ("prediction_id", "timestamp")
    assert [{k: v for k, v in row.items() if k not in differ} for row in listed] == [
        {k: v for k, v in row.items() if k not in differ} for row in alone
    ]
    assert len(served.rows()) == 80 and len({row["prediction_id"] for row in listed}) == 40
    assert [row["pd"] for row in reversed(served.rows())][:40] == [row["default_probability"] for row in listed]


def test_one_wrong_application_of_a_list_is_named_and_none_is_scored(served, applications):
    response = post(served, [applications[0], applications[1] | {"age": 10}, applications[2]])
    assert response.status_code == 422 and served.rows() == []
    (mistake,) = response.json()["detail"]
    assert mistake["loc"] == ["body", 1, "age"]
    assert mistake["msg"] == "application 2: age must be a whole number from 18 to 100"


@pytest.mark.parametrize("count", [0, 1001])
def test_a_list_has_one_to_a_thousand_applications(served, applications, count):
    response = post(served, [applications[0]] * count)
    assert response.status_code == 422 and served.rows() == []
    assert "a list holds 1 to 1,000 applications" in response.json()["detail"][0]["msg"]


# Models and purposes


def test_another_model_may_be_asked_by_version_or_alias_and_an_unknown_one_is_refused(trained, tmp_path, applications):
    migrate(url := f"sqlite:///{tmp_path / 'predictions.db'}")
    log = PredictionLog(url)
    app = create_app(Models.open("champion", trained.folder), log)
    client = TestClient(app)
    for asked, version in ((None, "v2"), ("champion", "v2"), ("v1", "v1"), ("challenger", "v1")):
        params = {} if asked is None else {"model": asked}
        answer = client.post("/predict", params=params, json=applications[0]).json()
        assert answer["model_version"] == version and (answer["points"] is None) == (version == "v2")
        assert client.get("/model-info", params=params).json()["model_version"] == version
    for address in ("/predict", "/model-info"):
        ask = client.post if address == "/predict" else client.get
        response = ask(address, params={"model": "v9"}, **({"json": applications[0]} if address == "/predict" else {}))
        assert response.status_code == 422
        assert response.json()["detail"][0]["loc"] == ["query", "model"]
        assert "there is no model 'v9'; there are v1, v2" in response.json()["detail"][0]["msg"]
    counted = {row["model_version"]: row["n"] for row in log.counts()["models"]}
    assert counted == {"v1": 2, "v2": 2}, "production predictions are counted by model"
    app.state.desk.stop()
    log.close()


@pytest.mark.parametrize("purpose", ["shadow", "what_if", "backfill"])
def test_only_production_counts_towards_the_hundreds(serve, champion, applications, purpose):
    due = []
    served = serve(champion, on_due=lambda: due.append(1))
    assert post(served, applications[:99]).status_code == 200
    assert post(served, applications[:50], f"/predict?purpose={purpose}").status_code == 200
    assert due == [] and {row["purpose"] for row in served.rows()} == {"production", purpose}
    post(served, applications[99])
    assert due == [1]
    only = served.client.get("/logs", params={"purpose": purpose, "limit": 1000}).json()
    assert len(only) == 50 and {row["purpose"] for row in only} == {purpose}


@pytest.mark.parametrize("first", ["production", "what_if"])
def test_a_what_if_never_stands_for_the_prediction_an_applicant_gets(served, applications, first):
    one = applications[0] | {"application_id": "A-1"}
    if_only = one | {"age": 60 if one["age"] != 60 else 61}
    asked = {"production": (one, "/predict"), "what_if": (if_only, "/predict?purpose=what_if")}
    second = "what_if" if first == "production" else "production"
    answers = {purpose: post(served, *asked[purpose]) for purpose in (first, second)}
    assert not any(REPLAYED in answer.headers for answer in answers.values())
    assert {row["purpose"]: row["inputs"]["age"] for row in served.rows()} == {
        "production": one["age"], "what_if": if_only["age"]
    }  # fmt: skip
    for purpose, answer in answers.items():
        again = post(served, *asked[purpose])
        assert again.json() == answer.json() and again.headers[REPLAYED] == "true"
    assert len(served.rows()) == 2


@pytest.mark.parametrize("as_list", [False, True])
def test_an_application_that_was_scored_with_other_inputs_is_answered_as_it_was_and_told_so(
    served, applications, as_list
):
    one = applications[0] | {"application_id": "A-1"}
    other = one | {"age": 60 if one["age"] != 60 else 61}
    sent = post(served, [one, other]).json() if as_list else [served.predict(one).json(), served.predict(other).json()]
    made, repeated = sent
    assert repeated["default_probability"] == made["default_probability"]
    assert OTHER_INPUTS in repeated["warnings"] and OTHER_INPUTS not in made["warnings"]
    assert len(served.rows()) == 1


def test_an_unknown_purpose_is_refused(served, applications):
    response = post(served, applications[0], "/predict?purpose=fun")
    assert response.status_code == 422 and served.rows() == []
    assert response.json()["detail"][0]["loc"] == ["query", "purpose"]


def test_a_newer_champion_takes_over_and_no_request_is_lost(trained, tmp_path, applications):
    folder = str(tmp_path / "artifacts")
    v1, v2 = (load_model(version, trained.folder) for version in ("v1", "v2"))
    save_models(folder, {"v1": v1, "v2": v2}, "v1")
    models = Models.open("champion", folder)
    assert models.serving.data.version == "v1" and not models.refresh()
    save_models(folder, {"v1": v1, "v2": v2}, "v2")
    assert models.refresh() and models.serving.data.version == "v2"
    before = models.serving
    save_models(folder, {"v3": replace(v1, version="v3")}, as_new=True)
    Path(folder, "model_data_v3.joblib").write_bytes(b"not a model")
    manifest = json.loads(Path(folder, "manifest.json").read_text())
    manifest["aliases"] = {"champion": "v3"}
    Path(folder, "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ArtifactError, match="altered or is damaged"):
        models.refresh()
    assert models.serving is before, "a broken model does not take over"


# Sent again


def test_a_request_sent_again_with_its_idempotency_key_is_answered_as_before(served, applications):
    first = post(served, applications[0], **{"Idempotency-Key": "abc"})
    again = post(served, applications[0], **{"Idempotency-Key": "abc"})
    assert first.status_code == again.status_code == 200 and first.text == again.text
    other = post(served, applications[1], **{"Idempotency-Key": "abc"})
    assert other.status_code == 422 and other.json()["detail"][0]["loc"] == ["header", "Idempotency-Key"]
    assert len(served.rows()) == 1
    listed = post(served, applications[:3], **{"Idempotency-Key": "xyz"}).json()
    assert post(served, applications[:3], **{"Idempotency-Key": "xyz"}).json() == listed
    assert len(served.rows()) == 4


@pytest.mark.parametrize("key", ["", "x" * 201, "a\tb"])
def test_an_idempotency_key_that_cannot_be_one_is_refused(served, applications, key):
    response = post(served, applications[0], **{"Idempotency-Key": key})
    assert response.status_code == 422 and served.rows() == []


# Decisions and outcomes


def test_the_policy_in_force_decides_and_a_person_may_override_on_record(trained, tmp_path, applications):
    migrate(url := f"sqlite:///{tmp_path / 'predictions.db'}")
    log = PredictionLog(url)
    data = load_model("v2", trained.folder)
    app = create_app(Models(Served(data, parse_policies(POLICIES))), log)
    client = TestClient(app)
    answers = client.post("/predict", json=applications[:200]).json()
    for answer in answers:
        pd = answer["default_probability"]
        assert answer["decision"] == ("approve" if pd < 0.05 else "decline" if pd >= 0.20 else "refer")
        assert answer["policy"] == "2024-01"
    assert {answer["decision"] for answer in answers} == {"approve", "refer", "decline"}
    declined = client.get("/logs", params={"decision": "decline", "limit": 1000}).json()
    assert len(declined) == sum(answer["decision"] == "decline" for answer in answers)
    one = declined[0]["prediction_id"]
    order = {"prediction_id": one, "decision": "approve", "reason": "a guarantor signed", "decided_by": "Ann"}
    made = client.post("/decisions", json=order)
    assert made.status_code == 200 and made.json()["decision"] == "approve"
    assert client.get("/decisions", params={"prediction_id": one}).json() == [made.json()]
    assert client.get("/logs", params={"decision": "decline", "limit": 1000}).json() == declined, "the log stays"
    assert client.post("/decisions", json=order | {"prediction_id": "none"}).status_code == 404
    for wrong in ({"decision": "maybe"}, {"reason": " "}, {"decided_by": ""}, {"extra": 1}):
        assert client.post("/decisions", json=order | wrong).status_code == 422, wrong
    app.state.desk.stop()
    log.close()


def test_outcomes_are_kept_once_by_prediction_or_application(served, applications):
    first = served.predict(applications[0], application_id="A-1").json()["prediction_id"]
    second = served.predict(applications[1]).json()["prediction_id"]
    told = [
        {"application_id": "A-1", "observed_at": "2025-06-01", "bad": 1},
        {"prediction_id": second, "observed_at": "2025-06-01", "bad": 0},
        {"prediction_id": "nobody", "observed_at": "2025-06-01", "bad": 0},
    ]
    found = served.client.post("/outcomes", json=told).json()
    assert [row["status"] for row in found] == ["stored", "stored", "unknown"]
    assert [row["prediction_ids"] for row in found] == [[first], [second], []]
    assert [row["status"] for row in served.client.post("/outcomes", json=told).json()][:2] == ["duplicate"] * 2
    assert {row["prediction_id"]: row["bad"] for row in served.log.outcomes()} == {first: 1, second: 0}
    for wrong in ({"bad": 2}, {"observed_at": "2999-01-01"}, {"application_id": None}, {"prediction_id": first}):
        response = served.client.post("/outcomes", json=[told[0] | wrong])
        assert response.status_code == 422, wrong
    assert served.client.post("/outcomes", json=[]).status_code == 422


# Numbers, readiness, the door


def test_numbers_for_prometheus_tell_what_was_done(served, applications):
    post(served, applications[:7])
    families = {one.name: one for one in text_string_to_metric_families(served.client.get("/metrics").text)}
    made = sum(sample.value for sample in families["creditrisk_predictions"].samples if sample.name.endswith("total"))
    assert made == 7
    assert families["creditrisk_database_up"].samples[0].value == 1


def test_ready_asks_the_log_and_health_does_not(served):
    assert served.client.get("/ready").json() == served.client.get("/health").json() == {"status": "ok"}
    served.log.close()
    Path(served.log.url.database).unlink()
    assert served.client.get("/ready").status_code == 503
    assert served.client.get("/health").status_code == 200


@pytest.fixture
def behind_keys(trained, tmp_path, monkeypatch):
    """The service as a process makes it, with a file of keys; yields the client and the file."""
    file = tmp_path / "keys.jsonl"
    migrate(url := f"sqlite:///{tmp_path / 'predictions.db'}")
    monkeypatch.setenv("CREDITRISK_ARTIFACTS", trained.folder)
    monkeypatch.setenv("CREDITRISK_DATABASE_URL", url)
    monkeypatch.setenv("CREDITRISK_KEYS_FILE", str(file))
    right, _ = add_key(file, "a-client")
    gone, _ = add_key(file, "a-former-client")
    revoke_keys(file, "a-former-client")
    with TestClient(service.create(), base_url="http://127.0.0.1") as client:
        yield client, right, gone
    monkeypatch.undo()
    reload_settings()


def test_requests_are_counted_by_endpoint_whoever_answers_them(behind_keys, applications):
    client, right, _ = behind_keys
    client.get("/health")
    client.post("/predict", json=applications[0], headers=bearer(right))
    client.post("/predict", json=applications[0])
    client.get("/nothing", headers=bearer(right))
    families = {
        one.name: one for one in text_string_to_metric_families(client.get("/metrics", headers=bearer(right)).text)
    }
    found = {
        (sample.labels["path"], sample.labels["status"]): sample.value
        for sample in families["creditrisk_requests"].samples
    }
    assert found == {("/health", "200"): 1, ("/predict", "200"): 1, ("/predict", "401"): 1, ("unmatched", "404"): 1}


def test_without_a_key_in_force_everything_but_health_is_401_and_all_the_same(behind_keys, applications):
    client, right, gone = behind_keys
    assert client.get("/health").status_code == 200
    described = client.get("/openapi.json", headers=bearer(right)).json()["paths"]
    paths = [(m.upper(), path) for path, methods in described.items() for m in methods if path != "/health"]
    assert len(paths) > 9
    wrong = right[:-4] + ("aaaa" if right[-4:] != "aaaa" else "bbbb")
    refusals = set()
    for method, path in [*paths, ("GET", "/openapi.json"), ("GET", "/nothing")]:
        for headers in ({}, bearer(wrong), bearer(gone), {"X-API-Key": wrong}, {"Authorization": "Basic abc"}):
            response = client.request(method, path, headers=headers)
            assert response.status_code == 401, (method, path)
            refusals.add(response.text)
    assert len(refusals) == 1, "nobody is told what was wrong with the key"
    answer = client.post("/predict", json=applications[0], headers=bearer(right))
    assert answer.status_code == 200
    (row,) = client.get("/logs", headers={"X-API-Key": right}).json()
    assert row["caller"] == "a-client" and row["latency_ms"] > 0


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def test_the_time_of_a_refusal_does_not_tell_what_was_wrong(behind_keys):
    client, right, gone = behind_keys
    wrong = right[:-4] + ("aaaa" if right[-4:] != "aaaa" else "bbbb")
    kinds = {"none": {}, "wrong": bearer(wrong), "revoked": bearer(gone)}
    seconds: dict[str, list[float]] = {kind: [] for kind in kinds}
    for _ in range(300):
        for kind, headers in kinds.items():
            start = time.perf_counter()
            client.get("/logs", headers=headers)
            seconds[kind].append(time.perf_counter() - start)
    medians = {kind: statistics.median(found) for kind, found in seconds.items()}
    assert max(medians.values()) < 1.25 * min(medians.values()), medians


def test_every_answer_carries_the_security_headers(behind_keys):
    client, right, _ = behind_keys
    for path, headers in (("/health", {}), ("/logs", {}), ("/logs", bearer(right)), ("/nothing", bearer(right))):
        found = client.get(path, headers=headers).headers
        assert found["x-content-type-options"] == "nosniff" and found["cache-control"] == "no-store"
        assert "server" not in found
