"""What must hold between the keys of a portfolio: the checks that no single key can make.

A check yields a mistake as (key path, what is wrong), so that a file with several mistakes says all of them at once.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from creditrisk.data.expressions import Expression
from creditrisk.data.features import FEATURES

if TYPE_CHECKING:
    from creditrisk.data.portfolio import Column, Portfolio

Path = tuple[str, ...]
Found = Iterator[tuple[Path, str]]

_RULE_KINDS = {"number": "number", "integer": "number", "category": "text", "text": "text", "date": "date"}


class Mistakes(ValueError):
    """What the checks found: (key path, what is wrong) of each mistake."""

    def __init__(self, found: Iterable[tuple[Path, str]]) -> None:
        self.found = list(found)
        super().__init__("; ".join(f"{'.'.join(path)}: {message}" for path, message in self.found))


def unknown(name: str, allowed: Iterable[str], what: str) -> str:
    """The message for a name that is none of the allowed ones; empty when it is one."""
    allowed = list(allowed)
    if name in allowed:
        return ""
    near = [one for one in allowed if one.lower() == name.lower()] or difflib.get_close_matches(name, allowed, 1)
    hint = f"; did you mean {near[0]!r}?" if near else f"; known are {', '.join(allowed)}"
    return f"there is no {what} {name!r}{hint}"


def check_column(column: Column) -> Found:
    """The mistakes within one column; paths begin inside it."""
    for check in (_check_kind, _check_limits, _check_role, _check_changeable, _check_binning):
        for key, message in check(column):
            yield ((key,) if key else ()), message


def check_book(book: Portfolio) -> Found:
    """The mistakes between the parts of a portfolio."""
    for check in (
        _check_tables,
        _check_columns,
        _check_derived,
        _check_names,
        _check_target,
        _check_rules,
        _check_restricted,
        _check_scales,
    ):
        yield from check(book)


def _check_kind(column: Column) -> Iterator[tuple[str, str]]:
    """What does not go with a column's kind: (key, message)."""
    if column.kind == "category":
        if not column.levels:
            yield "levels", "missing: a category needs levels = [...]"
        for level in sorted({level for level in column.levels if column.levels.count(level) > 1}):
            yield "levels", f"the level {level!r} stands twice"
        for key in ("levels", "aliases"):
            for text in getattr(column, key):
                if not text or text != text.strip():
                    yield key, f"{text!r} is empty or has spaces around it, which are removed from every value"
        for spelling, level in column.aliases.items():
            if level not in column.levels:
                yield "aliases", f"{spelling!r} stands for {unknown(level, column.levels, 'level')}"
            elif spelling in column.levels and spelling != level:
                yield "aliases", f"{spelling!r} is a level of its own; it cannot stand for {level!r}"
    else:
        for key in ("levels", "aliases"):
            if getattr(column, key):
                yield key, f'is for kind = "category", not {column.kind!r}'
    if column.is_numeric:
        return
    for key in ("min", "max", "above", "warn_below", "warn_above"):
        if getattr(column, key) is not None:
            yield key, f"is for numbers, not for kind = {column.kind!r}"
    if column.special:
        yield "special", f"is for numbers, not for kind = {column.kind!r}"
    if column.risk != "any":
        yield "risk", f'{column.risk!r} is for numbers, not for kind = {column.kind!r}; use "any"'
    if column.derive is not None:
        yield "kind", f"a derived column is a number, not {column.kind!r}"


def _check_limits(column: Column) -> Iterator[tuple[str, str]]:
    if column.min is not None and column.max is not None and column.min > column.max:
        yield "min", f"the lower limit {column.min:g} is above max {column.max:g}"
    if column.above is not None and column.max is not None and column.above >= column.max:
        yield "above", f"no value is above {column.above:g} and at most {column.max:g}"
    if len(set(column.special)) < len(column.special):
        yield "special", f"a code stands twice: {list(column.special)}"
    whole = {key: getattr(column, key) for key in ("min", "max", "above")}
    for key, limit in (whole if column.kind == "integer" else {}).items():
        if limit is not None and limit != int(limit):
            yield key, f"{limit:g} is not a whole number, but kind is 'integer'"
    if column.default is None:
        return
    if column.kind == "category":
        if column.default not in column.levels:
            yield "default", unknown(str(column.default), column.levels, "level")
    elif column.is_numeric:
        if isinstance(column.default, str) or (column.kind == "integer" and column.default != int(column.default)):
            yield "default", f"{column.default!r} is not {'a whole' if column.kind == 'integer' else 'a'} number"
        elif (
            (column.min is not None and column.default < column.min)
            or (column.max is not None and column.default > column.max)
            or (column.above is not None and column.default <= column.above)
        ) and column.default not in column.special:
            yield "default", f"{column.default:g} is outside the column's own limits"


