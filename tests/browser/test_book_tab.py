"""The Book tab as a visitor meets it: figures of a window, a grid that lives, one prediction in full."""

from __future__ import annotations

import re
from dataclasses import replace

from playwright.sync_api import expect

from browser.test_page import HARD_TO_READ
from creditrisk.serving.log import PredictionRecord
from creditrisk.serving.records import COLUMNS

DARK = "on => document.body.setAttribute('data-jp-theme-light', on ? 'false' : 'true')"


def test_a_window_is_shown_its_grid_lives_and_a_row_is_seen_in_full(visit, site):
    page = visit()
    page.get_by_role("tab", name="Book").click()
    book, grid = page.locator(".cr-book"), page.get_by_label("Predictions", exact=True)
    page.get_by_label("Time", exact=True).select_option("All")
    page.get_by_label("Purpose", exact=True).select_option(index=0)
    rows = site.log.predictions(limit=10)
    total = site.log.counts()["predictions"]
    expect(book.get_by_text(f"{total:,} predictions in the log")).to_be_visible()
    expect(book.locator(".bqplot").first.locator(".bargroup rect, .bar")).to_have_count(4)
    expect(book.locator(".bqplot").first).to_contain_text("Excellent")
    expect(book.locator(".bqplot")).to_have_count(5)
    expect(grid.locator("tbody tr")).to_have_count(10)
    expect(grid.locator("tbody tr").first).to_contain_text(rows[0]["rating"])

    page.get_by_label("Score", exact=True).fill("700")
    page.get_by_label("Score", exact=True).press("Enter")
    expect(book.get_by_text("Approved are scores of 700 and above, that is PDs up to 33.33%.")).to_be_visible()

    # A row by keys alone: the first one is reached with Tab, the next with the arrow.
    grid.locator("tbody tr").first.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    detail = book.locator(".cr-detail")
    expect(detail.locator("code.cr-id")).to_have_text(rows[1]["prediction_id"])
    expect(detail.get_by_label("Where it came from")).to_contain_text("production")
    expect(grid.locator("tbody tr").nth(1)).to_have_attribute("aria-selected", "true")
    detail.locator("code.cr-id").click()  # all of an id is selected at once, to be copied
    assert page.evaluate("getSelection().toString().trim()") == rows[1]["prediction_id"]

    assert page.evaluate(HARD_TO_READ) == []
    page.evaluate(DARK, True)
    assert page.evaluate(HARD_TO_READ) == []
    page.evaluate(DARK, False)

    # New rows come by themselves, and sorting, page and the choice stay.
    grid.get_by_text("Score", exact=True).click()
    book.locator(".dt-paging-button", has_text="2").first.click()
    third = grid.locator("tbody tr").nth(2)
    third.click()
    expect(third).to_have_class(re.compile("cr-chosen"))
    chosen = third.inner_text()
    record = PredictionRecord(**{name: rows[0][name] for name in COLUMNS if name != "sequence"})
    keys = {"dedupe_key": None, "idempotency_key": None, "application_id": "LIVE-1", "score": 900}
    site.log.append([replace(record, prediction_id="live-1", **keys)])
    expect(book.get_by_text(f"{total + 1:,} predictions in the log")).to_be_visible()
    expect(book.locator(".dt-info")).to_contain_text(f"Rows 11 to 20 of {total + 1}")
    expect(grid.locator("tr.cr-chosen")).to_have_text(chosen.replace("\t", ""))

    page.get_by_label("Find an ID").fill("LIVE-1")
    page.get_by_label("Find an ID").press("Enter")
    expect(book.get_by_text("1 prediction with the ID LIVE-1")).to_be_visible()
    expect(detail.locator("code.cr-id")).to_have_text("live-1")


def test_the_book_fits_a_narrow_page(visit):
    page = visit(390)
    page.get_by_role("tab", name="Book").click()
    grid = page.get_by_label("Predictions", exact=True)
    expect(grid.locator("tbody tr").first).to_be_visible()
    expect(grid.locator("thead th:visible")).to_have_count(3)
    page.wait_for_function("document.querySelector('.cr-gridbox .dt-layout-table').scrollWidth <= innerWidth")
    page.wait_for_function("document.querySelector('#rendered_cells').scrollWidth <= innerWidth")
