"""How the bench looks: what it adds to the page's style sheet. It measures its own width, not the window's."""

from __future__ import annotations

from creditrisk.ui.styles import CSS as PAGE_CSS

CSS = (
    PAGE_CSS
    + """
.cr-bench.cr-page {
  container: bench / inline-size; max-width: 1320px; padding: 0 14px 18px; background: var(--cr-ground);
  border: 1px solid var(--cr-line); border-radius: 10px; font-size: 14px;
  color-scheme: light;
}
.cr-bench .widget-html-content { font-size: 14px; }
.cr-bench .cr-head { padding: 14px 4px 12px; }
.cr-bench .cr-head h2 { font-size: 20px; }
.cr-bench .cr-facts { gap: 2px 22px; }
.cr-bench .cr-facts code { font-size: 12.5px; }
.cr-bench .cr-card { padding: 14px 16px 16px; border-radius: 8px; }
.cr-bench h3 { font-size: 14px; margin: 0; }
.cr-bench .cr-desk { display: grid; grid-template-columns: minmax(0, 1fr); gap: 14px; align-items: start; }
.cr-bench .cr-side-by-side, .cr-bench .cr-main { display: flex; flex-direction: column; gap: 14px; min-width: 0; }
.cr-bench .cr-main > .cr-card { display: flex; flex-direction: column; gap: 12px; }
@container bench (min-width: 980px) {
  .cr-bench .cr-desk { grid-template-columns: 350px minmax(0, 1fr); }
}

/* Rows that are chosen by a click anywhere on them: the button's own area covers the row. */
.cr-bench .cr-rows { display: flex; flex-direction: column; }
.cr-bench .cr-row { position: relative; display: grid; min-width: 0; border-bottom: 1px solid #edf0f3; margin: 0; }
.cr-bench .cr-rows > .cr-row:last-child { border-bottom: 0; }
.cr-bench .cr-row > .jupyter-button {
  position: static; height: auto; line-height: 1.35; border: 0; background: none; padding: 0; color: var(--cr-ink);
  text-align: left; font-weight: 400; font-size: 14px; white-space: normal; overflow: visible; width: auto;
  font-variant-numeric: tabular-nums; overflow-wrap: anywhere;
}
.cr-bench .cr-row > .jupyter-button:hover:enabled { background: none; }
.cr-bench .cr-row > .jupyter-button::after {
  content: ""; position: absolute; inset: 0; z-index: 1; cursor: pointer;
}
.cr-bench .cr-row > .jupyter-button:focus-visible { outline: none; }
.cr-bench .cr-row > .jupyter-button:focus-visible::after { outline: 3px solid var(--cr-accent); outline-offset: -3px; }
.cr-bench .cr-row > .jupyter-button:disabled { color: var(--cr-ink); background: none; }
.cr-bench .cr-row > .jupyter-button:disabled::after { display: none; }
.cr-bench .cr-row:hover { background: #f5f8fa; }
.cr-bench .cr-row.cr-here { background: #eaf1f7; box-shadow: inset 3px 0 0 var(--cr-accent); }
.cr-bench .cr-row.cr-here > .jupyter-button { font-weight: 700; }
.cr-bench .cr-row.cr-here::before { content: "▸"; position: absolute; left: 6px; top: 6px; color: var(--cr-accent); }
.cr-bench .cr-bin.cr-here::before { top: calc(50% - .6em); }
.cr-bench .cr-row-head { background: none; color: var(--cr-soft); font-size: 12.5px; line-height: 1.35; }
.cr-bench .cr-row-head:hover { background: none; }

/* The table of variables */
.cr-bench .cr-var { grid-template-columns: minmax(0, 1fr) 126px; gap: 0 8px; padding: 6px 8px 6px 20px; }
.cr-bench .cr-var { align-items: start; }
.cr-bench .cr-var > :nth-child(2) { grid-row: 1 / span 2; grid-column: 2; }
.cr-bench .cr-row-head { grid-template-columns: minmax(0, 1fr) 126px; gap: 0 8px; padding: 4px 8px 6px 20px; }
.cr-bench .cr-figs {
  display: grid; grid-template-columns: minmax(0, 9fr) minmax(0, 6fr); gap: 1px 8px; text-align: right;
  font-size: 13.5px;
  font-variant-numeric: tabular-nums;
}
.cr-bench .cr-row-head .cr-figs { font-size: 12.5px; }
.cr-bench .cr-figs i, .cr-bench .cr-marks i { font-style: normal; }
.cr-bench .cr-tags { display: flex; flex-wrap: wrap; gap: 0 8px; font-size: 12.5px; line-height: 1.4; }
.cr-bench .cr-flag { color: var(--cr-bad); font-weight: 400; }
.cr-bench .cr-lack { color: var(--cr-warn); font-weight: 400; }
.cr-bench .cr-decided { color: var(--cr-accent); font-weight: 650; }
.cr-bench .cr-unseen {
  position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap;
}
.cr-bench .cr-pager { display: flex; gap: 8px; align-items: center; margin-top: 8px; }
.cr-bench .cr-pager .widget-html { flex: 1; text-align: center; }
@container bench (max-width: 979px) {
  .cr-bench .cr-side-by-side { display: contents; }
  .cr-bench .cr-main { order: 2; }
  .cr-bench .cr-save-card { order: 3; }
  .cr-bench .cr-var, .cr-bench .cr-row-head:not(.cr-bin-head) {
    grid-template-columns: minmax(0, 5fr) minmax(0, 6fr) minmax(0, 7fr); align-items: baseline;
    padding: 5px 8px 5px 20px;
  }
  .cr-bench .cr-var > :nth-child(2) { grid-row: 1; grid-column: 3; }
  .cr-bench .cr-row-head:not(.cr-bin-head) > :nth-child(2) { grid-column: 3; }
  .cr-bench .cr-figs { grid-template-columns: repeat(4, 1fr); }
}

/* The table of bins */
.cr-bench .cr-bin {
  grid-template-columns: minmax(0, 24fr) minmax(0, 76fr); gap: 0 6px; padding: 4px 8px 4px 20px; align-items: center;
}
.cr-bench .cr-row-head.cr-bin-head {
  grid-template-columns: minmax(0, 24fr) minmax(0, 76fr); gap: 0 6px; padding: 2px 8px 4px 20px; align-items: end;
}
.cr-bench .cr-bin-head > :first-child { grid-row: 1 / span 2; }
.cr-bench .cr-cells {
  display: grid; grid-template-columns: 11fr 15fr 11fr 15fr 12fr 28fr; gap: 0 6px; align-items: center;
  font-variant-numeric: tabular-nums; font-size: 13.5px; line-height: 1.3;
}
.cr-bench .cr-over { grid-template-columns: 26fr 26fr 40fr; }
.cr-bench .cr-over span { text-align: center; border-bottom: 1px solid var(--cr-line); margin-left: 14px; }
.cr-bench .cr-row-head .cr-cells { font-size: 12.5px; align-items: end; }
.cr-bench .cr-cells .cr-right { text-align: right; min-width: 0; }
.cr-bench .cr-cells small { display: block; font-size: 12px; color: var(--cr-soft); white-space: nowrap; }
.cr-bench .cr-cells .cr-marks { padding-left: 12px; font-size: 12.5px; }
.cr-bench .cr-marks i { display: block; }
.cr-bench .cr-marks .cr-soft { color: var(--cr-soft); }

/* The chosen variable */
.cr-bench .cr-top {
  display: flex; flex-flow: row wrap; gap: 10px 14px; align-items: flex-end; justify-content: space-between;
}
.cr-bench .cr-top .widget-dropdown { width: 290px; }
.cr-bench .cr-buttons { display: flex; flex-flow: row wrap; gap: 8px; align-items: flex-end; }
.cr-bench .jupyter-button { height: 34px; line-height: 32px; padding: 0 13px; font-size: 14px; }
.cr-bench .cr-verdict { margin: 0; font-size: 14.5px; padding: 9px 13px; min-height: 44px; align-items: flex-start; }
.cr-bench .cr-verdict ul { margin: 4px 0 0; padding-left: 18px; }
.cr-bench .cr-legend {
  display: flex; flex-wrap: wrap; gap: 2px 18px; font-size: 12.5px; color: var(--cr-soft); align-items: center;
}
.cr-bench .cr-legend span { display: inline-flex; gap: 6px; align-items: center; }
.cr-bench .cr-legend b { color: var(--cr-ink); }
.cr-bench .bqplot { margin: 0; }
.cr-bench .bqplot .zeroLine { stroke: #c3ccd5; }
.cr-bench .bqplot .axis .tick line { stroke: var(--cr-line) !important; } /* new ticks come without their style */

/* Fields */
.cr-bench .cr-buttons > .widget-html { width: auto; }
.cr-bench .cr-buttons.cr-merge { align-items: center; min-height: 34px; }
.cr-bench .cr-merge .widget-html { margin-right: 8px; }
.cr-bench .cr-edits { display: flex; flex-direction: column; gap: 12px; }
.cr-bench .cr-choice .widget-dropdown, .cr-bench .cr-field > .widget-dropdown { width: 200px; }
.cr-bench .cr-edit { display: flex; flex-flow: row wrap; gap: 12px 18px; align-items: flex-start; }
.cr-bench .cr-field { width: auto; flex: 0 0 auto; }
.cr-bench .cr-choice { width: 240px; }
.cr-bench .cr-field.cr-wide { flex: 1 1 320px; }
.cr-bench .cr-ask { display: flex; flex-flow: row nowrap; gap: 6px; align-items: flex-end; }
.cr-bench .cr-ask > :first-child { flex: 1 1 auto; }
.cr-bench .widget-text, .cr-bench .widget-dropdown, .cr-bench .widget-select-multiple {
  display: flex; flex-direction: column; align-items: stretch; height: auto; margin: 0;
}
.cr-bench .cr-number { width: 190px; }
.cr-bench .cr-number .widget-text { min-width: 0; }
.cr-bench .cr-ask > .jupyter-button { flex: 0 0 auto; }
.cr-bench .widget-label { font-size: 13px; height: 18px; line-height: 18px; margin: 0 0 3px; }
.cr-bench .widget-text input[type="text"], .cr-bench .widget-dropdown > select {
  height: 34px; min-height: 34px; font-size: 14px; line-height: 32px; padding: 0 9px;
}
.cr-bench .widget-dropdown > select { padding-right: 24px; }
.cr-bench .widget-text input::placeholder { color: #667380; opacity: 1; }
.cr-bench .widget-select-multiple > select {
  width: 260px; font-size: 14px; border: 1px solid #7c8997; border-radius: 6px; padding: 4px; color: var(--cr-ink);
  background: #fff; height: 96px; flex: 0 0 auto;
}
.cr-bench .widget-select-multiple > select:focus { outline: 2px solid var(--cr-accent); }
.cr-bench .cr-line { border-top: 1px solid var(--cr-line); padding-top: 12px; }
.cr-bench .cr-changes { margin: 6px 0 0; padding-left: 18px; font-size: 13.5px; }
.cr-bench .cr-changes li { margin: 0 0 6px; overflow-wrap: anywhere; }
.cr-bench .cr-said { margin: 0; }
.cr-bench .cr-save-card { display: flex; flex-direction: column; gap: 10px; }
.cr-bench .cr-save-card .cr-field, .cr-bench .cr-save-card .widget-text { width: 100%; }
"""
)
