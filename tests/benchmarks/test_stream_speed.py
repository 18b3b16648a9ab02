"""A million applications, Parquet to Parquet, against the least that this takes. `make bench` runs and prints it."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from creditrisk.data.sample import make_applications
from creditrisk.modelling.attempts import Attempt, fit_attempt
from creditrisk.serving.model import make_test_vectors, save_models
from unit.models import RETAIL, small_models, small_training

ROWS = 1_000_000
MOST = 1.5
"""Times the sum of reading, predicting and writing."""
MEMORY = 1_000
"""Megabytes that the process holds at most, libraries included."""
TREES = {"v2": (450, 2), "v3": (300, 4)}
"""Trees and their depth: of many small ones, and of fewer large ones."""

MEASURED = """
import json, resource, sys, time
from pathlib import Path

import pyarrow.parquet as pq

from creditrisk.serving.model import load_model
from creditrisk.serving.stream import score_stream

data, source, target = load_model(sys.argv[1], sys.argv[2]), sys.argv[3], sys.argv[4]
pairs = []


def seconds(action):
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


totals = score_stream(data, source, target)  # once for nothing: what is read and imported at the first use is there
memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
if (status := Path("/proc/self/status")).exists():  # on Linux the other figure begins with that of the parent process
    memory = next(int(line.split()[1]) / 1024 for line in status.open() if line.startswith("VmHWM"))

from creditrisk.data.tables import check_applications, to_columns
from creditrisk.modelling.pd_model import as_float32

book = data.portfolio
frame = check_applications(pq.read_table(source).to_pandas(), book, source).frame
columns = data.columns(to_columns(frame, list(book.inputs), book))
matrix = as_float32(data.model.design.matrix(columns))
booster, output = data.model.model._booster, pq.read_table(target)
needed = pq.read_schema(source).names
for _ in range(5):
    whole = seconds(lambda: score_stream(data, source, target))
    read = seconds(lambda: pq.read_table(source, columns=needed))
    predict = seconds(lambda: booster.inplace_predict(matrix, predict_type="margin"))
    write = seconds(lambda: pq.write_table(output, target + ".bare.parquet"))
    pairs.append((whole, read, predict, write))
print(json.dumps({"scored": totals.scored, "memory": memory, "pairs": pairs}))
"""


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory) -> str:
    """Tree models of two shapes."""
    training, made = small_training(), {}
    rows = training.part("train")
    inputs = {name: rows.columns[name] for name in RETAIL.inputs}
    base = small_models()["v2"]
    for version, (trees, depth) in TREES.items():
        attempt = Attempt(4, "xgboost", params={"n_estimators": trees, "max_depth": depth})
        fitted = fit_attempt(attempt, rows, training.candidates, RETAIL, 42)
        model = replace(base.model, design=fitted.design, model=fitted.model)
        vectors = make_test_vectors(model, inputs, rows.columns)
        made[version] = replace(base, version=version, model=model, test_vectors=vectors)
    folder = str(tmp_path_factory.mktemp("artifacts"))
    save_models(folder, made, "v2")
    return folder


@pytest.fixture(scope="module")
def applications(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("applications") / "applications.parquet"
    make_applications(ROWS).to_parquet(path, index=False)
    return path


@pytest.mark.parametrize("version", TREES)
def test_a_million_rows_cost_little_more_than_reading_predicting_and_writing(
    artifacts, applications, version, tmp_path
) -> None:
    """In a process of its own, which has all threads for both; each try of one beside a try of the other."""
    command = [sys.executable, "-c", MEASURED, version, artifacts, str(applications), str(tmp_path / "out.parquet")]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found = json.loads(done.stdout.splitlines()[-1])
    whole, read, predict, write = (min(of_one) for of_one in zip(*found["pairs"], strict=True))
    ratio = whole / (read + predict + write)
    trees, depth = TREES[version]
    print(
        f"\n{ROWS:,} rows, {trees} trees of depth {depth}: {whole:.2f} s, {ratio:.2f} times read {read:.2f} + "
        f"predict {predict:.2f} + write {write:.2f}; {ROWS / whole / 1e6:.2f} million rows/s, "
        f"{found['memory']:.0f} MB at most"
    )
    assert found["scored"] == ROWS
    assert found["memory"] < MEMORY
    assert ratio <= MOST
