"""The command that sends a living stream of applications: creditrisk simulate."""

from __future__ import annotations

import argparse
import math
import secrets
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from creditrisk.errors import ArtifactError, LogError, ParameterError
from creditrisk.settings import settings

if TYPE_CHECKING:
    from creditrisk.data.portfolio import Portfolio
    from creditrisk.sending import Outcomes, Plan, Screen, Tally
    from creditrisk.simulation import Stream

WHAT = "send a living stream of applications, drifting from a moment on, to the prediction log or an API"
DRIFT = (
    "what drifts; may be given again. NAME=1.5 (times), NAME=+20,000 or NAME=-5%% (shift), spread:NAME=1.5 (about the "
    "median, at equal mean), mix:NAME=LEVEL:0.5 (share of a level), missing:NAME=0.1 (optional inputs)"
)
INTERRUPTED = 130  # what shells expect after Ctrl-C
OF_OUTCOMES = ("performance_months", "as_of", "pd_times", "approved_only")
NOT_OF_API = ("database", "per_day", "start", "outcomes")


def add_simulate_command(commands: Any) -> None:
    """Add `simulate` to the subparsers of the command line."""
    command = commands.add_parser("simulate", help=WHAT, description=WHAT)
    command.add_argument("--n", type=_count, default=5_000, metavar="N", help="applications (default 5,000)")
    command.add_argument("--drift", action="append", default=[], metavar="NAME=CHANGE", help=DRIFT)
    start = "so many applications come before the drift (default 0)"
    command.add_argument("--from", dest="first", type=_whole, default=0, metavar="N", help=start)
    command.add_argument("--seed", type=_whole, default=42, help="seed of the draw (default 42)")
    data = "file of applications to draw from (default: the rules of the embedded book)"
    command.add_argument("--data", default="", metavar="FILE", help=data)
    rate = "applications a second (default 0: as fast as it goes)"
    command.add_argument("--rate", type=_amount, default=0.0, metavar="R", help=rate)
    run = "name of the stream, to go on with one that was ended: what is there already is not sent twice"
    command.add_argument("--run", default="", metavar="NAME", help=run)
    model = "version or alias (default: champion, or the one that the API serves)"
    command.add_argument("--model", default="", metavar="VERSION", help=model)
    artifacts = "folder or URL of the models (default: the settings')"
    command.add_argument("--artifacts", default="", metavar="FOLDER", help=artifacts)
    patience = "seconds after which a log or API that does not answer is given up (default 600)"
    command.add_argument("--patience", type=_amount, default=600.0, metavar="S", help=patience)
    command.add_argument("--no-progress", action="store_true", help="show no progress bar")
    to_log = command.add_argument_group("to the prediction log, scored and checked by this command")
    to_log.add_argument("--database", default="", metavar="URL", help="prediction log (default: the settings')")
    per_day = "predictions are made so many a day, instead of now"
    to_log.add_argument("--per-day", type=_count, default=0, metavar="N", help=per_day)
    to_log.add_argument(
        "--start", type=_day, metavar="DATE", help="the first of these days (default: the last is past)"
    )
    told = "report outcomes, too, drawn from true PDs, of predictions whose performance window has passed"
    to_log.add_argument("--outcomes", action="store_true", help=told)
    months = "length of that window (default: the portfolio's, else 12)"
    to_log.add_argument("--performance-months", type=_count, metavar="M", help=months)
    to_log.add_argument("--as-of", type=_day, metavar="DATE", help="by when it has passed (default: today)")
    concept = "true PDs are so many times as high, at most 1, after --from: a drift that no input shows (default 1)"
    to_log.add_argument("--pd-times", type=_amount, metavar="X", help=concept)
    approved = "only of applications that the policy approves"
    to_log.add_argument("--approved-only", action="store_true", default=None, help=approved)
    to_api = command.add_argument_group("to an API that runs, over HTTP; it scores, logs and checks")
    to_api.add_argument("--api", default="", metavar="URL", help="its address, as in http://127.0.0.1:8000")
    to_api.add_argument("--key-file", default="", metavar="FILE", help="file that holds an API key")
    connections = "requests that are under way at once (default 4)"
    to_api.add_argument("--connections", type=_count, metavar="N", help=connections)
    command.set_defaults(command=_simulate)


