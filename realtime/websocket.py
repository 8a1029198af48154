"""A WebSocket after its handshake: aiohttp's frame reader right on the transport.

Once the handshake is answered, aiohttp's request, its task and its queue of messages have nothing
left to do, so they are let go: frames are handed over as they come, without a task or a future.
"""

import asyncio
import logging
import socket
import time
from base64 import b64decode, b64encode
from collections.abc import Callable
from hashlib import sha1
from typing import Any, Final, Protocol, cast

from aiohttp import WSCloseCode, WSMsgType, web
from aiohttp._websocket.reader import WebSocketDataQueue
from aiohttp.http import WebSocketError, WebSocketReader

_log = logging.getLogger(__name__)

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_KEY_SIZE: Final = 16
_SWITCH: Final = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: %b\r\n\r\n"
)
UNSENT_IN_KERNEL: Final = 16 * 1024
"""Bytes that the kernel may hold for a client beside those that are on their way."""
AT_ONCE: Final = 4 * 1024
"""Bytes of a client that are read in one turn of the loop."""
CLOSE_WITHIN_S: Final = 5.0
"""How long a client may take to read what was written last."""
_TEXT: Final = WSMsgType.TEXT
_BINARY: Final = WSMsgType.BINARY
_PONG: Final = 0x8A
_CLOSE: Final = 0x88


class Owner(Protocol):
    """Who a WebSocket belongs to. No call waits."""

    def text(self, data: bytes) -> None:
        """A text message; that it is UTF-8 was not checked."""

    def binary(self, data: bytes) -> None: ...

    def drained(self) -> None:
        """The client was behind, and has caught up."""

    def failed(self, code: int) -> None:
        """The client broke the protocol (RFC 6455, section 7.4): it is closed right after."""

    def left(self) -> None:
        """The client wants no more: it is closed right after."""

    def lost(self) -> None:
        """The transport is gone."""


class WebSocket(asyncio.Protocol):
    """One client's frames, in and out. Nothing waits, and nothing is compressed."""

    __slots__ = (
        "_early",
        "_feed",
        "_high_water",
        "_inbox",
        "_outbox",
        "_size",
        "_transport",
        "_written",
        "behind",
        "is_open",
        "owner",
    )

    def __init__(
        self, owner: Owner, outbox: "Outbox", *, max_message: int, high_water: int
    ) -> None:
        """`max_message` bytes are taken; with `high_water` unsent ones the client is behind."""
        self.owner = owner
        self._outbox = outbox
        self._written: list[bytes] = []
        """In this turn of the loop."""
        self._size = 0
        self.behind = False
        self.is_open = True
        self._inbox = _Inbox(self)
        reader = WebSocketReader(self._inbox, max_message + 1, compress=False, decode_text=False)
        self._feed = reader.feed_data
        self._transport: asyncio.Transport | None = None
        self._high_water = high_water
        self._early = b""
        """What came with the handshake already."""

    def accept(self, request: web.Request, greeting: bytes = b"") -> web.StreamResponse:
        """Answer the handshake and take the transport over; messages come from `start` on.

        The greeting, frames ready for the wire, leaves together with the answer. What is returned
        is for aiohttp. Raises its HTTPBadRequest, and ConnectionError when the client has gone.
        """
        answer = _handshake(request)
        self._adopt(request)
        self._written.append(answer + greeting)
        self.flush()
        return _TakenOver(status=101)

    def start(self) -> None:
        early, self._early = self._early, b""
        if early:
            self.data_received(early)

    def write(self, frame: bytes) -> None:
        """Hand over frames, ready for the wire; nothing is sent after the end."""
        if not self._written:
            self._outbox.add(self)
        self._written.append(frame)
        self._size += len(frame)
        if self._size > self._high_water:  # whether the client is behind shows now
            self.flush()

    def flush(self) -> None:
        """Send what was written."""
        written, transport = self._written, self._transport
        if written and transport is not None and self.is_open:
            transport.write(written[0] if len(written) == 1 else b"".join(written))
        written.clear()
        self._size = 0

    @property
    def unsent(self) -> int:
        """Bytes that wait for the client."""
        return self._transport.get_write_buffer_size() if self._transport is not None else 0

    def end(self, code: int = WSCloseCode.OK) -> None:
        """Close once the client has read what was written.

        Closing at once, with input unread, would have the kernel throw away what was written.
        """
        transport = self._transport
        if not self.is_open or transport is None:
            return
        self._written.append(bytes((_CLOSE, 2)) + code.to_bytes(2))
        self.flush()
        self.is_open = False
        try:
            if transport.can_write_eof():
                transport.write_eof()
            else:
                transport.close()
        except OSError:  # the client is gone, and asyncio's transport does not know yet
            transport.abort()
        asyncio.get_running_loop().call_later(CLOSE_WITHIN_S, transport.abort)

    def abort(self) -> None:
        """Close without a word."""
        self.is_open = False
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        if len(data) <= AT_ONCE:
            if self.is_open and self._feed(data)[0]:  # the reader gave up
                self._fail(self._inbox.exception())
        elif self._transport is not None:
            self._transport.pause_reading()
            self._read_in_turns(data, 0)

    def _read_in_turns(self, data: bytes, start: int) -> None:
        """Read a piece in each turn of the loop: a flood has the others wait for no more."""
        end = start + AT_ONCE
        self.data_received(data[start:end])  # which is small enough to be read at once
        if end < len(data) and self.is_open:
            asyncio.get_running_loop().call_soon(self._read_in_turns, data, end)
        elif self._transport is not None:
            self._transport.resume_reading()

    def eof_received(self) -> bool | None:
        """The client is gone without a word, so none is wasted on it."""
        if self.is_open:
            self.flush()
            self.is_open = False
            self.owner.left()
            if self._transport is not None and self.unsent:
                asyncio.get_running_loop().call_later(CLOSE_WITHIN_S, self._transport.abort)
        return None  # closes the transport, once it has sent what it has

    def pause_writing(self) -> None:
        self.behind = True

    def resume_writing(self) -> None:
        self.behind = False
        if self.is_open:
            self.owner.drained()

    def connection_lost(self, _error: Exception | None) -> None:
        self.is_open = False
        self._transport = None
        self.owner.lost()

    def control(self, kind: WSMsgType, data: Any) -> None:  # noqa: ANN401 - by the kind
        """One of the protocol's own messages."""
        if kind is WSMsgType.PING:
            if not self.behind:  # or who pings and never reads could fill the memory
                self.write(bytes((_PONG, len(data))) + data)
        elif kind is WSMsgType.CLOSE:
            self._let_go()

    def _adopt(self, request: web.BaseRequest) -> None:
        """Take the transport from aiohttp, which then forgets the request."""
        protocol, transport = request.protocol, request.transport
        if transport is None:
            raise ConnectionResetError("the client is gone")
        early = _Early()
        protocol.set_parser(cast("Any", early))
        self._early = early.data
        self._transport = transport
        _keep_little_unsent(transport)
        transport.set_protocol(self)
        transport.set_write_buffer_limits(self._high_water)  # the client may be behind at once
        protocol.transport = None  # or it closes the transport
        protocol.connection_lost(None)

    def _let_go(self) -> None:
        if self.is_open:
            self.owner.left()
            self.end()

    def _fail(self, error: BaseException | None) -> None:
        """The reader could not go on. If the owner has closed already, it hears of nothing."""
        if not self.is_open:
            return
        code = error.code if isinstance(error, WebSocketError) else WSCloseCode.INTERNAL_ERROR
        if not isinstance(error, WebSocketError):
            _log.error("frames could not be read", exc_info=error)
        self.owner.failed(code)
        self.end(code)


