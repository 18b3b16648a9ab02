"""The fairness screen: approval and calibration by groups that a model may not see. A screen, not law."""

from __future__ import annotations

from itertools import pairwise
from math import log

import numpy as np
import pandas as pd
from scipy.stats import fisher_exact

from creditrisk.data.portfolio import Portfolio
from creditrisk.modelling.findings import (
    FEWEST_BADS,
    OBSERVED_EXPECTED,
    PASS,
    WATCH,
    Finding,
    nothing,
    too_few,
    worst,
)
from creditrisk.modelling.inference import Interval, auc_interval, impact_ratio, observed_to_expected

FAIR_RATIO, FAIR_P, FAIR_ROWS = 0.80, 0.05, 30
FAIR_SOURCE = "29 CFR 1607.4(D), a rule of employment: a screen, not law of lending"


def audit_groups(book: Portfolio, frame: pd.DataFrame) -> dict[str, np.ndarray]:
    """Groups of each restricted attribute in the book's frame, object (n,) with None where missing.

    Text attributes have their levels; a number is cut at the limit from which it may not score worse, else at its
    quartiles.
    """
    found = {}
    for name, rule in book.restricted.items():
        if name not in frame:
            continue
        values = frame[name]
        if book.columns[name].is_numeric:
            limit = rule.no_worse_from
            cuts = np.nanquantile(values, [0.25, 0.5, 0.75]) if limit is None else [limit]
            found[name] = _ranges(values.to_numpy(dtype=np.float64, na_value=np.nan), np.unique(cuts))
        else:
            found[name] = values.astype("object").where(values.notna(), None).to_numpy(dtype=object)
    return found


def _ranges(values: np.ndarray, cuts: np.ndarray) -> np.ndarray:
    """The range between cuts that each number lies in, in words; None where missing."""
    inner = [f"{low:g} to under {high:g}" for low, high in pairwise(cuts)]
    names = np.array([f"under {cuts[0]:g}", *inner, f"{cuts[-1]:g} and over"], dtype=object)
    found = names[np.searchsorted(cuts, values, side="right").clip(max=len(cuts))]
    return np.where(np.isnan(values), None, found)


def not_screened(book: Portfolio, frame: pd.DataFrame) -> list[Finding]:
    """The restricted attributes that the judged rows do not hold."""
    why, name = "the judged rows do not hold it", "Fairness screen by {}"
    return [
        nothing(f"fairness.{n}.approval", name.format(n), why, "", FAIR_SOURCE)
        for n in book.restricted
        if n not in frame
    ]


_BY_GROUP = [
    "group", "rows", "bads", "approved", "approval", "mean_pd", "bad_rate", "oe", "oe_low", "oe_high", "auc", "auc_low",
    "auc_high",
]  # fmt: skip


def fairness(groups: np.ndarray, bad: np.ndarray, pds: np.ndarray, approved: np.ndarray) -> pd.DataFrame:
    """Each group of an attribute: how many are approved, and whether its PDs are right.

    Columns: group, rows, bads, approval, ratio, ratio_low, ratio_high, p (Fisher, against the reference), flagged,
    mean_pd, bad_rate, oe, oe_low, oe_high, auc, auc_low, auc_high. The reference is the group of FAIR_ROWS or more
    that is approved most often; its ratio is 1. Groups of fewer rows have neither ratio nor p. `approved` is decided on
    the served PDs, while `pds` are point-in-time, since outcomes judge them.
    """
    rows = []
    for group in sorted({g for g in groups if g is not None}):
        mine = groups == group
        area = Interval(float("nan"), float("nan"), float("nan"))
        if not too_few(int(bad[mine].sum()), int(mine.sum())):
            area = auc_interval(bad[mine], pds[mine])
        ratio, _ = observed_to_expected(bad[mine], pds[mine])
        rows.append(
            {"group": group, "rows": int(mine.sum()), "bads": int(bad[mine].sum())}
            | {"approved": int(approved[mine].sum()), "approval": float(approved[mine].mean())}
            | {"mean_pd": float(pds[mine].mean()), "bad_rate": float(bad[mine].mean())}
            | {"oe": ratio.value, "oe_low": ratio.low, "oe_high": ratio.high}
            | {"auc": area.value, "auc_low": area.low, "auc_high": area.high}
        )
    table = pd.DataFrame(rows, columns=_BY_GROUP)
    large = table[table["rows"] >= FAIR_ROWS]
    if large.empty:
        return table.assign(ratio=np.nan, ratio_low=np.nan, ratio_high=np.nan, p=np.nan, flagged=False)
    best = large.loc[large["approval"].idxmax()]
    compared = [_compare(row, best) for row in table.itertuples()]
    return table.assign(**dict(zip(("ratio", "ratio_low", "ratio_high", "p", "flagged"), zip(*compared), strict=True)))


