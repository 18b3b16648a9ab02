"""The page on serving holds: its commands run as they stand, and it names the settings that there are."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from creditrisk.serving.records import OUTCOME_STATUSES
from creditrisk.settings import Settings
from servers import running

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "serving.md").read_text("utf-8")
ELSEWHERE = {"home", "runs", "tracking_uri", "serve_host", "metrics_folder"}
"""Settings that are not about serving, or that `creditrisk serve` sets for its workers."""


def test_the_settings_of_the_service_are_on_the_page_and_no_others():
    named = set(re.findall(r"CREDITRISK_([A-Z_]+)", PAGE))
    known = set(Settings.model_fields)
    assert named <= {name.upper() for name in known}
    assert {name.upper() for name in known - ELSEWHERE} <= named


def test_every_filter_and_every_status_is_on_the_page(served):
    paths = served.client.get("/openapi.json").json()["paths"]
    for address in ("/logs", "/drift-reports"):
        for parameter in paths[address]["get"]["parameters"]:
            assert f"`{parameter['name']}`" in PAGE, (address, parameter["name"])
            for value in parameter["schema"].get("enum") or parameter["schema"].get("anyOf", [{}])[0].get("enum", []):
                assert parameter["name"] == "rating" or f"`{value}`" in PAGE, value
    for status in OUTCOME_STATUSES:
        assert f"| `{status}` |" in PAGE


@pytest.mark.skipif(not (shutil.which("bash") and shutil.which("curl")), reason="needs bash and curl")
def test_the_commands_of_the_page_run_from_top_to_bottom(trained, tmp_path):
    """Those in blocks of the language bash; a console shows what needs a terminal of its own, or containers."""
    script = "\n".join(re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL))
    assert script.count("curl ") >= 12 and script.count("creditrisk log ") >= 6
    url = f"sqlite:///{tmp_path / 'predictions.db'}"
    # As on the page, but for the port, and a status of 400 or more is a failure.
    script = "set -euo pipefail\n" + script.replace("curl -s", "curl -sS --fail-with-body -w '\\n'")
    with running(1, url, trained.folder, tmp_path) as (server,):
        script = script.replace("127.0.0.1:8000", f"127.0.0.1:{server.port}")
        bin_ = Path(sys.executable).parent
        environment = {**os.environ, "PATH": f"{bin_}{os.pathsep}{os.environ['PATH']}", "CREDITRISK_DATABASE_URL": url}
        done = subprocess.run(
            ["bash", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
        )
        server.stop()
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    assert '"status":"stored"' in done.stdout and '"decided_by":"user-17"' in done.stdout
    assert '"unknown"' not in done.stdout, "an outcome of nothing"
    assert "legal hold 1 covers" in done.stdout and "would be deleted" in done.stdout
    assert (tmp_path / "log.jsonl").read_text("utf-8").count("\n") >= 2
