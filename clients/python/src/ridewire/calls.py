"""Every operation, once: what is sent for it, how its answer is read, whether it may be repeated.

The clients have a method for each function here, with the same parameters. `client_id` is made
where it is not given, once a call, so that sending again never makes a second trip or message.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Generic, TypeVar
from urllib.parse import quote
from uuid import uuid4

import msgspec
from msgspec import UNSET, UnsetType

from ridewire.resources import (
    Conversation,
    Kind,
    Message,
    NearbyDriver,
    Page,
    Place,
    Role,
    ShareLink,
    Status,
    Track,
    TrackFormat,
    TrackLines,
    Trip,
)

Answer = TypeVar("Answer")
Item = TypeVar("Item")

_ENDED: Final = frozenset({"completed", "cancelled", "unfulfilled"})
"""States that a trip never leaves again."""


@dataclass(frozen=True)
class Call(Generic[Answer]):
    """One request.

    `repeatable` says that it may be sent again although an earlier one may have been carried out:
    that whatever others did in between, the repetition changes nothing that the first one would
    have left as it is.
    """

    method: str
    path: str
    read: Callable[[bytes], Answer]
    """The body of a good answer as its type. Raises msgspec's errors."""
    query: Mapping[str, str | float] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None
    repeatable: bool = True


def create_trip(
    *,
    pickup: Place,
    rider_id: str | None = None,
    dropoff: Place | None = None,
    stops: Sequence[Place] = (),
    driver_id: str | None = None,
    expires_in_ms: int | None = None,
    pin: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    client_id: str | None = None,
) -> Call[Trip]:
    """Create a trip.

    `rider_id` is needed, but for a rider's own token. `driver_id` makes the first offer, for
    `expires_in_ms` if that is given. With a `pin`, the driver needs it to start the ride. Give a
    `client_id` of your own, such as the id of your booking, to have the same trip answered however
    often it is created.
    """
    body = _given(
        client_id=client_id or _new_id(),
        rider_id=rider_id,
        pickup=pickup,
        dropoff=dropoff,
        stops=stops or None,
        driver_id=driver_id,
        expires_in_ms=expires_in_ms,
        pin=pin,
        metadata=metadata,
    )
    return Call("POST", "/v1/trips", _trip, body=body)


def list_trips(
    *,
    rider_id: str | None = None,
    driver_id: str | None = None,
    status: Status | None = None,
    limit: int | None = None,
    cursor: str | None = None,
) -> Call[Page[Trip]]:
    """One page of the trips that match all that is given, the newest first.

    At most `limit` (1 to 200, 50 by default); `cursor` is the `next_cursor` of the page before, and
    goes with the same filters.
    """
    query = _given(
        rider_id=rider_id, driver_id=driver_id, status=status, limit=limit, cursor=cursor
    )
    return Call("GET", "/v1/trips", _trips, query=query)


def get_trip(trip_id: str) -> Call[Trip]:
    """The trip as it is now."""
    return Call("GET", f"/v1/trips/{_part(trip_id)}", _trip)


def get_track(
    trip_id: str,
    *,
    format: TrackFormat = "json",  # noqa: A002 - as the server calls it
    tolerance_m: int | None = None,
    precision: int | None = None,
) -> Call[Track | TrackLines | dict[str, Any]]:
    """Where the driver of a trip has been: a `Track`.

    With `format="polyline"` it is `TrackLines`, of 5 or 6 decimals by `precision`; with `"geojson"`
    an object of GeoJSON. With `tolerance_m` points are left out that are no further than that from
    the line of the others.
    """
    query = _given(format=format, tolerance_m=tolerance_m, precision=precision)
    return Call("GET", f"/v1/trips/{_part(trip_id)}/track", _TRACKS[format], query=query)


