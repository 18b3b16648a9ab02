"""Export, purge and legal holds of the prediction log, on SQLite and on PostgreSQL."""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from creditrisk.errors import CreditRiskError, LogError
from creditrisk.log_commands import add_log_commands
from creditrisk.serving import retention
from creditrisk.serving.log import DecisionRecord, OutcomeRecord, PredictionLog, PredictionRecord, ReportRecord, migrate
from creditrisk.serving.retention import entries, export, hold, parse_age, parse_moment, purge, release
from creditrisk.serving.schema import DECISIONS, OUTCOMES, PREDICTIONS

MODEL = ("v1", "a" * 64)


def aged(days: float, **changes) -> PredictionRecord:
    """A production prediction made so many days ago."""
    values = {
        "model_version": MODEL[0],
        "model_sha256": MODEL[1],
        "portfolio": "retail",
        "purpose": "production",
        "source": "api",
        "inputs": {"age": 41, "note": 'ä "quoted",\nnew line'},
        "features": {"age": 41.0},
        "pd": 0.1 + 0.2,
        "score": 690,
        "rating": "Good",
        "created_at": datetime.now(UTC) - timedelta(days=days),
    }
    return PredictionRecord(**{**values, **changes})


@pytest.fixture
def log(empty_url) -> Iterator[PredictionLog]:
    migrate(empty_url)
    log = PredictionLog(empty_url, period=10)
    yield log
    log.close()


def left(log: PredictionLog) -> set[str]:
    return {row["prediction_id"] for row in log.predictions(limit=10_000)}


def rows_of(log: PredictionLog, table: sa.Table) -> int:
    with log._reader.connect() as connection:
        return connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()


# Purge


def test_a_purge_deletes_what_is_old_enough_with_its_outcomes_and_decisions_and_says_so(log, monkeypatch):
    monkeypatch.setattr(retention, "PAGE", 7)  # several transactions
    old, young = [aged(500 - number) for number in range(20)], [aged(399), aged(0)]
    log.append([*young, *old])
    for one in (old[0], young[0]):
        log.add_outcomes([OutcomeRecord(1, date(2026, 1, 1), prediction_id=one.prediction_id)])
        log.add_decision(DecisionRecord(one.prediction_id, "refer", "unclear", "J. Doe"))
    tried = purge(log, 400, by="J. Doe", dry_run=True)
    assert (tried.rows, tried.held, tried.entry) == (20, 0, None) and len(left(log)) == 22 and entries(log) == []
    done = purge(log, 400, by="J. Doe")
    assert (done.rows, done.held) == (20, 0)
    assert left(log) == {one.prediction_id for one in young}
    assert rows_of(log, OUTCOMES) == rows_of(log, DECISIONS) == 1
    (entry,) = entries(log)
    assert (entry["id"], entry["action"], entry["done_by"], entry["rows"]) == (done.entry, "purge", "J. Doe", 20)
    assert entry["parameters"]["older_than_days"] == 400
    assert datetime.fromisoformat(entry["parameters"]["cutoff"]) == done.cutoff
    assert purge(log, 400, by="J. Doe").rows == 0 and len(entries(log)) == 2


def test_counts_numbers_checks_and_reports_go_on_after_a_purge(log):
    log.append([aged(500) for _ in range(25)])
    check = log.claim_check("me")
    report = ReportRecord(n=10, status="ok", flagged=0, report={})
    log.finish_check(check, report)
    before = log.reports()
    purge(log, 400, by="me")
    assert log.counts()["predictions"] == 0 and log.counts()["models"][0]["n"] == 25
    assert log.reports() == before and before[0]["last_prediction"] == 10
    log.append([aged(0) for _ in range(5)])
    rows = log.predictions()
    assert [row["sequence"] for row in rows] == [30, 29, 28, 27, 26]
    assert min(row["id"] for row in rows) > 25
    assert log.counts()["checks"] == {"pending": 2, "running": 0, "done": 1, "failed": 0}


