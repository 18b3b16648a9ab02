"""What is reported to the API: outcomes of loans, and decisions that people made in the place of the policy's."""

from __future__ import annotations

import pytest

OUTCOME = {"application_id": "A-1", "observed_at": "2026-01-31", "bad": 1}
OVERRIDE = {"prediction_id": "P-1", "decision": "refer", "reason": "a note", "decided_by": "Kim"}


@pytest.fixture
def client(served, applications):
    """One prediction in the log, of application A-1."""
    assert served.predict(applications[0], application_id="A-1").status_code == 200
    return served.client


def prediction_id(client) -> str:
    return client.get("/logs?limit=1").json()[0]["prediction_id"]


def mistakes(client, address: str, body) -> list[str]:
    response = client.post(address, json=body)
    assert response.status_code == 422, response.text
    assert "SECRET" not in response.text
    for mistake in response.json()["detail"]:
        assert mistake["loc"][0] == "body" and set(mistake) == {"loc", "msg", "type"}
    return [mistake["msg"] for mistake in response.json()["detail"]]


# Outcomes


def test_one_outcome_is_answered_by_one_and_a_list_by_a_list(client):
    one = client.post("/outcomes", json=OUTCOME)
    assert one.status_code == 200
    assert one.json() == {"status": "stored", "prediction_ids": [prediction_id(client)]}
    assert client.post("/outcomes", json=[OUTCOME]).json() == [{**one.json(), "status": "duplicate"}]
    unknown = client.post("/outcomes", json={**OUTCOME, "application_id": "A-2"}).json()
    assert unknown == {"status": "unknown", "prediction_ids": []}


def test_the_place_of_a_mistake_is_that_in_what_was_sent(client):
    for body, place in (({**OUTCOME, "bad": 7}, ["body", "bad"]), ([{**OUTCOME, "bad": 7}], ["body", 0, "bad"])):
        response = client.post("/outcomes", json=body)
        assert response.json()["detail"][0]["loc"] == place


def test_an_application_id_may_be_a_number_as_in_an_application(served, applications):
    assert served.predict(applications[0], application_id=4711).status_code == 200
    assert served.client.post("/outcomes", json={**OUTCOME, "application_id": 4711}).json()["status"] == "stored"
    assert served.client.post("/outcomes", json={**OUTCOME, "application_id": "4711"}).json()["status"] == "duplicate"


def test_an_outcome_that_contradicts_another_of_the_same_day_is_told_so(client):
    def report(bad: int) -> str:
        return client.post("/outcomes", json={**OUTCOME, "bad": bad}).json()["status"]

    assert [report(bad) for bad in (0, 0, 1, 1, 0)] == ["stored", "duplicate", "corrected", "duplicate", "superseded"]
    later = client.post("/outcomes", json={**OUTCOME, "bad": 0, "observed_at": "2026-02-01"})
    assert later.json()["status"] == "stored", "the way back that /openapi.json tells"


DAY = "a day, as in 2026-01-31"
VERDICT = "0 or 1 (1: the loan went bad)"
FIELDS = "prediction_id, application_id, observed_at, bad"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"bad": 7}, f"bad must be {VERDICT}"),
        ({"bad": "SECRET"}, f"bad must be {VERDICT}, not a text"),
        ({"bad": True}, f"bad must be {VERDICT}, not true or false"),
        ({"bad": None}, f"bad must be {VERDICT}, not null"),
        ({"bad": [1]}, f"bad must be {VERDICT}, not a list"),
        ({"observed_at": "31.1.2026"}, f"observed_at must be {DAY}"),
        ({"observed_at": "2026-02-31"}, f"observed_at must be {DAY}"),
        ({"observed_at": "2026-01-31T00:00:00Z"}, f"observed_at must be {DAY}"),
        ({"observed_at": 20_000}, f"observed_at must be {DAY}, not a number"),
        ({"observed_at": "2999-01-01"}, "observed_at is in the future; an outcome is seen first"),
        ({"application_id": ""}, "application_id must be a text of 1 to 200 characters, as it was sent to /predict"),
        ({"application_id": {}}, "application_id must be a text of 1 to 200 characters, as it was sent to /predict, "
         "not an object"),
        ({"application_id": "a\0"}, "application_id holds a NUL character, which no database stores"),
        ({"application_id": None}, "name the prediction by prediction_id or by application_id, one of them"),
        ({"prediction_id": "P"}, "name the prediction by prediction_id or by application_id, one of them"),
        ({"verdict": 1}, f"verdict is an unknown field; known are {FIELDS}"),
        ({"observed": "x"}, f"observed is an unknown field; did you mean observed_at? Known are {FIELDS}"),
    ],
)  # fmt: skip
def test_an_outcome_is_refused_with_element_and_field_and_what_is_allowed(client, change, said):
    assert mistakes(client, "/outcomes", {**OUTCOME, **change}) == [said]
    assert mistakes(client, "/outcomes", [OUTCOME, {**OUTCOME, **change}]) == [f"element 2: {said}"]
    assert client.post("/outcomes", json=OUTCOME).json()["status"] == "stored", "a refused list leaves nothing"


