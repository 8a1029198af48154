"""One HTTP/1.1 connection that is kept open, one request on its way at a time: callbacks only."""

import asyncio
import json
from collections.abc import Callable
from typing import Final, cast
from urllib.parse import urlsplit

from bench.load.client import WITHIN_S, Refused
from bench.load.record import Record

Take = Callable[[int, bytes], None]
"""Gets an answer's status and body."""

_HTTP: Final = 80
_END_OF_HEAD: Final = b"\r\n\r\n"
_STATUS: Final = slice(9, 12)
"""Where it stands in `HTTP/1.1 200 OK`."""
_LENGTH: Final = b"\r\ncontent-length: "


class HttpClient(asyncio.Protocol):
    """Takes answers that tell their length, which is all of a server that writes them at once."""

    def __init__(self, record: Record) -> None:
        self._record = record
        self._received = b""
        self._answered: Take | None = None

    @classmethod
    async def connect(cls, url: str, record: Record) -> "HttpClient":
        """Raises Refused."""
        where = urlsplit(url)
        host, port = where.hostname or "", where.port or _HTTP
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(WITHIN_S):
                _, client = await loop.create_connection(lambda: cls(record), host, port)
        except (TimeoutError, OSError) as error:
            raise Refused(f"no connection: {error}") from error
        return client

    def ask(self, request: bytes, answered: Take) -> None:
        """Send a request, as `request` makes them. The one before it has to be answered."""
        self._answered = answered
        self._transport.write(request)

    async def call(self, request: bytes) -> tuple[int, bytes]:
        """An answer's status and body. Raises Refused when there is none."""
        answer: asyncio.Future[tuple[int, bytes]] = asyncio.get_running_loop().create_future()

        def take(status: int, body: bytes) -> None:
            if not answer.done():  # else nobody waits for it any more
                answer.set_result((status, body))

        self.ask(request, take)
        try:
            async with asyncio.timeout(WITHIN_S):
                return await answer
        except TimeoutError as error:
            raise Refused(f"a request was not answered within {WITHIN_S} s") from error

    def leave(self) -> None:
        self._answered = None
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        received = self._received + data if self._received else data
        head, found, body = received.partition(_END_OF_HEAD)
        if not found or len(body) < _length(head):
            self._received = received
            return
        self._received = b""
        answered, self._answered = self._answered, None
        if answered is None:
            self._record.is_wrong("answer to nothing")
        else:
            answered(int(head[_STATUS]), body)

    def connection_lost(self, _error: Exception | None) -> None:
        if self._answered is not None:
            self._answered = None
            self._record.is_missing("HTTP connection that the server ended")


def request(method: str, url: str, token: str = "", body: object = None) -> bytes:
    """A request that is ready for the wire; a body that is not None is sent as JSON."""
    where = urlsplit(url)
    lines = [f"{method} {where.path} HTTP/1.1", f"Host: {where.netloc}"]
    if token:
        lines.append(f"Authorization: Bearer {token}")
    content = b"" if body is None else json.dumps(body).encode()
    if content:
        lines += ["Content-Type: application/json", f"Content-Length: {len(content)}"]
    return "\r\n".join([*lines, "", ""]).encode() + content


def _length(head: bytes) -> int:
    """Of the body, by the head's own account."""
    _, _, rest = head.lower().partition(_LENGTH)
    return int(rest.partition(b"\r\n")[0] or 0)
