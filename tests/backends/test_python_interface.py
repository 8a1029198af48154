"""The Python client is made for the server beside it: its routes, fields, words and errors."""

import inspect
import re
from enum import StrEnum
from typing import Any, Final, get_args

import msgspec
import pytest
import ridewire
from msgspec import Struct
from ridewire import calls, errors, resources, tokens

from handlers.answers import (
    NearbyDriver,
    Page,
    Shared,
    Track,
    TrackLine,
    TrackLines,
    TrackPart,
    TrackPoint,
)
from models import errors as known_errors
from models.errors import RidewireError
from models.identity import Role
from models.messages import Conversation, Kind, Message
from models.points import Place
from models.requests import TrackFormat
from models.trips import Changed, Event, Offer, Status, Trip
from realtime.http import errors as edge
from realtime.http.table import ROUTES, Route
from realtime.tokens import ALGORITHMS

SHAPES: Final[dict[type[Struct], type[Struct]]] = {
    Place: resources.Place,
    Offer: resources.Offer,
    Changed: resources.Changed,
    Event: resources.TripEvent,
    Trip: resources.Trip,
    Message: resources.Message,
    Conversation: resources.Conversation,
    NearbyDriver: resources.NearbyDriver,
    Shared: resources.ShareLink,
    TrackPoint: resources.TrackPoint,
    Track: resources.Track,
    TrackPart: resources.TrackPart,
    TrackLine: resources.TrackLine,
    TrackLines: resources.TrackLines,
    Page: resources.Page,
}
NAMED_OTHERWISE: Final = {"jti": "token_id"}
CALLS: Final[dict[str, calls.Call[Any]]] = {
    "create_trip": calls.create_trip(pickup=resources.Place(1, 2)),
    "list_trips": calls.list_trips(),
    "get_trip": calls.get_trip("ID"),
    "get_track": calls.get_track("ID"),
    "edit_trip": calls.edit_trip("ID", dropoff=None),
    "update_trip": calls.update_trip("ID", "cancelled"),
    "offer_trip": calls.offer_trip("ID", "dan"),
    "share_trip": calls.share_trip("ID"),
    "open_conversation": calls.open_conversation(["rita"]),
    "send_message": calls.send_message("ID", "hello"),
    "list_messages": calls.list_messages("ID"),
    "list_nearby_drivers": calls.list_nearby_drivers(1, 2),
    "push_event": calls.push_event("ID", "news"),
    "revoke_user": calls.revoke_user("ID"),
    "revoke_token": calls.revoke_token("ID"),
}
KNOWN: Final = [
    kind
    for kind in vars(known_errors).values()
    if isinstance(kind, type) and issubclass(kind, RidewireError) and kind is not RidewireError
]
ONLY_OF_SOCKETS: Final = {"unknown_event"}
ONLY_OF_MISUSE: Final = {"unsupported_media_type", "timeout"}
"""What the client never does, so that there is no exception of its own for it."""


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
class TestRoutes:
    def test_it_is_called_as_the_server_has_it(self, route: Route) -> None:
        call = CALLS[route.name]
        assert (call.method, call.path) == (route.method, re.sub(r"\{\w+\}", "ID", route.path))

    def test_it_takes_the_fields_that_the_server_takes(self, route: Route) -> None:
        taken = set(inspect.signature(getattr(calls, route.name)).parameters)
        fields = {NAMED_OTHERWISE.get(name, name) for name in _fields(route.takes)}
        assert taken == fields

    def test_both_clients_have_it(self, route: Route) -> None:
        described = inspect.signature(getattr(calls, route.name)).parameters
        for client in (ridewire.Ridewire, ridewire.AsyncRidewire):
            _itself, *parameters = inspect.signature(getattr(client, route.name)).parameters
            assert parameters == list(described)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
def test_a_resource_has_the_fields_that_the_server_sends(shape: type[Struct]) -> None:
    assert set(_fields(SHAPES[shape])) == set(_fields(shape))


@pytest.mark.parametrize(
    ("literal", "known"),
    [
        (resources.Status, Status),
        (resources.Kind, Kind),
        (resources.Role, Role),
        (resources.TrackFormat, TrackFormat),
    ],
)
def test_the_words_are_the_servers(literal: Any, known: type[StrEnum]) -> None:
    assert list(get_args(literal)) == [word.value for word in known]


def test_every_error_has_its_exception() -> None:
    codes = {kind.code for kind in (*KNOWN, *edge.STATUSES)}
    assert codes - set(errors._BY_CODE) == ONLY_OF_SOCKETS | ONLY_OF_MISUSE


def test_an_exception_says_whether_to_retry_as_the_server_does() -> None:
    known = {kind.code: kind.retry for kind in KNOWN if kind.code not in ONLY_OF_SOCKETS}
    assert {code: kind.retry for code, kind in errors._BY_CODE.items()} == known


def test_the_algorithms_of_secrets_are_the_servers() -> None:
    assert {name for name in ALGORITHMS if name.startswith("HS")} == set(tokens._SECRETS)


def _fields(shape: type[Struct]) -> list[str]:
    return [field.encode_name for field in msgspec.structs.fields(shape)]
