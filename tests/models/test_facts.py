"""Events as clients hear them: their names, their fields, and what a watcher is not told."""

from typing import Any, get_args

import msgspec
import pytest

from models.facts import (
    ChatReceipt,
    ChatTyping,
    Control,
    Fact,
    Hearing,
    TripDriver,
    TripLocation,
    TripStatus,
    WatchedStatus,
)
from models.identity import Identity, Role
from models.points import Place, Point
from models.trips import Changed, Event, Offer, Trip, edited, offered, requested

NOW = 1_800_000_000_000
RITA = Identity("rita", Role.RIDER, expires_at=NOW)
ANN = Identity("ann", Role.AGENT, expires_at=NOW)
HERE = Place(52.5, 13.4)


def fields(fact: object) -> dict[str, Any]:
    decoded: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(fact))
    return decoded


def new_trip() -> Trip:
    return requested(
        "t1",
        "rita",
        RITA,
        now=NOW,
        pickup=HERE,
        dropoff=None,
        stops=(),
        offer=None,
        pin="4711",
        metadata={"fare": "secret"},
    )


def last_status(trip: Trip) -> TripStatus:
    return TripStatus.of(trip.id, trip.events[-1])


class TestStatus:
    def test_a_status_is_the_entry_of_the_history_with_the_trips_id(self) -> None:
        trip = edited(
            offered(new_trip(), Offer("dan", NOW), ANN, NOW), Changed(dropoff=HERE), RITA, NOW
        )
        for event in trip.events:
            assert fields(TripStatus.of("t1", event)) == {"trip_id": "t1", **fields(event)}

    def test_its_number_is_the_version(self) -> None:
        assert last_status(offered(new_trip(), Offer("dan"), ANN, NOW)).number == 2

    def test_a_watcher_hears_of_no_people(self) -> None:
        heard = fields(WatchedStatus.of(last_status(offered(new_trip(), Offer("dan"), ANN, NOW))))
        assert heard == {"trip_id": "t1", "version": 2, "status": "requested", "at": NOW}

    def test_a_watcher_hears_where_the_ride_goes_now(self) -> None:
        changed = Changed(dropoff=HERE, stops=(HERE,), metadata={"fare": "secret"})
        heard = fields(WatchedStatus.of(last_status(edited(new_trip(), changed, RITA, NOW))))
        place = {"lat": 52.5, "lng": 13.4}
        assert heard["changed"] == {"dropoff": place, "stops": [place]}

    def test_a_destination_that_is_taken_away_is_told_to_a_watcher(self) -> None:
        heard = WatchedStatus.of(last_status(edited(new_trip(), Changed(dropoff=None), RITA, NOW)))
        assert fields(heard)["changed"] == {"dropoff": None}

    def test_a_watcher_hears_that_something_changed_but_not_the_metadata(self) -> None:
        changed = Changed(metadata={"fare": "new secret"})
        heard = fields(WatchedStatus.of(last_status(edited(new_trip(), changed, RITA, NOW))))
        assert set(heard) == {"trip_id", "version", "status", "at"}

    def test_both_have_the_same_name(self) -> None:
        assert WatchedStatus.event == TripStatus.event == "trip:status"


class TestPassing:
    def test_a_location_is_the_point_with_the_trips_id(self) -> None:
        point = Point(52.5, 13.4, NOW, 7, 90.0, 8.5, 12.0)
        assert fields(TripLocation.of("t1", point)) == {"trip_id": "t1", **fields(point)}

    def test_what_a_phone_did_not_measure_is_left_out(self) -> None:
        heard = fields(TripLocation.of("t1", Point(52.5, 13.4, NOW, 7)))
        assert set(heard) == {"trip_id", "lat", "lng", "ts", "seq"}

    def test_a_location_is_numbered_by_its_time(self) -> None:
        assert TripLocation.of("t1", Point(52.5, 13.4, NOW, 7)).number == NOW

    @pytest.mark.parametrize(
        ("fact", "documented"),
        [
            (ChatReceipt("t1", "rita", 2, 1), "conversation_id user_id delivered_seq read_seq"),
            (ChatTyping("t1", "rita", True), "conversation_id user_id typing"),
            (TripDriver("t1", Hearing.LIVE, NOW), "trip_id connection last_seen"),
        ],
    )
    def test_the_others_have_the_documented_fields(self, fact: object, documented: str) -> None:
        assert set(fields(fact)) == set(documented.split())


class TestNames:
    def test_the_events_are_the_documented_ones(self) -> None:
        told = {kind.event for kind in get_args(Fact) if kind not in get_args(Control)}
        assert told == {
            *("trip:status", "trip:location", "trip:driver", "trip:eta"),
            *("chat:message", "chat:receipt", "chat:typing"),
        }

    def test_control_stays_inside(self) -> None:
        assert all(kind.event.startswith("control:") for kind in get_args(Control))


def test_facts_leave_out_nothing_of_what_they_tell() -> None:
    assert set(TripStatus.__struct_fields__) == {"trip_id", *Event.__struct_fields__}
    assert set(TripLocation.__struct_fields__) == {"trip_id", *Point.__struct_fields__}
