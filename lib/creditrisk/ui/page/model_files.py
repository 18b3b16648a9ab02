"""What the Model tab gives away as files: the model card, the scorecard as table, workbook and SQL, the weights."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from creditrisk.binning.sql import DIALECTS
from creditrisk.errors import DataError
from creditrisk.serving.model import ModelData
from creditrisk.ui.page.download import csv_bytes
from creditrisk.ui.page.model_bins import weights_of
from creditrisk.ui.page.model_evidence import Evidence
from creditrisk.ui.page.model_runs import Run

XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
SQL = "application/sql"
TABLE = "applications"


def card_json(data: ModelData, listed: Mapping[str, Any], promotions: Sequence[Mapping[str, Any]]) -> bytes:
    """The model card as JSON: what the model file and the manifest say of a version, without bins and trees."""
    book, target = data.portfolio, data.portfolio.target
    card = {
        "version": data.version,
        "sha256": data.sha256,
        "manifest": dict(listed),
        "portfolio": {"name": book.name, "title": book.title},
        "target": target.model_dump(mode="json"),
        "features": list(data.features),
        "directions": {name: book.columns[name].risk for name in data.features},
        "pd_kind": data.pd_kind,
        "calibration": data.model.calibration.to_dict(),
        "cut_off": data.threshold,
        "scale": book.scale.model_dump(mode="json"),
        "grades": [grade.model_dump() for grade in book.grades],
        "metrics": data.metrics,
        "training": data.training,
        "versions": data.versions,
        "promotions": [dict(one) for one in promotions],
    }
    return json.dumps(card, indent=2, ensure_ascii=False, default=str).encode()


def scorecard_csv(data: ModelData) -> bytes:
    """The scorecard, one row a bin. Raises DataError for a model without points."""
    return csv_bytes(_sheets(data)[0].table)


def scorecard_xlsx(data: ModelData, run: Run | None) -> bytes:
    """The workbook that the training run has filed, else the card and its SQL from the model file alone."""
    from creditrisk.modelling.spreadsheet import workbook_bytes

    if run is not None and run.has("scorecard.xlsx") and not data.training.get("recalibration"):
        return run.read("scorecard.xlsx")
    return workbook_bytes(_sheets(data), f"Scorecard {data.version}, {data.portfolio.title}")


def _sheets(data: ModelData) -> list:
    from creditrisk.modelling.workbook import card_sheet, sql_sheet

    card = _card(data)
    return [card_sheet(data.model, card, data.portfolio)] + [
        sql_sheet(data.model, card, data.portfolio, dialect) for dialect in DIALECTS
    ]


def scorecard_statement(data: ModelData, dialect: str) -> bytes:
    """The scorecard as one SELECT. Raises BinningError where a dialect cannot hold it, DataError without points."""
    from creditrisk.modelling.scorecard_sql import scorecard_sql

    card = _card(data)
    ids = (data.portfolio.application_id,) if data.portfolio.application_id else ()
    return scorecard_sql(data.model, card.scale, TABLE, dialect, id_columns=ids, card=card).encode()


def _card(data: ModelData):
    if data.card is None:
        raise DataError(f"{data.version} has no points: they add up on a scorecard only")
    return data.card


def weights_csv(data: ModelData, evidence: Evidence | None) -> bytes:
    """What each variable weighs, as a table."""
    return csv_bytes(weights_of(data, evidence))
