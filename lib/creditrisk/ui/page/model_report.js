// A report over the page: a modal dialog with the document in a sandboxed frame, without scripts.
export default {
  render({ model, el }) {
    const dialog = document.createElement("dialog");
    const head = document.createElement("header");
    const title = document.createElement("h2");
    const save = document.createElement("button");
    const close = document.createElement("button");
    const frame = document.createElement("iframe");
    dialog.className = "cr-report";
    title.id = `cr-report-${Math.random().toString(36).slice(2)}`;
    dialog.setAttribute("aria-labelledby", title.id);
    save.type = close.type = "button";
    save.className = "jupyter-button";
    close.className = "jupyter-button mod-primary";
    save.textContent = "↓ Download";
    close.textContent = "Close";
    frame.setAttribute("sandbox", "");
    head.append(title, save, close);
    dialog.append(head, frame);
    el.classList.add("cr-report-box");
    el.append(dialog);

    function look() {
      if (!model.get("opened")) {
        if (dialog.open) dialog.close();
        frame.removeAttribute("srcdoc");
        return;
      }
      title.textContent = model.get("title");
      frame.title = model.get("title");
      // A link within the report is to lead within the report, not to the page around it.
      frame.srcdoc = model.get("html").replace(/<head>/i, '<head><base href="about:srcdoc">');
      if (!dialog.open) dialog.showModal();
      close.focus();
    }

    function hand() {
      const url = URL.createObjectURL(new Blob([model.get("html")], { type: "text/html" }));
      const link = document.createElement("a");
      link.href = url;
      link.download = model.get("filename");
      link.hidden = true;
      document.body.append(link);
      link.click();
      link.remove();
      setTimeout(() => URL.revokeObjectURL(url), 60000);
    }

    save.addEventListener("click", hand);
    close.addEventListener("click", () => dialog.close());
    dialog.addEventListener("click", (event) => {
      if (event.target === dialog) dialog.close(); // beside the panel
    });
    dialog.addEventListener("close", () => {
      if (!model.get("opened")) return;
      model.set("opened", false);
      model.save_changes();
    });
    model.on("change:opened", look);
    look();
    return () => {
      model.off("change:opened", look);
      if (dialog.open) dialog.close();
    };
  },
};
