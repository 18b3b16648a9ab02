"""How long a visitor waits for the page, and what a visitor's kernel takes. `make bench` prints it with the load."""

from __future__ import annotations

import os
import shutil
import statistics
import time
from pathlib import Path

import pytest

import postgres
from creditrisk.data.sample import make_book
from creditrisk.data.tables import prepare_book
from creditrisk.modelling import train
from creditrisk.modelling.attempts import Attempt
from creditrisk.release import make_model_data
from creditrisk.serving.model import save_models
from page_servers import PageProcess, memory
from unit.models import RETAIL

SECONDS = {1: 2.0, 0: 8.0}
"""By the number of kernels kept ready: from the request to the first applicant's PD, at most."""
KEY_SECONDS = 0.33
"""From a key to the PD that follows from it."""
VISITS = 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    home = tmp_path_factory.mktemp("page")
    book = prepare_book(make_book(20_000).tables, RETAIL)
    training = train.begin(book, train.split_book(book, "auto", 42), 42)
    params = {"n_estimators": 450, "max_depth": 2, "learning_rate": 0.09}
    (fitted,) = train.run_attempts(training, 1, attempts=[Attempt(4, "xgboost", params=params)])
    save_models(str(home / "artifacts"), {"v2": make_model_data("v2", fitted, "", training, "a-run")}, "v2")
    return home


@pytest.fixture(scope="module")
def chromium():
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        postgres.skip_or_fail("no browser is installed")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=program, args=["--headless=new", "--no-sandbox"])
        yield running
        running.close()


@pytest.mark.parametrize("pool", SECONDS)
def test_first_content_comes_soon_and_answers_follow_keys(chromium, folder, pool):
    server = PageProcess(folder, "--pool", str(pool))
    first, keys, sizes = [], [], []
    try:
        for _ in range(VISITS):
            if pool:
                server.wait_until_ready()
            context = chromium.new_context(viewport={"width": 1280, "height": 900})
            page = context.new_page()
            page.set_default_timeout(60_000)
            begun = time.perf_counter()
            page.goto(server.address, wait_until="commit")
            shown = page.locator("[data-cr=pd]")
            shown.wait_for()
            first.append(time.perf_counter() - begun)
            page.wait_for_timeout(1_000)
            for value in ("70", "90", "50", "99"):
                before = shown.inner_text()
                begun = time.perf_counter()
                page.get_by_label("Credit utilisation (%)").fill(value)
                page.wait_for_function("was => document.querySelector('[data-cr=pd]').innerText !== was", arg=before)
                keys.append(time.perf_counter() - begun)
            sizes += [memory(pid) for pid in server.kernels()][:1]
            page.close(run_before_unload=True)
            context.close()
            server.wait_for_kernels(pool)
    finally:
        server.stop()
    print(
        f"\n{pool} kernels kept ready: first content {min(first):.2f} to {max(first):.2f} s, a key answered in "
        f"{1000 * statistics.median(keys):.0f} ms (at most {1000 * max(keys):.0f}), a visitor's kernel "
        f"{max(sizes):.0f} MB; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
    )
    assert statistics.median(first) <= SECONDS[pool]
    assert statistics.median(keys) <= KEY_SECONDS
