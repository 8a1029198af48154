"""Who may give which command: the documented table, cell by cell, against the handlers."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import pytest
from msgspec import Struct

from handlers import access
from models.commands import (
    ChatClose,
    ChatHistory,
    ChatOpen,
    MarkRead,
    ShowTyping,
    TripCreate,
    TripDecline,
    TripEdit,
    TripOffer,
    TripSubscribe,
    TripUpdate,
)
from models.errors import Forbidden, NotFound, RidewireError
from models.fields import new_id
from models.identity import Identity, Role
from models.messages import Draft
from models.trips import Relation, Status, Trip
from tests.handlers.world import (
    ANN,
    DAN,
    HERE,
    RITA,
    SERVICE,
    World,
    agent,
    driver,
    rider,
    viewer,
)

WHO_MAY_GIVE = """
    session:refresh   driver rider agent service viewer
    driver:status     driver
    driver:location   driver
    trip:create       rider agent service
    trip:offer        agent service
    trip:decline      driver
    trip:update       driver rider agent service
    trip:edit         rider agent service
    trip:subscribe    driver rider agent service viewer
    trip:unsubscribe  driver rider agent service viewer
    chat:send         driver rider agent service
    chat:history      driver rider agent service
    chat:receipt      driver rider agent service
    chat:typing       driver rider agent service
    chat:open         agent service
    chat:close        agent service
    trip:get          driver rider agent service viewer
    trip:track        driver rider agent service
    trip:list         driver rider agent service
    trip:share        rider agent service
    chat:list         driver rider agent service
    driver:nearby     agent service
    user:push         service
    user:revoke       service
    session:revoke    service
"""
"""The roles that may give a command, or ask over HTTP, at all."""

WHOSE_IT_MUST_BE = """
    trip:offer      staff
    trip:decline    offered
    trip:update     rider driver offered staff
    trip:edit       rider staff
    trip:subscribe  rider driver offered staff viewer
    chat:send       rider driver staff
    chat:history    rider driver staff
    chat:receipt    rider driver
    chat:typing     rider driver
    chat:close      staff
    trip:get        rider driver offered staff viewer
    trip:track      rider driver staff
    trip:share      rider staff
    chat:list       rider driver staff
