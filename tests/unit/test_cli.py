"""The command line: what goes to which stream, exit statuses, and how servers are started."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import nbformat
import pytest
import sqlalchemy as sa
from pydantic import ValidationError

from creditrisk.cli import main, without_password
from creditrisk.params import NOTEBOOK_PARAMS
from creditrisk.settings import reload_settings, settings
from unit.models import published

FAILURES = Path(__file__).resolve().parents[1] / "notebooks" / "failures"
KERNELSPEC = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
DRIFT = """from creditrisk.runs import current_run
import sys

current_run("drift").save_result({"model": model, "window": window})
print("said by the notebook")
print("warned by the notebook", file=sys.stderr)"""


@pytest.fixture
def home(tmp_path, monkeypatch):
    tmp_path = tmp_path.resolve()
    monkeypatch.setenv("CREDITRISK_HOME", str(tmp_path))
    for name in ("RUNS", "ARTIFACTS", "RUN_DIR", "SERVE_MODEL", "DATABASE_URL"):
        monkeypatch.delenv(f"CREDITRISK_{name}", raising=False)
    monkeypatch.chdir(tmp_path)
    reload_settings()
    (tmp_path / "notebooks").mkdir()
    write(
        tmp_path / "notebooks" / "drift.ipynb",
        DRIFT,
        "model = None\nartifacts = ''\nwindow = 0\ncurrent = ''",
    )
    yield tmp_path
    monkeypatch.undo()
    reload_settings()


def write(path: Path, source: str, parameters: str) -> None:
    notebook = nbformat.v4.new_notebook(metadata=KERNELSPEC)
    notebook.cells = [
        nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell(source),
    ]
    nbformat.write(notebook, path)


# ------------------------------------------------------------------------------------- running notebooks


def test_a_run_ends_standard_output_with_its_folder_and_tells_the_rest_on_standard_error(home, capfd):
    (home / "drift.yaml").write_text("model: v1\nwindow: 500\n")
    status = main(["drift", "-f", "drift.yaml", "-p", "window", "2e2"])
    out, err = capfd.readouterr()
    assert status == 0
    assert out.count("\n") == 1, "standard output has the folder and nothing else"
    folder = Path(out.splitlines()[-1])
    assert not folder.is_absolute() and folder.parts[0] == "runs"
    result = json.loads((folder / "result.json").read_text())
    assert (result["model"], result["window"]) == ("v1", 200), "-p wins over -f"
    assert "drift: 100%" in err and "every cell ran" in err and f"{folder}/report.html" in err
    assert "notebook" not in err.replace("notebooks", ""), "what the notebook prints stays in the notebook"
    for noise in ("TCP", "Executing notebook", "papermill", "Warning"):
        assert noise not in err


def test_no_progress_shows_no_bar_and_from_elsewhere_the_folder_is_absolute(home, capfd, monkeypatch):
    (home / "sub").mkdir()
    monkeypatch.chdir(home / "sub")
    assert main(["drift", "--no-progress"]) == 0
    out, err = capfd.readouterr()
    assert Path(out.strip()).is_absolute() and Path(out.strip(), "report.html").exists()
    assert "%|" not in err


def test_a_failed_run_exits_1_shows_the_traceback_once_and_still_names_its_folder(home, capfd):
    status = main(["run", str(FAILURES / "cell_raises.ipynb")])
    out, err = capfd.readouterr()
    assert status == 1
    assert Path(out.splitlines()[-1], "cell_raises.failed.ipynb").exists()
    assert err.count("ZeroDivisionError: division by zero") == 1
    assert "----> 1 ratio = 100 / income" in err
    assert "Exception encountered" not in err


def test_an_early_exit_of_the_notebook_is_no_success(home, capfd):
    assert main(["run", str(FAILURES / "exits_early.ipynb"), "--no-progress"]) == 1
    assert "2 code cells did not run" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["drift", "-p", "windw", "5"], "did you mean 'window'?"),
        (["drift", "-p", "window", "many"], "window: 'many' is not a whole number"),
        (["drift", "-f", "missing.yaml"], "missing.yaml cannot be read"),
        (["drift", "-f", "list.yaml"], "list.yaml must hold one 'name: value' per line"),
        (["drift", "-f", "broken.yaml"], "broken.yaml is not YAML"),
        (["train"], "no notebook at notebooks/train.ipynb"),
        (["run", "gone.ipynb"], "no notebook at gone.ipynb"),
        (["dashboard"], "no dashboard at dashboards/risk.ipynb"),
    ],
)
def test_wrong_input_exits_2_with_one_clear_line_and_no_run(home, capfd, arguments, complaint):
    (home / "list.yaml").write_text("- 1\n")
    (home / "broken.yaml").write_text("a: [1\n")
    assert main(arguments) == 2
    out, err = capfd.readouterr()
    assert out == "" and err.startswith("error: ") and complaint in err
    assert err.count("\n") == 1
    assert not (home / "runs").exists()


@pytest.mark.parametrize("arguments", [[], ["fly"], ["drift", "-p", "window"], ["runs", "--limit", "0"]])
def test_wrong_usage_exits_2(home, capfd, arguments):
    assert main(arguments) == 2
    assert "usage: creditrisk" in capfd.readouterr().err


def test_a_wrong_setting_is_named(home, capfd, monkeypatch):
    monkeypatch.setenv("CREDITRISK_DRIFT_PERIOD", "0")
    with pytest.raises(ValidationError):
        reload_settings()
    assert main(["runs"]) == 2
    assert capfd.readouterr().err.startswith("error: CREDITRISK_DRIFT_PERIOD: ")


def test_help_names_every_parameter_and_imports_nothing_slow(home):
    code = (
        "import sys; from creditrisk.cli import main; main(['train', '--help']);"
        "slow = {'papermill', 'pandas', 'numpy', 'uvicorn', 'nbconvert', 'mlflow'} & set(sys.modules);"
        "sys.exit(f'imported {slow}' if slow else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    for name, field in NOTEBOOK_PARAMS["train"].model_fields.items():
        assert f"  {name} = " in done.stdout and field.description in done.stdout


# --------------------------------------------------------------------------------------------- the list


def test_runs_are_listed_newest_first_as_an_aligned_table_or_json(home, capfd):
    for stamp, name, result in (
        (
            "20240101T000000Z",
            "train",
            '{"status": "ok", "started": "2024-01-01T00:00:00+00:00", "seconds": 12.34}',
        ),
        ("20240102T000000Z", "kernel_killed", "{"),
        ("20240103T000000Z", "drift", '{"status": "kernel_died", "seconds": 3}'),
    ):
        (home / "runs" / f"{stamp}-{name}-abcdef").mkdir(parents=True)
        (home / "runs" / f"{stamp}-{name}-abcdef" / "result.json").write_text(result)
    assert main(["runs"]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in lines] == [
        "started",
        "2024-01-03 00:00:00",
        "2024-01-02 00:00:00",
        "2024-01-01 00:00:00",
    ]
    assert len({line.index("runs/") for line in lines[1:]}) == 1, "columns are aligned"
    assert lines[3].split()[2:] == ["train", "ok", "12.3", "runs/20240101T000000Z-train-abcdef"]
    assert main(["runs", "--limit", "1", "--json"]) == 0
    (newest,) = json.loads(capfd.readouterr().out)
    assert (newest["name"], newest["status"], newest["seconds"]) == ("drift", "kernel_died", 3)


def test_no_runs_is_not_an_error(home, capfd):
    assert main(["runs"]) == 0
    out, err = capfd.readouterr()
    assert out == "" and "no runs" in err
    assert main(["runs", "--json"]) == 0
    assert json.loads(capfd.readouterr().out) == []


# ------------------------------------------------------------------------------------------ life of a model


@pytest.fixture
def models(home, monkeypatch):
    """Both versions in the artifacts folder of the settings, v2 the champion; v1 ranks worse."""
    from dataclasses import replace

    from creditrisk.serving.model import save_models
    from unit.models import small_models

    for name in ("MLFLOW_TRACKING_URI", "CREDITRISK_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    here = {"data": "", "rows": 4_000, "split": "auto", "as_of": ""}
    made = {v: replace(one, training=one.training | {"source": here}) for v, one in small_models().items()}
    save_models(str(home / "artifacts"), made, "v2")
    return made


def test_models_lists_versions_and_promotions(models, home, capfd):
    manifest = json.loads((home / "artifacts" / "manifest.json").read_text())
    assert main(["models"]) == 0
    head, *lines = capfd.readouterr().out.splitlines()
    assert head.split() == ["version", "alias", "created", "AUC", "gate", "bytes", "sha256"] and len(lines) == 2
    for line, (version, alias) in zip(lines, (("v1", "challenger"), ("v2", "champion")), strict=True):
        entry = manifest["models"][version]
        assert line.split()[:2] == [version, alias]
        assert line.split()[-2:] == [str(entry["bytes"]), entry["sha256"][:12]]
        assert f"{entry['auc']:.4f}  insufficient defaults" in line
    assert main(["promote", "v1", "--force", "--reason", "points are asked for", "--by", "A. Analyst"]) == 0
    capfd.readouterr()
    assert main(["models", "--artifacts", str(home / "artifacts")]) == 0
    last = capfd.readouterr().out.splitlines()[-1]
    assert (
        last.startswith("v1 ")
        and "A. Analyst  v2      yes, over 1 objection" in last
        and "points are asked for" in last
    )
    assert main(["models", "--json"]) == 0
    told = json.loads(capfd.readouterr().out)
    assert {one["version"]: one["aliases"] for one in told["models"]} == {"v1": ["champion"], "v2": ["challenger"]}
    assert told["promotions"][0]["by"] == "A. Analyst" and told["archived"] == []


def test_no_models_is_said(home, capfd):
    assert main(["models"]) == 2
    assert "run `creditrisk train` first" in capfd.readouterr().err


def test_promote_refuses_with_one_reason_a_line_and_exits_2(models, home, capfd):
    before = (home / "artifacts" / "manifest.json").read_bytes()
    assert main(["promote", "v1", "--by", "A. Analyst"]) == 2
    out, err = capfd.readouterr()
    assert out == "" and [line[:40] for line in err.splitlines()] == [
        "error: AUC is not shown to be no worse: ",
        "error: not promoted; --force --reason TE",
    ]
    assert main(["promote", "v1", "--force"]) == 2
    assert "--force needs --reason" in capfd.readouterr().err
    assert main(["promote", "v9"]) == 2
    assert "there is no model 'v9'; there are v1, v2, champion, challenger" in capfd.readouterr().err
    assert (home / "artifacts" / "manifest.json").read_bytes() == before


def test_promote_tells_what_it_did_and_warns_of_the_registry(models, home, capfd):
    assert main(["promote", "v1", "--force", "--reason", "points", "--by", "A. Analyst"]) == 0
    out, err = capfd.readouterr()
    first, *rest = out.splitlines()
    assert first.startswith("v1 is the champion, in place of v2; promoted by A. Analyst at 20")
    assert rest[0] == "reason: points" and rest[1].startswith("overridden: AUC is not shown")
    assert err.startswith("warning: the MLflow registry was not told: ") and err.count("\n") == 1
    assert main(["promote", "champion"]) == 0
    assert capfd.readouterr().out == "v1 is the champion already; nothing was changed\n"


def test_promote_takes_a_sample_and_the_day_its_outcomes_were_read(models, home, capfd):
    assert main(["sample", "--rows", "3000", "--seed", "9", "--out", "fresh"]) == 0
    capfd.readouterr()
    sample = ["--data", "fresh", "--force", "--reason", "to see"]
    assert main(["promote", "v1", "--as-of", "yesterday", *sample]) == 2
    assert "as_of is 'yesterday', which is not a date" in capfd.readouterr().err
    assert main(["promote", "v1", "--as-of", "2030-01-01", *sample]) == 0
    assert "judged on a new sample, none of which v1 or v2 was trained on: " in capfd.readouterr().out


@pytest.fixture
def logged(models, home):
    """The id of a prediction of v1 in the log of the settings."""
    from creditrisk.serving.log import PredictionLog, migrate
    from creditrisk.serving.model import load_model
    from creditrisk.serving.scorer import Scorer

    scorer = Scorer(load_model("v1"))
    inputs = {name: values[0] for name, values in models["v1"].test_vectors["inputs"].items()}
    book = models["v1"].portfolio
    wire = {book.columns[name].wire or name: value for name, value in inputs.items() if value is not None}
    record = scorer.record(scorer.score_rows([inputs]), 0, wire, purpose="production", source="api")
    migrate(settings().log_url)
    log = PredictionLog(settings().log_url)
    log.append([record])
    log.close()
    return record.prediction_id


def test_replay_exits_0_when_all_agrees_and_shows_inputs_only_when_asked(logged, capfd):
    assert main(["replay", logged]) == 0
    out, err = capfd.readouterr()
    assert err == "" and out.splitlines()[-1] == "agrees" and "input " not in out and "income = " not in out
    assert main(["replay", logged, "--show-inputs", "--twin"]) == 0
    out = capfd.readouterr().out
    assert "input income = " in out and "from its twin" in out


def test_replay_exits_1_when_the_log_says_something_else(logged, capfd):
    engine = sa.create_engine(settings().log_url)
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE predictions SET pd = pd + 1e-9"))
    engine.dispose()
    assert main(["replay", logged]) == 1
    assert "differs: pd by 1e-09, more than the allowed 1e-12" in capfd.readouterr().out


def test_replay_exits_2_without_the_prediction_or_its_model(logged, home, capfd):
    assert main(["replay", "nothing"]) == 2
    assert "holds no prediction 'nothing'" in capfd.readouterr().err
    assert main(["replay", logged, "--database", f"sqlite:///{home / 'other.db'}"]) == 2
    assert "there is no such file yet" in capfd.readouterr().err and not (home / "other.db").exists()
    (home / "artifacts" / "model_data_v1.joblib").unlink()
    assert main(["replay", logged]) == 2
    assert "model v1 with SHA-256" in capfd.readouterr().err


@pytest.mark.parametrize("argv", [["models", "--json"], ["models"], ["runs", "--json"]])
def test_a_reader_that_has_enough_ends_the_command_without_a_trace(models, argv):
    program = [sys.executable, "-m", "creditrisk.cli", *argv]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        running.stdout.close()  # as head does
        assert running.stderr.read() == b"" and running.wait(timeout=60) == 141


# ------------------------------------------------------------------------------------ sample and servers


@pytest.mark.parametrize("format", ["csv", "parquet"])
def test_sample_writes_the_tables_and_prints_bad_rate_and_oracle_auc(home, capfd, format):
    assert main(["sample", "--rows", "2000", "--seed", "7", "--out", "book", "--format", format]) == 0
    names = {path.name for path in (home / "book").iterdir()}
    assert names == {f"{table}.{format}" for table in ("customers", "loans", "bureau_data")}
    from creditrisk.data.sample import make_book

    book = make_book(2000, 7)
    out = capfd.readouterr().out
    assert f"bad rate {book.bad_rate:.2%}" in out and f"oracle AUC {book.oracle_auc:.4f}" in out


@pytest.fixture
def served(monkeypatch):
    """uvicorn and the log's migration, replaced by a record of how they were called."""
    for name in ("SERVE_MODEL", "SERVE_HOST", "ARTIFACTS", "DATABASE_URL", "KEYS_FILE", "METRICS_FOLDER"):
        monkeypatch.setenv(f"CREDITRISK_{name}", "")  # what the command sets for its workers ends with the test
        monkeypatch.delenv(f"CREDITRISK_{name}")
    calls = []
    uvicorn, log = ModuleType("uvicorn"), ModuleType("creditrisk.serving.log")
    uvicorn.run = lambda *args, **options: calls.append(("run", args, options, dict(os.environ)))
    log.migrate = lambda url: calls.append(("migrate", url))
    monkeypatch.setitem(sys.modules, "uvicorn", uvicorn)
    monkeypatch.setitem(sys.modules, "creditrisk.serving.log", log)
    return calls


