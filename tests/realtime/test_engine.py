"""Engine.IO sessions: what a receiver is told of them, once each, and how they end."""

import asyncio
import socket as so
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import msgspec
import pytest
from aiohttp import web
from msgspec import Struct

from realtime import engine
from realtime.engine import MAX_QUEUED, PASSING_BEHIND, PASSING_QUEUED, Engine, Limits, Socket
from realtime.wire import Frame
from tests.apps import SMALLEST, served
from tests.hostile.process import until
from tests.hostile.raw import CLOSE, HANDSHAKE, UPGRADE, Http, WebSocket, frame, message, request

POLLING = "/socket.io/?EIO=4&transport=polling"
LIMITS = Limits(max_payload=10_000, connect_within_s=None)
HELLO = Frame(b"4hello", binary=False)


class Witness:
    """A receiver that notes what it is told, and does what the test wants with messages."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Any]] = []
        self.sockets: list[Socket] = []
        self.does: Callable[[Socket], None] = lambda _socket: None

    def message(self, socket: Socket, data: bytes, binary: bool) -> None:
        self.sockets.append(socket)
        self.told.append(("binary" if binary else "text", data))
        self.does(socket)

    def unreadable(self, socket: Socket) -> None:
        self.told.append(("unreadable", None))
        socket.end(code=1008)

    def too_large(self, socket: Socket) -> None:
        self.told.append(("too large", None))
        socket.write(HELLO)

    def fell_behind(self, socket: Socket) -> None:
        self.told.append(("fell behind", None))
        socket.end(HELLO)

    def drained(self, _socket: Socket) -> None:
        self.told.append(("drained", None))

    def gone(self, socket: Socket, reason: str) -> None:
        assert socket.closed
        self.told.append(("gone", reason))

    async def sees(self, what: str, about: Any = None) -> None:
        await until(lambda: (what, about) in self.told)


class Place(Struct, frozen=True):
    url: str
    engine: Engine
    witness: Witness

    async def websocket(self) -> tuple[WebSocket, Socket]:
        client = await WebSocket.open(self.url)
        return client, self.engine.sockets[sid_of(str(await client.receive()))]

    async def polling(self) -> tuple[str, Socket]:
        """The session's address, and its socket."""
        sid = sid_of((await request(self.url, "GET", POLLING)).body.decode())
        return f"{POLLING}&sid={sid}", self.engine.sockets[sid]

    async def get(self, target: str) -> tuple[int, bytes]:
        answer = await request(self.url, "GET", target)
        return answer.status, answer.body

    async def post(self, target: str, body: bytes) -> int:
        return (await request(self.url, "POST", target, {}, body)).status


def sid_of(opening: str) -> str:
    sid: str = msgspec.json.decode(opening[1:])["sid"]
    return sid


@asynccontextmanager
async def serving(limits: Limits, *, sends_ahead: bool = True) -> AsyncIterator[Place]:
    witness, app = Witness(), web.Application()
    server = Engine(witness, limits)
    server.attach(app, "socket.io")
    async with served(app, sends_ahead=sends_ahead) as url:
        yield Place(url, server, witness)


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    async with serving(LIMITS) as place:
        yield place


async def test_a_client_is_told_what_it_is_held_to() -> None:
    limits = Limits(ping_interval_s=0.3, ping_timeout_s=0.2, max_payload=10_000)
    async with serving(limits) as place:
        opened = msgspec.json.decode((await place.get(POLLING))[1][1:])
        del opened["sid"]
        assert opened == {
            "upgrades": ["websocket"],
            "pingInterval": 300,
            "pingTimeout": 200,
            "maxPayload": 10_000,
        }
        client = await WebSocket.open(place.url)
        assert '"upgrades":[]' in str(await client.receive())
        client.close()


APP: Final = UPGRADE
PAGE: Final = {**UPGRADE, "Origin": "http://127.0.0.1"}


