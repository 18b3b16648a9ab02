"""What stands above the tabs, as HTML."""

from __future__ import annotations

from html import escape

from creditrisk.ui import PRODUCT
from creditrisk.ui.page.words import box
from creditrisk.ui.page.workbench import ModelCard


def header(card: ModelCard | None) -> str:
    """The product's name, and the model in a line."""
    if card is None:
        return f'<header class="cr-head"><div><h1>{PRODUCT}</h1><p class="cr-soft">No model yet</p></div></header>'
    auc = "not recorded" if card.auc is None else f"{card.auc:.3f}"
    facts = {
        "Model": f"{escape(card.version)} <code>{escape(card.short_hash)}</code>",
        "Trained": escape(card.trained),
        "Test AUC": auc,
    }
    listed = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in facts.items())
    return (
        f'<header class="cr-head"><div><h1>{PRODUCT}</h1><p class="cr-soft">{escape(card.title)}</p></div>'
        f'<dl class="cr-facts">{listed}</dl></header>'
    )


def notice(text: str) -> str:
    """A sentence that asks for attention, empty without a text."""
    return box("unsure", "!", text, "") if text else ""