def edit_trip(
    trip_id: str,
    *,
    dropoff: Place | UnsetType | None = UNSET,
    stops: Sequence[Place] | UnsetType = UNSET,
    metadata: Mapping[str, Any] | UnsetType = UNSET,
    version: int | None = None,
) -> Call[Trip]:
    """Change a trip that has not ended: what is given replaces what was; None takes `dropoff` away.

    With `version` only if the trip is still at it, else `Conflict`.
    """
    changed = {"dropoff": dropoff, "stops": stops, "metadata": metadata}
    body = {name: value for name, value in changed.items() if value is not UNSET}
    return Call(
        "PATCH",
        f"/v1/trips/{_part(trip_id)}",
        _trip,
        body=body | _given(version=version),
        repeatable=version is not None,  # without, it would undo an edit made in between
    )


def update_trip(
    trip_id: str,
    status: Status,
    *,
    driver_id: str | None = None,
    reason: str | None = None,
    pin: str | None = None,
    version: int | None = None,
) -> Call[Trip]:
    """Move a trip to another state. Repeating the last transition changes nothing.

    `accepted` needs `driver_id` but for a driver's own token. With `version` only if the trip is
    still at it, else `Conflict`. Raises `IllegalTransition` where there is no way.
    """
    body = _given(status=status, driver_id=driver_id, reason=reason, pin=pin, version=version)
    return Call(
        "POST",
        f"/v1/trips/{_part(trip_id)}/status",
        _trip,
        body=body,
        # Without a version, it could be about the next driver: `arrived` would say of one who has
        # just accepted what was true of the one before, `requested` take that one off. What ends a
        # trip does so for good, whoever drives it; only a ride under way is completed, and that
        # has no next driver.
        repeatable=version is not None or status in _ENDED,
    )


def offer_trip(
    trip_id: str,
    driver_id: str,
    *,
    expires_in_ms: int | None = None,
    version: int | None = None,
) -> Call[Trip]:
    """Offer a requested trip to a driver, in place of an earlier offer.

    A driver who has the offer already keeps it as it is. With `version` only if the trip is still
    at it, else `Conflict`.
    """
    return Call(
        "POST",
        f"/v1/trips/{_part(trip_id)}/offer",
        _trip,
        body=_given(driver_id=driver_id, expires_in_ms=expires_in_ms, version=version),
        repeatable=version is not None,  # without, one who declined in between would get it again
    )


def share_trip(trip_id: str, *, expires_in_ms: int | None = None) -> Call[ShareLink]:
    """Make a token with which anybody may watch the trip until it ends.

    `expires_in_ms` is from a minute to a week, a day by default.
    """
    body = _given(expires_in_ms=expires_in_ms)
    return Call("POST", f"/v1/trips/{_part(trip_id)}/share", _share_link, body=body)


def open_conversation(
    participants: Sequence[str], *, title: str | None = None, client_id: str | None = None
) -> Call[Conversation]:
    """Open a conversation that is no trip's, such as one with your support."""
    body = _given(client_id=client_id or _new_id(), participants=participants, title=title)
    return Call("POST", "/v1/conversations", _conversation, body=body)


def send_message(
    conversation_id: str,
    text: str | None = None,
    *,
    kind: Kind = "text",
    data: Mapping[str, Any] | None = None,
    client_id: str | None = None,
) -> Call[Message]:
    """Send a message; a trip's conversation has the trip's id.

    `text` and `quick_reply` need `text`; `location` needs `data` with `lat` and `lng`, `image` with
    `url` and `size` in bytes. `system` is for a service to write.
    """
    body = _given(client_id=client_id or _new_id(), kind=kind, text=text, data=data)
    return Call("POST", _messages_of(conversation_id), _message, body=body)


def list_messages(
    conversation_id: str,
    *,
    before_seq: int | None = None,
    after_seq: int | None = None,
    limit: int | None = None,
    cursor: str | None = None,
) -> Call[Page[Message]]:
    """One page of messages, oldest first: the newest ones, or those before or after a seq.

    At most `limit` (1 to 200, 50 by default). `cursor` is the `next_cursor` of the page before, in
    place of a seq.
    """
    query = _given(before_seq=before_seq, after_seq=after_seq, limit=limit, cursor=cursor)
    return Call("GET", _messages_of(conversation_id), _messages, query=query)


