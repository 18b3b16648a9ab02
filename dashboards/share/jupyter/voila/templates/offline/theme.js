// Light or dark: as chosen before, else as the computer is set. Set before the first paint, and kept whatever Voila does.
(function () {
  const KEY = "cr-theme";
  const asked = matchMedia("(prefers-color-scheme: dark)");
  const saved = () => { try { return localStorage.getItem(KEY); } catch (problem) { return null; } };
  let chosen = saved();
  const dark = () => (chosen ? chosen === "dark" : asked.matches);

  function apply() {
    const light = String(!dark());
    if (document.body.dataset.jpThemeLight !== light) document.body.dataset.jpThemeLight = light;
    document.documentElement.style.colorScheme = dark() ? "dark" : "light";
    const button = document.getElementById("cr-theme");
    if (button) button.setAttribute("aria-pressed", String(dark()));
  }

  apply();
  new MutationObserver(apply).observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-light"] });
  asked.addEventListener("change", apply);
  window.addEventListener("storage", (event) => {
    if (event.key === KEY) { chosen = saved(); apply(); }
  });
  document.addEventListener("DOMContentLoaded", apply);
  document.addEventListener("click", (event) => {
    if (!event.target.closest("#cr-theme")) return;
    chosen = dark() ? "light" : "dark";
    try { localStorage.setItem(KEY, chosen); } catch (problem) { /* then it lasts as long as the page */ }
    apply();
  });
})();
