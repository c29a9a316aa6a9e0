import tailwindcss from "@tailwindcss/vite";
import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

export default defineConfig({
  plugins: [react(), tailwindcss()],
  cacheDir: process.env["UI_CACHE"] ?? "node_modules/.vite",
  build: {
    outDir: process.env["UI_OUT"] ?? "dist",
    emptyOutDir: true,
    license: { fileName: "licenses.md" },
    // Nothing is inlined as a data: address: the policy allows files of this origin only.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  test: { include: ["tests/unit/**/*.test.ts"], environment: "node" },
});
