"""Tables as notebooks and reports show them."""

from __future__ import annotations

import re

import pandas as pd

from creditrisk.ui import charts


def cells(frame: pd.DataFrame, **formats) -> list[str]:
    html = charts.show(frame, formats).to_html()
    return re.findall(r"<td[^>]*>(.*?)</td>", html)


def test_whole_amounts_have_no_decimals_whatever_their_type():
    assert cells(pd.DataFrame({"amount": [5450.0, 12.0, None]})) == ["5,450", "12", ""]
    assert cells(pd.DataFrame({"amount": [5450.0, 12.5]})) == ["5,450", "12.500"]
    assert cells(pd.DataFrame({"share": [0.0, 1.0]})) == ["0.000", "1.000"], "a share may be 0 or 1 and is no count"
    assert cells(pd.DataFrame({"count": [3, 1_200]})) == ["3", "1,200"]
    assert cells(pd.DataFrame({"auc": [2.0]}), auc="{:.2f}") == ["2.00"], "a format that is given stands"


def test_headings_may_be_broken_after_underscores_and_are_no_markup():
    html = charts.show(pd.DataFrame({"importance_share": [0.5], "<b>": [1]})).to_html()
    assert "importance_<wbr>share" in html and "&lt;b&gt;" in html
