"""A file scored as a stream: read, checked, scored and written chunk by chunk, however many rows it has.

Rows are accepted and rejected as `check_applications` does it with the whole file, with the same reasons, and scored by
the same arithmetic as a single applicant. A chunk whose rows are all fine, which is the rule, costs a few comparisons a
column; other rows go through `check_applications` itself.

What is kept of the file besides a few chunks: while application ids are compared, 16 bytes a row; after that, the ids
that stand in it more than once.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import tempfile
import uuid
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from math import inf
from pathlib import Path, PurePosixPath
from typing import Any

import fsspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileSystem

from creditrisk.data import tables
from creditrisk.data.features import derive, sources
from creditrisk.data.portfolio import UTMOST, Column, Portfolio
from creditrisk.data.tables import REJECTED_COLUMNS, Applications, check_applications, soft_warnings, whole_as_such
from creditrisk.errors import DataError
from creditrisk.modelling.scorecard import grades_of, ratings_of, scores_of
from creditrisk.serving.log import PredictionLog
from creditrisk.serving.model import ModelData
from creditrisk.serving.policy import Policy
from creditrisk.serving.records import AppendResult
from creditrisk.serving.scorer import Scored, Scorer, file_records

CHUNK_ROWS = 131_072
REASONS_ROWS = 20_000
"""Rows at a time where reasons are wanted: some hundred bytes each."""
LOG_ROWS = 5_000
"""Predictions that are logged in one transaction."""
HASHED_WORDS = 64
"""Words of 8 bytes of an application id that are hashed; longer ones are compared in full where these are equal."""

ADDED, BEFORE, BEFORE_OTHERWISE = "added", "before", "before, other inputs"
"""What a scored file says of a row's prediction in the log: added now; there before, as this model had scored the
application; or there before and made of other inputs, so that it is not the one in the file."""

Progress = Callable[[int, float], None]
"""Called with rows done and the share of the file that this is, 0..1."""


@dataclass(frozen=True)
class Totals:
    """Control totals of a scored file: received = scored + rejected + duplicates.

    `rejections` counts rejected cells by column and reason, `warnings` rows beyond soft limits. With a log, `logged`
    predictions were added and `known` were there already, and `sha256` is the file's.
    """

    file: str
    model: str
    model_sha256: str
    target: str
    rejected_file: str | None
    received: int
    scored: int
    rejected: int
    duplicates: int
    mean_pd: float | None
    ratings: dict[str, int]
    grades: dict[str, int] | None
    rejections: dict[str, int]
    warnings: dict[str, int]
    logged: int | None = None
    known: int | None = None
    sha256: str | None = None

    def to_dict(self) -> dict:
        """Plain data for JSON."""
        return asdict(self)


def score_stream(
    data: ModelData,
    source: str,
    target: str,
    *,
    reasons: bool = False,
    log: PredictionLog | None = None,
    chunk_rows: int = CHUNK_ROWS,
    progress: Progress | None = None,
    run: str = "",
    totals: bool = False,
    policy: Policy | None = None,
    on_logged: Callable[[Scored], None] | None = None,
) -> Totals:
    """Score a file of applications, .parquet, .csv or .csv.gz (paths or fsspec URLs), into another.

    The target holds what `scored_table` holds, with as many columns of reasons as the model gives at most. It appears
    under its name when it is complete, and not at all when something stops the work. Rejected rows go beside it, to
    `<stem>.rejected.parquet` (or .csv), and with `totals` the totals to `<stem>.totals.json`.

    With a `policy` each row has its decision and the policy's version, in the log, too. With a log it has the
    prediction_id under which the log holds its prediction, and in `logged` how that came there (ADDED and so on).

    With a log the whole file is checked before the first prediction is logged. Records are appended LOG_ROWS at a
    time; a file scored again, after all or a part of it was logged, adds what is missing. `on_logged` is called with
    the results of each part that is in the log, with their features.

    Raises DataError for mistakes of the file as a whole, as `check_applications` does, and when more rows are rejected
    than the portfolio allows: then there is a file of rejected rows and no target.
    """
    reader = _reader(source)
    _stop_if_same(source, target)
    with closing(_Outputs(target)) as out:
        rows = min(chunk_rows, REASONS_ROWS) if reasons or log is not None else chunk_rows
        checker = _Checker(data.portfolio, reader, max(int(rows), 1))
        counts = _Counts(data.portfolio, out)
        scorer: _Plain | _Explained = _Plain(data)
        if log is not None:
            for checked, _ in checker.chunks():
                counts.add_checked(checked)
            counts.stop_if_too_many_rejected()
        if reasons or log is not None:
            scorer = _Explained(Scorer(data), log, run, "" if log is None else reader.sha256(), policy)
        with _Behind(out.scored) as written:
            done = 0
            for checked, share in checker.chunks():
                done += checked.received
                if log is None:
                    counts.add_checked(checked)
                scored = scorer.score(checked)
                if log is not None and on_logged is not None:
                    on_logged(scored)
                more = _decided(scored, policy) | scorer.stored
                table = _table(checked, scored, data, data.reasons.most if reasons else 0, more)
                counts.add_scored(scored, table)
                written.write(table)
                if progress is not None:
                    progress(done, share)
        if log is None:
            counts.stop_if_too_many_rejected()
        result = counts.totals(data, reader.name, target, scorer)
        out.publish(result.to_dict() if totals else None)
    return result


# --- Reading ----------------------------------------------------------------------------------------------------------

UNREADABLE = (pa.ArrowException, pd.errors.ParserError, ValueError, OSError, KeyError, EOFError, zlib.error)


class _ParquetReader:
    """A Parquet file. `columns` are names as delivered."""

    def __init__(self, fs, path: str) -> None:
        self._fs, self._path = fs, path
        self.name = PurePosixPath(path).name
        with self._open() as file:
            parquet = pq.ParquetFile(file)
            schema, self._rows = parquet.schema_arrow, parquet.metadata.num_rows
        index = {one for one in (schema.pandas_metadata or {}).get("index_columns", []) if isinstance(one, str)}
        self.columns = [name for name in schema.names if name not in index]  # pandas would take these away, too
        self._texts = {name for name in schema.names if pa.types.is_string(schema.field(name).type)}

    def _open(self):
        return self._fs.open(self._path, "rb")

    def sha256(self) -> str:
        return _sha256(self._open())

    def chunks(self, names: Iterable[str], rows: int, levels: Iterable[str] = ()) -> Iterator[tuple[pa.Table, float]]:
        """Tables of some rows and the share of the file read by then. Text columns in `levels` come as codes."""
        names, done = list(names), 0
        coded = [name for name in levels if name in self._texts]
        try:
            with self._open() as file, pq.ParquetFile(file, read_dictionary=coded) as parquet:
                for batch in parquet.iter_batches(rows, columns=names):
                    done += len(batch)
                    if len(batch):
                        yield pa.Table.from_batches([batch]), done / self._rows
        except UNREADABLE as error:
            raise _unreadable(self.name, error) from None


class _CsvReader:
    """A CSV file, perhaps compressed. Values stay text."""

    def __init__(self, fs, path: str, compressed: bool) -> None:
        self._fs, self._path, self._compressed = fs, path, compressed
        self.name = PurePosixPath(path).name
        self._size = max(fs.size(path) or 1, 1)
        with closing(self._frames(1)) as frames:
            frame, _ = next(frames)
        self._names = ["" if pd.isna(name) else str(name).strip() for name in frame.iloc[0]]
        self.columns = [name for name in self._names if name]

    def sha256(self) -> str:
        return _sha256(self._fs.open(self._path, "rb"))

    def chunks(self, names: Iterable[str], rows: int, levels: Iterable[str] = ()) -> Iterator[tuple[pa.Table, float]]:
        """As of a Parquet file."""
        places = {name: self._names.index(name) for name in names}
        begun = False
        with closing(self._frames(rows)) as frames:
            for frame, share in frames:
                frame = frame if begun else frame.iloc[1:]  # the first row holds the names
                begun = True
                if len(frame):
                    columns = [pa.array(frame[place], type=pa.string(), from_pandas=True) for place in places.values()]
                    yield pa.table(dict(zip(places, columns, strict=True))), share

    def _frames(self, rows: int) -> Iterator[tuple[pd.DataFrame, float]]:
        """As the whole file would be read, the header as a row: rows that are too long are refused."""
        options = {"keep_default_na": False, "encoding": "utf-8-sig", "skipinitialspace": True}
        try:
            with self._fs.open(self._path, "rb") as raw:
                file = gzip.open(raw) if self._compressed else raw  # noqa: SIM115
                for frame in pd.read_csv(file, header=None, dtype=str, chunksize=rows, **options):
                    yield frame, min(raw.tell() / self._size, 1.0)
        except pd.errors.EmptyDataError:
            raise DataError(f"{self.name}: the file is empty") from None
        except UNREADABLE as error:
            raise _unreadable(self.name, error) from None


_Reader = _ParquetReader | _CsvReader


def _reader(source: str) -> _Reader:
    try:
        fs, path = fsspec.core.url_to_fs(source)
    except (ValueError, ImportError) as error:
        raise DataError(f"{source}: cannot be opened: {_first_line(error)}") from None
    if not fs.exists(path) or fs.isdir(path):
        raise DataError(f"{source}: there is no such file")
    kind = _kind(path)
    if not kind:
        raise DataError(f"{PurePosixPath(path).name}: cannot read this kind of file; give .csv, .csv.gz or .parquet")
    if kind != "parquet":
        return _CsvReader(fs, path, kind == "csv.gz")
    try:
        return _ParquetReader(fs, path)
    except UNREADABLE as error:
        raise _unreadable(PurePosixPath(path).name, error) from None


def _kind(path: str) -> str:
    """parquet, csv or csv.gz; empty for anything else."""
    name = PurePosixPath(path).name.lower()
    return next((kind for kind in ("parquet", "csv", "csv.gz") if name.endswith(f".{kind}")), "")


def _unreadable(name: str, error: BaseException) -> DataError:
    return DataError(f"{name}: cannot be read: {_first_line(error)}")


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _sha256(file) -> str:
    with file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _stop_if_same(source: str, target: str) -> None:
    if fsspec.core.url_to_fs(source)[1] == fsspec.core.url_to_fs(target)[1]:
        raise DataError(f"{target}: the scored file would take the place of the applications; give another name")


def _ahead(items: Iterator) -> Iterator:
    """The same items, each made by a thread while the one before is worked on."""
    with ThreadPoolExecutor(1, "read-ahead") as pool:
        coming = pool.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = pool.submit(next, items, None)
            yield item


# --- Columns of a chunk -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Numbers:
    """A column of numbers: float64 (n,) with NaN missing, and which cells cannot be read, bool (n,) or None."""

    values: np.ndarray
    wrong: np.ndarray | None = None
    reasons: np.ndarray | None = None

    @classmethod
    def read(cls, array: pa.ChunkedArray, whole: bool) -> _Numbers:
        if pa.types.is_integer(array.type) or pa.types.is_floating(array.type):
            values = pc.cast(array, pa.float64(), safe=False).to_numpy()
            if pa.types.is_integer(array.type) or not _is_odd(values, whole):
                return cls(values)
            series = pd.Series(values)
        else:
            series = array.to_pandas()
        numbers, reasons = tables._numbers(series, whole)
        wrong = reasons != ""
        values = numbers.to_numpy(dtype=np.float64, na_value=np.nan)
        return cls(values, wrong, reasons) if wrong.any() else cls(values)

    def suspicious(self, column: Column) -> np.ndarray | None:
        """Cells that a check of this column refuses, bool (n,); None when there are none."""
        values = self.values
        lowest = max(-UTMOST, -inf if column.min is None else column.min)
        highest = min(UTMOST, inf if column.max is None else column.max)
        above = -inf if column.above is None else column.above
        low, high = _ends(values)
        if self.wrong is None and low >= lowest and high <= highest and low > above:
            return None
        missing = np.isnan(values)
        fine = (values >= lowest) & (values <= highest) & (values > above)
        for code in column.special:
            fine |= values == code
        if column.role != "input":
            fine |= missing
        if self.wrong is not None:
            fine &= ~self.wrong
        return None if fine.all() else ~fine

    @property
    def filled(self) -> int:
        """Cells that hold something, readable or not."""
        empty = np.isnan(self.values)
        return int((~empty if self.wrong is None else ~empty | self.wrong).sum())

    def take(self, rows: np.ndarray) -> _Numbers:
        return _Numbers(self.values[rows])

    def for_model(self) -> np.ndarray:
        return self.values

    def arrow(self) -> pa.Array:
        return pa.array(self.values, from_pandas=True)


def _is_odd(values: np.ndarray, whole: bool) -> bool:
    """Whether some value is infinite or, of whole numbers, a fraction."""
    if np.isinf(values).any():
        return True
    return whole and not ((np.floor(values) == values) | np.isnan(values)).all()


def _ends(values: np.ndarray) -> tuple[float, float]:
    """The least and the greatest value; NaN for both where there is a NaN."""
    return (float(values.min()), float(values.max())) if len(values) else (np.nan, np.nan)


@dataclass(frozen=True)
class _Levels:
    """A column of levels: their places in `levels`, int32 (n,), -1 where missing or, as `wrong` says, unknown."""

    codes: np.ndarray
    levels: tuple[str, ...]
    wrong: np.ndarray | None = None

    @classmethod
    def read(cls, array: pa.ChunkedArray, column: Column) -> _Levels:
        coded = array.combine_chunks()
        coded = coded if pa.types.is_dictionary(coded.type) else coded.dictionary_encode()
        found = coded.dictionary.to_pandas()
        texts, reasons = tables._levels(pd.Series(found), column)
        place = {level: i for i, level in enumerate(column.levels)}
        codes = np.array([*(place.get(text, -1) for text in texts), -1], dtype=np.int32)
        unknown = np.append(reasons != "", False)
        indices = coded.indices
        if indices.null_count:
            indices = pc.fill_null(indices, len(found))
        indices = indices.to_numpy(zero_copy_only=False)
        return cls(codes.take(indices), column.levels, unknown.take(indices) if unknown.any() else None)

    @classmethod
    def none(cls, rows: int, column: Column) -> _Levels:
        return cls(np.full(rows, -1, dtype=np.int32), column.levels)

    def suspicious(self, column: Column) -> np.ndarray | None:
        """Cells that a check of this column refuses, bool (n,); None when there are none."""
        if column.role == "input":
            bad = self.codes < 0
            return bad if bad.any() else None
        return self.wrong

    def take(self, rows: np.ndarray) -> _Levels:
        return _Levels(self.codes[rows], self.levels)

    def for_model(self) -> pd.Categorical:
        """Compared with a level, or binned, it is what an object array of texts is, without a look at each text."""
        return pd.Categorical.from_codes(self.codes, categories=list(self.levels))

    def texts(self) -> np.ndarray:
        """Text, object (n,), None where missing."""
        return np.array([*self.levels, None], dtype=object)[self.codes]

    def arrow(self) -> pa.Array:
        codes = pa.array(self.codes, mask=self.codes < 0)
        return pa.DictionaryArray.from_arrays(codes, pa.array(self.levels, pa.string()))


# --- Application ids --------------------------------------------------------------------------------------------------


def _id_texts(table: pa.Table, column: str, file: str, before: int) -> pa.Array:
    """Ids as text; missing where they are missing or empty. `before` rows of the file came before these."""
    array = table.column(column)
    if pa.types.is_integer(array.type):  # as floats, which gaps make of them in pandas, long ones would lose digits
        return pc.cast(array, pa.large_string()).combine_chunks()
    plain = tables.id_texts(array.to_pandas().rename(column), file, before + 1)
    texts = pa.array(plain, type=pa.large_string(), from_pandas=True)
    return texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts


_FACTORS = np.random.default_rng(20240229).integers(0, 2**64, HASHED_WORDS, dtype=np.uint64) | np.uint64(1)


def _hashes(texts: pa.Array) -> np.ndarray:
    """A number for each text, uint64 (n,): the same for the same text. Different texts may share one, seldom."""
    if not len(texts):
        return np.empty(0, dtype=np.uint64)
    _, offsets, content = texts.buffers()
    ends = np.frombuffer(offsets, np.int64)[texts.offset : texts.offset + len(texts) + 1]
    begins, lengths = ends[:-1], np.diff(ends)
    bytes_ = np.frombuffer(content or b"", np.uint8)
    hashes = np.zeros(len(texts), dtype=np.uint64)
    width, words = int(lengths.max()), min(-(-int(lengths.max()) // 8), HASHED_WORDS)
    if int(lengths.min()) == width and words < HASHED_WORDS:
        padded = np.zeros((len(texts), 8 * words), dtype=np.uint8)
        padded[:, :width] = bytes_[ends[0] : ends[-1]].reshape(len(texts), width)
        for i in range(words):
            hashes += padded.view(np.uint64)[:, i] * _FACTORS[i]
        return hashes
    for i in range(words):
        word = np.zeros((len(texts), 8), dtype=np.uint8)
        for j in range(8):
            longer = np.flatnonzero(lengths > 8 * i + j)
            word[longer, j] = bytes_[begins[longer] + 8 * i + j]
        hashes += word.view(np.uint64)[:, 0] * _FACTORS[i]
    return hashes


class _Duplicates:
    """Application ids that stand in a file more than once, and in which accepted row each stood first."""

    def __init__(self, reader: _Reader, column: str, rows: int) -> None:
        hashes, before = [], 0
        for table, _ in reader.chunks([column], rows):
            hashes.append(_hashes(_id_texts(table, column, reader.name, before).drop_null()))
            before += len(table)
        every = np.concatenate(hashes) if hashes else np.empty(0, dtype=np.uint64)
        hashes.clear()
        every.sort()
        self._repeated = np.unique(every[1:][every[1:] == every[:-1]])
        self._first: dict[str, int] = {}

    def forget(self) -> None:
        """Begin with the first row again."""
        self._first.clear()

    def find(self, ids: pa.Array, fine: np.ndarray, first_row: int) -> dict[int, int]:
        """Positions of accepted rows whose id an accepted row before has -> number of that row."""
        if not len(self._repeated):
            return {}
        candidates = fine & pc.is_valid(ids).to_numpy(zero_copy_only=False)
        candidates &= np.isin(_hashes(ids.fill_null("")), self._repeated)
        at = np.flatnonzero(candidates)
        found = {}
        for position, text in zip(at.tolist(), ids.take(pa.array(at)).to_pylist(), strict=True):
            first = self._first.setdefault(text, first_row + position)
            if first != first_row + position:
                found[position] = first
        return found


# --- Checking ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Checked:
    """A checked chunk: numbers, ids and columns of the rows accepted, and the cells rejected."""

    rows: np.ndarray
    ids: pa.Array | None
    columns: dict[str, _Numbers | _Levels]
    received: int
    rejected: pd.DataFrame
    duplicates: int


class _Checker:
    """`check_applications`, chunk by chunk. What is wrong with the file as a whole is said at its end."""

    def __init__(self, book: Portfolio, reader: _Reader, chunk_rows: int) -> None:
        self._book, self._file, self._reader, self._chunk_rows = book, reader.name, reader, chunk_rows
        if reader.columns:  # some rows of zeros, to hear what is wrong with the header
            check_applications(_zeros(reader.columns, 2), book, reader.name)
        own = {name: book.wire_names.get(name.strip(), name.strip()) for name in reader.columns}
        self._delivered = {column: name for name, column in own.items()}
        given, inputs = self._delivered.keys(), book.inputs
        self._derived = {
            name: column.derive
            for name, column in inputs.items()
            if name not in given and column.derive and set(sources(column.derive)) <= given
        }
        read = inputs | {s: book.columns[s] for spec in self._derived.values() for s in sources(spec)}
        self._read = {name: column for name, column in read.items() if name in given}
        self._limits = read
        self._id = self._delivered.get(book.application_id, "") if book.application_id else ""
        self._names = [self._delivered[name] for name in self._read]
        self._needed = list(dict.fromkeys([*self._names, *([self._id] if self._id else [])]))
        self._levels = [self._delivered[n] for n, column in self._read.items() if not column.is_numeric]
        self._given = reader.columns
        self._duplicates = _Duplicates(reader, self._id, chunk_rows) if self._id else None
        self._begin()

    def chunks(self) -> Iterator[tuple[_Checked, float]]:
        """The file from its first row on, and the share of it that is read.

        Raises DataError, at the end, when the file has no rows, or a column of a wrong type.
        """
        self._begin()
        chunks = self._reader.chunks(self._needed, self._chunk_rows, self._levels)
        with closing(_ahead(chunks)) as ahead:
            for table, share in ahead:
                yield self._check(table), share
        self._finish()

    def _begin(self) -> None:
        self._received = 0
        self._wrong: Counter[str] = Counter()
        self._filled: Counter[str] = Counter()
        self._first_wrong: dict[str, tuple[int, str, str | None]] = {}
        if self._duplicates:
            self._duplicates.forget()

    def _check(self, table: pa.Table) -> _Checked:
        """Check the next rows of the file."""
        n, before = len(table), self._received
        self._received += n
        columns: dict[str, _Numbers | _Levels] = {}
        for name, column in self._read.items():
            array = table.column(self._delivered[name])
            if column.is_numeric:
                columns[name] = numbers = _Numbers.read(array, column.kind == "integer")
                self._tally(name, numbers, array, before)
            else:
                columns[name] = _Levels.read(array, column)
        for name, spec in self._derived.items():
            columns[name] = _Numbers(derive(spec, {s: columns[s].values for s in sources(spec)}))
        for name, column in self._book.inputs.items():
            if name not in columns:
                none = _Numbers(np.full(n, np.nan)) if column.is_numeric else _Levels.none(n, column)
                columns[name] = none
        found = [columns[name].suspicious(column) for name, column in self._limits.items()]
        suspicious = [one for one in found if one is not None]
        ids = _id_texts(table, self._id, self._file, before) if self._id else None
        fine, rejected = np.ones(n, dtype=bool), _nothing_rejected()
        if suspicious:
            fine, rejected = self._look_closer(table, columns, np.logical_or.reduce(suspicious), ids, before)
        repeated = self._duplicates.find(ids, fine, before + 1) if self._duplicates else {}
        if repeated:
            at = np.array(list(repeated))
            fine[at] = False
            texts = ids.take(pa.array(at)).to_pylist()
            reasons = [f"duplicate of row {first}" for first in repeated.values()]
            parts = {"table": self._file, "row": before + 1 + at, "key": texts, "column": self._book.application_id}
            more = pd.DataFrame(parts | {"value": texts, "reason": reasons})
            both = pd.concat([rejected, more]) if len(rejected) else more
            rejected = both.sort_values("row", kind="stable", ignore_index=True)
        inputs = {name: columns[name] for name in self._book.inputs}
        rows = np.arange(before + 1, before + n + 1)
        if not fine.all():
            rows, inputs = rows[fine], {name: column.take(fine) for name, column in inputs.items()}
            ids = None if ids is None else ids.filter(pa.array(fine))
        return _Checked(rows, ids, inputs, n, rejected, len(repeated))

    def _tally(self, name: str, numbers: _Numbers, array: pa.ChunkedArray, before: int) -> None:
        """Count unreadable cells: more than half of a column, in the file, is a wrong type."""
        self._filled[name] += numbers.filled
        if numbers.wrong is not None:
            self._wrong[name] += int(numbers.wrong.sum())
            if name not in self._first_wrong:
                i = int(np.argmax(numbers.wrong))
                value = tables._text(array.slice(i, 1).to_pandas().iloc[0])
                self._first_wrong[name] = (before + i + 1, str(numbers.reasons[i]), value)

    def _look_closer(
        self, table: pa.Table, columns: dict, suspicious: np.ndarray, ids: pa.Array | None, before: int
    ) -> tuple[np.ndarray, pd.DataFrame]:
        """What `check_applications` says of the suspicious rows: rows that are fine, bool (n,), and rejected cells."""
        at = np.flatnonzero(suspicious)
        frame = table.select(self._names).take(pa.array(at)).to_pandas()
        frame = frame.reset_index(drop=True).set_axis(list(self._read), axis=1)
        wrong = [c.wrong for c in columns.values() if isinstance(c, _Numbers) and c.wrong is not None]
        spare = max((int(one.sum()) for one in wrong), default=0)
        if spare:  # these few rows are not the file: they must not look like a column of a wrong type
            zeros = _zeros(frame.columns, spare)
            numeric = [c for c in frame if pd.api.types.is_numeric_dtype(frame[c]) and frame[c].dtype != bool]
            frame = pd.concat([frame, zeros.astype(dict.fromkeys(numeric, "int64"))], ignore_index=True)
        checked = check_applications(frame, self._book, self._file)
        rejected = checked.rejected[checked.rejected["row"] <= len(at)].reset_index(drop=True)
        positions = at[rejected["row"].to_numpy(dtype=np.int64) - 1]
        rejected["row"] = positions + before + 1
        if ids is not None:
            rejected["key"] = pd.Series(ids.take(pa.array(positions)).to_pylist(), dtype="object")
        fine = ~suspicious
        fine[at[checked.rows[checked.rows <= len(at)] - 1]] = True
        return fine, rejected

    def _finish(self) -> None:
        if not self._received:
            check_applications(pd.DataFrame(columns=self._given), self._book, self._file)
        for name, column in self._read.items():
            wrong, filled = self._wrong[name], self._filled[name]
            if wrong > 0.5 * filled:
                row, reason, value = self._first_wrong[name]
                raise DataError(
                    f"{self._file}, column {name!r}: wrong type: {wrong:,} of {filled:,} values are {reason}, "
                    f"the first in row {row}: {value!r}; the portfolio says kind = {column.kind!r}"
                )


def _zeros(columns: Iterable[str], rows: int) -> pd.DataFrame:
    """Rows that can be read as any number."""
    columns = list(columns)
    return pd.DataFrame([["0"] * len(columns)] * rows, columns=columns)


def _nothing_rejected() -> pd.DataFrame:
    return pd.DataFrame(columns=REJECTED_COLUMNS)


# --- Scoring ----------------------------------------------------------------------------------------------------------


class _Plain:
    """PDs and what follows from them, without reasons."""

    logged = known = sha256 = None
    stored: dict[str, pa.Array] = {}

    def __init__(self, data: ModelData) -> None:
        self._data, self._scale = data, data.portfolio.scale
        self._left_out = () if data.model.left_out is None else data.model.left_out.names
        self._ratings = ratings_of(np.arange(self._scale.low, self._scale.high + 1), self._scale)

    def score(self, checked: _Checked) -> Scored:
        data = self._data
        columns = data.columns(
            {
                name: column.texts() if isinstance(column, _Levels) and name in self._left_out else column.for_model()
                for name, column in checked.columns.items()
            }
        )
        pds = data.model.pd(columns)
        scores = scores_of(pds, self._scale)
        return Scored(
            pd=pds,
            score=scores,
            rating=self._ratings[scores - self._scale.low],  # far fewer than rows
            grade=grades_of(pds, data.portfolio),
            points=None if data.card is None else data.card.total(data.model.design, columns),
            reasons=[],
            features={},
        )


class _Explained:
    """Results with reasons, logged where there is a log, some thousand in a transaction.

    `stored` are columns of the rows scored last: under which prediction_id, and how (`logged`), the log holds them.
    """

    def __init__(
        self, scorer: Scorer, log: PredictionLog | None, run: str, sha256: str, policy: Policy | None = None
    ) -> None:
        self._scorer, self._log, self._run, self._policy = scorer, log, run, policy
        self.stored: dict[str, pa.Array] = {}
        self.sha256 = sha256 or None
        self.logged = self.known = None if log is None else 0

    def score(self, checked: _Checked) -> Scored:
        inputs = {
            name: column.texts() if isinstance(column, _Levels) else column.values
            for name, column in checked.columns.items()
        }
        scored = self._scorer.score(inputs)
        if self._log is not None:
            self._append(checked, inputs, scored)
        return scored

    def _append(self, checked: _Checked, inputs: dict[str, np.ndarray], scored: Scored) -> None:
        frame = pd.DataFrame(inputs)
        ids = None if checked.ids is None else pd.Series(checked.ids.to_pylist(), dtype="object")
        numbers: list[str] = []
        states: list[str] = []
        for start in range(0, len(scored), LOG_ROWS):
            part = slice(start, start + LOG_ROWS)
            some = Applications(
                frame=frame.iloc[part],
                rows=checked.rows[part],
                ids=None if ids is None else ids.iloc[part],
                received=checked.received,
                rejected=checked.rejected,
                rejected_rows=0,
                duplicates=checked.duplicates,
                warnings={},
            )
            records = file_records(
                self._scorer,
                some,
                _rows(scored, part),
                run=self._run,
                file_sha256=self.sha256 or "",
                policy=self._policy,
            )
            added = self._log.append(records)
            numbers += added.prediction_ids
            states += log_states(added)
            self.logged += sum(added.inserted)
            self.known += len(added.inserted) - sum(added.inserted)
        ids_of = pa.array(numbers, pa.string())
        self.stored = {"prediction_id": ids_of, "logged": _coded(np.array(states, dtype=object))}


def log_states(added: AppendResult) -> list[str]:
    """How the log holds each prediction: ADDED, BEFORE, or BEFORE_OTHERWISE."""
    pairs = zip(added.inserted, added.same_inputs, strict=True)
    return [ADDED if new else BEFORE if same else BEFORE_OTHERWISE for new, same in pairs]


def _decided(scored: Scored, policy: Policy | None) -> dict[str, pa.Array]:
    """The policy's decisions as columns; none without a policy."""
    if policy is None:
        return {}
    version = np.full(len(scored), policy.version, dtype=object)
    return {"decision": _coded(policy.decide(scored.pd)), "policy": _coded(version)}


