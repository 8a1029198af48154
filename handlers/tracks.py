"""Tracks: where accepted points belong, and what a trip's track is to whoever asks."""

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Final

from msgspec import Struct

from handlers import access
from handlers.measuring import Meter, points_of
from handlers.ports import Clock
from models import stores
from models.errors import NotFound
from models.fields import Id, Millis
from models.filter import DEFAULT_LIMITS
from models.identity import Identity
from models.points import Point
from models.requests import TripTrack
from models.simplifying import Simplifier
from models.tracks import MINUTE_MS, Part, Report, Served, Stint, TrackMinute, parts
from models.trips import Relation, Trip

AHEAD_MS: Final = DEFAULT_LIMITS.future_ms
"""How much later than now an accepted point can be."""
REMEMBERED_MS: Final = 15_000
"""For how long it is remembered what a driver serves, for a first look."""
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

    __slots__ = ("kept_for", "report")

    def __init__(self, report: Report) -> None:
        self.report = report
        self.kept_for: set[tuple[Id, Millis]] = set()
        """The trip and beginning of each stint whose points are stored."""

    @property
    def oldest(self) -> Millis:
        return min(point.ts for point in self.report.points)


class _Known(Struct, frozen=True):
    """What a driver serves, as it was read."""

    trips: Sequence[Served]
    read_at: Millis


class TrackKeeper:
    """Stores points under trips. Twice is as good as once."""

    def __init__(self, kept: stores.Stores, clock: Clock) -> None:
        self._trips = kept.trips
        self._tracks = kept.tracks
        self._clock = clock
        self._meter = Meter(kept)
        self._known: dict[Id, _Known] = {}

    async def keep(self, waiting: Sequence[Waiting]) -> int:
        """Store, at a first look, what belongs to a trip that is known; how many points that was.

        A trip that was accepted just now may not be stored yet, and one that is remembered may
        have gone on: `keep_rest` finds what is missing. Raises Unavailable.
        """
        count = 0
        for some in _by_driver(waiting):
            await self._learn([each for each in some if not self._is_known(each.report)])
            count += await self._store(some)
        return count

    async def keep_rest(self, waiting: Sequence[Waiting]) -> int:
        """Store what a first look has not; how many points that was. Raises Unavailable.

        To be done some seconds after it, when every change of a trip is stored that was under way.
        """
        count = 0
        for some in _by_driver(waiting):
            await self._learn(some)
            count += await self._store(some)
        for trip_id in {trip_id for each in waiting for trip_id in self._ended(each)}:
            await self._meter.measure(trip_id)
        self._forget()
        return count

    def _is_known(self, report: Report) -> bool:
        """Whether, by what is remembered, the driver serves a trip all the time."""
        known = self._known.get(report.driver_id)
        return known is not None and any(
            stint.since <= report.points[0].ts and report.points[-1].ts < stint.until
            for trip in known.trips
            for stint in trip.stints
            if stint.driver_id == report.driver_id
        )

    async def _learn(self, waiting: Sequence[Waiting]) -> None:
        now = self._clock()
        live = [each for each in waiting if each.oldest >= now - LIVE_MS]
        late = [each for each in waiting if each.oldest < now - LIVE_MS]
        for some in (live, late):
            await self._read(some, now)

    async def _read(self, waiting: Sequence[Waiting], now: Millis) -> None:
        """Read what the drivers have served since the oldest of these points."""
        if not waiting:
            return
        found: dict[Id, list[Served]] = {each.report.driver_id: [] for each in waiting}
        since = max(min(each.oldest for each in waiting), now - LATEST_MS)
        for trip in await self._trips.served_by(found, since):
            for driver_id in {stint.driver_id for stint in trip.stints} & found.keys():
                found[driver_id].append(trip)
        self._known.update((driver_id, _Known(trips, now)) for driver_id, trips in found.items())

    async def _store(self, waiting: Sequence[Waiting]) -> int:
        found: dict[TrackMinute, list[Point]] = {}
        for each in waiting:
            for trip_id, stint in self._missing(each):
                _sort(each.report, trip_id, stint, found)
        if found:
            await self._tracks.add(found)
        for each in waiting:
            each.kept_for.update((trip_id, stint.since) for trip_id, stint in self._missing(each))
        return sum(map(len, found.values()))

    def _missing(self, each: Waiting) -> list[tuple[Id, Stint]]:
        """The stints that the driver served, and that the points are not stored for yet."""
        return [
            (trip.trip_id, stint)
            for trip in self._known[each.report.driver_id].trips
            for stint in trip.stints
            if stint.driver_id == each.report.driver_id
            and (trip.trip_id, stint.since) not in each.kept_for
        ]

    def _ended(self, each: Waiting) -> list[Id]:
        """The trips that have ended and have some of these points."""
        return [
            trip.trip_id
            for trip in self._known[each.report.driver_id].trips
            if trip.has_ended and trip.stints[-1].until > each.oldest
        ]

    def _forget(self) -> None:
        oldest = self._clock() - REMEMBERED_MS
        for driver_id in [d for d, known in self._known.items() if known.read_at < oldest]:
            del self._known[driver_id]


def _by_driver(waiting: Sequence[Waiting]) -> Iterator[list[Waiting]]:
    """In pieces, but of a driver all at once: more points of a minute are one write."""
    of_drivers: dict[Id, list[Waiting]] = {}
    for each in waiting:
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


def _sort(report: Report, trip_id: Id, stint: Stint, found: dict[TrackMinute, list[Point]]) -> None:
    """Put the points of a stint into their minutes."""
    minute, into = -1, list[Point]()
    for point in report.points:
        if stint.since <= point.ts < stint.until:
            if point.ts // MINUTE_MS != minute:
                minute = point.ts // MINUTE_MS
                into = found.setdefault(TrackMinute(trip_id, report.driver_id, minute), [])
            into.append(point)


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
