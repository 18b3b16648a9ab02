"""A service tells of drift by itself: two processes, one alert, received by a real mail server and a real webhook."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from receivers import PASSWORD, MailServer, Webhook, listening
from servers import running


@pytest.mark.parametrize("empty_urls", [pytest.param("sqlite", marks=pytest.mark.soak), "postgresql"], indirect=True)
def test_a_service_with_two_workers_tells_once_that_its_predictions_drift(trained, applications, empty_url, tmp_path):
    with listening(Webhook()) as hook, listening(MailServer()) as mail:
        settings = {"CREDITRISK_ALERT_URLS": f"{hook.url} {mail.url()}"}
        with running(1, empty_url, trained.folder, tmp_path, workers=2, settings=settings) as (server,):
            assert "alerts: JSON, E-Mail\n" in server.output.read_text()
            clients = [server.client() for _ in range(4)]  # so that both workers get some
            for place in range(300):
                application = dict(applications[place % 50], age=65)
                clients[place % 4].predict(application)
            deadline = time.monotonic() + 30
            while len(mail.mails) < 2 and time.monotonic() < deadline:
                time.sleep(0.1)
            time.sleep(1)  # time enough for an alert too many
            output = server.stop()
    assert hook.told == [("creditrisk: drift of model v2 is red", "failure")]
    assert [one["Subject"] for one in mail.mails] == ["creditrisk: drift of model v2 is red"] * 2  # to two people
    assert "Columns: " in hook.calls[0]["message"] and "age" in hook.calls[0]["message"]
    assert PASSWORD not in output and Webhook.TOKEN not in output


@pytest.mark.parametrize("empty_urls", ["sqlite", pytest.param("postgresql", marks=pytest.mark.soak)], indirect=True)
def test_a_service_with_a_wrong_setting_of_alerts_does_not_start_and_says_why(trained, empty_url, tmp_path):
    command = [sys.executable, "-m", "creditrisk.cli", "serve", "--artifacts", trained.folder, "--database", empty_url]
    for name, value, said in (
        ("URLS", f"mialto://risk:{PASSWORD}@example.org", "receiver 1 of 1 (mialto://) is no URL that apprise"),
        ("FILE", str(tmp_path / "absent"), "absent cannot be read"),
        ("ON", "yellow", "CREDITRISK_ALERT_ON: 'yellow' is no status"),
    ):
        environment = os.environ | {"CREDITRISK_HOME": str(tmp_path), f"CREDITRISK_ALERT_{name}": value}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == 2 and said in done.stderr and PASSWORD not in done.stdout + done.stderr
