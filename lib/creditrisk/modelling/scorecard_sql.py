"""A whole scorecard as one SQL statement: WOE, points, log-odds and PD where the rows are."""

from __future__ import annotations

from collections.abc import Sequence

from creditrisk.binning.sql import GENERIC, POSTGRESQL, Dialect, case_lines, dialect_of
from creditrisk.data.portfolio import Points
from creditrisk.errors import BinningError
from creditrisk.modelling.pd_model import PDModel
from creditrisk.modelling.scorecard import Scorecard

_FLAT = 700.0
"""Log-odds beyond which a PD is written as 0 or 1: PostgreSQL's exp fails above 709 and below -745."""


def scorecard_sql(
    model: PDModel,
    points: Points,
    table: str | tuple[str, str],
    dialect: str = GENERIC,
    *,
    id_columns: Sequence[str] = (),
    card: Scorecard | None = None,
) -> str:
    """A SELECT over a table that has a column for each feature of the scorecard, named as in the portfolio.

    `table` is its name, or (schema, name). The result has the id columns, `<variable>_woe` and `<variable>_points` for
    each variable, `points` (their sum and the base points), `log_odds` (of bad, calibrated) and `pd`. Whole points are
    those of `card`, the card of a model file (`ModelData.card`): so they are the ones that are served, whatever way of
    rounding was in use when it was made. Without it the model is rounded here, by `Scorecard.fit`.

    WOE is that of Python to the last bit. `creditrisk.binning.sql` says what holds in which dialect. SQLite needs its
    mathematical functions (SQLITE_ENABLE_MATH_FUNCTIONS), or Python's:
    `connection.create_function("exp", 1, math.exp)`.

    Raises BinningError for an unknown dialect, for names that a database cannot hold, when two columns of the result
    would have one name, and for a card that is not of this model or on another scale than `points`; TypeError for a
    model that is no scorecard.
    """
    spelled = dialect_of(dialect)
    card = card_of(model, points, card)
    ids = (id_columns,) if isinstance(id_columns, str) else tuple(id_columns)
    source = (table,) if isinstance(table, str) else tuple(table)
    names = [bins.name for bins in model.design.bins]
    _check_result(ids, names, spelled)
    binned, scored = (_unlike(source[-1], name) for name in ("binned", "scored"))

    columns = [f"    {spelled.identifier(name)}" for name in ids]
    for bins, values in zip(model.design.bins, card.points, strict=True):
        columns.append(_column(case_lines(bins, dialect), _woe(bins.name), spelled))
        columns.append(_column(case_lines(bins, dialect, values=values), _points(bins.name), spelled))
    total = [str(card.base), *(spelled.identifier(_points(name)) for name in names)]
    return "\n".join([
        *_head(len(names), points),
        f"WITH {binned} AS (",
        "  SELECT",
        ",\n".join(columns),
        f"  FROM {'.'.join(map(spelled.identifier, source))}",
        "),",
        f"{scored} AS (",
        "  SELECT",
        f"    {binned}.*,",
        f"    {_sum(total)} AS points,",
        f"    {_log_odds(model, names, spelled)} AS log_odds",
        f"  FROM {binned}",
        ")",
        "SELECT",
        f"  {scored}.*,",
        *_pd(spelled),
        f"FROM {scored}",
    ]) + "\n"  # fmt: skip


def _woe(name: str) -> str:
    return f"{name}_woe"


def _points(name: str) -> str:
    return f"{name}_points"


def card_of(model: PDModel, points: Points, card: Scorecard | None = None) -> Scorecard:
    """The stored card of a model where there is one, else one made from it. Raises as `scorecard_sql` says."""
    if card is None:
        return Scorecard.fit(model, points)
    if card.scale != points:
        raise BinningError(f"the stored card is on the scale {card.scale}, not on {points}; give the scale of the card")
    if not card.is_of(model):
        raise BinningError(
            "the stored card is not of this model: its variables, bins or unrounded scores differ; give the card of "
            "the same model file"
        )
    return card


def _check_result(ids: Sequence[str], names: Sequence[str], dialect: Dialect) -> None:
    """Raise BinningError when two columns of the result have one name; only PostgreSQL tells capitals apart."""
    seen: set[str] = set()
    outputs = [output for name in names for output in (_woe(name), _points(name))]
    for column in (*outputs, "points", "log_odds", "pd", *ids):
        key = column if dialect.name == POSTGRESQL else column.casefold()
        if key in seen:
            raise BinningError(
                f"scorecard as SQL: two columns of the result are named {column!r}; leave it out of the id columns, or "
                "select from a view that names it differently"
            )
        seen.add(key)


def _unlike(table: str, name: str) -> str:
    """A name for a step of the statement that is not the table's, which SQLite would take for the step itself."""
    return f"{name}_" if table.casefold() == name else name


def _head(variables: int, points: Points) -> list[str]:
    return [
        f"-- Scorecard of {variables} variables: WOE and points of each, total points, log-odds of bad, PD.",
        "-- WOE is ln(share of goods / share of bads): higher is safer, and so are points:",
        f"-- {points.at:g} points are odds of {points.odds:g} goods to 1 bad, and {points.pdo:g} more double the odds.",
        "-- Bins are half-open, [a, b): a value equal to a cut belongs to the bin that begins there.",
        "-- Each CASE: missing first, then special codes, then bins in order, then all the rest.",
    ]


def _column(case: list[str], name: str, dialect: Dialect) -> str:
    return "\n".join(f"    {line}" for line in case) + f" AS {dialect.identifier(name)}"


def _sum(terms: Sequence[str]) -> str:
    return "\n      + ".join(terms)


def _log_odds(model: PDModel, names: Sequence[str], dialect: Dialect) -> str:
    """Terms in the order in which `Logistic.margin` adds them, so that not even the last bit differs."""
    logistic, calibration = model.model, model.calibration
    terms = [dialect.number(float(logistic.intercept))]
    for name, coefficient in zip(names, logistic.coefficients, strict=True):
        terms.append(f"{dialect.number(float(coefficient))} * {dialect.identifier(_woe(name))}")
    intercept, slope = (dialect.number(float(value)) for value in (calibration.intercept, calibration.slope))
    return f"{intercept} + {slope} * ({_sum(terms)})"


def _pd(dialect: Dialect) -> list[str]:
    number = dialect.number
    return [
        "  CASE",
        f"    WHEN log_odds < {number(-_FLAT)} THEN {number(0.0)}",
        f"    WHEN log_odds > {number(_FLAT)} THEN {number(1.0)}",
        f"    ELSE {number(1.0)} / ({number(1.0)} + exp(-log_odds))",
        "  END AS pd",
    ]
