"""What the tests of the page share: a workbench, filling its log, reading its widgets."""

from __future__ import annotations

from creditrisk.data.portfolio import load_portfolio
from creditrisk.data.sample import make_applications
from creditrisk.data.tables import check_applications
from creditrisk.serving.log import PredictionLog
from creditrisk.serving.scorer import Scorer
from creditrisk.ui.page.workbench import open_workbench

RETAIL = load_portfolio("retail")
PERIOD = 4


def opened(folder: str, url: str):
    """A workbench somebody has looked at."""
    bench = open_workbench(folder, url, PERIOD)
    bench.book.refresh()
    bench.monitoring.refresh()
    return bench


def logged(url: str) -> list[dict]:
    log = PredictionLog(url)
    try:
        return log.predictions()
    finally:
        log.close()


def fill(url: str, data, rows: int, purpose: str = "production", change=None, period: int = PERIOD) -> None:
    """Log predictions for some applications of the sample book."""
    frame = check_applications(make_applications(rows), data.portfolio, "applications").frame.copy()
    if change:
        change(frame)
    scorer = Scorer(data)
    scored = scorer.score_frame(frame)
    log = PredictionLog(url, period)
    log.append([scorer.record(scored, i, {}, purpose=purpose, source="api") for i in range(len(frame))])
    log.close()


def text_of(widget) -> str:
    """The HTML of a widget and of all that it shows."""
    if "cr-quiet" in getattr(widget, "_dom_classes", ()):
        return ""
    return (
        getattr(widget, "value", "")
        if type(widget).__name__ == "HTML"
        else " ".join(text_of(child) for child in getattr(widget, "children", ()))
    )
