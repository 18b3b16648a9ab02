"""Runs: execute a notebook with checked parameters and keep the evidence in a folder of its own."""

from __future__ import annotations

import json
import math
import os
import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from creditrisk.errors import ParameterError
from creditrisk.params import NOTEBOOK_PARAMS, check_declared, check_params
from creditrisk.settings import settings, shown_path

if TYPE_CHECKING:
    import pandas as pd
    from nbformat import NotebookNode

RUN_DIR_VARIABLE = "CREDITRISK_RUN_DIR"
VERDICT_KEYS = ("status", "notebook", "started", "finished", "seconds", "error")
_FOLDER_NAME = re.compile(r"(\d{8}T\d{6}Z)-(.+)-[0-9a-f]{6}")


@dataclass(frozen=True)
class RunFolder:
    """The folder of one run; `name` is the notebook's name without its ending."""

    path: Path
    name: str

    def file(self, name: str) -> Path:
        """The path of a file in this folder."""
        return self.path / name

    def save_result(self, values: Mapping[str, Any]) -> None:
        """Merge `values` into result.json; readers see the old content or the new, never a part.

        NumPy scalars and arrays, dates and paths become their JSON forms. Raises ValueError for NaN,
        infinity and the names that the runner itself writes, TypeError for what JSON has no form for; both
        name the key.
        """
        taken = [key for key in values if key in VERDICT_KEYS]
        if taken:
            raise ValueError(f"result {', '.join(map(repr, taken))}: written by the runner; choose another name")
        self._merge(values)

    def save_rejected(self, frame: pd.DataFrame) -> None:
        """Write the rows that were refused to rejected.parquet; values of mixed types are kept as text."""
        mixed = [column for column in frame.columns if frame[column].dtype == object]
        as_text = {column: frame[column].map(str, na_action="ignore").astype("str") for column in mixed}
        part = self.file(".rejected.parquet")
        frame.assign(**as_text).to_parquet(part, index=False)
        os.replace(part, self.file("rejected.parquet"))

    def _merge(self, values: Mapping[str, Any]) -> dict[str, Any]:
        merged = {**read_result(self.path), **_plain(values, "")}
        merged = {key: merged[key] for key in sorted(merged, key=_verdict_first)}
        _write_json(self.file("result.json"), merged)
        return merged


@dataclass(frozen=True)
class RunOutcome:
    """How a run ended.

    `status` is ok, failed, kernel_died, timeout, incomplete or interrupted; `error` is one line, empty if ok;
    `traceback` has the lines of the failing cell's traceback; `files` are the names written to the folder.
    """

    folder: RunFolder
    status: str
    error: str
    traceback: tuple[str, ...]
    seconds: float
    files: tuple[str, ...]

    @property
    def ok(self) -> bool:
        return self.status == "ok"


def current_run(name: str) -> RunFolder:
    """The folder of the run that this notebook belongs to; call it once per notebook and keep it.

    Under the runner it is the folder the runner made. Anywhere else (plain papermill, Jupyter) a new one is
    made and its place is printed.
    """
    given = os.environ.get(RUN_DIR_VARIABLE)
    if given:
        return RunFolder(Path(given), name)
    run = _new_folder(name)
    run._merge({"status": "manual", "notebook": f"{name}.ipynb", "started": _utc()})
    print(f"Evidence of this run: {shown_path(run.path)}")
    return run


def run_notebook(
    name_or_path: str | Path, params: Mapping[str, Any], *, progress: bool, timeout: int | None = None
) -> RunOutcome:
    """Execute a notebook in its own kernel and keep everything about it in a new run folder.

    `name_or_path` is "train", "score" or "drift", or the path of another notebook. Relative paths in
    parameters count from the caller's working directory; the notebook itself works in the home folder.
    `progress` shows one bar on standard error; `timeout` is in seconds per cell. Raises ParameterError,
    before a kernel or a folder exists, if the notebook cannot be read or a parameter is not one of its own;
    whatever happens later is in the outcome and in result.json.
    """
    source = _find(name_or_path)
    notebook = _readable(source)
    injected, values = _checked(source, notebook, params)

    from creditrisk.execution import execute  # slow to import, so before there is a folder to leave behind

    run = _new_folder(source.stem)
    _write_json(run.file("params.json"), values)
    run._merge({"status": "running", "notebook": shown_path(source), "started": _utc()})
    clock = time.monotonic()
    partial = run.file(".partial.ipynb")
    verdict, executed = execute(
        source,
        partial,
        injected,
        folder=settings().home,
        env=_environment(run),
        kernel_log=run.file("kernel.log"),
        title=run.name,
        progress=progress,
        timeout=timeout,
    )
    seconds = round(time.monotonic() - clock, 3)
    if partial.exists():
        os.replace(partial, run.file(run.name + (".ipynb" if verdict.status == "ok" else ".failed.ipynb")))
    if verdict.status == "ok" or not run.file("kernel.log").stat().st_size:
        run.file("kernel.log").unlink()  # it helps only where something went wrong
    if not run.file("rejected.parquet").exists():
        _write_no_rejected(run.file("rejected.parquet"))
    result = run._merge(
        {"status": verdict.status, "finished": _utc(), "seconds": seconds, "error": verdict.error or None}
    )
    if executed is not None:
        _write_report(run, executed, result, values, images=source.parent)
    files = tuple(sorted(path.name for path in run.path.iterdir() if path.is_file()))
    return RunOutcome(run, verdict.status, verdict.error, verdict.traceback, seconds, files)


