"""backup, restore: the data of a host into an encrypted archive, and back, here or on another host."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ctl.cli import options
from ctl.cli.applying import Manner, apply, confirm, new_watch, workplace
from ctl.cli.terminal import err, out, print_json
from ctl.core.errors import Interrupted, RunFailed, Unhealthy, UnknownName, UsageError

if TYPE_CHECKING:
    from ctl.cli.workplace import Workplace
    from ctl.core.backup import Snapshot
    from ctl.core.inventory import Host
    from ctl.core.ports import Transport
    from ctl.core.report import Event
    from ctl.run import Aim

_CREDENTIALS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


def backup(
    context: typer.Context,
    target: options.Target = None,
    listing: Annotated[bool, typer.Option("--list", help="The snapshots that there are; nothing is done.")] = False,
    json: options.Json = False,
    key: options.Key = "",
) -> None:
    """Back a host up now, as its timer does: dumps, volumes, configuration, secrets; read back afterwards."""
    from ctl.core import backup as texts  # noqa: PLC0415

    place = workplace(context, key=key)
    host = place.host(target)
    settings = _settings(place, host, "")
    aim = place.aim(host)
    with place.transport(host) as link:
        said: list[str] = []
        seconds = 0
        if not listing:
            seconds = _run(link, aim, f"backup {host.name}", texts.start(aim.release.root, place.templates), {}, said)
        found = _snapshots(link, aim, host.name, settings)
    if not json:
        for snapshot in found if listing else found[-1:]:
            out.line((snapshot.id, "bold"), f"  {snapshot.time[:19].replace('T', ' ')}  {snapshot.host}")
    elif listing:
        print_json([_json(snapshot) for snapshot in found])
    else:
        print_json(
            {"host": host.name, "seconds": seconds, "snapshot": _json(found[-1]) if found else None, "said": said}
        )


def restore(
    context: typer.Context,
    target: options.Target = None,
    snapshot: Annotated[str, typer.Argument(metavar="[SNAPSHOT]", help="As in ctl backup --list.")] = "latest",
    from_: Annotated[str, typer.Option("--from", metavar="HOST", help="Another host's backup, with its keys.")] = "",
    repository: Annotated[str, typer.Option("--repository", metavar="PLACE", help="Where it is, if elsewhere.")] = "",
    yes: options.Yes = False,
    json: options.Json = False,
    key: options.Key = "",
    accept_new_host_key: options.AcceptNew = False,
) -> None:
    """Put a backup's data back, on the host itself or on a bare new one, which is deployed first.

    What the host holds now is kept aside until the restored services are healthy, and comes back if they are not.
    """
    from ctl.core import backup as texts  # noqa: PLC0415

    place = workplace(context, key=key, accept_new_host_key=accept_new_host_key)
    host = place.host(target)
    source = place.host(from_) if from_ else host
    settings = _settings(place, source, repository)
    what = "the newest snapshot" if snapshot == "latest" else f"the snapshot {snapshot}"
    confirm(yes, f"Replace the data of {host.name} with {what} of {source.name}, from {settings['RESTIC_REPOSITORY']}?")
    with place.transport(host) as link:
        if source.name != host.name:
            _adopt_keys(place, link, source, host)
        aim = place.aim(host)
        _deploy(link, aim, quiet=json)
        found = _snapshots(link, aim, source.name, settings)
        chosen = texts.choose(found, snapshot)
        if chosen is None:
            raise UnknownName("snapshot", snapshot, [each.id for each in found], hint=f"of {source.name}")
        err.line(f"snapshot {chosen.id} of {chosen.time[:19].replace('T', ' ')}")
        text = texts.restore(aim.release.root, place.templates, chosen.id)
        command = f"restore {host.name} {chosen.id}"
        seconds = _run(link, aim, command, text, {"repository.env": texts.settings(settings)}, [])
    if json:
        print_json({"host": host.name, "seconds": seconds, "snapshot": _json(chosen)})
    else:
        err.line(("✓ ", "green"), (host.name, "bold"), f" has the data of snapshot {chosen.id} ({seconds} s)")


def _settings(place: Workplace, host: Host, repository: str) -> dict[str, str]:
    """What restic needs for the backups of a host. Raises UsageError where none are configured."""
    if repository:
        host = replace(host, vars={**host.vars, "backup_repository": repository})
    selection = place.selection(host)
    if not selection.backup:
        raise UsageError(
            f"{host.name} has no backups: backup_repository is not set",
            hint=f"set hosts.{host.name}.vars.backup_repository: a folder, sftp:… or s3:…; then deploy",
        )
    values = place.secrets(selection)
    return {
        "RESTIC_REPOSITORY": selection.vars["backup_repository"],
        "RESTIC_PASSWORD": values["BACKUP_PASSWORD"].reveal(),
        **{name: values[name].reveal() for name in _CREDENTIALS if name in values},
    }


def _adopt_keys(place: Workplace, link: Transport, source: Host, host: Host) -> None:
    """The secrets that data depends on become the other host's too, so does the password, for a common repository.

    Raises UsageError where the host is at work with others, which its data depends on.
    """
    from ctl import run  # noqa: PLC0415

    selection = place.selection(source)
    values = place.secrets(selection)
    wanted = [name for name, spec in selection.secrets.items() if spec.sticky]
    keys = {name: values[name].reveal() for name in wanted if name in values}
    now = place.vault.read(host.name)
    others = sorted(name for name in keys if now.get(name) != keys[name])
    if others and run.history(link, host.name, place.selection(host).root).current:
        raise UsageError(
            f"{host.name} is deployed with keys of its own: {', '.join(others)}",
            hint="restore to a bare host, or destroy what is there with its data",
        )
    place.vault.keep(host.name, keys)


def _deploy(link: Transport, aim: Aim, *, quiet: bool) -> None:
    """Bring the host to its release, if it is not there: the data needs services to go to."""
    from ctl import run  # noqa: PLC0415

    todo = run.propose(link, aim)
    if todo:
        err.line(f"{aim.release.host} is deployed first: {len(todo.changes)} changes")
        apply(link, todo, aim, Manner(yes=True, json=quiet), f"restore {aim.release.host}")


def _snapshots(link: Transport, aim: Aim, of: str, settings: Mapping[str, str]) -> tuple[Snapshot, ...]:
    from ctl.core import backup as texts  # noqa: PLC0415
    from ctl.core.probe import clean  # noqa: PLC0415
    from ctl.core.script import as_root  # noqa: PLC0415

    release = aim.release
    text = texts.snapshots(release.root, aim.templates, host=of, stack=release.stack)
    result = link.run(as_root(text), stdin=texts.settings(settings), timeout=300)
    if result.code != 0:
        said = clean(result.stderr.decode("utf-8", "replace").strip(), 500)
        raise RunFailed(f"{release.host} cannot read the backups in {settings['RESTIC_REPOSITORY']}: {said}")
    return texts.parse_snapshots(result.stdout)


def _run(link: Transport, aim: Aim, command: str, text: str, files: Mapping[str, bytes], said: list[str]) -> int:
    """Work on the host that outlives this client, followed to its end. Returns seconds. Raises what a deploy raises."""
    from ctl import run  # noqa: PLC0415
    from ctl.core import script  # noqa: PLC0415
    from ctl.core.history import About  # noqa: PLC0415

    def listen(event: Event) -> None:
        if event.kind == "output":
            said.append(event.text)
            err.line("  ", (event.text, "dim"))

    host, root = aim.release.host, aim.release.root
    watch = new_watch(command, listen)
    current = run.history(link, host, root).current
    about = About(current, current, watch.command, watch.who, watch.started, ())
    members = {
        "script": (text.encode(), 0o700),
        "holder": (about.holder.encode(), 0o600),
        "about.json": (about.encode(), 0o600),
        **{name: (content, 0o600) for name, content in files.items()},
    }
    result = link.run(script.as_root(script.start(root, watch.run_id, follow=False)), stdin=script.pack(members))
    if result.code != 0:
        raise RunFailed(f"{host} did not start the {command.split()[0]} (exit code {result.code})")
    try:
        run.attach(link, host, root, watch)
    except KeyboardInterrupt as stop:
        raise Interrupted(
            f"stopped watching; the run {watch.run_id} goes on on {host}", hint=f"ctl attach {host} follows it"
        ) from stop
    except Unhealthy:
        raise
    except RunFailed as error:
        raise RunFailed(error.message, hint="mend the cause and try again") from error
    return int(time.time()) - watch.started


def _json(snapshot: Snapshot) -> dict[str, Any]:
    return {"id": snapshot.id, "time": snapshot.time, "host": snapshot.host}
