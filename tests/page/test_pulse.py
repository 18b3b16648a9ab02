"""How a page learns of what is new behind it."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
from pathlib import Path

import pytest

from creditrisk.serving.log import migrate
from creditrisk.ui.page.pulse import Pulse, Seen
from page_parts import fill

BEAT = 0.02


@pytest.fixture
def pulse(models, url):
    migrate(url)
    pulse = Pulse(url, models.folder)
    yield pulse
    pulse.stop()


def told_of(pulse: Pulse, tell, change, seconds: float = 5.0) -> None:
    """Let it beat, change something, and wait until `tell` has said that it is enough by setting its event."""

    async def beating() -> None:
        enough = asyncio.Event()
        pulse.start(lambda seen: tell(seen, enough), BEAT)
        await asyncio.sleep(10 * BEAT)
        await asyncio.to_thread(change)
        await asyncio.wait_for(enough.wait(), seconds)
        await asyncio.sleep(10 * BEAT)
        pulse.stop()

    asyncio.run(beating())


def test_it_sees_the_newest_of_log_and_models(pulse, models, url):
    before = pulse.look()
    assert before == Seen("", 0, ("v1", models.made["v1"].sha256 or before.champion[1]), "")
    fill(url, models.made["v1"], 2)
    assert pulse.look().prediction not in ("", before.prediction)


def test_what_is_new_is_told_once(pulse, models, url):
    seen: list[Seen] = []

    def tell(new: Seen, enough: asyncio.Event) -> None:
        seen.append(new)
        enough.set()

    told_of(pulse, tell, lambda: fill(url, models.made["v1"], 1))
    assert len(seen) == 1 and seen[0].prediction


def test_a_page_that_could_not_show_what_is_new_is_told_again(pulse, models, url, caplog):
    seen: list[Seen] = []

    def tell(new: Seen, enough: asyncio.Event) -> None:
        seen.append(new)
        if len(seen) == 1:
            raise ValueError("income 900000 of A-1")
        enough.set()

    with caplog.at_level(logging.ERROR):
        told_of(pulse, tell, lambda: fill(url, models.made["v1"], 1))
    assert len(seen) == 2 and seen[0] == seen[1]
    assert "could not be shown (ValueError)" in caplog.text and "900000" not in caplog.text


def test_a_log_that_is_gone_and_back_is_told(pulse, models, url):
    fill(url, models.made["v1"], 1)
    before = pulse.look()
    place = Path(url.removeprefix("sqlite:///")).parent
    pulse.stop()
    shutil.move(place, f"{place}-away")
    place.write_text("no folder")
    gone = pulse.look()
    assert gone.problem and (gone.prediction, gone.report, gone.champion) == ("", 0, before.champion)
    os.remove(place)
    shutil.move(f"{place}-away", place)
    assert pulse.look() == before
