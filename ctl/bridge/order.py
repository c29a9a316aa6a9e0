"""Which way to the model is in use, and what has to run for it. Pure: events in, states out.

The order: the local server if it is preferred and answers, the cloud, the tunnel when the cloud cannot be had, and in
the end the local server again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum


class Way(Enum):
    """What is in use."""

    LOCAL = "local"
    CLOUD = "cloud"
    TUNNEL = "ngrok"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Wish:
    """What the person asked for. `patience`: attempts at the cloud that may fail before the tunnel is opened."""

    prefer_local: bool = False
    tunnel: bool = False
    patience: int = 3


@dataclass(frozen=True, slots=True)
class State:
    """What is known. `failures`: attempts at the cloud that failed, in a row."""

    local: bool = False
    cloud: bool = False
    tunnel: bool = False
    failures: int = 0


@dataclass(frozen=True, slots=True)
class Wanted:
    """What has to run now."""

    cloud: bool
    tunnel: bool


class Event(Enum):
    """What can happen."""

    LOCAL_ANSWERS = "local answers"
    LOCAL_AWAY = "local away"
    CONNECTED = "connected"
    FAILED = "failed"
    """An attempt at the cloud that came to nothing, or to a connection that did not last."""
    LEFT = "left"
    """The cloud was had, and is not any more: cut, ended, or not wanted."""
    TUNNEL_UP = "tunnel up"
    TUNNEL_DOWN = "tunnel down"


def after(state: State, event: Event) -> State:
    match event:
        case Event.LOCAL_ANSWERS | Event.LOCAL_AWAY:
            return replace(state, local=event is Event.LOCAL_ANSWERS)
        case Event.CONNECTED:
            return replace(state, cloud=True)
        case Event.FAILED:
            return replace(state, cloud=False, failures=state.failures + 1)
        case Event.LEFT:
            return replace(state, cloud=False, failures=0)
        case Event.TUNNEL_UP | Event.TUNNEL_DOWN:
            return replace(state, tunnel=event is Event.TUNNEL_UP)


def in_use(wish: Wish, state: State) -> Way:
    if wish.prefer_local and state.local:
        return Way.LOCAL
    if state.cloud:
        return Way.CLOUD
    if state.tunnel:
        return Way.TUNNEL
    return Way.LOCAL if state.local else Way.NONE


def wanted(wish: Wish, state: State) -> Wanted:
    """The cloud is tried whenever the local server is not enough, on the tunnel too: so the way back is found."""
    outside = not (wish.prefer_local and state.local)
    return Wanted(
        cloud=outside,
        tunnel=outside and wish.tunnel and not state.cloud and state.failures >= wish.patience,
    )
