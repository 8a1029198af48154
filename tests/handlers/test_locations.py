"""A driver's points: which are news, and that only the newest is shown."""

from random import Random

import pytest
from msgspec.structs import replace

from handlers.answers import Located, Rejected
from handlers.locations import LocationHandler, Reporter
from models import rooms
from models.errors import Unavailable
from models.facts import TripLocation
from models.points import Point, Sighting
from tests.handlers.world import LOCATIONS_PER_S, NOW, Told, World


def point(ts: int, seq: int = 0) -> Point:
    """A point measured at this many ms from now."""
    return Point(52.5, 13.4, NOW + ts, seq or NOW + ts)


class Driver:
    """A driver that reports from one device, on some trips."""

    def __init__(
        self,
        world: World,
        trips: tuple[str, ...] = ("t1",),
        device: str = "phone",
        known: Sighting | None = None,
    ) -> None:
        self.world = world
        self.trips = trips
        self.reporter = Reporter("dan", device, known)

    def reports(self, *points: Point | Rejected, is_answered: bool = False) -> Located:
        return self.world.locations.report(
            self.reporter, points, self.trips, is_answered=is_answered
        )

    def reports_each(self, *points: Point) -> list[str | None]:
        """One in an event each."""
        locations = self.world.locations
        return [locations.take(self.reporter, point, self.trips) for point in points]

    def shown(self) -> list[int]:
        """The times of the locations that were told since this was asked last, ms from now."""
        told = self.world.new_facts()
        return [each.fact.ts - NOW for each in told if isinstance(each.fact, TripLocation)]


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def driver(world: World) -> Driver:
    return Driver(world)


def codes(located: Located) -> list[tuple[int | None, str]]:
    return [(rejected.seq, rejected.code) for rejected in located.rejected]


class TestJudging:
    def test_each_newer_point_is_taken(self, driver: Driver) -> None:
        for ts in (-5_000, -4_999, 0, 1):
            assert driver.reports(point(ts)) == Located(accepted=1, rejected=[])

    def test_an_older_point_is_stale(self, driver: Driver) -> None:
        driver.reports(point(0, seq=10))
        assert codes(driver.reports(point(-1, seq=9))) == [(9, "stale")]
        assert codes(driver.reports(point(-1, seq=11))) == [(11, "stale")]

    def test_the_same_point_again_is_a_duplicate(self, driver: Driver) -> None:
        driver.reports(point(0, seq=10))
        assert codes(driver.reports(point(0, seq=10))) == [(10, "duplicate")]
        assert codes(driver.reports(point(0, seq=11))) == [(11, "duplicate")]
        assert codes(driver.reports(point(5, seq=10))) == [(10, "duplicate")]

    def test_a_phones_clock_may_be_5_seconds_ahead(self, driver: Driver) -> None:
        assert driver.reports(point(5_000)).accepted == 1
        assert driver.shown() == [5_000]
        assert codes(driver.reports(point(5_001, seq=7))) == [(7, "future")]

    def test_a_point_from_the_future_does_not_make_the_present_stale(self, driver: Driver) -> None:
        driver.reports(point(3_600_000))
        assert driver.reports(point(0)).accepted == 1

    def test_time_makes_the_future_the_present(self, world: World, driver: Driver) -> None:
        assert codes(driver.reports(point(6_000, seq=1))) == [(1, "future")]
        world.clock.advance(1_000)
        assert driver.reports(point(6_000, seq=1)).accepted == 1

    async def test_a_driver_goes_on_from_what_the_server_knows_of_it(self, world: World) -> None:
        Driver(world).reports(point(0, seq=10))
        same_phone = Driver(world, known=await world.drivers.newest("dan"))
        assert codes(same_phone.reports(point(-1, seq=9))) == [(9, "stale")]
        assert codes(same_phone.reports(point(1, seq=10))) == [(10, "duplicate")]
        assert same_phone.reports(point(1, seq=11)).accepted == 1

    async def test_another_device_counts_for_itself_but_in_the_same_time(
        self, world: World
    ) -> None:
        Driver(world).reports(point(0, seq=10))
        tablet = Driver(world, device="tablet", known=await world.drivers.newest("dan"))
        assert codes(tablet.reports(point(0, seq=1))) == [(1, "duplicate")]
        assert codes(tablet.reports(point(-1, seq=1))) == [(1, "stale")]
        assert tablet.reports(point(1, seq=10)).accepted == 1

    def test_a_point_that_cannot_be_true_is_told_why(self, driver: Driver) -> None:
        driver.reports(point(-2), point(-1))
        elsewhere, vague = replace(point(1), lat=48.1), replace(point(2), accuracy=500.0)
        assert codes(driver.reports(elsewhere, vague)) == [
            *((elsewhere.seq, "implausible"), (vague.seq, "inaccurate"))
        ]


