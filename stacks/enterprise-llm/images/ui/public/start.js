// Before the first paint: the colours that were chosen.
try {
  const theme = localStorage.getItem("theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // No storage: the system's colours.
}

// While a new version is deployed, the page may come from a server that has it and a file from one that does not yet:
// a little later they agree.
addEventListener(
  "error",
  ({ target }) => {
    const address = target instanceof HTMLScriptElement ? target.src : target instanceof HTMLLinkElement ? target.href : "";
    if (!address.startsWith(`${location.origin}/assets/`)) return;
    try {
      const tries = Number(sessionStorage.getItem("reloads")) + 1;
      if (tries > 5) return;
      sessionStorage.setItem("reloads", String(tries));
      setTimeout(() => location.reload(), 500 * tries);
    } catch {
      // Not to be counted, so not done.
    }
  },
  true,
);
