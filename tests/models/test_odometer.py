"""How far somebody has driven."""

import pytest

from models.odometer import MOVE_M, Odometer
from models.points import Point

DEGREE_M = 111_195


def driven(*norths: float) -> int:
    """Metres of a way along a meridian, by how many metres north each point is."""
    odometer = Odometer()
    for number, north in enumerate(norths):
        odometer.pass_by(Point(lat=52 + north / DEGREE_M, lng=13, ts=number, seq=number))
    return odometer.metres


def test_a_way_is_as_long_as_its_pieces() -> None:
    assert driven(0, 100, 250, 200) == pytest.approx(300, abs=1)


def test_a_small_move_counts_when_it_adds_up() -> None:
    assert driven(*range(0, 101, 3)) == pytest.approx(99, abs=1)
    assert driven(0, 4) == 4


def test_standing_still_is_no_way() -> None:
    assert driven(*(0, 5, -4, 6, -3) * 100) <= MOVE_M


def test_nothing_is_nowhere() -> None:
    assert driven() == driven(7) == 0
