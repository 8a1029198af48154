"""What is taken out of python-socketio and python-engineio, and what stands in its place.

They keep the origins of pages, polling's answers and the upgrade. Replaced is what costs a task, a
timer or a queue per message: frames are written to the transport at once and handed over as they
come, and one wheel has the heartbeats of all clients. An app's WebSocket goes past them from its
handshake on. Everything here relies on internals of pinned versions;
`tests/realtime/test_engine_contract.py` fails when one changes.
"""

import asyncio
import base64
import binascii
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from secrets import randbelow
from typing import Any, Final, Protocol

import engineio
import msgspec
import socketio
from aiohttp import WSCloseCode, web
from engineio import packet
from engineio.async_drivers.aiohttp import translate_request
from engineio.async_socket import AsyncSocket
from engineio.exceptions import EngineIOError, QueueEmpty
from msgspec import Struct

from realtime.names import new_name
from realtime.proxies import Origin, Proxies
from realtime.websocket import Outbox, WebSocket
from realtime.wheel import Wheel
from realtime.wire import Frame

MAX_BEHIND: Final = 1024 * 1024
"""Bytes that wait for a slow client before it is cut off."""
PASSING_BEHIND: Final = 64 * 1024
"""Bytes that wait for a slow client before passing events are skipped."""
MAX_QUEUED: Final = 2_000
"""Packets that wait for a client's next poll before it is cut off."""
PASSING_QUEUED: Final = 200
"""Packets that wait for a client's next poll before passing events are skipped."""
MAX_PACKETS: Final = 4_000
"""Packets taken in one polling body: they are worked off in one turn of the loop."""
SILENT_S: Final = 5.0
"""What a phone may take to answer a ping; by others' measure, it has until the time limit."""
FETCH_WITHIN_S: Final = 10.0
"""How long an ended polling session stays, so that its client can fetch the reason."""
BODY_WITHIN_S: Final = 30.0
FETCHED_WITHIN_S: Final = 30.0
"""How long a client may take to read what it polled for."""
UPGRADE_WITHIN_S: Final = 10.0
STOP_WITHIN_S: Final = 2.0
MAX_RETRY_AFTER_S: Final = 5
_DEPARTING: Final = 100
"""Ends of sessions that are worked off in one turn of the loop."""
_METHODS: Final = frozenset(("GET", "POST", "OPTIONS"))
_SEPARATOR: Final = b"\x1e"
_OPEN, _CLOSE, _PING, _PONG, _MESSAGE, _UPGRADE, _NOOP = (b"%d" % kind for kind in range(7))


class Limits(Struct, frozen=True):
    """What a client is told at the handshake, and held to. Seconds and bytes."""

    ping_interval_s: float = 25
    ping_timeout_s: float = 20
    max_payload: int = 256 * 1024
    """Of the largest WebSocket message and polling body taken."""
    connect_within_s: float | None = 10
    """How long a client may be here without being let in; None is for ever."""


class Receiver(Protocol):
    """Who takes the Engine.IO messages. No call may wait."""

    def message(self, socket: "Socket", data: bytes, binary: bool) -> None:
        """Text comes as bytes, too, and may not be UTF-8."""

    def unreadable(self, socket: "Socket") -> None:
        """What the client sent is not Engine.IO: the session is to be ended."""

    def too_large(self, socket: "Socket") -> None:
        """A message over the limit, whose client is closed right after."""

    def fell_behind(self, socket: "Socket") -> None:
        """More waits for the client than may: the session is to be ended."""

    def drained(self, socket: "Socket") -> None:
        """The client was behind, and has caught up."""

    def gone(self, socket: "Socket", reason: str) -> None:
        """The session is over. Told once."""


class Door(Protocol):
    """Who decides about newcomers, and knows who is in. No call may wait."""

    def refuse(self, address: str | None) -> str | None:
        """Asked once for each newcomer: why it has to come back later; None lets it in.

        `address` is None where it is not known.
        """

    def entered(self, address: str | None) -> None:
        """A session has begun."""

    def left(self, address: str | None) -> None:
        """It is over."""


class OpenDoor:
    """Lets everybody in."""

    def refuse(self, _address: str | None) -> None:
        return None

    def entered(self, _address: str | None) -> None: ...

    def left(self, _address: str | None) -> None: ...


class BadPayload(EngineIOError):
    """What a client posted is not Engine.IO."""


