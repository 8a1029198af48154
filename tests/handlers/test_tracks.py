"""Points find the tracks of the trips that their drivers served at the time."""

from collections.abc import Collection, Mapping, Sequence

import pytest

from handlers.measuring import Meter, points_of
from handlers.tracks import LATEST_MS, POINTS_AT_ONCE, TrackKeeper, Waiting
from models.errors import Unavailable
from models.points import Point
from models.tracks import MINUTE_MS, Part, Phase, Report, Served, Stint, TrackMinute, parts
from models.trips import Trip
from tests.handlers.world import ANN, NOW, MemoryTracks, World


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def keeper(world: World) -> TrackKeeper:
    return TrackKeeper(world.stores, world.clock)


def point(ts: int, seq: int = 0) -> Point:
    return Point(lat=52.5 + (ts - NOW) / 1e8, lng=13.4, ts=ts, seq=seq)


def report(*times: int, driver_id: str = "dan") -> Waiting:
    return Waiting(Report(driver_id, [point(NOW + ts) for ts in times]))


async def track(world: World, trip: Trip) -> list[int]:
    """When the points of a trip were measured, in ms after the beginning of all."""
    stored = (await world.stored(trip.id)).trip
    return [
        point.ts - NOW
        for part in parts(stored)
        async for points in points_of(world.stores.tracks, trip.id, part, NOW + 10**9)
        for point in points
    ]


async def served(world: World, since: int, until: int) -> Trip:
    """A trip that dan served from then to then, in ms after the beginning of all."""
    world.clock.now = NOW + since
    trip = await world.new_trip()
    for at, status in ((since, "accepted"), (since, "arrived"), (since, "in_progress")):
        world.clock.now = NOW + at
        trip = await world.move(ANN, trip, status, driver_id="dan")
    world.clock.now = NOW + until
    return await world.move(ANN, trip, "completed")


async def test_the_moments_of_beginning_and_end_belong_to_the_trip(
    world: World, keeper: TrackKeeper
) -> None:
    trip = await served(world, 1_000, 5_000)
    assert await keeper.keep([report(999, 1_000, 3_000, 5_000, 5_001)]) == 3
    assert await track(world, trip) == [1_000, 3_000, 5_000]


async def test_a_report_that_begins_before_the_trip_or_ends_after_it_is_not_all_of_it(
    world: World, keeper: TrackKeeper
) -> None:
    trip = await served(world, 1_000, 5_000)
    assert await keeper.keep([report(1_000, 5_000)]) == 2
    assert await keeper.keep([report(2_000, 5_001)]) == 1
    assert await keeper.keep([report(999, 3_000)]) == 1
    assert await track(world, trip) == [1_000, 2_000, 3_000, 5_000]


