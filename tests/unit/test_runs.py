"""A run keeps its evidence, and says how it went by what really ran."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
from jupyter_client.manager import AsyncKernelManager

from creditrisk.errors import ParameterError
from creditrisk.params import DriftParams, ScoreParams, TrainParams, check_declared, check_params
from creditrisk.report import without_outside
from creditrisk.runs import RunFolder, current_run, list_runs, read_result, run_notebook
from creditrisk.settings import reload_settings

FAILURES = Path(__file__).resolve().parents[1] / "notebooks" / "failures"
KERNELSPEC = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}

PARAMETERS = "rows: int = 10  # how many\nlabel = 'all'\nshare = 0.5\nstart = len('abc')"
STORY = """# Every cell runs

![map](https://maps.example/map.png) and [a link](https://docs.example/page)

```mermaid
graph TD
```
"""
EVIDENCE = """import os
import numpy as np
from creditrisk.runs import current_run

run = current_run("story")
run.save_result({"auc": np.float64(0.75), "rows": np.int64(rows), "cwd": os.getcwd()})
os.system("echo from a child process")"""
FIGURE = """import matplotlib.pyplot as plt

plt.plot([1, 2])
plt.show()"""
HOSTILE = """from IPython.display import HTML, Javascript, display

display(HTML('<script src="https://cdn.example/a.js"></script><img src="//pixel.example/p.png">'))
display(HTML('<link rel="stylesheet" href="https://cdn.example/s.css"><p onclick="x()">kept text</p>'))
display(Javascript("import('https://cdn.example/m.js')"))"""


def write_notebook(path: Path, *cells: str, parameters: str = "", story: str = "# Story") -> Path:
    notebook = nbformat.v4.new_notebook(metadata=KERNELSPEC)
    notebook.cells.append(nbformat.v4.new_markdown_cell(story))
    if parameters:
        notebook.cells.append(nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]}))
    notebook.cells += [nbformat.v4.new_code_cell(cell) for cell in cells]
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)
    return path


@contextmanager
def workbench_in(home: Path):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CREDITRISK_HOME", str(home))
        patch.setenv("CREDITRISK_RUNS", str(home / "runs"))
        patch.delenv("CREDITRISK_RUN_DIR", raising=False)
        reload_settings()
        yield home
    reload_settings()


@pytest.fixture
def home(tmp_path):
    with workbench_in(tmp_path) as home:
        yield home


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """One run that succeeds, looked at by several tests."""
    with workbench_in(tmp_path_factory.mktemp("home").resolve()) as home:
        source = write_notebook(home / "story.ipynb", EVIDENCE, FIGURE, HOSTILE, parameters=PARAMETERS, story=STORY)
        before = dict(os.environ), os.getcwd()
        outcome = run_notebook(source, {"rows": "20"}, progress=False)
        after = dict(os.environ), os.getcwd()
        yield {"home": home, "outcome": outcome, "before": before, "after": after, "listed": list_runs()}


def result_of(outcome) -> dict:
    return json.loads(outcome.folder.file("result.json").read_text())


def statuses(notebook: Path) -> list[str]:
    return [
        cell.metadata.papermill.status
        for cell in nbformat.read(notebook, as_version=4).cells
        if cell.cell_type == "code"
    ]


# --------------------------------------------------------------------------------- a run that succeeds


def test_a_run_leaves_notebook_report_parameters_result_and_rejected_rows(finished):
    folder = finished["outcome"].folder.path
    assert sorted(path.name for path in folder.iterdir()) == sorted(finished["outcome"].files)
    assert set(finished["outcome"].files) == {
        "story.ipynb",
        "report.html",
        "params.json",
        "result.json",
        "rejected.parquet",
    }
    assert re.fullmatch(r"\d{8}T\d{6}Z-story-[0-9a-f]{6}", folder.name)
    assert pd.read_parquet(folder / "rejected.parquet").empty
    assert nbformat.read(folder / "story.ipynb", as_version=4).cells[2].source.count("rows = 20") == 1


def test_the_result_joins_the_verdict_and_what_the_notebook_saved(finished):
    result = result_of(finished["outcome"])
    assert result["status"] == "ok" and result["error"] is None
    assert result["auc"] == 0.75 and result["rows"] == 20
    assert result["notebook"] == "story.ipynb"
    assert result["started"] < result["finished"] and result["started"].endswith("+00:00")
    assert result["seconds"] == finished["outcome"].seconds > 0


def test_params_json_has_the_defaults_too(finished):
    params = json.loads(finished["outcome"].folder.file("params.json").read_text())
    assert params == {"rows": 20, "label": "all", "share": 0.5, "start": "len('abc')"}


def test_the_notebook_works_in_the_home_folder_and_nothing_leaks_into_this_process(finished):
    assert result_of(finished["outcome"])["cwd"] == str(finished["home"])
    assert finished["before"] == finished["after"]
    assert "CREDITRISK_RUN_DIR" not in finished["after"][0]


def test_the_report_asks_no_other_host_for_anything(finished):
    page = finished["outcome"].folder.file("report.html").read_text()
    assert not re.findall(r"<script|<link|<iframe|@import|import\(|onclick", page)
    assert not re.findall(r"""\bsrc(?:set)?\s*=\s*(?!["']data:image/)""", page)
    assert not re.findall(r"url\((?!data:)", page)
    assert "cdn.example" not in page and "pixel.example" not in page and "maps.example" not in page
    assert "default-src 'none'" in page
    assert 'href="https://docs.example/page"' in page, "links to click on stay"


def test_the_report_shows_text_and_figures_but_no_code(finished):
    page = finished["outcome"].folder.file("report.html").read_text()
    assert "<h1>Every cell runs</h1>" in page and "kept text" in page
    assert 'alt="Figure: Every cell runs" src="data:image/png;base64,' in page
    assert "plt.plot" not in page and "current_run" not in page
    assert "Every cell ran." in page and "<dt>rows</dt><dd>20</dd>" in page


def test_a_saved_run_names_no_folder_of_this_machine(finished):
    saved = nbformat.read(finished["outcome"].folder.file("story.ipynb"), as_version=4)
    assert str(finished["home"]) not in json.dumps(saved.metadata)


def test_the_listing_names_the_run(finished):
    (run,) = finished["listed"]
    assert (run["name"], run["status"]) == ("story", "ok")
    assert run["folder"] == str(finished["outcome"].folder.path)
    assert run["seconds"] == finished["outcome"].seconds


# ------------------------------------------------------------------------------------ runs that do not


def test_a_raising_cell_is_a_failed_run_with_its_error_and_traceback(home):
    outcome = run_notebook(FAILURES / "cell_raises.ipynb", {}, progress=False)
    assert (outcome.status, outcome.error) == ("failed", "ZeroDivisionError: division by zero")
    assert outcome.traceback[-1] == "ZeroDivisionError: division by zero"
    assert "\x1b" not in "".join(outcome.traceback)
    assert result_of(outcome)["error"] == outcome.error
    assert "cell_raises.failed.ipynb" in outcome.files and "cell_raises.ipynb" not in outcome.files
    page = outcome.folder.file("report.html").read_text()
    assert "This run failed." in page and "papermill encountered" not in page


def test_a_killed_kernel_is_not_taken_for_a_finished_run(home):
    outcome = run_notebook(FAILURES / "kernel_killed.ipynb", {}, progress=False)
    assert outcome.status == "kernel_died"
    assert "SIGKILL" in outcome.error and "code cell 2" in outcome.error
    assert statuses(outcome.folder.file("kernel_killed.failed.ipynb")) == ["completed", "failed", "pending"]
    assert "seen before the end" in outcome.folder.file("report.html").read_text()


def test_a_kernel_that_ends_itself_is_told_with_its_exit_status(home):
    outcome = run_notebook(FAILURES / "kernel_exits.ipynb", {}, progress=False)
    assert outcome.status == "kernel_died" and "exit status 3 in code cell 1" in outcome.error


def test_sys_exit_zero_midway_is_an_incomplete_run(home):
    outcome = run_notebook(FAILURES / "exits_early.ipynb", {}, progress=False)
    assert outcome.status == "incomplete" and not outcome.ok
    assert outcome.error == "SystemExit: stopped in code cell 1 (import sys); 2 code cells did not run"


def test_sys_exit_zero_in_the_last_cell_is_incomplete_as_well(home):
    outcome = run_notebook(FAILURES / "exits_in_last_cell.ipynb", {}, progress=False)
    assert outcome.status == "incomplete"


def test_a_cell_past_its_time_limit_ends_the_run_and_the_kernel(home):
    outcome = run_notebook(FAILURES / "cell_too_slow.ipynb", {}, progress=False, timeout=1)
    assert outcome.status == "timeout"
    assert "longer than 1 seconds in code cell 2" in outcome.error
    assert statuses(outcome.folder.file("cell_too_slow.failed.ipynb")) == ["completed", "failed", "pending"]
    assert is_gone(int(outcome.folder.file("kernel.pid").read_text()))


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_ends_its_kernel_and_says_so(home, number):
    command = [sys.executable, "-m", "creditrisk.cli", "run", str(FAILURES / "cell_too_slow.ipynb")]
    runner = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        kernel = wait_for_kernel(home / "runs")
        runner.send_signal(number)
        out, err = runner.communicate(timeout=30)
    finally:
        runner.kill()
    folder = next((home / "runs").iterdir())
    assert runner.returncode == 130
    assert out.splitlines()[-1] == str(folder)
    assert "Traceback" not in err and "interrupted" in err
    assert read_result(folder)["status"] == "interrupted"
    assert (folder / "cell_too_slow.failed.ipynb").exists() and (folder / "report.html").exists()
    assert is_gone(kernel)


def wait_for_kernel(runs: Path) -> int:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        for path in runs.glob("*/kernel.pid") if runs.is_dir() else []:
            if path.read_text():
                return int(path.read_text())
        time.sleep(0.05)
    raise AssertionError("the kernel did not start within 30 seconds")


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_a_report_that_cannot_be_drawn_does_not_take_the_result_along(home, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("no template")

    monkeypatch.setattr("creditrisk.report.render_report", broken)
    outcome = run_notebook(write_notebook(home / "small.ipynb", "1 + 1"), {}, progress=False)
    assert outcome.ok and "report.html" not in outcome.files
    assert result_of(outcome)["report_error"] == "RuntimeError: no template"


def test_runs_side_by_side_keep_to_their_own_folders(home):
    cell = "from creditrisk.runs import current_run\ncurrent_run('x').save_result({'label': label})"
    source = write_notebook(home / "two{braces}.ipynb", cell, parameters="label = ''")
    outcomes = {}

    def run(label: str) -> None:
        outcomes[label] = run_notebook(source, {"label": label}, progress=False)

    threads = [threading.Thread(target=run, args=(label,)) for label in ("left", "right")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert {label: result_of(outcome)["label"] for label, outcome in outcomes.items()} == {
        "left": "left",
        "right": "right",
    }


# ------------------------------------------------------------------------- parameters, before a kernel


@pytest.fixture
def no_kernel(home, monkeypatch):
    """A workbench in which starting a kernel is an error."""

    def refuse(*_, **__):
        raise AssertionError("a kernel was started")

    monkeypatch.setattr(AsyncKernelManager, "start_kernel", refuse)
    for name in ("train", "score", "drift"):
        write_notebook(home / "notebooks" / f"{name}.ipynb", "1", parameters="pass")
    yield home
    assert not (home / "runs").exists(), "a refused run leaves no folder"


def test_an_unknown_parameter_is_refused_with_a_guess(no_kernel):
    with pytest.raises(ParameterError, match=r"train has no parameter 'trails'; did you mean 'trials'\?"):
        run_notebook("train", {"trails": 3}, progress=False)


def test_an_ill_typed_parameter_is_refused_with_its_value_and_what_is_allowed(no_kernel):
    with pytest.raises(ParameterError, match=r"trials: 'abc' is not a whole number.*from 1 to 1000"):
        run_notebook("train", {"trials": "abc"}, progress=False)


def test_a_typed_notebook_given_by_its_path_is_typed_as_well(no_kernel):
    with pytest.raises(ParameterError, match="window: 0 is not allowed"):
        run_notebook(no_kernel / "notebooks" / "drift.ipynb", {"window": 0}, progress=False)


def test_other_notebooks_are_held_to_their_parameters_cell(no_kernel):
    source = write_notebook(no_kernel / "bench.ipynb", "1", parameters=PARAMETERS)
    with pytest.raises(ParameterError) as problem:
        run_notebook(source, {"rows": "1.5", "lable": "x", "share": "half"}, progress=False)
    lines = str(problem.value).splitlines()
    assert lines[0].startswith("bench.ipynb has no parameter 'lable'; did you mean 'label'?")
    assert lines[1] == "rows: '1.5' is not a whole number. Default: 10"
    assert lines[2] == "share: 'half' is not a number. Default: 0.5"


@pytest.mark.parametrize("content", ["", "not json", '{"cells": 3}'])
def test_a_file_that_is_no_notebook_is_refused(no_kernel, content):
    broken = no_kernel / "broken.ipynb"
    broken.write_text(content)
    with pytest.raises(ParameterError, match="broken.ipynb is not a notebook"):
        run_notebook(broken, {}, progress=False)


def test_a_missing_notebook_is_refused(no_kernel):
    with pytest.raises(ParameterError, match="no notebook at trian; give train, score, drift"):
        run_notebook("trian", {}, progress=False)


def test_relative_paths_count_from_where_the_user_is(home, monkeypatch):
    cell = "from creditrisk.runs import current_run\ncurrent_run('score').save_result({'read': applications})"
    parameters = "\n".join(f"{name} = None" for name in ScoreParams.model_fields)
    write_notebook(home / "notebooks" / "score.ipynb", cell, parameters=parameters)
    (home / "elsewhere").mkdir()
    monkeypatch.chdir(home / "elsewhere")
    outcome = run_notebook("score", {"applications": "new.csv", "log": "No"}, progress=False)
    assert result_of(outcome)["read"] == str(home / "elsewhere" / "new.csv")
    params = json.loads(outcome.folder.file("params.json").read_text())
    assert params["log"] is False and params["model"] == "champion" and params["output"] == ""


# ------------------------------------------------------------------------------------ typed parameters


@pytest.mark.parametrize("value", [20, "20", " 20 ", "2e1", 20.0, "20.0", np.int64(20)])
def test_a_whole_number_is_taken_in_every_exact_form(value):
    trials = check_params("train", {"trials": value}).trials
    assert trials == 20 and type(trials) is int


@pytest.mark.parametrize("value", ["abc", 1.5, "1.5", True, False, "true", None, "", "nan", "1e400", float("inf"), [1]])
def test_what_is_no_whole_number_is_refused(value):
    with pytest.raises(ParameterError, match="^trials: "):
        check_params("train", {"trials": value})


@pytest.mark.parametrize(("value", "read"), [("true", True), ("YES", True), ("No", False), ("FALSE", False)])
def test_yes_and_no_are_taken_in_any_case(value, read):
    assert check_params("score", {"log": value}).log is read


@pytest.mark.parametrize("value", [1, 0, "1", "on", "", None, "nope"])
def test_what_is_neither_yes_nor_no_is_refused(value):
    with pytest.raises(ParameterError, match="^log: "):
        check_params("score", {"log": value})


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("train", {"as_of": "2024-02-30"}),
        ("train", {"as_of": "31.01.2024"}),
        ("train", {"as_of": "20240131"}),
        ("train", {"split": "time"}),
        ("train", {"seed": -1}),
        ("train", {"rows": 999}),
        ("train", {"trials": 1001}),
        ("train", {"portfolio": ""}),
        ("train", {"portfolio": False}),
        ("score", {"applications": "book.xls"}),
        ("score", {"output": "scored.xlsx"}),
        ("score", {"model": 1}),
        ("drift", {"window": 0}),
    ],
)
def test_values_out_of_range_are_refused_by_name(name, values):
    with pytest.raises(ParameterError, match=f"^{next(iter(values))}: .*Allowed: "):
        check_params(name, values)


def test_every_mistake_gets_a_line_of_its_own():
    with pytest.raises(ParameterError) as problem:
        check_params("train", {"trails": 1, "seed": "x", "rows": 5})
    assert [line.split(" ")[0] for line in str(problem.value).splitlines()] == ["train", "seed:", "rows:"]


def test_a_password_in_an_address_is_refused_and_not_repeated():
    with pytest.raises(ParameterError, match="environment variables") as problem:
        check_params("train", {"data": "https://bank:hunter2@data.example/book"})
    assert "hunter2" not in str(problem.value)


def test_an_unquoted_yaml_date_is_a_date():
    assert check_params("train", {"as_of": pd.Timestamp("2024-01-31").date()}).as_of == "2024-01-31"


def test_only_paths_are_made_absolute():
    given = TrainParams(data="book", portfolio="retail", artifacts="s3://bank/models")
    resolved = given.resolved(Path("/work here"))
    assert (resolved.data, resolved.portfolio) == (str(Path("/work here/book")), "retail")
    assert resolved.artifacts == "s3://bank/models"
    assert TrainParams(portfolio="sme.toml").resolved(Path("/x")).portfolio == str(Path("/x/sme.toml"))


@pytest.mark.parametrize("model", [TrainParams, ScoreParams, DriftParams])
def test_every_parameter_is_described_in_one_sentence(model):
    for name, field in model.model_fields.items():
        assert field.description and field.description.endswith("."), name


def test_text_for_an_undeclared_type_follows_the_default():
    declared = {"n": ("None", "3"), "id": ("None", "'x'"), "flag": ("None", "False"), "tags": ("None", "[]")}
    given, full = check_declared("nb", {"n": "7", "id": "007", "flag": "yes"}, declared)
    assert given == {"n": 7, "id": "007", "flag": True}
    assert full == {**given, "tags": []}
    with pytest.raises(ParameterError, match="tags: .* cannot be written"):
        check_declared("nb", {"tags": {1, 2}}, declared)


# ------------------------------------------------------------------------------------------ run folder


def test_results_are_merged_and_become_plain_json(tmp_path):
    run = RunFolder(tmp_path, "train")
    run.save_result({"a": np.float32(0.5), "b": {"c": np.bool_(True)}})
    run.save_result({"b": np.array([1, 2]), "day": pd.Timestamp("2024-01-31"), "none": None})
    assert read_result(tmp_path) == {"a": 0.5, "b": [1, 2], "day": "2024-01-31T00:00:00", "none": None}
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]


@pytest.mark.parametrize("value", [float("nan"), np.float64("inf"), np.array([0.0, np.nan])])
def test_a_number_that_json_lacks_is_refused_by_key_and_leaves_the_file_alone(tmp_path, value):
    run = RunFolder(tmp_path, "train")
    run.save_result({"auc": 0.7})
    with pytest.raises(ValueError, match=r"result test\.gini"):
        run.save_result({"test": {"gini": value}})
    assert read_result(tmp_path) == {"auc": 0.7}


def test_the_runners_own_names_cannot_be_overwritten_by_a_notebook(tmp_path):
    with pytest.raises(ValueError, match="'status': written by the runner"):
        RunFolder(tmp_path, "drift").save_result({"status": "red"})


def test_rejected_rows_of_mixed_types_are_kept(tmp_path):
    frame = pd.DataFrame({"row": [3, 9, 4], "value": pd.Series(["x", 1.5, None], dtype=object)})
    RunFolder(tmp_path, "train").save_rejected(frame)
    back = pd.read_parquet(tmp_path / "rejected.parquet")
    assert back["row"].tolist() == [3, 9, 4]
    assert back["value"].tolist()[:2] == ["x", "1.5"] and back["value"].isna().tolist() == [
        False,
        False,
        True,
    ]


def test_outside_the_runner_a_notebook_gets_a_folder_and_says_where(home, capsys):
    run = current_run("train")
    assert run.path.parent == home / "runs" and run.path.is_dir()
    assert run.path.name in capsys.readouterr().out
    assert [listed["status"] for listed in list_runs()] == ["manual"]
    assert current_run("train").path != run.path, "evidence is never written over"


def test_under_the_runner_a_notebook_gets_the_runners_folder(home, monkeypatch, capsys):
    monkeypatch.setenv("CREDITRISK_RUN_DIR", str(home / "given"))
    assert current_run("train") == RunFolder(home / "given", "train")
    assert capsys.readouterr().out == ""


def test_half_written_run_folders_are_listed_not_fatal(home):
    runs = home / "runs"
    for name, content in {
        "20240101T000000Z-train-aaaaaa": None,
        "20240102T000000Z-score-file-bbbbbb": '{"status": "ok", "sta',
        "20240103T000000Z-drift-cccccc": "[]",
        "20240104T000000Z-train-dddddd": '{"status": "ok", "seconds": 2}',
        "notes": None,
    }.items():
        (runs / name).mkdir(parents=True)
        if content is not None:
            (runs / name / "result.json").write_text(content)
    listed = list_runs()
    assert [run["status"] for run in listed] == ["ok", "unknown", "unknown", "unknown"]
    assert [run["name"] for run in listed] == ["train", "drift", "score-file", "train"]
    assert listed[3]["started"] == "2024-01-01T00:00:00+00:00"


# ------------------------------------------------------------------------------------------ the report


@pytest.mark.parametrize(
    "html",
    [
        '<iframe src="https://x.example"><script>1</script></iframe>',
        '<img srcset="data:image/png;base64,AA, https://x.example/a.png 2x" src="data:image/png;base64,AA">',
        '<div style="background: url(https://x.example/a.png)">text</div>',
        "<style>@import url(//x.example/a.css); p { background: URL( 'http://x.example' ) }</style>",
        '<svg><image xlink:href="https://x.example/a.svg"/><use href="https://x.example/b"/></svg>',
        '<meta http-equiv="refresh" content="0; url=https://x.example">',
        '<video poster="//x.example/p.png"><source src="https://x.example/v.mp4"></video>',
        '<body background="https://x.example/b.png">',
    ],
)
def test_nothing_in_an_output_can_reach_another_host(html):
    assert "x.example" not in without_outside(html)


def test_text_tables_and_embedded_figures_pass_unharmed():
    html = '<table class="dataframe"><tr><td>1</td></tr></table><img alt="f" src="data:image/png;base64,AA"/>'
    assert without_outside(html) == html


def test_the_report_of_a_failed_run_ends_where_it_failed_and_says_why_without_code(tmp_path):
    from creditrisk.report import render_report

    notebook = nbformat.v4.new_notebook()
    notebook.cells = [
        nbformat.v4.new_markdown_cell("# A story"),
        nbformat.v4.new_code_cell("prepare()"),
        nbformat.v4.new_markdown_cell("## What never happened"),
    ]
    failure = {"ename": "DataError", "evalue": "loans.csv: the file is empty", "traceback": ["File secret.py, line 7"]}
    notebook.cells[1].outputs = [nbformat.v4.new_output("error", **failure)]
    html = render_report(notebook, {"status": "failed"}, {}, title="", images=tmp_path)
    assert "loans.csv: the file is empty" in html
    assert "secret.py" not in html and "What never happened" not in html
    notebook.cells[1].outputs[0].ename = "KeyError"
    assert "secret.py" in render_report(notebook, {"status": "failed"}, {}, title="", images=tmp_path)