def test_serve_migrates_once_then_starts_one_worker_on_the_chosen_model(home, served, monkeypatch, capfd):
    monkeypatch.setenv("CREDITRISK_DATABASE_URL", "postgresql+psycopg://risk:hunter2@db.example/log")
    monkeypatch.setenv("CREDITRISK_SERVE_MODEL", "before")
    monkeypatch.setenv("CREDITRISK_ARTIFACTS", "before")
    published(home / "models")
    assert main(["serve", "--port", "8123", "--model", "v2", "--artifacts", str(home / "models")]) == 0
    (migrated, run) = served
    assert migrated == ("migrate", "postgresql+psycopg://risk:hunter2@db.example/log")
    _, args, options, environment = run
    assert args == ("creditrisk.service:create",)
    assert options["factory"] and options["workers"] == 1
    assert (options["host"], options["port"]) == ("127.0.0.1", 8123)
    assert environment["CREDITRISK_SERVE_MODEL"] == "v2" and environment["CREDITRISK_ARTIFACTS"] == str(home / "models")
    printed = capfd.readouterr().out
    where, keys, policy, limit, log = map(str.strip, printed.splitlines())
    assert where == "serving v2 at http://127.0.0.1:8123" and "hunter2" not in printed
    assert keys == "keys: open to everybody on this computer, since there are no API keys"
    assert policy.startswith("policy model-cut-off: approved below a PD of ")
    assert limit == "no rate limit" and log == "log: postgresql+psycopg://risk:***@db.example/log"


