import { defineConfig } from "vitest/config";

export default defineConfig({
  cacheDir: process.env["UI_CACHE"] ?? "node_modules/.vite",
  test: {
    include: ["tests/walk/**/*.test.ts"],
    environment: "node",
    // One browser after the other, and one step after the other; the limits are for slow machines, not for measuring.
    fileParallelism: false,
    expect: { poll: { timeout: 30_000 } },
    testTimeout: 180_000,
    hookTimeout: 120_000,
  },
});