@pytest.mark.parametrize(
    ("target", "headers"),
    [(POLLING, {}), (HANDSHAKE, APP), (HANDSHAKE, PAGE)],
    ids=["poller", "app", "page"],
)
async def test_while_something_is_in_the_way_newcomers_are_told_to_come_back(
    place: Place, target: str, headers: dict[str, str]
) -> None:
    inside, _ = await place.polling()
    place.engine.obstacle = lambda: "not now"
    refused = await request(place.url, "GET", target, headers)
    assert refused.status == 503
    assert 1 <= int(refused.headers["retry-after"]) <= 5
    assert msgspec.json.decode(refused.body) == {
        "error": {"code": "unavailable", "message": "not now", "retry": True}
    }
    assert await place.post(inside, b"4hello") == 200
    await place.witness.sees("text", b"hello")
    place.engine.obstacle = lambda: None
    await place.polling()


@pytest.mark.parametrize(
    ("target", "asks_as"),
    [
        (HANDSHAKE, {"Origin": "https://elsewhere.example"}),
        (HANDSHAKE.replace("EIO=4", "EIO=3"), {}),
        (HANDSHAKE.replace("EIO=4&", ""), {}),
        (HANDSHAKE + "&sid=unknown", {}),
        (HANDSHAKE + "&j=x", {}),
        (HANDSHAKE, {"Upgrade": "h2c"}),
    ],
)
async def test_a_websocket_that_may_not_be_is_no_session(
    target: str, asks_as: dict[str, str]
) -> None:
    async with serving(LIMITS) as place:
        assert (await request(place.url, "GET", target, {**UPGRADE, **asks_as})).status == 400
        assert place.engine.sockets == {}


@pytest.mark.parametrize("headers", [APP, PAGE], ids=["app", "page"])
async def test_who_opens_a_websocket_is_known_by_its_token_and_address(
    place: Place, headers: dict[str, str]
) -> None:
    http = await Http.open(place.url)
    http.ask("GET", HANDSHAKE, {**headers, "Authorization": "Bearer token"})
    assert (await http.head()).status == 101
    (socket,) = place.engine.sockets.values()
    assert (socket.authorization, socket.origin.address) == ("Bearer token", "127.0.0.1")
    http.close()


async def test_one_body_is_read_at_a_time(place: Place) -> None:
    target, socket = await place.polling()
    slow = await Http.open(place.url)
    slow.ask("POST", target, {"Content-Length": "6"}, b"4he")
    await until(lambda: socket._posting)
    assert await place.post(target, b"4hello") == 400
    slow.close()


async def test_clients_are_pinged_all_the_time_on_both_transports() -> None:
    limits = Limits(ping_interval_s=0.05, ping_timeout_s=60, connect_within_s=None)
    async with serving(limits) as place:
        client, _ = await place.websocket()
        target, _ = await place.polling()
        for _ in range(3):
            assert await client.receive() == "2"
            client.send("3")
            assert await place.get(target) == (200, b"2")
            assert await place.post(target, b"3") == 200
        assert place.witness.told == []
        client.close()


async def test_who_does_not_answer_is_ended_without_anybody_asking() -> None:
    limits = Limits(ping_interval_s=0.05, ping_timeout_s=0.05, connect_within_s=None)
    async with serving(limits) as place:
        client, _ = await place.websocket()
        assert await client.rest() == (["2"], 1000)
        client.close()
        await place.polling()
        await until(lambda: place.witness.told == [("gone", "ping timeout")] * 2)


async def test_who_is_not_let_in_is_ended_without_anybody_asking() -> None:
    async with serving(Limits(connect_within_s=0.05, ping_interval_s=4)) as place:
        client, _ = await place.websocket()
        assert await client.rest() == ([], 1008)
        client.close()
        await place.polling()
        await until(lambda: place.witness.told == [("gone", "server disconnect")] * 2)


ENDINGS: dict[str, tuple[bytes, str, list[str]]] = {
    "close frame": (frame(CLOSE, b""), "transport close", []),
    "Engine.IO close": (message("1"), "client disconnect", []),
    "protocol error": (frame(3, b""), "transport error", []),
    "too large": (message("4" + "x" * 10_000), "transport error", ["too large"]),
    "no Engine.IO": (message("x"), "server disconnect", ["unreadable"]),
}


