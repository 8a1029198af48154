"""Tracks while Redis is away: points go straight to MongoDB, which is asked twice for their trips.

A trip that was being accepted as its first points came is stored by the second time.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from handlers.ports import Clock
from handlers.tracks import DRIVERS_AT_ONCE, TrackKeeper, Waiting
from models import stores
from models.errors import Unavailable
from models.fields import Id
from models.tracks import Report
from realtime.archiver import MAX_HELD, SETTLE_S, measured
from realtime.metrics import Metrics
from realtime.sifting import refused

_log = logging.getLogger(__name__)

TICK_S: Final = 0.5
BEGIN_WITHIN_S: Final = 1.0
"""For a flush's pieces to be begun: the rest waits for the next, and no call is cut short."""
REFUSED_S: Final = 10.0
"""For how long a driver's points are left alone whose points MongoDB refused."""


class DirectArchive:
    """What waits for its second look is in memory: `MAX_HELD` points, then the oldest get none."""

    def __init__(self, kept: stores.Stores, clock: Clock, metrics: Metrics) -> None:
        self._first = TrackKeeper(kept, clock)
        self._second = TrackKeeper(kept, clock)
        self._counts = metrics.track_points.counts
        self._due: deque[tuple[float, Sequence[Waiting]]] = deque()
        self._held = 0
        self._refused: dict[Id, float] = {}
        """Drivers whose points MongoDB refused, until when (loop time) they are left alone."""

    async def keep(
        self, reports: Sequence[Report], saved: Callable[[Sequence[Report]], None]
    ) -> None:
        """Store what belongs to a trip that is stored, and tell which reports are safe.

        What MongoDB refuses for what it is waits for Redis. Raises Unavailable.
        """
        now = asyncio.get_running_loop().time()
        self._refused = {driver: until for driver, until in self._refused.items() if until > now}
        waiting = [Waiting(each) for each in reports if each.driver_id not in self._refused]
        if waiting:
            await self._first.catch_up()
        for start in range(0, len(waiting), DRIVERS_AT_ONCE):
            if asyncio.get_running_loop().time() > now + BEGIN_WITHIN_S:
                return
            some = waiting[start : start + DRIVERS_AT_ONCE]
            async for each, error in refused(self._look, some):
                self._refused[each.report.driver_id] = now + REFUSED_S
                _log.error("points wait for Redis: MongoDB refuses them", exc_info=error)
            good = [each for each in some if each.report.driver_id not in self._refused]
            self._hold(good)
            saved([each.report for each in good])

    async def run(self) -> None:
        """Work until cancelled; what MongoDB does not take is tried again."""
        while True:
            await asyncio.sleep(TICK_S)
            await self.settle(asyncio.get_running_loop().time())

    async def settle(self, until: float) -> None:
        """Look again at what was due by then (loop time), as far as MongoDB answers."""
        try:
            await self._settle(until)
        except Unavailable:
            return
        except Exception:  # noqa: BLE001 - logged; the next time may do better
            _log.exception("points could not be looked at again")

    async def _settle(self, until: float) -> None:
        """All that is due goes by one reading of what has changed."""
        if self._due and self._due[0][0] <= until:
            await self._second.catch_up()
        while self._due and self._due[0][0] <= until:
            waiting = self._due[0][1]
            async for each, error in refused(self._look_again, waiting):
                self._counts["set_aside"] += len(each.report.points)
                _log.error("points are lost: MongoDB refuses them", exc_info=error)
            await measured(self._second, waiting)
            if self._due and self._due[0][1] is waiting:
                self._forget_oldest()

    async def _look(self, some: Sequence[Waiting]) -> None:
        self._counts["kept"] += await self._first.keep(some)

    async def _look_again(self, some: Sequence[Waiting]) -> None:
        self._counts["kept"] += await self._second.keep(some)

    def _hold(self, waiting: Sequence[Waiting]) -> None:
        """For the second look."""
        self._due.append((asyncio.get_running_loop().time() + SETTLE_S, waiting))
        self._held += _size(waiting)
        while self._held > MAX_HELD:
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        self._held -= _size(self._due.popleft()[1])


def _size(waiting: Sequence[Waiting]) -> int:
    return sum(len(each.report.points) for each in waiting)
