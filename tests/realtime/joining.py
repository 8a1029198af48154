"""An instance in which clients join rooms, on stores in memory that others change meanwhile."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

import msgspec

from models.commands import TripSubscribe
from models.identity import Identity
from models.presence import PresenceLimits
from models.trips import Trip
from realtime.buckets import Bucket, Rate
from realtime.connection import Connection
from realtime.engine import Socket
from realtime.following import FollowingService
from realtime.recent_revocations import RecentRevocations
from realtime.redis_address import RedisAddress
from realtime.tasks import Tasks
from realtime.wire import JSON, Frame
from tests.handlers.world import MemoryTrips, World

PER_CONNECTION = 2
"""Trips that a connection may subscribe to."""
WAIT_S = 5


class Channels:
    """Confirms at once, and brings nothing: the other instances are silent."""

    def __init__(self) -> None:
        self.wanted: set[str] = set()

    def subscribe(self, channel: str) -> Awaitable[bool]:
        self.wanted.add(channel)
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        done.set_result(True)
        return done

    def unsubscribe(self, channel: str) -> None:
        self.wanted.discard(channel)


class Ear:
    """Stands where a socket stands, and keeps what is written to its client."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []

    def write(self, frame: Frame, _passing: bool = False) -> bool:
        name, payload = msgspec.json.decode(frame.data.removeprefix(b"42"))
        self.events.append((name, payload))
        return True


class Client:
    def __init__(self, identity: Identity) -> None:
        self._ear = Ear()
        socket, reports = cast("Socket", self._ear), Bucket(Rate.of(50))
        self.connection = Connection(socket, JSON, identity, "phone", "test/1", reports=reports)

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self._ear.events]

    @property
    def locations(self) -> list[dict[str, Any]]:
        return [fact for name, fact in self._ear.events if name == "trip:location"]

    @property
    def versions(self) -> list[int]:
        return [fact["version"] for name, fact in self._ear.events if name == "trip:status"]

    @property
    def seqs(self) -> list[int]:
        return [fact["seq"] for name, fact in self._ear.events if name == "chat:message"]

    async def hears(self, versions: list[int], seqs: list[int]) -> None:
        async with asyncio.timeout(WAIT_S):
            while (self.versions, self.seqs) != (versions, seqs):  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.01)


def following_of(
    world: World, tasks: Tasks, channels: Any, per_connection: int = 10
) -> FollowingService:
    """What a world's instance follows; `channels` stands in for the bus."""
    return FollowingService(
        channels=channels,
        kept=world.stores,
        sessions=world.sessions,
        snapshots=world.snapshots,
        drivers=world.drivers,
        presence=PresenceLimits(),
        clock=world.clock,
        tasks=tasks,
        per_connection=per_connection,
    )


def without_redis(clock: Callable[[], int]) -> RecentRevocations:
    return RecentRevocations(RedisAddress.parse("redis://127.0.0.1:1").client(), clock)


class Joining:
    """An instance without any room yet, and a world in which others change things."""

    def __init__(self, tasks: Tasks, trips: MemoryTrips | None = None) -> None:
        self.world = World(trips)
        self.channels = Channels()
        self.following = following_of(self.world, tasks, self.channels, PER_CONNECTION)

    async def opens(self, client: Client) -> None:
        then = await self.begins(client)
        then()

    async def begins(self, client: Client) -> Callable[[], None]:
        """The client's connection is read; call what is returned to let it in."""
        _, then = await self.following.open(client.connection)

        def let_in() -> None:
            then()
            client.connection.ready.set_result(None)

        return let_in

    async def looks(self, client: Client, trip: Trip) -> Callable[[], None]:
        """The client, which follows nothing, subscribes; the same."""
        client.connection.ready.set_result(None)
        _, then = await self.following.subscribe(client.connection, TripSubscribe(trip.id))
        return then
