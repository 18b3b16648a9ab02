"""The command line of alerts: alerts test, alerts list."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from creditrisk.errors import ParameterError
from creditrisk.settings import settings


def add_alert_commands(commands: Any) -> None:
    """Add `alerts test|list` to the subparsers `commands`."""
    what = "try the receivers of alerts, and list what they were sent"
    alerts = commands.add_parser("alerts", help=what, description=what).add_subparsers(required=True, metavar="command")
    what = "send a test message to every receiver, and say which of them took it"
    command = alerts.add_parser("test", help=what, description=what)
    command.set_defaults(command=_test)
    what = "list alerts, newest first"
    command = alerts.add_parser("list", help=what, description=what)
    command.add_argument("--limit", type=int, default=20, metavar="N", help="at most N alerts (default 20)")
    command.add_argument("--all", action="store_true", help="changes of status that nobody was told of, too")
    command.add_argument("--json", action="store_true", help="print JSON instead of a table")
    command.add_argument("--database", default="", metavar="URL", help="prediction log (default: the settings')")
    command.set_defaults(command=_list)


def _test(_: argparse.Namespace) -> int:
    from creditrisk.monitoring.alerts import NO_RECEIVER, statuses_told
    from creditrisk.monitoring.receivers import open_receivers

    statuses_told(settings())  # what a service would refuse is refused here, too
    receivers = open_receivers(settings().alert_urls, settings().alert_file)
    if not receivers:
        raise ParameterError(NO_RECEIVER)
    title, body = "creditrisk: a test", "This is a test of the receivers of alerts. Nothing has happened."
    failures = 0
    for receiver in receivers:
        reason = receiver.send(title, body)
        failures += reason is not None
        print(f"{receiver.name}: {'taken' if reason is None else f'not reached: {reason}'}", flush=True)
    return 1 if failures else 0


def _list(arguments: argparse.Namespace) -> int:
    from creditrisk.serving.alert_log import alerts
    from creditrisk.serving.log import PredictionLog

    log = PredictionLog(arguments.database or settings().log_url)
    try:
        log.check_schema()
        found = alerts(log, arguments.limit, all=arguments.all)
    finally:
        log.close()
    if arguments.json:
        print(json.dumps(found, indent=2, ensure_ascii=False, default=str))
    elif not found:
        print("no alerts yet", file=sys.stderr)
    else:
        rows = [("number", "decided", "subject", "before", "status", "state", "sent", "title", "to be mended")]
        for one in found:
            sent = f"{one['sent_at']:%Y-%m-%d %H:%M}" if one["sent_at"] else "-"
            told = (str(one["id"]), f"{one['created_at']:%Y-%m-%d %H:%M}", one["subject"], one["status_before"] or "-")
            rows.append((*told, one["status"], one["state"], sent, one["title"], one["error"] or "-"))
        wide = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            print("  ".join(f"{cell:<{width}}" for cell, width in zip(row, wide, strict=True)).rstrip())
    return 0
