"""Sessions before they are somebody's, and what each of them is: a network, nginx on it, a container.

The network comes first and goes last: what is cut off in between can be told, for it has no container.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Set
from ipaddress import IPv4Network

from .engine import Engine, EngineError
from .proxies import new_id, session_key
from .settings import Settings
from .shapes import Network, free_subnets

log = logging.getLogger("users")

OVERLAPS = 32
"""So many subnets may turn out to be somebody else's before it is given up."""


class Stock:
    """Every method raises EngineError. `now` gives seconds since 1970."""

    def __init__(self, settings: Settings, engine: Engine, now: Callable[[], float]) -> None:
        self.settings = settings
        self.engine = engine
        self.now = now
        self.spares: list[str] = []
        """Sessions that nobody has yet; their containers run."""
        self.doors: frozenset[str] = frozenset()
        """nginx's containers as they were last seen."""
        self._hands: set[str] = set()
        self._taken: dict[str, IPv4Network] = {}
        self._foreign: set[IPv4Network] = set()
        self._last: IPv4Network | None = None
        self._making = 0
        self._starting = asyncio.Semaphore(settings.starts_at_once)

    @property
    def known(self) -> set[str]:
        """Sessions that are nobody's, and not to be swept."""
        return {*self.spares, *self._hands}

    @property
    def making(self) -> bool:
        """Whether somebody waits for a session that is made now."""
        return self._making > 0

    def note(self, networks: Iterable[Network], others: Set[str]) -> None:
        """What Docker has is taken; what it has not, and what is neither known here nor one of the others', is free."""
        listed = {network.session: network.subnets[0] for network in networks if network.subnets}
        kept = self.known | listed.keys() | others
        self._taken = {session: subnet for session, subnet in (listed | self._taken).items() if session in kept}

    def forget(self, spares: Collection[str]) -> None:
        self.spares = [one for one in self.spares if one not in spares]

    async def spare(self) -> None:
        """One more session that nobody has yet, if there may be more."""
        if len(self.spares) < self.settings.spares:
            session = new_id()
            async with self.in_hand(session):
                await self.make(session)
                self.spares.append(session)

    @contextlib.asynccontextmanager
    async def in_hand(self, session: str, name: str | None = None) -> AsyncIterator[None]:
        """Nobody sweeps it meanwhile; what comes to nothing is removed, under that user's name too."""
        self._hands.add(session)
        try:
            yield
        except BaseException:
            with contextlib.suppress(EngineError):  # what cannot be removed now, the next sweep finds
                await asyncio.shield(self.clear(session, name))
            raise
        finally:
            self._hands.discard(session)

    async def make(self, session: str) -> None:
        """A session without an owner: its network with nginx on it, and its container."""
        created = int(self.now())
        self._making += 1
        try:
            async with self._starting:
                await self._network(session, created)
                joins = (self._join(door.name, session) for door in await self.engine.doors())
                await together(self._create(session, created), *joins)
                await self.engine.start(self.engine.stack.spare(session))
        finally:
            self._making -= 1

    async def give(self, session: str, name: str, *, waited: bool) -> bool:
        """The container gets its user's name, by which nginx finds it. False if somebody has removed it.

        One that has `waited` is started, should it have stopped since.
        """
        spare, container = self.engine.stack.spare(session), self.engine.stack.container(name)
        try:
            if waited:
                await self.engine.start(spare)
            try:
                await self.engine.rename(spare, container)
            except EngineError as error:
                if error.status != 409:
                    raise
                await self.engine.remove(container)  # something of that name was left over
                await self.engine.rename(spare, container)
        except EngineError as error:
            if error.status != 404:
                raise
            with contextlib.suppress(EngineError):
                await self.clear(session)
            return False
        return True

    async def clear(self, session: str, name: str | None = None) -> None:
        """Remove its container, under that user's name too, then its network."""
        stack = self.engine.stack
        await together(*map(self.engine.remove, [stack.spare(session), *([stack.container(name)] if name else [])]))
        await together(*(self.engine.part(door, session) for door in self.doors))
        await self.engine.remove_network(session)
        self._taken.pop(session, None)

    async def look_for_doors(self, sessions: Collection[str]) -> None:
        """Connect nginx to those of their networks that it is not on: it was created anew, or was away."""
        doors = await self.engine.doors()
        self.doors = frozenset(door.name for door in doors)
        missing = [
            (door.name, session)
            for door in doors
            for session in sessions
            if self.engine.stack.network(session) not in door.networks
        ]
        await together(*(self._join(door, session) for door, session in missing))
        if missing:
            log.info("nginx joined", extra={"fields": {"networks": len(missing)}})

    async def _join(self, door: str, session: str) -> None:
        """What goes wrong with nginx is no reason not to go on: it is looked for again and again."""
        try:
            await self.engine.join(door, session)
        except EngineError as error:
            log.warning("nginx not joined", extra={"fields": {"session": session, "why": str(error)}})

    async def _network(self, session: str, created: int) -> None:
        for _ in range(OVERLAPS):
            taken = self._foreign | set(self._taken.values())
            subnet = next(free_subnets(self.settings.subnets, taken, self._last), None)
            if subnet is None:
                raise EngineError(503, "no subnet is left")
            self._taken[session] = self._last = subnet
            try:
                await self.engine.create_network(session, created, subnet)
                return
            except EngineError as error:
                if not error.overlap:
                    raise
                self._foreign.add(subnet)
        raise EngineError(503, "every subnet that was tried is somebody else's")

    async def _create(self, session: str, created: int) -> None:
        given = self.settings
        key = session_key(given.streaming_key, session)
        await self.engine.create(session, created, given.proxy_image, key, given.portal_origin)


async def together(*work: Awaitable[None]) -> None:
    """All of it, to the end; then the first error, if there was one."""
    for error in await errors(*work):
        raise error


async def errors(*work: Awaitable[None]) -> list[BaseException]:
    """All of it, to the end, and what went wrong."""
    return [one for one in await asyncio.gather(*work, return_exceptions=True) if isinstance(one, BaseException)]
