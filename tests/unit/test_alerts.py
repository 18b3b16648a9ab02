"""People are told of a change of status: once, in time, by whoever is alive, and without a word of what is secret."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from creditrisk.cli import main
from creditrisk.errors import LogError, ParameterError
from creditrisk.monitoring.alerts import Alerts, AlertWorker, Sent, consider_drift, open_alerts
from creditrisk.monitoring.receivers import NO_REASON, open_receivers, split_urls
from creditrisk.serving import alert_log
from creditrisk.serving.log import CHECKS, PredictionLog, PredictionRecord, ReportRecord, migrate
from creditrisk.settings import reload_settings
from receivers import PASSWORD, MailServer, Webhook, listening
from servers import free_port

MODEL = ("v2", "b" * 64)
SECRETS = (PASSWORD, Webhook.TOKEN, "hidden")
HOURS = 3600


@pytest.fixture
def log(empty_url) -> Iterator[PredictionLog]:
    migrate(empty_url)
    log = PredictionLog(empty_url)
    yield log
    log.close()


@pytest.fixture
def hook() -> Iterator[Webhook]:
    with listening(Webhook()) as server:
        yield server


class Clock:
    """The time as alerts see it; tests move it on."""

    def __init__(self) -> None:
        self.time = datetime(2026, 3, 2, 8, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.time

    def wait(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


@pytest.fixture
def clock(monkeypatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(alert_log, "now", clock)
    return clock


def tell(alerts: Alerts, status: str, subject: str = "drift:v2") -> Sent | None:
    return alerts.consider(subject, status, f"it is {status}", f"The body of {status}.")


def states(log: PredictionLog, **asked) -> list[tuple[str, str]]:
    """Status and state of all changes, oldest first."""
    return [(row["status"], row["state"]) for row in alert_log.alerts(log, all=True, **asked)[::-1]]


def everything_stored(log: PredictionLog) -> str:
    with log.reading() as connection:
        return "\n".join(map(str, connection.execute(sa.text("SELECT * FROM alerts")).all()))


# Which changes are told


@pytest.mark.parametrize(
    ("statuses", "told"),
    [
        (["green", "green"], []),
        (["red"], ["red"]),
        (["amber"], []),
        (["insufficient data"], []),
        (["green", "red", "red", "red"], ["red"]),
        (["green", "red", "green", "green"], ["red", "green"]),
        (["green", "amber", "green"], []),
        (["green", "amber", "red", "amber", "green"], ["red", "green"]),
        (["green", "red", "insufficient data", "green"], ["red", "green"]),
        (["green", "red", "amber", "red"], ["red", "red"]),
        (["green", "red", "green", "red"], ["red", "green", "red"]),
    ],
    ids=" ".join,
)
def test_red_and_back_to_green_are_told_and_the_same_status_never_twice(log, hook, statuses, told):
    alerts = Alerts(log, hook.url, 0)
    results = [tell(alerts, status) for status in statuses]
    assert [call["title"] for call in hook.calls] == [f"it is {status}" for status in told]
    assert [one.status for one in results if one] == told
    assert states(log)[-1][0] == statuses[-1]


def test_other_statuses_are_told_when_they_are_asked_for_but_a_first_one_only_when_red(log, hook):
    alerts = Alerts(log, hook.url, 0, notify=("red", "green", "amber", "insufficient data"))
    for status in ("amber", "insufficient data", "amber", "red", "green"):
        tell(alerts, status)
    assert hook.told == [
        ("it is insufficient data", "info"), ("it is amber", "warning"), ("it is red", "failure"),
        ("it is green", "success"),
    ]  # fmt: skip


def test_subjects_are_told_apart(log, hook):
    alerts = Alerts(log, hook.url, 6 * HOURS)
    sent = [tell(alerts, "red", subject) for subject in ("drift:v2", "outcomes:v2", "drift:v2")]
    assert [one and (one.subject, one.receivers, one.missing) for one in sent] == [
        ("drift:v2", ("JSON",), {}), ("outcomes:v2", ("JSON",), {}), None,
    ]  # fmt: skip
    assert len(hook.calls) == 2


def test_an_alert_that_no_database_could_hold_is_refused_in_words(log, hook):
    alerts = Alerts(log, hook.url)
    with pytest.raises(LogError, match="status='purple' is unknown"):
        tell(alerts, "purple")
    for subject, title, body in (("", "t", "b"), ("s", " ", "b"), ("s", "t", "\0"), ("s", "t", "\n")):
        with pytest.raises(LogError):
            alerts.consider(subject, "red", title, body)
    assert states(log) == [] and hook.calls == []
    alerts.consider("s", "red", "two\nlines\r\nBcc: x@example.org", "b")
    assert hook.calls[0]["title"] == "two lines Bcc: x@example.org"


# The cool-down


def test_a_change_within_the_cool_down_waits_for_its_end(log, hook, clock):
    alerts = Alerts(log, hook.url, 6 * HOURS)
    tell(alerts, "red")
    clock.wait(1 * HOURS)
    assert tell(alerts, "green") is None
    assert states(log) == [("red", "sent"), ("green", "held")]
    clock.wait(4 * HOURS)
    assert alerts.flush() == [] and len(hook.calls) == 1
    clock.wait(1 * HOURS + 1)
    (sent,) = alerts.flush()
    assert (sent.status, sent.title) == ("green", "it is green")
    assert alerts.flush() == [] and [title for title, _ in hook.told] == ["it is red", "it is green"]


def test_a_change_back_within_the_cool_down_is_not_told(log, hook, clock):
    alerts = Alerts(log, hook.url, 6 * HOURS)
    for status in ("red", "green", "red", "amber", "red"):
        tell(alerts, status)
        clock.wait(60)
    clock.wait(7 * HOURS)
    assert alerts.flush() == [] and len(hook.calls) == 1
    assert states(log)[:3] == [("red", "sent"), ("green", "dropped"), ("red", "dropped")]


def test_of_many_changes_within_the_cool_down_the_last_is_told(log, hook, clock):
    alerts = Alerts(log, hook.url, 6 * HOURS, notify=("red", "amber", "green"))
    for status in ("red", "green", "amber", "green", "amber"):
        tell(alerts, status)
    clock.wait(6 * HOURS + 1)
    alerts.flush()
    assert [title for title, _ in hook.told] == ["it is red", "it is amber"]


def test_a_held_change_that_gave_way_to_a_silent_one_is_not_told(log, hook, clock):
    alerts = Alerts(log, hook.url, 6 * HOURS)
    for status in ("red", "green", "amber"):
        tell(alerts, status)
    clock.wait(7 * HOURS)
    assert alerts.flush() == [] and len(hook.calls) == 1
    tell(alerts, "green")  # from amber, but red is what people were told
    assert [title for title, _ in hook.told] == ["it is red", "it is green"]


def test_the_cool_down_outlives_the_process(log, hook, clock):
    tell(Alerts(log, hook.url, 6 * HOURS), "red")
    assert tell(Alerts(log, hook.url, 6 * HOURS), "green") is None
    clock.wait(7 * HOURS)
    assert [one.status for one in Alerts(log, hook.url, 6 * HOURS).flush()] == ["green"]


# Receivers that are away


def test_a_mail_reaches_everybody_in_its_url(log):
    with listening(MailServer()) as mail:
        Alerts(log, mail.url()).consider("drift:v2", "red", "Drift of model v2 is red", "First line.\n\nÜber <b> & {x}")
        assert [one["To"] for one in mail.mails] == ["a@example.org", "b@example.org"]
        for one in mail.mails:
            assert (one["Subject"], one["From"]) == ("Drift of model v2 is red", "risk@example.org")
            assert one.get_content().splitlines() == ["First line.", "", "Über <b> & {x}"]


def test_a_receiver_that_is_down_is_tried_again_and_nothing_secret_is_written(log, clock, caplog, capsys):
    caplog.set_level(1)
    port = free_port()
    url = f"json://risk:{PASSWORD}@127.0.0.1:{port}/{Webhook.TOKEN}?+X-Key=hidden"
    alerts = Alerts(log, url)
    for logger in ("apprise", "urllib3", ""):
        logging.getLogger(logger).setLevel(1)
    try:
        assert tell(alerts, "red") is None
        (row,) = alert_log.alerts(log)
        assert (row["state"], row["attempts"], row["sent_at"]) == ("pending", 1, None)
        assert row["error"] == "JSON: the connection was refused"
        assert "JSON: the connection was refused; next attempt at 08:00:30 UTC" in caplog.text
        waited = []
        for seconds in (30, 120, 600):
            clock.wait(seconds - 1)
            assert alerts.flush() == [] and alert_log.alerts(log)[0]["attempts"] == len(waited) + 1
            clock.wait(2)
            alerts.flush()
            waited.append(seconds)
        assert alert_log.alerts(log)[0]["attempts"] == 4
        clock.wait(1801)
        with listening(Webhook(port)) as hook:
            assert [one.receivers for one in alerts.flush()] == [("JSON",)]
            assert hook.told == [("it is red", "failure")]
    finally:
        for logger in ("apprise", "urllib3", ""):
            logging.getLogger(logger).setLevel(logging.NOTSET if logger else logging.WARNING)
    (row,) = alert_log.alerts(log)
    assert (row["state"], row["attempts"], row["error"]) == ("sent", 5, None)
    written = caplog.text + "".join(capsys.readouterr()) + everything_stored(log) + repr(alerts.receivers)
    assert [secret for secret in SECRETS if secret in written] == []


def test_who_has_an_alert_does_not_get_it_again_when_another_is_down(log, hook, clock):
    with listening(MailServer()) as mail, listening(Webhook(status=500)) as broken:
        alerts = Alerts(log, [mail.url(), broken.url, hook.url])
        sent = tell(alerts, "red")
        assert sent.receivers == ("E-Mail", "JSON 2")
        assert sent.missing == {"JSON": "it answered with HTTP status 500"}
        clock.wait(31)
        alerts.flush()
        broken.status = 200
        clock.wait(121)
        assert [one.receivers for one in alerts.flush()] == [("JSON",)]
        assert (len(mail.mails), len(broken.calls), len(hook.calls)) == (2, 3, 1)
    assert alert_log.alerts(log)[0]["error"] is None


def test_a_broken_receiver_keeps_nobody_from_the_next_alert(log, hook, clock):
    with listening(Webhook(status=500)) as broken:
        alerts = Alerts(log, [hook.url, broken.url], 6 * HOURS)
        tell(alerts, "red")
        tell(alerts, "green")
        clock.wait(6 * HOURS + 1)
        alerts.flush()
        assert [title for title, _ in hook.told] == ["it is red", "it is green"]
        assert states(log) == [("red", "sent"), ("green", "pending")]


@pytest.mark.parametrize(
    ("server", "reason"),
    [
        (lambda: MailServer(greeting="421 4.3.2 too busy for risk@example.org"), "the mail server refused, code 421"),
        (lambda: Webhook(status=403), "it answered with HTTP status 403"),
    ],
)
def test_why_a_receiver_refused_is_said_in_our_own_words(server, reason):
    with listening(server()) as refusing:
        url = refusing.url if isinstance(refusing, Webhook) else refusing.url()
        assert open_receivers(url)[0].send("title", "body") == reason


def test_a_wrong_password_is_told_without_the_password(capsys, caplog):
    caplog.set_level(1)
    with listening(MailServer()) as mail:
        (receiver,) = open_receivers(mail.url("wr0ngPassw0rd"))
        assert receiver.send("title", "body") == "the mail server refused, code 535"
        assert mail.mails == []
    assert "wr0ngPassw0rd" not in caplog.text + "".join(capsys.readouterr())


def test_a_service_that_breaks_is_a_receiver_not_reached(hook, monkeypatch, caplog):
    def broken(**_):
        raise ValueError(f"{PASSWORD} is no password")

    receivers = open_receivers([hook.url, hook.url])
    monkeypatch.setattr(receivers[0]._service, "send", broken)
    assert [one.send("title", "body") for one in receivers] == [NO_REASON, None]
    assert PASSWORD not in caplog.text


def test_an_alert_that_nobody_ever_got_fails_and_is_told_anew_when_the_status_is_seen_again(log, clock):
    alerts = Alerts(log, f"json://127.0.0.1:{free_port()}/")
    tell(alerts, "red")
    for _ in range(alert_log.MAX_ATTEMPTS):
        clock.wait(alert_log.BACK_OFF[-1] + 1)
        alerts.flush()
    (row,) = alert_log.alerts(log)
    assert (row["state"], row["attempts"]) == ("failed", alert_log.MAX_ATTEMPTS)
    tell(alerts, "red")
    assert states(log) == [("red", "failed"), ("red", "pending")]


def test_back_to_green_is_no_news_when_nobody_heard_of_red(log, clock):
    alerts = Alerts(log, f"json://127.0.0.1:{free_port()}/", 60)
    tell(alerts, "red")
    tell(alerts, "green")
    for _ in range(alert_log.MAX_ATTEMPTS):
        clock.wait(alert_log.BACK_OFF[-1] + 1)
        alerts.flush()
    alerts.flush()
    assert states(log) == [("red", "failed"), ("green", "dropped")]


# Several senders


CONSIDER = """
import os, signal, sys
from creditrisk.monitoring.alerts import Alerts
from creditrisk.monitoring.receivers import Receiver
from creditrisk.serving.log import PredictionLog
url, hook, death = sys.argv[1:]
send = Receiver.send
def dying(self, *what):
    if death == "after":
        send(self, *what)
    os.kill(os.getpid(), signal.SIGKILL)
