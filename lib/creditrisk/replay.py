"""Replay: a logged prediction made again by the very model that made it, and held against the log. Nothing is written.

Inputs stay where they are: what is returned and printed names features, and no values of an applicant.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from creditrisk.data.portfolio import Portfolio
from creditrisk.errors import LogError
from creditrisk.serving.contract import wire_name
from creditrisk.serving.database import to_json
from creditrisk.serving.log import PredictionLog
from creditrisk.serving.model import TOLERANCE, ModelData, load_exact, load_exact_twin
from creditrisk.serving.scorer import Scorer
from creditrisk.settings import settings

RESULTS = ("pd", "score", "rating", "grade", "points", "reasons")
LATER = ("grade", "points", "reasons", "features")
"""What older predictions were logged without; there is nothing then to hold against."""


@dataclass(frozen=True)
class Replay:
    """A prediction as logged and as made again: RESULTS by name, reasons as [(feature, text)].

    `difference` is that of the PDs, `tolerance` what is allowed. `differs` names what is not the same, in words, and
    `unknown` what the log does not hold. `inputs` are as logged. `chosen` says which prediction of an
    application it is.
    """

    prediction_id: str
    created_at: str
    model_version: str
    model_sha256: str
    logged: dict[str, Any]
    replayed: dict[str, Any]
    difference: float
    tolerance: float
    differs: tuple[str, ...]
    unknown: tuple[str, ...]
    inputs: dict[str, Any]
    twin: bool = False
    chosen: str = ""

    @property
    def agrees(self) -> bool:
        """Whether all that was logged was made again."""
        return not self.differs

    def lines(self, *, show_inputs: bool = False) -> list[str]:
        """In words, as lines; the applicant's inputs only when asked for."""
        source = "from its twin" if self.twin else "from its file"
        told = [self.chosen] if self.chosen else []
        told += [f"prediction {self.prediction_id} of {self.created_at}"]
        told += [f"model {self.model_version}, SHA-256 {self.model_sha256[:12]}..., {source}"]
        if show_inputs:
            told += [f"input {name} = {_input(value)}" for name, value in self.inputs.items()]
        rows = [("", "logged", "replayed")]
        for name in RESULTS[:-1]:
            rows.append((name, *(_shown(one[name]) for one in (self.logged, self.replayed))))
        most = max(len(one["reasons"] or ()) for one in (self.logged, self.replayed))
        for i in range(most):
            rows.append((f"reason {i + 1}", *(_reason(one["reasons"], i) for one in (self.logged, self.replayed))))
        wide = [max(len(row[column]) for row in rows) for column in (0, 1)]
        told += [f"{row[0]:<{wide[0]}}  {row[1]:<{wide[1]}}  {row[2]}".rstrip() for row in rows]
        told += [f"difference of PDs {self.difference:.3g}, allowed {self.tolerance:g}"]
        told += [f"not in the log, hence not compared: {', '.join(self.unknown)}"] if self.unknown else []
        return [*told, *(f"differs: {one}" for one in self.differs), "agrees" if self.agrees else "does not agree"]


def _shown(value: Any) -> str:
    return "-" if value is None else repr(value) if isinstance(value, float) else str(value)


def _input(value: Any) -> str:
    """A whole number as people write it, all digits of any other."""
    whole = isinstance(value, int | float) and not isinstance(value, bool) and float(value).is_integer()
    return f"{value:,.0f}" if whole else str(value)


def _reason(reasons: list | None, i: int) -> str:
    return f"{reasons[i][0]}: {reasons[i][1]}" if reasons and i < len(reasons) else "-"


