"""Points that are kept without Redis."""

from collections.abc import Sequence
from math import inf

import pytest

from handlers.measuring import points_of
from handlers.tracks import DRIVERS_AT_ONCE
from models.points import Point
from models.tracks import Report, Served, parts
from realtime import direct_archive
from realtime.direct_archive import DirectArchive
from realtime.metrics import Metrics
from tests.handlers.world import NOW, MemoryTrips, World
from tests.realtime.refusing import Refusing, of_driver

POINT = Point(lat=52.5, lng=13.4, ts=NOW + 1_000, seq=1)


class CountedTrips(MemoryTrips):
    """Counts how often it was asked for what changed lately; the first answers may be faults."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0
        self.faults = 0

    async def served_lately(self, since: int) -> Sequence[Served]:
        self.asked += 1
        if self.asked <= self.faults:
            raise RuntimeError("a fault")
        return await super().served_lately(since)


class Archive:
    def __init__(self, trips: MemoryTrips | None = None) -> None:
        self.world = World(trips)
        self.metrics = Metrics()
        self.archive = DirectArchive(self.world.stores, self.world.clock, self.metrics)

    async def keep(self, *driver_ids: str) -> list[str]:
        """Whose points are safe, of these drivers."""
        safe: list[Report] = []
        await self.archive.keep(
            [Report(driver_id, [POINT]) for driver_id in driver_ids], safe.extend
        )
        return [report.driver_id for report in safe]

    async def track(self, trip_id: str) -> list[Point]:
        trip = (await self.world.stored(trip_id)).trip
        return [
            point
            for part in parts(trip)
            async for points in points_of(self.world.stores.tracks, trip.id, part, NOW + 10**6)
            for point in points
        ]


async def test_points_of_a_trip_that_was_just_being_stored_are_found_at_the_second_look() -> None:
    archive = Archive()
    assert await archive.keep("dan") == ["dan"]
    trip = await archive.world.trip_in("accepted")
    await archive.archive.settle(until=0)
    assert await archive.track(trip.id) == []
    await archive.archive.settle(inf)
    assert await archive.track(trip.id) == [POINT]


async def test_one_drivers_points_keep_no_others_from_being_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    archive = Archive()
    drivers = [f"d{n}" for n in range(5)]
    trips = [await archive.world.trip_in("accepted", driver_id=each) for each in drivers]
    store = Refusing(archive.world, monkeypatch, of_driver("d1"))
    assert await archive.keep(*drivers) == ["d0", "d2", "d3", "d4"]
    assert [len(await archive.track(trip.id)) for trip in trips] == [1, 0, 1, 1, 1]
    store.asked.clear()
    assert await archive.keep(*drivers) == ["d0", "d2", "d3", "d4"]
    assert store.asked == [{"d0", "d2", "d3", "d4"}], "what was refused just now is left alone"


async def test_the_second_look_goes_on_after_what_the_store_refuses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    archive = Archive()
    for some in (("dan", "eve", "ida"), ("joe",)):
        await archive.keep(*some)
    trips = [
        await archive.world.trip_in("accepted", driver_id=each) for each in ("eve", "ida", "joe")
    ]
    Refusing(archive.world, monkeypatch, of_driver("eve"))
    await archive.archive.settle(inf)
    assert [len(await archive.track(trip.id)) for trip in trips] == [0, 1, 1]
    assert archive.metrics.track_points.counts["set_aside"] == 1


async def test_a_fault_before_the_second_look_costs_no_points() -> None:
    trips = CountedTrips()
    archive = Archive(trips)
    await archive.keep("eve")
    await archive.archive.settle(inf)  # or what changed need not be asked for
    await archive.keep("dan")
    trip = await archive.world.trip_in("accepted")
    trips.faults = trips.asked + 1
    await archive.archive.settle(inf)
    assert trips.asked == trips.faults
    assert await archive.track(trip.id) == []
    await archive.archive.settle(inf)
    assert await archive.track(trip.id) == [POINT]


async def test_what_a_flush_has_no_time_for_is_kept_by_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    archive = Archive()
    with monkeypatch.context() as late:
        late.setattr(direct_archive, "BEGIN_WITHIN_S", -1.0)
        assert await archive.keep("dan") == []
    assert await archive.keep("dan") == ["dan"]


async def test_what_changed_is_read_once_for_all_that_are_kept_together() -> None:
    trips = CountedTrips()
    archive = Archive(trips)
    drivers = [f"d{n}" for n in range(2 * DRIVERS_AT_ONCE)]
    for _ in range(2):
        await archive.keep(*drivers)
    await archive.archive.settle(inf)
    before = trips.asked
    assert await archive.keep(*drivers) == drivers
    assert trips.asked == before + 1
    await archive.keep(*drivers)
    await archive.archive.settle(inf)
    assert trips.asked == before + 3
