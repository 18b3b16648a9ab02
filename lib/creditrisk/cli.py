"""The command line: notebooks (train, score, drift, outcomes, binning, validate, run), the life of models (models,
promote, replay), and runs, sample, serve, dashboard.

What is slow to import (papermill, pandas, uvicorn) is imported in the commands: --help answers at once.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from creditrisk.alert_commands import add_alert_commands
from creditrisk.errors import CreditRiskError, ParameterError, is_about_input
from creditrisk.key_commands import add_key_commands
from creditrisk.log_commands import add_log_commands
from creditrisk.params import describe_params
from creditrisk.retrain_commands import add_retrain_commands
from creditrisk.settings import Settings, reload_settings, settings, shown_path
from creditrisk.simulate_commands import add_simulate_command
from creditrisk.stream_commands import add_stream_commands

if TYPE_CHECKING:
    from creditrisk.runs import RunOutcome

TRACEBACK_LINES = 25
INTERRUPTED = 130  # what shells expect after Ctrl-C
UNREAD = 141  # what shells expect of a program that writes where nobody reads

WHAT = {
    "train": "train models on a book of loans and write them to artifacts/",
    "score": "score a file of applications and log the predictions",
    "drift": "hold recent predictions against the training baseline",
    "outcomes": "hold predictions against what became of the loans, vintage by vintage",
    "binning": "report the bins of every variable; the bench itself is notebooks/binning.ipynb",
    "validate": "test a model version on loans it has not seen, and report as a validation unit would",
    "recalibrate": "make a new version of a model, with its calibration fitted to its matured outcomes in the log",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns the exit status: 0 done, 1 the run failed (replay: differs), 2 wrong input or refused, 130 interrupted,
    141 when nobody reads the output any more.
    """
    try:
        status = _main(argv)
        sys.stdout.flush()
    except BrokenPipeError:  # `creditrisk runs | head`: the reader has what it wanted
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left must not fail when Python ends
        return UNREAD
    return status


def _main(argv: Sequence[str] | None) -> int:
    try:
        arguments = _parser().parse_args(argv)
    except SystemExit as wanted:  # --help, or a usage error that argparse has explained
        return int(wanted.code or 0)
    try:
        _check_settings()
        return arguments.command(arguments)
    except BrokenPipeError:
        raise
    except (CreditRiskError, OSError) as problem:
        for line in str(problem).splitlines():
            print(f"error: {line}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return INTERRUPTED


def _check_settings() -> None:
    try:
        settings()
    except ValidationError as problem:
        names = [f"CREDITRISK_{str(one['loc'][0]).upper()}: {one['msg']}" for one in problem.errors()]
        raise ParameterError("\n".join(names)) from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="creditrisk", description="A workbench for credit-risk analysts.")
    commands = parser.add_subparsers(required=True, metavar="command")
    for name in WHAT:
        command = _command(commands, name, WHAT[name], _run)
        command.epilog = f"parameters:\n{describe_params(name)}"
        command.set_defaults(notebook=name)
        _add_run_options(command)
    command = _command(commands, "run", "run any other notebook under the same rules", _run)
    command.add_argument("notebook", help="path of an .ipynb file")
    _add_run_options(command)
    _add_runs(commands)
    _add_models(commands)
    _add_promote(commands)
    _add_replay(commands)
    _add_sample(commands)
    _add_serve(commands)
    add_key_commands(commands)
    add_log_commands(commands)
    add_stream_commands(commands)
    add_retrain_commands(commands)
    add_simulate_command(commands)
    add_alert_commands(commands)
    _add_dashboard(commands)
    return parser


def _command(
    commands: Any, name: str, what: str, function: Callable[[argparse.Namespace], int]
) -> argparse.ArgumentParser:
    command = commands.add_parser(
        name, help=what, description=what, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    command.set_defaults(command=function)
    return command


def _add_run_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "-p",
        "--param",
        nargs=2,
        action="append",
        default=[],
        metavar=("NAME", "VALUE"),
        help="set a parameter",
    )
    command.add_argument("-f", "--file", metavar="params.yaml", help="read parameters from a YAML mapping")
    command.add_argument("--no-progress", action="store_true", help="show no progress bar")