def _check_binning(column: Column) -> Iterator[tuple[str, str]]:
    """What one column's way of being binned cannot be; the path ends at `binning`."""
    own = column.binning
    if not column.is_numeric:
        for key in ("trend", "must_cut", "never_cut"):
            if getattr(own, key):
                yield "binning", f"{key} is for numbers, not for kind = {column.kind!r}"
    direction = {"increasing": "ascending", "decreasing": "descending"}.get(column.risk)
    if direction and own.trend not in (None, direction):
        yield "binning", f'trend {own.trend!r} contradicts risk = {column.risk!r}; with another trend, risk is "any"'
    if own.min_share is not None and own.max_share is not None and own.min_share > own.max_share:
        yield "binning", f"min_share {own.min_share:g} is above max_share {own.max_share:g}"
    for one in own.never_cut:
        if isinstance(one, tuple) and one[0] >= one[1]:
            yield "binning", f"never_cut: {one[0]:g} is not below {one[1]:g}"
    for cut in own.must_cut:
        if any(low < cut < high if pair else cut == low for low, high, pair in map(_span, own.never_cut)):
            yield "binning", f"must_cut and never_cut contradict each other at {cut:g}"


def _span(one: float | tuple[float, float]) -> tuple[float, float, bool]:
    return (*one, True) if isinstance(one, tuple) else (one, one, False)


def _check_role(column: Column) -> Iterator[tuple[str, str]]:
    if column.is_scored and not column.known_at_application:
        yield (
            "role",
            f"a column that is not known at application cannot have role = {column.role!r}; "
            'training on it would leak the outcome (use role = "info")',
        )
    if column.is_scored and column.kind in ("date", "text"):
        yield "kind", f"{column.kind!r} is for information; role = {column.role!r} needs number, integer or category"
    if column.is_scored and column.may_be_absent:
        yield "may_be_absent", f"a model needs it: role = {column.role!r}"
    if not column.table and column.derive is None:
        yield "", 'needs either table = "..." or derive = {...}'
    if column.role == "feature" and column.derive is None:
        yield "role", '"feature" needs derive = {function = ...}'


def _check_changeable(column: Column) -> Iterator[tuple[str, str]]:
    if not column.changeable:
        return
    if column.role not in ("input", "optional"):
        yield "changeable", f"is for inputs, which an applicant is asked for, not for role = {column.role!r}"
    elif column.is_numeric:
        lower = (column.min, column.above, column.warn_below)
        for side, keys, limits in (
            ("lower", "min, above or warn_below", lower),
            ("upper", "max or warn_above", (column.max, column.warn_above)),
        ):
            if not any(limit is not None for limit in limits):
                yield (
                    "changeable",
                    f"needs {keys}: without {side} limit there is no end to where a change is looked for",
                )


def _check_tables(book: Portfolio) -> Found:
    if message := unknown(book.base, book.tables, "table"):
        yield ("base",), message
        return  # without the base table nothing can be said of joins
    for name, table in book.tables.items():
        path = ("tables", name)
        if name == book.base and table.join:
            yield (*path, "join"), "the base table joins nothing; leave join out"
        if name != book.base and not table.join:
            yield (*path, "join"), f"missing: the column this table shares with {book.base!r}"
        for part in ("key", "join"):
            column = getattr(table, part)
            if column and (message := unknown(column, book.columns, "column")):
                yield (*path, part), message
            elif column and not book.columns[column].table:
                yield (*path, part), f"{column!r} is derived, not delivered"
        if table.key in book.columns and table.key != table.join and book.columns[table.key].table not in ("", name):
            yield (*path, "key"), f"{table.key!r} is a column of the table {book.columns[table.key].table!r}"


