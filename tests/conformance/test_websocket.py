"""The WebSocket transport: packets both ways, frames, limits and close codes."""

import struct
from typing import Final

import pytest

from tests.conformance.conftest import PATIENT, Mounted
from tests.conformance.sessions import (
    ENGINEIO,
    SOCKETIO,
    Client,
    Message,
    OverWebSocket,
    together,
    websocket,
)
from tests.hostile.raw import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    WebSocket,
    frame,
    request,
)

NORMAL, PROTOCOL_ERROR, INVALID_TEXT, POLICY_VIOLATION, TOO_BIG = 1000, 1002, 1007, 1008, 1009


@pytest.fixture
async def session(server: Mounted) -> OverWebSocket:
    return await OverWebSocket.open(server.url, ENGINEIO)


@pytest.mark.parametrize(
    "packets",
    [
        ["4hello"],
        [b"\1\2\3\4"],
        ["4", b"", "4Grüße 👋 \x1e\0", b"4hello", "4bAQID", bytes(range(256))],
        [f"4{number}" if number % 2 else str(number).encode() for number in range(1_000)],
    ],
    ids=["text", "bytes", "strange ones", "a thousand"],
)
async def test_what_is_sent_comes_back_as_it_was_and_in_order(
    session: OverWebSocket, packets: list[Message]
) -> None:
    await session.send(*packets)
    assert [await session.receive() for _ in packets] == packets
    session.close()


async def test_a_message_in_pieces_is_one_message(session: OverWebSocket) -> None:
    for opcode, kind in ((TEXT, str), (BINARY, bytes)):
        session.raw.write(frame(opcode, b"4", fin=False) + frame(PING, b"between"))
        for _ in range(100):
            session.raw.write(frame(CONTINUATION, b"piece", fin=False))
        session.raw.write(frame(CONTINUATION, b""))
        message = await session.receive()
        assert isinstance(message, kind)
        assert message in ("4" + "piece" * 100, b"4" + b"piece" * 100)
    session.close()


async def test_frames_that_arrive_byte_by_byte_are_read(session: OverWebSocket) -> None:
    for byte in frame(TEXT, b"4slowly"):
        session.raw.write(bytes([byte]))
        await session.raw.writer.drain()
    assert await session.receive() == "4slowly"
    session.close()


async def test_what_comes_with_the_handshake_is_taken(server: Mounted) -> None:
    raw = await WebSocket.open(server.url, websocket(ENGINEIO))
    raw.send("4early")
    assert str(await raw.receive())[0] == "0"
    assert await raw.receive() == "4early"
    raw.close()


async def test_a_websockets_own_ping_is_answered_with_what_it_carries(
    session: OverWebSocket,
) -> None:
    session.raw.write(frame(PING, b"are you there"))
    assert await session.raw.receive_frame() == (PONG, b"are you there")
    session.raw.write(frame(PONG, b"nobody asked"))
    await session.is_alive()
    session.close()


NO_PACKETS: Final = {
    "no packet type": "abc",
    "no packet": "",
    "an unknown type": "9",
    "the server's opening": "0{}",
    "a ping, which is the server's": "2",
    "a probe of what is no upgrade": "2probe",
    "a separator, which is polling's": "\x1e",
}


@pytest.mark.parametrize("path", [ENGINEIO, SOCKETIO])
@pytest.mark.parametrize("packet", NO_PACKETS.values(), ids=NO_PACKETS)
async def test_what_is_no_packet_closes_the_connection(
    server: Mounted, packet: str, path: str
) -> None:
    session = await OverWebSocket.open(server.url, path)
    await session.send(packet, "4hello")
    await session.ends_with(POLICY_VIOLATION)


async def test_whoever_has_joined_is_closed_for_it_with_1000(server: Mounted) -> None:
    """From 1008, which says that the client is at fault, some would not come back."""
    client = await Client.open(server.url)
    await client.join()
    await client.session.send("9")
    assert isinstance(client.session, OverWebSocket)
    await client.session.ends_with(NORMAL)


async def test_the_clients_close_packet_closes_the_connection(session: OverWebSocket) -> None:
    await session.send("4before", "1", "4after")
    assert await session.receive() == "4before"
    await session.ends_with(NORMAL)


