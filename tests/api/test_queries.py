"""Queries: a parameter or a value that no endpoint knows is refused, with what there is, and never passed over."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from creditrisk import service
from creditrisk.monitoring import drift
from creditrisk.monitoring.checks import run_due_checks
from creditrisk.serving.api import create_app
from creditrisk.serving.log import PredictionLog, PredictionRecord, ReportRecord, migrate
from creditrisk.serving.metrics import Measured, Metrics
from creditrisk.serving.model import load_model, save_models
from creditrisk.serving.models import Models, Served
from creditrisk.serving.problems import unknown_parameters
from creditrisk.serving.records import VERDICTS
from creditrisk.settings import Settings


@pytest.fixture(scope="module")
def client(champion, applications, tmp_path_factory) -> Iterator[TestClient]:
    """Twenty predictions of the champion in its log, the first ten of them checked for drift. Tests only read it."""
    migrate(url := f"sqlite:///{tmp_path_factory.mktemp('queries') / 'predictions.db'}")
    log = PredictionLog(url, period=10)
    app = create_app(Models(Served(champion)), log)
    client = TestClient(app)
    for number, application in enumerate(applications[:20]):
        purpose = "what_if" if number >= 10 else "production"
        payload = {**application, "application_id": f"A-{number}"}
        assert client.post("/predict", params={"purpose": purpose}, json=payload).status_code == 200
    assert run_due_checks(log, lambda check: champion, "test") == 1
    yield client
    app.state.desk.stop()
    log.close()


def refusal(client: TestClient, address: str, **query) -> dict:
    response = client.get(address, params=query)
    assert response.status_code == 422, response.text
    (mistake,) = response.json()["detail"]
    assert set(mistake) == {"loc", "msg", "type"}
    return mistake


# Parameters


def test_a_misspelt_parameter_is_refused_with_the_likely_one_and_all_there_are(client):
    mistake = refusal(client, "/logs", mdoel="v1", limit=1)
    assert mistake["loc"] == ["query", "mdoel"] and mistake["type"] == "unknown_parameter"
    assert mistake["msg"] == (
        "mdoel is an unknown parameter; did you mean model? Known are limit, before_id, model, model_version, purpose, "
        "application_id, rating, decision, since, until"
    )


def test_no_endpoint_passes_over_a_parameter_that_it_does_not_know(client):
    described = client.get("/openapi.json").json()["paths"]
    endpoints = [(method, path) for path, methods in described.items() for method in methods]
    assert len(endpoints) >= 11
    for method, path in [*endpoints, ("get", "/openapi.json")]:
        response = client.request(method, path, params={"nonsense": 1})
        assert response.status_code == 422, (method, path)
        assert response.json()["detail"][0]["loc"] == ["query", "nonsense"]
        if path != "/openapi.json":
            assert "422" in described[path][method]["responses"], (method, path)
    assert "this address takes none" in refusal(client, "/ready", verbose=1)["msg"]


def test_where_there_is_nothing_or_another_method_a_query_changes_nothing(client):
    assert client.get("/nothing?x=1").status_code == 404
    assert client.get("/predict?x=1").status_code == 405


def test_behind_the_door_too_and_counted_under_its_own_address(trained, tmp_path, applications):
    migrate(url := f"sqlite:///{tmp_path / 'predictions.db'}")
    log, metrics = PredictionLog(url), Metrics()
    app = create_app(Models.open("champion", trained.folder), log, metrics=metrics)
    client = TestClient(Measured(service.guarded(app, Settings()), metrics), base_url="http://127.0.0.1")
    assert client.get("/health").status_code == 200
    assert "takes none" in refusal(client, "/health", deep=1)["msg"]
    refusal(client, "/logs", mdoel="v1")
    wrong = client.post("/predict", params={"mdoel": "v1"}, json=applications[0])
    assert wrong.status_code == 422 and "did you mean model? Known are model, purpose" in wrong.text
    assert client.post("/predict", json=applications[0]).status_code == 200
    text = client.get("/metrics").text
    for labels in (
        'method="GET",path="/health",status="200"',
        'method="GET",path="/health",status="422"',
        'method="GET",path="/logs",status="422"',
        'method="POST",path="/predict",status="200"',
    ):
        assert f"creditrisk_requests_total{{{labels}}} 1" in text
    app.state.desk.stop()
    log.close()


def test_unknown_parameters_are_named_once_and_stay_short():
    assert unknown_parameters(["model"], ["model", "purpose"]) == unknown_parameters([], []) == []
    (mistake,) = unknown_parameters(["purpos", "model", "purpos"], ["model", "purpose"])
    assert mistake["msg"] == "purpos is an unknown parameter; did you mean purpose? Known are model, purpose"
    (mistake,) = unknown_parameters(["x" * 500], ["model"])
    assert mistake["msg"].startswith("x" * 60 + "... is an unknown parameter; known are model")
    (mistake,) = unknown_parameters([""], [])
    assert mistake["msg"] == "'' is an unknown parameter; this address takes none"
    many = unknown_parameters(map(str, range(500)), ["model"])
    assert len(many) == 21 and many[-1]["msg"] == "and 480 more mistakes"


# Values


@pytest.mark.parametrize(
    ("address", "name", "allowed"),
    [
        ("/logs", "purpose", ["production", "file", "what_if", "shadow", "backfill"]),
        ("/logs", "decision", ["approve", "refer", "decline"]),
        ("/logs", "rating", ["Poor", "Average", "Good", "Excellent"]),
        ("/drift-reports", "trigger", ["automatic", "file", "notebook"]),
        ("/drift-reports", "status", ["green", "amber", "red", "insufficient data"]),
    ],
)
def test_a_value_that_a_filter_cannot_have_is_refused_with_those_it_can(client, address, name, allowed):
    mistake = refusal(client, address, **{name: "SECRET"})
    assert mistake["loc"] == ["query", name]
    assert mistake["msg"] == f"{name} must be one of {', '.join(allowed)}"
    for value in allowed:
        assert client.get(address, params={name: value}).status_code == 200
    parameters = client.get("/openapi.json").json()["paths"][address]["get"]["parameters"]
    (schema,) = [one["schema"] for one in parameters if one["name"] == name]
    assert (schema if "enum" in schema else schema["anyOf"][0])["enum"] == allowed


def test_filters_find_what_they_say(client):
    def ids(address: str, **query) -> list[int]:
        return [row["id"] for row in client.get(address, params=query).json()]

    rows = client.get("/logs").json()
    assert ids("/logs", purpose="what_if") == list(range(20, 10, -1))
    for name in ("rating", "decision"):
        for value in {row[name] for row in rows}:
            assert ids("/logs", **{name: value}) == [row["id"] for row in rows if row[name] == value]
    assert ids("/logs", application_id="A-3") == [4]
    since, until = rows[5]["timestamp"], rows[2]["timestamp"]
    within = [row["id"] for row in rows if since <= row["timestamp"] < until]
    assert within and ids("/logs", since=since, until=until) == within
    (report,) = client.get("/drift-reports").json()
    assert ids("/drift-reports", trigger="automatic", status=report["status"]) == [report["id"]]
    assert ids("/drift-reports", trigger="file") == []


def test_the_verdicts_to_filter_by_are_those_that_a_drift_check_gives(champion):
    columns = [drift.ColumnDrift(column="age", kind="number", status=one, reason="", n=1) for one in drift.STATUSES]
    assert [drift.DriftReport((column,), 1, 1).status for column in columns] == list(drift.STATUSES)
    assert set(drift.STATUSES) == set(VERDICTS)


def test_a_rating_of_before_can_be_asked_for_as_long_as_the_log_has_it(served):
    """A portfolio that renames its ratings, or another portfolio's predictions in the same database."""
    record = PredictionRecord("v0", "a" * 64, "cards", "production", "api", {}, {}, 0.5, 600, "Middling")
    served.log.append([record])
    (row,) = served.client.get("/logs", params={"rating": "Middling"}).json()
    assert row["prediction_id"] == record.prediction_id


