#!/bin/sh
# The chat page's own tests: types and style, units, then a browser that walks through the page.
#
#   scripts/test-ui.sh
#   UI_BASE_URL=https://chat.example.org UI_EMAIL=… UI_PASSWORD=… scripts/test-ui.sh     the walk, against real services
#
# What npm installs and what is built stay out of the page's folder, whose files go onto servers: they are in build/ui,
# where Node finds the modules through the link node_modules at the top of the tree. Screenshots: build/ui/shots.
set -eu
cd "$(dirname "$0")/.."
root=$PWD
page=$root/stacks/enterprise-llm/images/ui
build=$root/build/ui

say() { printf 'test-ui: %s\n' "$*"; }
stop() {
    printf 'test-ui: %s\n' "$*" >&2
    exit 2
}

command -v npm >/dev/null || stop "Node.js 20 or newer with npm is needed (24 is what the image is built with)"
node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 19) ? 0 : 1)' ||
    stop "Node.js 20.19 or newer is needed, this is $(node --version)"

if [ -z "${CHROMIUM:-}" ] && ! command -v chromium >/dev/null && ! command -v google-chrome >/dev/null; then
    if [ "$(id -u)" = 0 ]; then as_root=; elif sudo -n true 2>/dev/null; then as_root="sudo -n"; else
        stop "Chromium is missing, and installing it needs root: apt-get install chromium (or name one with CHROMIUM)"
    fi
    command -v apt-get >/dev/null || stop "Chromium is missing: install it, or name one with CHROMIUM"
    say "installing chromium"
    $as_root apt-get -qq update
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o DPkg::Lock::Timeout=300 install chromium >/dev/null
fi

mkdir -p "$build"
if ! cmp -s "$page/package-lock.json" "$build/node_modules/.installed"; then
    say "installing the page's modules into build/ui"
    cp "$page/package.json" "$page/package-lock.json" "$page/.npmrc" "$build/"
    (cd "$build" && npm ci --ignore-scripts)
    cp "$page/package-lock.json" "$build/node_modules/.installed"
fi
if [ ! -L "$root/node_modules" ]; then
    [ ! -e "$root/node_modules" ] || stop "node_modules at the top of the tree is in the way"
    ln -s build/ui/node_modules "$root/node_modules"
fi

cd "$page"
PATH=$root/node_modules/.bin:$root/.venv/bin:$PATH
export UI_OUT="$build/dist" UI_CACHE="$build/cache" UI_SHOTS="${UI_SHOTS:-$build/shots}"
if [ -z "${UI_BASE_URL:-}" ]; then
    tsc --noEmit
    oxlint --deny-warnings
    vitest run
    vite build
    say "JavaScript, compressed: $(cat "$UI_OUT"/assets/*.js | gzip -9 | wc -c) bytes in all"
fi
vitest run --config tests/walk/vitest.config.ts
