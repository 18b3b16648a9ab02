"""One arithmetic for one applicant and for a file; log rows and scored tables say what was computed."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.special import logit

from creditrisk.data.sample import make_applications
from creditrisk.data.tables import check_applications
from creditrisk.modelling.scorecard import grades_of, points_table, ratings_of, score_of, scores_of
from creditrisk.serving.model import load_model, save_models
from creditrisk.serving.scorer import FrameScorer, Scorer, dedupe_key, file_records, scored_table
from unit.models import RETAIL, published, some_applications


@pytest.fixture(scope="module")
def scorers(tmp_path_factory) -> dict[str, Scorer]:
    return {v: Scorer(data) for v, data in published(tmp_path_factory.mktemp("artifacts")).items()}


@pytest.fixture(params=["v1", "v2"])
def scorer(request, scorers) -> Scorer:
    return scorers[request.param]


def test_a_file_and_its_rows_one_by_one_are_the_same_predictions(scorer):
    frame = some_applications().frame
    whole = scorer.score_frame(frame)
    for i, row in enumerate(frame.to_dict("records")[:80]):
        one = scorer.score_rows([row])
        assert (one.pd[0], one.score[0], one.rating[0]) == (whole.pd[i], whole.score[i], whole.rating[i])
        assert one.reasons[0] == whole.reasons[i] and one.features_of(0) == whole.features_of(i)
        assert one.points is None if whole.points is None else one.points[0] == whole.points[i]


def test_score_rating_and_grade_follow_from_the_pd(scorer):
    scored = scorer.score_frame(some_applications().frame)
    assert len(scored) == 300 and ((scored.pd > 0) & (scored.pd < 1)).all()
    assert scored.score.tolist() == [int(300 + (1 - pd) * 600) for pd in scored.pd.tolist()]
    assert np.array_equal(scored.score, scores_of(scored.pd, RETAIL.scale))
    assert np.array_equal(scored.rating, ratings_of(scored.score, RETAIL.scale))
    assert np.array_equal(scored.grade, grades_of(scored.pd, RETAIL))
    assert max(map(len, scored.reasons)) == 4


def test_points_are_those_of_the_card_and_trees_have_none(scorers):
    frame = some_applications().frame
    scored, data = scorers["v1"].score_frame(frame), scorers["v1"].data
    card = points_table(data.model, RETAIL.points).set_index(["variable", "bin"])["points"]
    total = np.full(len(frame), card[("base", "")])
    for bins in data.model.design.bins:
        labels = np.array(bins.labels(), dtype=object)[bins.assign(scored.features[bins.name])]
        total += card[bins.name].loc[labels].to_numpy()
    assert scored.points.tolist() == total.tolist() and len(set(scored.points)) > 50
    assert np.abs(scored.points - score_of(logit(scored.pd), RETAIL.points)).max() <= data.card.largest_error + 1e-6
    assert scorers["v2"].score_frame(frame).points is None


def test_the_points_of_a_model_file_stay_what_they_were(scorers, tmp_path):
    data = scorers["v1"].data
    variables = tuple((p[0] + 1, *p[1:]) for p in data.card.points)  # as another version might have rounded them
    filed = replace(data, card=replace(data.card, points=variables))
    save_models(str(tmp_path), {"v1": filed}, "v1")
    loaded = load_model("v1", str(tmp_path))
    assert loaded.card == filed.card != data.card
    frame = some_applications().frame
    assert (Scorer(loaded).score_frame(frame).points != Scorer(data).score_frame(frame).points).any()


def test_points_follow_the_calibration_that_serves(scorers):
    data, frame = scorers["v1"].data, some_applications().frame
    line = data.model.calibration
    moved = replace(data, model=data.model.calibrated(replace(line, intercept=line.intercept - np.log(2))))
    gain = Scorer(moved).score_frame(frame).points - Scorer(data).score_frame(frame).points
    assert set(gain.tolist()) == {20}, "half the odds of bad are 20 points more"


def test_what_is_left_out_is_what_is_missing(scorer):
    row = some_applications().frame.iloc[0].to_dict()
    without = {name: value for name, value in row.items() if name != "enquiry_count"}
    given = [
        scorer.score_rows([r])
        for r in (without, without | {"enquiry_count": None}, without | {"enquiry_count": np.nan})
    ]
    assert len({one.pd[0] for one in given}) == 1
    if "enquiry_count" in scorer.data.features:
        assert given[0].features_of(0)["enquiry_count"] is None
    nothing = scorer.score_rows([{}])
    assert 0 < nothing.pd[0] < 1 and nothing.reasons == [[]], "nothing was said, so nothing can be a reason"


def test_no_application_is_no_prediction(scorer):
    for none in (scorer.score_rows([]), scorer.score_frame(some_applications().frame.iloc[:0])):
        assert len(none) == 0 and none.reasons == [] and set(none.features) == set(scorer.data.features)


def test_features_are_plain_values_that_json_takes(scorer):
    scored = scorer.score_rows([some_applications().frame.iloc[0].to_dict(), {}])
    for row in range(2):
        features = scored.features_of(row)
        assert tuple(features) == scorer.data.features
        assert {type(value) for value in features.values()} <= {float, str, type(None)}
        assert json.loads(json.dumps(features, allow_nan=False)) == features
    assert set(scored.features_of(1).values()) == {None}


def test_extreme_but_allowed_applications_are_scored(scorer):
    low = {name: column.min or 0.001 for name, column in RETAIL.inputs.items() if column.is_numeric}
    high = {name: column.max or 1e15 for name, column in RETAIL.inputs.items() if column.is_numeric}
    rows = [low, high, high | {"income": 1e-300}, low | {"loan_amount": 1e15, "income": 1e-40}]
    scored = scorer.score_rows(
        [row | {"residence_type": "Owned", "loan_purpose": "Auto", "loan_type": "Secured"} for row in rows]
    )
    assert np.isfinite(scored.pd).all() and ((scored.score >= 300) & (scored.score <= 900)).all()
    for row in range(len(rows)):
        json.dumps(scored.features_of(row), allow_nan=False)
    alone = [
        scorer.score_rows([row | {"residence_type": "Owned", "loan_purpose": "Auto", "loan_type": "Secured"}]).pd[0]
        for row in rows
    ]
    assert scored.pd.tolist() == alone, "an extreme row must not disturb those it is scored with"


# What is logged


def test_log_rows_of_a_file_say_what_was_received_and_computed(scorer):
    applications = some_applications()
    scored = scorer.score_frame(applications.frame)
    records = file_records(scorer, applications, scored, run="a-run", file_sha256="f" * 64)
    assert len(records) == len(scored)
    for i, record in enumerate(records):
        assert (record.purpose, record.source, record.run) == ("file", "file", "a-run")
        assert (record.model_version, record.model_sha256) == (scorer.data.version, scorer.data.sha256)
        assert (record.pd, record.score, record.rating) == (scored.pd[i], scored.score[i], scored.rating[i])
        assert record.application_id == applications.ids[i] and record.reasons == scored.reasons[i]
        assert record.features == scored.features_of(i) and record.grade == scored.grade[i]
        assert record.points == (None if scored.points is None else scored.points[i])
        assert record.inputs["num_open_accounts"] == applications.frame["number_of_open_accounts"][i]
        assert "number_of_open_accounts" not in record.inputs
    assert len({record.prediction_id for record in records}) == len(records)


def keys(scorer: Scorer, frame: pd.DataFrame, sha: str = "f" * 64) -> list[str]:
    applications = check_applications(frame, RETAIL, "a file")
    scored = scorer.score_frame(applications.frame)
    return [r.dedupe_key for r in file_records(scorer, applications, scored, run="", file_sha256=sha)]


def test_an_application_is_one_prediction_of_a_model_however_it_arrives(scorers):
    frame = make_applications(5)
    v1, v2 = scorers["v1"], scorers["v2"]
    assert keys(v1, frame) == [dedupe_key(v1.data, name) for name in frame["application_id"]]
    assert keys(v1, frame) == keys(v1, frame, "e" * 64) and not set(keys(v1, frame)) & set(keys(v2, frame))
    assert keys(v1, frame.iloc[::-1]) == keys(v1, frame)[::-1]


def test_rows_without_identifier_are_told_apart_by_file_and_row(scorers):
    frame = make_applications(5).drop(columns="application_id")
    frame.loc[1, "age"] = 7  # rejected: the rows after it keep their numbers
    own = keys(scorers["v1"], frame)
    assert [key.rsplit(":", 1)[1] for key in own] == ["1", "3", "4", "5"]
    assert own == keys(scorers["v1"], frame) and not set(own) & set(keys(scorers["v1"], frame, "e" * 64))


# The scored table


def test_the_scored_table_holds_each_accepted_row_with_its_result(scorer):
    frame = make_applications(20)
    frame.loc[3, "income"] = -1
    applications = check_applications(frame, RETAIL, "a file")
    scored = scorer.score_frame(applications.frame)
    table = scored_table(applications, scored, scorer.data)
    assert table["row"].tolist() == [*range(1, 4), *range(5, 21)]
    assert table["application_id"].tolist() == frame["application_id"].drop(index=3).tolist()
    assert table["default_probability"].tolist() == scored.pd.tolist()
    assert (
        table["credit_score"].tolist() == scored.score.tolist() and table["rating"].tolist() == scored.rating.tolist()
    )
    assert set(RETAIL.inputs) <= set(table.columns) and table["grade"].tolist() == scored.grade.tolist()
    if scorer.data.version == "v1":
        assert table["points"].tolist() == scored.points.tolist()
    else:
        assert "points" not in table
    for i, reasons in enumerate(scored.reasons):
        told = [
            table[f"reason_{n}"][i] for n in range(1, 5) if f"reason_{n}" in table and pd.notna(table[f"reason_{n}"][i])
        ]
        assert told == [reason["text"] for reason in reasons]
    empty = check_applications(frame.assign(age=7), RETAIL, "a file")
    assert len(scored_table(empty, scorer.score_frame(empty.frame), scorer.data)) == 0


def test_the_mlflow_form_scores_frames_and_leaves_bad_rows_out(scorer):
    frame = make_applications(10)
    frame.loc[4, "age"] = 7
    result = FrameScorer(scorer.data).predict(frame)
    assert result.index.tolist() == [0, 1, 2, 3, 5, 6, 7, 8, 9]
    expected = scorer.score_frame(check_applications(frame, RETAIL, "a file").frame).pd
    assert result["default_probability"].tolist() == expected.tolist()