@pytest.mark.parametrize(("data", "reason", "before"), ENDINGS.values(), ids=ENDINGS)
async def test_the_end_is_told_once_and_at_once_and_the_socket_forgotten(
    place: Place, data: bytes, reason: str, before: list[str]
) -> None:
    """Though the client keeps its side of the connection open."""
    client, socket = await place.websocket()
    client.write(data)
    await place.witness.sees("gone", reason)
    assert place.engine.sockets == {}
    await client.rest()
    assert socket.write(HELLO), "what is written to who is gone is dropped"
    socket.end(HELLO)
    client.close()
    await until(lambda: not place.engine.websockets)
    assert place.witness.told == [*((what, None) for what in before), ("gone", reason)]


async def test_who_vanishes_is_gone(place: Place) -> None:
    client, _ = await place.websocket()
    client.writer.transport.abort()
    await place.witness.sees("gone", "transport close")
    assert (place.engine.sockets, place.engine.websockets) == ({}, set())


async def test_a_last_word_is_read_by_who_sent_what_is_too_large(place: Place) -> None:
    client, _ = await place.websocket()
    client.send("4" + "x" * 20_000)
    assert await client.rest() == (["4hello"], 1009)


async def test_the_receiver_hears_of_the_end_after_its_own_call(place: Place) -> None:
    """It may be in the middle of something."""
    during: list[list[tuple[str, Any]]] = []

    def end(socket: Socket) -> None:
        socket.end()
        during.append(list(place.witness.told))

    place.witness.does = end
    client, _ = await place.websocket()
    client.send("4bye", "4too late")
    await place.witness.sees("gone", "server disconnect")
    assert during == [[("text", b"bye")]]
    assert len(place.witness.told) == 2
    client.close()


async def test_messages_come_with_their_kind_on_both_transports(place: Place) -> None:
    client, _ = await place.websocket()
    client.send("4text", b"binary", "4")
    await place.witness.sees("text", b"")
    target, _ = await place.polling()
    assert await place.post(target, b"4text\x1ebYmluYXJ5\x1e4") == 200
    expected = [("text", b"text"), ("binary", b"binary"), ("text", b"")]
    assert place.witness.told == expected * 2
    client.close()


async def test_who_polls_rarely_misses_what_passes_and_hears_of_it(place: Place) -> None:
    target, socket = await place.polling()
    taken = [socket.write(HELLO, True) for _ in range(PASSING_QUEUED + 10)]
    assert taken == [True] * PASSING_QUEUED + [False] * 10
    assert socket.write(HELLO), "what is kept waits"
    assert place.witness.told == []
    status, body = await place.get(target)
    assert (status, body.count(b"4hello")) == (200, PASSING_QUEUED + 1)
    assert place.witness.told == [("drained", None)]
    assert socket.write(HELLO, True)
    await place.get(target)
    assert place.witness.told == [("drained", None)]


async def test_large_frames_count_by_their_size(place: Place) -> None:
    _, socket = await place.polling()
    large = Frame(b"4" + b"x" * (PASSING_BEHIND + 1), binary=False)
    assert socket.write(large, True)
    assert not socket.write(HELLO, True)


async def test_who_does_not_poll_falls_behind_and_is_told_once(place: Place) -> None:
    target, socket = await place.polling()
    for _ in range(MAX_QUEUED + 10):
        assert socket.write(HELLO)
    await place.witness.sees("gone", "server disconnect")
    assert place.witness.told == [("fell behind", None), ("gone", "server disconnect")]
    status, body = await place.get(target)
    assert (status, body.count(b"4hello")) == (200, MAX_QUEUED + 1)
    assert (await place.get(target))[0] == 400


LARGE: Final = Frame(b"4" + b"x" * 900_000, binary=False)


@pytest.fixture
async def narrow() -> AsyncIterator[Place]:
    """Where the kernel takes little for who does not read."""
    async with serving(LIMITS, sends_ahead=False) as place:
        yield place


async def stalled(place: Place, target: str, socket: Socket) -> Http:
    """A poll for a large frame, of which the client has read nothing."""
    socket.write(LARGE)
    small = so.socket()
    small.setsockopt(so.SOL_SOCKET, so.SO_RCVBUF, SMALLEST)
    small.connect(("127.0.0.1", int(place.url.rpartition(":")[2])))
    client = Http(*await asyncio.open_connection(sock=small, limit=SMALLEST))
    client.ask("GET", target, {})
    await until(socket.queue.empty)
    return client


