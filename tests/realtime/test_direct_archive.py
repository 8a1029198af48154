"""Points that are kept without Redis."""

from math import inf

from handlers.measuring import points_of
from handlers.tracks import Waiting
from models.points import Point
from models.tracks import Report, parts
from realtime.direct_archive import DirectArchive
from tests.handlers.world import World


async def test_points_of_a_trip_that_was_just_being_stored_are_found_at_the_second_look() -> None:
    world = World()
    archive = DirectArchive(world.stores, world.clock)
    point = Point(lat=52.5, lng=13.4, ts=world.clock() + 1_000, seq=1)
    assert await archive.keep([Waiting(Report("dan", [point]))]) == 0
    trip = await world.trip_in("accepted")
    await archive.settle(until=0)
    assert await _track(world, trip.id) == []
    await archive.settle(inf)
    assert await _track(world, trip.id) == [point]


async def _track(world: World, trip_id: str) -> list[Point]:
    trip = (await world.stored(trip_id)).trip
    return [
        point
        for part in parts(trip)
        async for points in points_of(world.stores.tracks, trip.id, part, world.clock() + 10**6)
        for point in points
    ]
