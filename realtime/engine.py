"""What is taken out of python-socketio and python-engineio, and what stands in its place.

They keep the handshake, polling, the upgrade to WebSocket, origins and HTTP answers. Replaced is
what costs a task, a timer or a queue per message: frames are written synchronously to the
transport, read in one plain loop, and one heartbeat serves all clients. Everything here relies on
internals of pinned versions; `tests/realtime/test_engine_contract.py` fails when one changes.
"""

import asyncio
import base64
import binascii
import logging
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any, Final, Protocol

import engineio
import socketio
from aiohttp import WSMsgType, web
from engineio import packet
from engineio.async_socket import AsyncSocket
from engineio.exceptions import EngineIOError

from realtime.wire import Frame, Parser

if TYPE_CHECKING:
    from realtime.connection import Connection

_log = logging.getLogger(__name__)

MAX_FRAME: Final = 256 * 1024
"""Bytes of the largest frame taken."""
PING_INTERVAL_S: Final = 25
PING_TIMEOUT_S: Final = 20
AUTHENTICATE_WITHIN_S: Final = 10
BEAT_S: Final = 1.0
MAX_BEHIND: Final = 1024 * 1024
"""Bytes that wait for a slow client before it is cut off."""
PASSING_BEHIND: Final = 64 * 1024
"""Bytes that wait for a slow client before passing events are skipped."""
MAX_QUEUED: Final = 2_000
"""Packets that wait for a client's next poll before it is cut off."""
PASSING_QUEUED: Final = 200
"""Packets that wait for a client's next poll before passing events are skipped."""
ABORT_AFTER_S: Final = 5.0
_CLOSE_FRAME: Final = b"\x88\x02\x03\xe8"
_SEPARATOR: Final = "\x1e"


class Receiver(Protocol):
    """Who takes the Engine.IO messages: the gateway."""

    def message(self, socket: "Socket", data: str | bytes) -> None: ...

    def gone(self, socket: "Socket", reason: str) -> None: ...

    def fell_behind(self, socket: "Socket") -> None: ...


class BadPayload(EngineIOError):
    """A polling request whose body is no Engine.IO payload."""


