"""What requests may have remembered of them before they are whole: so much, all of them together.

Each head is bounded by itself. Of very many that are never finished, those that began first are cut
off: who means it is done within moments. This relies on aiohttp's own request handler, whose
version is exact.
"""

import asyncio
from typing import Any, Final

from aiohttp import web
from aiohttp.streams import StreamReader
from aiohttp.web_protocol import RequestHandler

AT_ONCE: Final = 4 * 1024
"""Bytes in one piece."""
MAX_PIPELINED: Final = 16
"""Requests of one connection that wait for their turn."""
MAX_UNFINISHED: Final = 32 * 1024 * 1024
"""Bytes of all heads together that have begun and not ended; in memory some twice as many."""


class Heads:
    """The heads that are being read, and their bytes."""

    def __init__(self) -> None:
        self._sizes: dict[Reader, int] = {}
        self._total = 0

    def grow(self, reader: "Reader", size: int) -> None:
        self._sizes[reader] = self._sizes.get(reader, 0) + size
        self._total += size
        while self._total > MAX_UNFINISHED:
            oldest = next(iter(self._sizes))
            self.finish(oldest)
            oldest.abort()

    def finish(self, reader: "Reader") -> None:
        self._total -= self._sizes.pop(reader, 0)


class Reader(RequestHandler):
    """Reads the requests of one connection, until a WebSocket takes it over."""

    __slots__ = ("_body", "_heads")

    def __init__(self, server: web.Server, heads: Heads, **options: Any) -> None:  # noqa: ANN401
        super().__init__(server, **options)
        self._heads = heads
        self._body: StreamReader | None = None
        """Of the newest request, which may not be whole."""

    def data_received(self, data: bytes) -> None:
        for start in range(0, len(data), AT_ONCE):
            self._take(data[start : start + AT_ONCE])
            if len(self._messages) >= MAX_PIPELINED:  # what came after them is not counted
                self.abort()
                return

    def _take(self, data: bytes) -> None:
        """What is no part of a body belongs to a head; bodies are bounded by whoever reads them.

        What comes in one piece with the end of a request is not counted.
        """
        requests = self._request_count
        super().data_received(data)
        if self._request_count != requests:
            self._heads.finish(self)
            self._body = self._messages[-1][1] if self._messages else None
        elif self._body is None or self._body.is_eof():
            self._heads.grow(self, len(data))

    def connection_lost(self, error: BaseException | None) -> None:
        self._heads.finish(self)
        self._body = None  # knows its reader: nobody would free them for a while
        super().connection_lost(error)

    def abort(self) -> None:
        if self.transport is not None:
            self.transport.abort()


class Runner(web.AppRunner):
    """Serves an application, with what its requests' heads take bounded."""

    __slots__ = ("_heads",)

    def __init__(self, app: web.Application, **options: Any) -> None:  # noqa: ANN401
        super().__init__(app, **options)
        self._heads = Heads()

    @property
    def server(self) -> Any:  # noqa: ANN401 - called for each connection, and nothing else
        server = super().server
        return None if server is None else lambda: self._reader(server)

    def _reader(self, server: web.Server) -> Reader:
        return Reader(
            server,
            self._heads,
            loop=asyncio.get_running_loop(),
            **server._kwargs,
        )