# --- Reading what is asked --------------------------------------------------------------------------------------------


def _amount(text: str) -> float:
    from creditrisk.simulation import read_number

    try:
        number = read_number(text)
    except ParameterError as problem:
        raise argparse.ArgumentTypeError(str(problem)) from None
    if number < 0:
        raise argparse.ArgumentTypeError(f"{text} is below 0")
    return number


def _whole(text: str) -> int:
    number = _amount(text)
    if not number.is_integer() or number > 1e12:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number, as in 2,000")
    return int(number)


def _count(text: str) -> int:
    if not (number := _whole(text)):
        raise argparse.ArgumentTypeError(f"{text} is not a number of 1 or more")
    return number


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text} is not a day; write it as 2026-01-31") from None


def _check(arguments: argparse.Namespace) -> None:
    """Raise ParameterError when options do not go together."""
    if arguments.api:
        for name in NOT_OF_API:
            if getattr(arguments, name):
                option = f"--{name.replace('_', '-')}"
                raise ParameterError(
                    f"{option} is for the prediction log; an API logs at its own time: leave out --api"
                )
    elif arguments.key_file or arguments.connections:
        raise ParameterError("--key-file and --connections are for an API; say which, with --api URL")
    for name in OF_OUTCOMES:
        if getattr(arguments, name) is not None and not arguments.outcomes:
            raise ParameterError(f"--{name.replace('_', '-')} is about outcomes; add --outcomes")
    if arguments.outcomes and not arguments.per_day:
        raise ParameterError("predictions made now have no outcome yet; spread them with --per-day 100 --start DATE")
    if arguments.start and not arguments.per_day:
        raise ParameterError("--start needs --per-day: how many predictions are made a day")
    drifts = bool(arguments.drift) or arguments.pd_times is not None
    if arguments.first and not drifts:
        raise ParameterError("--from says when a drift begins; say what drifts, as in --drift income=1.5")
    if drifts and arguments.first >= arguments.n:
        raise ParameterError(f"--from {arguments.first:,} with --n {arguments.n:,}: nothing would drift; send more")


def _plan(arguments: argparse.Namespace, book: Portfolio) -> Plan:
    from creditrisk.sending import Plan

    run = arguments.run.strip() or f"sim-{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
    if len(run) > 100 or not (run.isascii() and run.isprintable()):
        raise ParameterError(f"--run {run!r}: use at most 100 letters and digits of ASCII")
    outcomes, start = _outcomes(arguments, book), arguments.start
    today = datetime.now(UTC).date()
    if arguments.per_day:
        days = math.ceil(arguments.n / arguments.per_day)
        if start is None:
            start = today - timedelta(days=days)
            if outcomes is not None:  # by default all of them have one
                start = min(start, (_months_before(outcomes.as_of, outcomes.months) - timedelta(days=days + 1)))
        if start + timedelta(days=days) > today:
            raise ParameterError(
                f"{arguments.n:,} predictions from {start}, {arguments.per_day:,} a day, take {days:,} days and would "
                f"end after today, {today}; start earlier, or make more a day"
            )
    return Plan(arguments.n, run, arguments.rate, arguments.per_day, start, outcomes, arguments.patience)


def _outcomes(arguments: argparse.Namespace, book: Portfolio) -> Outcomes | None:
    from creditrisk.sending import Outcomes

    if not arguments.outcomes:
        return None
    today = datetime.now(UTC).date()
    as_of = arguments.as_of or today
    if as_of > today:
        raise ParameterError(f"--as-of {as_of} is in the future; outcomes are seen first")
    months = arguments.performance_months or book.target.performance_months or 12
    times = 1.0 if arguments.pd_times is None else arguments.pd_times
    return Outcomes(months, as_of, times, bool(arguments.approved_only))


def _months_before(day: date, months: int) -> date:
    import pandas as pd

    return (pd.Timestamp(day) - pd.DateOffset(months=months)).date()


def _stream(arguments: argparse.Namespace, book: Portfolio) -> Stream:
    from creditrisk.simulation import Stream, open_source, read_changes

    changes = read_changes(arguments.drift, book)
    return Stream(open_source(book, arguments.data), book, changes, arguments.first, arguments.seed)


