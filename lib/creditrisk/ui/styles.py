"""How the page looks: its colours, and one style sheet. Texts reach 4.5:1 on their ground, marks 3:1."""

from __future__ import annotations

INK = "#18222f"
SOFT = "#52606f"
LINE = "#dde3ea"
GROUND = "#f4f6f8"
ACCENT = "#1b5e8c"
GOOD = "#17646c"
BAD = "#a3322a"
WARN = "#7a4f00"
FIGURE = "#3d7ea6"
# From the worst rating to the best: apart in lightness and for every common kind of colour blindness.
SPECTRUM = ("#a8443a", "#bb7a1e", "#4f918e", "#1f6470")


def rating_colours(names: list[str] | tuple[str, ...]) -> dict[str, str]:
    """A colour for each rating, worst first."""
    most = max(len(names) - 1, 1)
    return {name: _between(i / most * (len(SPECTRUM) - 1)) for i, name in enumerate(names)}


def _between(place: float) -> str:
    low = min(int(place), len(SPECTRUM) - 2)
    share = place - low
    parts = [
        round(int(SPECTRUM[low][i : i + 2], 16) * (1 - share) + int(SPECTRUM[low + 1][i : i + 2], 16) * share)
        for i in (1, 3, 5)
    ]
    return "#" + "".join(f"{part:02x}" for part in parts)


FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'
_NAMES = {
    "ink": INK, "soft": SOFT, "line": LINE, "ground": GROUND, "accent": ACCENT, "good": GOOD, "bad": BAD, "warn": WARN,
    "figure": FIGURE, "font": FONT,
}  # fmt: skip

