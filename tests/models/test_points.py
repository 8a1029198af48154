"""Points and places as JSON."""

import msgspec

from models.points import Place, Point


def test_what_was_not_measured_is_left_out() -> None:
    assert msgspec.json.decode(msgspec.json.encode(Point(1.0, 2.0, 3, 4))) == {
        "lat": 1.0,
        "lng": 2.0,
        "ts": 3,
        "seq": 4,
    }
    assert b"address" not in msgspec.json.encode(Place(1.0, 2.0))


def test_a_measured_zero_is_not_left_out() -> None:
    fields = msgspec.json.decode(msgspec.json.encode(Point(0.0, 0.0, 0, 0, 0.0, 0.0, 0.0)))
    assert fields == dict.fromkeys(("lat", "lng", "ts", "seq", "heading", "speed", "accuracy"), 0)


def test_null_is_the_same_as_left_out() -> None:
    given = {"lat": 1, "lng": 2, "ts": 3, "seq": 4, "heading": None}
    assert msgspec.convert(given, Point) == Point(1.0, 2.0, 3, 4)
