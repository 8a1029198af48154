"""Joining: whoever comes first, and whatever happens meanwhile, nobody misses anything."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from typing import Any, cast

import msgspec
import pytest

from models import rooms
from models.commands import MAX_PAGE, ChatOpen, TripSubscribe
from models.identity import Identity
from models.presence import PresenceLimits
from realtime import following
from realtime.connection import Connection
from realtime.engine import Socket
from realtime.following import FollowingService
from realtime.tasks import Tasks
from realtime.wire import JSON, Frame
from tests.handlers.world import ANN, DAN, RITA, World, viewer

WAIT_S = 5


class Channels:
    """Confirms at once, and brings nothing: the other instances are silent."""

    def subscribe(self, _channel: str) -> Awaitable[bool]:
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        done.set_result(True)
        return done

    def unsubscribe(self, channel: str) -> None: ...


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
        self.connection = Connection(cast("Socket", self._ear), JSON, identity, "phone", "test/1")

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


class Joining:
    """An instance without any room yet, and a world in which others change things."""

    def __init__(self, tasks: Tasks) -> None:
        self.world = World()
        self.following = FollowingService(
            channels=Channels(),
            kept=self.world.stores,
            sessions=self.world.sessions,
            snapshots=self.world.snapshots,
            drivers=self.world.drivers,
            presence=PresenceLimits(),
            clock=self.world.clock,
            tasks=tasks,
        )

    async def opens(self, client: Client) -> None:
        _, then = await self.following.open(client.connection)
        then()
        client.connection.ready.set_result(None)


@pytest.fixture
async def joining() -> AsyncIterator[Joining]:
    tasks = Tasks()
    yield Joining(tasks)
    await tasks.stop()


async def test_who_has_read_earlier_hears_what_the_feed_began_after(joining: Joining) -> None:
    world, early, late = joining.world, Client(RITA), Client(ANN)
    trip = await world.trip_in("accepted")
    _, then = await joining.following.open(early.connection)
    await world.move(ANN, trip, "arriving")
    await world.move(ANN, trip, "arrived")
    await world.say(DAN, trip.id, "here I am")
    _, late_then = await joining.following.subscribe(late.connection, TripSubscribe(trip.id))
    late_then()
    then()
    await early.hears([3, 4], [1])
    assert (late.versions, late.seqs) == ([], [])


async def test_what_comes_after_the_beginning_waits_for_what_is_before_it(joining: Joining) -> None:
    world, late = joining.world, Client(ANN)
    trip = await world.trip_in("accepted")
    early = Client(viewer("vera", trip.id))
    subscribe = TripSubscribe(trip.id)
    _, then = await joining.following.subscribe(early.connection, subscribe)
    await world.move(ANN, trip, "arriving")
    _, late_then = await joining.following.subscribe(late.connection, subscribe)
    late_then()
    then()
    await world.move(ANN, trip, "arrived")
    await joining.following.sweep()
    await early.hears([3, 4], [])
    await late.hears([4], [])


async def test_a_driver_hears_that_it_was_taken_off_as_it_came(joining: Joining) -> None:
    world, dan, rita = joining.world, Client(DAN), Client(RITA)
    trip = await world.trip_in("accepted")
    _, then = await joining.following.open(dan.connection)
    await world.move(ANN, trip, "requested")
    await world.move(ANN, trip, "cancelled")
    await world.say(RITA, trip.id, "what a pity")
    await joining.opens(rita)
    then()
    await dan.hears([3], [])


async def test_a_conversation_of_support_is_complete_for_all_who_join_at_once(
    joining: Joining,
) -> None:
    world, rita, dan = joining.world, Client(RITA), Client(DAN)
    chat = await world.support("rita", "dan")
    _, then = await joining.following.open(rita.connection)
    await world.say(DAN, chat.id, "hello?")
    await joining.opens(dan)
    then()
    await rita.hears([], [1])


async def test_a_sweep_brings_all_pages_of_what_was_missed(joining: Joining) -> None:
    world, rita = joining.world, Client(RITA)
    trip = await world.trip_in("accepted")
    await joining.opens(rita)
    for number in range(2 * MAX_PAGE + 3):
        await world.say(DAN, trip.id, f"{number}")
    await joining.following.sweep()
    await rita.hears([], list(range(1, 2 * MAX_PAGE + 4)))


async def test_a_sweep_finds_what_began_while_nobody_was_told(joining: Joining) -> None:
    world, dan = joining.world, Client(DAN)
    await joining.opens(dan)
    trip = await world.new_trip(driver_id="dan")
    await joining.following.sweep()
    await dan.hears([1], [])
    await world.move(DAN, trip, "accepted")
    await joining.following.sweep()
    await dan.hears([1, 2], [])


async def test_what_the_store_took_before_it_was_away_is_found_after_its_return(
    joining: Joining,
) -> None:
    world, dan = joining.world, Client(DAN)
    await joining.opens(dan)
    await joining.following.sweep()
    world.clock.advance(120_000)  # away, and frozen with a write that it takes at its return
    await joining.following.sweep()
    world.clock.advance(-115_000)
    await world.new_trip(driver_id="dan")
    world.clock.advance(117_000)
    await joining.following.sweep()
    await dan.hears([1], [])


async def test_a_closed_conversation_brings_its_last_message_before_it_is_left(
    joining: Joining, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "CLOSING_S", 0.0)
    world, rita = joining.world, Client(RITA)
    opened = await world.chat.open(ANN, ChatOpen("one", ("rita",)))
    await joining.opens(rita)
    await world.say(ANN, opened.conversation.id, "the last word")
    joining.following.dissolve(joining.following.feeds[rooms.chat(opened.conversation.id)])
    await rita.hears([], [1])
