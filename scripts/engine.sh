#!/bin/sh
# Give this machine a running Docker engine and debootstrap, which the lab needs. Safe to run at any time.
#
#   sudo scripts/engine.sh
#
# Debian and Ubuntu. Exit 0: an engine answers. Exit 3: none can be had here, and one line says why.
set -eu

say() { printf 'engine: %s\n' "$*"; }
stop() {
    printf 'engine: %s\n' "$*" >&2
    exit 3
}
answers() { docker version --format '{{.Server.Version}}' 2>/dev/null; }
have() { command -v "$1" >/dev/null 2>&1; }

PATH=$PATH:/usr/sbin:/sbin
log=/var/log/ctl-lab-dockerd.log

if version=$(answers) && have debootstrap; then
    say "Docker $version answers"
    exit 0
fi

if [ "$(id -u)" != 0 ]; then
    if ! have sudo || ! sudo -n true 2>/dev/null; then
        stop "root is needed to install and start an engine: sudo scripts/engine.sh"
    fi
    exec sudo -n sh "$0" "$@"
fi

# Before anything is installed in vain.
if ! answers >/dev/null && ! unshare --mount --net --pid --fork true 2>/dev/null; then
    stop "no engine can run here: this machine does not let root make namespaces (a container without the rights?)"
fi

# --- install what is missing --------------------------------------------------------------------------------------------

missing=
have dockerd || missing="docker.io"
# Debian 13 and later have the command line in a package of its own.
if ! have docker && apt-cache show docker-cli >/dev/null 2>&1; then missing="$missing docker-cli"; fi
have debootstrap || missing="$missing debootstrap"
[ -e /usr/share/keyrings/debian-archive-keyring.gpg ] || missing="$missing debian-archive-keyring"
if [ -n "$missing" ]; then
    have apt-get || stop "no apt-get here: install these by hand:$missing"
    say "installing: $missing"
    transcript=$(mktemp)
    # shellcheck disable=SC2086  # a list of package names
    if ! { apt-get -q update && DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300 install -y $missing; } >"$transcript" 2>&1; then
        stop "apt-get could not install $missing: $(grep '^E:' "$transcript" | head -n 1) (all of it: $transcript)"
    fi
    rm -f "$transcript"
fi

# --- start the engine ---------------------------------------------------------------------------------------------------

# A pid file whose process is gone, or whose number another program has got since, keeps the engine from starting.
forget_stale() {
    for file in /run/docker.pid /run/docker/containerd/containerd.pid; do
        [ -f "$file" ] || continue
        case $(cat "/proc/$(cat "$file")/comm" 2>/dev/null) in
            dockerd | containerd) ;;
            *) say "removing the stale $file" && rm -f "$file" ;;
        esac
    done
}

wait_for_engine() {
    tries=0
    while [ "$tries" -lt 60 ]; do
        version=$(answers) && return 0
        [ -z "${1:-}" ] || kill -0 "$1" 2>/dev/null || return 1
        sleep 1
        tries=$((tries + 1))
    done
    return 1
}

if ! version=$(answers); then
    if [ -d /run/systemd/system ]; then
        say "starting docker.service"
        systemctl start docker || stop "docker.service did not start: see journalctl -u docker"
        wait_for_engine || stop "docker.service runs but does not answer: see journalctl -u docker"
    else
        forget_stale
        say "starting dockerd by hand (systemd is not PID 1), log in $log"
        setsid nohup dockerd >"$log" 2>&1 </dev/null &
        wait_for_engine $! ||
            stop "dockerd did not start: $(grep -E 'level=(fatal|error)|failed to start' "$log" | tail -n 1) (all of it: $log)"
    fi
fi
say "Docker $version answers"
if [ -n "${SUDO_USER:-}" ] && ! id -nG "$SUDO_USER" | grep -qw docker; then
    say "$SUDO_USER may not use it without sudo yet: usermod -aG docker $SUDO_USER, then log in again"
fi
