"""The database under the prediction log: SQLite by default, PostgreSQL elsewhere, one code for both.

SQLite runs in WAL mode with a full sync per commit. Writers take the write lock when they begin: a
transaction that reads first and writes later fails at once, whatever the busy timeout, when another process
has written in between. Readers have their own engine, so that looking never waits for writing.

Nothing here waits without end: writers give up after `busy_seconds`, questions after `read_seconds`, and a connection
whose database has gone away is thrown away with all others of its pool, so that the next use begins afresh.
"""

from __future__ import annotations

import json
import math
import os
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import filelock
import pydantic_core
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import ArgumentError, DisconnectionError, IntegrityError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as NoConnection

from creditrisk.errors import LogError

MIGRATIONS = Path(__file__).parent / "migrations"
BUSY_SECONDS = 30
"""How long a writer waits for another by default; who serves requests waits less."""
READ_SECONDS = 10
"""How long a question may take; beyond, its filter is too wide for an answer in time."""
MIGRATION_SECONDS = 120
IDLE_SECONDS = 60
"""When PostgreSQL ends a transaction whose client says nothing more, since it holds the counters' locks."""
MIGRATION_LOCK = 0x63726564  # one number per application in PostgreSQL's advisory locks
UNDEFINED = ("42P01", "42703")  # PostgreSQL: no such table, no such column
FULL = ("53100", "disk is full", "disk I/O error")
LOCKED = ("55P03", "locked")
TOO_LONG = ("57014", "interrupted")
ABSENT = ("no such table", "no such column", "unable to open database file")  # SQLite
MIGRATE_ADVICE = "run `creditrisk serve` or creditrisk.serving.log.migrate(url)"


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


def open_engine(
    url: sa.URL,
    read_only: bool = False,
    create: bool = False,
    busy_seconds: float | None = None,
    read_seconds: float | None = None,
) -> sa.Engine:
    """An engine for one process; make it after forking.

    `read_only` engines cannot write and never wait for writers; a transaction of theirs that takes more than
    `read_seconds` is ended. Writers wait for one another for `busy_seconds` (default 30). Without `create`, a SQLite
    file that is missing stays missing: an empty one in its place would hide a wrong path.
    """
    busy_seconds = BUSY_SECONDS if busy_seconds is None else busy_seconds
    options = {"json_serializer": to_json, "hide_parameters": True, "pool_timeout": busy_seconds}
    if url.get_backend_name() == "postgresql":
        return _open_postgres(url, read_only, busy_seconds, read_seconds, options)
    return _open_sqlite(url, read_only, create, busy_seconds, read_seconds, options)


def _open_postgres(
    url: sa.URL, read_only: bool, busy_seconds: float, read_seconds: float | None, options: dict[str, Any]
) -> sa.Engine:
    wait = {"connect_timeout": max(2, min(10, math.ceil(busy_seconds))), "tcp_user_timeout": int(busy_seconds * 1000)}
    connect = {name: value for name, value in wait.items() if name not in url.query}
    engine = sa.create_engine(url, connect_args=connect, pool_pre_ping=True, **options)
    limits = {"idle_in_transaction_session_timeout": max(IDLE_SECONDS, busy_seconds), "lock_timeout": busy_seconds}
    if read_only:
        limits = {} if read_seconds is None else {"statement_timeout": read_seconds}

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: Any) -> None:
        for name, seconds in limits.items():
            connection.execute(f"SET {name} = {max(1, int(seconds * 1000))}")
        connection.commit()

    return engine.execution_options(postgresql_readonly=True) if read_only else engine


def _open_sqlite(
    url: sa.URL,
    read_only: bool,
    create: bool,
    busy_seconds: float,
    read_seconds: float | None,
    options: dict[str, Any],
) -> sa.Engine:
    path = Path(url.database).absolute()
    if not create:
        url = url.set(database=path.as_uri(), query={**url.query, "mode": "rw", "uri": "true"})
    engine = sa.create_engine(url, connect_args={"timeout": busy_seconds}, **options)
    # Fewer, larger checkpoints: a page that many transactions change is then written back once.
    written = ["journal_mode=WAL", "synchronous=FULL", "journal_size_limit=67108864", "wal_autocheckpoint=4000"]
    opening = "BEGIN" if read_only else "BEGIN IMMEDIATE"
    pragmas = ["query_only=ON"] if read_only else [*written, "cache_size=-16000"]

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, record: Any) -> None:
        connection.isolation_level = None  # or the driver would begin transactions of its own
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}")
        record.info["file"] = _identity(path)
        if read_seconds is not None:
            connection.set_progress_handler(lambda: time.monotonic() > record.info.get("end", math.inf), 20_000)

    @event.listens_for(engine, "checkout")
    def still_there(_connection: Any, record: Any, _proxy: Any) -> None:
        # A file that was removed or replaced still takes rows from whoever has it open, and loses them.
        if record.info.get("file") != _identity(path):
            raise DisconnectionError(f"{path.name} is another file now")

    @event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        if read_seconds is not None:
            connection.info["end"] = time.monotonic() + read_seconds
        connection.connection.driver_connection.execute(opening)  # through SQLAlchemy it costs ten times as much

    return engine


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


