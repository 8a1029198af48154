"""What `realtime.engine` relies on inside of python-socketio, python-engineio and aiohttp.

When one of these fails after an upgrade of a package, read what the new version does there and
what `realtime/engine.py` makes of it, before the pin in setup.cfg moves.
"""

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from configparser import ConfigParser
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import engineio
import pytest
import socketio
from aiohttp import ClientSession, WSMsgType, web
from aiohttp.base_protocol import BaseProtocol
from engineio import packet
from engineio.async_socket import AsyncSocket
from engineio.exceptions import EngineIOError, QueueEmpty

ROOT: Final = Path(__file__).parents[2]
POLLING: Final = "/socket.io/?EIO=4&transport=polling"
WEBSOCKET: Final = "/socket.io/?EIO=4&transport=websocket"

Calls = list[tuple[object, ...]]


class Recorded(engineio.AsyncServer):  # type: ignore[misc] # it is untyped
    """python-engineio's server with nothing of ours but notes of who was called with what."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.calls: Calls = []

    async def _handle_connect(
        self, environ: dict[str, Any], transport: str, jsonp_index: int | None = None
    ) -> Any:
        self.calls.append(("_handle_connect", environ["aiohttp.request"].method, transport))
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
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with ClientSession(f"http://127.0.0.1:{runner.addresses[0][1]}") as http:
        yield Running(engine, http)
    await runner.cleanup()


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
        (engineio.AsyncServer._handle_connect, ["environ", "transport", "jsonp_index"]),
        (engineio.AsyncServer.disconnect, ["sid"]),
        (engineio.AsyncServer._ok, ["packets", "headers", "jsonp_index"]),
        (engineio.AsyncServer._upgrades, ["sid", "transport"]),
        (engineio.AsyncServer._get_socket, ["sid"]),
        (AsyncSocket.__init__, ["server", "sid"]),
        (AsyncSocket.send, ["pkt"]),
        (AsyncSocket.poll, []),
        (AsyncSocket.handle_get_request, ["environ"]),
        (AsyncSocket.handle_post_request, ["environ"]),
        (AsyncSocket._upgrade_websocket, ["environ"]),
        (AsyncSocket.schedule_ping, []),
        (AsyncSocket.close, ["wait", "abort", "reason"]),
        (socketio.AsyncServer._engineio_server_class, []),
        (socketio.AsyncServer._handle_eio_disconnect, ["eio_sid", "reason"]),
        (web.WebSocketResponse._close_transport, []),
    ],
    ids=lambda value: getattr(value, "__qualname__", None),
)
def test_what_is_overridden_or_called_has_its_parameters(
    method: Callable[..., Any], parameters: list[str]
) -> None:
    assert list(inspect.signature(method).parameters)[1:] == parameters, (
        f"{method.__qualname__}: realtime/engine.py overrides or calls it with {parameters}"
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


async def test_close_tells_the_server_first_and_then_the_client(running: Running) -> None:
    told: Calls = []
    running.engine.on("disconnect", lambda sid, reason: told.append((sid, reason)))
    for abort in (False, True):
        sid = await running.open()
        socket = running.engine.sockets[sid]
        await socket.close(wait=False, abort=abort, reason="over")
        assert told.pop() == (sid, "over"), "Server._handle_eio_disconnect hears it"
        assert (socket.closing, socket.closed) == (True, True)
        assert socket.queue.qsize() == (0 if abort else 1), "CLOSE comes unless it is aborted"
        if not abort:
            assert socket.queue.get_nowait().packet_type == packet.CLOSE
        await socket.close(wait=False)
        assert told == [], "a second close does nothing"


async def test_a_disconnect_handler_is_awaited_before_close_goes_on(running: Running) -> None:
    sid = await running.open()
    open_when_told = []

    async def note(sid: str, _reason: str) -> None:
        await asyncio.sleep(0)
        open_when_told.append(not running.engine.sockets[sid].closed)

    running.engine.on("disconnect", note)
    await running.engine.sockets[sid].close(wait=False)
    assert open_when_told == [True], "`gone` finds the socket in `sockets`"


async def test_a_poll_takes_all_that_waits_and_then_waits_itself() -> None:
    engine = engineio.AsyncServer(async_mode="aiohttp", monitor_clients=False)
    engine.ping_interval = engine.ping_timeout = 0.01
    socket = AsyncSocket(engine, "sid")
    for number in range(3):
        socket.queue.put_nowait(packet.Packet(packet.MESSAGE, str(number)))
    assert [taken.data for taken in await socket.poll()] == ["0", "1", "2"]
    with pytest.raises(QueueEmpty):
        await socket.poll()


def test_what_a_poll_raises_is_an_engine_io_error() -> None:
    assert issubclass(QueueEmpty, EngineIOError), "handle_request answers 400 to nothing else"


async def test_a_socket_has_the_attributes_that_ours_sets() -> None:
    engine = engineio.AsyncServer(async_mode="aiohttp", monitor_clients=False)
    socket = AsyncSocket(engine, "sid")
    assert isinstance(socket.queue, asyncio.Queue)
    flags = ("connected", "upgrading", "upgraded", "closing", "closed")
    assert [getattr(socket, flag) for flag in flags] == [False] * 5
    assert (socket.server, socket.sid) == (engine, "sid")


def test_packets_are_written_as_ours_are_read() -> None:
    assert packet.Packet(packet.MESSAGE, "text").encode() == "4text"
    assert packet.Packet(packet.MESSAGE, b"\0").encode() == b"\0"
    assert packet.Packet(packet.OPEN, {"a": 1}).encode() == '0{"a":1}'
    kinds = (packet.OPEN, packet.CLOSE, packet.PING, packet.PONG, packet.MESSAGE)
    assert (*kinds, packet.UPGRADE, packet.NOOP) == tuple(range(7))


def test_session_ids_are_url_safe_and_differ() -> None:
    engine = engineio.AsyncServer(async_mode="aiohttp")
    ids = {engine.generate_id() for _ in range(100)}
    assert len(ids) == 100
    assert all(sid.replace("-", "").replace("_", "").isalnum() for sid in ids)


async def test_the_socket_io_server_makes_its_engine_by_engineio_server_class() -> None:
    class Ours(socketio.AsyncServer):  # type: ignore[misc] # it is untyped
        def _engineio_server_class(self) -> type[Recorded]:
            return Recorded

        async def _handle_eio_disconnect(self, eio_sid: str, reason: str) -> None:
            self.eio.calls.append((eio_sid, reason))

    server = Ours(async_mode="aiohttp", monitor_clients=False, max_http_buffer_size=5)
    assert type(server.eio) is Recorded
    assert server.eio.max_http_buffer_size == 5, "options go on to the engine"
    assert server.eio.start_service_task is False, "no task besides our heartbeat"
    await server.eio._trigger_event("disconnect", "sid", "reason", run_async=False)
    assert server.eio.calls == [("sid", "reason")], "Server._handle_eio_disconnect is its handler"


def test_the_reason_of_a_transport_that_closed_has_its_name() -> None:
    assert engineio.AsyncServer.reason.TRANSPORT_CLOSE == "transport close"


class Relaxed(web.WebSocketResponse):
    """Notes when aiohttp wants to close the transport, and leaves it open."""

    wanted: int = 0

    def _close_transport(self) -> None:
        assert self._req is not None, "_WebSocket finds the transport there"
        assert self._req.transport is not None
        self.wanted += 1


@asynccontextmanager
async def serving(
    handle: Callable[[web.Request], Awaitable[web.StreamResponse]],
) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_get("/", handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@pytest.mark.parametrize(("size", "answer"), [(10, "taken"), (11, 1009)])
async def test_aiohttp_takes_less_than_max_msg_size_and_asks_before_it_closes(
    size: int, answer: str | int
) -> None:
    """Why it is `MAX_FRAME + 1`, and what `_WebSocket` overrides."""
    response = Relaxed(max_msg_size=11)

    async def handle(request: web.Request) -> web.StreamResponse:
        await response.prepare(request)
        if (await response.receive()).type is WSMsgType.TEXT:
            await response.send_str("taken")
            await response.close()
        return response

    async with (
        serving(handle) as url,
        ClientSession() as http,
        http.ws_connect(url) as client,
    ):
        await client.send_str("x" * size)
        assert (await client.receive()).data == answer
    assert response.wanted == 1, "aiohttp closes the transport by other means than before"


async def test_an_aiohttp_protocol_without_transport_closes_nothing() -> None:
    """What `part` does: the handler hears that the client is gone, the transport stays."""
    closing: list[bool] = []

    async def handle(request: web.Request) -> web.StreamResponse:
        response = web.WebSocketResponse()
        await response.prepare(request)
        transport = request.transport
        assert transport is not None
        protocol = transport.get_protocol()
        assert isinstance(protocol, BaseProtocol)
        protocol.transport = None
        protocol.connection_lost(ConnectionResetError())
        heard = await response.receive()
        assert heard.type not in (WSMsgType.TEXT, WSMsgType.BINARY)
        closing.append(transport.is_closing())
        transport.abort()
        return response

    async with (
        serving(handle) as url,
        ClientSession() as http,
        http.ws_connect(url) as client,
    ):
        await client.receive()
    assert closing == [False], "part closes the transport before what was written has left"
