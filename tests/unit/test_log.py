"""The prediction log keeps its promises on SQLite and on PostgreSQL."""

from __future__ import annotations

import math
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path

import filelock
import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

import postgres
from creditrisk.errors import LogError
from creditrisk.serving import log as log_module
from creditrisk.serving.database import Turns
from creditrisk.serving.log import (
    CHECKS,
    METADATA,
    PREDICTIONS,
    DecisionRecord,
    OutcomeRecord,
    OutcomeResult,
    PredictionLog,
    PredictionRecord,
    ReportRecord,
    migrate,
)
from creditrisk.serving.records import COLUMNS

V1 = ("v1", "a" * 64)
V2 = ("v2", "b" * 64)


def record(model=V1, purpose="production", **changes) -> PredictionRecord:
    values = {
        "model_version": model[0],
        "model_sha256": model[1],
        "portfolio": "retail",
        "purpose": purpose,
        "source": "file" if purpose == "file" else "api",
        "inputs": {"age": 41, "residence_type": "Rented"},
        "features": {"age": 41.0, "residence_type": "Rented"},
        "pd": 0.25,
        "score": 750,
        "rating": "Excellent",
    }
    return PredictionRecord(**{**values, **changes})


def records(count: int, **changes) -> list[PredictionRecord]:
    return [record(**changes) for _ in range(count)]


REPORT = ReportRecord(n=100, status="alert", flagged=2, report={"age": {"psi": 0.31, "note": None}})


@pytest.fixture
def log(empty_url) -> Iterator[PredictionLog]:
    migrate(empty_url)
    log = PredictionLog(empty_url)
    yield log
    log.close()


def checks(log: PredictionLog) -> list[dict]:
    order = (CHECKS.c.model_version, CHECKS.c.bucket)
    with log._reader.connect() as connection:
        return [dict(row) for row in connection.execute(sa.select(CHECKS).order_by(*order)).mappings()]


def start(code: str, *arguments: str) -> subprocess.Popen:
    """Another process of the same interpreter; says READY after its imports, then waits for a line."""
    prelude = (
        "import sys\n"
        "from creditrisk.serving.log import *\n"
        "def record(key=None, purpose='production'):\n"
        "    return PredictionRecord('v1', 'a' * 64, 'retail', purpose, 'api', {}, {}, .5, 600, 'Good',"
        " dedupe_key=key)\n"
        "print('READY', flush=True)\n"
        "sys.stdin.readline()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", prelude + code, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "READY\n", process.communicate()[1]
    return process


def go(*processes: subprocess.Popen) -> list[str]:
    """Let waiting processes run at the same time, to the end; returns what they printed."""
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    outputs = []
    for process in processes:
        output, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
        outputs.append(output)
    return outputs


def in_thread(call) -> tuple[threading.Thread, list]:
    results = []

    def run() -> None:
        try:
            results.append(call())
        except Exception as error:
            results.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread, results


# Schema


def test_migration_from_empty_gives_exactly_the_tables_of_the_code_and_can_be_repeated(empty_url):
    migrate(empty_url)
    migrate(empty_url)
    log = PredictionLog(empty_url)
    log.check_schema()
    with log._reader.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []
    log.close()


def test_a_log_of_the_first_schema_keeps_its_rows_and_gets_the_new_columns(empty_url, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr("alembic.command.upgrade", lambda config, _, go=command.upgrade: go(config, "0001"))
        migrate(empty_url)
    log = PredictionLog(empty_url)
    with pytest.raises(LogError, match="schema 0001, this version needs"):
        log.check_schema()
    old = ["prediction_id", "created_at", "model_version", "model_sha256", "portfolio", "purpose", "source", "inputs",
           "features", "pd", "score", "rating", "reasons"]  # fmt: skip
    kept = record(reasons=[{"feature": "age"}])
    with log._writer.begin() as connection:
        table = sa.table("predictions", *(sa.column(name, PREDICTIONS.c[name].type) for name in old))
        connection.execute(sa.insert(table).values({name: getattr(kept, name) for name in old}))
    migrate(empty_url)
    log.check_schema()
    (row,) = log.predictions()
    assert {name: row[name] for name in old} == {name: getattr(kept, name) for name in old}
    assert (row["points"], row["grade"]) == (None, None)
    log.append([record(points=601, grade="C1")])
    assert [(r["id"], r["points"], r["grade"]) for r in log.predictions()] == [(2, 601, "C1"), (1, None, None)]
    with log._reader.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []
    log.close()


def test_a_log_of_the_second_schema_keeps_rows_checks_and_counts_and_goes_back(empty_url, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr("alembic.command.upgrade", lambda config, _, go=command.upgrade: go(config, "0002"))
        migrate(empty_url)
    log = PredictionLog(empty_url)
    added = {"caller", "latency_ms", "decision", "policy", "idempotency_key"}
    old = [name for name in COLUMNS if name not in added]
    kept = record(points=573, grade="B2", application_id="A-1", dedupe_key="k")
    with log._writer.begin() as connection:
        table = sa.table("predictions", *(sa.column(n, PREDICTIONS.c[n].type) for n in [*old, "sequence"]))
        connection.execute(sa.insert(table).values(sequence=100, **{name: getattr(kept, name) for name in old}))
        of_model = {"model_version": "v1", "model_sha256": V1[1]}
        connection.execute(sa.insert(log_module.COUNTERS).values(**of_model, n=100, scheduled=100))
        table = sa.table("drift_checks", *(sa.column(c.name, c.type) for c in CHECKS.c if c.name != "not_before"))
        connection.execute(sa.insert(table).values(
            **of_model, bucket=1, first_sequence=1, last_sequence=100, created_at=kept.created_at, status="pending",
            attempts=0,
        ))  # fmt: skip
    migrate(empty_url)
    log.check_schema()
    (row,) = log.predictions(application_id="A-1")
    assert {name: row[name] for name in old} == {name: getattr(kept, name) for name in old}
    assert {row[name] for name in added} == {None}
    again = log.append([record(dedupe_key="k", application_id="A-1")])
    assert (again.inserted, again.prediction_ids) == ([False], [kept.prediction_id])
    log.append([record(decision="refer")])
    assert log.predictions(decision="refer")[0]["sequence"] == 101
    assert log.claim_check("worker").bucket == 1
    with log._reader.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []
    monkeypatch.setattr("alembic.command.upgrade", lambda config, _: command.downgrade(config, "0002"))
    migrate(empty_url)
    with log._reader.connect() as connection:
        assert "outcomes" not in sa.inspect(connection).get_table_names()
        assert {column["name"] for column in sa.inspect(connection).get_columns("predictions")} == {
            "id", "sequence", *old
        }  # fmt: skip
    log.close()


MIGRATE = """
for url in sys.argv[1:]:
    migrate(url)
    log = PredictionLog(url)
    log.check_schema()
    log.close()
"""


def test_processes_may_migrate_the_same_databases_at_once(empty_urls):
    # Whoever loses the first database waits for it, so all come to the next ones together.
    urls = empty_urls(6)
    go(*(start(MIGRATE, *urls) for _ in range(3)))
    for url in urls:
        log = PredictionLog(url)
        log.append([record()])
        assert log.counts()["predictions"] == 1
        log.close()


def test_threads_may_migrate_different_databases_at_once(empty_urls):
    urls = empty_urls(6)
    at_once = threading.Barrier(len(urls))
    threads = [in_thread(lambda url=url: (at_once.wait(timeout=60), migrate(url))) for url in urls]
    for url, (thread, results) in zip(urls, threads, strict=True):
        thread.join(timeout=60)
        assert [failure for _, failure in results] == [None]
        log = PredictionLog(url)
        log.check_schema()
        log.close()


def test_a_migration_waits_for_the_one_that_another_process_has_begun(tmp_path):
    with filelock.FileLock(tmp_path / "p.db.lock"):
        thread, results = in_thread(lambda: migrate(f"sqlite:///{tmp_path / 'p.db'}"))
        time.sleep(0.3)
        assert results == [] and not (tmp_path / "p.db").exists()
    thread.join(timeout=60)
    assert results == [None] and (tmp_path / "p.db").exists()


def test_a_database_that_is_not_migrated_is_refused_with_what_to_run(empty_url):
    log = PredictionLog(empty_url)
    for use in (log.check_schema, lambda: log.append([record()]), log.counts):
        with pytest.raises(LogError, match="creditrisk serve"):
            use()
    if empty_url.startswith("sqlite"):
        assert not Path(log.url.database).exists()
    log.close()


def test_a_database_of_another_version_is_refused(log):
    with log._writer.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(LogError, match="schema 9999.*newer version"):
        log.check_schema()
    with pytest.raises(LogError, match="newer version"):
        migrate(log.url.render_as_string(hide_password=False))


def test_sqlite_syncs_every_commit_and_its_reader_cannot_write(tmp_path):
    url = f"sqlite:///{tmp_path / 'p.db'}"
    migrate(url)
    log = PredictionLog(url)
    with log._writer.connect() as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "synchronous")
        }
    assert pragmas == {"journal_mode": "wal", "synchronous": 2}
    with pytest.raises(sa.exc.OperationalError, match="readonly"), log._reader.connect() as connection:
        connection.execute(sa.delete(CHECKS))
    log.close()


def test_looking_does_not_wait_for_a_writer(log):
    log.append(records(3))
    with log.writing() as connection:
        connection.execute(sa.insert(CHECKS).values(
            model_version="v9", model_sha256="x", bucket=1, first_sequence=1, last_sequence=1,
            created_at=datetime.now(UTC), status="pending", attempts=0,
        ))  # fmt: skip
        began = time.monotonic()
        assert log.counts()["predictions"] == 3
        assert log.counts()["checks"]["pending"] == 0
        assert time.monotonic() - began < 5


# Appending and reading


def test_every_field_of_a_prediction_comes_back_as_it_was_stored(log):
    sent = record(
        inputs={"zeta": 1, "age": None, "nested": {"list": [1, None, "ä\0\ud800"]}},
        features={"ratio": None, "income": 1e308, "tiny": 5e-324, "flag": True},
        pd=0.1 + 0.2,
        reasons=[{"feature": "age", "points": -3.5}, {"feature": "income", "points": None}],
        grade="B2",
        points=573,
        application_id="A-1 ü",
        dedupe_key="request-1",
        run="20260101-score",
        caller="branch 7",
        latency_ms=1.5,
        decision="approve",
        policy="2026-01",
        idempotency_key="5c1f",
        created_at=datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=timezone(timedelta(hours=5, minutes=30))),
    )
    result = log.append([sent])
    assert result.prediction_ids == [sent.prediction_id] and result.inserted == [True]
    (row,) = log.predictions()
    assert log.prediction(sent.prediction_id) == row and log.prediction("no such id") is None
    assert row.pop("id") == 1 and row.pop("sequence") == 1
    assert row == {name: getattr(sent, name) for name in COLUMNS}
    assert list(row["inputs"]) == ["zeta", "age", "nested"]
    assert row["created_at"].tzinfo is UTC


