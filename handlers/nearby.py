"""Which available drivers are near a place."""

from collections.abc import Iterable, Iterator
from typing import Final

from handlers.answers import NearbyDriver
from handlers.ports import Candidate, Clock, Nearby
from models.commands import DriverAvailability
from models.distances import distance_m
from models.facts import Hearing
from models.identity import Identity
from models.presence import PresenceLimits
from models.requests import DriversNearby

SPARE: Final = 16
"""How many more than asked for are looked at first: some may have just left."""
FURTHER: Final = 4
"""And how many times as many next, where these were not enough."""


class NearbyHandler:
    def __init__(self, nearby: Nearby, presence: PresenceLimits, clock: Clock) -> None:
        self._nearby = nearby
        self._presence = presence
        self._clock = clock

    async def find(self, _caller: Identity, request: DriversNearby) -> list[NearbyDriver]:
        """Those who say that they are available and are heard now, the nearest first.

        A driver on a trip is among them until it says otherwise: it may take several at once.
        """
        looked_at = request.limit + SPARE
        while True:
            candidates = await self._nearby.around(
                request.lat, request.lng, request.radius_m, looked_at
            )
            fitting = list(self._fitting(request, candidates))
            if len(fitting) >= request.limit or len(candidates) < looked_at:
                fitting.sort(key=lambda driver: driver.distance_m)
                return fitting[: request.limit]
            looked_at *= FURTHER

    def _fitting(
        self, request: DriversNearby, candidates: Iterable[Candidate]
    ) -> Iterator[NearbyDriver]:
        now = self._clock()
        for candidate in candidates:
            sighting = candidate.sighting
            if sighting is None or candidate.status is not DriverAvailability.AVAILABLE:
                continue
            if self._presence.hearing(sighting.seen_at, now) is not Hearing.LIVE:
                continue
            point = sighting.point
            away_m = round(distance_m(request.lat, request.lng, point.lat, point.lng))
            if away_m <= request.radius_m:
                yield NearbyDriver(
                    driver_id=sighting.driver_id,
                    lat=point.lat,
                    lng=point.lng,
                    distance_m=away_m,
                    seen_at=sighting.seen_at,
                    age_ms=max(0, now - sighting.seen_at),
                    heading=point.heading,
                    speed=point.speed,
                )
