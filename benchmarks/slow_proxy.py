"""A network as long as is wished, and as wide as loopback: `python slow_proxy.py UPSTREAM_PORT`.

Every byte arrives half a round trip after it was sent; how many arrive in a second is not limited, nor is the number of
connections. A new connection waits for one round trip more, as a handshake does (ours with the upstream costs nothing).

A line on its standard input gives the round trip in ms from now on; it answers with a line of JSON that counts what has
passed since the line before: connections, bytes up, bytes down, us of its own CPU time.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import deque
from typing import Any

import uvloop


class Network:
    """The round trip in s, and what has passed."""

    def __init__(self, upstream_port: int) -> None:
        self.upstream_port = upstream_port
        self.round_trip_s = 0.0
        self._cpu_s = time.process_time()
        self.connections = self.bytes_up = self.bytes_down = 0

    def restart(self, round_trip_ms: float) -> dict[str, int]:
        """What has been counted; from now on it is counted anew, with another round trip."""
        cpu_s = time.process_time()
        counted = {
            "connections": self.connections,
            "bytes_up": self.bytes_up,
            "bytes_down": self.bytes_down,
            "cpu_us": round((cpu_s - self._cpu_s) * 1e6),
        }
        self.round_trip_s, self._cpu_s = round_trip_ms / 1000, cpu_s
        self.connections = self.bytes_up = self.bytes_down = 0
        return counted


class Pipe:
    """One direction: what is put in comes out of `to` later, in order."""

    def __init__(self, network: Network, loop: asyncio.AbstractEventLoop, *, not_before: float = 0.0) -> None:
        self._network, self._loop, self._not_before = network, loop, not_before
        self._waiting: deque[tuple[float, bytes | None]] = deque()
        self._to: Any = None

    def connect(self, to: Any) -> None:
        self._to = to
        self._flow()

    def put(self, data: bytes | None) -> None:
        """None: no more will come."""
        due = max(self._loop.time() + self._network.round_trip_s / 2, self._not_before)
        self._waiting.append((due, data))
        if len(self._waiting) == 1:
            self._flow()

    def _flow(self) -> None:
        if self._to is None:
            return
        while self._waiting:
            due, data = self._waiting[0]
            if due > self._loop.time():
                self._loop.call_at(due, self._flow)
                return
            self._waiting.popleft()
            if data is None:
                self._to.close()
            elif not self._to.is_closing():
                self._to.write(data)


class Client(asyncio.Protocol):
    """The side that connected to us."""

    def __init__(self, network: Network) -> None:
        self._network = network

    def connection_made(self, transport: Any) -> None:
        loop, network = asyncio.get_running_loop(), self._network
        network.connections += 1
        self._up = Pipe(network, loop, not_before=loop.time() + 1.5 * network.round_trip_s)
        down = Pipe(network, loop)
        down.connect(transport)
        self._opening = loop.create_task(self._open(down))

    async def _open(self, down: Pipe) -> None:
        loop = asyncio.get_running_loop()
        where = ("127.0.0.1", self._network.upstream_port)
        transport, _ = await loop.create_connection(lambda: Upstream(self._network, down), *where)
        self._up.connect(transport)

    def data_received(self, data: bytes) -> None:
        self._network.bytes_up += len(data)
        self._up.put(data)

    def connection_lost(self, _error: Exception | None) -> None:
        self._up.put(None)


class Upstream(asyncio.Protocol):
    """The side that we connected to."""

    def __init__(self, network: Network, down: Pipe) -> None:
        self._network, self._down = network, down

    def data_received(self, data: bytes) -> None:
        self._network.bytes_down += len(data)
        self._down.put(data)

    def connection_lost(self, _error: Exception | None) -> None:
        self._down.put(None)


async def main() -> None:
    loop = asyncio.get_running_loop()
    network = Network(int(sys.argv[1]))
    server = await loop.create_server(lambda: Client(network), "127.0.0.1", 0, backlog=1024)
    print(f"serving on http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        print(json.dumps(network.restart(float(line))), flush=True)
    server.close()


if __name__ == "__main__":
    uvloop.run(main())
