"""Where drivers are, in Redis: their newest points, written in bulk, and what they say they do."""

import asyncio
import logging
from typing import Final

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from models.commands import DriverAvailability
from models.errors import Unavailable
from models.fields import Id
from models.points import Sighting
from realtime import keys

_log = logging.getLogger(__name__)

MAX_AT_ONCE: Final = 50
"""Reads under way; its pool of connections refuses more than 100 instead of letting them wait."""
READ_WITHIN_S: Final = 1.0
PAUSE_S: Final = 1.0
"""For which Redis is not asked again after it did not answer: nobody waits for it in a queue."""
FLUSH_S: Final = 0.1
"""How long a newest point may wait for others to be written with."""
_UNREACHABLE: Final = (RedisError, OSError, asyncio.TimeoutError)

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Sighting).decode


class RedisDrivers:
    """See `handlers.ports.Drivers`. Of points that Redis could not take, the newest is kept."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._unsaved: dict[Id, Sighting] = {}
        self._turns = asyncio.Semaphore(MAX_AT_ONCE)
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
            async with asyncio.timeout(READ_WITHIN_S), self._turns:
                await self._redis.set(keys.driver_status(driver_id), status, ex=keys.STATUS_TTL_S)
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
            async with self._redis.pipeline(transaction=False) as pipe:
                for driver_id, sighting in writing.items():
                    pipe.set(keys.sighting(driver_id), _encode(sighting), ex=keys.SIGHTING_TTL_S)
                await pipe.execute()
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
            async with asyncio.timeout(READ_WITHIN_S), self._turns:
                stored = await self._redis.get(key)
        except _UNREACHABLE:
            self._asked_again_at = loop.time() + PAUSE_S
            return None
        return stored.encode() if isinstance(stored, str) else stored
