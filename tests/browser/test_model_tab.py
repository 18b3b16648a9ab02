"""The Model tab in a browser: it opens without an error, draws its charts, and shows a report over the page."""

from __future__ import annotations

import json
import os

REPORT = "<html><head><title>x</title></head><body><h1 id='top'>The validation</h1><a href='#top'>up</a></body></html>"


def test_a_model_is_shown_with_its_charts_and_its_validation_report(visit, site):
    manifest = json.loads((site.output.parent / "artifacts" / "manifest.json").read_text())
    run = site.output.parent / "runs" / "20260102T000000Z-validate-0a0b0c"
    run.mkdir()
    verdict = {"status": "pass", "text": "Fit for use"}
    about = {"model": "v2", "model_sha256": manifest["models"]["v2"]["sha256"], "verdict": verdict, "findings": []}
    (run / "report.html").write_text(REPORT)
    (run / "result.json").write_text(json.dumps({"status": "ok"} | about))

    page = visit()
    page.get_by_role("tab", name="Model").click()
    page.get_by_role("heading", name="Model card").wait_for()
    page.locator(".cr-model .bqplot .bar").first.wait_for(state="attached")
    page.get_by_label("Variable", exact=True).select_option("Age (years)")
    page.get_by_role("heading", name="Age (years)").wait_for()

    page.get_by_role("button", name="Open the validation report").click()
    dialog = page.get_by_role("dialog", name="Validation report of v2")
    dialog.wait_for()
    frame = page.frame_locator("dialog iframe")
    frame.get_by_role("heading", name="The validation").wait_for()
    frame.get_by_role("link", name="up").click()
    assert frame.get_by_role("heading", name="The validation").is_visible()
    assert page.locator("dialog iframe").get_attribute("sandbox") == ""  # no script of a report may run
    with page.expect_download() as saved:
        dialog.get_by_role("button", name="Download").click()
    assert os.path.basename(saved.value.suggested_filename) == f"{run.name}.html"
    page.keyboard.press("Escape")
    dialog.wait_for(state="hidden")
    assert page.evaluate("document.activeElement.textContent") == "Open the validation report"
