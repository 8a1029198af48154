"""A driver's points: which are news, where the newest goes. Synchronous: nothing waits for it."""

from collections.abc import Iterable
from typing import Final

from handlers.answers import Located, Rejected
from handlers.ports import Clock, Drivers, Show
from models.facts import TripLocation
from models.fields import Id, Millis
from models.points import Point, Sighting

FUTURE_MS: Final = 5_000
"""How far a phone's clock may be ahead."""


class Reporter:
    """One driver's stream of points from one device: the newest accepted one decides."""

    __slots__ = ("device", "driver_id", "newest", "newest_device")

    def __init__(self, driver_id: Id, device: str, last: Sighting | None) -> None:
        self.driver_id = driver_id
        self.device = device
        self.newest = last.point if last else None
        self.newest_device = last.device if last else device

    def judge(self, point: Point, now: Millis) -> str | None:
        """Why a point is not taken; None for one that is."""
        newest = self.newest
        if point.ts > now + FUTURE_MS:
            return "future"
        if newest is None:
            return None
        if point.ts == newest.ts or self._is_repeated(point, newest):
            return "duplicate"
        return "stale" if point.ts < newest.ts else None

    def take(self, point: Point) -> None:
        self.newest = point
        self.newest_device = self.device

    def _is_repeated(self, point: Point, newest: Point) -> bool:
        return point.seq == newest.seq and self.device == self.newest_device


class LocationHandler:
    def __init__(self, drivers: Drivers, show: Show, clock: Clock) -> None:
        self._drivers = drivers
        self._show_location = show
        self._clock = clock

    def take(self, reporter: Reporter, point: Point, trips: Iterable[Id]) -> str | None:
        """Take one point, and show it to the trips that the driver serves.

        Returns why it was not taken; None for one that was.
        """
        now = self._clock()
        code = reporter.judge(point, now)
        if code is None:
            reporter.take(point)
            self._show(reporter, point, now, trips)
        return code

    def report(
        self, reporter: Reporter, points: Iterable[Point | Rejected], trips: Iterable[Id]
    ) -> Located:
        """Take the points in order; the newest goes to the trips that the driver serves.

        What could not be read as a point arrives as rejected already, at its place.
        """
        now = self._clock()
        before = reporter.newest
        accepted = 0
        rejected: list[Rejected] = []
        for point in points:
            if isinstance(point, Rejected):
                rejected.append(point)
            elif code := reporter.judge(point, now):
                rejected.append(Rejected(point.seq, code))
            else:
                reporter.take(point)
                accepted += 1
        if reporter.newest is not None and reporter.newest is not before:
            self._show(reporter, reporter.newest, now, trips)
        return Located(accepted=accepted, rejected=rejected)

    def _show(self, reporter: Reporter, point: Point, now: Millis, trips: Iterable[Id]) -> None:
        self._drivers.saw(Sighting(reporter.driver_id, point, reporter.device, now))
        for trip_id in trips:
            self._show_location(TripLocation.of(trip_id, point), reporter.driver_id, now)
