"""A file scored as a stream says what the same file says scored at once, and appears when it is complete."""

from __future__ import annotations

import argparse
import gzip
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import fsspec
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from creditrisk.batch import open_log, read_applications
from creditrisk.data import tables
from creditrisk.data.sample import make_applications
from creditrisk.data.tables import check_applications, whole_as_such
from creditrisk.errors import CreditRiskError, DataError
from creditrisk.monitoring.checks import GrowingWindow, check_scored
from creditrisk.serving import stream
from creditrisk.serving.model import ModelData
from creditrisk.serving.policy import Policies
from creditrisk.serving.scorer import Scorer, file_records, scored_table
from creditrisk.serving.stream import ADDED, BEFORE, BEFORE_OTHERWISE, Totals, score_stream
from creditrisk.stream_commands import add_stream_commands
from unit.models import RETAIL, published, small_models

LONGER = 10 if os.environ.get("CREDITRISK_SOAK") else 1
REASONS = [f"reason_{i}" for i in range(1, 5)]


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> dict[str, ModelData]:
    return published(tmp_path_factory.mktemp("artifacts"))


@pytest.fixture(params=["v1", "v2"])
def data(request, models) -> ModelData:
    return models[request.param]


def lenient(data: ModelData) -> ModelData:
    """The same model for a portfolio that lets any share of rows be rejected."""
    return replace(data, portfolio=data.portfolio.model_copy(update={"max_reject_share": 1.0}))


def written(frame: pd.DataFrame, path: Path) -> str:
    """A file of applications."""
    if path.suffix == ".parquet":
        frame.to_parquet(path, index=False)
    else:
        frame.to_csv(path, index=False)
    return str(path)


def read(path: str | Path) -> pd.DataFrame:
    return pd.read_parquet(path) if str(path).endswith(".parquet") else pd.read_csv(path)


