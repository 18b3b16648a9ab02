"""What the bench says of a binning, in words: its cost, its order on the test rows, and limits it does not keep.

Bins are counted from 1 here, as people count them. Every function is pure: bins, tables and limits in, text out.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from creditrisk.binning.bins import NEUTRAL, OWN, WORST, Bins, Policy, rate_of, shape_of
from creditrisk.binning.evidence import PSI_ACT, PSI_WATCH
from creditrisk.binning.search import Limits
from creditrisk.ui.form import parse_number

TRENDS = {
    "ascending": "↗ rises", "descending": "↘ falls", "peak": "↗↘ peak", "valley": "↘↗ valley", "none": "↕ no order",
    "flat": "– one bin", "": "–",
}  # fmt: skip
"""How the bad rate moves over the bins, by bins.SHAPES."""
_ALLOWED = {
    "ascending": ("ascending", "flat"), "descending": ("descending", "flat"),
    "auto": ("ascending", "descending", "flat"),
    "peak": ("peak", "ascending", "descending", "flat"), "valley": ("valley", "ascending", "descending", "flat"),
}  # fmt: skip
_WANTED = {
    "ascending": "rise from bin to bin", "descending": "fall from bin to bin", "peak": "rise, then fall",
    "valley": "fall, then rise", "auto": "rise or fall from bin to bin",
}  # fmt: skip
_EVEN = 1e-12  # a bin of exactly 5% is large enough


@dataclass(frozen=True)
class Note:
    """One sentence about a binning. `kind` is "order" (it turns on the test rows), "limit" (not kept) or "alike"."""

    kind: str
    text: str


def percent(share: float, digits: int = 1) -> str:
    """A share for people; an en dash where there is none."""
    return "–" if share is None or not np.isfinite(share) else f"{share:.{digits}%}"


def apart(a: float, b: float) -> tuple[str, str]:
    """Two rates with as many decimals as it takes to tell them apart."""
    for digits in (1, 2, 3):
        first, second = percent(a, digits), percent(b, digits)
        if first != second:
            break
    return first, second


def stability(psi: float) -> str:
    """A PSI in words."""
    if not np.isfinite(psi):
        return "not known"
    return "stable" if psi < PSI_WATCH else "watch" if psi <= PSI_ACT else "shifted"


def missing_in_words(policy: Policy) -> str:
    """What missing values are worth."""
    if isinstance(policy, int):
        return f"counted with bin {policy + 1}"
    return {OWN: "their own WOE", NEUTRAL: "neutral, WOE 0", WORST: "as the riskiest bin"}[policy]


def verdict(bins: Bins, optimum: Bins, edited: bool, table: pd.DataFrame) -> str:
    """The line after an edit: what it costs against the optimum, and whether order holds on the test rows."""
    cost = optimum.iv - bins.iv
    amount = f"{abs(cost):.4f} ({abs(cost) / optimum.iv:.1%})" if optimum.iv > 0 else f"{abs(cost):.4f}"
    if not edited:
        first = f"This is the optimum: IV {bins.iv:.4f}"
    elif f"{abs(cost):.4f}" == "0.0000":
        first = f"This binning has IV {bins.iv:.4f}, as much as the optimum"
    elif cost > 0:
        first = f"This binning has IV {bins.iv:.4f}, {amount} less than the optimum"
    else:
        first = f"This binning has IV {bins.iv:.4f}, {amount} more than the optimum, which keeps to the limits"
    order = order_in_words(table) if bins.n_regular > 1 else "there is one bin only"
    return f"{first}; {order}."


def order_in_words(table: pd.DataFrame) -> str:
    """Whether neighbours keep their order on the test rows; `table` is of evidence.side_by_side, its index the slot."""
    turned = table.index[table["reverses"]]
    if not len(turned):
        return "order holds on the test rows"
    pairs = []
    for slot in turned:
        first, second = apart(table["test_bad_rate"][slot], table["test_bad_rate"][slot + 1])
        change = " change places on the test rows" if not pairs else ""
        pairs.append(f"bins {slot + 1} and {slot + 2}{change} ({first} against {second})")
    return listed(pairs)


MUCH = 0.1
"""Share of the information value that an edit may cost before it is said apart."""


def broken_limits(bins: Bins, limits: Limits, trend: str, optimum: Bins | None = None) -> list[Note]:
    """What the bins do not keep of what a search would: sizes, classes, number, direction; one sentence each."""
    goods, bads = np.array(bins.goods), np.array(bins.bads)
    total, count = goods.sum() + bads.sum(), (goods + bads)[: bins.n_regular]
    said = []
    if optimum is not None and bins.iv < (1 - MUCH) * optimum.iv:
        said.append(f"More than {MUCH:.0%} of the variable's information value is gone")
    if bins.n_regular > limits.max_bins:
        said.append(f"There are {bins.n_regular} bins, more than {limits.max_bins}")
    for k in range(bins.n_regular):
        said += _broken_by(k, count[k] / total, goods[k], bads[k], limits)
    rates = rate_of(goods, bads)[: bins.n_regular]
    filled = rates[~np.isnan(rates)]
    if bins.kind == "numeric" and trend in _ALLOWED and shape_of(filled) not in _ALLOWED[trend]:
        said.append(f"The bad rate should {_WANTED[trend]}, and does not: {_breaks(rates, trend)}")
    steps = np.abs(np.diff(rates))
    for k in np.flatnonzero(steps < limits.min_difference - _EVEN):
        said.append(f"Bins {k + 1} and {k + 2} differ by {steps[k]:.2%}, less than {limits.min_difference:.2%}")
    return [Note("limit", text) for text in said]


def _broken_by(k: int, share: float, goods: float, bads: float, limits: Limits) -> list[str]:
    said = []
    if not goods + bads:
        return [f"Bin {k + 1} holds no rows"]
    if share < limits.min_share - _EVEN:
        said.append(f"Bin {k + 1} holds {percent(share)} of the rows, less than {_limit(limits.min_share)}")
    if share > limits.max_share + _EVEN:
        said.append(f"Bin {k + 1} holds {percent(share)} of the rows, more than {_limit(limits.max_share)}")
    for number, least, what in ((goods, limits.min_goods, "goods"), (bads, limits.min_bads, "bads")):
        if not number:
            said.append(f"Bin {k + 1} has no {what}; its WOE is smoothed")
        elif number < least:
            said.append(f"Bin {k + 1} has {number:,.0f} {what}, fewer than {least:,.0f}")
    return said


def _breaks(rates: np.ndarray, trend: str) -> str:
    """Where a bad rate moves the wrong way."""
    steps = np.diff(rates)
    wrong = {"ascending": steps <= 0, "descending": steps >= 0}.get(trend)
    if wrong is None:
        return "its order is mixed"
    pairs = [f"bins {k + 1} and {k + 2} ({' to '.join(apart(rates[k], rates[k + 1]))})" for k in np.flatnonzero(wrong)]
    return listed(pairs) or "there is an empty bin"


def alike_notes(table: pd.DataFrame) -> list[Note]:
    """Neighbours whose bad rates do not differ significantly."""
    return [
        Note("alike", f"Bins {slot + 1} and {slot + 2} are alike: their bad rates do not differ significantly "
             f"(p {p_in_words(table['p_next'][slot])})")
        for slot in table.index[table["alike"]]
    ]  # fmt: skip


def row_marks(table: pd.DataFrame, bins: Bins, limits: Limits) -> dict[int, list[Note]]:
    """Marks by regular slot, short enough for a table."""
    total = sum(bins.goods) + sum(bins.bads)
    marks: dict[int, list[Note]] = {}
    for slot in range(bins.n_regular):
        goods, bads = bins.goods[slot], bins.bads[slot]
        found = []
        if slot in table.index and table["reverses"][slot]:
            found.append(Note("order", f"⇅ reverses with bin {slot + 2} on test"))
        if slot in table.index and table["alike"][slot]:
            found.append(Note("alike", f"≈ like bin {slot + 2} (p\u00a0{p_in_words(table['p_next'][slot])})"))
        if not goods + bads:
            found.append(Note("limit", "! no rows"))
        elif not goods or not bads:
            found.append(Note("limit", "! no goods" if not goods else "! no bads"))
        if 0 < goods + bads < (limits.min_share - _EVEN) * total:
            found.append(Note("limit", f"! below {_limit(limits.min_share)}"))
        marks[slot] = found
    return marks


def p_in_words(p: float) -> str:
    return f"{p:.2f}" if p >= 0.01 else "<0.01"


def _limit(share: float) -> str:
    return f"{share:.1%}".replace(".0%", "%")


def listed(parts: Sequence[str]) -> str:
    """Parts as a text: a, b and c."""
    return parts[0] if len(parts) == 1 else " and ".join(filter(None, [", ".join(parts[:-1]), *parts[-1:]]))


# --- Cuts as text -----------------------------------------------------------------------------------------------------


def cut_in_words(cut: float) -> str:
    """A cut with as many digits as an analyst types."""
    return f"{int(cut)}" if cut == int(cut) and abs(cut) < 1e15 else f"{cut:.6g}"


def cuts_in_words(cuts: Sequence[float]) -> str:
    """Cuts as a text that `read_cuts` reads back."""
    return ", ".join(cut_in_words(cut) for cut in cuts)


def read_cut(text: str, known: Sequence[float] = ()) -> float:
    """A typed cut. A text that stands for one of the `known` cuts is that cut, with all its digits.

    Raises ValueError with what to write instead.
    """
    text = text.strip()
    if not text:
        raise ValueError("type a number")
    exact = {cut_in_words(cut): cut for cut in known}
    return exact[text] if text in exact else float(parse_number(text))


def read_cuts(text: str, known: Sequence[float] = ()) -> list[float]:
    """A typed list of cuts, parted by commas, semicolons or spaces; brackets around it are left out.

    Raises ValueError with what to write instead.
    """
    cuts = []
    for token in re.split(r"[;\s]+", text.strip().strip("[](){}")):
        token = token.strip(",")
        if re.fullmatch(r"[+-]?\d{1,3}(,\d{2,3})*,\d{3}", token):
            plain = token.replace(",", "")
            raise ValueError(f"{token} may be one number or several; write {plain}, or a space between two cuts")
        cuts += [read_cut(part, known) for part in token.split(",") if part]
    return cuts
