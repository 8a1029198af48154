"""What an acknowledged command answers: `{"ok": true, …}`. Refusals are `models.errors`."""

from collections.abc import Mapping, Sequence
from typing import Generic, TypeVar

from msgspec import UNSET, Struct, UnsetType

from models.commands import DriverAvailability
from models.facts import TripDriver
from models.fields import Heading, Id, Latitude, Longitude, Millis, Number, Speed
from models.messages import Conversation, Message, Read
from models.points import Point
from models.tracks import Phase
from models.trips import Trip, WatchedTrip

Item = TypeVar("Item")


class Answer(Struct, frozen=True, kw_only=True):
    """What a command answers. As it stands: done, and nothing more to say."""

    ok: bool = True


class SessionRefreshed(Answer, frozen=True, kw_only=True):
    expires_at: Millis


class StatusNoted(Answer, frozen=True, kw_only=True):
    status: DriverAvailability


class Rejected(Struct, frozen=True):
    """A point that was not taken; `seq` is null where the point had none that could be read."""

    seq: Number | None
    code: str


class Located(Answer, frozen=True, kw_only=True):
    """How many points were accepted, and the others."""

    accepted: int
    rejected: Sequence[Rejected]


class TripIs(Answer, frozen=True, kw_only=True):
    """The trip as it is now, in the caller's view."""

    trip: Trip


class Snapshot(Answer, frozen=True, kw_only=True):
    """All that a subscriber needs to draw the ride; what follows are events.

    `messages` are those after `after_seq` (at most 200), or the newest 50; `has_more` says that
    there are further ones on that side. `driver` is null while the trip has none.
    """

    trip: Trip | WatchedTrip
    location: Point | None
    driver: TripDriver | None
    messages: Sequence[Message]
    last_seq: Number
    read: Mapping[Id, Read]
    has_more: bool


class Sent(Answer, frozen=True, kw_only=True):
    message: Message


class History(Answer, frozen=True, kw_only=True):
    """Oldest first; `has_more` says that there are further ones on the side asked for."""

    messages: Sequence[Message]
    has_more: bool


class Marked(Answer, frozen=True, kw_only=True):
    delivered_seq: Number
    read_seq: Number


class ConversationIs(Answer, frozen=True, kw_only=True):
    conversation: Conversation


class OpenConversation(Struct, frozen=True):
    """An open conversation as `session:ready` lists it."""

    id: Id
    last_seq: Number
    read_seq: Number


class SessionReady(Struct, frozen=True, kw_only=True):
    """What a connection is and follows. `status` is a driver's own availability, where known."""

    user_id: Id
    role: str
    protocol: int
    server_time: Millis
    expires_at: Millis
    trips: Sequence[Trip]
    conversations: Sequence[OpenConversation]
    status: DriverAvailability | UnsetType = UNSET


class Page(Struct, Generic[Item], frozen=True):
    """A part of a list over HTTP; `next_cursor` asks for the next one, null after the last."""

    items: Sequence[Item]
    next_cursor: str | None


class NearbyDriver(Struct, frozen=True, omit_defaults=True):
    """An available driver near a place: where it was seen last, and how far away that is."""

    driver_id: Id
    lat: Latitude
    lng: Longitude
    distance_m: Number
    seen_at: Millis
    age_ms: Millis
    heading: Heading | None = None
    speed: Speed | None = None


class Shared(Struct, frozen=True):
    """A viewer's token for one trip; it works until the trip ends, at most until `expires_at`."""

    token: str
    expires_at: Millis


class TrackPoint(Point, frozen=True, omit_defaults=True):
    """A point as it was accepted."""


class TrackPart(Struct, frozen=True):
    """Where one driver was in one phase of a trip, oldest first."""

    driver_id: Id
    phase: Phase
    points: Sequence[TrackPoint]


class Track(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where the driver of a trip has been, part by part."""

    trip_id: Id
    duration_ms: Number | None = None
    distance_m: Number | None = None
    parts: Sequence[TrackPart]


class TrackLine(Struct, frozen=True):
    """Where one driver was in one phase of a trip, as an encoded polyline of so many points."""

    driver_id: Id
    phase: Phase
    polyline: str
    count: Number


class TrackLines(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A track as encoded polylines, with `precision` decimals of a degree."""

    trip_id: Id
    duration_ms: Number | None = None
    distance_m: Number | None = None
    precision: Number
    parts: Sequence[TrackLine]
