"""The filter of a driver's points: what is taken, what is refused, and why."""

from itertools import pairwise
from math import cos, radians

import msgspec
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as some
from msgspec.structs import replace

from models.distances import DEGREE_M, distance_m
from models.filter import DEFAULT_LIMITS, Filter, Limits, Refusal
from models.points import FilterState, Point, Sighting

NOW = 1_800_000_000_000
HOUR_MS = 3_600_000
LAT, LNG = 52.5, 13.4

Verdict = str | None
"""Why a point was refused; None for one that was taken."""


def at(
    second: float, north_m: float = 0.0, east_m: float = 0.0, *, seq: int = -1, **known: float
) -> Point:
    """A point measured so many seconds from now, so many metres from a crossing in Berlin."""
    lat = LAT + north_m / DEGREE_M
    lng = LNG + east_m / DEGREE_M / cos(radians(LAT))
    ts = NOW + round(second * 1_000)
    return Point(lat, lng, ts, ts if seq < 0 else seq, **known)


class Phone:
    """A phone that sends each point when it has measured it, and what the filter makes of it.

    Its clock may be wrong by `ahead_s`, and the network takes `delay_s`.
    """

    def __init__(
        self, device: str = "phone", last: Sighting | None = None, limits: Limits = DEFAULT_LIMITS
    ) -> None:
        self.filter = Filter(device, last, limits)
        self.accepted: list[Point] = []
        self.ahead_s = 0.0
        self.delay_s = 0.0

    def sends(self, *points: Point) -> list[Verdict]:
        """One after the other, each at its time."""
        return [
            self._hears(
                replace(point, ts=point.ts + round(self.ahead_s * 1_000)),
                point.ts + round(self.delay_s * 1_000),
            )
            for point in points
        ]

    def sends_at(self, now_s: float, *points: Point) -> list[Verdict]:
        """All at once, as a batch."""
        now = NOW + round(now_s * 1_000)
        live = [False] * (len(points) - 1) + [True]
        return [self._hears(p, now, live=last) for p, last in zip(points, live, strict=True)]

    def _hears(self, point: Point, now: int, *, live: bool = True) -> Verdict:
        taken = self.filter.take(point, now, live=live)
        if isinstance(taken, Refusal):
            return taken.value
        self.accepted.append(taken)
        return None

    def sighting(self) -> Sighting:
        """What another instance has of it: through Redis and back."""
        assert self.filter.newest is not None
        seen = Sighting("dan", self.filter.newest, self.filter.source, NOW, self.filter.state)
        return msgspec.msgpack.decode(msgspec.msgpack.encode(seen), type=Sighting)


@pytest.fixture
def phone() -> Phone:
    return Phone()


@pytest.fixture
def driving() -> Phone:
    """A phone that has been heard for a while, and stands at the crossing at second 0."""
    phone = Phone()
    assert phone.sends(*(at(s, 10 * s) for s in range(-5, 1))) == [None] * 6
    return phone


class TestNews:
    def test_each_newer_point_is_taken(self, phone: Phone) -> None:
        assert phone.sends(at(0), at(0.001), at(1), at(7_200)) == [None] * 4

    def test_an_older_point_is_stale(self, driving: Phone) -> None:
        assert driving.sends_at(0, at(-0.001)) == ["stale"]

    def test_the_same_time_or_the_same_number_is_a_duplicate(self, driving: Phone) -> None:
        assert driving.sends_at(1, at(0, seq=99)) == ["duplicate"]
        assert driving.sends_at(1, at(1, seq=at(0).seq)) == ["duplicate"]

    def test_another_device_counts_for_itself_but_in_the_same_time(self, driving: Phone) -> None:
        tablet = Phone("tablet", driving.sighting())
        assert tablet.sends_at(1, at(0, seq=1), at(-1, seq=2)) == ["duplicate", "stale"]
        assert tablet.sends_at(1, at(1, seq=at(0).seq)) == [None]
        assert tablet.sends_at(2, at(2, seq=at(0).seq)) == ["duplicate"]


