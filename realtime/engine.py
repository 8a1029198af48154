"""What is taken out of python-socketio and python-engineio, and what stands in its place.

They keep the handshake, polling, the upgrade to WebSocket, origins and HTTP answers. Replaced is
what costs a task, a timer or a queue per message: frames are written synchronously to the
transport, read in one plain loop, and one heartbeat serves all clients. Everything here relies on
internals of pinned versions; `tests/realtime/test_engine_contract.py` fails when one changes.
"""

import asyncio
import base64
import binascii
from collections.abc import Awaitable
from secrets import randbelow
from typing import TYPE_CHECKING, Any, Final, Protocol

import engineio
import socketio
from aiohttp import WSCloseCode, WSMsgType, web
from engineio import packet
from engineio.async_socket import AsyncSocket
from engineio.exceptions import EngineIOError, QueueEmpty

from models.errors import Invalid, TooLarge
from realtime.parting import is_open, part
from realtime.wire import Frame, Parser

if TYPE_CHECKING:
    from realtime.connection import Connection

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
FETCH_WITHIN_S: Final = 10.0
"""How long an ended polling session stays, so that its client can fetch the reason."""
BODY_WITHIN_S: Final = 30.0
UPGRADE_WITHIN_S: Final = 10.0
STOP_WITHIN_S: Final = 2.0
MAX_RETRY_AFTER_S: Final = 5
_NORMAL: Final = b"\x88\x02\x03\xe8"
"""The close frame with code 1000."""
_POLICY_VIOLATION: Final = b"\x88\x02\x03\xf0"
"""The close frame with code 1008, for whom no `session:ended` could tell why."""
_SEPARATOR: Final = "\x1e"


class Receiver(Protocol):
    """Who takes the Engine.IO messages: the gateway."""

    def message(self, socket: "Socket", data: str | bytes) -> None: ...

    def gone(self, socket: "Socket", reason: str) -> None: ...

    def fell_behind(self, socket: "Socket") -> None: ...


class BadPayload(EngineIOError):
    """What a client sent is not Engine.IO."""


class LostPayload(EngineIOError):
    """A polling request whose body did not arrive."""