def _check_columns(book: Portfolio) -> Found:
    for name, column in book.columns.items():
        if not name or name != name.strip():
            yield ("columns", name), "a column's name is not empty and has no spaces around it"
        if column.table and (message := unknown(column.table, book.tables, "table")):
            yield ("columns", name, "table"), message
        if column.role == "target" and name != book.target.column:
            yield ("columns", name, "role"), f'the target is {book.target.column!r}; use role = "info"'
    if not book.inputs:
        yield ("columns",), 'no column has role = "input": there is nothing to score'
    if book.application_id in book.inputs:
        yield ("application_id",), f"{book.application_id!r} is an input; an identifier tells nothing about risk"


def _check_derived(book: Portfolio) -> Found:
    for name, column in book.columns.items():
        if column.derive is None:
            continue
        path = ("columns", name, "derive")
        if message := unknown(column.derive.function, FEATURES, "feature function"):
            yield (*path, "function"), message
            continue
        definition = FEATURES[column.derive.function]
        if column.derive.zero_denominator is not None and not definition.is_quotient:
            yield (*path, "zero_denominator"), f"is for quotients; {definition.name} divides by nothing"
        arguments = definition.arguments
        for argument in column.derive.args:
            if message := unknown(argument, arguments, f"argument of {column.derive.function}"):
                yield (*path, "args"), message
        for argument in arguments:
            source = column.derive.args.get(argument, argument)
            message = unknown(source, book.columns, "column") or _unusable(book, column, source)
            if message:
                yield path, message


def _unusable(book: Portfolio, column: Column, source: str) -> str:
    """Why a derived column may not read `source`; empty when it may."""
    used, limit = book.columns[source], book.restricted.get(source)
    if column.is_scored:
        if not used.known_at_application or source == book.target.column:
            return f"uses {source!r}, which is not known at application; training on it would leak"
        if used.role == "audit" or (limit and limit.use == "audit"):
            return f"uses {source!r}, which may be audited, never modelled"
        if limit and limit.no_worse_from is not None:
            return f"uses {source!r}, whose no_worse_from a derived column could undo"
    if column.role == "feature" and source not in book.inputs:
        return f"uses {source!r}, which is not an input, so it could not be computed when scoring"
    if column.role != "feature" and not used.table:
        return f"uses {source!r}, which is derived itself; only a feature may, and from an input"
    if not used.is_numeric:
        return f"uses {source!r}, which is not a number but of kind {used.kind!r}"
    if used.may_be_absent:
        return f"uses {source!r}, which may be absent"
    return ""


def _check_names(book: Portfolio) -> Found:
    taken: dict[str, str] = dict(zip(book.columns, book.columns, strict=True))
    for name, column in book.columns.items():
        for key, aliases in (("wire", (column.wire,)), ("also_called", column.also_called)):
            for alias in aliases:
                if alias and taken.setdefault(alias, name) != name:
                    yield ("columns", name, key), f"the name {alias!r} already belongs to {taken[alias]!r}"


def _check_target(book: Portfolio) -> Found:
    target = book.target
    if message := unknown(target.column, book.columns, "column"):
        yield ("target", "column"), message
    else:
        column = book.columns[target.column]
        if column.role != "target":
            yield ("columns", target.column, "role"), f'is {column.role!r}; the target needs role = "target"'
        if book.base in book.tables and (column.table != book.base or column.may_be_absent):
            yield ("target", "column"), f"{target.column!r} must be a column of the base table {book.base!r}"
        wanted = {"category": str, "text": str, "number": int, "integer": int}.get(column.kind)
        if wanted is None:
            yield ("columns", target.column, "kind"), f"the target cannot be a {column.kind}"
        for key in ("good", "bad", "indeterminate"):
            for value in getattr(target, key):
                if wanted and not isinstance(value, wanted):
                    yield ("target", key), f"{value!r} cannot be a value of {target.column!r}, kind {column.kind!r}"
                elif column.levels and (message := unknown(value, column.levels, "level")):
                    yield ("target", key), message
    for key in ("good", "bad"):
        if not getattr(target, key):
            yield ("target", key), "needs at least one value"
    values = [*target.good, *target.bad, *target.indeterminate]
    if len(set(values)) != len(values):
        yield ("target",), f"a value stands more than once in good, bad, indeterminate: {values}"
    if target.observation_date:
        path = ("target", "observation_date")
        if message := unknown(target.observation_date, book.columns, "column"):
            yield path, message
        elif book.columns[target.observation_date].kind != "date":
            yield path, f'{target.observation_date!r} is not of kind "date"'
        elif book.columns[target.observation_date].may_be_absent:
            yield path, f"{target.observation_date!r} may be absent"
    elif target.performance_months:
        yield ("target", "performance_months"), "needs observation_date, the column from which the window runs"


