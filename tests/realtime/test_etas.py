"""When a driver arrives: told when it changes, along straight lines or along OSRM's routes."""

from collections.abc import AsyncIterator, Collection
from math import pi

import pytest

from models import rooms
from models.distances import DIAMETER_M
from models.eta import DETOUR, FIRST_MPS, Destination, Plan
from models.facts import TripEta
from models.fields import Id
from models.points import Place, Point
from realtime import keys
from realtime.counting import Counts
from realtime.embedded import EmbeddedStores
from realtime.etas import (
    AT_STOP_M,
    FORGET_MS,
    ROUTE_EVERY_MS,
    ROUTE_GOOD_MS,
    TELL_AGAIN_MS,
    TELL_EVERY_MS,
    Etas,
)
from realtime.osrm import Osrm
from realtime.redis_address import RedisAddress
from realtime.tasks import Tasks
from realtime.watchers import Watchers
from tests.conftest import fresh
from tests.handlers.world import NOW, World
from tests.routes import ROUTE, RouteServer

DEGREE_M = DIAMETER_M * pi / 360
SECONDS_A_KM = pytest.approx(DETOUR * 1_000 / FIRST_MPS, abs=1)
"""Of a driver who has just begun to be heard."""
TO_PICKUP = Plan("dan", Destination.PICKUP, Place(0, 0))
TO_DROPOFF = Plan("dan", Destination.DROPOFF, Place(0, 0), (Place(0, 0.02), Place(0, 0.01)))


class Trip:
    """One trip, its driver's points, and what was told of it."""

    def __init__(self, router: Osrm | None = None) -> None:
        self.world = World()
        self.plan: Plan | None = TO_PICKUP
        self.is_watched = True
        self.tasks = Tasks()
        self._shown: dict[Id, Point] = {}
        self.etas = Etas(
            shown=self._take,
            plan=lambda _: self.plan,
            publish=self.world.publish,
            clock=self.world.clock,
            tasks=self.tasks,
            router=router,
            watched=self._watched,
        )

    @property
    def told(self) -> list[TripEta]:
        return [told.fact for told in self.world.told if isinstance(told.fact, TripEta)]

    async def drive(self, metres: float, after_ms: int = TELL_EVERY_MS) -> None:
        """The driver is seen so far east of the end, so long after the last time."""
        self.world.clock.advance(after_ms)
        at = self.world.clock()
        self._shown["t1"] = Point(0, metres / DEGREE_M, at, at - NOW)
        await self.etas.look()

    async def has_told(self, count: int) -> TripEta:
        await self.tasks.stop(finish_s=10)
        assert len(self.told) == count
        return self.told[-1]

    def _take(self) -> dict[Id, Point]:
        shown, self._shown = self._shown, {}
        return shown

    async def _watched(self, trip_ids: Collection[Id]) -> set[Id]:
        return set(trip_ids) if self.is_watched else set()


@pytest.fixture
async def server() -> AsyncIterator[RouteServer]:
    async with RouteServer.start() as started:
        yield started


@pytest.fixture
async def routed(server: RouteServer) -> AsyncIterator[Trip]:
    router = Osrm(server.url, Counts(int))
    trip = Trip(router)
    yield trip
    await trip.tasks.stop()
    await router.close()


