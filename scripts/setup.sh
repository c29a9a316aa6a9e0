#!/bin/sh
# The virtual environment in .venv, with this project and all that its tests need. Safe to run twice.
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}

say() { printf 'setup: %s\n' "$*"; }
stop() {
    printf 'setup: %s\n' "$*" >&2
    exit 2
}

# Install Debian packages where we may; else say which are missing.
install() {
    if [ "$(id -u)" = 0 ]; then as_root=; elif sudo -n true 2>/dev/null; then as_root="sudo -n"; else
        stop "these packages are missing, and installing them needs root: apt-get install $*"
    fi
    command -v apt-get >/dev/null || stop "these packages are missing: $*"
    say "installing $*"
    $as_root apt-get -qq update
    # shellcheck disable=SC2086  # nothing, or two words
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o DPkg::Lock::Timeout=300 install "$@" >/dev/null
}

command -v "$python" >/dev/null || stop "there is no $python"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || stop "Python 3.11 or newer is needed; PYTHON=… names one"
"$python" -c 'import ensurepip, venv' 2>/dev/null || install python3-venv
# The contract suite talks to a real sshd, and so does the lab.
if [ ! -x /usr/sbin/sshd ] || ! command -v ssh >/dev/null; then install openssh-server openssh-client; fi

if [ ! -x .venv/bin/python ]; then
    say "making .venv"
    "$python" -m venv .venv
fi
say "installing this project and its development tools into .venv"
.venv/bin/python -m pip install -q --disable-pip-version-check --upgrade 'pip>=25.1'
.venv/bin/python -m pip install -q --disable-pip-version-check -e . --group dev
touch .venv/ready
