"""Options and markers of the whole suite."""

from __future__ import annotations

import os

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--benchmarks", action="store_true", help="run tests/benchmarks, which measure and compare")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "soak: long; runs with CREDITRISK_SOAK=1 (make soak)")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    soak = bool(os.environ.get("CREDITRISK_SOAK"))
    for item in items:
        if "soak" in item.keywords and not soak:
            item.add_marker(pytest.mark.skip(reason="long: make soak runs it"))
        if "/benchmarks/" in str(item.path) and not config.getoption("--benchmarks"):
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
