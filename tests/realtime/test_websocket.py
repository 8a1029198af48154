"""WebSockets on real transports: what comes, what leaves, what is said at the end, and to whom."""

import asyncio
import gc
import logging
import socket
import struct
import weakref
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from typing import Final

import pytest
from aiohttp import ClientSession, WSMsgType, web

from realtime import websocket as module
from realtime.websocket import AT_ONCE, UNSENT_IN_KERNEL, Outbox, WebSocket
from realtime.wire import Frame
from tests.apps import served
from tests.clients import WAIT_S
from tests.hostile import raw
from tests.hostile.raw import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, UPGRADE, Http, frame

MAX_MESSAGE: Final = 10_000
HIGH_WATER: Final = 64 * 1024
MIB: Final = 1024 * 1024
PATH: Final = "/websocket"

Heard = list[tuple[str, bytes | int | None]]


class Owner:
    """Notes what it hears, and does what the test wants when a message comes."""

    def __init__(self) -> None:
        self.heard: Heard = []
        self.does: Callable[[bytes], None] = lambda _data: None
        self.says_last: Callable[[], None] = lambda: None
        self._news = asyncio.Condition()

    def text(self, data: bytes) -> None:
        self._note("text", data)
        self.does(data)

    def binary(self, data: bytes) -> None:
        self._note("binary", data)

    def drained(self) -> None:
        self._note("drained", None)

    def failed(self, code: int) -> None:
        self._note("failed", code)
        self.says_last()

    def left(self) -> None:
        self._note("left", None)

    def lost(self) -> None:
        self._note("lost", None)

    async def hears(self, what: str, about: bytes | int | None = None) -> None:
        """Wait until it has heard this."""
        async with asyncio.timeout(WAIT_S):
            while (what, about) not in self.heard:  # noqa: ASYNC110 - it is told synchronously
                await asyncio.sleep(0.001)

    def _note(self, what: str, about: bytes | int | None) -> None:
        self.heard.append((what, about))


class Place:
    """A server, and the server's side of the newest WebSocket."""

    def __init__(self) -> None:
        self.url = ""
        self.owner = Owner()
        self.greeting = b""
        self.outbox = Outbox()
        self.requests: list[weakref.ref[web.Request]] = []
        self.answers: list[web.StreamResponse] = []
        self.websocket: WebSocket

    async def accept(self, request: web.Request) -> web.StreamResponse:
        self.websocket = WebSocket(
            self.owner, self.outbox, max_message=MAX_MESSAGE, high_water=HIGH_WATER
        )
        response = self.websocket.accept(request, self.greeting)
        self.requests.append(weakref.ref(request))
        self.websocket.start()
        return response

    def is_behind(self) -> bool:
        return self.websocket.behind

    async def client(self) -> raw.WebSocket:
        return await raw.WebSocket.open(self.url, PATH)

    def write(self, data: bytes) -> None:
        self.websocket.write(Frame(data, binary=False).websocket)


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    place, app = Place(), web.Application()
    app.router.add_get(PATH, place.accept)
    async with served(app) as place.url:
        yield place


async def slow(place: Place) -> Http:
    """A connection of which the kernel and the client take little ahead."""
    small = socket.socket()
    small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    small.connect(("127.0.0.1", int(place.url.rpartition(":")[2])))
    return Http(*await asyncio.open_connection(sock=small, limit=4_096))


async def test_the_outbox_waits_until_what_was_written_has_left(place: Place) -> None:
    client = await place.client()
    left: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
    place.outbox.on_sent = lambda _began: left.set_result(place.outbox.is_waiting)
    before = place.outbox.is_waiting
    place.write(b"hello")
    assert (before, place.outbox.is_waiting) == (False, True)
    assert await asyncio.wait_for(left, WAIT_S) is False
    client.close()


