"""How far a ride went: measured by its track once it has ended, and noted on the trip."""

from collections.abc import AsyncIterator
from typing import Final

from msgspec.structs import replace

from models import stores
from models.fields import Id, Millis
from models.odometer import Odometer
from models.points import Point
from models.tracks import Part, Phase, TrackMinute, minutes, parts
from models.trips import Trip

MINUTES_AT_ONCE: Final = 10
"""Of a track, how much is in memory while it is read: 600 points at one a second."""
MAX_MINUTES_AT_ONCE: Final = 160
"""The same where there was nothing for a while."""


class Meter:
    def __init__(self, kept: stores.Stores) -> None:
        self._trips = kept.trips
        self._tracks = kept.tracks

    async def measured(self, trip: Trip) -> Trip:
        """The trip with the distance of its ride, if it has ended and can be measured."""
        if trip.duration_ms is None or trip.distance_m is not None:
            return trip
        metres = await self._ride_m(trip)
        return trip if metres is None else replace(trip, distance_m=metres)

    async def measure(self, trip_id: Id) -> None:
        """Measure it anew: there are more points now."""
        record = await self._trips.get(trip_id)
        if record is not None and record.trip.duration_ms is not None:
            await self._ride_m(record.trip)

    async def _ride_m(self, trip: Trip) -> int | None:
        """Metres, noted on the trip; None without a point."""
        odometer = Odometer()
        seen = False
        for part in parts(trip):
            if part.phase is Phase.RIDE:
                async for points in points_of(self._tracks, trip.id, part, part.until):
                    seen = True
                    for point in points:
                        odometer.pass_by(point)
        if not seen:
            return None
        await self._trips.set_distance(trip.id, odometer.metres)
        return odometer.metres


async def points_of(
    tracks: stores.Tracks, trip_id: Id, part: Part, newest: Millis
) -> AsyncIterator[list[Point]]:
    """The points of a part up to a time (ms), oldest first, a few minutes of them at once."""
    to_read = minutes(part, newest)
    step = MINUTES_AT_ONCE
    while to_read:
        some, to_read = to_read[:step], to_read[step:]
        found = await tracks.read([TrackMinute(trip_id, part.driver_id, m) for m in some])
        step = MINUTES_AT_ONCE if found else min(2 * step, MAX_MINUTES_AT_ONCE)
        points = [point for point in found if part.since <= point.ts < part.until]
        if points:
            yield points
