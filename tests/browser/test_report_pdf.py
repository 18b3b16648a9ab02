"""Reports on paper: nothing clipped; the validation report as a validation unit files it, nothing empty."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from creditrisk.runs import run_notebook
from creditrisk.settings import reload_settings
from unit.models import published

PAPER = {"A4": (210, 297), "Letter": (216, 279)}
"""Sheets in millimetres."""
MARGIN = 16  # millimetres, of the report's @page rule


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """A validation of a small v2, run as `creditrisk validate` does."""
    folder = tmp_path_factory.mktemp("validation")
    patch = pytest.MonkeyPatch()
    patch.setenv("CREDITRISK_RUNS", str(folder / "runs"))
    patch.setenv("CREDITRISK_ARTIFACTS", str(folder / "artifacts"))
    reload_settings()
    published(folder / "artifacts")
    outcome = run_notebook("validate", {"model": "v2", "rows": 4_000}, progress=False)
    assert outcome.ok, outcome.error
    yield SimpleNamespace(
        page=outcome.folder.file("report.html"), result=json.loads(outcome.folder.file("result.json").read_text())
    )
    patch.undo()
    reload_settings()


@pytest.fixture(scope="module")
def training_report(report: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small training run, as `creditrisk train` reports it."""
    folder = str(tmp_path_factory.mktemp("trained"))
    outcome = run_notebook("train", {"rows": 2_000, "trials": 1, "artifacts": folder}, progress=False)
    assert outcome.ok, outcome.error
    return outcome.folder.file("report.html")


def printed(browser, report: Path, paper: str) -> tuple:
    """A report as it is printed: the page, the height of a sheet, and what is cut off at the edge, as text."""
    width, height = ((side - 2 * MARGIN) * 96 / 25.4 for side in PAPER[paper])
    page = browser.new_page(viewport={"width": int(width), "height": int(height)})
    page.emulate_media(media="print")
    page.goto(report.as_uri())
    edge = page.evaluate("document.documentElement.clientWidth") + 0.5
    wide = page.evaluate(
        """edge => [...document.querySelectorAll('table, pre, img, p, li')]
             .filter(e => e.getBoundingClientRect().right > edge || e.scrollWidth > e.clientWidth + 1)
             .map(e => e.innerText || e.alt)""",
        edge,
    )
    return page, height, wide


@pytest.mark.soak
@pytest.mark.parametrize("paper", PAPER)
def test_no_table_of_a_training_report_is_cut_off_on_paper(browser, training_report, paper):
    page, _, wide = printed(browser, training_report, paper)
    assert wide == []
    heads = page.locator("th").all_inner_texts()
    assert {"errors_apart", "std_error", "auc_high", "note"} <= set(heads), "the wide tables are there"
    page.close()


@pytest.mark.soak
@pytest.mark.parametrize("paper", PAPER)
def test_the_validation_report_prints_without_a_clipped_table_or_an_empty_chart(browser, report, paper):
    page, height, wide = printed(browser, report.page, paper)
    assert wide == []
    images = page.evaluate("[...document.images].map(i => [i.alt, i.naturalWidth, i.getBoundingClientRect().height])")
    assert len(images) == 8 and len({alt for alt, _, _ in images}) == len(images)
    for alt, pixels, tall in images:
        assert pixels > 400 and 40 < tall < height, alt  # a chart taller than a page would be cut in two
    assert page.locator(".output_error, .output_stderr").count() == 0
    pdf = page.pdf(format=paper)
    assert pdf.startswith(b"%PDF") and 8 <= pdf.count(b"/Type /Page\n") + pdf.count(b"/Type /Page ") <= 25
    page.close()


@pytest.mark.soak
def test_the_first_page_has_the_verdict_and_every_test_is_in_the_report(browser, report):
    page = browser.new_page()
    page.goto(report.page.as_uri())
    summary = page.locator("h2:text-is('Summary') >> xpath=following::table[2]").inner_text()
    findings, verdict = report.result["findings"], report.result["verdict"]
    assert verdict["text"] in page.locator("main").inner_text()
    assert len(findings) >= 35 and len({one["key"] for one in findings}) == len(findings)
    for one in findings:
        assert one["name"] in summary and one["status"] in ("pass", "watch", "fail", "not applicable")
        assert one["status"] != "not applicable" or one["why"]
    wrong = {one["key"]: one["value"] for one in findings if one["key"].startswith("sensitivity.")}
    assert wrong == {"sensitivity.monotone": 0, "sensitivity.no_worse_from.age": 0}
    page.close()
