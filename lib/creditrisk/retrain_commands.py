"""The command that asks monitoring whether a new model is due, makes a challenger and proposes it: retrain."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from creditrisk.errors import ParameterError, is_about_input
from creditrisk.settings import shown_path

if TYPE_CHECKING:
    from creditrisk.runs import RunOutcome

WHAT = "make, validate and propose a challenger when monitoring asks for one; a person promotes it"
STATUSES = """exit status:
  0  nothing to do, or a challenger is proposed (now, or before, and waits for a person)
  1  a challenger was made and is not fit, or a step failed
  2  wrong use, or models, log or tables cannot be read
  3  recalibration is asked for, and too few outcomes have matured"""
INTERRUPTED = 130


def add_retrain_commands(commands: Any) -> None:
    """Add `retrain` to the subparsers of the command line."""
    form = argparse.RawDescriptionHelpFormatter
    command = commands.add_parser("retrain", help=WHAT, description=WHAT, epilog=STATUSES, formatter_class=form)
    forced = ("recalibrate", "redevelop")
    command.add_argument("--force", choices=forced, default="", help="whatever monitoring says; needs --why")
    command.add_argument("--why", default="", metavar="TEXT", help="why it is forced; recorded")
    data = "newest tables to redevelop on: folder, URL or database (default: those of the champion's training run)"
    command.add_argument("--data", default="", metavar="FOLDER", help=data)
    portfolio = "portfolio to redevelop with (default: the one in the champion's file)"
    command.add_argument("--portfolio", default="", metavar="FILE", help=portfolio)
    as_of = "when outcomes are known, in the log and in --data, YYYY-MM-DD (default: now)"
    command.add_argument("--as-of", default="", metavar="DATE", help=as_of)
    command.add_argument("--trials", default="20", metavar="N", help="Optuna trials of each tuned attempt (default 20)")
    rows = "loans of the embedded book, where that is what the champion was trained on (default: as many as then)"
    command.add_argument("--rows", default="0", metavar="N", help=rows)
    command.add_argument("--artifacts", default="", metavar="FOLDER", help="folder or URL (default: the settings')")
    command.add_argument("--no-progress", action="store_true", help="show no progress bar")
    command.set_defaults(command=_retrain)


def _retrain(arguments: argparse.Namespace) -> int:
    from creditrisk.runs import run_notebook

    if arguments.force and not arguments.why.strip():
        raise ParameterError("--force needs --why TEXT: it is recorded, with what monitoring says")
    if arguments.why.strip() and not arguments.force:
        raise ParameterError(
            "--why says why something is forced; give --force recalibrate or --force redevelop with it"
        )
    names = ("force", "why", "data", "portfolio", "as_of", "trials", "rows", "artifacts")
    given = {name: value for name in names if (value := getattr(arguments, name))}
    done = run_notebook("retrain", given, progress=not arguments.no_progress)
    status, lines = _ending(done)
    print("\n".join(lines), file=sys.stderr, flush=True)
    print(done.folder.path, flush=True)
    return status


def _ending(done: RunOutcome) -> tuple[int, list[str]]:
    """The exit status, and what a person wants to know."""
    from creditrisk.retraining import EXIT_STATUS, NOTHING
    from creditrisk.runs import read_result

    result = read_result(done.folder.path)
    told = [f"{step['name']}: {shown_path(done.folder.path.parent / step['run'])}" for step in result.get("steps", [])]
    look = f"look at {shown_path(done.folder.file('report.html'))}"
    if done.status == "interrupted":
        return INTERRUPTED, [*told, done.error]
    if not done.ok:
        kind, _, message = done.error.partition(": ")
        about_input = is_about_input(kind) and kind != "StepFailed"
        shown = [] if is_about_input(kind) else list(done.traceback[-25:])
        return (2 if about_input else 1), [
            *shown,
            *told,
            f"error: {message if is_about_input(kind) else done.error}",
            look,
        ]
    lines = [result["headline"]]
    if result["outcome"] == NOTHING:
        lines += result["decision"]["why"]
    proposal = result.get("proposal")
    if proposal:
        lines += [note for note in proposal["notes"] if note.startswith("validation")]
    if proposal and not proposal["proposed"]:
        lines.append(f"a person may overrule this, on record: {proposal['command']} --force --reason TEXT")
    return EXIT_STATUS[result["outcome"]], [*told, *lines, look]