class TestStraightLines:
    async def test_the_trips_subscribers_are_told_of_its_driver(self) -> None:
        trip = Trip()
        await trip.drive(1_000)
        (told,) = trip.world.told
        (arrival,) = trip.told
        assert (arrival.trip_id, arrival.to, arrival.distance_m) == ("t1", "pickup", 1_000)
        assert arrival.duration_s == SECONDS_A_KM
        assert arrival.at == trip.world.clock()
        assert (told.room, told.source) == (rooms.live("t1"), "dan")

    async def test_a_trip_is_looked_at_now_and_then(self) -> None:
        trip = Trip()
        await trip.drive(5_000)
        await trip.drive(2_000, TELL_EVERY_MS - 1)
        assert len(trip.told) == 1
        await trip.drive(2_000, 1)
        assert [eta.distance_m for eta in trip.told] == [5_000, 2_000]

    async def test_what_changes_little_is_told_now_and_then(self) -> None:
        trip = Trip()
        metres_a_look = FIRST_MPS * TELL_EVERY_MS / 1_000
        looks = TELL_AGAIN_MS // TELL_EVERY_MS
        for look in range(looks):
            await trip.drive(5_000 - look * metres_a_look)
        assert len(trip.told) == 1
        await trip.drive(5_000 - looks * metres_a_look)
        assert len(trip.told) == 2

    async def test_another_destination_is_told_at_once(self) -> None:
        trip = Trip()
        await trip.drive(5_000)
        trip.plan = Plan("dan", Destination.DROPOFF, Place(0, 0))
        await trip.drive(5_000)
        assert [eta.to for eta in trip.told] == ["pickup", "dropoff"]

    async def test_nothing_is_told_of_who_heads_for_nothing(self) -> None:
        trip = Trip()
        trip.plan = None
        await trip.drive(1_000)
        assert trip.told == []

    async def test_stops_are_on_the_way_until_the_driver_was_there(self) -> None:
        trip = Trip()
        trip.plan = Plan("dan", Destination.DROPOFF, Place(0, 0), (Place(0, 2_000 / DEGREE_M),))
        await trip.drive(0)
        await trip.drive(2_000 - AT_STOP_M + 1)
        await trip.drive(1_000)
        assert [eta.distance_m for eta in trip.told] == [4_000, 1_851, 1_000]

    async def test_another_driver_begins_anew(self) -> None:
        trip = Trip()
        await trip.drive(50_000)
        await trip.drive(49_000)
        trip.plan = Plan("eve", Destination.PICKUP, Place(0, 0))
        await trip.drive(1_000)
        assert trip.told[-1].duration_s == SECONDS_A_KM

    async def test_what_is_long_over_is_forgotten(self) -> None:
        trip = Trip()
        await trip.drive(50_000)
        trip.world.clock.advance(FORGET_MS + 1)
        trip.etas.forget()
        await trip.drive(1_000)
        assert trip.told[-1].duration_s == SECONDS_A_KM


class TestRoutes:
    async def test_a_route_is_asked_for_once_in_a_while_and_shortens(
        self, routed: Trip, server: RouteServer
    ) -> None:
        await routed.drive(1_000)
        first = await routed.has_told(1)
        assert (first.distance_m, first.duration_s) == (1_887, 260)
        for metres in (800, 600):
            await routed.drive(metres)
        last = await routed.has_told(3)
        assert (last.distance_m, last.duration_s) == (round(1886.8 * 0.6), round(260.1 * 0.6))
        assert len(server.asked) == 1
        await routed.drive(500)
        assert ROUTE_EVERY_MS == 3 * TELL_EVERY_MS
        await server.is_asked(2)

    async def test_nothing_is_asked_for_a_trip_that_nobody_looks_at(
        self, routed: Trip, server: RouteServer
    ) -> None:
        routed.is_watched = False
        await routed.drive(1_000)
        assert routed.told[0].distance_m == 1_000
        await routed.tasks.stop()
        assert server.asked == []

    async def test_without_a_first_route_the_line_is_straight(
        self, routed: Trip, server: RouteServer
    ) -> None:
        server.answer = 500, b""
        await routed.drive(1_000)
        assert (await routed.has_told(1)).distance_m == 1_000

    async def test_a_route_counts_for_a_minute_when_no_other_comes(
        self, routed: Trip, server: RouteServer
    ) -> None:
        await routed.drive(1_000)
        await routed.has_told(1)
        server.answer = None
        await routed.drive(500, ROUTE_GOOD_MS - 1)
        assert routed.told[-1].distance_m == round(1886.8 / 2)
        await routed.drive(500, TELL_EVERY_MS)
        assert routed.told[-1].distance_m == 500

    async def test_a_route_to_where_the_driver_does_not_head_any_more_is_not_told(
        self, routed: Trip, server: RouteServer
    ) -> None:
        await routed.drive(1_000)
        routed.plan = None
        await routed.tasks.stop(finish_s=5)
        assert routed.told == []

    async def test_the_way_leads_over_the_stops(self, routed: Trip, server: RouteServer) -> None:
        routed.plan = TO_DROPOFF
        await routed.drive(0.02 * DEGREE_M)
        await routed.has_told(1)
        way = "0.020000,0.000000;0.010000,0.000000;0.000000,0.000000"
        assert server.asked == [f"/route/v1/driving/{way}?overview=false"]
        assert ROUTE["code"] == "Ok"


async def test_who_looks_at_a_trip_is_known_across_instances(stores: EmbeddedStores) -> None:
    here, there, nowhere = fresh("trip"), fresh("trip"), fresh("trip")
    async with RedisAddress.parse(str(stores.redis_url)).client() as redis:
        watchers = Watchers(redis, {rooms.live(here)})
        async with redis.pubsub() as other:
            await other.subscribe(keys.channel(rooms.live(there)))
            assert await other.get_message(timeout=10) is not None
            assert await watchers.of([here, there, nowhere]) == {here, there}
        assert await watchers.of([]) == set()
