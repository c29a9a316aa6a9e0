"""Plan → the one sh script that applies it, the archive that travels with it, the commands that start and follow it.

What runs on the host is this text and nothing else; `ctl plan --script` shows it.
"""

from __future__ import annotations

import base64
import gzip
import io
import re
import tarfile
from collections.abc import Iterable, Mapping

from ctl.core import quoting
from ctl.core.history import About
from ctl.core.plan import ContainerChange, FileChange, Plan, StepChange
from ctl.core.release import PHASES, Release, Step
from ctl.core.route import External
from ctl.core.template import Templates

HEALTH_SECONDS = 300


def script(plan: Plan, templates: Templates) -> str:
    """The sh text that applies the plan. Equal plans give equal scripts; no secret is in it."""
    release = plan.release
    lines = [
        "#!/bin/sh",
        f"# ctl: release {release.id} of the stack {release.stack} for {release.host}",
        "# shellcheck disable=SC2317,SC2329  # the functions of the steps are called by their names",
        "set -u",
        "umask 077",
        "export LC_ALL=C.UTF-8 HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        f"root={quoting.sh(release.root)}",
        "ctl=$root/.ctl",
        "script=$0",
        "run=${0%/*}",
        "",
        templates.source("host/steps.sh"),
        *(_function(change.step) for change in plan.changes if isinstance(change, StepChange)),
        templates.source("host/data.sh"),
        templates.source("host/run.sh"),
        "main() {",
        *(f"    {line}" for line in _main(plan)),
        "}",
        "",
        "case ${1:-} in",
        '    apply | check) "$2" "$1" ;;',
        "    *) main ;;",
        "esac",
        "",
    ]
    return "\n".join(lines)


def _main(plan: Plan) -> Iterable[str]:
    release = plan.release
    yield f"begin {release.id}"
    for number, folder in PHASES.items():
        lines = list(_phase(plan, number))
        if lines:
            yield f"event phase {folder}"
            yield from lines
    yield f"settle {release.id}"


def _phase(plan: Plan, number: int) -> Iterable[str]:
    """Images, files, steps, containers: a step may need this phase's files, a container may need its steps.

    Images come first, for what they need may be gone: the registry, or room on the disk. Nothing has changed then.
    Steps that configure need the containers running: in phase 4, which has containers and such steps, they come last.
    """
    changes = [change for change in plan.changes if change.phase == number]
    moving = [change for change in changes if isinstance(change, ContainerChange)]
    # Those of phase 4 too before phase 2 changes anything.
    coming = plan.containers if number == 2 and changes else moving
    for image, context in sorted({image for change in coming if change.container for image in change.container.images}):
        built = plan.release.file(context)
        yield f"build {quoting.sh(image)} {built.sha}" if built else f"pull {quoting.sh(image)}"
    for change in changes:
        if isinstance(change, FileChange) and change.after is not None:
            file = change.after
            yield f"put {file.sha} {file.mode:04o} {quoting.sh(file.owner)} {quoting.sh(file.path)}"
    steps = [change.step for change in changes if isinstance(change, StepChange)]
    yield from (_step(step) for step in steps if step.prepares)
    upgraded = [quoting.sh(change.name) for change in moving if change.upgrade]
    if upgraded:
        yield f"keep {plan.release.id} {' '.join(upgraded)}"
    for change in moving:
        if change.kind == "roll":
            yield f"roll {HEALTH_SECONDS} {quoting.sh(change.name)}"
    for flag, kinds in (("''", {"create", "recreate", "start", "scale"}), ("--force-recreate", {"restart"})):
        names = [quoting.sh(change.name) for change in moving if change.kind in kinds]
        if names:
            yield f"up {HEALTH_SECONDS} {flag} {' '.join(names)}"
    yield from (_step(step) for step in steps if not step.prepares)
    for change in moving:
        if change.kind == "remove":
            yield f"remove {quoting.sh(change.name)} {quoting.sh(change.id)}"
    for change in changes:
        if isinstance(change, FileChange) and change.after is None:
            yield f"del {quoting.sh(change.path)}"


