"""Scoring an applicant by keyboard and by ear: what typing answers, how fast, and what a screen reader is told."""

from __future__ import annotations

import re

from playwright.sync_api import expect

SECONDS = 0.3
# From a key to the figure: types another value into a field, and waits for the PD to change; milliseconds of each.
KEY_TO_FIGURE = """async values => {
  const input = document.querySelector('.cr-in-6 input'), pd = () => document.querySelector('[data-cr=pd]').textContent;
  const times = [];
  for (const value of values) {
    const before = pd(), started = performance.now();
    input.value = value;
    input.dispatchEvent(new Event('input', { bubbles: true }));
    while (pd() === before && performance.now() - started < 5000) await new Promise(requestAnimationFrame);
    times.push(performance.now() - started);
    await new Promise(done => setTimeout(done, 250));
  }
  return times;
}"""


def test_the_tab_is_used_without_a_mouse_and_without_sight(visit, site):
    page = visit()
    before = site.log.counts()["predictions"]
    page.get_by_label("Delinquency ratio (%)").fill("20")
    times = page.evaluate(KEY_TO_FIGURE, ["75", "5", "95", "10", "85", "15"])
    assert sorted(times)[1] < 1000 * SECONDS, times  # most of them, on a machine that does something else, too

    age = page.get_by_label("Age (years)")
    expect(age).to_have_attribute("aria-required", "true")
    expect(age).to_have_attribute("aria-describedby", "cr-in-0-said")
    age.fill("7")
    expect(age).to_have_attribute("aria-invalid", "true")
    expect(page.locator("#cr-in-0-said")).to_contain_text("7 is not accepted")
    expect(page.get_by_role("status").filter(has_text="No result: correct Age")).to_have_count(1)
    age.fill("41")
    expect(age).not_to_have_attribute("aria-invalid", "true")
    expect(page.locator(".cr-unseen[role=status]")).to_have_text(re.compile(r"PD .*, score \d+, \w+: \w+\."))

    page.get_by_label("Loan type").focus()
    page.keyboard.press("Tab")
    folded = page.get_by_role("button", name="Optional inputs (1)")
    expect(folded).to_be_focused()
    expect(folded).to_have_attribute("aria-expanded", "false")
    page.keyboard.press("Enter")
    expect(folded).to_have_attribute("aria-expanded", "true")
    page.keyboard.press("Tab")
    expect(page.get_by_label("Credit enquiries")).to_be_focused()
    page.keyboard.type("3")
    shown = page.locator("[data-cr=pd]").inner_text()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_label("Application ID")).to_be_focused()
    page.keyboard.press("Enter")  # sends nothing: saving is a button of its own
    page.wait_for_timeout(300)
    assert page.locator("[data-cr=pd]").inner_text() == shown
    assert site.log.counts()["predictions"] == before


def test_a_cut_off_is_tried_out_and_what_would_change_the_result_follows_the_form(visit, site):
    page = visit()
    before = site.log.counts()["predictions"]
    card = page.locator(".cr-card", has=page.get_by_role("heading", name="What would change it"))
    page.get_by_label("Delinquency ratio (%)").fill("100")
    page.get_by_label("Credit utilisation (%)").fill("99")
    expect(page.locator(".cr-verdict")).to_contain_text("Decline")
    expect(card).to_contain_text("To be approved")

    tried = page.get_by_label("The cut-off in force and the one tried out")
    page.get_by_label("Cut-off PD (%)").fill("99.9")
    expect(tried).to_contain_text("99.90%")
    expect(tried.locator("tr", has_text="This applicant")).to_contain_text(re.compile("Decline.*Approve"))
    slider = page.get_by_role("slider", name="Share approved, percent")
    slider.focus()
    page.keyboard.press("Home")
    expect(page.get_by_label("Cut-off PD (%)")).not_to_have_value("99.9")
    expect(tried.locator("tr", has_text="Expected approval rate")).to_contain_text(re.compile(r"[01]\.\d%"))
    page.get_by_role("button", name="Back to the cut-off in force").click()
    expect(page.get_by_role("button", name="Back to the cut-off in force")).to_be_disabled()
    assert site.log.counts()["predictions"] == before
