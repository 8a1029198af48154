"""Made-up streets: cars keep to them, drive as cars can, and go on where they stopped."""

import math
from itertools import pairwise
from random import Random

import pytest

from realtime.simulation import streets
from realtime.simulation.course import Course, Fix, Journey
from realtime.simulation.ground import distance_m, offset_m
from realtime.simulation.motion import ACCELERATION, BRAKING
from realtime.simulation.streets import CENTRE, ROTATION, SPEED, Cruise, Streets

STEP_S = 0.2


def journeys(seed: int, number: int = 5) -> list[Journey]:
    rng = Random(seed)  # noqa: S311 - not a secret
    cruise = Cruise(Streets(rng), rng)
    return [cruise.next(60) for _ in range(number)]


def fixes(course: Course) -> list[Fix]:
    steps = int(course.duration_s / STEP_S) + 1
    return [course.at(course.start_s + step * STEP_S) for step in range(steps + 1)]


def metres(fix: Fix) -> tuple[float, float]:
    """Along the rows and along the columns of the grid, from its centre."""
    east, north = offset_m(*CENTRE, fix.lat, fix.lng)
    cos, sin = math.cos(ROTATION), math.sin(ROTATION)
    return east * cos + north * sin, north * cos - east * sin


def turned(one: float, other: float) -> float:
    return abs((other - one + 180) % 360 - 180)


@pytest.mark.parametrize("seed", range(10))
def test_cars_stay_on_the_streets(seed: int) -> None:
    grid = Streets(Random(seed))  # noqa: S311 - not a secret
    for journey in journeys(seed):
        for course in (journey.approach, journey.drive):
            for x, y in map(metres, fixes(course)):
                away = min(
                    abs(line - at)
                    for at, lines in ((x, grid.columns), (y, grid.rows))
                    for line in lines
                )
                assert away < streets.CORNER_M / 2
                assert grid.columns[0] - 0.01 <= x <= grid.columns[-1] + 0.01
                assert grid.rows[0] - 0.01 <= y <= grid.rows[-1] + 0.01


@pytest.mark.parametrize("seed", range(10))
def test_cars_drive_as_cars_can(seed: int) -> None:
    for journey in journeys(seed):
        for course in (journey.approach, journey.drive):
            driven = fixes(course)
            assert max(fix.speed for fix in driven) <= SPEED[1] + 0.01
            assert max(fix.speed for fix in driven) > 4
            for one, other in pairwise(driven):
                assert -BRAKING - 0.01 <= (other.speed - one.speed) / STEP_S <= ACCELERATION + 0.01
                assert distance_m(one.lat, one.lng, other.lat, other.lng) <= SPEED[1] * STEP_S + 0.1
                assert turned(one.heading, other.heading) <= 40
                assert 0 <= other.heading < 360


def test_cars_start_and_stop_standing() -> None:
    for journey in journeys(1):
        for course in (journey.approach, journey.drive):
            assert course.at(course.start_s + 0.1).speed < 3
            assert course.at(course.end_s - 0.1).speed < 3
            assert course.at(course.end_s).speed == 0


def test_a_ride_takes_as_long_as_a_ride_in_a_city() -> None:
    for journey in journeys(2, 50):
        assert 5 < journey.approach.duration_s < 20
        assert 10 < journey.drive.duration_s < 70


def test_every_course_begins_where_the_last_one_ended() -> None:
    courses = [c for journey in journeys(3) for c in (journey.approach, journey.drive)]
    for one, other in pairwise(courses):
        assert (one.end.lat, one.end.lng) == (other.start.lat, other.start.lng)


def test_the_same_seed_makes_the_same_rides() -> None:
    def ends(seed: int) -> list[tuple[float, float]]:
        return [(journey.drive.end.lat, journey.drive.end.lng) for journey in journeys(seed)]

    assert ends(4) == ends(4)
    assert ends(4) != ends(5)