def list_runs() -> list[dict[str, Any]]:
    """All runs, newest first: started, name, status, seconds, folder.

    A folder whose result is missing or unreadable (a run that was killed) is listed with status "unknown".
    """
    root = settings().runs_dir
    found = []
    for path in root.iterdir() if root.is_dir() else []:
        match = _FOLDER_NAME.fullmatch(path.name)
        if match and path.is_dir():
            result = read_result(path)
            stamp = datetime.strptime(match[1], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
            found.append(
                {
                    "started": result.get("started") or stamp.isoformat(),
                    "name": match[2],
                    "status": result.get("status", "unknown"),
                    "seconds": result.get("seconds"),
                    "folder": str(path),
                }
            )
    return sorted(found, key=lambda run: (str(run["started"]), run["folder"]), reverse=True)


def read_result(folder: Path) -> dict[str, Any]:
    """The content of a run's result.json, empty if there is none or it cannot be read."""
    try:
        result = json.loads((folder / "result.json").read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return result if isinstance(result, dict) else {}


def _find(name_or_path: str | Path) -> Path:
    own = settings().home / "notebooks" / f"{name_or_path}.ipynb"
    source = own if str(name_or_path) in NOTEBOOK_PARAMS else Path(name_or_path)
    if not source.is_file() or source.suffix != ".ipynb":
        raise ParameterError(
            f"no notebook at {shown_path(source)}; give {', '.join(NOTEBOOK_PARAMS)} or an .ipynb file"
        )
    return source.resolve()


def _readable(source: Path) -> NotebookNode:
    import nbformat

    try:
        return nbformat.read(source, as_version=4)
    except Exception as problem:  # nbformat guesses at formats, and falls over whatever is not there
        what = " ".join(str(problem).split())[:200]
        raise ParameterError(f"{shown_path(source)} is not a notebook: {what}") from None


def _checked(source: Path, notebook: NotebookNode, params: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The parameters to inject and all parameters of the run, defaults included, as plain JSON values."""
    if source.stem in NOTEBOOK_PARAMS and source.parent == (settings().home / "notebooks").resolve():
        values = check_params(source.stem, params).resolved(Path.cwd()).model_dump(mode="json")
        return values, values
    from creditrisk.execution import declared_parameters

    return check_declared(source.name, params, declared_parameters(notebook))


def _environment(run: RunFolder) -> dict[str, str]:
    """What the kernel's environment has beyond ours; absolute places, as it works in another folder."""
    return {RUN_DIR_VARIABLE: str(run.path), **settings().environment()}


def _new_folder(name: str) -> RunFolder:
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    path = settings().runs_dir / f"{stamp}-{name}-{secrets.token_hex(3)}"
    path.mkdir(parents=True)  # an existing folder is an error: evidence is never written over
    return RunFolder(path, name)


def _write_report(
    run: RunFolder,
    executed: NotebookNode,
    result: Mapping[str, Any],
    values: Mapping[str, Any],
    *,
    images: Path,
) -> None:
    try:
        from creditrisk.report import render_report

        page = render_report(executed, result, values, title=run.name, images=images)
    except Exception as problem:  # a page that cannot be drawn must not take the run's result with it
        run._merge({"report_error": f"{type(problem).__name__}: {problem}"})
        return
    part = run.file(".report.html")
    part.write_text(page, "utf-8")
    os.replace(part, run.file("report.html"))


def _write_no_rejected(path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.table({}), path)


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    part = path.with_name(f".{path.name}.part")
    part.write_text(json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n", "utf-8")
    os.replace(part, path)


def _plain(value: Any, where: str) -> Any:
    """`value` in JSON's own types; `where` is its key, for messages."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(item, f"{where}.{key}" if where else str(key)) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, f"{where}[{index}]") for index, item in enumerate(value)]
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Path):
        return str(value)
    if type(value) is int or type(value) is float:
        if not math.isfinite(value):
            raise ValueError(f"result {where} is {value}: JSON has no such number; give None where there is none")
        return value
    if hasattr(value, "tolist"):  # NumPy scalars and arrays
        return _plain(value.tolist(), where)
    raise TypeError(f"result {where} is a {type(value).__name__}: give numbers, text, lists or mappings")


def _verdict_first(key: str) -> int:
    return VERDICT_KEYS.index(key) if key in VERDICT_KEYS else len(VERDICT_KEYS)


def _utc() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
