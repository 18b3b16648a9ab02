"""Binning against optbinning: the same columns under the same limits, in turns, in one run. `make bench` prints it.

Both sides get at most 8 bins, at least 5% of all rows in each, and a bad rate that moves in one direction; no levels
are pooled on either side. Everything else is as each of them comes. Their processes take turns at every try, so that
what else the machine does hits both alike.
"""

from __future__ import annotations

import json
import subprocess
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.peer_optbinning import MAX_BINS, MIN_SHARE, read_sample, write_sample
from creditrisk.binning import Bins, WOETransformer, bins_at
from creditrisk.binning.bins import rate_of, shape_of
from creditrisk.binning.fit import column_values
from creditrisk.data.portfolio import load_portfolio
from creditrisk.data.source import EMBEDDED, load_tables
from creditrisk.data.tables import prepare_book, to_columns

PEER_VERSION = "1.0.0"

IV_OF_A_COLUMN = 0.995
"""IV of every column is at least this share of the peer's ..."""
IV_IN_TOTAL = 1.0
"""... and total IV at least equal."""
FIT_OF_BOOKS = 1 / 10
"""Total fit time of the books is at most this share of the peer's BinningProcess ..."""
FIT_OF_A_LONG_COLUMN = 1 / 20
"""... that of one column of LONG rows at most this share of the peer's OptimalBinning ..."""
TRANSFORM = 1 / 5
"""... and transform at most this share, of books and of the long column."""

BOOK_ROWS = 50_000
LONG = 5_000_000
TRIES = 5  # of each, in turns: noise lasts longer than our calls take
SAME = 1e-6  # relative: what rounding may add or take

ROOT = Path(__file__).resolve().parents[2]
PUBLIC_DATA = ROOT.parent / "shared" / "data"
PEER_PYTHON = ROOT / ".bench-venv" / "bin" / "python"
BOOKS = {EMBEDDED: None, "taiwan": PUBLIC_DATA / "taiwan", "german": PUBLIC_DATA / "german"}
"""Where each portfolio's tables are; the embedded book needs none."""


# --- The two sides ----------------------------------------------------------------------------------------------------


class PeerFailed(Exception):
    """The peer's process ended; the message is its last word."""


