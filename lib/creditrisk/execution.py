"""Execute one notebook through papermill and judge, from what really ran, how it went."""

from __future__ import annotations

import logging
import os
import re
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import papermill
from jupyter_client.manager import AsyncKernelManager
from jupyter_core.utils import run_sync
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from papermill.exceptions import PapermillExecutionError
from papermill.translators import papermill_translators

IOPUB_PATIENCE = 60  # seconds for late output of a cell; papermill's 4 turn a large table into a failure
_COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


@dataclass(frozen=True)
class Verdict:
    """How an execution ended.

    `status` is ok, failed, kernel_died, timeout, incomplete or interrupted; `error` is one line, empty if ok;
    `traceback` has the lines of a failing cell's traceback, without colour codes.
    """

    status: str
    error: str = ""
    traceback: tuple[str, ...] = ()


def execute(
    source: Path,
    output: Path,
    parameters: Mapping[str, Any],
    *,
    folder: Path,
    env: Mapping[str, str],
    kernel_log: Path,
    title: str,
    progress: bool,
    timeout: int | None,
) -> tuple[Verdict, NotebookNode | None]:
    """Run notebook `source` with `folder` as working directory and save what happened to `output`.

    `env` is added to the kernel's environment alone. What the kernel's process writes past Jupyter (warnings
    of a dying interpreter, say) goes to `kernel_log`. `timeout` is in seconds per cell. Returns the verdict
    and the notebook as saved, None where not even that was possible. Ctrl-C, SIGTERM and SIGHUP end the
    kernel and give the verdict "interrupted".
    """
    started: list[AsyncKernelManager] = []
    raised: BaseException | None = None
    with _quiet_papermill(), _terminable(), kernel_log.open("wb") as stream:
        try:
            papermill.execute_notebook(
                _literal(source),
                _literal(output),
                dict(parameters),
                kernel_name="python3",
                kernel_manager_class=_kernel_manager(started, folder, env, stream.fileno()),
                progress_bar={"desc": title, "file": sys.stderr} if progress else False,
                execution_timeout=timeout,
                iopub_timeout=IOPUB_PATIENCE,
            )
        except (Exception, KeyboardInterrupt) as problem:
            raised = problem
        finally:
            _end(started)
    notebook = _read(output)
    verdict = judge(notebook, raised, timeout, _exit_code(started))
    if notebook is not None:
        notebook = _corrected(notebook, source, verdict)
        nbformat.write(notebook, output)
    return verdict, notebook


def judge(
    notebook: NotebookNode | None, raised: BaseException | None, timeout: int | None, exit_code: int | None
) -> Verdict:
    """The verdict on an execution that left `notebook` behind and ended with `raised` (None: no exception).

    papermill marks cells completed that a killed kernel never reached, and calls sys.exit(0) in the middle a
    success; what counts here is the exception and which cells were started.
    """
    where = _place(notebook)
    match raised:
        case KeyboardInterrupt():
            return Verdict("interrupted", f"KeyboardInterrupt: stopped from outside{where}")
        case CellTimeoutError():
            return Verdict("timeout", f"CellTimeoutError: a cell ran longer than {timeout} seconds{where}")
        case DeadKernelError():
            return Verdict("kernel_died", _death(exit_code, where))
        case RuntimeError() if "Kernel died" in str(raised):
            return Verdict("kernel_died", _death(exit_code, " before the first cell"))
        case PapermillExecutionError():
            lines = _COLOUR.sub("", "\n".join(raised.traceback)).splitlines()
            return Verdict("failed", _one_line(raised.ename, raised.evalue), tuple(lines))
        case Exception():
            return Verdict("failed", _one_line(type(raised).__name__, str(raised)))
    if notebook is None:
        return Verdict("failed", "OSError: the executed notebook was not saved")
    left = sum(not _was_started(cell) for cell in notebook.cells if cell.cell_type == "code")
    if left or _exits(notebook):
        cells = "1 code cell" if left == 1 else f"{left} code cells"
        return Verdict("incomplete", f"SystemExit: stopped{where}; {cells} did not run")
    return Verdict("ok")


def _kernel_manager(
    started: list[AsyncKernelManager], folder: Path, env: Mapping[str, str], stream: int
) -> type[AsyncKernelManager]:
    """A kernel manager class whose kernels get `env` and `folder` without a change to this process.

    papermill itself knows neither: it changes the directory of the whole process and has no word for
    variables.
    """

    class RunKernelManager(AsyncKernelManager):
        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            self.transport_encryption = "auto"
            self.process = None
            started.append(self)

        async def start_kernel(self, **options: Any) -> None:
            options.update(env={**os.environ, **env}, cwd=str(folder), stdout=stream, stderr=stream)
            await super().start_kernel(**options)
            self.process = getattr(self.provisioner, "process", None)

    return RunKernelManager


