// Runs before anything is painted: takes the theme that was chosen with the toggle, if one was.
(() => {
  try {
    const chosen = localStorage.getItem("theme");
    if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
  } catch {
    // Without storage the preference of the system holds.
  }
})();