class TestFloods:
    async def test_a_flood_is_read_in_turns_and_in_order(self, place: Place) -> None:
        client = await place.client()
        flood = [b"%07d" % number for number in range(10 * AT_ONCE // 13)]
        place.websocket.data_received(b"".join(frame(TEXT, data) for data in flood))
        assert len(place.owner.heard) <= AT_ONCE // 13 + 1, "others wait for all of it"
        client.send("after it")
        await place.owner.hears("text", b"after it")
        assert [data for _, data in place.owner.heard] == [*flood, b"after it"]
        client.close()

    async def test_a_flood_of_who_is_closed_meanwhile_is_not_read_on(self, place: Place) -> None:
        client = await place.client()
        place.websocket.data_received(frame(TEXT, b"x" * 6) * AT_ONCE)
        heard = len(place.owner.heard)
        place.websocket.end()
        assert await client.rest() == ([], 1000)
        client.close()
        await place.owner.hears("lost")
        assert len(place.owner.heard) == heard + 1


class TestHandshake:
    async def test_the_answer_proves_that_the_key_was_read(self, place: Place) -> None:
        """The example of RFC 6455, section 1.3."""
        http = await Http.open(place.url)
        http.ask("GET", PATH, {**UPGRADE, "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="})
        head = await http.head()
        assert head.status == 101
        assert head.headers["sec-websocket-accept"] == "s3pplmbitxaq9kygzzhzrbk+xoo="
        http.close()

    async def test_a_client_of_another_library_is_understood(self, place: Place) -> None:
        place.owner.does = place.write
        async with (
            ClientSession() as http,
            http.ws_connect(place.url + PATH, compress=15) as client,
        ):
            await client.send_str("Grüße 🚕")
            assert await client.receive_str() == "Grüße 🚕"
            await client.send_bytes(b"\0" * MAX_MESSAGE)
            await place.owner.hears("binary", b"\0" * MAX_MESSAGE)
            assert client.compress == 0, "what is compressed costs zlib for each client"
            place.websocket.end(4_000)
            assert (await client.receive()).type is WSMsgType.CLOSE
            assert client.close_code == 4_000

    @pytest.mark.parametrize(
        "headers",
        [
            {},
            {"Upgrade": "websocket"},
            {"Connection": "Upgrade"},
            {**UPGRADE, "Connection": "keep-alive"},
            {**UPGRADE, "Upgrade": "h2c"},
            {**UPGRADE, "Sec-WebSocket-Version": "8"},
            {**UPGRADE, "Sec-WebSocket-Version": ""},
            {**UPGRADE, "Sec-WebSocket-Key": ""},
            {**UPGRADE, "Sec-WebSocket-Key": "!" * 24},
            {**UPGRADE, "Sec-WebSocket-Key": b64encode(bytes(15)).decode()},
            {**UPGRADE, "Sec-WebSocket-Key": "\udcff"},
        ],
    )
    async def test_what_is_no_handshake_is_a_bad_request_and_http_goes_on(
        self, place: Place, headers: dict[str, str]
    ) -> None:
        http = await Http.open(place.url)
        http.ask("GET", PATH, headers)
        assert (await http.response()).status == 400
        http.ask("GET", "/another", {})
        assert (await http.response()).status == 404
        assert place.owner.heard == []
        http.close()

    @pytest.mark.parametrize("connection", ["Upgrade", "keep-alive, upgrade", "UPGRADE ,x"])
    async def test_the_connection_header_may_say_more(self, place: Place, connection: str) -> None:
        http = await Http.open(place.url)
        http.ask("GET", PATH, {**UPGRADE, "Connection": connection, "Upgrade": "WebSocket"})
        assert (await http.head()).status == 101
        http.close()

    async def test_there_may_be_several_connection_headers(self, place: Place) -> None:
        http = await Http.open(place.url)
        fields = {**UPGRADE, "Connection": "keep-alive\r\nConnection: Upgrade"}
        http.ask("GET", PATH, fields)
        http.writer.write(raw.message("early"))
        assert (await http.head()).status == 101
        await place.owner.hears("text", b"early")
        http.close()

    async def test_the_greeting_leaves_with_the_answer(self, place: Place) -> None:
        place.greeting = Frame(b"hello", binary=False).websocket
        client = await place.client()
        assert await client.receive() == "hello"
        client.close()

    async def test_aiohttps_request_is_let_go(self, place: Place) -> None:
        client = await place.client()
        client.send("x")
        await place.owner.hears("text", b"x")
        gc.collect()
        assert [request() for request in place.requests] == [None]
        client.close()


class TestReading:
    async def test_messages_come_as_bytes_in_order_and_of_their_kind(self, place: Place) -> None:
        client = await place.client()
        client.send("text", b"binary", "", b"", "é")
        await place.owner.hears("text", "é".encode())
        assert place.owner.heard == [
            ("text", b"text"),
            ("binary", b"binary"),
            ("text", b""),
            ("binary", b""),
            ("text", "é".encode()),
        ]
        client.close()

    async def test_what_comes_with_the_handshake_is_not_lost(self, place: Place) -> None:
        http = await Http.open(place.url)
        lines = [f"GET {PATH} HTTP/1.1", "Host: x", *(f"{k}: {v}" for k, v in UPGRADE.items())]
        early = b"".join(raw.message(f"early {number}") for number in range(3))
        half = raw.message("half a frame")
        http.writer.write("\r\n".join([*lines, "", ""]).encode() + early + half[:-1])
        assert (await http.head()).status == 101
        await place.owner.hears("text", b"early 2")
        http.writer.write(half[-1:])
        await place.owner.hears("text", b"half a frame")
        assert len(place.owner.heard) == 4
        http.close()

    async def test_more_than_aiohttp_buffers_may_come_with_the_handshake(
        self, place: Place
    ) -> None:
        http = await Http.open(place.url)
        lines = [f"GET {PATH} HTTP/1.1", "Host: x", *(f"{k}: {v}" for k, v in UPGRADE.items())]
        messages = b"".join(raw.message(b"%d" % n + b"x" * 9_000) for n in range(500))
        http.writer.write("\r\n".join([*lines, "", ""]).encode() + messages)
        assert (await http.head()).status == 101
        await place.owner.hears("binary", b"499" + b"x" * 9_000)
        assert [data[:-9_000] for _, data in place.owner.heard if isinstance(data, bytes)] == [
            b"%d" % n for n in range(500)
        ]
        http.close()

    async def test_a_message_may_come_in_pieces_with_pings_between_them(self, place: Place) -> None:
        client = await place.client()
        client.write(frame(TEXT, b"a", fin=False) + frame(PING, b"1"))
        client.write(frame(CONTINUATION, b"b", fin=False) + frame(CONTINUATION, b"c"))
        await place.owner.hears("text", b"abc")
        assert await client.receive_frame() == (PONG, b"1")
        assert len(place.owner.heard) == 1
        client.close()

    async def test_frames_may_come_byte_by_byte(self, place: Place) -> None:
        client = await place.client()
        for byte in raw.message("slowly") + raw.message(b"x" * 300):
            client.write(bytes((byte,)))
            await client.writer.drain()
        await place.owner.hears("binary", b"x" * 300)
        assert place.owner.heard == [("text", b"slowly"), ("binary", b"x" * 300)]
        client.close()

    async def test_what_fails_in_the_owner_is_logged_and_costs_one_message(
        self, place: Place, caplog: pytest.LogCaptureFixture
    ) -> None:
        def fail(data: bytes) -> None:
            if data == b"bad":
                raise LookupError("the owner's own")

        place.owner.does = fail
        client = await place.client()
        with caplog.at_level(logging.ERROR):
            client.send("bad", "good")
            client.send("bad", "better")
            await place.owner.hears("text", b"better")
        assert ("text", b"good") in place.owner.heard
        assert caplog.text.count("LookupError: the owner's own") == 2
        assert place.websocket.is_open
        client.close()


class TestControl:
    async def test_pings_are_answered_with_what_they_say(self, place: Place) -> None:
        client = await place.client()
        for payload in (b"", b"x", b"y" * 125):
            client.write(frame(PING, payload))
            assert await client.receive_frame() == (PONG, payload)
        assert place.owner.heard == []
        client.close()

    async def test_pongs_are_taken_without_a_word(self, place: Place) -> None:
        client = await place.client()
        client.write(frame(PONG, b"x"))
        client.send("next")
        await place.owner.hears("text", b"next")
        assert len(place.owner.heard) == 1
        client.close()

    async def test_pongs_do_not_pile_up_for_who_does_not_read_them(self, place: Place) -> None:
        http = await slow(place)
        client = await raw.WebSocket.upgrade(http, PATH)
        pings = frame(PING, b"x" * 125) * 1_000
        for _ in range(200):
            client.write(pings)
            await client.writer.drain()
        client.send("end of pings")
        await place.owner.hears("text", b"end of pings")
        assert place.is_behind()
        assert place.websocket.unsent < 2 * HIGH_WATER + 1_000
        client.writer.transport.abort()


class TestWriting:
    async def test_what_is_written_arrives_in_order(self, place: Place) -> None:
        client = await place.client()
        sizes = [0, 1, 125, 126, 65_535, 65_536, 300_000]
        for size in sizes:
            place.write(b"x" * size)
        assert [len(await client.receive()) for _ in sizes] == sizes
        client.close()

    async def test_what_is_written_in_one_turn_leaves_in_one_piece(self, place: Place) -> None:
        client = await place.client()
        for number in range(3):
            place.write(b"%d" % number)
        piece = await client.reader.read(1_000)
        assert piece == b"\x81\x010\x81\x011\x81\x012"
        client.close()

    @pytest.mark.skipif(not hasattr(socket, "TCP_NOTSENT_LOWAT"), reason="the system has no such")
    async def test_the_kernel_takes_little_that_it_cannot_send_yet(self, place: Place) -> None:
        client = await place.client()
        transport = place.websocket._transport
        assert transport is not None
        connection = transport.get_extra_info("socket")
        option = socket.TCP_NOTSENT_LOWAT
        assert connection.getsockopt(socket.IPPROTO_TCP, option) == UNSENT_IN_KERNEL
        client.close()

    async def test_who_does_not_read_is_behind_until_it_has_read(self, place: Place) -> None:
        http = await slow(place)
        client = await raw.WebSocket.upgrade(http, PATH)
        written = 0
        while not place.is_behind():
            place.write(b"%d" % written + b"x" * 10_000)
            written += 1
            assert written < 10_000
        assert place.websocket.unsent > HIGH_WATER
        assert place.owner.heard == []
        received = [str(await client.receive()).rstrip("x") for _ in range(written)]
        assert received == [str(number) for number in range(written)]
        await place.owner.hears("drained")
        assert not place.is_behind()
        assert place.websocket.unsent < HIGH_WATER
        assert place.owner.heard == [("drained", None)]
        client.close()

    async def test_who_falls_behind_again_drains_again(self, place: Place) -> None:
        http = await slow(place)
        client = await raw.WebSocket.upgrade(http, PATH)
        for times in (1, 2, 3):
            written = 0
            while not place.is_behind():
                place.write(b"x" * 10_000)
                written += 1
            for _ in range(written):
                await client.receive()
            assert place.owner.heard.count(("drained", None)) == times
        client.close()


PROTOCOL_ERROR, NO_UTF8, TOO_LARGE = 1002, 1007, 1009
BROKEN: Final[dict[str, tuple[bytes, int]]] = {
    "too large": (frame(BINARY, b"x" * (MAX_MESSAGE + 1)), TOO_LARGE),
    "says that it is too large": (b"\x82\xff" + struct.pack("!Q", 2**62), TOO_LARGE),
    "too large in pieces": (
        frame(BINARY, b"x" * MAX_MESSAGE, fin=False) + frame(CONTINUATION, b"x"),
        TOO_LARGE,
    ),
    "unknown opcode": (frame(3, b""), PROTOCOL_ERROR),
    "reserved bits": (b"\xf1\x80" + bytes(4), PROTOCOL_ERROR),
    "compressed": (b"\xc1\x82" + bytes(4) + b"42", PROTOCOL_ERROR),
    "continuation of nothing": (frame(CONTINUATION, b"x"), PROTOCOL_ERROR),
    "ping too large": (frame(PING, b"x" * 126), PROTOCOL_ERROR),
    "ping in pieces": (frame(PING, b"", fin=False), PROTOCOL_ERROR),
    "close code that is none": (frame(CLOSE, struct.pack("!H", 999)), PROTOCOL_ERROR),
    "close reason that is no text": (frame(CLOSE, struct.pack("!H", 1000) + b"\xff"), NO_UTF8),
}


class TestEnd:
    @pytest.mark.parametrize(("data", "code"), BROKEN.values(), ids=BROKEN)
    async def test_who_breaks_the_protocol_is_told_the_code_and_so_is_the_owner(
        self, place: Place, data: bytes, code: int
    ) -> None:
        client = await place.client()
        client.send("before")
        client.write(data)
        client.send("after")
        assert await client.rest() == ([], code)
        await client.is_over()
        client.close()
        await place.owner.hears("lost")
        assert place.owner.heard == [("text", b"before"), ("failed", code), ("lost", None)]

    async def test_the_owner_may_have_a_last_word_to_who_breaks_the_protocol(
        self, place: Place
    ) -> None:
        client = await place.client()
        place.owner.says_last = lambda: place.write(b"last word")
        client.write(frame(3, b""))
        assert await client.rest() == (["last word"], PROTOCOL_ERROR)

    async def test_the_largest_message_is_taken(self, place: Place) -> None:
        client = await place.client()
        client.send(b"x" * MAX_MESSAGE)
        await place.owner.hears("binary", b"x" * MAX_MESSAGE)
        client.close()

    async def test_a_close_is_answered_and_the_owner_knows_at_once(self, place: Place) -> None:
        client = await place.client()
        client.write(frame(CLOSE, struct.pack("!H", 1001) + b"bye"))
        assert await client.rest() == ([], 1000)
        assert place.owner.heard == [("left", None)], "though the client has not closed its side"
        client.close()
        await place.owner.hears("lost")
        assert place.owner.heard == [("left", None), ("lost", None)]

    async def test_nothing_after_a_close_is_read(self, place: Place) -> None:
        client = await place.client()
        client.write(frame(CLOSE, b"") + raw.message("x") + frame(3, b"") + frame(CLOSE, b""))
        assert await client.rest() == ([], 1000)
        client.close()
        await place.owner.hears("lost")
        assert place.owner.heard == [("left", None), ("lost", None)]

    async def test_who_hangs_up_has_left(self, place: Place) -> None:
        client = await place.client()
        client.send("last")
        client.writer.write_eof()
        assert await client.rest() == ([], None)
        await place.owner.hears("lost")
        assert place.owner.heard == [("text", b"last"), ("left", None), ("lost", None)]

    async def test_who_vanishes_is_lost_once(self, place: Place) -> None:
        client = await place.client()
        client.writer.transport.abort()
        await place.owner.hears("lost")
        place.websocket.end()
        place.websocket.abort()
        place.write(b"nobody reads that")
        assert place.websocket.unsent == 0
        assert place.owner.heard.count(("lost", None)) == 1

    async def test_what_was_written_last_is_read_although_much_comes_unread(
        self, place: Place
    ) -> None:
        """A transport closed at once would be reset, and the last word lost."""

        def say_goodbye(_data: bytes) -> None:
            place.write(b"x" * MIB)
            place.write(b"last")
            place.websocket.end(4_000)

        place.owner.does = say_goodbye
        client = await place.client()
        client.write(raw.message("go") + raw.message("unread") * 300_000)
        messages, code = await client.rest()
        assert ([len(message) for message in messages], code) == ([MIB, 4], 4_000)
        await client.is_over()
        assert place.owner.heard == [("text", b"go")]
        client.close()
        await place.owner.hears("lost")

    async def test_after_the_end_nothing_leaves_and_nothing_is_heard(self, place: Place) -> None:
        client = await place.client()
        place.websocket.end(4_001)
        place.websocket.end(4_002)
        place.write(b"too late")
        client.send("too late", b"too late")
        client.write(frame(PING, b"too late") + frame(3, b""))
        assert await client.rest() == ([], 4_001)
        client.close()
        await place.owner.hears("lost")
        assert place.owner.heard == [("lost", None)]
        assert not place.websocket.is_open

    async def test_an_end_between_two_messages_of_one_piece_is_an_end(self, place: Place) -> None:
        place.owner.does = lambda _data: place.websocket.end()
        client = await place.client()
        client.send("first", "second")
        assert await client.rest() == ([], 1000)
        assert place.owner.heard == [("text", b"first")]
        client.close()

    async def test_who_stays_after_the_end_is_cut_off(
        self, place: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "CLOSE_WITHIN_S", 0.05)
        client = await place.client()
        place.websocket.end()
        assert await client.rest() == ([], 1000)
        await place.owner.hears("lost")
        assert place.owner.heard == [("lost", None)]
        client.close()

    async def test_who_hangs_up_and_does_not_read_is_cut_off(
        self, place: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Otherwise what waits for it would be kept for as long as it likes."""
        monkeypatch.setattr(module, "CLOSE_WITHIN_S", 0.05)
        client = await raw.WebSocket.upgrade(await slow(place), PATH)
        while not place.is_behind():
            place.write(b"x" * 10_000)
        client.writer.write_eof()
        await place.owner.hears("lost")
        assert place.owner.heard == [("left", None), ("lost", None)]
        client.writer.transport.abort()

    async def test_who_is_aborted_hears_no_code(self, place: Place) -> None:
        client = await place.client()
        place.websocket.abort()
        assert await client.rest() == ([], None)
        await place.owner.hears("lost")
        assert place.owner.heard == [("lost", None)]
