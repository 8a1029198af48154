"""A sighting as Redis keeps it: its point's time in digits, then msgpack.

So which of two is newer is told by their first bytes, and no script has to read the rest.
"""

from typing import Final

import msgspec

from models.points import Sighting

TIME_DIGITS: Final = 16
_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(Sighting).decode


def packed(sighting: Sighting) -> bytes:
    return b"%016d" % sighting.point.ts + _encode(sighting)


def unpacked(stored: bytes) -> Sighting | None:
    """None for what cannot be read: a driver is seen again soon, and must not be kept out by it."""
    try:
        return _decode(memoryview(stored)[TIME_DIGITS:])
    except msgspec.MsgspecError:
        return None