def replay(asked: str, database: str = "", artifacts: str = "", *, twin: bool = False) -> Replay:
    """Score the inputs of a logged prediction anew with the model that made it, and compare.

    `asked` is its prediction_id, or an application_id: its newest production prediction is then taken, or where it has
    none the newest of any other purpose; `chosen` of the result says which. `database` is the log's URL and `artifacts`
    the folder of the models, else those of the settings. With `twin` the model is read from its JSON twin. Raises
    LogError when the log holds no such prediction, or none of its inputs, and ArtifactError when the model is not
    there, was altered, or does not reproduce its test vectors.
    """
    log = PredictionLog(database or settings().log_url)
    try:
        log.check_schema()
        row, chosen = log.prediction(asked), ""
        if row is None:
            row, chosen = _newest_of(log, asked)
    finally:
        log.close()
    if row is None:
        raise LogError(
            f"the log holds no prediction {asked!r}, and none of an application of that id; look at --database and at "
            "the id"
        )
    if row["inputs"] is None:
        raise LogError(f"prediction {row['prediction_id']}: its inputs are not in the log, so it cannot be made again")
    load = load_exact_twin if twin else load_exact
    done = compare(row, load(row["model_version"], row["model_sha256"], artifacts), twin=twin)
    return replace(done, chosen=chosen)


def _newest_of(log: PredictionLog, application_id: str) -> tuple[dict[str, Any] | None, str]:
    """The prediction of an application to look at, and in words which one that is; None without any."""
    for purpose in ("production", None):
        found = log.predictions(limit=2, purpose=purpose, application_id=application_id)
        if found:
            only = "the only" if len(found) == 1 else "the newest"
            kind = found[0]["purpose"].replace("_", " ")
            which = "prediction" if purpose is None else "production prediction"
            more = f", of purpose {kind}; it has no production prediction" if purpose is None else ""
            return found[0], f"application {application_id}: {only} {which} of it is taken{more}"
    return None, ""


def compare(row: Mapping[str, Any], model: ModelData, *, twin: bool = False) -> Replay:
    """A row of the log against what the model makes of its inputs. Raises LogError when they are not its inputs."""
    scorer = Scorer(model)
    try:
        scored = scorer.score_rows([_by_column(row["inputs"], model.portfolio)])
    except (TypeError, ValueError, KeyError) as error:
        raise LogError(
            f"prediction {row['prediction_id']}: {model.version} cannot read the logged inputs: {type(error).__name__}"
        ) from None
    made = scorer.record(scored, 0, row["inputs"], purpose=row["purpose"], source=row["source"])
    replayed = {name: getattr(made, name) for name in RESULTS}
    logged = {name: row[name] for name in RESULTS}
    for one in (replayed, logged):
        one["reasons"] = None if one["reasons"] is None else [(r["feature"], r["text"]) for r in one["reasons"]]
    tolerance = TOLERANCE[model.model.to_dict()["model"]["kind"]]
    difference = abs(float(logged["pd"]) - replayed["pd"])
    unknown = tuple(name for name in LATER if row[name] is None and _made_now(made, name))
    differs = [] if difference <= tolerance else [f"pd by {difference:.3g}, more than the allowed {tolerance:g}"]
    for name in RESULTS[1:]:
        if name not in unknown and logged[name] != replayed[name]:
            differs.append(f"{name}: {_words(logged[name])} was logged, {_words(replayed[name])} comes out now")
    if "features" not in unknown and (other := _other_features(row["features"], made.features)):
        differs.append(f"features before encoding: {', '.join(other)}")
    return Replay(
        prediction_id=row["prediction_id"],
        created_at=row["created_at"].isoformat(timespec="seconds"),
        model_version=row["model_version"],
        model_sha256=row["model_sha256"],
        logged=logged,
        replayed=replayed,
        difference=difference,
        tolerance=tolerance,
        differs=tuple(differs),
        unknown=unknown,
        inputs=dict(row["inputs"]),
        twin=twin,
    )


def _made_now(made: Any, name: str) -> bool:
    return getattr(made, name) is not None


def _words(value: Any) -> str:
    if isinstance(value, list):
        return "; ".join(f"{feature}: {text}" for feature, text in value) or "no reason"
    return str(value)


def _by_column(inputs: Mapping[str, Any], book: Portfolio) -> dict[str, Any]:
    """Logged inputs, which are by wire name, by column name. Raises KeyError for one that the model does not know."""
    names = {wire_name(name, column): name for name, column in book.inputs.items()}
    return {names[wire]: value for wire, value in inputs.items()}


def _other_features(logged: Mapping[str, Any], made: Mapping[str, Any]) -> list[str]:
    """Names of features whose logged value is another than the one made now, as the log would hold it."""
    now = json.loads(to_json(made))
    return [name for name in dict.fromkeys([*logged, *now]) if logged.get(name) != now.get(name)]