class TestAccuracy:
    def test_a_point_that_may_be_anywhere_is_inaccurate(self, driving: Phone) -> None:
        assert driving.sends(at(1, accuracy=200.5), at(2, accuracy=200)) == ["inaccurate", None]

    def test_the_first_point_too(self, phone: Phone) -> None:
        assert phone.sends(at(0, accuracy=3_000.0)) == ["inaccurate"]

    def test_the_limit_is_a_setting(self) -> None:
        assert Phone(limits=Limits(max_accuracy_m=20)).sends(at(0, accuracy=21)) == ["inaccurate"]


class TestSpeed:
    def test_a_single_wild_point_is_implausible(self, driving: Phone) -> None:
        assert driving.sends(at(1, 10), at(2, 5_000), at(3, 30)) == [None, "implausible", None]

    def test_so_is_a_faster_vehicle_than_there_is(self, driving: Phone) -> None:
        assert driving.sends(at(10, 10 * 70 + 49)) == [None]
        assert driving.sends(at(20, 20 * 70 + 300)) == ["implausible"]

    def test_the_limit_is_a_setting(self, driving: Phone) -> None:
        scooter = Phone(last=driving.sighting(), limits=Limits(max_speed_mps=15))
        assert scooter.sends(at(10, 300)) == ["implausible"]

    def test_what_a_phone_knows_of_its_accuracy_counts(self, driving: Phone) -> None:
        assert driving.sends(at(1, 200, accuracy=150)) == [None]

    def test_a_pause_allows_a_longer_way(self, driving: Phone) -> None:
        assert driving.sends(at(600, 20_000)) == [None]

    def test_a_vehicle_may_move_over_the_antimeridian(self) -> None:
        fiji = Phone()
        points = [Point(-16.8, 179.9995, NOW, 1), Point(-16.8, -179.9999, NOW + 1_000, 2)]
        assert fiji.sends(*points, replace(points[0], ts=NOW + 2_000, seq=3)) == [None] * 3
        assert fiji.sends(Point(-16.8, 0, NOW + 3_000, 4)) == ["implausible"]

    def test_a_vehicle_may_move_over_the_pole(self) -> None:
        sledge = Phone()
        points = [Point(89.9999, lng, NOW + n * 1_000, n) for n, lng in enumerate((0, 90, 180))]
        assert sledge.sends(*points) == [None] * 3


class TestJumps:
    def test_a_jump_is_believed_once_two_further_points_agree(self, driving: Phone) -> None:
        there = [at(n, 5_000 + 10 * n) for n in range(1, 6)]
        assert driving.sends(*there) == ["implausible", "implausible", None, None, None]

    def test_one_that_returns_is_forgotten(self, driving: Phone) -> None:
        assert driving.sends(at(1, 5_000), at(2, 5_010), at(3, 30)) == [
            *("implausible", "implausible", None)
        ]
        assert driving.sends(at(4, 5_000), at(5, 5_010)) == ["implausible"] * 2

    def test_points_that_do_not_agree_are_not_believed(self, driving: Phone) -> None:
        wild = [at(n, 5_000 * (-1) ** n) for n in range(1, 20)]
        assert driving.sends(*wild) == ["implausible"] * 19

    def test_the_same_points_again_do_not_agree_with_themselves(self, driving: Phone) -> None:
        jump = [at(1, 5_000), at(2, 5_010)]
        assert driving.sends_at(3, *jump) == ["implausible"] * 2
        for _ in range(5):
            assert driving.sends_at(4, *jump) == ["implausible"] * 2

    def test_a_wild_first_point_costs_nothing(self, phone: Phone) -> None:
        assert phone.sends(at(0, 5_000), at(1), at(2), at(3)) == [None] * 4

    def test_a_wild_second_point_costs_nothing(self, phone: Phone) -> None:
        assert phone.sends(at(0), at(1, 5_000), at(2), at(3)) == [None] * 4

    def test_a_wild_point_after_a_long_pause_costs_nothing(self, driving: Phone) -> None:
        assert driving.sends(at(600, 20_000), at(601, 60), at(602, 70)) == [None] * 3

    def test_a_vehicle_is_not_shown_in_two_places_for_ever(self, driving: Phone) -> None:
        """Where two sources of fixes take turns, one of them is followed after a moment."""
        driving.sends(*(at(600 + n, 20_000 * (n % 2)) for n in range(100)))
        ways = [round(abs(b.lat - a.lat) * DEGREE_M) for a, b in pairwise(driving.accepted[-40:])]
        assert max(ways) < 200