def test_what_is_too_young_is_refused(log):
    log.append([aged(100)])
    with pytest.raises(LogError, match="kept for 365 days at least: 364 days is too young"):
        purge(log, 364, by="me")
    with pytest.raises(LogError, match="kept for 30 days"):
        purge(log, 29, by="me", minimum_days=30)
    with pytest.raises(LogError, match="by is empty"):
        purge(log, 400, by=" ")
    assert purge(log, 30, by="me", minimum_days=30).rows == 1
    assert purge(log, 10**9, by="me").rows == 0


def test_a_legal_hold_outlives_every_purge_until_it_is_released(log):
    held, shared = aged(500), [aged(500, application_id="A-1"), aged(450, application_id="A-1", purpose="shadow")]
    free = [aged(500) for _ in range(3)]
    log.append([*free, held, *shared])
    first = hold(log, prediction_id=held.prediction_id, reason="complaint 7", by="legal")
    second = hold(log, application_id="A-1", reason="lawsuit", by="legal")
    assert (first.predictions, second.predictions) == (1, 2)
    tried = purge(log, 400, by="me", dry_run=True)
    assert (tried.rows, tried.held) == (3, 3)
    done = purge(log, 400, by="me")
    assert (done.rows, done.held) == (3, 3)
    assert left(log) == {held.prediction_id, *(one.prediction_id for one in shared)}
    assert release(log, second.id, by="counsel").predictions == 2
    assert purge(log, 400, by="me").rows == 2 and left(log) == {held.prediction_id}
    (active,) = log.holds()
    assert (active["id"], active["reason"], active["held_by"]) == (first.id, "complaint 7", "legal")
    assert [one["released_by"] for one in log.holds(active=False)] == [None, "counsel"]
    actions = [(one["action"], one["done_by"], one["rows"]) for one in entries(log)]
    assert actions[::-1] == [
        ("hold", "legal", 1), ("hold", "legal", 2), ("purge", "me", 3), ("release", "counsel", 2), ("purge", "me", 2)
    ]  # fmt: skip


def test_a_hold_that_would_hold_nothing_or_a_release_of_nothing_is_refused(log):
    made = aged(1)
    log.append([made])
    for wrong, said in (
        ({"prediction_id": "misspelt"}, "no prediction with prediction_id 'misspelt'"),
        ({"application_id": "A-9"}, "no prediction with application_id 'A-9'"),
        ({}, "name one of them"),
        ({"prediction_id": made.prediction_id, "application_id": "A"}, "name one of them"),
        ({"prediction_id": made.prediction_id, "reason": ""}, "reason is empty"),
    ):
        with pytest.raises(LogError, match=said):
            hold(log, **{"reason": "x", "by": "me", **wrong})
    placed = hold(log, prediction_id=made.prediction_id, reason="x", by="me")
    release(log, placed.id, by="me")
    with pytest.raises(LogError, match="was released on"):
        release(log, placed.id, by="me")
    with pytest.raises(LogError, match="no legal hold 99"):
        release(log, 99, by="me")
    assert [one["action"] for one in entries(log)] == ["release", "hold"]


def test_requests_are_logged_while_a_purge_is_running(log, monkeypatch):
    monkeypatch.setattr(retention, "PAGE", 20)
    log.append([aged(500) for _ in range(400)])
    stop, errors = threading.Event(), []

    def send() -> None:
        while not stop.is_set():
            try:
                log.append([aged(0)])
            except LogError as error:
                errors.append(error)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        assert purge(log, 400, by="me").rows == 400
    finally:
        stop.set()
        thread.join()
    rows = log.predictions(limit=10_000)
    assert errors == [] and rows
    assert sorted(row["sequence"] for row in rows) == list(range(401, 401 + len(rows)))


