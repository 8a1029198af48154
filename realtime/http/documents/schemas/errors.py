"""Refusals as they go out, and which ones a command or request may meet."""

from collections.abc import Iterable, Iterator
from typing import Any, Final, Literal

from msgspec import Struct

from handlers.access import ACCESS, ALL_ROLES
from models import commands, requests
from models.errors import (
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
)
from models.fields import Millis, Number
from models.messages import Draft
from models.trips import Relation, Status, Trip

Refusals = tuple[type[RidewireError], ...]


class Error(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Why something was refused. `retry`: the same may succeed later, unchanged."""

    code: str
    message: str
    retry: bool
    path: str | None = None
    expected: str | None = None
    trip: Trip | None = None
    allowed: tuple[Status, ...] | None = None
    retry_after_ms: Millis | None = None
    distance_m: Number | None = None


class Refusal(Struct, frozen=True, kw_only=True):
    """The answer to a command that was refused."""

    ok: Literal[False] = False
    error: Error


class HttpError(Error, frozen=True, omit_defaults=True, kw_only=True):
    """Why a request was refused. `retry`: the same may succeed later, unchanged."""

    request_id: str


class HttpRefusal(Struct, frozen=True, kw_only=True):
    """The answer to a request that was refused."""

    error: HttpError


WORDS: Final[dict[str, str]] = {
    "unauthorized": "There is no token, or it is not good here.",
    "token_expired": "The token's time is over.",
    "forbidden": "Known to the caller, but not for it to do; `path` is what is refused.",
    "not_found": "Not there, or not the caller's: both look the same.",
    "invalid": "Not of the type that is asked for: `path` is the field, `expected` says what.",
    "unknown_event": "There is no such command.",
    "conflict": "The trip has moved on; `trip` is the trip as it is now.",
    "closed": "It ended, and takes no more of this.",
    "illegal_transition": "Not from the trip's state; `allowed` are the states to move it to.",
    "rate_limited": "Too often: again after `retry_after_ms`.",
    "too_large": "More than is taken.",
    "unavailable": (
        "A store did not answer in time: the outcome is unknown. Again with the same `client_id`."
    ),
    "internal": "A fault of the server's own. Again, wherever there is a `client_id`.",
    "method_not_allowed": "The path has other methods, which `Allow` lists.",
    "timeout": "The body did not come in time.",
    "unsupported_media_type": "The body is not JSON in UTF-8, uncompressed.",
}
"""What each code means."""

_BY_EVENT: Final[dict[str, Refusals]] = {
    commands.SessionRefresh.event: (Unauthorized, TokenExpired, Forbidden),
    commands.TripOffer.event: (Conflict, IllegalTransition, TooLarge),
    commands.TripUpdate.event: (Conflict, IllegalTransition),
    commands.TripEdit.event: (Conflict, Closed, TooLarge),
    commands.TripSubscribe.event: (Closed, TooLarge),
    commands.ShowTyping.event: (Closed,),
    Draft.event: (Closed,),
    requests.TripGet.event: (Closed,),
    requests.TripShare.event: (Closed,),
    requests.TripList.event: (Forbidden,),
}
"""What the handlers refuse by rules of their own."""

_ANYWHERE: Final[Refusals] = (Invalid, RateLimited, Unavailable, Internal)
_OF_REQUESTS: Final[Refusals] = (Unauthorized, TokenExpired)


def of_command(event: str) -> list[str]:
    """The codes that a command may be refused with, in the order of `models.errors`."""
    return codes((*_ANYWHERE, *_by_access(event), *_BY_EVENT.get(event, ())))


def of_request(event: str) -> Refusals:
    """What a request may be refused with, besides what its HTTP form brings with it."""
    return (*_ANYWHERE, *_OF_REQUESTS, *_by_access(event), *_BY_EVENT.get(event, ()))


def codes(refusals: Iterable[type[RidewireError]]) -> list[str]:
    """Their codes, each once, in the order of `WORDS`."""
    given = {kind.code for kind in refusals}
    return [code for code in WORDS if code in given]


def code_schema(given: Iterable[str]) -> dict[str, Any]:
    """The schema of `code`: these, and what each means."""
    listed = set(given)
    words = {code: said for code, said in WORDS.items() if code in listed}
    return {"type": "string", "enum": [*words], "x-enumDescriptions": words}


def _by_access(event: str) -> Iterator[type[RidewireError]]:
    """Forbidden for the wrong role or relation, NotFound for strangers."""
    access = ACCESS[event]
    if access.roles != ALL_ROLES or access.relations not in (frozenset(), frozenset(Relation)):
        yield Forbidden
    if access.relations:
        yield NotFound
