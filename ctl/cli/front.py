"""The firewall that a cloud has in front of a host, in plan, deploy, status and doctor."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import TYPE_CHECKING, Any

from rich.text import Text

from ctl.cli.terminal import err
from ctl.core.errors import ConnectFailed, ConnectTimeout, CtlError, Unreachable
from ctl.core.probe import clean

if TYPE_CHECKING:
    from ctl.cli.applying import Manner
    from ctl.cli.workplace import Workplace
    from ctl.core.cloud import GroupPlan, Volume
    from ctl.core.doctor import Check
    from ctl.core.inventory import Host
    from ctl.core.plan import Plan
    from ctl.run.cloud import Front


def look(place: Workplace, host: Host, phases: Collection[int] = (1,), only: Collection[str] = ()) -> Front | None:
    """The security group of a host that has one, where phase 1 is wanted: it is a part of that. Raises CtlError."""
    if host.aws is None or 1 not in phases or only:
        return None
    from ctl.edge.aws import AwsCloud  # noqa: PLC0415
    from ctl.run import cloud  # noqa: PLC0415

    return cloud.look(AwsCloud(host.aws), place.selection(host))


def plan_lines(todo: GroupPlan) -> list[Text]:
    """What is opened before the host is worked on, and closed after it."""
    count = len(todo.open) + len(todo.close)
    amount = f"{count} change{'s' if count != 1 else ''}" if count else "nothing to do"
    group = f"{todo.group.id} ({clean(todo.group.name)})"
    head = (f"{todo.host}", "bold"), ": security group ", group, ", ", (amount, "bold" if count else "green")
    return [Text.assemble(*head), *change_lines(todo)]


def change_lines(todo: GroupPlan) -> Iterable[Text]:
    for rule in todo.open:
        yield _line(True, str(rule), rule.about)
    for standing in todo.close:
        about = f" ({standing.rule.about})" if standing.rule.about else ""
        yield _line(
            False,
            str(standing.rule),
            "no longer wanted" if standing.ours else f"drift: somebody else let this in{about}",
        )


def _line(opens: bool, rule: str, note: str) -> Text:
    sign, style = ("+", "green") if opens else ("-", "red")
    tail = f"  {clean(note)}" if note else ""
    return Text.assemble("  ", (sign, style), f" {'rule':<9} ", (clean(rule), "bold"), (tail, "dim"))


def changes_json(todo: GroupPlan) -> list[dict[str, Any]]:
    """The same for programs, as further changes of a plan."""
    base = {"phase": "1-setup", "type": "rule", "group": todo.group.id}
    return [
        *(base | {"action": "open", "rule": str(rule), "drift": False} for rule in todo.open),
        *(base | {"action": "close", "rule": str(one.rule), "drift": not one.ours} for one in todo.close),
    ]


def plan_json(todo: Plan, front: Front | None) -> dict[str, Any]:
    """A host's plan and its security group's as one."""
    from ctl.cli.show import plan_json as host_json  # noqa: PLC0415

    whole = host_json(todo)
    if front:
        whole["changes"] = changes_json(front.todo) + whole["changes"]
        whole["empty"] = whole["empty"] and not front.todo
    return whole


def show(front: Front | None) -> None:
    """On stderr, as the rest of a plan that is to be confirmed."""
    for line in plan_lines(front.todo) if front else ():
        err.console.print(line)


def keeps_out(front: Front, found: object) -> bool:
    """Whether it may be the security group for which the host was not reached."""
    return isinstance(found, (ConnectFailed, ConnectTimeout)) and front.todo.opens(front.ssh)


def explained(front: Front | None, error: Unreachable) -> Unreachable:
    """The error, with the remedy if it is the security group."""
    if not front or not keeps_out(front, error):
        return error
    group, port = front.todo.group.id, front.ssh
    return type(error)(
        error.message, hint=f"the security group {group} does not let us in at {port}: ctl deploy opens it"
    )


def let_in(front: Front, work: Callable[[], Plan]) -> Plan:
    """Open SSH, and then the work that it kept out."""
    front.let_in()
    return work()


def around(front: Front, work: Callable[[], dict[str, Any]], manner: Manner) -> dict[str, Any]:
    """A run with its security group before and after it. Returns the result for `--json`."""
    opened, closed = len(front.todo.open), len(front.todo.close)
    result = front.around(work, back=manner.rollback, stay=manner.detach)
    if front.opened or closed:
        done = f"{closed} to close, which the next deploy does" if manner.detach and closed else f"{closed} closed"
        group = f" security group {front.todo.group.id}: {opened} opened, {done}"
        err.line(("✓ ", "green"), (front.todo.host, "bold"), group)
        result |= {"result": "changed"} if result["result"] == "unchanged" else {}
    return result


def status(place: Workplace, host: Host) -> dict[str, Any]:
    """What `status` tells of a host in AWS; a cloud that does not answer is a finding, not the end of it."""
    if host.aws is None:
        return {}
    try:
        found = look(place, host)
        assert found is not None  # noqa: S101  what `host.aws` says
        volumes = found.cloud.volumes()
    except CtlError as error:
        return {"error": error.message, "group": None, "volumes": [], "changes": []}
    return {
        "error": None,
        "group": found.todo.group.id,
        "volumes": [
            {"id": one.id, "device": one.device, "root": one.root, "encrypted": one.encrypted} for one in volumes
        ],
        "changes": changes_json(found.todo),
    }


def with_cloud(data: dict[str, Any], cloud: dict[str, Any]) -> dict[str, Any]:
    """A host's status with its cloud's; what is to change in front of it stands among its changes."""
    if not cloud:
        return data
    changes = cloud.pop("changes")
    drift = [change for change in changes if change["drift"]]
    return data | {"cloud": cloud, "drift": [*data["drift"], *drift], "pending": [*changes, *data["pending"]]}


def cloud_lines(cloud: dict[str, Any] | None) -> Iterable[Text]:
    if not cloud:
        return
    if cloud["error"]:
        yield Text.assemble("  ", ("!", "yellow"), f" {cloud['error']}")
    for volume in cloud["volumes"]:
        if not volume["encrypted"]:
            yield Text.assemble("  ", ("!", "yellow"), f" {_name(volume['id'], volume['root'])} is not encrypted")


def rule_lines(changes: Iterable[dict[str, Any]]) -> Iterable[Text]:
    """Those of the changes that are rules."""
    for change in changes:
        if change["type"] == "rule":
            note = "somebody else let this in" if change["drift"] else ""
            yield _line(change["action"] == "open", change["rule"], note)


def checks(place: Workplace, host: Host) -> list[Check]:
    """What the doctor says of a host in AWS: would a deploy be stopped, what would change, what is not encrypted."""
    from ctl.core.doctor import failed  # noqa: PLC0415  --help does not pay for it

    if host.aws is None:
        return []
    try:
        front = look(place, host)
        assert front is not None  # noqa: S101  what `host.aws` says
        found = [_group_check(front.todo)]
        return [*found, *_volume_checks(front.cloud.volumes(), str(place.selection(host).vars["data_device"] or ""))]
    except CtlError as error:
        return [failed("aws", error)]


def _group_check(todo: GroupPlan) -> Check:
    from ctl.core.doctor import Check  # noqa: PLC0415

    others = todo.group.instances
    where = todo.group.id
    if len(others) > 1:
        return Check(
            "security group",
            "warning",
            f"{where} is that of {len(others)} instances: {', '.join(others)}",
            "give this host a group of its own: the rules of its stack are for all of them",
        )
    if not todo:
        return Check("security group", "ok", f"{where} lets in what the stack wants, and nothing else")
    return Check(
        "security group",
        "warning" if todo.drift else "ok",
        f"{where}: a deploy would open {len(todo.open)} and close {len(todo.close)} rules"
        + (f", {len(todo.drift)} of them somebody else's" if todo.drift else ""),
        f"ctl plan {todo.host} shows them" if todo.drift else "",
    )


def _volume_checks(volumes: Iterable[Volume], data_device: str) -> Iterable[Check]:
    from ctl.core.doctor import Check  # noqa: PLC0415

    volumes = tuple(volumes)
    if data_device.startswith("vol-") and data_device not in {one.id for one in volumes}:
        yield Check(
            "encryption", "problem", f"{data_device} is no volume of this instance", "attach it, or mend data_device"
        )
    for one in volumes:
        if not one.encrypted:
            yield Check(
                "encryption",
                "warning",
                f"{_name(one.id, one.root)} is not encrypted",
                "copy a snapshot of it with encryption, and put a volume from that in its place"
                + ("" if one.root else "; or data_encryption: luks on an empty one"),
            )
    if volumes and all(one.encrypted for one in volumes):
        yield Check("encryption", "ok", f"{len(volumes)} volume{'s' if len(volumes) != 1 else ''} of EBS, encrypted")


def _name(volume: str, root: bool) -> str:
    return f"the volume {volume} ({'root' if root else 'data'})"
