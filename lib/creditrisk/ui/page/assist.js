// What ipywidgets cannot say of its fields to a screen reader: which is wrong, what is written below it, what it is
// called. Keys reach what is folded away. And one region that speaks the result once somebody pauses, instead of a panel that speaks at every key.
export default {
  render({ model, el }) {
    const region = document.createElement("div");
    region.setAttribute("role", "status");
    region.className = "cr-unseen";
    el.append(region);
    let timer;

    function put(input, name, value) {
      if (value) input.setAttribute(name, value);
      else input.removeAttribute(name);
    }

    function mark() {
      let all = true;
      for (const [box, said] of Object.entries(model.get("fields"))) {
        const input = document.querySelector(`.cr-page .${box}`)?.querySelector("input, select, [role=slider]");
        if (!input) {
          all = false;
          continue;
        }
        put(input, "aria-invalid", said.wrong ? "true" : "");
        put(input, "aria-describedby", said.below);
        put(input, "aria-required", said.needed ? "true" : "");
        put(input, "aria-label", said.label);
        put(input, "inputmode", said.keyboard);
        if (input.tagName === "INPUT") input.setAttribute("autocomplete", "off");
      }
      return reach() && all;
    }

    function tell(head) {
      const open = head.parentElement.classList.contains("jupyter-widget-Collapse-open");
      head.setAttribute("aria-expanded", String(open));
    }

    function reach() {
      const heads = [...document.querySelectorAll(".cr-page .cr-fold .jupyter-widget-Collapse-header")];
      for (const head of heads) {
        if (head.getAttribute("role") === "button") continue;
        head.setAttribute("role", "button");
        head.tabIndex = 0;
        head.addEventListener("keydown", (event) => {
          if (event.key !== "Enter" && event.key !== " ") return;
          event.preventDefault();
          head.click();
        });
        new MutationObserver(() => tell(head)).observe(head.parentElement, { attributeFilter: ["class"] });
        tell(head);
      }
      return heads.length === model.get("folds");
    }

    const watch = new MutationObserver(() => mark() && watch.disconnect()); // fields may be drawn after this
    if (!mark()) watch.observe(document.body, { childList: true, subtree: true });

    function speak() {
      clearTimeout(timer);
      timer = setTimeout(() => (region.textContent = model.get("spoken")), 900);
    }

    model.on("change:fields", mark);
    model.on("change:spoken", speak);
    return () => {
      watch.disconnect();
      clearTimeout(timer);
      model.off("change:fields", mark);
      model.off("change:spoken", speak);
    };
  },
};
