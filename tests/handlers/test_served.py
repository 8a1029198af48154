"""What is remembered of what drivers served is what is stored, and is seldom read."""

from collections.abc import Collection, Sequence

import pytest

from handlers.served import FORGET_MS, HORIZON_MS, MAX_GAP_MS, OVERLAP_MS, ServedTrips
from models.errors import Unavailable
from models.tracks import Served
from tests.handlers.world import ANN, NOW, MemoryTrips, World


class CountedTrips(MemoryTrips):
    """Notes of whom it was asked what they served."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[set[str]] = []
        self.is_away = False

    async def served_by(self, driver_ids: Collection[str], since: int) -> Sequence[Served]:
        self.asked.append(set(driver_ids))
        return await super().served_by(driver_ids, since)

    async def served_lately(self, since: int) -> Sequence[Served]:
        if self.is_away:
            raise Unavailable("the store is away")
        return await super().served_lately(since)


@pytest.fixture
def trips() -> CountedTrips:
    return CountedTrips()


@pytest.fixture
def world(trips: CountedTrips) -> World:
    return World(trips)


@pytest.fixture
def served(world: World) -> ServedTrips:
    return ServedTrips(world.stores.trips, world.clock)


def ids(served: ServedTrips, driver_id: str = "dan") -> set[str]:
    return {trip.trip_id for trip in served.of(driver_id)}


async def test_a_driver_is_read_once_and_what_changes_then_is_known(
    world: World, trips: CountedTrips, served: ServedTrips
) -> None:
    first = await world.trip_in("accepted")
    await served.learn({"dan": NOW})
    world.clock.now += 10_000
    second = await world.trip_in("accepted")
    await world.move(ANN, first, "cancelled")
    await served.catch_up()
    await served.learn({"dan": NOW})
    assert {trip.trip_id: trip.has_ended for trip in served.of("dan")} == {
        first.id: True,
        second.id: False,
    }
    assert trips.asked == [{"dan"}]


async def test_a_change_that_was_stored_late_or_by_a_slow_clock_is_found(
    world: World, served: ServedTrips
) -> None:
    await served.learn({"dan": NOW})
    world.clock.now += OVERLAP_MS
    await served.catch_up()
    world.clock.now = NOW
    trip = await world.trip_in("accepted")
    world.clock.now += OVERLAP_MS + 5_000
    await served.catch_up()
    assert ids(served) == {trip.id}


async def test_nobody_is_told_of_another_drivers_trip(world: World, served: ServedTrips) -> None:
    await served.learn({"dan": NOW, "eve": NOW})
    trip = await world.trip_in("accepted")
    await served.catch_up()
    assert (ids(served), ids(served, "eve")) == ({trip.id}, set())


async def test_points_from_before_what_is_known_are_looked_up(
    world: World, trips: CountedTrips, served: ServedTrips
) -> None:
    trip = await world.trip_in("completed")
    world.clock.now += HORIZON_MS + 10_000
    await served.learn({"dan": world.clock()})
    assert ids(served) == set()
    await served.learn({"dan": NOW})
    assert ids(served) == {trip.id}
    assert len(trips.asked) == 2


async def test_after_a_long_absence_of_the_store_drivers_are_read_anew(
    world: World, trips: CountedTrips, served: ServedTrips
) -> None:
    await served.learn({"dan": NOW})
    trips.is_away = True
    world.clock.now += MAX_GAP_MS
    with pytest.raises(Unavailable):
        await served.catch_up()
    trip = await world.trip_in("accepted")
    world.clock.now += 1
    await served.catch_up()
    await served.learn({"dan": NOW})
    assert ids(served) == {trip.id}
    assert len(trips.asked) == 2


async def test_what_the_store_did_not_answer_is_asked_again(
    world: World, trips: CountedTrips, served: ServedTrips
) -> None:
    await served.learn({"dan": NOW})
    trip = await world.trip_in("accepted")
    world.clock.now += OVERLAP_MS + 1
    trips.is_away = True
    with pytest.raises(Unavailable):
        await served.catch_up()
    trips.is_away = False
    await served.catch_up()
    assert ids(served) == {trip.id}


async def test_after_an_absence_of_the_store_drivers_are_read_anew_for_a_while(
    world: World, trips: CountedTrips, served: ServedTrips
) -> None:
    await served.learn({"dan": NOW})
    served.distrust()
    for _ in range(2):
        world.clock.now += OVERLAP_MS // 3
        await served.catch_up()
        await served.learn({"dan": NOW})
    assert len(trips.asked) == 3
    world.clock.now += OVERLAP_MS
    await served.catch_up()
    await served.learn({"dan": NOW})
    assert len(trips.asked) == 3


async def test_who_is_not_asked_for_and_what_is_long_over_is_forgotten(
    world: World, trips: CountedTrips, served: ServedTrips
) -> None:
    trip = await world.trip_in("completed")
    await served.learn({"dan": NOW, "eve": NOW})
    assert ids(served) == {trip.id}
    for _ in range(0, HORIZON_MS + 2 * FORGET_MS, FORGET_MS):
        world.clock.now += FORGET_MS
        await served.catch_up()
        await served.learn({"dan": world.clock()})
    assert ids(served) == set()
    with pytest.raises(KeyError):
        served.of("eve")
    assert trips.asked == [{"dan", "eve"}]
