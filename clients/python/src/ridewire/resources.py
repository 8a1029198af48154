"""What the server tells: trips, messages, conversations, and the words that it takes.

Times are integers, milliseconds since the epoch; positions are degrees in WGS84. Fields that a
newer server adds are ignored. States, kinds and roles are strings, as there may be new ones.
"""

from typing import Any, Generic, Literal, TypeVar

from msgspec import UNSET, Struct, UnsetType

Item = TypeVar("Item")

Status = Literal[
    "requested",
    "accepted",
    "arriving",
    "arrived",
    "in_progress",
    "completed",
    "cancelled",
    "unfulfilled",
]
Kind = Literal["text", "quick_reply", "location", "image", "system"]
TrackFormat = Literal["json", "geojson", "polyline"]
Role = Literal["driver", "rider", "agent", "service", "viewer"]


class Place(Struct, frozen=True, omit_defaults=True):
    """A pick-up, a stop, a destination."""

    lat: float
    lng: float
    address: str | None = None


class Offer(Struct, frozen=True):
    """To whom a trip is offered, and until when; without `expires_at` until it is answered."""

    driver_id: str
    expires_at: int | None = None


class Changed(Struct, frozen=True):
    """What an edit set, with the new values; `UNSET` is what it left alone."""

    dropoff: Place | UnsetType | None = UNSET
    stops: tuple[Place, ...] | UnsetType = UNSET
    metadata: dict[str, Any] | UnsetType = UNSET


class TripEvent(Struct, frozen=True, kw_only=True):
    """One change of a trip. `by` is the user who made it, None for the server's own (an expiry)."""

    version: int
    status: str
    driver_id: str | None
    offer: Offer | None
    at: int
    by: str | None
    reason: str | None = None
    changed: Changed | None = None


class Trip(Struct, frozen=True, kw_only=True):
    """A ride. `version` grows by one with each change, and `events` has them all.

    `driver_id` is None until a driver accepted, `pin` for drivers and for trips without one.
    `duration_ms` and `distance_m` are of the ride itself, once it has ended.
    """

    id: str
    rider_id: str
    driver_id: str | None
    offer: Offer | None
    status: str
    version: int
    pickup: Place
    dropoff: Place | None
    stops: tuple[Place, ...]
    created_at: int
    updated_at: int
    events: tuple[TripEvent, ...]
    metadata: dict[str, Any]
    cancelled_by: str | None = None
    reason: str | None = None
    pin: str | None = None
    duration_ms: int | None = None
    distance_m: int | None = None


class TrackPoint(Struct, frozen=True, omit_defaults=True):
    """Where a driver was at `ts`. Metres per second, degrees clockwise from north, metres."""

    lat: float
    lng: float
    ts: int
    seq: int
    heading: float | None = None
    speed: float | None = None
    accuracy: float | None = None


class TrackPart(Struct, frozen=True):
    """Where one driver was in one phase of a trip, oldest first."""

    driver_id: str
    phase: str
    points: tuple[TrackPoint, ...]


class Track(Struct, frozen=True, kw_only=True):
    """Where the driver of a trip has been. `duration_ms` and `distance_m` are of the ride."""

    trip_id: str
    duration_ms: int | None = None
    distance_m: int | None = None
    parts: tuple[TrackPart, ...]


class TrackLine(Struct, frozen=True):
    """The same as an encoded polyline of `count` points."""

    driver_id: str
    phase: str
    polyline: str
    count: int


class TrackLines(Struct, frozen=True, kw_only=True):
    """A track as encoded polylines, with `precision` decimals of a degree."""

    trip_id: str
    duration_ms: int | None = None
    distance_m: int | None = None
    precision: int
    parts: tuple[TrackLine, ...]


class Message(Struct, frozen=True, kw_only=True):
    """A stored message. `seq` is 1, 2, 3, … within its conversation."""

    id: str
    conversation_id: str
    seq: int
    sender_id: str
    client_id: str
    kind: str
    text: str | None
    data: dict[str, Any] | None = None
    sent_at: int


class Conversation(Struct, frozen=True, kw_only=True):
    """A conversation that is no trip's. A trip's has the trip's id, and is not told as one."""

    id: str
    participants: tuple[str, ...]
    created_at: int
    created_by: str
    title: str | None = None
    closed_at: int | None = None


class NearbyDriver(Struct, frozen=True, kw_only=True):
    """An available driver near a place. Metres, metres per second, degrees clockwise from north.

    `age_ms` is how long before the answer the driver was seen there.
    """

    driver_id: str
    lat: float
    lng: float
    distance_m: int
    seen_at: int
    age_ms: int
    heading: float | None = None
    speed: float | None = None


class ShareLink(Struct, frozen=True):
    """A viewer's token for one trip; it works until the trip ends, at most until `expires_at`."""

    token: str
    expires_at: int


class Page(Struct, Generic[Item], frozen=True):
    """A part of a list; `next_cursor` asks for the next one, None after the last."""

    items: tuple[Item, ...]
    next_cursor: str | None