class Socket(AsyncSocket):
    """An Engine.IO session: one client's transport."""

    server: "Engine"

    def __init__(self, server: "Engine", sid: str, environ: dict[str, Any]) -> None:
        super().__init__(server, sid)
        self.authorization: str = environ.get("HTTP_AUTHORIZATION", "")
        self.remote: str = environ["aiohttp.request"].remote or ""
        self.connection: Connection | None = None
        self.parser: Parser | None = None
        self.attachments_due = 0
        """Binary frames that belong to a packet already taken."""
        self._transport: asyncio.Transport | None = None
        self._ending = False
        now = asyncio.get_running_loop().time()
        self._opened_at = now
        self._ping_at = now + PING_INTERVAL_S
        self._pong_by: float | None = None

    @property
    def transport_name(self) -> str:
        return "websocket" if self.upgraded else "polling"

    def write(self, frame: Frame, *, passing: bool = False) -> bool:
        """Hand a frame to the client. Never waits.

        False for a `passing` frame that was skipped, because the client is behind.
        """
        transport = self._transport
        if transport is None:
            return self._queue(frame, passing=passing)
        if transport.is_closing():
            return True
        behind = transport.get_write_buffer_size()
        if behind > PASSING_BEHIND:
            if passing:
                return False
            if behind > MAX_BEHIND:
                self._cut_off()
                return True
        transport.write(frame.websocket)
        return True

    def end(self, *last: Frame) -> None:
        """Close the transport; what was written before, and these, still leave."""
        if self._ending:
            return
        transport = self._transport
        if transport is None:
            for frame in last:
                self._queue(frame)
            self.server.spawn(self.close(wait=False))
        elif not transport.is_closing():
            for frame in last:
                transport.write(frame.websocket)
            transport.write(_CLOSE_FRAME)
            transport.close()
            asyncio.get_running_loop().call_later(ABORT_AFTER_S, transport.abort)
        self._ending = True

    def beat(self, now: float) -> None:
        """Ping when it is time; end a client that does not answer or does not authenticate."""
        if self.connection is None and now - self._opened_at > AUTHENTICATE_WITHIN_S:
            self.end()
        elif self._pong_by is not None:
            if now > self._pong_by:
                self.end()
        elif now >= self._ping_at:
            self._pong_by = now + PING_TIMEOUT_S
            self._write_own(packet.Packet(packet.PING))

    async def send(self, pkt: packet.Packet) -> None:
        """Engine.IO's own packets."""
        self._write_own(pkt)

    def schedule_ping(self) -> None:
        """The heartbeat does it for all."""

    async def handle_post_request(self, environ: dict[str, Any]) -> None:
        """Take the packets that a polling client posts. Raises EngineIOError for a bad body."""
        body = await self._body(environ)
        try:
            packets = body.decode().split(_SEPARATOR)
        except UnicodeDecodeError as error:
            raise BadPayload from error
        for encoded in packets:
            if not self._take(_unpacked(encoded)):
                await self._closed_by_client()
                return

    async def _body(self, environ: dict[str, Any]) -> bytes:
        length = environ.get("CONTENT_LENGTH", "")
        if not length.isdecimal() or not 0 < int(length) <= MAX_FRAME:
            raise BadPayload
        try:
            body: bytes = await environ["wsgi.input"].readexactly(int(length))
        except asyncio.IncompleteReadError as error:
            raise BadPayload from error
        return body

    async def _upgrade_websocket(self, environ: dict[str, Any]) -> web.WebSocketResponse:
        request: web.Request = environ["aiohttp.request"]
        response = web.WebSocketResponse(max_msg_size=MAX_FRAME + 1, compress=False)
        await response.prepare(request)
        if self.connected and not await self._probe(response):
            await response.close()
            return response
        transport = request.transport
        if transport is not None:
            self._attach(transport)
            await self._read(response)
        await self._closed_by_client()
        return response

    async def _probe(self, response: web.WebSocketResponse) -> bool:
        """The client tries the WebSocket before it leaves polling."""
        self.upgrading = True
        try:
            if await _received(response) != "2probe":
                return False
            await response.send_str("3probe")
            self.queue.put_nowait(packet.Packet(packet.NOOP))  # ends the waiting poll
            return await _received(response) == "5"
        finally:
            self.upgrading = False

    def _attach(self, transport: asyncio.Transport) -> None:
        self.connected = self.upgraded = True
        self._transport = transport
        while not self.queue.empty():
            waiting = self.queue.get_nowait()
            self.queue.task_done()
            if waiting is not None and waiting.packet_type != packet.NOOP:
                self._write_own(waiting)

    async def _read(self, response: web.WebSocketResponse) -> None:
        while not self.closed:
            data = await _received(response)
            if data is None or not self._take(data):
                return

    def _take(self, data: str | bytes) -> bool:
        """One Engine.IO packet; False when it ends the session."""
        if isinstance(data, bytes):
            self.server.receiver.message(self, data)
            return True
        kind = data[:1]
        if kind == "4":
            self.server.receiver.message(self, data[1:])
        elif kind == "3":
            self._pong_by = None
            self._ping_at = asyncio.get_running_loop().time() + PING_INTERVAL_S
        return kind in ("3", "4", "5", "6")

    async def _closed_by_client(self) -> None:
        transport = self._transport
        self._transport = None
        if transport is not None and not transport.is_closing():
            transport.close()
        await self.close(wait=False, abort=True, reason=self.server.reason.TRANSPORT_CLOSE)

    def _queue(self, frame: Frame, *, passing: bool = False) -> bool:
        if self.closed or self._ending:
            return True
        behind = self.queue.qsize()
        if passing and behind >= PASSING_QUEUED:
            return False
        if behind >= MAX_QUEUED:
            self._cut_off()
            return True
        data = frame.data if frame.binary else frame.data[1:].decode()
        self.queue.put_nowait(packet.Packet(packet.MESSAGE, data))
        return True

    def _write_own(self, pkt: packet.Packet) -> None:
        transport = self._transport
        if transport is None:
            self.queue.put_nowait(pkt)
        elif not transport.is_closing():
            data = pkt.encode()
            binary = isinstance(data, bytes)
            transport.write(Frame(data if binary else data.encode(), binary=binary).websocket)

    def _cut_off(self) -> None:
        """The client reads too slowly: it gets the reason, if it still gets anything."""
        if not self._ending:
            self.server.receiver.fell_behind(self)


