#!/bin/sh
# The pages' own tests: types and style, units, then a browser that walks through the page.
#
#   scripts/test-ui.sh [chat|portal]
#   UI_BASE_URL=https://chat.example.org UI_EMAIL=… UI_PASSWORD=… scripts/test-ui.sh [chat]     the walk, against real services
#   UI_BASE_URL=https://ai.example.org … scripts/test-ui.sh portal     and what stacks/…/portal/tests/walk/live.test.ts says
#
# What npm installs and what is built stay out of the pages' folders, whose files go onto servers: they are in build/ui,
# where Node finds the modules through the link node_modules at the top of the tree. Screenshots: build/ui/shots/PAGE.
set -eu
cd "$(dirname "$0")/.."
root=$PWD
chat=$root/stacks/enterprise-llm/images/ui
portal=$root/stacks/cloudtolocalllm/images/portal
build=$root/build/ui

say() { printf 'test-ui: %s\n' "$*"; }
stop() {
    printf 'test-ui: %s\n' "$*" >&2
    exit 2
}

case "${1:-both}${UI_BASE_URL:+ real}" in
    both) wanted="chat portal" ;;
    "both real" | "chat real") wanted=chat ;;
    chat | portal | "portal real") wanted=$1 ;;
    *) stop "the pages are chat and portal" ;;
esac

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
# One set of modules for both: the portal's package.json is a link to the chat page's.
if ! cmp -s "$chat/package-lock.json" "$build/node_modules/.installed"; then
    say "installing the pages' modules into build/ui"
    cp "$chat/package.json" "$chat/package-lock.json" "$chat/.npmrc" "$build/"
    (cd "$build" && npm ci --ignore-scripts)
    cp "$chat/package-lock.json" "$build/node_modules/.installed"
fi
if [ ! -L "$root/node_modules" ]; then
    [ ! -e "$root/node_modules" ] || stop "node_modules at the top of the tree is in the way"
    ln -s build/ui/node_modules "$root/node_modules"
fi

PATH=$root/node_modules/.bin:$root/.venv/bin:$PATH
shots=${UI_SHOTS:-$build/shots}
for name in $wanted; do
    case $name in chat) cd "$chat" ;; portal) cd "$portal" ;; esac
    say "the page: $name"
    export UI_OUT="$build/dist/$name" UI_CACHE="$build/cache/$name" UI_SHOTS="$shots/$name"
    if [ -z "${UI_BASE_URL:-}" ]; then
        tsc --noEmit
        oxlint --deny-warnings
        vitest run
        vite build
        say "JavaScript, compressed: $(cat "$UI_OUT"/assets/*.js | gzip -9 | wc -c) bytes in all"
    fi
    # One of the portal's walks is for real services; the others count every word that their stand-ins hear.
    only=
    [ "$name" != portal ] || [ -z "${UI_BASE_URL:-}" ] || only=walk/live
    vitest run --config tests/walk/vitest.config.ts ${only:+"$only"}
done