def _rows(scored: Scored, part: slice) -> Scored:
    return Scored(
        pd=scored.pd[part],
        score=scored.score[part],
        rating=scored.rating[part],
        grade=None if scored.grade is None else scored.grade[part],
        points=None if scored.points is None else scored.points[part],
        reasons=scored.reasons[part],
        features={name: values[part] for name, values in scored.features.items()},
    )


class _Counts:
    """Control totals as they grow; rejected rows are written as they are counted."""

    def __init__(self, book: Portfolio, out: _Outputs) -> None:
        self._book, self._out = book, out
        self.received = self._scored = self._rejected = self._duplicates = 0
        self._total_pd = 0.0
        self._rejections: Counter[str] = Counter()
        self._warnings: Counter[str] = Counter()
        self._ratings: Counter[str] = Counter()
        self._grades: Counter[str] = Counter()
        self._first_rejected = ""

    def add_checked(self, checked: _Checked) -> None:
        rejected = checked.rejected
        self.received += checked.received
        self._duplicates += checked.duplicates
        self._rejected += checked.received - len(checked.rows) - checked.duplicates
        self._warnings.update(soft_warnings(self._beyond_soft_limits(checked), self._book))
        if len(rejected):
            for column, reason in zip(rejected["column"], rejected["reason"], strict=True):
                self._rejections[f"{column}: {'duplicate' if reason.startswith(DUPLICATE) else reason}"] += 1
            self._first_rejected = self._first_rejected or tables._first(rejected)
            self._out.rejected.write(pa.Table.from_pandas(rejected, REJECTED_SCHEMA, preserve_index=False))

    def _beyond_soft_limits(self, checked: _Checked) -> pd.DataFrame:
        """The columns of which some row is, perhaps, beyond a soft limit."""
        found = {}
        for name, column in checked.columns.items():
            limits = self._book.columns[name]
            if isinstance(column, _Numbers) and (limits.warn_below is not None or limits.warn_above is not None):
                least, most = (-inf if limits.warn_below is None else limits.warn_below), limits.warn_above
                low, high = _ends(column.values)
                if not (low >= least and (most is None or high <= most)):
                    found[name] = column.values
        return pd.DataFrame(found, copy=False)

    def add_scored(self, scored: Scored, table: pa.Table) -> None:
        self._scored += len(scored)
        self._total_pd += float(scored.pd.sum())
        self._ratings.update(_counted(table.column("rating")))
        if scored.grade is not None:
            self._grades.update(_counted(table.column("grade")))

    def stop_if_too_many_rejected(self) -> None:
        """Raise DataError when there are more than the portfolio allows; the rejected rows are published then."""
        if self._rejected / self.received > self._book.max_reject_share:
            self._out.rejected.publish()
            where = self._out.rejected.place
            told = tables.too_many_rejected(self._rejected, self.received, self._book, where, self._first_rejected)
            raise DataError(told)

    def totals(self, data: ModelData, file: str, target: str, scorer: _Plain | _Explained) -> Totals:
        book = self._book
        return Totals(
            file=file,
            model=data.version,
            model_sha256=data.sha256,
            target=target,
            rejected_file=self._out.rejected.url if self._first_rejected else None,
            received=self.received,
            scored=self._scored,
            rejected=self._rejected,
            duplicates=self._duplicates,
            mean_pd=self._total_pd / self._scored if self._scored else None,
            ratings={rating.name: self._ratings[rating.name] for rating in book.scale.ratings},
            grades={grade.name: self._grades[grade.name] for grade in book.grades} if book.grades else None,
            rejections=dict(self._rejections.most_common()),
            warnings=dict(self._warnings),
            logged=scorer.logged,
            known=scorer.known,
            sha256=scorer.sha256,
        )


