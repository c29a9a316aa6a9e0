"""Secrets on a host: recovered from there, and changed there. No value enters a command line, and nothing prints."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ctl.core import script
from ctl.core.errors import CtlError, HostUnfit, InvalidFile, Locked, RunFailed, UsageError
from ctl.core.fitness import guard
from ctl.core.plan import Plan, plan
from ctl.core.ports import Transport
from ctl.core.probe import clean
from ctl.core.quoting import read_dotenv
from ctl.core.report import locked
from ctl.core.secret import KEEPSAKE, Secret, redact
from ctl.core.selection import Selection
from ctl.run import Aim, look
from ctl.run.asking import PROBE_SECONDS, untar

RECIPE_SECONDS = 120
Apply = Callable[[Plan, Aim], object]


def recover(transport: Transport, selection: Selection) -> dict[str, str]:
    """The declared secrets that stand on a host: in its services' .env files, and in what ctl keeps for this.

    Raises HostUnfit where there are none, InvalidFile for a file that ctl did not write.
    """
    host, root = selection.host.name, selection.root
    folders = [f"{root}/stacks/{service.name}" for service in selection.services]
    paths = [f"{folder}/.env" for folder in (*folders, f"{root}/proxy")] + [f"{root}/{KEEPSAKE}"]
    result = transport.run(script.as_root(script.fetch(paths)), timeout=PROBE_SECONDS)
    files = {f"/{name.lstrip('/')}": content for name, content in untar(result.stdout).items()}
    found: dict[str, str] = {}
    for path in paths:
        try:
            found |= read_dotenv(files.get(path, b"").decode())
        except ValueError as error:
            what = "is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else str(error)
            raise InvalidFile(f"{host}:{path}", what, hint="someone changed it on the host; mend it there") from error
    declared = {name: value for name, value in found.items() if name in selection.secrets}
    if not declared:
        raise HostUnfit(f"{host} holds no secrets under {root}", hint=f"nothing is deployed there: ctl status {host}")
    return declared


@dataclass(frozen=True, slots=True)
class Rotation:
    """One secret's way from one value to another. `recipe` is sh that changes it where it is stored, or empty."""

    old: Secret
    new: Secret
    recipe: str
    before: Aim
    after: Aim
    resumed: bool = False
    """An earlier attempt was cut short: the host may hold either value."""


def prepare(transport: Transport, rotation: Rotation) -> Plan:
    """What the new value changes on the host, and nothing else. Raises UsageError, HostUnfit, Locked."""
    release, name = rotation.after.release, rotation.new.name
    facts = look(transport, rotation.before)
    if not facts.current:
        raise HostUnfit(f"nothing is deployed on {release.host}", hint=f"ctl deploy {release.host}")
    if facts.locked:
        raise locked(release.host, facts.lock)
    guard(rotation.before.release, facts, but=(name,) if rotation.resumed else ())
    if not rotation.resumed and plan(rotation.before.on(facts).release, facts):
        raise UsageError(
            f"{release.host} is not as the inventory wants it, and {name} is to be the only change",
            hint=f"ctl deploy {release.host}, then rotate",
        )
    return plan(rotation.after.on(facts).release, facts)


def rotate(transport: Transport, rotation: Rotation, todo: Plan, apply: Apply) -> CtlError | None:
    """Recipe, then plan and apply. Returns None, or the error after which the old value is back everywhere.

    Raises CtlError where neither is certain; the same rotation once more then brings the new value everywhere.
    """
    try:
        _change(transport, rotation, rotation.old, rotation.new)
        apply(todo, rotation.after)
        return None
    except (RunFailed, Locked) as error:
        try:
            _go_back(transport, rotation, apply, redeploy=not isinstance(error, Locked))
        except CtlError as second:
            raise RunFailed(
                f"{error.message}\nand the old {rotation.old.name} could not be brought back: {second.message}",
                hint=f"once the cause is mended: ctl secrets rotate {todo.release.host} {rotation.old.name}",
            ) from error
        back = type(error)(f"{error.message}\nthe old {rotation.old.name} is back", hint=error.hint)
        back.__cause__ = error
        return back


def _go_back(transport: Transport, rotation: Rotation, apply: Apply, *, redeploy: bool) -> None:
    _change(transport, rotation, rotation.new, rotation.old)
    if redeploy:
        facts = look(transport, rotation.before)
        todo = plan(rotation.before.on(facts).release, facts)
        if todo:
            apply(todo, rotation.before)


def _change(transport: Transport, rotation: Rotation, old: Secret, new: Secret) -> None:
    """Run the recipe; both values go in by stdin, a line each."""
    if not rotation.recipe:
        return
    stdin = f"{old.reveal()}\n{new.reveal()}\n".encode()
    result = transport.run(script.as_root(rotation.recipe), stdin=stdin, timeout=RECIPE_SECONDS)
    if result.code != 0:
        said = clean((result.stderr or result.stdout).decode("utf-8", "replace").strip(), 500)
        host = rotation.after.release.host
        raise RunFailed(
            f"the recipe for {new.name} failed on {host} (exit code {result.code}): {redact(said, (old, new))}"
        )
