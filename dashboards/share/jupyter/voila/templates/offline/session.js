// Voila says nothing when a page has lost its kernel; figures that no longer move would be taken for real.
(function () {
  const SECONDS = 20, SOON = 3, PATIENCE = 40;
  const content = document.getElementById("rendered_cells");
  if (!content.querySelector(".cr-failed, [type='application/vnd.voila.cell-output+json'], .cr-page")) {
    content.append(document.getElementById("cr-failure").content);  // what the notebook shows was lost on its way
  }
  const ended = document.getElementById("session-ended"), note = document.getElementById("session-note");
  const reload = ' <a href="">Reload the page</a> to go on.';
  const told = document.getElementById("jupyter-config-data");
  const config = told ? JSON.parse(told.textContent) : {};
  const address = config.baseUrl + "api/kernels/" + config.kernelId;
  if (document.querySelector(".cr-failed") && mayTryAgain()) return window.location.reload();
  let over = !config.kernelId || Boolean(document.querySelector(".cr-failed")), timer = 0, looking = false, lostAt = 0, wasConnected = false;

  // A kernel that died before its page was made is no reason to trouble anybody: once a minute it is tried again.
  function mayTryAgain() {
    try {
      const last = Number(sessionStorage.getItem("cr-tried"));
      sessionStorage.setItem("cr-tried", String(Date.now()));
      return Date.now() - last > 60000;
    } catch (problem) {
      return false;
    }
  }

  function say(place, html) {
    if (place.innerHTML !== html) place.innerHTML = html;
    place.hidden = !html;
  }

  function end(why) {
    over = true;
    say(note, "");
    say(ended, why + reload);
  }

  // The kernel, null where nobody answers, false where there is none any more.
  async function kernel() {
    try {
      const answer = await fetch(address, { cache: "no-store", redirect: "manual" });
      if (answer.ok) return await answer.json();
      if (answer.status === 404) return false;
      if (answer.status === 403 || answer.type === "opaqueredirect") return "login";
      return null;
    } catch (problem) {
      return null;
    }
  }

  async function look() {
    if (over || looking) return;
    looking = true;
    const found = await kernel();
    looking = false;
    if (found === false) return end("This session has ended: what you type is no longer scored.");
    if (found === "login") return end("Your login has ended: what you type is no longer scored.");
    wasConnected = wasConnected || Boolean(found && found.connections);
    const well = found && (found.connections || !wasConnected);
    if (well) lostAt = 0; else lostAt = lostAt || Date.now();
    const lost = lostAt ? (Date.now() - lostAt) / 1000 : 0;
    if (found && !well && lost > PATIENCE) return end("The connection was lost for too long.");
    say(note, well ? "" : "The connection is lost. What you type waits until it is back.");
    clearTimeout(timer);
    timer = setTimeout(look, 1000 * (well ? SECONDS : SOON));
  }

  for (const name of ["online", "offline", "pageshow"]) window.addEventListener(name, look);
  document.addEventListener("visibilitychange", () => document.hidden || look());
  timer = setTimeout(look, 1000 * SECONDS);
})();