PURGE = """
import sys
from creditrisk.serving import retention
from creditrisk.serving.log import PredictionLog
retention.PAGE = 10
delete = retention._delete
def slowly(*arguments):
    delete(*arguments)
    print("batch", flush=True)
    sys.stdin.readline()
retention._delete = slowly
retention.purge(PredictionLog(sys.argv[1]), 400, by="me")
"""


def test_the_entry_of_a_purge_that_was_killed_says_what_is_gone(log):
    log.append([aged(500) for _ in range(100)])
    url = log.url.render_as_string(hide_password=False)
    process = subprocess.Popen(
        [sys.executable, "-c", PURGE, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    for _ in range(3):
        assert process.stdout.readline() == "batch\n"
        process.stdin.write("go on\n")
        process.stdin.flush()
    assert process.stdout.readline() == "batch\n"
    process.kill()
    process.communicate()
    (entry,) = entries(log)
    assert entry["rows"] == 30 and len(left(log)) == 70
    assert purge(log, 400, by="me").rows == 70


def test_purged_values_are_gone_from_the_file(tmp_path):
    url = f"sqlite:///{tmp_path / 'p.db'}"
    migrate(url)
    log = PredictionLog(url)
    log.append([aged(500, application_id=f"SECRET-{number}") for number in range(200)] + [aged(1)])
    purge(log, 400, by="me")
    assert b"SECRET" not in (tmp_path / "p.db").read_bytes() + (tmp_path / "p.db-wal").read_bytes()
    log.close()


# Export


def some(log: PredictionLog) -> list[PredictionRecord]:
    made = [
        aged(3, application_id="A-1", reasons=[{"feature": "age", "text": "x", "weight": 0.5}], decision="refer"),
        aged(2, features={"age": None, "ratio": 1.5}, latency_ms=1.25, points=573),
        aged(1, model_version="v2", inputs=None, application_id="=1+1"),
    ]
    log.append(made)
    log.add_outcomes([OutcomeRecord(bad, date(2026, 1, 2), application_id="A-1", source="file") for bad in (1, 0)])
    log.add_decision(DecisionRecord(made[1].prediction_id, "approve", "known", "J. Doe"))
    return made


def test_lines_of_json_hold_everything_that_the_log_knows(log, tmp_path):
    made = some(log)
    done = export(log, tmp_path / "out.jsonl", by="me")
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text("utf-8").splitlines()]
    assert done.rows == len(rows) == 3
    for row, sent, stored in zip(rows, made, log.predictions(newest_first=False), strict=True):
        assert list(row) == [*(column.name for column in PREDICTIONS.columns), "outcomes", "decisions"]
        assert datetime.fromisoformat(row["created_at"]) == sent.created_at
        for name in set(stored) - {"created_at"}:
            assert row[name] == stored[name], name
    assert [one["bad"] for one in rows[0]["outcomes"]] == [1, 0] and rows[0]["outcomes"][0]["source"] == "file"
    assert rows[1]["decisions"][0]["reason"] == "known" and rows[2]["outcomes"] == []
    (entry,) = entries(log)
    assert (entry["action"], entry["rows"], entry["parameters"]) == ("export", 3, {"file": "out.jsonl"})
    assert (tmp_path / "out.jsonl").stat().st_mode & 0o777 == 0o600


def test_a_table_of_parquet_or_csv_holds_the_same(log, tmp_path):
    some(log)
    stored = log.predictions(newest_first=False)
    export(log, tmp_path / "out.parquet", by="me")
    export(log, tmp_path / "out.csv", by="me")
    parquet = pq.read_table(tmp_path / "out.parquet").to_pylist()
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    assert len(parquet) == len(table) == len(stored)
    for row, cells, known in zip(parquet, table, stored, strict=True):
        for name, value in known.items():
            told = row[name]
            if name in ("inputs", "features", "reasons"):
                told = None if told is None else json.loads(told)
                assert (json.loads(cells[name]) if cells[name] else None) == value
            elif name == "created_at":
                assert datetime.fromisoformat(cells[name]) == value
            elif value == "=1+1":
                assert cells[name] == "'=1+1"  # no formula
            else:
                assert cells[name] == ("" if value is None else str(value))
            assert told == value, name
    assert [one["bad"] for one in json.loads(parquet[0]["outcomes"])] == [1, 0]
    assert json.loads(table[1]["decisions"])[0]["decided_by"] == "J. Doe"


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", '=HYPERLINK("http://x","y")', "=a\nb"]
)
def test_no_text_becomes_a_formula_in_a_spreadsheet_and_only_there_is_it_changed(log, tmp_path, text):
    log.append([aged(1, application_id=text, caller=f" {text}", run="'tis", points=-5, pd=1e-05)])
    for suffix in ("csv", "jsonl", "parquet"):
        export(log, tmp_path / f"out.{suffix}", by="me")
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as file:
        (cells,) = csv.DictReader(file)
    assert cells["application_id"] == f"'{text}"
    assert (cells["points"], cells["pd"]) == ("-5", "1e-05"), "numbers stay numbers"
    assert (cells["caller"], cells["run"]) == (f" {text}", "'tis"), "as do texts that are no formulas"
    assert not any(value and value[0] in "=+@\t\r\n" for value in cells.values())
    told = json.loads((tmp_path / "out.jsonl").read_text("utf-8"))
    assert told["application_id"] == text == pq.read_table(tmp_path / "out.parquet").to_pylist()[0]["application_id"]