def _keep_little_unsent(transport: asyncio.Transport) -> None:
    """Have the kernel take no more than a little that it cannot send yet (tcp(7)).

    It would take megabytes for a phone without network, which then gets all of them late, the
    oldest first, where we would have the newest.
    """
    option = getattr(socket, "TCP_NOTSENT_LOWAT", None)
    connection = transport.get_extra_info("socket")
    if option is not None and connection is not None:
        connection.setsockopt(socket.IPPROTO_TCP, option, UNSENT_IN_KERNEL)


class Outbox:
    """What is written to a client in one turn of the loop leaves in one piece."""

    def __init__(self) -> None:
        self.on_sent: Callable[[float], None] | None = None
        """Told after each turn when its first frame was written (`time.perf_counter`)."""
        self._waiting: list[WebSocket] = []
        self._began = 0.0

    @property
    def is_waiting(self) -> bool:
        """Whether something leaves with the end of this turn."""
        return bool(self._waiting)

    def add(self, websocket: WebSocket) -> None:
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._flush)
            self._began = time.perf_counter()
        self._waiting.append(websocket)

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        for websocket in waiting:
            websocket.flush()
        if self.on_sent is not None:
            self.on_sent(self._began)


class _Inbox(WebSocketDataQueue):
    """Where the reader puts messages: they go on at once, nothing is queued."""

    def __init__(self, websocket: WebSocket) -> None:
        super().__init__(cast("Any", None), 0, loop=asyncio.get_running_loop())
        self._websocket = websocket

    def feed_data(self, message: Any, size: int) -> None:  # noqa: ANN401 - as aiohttp calls it
        websocket = self._websocket
        if not websocket.is_open:
            return
        kind = message[0]
        try:
            if kind is _TEXT:
                websocket.owner.text(message[1])
            elif kind is _BINARY:
                websocket.owner.binary(message[1])
            else:
                websocket.control(kind, message[1])
        except Exception:  # noqa: BLE001 - the reader would swallow it
            _log.exception("a message could not be handled")


class _Early:
    """Takes from aiohttp what a client sent without waiting for the handshake's answer."""

    def __init__(self) -> None:
        self.data = b""

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        self.data += data
        return False, b""

    def feed_eof(self) -> None: ...


class _TakenOver(web.Response):
    """Tells aiohttp that there is nothing left for it to answer: the transport lives on."""

    async def prepare(self, _request: web.BaseRequest) -> None: ...

    async def write_eof(self, _data: bytes = b"") -> None: ...


def _handshake(request: web.BaseRequest) -> bytes:
    """The answer to an opening handshake (RFC 6455, section 4.2). Raises HTTPBadRequest.

    No extension is agreed to: nothing is compressed.
    """
    headers = request.headers
    options = ",".join(headers.getall("Connection", ())).split(",")
    connection = {option.strip().lower() for option in options}
    if headers.get("Upgrade", "").strip().lower() != "websocket" or "upgrade" not in connection:
        raise web.HTTPBadRequest(text="a WebSocket handshake is expected")
    if headers.get("Sec-WebSocket-Version") != "13":
        raise web.HTTPBadRequest(
            text="the WebSocket version is 13", headers={"Sec-WebSocket-Version": "13"}
        )
    key = headers.get("Sec-WebSocket-Key", "")
    try:
        size = len(b64decode(key, validate=True))
    except ValueError:
        size = 0
    if size != _KEY_SIZE:
        raise web.HTTPBadRequest(text="Sec-WebSocket-Key is 16 bytes in base64")
    accepted = b64encode(sha1(key.encode() + _GUID, usedforsecurity=False).digest())
    return _SWITCH % accepted