def _counted(column: pa.ChunkedArray) -> dict[str, int]:
    """How often each of few texts stands in a column that holds them as codes."""
    coded = column.combine_chunks()
    counts = np.bincount(coded.indices.to_numpy(), minlength=len(coded.dictionary))
    return dict(zip(coded.dictionary.to_pylist(), counts.tolist(), strict=True))


# --- Writing ----------------------------------------------------------------------------------------------------------

DUPLICATE = "duplicate of row"
REJECTED_SCHEMA = pa.schema([(name, pa.int64() if name == "row" else pa.string()) for name in REJECTED_COLUMNS])


def _table(
    checked: _Checked, scored: Scored, data: ModelData, most_reasons: int, more: dict[str, pa.Array]
) -> pa.Table:
    """What the target holds of a chunk: the columns of `scored_table`, with `more` before the reasons."""
    columns: dict[str, pa.Array] = {"row": pa.array(checked.rows)}
    if checked.ids is not None:
        columns["application_id"] = checked.ids
    columns |= {name: column.arrow() for name, column in checked.columns.items()}
    columns |= {"default_probability": pa.array(scored.pd), "credit_score": pa.array(scored.score)}
    if scored.points is not None:
        columns["points"] = pa.array(scored.points)
    columns["rating"] = _coded(scored.rating)
    if scored.grade is not None:
        columns["grade"] = _coded(scored.grade)
    columns |= {"model_version": _repeated(data.version, scored), "model_sha256": _repeated(data.sha256, scored)}
    columns |= more
    for i in range(most_reasons):
        texts = [reasons[i]["text"] if len(reasons) > i else None for reasons in scored.reasons]
        columns[f"reason_{i + 1}"] = _coded(np.array(texts, dtype=object))
    return pa.table(columns)


