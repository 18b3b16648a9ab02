"""The whole of monitoring in one go: a simulated stream drifts, people are told, a challenger is made and promoted."""

from __future__ import annotations

from dataclasses import replace

import pytest

from creditrisk.cli import main
from creditrisk.serving.log import PredictionLog
from creditrisk.serving.model import read_manifest, save_models
from creditrisk.settings import reload_settings
from receivers import MailServer, Webhook, listening
from unit.models import small_models

SOURCE = {"data": "", "rows": 4_000, "split": "auto", "as_of": ""}


@pytest.mark.soak
def test_a_simulated_drift_ends_in_an_alert_and_a_promoted_challenger(settings_in, empty_url, monkeypatch, capsys):
    """On SQLite and on PostgreSQL, with a webhook and a mail server that take the alert."""
    monkeypatch.setenv("CREDITRISK_DATABASE_URL", empty_url)
    models = {v: replace(one, training=one.training | {"source": SOURCE}) for v, one in small_models().items()}
    save_models(settings_in.artifacts_dir, models, "v2")
    with listening(Webhook()) as hook, listening(MailServer()) as mail:
        monkeypatch.setenv("CREDITRISK_ALERT_URLS", f"{hook.url} {mail.url()}")
        monkeypatch.setenv("CREDITRISK_ALERT_COOL_DOWN", "0")
        reload_settings()
        matured = [
            "--per-day",
            "30",
            "--start",
            "2024-06-01",
            "--outcomes",
            "--as-of",
            "2026-06-01",
            "--pd-times",
            "1.6",
        ]
        assert main(["simulate", "--no-progress", "--run", "past", "--n", "9,000", *matured]) == 0
        assert "9,000 reported" in capsys.readouterr().out
        before = len(hook.calls), len(mail.mails)  # a model of 3,000 rows knows its own scores no better than so
        drifting = ["--drift", "income=1.5", "--from", "500", "--n", "1,000"]
        assert main(["simulate", "--no-progress", "--run", "now", *drifting]) == 0
        assert "the first flagged is check 96" in capsys.readouterr().out
        assert [title for title, _ in hook.told[before[0] :]] == ["creditrisk: drift of model v2 is red"]
        assert [one["subject"] for one in mail.mails[before[1] :]] == ["creditrisk: drift of model v2 is red"] * 2
        assert main(["outcomes", "--no-progress", "-p", "as_of", "2026-06-01"]) == 0
        assert hook.told[-1][0] == "Outcomes of model v2: recalibrate"
    assert main(["retrain", "--no-progress", "--as-of", "2026-06-01"]) == 0
    assert "creditrisk promote v3" in capsys.readouterr().err
    assert read_manifest()["aliases"] == {"champion": "v2", "challenger": "v3"}, "a person promotes"
    assert main(["promote", "v3", "--by", "A. Analyst"]) == 0
    assert read_manifest()["aliases"]["champion"] == "v3"
    log = PredictionLog(empty_url)
    assert len(log.outcome_reports()) == 1 and log.counts()["checks"]["done"] == 100
    log.close()
