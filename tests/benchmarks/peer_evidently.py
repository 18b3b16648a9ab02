"""The peer's side of the drift benchmark; it runs in an environment of its own, with no product code.

`python peer_evidently.py REFERENCE.parquet CURRENT.parquet...` prints a JSON object for each current file: whether any
column is called drifted by the defaults, how many are, and the seconds that the report took.
"""

import json
import sys
import time

import pandas as pd
from evidently import Report
from evidently.presets import DataDriftPreset


def drifted(metric: dict) -> bool:
    """Whether a column's metric is beyond its threshold: distances from it on, p-values below it."""
    config = metric["config"]
    is_p = "p_value" in config["method"]
    return bool(metric["value"] < config["threshold"] if is_p else metric["value"] >= config["threshold"])


def main() -> None:
    reference = pd.read_parquet(sys.argv[1])
    for path in sys.argv[2:]:
        current = pd.read_parquet(path)
        begun = time.perf_counter()
        found = Report([DataDriftPreset()]).run(current, reference).dict()["metrics"]
        seconds = time.perf_counter() - begun
        columns = [drifted(metric) for metric in found if metric["config"]["type"].endswith("ValueDrift")]
        assert len(columns) == len(reference.columns), found[0]
        print(json.dumps({"any": any(columns), "columns": sum(columns), "seconds": seconds}), flush=True)


if __name__ == "__main__":
    main()