def _repeated(text: str, scored: Scored) -> pa.Array:
    """One text for every row."""
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(len(scored), dtype=np.int32)), pa.array([text]))


def _coded(names: np.ndarray) -> pa.Array:
    """Few different texts, object (n,), None where missing, as Parquet takes them quickest."""
    codes, found = pd.factorize(names)
    codes = codes.astype(np.int32)
    return pa.DictionaryArray.from_arrays(pa.array(codes, mask=codes < 0), pa.array(found, pa.string()))


class _Output:
    """A file written under another name beside its own, which it gets when it is complete."""

    def __init__(self, url: str, kind: str) -> None:
        self.url, self._kind = url, kind
        self._fs, self._path = fsspec.core.url_to_fs(url)
        self.name = PurePosixPath(self._path).name
        self._local = isinstance(self._fs, LocalFileSystem)
        folder = Path(self._path).parent if self._local else Path(tempfile.gettempdir())
        self._part = folder / f".{self.name}.{uuid.uuid4().hex[:12]}.part"
        self._writer: Any = None

    @property
    def place(self) -> str:
        """The whole path of a local file, else its URL."""
        return self._path if self._local else self.url

    def write(self, table: pa.Table) -> None:
        """Add rows, and the header, too, where they are the first."""
        begun = self._writer is not None
        if not begun:
            self._part.parent.mkdir(parents=True, exist_ok=True)
            self._writer = self._open(table.schema)
        if begun and not len(table):
            return
        if self._kind == "parquet":
            self._writer.write_table(table)
        else:
            whole_as_such(table.to_pandas()).to_csv(self._writer, index=False, header=not begun)

    def _open(self, schema: pa.Schema):
        if self._kind == "csv.gz":
            return gzip.open(self._part, "wt", encoding="utf-8", newline="")
        if self._kind == "csv":
            return open(self._part, "w", encoding="utf-8", newline="")  # noqa: SIM115
        unique = ("row", "application_id", "default_probability", "prediction_id")
        repeated = [name for name in schema.names if name not in unique]
        # Without Arrow's schema beside Parquet's own, codes of texts are read as the texts they stand for.
        return pq.ParquetWriter(self._part, schema, store_schema=False, use_dictionary=repeated)

    def publish(self) -> None:
        """Give the file its name. Where nothing was written, take away what an earlier run left under it."""
        if self._writer is None:
            if self._fs.exists(self._path):
                self._fs.rm_file(self._path)
            return
        self._writer.close()
        if self._local:
            os.replace(self._part, self._path)
            return
        unfinished = f"{self._path}.part"
        self._fs.put_file(str(self._part), unfinished)
        self._fs.mv(unfinished, self._path)
        self._part.unlink()

    def discard(self) -> None:
        """Leave nothing behind of what was not published."""
        if self._writer is not None:
            with suppress(Exception):  # a full disk, say, which has been told of by then
                self._writer.close()
            self._part.unlink(missing_ok=True)


