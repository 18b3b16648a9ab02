"""What the prediction log costs the one thread that writes it: CPU of a transaction on fully synced SQLite.

Held against the bare driver in the same run, which is given the finished rows: it makes no records, writes no JSON and
looks for no keys.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from creditrisk.serving.log import PredictionLog, PredictionRecord, migrate

MOST = 4.0
"""Times the CPU of the bare driver, for a transaction of any size."""
SIZES = (1, 4, 8, 16, 32)
REPEATS = 100

INPUTS = {
    "age": 38, "income": 1_200_000.0, "loan_amount": 1_500_000.0, "loan_tenure_months": 24,
    "avg_dpd_per_delinquency": 0.0, "delinquency_ratio": 10.5, "credit_utilization_ratio": 30.25,
    "num_open_accounts": 2, "residence_type": "Owned", "loan_purpose": "Personal", "loan_type": "Unsecured",
}  # fmt: skip
FEATURES = {**{name: value for name, value in INPUTS.items() if not isinstance(value, str)}, "loan_to_income": 1.25}
REASONS = [
    {"feature": "credit_utilization_ratio", "text": "Much of the available credit is in use", "weight": 0.7342371},
    {"feature": "loan_to_income", "text": "The loan is large for the income", "weight": 0.41230045},
    {"feature": "delinquency_ratio", "text": "Payments were late in many months", "weight": 0.20981},
    {"feature": "num_open_accounts", "text": "Few accounts are open", "weight": 0.0812},
]


def some(count: int, key: Callable[[], str | None]) -> list[PredictionRecord]:
    """Records as the API makes them, each with its own id and, with `key`, its own application."""
    moment = datetime.now(UTC)  # one for all of a transaction
    return [
        PredictionRecord(
            model_version="v2",
            model_sha256="b" * 64,
            portfolio="retail",
            purpose="production",
            source="api",
            inputs=INPUTS,
            features=FEATURES,
            pd=0.0821734,
            score=850,
            rating="Excellent",
            reasons=REASONS,
            grade="B2",
            dedupe_key=(made := key()) and f"app:v2:{'b' * 16}:{made}",
            application_id=made,
            caller="branch-7",
            latency_ms=1.25,
            decision="approve",
            policy="2026-01",
            created_at=moment,
        )
        for _ in range(count)
    ]


@pytest.fixture
def log(tmp_path: Path) -> Iterator[PredictionLog]:
    url = f"sqlite:///{tmp_path / 'predictions.db'}"
    migrate(url)
    log = PredictionLog(url)
    yield log
    log.close()


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[Callable[[list[PredictionRecord]], float]]:
    """Stores finished rows in a database of its own with the same tables; returns its CPU seconds."""
    migrate(f"sqlite:///{tmp_path / 'bare.db'}")
    connection = sqlite3.connect(tmp_path / "bare.db", isolation_level=None)
    for pragma in ("synchronous=FULL", "wal_autocheckpoint=4000", "cache_size=-16000"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute("INSERT INTO prediction_counters VALUES ('v2', ?, 0, 0)", ("b" * 64,))
    names = [*(item.name for item in fields(PredictionRecord)), "sequence"]
    insert = f"INSERT INTO predictions ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"
    count = "UPDATE prediction_counters SET n = n + ? WHERE model_version = 'v2' AND model_sha256 = ? RETURNING n"

    def store(records: list[PredictionRecord]) -> float:
        rows = []
        for number, record in enumerate(records):
            row = [getattr(record, name) for name in names[:-1]]
            row = [json.dumps(value) if isinstance(value, dict | list) else value for value in row]
            row[names.index("created_at")] = record.created_at.isoformat(" ")
            rows.append((*row, number))
        began = time.thread_time()
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(count, (len(rows), "b" * 64)).fetchall()
        connection.executemany(insert, rows)
        connection.execute("COMMIT")
        return time.thread_time() - began

    yield store
    connection.close()


@pytest.mark.parametrize("keyed", [False, True], ids=["without-keys", "with-application-ids"])
def test_the_log_costs_little_more_than_the_database_under_it(log, bare, keyed):
    ids = np.random.default_rng(1)
    key = (lambda: f"A-{ids.integers(1 << 48):x}") if keyed else (lambda: None)
    for store in (log.append, bare):
        store(some(5_000, key))  # some history, and warm statements
    cpu: dict[int, list[float]] = {size: [] for size in SIZES}
    wall: dict[int, list[float]] = {size: [] for size in SIZES}
    driver: dict[int, list[float]] = {size: [] for size in SIZES}
    for _ in range(REPEATS):
        for size in SIZES:
            began, clock = time.thread_time(), time.perf_counter()
            log.append(some(size, key))
            cpu[size].append(time.thread_time() - began)
            wall[size].append(time.perf_counter() - clock)
            driver[size].append(bare(some(size, key)))
    # The quarter of transactions that other programs disturbed least.
    quiet = {size: np.quantile(cpu[size], 0.25) for size in SIZES}
    floor = {size: np.quantile(driver[size], 0.25) for size in SIZES}
    per_row, per_transaction = np.polyfit(SIZES, list(quiet.values()), 1)
    told = "with" if keyed else "without"
    print(f"\n{told} application ids: {per_transaction * 1e6:.0f} us + {per_row * 1e6:.1f} us per row of CPU")
    for size in SIZES:
        ratio = quiet[size] / floor[size]
        print(f"  {size:>3} rows: {quiet[size] * 1e6:6.0f} us CPU, {ratio:.2f} of the driver's, "
              f"{np.median(wall[size]) * 1e6:6.0f} us wall")  # fmt: skip
        assert ratio <= MOST