def test_an_export_is_of_a_time_and_a_model(log, tmp_path):
    made = some(log)

    def exported(name: str, **asked) -> list[str]:
        export(log, tmp_path / name, by="me", **asked)
        return [json.loads(line)["prediction_id"] for line in (tmp_path / name).read_text("utf-8").splitlines()]

    assert exported("a.jsonl", since=made[1].created_at) == [one.prediction_id for one in made[1:]]
    assert exported("b.jsonl", until=made[1].created_at) == [made[0].prediction_id]
    assert exported("c.jsonl", model_version="v2") == [made[2].prediction_id]
    assert exported("d.jsonl", model_version="v9") == []
    export(log, tmp_path / "e.parquet", by="me", model_version="v9")
    assert pq.read_table(tmp_path / "e.parquet").num_rows == 0
    assert entries(log)[2]["parameters"] == {"file": "c.jsonl", "model": "v2"}


def test_an_export_replaces_nothing_and_leaves_nothing_half_written(log, tmp_path, monkeypatch):
    some(log)
    (tmp_path / "there.csv").write_text("mine")
    for out, said in (
        (tmp_path / "there.csv", "exists"),
        (tmp_path / "out.xlsx", r"must end in \.jsonl, \.csv or \.parquet"),
        (tmp_path / "no folder" / "out.csv", "cannot be written"),
    ):
        with pytest.raises(LogError, match=said):
            export(log, out, by="me")

    def full(*_):
        raise OSError(28, "No space left on device")

    for suffix, writer in (("jsonl", retention._Jsonl), ("csv", retention._Csv), ("parquet", retention._Parquet)):
        monkeypatch.setattr(writer, "write", full)
        with pytest.raises(LogError, match="No space left on device; choose another place"):
            export(log, tmp_path / f"out.{suffix}", by="me")
    monkeypatch.undo()
    assert (tmp_path / "there.csv").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["there.csv"]
    assert entries(log) == []


def test_memory_of_an_export_does_not_grow_with_the_log(log, tmp_path, monkeypatch):
    monkeypatch.setattr(retention, "PAGE", 100)
    log.append([aged(1, inputs={"text": "x" * 2_000}) for _ in range(4_000)])
    export(log, tmp_path / "warm.jsonl", by="me", model_version="v9")
    tracemalloc.start()
    try:
        for suffix in ("jsonl", "csv", "parquet"):
            tracemalloc.reset_peak()
            export(log, tmp_path / f"out.{suffix}", by="me")
            assert tracemalloc.get_traced_memory()[1] < 4_000_000, suffix  # the rows are 8 MB and more
    finally:
        tracemalloc.stop()


