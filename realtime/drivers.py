"""Where drivers are, in Redis: their newest points, written in bulk, and what they say they do."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

from redis.asyncio import Redis
from redis.exceptions import RedisError

from models.commands import DriverAvailability
from models.fields import Id
from models.grouped import Grouped
from models.points import Sighting
from realtime import keys
from realtime.availability import Availability, read
from realtime.nearby import NearbyIndex
from realtime.sightings import TIME_DIGITS, packed, unpacked

_log = logging.getLogger(__name__)

MAX_AT_ONCE: Final = 500
"""Keys in one command."""
READ_WITHIN_S: Final = 1.0
PAUSE_S: Final = 1.0
"""For which Redis is not asked again after it did not answer: nobody waits for it in a queue."""
FLUSH_S: Final = 0.1
"""How long a newest point may wait for others to be written with."""
_SET_NEWER: Final = f"""
for i, key in ipairs(KEYS) do
    local ts = tonumber(redis.call('GETRANGE', key, 0, {TIME_DIGITS - 1}))
    local sighting = ARGV[i + 1]
    if not ts or ts <= tonumber(string.sub(sighting, 1, {TIME_DIGITS})) then
        redis.call('SET', key, sighting, 'EX', ARGV[1])
    end
end
"""
"""Sets those that are not older than what is there: another instance may have been faster."""
_UNREACHABLE: Final = (RedisError, OSError, asyncio.TimeoutError)


class RedisDrivers:
    """See `handlers.ports.Drivers`. Of points that Redis could not take, the newest is kept."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._unsaved: dict[Id, Sighting] = {}
        self._set_newer = redis.register_script(_SET_NEWER)
        self._reads = Grouped(self._get_all, MAX_AT_ONCE)
        self._asked_again_at = 0.0
        self._away = False
        self.availability = Availability(redis)
        self.nearby = NearbyIndex(redis, self.availability.known)

    def saw(self, sighting: Sighting) -> None:
        unsaved = self._unsaved.get(sighting.driver_id)
        if unsaved is None or sighting.point.ts >= unsaved.point.ts:
            self._unsaved[sighting.driver_id] = sighting

    async def newest(self, driver_id: Id) -> Sighting | None:
        unsaved = self._unsaved.get(driver_id)
        if unsaved is not None:
            return unsaved
        stored = await self._get(keys.sighting(driver_id))
        return unpacked(stored) if stored is not None else None

    async def set_status(self, driver_id: Id, status: DriverAvailability) -> None:
        """Who is available is to be found where it was seen last, before its next point."""
        await self.availability.set(driver_id, status)
        if status is DriverAvailability.AVAILABLE and (seen := await self.newest(driver_id)):
            self.saw(seen)

    async def status(self, driver_id: Id) -> DriverAvailability | None:
        """What Redis has lost is known here, if the driver is connected here."""
        stored = read(await self._get(keys.driver_status(driver_id)))
        return stored or self.availability.known(driver_id)

    def came(self, driver_id: Id, status: DriverAvailability | None) -> None:
        self.availability.came(driver_id, status)

    def went(self, driver_id: Id) -> None:
        self.availability.went(driver_id)

    async def run(self) -> None:
        """Write newest points until cancelled."""
        while True:
            await asyncio.sleep(FLUSH_S)
            await self.flush()

    async def flush(self) -> None:
        """Write what is unsaved; what Redis does not take stays, unless a newer point came."""
        if not self._unsaved:
            return
        writing, self._unsaved = self._unsaved, {}
        try:
            sightings = list(writing.values())
            for start in range(0, len(sightings), MAX_AT_ONCE):
                await self._put_newer(sightings[start : start + MAX_AT_ONCE])
                await self.nearby.note(sightings[start : start + MAX_AT_ONCE])
            self._away = False
        except asyncio.CancelledError:
            self._unsaved = writing | self._unsaved
            raise
        except _UNREACHABLE as error:
            self._unsaved = writing | self._unsaved
            if not self._away:
                _log.warning("newest points wait for Redis: %s", error)
            self._away = True

    async def _get(self, key: str) -> bytes | None:
        loop = asyncio.get_running_loop()
        if loop.time() < self._asked_again_at:
            return None
        try:
            async with asyncio.timeout(READ_WITHIN_S):
                return await self._reads.add(key)
        except _UNREACHABLE:
            self._asked_again_at = loop.time() + PAUSE_S
            return None

    async def _put_newer(self, sightings: Sequence[Sighting]) -> None:
        await self._set_newer(
            keys=[keys.sighting(sighting.driver_id) for sighting in sightings],
            args=[keys.SIGHTING_TTL_S, *map(packed, sightings)],
        )

    async def _get_all(self, wanted: list[str]) -> list[bytes | None]:
        async with asyncio.timeout(READ_WITHIN_S):
            found = await self._redis.mget(wanted)
        return [stored.encode() if isinstance(stored, str) else stored for stored in found]