class TestRemembering:
    """What refused points have told goes on with the driver, on whichever instance it is next."""

    async def test_a_jump_in_doubt_is_kept_with_the_newest_point(self, world: World) -> None:
        driver = Driver(world)
        driver.reports(point(-2_000), point(-1_000))
        world.clock.advance(5_000)
        driver.reports(replace(point(0), lat=48.1), replace(point(1_000), lat=48.1))
        known = await world.drivers.newest("dan")
        assert known is not None
        assert (known.point, known.seen_at) == (point(-1_000), NOW)
        back = Driver(world, known=known)
        assert back.reports(replace(point(2_000), lat=48.1)).accepted == 1

    async def test_a_jump_in_doubt_is_kept_also_of_points_that_come_one_by_one(
        self, world: World
    ) -> None:
        driver = Driver(world)
        jumps = [replace(point(ts), lat=48.1) for ts in (0, 1_000, 2_000)]
        world.clock.advance(5_000)
        refused = driver.reports_each(point(-2_000), point(-1_000), *jumps[:2])
        assert refused == [None, None, "implausible", "implausible"]
        back = Driver(world, known=await world.drivers.newest("dan"))
        assert back.reports_each(jumps[2]) == [None]

    async def test_a_wrong_clock_is_kept_with_the_newest_point(self, world: World) -> None:
        driver = Driver(world)
        hour = 3_600_000
        for second in range(4):
            driver.world.clock.now = NOW + second * 1_000
            driver.reports(point(second * 1_000 - hour))
        moved = Driver(world, known=await world.drivers.newest("dan"))
        world.clock.advance(1_000)
        driver.shown()
        assert moved.reports(point(4_000 - hour)).accepted == 1
        assert moved.shown() == [4_000]

    async def test_what_is_refused_for_its_age_is_not_worth_noting(self, world: World) -> None:
        driver = Driver(world)
        driver.reports(point(0))
        known = await world.drivers.newest("dan")
        driver.reports(point(-1))
        assert await world.drivers.newest("dan") is known


class TestBatches:
    def test_a_batch_is_taken_and_only_its_newest_shown(self, driver: Driver) -> None:
        located = driver.reports(*(point(ts) for ts in range(-500, 0)))
        assert located == Located(accepted=500, rejected=[])
        assert driver.shown() == [-1]

    def test_what_is_refused_is_told_in_its_order(self, driver: Driver) -> None:
        located = driver.reports(
            point(-9, seq=1),
            Rejected(None, "invalid"),
            point(-9, seq=2),
            point(-20, seq=3),
            point(9_000, seq=4),
            Rejected(5, "invalid"),
            point(-1, seq=6),
        )
        assert located.accepted == 2
        assert codes(located) == [
            *((None, "invalid"), (2, "duplicate"), (3, "stale"), (4, "future"), (5, "invalid"))
        ]
        assert driver.shown() == [-1]

    def test_a_batch_sent_again_is_refused_and_not_shown_again(self, driver: Driver) -> None:
        batch = [point(-3), point(-2), point(-1)]
        driver.reports(*batch)
        driver.shown()
        assert [code for _, code in codes(driver.reports(*batch))] == [
            *("stale", "stale", "duplicate")
        ]
        assert driver.shown() == []

    def test_a_batch_that_overlaps_brings_what_is_new(self, driver: Driver) -> None:
        driver.reports(point(-3), point(-2))
        assert driver.reports(point(-3), point(-2), point(-1)).accepted == 1

    def test_nothing_good_in_a_batch_shows_nothing(self, world: World, driver: Driver) -> None:
        assert driver.reports(Rejected(None, "invalid"), point(9_000)).accepted == 0
        assert world.told == []

    @pytest.mark.parametrize("seed", range(20))
    def test_whatever_comes_the_taken_ones_rise_and_the_shown_ones_too(
        self, driver: Driver, seed: int
    ) -> None:
        chance = Random(seed)  # noqa: S311 - the same points for the same seed
        shown: list[int] = []
        newest = -(2**53)
        for _ in range(50):
            driver.world.clock.advance(1_000)
            batch = [
                point(chance.randrange(-50, 50) * 1_000, seq=chance.randrange(1, 99))
                for _ in range(5)
            ]
            located = driver.reports(*batch)
            assert located.accepted + len(located.rejected) == 5
            shown += driver.shown()
            assert driver.reporter.newest is not None
            assert driver.reporter.newest.ts >= newest
            newest = driver.reporter.newest.ts
        assert shown == sorted(set(shown))
        assert shown[-1] == newest - NOW


class TestShowing:
    def test_a_location_goes_to_each_trip_that_the_driver_serves(self, world: World) -> None:
        taken = point(0)
        Driver(world, trips=("t1", "t2")).reports(taken)
        assert world.told == [
            Told(rooms.live("t1"), TripLocation.of("t1", taken), "dan"),
            Told(rooms.live("t2"), TripLocation.of("t2", taken), "dan"),
        ]

    async def test_a_driver_without_a_trip_is_seen_but_shown_to_nobody(self, world: World) -> None:
        Driver(world, trips=()).reports(point(-10))
        assert world.told == []
        known = await world.drivers.newest("dan")
        assert known == Sighting("dan", point(-10), "phone", NOW)

    async def test_a_refused_point_changes_nothing_that_is_known(self, world: World) -> None:
        driver = Driver(world)
        driver.reports(point(0))
        world.clock.advance(1_000)
        driver.reports(point(-1))
        assert await world.drivers.newest("dan") == Sighting("dan", point(0), "phone", NOW)

    def test_measurements_are_passed_on_as_they_are(self, world: World) -> None:
        measured = replace(point(0), heading=359.9, speed=13.25, accuracy=4.0)
        Driver(world).reports(measured)
        (told,) = world.told
        assert told.fact == TripLocation("t1", 52.5, 13.4, NOW, NOW, 359.9, 13.25, 4.0)


class TestPacing:
    """A trip is shown so often at most, and always where the driver is."""

    def test_a_driver_at_one_a_second_is_shown_at_once(self, world: World, driver: Driver) -> None:
        for second in range(10):
            driver.reports(point(second * 1_000))
            assert driver.shown() == [second * 1_000]
            assert world.later.timers == 0
            world.clock.advance(1_000)

    def test_all_points_are_accepted_and_the_newest_are_shown(
        self, world: World, driver: Driver
    ) -> None:
        for ts in range(0, 1_000, 20):
            assert driver.reports_each(point(ts)) == [None]
            world.later.pass_by(20)
        world.later.pass_by(1_000)
        shown = driver.shown()
        assert (shown[0], shown[-1]) == (0, 980)
        assert LOCATIONS_PER_S <= len(shown) <= LOCATIONS_PER_S + 1

    def test_the_newest_is_shown_when_its_time_comes(self, world: World, driver: Driver) -> None:
        driver.reports_each(point(0), point(1), point(2), point(3))
        assert driver.shown() == [0]
        world.later.pass_by(199)
        assert driver.shown() == []
        world.later.pass_by(21)
        assert driver.shown() == [3]

    def test_it_is_shown_as_seen_when_it_came_in(self, world: World) -> None:
        seen: list[int] = []
        locations = LocationHandler(
            world.drivers, lambda _, __, ___, at: seen.append(at), world.clock, world.later, per_s=5
        )
        reporter = Reporter("dan", "phone", None)
        locations.take(reporter, point(0), ("t1",))
        world.clock.advance(50)
        locations.take(reporter, point(50), ("t1",))
        world.later.pass_by(300)
        assert seen == [NOW, NOW + 50]

    async def test_others_know_the_newest_at_once(self, world: World, driver: Driver) -> None:
        driver.reports_each(point(0), point(1))
        known = await world.drivers.newest("dan")
        assert known is not None
        assert known.point == point(1)

    def test_one_timer_serves_all_drivers(self, world: World) -> None:
        drivers = [Driver(world, trips=(f"t{n}",)) for n in range(50)]
        for n, driver in enumerate(drivers):
            driver.reports_each(point(3 * n), point(3 * n + 1))
            world.later.pass_by(3)
        assert world.later.timers == 1
        world.later.pass_by(500)
        assert world.later.timers == 0
        assert sorted(drivers[0].shown()) == sorted([*range(0, 150, 3), *range(1, 150, 3)])

    def test_what_waits_goes_to_the_trips_of_its_time(self, world: World, driver: Driver) -> None:
        driver.reports_each(point(0), point(1))
        driver.trips = ("t1", "t2")
        driver.reports_each(point(2))
        world.told.clear()
        world.later.pass_by(300)
        assert [told.room for told in world.told] == [rooms.live("t1"), rooms.live("t2")]

    def test_a_clock_that_is_set_back_holds_nothing_up(self, world: World, driver: Driver) -> None:
        driver.reports_each(point(0), point(1))
        world.clock.advance(-3_600_000)
        world.later.pass_by(30)
        assert driver.shown() == [0, 1]

    def test_at_a_thousand_a_second_all_are_shown(self, world: World) -> None:
        locations = LocationHandler(
            world.drivers, world.show, world.clock, world.later, per_s=1_000
        )
        reporter = Reporter("dan", "phone", None)
        for ts in range(5):
            locations.take(reporter, point(ts), ("t1",))
        assert len(world.told) == 5


class TestRecording:
    """Which points go into tracks: all that may belong to a trip, heard of or not."""

    def recorded(self, driver: Driver) -> list[int]:
        """The `ts` of what was recorded since this was asked last, ms from now."""
        return [point.ts - NOW for point in driver.world.drivers.recorded.pop("dan", [])]

    def lives(self, driver: Driver, *, seconds: int) -> None:
        """A point a second."""
        for _ in range(seconds):
            driver.world.clock.advance(1_000)
            now = driver.world.clock()
            driver.reports(Point(lat=52.5, lng=13.4, ts=now, seq=now - NOW))

    def test_every_accepted_point_of_a_driver_with_a_trip(self, driver: Driver) -> None:
        good = Point(lat=52.5, lng=13.4, ts=NOW, seq=1)
        driver.reports_each(good, good)
        driver.reports(replace(good, ts=NOW + 1, seq=2), replace(good, ts=NOW + 2, seq=3))
        assert self.recorded(driver) == [0, 1, 2]

    def test_none_of_a_driver_who_has_had_no_trip_for_a_while(self, world: World) -> None:
        idle = Driver(world, trips=())
        self.lives(idle, seconds=60)
        assert self.recorded(idle) == []

    def test_what_there_is_no_room_for_is_not_taken_and_may_be_sent_again(
        self, world: World, driver: Driver
    ) -> None:
        world.drivers.is_full = True
        with pytest.raises(Unavailable):
            driver.reports(point(0), is_answered=True)
        world.drivers.is_full = False
        assert driver.reports(point(0), is_answered=True).accepted == 1
        assert world.drivers.recorded["dan"] == [point(0)]

    def test_who_looks_sees_even_what_there_is_no_room_for(
        self, world: World, driver: Driver
    ) -> None:
        world.drivers.is_full = True
        driver.reports(point(0))
        assert driver.shown() == [0]

    def test_what_is_answered_though_no_trip_is_heard_of(self, world: World) -> None:
        idle = Driver(world, trips=())
        self.lives(idle, seconds=60)
        point = Point(lat=52.5, lng=13.4, ts=world.clock() + 1, seq=70_000)
        idle.reports(point, is_answered=True)
        assert self.recorded(idle)[-1] == 60_001

    def test_the_last_seconds_as_soon_as_a_trip_is_heard_of(self, world: World) -> None:
        idle = Driver(world, trips=())
        self.lives(idle, seconds=60)
        idle.reporter.record_recent(world.drivers)
        assert self.recorded(idle) == [1_000 * s for s in range(45, 61)]
        idle.trips = ("t1",)
        self.lives(idle, seconds=2)
        assert self.recorded(idle) == [61_000, 62_000]

    def test_all_for_some_seconds_after_a_trip(self, driver: Driver) -> None:
        self.lives(driver, seconds=2)
        driver.trips = ()
        self.lives(driver, seconds=30)
        assert self.recorded(driver) == [1_000 * s for s in range(1, 17)]

    def test_what_comes_in_late(self, world: World) -> None:
        idle = Driver(world, trips=())
        self.lives(idle, seconds=60)
        world.clock.advance(10_000)
        idle.reports(Point(lat=52.5, lng=13.4, ts=NOW + 61_000, seq=61_000))
        assert self.recorded(idle)[-1] == 61_000

    def test_all_for_some_seconds_after_connecting(self, world: World) -> None:
        newcomer = Driver(world, trips=())
        newcomer.reporter = Reporter("dan", "phone", None, now=NOW)
        self.lives(newcomer, seconds=20)
        assert self.recorded(newcomer) == [1_000 * s for s in range(1, 15)]