def test_absent_json_is_null_in_the_database_and_none_in_python(log):
    log.append([record(inputs=None, features=None, reasons=None)])
    (row,) = log.predictions()
    assert (row["inputs"], row["features"], row["reasons"]) == (None, None, None)
    with log._reader.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM predictions WHERE inputs IS NULL").scalar() == 1


def test_missing_and_numpy_values_are_stored_as_plain_json(log):
    features = {
        "nan": math.nan,
        "inf": [-math.inf, math.inf],
        "int": np.int64(3),
        "float": np.float32(0.5),
        "nan32": np.float32("nan"),
        "array": np.array([1.0, np.nan]),
        "day": pd.Timestamp("2026-01-02"),
        "no_day": pd.NaT,
        "na": pd.NA,
    }
    log.append([record(features=features, pd=np.float64(0.5), score=np.int64(600), points=np.int64(-7))])
    (row,) = log.predictions()
    assert row["features"] == {
        "nan": None,
        "inf": ["-Infinity", "Infinity"],
        "int": 3,
        "float": 0.5,
        "nan32": None,
        "array": [1.0, None],
        "day": "2026-01-02T00:00:00",
        "no_day": None,
        "na": None,
    }
    assert (row["pd"], row["score"], row["points"]) == (0.5, 600, -7)


