"""Takes the README's pictures: the tabs of the page in light and dark, the newest training report, the binning bench.

    python scripts/pictures.py                      start the page with the current settings, take the pictures, stop
    python scripts/pictures.py --url http://...     take the page that is running
    python scripts/pictures.py --only tabs          take the tabs alone (or report, or bench)
    python scripts/pictures.py --set "Age (years)=45" ...   fill the form in first, by label

Needs a finished `creditrisk train` and Chromium. Nothing is saved to the prediction log.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from creditrisk.runs import list_runs

PICTURES = Path(__file__).resolve().parents[1] / "docs" / "pictures"
BROWSERS = ("chromium", "google-chrome", "chromium-browser")
WIDTH = 1280
MOST_HEIGHT = 1_700
"""Of a picture of a tab: what lies below is left out."""
MOST_BYTES = 300_000
COLOURS = 192
THEMES = {"": "light", "-dark": "dark"}
"""Endings of file names, and what the visitor's system then prefers."""
PATIENCE = 120  # seconds for the page to start and to show
# An applicant of the retail portfolio with something to say in every part of the result.
APPLICANT = (
    "Yearly income=900,000",
    "Loan amount=2,600,000",
    "Loan tenure (months)=66",
    "Delinquency ratio (%)=14",
    "Average days past due (days)=3",
    "Credit utilisation (%)=58",
)


def main() -> None:
    """Take the pictures, and say where they are."""
    parser = argparse.ArgumentParser(description="Take the README's pictures.")
    parser.add_argument("--url", default="", help="a page that is running; without it one is started")
    parser.add_argument("--set", action="append", metavar="LABEL=TEXT", help="fill in a field; may be repeated")
    parser.add_argument("--only", choices=("tabs", "report", "bench"), help="take these pictures alone")
    parser.add_argument("--out", type=Path, default=PICTURES, help="folder, default docs/pictures")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    with open_browser() as browser:
        if arguments.only in (None, "tabs"):
            with nullcontext(arguments.url) if arguments.url else running_page() as url:
                take_tabs(browser, url, arguments.set, arguments.out)
        if arguments.only in (None, "report"):
            take_report(browser, _newest_report(), arguments.out)
        if arguments.only in (None, "bench"):
            with tempfile.TemporaryDirectory() as folder, running_lab(Path(folder)) as lab:
                take_bench(browser, lab, arguments.out / "bench.png")
    for picture in sorted(arguments.out.glob("*.png")):
        size = picture.stat().st_size
        print(f"{picture}: {size // 1000} kB")
        if size > MOST_BYTES:
            sys.exit(f"{picture} has {size:,} bytes, more than the {MOST_BYTES:,} a README should carry")


def _newest_report() -> Path:
    for run in list_runs():
        report = Path(run["folder"]) / "report.html"
        if run["name"] == "train" and run["status"] == "ok" and report.exists():
            return report.resolve()
    sys.exit("there is no finished training run; run `creditrisk train` first")


