"""What happened: the server's events, each with its name. A fact is told to exactly one room.

Kept facts are numbered (a trip's `version`, a conversation's `seq`) and reach everybody in order;
the others are worth having now or never. Control facts steer connections and stay inside.
"""

from enum import StrEnum
from typing import Any, ClassVar

from msgspec import UNSET, Struct, UnsetType

from models.eta import Destination
from models.fields import Accuracy, Heading, Id, Latitude, Longitude, Millis, Number, Speed
from models.identity import Role
from models.messages import Message
from models.points import Point
from models.revocations import Revocation
from models.trips import Changed, Event, Offer, Status


class TripStatus(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One change of a trip: its entry in `events`, with the trip's id."""

    event: ClassVar[str] = "trip:status"

    trip_id: Id
    version: Number
    status: Status
    driver_id: Id | None
    offer: Offer | None
    at: Millis
    by: Id | None
    reason: str | None = None
    changed: Changed | None = None

    @property
    def number(self) -> int:
        return self.version

    @classmethod
    def of(cls, trip_id: Id, event: Event) -> "TripStatus":
        return cls(
            trip_id=trip_id,
            version=event.version,
            status=event.status,
            driver_id=event.driver_id,
            offer=event.offer,
            at=event.at,
            by=event.by,
            reason=event.reason,
            changed=event.changed,
        )


class WatchedStatus(Struct, frozen=True, omit_defaults=True):
    """`trip:status` as somebody with a share link hears it."""

    event: ClassVar[str] = TripStatus.event

    trip_id: Id
    version: Number
    status: Status
    at: Millis
    changed: Changed | None = None

    @classmethod
    def of(cls, fact: TripStatus) -> "WatchedStatus":
        changed = fact.changed and Changed(dropoff=fact.changed.dropoff, stops=fact.changed.stops)
        return cls(fact.trip_id, fact.version, fact.status, fact.at, changed or None)


class ChatReceipt(Struct, frozen=True):
    event: ClassVar[str] = "chat:receipt"

    conversation_id: Id
    user_id: Id
    delivered_seq: Number
    read_seq: Number


class ChatTyping(Struct, frozen=True):
    event: ClassVar[str] = "chat:typing"

    conversation_id: Id
    user_id: Id
    typing: bool


class TripLocation(Struct, frozen=True, omit_defaults=True):
    """Where the trip's driver is: a point with the trip's id."""

    event: ClassVar[str] = "trip:location"

    trip_id: Id
    lat: Latitude
    lng: Longitude
    ts: Millis
    seq: Number
    heading: Heading | None = None
    speed: Speed | None = None
    accuracy: Accuracy | None = None

    @property
    def number(self) -> int:
        return self.ts

    @classmethod
    def of(cls, trip_id: Id, point: Point) -> "TripLocation":
        return cls(
            trip_id,
            point.lat,
            point.lng,
            point.ts,
            point.seq,
            point.heading,
            point.speed,
            point.accuracy,
        )


class Hearing(StrEnum):
    """How well a driver is heard."""

    LIVE = "live"
    STALE = "stale"
    OFFLINE = "offline"


class TripDriver(Struct, frozen=True):
    """How well the trip's driver is heard; `last_seen` is null for one never heard."""

    event: ClassVar[str] = "trip:driver"

    trip_id: Id
    connection: Hearing
    last_seen: Millis | None


class TripEta(Struct, frozen=True):
    """When the trip's driver arrives: how far it has to go, and how long that takes, s."""

    event: ClassVar[str] = "trip:eta"

    trip_id: Id
    to: Destination
    distance_m: Number
    duration_s: Number
    at: Millis


class SessionExpiring(Struct, frozen=True):
    event: ClassVar[str] = "session:expiring"

    expires_at: Millis


class SessionEnded(Struct, frozen=True):
    event: ClassVar[str] = "session:ended"

    code: str
    retry: bool
    retry_in_ms: Millis | UnsetType = UNSET


class Follow(Struct, frozen=True):
    """Control: connections with this key (role and user) follow the trip from now on."""

    event: ClassVar[str] = "control:follow"

    key: str
    trip_id: Id


class ChatOpened(Struct, frozen=True):
    """Control: the user's connections follow a conversation that is no trip's."""

    event: ClassVar[str] = "control:opened"

    conversation_id: Id


class ChatClosed(Struct, frozen=True):
    """Control: the conversation takes no more messages; nobody needs to listen to it."""

    event: ClassVar[str] = "control:closed"

    conversation_id: Id


class Arrived(Struct, frozen=True):
    """Control: a connection of this key and device was opened; older ones of the same end."""

    event: ClassVar[str] = "control:arrived"

    key: str
    device: str
    connection_id: str


class Pushed(Struct, frozen=True):
    """Control: the user's connections (those of one role, if it is given) get an event of the
    company's own.
    """

    event: ClassVar[str] = "control:pushed"

    name: str
    data: dict[str, Any]
    role: Role | None = None


class Revoked(Struct, frozen=True):
    """Control: tokens are refused from now on, and sessions with them end."""

    event: ClassVar[str] = "control:revoked"

    revocation: Revocation


Kept = TripStatus | Message
"""Facts that MongoDB keeps, numbered without holes within their room."""
Passing = ChatReceipt | ChatTyping | TripLocation | TripDriver | TripEta
"""Facts that a later one or a snapshot makes up for: delivered at most once."""
Control = Follow | ChatOpened | ChatClosed | Arrived | Pushed | Revoked
Fact = Kept | Passing | Control
