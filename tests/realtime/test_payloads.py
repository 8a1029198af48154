"""Payloads read into their types, in both encodings, and what is said of those that cannot be."""

import math
from typing import Any

import msgspec
import pytest
from msgspec import Raw

from handlers.answers import Rejected
from models.commands import (
    ChatOpen,
    DriverStatus,
    TripCreate,
    TripEdit,
    TripSubscribe,
    TripUpdate,
)
from models.errors import Invalid
from models.messages import Draft
from models.points import Place, Point
from realtime import payloads
from realtime.wire import JSON, MSGPACK, Parser

HERE = {"lat": 52.5, "lng": 13.4}
GOOD = {"lat": 52.5, "lng": 13.4, "ts": 1_800_000_000_000, "seq": 7}
TRIP: dict[str, Any] = {"client_id": "c1", "pickup": HERE}
MESSAGE = {"conversation_id": "t1", "client_id": "c1"}

both = pytest.mark.parametrize("parser", [JSON, MSGPACK], ids=["json", "msgpack"])


def encoded(parser: Parser, payload: object) -> Raw:
    encode = msgspec.json.encode if parser is JSON else msgspec.msgpack.encode
    return Raw(encode(payload))


def refused(parser: Parser, payload: object, kind: type[Any]) -> Invalid:
    with pytest.raises(Invalid) as refusal:
        payloads.parse(parser, encoded(parser, payload), kind)
    return refusal.value


def points(parser: Parser, payload: object) -> list[Point | Rejected]:
    return list(payloads.points(parser, encoded(parser, payload)))


@both
class TestParsing:
    def test_a_payload_becomes_its_type(self, parser: Parser) -> None:
        create = payloads.parse(parser, encoded(parser, TRIP), TripCreate)
        assert create == TripCreate(client_id="c1", pickup=Place(52.5, 13.4))

    def test_whole_numbers_are_coordinates_too(self, parser: Parser) -> None:
        payload = {**TRIP, "pickup": {"lat": 52, "lng": -13}}
        assert payloads.parse(parser, encoded(parser, payload), TripCreate).pickup.lat == 52.0

    def test_nothing_at_all_is_invalid(self, parser: Parser) -> None:
        with pytest.raises(Invalid, match="got nothing"):
            payloads.parse(parser, None, TripSubscribe)

    @pytest.mark.parametrize(
        ("payload", "kind", "path"),
        [
            ({}, TripSubscribe, "trip_id"),
            ({"trip_id": 5}, TripSubscribe, "trip_id"),
            ({"trip_id": "a b"}, TripSubscribe, "trip_id"),
            ({"trip_id": "t1", "after_seq": -1}, TripSubscribe, "after_seq"),
            ({"trip_id": "t1", "status": "started"}, TripUpdate, "status"),
            ({"client_id": "c1"}, TripCreate, "pickup"),
            ({"client_id": "c1", "pickup": {"lat": 1}}, TripCreate, "pickup.lng"),
            ({"client_id": "c1", "pickup": {"lat": 91, "lng": 0}}, TripCreate, "pickup.lat"),
            ({**TRIP, "stops": [HERE, {"lat": "x", "lng": 0}]}, TripCreate, "stops.1.lat"),
            ({**TRIP, "stops": [HERE, {"lng": 0}]}, TripCreate, "stops.1.lat"),
            ({**TRIP, "stops": [HERE] * 21}, TripCreate, "stops"),
            ({**TRIP, "metadata": []}, TripCreate, "metadata"),
            ({"client_id": "c1", "participants": ["a", "b c"]}, ChatOpen, "participants.1"),
            ([], TripSubscribe, ""),
            (None, TripSubscribe, ""),
            (5, TripSubscribe, ""),
        ],
    )
    def test_a_refusal_names_the_field_and_what_was_expected(
        self, parser: Parser, payload: object, kind: type[Any], path: str
    ) -> None:
        error = refused(parser, payload, kind)
        assert error.details["path"] == path
        expected = error.details["expected"]
        assert isinstance(expected, str)
        assert expected.startswith("Expected")
        assert "$" not in expected
        assert error.message == f"{path or 'payload'}: {expected}"

    def test_a_pattern_is_told_in_words(self, parser: Parser) -> None:
        error = refused(parser, {"trip_id": "a\tb"}, TripSubscribe)
        assert error.details["expected"] == "Expected printable characters without spaces"

    @pytest.mark.parametrize(
        ("payload", "kind", "choices"),
        [
            ({"status": "away"}, DriverStatus, "available, busy, offline"),
            (
                {**MESSAGE, "kind": "video"},
                Draft,
                "text, quick_reply, location, image, system",
            ),
        ],
    )
    def test_of_a_choice_all_are_named(
        self, parser: Parser, payload: object, kind: type[Any], choices: str
    ) -> None:
        error = refused(parser, payload, kind)
        assert error.details["expected"] == f"Expected one of {choices}"

    def test_rules_between_fields_are_told_too(self, parser: Parser) -> None:
        error = refused(parser, {"trip_id": "t1"}, TripEdit)
        assert error.details["expected"] == "Expected one of dropoff, stops, metadata"

    @pytest.mark.parametrize(
        ("payload", "path"),
        [
            pytest.param(
                {**MESSAGE, "kind": "location", "data": {"lat": 91, "lng": 0}}, "data.lat"
            ),
            pytest.param({**MESSAGE, "kind": "image", "data": {"size": 1}}, "data.url"),
            pytest.param({**MESSAGE, "kind": "location"}, "data"),
        ],
    )
    def test_what_is_wrong_with_a_messages_data_is_found_there(
        self, parser: Parser, payload: object, path: str
    ) -> None:
        assert refused(parser, payload, Draft).details["path"] == path

    @pytest.mark.parametrize("metadata", [{"$a": 1}, {"a": 2**63}, {"a": "x" * 5_000}])
    def test_what_is_wrong_with_metadata_is_found_there(
        self, parser: Parser, metadata: object
    ) -> None:
        error = refused(parser, {**TRIP, "metadata": metadata}, TripCreate)
        assert error.details["path"] == "metadata"


