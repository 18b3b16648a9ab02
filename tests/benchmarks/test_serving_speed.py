"""What an answer costs, logged and with reasons, against a constant from a bare FastAPI app. `make bench` prints it.

Both are served by one uvicorn process of the same settings, and take turns under the same load in one run: 8
connections from another process. The log is SQLite with a full sync for every commit; every hundred is checked.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from creditrisk.data.sample import make_book
from creditrisk.data.tables import prepare_book
from creditrisk.modelling import train
from creditrisk.modelling.attempts import Attempt, Clock, CrossValidation, fit_attempt
from creditrisk.release import make_model_data
from creditrisk.serving.contract import example_application
from creditrisk.serving.model import save_models
from servers import free_port, wait_until_it_answers
from unit.models import RETAIL

SHARE_OF_A_CONSTANT = {"v1": 0.45, "v2": 0.25}
"""Predictions per second are at least this share of the constant's requests per second ..."""
HEALTH = 0.8
"""... and /health at least this."""
ROUNDS = 3
LIKE_SHIPPED = {
    "v1": Attempt(3, "logistic", params={"max_bins": 12, "min_share": 0.02}),
    "v2": Attempt(4, "xgboost", params={"n_estimators": 450, "max_depth": 2, "learning_rate": 0.09}),
}
"""About what tuning ships on the embedded book."""
BARE = """
from fastapi import FastAPI

app = FastAPI()


@app.get("/constant")
async def constant():
    return {"status": "ok"}
"""


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("artifacts")
    book = prepare_book(make_book(20_000).tables, RETAIL)
    training = train.begin(book, train.split_book(book, "auto", 42), 42)
    folds = CrossValidation(training.part("train"), training.candidates, RETAIL, 2, 42)
    found = {}
    for version, attempt in LIKE_SHIPPED.items():
        model = fit_attempt(attempt, training.part("train"), training.candidates, RETAIL, 42)
        fitted = train.judge(training, attempt, model, folds.out_of_fold(attempt), Clock())
        found[version] = make_model_data(version, fitted, "", training, "a-run")
    save_models(str(folder), found, "v2")
    return folder


@pytest.fixture(scope="module")
def addresses(models: Path, tmp_path_factory) -> Iterator[dict[str, str]]:
    """The bare app and a service for each version, by name."""
    home = tmp_path_factory.mktemp("home")
    (home / "bare.py").write_text(BARE)
    clean = {name: value for name, value in os.environ.items() if not name.startswith("CREDITRISK_")}
    commands = {"constant": [
        sys.executable, "-m", "uvicorn", "bare:app", "--log-level", "warning", "--no-access-log", "--no-server-header",
    ]}  # fmt: skip
    for version in LIKE_SHIPPED:
        commands[version] = [sys.executable, "-m", "creditrisk.cli", "serve", "--model", version]
    with ExitStack() as stack:
        found = {}
        for name, command in commands.items():
            port = free_port()
            environment = clean | {
                "CREDITRISK_HOME": str(home), "CREDITRISK_ARTIFACTS": str(models),
                "CREDITRISK_DATABASE_URL": f"sqlite:///{home / f'{name}.db'}",
            }  # fmt: skip
            output = home / f"{name}.txt"
            with output.open("wb") as file:
                started = [*command, "--port", str(port)]
                process = subprocess.Popen(started, cwd=home, env=environment, stdout=file, stderr=subprocess.STDOUT)
            stack.callback(process.wait)
            stack.callback(process.kill)
            found[name] = f"http://127.0.0.1:{port}"
            wait_until_it_answers(found[name] + ("/constant" if name == "constant" else "/ready"), process, output)
        yield found


def loaded(url: str, body: bytes | None = None) -> dict:
    """What a load from a process of its own gives."""
    asked = "import json, sys; from benchmarks.load import load; from dataclasses import asdict; "
    asked += "print(json.dumps(asdict(load(sys.argv[1], sys.stdin.buffer.read() or None))))"
    tests = Path(__file__).resolve().parents[1]
    done = subprocess.run(
        [sys.executable, "-c", asked, url], input=body or b"", capture_output=True, timeout=60, cwd=tests, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


def test_predictions_with_reasons_and_log_per_second_as_a_share_of_a_constant(addresses) -> None:
    body = json.dumps(example_application(RETAIL)).encode()
    asked = {"constant": ("constant", "/constant", None), "health": ("v1", "/health", None)}
    asked |= {version: (version, "/predict", body) for version in LIKE_SHIPPED}
    best: dict[str, dict] = {}
    for _ in range(ROUNDS):  # in turns: what else the machine does hits all alike
        for name, (server, path, sent) in asked.items():
            found = loaded(addresses[server] + path, sent)
            if name not in best or found["per_second"] > best[name]["per_second"]:
                best[name] = found
    constant = best["constant"]["per_second"]
    print()
    for name, found in best.items():
        print(
            f"{name}: {found['per_second']:,.0f} requests/s, {found['per_second'] / constant:.2f} of the constant's; "
            f"median {found['median']:.2f} ms, p99 {found['p99']:.2f} ms"
        )
    assert best["health"]["per_second"] >= HEALTH * constant
    for version, share in SHARE_OF_A_CONSTANT.items():
        assert best[version]["per_second"] >= share * constant, version