async def test_each_point_is_in_its_own_minute(world: World, keeper: TrackKeeper) -> None:
    trip = await served(world, 0, 3 * MINUTE_MS)
    await keeper.keep([report(0, MINUTE_MS - 1), report(MINUTE_MS - 2, MINUTE_MS)])
    minutes = [TrackMinute(trip.id, "dan", NOW // MINUTE_MS + each) for each in range(2)]
    stored = [await world.stores.tracks.read([minute]) for minute in minutes]
    assert [[point.ts - NOW for point in points] for points in stored] == [
        [0, MINUTE_MS - 2, MINUTE_MS - 1],
        [MINUTE_MS],
    ]


async def test_points_go_to_every_trip_that_was_served_at_the_time(
    world: World, keeper: TrackKeeper
) -> None:
    first, second = await served(world, 0, 4_000), await served(world, 3_000, 7_000)
    await keeper.keep([report(1_000, 3_500, 6_000)])
    assert await track(world, first) == [1_000, 3_500]
    assert await track(world, second) == [3_500, 6_000]


async def test_nobody_elses_points_are_in_it(world: World, keeper: TrackKeeper) -> None:
    trip = await served(world, 0, 5_000)
    assert await keeper.keep([report(1_000, driver_id="eve")]) == 0
    assert await track(world, trip) == []


async def test_a_driver_who_was_taken_off_leaves_its_part(
    world: World, keeper: TrackKeeper
) -> None:
    trip = await world.new_trip()
    for at, status in ((1_000, "accepted"), (2_000, "requested"), (5_000, "cancelled")):
        world.clock.now = NOW + at
        trip = await world.move(ANN, trip, status, driver_id="dan")
    await keeper.keep([report(500, 1_500, 2_500)])
    assert await track(world, trip) == [1_500]


async def test_what_is_sent_again_is_stored_once(world: World, keeper: TrackKeeper) -> None:
    trip = await served(world, 0, 5_000)
    waiting = report(1_000, 2_000)
    assert await keeper.keep([waiting]) == 2
    assert await keeper.keep([waiting]) == 0
    await keeper.keep([report(1_000, 2_000)])
    assert await track(world, trip) == [1_000, 2_000]


async def test_a_trip_that_was_stored_a_moment_too_late_is_found_at_the_second_look(
    world: World, keeper: TrackKeeper
) -> None:
    earlier = await served(world, 0, 1_500)
    waiting = report(1_000, 2_000)
    await keeper.keep([waiting])
    trip = await served(world, 500, 3_000)
    await keeper.catch_up()
    assert await keeper.keep([waiting]) == 2
    assert await track(world, trip) == [1_000, 2_000]
    assert await track(world, earlier) == [1_000]


async def test_a_point_that_is_a_week_late_is_in_no_track(
    world: World,
) -> None:
    trip = await served(world, 0, 5_000)
    for late, seq in ((900_000, 1_000), (LATEST_MS + 6_000, 2_000)):
        world.clock.now = NOW + late
        await TrackKeeper(world.stores, world.clock).keep([report(seq)])
    assert await track(world, trip) == [1_000]


async def test_what_is_stored_of_much_stays_so_when_the_store_goes_away(
    world: World, keeper: TrackKeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = [report(*range(1_000), driver_id=f"d{n}") for n in range(POINTS_AT_ONCE // 1_000)]
    drivers = ["dan", *(each.report.driver_id for each in others)]
    trips = [Served(f"of {driver_id}", [Stint(driver_id, NOW)]) for driver_id in drivers]
    tracks, asked, looked_up = world.stores.tracks, list[set[str]](), list[set[str]]()
    store, is_away = tracks.add, True

    async def add(points: Mapping[TrackMinute, Sequence[Point]]) -> None:
        asked.append({minute.driver_id for minute in points})
        if is_away and len(asked) > 1:
            raise Unavailable("the store is away")
        await store(points)

    async def served_by(driver_ids: Collection[str], _since: int) -> Sequence[Served]:
        looked_up.append(set(driver_ids))
        return trips

    monkeypatch.setattr(tracks, "add", add)
    monkeypatch.setattr(world.stores.trips, "served_by", served_by)
    waiting = [*others, report(0), report(1)]
    with pytest.raises(Unavailable):
        await keeper.keep(waiting)
    is_away = False
    await keeper.catch_up()
    assert await keeper.keep(waiting) == 2
    assert asked == [set(drivers) - {"dan"}, {"dan"}, {"dan"}]
    assert looked_up == 2 * asked[:2], "after an absence nothing is remembered"


class TestDistance:
    async def test_it_is_measured_when_the_last_points_are_there(
        self, world: World, keeper: TrackKeeper
    ) -> None:
        trip = await served(world, 0, 100_000)
        waiting = report(0, 50_000, 100_000)
        await keeper.keep([waiting])
        assert (await world.stored(trip.id)).trip.distance_m is None
        await keeper.measure([waiting])
        stored = (await world.stored(trip.id)).trip
        assert (stored.distance_m, stored.duration_ms) == (111, 100_000)
        assert stored.version == trip.version

    async def test_late_points_make_it_longer(self, world: World, keeper: TrackKeeper) -> None:
        trip = await served(world, 0, 200_000)
        for waiting in (report(0, 100_000), report(200_000)):
            await keeper.keep([waiting])
            await keeper.measure([waiting])
        assert (await world.stored(trip.id)).trip.distance_m == 222

    async def test_the_approach_is_not_in_it(self, world: World, keeper: TrackKeeper) -> None:
        trip = await world.new_trip()
        moves = ((0, "accepted"), (0, "arrived"), (100_000, "in_progress"), (200_000, "completed"))
        for at, status in moves:
            world.clock.now = NOW + at
            trip = await world.move(ANN, trip, status, driver_id="dan")
        waiting = report(0, 50_000, 100_000, 200_000)
        await keeper.keep([waiting])
        await keeper.measure([waiting])
        assert (await world.stored(trip.id)).trip.distance_m == 111

    async def test_a_ride_without_a_point_has_none(self, world: World) -> None:
        trip = await served(world, 0, 5_000)
        assert (await Meter(world.stores).measured(trip)).distance_m is None

    async def test_a_trip_that_was_never_in_progress_has_neither(self, world: World) -> None:
        trip = await world.trip_in("cancelled")
        assert await Meter(world.stores).measured(trip) == trip
        assert trip.duration_ms is None


async def test_a_long_silence_is_read_in_large_steps(world: World) -> None:
    tracks = world.stores.tracks
    assert isinstance(tracks, MemoryTracks)
    part = Part("dan", Phase.RIDE, 0, 60_000 * 1_000)
    assert [points async for points in points_of(tracks, "t1", part, NOW)] == []
    assert tracks.asked == [10, 20, 40, 80, 160, 160, 160, 160, 160, 50]