async def test_what_a_poller_does_not_read_waits_for_it(narrow: Place) -> None:
    target, socket = await narrow.polling()
    client = await stalled(narrow, target, socket)
    assert not socket.write(HELLO, True)
    socket.write(HELLO)
    assert (await client.response()).body == LARGE.data
    await narrow.witness.sees("drained")
    assert socket.write(HELLO, True)
    assert (await narrow.get(target))[1] == HELLO.data + b"\x1e" + HELLO.data
    client.close()


async def test_who_polls_again_without_reading_is_cut_off(narrow: Place) -> None:
    target, socket = await narrow.polling()
    client = await stalled(narrow, target, socket)
    assert (await narrow.get(target))[0] == 400
    assert socket.closed
    client.close()


async def test_who_leaves_before_it_has_read_what_it_polled_for_is_no_error(
    narrow: Place, caplog: pytest.LogCaptureFixture
) -> None:
    target, socket = await narrow.polling()
    client = await stalled(narrow, target, socket)
    client.writer.transport.abort()
    await until(lambda: socket.write(HELLO, True))
    assert (await narrow.get(target)) == (200, HELLO.data)
    assert caplog.records == []


async def test_who_never_reads_what_it_polled_for_loses_the_connection(
    narrow: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "FETCHED_WITHIN_S", 0.05)
    target, socket = await narrow.polling()
    client = await stalled(narrow, target, socket)
    await until(lambda: socket.write(HELLO, True))
    assert (await narrow.get(target)) == (200, HELLO.data)
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        await client.response()
    client.close()


async def test_what_passed_a_poller_by_is_made_up_for_once_it_is_on_a_websocket(
    place: Place,
) -> None:
    target, socket = await place.polling()
    while socket.write(HELLO, True):
        pass
    client = await WebSocket.open(place.url, f"{HANDSHAKE}&sid={target.rpartition('=')[2]}")
    client.send("2probe", "5")
    await place.witness.sees("drained")
    assert socket.transport_name == "websocket"
    assert await client.receive() == "3probe"
    assert [await client.receive() for _ in range(PASSING_QUEUED)] == ["4hello"] * PASSING_QUEUED
    client.close()


async def test_a_session_that_ends_takes_its_probe_along(place: Place) -> None:
    target, socket = await place.polling()
    client = await WebSocket.open(place.url, f"{HANDSHAKE}&sid={target.rpartition('=')[2]}")
    client.send("2probe")
    assert await client.receive() == "3probe"
    socket.end(HELLO)
    assert await client.rest() == ([], 1000)
    assert (await place.get(target))[0] == 200
    client.close()


async def test_a_probe_that_was_given_up_does_not_disturb_the_next_one(place: Place) -> None:
    target, socket = await place.polling()
    websocket = f"{HANDSHAKE}&sid={target.rpartition('=')[2]}"
    first = await WebSocket.open(place.url, websocket)
    first.send("4no probe")
    assert await first.rest() == ([], 1000)
    second = await WebSocket.open(place.url, websocket)
    first.close()
    second.send("2probe")
    assert await second.receive() == "3probe"
    assert socket.takes_no_websocket
    second.send("5", "4here")
    await place.witness.sees("text", b"here")
    assert place.witness.told == [("text", b"here")]
    second.close()


async def test_stopping_ends_everybody_and_waits_until_they_have_read(place: Place) -> None:
    client, socket = await place.websocket()
    target, _ = await place.polling()
    poll = await Http.open(place.url)
    poll.ask("GET", target, {})
    await request(place.url, "GET", "/another")  # answered later than that was read
    socket.write(HELLO)
    stopping = asyncio.create_task(place.engine.stop())
    assert await client.rest() == (["4hello"], 1000)
    assert (await poll.response()).body == b"1"
    client.close()
    await stopping
    assert place.witness.told == [("gone", "server disconnect")] * 2
    assert (await place.get(POLLING))[0] == 503
    assert len(place.engine.wheel) == 0
    poll.close()


async def test_stopping_does_not_wait_for_ever_for_who_stays(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "STOP_WITHIN_S", 0.05)
    client, _ = await place.websocket()
    await place.engine.stop()
    await until(lambda: not place.engine.websockets)
    assert await client.rest() == ([], 1000)
    client.close()