async def test_a_close_frame_is_answered_with_one(session: OverWebSocket) -> None:
    await session.send("4before")
    session.raw.write(frame(CLOSE, struct.pack("!H", 1001) + b"leaving"))
    await session.send("4after")
    assert await session.receive() == "4before"
    await session.ends_with(NORMAL)


async def test_a_client_that_breaks_off_is_forgotten(
    server: Mounted, session: OverWebSocket
) -> None:
    session.raw.writer.transport.abort()
    other = await OverWebSocket.open(server.url, ENGINEIO)
    await other.is_alive()
    other.close()
    await server.stop()
    assert session.sid not in server.echo.engine.sockets


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
async def test_the_largest_message_is_taken(session: OverWebSocket, opcode: int) -> None:
    message = b"4" + b"x" * (PATIENT.max_payload - 1)
    session.raw.write(frame(opcode, message))
    assert await session.receive() in (message, message.decode())
    session.raw.write(frame(opcode, message[:50_000], fin=False))
    session.raw.write(frame(CONTINUATION, message[50_000:]))
    assert await session.receive() in (message, message.decode())
    session.close()


@pytest.mark.parametrize("path", [ENGINEIO, SOCKETIO])
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
async def test_a_larger_one_closes_the_connection_with_1009(
    server: Mounted, path: str, opcode: int
) -> None:
    session = await OverWebSocket.open(server.url, path)
    session.raw.write(frame(opcode, b"4" + b"x" * PATIENT.max_payload))
    await session.ends_with(TOO_BIG)


async def test_pieces_that_become_too_large_close_the_connection_with_1009(
    session: OverWebSocket,
) -> None:
    session.raw.write(frame(TEXT, b"4" + b"x" * (PATIENT.max_payload - 1), fin=False))
    session.raw.write(frame(CONTINUATION, b"x"))
    await session.ends_with(TOO_BIG)


async def test_a_frame_that_only_says_that_it_is_large_is_not_waited_for(
    session: OverWebSocket,
) -> None:
    session.raw.write(b"\x82\xff" + struct.pack("!Q", 2**62))
    await session.ends_with(TOO_BIG)


BROKEN: Final = {
    "a reserved opcode": frame(3, b"4x"),
    "a reserved bit": bytes([0xC1]) + frame(TEXT, b"4x")[1:],
    "a continuation of nothing": frame(CONTINUATION, b"4x"),
    "a message within a message": frame(TEXT, b"4", fin=False) + frame(TEXT, b"4x"),
    "a ping in pieces": frame(PING, b"", fin=False),
    "a ping that is too long": frame(PING, bytes(126)),
    "a close code that is none": frame(CLOSE, struct.pack("!H", 999)),
    "half a close code": frame(CLOSE, b"\3"),
}


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN)
async def test_frames_against_the_rules_close_the_connection_with_1002(
    session: OverWebSocket, data: bytes
) -> None:
    session.raw.write(data)
    await session.ends_with(PROTOCOL_ERROR)


async def test_text_that_is_not_utf8_closes_the_connection_with_1007(
    session: OverWebSocket,
) -> None:
    session.raw.write(frame(TEXT, b"4\xff\xfe"))
    await session.ends_with(INVALID_TEXT)


async def test_nothing_is_asked_over_http_of_a_session_on_a_websocket(
    session: OverWebSocket, server: Mounted
) -> None:
    for method in ("GET", "POST"):
        target = f"{ENGINEIO}?EIO=4&transport=polling&sid={session.sid}"
        assert (await request(server.url, method, target, {}, b"4x")).status == 400
    await session.is_alive()
    session.close()


async def test_a_second_websocket_is_closed_and_does_the_first_no_harm(
    session: OverWebSocket, server: Mounted
) -> None:
    second = await WebSocket.open(server.url, websocket(ENGINEIO, session.sid))
    second.send("2probe", "5", "4hello")
    assert await second.rest() == ([], POLICY_VIOLATION)
    await second.is_over()
    await session.is_alive()
    session.close()


@pytest.mark.parametrize("path", [ENGINEIO, SOCKETIO])
async def test_connections_are_closed_when_the_server_stops(server: Mounted, path: str) -> None:
    sessions = [await OverWebSocket.open(server.url, path) for _ in range(5)]
    await together(server.stop(), *(session.ends_with(NORMAL) for session in sessions))