def _add_runs(commands: Any) -> None:
    command = _command(commands, "runs", "list the runs, newest first", _runs)
    command.add_argument("--limit", type=_count, default=20, metavar="N", help="at most N runs (default 20)")
    command.add_argument("--json", action="store_true", help="print JSON instead of a table")


ARTIFACTS = "folder or URL of the models (default: the settings')"


def _add_models(commands: Any) -> None:
    command = _command(commands, "models", "list model versions and who promoted them", _models)
    command.add_argument("--artifacts", default="", metavar="FOLDER", help=ARTIFACTS)
    command.add_argument("--json", action="store_true", help="print JSON instead of tables")


def _add_promote(commands: Any) -> None:
    what = "make a version the champion, unless it fails its release gate or is worse than the champion"
    command = _command(commands, "promote", what, _promote)
    command.add_argument("model", metavar="VERSION", help="version, as in v2, or alias, as in challenger")
    command.add_argument("--by", default="", metavar="NAME", help="who promotes it (default: the login name)")
    command.add_argument("--reason", default="", metavar="TEXT", help="why; recorded")
    command.add_argument("--force", action="store_true", help="whatever speaks against it, on record; needs --reason")
    data = "folder or URL of new loans with outcomes to judge on (default: the test rows of its training run)"
    command.add_argument("--data", default="", metavar="FOLDER", help=data)
    as_of = "when outcomes of --data were read, YYYY-MM-DD (default: today), else those of its training run"
    command.add_argument("--as-of", default="", metavar="DATE", help=as_of)
    command.add_argument("--artifacts", default="", metavar="FOLDER", help=ARTIFACTS)


def _add_replay(commands: Any) -> None:
    command = _command(commands, "replay", "make a logged prediction again, and hold it against the log", _replay)
    which = "prediction_id (answered by /predict; listed by /logs, on the page and in scored files) or application_id"
    command.add_argument("prediction_id", metavar="ID", help=which)
    command.add_argument("--database", default="", metavar="URL", help="prediction log (default: the settings')")
    command.add_argument("--artifacts", default="", metavar="FOLDER", help=ARTIFACTS)
    command.add_argument("--twin", action="store_true", help="read the model from its JSON twin, not from its file")
    command.add_argument("--show-inputs", action="store_true", help="print what the applicant said, too")


def _add_sample(commands: Any) -> None:
    command = _command(commands, "sample", "write the embedded sample book", _sample)
    command.add_argument("--rows", type=_count, default=50_000, metavar="N", help="loans (default 50000)")
    command.add_argument("--seed", type=int, default=42, help="seed of the draw (default 42)")
    command.add_argument("--out", required=True, metavar="FOLDER", help="folder for the tables, made if absent")
    command.add_argument("--format", choices=("parquet", "csv"), default="parquet", help="default parquet")


def _add_serve(commands: Any) -> None:
    command = _command(commands, "serve", "serve predictions over HTTP", _serve)
    command.add_argument("--host", default="127.0.0.1", help="address to listen on (default 127.0.0.1)")
    command.add_argument("--port", type=_port, default=8000, help="default 8000")
    command.add_argument("--model", default="champion", help="version or alias (default champion)")
    command.add_argument("--artifacts", default="", help=ARTIFACTS)
    command.add_argument("--database", default="", metavar="URL", help="prediction log (default: the settings')")
    command.add_argument("--keys", default="", metavar="FILE", help="file of API keys (default: the settings')")
    command.add_argument("--workers", type=_count, default=1, metavar="N", help="processes (default 1)")


def _add_dashboard(commands: Any) -> None:
    command = _command(commands, "dashboard", "open the page: scoring, the book, monitoring, the model", _dashboard)
    command.epilog = (
        "The token and the hash of the password can also come from CREDITRISK_DASHBOARD_TOKEN and "
        "CREDITRISK_DASHBOARD_PASSWORD."
    )
    command.add_argument("--host", default="127.0.0.1", help="address to listen on (default 127.0.0.1)")
    command.add_argument("--port", type=_port, default=8866, help="default 8866")
    command.add_argument("--token", action="store_true", help="ask visitors for a random token, printed at the start")
    command.add_argument("--token-file", default="", metavar="FILE", help="ask for the token in this file")
    command.add_argument("--password-file", default="", metavar="FILE", help="ask for the password with this hash")
    command.add_argument("--hash-password", action="store_true", help="read a password, print its hash, and end")
    command.add_argument("--no-token", action="store_true", help="ask for nothing, whatever --host is")
    command.add_argument("--base-url", default="/", metavar="PATH", help="path of the page behind a proxy (default /)")
    proxy = "believe the X-Forwarded-For and X-Forwarded-Proto of whoever connects"
    command.add_argument("--behind-proxy", action="store_true", help=proxy)
    pool = "pages made ahead of their visitors (default 1; each takes the memory of a visitor)"
    command.add_argument("--pool", type=_count_or_none, default=1, metavar="N", help=pool)
    cull = "seconds after which a page that nobody is connected to ends (default 900)"
    command.add_argument("--cull-after", type=_count, default=900, metavar="SECONDS", help=cull)


