"""A report on the outcomes of 100,000 predictions, held against reading the same two tables plainly in the same run."""

from __future__ import annotations

import time
import tracemalloc
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa

from creditrisk.monitoring.outcomes import judge
from creditrisk.serving.log import OutcomeRecord, PredictionLog, PredictionRecord, migrate
from unit.models import published

ROWS = 100_000
MOST_SECONDS = 10.0
MOST_TIMES = 20.0
"""Times a plain read of these columns by the bare driver; the report also finds which outcomes and decisions count."""
MOST_MEGABYTES = 40.0
INPUTS = {"age": 38, "income": 1_200_000.0, "loan_purpose": "Personal", "loan_type": "Unsecured"}
AS_OF = datetime(2026, 6, 1, tzinfo=UTC)


def fill(log: PredictionLog, version: str, sha256: str) -> None:
    rng = np.random.default_rng(1)
    pds = rng.beta(0.6, 6, ROWS)
    bad = rng.random(ROWS) < pds
    for start in range(0, ROWS, 5_000):
        rows, seen = [], []
        for i in range(start, start + 5_000):
            at = AS_OF - timedelta(days=850 * (1 - i / ROWS))
            values = {"created_at": at, "inputs": INPUTS, "features": INPUTS, "decision": "approve", "source": "api"}
            values |= {"purpose": "production", "score": 700, "rating": "Good", "pd": float(pds[i])}
            rows.append(PredictionRecord(version, sha256, "retail", **values))
            if at + timedelta(days=367) < AS_OF:
                seen.append(OutcomeRecord(int(bad[i]), at + timedelta(days=367), prediction_id=rows[-1].prediction_id))
        log.append(rows)
        log.add_outcomes(seen)


def seconds(what) -> float:
    clock = time.perf_counter()
    what()
    return time.perf_counter() - clock


@pytest.mark.timeout(600)
def test_a_report_on_a_hundred_thousand_predictions_takes_seconds(tmp_path: Path, empty_url: str) -> None:
    data = published(tmp_path / "artifacts")["v2"]
    migrate(empty_url)
    log, engine = PredictionLog(empty_url, period=10**9), sa.create_engine(empty_url)
    fill(log, data.version, data.sha256)

    def plainly() -> None:
        with engine.connect() as connection:
            connection.exec_driver_sql("SELECT id, prediction_id, created_at, pd, decision FROM predictions").fetchall()
            connection.exec_driver_sql("SELECT prediction_id, bad, observed_at FROM outcomes").fetchall()

    plain = min(seconds(plainly) for _ in range(3))
    whole = min(seconds(lambda: judge(log, data, as_of=AS_OF)) for _ in range(3))
    by_segment = seconds(lambda: judge(log, data, as_of=AS_OF, segment="loan_purpose"))
    tracemalloc.start()
    report = judge(log, data, as_of=AS_OF)
    peak = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    log.close()
    engine.dispose()
    print(
        f"\n{engine.dialect.name}: {ROWS:,} predictions, {report.pooled.n:,} judged: {whole:.2f} s, "
        f"{whole / plain:.1f} times a plain read; by segment {by_segment:.2f} s; {peak:.0f} MB at most"
    )
    assert report.pooled.n > 50_000
    assert whole < MOST_SECONDS and whole < MOST_TIMES * plain
    assert peak < MOST_MEGABYTES
