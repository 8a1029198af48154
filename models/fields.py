"""The types of single fields: what an id, a time, a coordinate may look like."""

import time
from secrets import randbits
from typing import Annotated

from msgspec import Meta

INVISIBLE = (
    r"\s\x00-\x1f\x7f-\xa0\xad\u061c\u180e\u200b-\u200f\u2028-\u202e"
    r"\u034f\u115f\u1160\u3164\uffa0\U000e0000-\U000e0fff"
    r"\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\ufffb"
)
"""What shows nothing, within `[]` of a pattern: the same characters in every language's `\\s`."""

Id = Annotated[str, Meta(min_length=1, max_length=128, pattern=rf"\A[^{INVISIBLE}]+\Z")]
"""An id from outside: 1-128 printable characters without spaces."""

Millis = Annotated[int, Meta(ge=0, le=2**53 - 1)]
"""A moment in milliseconds since the epoch, or a duration in milliseconds."""

Number = Annotated[int, Meta(ge=0, le=2**53 - 1)]
"""A count or sequence number that every client language can hold exactly."""

Latitude = Annotated[float, Meta(ge=-90, le=90)]
Longitude = Annotated[float, Meta(ge=-180, le=180)]
Heading = Annotated[float, Meta(ge=0, lt=360)]
"""Degrees clockwise from north."""
Speed = Annotated[float, Meta(ge=0, le=1_000)]
"""Metres per second."""
Accuracy = Annotated[float, Meta(ge=0, le=10_000_000)]
"""Radius in metres."""

Reason = Annotated[str, Meta(min_length=1, max_length=500)]
Pin = Annotated[str, Meta(min_length=1, max_length=16, pattern=rf"\A[^{INVISIBLE}]+\Z")]

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def new_id(now: int | None = None) -> str:
    """A URL-safe id of 26 characters that sorts by time (ULID: 48 bits of ms, 80 random bits)."""
    value = (now if now is not None else time.time_ns() // 1_000_000) << 80 | randbits(80)
    return "".join(_CROCKFORD[value >> shift & 31] for shift in range(125, -1, -5))
