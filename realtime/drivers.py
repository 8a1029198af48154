"""Where drivers are, in Redis: their newest points, written in bulk, and what they say they do."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from models.commands import DriverAvailability
from models.errors import Unavailable
from models.fields import Id
from models.grouped import Grouped
from models.points import Sighting
from realtime import keys

_log = logging.getLogger(__name__)

MAX_AT_ONCE: Final = 500
"""Keys in one command."""
READ_WITHIN_S: Final = 1.0
PAUSE_S: Final = 1.0
"""For which Redis is not asked again after it did not answer: nobody waits for it in a queue."""
FLUSH_S: Final = 0.1
"""How long a newest point may wait for others to be written with."""
_SET_NEWER: Final = """
for i, key in ipairs(KEYS) do
    local stored, ts = redis.call('GET', key), tonumber(ARGV[2 * i])
    local known, old = pcall(cmsgpack.unpack, stored)
    if not stored or not known or old.point.ts <= ts then
        redis.call('SET', key, ARGV[2 * i + 1], 'EX', ARGV[1])
    end
end
"""
"""Sets those that are not older than what is there: another instance may have been faster."""
_SET_EACH: Final = """
for i, key in ipairs(KEYS) do
    redis.call('SET', key, ARGV[i + 1], 'EX', ARGV[1])
end
"""
_UNREACHABLE: Final = (RedisError, OSError, asyncio.TimeoutError)

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Sighting).decode


class RedisDrivers:
    """See `handlers.ports.Drivers`. Of points that Redis could not take, the newest is kept."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._unsaved: dict[Id, Sighting] = {}
        self._set_newer = redis.register_script(_SET_NEWER)
        self._set_each = redis.register_script(_SET_EACH)
        self._reads = Grouped(self._get_all, MAX_AT_ONCE)
        self._statuses = Grouped(self._set_all, MAX_AT_ONCE)
        self._asked_again_at = 0.0
        self._away = False

    def saw(self, sighting: Sighting) -> None:
        unsaved = self._unsaved.get(sighting.driver_id)
        if unsaved is None or sighting.point.ts >= unsaved.point.ts:
            self._unsaved[sighting.driver_id] = sighting

    async def newest(self, driver_id: Id) -> Sighting | None:
        unsaved = self._unsaved.get(driver_id)
        if unsaved is not None:
            return unsaved
        stored = await self._get(keys.sighting(driver_id))
        return _decode(stored) if stored is not None else None

    async def set_status(self, driver_id: Id, status: DriverAvailability) -> None:
        try:
            async with asyncio.timeout(READ_WITHIN_S):
                await self._statuses.add((keys.driver_status(driver_id), status))
        except _UNREACHABLE as error:
            raise Unavailable("the status could not be noted") from error

    async def status(self, driver_id: Id) -> DriverAvailability | None:
        stored = await self._get(keys.driver_status(driver_id))
        return DriverAvailability(stored.decode()) if stored is not None else None

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

    async def _set_all(self, statuses: list[tuple[str, str]]) -> list[None]:
        async with asyncio.timeout(READ_WITHIN_S):
            await self._put(statuses, keys.STATUS_TTL_S)
        return [None] * len(statuses)

    async def _put_newer(self, sightings: Sequence[Sighting]) -> None:
        values: list[int | bytes] = []
        for sighting in sightings:
            values += (sighting.point.ts, _encode(sighting))
        await self._set_newer(
            keys=[keys.sighting(sighting.driver_id) for sighting in sightings],
            args=[keys.SIGHTING_TTL_S, *values],
        )

    async def _put(self, values: Sequence[tuple[str, str | bytes]], ttl_s: int) -> None:
        """Set many keys at the price of one command."""
        await self._set_each(
            keys=[key for key, _ in values], args=[ttl_s, *(value for _, value in values)]
        )

    async def _get_all(self, wanted: list[str]) -> list[bytes | None]:
        async with asyncio.timeout(READ_WITHIN_S):
            found = await self._redis.mget(wanted)
        return [stored.encode() if isinstance(stored, str) else stored for stored in found]
