"""How far two places are apart."""

import pytest

from models.distances import DEGREE_M, distance_m


@pytest.mark.parametrize(
    ("start", "end", "metres"),
    [
        ((52.5163, 13.3777), (52.5163, 13.3777), 0),
        ((52.5200, 13.4050), (48.1351, 11.5820), 504_300),
        ((0.0, 0.0), (1.0, 0.0), 111_195),
        ((0.0, 0.0), (0.0, 1.0), 111_195),
        ((60.0, 0.0), (60.0, 1.0), 55_597),
        ((-16.8, 179.999), (-16.8, -179.999), 213),
        ((89.999, 0.0), (89.999, 180.0), 222),
        ((90.0, 10.0), (90.0, -120.0), 0),
        ((0.0, 0.0), (0.0, 180.0), 20_015_115),
    ],
)
def test_a_distance_is_right_everywhere(
    start: tuple[float, float], end: tuple[float, float], metres: float
) -> None:
    assert distance_m(*start, *end) == pytest.approx(metres, rel=1e-3, abs=0.5)
    assert distance_m(*end, *start) == pytest.approx(distance_m(*start, *end))


def test_no_degree_is_longer_than_it_is_taken_for() -> None:
    assert distance_m(0, 0, 1, 0) < DEGREE_M < distance_m(0, 0, 1, 0) * 1.0001
