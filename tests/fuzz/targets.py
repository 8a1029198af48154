"""What fuzzers aim at: each target takes any bytes, and fails where the server breaks a promise."""

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import msgspec
from aiohttp import WSCloseCode
from msgspec import Raw, Struct

from handlers.answers import Rejected
from models.commands import DRIVER_LOCATION, MAX_POINTS
from models.errors import Invalid, UnknownEvent
from models.points import Point
from realtime import payloads
from realtime.metrics import Metrics
from realtime.websocket import Outbox, WebSocket
from realtime.wire import ACK, JSON, MSGPACK, NAMESPACE, Malformed, Packet, Parser
from tests.fuzz.commands import PAYLOADS
from tests.fuzz.instance import Instance, Poller, Wire, frames
from tests.handlers.world import DAN, RITA
from tests.hostile.test_payloads import REFUSALS

MAX_MESSAGE: Final = 100
"""Small, so that short inputs get beyond it."""
HIGH_WATER: Final = 64 * 1024
METRICS: Final = Metrics()
DIRECT: Final = b'2["%b",' % DRIVER_LOCATION.encode()
BINARY: Final = b"binary"

Target = Callable[[bytes], None]


class _Errors(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@contextmanager
def nothing_fails() -> Iterator[None]:
    """What is wrong with the input is told to the client; a line of ERROR is the server's fault."""
    errors = _Errors()
    logging.getLogger().addHandler(errors)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(errors)
    for record in errors.records:
        cause = record.exc_info[1] if record.exc_info else None
        raise AssertionError(record.getMessage()) from cause


def json_packets(data: bytes) -> None:
    """A text message after its leading 4."""
    _read_packet(JSON, data)
    if data.startswith(DIRECT) and data.endswith(b"]"):
        _compare_ways(data)


def msgpack_packets(data: bytes) -> None:
    """A binary message."""
    _read_packet(MSGPACK, data)


def _read_packet(parser: Parser, data: bytes) -> None:
    """It is a packet, or Malformed; what is read and written again is the same."""
    try:
        packet = parser.packet(data)
    except Malformed:
        return
    parser.is_auth(packet.data)
    values = _values(parser, packet)
    if values is not None and packet.attachments == 0:
        _write_again(parser, packet, values)
    try:
        arguments = parser.arguments(packet)
        name = parser.event_name(packet, arguments[0])
    except Malformed:
        return
    _read_payload(parser, name, arguments[1] if len(arguments) > 1 else None)


def _write_again(parser: Parser, packet: Packet, values: list[Any]) -> None:
    (frame,) = parser.emitted(packet.namespace, values, packet.ack_id)
    again = parser.packet(frame.data if parser.binary else frame.data[1:])
    assert (again.namespace, again.ack_id) == (packet.namespace, packet.ack_id)
    (same,) = parser.emitted(again.namespace, parser.values(again, ()), again.ack_id)
    assert same.data == frame.data


def _values(parser: Parser, packet: Packet) -> list[Any] | None:
    try:
        return parser.values(packet, [BINARY] * packet.attachments)
    except Malformed:
        return None


def _read_payload(parser: Parser, name: str, payload: Raw | None) -> None:
    """It has its type, or is Invalid."""
    try:
        if name == DRIVER_LOCATION:
            points = payloads.points(parser, payload)
            assert 1 <= len(points) <= MAX_POINTS
            assert all(isinstance(point, Point | Rejected) for point in points)
        elif name in PAYLOADS:
            parsed = payloads.parse(parser, payload, PAYLOADS[name])
            assert isinstance(parsed, PAYLOADS[name])
            msgspec.json.encode(parsed)
    except Invalid as error:
        msgspec.json.encode(error.body())


def _compare_ways(data: bytes) -> None:
    """A location that skips the parsing is the one that parsing would have found."""
    point = payloads.plain_point(data[len(DIRECT) : -1])
    if point is not None:
        packet = JSON.packet(data)
        _, payload = JSON.arguments(packet)
        assert packet.namespace == NAMESPACE
        assert payloads.points(JSON, payload) == (point,)


class _Noting:
    """An owner of a WebSocket, and what it heard."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, bytes | int]] = []

    def text(self, data: bytes) -> None:
        self.heard.append(("text", data))

    def binary(self, data: bytes) -> None:
        self.heard.append(("binary", data))

    def drained(self) -> None: ...

    def failed(self, code: int) -> None:
        self.heard.append(("failed", code))

    def left(self) -> None:
        self.heard.append(("left", b""))

    def lost(self) -> None: ...


class Heard(Struct, frozen=True):
    """All that came of a stream of frames."""

    messages: list[tuple[str, bytes | int]]
    written: list[tuple[int, bytes]]
    is_open: bool


def websocket_frames(data: bytes) -> None:
    """What a client sends after the handshake: the same messages, however it arrives."""
    asyncio.run(_compare_arrivals(data))


async def _compare_arrivals(data: bytes) -> None:
    with nothing_fails():
        whole = await _heard([data])
        pieces = await _heard([data[at : at + 1 + at % 5] for at in _starts(len(data))])
    assert whole == pieces
    ends = [what for what, _ in whole.messages if what in ("failed", "left")]
    assert len(ends) <= 1
    assert whole.is_open is (not ends)
    if ends:
        assert whole.messages[-1][0] == ends[0], "it was heard after its end"
        assert [opcode for opcode, _ in whole.written].count(8) == 1
    for what, told in whole.messages:
        assert isinstance(told, bytes) is (what != "failed")
        assert not isinstance(told, bytes) or len(told) <= MAX_MESSAGE
        assert what != "failed" or told in set(WSCloseCode) - {WSCloseCode.INTERNAL_ERROR}


def _starts(size: int) -> Iterator[int]:
    """Where pieces of 1 to 5 bytes begin."""
    at = 0
    while at < size:
        yield at
        at += 1 + at % 5


async def _heard(pieces: Sequence[bytes]) -> Heard:
    owner, wire = _Noting(), Wire()
    websocket = WebSocket(owner, Outbox(), max_message=MAX_MESSAGE, high_water=HIGH_WATER)
    websocket._transport = wire
    for piece in pieces:
        websocket.data_received(piece)
    websocket.flush()
    return Heard(owner.heard, frames(bytes(wire.written)), websocket.is_open)


def polled_sessions(data: bytes) -> None:
    """A polling body of a driver under way, and of a stranger; TRIP stands for the trip's id.

    Every answer is a documented one, and the rider is served as before.
    """
    asyncio.run(_poll_beside_a_rider(data))


async def _poll_beside_a_rider(data: bytes) -> None:
    instance = Instance(METRICS)
    await instance.open()
    trip = (await instance.world.trip_in("accepted")).id.encode()
    rider = await instance.connect(RITA, "json")
    with nothing_fails():
        for poller in (await instance.poll(DAN), Poller(instance)):
            was_taken = await poller.post(data.replace(b"TRIP", trip))
            await poller.settles()
            assert was_taken or not poller.is_open
            _check_answers(poller)
        answer = await rider.call("trip:subscribe", Raw(b'{"trip_id":"%b"}' % trip))
    assert answer["ok"] is True
    assert answer["trip"]["driver_id"] in ("dan", None), "the driver may have given it back"
    await instance.close()


def _check_answers(poller: Poller) -> None:
    answers = [data[0] for kind, _, data in poller.packets() if kind == ACK]
    codes = {answer["error"]["code"] for answer in answers if not answer["ok"]}
    assert codes <= REFUSALS | {UnknownEvent.code}


TARGETS: Final[dict[str, Target]] = {
    "json": json_packets,
    "msgpack": msgpack_packets,
    "frames": websocket_frames,
    "polling": polled_sessions,
}