class Engine(engineio.AsyncServer):
    """The Engine.IO server: many sockets, one heartbeat."""

    receiver: Receiver
    sockets: dict[str, Socket]

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - what python-socketio passes on
        super().__init__(**options)
        self._tasks: set[asyncio.Future[Any]] = set()
        self._heartbeat: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._heartbeat = asyncio.create_task(self._beat())

    async def stop(self) -> None:
        if self._heartbeat is not None:
            self._heartbeat.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def spawn(self, work: Awaitable[Any]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def disconnect(self, sid: str | None = None) -> None:
        """End one session without waiting for the client to fetch what is queued."""
        socket = self.sockets.get(sid or "")
        if socket is not None:
            await socket.close(wait=False)

    async def _handle_connect(
        self, environ: dict[str, Any], transport: str, jsonp_index: int | None = None
    ) -> Any:  # noqa: ANN401 - a response, or what becomes one
        socket = Socket(self, self.generate_id(), environ)
        self.sockets[socket.sid] = socket
        await socket.send(self._open_packet(socket.sid, transport))
        if transport == "websocket":
            try:
                return await socket.handle_get_request(environ)
            finally:
                self.sockets.pop(socket.sid, None)
        socket.connected = True
        return self._ok(await socket.poll(), jsonp_index=jsonp_index)

    def _open_packet(self, sid: str, transport: str) -> packet.Packet:
        return packet.Packet(
            packet.OPEN,
            {
                "sid": sid,
                "upgrades": self._upgrades(sid, transport),
                "pingTimeout": PING_TIMEOUT_S * 1000,
                "pingInterval": PING_INTERVAL_S * 1000,
                "maxPayload": MAX_FRAME,
            },
        )

    async def _beat(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(BEAT_S)
            now = loop.time()
            for socket in list(self.sockets.values()):
                if socket.closed:
                    self.sockets.pop(socket.sid, None)
                else:
                    socket.beat(now)


class Server(socketio.AsyncServer):
    """The Socket.IO server; its packets are read and written by `realtime.gateway`."""

    eio: Engine

    def __init__(self, receiver: Receiver, *, origins: Any, transports: list[str]) -> None:  # noqa: ANN401
        super().__init__(
            async_mode="aiohttp",
            transports=transports,
            cors_allowed_origins=origins,
            max_http_buffer_size=MAX_FRAME,
            ping_interval=PING_INTERVAL_S,
            ping_timeout=PING_TIMEOUT_S,
            http_compression=False,
            monitor_clients=False,
        )
        self.eio.receiver = receiver

    def _engineio_server_class(self) -> type[Engine]:
        return Engine

    async def _handle_eio_disconnect(self, eio_sid: str, reason: str) -> None:
        socket = self.eio.sockets.get(eio_sid)
        if socket is not None:
            self.eio.receiver.gone(socket, reason)


async def _received(response: web.WebSocketResponse) -> str | bytes | None:
    """The next text or binary message; None at the end."""
    message = await response.receive()
    if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
        data: str | bytes = message.data
        return data
    return None


def _unpacked(encoded: str) -> str | bytes:
    """A packet of a polling payload: text as it is, binary in base64 after a "b"."""
    if not encoded.startswith("b"):
        return encoded
    try:
        return base64.b64decode(encoded[1:], validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadPayload from error
