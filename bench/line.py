"""A long line on one machine: two tun devices, joined by this program, which holds every packet for a while.

    python bench/line.py ctlbench0 ctlbench1 25        # milliseconds for each way

It says `ready` when the devices are there; who started it gives them addresses, and may move the second one into
another network namespace. They go when it ends: at the end of its stdin. TCP behaves as on a real line.
"""

from __future__ import annotations

import fcntl
import os
import select
import struct
import sys
from collections import deque
from time import monotonic

TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000
PACKET = 65536


def device(name: str) -> int:
    handle = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(handle, TUNSETIFF, struct.pack("16sH", name.encode(), IFF_TUN | IFF_NO_PI))
    return handle


def carry(one: int, other: int, seconds: float) -> None:
    """Packets from each device to the other, each `seconds` after it came, until stdin ends."""
    across = {one: other, other: one}
    held: deque[tuple[float, int, bytes]] = deque()
    stdin = sys.stdin.fileno()
    # A poll of whole milliseconds would add up to one to every packet.
    with select.epoll() as ready:
        for handle in (one, other, stdin):
            ready.register(handle, select.EPOLLIN)
        while True:
            wait = max(held[0][0] - monotonic(), 0) if held else -1
            for handle, _ in ready.poll(wait):
                if handle == stdin:
                    return
                held.append((monotonic() + seconds, across[handle], os.read(handle, PACKET)))
            while held and held[0][0] <= monotonic():
                _, handle, packet = held.popleft()
                try:
                    os.write(handle, packet)
                except OSError:
                    pass  # a device that is not up yet, or a full one: a line may lose a packet


if __name__ == "__main__":
    first, second = (device(name) for name in sys.argv[1:3])
    print("ready", flush=True)
    carry(first, second, float(sys.argv[3]) / 1000)
