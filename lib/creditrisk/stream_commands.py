"""The command that scores a file as a stream: creditrisk score-file IN OUT."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from creditrisk.monitoring.drift import DriftReport
    from creditrisk.serving.log import PredictionLog
    from creditrisk.serving.model import ModelData
    from creditrisk.serving.stream import Progress, Totals

WHAT = "score a file of any size, .parquet or .csv, into another, chunk by chunk"


def add_stream_commands(commands: Any) -> None:
    """Add `score-file` to the subparsers of the command line."""
    command = commands.add_parser("score-file", help=WHAT, description=WHAT)
    command.add_argument("source", metavar="IN", help="applications: .parquet, .csv or .csv.gz (path or URL)")
    command.add_argument("target", metavar="OUT", help="scored file: .parquet, .csv or .csv.gz (path or URL)")
    command.add_argument("--model", default="champion", metavar="VERSION", help="version or alias (default champion)")
    artifacts = "folder or URL of the models (default: the settings')"
    command.add_argument("--artifacts", default="", metavar="FOLDER", help=artifacts)
    command.add_argument("--reasons", action="store_true", help="give each row the reasons of its score, too")
    command.add_argument("--log", action="store_true", help="log the predictions, and check the file for drift once")
    command.add_argument("--run", default="", metavar="NAME", help="name of the run in the log (default: the time)")
    command.add_argument("--totals", action="store_true", help="write control totals to OUT's stem.totals.json")
    command.add_argument("--no-progress", action="store_true", help="show no progress bar")
    command.set_defaults(command=_score_file)


def _score_file(arguments: argparse.Namespace) -> int:
    from creditrisk.batch import open_log, policy_in_force
    from creditrisk.monitoring.checks import GrowingWindow
    from creditrisk.serving.model import load_model
    from creditrisk.serving.stream import score_stream

    data = load_model(arguments.model, arguments.artifacts)
    policy = policy_in_force(data)
    run = arguments.run or f"score-file-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    log = open_log() if arguments.log else None
    window = GrowingWindow(data)
    try:
        with nullcontext() if arguments.no_progress else bar(arguments.source) as progress:
            totals = score_stream(
                data,
                arguments.source,
                arguments.target,
                reasons=arguments.reasons,
                log=log,
                progress=progress,
                run=run,
                totals=arguments.totals,
                policy=policy,
                on_logged=window.add,
            )
        report = None if log is None or not totals.scored else store_report(log, data, totals, window.report())
    finally:
        if log is not None:
            log.close()
    print("\n".join(_lines(totals, report)), file=sys.stderr, flush=True)
    print(totals.target, flush=True)
    return 0


@contextmanager
def bar(title: str) -> Iterator[Progress]:
    """A progress bar on standard error: the share of the file that is done, and its rows."""
    from tqdm import tqdm

    layout = "{desc}: {percentage:3.0f}%|{bar}| {postfix}[{elapsed}<{remaining}]"
    with tqdm(total=1.0, desc=title, file=sys.stderr, bar_format=layout) as shown:

        def progress(rows: int, share: float) -> None:
            shown.set_postfix_str(f"{rows:,} rows ", refresh=False)
            shown.update(share - shown.n)

        yield progress


def store_report(log: PredictionLog, data: ModelData, totals: Totals, report: DriftReport) -> DriftReport:
    """Keep the one check of a logged file as a whole; the same file again is the same report."""
    from creditrisk.monitoring.checks import report_record

    key = f"file-{totals.sha256[:16]}"
    log.store_report(
        report_record(report), model_version=data.version, model_sha256=data.sha256, trigger="file", window_key=key
    )
    return report


def _lines(totals: Totals, report: DriftReport | None) -> list[str]:
    """What a person wants to know, as lines."""
    lines = [
        f"{totals.file}: received {totals.received:,}, scored {totals.scored:,}, rejected {totals.rejected:,}, "
        f"duplicates {totals.duplicates:,}; model {totals.model}"
    ]
    if totals.mean_pd is not None:
        lines.append(f"mean PD {totals.mean_pd:.4f}; ratings: {_counts(totals.ratings)}")
    if totals.grades:
        lines.append(f"grades: {_counts(totals.grades)}")
    lines += [f"rejected, {reason}: {count:,}" for reason, count in totals.rejections.items()]
    lines += [
        f"beyond what the model has seen much of: {name}, {count:,} rows" for name, count in totals.warnings.items()
    ]
    if totals.rejected_file:
        lines.append(f"rejected rows: {totals.rejected_file}")
    if totals.logged is not None:
        lines.append(f"log: {totals.logged:,} predictions added, {totals.known:,} already there")
    if report is not None:
        lines.append(f"drift check of the file: {report.status}. {report.verdict}")
    return lines


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items())
