"""The File tab as a visitor meets it: a file is sent, looked at, taken away and logged, by keys."""

from __future__ import annotations

import io

import pandas as pd
import pytest
from playwright.sync_api import expect

from browser.test_page import HARD_TO_READ
from creditrisk.data.sample import make_applications

DARK = "on => document.body.setAttribute('data-jp-theme-light', on ? 'false' : 'true')"


def content(page, name: str) -> bytes:
    """The file that a button hands over."""
    with page.expect_download() as coming:
        page.get_by_role("button", name=name).focus()
        page.keyboard.press("Enter")
    with open(coming.value.path(), "rb") as file:
        return file.read()


def test_a_file_is_sent_looked_at_taken_away_and_logged(visit, site):
    page = visit()
    page.get_by_role("tab", name="Score a file").click()
    template = pd.read_csv(io.BytesIO(content(page, "Template")))
    assert len(template) == 1 and "income" in template
    frame = make_applications(60).astype(object)
    frame["application_id"] = [f"FILE-{n}" for n in range(60)]
    frame.loc[3, "age"], frame.loc[7, "residence_type"] = 12, "<img src=x onerror=alert(1)>"
    frame.loc[0, "application_id"] = "=1+1"
    file = {"name": "loans.csv", "mimeType": "text/csv", "buffer": frame.to_csv(index=False).encode()}
    before = site.log.counts()["predictions"]

    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Choose a file").focus()
        page.keyboard.press("Enter")
    chooser.value.set_files(file)
    expect(page.locator("[data-cr=file-scored]")).to_have_text("58")
    expect(page.locator("[data-cr=file-rejected]")).to_have_text("2")
    rejected = page.get_by_label("Rejected rows", exact=True)
    expect(rejected.locator("tbody tr")).to_have_count(2)
    expect(rejected.locator("tbody tr").first).to_contain_text("below 18")
    expect(rejected.locator("tbody tr").last).to_contain_text("<img src=x onerror=alert(1)>")
    expect(rejected.locator("img")).to_have_count(0)
    scored = page.get_by_label("Scored rows", exact=True)
    expect(scored.locator("tbody tr")).to_have_count(10)
    expect(scored.locator("tbody tr").first).to_contain_text("=1+1")
    for on in (True, False):
        page.evaluate(DARK, on)
        assert page.evaluate(HARD_TO_READ) == []
    page.get_by_label("Show", exact=True).select_option("highest PD first")
    expect(scored.locator("tbody tr").first).not_to_contain_text("=1+1")

    assert site.log.counts()["predictions"] == before
    page.get_by_role("button", name="Log 58 predictions").focus()
    page.keyboard.press("Enter")
    expect(page.locator("[data-cr=file-logged]")).to_contain_text("58 of 58 predictions were added")
    assert site.log.counts()["predictions"] == before + 58
    table = pd.read_csv(io.BytesIO(content(page, "Scored file, CSV")))
    assert len(table) == 58 and table["application_id"][0] == "'=1+1" and set(table["logged"]) == {"added"}
    whole = pd.read_parquet(io.BytesIO(content(page, "Scored file, Parquet")))
    assert whole["prediction_id"].tolist() == table["prediction_id"].tolist()
    assert len(pd.read_csv(io.BytesIO(content(page, "Rejected rows")))) == 2

    other = {"name": "other.csv", "mimeType": "text/csv", "buffer": b"age;income\n1;2\n"}
    page.locator("input[type=file]").set_input_files(other)
    expect(page.locator("[data-cr=file-problem]")).to_contain_text("parted by ';'")
    expect(page.locator("[data-cr=file-scored]")).to_have_count(0)
    page.set_viewport_size({"width": 390, "height": 900})
    page.wait_for_function("document.querySelector('#rendered_cells').scrollWidth <= innerWidth")


@pytest.mark.soak
def test_a_file_larger_than_one_message_of_the_server_arrives(visit):
    page = visit()
    page.get_by_role("tab", name="Score a file").click()
    frame = make_applications(300).assign(remark="x" * 45_000)  # 13 MB: a single message of it would end the session
    file = {"name": "large.csv", "mimeType": "text/csv", "buffer": frame.to_csv(index=False).encode()}
    page.locator("input[type=file]").set_input_files(file)
    expect(page.locator("[data-cr=file-scored]")).to_have_text("300")
