"""Several visitors at once: each on their own, and nothing left of them when they have gone."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from page_servers import PageProcess, kernel_of, memory

CULL = 3
MOST_MEMORY = 200
"""Megabytes of a visitor's kernel, as its share of what several have in common."""


@pytest.fixture
def crowded(place) -> Iterator[PageProcess]:
    """A page of its own, impatient with kernels that nobody is connected to."""
    server = PageProcess(place.folder, "--cull-after", str(CULL))
    server.wait_until_ready()
    yield server
    server.stop()


def meet(browser, server: PageProcess, count: int) -> list:
    """That many visitors who come at the same time; pages that show a result."""
    pages = []
    for _ in range(count):
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        page = context.new_page()
        page.set_default_timeout(240_000)
        page.goto(server.address, wait_until="commit")
        pages.append(page)
    for page in pages:
        page.locator("[data-cr=pd]").wait_for()
    return pages


def each_saves_its_own(pages: list, log, first: int) -> None:
    """What one types nobody else sees, and what one saves is their own."""
    for i, page in enumerate(pages):
        page.get_by_label("Age (years)").fill(str(first + i))
        page.get_by_label("Application ID").fill(f"visitor-{first + i}")
    for i, page in enumerate(pages):
        expect(page.get_by_label("Age (years)")).to_have_value(str(first + i))
        page.get_by_role("button", name="Save prediction").click()
    for page in pages:
        expect(page.get_by_role("button", name="Saved")).to_be_visible()
    rows = {row["application_id"]: row["inputs"]["age"] for row in log.predictions(limit=len(pages))}
    assert rows == {f"visitor-{first + i}": first + i for i in range(len(pages))}


def leaves_nothing(browser, server: PageProcess, log, count: int, first: int) -> None:
    files = server.open_files()
    pages = meet(browser, server, count)
    each_saves_its_own(pages, log, first)
    sizes = {pid: memory(pid) for pid in server.kernels()}
    print(f"{count} visitors: kernels of {sorted(sizes.values())} MB")
    assert len(sizes) == count + 1 and max(sizes.values()) < MOST_MEMORY, sizes
    for i, page in enumerate(pages):  # every other one closes the tab, the others pull the plug
        if i % 2:
            page.close(run_before_unload=True)
        page.context.close()
    server.wait_for_kernels(1, seconds=CULL + 60)
    deadline = time.monotonic() + 20
    while server.open_files() > files + 8 and time.monotonic() < deadline:
        time.sleep(0.5)
    assert server.open_files() <= files + 8


def test_three_visitors_at_once_are_apart_and_leave_nothing(browser, crowded, place):
    leaves_nothing(browser, crowded, place.log, 3, 30)


@pytest.mark.soak
def test_ten_visitors_at_once_are_apart_and_leave_nothing(browser, crowded, place):
    for first in (30, 50):
        leaves_nothing(browser, crowded, place.log, 10, first)


@pytest.mark.soak
def test_a_visit_that_begins_while_others_end_works_and_one_that_never_connects_is_ended(place):
    """Without a browser: what is asked for once and never connected to, again and again while kernels end."""
    server = PageProcess(place.folder, "--cull-after", "1")
    try:
        server.wait_until_ready()
        time.sleep(4)  # the kernel kept ready has waited for longer than others may be alone
        _, _, text = server.ask("/")
        kernel = kernel_of(text)
        assert "widget-view+json" in text
        time.sleep(3)
        assert server.ask(f"/api/kernels/{kernel}")[0] == 200, "a browser may take its time to connect"
    finally:
        server.stop()
