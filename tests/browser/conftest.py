"""The page as a visitor meets it: `creditrisk dashboard` on a free port, and Chromium without a network."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # helpers that several test folders share

import postgres  # noqa: E402
from creditrisk.data.portfolio import load_portfolio  # noqa: E402
from creditrisk.data.sample import make_applications, make_book  # noqa: E402
from creditrisk.data.tables import check_applications, prepare_book  # noqa: E402
from creditrisk.modelling import train  # noqa: E402
from creditrisk.modelling.attempts import Attempt  # noqa: E402
from creditrisk.monitoring.checks import run_due_checks  # noqa: E402
from creditrisk.release import make_model_data  # noqa: E402
from creditrisk.serving.log import PredictionLog, migrate  # noqa: E402
from creditrisk.serving.model import load_model, save_models  # noqa: E402
from creditrisk.serving.scorer import Scorer  # noqa: E402
from page_servers import PERIOD, PageProcess  # noqa: E402
from page_watch import Watch  # noqa: E402

BROWSERS = ("chromium", "google-chrome", "chromium-browser")
FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
SECONDS = 60_000  # milliseconds that a page may take on a busy machine


@pytest.fixture(scope="module")
def browser() -> Iterator:
    """Chromium; skips visibly without one, and fails then under CI.

    For one file of tests only: while it is open an event loop runs here, which other tests would take for a kernel's.
    """
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        postgres.skip_or_fail(f"no browser: none of {', '.join(BROWSERS)} is installed")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield running
        running.close()


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small model, 2 * PERIOD logged predictions and the drift reports that fell due with them."""
    folder = tmp_path_factory.mktemp("published")
    _publish_model(str(folder / "artifacts"))
    url = f"sqlite:///{folder / 'runs' / 'predictions.db'}"
    migrate(url)
    log = PredictionLog(url, PERIOD)
    _log_predictions(log, load_model("champion", str(folder / "artifacts")))
    log.close()
    return folder


@pytest.fixture(scope="module")
def place(published: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """What is published, copied for one file of tests: what they log and publish is their own."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(published, folder, dirs_exist_ok=True)
    url = f"sqlite:///{folder / 'runs' / 'predictions.db'}"
    log = PredictionLog(url, PERIOD)
    yield SimpleNamespace(folder=folder, log=log, url=url)
    log.close()


@pytest.fixture(scope="module")
def site(place: SimpleNamespace) -> Iterator[SimpleNamespace]:
    """The page over the place, open to everybody."""
    server = PageProcess(place.folder)
    yield SimpleNamespace(address=server.address, log=place.log, output=server.output, server=server)
    server.stop()


def _publish_model(folder: str) -> None:
    book = prepare_book(make_book(3_000).tables, load_portfolio("retail"))
    training = train.begin(book, train.split_book(book, "auto", 42), 42)
    fitted = train.run_attempts(training, 1, attempts=[Attempt(4, "xgboost")])
    save_models(folder, {"v2": make_model_data("v2", fitted[0], "", training, "a-run")}, "v2")


def _log_predictions(log: PredictionLog, data) -> None:
    frame = check_applications(make_applications(2 * PERIOD + 10), data.portfolio, "applications").frame[: 2 * PERIOD]
    frame = frame.assign(age=frame["age"].where(frame.index < PERIOD, 3_000))  # the second period has drifted
    scorer = Scorer(data)
    scored = scorer.score_frame(frame)
    log.append([scorer.record(scored, i, {}, purpose="production", source="api") for i in range(len(frame))])
    run_due_checks(log, lambda check: data, "test")


@pytest.fixture
def visit(browser, site) -> Iterator:
    """Opens the page: visit(width) -> page.

    No visit may log an error, ask another host for anything, or be sent the notebook's source.
    """
    pages, received, watch = [], [], Watch()

    def open_page(width: int = 1280):
        context = browser.new_context(viewport={"width": width, "height": 900})
        page = context.new_page()
        page.set_default_timeout(SECONDS)
        watch.over(page, site.address)
        received.append(page.goto(site.address).text())
        page.locator("[data-cr=pd]").wait_for()
        pages.append(page)
        return page

    yield open_page
    from playwright.sync_api import Error

    for page in pages:
        with suppress(Error):  # the test may have closed it
            page.close(run_before_unload=True)  # what frees the kernel, as when a visitor closes the tab
        page.context.close()
    assert (watch.elsewhere, watch.complaints) == ([], [])
    assert not [html for html in received if "open_page" in html or "wait_for_visitor" in html]