def _count_or_none(text: str) -> int:
    return 0 if text == "0" else _count(text)


def _count(text: str) -> int:
    number = int(text) if text.isascii() and text.isdigit() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return number


def _port(text: str) -> int:
    number = _count(text)
    if number > 65_535:
        raise argparse.ArgumentTypeError(f"{text} is not a port, a number from 1 to 65535")
    return number


def _run(arguments: argparse.Namespace) -> int:
    from creditrisk.runs import run_notebook

    params = {**_read_yaml(arguments.file), **dict(arguments.param)}
    outcome = run_notebook(arguments.notebook, params, progress=not arguments.no_progress)
    print("\n".join(_summary(outcome)), file=sys.stderr, flush=True)
    print(_shown_from_here(outcome.folder.path), flush=True)
    if outcome.status == "interrupted":
        return INTERRUPTED
    return 0 if outcome.ok else 1


def _read_yaml(path: str | None) -> Mapping[str, Any]:
    if path is None:
        return {}
    import yaml

    try:
        content = yaml.safe_load(Path(path).read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as problem:
        raise ParameterError(f"{path} cannot be read: {problem}") from None
    except yaml.YAMLError as problem:
        raise ParameterError(f"{path} is not YAML: {' '.join(str(problem).split())}") from None
    if content is None:
        return {}
    if not isinstance(content, dict) or not all(isinstance(name, str) for name in content):
        raise ParameterError(f"{path} must hold one 'name: value' per line, one for each parameter")
    return content


def _summary(outcome: RunOutcome) -> list[str]:
    """What a person wants to know after a run, as lines."""
    from creditrisk.runs import read_result

    folder = outcome.folder
    if outcome.ok:
        lines = [f"{folder.name}: every cell ran, {outcome.seconds:.1f} s"]
        lines += filter(None, [read_result(folder.path).get("headline")])
    else:
        kind, _, message = outcome.error.partition(": ")
        said = is_about_input(kind)
        lines = [] if said else list(outcome.traceback[-TRACEBACK_LINES:])
        lines.append(f"{folder.name}: {outcome.status} after {outcome.seconds:.1f} s")
        lines += [f"error: {message}"] if said else [] if outcome.traceback else [outcome.error]
    lines.append(f"written: {', '.join(outcome.files)}")
    first = next((name for name in ("report.html", "result.json") if name in outcome.files), "")
    return [*lines, f"look at {_shown_from_here(folder.file(first))}"]


def _shown_from_here(path: Path) -> str:
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def _runs(arguments: argparse.Namespace) -> int:
    from creditrisk.runs import list_runs

    found = list_runs()[: arguments.limit]
    if arguments.json:
        print(json.dumps(found, indent=2, ensure_ascii=False))
    elif not found:
        print(f"no runs in {shown_path(settings().runs_dir)} yet; creditrisk train makes one", file=sys.stderr)
    else:
        print("\n".join(_table(found)))
    return 0


def _models(arguments: argparse.Namespace) -> int:
    from creditrisk.serving.model import read_manifest

    manifest = read_manifest(arguments.artifacts)
    aliases: dict[str, list[str]] = {}
    for alias, version in manifest["aliases"].items():
        aliases.setdefault(version, []).append(alias)
    models = [{"version": name, "aliases": aliases.get(name, [])} | one for name, one in manifest["models"].items()]
    if arguments.json:
        kept = {name: manifest[name] for name in ("archived", "promotions")}
        print(json.dumps({"models": models} | kept, indent=2, ensure_ascii=False))
        return 0
    rows = [("version", "alias", "created", "AUC", "gate", "bytes", "sha256")]
    for one in models:
        area = f"{one['auc']:.4f}" if isinstance(one.get("auc"), int | float) else "-"
        alias, gate = ", ".join(one["aliases"]) or "-", one.get("gate") or "-"
        rows.append((one["version"], alias, _moment(one["created"]), area, gate, str(one["bytes"]), one["sha256"][:12]))
    print("\n".join(_aligned(rows)))
    if manifest["promotions"]:
        rows = [("promoted", "at", "by", "before", "forced", "sha256", "reason")]
        for one in manifest["promotions"]:
            stood = len(one["overridden"])
            forced = f"yes, over {stood} objection{'' if stood == 1 else 's'}" if one["forced"] else "no"
            told = (one["version"], _moment(one["at"]), one["by"], one["before"] or "-", forced, one["sha256"][:12])
            rows.append((*told, one["reason"] or "-"))
        print("", *_aligned(rows), sep="\n")
    return 0


def _moment(text: str) -> str:
    return text[:19].replace("T", " ") or "-"


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    wide = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, wide, strict=True)).rstrip() for row in rows]