# --- Sending ----------------------------------------------------------------------------------------------------------


def _simulate(arguments: argparse.Namespace) -> int:
    _check(arguments)
    return _to_api(arguments) if arguments.api else _to_log(arguments)


def _to_log(arguments: argparse.Namespace) -> int:
    from creditrisk.batch import policy_in_force
    from creditrisk.monitoring.alerts import open_alerts
    from creditrisk.sending import send_to_log
    from creditrisk.serving.database import shown
    from creditrisk.serving.log import Check, PredictionLog, migrate
    from creditrisk.serving.model import ModelData, load_exact, load_model

    data = load_model(arguments.model or "champion", arguments.artifacts)
    stream, plan = _stream(arguments, data.portfolio), _plan(arguments, data.portfolio)
    policy = policy_in_force(data)
    url = arguments.database or settings().log_url
    log = PredictionLog(url, settings().drift_period, busy_seconds=settings().busy_seconds)
    try:
        log.check_schema()
    except LogError:  # there is none yet, or it cannot be reached, which this says
        migrate(url)
    alerts = open_alerts(log, settings())

    def model_of(check: Check) -> ModelData:
        if (check.model_version, check.model_sha256) == (data.version, data.sha256):
            return data
        return load_exact(check.model_version, check.model_sha256, arguments.artifacts)

    def send(screen: Screen, stop: threading.Event, tally: Tally) -> None:
        send_to_log(stream, plan, log, data, policy, model_of, screen, stop, tally, alerts)

    try:
        where = f"the prediction log {shown(log.url)}"
        if alerts is not None:
            where += f"; alerts go to {', '.join(one.name for one in alerts.receivers)}"
        return _send(arguments, stream, plan, send, f"model {data.version}, {where}", data.version)
    finally:
        log.close()


def _to_api(arguments: argparse.Namespace) -> int:
    from creditrisk.sending import Address, ApiSender, ask_for_model

    address = Address(arguments.api, _key(arguments.key_file))
    info = ask_for_model(address, arguments.model)
    book = _book_of(info, arguments.artifacts)
    stream, plan = _stream(arguments, book), _plan(arguments, book)

    def send(screen: Screen, stop: threading.Event, tally: Tally) -> None:
        connections = arguments.connections or 4
        ApiSender(stream, plan, address, info, screen, stop, tally, connections, arguments.model).send()

    version = info["model_version"]
    return _send(arguments, stream, plan, send, f"model {version}, the API {address.url}", version)


def _key(file: str) -> str:
    if not file:
        return ""
    try:
        lines = Path(file).read_text("utf-8").split()
    except (OSError, UnicodeDecodeError) as problem:
        raise ParameterError(f"--key-file {file} cannot be read: {problem}") from None
    if len(lines) != 1 or not lines[0].isascii():
        raise ParameterError(f"--key-file {file} must hold one API key, as creditrisk keys add prints it, and no more")
    return lines[0]


def _book_of(info: dict[str, Any], artifacts: str) -> Portfolio:
    """The portfolio of a model that an API serves: of the same model here, else the built-in one of its name."""
    from creditrisk.data.portfolio import built_in_portfolios, load_portfolio
    from creditrisk.serving.model import load_exact

    try:
        return load_exact(info["model_version"], info["sha256"], artifacts).portfolio
    except (ArtifactError, OSError) as problem:
        if info["portfolio"] in built_in_portfolios():
            return load_portfolio(info["portfolio"])
        raise ParameterError(
            f"what the API asks of applicants is not known here ({problem}); name its models with --artifacts FOLDER"
        ) from None


