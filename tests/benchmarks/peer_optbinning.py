"""The peer's side of the binning benchmark: optbinning, which has an environment of its own (`make bench` makes it).

test_binning.py starts this file and sends one request a line; each gets one line of JSON in answer. A request names
what to do and the file that holds the sample: see `Peer`. Both sides read the sample with `read_sample`.
"""

from __future__ import annotations

import json
import os
import sys
import time
import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

MAX_BINS = 8
MIN_SHARE = 0.05
"""Of all rows, missing included: the least that a bin of either side holds."""
TRENDS = ("auto_asc_desc", "ascending", "descending")
"""The first decides for a direction from the look of the pre-bins and is what is timed. As its guess can be wrong,
the peer's IV is that of the best of all three."""


def write_sample(path: Path, columns: Mapping[str, np.ndarray], bad: np.ndarray) -> None:
    """Write a sample without pickles: numbers float64 (n,), text object (n,) with None missing, `bad` 0/1 (n,)."""
    parts = {"names": np.array(list(columns)), "bad": np.asarray(bad, dtype=np.int8)}
    for i, values in enumerate(columns.values()):
        if values.dtype.kind == "f":
            parts[f"values{i}"] = values
        else:
            missing = pd.isna(values)
            parts[f"missing{i}"] = missing
            parts[f"values{i}"] = np.where(missing, "", values).astype(np.str_)
    np.savez(path, allow_pickle=False, **parts)


def read_sample(path: str | Path) -> tuple[pd.DataFrame, np.ndarray]:
    """The columns, float64 or object with None missing, and the outcomes, int8 (n,).

    Equal levels are one object, as they are in a prepared book.
    """
    with np.load(path, allow_pickle=False) as parts:
        columns = {}
        for i, name in enumerate(parts["names"].tolist()):
            values = parts[f"values{i}"]
            if values.dtype.kind != "f":
                levels, codes = np.unique(values, return_inverse=True)
                codes[parts[f"missing{i}"]] = -1
                values = pd.Series(np.append(levels.astype(object), [None])[codes], dtype=object)
            columns[name] = values
        return pd.DataFrame(columns), parts["bad"]


class Peer:
    """Answers requests: `fit`, `transform` and `found` of a frame, and the same of a column alone. Samples are kept."""

    def __init__(self) -> None:
        self.samples: dict[str, tuple[pd.DataFrame, np.ndarray]] = {}
        self.fitted: dict[str, object] = {}

    def fit(self, sample: str, alone: bool = False) -> dict:
        """Seconds of a fit: of BinningProcess for a frame, of OptimalBinning for a column alone."""
        frame, bad = self._read(sample)
        if alone:
            values = frame.iloc[:, 0].to_numpy()
            begin = time.perf_counter()
            self.fitted[sample] = self._one(TRENDS[0]).fit(values, bad)
        else:
            begin = time.perf_counter()
            self.fitted[sample] = self._many(frame, TRENDS[0]).fit(frame, bad)
        return {"seconds": time.perf_counter() - begin}

    def transform(self, sample: str, alone: bool = False) -> dict:
        """Seconds of turning the sample of the last fit into WOE."""
        frame, fitted = self._read(sample)[0], self.fitted[sample]
        values = frame.iloc[:, 0].to_numpy() if alone else frame
        begin = time.perf_counter()
        fitted.transform(values, metric="woe", metric_missing="empirical")
        return {"seconds": time.perf_counter() - begin}

    def found(self, sample: str, alone: bool = False) -> dict:
        """By column: IV and bins (cuts or groups) of the best of TRENDS, the last fit among them."""
        frame, bad = self._read(sample)
        found: dict[str, dict] = {}
        for trend in TRENDS:
            fitted = self.fitted[sample]
            if trend != TRENDS[0]:
                if alone:
                    fitted = self._one(trend).fit(frame.iloc[:, 0].to_numpy(), bad)
                else:
                    fitted = self._many(frame, trend).fit(frame, bad)
            for name in frame:
                column = fitted if alone else fitted.get_binned_variable(name)
                iv = float(column.binning_table.build().loc["Totals", "IV"])
                kept = found.setdefault(name, {"iv": -1.0})
                if iv > kept["iv"]:
                    kept |= {"iv": iv, "bins": [np.asarray(one).tolist() for one in column.splits]}
        return found

    def _read(self, sample: str) -> tuple[pd.DataFrame, np.ndarray]:
        if sample not in self.samples:
            self.samples[sample] = read_sample(sample)
        return self.samples[sample]

    def _many(self, frame: pd.DataFrame, trend: str):
        from optbinning import BinningProcess

        text = [name for name in frame if frame[name].dtype == object]
        own = {name: {"monotonic_trend": trend} for name in frame if name not in text}  # levels go by bad rate
        return BinningProcess(
            list(frame), categorical_variables=text, max_n_bins=MAX_BINS, min_bin_size=MIN_SHARE,
            binning_fit_params=own, n_jobs=1,
        )  # fmt: skip

    def _one(self, trend: str):
        from optbinning import OptimalBinning

        return OptimalBinning(max_n_bins=MAX_BINS, min_bin_size=MIN_SHARE, monotonic_trend=trend)


def main() -> None:
    """Say which version this is, then answer until there are no more requests."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a solver prints is no answer
    warnings.simplefilter("ignore")
    import optbinning

    peer = Peer()
    print(json.dumps({"version": optbinning.__version__}), file=answers, flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        print(json.dumps(getattr(peer, request.pop("do"))(**request)), file=answers, flush=True)


if __name__ == "__main__":
    main()
