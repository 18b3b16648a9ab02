"""Rules written as text (`processing_fee <= 0.03 * loan_amount`), checked when read, run on columns.

Only arithmetic, comparisons, `and`, `or`, `not`, numbers, quoted text and column names are allowed, so a portfolio
file can hold a rule but not a program.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from itertools import pairwise

import numpy as np
import pandas as pd

_BINARY = {ast.Add: np.add, ast.Sub: np.subtract, ast.Mult: np.multiply, ast.Div: np.divide}
_COMPARE = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}


@dataclass(frozen=True)
class Expression:
    """A parsed rule. `columns` are the names it reads, `compared` the (column, text) pairs it compares."""

    text: str
    columns: tuple[str, ...]
    compared: tuple[tuple[str, str], ...] = ()

    @classmethod
    def parse(cls, text: str, kinds: Mapping[str, str] | None = None) -> Expression:
        """Parse a rule. `kinds` says which columns hold "number", "text" or "date"; others may hold anything.

        Raises ValueError that names the part which is not allowed.
        """
        names: list[str] = []
        try:
            body = _body(text)
            kind = _kind(body, kinds or {}, names)
        except (RecursionError, MemoryError):  # the second by the parser itself
            raise ValueError(f"cannot read the rule {_cut(text)}: it is nested too deeply") from None
        if kind != "truth":
            raise ValueError(f"the rule {_cut(text)} compares nothing; a rule is for example income > 0")
        if not names:
            raise ValueError(f"the rule {_cut(text)} reads no column")
        return cls(text, tuple(dict.fromkeys(names)), tuple(_compared(body)))

    def holds(self, columns: Mapping[str, np.ndarray]) -> np.ndarray:
        """Where the rule holds: bool, one value a row. A row that misses a value the rule reads does not fail it."""
        missing = np.logical_or.reduce([pd.isna(columns[name]) for name in self.columns])
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            return np.asarray(_evaluate(_body(self.text), columns), dtype=bool) | missing


def _body(text: str) -> ast.expr:
    try:
        return ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError) as error:  # the second for NUL characters
        raise ValueError(f"cannot read the rule {_cut(text)}: {getattr(error, 'msg', error)}") from None


def _cut(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:77] + "...")


def _shown(node: ast.expr) -> str:
    return _cut(ast.unparse(node))


def _kind(node: ast.expr, kinds: Mapping[str, str], names: list[str]) -> str:
    """What an allowed expression yields: "number", "text", "date", "truth", or "any" for an undeclared column."""
    match node:
        case ast.Name(id=name):
            names.append(name)
            return kinds.get(name, "any")
        case ast.Constant(value=str()):
            return "text"
        case ast.Constant(value=value) if type(value) in (int, float) and abs(value) < 1e300:
            return "number"
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            _need("number", operand, kinds, names)
            return "number"
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            _need("truth", operand, kinds, names)
            return "truth"
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            _need("number", left, kinds, names)
            _need("number", right, kinds, names)
            return "number"
        case ast.BoolOp(values=values):
            for value in values:
                _need("truth", value, kinds, names)
            return "truth"
        case ast.Compare(left=left, ops=ops, comparators=others) if all(type(op) in _COMPARE for op in ops):
            parts = [left, *others]
            found = [_kind(part, kinds, names) for part in parts]
            for op, both, both_kinds in zip(ops, pairwise(parts), pairwise(found), strict=True):
                _comparable(both, both_kinds, op)
            return "truth"
    raise ValueError(
        f"{_shown(node)} is not allowed in a rule; "
        "allowed are + - * /, comparisons, and, or, not, numbers, 'text' and column names"
    )


def _need(wanted: str, node: ast.expr, kinds: Mapping[str, str], names: list[str]) -> None:
    found = _kind(node, kinds, names)
    if found != wanted and (found, wanted) != ("any", "number"):
        words = {"number": "a number", "truth": "a comparison", "text": "text", "date": "a date", "any": "a column"}
        raise ValueError(f"{_shown(node)} is {words[found]}, where the rule needs {words[wanted]}")


def _comparable(parts: tuple[ast.expr, ast.expr], found: tuple[str, str], op: ast.cmpop) -> None:
    both = " and ".join(_shown(part) for part in parts)
    if set(found) == {"date", "text"}:
        text = parts[found.index("text")]
        try:
            np.datetime64(text.value if isinstance(text, ast.Constant) else "", "us")
        except ValueError:
            raise ValueError(f"{both} cannot be compared; write the date as 'YYYY-MM-DD'") from None
    elif "truth" in found or ("any" not in found and found[0] != found[1]):
        raise ValueError(f"{both} cannot be compared: {found[0]} with {found[1]}")
    elif set(found) == {"text"} and not isinstance(op, ast.Eq | ast.NotEq):
        raise ValueError(f"{both}: text can be compared with == and != only")


def _compared(body: ast.expr) -> Iterator[tuple[str, str]]:
    for node in ast.walk(body):
        if isinstance(node, ast.Compare):
            for pair in pairwise([node.left, *node.comparators]):
                match sorted(pair, key=lambda part: isinstance(part, ast.Constant)):
                    case [ast.Name(id=name), ast.Constant(value=str(text))]:
                        yield name, text


def _evaluate(node: ast.expr, columns: Mapping[str, np.ndarray]):
    match node:
        case ast.Name(id=name):
            return columns[name]
        case ast.Constant(value=value):
            return value
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return np.negative(_evaluate(operand, columns))
        case ast.UnaryOp(operand=operand):
            return np.logical_not(_evaluate(operand, columns))
        case ast.BinOp(left=left, op=op, right=right):
            return _BINARY[type(op)](_evaluate(left, columns), _evaluate(right, columns))
        case ast.BoolOp(op=op, values=values):
            joined = np.logical_and if isinstance(op, ast.And) else np.logical_or
            return reduce(joined, [_evaluate(value, columns) for value in values])
        case ast.Compare(left=left, ops=ops, comparators=others):
            parts = [_evaluate(part, columns) for part in (left, *others)]
            return reduce(np.logical_and, [_compare(op, *both) for op, both in zip(ops, pairwise(parts), strict=True)])
    raise AssertionError(ast.dump(node))  # parse() has refused everything else


def _compare(op: ast.cmpop, left, right):
    if isinstance(left, str) and np.asarray(right).dtype.kind == "M":
        left = np.datetime64(left, "us")
    if isinstance(right, str) and np.asarray(left).dtype.kind == "M":
        right = np.datetime64(right, "us")
    return _COMPARE[type(op)](left, right)


__all__ = ["Expression"]
