"""What the engine relies on inside of python-socketio, python-engineio and aiohttp.

That is `realtime.engine` and `realtime.websocket`. When one of these fails after an upgrade of a
package, read what the new version does there and what the two make of it, before the pin in
setup.cfg moves.
"""

import asyncio
import gc
import inspect
import logging
import weakref
from collections.abc import AsyncIterator, Callable
from configparser import ConfigParser
from contextlib import asynccontextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import engineio
import pytest
import socketio
from aiohttp import ClientSession, WSMsgType, web
from aiohttp._websocket import reader_py
from aiohttp._websocket.reader import WebSocketDataQueue
from aiohttp.http import WebSocketError, WebSocketReader
from engineio import packet
from engineio.async_socket import AsyncSocket
from engineio.exceptions import EngineIOError, QueueEmpty

from realtime.engine import Engine, Server, Socket
from realtime.gateway import Gateway
from tests.apps import served
from tests.clients import WAIT_S
from tests.hostile.process import until
from tests.hostile.raw import UPGRADE, Http, frame, message

ROOT: Final = Path(__file__).parents[2]
POLLING: Final = "/socket.io/?EIO=4&transport=polling"
WEBSOCKET: Final = "/socket.io/?EIO=4&transport=websocket"

Calls = list[tuple[object, ...]]


