"""The outcomes notebook on a log in which outcomes have matured; its regression is on one in which none has."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import numpy as np

from creditrisk.batch import open_log
from creditrisk.monitoring.outcomes import SELECTION
from creditrisk.runs import run_notebook
from creditrisk.serving.log import OutcomeRecord, PredictionRecord
from unit.models import published

BIGGEST = 2_000_000
"""Bytes of a report."""


def test_a_run_says_what_to_do_and_keeps_every_figure(settings_in) -> None:
    data = published(settings_in.artifacts_dir)["v2"]
    rng = np.random.default_rng(4)
    pds = rng.beta(0.6, 6, 3_000)
    first, rows, seen = datetime(2024, 1, 1, tzinfo=UTC), [], []
    for i, pd in enumerate(pds.tolist()):
        at, inputs = first + timedelta(days=600 * i / len(pds)), {"loan_purpose": ("Home", "Auto")[i % 2]}
        rows.append(
            PredictionRecord(
                data.version, data.sha256, "retail", "production", "api", inputs, {}, pd, 700, "Good", created_at=at
            )
        )
        if rng.random() < 0.95:
            bad = int(rng.random() < 1.7 * pd)
            seen.append(OutcomeRecord(bad, at + timedelta(days=367), prediction_id=rows[-1].prediction_id))
    log = open_log()
    log.append(rows)
    log.add_outcomes(seen)
    log.close()
    asked = {"model": "v2", "as_of": "2025-07-01", "segment": "loan_purpose"}
    outcome = run_notebook("outcomes", asked, progress=False)
    assert outcome.ok, outcome.error
    result = json.loads(outcome.folder.file("result.json").read_text())
    assert result["verdict"] == "recalibrate" and "PDs are too low" in result["reasons"][0]
    assert result["headline"].startswith("outcomes: recalibrate; 6 of 18 vintages judged")
    assert result["warnings"][0].startswith(SELECTION) and set(result["segments"]) == {"Auto", "Home"}
    assert result["cohorts"][0]["n"] > 0 and result["cohorts"][6]["n"] is None
    page = outcome.folder.file("report.html").read_text()
    assert "Verdict: recalibrate." in page and "blind to concept drift" in page
    assert len(page) < BIGGEST
