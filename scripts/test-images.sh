#!/bin/sh
# The tests of the images that this project builds itself, each in a virtual environment of its own. Safe to run twice.
#
#   scripts/test-images.sh [auth|gateway] [pytest options]
set -eu
cd "$(dirname "$0")/.."
images=stacks/enterprise-llm/images

# What the images run is preferred; what this project runs will do.
python=${PYTHON:-python3}
if python3.13 -c '' 2>/dev/null; then python=python3.13; fi

case ${1:-} in
    auth | gateway) services=$1 && shift ;;
    *) services="auth gateway" ;;
esac

for service in $services; do
    venv=$PWD/.venv/images/$service
    lock=$images/$service/requirements-dev.lock
    if ! cmp -s "$lock" "$venv/lock"; then
        printf 'images: installing what %s and its tests need\n' "$service"
        "$python" -m venv --clear "$venv"
        "$venv/bin/pip" install -qq --disable-pip-version-check --require-hashes --only-binary :all: -r "$lock"
        cp "$lock" "$venv/lock"
    fi
    printf 'images: %s\n' "$service"
    (
        cd "$images/$service"
        "$venv/bin/mypy"
        PYTHONPATH=src PYTHONDONTWRITEBYTECODE=1 "$venv/bin/python" -m pytest -q -p no:cacheprovider "$@"
    )
done
