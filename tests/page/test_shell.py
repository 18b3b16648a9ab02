"""The page as a whole: what is missing or broken, what is newer."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from types import SimpleNamespace

import pytest

from creditrisk.serving.log import migrate
from creditrisk.serving.model import load_model, save_models
from creditrisk.ui.page import open_page, shell, words, workbench
from creditrisk.ui.page.workbench import open_workbench
from page_parts import PERIOD, fill, opened, text_of


def test_without_a_model_the_page_says_what_to_run_and_still_shows_the_log(tmp_path, url, models):
    migrate(url)
    fill(url, load_model("v1", models.folder), 3)
    bench = opened(str(tmp_path / "nothing"), url)
    assert bench.data is None and bench.applicant is None and bench.card is None
    assert "run `creditrisk train`" in bench.problem
    assert bench.book.summary.n == 3


def test_a_model_file_that_was_altered_is_not_used(models, tmp_path, url):
    folder = tmp_path / "artifacts"
    shutil.copytree(models.folder, folder)
    with open(folder / "model_data_v1.joblib", "ab") as file:
        file.write(b"!")
    bench = open_workbench(str(folder), url, PERIOD)
    assert bench.applicant is None and "was altered or is damaged" in bench.problem


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda folder: f"sqlite:///{folder / 'text.db'}", "file is not a database"),
        (lambda folder: "mysql://root:hunter2@localhost/log", "mysql is not supported"),
        (lambda folder: "not a url", "not a database URL"),
        (lambda folder: "postgresql://risk:hunter2@127.0.0.1:9/log?connect_timeout=2", "check that it is running"),
    ],
)
def test_a_log_that_cannot_be_opened_becomes_a_message_without_the_password(models, tmp_path, make, complaint):
    (tmp_path / "text.db").write_text("this is a text, and long enough not to be taken for an empty database" * 40)
    bench = opened(models.folder, make(tmp_path))
    assert complaint in bench.log.problem and "hunter2" not in bench.log.problem
    assert bench.book.summary is None and not bench.monitoring.reports
    assert bench.applicant.result is not None


def test_a_model_published_meanwhile_is_announced(models, tmp_path, url):
    folder = str(tmp_path / "artifacts")
    save_models(folder, models.made, "v1")
    data = load_model("champion", folder)
    assert workbench.newer_model(data, folder) == ""
    save_models(folder, models.made, "v2")
    assert "A newer model (v2)" in workbench.newer_model(data, folder)


def test_the_model_card_names_version_hash_day_and_auc(bench, models):
    card = bench.card
    assert card.title == "Retail loans" and card.version == "v1"
    assert bench.data.sha256.startswith(card.short_hash) and len(card.short_hash) == 8
    assert card.auc == models.made["v1"].metrics["test"]["auc"]
    assert card.trained.split()[-1] == models.made["v1"].training["created"][:4]


@pytest.mark.parametrize(
    ("share", "text"), [(0, "0.00%"), (0.00001, "<0.01%"), (0.0379, "3.79%"), (1, "100.00%"), (0.99999, ">99.99%")]
)
def test_a_pd_is_never_rounded_to_certainty(share, text):
    assert words.percent(share) == text


def test_the_page_opens_without_a_model_and_without_a_log(tmp_path):
    (tmp_path / "log").write_text("in the way")
    bench = open_workbench(str(tmp_path / "nothing"), f"sqlite:///{tmp_path / 'log' / 'x.db'}", PERIOD)
    page = open_page(bench)
    for place in (2, 3):
        page.children[-1].selected_index = place
    shown = text_of(page)
    assert "There is no model to score with" in shown and "<code>creditrisk train</code>" in shown
    assert shown.count("The prediction log cannot be read") == 2


def test_looking_at_a_tab_reads_the_log_again_and_announces_a_newer_model(models, tmp_path, url):
    folder = str(tmp_path / "artifacts")
    save_models(folder, models.made, "v1")
    bench = open_workbench(folder, url, PERIOD)
    view = open_page(bench)
    tabs = view.children[-1]
    fill(url, bench.data, 3)
    save_models(folder, models.made, "v2")
    tabs.selected_index = 2
    assert "3 predictions" in text_of(view) and "A newer model (v2)" in text_of(view)


def find(widget, description: str):
    """The button with a description, below a widget."""
    for child in getattr(widget, "children", ()):
        if getattr(child, "description", "") == description:
            return child
        if found := find(child, description):
            return found
    return None


def test_a_newer_champion_is_used_at_a_click_and_what_was_typed_stays(models, tmp_path, url):
    folder = str(tmp_path / "artifacts")
    save_models(folder, models.made, "v1")
    view = open_page(open_workbench(folder, url, PERIOD))
    tabs, use = view.children[-1], find(view, "Use it now")
    form = tabs.children[0]
    age = find(form, "Age (years)")
    age.value = "51"
    assert "cr-quiet" in view.children[-2]._dom_classes, "nothing to announce"
    save_models(folder, models.made, "v2")
    tabs.selected_index = 2
    assert "cr-quiet" not in view.children[-2]._dom_classes and "still scores with v1" in text_of(view)
    use.click()
    assert "cr-quiet" in view.children[-2]._dom_classes and tabs.selected_index == 2
    assert "v2 <code>" in text_of(view) and tabs.children[0] is not form
    assert find(tabs.children[0], "Age (years)").value == "51" and age.comm is None, "the old form is gone"
    tabs.selected_index = 0


def test_a_model_that_comes_later_fills_the_empty_tabs(models, tmp_path, url):
    folder = str(tmp_path / "artifacts")
    view = open_page(open_workbench(folder, url, PERIOD))
    assert "There is no model to score with" in text_of(view)
    save_models(folder, models.made, "v1")
    view.children[-1].selected_index = 2
    assert "A model (v1) has been published" in text_of(view)
    find(view, "Use it now").click()
    assert "There is no model to score with" not in text_of(view) and find(view, "Age (years)").value


def test_a_newer_model_that_cannot_be_read_leaves_the_page_as_it_is(models, tmp_path, url):
    folder = tmp_path / "artifacts"
    save_models(str(folder), models.made, "v1")
    view = open_page(open_workbench(str(folder), url, PERIOD))
    save_models(str(folder), models.made, "v2")
    with open(folder / "model_data_v2.joblib", "ab") as file:
        file.write(b"!")
    view.children[-1].selected_index = 2
    find(view, "Use it now").click()
    assert "The newer model cannot be used" in text_of(view) and "v1 <code>" in text_of(view)


def test_a_kernel_without_time_to_rehearse_does_not(monkeypatch):
    opened = []
    bench = SimpleNamespace(log=SimpleNamespace(close=lambda: opened.append("and closed")))
    monkeypatch.setattr(shell, "open_workbench", lambda: bench)
    monkeypatch.delenv("VOILA_PREHEAT", raising=False)
    shell.prepare()
    assert not opened
    monkeypatch.setenv("VOILA_PREHEAT", "True")
    shell.prepare()
    assert opened == ["and closed"]


def test_a_page_loads_nothing_that_no_visitor_needs(models, tmp_path):
    """Each of these takes up to a second of every visitor, and tens of megabytes."""
    save_models(str(tmp_path / "artifacts"), models.made, "v2")
    script = (
        "import sys; from creditrisk.ui.page import open_page, prepare; prepare(); page = open_page();"
        "print(page, sorted({'sklearn', 'scipy.stats', 'matplotlib', 'mlflow', 'optuna', 'openpyxl', 'imblearn'}"
        " & set(sys.modules)), 'xgboost' in sys.modules)"
    )
    places = {
        "CREDITRISK_ARTIFACTS": str(tmp_path / "artifacts"),
        "CREDITRISK_RUNS": str(tmp_path),
        "VOILA_PREHEAT": "True",
    }
    done = subprocess.run([sys.executable, "-c", script], env=os.environ | places, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1].endswith("Model [] True"), done.stdout + done.stderr


def test_tabs_but_the_first_are_made_when_somebody_looks(bench):
    page = open_page(bench)
    tabs = page.children[-1]
    assert [len(tab.children) for tab in tabs.children[1:]] == [1] * 4 and "Opening" in text_of(tabs.children[2])
    tabs.selected_index = 2
    made = tabs.children[2].children[0]
    assert "Opening" not in text_of(tabs.children[2]) and "Opening" in text_of(tabs.children[3])
    tabs.selected_index = 0
    tabs.selected_index = 2
    assert tabs.children[2].children[0] is made
