"""The Socket.IO packets of the load, and whether one that came is the one that should."""

from collections.abc import Callable
from typing import Final, TypeVar

import msgspec
from msgspec import Struct

T = TypeVar("T")

REPORT: Final = b'42["driver:location",{'
"""Before a point of a `Course`."""
LOCATION: Final = b'42["trip:location"'
MESSAGE: Final = b'42["chat:message"'
READY: Final = b'42["session:ready"'
ENDED: Final = b'42["session:ended"'


class Location(Struct, frozen=True):
    """What has to arrive of a point. Degrees, ms since the epoch, m/s, metres."""

    trip_id: str
    lat: float
    lng: float
    ts: int
    seq: int
    heading: float
    speed: float
    accuracy: float


class Message(Struct, frozen=True):
    """What has to arrive of a message; `seq` where the server numbers them."""

    conversation_id: str
    client_id: str
    sender_id: str
    text: str
    seq: int | None = None


class Answer(Struct, frozen=True):
    ok: bool
    message: Message | None = None


def _reader(kind: type[T]) -> Callable[[bytes], T | None]:
    """Reads the JSON of a packet as a type; None for anything else."""
    decode = msgspec.json.Decoder(kind).decode

    def read(json: bytes) -> T | None:
        try:
            return decode(json)
        except msgspec.DecodeError:
            return None

    return read


_location = _reader(tuple[str, Location])
_message = _reader(tuple[str, Message])
_answer = _reader(tuple[Answer])


def expected_location(trip_id: str) -> bytes:
    """Before a point of a `Course`: the packet that its rider should get."""
    return b'42["trip:location",{"trip_id":"%b",' % trip_id.encode()


def is_location(received: bytes, expected: bytes) -> bool:
    """Whether two packets are the same location, however their writers order and space JSON."""
    if received == expected:
        return True
    location = _location(received[2:])
    return location is not None and location == _location(expected[2:])


def message_in(received: bytes) -> Message | None:
    """The message of a `chat:message` packet; None when it is none."""
    event = _message(received[2:])
    return event[1] if event else None


def answer_in(json: bytes) -> Answer | None:
    """What `[…]` of an acknowledgement says; None when it is none."""
    arguments = _answer(json)
    return arguments[0] if arguments else None
