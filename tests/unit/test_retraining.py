"""Retraining: what monitoring asks for, what is tried once only, and what is proposed to whom."""

from __future__ import annotations

import ast
import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from creditrisk import retraining
from creditrisk.binning.overrides import Overrides
from creditrisk.cli import main
from creditrisk.data.portfolio import load_portfolio
from creditrisk.errors import ArtifactError, ParameterError
from creditrisk.modelling.gates import Gate
from creditrisk.monitoring import outcomes
from creditrisk.monitoring.drift import AMBER, GREEN, LACKING, RED
from creditrisk.params import RetrainParams
from creditrisk.promotion import Evidence
from creditrisk.recalibration import moment_of, newest
from creditrisk.retraining import (
    AGAIN_DAYS,
    EXIT_STATUS,
    NOTHING,
    RECALIBRATE,
    REDEVELOP,
    Decision,
    Drift,
    Outcome,
    Proposal,
    decide,
    drift_of,
    file_proposal,
    judge_stream,
    outcome_of,
    training_params,
)
from creditrisk.runs import RunFolder
from creditrisk.serving.log import PredictionLog
from creditrisk.serving.model import read_manifest, set_champion
from matured import AS_OF, log_matured, store_windows
from unit.models import published, small_models

DOCS = Path(__file__).resolve().parents[2] / "docs"
NOW = datetime(2026, 3, 1, tzinfo=UTC)
CHAMPION = SimpleNamespace(version="v2", sha256="a" * 64, training={})
RECALIBRATED = SimpleNamespace(version="v3", sha256="b" * 64, training={"recalibration": {"of": "v2"}})


def asked(drift: str, verdict: str, champion=CHAMPION, attempts=(), **more) -> Decision:
    return decide(Drift(drift, "why"), Outcome(verdict, "why"), champion, attempts, now=NOW, **more)


def attempt(action: str, proposed: bool, days: float = 1, champion=CHAMPION) -> dict:
    return {
        "version": "v3", "champion_sha256": champion.sha256, "action": action, "proposed": proposed, "run": "a-run",
        "at": (NOW - timedelta(days=days)).isoformat(), "command": "creditrisk promote v3",
    }  # fmt: skip


# The stream of drift checks


@pytest.mark.parametrize(("newest_first", "status"), [
    ([], LACKING),
    ([LACKING, LACKING], LACKING),
    ([GREEN, GREEN, GREEN], GREEN),
    ([RED], AMBER),
    ([RED, GREEN, RED, GREEN], AMBER),
    ([AMBER, AMBER, GREEN], RED),
    ([GREEN, RED, AMBER], RED),
    ([RED, LACKING, RED], RED),
    ([GREEN, LACKING, GREEN, RED], AMBER),
])  # fmt: skip
def test_a_stream_is_red_when_two_windows_in_a_row_are_flagged(newest_first, status):
    assert judge_stream([{"status": one} for one in newest_first]).status == status


@pytest.fixture
def log(empty_url):
    published_models = small_models()
    store_windows(replace(published_models["v2"], sha256="a" * 64), empty_url, [RED, RED, *[GREEN] * 4, RED])
    log = PredictionLog(empty_url)
    yield log
    log.close()


def test_only_the_newest_windows_of_the_champion_itself_are_looked_at(log):
    found = drift_of(log, CHAMPION)
    assert found.status == AMBER and found.why == "1 of the last 5 windows flagged, not two in a row"
    assert list(found.table["window"]) == [f"bucket-{n}" for n in (7, 6, 5, 4, 3)]
    assert drift_of(log, RECALIBRATED).status == LACKING


def test_outcomes_and_matured_predictions_are_read_from_either_database(empty_url, tmp_path):
    champion = published(tmp_path)["v2"]
    log_matured(champion, empty_url, 1_500, riskier=2.5)
    log = PredictionLog(empty_url)
    try:
        assert outcome_of(log, champion, moment_of(AS_OF)).verdict == outcomes.RECALIBRATE
        assert outcome_of(log, champion, moment_of("2023-12-01")).verdict == outcomes.NO_OUTCOME
        assert outcome_of(log, champion, moment_of("2022-12-01")).why == "v2 has made no prediction in earnest"
        assert newest(champion, log, moment_of(AS_OF)).fitted.bads > 50
    finally:
        log.close()


# The decision


QUIET = (outcomes.NO_OUTCOME, outcomes.NO_ACTION, outcomes.WATCH)


@pytest.mark.parametrize("verdict", QUIET)
@pytest.mark.parametrize("drift", [GREEN, AMBER, LACKING])
def test_nothing_is_done_while_outcomes_see_nothing_wrong_and_no_stream_is_red(drift, verdict):
    found = asked(drift, verdict)
    assert found.action == found.asked == NOTHING and found.waiting is None
    assert any(verdict in line for line in found.why) and any(drift in line for line in found.why)


