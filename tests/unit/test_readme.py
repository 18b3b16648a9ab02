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


def test_the_example_request_is_the_applicant_of_the_picture() -> None:
    import ast
    import json

    from creditrisk.data.portfolio import load_portfolio
    from creditrisk.serving.contract import example_application, wire_name
    from creditrisk.ui.form import fields_of, parse_number

    source = ast.parse((ROOT / "scripts" / "pictures.py").read_text())
    (filled_in,) = (
        ast.literal_eval(one.value)
        for one in source.body
        if isinstance(one, ast.Assign) and ast.unparse(one.targets[0]) == "APPLICANT"
    )
    retail = load_portfolio("retail")
    names = {field.label: wire_name(name, retail.columns[name]) for name, field in fields_of(retail).items()}
    expected = example_application(retail)
    expected |= {names[label]: parse_number(text) for label, _, text in (one.partition("=") for one in filled_in)}
    body = re.search(r"-d '(\{.*?\})'", (ROOT / "README.md").read_text(), re.DOTALL)[1]
    assert json.loads(body) == expected
    # Days past due are days per delinquent month: 0 where there was none.
    assert (expected["delinquency_ratio"] > 0) == (expected["avg_dpd_per_delinquency"] > 0)
