"""The database under the prediction log: SQLite by default, PostgreSQL elsewhere, one code for both.

SQLite runs in WAL mode with a full sync per commit. Writers take the write lock when they begin: a
transaction that reads first and writes later fails at once, whatever the busy timeout, when another process
has written in between. Readers have their own engine, so that looking never waits for writing.
"""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import filelock
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import ArgumentError, IntegrityError, SQLAlchemyError

from creditrisk.errors import LogError

MIGRATIONS = Path(__file__).parent / "migrations"
BUSY_SECONDS = 30
MIGRATION_LOCK = 0x63726564  # one number per application in PostgreSQL's advisory locks
UNDEFINED = ("42P01", "42703")  # PostgreSQL: no such table, no such column
ABSENT = ("no such table", "no such column", "unable to open database file")  # SQLite
MIGRATE_ADVICE = "run `creditrisk serve` or creditrisk.serving.log.migrate(url)"


class UtcTime(sa.TypeDecorator):
    """A moment. Takes aware datetimes only and always gives aware UTC back, whatever the database keeps."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise LogError(f"the time {value.isoformat()} has no time zone; use datetime.now(UTC)")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def parse_url(url: str) -> sa.URL:
    """The SQLAlchemy URL of a prediction log; `postgres://` and `postgresql://` get the installed driver.

    Raises LogError for a malformed URL, another database, or a SQLite database that is not a file.
    """
    try:
        parsed = sa.make_url(url)
    except (ArgumentError, ValueError) as error:
        raise LogError(
            "the prediction log's address is not a database URL; write sqlite:///folder/file.db or "
            "postgresql://user:password@host/name (CREDITRISK_DATABASE_URL)"
        ) from error
    if parsed.drivername in ("postgres", "postgresql", "postgresql+psycopg"):
        return parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername not in ("sqlite", "sqlite+pysqlite"):
        raise LogError(
            f"prediction log {shown(parsed)}: {parsed.drivername} is not supported; use sqlite or postgresql"
        )
    if parsed.database in (None, "", ":memory:") or parsed.database.startswith("file:"):
        raise LogError(f"prediction log {shown(parsed)}: name a file, as in sqlite:///runs/predictions.db")
    return parsed


def shown(url: sa.URL) -> str:
    """The URL as people may see it: no password, and no query, since that can hold one too."""
    return url.set(query={}).render_as_string(hide_password=True)


def open_engine(url: sa.URL, read_only: bool = False, create: bool = False) -> sa.Engine:
    """An engine for one process; make it after forking.

    `read_only` engines cannot write and never wait for writers. Without `create`, a SQLite file that is
    missing stays missing: an empty one in its place would hide a wrong path.
    """
    options: dict[str, Any] = {"json_serializer": to_json, "hide_parameters": True}
    if url.get_backend_name() == "postgresql":
        connect = {} if "connect_timeout" in url.query else {"connect_timeout": 10}
        engine = sa.create_engine(url, connect_args=connect, pool_pre_ping=True, **options)
        return engine.execution_options(postgresql_readonly=True) if read_only else engine
    if not create:
        file = Path(url.database).absolute().as_uri()
        url = url.set(database=file, query={**url.query, "mode": "rw", "uri": "true"})
    engine = sa.create_engine(url, connect_args={"timeout": BUSY_SECONDS}, **options)
    pragmas = (
        ["query_only=ON"] if read_only else ["journal_mode=WAL", "synchronous=FULL", "journal_size_limit=67108864"]
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # or the driver would begin transactions of its own
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")

    return engine


@contextmanager
def readable_errors(url: sa.URL) -> Iterator[None]:
    """Turn what the database says into a LogError that names log, cause and way out, but not the password."""
    try:
        yield
    except SQLAlchemyError as error:
        origin = getattr(error, "orig", None) or error
        if isinstance(origin, LogError):  # raised while a value was being converted
            raise origin from None
        cause = str(origin).strip() or type(origin).__name__
        if url.password:
            cause = cause.replace(str(url.password), "***")
        if getattr(origin, "sqlstate", None) in UNDEFINED or any(phrase in cause for phrase in ABSENT):
            advice = MIGRATE_ADVICE
        elif "locked" in cause:
            advice = f"another process has been writing for {BUSY_SECONDS} s; send again"
        elif isinstance(error, IntegrityError):
            advice = "nothing of this transaction was stored; every prediction needs an id of its own"
        else:
            advice = "check that it is running and reachable (CREDITRISK_DATABASE_URL)"
        raise LogError(f"prediction log {shown(url)}: {cause.splitlines()[0]}; {advice}") from error


def migrate(url: str) -> None:
    """Bring the log's schema to this version, once, however many processes ask at the same time.

    Makes the SQLite file and its folder where they are absent. Raises LogError when the database cannot be
    reached or was written by a newer version.
    """
    parsed = parse_url(url)
    if parsed.get_backend_name() == "postgresql":
        return _upgrade(parsed)
    path = Path(parsed.database)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # The lock covers the switch to WAL too, which a second process cannot wait for inside SQLite.
        with filelock.FileLock(path.with_name(path.name + ".lock"), timeout=120):
            _upgrade(parsed)
    except filelock.Timeout as error:
        raise LogError(
            f"prediction log {shown(parsed)}: another process has held {error.lock_file} for 2 minutes"
        ) from error
    except OSError as error:
        raise LogError(f"prediction log {shown(parsed)}: {error}; choose a folder that can be written") from error


def require_head(url: sa.URL, engine: sa.Engine) -> None:
    """Raise LogError unless the database has exactly the schema of this version."""
    from alembic.runtime.migration import MigrationContext

    if url.get_backend_name() == "sqlite" and not Path(url.database).exists():
        raise LogError(f"prediction log {shown(url)}: there is no such file yet; {MIGRATE_ADVICE}")
    with readable_errors(url), engine.connect() as connection:
        found = MigrationContext.configure(connection).get_current_revision()
    expected = _script().get_current_head()
    if found == expected:
        return
    if found is None:
        raise LogError(f"prediction log {shown(url)}: it has no tables yet; {MIGRATE_ADVICE}")
    known = {script.revision for script in _script().walk_revisions()}
    advice = MIGRATE_ADVICE if found in known else "it was written by a newer version: install that one"
    raise LogError(f"prediction log {shown(url)}: schema {found}, this version needs {expected}; {advice}")


def to_json(value: Any) -> str:
    """JSON that every database takes: NaN becomes null, infinity a text, NumPy values plain ones."""
    try:
        return _strict.encode(value)
    except ValueError:  # the slow way only for values that need it
        return _lenient.encode(_finite(value))
    except TypeError as error:
        raise LogError(f"a value cannot be stored in the prediction log: {error}") from error


def _plain(value: Any) -> Any:
    if isinstance(value, date):
        return value.isoformat() if value == value else None  # NaT is a date that does not equal itself
    if hasattr(value, "tolist"):
        return value.tolist()
    if type(value).__name__ == "NAType":
        return None
    raise LogError(f"{value!r} ({type(value).__name__}) cannot be stored in the log; pass plain values")


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


_strict = json.JSONEncoder(allow_nan=False, default=_plain, separators=(",", ":"))
_lenient = json.JSONEncoder(default=lambda item: _finite(_plain(item)), separators=(",", ":"))


def _script() -> Any:
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    return ScriptDirectory.from_config(_configured(Config()))


def _configured(config: Any) -> Any:
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


_one_at_a_time = threading.Lock()  # Alembic keeps the running migration in a global


def _upgrade(url: sa.URL) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    engine = open_engine(url, create=True)
    try:
        with _one_at_a_time, readable_errors(url), engine.begin() as connection:
            if connection.dialect.name == "postgresql":
                # Held to the end of this transaction: a killed migration leaves no lock and no half schema.
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(MIGRATION_LOCK)))
            config = _configured(Config())
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except CommandError as error:
        raise LogError(f"prediction log {shown(url)}: {error}; a newer version wrote it: install that one") from error
    finally:
        engine.dispose()