class TestClocks:
    def test_a_few_seconds_ahead_are_left_alone(self, phone: Phone) -> None:
        phone.ahead_s = 5
        assert phone.sends(at(0), at(1), at(2), at(3)) == [None] * 4
        assert phone.accepted[-1].ts == at(3).ts + 5_000

    def test_more_is_the_future(self, phone: Phone) -> None:
        phone.ahead_s = 5.001
        assert phone.sends(at(0)) == ["future"]

    @pytest.mark.parametrize("ahead_s", [6, 60, 5 * 3_600, 86_400 * 365])
    def test_a_clock_that_is_ahead_is_corrected_after_three_points(
        self, phone: Phone, ahead_s: float
    ) -> None:
        phone.ahead_s = ahead_s
        points = [at(n, 10 * n) for n in range(6)]
        assert phone.sends(*points) == ["future", "future", None, None, None, None]
        assert phone.accepted == points[2:]

    @pytest.mark.parametrize("ahead_s", [-31, -3_600, -86_400 * 365])
    def test_a_clock_that_is_behind_is_corrected_after_three_points(
        self, phone: Phone, ahead_s: float
    ) -> None:
        phone.ahead_s = ahead_s
        points = [at(n, 10 * n) for n in range(6)]
        assert phone.sends(*points) == [None] * 6
        assert [p.ts for p in phone.accepted[2:]] == [p.ts for p in points[2:]]

    def test_a_corrected_point_is_never_shown_ahead(self, phone: Phone) -> None:
        """The fastest way through the network tells the most of the clock."""
        phone.ahead_s = HOUR_MS / 1_000
        for n, delay_s in enumerate((0.9, 0.8, 0.7, 0.3, 0.05, 0.6)):
            phone.delay_s = delay_s
            phone.sends(at(n))
            assert all(p.ts <= at(n + delay_s).ts for p in phone.accepted[-1:])
        assert [p.ts - NOW for p in phone.accepted] == [3_300, 4_050, 5_050]

    def test_points_in_quick_succession_show_nothing_yet(self, phone: Phone) -> None:
        phone.ahead_s = 3_600
        verdicts = phone.sends(*(at(n / 5) for n in range(12)))
        assert verdicts == ["future"] * 10 + [None] * 2

    def test_points_that_differ_in_what_they_say_show_nothing(self, phone: Phone) -> None:
        for n in range(10):
            phone.ahead_s = 3_600 + 2 * (n % 2)
            assert phone.sends(at(n)) == ["future"]

    def test_a_tunnel_is_no_wrong_clock(self, driving: Phone) -> None:
        """What was kept back for minutes is taken with its own times."""
        batch = [at(n, 10 * n) for n in range(1, 300)]
        assert driving.sends_at(300, *batch) == [None] * 299
        assert driving.accepted[-299:] == batch

    def test_a_backlog_that_is_sent_one_by_one_is_no_wrong_clock(self, driving: Phone) -> None:
        for n in range(1, 100):
            assert driving.sends_at(100 + n / 10, at(n)) == [None]
        assert driving.accepted[-1] == at(99)

    def test_a_batch_of_a_corrected_phone_is_corrected(self, phone: Phone) -> None:
        phone.ahead_s = 3_600
        phone.sends(*(at(n) for n in range(3)))
        batch = [replace(at(n), ts=at(n).ts + HOUR_MS) for n in range(3, 60)]
        assert phone.sends_at(60, *batch) == [None] * 57
        assert phone.accepted[-1] == at(59)

    def test_a_clock_that_was_set_right_is_believed_again(self, phone: Phone) -> None:
        phone.ahead_s = 3_600
        phone.sends(*(at(n) for n in range(5)))
        phone.ahead_s = 0
        assert phone.sends(*(at(n) for n in range(5, 9))) == ["stale", "stale", None, None]
        assert phone.accepted[-1] == at(8)

    def test_one_normal_point_takes_the_doubt_away(self, driving: Phone) -> None:
        for n in range(1, 12):
            driving.ahead_s = 0 if n % 3 == 0 else 3_600
            assert driving.sends(at(n)) == [None if n % 3 == 0 else "future"]

    def test_points_sent_again_later_are_no_wrong_clock(self, driving: Phone) -> None:
        for n in range(-5, 1):
            assert driving.sends_at(600 + n, at(n)) in (["stale"], ["duplicate"])
        assert driving.filter.state.ahead_ms == 0

    def test_another_device_has_another_clock(self, phone: Phone) -> None:
        phone.ahead_s = 3_600
        phone.sends(*(at(n) for n in range(4)))
        assert phone.sighting().filtered.ahead_ms == HOUR_MS
        assert Phone("tablet", phone.sighting()).sends(at(4)) == [None]


