"""What stands around the tabs: light and dark, the login page, a session that ends, a newer model, JupyterLab."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import nbformat
import pytest
from playwright.sync_api import expect

from creditrisk.serving.model import load_model, read_manifest, save_models
from creditrisk.settings import ROOT
from page_servers import PageProcess
from servers import free_port, wait_until_it_answers

TOKEN = "sesame-0123456789abcdef"
IS_LIGHT = "document.body.dataset.jpThemeLight"


def test_light_and_dark_follow_the_computer_until_somebody_chooses(browser, site):
    context = browser.new_context(color_scheme="dark", viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.goto(site.address, wait_until="commit")
    page.locator("#loading").wait_for()
    assert page.evaluate(IS_LIGHT) == "false", "dark before anything of the page is there"
    page.locator("[data-cr=pd]").wait_for()
    assert page.evaluate(IS_LIGHT) == "false", "Voila sets its own theme when it has loaded"
    button = page.get_by_role("button", name="Dark")
    expect(button).to_have_attribute("aria-pressed", "true")
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    button.focus()
    page.keyboard.press("Enter")
    expect(button).to_have_attribute("aria-pressed", "false")
    assert page.evaluate(IS_LIGHT) == "true"
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != dark
    page.evaluate("document.body.dataset.jpThemeLight = 'false'")
    page.wait_for_function(f"{IS_LIGHT} === 'true'")
    page.emulate_media(color_scheme="light")
    page.emulate_media(color_scheme="dark")
    assert page.evaluate(IS_LIGHT) == "true", "what was chosen stays"
    assert page.evaluate("localStorage.getItem('cr-theme')") == "light"
    page.close(run_before_unload=True)
    context.close()


def test_a_session_that_ends_says_so_and_a_short_loss_does_not(browser, site):
    page = browser.new_page()
    page.goto(site.address)
    page.locator("[data-cr=pd]").wait_for(timeout=60_000)
    ended, note = page.locator("#session-ended"), page.locator("#session-note")
    look = "window.dispatchEvent(new Event('online'))"
    with page.expect_response(re.compile("api/kernels/[0-9a-f-]{36}$")):
        page.evaluate(look)
    expect(ended).to_be_hidden()
    expect(note).to_be_hidden()

    question = re.compile("/api/kernels/[0-9a-f-]{36}$")
    page.route(question, lambda route: route.fulfill(status=503, body="busy"))  # as when a proxy restarts
    page.evaluate(look)
    expect(note).to_contain_text("The connection is lost")
    expect(ended).to_be_hidden()
    page.unroute(question)
    expect(note).to_be_hidden(timeout=10_000)  # it looks again by itself
    expect(ended).to_be_hidden()

    kernel = page.evaluate("JSON.parse(document.getElementById('jupyter-config-data').textContent).kernelId")
    assert site.server.ask(f"/api/kernels/{kernel}", "DELETE")[0] == 204
    page.evaluate(look)
    expect(ended).to_contain_text("This session has ended")
    expect(ended.get_by_role("link", name="Reload the page")).to_be_visible()
    page.close()


@pytest.mark.parametrize("cell", ["raise ValueError('income 900000')", "shown = 'lost on its way'"])
def test_a_page_that_cannot_be_made_is_tried_again_once_and_then_says_what_to_do(browser, place, tmp_path, cell):
    shutil.copytree(ROOT / "dashboards", tmp_path / "dashboards")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell)])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, tmp_path / "dashboards" / "risk.ipynb")
    server = PageProcess(place.folder, "--pool", "0", settings={"CREDITRISK_HOME": str(tmp_path)})
    try:
        page, made = browser.new_page(), []
        page.on("request", lambda request: made.append(request.url) if request.url == f"{server.address}/" else None)
        page.goto(server.address)
        page.wait_for_function("performance.getEntriesByType('navigation')[0].type === 'reload'", timeout=60_000)
        expect(page.get_by_role("heading", name="The workbench could not be opened")).to_be_visible(timeout=60_000)
        expect(page.get_by_role("link", name="Open it again")).to_be_visible()
        assert len(made) == 2 and "900000" not in page.content()
        page.close(run_before_unload=True)
    finally:
        server.stop()


def test_a_visitor_logs_in_on_a_narrow_page_without_a_network(browser, place):
    server = PageProcess(place.folder, "--pool", "0", settings={"CREDITRISK_DASHBOARD_TOKEN": TOKEN})
    try:
        context = browser.new_context(color_scheme="dark", viewport={"width": 390, "height": 700})
        page = context.new_page()
        elsewhere = []
        page.on("request", lambda asked: None if server.address in asked.url else elsewhere.append(asked.url))
        page.goto(server.address)
        assert page.url.startswith(f"{server.address}/login")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert page.evaluate("document.documentElement.dataset.theme") == "dark"
        field = page.get_by_label("Token")
        expect(field).to_be_focused()
        field.fill("not-the-token")
        page.get_by_role("button", name="Log in").click()
        expect(page.get_by_role("alert")).to_contain_text("That is not the token")
        expect(page.get_by_label("Token")).to_have_attribute("aria-invalid", "true")
        page.get_by_label("Token").fill(TOKEN)
        page.keyboard.press("Enter")
        page.locator("[data-cr=pd]").wait_for(timeout=90_000)
        assert page.url == f"{server.address}/" and not [one for one in elsewhere if not one.startswith("data:")]
        page.close(run_before_unload=True)
        context.close()
    finally:
        server.stop()


def test_a_newer_champion_is_used_in_place(visit, site, place):
    page = visit()
    page.get_by_label("Age (years)").fill("52")
    expect(page.get_by_role("button", name="Use it now")).to_be_hidden()
    folder = str(place.folder / "artifacts")
    before = read_manifest(folder)["aliases"]["champion"]
    data = load_model(before, folder)
    try:
        save_models(folder, {"v9": replace(data, version="v9")}, "v9")
        expect(page.get_by_text("A newer model (v9) has been published")).to_be_visible(timeout=20_000)
        page.get_by_role("button", name="Use it now").click()
        expect(page.locator(".cr-facts")).to_contain_text("v9")
        expect(page.get_by_role("button", name="Use it now")).to_be_hidden()
        expect(page.get_by_label("Age (years)")).to_have_value("52")
        page.locator("[data-cr=pd]").wait_for()
    finally:
        save_models(folder, {before: data}, before)


@pytest.fixture
def lab(place) -> Iterator[str]:
    """JupyterLab over the page's notebook; its address with the token in it."""
    port, output = free_port(), place.folder / "lab.log"
    environment = os.environ | {
        "CREDITRISK_HOME": str(ROOT),
        "CREDITRISK_ARTIFACTS": str(place.folder / "artifacts"),
        "CREDITRISK_RUNS": str(place.folder / "runs"),
    }
    command = [
        sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--port={port}",
        f"--IdentityProvider.token={TOKEN}", f"--ServerApp.root_dir={ROOT / 'dashboards'}",
        f"--LabApp.workspaces_dir={place.folder / 'workspaces'}", f"--LabApp.user_settings_dir={place.folder / 'lab'}",
    ]  # fmt: skip
    with open(output, "wb") as log:
        server = subprocess.Popen(command, cwd=place.folder, env=environment, stdout=log, stderr=log)
    try:
        wait_until_it_answers(f"http://127.0.0.1:{port}/api", server, output)
        yield f"http://127.0.0.1:{port}/lab/tree/risk.ipynb?reset&token={TOKEN}"
    finally:
        server.terminate()
        server.wait(timeout=30)


