"""What the OpenAPI document promises holds: schemathesis reads it, sends what it allows and what it forbids."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import StopReason, events, from_schema
from schemathesis.openapi.checks import RejectedPositiveData
from starlette.types import ASGIApp

from creditrisk import service
from creditrisk.monitoring.checks import run_due_checks
from creditrisk.serving.access import make_key
from creditrisk.serving.api import create_app
from creditrisk.serving.log import PredictionLog, migrate
from creditrisk.serving.models import Models
from creditrisk.settings import Settings

LONG = bool(os.environ.get("CREDITRISK_SOAK"))
EXAMPLES = 250 if LONG else 25  # per operation and kind; the cases that follow from the document alone come on top
FEWEST = 2_000 if LONG else 700
SEED = 5


@pytest.fixture
def guarded(trained, applications, tmp_path: Path) -> Iterator[tuple[ASGIApp, str]]:
    """The API behind its door, with some predictions and drift reports in its log, and a key to it."""
    from starlette.testclient import TestClient

    key, stored = make_key("contract")
    url = f"sqlite:///{tmp_path / 'predictions.db'}"
    migrate(url)
    log = PredictionLog(url, period=10)
    models = Models.open("champion", trained.folder)
    app = create_app(models, log)
    client = TestClient(app)
    for number, application in enumerate(applications[:20]):
        answer = client.post("/predict", json={**application, "application_id": f"known-{number}"})
        assert answer.status_code == 200
    assert run_due_checks(log, lambda _check: models.serving.data, "test") == 2
    yield service.guarded(app, Settings(keys=f"contract:{stored.hash}", rate_limit=1e6)), key
    app.state.desk.stop()
    log.close()


@dataclass
class Findings:
    """What a run of schemathesis has seen."""

    cases: Counter[str] = field(default_factory=Counter)  # by phase
    answered: set[tuple[str, int]] = field(default_factory=set)  # operation and status
    failures: dict[tuple, str] = field(default_factory=dict)  # operation, check and what failed: an example
    errors: list[str] = field(default_factory=list)
    stopped: StopReason | None = None

    def add(self, event: events.EngineEvent) -> None:
        if isinstance(event, events.ScenarioFinished):
            self._add_scenario(event.phase.value, event.recorder)
        elif isinstance(event, events.NonFatalError):
            self.errors.append(f"{event.label}: {event.value!r}")
        elif isinstance(event, events.FatalError):
            self.errors.append(repr(event.exception))
        elif isinstance(event, events.EngineFinished):
            self.stopped = event.stop_reason

    def _add_scenario(self, phase: str, recorder: Any) -> None:
        self.cases[phase] += len(recorder.interactions)
        for case_id, interaction in recorder.interactions.items():
            assert interaction.response is not None, "the application answered nothing"
            label = recorder.cases[case_id].value.operation.label
            self.answered.add((label, interaction.response.status_code))
            for check in recorder.checks.get(case_id, []):
                if (info := check.failure_info) is not None:
                    text = f"{info.code_sample[:1000]}\n{info.failure.message}\n{interaction.response.content[:300]!r}"
                    self.failures.setdefault((label, check.name, info.failure.title), text)


def is_beyond_the_document(response: Any) -> bool:
    """Whether a request was refused for something that no document can say.

    Models come and go while the service runs, an Idempotency-Key is spent by its first use, and which days are in the
    future changes every night; nor can a document hold two parameters of a query against each other. Such requests
    conform to the document and are refused all the same, in so many words.
    """
    mistakes = response.json()["detail"] if response.status_code == 422 else []
    unsaid = ("unknown_model", "idempotency_key_reused", "two_names", "until_before_since")
    return bool(mistakes) and all(
        one["type"] in unsaid or "observed_at is in the future" in one["msg"] for one in mistakes
    )


def test_every_answer_is_one_that_the_document_describes(guarded):
    app, key = guarded
    config = SchemathesisConfig.from_dict(
        {
            "seed": SEED,
            "headers": {"Authorization": f"Bearer {key}"},
            "generation": {"max-examples": EXAMPLES, "database": "none"},
        }
    )
    local = {"headers": {"Authorization": f"Bearer {key}", "Host": "127.0.0.1"}}
    schema = schemathesis.openapi.from_asgi("/openapi.json", app, config=config, **local)

    @schema.hook
    def filter_failure(context, failure, case, response) -> bool:
        return not (isinstance(failure, RejectedPositiveData) and is_beyond_the_document(response))

    seen = Findings()
    for event in from_schema(schema).execute():
        seen.add(event)
    report = "\n\n".join(f"{where}\n{example}" for where, example in seen.failures.items())
    assert not seen.failures, f"{len(seen.failures)} broken promises\n\n{report}"
    assert not seen.errors and seen.stopped is StopReason.COMPLETED
    # And all of it has been asked, to some purpose.
    assert sum(seen.cases.values()) >= FEWEST and all(
        seen.cases[phase] for phase in ("coverage", "fuzzing", "stateful")
    )
    assert not {(label, status) for label, status in seen.answered if status >= 500}
    labels = {operation.ok().label for operation in schema.get_all_operations()}
    assert len(labels) >= 11 and {label for label, status in seen.answered if status == 200} == labels
    assert {label for label, status in seen.answered if status == 401} == labels - {"GET /health"}


@pytest.mark.parametrize("moment", ["0.5", "1767225600", "2026-01-31", "2026-01-31T10:00:00"])
def test_times_are_written_out_with_a_time_zone(served, moment):
    assert served.client.get("/logs", params={"until": "2026-01-31T10:00:00Z"}).status_code == 200
    response = served.client.get("/logs", params={"until": moment})
    assert response.status_code == 422 and response.json()["detail"][0]["loc"] == ["query", "until"]


def test_a_refused_method_is_answered_with_all_that_the_address_takes(served):
    response = served.client.delete("/decisions")
    assert response.status_code == 405 and response.headers["allow"] == "GET, POST"
