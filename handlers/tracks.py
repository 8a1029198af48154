"""Tracks: where accepted points belong, and what a trip's track is to whoever asks."""

from asyncio import CancelledError
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from handlers import access
from handlers.measuring import Meter, points_of
from handlers.ports import Clock
from handlers.served import ServedTrips
from models import stores
from models.errors import NotFound, Unavailable
from models.fields import Id, Millis
from models.filter import DEFAULT_LIMITS
from models.identity import Identity
from models.points import Point
from models.requests import TripTrack
from models.simplifying import Simplifier
from models.tracks import MINUTE_MS, Part, Report, Stint, TrackMinute, parts
from models.trips import Relation, Trip
from models.turns import in_turns

AHEAD_MS: Final = DEFAULT_LIMITS.future_ms
"""How much later than now an accepted point can be."""
LIVE_MS: Final = 60_000
"""Drivers whose points are no older are looked up together: few trips have ended since."""
DRIVERS_AT_ONCE: Final = 500
POINTS_AT_ONCE: Final = 5_000
"""More is looked up and stored piece by piece: others get their turn, no piece is too much for the
store, and what is stored stays so if that goes away.
"""
LATEST_MS: Final = 7 * 86_400_000
"""How late a point may come and still be sorted into the track of a trip that has ended."""


class Waiting:
    """A report on its way into the tracks."""

    __slots__ = ("kept_for", "newest", "oldest", "report")

    def __init__(self, report: Report) -> None:
        """The report has points."""
        self.report = report
        self.kept_for: set[tuple[Id, Millis]] = set()
        """The trip and beginning of each stint whose points are stored."""
        times = [point.ts for point in report.points]
        self.oldest: Millis = min(times)
        self.newest: Millis = max(times)


class TrackKeeper:
    """Stores points under trips. Twice is as good as once."""

    def __init__(self, kept: stores.Stores, clock: Clock) -> None:
        self._tracks = kept.tracks
        self._clock = clock
        self._meter = Meter(kept)
        self._served = ServedTrips(kept.trips, clock)

    async def catch_up(self) -> None:
        """Know what is stored of trips now: `keep` goes by it. Raises Unavailable."""
        with self._distrusting():
            await self._served.catch_up()

    async def keep(self, waiting: Sequence[Waiting]) -> int:
        """Store what belongs to a trip that was stored when `catch_up` was called last.

        Returns how many points that was; what was stored before is not stored again. Raises
        Unavailable. A trip that was accepted just now may not be there yet: some seconds later,
        when every change is stored that was under way, it is found.
        """
        count = 0
        with self._distrusting():
            async for some in _by_driver(waiting):
                await self._learn(some)
                count += await self._store(some)
        return count

    async def measure(self, waiting: Sequence[Waiting]) -> None:
        """Measure the rides that have ended, of those that were kept. Raises Unavailable."""
        for trip_id in {trip_id for each in waiting for trip_id in self._ended(each)}:
            await self._meter.measure(trip_id)

    @contextmanager
    def _distrusting(self) -> Iterator[None]:
        """Whoever gave the store less time than it would have had, had no answer either."""
        try:
            yield
        except (Unavailable, CancelledError):
            self._served.distrust()
            raise

    async def _learn(self, waiting: Sequence[Waiting]) -> None:
        """Know what the drivers have served since their oldest points; late ones apart."""
        now = self._clock()
        live: dict[Id, Millis] = {}
        late: dict[Id, Millis] = {}
        async for each in in_turns(waiting, _weight):
            oldest = max(each.oldest, now - LATEST_MS)
            into = live if oldest >= now - LIVE_MS else late
            into[each.report.driver_id] = min(oldest, into.get(each.report.driver_id, oldest))
        for drivers in (late, live):
            await self._served.learn(drivers)

    async def _store(self, waiting: Sequence[Waiting]) -> int:
        found: dict[TrackMinute, list[Point]] = {}
        sorted_in = []
        async for each in in_turns(waiting, _weight):
            sorted_in += [
                (each, (trip_id, stint.since))
                for trip_id, stint in self._missing(each)
                if _sort(each, trip_id, stint, found)
            ]
        if found:
            await self._tracks.add(found)
        for each, stored in sorted_in:
            each.kept_for.add(stored)
        return sum(map(len, found.values()))

    def _missing(self, each: Waiting) -> list[tuple[Id, Stint]]:
        """The stints that the driver served, and that the points are not stored for yet."""
        return [
            (trip.trip_id, stint)
            for trip in self._served.of(each.report.driver_id)
            for stint in trip.stints
            if stint.driver_id == each.report.driver_id
            and (trip.trip_id, stint.since) not in each.kept_for
        ]

    def _ended(self, each: Waiting) -> list[Id]:
        """The trips that have ended and have some of these points."""
        return [
            trip.trip_id
            for trip in self._served.of(each.report.driver_id)
            if trip.has_ended and trip.stints[-1].until > each.oldest
        ]


