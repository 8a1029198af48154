"""Where drivers are, in Redis: their newest points, written in bulk, and what they say they do.

Points for tracks go along: the filter's state and the points that it counts as taken are written
together, or a batch that is sent again after a crash would be refused, and be lost.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from models.commands import DriverAvailability
from models.errors import Unavailable
from models.fields import Id
from models.grouped import Grouped
from models.points import Point, Sighting
from models.tracks import Report
from realtime import keys
from realtime.availability import Availability, read
from realtime.metrics import Metrics
from realtime.nearby import NearbyIndex
from realtime.overdue import Overdue, Told
from realtime.sightings import TIME_DIGITS, packed, unpacked
from realtime.unsaved import Portion, Unsaved

_log = logging.getLogger(__name__)

MAX_AT_ONCE: Final = 500
"""Keys in one command."""
READ_WITHIN_S: Final = 1.0
WRITE_WITHIN_S: Final = 2.0
"""For the commands of a flush to be answered, or else Redis is away."""
BEGIN_WITHIN_S: Final = 1.0
"""For them to be sent: of a flush that takes longer the rest is the next one's."""
PAUSE_S: Final = 1.0
"""For which Redis is not asked again after it did not answer: nobody waits for it in a queue."""
FLUSH_S: Final = 0.1
"""How long a newest point may wait for others to be written with."""
_PUT: Final = f"""
local stream, waiting, count = KEYS[1], KEYS[2], tonumber(ARGV[3])
if count > 0 then
    if tonumber(redis.call('GET', waiting) or 0) + count > tonumber(ARGV[2]) then
        return 0
    end
    redis.call('XADD', stream, '*', 'points', count, 'reports', ARGV[4])
    redis.call('INCRBY', waiting, count)
end
local stored = #KEYS > 2 and redis.call('MGET', unpack(KEYS, 3))
for i = 3, #KEYS do
    local before, sighting = stored[i - 2], ARGV[i + 2]
    local ts = before and tonumber(string.sub(before, 1, {TIME_DIGITS}))
    if not ts or ts <= tonumber(string.sub(sighting, 1, {TIME_DIGITS})) then
        redis.call('SET', KEYS[i], sighting, 'EX', ARGV[1])
    end
end
return 1
"""
"""Adds points to the stream, and sets the sightings that are not older than what is there: another
instance may have been faster. 0, and nothing done, when the stream is full.
"""
GATHER_S: Final = 0.01
"""The same where somebody waits until it is safe."""
GATHER_AWAY_S: Final = 0.1
"""The same while Redis is away: MongoDB is asked for all trips that changed lately, each time."""
TOLD_WITHIN_S: Final = 4.5
"""An answer is promised within five seconds, whatever the stores do. A point is sent again."""
KEEP_WITHIN_S: Final = 2.5
"""Seconds that MongoDB has for a flush, in Redis' place."""
_UNREACHABLE: Final = (RedisError, OSError, asyncio.TimeoutError)

_encode = msgspec.msgpack.Encoder().encode
Saved = Callable[[Sequence[Report]], None]
Keep = Callable[[Sequence[Report], Saved], Awaitable[None]]
"""Tells which are safe as it gets on, and raises Unavailable for the rest."""


