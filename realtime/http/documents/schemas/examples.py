"""One realistic payload for each type in the documents. A test holds each against its schema."""

from typing import Any, Final

import msgspec
from msgspec import Struct

from handlers import answers
from handlers.answers import OpenConversation, Page, Rejected
from models import facts
from models.commands import DriverAvailability
from models.eta import Destination
from models.messages import Read
from models.tracks import Phase
from models.trips import Trip
from realtime.http.documents.schemas import errors
from realtime.http.documents.schemas.ride import (
    ACCEPTED,
    AIRPORT,
    DRIVER,
    EDITED,
    HOME,
    MESSAGE,
    NEARBY,
    NOW,
    OFFERED,
    POINT,
    PRESENCE,
    REQUESTED,
    RIDER,
    STATION,
    SUPPORT,
    TOKEN,
    TRIP_ID,
)
from realtime.http.documents.schemas.types import Kind, first_of, name_of


def _json(value: object) -> Any:  # noqa: ANN401 - any JSON
    """As it comes out of JSON: lists, no tuples."""
    return msgspec.json.decode(msgspec.json.encode(value))


_ASKED: Final[dict[str, Any]] = {
    "Auth": {"token": TOKEN, "device": "phone-7", "client": "rider-ios/4.2", "protocol": 1},
    "ChatClose": {"conversation_id": SUPPORT.id},
    "ChatHistory": {"conversation_id": TRIP_ID, "after_seq": 12, "limit": 50},
    "ChatOpen": {
        "client_id": "desk-1-000045",
        "participants": [*SUPPORT.participants],
        "title": SUPPORT.title,
    },
    "Draft": {
        "conversation_id": TRIP_ID,
        "client_id": MESSAGE.client_id,
        "text": MESSAGE.text,
    },
    "DriverLocation": _json(POINT),
    "DriversNearby": {"lat": HOME.lat, "lng": HOME.lng, "radius_m": 2_000, "limit": 10},
    "DriverStatus": {"status": "available"},
    "MarkRead": {"conversation_id": TRIP_ID, "read_seq": 12},
    "MessageList": {"conversation_id": TRIP_ID, "after_seq": 12, "limit": 50},
    "SessionRefresh": {"token": TOKEN},
    "ShowTyping": {"conversation_id": TRIP_ID, "typing": True},
    "TokenRevoke": {"jti": "5e2f0c1d-phone-7"},
    "TripCreate": {
        "client_id": "phone-7-000122",
        "pickup": _json(HOME),
        "dropoff": _json(STATION),
        "pin": "4711",
        "metadata": {"luggage": 2},
    },
    "TripDecline": {"trip_id": TRIP_ID, "reason": "too far away"},
    "TripEdit": {
        "trip_id": TRIP_ID,
        "version": 3,
        "dropoff": _json(AIRPORT),
    },
    "TripGet": {"trip_id": TRIP_ID},
    "TripList": {"status": "requested", "limit": 50},
    "TripOffer": {"trip_id": TRIP_ID, "driver_id": DRIVER.user_id, "expires_in_ms": 30_000},
    "TripShare": {"trip_id": TRIP_ID, "expires_in_ms": 7_200_000},
    "TripSubscribe": {"trip_id": TRIP_ID, "after_seq": 0},
    "TripTrack": {"trip_id": TRIP_ID, "tolerance_m": 5},
    "TripUnsubscribe": {"trip_id": TRIP_ID},
    "TripUpdate": {"trip_id": TRIP_ID, "status": "accepted", "version": 2},
    "UserPush": {
        "user_id": RIDER.user_id,
        "event": "promo:granted",
        "data": {"code": "RAIN", "percent": 20},
        "role": "rider",
    },
    "UserRevoke": {"user_id": RIDER.user_id},
}
"""By the name of the type: what a client sends."""


