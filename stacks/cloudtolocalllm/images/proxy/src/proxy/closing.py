"""How a connection ends."""

from __future__ import annotations

import asyncio

READ = 2**16
"""Bytes that are read at a time, at most."""
CLOSE_SECONDS = 5
"""How long the other side has to hear the end."""


async def see_out(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Close once the other side has what was sent to it, and cut it off if it takes CLOSE_SECONDS.

    What it still sends is read and dropped: a connection closed on unread bytes takes with it what was sent last.
    """
    cut = asyncio.get_running_loop().call_later(CLOSE_SECONDS, writer.transport.abort)
    try:
        if writer.can_write_eof():
            writer.write_eof()
        while await reader.read(READ):
            pass
        writer.close()
        await writer.wait_closed()
    except OSError:
        writer.transport.abort()
    finally:
        cut.cancel()
        writer.close()
