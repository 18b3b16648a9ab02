"""One visitor's day on the page, from an applicant to the model's card, in one visit without an error."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

from playwright.sync_api import expect

from creditrisk.data.sample import make_applications
from creditrisk.serving.log import PredictionLog, migrate
from page_servers import PERIOD, PageProcess
from page_watch import Watch


def test_a_day_at_the_page(browser, place, tmp_path):
    shutil.copytree(place.folder / "artifacts", tmp_path / "artifacts")
    url = f"sqlite:///{tmp_path / 'runs' / 'predictions.db'}"
    migrate(url)
    server = PageProcess(tmp_path)
    watch = Watch()
    try:
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(60_000)
        watch.over(page, server.address)
        page.goto(server.address)
        scores_an_applicant(page)
        uploads_a_file_with_two_bad_rows(page)
        sees_a_drift_report_of_a_stream(page, url, tmp_path)
        opens_the_model_card(page)
        assert watch == Watch()
        page.close(run_before_unload=True)
    finally:
        server.stop()


def scores_an_applicant(page) -> None:
    before = page.locator("[data-cr=pd]").inner_text()
    page.get_by_label("Delinquency ratio (%)").fill("60")
    page.get_by_label("Credit utilisation (%)").fill("95")
    expect(page.locator("[data-cr=pd]")).not_to_have_text(before)
    page.get_by_label("Application ID").fill("J-1")
    page.get_by_role("button", name="Save prediction").click()
    expect(page.locator("[data-cr=saved]")).to_be_visible()


def uploads_a_file_with_two_bad_rows(page) -> None:
    frame = make_applications(30).astype(object)
    frame.loc[4, "age"], frame.loc[11, "residence_type"] = 9, "Castle"
    page.get_by_role("tab", name="Score a file").click()
    file = {"name": "march.csv", "mimeType": "text/csv", "buffer": frame.to_csv(index=False).encode()}
    page.locator("input[type=file]").set_input_files(file)
    expect(page.locator("[data-cr=file-scored]")).to_have_text("28")
    rejected = page.get_by_label("Rejected rows", exact=True).locator("tbody tr")
    expect(rejected).to_have_count(2)
    for row, (number, value) in enumerate((("5", "9"), ("12", "Castle"))):
        cells = rejected.nth(row).locator("td")
        expect(cells.filter(has_text=value).first).to_be_visible()
        assert number in cells.all_inner_texts()


def sees_a_drift_report_of_a_stream(page, url: str, folder) -> None:
    page.get_by_role("tab", name="Monitoring").click()
    expect(page.get_by_text("No drift report yet")).to_be_visible()
    command = [sys.executable, "-m", "creditrisk.cli", "simulate", "--no-progress", "--database", url]
    command += ["--n", str(2 * PERIOD), "--drift", "income=3", "--artifacts", str(folder / "artifacts")]
    subprocess.run(
        command, check=True, capture_output=True, env=os.environ | {"CREDITRISK_DRIFT_PERIOD": str(PERIOD)}, timeout=120
    )
    expect(page.get_by_text("Red: the last 2 checks in a row were flagged")).to_be_visible(timeout=20_000)
    log = PredictionLog(url, PERIOD)
    newest = log.reports(limit=1)[0]
    log.close()
    expect(page.get_by_role("heading", name=f"Drift report {newest['id']}")).to_be_visible()
    expect(page.locator(".cr-no", has_text="Red: drift")).to_contain_text("income")


def opens_the_model_card(page) -> None:
    page.get_by_role("tab", name="Model").click()
    expect(page.get_by_role("heading", name="Model card")).to_be_visible()
    expect(page.locator(".cr-page .bqplot:visible").first).to_be_visible()
    page.wait_for_timeout(500)  # what a chart complains of comes after it is drawn
