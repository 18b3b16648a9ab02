"""POST /predict: scored as in a batch, logged before it is answered, once per application."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest

from creditrisk.serving.model import load_model
from creditrisk.serving.scorer import Scorer

OLD_PAYLOAD = {
    "age": 34,
    "income": 1_450_000,
    "loan_amount": 2_100_000,
    "loan_tenure_months": 36,
    "avg_dpd_per_delinquency": 7.5,
    "delinquency_ratio": 22,
    "credit_utilization_ratio": 64.3,
    "num_open_accounts": 3,
    "residence_type": "Rented",
    "loan_purpose": "Education",
    "loan_type": "Unsecured",
}
OLD_KEYS = {"prediction_id", "default_probability", "credit_score", "rating", "timestamp"}
NEW_KEYS = {"points", "grade", "decision", "policy", "reasons", "model_version", "warnings"}


def test_the_request_of_existing_clients_gets_the_answer_they_know(serve, either_model):
    before = datetime.now(UTC)
    response = serve(either_model).predict(OLD_PAYLOAD)
    assert response.status_code == 200
    answer = response.json()
    assert set(answer) == OLD_KEYS | NEW_KEYS
    assert isinstance(answer["prediction_id"], str) and answer["prediction_id"]
    pd_ = answer["default_probability"]
    assert isinstance(pd_, float) and 0 < pd_ < 1
    assert answer["credit_score"] == int(300 + (1 - pd_) * 600)
    bounds = ((500, "Poor"), (650, "Average"), (750, "Good"), (901, "Excellent"))
    assert answer["rating"] == next(name for below, name in bounds if answer["credit_score"] < below)
    assert answer["timestamp"].endswith("Z")
    assert before <= datetime.fromisoformat(answer["timestamp"]) <= before + timedelta(seconds=60)
    assert answer["model_version"] == either_model.version
    assert isinstance(answer["points"], int) if either_model.version == "v1" else answer["points"] is None
    assert 1 <= len(answer["reasons"]) <= 4
    assert all(set(reason) == {"feature", "text", "weight"} for reason in answer["reasons"])


def test_answers_are_those_of_batch_scoring_to_the_last_bit(serve, either_model, applications):
    served, chosen = serve(either_model), applications[:60]
    names = either_model.portfolio.wire_names
    frame = pd.DataFrame(chosen).rename(columns=names)
    batch = Scorer(either_model).score_frame(frame)
    answers = [served.predict(application).json() for application in chosen]
    assert [a["default_probability"] for a in answers] == batch.pd.tolist()
    assert [a["credit_score"] for a in answers] == batch.score.tolist()
    assert [a["rating"] for a in answers] == list(batch.rating)
    assert [a["grade"] for a in answers] == list(batch.grade)
    assert [a["points"] for a in answers] == ([None] * 60 if batch.points is None else batch.points.tolist())
    assert [a["reasons"] for a in answers] == batch.reasons


def test_an_answer_is_in_the_log_with_its_inputs_and_features(served):
    answer = served.predict(OLD_PAYLOAD, application_id=" A-17 ", num_open_accounts=3.0).json()
    (row,) = served.rows()
    assert row["prediction_id"] == answer["prediction_id"]
    assert row["created_at"] == datetime.fromisoformat(answer["timestamp"])
    logged = [row[name] for name in ("pd", "score", "points", "rating", "grade", "reasons")]
    shown = ("default_probability", "credit_score", "points", "rating", "grade", "reasons")
    assert logged == [answer[name] for name in shown]
    assert (row["purpose"], row["source"], row["sequence"]) == ("production", "api", 1)
    assert (row["application_id"], row["inputs"]) == ("A-17", OLD_PAYLOAD)
    assert row["features"]["number_of_open_accounts"] == 3
    assert row["features"]["loan_to_income"] == pytest.approx(2_100_000 / 1_450_000)


def test_a_drift_check_is_announced_with_its_hundredth_prediction_which_is_stored_by_then(serve, champion):
    seen = []
    served = serve(champion, on_due=lambda: seen.append(len(served.rows())))
    served.predict(OLD_PAYLOAD)
    served.client.post("/predict", json=[OLD_PAYLOAD] * 98)
    assert seen == []
    served.predict(OLD_PAYLOAD)
    served.predict(OLD_PAYLOAD)
    assert seen == [100]


def test_an_application_sent_again_gets_its_stored_prediction_and_no_second_row(serve, champion):
    served = serve(champion)
    first = served.predict(OLD_PAYLOAD, application_id="A-1", age=71)
    again = served.predict(OLD_PAYLOAD, application_id="A-1", age=71)
    assert again.status_code == 200 and again.text == first.text
    assert len(served.rows()) == 1


def test_a_prediction_logged_before_points_and_grades_were_is_answered_with_its_grade(served):
    first = served.predict(OLD_PAYLOAD, application_id="A-1").json()
    with served.log._writer.begin() as connection:
        connection.exec_driver_sql("UPDATE predictions SET grade = NULL, points = NULL")
    again = served.predict(OLD_PAYLOAD, application_id="A-1").json()
    assert again == first | {"points": None} and again["grade"]


def test_inputs_as_logged_give_the_same_prediction_again_reasons_included(serve, either_model, applications):
    served, names = serve(either_model), either_model.portfolio.wire_names
    for application in applications[:40]:
        served.predict({name: value for name, value in application.items() if name != "enquiry_count"})
        served.predict(application)
    rows = served.rows()
    inputs = [{names[name]: value for name, value in row["inputs"].items()} for row in rows]
    again = Scorer(either_model).score_rows(inputs)
    assert again.reasons == [row["reasons"] for row in rows] and max(map(len, again.reasons)) == 4
    assert again.pd.tolist() == [row["pd"] for row in rows] and again.score.tolist() == [row["score"] for row in rows]
    assert list(again.grade) == [row["grade"] for row in rows]
    assert [row["points"] for row in rows] == ([None] * len(rows) if again.points is None else again.points.tolist())


def test_an_application_sent_again_with_other_inputs_gets_the_stored_prediction_and_is_told(served):
    first = served.predict(OLD_PAYLOAD, application_id="A-1").json()
    again = served.predict(OLD_PAYLOAD, application_id="A-1", credit_utilization_ratio=99).json()
    assert again.pop("warnings") == [
        "this application_id was scored before, with other inputs; this is the stored prediction of those"
    ]
    assert first.pop("warnings") == [] and again == first
    assert len(served.rows()) == 1


def test_an_application_id_may_be_a_number_and_is_the_same_as_text(served):
    ids = [served.predict(OLD_PAYLOAD, application_id=sent).json()["prediction_id"] for sent in (7, "7", "8")]
    assert ids[0] == ids[1] != ids[2]


def test_applications_without_an_id_are_separate_predictions(served):
    ids = {served.predict(OLD_PAYLOAD).json()["prediction_id"] for _ in range(3)}
    assert len(ids) == len(served.rows()) == 3


def test_another_model_makes_its_own_prediction_of_the_same_application(serve, trained):
    answers = [
        serve(load_model(version, trained.folder)).predict(OLD_PAYLOAD, application_id="A-1").json()
        for version in ("v1", "v2")
    ]
    assert [answer["model_version"] for answer in answers] == ["v1", "v2"]
    assert answers[0]["prediction_id"] != answers[1]["prediction_id"]


@pytest.mark.parametrize(
    ("changes", "warnings"),
    [
        ({"age": 70}, []),
        ({"age": 71}, ["age 71 is above 70, beyond what the model has seen much of"]),
        (
            {"income": 12_000_000.5, "num_open_accounts": 5},
            [
                "income 12,000,000.5 is above 12,000,000, beyond what the model has seen much of",
                "num_open_accounts 5 is above 4, beyond what the model has seen much of",
            ],
        ),
    ],
)
def test_inputs_beyond_soft_limits_are_scored_with_a_warning(served, changes, warnings):
    response = served.predict(OLD_PAYLOAD, **changes)
    assert response.status_code == 200
    assert response.json()["warnings"] == warnings


def test_an_optional_input_may_be_left_out_and_is_then_missing_to_the_model(served):
    left_out, null, given = (
        served.predict({**OLD_PAYLOAD, **extra}).json()["default_probability"]
        for extra in ({}, {"enquiry_count": None}, {"enquiry_count": 9})
    )
    assert left_out == null != given
    given_row, *others = served.rows()
    assert given_row["inputs"]["enquiry_count"] == given_row["features"]["enquiry_count"] == 9
    assert all("enquiry_count" not in row["inputs"] for row in others)
    assert all(row["features"]["enquiry_count"] is None for row in others)


def test_other_names_and_spellings_of_the_portfolio_are_logged_under_one_name(served):
    payload = {**OLD_PAYLOAD, "loan_purpose": "Personaal"}
    payload["number_of_open_accounts"] = payload.pop("num_open_accounts")
    assert served.predict(payload).status_code == 200
    inputs = served.rows()[0]["inputs"]
    assert inputs == {**OLD_PAYLOAD, "loan_purpose": "Personal"}


def test_applications_never_get_into_the_process_log(served, caplog):
    caplog.set_level(logging.DEBUG)
    secret = {"application_id": "SECRET-ID", "income": 987654.25}
    assert served.predict(OLD_PAYLOAD, **secret).status_code == 200
    assert served.predict(OLD_PAYLOAD, **secret, age=-5551).status_code == 422
    served.log._writer.dispose()
    with served.log._writer.begin() as connection:
        connection.exec_driver_sql("DROP TABLE predictions")
    assert served.predict(OLD_PAYLOAD, **secret).status_code == 503
    assert "POST /predict was not answered" in caplog.text
    assert not any(word in caplog.text for word in ("SECRET-ID", "987654", "5551"))
