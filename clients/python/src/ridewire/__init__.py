"""A Ridewire server's trips, messages and tokens, from a back end.

`Ridewire` is for scripts, Django and Flask, `AsyncRidewire` for FastAPI and whatever else awaits;
`tokens` mints what the apps connect with.
"""

from msgspec import UNSET

from ridewire import tokens
from ridewire.client import AsyncRidewire, Ridewire
from ridewire.errors import (
    Closed,
    Conflict,
    Forbidden,
    IllegalTransition,
    Internal,
    Invalid,
    NotFound,
    RateLimited,
    RidewireError,
    TokenExpired,
    TooLarge,
    Unauthorized,
    Unavailable,
    UnexpectedAnswer,
    Unreachable,
)
from ridewire.resources import (
    Changed,
    Conversation,
    Kind,
    Message,
    NearbyDriver,
    Offer,
    Page,
    Place,
    Role,
    ShareLink,
    Status,
    Track,
    TrackLine,
    TrackLines,
    TrackPart,
    TrackPoint,
    Trip,
    TripEvent,
)
from ridewire.retries import Retries
from ridewire.version import __version__

__all__ = [
    "UNSET",
    "AsyncRidewire",
    "Changed",
    "Closed",
    "Conflict",
    "Conversation",
    "Forbidden",
    "IllegalTransition",
    "Internal",
    "Invalid",
    "Kind",
    "Message",
    "NearbyDriver",
    "NotFound",
    "Offer",
    "Page",
    "Place",
    "RateLimited",
    "Retries",
    "Ridewire",
    "RidewireError",
    "Role",
    "ShareLink",
    "Status",
    "TokenExpired",
    "TooLarge",
    "Track",
    "TrackLine",
    "TrackLines",
    "TrackPart",
    "TrackPoint",
    "Trip",
    "TripEvent",
    "Unauthorized",
    "Unavailable",
    "UnexpectedAnswer",
    "Unreachable",
    "__version__",
    "tokens",
]
