"""Joining: whoever comes first, and whatever happens meanwhile, nobody misses anything."""

from collections.abc import AsyncIterator

import pytest

from models.commands import TripOffer
from realtime.tasks import Tasks
from tests.handlers.world import ANN, DAN, RITA, viewer
from tests.realtime.joining import Client, Joining


@pytest.fixture
async def joining() -> AsyncIterator[Joining]:
    tasks = Tasks()
    yield Joining(tasks)
    await tasks.stop()


async def test_who_has_read_earlier_hears_what_the_feed_began_after(joining: Joining) -> None:
    world, early, late = joining.world, Client(RITA), Client(ANN)
    trip = await world.trip_in("accepted")
    then = await joining.begins(early)
    await world.move(ANN, trip, "arriving")
    await world.move(ANN, trip, "arrived")
    await world.say(DAN, trip.id, "here I am")
    late_then = await joining.looks(late, trip)
    late_then()
    then()
    await early.hears([3, 4], [1])
    assert (late.versions, late.seqs) == ([], [])


async def test_what_comes_after_the_beginning_waits_for_what_is_before_it(joining: Joining) -> None:
    world, late = joining.world, Client(ANN)
    trip = await world.trip_in("accepted")
    early = Client(viewer("vera", trip.id))
    then = await joining.looks(early, trip)
    await world.move(ANN, trip, "arriving")
    late_then = await joining.looks(late, trip)
    late_then()
    then()
    await world.move(ANN, trip, "arrived")
    await joining.following.sweep()
    await early.hears([3, 4], [])
    await late.hears([4], [])


async def test_a_driver_hears_that_it_was_taken_off_as_it_came(joining: Joining) -> None:
    world, dan, rita = joining.world, Client(DAN), Client(RITA)
    trip = await world.trip_in("accepted")
    then = await joining.begins(dan)
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
    then = await joining.begins(rita)
    await world.say(DAN, chat.id, "hello?")
    await joining.opens(dan)
    then()
    await rita.hears([], [1])


async def test_a_driver_that_was_taken_off_and_asked_again_as_it_came_hears_of_both(
    joining: Joining,
) -> None:
    world, dan, rita = joining.world, Client(DAN), Client(RITA)
    trip = await world.trip_in("accepted")
    then = await joining.begins(dan)
    await world.move(ANN, trip, "requested")
    await world.give(ANN, TripOffer(trip.id, "eve"))
    await world.give(ANN, TripOffer(trip.id, "dan"))
    await joining.opens(rita)
    then()
    await dan.hears([3, 5], [])
