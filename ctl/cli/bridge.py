"""bridge: connects a local model server to its owner's session in the cloud, and shows which way is in use."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ctl.cli import options

To = Annotated[str, typer.Option("--to", metavar="URL", help="The portal, like https://ai.example.com.")]
Ollama = Annotated[
    str,
    typer.Option("--ollama", metavar="URL", help="The local model server: Ollama, or one that speaks OpenAI's API."),
]
Api = Annotated[str, typer.Option("--api", metavar="URL", help="The API; else api. before the portal's name.")]
Email = Annotated[str, typer.Option("--email", help="Who logs in; else CTL_BRIDGE_EMAIL, else it is asked.")]
TokenCommand = Annotated[
    str, typer.Option("--token-command", metavar="CMD", help="Prints an access token, instead of a login here.")
]
Ca = Annotated[Path | None, typer.Option("--ca", metavar="FILE", help="A private authority to trust as well (PEM).")]
PreferLocal = Annotated[
    bool, typer.Option("--prefer-local", help="Connect to the cloud only while the local server does not answer.")
]
Ngrok = Annotated[bool, typer.Option("--ngrok", help="Open an ngrok tunnel while the cloud cannot be had.")]
Listen = Annotated[
    str, typer.Option("--listen", metavar="HOST:PORT", help="A door for programs here, like 127.0.0.1:11435.")
]


def bridge(
    context: typer.Context,
    to: To,
    ollama: Ollama = "http://localhost:11434",
    api: Api = "",
    email: Email = "",
    token_command: TokenCommand = "",
    ca: Ca = None,
    prefer_local: PreferLocal = False,
    ngrok: Ngrok = False,
    listen: Listen = "",
    json: options.Json = False,
) -> None:
    """Connect the model server of this desktop to your session in the cloud, until Ctrl-C.

    The password is asked for, or comes from CTL_BRIDGE_PASSWORD in the environment or in .env.
    """
    from ctl.bridge.order import Wish  # noqa: PLC0415
    from ctl.bridge.reaching import address, tls  # noqa: PLC0415
    from ctl.bridge.running import Settings  # noqa: PLC0415
    from ctl.cli import bridging  # noqa: PLC0415
    from ctl.edge.project import open_project  # noqa: PLC0415

    supplied = open_project(context.obj).supplied_secrets()
    portal = address(to, "--to")
    bridging.run(
        bridging.Place(
            settings=Settings(
                to=portal,
                wish=Wish(prefer_local=prefer_local, tunnel=ngrok),
                door=bridging.door(listen) if listen else None,
                ngrok=bridging.found_ngrok() if ngrok else "",
                environment=bridging.for_ngrok(supplied),
            ),
            api=address(api, "--api") if api else bridging.api_of(portal),
            local=address(ollama, "--ollama", near=True),
            key=supplied.get("CTL_BRIDGE_MODEL_KEY", ""),
            tls=tls(ca),
        ),
        bridging.credentials(email, token_command, supplied),
        json=json,
    )