class TestMoving:
    """The filter's memory goes with the driver, from connection to connection."""

    def test_a_doubted_jump_is_still_in_mind(self, driving: Phone) -> None:
        driving.sends(at(1, 5_000), at(2, 5_010))
        assert Phone(last=driving.sighting()).sends(at(3, 5_020)) == [None]

    def test_a_known_clock_is_still_known(self, phone: Phone) -> None:
        phone.ahead_s = -3_600
        phone.sends(*(at(n) for n in range(3)))
        moved = Phone(last=phone.sighting())
        moved.ahead_s = -3_600
        moved.sends(at(3))
        assert moved.accepted == [at(3)]

    def test_it_goes_on_after_each_point_as_if_nothing_had_happened(self, phone: Phone) -> None:
        points = [at(n, 10 * n + 5_000 * (n % 7 == 3 or 12 < n < 17)) for n in range(30)]
        stayed = phone.sends(*points)
        moving = Phone()
        for point, verdict in zip(points, stayed, strict=True):
            assert moving.sends(point) == [verdict]
            moving = Phone(last=moving.sighting())

    def test_what_was_noted_before_there_was_a_memory_can_be_read(self) -> None:
        old = {"driver_id": "dan", "point": at(0), "device": "phone", "seen_at": NOW}
        sighting = msgspec.msgpack.decode(msgspec.msgpack.encode(old), type=Sighting)
        assert sighting.filtered == FilterState()
        assert Phone(last=sighting).sends(at(-1), at(1)) == ["stale", None]


# Whatever is sent, some promises are kept.

PROPERTY = settings(
    deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow], max_examples=60
)
ACCURACY = some.sampled_from([0.0, 5.0, 25.0])
ANYWHERE = some.builds(
    Point,
    lat=some.floats(-90, 90),
    lng=some.floats(-180, 180),
    ts=some.integers(NOW - 100_000, NOW + 10_000),
    seq=some.just(0),
    accuracy=some.none() | some.floats(0, 400),
)
NEARBY = some.builds(
    at,
    second=some.floats(-100, 8),
    north_m=some.sampled_from([0.0, 40.0, 180.0, 5_000.0, 5_050.0, 90_000.0]),
    accuracy=some.sampled_from([5.0, 80.0, 300.0]),
)
POINT = (ANYWHERE | NEARBY).map(lambda point: replace(point, seq=point.ts))
BATCHES = some.lists(some.lists(POINT, min_size=1, max_size=8), max_size=12)
"""In any order, of anywhere; each point has a number of its own."""