@contextmanager
def running_page() -> Iterator[str]:
    """`creditrisk dashboard` on a free port, stopped at the end."""
    port = _free_port()
    program = [sys.executable, "-m", "creditrisk.cli", "dashboard", "--port", str(port)]
    server = subprocess.Popen(program, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        url = f"http://127.0.0.1:{port}"
        _wait(f"{url}/voila/static/voila.js", server)
        yield url
    finally:
        server.terminate()
        server.wait(timeout=30)


@contextmanager
def running_lab(folder: Path) -> Iterator[str]:
    """JupyterLab on a copy of the binning notebook, with nobody's settings, stopped at the end."""
    shutil.copy(PICTURES.parents[1] / "notebooks" / "binning.ipynb", folder)
    quiet = folder / "jupyterlab_settings_dir" / "@jupyterlab" / "apputils-extension"
    quiet.mkdir(parents=True)
    told = {"fetchNews": "false", "checkForUpdates": False, "doNotDisturbMode": True}
    (quiet / "notification.jupyterlab-settings").write_text(json.dumps(told))
    port = _free_port()
    own = ("JUPYTERLAB_SETTINGS_DIR", "JUPYTERLAB_WORKSPACES_DIR", "JUPYTER_CONFIG_DIR")
    program = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--IdentityProvider.token="]
    program += [f"--ServerApp.port={port}", "--ServerApp.port_retries=0", f"--ServerApp.root_dir={folder}"]
    program += ["--LabApp.expose_app_in_browser=True"]
    environment = os.environ | {name: str(folder / name.lower()) for name in own}
    environment |= {"CREDITRISK_HOME": str(folder), "CREDITRISK_ARTIFACTS": str(folder / "artifacts")}
    server = subprocess.Popen(
        program, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        url = f"http://127.0.0.1:{port}"
        _wait(f"{url}/api", server)
        yield url
    finally:
        server.terminate()
        server.wait(timeout=30)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait(address: str, server: subprocess.Popen) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and server.poll() is None:
        try:
            urllib.request.urlopen(address, timeout=5).close()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    sys.exit(f"{address} did not answer; run `creditrisk dashboard` or `make lab` to see why")


@contextmanager
def open_browser() -> Iterator[Browser]:
    """Headless Chromium."""
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        sys.exit(f"no browser: none of {', '.join(BROWSERS)} is installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program, args=["--headless=new", "--no-sandbox", "--disable-gpu"]
        )
        yield browser
        browser.close()


def take_tabs(browser: Browser, url: str, texts: list[str] | None, folder: Path) -> None:
    """Write a PNG of each tab in light and in dark: page.png is the first one, the others have their tab's name."""
    page = browser.new_page(viewport={"width": WIDTH, "height": 900})
    page.set_default_timeout(PATIENCE * 1000)
    page.goto(url)
    page.locator(".cr-page h1").wait_for()
    shows = {
        "page": lambda: show_score(page, texts),
        "book": lambda: show_book(page),
        "monitoring": lambda: show_monitoring(page),
        "model": lambda: show_model(page),
    }
    for name, show in shows.items():
        show()
        page.mouse.click(5, 5)  # no field keeps the focus ring
        for ending, theme in THEMES.items():
            page.emulate_media(color_scheme=theme)
            take(page, folder / f"{name}{ending}.png")
    page.close(run_before_unload=True)


def take(page: Page, out: Path) -> None:
    """Write a PNG of the page, as tall as its content or MOST_HEIGHT."""
    height = page.evaluate("Math.ceil(document.querySelector('.cr-page').getBoundingClientRect().height)")
    page.set_viewport_size({"width": WIDTH, "height": min(height, MOST_HEIGHT)})
    page.wait_for_timeout(700)
    page.screenshot(path=out)
    Image.open(out).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(out, optimize=True)


def show_score(page: Page, texts: list[str] | None) -> None:
    """The tab with an applicant who was scored."""
    page.get_by_role("tab", name="Score an applicant").click()
    if page.locator("[data-cr=pd]").count() == 0:
        sys.exit("the page shows no result; run `creditrisk train` first, or fill the form in with --set")
    _fill(page, texts)
    page.wait_for_timeout(1_000)


def show_book(page: Page) -> None:
    """The tab with the logged predictions."""
    _open(page, "Book")


def show_monitoring(page: Page) -> None:
    """The tab with drift and outcomes."""
    _open(page, "Monitoring")


def show_model(page: Page) -> None:
    """The tab with the champion, its rows judged."""
    _open(page, "Model")
    page.get_by_role("heading", name="Model card").wait_for()
    page.locator(".cr-curve .bqplot .dot, .cr-curve .cr-empty").first.wait_for(state="attached")
    page.wait_for_timeout(1_000)


def _open(page: Page, tab: str) -> None:
    """Go to a tab, and wait until nothing is being made in it."""
    page.get_by_role("tab", name=tab, exact=True).click()
    page.wait_for_timeout(3_000)
    page.wait_for_function(
        "[...document.querySelectorAll('.cr-busy')].every(one => !one.checkVisibility({visibilityProperty: true}))"
    )


def take_report(browser: Browser, report: Path, folder: Path) -> None:
    """Write PNGs of the top of a training report, and of its tables of attempts."""
    page = browser.new_page(viewport={"width": 1100, "height": 1250})
    page.goto(report.as_uri())
    page.screenshot(path=folder / "report.png")
    begin = page.get_by_role("heading", name="The attempts compared").bounding_box()
    end = page.get_by_role("heading", name="The two models that ship").bounding_box()
    clip = {"x": 0, "y": begin["y"] - 16, "width": 1100, "height": end["y"] - begin["y"]}
    page.screenshot(path=folder / "comparison.png", full_page=True, clip=clip)
    page.close()


def take_bench(browser: Browser, url: str, out: Path) -> None:
    """Write a PNG of the binning bench after an edit: a split that makes a bin of the largest loans."""
    page = browser.new_page(viewport={"width": WIDTH, "height": 2200})
    page.set_default_timeout(PATIENCE * 1000)
    page.goto(f"{url}/doc/tree/binning.ipynb")
    page.wait_for_function("window.jupyterapp?.shell.currentWidget?.context?.isReady")
    page.evaluate(
        "async () => { const {commands, shell} = window.jupyterapp;"
        "await shell.currentWidget.context.sessionContext.ready; commands.execute('notebook:run-all-cells'); }"
    )
    page.locator(".cr-bench .bqplot .bar").first.wait_for(state="attached")
    page.get_by_label("Variable", exact=True).select_option("Loan amount")
    page.locator(".cr-bin:visible").last.click()
    page.get_by_label("Split at").fill("25000000")
    page.get_by_role("button", name="Split", exact=True).click()
    page.get_by_label("Reason for the change").fill("the largest loans are priced on their own")
    page.get_by_label("Your name").fill("An analyst")
    page.get_by_role("button", name="Save 1 change").click()
    page.locator("[data-cr=saved]").get_by_text("1 in the file").wait_for()
    page.wait_for_timeout(1_000)
    page.locator(".cr-bench").screenshot(path=out)
    Image.open(out).quantize(128).save(out, optimize=True)
    page.evaluate("window.jupyterapp.shell.currentWidget.context.sessionContext.shutdown()")
    page.close(run_before_unload=False)


def _fill(page: Page, texts: list[str] | None) -> None:
    """Fill the fields in; the built-in applicant skips fields that another portfolio does not have."""
    for text in texts or APPLICANT:
        label, _, value = text.partition("=")
        field = page.get_by_label(label, exact=True)
        if field.count() == 0:
            if texts:
                sys.exit(f"the form has no field {label!r}")
            continue
        if field.evaluate("element => element.tagName") == "SELECT":
            field.select_option(value)
        else:
            field.fill(value)
    page.mouse.click(5, 5)  # no field keeps the focus ring


if __name__ == "__main__":
    main()