def test_what_cannot_be_stored_is_refused_and_leaves_nothing_behind(log):
    with pytest.raises(LogError, match="object"):
        log.append([record(), record(inputs={"thing": object()})])
    with pytest.raises(LogError, match="keys"):
        log.append([record(), record(inputs={(1, 2): 3})])
    taken = record()
    log.append([taken])
    with pytest.raises(LogError, match="nothing of this transaction was stored"):
        log.append([record(), replace(taken, rating="Poor")])
    assert log.counts()["predictions"] == 1
    assert log.counts()["models"][0]["n"] == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"purpose": "test"}, "purpose='test' is unknown; use one of production"),
        ({"source": "fax"}, "source='fax'"),
        ({"pd": math.nan}, "pd=nan"),
        ({"pd": 1.01}, "pd=1.01"),
        ({"created_at": datetime(2026, 1, 1)}, "no time zone"),
        ({"application_id": "a\0b"}, "application_id"),
        ({"dedupe_key": "\ud800"}, "dedupe_key"),
        ({"rating": 5}, "rating=5"),
        ({"grade": "\0"}, "grade="),
        ({"decision": "maybe"}, "decision='maybe' is unknown; use one of approve, refer, decline"),
        ({"policy": "\0"}, "policy="),
        ({"caller": 7}, "caller=7"),
        ({"idempotency_key": "\ud800"}, "idempotency_key="),
        ({"latency_ms": math.nan}, "latency_ms=nan"),
        ({"latency_ms": -1.0}, "latency_ms=-1.0"),
        ({"score": 2**31}, "score=2147483648"),
        ({"points": -(2**63)}, "points=-9223372036854775808"),
    ],
)
def test_a_wrong_record_is_refused_where_it_is_made_and_cannot_spoil_a_batch(change, said):
    with pytest.raises(LogError, match=said):
        record(**change)


def test_pages_run_through_all_predictions_once_in_both_directions(log):
    log.append(records(7) + records(4, model=V2) + records(3, purpose="what_if"))
    every = [row["id"] for row in log.predictions(newest_first=False)]
    assert every == sorted(every) and len(every) == 14

    newest, before = [], None
    while page := log.predictions(limit=4, before_id=before):
        newest += [row["id"] for row in page]
        before = newest[-1]
    assert newest == every[::-1]

    oldest, after = [], None
    while page := log.predictions(limit=4, after_id=after, newest_first=False):
        oldest += [row["id"] for row in page]
        after = oldest[-1]
    assert oldest == every

    assert len(log.predictions(model_version="v2")) == 4
    assert len(log.predictions(model_sha256=V1[1])) == 10
    assert len(log.predictions(model_version="v1", purpose="what_if")) == 3
    for limit in (0, -1):
        with pytest.raises(LogError, match="limit"):
            log.predictions(limit=limit)


def test_predictions_are_found_by_what_is_known_of_them(log):
    day = datetime(2026, 3, 1, tzinfo=UTC)
    log.append([
        record(application_id="A-1", rating="Poor", decision="decline", created_at=day),
        record(application_id="A-2", rating="Good", decision="approve", created_at=day + timedelta(days=1)),
        record(V2, application_id="A-1", rating="Poor", decision="refer", created_at=day + timedelta(days=2)),
        record(("v1", "c" * 64), rating="Good", created_at=day + timedelta(days=3)),
    ])  # fmt: skip

    def found(**question) -> list[int]:
        return [row["id"] for row in log.predictions(**question)]

    assert found(application_id="A-1") == [3, 1]
    assert found(rating="Good") == [4, 2]
    assert found(decision="decline") == [1]
    assert found(since=day + timedelta(days=1)) == [4, 3, 2]
    assert found(until=day + timedelta(days=1)) == [1]
    assert found(since=day, until=day + timedelta(days=3), rating="Poor", purpose="production") == [3, 1]
    assert found(model_version="v1") == [4, 2, 1]
    assert found(model_version="v1", limit=1) == [4] and found(model_version="v1", limit=1, before_id=4) == [2]
    assert found(model_version="v1", newest_first=False, after_id=1) == [2, 4]
    assert found(model_version="v1", model_sha256=V1[1]) == [2, 1]
    assert found(model_version="v9") == [] and found(application_id="A-9") == []
    with pytest.raises(LogError, match="no time zone"):
        log.predictions(since=datetime(2026, 3, 1))


def test_no_question_reads_the_whole_table(tmp_path):
    url = f"sqlite:///{tmp_path / 'p.db'}"
    migrate(url)
    log, asked = PredictionLog(url), []
    log.append([record(), record(("v1", "c" * 64))])

    @sa.event.listens_for(log._reader, "before_cursor_execute")
    def note(connection, cursor, statement, parameters, *_):
        asked.append((statement, parameters))

    moment = datetime.now(UTC)
    for question in (
        {"model_version": "v1"}, {"model_version": "v1", "model_sha256": V1[1]}, {"purpose": "production"},
        {"application_id": "A-1"}, {"rating": "Good"}, {"decision": "refer"}, {"since": moment}, {"until": moment},
        {"before_id": 7}, {"since": moment, "until": moment, "rating": "Good"},
    ):  # fmt: skip
        log.predictions(**question)
    log.prediction("x")
    log.window(*V1, 5)
    log.decisions_of("x")
    log.outcomes(prediction_id="x", current=True)
    log.outcomes(application_id="x")
    log.claim_check("worker")
    assert len(asked) > 15
    with sqlite3.connect(tmp_path / "p.db") as connection:
        for statement, parameters in list(asked):
            if statement.startswith("BEGIN"):
                continue
            plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)]
            assert not [step for step in plan if step.startswith(("SCAN predictions", "SCAN drift_checks"))], statement
    log.close()


def test_a_question_that_takes_too_long_is_ended(empty_url):
    migrate(empty_url)
    log = PredictionLog(empty_url, read_seconds=0.2)
    counting = sa.text(
        "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 100000000) SELECT max(n) FROM c"
    )
    began = time.monotonic()
    with pytest.raises(LogError, match="narrow the question"):
        log._read(counting)
    assert time.monotonic() - began < 5
    assert log.counts()["predictions"] == 0
    log.close()


def test_window_is_the_last_n_of_one_model_and_purpose_oldest_first(log):
    log.append([record(score=score) for score in (301, 302, 303)] + records(5, model=V2))
    log.append([record(score=304, purpose="shadow"), record(score=305)])
    assert [row["score"] for row in log.window(*V1, 2)] == [303, 305]
    assert [row["score"] for row in log.window(*V1, 3, purposes=("production", "shadow"))] == [303, 304, 305]
    assert len(log.window(*V2, 100)) == 5
    assert log.window("v1", V2[1], 100) == []
    with pytest.raises(LogError, match="purpose='prod'"):
        log.window(*V1, 3, purposes=("prod",))


def test_counts_add_up(log):
    log.append(records(3) + records(2, model=V2) + records(4, purpose="file"))
    assert log.counts() == {
        "predictions": 9,
        "by_purpose": {"production": 5, "file": 4},
        "models": [
            {"model_version": "v1", "model_sha256": V1[1], "n": 3, "scheduled": 0},
            {"model_version": "v2", "model_sha256": V2[1], "n": 2, "scheduled": 0},
        ],
        "checks": {"pending": 0, "running": 0, "done": 0, "failed": 0},
        "reports": 0,
    }
    assert log.append([]).prediction_ids == []