class TestUnreadable:
    """What has the shape of a payload and yet cannot be read."""

    @pytest.mark.parametrize("value", [b"\xa2\xff\xfe", b"\x81\x81\x01\x02\x03"])
    def test_a_packed_value_that_cannot_be_is_invalid(self, value: bytes) -> None:
        payload = b"\x83" + msgspec.msgpack.encode(TRIP)[1:] + b"\xa8metadata\x81\xa1a" + value
        with pytest.raises(Invalid):
            payloads.parse(MSGPACK, Raw(payload), TripCreate)

    def test_a_key_that_is_no_string_is_found_in_its_object(self) -> None:
        error = refused(MSGPACK, {**TRIP, "metadata": {5: 1}}, TripCreate)
        assert error.details == {"path": "metadata", "expected": "Expected `str`, got `int`"}

    @pytest.mark.parametrize("number", ["1e999", "-1e999", "9" * 5_000])
    def test_a_number_beyond_all_numbers_is_invalid(self, number: str) -> None:
        with pytest.raises(Invalid) as refusal:
            payloads.parse(
                JSON, Raw(f'{{"trip_id":"t1","after_seq":{number}}}'.encode()), TripSubscribe
            )
        assert refusal.value.details["path"] == "after_seq"


@both
class TestPoints:
    def test_one_point_is_a_point(self, parser: Parser) -> None:
        assert points(parser, GOOD) == [Point(52.5, 13.4, 1_800_000_000_000, 7)]

    def test_a_list_of_points_keeps_its_order(self, parser: Parser) -> None:
        batch = [{**GOOD, "seq": seq} for seq in (3, 1, 2)]
        assert [point.seq for point in points(parser, batch)] == [3, 1, 2]

    def test_everything_that_a_phone_measured_is_read(self, parser: Parser) -> None:
        measured = {**GOOD, "heading": 90, "speed": 8.5, "accuracy": 12}
        assert points(parser, measured) == [
            Point(52.5, 13.4, 1_800_000_000_000, 7, 90.0, 8.5, 12.0)
        ]

    @pytest.mark.parametrize(
        "names", [("latitude", "longitude"), ("latitude", "lng"), ("lat", "longitude")]
    )
    def test_latitude_and_longitude_are_names_too(
        self, parser: Parser, names: tuple[str, str]
    ) -> None:
        point = {names[0]: 52.5, names[1]: 13.4, "ts": 5, "seq": 7}
        assert points(parser, point) == points(parser, [point]) == [Point(52.5, 13.4, 5, 7)]

    def test_fields_that_are_not_known_are_ignored(self, parser: Parser) -> None:
        extra = {"altitude": 34, "provider": "gps", "nested": {"a": [1]}}
        for point in (GOOD | extra, {**extra, "latitude": 1, "longitude": 2, "ts": 3, "seq": 4}):
            (read,) = points(parser, point)
            assert isinstance(read, Point)

    @pytest.mark.parametrize("count", [1, 500])
    def test_up_to_500_points_are_taken(self, parser: Parser, count: int) -> None:
        assert len(points(parser, [GOOD] * count)) == count

    @pytest.mark.parametrize("count", [0, 501])
    def test_no_point_and_more_than_500_are_invalid(self, parser: Parser, count: int) -> None:
        with pytest.raises(Invalid):
            points(parser, [GOOD] * count)

    @pytest.mark.parametrize("payload", [None, 5, "x", True])
    def test_what_is_neither_a_point_nor_a_list_is_invalid(
        self, parser: Parser, payload: object
    ) -> None:
        with pytest.raises(Invalid):
            points(parser, payload)

    def test_nothing_at_all_is_invalid(self, parser: Parser) -> None:
        with pytest.raises(Invalid):
            payloads.points(parser, None)

    @pytest.mark.parametrize(
        "bad",
        [
            {"lat": 90.1},
            {"lng": -180.1},
            {"lat": None},
            {"lat": "52.5"},
            {"ts": -1},
            {"ts": 1.5},
            {"ts": 2**53},
            {"heading": 360},
            {"speed": -1},
            {"accuracy": "good"},
        ],
    )
    def test_a_bad_point_is_rejected_by_its_seq_and_the_others_stay(
        self, parser: Parser, bad: dict[str, object]
    ) -> None:
        assert points(parser, {**GOOD, **bad}) == [Rejected(7, "invalid")]
        good, rejected, also_good = points(parser, [GOOD, {**GOOD, **bad, "seq": 8}, GOOD])
        assert isinstance(good, Point)
        assert isinstance(also_good, Point)
        assert rejected == Rejected(8, "invalid")

    @pytest.mark.parametrize("seq", [None, -1, 1.5, "7", True, 2**53, [7], "left out"])
    def test_a_seq_that_cannot_be_read_is_null(self, parser: Parser, seq: object) -> None:
        point = {**GOOD, "seq": seq}
        if seq == "left out":
            del point["seq"]
        assert points(parser, point) == points(parser, [point]) == [Rejected(None, "invalid")]

    @pytest.mark.parametrize("element", [None, 5, "x", [], [GOOD]])
    def test_an_element_that_is_no_object_is_rejected(
        self, parser: Parser, element: object
    ) -> None:
        assert points(parser, [element, GOOD])[0] == Rejected(None, "invalid")

    def test_an_empty_object_is_a_rejected_point(self, parser: Parser) -> None:
        assert points(parser, {}) == [Rejected(None, "invalid")]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    "field", ["lat", "lng", "latitude", "longitude", "heading", "speed", "accuracy", "ts"]
)
def test_what_is_no_number_is_rejected(field: str, value: float) -> None:
    """Only MessagePack can say such a thing."""
    aliases = {"latitude": "lat", "longitude": "lng"}
    point = {name: given for name, given in GOOD.items() if name != aliases.get(field)}
    assert points(MSGPACK, {**point, field: value}) == [Rejected(7, "invalid")]
    assert points(MSGPACK, [{**point, field: value}, GOOD])[0] == Rejected(7, "invalid")


