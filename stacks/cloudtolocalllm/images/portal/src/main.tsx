import "@fontsource-variable/inter";
import "@fontsource-variable/jetbrains-mono";
import "./style.css";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { App } from "./app";
import { begin } from "./page/identity";
import { loadSettings } from "./settings";
import { settings } from "./space";

const root = document.getElementById("root");
if (!root) throw new Error("index.html has no #root");
createRoot(root).render(
  <StrictMode>
    <App />
  </StrictMode>,
);

void loadSettings().then(settings.set, () => settings.set("missing"));
void begin();
try {
  sessionStorage.removeItem("reloads"); // all files came: see public/start.js
} catch {
  // No storage, and nothing counted.
}
