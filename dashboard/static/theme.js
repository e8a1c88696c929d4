// Before anything is drawn: the colours that were chosen here last, or those of the system.
(function () {
  "use strict";
  let chosen = null;
  try {
    chosen = localStorage.getItem("sa.theme");
  } catch {
    // Storage is switched off: the system decides.
  }
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
})();