class Recorded(engineio.AsyncServer):  # type: ignore[misc] # it is untyped
    """python-engineio's server with nothing of ours but notes of who was called with what."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.calls: Calls = []
        self.answers: list[Any] = []
        """What the next handshakes return or raise, where that is not a session."""

    async def _handle_connect(
        self, environ: dict[str, Any], transport: str, jsonp_index: int | None = None
    ) -> Any:
        self.calls.append(("_handle_connect", environ["aiohttp.request"].method, transport))
        if self.answers:
            answer = self.answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer
        sid = self.generate_id()
        self.sockets[sid] = RecordedSocket(self, sid)
        self.sockets[sid].connected = True
        return self._ok([packet.Packet(packet.MESSAGE, sid)], jsonp_index=jsonp_index)

    def _get_socket(self, sid: str) -> Any:
        self.calls.append(("_get_socket", sid))
        return super()._get_socket(sid)

    async def disconnect(self, sid: str | None = None) -> None:
        self.calls.append(("disconnect", sid))


class RecordedSocket(AsyncSocket):  # type: ignore[misc] # it is untyped
    async def handle_get_request(self, environ: dict[str, Any]) -> Any:
        self.server.calls.append(("handle_get_request", self.sid))
        return await super().handle_get_request(environ)

    async def poll(self) -> list[packet.Packet]:
        self.server.calls.append(("poll", self.sid))
        if self.closing:
            raise QueueEmpty
        return [packet.Packet(packet.MESSAGE, "text"), packet.Packet(packet.MESSAGE, b"binary")]

    async def handle_post_request(self, environ: dict[str, Any]) -> None:
        body = await environ["wsgi.input"].readexactly(int(environ["CONTENT_LENGTH"]))
        self.server.calls.append(("handle_post_request", body, environ["HTTP_AUTHORIZATION"]))
        if body == b"gone":
            del self.server.sockets[self.sid]
        if body != b"good":
            raise EngineIOError

    async def _upgrade_websocket(self, environ: dict[str, Any]) -> web.Response:
        self.server.calls.append(("_upgrade_websocket", self.sid))
        return web.Response(text="upgraded")


class Running:
    """A `Recorded` engine behind a real port, and a client for it."""

    def __init__(self, engine: Recorded, http: ClientSession) -> None:
        self.engine = engine
        self.http = http

    async def get(self, target: str, **headers: str) -> tuple[int, str]:
        async with self.http.get(target, headers=headers) as response:
            return response.status, await response.text()

    async def post(self, target: str, body: str) -> int:
        async with self.http.post(target, data=body, headers={"Authorization": "me"}) as response:
            return response.status

    async def open(self) -> str:
        sid = (await self.get(POLLING))[1][1:]
        self.engine.calls.clear()
        return sid


@pytest.fixture
async def running() -> AsyncIterator[Running]:
    engine = Recorded(async_mode="aiohttp", monitor_clients=False, http_compression=False)
    app = web.Application()
    engine.attach(app, "socket.io")
    async with served(app) as url, ClientSession(url) as http:
        yield Running(engine, http)


@pytest.mark.parametrize("package", ["python-engineio", "python-socketio", "aiohttp"])
def test_the_version_is_the_one_that_was_read(package: str) -> None:
    config = ConfigParser()
    config.read(ROOT / "setup.cfg")
    requirements = config["options"]["install_requires"].split("\n")
    pinned = next(line for line in requirements if line.startswith(f"{package}=="))
    assert f"{package}=={version(package)}" == pinned, "realtime/engine.py was read against that"


@pytest.mark.parametrize(
    ("method", "parameters"),
    [
        (engineio.AsyncServer.attach, ["app", "engineio_path"]),
        (engineio.AsyncServer.handle_request, ["args", "kwargs"]),
        (engineio.AsyncServer._handle_connect, ["environ", "transport", "jsonp_index"]),
        (engineio.AsyncServer.disconnect, ["sid"]),
        (engineio.AsyncServer.generate_id, []),
        (engineio.AsyncServer._ok, ["packets", "headers", "jsonp_index"]),
        (engineio.AsyncServer._upgrades, ["sid", "transport"]),
        (engineio.AsyncServer._get_socket, ["sid"]),
        (engineio.AsyncServer._cors_allowed_origins, ["environ"]),
        (engineio.AsyncServer._make_response, ["response_dict", "environ"]),
        (AsyncSocket.__init__, ["server", "sid"]),
        (AsyncSocket.send, ["pkt"]),
        (AsyncSocket.poll, []),
        (AsyncSocket.handle_get_request, ["environ"]),
        (AsyncSocket.handle_post_request, ["environ"]),
        (AsyncSocket._upgrade_websocket, ["environ"]),
        (AsyncSocket.schedule_ping, []),
        (AsyncSocket.close, ["wait", "abort", "reason"]),
        (socketio.AsyncServer._engineio_server_class, []),
        (socketio.AsyncServer.attach, ["app", "socketio_path"]),
        (reader_py.WebSocketDataQueue.__init__, ["protocol", "limit", "loop"]),
        (reader_py.WebSocketDataQueue.feed_data, ["data", "size"]),
        (reader_py.WebSocketDataQueue.exception, []),
        (
            reader_py.WebSocketReader.__init__,
            ["queue", "max_msg_size", "compress", "decode_text"],
        ),
        (reader_py.WebSocketReader.feed_data, ["data"]),
        (web.RequestHandler.set_parser, ["parser", "data_received_cb"]),
        (web.RequestHandler.connection_lost, ["exc"]),
        (web.Response.prepare, ["request"]),
        (web.Response.write_eof, ["data"]),
    ],
    ids=lambda value: getattr(value, "__qualname__", None),
)
def test_what_is_overridden_or_called_has_its_parameters(
    method: Callable[..., Any], parameters: list[str]
) -> None:
    assert list(inspect.signature(method).parameters)[1:] == parameters, (
        f"{method.__qualname__}: it is overridden or called with {parameters}"
    )


async def test_a_handshake_is_handed_to_handle_connect(running: Running) -> None:
    await running.get(POLLING)
    await running.get(WEBSOCKET, Upgrade="websocket", Connection="upgrade")
    assert running.engine.calls == [
        ("_handle_connect", "GET", "polling"),
        ("_handle_connect", "GET", "websocket"),
    ], "Engine._handle_connect makes our Socket of every handshake"


async def test_a_poll_asks_for_the_socket_and_polls_it(running: Running) -> None:
    sid = await running.open()
    assert await running.get(f"{POLLING}&sid={sid}") == (200, "4text\x1ebYmluYXJ5")
    assert running.engine.calls == [
        ("_get_socket", sid),
        ("handle_get_request", sid),
        ("poll", sid),
    ], "Socket.poll answers polls, also those of a closed session"


async def test_what_a_handshake_raises_or_returns_is_the_answer(running: Running) -> None:
    """A dict as `Engine._elsewhere` makes it, a response that was taken over, aiohttp's errors."""
    running.engine.answers = [
        {"status": "503 SERVICE UNAVAILABLE", "headers": [("Retry-After", "3")], "response": b"x"},
        web.Response(status=418),
        web.HTTPBadRequest(text="no handshake"),
    ]
    assert await running.get(POLLING) == (503, "x")
    assert await running.get(POLLING) == (418, "")
    assert await running.get(POLLING) == (400, "no handshake")


