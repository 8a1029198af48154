"""The payload of every command: what it needs, what it assumes, what it refuses."""

from typing import Any, TypeVar

import msgspec
import pytest
from msgspec import UNSET, Struct

from models import commands
from models.commands import (
    ChatClose,
    ChatHistory,
    ChatOpen,
    DriverStatus,
    MarkRead,
    SessionRefresh,
    ShowTyping,
    TripCreate,
    TripDecline,
    TripEdit,
    TripOffer,
    TripSubscribe,
    TripUnsubscribe,
    TripUpdate,
)
from models.messages import Draft
from models.points import Place
from models.trips import Changed

C = TypeVar("C", bound=Struct)
HERE: dict[str, Any] = {"lat": 52.5, "lng": 13.4}

LEAST: dict[type[Struct], dict[str, Any]] = {
    SessionRefresh: {"token": "x"},
    DriverStatus: {"status": "busy"},
    TripCreate: {"client_id": "c1", "pickup": HERE},
    TripOffer: {"trip_id": "t1", "driver_id": "dan"},
    TripDecline: {"trip_id": "t1"},
    TripUpdate: {"trip_id": "t1", "status": "accepted"},
    TripEdit: {"trip_id": "t1", "stops": []},
    TripSubscribe: {"trip_id": "t1"},
    TripUnsubscribe: {"trip_id": "t1"},
    Draft: {"conversation_id": "t1", "client_id": "c1", "text": "hello"},
    ChatHistory: {"conversation_id": "t1"},
    MarkRead: {"conversation_id": "t1", "read_seq": 1},
    ShowTyping: {"conversation_id": "t1", "typing": True},
    ChatOpen: {"client_id": "c1", "participants": ["rita"]},
    ChatClose: {"conversation_id": "t1"},
}
"""The least that each command needs."""


def parsed(kind: type[C], **more: object) -> C:
    return msgspec.convert({**LEAST[kind], **more}, kind)


def is_taken(kind: type[Struct], **more: object) -> bool:
    try:
        parsed(kind, **more)
    except msgspec.ValidationError:
        return False
    return True


class TestEveryCommand:
    def test_the_commands_are_the_documented_ones(self) -> None:
        names = [kind.event for kind in LEAST]  # type: ignore[attr-defined]
        assert sorted([*names, commands.DRIVER_LOCATION]) == [
            *("chat:close", "chat:history", "chat:open", "chat:receipt", "chat:send"),
            *("chat:typing", "driver:location", "driver:status", "session:refresh"),
            *("trip:create", "trip:decline", "trip:edit", "trip:offer", "trip:subscribe"),
            *("trip:unsubscribe", "trip:update"),
        ]

    @pytest.mark.parametrize("kind", LEAST)
    def test_a_field_that_is_not_known_is_ignored(self, kind: type[Struct]) -> None:
        assert parsed(kind, a_field_of_tomorrow={"a": 1}) == parsed(kind)

    @pytest.mark.parametrize(
        ("kind", "field"), [(kind, name) for kind, least in LEAST.items() for name in least]
    )
    def test_what_it_needs_cannot_be_left_out(self, kind: type[Struct], field: str) -> None:
        fields = {name: value for name, value in LEAST[kind].items() if name != field}
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(fields, kind)

    @pytest.mark.parametrize(
        ("kind", "field"),
        [(kind, name) for kind, least in LEAST.items() for name in least if name.endswith("id")],
    )
    @pytest.mark.parametrize("bad", ["", "a b", "x" * 129, 7, None, {"$ne": 1}, ["t1"]])
    def test_its_ids_are_ids(self, kind: type[Struct], field: str, bad: object) -> None:
        assert not is_taken(kind, **{field: bad})

    @pytest.mark.parametrize("kind", LEAST)
    @pytest.mark.parametrize("payload", [None, [], 5, "x", True])
    def test_its_payload_is_an_object(self, kind: type[Struct], payload: object) -> None:
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(payload, kind)