def _check_rules(book: Portfolio) -> Found:
    kinds = {name: _RULE_KINDS[column.kind] for name, column in book.columns.items()}
    rules = [(("rules", str(i), "check"), rule.check) for i, rule in enumerate(book.rules)]
    exclusions = [(("target", "exclusions", reason), rule) for reason, rule in book.target.exclusions.items()]
    for path, rule in rules + exclusions:
        try:
            expression = Expression.parse(rule, kinds)
        except ValueError as error:
            yield path, str(error)
            continue
        for name in expression.columns:
            if message := unknown(name, book.columns, "column"):
                yield path, message
            elif path[0] == "target" and book.columns[name].may_be_absent:
                yield path, f"reads {name!r}, which may be absent; then nothing would be excluded"
        for name, text in expression.compared:
            levels = book.columns[name].levels if name in book.columns else ()
            if levels and (message := unknown(text, levels, f"level of {name}")):
                yield path, message


def _check_restricted(book: Portfolio) -> Found:
    for name, limit in book.restricted.items():
        if message := unknown(name, book.columns, "column"):
            yield ("restricted", name), message
            continue
        column = book.columns[name]
        if limit.use == "audit" and column.is_scored:
            yield (
                ("restricted", name, "use"),
                f"may be audited, never modelled, but columns.{name} has role = {column.role!r}",
            )
        if column.changeable:
            yield (
                ("columns", name, "changeable"),
                "is a protected attribute; no applicant is told to change one",
            )
        if limit.no_worse_from is not None and column.risk != "decreasing":
            yield (
                ("restricted", name, "no_worse_from"),
                f'needs columns.{name}.risk = "decreasing": only a PD that never rises with {name} '
                f"keeps {limit.no_worse_from:g} and over from scoring worse for it",
            )


def _check_scales(book: Portfolio) -> Found:
    scale, grades = book.scale, book.grades
    bounds = [rating.below for rating in scale.ratings]
    if not bounds or bounds[-1] is not None or None in bounds[:-1] or bounds[:-1] != sorted(set(bounds[:-1])):
        yield ("scale", "ratings"), "need rising bounds `below`, and a last rating without one"
    elif bounds[:-1] and not (scale.low < bounds[0] and bounds[-2] <= scale.high):
        yield ("scale", "ratings"), f"bounds {bounds[:-1]} lie outside the scale {scale.low} to {scale.high}"
    if scale.low >= scale.high:
        yield ("scale", "low"), f"low {scale.low} is not below high {scale.high}"
    for i, grade in enumerate(grades):
        if i and grade.max_pd <= grades[i - 1].max_pd:
            yield ("grades", str(i), "max_pd"), f"{grade.max_pd:g} is not above {grades[i - 1].max_pd:g} before it"
    if grades and grades[-1].max_pd != 1.0:
        yield ("grades", str(len(grades) - 1), "max_pd"), f"the last must be 1.0, but is {grades[-1].max_pd:g}"
    for path, parts in ((("scale", "ratings"), scale.ratings), (("grades",), grades), (("rules",), book.rules)):
        names = [part.name for part in parts]
        for i, name in enumerate(names):
            if name in names[:i]:
                yield (*path, str(i), "name"), f"the name {name!r} stands twice"