def _compare(row, best) -> tuple[float, float, float, float, bool]:
    """Ratio of approval rates with its interval, Fisher's p, and whether the screen flags the group."""
    if row.rows < FAIR_ROWS:
        return (float("nan"),) * 4 + (False,)
    if row.group == best["group"]:
        return 1.0, float("nan"), float("nan"), float("nan"), False
    ratio = impact_ratio(row.approved, row.rows, int(best["approved"]), int(best["rows"]))
    counts = [[row.approved, row.rows - row.approved], [best["approved"], best["rows"] - best["approved"]]]
    p = float(fisher_exact(np.array(counts, dtype=np.int64)).pvalue)
    return ratio.value, ratio.low, ratio.high, p, bool(ratio.value < FAIR_RATIO and p < FAIR_P)


def fairness_findings(attribute: str, table: pd.DataFrame) -> list[Finding]:
    """The two findings of an attribute: approval ratio and calibration by group. A flag asks for a review."""
    text = f"flag below {FAIR_RATIO:.2f} with Fisher's p below {FAIR_P:g}, {FAIR_ROWS} rows or more a group"
    key, name = f"fairness.{attribute}.approval", f"Lowest approval ratio by {attribute}"
    compared = table[table["ratio"].notna()]
    if len(compared) < 2:
        first = nothing(key, name, f"fewer than two groups of {FAIR_ROWS} rows", text, FAIR_SOURCE)
    else:
        at, flagged = compared.loc[compared["ratio"].idxmin()], compared.loc[compared["flagged"], "group"]
        why = f"flagged for review: {', '.join(flagged)}" if len(flagged) else f"lowest: {at['group']}; none flagged"
        span = (float(at["ratio_low"]), float(at["ratio_high"]))
        status = WATCH if len(flagged) else PASS
        first = Finding(key, name, float(at["ratio"]), status, text, FAIR_SOURCE, why, span)
    key, name = f"fairness.{attribute}.calibration", f"Observed over expected by {attribute}, farthest from 1"
    band, enough = OBSERVED_EXPECTED, table[np.minimum(table["bads"], table["rows"] - table["bads"]) >= FEWEST_BADS]
    if enough.empty:
        return [first, nothing(key, name, "insufficient defaults in every group", band.text, band.source)]
    spans = [Interval(*row) for row in enough[["oe", "oe_low", "oe_high"]].to_numpy()]
    statuses = [band.status(span) for span in spans]
    status = worst(statuses)
    far = max((i for i, one in enumerate(statuses) if one == status), key=lambda i: abs(log(spans[i].value)))
    few = len(table) - len(enough)
    told = [f"group {enough['group'].iloc[far]}", band.why(spans[far])]
    told += [f"groups with insufficient defaults: {few}"] if few else []
    why = "; ".join(filter(None, told))
    span = (spans[far].low, spans[far].high)
    return [first, Finding(key, name, spans[far].value, status, band.text, band.source, why, span)]
