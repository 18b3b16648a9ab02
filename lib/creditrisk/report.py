"""An executed notebook as one HTML page that needs no network and prints well."""

from __future__ import annotations

import re
from collections.abc import Mapping
from copy import deepcopy
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from nbformat import NotebookNode

from creditrisk.errors import is_about_input

# Widgets and scripts need a live page; a report is read years later, so their static form is taken instead.
STATIC_FORMS = [
    "text/html",
    "text/markdown",
    "image/svg+xml",
    "text/latex",
    "image/png",
    "image/jpeg",
    "text/plain",
]
LIVE_TAGS = ["script", "link", "meta", "base", "iframe", "object", "embed", "frame"]
LOADING_ATTRIBUTES = ["src", "srcset", "poster", "background", "ping"]
ERROR_NOTE_TAG = "papermill-error-cell-tag"

PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'; font-src data:">
<title>$title</title>
<style>
$style
</style>
</head>
<body>
<header class="run">
<p class="verdict $status"><strong>$verdict</strong> $error</p>
<dl>$facts</dl>
<dl class="parameters">$parameters</dl>
</header>
<main>
$body
</main>
</body>
</html>
""")

STYLE = """
:root { --ink: #1d2733; --soft: #5a6675; --line: #d9dee5; --good: #1b6e45; --bad: #a3262a; }
body { margin: 0 auto; padding: 1.5rem 1.25rem 4rem; max-width: 62rem; color: var(--ink); background: #fff;
  font: 16px/1.55 system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
h1, h2, h3, h4 { line-height: 1.25; margin: 1.8em 0 0.5em; }
h1 { font-size: 1.9rem; margin-top: 1rem; } h2 { font-size: 1.35rem; } h3 { font-size: 1.1rem; }
p, li { max-width: 46rem; }
a { color: #155a9c; }
code, pre { font: 0.85em/1.45 ui-monospace, "Cascadia Mono", Menlo, Consolas, monospace; }
pre { margin: 0.5rem 0; overflow-x: auto; white-space: pre-wrap; overflow-wrap: anywhere; }
.output_area { margin: 0.4rem 0; overflow-x: auto; }
.output_stderr pre { color: var(--soft); }
.output_error pre { padding: 0.75rem; border-left: 4px solid var(--bad); background: #fcf3f3; }
img, svg { max-width: 100%; height: auto; }
table { border-collapse: collapse; border: 0; margin: 0.6rem 0; font-size: 0.875rem;
  font-variant-numeric: tabular-nums; }
th, td { padding: 0.3rem 0.7rem; border: 0; border-bottom: 1px solid var(--line); text-align: right;
  vertical-align: top; }
thead th { border-bottom: 2px solid var(--soft); }
tbody th, td:first-child, th:first-child { text-align: left; }
blockquote { margin: 1rem 0; padding: 0.1rem 1rem; border-left: 4px solid var(--line); color: var(--soft); }
.run { border-bottom: 1px solid var(--line); padding-bottom: 0.75rem; font-size: 0.875rem; }
.run dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(11rem, 1fr)); gap: 0.5rem 1.5rem;
  margin: 0; }
.run dt { color: var(--soft); } .run dd { margin: 0; overflow-wrap: anywhere; }
.run dl.parameters { margin-top: 0.75rem; padding-top: 0.5rem; border-top: 1px dashed var(--line); }
.run dl.parameters:empty { display: none; }
.verdict { margin: 0 0 0.75rem; padding: 0.5rem 0.75rem; max-width: none; border-left: 4px solid var(--bad);
  background: #fcf3f3; overflow-wrap: anywhere; }
.verdict.ok { border-color: var(--good); background: #f1f8f4; }
.ansi-red-fg, .ansi-red-intense-fg { color: var(--bad); }
.ansi-green-fg, .ansi-green-intense-fg { color: var(--good); }
.ansi-blue-fg, .ansi-cyan-fg, .ansi-blue-intense-fg { color: #155a9c; } .ansi-yellow-fg { color: #7a5b00; }
.ansi-bold { font-weight: 600; }
@page { margin: 16mm; }
@media print {
  body { max-width: none; padding: 0; font-size: 10.5pt; }
  h1, h2, h3, h4, .text_cell { break-after: avoid; }
  img, svg, tr, .output_png, .output_svg { break-inside: avoid; }
  table { font-size: 8.5pt; }
  th, td { padding: 0.2rem 0.3rem; }
  thead { display: table-header-group; }
  .output_area { overflow: visible; }
}
"""

VERDICTS = {
    "ok": "Every cell ran.",
    "failed": "This run failed.",
    "kernel_died": "The kernel of this run died.",
    "timeout": "This run took too long.",
    "incomplete": "This run stopped before its end.",
    "interrupted": "This run was interrupted.",
}


def render_report(
    notebook: NotebookNode,
    result: Mapping[str, Any],
    parameters: Mapping[str, Any],
    *,
    title: str,
    images: Path,
) -> str:
    """The HTML report of a run: its verdict and parameters, then text and outputs of the notebook, no code.

    `result` is the content of result.json, `title` the page's title where the notebook has no heading,
    `images` the folder from which the notebook's text counts the paths of its images. Scripts, frames and
    everything that a browser would fetch are taken out, and the page forbids the browser to fetch
    (Content-Security-Policy), so a report reads the same everywhere and tells nobody that it was opened.
    """
    heading = _heading(notebook) or title
    return PAGE.substitute(
        title=escape(heading),
        style=STYLE,
        status=escape(str(result.get("status", ""))),
        verdict=escape(VERDICTS.get(str(result.get("status")), "")),
        error=escape(str(result.get("error") or "")),
        facts=_pairs(_facts(result)),
        parameters=_pairs({name: '""' if value == "" else value for name, value in parameters.items()}),
        body=without_outside(_body(notebook, images)),
    )


def without_outside(html: str) -> str:
    """The same HTML without anything that a browser would run or fetch; links to click on are left alone."""
    from bs4 import BeautifulSoup

    soup = BeautifulSoup(html, "html.parser")
    for tag in soup(LIVE_TAGS):
        tag.decompose()
    for image in soup("img"):
        if _is_fetched("img", "src", str(image.get("src", ""))):
            image.replace_with(f"[image left out: {image.get('alt') or 'it is not part of this file'}]")
    for tag in soup(True):
        for name in [name for name in tag.attrs if _is_fetched(tag.name, name, str(tag.attrs[name]))]:
            del tag.attrs[name]
        if "style" in tag.attrs:
            tag.attrs["style"] = _without_addresses(tag.attrs["style"])
        if tag.name == "style" and tag.string:
            tag.string.replace_with(_without_addresses(tag.string))
        if tag.name == "a":
            tag.attrs["rel"] = "noreferrer noopener"
    return str(soup)


def _is_fetched(tag: str, attribute: str, value: str) -> bool:
    plain = attribute.lower().rsplit(":", 1)[-1]
    if plain.startswith("on"):
        return True
    fetches = plain in LOADING_ATTRIBUTES or (plain == "href" and tag != "a")
    inside = plain != "srcset" and value.strip().lower().startswith(("data:image/", "#"))
    return fetches and not inside


def _without_addresses(css: str) -> str:
    css = re.sub(r"@import[^;]*;?", "", css, flags=re.IGNORECASE)
    return re.sub(r"url\(\s*(?!['\"]?(?:data:|#))[^)]*\)", "none", css, flags=re.IGNORECASE)


def _body(notebook: NotebookNode, images: Path) -> str:
    from nbconvert.exporters import HTMLExporter
    from traitlets.config import Config

    config = Config({"NbConvertBase": {"display_data_priority": STATIC_FORMS}})
    exporter = HTMLExporter(
        config=config,
        template_name="basic",
        embed_images=True,
        exclude_anchor_links=True,
        exclude_input=True,
        exclude_input_prompt=True,
        exclude_output_prompt=True,
    )
    return exporter.from_notebook_node(_static(notebook), {"metadata": {"path": str(images)}})[0]


def _static(notebook: NotebookNode) -> NotebookNode:
    """A copy without papermill's error notes (the page says it better), with alt text on every figure."""
    copy = deepcopy(notebook)
    copy.metadata.pop("widgets", None)
    copy.cells = _until_failure([c for c in copy.cells if ERROR_NOTE_TAG not in c.metadata.get("tags", [])])
    above = ""
    for cell in copy.cells:
        if cell.cell_type == "markdown":
            above = _first_heading(cell.source) or above
        for output in cell.get("outputs", []):
            for form in ("image/png", "image/jpeg"):
                if form in output.get("data", {}):
                    output.metadata.setdefault(form, {}).setdefault("alt", f"Figure: {above}" if above else "Figure")
    return copy


def _until_failure(cells: list[NotebookNode]) -> list[NotebookNode]:
    """The cells up to the one that failed: what the text after it tells did not happen.

    An error about the input says all in its message; only others keep their traceback.
    """
    for i, cell in enumerate(cells):
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                if is_about_input(output.ename):
                    output.traceback = [output.evalue]
                return cells[: i + 1]
    return cells


def _heading(notebook: NotebookNode) -> str:
    found = (_first_heading(cell.source) for cell in notebook.cells if cell.cell_type == "markdown")
    return next((text for text in found if text), "")


def _first_heading(markdown: str) -> str:
    match = re.search(r"^#{1,6}\s+(.+?)\s*#*$", markdown, re.MULTILINE)
    return match[1] if match else ""


def _pairs(values: Mapping[str, Any]) -> str:
    return "".join(f"<div><dt>{escape(k)}</dt><dd>{escape(str(v))}</dd></div>" for k, v in values.items())


def _facts(result: Mapping[str, Any]) -> dict[str, Any]:
    times = {name: str(result.get(name, "")).replace("T", " ").split(".")[0] for name in ("started", "finished")}
    return {
        "notebook": result.get("notebook"),
        "started (UTC)": times["started"],
        "finished (UTC)": times["finished"],
        "seconds": result.get("seconds"),
    }
