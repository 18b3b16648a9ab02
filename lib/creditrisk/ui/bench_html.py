"""The parts of the bench that are read, as HTML: functions of the state alone. Every text from outside is escaped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

from creditrisk.settings import shown_path
from creditrisk.ui import bench_chart, bench_words
from creditrisk.ui.bench_state import BinningBench, Row
from creditrisk.ui.bench_words import Note, percent
from creditrisk.ui.charts import BLUE, ORANGE

KINDS = {"order": "flag", "limit": "lack", "alike": "soft"}
"""How each kind of note is coloured; its sign and words say the same."""
TITLE = "Binning bench"
GAP = "\u2002"  # between the number of a bin and where it lies: a space that browsers keep
BIN_HEADS = (
    ("Rows", "share"),
    ("Bad rate", "95%"),
    ("Rows", "share"),
    ("Bad rate", "95%"),
    ("WOE", "IV"),
)


def header(bench: BinningBench) -> str:
    """What the bench is about, in a line."""
    facts = {
        "Training rows": f"{bench.train_rows:,}",
        bench.sample.replace("test", "Test rows", 1): f"{bench.test_rows:,}",
        "Variables": f"{len(bench.rows)}",
        "Overrides": f"<code>{escape(shown_path(bench.file))}</code>",
    }
    listed = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in facts.items())
    return (
        f'<header class="cr-head"><div><h2>{TITLE}</h2><p class="cr-soft">{escape(bench.book.title)}</p></div>'
        f'<dl class="cr-facts">{listed}</dl></header>'
    )


# --- All variables ----------------------------------------------------------------------------------------------------


def variable_head() -> str:
    """The heads of the table of variables: two lines, as each of its rows."""
    return (
        '<div class="cr-row cr-row-head" aria-hidden="true"><div>Variable<br>marks, decisions</div>'
        '<div class="cr-figs"><span>IV</span><span title="Stability: PSI of the bins, training to test">PSI</span>'
        '<span title="IV as a share of what any monotone binning could reach">certificate</span>'
        "<span>bins</span></div></div>"
    )


def variable_figures(row: Row) -> str:
    """The figures of one variable."""
    trend, _, word = bench_words.TRENDS[row.trend].partition(" ")
    return (
        f'<div class="cr-figs"><span><b>{row.iv:.4f}</b></span><span>{_psi(row.psi)}</span>'
        f"<span>{percent(row.certificate)}</span>"
        f'<span title="{escape(word)}">{row.bins} <i aria-hidden="true">{trend}</i>'
        f'<i class="cr-unseen">{escape(word)}</i></span></div>'
    )


def variable_marks(row: Row) -> str:
    """What stands out about one variable, and what is decided about it."""
    parts = [f'<span class="cr-{KINDS[note.kind]}">{escape(note.text)}</span>' for note in row.marks]
    decided = (["✎ edited"] if row.edited else []) + ([f"forced {row.use}"] if row.use else [])
    parts += [f'<span class="cr-decided">{text}</span>' for text in decided]
    parts += ['<span class="cr-lack">• not saved</span>'] if row.unsaved else []
    return f'<div class="cr-tags">{"".join(parts)}</div>'


def _psi(psi: float) -> str:
    if not np.isfinite(psi):
        return "–"
    word = bench_words.stability(psi)
    shown = f"{psi:.3f}"
    return shown if word == "stable" else f'<b class="cr-flag">{shown} {word}</b>'


# --- The chosen variable ----------------------------------------------------------------------------------------------


def facts(bench: BinningBench) -> str:
    """The figures of the chosen variable in a line."""
    version, optimum = bench.version(), bench.variable.optimum.bins
    psi = version.psi
    parts = {
        "IV": f"{version.bins.iv:.4f}",
        "Optimum": f"{optimum.iv:.4f}",
        "Certificate": percent(version.bins.certificate),
        "PSI": "–" if not np.isfinite(psi) else f"{psi:.3f} {bench_words.stability(psi)}",
        "Bins": str(version.bins.n_regular),
        "Trend": bench_words.TRENDS[version.bins.trend],
    }
    listed = "".join(f"<div><dt>{name}</dt><dd>{escape(value)}</dd></div>" for name, value in parts.items())
    return f'<dl class="cr-facts">{listed}</dl>'


def verdict(bench: BinningBench) -> str:
    """The line after an edit, and below it the limits that are not kept."""
    holds = not bench.version().table["reverses"].any()
    broken = [note for note in bench.notes if note.kind == "limit"]
    kind, icon = ("yes", "✓") if holds and not broken else ("unsure", "!")
    notes = "".join(f"<li>{escape(note.text)}.</li>" for note in broken)
    return (
        f'<div class="cr-verdict cr-{kind}" role="status" aria-live="polite"><span class="cr-icon" aria-hidden="true">'
        f'{icon}</span><div><span data-cr="verdict">{escape(bench.verdict)}</span>'
        f"{f'<ul>{notes}</ul>' if notes else ''}</div></div>"
    )


def legend(bench: BinningBench) -> str:
    """What the marks of the chart mean, and the chart in words."""
    described = escape(bench_chart.in_words(bench.version()))
    train = _sample("training", BLUE, bench_chart.LIGHT_TRAIN, '<circle cx="17" cy="7" r="4" />', "")
    test = _sample(bench.sample, ORANGE, bench_chart.LIGHT_TEST, '<path d="M17 2 l5 5 l-5 5 l-5 -5z" />', "5 3")
    return (
        f'<div class="cr-legend" role="img" aria-label="{described}">{train}{test}'
        "<span>bars: share of rows</span><span>lines: bad rate with 95% intervals</span>"
        "<span><b>≈</b> alike</span><span><b>⇅</b> order reverses on test</span></div>"
    )


def _sample(name: str, colour: str, light: str, shape: str, dash: str) -> str:
    return (
        f'<span><svg width="52" height="14" aria-hidden="true"><g fill="{colour}" stroke="{colour}">'
        f'<path d="M1 7 h32" stroke-width="2" stroke-dasharray="{dash}" />{shape}</g>'
        f'<rect x="38" y="1" width="12" height="12" fill="{light}" /></svg>{escape(name)}</span>'
    )


def bin_head(bench: BinningBench) -> str:
    """The heads of the table of bins."""
    heads = "".join(_two(first, second) for first, second in BIN_HEADS)
    return (
        '<div class="cr-row cr-row-head cr-bin-head" aria-hidden="true"><div>Bin</div>'
        f'<div class="cr-cells cr-over"><span>Training</span><span>{escape(bench.sample.capitalize())}</span></div>'
        f'<div class="cr-cells">{heads}<span class="cr-marks">Marks</span></div></div>'
    )


def bin_cells(bench: BinningBench, slot: int) -> str:
    """One row of the table of bins, without its name."""
    version = bench.version()
    if slot not in version.table.index:
        empty = '<span class="cr-right">0</span>' + '<span class="cr-right">–</span>' * 4
        return f'<div class="cr-cells">{empty}{_marks(bench.row_marks.get(slot, ()))}</div>'
    row = version.table.loc[slot]
    marks = bench.row_marks.get(slot)
    if marks is None:
        marks = _outside(bench, slot)
    cells = (
        _two(f"{row['count']:,.0f}", percent(row["count_share"])),
        _rate(row["bad_rate"], row["bad_rate_low"], row["bad_rate_high"]),
        _two(f"{row['test_count']:,.0f}", percent(row["test_count_share"])),
        _rate(row["test_bad_rate"], row["test_low"], row["test_high"]),
        _two(_signed(f"{row['woe']:+.3f}"), _signed(f"{row['iv']:.4f}")),
    )
    return f'<div class="cr-cells">{"".join(cells)}{_marks(marks)}</div>'


def _outside(bench: BinningBench, slot: int) -> tuple[Note, ...]:
    """What a slot outside the regular bins is worth."""
    policy = bench.bins.policies[slot - bench.bins.n_regular]
    return (Note("alike", bench_words.missing_in_words(policy)),)


def _signed(text: str) -> str:
    return text.replace("-", "−")


def _two(first: str, second: str = "") -> str:
    return f'<span class="cr-right">{first}{f"<small>{second}</small>" if second else ""}</span>'


def _rate(rate: float, low: float, high: float) -> str:
    if not np.isfinite(rate):
        return _two("–")
    return _two(percent(rate), f"{100 * low:.1f}–{100 * high:.1f}")


def _marks(notes: Sequence[Note]) -> str:
    texts = "".join(f'<i class="cr-{KINDS[note.kind]}">{escape(note.text)}</i>' for note in notes)
    return f'<span class="cr-marks">{texts}</span>'


def bin_title(bench: BinningBench, slot: int) -> str:
    """The name of a slot: the number of a bin, and where it lies."""
    label = bench.bins.labels()[slot]
    if slot >= bench.bins.n_regular:
        return label
    if bench.bins.kind == "numeric":
        label = label.replace("[-inf", "[−∞").replace("inf)", "∞)")
    return f"{slot + 1}{GAP}{label}"


# --- Fields and saving ------------------------------------------------------------------------------------------------


def problem(errors: Mapping[str, str], *fields: str) -> str:
    """What is wrong with what was typed, empty when nothing is."""
    texts = [errors[field] for field in fields if field in errors]
    said = " ".join(f"{text[:1].upper()}{text[1:]}" for text in texts)
    return f'<p class="cr-error" role="alert">⚠ {escape(said)}</p>' if said else ""


def changes(bench: BinningBench) -> str:
    """What saving would write."""
    names = bench.unsaved
    if not names:
        return '<p class="cr-soft cr-small">No change that is not in the file.</p>'
    items = "".join(
        f"<li><b>{escape(bench.label(name))}</b>: {escape(bench.decided(name))}"
        f'<br><span class="cr-{"soft" if bench.reason_of(name) else "lack"}">'
        f"{escape(bench.reason_of(name)) or '! no reason given yet'}</span></li>"
        for name in names
    )
    return f'<ul class="cr-changes">{items}</ul>'


def saved(bench: BinningBench) -> str:
    """What came of saving."""
    if "save" in bench.errors:
        return problem(bench.errors, "save")
    if not bench.said:
        return ""
    command = f"creditrisk train -p overrides {shown_path(bench.file)}"
    return (
        f'<p class="cr-said" role="status"><span data-cr="saved">✓ {escape(bench.said)}</span><br>'
        f"Train with it: <code>{escape(command)}</code></p>"
    )


def chosen_bin(bench: BinningBench) -> str:
    """The name of the chosen bin."""
    number, _, label = bin_title(bench, bench.bin).partition(GAP)
    return escape(f"Bin {number}: {label}")


def selection_hint(bench: BinningBench) -> str:
    """What becomes of the chosen variable when nobody forces it."""
    return f'<p class="cr-hint">By itself: {escape(bench.selected)}</p>' if bench.selected else ""


def missing_hint(bench: BinningBench) -> str:
    """How many values are missing, or what is wrong with what was chosen."""
    bins = bench.bins
    rows = bins.goods[bins.missing_slot] + bins.bads[bins.missing_slot]
    few = "" if rows else " in the training rows, so their own WOE is 0"
    return problem(bench.errors, "missing") or f'<p class="cr-hint">{rows:,.0f} missing{few}</p>'