@pytest.mark.parametrize("number", ["1e999", "9" * 5_000])
@pytest.mark.parametrize("field", ["lat", "altitude"])
def test_a_number_beyond_all_numbers_costs_its_point_and_no_other(field: str, number: str) -> None:
    good = msgspec.json.encode(GOOD).decode()
    bad = f'{{"latitude":1,"lng":2,"ts":3,"seq":8,"{field}":{number}}}'
    read = list(payloads.points(JSON, Raw(f"[{good},{bad}]".encode())))
    assert len(read) == 2
    assert read[0] == Point(52.5, 13.4, 1_800_000_000_000, 7)


@pytest.mark.parametrize("value", [b"\xa2\xff\xfe", b"\x81\x81\x01\x02\x03"])
def test_a_packed_value_that_cannot_be_costs_its_point_and_no_other(value: bytes) -> None:
    good = msgspec.msgpack.encode(GOOD)
    bad = b"\x85" + good[1:] + b"\xa4note" + value
    assert len(list(payloads.points(MSGPACK, Raw(b"\x92" + good + bad)))) == 2


def test_a_packed_field_that_cannot_be_read_rejects_its_point() -> None:
    point = b"\x85" + msgspec.msgpack.encode(GOOD)[1:] + b"\xa5speed\xa2\xff\xfe"
    for payload in (point, b"\x91" + point):
        assert list(payloads.points(MSGPACK, Raw(payload))) == [Rejected(7, "invalid")]


def test_a_packed_name_that_cannot_be_read_rejects_its_point() -> None:
    good = msgspec.msgpack.encode(GOOD)
    bad = b"\x82\xa8latitude\x01\xa2\xff\xfe\x01"
    read = list(payloads.points(MSGPACK, Raw(b"\x92" + bad + good)))
    assert read[0] == Rejected(None, "invalid")
    assert isinstance(read[1], Point)


def test_a_key_that_is_no_string_makes_no_point() -> None:
    point: dict[Any, Any] = {**GOOD, 5: 6, "lat": "x"}
    assert points(MSGPACK, point) == [Rejected(7, "invalid")]
