#!/bin/sh
# The main job, from nothing: a bare VPS on this machine, the enterprise-llm stack on it, its URL and its password.
set -eu
cd "$(dirname "$0")/.."
ctl=.venv/bin/ctl

if ! scripts/engine.sh; then
    echo
    echo "demo: without an engine there is no host to deploy to; this is what would be deployed, and the script that would run:"
    out=$(mktemp -d)
    $ctl render lab-chat --out "$out/lab"
    (cd "$out/lab" && find . -type f | sort)
    rm -rf "$out"
    $ctl plan lab-chat --script --bare | head -n 60
    exit 0
fi

$ctl lab up lab-chat
$ctl deploy lab-chat --yes
$ctl status lab-chat
login=$($ctl secrets show lab-chat --login)
door=$($ctl lab list | sed -n 's/^lab-chat .* door \([0-9]*\).*/\1/p')
echo
echo "Open   https://chat.localhost:${door:-8443}  (Caddy signs its certificate itself)"
echo "Log in ${login% *} / ${login#* }"
echo "The model is a stand-in, as the page says; all else is real: the page, gateway and logins built on the host, Postgres,"
echo "Redis, Caddy, Docker, systemd, sshd. 'ctl lab down lab-chat' removes the host."
