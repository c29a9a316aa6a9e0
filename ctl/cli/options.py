"""Options and arguments that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

Target = Annotated[
    str | None, typer.Argument(metavar="[TARGET]", help="A host of inventory.yaml, user@host[:port], lab or local.")
]
Targets = Annotated[
    list[str] | None, typer.Argument(metavar="[TARGET]...", help="Hosts or groups of inventory.yaml, user@host[:port].")
]
StackName = Annotated[str, typer.Option("--stack", help="The stack; else the inventory's.")]
Set = Annotated[list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A variable, over the inventory's.")]
Gpu = Annotated[
    str, typer.Option("--gpu", metavar="auto|none|nvidia", help="Whose graphics card models run on; auto: the host's.")
]
Phases = Annotated[
    list[int] | None, typer.Option("--phase", min=1, max=4, help="This phase only (1 to 4); may be repeated.")
]
Only = Annotated[
    list[str] | None, typer.Option("--only", metavar="SERVICE", help="This service only; may be repeated.")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Json = Annotated[bool, typer.Option("--json", help="For programs.")]
Key = Annotated[str, typer.Option("--key", metavar="FILE", help="The private key to log in with.")]
AcceptNew = Annotated[
    bool, typer.Option("--accept-new-host-key", help="Trust a host that was never seen before (first contact).")
]
DetailedExitCode = Annotated[
    bool, typer.Option("--detailed-exitcode", help="Exit with 3 when something would change or has drifted.")
]
Wait = Annotated[
    int, typer.Option("--wait", metavar="SECONDS", min=0, help="Wait this long for another run on the host to end.")
]


def with_gpu(set_: list[str] | None, gpu: str) -> list[str]:
    """What `--set` says, and after it what `--gpu` does."""
    return [*(set_ or []), *([f"gpu={gpu}"] if gpu else [])]