def test_a_dedupe_key_is_stored_once_within_a_batch_and_across_batches(log):
    first = [record(dedupe_key=""), record(dedupe_key="b"), record(), record(dedupe_key="")]
    result = log.append(first)
    assert result.inserted == [True, True, True, False]
    assert result.prediction_ids == [r.prediction_id for r in first[:3]] + [first[0].prediction_id]

    again = [record(dedupe_key="b"), record(dedupe_key="c"), record(dedupe_key="")]
    result = log.append(again)
    assert result.inserted == [False, True, False]
    assert result.prediction_ids == [first[1].prediction_id, again[1].prediction_id, first[0].prediction_id]
    rows = log.predictions(newest_first=False)
    assert [row["sequence"] for row in rows] == [1, 2, 3, 4]
    assert log.counts()["models"][0]["n"] == 4


def test_an_idempotency_key_is_one_prediction_within_a_batch_and_across_batches(log):
    first = [record(idempotency_key="a"), record(idempotency_key="b"), record(idempotency_key="a")]
    result = log.append(first)
    assert result.inserted == [True, True, False]
    assert result.found_by == [None, None, "idempotency_key"]
    again = [record(idempotency_key="b", dedupe_key="new"), record(dedupe_key="new")]
    result = log.append(again)
    assert result.inserted == [False, True] and result.same_inputs == [True, True]
    assert result.prediction_ids == [first[1].prediction_id, again[1].prediction_id]
    assert [row["sequence"] for row in log.predictions()] == [3, 2, 1]


def test_a_key_that_comes_with_another_application_is_told_apart(log):
    stored = record(idempotency_key="a", dedupe_key="d", application_id="A-1", inputs={"age": 41, "income": None})
    log.append([stored])
    same = {"idempotency_key": "a", "application_id": "A-1"}
    sent = [
        record(**same, inputs={"age": 41.0}),
        record(**same, inputs={"age": 42}),
        record(idempotency_key="a", application_id="A-2", inputs={"age": 41}),
        record(idempotency_key="other", dedupe_key="d", application_id="A-1", inputs={"age": 41, "income": 5}),
        record(idempotency_key="new", inputs={"age": 41}),
        record(idempotency_key="new", inputs={"age": 40}),
    ]
    result = log.append(sent)
    assert result.inserted == [False, False, False, False, True, False]
    assert result.same_inputs == [True, False, False, False, True, False]
    assert result.found_by == ["idempotency_key"] * 3 + ["dedupe_key", None, "idempotency_key"]
    assert set(result.prediction_ids[:4]) == {stored.prediction_id}
    assert log.counts()["predictions"] == 2


def test_appending_tells_how_many_checks_fell_due(log):
    assert log.append(records(99)).checks == 0
    assert log.append(records(1)).checks == 1
    assert log.append(records(150, purpose="shadow")).checks == 0
    assert log.append(records(250) + records(100, model=V2)).checks == 3


def test_ids_are_uuids_that_sort_by_time():
    made = [record().prediction_id for _ in range(50)]
    assert len(set(made)) == 50
    assert {(uuid.UUID(one).version, uuid.UUID(one).variant) for one in made} == {(7, uuid.RFC_4122)}
    times = [one[:13] for one in made]
    assert times == sorted(times) and abs(int(times[0].replace("-", ""), 16) / 1000 - time.time()) < 60


def test_duplicates_do_not_bring_a_check_forward(log):
    keys = [record(dedupe_key=str(number)) for number in range(60)]
    for _ in range(3):
        log.append(keys)
    assert checks(log) == []
    log.append(records(40))
    assert len(checks(log)) == 1


def test_a_large_batch_is_one_transaction_with_all_its_checks(log):
    count = log_module.CHUNK * 2 + 123
    result = log.append([record(dedupe_key=f"run:{number}") for number in range(count)])
    assert all(result.inserted) and log.counts()["predictions"] == count
    assert len(checks(log)) == count // 100

    spoiled = records(log_module.CHUNK + 1) + [record(inputs={"thing": object()})]
    with pytest.raises(LogError):
        log.append(spoiled)
    assert log.counts()["predictions"] == count
    assert log.counts()["models"][0] == {
        "model_version": "v1", "model_sha256": V1[1], "n": count, "scheduled": count // 100 * 100
    }  # fmt: skip


# One check per full hundred


