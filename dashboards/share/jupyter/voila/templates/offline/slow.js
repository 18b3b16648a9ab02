// Says that it takes long when it does, and nothing when it does not.
(function () {
  const place = document.getElementById("cr-slow");
  const say = (text) => { if (document.getElementById("loading")) { place.textContent = text; place.hidden = !text; } };
  const first = setTimeout(() => say("This takes longer than usual: others are opening the page too."), 10000);
  const second = setTimeout(() => say("Still opening. If nothing comes within a minute, reload the page."), 40000);
  new MutationObserver((_, observer) => {
    if (document.getElementById("loading")) return;
    observer.disconnect();
    clearTimeout(first);
    clearTimeout(second);
    place.hidden = true;
  }).observe(document.querySelector("main"), { childList: true });
})();
