"""What axe finds on every tab, light and dark, wide and narrow: nothing serious."""

from __future__ import annotations

import pytest

TABS = ("Score an applicant", "Score a file", "Book", "Monitoring", "Model")
WRONG = ("serious", "critical")


def findings(page, axe) -> list[str]:
    """A line for each serious or critical finding: rule, element, what is wrong."""
    found = axe.run(page).response["violations"]
    return [
        f"{one['id']}: {node['target'][0]}: {node['failureSummary'].splitlines()[-1].strip()}"
        for one in found
        if one["impact"] in WRONG
        for node in one["nodes"]
    ]


def test_the_login_page_is_accessible(browser, place):
    axe_sync = pytest.importorskip("axe_playwright_python.sync_playwright")
    from page_servers import PageProcess

    server = PageProcess(place.folder, "--pool", "0", settings={"CREDITRISK_DASHBOARD_TOKEN": "sesame-0123456789abc"})
    try:
        for scheme in ("light", "dark"):
            page = browser.new_page(color_scheme=scheme)
            page.goto(f"{server.address}/login?token=wrong")
            assert findings(page, axe_sync.Axe()) == []
            page.close()
    finally:
        server.stop()


@pytest.mark.parametrize("width", [1280, 390])
def test_no_tab_has_a_serious_finding_in_light_or_dark(visit, width):
    axe_sync = pytest.importorskip("axe_playwright_python.sync_playwright")
    page, axe, found = visit(width), axe_sync.Axe(), []
    for scheme in ("light", "dark"):
        page.evaluate(f"localStorage.setItem('cr-theme', '{scheme}')")
        if page.locator("#cr-theme").get_attribute("aria-pressed") != str(scheme == "dark").lower():
            page.locator("#cr-theme").click()
        for tab in TABS:
            page.get_by_role("tab", name=tab, exact=True).click()
            page.wait_for_timeout(700)
            found += [f"{tab}, {scheme}, {width}: {one}" for one in findings(page, axe)]
    assert found == []