class Socket(AsyncSocket):
    """An Engine.IO session: one client's transport."""

    server: "Engine"
    upgrading: bool

    def __init__(self, server: "Engine", sid: str, environ: dict[str, Any]) -> None:
        super().__init__(server, sid)
        self.authorization: str = environ.get("HTTP_AUTHORIZATION", "")
        self.remote: str = environ["aiohttp.request"].remote or ""
        self.connection: Connection | None = None
        self.parser: Parser | None = None
        self.attachments_due = 0
        """Binary frames that belong to a packet already taken."""
        self._transport: asyncio.Transport | None = None
        self._queued = 0
        """Bytes that wait for the client's next poll."""
        self._polling = False
        self._ending = False
        self._fetch_by = 0.0
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
            return self._offer(frame, passing=passing)
        if self._ending or transport.is_closing():
            return True
        behind = transport.get_write_buffer_size()
        if behind > PASSING_BEHIND:
            if passing:
                return False
            if behind > MAX_BEHIND:
                self.server.receiver.fell_behind(self)
                return True
        transport.write(frame.websocket)
        return True

    def end(self, *last: Frame) -> None:
        """Close the transport; what was written before, and these, still leave."""
        if self._ending:
            return
        self._ending = True
        transport = self._transport
        if transport is None:
            self._leave_word(last)
        elif is_open(transport):
            for frame in last:
                transport.write(frame.websocket)
            transport.write(_POLICY_VIOLATION if self.connection is None else _NORMAL)
            self.server.spawn(part(transport))

    def is_over(self, now: float) -> bool:
        """Whether it has ended, and its client knows why or had the time to ask."""
        return self.closed and (self.queue.empty() or now > self._fetch_by)

    def beat(self, now: float) -> None:
        """Ping when it is time; end a client that does not answer or does not authenticate."""
        if self._ending:
            return
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

    async def poll(self) -> list[packet.Packet]:
        """What waits for the client, or what comes next. Raises EngineIOError when it is over."""
        if self._polling:
            self.end()  # the other request may be dead, and would swallow what is meant for this
        if self._polling or self.is_over(asyncio.get_running_loop().time()):
            raise QueueEmpty
        self._polling = True
        try:
            packets: list[packet.Packet] = await super().poll()
        finally:
            self._polling = False
        self._queued = 0
        return packets

    async def handle_post_request(self, environ: dict[str, Any]) -> None:
        """Take the packets that a polling client posts. Raises EngineIOError for a bad body."""
        if self.closed:
            raise LostPayload
        try:
            await self._take_all(_packets(await _body(environ)))
        except EngineIOError as error:
            if isinstance(error, BadPayload):
                self._refuse()
            if self.sid in self.server.sockets:  # else python-engineio has no answer ready
                raise

    async def _take_all(self, packets: list[str | bytes]) -> None:
        for data in packets:
            if self._ending:
                return
            if not self._take(data):
                await self._closed_by_client()
                return

    async def _upgrade_websocket(self, environ: dict[str, Any]) -> web.WebSocketResponse:
        if self.upgrading or self.closed:
            raise web.HTTPBadRequest(text="the session takes no WebSocket")
        request: web.Request = environ["aiohttp.request"]
        response = _WebSocket(self)
        self.upgrading = self.connected
        try:
            await response.prepare(request)
            accepted = not self.connected or await self._probe(response)
        finally:
            self.upgrading = False
        if not accepted:
            await response.close()
            return response
        try:
            if request.transport is not None:
                self._attach(request.transport)
                await self._read(response)
        finally:
            await self._closed_by_client()
        return response

    async def _probe(self, response: web.WebSocketResponse) -> bool:
        """The client tries the WebSocket before it leaves polling."""
        try:
            async with asyncio.timeout(UPGRADE_WITHIN_S):
                if await _received(response) != "2probe":
                    return False
                await response.send_str("3probe")
                self.queue.put_nowait(packet.Packet(packet.NOOP))  # ends the waiting poll
                return await _received(response) == "5"
        except (TimeoutError, ConnectionError):
            return False

    def _attach(self, transport: asyncio.Transport) -> None:
        self.connected = self.upgraded = True
        self._transport = transport
        while not self.queue.empty():
            waiting = self.queue.get_nowait()
            self.queue.task_done()
            if waiting is not None and waiting.packet_type != packet.NOOP:
                self._write_own(waiting)

    async def _read(self, response: web.WebSocketResponse) -> None:
        try:
            while not (self._ending or self.closed):
                data = await _received(response)
                if data is None or not self._take(data):
                    return
        except BadPayload:
            self._refuse()

    def _take(self, data: str | bytes) -> bool:
        """One Engine.IO packet; False when it ends the session. Raises BadPayload."""
        if isinstance(data, bytes):
            self.server.receiver.message(self, data)
            return True
        kind = data[:1]
        if kind == "4":
            self.server.receiver.message(self, data[1:])
        elif kind == "3":
            self._pong_by = None
            self._ping_at = asyncio.get_running_loop().time() + PING_INTERVAL_S
        elif kind not in ("1", "5", "6"):
            raise BadPayload
        return kind != "1"

    def _refuse(self) -> None:
        """End the session of a client that does not speak Engine.IO, and say so."""
        if self.connection is None:
            self.end()
        else:
            self.connection.end(Invalid.code, retry=True)

    async def _closed_by_client(self) -> None:
        if self._transport is None:
            self.queue.put_nowait(packet.Packet(packet.NOOP))  # ends a waiting poll
        else:
            self.end()
            self._transport = None
        await self.close(wait=False, abort=True, reason=self.server.reason.TRANSPORT_CLOSE)

    def _offer(self, frame: Frame, *, passing: bool) -> bool:
        """See `write`: the client fetches the frame with its next poll."""
        if self._ending or self.closed:
            return True
        packets = self.queue.qsize()
        if passing and (packets >= PASSING_QUEUED or self._queued > PASSING_BEHIND):
            return False
        if packets >= MAX_QUEUED or self._queued > MAX_BEHIND:
            self.server.receiver.fell_behind(self)
        else:
            self._queue(frame)
        return True

    def _leave_word(self, last: tuple[Frame, ...]) -> None:
        """Close; the client fetches these, or, when there are none, that it is over.

        Not both in one poll: the JavaScript client would close before it has read the rest.
        """
        for frame in last:
            self._queue(frame)
        if last:
            self._fetch_by = asyncio.get_running_loop().time() + FETCH_WITHIN_S
        self.server.spawn(self.close(wait=False, abort=bool(last)))

    def _queue(self, frame: Frame) -> None:
        self._queued += len(frame.data)
        data = frame.data if frame.binary else frame.data[1:].decode()
        self.queue.put_nowait(packet.Packet(packet.MESSAGE, data))

    def _write_own(self, pkt: packet.Packet) -> None:
        transport = self._transport
        if transport is None:
            self.queue.put_nowait(pkt)
        elif is_open(transport):
            data = pkt.encode()
            binary = isinstance(data, bytes)
            transport.write(Frame(data if binary else data.encode(), binary=binary).websocket)


