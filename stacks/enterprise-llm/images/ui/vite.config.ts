import { fileURLToPath } from "node:url";
import tailwindcss from "@tailwindcss/vite";
import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

// The browser's variant of this package decodes entities with innerHTML, which the page's Trusted Types policy forbids.
const entities = fileURLToPath(import.meta.resolve("decode-named-character-reference")).replace("index.dom.js", "index.js");

const backend = process.env["UI_BACKEND"] ?? "http://127.0.0.1:8000";

export default defineConfig({
  plugins: [react(), tailwindcss()],
  resolve: { alias: { "decode-named-character-reference": entities } },
  cacheDir: process.env["UI_CACHE"] ?? "node_modules/.vite",
  build: {
    outDir: process.env["UI_OUT"] ?? "dist",
    emptyOutDir: true,
    license: { fileName: "licenses.md" },
    // Nothing is inlined as a data: address: the policy allows files of this origin only.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  server: { proxy: { "/auth": backend, "/api": backend } },
  test: { include: ["tests/unit/**/*.test.{ts,tsx}"], environment: "node" },
});