def _step(step: Step) -> str:
    verb = "step" if step.vital else "attempt"
    return f"{verb} {quoting.sh(step.id)} {_name(step)} {step.timeout} {step.fingerprint}"


def probe(release: Release, templates: Templates, *, live: bool = False) -> str:
    """The sh text that tells what `Facts` holds about the host; what others are asked only with `live`: we may wait."""
    units = [path.rsplit("/", 1)[1] for path in (file.path for file in release.files) if _is_unit(path)]
    lines = [
        "export LC_ALL=C.UTF-8 HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        f"root={quoting.sh(release.root)} stack={quoting.sh(release.stack)}",
        "ctl=$root/.ctl",
        # Who works side by side answers into a file each: lines of one must not end up inside those of another.
        "answers=$(mktemp -d) && trap 'rm -rf \"$answers\"' EXIT",
        "list=$answers/.list",
        templates.source("host/steps.sh"),
        *(_function(step) for step in release.steps),
        templates.source("host/probe.sh"),
        "say ctl-probe 1",
        "os",
        "machine",
        "memory_of_runs",
        *_side_by_side(
            "containers",
            *(f"spawned {quoting.sh(one.spawns.label)}" for one in release.containers if one.spawns),
            "others",
            "cards /sys /proc",
            f"units {' '.join(quoting.sh(unit) for unit in units)}",
            *(f"check {quoting.sh(step.id)} {_name(step)}" for step in release.steps),
            *(_external(external) for external in release.externals if live),
            *(_certificate(release.proxy, *door) for door in release.doors if live),
        ),
        f"files {' '.join(quoting.sh(file.path) for file in release.files)}",
        "wait",
        'cat "$answers"/*',
        "say end",
        "",
    ]
    return "\n".join(lines)


def _side_by_side(*commands: str) -> Iterable[str]:
    for number, command in enumerate(commands):
        yield f'{command} >"$answers/{number:03}" &'


def _external(external: External) -> str:
    return f"external {quoting.sh(external.name)} {quoting.sh(external.url)} {quoting.sh(external.health)}"


def _certificate(proxy: str, name: str, port: int) -> str:
    return f"certificate {quoting.sh(proxy)} {quoting.sh(name)} {port}"


def fetch(paths: Iterable[str]) -> str:
    """The sh text that sends the named files as a tar."""
    return f"tar -cPf - --ignore-failed-read -- {' '.join(quoting.sh(path) for path in paths)} 2>/dev/null"


def _is_unit(path: str) -> bool:
    return path.startswith("/etc/systemd/system/") and path.count("/") == 4


def _name(step: Step) -> str:
    return "step_" + re.sub(r"[^A-Za-z0-9]", "_", step.id)


def _function(step: Step) -> str:
    """The step's own text, unchanged, as one function: `NAME check` or `NAME apply`."""
    return f'{_name(step)}() {{\n{step.text.rstrip()}\n"$1"\n}}\n'


def archive(plan: Plan, templates: Templates, *, about: About) -> bytes:
    """The tar.gz that is unpacked into the run's folder: the script, the release, and what will have been applied."""
    release = plan.release
    members: dict[str, tuple[bytes, int]] = {
        "script": (script(plan, templates).encode(), 0o700),
        "holder": (about.holder.encode(), 0o600),
        "about.json": (about.encode(), 0o600),
        "applied": (plan.applied_after().encode(), 0o600),
        "after": (plan.facts.last.encode(), 0o600),
        "release/release.json": (release.manifest(), 0o600),
        "release/images": ("".join(f"{image}\n" for image in release.images).encode(), 0o600),
    }
    for file in release.files:
        members[f"release/files/{file.sha}"] = (file.content, 0o600)
    return pack(members)


