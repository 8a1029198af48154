"""Accepted points on their way to MongoDB: a Redis stream that all instances fill and empty.

Whoever takes an entry has it for `LEASE_S`, and longer while it says so; then others take it. It
is removed once it is kept.
"""

import logging
from collections.abc import Sequence
from secrets import token_hex
from typing import Any, Final

import msgspec
from msgspec import Struct
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from models.tracks import Report
from realtime import keys

_log = logging.getLogger(__name__)

LEASE_S: Final = 10.0
AT_ONCE: Final = 200
"""Entries of one command."""
FORGOTTEN_MS: Final = 3_600_000
"""After which time a consumer that has nothing and takes nothing is one that is gone."""
_GROUP: Final = "archive"
_REMOVE: Final = """
for i, id in ipairs(ARGV) do
    local found = redis.call('XRANGE', KEYS[1], id, id)[1]
    redis.call('XACK', KEYS[1], 'archive', id)
    if found and redis.call('XDEL', KEYS[1], id) == 1 then
        redis.call('DECRBY', KEYS[2], found[2][2])
    end
end
if redis.call('XLEN', KEYS[1]) == 0 then
    redis.call('DEL', KEYS[2])
end
"""
"""Of an entry the first field is how many points it has. Whatever was done to the stream by hand,
an empty one has none.
"""

_decode: Final = msgspec.msgpack.Decoder(list[Report]).decode


class Entry(Struct, frozen=True):
    id: str
    reports: Sequence[Report]


class Lag(Struct, frozen=True):
    """How much waits, and for how long the oldest of it."""

    points: int = 0
    seconds: float = 0.0


class TrackStream:
    """One instance's end of it. Every call raises redis-py's errors when Redis is away."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._name = token_hex(8)
        self._remove = redis.register_script(_REMOVE)

    async def take(self) -> list[Entry]:
        """Entries that nobody has, also because whoever had them is gone."""
        try:
            return await self._new() + await self._abandoned()
        except ResponseError as error:
            if not str(error).startswith("NOGROUP"):
                raise
        await self._create_group()
        return await self._new()

    async def renew(self, entries: Sequence[Entry]) -> None:
        """Go on having them."""
        for start in range(0, len(entries), AT_ONCE):
            ids: list[Any] = [entry.id for entry in entries[start : start + AT_ONCE]]
            await self._redis.xclaim(keys.track_stream(), _GROUP, self._name, 0, ids, justid=True)

    async def remove(self, entries: Sequence[Entry]) -> None:
        """They are kept."""
        for start in range(0, len(entries), AT_ONCE):
            ids = [entry.id for entry in entries[start : start + AT_ONCE]]
            await self._remove(keys=[keys.track_stream(), keys.track_points()], args=ids)

    async def lag(self) -> Lag:
        points = int(await self._redis.get(keys.track_points()) or 0)
        oldest: Any = await self._redis.xrange(keys.track_stream(), count=1)
        if not oldest:
            return Lag(points)
        seconds, micros = await self._redis.time()
        came_ms = int(_text(oldest[0][0]).partition("-")[0])
        return Lag(points, max(0.0, seconds + micros / 1e6 - came_ms / 1e3))

    async def forget_consumers(self) -> None:
        """Have Redis forget those of instances that are gone."""
        for consumer in await self._redis.xinfo_consumers(keys.track_stream(), _GROUP):
            if consumer["pending"] == 0 and consumer["idle"] > FORGOTTEN_MS:
                await self._redis.xgroup_delconsumer(keys.track_stream(), _GROUP, consumer["name"])

    async def _new(self) -> list[Entry]:
        streams: dict[Any, Any] = {keys.track_stream(): ">"}
        found: Any = await self._redis.xreadgroup(_GROUP, self._name, streams, count=AT_ONCE)
        return _entries(found[0][1]) if found else []

    async def _abandoned(self) -> list[Entry]:
        claimed: Any = await self._redis.xautoclaim(
            keys.track_stream(), _GROUP, self._name, int(1_000 * LEASE_S), count=AT_ONCE
        )
        return _entries(claimed[1])

    async def _create_group(self) -> None:
        try:
            await self._redis.xgroup_create(keys.track_stream(), _GROUP, "0", mkstream=True)
        except ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise


def _entries(found: Sequence[tuple[bytes, dict[bytes, bytes] | None]]) -> list[Entry]:
    """What cannot be read is somebody else's: it is an entry without reports."""
    return [Entry(_text(entry_id), _reports(fields)) for entry_id, fields in found if fields]


def _reports(fields: dict[bytes, bytes]) -> Sequence[Report]:
    try:
        return _decode(fields[b"reports"])
    except (msgspec.MsgspecError, KeyError):
        _log.exception("points of a track cannot be read and are dropped")
        return ()


def _text(given: bytes | str) -> str:
    return given if isinstance(given, str) else given.decode()
