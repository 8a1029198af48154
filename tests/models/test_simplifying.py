"""What is left out of a simplified line is no further from it than the tolerance."""

from itertools import pairwise
from math import cos, hypot, radians

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.distances import DEGREE_M
from models.points import Point
from models.simplifying import WINDOW, Simplifier

TOLERANCE_M = 10.0


def line(*places: tuple[float, float]) -> list[Point]:
    """Metres east and north of somewhere, one after the other."""
    east = DEGREE_M * cos(radians(52))
    return [
        Point(lat=52 + y / DEGREE_M, lng=13 + x / east, ts=number, seq=number)
        for number, (x, y) in enumerate(places)
    ]


def simplified(points: list[Point], tolerance_m: float = TOLERANCE_M, by: int = 7) -> list[Point]:
    """Handed over some at a time."""
    simplifier = Simplifier(tolerance_m)
    kept = []
    for start in range(0, len(points), by):
        kept += simplifier.take(points[start : start + by])
    return kept + simplifier.end()


def away_m(point: Point, start: Point, end: Point) -> float:
    """From a point to a straight line, tried at many places of it."""
    east = DEGREE_M * cos(radians(point.lat))
    return min(
        hypot(
            (start.lng + (end.lng - start.lng) * share / 400 - point.lng) * east,
            (start.lat + (end.lat - start.lat) * share / 400 - point.lat) * DEGREE_M,
        )
        for share in range(401)
    )


metres = st.integers(-200, 200)


@given(st.lists(st.tuples(metres, metres), max_size=25))
def test_nothing_that_is_left_out_is_far_from_the_line(places: list[tuple[int, int]]) -> None:
    points = line(*places)
    kept = simplified(points)
    assert [point for point in points if point in kept] == kept
    assert kept[:1] + kept[-1:] == points[:1] + points[-1:] or len(points) == 1
    for start, end in pairwise(kept):
        between = points[start.seq + 1 : end.seq]
        assert all(away_m(point, start, end) <= TOLERANCE_M + 1 for point in between)


def test_a_straight_line_is_its_ends() -> None:
    points = line(*((10 * n, 5 * n) for n in range(100)))
    assert simplified(points) == [points[0], points[-1]]


def test_a_turn_stays() -> None:
    points = line(*((n, 0) for n in range(0, 100, 10)), *((100, n) for n in range(0, 100, 10)))
    assert simplified(points) == [points[0], points[10], points[-1]]


def test_a_way_there_and_back_stays() -> None:
    points = line((0, 0), (50, 0), (100, 0), (50, 0), (0, 0))
    assert simplified(points) == [points[0], points[2], points[4]]


def test_a_line_over_the_antimeridian_is_as_straight_as_any() -> None:
    points = [Point(lat=0, lng=lng, ts=n, seq=n) for n, lng in enumerate((179.9, 179.99, -179.92))]
    assert simplified(points) == [points[0], points[2]]


@pytest.mark.parametrize("length", [0, 1, 2, WINDOW - 1, WINDOW, WINDOW + 1, 2 * WINDOW])
def test_a_long_line_keeps_its_ends_and_those_of_its_windows(length: int) -> None:
    points = line(*((n, 0) for n in range(length)))
    kept = [point.seq for point in simplified(points, by=100)]
    last = length - 1
    assert kept == sorted({*range(0, last, WINDOW - 1), last} if length else ())


def test_it_has_one_window_in_memory() -> None:
    simplifier = Simplifier(TOLERANCE_M)
    for start in range(0, 50_000, 1_000):
        simplifier.take(line(*((n, 0) for n in range(start, start + 1_000))))
        assert len(simplifier._window) < WINDOW
