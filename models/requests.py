"""What is asked for over HTTP only: reading and listing, share links, pushed events, revocation.

Like the commands, each has the name under which `handlers.access` says who may.
"""

from enum import StrEnum
from typing import Annotated, ClassVar, Final

from msgspec import Meta, Struct, field

from models import free_form
from models.commands import MAX_PAGE
from models.fields import Id, Longitude, Number
from models.free_form import FreeForm
from models.identity import Role
from models.trips import Status

DEFAULT_PAGE: Final = 50
SHARE_MS: Final = 24 * 3_600_000
"""How long a share link works unless it is asked otherwise, or the trip ends before."""
OWN_PREFIXES: Final = ("chat:", "control:", "driver:", "session:", "trip:")
"""Names that begin so are the server's; `:` alone would be another namespace's way."""
RESERVED: Final = frozenset(
    {"connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"}
)
"""Names that Socket.IO clients take for their own."""

PageSize = Annotated[int, Meta(ge=1, le=MAX_PAGE)]
Cursor = Annotated[str, Meta(min_length=1, max_length=500)]
"""Where a page goes on: `next_cursor` of the page before, as it came."""
EventName = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"\A[A-Za-z0-9_.:-]+\Z")]


class TripGet(Struct, frozen=True):
    event: ClassVar[str] = "trip:get"

    trip_id: Id


class TrackFormat(StrEnum):
    JSON = "json"
    GEOJSON = "geojson"
    POLYLINE = "polyline"


class TripTrack(Struct, frozen=True, kw_only=True):
    """Read where the driver has been, from `accepted` to the end."""

    event: ClassVar[str] = "trip:track"

    trip_id: Id
    format: TrackFormat | None = None
    tolerance_m: Annotated[int, Meta(ge=0, le=10_000)] = 0
    precision: Annotated[int, Meta(ge=5, le=6)] = 5


class TripList(Struct, frozen=True, kw_only=True):
    """Trips that match all that is given, the newest first. Riders and drivers list their own."""

    event: ClassVar[str] = "trip:list"

    rider_id: Id | None = None
    driver_id: Id | None = None
    status: Status | None = None
    limit: PageSize = DEFAULT_PAGE
    cursor: Cursor | None = None


class TripShare(Struct, frozen=True):
    """`expires_in_ms` is from a minute to a week; a day where it is not given."""

    event: ClassVar[str] = "trip:share"

    trip_id: Id
    expires_in_ms: Annotated[int, Meta(ge=60_000, le=7 * 86_400_000)] = SHARE_MS


class MessageList(Struct, frozen=True, kw_only=True):
    """The newest messages, or those before or after a seq; a page is oldest first."""

    event: ClassVar[str] = "chat:list"

    conversation_id: Id
    before_seq: Number | None = None
    after_seq: Number | None = None
    limit: PageSize = DEFAULT_PAGE
    cursor: Cursor | None = None

    def __post_init__(self) -> None:
        if sum(x is not None for x in (self.before_seq, self.after_seq, self.cursor)) > 1:
            raise ValueError("Expected one of before_seq, after_seq and cursor, not several")


class DriversNearby(Struct, frozen=True, kw_only=True):
    """Available drivers around a place, the nearest first. Degrees WGS84, metres.

    No nearer to a pole than 85 degrees, beyond which there is no index of places.
    """

    event: ClassVar[str] = "driver:nearby"

    lat: Annotated[float, Meta(ge=-85, le=85)]
    lng: Longitude
    radius_m: Annotated[int, Meta(ge=1, le=100_000)] = 3_000
    limit: Annotated[int, Meta(ge=1, le=MAX_PAGE)] = 20


class UserPush(Struct, frozen=True, kw_only=True):
    """An event of the company's own to a user's connections, those of one role if it is given."""

    event: ClassVar[str] = "user:push"

    user_id: Id
    name: EventName = field(name="event")
    data: FreeForm = field(default_factory=dict)
    role: Role | None = None

    def __post_init__(self) -> None:
        if self.name.startswith(OWN_PREFIXES) or self.name in RESERVED:
            raise ValueError("Expected a name that is not the server's own - at `$.event`")
        free_form.check(self.data, "data")


class UserRevoke(Struct, frozen=True):
    """End every session of a user, and refuse its tokens that were issued until now."""

    event: ClassVar[str] = "user:revoke"

    user_id: Id


class TokenRevoke(Struct, frozen=True):
    """End the sessions of one token, and refuse it from now on."""

    event: ClassVar[str] = "session:revoke"

    jti: Id
