"""What scoring a file is made of, wherever it is done: reading what came, deciding, and one check of the whole."""

from __future__ import annotations

import io
from types import SimpleNamespace

import pytest

from creditrisk.data.tables import read_opened
from creditrisk.errors import DataError
from creditrisk.monitoring.checks import store_file_check
from creditrisk.monitoring.drift import DriftReport
from creditrisk.serving.log import PredictionLog, migrate


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("age,city\n31,Köln\n".encode("latin-1"), "line 2 is not UTF-8 text (byte 0xf6 in '31,Köln'); save it as CSV"),
        ("age,city\n31,Köln\n".encode("utf-16"), "its text is UTF-16; save it as CSV in UTF-8"),
        (b"age,city\n31,Bonn,2\n", "f.csv: cannot be read: Expected 2 fields in line 2, saw 3"),
        (b"age;city\n31,5;Bonn\n", "parted by ';': save it with commas"),
        (b"", "f.csv: the file is empty"),
    ],
)
def test_an_unreadable_file_is_told_with_the_line_and_what_to_do(content, told):
    with pytest.raises(DataError) as problem:
        read_opened(io.BytesIO(content), "f.csv")
    assert told in str(problem.value)


def test_the_check_of_a_file_is_one_however_often_it_is_stored(tmp_path):
    url = f"sqlite:///{tmp_path / 'predictions.db'}"
    migrate(url)
    log, data = PredictionLog(url), SimpleNamespace(version="v1", sha256="a" * 64)
    try:
        stored = [store_file_check(log, data, sha * 64, DriftReport((), 0, 0)) for sha in "ffe"]
        assert stored[0] == stored[1] != stored[2]
        assert [row["trigger"] for row in log.reports()] == ["file", "file"]
    finally:
        log.close()