def test_what_an_outcome_lacks_is_named_with_what_is_needed(client):
    assert mistakes(client, "/outcomes", [{"application_id": "A-1"}]) == [
        f"element 1: observed_at is missing; it must be {DAY}",
        f"element 1: bad is missing; it must be {VERDICT}",
    ]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("SECRET", "the body must be one JSON object, or a list of such, with the fields " + FIELDS + ", not a text"),
        ([OUTCOME, 5], "element 2 must be one JSON object with the fields " + FIELDS + ", not a number"),
        ([[OUTCOME]], "element 1 must be one JSON object with the fields " + FIELDS + ", not a list"),
        ([], "the list is empty; send one element at least"),
        ([OUTCOME] * 1001, "a list holds at most 1,000 elements, this one 1,001"),
    ],
)
def test_a_body_that_holds_no_outcome_is_refused_in_words(client, body, said):
    assert mistakes(client, "/outcomes", body) == [said]


def test_the_way_a_body_is_sent_is_told_when_it_is_wrong(client):
    for address in ("/outcomes", "/decisions"):
        for content, headers, said in (
            (b"", {"Content-Type": "application/json"}, "the body is empty; GET /openapi.json says what it holds"),
            (b"{", {"Content-Type": "application/json"}, "the body is not valid JSON: "),
            (b"{}", {}, "send the body as JSON, with the header Content-Type: application/json"),
        ):
            response = client.post(address, content=content, headers=headers)
            assert response.status_code == 422
            assert response.json()["detail"][0]["msg"].startswith(said)


# Decisions


def test_a_decision_on_nothing_says_what_is_not_there(client):
    response = client.post("/decisions", json=OVERRIDE)
    assert response.status_code == 404
    assert response.json() == {"detail": "there is no prediction P-1 in the log"}
    long = client.post("/decisions", json={**OVERRIDE, "prediction_id": "x" * 200}).json()["detail"]
    assert long == f"there is no prediction {'x' * 60}... in the log"
    assert client.post("/nothing").json() == {"detail": "there is nothing at this address; GET / lists what there is"}


REASON = "reason must be a text of 1 to 200 characters that says why the policy's decision is overridden"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"decision": "SECRET"}, "decision must be one of approve, refer, decline"),
        ({"decision": 1}, "decision must be one of approve, refer, decline, not a number"),
        ({"reason": " "}, REASON),
        ({"reason": "x" * 201}, REASON),
        ({"decided_by": 5}, "decided_by must be a text of 1 to 200 characters, a name or a staff number, not a number"),
        ({"decided_by": "\0SECRET"}, "decided_by holds a NUL character, which no database stores"),
        ({"decided_buy": "x"}, "decided_buy is an unknown field; did you mean decided_by? Known are prediction_id, "
         "decision, reason, decided_by"),
    ],
)  # fmt: skip
def test_a_decision_is_refused_with_the_field_and_what_is_allowed(client, change, said):
    assert mistakes(client, "/decisions", {**OVERRIDE, **change}) == [said]


def test_what_a_decision_lacks_is_named_with_what_is_needed(client):
    assert mistakes(client, "/decisions", {"prediction_id": "P-1"}) == [
        "decision is missing; it must be one of approve, refer, decline",
        REASON.replace("reason", "reason is missing; it", 1),
        "decided_by is missing; it must be a text of 1 to 200 characters, a name or a staff number",
    ]
    fields = "prediction_id, decision, reason, decided_by"
    assert mistakes(client, "/decisions", [OVERRIDE]) == [
        f"the body must be one JSON object with the fields {fields}, not a list"
    ]


def test_decisions_on_a_prediction_are_listed_newest_first(client):
    one = prediction_id(client)
    made = [
        client.post("/decisions", json={**OVERRIDE, "prediction_id": one, "decision": decision}).json()
        for decision in ("refer", "approve", "decline")
    ]
    assert client.get("/decisions", params={"prediction_id": one}).json() == made[::-1]


# Examples


def test_the_described_examples_are_requests_that_work(client):
    described = client.get("/openapi.json").json()["paths"]
    outcomes = described["/outcomes"]["post"]["requestBody"]["content"]["application/json"]["examples"]
    one, several = outcomes["one"]["value"], outcomes["several"]["value"]
    assert client.post("/outcomes", json=one).json()["status"] == "stored"
    found = client.post("/outcomes", json=several).json()
    assert len(found) == len(several) > 1
    override = described["/decisions"]["post"]["requestBody"]["content"]["application/json"]["example"]
    made = client.post("/decisions", json={**override, "prediction_id": prediction_id(client)})
    assert made.status_code == 200 and made.json()["decision"] == override["decision"]
