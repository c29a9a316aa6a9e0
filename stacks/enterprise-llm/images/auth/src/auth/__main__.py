"""python -m auth"""

from __future__ import annotations

import sys

from webservice.environment import SettingsError
from webservice.serve import serve
from webservice.web import log_to_stdout

from . import settings as given
from .app import application
from .service import Service


def main() -> None:
    try:
        settings = given.from_environment()
    except SettingsError as error:
        sys.exit(f"auth: {error}")
    try:
        settings.data.mkdir(parents=True, exist_ok=True)
        (settings.data / ".writable").touch()
    except OSError as error:
        sys.exit(f"auth: DATA_DIR {settings.data} cannot be written: {error.strerror}")
    log_to_stdout("auth", settings.log_level)
    service = Service(settings)

    def drain() -> None:
        service.draining = True

    serve(
        application(service),
        host=settings.host,
        port=settings.port,
        trusted_proxies=settings.trusted_proxies,
        on_term=drain,
        drain_delay=0,
        drain_seconds=settings.drain_seconds,
    )


if __name__ == "__main__":
    main()
