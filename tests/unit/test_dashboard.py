"""How the page is started: where its kernels look, and what its server gives away."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from creditrisk.cli import main
from creditrisk.settings import ROOT, reload_settings

FOLDER = ROOT / "dashboards"


@pytest.fixture
def start(tmp_path, monkeypatch):
    """start(*arguments, **settings) -> the environment that the page would run in."""
    (tmp_path / "dashboards").mkdir()
    (tmp_path / "dashboards" / "risk.ipynb").write_text("{}")
    monkeypatch.chdir(tmp_path)
    call = SimpleNamespace()
    monkeypatch.setattr(os, "execvpe", lambda program, arguments, environment: setattr(call, "seen", environment))

    def run(*arguments: str, **settings: str) -> dict[str, str]:
        for name in ("HOME", "RUNS", "ARTIFACTS", "DATABASE_URL"):
            monkeypatch.delenv(f"CREDITRISK_{name}", raising=False)
        for name, value in ({"HOME": "."} | settings).items():
            monkeypatch.setenv(f"CREDITRISK_{name}", value)
        reload_settings()
        main(["dashboard", *arguments])
        monkeypatch.chdir(tmp_path)
        return call.seen

    yield run
    monkeypatch.undo()
    reload_settings()


def test_relative_settings_mean_the_folder_where_the_page_was_started(start, tmp_path):
    seen = start(RUNS="kept", ARTIFACTS="models", DATABASE_URL="sqlite:///kept/log.db")
    assert seen["CREDITRISK_HOME"] == str(tmp_path)
    assert seen["CREDITRISK_RUNS"] == str(tmp_path / "kept")
    assert seen["CREDITRISK_ARTIFACTS"] == str(tmp_path / "models")
    assert seen["CREDITRISK_DATABASE_URL"] == f"sqlite:///{tmp_path / 'kept' / 'log.db'}"


def test_settings_that_were_left_out_are_the_same_for_the_page_as_for_every_other_command(start, tmp_path):
    seen = start()
    assert seen["CREDITRISK_RUNS"] == str(tmp_path / "runs")
    assert seen["CREDITRISK_ARTIFACTS"] == str(tmp_path / "artifacts")
    assert seen["CREDITRISK_DATABASE_URL"] == f"sqlite:///{tmp_path / 'runs' / 'predictions.db'}"


def test_addresses_elsewhere_are_handed_on_as_they_are(start):
    url = "postgresql+psycopg://risk:hunter2@db.example/log"
    seen = start(ARTIFACTS="s3://bucket/models", DATABASE_URL=url)
    assert seen["CREDITRISK_ARTIFACTS"] == "s3://bucket/models" and seen["CREDITRISK_DATABASE_URL"] == url
    assert start(DATABASE_URL="no url")["CREDITRISK_DATABASE_URL"] == "no url"


@pytest.mark.parametrize(
    ("host", "asked"), [("0.0.0.0", None), ("localhost", None), ("192.0.2.7", "192.0.2.7"), ("fd00::7", "[fd00::7]")]
)
def test_a_kernel_kept_ready_asks_the_server_at_an_address_it_listens_on(start, host, asked, monkeypatch):
    monkeypatch.delenv("VOILA_APP_IP", raising=False)
    assert start("--host", host).get("VOILA_APP_IP") == asked


def test_the_notebook_of_the_page_is_short_and_without_outputs():
    notebook = json.loads((FOLDER / "risk.ipynb").read_text("utf-8"))
    assert 1 <= len(notebook["cells"]) <= 4
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    for cell in notebook["cells"]:
        assert cell["outputs"] == [] and cell["execution_count"] is None and len(cell["source"]) <= 8


def test_the_server_of_the_page_gives_no_sources_and_keeps_no_abandoned_kernels():
    config = json.loads((FOLDER / "voila.json").read_text("utf-8"))
    page = config["VoilaConfiguration"]
    assert page["strip_sources"] and not page["show_tracebacks"]
    assert page["allow_template_override"] == page["allow_theme_override"] == "NO"
    allowed = [re.compile(pattern) for pattern in page["file_allowlist"]]
    served = [path for path in FOLDER.rglob("*") if path.is_file()]
    assert served and not [
        path for path in served if any(one.fullmatch(str(path.relative_to(FOLDER))) for one in allowed)
    ]
    # Without the first a closed tab keeps its kernel, since Voila's own request to end it is refused.
    assert config["Voila"]["tornado_settings"]["disable_check_xsrf"] is True
    assert 0 < config["MappingKernelManager"]["cull_idle_timeout"] <= 3600


def test_no_template_of_the_page_asks_another_host_for_anything():
    templates = [path for path in Path(FOLDER / "share").rglob("*") if path.suffix in (".j2", ".html", ".css", ".js")]
    assert {path.name for path in templates} == {"index.html.j2", "page.html"}
    for path in templates:
        assert not re.search(r"https?://", path.read_text("utf-8")), path