def test_checks_are_the_full_hundreds_of_each_model_however_batches_jump_over_them(log):
    sent = 0
    for size in (99, 1, 1, 98, 1, 1, 250, 49, 100):
        log.append(records(size) + records(7, purpose="file") + records(7, purpose="shadow"))
        sent += size
        rows = checks(log)
        assert [row["bucket"] for row in rows] == list(range(1, sent // 100 + 1))
    log.append(records(100, model=V2))
    assert [row["bucket"] for row in checks(log) if row["model_version"] == "v2"] == [1]
    for row in rows:
        assert (row["first_sequence"], row["last_sequence"]) == (
            100 * row["bucket"] - 99,
            100 * row["bucket"],
        )
        assert (row["status"], row["attempts"]) == ("pending", 0)


def test_a_new_period_goes_on_where_the_old_one_stopped(log):
    url = log.url.render_as_string(hide_password=False)
    log.append(records(250))
    longer, shorter = PredictionLog(url, period=150), PredictionLog(url, period=40)
    longer.append(records(99))
    assert len(checks(log)) == 2
    longer.append(records(1))
    shorter.append(records(90))
    spans = [(row["bucket"], row["first_sequence"], row["last_sequence"]) for row in checks(log)]
    assert spans == [(1, 1, 100), (2, 101, 200), (3, 201, 350), (4, 351, 390), (5, 391, 430)]
    longer.close()
    shorter.close()


WRITE = """
log = PredictionLog(sys.argv[1])
name, size, times = sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
for batch in range(times):
    log.append([record(), record(purpose="file"), *(record(f"{name}:{batch}:{i}") for i in range(size - 1))])
    log.append([record(f"shared:{batch % 5}"), record(f"shared:{(batch + 3) % 5}")])
    log.append([record(f"{name}:{batch}", purpose="file"), record(f"file:{batch}", purpose="file")])
"""


def sequences(log: PredictionLog) -> list[int]:
    rows = log.predictions(limit=100_000, purpose="production")
    return sorted(row["sequence"] for row in rows)


def test_three_processes_at_once_get_every_number_once_and_every_hundred_one_check(log):
    url = log.url.render_as_string(hide_password=False)
    sizes = {"one": (7, 40), "two": (33, 15), "three": (130, 5)}
    go(*(start(WRITE, url, name, str(size), str(times)) for name, (size, times) in sizes.items()))
    total = sum(size * times for size, times in sizes.values()) + 5  # and five keys that all of them sent
    files = 60 + 60 + 40  # two per batch with keys of their own or none, and the keys that all of them sent
    assert log.counts()["by_purpose"] == {"production": total, "file": files}
    assert sequences(log) == list(range(1, total + 1))
    assert [row["bucket"] for row in checks(log)] == list(range(1, total // 100 + 1))
    assert log.counts()["models"][0]["n"] == total


def test_a_key_that_another_model_is_just_storing_is_waited_for_and_leaves_no_gap(log):
    other = record(model=V2, dedupe_key="same")
    with log.writing() as connection:
        log._append(connection, [other])
        batch = [record(), record(dedupe_key="same"), record()]
        thread, results = in_thread(lambda: log.append(batch))
        time.sleep(0.3)
        assert results == []  # it cannot know yet
    thread.join(timeout=30)
    assert results[0].inserted == [True, False, True]
    assert results[0].prediction_ids == [batch[0].prediction_id, other.prediction_id, batch[2].prediction_id]
    assert [row["sequence"] for row in log.predictions(model_version="v1")] == [2, 1]
    assert {model["model_version"]: model["n"] for model in log.counts()["models"]} == {"v1": 2, "v2": 1}


def test_two_writers_that_wait_for_each_other_both_get_through(postgres_url):
    with postgres.fresh_database(postgres_url) as url:
        migrate(url)
        log = PredictionLog(url)
        x, y = record(purpose="file", dedupe_key="x"), record(purpose="file", dedupe_key="y")
        with log.writing() as connection:
            log._append(connection, [x])
            thread, results = in_thread(lambda: log.append([replace(y, prediction_id="other"), x]))
            time.sleep(0.3)  # the thread has y and waits for x: PostgreSQL will find the circle there first
            log._append(connection, [y])
        thread.join(timeout=30)
        assert results[0].inserted == [False, False]
        assert results[0].prediction_ids == [y.prediction_id, x.prediction_id]
        log.close()


KILLED = """
log = PredictionLog(sys.argv[1])
while True:
    print(*log.append([record() for _ in range(9)]).prediction_ids, flush=True)
"""


def test_a_writer_killed_in_the_middle_loses_nothing_it_was_told_is_stored(log):
    url = log.url.render_as_string(hide_password=False)
    answered = []
    for _ in range(2):
        process = start(KILLED, url)
        process.stdin.write("go\n")
        process.stdin.flush()
        answered += process.stdout.readline().split()
        time.sleep(0.2)
        process.kill()
        answered += [
            word for line in process.communicate()[0].splitlines() if line.count(" ") == 8 for word in line.split()
        ]
    log.append([record()])  # nobody holds a lock any more
    rows = log.predictions(limit=100_000)
    # The very last line may have been cut: then its ids are prefixes, and only whole ids were answered.
    whole = {word for word in answered if len(word) == 36}
    assert len(whole) >= 18 and whole <= {row["prediction_id"] for row in rows}
    assert sequences(log) == list(range(1, len(rows) + 1))
    assert log.counts()["models"][0]["n"] == len(rows)
    assert [row["bucket"] for row in checks(log)] == list(range(1, len(rows) // 100 + 1))


# Working on checks


def test_the_rows_of_a_check_are_its_hundred_predictions_and_no_others(log):
    log.append([record(score=300 + number) for number in range(150)] + records(9, purpose="shadow"))
    log.append(records(120, model=V2) + [record(score=450 + number) for number in range(60)])
    claimed = [log.claim_check("worker") for _ in range(3)]
    spans = {(check.model_version, check.bucket): log.rows_of_check(check) for check in claimed}
    assert [row["score"] for row in spans["v1", 1]] == list(range(300, 400))
    assert [row["score"] for row in spans["v1", 2]] == list(range(400, 500))
    assert {row["model_version"] for row in spans["v2", 1]} == {"v2"} and len(spans["v2", 1]) == 100


CLAIM = """
log = PredictionLog(sys.argv[1])
while check := log.claim_check(sys.argv[2]):
    print(check.bucket)
"""


def test_a_check_is_claimed_by_one_worker_only(log):
    log.append(records(3_000))
    url = log.url.render_as_string(hide_password=False)
    outputs = go(*(start(CLAIM, url, f"worker-{number}") for number in range(3)))
    claimed = [int(bucket) for output in outputs for bucket in output.split()]
    while check := log.claim_check("late"):  # PostgreSQL may answer None while others hold the rows in question
        claimed.append(check.bucket)
    assert sorted(claimed) == list(range(1, 31))
    assert {row["status"] for row in checks(log)} == {"running"}


def test_an_expired_claim_goes_to_the_next_worker_and_the_first_can_no_longer_fail_it(log):
    log.append(records(100))
    first = log.claim_check("first", lease_seconds=0.2)
    assert log.claim_check("second") is None
    time.sleep(0.25)
    second = log.claim_check("second", lease_seconds=60)
    assert (second.bucket, second.owner, second.attempts) == (first.bucket, "second", 2)
    assert second.lease_until > datetime.now(UTC) + timedelta(seconds=50)
    log.fail_check(first, "too late")
    assert checks(log)[0]["status"] == "running" and checks(log)[0]["owner"] == "second"


def test_finishing_stores_one_report_and_may_be_repeated(log):
    log.append(records(3, purpose="file") + records(100))
    first = log.claim_check("first", lease_seconds=0.0)
    time.sleep(0.01)
    second = log.claim_check("second")
    report_id = log.finish_check(second, REPORT)
    assert log.finish_check(second, REPORT) == report_id
    assert log.finish_check(first, replace(REPORT, status="ok")) == report_id
    log.fail_check(second, "after the end")
    (report,) = log.reports()
    assert report == {
        "id": report_id, "created_at": REPORT.created_at, "model_version": "v1", "model_sha256": V1[1],
        "trigger": "automatic", "window_key": "bucket-1", "first_prediction": 4, "last_prediction": 103,
        "n": 100, "status": "alert", "flagged": 2, "report": REPORT.report,
    }  # fmt: skip
    (check,) = checks(log)
    assert (check["status"], check["first_prediction"], check["last_prediction"]) == ("done", 4, 103)
    assert log.claim_check("third") is None
    assert log.counts()["checks"]["done"] == 1 and log.counts()["reports"] == 1


def test_checks_and_counters_of_a_model_are_listed_newest_window_first(log):
    log.append([record() for _ in range(310)])
    log.append([record(V2) for _ in range(150)])
    log.fail_check(log.claim_check("worker"), "no such model", final=True)
    assert [check["bucket"] for check in log.checks(*V1)] == [3, 2, 1]
    assert [check["bucket"] for check in log.checks(*V1, limit=1)] == [3]
    failed = log.checks(*V1, status="failed")
    assert [(check["bucket"], check["error"]) for check in failed] == [(1, "no such model")]
    assert log.checks(*V2, status="failed") == []
    assert [(one["model_version"], one["n"], one["scheduled"]) for one in log.counters()] == [
        ("v1", 310, 300),
        ("v2", 150, 100),
    ]


def test_a_check_that_fails_waits_longer_each_time_and_is_given_up_the_fifth(log, monkeypatch):
    log.append(records(100))
    clock = [datetime.now(UTC)]
    monkeypatch.setattr(log_module, "now", lambda: clock[0])
    for attempt, wait in enumerate((5, 30, 120, 600, 10**6), start=1):
        check = log.claim_check("worker")
        assert check.attempts == attempt
        log.fail_check(check, f"attempt {attempt}: no baseline")
        clock[0] += timedelta(seconds=wait - 1)
        assert log.claim_check("worker") is None
        clock[0] += timedelta(seconds=2)
    assert log.claim_check("worker") is None
    (row,) = checks(log)
    assert (row["status"], row["attempts"], row["error"]) == ("failed", 5, "attempt 5: no baseline")


def test_a_check_that_waits_for_its_next_attempt_lets_others_go_first(log):
    log.append(records(200))
    first = log.claim_check("worker")
    log.fail_check(first, "no baseline")
    assert log.claim_check("worker").bucket == 2
    assert log.claim_check("worker") is None


def test_a_check_that_can_never_succeed_is_failed_at_once(log):
    log.append(records(100))
    log.fail_check(log.claim_check("worker"), "the window is gone", final=True)
    (row,) = checks(log)
    assert (row["status"], row["attempts"], row["error"]) == ("failed", 1, "the window is gone")


def test_a_check_whose_workers_die_five_times_is_given_up(log):
    log.append(records(200))
    for _ in range(10):
        assert log.claim_check("doomed", lease_seconds=0) is not None
        time.sleep(0.002)
    assert log.claim_check("worker") is None
    assert [row["status"] for row in checks(log)] == ["failed", "failed"]
    assert "died or hung" in checks(log)[0]["error"]


def test_a_report_of_the_same_model_trigger_and_window_is_stored_once(log):
    place = {
        "model_version": "v1",
        "model_sha256": V1[1],
        "trigger": "file",
        "window_key": "applications.csv@1f",
    }
    first = log.store_report(REPORT, **place)
    assert log.store_report(replace(REPORT, status="ok"), **place) == first
    second = log.store_report(REPORT, **{**place, "trigger": "notebook"})
    third = log.store_report(REPORT, **{**place, "model_version": "v2"})
    assert [row["id"] for row in log.reports()] == [third, second, first]
    assert [row["id"] for row in log.reports(limit=1, before_id=third)] == [second]
    assert [row["id"] for row in log.reports(model_version="v2")] == [third]
    assert log.reports()[-1]["status"] == "alert"
    assert [row["id"] for row in log.reports(trigger="file")] == [third, first]
    assert [row["id"] for row in log.reports(status="alert", trigger="notebook")] == [second]
    assert log.reports(status="ok") == []
    assert log.reports(since=REPORT.created_at + timedelta(seconds=1)) == []
    assert len(log.reports(until=REPORT.created_at + timedelta(seconds=1))) == 3
    assert log.report(second)["trigger"] == "notebook" and log.report(second)["report"] == REPORT.report
    assert log.report(10**9) is None
    (brief,) = log.reports(limit=1, whole=False)
    assert brief["id"] == third and "report" not in brief
    with pytest.raises(LogError, match="trigger='cron'"):
        log.store_report(REPORT, **{**place, "trigger": "cron"})


# Outcomes and decisions


JUNE = datetime(2026, 6, 1, tzinfo=UTC)


def test_an_outcome_is_stored_once_and_the_newest_counts(log):
    one, other = record(), record(pd=0.75)
    log.append([one, other])
    bad = OutcomeRecord(1, JUNE, prediction_id=one.prediction_id, source="servicing", caller="batch")
    good = OutcomeRecord(0, date(2026, 6, 30), prediction_id=one.prediction_id)
    results = log.add_outcomes([bad, bad, OutcomeRecord(1, JUNE, prediction_id="nobody")])
    assert [result.status for result in results] == ["stored", "duplicate", "unknown"]
    assert results[0].prediction_ids == (one.prediction_id,) and results[2].prediction_ids == ()
    assert [result.status for result in log.add_outcomes([good, bad])] == ["stored", "duplicate"]
    newest, first = log.outcomes(prediction_id=one.prediction_id)
    assert (first["bad"], first["observed_at"], first["source"], first["caller"]) == (1, JUNE, "servicing", "batch")
    assert (newest["bad"], newest["observed_at"]) == (0, datetime(2026, 6, 30, tzinfo=UTC))
    assert [row["id"] for row in log.outcomes(current=True)] == [newest["id"]]
    assert [row["id"] for row in log.outcomes(since=JUNE, until=JUNE + timedelta(days=1))] == [first["id"]]
    assert [row["id"] for row in log.outcomes(before_id=newest["id"])] == [first["id"]]


def test_an_outcome_that_contradicts_another_of_the_same_day_is_told_apart_from_one_that_does_not(log):
    one, other = record(application_id="A-1"), record(V2, application_id="A-1")
    log.append([one, other])

    def report(bad: int, seen: datetime, **of: str) -> str:
        (result,) = log.add_outcomes([OutcomeRecord(bad, seen, **(of or {"prediction_id": one.prediction_id}))])
        return result.status

    later = JUNE + timedelta(days=1)
    assert [report(0, JUNE), report(0, JUNE), report(1, later)] == ["stored", "duplicate", "stored"]
    assert report(1, JUNE) == "corrected", "another verdict on the same day"
    assert report(0, JUNE) == "superseded", "known, but it no longer counts"
    assert report(1, JUNE) == "duplicate"
    assert [row["bad"] for row in log.outcomes(prediction_id=one.prediction_id, current=True)] == [1]
    assert report(0, later) == "corrected" and report(0, later + timedelta(days=1)) == "stored"
    # Of an application: stored for one prediction, a correction for the other
    assert report(0, JUNE, application_id="A-1") == "stored"
    assert report(1, JUNE, application_id="A-1") == "corrected"
    both = [OutcomeRecord(bad, later + timedelta(days=5), prediction_id=other.prediction_id) for bad in (1, 0, 1)]
    assert [result.status for result in log.add_outcomes(both)] == ["stored", "corrected", "superseded"]


def test_an_outcome_of_an_application_belongs_to_all_its_predictions_but_what_ifs(log):
    made = [record(application_id="A-1"), record(V2, "shadow", application_id="A-1")]
    log.append([*made, record(application_id="A-1", purpose="what_if"), record(application_id="A-2")])
    reported = OutcomeRecord(1, JUNE, application_id="A-1")
    (result,) = log.add_outcomes([reported])
    assert result == OutcomeResult("stored", tuple(one.prediction_id for one in made))
    assert [one.status for one in log.add_outcomes([reported, replace(reported, application_id="A-3")])] == [
        "duplicate", "unknown"
    ]  # fmt: skip
    assert len(log.outcomes(application_id="A-1")) == 2 and log.outcomes(application_id="A-2") == []


def test_the_outcomes_of_a_model_stand_beside_its_predictions(log):
    made = [record(pd=0.1), record(pd=0.2), record(pd=0.3, purpose="shadow"), record(V2, pd=0.4), record(pd=0.5)]
    log.append(made)
    log.add_outcomes([OutcomeRecord(0, JUNE, prediction_id=one.prediction_id) for one in made[:4]])
    log.add_outcomes([OutcomeRecord(1, JUNE, prediction_id=made[0].prediction_id)])
    rows = log.outcomes_of_model(*V1)
    assert [(row["pd"], row["bad"]) for row in rows] == [(0.2, 0), (0.1, 1)]
    assert rows[0]["features"] == made[1].features and rows[0]["predicted_at"] == made[1].created_at
    assert [row["pd"] for row in log.outcomes_of_model(*V1, after_id=rows[0]["id"])] == [0.1]
    assert [row["pd"] for row in log.outcomes_of_model(*V1, purposes=("shadow",))] == [0.3]
    assert log.outcomes_of_model(*V1, until=made[0].created_at) == []


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"bad": 2}, "bad=2"),
        ({"prediction_id": None}, "give one of them"),
        ({"application_id": "A-1"}, "give one of them"),
        ({"observed_at": datetime(2026, 1, 1)}, "no time zone"),
        ({"observed_at": datetime.now(UTC) + timedelta(days=3)}, "future"),
        ({"source": "a\0b"}, "source="),
    ],
)
def test_an_outcome_that_cannot_be_is_refused(values, said):
    with pytest.raises(LogError, match=said):
        OutcomeRecord(**{"bad": 1, "observed_at": JUNE, "prediction_id": "p", **values})


def test_a_decision_of_a_person_is_kept_beside_that_of_the_policy(log):
    made = record(decision="decline")
    log.append([made])
    assert log.add_decision(DecisionRecord("nobody", "approve", "why", "me")) is None
    override = DecisionRecord(made.prediction_id, "approve", "guarantor found", "J. Doe", caller="desk")
    first = log.add_decision(override)
    assert log.add_decision(override) == first
    second = log.add_decision(replace(override, decision="refer", reason="guarantor left"))
    assert log.add_decision(override) not in (first, second)
    rows = log.decisions_of(made.prediction_id)
    assert [row["decision"] for row in rows] == ["approve", "refer", "approve"]
    assert (rows[0]["reason"], rows[0]["decided_by"], rows[0]["caller"]) == ("guarantor found", "J. Doe", "desk")
    assert log.prediction(made.prediction_id)["decision"] == "decline"
    for wrong in ({"decision": "perhaps"}, {"reason": "  "}, {"decided_by": ""}, {"reason": "\0"}):
        with pytest.raises(LogError):
            replace(override, **wrong)


# Faults


def in_order(log: PredictionLog) -> int:
    """How many predictions there are, after a look at whether counts, numbers and checks agree with them."""
    stored = log.counts()["predictions"]
    assert sequences(log) == list(range(1, stored + 1))
    assert [model["n"] for model in log.counts()["models"]] == ([stored] if stored else [])
    assert [row["bucket"] for row in checks(log)] == list(range(1, stored // 100 + 1))
    return stored


def test_a_database_that_is_locked_is_waited_for_and_then_a_log_error(empty_url):
    migrate(empty_url)
    log, other = PredictionLog(empty_url, busy_seconds=0.3), PredictionLog(empty_url)
    log.append(records(1))
    with other.writing() as connection:
        other._append(connection, records(1))
        began = time.monotonic()
        with pytest.raises(LogError, match=r"another process has been writing for 0\.3 s"):
            log.append(records(1))
        assert 0.2 < time.monotonic() - began < 3
    log.append(records(1))
    patient = PredictionLog(empty_url, busy_seconds=20)
    with other.writing() as connection:
        other._append(connection, records(1))
        thread, results = in_thread(lambda: patient.append(records(1)))
        time.sleep(0.5)
        assert results == []
    thread.join(timeout=20)
    assert results[0].inserted == [True]
    assert in_order(log) == 5
    for one in (log, other, patient):
        one.close()


def test_threads_of_one_process_take_turns_in_the_order_they_came():
    turns, order, waiting = Turns(), [], []
    assert turns.acquire(1)
    for number in range(8):

        def wait(number=number) -> None:
            assert turns.acquire(20)
            order.append(number)
            turns.release()

        thread, _ = in_thread(wait)
        waiting.append(thread)
        while len(turns._waiting) <= number:
            time.sleep(0.001)
    assert not turns.acquire(0.01)
    turns.release()
    for thread in waiting:
        thread.join(timeout=20)
    assert order == list(range(8))
    assert turns.acquire(0)


def test_a_thread_that_waits_too_long_for_another_gets_a_log_error(tmp_path):
    url = f"sqlite:///{tmp_path / 'p.db'}"
    migrate(url)
    log = PredictionLog(url, busy_seconds=0.2)
    with log.writing():
        thread, results = in_thread(lambda: log.append(records(1)))
        thread.join(timeout=20)
        assert isinstance(results[0], LogError) and "other threads" in str(results[0])
    log.append(records(1))
    assert in_order(log) == 1
    log.close()


def test_a_full_database_is_a_log_error_that_leaves_nothing_half_stored(tmp_path):
    url = f"sqlite:///{tmp_path / 'p.db'}"
    migrate(url)
    log = PredictionLog(url)

    def allow(pages: int) -> None:
        with log._writer.connect() as connection:
            connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")

    with log._writer.connect() as connection:
        used = connection.exec_driver_sql("PRAGMA page_count").scalar()
    allow(used + 40)
    stored = 0
    with pytest.raises(LogError, match="full; nothing of this transaction was stored; make room"):
        for _ in range(100):
            stored += len(log.append(records(30)).prediction_ids)
    assert stored > 0 and in_order(log) == stored
    allow(2**30)
    log.append(records(30))
    assert in_order(log) == stored + 30
    log.close()


LIMITED = """
import os, resource
from creditrisk.errors import LogError
url, path = sys.argv[1], sys.argv[2]
log = PredictionLog(url)
stored = len(log.append([record() for _ in range(150)]).prediction_ids)
largest = max(os.path.getsize(path), os.path.getsize(path + "-wal"))
resource.setrlimit(resource.RLIMIT_FSIZE, (largest + 50_000, resource.RLIM_INFINITY))
try:
    for _ in range(1000):
        stored += len(log.append([record() for _ in range(7)]).prediction_ids)
except LogError as error:
    print(error, flush=True)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
stored += len(log.append([record() for _ in range(7)]).prediction_ids)
print(stored)
"""


def test_a_disk_that_refuses_writes_is_a_log_error_and_the_same_process_goes_on_after_it(tmp_path):
    url = f"sqlite:///{tmp_path / 'p.db'}"
    migrate(url)
    (output,) = go(start(LIMITED, url, str(tmp_path / "p.db")))
    refused, stored = output.splitlines()
    assert "make room on its disk" in refused
    log = PredictionLog(url)
    assert in_order(log) == int(stored)
    log.close()


def test_a_file_that_was_moved_away_takes_no_more_rows_and_is_used_again_when_it_is_back(tmp_path):
    home = tmp_path / "home"
    url = f"sqlite:///{home / 'p.db'}"
    migrate(url)
    log = PredictionLog(url)
    log.append(records(3))
    home.rename(tmp_path / "away")
    for use in (lambda: log.append(records(1)), log.counts, log.ping, lambda: log.claim_check("me")):
        with pytest.raises(LogError, match="unable to open database file"):
            use()
    moved = PredictionLog(f"sqlite:///{tmp_path / 'away' / 'p.db'}")
    assert in_order(moved) == 3
    moved.close()
    home.mkdir()
    (home / "p.db").touch()  # an empty file in its place is another database
    with pytest.raises(LogError, match="no such table"):
        log.append(records(1))
    shutil.rmtree(home)
    (tmp_path / "away").rename(home)
    log.append(records(2))
    assert in_order(log) == 5
    log.close()


def test_a_server_that_stops_is_a_log_error_and_the_same_log_goes_on_when_it_is_back():
    if reason := postgres.absent_reason():
        postgres.skip_or_fail(reason)
    with postgres.running_postgres() as url:
        migrate(url)
        log = PredictionLog(url, busy_seconds=2)
        log.append(records(150))
        with log._reader.connect() as connection:
            data = Path(connection.exec_driver_sql("SHOW data_directory").scalar())
            place = connection.exec_driver_sql("SHOW port").scalar()
        control = [postgres._programs() / "pg_ctl", "-D", data, "-w"]
        options = f"-h 127.0.0.1 -p {place} -F -c unix_socket_directories="
        with pytest.raises(LogError, match="prediction log"), log.writing() as connection:
            log._append(connection, records(60))
            postgres._run([*control, "-m", "immediate", "stop"], postgres._account(), data.parent)
            log._append(connection, records(60))
        for use in (lambda: log.append(records(1)), log.counts, log.ping, lambda: log.claim_check("me")):
            began = time.monotonic()
            with pytest.raises(LogError, match="reachable"):
                use()
            assert time.monotonic() - began < 10
        started = [*control, "-o", options, "-l", data.parent / "again.log", "start"]
        postgres._run(started, postgres._account(), data.parent)
        log.append(records(60))
        assert in_order(log) == 210
        log.close()


# Connections


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_an_unreachable_server_is_a_log_error_without_the_password(scheme):
    log = PredictionLog(f"{scheme}://user:s3cret@127.0.0.1:1/book?password=s3cret")
    assert log.url.drivername == "postgresql+psycopg"
    uses = (log.ping, log.check_schema, lambda: log.append([record()]), lambda: log.claim_check("worker"))
    for use in (*uses, lambda: migrate(f"{scheme}://user:s3cret@127.0.0.1:1/book")):
        with pytest.raises(LogError, match=r"127\.0\.0\.1:1/book.*reachable") as caught:
            use()
        assert "s3cret" not in str(caught.value)


def test_a_wrong_password_is_a_log_error_that_hides_it(postgres_url):
    url = sa.make_url(postgres_url).set(password="s3cret").render_as_string(hide_password=False)
    with pytest.raises(LogError, match="password authentication failed") as caught:
        PredictionLog(url).ping()
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("not a url", "not a database URL"),
        ("mysql://user:s3cret@host/book", "mysql is not supported"),
        ("sqlite://", "name a file"),
        ("sqlite:///:memory:", "name a file"),
    ],
)
def test_an_address_that_cannot_be_a_log_is_refused(url, said):
    for use in (migrate, PredictionLog):
        with pytest.raises(LogError, match=said) as caught:
            use(url)
        assert "s3cret" not in str(caught.value)


def test_a_folder_that_cannot_be_made_is_a_log_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(LogError, match="choose a folder"):
        migrate(f"sqlite:///{tmp_path / 'file' / 'p.db'}")


def test_a_writer_that_blocks_sqlite_for_too_long_is_named_as_the_cause(tmp_path):
    url = f"sqlite:///{tmp_path / 'p.db'}"
    migrate(url)
    one, other = PredictionLog(url), PredictionLog(url, busy_seconds=0.2)
    with one.writing(), pytest.raises(LogError, match="locked.*another process has been writing"):
        other.append([record()])
    other.append([record()])
    assert one.counts()["predictions"] == 1
    one.close()
    other.close()


def test_a_missing_database_server_skips_here_and_fails_in_ci(monkeypatch):
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="PostgreSQL is absent"):
        postgres.skip_or_fail("PostgreSQL is absent")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="PostgreSQL is absent"):
        postgres.skip_or_fail("PostgreSQL is absent")
