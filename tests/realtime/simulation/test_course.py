"""Courses: where a vehicle is between and around its waypoints."""

import pytest

from realtime.simulation.course import Course, Waypoint
from realtime.simulation.ground import METRES_PER_DEGREE

NORTH_100_M = 100 / METRES_PER_DEGREE


def northward() -> Course:
    """100 m to the north in 10 s, then 20 s of standing, then 100 m to the east."""
    return Course(
        [
            Waypoint(0, 0, 0),
            Waypoint(10, NORTH_100_M, 0),
            Waypoint(30, NORTH_100_M, 0),
            Waypoint(40, NORTH_100_M, NORTH_100_M),
        ],
        accuracy_m=5,
    )


def test_between_waypoints_a_vehicle_moves_evenly() -> None:
    fix = northward().at(2.5)
    assert fix.lat == pytest.approx(NORTH_100_M / 4)
    assert fix.speed == pytest.approx(10)
    assert fix.heading == pytest.approx(0)
    assert fix.accuracy == 5


def test_between_known_speeds_a_vehicle_speeds_up_evenly() -> None:
    course = Course([Waypoint(0, 0, 0, 0.0), Waypoint(10, NORTH_100_M, 0, 20.0)])
    assert course.at(5).speed == pytest.approx(10)
    assert course.at(5).lat == pytest.approx(NORTH_100_M / 4)


def test_a_standing_vehicle_looks_the_way_it_came() -> None:
    fix = northward().at(20)
    assert fix.speed == 0
    assert fix.heading == pytest.approx(0)
    assert northward().at(35).heading == pytest.approx(90, abs=0.01)


def test_before_its_start_and_after_its_end_a_vehicle_stands() -> None:
    assert (northward().at(-5).lat, northward().at(-5).speed) == (0, 0)
    assert (northward().at(99).lng, northward().at(99).speed) == (NORTH_100_M, 0)


def test_a_part_of_a_course_keeps_its_times_and_places() -> None:
    part = northward().between(5, 35)
    assert (part.start_s, part.end_s, part.duration_s) == (5, 35, 30)
    for at_s in (5, 7, 15, 32, 34.9):
        fix, whole = part.at(at_s), northward().at(at_s)
        assert (fix.lat, fix.lng) == pytest.approx((whole.lat, whole.lng))
        assert fix.speed == pytest.approx(whole.speed)


def test_a_part_without_duration_is_a_place() -> None:
    part = northward().between(5, 5)
    assert part.duration_s == 0
    assert part.at(5).lat == pytest.approx(NORTH_100_M / 2)
