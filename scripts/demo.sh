#!/bin/sh
# The main job, from nothing: a bare VPS on this machine, the lean-llm stack on it, its URL and its password.
set -eu
cd "$(dirname "$0")/.."
ctl=.venv/bin/ctl

if ! scripts/engine.sh; then
    echo
    echo "demo: without an engine there is no host to deploy to; this is what would be deployed, and the script that would run:"
    out=$(mktemp -d)
    $ctl render lab --out "$out/lab"
    (cd "$out/lab" && find . -type f | sort)
    rm -rf "$out"
    $ctl plan lab --script --bare | head -n 60
    exit 0
fi

$ctl lab up
$ctl deploy lab --stack lean-llm --yes
$ctl status lab
login=$($ctl secrets show lab --login)
echo
echo "Open   https://n8n.localhost:8443 or https://flowise.localhost:8443  (Caddy signs their certificates itself)"
echo "Log in ${login% *} / ${login#* }"
echo "Try    curl -k -u ${login% *}:${login#* } https://n8n.localhost:8443/"
echo "n8n, Flowise and ngrok are stand-ins in the lab; Caddy, Docker, systemd and sshd are real. 'ctl lab down' removes the host."
