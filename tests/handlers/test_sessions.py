"""What a new connection follows and is told of it, and which token may take another's place."""

import pytest
from msgspec import UNSET
from msgspec.structs import replace

from handlers.answers import OpenConversation, SessionReady
from handlers.sessions import Opening, refreshed
from models.commands import ChatClose, DriverAvailability, TripOffer
from models.errors import Forbidden
from models.identity import Identity, Role
from models.messages import Read
from models.points import Point, Sighting
from tests.handlers.world import (
    ANN,
    DAN,
    DAY_MS,
    EVE,
    NOW,
    RITA,
    SERVICE,
    World,
    driver,
    rider,
    viewer,
)

PIN = "4711"


@pytest.fixture
def world() -> World:
    return World()


async def opening(world: World, caller: Identity) -> Opening:
    return await world.sessions.opening(caller, await world.sessions.following(caller))


async def ready(world: World, caller: Identity) -> SessionReady:
    return (await opening(world, caller)).ready


async def trip_ids(world: World, caller: Identity) -> set[str]:
    return {trip.id for trip in (await ready(world, caller)).trips}


async def chat_ids(world: World, caller: Identity) -> set[str]:
    return {chat.id for chat in (await ready(world, caller)).conversations}


class TestReady:
    async def test_a_connection_is_told_who_it_is(self, world: World) -> None:
        world.clock.advance(7)
        told = await ready(world, RITA)
        assert (told.user_id, told.role, told.protocol) == ("rita", "rider", 1)
        assert (told.server_time, told.expires_at) == (NOW + 7, RITA.expires_at)
        assert (list(told.trips), list(told.conversations)) == ([], [])

    @pytest.mark.parametrize(
        "status", ["requested", "accepted", "arriving", "arrived", "in_progress"]
    )
    async def test_a_party_is_told_its_unfinished_trips(self, world: World, status: str) -> None:
        trip = await world.trip_in(status)
        assert await trip_ids(world, RITA) == {trip.id}
        assert await trip_ids(world, DAN) == (set() if status == "requested" else {trip.id})

    @pytest.mark.parametrize("status", ["completed", "cancelled"])
    async def test_an_ended_trip_is_told_no_more_but_its_conversation_is(
        self, world: World, status: str
    ) -> None:
        trip = await world.trip_in(status)
        for caller in (RITA, DAN):
            assert await trip_ids(world, caller) == set()
            assert await chat_ids(world, caller) == {trip.id}
        world.clock.advance(DAY_MS)
        for caller in (RITA, DAN):
            assert await chat_ids(world, caller) == set()

    async def test_a_driver_is_told_its_open_offers_and_no_chat_of_them(self, world: World) -> None:
        trip = await world.new_trip(driver_id="dan", expires_in_ms=1_000, pin=PIN)
        assert (await ready(world, DAN)).trips == [trip.for_driver()]
        assert await chat_ids(world, DAN) == set()
        world.clock.advance(1_000)
        assert await trip_ids(world, DAN) == set()

    async def test_an_offer_that_went_to_another_is_told_no_more(self, world: World) -> None:
        trip = await world.new_trip(driver_id="dan")
        await world.trips.offer(ANN, TripOffer(trip.id, "eve"))
        assert await trip_ids(world, DAN) == set()
        assert await trip_ids(world, EVE) == {trip.id}

    async def test_a_driver_taken_off_is_told_nothing(self, world: World) -> None:
        trip = await world.trip_in("accepted")
        await world.move(ANN, trip, "requested")
        assert await trip_ids(world, DAN) == set()
        assert await chat_ids(world, DAN) == set()

    async def test_the_pin_is_the_riders_to_see(self, world: World) -> None:
        await world.trip_in("accepted", pin=PIN)
        (seen_by_rita,) = (await ready(world, RITA)).trips
        (seen_by_dan,) = (await ready(world, DAN)).trips
        assert (seen_by_rita.pin, seen_by_dan.pin) == (PIN, None)

    async def test_a_user_has_in_each_role_what_is_that_roles(self, world: World) -> None:
        await world.trip_in("accepted")
        assert await trip_ids(world, driver("rita")) == set()
        assert await trip_ids(world, rider("dan")) == set()

    @pytest.mark.parametrize("caller", [ANN, SERVICE, viewer("rita")])
    async def test_staff_and_viewers_follow_no_trips_unasked(
        self, world: World, caller: Identity
    ) -> None:
        trip = await world.trip_in("accepted")
        watching = replace(caller, trips=frozenset({trip.id}))
        assert (await world.sessions.following(watching)).trips == ()


class TestConversations:
    async def test_each_says_how_far_it_is_and_how_far_one_has_read(self, world: World) -> None:
        trip = await world.trip_in("accepted")
        quiet = await world.trip_in("accepted")
        await world.write(trip.id, 3)
        await world.stores.receipts.advance(trip.id, "dan", Read(3, 2))
        told = {chat.id: chat for chat in (await ready(world, DAN)).conversations}
        assert told[trip.id] == OpenConversation(trip.id, last_seq=3, read_seq=2)
        assert told[quiet.id] == OpenConversation(quiet.id, last_seq=0, read_seq=0)
        (mine, _) = sorted((await ready(world, RITA)).conversations, key=lambda c: -c.last_seq)
        assert mine == OpenConversation(trip.id, last_seq=3, read_seq=0)

    async def test_support_is_told_while_it_is_open(self, world: World) -> None:
        conversation = await world.support("rita", "ann")
        for caller in (RITA, driver("rita"), ANN):
            assert await chat_ids(world, caller) == {conversation.id}
        assert await chat_ids(world, DAN) == set()
        await world.chat.close(ANN, ChatClose(conversation.id))
        assert await chat_ids(world, RITA) == set()

    async def test_a_viewer_has_no_conversations(self, world: World) -> None:
        await world.support("rita")
        assert await chat_ids(world, viewer("rita")) == set()


class TestDrivers:
    async def test_a_driver_is_told_what_it_said_it_does(self, world: World) -> None:
        assert (await ready(world, DAN)).status is UNSET
        await world.drivers.set_status("dan", DriverAvailability.BUSY)
        assert (await ready(world, DAN)).status is DriverAvailability.BUSY
        assert (await ready(world, rider("dan"))).status is UNSET

    async def test_a_drivers_points_go_on_from_its_newest(self, world: World) -> None:
        sighting = Sighting("dan", Point(1.0, 2.0, NOW, 3), "phone", NOW)
        world.drivers.saw(sighting)
        assert (await opening(world, DAN)).sighting == sighting
        assert (await opening(world, EVE)).sighting is None
        assert (await opening(world, rider("dan"))).sighting is None


class TestRefreshing:
    def test_a_new_token_of_the_same_user_and_role_goes_on(self) -> None:
        token = replace(RITA, expires_at=RITA.expires_at + 5, token_id="t2")
        assert refreshed(RITA, token) is token

    @pytest.mark.parametrize(
        "token", [rider("ruth"), driver("rita"), Identity("rita", Role.VIEWER, NOW), ANN]
    )
    def test_another_users_or_roles_token_does_not(self, token: Identity) -> None:
        with pytest.raises(Forbidden) as refused:
            refreshed(RITA, token)
        assert refused.value.details == {"path": "token"}