def test_serve_says_which_policy_and_which_rate_limit_are_in_force(home, served, monkeypatch, capfd):
    published(home / "models")
    policy = '[[policy]]\nversion = "2026-01"\neffective = {}\napprove_below = 0.08\ndecline_from = 0.15\n'
    (home / "policy.toml").write_text(policy.format("2020-01-01"))
    monkeypatch.setenv("CREDITRISK_POLICY_FILE", str(home / "policy.toml"))
    monkeypatch.setenv("CREDITRISK_RATE_LIMIT", "2.5")
    asked = ["serve", "--port", "8123", "--artifacts", str(home / "models")]
    assert main(asked) == 0
    printed = capfd.readouterr().out
    assert "policy 2026-01: approved below a PD of 0.08, referred between, declined from 0.15" in printed
    assert "rate limit: 2.5 requests a second of each address, 3 at once\n" in printed
    monkeypatch.setenv("CREDITRISK_RATE_BURST", "20")
    monkeypatch.setenv("CREDITRISK_KEYS", f"branch:{'a' * 64}")
    assert main([*asked, "--workers", "2"]) == 0
    printed = capfd.readouterr().out
    assert "rate limit: 2.5 requests a second of each key, 20 at once, in each of 2 workers\n" in printed
    assert "keys: one API key may call\n" in printed
    started = len(served)
    (home / "policy.toml").write_text(policy.format("2999-01-01"))
    assert main(asked) == 2 and len(served) == started, "said here, once, and not by every worker"
    assert "no policy for portfolio 'retail' is in force" in capfd.readouterr().err


