"""Options and markers of the whole suite."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

import postgres


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--benchmarks", action="store_true", help="run tests/benchmarks, which measure and compare")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "soak: long; runs with CREDITRISK_SOAK=1 (make soak)")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    soak = bool(os.environ.get("CREDITRISK_SOAK"))
    for item in items:
        if item.get_closest_marker("soak") and not soak:
            item.add_marker(pytest.mark.skip(reason="long: make soak runs it"))
        if item.path.parent.name == "benchmarks" and not config.getoption("--benchmarks"):
            item.add_marker(pytest.mark.skip(reason="a benchmark: make bench runs it"))


@pytest.fixture
def settings_in(tmp_path, monkeypatch):
    """Settings that keep runs, artifacts and databases in a temporary folder."""
    from creditrisk.settings import reload_settings

    monkeypatch.setenv("CREDITRISK_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("CREDITRISK_ARTIFACTS", str(tmp_path / "artifacts"))
    monkeypatch.delenv("CREDITRISK_DATABASE_URL", raising=False)
    yield reload_settings()
    monkeypatch.undo()
    reload_settings()


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