def _send(
    arguments: argparse.Namespace,
    stream: Stream,
    plan: Plan,
    send: Callable[[Screen, threading.Event, Tally], None],
    where: str,
    version: str,
) -> int:
    """Send a stream with a bar and a way to stop it, and tell what came of it. Returns the exit status."""
    from creditrisk.sending import Screen, Tally

    tally, begun = Tally(), time.monotonic()
    screen = Screen(plan.n, not arguments.no_progress)
    screen.say(f"{plan.run}: {plan.n:,} applications {stream.source.about}, seed {stream.seed}; to {where}")
    if stream.source.rejected:
        screen.say(f"{stream.source.rejected:,} rows of the file break a rule and are not drawn")
    if drift := _drift_in_words(stream, plan):
        screen.say(drift)
    try:
        with _stoppable() as stop:
            send(screen, stop, tally)
            stopped = stop.is_set()
    finally:
        screen.close()
        print("\n".join(_summary(tally, stream, plan, time.monotonic() - begun)), flush=True)
    print("\n".join(_next(arguments, tally, plan, version)), flush=True)
    return INTERRUPTED if stopped else 0


@contextmanager
def _stoppable() -> Iterator[threading.Event]:
    """An event that the first Ctrl-C sets, so that what is under way is finished; a second one interrupts."""
    stop = threading.Event()

    def ask(signum: int, frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = signal.signal(signal.SIGINT, ask)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)


# --- Telling ----------------------------------------------------------------------------------------------------------


def _drift_in_words(stream: Stream, plan: Plan) -> str:
    changes = [str(one) for one in stream.changes]
    if plan.outcomes is not None and plan.outcomes.times != 1:
        changes.append(f"true PDs x{plan.outcomes.times:g}")
    return f"from application {stream.start + 1:,} on: {', '.join(changes)}" if changes else ""


def _summary(tally: Tally, stream: Stream, plan: Plan, seconds: float) -> list[str]:
    """What became of it, as lines."""
    short = "" if tally.sent == plan.n else f" of {plan.n:,}"
    there = f", {tally.known:,} of them there already" if tally.known else ""
    lines = [f"{plan.run}: sent {tally.sent:,}{short} applications{there}, in {seconds:.1f} s"]
    if count := sum(tally.clipped.values()):
        by_column = ", ".join(f"{name} {number:,}" for name, number in tally.clipped.items())
        lines.append(f"clipped to the hard limits of {stream.book.name}: {count:,} values ({by_column})")
    if tally.limited:
        lines.append(f"the API asked to wait {tally.limited:,} times (429)")
    if plan.outcomes is not None:
        whose = (
            "true PDs" if stream.source.true_pds is not None else "the model's own PDs, since the true ones are unknown"
        )
        lines.append(
            f"outcomes: {tally.outcomes:,} reported, {tally.bads:,} of them bad, drawn from {whose}; "
            f"{tally.immature:,} whose {plan.outcomes.months} months had not passed by {plan.outcomes.as_of}"
            + (f", {tally.not_approved:,} not approved" if plan.outcomes.approved_only else "")
        )
    lines.append(f"drift checks: {_checks_in_words(tally)}")
    if tally.sent < plan.n:
        lines.append(f"to go on where it ended, the same command with --run {plan.run}")
    return lines


def _checks_in_words(tally: Tally) -> str:
    waiting = f"; {tally.open_checks:,} more have still to be run" if tally.open_checks else ""
    if not tally.checks:
        return f"none was stored{waiting}"
    counts = Counter(status for _, status in tally.checks)
    told = ", ".join(f"{count:,} {status}" for status, count in counts.most_common())
    flagged = f"; the first flagged is {tally.first_flagged}" if tally.first_flagged else "; none is flagged"
    return f"{told}{flagged}{waiting}"


def _next(arguments: argparse.Namespace, tally: Tally, plan: Plan, version: str) -> list[str]:
    """What to look at next, as lines."""
    if not tally.sent:
        return []
    lines = ["look at it with:"]
    if arguments.api:
        lines.append(f"  GET {arguments.api.rstrip('/')}/drift-reports    its drift checks, newest first")
        lines.append("  and, on the computer that has its log:")
    elif arguments.database:
        lines.append("  export CREDITRISK_DATABASE_URL to the log above, first")
    window = min(max(tally.sent, 1), 1_000)
    drift = f"creditrisk drift -p model {version} -p window {window}"
    lines += [
        "  creditrisk dashboard    the page: checks over time",
        f"  {drift}    a report of the newest {window:,} (notebooks/drift.ipynb)",
    ]
    if plan.outcomes is not None and tally.outcomes:
        lines.append(f"  creditrisk outcomes -p model {version}    what became of them, against what was predicted")
    return lines
