"""Whatever a client sends, it gets a readable refusal without its own data in it, and never a 500."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from creditrisk.data.portfolio import load_portfolio
from creditrisk.serving.api import create_app
from creditrisk.serving.contract import application_model, example_application
from creditrisk.serving.log import PredictionLog, migrate
from creditrisk.serving.models import Models, Served

BOOK = load_portfolio("retail")
VALID = example_application(BOOK)
JSON = {"Content-Type": "application/json"}
LEFT_OUT = object()


@pytest.fixture(scope="module")
def client(champion, tmp_path_factory) -> Iterator[TestClient]:
    """One API for all refusals: they leave nothing behind."""
    url = f"sqlite:///{tmp_path_factory.mktemp('refusals') / 'predictions.db'}"
    migrate(url)
    log = PredictionLog(url)
    client = TestClient(create_app(Models(Served(champion)), log))
    yield client
    log.close()


def post(client: TestClient, body: bytes, headers: dict = JSON):
    return client.post("/predict", content=body, headers=headers)


def body_of(**changes) -> bytes:
    payload = {**VALID, **changes}
    return json.dumps({name: value for name, value in payload.items() if value is not LEFT_OUT}).encode()


def stored(client: TestClient) -> int:
    return len(client.get("/logs", params={"limit": 1000}).json())


AGE = "age must be a whole number from 18 to 100"
INCOME = "income must be a number above 0"
PURPOSE = "loan_purpose must be one of Education, Home, Auto, Personal"


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("age", 10, AGE),
        ("age", 101, AGE),
        ("age", 30.5, AGE),
        ("age", "30", AGE),
        ("age", True, AGE),
        ("age", None, AGE),
        ("age", [30], AGE),
        ("age", 10**400, AGE),
        ("age", float("nan"), AGE),
        ("age", float("inf"), AGE),
        ("age", LEFT_OUT, "age is missing: a whole number from 18 to 100 is needed"),
        ("income", 0, INCOME),
        ("income", -1, INCOME),
        ("income", float("nan"), INCOME),
        ("income", float("-inf"), INCOME),
        ("income", {"amount": 5}, INCOME),
        ("income", 10**400, INCOME),
        ("income", 1e16, INCOME + ", and not beyond 1,000,000,000,000,000 either way"),
        ("loan_purpose", "Boat", PURPOSE),
        ("loan_purpose", "auto", PURPOSE),
        ("loan_purpose", "\ud800", PURPOSE),
        ("loan_purpose", 3, PURPOSE),
        ("loan_purpose", LEFT_OUT, "loan_purpose is missing: one of Education, Home, Auto, Personal is needed"),
        ("num_open_accounts", 51, "num_open_accounts must be a whole number from 1 to 50"),
        (
            "number_of_open_accounts",
            2,
            "number_of_open_accounts is another name of num_open_accounts; send one of them",
        ),
        ("enquiry_count", -1, "enquiry_count must be a whole number from 0 to 100"),
        ("application_id", "", "application_id must be a text of 1 to 200 characters, without NUL characters"),
        ("application_id", "  ", "application_id must be a text of 1 to 200 characters, without NUL characters"),
        ("application_id", "a\0", "application_id must be a text of 1 to 200 characters, without NUL characters"),
        ("application_id", "\udfff", "application_id must be a text of 1 to 200 characters, without NUL characters"),
        ("application_id", "x" * 201, "application_id must be a text of 1 to 200 characters, without NUL characters"),
        ("application_id", True, "application_id must be a text of 1 to 200 characters, without NUL characters"),
    ],
)
def test_a_wrong_field_is_refused_by_name_with_what_is_allowed(client, field, value, message):
    before = stored(client)
    response = post(client, body_of(**{field: value}))
    assert response.status_code == 422
    (mistake,) = response.json()["detail"]
    assert set(mistake) == {"loc", "msg", "type"}
    assert (mistake["loc"], mistake["msg"]) == (["body", field], message)
    assert stored(client) == before


def test_a_number_too_large_for_a_double_is_refused(client):
    response = post(client, body_of().replace(b'"income": 1200000', b'"income": 1e999'))
    assert response.status_code == 422
    assert response.json()["detail"][0]["msg"] == INCOME


def test_an_unknown_field_is_refused_with_the_known_ones_and_the_likely_one(client):
    (mistake,) = post(client, body_of(gender="F")).json()["detail"]
    assert mistake["msg"].startswith("gender is an unknown field; known are age, income, ")
    assert mistake["msg"].endswith(", enquiry_count, application_id")
    (mistake,) = post(client, body_of(incom=5)).json()["detail"]
    assert "incom is an unknown field; did you mean income?" in mistake["msg"]


def test_an_answer_stays_short_whatever_is_wrong(client):
    response = post(client, json.dumps({f"{i}" + "x" * 5_000: 1 for i in range(150)}).encode())
    assert response.status_code == 422
    assert len(response.content) < 10_000
    assert response.json()["detail"][-1]["msg"] == f"and {150 + 11 - 20} more mistakes"


@pytest.mark.parametrize(
    ("body", "headers", "status", "words"),
    [
        (b"", JSON, 422, "the body is empty"),
        (b"{", JSON, 422, "not valid JSON"),
        (b"{'age': 3}", JSON, 422, "not valid JSON"),
        (b"[]", JSON, 422, "a list holds 1 to 1,000 applications, this one 0"),
        (b"[[1]]", JSON, 422, "must be one JSON object"),
        (b"null", JSON, 422, "must be one JSON object"),
        (b"NaN", JSON, 422, "must be one JSON object"),
        (b'"text"', JSON, 422, "must be one JSON object"),
        (b'{"\\ud800": 1}', JSON, 422, "valid Unicode"),
        (b"[" * 200_000, JSON, 400, "nested too deeply"),
        (b'{"age":' * 50_000 + b"1" + b"}" * 50_000, JSON, 400, "nested too deeply"),
        (b'{"age": ' + b"9" * 5_000 + b"}", JSON, 400, "thousands of digits"),
        (b'{"age": "\xff\xfe\xfa"}', JSON, 400, "not UTF-8"),
        (body_of(), {}, 422, "Content-Type: application/json"),
        (body_of(), {"Content-Type": "text/plain"}, 422, "Content-Type: application/json"),
        (b"age=30", {"Content-Type": "application/x-www-form-urlencoded"}, 422, "Content-Type: application/json"),
        (b"--x", {"Content-Type": "multipart/form-data; boundary=x"}, 422, "Content-Type: application/json"),
        (body_of(), {"Content-Type": "application/json; charset=nonsense"}, 200, "prediction_id"),
    ],
)
def test_a_body_that_is_no_application_is_refused_in_words(client, body, headers, status, words):
    response = post(client, body, headers)
    assert response.status_code == status
    assert words in response.text
    assert response.headers["content-type"] == "application/json"


def test_bodies_over_a_million_bytes_are_refused_whether_announced_or_not(client):
    padding = b" " * (1_000_000 - len(body_of()))
    assert post(client, body_of() + padding).status_code == 200
    before = stored(client)
    announced = post(client, body_of() + padding + b" ")
    unannounced = client.post("/predict", content=iter([body_of(), padding, b" "]), headers=JSON)
    for response in (announced, unannounced):
        assert response.status_code == 413
        assert response.json() == {
            "detail": "the body has more than 1,000,000 bytes; send fewer applications per request"
        }
    assert stored(client) == before


def test_refusals_never_repeat_what_was_sent(client):
    secrets = {"age": 7_531_902, "loan_purpose": "SECRET WORD", "application_id": ["SECRET WORD"], "income": -7_531_902}
    response = post(client, body_of(**secrets))
    assert response.status_code == 422 and len(response.json()["detail"]) == 4
    assert "SECRET" not in response.text and "7531902" not in response.text
    response = post(client, b'{"age": SECRET}')
    assert response.status_code == 422 and "SECRET" not in response.text


@pytest.mark.parametrize(
    ("method", "address", "status"),
    [("GET", "/nothing", 404), ("GET", "/health/", 404), ("GET", "/predict", 405), ("POST", "/logs", 405)],
)
def test_unknown_addresses_and_methods_are_refused_as_json(client, method, address, status):
    response = client.request(method, address)
    assert response.status_code == status
    assert "GET / lists what there is" in response.json()["detail"]


@pytest.mark.parametrize("address", ["/logs", "/drift-reports"])
@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("limit=0", "limit must be greater than or equal to 1"),
        ("limit=1001", "limit must be less than or equal to 1000"),
        ("limit=many", "limit must be a whole number"),
        ("limit=1e2", "limit must be a whole number"),
        ("before_id=0", "before_id must be greater than or equal to 1"),
        ("before_id=9223372036854775808", "before_id must be less than or equal to 9223372036854775807"),
    ],
)
def test_limits_of_lists_are_checked(client, address, query, message):
    response = client.get(f"{address}?{query}")
    assert response.status_code == 422
    (mistake,) = response.json()["detail"]
    assert mistake["loc"] == ["query", query.split("=")[0]] and mistake["msg"].startswith(message)


@pytest.mark.parametrize("query", ["limit=1", "limit=1000", "before_id=9223372036854775807"])
def test_limits_themselves_are_allowed(client, query):
    assert client.get(f"/logs?{query}").status_code == client.get(f"/drift-reports?{query}").status_code == 200


# A log that cannot be reached


@pytest.mark.parametrize("address", ["/ready", "/logs", "/drift-reports", "/predict"])
def test_without_the_log_nothing_is_answered_as_if_it_were_stored(champion, address, caplog):
    caplog.set_level(logging.WARNING)
    log = PredictionLog("postgresql://someone:hidden-word@127.0.0.1:1/nowhere")
    client = TestClient(create_app(Models(Served(champion)), log))
    response = client.post(address, json=VALID) if address == "/predict" else client.get(address)
    log.close()
    assert response.status_code == 503
    assert response.json()["detail"].startswith("the prediction log is not available")
    assert response.headers["retry-after"] == "5"
    assert client.get("/health").status_code == 200, "alive, though not ready"
    assert f"{address} was not answered: prediction log postgresql" in caplog.text
    assert "hidden-word" not in response.text + caplog.text


# Anything at all

LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters())
    | st.integers(10**14, 10**320) | st.sampled_from(["Auto", "Owned", "Secured", "\ud800", "\0", "1e999"])
)  # fmt: skip
VALUES = st.recursive(
    LEAVES, lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text(), v, max_size=3), max_leaves=5
)
NAMES = st.sampled_from([*VALID, "number_of_open_accounts", "enquiry_count", "application_id"])
BODIES = (
    st.binary(max_size=200)
    | VALUES.map(lambda value: json.dumps(value).encode())
    | st.dictionaries(NAMES | st.text(), VALUES, max_size=4).map(lambda d: json.dumps({**VALID, **d}).encode())
    | st.tuples(st.integers(0, 300), st.binary(max_size=3)).map(
        lambda cut: body_of()[: cut[0]] + cut[1] + body_of()[cut[0] :]
    )
)
TYPES = st.sampled_from(["application/json"] * 6 + ["", "text/json", "application/problem+json", "a/b; charset=\x7f"])


@settings(max_examples=400, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
@given(body=BODIES, sent_as=TYPES)
def test_no_body_makes_the_server_fail(client, body, sent_as):
    response = post(client, body, {"Content-Type": sent_as} if sent_as else {})
    assert response.status_code in (200, 400, 422)
    if response.status_code == 422:
        assert all(set(mistake) == {"loc", "msg", "type"} for mistake in response.json()["detail"])
    if response.status_code == 200:  # then the body was a valid application, by the contract itself
        application_model(BOOK).model_validate(json.loads(body))


@settings(max_examples=100, deadline=None, database=None)
@given(limit=st.text(max_size=8) | st.integers().map(str), before=st.text(max_size=8) | st.integers().map(str))
def test_no_query_makes_the_server_fail(client, limit, before):
    response = client.get("/logs", params={"limit": limit, "before_id": before})
    assert response.status_code in (200, 422)