class LostPayload(EngineIOError):
    """A polling request whose body did not arrive."""


class Socket(AsyncSocket):
    """An Engine.IO session: one client's transport."""

    server: "Engine"

    def __init__(self, server: "Engine", sid: str, authorization: str, origin: Origin) -> None:
        # Not `super().__init__`: a WebSocket needs no queue, and there are many of them.
        self.server = server
        self.sid = sid
        self.connected = False
        self.upgraded = False
        self.closing = False
        self.closed = False
        self.state: Any = None
        """The receiver's own."""
        self.authorization = authorization
        """What the handshake said; the receiver empties it once it has seen it."""
        self.origin = origin
        self.expected_by: float | None = None
        """When (loop time) the client must have been let in."""
        self._websocket: WebSocket | None = None
        self._probe: _Probe | None = None
        self._queue: asyncio.Queue[Any] | None = None
        self._queued = 0
        """Bytes that wait for the client's next poll, or to be read by it."""
        self._skipped = False
        """Whether something passing was skipped since the last poll."""
        self._polling = False
        self._fetching = 0
        """Bytes of those that are on their way as the answer to a poll."""
        self._fetched_by: asyncio.Task[Any] | None = None
        """What writes them."""
        self._posting = False
        self._fetch_by = 0.0
        now = asyncio.get_running_loop().time()
        limits = server.limits
        if limits.connect_within_s is not None:
            self.expected_by = now + limits.connect_within_s
        self._ping_at = now + limits.ping_interval_s
        self._pong_by: float | None = None

    @property
    def queue(self) -> asyncio.Queue[Any]:
        """What waits for the client's next poll."""
        if self._queue is None:
            self._queue = asyncio.Queue()
        return self._queue

    @property
    def upgrading(self) -> bool:
        """Whether polls are answered at once, with nothing."""
        return self._probe is not None and self._probe.was_answered

    @property
    def takes_no_websocket(self) -> bool:
        """It has one, or is trying one."""
        return self.upgraded or self._probe is not None

    @property
    def is_silent(self) -> bool:
        """Whether it has not answered a ping for so long that its client may be gone."""
        since = asyncio.get_running_loop().time() - self._ping_at
        return self._pong_by is not None and since > SILENT_S

    @property
    def transport_name(self) -> str:
        return "websocket" if self.upgraded else "polling"

    def write(self, frame: Frame, passing: bool = False) -> bool:
        """Hand a frame to the client. Never waits.

        False for a `passing` frame that was skipped, because the client is behind.
        """
        websocket = self._websocket
        if websocket is None:
            return self._offer(frame, passing=passing)
        if websocket.behind:
            if passing:
                self.server.skipped += 1
                return False
            if websocket.unsent > MAX_BEHIND:
                self.server.receiver.fell_behind(self)
                return True
        websocket.write(frame.websocket)
        return True

    def end(self, *last: Frame, code: int = WSCloseCode.OK, reason: str = "") -> None:
        """End the session; what was written before, and these, still leave."""
        if self.closing:
            return
        self.closing = True
        websocket = self._websocket
        if websocket is None:
            self._leave_word(last)
        else:
            for frame in last:
                websocket.write(frame.websocket)
            websocket.end(code)
        self._over(reason or self.server.reason.SERVER_DISCONNECT)

    def is_over(self, now: float) -> bool:
        """Whether it has ended, and its client knows why or had the time to ask."""
        return self.closed and (self._nothing_waits or now > self._fetch_by)

    def beat(self, now: float) -> float | None:
        """Ping when it is time; end a client that does not answer or is not let in.

        Returns when to look again (loop time), None when there is nothing left to look after.
        """
        if self.closed:
            if not self.is_over(now):
                return self._fetch_by
            self.server.forget(self)
            return None
        if self.expected_by is not None and now >= self.expected_by:
            self.end(code=WSCloseCode.POLICY_VIOLATION)
        elif self._pong_by is not None and now >= self._pong_by:
            self.end(reason=self.server.reason.PING_TIMEOUT)
        elif self._pong_by is None and now >= self._ping_at:
            timeout = self.server.limits.ping_timeout_s
            # Late as this may be, for a process that stood still, there is time for an answer.
            self._pong_by = max(self._ping_at + timeout, now + timeout / 2)
            self._send_own(_PING)
        return self.due

    async def close(self, wait: bool = True, abort: bool = False, reason: str = "") -> None:
        """Engine.IO's way to end a session."""
        self.end(reason=reason)

    async def poll(self) -> list[packet.Packet]:
        """What waits for the client, or what comes next. Raises EngineIOError when it is over.

        The poll lasts until `deliver` has written that.
        """
        now = asyncio.get_running_loop().time()
        self.beat(now)
        if self._polling:
            self.end()  # the other request may be dead, and would swallow what is meant for this
        if self._polling or self.is_over(now):
            raise QueueEmpty
        self._polling = True
        try:
            packets = await self._next_packets()
        except BaseException:
            self._polling = False
            raise
        self._fetching, self._fetched_by = self._queued, asyncio.current_task()
        return packets

    async def deliver(self, request: web.Request, answer: web.Response) -> None:
        """Write what a poll took, if this is the answer to it: it waits for the client till then.

        A client that does not read it loses the connection.
        """
        if self._fetched_by is not asyncio.current_task():
            return
        try:
            async with asyncio.timeout(FETCHED_WITHIN_S):
                await answer.prepare(request)
                await answer.write_eof()
            answer.body = None  # aiohttp keeps the answer until the client's next request
        except TimeoutError:
            if request.transport is not None:
                request.transport.abort()
        except ConnectionError:
            pass  # aiohttp finds the same
        finally:
            self._queued -= self._fetching
            self._fetched_by = None
            self._polling = False
            self._note_fetched()

    async def _next_packets(self) -> list[packet.Packet]:
        """Raises QueueEmpty when none comes for so long that the session must be over."""
        queue, limits = self.queue, self.server.limits
        try:
            async with asyncio.timeout(limits.ping_interval_s + limits.ping_timeout_s):
                packets = [await queue.get()]
        except TimeoutError as error:
            raise QueueEmpty from error
        while not queue.empty():
            packets.append(queue.get_nowait())
        return packets

    async def handle_post_request(self, environ: dict[str, Any]) -> None:
        """Take the packets that a polling client posts. Raises EngineIOError for a bad body."""
        if self.closed:
            raise LostPayload
        try:
            for data, binary in _packets(await self._one_body(environ)):
                if not self.closing:
                    self._take(data, binary)
        except EngineIOError as error:
            if isinstance(error, BadPayload):
                self.server.receiver.unreadable(self)
            if self.sid in self.server.sockets:  # else python-engineio has no answer ready
                raise

    async def _one_body(self, environ: dict[str, Any]) -> bytes:
        """See `_body`. Clients post one after the other; many at once would fill the memory."""
        if self._posting:
            raise BadPayload
        self._posting = True
        try:
            return await self._body(environ)
        finally:
            self._posting = False

    async def _body(self, environ: dict[str, Any]) -> bytes:
        """The body of a POST. Raises BadPayload for its size, LostPayload when it does not come."""
        length = environ.get("CONTENT_LENGTH", "")
        if not length.isdecimal() or not 0 < int(length) <= self.server.limits.max_payload:
            raise BadPayload
        try:
            async with asyncio.timeout(BODY_WITHIN_S):
                body: bytes = await environ["wsgi.input"].readexactly(int(length))
        except (asyncio.IncompleteReadError, OSError, web.RequestPayloadError) as error:
            raise LostPayload from error
        return body

    def begin(self, request: web.Request, opening: Frame) -> web.StreamResponse:
        """Begin on a WebSocket. Raises what `WebSocket.accept` raises."""
        websocket = self._new_websocket()
        response = websocket.accept(request, opening.websocket)
        self.attach(websocket)
        websocket.start()
        return response

    async def _upgrade_websocket(self, environ: dict[str, Any]) -> web.StreamResponse:
        """Let the client try a WebSocket; the rest happens as its frames come."""
        if self.closed:
            raise web.HTTPBadRequest(text="the session takes no WebSocket")
        websocket = self._new_websocket()
        probe = self._probe = websocket.owner = _Probe(self, websocket)
        try:
            response = websocket.accept(environ["aiohttp.request"])
        except BaseException:
            probe.lost()
            raise
        websocket.start()
        return response

    def _new_websocket(self) -> WebSocket:
        limits = self.server.limits
        return WebSocket(
            self,
            self.server.outbox,
            max_message=limits.max_payload,
            high_water=PASSING_BEHIND,
        )

    def attach(self, websocket: WebSocket) -> None:
        """From now on the client is on its WebSocket; what waited for a poll leaves first."""
        self.connected = self.upgraded = True
        self._probe = None
        self._websocket, websocket.owner = websocket, self
        self.server.websockets.add(websocket)
        while not self._nothing_waits:
            waiting = self.queue.get_nowait()
            if waiting.packet_type != packet.NOOP:
                websocket.write(_as_frame(waiting).websocket)
        if self._polling:
            self.end_poll()
        self._queue = None
        self._note_fetched()

    def stay(self, probe: "_Probe") -> None:
        """An upgrade has failed: the client goes on polling."""
        if self._probe is probe:
            self._probe = None

    def end_poll(self) -> None:
        """Have a waiting poll answered, with nothing."""
        self.queue.put_nowait(packet.Packet(packet.NOOP))

    def text(self, data: bytes) -> None:
        """A packet over the WebSocket."""
        if data[:1] == _MESSAGE:
            self.server.receive(self, data[1:], False)
            return
        try:
            self._take_own(data)
        except BadPayload:
            self.server.receiver.unreadable(self)

    def binary(self, data: bytes) -> None:
        self.server.receive(self, data, True)

    def drained(self) -> None:
        self.server.receiver.drained(self)

    def failed(self, code: int) -> None:
        if code == WSCloseCode.MESSAGE_TOO_BIG:
            self.server.receiver.too_large(self)
        self._over(self.server.reason.TRANSPORT_ERROR)

    def left(self) -> None:
        self._over(self.server.reason.TRANSPORT_CLOSE)

    def lost(self) -> None:
        self._over(self.server.reason.TRANSPORT_CLOSE)
        if self._websocket is not None:
            self.server.lose(self._websocket)
            self._websocket = None

    def _take(self, data: bytes, binary: bool) -> None:
        """A polled packet. Raises BadPayload."""
        if binary:
            self.server.receive(self, data, True)
        elif data[:1] == _MESSAGE:
            self.server.receive(self, data[1:], False)
        else:
            self._take_own(data)

    def _take_own(self, data: bytes) -> None:
        """One of Engine.IO's own packets. Raises BadPayload."""
        kind = data[:1]
        if kind == _PONG:
            self._pong_by = None
            self._ping_at = asyncio.get_running_loop().time() + self.server.limits.ping_interval_s
            self.server.wheel.add(self, self.due)
        elif kind == _CLOSE:
            self._leave()
        elif kind not in (_UPGRADE, _NOOP):
            raise BadPayload

    def _leave(self) -> None:
        """The client has closed the session."""
        if self._websocket is None:
            if self._polling:
                self.end_poll()
            self._over(self.server.reason.CLIENT_DISCONNECT)
        else:
            self.end(reason=self.server.reason.CLIENT_DISCONNECT)

    def _over(self, reason: str) -> None:
        if self.closed:
            return
        self.closing = self.closed = True
        self.server.door.left(self.origin.counts_as)
        if self._probe is not None:
            self._probe.stop()
        if self._websocket is not None:
            self.server.forget(self)
        else:
            now = asyncio.get_running_loop().time()
            self.server.wheel.add(self, max(self._fetch_by, now))
        self.server.depart(self, reason)

    def expect(self) -> None:
        """Have the client be let in, within the time that it has for that."""
        within = self.server.limits.connect_within_s
        if within is not None and not self.closed:
            self.expected_by = asyncio.get_running_loop().time() + within
            self.server.wheel.add(self, self.due)

    @property
    def due(self) -> float:
        """When to look after it next (loop time)."""
        due = self._ping_at if self._pong_by is None else self._pong_by
        return due if self.expected_by is None else min(due, self.expected_by)

    @property
    def _nothing_waits(self) -> bool:
        return self._queue is None or self._queue.empty()

    def _offer(self, frame: Frame, *, passing: bool) -> bool:
        """See `write`: the client fetches the frame with its next poll."""
        if self.closing:
            return True
        packets = self.queue.qsize()
        if passing and (packets >= PASSING_QUEUED or self._queued > PASSING_BEHIND):
            self._skipped = True
            self.server.skipped += 1
            return False
        if packets >= MAX_QUEUED or self._queued > MAX_BEHIND:
            self.server.receiver.fell_behind(self)
        else:
            self._enqueue(frame)
        return True

    def _leave_word(self, last: tuple[Frame, ...]) -> None:
        """The client fetches these, or, when there are none, that it is over.

        Not both in one poll: the JavaScript client would close before it has read the rest.
        """
        for frame in last:
            self._enqueue(frame)
        if last:
            self._fetch_by = asyncio.get_running_loop().time() + FETCH_WITHIN_S
        else:
            self.queue.put_nowait(packet.Packet(packet.CLOSE))

    def _note_fetched(self) -> None:
        """Nothing waits for the client any more."""
        if self._skipped:
            self._skipped = False
            self.server.receiver.drained(self)

    def _enqueue(self, frame: Frame) -> None:
        self._queued += len(frame.data)
        data = frame.data if frame.binary else frame.data[1:].decode()
        self.queue.put_nowait(packet.Packet(packet.MESSAGE, data))

    def _send_own(self, data: bytes) -> None:
        """One of Engine.IO's own packets, all of which are text."""
        if self._websocket is not None:
            self._websocket.write(Frame(data, binary=False).websocket)
        else:
            self.queue.put_nowait(packet.Packet(encoded_packet=data.decode()))


