"""The project's own files agree: dependencies, lock, environment, notebooks and their parameters."""

from __future__ import annotations

import ast
import re
import tomllib
from contextlib import suppress
from pathlib import Path

import nbformat
import pytest
import yaml
from packaging.markers import default_environment
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from creditrisk.params import NOTEBOOK_PARAMS

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LINES = [line for line in (ROOT / "requirements.lock").read_text().splitlines() if line.strip()]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
DASHBOARDS = sorted((ROOT / "dashboards").glob("*.ipynb"))


def readable(lines: list[str]) -> dict[str, Requirement]:
    """Requirements by the line that says them; lines that say none are left out."""
    found = {}
    for line in lines:
        with suppress(InvalidRequirement):
            found[line] = Requirement(line)
    return found


LOCK = readable(LINES)


def platform(system: str, machine: str, python: str = "3.11.7") -> dict[str, str]:
    """What markers see on another computer."""
    names = {"linux": ("Linux", "posix"), "win32": ("Windows", "nt"), "darwin": ("Darwin", "posix")}[system]
    short = ".".join(python.split(".")[:2])
    return default_environment() | {
        "sys_platform": system, "platform_system": names[0], "os_name": names[1], "platform_machine": machine,
        "python_version": short, "python_full_version": python,
    }  # fmt: skip


HERE = default_environment()
PLATFORMS = [
    platform(system, machine, python)
    for system, machine in (
        ("linux", "x86_64"), ("linux", "aarch64"), ("win32", "AMD64"), ("darwin", "arm64"), ("darwin", "x86_64"),
    )
    for python in ("3.11.7", "3.12.4", "3.13.0")
]  # fmt: skip


def applies(requirement: Requirement, environment: dict[str, str]) -> bool:
    return requirement.marker is None or requirement.marker.evaluate(environment | {"extra": ""})


def direct() -> list[Requirement]:
    groups = [PROJECT["project"]["dependencies"], *PROJECT["project"]["optional-dependencies"].values()]
    return [Requirement(text) for group in groups for text in group]


def locked(environment: dict[str, str]) -> dict[str, str]:
    """Version by package, as pip would take them from the lock on a computer."""
    versions: dict[str, str] = {}
    for requirement in LOCK.values():
        if applies(requirement, environment):
            name = canonicalize_name(requirement.name)
            assert name not in versions, f"{name} is locked twice for one computer"
            (pin,) = requirement.specifier
            versions[name] = pin.version
    return versions


# Dependencies


def test_each_line_of_the_lock_is_an_exact_version():
    unreadable = [line for line in LINES if line not in LOCK]
    assert unreadable == [], "pip would refuse the whole file"
    for line, requirement in LOCK.items():
        (pin,) = requirement.specifier
        exact = pin.operator == "==" and "*" not in pin.version
        assert exact and requirement.url is None and not requirement.extras, line


def test_the_lock_names_no_index_and_no_address():
    text = (ROOT / "requirements.lock").read_text()
    assert not re.search(r"://|--|^-|\bindex\b|@", text, re.MULTILINE)
    names = [canonicalize_name(requirement.name) for requirement in LOCK.values()]
    assert names == sorted(names)


@pytest.mark.parametrize("environment", [HERE, *PLATFORMS], ids=lambda e: "-".join(
    (e["sys_platform"], e["platform_machine"], e["python_full_version"])))  # fmt: skip
def test_every_direct_dependency_is_locked_inside_its_range(environment):
    versions = locked(environment)
    for requirement in direct():
        if applies(requirement, environment):
            name = canonicalize_name(requirement.name)
            assert name in versions, f"{name} is in pyproject.toml, not in requirements.lock"
            assert requirement.specifier.contains(versions[name]), f"{name}=={versions[name]} is not {requirement}"


@pytest.mark.parametrize("environment", PLATFORMS, ids=lambda e: "-".join(
    (e["sys_platform"], e["platform_machine"], e["python_full_version"])))  # fmt: skip
