"""What a visitor of the page sees, types and saves."""

from __future__ import annotations

import re
import time
import urllib.error
import urllib.request

import pytest
from playwright.sync_api import expect

# Contrast of every visible text with its ground, as the W3C computes it; below 4.5 is hard to read.
HARD_TO_READ = """() => {
  const parse = c => (c.match(/[\\d.]+/g) || []).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
    .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = element => {
    for (let e = element; e; e = e.parentElement) {
      const c = parse(getComputedStyle(e).backgroundColor);
      if (c.length === 3 || c[3] > 0) return c;
    }
    return [255, 255, 255];
  };
  const found = [];
  for (const element of document.querySelectorAll('.cr-page *')) {
    const own = [...element.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
    if (!own || !element.getClientRects().length) continue;
    const style = getComputedStyle(element);
    const ink = parse(element instanceof SVGElement ? style.fill : style.color);
    const [a, b] = [light(ink), light(ground(element))].sort((x, y) => y - x);
    const contrast = (a + 0.05) / (b + 0.05);
    if (contrast < 4.5) found.push(contrast.toFixed(2) + ' ' + element.textContent.trim().slice(0, 40));
  }
  return found;
}"""


def pd_of(page) -> str:
    return page.locator("[data-cr=pd]").inner_text()


def test_a_visitor_scores_corrects_and_saves_an_applicant(visit, site):
    page = visit()
    expect(page.get_by_role("heading", level=1)).to_have_text("Credit Risk Workbench")
    expect(page.locator(".cr-facts")).to_contain_text("Test AUC")
    expect(page.get_by_label("Age (years)")).to_have_value("38")
    expect(page.get_by_label("Residence")).to_have_value("Owned")
    expect(page.get_by_text("Optional inputs (1)")).to_be_visible()
    expect(page.get_by_label("Credit enquiries")).to_be_hidden()
    assert page.evaluate(HARD_TO_READ) == []

    before = pd_of(page)
    utilisation = page.get_by_label("Credit utilisation (%)")
    utilisation.fill("98")
    page.get_by_label("Residence").select_option("Rented")
    expect(page.locator("[data-cr=pd]")).not_to_have_text(before)
    expect(page.locator(".cr-reasons")).to_contain_text("Credit utilisation: 98%")

    utilisation.fill("120")
    field = page.locator(".cr-field", has=utilisation)
    expect(field).to_have_class(re.compile("cr-invalid"))
    expect(field.get_by_role("alert")).to_contain_text("120 is not accepted; enter a number from 0 to 100 %")
    expect(page.locator("[data-cr=pd]")).to_have_count(0)
    expect(page.get_by_text("No result: correct Credit utilisation")).to_be_visible()
    save = page.get_by_role("button", name="Save prediction")
    expect(save).to_be_disabled()
    assert page.evaluate(HARD_TO_READ) == []

    utilisation.fill("97")
    expect(field).not_to_have_class(re.compile("cr-invalid"))
    page.get_by_label("Loan tenure (months)").fill("72")
    expect(page.get_by_text("Loan tenure 72 is above 60")).to_be_visible()
    page.get_by_label("Application ID").fill("A-2041")
    expect(page.locator("[data-cr=pd]")).to_be_visible()
    rows_before = site.log.counts()["predictions"]
    save.dblclick()
    saved = page.locator("[data-cr=saved]").inner_text()
    expect(page.get_by_role("button", name="Saved")).to_be_disabled()
    assert site.log.counts()["predictions"] == rows_before + 1
    (row,) = site.log.predictions(limit=1)
    assert (row["prediction_id"], row["application_id"], row["source"]) == (saved, "A-2041", "page")
    assert row["inputs"]["credit_utilization_ratio"] == 97 and row["inputs"]["residence_type"] == "Rented"

    utilisation.fill("96")
    page.get_by_role("button", name="Save prediction").click()
    told = page.get_by_role("alert").filter(has_text="this application_id was scored before")
    expect(told).to_contain_text(f"score {row['score']}, scored on {row['created_at']:%Y-%m-%d at %H:%M} UTC")
    expect(told).to_contain_text("made of other inputs than those in the form")
    expect(page.get_by_role("button", name="Not saved: scored before")).to_be_disabled()
    assert site.log.counts()["predictions"] == rows_before + 1
    assert page.evaluate(HARD_TO_READ) == []

    page.get_by_role("tab", name="Book").click()
    expect(page.get_by_label("Predictions", exact=True).get_by_text("A-2041")).to_be_visible()


