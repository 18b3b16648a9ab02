"""Numbers for Prometheus: right, readable by Prometheus's own parser, added up over workers, dead ones too."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest
from fastapi import FastAPI
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from creditrisk.serving.access import Access, Keys, add_key
from creditrisk.serving.metrics import CONTENT_TYPE, FAMILIES, MOST_NUMBERS, SECONDS, UNMATCHED, Measured, Metrics
from servers import run_alone


def told(metrics: Metrics, **given_) -> dict[tuple[str, frozenset], float]:
    """What Prometheus understands: value by sample name and labels. Fails if it understands nothing."""
    found = {}
    for family in text_string_to_metric_families(metrics.text(**given_)):
        kind = FAMILIES[family.name if family.name in FAMILIES else f"{family.name}_total"][0]
        assert family.type == kind and family.documentation
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in found, f"{key} is told twice"
            found[key] = sample.value
    return found


def value(found: dict, name: str, **labels: str) -> float:
    return found[name, frozenset(labels.items())]


def prediction(model="v1", rating="Good", decision="approve", purpose="production", stored=None) -> SimpleNamespace:
    record = SimpleNamespace(model_version=model, rating=rating, decision=decision, purpose=purpose)
    return SimpleNamespace(record=record, stored=stored)


# ------------------------------------------------------------------------------------- counting


def test_a_process_that_has_counted_nothing_tells_zeros_and_no_nonsense():
    found = told(Metrics())
    assert set(found.values()) == {0.0, 1.0}
    assert value(found, "creditrisk_workers") == 1
    assert value(found, "creditrisk_log_commit_seconds_count") == 0


def test_requests_are_counted_by_endpoint_method_and_status():
    metrics = Metrics()
    for status in (200, 200, 422):
        metrics.request("POST", "/predict", status, 0.004)
    found = told(metrics)
    assert value(found, "creditrisk_requests_total", method="POST", path="/predict", status="200") == 2
    assert value(found, "creditrisk_requests_total", method="POST", path="/predict", status="422") == 1
    assert value(found, "creditrisk_request_seconds_count", method="POST", path="/predict") == 3
    assert value(found, "creditrisk_request_seconds_sum", method="POST", path="/predict") == pytest.approx(0.012)


@given(st.lists(st.floats(0, 20) | st.sampled_from(SECONDS), min_size=1, max_size=50))
@settings(max_examples=50)
def test_a_bucket_holds_what_is_at_most_its_bound(seconds):
    metrics = Metrics()
    for one in seconds:
        metrics.request("GET", "/", 200, one)
    found = told(metrics)
    for bound in (*SECONDS, float("inf")):
        le = "+Inf" if bound == float("inf") else str(int(bound)) if bound == int(bound) else repr(bound)
        in_bucket = value(found, "creditrisk_request_seconds_bucket", method="GET", path="/", le=le)
        assert in_bucket == sum(one <= bound for one in seconds)
    assert value(found, "creditrisk_request_seconds_sum", method="GET", path="/") == pytest.approx(sum(seconds))


def test_predictions_are_counted_by_what_they_say_and_repeats_apart():
    metrics = Metrics()
    for one in (
        prediction(),
        prediction(),
        prediction(rating="Poor", decision="decline"),
        prediction(stored={"id": 1}),
    ):
        metrics.prediction(one)
    metrics.prediction(prediction(decision=None))
    found = told(metrics)
    common = {"model": "v1", "purpose": "production"}
    assert value(found, "creditrisk_predictions_total", rating="Good", decision="approve", **common) == 2
    assert value(found, "creditrisk_predictions_total", rating="Poor", decision="decline", **common) == 1
    assert value(found, "creditrisk_predictions_total", rating="Good", decision="", **common) == 1
    assert value(found, "creditrisk_repeated_predictions_total", model="v1") == 1


def test_transactions_are_counted_with_rows_and_seconds():
    metrics = Metrics()
    metrics.batch(3, 0.002)
    metrics.batch(40, 0.03)
    metrics.log_failed()
    found = told(metrics)
    assert value(found, "creditrisk_batch_rows_sum") == 43
    assert [value(found, "creditrisk_batch_rows_bucket", le=le) for le in ("2", "5", "50", "+Inf")] == [0, 1, 2, 2]
    assert value(found, "creditrisk_log_commit_seconds_sum") == pytest.approx(0.032)
    assert value(found, "creditrisk_log_failures_total") == 1


def test_what_the_process_does_not_count_itself_is_told_as_given():
    metrics = Metrics()
    metrics.drift_check("drift")
    model = {"version": "v2", "sha256": "abc", "portfolio": "retail"}
    found = told(metrics, database_up=False, checks={"pending": 2, "failed": 0}, model=model)
    assert value(found, "creditrisk_database_up") == 0
    assert value(found, "creditrisk_drift_checks_open", status="pending") == 2
    assert value(found, "creditrisk_drift_checks_open", status="failed") == 0
    assert value(found, "creditrisk_drift_checks_total", result="drift") == 1
    assert value(found, "creditrisk_model_info", **model) == 1


@given(st.text())
@settings(max_examples=100)
def test_a_label_comes_through_whatever_is_in_it(rating):
    metrics = Metrics()
    metrics.prediction(prediction(rating=rating))
    # Not by the parser of the other tests: it strips labels, and the format allows \r and its like inside a line.
    line = next(one for one in metrics.text().split("\n") if one.startswith("creditrisk_predictions_total{"))
    inside = line.partition('rating="')[2].rpartition('",decision="')[0]
    assert re.sub(r"\\(.)", lambda found: {"n": "\n"}.get(found[1], found[1]), inside) == rating
    assert not re.search(r'(?<!\\)(\\\\)*"', inside)


def test_quotes_backslashes_and_line_ends_in_a_label_are_read_back_by_prometheus():
    metrics = Metrics()
    metrics.prediction(prediction(rating='a "b" \\ c\nd'))
    found = told(metrics)
    labels = {"model": "v1", "purpose": "production", "decision": "approve"}
    assert value(found, "creditrisk_predictions_total", rating='a "b" \\ c\nd', **labels) == 1


def test_counts_of_several_threads_are_all_kept():
    metrics = Metrics()

    def count() -> None:
        for n in range(5_000):
            metrics.request("GET", "/", 200, 0.0)
            metrics.prediction(prediction(rating=str(n % 7)))

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=count) for _ in range(4)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
    finally:
        sys.setswitchinterval(before)
    found = told(metrics)
    assert value(found, "creditrisk_requests_total", method="GET", path="/", status="200") == 20_000
    assert sum(number for (name, _), number in found.items() if name == "creditrisk_predictions_total") == 20_000


def test_labels_without_end_do_not_fill_the_memory_and_the_rest_goes_on_counting():
    metrics = Metrics()
    for n in range(MOST_NUMBERS + 10):
        metrics.prediction(prediction(rating=str(n)))
    metrics.batch(1, 0.001)
    found = told(metrics)
    kept = sum(name == "creditrisk_predictions_total" for name, _ in found)
    assert MOST_NUMBERS * 0.9 < kept < MOST_NUMBERS
    assert value(found, "creditrisk_numbers_lost_total") == MOST_NUMBERS + 10 - kept
    assert value(found, "creditrisk_batch_rows_count") == 1


# ------------------------------------------------------------------------------------- several workers

WORKER = """
import sys
from creditrisk.serving.metrics import Metrics
metrics = Metrics(sys.argv[1])
for n in range(int(sys.argv[2])):
    metrics.request("GET", "/", 200, 0.003)
    metrics.request("GET", f"/{sys.argv[2]}", 200, 0.003)