async def test_a_poll_that_raises_is_a_bad_request_and_ends_the_session(running: Running) -> None:
    sid = await running.open()
    running.engine.sockets[sid].closing = True
    assert (await running.get(f"{POLLING}&sid={sid}"))[0] == 400
    assert running.engine.calls[-1] == ("disconnect", sid), "Engine.disconnect ends the socket"


async def test_an_upgrade_is_handed_to_upgrade_websocket(running: Running) -> None:
    sid = await running.open()
    headers = {"Upgrade": "websocket", "Connection": "upgrade"}
    assert await running.get(f"{WEBSOCKET}&sid={sid}", **headers) == (200, "upgraded")
    assert running.engine.calls[-1] == ("_upgrade_websocket", sid), (
        "Socket._upgrade_websocket is the WebSocket transport, and its response is returned"
    )


async def test_a_post_is_handed_over_with_its_body_unread(running: Running) -> None:
    sid = await running.open()
    assert await running.post(f"{POLLING}&sid={sid}", "good") == 200
    assert running.engine.calls[-1] == ("handle_post_request", b"good", "me"), (
        "Socket.handle_post_request reads wsgi.input by CONTENT_LENGTH"
    )


async def test_a_post_that_raises_is_a_bad_request_and_ends_the_session(running: Running) -> None:
    sid = await running.open()
    assert await running.post(f"{POLLING}&sid={sid}", "bad") == 400
    assert running.engine.calls[-1] == ("disconnect", sid), "Engine.disconnect ends the socket"


async def test_a_post_that_raises_without_a_session_has_no_answer(running: Running) -> None:
    """It is why Socket.handle_post_request does not raise then."""
    sid = await running.open()
    assert await running.post(f"{POLLING}&sid={sid}", "gone") == 500, (
        "python-engineio answers this now: the check in handle_post_request may go"
    )


async def test_a_post_to_a_closed_socket_raises_in_get_socket(running: Running) -> None:
    """It is why Engine._get_socket does not: nobody catches it."""
    sid = await running.open()
    running.engine.sockets[sid].closed = True
    assert await running.post(f"{POLLING}&sid={sid}", "good") == 500, (
        "python-engineio answers this now: Engine._get_socket may go"
    )


async def test_what_polls_no_more_is_refused_by_upgraded_and_connected(running: Running) -> None:
    sid = await running.open()
    socket = running.engine.sockets[sid]
    socket.upgraded = True
    assert (await running.get(f"{POLLING}&sid={sid}"))[0] == 400
    socket.upgraded, socket.connected = False, False
    assert (await running.get(f"{POLLING}&sid={sid}"))[0] == 400
    assert ("handle_get_request", sid) not in running.engine.calls, (
        "Socket sets `connected` and `upgraded`, and leaves the refusals to python-engineio"
    )