class _Stranger:
    """A WebSocket that nobody waits for: whatever it sends is dropped."""

    def text(self, _data: bytes) -> None: ...

    def binary(self, _data: bytes) -> None: ...

    def drained(self) -> None: ...

    def failed(self, _code: int) -> None: ...

    def left(self) -> None: ...

    def lost(self) -> None: ...


class _Probe(_Stranger):
    """A WebSocket that a polling client tries before it changes over."""

    def __init__(self, socket: Socket, websocket: WebSocket) -> None:
        self._socket = socket
        self._websocket = websocket
        self.was_answered = False
        loop = asyncio.get_running_loop()
        self._deadline = loop.call_later(UPGRADE_WITHIN_S, self.stop)

    def text(self, data: bytes) -> None:
        if not self.was_answered and data == b"2probe":
            self.was_answered = True
            self._websocket.write(Frame(b"3probe", binary=False).websocket)
            self._socket.end_poll()
        elif self.was_answered and data == _UPGRADE:
            self._deadline.cancel()
            self._socket.attach(self._websocket)
        else:
            self.stop()

    def binary(self, _data: bytes) -> None:
        self.stop()

    def failed(self, _code: int) -> None:
        self.lost()

    def left(self) -> None:
        self.lost()

    def lost(self) -> None:
        self._deadline.cancel()
        self._socket.stay(self)

    def stop(self) -> None:
        self.lost()
        self._websocket.end()


