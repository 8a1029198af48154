"""What drivers say about taking trips: in Redis for all, and with the instance that they are on.

Redis may lose it. While a driver is connected, its instance says it again, and learns what the
driver said elsewhere.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from redis.asyncio import Redis
from redis.exceptions import RedisError

from models.commands import DriverAvailability
from models.errors import Unavailable
from models.fields import Id
from models.grouped import Grouped
from realtime import keys

MAX_AT_ONCE: Final = 500
"""Keys in one command."""
WITHIN_S: Final = 1.0
EVERY_S: Final = 5.0
"""How soon what Redis has lost is there again."""
_SET_EACH: Final = """
for i, key in ipairs(KEYS) do
    redis.call('SET', key, ARGV[i + 1], 'EX', ARGV[1])
end
"""
_SAY_AGAIN: Final = """
local said = redis.call('MGET', unpack(KEYS))
for i, key in ipairs(KEYS) do
    if not said[i] then
        said[i] = ARGV[i + 1]
        if said[i] ~= '' then
            redis.call('SET', key, said[i], 'EX', ARGV[1])
        end
    end
end
return said
"""
"""Sets what is missing, and returns what is there then: what was said last, by whichever way.

What is there is not written again. If it comes to its end while the driver is connected, it is
missing, and said again.
"""
_UNREACHABLE: Final = (RedisError, OSError, asyncio.TimeoutError)


class _Here:
    """A driver who is connected here, with what it says as far as that is known."""

    __slots__ = ("connections", "status")

    def __init__(self) -> None:
        self.connections = 0
        self.status: DriverAvailability | None = None


class Availability:
    """Costs an instance one short entry for each of its drivers."""

    def __init__(self, redis: Redis) -> None:
        self._here: dict[Id, _Here] = {}
        self._set_each = redis.register_script(_SET_EACH)
        self._say_again = redis.register_script(_SAY_AGAIN)
        self._writes = Grouped(self._set_all, MAX_AT_ONCE)

    def came(self, driver_id: Id, status: DriverAvailability | None) -> None:
        """See `handlers.ports.Drivers`."""
        here = self._here.setdefault(driver_id, _Here())
        here.connections += 1
        here.status = here.status or status

    def went(self, driver_id: Id) -> None:
        """See `handlers.ports.Drivers`."""
        here = self._here[driver_id]
        here.connections -= 1
        if not here.connections:
            del self._here[driver_id]

    def known(self, driver_id: Id) -> DriverAvailability | None:
        """What a driver says who is connected here; up to `EVERY_S` late, if it was said elsewhere.

        None for one who has said nothing, or is not here.
        """
        here = self._here.get(driver_id)
        return here.status if here is not None else None

    async def set(self, driver_id: Id, status: DriverAvailability) -> None:
        """Raises Unavailable when it could not be noted."""
        try:
            async with asyncio.timeout(WITHIN_S):
                await self._writes.add((driver_id, status))
        except _UNREACHABLE as error:
            raise Unavailable("the status could not be noted") from error
        here = self._here.get(driver_id)
        if here is not None:
            here.status = status

    async def run(self) -> None:
        """Say it again and again until cancelled; while Redis is away, it is what was known."""
        while True:
            await asyncio.sleep(EVERY_S)
            with suppress(*_UNREACHABLE):
                await self.say_again()

    async def say_again(self) -> None:
        """Have in Redis what drivers said who are here, and know what they said elsewhere."""
        driver_ids = list(self._here)
        for start in range(0, len(driver_ids), MAX_AT_ONCE):
            asked = [(each, self.known(each)) for each in driver_ids[start : start + MAX_AT_ONCE]]
            async with asyncio.timeout(WITHIN_S):
                said = await self._say_again(
                    keys=[keys.driver_status(driver_id) for driver_id, _ in asked],
                    args=[keys.STATUS_TTL_S, *(status or "" for _, status in asked)],
                )
            for (driver_id, status), text in zip(asked, said, strict=True):
                self._learn(driver_id, status, read(text or None))

    def _learn(
        self,
        driver_id: Id,
        asked: DriverAvailability | None,
        said: DriverAvailability | None,
    ) -> None:
        """Unless it has changed here since Redis was asked."""
        here = self._here.get(driver_id)
        if here is not None and here.status is asked:
            here.status = said

    async def _set_all(self, statuses: Sequence[tuple[Id, DriverAvailability]]) -> list[None]:
        async with asyncio.timeout(WITHIN_S):
            await self._set_each(
                keys=[keys.driver_status(driver_id) for driver_id, _ in statuses],
                args=[keys.STATUS_TTL_S, *(status for _, status in statuses)],
            )
        return [None] * len(statuses)


def read(stored: bytes | str | None) -> DriverAvailability | None:
    """What a driver's key holds."""
    if stored is None:
        return None
    return DriverAvailability(stored.decode() if isinstance(stored, bytes) else stored)
