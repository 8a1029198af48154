"""Which trips drivers served: read once for each driver, and kept up with what changes since.

To ask for every driver every few seconds would be more work than to store its points.
"""

from collections.abc import Collection, Mapping
from typing import Final

from handlers.ports import Clock
from models import stores
from models.fields import Id, Millis
from models.tracks import Served

OVERLAP_MS: Final = 30_000
"""How far back changes are read once more: 20 s that clocks may differ by, 10 s that a write takes.
"""
MAX_GAP_MS: Final = 60_000
"""After more than that without an answer drivers are read anew: fewer at a time than all changes.
"""
HORIZON_MS: Final = 20 * 60_000
"""For how long the trips that have ended are remembered: points that come later are rare."""
FORGET_MS: Final = 60_000
"""A driver is forgotten who was not asked for in so long."""


class _Driver:
    """What a driver has served from `since` on."""

    __slots__ = ("asked_at", "since", "trips")

    def __init__(self, since: Millis, asked_at: Millis) -> None:
        self.since = since
        self.asked_at = asked_at
        self.trips: dict[Id, Served] = {}

    def take(self, trip: Served) -> None:
        self.trips[trip.trip_id] = trip

    def forget_before(self, since: Millis) -> None:
        if since <= self.since:
            return
        self.since = since
        for trip in [t for t in self.trips.values() if t.until <= since]:
            del self.trips[trip.trip_id]


class ServedTrips:
    """What is remembered of the drivers whose points came lately: some 1 KB each."""

    def __init__(self, trips: stores.Trips, clock: Clock) -> None:
        self._trips = trips
        self._clock = clock
        self._drivers: dict[Id, _Driver] = {}
        self._caught_up_at = self._tidied_at = clock()
        self._distrusted_until: Millis = 0

    def of(self, driver_id: Id) -> Collection[Served]:
        """The trips of a driver that was learned."""
        return self._drivers[driver_id].trips.values()

    def distrust(self) -> None:
        """The store did not answer: a change may show long after the time that it bears.

        For a while after its return drivers are read anew.
        """
        self._distrusted_until = self._clock() + OVERLAP_MS

    async def catch_up(self) -> None:
        """Know every change that was stored before this was called. Raises Unavailable."""
        now = self._clock()
        if now < self._distrusted_until or not 0 <= now - self._caught_up_at <= MAX_GAP_MS:
            self._drivers.clear()
        if self._drivers:
            for trip in await self._trips.served_lately(self._caught_up_at - OVERLAP_MS):
                self._take(trip, self._drivers)
        self._caught_up_at = now
        self._tidy(now)

    async def learn(self, oldest: Mapping[Id, Millis]) -> None:
        """Know what each of these drivers served since then, ms. Raises Unavailable."""
        now = self._clock()
        missing: dict[Id, _Driver] = {}
        for driver_id, since in oldest.items():
            driver = self._drivers.get(driver_id)
            if driver is None or since < driver.since:
                missing[driver_id] = _Driver(min(since, now - HORIZON_MS), now)
            else:
                driver.asked_at = now
        if missing:
            earliest = min(driver.since for driver in missing.values())
            for trip in await self._trips.served_by(missing, earliest):
                self._take(trip, missing)
            self._drivers |= missing

    def _take(self, trip: Served, into: Mapping[Id, _Driver]) -> None:
        for driver_id in {stint.driver_id for stint in trip.stints} & into.keys():
            into[driver_id].take(trip)

    def _tidy(self, now: Millis) -> None:
        if 0 <= now - self._tidied_at < FORGET_MS:
            return
        self._tidied_at = now
        for driver_id in [
            d for d, known in self._drivers.items() if known.asked_at < now - FORGET_MS
        ]:
            del self._drivers[driver_id]
        for driver in self._drivers.values():
            driver.forget_before(now - HORIZON_MS)