def _end(started: list[AsyncKernelManager]) -> None:
    """End kernels that nbclient left behind, as it does when interrupted while one is starting."""
    for manager in started:
        with suppress(Exception):
            if manager.has_kernel:
                run_sync(manager.shutdown_kernel)(now=True)


def _exit_code(started: list[AsyncKernelManager]) -> int | None:
    process = started[-1].process if started else None
    return None if process is None else process.poll()


def _death(exit_code: int | None, where: str) -> str:
    if exit_code is None:
        return f"DeadKernelError: the kernel died{where}"
    if exit_code >= 0:
        return f"DeadKernelError: the kernel ended itself with exit status {exit_code}{where}"
    name = signal.Signals(-exit_code).name if -exit_code in set(signal.Signals) else f"signal {-exit_code}"
    hint = "; the system does this when memory runs out" if name == "SIGKILL" else ""
    return f"DeadKernelError: the kernel was ended by {name}{where}{hint}"


@contextmanager
def _quiet_papermill() -> Iterator[None]:
    """papermill's log repeats what the verdict says, at more length; other threads keep theirs."""
    logger, here = logging.getLogger("papermill"), threading.get_ident()

    def elsewhere(record: logging.LogRecord) -> bool:
        return record.thread != here

    logger.addFilter(elsewhere)
    try:
        yield
    finally:
        logger.removeFilter(elsewhere)


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM and SIGHUP arrive as KeyboardInterrupt, the one exception that asyncio lets through at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    names = [name for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {getattr(signal, name): signal.getsignal(getattr(signal, name)) for name in names}
    for number, handler in before.items():
        if handler is signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is signal.SIG_DFL:
                signal.signal(number, handler)


def _literal(path: Path) -> str:
    """papermill fills braces in paths like a template."""
    return str(path.resolve()).replace("{", "{{").replace("}", "}}")


def _read(path: Path) -> NotebookNode | None:
    try:
        return nbformat.read(path, as_version=4)
    except (OSError, ValueError, nbformat.ValidationError):
        return None


def _was_started(cell: NotebookNode) -> bool:
    return cell.metadata.get("papermill", {}).get("start_time") is not None


def _exits(notebook: NotebookNode) -> bool:
    outputs = (output for cell in notebook.cells for output in cell.get("outputs", []))
    return any(output.output_type == "error" for output in outputs)


def _last_started(notebook: NotebookNode) -> int | None:
    indices = [index for index, cell in enumerate(notebook.cells) if cell.cell_type == "code" and _was_started(cell)]
    return indices[-1] if indices else None


def _place(notebook: NotebookNode | None) -> str:
    """Where an execution stopped, in words: the number of the code cell and its first line."""
    last = None if notebook is None else _last_started(notebook)
    if notebook is None or last is None:
        return ""
    number = sum(cell.cell_type == "code" for cell in notebook.cells[: last + 1])
    lines = notebook.cells[last].source.strip().splitlines()
    return f" in code cell {number} ({lines[0][:60]})" if lines else f" in code cell {number}"


def _one_line(name: str, value: str) -> str:
    lines = [" ".join(line.split()) for line in value.splitlines()]
    return f"{name}: {'; '.join(filter(None, lines))}"


def _corrected(notebook: NotebookNode, source: Path, verdict: Verdict) -> NotebookNode:
    """The saved notebook with metadata that tell the truth, and without names of this machine's folders."""
    about = notebook.metadata.setdefault("papermill", NotebookNode())
    about["input_path"], about["output_path"] = source.name, None
    if verdict.status not in ("kernel_died", "timeout", "interrupted"):
        return notebook
    about["exception"] = True
    last = _last_started(notebook)
    for index, cell in enumerate(notebook.cells):
        marks = cell.metadata.get("papermill")
        if marks and index == last:
            marks.update(status="failed", exception=True)
        elif marks and (last is None or index > last) and not _was_started(cell):
            marks["status"] = "pending"
    return notebook


def declared_parameters(notebook: NotebookNode) -> dict[str, tuple[str, str]]:
    """The names in a notebook's parameters cell, each with (annotation, default as source text)."""
    tagged = (cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", []))
    cell = next(tagged, None)
    found = [] if cell is None else papermill_translators.find_translator("python3", "python").inspect(cell)
    return {one.name: (one.inferred_type_name, one.default) for one in found}
