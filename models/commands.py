"""What clients ask for: the payload of every command, parsed at the door.

Fields that are not named here are ignored, so that newer clients work with older servers.
"""

from enum import StrEnum
from typing import Annotated, ClassVar, Final

from msgspec import UNSET, Meta, Struct, UnsetType, field

from models import free_form
from models.fields import Id, Number, Pin, Reason
from models.free_form import FreeForm
from models.messages import Participants, Title
from models.points import Place
from models.trips import Changed, Status, Stops

DRIVER_LOCATION: Final = "driver:location"
MAX_POINTS: Final = 500
MAX_PAGE: Final = 200

OfferTime = Annotated[int, Meta(ge=1, le=86_400_000)]
"""How long an offer stands, in ms: up to a day."""


class DriverAvailability(StrEnum):
    AVAILABLE = "available"
    BUSY = "busy"
    OFFLINE = "offline"


class SessionRefresh(Struct, frozen=True):
    event: ClassVar[str] = "session:refresh"

    token: str


class DriverStatus(Struct, frozen=True):
    event: ClassVar[str] = "driver:status"

    status: DriverAvailability


class TripCreate(Struct, frozen=True, kw_only=True):
    """`rider_id`, `driver_id` (who gets the first offer) and `expires_in_ms` are staff's to say."""

    event: ClassVar[str] = "trip:create"

    client_id: Id
    pickup: Place
    dropoff: Place | None = None
    stops: Stops = ()
    pin: Pin | None = None
    metadata: FreeForm = field(default_factory=dict)
    rider_id: Id | None = None
    driver_id: Id | None = None
    expires_in_ms: OfferTime | None = None

    def __post_init__(self) -> None:
        free_form.check(self.metadata, "metadata")


class TripOffer(Struct, frozen=True):
    event: ClassVar[str] = "trip:offer"

    trip_id: Id
    driver_id: Id
    expires_in_ms: OfferTime | None = None
    version: Number | None = None


class TripDecline(Struct, frozen=True):
    event: ClassVar[str] = "trip:decline"

    trip_id: Id
    reason: Reason | None = None


class TripUpdate(Struct, frozen=True):
    event: ClassVar[str] = "trip:update"

    trip_id: Id
    status: Status
    version: Number | None = None
    driver_id: Id | None = None
    reason: Reason | None = None
    pin: Pin | None = None


class TripEdit(Struct, frozen=True, kw_only=True):
    """At least one of `dropoff` (null takes it away), `stops`, `metadata`."""

    event: ClassVar[str] = "trip:edit"

    trip_id: Id
    version: Number | None = None
    dropoff: Place | UnsetType | None = UNSET
    stops: Stops | UnsetType = UNSET
    metadata: FreeForm | UnsetType = UNSET

    def __post_init__(self) -> None:
        if not self.changed:
            raise ValueError("Expected one of dropoff, stops, metadata")
        if self.metadata is not UNSET:
            free_form.check(self.metadata, "metadata")

    @property
    def changed(self) -> Changed:
        return Changed(dropoff=self.dropoff, stops=self.stops, metadata=self.metadata)


class TripSubscribe(Struct, frozen=True):
    """With `after_seq` the snapshot holds the messages after it, else the newest."""

    event: ClassVar[str] = "trip:subscribe"

    trip_id: Id
    after_seq: Number | None = None


class TripUnsubscribe(Struct, frozen=True):
    event: ClassVar[str] = "trip:unsubscribe"

    trip_id: Id


class ChatHistory(Struct, frozen=True):
    """Without `before_seq` and `after_seq`: the newest."""

    event: ClassVar[str] = "chat:history"

    conversation_id: Id
    before_seq: Number | None = None
    after_seq: Number | None = None
    limit: Annotated[int, Meta(ge=1, le=MAX_PAGE)] = 50

    def __post_init__(self) -> None:
        if self.before_seq is not None and self.after_seq is not None:
            raise ValueError("Expected before_seq or after_seq, not both")


class MarkRead(Struct, frozen=True):
    """At least one of the two; a number can only grow."""

    event: ClassVar[str] = "chat:receipt"

    conversation_id: Id
    delivered_seq: Number | None = None
    read_seq: Number | None = None

    def __post_init__(self) -> None:
        if self.delivered_seq is None and self.read_seq is None:
            raise ValueError("Expected delivered_seq, read_seq or both")


class ShowTyping(Struct, frozen=True):
    event: ClassVar[str] = "chat:typing"

    conversation_id: Id
    typing: bool


class ChatOpen(Struct, frozen=True):
    event: ClassVar[str] = "chat:open"

    client_id: Id
    participants: Participants
    title: Title | None = None


class ChatClose(Struct, frozen=True):
    event: ClassVar[str] = "chat:close"

    conversation_id: Id