class Engine(engineio.AsyncServer):
    """The Engine.IO server: many sockets, one heartbeat."""

    sockets: dict[str, Socket]

    def __init__(self, receiver: Receiver, limits: Limits, **options: Any) -> None:  # noqa: ANN401
        super().__init__(
            **options
            | {
                "async_mode": "aiohttp",
                "max_http_buffer_size": limits.max_payload,
                "ping_interval": limits.ping_interval_s,
                "ping_timeout": limits.ping_timeout_s,
                "http_compression": False,
                "monitor_clients": False,
            }
        )
        self.receiver = receiver
        self.receive = receiver.message
        self.limits = limits
        self.wheel: Wheel[Socket] = Wheel(
            min(1.0, limits.ping_interval_s / 40, limits.ping_timeout_s / 40), Socket.beat
        )
        self.outbox = Outbox()
        self.websockets: set[WebSocket] = set()
        self._all_lost: asyncio.Future[None] | None = None
        self._departed: deque[tuple[Socket, str]] = deque()
        self.is_draining = False
        """Whether newcomers are sent elsewhere, for good."""
        self.obstacle: Callable[[], str | None] = _nothing
        """Tells why newcomers are sent elsewhere just now; None while they are welcome."""
        self.door: Door = OpenDoor()
        self.origin: Callable[[web.Request], Origin] = Proxies().origin
        """Tells where a request comes from."""
        self.turned_away = 0
        """Newcomers that were sent elsewhere."""
        self.skipped = 0
        """Passing frames that were not written, because their clients were behind."""

    def attach(self, app: web.Application, engineio_path: str = "engine.io") -> None:
        """Serve under this path; what is open ends with the application."""
        app.router.add_route("*", f"/{engineio_path.strip('/')}/", self.handle_request)
        app.on_shutdown.append(self._stop_with)

    @property
    def closed_because(self) -> str | None:
        """Why newcomers are sent elsewhere; None while they are welcome."""
        return "draining" if self.is_draining else self.obstacle()

    async def stop(self) -> None:
        """End every session, and give the clients a moment to read what was written."""
        self.is_draining = True
        for socket in list(self.sockets.values()):
            socket.end()
        self.wheel.stop()
        if self.websockets:
            self._all_lost = asyncio.get_running_loop().create_future()
            await asyncio.wait((self._all_lost,), timeout=STOP_WITHIN_S)
        for websocket in list(self.websockets):
            websocket.abort()

    async def handle_request(self, request: web.Request) -> Any:  # noqa: ANN401 - a response
        """Answer what polls, posts or wants to be a WebSocket."""
        if request.method not in _METHODS:
            raise web.HTTPBadRequest(text="the method is GET or POST")
        transport = request.query.get("transport")
        if not transport and request.method == "GET":
            raise web.HTTPBadRequest(text="transport is polling or websocket")
        if transport != "polling" and request.method == "POST":
            raise web.HTTPBadRequest(text="only who polls posts")
        socket = self.sockets.get(request.query.get("sid", ""))
        if socket is not None and socket.takes_no_websocket and _is_websocket(request):
            return _refuse_websocket(request)
        if transport == "websocket" and "websocket" in self.transports and _is_apps(request):
            return await self._open_websocket(request)
        answer = await super().handle_request(request)
        if socket is not None:
            await socket.deliver(request, answer)
        return answer

    async def _open_websocket(self, request: web.Request) -> Any:  # noqa: ANN401 - a response
        """Take an app in without what python-engineio asks of any request: of its origin, protocol,
        transport, JSONP and compression. What counts of it was asked already.
        """
        answer = await self._handle_connect({"aiohttp.request": request}, "websocket")
        if isinstance(answer, dict):
            return await self._make_response(answer, translate_request(request))
        return answer

    async def disconnect(self, sid: str | None = None) -> None:
        """End one session without waiting for the client to fetch what is queued."""
        socket = self.sockets.get(sid or "")
        if socket is not None:
            socket.end()

    def forget(self, socket: Socket) -> None:
        self.sockets.pop(socket.sid, None)
        self.wheel.remove(socket)

    def depart(self, socket: Socket, reason: str) -> None:
        """A session is over: the receiver, which may be in the middle of something, hears of it
        a moment later, and of very many little by little, so that nobody else has to wait.
        """
        if not self._departed:
            asyncio.get_running_loop().call_soon(self._tell_departed)
        self._departed.append((socket, reason))

    def lose(self, websocket: WebSocket) -> None:
        """The transport of a WebSocket is gone."""
        self.websockets.discard(websocket)
        if not self.websockets and self._all_lost is not None and not self._all_lost.done():
            self._all_lost.set_result(None)

    async def _handle_connect(
        self, environ: dict[str, Any], transport: str, jsonp_index: int | None = None
    ) -> Any:  # noqa: ANN401 - a response, or what becomes one
        request: web.Request = environ["aiohttp.request"]
        origin = self.origin(request)
        why = self.closed_because or self.door.refuse(origin.counts_as)
        if why is not None:
            self.turned_away += 1
            return _elsewhere(why)
        authorization = request.headers.get("Authorization", "")
        socket = Socket(self, self.generate_id(), authorization, origin)
        self.sockets[socket.sid] = socket
        self.door.entered(origin.counts_as)
        upgrades = self._upgrades(socket.sid, transport) if "websocket" in self.transports else []
        opening = _opening(socket, upgrades)
        if transport == "websocket":
            frame = Frame(_OPEN + msgspec.json.encode(opening), binary=False)
            return self._begin(socket, request, frame)
        socket.connected = True
        self.wheel.add(socket, socket.due)
        return self._ok([packet.Packet(packet.OPEN, opening)], jsonp_index=jsonp_index)

    def generate_id(self) -> str:
        return new_name()

    def _begin(self, socket: Socket, request: web.Request, opening: Frame) -> web.StreamResponse:
        try:
            response = socket.begin(request, opening)
        except BaseException:
            self.sockets.pop(socket.sid, None)
            self.door.left(socket.origin.counts_as)
            raise
        if not socket.closed:
            self.wheel.add(socket, socket.due)
        return response

    def _tell_departed(self) -> None:
        try:
            for _ in range(min(len(self._departed), _DEPARTING)):
                self.receiver.gone(*self._departed.popleft())
        finally:
            if self._departed:
                asyncio.get_running_loop().call_soon(self._tell_departed)

    def _ok(self, packets: Any = None, headers: Any = None, jsonp_index: Any = None) -> Any:  # noqa: ANN401
        """The answer to a POST is `ok`, in small letters."""
        answer = super()._ok(packets, headers, jsonp_index)
        return answer if packets is not None else answer | {"response": b"ok"}

    def _cors_allowed_origins(self, environ: dict[str, Any]) -> Sequence[str] | None:
        """Pages are held to these, as a browser tells the truth of them; None allows all."""
        allowed: Sequence[str] | None = super()._cors_allowed_origins(environ)
        origin = environ.get("HTTP_ORIGIN", "")
        return [*allowed, origin] if allowed is not None and _is_no_page(origin) else allowed

    def _get_socket(self, sid: str) -> Socket:
        """Raises KeyError. One that is closed answers requests itself, until it is over."""
        return self.sockets[sid]

    async def _stop_with(self, _app: web.Application) -> None:
        await self.stop()


