"""`creditrisk simulate`: as many predictions as asked for, each once, whatever fails; every hundred is checked."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest
import sqlalchemy as sa

import servers
from creditrisk.cli import main
from creditrisk.data.portfolio import load_portfolio
from creditrisk.data.sample import make_applications
from creditrisk.data.tables import to_columns
from creditrisk.monitoring.drift import Baseline, compare
from creditrisk.sending import Address, ApiSender, Plan, Screen, Tally, ask_for_model, check_in_words, send_to_log
from creditrisk.serving.access import add_key
from creditrisk.serving.log import PREDICTIONS, PredictionLog, migrate
from creditrisk.serving.policy import Policies
from creditrisk.serving.schema import CHECKS, OUTCOMES, REPORTS
from creditrisk.serving.scorer import Scorer
from creditrisk.settings import reload_settings
from creditrisk.simulation import Stream, open_source, read_changes
from postgres import stopped
from receivers import Webhook, listening
from servers import PATIENCE, Server, free_port, running

PERIOD = 50


@pytest.fixture(autouse=True)
def settings_here(tmp_path: Path, trained, monkeypatch) -> Iterator[None]:
    """Settings of this test's own, with the small models."""
    for name in [name for name in os.environ if name.startswith("CREDITRISK_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("CREDITRISK_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("CREDITRISK_ARTIFACTS", trained.folder)
    monkeypatch.setenv("CREDITRISK_DRIFT_PERIOD", str(PERIOD))
    monkeypatch.setenv("CREDITRISK_BUSY_SECONDS", "0.5")
    reload_settings()
    yield
    monkeypatch.undo()
    reload_settings()


@contextmanager
def reading(url: str) -> Iterator[sa.Connection]:
    engine = sa.create_engine(url)
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


def stored(url: str, table: sa.Table) -> list[dict]:
    with reading(url) as connection:
        return [dict(row) for row in connection.execute(sa.select(table).order_by(*table.primary_key)).mappings()]


def simulate(url: str, *argv: str) -> int:
    return main(["simulate", "--no-progress", *(["--database", url] if url else []), *argv])


def assert_exact(url: str, n: int, period: int = PERIOD) -> list[dict]:
    """The log holds n predictions, each of an application of its own, and a report for every full period of them."""
    rows = stored(url, PREDICTIONS)
    assert len(rows) == len({row["application_id"] for row in rows}) == n
    assert sorted(row["sequence"] for row in rows) == list(range(1, n + 1))
    assert {row["purpose"] for row in rows} == {"production"}
    assert [check["status"] for check in stored(url, CHECKS)] == ["done"] * (n // period)
    checked = [report["window_key"] for report in stored(url, REPORTS)]
    assert Counter(checked) == Counter(f"bucket-{k + 1}" for k in range(n // period))
    return rows


# --- To the log -------------------------------------------------------------------------------------------------------


def test_a_stream_is_logged_once_checked_every_period_and_flagged_from_the_moment_of_drift(empty_url, capfd):
    drifting = ("--drift", "income=3", "--from", "150", "--n", "320", "--run", "watched")
    assert simulate(empty_url, *drifting) == 0
    rows, (out, err) = assert_exact(empty_url, 320), capfd.readouterr()
    assert err == ""
    assert [row["run"] for row in rows] == ["watched"] * 320 and {row["caller"] for row in rows} == {"simulate"}
    assert {row["decision"] for row in rows} <= {"approve", "refer", "decline"}
    told = re.findall(r"^check (\d): (\w+)(.*)$", out, re.MULTILINE)
    assert [(number, status) for number, status, _ in told] == [
        (str(k + 1), report["status"]) for k, report in enumerate(stored(empty_url, REPORTS))
    ]
    assert [status for _, status, _ in told[3:]] == ["red"] * 3 and "red" not in [status for _, status, _ in told[:3]]
    assert "income PSI" in told[3][2] or "loan_to_income PSI" in told[3][2]
    assert "watched: sent 320 applications, in " in out and "3 red" in out and "creditrisk drift -p model v2" in out

    assert simulate(empty_url, *drifting) == 0
    assert assert_exact(empty_url, 320) == rows
    out = capfd.readouterr().out
    assert "sent 320 applications, 320 of them there already" in out and "none was stored" in out


def test_what_is_logged_is_what_the_scorer_says_of_what_was_said(trained, champion, tmp_path):
    url = f"sqlite:///{tmp_path / 'log.db'}"
    assert simulate(url, "--drift", "missing:enquiry_count=0.5", "--drift", "income=0.8", "--n", "60") == 0
    scorer, book = Scorer(champion), champion.portfolio
    for row in stored(url, PREDICTIONS):
        said = {book.wire_names[name]: value for name, value in row["inputs"].items()}
        scored = scorer.score_rows([said])
        assert scored.result_of(0)["pd"] == pytest.approx(row["pd"], abs=1e-12)
        assert row["features"]["loan_to_income"] == pytest.approx(said["loan_amount"] / said["income"])


def test_a_clean_stream_is_undrifted_against_the_models_baseline_and_income_times_one_and_a_half_is_not(
    either_model,
):
    book, baseline = either_model.portfolio, Baseline.from_dict(either_model.baseline)
    source, scorer = open_source(book), Scorer(either_model)
    for drift, flagged in ((), set()), (("income=1.5",), {"loan_to_income", "income"}):
        stream = Stream(source, book, read_changes(drift, book))
        frame = pd.concat([stream.take(first).frame for first in range(0, 3_000, 1_000)], ignore_index=True)
        scored = scorer.score(to_columns(frame, list(book.inputs), book))
        report = compare(baseline, pd.DataFrame(scored.features))
        assert set(report.flagged) == flagged & set(scored.features), report.verdict


@pytest.mark.soak
def test_a_log_that_is_away_is_waited_for_and_nothing_is_lost_or_doubled(champion, postgres_url, empty_url, capfd):
    migrate(empty_url)
    log = PredictionLog(empty_url, PERIOD, busy_seconds=0.2)
    stream = Stream(open_source(champion.portfolio), champion.portfolio)
    policy, tally = Policies.of_model(champion).policies[0], Tally()
    screen, stop = Screen(1_000, shown=False), threading.Event()

    def send() -> None:
        plan = Plan(1_000, "patient", rate=600)
        send_to_log(stream, plan, log, champion, policy, lambda check: champion, screen, stop, tally)

    with closing(log):
        sending = threading.Thread(target=send)
        sending.start()
        wait_until(lambda: tally.sent >= 200)
        with away(empty_url, postgres_url):
            time.sleep(1)
            assert tally.sent < 1_000
        sending.join(PATIENCE)
    assert tally.sent == 1_000 and tally.known == 0 and len(tally.checks) == 1_000 // PERIOD
    assert_exact(empty_url, 1_000)
    out = capfd.readouterr().out
    assert out.count("; waiting") == out.count("it answers again after") >= 1


@contextmanager
def away(url: str, server_url: str) -> Iterator[None]:
    """PostgreSQL is down, SQLite's file is held by another writer."""
    if url.startswith("postgresql"):
        with stopped(server_url):
            yield
        return
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        yield
        connection.rollback()
    engine.dispose()


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_people_are_told_of_the_drift_once_as_a_service_tells_them(empty_url, monkeypatch, capfd):
    with listening(Webhook()) as hook:
        monkeypatch.setenv("CREDITRISK_ALERT_URLS", hook.url)
        reload_settings()
        assert simulate(empty_url, "--drift", "income=3", "--from", "100", "--n", "400") == 0
    assert hook.told == [("creditrisk: drift of model v2 is red", "failure")]
    out = capfd.readouterr().out
    assert "; alerts go to JSON" in out and out.count("alert: ") == 1
    assert out.index("check 4: red") < out.index("alert: creditrisk: drift of model v2 is red (told: JSON)")


def test_patience_has_an_end_which_is_said_with_what_was_sent(tmp_path, capfd):
    url = f"sqlite:///{tmp_path / 'log.db'}"
    assert simulate(url, "--n", "10") == 0
    capfd.readouterr()
    with away(url, ""):
        assert simulate(url, "--n", "10", "--patience", "1") == 2
    out, err = capfd.readouterr()
    assert "sent 0 of 10 applications" in out and "to go on where it ended, the same command with --run sim-" in out
    assert err.startswith("error: prediction log") and "given up after 1 s" in err
    assert len(stored(url, PREDICTIONS)) == 10


@pytest.mark.skipif(sys.platform == "win32", reason="sends a signal")
def test_ctrl_c_ends_with_the_summary_of_what_is_in_the_log_and_the_stream_can_be_gone_on_with(tmp_path):
    url = f"sqlite:///{tmp_path / 'log.db'}"
    command = [sys.executable, "-m", "creditrisk.cli", "simulate", "--database", url]
    command += ["--run", "later", "--n", "1,000", "--rate"]
    with subprocess.Popen([*command, "150"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if line.startswith("check 2"):
                break
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130 and "Traceback" not in err and "applications" in err  # the bar
    sent = int(re.search(r"^later: sent (\d+) of 1,000 applications, in", out, re.MULTILINE)[1])
    assert 100 <= sent < 1_000 and "--run later" in out
    assert_exact(url, sent)

    done = subprocess.run([*command, "0"], capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0 and f"sent 1,000 applications, {sent} of them there already" in done.stdout
    assert_exact(url, 1_000)


def test_a_run_that_is_there_with_other_applications_is_not_gone_on_with(tmp_path, capfd):
    url = f"sqlite:///{tmp_path / 'log.db'}"
    assert simulate(url, "--n", "500", "--run", "one") == 0
    assert simulate(url, "--n", "900", "--run", "one", "--seed", "7") == 2
    assert "run one is there already with other applications" in capfd.readouterr().err
    assert len(stored(url, PREDICTIONS)) == 500
    assert simulate(url, "--n", "900", "--run", "one", "--drift", "income=1.5", "--from", "500") == 0
    assert len(stored(url, PREDICTIONS)) == 900


def test_predictions_are_spread_over_days_and_those_whose_window_has_passed_have_outcomes(tmp_path, capfd):
    url = f"sqlite:///{tmp_path / 'log.db'}"
    start = datetime.now(UTC).date() - timedelta(days=400)
    spread = ("--per-day", "10", "--start", str(start), "--n", "800", "--run", "spread", "--performance-months", "12")
    assert simulate(url, *spread, "--outcomes") == 0
    rows, told = stored(url, PREDICTIONS), {one["prediction_id"]: one for one in stored(url, OUTCOMES)}
    days = [row["created_at"].date() for row in rows]
    assert Counter(days) == {start + timedelta(days=k): 10 for k in range(80)}
    assert [row["created_at"] for row in rows] == sorted(row["created_at"] for row in rows)
    for row in rows:
        due = (pd.Timestamp(row["created_at"].date()) + pd.DateOffset(months=12, days=1)).date()
        outcome = told.get(row["prediction_id"])
        assert (outcome is not None) == (due <= datetime.now(UTC).date())
        assert outcome is None or outcome["observed_at"].date() == due
    assert 0 < len(told) < 800
    bads = sum(one["bad"] for one in told.values())
    out = capfd.readouterr().out
    assert f"outcomes: {len(told)} reported, {bads} of them bad, drawn from true PDs; {800 - len(told)} whose" in out
    assert simulate(url, *spread, "--outcomes") == 0
    assert len(stored(url, OUTCOMES)) == len(told) and len(stored(url, PREDICTIONS)) == 800


def test_outcomes_follow_the_true_pds_which_a_drift_of_concept_raises_and_only_approved_ones_are_known(
    champion, tmp_path
):
    urls = [f"sqlite:///{tmp_path / name}.db" for name in ("as-it-was", "worse", "approved")]
    common = ("--n", "1,500", "--per-day", "500", "--outcomes")
    assert simulate(urls[0], *common) == 0
    assert simulate(urls[1], *common, "--pd-times", "3", "--from", "500") == 0
    assert simulate(urls[2], *common, "--approved-only") == 0
    was, worse, approved = ([one["bad"] for one in stored(url, OUTCOMES)] for url in urls)
    assert len(was) == len(worse) == 1_500 and worse[:500] == was[:500]
    assert sum(worse[500:]) > 1.1 * sum(was[500:])
    assert all(late >= early for early, late in zip(was, worse, strict=True))
    truth = Stream(open_source(champion.portfolio), champion.portfolio).take(0).true_pd
    assert abs(sum(was[:1_000]) - truth.sum()) < 4 * (truth * (1 - truth)).sum() ** 0.5
    decided = {row["prediction_id"]: row["decision"] for row in stored(urls[2], PREDICTIONS)}
    of = {one["prediction_id"] for one in stored(urls[2], OUTCOMES)}
    assert of == {one for one, decision in decided.items() if decision == "approve"} and 0 < len(approved) < 1_500


def test_rows_of_a_file_have_outcomes_of_the_models_own_pds(tmp_path, capfd):
    url = f"sqlite:///{tmp_path / 'log.db'}"
    make_applications(200).to_csv(tmp_path / "new.csv", index=False)
    drawn = ("--data", str(tmp_path / "new.csv"), "--n", "400", "--per-day", "100", "--outcomes")
    assert simulate(url, *drawn) == 0
    assert "drawn from 200 rows of new.csv" in (out := capfd.readouterr().out)
    assert "the model's own PDs" in out
    rows = stored(url, PREDICTIONS)
    risk = pd.Series([row["pd"] for row in rows])
    bads = sum(one["bad"] for one in stored(url, OUTCOMES))
    assert abs(bads - risk.sum()) < 4 * (risk * (1 - risk)).sum() ** 0.5


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--from", "10"], "say what drifts, as in --drift income=1.5"),
        (["--drift", "income=2", "--from", "5,000"], "nothing would drift"),
        (["--drift", "incom=2"], "did you mean 'income'?"),
        (["--outcomes"], "spread them with --per-day"),
        (["--pd-times", "2"], "--pd-times is about outcomes; add --outcomes"),
        (["--start", "2026-01-01"], "--start needs --per-day"),
        (["--per-day", "1", "--start", str(date.today()), "--n", "2"], "would end after today"),
        (["--per-day", "9", "--outcomes", "--as-of", "2999-01-01"], "--as-of 2999-01-01 is in the future"),
        (["--api", "http://127.0.0.1:9", "--per-day", "9"], "leave out --api"),
        (["--api", "127.0.0.1:8000"], "write the address of an API"),
        (["--api", "http://127.0.0.1:99999"], "write the address of an API"),
        (["--connections", "2"], "say which, with --api URL"),
        (["--model", "v9"], "there is no model 'v9'"),
        (["--n", "2,00"], "'2,00' is not a number"),
        (["--run", "naïve"], "letters and digits of ASCII"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_written(argv, words, tmp_path, capfd):
    assert simulate("", *argv) == 2
    out, err = capfd.readouterr()
    assert words in err and out == "" and not (tmp_path / "runs").exists()


# --- To an API --------------------------------------------------------------------------------------------------------


def test_an_api_gets_each_application_once_and_its_checks_are_told(trained, empty_url, tmp_path, capfd):
    with running(1, empty_url, trained.folder, tmp_path, settings={"CREDITRISK_DRIFT_PERIOD": str(PERIOD)}) as (
        server,
    ):
        address = f"http://127.0.0.1:{server.port}"
        drifting = ("--api", address, "--drift", "income=3", "--from", "100", "--n", "220", "--run", "over-http")
        assert simulate("", *drifting) == 0
        rows, out = assert_exact(empty_url, 220), capfd.readouterr().out
        assert {row["application_id"] for row in rows} == {f"over-http-{k:06d}" for k in range(1, 221)}
        assert re.findall(r"^check (\d): red", out, re.MULTILINE) == ["3", "4"]
        assert "over-http: sent 220 applications, in" in out and "GET http://127.0.0.1" in out

        assert simulate("", *drifting) == 0
        assert assert_exact(empty_url, 220) == rows
        assert "sent 220 applications, 220 of them there already" in capfd.readouterr().out
        assert "Traceback" not in server.stop()


@pytest.mark.soak
def test_an_api_that_is_killed_and_comes_back_loses_and_doubles_nothing(trained, tmp_path, monkeypatch, capfd):
    url, port = f"sqlite:///{tmp_path / 'log.db'}", free_port()
    monkeypatch.setattr(servers, "free_port", lambda: port)
    rarely = {"CREDITRISK_DRIFT_PERIOD": "400"}  # no check is under way when it is killed, which would wait a minute
    with running(1, url, trained.folder, tmp_path, settings=rarely) as (server,):
        tally, sender = sender_to(port, 600, rate=300)
        sending = threading.Thread(target=sender.send)
        sending.start()
        wait_until(lambda: tally.sent >= 150)
        server.process.kill()
        server.process.wait()
        time.sleep(0.5)
        assert tally.sent < 600
    again = Server(url, trained.folder, tmp_path, settings=rarely)
    try:
        sending.join(PATIENCE)
        assert not sending.is_alive() and tally.sent == 600
    finally:
        again.stop()
    assert_exact(url, 600, period=400)
    out = capfd.readouterr().out
    assert "does not answer" in out and "going on" in out


def sender_to(port: int, n: int, **options) -> tuple[Tally, ApiSender]:
    address = Address(f"http://127.0.0.1:{port}")
    info = ask_for_model(address)
    book, tally = load_portfolio(info["portfolio"]), Tally()
    stream, plan = Stream(open_source(book), book), Plan(n, "by-hand", **options)
    return tally, ApiSender(stream, plan, address, info, Screen(n, shown=False), threading.Event(), tally)


@pytest.mark.soak
def test_a_rate_limit_and_a_key_are_respected(trained, tmp_path, capfd):
    url, keys = f"sqlite:///{tmp_path / 'log.db'}", tmp_path / "keys.jsonl"
    key, _ = add_key(keys, "simulator", False)
    (tmp_path / "key.txt").write_text(key + "\n")
    (tmp_path / "wrong.txt").write_text("cr_000000000000_" + 64 * "0")
    limited = {"CREDITRISK_KEYS_FILE": str(keys), "CREDITRISK_RATE_LIMIT": "40", "CREDITRISK_RATE_BURST": "10"}
    with running(1, url, trained.folder, tmp_path, settings=limited) as (server,):
        to = ("--api", f"http://127.0.0.1:{server.port}", "--n", "60")
        assert simulate("", *to, "--key-file", str(tmp_path / "key.txt")) == 0
        assert simulate("", *to, "--key-file", str(tmp_path / "wrong.txt")) == 2
        assert simulate("", *to) == 2
        assert simulate("", *to, "--key-file", str(tmp_path / "none.txt")) == 2
        printed = server.stop()
    rows = assert_exact(url, 60, period=100)
    assert {row["caller"] for row in rows} == {"simulator"}
    out, err = capfd.readouterr()
    assert out.count("waiting each time as it asks") == 1 and re.search(r"the API asked to wait \d+ times \(429\)", out)
    assert err.count("give a key with --key-file FILE") == 2 and "none.txt cannot be read" in err
    assert key not in out + err + printed


class Unwell:
    """An API that answers every other /predict with 503 and a Retry-After; remembers when and what it was asked."""

    def __init__(self, retry_after: str) -> None:
        from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

        own = self
        self.asked: list[tuple[str, float]] = []
        self.refused: set[str] = set()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                self.rfile.read(int(self.headers["Content-Length"]))
                name = self.headers["Idempotency-Key"]
                own.asked.append((name, time.monotonic()))
                first = name not in own.refused
                own.refused.add(name)
                self.answer(503 if first else 200, {"detail": "no log"}, {"Retry-After": retry_after} if first else {})

            def do_GET(self):
                info = {"model_version": "v2", "sha256": "0", "portfolio": "retail"}
                self.answer(200, info if self.path.startswith("/model-info") else [], {})

            def answer(self, status, content, headers):
                body = json.dumps(content).encode()
                self.send_response(status)
                for name, value in ({"Content-Length": str(len(body))} | headers).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


def test_an_api_without_its_log_is_asked_again_when_it_says(capfd):
    with closing(Unwell("1")) as api:
        tally, sender = sender_to(api.port, 6)
        sender.send()
    assert tally.sent == 6 and len(api.asked) == 12
    for name in {name for name, _ in api.asked}:
        first, second = (at for one, at in api.asked if one == name)
        assert 1 <= second - first < 2
    out = capfd.readouterr().out
    assert "answered 503: no log; waiting" in out and "going on" in out


def test_an_api_of_another_contract_ends_the_stream_with_its_words(trained, tmp_path, capfd):
    url = f"sqlite:///{tmp_path / 'log.db'}"
    with running(1, url, trained.folder, tmp_path) as (server,):
        tally, sender = sender_to(server.port, 50)
        sender._stream.book = sender._stream.book.model_copy(update={"columns": _renamed(sender._stream.book)})
        with pytest.raises(Exception, match="answered 422: .*earnings"):
            sender.send()
        server.stop()
    assert tally.sent == 0 and stored(url, PREDICTIONS) == []


def _renamed(book):
    return {**book.columns, "income": book.columns["income"].model_copy(update={"wire": "earnings"})}


# --- In words ---------------------------------------------------------------------------------------------------------


def test_a_check_is_told_in_a_line_by_its_largest_shifts():
    column = {"status": "red", "z": 0.5, "train_missing": 0.0, "new_missing": 0.0}
    columns = [
        column | {"column": "age", "status": "green", "psi_adjusted": 0.01},
        column | {"column": "income", "status": "amber", "psi_adjusted": 0.231},
        column | {"column": "ratio", "psi_adjusted": 0.5},
        column | {"column": "enquiries", "status": "amber", "psi_adjusted": 0.02, "new_missing": 0.12},
        column | {"column": "other", "psi_adjusted": None, "z": -4.2},
    ]
    assert check_in_words("check 21", "red", columns) == (
        "check 21: red; ratio PSI 0.50, income PSI 0.23, enquiries PSI 0.02 (+12% missing), 1 more"
    )
    assert check_in_words("check 3", "red", columns[-1:]) == "check 3: red; other Z -4.2"
    assert check_in_words("check 2", "green", columns[:1]) == "check 2: green"