def at_once(data: ModelData, source: str, folder: Path, kind: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Scored and rejected rows of the whole file, as they are read back. Raises as `check_applications` does."""
    delivered = read_applications(source, data.portfolio)
    checked = check_applications(delivered.frame, data.portfolio, delivered.name)
    scored = scored_table(checked, Scorer(data).score_frame(checked.frame), data)
    if kind == "csv":
        scored = whole_as_such(scored)
    return tuple(
        read(written(table, folder / f"{name}.{kind}")) for name, table in (("at", scored), ("re", checked.rejected))
    )


def assert_equal(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    """Equal to the bit; a column without any value has no type of its own in a file written at once."""
    empty = [name for name in expected if name in found and expected[name].isna().all()]
    expected = expected.astype({name: found[name].dtype for name in empty})
    pd.testing.assert_frame_equal(found, expected, check_exact=True)


def assert_same(data: ModelData, source: str, folder: Path, *, kind: str = "parquet", **options) -> Totals | None:
    """Stream a file and hold the results against those of the file at once; returns the totals."""
    target = folder / f"scored.{kind}"
    rejected = folder / f"scored.rejected.{kind}"
    for old in (target, rejected):
        old.unlink(missing_ok=True)
    try:
        scored_at_once, rejected_at_once = at_once(data, source, folder, kind)
    except CreditRiskError as error:
        with pytest.raises(type(error)) as raised:
            score_stream(data, source, str(target), **options)
        assert str(raised.value) == str(error)
        assert not target.exists() and not rejected.exists()
        return None
    totals = score_stream(data, source, str(target), **options)
    found = read(target)
    kept = [name for name in found if name not in REASONS or (options.get("reasons") and name in scored_at_once)]
    assert found.drop(columns=kept).isna().all(axis=None), "only reasons that no row has may be added"
    expected = scored_at_once[[name for name in scored_at_once if name in kept]]
    assert_equal(found[kept], expected)
    if len(rejected_at_once):
        assert_equal(read(rejected), rejected_at_once)
    else:
        assert not rejected.exists()
    assert totals.received == totals.scored + totals.rejected + totals.duplicates
    assert totals.scored == len(found) and sum(totals.ratings.values()) == len(found)
    return totals


# The same as at once

CELLS = {
    "application_id": [
        "A1",
        "A1",
        "A2",
        " A2 ",
        "",
        None,
        "a long name of an application, with \u00e9 and \u4e2d",
        "7",
    ],
    "age": ["35", "17", "101", "40.5", "", " 52 ", "x", "inf", "6e1", None, "nan"],
    "income": ["900000", "0", "-3", "1e16", "1e-300", "1,000", "", "#N/A", "13000000"],
    "loan_amount": ["500000", "1e15", "abc", None, "36000000"],
    "delinquency_ratio": ["12.5", "100", "100.1", "", "0"],
    "residence_type": ["Owned", "Rented", " Mortgage", "owned", "", "NA", None],
    "loan_purpose": ["Personal", "Personaal", "Home", "Boat", None],
    "enquiry_count": ["3", "", None, "2.5", "200", "n/a"],
}


@st.composite
def deliveries(draw) -> pd.DataFrame:
    """Some applications with cells replaced by others, fine or not."""
    rows = draw(st.integers(1, 25))
    frame = make_applications(40).iloc[:rows].astype("object").map(str)
    for name, cells in CELLS.items():
        share = draw(st.sampled_from([0, 0.1, 0.4, 1]))
        seed = draw(st.integers(0, 999))
        rng = np.random.default_rng(seed)
        hit = rng.random(rows) < share
        picked = np.array(cells, dtype=object)[rng.integers(0, len(cells), rows)]
        frame[name] = np.where(hit, picked, frame[name].to_numpy(dtype=object))
    return frame.drop(columns=draw(st.sampled_from([[], ["application_id"], ["enquiry_count"]])))


@settings(max_examples=20 * LONGER, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
@given(frame=deliveries(), chunk_rows=st.sampled_from([4, 9, 1_000]), kind=st.sampled_from(["csv", "parquet"]))
def test_whatever_a_file_holds_a_stream_says_what_the_file_says_at_once(
    tmp_path_factory, models, frame, chunk_rows, kind
):
    folder = tmp_path_factory.mktemp("stream")
    source = written(frame, folder / f"in.{kind}")
    assert_same(lenient(models["v1"]), source, folder, chunk_rows=chunk_rows)


TYPED = {
    "age": [35.0, 17.0, 40.5, np.nan, np.inf, -np.inf],
    "income": [900_000.0, 0.0, 1e16, np.nan, 13e6],
    "delinquency_ratio": [5.0, 100.5, np.nan],
    "enquiry_count": [1.0, np.nan, 2.5, 101.0],
}


@settings(max_examples=10 * LONGER, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
@given(
    seed=st.integers(0, 10_000), share=st.sampled_from([0.02, 0.3, 1]), chunk_rows=st.sampled_from([7, 20, 64]),
    version=st.sampled_from(["v1", "v2"]), ids=st.sampled_from(["text", "whole", "gaps", "few"]),
)  # fmt: skip
def test_numbers_with_gaps_and_numbers_as_ids_are_checked_as_at_once(
    tmp_path_factory, models, seed, share, chunk_rows, version, ids
):
    rng, folder = np.random.default_rng(seed), tmp_path_factory.mktemp("stream")
    frame = make_applications(60)
    for name, cells in TYPED.items():
        hit = rng.random(60) < share
        frame[name] = np.where(hit, np.array(cells)[rng.integers(0, len(cells), 60)], frame[name])
    numbers = rng.integers(1, 50, 60)
    frame["application_id"] = {
        "text": frame["application_id"],
        "whole": numbers,
        "gaps": pd.Series(np.where(numbers < 9, np.nan, numbers)),
        "few": pd.Categorical(numbers.astype(str)),
    }[ids]
    frame["loan_type"] = frame["loan_type"].astype("category")
    assert_same(lenient(models[version]), written(frame, folder / "in.parquet"), folder, chunk_rows=chunk_rows)


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_reasons_points_and_grades_are_those_of_the_scored_table(data, tmp_path, kind):
    frame = make_applications(120)
    frame.loc[[3, 50], "income"] = -1
    frame.loc[70, "application_id"] = frame["application_id"][5]
    source = written(frame, tmp_path / f"in.{kind}")
    for reasons in (True, False):
        totals = assert_same(data, source, tmp_path, kind=kind, reasons=reasons, chunk_rows=33)
        assert (totals.received, totals.scored, totals.rejected, totals.duplicates) == (120, 117, 2, 1)
    table = read(tmp_path / f"scored.{kind}")
    assert ("points" in table) == (data.version == "v1")
    assert totals.grades == {g.name: int((table["grade"] == g.name).sum()) for g in RETAIL.grades}
    assert totals.mean_pd == pytest.approx(table["default_probability"].mean(), rel=1e-12)
    assert totals.rejections == {"income: not above 0": 2, "application_id: duplicate": 1}


def test_a_ratio_is_formed_from_the_columns_it_derives_from(models, tmp_path):
    frame = make_applications(50).drop(columns=["delinquency_ratio", "avg_dpd_per_delinquency"])
    frame["total_loan_months"], frame["delinquent_months"], frame["total_dpd"] = range(50), 3, range(100, 150)
    frame.loc[7, "total_dpd"] = -2
    assert assert_same(lenient(models["v2"]), written(frame, tmp_path / "in.parquet"), tmp_path, chunk_rows=8)


def test_columns_are_known_by_their_other_names_and_an_index_is_no_column(models, tmp_path):
    frame = make_applications(30).rename(columns={"num_open_accounts": " number_of_open_accounts "})
    frame.set_index("application_id").to_parquet(tmp_path / "in.parquet")
    totals = assert_same(models["v2"], str(tmp_path / "in.parquet"), tmp_path, chunk_rows=7)
    assert totals.scored == 30 and "application_id" not in read(tmp_path / "scored.parquet")


def test_special_codes_are_accepted_as_at_once(models, tmp_path):
    age = models["v2"].portfolio.columns["age"].model_copy(update={"special": (-999.0,)})
    columns = models["v2"].portfolio.columns | {"age": age}
    data = replace(models["v2"], portfolio=models["v2"].portfolio.model_copy(update={"columns": columns}))
    frame = make_applications(40)
    frame.loc[::2, "age"] = -999
    totals = assert_same(data, written(frame, tmp_path / "in.parquet"), tmp_path, chunk_rows=16)
    assert totals.scored == 40


def test_soft_limits_are_counted_over_the_file(models, tmp_path):
    frame = make_applications(60)
    frame.loc[[1, 30, 59], "age"] = 90
    source = written(frame, tmp_path / "in.parquet")
    totals = assert_same(models["v2"], source, tmp_path, chunk_rows=9)
    assert totals.warnings == check_applications(frame, RETAIL, "x").warnings and totals.warnings["age above 70"] == 3


@pytest.mark.parametrize("frame", [
    make_applications(5).drop(columns="income"),
    make_applications(5).assign(num=1).rename(columns={"num": "number_of_open_accounts"}),
    make_applications(5).iloc[:0],
    make_applications(9).assign(age="old"),
    make_applications(9).assign(age=["old"] * 3 + [40] * 2 + ["old"] * 2 + [50] * 2).astype({"age": "str"}),
], ids=["no income", "two names", "no rows", "all wrong", "wrong over all chunks"])  # fmt: skip
@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_mistakes_of_a_whole_file_are_told_in_the_same_words(models, tmp_path, frame, kind):
    assert assert_same(models["v2"], written(frame, tmp_path / f"in.{kind}"), tmp_path, chunk_rows=2) is None


def test_a_chunk_of_unreadable_cells_is_no_wrong_type_of_the_file(models, tmp_path):
    frame = make_applications(40).astype({"age": "str"})
    frame.loc[8:12, "age"] = "old"
    totals = assert_same(lenient(models["v2"]), written(frame, tmp_path / "in.csv"), tmp_path, chunk_rows=4)
    assert totals.rejections == {"age: not a number": 5}


def test_a_table_that_cannot_be_parsed_is_told_as_at_once(models, tmp_path):
    text = make_applications(3).to_csv(index=False)
    (tmp_path / "in.csv").write_text(text.strip() + ",1\n")
    with pytest.raises(DataError, match="in.csv: cannot be read: .*line 4, saw 14"):
        score_stream(models["v2"], str(tmp_path / "in.csv"), str(tmp_path / "out.csv"))
    (tmp_path / "in.csv").write_text("")
    with pytest.raises(DataError, match="the file is empty"):
        score_stream(models["v2"], str(tmp_path / "in.csv"), str(tmp_path / "out.csv"))
    for content in (b"PAR1 and nothing else", gzip.compress(b"age\n1\n")[:-9]):
        path = tmp_path / ("in.parquet" if content.startswith(b"PAR1") else "in.csv.gz")
        path.write_bytes(content)
        with pytest.raises(DataError, match="cannot be read"):
            score_stream(models["v2"], str(path), str(tmp_path / "out.csv"))


# Places and forms


def test_compressed_files_and_urls_are_read_and_written(models, tmp_path):
    frame = make_applications(50)
    plain = written(frame, tmp_path / "in.csv")
    (tmp_path / "in.csv.gz").write_bytes(gzip.compress(Path(plain).read_bytes()))
    expected = at_once(models["v2"], plain, tmp_path, "csv")[0].drop(columns=REASONS)
    memory = fsspec.filesystem("memory")
    memory.pipe_file("/box/in.csv.gz", (tmp_path / "in.csv.gz").read_bytes())
    for source in (str(tmp_path / "in.csv.gz"), "memory://box/in.csv.gz"):
        score_stream(models["v2"], source, str(tmp_path / "out.csv.gz"), chunk_rows=20)
        pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "out.csv.gz"), expected)
        score_stream(models["v2"], source, "memory://box/out.parquet", chunk_rows=20, totals=True)
        with memory.open("/box/out.parquet") as file:
            found = pd.read_parquet(file)
        assert found["default_probability"].tolist() == expected["default_probability"].tolist()
    assert sorted(memory.ls("/box", detail=False)) == ["/box/in.csv.gz", "/box/out.parquet", "/box/out.totals.json"]


def test_wrong_names_of_files_are_refused_before_anything_is_written(models, tmp_path):
    source = written(make_applications(3), tmp_path / "in.parquet")
    for given_, target, words in (
        (source, source, "take the place of the applications"),
        (source, str(tmp_path / "out.xlsx"), "cannot write this kind"),
        (str(tmp_path / "none.csv"), str(tmp_path / "out.csv"), "no such file"),
        (__file__, str(tmp_path / "out.csv"), "cannot read this kind"),
        ("nowhere://in.csv", str(tmp_path / "out.csv"), "cannot be opened"),
    ):
        with pytest.raises(DataError, match=words):
            score_stream(models["v2"], given_, target)
    assert [path.name for path in tmp_path.iterdir()] == ["in.parquet"]


def test_totals_lie_beside_and_say_what_was_done(models, tmp_path):
    source = written(make_applications(30), tmp_path / "in.parquet")
    seen: list[tuple[int, float]] = []
    totals = score_stream(
        models["v2"], source, str(tmp_path / "deep" / "er" / "out.csv"), totals=True, chunk_rows=8,
        progress=lambda rows, share: seen.append((rows, share)),
    )  # fmt: skip
    filed = json.loads((tmp_path / "deep" / "er" / "out.totals.json").read_text())
    assert filed == totals.to_dict() and filed["received"] == filed["scored"] == 30 and "features" not in filed
    assert [rows for rows, _ in seen] == [8, 16, 24, 30] and seen[-1][1] == 1.0


# Nothing by halves


def test_too_many_rejected_rows_leave_the_rejected_rows_and_no_scored_file(models, tmp_path):
    frame = make_applications(50)
    frame.loc[:9, "income"] = -1
    source, target = written(frame, tmp_path / "in.csv"), tmp_path / "out.parquet"
    with pytest.raises(
        DataError,
        match=r"10 of 50 rows are rejected \(20.0%\), more than the portfolio's limit of 5%; .* row 1, column",
    ) as told:
        score_stream(models["v2"], source, str(target), chunk_rows=7)
    assert f"; see {tmp_path / 'out.rejected.parquet'}. The first: " in str(told.value)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.csv", "out.rejected.parquet"]
    assert len(pd.read_parquet(tmp_path / "out.rejected.parquet")) == 10
    score_stream(models["v2"], written(make_applications(50), tmp_path / "in.csv"), str(target))
    assert not (tmp_path / "out.rejected.parquet").exists(), "rejected rows of an earlier run are not of this one"


def test_a_stream_that_fails_leaves_the_file_that_was_there(models, tmp_path, monkeypatch):
    source, target = written(make_applications(50), tmp_path / "in.parquet"), tmp_path / "out.parquet"
    target.write_bytes(b"of yesterday")
    calls = iter([None, None, OSError("No space left on device")])
    write = stream._Output.write

    def full(self, table):
        if (error := next(calls)) is not None:
            raise error
        write(self, table)

    monkeypatch.setattr(stream._Output, "write", full)
    with pytest.raises(OSError, match="No space"):
        score_stream(models["v2"], source, str(target), chunk_rows=10)
    assert target.read_bytes() == b"of yesterday"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.parquet", "out.parquet"]


KILLED = """
import sys, time
from creditrisk.serving.model import load_model
from creditrisk.serving.stream import score_stream
def slowly(rows, share):
    print(rows, flush=True)
    time.sleep(0.2)
score_stream(load_model("v2", sys.argv[1]), sys.argv[2], sys.argv[3], chunk_rows=5, progress=slowly)
"""


def test_a_killed_stream_leaves_no_half_file_under_the_targets_name(models, tmp_path):
    from creditrisk.serving.model import save_models

    save_models(str(tmp_path / "artifacts"), small_models(), "v2")
    source, target = written(make_applications(200), tmp_path / "in.parquet"), tmp_path / "out" / "scored.parquet"
    command = [sys.executable, "-c", KILLED, str(tmp_path / "artifacts"), source, str(target)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=os.environ | {"OMP_NUM_THREADS": "1"}) as process:
        for _ in range(3):
            assert process.stdout.readline().strip()
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=30)
    assert not target.exists() and [p.suffix for p in target.parent.iterdir()] == [".part"]
    assert score_stream(models["v2"], source, str(target)).scored == 200 and len(pd.read_parquet(target)) == 200


# The log


def logged_rows() -> list[dict]:
    log = open_log()
    try:
        return log.predictions(newest_first=False, limit=1_000)
    finally:
        log.close()


@pytest.mark.parametrize("with_ids", [True, False])
def test_a_logged_stream_logs_what_a_file_at_once_logs(settings_in, models, tmp_path, monkeypatch, with_ids):
    monkeypatch.setattr(stream, "LOG_ROWS", 7)
    data, frame = models["v1"], make_applications(40)
    frame.loc[3, "age"] = 7
    frame = frame if with_ids else frame.drop(columns="application_id")
    source = written(frame, tmp_path / "in.csv")
    log = open_log()
    try:
        totals = score_stream(data, source, str(tmp_path / "out.csv"), log=log, run="a-run", chunk_rows=16)
        again = score_stream(data, source, str(tmp_path / "out.csv"), log=log, run="b-run")
    finally:
        log.close()
    delivered = read_applications(source, RETAIL)
    checked = check_applications(delivered.frame, RETAIL, "x")
    scored = Scorer(data).score_frame(checked.frame)
    records = file_records(Scorer(data), checked, scored, run="a-run", file_sha256=delivered.sha256)
    rows = logged_rows()
    same = ("dedupe_key", "application_id", "pd", "score", "points", "grade", "reasons", "run", "purpose", "source")
    for name in same if "dedupe_key" in rows[0] else same[1:]:
        assert [row[name] for row in rows] == [getattr(record, name) for record in records], name
    assert [row["inputs"] for row in rows] == [
        {name: None if value != value else value for name, value in record.inputs.items()} for record in records
    ]
    assert (totals.logged, totals.known, totals.sha256) == (39, 0, delivered.sha256)
    assert (again.logged, again.known) == (0, 39)
    assert "reason_1" not in read(tmp_path / "out.csv")


def test_a_cut_off_stream_started_again_logs_each_row_once(settings_in, models, tmp_path, monkeypatch):
    monkeypatch.setattr(stream, "LOG_ROWS", 5)
    source = written(make_applications(30).drop(columns="application_id"), tmp_path / "in.parquet")

    def cut(rows, share):
        if rows >= 20:
            raise KeyboardInterrupt

    log = open_log()
    try:
        with pytest.raises(KeyboardInterrupt):
            score_stream(models["v2"], source, str(tmp_path / "out.csv"), log=log, chunk_rows=10, progress=cut)
        assert log.counts()["predictions"] == 20
        totals = score_stream(models["v2"], source, str(tmp_path / "out.csv"), log=log)
        assert (totals.logged, totals.known, log.counts()["predictions"]) == (10, 20, 30)
    finally:
        log.close()


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_every_row_of_a_logged_stream_names_its_prediction_in_the_log(settings_in, models, tmp_path, kind, monkeypatch):
    monkeypatch.setattr(stream, "LOG_ROWS", 7)
    data, frame, log = models["v1"], make_applications(40), open_log()
    policy = Policies.of_model(data).in_force(datetime.now(UTC))
    target = tmp_path / f"out.{kind}"
    try:
        for states in ({ADDED: 40}, {BEFORE: 39, BEFORE_OTHERWISE: 1}):
            source = written(frame, tmp_path / "in.csv")
            score_stream(data, source, str(target), reasons=True, log=log, chunk_rows=16, policy=policy)
            table = read(target)
            assert table["logged"].value_counts().to_dict() == states and table["prediction_id"].is_unique
            for _, row in table[table["logged"] != BEFORE_OTHERWISE].iterrows():
                stored = log.prediction(row["prediction_id"])
                assert (stored["application_id"], stored["pd"]) == (row["application_id"], row["default_probability"])
                assert (stored["decision"], stored["policy"]) == (row["decision"], row["policy"])
            frame.loc[3, "income"] *= 2
    finally:
        log.close()
    names = list(table.columns)
    assert names[names.index("grade") + 1 : names.index("reason_1")] == [
        "model_version",
        "model_sha256",
        "decision",
        "policy",
        "prediction_id",
        "logged",
    ]
    assert set(table["decision"]) == {"approve", "decline"} and set(table["policy"]) == {"model-cut-off"}


def test_a_stream_that_is_not_logged_is_decided_all_the_same_and_has_no_ids(models, tmp_path):
    data = models["v2"]
    policy = Policies.of_model(data).in_force(datetime.now(UTC))
    source = written(make_applications(30), tmp_path / "in.parquet")
    score_stream(data, source, str(tmp_path / "out.parquet"), policy=policy)
    table = read(tmp_path / "out.parquet")
    assert table["decision"].tolist() == policy.decide(table["default_probability"].to_numpy()).tolist()
    assert "prediction_id" not in table and "logged" not in table


def test_nothing_is_logged_of_a_file_that_is_refused(settings_in, models, tmp_path):
    frame = make_applications(50)
    frame.loc[40:, "income"] = -1
    log = open_log()
    try:
        with pytest.raises(DataError, match="rejected"):
            score_stream(
                models["v2"], written(frame, tmp_path / "in.csv"), str(tmp_path / "o.csv"), log=log, chunk_rows=9
            )
        assert log.counts()["predictions"] == 0
    finally:
        log.close()


def test_the_parts_of_a_stream_make_the_drift_report_of_the_file(settings_in, models, tmp_path):
    for data in models.values():
        frame = make_applications(90).assign(loan_amount=lambda f: f["loan_amount"] * 30)
        frame.loc[::4, "enquiry_count"] = np.nan
        source, window, log = written(frame, tmp_path / "in.parquet"), GrowingWindow(data), open_log()
        try:
            score_stream(data, source, str(tmp_path / "out.parquet"), log=log, chunk_rows=13, on_logged=window.add)
        finally:
            log.close()
        checked = check_applications(frame, RETAIL, "x")
        expected = check_scored(data, Scorer(data).score_frame(checked.frame)).to_dict()
        found = window.report().to_dict()
        assert expected["status"] == "red"
        for column, other in zip(found.pop("columns"), expected.pop("columns"), strict=True):
            for name in ("new_mean", "z"):
                one, two = column.pop(name), other.pop(name)
                assert one == two or one == pytest.approx(two, rel=1e-9), name
            assert column == other
        assert found == expected


# Ids


def test_the_same_text_has_the_same_number_in_any_company():
    import pyarrow as pa

    texts = ["", "a", "b", "A000001", "A0000001", "x" * 8, "x" * 9, "x" * 16, "\u00e9\u4e2d", "y" * 600, "y" * 512]
    alone = [int(stream._hashes(pa.array([text], pa.large_string()))[0]) for text in texts]
    assert stream._hashes(pa.array(texts, pa.large_string())).tolist() == alone
    assert stream._hashes(pa.array(["no", *texts], pa.large_string()).slice(1)).tolist() == alone
    assert len(set(alone)) == len(texts) - 1, "only what is alike for 512 bytes may have one number"


def test_texts_with_one_number_are_no_duplicates(models, tmp_path, monkeypatch):
    monkeypatch.setattr(stream, "_hashes", lambda texts: np.zeros(len(texts), dtype=np.uint64))
    frame = make_applications(30)
    frame.loc[20, "application_id"] = frame["application_id"][4]
    frame.loc[4, "age"] = 3  # the row before is rejected: the first one accepted counts
    totals = assert_same(models["v2"], written(frame, tmp_path / "in.parquet"), tmp_path, chunk_rows=6)
    assert (totals.rejected, totals.duplicates) == (1, 0)


def test_long_ids_of_whole_numbers_with_gaps_keep_their_digits(models, tmp_path):
    ids = pd.array([2**60 + i for i in range(9)] + [None], dtype="Int64")
    source = written(make_applications(10).assign(application_id=ids), tmp_path / "in.parquet")
    totals = score_stream(models["v2"], source, str(tmp_path / "out.parquet"))
    kept = read(tmp_path / "out.parquet")["application_id"]
    assert totals.duplicates == 0 and kept[:9].tolist() == [str(2**60 + i) for i in range(9)]


@pytest.mark.parametrize("row", [3, 9])
def test_ids_that_have_lost_digits_as_floating_point_numbers_stop_the_file(models, tmp_path, row):
    ids = pd.Series([float(i) for i in range(10)])
    ids[row - 1] = 2.0**60
    frame = make_applications(10).assign(application_id=ids)
    for score in (
        lambda: score_stream(
            models["v2"], written(frame, tmp_path / "in.parquet"), str(tmp_path / "out.csv"), chunk_rows=4
        ),
        lambda: tables.check_applications(frame, models["v2"].portfolio, "in.parquet"),
    ):
        with pytest.raises(DataError, match=rf"in.parquet, column '\w+': 1152921504606846976 in row {row} .*lost"):
            score()


def test_only_rows_that_look_wrong_are_looked_at_closely(models, tmp_path, monkeypatch):
    seen = []

    def counted(frame, book, file):
        seen.append(len(frame))
        return tables.check_applications(frame, book, file)

    monkeypatch.setattr(stream, "check_applications", counted)
    frame = make_applications(500)
    frame.loc[[4, 222], "income"] = 0
    score_stream(models["v2"], written(frame, tmp_path / "in.parquet"), str(tmp_path / "o.parquet"), chunk_rows=100)
    assert seen == [2, 1, 1], "the header, and two rows of two chunks"


def test_a_file_of_many_chunks_is_read_while_it_is_written(models, tmp_path):
    """Chunks are made only as they are needed: a file larger than memory never lies in it whole."""
    source = written(make_applications(200), tmp_path / "in.parquet")
    made, behind = [], []
    read_chunks = stream._ParquetReader.chunks

    def watched(self, *arguments):
        for number, chunk in enumerate(read_chunks(self, *arguments)):
            made.append(number)
            yield chunk

    def slow(rows, share):
        time.sleep(0.01)
        behind.append(max(made[20:], default=0) - rows // 10)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stream._ParquetReader, "chunks", watched)
        score_stream(models["v2"], source, str(tmp_path / "o.parquet"), chunk_rows=10, progress=slow)
    assert len(made) == 40 and max(behind) <= 2, "ids once, then the rows, one chunk ahead"


# The command


def command(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    add_stream_commands(parser.add_subparsers())
    chosen = parser.parse_args(["score-file", *arguments])
    return chosen.command(chosen)


def test_the_command_scores_logs_and_checks_a_file_once(settings_in, tmp_path, capsys):
    published(settings_in.artifacts_dir)
    source, target = written(make_applications(40), tmp_path / "in.csv"), str(tmp_path / "out.parquet")
    assert command(source, target, "--log", "--reasons", "--totals", "--run", "monday") == 0
    told = capsys.readouterr()
    assert told.out == f"{target}\n"
    assert "received 40, scored 40, rejected 0" in told.err and "log: 40 predictions added, 0 already there" in told.err
    assert "100%" in told.err and "40 rows" in told.err, "the bar is on standard error"
    assert command(source, target, "--log", "--no-progress") == 0
    told = capsys.readouterr()
    assert "log: 0 predictions added, 40 already there" in told.err and "%|" not in told.err
    log = open_log()
    try:
        (report,) = log.reports()
        assert (report["trigger"], report["n"]) == ("file", 40) and report["window_key"].startswith("file-")
        assert {row["run"] for row in log.predictions(limit=100)} == {"monday"}
    finally:
        log.close()
    assert json.loads((tmp_path / "out.totals.json").read_text())["model"] == "v2"
