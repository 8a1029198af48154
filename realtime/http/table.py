"""The table of HTTP routes: what each takes and answers. They are served and described from it."""

from collections.abc import Iterable
from enum import StrEnum
from typing import Any, Final

from msgspec import Struct

from handlers.answers import NearbyDriver, Page, Shared, Track, TrackLines
from models.commands import ChatOpen, TripCreate, TripEdit, TripOffer, TripUpdate
from models.messages import Conversation, Draft, Message
from models.requests import (
    DriversNearby,
    MessageList,
    TokenRevoke,
    TripGet,
    TripList,
    TripShare,
    TripTrack,
    UserPush,
    UserRevoke,
)
from models.trips import Trip, WatchedTrip

PREFIX: Final = "/v1"
JSON: Final = "application/json"
GEO_JSON: Final = "application/geo+json"


class Method(StrEnum):
    GET = "GET"
    POST = "POST"
    PATCH = "PATCH"
    DELETE = "DELETE"

    @property
    def has_body(self) -> bool:
        """Whether the fields that are not in the path come as a JSON object, not in the query."""
        return self in (Method.POST, Method.PATCH)


class Route(Struct, frozen=True, kw_only=True):
    """One method on one path.

    The fields of `takes` that stand in braces in the path come from there; the others come from
    the body or, where the method has none, from the query. `answers` is the type of the body of a
    good answer, None for an empty one.
    """

    name: str
    """The operation's name in the documents and in generated clients."""
    method: Method
    path: str
    about: str
    takes: type[Any]
    answers: Any
    """A type, a union of types, or None."""
    status: int = 200
    tag: str
    also: tuple[str, ...] = ()
    """Further media types of a good answer, for who asks for them."""

    @property
    def access(self) -> str:
        """Under which name `handlers.access` says who may."""
        event: str = self.takes.event
        return event

    @property
    def in_path(self) -> tuple[str, ...]:
        return tuple(part[1:-1] for part in self.path.split("/") if part.startswith("{"))

    @property
    def is_versioned(self) -> bool:
        """Whether it answers a trip, which has an ETag."""
        return self.answers in (Trip, Trip | WatchedTrip)

    @property
    def takes_key(self) -> bool:
        """Whether an `Idempotency-Key` may stand in for `client_id`."""
        return "client_id" in self.takes.__struct_fields__

    @property
    def takes_version(self) -> bool:
        """Whether `If-Match` may stand in for `version`."""
        return self.method.has_body and "version" in self.takes.__struct_fields__


ROUTES: Final[tuple[Route, ...]] = (
    Route(
        name="create_trip",
        method=Method.POST,
        path="/v1/trips",
        about="Create a trip; staff names the rider and may name the driver of the first offer.",
        takes=TripCreate,
        answers=Trip,
        status=201,
        tag="trips",
    ),
    Route(
        name="list_trips",
        method=Method.GET,
        path="/v1/trips",
        about="List trips, the newest first. Riders and drivers list their own.",
        takes=TripList,
        answers=Page[Trip],
        tag="trips",
    ),
    Route(
        name="get_trip",
        method=Method.GET,
        path="/v1/trips/{trip_id}",
        about="Read a trip, with its whole history.",
        takes=TripGet,
        answers=Trip | WatchedTrip,
        tag="trips",
    ),
    Route(
        name="edit_trip",
        method=Method.PATCH,
        path="/v1/trips/{trip_id}",
        about="Change destination, stops or metadata of a trip that has not ended.",
        takes=TripEdit,
        answers=Trip,
        tag="trips",
    ),
    Route(
        name="get_track",
        method=Method.GET,
        path="/v1/trips/{trip_id}/track",
        about="Read where the driver of a trip has been; drivers their own part.",
        takes=TripTrack,
        answers=Track | TrackLines,
        also=(GEO_JSON,),
        tag="trips",
    ),
    Route(
        name="update_trip",
        method=Method.POST,
        path="/v1/trips/{trip_id}/status",
        about="Move a trip to another state.",
        takes=TripUpdate,
        answers=Trip,
        tag="trips",
    ),
    Route(
        name="offer_trip",
        method=Method.POST,
        path="/v1/trips/{trip_id}/offer",
        about="Offer a requested trip to a driver, in place of an earlier offer.",
        takes=TripOffer,
        answers=Trip,
        tag="trips",
    ),
    Route(
        name="share_trip",
        method=Method.POST,
        path="/v1/trips/{trip_id}/share",
        about="Make a token with which anybody may watch the trip until it ends.",
        takes=TripShare,
        answers=Shared,
        status=201,
        tag="trips",
    ),
    Route(
        name="open_conversation",
        method=Method.POST,
        path="/v1/conversations",
        about="Open a conversation that is no trip's. A trip's has the trip's id.",
        takes=ChatOpen,
        answers=Conversation,
        status=201,
        tag="conversations",
    ),
    Route(
        name="send_message",
        method=Method.POST,
        path="/v1/conversations/{conversation_id}/messages",
        about="Send a message.",
        takes=Draft,
        answers=Message,
        status=201,
        tag="conversations",
    ),
    Route(
        name="list_messages",
        method=Method.GET,
        path="/v1/conversations/{conversation_id}/messages",
        about="Read messages: the newest, or those before or after a seq. A page is oldest first.",
        takes=MessageList,
        answers=Page[Message],
        tag="conversations",
    ),
    Route(
        name="list_nearby_drivers",
        method=Method.GET,
        path="/v1/drivers/nearby",
        about="Find drivers around a place who take trips, the nearest first; all on one page.",
        takes=DriversNearby,
        answers=Page[NearbyDriver],
        tag="drivers",
    ),
    Route(
        name="push_event",
        method=Method.POST,
        path="/v1/users/{user_id}/events",
        about="Send an event of your own to the connections that a user has now. At most once.",
        takes=UserPush,
        answers=None,
        status=202,
        tag="users",
    ),
    Route(
        name="revoke_user",
        method=Method.DELETE,
        path="/v1/users/{user_id}/sessions",
        about="End a user's sessions, and refuse every token of the user issued until now.",
        takes=UserRevoke,
        answers=None,
        status=204,
        tag="users",
    ),
    Route(
        name="revoke_token",
        method=Method.DELETE,
        path="/v1/sessions/{jti}",
        about="End the sessions of the token with this `jti`, and refuse it from now on.",
        takes=TokenRevoke,
        answers=None,
        status=204,
        tag="users",
    ),
)


def by_path() -> dict[str, list[Route]]:
    """The routes of each path, in the table's order."""
    paths: dict[str, list[Route]] = {}
    for route in ROUTES:
        paths.setdefault(route.path, []).append(route)
    return paths


def methods(routes: Iterable[Route]) -> str:
    """What an `Allow` header says of a path."""
    named = {route.method.value for route in routes}
    return ", ".join(sorted({*named, "OPTIONS", *({"HEAD"} if "GET" in named else ())}))