async def test_a_closed_socket_is_forgotten_after_its_poll(running: Running) -> None:
    sid = await running.open()
    poll = running.engine.sockets[sid].poll

    async def poll_and_close() -> list[packet.Packet]:
        running.engine.sockets[sid].closed = True
        packets: list[packet.Packet] = await poll()
        return packets

    running.engine.sockets[sid].poll = poll_and_close
    assert (await running.get(f"{POLLING}&sid={sid}"))[0] == 200
    assert sid not in running.engine.sockets, "so the reason is fetched once; the next poll is 400"


async def test_during_an_upgrade_polls_are_answered_at_once(running: Running) -> None:
    sid = await running.open()
    running.engine.sockets[sid].upgrading = True
    assert await running.get(f"{POLLING}&sid={sid}") == (200, "6"), (
        "Socket._upgrade_websocket sets `upgrading` and relies on NOOP for polls meanwhile"
    )


async def test_upgrades_are_offered_to_polling_only(running: Running) -> None:
    sid = await running.open()
    assert running.engine._upgrades(sid, "polling") == ["websocket"]
    assert running.engine._upgrades(sid, "websocket") == []
    assert ("_get_socket", sid) in running.engine.calls, (
        "Engine puts the socket into `sockets` first"
    )


async def test_a_response_is_made_of_packets_in_order(running: Running) -> None:
    made = running.engine._ok([packet.Packet(packet.NOOP), packet.Packet(packet.MESSAGE, "x")])
    assert (made["status"], made["response"]) == ("200 OK", b"6\x1e4x")


async def test_an_answer_without_packets_is_a_dict_with_its_body(running: Running) -> None:
    """`Engine._ok` puts another body in."""
    assert running.engine._ok()["response"] == b"OK"


def test_the_reasons_for_an_end_have_their_names() -> None:
    reason = engineio.AsyncServer.reason
    assert reason.SERVER_DISCONNECT == "server disconnect"
    assert reason.CLIENT_DISCONNECT == "client disconnect"
    assert reason.PING_TIMEOUT == "ping timeout"
    assert reason.TRANSPORT_CLOSE == "transport close"
    assert reason.TRANSPORT_ERROR == "transport error"


def test_what_a_poll_raises_is_an_engine_io_error() -> None:
    assert issubclass(QueueEmpty, EngineIOError), "handle_request answers 400 to nothing else"


ATTRIBUTES: Final = {
    *("server", "sid", "queue", "last_ping", "session"),
    *("connected", "upgrading", "upgraded", "closing", "closed"),
}
"""Those of python-engineio's socket. Ours has no `last_ping` (its heartbeat is not theirs) and no
`session` (which only `Engine.get_session` and the like would ask for)."""
METHODS: Final = {
    *("send", "poll", "close", "schedule_ping"),
    *("handle_get_request", "handle_post_request", "_upgrade_websocket"),
    *("receive", "check_ping_timeout", "_send_ping", "_websocket_handler"),
}
NEVER_CALLED: Final = {
    "receive",
    "send",
    "check_ping_timeout",
    "schedule_ping",
    "_send_ping",
    "_websocket_handler",
}


async def test_a_socket_sets_no_attribute_that_ours_does_not_know_of() -> None:
    """Ours does not call `AsyncSocket.__init__`: a WebSocket needs no queue."""
    engine = engineio.AsyncServer(async_mode="aiohttp", monitor_clients=False)
    socket = AsyncSocket(engine, "sid")
    assert set(vars(socket)) == ATTRIBUTES
    assert isinstance(socket.queue, asyncio.Queue)
    flags = ("connected", "upgrading", "upgraded", "closing", "closed")
    assert [getattr(socket, flag) for flag in flags] == [False] * 5
    assert (socket.server, socket.sid) == (engine, "sid")
    assert AsyncSocket.upgrade_protocols == ["websocket"]


def test_ours_overrides_all_that_a_socket_does_but_to_answer_a_get() -> None:
    assert {name for name, value in vars(AsyncSocket).items() if callable(value)} == METHODS
    assert METHODS - set(vars(Socket)) == {"handle_get_request", *NEVER_CALLED}