class RedisDrivers:
    """See `handlers.ports.Drivers`. Of points that Redis could not take, the newest is kept."""

    def __init__(self, redis: Redis, keep: Keep, max_points: int, metrics: Metrics) -> None:
        """`keep` takes points for tracks while Redis is away; `max_points` may wait in Redis."""
        self._redis = redis
        self._keep = keep
        self._max_points = max_points
        self._counts = metrics.track_points.counts
        metrics.track_points.elsewhere = lambda: {"dropped": self._unsaved.dropped}
        self._unsaved = Unsaved()
        self._overdue = Overdue(TOLD_WITHIN_S)
        self._awaited = asyncio.Event()
        self._put = redis.register_script(_PUT)
        self._reads = Grouped(self._get_all, MAX_AT_ONCE)
        self._asked_again_at = 0.0
        self._written_again_at = 0.0
        self._away = False
        self._is_misplaced = False
        """Whether places for searches could not be written."""
        self.availability = Availability(redis)
        self.nearby = NearbyIndex(redis, self.availability.known)

    def saw(self, sighting: Sighting, points: Sequence[Point] = ()) -> None:
        self._unsaved.note(sighting)
        if points:
            self._unsaved.record(sighting.driver_id, points)

    def record(self, driver_id: Id, points: Sequence[Point]) -> None:
        self._unsaved.record(driver_id, points)

    def has_room(self) -> bool:
        return not self._unsaved.is_full

    def is_safe(self, driver_id: Id) -> bool:
        return not (self._unsaved.has_points(driver_id) or self._unsaved.is_full)

    def tell_when_safe(self, driver_id: Id, told: Told) -> None:
        if self._unsaved.is_full:
            told(False)  # what was recorded last may have been dropped
            return
        self._unsaved.tell(driver_id, self._overdue.bound(told))
        self._awaited.set()

    async def newest(self, driver_id: Id) -> Sighting | None:
        unsaved = self._unsaved.newest(driver_id)
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
        """Write what is new until cancelled."""
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._awaited.wait(), FLUSH_S)
                await asyncio.sleep(GATHER_AWAY_S if self._away else GATHER_S)
            try:
                await self.flush()
            except Exception:  # noqa: BLE001 - logged; nothing is lost by it, and the next may do
                _log.exception("what drivers reported could not be written")
                await asyncio.sleep(PAUSE_S)

    async def flush(self) -> None:
        """Write what is unsaved; what no store takes stays, unless a newer point came."""
        self._awaited.clear()
        if not self._unsaved:
            return
        writing = self._unsaved.take()
        seen = list(writing.sightings.values())
        try:
            await self._save(writing)
        except Exception:
            writing.end()
            raise
        else:
            writing.end()
        finally:
            self._unsaved.put_back(writing)
        if not self._away:
            await self._place(seen)

    async def finish(self, within_s: float) -> None:
        """Flush as long as that gets on: whatever is left is lost with this process."""
        loop = asyncio.get_running_loop()
        until = loop.time() + within_s
        while True:
            before = len(self._unsaved)
            await self.flush()
            if not 0 < len(self._unsaved) < before or loop.time() > until:
                return

    async def _save(self, writing: Unsaved) -> None:
        """Write to Redis and, what is for tracks, to MongoDB while Redis is away."""
        if asyncio.get_running_loop().time() < self._written_again_at:
            await self._keep_directly(writing)
            return
        try:
            await self._write(writing)
            self._away = False
        except _UNREACHABLE as error:
            if not self._away:
                _log.warning("newest points wait for Redis: %s", error)
            await self._keep_directly(writing)
            self._leave_alone()  # from now on: who came meanwhile waits for MongoDB alone

    def _leave_alone(self) -> None:
        """Redis did not answer."""
        self._away = True
        self._written_again_at = asyncio.get_running_loop().time() + PAUSE_S

    async def _write(self, writing: Unsaved) -> None:
        """Portion by portion. A full stream takes no points, and of no driver the later first."""
        began = asyncio.get_running_loop().time()
        async with asyncio.timeout_at(began + WRITE_WITHIN_S):
            for portion in list(writing.portions()):
                if _is_late(began) or not await self._is_put(portion):
                    return
                writing.saved(portion)
                self._counts["buffered"] += portion.count

    async def _is_put(self, portion: Portion) -> bool:
        """Whether the stream had room for its points; if not, nothing was written."""
        reports = _encode(portion.points) if portion.points else b""
        return bool(
            await self._put(
                keys=[
                    keys.track_stream(),
                    keys.track_points(),
                    *(keys.sighting(sighting.driver_id) for sighting in portion.sightings),
                ],
                args=[
                    *(keys.SIGHTING_TTL_S, self._max_points, portion.count, reports),
                    *map(packed, portion.sightings),
                ],
            )
        )

    async def _place(self, seen: Sequence[Sighting]) -> None:
        """Have them found nearby. Points are safe without it: nobody waits for it."""
        began = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout_at(began + WRITE_WITHIN_S):
                for start in range(0, len(seen), MAX_AT_ONCE):
                    if _is_late(began):
                        return  # their next points find a place
                    await self.nearby.note(seen[start : start + MAX_AT_ONCE])
        except _UNREACHABLE as error:
            if not self._is_misplaced:
                _log.warning("drivers are not found nearby: %s", error)
            self._is_misplaced = True
            if not isinstance(error, ResponseError):
                self._leave_alone()
        else:
            self._is_misplaced = False

    async def _keep_directly(self, writing: Unsaved) -> None:
        """Have the points kept without Redis, as far as MongoDB takes them."""

        def saved(reports: Sequence[Report]) -> None:
            writing.saved(Portion(points=[(each.driver_id, each.points) for each in reports]))

        with suppress(Unavailable, TimeoutError):
            async with asyncio.timeout(KEEP_WITHIN_S):
                await self._keep([Report(*of) for of in writing.points.items()], saved)

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

    async def _get_all(self, wanted: list[str]) -> list[bytes | None]:
        async with asyncio.timeout(READ_WITHIN_S):
            found = await self._redis.mget(wanted)
        return [stored.encode() if isinstance(stored, str) else stored for stored in found]


def _is_late(began: float) -> bool:
    """Whether a flush that began then (loop time) has no time for another command."""
    return asyncio.get_running_loop().time() - began > BEGIN_WITHIN_S
