"""A phone that comes back by itself as the stock clients do, and costs little to have in thousands.

It speaks just so much of WebSocket, Engine.IO and Socket.IO as it takes to begin a session.
"""

import asyncio
import os
import re
from collections.abc import Callable
from random import Random
from typing import Any, Final, cast
from urllib.parse import urlsplit

import msgspec

from chaos.load import wire

DELAY_S: Final = 1.0
LONGEST_S: Final = 5.0
SPREAD: Final = 0.5
"""Both stock clients wait 1 s, 2 s, 4 s, then 5 s between attempts, give or take the half."""
HANDSHAKE: Final = (
    "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\n"
    "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
_STATUS: Final = re.compile(rb"HTTP/1\.1 (\d+)")
_RETRY_AFTER: Final = re.compile(rb"(?i)\r\nretry-after: *(\d+)\r\n")
_TEXT: Final = 0x81
_CLOSE: Final = 0x88


class Phone:
    """One client: `url` is where it goes, and may be changed while it is away."""

    def __init__(self, url: str, token: str, rng: Random) -> None:
        self.url = url
        self.is_back = asyncio.Event()
        self.ready: dict[str, Any] = {}
        """The newest `session:ready`."""
        self.refused: list[int] = []
        """The `Retry-After` of every 503, in seconds; 0 for one without."""
        self.busy = 0
        """How often a session was not begun in time, and it was told to come again."""
        self.failures: list[str] = []
        """What else kept it from coming in."""
        self._auth = {"token": token}
        self._rng = rng
        self._attempts = 0
        self._transport: asyncio.Transport | None = None
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._parser = wire.Json()
        self._coming: asyncio.Task[None] | None = None
        self._gone = False

    def come(self) -> None:
        """Connect now, and again whenever the connection ends, until `leave`."""
        self._coming = asyncio.create_task(self._connect())

    def cut(self) -> None:
        """The network is gone for a moment."""
        if self._transport is not None:
            self._transport.abort()

    def leave(self) -> None:
        self._gone = True
        if self._coming is not None:
            self._coming.cancel()
        self.cut()

    @property
    def user_id(self) -> str:
        user_id: str = self.ready["user_id"]
        return user_id

    async def ask(self, event: str, payload: dict[str, Any]) -> dict[str, Any]:
        """The answer to a command, of which there is one at a time."""
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._answers[1] = answer
        self._send(self._parser.event(event, payload, 1))
        return await answer

    def take(self, text: str) -> None:
        """What the server says."""
        if text == wire.PING:
            self._send(wire.PONG)
        elif text.startswith(wire.OPEN):
            self._send(self._parser.connect(self._auth))
        elif text.startswith("4"):
            self._take(self._parser.read(text))

    def hear(self, name: str, payload: dict[str, Any]) -> None:
        """An event."""

    def opened(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        transport.write(HANDSHAKE.format(urlsplit(self.url).netloc).encode())

    def refuse(self, status: int, retry_after_s: int) -> None:
        if status == 503:
            self.refused.append(retry_after_s)
        else:
            self.failures.append(f"status {status}")

    def lost(self) -> None:
        self._transport = None
        self.is_back.clear()
        if not self._gone:
            self._coming = asyncio.create_task(self._come_again())

    async def _come_again(self) -> None:
        delay_s = min(DELAY_S * 2**self._attempts, LONGEST_S)
        self._attempts += 1
        await asyncio.sleep(delay_s * self._rng.uniform(1 - SPREAD, 1 + SPREAD))
        await self._connect()

    async def _connect(self) -> None:
        address = urlsplit(self.url)
        try:
            await asyncio.get_running_loop().create_connection(
                lambda: _Wire(self), address.hostname or "", address.port or 80
            )
        except OSError as error:
            self.failures.append(repr(error))
            self._coming = asyncio.create_task(self._come_again())

    def _take(self, packet: wire.Packet) -> None:
        if packet.kind == wire.ACK:
            answer = self._answers.pop(packet.ack or 0, None)
            if answer is not None and not answer.done():
                answer.set_result(packet.data)
        elif packet.name == "session:ready":
            self.ready = packet.data
            self._attempts = 0
            self.is_back.set()
        elif packet.kind == wire.EVENT and packet.name != "session:ended":
            self.hear(packet.name, packet.data)
        elif packet.name == "session:ended" and packet.data["code"] == "busy":
            self.busy += 1
        elif packet.name == "session:ended" or packet.kind == wire.CONNECT_ERROR:
            self.failures.append(msgspec.json.encode(packet.data).decode())

    def _send(self, text: wire.Frame) -> None:
        if self._transport is not None:
            data = text.encode() if isinstance(text, str) else text
            self._transport.write(_masked(data))


class _Wire(asyncio.Protocol):
    """One connection: the handshake's answer, then frames."""

    def __init__(self, phone: Phone) -> None:
        self._phone = phone
        self._buffer = b""
        self._read: Callable[[], bool] = self._read_head

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._phone.opened(self._transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while self._read():
            pass

    def connection_lost(self, _error: Exception | None) -> None:
        self._phone.lost()

    def _read_head(self) -> bool:
        head, end, rest = self._buffer.partition(b"\r\n\r\n")
        if not end:
            return False
        status = _STATUS.match(head)
        number = int(status[1]) if status else 0
        if number == 101:
            self._read, self._buffer = self._read_frame, rest
            return True
        retry_after = _RETRY_AFTER.search(head + end)
        self._phone.refuse(number, int(retry_after[1]) if retry_after else 0)
        self._transport.abort()
        self._buffer = b""
        return False

    def _read_frame(self) -> bool:
        """A server's frame: not masked, and whole."""
        if len(self._buffer) < 2:
            return False
        size, begin = self._buffer[1], 2
        if size >= 126:
            begin = 4 if size == 126 else 10
            size = int.from_bytes(self._buffer[2:begin])
        end = begin + size
        if len(self._buffer) < end:
            return False
        kind, body, self._buffer = self._buffer[0], self._buffer[begin:end], self._buffer[end:]
        if kind == _TEXT:
            self._phone.take(body.decode())
        elif kind == _CLOSE:
            self._transport.abort()
        return True


def _masked(body: bytes) -> bytes:
    """A client's frame."""
    size = len(body)
    head = bytes([_TEXT, 0x80 | size]) if size < 126 else bytes([_TEXT, 0xFE]) + size.to_bytes(2)
    mask = os.urandom(4)
    key = int.from_bytes(mask * (size // 4 + 1))
    key >>= 8 * (4 - size % 4)
    return head + mask + (int.from_bytes(body) ^ key).to_bytes(size)