class _WebSocket(web.WebSocketResponse):
    """A WebSocket that aiohttp closes (a frame too large, no UTF-8) no faster than we do."""

    def __init__(self, socket: Socket) -> None:
        super().__init__(max_msg_size=MAX_FRAME + 1, compress=False)
        self._socket = socket

    async def close(
        self, *, code: int = WSCloseCode.OK, message: bytes = b"", drain: bool = True
    ) -> bool:
        connection = self._socket.connection
        if code == WSCloseCode.MESSAGE_TOO_BIG and connection is not None:
            connection.end(TooLarge.code, retry=True, close=False)
        return await super().close(code=code, message=message, drain=drain)

    def _close_transport(self) -> None:
        if self._req is not None and self._req.transport is not None:
            part(self._req.transport)


class Engine(engineio.AsyncServer):
    """The Engine.IO server: many sockets, one heartbeat."""

    receiver: Receiver
    sockets: dict[str, Socket]

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - what python-socketio passes on
        super().__init__(**options)
        self._tasks: set[asyncio.Future[Any]] = set()
        self._heartbeat: asyncio.Task[None] | None = None
        self.is_draining = False
        """Whether newcomers are sent elsewhere."""

    def start(self) -> None:
        self._heartbeat = asyncio.create_task(self._beat())

    async def stop(self) -> None:
        if self._heartbeat is not None:
            self._heartbeat.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=STOP_WITHIN_S)

    def spawn(self, work: Awaitable[Any]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def disconnect(self, sid: str | None = None) -> None:
        """End one session without waiting for the client to fetch what is queued."""
        socket = self.sockets.get(sid or "")
        if socket is not None:
            socket.end()

    async def _handle_connect(
        self, environ: dict[str, Any], transport: str, jsonp_index: int | None = None
    ) -> Any:  # noqa: ANN401 - a response, or what becomes one
        if self.is_draining:
            return _elsewhere()
        socket = Socket(self, self.generate_id(), environ)
        self.sockets[socket.sid] = socket
        await socket.send(self._open_packet(socket.sid, transport))
        if transport == "websocket":
            try:
                return await socket._upgrade_websocket(environ)  # also checks the headers
            finally:
                self.sockets.pop(socket.sid, None)
        socket.connected = True
        return self._ok(await socket.poll(), jsonp_index=jsonp_index)

    def _get_socket(self, sid: str) -> Socket:
        """Raises KeyError. One that is closed answers requests itself, until it is over."""
        return self.sockets[sid]

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
                if socket.is_over(now):
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


def _elsewhere() -> dict[str, Any]:
    """The answer that stock clients come back from by themselves (RFC 9110, section 15.6.4)."""
    wait = str(1 + randbelow(MAX_RETRY_AFTER_S))
    return {
        "status": "503 SERVICE UNAVAILABLE",
        "headers": [("Content-Type", "application/json"), ("Retry-After", wait)],
        "response": b'{"error":{"code":"unavailable","message":"draining","retry":true}}',
    }


async def _received(response: web.WebSocketResponse) -> str | bytes | None:
    """The next text or binary message; None at the end."""
    try:
        message = await response.receive()
    except ConnectionError:  # the client went while its ping was answered
        return None
    if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
        data: str | bytes = message.data
        return data
    return None


async def _body(environ: dict[str, Any]) -> bytes:
    """The body of a POST. Raises BadPayload for its size, LostPayload when it does not come."""
    length = environ.get("CONTENT_LENGTH", "")
    if not length.isdecimal() or not 0 < int(length) <= MAX_FRAME:
        raise BadPayload
    try:
        async with asyncio.timeout(BODY_WITHIN_S):
            body: bytes = await environ["wsgi.input"].readexactly(int(length))
    except (asyncio.IncompleteReadError, OSError, web.RequestPayloadError) as error:
        raise LostPayload from error
    return body


def _packets(body: bytes) -> list[str | bytes]:
    """A polling payload as its packets. Raises BadPayload."""
    try:
        return [_unpacked(encoded) for encoded in body.decode().split(_SEPARATOR)]
    except UnicodeDecodeError as error:
        raise BadPayload from error


def _unpacked(encoded: str) -> str | bytes:
    """A packet of a polling payload: text as it is, binary in base64 after a "b"."""
    if not encoded.startswith("b"):
        return encoded
    try:
        return base64.b64decode(encoded[1:], validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadPayload from error
