"""A TCP proxy that can lose answers on the way: what the server did, nobody is told."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import httpx


class Proxy:
    """Forwards to `upstream`, which may be exchanged. Loses as many answers as `losing` says."""

    def __init__(self, upstream: str) -> None:
        self.upstream = upstream
        self.losing = 0
        self.url = ""
        self.forwarded = asyncio.Event()
        """Set once a part of a request has gone to the upstream."""
        self._open: set[asyncio.StreamWriter] = set()

    @classmethod
    @asynccontextmanager
    async def to(cls, upstream: str) -> AsyncIterator["Proxy"]:
        proxy = cls(upstream)
        server = await asyncio.start_server(proxy._serve, "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()
        proxy.url = f"http://{host}:{port}"
        try:
            yield proxy
        finally:
            server.close()
            for writer in proxy._open:
                writer.close()

    async def _serve(self, near: asyncio.StreamReader, to_near: asyncio.StreamWriter) -> None:
        upstream = httpx.URL(self.upstream)
        with suppress(OSError):
            far, to_far = await asyncio.open_connection(upstream.host, upstream.port)
            self._open |= {to_near, to_far}
            both = (self._requests(near, to_far), self._answers(far, to_near))
            await asyncio.wait(map(asyncio.ensure_future, both), return_when="FIRST_COMPLETED")
            to_far.close()
        to_near.close()

    async def _requests(self, near: asyncio.StreamReader, to_far: asyncio.StreamWriter) -> None:
        while chunk := await near.read(65_536):
            to_far.write(chunk)
            await to_far.drain()
            self.forwarded.set()

    async def _answers(self, far: asyncio.StreamReader, to_near: asyncio.StreamWriter) -> None:
        """An answer that begins is lost whole: its connection ends instead."""
        while chunk := await far.read(65_536):
            if self.losing > 0:
                self.losing -= 1
                return
            to_near.write(chunk)
            await to_near.drain()
