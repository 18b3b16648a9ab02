"""The Monitoring tab in a browser: the table of checks by key, what a pick shows, files, light and dark, narrow."""

from __future__ import annotations

import json

from playwright.sync_api import expect

from browser.test_page import HARD_TO_READ

DARK = 'document.body.setAttribute("data-jp-theme-light", "false")'
TOO_WIDE = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


def test_a_cell_is_picked_by_key_and_its_column_and_report_can_be_read_and_saved(visit, site):
    page = visit()
    page.get_by_role("tab", name="Monitoring").click()
    expect(page.get_by_text("Amber: the last check was flagged")).to_be_visible()
    latest, earlier = site.log.reports(limit=2)
    checks = page.get_by_role("region", name="Status of each column in each check")
    cell = checks.get_by_role("row", name="Age").get_by_role("button", name="red")
    expect(cell).to_have_attribute("aria-current", "true")  # the worst column of the newest check
    cell.focus()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Check 1: 60 predictions against")).to_be_visible()
    expect(page.get_by_role("heading", name=f"Drift report {earlier['id']}")).to_be_visible()
    focused = page.evaluate("document.activeElement.dataset.pick")
    number, column = focused.split("|")
    assert number == str(earlier["id"]) and column != "age"
    expect(page.locator(f'[data-pick="{focused}"]')).to_have_attribute("aria-current", "true")
    chart = page.locator(".cr-mon-column .bqplot")
    expect(chart.locator("rect.bar, .bargroup rect").first).to_be_visible()

    with page.expect_download() as saved:
        page.get_by_role("button", name="Report as JSON").click()
    told = json.loads(saved.value.path().read_text("utf-8"))
    assert (told["id"], told["rows"]) == (earlier["id"], 60)
    assert saved.value.suggested_filename == f"drift-v2-report-{earlier['id']}.json"
    assert page.evaluate(HARD_TO_READ) == []
    page.evaluate(DARK)
    assert page.evaluate(HARD_TO_READ) == []

    page.set_viewport_size({"width": 390, "height": 900})
    assert page.evaluate(TOO_WIDE) <= 0
    for name, heading in (("Outcomes", "Outcomes"), ("Alerts", "Alerts"), ("Reports", "Drift reports")):
        page.get_by_role("tab", name=name, exact=True).click()
        expect(page.get_by_role("heading", name=heading, exact=True)).to_be_visible()
        assert page.evaluate(TOO_WIDE) <= 0
    page.get_by_role("row", name=f"{latest['id']} ").get_by_text("red").click()
    expect(page.get_by_role("heading", name=f"Drift report {latest['id']}")).to_be_visible()
