"""The code in the documentation runs as it stands."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from creditrisk.binning import Overrides
from creditrisk.binning.search import TRENDS, Limits
from creditrisk.data.portfolio import load_portfolio, parse_portfolio

DOCS = Path(__file__).resolve().parents[2] / "docs"


def blocks(page: str, language: str) -> list[str]:
    """The code blocks of a page in one language."""
    return re.findall(rf"```{language}\n(.*?)```", (DOCS / page).read_text("utf-8"), re.DOTALL)


@pytest.mark.parametrize("page", sorted(path.name for path in DOCS.glob("*.md")))
def test_the_code_of_a_page_runs_from_top_to_bottom(page, capsys):
    names: dict = {}
    for block in blocks(page, "python"):
        exec(compile(block, page, "exec"), names)  # the page's own code


def test_the_page_on_binning_says_what_the_code_says():
    text = (DOCS / "binning.md").read_text("utf-8")
    for name in Limits.__dataclass_fields__:
        assert f"`{name}`" in text, f"the limit {name} is not explained"
    for trend in TRENDS:
        assert f"`{trend}`" in text, f"the trend {trend} is not explained"


def test_the_example_of_overrides_and_of_the_portfolio_can_be_read():
    retail = load_portfolio("retail")
    (example,) = blocks("binning.md", "json")
    assert set(Overrides.from_dict(json.loads(example), book=retail)) == {"age", "enquiry_count"}
    (example,) = blocks("binning.md", "toml")
    head, line = example.strip().split("\n")
    book = parse_portfolio(retail.text.replace(head, f"{head}\n{line}", 1))
    assert book.columns["age"].binning_options["must_cut"] == (25.0,)
