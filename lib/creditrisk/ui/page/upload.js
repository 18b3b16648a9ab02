// Sends a file to the kernel in parts, each after the one before has arrived: a server refuses long messages.
const PART = 1024 * 1024;

export default {
  render({ model, el }) {
    const area = document.createElement("div");
    const button = document.createElement("button");
    const text = document.createElement("p");
    const input = document.createElement("input");
    let sending; // { id, file, at }
    area.className = "cr-drop";
    button.type = "button";
    button.className = "jupyter-button mod-primary";
    button.textContent = "Choose a file";
    text.innerHTML = "<b>or drop one here</b>";
    input.type = "file";
    input.hidden = true;
    input.accept = model.get("accept");
    input.setAttribute("aria-label", "File of applications");
    const limits = document.createElement("p");
    limits.className = "cr-soft cr-small";
    limits.textContent = model.get("limits");
    area.append(button, text, input, limits);
    el.classList.add("cr-upload");
    el.append(area);

    function take(files) {
      if (!files.length) return;
      const id = `${Date.now()}-${Math.random()}`;
      sending = { id, file: files[0], at: 0 };
      model.send({ kind: "begin", id, name: files[0].name, size: files[0].size, files: files.length });
    }

    async function next() {
      const mine = sending;
      let part;
      try {
        part = await mine.file.slice(mine.at, mine.at + PART).arrayBuffer();
      } catch (problem) {
        if (sending === mine) model.send({ kind: "failed", id: mine.id });
        return;
      }
      if (sending !== mine) return;
      mine.at += part.byteLength;
      model.send({ kind: "part", id: mine.id }, undefined, [part]);
    }

    function answered(message) {
      if (!sending || message.id !== sending.id) return;
      if (message.kind === "next") next();
      else sending = undefined;
    }

    function over(event) {
      event.preventDefault();
      area.classList.add("cr-over");
    }

    function left(event) {
      if (!area.contains(event.relatedTarget)) area.classList.remove("cr-over");
    }

    function dropped(event) {
      event.preventDefault();
      area.classList.remove("cr-over");
      take(event.dataTransfer.files);
    }

    button.addEventListener("click", () => input.click());
    input.addEventListener("change", () => {
      take([...input.files]);
      input.value = ""; // so that the same file can be chosen again once it is corrected
    });
    area.addEventListener("dragover", over);
    area.addEventListener("dragleave", left);
    area.addEventListener("drop", dropped);
    model.on("msg:custom", answered);
    return () => model.off("msg:custom", answered);
  },
};