def _weight(waiting: Waiting) -> int:
    return len(waiting.report.points)


async def _by_driver(waiting: Sequence[Waiting]) -> AsyncIterator[list[Waiting]]:
    """In pieces, but of a driver all at once: more points of a minute are one write."""
    of_drivers: dict[Id, list[Waiting]] = {}
    async for each in in_turns(waiting, _weight):
        of_drivers.setdefault(each.report.driver_id, []).append(each)
    some: list[Waiting] = []
    drivers = points = 0
    for of_driver in of_drivers.values():
        some += of_driver
        drivers += 1
        points += sum(len(each.report.points) for each in of_driver)
        if drivers >= DRIVERS_AT_ONCE or points >= POINTS_AT_ONCE:
            yield some
            some, drivers, points = [], 0, 0
    if some:
        yield some


def _sort(each: Waiting, trip_id: Id, stint: Stint, found: dict[TrackMinute, list[Point]]) -> bool:
    """Put the points of a stint into their minutes; whether there were any."""
    report, minute = each.report, each.oldest // MINUTE_MS
    if stint.since <= each.oldest and each.newest < min(stint.until, (minute + 1) * MINUTE_MS):
        found.setdefault(TrackMinute(trip_id, report.driver_id, minute), []).extend(report.points)
        return True  # as mostly: all of one minute
    minute, into = -1, list[Point]()
    for point in report.points:
        if stint.since <= point.ts < stint.until:
            if point.ts // MINUTE_MS != minute:
                minute = point.ts // MINUTE_MS
                into = found.setdefault(TrackMinute(trip_id, report.driver_id, minute), [])
            into.append(point)
    return minute >= 0


class TrackReading:
    """A trip's track, for one caller: read as it is needed, piece by piece."""

    def __init__(
        self, trip: Trip, seen: Sequence[Part], tracks: stores.Tracks, newest: Millis
    ) -> None:
        self.trip = trip
        self.parts = seen
        self._tracks = tracks
        self._newest = newest

    async def points(self, part: Part, tolerance_m: int = 0) -> AsyncIterator[Sequence[Point]]:
        """The points of a part, oldest first, some at once; the fewer the greater the tolerance.

        Raises Unavailable.
        """
        if not tolerance_m:
            async for points in points_of(self._tracks, self.trip.id, part, self._newest):
                yield points
            return
        simplifier = Simplifier(tolerance_m)
        async for points in points_of(self._tracks, self.trip.id, part, self._newest):
            if kept := simplifier.take(points):
                yield kept
        if rest := simplifier.end():
            yield rest


class TrackHandler:
    def __init__(self, kept: stores.Stores, clock: Clock) -> None:
        self._trips = kept.trips
        self._tracks = kept.tracks
        self._meter = Meter(kept)
        self._clock = clock

    async def read(self, caller: Identity, request: TripTrack) -> TrackReading:
        """Raises NotFound for whom the trip is nothing to. A driver sees its own parts."""
        record = await self._trips.get(request.trip_id)
        if record is None:
            raise NotFound("trip")
        relation = access.relation_to(record.trip, caller, request.event)
        seen = [
            part
            for part in parts(record.trip)
            if relation is not Relation.DRIVER or part.driver_id == caller.user_id
        ]
        trip = await self._meter.measured(record.trip)
        return TrackReading(trip, seen, self._tracks, self._clock() + AHEAD_MS)