if death:
    Receiver.send = dying
log = PredictionLog(url)
alerts = Alerts(log, hook, lease_seconds=2 if death else 60)
print("READY", flush=True)
sys.stdin.readline()
alerts.consider("drift:v2", "red", "it is red", "The body.")
log.close()
"""


def another(url: str, hook: str, death: str = "") -> subprocess.Popen:
    """A process that is about to tell of red; `death`: it is killed before or after it sends."""
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", CONSIDER, url, hook, death]
    process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
    assert process.stdout.readline() == "READY\n", process.communicate()[1]
    return process


@pytest.mark.parametrize("empty_urls", [pytest.param("sqlite", marks=pytest.mark.soak), "postgresql"], indirect=True)
def test_of_several_processes_one_sends(log, empty_url, hook):
    processes = [another(empty_url, hook.url) for _ in range(3)]
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        _, errors = process.communicate(timeout=60)
        assert (process.returncode, errors) == (0, "")
    assert hook.told == [("it is red", "failure")]
    assert states(log) == [("red", "sent")]


def test_of_several_that_see_a_change_at_once_one_stores_it(log, empty_url, hook):
    def slowly(_):
        time.sleep(0.2)  # so that all have begun before the first has ended
        return alert_log.Judged("red", lambda _: ("it is red", "The body."))

    logs = [PredictionLog(empty_url) for _ in range(3)]
    threads = [threading.Thread(target=alert_log.decide, args=(one, "drift:v2", slowly)) for one in logs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert states(log) == [("red", "pending")]
    for one in logs:
        one.close()


def test_of_several_threads_one_sends(log, hook):
    alert_log.decide(log, "drift:v2", lambda _: alert_log.Judged("red", lambda _: ("it is red", "The body.")))
    alerts = [Alerts(log, hook.url) for _ in range(4)]
    barrier = threading.Barrier(len(alerts))
    threads = [threading.Thread(target=lambda one=one: (barrier.wait(), one.flush())) for one in alerts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert hook.told == [("it is red", "failure")]


@pytest.mark.parametrize(("death", "calls"), [("before", 1), ("after", 2)])
@pytest.mark.parametrize("empty_urls", ["sqlite", pytest.param("postgresql", marks=pytest.mark.soak)], indirect=True)
def test_when_the_sender_is_killed_another_sends(log, empty_url, hook, death, calls):
    process = another(empty_url, hook.url, death)
    process.communicate("go\n", timeout=60)
    assert process.returncode == -9
    assert len(hook.calls) == calls - 1
    alerts = Alerts(log, hook.url)
    alerts.flush()
    assert len(hook.calls) == calls - 1, "the lease of the dead is still on"
    deadline = time.monotonic() + 30
    while not (sent := alerts.flush()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert [one.status for one in sent] == ["red"]
    assert hook.told == [("it is red", "failure")] * calls, "at least once: who died could not say that it had sent"
    (row,) = alert_log.alerts(log)
    assert (row["state"], row["attempts"]) == ("sent", 2)


def test_a_sender_that_was_taken_for_dead_does_not_undo_what_the_next_did(log, hook, clock):
    alerts = Alerts(log, hook.url)
    alert_log.decide(log, "drift:v2", lambda _: alert_log.Judged("red", lambda _: ("t", "b")))
    late = alert_log.claim(log, "slow", 60)
    clock.wait(61)
    assert len(alerts.flush()) == 1
    alert_log.note(log, late, ["Nobody"], 60)
    alert_log.finish(log, late, [], "Slack: the connection was refused")
    (row,) = alert_log.alerts(log)
    assert (row["state"], row["error"], row["delivered"], row["owner"]) == ("sent", None, ["JSON"], None)


@pytest.mark.parametrize("empty_urls", [pytest.param("sqlite", marks=pytest.mark.soak), "postgresql"], indirect=True)
def test_predictions_are_logged_while_a_receiver_does_not_answer(log):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        alerts = Alerts(log, f"json://127.0.0.1:{silent.getsockname()[1]}/?rto=3&cto=3")
        thread = threading.Thread(target=tell, args=(alerts, "red"))
        thread.start()
        silent.settimeout(30)
        connection, _ = silent.accept()  # now it is sending
        begun = time.monotonic()
        record = PredictionRecord(*MODEL, "retail", "production", "api", {}, {}, 0.5, 600, "Good")
        log.append([record])
        assert thread.is_alive() and time.monotonic() - begun < 2
        thread.join(timeout=30)
        connection.close()
    assert alert_log.alerts(log)[0]["error"] == "JSON: there was no answer in time"


# Drift


def report(log: PredictionLog, bucket: int, status: str, flagged: tuple[str, ...] = ("income",)) -> None:
    """Store what an automatic check of a window stores."""
    model = {"model_version": MODEL[0], "model_sha256": MODEL[1]}
    with log.writing() as connection:
        connection.execute(sa.insert(CHECKS).values(
            **model, bucket=bucket, first_sequence=bucket * 100 - 99, last_sequence=bucket * 100, status="done",
            created_at=datetime.now(UTC), attempts=1,
        ))  # fmt: skip
    content = {"status": status, "rows": 100, "flagged": list(flagged), "columns": [{"new_mean": 48_111.5}]}
    record = ReportRecord(n=100, status=status, flagged=len(flagged), report=content)
    log.store_report(record, **model, trigger="automatic", window_key=f"bucket-{bucket}")


def test_drift_is_told_when_the_second_window_in_a_row_is_flagged_and_when_it_is_over(log, hook):
    alerts = Alerts(log, hook.url, 0)
    told = []
    for bucket, status in enumerate(["green", "amber", "green", "amber", "red", "red", "green"], start=8):
        report(log, bucket, status)
        sent = consider_drift(alerts, log, *MODEL)
        told.append(sent and sent.status)
    assert told == [None, None, None, None, "red", None, "green"]
    first, last = (call["message"] for call in hook.calls)
    assert hook.calls[0]["title"] == "creditrisk: drift of model v2 is red"
    assert "the last 2 windows in a row were flagged" in first and "window 12 of 100 predictions" in first
    assert "Columns: income." in first and "What to do" in first and "look like its baseline again" in last
    assert "48" not in first + last, "no value of any applicant"
    (row, *_) = alert_log.alerts(log)
    assert (row["subject"], row["model_version"], row["model_sha256"]) == ("drift:v2", *MODEL)


def test_drift_is_told_whatever_the_order_in_which_windows_were_checked(log, hook):
    alerts = Alerts(log, hook.url, 0)
    for bucket, status in ((1, "green"), (3, "amber"), (2, "amber")):
        report(log, bucket, status)
        consider_drift(alerts, log, *MODEL)
    assert states(log) == [("green", "dropped"), ("amber", "dropped"), ("red", "sent")]


def test_drift_is_judged_by_the_number_of_a_window_and_needs_no_old_ones(log, hook):
    for bucket, status in ((9, "green"), (99, "amber"), (100, "amber")):
        report(log, bucket, status)
    with log.reading() as connection:
        assert alert_log.drift_windows(connection, *MODEL) == [(100, "amber"), (99, "amber")]
        assert alert_log.drift_windows(connection, "v1", "a" * 64) == []
    assert consider_drift(Alerts(log, hook.url), log, *MODEL).status == "red"


def test_a_message_names_a_few_columns_and_counts_the_rest(log, hook):
    many = tuple(f"column_{number}" for number in range(1, 12))
    report(log, 1, "red", many)
    report(log, 2, "red", many)
    consider_drift(Alerts(log, hook.url), log, *MODEL)
    assert "column_8 and 3 more." in hook.calls[0]["message"] and "column_9" not in hook.calls[0]["message"]


def eventually(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_the_worker_tells_at_once_and_makes_up_for_what_another_process_did_not_get_round_to(log, hook):
    report(log, 1, "amber")
    worker = AlertWorker(Alerts(log, hook.url, 0), log, every=0.1)
    worker.look_at(*MODEL)
    worker.start()
    eventually(lambda: states(log) == [("amber", "dropped")])
    report(log, 2, "amber")  # stored by a process that has died since
    eventually(lambda: [status for status, _ in states(log)] == ["amber", "red"])
    eventually(lambda: hook.told == [("creditrisk: drift of model v2 is red", "failure")])
    worker.stop()
    assert not worker._thread.is_alive()


def test_the_worker_outlives_a_log_that_is_away(tmp_path, hook, caplog):
    url = f"sqlite:///{tmp_path / 'p.db'}"
    migrate(url)
    log = PredictionLog(url)
    os.rename(tmp_path / "p.db", tmp_path / "away.db")
    worker = AlertWorker(Alerts(log, hook.url, 0), log, every=0.05)
    worker.look_at(*MODEL)
    worker.start()
    eventually(lambda: "alerts are held up until the prediction log answers" in caplog.text)
    time.sleep(0.3)
    assert caplog.text.count("held up") == 1
    os.rename(tmp_path / "away.db", tmp_path / "p.db")
    report(log, 1, "red")
    report(log, 2, "red")
    worker.look_at(*MODEL)
    eventually(lambda: hook.calls)
    worker.stop()
    log.close()


# Settings and receivers


def test_urls_stand_between_spaces_or_commas_and_keep_commas_of_their_own():
    text = " json://a/x, mailto://u:p@b?to=c@d,e@f\n slack://A/B/C ,xml://h,"
    assert split_urls(text) == ["json://a/x", "mailto://u:p@b?to=c@d,e@f", "slack://A/B/C", "xml://h"]
    assert split_urls(" ,\n") == []


@pytest.mark.parametrize("urls", [f"json://127.0.0.1/ nonsense://{PASSWORD}", PASSWORD, f"mailto://:{PASSWORD}@"])
def test_what_is_no_url_of_apprise_is_refused_without_being_quoted(urls, caplog, capsys):
    caplog.set_level(1)
    with pytest.raises(ParameterError, match="is no URL that apprise understands") as refused:
        open_receivers(urls)
    assert PASSWORD not in str(refused.value) + caplog.text + "".join(capsys.readouterr())


def test_receivers_come_from_a_file_too_which_others_should_not_read(tmp_path, hook, caplog):
    for name, text in (("a.yaml", f"urls:\n  - {hook.url}\n"), ("a.txt", f"# ours\nteam={hook.url}\n")):
        file = tmp_path / name
        file.write_text(text)
        file.chmod(0o600)
        receivers = open_receivers("", file)
        assert [one.name for one in receivers] == ["JSON"] and receivers[0].send("from a file", name) is None
        assert caplog.text == ""
    file.chmod(0o644)
    open_receivers("", file)
    assert "a.txt has mode 0644: others may read the passwords" in caplog.text and PASSWORD not in caplog.text
    assert [call["message"] for call in hook.calls] == ["a.yaml", "a.txt"]


def test_a_file_with_a_wrong_line_is_refused_without_quoting_it(tmp_path, hook, caplog, capsys):
    file = tmp_path / "receivers.txt"
    for text in (f"{hook.url}\nnonsense://{PASSWORD}\n", f"nonsense://{PASSWORD}\n", f"\0{PASSWORD}", ""):
        file.write_text(text)
        file.chmod(0o600)
        with pytest.raises(ParameterError, match="CREDITRISK_ALERT_FILE: .*receivers.txt names") as refused:
            open_receivers("", file)
        assert PASSWORD not in str(refused.value) + caplog.text + "".join(capsys.readouterr())
    with pytest.raises(ParameterError, match="cannot be read: No such file"):
        open_receivers("", tmp_path / "absent.yaml")


def test_the_settings_say_who_is_told_of_what(tmp_path, monkeypatch, settings_in, hook):
    url = f"sqlite:///{tmp_path / 'p.db'}"
    migrate(url)
    log = PredictionLog(url)
    assert open_alerts(log, reload_settings()) is None
    monkeypatch.setenv("CREDITRISK_ALERT_URLS", hook.url)
    monkeypatch.setenv("CREDITRISK_ALERT_ON", "amber, red")
    monkeypatch.setenv("CREDITRISK_ALERT_COOL_DOWN", "0")
    chosen = reload_settings()
    assert PASSWORD not in repr(chosen)
    alerts = open_alerts(log, chosen)
    for status in ("red", "amber", "green"):
        tell(alerts, status)
    assert [title for title, _ in hook.told] == ["it is red", "it is amber"]
    monkeypatch.setenv("CREDITRISK_ALERT_ON", "red,yellow")
    with pytest.raises(ParameterError, match="CREDITRISK_ALERT_ON: 'yellow' is no status"):
        open_alerts(log, reload_settings())
    log.close()


def test_serving_does_not_load_the_library_of_receivers_before_one_is_named():
    code = "import sys, creditrisk.service, creditrisk.alert_commands; print('apprise' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"


# The command line


def test_the_command_tries_every_receiver_and_says_which_took_it(monkeypatch, settings_in, hook, capsys):
    with listening(MailServer()) as mail, listening(Webhook(status=401)) as refusing:
        monkeypatch.setenv("CREDITRISK_ALERT_URLS", f"{mail.url()}, {hook.url}")
        reload_settings()
        assert main(["alerts", "test"]) == 0
        assert capsys.readouterr().out == "E-Mail: taken\nJSON: taken\n"
        assert (len(mail.mails), hook.told) == (2, [("creditrisk: a test", "info")])
        monkeypatch.setenv("CREDITRISK_ALERT_URLS", f"{refusing.url} {mail.url('wr0ng')}")
        reload_settings()
        assert main(["alerts", "test"]) == 1
        output = capsys.readouterr()
        assert output.out.splitlines() == [
            "JSON: not reached: it answered with HTTP status 401",
            "E-Mail: not reached: the mail server refused, code 535",
        ]
        assert [secret for secret in (*SECRETS, "wr0ng") if secret in output.out + output.err] == []


def test_the_command_says_what_to_set_when_there_is_no_receiver(settings_in, capsys):
    assert main(["alerts", "test"]) == 2
    assert "set CREDITRISK_ALERT_URLS" in capsys.readouterr().err


def test_the_command_lists_what_was_sent_newest_first(log, empty_url, hook, capsys):
    assert main(["alerts", "list", "--database", empty_url]) == 0
    assert capsys.readouterr().err == "no alerts yet\n"
    alerts = Alerts(log, [hook.url, f"json://{PASSWORD}:x@127.0.0.1:{free_port()}/{Webhook.TOKEN}"], 0)
    for status in ("red", "amber", "green"):
        tell(alerts, status)
    assert main(["alerts", "list", "--database", empty_url]) == 0
    output = capsys.readouterr().out
    head, *rows = (line.split("  ") for line in output.splitlines())
    assert [[cell.strip() for cell in row if cell.strip()][2:6] for row in rows] == [
        ["drift:v2", "amber", "green", "pending"], ["drift:v2", "-", "red", "sent"],
    ]  # fmt: skip
    assert "JSON 2: the connection was refused" in output and PASSWORD not in output and Webhook.TOKEN not in output
    assert main(["alerts", "list", "--all", "--limit", "2", "--json", "--database", empty_url]) == 0
    assert '"status": "amber"' in capsys.readouterr().out


def test_a_log_of_before_there_were_alerts_is_refused_with_what_to_run(tmp_path, capsys):
    url = f"sqlite:///{tmp_path / 'new.db'}"
    assert main(["alerts", "list", "--database", url]) == 2
    assert "creditrisk serve" in capsys.readouterr().err and not Path(tmp_path / "new.db").exists()
