"""python -m proxy"""

from __future__ import annotations

import sys

# nginx speaks TLS, and HMAC needs no OpenSSL: without these two a process is 4 MB smaller.
sys.modules["ssl"] = sys.modules["_hashlib"] = None  # type: ignore[assignment]

import asyncio  # noqa: E402
import os  # noqa: E402

from .log import to_stdout  # noqa: E402
from .server import Server  # noqa: E402
from .settings import Settings, SettingsError, from_environment  # noqa: E402


async def run(settings: Settings) -> None:
    await Server(settings).run()


def main() -> None:
    try:
        settings = from_environment(os.environ)
    except SettingsError as error:
        sys.exit(f"proxy: {error}")
    to_stdout()
    asyncio.run(run(settings))


if __name__ == "__main__":
    main()
