"""Notebook regression: the notebooks with smoke parameters, run by nbval against the outputs kept in expected/.

The notebooks in the repository carry no outputs and their default parameters are the real run. For a regression each
is copied, its parameters are replaced by smaller ones, and the cells tagged `nbval-check-output` get the outputs they
must reproduce. `python tests/notebooks/regression.py --update` writes those outputs anew.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parents[2]
EXPECTED = Path(__file__).parent / "expected"
CHECKED = "nbval-check-output"
SMOKE = {
    "train": {"rows": 4_000, "trials": 2},
    "score": {"model": "v2"},
    "drift": {"model": "v2", "window": 500},
    "outcomes": {"model": "v2"},
    "binning": {"rows": 4_000},
    "validate": {"model": "v2", "rows": 4_000},
    "risk": {},
    "recalibrate": {"model": "v2", "as_of": "2025-02-01"},
    "retrain": {},
}
"""The chain and its parameters: training first, then what needs a trained model; the page has none."""


def prepare(name: str, folder: Path) -> None:
    """What a notebook needs that none before it has made: matured outcomes, to recalibrate on."""
    if name != "recalibrate":
        return
    sys.path.insert(0, str(ROOT / "tests"))
    from creditrisk.serving.model import load_model
    from matured import log_matured

    log_matured(load_model("v2", str(folder / "artifacts")), f"sqlite:///{folder / 'runs' / 'predictions.db'}", 1_500)


def notebook_file(name: str) -> Path:
    """The notebook in the repository."""
    return next(path for folder in ("notebooks", "dashboards") if (path := ROOT / folder / f"{name}.ipynb").exists())


def smoke_copy(name: str, folder: Path, expected: dict[str, str] | None) -> Path:
    """A copy of a notebook with smoke parameters; checked cells hold `expected` outputs (cell id -> text), if any."""
    notebook = nbformat.read(notebook_file(name), as_version=4)
    for count, cell in enumerate((c for c in notebook.cells if c.cell_type == "code"), 1):
        cell.execution_count = count
        tags = cell.metadata.get("tags", [])
        if "parameters" in tags:
            cell.source = with_parameters(cell.source, SMOKE[name])
        if CHECKED in tags and expected is not None:
            cell.outputs = [_output(expected[cell.id], count)]
    target = folder / f"{name}.ipynb"
    nbformat.write(notebook, target)
    return target


def _output(text: str, count: int):
    """Printed text, or the text of a result (which ends without a line break)."""
    if text.endswith("\n"):
        return nbformat.v4.new_output("stream", name="stdout", text=text)
    return nbformat.v4.new_output("execute_result", {"text/plain": text}, execution_count=count)


def _text(output) -> str:
    return output.text if output.output_type == "stream" else output.data["text/plain"]


def with_parameters(source: str, values: dict) -> str:
    """The parameters cell with other values; raises KeyError for a parameter it does not have."""
    lines, left = [], dict(values)
    for line in source.splitlines():
        name = line.partition(":")[0].strip()
        if name in left:
            line = f"{line.partition('=')[0]}= {left.pop(name)!r}"
        lines.append(line)
    if left:
        raise KeyError(f"no parameter {', '.join(left)} in the parameters cell")
    return "\n".join(lines)


def checked_cells(name: str) -> list[str]:
    """Ids of the cells whose output is checked."""
    notebook = nbformat.read(notebook_file(name), as_version=4)
    return [cell.id for cell in notebook.cells if CHECKED in cell.metadata.get("tags", [])]


def read_expected(name: str) -> dict[str, str]:
    return json.loads((EXPECTED / f"{name}.json").read_text())


def environment(folder: Path, library: Path | None = None) -> dict[str, str]:
    """Variables for a regression that leaves nothing outside `folder`; `library` takes the place of lib/."""
    found = dict(os.environ)
    found |= {"CREDITRISK_RUNS": str(folder / "runs"), "CREDITRISK_ARTIFACTS": str(folder / "artifacts")}
    found |= {"CREDITRISK_HOME": str(ROOT), "CREDITRISK_DATABASE_URL": "", "CREDITRISK_RUN_DIR": ""}
    if library is not None:
        found["PYTHONPATH"] = str(library)
    return found


def run_nbval(notebook: Path, env: dict[str, str]) -> subprocess.CompletedProcess:
    """pytest --nbval-lax on one notebook, in a process of its own."""
    command = [sys.executable, "-m", "pytest", "--nbval-lax", "--nbval-current-env", "--nbval-cell-timeout=300"]
    options = ["-p", "no:cacheprovider", "-q", "-c", os.devnull, "--rootdir", str(notebook.parent)]
    return subprocess.run([*command, *options, str(notebook)], env=env, capture_output=True, text=True, check=False)


def update() -> None:
    """Run the chain and keep what the checked cells print now."""
    import papermill

    EXPECTED.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        os.environ.update(environment(folder))
        for name in SMOKE:
            prepare(name, folder)
            copy = smoke_copy(name, folder, None)
            done = papermill.execute_notebook(str(copy), str(folder / f"{name}.out.ipynb"), kernel_name="python3")
            outputs = {
                cell.id: "".join(_text(output) for output in cell.outputs)
                for cell in done.cells
                if CHECKED in cell.metadata.get("tags", [])
            }
            (EXPECTED / f"{name}.json").write_text(json.dumps(outputs, indent=2) + "\n")
            print(f"{name}: {len(outputs)} checked cells")


if __name__ == "__main__":
    if sys.argv[1:] != ["--update"]:
        sys.exit("usage: python tests/notebooks/regression.py --update")
    update()
