"""The score on its scale, drawn: a half circle from the lowest score to the highest, a band for each rating."""

from __future__ import annotations

from html import escape
from math import cos, pi, sin

from creditrisk.data.portfolio import Rating, Scale
from creditrisk.ui.page.score_result import Result
from creditrisk.ui.styles import rating_colours

WIDE, HIGH, MIDDLE, BASE = 260, 156, 130, 130
RADIUS, THICK, NAMES = 96, 15, 112
GAP = 0.004
LETTER = 6.6


def gauge(result: Result, scale: Scale) -> str:
    """The score, its rating, the bands by name, and where the decision changes."""
    texts = " and ".join(str(score) for _, score in result.cut_offs)
    told = f"; the cut-off is at {texts}" if texts else ""
    label = f"Score {result.score} on a scale from {scale.low} to {scale.high}, rated {escape(result.rating)}{told}"
    ends = "".join(
        f'<text class="cr-gauge-end" x="{MIDDLE + side * RADIUS}" y="{BASE + 17}">{score}</text>'
        for side, score in ((-1, scale.low), (1, scale.high))
    )
    cuts = "".join(_cut(_share(score, scale)) for _, score in result.cut_offs)
    legend = f'<p class="cr-gauge-cut"><i aria-hidden="true"></i>cut-off {texts}</p>' if texts else ""
    return (
        f'<div class="cr-gauge" role="img" aria-label="{label}"><svg viewBox="0 0 {WIDE} {HIGH}" aria-hidden="true">'
        f"{_bands(result, scale)}{cuts}{_hand(_share(result.score, scale))}{ends}"
        f'<text class="cr-gauge-score" x="{MIDDLE}" y="{BASE - 20}" data-cr="score">{result.score}</text>'
        f'<text class="cr-gauge-rating" x="{MIDDLE}" y="{BASE + 2}">{escape(result.rating)}</text></svg>{legend}</div>'
    )


def _bands(result: Result, scale: Scale) -> str:
    colours = rating_colours([rating.name for rating in scale.ratings])
    return "".join(
        _band(i, rating, low, high, scale, colours[rating.name], rating.name == result.rating)
        for i, (rating, low, high) in enumerate(_spans(scale))
    )


def _spans(scale: Scale) -> list[tuple[Rating, int, int]]:
    """Each rating with the scores between which it lies."""
    found, low = [], scale.low
    for rating in scale.ratings:
        high = min(scale.high if rating.below is None else rating.below, scale.high)
        found.append((rating, low, high))
        low = high
    return found


def _band(i: int, rating: Rating, low: int, high: int, scale: Scale, colour: str, here: bool) -> str:
    start, end = _share(low, scale), _share(high, scale)
    name = escape(rating.name)
    inner = (start + GAP * (low > scale.low), end - GAP * (high < scale.high))
    drawn = f'<path d="{_arc(RADIUS, *inner)}" style="stroke:{colour}" stroke-width="{THICK}" fill="none"/>'
    drawn = f"<g><title>{name}: {low} to {high}</title>{drawn}</g>"
    if LETTER * len(rating.name) > pi * NAMES * (end - start):
        return drawn  # the name would run into its neighbour's; the title has it
    where = f'id="cr-gauge-{i}" d="{_arc(NAMES, start, end)}" fill="none"'
    return (
        f'{drawn}<path {where}/><text class="cr-gauge-name{" cr-here" if here else ""}">'
        f'<textPath href="#cr-gauge-{i}" startOffset="50%">{name}</textPath></text>'
    )


def _share(score: float, scale: Scale) -> float:
    return min(max((score - scale.low) / (scale.high - scale.low), 0.0), 1.0)


def _at(radius: float, share: float) -> tuple[float, float]:
    return MIDDLE - radius * cos(pi * share), BASE - radius * sin(pi * share)


def _arc(radius: float, start: float, end: float) -> str:
    (a, b), (c, d) = _at(radius, start), _at(radius, end)
    return f"M{a:.2f} {b:.2f} A{radius} {radius} 0 0 1 {c:.2f} {d:.2f}"


def _cut(share: float) -> str:
    (a, b), (c, d) = _at(RADIUS - 14, share), _at(RADIUS + 12, share)
    return f'<line class="cr-gauge-line" x1="{a:.1f}" y1="{b:.1f}" x2="{c:.1f}" y2="{d:.1f}"/>'


def _hand(share: float) -> str:
    """A triangle that points at the score from within."""
    corners = [_at(RADIUS - 9, share), _at(RADIUS - 22, share - 0.022), _at(RADIUS - 22, share + 0.022)]
    return f'<polygon class="cr-gauge-hand" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in corners)}"/>'
