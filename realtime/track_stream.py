"""Accepted points on their way to MongoDB: a Redis stream that all instances fill and empty.

Whoever takes an entry has it for `LEASE_S`, and longer while it says so; then others take it. It
is removed once it is kept.
"""

from collections.abc import Sequence
from secrets import token_hex
from typing import Any, Final

import msgspec
from msgspec import Struct
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from models.tracks import Report
from models.turns import in_turns
from realtime import keys

LEASE_S: Final = 10.0
AT_ONCE: Final = 200
"""Entries of one command."""
FORGOTTEN_MS: Final = 3_600_000
"""After which time a consumer that has nothing and takes nothing is one that is gone."""
_GROUP: Final = "archive"
MAX_SET_ASIDE: Final = 100
"""Entries that are kept of those that cannot be archived: the newest, of 0.4 MB at most each."""
_REMOVE: Final = """
for i, id in ipairs(ARGV) do
    local found = redis.call('XRANGE', KEYS[1], id, id)[1]
    redis.call('XACK', KEYS[1], 'archive', id)
    if found and redis.call('XDEL', KEYS[1], id) == 1 then
        local points = tonumber(found[2][2])
        if points then
            redis.call('DECRBY', KEYS[2], string.format('%d', points))
        end
    end
end
if redis.call('XLEN', KEYS[1]) == 0 then
    redis.call('DEL', KEYS[2])
end
"""
"""Of an entry the first field is how many points it has. Whatever was done to the stream by hand,
an empty one has none.
"""

_SET_ASIDE: Final = """
local found = redis.call('XRANGE', KEYS[1], ARGV[1], ARGV[1])[1]
if found then
    redis.call('XADD', KEYS[2], 'MAXLEN', ARGV[3], '*', 'entry', ARGV[1], 'why', ARGV[2],
        unpack(found[2]))
end
"""

_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(list[Report]).decode


def count_of(reports: Sequence[Report]) -> int:
    """How many points they have."""
    return sum(len(report.points) for report in reports)


class Entry(Struct, frozen=True):
    id: str
    reports: Sequence[Report]
    problem: str = ""
    """Why it cannot be read, if it cannot."""

    @property
    def points(self) -> int:
        return count_of(self.reports)


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
        self._set_aside = redis.register_script(_SET_ASIDE)

    async def take(self, at_most: int = AT_ONCE) -> list[Entry]:
        """Entries that nobody has; else those whose owner is gone."""
        try:
            return await self._new(at_most) or await self._abandoned(at_most)
        except ResponseError as error:
            if not str(error).startswith("NOGROUP"):
                raise
        await self._create_group()
        return await self._new(at_most)

    async def renew(self, entries: Sequence[Entry]) -> None:
        """Go on having them; those that Redis has lost with all it had are nobody's."""
        try:
            for start in range(0, len(entries), AT_ONCE):
                ids: list[Any] = [entry.id for entry in entries[start : start + AT_ONCE]]
                stream = keys.track_stream()
                await self._redis.xclaim(stream, _GROUP, self._name, 0, ids, justid=True)
        except ResponseError as error:
            if not str(error).startswith("NOGROUP"):
                raise
            await self._create_group()

    async def remove(self, entries: Sequence[Entry]) -> None:
        """They are kept."""
        for start in range(0, len(entries), AT_ONCE):
            ids = [entry.id for entry in entries[start : start + AT_ONCE]]
            await self._remove(keys=[keys.track_stream(), keys.track_points()], args=ids)

    async def set_aside(self, entry: Entry, why: str) -> None:
        """Put one that cannot be read where it is in nobody's way, and can be looked at."""
        both = [keys.track_stream(), keys.track_set_aside()]
        await self._set_aside(keys=both, args=[entry.id, why, MAX_SET_ASIDE])
        await self.remove([entry])

    async def set_aside_of(self, entry: Entry, reports: Sequence[Report], why: str) -> None:
        """The same for some of its reports, as an entry of their own. The rest stays."""
        some = {"points": count_of(reports), "reports": _encode(reports)}
        fields: dict[Any, Any] = {"entry": entry.id, "why": why} | some
        aside = keys.track_set_aside()
        await self._redis.xadd(aside, fields, maxlen=MAX_SET_ASIDE, approximate=False)

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

    async def _new(self, at_most: int) -> list[Entry]:
        streams: dict[Any, Any] = {keys.track_stream(): ">"}
        found: Any = await self._redis.xreadgroup(_GROUP, self._name, streams, count=at_most)
        return await _entries(found[0][1]) if found else []

    async def _abandoned(self, at_most: int) -> list[Entry]:
        claimed: Any = await self._redis.xautoclaim(
            keys.track_stream(), _GROUP, self._name, int(1_000 * LEASE_S), count=at_most
        )
        return await _entries(claimed[1])

    async def _create_group(self) -> None:
        try:
            await self._redis.xgroup_create(keys.track_stream(), _GROUP, "0", mkstream=True)
        except ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise


async def _entries(found: Sequence[tuple[bytes, dict[bytes, bytes] | None]]) -> list[Entry]:
    entries = (_entry(_text(entry_id), fields) for entry_id, fields in found if fields)
    return [entry async for entry in in_turns(entries, lambda entry: entry.points)]


def _entry(entry_id: str, fields: dict[bytes, bytes]) -> Entry:
    try:
        return Entry(entry_id, _decode(fields[b"reports"]))
    except KeyError:
        return Entry(entry_id, (), "it has no field of the name reports")
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        return Entry(entry_id, (), str(error))


def _text(given: bytes | str) -> str:
    return given if isinstance(given, str) else given.decode()