def test_monitoring_shows_what_was_logged(visit, site):
    page = visit()
    page.get_by_role("tab", name="Monitoring").click()
    latest, earlier = site.log.reports(limit=2)
    expect(page.get_by_role("heading", name=f"Drift report {latest['id']}")).to_be_visible()
    expect(page.locator(".cr-no", has_text="age: extreme mean shift")).to_contain_text("Red: drift")
    rows = page.get_by_label("Drift by column").locator("tbody tr:not(.cr-why)")
    expect(rows).to_have_count(len(latest["report"]["columns"]))
    expect(rows.first).to_contain_text("Age")
    expect(rows.first).to_contain_text("red")
    assert page.evaluate(HARD_TO_READ) == []
    page.get_by_label("Report", exact=True).select_option(index=1)
    expect(page.get_by_role("heading", name=f"Drift report {earlier['id']}")).to_be_visible()
    expect(page.get_by_text("No drift in")).to_be_visible()


def test_a_narrow_page_needs_no_sideways_scrolling_and_keeps_the_result_in_sight(visit):
    page = visit(390)
    expect(page.locator(".cr-glance")).to_be_in_viewport()
    before = page.locator(".cr-glance").inner_text()
    page.get_by_label("Credit utilisation (%)").fill("98")
    expect(page.locator(".cr-glance")).not_to_have_text(before)
    for name in ("Score a file", "Book", "Monitoring", "Model", "Score an applicant"):
        page.get_by_role("tab", name=name, exact=True).click()
        expect(page.get_by_role("tab", name=name, exact=True)).to_have_attribute("aria-selected", "true")
        page.wait_for_function("document.querySelector('#rendered_cells').scrollWidth <= innerWidth")


def test_a_closed_tab_leaves_no_kernel(visit, site):
    page = visit()
    kernel = page.evaluate("JSON.parse(document.getElementById('jupyter-config-data').textContent).kernelId")
    assert answer(f"{site.address}/api/kernels/{kernel}")[0] == 200
    page.close(run_before_unload=True)
    deadline = time.monotonic() + 20
    while (status := answer(f"{site.address}/api/kernels/{kernel}")[0]) == 200 and time.monotonic() < deadline:
        time.sleep(0.2)
    assert status == 404


def answer(address: str, method: str = "GET") -> tuple[int, str]:
    request = urllib.request.Request(address, method=method, data=b"" if method == "POST" else None)
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, response.read().decode("utf-8", "replace")
    except urllib.error.HTTPError as refusal:
        return refusal.code, refusal.read().decode("utf-8", "replace")


@pytest.mark.parametrize(
    "path",
    [
        "risk.ipynb",
        "voila/files/risk.ipynb",
        "voila/files/RISK.IPYNB",
        "voila/files/voila.json",
        "voila/files/share/jupyter/voila/templates/offline/index.html.j2",
        "voila/files/public/.gitkeep",
        "voila/files/../README.md",
        "voila/files/%2e%2e/README.md",
        "voila/files/public/..%2f..%2fREADME.md",
        "voila/files/public/..%2fvoila.json",
        "voila/static/..%2f..%2f..%2fvoila.json",
        "voila/templates/offline/index.html.j2",
        "voila/templates/offline/..%2findex.html.j2",
        "api/contents/risk.ipynb",
        "voila/api/contents/risk.ipynb",
        "voila/render/risk.ipynb",
        "voila/tree",
        "api/kernels",
        "api/terminals",
    ],
)
def test_nothing_but_the_page_itself_is_served(site, path):
    status, body = answer(f"{site.address}/{path}")
    assert status >= 400
    assert "open_page" not in body and "VoilaConfiguration" not in body and "extends" not in body


def test_a_visitor_cannot_start_kernels_of_their_own_or_choose_another_template(site):
    assert answer(f"{site.address}/api/kernels", "POST")[0] >= 400
    with urllib.request.urlopen(f"{site.address}/?template=reveal&theme=dark", timeout=30) as response:
        head = b""
        while b"</head>" not in head and (more := response.read1()):
            head += more
    assert b'id="session-ended"' in head or b"#session-ended" in head
    assert b"reveal.js" not in head and b"https://" not in head