print("counted", flush=True)
sys.stdin.read()
"""


def test_any_worker_tells_the_numbers_of_all_and_of_those_that_were_killed(tmp_path):
    workers = []
    for count in (1000, 2000):
        command = [sys.executable, "-c", WORKER, str(tmp_path / "numbers"), str(count)]
        workers.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
    try:
        assert [worker.stdout.readline() for worker in workers] == ["counted\n"] * 2
        os.kill(workers[0].pid, signal.SIGKILL)
        workers[0].wait()
        mine = Metrics(tmp_path / "numbers")
        mine.request("GET", "/", 200, 0.003)
        found = told(mine)
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()
    assert value(found, "creditrisk_workers") == 3
    assert value(found, "creditrisk_requests_total", method="GET", path="/", status="200") == 3001
    assert value(found, "creditrisk_requests_total", method="GET", path="/2000", status="200") == 2000
    assert value(found, "creditrisk_request_seconds_bucket", method="GET", path="/", le="0.005") == 3001
    assert value(found, "creditrisk_request_seconds_bucket", method="GET", path="/", le="0.0025") == 0


def test_a_worker_sees_what_another_counts_after_both_have_started(tmp_path):
    one, other = Metrics(tmp_path), Metrics(tmp_path)
    told(one)
    for _ in range(3):
        other.batch(2, 0.001)
    assert value(told(one), "creditrisk_batch_rows_sum") == 6 == value(told(other), "creditrisk_batch_rows_sum")


def test_a_name_that_is_being_written_is_left_for_the_next_time(tmp_path):
    one, other = Metrics(tmp_path), Metrics(tmp_path)
    other.request("GET", "/", 200, 0.1)
    (names,) = (path for path in tmp_path.glob("*.names") if path.stem == other._stem)
    whole = names.read_bytes()
    names.write_bytes(whole + json.dumps([900, "creditrisk_drift_checks_total", "ok"]).encode()[:-4])
    assert value(told(one), "creditrisk_requests_total", method="GET", path="/", status="200") == 1


# ------------------------------------------------------------------------------------- in front of the API


def measured(keys: Keys | None = None) -> tuple[TestClient, Metrics]:
    app, metrics = FastAPI(), Metrics()

    @app.get("/items/{number}")
    def item(number: int) -> int:
        return number

    @app.get("/fails")
    def fails() -> None:
        raise RuntimeError

    return TestClient(Measured(Access(app, keys), metrics), raise_server_exceptions=False), metrics


def test_requests_count_under_the_template_of_their_path():
    client, metrics = measured()
    for path in ("/items/1", "/items/2", "/items/x", "/absent/1", "/absent/2", "/fails"):
        client.get(path)
    client.request("BREW", "/items/1")
    found = told(metrics)
    requests = {key: number for key, number in found.items() if key[0] == "creditrisk_requests_total"}
    expected = {
        ("GET", "/items/{number}", "200"): 2,
        ("GET", "/items/{number}", "422"): 1,
        ("GET", UNMATCHED, "404"): 2,
        ("GET", "/fails", "500"): 1,
        ("other", "/items/{number}", "405"): 1,
    }
    assert {(d["method"], d["path"], d["status"]): n for (_, labels), n in requests.items() if (d := dict(labels))} == (
        expected
    )


def test_who_is_not_let_in_is_counted_and_the_path_he_tried_is_not_told(tmp_path):
    add_key(tmp_path / "keys", "branch")
    client, metrics = measured(Keys(tmp_path / "keys"))
    client.get("/items/1")
    found = told(metrics)
    assert value(found, "creditrisk_requests_total", method="GET", path=UNMATCHED, status="401") == 1


def test_a_client_that_leaves_before_the_answer_is_counted_as_such():
    async def app(scope, receive, send):
        scope["route"] = SimpleNamespace(path="/predict")

    metrics = Metrics()
    run_alone(Measured(app, metrics)({"type": "http", "method": "POST"}, None, None))
    assert value(told(metrics), "creditrisk_requests_total", method="POST", path="/predict", status="499") == 1


def test_the_content_type_is_that_of_the_format():
    assert CONTENT_TYPE.startswith("text/plain; version=0.0.4")
    assert Metrics().text().endswith("\n")
