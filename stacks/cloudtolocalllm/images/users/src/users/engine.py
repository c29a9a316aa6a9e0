"""The calls of Docker's API that are made here, all of them: as many at once as two cores can do something with."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import TypeVar

import docker
import requests
from docker.errors import APIError, DockerException
from docker.types import IPAMConfig, IPAMPool

from .shapes import ID, NETWORK_OPTIONS, Container, Door, Network, Stack, container_body

T = TypeVar("T")
TIMEOUT = 60
"""Seconds that the engine gets for one call: on a busy host a start can take some."""

Observe = Callable[[str, bool, float], None]
"""Told of each call: its name, whether it went well, and its seconds."""


class EngineError(Exception):
    """Docker refused, failed, or is not there (status 503)."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status

    @property
    def overlap(self) -> bool:
        """Whether a subnet is somebody else's."""
        return "overlaps" in str(self) or "is not available" in str(self)


@dataclass(frozen=True)
class Usage:
    """What a container has used since it was started. Seconds, bytes."""

    cpu: float
    memory: int
    received: int
    sent: int


class Engine:
    """Containers go by their names, networks by the ids of their sessions.

    Every method raises EngineError; what is to be removed may be gone already.
    """

    def __init__(self, stack: Stack, url: str, *, at_once: int, observe: Observe) -> None:
        self.stack = stack
        self._url = url
        self._observe = observe
        self._pool = ThreadPoolExecutor(at_once, thread_name_prefix="docker")
        self._own = threading.local()

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def containers(self) -> list[Container]:
        found = await self._call("list", lambda c: c.containers(all=True, filters={"label": [self.stack.label]}))
        return [
            self.stack.listed(one["Names"][0].lstrip("/"), one["State"], one["Labels"]) for one in found if one["Names"]
        ]

    async def doors(self) -> list[Door]:
        """The running containers of this stack's nginx."""
        found = await self._call("doors", lambda c: c.containers(filters={"label": self.stack.door_labels}))
        return [
            Door(one["Names"][0].lstrip("/"), frozenset(one["NetworkSettings"]["Networks"]))
            for one in found
            if one["Names"]
        ]

    async def networks(self) -> list[Network]:
        found = await self._call("networks", lambda c: c.networks(filters={"label": [self.stack.label]}))
        named = ((one["Name"].removeprefix(self.stack.network("")), one["IPAM"]["Config"] or ()) for one in found)
        return [
            Network(session, tuple(IPv4Network(part["Subnet"]) for part in parts))
            for session, parts in named
            if ID.fullmatch(session)
        ]

    async def create_network(self, session: str, created: int, subnet: IPv4Network) -> None:
        await self._call(
            "create_network",
            lambda c: c.create_network(
                self.stack.network(session),
                driver="bridge",
                options=NETWORK_OPTIONS,
                ipam=IPAMConfig(pool_configs=[IPAMPool(subnet=str(subnet))]),
                check_duplicate=True,
                internal=True,
                labels=self.stack.labels(session, created),
            ),
        )

    async def remove_network(self, session: str) -> None:
        await self._gone("remove_network", lambda c: c.remove_network(self.stack.network(session)))

    async def join(self, door: str, session: str) -> None:
        """Connect nginx; nothing where it is already."""
        try:
            await self._call("join", lambda c: c.connect_container_to_network(door, self.stack.network(session)))
        except EngineError as error:
            if "already exists in network" not in str(error):
                raise

    async def part(self, door: str, session: str) -> None:
        await self._gone(
            "part", lambda c: c.disconnect_container_from_network(door, self.stack.network(session), force=True)
        )

    async def create(self, session: str, created: int, image: str, session_key: str, portal: str) -> None:
        """The container of a session that nobody has yet."""
        body, name = container_body(self.stack, session, created, image, session_key, portal), self.stack.spare(session)
        await self._call("create", lambda c: c.create_container_from_config(body, name))  # type: ignore[no-untyped-call]

    async def rename(self, container: str, name: str) -> None:
        """Status 409 where another one is called so."""
        await self._call("rename", lambda c: c.rename(container, name))

    async def start(self, container: str) -> None:
        await self._call("start", lambda c: c.start(container))

    async def stop(self, container: str, seconds: int) -> None:
        """SIGTERM, and SIGKILL after `seconds`."""
        await self._gone("stop", lambda c: c.stop(container, timeout=seconds))

    async def remove(self, container: str) -> None:
        await self._gone("remove", lambda c: c.remove_container(container, v=True, force=True))

    async def usage(self, container: str) -> Usage | None:
        """None where Docker cannot tell: it has stopped, or the host has no such figures."""
        found = await self._call("stats", lambda c: c.stats(container, stream=False, one_shot=True))
        memory = found.get("memory_stats") or {}
        if "usage" not in memory:
            return None
        details, networks = memory.get("stats", {}), found.get("networks", {}).values()
        cache = details.get("total_inactive_file", details.get("inactive_file", 0))
        return Usage(
            cpu=found["cpu_stats"]["cpu_usage"]["total_usage"] / 1e9,
            memory=max(0, memory["usage"] - cache),
            received=sum(one["rx_bytes"] for one in networks),
            sent=sum(one["tx_bytes"] for one in networks),
        )

    async def _gone(self, name: str, call: Callable[[docker.APIClient], object]) -> None:
        try:
            await self._call(name, call)
        except EngineError as error:
            # 404: it is gone; 409: its removal is under way; 403 of a disconnect: it was not connected.
            gone = error.status == 404 or "is already in progress" in str(error) or "is not connected" in str(error)
            if not gone:
                raise

    async def _call(self, name: str, call: Callable[[docker.APIClient], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._make, name, call)

    def _make(self, name: str, call: Callable[[docker.APIClient], T]) -> T:
        began = time.perf_counter()
        fine = False
        try:
            result = call(self._client())
            fine = True
        except APIError as error:
            status = error.response.status_code if error.response is not None else 500
            raise EngineError(status, str(error.explanation or error)) from None
        except (DockerException, requests.RequestException) as error:
            self._own.client = None
            raise EngineError(503, type(error).__name__) from None
        finally:
            self._observe(name, fine, time.perf_counter() - began)
        return result

    def _client(self) -> docker.APIClient:
        """One for each thread: a session of requests is not made for several."""
        client: docker.APIClient | None = getattr(self._own, "client", None)
        if client is None:
            client = docker.APIClient(base_url=self._url, version="auto", timeout=TIMEOUT)
            client.trust_env = False
            self._own.client = client
        return client
