"""Every Redis key and channel, each named here with its type, lifetime and size."""

from typing import Final

from models.fields import Id
from models.rooms import Room

PREFIX: Final = "ridewire:"
SIGHTING_TTL_S: Final = 86_400
STATUS_TTL_S: Final = 30 * 86_400
REVOKED_TTL_S: Final = 3_600
REVOKED: Final = f"{PREFIX}revoked"
"""Sorted set: what was revoked, msgpack of `models.revocations.Revocation`, some 60 bytes each, by
when it was written here (ms); an hour."""
SPENT_TTL_S: Final = 3_600
NEARBY_TTL_S: Final = 7_200
"""Longer than a driver may be unseen without being stale."""
NEARBY_PLACES: Final = f"{PREFIX}{{nearby}}:places"
"""Geo set: available drivers where they were seen last; two hours after the last of all came.

What is in braces has both keys of the index in one slot of a cluster.
"""
NEARBY_SEEN: Final = f"{PREFIX}{{nearby}}:seen"
"""Sorted set: the same drivers by when they were seen, ms by Redis' clock; drops out who is stale.
"""


_CHANNELS: Final = f"{PREFIX}2:"
"""With the number of the format: while a server is upgraded, no release misreads another's facts.
Of those it finds in MongoDB what is kept, as after any loss; what is not kept it misses."""


def channel(room: Room) -> str:
    """Pub/sub channel of a room: `realtime.envelopes`, some 200 bytes each."""
    return _CHANNELS + room


def room_of(channel_name: str) -> Room:
    return Room(channel_name.removeprefix(_CHANNELS))


def sighting(driver_id: Id) -> str:
    """String: a driver's newest accepted point as in `realtime.sightings`, some 200 bytes; one day.

    Another format needs another name: while a server is upgraded, both releases read theirs.
    """
    return f"{PREFIX}seen:{driver_id}"


def driver_status(driver_id: Id) -> str:
    """String: `available`, `busy` or `offline`, as the driver said last; 30 days."""
    return f"{PREFIX}driver-status:{driver_id}"


def spent(name: str) -> str:
    """Sorted set: `users` or `links` that asked for much lately, some 100 bytes each, by when (ms)
    their buckets are full again; drops out whose is. One hour.
    """
    return f"{PREFIX}spent:{name}"


def track_stream() -> str:
    """Stream: accepted points on their way to MongoDB, `points` (how many) and `reports` (msgpack
    of `models.tracks.Report`, some 90 bytes a point); some seconds, up to the limit if MongoDB is
    away.
    """
    return f"{PREFIX}track"


def track_set_aside() -> str:
    """Stream: entries of the track's stream that could not be archived, as they were, with `entry`
    (its id) and `why`; `realtime.track_stream.MAX_SET_ASIDE` of them, until somebody deletes it.
    """
    return f"{PREFIX}track-set-aside"


def track_points() -> str:
    """String: how many points are in the stream."""
    return f"{PREFIX}track-points"