class Peer:
    """The peer in its own process: see peer_optbinning.py for what may be asked."""

    def __init__(self, log: Path) -> None:
        self._log = log
        script = Path(__file__).with_name("peer_optbinning.py")
        with log.open("w") as errors:
            self._process = subprocess.Popen(
                [PEER_PYTHON, "-I", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True
            )
        self.version = self._answer()["version"]

    def ask(self, do: str, sample: Path, *, alone: bool) -> dict:
        print(json.dumps({"do": do, "sample": str(sample), "alone": alone}), file=self._process.stdin, flush=True)
        return self._answer()

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait(30)

    def _answer(self) -> dict:
        line = self._process.stdout.readline()
        if not line:
            raise PeerFailed((self._log.read_text().strip().splitlines() or ["it said nothing"])[-1])
        return json.loads(line)


@dataclass(frozen=True, repr=False)
class Match:
    """What both sides took and found on one sample: seconds of each try; bins, and IV as either side states it."""

    rows: int
    seconds: dict[str, list[float]]
    ours: dict[str, Bins]
    peers: dict[str, Bins]  # the peer's cuts and groups, with our counts
    iv: pd.Series
    peer_iv: pd.Series

    def best(self, name: str) -> float:
        """Seconds of the fastest try: the one that other work on the machine disturbed least."""
        return min(self.seconds[name])

    @property
    def ratios(self) -> pd.Series:
        """IV as a share of the peer's, by column; 1 where neither found any."""
        return (self.iv / self.peer_iv.where(self.peer_iv > 0)).fillna((self.iv > 0) + 1.0)


def compare(peer: Peer, sample: Path, *, alone: bool = False) -> Match:
    """Fit and transform in turns, the best of TRIES; the first turns warm up and do not count."""
    X, bad = read_sample(sample)
    options = {name: {"rare_rows": 0} for name in X}
    ours = WOETransformer(max_bins=MAX_BINS, min_bin_share=MIN_SHARE, options=options)
    taken: dict[str, list[float]] = {name: [] for name in ("fit", "transform", "peer_fit", "peer_transform")}
    for _ in range(1 + TRIES):
        taken["fit"].append(_seconds(lambda: ours.fit(X, bad)))
        taken["transform"].append(_seconds(lambda: ours.transform(X)))
        taken["peer_fit"].append(peer.ask("fit", sample, alone=alone)["seconds"])
        taken["peer_transform"].append(peer.ask("transform", sample, alone=alone)["seconds"])
    found = peer.ask("found", sample, alone=alone)
    return Match(
        len(X),
        {name: seconds[1:] for name, seconds in taken.items()},
        ours.bins_,
        {name: bins_at(name, column_values(X[name]), bad, _at(X[name], one["bins"]), missing="own")
         for name, one in found.items()},
        pd.Series({name: bins.iv for name, bins in ours.bins_.items()}),
        pd.Series({name: one["iv"] for name, one in found.items()}),
    )  # fmt: skip


def _at(column: pd.Series, bins: list) -> list:
    """Cuts or groups; the peer gives none when all levels are one group."""
    return bins if bins or column.dtype != object else [column.dropna().unique().tolist()]


def _seconds(action: Callable[[], object]) -> float:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a column that cannot be cut says so
        begin = time.perf_counter()
        action()
        return time.perf_counter() - begin


# --- The samples ------------------------------------------------------------------------------------------------------


def write_book(name: str, folder: Path) -> Path:
    """Every column of numbers or levels of a book, besides ids, target and dates."""
    book = load_portfolio(name)
    tables, _ = load_tables(str(BOOKS[name] or ""), book, rows=BOOK_ROWS, seed=42)
    prepared = prepare_book(tables, book)
    used = [
        column
        for column in prepared.frame
        if book.columns[column].kind != "date" and book.columns[column].role not in ("id", "target", "date")
    ]
    write_sample(folder / f"{name}.npz", to_columns(prepared.frame, used, book), prepared.bad)
    return folder / f"{name}.npz"


def write_long_column(folder: Path) -> Path:
    """A ratio without ties that the bad rate rises with; 2% are missing, and those are worse than average."""
    random = np.random.default_rng(42)
    ratio = random.lognormal(0.5, 0.6, LONG)
    missing = random.random(LONG) < 0.02
    bad = random.random(LONG) < 1 / (1 + np.exp(np.where(missing, 1.8, 3.6 - 0.6 * ratio)))
    write_sample(folder / "long.npz", {"ratio": np.where(missing, np.nan, ratio)}, bad)
    return folder / "long.npz"


@pytest.fixture(scope="module")
def peer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    """The running peer; skips with the reason when its environment is not there."""
    if not PEER_PYTHON.exists():
        pytest.skip(f"there is no {PEER_PYTHON.parents[1].name}, the peer's environment; `make bench` makes it")
    try:
        peer = Peer(tmp_path_factory.mktemp("peer") / "errors.txt")
    except PeerFailed as error:
        pytest.skip(f"the peer does not start in {PEER_PYTHON.parents[1].name}: {error}")
    assert peer.version == PEER_VERSION
    yield peer
    peer.close()


@pytest.fixture(scope="module")
def books(peer: Peer, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Match]:
    """What both sides did on every book that is there, printed."""
    folder = tmp_path_factory.mktemp("books")
    there = [name for name, tables in BOOKS.items() if tables is None or tables.exists()]
    matches = {name: compare(peer, write_book(name, folder)) for name in there}
    _print(f"Books, in turns with optbinning {peer.version}, best of {TRIES}", matches)
    absent = [name for name in BOOKS if name not in there]
    if absent:
        print(f"Absent: {', '.join(absent)}")
    return matches


@pytest.fixture(scope="module")
def long_column(peer: Peer, tmp_path_factory: pytest.TempPathFactory) -> Match:
    """What both sides did on one long column, printed."""
    match = compare(peer, write_long_column(tmp_path_factory.mktemp("long")), alone=True)
    _print(f"One column, in turns with optbinning {peer.version}, best of {TRIES}", {"ratio": match})
    return match


# --- The table --------------------------------------------------------------------------------------------------------


def _print(title: str, matches: dict[str, Match]) -> None:
    table = pd.DataFrame({name: _row([match]) for name, match in matches.items()})
    if len(matches) > 1:
        table["all"] = _row(list(matches.values()))
    print(f"\n\n{title}\n{table.to_string()}")
    for name, match in matches.items():
        for column in match.iv.index[match.ratios < 1 - SAME]:
            ours, peers = match.iv[column], match.peer_iv[column]
            print(f"optbinning has more IV: {name}.{column}, {peers:.6f} against {ours:.6f}")


def _row(matches: list[Match]) -> dict[str, str]:
    """The lines of one sample, or of some together, as text."""
    ratios = pd.concat([match.ratios for match in matches])
    better, worse = int((ratios > 1 + SAME).sum()), int((ratios < 1 - SAME).sum())
    iv, peer_iv = (sum(getattr(match, side).sum() for match in matches) for side in ("iv", "peer_iv"))
    bins, peer_bins = (
        sum(one.n_regular for match in matches for one in getattr(match, side).values()) for side in ("ours", "peers")
    )
    certificates = [bins.certificate for match in matches for bins in match.ours.values() if bins.certificate]
    took = {name: sum(match.best(name) for match in matches) for name in matches[0].seconds}
    return {
        "rows": f"{sum(match.rows for match in matches):,}",
        "columns": f"{len(ratios)}",
        "columns better, equal, worse": f"{better}, {len(ratios) - better - worse}, {worse}",
        "worst ratio of IV": f"{ratios.min():.4f}",
        "in column": ratios.idxmin()[:24],
        "IV": f"{iv:.4f}",
        "IV of the peer": f"{peer_iv:.4f}",
        "ratio": f"{iv / peer_iv:.4f}",
        "bins": f"{bins}",
        "bins of the peer": f"{peer_bins}",
        "certificate, least": f"{min(certificates):.4f}",
        "certificate, median": f"{np.median(certificates):.4f}",
        "fit": f"{1000 * took['fit']:,.1f} ms",
        "fit of the peer": f"{1000 * took['peer_fit']:,.1f} ms",
        "fit, times as fast": f"{took['peer_fit'] / took['fit']:.1f}",
        "transform": f"{1000 * took['transform']:,.1f} ms",
        "transform of the peer": f"{1000 * took['peer_transform']:,.1f} ms",
        "transform, times as fast": f"{took['peer_transform'] / took['transform']:.1f}",
    }


# --- What is required -------------------------------------------------------------------------------------------------


def of(books: dict[str, Match], name: str) -> Match:
    if name not in books:
        pytest.skip(f"there are no tables of {name} in {BOOKS[name]}")
    return books[name]


@pytest.mark.parametrize("name", BOOKS)
def test_every_column_of_a_book_has_nearly_all_iv_of_the_peers_or_more(books, name: str) -> None:
    ratios = of(books, name).ratios
    assert ratios[ratios < IV_OF_A_COLUMN].to_dict() == {}


@pytest.mark.parametrize("name", BOOKS)
def test_all_columns_of_a_book_together_have_at_least_the_peers_iv(books, name: str) -> None:
    match = of(books, name)
    assert match.iv.sum() >= IV_IN_TOTAL * match.peer_iv.sum() * (1 - SAME)


@pytest.mark.parametrize("name", BOOKS)
def test_both_sides_measure_iv_alike(books, name: str) -> None:
    """The IV that the peer states is what we count for its cuts and groups."""
    match = of(books, name)
    counted = {column: bins.iv for column, bins in match.peers.items()}
    assert counted == pytest.approx(match.peer_iv.to_dict(), rel=SAME, abs=1e-12)


@pytest.mark.parametrize("name", BOOKS)
@pytest.mark.parametrize("side", ["ours", "peers"])
def test_both_sides_keep_the_limits(books, name: str, side: str) -> None:
    for bins in getattr(of(books, name), side).values():
        goods, bads = np.array(bins.goods), np.array(bins.bads)
        regular = slice(0, bins.n_regular)
        shares = (goods + bads)[regular] / (goods + bads).sum()
        assert bins.n_regular <= MAX_BINS
        assert bins.n_regular == 1 or shares.min() >= MIN_SHARE
        assert shape_of(rate_of(goods, bads)[regular]) in ("ascending", "descending", "flat")


def test_fitting_the_books_takes_a_tenth_of_the_peers_time(books) -> None:
    assert share(books, "fit") <= FIT_OF_BOOKS


def test_transforming_the_books_takes_a_fifth_of_the_peers_time(books) -> None:
    assert share(books, "transform") <= TRANSFORM


def share(books: dict[str, Match], name: str) -> float:
    """Of the peer's time, over all books."""
    return sum(m.best(name) for m in books.values()) / sum(m.best(f"peer_{name}") for m in books.values())


def test_a_long_column_has_nearly_all_iv_of_the_peers_or_more(long_column) -> None:
    assert long_column.ratios.min() >= IV_OF_A_COLUMN


def test_fitting_a_long_column_takes_a_twentieth_of_the_peers_time(long_column) -> None:
    assert long_column.best("fit") / long_column.best("peer_fit") <= FIT_OF_A_LONG_COLUMN


def test_transforming_a_long_column_takes_a_fifth_of_the_peers_time(long_column) -> None:
    assert long_column.best("transform") / long_column.best("peer_transform") <= TRANSFORM
