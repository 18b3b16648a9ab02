"""The binning bench as an analyst meets it: the notebook in JupyterLab, in Chromium without a network."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from browser.test_page import HARD_TO_READ
from notebooks import regression
from page_watch import Watch
from servers import free_port, wait_until_it_answers

SECONDS = 60_000  # milliseconds that anything on the page may take on a busy machine
ROWS = 4_000
# Parts of the bench that hold more than they show: texts cut off, and scrollbars.
CUT_OFF = """() => [...document.querySelectorAll('.cr-bench, .cr-bench *')]
  .filter(e => e.getClientRects().length && !e.closest('.cr-unseen, svg, .bqplot, input'))
  .filter(e => e.scrollWidth > e.clientWidth + 1 && e.clientWidth > 0 && getComputedStyle(e).display !== 'inline')
  .map(e => e.tagName + '.' + e.className + ': ' + e.textContent.trim().slice(0, 40))"""
RUN_ALL = """async () => {
  const {commands, shell} = window.jupyterapp;
  await shell.currentWidget.context.sessionContext.ready;
  commands.execute('notebook:run-all-cells');
}"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """JupyterLab without a token over a copy of the notebook with few rows; it leaves nothing outside its folder."""
    folder = tmp_path_factory.mktemp("lab")
    regression.smoke_copy("binning", folder, None)
    quiet = folder / "settings" / "@jupyterlab" / "apputils-extension"
    quiet.mkdir(parents=True)
    told = {"fetchNews": "false", "checkForUpdates": False, "doNotDisturbMode": True}
    (quiet / "notification.jupyterlab-settings").write_text(json.dumps(told))
    places = {
        "JUPYTERLAB_SETTINGS_DIR": "settings",
        "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
        "JUPYTER_CONFIG_DIR": "config",
        "JUPYTER_RUNTIME_DIR": "runtime",
        "JUPYTER_DATA_DIR": "data",
        "IPYTHONDIR": "ipython",
        "CREDITRISK_RUNS": "runs",
        "CREDITRISK_ARTIFACTS": "artifacts",
    }
    own = {name: value for name, value in os.environ.items() if not name.startswith(("CREDITRISK_", "JUPYTER"))}
    environment = own | {name: str(folder / place) for name, place in places.items()}
    port = free_port()
    program = [sys.executable, "-m", "jupyterlab", "--no-browser", "--IdentityProvider.token=", "--allow-root"]
    options = ["--ServerApp.ip=127.0.0.1", f"--ServerApp.port={port}", "--ServerApp.port_retries=0"]
    options += [f"--ServerApp.root_dir={folder}", "--LabApp.expose_app_in_browser=True"]
    options += ["--LabApp.extension_manager=readonly"]
    output = folder / "server.log"
    with open(output, "wb") as log:
        server = subprocess.Popen([*program, *options], cwd=folder, env=environment, stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}"
    try:
        wait_until_it_answers(f"{address}/api", server, output)
        yield SimpleNamespace(address=address, folder=folder, overrides=folder / "artifacts" / "overrides.json")
    finally:
        server.terminate()  # which ends its kernels, too
        try:
            server.wait(timeout=30)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


@pytest.fixture(scope="module")
def page(browser, lab) -> Iterator:
    """The notebook, all cells run. No visit may log an error or ask another host for anything."""
    context = browser.new_context(viewport={"width": 1280, "height": 1500})
    page, watch = context.new_page(), Watch()
    page.set_default_timeout(SECONDS)
    watch.over(page, lab.address)
    page.goto(f"{lab.address}/doc/tree/binning.ipynb")
    page.wait_for_function("window.jupyterapp?.shell.currentWidget?.context?.isReady")
    page.evaluate(RUN_ALL)
    page.locator(".cr-bench").wait_for(state="attached")
    page.locator(".cr-bench").scroll_into_view_if_needed()
    page.locator(".cr-bench .bqplot .bar").first.wait_for(state="attached")
    yield page
    page.evaluate("window.jupyterapp.shell.currentWidget.context.sessionContext.shutdown()")
    context.close()
    assert (watch.elsewhere, watch.complaints) == ([], [])


def variable(page, label: str):
    """The row of a variable, in the table of all."""
    return page.locator(".cr-var", has=page.get_by_role("button", name=label, exact=True))


def chosen_bin(page):
    """The name of the chosen bin, above what can be done with it."""
    return page.locator(".cr-merge h3:visible")


def test_an_analyst_merges_bins_reads_what_it_costs_and_saves_it(page, lab, tmp_path):
    from playwright.sync_api import expect

    verdict = page.locator("[data-cr=verdict]")
    expect(page.locator(".cr-var")).to_have_count(13)
    assert page.evaluate(HARD_TO_READ) == []
    variable(page, "Loan amount").click(position={"x": 300, "y": 12})  # on its figures, far from its name
    expect(page.get_by_label("Variable", exact=True)).to_have_value("Loan amount")
    expect(verdict).to_have_text(re.compile(r"This is the optimum: IV \d\.\d{4}; "))
    expect(page.get_by_role("button", name="Undo")).to_be_disabled()
    count = page.locator(".cr-bin:visible").count()

    page.locator(".cr-bin:visible").nth(2).click()
    expect(chosen_bin(page)).to_contain_text("Bin 3: [")
    page.get_by_role("button", name="Merge with bin 4").click()
    expect(verdict).to_have_text(
        re.compile(
            r"This binning has IV 0\.\d{4}, 0\.\d{4} \(\d+\.\d%\) less than the optimum; (order|bins) .+ test rows"
        )
    )
    expect(page.locator(".cr-bin:visible")).to_have_count(count - 1)
    expect(variable(page, "Loan amount")).to_contain_text("edited")
    expect(variable(page, "Loan amount")).to_contain_text("not saved")

    page.get_by_label("Split at").fill("two million")
    page.get_by_label("Split at").press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("is not a number; write digits")
    expect(page.get_by_label("Split at")).to_have_value("two million")

    page.get_by_role("button", name="Save 1 change").click()
    expect(page.get_by_text("Needed: who makes these changes")).to_be_visible()
    expect(page.get_by_text("Needed: why Loan amount is changed")).to_be_visible()
    assert not lab.overrides.exists()
    assert page.evaluate(HARD_TO_READ) == [] and page.evaluate(CUT_OFF) == []
    page.get_by_label("Your name").fill("An analyst")
    page.get_by_label("Reason for the change").fill("too thin to price")
    page.get_by_label("In the scorecard").select_option("forced in")
    expect(page.locator(".cr-changes")).to_contain_text("forced in; cuts ")
    expect(page.locator(".cr-changes")).to_contain_text("too thin to price")
    page.get_by_role("button", name="Save 1 change").click()
    expect(page.locator("[data-cr=saved]")).to_contain_text("1 change, 1 in the file")
    entry = json.loads(lab.overrides.read_text())["variables"]["loan_amount"]
    assert len(entry["cuts"]) == count - 2
    assert (entry["by"], entry["reason"], entry["use"]) == ("An analyst", "too thin to price", "in")
    expect(variable(page, "Loan amount")).not_to_contain_text("not saved")
    page.locator(".cr-bench").screenshot(path=tmp_path / "bench.png")
    assert (tmp_path / "bench.png").stat().st_size > 50_000


def test_the_chart_shows_the_bins_and_a_click_on_one_chooses_it(page):
    from playwright.sync_api import expect

    page.get_by_label("Variable", exact=True).select_option("Loan purpose")
    expect(page.locator("[data-cr=verdict]")).to_contain_text("IV")
    chart = page.locator(".cr-bench .bqplot")
    for level in ("Auto", "Education", "Home", "Personal"):
        expect(chart).to_contain_text(level)
    box = chart.bounding_box()
    page.mouse.click(box["x"] + 0.85 * box["width"], box["y"] + 0.3 * box["height"])
    bins = page.locator(".cr-bin:visible").count()
    expect(chosen_bin(page)).to_contain_text(f"Bin {bins}: ")
    page.get_by_role("button", name=f"Merge with bin {bins - 1}").click()
    expect(page.locator(".cr-bin:visible")).to_have_count(bins - 1)
    numbers = [text.strip() for text in chart.locator(".axis").nth(2).locator(".tick text").all_text_contents()]
    assert numbers == [str(k + 1) for k in range(bins - 1)]
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(".cr-bin:visible")).to_have_count(bins)


def test_rows_are_chosen_from_the_keyboard(page):
    from playwright.sync_api import expect

    page.get_by_role("button", name="Age", exact=True).focus()
    page.keyboard.press("Enter")
    expect(page.get_by_label("Variable", exact=True)).to_have_value("Age (years)")
    expect(page.get_by_label("Split at")).to_be_visible()  # its edits come after its name: before, levels were shown
    expect(page.get_by_label("Split at")).to_have_value("")
    page.get_by_label("Split at").focus()
    page.keyboard.type("33.5")
    page.keyboard.press("Enter")
    expect(page.get_by_label("All cuts")).to_have_value(re.compile(r"\b33\.5\b"))
    page.get_by_role("button", name="Undo").press("Enter")
    expect(page.get_by_label("All cuts")).not_to_have_value(re.compile(r"\b33\.5\b"))


@pytest.mark.parametrize("width", [1280, 1200, 900])
def test_nothing_is_cut_off_at_common_widths(page, width):
    page.set_viewport_size({"width": width, "height": 1500})
    for label in ("Loan amount", "Loan purpose", "Average days past due (days)"):
        page.get_by_label("Variable", exact=True).select_option(label)
        page.wait_for_function("text => document.querySelector('.cr-here').textContent.includes(text)",
                               arg=label.partition(" (")[0])  # fmt: skip
        assert page.evaluate(CUT_OFF) == [], (width, label)
    assert page.evaluate(HARD_TO_READ) == []