class TestTripCreate:
    def test_a_trip_needs_no_more_than_a_pick_up(self) -> None:
        created = parsed(TripCreate)
        assert created.pickup == Place(52.5, 13.4)
        assert (created.dropoff, created.stops, created.metadata) == (None, (), {})
        assert (created.pin, created.rider_id, created.driver_id) == (None, None, None)

    def test_two_trips_do_not_share_their_metadata(self) -> None:
        assert parsed(TripCreate).metadata is not parsed(TripCreate).metadata

    def test_it_has_20_stops_at_most(self) -> None:
        assert len(parsed(TripCreate, stops=[HERE] * 20).stops) == 20
        assert not is_taken(TripCreate, stops=[HERE] * 21)

    @pytest.mark.parametrize("bad", [{}, {"lat": 1}, {"lat": 91, "lng": 0}, HERE | {"address": ""}])
    @pytest.mark.parametrize("field", ["pickup", "dropoff"])
    def test_a_place_is_on_earth(self, field: str, bad: object) -> None:
        assert not is_taken(TripCreate, **{field: bad})
        assert not is_taken(TripCreate, stops=[HERE, bad])

    def test_its_metadata_keep_the_limits_of_free_forms(self) -> None:
        assert parsed(TripCreate, metadata={"a": 1}).metadata == {"a": 1}
        refused: list[object] = [{"$a": 1}, {"a": "x" * 5_000}, [], "x", None]
        assert not any(is_taken(TripCreate, metadata=bad) for bad in refused)

    @pytest.mark.parametrize("kind", [TripCreate, TripOffer])
    def test_an_offer_stands_for_up_to_a_day(self, kind: type[Struct]) -> None:
        assert is_taken(kind, expires_in_ms=1)
        assert is_taken(kind, expires_in_ms=86_400_000)
        assert is_taken(kind, expires_in_ms=None)
        for bad in (0, -1, 86_400_001, 1.5, "1"):
            assert not is_taken(kind, expires_in_ms=bad)


class TestTripEdit:
    def test_a_destination_that_is_null_is_another_than_one_that_is_not_named(self) -> None:
        assert parsed(TripEdit, dropoff=None).dropoff is None
        assert parsed(TripEdit).dropoff is UNSET

    def test_it_changes_what_it_names(self) -> None:
        assert parsed(TripEdit).changed == Changed(stops=())
        edit = msgspec.convert({"trip_id": "t1", "dropoff": None, "metadata": {}}, TripEdit)
        assert edit.changed == Changed(dropoff=None, metadata={})

    def test_it_changes_something(self) -> None:
        with pytest.raises(msgspec.ValidationError, match="dropoff, stops, metadata"):
            msgspec.convert({"trip_id": "t1", "version": 3}, TripEdit)

    def test_it_keeps_the_limits_of_a_creation(self) -> None:
        assert not is_taken(TripEdit, stops=[HERE] * 21)
        assert not is_taken(TripEdit, metadata={"a": {"$b": 1}})
        assert not is_taken(TripEdit, stops=None)
        assert not is_taken(TripEdit, metadata=None)


class TestTripUpdate:
    def test_only_a_status_of_a_trip_is_one(self) -> None:
        for bad in ("", "ACCEPTED", "started", 1, None):
            assert not is_taken(TripUpdate, status=bad)

    def test_a_version_is_a_number(self) -> None:
        assert parsed(TripUpdate, version=3).version == 3
        for bad in (-1, "3", 1.5, True, 2**53):
            assert not is_taken(TripUpdate, version=bad)


class TestChat:
    def test_a_page_of_history_is_50_messages_unless_it_says_otherwise(self) -> None:
        assert parsed(ChatHistory).limit == 50
        assert parsed(ChatHistory, limit=1).limit == 1
        assert parsed(ChatHistory, limit=200).limit == 200
        for bad in (0, -1, 201, 1.5, None):
            assert not is_taken(ChatHistory, limit=bad)

    def test_history_goes_one_way(self) -> None:
        assert is_taken(ChatHistory, before_seq=5)
        assert is_taken(ChatHistory, after_seq=0)
        assert not is_taken(ChatHistory, before_seq=5, after_seq=0)

    def test_a_receipt_says_at_least_one_number(self) -> None:
        assert is_taken(MarkRead, read_seq=None, delivered_seq=0)
        assert not is_taken(MarkRead, read_seq=None)
        assert not is_taken(MarkRead, read_seq=-1)

    def test_somebody_types_or_does_not(self) -> None:
        for bad in (0, 1, "true", None):
            assert not is_taken(ShowTyping, typing=bad)

    def test_a_conversation_has_1_to_50_participants(self) -> None:
        assert is_taken(ChatOpen, participants=[f"u{n}" for n in range(50)])
        assert not is_taken(ChatOpen, participants=[f"u{n}" for n in range(51)])
        assert not is_taken(ChatOpen, participants=[])
        assert not is_taken(ChatOpen, participants=["a b"])

    def test_a_title_is_no_longer_than_200_characters(self) -> None:
        assert is_taken(ChatOpen, title="x" * 200)
        assert not is_taken(ChatOpen, title="x" * 201)
        assert not is_taken(ChatOpen, title="")


class TestDriverStatus:
    def test_a_driver_is_one_of_three(self) -> None:
        assert all(is_taken(DriverStatus, status=s) for s in ("available", "busy", "offline"))
        assert not is_taken(DriverStatus, status="away")