"""
"""What the caller must be to the trip or conversation, where a command is about one."""


def table(text: str) -> dict[str, set[str]]:
    rows = [line.split() for line in text.strip().splitlines()]
    return {event: set(who) for event, *who in rows}


def told(error: type[RidewireError], *, unless: bool) -> AbstractContextManager[object]:
    """Expect this refusal, unless there is to be none."""
    return nullcontext() if unless else pytest.raises(error)


class TestTable:
    def test_every_command_and_request_has_a_row(self) -> None:
        assert set(access.ACCESS) == set(table(WHO_MAY_GIVE))

    @pytest.mark.parametrize("event", table(WHO_MAY_GIVE))
    def test_a_role_may_give_what_the_table_says(self, event: str) -> None:
        for role in Role:
            with told(Forbidden, unless=role in table(WHO_MAY_GIVE)[event]):
                access.require_role(Identity("u", role, 1), event)

    @pytest.mark.parametrize("event", table(WHO_MAY_GIVE))
    def test_a_relation_may_give_what_the_table_says(self, event: str) -> None:
        for relation in Relation:
            with told(Forbidden, unless=relation in table(WHOSE_IT_MUST_BE).get(event, set())):
                assert access.require_relation(relation, event) is relation

    @pytest.mark.parametrize("event", table(WHO_MAY_GIVE))
    def test_for_a_stranger_nothing_is_there(self, event: str) -> None:
        with pytest.raises(NotFound):
            access.require_relation(None, event)


CAST = {
    "rita, its rider": RITA,
    "dan, its driver": DAN,
    "olga, who is offered it": driver("olga"),
    "an agent": agent("anton"),
    "the service": SERVICE,
    "its viewer": viewer("vera"),
    "another rider": rider("ruth"),
    "another driver": driver("dora"),
    "a viewer of another trip": viewer("viktor", "another"),
    "rita with a driver's token": driver("rita"),
    "dan with a rider's token": rider("dan"),
    "olga with a rider's token": rider("olga"),
    "rita with a viewer's token": viewer("rita"),
    "dan with a viewer's token": viewer("dan"),
}
RIDER, DRIVER, OLGA = {"rita, its rider"}, {"dan, its driver"}, {"olga, who is offered it"}
STAFF, VIEWER = {"an agent", "the service"}, {"its viewer"}

Make = Callable[[str], Struct]


def message(conversation_id: str) -> Draft:
    return Draft(conversation_id=conversation_id, client_id=new_id(), text="hello")


def edit(trip_id: str) -> TripEdit:
    return TripEdit(trip_id=trip_id, stops=(HERE,))


def offer(trip_id: str) -> TripOffer:
    return TripOffer(trip_id, "eve")


def cancel(trip_id: str) -> TripUpdate:
    return TripUpdate(trip_id, Status.CANCELLED)


def accept(trip_id: str) -> TripUpdate:
    return TripUpdate(trip_id, Status.ACCEPTED, driver_id="olga")


def read(conversation_id: str) -> MarkRead:
    return MarkRead(conversation_id, read_seq=0)


def type_on(conversation_id: str) -> ShowTyping:
    return ShowTyping(conversation_id, typing=True)


WHO_MAY: dict[tuple[str, Make], set[str]] = {
    ("served", offer): STAFF,
    ("served", TripDecline): set(),
    ("served", accept): STAFF | RIDER | DRIVER,
    ("served", cancel): STAFF | RIDER | DRIVER,
    ("served", edit): STAFF | RIDER,
    ("served", TripSubscribe): STAFF | RIDER | DRIVER | VIEWER,
    ("served", message): STAFF | RIDER | DRIVER,
    ("served", ChatHistory): STAFF | RIDER | DRIVER,
    ("served", read): RIDER | DRIVER,
    ("served", type_on): RIDER | DRIVER,
    ("offered", offer): STAFF,
    ("offered", TripDecline): OLGA,
    ("offered", accept): STAFF | OLGA,
    ("offered", cancel): STAFF | RIDER,
    ("offered", edit): STAFF | RIDER,
    ("offered", TripSubscribe): STAFF | RIDER | VIEWER | OLGA,
    ("offered", message): STAFF | RIDER,
    ("offered", ChatHistory): STAFF | RIDER,
    ("offered", read): RIDER,
    ("offered", type_on): RIDER,
}
"""Both trips are rita's; one is served by dan, the other offered to olga.

