"""Encoded polylines, against the published example and a decoder of our own."""

from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.polyline import PolylineEncoder

places = st.lists(
    st.tuples(
        st.floats(-90, 90, allow_nan=False, allow_infinity=False),
        st.floats(-180, 180, allow_nan=False, allow_infinity=False),
    ),
    max_size=20,
)


def encoded(line: Sequence[tuple[float, float]], precision: int = 5) -> str:
    encoder = PolylineEncoder(precision)
    return "".join(encoder.add(lat, lng) for lat, lng in line)


def decoded(text: str) -> Iterator[tuple[int, int]]:
    """The places in steps of the precision."""
    numbers: list[int] = []
    value = shift = 0
    for character in text:
        chunk = ord(character) - 63
        value |= (chunk & 31) << shift
        shift += 5
        if not chunk & 32:
            numbers.append(~(value >> 1) if value & 1 else value >> 1)
            value = shift = 0
    lat = lng = 0
    for north, east in zip(numbers[::2], numbers[1::2], strict=True):
        lat, lng = lat + north, lng + east
        yield lat, lng


def test_the_published_example() -> None:
    line = [(38.5, -120.2), (40.7, -120.95), (43.252, -126.453)]
    assert encoded(line) == "_p~iF~ps|U_ulLnnqC_mqNvxq`@"


def test_a_line_without_places_is_empty() -> None:
    assert encoded([]) == ""


@given(places, st.sampled_from([5, 6]))
def test_it_can_be_read_again_to_its_precision(
    line: list[tuple[float, float]], precision: int
) -> None:
    read = list(decoded(encoded(line, precision)))
    assert read == [(round(lat * 10**precision), round(lng * 10**precision)) for lat, lng in line]


@pytest.mark.parametrize("precision", [5, 6])
def test_errors_do_not_add_up(precision: int) -> None:
    line = [(number * 0.000_000_4, 0.0) for number in range(1_000)]
    (*_, (last, _east)) = decoded(encoded(line, precision))
    assert last == round(999 * 0.000_000_4 * 10**precision)