class _Outputs:
    """The scored file and what lies beside it."""

    def __init__(self, target: str) -> None:
        kind = _kind(target)
        if not kind:
            raise DataError(f"{target}: cannot write this kind of file; name it .parquet, .csv or .csv.gz")
        stem = target[: -len(kind) - 1]
        self.scored, self.rejected = _Output(target, kind), _Output(f"{stem}.rejected.{kind}", kind)
        self._totals = f"{stem}.totals.json"

    def publish(self, totals: dict | None) -> None:
        """Give all files their names, the totals last: where they are, all is."""
        self.rejected.publish()
        self.scored.publish()
        if totals is not None:
            fs, path = fsspec.core.url_to_fs(self._totals)
            fs.pipe_file(path, json.dumps(totals, indent=2, ensure_ascii=False).encode())

    def close(self) -> None:
        self.rejected.discard()
        self.scored.discard()


class _Behind:
    """Writes in a thread what it is given, while the next rows are worked on."""

    def __init__(self, output: _Output) -> None:
        self._output, self._pool = output, ThreadPoolExecutor(1, "write-behind")
        self._writing: Future | None = None

    def __enter__(self) -> _Behind:
        return self

    def write(self, table: pa.Table) -> None:
        """Take rows; at most these and those before are held. Raises what writing those before raised."""
        self._wait()
        self._writing = self._pool.submit(self._output.write, table)

    def _wait(self) -> None:
        if self._writing is not None:
            self._writing.result()

    def __exit__(self, kind, *_: object) -> None:
        try:
            if kind is None:
                self._wait()
        finally:
            self._pool.shutdown()