def test_xgboost_is_the_small_build_where_there_is_one_and_never_twice(environment):
    small = environment["sys_platform"] != "darwin" and environment["platform_machine"] in ("x86_64", "AMD64")
    asked = {r.name for r in direct() if r.name.startswith("xgboost") and applies(r, environment)}
    found = {name for name in locked(environment) if name.startswith("xgboost")}
    assert asked == found == ({"xgboost-cpu"} if small else {"xgboost"})
    assert not small or not any(name.startswith("nvidia") for name in locked(environment))


def test_the_conda_environment_is_python_and_the_lock():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert environment["name"] == PROJECT["project"]["name"] and environment["channels"] == ["conda-forge"]
    *conda, pip = environment["dependencies"]
    assert conda == ["python=3.11", "pip"]
    assert pip == {"pip": ["-r requirements.lock", "-e ."]}
    assert Requirement(f"python{PROJECT['project']['requires-python']}").specifier.contains("3.11.0")


def test_dependencies_are_listed_once_and_bounded_from_below():
    names = [(canonicalize_name(r.name), str(r.marker)) for r in direct()]
    assert len(names) == len(set(names))
    assert all(any(s.operator in (">=", "==") for s in r.specifier) for r in direct())


# Notebooks


@pytest.fixture(params=NOTEBOOKS + DASHBOARDS, ids=lambda path: path.name)
def notebook(request) -> nbformat.NotebookNode:
    return nbformat.read(request.param, as_version=4)


def code_of(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_a_notebook_is_valid_and_runs_on_the_python_of_the_environment(notebook):
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"


def test_a_notebook_is_stored_without_outputs(notebook):
    for cell in code_of(notebook):
        assert cell.outputs == [] and cell.execution_count is None
    assert "widgets" not in notebook.metadata and "papermill" not in notebook.metadata


def test_a_notebook_installs_nothing_and_names_no_place_of_one_computer(notebook):
    for cell in notebook.cells:
        assert not re.search(r"^\s*[%!]", cell.source, re.MULTILINE) or cell.cell_type != "code", cell.source
        assert not re.search(r"(?<![\w:/.])(/[a-z]+/[\w./-]+|~/|[A-Za-z]:\\)", cell.source), cell.source


def test_code_cells_are_short(notebook):
    for cell in code_of(notebook):
        assert len(cell.source.splitlines()) <= 15, cell.source


def test_code_cells_are_python(notebook):
    for cell in code_of(notebook):
        ast.parse(cell.source)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_begins_with_its_title_and_ends_with_what_to_do(path):
    cells = nbformat.read(path, as_version=4).cells
    assert cells[0].cell_type == "markdown" and re.match(r"# \S", cells[0].source)
    assert "nputs" in cells[0].source and "utputs" in cells[0].source
    assert cells[-1].cell_type == "markdown" and "next" in cells[-1].source.lower()
    assert not any(re.match(r"# ", cell.source) for cell in cells[1:] if cell.cell_type == "markdown")


def test_every_notebook_has_a_parameter_model():
    assert {path.stem for path in NOTEBOOKS} == set(NOTEBOOK_PARAMS)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_the_parameters_cell_says_what_the_parameter_model_says(path):
    cells = nbformat.read(path, as_version=4).cells
    tagged = [cell for cell in cells if "parameters" in cell.metadata.get("tags", [])]
    assert len(tagged) == 1 and tagged[0] is next(cell for cell in cells if cell.cell_type == "code")
    declared = {}
    for line, node in zip(tagged[0].source.splitlines(), ast.parse(tagged[0].source).body, strict=True):
        assert isinstance(node, ast.AnnAssign) and node.simple, line
        declared[node.target.id] = (node.annotation.id, ast.literal_eval(node.value))
        assert "  # " in line, f"a sentence per parameter: {line}"
    fields = NOTEBOOK_PARAMS[path.stem].model_fields
    assert list(declared) == list(fields)
    for name, (kind, default) in declared.items():
        assert default == fields[name].default and type(default) is type(fields[name].default), name
        assert kind == type(default).__name__, name


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.name)
def test_a_dashboard_takes_no_parameters(path):
    cells = nbformat.read(path, as_version=4).cells
    assert not [cell for cell in cells if "parameters" in cell.metadata.get("tags", [])]
