"""MLflow: every attempt a run of the experiment `credit-risk-modelling`, shipped models in its registry.

The tracking database is made once under a lock, because MLflow's first use by two processes at a time fails.
"""

from __future__ import annotations

import io
import logging
import os
import tempfile
from collections.abc import Mapping
from contextlib import contextmanager, redirect_stderr
from pathlib import Path

import fsspec
from filelock import FileLock

from creditrisk.settings import settings

EXPERIMENT = "credit-risk-modelling"
BEFORE = ("mean_pd", "calibration_slope", "calibration_intercept", "brier", "log_loss")
"""Figures that are recorded before calibration, too, with `_raw` at the end of their names."""
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_SKIP_PIP_REQUIREMENTS_CHECK", "true")
os.environ.setdefault("MLFLOW_ENABLE_ASYNC_LOGGING", "false")


def tracking_uri() -> str:
    """Where runs are recorded: the setting, MLFLOW_TRACKING_URI, or a SQLite file in runs/."""
    uri = settings().tracking_uri or os.environ.get("MLFLOW_TRACKING_URI", "")
    return uri or f"sqlite:///{settings().runs_dir / 'mlflow.db'}"


def ensure_experiment() -> str:
    """Make database and experiment where they are missing; returns the experiment's id."""
    import mlflow

    logging.getLogger("mlflow").setLevel(logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    folder = settings().runs_dir
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".mlflow.lock"):
        mlflow.set_tracking_uri(tracking_uri())
        client = mlflow.MlflowClient()
        found = client.get_experiment_by_name(EXPERIMENT)
        if found is not None:
            if found.lifecycle_stage == "deleted":  # in MLflow's page, by hand; its name stays taken
                client.restore_experiment(found.experiment_id)
            return found.experiment_id
        local = tracking_uri().startswith("sqlite:")
        location = (folder / "mlflow-artifacts").as_uri() if local else None
        return client.create_experiment(EXPERIMENT, artifact_location=location)


@contextmanager
def attempt_run(name: str, tags: dict[str, str]):
    """A run of the experiment; yields MLflow's module."""
    import mlflow

    experiment = ensure_experiment()
    with mlflow.start_run(experiment_id=experiment, run_name=name, tags=tags):
        yield mlflow


def log_attempts(fitted, files: list[Path], tags: dict[str, str]) -> dict[str, str]:
    """Record attempts with parameters, figures, release gate, artifacts and version tags; returns run ids by name."""
    ids = {}
    for one in fitted:
        summary = one.summary()
        with attempt_run(summary["name"], tags | {"attempt": str(one.attempt.number)} | gate_tags(one)) as mlflow:
            mlflow.log_params(
                {"family": one.attempt.family, "resampling": one.attempt.resampling, "tuned": one.attempt.tuned}
                | one.attempt.params
            )
            figures = one.test | {f"{k}_raw": v for k, v in one.raw.items() if k in BEFORE}
            figures |= {"cv_auc": summary["cv_auc"]} | _gate_figures(one)
            mlflow.log_metrics({k: v for k, v in figures.items() if v is not None and v == v})
            for file in files:
                mlflow.log_artifact(str(file))
            ids[summary["name"]] = mlflow.active_run().info.run_id
    return ids


def gate_tags(one) -> dict[str, str]:
    """What the release gate says of an attempt, how it is calibrated, and what kind of PD it gives, as tags."""
    if one.gate is None:
        return {}
    calibration = one.model.calibration
    kind = {"calibration": calibration.method, "pd_kind": calibration.pd_kind}
    return kind | {
        "gate": one.gate.status,
        "gate_reasons": "; ".join(one.gate.reasons),
        "gate_raw": one.raw_gate.status,
    }


def _gate_figures(one) -> dict[str, float | None]:
    """1 for a gate passed, and each criterion with its interval."""
    if one.gate is None:
        return {}
    figures = {"gate_passed": float(one.gate.passed)}
    for line in one.gate.criteria:
        name = f"gate_{line.name.replace('/', '_to_')}"
        figures |= {name: line.value, f"{name}_low": line.low, f"{name}_high": line.high}
    return figures


@contextmanager
def _local_copy(path: str):
    """The path of a file for as long as it is needed; a file elsewhere is fetched, since MLflow copies from disk."""
    fs, remote = fsspec.core.url_to_fs(path)
    with tempfile.TemporaryDirectory() as folder:
        local = Path(folder) / Path(remote).name
        local.write_bytes(fs.cat_file(remote))
        yield str(local)


