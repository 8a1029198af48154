"""WebSocket frames: too large, cut into pieces, against the rules, or no frames at all."""

import os
import struct
from typing import Final

import pytest

from realtime.engine import Limits
from tests.conftest import fresh, mint
from tests.hostile.process import logged, resident
from tests.hostile.raw import (
    CLOSE,
    CONTINUATION,
    HANDSHAKE,
    JSON,
    PING,
    PONG,
    TEXT,
    UNREADABLE,
    UPGRADE,
    Http,
    Session,
    WebSocket,
    frame,
    message,
)
from tests.servers import Server

MIB: Final = 1024 * 1024
MAX_FRAME: Final = Limits().max_payload
UNKNOWN: Final = b'429["x"]'
PROTOCOL_ERROR, NO_UTF8, TOO_LARGE = 1002, 1007, 1009


def event_of(size: int) -> str:
    """An event with an acknowledgement id that fills a frame of this many bytes."""
    start, end = '429["x","', '"]'
    return start + "a" * (size - len(start) - len(end)) + end


async def test_what_comes_together_with_the_handshake_is_not_lost(server: Server) -> None:
    """A client may be so sure of its welcome."""
    http = await Http.open(server.url)
    http.ask("GET", HANDSHAKE, UPGRADE)
    user_id = fresh("mallory")
    connect = JSON.connect({"token": mint("rider", user_id)})
    http.writer.write(message(connect) + message('429["x"]') + message("3")[:-1])
    assert (await http.head()).status == 101
    session = Session(WebSocket(http), JSON, user_id)
    await session.socket.receive()
    assert (await session.answer(9))["error"]["code"] == "unknown_event"
    assert session.events[0][0] == "session:ready"
    http.writer.write(message("3")[-1:])
    await session.is_alive()
    session.close()


async def test_the_largest_frame_is_taken(server: Server) -> None:
    session = await Session.open(server.url, "rider", fresh("mallory"))
    session.socket.send(event_of(MAX_FRAME))
    assert (await session.answer(9))["error"]["code"] == "unknown_event"
    await session.is_alive()
    session.close()


async def test_the_largest_frame_is_taken_in_pieces(server: Server) -> None:
    session = await Session.open(server.url, "rider", fresh("mallory"))
    data = event_of(MAX_FRAME).encode()
    pieces = [data[at : at + 1_000] for at in range(0, len(data), 1_000)]
    session.socket.write(frame(TEXT, pieces[0], fin=False))
    for piece in pieces[1:]:
        session.socket.write(frame(CONTINUATION, piece, fin=False) + frame(PING, b""))
    session.socket.write(frame(CONTINUATION, b""))
    assert (await session.answer(9))["error"]["code"] == "unknown_event"
    session.close()


@pytest.mark.parametrize("size", [MAX_FRAME + 1, MIB, 10 * MIB])
@pytest.mark.parametrize("parser", ["json", "msgpack"])
async def test_a_frame_that_is_larger_is_refused_with_1009(
    server: Server, size: int, parser: str
) -> None:
    session = await Session.open(server.url, "rider", fresh("mallory"), parser)
    session.socket.send(event_of(size) if parser == "json" else b"\x91" * size)
    assert await session.ends() == ([{"code": "too_large", "retry": True}], TOO_LARGE)
    await session.socket.is_over()
    await logged(server, "connection closed", session.user_id)


async def test_pieces_that_become_too_large_are_refused_with_1009(server: Server) -> None:
    session = await Session.open(server.url, "rider", fresh("mallory"))
    session.socket.write(frame(TEXT, b'429["', fin=False))
    session.socket.write(frame(CONTINUATION, b"a" * 100_000, fin=False) * 30)
    assert await session.ends() == ([{"code": "too_large", "retry": True}], TOO_LARGE)


@pytest.mark.parametrize("size", [2**32, 2**62, 2**63, 2**64 - 1])
async def test_a_frame_that_only_says_that_it_is_large_is_refused_at_once(
    server: Server, size: int
) -> None:
    session = await Session.open(server.url, "rider", fresh("mallory"))
    session.socket.write(b"\x81\xff" + struct.pack("!Q", size))
    assert await session.ends() == ([{"code": "too_large", "retry": True}], TOO_LARGE)


async def test_large_frames_cost_no_memory(server: Server) -> None:
    for _ in range(3):
        await _send_large(server)
    before = resident(server)
    for _ in range(10):
        await _send_large(server)
    assert resident(server) - before < 5 * MIB


async def _send_large(server: Server) -> None:
    socket = await WebSocket.open(server.url)
    await socket.receive()
    socket.send("4" * (10 * MIB))
    assert await socket.rest() == ([], TOO_LARGE)
    socket.close()


async def test_a_frame_that_is_never_finished_holds_nobody_up(server: Server) -> None:
    """Half a header, half a frame, the first of many pieces: the others are served meanwhile."""
    unfinished = [
        b"\x81",
        b"\x81\xfe\xff",
        frame(TEXT, event_of(MAX_FRAME).encode())[:-1],
        frame(TEXT, b"42", fin=False),
    ]
    waiting = []
    for data in unfinished:
        session = await Session.open(server.url, "rider", fresh("mallory"))
        session.socket.write(data)
        waiting.append(session)
    other = await Session.open(server.url, "rider", fresh("rita"))
    await other.is_alive()
    for session in [*waiting, other]:
        session.close()


NO_TEXT: Final = {
    "no UTF-8": frame(TEXT, b"42\xff\xfe"),
    "no UTF-8 at all": frame(TEXT, b"\xff\xfe"),
    "half a character": frame(TEXT, '42["é'.encode()[:-1]),
    "surrogates": frame(TEXT, b'42["\xed\xa0\x80"]'),
    "no UTF-8 in pieces": frame(TEXT, b"4\xc3", fin=False) + frame(CONTINUATION, b"("),
    "no UTF-8 in a namespace": frame(TEXT, b'42/\xff,["x"]'),
}


