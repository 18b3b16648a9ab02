// A button that asks the kernel for a file and hands it to the browser: no server has to hold it, and none serves it.
export default {
  render({ model, el }) {
    const button = document.createElement("button");
    const said = document.createElement("span");
    const mine = {};
    let asked = 0;
    button.type = "button";
    button.className = "jupyter-button cr-download";
    said.className = "cr-download-said";
    said.setAttribute("role", "status");
    el.classList.add("cr-download-box");
    el.append(button, said);

    function show() {
      button.textContent = `↓ ${model.get("label")}`;
      button.disabled = model.get("disabled") || mine.waiting !== undefined;
      button.title = model.get("filename");
    }

    function hand(buffer) {
      const bytes = buffer.buffer ? buffer : new Uint8Array(buffer);
      const url = URL.createObjectURL(new Blob([bytes], { type: model.get("media_type") }));
      const link = document.createElement("a");
      link.href = url;
      link.download = model.get("filename");
      link.hidden = true;
      document.body.append(link);
      link.click();
      link.remove();
      setTimeout(() => URL.revokeObjectURL(url), 60000);
    }

    function answered(message, buffers) {
      if (message.asked !== mine.waiting) return; // another view of this button asked
      mine.waiting = undefined;
      said.textContent = message.problem || "";
      said.classList.toggle("cr-error", Boolean(message.problem));
      if (!message.problem) hand(buffers[0]);
      show();
    }

    button.addEventListener("click", () => {
      mine.waiting = `${Math.random()}-${(asked += 1)}`;
      said.classList.remove("cr-error");
      said.textContent = "Preparing the file…";
      show();
      model.send({ kind: "make", asked: mine.waiting });
    });
    const traits = ["change:label", "change:disabled", "change:filename"];
    traits.forEach((name) => model.on(name, show));
    model.on("msg:custom", answered);
    show();
    return () => {
      traits.forEach((name) => model.off(name, show));
      model.off("msg:custom", answered);
    };
  },
};
