"""What nobody was told of is found all the same, and rooms are left only when all was heard."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import suppress

import pytest

from models import rooms
from models.commands import MAX_PAGE, ChatOpen, TripSubscribe
from models.errors import NotFound, TooLarge
from models.points import Point, Sighting
from models.stores import TripChange
from realtime import following
from realtime.app import SWEEP_FOLLOWED_S
from realtime.feeds import TripFeed
from realtime.tasks import Tasks
from tests.handlers.world import ANN, DAN, RITA, MemoryTrips
from tests.realtime.joining import Client, Joining


class Asked(MemoryTrips):
    """Trips, and which times changes were asked for of: from, before."""

    def __init__(self) -> None:
        super().__init__()
        self.spans: list[tuple[int, int | None]] = []

    async def changed(self, since: int, until: int | None) -> Sequence[TripChange]:
        self.spans.append((since, until))
        return await super().changed(since, until)

    def seconds(self, now: int) -> list[float]:
        """How much each question was about, since this was asked the last time."""
        spans, self.spans = self.spans, []
        return [((until or now) - since) / 1_000 for since, until in spans]


async def sweep_for(joining: Joining, seconds: float) -> None:
    for _ in range(round(seconds / SWEEP_FOLLOWED_S)):
        joining.world.clock.advance(round(SWEEP_FOLLOWED_S * 1_000))
        await joining.following.sweep()


@pytest.fixture
async def joining() -> AsyncIterator[Joining]:
    tasks = Tasks()
    yield Joining(tasks)
    await tasks.stop()


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


async def test_what_was_stored_late_or_by_a_slow_clock_is_found_by_a_second_look(
    joining: Joining,
) -> None:
    world, dan = joining.world, Client(DAN)
    await joining.opens(dan)
    await sweep_for(joining, 30)
    world.clock.advance(-15_000)
    await world.new_trip(driver_id="dan")
    world.clock.advance(15_000)
    await sweep_for(joining, 6)
    await dan.hears([1], [])


async def test_a_sweep_asks_for_few_changes_that_an_earlier_one_has_seen() -> None:
    tasks, trips = Tasks(), Asked()
    joining = Joining(tasks, trips)
    await sweep_for(joining, 6)
    trips.spans.clear()
    await sweep_for(joining, 1.5)
    assert sum(trips.seconds(joining.world.clock())) == 6
    await tasks.stop()


async def test_after_a_long_absence_each_question_is_about_a_short_time() -> None:
    tasks, trips = Tasks(), Asked()
    joining = Joining(tasks, trips)
    await joining.following.sweep()
    trips.spans.clear()
    joining.world.clock.advance(3_600_000)
    await joining.following.sweep()
    asked = trips.seconds(joining.world.clock())
    assert sum(asked) > 3_600
    assert max(asked) == 30
    await tasks.stop()


async def test_a_snapshot_that_is_read_while_the_trip_ends_shows_no_place_any_more(
    joining: Joining, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, rita = joining.world, Client(RITA)
    trip = await world.trip_in("in_progress")
    await joining.opens(rita)
    point = Point(lat=1, lng=2, ts=world.clock(), seq=1)
    world.drivers.saw(Sighting("dan", point, "phone", world.clock()))
    read = world.drivers.newest

    async def read_while_it_ends(driver_id: str) -> Sighting | None:
        ended = await world.move(DAN, trip, "completed")
        feed = joining.following.feeds[rooms.trip(trip.id)]
        assert isinstance(feed, TripFeed)
        feed.know(ended)
        return await read(driver_id)

    subscribe = TripSubscribe(trip.id)
    shown, _ = await joining.following.subscribe(rita.connection, subscribe)
    assert shown.location == point
    monkeypatch.setattr(world.drivers, "newest", read_while_it_ends)
    shown, _ = await joining.following.subscribe(rita.connection, subscribe)
    assert shown.location is None


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


async def test_a_connection_looks_at_so_many_trips_and_no_more(joining: Joining) -> None:
    ann = Client(ANN)
    trips = [TripSubscribe((await joining.world.trip_in("accepted")).id) for _ in range(3)]

    async def subscribe(command: TripSubscribe) -> None:
        _, then = await joining.following.subscribe(ann.connection, command)
        then()

    for command in (*trips[:2], trips[0]):
        await subscribe(command)
    with pytest.raises(TooLarge):
        await subscribe(trips[2])
    joining.following.unsubscribe(ann.connection, trips[1].trip_id)
    await subscribe(trips[2])


async def test_trips_that_are_followed_unasked_are_no_subscriptions(joining: Joining) -> None:
    dan = Client(DAN)
    trips = [await joining.world.trip_in("accepted") for _ in range(3)]
    await joining.opens(dan)
    for trip in trips[:2]:
        _, then = await joining.following.subscribe(dan.connection, TripSubscribe(trip.id))
        then()
    with pytest.raises(TooLarge):
        await joining.following.subscribe(dan.connection, TripSubscribe(trips[2].id))


@pytest.mark.parametrize("trip_id", [None, "no-such-trip"])
async def test_who_leaves_while_it_subscribes_leaves_no_channel_behind(
    joining: Joining, monkeypatch: pytest.MonkeyPatch, trip_id: str | None
) -> None:
    ann, channels = Client(ANN), joining.channels
    trip_id = trip_id or (await joining.world.trip_in("accepted")).id
    confirm = channels.subscribe

    def confirm_when_it_has_left(channel: str) -> Awaitable[bool]:
        confirmed = confirm(channel)
        joining.following.close(ann.connection)
        return confirmed

    monkeypatch.setattr(channels, "subscribe", confirm_when_it_has_left)
    with suppress(NotFound):
        _, then = await joining.following.subscribe(ann.connection, TripSubscribe(trip_id))
        then()
    assert channels.wanted == set()


async def test_who_gave_up_waiting_for_redis_hears_what_happens_then(
    joining: Joining, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, rita = joining.world, Client(RITA)
    trip = await world.trip_in("accepted")
    await joining.opens(rita)
    silent = asyncio.get_running_loop().create_future()
    asks = joining.following.subscribe(rita.connection, TripSubscribe(trip.id))
    with monkeypatch.context() as frozen:
        frozen.setattr(joining.channels, "subscribe", lambda _channel: asyncio.shield(silent))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asks, 0.01)
    await world.say(DAN, trip.id, "on my way")
    await joining.following.sweep()
    await rita.hears([], [1])