def _promote(arguments: argparse.Namespace) -> int:
    from creditrisk.promotion import promote

    done = promote(
        arguments.model,
        by=arguments.by,
        reason=arguments.reason,
        force=arguments.force,
        data=arguments.data,
        as_of=arguments.as_of,
        artifacts=arguments.artifacts,
    )
    print("\n".join(done.lines()))
    for one in done.warnings:
        print(f"warning: {one}", file=sys.stderr)
    return 0


def _replay(arguments: argparse.Namespace) -> int:
    from creditrisk.replay import replay

    done = replay(arguments.prediction_id, arguments.database, arguments.artifacts, twin=arguments.twin)
    print("\n".join(done.lines(show_inputs=arguments.show_inputs)))
    return 0 if done.agrees else 1


def _table(found: Sequence[Mapping[str, Any]]) -> list[str]:
    """Runs as aligned lines: started (UTC, to the second), name, status, seconds, folder."""
    rows = [("started", "name", "status", "seconds", "folder")]
    for run in found:
        seconds = run["seconds"]
        shown = f"{seconds:.1f}" if isinstance(seconds, int | float) else "-"
        started = str(run["started"])[:19].replace("T", " ")
        rows.append((started, run["name"], str(run["status"]), shown, _shown_from_here(Path(run["folder"]))))
    started, name, status, seconds = (max(len(row[column]) for row in rows) for column in range(4))
    return [f"{row[0]:<{started}}  {row[1]:<{name}}  {row[2]:<{status}}  {row[3]:>{seconds}}  {row[4]}" for row in rows]


def _sample(arguments: argparse.Namespace) -> int:
    from creditrisk.data.sample import write_book

    book = write_book(arguments.out, arguments.rows, arguments.seed, arguments.format)
    print(f"{arguments.out}: {book.summary}")
    return 0


def _serve(arguments: argparse.Namespace) -> int:
    import tempfile

    import uvicorn

    from creditrisk.serving.access import keys_from, require_keys_or_loopback
    from creditrisk.serving.log import migrate
    from creditrisk.serving.model import load_model
    from creditrisk.serving.policy import Policies, load_policies

    given = {
        "SERVE_MODEL": arguments.model, "SERVE_HOST": arguments.host, "ARTIFACTS": arguments.artifacts,
        "DATABASE_URL": arguments.database, "KEYS_FILE": arguments.keys,
    }  # fmt: skip
    os.environ.update({f"CREDITRISK_{name}": value for name, value in given.items() if value})
    chosen = reload_settings()
    # What is wrong is said here, once, and not by every worker.
    who = require_keys_or_loopback(arguments.host, keys_from(chosen.keys_file, chosen.keys))
    _require_free(arguments.host, arguments.port)
    model = load_model(arguments.model, chosen.artifacts_dir)
    policies = load_policies(chosen.policy_file) if chosen.policy_file else Policies.of_model(model)
    policy = policies.in_force(datetime.now(UTC), model.portfolio.name)
    limit = _rate_in_words(chosen, arguments.workers)
    receivers = _receivers_in_words(chosen)
    url = chosen.log_url
    is_new = url.startswith("sqlite:///") and not Path(url.removeprefix("sqlite:///")).exists()
    migrate(url)  # once, here: workers that start together must not race for it
    address = f"http://{_for_url(arguments.host)}:{arguments.port}"
    named = model.version if arguments.model == model.version else f"{arguments.model} {model.version}"
    said = (f"keys: {who}", str(policy), limit, *receivers, f"log: {without_password(url)}{' (a new one)' * is_new}")
    print(f"serving {named} at {address}", *said, sep="\n  ", flush=True)
    with tempfile.TemporaryDirectory(prefix="creditrisk-") as folder:
        if arguments.workers > 1:
            os.environ["CREDITRISK_METRICS_FOLDER"] = folder
        uvicorn.run(
            "creditrisk.service:create",
            factory=True,
            host=arguments.host,
            port=arguments.port,
            workers=arguments.workers,
            log_level="warning",
            access_log=False,
            server_header=False,
            ws="none",
        )
    return 0


