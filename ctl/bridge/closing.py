"""What it means that the proxy closed the connection."""

from __future__ import annotations

from dataclasses import dataclass

from ctl.bridge.frames import Close


@dataclass(frozen=True, slots=True)
class Closing:
    """`ended`: the session is over, and nobody wants a new one of us. `final`: not to be tried again."""

    message: str
    ended: bool = False
    final: bool = False


_MEANINGS: dict[int, Closing] = {
    1000: Closing("the session was closed", ended=True),
    Close.GOING_AWAY: Closing("the session's container was stopped", ended=True),
    Close.PROTOCOL: Closing("the proxy met a fault in the protocol"),
    1003: Closing("the proxy met a message that it does not know"),
    1006: Closing("the connection was cut"),
    1008: Closing("the proxy refused the connection"),
    Close.TOO_LARGE: Closing("a message was too large for the proxy"),
    1011: Closing("the proxy failed"),
    1012: Closing("the proxy restarts"),
    Close.BUSY: Closing("the proxy has too much to do"),
    Close.BAD_TOKEN: Closing("the proxy did not accept the session's token; is the clock of this machine right?"),
    Close.WRONG_SESSION: Closing("the token is for another session, which may have been replaced"),
    Close.EXPIRED: Closing("the token ran out before it was renewed"),
    Close.REPLAY: Closing("the proxy has seen the token before; a new one is taken"),
    Close.REPLACED: Closing("another desktop took over this session", final=True),
}


def meaning(code: int | None) -> Closing:
    """Of a close code; None or 1005 is a connection that ended without one."""
    if code in (None, 1005):
        return _MEANINGS[1006]
    return _MEANINGS.get(code or 0, Closing(f"the proxy closed the connection with code {code}"))
