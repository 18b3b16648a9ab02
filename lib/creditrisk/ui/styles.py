"""How the page looks: its colours, and one style sheet. Texts reach 4.5:1 on their ground, marks 3:1."""

from __future__ import annotations

from importlib import resources

LIGHT = {
    "ink": "#18222f",
    "soft": "#52606f",
    "line": "#dde3ea",
    "hair": "#edf0f3",
    "ground": "#f4f6f8",
    "card": "#ffffff",
    "head": "#f1f4f7",
    "field": "#7c8997",
    "hover": "#eef4f8",
    "pressed": "#154b70",
    "idle": "#eceff2",
    "idle-ink": "#5c6875",
    "idle-line": "#c9d1d9",
    "dashed": "#aab5c0",
    "accent": "#1b5e8c",
    "on-accent": "#ffffff",
    "good": "#17646c",
    "bad": "#a3322a",
    "warn": "#7a4f00",
    "on-sign": "#ffffff",
    "figure": "#3d7ea6",
    "track": "#e9edf1",
    "code": "#edf1f5",
    "good-ground": "#eef6f6",
    "good-line": "#a9cccd",
    "bad-ground": "#fcf1f0",
    "bad-line": "#dfb3ae",
    "warn-ground": "#fbf5e8",
    "warn-line": "#dcc797",
}
DARK = {
    "ink": "#e7ecf2",
    "soft": "#aab6c3",
    "line": "#323e4c",
    "hair": "#283340",
    "ground": "#10161d",
    "card": "#19222c",
    "head": "#212c38",
    "field": "#77869a",
    "hover": "#22303e",
    "pressed": "#a5cfec",
    "idle": "#232d38",
    "idle-ink": "#9aa7b5",
    "idle-line": "#3a4654",
    "dashed": "#56636f",
    "accent": "#85bfe6",
    "on-accent": "#0d1b28",
    "good": "#6cc3b8",
    "bad": "#f2948a",
    "warn": "#e3b65c",
    "on-sign": "#10161d",
    "figure": "#69a9d4",
    "track": "#2b3744",
    "code": "#27323e",
    "good-ground": "#16302f",
    "good-line": "#2f5f5b",
    "bad-ground": "#3a201e",
    "bad-line": "#79423c",
    "warn-ground": "#352a14",
    "warn-line": "#6d5726",
}
# Of the style sheet, for charts: they follow light and dark without being drawn anew.
INK, SOFT, LINE, FIGURE = "var(--cr-ink)", "var(--cr-soft)", "var(--cr-line)", "var(--cr-figure)"
GOOD, WARN, BAD, ACCENT, CARD = (f"var(--cr-{name})" for name in ("good", "warn", "bad", "accent", "card"))
# From the worst to the best of anything that is ranked: apart in lightness and for every common colour blindness.
SPECTRUM = ("#a8443a", "#bb7a1e", "#4f918e", "#1f6470")
DARK_SPECTRUM = ("#e2766a", "#dfa044", "#8fc7c0", "#4d9fae")
STOPS = 13


def rating_colours(names: list[str] | tuple[str, ...]) -> dict[str, str]:
    """A colour for each rating or grade, worst first."""
    most = max(len(names) - 1, 1)
    return {name: f"var(--cr-rank-{round(i / most * (STOPS - 1))})" for i, name in enumerate(names)}


def _between(spectrum: tuple[str, ...], place: float) -> str:
    low = min(int(place), len(spectrum) - 2)
    share = place - low
    parts = [
        round(int(spectrum[low][i : i + 2], 16) * (1 - share) + int(spectrum[low + 1][i : i + 2], 16) * share)
        for i in (1, 3, 5)
    ]
    return "#" + "".join(f"{part:02x}" for part in parts)


def _names(colours: dict[str, str], spectrum: tuple[str, ...]) -> str:
    ranks = {f"rank-{i}": _between(spectrum, i / (STOPS - 1) * (len(spectrum) - 1)) for i in range(STOPS)}
    return " ".join(f"--cr-{name}: {value};" for name, value in (colours | ranks).items())


FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'
# Voila's page and JupyterLab both say on <body> whether they are light; the bench, whose charts are not, stays light.
CSS = f"""
.cr-page {{ --cr-font: {FONT}; color-scheme: light; {_names(LIGHT, SPECTRUM)} }}
[data-jp-theme-light="false"] .cr-page:not(.cr-bench) {{ color-scheme: dark; {_names(DARK, DARK_SPECTRUM)} }}
"""
CSS += resources.files("creditrisk.ui").joinpath("styles.css").read_text("utf-8")
