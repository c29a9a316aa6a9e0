"""python -m users"""

from __future__ import annotations

import sys

from webservice.environment import SettingsError
from webservice.serve import serve
from webservice.web import log_to_stdout

from . import settings as given
from .app import Application


def main() -> None:
    try:
        settings = given.from_environment()
    except SettingsError as error:
        sys.exit(f"users: {error}")
    log_to_stdout("users", settings.log_level)
    application = Application(settings)
    serve(
        application.asgi,
        host=settings.host,
        port=settings.port,
        on_term=application.drain,
        drain_delay=settings.drain_delay_seconds,
        drain_seconds=settings.drain_seconds,
    )


if __name__ == "__main__":
    main()
