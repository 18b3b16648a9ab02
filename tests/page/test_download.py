"""The button that hands the browser a file."""

from __future__ import annotations

import asyncio
import csv
import io
import threading

import pandas as pd
import pytest

from creditrisk.errors import DataError
from creditrisk.ui.page.download import Download, csv_bytes


@pytest.fixture
def button(monkeypatch):
    button = Download("Scored file", "scored.csv", lambda: b"a,b\r\n")
    button.sent = []
    monkeypatch.setattr(button, "send", lambda content, buffers=None: button.sent.append((content, buffers)))
    return button


def ask(button, asked="1"):
    button._handle_custom_msg({"kind": "make", "asked": asked}, [])


def test_a_click_is_answered_with_the_file_and_the_number_of_the_click(button):
    ask(button, "view-7")
    assert button.sent == [({"asked": "view-7", "problem": ""}, [b"a,b\r\n"])]
    button._handle_custom_msg({"kind": "other"}, [])
    button._handle_custom_msg("make", [])
    assert len(button.sent) == 1


def test_in_a_running_loop_the_file_is_made_in_a_thread_of_its_own(button):
    made_in = []
    button.make = lambda: made_in.append(threading.current_thread()) or b"x"

    async def click():
        ask(button)
        assert button.sent == []
        while not button.sent:
            await asyncio.sleep(0.01)

    asyncio.run(click())
    assert made_in and made_in[0] is not threading.main_thread()


@pytest.mark.parametrize(
    ("problem", "told"),
    [(DataError("the log is away; try again"), "the log is away"), (ValueError("income 4711"), "(ValueError)")],
)
def test_what_goes_wrong_is_told_without_quoting_data(button, problem, told):
    def fail():
        raise problem

    button.make = fail
    ask(button)
    ((answer, buffers),) = button.sent
    assert told in answer["problem"] and "4711" not in answer["problem"] and buffers == []


def test_a_text_that_a_spreadsheet_would_compute_stays_text_and_a_number_stays_a_number():
    frame = pd.DataFrame(
        {"=id": ["=1+1", "+cmd|x", "-5", "@a", "plain"], "n": [-1.5, 2, None, 4, 5], "o": [-3, "-x", None, "é", "\t1"]}
    )
    rows = list(csv.reader(io.StringIO(csv_bytes(frame).decode("utf-8-sig"))))
    assert rows == [
        ["'=id", "n", "o"],
        ["'=1+1", "-1.5", "-3"],
        ["'+cmd|x", "2.0", "'-x"],
        ["-5", "", ""],
        ["'@a", "4.0", "é"],
        ["plain", "5.0", "'\t1"],
    ]