@pytest.mark.parametrize("data", NO_TEXT.values(), ids=NO_TEXT)
async def test_text_that_is_none_ends_the_session_and_says_so(server: Server, data: bytes) -> None:
    """Like any other packet that cannot be read."""
    session = await Session.open(server.url, "rider", fresh("mallory"))
    session.socket.write(data)
    assert await session.ends() == (UNREADABLE, 1000)
    await session.socket.is_over()


async def test_text_that_is_none_within_a_payload_is_refused_and_goes_no_further(
    server: Server,
) -> None:
    session = await Session.open(server.url, "rider", fresh("mallory"))
    payload = b'{"client_id":"c","pickup":{"lat":1,"lng":2},"metadata":{"a":"\xff"}}'
    session.socket.write(frame(TEXT, b'429["trip:create",%b]' % payload))
    assert (await session.answer(9))["error"]["code"] == "invalid"
    await session.is_alive()
    session.close()


BROKEN: Final[dict[str, tuple[bytes, int]]] = {
    "unknown opcode": (frame(3, UNKNOWN), PROTOCOL_ERROR),
    "unknown control opcode": (frame(11, b""), PROTOCOL_ERROR),
    "reserved bits": (b"\xf1\x80" + bytes(4), PROTOCOL_ERROR),
    "compressed without agreement": (b"\xc1\x82" + bytes(4) + b"42", PROTOCOL_ERROR),
    "continuation of nothing": (frame(CONTINUATION, UNKNOWN), PROTOCOL_ERROR),
    "a new message inside of another": (
        frame(TEXT, b"42", fin=False) + frame(TEXT, b"42"),
        PROTOCOL_ERROR,
    ),
    "large ping": (frame(PING, b"x" * 126), PROTOCOL_ERROR),
    "ping in pieces": (frame(PING, b"x", fin=False), PROTOCOL_ERROR),
    "close of one byte": (frame(CLOSE, b"\3"), PROTOCOL_ERROR),
    "close with a code that is none": (frame(CLOSE, struct.pack("!H", 999)), PROTOCOL_ERROR),
    "close with no UTF-8": (frame(CLOSE, struct.pack("!H", 1000) + b"\xff"), NO_UTF8),
    "HTTP": (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", PROTOCOL_ERROR),
}


@pytest.mark.parametrize(("data", "code"), BROKEN.values(), ids=BROKEN)
async def test_a_broken_frame_is_answered_with_the_code_for_it(
    server: Server, data: bytes, code: int
) -> None:
    session = await Session.open(server.url, "rider", fresh("mallory"))
    session.socket.write(data)
    assert await session.ends() == ([], code)
    await logged(server, "connection closed", session.user_id)


async def test_the_code_arrives_although_much_else_was_sent(server: Server) -> None:
    session = await Session.open(server.url, "rider", fresh("mallory"))
    session.socket.write(frame(3, b"") + os.urandom(3 * MIB))
    assert await session.ends() == ([], PROTOCOL_ERROR)


async def test_the_reason_arrives_although_much_else_was_sent(server: Server) -> None:
    session = await Session.open(server.url, "rider", fresh("mallory"))
    session.socket.write(message("42{") + message('42["x"]') * 500_000)
    assert await session.ends() == (UNREADABLE, 1000)


async def test_a_mask_that_is_missing_is_no_reason_to_fall_silent(server: Server) -> None:
    """Such a frame is against the rules: it is answered, or the connection closed with a code."""
    session = await Session.open(server.url, "rider", fresh("mallory"))
    session.socket.write(frame(TEXT, UNKNOWN, masked=False))
    assert (await session.answer(9))["error"]["code"] == "unknown_event"
    session.close()


async def test_pings_are_answered_in_order(server: Server) -> None:
    session = await Session.open(server.url, "rider", fresh("mallory"))
    session.socket.write(b"".join(frame(PING, b"%d" % number) for number in range(5_000)))
    session.socket.write(frame(PONG, b"unasked"))
    for number in range(5_000):
        assert await session.socket.receive_frame() == (PONG, b"%d" % number)
    await session.is_alive()
    session.close()


async def test_pongs_that_nobody_asked_for_are_no_load(server: Server) -> None:
    session = await Session.open(server.url, "rider", fresh("mallory"))
    session.socket.send(*["3"] * 20_000)
    await session.is_alive()
    session.close()


async def test_pings_after_the_end_are_not_answered(server: Server) -> None:
    session = await Session.open(server.url, "rider", fresh("mallory"))
    session.socket.write(message("42{") + frame(PING, b"x") * 1_000)
    assert await session.ends() == (UNREADABLE, 1000)
    await logged(server, "connection closed", session.user_id)


async def test_a_close_is_answered(server: Server) -> None:
    session = await Session.open(server.url, "rider", fresh("mallory"))
    session.socket.write(frame(CLOSE, struct.pack("!H", 1000) + b"bye"))
    assert await session.ends() == ([], 1000)
    await logged(server, "connection closed", session.user_id)


async def test_an_engine_io_close_is_answered(server: Server) -> None:
    session = await Session.open(server.url, "rider", fresh("mallory"))
    session.socket.send("1")
    assert await session.ends() == ([], 1000)
    await logged(server, "connection closed", session.user_id)


async def test_who_vanishes_without_a_word_is_forgotten(server: Server) -> None:
    session = await Session.open(server.url, "rider", fresh("mallory"))
    session.socket.writer.transport.abort()
    await logged(server, "connection closed", session.user_id)
