"""A plan, for a person and as JSON."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from rich.text import Text

from ctl.core.graphics import unused
from ctl.core.plan import Change, ContainerChange, FileChange, Plan, StepChange
from ctl.core.probe import clean
from ctl.core.release import PHASES
from ctl.core.secret import redact

_SIGN = {
    "create": "+",
    "update": "~",
    "mode": "~",
    "delete": "-",
    "recreate": "~",
    "start": "+",
    "restart": "~",
    "remove": "-",
    "roll": "~",
    "scale": "~",
}
_STYLE = {"+": "green", "~": "yellow", "-": "red", "▸": "cyan"}
MAX_DIFF_LINES = 80


def plan_lines(plan: Plan, now: Mapping[str, bytes]) -> list[Text]:
    """The plan in phase order; `now` holds the present content of files that change, for their diffs."""
    release = plan.release
    lines = [
        Text.assemble(
            (f"{release.host}", "bold"),
            f": {release.stack}, release {release.id}, ",
            (_amount(plan), "bold" if plan else "green"),
        )
    ]
    phase = 0
    for change in plan.changes:
        if change.phase != phase:
            phase = change.phase
            lines.append(Text(f"\n{PHASES[phase]}", "bold"))
        lines.append(change_line(change))
        if isinstance(change, FileChange):
            lines.extend(_diff(change, now, plan))
    for step in plan.waiting:
        hint = f"ctl configure {release.host}, at a terminal"
        lines.append(Text.assemble(("  · ", "yellow"), "left for you: ", (step.title, "bold"), (f"  {hint}", "dim")))
    if note := unused(release, plan.facts):
        lines.append(Text.assemble(("  ! ", "yellow"), clean(note)))
    return lines


def _amount(plan: Plan) -> str:
    if plan.unrecorded:
        return "all in place, and only to be recorded as this release"
    count = len(plan.changes)
    return f"{count} change{'s' if count != 1 else ''}" if count else "nothing to do"


def change_line(change: Change) -> Text:
    if isinstance(change, StepChange):
        return _row("▸", "step", change.step.id.partition("/")[2], f"{change.step.title} ({change.reason})")
    sign = _SIGN[change.kind]
    if isinstance(change, ContainerChange):
        return _row(sign, "container", change.name, f"{change.kind}: {change.reason}")
    note = {"create": "", "update": "", "delete": "goes", "mode": "owner or mode"}[change.kind]
    if change.drift:
        note = ", ".join(part for part in (note, "drift: changed on the host") if part)
    return _row(sign, "file", change.path, note)


def _row(sign: str, kind: str, name: str, note: str) -> Text:
    tail = f"  {clean(note)}" if note else ""
    return Text.assemble("  ", (sign, _STYLE[sign]), f" {kind:<9} ", (clean(name), "bold"), (tail, "dim"))


def _diff(change: FileChange, now: Mapping[str, bytes], plan: Plan) -> list[Text]:
    if change.kind != "update" or change.after is None:
        return []
    if change.after.sensitive:
        return [Text("      its content holds secrets and is not shown", "dim")]
    before = now.get(change.path)
    if before is None:
        return []
    old, new = (
        redact(text.decode("utf-8", "replace"), plan.release.secrets) for text in (before, change.after.content)
    )
    found = list(difflib.unified_diff(old.splitlines(), new.splitlines(), lineterm="", n=2))[2:]
    lines = [Text(f"      {clean(line)}", _diff_style(line)) for line in found[:MAX_DIFF_LINES]]
    if len(found) > MAX_DIFF_LINES:
        lines.append(Text(f"      … {len(found) - MAX_DIFF_LINES} more lines", "dim"))
    return lines


def _diff_style(line: str) -> str:
    return {"+": "green", "-": "red", "@": "cyan"}.get(line[:1], "dim")


def plan_json(plan: Plan) -> dict[str, Any]:
    """Stable names for programs; no content of files."""
    return {
        "host": plan.release.host,
        "stack": plan.release.stack,
        "release": plan.release.id,
        "current": plan.facts.current or None,
        "empty": not plan,
        "changes": [change_json(change) for change in plan.changes],
        "waiting": [step.id for step in plan.waiting],
        "notes": [clean(note)] if (note := unused(plan.release, plan.facts)) else [],
    }


def change_json(change: Change) -> dict[str, Any]:
    base: dict[str, Any] = {"phase": PHASES[change.phase]}
    if isinstance(change, StepChange):
        return base | {"type": "step", "id": change.step.id, "title": change.step.title, "reason": change.reason}
    if isinstance(change, ContainerChange):
        return base | {"type": "container", "name": change.name, "action": change.kind, "reason": change.reason}
    return base | {"type": "file", "path": change.path, "action": change.kind, "drift": change.drift}
