"""Uvicorn with an end in two steps: first the process says that it drains, later it stops listening."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import FrameType

import uvicorn
from starlette.types import ASGIApp


class Server(uvicorn.Server):
    """On SIGTERM: `on_term()`, `drain_delay` seconds in which requests are still served (so that the proxy sees readyz
    fail before the port closes), then no new connections and up to `drain_seconds` for what is under way. A second
    signal ends it at once."""

    def __init__(self, config: uvicorn.Config, on_term: Callable[[], None], drain_delay: float) -> None:
        super().__init__(config)
        self._on_term = on_term
        self._drain_delay = drain_delay
        self._signals = 0
        self._stop_at: float | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._signals += 1
        if self._signals > 1:
            self.should_exit = self.force_exit = True

    async def on_tick(self, counter: int) -> bool:
        if self._signals and self._stop_at is None:
            self._stop_at = time.monotonic() + self._drain_delay
            self._on_term()
        if self._stop_at is not None and time.monotonic() >= self._stop_at:
            self.should_exit = True
        return await super().on_tick(counter)


def serve(
    app: ASGIApp,
    *,
    host: str,
    port: int,
    trusted_proxies: str | None = None,
    on_term: Callable[[], None],
    drain_delay: float,
    drain_seconds: int,
) -> None:
    """Run until SIGTERM or SIGINT; exit 0 after a clean end, 1 if it could not start."""
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=True,
        proxy_headers=trusted_proxies is not None,
        forwarded_allow_ips=trusted_proxies,
        timeout_keep_alive=130,  # longer than proxies keep an idle connection, so that they are the ones who close it
        timeout_graceful_shutdown=drain_seconds,
        backlog=2048,
    )
    server = Server(config, on_term, drain_delay)
    try:
        server.run()
    except KeyboardInterrupt:
        pass
    if not server.started:
        sys.exit(1)
