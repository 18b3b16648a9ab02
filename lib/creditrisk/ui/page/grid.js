// Appended to the module of itables, whose own widget is `base`: rows that change while somebody reads them, and the
// choice of a row by click or key. Page, order and filter of the table stay when rows change.
// Each grid loads the module anew, and the last one to do so leaves its jQuery in the window.
const jQuery = window.$;

export default {
  render(context) {
    const { model, el } = context;
    const done = base.render(context);
    const table = () => el.querySelector("table.dataTable");
    const api = () => jQuery(table()).DataTable();
    const key = (row) => String(api().row(row).data()?.[0] ?? "");
    const rows = () => [...el.querySelectorAll("table.dataTable > tbody > tr")].filter((row) => key(row));

    const mark = () => {
      const chosen = model.get("chosen");
      const shown = rows();
      const entry = shown.find((row) => key(row) === chosen) ?? shown[0];
      for (const row of shown) {
        const is = chosen !== "" && key(row) === chosen;
        row.classList.toggle("cr-chosen", is);
        row.setAttribute("aria-selected", String(is));
        row.tabIndex = row === entry ? 0 : -1;
      }
    };
    const choose = (row) => {
      if (!model.get("choosable") || !row || !key(row)) return;
      model.set("chosen", key(row));
      model.save_changes();
      mark();
    };
    const step = (row, by) => {
      const shown = rows();
      const next = shown[shown.indexOf(row) + by];
      if (next) {
        next.tabIndex = 0;
        next.focus();
      }
    };
    const fill = () => {
      const held = key(document.activeElement?.closest?.("tr") ?? null);
      const inside = el.contains(document.activeElement) && held;
      api().clear().rows.add(JSON.parse(model.get("rows"))).draw(false);
      if (inside) rows().find((row) => key(row) === held)?.focus();
    };

    el.addEventListener("click", (event) => choose(event.target.closest("tbody > tr")));
    el.addEventListener("keydown", (event) => {
      const row = event.target.closest("tbody > tr");
      if (!row) return;
      if (event.key === "Enter" || event.key === " ") choose(row);
      else if (event.key === "ArrowDown") step(row, 1);
      else if (event.key === "ArrowUp") step(row, -1);
      else return;
      event.preventDefault();
    });
    // After a lost connection itables makes the table anew, without rows.
    const anew = () => {
      jQuery(table()).off("draw.dt", mark).on("draw.dt", mark);
      fill();
    };
    model.on("change:rows", fill);
    model.on("change:_dt_args", anew);
    model.on("change:chosen", mark);
    table().setAttribute("aria-label", model.get("label"));
    if (model.get("choosable")) table().classList.add("cr-choosable");
    anew();
    return done;
  },
};
