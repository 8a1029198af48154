"""Random and mutilated packets by the thousand, while a ride goes on beside them."""

import random
from collections.abc import Callable
from typing import Final

import msgspec
import pytest

from realtime import wire
from realtime.wire import Malformed, Parser
from tests.conftest import fresh
from tests.hostile.raw import UNREADABLE, Closed, Session, WebSocket, frame
from tests.hostile.ride import a_ride
from tests.servers import Server

HERE: Final = {"lat": 52.5, "lng": 13.4}

COMMANDS: Final = (
    ("trip:subscribe", {"trip_id": "t1", "after_seq": 5}),
    ("trip:create", {"client_id": "c", "pickup": HERE, "stops": [HERE], "metadata": {"a": [1]}}),
    ("driver:location", [{**HERE, "ts": 1, "seq": 1, "heading": 90.5}, {"latitude": 1}]),
    ("chat:send", {"conversation_id": "t1", "client_id": "m", "text": "héllo", "data": {}}),
    ("session:refresh", {"token": "a.b.c"}),
)

ENDED: Final = (UNREADABLE, 1000)
LEFT: Final[tuple[list[object], int]] = ([], 1000)
"""A DISCONNECT, by chance."""

Mutate = Callable[[random.Random, bytes], bytes]


def flipped(chance: random.Random, data: bytes) -> bytes:
    spoilt = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        spoilt[chance.randrange(len(spoilt))] = chance.randrange(256)
    return bytes(spoilt)


def cut(chance: random.Random, data: bytes) -> bytes:
    return data[: chance.randrange(len(data))]


def doubled(chance: random.Random, data: bytes) -> bytes:
    at, to = sorted(chance.randrange(len(data)) for _ in range(2))
    return data[:to] + data[at:to] * chance.choice((1, 2, 50)) + data[to:]


def swapped(chance: random.Random, data: bytes) -> bytes:
    """With structure in the wrong place."""
    at = chance.randrange(len(data))
    piece = chance.choice((b"[", b"]", b"{", b"}", b'"', b",", b":", b"\\u0000", b"1e999", b"NaN"))
    return data[:at] + piece + data[at + chance.choice((0, 1)) :]


def noise(chance: random.Random, _: bytes) -> bytes:
    return chance.randbytes(chance.choice((0, 1, 2, 10, 200)))


MUTATIONS: Final[tuple[Mutate, ...]] = (flipped, cut, doubled, swapped, noise)


def json_packets(chance: random.Random, count: int) -> list[str]:
    packets = []
    for _ in range(count):
        name, payload = chance.choice(COMMANDS)
        packet = b"2" + b"%d" % chance.randrange(100) + msgspec.json.encode([name, payload])
        packets.append(chance.choice(MUTATIONS)(chance, packet).decode(errors="replace"))
    return packets


def msgpack_packets(chance: random.Random, count: int) -> list[bytes]:
    packets = []
    for _ in range(count):
        name, payload = chance.choice(COMMANDS)
        packet = {"type": 2, "nsp": "/", "data": [name, payload], "id": chance.randrange(100)}
        packets.append(chance.choice(MUTATIONS)(chance, msgspec.msgpack.encode(packet)))
    return packets


def packets_of(parser: str, seed: int, count: int) -> list[str] | list[bytes]:
    """The same ones every time, without what makes them Engine.IO messages."""
    chance = random.Random(seed)  # noqa: S311 - no secret is made of it
    return json_packets(chance, count) if parser == "json" else msgpack_packets(chance, count)


@pytest.mark.parametrize("parser", [wire.JSON, wire.MSGPACK], ids=lambda parser: parser.name)
@pytest.mark.parametrize("seed", range(4))
def test_a_parser_reads_noise_or_says_that_it_is_malformed(parser: Parser, seed: int) -> None:
    read = 0
    for data in packets_of(parser.name, seed, 2_000):
        try:
            parser.arguments(parser.packet(data if isinstance(data, bytes) else data.encode()))
        except Malformed:
            continue
        read += 1
    assert 0 < read < 2_000


@pytest.mark.parametrize("parser", ["json", "msgpack"])
async def test_a_session_of_noise_is_answered_or_ended_while_others_are_served(
    server: Server, parser: str
) -> None:
    async with a_ride(server.url):
        session = await Session.open(server.url, "driver", fresh("mallory"), parser)
        for data in packets_of(parser, 10, 120):
            if await _is_ended_by(session, data):
                assert (session.ended, session.code) in (ENDED, LEFT), data
                session = await Session.open(server.url, "driver", fresh("mallory"), parser)
        session.close()


@pytest.mark.parametrize("parser", ["json", "msgpack"])
async def test_strangers_noise_is_closed_with_a_code_while_others_are_served(
    server: Server, parser: str
) -> None:
    async with a_ride(server.url):
        for data in packets_of(parser, 20, 300):
            stranger = await WebSocket.open(server.url)
            stranger.send(_as_message(data), "")
            _, code = await stranger.rest()
            assert code == 1008, data


async def _is_ended_by(session: Session, data: str | bytes) -> bool:
    session.answers.clear()
    session.socket.send(_as_message(data))
    try:
        await session.is_alive()
    except Closed:
        return True
    return False


def _as_message(data: str | bytes) -> str | bytes:
    return f"4{data}" if isinstance(data, str) else data


@pytest.mark.parametrize("seed", range(30))
async def test_frames_of_noise_end_in_a_closed_connection(server: Server, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - no secret is made of it
    socket = await WebSocket.open(server.url)
    await socket.receive()
    socket.write(chance.randbytes(chance.choice((10, 1_000, 100_000))) + frame(3, b""))
    socket.writer.write_eof()
    await socket.is_over()