def test_answering_a_get_asks_for_nothing_that_ours_does_not_have() -> None:
    used = set(AsyncSocket.handle_get_request.__code__.co_names)
    assert not used & {*NEVER_CALLED, "last_ping", "session"}
    assert used >= {"upgrade_protocols", "upgrading", "upgraded", "poll", "close"}


def test_packets_are_written_as_ours_are_read() -> None:
    assert packet.Packet(packet.MESSAGE, "text").encode() == "4text"
    assert packet.Packet(packet.MESSAGE, b"\0").encode() == b"\0"
    assert packet.Packet(packet.OPEN, {"a": 1}).encode() == '0{"a":1}'
    kinds = (packet.OPEN, packet.CLOSE, packet.PING, packet.PONG, packet.MESSAGE)
    assert (*kinds, packet.UPGRADE, packet.NOOP) == tuple(range(7))
    assert packet.Packet(encoded_packet="2").packet_type == packet.PING
    assert packet.Packet(encoded_packet="2").encode() == "2"


def test_session_ids_are_url_safe_and_differ() -> None:
    engine = engineio.AsyncServer(async_mode="aiohttp")
    ids = {engine.generate_id() for _ in range(100)}
    assert len(ids) == 100
    assert all(sid.replace("-", "").replace("_", "").isalnum() for sid in ids)


async def test_an_engine_keeps_to_the_options_that_ours_gives_it() -> None:
    engine = engineio.AsyncServer(
        async_mode="aiohttp",
        max_http_buffer_size=5,
        ping_interval=0.3,
        ping_timeout=0.2,
        http_compression=False,
        monitor_clients=False,
        transports=["websocket"],
        cors_allowed_origins=["https://app.example"],
    )
    assert engine.sockets == {}
    assert engine.transports == ["websocket"]
    assert (engine.ping_interval, engine.ping_timeout) == (0.3, 0.2)
    assert (engine.max_http_buffer_size, engine.http_compression) == (5, False)
    assert engine.start_service_task is False, "no task besides our heartbeat"


async def test_the_socket_io_server_makes_its_engine_by_engineio_server_class() -> None:
    class Ours(socketio.AsyncServer):  # type: ignore[misc] # it is untyped
        def _engineio_server_class(self) -> Any:
            return partial(Recorded)

    server = Ours(async_mode="aiohttp", monitor_clients=False, max_http_buffer_size=5)
    assert type(server.eio) is Recorded
    assert server.eio.max_http_buffer_size == 5, "options go on to the engine"


async def test_nothing_of_the_socket_io_server_is_told_of_sockets() -> None:
    """Its handlers are registered and never triggered: ours tells the gateway instead."""
    gateway = Gateway()
    assert isinstance(gateway._server, Server)
    assert isinstance(gateway.engine, Engine)
    assert set(gateway.engine.handlers) == {"connect", "message", "disconnect"}
    for method in (Engine._handle_connect, Socket.end, Socket._over, Socket._take):
        assert "_trigger_event" not in method.__code__.co_names


class Relay:
    """What `realtime.websocket` makes of aiohttp's queue: everything goes on at once."""

    def __init__(self) -> None:
        nobody: Any = None
        super().__init__(nobody, 0, loop=asyncio.get_running_loop())  # type: ignore[call-arg]
        self.fed: list[tuple[WSMsgType, Any, int]] = []
        self.raises: Exception | None = None

    def feed_data(self, data: Any, size: int) -> None:
        self.fed.append((data[0], data[1], size))
        if self.raises is not None:
            raise self.raises


class CompiledQueue(Relay, WebSocketDataQueue):
    """The one that wheels of aiohttp have."""


class PythonQueue(Relay, reader_py.WebSocketDataQueue):
    """The one that it has where nothing is compiled."""