# The command line


def run(*words: str) -> int:
    parser = argparse.ArgumentParser()
    add_log_commands(parser.add_subparsers(required=True))
    arguments = parser.parse_args(["log", *words])
    return arguments.command(arguments)


def test_the_command_line_exports_holds_purges_and_releases(settings_in, tmp_path, capsys):
    url = settings_in.log_url
    migrate(url)
    log = PredictionLog(url)
    log.append([aged(500), aged(500, application_id="A-1")])
    out = tmp_path / "out.csv"
    assert run("export", "--out", str(out), "--since", "2020-01-01", "--by", "me") == 0
    assert f"{out}: 2 predictions" in capsys.readouterr().out
    assert run("hold", "--application", "A-1", "--reason", "lawsuit", "--by", "legal") == 0
    assert "legal hold 1 covers 1 predictions" in capsys.readouterr().out
    assert run("purge", "--older-than", "400d", "--by", "me", "--dry-run") == 0
    assert "1 predictions from before" in (told := capsys.readouterr().out) and "would be deleted, 1 kept" in told
    assert log.counts()["predictions"] == 2
    assert run("purge", "--older-than", "400d", "--by", "me") == 0
    assert "UTC deleted, 1 kept by holds" in capsys.readouterr().out and log.counts()["predictions"] == 1
    assert run("holds") == 0
    assert "application A-1  lawsuit  legal  -" in capsys.readouterr().out
    assert run("release", "1") == 0 and log.holds() == []
    capsys.readouterr()
    assert run("holds") == 0 and "no legal holds" in capsys.readouterr().err
    assert run("holds", "--all", "--json") == 0
    assert json.loads(capsys.readouterr().out)[0]["application_id"] == "A-1"
    log.close()


def test_wrong_words_and_a_log_that_is_not_there_are_errors_a_user_can_act_on(settings_in, tmp_path):
    with pytest.raises(LogError, match="no such file yet"):
        run("holds")
    migrate(settings_in.log_url)
    for words in (
        ("purge", "--older-than", "400", "--by", "me"),
        ("purge", "--older-than", "10d", "--by", "me"),
        ("export", "--out", str(tmp_path / "x.csv"), "--since", "yesterday"),
        ("release", "7", "--by", "me"),
    ):
        with pytest.raises(CreditRiskError):
            run(*words)
    for words in (("purge", "--older-than", "400d"), ("hold", "--reason", "x"), ("hold", "--application", "A")):
        with pytest.raises(SystemExit):
            run(*words)


def test_help_does_not_wait_for_databases_to_be_imported():
    code = (
        "import sys, creditrisk.log_commands\n"
        "print(sorted({'sqlalchemy', 'pandas', 'numpy', 'pyarrow'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_ages_and_moments_are_read_as_they_are_written():
    assert parse_age("400d") == 400
    for wrong in ("400", "d", "-1d", "1y", "1.5d", "٤d"):
        with pytest.raises(LogError, match="write days, as in 400d"):
            parse_age(wrong)
    assert parse_moment("2026-03-01") == datetime(2026, 3, 1, tzinfo=UTC)
    assert parse_moment("2026-03-01T02:00:00+02:00") == datetime(2026, 3, 1, tzinfo=UTC)
    with pytest.raises(LogError, match="YYYY-MM-DD"):
        parse_moment("1 March")


def test_nothing_of_another_application_is_held(log):
    log.append([aged(500, application_id=None), aged(500, application_id="A-1"), aged(500, application_id="A-2")])
    hold(log, application_id="A-1", reason="x", by="me")
    assert purge(log, 400, by="me").rows == 2
    assert [row["application_id"] for row in log.predictions()] == ["A-1"]
