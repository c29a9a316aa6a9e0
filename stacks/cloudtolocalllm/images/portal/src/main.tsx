import "@fontsource-variable/inter";
import "@fontsource-variable/jetbrains-mono";
import "./style.css";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { App } from "./app";
import { entryAt } from "./oidc/issuer";
import { begin, enterBy } from "./page/identity";
import { loadSettings } from "./settings";
import { settings } from "./space";

const root = document.getElementById("root");
if (!root) throw new Error("index.html has no #root");
createRoot(root).render(
  <StrictMode>
    <App />
  </StrictMode>,
);

async function open(): Promise<void> {
  const told = await loadSettings().catch(() => null);
  if (told?.oidc) enterBy(entryAt(told.oidc, told.name));
  settings.set(told ?? "missing");
  if (told) await begin();
}

void open();
try {
  sessionStorage.removeItem("reloads"); // all files came: see public/start.js
} catch {
  // No storage, and nothing counted.
}
