"""Takes points from the stream and has them kept. One runs in every instance; they share the work.

Each entry is looked at twice: as it comes, so that tracks are up to date; and `SETTLE_S` later,
because a trip that had just been accepted may not have been stored the first time. Then it is
removed.
"""

import asyncio
import logging
from collections.abc import Iterable
from itertools import chain
from typing import Final

from redis.exceptions import RedisError

from handlers.tracks import TrackKeeper, Waiting
from models.errors import RidewireError
from realtime.metrics import Metrics
from realtime.track_stream import LEASE_S, Entry, Lag, TrackStream

_log = logging.getLogger(__name__)

TICK_S: Final = 0.5
SETTLE_S: Final = 6.0
"""Longer than a command may take, and a write of it, together."""
POINTS_PER_S: Final = 1_000
MAX_GATHER_S: Final = 5.0
"""When there is much to do, it is done less often: more points of a trip are one write."""
RENEW_S: Final = LEASE_S / 4
MAX_HELD: Final = 100_000
"""Points in memory, some 300 bytes each. While there are more, no more are taken."""
CLEAN_S: Final = 600.0


class _Held:
    """An entry that this instance has."""

    __slots__ = ("entry", "looked_at", "waiting")

    def __init__(self, entry: Entry) -> None:
        self.entry = entry
        self.waiting = [Waiting(report) for report in entry.reports if report.points]
        self.looked_at: float | None = None
        """When it was looked at for the first time (loop time)."""

    @property
    def size(self) -> int:
        return sum(len(each.report.points) for each in self.waiting)


class Archiver:
    def __init__(self, stream: TrackStream, keeper: TrackKeeper, metrics: Metrics) -> None:
        self.lag = Lag()
        self._stream = stream
        self._keeper = keeper
        self._counts = metrics.track_points.counts
        self._held: dict[str, _Held] = {}
        self._renewed_at = self._look_at = self._settled_at = self._cleaned_at = 0.0
        self._away = False

    async def run(self) -> None:
        """Work until cancelled; what a store's absence interrupts is done when it is back."""
        while True:
            await asyncio.sleep(TICK_S)
            try:
                await self.turn()
                self._away = False
            except (RidewireError, RedisError, OSError) as error:
                if not self._away:
                    _log.warning("tracks wait for their store: %s", error)
                self._away = True
            except Exception:  # noqa: BLE001 - logged; the next turn may do better
                _log.exception("points could not be put into tracks")

    async def turn(self) -> None:
        now = asyncio.get_running_loop().time()
        self.lag = await self._stream.lag()
        await self._take()
        await self._renew(now)
        await self._look(now)
        await self._settle(now)

    async def _take(self) -> None:
        while sum(held.size for held in self._held.values()) < MAX_HELD:
            taken = await self._stream.take()
            for entry in taken:
                self._held.setdefault(entry.id, _Held(entry))
            if not taken:
                return

    async def _renew(self, now: float) -> None:
        if now - self._renewed_at >= RENEW_S:
            await self._stream.renew([held.entry for held in self._held.values()])
            self._renewed_at = now
        if now - self._cleaned_at >= CLEAN_S:
            await self._stream.forget_consumers()
            self._cleaned_at = now

    async def _look(self, now: float) -> None:
        """The first look at what is new."""
        new = [held for held in self._held.values() if held.looked_at is None]
        if not new or now < self._look_at:
            return
        self._counts["kept"] += await self._keeper.keep(_waiting(new))
        for held in new:
            held.looked_at = now
        count = sum(held.size for held in new)
        self._look_at = now + min(count / POINTS_PER_S, MAX_GATHER_S)

    async def _settle(self, now: float) -> None:
        """The second look, for many at once: what has changed is read for all of them."""
        if now - self._settled_at < SETTLE_S:
            return
        self._settled_at = now
        due = [h for h in self._held.values() if h.looked_at and h.looked_at <= now - SETTLE_S]
        if due:
            self._counts["kept"] += await self._keeper.finish(_waiting(due))
            await self._stream.remove([held.entry for held in due])
            for held in due:
                del self._held[held.entry.id]


def _waiting(held: Iterable[_Held]) -> list[Waiting]:
    return list(chain.from_iterable(each.waiting for each in held))
