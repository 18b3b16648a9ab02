"""Settings come from one place: environment variables with the prefix CREDITRISK_."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

ROOT = Path(__file__).resolve().parents[2]
"""The checkout: the folder that holds notebooks/, lib/, runs/ and artifacts/."""


class Settings(BaseSettings):
    """What can be set from outside. The README's table of settings is made from these fields."""

    model_config = SettingsConfigDict(env_prefix="CREDITRISK_", env_ignore_empty=True, extra="ignore")

    home: Path = Field(ROOT, description="Folder that holds notebooks/, runs/ and artifacts/.")
    runs: Path | None = Field(None, description="Where run folders go. Default: runs/ in home.")
    artifacts: str = Field("", description="Folder or fsspec URL of the models. Default: artifacts/ in home.")
    database_url: str = Field(
        "", description="SQLAlchemy URL of the prediction log. Default: SQLite file predictions.db in runs."
    )
    tracking_uri: str = Field(
        "",
        description="MLflow tracking URI. Default: MLFLOW_TRACKING_URI, else SQLite file mlflow.db in runs.",
    )
    serve_model: str = Field("champion", description="Model that the API serves; `creditrisk serve --model` sets it.")
    serve_host: str = Field("127.0.0.1", description="Address the API listens on; `creditrisk serve --host` sets it.")
    drift_period: int = Field(100, ge=1, description="Production predictions per automatic drift check.")
    policy_file: Path | None = Field(
        None, description="TOML file of cut-off policies. Default: decline from the model's own cut-off on."
    )
    keys_file: Path | None = Field(None, description="File of API keys, made by `creditrisk keys add`.")
    keys: str = Field("", repr=False, description="API keys without a file: name:hash, with commas between them.")
    rate_limit: float = Field(0, ge=0, description="Requests per second of one key, else of one address; 0: no limit.")
    rate_burst: int = Field(0, ge=0, description="Requests that may come at once; 0: as many as in one second.")
    busy_seconds: float = Field(5, gt=0, description="How long the API waits for a database that others write to.")
    log_minimum_days: int = Field(365, ge=1, description="No prediction younger than this is purged from the log.")
    alert_urls: str = Field(
        "", repr=False, description="Receivers of alerts: apprise URLs, with spaces or commas between them. Secret."
    )
    alert_file: Path | None = Field(None, description="apprise configuration file of receivers, YAML or text. Secret.")
    alert_cool_down: float = Field(21_600, ge=0, description="Seconds after an alert in which changes wait.")
    alert_on: str = Field("red,green", description="Statuses that are told: red, green, amber, insufficient data.")
    dashboard_token: str = Field(
        "", repr=False, description="Token that opens the page; see `creditrisk dashboard --help`. Secret."
    )
    dashboard_password: str = Field(
        "", repr=False, description="Hash of a password that opens the page, by `creditrisk dashboard --hash-password`."
    )
    metrics_folder: Path | None = Field(
        None, description="Where workers add up their numbers; `creditrisk serve --workers` sets it."
    )

    @property
    def runs_dir(self) -> Path:
        """Folder of the runs, absolute."""
        return (self.runs or self.home / "runs").resolve()

    @property
    def artifacts_dir(self) -> str:
        """Folder or URL of the models."""
        return self.artifacts or str(self.home / "artifacts")

    @property
    def log_url(self) -> str:
        """The prediction log's URL; a relative SQLite file counts from the working directory."""
        url = self.database_url or f"sqlite:///{self.runs_dir / 'predictions.db'}"
        scheme, _, file = url.partition(":///")
        if scheme.startswith("sqlite") and file and not file.startswith(("/", ":", "file:")):
            return f"{scheme}:///{Path(file).resolve()}"
        return url

    def environment(self) -> dict[str, str]:
        """The places as variables, absolute: for a process that works in another folder."""
        artifacts = self.artifacts_dir
        return {
            "CREDITRISK_HOME": str(self.home.resolve()),
            "CREDITRISK_RUNS": str(self.runs_dir),
            "CREDITRISK_ARTIFACTS": artifacts
            if "::" in artifacts or "://" in artifacts
            else str(Path(artifacts).resolve()),
            "CREDITRISK_DATABASE_URL": self.log_url,
        }


@cache
def _read() -> Settings:
    return Settings()


def settings() -> Settings:
    """The settings of this process, read once from the environment."""
    return _read()


def reload_settings() -> Settings:
    """Read the environment again (after a test or a runner has changed it)."""
    _read.cache_clear()
    return _read()


def shown_path(path: str | Path) -> str:
    """A path as people should read it: relative to home where it lies inside, unchanged elsewhere."""
    try:
        return str(Path(path).resolve().relative_to(settings().home.resolve()))
    except ValueError:
        return str(path)