Queue = CompiledQueue | PythonQueue
READERS: Final = pytest.mark.parametrize(
    ("queue_class", "reader_class"),
    [(CompiledQueue, WebSocketReader), (PythonQueue, reader_py.WebSocketReader)],
    ids=["compiled", "python"],
)
MAX_MESSAGE: Final = 10


def reading(queue_class: type[Queue], reader_class: Any) -> tuple[Queue, Callable[[bytes], Any]]:
    queue = queue_class()
    reader = reader_class(queue, MAX_MESSAGE + 1, compress=False, decode_text=False)
    return queue, reader.feed_data


@READERS
async def test_the_reader_feeds_our_queue_with_kind_and_bytes(
    queue_class: type[Queue], reader_class: Any
) -> None:
    queue, feed = reading(queue_class, reader_class)
    ping, pong, close = frame(9, b"p"), frame(10, b"q"), frame(8, b"\x03\xe8bye")
    assert feed(message("\u00fc") + message(b"b") + ping + pong + close) == (False, b"")
    assert [(kind, data) for kind, data, _ in queue.fed] == [
        (WSMsgType.TEXT, b"\xc3\xbc"),
        (WSMsgType.BINARY, b"b"),
        (WSMsgType.PING, b"p"),
        (WSMsgType.PONG, b"q"),
        (WSMsgType.CLOSE, 1000),
    ]
    assert all(kind in WSMsgType and kind is WSMsgType(kind) for kind, _, _ in queue.fed)
    assert type(queue.fed[0][1]) is type(queue.fed[1][1]) is bytes


@READERS
async def test_text_is_not_decoded_and_so_need_not_be_any(
    queue_class: type[Queue], reader_class: Any
) -> None:
    queue, feed = reading(queue_class, reader_class)
    assert feed(frame(1, b"\xff")) == (False, b"")
    assert queue.fed == [(WSMsgType.TEXT, b"\xff", 1)]


@READERS
async def test_a_queue_that_does_not_count_is_never_full(
    queue_class: type[Queue], reader_class: Any
) -> None:
    """The reader would stop, and wait for somebody to take messages out."""
    queue, feed = reading(queue_class, reader_class)
    for _ in range(3):
        assert feed(message(b"x" * MAX_MESSAGE) * 10_000) == (False, b"")
    assert len(queue.fed) == 30_000
    assert (queue._size, queue._limit, queue._stalled_reader) == (0, 0, None)


@READERS
@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frame(2, b"x" * (MAX_MESSAGE + 1)), 1009),
        (frame(3, b""), 1002),
        (b"\xc1\x80" + bytes(4), 1002),
        (frame(8, b"\x03\xe8\xff"), 1007),
    ],
)
async def test_what_breaks_the_protocol_is_found_in_the_queue(
    queue_class: type[Queue], reader_class: Any, data: bytes, code: int
) -> None:
    """It takes less than it was told: why it is told one more."""
    queue, feed = reading(queue_class, reader_class)
    assert feed(frame(2, b"x" * MAX_MESSAGE) + data + message("after")) == (True, b"")
    assert len(queue.fed) == 1, "what came before is taken, what came after is not"
    error = queue.exception()
    assert isinstance(error, WebSocketError)
    assert error.code == code


@READERS
async def test_an_exception_of_the_queue_is_swallowed_and_ends_all_reading(
    queue_class: type[Queue], reader_class: Any
) -> None:
    """Why `_Inbox.feed_data` lets none out."""
    queue, feed = reading(queue_class, reader_class)
    queue.raises = LookupError()
    assert feed(message("a") + message("b")) == (True, b"")
    assert queue.exception() is queue.raises
    queue.raises = None
    assert feed(message("c"))[0] is True
    assert len(queue.fed) == 1


