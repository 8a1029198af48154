"""Who plays in a load: tokens, trips, and clients that are connected and subscribed."""

import secrets
import time
from collections.abc import Sequence
from typing import Final

import jwt
from msgspec import Struct

from bench.load.client import Client
from bench.load.record import Record
from bench.load.together import each
from bench.shapes import Target

_TOKEN_S: Final = 3_600
_AGENTS: Final = 8
"""One connection's commands are done one after the other."""
PICKUP: Final = {"lat": 52.5, "lng": 13.4}


class Trip(Struct, frozen=True):
    """A trip under way, and the users whose it is."""

    number: int
    id: str
    driver_id: str
    rider_id: str


class Pair(Struct, frozen=True):
    """A trip whose driver and rider are connected."""

    trip: Trip
    driver: Client
    rider: Client


class Cast:
    """Makes trips and clients on one target. Its users are those of no other load."""

    def __init__(self, target: Target, record: Record) -> None:
        self._target = target
        self._record = record
        self._run = secrets.token_hex(4)

    @property
    def riders_url(self) -> str:
        return self._target.urls[-1]

    async def trips(self, count: int) -> list[Trip]:
        """So many trips, each with an offer to its driver where the server has trips."""
        drafts = [
            Trip(n, f"trip-{self._run}-{n}", f"driver-{self._run}-{n}", f"rider-{self._run}-{n}")
            for n in range(count)
        ]
        return await self._created(drafts) if self._target.has_trips else drafts

    async def pairs(self, count: int, *, subscribed: bool) -> list[Pair]:
        """Drivers that accepted their trips, and the riders of these."""

        async def pair(trip: Trip) -> Pair:
            driver, rider = await self.driver(trip), await self.rider(trip)
            if subscribed:
                await self.subscribe(rider, trip)
            return Pair(trip, driver, rider)

        return await each(await self.trips(count), pair)

    async def driver(self, trip: Trip) -> Client:
        token = self.token("driver", trip.driver_id, [trip.id])
        driver = await Client.connect(self._target.urls[0], token, self._record)
        if self._target.has_trips:
            await driver.call("trip:update", {"trip_id": trip.id, "status": "accepted"})
        return driver

    async def rider(self, trip: Trip) -> Client:
        return await self._audience(self.token("rider", trip.rider_id, [trip.id]))

    async def subscribe(self, client: Client, trip: Trip) -> None:
        await client.call("trip:subscribe", {"trip_id": trip.id})

    async def viewers(self, trip: Trip, count: int) -> list[Client]:
        """Subscribers that hold a share link's token."""

        async def viewer(number: int) -> Client:
            token = self.token("viewer", f"viewer-{self._run}-{number}", [trip.id])
            client = await self._audience(token)
            await self.subscribe(client, trip)
            return client

        return await each(range(count), viewer)

    def strangers(self, count: int) -> list[str]:
        """Tokens of riders without a trip."""
        return [self.token("rider", f"stranger-{self._run}-{n}", []) for n in range(count)]

    def token(self, role: str, user_id: str, trips: Sequence[str]) -> str:
        now = int(time.time())
        claims = {"sub": user_id, "role": role, "iat": now, "exp": now + _TOKEN_S}
        if role == "viewer" or not self._target.has_trips:
            claims["trips"] = list(trips)
        return jwt.encode(claims, self._target.secret, algorithm="HS256")

    async def _audience(self, token: str) -> Client:
        return await Client.connect(self.riders_url, token, self._record)

    async def _created(self, drafts: list[Trip]) -> list[Trip]:
        agents = [await self._agent(number) for number in range(min(_AGENTS, len(drafts)))]

        async def create(draft: Trip) -> Trip:
            wish = {
                "client_id": draft.id,
                "pickup": PICKUP,
                "rider_id": draft.rider_id,
                "driver_id": draft.driver_id,
            }
            answer = await agents[draft.number % len(agents)].call("trip:create", wish)
            return Trip(draft.number, answer["trip"]["id"], draft.driver_id, draft.rider_id)

        trips = await each(drafts, create)
        for agent in agents:
            agent.leave()
        return trips

    async def _agent(self, number: int) -> Client:
        token = self.token("agent", f"agent-{self._run}-{number}", [])
        return await Client.connect(self._target.urls[0], token, self._record)
