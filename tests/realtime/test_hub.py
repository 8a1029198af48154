"""What instances tell each other: nobody hears what came after it left, whatever is lost."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import cast

import msgspec
import pytest

from handlers.chat import ChatHandler
from handlers.trips import TripHandler
from models.commands import MarkRead, ShowTyping, TripSubscribe, TripUpdate
from models.facts import TripLocation, TripStatus
from models.fields import new_id
from models.identity import Identity
from models.messages import Draft
from models.points import Point
from models.trips import Status, Trip
from realtime.bus import Bus
from realtime.envelopes import Envelope, unpacked
from realtime.hub import Hub
from realtime.metrics import Metrics
from realtime.revocations import Revocations
from realtime.tasks import Tasks
from tests.handlers.world import ANN, DAN, DAY_MS, RITA, World
from tests.hostile.process import until
from tests.realtime.joining import Client, following_of, without_redis


class Wire:
    """One instance's end of a Redis that brings everything at once, but for what it loses."""

    def __init__(self) -> None:
        self.loses: set[str] = set()
        """Names of events."""
        self.far: Callable[[str, bytes], None] | None = None

    def publish(self, channel: str, message: bytes, *, echo: bool = False) -> None:
        del echo
        told = unpacked(message)
        event = told.event if isinstance(told, Envelope) else TripLocation.event
        if self.far is not None and event not in self.loses:
            self.far(channel, message)

    def subscribe(self, _channel: str) -> asyncio.Future[bool]:
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        done.set_result(True)
        return done

    def unsubscribe(self, channel: str) -> None: ...


class Instance:
    def __init__(self, world: World, tasks: Tasks) -> None:
        self.wire = Wire()
        self.following = following_of(world, tasks, self.wire)
        revocations = Revocations(world.stores, without_redis(world.clock), world.clock)
        bus = cast("Bus", self.wire)
        self.metrics = Metrics()
        self.hub = Hub(bus, self.following, revocations, world.clock, self.metrics)
        self.trips = TripHandler(
            world.stores,
            self.hub.publish,
            world.clock,
            world.drivers,
            chat_after_end_ms=DAY_MS,
            arrival_radius_m=0,
        )
        self.chat = ChatHandler(world.stores, self.hub.publish, world.clock)

    async def seats(self, identity: Identity, trip: Trip) -> Client:
        """A client of this instance that looks at the trip, and knows it as it is."""
        client = Client(identity)
        _, then = await self.following.open(client.connection)
        then()
        client.connection.ready.set_result(None)
        _, then = await self.following.subscribe(client.connection, TripSubscribe(trip.id))
        then()
        return client

    async def says(self, caller: Identity, trip: Trip, text: str) -> None:
        await self.chat.send(
            caller, Draft(conversation_id=trip.id, client_id=new_id(), text=text), None
        )


class Two:
    """Two instances on the same stores, and a trip whose parties are connected to the second."""

    def __init__(self, world: World, tasks: Tasks, trip: Trip) -> None:
        self.world = world
        self.trip = trip
        self.here = Instance(world, tasks)
        self.there = Instance(world, tasks)
        self.here.wire.far = self.there.hub.receive
        self.there.wire.far = self.here.hub.receive

    async def takes_dan_off_without_a_word(self) -> None:
        self.here.wire.loses = {TripStatus.event}
        await self.here.trips.update(ANN, TripUpdate(self.trip.id, Status.REQUESTED))


@pytest.fixture
async def two() -> AsyncIterator[Two]:
    tasks, world = Tasks(), World()
    yield Two(world, tasks, await world.trip_in("accepted"))
    await tasks.stop()


async def test_a_message_after_a_lost_change_is_heard_after_it_and_not_by_who_it_took_off(
    two: Two,
) -> None:
    dan, rita = await two.there.seats(DAN, two.trip), await two.there.seats(RITA, two.trip)
    await two.takes_dan_off_without_a_word()
    await two.here.says(ANN, two.trip, "the next driver is on its way")
    await until(lambda: rita.names == ["trip:status", "chat:message"])
    assert dan.names == ["trip:status"]


