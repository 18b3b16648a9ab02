// HTML of the kernel in which buttons with `data-pick` are picked by click or key. Arrow keys go from button to button
// of a table, one of which is a tab stop. Focus and scroll place stay when the HTML changes.
export default {
  render({ model, el }) {
    const box = () => el.querySelector(".cr-tablebox");
    const buttons = () => [...el.querySelectorAll("[data-pick]")];
    let held = null; // where somebody has scrolled to; else the box shows its end when asked to

    const stop = (chosen) => {
      if (!model.get("roving")) return;
      for (const button of buttons()) button.tabIndex = button === chosen ? 0 : -1;
    };
    const mark = () => {
      const current = model.get("current");
      for (const button of buttons()) {
        if (current.includes(button.dataset.pick)) button.setAttribute("aria-current", "true");
        else button.removeAttribute("aria-current");
      }
      const all = buttons();
      const focused = all.find((button) => button === document.activeElement);
      stop(focused ?? all.find((button) => button.dataset.pick === current[0]) ?? all[0]);
    };
    const place = () => {
      if (box()) box().scrollLeft = held ?? (model.get("at_end") ? box().scrollWidth : 0);
    };
    const draw = () => {
      const focused = el.contains(document.activeElement) ? document.activeElement.dataset?.pick : undefined;
      el.innerHTML = model.get("html");
      box()?.addEventListener("scroll", () => {
        const { scrollLeft, scrollWidth, clientWidth } = box();
        held = model.get("at_end") && scrollLeft + clientWidth >= scrollWidth - 2 ? null : scrollLeft;
      });
      place();
      if (focused !== undefined) buttons().find((button) => button.dataset.pick === focused)?.focus();
      mark();
    };
    const neighbour = (button, key) => {
      const cell = button.closest("td, th");
      const row = cell.parentElement;
      const table = cell.closest("table");
      const across = { ArrowLeft: -1, ArrowRight: 1 }[key];
      const down = { ArrowUp: -1, ArrowDown: 1 }[key];
      const within = [...row.querySelectorAll("[data-pick]")];
      if (key === "Home") return within[0];
      if (key === "End") return within.at(-1);
      if (across) return within[within.indexOf(button) + across];
      for (let at = row.rowIndex + down; at >= 0 && at < table.rows.length; at += down) {
        const found = table.rows[at].cells[cell.cellIndex]?.querySelector("[data-pick]");
        if (found) return found;
      }
      return undefined;
    };

    el.classList.add("cr-picks");
    el.addEventListener("click", (event) => {
      const button = event.target.closest("[data-pick]");
      if (button) model.send({ pick: button.dataset.pick });
    });
    el.addEventListener("focusin", (event) => {
      if (event.target.matches("[data-pick]")) stop(event.target);
    });
    el.addEventListener("keydown", (event) => {
      if (!/^(Arrow|Home$|End$)/.test(event.key) || !event.target.matches("td [data-pick], th [data-pick]")) return;
      event.preventDefault();
      neighbour(event.target, event.key)?.focus();
    });
    const seen = new ResizeObserver(place);
    seen.observe(el);
    model.on("change:html", draw);
    model.on("change:current", mark);
    draw();
    return () => {
      seen.disconnect();
      model.off("change:html", draw);
      model.off("change:current", mark);
    };
  },
};