# Which model


@pytest.mark.parametrize("address", ["/logs", "/drift-reports"])
def test_a_model_is_named_as_everywhere_else_by_version_or_alias(trained, tmp_path, applications, address):
    migrate(url := f"sqlite:///{tmp_path / 'predictions.db'}")
    log = PredictionLog(url, period=1)
    folder = str(tmp_path / "artifacts")
    save_models(folder, {version: load_model(version, trained.folder) for version in ("v1", "v2")}, "v2")
    app = create_app(Models.open("champion", folder), log)
    client = TestClient(app)
    for model in ("v1", "v2"):
        assert client.post("/predict", params={"model": model}, json=applications[0]).status_code == 200
    of_old = PredictionRecord("v0", "a" * 64, "retail", "production", "api", {}, {}, 0.5, 600, "Good")
    log.append([of_old])
    for version, sha256 in (("v0", "a" * 64), ("v1", "b" * 64), ("v2", "c" * 64)):
        report = ReportRecord(n=1, status="ok", flagged=0, report={})
        log.store_report(report, model_version=version, model_sha256=sha256, trigger="notebook", window_key="w")

    def versions(**query) -> set[str]:
        return {row["model_version"] for row in client.get(address, params=query).json()}

    assert versions() == {"v0", "v1", "v2"}
    assert versions(model="v2") == versions(model="champion") == {"v2"}
    assert versions(model="v1") == versions(model="challenger") == versions(model_version="v1") == {"v1"}
    assert versions(model="v0") == {"v0"}, "the log still has it, though the folder does not"
    for name in ("model", "model_version"):
        mistake = refusal(client, address, **{name: "v9"})
        assert mistake["msg"] == "there is no model 'v9'; there are v1, v2, champion, challenger"
        assert mistake["loc"] == ["query", name]
    mistake = refusal(client, address, model="v1", model_version="v2")
    assert mistake["msg"] == "model_version is another name of model; send one of them"
    app.state.desk.stop()
    log.close()