class Server(socketio.AsyncServer):
    """The Socket.IO server; its packets are read and written by `realtime.gateway`."""

    eio: Engine

    def __init__(self, receiver: Receiver, limits: Limits, **options: Any) -> None:  # noqa: ANN401
        """`options` are python-engineio's: `transports`, `cors_allowed_origins`."""
        self._receiver = receiver
        self._limits = limits
        super().__init__(async_mode="aiohttp", **options)

    def _engineio_server_class(self) -> Any:  # noqa: ANN401 - called with python-engineio's options
        return partial(Engine, self._receiver, self._limits)


def _is_websocket(request: web.Request) -> bool:
    return request.method == "GET" and request.headers.get("Upgrade", "").lower() == "websocket"


def _is_apps(request: web.Request) -> bool:
    """Whether it opens a WebSocket, with a protocol that is known, and from no web page."""
    return (
        _is_no_page(request.headers.get("Origin", ""))
        and request.query.get("EIO") == "4"
        and not request.query.keys() & {"sid", "j"}
        and _is_websocket(request)
    )


def _is_no_page(origin: str) -> bool:
    """Whether no browser sends this origin: an app's WebSocket has none, or names its server."""
    return not origin or origin.startswith(("ws://", "wss://"))


def _refuse_websocket(request: web.Request) -> web.StreamResponse:
    """Close a session's second WebSocket: as a WebSocket, which clients take for an answer."""
    websocket = WebSocket(_Stranger(), Outbox(), max_message=0, high_water=PASSING_BEHIND)
    response = websocket.accept(request)
    websocket.end(WSCloseCode.POLICY_VIOLATION)
    return response


