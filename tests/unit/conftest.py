"""Fixtures of the unit tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

import postgres


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A PostgreSQL server for this session; skips visibly without one, and fails then under CI."""
    reason = postgres.absent_reason()
    if reason:
        postgres.skip_or_fail(reason)
    with postgres.running_postgres() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_urls(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[int], list[str]]]:
    """Makes URLs of databases without tables; every test that takes it runs on both kinds of database."""
    if request.param == "sqlite":
        yield lambda count: [f"sqlite:///{tmp_path / 'new' / f'{number}.db'}" for number in range(count)]
        return
    server = request.getfixturevalue("postgres_url")
    with ExitStack() as stack:
        yield lambda count: [stack.enter_context(postgres.fresh_database(server)) for _ in range(count)]


@pytest.fixture
def empty_url(empty_urls: Callable[[int], list[str]]) -> str:
    """The URL of one database without tables."""
    return empty_urls(1)[0]
