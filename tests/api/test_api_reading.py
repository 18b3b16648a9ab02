"""What the API tells about itself, the model, the log and the drift checks."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from creditrisk.monitoring.checks import SCORES, run_due_checks
from creditrisk.serving.contract import example_application


@pytest.fixture
def filled(served, applications):
    """Five logged predictions, ids 1 to 5."""
    for number, application in enumerate(applications[:5]):
        assert served.predict(application, application_id=f"A-{number}").status_code == 200
    return served


def test_health_is_ok(served):
    response = served.client.get("/health")
    assert (response.status_code, response.json()) == (200, {"status": "ok"})


def test_logs_are_newest_first_with_the_promised_fields(filled, applications):
    logged = filled.client.get("/logs").json()
    assert [row["id"] for row in logged] == [5, 4, 3, 2, 1]
    newest = logged[0]
    assert set(newest) == {
        "id", "prediction_id", "timestamp", "model_version", "application_id", "purpose", "inputs",
        "default_probability", "credit_score", "points", "rating", "grade", "decision", "policy", "reasons", "caller",
        "latency_ms",
    }  # fmt: skip
    assert newest["inputs"] == applications[4]
    assert (newest["application_id"], newest["purpose"], newest["model_version"]) == ("A-4", "production", "v2")
    answer = filled.predict(applications[4], application_id="A-4").json()
    shared = set(newest) & set(answer)
    assert len(shared) == 11 and {k: newest[k] for k in shared} == {k: answer[k] for k in shared}


def test_logs_can_be_read_page_by_page(filled):
    def page(**query) -> list[int]:
        return [row["id"] for row in filled.client.get("/logs", params=query).json()]

    assert page(limit=2) == [5, 4]
    assert page(limit=2, before_id=4) == [3, 2]
    assert page(limit=2, before_id=2) == [1]
    assert page(before_id=1) == []


def test_a_hundred_predictions_give_one_drift_check_and_extreme_ones_are_flagged_by_column(served, applications):
    for application in applications[:100]:
        served.predict(application)
    for application in applications[:100]:
        served.predict(application, loan_tenure_months=600)
    assert run_due_checks(served.log, lambda check: served.data, "test") == 2
    drifted, quiet = served.client.get("/drift-reports").json()
    assert set(quiet) == {
        "id", "timestamp", "model_version", "trigger", "window_key", "n", "status", "flagged", "flagged_columns",
        "columns",
    }  # fmt: skip
    assert (quiet["n"], quiet["status"], quiet["flagged"], quiet["flagged_columns"]) == (100, "green", 0, [])
    assert (quiet["trigger"], quiet["window_key"], drifted["window_key"]) == ("automatic", "bucket-1", "bucket-2")
    assert drifted["status"] == "red" and drifted["flagged"] == len(drifted["flagged_columns"])
    assert {"loan_tenure_months"} <= set(drifted["flagged_columns"]) <= {"loan_tenure_months", *SCORES}
    assert "bins" not in drifted["columns"][0], "a list of reports stays short"
    by_name = {column["column"]: column for column in drifted["columns"]}
    assert by_name["loan_tenure_months"]["new_mean"] == 600 and by_name["loan_tenure_months"]["z"] > 3
    assert by_name["loan_tenure_months"]["psi_adjusted"] > 0.25 and by_name["age"]["status"] == "green"
    assert abs(by_name["age"]["z"]) < 3 and not by_name["age"]["z_flag"]
    assert [r["id"] for r in served.client.get("/drift-reports?limit=1").json()] == [drifted["id"]]
    assert served.client.get(f"/drift-reports?before_id={drifted['id']}").json() == [quiet]


def test_model_info_is_that_of_the_published_model(serve, either_model, trained):
    info = serve(either_model).client.get("/model-info").json()
    manifest = json.loads((Path(trained.folder) / "manifest.json").read_text())["models"][either_model.version]
    assert info["sha256"] == manifest["sha256"]
    assert (info["kind"], info["portfolio"]) == (manifest["kind"], "retail")
    assert info["features"] == list(either_model.features)
    assert info["metrics"]["test"]["auc"] == manifest["auc"]
    assert info["metrics"]["cv"] == either_model.metrics["cv"]
    assert info["threshold"] == either_model.threshold
    assert info["pd_kind"] == either_model.pd_kind == "point-in-time"
    assert (info["trained"], info["training"]["run"]) == (manifest["created"], "a-run")
    assert info["versions"] == manifest["versions"]


def test_model_info_says_which_scale_is_additive_and_how_far_whole_points_are_off(serve, either_model):
    info = serve(either_model).client.get("/model-info").json()
    assert (info["credit_score"]["low"], info["credit_score"]["high"]) == (300, 900)
    assert info["credit_score"]["formula"] == "int(300 + (1 - PD) * 600)" and not info["credit_score"]["additive"]
    assert "Linear in PD, hence not additive" in info["credit_score"]["about"]
    if either_model.version == "v2":
        assert info["points"] is None
        return
    points, card = info["points"], either_model.card
    assert (points["at"], points["odds"], points["pdo"], points["additive"]) == (600, 50, 20, True)
    assert (points["base"], points["lowest"], points["highest"]) == (card.base, *card.span)
    assert points["largest_error"] == card.largest_error > 0 and points["largest_pd_error"] == card.largest_pd_error


def test_model_info_states_the_baseline_of_reasons(serve, either_model):
    reasons = serve(either_model).client.get("/model-info").json()["reasons"]
    assert reasons["baseline"] == either_model.reasons.about and "near the cut-off" in reasons["baseline"]
    assert reasons["basis"] == either_model.reasons.basis and reasons["at_most"] == 4
    assert list(reasons["contributions"].values()) == list(either_model.reasons.baseline)
    assert list(reasons["contributions"]) == list(either_model.features)


def test_model_info_names_inputs_as_requests_do_with_their_limits(served):
    inputs = served.client.get("/model-info").json()["inputs"]
    assert [name for name, about in inputs.items() if about["required"]] == list(
        example_application(served.data.portfolio)
    )
    assert not inputs["enquiry_count"]["required"]
    assert (inputs["age"]["min"], inputs["age"]["max"], inputs["age"]["warn_above"]) == (18, 100, 70)
    assert (inputs["income"]["above"], inputs["income"]["min"]) == (0, None)
    assert inputs["num_open_accounts"]["also_called"] == ["number_of_open_accounts"]
    assert inputs["loan_type"]["levels"] == ["Secured", "Unsecured"]


def test_a_figure_that_is_not_a_number_is_null_and_no_failure(serve, champion):
    odd = replace(champion, metrics={"test": {"auc": math.nan}, "cv": {"auc": math.inf}})
    response = serve(odd).client.get("/model-info")
    assert response.status_code == 200
    assert response.json()["metrics"] == {"test": {"auc": None}, "cv": {"auc": None}}


def test_the_index_lists_every_endpoint_and_nothing_that_needs_the_internet(served):
    index = served.client.get("/").json()
    described = served.client.get(index["openapi"]).json()["paths"]
    listed = {f"{method.upper()} {path}" for path, methods in described.items() for method in methods}
    assert set(index["endpoints"]) == listed
    assert {"GET /health", "GET /model-info", "POST /predict", "GET /logs", "GET /drift-reports"} <= listed
    assert served.client.get("/docs").status_code == served.client.get("/redoc").status_code == 404


def test_the_described_example_is_a_request_that_works_and_every_answer_is_described(served):
    described = served.client.get("/openapi.json").json()
    predict = described["paths"]["/predict"]["post"]
    body = predict["requestBody"]["content"]["application/json"]
    assert served.predict(body["example"]).status_code == 200
    assert {"200", "413", "422", "503"} <= set(predict["responses"])
    schemas = described["components"]["schemas"]
    one, several = body["schema"]["anyOf"]
    assert several["items"] == one and (several["minItems"], several["maxItems"]) == (1, 1000)
    application = schemas[one["$ref"].split("/")[-1]]
    assert application["properties"]["age"]["maximum"] == 100 and application["additionalProperties"] is False
    assert set(schemas["Mistake"]["properties"]) == {"loc", "msg", "type"}
    for path, methods in described["paths"].items():
        for operation in methods.values():
            assert operation["summary"], path
            kind = "text/plain" if path == "/metrics" else "application/json"
            assert operation["responses"]["200"]["content"][kind]["schema"], path
