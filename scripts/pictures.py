"""Takes the README's picture of the page: docs/pictures/page.png.

    python scripts/pictures.py                      start the page with the current settings, take the picture, stop
    python scripts/pictures.py --url http://...     take it from a page that is running
    python scripts/pictures.py --set "Age (years)=45" ...   fill the form in first, by label

Needs a model (`creditrisk train`) and Chromium. Nothing is saved to the prediction log.
"""

from __future__ import annotations

import argparse
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

PICTURE = Path(__file__).resolve().parents[1] / "docs" / "pictures" / "page.png"
BROWSERS = ("chromium", "google-chrome", "chromium-browser")
WIDTH = 1280
MOST_BYTES = 300_000
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
    """Take the picture, and say where it is."""
    parser = argparse.ArgumentParser(description="Take the README's picture of the page.")
    parser.add_argument("--url", default="", help="a page that is running; without it one is started")
    parser.add_argument("--set", action="append", metavar="LABEL=TEXT", help="fill in a field; may be repeated")
    parser.add_argument("--out", type=Path, default=PICTURE, help="default docs/pictures/page.png")
    arguments = parser.parse_args()
    if arguments.url:
        take(arguments.url, arguments.set, arguments.out)
    else:
        with running_page() as url:
            take(url, arguments.set, arguments.out)
    print(f"{arguments.out}: {arguments.out.stat().st_size // 1000} kB")


@contextmanager
def running_page() -> Iterator[str]:
    """`creditrisk dashboard` on a free port, stopped at the end."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    program = [sys.executable, "-m", "creditrisk.cli", "dashboard", "--port", str(port)]
    server = subprocess.Popen(program, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        url = f"http://127.0.0.1:{port}"
        _wait(f"{url}/voila/static/voila.js", server)
        yield url
    finally:
        server.terminate()
        server.wait(timeout=30)


def _wait(address: str, server: subprocess.Popen) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and server.poll() is None:
        try:
            urllib.request.urlopen(address, timeout=5).close()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    sys.exit("the page did not start; run `creditrisk dashboard` to see why")


def take(url: str, texts: list[str] | None, out: Path) -> None:
    """Write a PNG of the page, as tall as its content."""
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        sys.exit(f"no browser: none of {', '.join(BROWSERS)} is installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program, args=["--headless=new", "--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport={"width": WIDTH, "height": 900})
        page.set_default_timeout(PATIENCE * 1000)
        page.goto(url)
        page.locator(".cr-page h1").wait_for()
        if page.locator("[data-cr=pd]").count() == 0:
            sys.exit("the page shows no result; run `creditrisk train` first, or fill the form in with --set")
        _fill(page, texts)
        page.wait_for_timeout(1_000)
        height = page.evaluate("Math.ceil(document.querySelector('.cr-page').getBoundingClientRect().height)")
        page.set_viewport_size({"width": WIDTH, "height": height})
        out.parent.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=out)
        page.close(run_before_unload=True)
        browser.close()
    if out.stat().st_size > MOST_BYTES:
        sys.exit(f"{out} has {out.stat().st_size:,} bytes, more than the {MOST_BYTES:,} a README should carry")


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
