"""One prediction in four ways: over HTTP, from a frame, as SQL, and by a fresh process that has only the file."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys

import pandas as pd
import pytest

from creditrisk.data.tables import check_applications
from creditrisk.modelling.scorecard_sql import scorecard_sql
from creditrisk.serving.model import TOLERANCE
from creditrisk.serving.scorer import Scorer

ANEW = """
import json, sys
from creditrisk.serving.model import load_model
from creditrisk.serving.scorer import Scorer
version, folder = sys.argv[1:]
data = load_model(version, folder)
names = data.portfolio.wire_names
asked = [{names.get(name, name): value for name, value in row.items()} for row in json.load(sys.stdin)]
scored = Scorer(data).score_rows(asked)
points = None if scored.points is None else scored.points.tolist()
print(json.dumps({"pd": scored.pd.tolist(), "points": points, "reasons": scored.reasons}))
"""


def test_one_prediction_is_the_same_in_four_ways(either_model, serve, applications, trained):
    data, some = either_model, applications[:25]
    optional = [{k: v for k, v in row.items() if k != "enquiry_count"} for row in some]
    asked = [*some, *optional]
    allowed = TOLERANCE[data.model.to_dict()["model"]["kind"]]

    answered = serve(data).client.post("/predict", json=asked)
    assert answered.status_code == 200, answered.text
    served = answered.json()

    framed = Scorer(data).score_frame(check_applications(pd.DataFrame(asked), data.portfolio, "applications").frame)
    assert [row["default_probability"] for row in served] == pytest.approx(framed.pd.tolist(), abs=allowed, rel=0)

    command = [sys.executable, "-c", ANEW, data.version, trained.folder]
    found = subprocess.run(command, input=json.dumps(asked), capture_output=True, text=True, check=True, timeout=120)
    anew = json.loads(found.stdout)
    assert [row["default_probability"] for row in served] == pytest.approx(anew["pd"], abs=allowed, rel=0)
    told = [[(reason["feature"], reason["text"]) for reason in row["reasons"]] for row in served]
    assert told == [[(reason["feature"], reason["text"]) for reason in row] for row in anew["reasons"]]

    if data.card is None:
        assert all(row["points"] is None for row in served) and anew["points"] is None
        return
    assert [row["points"] for row in served] == framed.points.tolist() == anew["points"]
    database = sqlite3.connect(":memory:")
    framed_features = pd.DataFrame(framed.features)
    framed_features.assign(row=range(len(asked))).to_sql("applications", database, index=False)
    statement = scorecard_sql(
        data.model, data.portfolio.points, "applications", "sqlite", id_columns=["row"], card=data.card
    )
    in_sql = pd.read_sql(statement, database).sort_values("row")
    assert [row["default_probability"] for row in served] == pytest.approx(in_sql["pd"].tolist(), abs=allowed, rel=0)
    assert [row["points"] for row in served] == in_sql["points"].tolist()