class Heir(asyncio.Protocol):
    """Who takes a transport over from aiohttp, as `realtime.websocket` does it."""

    def __init__(self) -> None:
        self.parser = EarlyBytes()
        self.data = b""
        self.pauses = 0
        self.transport: asyncio.Transport
        self.request: weakref.ref[web.Request]
        self.handler: weakref.ref[asyncio.Task[Any]]
        self.is_lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def adopt(self, request: web.Request) -> None:
        protocol, transport = request.protocol, request.transport
        task = asyncio.current_task()
        assert transport is not None
        assert task is not None
        self.transport, self.request, self.handler = (
            transport,
            weakref.ref(request),
            weakref.ref(task),
        )
        parser: Any = self.parser
        protocol.set_parser(parser)
        transport.set_protocol(self)
        transport.set_write_buffer_limits(1)
        protocol.transport = None
        protocol.connection_lost(None)

    def data_received(self, data: bytes) -> None:
        self.data += data

    def data_ends_with(self, end: bytes) -> bool:
        return self.data.endswith(end)

    def pause_writing(self) -> None:
        self.pauses += 1

    def connection_lost(self, _error: Exception | None) -> None:
        self.is_lost.set_result(None)


class EarlyBytes:
    def __init__(self) -> None:
        self.fed: list[bytes] = []
        self.ended = 0

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        self.fed.append(data)
        return False, b""

    def feed_eof(self) -> None:
        self.ended += 1


class Answered(web.Response):
    """A response of which aiohttp writes nothing, because it is told so."""

    calls: list[str]

    async def prepare(self, _request: web.BaseRequest) -> None:
        self.calls.append("prepare")

    async def write_eof(self, _data: bytes = b"") -> None:
        self.calls.append("write_eof")


class Legacy:
    """A server that gives away every connection, and the newest that it gave away."""

    def __init__(self) -> None:
        self.url = ""
        self.heir = Heir()
        self.calls: list[str] = []
        self.ended = asyncio.Event()
        self.runner: web.AppRunner

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.heir = Heir()
        self.heir.adopt(request)
        response = Answered(status=101)
        response.calls = self.calls
        asyncio.get_running_loop().call_soon(self.ended.set)
        return response


@asynccontextmanager
async def giving_away(**options: Any) -> AsyncIterator[Legacy]:
    legacy, app = Legacy(), web.Application()
    app.router.add_route("*", "/", legacy.handle)
    legacy.runner = web.AppRunner(app, shutdown_timeout=0.1, **options)
    await legacy.runner.setup()
    await web.TCPSite(legacy.runner, "127.0.0.1", 0).start()
    legacy.url = f"http://127.0.0.1:{legacy.runner.addresses[0][1]}"
    yield legacy
    await legacy.runner.cleanup()


async def asked(legacy: Legacy, early: bytes = b"") -> Http:
    """A client whose handshake was taken over; the handler has ended."""
    http = await Http.open(legacy.url)
    lines = ["GET / HTTP/1.1", "Host: x", *(f"{name}: {value}" for name, value in UPGRADE.items())]
    http.writer.write("\r\n".join([*lines, "", ""]).encode() + early)
    await asyncio.wait_for(legacy.ended.wait(), WAIT_S)
    return http


@pytest.mark.parametrize("handler_cancellation", [False, True])
async def test_a_transport_that_was_taken_over_lives_on_and_nothing_is_written(
    handler_cancellation: bool,
) -> None:
    async with giving_away(handler_cancellation=handler_cancellation) as legacy:
        http = await asked(legacy)
        for number in range(3):
            http.writer.write(b"%d" % number)
            await until(partial(legacy.heir.data_ends_with, b"%d" % number))
        assert not legacy.heir.transport.is_closing()
        assert legacy.heir.parser.ended == 1
        legacy.heir.transport.write(b"all there is")
        legacy.heir.transport.close()
        async with asyncio.timeout(WAIT_S):
            assert await http.reader.read() == b"all there is", "aiohttp has written something"
            await legacy.heir.is_lost
        http.close()