@some.composite
def rides(draw: some.DrawFn) -> list[Point]:
    """What an honest phone sends: in order, each within reach of the one before, if only just."""
    steps = draw(
        some.lists(
            some.tuples(some.integers(1, 90_000), some.floats(-0.7, 0.7), some.floats(-0.7, 0.7)),
            min_size=1,
            max_size=25,
        )
    )
    ts, north, east = 0, 0.0, 0.0
    points = []
    for seq, (ms, up, right) in enumerate(steps):
        ts += ms
        reach = 70 * ms / 1_000 + 49
        north, east = north + up * reach, east + right * reach
        points.append(at(ts / 1_000, north, east, seq=seq + 1, accuracy=draw(ACCURACY)))
    return points


@PROPERTY
@given(BATCHES)
def test_accepted_times_strictly_rise(batches: list[list[Point]]) -> None:
    phone = Phone()
    for second, batch in enumerate(batches):
        phone.sends_at(second, *batch)
    times = [point.ts for point in phone.accepted]
    assert times == sorted(set(times))
    assert all(time <= NOW + len(batches) * 1_000 + 5_000 for time in times)


@PROPERTY
@given(BATCHES)
def test_a_batch_that_is_repeated_changes_nothing(batches: list[list[Point]]) -> None:
    phone = Phone()
    for second, batch in enumerate(batches):
        phone.sends_at(second, *batch)
        known, newest = len(phone.accepted), phone.filter.newest
        phone.sends_at(second, *batch)
        assert phone.accepted[known:] == []
        assert phone.filter.newest == newest


@PROPERTY
@given(rides(), some.integers(0, 900_000))
def test_a_ride_sent_all_over_again_changes_nothing(ride: list[Point], later_ms: int) -> None:
    phone = Phone()
    phone.sends(*ride)
    phone.delay_s = (ride[-1].ts - ride[0].ts + later_ms) / 1_000
    assert set(phone.sends(*ride)) <= {"stale", "duplicate"}
    assert phone.accepted == ride


@PROPERTY
@given(rides(), some.booleans())
def test_a_plausible_ride_is_accepted_whole(ride: list[Point], at_once: bool) -> None:
    phone = Phone()
    if at_once:
        phone.sends_at(ride[-1].ts / 1_000 - NOW / 1_000, *ride)
    else:
        phone.sends(*ride)
    assert phone.accepted == ride


@PROPERTY
@given(some.data(), rides())
def test_a_single_wild_point_never_costs_a_good_one(
    data: some.DataObject, ride: list[Point]
) -> None:
    place = data.draw(some.integers(0, len(ride)))
    before, after = ride[max(place - 1, 0)], ride[min(place, len(ride) - 1)]
    earliest = before.ts + 1 if place else before.ts - 60_000
    latest = after.ts - 1 if place < len(ride) else after.ts + 60_000
    assume(earliest <= latest)
    second = (data.draw(some.integers(earliest, latest)) - NOW) / 1_000
    place_m = some.floats(-9_000, 9_000)
    near = at(second, data.draw(place_m), data.draw(place_m), seq=1_000)
    far = replace(near, lat=data.draw(some.floats(-90, 90)), lng=data.draw(some.floats(-180, 180)))
    wild = data.draw(some.sampled_from([near, far]))
    assume(place == 0 or not _is_possible(before, wild))
    phone = Phone()
    phone.sends(*ride[:place], wild, *ride[place:])
    assert [point for point in phone.accepted if point != wild] == ride


def _is_possible(start: Point, end: Point) -> bool:
    metres = distance_m(start.lat, start.lng, end.lat, end.lng)
    return metres <= 0.07 * (end.ts - start.ts) + 50