@pytest.mark.soak
def test_the_same_page_works_in_jupyterlab(browser, lab):
    untouched = (ROOT / "dashboards" / "risk.ipynb").read_bytes()
    page = browser.new_page(viewport={"width": 1400, "height": 1000})
    page.set_default_timeout(120_000)
    try:
        page.goto(lab)
        page.locator(".jp-Notebook .jp-CodeCell").first.wait_for()
        page.get_by_text("Run", exact=True).first.click()
        page.get_by_text("Run All Cells", exact=True).click()
        page.locator(".cr-page [data-cr=pd]").wait_for()
        before = page.locator("[data-cr=pd]").inner_text()
        page.get_by_label("Credit utilisation (%)").fill("98")
        expect(page.locator("[data-cr=pd]")).not_to_have_text(before)
        expect(page.locator("#cr-theme")).to_have_count(0)  # JupyterLab has its own
        page.locator(".cr-page").get_by_role("tab", name="Book").click()
        page.locator(".cr-page .bqplot").first.wait_for()
        ground = "getComputedStyle(document.querySelector('.cr-page .cr-card')).backgroundColor"
        light = page.evaluate(ground)
        page.evaluate("document.body.dataset.jpThemeLight = 'false'")  # what its dark theme sets
        assert page.evaluate(ground) != light
    finally:
        page.close()
    assert (ROOT / "dashboards" / "risk.ipynb").read_bytes() == untouched


KEEP_SOCKETS = """
const Socket = window.WebSocket;
window.sockets = [];
window.WebSocket = class extends Socket {
  constructor(...said) { super(...said); window.sockets.push(this); }
};
"""


def test_after_a_lost_connection_tables_have_their_rows_and_fields_answer(browser, site):
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(60_000)
    page.add_init_script(KEEP_SOCKETS)
    page.goto(site.address)
    page.get_by_role("tab", name="Book").click()
    page.get_by_label("Time", exact=True).select_option("All")
    rows = page.get_by_label("Predictions", exact=True).locator("tbody tr")
    expect(rows).to_have_count(10)
    page.evaluate("window.sockets.at(-1).close()")
    page.wait_for_function("window.sockets.length > 1 && window.sockets.at(-1).readyState === 1")
    page.wait_for_timeout(2_000)  # what is restored comes after the connection
    expect(rows).to_have_count(10)
    page.get_by_role("tab", name="Score an applicant").click()
    before = page.locator("[data-cr=pd]").inner_text()
    page.get_by_label("Credit utilisation (%)").fill("97")
    expect(page.locator("[data-cr=pd]")).not_to_have_text(before)
    page.close(run_before_unload=True)
