"""A TCP relay in front of a store, which a test can cut, silence and mend."""

import asyncio
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Self
from urllib.parse import urlsplit

from tests.models.mongodb import with_options


class Relay:
    """`url` is the store's, but for its address. Only one server's clients should use it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._store = urlsplit(url)
        self._is_cut = False
        self._passes = asyncio.Event()
        self._passes.set()
        self._open: set[StreamWriter] = set()

    @classmethod
    @asynccontextmanager
    async def to(cls, url: str) -> AsyncIterator[Self]:
        relay = cls(url)
        server = await asyncio.start_server(relay._serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        relay.url = relay._at(port)
        try:
            yield relay
        finally:
            relay.cut()
            server.close()

    def cut(self) -> None:
        """End every connection, and each new one at once."""
        self._is_cut = True
        for writer in self._open:
            writer.transport.abort()

    def silence(self) -> None:
        """Take connections and what they send, and say nothing: as a frozen process does."""
        self._passes.clear()

    def mend(self) -> None:
        self._is_cut = False
        self._passes.set()

    def _at(self, port: int) -> str:
        url = self._store._replace(netloc=f"127.0.0.1:{port}").geturl()
        # MongoDB tells its own address, where a driver would go by itself.
        is_mongodb = self._store.scheme == "mongodb"
        return with_options(url, "directConnection=true") if is_mongodb else url

    async def _serve(self, near: StreamReader, to_near: StreamWriter) -> None:
        with suppress(OSError):
            far, to_far = await asyncio.open_connection(self._store.hostname, self._store.port)
            if not self._is_cut:
                pair = {to_near, to_far}
                self._open |= pair
                await asyncio.gather(self._pass(near, to_far), self._pass(far, to_near))
                self._open -= pair
            to_far.transport.abort()
        to_near.transport.abort()

    async def _pass(self, reader: StreamReader, writer: StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65_536):
                await self._passes.wait()
                writer.write(data)
                await writer.drain()
        writer.close()
