"""Rules written as text (`processing_fee <= 0.03 * loan_amount`), checked when read, run on columns.

Only arithmetic, comparisons, `and`, `or`, `not`, numbers, quoted text and column names are allowed, so a portfolio
file can hold a rule but not a program.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

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
    """A parsed rule. `columns` are the names it reads."""

    text: str
    columns: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Expression:
        """Parse a rule.

        Raises ValueError that names the part which is not allowed.
        """
        names: list[str] = []
        _check(_body(text), names)
        return cls(text, tuple(dict.fromkeys(names)))

    def holds(self, columns: Mapping[str, np.ndarray]) -> np.ndarray:
        """Where the rule holds: bool, one value a row. A comparison with a missing value does not fail."""
        missing = np.zeros(len(next(iter(columns.values()))), dtype=bool)
        for name in self.columns:
            values = columns[name]
            missing |= values != values  # NaN is the one value that differs from itself
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(_evaluate(_body(self.text), columns), dtype=bool) | missing


def _body(text: str) -> ast.expr:
    try:
        return ast.parse(text, mode="eval").body
    except SyntaxError as error:
        raise ValueError(f"cannot read the rule {text!r}: {error.msg}") from None


def _check(node: ast.expr, names: list[str]) -> None:
    match node:
        case ast.Name(id=name):
            names.append(name)
        case ast.Constant(value=value) if isinstance(value, int | float | str):
            pass
        case ast.UnaryOp(op=ast.USub() | ast.Not(), operand=operand):
            _check(operand, names)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            _check(left, names)
            _check(right, names)
        case ast.BoolOp(values=values):
            for value in values:
                _check(value, names)
        case ast.Compare(left=left, ops=ops, comparators=others) if all(type(op) in _COMPARE for op in ops):
            for part in (left, *others):
                _check(part, names)
        case _:
            raise ValueError(
                f"{ast.unparse(node)!r} is not allowed in a rule; "
                "allowed are + - * /, comparisons, and, or, not, numbers, 'text' and column names"
            )


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
            return joined.reduce([_evaluate(value, columns) for value in values])
        case ast.Compare(left=left, ops=ops, comparators=others):
            result, current = True, _evaluate(left, columns)
            for op, other in zip(ops, others, strict=True):
                following = _evaluate(other, columns)
                result = np.logical_and(result, _COMPARE[type(op)](current, following))
                current = following
            return result
    raise AssertionError(ast.dump(node))  # parse() has refused everything else


__all__ = ["Expression"]
