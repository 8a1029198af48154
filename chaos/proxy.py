"""A way to an instance that can go bad: what is sent is not delivered, and nobody is told."""

import asyncio
import socket
from typing import Final, cast

from realtime.embedded.kinds import LOOPBACK

_WINDOW: Final = 8_192
"""Bytes that the kernel takes from an instance for a client that does not read."""


class Proxy:
    """Passes bytes between clients and one instance, as long as the way is good."""

    def __init__(self, port: int) -> None:
        """`port` is the instance's."""
        self.port = 0
        self._to = port
        self._pairs: set[_Pair] = set()
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Client(self), LOOPBACK, 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        self.cut()

    def stall(self, *, both_ways: bool = False) -> None:
        """Nothing comes from the instance any more; what clients send still reaches it, or not."""
        for pair in self._pairs:
            pair.stall(both_ways=both_ways)

    def flow(self) -> None:
        """What was held back comes now."""
        for pair in self._pairs:
            pair.flow()

    def cut(self) -> None:
        """End every connection without a word."""
        for pair in list(self._pairs):
            pair.cut()

    async def connect(self, pair: "_Pair") -> None:
        """Find the instance for a client that came, or send the client away."""
        loop = asyncio.get_running_loop()
        self._pairs.add(pair)
        sock = socket.socket()
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _WINDOW)
        try:
            await loop.sock_connect(sock, (LOOPBACK, self._to))
            await loop.create_connection(lambda: _Upstream(pair), sock=sock)
        except OSError:
            sock.close()
            pair.cut()

    def forget(self, pair: "_Pair") -> None:
        self._pairs.discard(pair)


class _Pair:
    """A client's connection and the one to the instance that stands for it."""

    def __init__(self, proxy: Proxy, client: asyncio.Transport) -> None:
        self._proxy = proxy
        self._client = client
        self._upstream: asyncio.Transport | None = None
        self._early: list[bytes] = []

    def from_client(self, data: bytes) -> None:
        if self._upstream is None:
            self._early.append(data)
        else:
            self._upstream.write(data)

    def from_instance(self, data: bytes) -> None:
        self._client.write(data)

    def connected(self, upstream: asyncio.Transport) -> None:
        self._upstream = upstream
        for data in self._early:
            upstream.write(data)
        if self._client.is_closing():
            upstream.close()

    def stall(self, *, both_ways: bool) -> None:
        if self._upstream is not None:
            self._upstream.pause_reading()
        if both_ways:
            self._client.pause_reading()

    def flow(self) -> None:
        self._client.resume_reading()
        if self._upstream is not None:
            self._upstream.resume_reading()

    def cut(self) -> None:
        self._proxy.forget(self)
        self._client.abort()
        if self._upstream is not None:
            self._upstream.abort()

    def close(self) -> None:
        """One side has ended: so does the other, when it has what was sent."""
        self._proxy.forget(self)
        self._client.close()
        if self._upstream is not None:
            self._upstream.close()


class _Client(asyncio.Protocol):
    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._pair = _Pair(self._proxy, cast("asyncio.Transport", transport))
        self._connecting = asyncio.ensure_future(self._proxy.connect(self._pair))

    def data_received(self, data: bytes) -> None:
        self._pair.from_client(data)

    def connection_lost(self, _error: Exception | None) -> None:
        self._pair.close()


class _Upstream(asyncio.Protocol):
    def __init__(self, pair: _Pair) -> None:
        self._pair = pair

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._pair.connected(cast("asyncio.Transport", transport))

    def data_received(self, data: bytes) -> None:
        self._pair.from_instance(data)

    def connection_lost(self, _error: Exception | None) -> None:
        self._pair.close()
