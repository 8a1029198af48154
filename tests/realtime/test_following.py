"""What nobody was told of is found all the same, and rooms are left only when all was heard."""

from collections.abc import AsyncIterator

import pytest

from models import rooms
from models.commands import MAX_PAGE, ChatOpen
from realtime import following
from realtime.tasks import Tasks
from tests.handlers.world import ANN, DAN, RITA
from tests.realtime.joining import Client, Joining


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