_ERROR: Final = errors.HttpError(
    code="conflict",
    message="the trip is at version 3, not 2",
    retry=False,
    trip=ACCEPTED.for_driver(),
    request_id="01KATF7C5N",
)
FIX: Final = msgspec.convert(POINT, answers.TrackPoint, from_attributes=True)
LINE: Final = answers.TrackLine(DRIVER.user_id, Phase.RIDE, "_p~iF~ps|U_ulLnnqC", count=2)
_TOLD: Final[tuple[Struct, ...]] = (
    answers.Answer(),
    answers.ConversationIs(conversation=SUPPORT),
    answers.History(messages=[MESSAGE], has_more=False),
    answers.Located(accepted=1, rejected=[Rejected(1_811, "duplicate")]),
    answers.Marked(delivered_seq=12, read_seq=12),
    answers.Sent(message=MESSAGE),
    answers.SessionReady(
        user_id=RIDER.user_id,
        role=RIDER.role,
        protocol=1,
        server_time=NOW + 70_000,
        expires_at=RIDER.expires_at,
        trips=[EDITED],
        conversations=[OpenConversation(SUPPORT.id, last_seq=4, read_seq=2)],
    ),
    answers.SessionRefreshed(expires_at=RIDER.expires_at),
    answers.Snapshot(
        trip=EDITED,
        location=POINT,
        driver=PRESENCE,
        messages=[MESSAGE],
        last_seq=1,
        read={DRIVER.user_id: Read(delivered_seq=1, read_seq=1)},
        has_more=False,
    ),
    answers.Shared(TOKEN, NOW + 7_200_000),
    answers.StatusNoted(status=DriverAvailability.AVAILABLE),
    FIX,
    answers.TrackPart(DRIVER.user_id, Phase.RIDE, [FIX]),
    answers.Track(
        trip_id=TRIP_ID,
        duration_ms=840_000,
        distance_m=6_120,
        parts=[answers.TrackPart(DRIVER.user_id, Phase.RIDE, [FIX])],
    ),
    LINE,
    answers.TrackLines(
        trip_id=TRIP_ID, duration_ms=840_000, distance_m=6_120, precision=5, parts=[LINE]
    ),
    answers.TripIs(trip=ACCEPTED.for_driver()),
    errors.Refusal(error=msgspec.convert(_ERROR, errors.Error, from_attributes=True)),
    errors.HttpRefusal(error=_ERROR),
    facts.ChatReceipt(TRIP_ID, DRIVER.user_id, delivered_seq=1, read_seq=1),
    facts.ChatTyping(TRIP_ID, DRIVER.user_id, typing=True),
    facts.SessionEnded("replaced", retry=False),
    facts.SessionExpiring(RIDER.expires_at),
    facts.TripEta(TRIP_ID, Destination.PICKUP, 1_240, 170, NOW + 80_200),
    facts.TripLocation.of(TRIP_ID, POINT),
    facts.TripStatus.of(TRIP_ID, ACCEPTED.events[-1]),
    facts.WatchedStatus.of(facts.TripStatus.of(TRIP_ID, EDITED.events[-1])),
    ACCEPTED,
    MESSAGE,
    NEARBY,
    PRESENCE,
    SUPPORT,
)
_PAGES: Final = {
    "MessagePage": Page([MESSAGE], None),
    "NearbyDriverPage": Page([NEARBY], None),
    "TripPage": Page([REQUESTED], None),
}
_BY_NAME: Final[dict[str, Any]] = {
    **_ASKED,
    **{type(told).__name__: _json(told) for told in _TOLD},
    **{name: _json(page) for name, page in _PAGES.items()},
}
_ANSWERS: Final[dict[str, Trip]] = {
    "create_trip": REQUESTED,
    "offer_trip": OFFERED,
    "update_trip": ACCEPTED.for_driver(),
    "edit_trip": EDITED,
}
"""By the name of the route, where its answer is another than the type's example."""


def of_type(name: str) -> Any:  # noqa: ANN401 - any JSON
    """What somebody sends or is told. Raises KeyError for a type without an example."""
    return _BY_NAME[name]


def of_answer(route: str, kind: Kind) -> Any:  # noqa: ANN401 - any JSON
    """What a route answers; of a union, a form of its first type."""
    if route in _ANSWERS:
        return _json(_ANSWERS[route])
    return of_type(name_of(first_of(kind)))