class Turns:
    """A lock whose waiters get it in the order they came.

    Threads that wait inside SQLite sleep and are woken unfairly, some after seconds.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._waiting: deque[threading.Lock] = deque()
        self._taken = False

    def acquire(self, seconds: float) -> bool:
        """Wait for this thread's turn; False when it has not come in time."""
        with self._guard:
            if not self._taken:
                self._taken = True
                return True
            gate = threading.Lock()
            gate.acquire()
            self._waiting.append(gate)
        try:
            if gate.acquire(timeout=seconds):
                return True
        except BaseException:
            if not self._leave(gate):
                self.release()
            raise
        return not self._leave(gate)

    def release(self) -> None:
        """Hand over to whoever has waited longest."""
        with self._guard:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._taken = False

    def _leave(self, gate: threading.Lock) -> bool:
        """Stop waiting; False when the turn was handed over just now."""
        with self._guard:
            if gate in self._waiting:
                self._waiting.remove(gate)
                return True
            return False


class Prepared:
    """A statement compiled once, for those that run with every request: `names` is the order of its values.

    On SQLite it goes to the driver, since all else that SQLAlchemy does for a statement costs more than SQLite does.
    """

    def __init__(self, statement: sa.Executable, dialect: sa.Dialect, columns: Sequence[str] | None = None) -> None:
        self._on_sqlite = dialect.name == "sqlite"
        style = "qmark" if self._on_sqlite else "format"
        compiled = statement.compile(dialect=type(dialect)(paramstyle=style), column_keys=columns)
        self._sql = compiled.string
        self.names: tuple[str, ...] = tuple(compiled.positiontup)

    def rows(self, connection: sa.Connection, values: tuple) -> list[tuple]:
        """Run with these values; what it returns."""
        if self._on_sqlite:
            return connection.connection.driver_connection.execute(self._sql, values).fetchall()
        return list(map(tuple, connection.exec_driver_sql(self._sql, values)))

    def many(self, connection: sa.Connection, values: list[tuple]) -> None:
        """Run once with each tuple of values."""
        if self._on_sqlite:
            connection.connection.driver_connection.executemany(self._sql, values)
        elif values:
            connection.exec_driver_sql(self._sql, values)


@contextmanager
def readable_errors(url: sa.URL, busy_seconds: float = BUSY_SECONDS) -> Iterator[None]:
    """Turn what the database says into a LogError that names log, cause and way out, but not the password."""
    try:
        yield
    except (SQLAlchemyError, sqlite3.Error) as error:
        origin = getattr(error, "orig", None) or error
        if isinstance(origin, LogError):  # raised while a value was being converted
            raise origin from None
        cause = str(origin).strip() or type(origin).__name__
        if url.password:
            cause = cause.replace(str(url.password), "***")
        advice = _advice(error, cause, getattr(origin, "sqlstate", None) or "", busy_seconds)
        raise LogError(f"prediction log {shown(url)}: {cause.splitlines()[0]}; {advice}") from error


def _advice(error: Exception, cause: str, state: str, busy_seconds: float) -> str:
    def told(signs: Sequence[str]) -> bool:
        return state in signs or any(sign in cause for sign in signs)

    if told(UNDEFINED) or told(ABSENT):
        return MIGRATE_ADVICE
    if told(LOCKED):
        return f"another process has been writing for {busy_seconds:g} s; send again"
    if told(FULL):
        return "nothing of this transaction was stored; make room on its disk"
    if told(TOO_LONG):
        return "it took too long to answer; narrow the question by model, time or application"
    if isinstance(error, NoConnection):
        return "all connections are in use; send again"
    if isinstance(error, IntegrityError | sqlite3.IntegrityError):
        return "nothing of this transaction was stored; every prediction needs an id of its own"
    return "check that it is running and reachable (CREDITRISK_DATABASE_URL)"


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
        with filelock.FileLock(path.with_name(path.name + ".lock"), timeout=MIGRATION_SECONDS):
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
    if _is_flat(value) or (type(value) is list and all(map(_is_flat, value))):
        try:
            text = pydantic_core.to_json(value).decode()
        except pydantic_core.PydanticSerializationError:  # half a surrogate pair, which the other way can write
            text = "NaN"
        if "NaN" not in text and "Infinity" not in text:
            return text
    try:
        return _strict.encode(value)
    except ValueError:  # the slow way only for values that need it
        return _lenient.encode(_finite(value))
    except TypeError as error:
        raise LogError(f"a value cannot be stored in the prediction log: {error}") from error


_PLAIN = frozenset((str, int, float, bool, type(None)))
_NAMES = frozenset((str,))


def _is_flat(value: Any) -> bool:
    """Whether this is a dict of texts, numbers and nothing else, as nearly all are."""
    return type(value) is dict and _PLAIN.issuperset(map(type, value.values())) and _NAMES.issuperset(map(type, value))


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

    engine = open_engine(url, create=True, busy_seconds=MIGRATION_SECONDS)
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
