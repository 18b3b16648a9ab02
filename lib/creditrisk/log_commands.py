"""The command line of the prediction log: log export, log purge, log hold, log release, log holds."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from creditrisk.errors import ParameterError
from creditrisk.settings import settings

if TYPE_CHECKING:
    from creditrisk.serving.log import PredictionLog

BY = "who does it; on record (default: the login name)"


def add_log_commands(commands: Any) -> None:
    """Add `log export|purge|hold|release|holds` to the subparsers `commands`."""
    what = "export or purge the prediction log, and keep predictions from being purged"
    log = commands.add_parser("log", help=what, description=what).add_subparsers(required=True, metavar="command")
    command = _command(log, "export", "write predictions, outcomes and decisions to a file", _export)
    command.add_argument("--out", required=True, metavar="FILE", help="a new .jsonl, .csv or .parquet file")
    command.add_argument("--since", metavar="DATE", help="first day or time, UTC: YYYY-MM-DD or YYYY-MM-DDTHH:MM:SS")
    command.add_argument("--until", metavar="DATE", help="day or time at which to stop; not included")
    command.add_argument("--model", metavar="VERSION", help="only predictions of this version, as in v2")
    command.add_argument("--by", default="", metavar="NAME", help=BY)
    command = _command(log, "purge", "delete old predictions that no legal hold keeps", _purge)
    age = "days, as in 400d; CREDITRISK_LOG_MINIMUM_DAYS at least"
    command.add_argument("--older-than", required=True, metavar="AGE", help=age)
    command.add_argument("--by", required=True, metavar="NAME", help="who does it; on record")
    command.add_argument("--dry-run", action="store_true", help="count only, delete nothing")
    command = _command(log, "hold", "keep predictions from being purged", _hold)
    held = command.add_mutually_exclusive_group(required=True)
    held.add_argument("--prediction", metavar="ID", help="prediction_id")
    held.add_argument("--application", metavar="ID", help="application_id: all its predictions, later ones too")
    command.add_argument("--reason", required=True, metavar="TEXT", help="why; on record")
    command.add_argument("--by", default="", metavar="NAME", help=BY)
    command = _command(log, "release", "end a legal hold", _release)
    command.add_argument("hold", type=int, metavar="NUMBER", help="as listed by log holds")
    command.add_argument("--by", default="", metavar="NAME", help=BY)
    command = _command(log, "holds", "list legal holds", _holds)
    command.add_argument("--all", action="store_true", help="released ones too")
    command.add_argument("--json", action="store_true", help="print JSON instead of a table")


def _command(log: Any, name: str, what: str, function: Callable[[argparse.Namespace], int]) -> argparse.ArgumentParser:
    command = log.add_parser(name, help=what, description=what)
    command.add_argument("--database", default="", metavar="URL", help="prediction log (default: the settings')")
    command.set_defaults(command=function)
    return command


@contextmanager
def _opened(arguments: argparse.Namespace) -> Iterator[PredictionLog]:
    from creditrisk.serving.log import PredictionLog

    log = PredictionLog(arguments.database or settings().log_url)
    try:
        log.check_schema()
        yield log
    finally:
        log.close()


def _who(arguments: argparse.Namespace) -> str:
    import getpass

    try:
        return arguments.by.strip() or getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container without a user of that number
        raise ParameterError("nobody is logged in here by name; say who does it, with --by NAME") from None


def _export(arguments: argparse.Namespace) -> int:
    from creditrisk.serving.retention import export, parse_moment

    since, until = (text and parse_moment(text) for text in (arguments.since, arguments.until))
    with _opened(arguments) as log:
        done = export(log, arguments.out, by=_who(arguments), since=since, until=until, model_version=arguments.model)
    print(f"{done.path}: {done.rows:,} predictions")
    return 0


def _purge(arguments: argparse.Namespace) -> int:
    from creditrisk.serving.retention import parse_age, purge

    days = parse_age(arguments.older_than)
    least = settings().log_minimum_days
    with _opened(arguments) as log:
        done = purge(log, days, by=arguments.by, minimum_days=least, dry_run=arguments.dry_run)
    verb = "would be deleted" if done.dry_run else "deleted"
    print(f"{done.rows:,} predictions from before {done.cutoff:%Y-%m-%d %H:%M} UTC {verb}, {done.held:,} kept by holds")
    return 0


def _hold(arguments: argparse.Namespace) -> int:
    from creditrisk.serving.retention import hold

    with _opened(arguments) as log:
        done = hold(
            log,
            reason=arguments.reason,
            by=_who(arguments),
            prediction_id=arguments.prediction,
            application_id=arguments.application,
        )
    print(f"legal hold {done.id} covers {done.predictions:,} predictions")
    return 0


def _release(arguments: argparse.Namespace) -> int:
    from creditrisk.serving.retention import release

    with _opened(arguments) as log:
        done = release(log, arguments.hold, by=_who(arguments))
    print(f"legal hold {done.id} released; it covered {done.predictions:,} predictions")
    return 0


def _holds(arguments: argparse.Namespace) -> int:
    with _opened(arguments) as log:
        found = log.holds(active=not arguments.all)
    if arguments.json:
        print(json.dumps(found, indent=2, ensure_ascii=False, default=str))
    elif not found:
        print("no legal holds; creditrisk log hold places one", file=sys.stderr)
    else:
        rows = [("number", "since", "of", "reason", "by", "released", "by")]
        for one in found:
            ended = f"{one['released_at']:%Y-%m-%d}" if one["released_at"] else "-"
            name = "application" if one["prediction_id"] is None else "prediction"
            held = f"{name} {one['prediction_id'] or one['application_id']}"
            told = (str(one["id"]), f"{one['created_at']:%Y-%m-%d}", held, one["reason"], one["held_by"])
            rows.append((*told, ended, one["released_by"] or "-"))
        wide = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            print("  ".join(f"{cell:<{width}}" for cell, width in zip(row, wide, strict=True)).rstrip())
    return 0