def pack(members: Mapping[str, tuple[bytes, int]]) -> bytes:
    """name → (content, mode) as a tar.gz; the same members give the same bytes."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, (content, mode) in sorted(members.items()):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), mode
            tar.addfile(entry, io.BytesIO(content))
    return gzip.compress(buffer.getvalue(), mtime=0)


def as_root(text: str) -> str:
    """A command line that any login shell passes on unchanged, and that runs the sh text as root."""
    packed = base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()
    return (
        f"sh -c 's=$(printf %s {packed} | base64 -d | gzip -dc) && "
        'if [ "$(id -u)" -eq 0 ]; then exec sh -c "$s"; else exec sudo -n sh -c "$s"; fi\''
    )


# The exit codes of `start` and `follow` that tell what the log itself cannot.
ABSENT, DIED = 70, 71
ROOM = 64 * 1024
"""Bytes that a run keeps free for its last words, should the disk fill up meanwhile."""


def start(root: str, run_id: str, *, follow: bool = True) -> str:
    """The sh text that unpacks an archive from its stdin, starts the run apart from this session, and follows it.

    Safe to send again after a lost connection: what is there is not unpacked again, what was started is not started
    again. The one that was sent first may still be at work then, so that each unpacks for itself.
    """
    return f"""umask 077
run={quoting.sh(root)}/.ctl/runs/{run_id}
if [ -d "$run" ]; then
    cat >/dev/null
else
    (umask 022; mkdir -p {quoting.sh(root)}) && mkdir -p "${{run%/*}}" || exit 1
    new=$(mktemp -d "$run.new.XXXXXX") || exit 1
    : >"$new/log"
    if ! {{ tar -xzf - -C "$new" && head -c {ROOM} /dev/zero >"$new/room" && mv -T "$new" "$run"; }}; then
        df -Pk "$new" | awk 'NR == 2 && $4 < 1024 {{ print "No space left on device" }}' >&2
        rm -rf "$new"
        [ -d "$run" ] || exit 1
    fi
fi
if [ ! -d "$run/begun" ]; then
    if [ -d /run/systemd/system ]; then
        # The unit may be there already and about to begin.
        systemd-run --quiet --collect --unit=ctl-run-{run_id} /bin/sh "$run/script" || sleep 1
        systemctl --quiet is-active ctl-run-{run_id} || [ -d "$run/begun" ] || exit 1
    else
        setsid sh "$run/script" </dev/null >/dev/null 2>&1 &
    fi
fi
{_follow(0) if follow else ""}"""


def follow(root: str, run_id: str, offset: int) -> str:
    """The sh text that sends a run's log from a byte offset on, until the run ends.

    Exits with ABSENT when there is no such run, with DIED when it ended without saying how.
    """
    return f"run={quoting.sh(root)}/.ctl/runs/{run_id}\n{_follow(offset)}"


def _follow(offset: int) -> str:
    return f"""tries=0
while [ ! -s "$run/pid" ] && [ $tries -lt 500 ]; do
    [ -d "$run" ] || exit {ABSENT}
    sleep 0.01
    tries=$((tries + 1))
done
[ -s "$run/pid" ] || exit {ABSENT}
pid=$(cat "$run/pid")
# A number alone may belong to another process by now.
if tr '\\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -qF "$run/script"; then
    tail -c +{offset + 1} -s 0.02 -f --pid="$pid" "$run/log"
else
    tail -c +{offset + 1} "$run/log"
fi
[ -f "$run/exit" ] || exit {DIED}
"""


def history(root: str) -> str:
    """The sh text that tells of the runs and releases that are kept on the host, oldest first."""
    return f"""ctl={quoting.sh(root)}/.ctl
printf 'current\\t%s\\n' "$(cat "$ctl/current" 2>/dev/null)"
[ -f "$ctl/settled" ] && sed 's/^/settled\\t/' "$ctl/settled"
for run in "$ctl"/runs/*; do
    case $run in *.new.*) continue ;; esac
    [ -f "$run/about.json" ] || continue
    printf 'run\\t%s\\t%s\\t%s\\n' "${{run##*/}}" "$(cat "$run/exit" 2>/dev/null)" "$(cat "$run/about.json")"
done
for release in "$ctl"/releases/*; do
    [ -f "$release/release.json" ] && printf 'release\\t%s\\n' "${{release##*/}}"
done
echo end
"""


def fetch_release(root: str, release_id: str) -> str:
    """The sh text that sends a kept release as a tar."""
    return f"tar -cf - -C {quoting.sh(root)}/.ctl/releases/{quoting.sh(release_id)} release.json files"
