"""Who is near: available, heard now, the nearest first, as many as are asked for."""

from collections.abc import Sequence

from handlers.nearby import SPARE, NearbyHandler
from handlers.ports import Candidate
from models.commands import DriverAvailability
from models.points import Point, Sighting
from models.presence import PresenceLimits
from models.requests import DriversNearby
from tests.handlers.world import ANN, NOW, Clock

AVAILABLE = DriverAvailability.AVAILABLE


def candidate(
    name: str,
    lat: float = 0,
    *,
    seen_at: int = NOW,
    status: DriverAvailability | None = AVAILABLE,
) -> Candidate:
    point = Point(lat=lat, lng=0, ts=seen_at, seq=1, heading=90, speed=8)
    return Candidate(Sighting(name, point, "phone", seen_at), status)


class Index:
    """See `handlers.ports.Nearby`; it finds the first of these."""

    def __init__(self, *found: Candidate) -> None:
        self._found = found
        self.asked: list[int] = []

    async def around(
        self, lat: float, lng: float, radius_m: int, at_most: int
    ) -> Sequence[Candidate]:
        assert (lat, lng, radius_m) == (0, 0, 1_000)
        self.asked.append(at_most)
        return self._found[:at_most]


async def found(index: Index, limit: int = 5) -> list[str]:
    handler = NearbyHandler(index, PresenceLimits(stale_ms=10_000), Clock())
    request = DriversNearby(lat=0, lng=0, radius_m=1_000, limit=limit)
    return [driver.driver_id for driver in await handler.find(ANN, request)]


async def test_only_those_who_are_available_and_heard_now_are_found() -> None:
    index = Index(
        candidate("dan", seen_at=NOW - 9_999),
        candidate("stale", seen_at=NOW - 10_000),
        candidate("busy", status=DriverAvailability.BUSY),
        candidate("offline", status=DriverAvailability.OFFLINE),
        candidate("silent", status=None),
        candidate("gone away", lat=0.1),
        Candidate(None, AVAILABLE),
    )
    assert await found(index) == ["dan"]


async def test_they_come_nearest_first_by_where_they_were_seen_last() -> None:
    index = Index(candidate("moved on", 0.005), candidate("eve", 0.004), candidate("dan", 0.001))
    assert await found(index) == ["dan", "eve", "moved on"]
    assert await found(index, limit=2) == ["dan", "eve"]


async def test_what_is_told_has_distance_and_age() -> None:
    handler = NearbyHandler(
        Index(candidate("dan", 0.001, seen_at=NOW - 3)), PresenceLimits(), Clock()
    )
    (dan,) = await handler.find(ANN, DriversNearby(lat=0, lng=0, radius_m=1_000))
    assert (dan.distance_m, dan.seen_at, dan.age_ms) == (111, NOW - 3, 3)
    assert (dan.heading, dan.speed) == (90, 8)


async def test_a_crowd_that_has_just_left_hides_nobody() -> None:
    left = [candidate(f"left-{n}", status=DriverAvailability.BUSY) for n in range(100)]
    index = Index(*left, candidate("dan"), candidate("eve"))
    assert await found(index, limit=1) == ["dan"]
    assert index.asked == [1 + SPARE, 4 * (1 + SPARE), 16 * (1 + SPARE)]