CSS = ".cr-page { " + " ".join(f"--cr-{name}: {value};" for name, value in _NAMES.items()) + " }"
CSS += """
.cr-page, .cr-page .widget-html-content, .cr-page input, .cr-page select, .cr-page button {
  font-family: var(--cr-font);
}
.cr-page {
  color: var(--cr-ink); font-size: 15px; line-height: 1.45; max-width: 1180px; margin: 0 auto; padding: 0 20px 48px;
  box-sizing: border-box; width: 100%; overflow: visible;
}
.cr-page * { box-sizing: border-box; }
.cr-page .widget-box, .cr-page .widget-html, .cr-page .widget-html-content, .cr-page .widget-tab-contents {
  overflow: visible; height: auto; margin: 0;
}
.cr-page .widget-html { width: 100%; }
.cr-page .widget-html-content {
  font-size: 15px; line-height: 1.45; color: var(--cr-ink); width: 100%; white-space: normal;
}
.cr-page h1, .cr-page h2, .cr-page h3, .cr-page p { margin: 0; color: inherit; }
.cr-page h2 { font-size: 17px; font-weight: 650; line-height: 1.3; }
.cr-page h3 { font-size: 13.5px; font-weight: 650; }
.cr-page .cr-soft { color: var(--cr-soft); }
.cr-page .cr-small { font-size: 13px; }
.cr-page .cr-num { font-variant-numeric: tabular-nums; }

/* Header */
.cr-page .cr-head {
  display: flex; flex-wrap: wrap; gap: 6px 28px; align-items: flex-end; justify-content: space-between;
  padding: 22px 0 14px;
}
.cr-page .cr-head h1 { font-size: 24px; font-weight: 700; letter-spacing: -.01em; line-height: 1.2; }
.cr-page .cr-facts { display: flex; flex-wrap: wrap; gap: 4px 24px; margin: 0; }
.cr-page .cr-facts div { display: flex; flex-direction: column; }
.cr-page dt, .cr-page dd { float: none; clear: none; width: auto; white-space: nowrap; padding: 0; }
.cr-page dl { width: auto; }
.cr-page .cr-facts dt { font-size: 12.5px; color: var(--cr-soft); font-weight: 400; }
.cr-page .cr-facts dd { margin: 0; font-size: 14.5px; font-weight: 600; font-variant-numeric: tabular-nums; }
.cr-page .cr-facts code { font-size: 13px; font-weight: 400; color: var(--cr-soft); background: none; padding: 0; }

/* Tabs */
.cr-page .jupyter-widget-tab, .cr-page .widget-tab { overflow: visible; margin: 0; }
.cr-page .jupyter-widget-tab > .lm-TabBar, .cr-page .widget-tab > .p-TabBar {
  border-bottom: 1px solid var(--cr-line); overflow: visible; min-height: 44px; flex: 0 0 auto;
}
.cr-page .lm-TabBar-content { align-items: stretch; border: 0; overflow: visible; }
.cr-page .jupyter-widget-tab > .lm-TabBar .lm-TabBar-tab {
  flex: 0 0 auto; min-width: 0; height: 44px; min-height: 44px; max-height: none; padding: 0 16px; line-height: 44px;
  border: 0; margin: 0 0 -1px; background: none; color: var(--cr-soft); font-size: 15px;
  border-bottom: 3px solid transparent;
  font-family: var(--cr-font); cursor: pointer;
}
.cr-page .jupyter-widget-tab > .lm-TabBar .lm-TabBar-tab::before { display: none; }
.cr-page .jupyter-widget-tab > .lm-TabBar .lm-TabBar-tab:hover { color: var(--cr-ink); background: none; }
.cr-page .jupyter-widget-tab > .lm-TabBar .lm-TabBar-tab.lm-mod-current {
  color: var(--cr-ink); font-weight: 650; border-bottom-color: var(--cr-accent); transform: none; background: none;
}
.cr-page .jupyter-widget-tab > .lm-TabBar .lm-TabBar-tabLabel { overflow: visible; line-height: 44px; }
.cr-page .jupyter-widget-tab > .lm-TabBar .lm-TabBar-tabIcon,
.cr-page .jupyter-widget-tab > .lm-TabBar .lm-TabBar-tabCloseIcon { display: none; }
.cr-page .jupyter-widget-tab > .widget-tab-contents {
  border: 0; background: none; padding: 18px 0 0; overflow: visible; color: var(--cr-ink);
}
/* Hidden tabs keep their width: a chart that is drawn without one fails in the browser. */
.cr-page .jupyter-widget-tab > .widget-tab-contents > .lm-Widget.lm-mod-hidden {
  display: block !important; visibility: hidden; position: absolute; left: 0; right: 0; height: 0; overflow: hidden;
}

/* Cards and layout */
.cr-page .cr-card {
  background: #fff; border: 1px solid var(--cr-line); border-radius: 10px; padding: 20px 22px 22px; min-width: 0;
  width: auto;
}
.cr-page .cr-score {
  display: grid; grid-template-columns: minmax(0, 7fr) minmax(0, 5fr); gap: 18px; align-items: start;
}
.cr-page .cr-side { position: sticky; top: 12px; }
.cr-page .cr-pair { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 18px; }
.cr-page .cr-stack { display: flex; flex-direction: column; gap: 18px; }
.cr-page .cr-bar {
  display: flex; flex-flow: row wrap; gap: 12px 16px; align-items: center; justify-content: space-between;
}
.cr-page .cr-bar > .widget-html { flex: 1 1 300px; width: auto; }

/* Fields */
.cr-page .cr-fields {
  display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 14px 20px; margin-top: 14px;
}
.cr-page .cr-field { min-width: 0; width: auto; }
.cr-page .cr-field .widget-text, .cr-page .cr-field .widget-dropdown, .cr-page .cr-bar .widget-dropdown {
  display: flex; flex-direction: column; align-items: stretch; height: auto; width: 100%; margin: 0;
}
.cr-page .cr-bar .widget-dropdown { width: 230px; flex: 0 1 auto; }
.cr-page .cr-bar .cr-wide { width: 400px; }
.cr-page .widget-label {
  width: auto; max-width: none; text-align: left; color: var(--cr-ink); font-size: 14px; font-weight: 600;
  line-height: 20px;
  height: 20px; padding: 0; margin: 0 0 4px; overflow: hidden; text-overflow: ellipsis; white-space: nowrap;
  font-family: var(--cr-font);
}
.cr-page .widget-text input[type="text"], .cr-page .widget-dropdown > select {
  height: 38px; min-height: 38px; width: 100%; margin: 0; padding: 0 10px; font-size: 15px; color: var(--cr-ink);
  background-color: #fff;
  border: 1px solid #7c8997; border-radius: 6px; font-variant-numeric: tabular-nums; box-shadow: none;
  line-height: 36px;
}
.cr-page .widget-dropdown > select { padding-right: 26px; flex: none; }
.cr-page .widget-text input[type="text"]:focus, .cr-page .widget-dropdown > select:focus {
  border-color: var(--cr-accent); outline: 2px solid var(--cr-accent); outline-offset: 0; box-shadow: none;
}
.cr-page .cr-hint { font-size: 12.5px; line-height: 1.4; color: var(--cr-soft); margin: 4px 0 0; }
.cr-page .cr-hint:empty { display: none; }
.cr-page .cr-error { font-size: 13px; line-height: 1.4; color: var(--cr-bad); font-weight: 600; margin: 4px 0 0; }
.cr-page .cr-invalid .widget-text input[type="text"], .cr-page .cr-invalid .widget-dropdown > select {
  border-color: var(--cr-bad); border-width: 2px; background-color: #fdf5f4;
}
.cr-page .jupyter-widget-Collapse, .cr-page .widget-accordion, .cr-page .lm-Widget.jupyter-widget-accordion {
  margin: 16px 0 0; overflow: visible;
}
.cr-page .jupyter-widget-Collapse-header {
  background: none; border: 0; border-top: 1px solid var(--cr-line); padding: 12px 2px; font-size: 14px;
  color: var(--cr-accent);
  font-weight: 600; font-family: inherit; cursor: pointer;
}
.cr-page .jupyter-widget-Collapse-contents { border: 0; padding: 0 0 6px; overflow: visible; background: none; }
.cr-page .jupyter-widget-Collapse-contents .cr-fields { margin-top: 2px; }

/* Buttons */
.cr-page .jupyter-button {
  height: 40px; line-height: 38px; width: auto; min-width: 0; padding: 0 18px; border-radius: 6px; font-size: 15px;
  margin: 0;
  font-weight: 600; background: #fff; color: var(--cr-accent); border: 1px solid var(--cr-accent); box-shadow: none;
  overflow: visible;
}
.cr-page .jupyter-button:hover:enabled { background: #eef4f8; box-shadow: none; }
.cr-page .jupyter-button:focus-visible, .cr-page .lm-TabBar-tab:focus-visible,
.cr-page .jupyter-widget-Collapse-header:focus-visible { outline: 3px solid var(--cr-accent); outline-offset: 2px; }
.cr-page .jupyter-button.mod-primary { background: var(--cr-accent); color: #fff; }
.cr-page .jupyter-button.mod-primary:hover:enabled { background: #154b70; }
.cr-page .jupyter-button:disabled { background: #eceff2; color: #5c6875; border-color: #c9d1d9; opacity: 1; }
.cr-page .cr-actions { display: flex; flex-flow: row wrap; gap: 12px; align-items: flex-end; margin-top: 16px; }
.cr-page .cr-actions .cr-field { flex: 1 0 100%; }
.cr-page .cr-actions .cr-save { flex: 1 0 auto; }

/* The result */
.cr-page .cr-figures { display: flex; flex-wrap: wrap; gap: 4px 34px; margin: 12px 0 4px; }
.cr-page .cr-figures div { display: flex; flex-direction: column; }
.cr-page .cr-figures dt, .cr-page .cr-label { font-size: 13px; color: var(--cr-soft); font-weight: 400; }
.cr-page .cr-figures dd {
  margin: 0; font-size: 30px; line-height: 1.2; font-weight: 680; font-variant-numeric: tabular-nums;
}
.cr-page .cr-figures dd small { font-size: 15px; font-weight: 600; margin-left: 6px; }
.cr-page .cr-scale { position: relative; padding: 24px 0 42px; margin-top: 4px; }
.cr-page .cr-bands { display: flex; gap: 2px; }
.cr-page .cr-band { min-width: 0; }
.cr-page .cr-band i { display: block; height: 12px; }
.cr-page .cr-band:first-child i { border-radius: 6px 0 0 6px; }
.cr-page .cr-band:last-child i { border-radius: 0 6px 6px 0; }
.cr-page .cr-band span {
  display: block; font-size: 12.5px; color: var(--cr-soft); padding-top: 3px; overflow: hidden;
  text-overflow: ellipsis;
  white-space: nowrap;
}
.cr-page .cr-band.cr-here span { color: var(--cr-ink); font-weight: 700; }
.cr-page .cr-mark-text {
  position: absolute; top: 0; transform: translateX(-50%); line-height: 1; color: var(--cr-ink); font-size: 14px;
  font-variant-numeric: tabular-nums;
}
.cr-page .cr-mark {
  position: absolute; top: 16px; transform: translateX(-50%); border: 6px solid transparent;
  border-top-color: var(--cr-ink); border-bottom: 0;
}
.cr-page .cr-cut { position: absolute; top: 22px; height: 42px; border-left: 2px dashed var(--cr-ink); }
.cr-page .cr-cut-text { position: absolute; top: 65px; font-size: 12.5px; color: var(--cr-ink); white-space: nowrap; }
.cr-page .cr-verdict {
  display: flex; gap: 10px; align-items: flex-start; padding: 10px 14px; border-radius: 8px; font-size: 14.5px;
  border: 1px solid; margin-top: 4px;
}
.cr-page .cr-verdict b { display: block; }
.cr-page .cr-icon { flex: none; width: 22px; height: 22px; border-radius: 50%; color: #fff; display: grid;
  place-items: center;
  font-size: 13px; font-weight: 700; line-height: 1; margin-top: 1px; }
.cr-page .cr-yes { background: #eef6f6; border-color: #a9cccd; color: var(--cr-ink); }
.cr-page .cr-yes .cr-icon { background: var(--cr-good); }
.cr-page .cr-no { background: #fcf1f0; border-color: #dfb3ae; color: var(--cr-ink); }
.cr-page .cr-no .cr-icon { background: var(--cr-bad); }
.cr-page .cr-unsure { background: #fbf5e8; border-color: #dcc797; color: var(--cr-ink); }
.cr-page .cr-unsure .cr-icon { background: var(--cr-warn); }
.cr-page .cr-section { margin-top: 18px; }
.cr-page .cr-reasons { list-style: none; margin: 8px 0 0; padding: 0; display: grid; gap: 10px; }
.cr-page .cr-reasons li { margin: 0; font-size: 14.5px; }
.cr-page .cr-reasons p { display: flex; justify-content: space-between; gap: 12px; }
.cr-page .cr-reasons p span:last-child { white-space: nowrap; font-variant-numeric: tabular-nums; font-weight: 600; }
.cr-page .cr-track { height: 6px; background: #e9edf1; border-radius: 3px; margin: 3px 0 1px; overflow: hidden; }
.cr-page .cr-track i { display: block; height: 6px; background: var(--cr-figure); border-radius: 3px; }
.cr-page .cr-notes { margin: 8px 0 0; padding: 0; list-style: none; display: grid; gap: 6px; font-size: 14px; }
.cr-page .cr-notes li { display: flex; gap: 8px; margin: 0; }
.cr-page .cr-notes li::before { content: "!"; flex: none; width: 18px; height: 18px; border-radius: 50%;
  background: var(--cr-warn);
  color: #fff; font-size: 12px; font-weight: 700; display: grid; place-items: center; margin-top: 1px; }
.cr-page .cr-said { margin-top: 12px; font-size: 14px; overflow-wrap: anywhere; }
.cr-page .cr-said:empty { display: none; }
.cr-page .cr-said code, .cr-page .cr-empty code {
  font-size: 13px; background: #edf1f5; color: var(--cr-ink); padding: 1px 5px; border-radius: 4px;
}
.cr-page .cr-empty code { white-space: nowrap; }
.cr-page .cr-glance { display: none; }

/* Empty states and problems */
.cr-page .cr-empty { border: 1px dashed #aab5c0; border-radius: 10px; padding: 26px 24px; background: #fff; }
.cr-page .cr-empty p { margin-top: 6px; max-width: 68ch; color: var(--cr-soft); overflow-wrap: anywhere; }
.cr-page .cr-quiet { display: none !important; }

/* Tables */
.cr-page .cr-tablebox {
  overflow: auto; margin-top: 12px; border: 1px solid var(--cr-line); border-radius: 8px;
}
.cr-page .cr-scroll { max-height: 480px; }
.cr-page .cr-scroll table.cr-table th, .cr-page .cr-scroll table.cr-table td { padding-left: 7px; padding-right: 7px; }
.cr-page .cr-tablebox:focus-visible { outline: 3px solid var(--cr-accent); outline-offset: 2px; }
.cr-page table.cr-table {
  border-collapse: collapse; width: 100%; font-size: 14px; margin: 0; border: 0; table-layout: auto;
}
.cr-page table.cr-table th {
  position: sticky; top: 0; background: #f1f4f7; text-align: left; font-weight: 600; color: var(--cr-soft);
  font-size: 13px;
  padding: 8px 12px; white-space: nowrap; border: 0; border-bottom: 1px solid var(--cr-line); z-index: 1;
}
.cr-page table.cr-table td {
  padding: 7px 12px; border: 0; border-bottom: 1px solid #edf0f3; white-space: nowrap; text-align: left;
  background: #fff;
  color: var(--cr-ink); vertical-align: middle;
}
.cr-page table.cr-table tbody tr:last-child td { border-bottom: 0; }
.cr-page table.cr-table .cr-right { text-align: right; font-variant-numeric: tabular-nums; }
.cr-page table.cr-table .cr-soft { color: var(--cr-soft); font-weight: 400; }
.cr-page .cr-space { margin-top: 12px; }
.cr-page table.cr-table code { font-size: 13px; background: none; padding: 0; color: var(--cr-soft); }
.cr-page .cr-id { user-select: all; }
.cr-page table.cr-table code.cr-id { font-size: 12px; color: var(--cr-ink); }
.cr-page .cr-verdict .cr-said { margin: 0; }
.cr-page .cr-dot { display: inline-block; width: 10px; height: 10px; border-radius: 3px; margin-right: 7px; }
.cr-page table.cr-table .cr-flag, .cr-page .cr-flag { color: var(--cr-bad); font-weight: 650; }
.cr-page table.cr-table tr:has(+ .cr-why) td { border-bottom: 0; padding-bottom: 0; }
.cr-page table.cr-table .cr-why td { white-space: normal; padding-top: 0; }
.cr-page table.cr-table .cr-ok, .cr-page .cr-ok { color: var(--cr-good); }
.cr-page table.cr-table .cr-lack, .cr-page .cr-lack { color: var(--cr-warn); font-weight: 600; }
.cr-page .cr-z {
  position: relative; display: inline-block; width: 120px; height: 14px; vertical-align: -2px; background: #eef1f4;
}
.cr-page .cr-z i { position: absolute; top: 3px; height: 8px; background: var(--cr-figure); }
.cr-page .cr-z.cr-over i { background: var(--cr-bad); }
.cr-page .cr-z::before, .cr-page .cr-z::after {
  content: ""; position: absolute; top: 0; bottom: 0; border-left: 1px dashed var(--cr-soft);
}
.cr-page .cr-z::before { left: 25%; }
.cr-page .cr-z::after { left: 75%; }
.cr-page .cr-z u { position: absolute; left: 50%; top: 0; bottom: 0; border-left: 1px solid var(--cr-soft); }

/* Charts */
.cr-page .bqplot { margin: 6px 0 0; width: 100%; }
.cr-page .bqplot .axis text { fill: var(--cr-soft); font-size: 12.5px; }
.cr-page .bqplot .axislabel { fill: var(--cr-soft); font-size: 12.5px; font-weight: 400; }
.cr-page .bqplot .axis path.domain { stroke: none; }
.cr-page .bqplot .axis line { stroke: #d5dce3; }
.cr-page .bqplot .bar_label { fill: var(--cr-ink); font-size: 13px; font-weight: 600; }

@media (max-width: 860px) {
  .cr-page .cr-score, .cr-page .cr-pair { grid-template-columns: minmax(0, 1fr); }
  .cr-page .cr-side { position: static; }
  /* On a narrow page the result lies below the form: its figures stay in sight while one types. */
  .cr-page .cr-glance {
    display: flex; gap: 4px 16px; flex-wrap: wrap; align-items: baseline; background: var(--cr-ink); color: #fff;
    padding: 10px 20px;
    font-size: 14.5px; font-variant-numeric: tabular-nums; margin: 0 -14px;
  }
  .cr-page .cr-sticky { position: sticky; bottom: 0; z-index: 5; }
}
@media (max-width: 560px) {
  .cr-page { padding: 0 14px 40px; }
  .cr-page .cr-fields { grid-template-columns: minmax(0, 1fr); gap: 12px; }
  .cr-page .cr-card { padding: 16px 16px 18px; }
  .cr-page .jupyter-widget-tab > .lm-TabBar .lm-TabBar-tab { padding: 0 11px; }
  .cr-page .cr-bar .widget-dropdown, .cr-page .cr-bar .cr-wide { width: 100%; }
  .cr-page .cr-head h1 { font-size: 21px; }
  .cr-page .cr-facts { gap: 4px 20px; }
  .cr-page table.cr-table .cr-roomy { display: none; }
  .cr-page table.cr-table th, .cr-page table.cr-table td { padding-left: 9px; padding-right: 9px; }
  .cr-page table.cr-table { font-size: 13.5px; }
}
@media (prefers-reduced-motion: no-preference) {
  .cr-page .cr-track i { transition: width .15s ease-out; }
}
"""
