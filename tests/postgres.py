"""A throwaway PostgreSQL server for tests, from the programs that are installed on this machine."""

from __future__ import annotations

import os
import pwd
import secrets
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from servers import free_port


def skip_or_fail(reason: str) -> None:
    """Skip the test and show why; under CI (CI=true) fail, since there every test is meant to run."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"CI runs every test, but {reason}", pytrace=False)
    pytest.skip(reason)


def absent_reason() -> str | None:
    """Why no server can be started here, or None when one can."""
    if _programs() is None:
        return "PostgreSQL is absent: neither pg_config nor initdb leads to a server (install postgresql)"
    if _account() is None:
        return "PostgreSQL refuses to run as root, and there is neither a user postgres nor a user nobody"
    return None


@contextmanager
def running_postgres() -> Iterator[str]:
    """The SQLAlchemy URL of a fresh server on 127.0.0.1. It trades durability for speed: for tests only."""
    reason = absent_reason()
    if reason:
        raise RuntimeError(reason)
    programs, account = _programs(), _account()
    folder = Path(tempfile.mkdtemp(prefix="creditrisk-postgres-"))
    password = secrets.token_hex(8)
    try:
        (folder / "password").write_text(password)
        for path in (folder, folder / "password"):
            os.chown(path, account.pw_uid, account.pw_gid)
        initdb = [
            programs / "initdb",
            "-D",
            folder / "data",
            "-U",
            "creditrisk",
            "-E",
            "UTF8",
            "--locale=C",
            "-N",
        ]
        _run([*initdb, "-A", "scram-sha-256", f"--pwfile={folder / 'password'}"], account, folder)
        port = _start(programs, account, folder)
        try:
            yield f"postgresql+psycopg://creditrisk:{password}@127.0.0.1:{port}/postgres"
        finally:
            _run([programs / "pg_ctl", "-D", folder / "data", "-m", "immediate", "-w", "stop"], account, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def stopped(server_url: str) -> Iterator[None]:
    """A server of `running_postgres` stops at once, as if it had crashed, and starts again at the end, as it was."""
    engine = sa.create_engine(server_url, poolclass=sa.NullPool)
    with engine.connect() as connection:
        data = Path(connection.exec_driver_sql("SHOW data_directory").scalar_one())
    programs, account = _programs(), _account()
    options = shlex.split((data / "postmaster.opts").read_text())[3:]  # after the program, -D and the folder
    _run([programs / "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop"], account, data)
    try:
        yield
    finally:
        again = ["-o", " ".join(options), "-l", data / "again.log", "-t", "30", "-w", "start"]
        _run([programs / "pg_ctl", "-D", data, *again], account, data)


@contextmanager
def fresh_database(server_url: str) -> Iterator[str]:
    """The URL of a new, empty database on a running server; dropped at the end, whoever is connected."""
    name = f"test_{secrets.token_hex(6)}"
    engine = sa.create_engine(server_url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    try:
        yield sa.make_url(server_url).set(database=name).render_as_string(hide_password=False)
    finally:
        with engine.connect() as connection:
            connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")


def _start(programs: Path, account: pwd.struct_passwd, folder: Path) -> int:
    for attempt in range(3):  # another program may take the port between finding it and using it
        port = free_port()
        options = f"-h 127.0.0.1 -p {port} -F -c unix_socket_directories= -c full_page_writes=off"
        log = folder / f"server-{attempt}.log"
        start = [
            programs / "pg_ctl",
            "-D",
            folder / "data",
            "-o",
            options,
            "-l",
            log,
            "-t",
            "30",
            "-w",
            "start",
        ]
        try:
            _run(start, account, folder)
            return port
        except RuntimeError as error:
            failure = f"{error}\n{log.read_text() if log.exists() else ''}"
    raise RuntimeError(f"PostgreSQL did not start: {failure}")


def _programs() -> Path | None:
    folders = []
    if shutil.which("pg_config"):
        found = subprocess.run(["pg_config", "--bindir"], capture_output=True, text=True, check=False)
        folders.append(Path(found.stdout.strip()))
    if shutil.which("initdb"):
        folders.append(Path(shutil.which("initdb")).resolve().parent)
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((folder for folder in folders if (folder / "initdb").exists() and (folder / "pg_ctl").exists()), None)


def _account() -> pwd.struct_passwd | None:
    """Who runs the server: this user, or an unprivileged one when this user is root."""
    if os.geteuid() != 0:
        return pwd.getpwuid(os.geteuid())
    known = {account.pw_name: account for account in pwd.getpwall()}
    return known.get("postgres") or known.get("nobody")


def _run(command: list, account: pwd.struct_passwd, folder: Path) -> None:
    as_other = {} if os.geteuid() else {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    # pg_ctl leaves a server that keeps its output open: a pipe would never end, a file does.
    with tempfile.TemporaryFile() as output:
        done = subprocess.run(
            [str(part) for part in command],
            cwd=folder,
            env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            timeout=120,
            check=False,
            **as_other,
        )
        output.seek(0)
        if done.returncode:
            raise RuntimeError(f"{Path(command[0]).name} failed: {output.read().decode(errors='replace')}")