async def test_aiohttp_prepares_and_ends_what_a_handler_returns_and_no_more() -> None:
    async with giving_away() as legacy:
        http = await asked(legacy)
        await until(lambda: len(legacy.calls) >= 2)
        assert legacy.calls == ["prepare", "write_eof"]
        http.close()


@pytest.mark.parametrize("early", [b"early", b"x" * 300_000])
async def test_what_came_with_the_handshake_is_handed_to_the_parser(early: bytes) -> None:
    async with giving_away() as legacy:
        http = await asked(legacy, early)
        heir = legacy.heir
        await until(lambda: len(b"".join(heir.parser.fed) + heir.data) >= len(early))
        assert b"".join(heir.parser.fed) + heir.data == early
        assert heir.parser.fed, "set_parser handed nothing over"
        assert heir.transport.is_reading(), "aiohttp has paused the transport and forgot it so"
        http.close()


def is_forgotten(reference: weakref.ref[Any]) -> bool:
    gc.collect()
    return reference() is None


async def test_aiohttp_forgets_the_request_and_its_task() -> None:
    async with giving_away() as legacy:
        http = await asked(legacy)
        await until(lambda: len(legacy.calls) >= 2)
        await until(lambda: is_forgotten(legacy.heir.handler))
        assert is_forgotten(legacy.heir.request)
        assert legacy.runner.server is not None
        assert legacy.runner.server.connections == []
        http.close()


async def test_a_server_that_ends_neither_waits_for_what_was_taken_over_nor_closes_it() -> None:
    """`Engine.stop` does both, before."""
    async with giving_away() as legacy:
        http = await asked(legacy)
    assert not legacy.heir.transport.is_closing()
    legacy.heir.transport.abort()
    http.close()


async def test_what_was_taken_over_is_in_the_access_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "aiohttp.access"):
        async with giving_away() as legacy:
            http = await asked(legacy)
            await until(lambda: "GET" in caplog.text)
            http.close()
    assert '"GET / HTTP/1.1" 101' in caplog.text
    assert "Traceback" not in caplog.text


async def test_limits_of_the_write_buffer_are_looked_at_at_once() -> None:
    """Who has not read the answers to earlier requests may be behind from the start."""
    async with giving_away() as legacy:
        http = await asked(legacy)
        transport = legacy.heir.transport
        transport.set_write_buffer_limits(100 * 1024 * 1024)
        while not transport.get_write_buffer_size():
            transport.write(bytes(100_000))
        assert legacy.heir.pauses == 0
        transport.set_write_buffer_limits(1)
        assert legacy.heir.pauses == 1
        transport.abort()
        http.close()


async def test_the_application_is_told_before_its_connections_are_closed() -> None:
    """`Engine.attach` ends the sessions then, and clients still read why."""
    app = web.Application()

    async def handle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        stopping.append(response)
        await asyncio.Event().wait()
        return response

    async def stop(_app: web.Application) -> None:
        for response in stopping:
            await response.write(b"bye")

    stopping: list[web.StreamResponse] = []
    app.router.add_get("/", handle)
    app.on_shutdown.append(stop)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    async with ClientSession(url) as http, http.get("/") as response:
        await runner.cleanup()
        assert await response.content.readany() == b"bye"


async def test_a_body_that_breaks_off_raises_what_ours_expects() -> None:
    raised: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
    app = web.Application()

    async def handle(request: web.Request) -> web.Response:
        try:
            await request.content.readexactly(100)
        except Exception as error:  # noqa: BLE001 - the test looks at it
            raised.set_result(error)
        return web.Response()

    app.router.add_post("/", handle)
    async with served(app) as url:
        http = await Http.open(url)
        http.ask("POST", "/", {"Content-Length": "100"}, b"42")
        await http.writer.drain()
        http.writer.transport.abort()
        error = await asyncio.wait_for(raised, WAIT_S)
    assert isinstance(error, (asyncio.IncompleteReadError, OSError, web.RequestPayloadError))