# Times


@pytest.mark.parametrize("address", ["/logs", "/drift-reports"])
def test_a_time_is_refused_in_words_that_show_how_to_write_it(client, address):
    written = "2026-01-31T12:00:00Z"
    for wrong, said in (
        ("yesterday", f"since must be a date and a time with time zone, as in {written}"),
        ("2026-01-31", f"since must be a date and a time with time zone, as in {written}"),
        ("2026-01-31T10:00:00", f"since has no time zone; write it with one, as in {written}"),
        ("2026-02-31T10:00:00Z", f"since is no day or time there is; write it as in {written}"),
        ("2026-01-31T10:00:00 Uhr", f"since is no day or time there is; write it as in {written}"),
    ):
        assert refusal(client, address, since=wrong)["msg"] == said


@pytest.mark.parametrize("address", ["/logs", "/drift-reports"])
def test_a_stretch_of_time_that_ends_before_it_begins_is_refused(client, address):
    mistake = refusal(client, address, since="2026-03-01T00:00:00Z", until="2026-02-01T00:00:00Z")
    assert mistake["loc"] == ["query", "until"] and mistake["type"] == "until_before_since"
    assert mistake["msg"] == "until must not be before since; a page has what is from since on and before until"
    same = {"since": "2026-03-01T00:00:00Z", "until": "2026-03-01T01:00:00+01:00"}
    assert client.get(address, params=same).json() == [], "an empty stretch, but one"


def test_a_plus_sign_that_was_not_escaped_is_read_as_it_was_meant(client):
    for until in ("2020-01-01T00:00:00+01:00", "2020-01-01T00:00:00%2B01:00", "2020-01-01T00:00:00-01:00"):
        response = client.get(f"/logs?until={until}")
        assert response.status_code == 200 and response.json() == []
    newest = client.get("/logs?limit=1").json()[0]["timestamp"]
    assert newest.endswith("Z")
    shifted = newest.replace("Z", "+00:00")
    assert len(client.get(f"/logs?since={shifted}").json()) == 1


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00%2B10:00", "9999-12-31T23:59:59-10:00"])
def test_the_first_and_the_last_moments_there_are_can_be_asked_for(client, moment):
    begun = moment.startswith("0001")
    for address in ("/logs", "/drift-reports"):
        for name in ("since", "until"):
            response = client.get(f"{address}?{name}={moment}")
            assert response.status_code == 200
            assert bool(response.json()) == ((name == "since") == begun)


# Words


@pytest.mark.parametrize(
    ("address", "query", "said"),
    [
        ("/logs", {"limit": "many"}, "limit must be a whole number"),
        ("/decisions", {}, "prediction_id is missing"),
        ("/decisions", {"prediction_id": ""}, "prediction_id must have at least 1 character"),
        ("/logs", {"application_id": "x" * 201}, "application_id must have at most 200 characters"),
        ("/logs", {"application_id": "a\0"}, "application_id holds a NUL character, which no database stores"),
        ("/logs", {"model": "\0"}, "model holds a NUL character, which no database stores"),
        ("/decisions", {"prediction_id": "\0"}, "prediction_id holds a NUL character, which no database stores"),
    ],
)
def test_what_is_wrong_with_a_value_is_said_in_words(client, address, query, said):
    assert refusal(client, address, **query)["msg"] == said