@pytest.mark.parametrize("verdict", QUIET)
def test_shifted_inputs_alone_lead_to_recalibration_before_redevelopment(verdict):
    assert asked(RED, verdict).action == RECALIBRATE
    after = asked(RED, verdict, RECALIBRATED)
    assert after.action == REDEVELOP and "has been recalibrated already, from v2" in after.why[0]
    failed = asked(RED, verdict, attempts=[attempt(RECALIBRATE, proposed=False)])
    assert failed.action == REDEVELOP and "was not fit" in failed.why[0]


@pytest.mark.parametrize("drift", [GREEN, RED])
def test_the_verdict_on_outcomes_is_followed(drift):
    assert asked(drift, outcomes.RECALIBRATE).action == RECALIBRATE
    assert asked(drift, outcomes.RECALIBRATE, RECALIBRATED).action == RECALIBRATE
    assert asked(drift, outcomes.REDEVELOP).action == REDEVELOP
    failed = [attempt(RECALIBRATE, proposed=False)]
    assert asked(drift, outcomes.RECALIBRATE, attempts=failed).action == REDEVELOP


@pytest.mark.parametrize("proposed", [True, False])
def test_what_was_tried_for_a_champion_is_not_tried_again_every_night(proposed):
    found = asked(GREEN, outcomes.REDEVELOP, attempts=[attempt(REDEVELOP, proposed)])
    assert found.action == NOTHING and found.asked == REDEVELOP and found.waiting["version"] == "v3"
    assert ("creditrisk promote v3" in found.why[0]) == proposed
    old = [attempt(REDEVELOP, proposed, days=AGAIN_DAYS + 1)]
    assert asked(GREEN, outcomes.REDEVELOP, attempts=old).action == REDEVELOP
    elsewhere = [attempt(REDEVELOP, proposed, champion=RECALIBRATED)]
    assert asked(GREEN, outcomes.REDEVELOP, attempts=elsewhere).action == REDEVELOP


def test_a_proposal_that_waits_does_not_hold_up_what_is_more(log):
    waiting = [attempt(RECALIBRATE, proposed=True)]
    assert asked(RED, outcomes.NO_ACTION, attempts=waiting).action == NOTHING
    assert asked(RED, outcomes.REDEVELOP, attempts=waiting).action == REDEVELOP


def test_force_needs_a_reason_and_keeps_what_monitoring_asked_for():
    with pytest.raises(ParameterError, match="--force needs --why"):
        asked(GREEN, outcomes.NO_ACTION, force=REDEVELOP, why="  ")
    found = asked(RED, outcomes.NO_ACTION, force=REDEVELOP, why="a new product")
    assert (found.action, found.asked, found.forced) == (REDEVELOP, RECALIBRATE, True)
    assert found.why[0] == "forced: a new product" and len(found.why) > 1
    again = asked(GREEN, outcomes.REDEVELOP, attempts=[attempt(REDEVELOP, True)], force=REDEVELOP, why="now")
    assert again.action == REDEVELOP and again.waiting is None


# What training is told


def test_a_redevelopment_is_told_what_the_champion_was_trained_on_and_what_analysts_decided(tmp_path):
    data = small_models()["v2"]
    decided = Overrides.from_dict({"variables": {"age": {"use": "out", "by": "A. Analyst", "reason": "policy"}}})
    training = data.training | {"overrides": decided.to_dict(), "source": {"data": "s3://loans", "rows": 4_000}}
    run = RunFolder(tmp_path, "retrain")
    told = training_params(replace(data, training=training), RetrainParams(as_of="2026-01-31", trials=3), run)
    assert (told["data"], told["rows"], told["trials"], told["as_of"]) == ("s3://loans", 4_000, 3, "2026-01-31")
    assert (told["split"], told["versions"], told["seed"]) == ("out_of_time", "next", 42)
    assert load_portfolio(told["portfolio"]).text == data.portfolio.text
    assert Overrides.from_dict(json.loads(Path(told["overrides"]).read_text())) == Overrides.from_dict(
        decided.to_dict()
    )
    newer = training_params(data, RetrainParams(data="newer", portfolio="retail"), run)
    assert (newer["data"], newer["portfolio"]) == ("newer", "retail") and "overrides" not in newer


# The proposal


def evidence(loss_difference: float) -> Evidence:
    gate = Gate("pass", 10, 2, 0.2, 0.2, (), ())
    return Evidence("rows", 10, 2, "0" * 64, 0.8, 0.8, 0.0, 0.0, 0.4, 0.4, loss_difference, loss_difference - 0.1, gate)


VALIDATED = {"verdict": {"status": "pass", "text": "Fit for use."}, "findings": []}


@pytest.fixture
def folder(tmp_path) -> str:
    published(tmp_path)
    return str(tmp_path)