def test_serve_beyond_this_computer_needs_keys_and_says_so_before_it_starts(home, served, capfd):
    published(home / "models")
    asked = ["serve", "--host", "0.0.0.0", "--port", "8123", "--artifacts", str(home / "models")]
    assert main(asked) == 2 and not served
    assert "keys" in capfd.readouterr().err
    assert main(["keys", "add", "a-client", "--file", str(home / "keys.jsonl")]) == 0
    key = next(word for word in capfd.readouterr().out.split() if word.startswith("cr_"))
    assert main([*asked, "--keys", str(home / "keys.jsonl"), "--workers", "3"]) == 0
    _, _, options, environment = served[-1]
    assert options["workers"] == 3 and environment["CREDITRISK_METRICS_FOLDER"]
    assert not options["server_header"]
    assert key not in capfd.readouterr().out


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://risk:hunter2@db.example/log",
        "postgresql+psycopg://db.example/log?user=risk&password=hunter2",
    ],
)
def test_a_shown_database_address_has_no_password(url):
    shown = without_password(url)
    assert "hunter2" not in shown and "db.example/log" in shown and "risk" in shown


def test_a_port_in_use_is_said_before_anything_is_started(capsys, monkeypatch, tmp_path):
    import socket

    monkeypatch.setenv("CREDITRISK_RUNS", str(tmp_path))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for command in ("serve", "dashboard"):
            assert main([command, "--port", str(port)]) == 2
            said = capsys.readouterr()
            assert said.out == "" and f"127.0.0.1:{port} is in use; choose another --port" in said.err


def test_the_headline_of_a_run_is_printed(tmp_path):
    from creditrisk.cli import _summary
    from creditrisk.runs import RunFolder, RunOutcome

    folder = RunFolder(tmp_path, "score")
    folder.save_result({"headline": "received 3, scored 2"})
    assert _summary(RunOutcome(folder, "ok", "", (), 1.0, ("result.json",)))[1] == "received 3, scored 2"