def _opening(socket: Socket, upgrades: list[str]) -> dict[str, object]:
    limits = socket.server.limits
    return {
        "sid": socket.sid,
        "upgrades": upgrades,
        "pingTimeout": round(limits.ping_timeout_s * 1000),
        "pingInterval": round(limits.ping_interval_s * 1000),
        "maxPayload": limits.max_payload,
    }


def _nothing() -> None:
    return None


def _elsewhere(why: str) -> dict[str, Any]:
    """The answer that stock clients come back from by themselves (RFC 9110, section 15.6.4)."""
    wait = str(1 + randbelow(MAX_RETRY_AFTER_S))
    return {
        "status": "503 SERVICE UNAVAILABLE",
        "headers": [("Content-Type", "application/json"), ("Retry-After", wait)],
        "response": b'{"error":{"code":"unavailable","message":"%s","retry":true}}' % why.encode(),
    }


def _as_frame(waiting: packet.Packet) -> Frame:
    data = waiting.encode()
    binary = isinstance(data, bytes)
    return Frame(data if binary else data.encode(), binary=binary)


def _packets(body: bytes) -> Iterable[tuple[bytes, bool]]:
    """A polling payload as its packets, each with whether it is binary. Raises BadPayload."""
    if body.count(_SEPARATOR) >= MAX_PACKETS:
        raise BadPayload
    for encoded in body.split(_SEPARATOR):
        if encoded.startswith(b"b"):
            yield _decoded(encoded[1:]), True
        else:
            yield encoded, False


def _decoded(encoded: bytes) -> bytes:
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadPayload from error
