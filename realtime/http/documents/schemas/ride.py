"""One ride in Berlin, of which the documents' examples tell.

The trip goes through its states by the rules of `models.trips`, so that examples stay possible.
"""

from typing import Final

from handlers.answers import NearbyDriver
from models import trips
from models.facts import Hearing, TripDriver
from models.identity import Identity, Role
from models.messages import Conversation, Kind, Message
from models.points import Place, Point
from models.trips import Changed, Offer, Relation, Status

NOW: Final = 1_764_000_000_000
TRIP_ID: Final = "01KATF6N8S4W2Q7V5ZJX9D3MTH"
MESSAGE_ID: Final = "01KATF8P3C6R1Y8B4KHN7G5WEX"
SUPPORT_ID: Final = "01KATFB9VD2F7A3S6QMT8J4ZRP"
TOKEN: Final = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJyaWRlci03In0.signature"  # noqa: S105 - a made-up one


def _who(user_id: str, role: Role) -> Identity:
    return Identity(user_id, role, expires_at=NOW + 3_600_000)


RIDER: Final = _who("rider-7", Role.RIDER)
DRIVER: Final = _who("driver-3", Role.DRIVER)
AGENT: Final = _who("dispatcher-1", Role.AGENT)

HOME: Final = Place(52.52441, 13.41052, "Rosenthaler Straße 40")
STATION: Final = Place(52.52508, 13.36946, "Hauptbahnhof")
AIRPORT: Final = Place(52.36472, 13.50975, "BER, Terminal 1")

REQUESTED: Final = trips.requested(
    TRIP_ID,
    RIDER.user_id,
    RIDER,
    now=NOW,
    pickup=HOME,
    dropoff=STATION,
    stops=(),
    offer=None,
    pin="4711",
    metadata={"luggage": 2},
)
OFFERED: Final = trips.offered(
    REQUESTED, Offer(DRIVER.user_id, NOW + 42_000), AGENT, now=NOW + 12_000
)
ACCEPTED: Final = trips.moved(OFFERED, Status.ACCEPTED, DRIVER, Relation.OFFERED, now=NOW + 19_000)
EDITED: Final = trips.edited(ACCEPTED, Changed(dropoff=AIRPORT), RIDER, NOW + 60_000)

MESSAGE: Final = Message(
    id=MESSAGE_ID,
    conversation_id=TRIP_ID,
    seq=1,
    sender_id=RIDER.user_id,
    client_id="phone-7-000123",
    kind=Kind.TEXT,
    text="I am at the side entrance.",
    sent_at=NOW + 75_000,
)
SUPPORT: Final = Conversation(
    id=SUPPORT_ID,
    participants=(RIDER.user_id, AGENT.user_id),
    created_at=NOW,
    created_by=AGENT.user_id,
    title="A lost umbrella",
)
POINT: Final = Point(52.52391, 13.40833, NOW + 80_000, 1_812, 84.5, 8.3, 5.0)
NEARBY: Final = NearbyDriver(
    driver_id=DRIVER.user_id,
    lat=POINT.lat,
    lng=POINT.lng,
    distance_m=158,
    seen_at=NOW + 80_120,
    age_ms=430,
    heading=POINT.heading,
    speed=POINT.speed,
)
PRESENCE: Final = TripDriver(TRIP_ID, Hearing.LIVE, NOW + 80_120)
