"""The command line of API keys: keys add, keys list, keys revoke."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from creditrisk.errors import ParameterError
from creditrisk.settings import settings

FILE = "file of the keys (default: CREDITRISK_KEYS_FILE)"


def add_key_commands(commands: Any) -> None:
    """Add `keys add|list|revoke` to the subparsers `commands`."""
    what = "make, list and revoke keys of the HTTP API"
    keys = commands.add_parser("keys", help=what, description=what).add_subparsers(required=True, metavar="command")
    command = _command(keys, "add", "make a key: printed once, stored as a hash", _add)
    command.add_argument("name", metavar="NAME", help="who will call with it; each prediction is logged with it")
    command.add_argument("--another", action="store_true", help="even though NAME has a key, to change keys in peace")
    command = _command(keys, "list", "list the keys, revoked ones too", _list)
    command = _command(keys, "revoke", "revoke keys; services that run notice within a second", _revoke)
    command.add_argument("name", metavar="NAME", help="name, for all its keys, or id of one")


def _command(keys: Any, name: str, what: str, function: Callable[[argparse.Namespace], int]) -> argparse.ArgumentParser:
    command = keys.add_parser(name, help=what, description=what)
    command.add_argument("--file", default="", metavar="FILE", help=FILE)
    command.set_defaults(command=function)
    return command


def _file(arguments: argparse.Namespace) -> Path:
    file = arguments.file or settings().keys_file
    if not file:
        raise ParameterError("name the file of the keys: --file keys.jsonl, or CREDITRISK_KEYS_FILE")
    return Path(file)


def _add(arguments: argparse.Namespace) -> int:
    from creditrisk.serving.access import add_key

    file = _file(arguments)
    key, stored = add_key(file, arguments.name, arguments.another)
    print(key)  # alone on the standard output, so that it can be piped into a vault
    print(f"{stored.name} may call with this key, which is shown only now. {file} holds its hash", file=sys.stderr)
    print(f"in place of the file: CREDITRISK_KEYS={stored.name}:{stored.hash}", file=sys.stderr)
    return 0


def _list(arguments: argparse.Namespace) -> int:
    from creditrisk.serving.access import read_keys

    file = _file(arguments)
    rows = [("name", "id", "created", "revoked")]
    rows += [(key.name, key.id, key.created or "-", key.revoked or "-") for key in read_keys(file)]
    if len(rows) == 1:
        print(f"no keys in {file} yet; creditrisk keys add NAME makes one", file=sys.stderr)
        return 0
    wide = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(f"{cell:<{width}}" for cell, width in zip(row, wide, strict=True)).rstrip())
    return 0


def _revoke(arguments: argparse.Namespace) -> int:
    from creditrisk.serving.access import revoke_keys

    for key in revoke_keys(_file(arguments), arguments.name):
        print(f"revoked: {key.name}, {key.id}, made {key.created or 'at an unknown time'}")
    return 0
