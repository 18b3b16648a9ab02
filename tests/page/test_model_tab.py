"""The Model tab without a browser: which models it lists, what it says of one, and what it gives away."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from creditrisk.errors import DataError
from creditrisk.serving.model import MANIFEST, read_manifest, save_models
from creditrisk.settings import reload_settings
from creditrisk.ui.page import model_figures_html, model_files, model_html, model_state
from creditrisk.ui.page.log_access import LogAccess
from creditrisk.ui.page.model_bins import bin_rows, gains_of, slot_words, variables_of, weights_of
from creditrisk.ui.page.model_charts import BinChart, CalibrationChart, logit
from creditrisk.ui.page.model_evidence import evidence_of
from creditrisk.ui.page.model_runs import documents_of
from creditrisk.ui.page.model_state import ModelState, listed_in, policy_in_words
from creditrisk.ui.page.model_view import ModelView
from page_parts import text_of

RUN = "20260101T000000Z-train-0a0b0c"
SOURCE = {"data": "", "rows": 3_000, "split": "auto", "as_of": ""}


def _told(data, **more):
    return replace(data, training=data.training | {"run": RUN, "source": SOURCE} | more)


@pytest.fixture(scope="module")
def told(models) -> SimpleNamespace:
    """The two models with what their training run read, so that its rows can be made again."""
    made = {version: _told(data) for version, data in models.made.items()}
    return SimpleNamespace(made=made, evidence={version: evidence_of(data) for version, data in made.items()})


@pytest.fixture
def folder(told, tmp_path) -> str:
    save_models(str(tmp_path / "artifacts"), told.made, "v2")
    return str(tmp_path / "artifacts")


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """An empty run folder that the settings name."""
    place = tmp_path / "runs"
    place.mkdir()
    monkeypatch.setenv("CREDITRISK_RUNS", str(place))
    reload_settings()
    yield place
    monkeypatch.undo()
    reload_settings()


def _state(folder: str, told) -> ModelState:
    entry = read_manifest(folder)["models"]["v2"]
    state = ModelState(replace(told.made["v2"], sha256=entry["sha256"]), LogAccess("sqlite://", 4), folder)
    state._evidence = {
        f"{version} {one['sha256']}": told.evidence[version]
        for version, one in read_manifest(folder)["models"].items()
        if version in told.evidence
    }
    return state


@pytest.fixture
def state(folder, told, runs) -> ModelState:
    made = _state(folder, told)
    made.refresh()
    return made


def _change(folder: str, **parts) -> None:
    path = f"{folder}/{MANIFEST}"
    with open(path) as file:
        manifest = json.load(file)
    with open(path, "w") as file:
        json.dump(manifest | parts, file)


def _key(state: ModelState, version: str, role: str = "") -> str:
    return next(one.key for one in state.listed if one.version == version and role in ("", one.role))


def _run(runs, name: str, **result):
    place = runs / name
    place.mkdir()
    (place / "result.json").write_text(json.dumps({"status": "ok"} | result))
    (place / "report.html").write_text("<html><head></head><body>the report</body></html>")
    return place


# --- Which models ----------------------------------------------------------------------------------------------------


def test_the_champion_is_first_and_shown_then_come_the_challenger_others_and_archived_ones(folder, told, runs):
    save_models(folder, {"v3": replace(told.made["v1"], version="v3")}, as_new=True)
    save_models(folder, {"v3": replace(_told(told.made["v1"], seed=7), version="v3")}, "v2")
    _change(folder, aliases={"champion": "v2", "challenger": "v1"})
    state = _state(folder, told)
    state.refresh()
    assert [(one.version, one.role) for one in state.listed] == [
        ("v2", "champion"), ("v1", "challenger"), ("v3", ""), ("v3", "archived"),
    ]  # fmt: skip
    assert state.shown.data.version == "v2"
    state.choose(state.listed[3].key)
    assert state.problem == ""
    assert (state.shown.data.version, state.shown.data.sha256) == ("v3", state.listed[3].sha256)
    assert "Archived" in model_html.heading(state.shown)
    assert "cannot be validated by name" in model_html.validation(state.shown)


def test_another_model_is_loaded_beside_the_one_that_scores(bench, told):
    scoring = bench.data
    state = bench.model
    state.refresh()
    state.choose(_key(state, "v2"))
    assert state.shown.data.version == "v2"
    assert bench.data is scoring
    assert bench.applicant._data is scoring


def test_what_is_loaded_late_does_not_take_the_place_of_what_was_chosen_since(state):
    waiting = []
    state._aside = lambda work, done: waiting.append((work, done))
    state.choose(_key(state, "v1"))
    assert state.busy == "Loading model v1…"
    state.choose(_key(state, "v2"))
    for work, done in reversed(waiting):
        done(work(), "")
    assert state.shown.data.version == "v2"
    assert state.busy == ""


def test_a_model_stays_in_sight_when_another_one_becomes_champion(state, folder):
    state.choose(_key(state, "v1"))
    _change(folder, aliases={"champion": "v1", "challenger": "v2"})
    state.refresh()
    assert [one.role for one in state.listed] == ["champion", "challenger"]
    assert state.shown.data.version == "v1"
    assert state.shown.listed.role == "champion"
    assert state.shown.other.version == "v2"


def test_a_damaged_model_is_a_problem_and_the_others_can_still_be_seen(folder, told, runs):
    with open(f"{folder}/model_data_v1.joblib", "ab") as file:
        file.write(b"x")
    state = _state(folder, told)
    state.refresh()
    assert state.shown.other is None
    state.choose(_key(state, "v1"))
    assert "altered or is damaged" in state.problem
    assert state.shown is None
    state.choose(_key(state, "v2"))
    assert state.problem == ""
    assert state.shown.data.version == "v2"


def test_an_artifacts_folder_that_is_gone_is_a_problem(told, tmp_path):
    state = ModelState(told.made["v2"], LogAccess("sqlite://", 4), str(tmp_path / "nowhere"))
    state.refresh()
    assert "creditrisk train" in state.problem


# --- The rows of the training run -------------------------------------------------------------------------------------


def test_evidence_is_of_the_test_rows_that_the_model_file_names(told):
    for version, found in told.evidence.items():
        data = told.made[version]
        assert found.rows == data.training["rows"]["test"] == data.gate.rows
        assert found.bads == data.gate.bads == found.curve["bads"].sum() == found.grades["bads"].sum()
        assert found.curve["rows"].sum() == found.grades["rows"].sum() == found.rows
        assert (
            (found.curve["low"] <= found.curve["bad_rate"]) & (found.curve["bad_rate"] <= found.curve["high"])
        ).all()
        assert set(found.contributions) == set(data.features)
    assert told.evidence["v2"].coefficients is None
    assert (told.evidence["v1"].coefficients["std_error"] > 0).all()


def test_the_rows_are_made_again_at_once_unless_they_are_many(state, monkeypatch):
    state._evidence.clear()
    monkeypatch.setattr(model_state, "evidence_of", lambda data: f"evidence of {data.version}")
    monkeypatch.setattr(model_state, "ROWS_AT_ONCE", 10)
    state.choose(_key(state, "v1"))
    assert state.evidence is None
    state.judge()
    assert state.evidence == "evidence of v1"
    monkeypatch.setattr(model_state, "ROWS_AT_ONCE", 1_000_000)
    state.choose(_key(state, "v2"))
    assert state.evidence == "evidence of v2"


def test_rows_that_cannot_be_made_again_are_told_and_not_tried_again_by_itself(state, monkeypatch):
    state._evidence.clear()
    tries = []

    def gone(data):
        tries.append(data.version)
        raise DataError("the tables are gone")

    monkeypatch.setattr(model_state, "evidence_of", gone)
    state.choose(_key(state, "v1"))
    assert (state.evidence, state.unjudged, state.judging) == (None, "the tables are gone", "")
    state.refresh()
    assert tries == ["v1"]
    state.choose(_key(state, "v2"))
    state.choose(_key(state, "v1"))
    assert tries == ["v1", "v2"]
    assert state.unjudged == "the tables are gone"
    state.judge()
    assert tries == ["v1", "v2", "v1"]


def test_other_rows_than_those_of_training_are_refused(told):
    with pytest.raises(DataError, match="not the book the model was trained on"):
        evidence_of(_told(told.made["v1"], seed=43))


# --- Variables --------------------------------------------------------------------------------------------------------


def test_bins_hold_every_training_row_once_and_say_what_missing_is_worth(told):
    for version, data in told.made.items():
        for name in data.features:
            rows = bin_rows(data, name, told.evidence[version])
            assert sum(row.rows for row in rows) == data.training["rows"]["train"]
            assert sum(float(row.share) for row in rows) == pytest.approx(1)
            assert rows[-1].missing
            assert sum(row.bads for row in rows) == data.model.calibration.bads
            alone = bin_rows(data, name, None)
            assert all(row.test_rate is None for row in alone)
            assert all((row.rate is None) == (version == "v2" or not row.rows) for row in alone)


def test_bins_of_a_scorecard_are_those_of_its_points(told):
    data = told.made["v1"]
    bins = data.model.design.bins[0]
    rows = bin_rows(data, bins.name, None)
    shown = rows[: bins.missing_slot + 1]
    assert [row.points for row in shown] == list(data.card.points[0][: len(shown)])
    assert [row.woe for row in shown] == pytest.approx(bins.woe[: len(shown)])
    assert model_figures_html.card_frame(SimpleNamespace(data=data))["points"].iloc[0] == data.card.base


def test_cuts_that_short_numbers_would_not_tell_apart_are_written_out(told):
    bins = next(one for one in told.made["v1"].model.design.bins if one.kind == "numeric" and len(one.cuts) > 1)
    assert slot_words(bins)[0].startswith("below ")
    close = replace(bins, cuts=tuple(1 + i * 1e-7 for i in range(len(bins.cuts))))
    assert slot_words(close) == close.labels()


def test_weights_name_every_variable_the_heaviest_first(told):
    shares = gains_of(told.made["v2"])
    assert sum(shares.values()) == pytest.approx(1)
    for version, data in told.made.items():
        table = weights_of(data, told.evidence[version])
        assert sorted(table["variable"]) == sorted(data.features)
        assert table["contribution"].is_monotonic_decreasing
        assert "coefficient" in weights_of(data, None) or table["gain_share"].sum() == pytest.approx(1)
    held = {one.name: one.held for one in variables_of(told.made["v2"])}
    assert held["income"]
    assert not held["loan_purpose"]


def test_a_variable_that_the_model_does_not_read_cannot_be_looked_at(state):
    before = state.variable
    state.look_at("gender")
    assert state.variable == before
    state.look_at(state.shown.variables[1].name)
    assert state.variable == state.shown.variables[1].name


def test_charts_draw_groups_of_one_kind_at_the_edge_and_bins_without_a_rate_as_bars(told):
    chart = CalibrationChart()
    curve = told.evidence["v1"].curve.copy()
    curve.loc[curve.index[-1], ["bad_rate", "high"]] = 1.0
    chart.show(curve)
    points = chart.figure.marks[2]
    assert points.y[-1] == chart.figure.axes[1].scale.max
    assert points.y[0] == pytest.approx(logit(curve["bad_rate"].to_numpy())[0])
    rows = bin_rows(told.made["v2"], told.made["v2"].features[0], None)
    bars = BinChart()
    bars.show(rows)
    heights = bars.figure.marks[0].y
    assert heights == pytest.approx(np.array([float(row.share) for row in rows]))
    assert not len(bars.figure.marks[3].x)


# --- Words ------------------------------------------------------------------------------------------------------------


def test_the_card_says_what_the_model_is_and_the_metrics_stand_beside_the_champions(state):
    state.choose(_key(state, "v1"))
    card = model_html.card(state.shown)
    for told in ("Retail loans", state.shown.data.sha256, RUN, "90 or more days past due", "point-in-time", "3,000"):
        assert told in card
    metrics = model_figures_html.metrics(state.shown)
    assert "v1 (challenger)" in metrics
    assert "v2 (champion)" in metrics
    test, other = (one.metrics["test"] for one in (state.shown.data, state.shown.other))
    for name in ("auc", "auc_low", "gini", "ks", "brier", "log_loss"):
        assert f"{test[name]:.4f}" in metrics
        assert f"{other[name]:.4f}" in metrics
    assert "compare with care" not in metrics


def test_figures_of_another_run_are_not_said_to_be_of_the_same_rows(folder, told, runs):
    save_models(folder, {"v3": replace(_told(told.made["v1"], seed=7), version="v3")}, as_new=True)
    state = _state(folder, told)
    state._unjudged = {_key_of(folder, "v3"): "not tried"}
    state.refresh()
    state.choose(_key(state, "v3"))
    assert "compare with care" in model_figures_html.metrics(state.shown)


def test_a_recalibrated_model_is_judged_by_later_outcomes_and_says_so(state):
    shown = state.shown
    part = {"rows": 480, "bads": 54, "since": "2026-01-01T00:00:00+00:00", "until": "2026-03-31T00:00:00+00:00"}
    said = {
        "of": "v2", "trained": "2025-12-01T10:00:00+00:00", "run": "a-run", "why": "level; slope; grades",
        "as_of": "2026-04-01T00:00:00+00:00", "fitted": part | {"rows": 720}, "judged": part,
    }  # fmt: skip
    later = shown.data.metrics | {"judged": shown.data.metrics["test"] | {"auc": 0.6543}}
    data = replace(shown.data, metrics=later, training=shown.data.training | {"recalibration": said})
    again = replace(shown, data=data)
    card = model_html.card(again)
    for text in (
        "1 Dec 2025",
        "level; and 2 more reasons",
        "720 matured predictions (54 bads), 1 Jan 2026 to 31 Mar 2026",
    ):
        assert text in card
    metrics = model_figures_html.metrics(again)
    assert "0.6543" in metrics
    assert "Figures on matured predictions" in metrics
    assert "compare with care" in metrics
    assert "matured predictions" in model_html.gate(again)
    assert "older rows" in model_figures_html.calibration_heading(state.evidence, True)
    assert "older rows" not in model_figures_html.calibration_heading(state.evidence)


def _key_of(folder: str, version: str) -> str:
    return next(one.key for one in listed_in(read_manifest(folder)) if one.version == version)


def test_promotions_say_who_and_why_and_what_was_overridden_without_markup(state, folder):
    sha256 = state.shown.data.sha256
    record = {
        "version": "v2", "sha256": sha256, "before": "v1", "before_sha256": "0" * 64, "at": "2026-05-01T10:00:00+00:00",
        "by": "A. <b>Nalyst</b>", "reason": "<script>alert(1)</script>", "forced": True,
        "overridden": ["AUC is not shown to be no worse"], "notes": [], "evidence": None,
    }  # fmt: skip
    proposal = {
        "version": "v2", "sha256": sha256, "champion": "v1", "champion_sha256": "0" * 64, "action": "recalibrate",
        "proposed": False, "command": "", "against": ["no better"], "why": ["drift"], "forced": False,
        "at": "2026-04-01T10:00:00+00:00", "run": "x",
    }  # fmt: skip
    assert "Nobody has promoted" in model_html.history(state.shown)
    _change(folder, promotions=[record], proposals=[proposal])
    state.refresh()
    told = model_html.history(state.shown)
    for text in ("1 May 2026, 10:00 UTC", "over 1 objection", "AUC is not shown", "not proposed", "drift; no better"):
        assert text in told
    assert "<script>" not in told
    assert "<b>Nalyst" not in told


def test_a_model_from_before_the_gate_and_one_that_failed_it_say_so(state):
    shown = state.shown
    metrics = {name: part for name, part in shown.data.metrics.items() if name != "gate"}
    assert "No release gate" in model_html.gate(replace(shown, data=replace(shown.data, metrics=metrics)))
    gate = shown.data.metrics["gate"] | {"status": "fail", "reasons": ["slope 0.5"]}
    failed = replace(shown.data, metrics=shown.data.metrics | {"gate": gate})
    assert "slope 0.5" in model_html.gate(replace(shown, data=failed))


def test_the_policy_in_force_is_told(told, tmp_path, monkeypatch):
    assert "No policy file is set" in policy_in_words(told.made["v1"])
    file = tmp_path / "policy.toml"
    file.write_text('[[policy]]\nversion = "A"\neffective = 2020-01-01\napprove_below = 0.05\ndecline_from = 0.1\n')
    monkeypatch.setenv("CREDITRISK_POLICY_FILE", str(file))
    reload_settings()
    try:
        assert "Policy A, in force since 2020-01-01: approved below a PD of 5.00%" in policy_in_words(told.made["v1"])
        file.write_text("nonsense")
        assert "No policy can decide" in policy_in_words(told.made["v1"])
    finally:
        monkeypatch.undo()
        reload_settings()


# --- Runs and files ---------------------------------------------------------------------------------------------------


def test_the_newest_finished_validation_of_this_very_file_is_shown(runs):
    about = {"model": "v1", "model_sha256": "a" * 64}
    _run(runs, "20260101T000000Z-validate-000001", **about)
    _run(runs, "20260102T000000Z-validate-000002", **about)
    _run(runs, "20260103T000000Z-validate-000003", **about | {"status": "failed"})
    _run(runs, "20260104T000000Z-validate-000004", **about | {"model_sha256": "b" * 64})
    _run(runs, "20260105T000000Z-train-000005", **about)
    (_run(runs, "20260106T000000Z-validate-000006", **about) / "report.html").unlink()
    (_run(runs, "20260107T000000Z-validate-000007") / "result.json").write_text("[")
    found = documents_of("v1", "a" * 64, "20260105T000000Z-train-000005")
    assert found.validation.name == "20260102T000000Z-validate-000002"
    assert found.training.name == "20260105T000000Z-train-000005"
    assert documents_of("v2", "a" * 64, "../../secret").training is None
    assert documents_of("v2", "a" * 64, "", runs / "nowhere").validation is None


def test_without_a_validation_the_command_that_makes_one_is_told(state):
    told = model_html.validation(state.shown)
    assert "creditrisk validate -p model v2" in told


def test_the_attempts_of_the_training_run_are_compared(state, runs):
    assert "not in the run folder" in model_figures_html.attempts(state.shown)
    place = _run(runs, RUN)
    own = state.shown.data.training["attempt"]
    (place / "comparison.csv").write_text(f'attempt,auc,gate\n1 <i>Logistic,0.9,pass\n"{own}",0.95,fail\n')
    state.refresh()
    told = model_figures_html.attempts(state.shown)
    assert f"{own} (shown)" in told
    assert "0.9500" in told
    assert "<i>" not in told


def test_files_hold_the_model_card_and_the_scorecard(state, runs):
    state.choose(_key(state, "v1"))
    shown = state.shown
    card = json.loads(model_files.card_json(shown.data, shown.listed.entry, shown.promotions))
    assert card["sha256"] == shown.data.sha256
    assert card["metrics"]["test"]["auc"] == shown.data.metrics["test"]["auc"]
    table = model_files.scorecard_csv(shown.data).decode("utf-8-sig").splitlines()
    assert len(table) == 2 + sum(len(points) for points in shown.data.card.points)
    assert model_files.scorecard_xlsx(shown.data, None)[:2] == b"PK"
    for dialect in model_files.DIALECTS:
        assert b"SELECT" in model_files.scorecard_statement(shown.data, dialect)
    (_run(runs, RUN) / "scorecard.xlsx").write_bytes(b"the filed one")
    filed = documents_of("v1", shown.data.sha256, RUN).training
    assert model_files.scorecard_xlsx(shown.data, filed) == b"the filed one"
    with pytest.raises(DataError, match="no points"):
        model_files.scorecard_csv(state._models[_key(state, "v2")])


# --- The view ---------------------------------------------------------------------------------------------------------


def test_the_tab_shows_a_model_and_its_report_over_the_page(state, runs, told):
    verdict = {"status": "watch", "text": "Fit for use, with points to watch"}
    findings = [{"status": "pass"}, {"status": "watch"}]
    _run(
        runs, "20260102T000000Z-validate-000002", model="v2", model_sha256=state.shown.data.sha256, verdict=verdict,
        findings=findings, judged_rows=750,
    )  # fmt: skip
    view = ModelView(state)
    view.look()
    text = text_of(view.view)
    for part in (
        "Model card",
        "Release gate",
        "Figures on test rows",
        "Calibration curve",
        "Importance",
        "Master scale",
    ):
        assert part in text
    assert "2 tests, on 750 loans: 1 passed, 1 to watch" in text
    assert "Whole points differ" not in text
    panel = view._documents.panel
    view._documents.open_validation.click()
    assert panel.opened
    assert "the report" in panel.html
    panel.opened = False
    assert panel.html == ""
    view.model.value = _key(state, "v1")
    text = text_of(view.view)
    assert "Whole points differ" in text
    assert "Standard error" in text
    assert "creditrisk validate -p model v1" in text
    view._variables.variable.value = state.shown.variables[1].name
    assert state.shown.variables[1].label in view._variables._heading.value


def test_a_problem_stands_in_place_of_the_model(state, folder):
    view = ModelView(state)
    view.look()
    with open(f"{folder}/model_data_v1.joblib", "ab") as file:
        file.write(b"x")
    state._models.clear()
    view.model.value = _key(state, "v1")
    text = text_of(view.view)
    assert "This model cannot be shown" in text
    assert "Model card" not in text