async def test_where_it_was_written_makes_no_difference(two: Two) -> None:
    dan, rita = await two.there.seats(DAN, two.trip), await two.there.seats(RITA, two.trip)
    await two.takes_dan_off_without_a_word()
    await two.there.says(ANN, two.trip, "the next driver is on its way")
    await until(lambda: rita.names == ["trip:status", "chat:message"])
    assert dan.names == ["trip:status"]


async def test_a_receipt_after_a_lost_change_is_not_heard_by_who_it_took_off(two: Two) -> None:
    await two.here.says(DAN, two.trip, "hello")
    dan = await two.there.seats(DAN, two.trip)
    await two.takes_dan_off_without_a_word()
    await two.here.chat.mark_read(RITA, MarkRead(two.trip.id, read_seq=1), "elsewhere")
    await until(lambda: dan.names == ["trip:status"])


async def test_typing_after_a_lost_change_is_not_seen_by_who_it_took_off(two: Two) -> None:
    dan = await two.there.seats(DAN, two.trip)
    await two.takes_dan_off_without_a_word()
    await two.here.chat.show_typing(RITA, ShowTyping(two.trip.id, typing=True))
    await until(lambda: dan.names == ["trip:status"])


async def test_what_is_read_again_is_not_for_who_was_taken_off_meanwhile(two: Two) -> None:
    dan, rita = await two.there.seats(DAN, two.trip), await two.there.seats(RITA, two.trip)
    await two.takes_dan_off_without_a_word()
    two.here.wire.loses.add("chat:message")
    await two.here.says(ANN, two.trip, "the next driver is on its way")
    # As the sweep does, whose look for changes was just before this one.
    await two.there.following.repair.compare_seqs(two.there.following.feeds.values())
    await until(lambda: rita.names == ["trip:status", "chat:message"])
    assert dan.names == ["trip:status"]


async def test_what_belongs_to_a_known_version_is_heard_at_once(two: Two) -> None:
    dan, rita = await two.there.seats(DAN, two.trip), await two.there.seats(RITA, two.trip)
    await two.here.says(RITA, two.trip, "where are you?")
    await two.here.chat.mark_read(DAN, MarkRead(two.trip.id, read_seq=1), "elsewhere")
    await two.here.chat.show_typing(RITA, ShowTyping(two.trip.id, typing=True))
    assert rita.names == ["chat:message", "chat:receipt"]
    assert dan.names == ["chat:message", "chat:receipt", "chat:typing"]


async def test_a_location_is_shown_the_same_on_every_instance(two: Two) -> None:
    near, far = await two.here.seats(RITA, two.trip), await two.there.seats(RITA, two.trip)
    point = Point(52.5, 13.4, two.world.clock(), 7, heading=359.9, accuracy=4.0)
    two.here.hub.show((two.trip.id,), point, DAN.user_id, two.world.clock())
    location = msgspec.to_builtins(TripLocation.of(two.trip.id, point))
    assert near.locations == far.locations == [location]
    assert two.here.hub.take_shown() == {two.trip.id: point}


async def test_a_location_is_shown_to_all_trips_of_its_driver_and_counted_for_each(
    two: Two,
) -> None:
    other = await two.world.trip_in("accepted")
    seats = [
        await instance.seats(RITA, trip)
        for instance in (two.here, two.there)
        for trip in (two.trip, other)
    ]
    point, seen_at = Point(52.5, 13.4, two.world.clock(), 7), two.world.clock() - 5
    two.here.hub.show((two.trip.id, other.id), point, DAN.user_id, seen_at)
    told = [[fact["trip_id"] for fact in client.locations] for client in seats]
    assert told == [[two.trip.id], [other.id]] * 2
    assert two.here.metrics.published.counts[TripLocation.event] == 2
    assert two.here.metrics.relay.shown == {seen_at: 2}
    assert two.there.metrics.relay.arrived == {seen_at: 2}


async def test_a_message_that_comes_while_the_first_member_joins_is_not_for_who_just_left(
    two: Two,
) -> None:
    dan = Client(DAN)
    _, then = await two.there.following.open(dan.connection)
    await two.takes_dan_off_without_a_word()
    await two.here.says(ANN, two.trip, "the next driver is on its way")
    then()
    dan.connection.ready.set_result(None)
    await until(lambda: dan.names == ["trip:status"])
    assert not two.there.following.feeds
