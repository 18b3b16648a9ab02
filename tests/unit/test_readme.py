"""What the README says about settings and commands is true."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def _module(path: Path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_table_of_settings_is_that_of_the_code() -> None:
    text = (ROOT / "README.md").read_text()
    assert _module(ROOT / "scripts" / "readme.py").with_table(text) == text, "run python scripts/readme.py"


def test_every_make_target_named_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"\bmake ([a-z]+)\b", (ROOT / "README.md").read_text())) - {"and"}
    assert named <= targets, named - targets


def test_every_picture_and_linked_file_exists() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", (ROOT / "README.md").read_text())
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_the_example_request_is_a_valid_application() -> None:
    import json

    from creditrisk.data.portfolio import load_portfolio
    from creditrisk.serving.contract import application_model

    body = re.search(r"-d '(\{.*?\})'", (ROOT / "README.md").read_text(), re.DOTALL)[1]
    application_model(load_portfolio("retail")).model_validate(json.loads(body))