def list_nearby_drivers(
    lat: float, lng: float, *, radius_m: int | None = None, limit: int | None = None
) -> Call[Page[NearbyDriver]]:
    """Drivers around a place who take trips and are heard now, the nearest first.

    Within `radius_m` (1 to 100,000, 3,000 by default), at most `limit` (1 to 200, 20 by default),
    all on one page. `lat` is no nearer to a pole than 85 degrees.
    """
    query = _given(lat=lat, lng=lng, radius_m=radius_m, limit=limit)
    return Call("GET", "/v1/drivers/nearby", _nearby_drivers, query=query)


def push_event(
    user_id: str,
    event: str,
    data: Mapping[str, Any] | None = None,
    *,
    role: Role | None = None,
) -> Call[None]:
    """Send an event of your own to the connections that a user has now, those of `role` if given.

    At most once: it is not repeated where the first one may have arrived.
    """
    return Call(
        "POST",
        f"/v1/users/{_part(user_id)}/events",
        _nothing,
        body=_given(event=event, data=data, role=role),
        repeatable=False,
    )


def revoke_user(user_id: str) -> Call[None]:
    """End a user's sessions, and refuse every token of the user issued until now."""
    return Call(
        "DELETE",
        f"/v1/users/{_part(user_id)}/sessions",
        _nothing,
        repeatable=False,  # "now" would be later: a login in between would be undone, too
    )


def revoke_token(token_id: str) -> Call[None]:
    """End the sessions of the token with this `jti`, and refuse it from now on."""
    return Call("DELETE", f"/v1/sessions/{_part(token_id)}", _nothing)


def iter_trips(
    *, rider_id: str | None = None, driver_id: str | None = None, status: Status | None = None
) -> Call[Page[Trip]]:
    """All trips that match what is given, the newest first, read page by page."""
    return list_trips(rider_id=rider_id, driver_id=driver_id, status=status)


def iter_messages(conversation_id: str, *, after_seq: int = 0) -> Call[Page[Message]]:
    """All messages after a seq, oldest first, read page by page."""
    return list_messages(conversation_id, after_seq=after_seq)


def following(call: Call[Page[Item]], page: Page[Item]) -> Call[Page[Item]] | None:
    """The call for the page after this one; None after the last."""
    if page.next_cursor is None:
        return None
    query = {name: value for name, value in call.query.items() if not name.endswith("_seq")}
    return replace(call, query={**query, "cursor": page.next_cursor})


_trip: Final = msgspec.json.Decoder(Trip).decode
_trips: Final = msgspec.json.Decoder(Page[Trip]).decode
_TRACKS: Final[Mapping[str, Callable[[bytes], Track | TrackLines | dict[str, Any]]]] = {
    "json": msgspec.json.Decoder(Track).decode,
    "polyline": msgspec.json.Decoder(TrackLines).decode,
    "geojson": msgspec.json.Decoder(dict[str, Any]).decode,
}
_share_link: Final = msgspec.json.Decoder(ShareLink).decode
_conversation: Final = msgspec.json.Decoder(Conversation).decode
_message: Final = msgspec.json.Decoder(Message).decode
_messages: Final = msgspec.json.Decoder(Page[Message]).decode


_nearby_drivers: Final = msgspec.json.Decoder(Page[NearbyDriver]).decode


def _nothing(_body: bytes) -> None:
    """The answer's body is empty."""


def _messages_of(conversation_id: str) -> str:
    return f"/v1/conversations/{_part(conversation_id)}/messages"


def _part(given_id: str) -> str:
    """An id as a part of a path. Raises ValueError for one that would make it another path."""
    if given_id in ("", ".", ".."):
        raise ValueError(f"not an id: {given_id!r}")
    return quote(given_id, safe="")


def _given(**fields: Any) -> dict[str, Any]:  # noqa: ANN401 - whatever JSON has
    return {name: value for name, value in fields.items() if value is not None}


def _new_id() -> str:
    return uuid4().hex
