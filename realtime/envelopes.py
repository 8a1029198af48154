"""What instances tell each other over the bus, as bytes."""

import struct
from typing import Final

import msgspec
from msgspec import Struct

from models.facts import TripLocation
from models.fields import Id, Millis
from realtime.wire import event_head

_SEEN: Final = b"\xc1"
"""How a location begins: the one byte that no msgpack begins with."""
_HEAD: Final = struct.Struct("!cQQH")
"""Of a location: that byte, its `ts`, `seen_at`, the size of `driver_id`, which follows."""
_LOCATION: Final = event_head(TripLocation.event) + b"{"
_END: Final = b"}]"
"""How its packet begins and ends."""


class Envelope(Struct, frozen=True, array_like=True):
    """A fact, in msgpack. `payload` is its JSON, ready for the clients."""

    event: str
    number: int
    source: str
    payload: bytes
    version: int = 0
    """See `handlers.ports.Publish`."""


class Seen(Struct, frozen=True):
    """A driver's location. There are more of these than of all else, and they are read fastest."""

    driver_id: Id
    ts: Millis
    seen_at: Millis
    """When it was received, ms."""
    packet: bytes
    """The event's packet in text, ready for the clients."""


packed: Final = msgspec.msgpack.Encoder().encode
_unpacked: Final = msgspec.msgpack.Decoder(Envelope).decode
_pack_head: Final = _HEAD.pack
_unpack_head: Final = _HEAD.unpack_from


def location_head(driver_id: Id, ts: Millis, seen_at: Millis) -> bytes:
    """A `Seen` up to its packet, which follows: that is another one for each trip."""
    driver = driver_id.encode()
    return _pack_head(_SEEN, ts, seen_at, len(driver)) + driver


def unpacked(message: bytes) -> Envelope | Seen:
    """Raises ValueError for what is neither, or not whole."""
    if not message.startswith(_SEEN):
        return _unpacked(message)
    try:
        _, ts, seen_at, size = _unpack_head(message)
    except struct.error as error:
        raise ValueError("a location that is cut off") from error
    end = _HEAD.size + size
    driver_id, packet = message[_HEAD.size : end].decode(), message[end:]
    if not (packet.startswith(_LOCATION) and packet.endswith(_END)):
        raise ValueError("a location without its packet")
    return Seen(driver_id, ts, seen_at, packet)
