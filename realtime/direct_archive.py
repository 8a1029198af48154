"""Tracks while Redis is away: points go straight to MongoDB, which is asked twice for their trips.

A trip that was being accepted as its first points came is stored by the second time.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from typing import Final

from handlers.ports import Clock
from handlers.tracks import TrackKeeper, Waiting
from models import stores
from models.errors import Unavailable
from realtime.archiver import MAX_HELD, SETTLE_S

_log = logging.getLogger(__name__)

TICK_S: Final = 0.5


class DirectArchive:
    """What waits for its second look is in memory: `MAX_HELD` points, then the oldest get none."""

    def __init__(self, kept: stores.Stores, clock: Clock) -> None:
        self._first = TrackKeeper(kept, clock)
        self._second = TrackKeeper(kept, clock)
        self._due: deque[tuple[float, Sequence[Waiting]]] = deque()
        self._held = 0

    async def keep(self, waiting: Sequence[Waiting]) -> int:
        """Store what belongs to a trip that is stored; how many points that was.

        Raises Unavailable.
        """
        count = await self._first.finish(waiting)
        self._due.append((asyncio.get_running_loop().time() + SETTLE_S, waiting))
        self._held += _size(waiting)
        while self._held > MAX_HELD:
            self._forget_oldest()
        return count

    async def run(self) -> None:
        """Work until cancelled; what MongoDB does not take is tried again."""
        while True:
            await asyncio.sleep(TICK_S)
            await self.settle(asyncio.get_running_loop().time())

    async def settle(self, until: float) -> None:
        """Look again at what was due by then (loop time), as far as MongoDB answers."""
        while self._due and self._due[0][0] <= until:
            waiting = self._due[0][1]
            try:
                await self._second.finish(waiting)
            except Unavailable:
                return
            except Exception:  # noqa: BLE001 - logged; others must not wait for it
                _log.exception("points could not be looked at again")
            if self._due and self._due[0][1] is waiting:
                self._forget_oldest()

    def _forget_oldest(self) -> None:
        self._held -= _size(self._due.popleft()[1])


def _size(waiting: Sequence[Waiting]) -> int:
    return sum(len(each.report.points) for each in waiting)
