"""Pieces of HTML that several tabs show. Every text from outside is escaped."""

from __future__ import annotations

from html import escape


def percent(share: float) -> str:
    """A probability for people, never rounded to certainty."""
    if 0 < share < 0.00005:
        return "<0.01%"
    if 0.99995 <= share < 1:
        return ">99.99%"
    return f"{share:.2%}"


def in_percent(share: float) -> str:
    return escape(percent(share))


def empty(title: str, advice: str) -> str:
    """What a place without content says: `advice` may hold `code` in backticks."""
    return f'<div class="cr-empty"><h2>{escape(title)}</h2><p>{with_code(advice)}</p></div>'


def no_log(problem: str) -> str:
    """What stands in place of the log's content while it does not answer, empty without a problem."""
    return empty("The prediction log cannot be read", problem) if problem else ""


def with_code(text: str) -> str:
    parts = escape(text).split("`")
    return "".join(f"<code>{part}</code>" if i % 2 else part for i, part in enumerate(parts))


def box(kind: str, icon: str, title: str, more: str) -> str:
    return (
        f'<div class="cr-verdict cr-{kind}"><span class="cr-icon" aria-hidden="true">{icon}</span>'
        f"<div><b>{escape(title)}</b>{escape(more)}</div></div>"
    )


def or_dash(value: object) -> str:
    return "–" if value is None else escape(str(value))


def table(name: str, head: str, rows: str, more: str = "") -> str:
    return (
        f'<div class="cr-tablebox {more}" tabindex="0" role="region" aria-label="{name}"><table class="cr-table">'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )
