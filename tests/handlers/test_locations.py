"""A driver's points: which are news, and that only the newest is shown."""

from collections.abc import Iterable, Sequence
from random import Random

import pytest
from msgspec.structs import replace

from handlers.answers import Located, Rejected
from handlers.locations import LocationHandler, Reporter
from models import rooms
from models.facts import TripLocation
from models.points import Point, Sighting
from tests.handlers.world import NOW, Told, World


def point(ts: int, seq: int = 0) -> Point:
    """A point measured at this many ms from now."""
    return Point(52.5, 13.4, NOW + ts, seq or NOW + ts)


class Driver:
    """A driver that reports from one device, on some trips."""

    def __init__(self, world: World, trips: Sequence[str] = ("t1",), device: str = "phone") -> None:
        self.world = world
        self.trips = trips
        self.reporter = Reporter("dan", device, None)

    def reports(self, *points: Point | Rejected) -> Located:
        return self.world.locations.report(self.reporter, points, self.trips)

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

    def test_a_driver_goes_on_from_what_the_server_knows_of_it(self, world: World) -> None:
        known = Sighting("dan", point(0, seq=10), "phone", NOW)
        same_phone = Reporter("dan", "phone", known)
        assert same_phone.judge(point(-1, seq=9), NOW) == "stale"
        assert same_phone.judge(point(1, seq=10), NOW) == "duplicate"
        assert same_phone.judge(point(1, seq=11), NOW) is None

    def test_another_device_counts_for_itself_but_in_the_same_time(self) -> None:
        known = Sighting("dan", point(0, seq=10), "phone", NOW)
        tablet = Reporter("dan", "tablet", known)
        assert tablet.judge(point(1, seq=10), NOW) is None
        assert tablet.judge(point(1, seq=1), NOW) is None
        assert tablet.judge(point(0, seq=1), NOW) == "duplicate"
        assert tablet.judge(point(-1, seq=1), NOW) == "stale"

    def test_a_device_that_has_reported_counts_on(self) -> None:
        known = Sighting("dan", point(0, seq=10), "phone", NOW)
        tablet = Reporter("dan", "tablet", known)
        tablet.take(point(1, seq=10))
        assert tablet.judge(point(2, seq=10), NOW) == "duplicate"


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
            batch = [
                point(chance.randrange(-50, 10), seq=chance.randrange(1, 99)) for _ in range(5)
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
        assert await world.drivers.newest("dan") == Sighting("dan", point(-10), "phone", NOW)

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

    def test_points_are_read_one_at_a_time(self, world: World) -> None:
        """A long batch needs no second copy in memory."""

        def points() -> Iterable[Point]:
            yield from (point(ts) for ts in range(-3, 0))

        handler: LocationHandler = world.locations
        assert handler.report(Reporter("dan", "phone", None), points(), ()).accepted == 3