@pytest.mark.parametrize(("action", "loss", "validated", "against"), [
    (REDEVELOP, 0.0005, VALIDATED, ""),
    (REDEVELOP, -0.01, {}, "could not be validated"),
    (RECALIBRATE, -0.01, VALIDATED, ""),
    (RECALIBRATE, -0.01, {}, ""),
    (RECALIBRATE, 0.0, VALIDATED, "does not help"),
])  # fmt: skip
def test_a_challenger_is_proposed_when_promotion_would_take_it_and_it_is_worth_it(
    folder, monkeypatch, action, loss, validated, against
):
    monkeypatch.setattr(retraining, "examine", lambda *_, **__: ([], [], evidence(loss)))
    found = retraining.propose("v1", action, folder, validated)
    assert found.proposed == (not against) and against in "".join(found.against)
    assert found.lines()[-1].endswith(
        f"creditrisk promote v1 --artifacts {folder}" + " --force --reason TEXT" * bool(against)
    )


def test_what_stands_against_promotion_stands_against_the_proposal(folder, monkeypatch):
    monkeypatch.setattr(retraining, "examine", lambda *_, **__: (["it ranks worse"], ["a note"], None))
    found = retraining.propose("v1", REDEVELOP, folder, VALIDATED)
    assert found.against == ("it ranks worse",) and found.notes == ("a note", "validation: pass; Fit for use.")


def filed(folder: str, tmp_path, proposed: bool) -> dict:
    against = () if proposed else ("worse",)
    proposal = Proposal("v1", "v2", REDEVELOP, against, (), None, "creditrisk promote v1")
    champion = SimpleNamespace(version="v2", sha256=read_manifest(folder)["models"]["v2"]["sha256"])
    decision = Decision(REDEVELOP, ("a reason",), REDEVELOP)
    return file_proposal(proposal, decision, champion, folder, RunFolder(tmp_path / "a-run", "retrain"))


@pytest.mark.parametrize("proposed", [True, False])
def test_a_proposed_version_becomes_the_challenger_and_the_champion_stays(folder, tmp_path, proposed):
    path = Path(folder) / "manifest.json"
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps(manifest | {"aliases": {"champion": "v2"}}))
    aliases = filed(folder, tmp_path, proposed)
    assert (
        aliases == read_manifest(folder)["aliases"] == {"champion": "v2"} | ({"challenger": "v1"} if proposed else {})
    )
    (record,) = retraining.attempts_of(folder)
    assert (record["proposed"], record["run"], record["why"]) == (proposed, "a-run", ["a reason"])
    assert read_manifest(folder)["models"] == manifest["models"]


def test_nothing_is_proposed_when_another_champion_stands_by_then(folder, tmp_path):
    models = read_manifest(folder)["models"]
    record = {"version": "v1", "sha256": models["v1"]["sha256"]}
    set_champion(record | {"before": "v2", "before_sha256": models["v2"]["sha256"]}, folder)
    with pytest.raises(ArtifactError, match="nothing was proposed"):
        filed(folder, tmp_path, True)
    assert retraining.attempts_of(folder) == []


# The command


def test_a_reason_goes_with_force_and_force_with_a_reason(settings_in, capsys):
    assert main(["retrain", "--force", "redevelop"]) == 2
    assert "--force needs --why TEXT" in capsys.readouterr().err
    assert main(["retrain", "--why", "just so"]) == 2
    assert main(["retrain", "--as-of", "yesterday"]) == 2
    assert "is not a date of the calendar" in capsys.readouterr().err
    assert not settings_in.runs_dir.exists(), "no run for a command that was not understood"


def test_the_help_explains_each_exit_status(capsys):
    assert main(["retrain", "--help"]) == 0
    said = re.findall(r"^  (\d)  ", capsys.readouterr().out, re.MULTILINE)
    assert set(map(int, said)) == {*EXIT_STATUS.values(), 2}


# The page


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (DOCS / "retraining.md").read_text("utf-8"), re.DOTALL)


def test_the_examples_for_schedulers_can_be_read():
    (job,) = (yaml.safe_load(one) for one in blocks("yaml"))
    pod = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    assert job["kind"] == "CronJob" and job["spec"]["concurrencyPolicy"] == "Forbid"
    assert pod["restartPolicy"] == "Never" and "creditrisk retrain" in pod["containers"][0]["args"][0]
    (dag,) = blocks("py")
    calls = [node for node in ast.walk(ast.parse(dag)) if isinstance(node, ast.Call)]
    notebooks = [
        Path(ast.unparse(word.value).strip("f'\"")).stem
        for call in calls if ast.unparse(call.func) == "PapermillOperator"
        for word in call.keywords if word.arg == "input_nb"
    ]  # fmt: skip
    assert notebooks == ["drift", "retrain"]
    (crontab,) = blocks("crontab")
    (line,) = (line for line in crontab.splitlines() if "creditrisk retrain" in line)
    assert all(re.fullmatch(r"[\d*/,-]+", one) for one in line.split()[:5])


def test_the_page_says_what_each_exit_status_means():
    text = (DOCS / "retraining.md").read_text("utf-8")
    assert set(map(int, re.findall(r"^\| (\d) \|", text, re.MULTILINE))) == {*EXIT_STATUS.values(), 2}
    assert str(AGAIN_DAYS) in text
