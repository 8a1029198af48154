"""Where the available drivers are, in Redis' geo index: written in bulk, searched from near to far.

The index holds who is thought to be available and was seen lately. Whether that is still so is told
by what is kept of each driver, which a search reads as well.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Final

from redis.asyncio import Redis
from redis.exceptions import RedisError

from handlers.ports import Candidate
from models.commands import DriverAvailability
from models.errors import Unavailable
from models.fields import Id, Millis
from models.points import Sighting
from realtime import keys
from realtime.availability import read
from realtime.sightings import unpacked

WITHIN_S: Final = 1.0
MAX_LATITUDE: Final = 85.05112878
"""Redis takes no place nearer to a pole."""
FIRST_REACH_M: Final = 500
"""How far a search looks first, and then twice as far: a dense city is not sorted whole."""
EVERY_MS: Final = 2_000
"""How often a driver's place is put right. What is told of a driver is always its newest point."""
MARGIN_M: Final = 150
"""How far a driver may have come since."""
PRUNED_AT_ONCE: Final = 1_000
_SEARCH: Final = """
local most, radius, reach = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
while true do
    reach = math.min(reach, radius)
    local found = redis.call('GEOSEARCH', KEYS[1], 'FROMLONLAT', ARGV[1], ARGV[2],
        'BYRADIUS', reach, 'm', 'ASC', 'COUNT', most)
    if #found >= most or reach >= radius then
        return found
    end
    reach = 2 * reach
end
"""
_PRUNE: Final = """
local gone = redis.call('ZRANGE', KEYS[2], '-inf', '(' .. ARGV[1], 'BYSCORE', 'LIMIT', 0, ARGV[2])
if #gone > 0 then
    redis.call('ZREM', KEYS[1], unpack(gone))
    redis.call('ZREM', KEYS[2], unpack(gone))
end
return #gone
"""
_UNREACHABLE: Final = (RedisError, OSError, asyncio.TimeoutError)


class NearbyIndex:
    """See `handlers.ports.Nearby`."""

    def __init__(self, redis: Redis, known: Callable[[Id], DriverAvailability | None]) -> None:
        """`known` is what a driver says who is connected here."""
        self._redis = redis
        self._known = known
        self._noted: dict[Id, Millis] = {}
        """When those were seen last whose place was written from here."""
        self._ahead_ms = 0
        """By how much the clock here is ahead of Redis', by which all instances write and drop."""
        self._search = redis.register_script(_SEARCH)
        self._prune = redis.register_script(_PRUNE)

    async def note(self, sightings: Iterable[Sighting]) -> None:
        """Put the available drivers where they were seen. Raises what redis-py raises."""
        places: list[float | Id] = []
        seen: dict[Id, Millis] = {}
        for sighting in sightings:
            if self._is_due(sighting):
                point = sighting.point
                places += (_longitude(point.lng), point.lat, sighting.driver_id)
                seen[sighting.driver_id] = sighting.seen_at
        if not places:
            return
        async with self._redis.pipeline(transaction=True) as both:
            both.geoadd(keys.NEARBY_PLACES, places)
            scores = {who: seen_at - self._ahead_ms for who, seen_at in seen.items()}
            both.zadd(keys.NEARBY_SEEN, scores, gt=True)
            for key in _INDEX:
                both.expire(key, keys.NEARBY_TTL_S)
            await both.execute()
        self._noted |= seen

    def _is_due(self, sighting: Sighting) -> bool:
        """Whether a driver has to be in the index, and was not just put there."""
        if 0 <= sighting.seen_at - self._noted.get(sighting.driver_id, 0) < EVERY_MS:
            return False
        available = self._known(sighting.driver_id) is DriverAvailability.AVAILABLE
        return available and abs(sighting.point.lat) < MAX_LATITUDE

    async def around(
        self, lat: float, lng: float, radius_m: int, at_most: int
    ) -> Sequence[Candidate]:
        """See `handlers.ports.Nearby`."""
        try:
            async with asyncio.timeout(WITHIN_S):
                found = await self._search(
                    keys=[keys.NEARBY_PLACES],
                    args=[_longitude(lng), lat, at_most, radius_m + MARGIN_M, FIRST_REACH_M],
                )
                return await self._read([_text(driver_id) for driver_id in found])
        except _UNREACHABLE as error:
            raise Unavailable("where drivers are cannot be told now") from error

    async def forget_unseen(self, now: Millis, unseen_ms: Millis) -> None:
        """Drop the drivers who have not been seen for so long. While Redis is away, it has to wait.

        `now` is the clock here. Another instance's may be wrong: that drops nobody who is seen.
        """
        before = now - unseen_ms - EVERY_MS  # they may have been seen later than was noted
        self._noted = {who: at for who, at in self._noted.items() if at >= before}
        with suppress(*_UNREACHABLE):
            async with asyncio.timeout(WITHIN_S):
                seconds, micros = await self._redis.time()
                self._ahead_ms = now - (seconds * 1_000 + micros // 1_000)
                args = [before - self._ahead_ms, PRUNED_AT_ONCE]
                while await self._prune(keys=_INDEX, args=args):
                    pass

    async def _read(self, driver_ids: Sequence[Id]) -> Sequence[Candidate]:
        if not driver_ids:
            return ()
        stored = await self._redis.mget(
            [
                *(keys.sighting(driver_id) for driver_id in driver_ids),
                *(keys.driver_status(driver_id) for driver_id in driver_ids),
            ]
        )
        sightings, statuses = stored[: len(driver_ids)], stored[len(driver_ids) :]
        return [
            Candidate(None if sighting is None else unpacked(_bytes(sighting)), read(status))
            for sighting, status in zip(sightings, statuses, strict=True)
        ]


_INDEX: Final = (keys.NEARBY_PLACES, keys.NEARBY_SEEN)


def _longitude(lng: float) -> float:
    """The antimeridian by one name. By the other, Redis finds only what is on its one side."""
    return -180.0 if lng == 180 else lng


def _bytes(stored: bytes | str) -> bytes:
    return stored.encode() if isinstance(stored, str) else stored


def _text(stored: bytes | str) -> str:
    return stored.decode() if isinstance(stored, bytes) else stored
