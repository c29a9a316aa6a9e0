#!/bin/sh
# The tests of the images that this project builds itself, each in a virtual environment of its own. Safe to run twice.
#
#   scripts/test-images.sh [IMAGE | STACK/IMAGE] [pytest options]
#
# An image with tests is a folder stacks/STACK/images/IMAGE with a requirements-dev.lock.
set -eu
cd "$(dirname "$0")/.."

# What the images run is preferred; what this project runs will do.
python=${PYTHON:-python3}
if python3.13 -c '' 2>/dev/null; then python=python3.13; fi

all=
chosen=
for lock in stacks/*/images/*/requirements-dev.lock; do
    folder=${lock%/*}
    stack=${folder#stacks/}
    all="$all $folder"
    case ${1:-} in "${folder##*/}" | "${stack%%/*}/${folder##*/}") chosen="$chosen $folder" ;; esac
done
if [ -n "$chosen" ]; then shift; fi

# Postgres and Redis are installed where we may, but not started: the tests start their own. Without them tests are skipped.
install() {
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || return 0
    printf 'images: installing %s\n' "$*"
    policy=/usr/sbin/policy-rc.d
    if [ ! -e $policy ]; then
        printf '#!/bin/sh\nexit 101\n' >$policy
        chmod 755 $policy
        trap 'rm -f /usr/sbin/policy-rc.d' EXIT
    fi
    apt-get -qq update
    DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o DPkg::Lock::Timeout=300 install --no-install-recommends "$@" >/dev/null
}
missing=
command -v redis-server >/dev/null || missing=redis-server
for bin in /usr/lib/postgresql/*/bin/postgres; do [ -x "$bin" ] || missing="$missing postgresql"; done
# shellcheck disable=SC2086  # a list of package names
if [ -n "$missing" ]; then install $missing; fi

for folder in ${chosen:-$all}; do
    service=${folder##*/}
    stack=${folder#stacks/}
    venv=$PWD/.venv/images/${stack%%/*}/$service
    lock=$folder/requirements-dev.lock
    if ! cmp -s "$lock" "$venv/lock"; then
        printf 'images: installing what %s and its tests need\n' "$service"
        "$python" -m venv --clear "$venv"
        "$venv/bin/pip" install -qq --disable-pip-version-check --require-hashes --only-binary :all: -r "$lock"
        cp "$lock" "$venv/lock"
    fi
    printf 'images: %s\n' "$service"
    (
        cd "$folder"
        "$venv/bin/mypy"
        PYTHONPATH=src PYTHONDONTWRITEBYTECODE=1 "$venv/bin/python" -m pytest -q -p no:cacheprovider "$@"
    )
done