Accepting a trip that is accepted is no question of rights, but an illegal transition.
"""


async def refusal(world: World, caller: Identity, command: Struct) -> RidewireError | None:
    """Why the caller may not; None where the command got past the question of rights."""
    try:
        await world.give(caller, command)
    except (Forbidden, NotFound) as error:
        return error
    except RidewireError:
        return None
    return None


def as_told(error: RidewireError) -> tuple[str, str, dict[str, object]]:
    return error.code, error.message, error.details


async def world_with(which: str) -> tuple[World, Trip, dict[str, Identity]]:
    """A world with one of the two trips, and the cast, whose viewer has a link to it."""
    world = World()
    trip = await world.trip_in("accepted" if which == "served" else "requested")
    if which == "offered":
        trip = (await world.trips.offer(ANN, TripOffer(trip.id, "olga"))).trip
    world.told.clear()
    return world, trip, CAST | {"its viewer": viewer("vera", trip.id)}


@pytest.mark.parametrize(("which", "make"), list(WHO_MAY))
class TestTrips:
    async def test_only_those_may_that_the_table_names(self, which: str, make: Make) -> None:
        for name in CAST:
            world, trip, cast = await world_with(which)
            error = await refusal(world, cast[name], make(trip.id))
            assert (error is None) == (name in WHO_MAY[which, make]), (name, error)

    async def test_a_stranger_cannot_tell_a_trip_from_none(self, which: str, make: Make) -> None:
        world, trip, cast = await world_with(which)
        strangers = [caller for caller in cast.values() if trip.relation_of(caller) is None]
        assert len(strangers) >= 8
        for caller in strangers:
            there = await refusal(world, caller, make(trip.id))
            nowhere = await refusal(world, caller, make("nowhere"))
            assert there is not None
            assert nowhere is not None
            assert as_told(there) == as_told(nowhere)

    async def test_what_is_refused_is_neither_stored_nor_told(self, which: str, make: Make) -> None:
        world, trip, cast = await world_with(which)
        for name, caller in cast.items():
            if name not in WHO_MAY[which, make]:
                await refusal(world, caller, make(trip.id))
        assert world.told == []
        assert (await world.stored(trip.id)).trip == trip
        assert await world.stores.messages.newest_seq(trip.id) == 0


class TestCreations:
    async def test_riders_and_staff_create_trips(self) -> None:
        for name, caller in CAST.items():
            error = await refusal(World(), caller, TripCreate(client_id="c1", pickup=HERE))
            assert (error is None) == (caller.role in ("rider", "agent", "service")), name

    async def test_staff_opens_conversations(self) -> None:
        for name, caller in CAST.items():
            error = await refusal(World(), caller, ChatOpen("c1", ("rita",)))
            assert (error is None) == (name in STAFF), name


TALKERS = {"rita": RITA, "rita driving": driver("rita"), "ann, who takes part": ANN}
OTHERS = {
    "another agent": agent("anton"),
    "the service": SERVICE,
    "another rider": rider("ruth"),
    "rita watching": viewer("rita"),
}
IN_SUPPORT: dict[str, tuple[Make, set[str]]] = {
    "chat:send": (message, {*TALKERS, "another agent", "the service"}),
    "chat:history": (ChatHistory, {*TALKERS, "another agent", "the service"}),
    "chat:receipt": (read, {*TALKERS}),
    "chat:typing": (type_on, {*TALKERS}),
    "chat:close": (ChatClose, {"ann, who takes part", "another agent", "the service"}),
}
"""In a conversation of support with rita and ann."""


class TestSupport:
    @pytest.mark.parametrize("event", IN_SUPPORT)
    async def test_only_those_may_that_the_table_names(self, event: str) -> None:
        make, allowed = IN_SUPPORT[event]
        for name, caller in {**TALKERS, **OTHERS}.items():
            world = World()
            conversation = await world.support("rita", "ann")
            error = await refusal(world, caller, make(conversation.id))
            assert (error is None) == (name in allowed), name

    @pytest.mark.parametrize("event", IN_SUPPORT)
    async def test_the_service_may_take_part(self, event: str) -> None:
        world = World()
        conversation = await world.support("rita", SERVICE.user_id)
        make, _ = IN_SUPPORT[event]
        assert await refusal(world, SERVICE, make(conversation.id)) is None

    @pytest.mark.parametrize("event", IN_SUPPORT)
    async def test_a_stranger_cannot_tell_a_conversation_from_none(self, event: str) -> None:
        world = World()
        conversation = await world.support("rita", "ann")
        make, _ = IN_SUPPORT[event]
        there = await refusal(world, rider("ruth"), make(conversation.id))
        nowhere = await refusal(world, rider("ruth"), make("nowhere"))
        assert there is not None
        assert nowhere is not None
        assert as_told(there) == as_told(nowhere)

    async def test_a_trips_conversation_is_not_closed_by_hand(self) -> None:
        world = World()
        trip = await world.trip_in("accepted")
        with pytest.raises(Forbidden):
            await world.give(ANN, ChatClose(trip.id))