def _rate_in_words(chosen: Settings, workers: int) -> str:
    """The rate limit of the settings. Raises ParameterError when it can be none."""
    from creditrisk.serving.access import RateLimit

    if not chosen.rate_limit:
        return "no rate limit"
    burst = chosen.rate_burst or max(1, math.ceil(chosen.rate_limit))
    RateLimit(chosen.rate_limit, burst)
    whose = "key" if chosen.keys_file or chosen.keys.strip() else "address"
    each = f", in each of {workers} workers" if workers > 1 else ""
    return f"rate limit: {chosen.rate_limit:g} requests a second of each {whose}, {burst:,} at once{each}"


def _receivers_in_words(chosen: Settings) -> list[str]:
    """A line on who gets alerts, by the names of their services. Raises ParameterError for what cannot be."""
    from creditrisk.monitoring.alerts import statuses_told
    from creditrisk.monitoring.receivers import open_receivers

    statuses_told(chosen)
    names = [one.name for one in open_receivers(chosen.alert_urls, chosen.alert_file)]
    return [f"alerts: {', '.join(names)}"] if names else []


def _require_free(host: str, port: int) -> None:
    """Raise ParameterError when something else listens on the address."""
    import errno

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as problem:
            if problem.errno == errno.EADDRINUSE:
                raise ParameterError(f"{_for_url(host)}:{port} is in use; choose another --port") from None


def without_password(url: str) -> str:
    """A database URL that may be shown, without its password, wherever it carries one."""
    from sqlalchemy.engine import make_url

    parsed = make_url(url)
    secret = [name for name in parsed.query if "password" in name]
    return parsed.difference_update_query(secret).render_as_string(hide_password=True)


def _for_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _dashboard(arguments: argparse.Namespace) -> int:
    from creditrisk import dashboard
    from creditrisk.dashboard.access import require_access_or_loopback
    from creditrisk.dashboard.start import NOTEBOOK, base_url

    if arguments.hash_password:
        print(dashboard.ask_for_password())
        return 0
    folder = settings().home / "dashboards"
    if not (folder / NOTEBOOK).is_file():
        raise ParameterError(f"no dashboard at {shown_path(folder / NOTEBOOK)}; set CREDITRISK_HOME")
    chosen = settings()
    if arguments.token and (arguments.token_file or chosen.dashboard_token):
        raise ParameterError("--token makes a random token, but another one is set; leave one of them out")
    made = dashboard.new_token() if arguments.token else ""
    access = dashboard.access_from(
        made or chosen.dashboard_token,
        arguments.token_file,
        chosen.dashboard_password,
        arguments.password_file,
    )
    who = require_access_or_loopback(arguments.host, access, open_anyway=arguments.no_token)
    _require_free(arguments.host, arguments.port)
    options = dashboard.Options(
        host=arguments.host,
        port=arguments.port,
        access=access,
        base_url=base_url(arguments.base_url),
        pool=arguments.pool,
        cull_after=arguments.cull_after,
        behind_proxy=arguments.behind_proxy,
        checks_host=not arguments.no_token,
    )
    host = socket.gethostname() if arguments.host in ("", "0.0.0.0", "::") else arguments.host
    page = f"login?token={made}" if made else ""
    address = f"http://{_for_url(host)}:{arguments.port}{options.base_url}{page}"
    dashboard.serve_page(folder, options, f"dashboard at {address}\n  {who}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
