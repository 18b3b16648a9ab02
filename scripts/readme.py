"""Keep the README's table of settings equal to the code: `python scripts/readme.py` writes it anew."""

from __future__ import annotations

from pathlib import Path

from creditrisk.settings import Settings

README = Path(__file__).resolve().parents[1] / "README.md"
BEGIN, END = "<!-- settings -->\n", "<!-- /settings -->"


def settings_table() -> str:
    """The settings as a Markdown table, from the fields of Settings."""
    prefix = Settings.model_config["env_prefix"]
    rows = [f"| `{prefix}{name.upper()}` | {field.description} |" for name, field in Settings.model_fields.items()]
    return "\n".join(["| variable | what it sets |", "|---|---|", *rows]) + "\n"


def with_table(text: str) -> str:
    """The README's text with the present table between its markers."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}{settings_table()}{END}{after}"


if __name__ == "__main__":
    README.write_text(with_table(README.read_text()))
