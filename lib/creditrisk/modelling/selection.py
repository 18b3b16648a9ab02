"""Which columns may enter a model, and why the others may not."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pandas as pd

from creditrisk.binning.overrides import NONE, Overrides
from creditrisk.data.portfolio import Portfolio

MAX_VIF, MIN_IV = 10.0, 0.02
"""The most collinearity a column may have, and the least information value of a scorecard variable."""


def variance_inflation(matrix: np.ndarray) -> np.ndarray:
    """VIF of each column, float64 (columns,): the diagonal of the inverse correlation matrix.

    Columns that are exact combinations of others have no inverse and get infinity; constant columns get NaN.
    """
    matrix = np.asarray(matrix, dtype=np.float64)
    spread = matrix.std(axis=0)
    vif = np.full(matrix.shape[1], np.nan)
    varying = np.flatnonzero(spread > 1e-12 * np.maximum(np.abs(matrix).max(axis=0), 1e-300))
    if len(varying) == 0:
        return vif
    correlation = np.atleast_2d(np.corrcoef(matrix[:, varying], rowvar=False))
    values, vectors = np.linalg.eigh(correlation)
    null = values < 1e-10
    inverse = (vectors[:, ~null] ** 2 / values[~null]).sum(axis=1)
    in_null = (vectors[:, null] ** 2).sum(axis=1) > 1e-8
    vif[varying] = np.where(in_null, np.inf, inverse)
    return vif


def drop_collinear(
    frame: pd.DataFrame, names: list[str], keep_last: Collection[str], keep_longest: Collection[str] = (), *,
    keep: Collection[str] = (), limit: float = MAX_VIF,
) -> pd.DataFrame:  # fmt: skip
    """Drop the numeric column with the highest VIF until none is above `limit`.

    Columns in `keep_last` answer for each other only, since the others enter no model; of these, those in
    `keep_longest` go after the rest, and those in `keep` never. Missing values count as the median. Returns one row a
    column: column, vif (when it was dropped, or at the end), dropped.
    """
    left = list(names)
    data = frame[names].fillna(frame[names].median()).to_numpy(dtype=np.float64)
    position = {name: i for i, name in enumerate(names)}
    dropped: list[tuple[str, float]] = []

    def inflation(some: list[str]) -> pd.Series:
        return pd.Series(variance_inflation(data[:, [position[n] for n in some]]), index=some)

    while True:
        vif = inflation(left)
        high = vif[(vif > limit) & ~vif.index.isin(list(keep_last))]
        if high.empty:
            among = inflation([n for n in left if n in keep_last])
            vif[among.index] = among
            high = among[(among > limit) & ~among.index.isin(list(keep))]
            if high.empty:
                break
            early = high[~high.index.isin(list(keep_longest))]
            high = early if len(early) else high
        worst = high.idxmax()
        dropped.append((worst, float(high[worst])))
        left.remove(worst)
    rows = [(n, v, True) for n, v in dropped] + [(n, float(vif[n]), False) for n in left]
    return pd.DataFrame(rows, columns=["column", "vif", "dropped"])


def select(
    frame: pd.DataFrame, iv: pd.Series, book: Portfolio, *, max_vif: float = MAX_VIF, min_iv: float = MIN_IV,
    overrides: Overrides = NONE,
) -> pd.DataFrame:  # fmt: skip
    """What happens to every column of the book, one row each, in the order of the rules.

    Columns: column, status ("scorecard", "trees only", "out"), reason, vif, iv. `iv` is by candidate. A column with
    little IV on its own stays open to trees, which can use it in an interaction. A candidate that is forced out counts
    nowhere, not as a reason for another's VIF either; one that is forced in stays whatever its IV and VIF.
    """
    forced = {use: [n for n in overrides.used(use) if n in book.candidates] for use in ("in", "out")}
    asked = [n for n in book.candidates if n not in forced["out"]]
    numeric = [
        n
        for n, c in book.columns.items()
        if c.is_numeric and c.known_at_application and c.role in ("input", "optional", "feature", "info") and n in frame
    ]
    numeric = [n for n in numeric if n not in forced["out"]]
    wanted = [n for n in numeric if n in asked]
    derived = {n for n in wanted if book.columns[n].role == "feature"}
    table = drop_collinear(frame, numeric, wanted, keep=forced["in"], limit=max_vif)
    if table.loc[table["column"].isin(derived), "dropped"].any():  # a business ratio outranks the columns it is made of
        table = drop_collinear(frame, numeric, wanted, derived, keep=forced["in"], limit=max_vif)
    vif = table.set_index("column")
    rows = []
    for name, column in book.columns.items():
        value, status, reason = vif["vif"].get(name, np.nan), "out", ""
        if column.role in ("id", "target", "date"):
            reason = {"id": "identifier", "target": "the outcome itself", "date": "date of the observation"}[
                column.role
            ]
        elif not column.known_at_application:
            reason = "not known at application"
        elif name in book.restricted and book.restricted[name].use == "audit":
            reason = "protected: audited, never modelled"
        elif name in forced["out"]:
            reason = f"forced out: {overrides[name].why}"
        elif name in forced["in"]:
            status, reason = "scorecard", f"forced in: {overrides[name].why}"
        elif name in vif.index and vif["dropped"][name]:
            reason = f"collinear: VIF {value:,.1f} above {max_vif:g}" if np.isfinite(value) else "collinear: exactly"
        elif name not in asked:
            reason = "not asked of an applicant"
        elif iv.get(name, 0.0) < min_iv:
            status, reason = "trees only", f"IV {iv.get(name, 0.0):.3f} below {min_iv:g}"
        else:
            status, reason = "scorecard", f"IV {iv[name]:.3f}"
        rows.append((name, status, reason, value, iv.get(name, np.nan)))
    funnel = pd.DataFrame(rows, columns=["column", "status", "reason", "vif", "iv"])
    order = {"scorecard": 0, "trees only": 1, "out": 2}
    return funnel.sort_values(
        ["status", "iv"], key=lambda s: s.map(order) if s.name == "status" else -s.fillna(-1), kind="stable",
        ignore_index=True,
    )  # fmt: skip