def register_models(
    portfolio: str,
    paths: dict[str, str],
    runs: dict[str, str],
    aliases: dict[str, str],
    tags: dict[str, dict[str, str]] | None = None,
) -> dict[str, str]:
    """Register model files under the portfolio's name and mirror the manifest's aliases.

    `paths` (or URLs), `runs` and `tags` are by version (v1, v2); `aliases` maps alias to version. The files are served
    by the package itself, so nothing is pickled again. Returns the registry's version number by version.
    """
    import mlflow

    ensure_experiment()
    numbers = {}
    for version, path in paths.items():
        with (
            _local_copy(path) as local,
            mlflow.start_run(run_id=runs[version]),
            redirect_stderr(io.StringIO()),  # MLflow announces every registration there
        ):
            info = mlflow.pyfunc.log_model(
                name=f"model_data_{version}",
                loader_module="creditrisk.serving.model",
                data_path=local,
                pip_requirements=["creditrisk"],
                registered_model_name=portfolio,
            )
        numbers[version] = str(info.registered_model_version)
    client = mlflow.MlflowClient()
    for version, number in numbers.items():
        for key, value in ((tags or {}).get(version, {}) | {"version": version}).items():
            client.set_model_version_tag(portfolio, number, key, value)
    for alias, version in aliases.items():
        if version in numbers:
            client.set_registered_model_alias(portfolio, alias, numbers[version])
    return numbers


def log_recalibration(data, path: str) -> str:
    """Record a recalibrated model (ModelData) and register its file; returns the id of its run.

    `run` among the tags is that of the training run, which still names the version's rows; `recalibrated_in` is the run
    that made it. Figures are those of the rows that judged it.
    """
    said, calibration, gate = data.training["recalibration"], data.model.calibration, data.gate
    tags = {"portfolio": data.portfolio.name, "run": data.training["run"]}
    tags |= {"recalibrated_in": said["run"], "recalibrated_from": said["of"]}
    kind = {"calibration": calibration.method, "pd_kind": calibration.pd_kind, "gate": gate.status}
    with attempt_run(f"{said['of']} recalibrated", tags | kind) as mlflow:
        mlflow.log_params({name: getattr(calibration, name) for name in ("method", "intercept", "slope")})
        mlflow.log_metrics(data.metrics["judged"])
        run = mlflow.active_run().info.run_id
    kind |= {"gate_reasons": "; ".join(gate.reasons)}
    register_models(data.portfolio.name, {data.version: path}, {data.version: run}, {}, {data.version: kind})
    return run


def mirror_promotion(portfolio: str, aliases: Mapping[str, tuple[str, str]], tags: Mapping[str, str]) -> str:
    """Give the registry the aliases of the manifest after a promotion; returns what went wrong, empty when nothing did.

    `aliases` maps alias to (version, training run); `tags` are set on the champion. Nothing depends on the registry:
    whatever goes wrong is told and no more.
    """
    uri, lacking = tracking_uri(), []
    file = uri.removeprefix("sqlite:///")
    if file != uri and not Path(file).is_file():
        return f"the MLflow registry was not told: there is no {file}"
    try:
        with _impatient():
            import mlflow

            ensure_experiment()
            client = mlflow.MlflowClient()
            known = list(client.search_model_versions(f"name='{portfolio}'"))
            for alias, (version, run) in aliases.items():
                number = _registered(client, known, version, run)
                if number is None:
                    lacking.append(f"{version} of run {run or '(unknown)'}")
                    if known:
                        client.delete_registered_model_alias(portfolio, alias)  # it would name another model
                    continue
                client.set_registered_model_alias(portfolio, alias, number)
                for key, value in tags.items() if alias == "champion" else ():
                    client.set_model_version_tag(portfolio, number, key, value)
    except Exception as problem:  # of whatever kind, from a network or a database
        first = (str(problem).strip() or type(problem).__name__).splitlines()[0]
        return f"the MLflow registry was not told: {first}"
    return f"not in the MLflow registry: {', '.join(lacking)}" if lacking else ""


def _registered(client, known: list, version: str, run: str) -> str | None:
    """The newest number in the registry of a model version that a training run filed."""
    named = [one for one in known if one.tags.get("version") == version]
    for one in sorted(named, key=lambda one: -int(one.version)):
        if client.get_run(one.run_id).data.tags.get("run") == run:
            return str(one.version)
    return None


@contextmanager
def _impatient():
    """Requests to a tracking server fail within seconds, not minutes."""
    patience = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}
    before = {name: os.environ.get(name) for name in patience}
    os.environ.update({name: value for name, value in patience.items() if before[name] is None})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
