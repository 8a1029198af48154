"""Trips as their handlers change them: what is stored, who is told, what is refused and how."""

import asyncio
from collections import Counter

import msgspec
import pytest
from msgspec.structs import replace

from handlers.trips import EXPIRED_AT_ONCE, KNOWN_PLACE_MS
from models import rooms
from models.commands import TripCreate, TripDecline, TripEdit, TripOffer, TripUpdate
from models.errors import (
    Closed,
    Conflict,
    Forbidden,
    IllegalTransition,
    Invalid,
    NotFound,
    RateLimited,
    RidewireError,
    Unavailable,
)
from models.facts import Follow, TripStatus
from models.identity import Identity, Role
from models.points import Point, Sighting
from models.stores import TripRecord
from models.trips import Event, Offer, Status, Trip, followers
from tests.handlers.world import (
    ANN,
    ARRIVAL_RADIUS_M,
    DAN,
    DAY_MS,
    EVE,
    HERE,
    NOW,
    RITA,
    SERVICE,
    THERE,
    MemoryTrips,
    Told,
    World,
    agent,
    rider,
)

PIN = "4711"


@pytest.fixture
def world() -> World:
    return World()


def creation(client_id: str = "c1", *, rider_id: str | None = None) -> TripCreate:
    return TripCreate(client_id=client_id, pickup=HERE, rider_id=rider_id)


def statuses(told: list[Told], trip_id: str) -> list[int]:
    """The versions that the trip's room was told, in order."""
    return [
        each.fact.version
        for each in told
        if isinstance(each.fact, TripStatus) and each.room == rooms.trip(trip_id)
    ]


def is_told_again(told: list[Told], trip: Trip) -> bool:
    """Whether nothing but the trip's newest change was told, to its room and its followers."""
    followed = {key for _, key in follows(told)}
    return statuses(told, trip.id) == [trip.version] and followed == followers(trip)


def follows(told: list[Told]) -> list[tuple[str, str]]:
    """Who was told to follow: the room and the key."""
    return [(each.room, each.fact.key) for each in told if isinstance(each.fact, Follow)]


def is_secret(trip: object) -> bool:
    return PIN.encode() not in msgspec.json.encode(trip)


class TestCreations:
    async def test_a_riders_trip_is_its_own(self, world: World) -> None:
        trip = (await world.trips.create(RITA, creation())).trip
        assert (trip.rider_id, trip.status, trip.version) == ("rita", Status.REQUESTED, 1)
        assert (trip.created_at, trip.updated_at) == (NOW, NOW)
        assert (await world.stored(trip.id)).trip == trip

    async def test_a_rider_may_name_itself_and_nobody_else(self, world: World) -> None:
        assert (await world.trips.create(RITA, creation(rider_id="rita"))).trip.rider_id == "rita"
        with pytest.raises(Forbidden) as refused:
            await world.trips.create(RITA, creation("c2", rider_id="ruth"))
        assert refused.value.details == {"path": "rider_id"}

    async def test_a_rider_does_not_choose_its_driver(self, world: World) -> None:
        with pytest.raises(Forbidden) as refused:
            await world.trips.create(RITA, replace(creation(), driver_id="dan"))
        assert refused.value.details == {"path": "driver_id"}

    @pytest.mark.parametrize("staff", [ANN, SERVICE])
    async def test_staff_says_for_whom(self, world: World, staff: Identity) -> None:
        with pytest.raises(Invalid) as refused:
            await world.trips.create(staff, creation())
        assert refused.value.details["path"] == "rider_id"
        trip = (await world.trips.create(staff, creation(rider_id="rita"))).trip
        assert (trip.rider_id, trip.events[0].by) == ("rita", staff.user_id)

    async def test_the_driver_that_staff_names_gets_the_first_offer(self, world: World) -> None:
        trip = await world.new_trip(driver_id="dan", expires_in_ms=30_000)
        assert (trip.offer, trip.driver_id) == (Offer("dan", NOW + 30_000), None)
        assert trip.events[0].offer == trip.offer

    async def test_a_new_trip_is_told_once_and_followed_by_its_rider(self, world: World) -> None:
        trip = await world.new_trip()
        assert statuses(world.told, trip.id) == [1]
        assert follows(world.told) == [("user:rita", "rider:rita")]
        assert len(world.told) == 2

    async def test_who_is_offered_a_new_trip_follows_it_too(self, world: World) -> None:
        await world.new_trip(driver_id="dan")
        assert sorted(follows(world.told)) == [
            ("user:dan", "driver:dan"),
            ("user:rita", "rider:rita"),
        ]

    async def test_a_retried_creation_is_the_trip_as_it_is_now(self, world: World) -> None:
        trip = (await world.trips.create(RITA, creation())).trip
        moved = await world.move(ANN, trip, "accepted", driver_id="dan")
        world.told.clear()
        again = await world.trips.create(RITA, replace(creation(), pickup=THERE))
        assert again.trip == moved
        assert is_told_again(world.told, moved)

    async def test_creations_at_once_are_one_trip(self, world: World) -> None:
        answers = await asyncio.gather(*(world.trips.create(RITA, creation()) for _ in range(20)))
        (trip_id,) = {answer.trip.id for answer in answers}
        assert set(statuses(world.told, trip_id)) == {1}
        assert set(follows(world.told)) == {follows(world.told)[0]}

    async def test_client_ids_are_each_creators_own(self, world: World) -> None:
        creators = [RITA, rider("ruth"), replace(ANN, user_id="rita")]
        trips = [
            await world.trips.create(
                creator, creation(rider_id=None if creator.role is Role.RIDER else "rita")
            )
            for creator in creators
        ]
        assert len({answer.trip.id for answer in trips}) == 3


class TestOffers:
    async def test_an_offer_is_told_to_the_trip_and_followed_by_its_driver(
        self, world: World
    ) -> None:
        trip = await world.trip_in("requested")
        offered = (await world.trips.offer(ANN, TripOffer(trip.id, "dan", 30_000))).trip
        assert offered.offer == Offer("dan", NOW + 30_000)
        assert statuses(world.told, trip.id) == [2]
        assert follows(world.told) == [("user:dan", "driver:dan")]

    async def test_without_a_time_an_offer_stands(self, world: World) -> None:
        trip = await world.trip_in("requested")
        assert (await world.trips.offer(ANN, TripOffer(trip.id, "dan"))).trip.offer == Offer("dan")

    async def test_offering_again_changes_nothing(self, world: World) -> None:
        trip = await world.trip_in("requested", driver_id="dan")
        first = await world.trips.offer(ANN, TripOffer(trip.id, "dan", 30_000))
        world.told.clear()
        assert await world.trips.offer(SERVICE, TripOffer(trip.id, "dan", 30_000)) == first
        assert is_told_again(world.told, first.trip)

    async def test_an_offer_whose_time_is_over_is_made_anew(self, world: World) -> None:
        trip = await world.trip_in("requested")
        await world.trips.offer(ANN, TripOffer(trip.id, "dan", 1_000))
        world.clock.advance(1_000)
        again = await world.trips.offer(ANN, TripOffer(trip.id, "dan", 1_000))
        assert again.trip.offer == Offer("dan", NOW + 2_000)
        assert again.trip.version == 3

    async def test_another_offer_replaces_the_first_in_one_version(self, world: World) -> None:
        trip = await world.trip_in("requested")
        await world.trips.offer(ANN, TripOffer(trip.id, "dan"))
        world.told.clear()
        replaced = (await world.trips.offer(ANN, TripOffer(trip.id, "eve"))).trip
        assert replaced.offer == Offer("eve")
        assert statuses(world.told, trip.id) == [3]
        assert follows(world.told) == [("user:eve", "driver:eve")]
        with pytest.raises(NotFound):
            await world.move(DAN, trip, "accepted")

    async def test_who_is_offered_a_trip_again_follows_it_again(self, world: World) -> None:
        trip = await world.trip_in("requested")
        for driver_id in ("dan", "eve", "dan"):
            await world.trips.offer(ANN, TripOffer(trip.id, driver_id))
        assert [key for _, key in follows(world.told)] == [
            *("driver:dan", "driver:eve", "driver:dan")
        ]

    async def test_a_served_trip_is_not_offered(self, world: World) -> None:
        trip = await world.trip_in("accepted")
        with pytest.raises(IllegalTransition) as refused:
            await world.trips.offer(ANN, TripOffer(trip.id, "eve"))
        assert refused.value.details["allowed"] == [
            *("arriving", "arrived", "requested", "cancelled")
        ]

    async def test_a_trip_that_is_not_there_is_not_offered(self, world: World) -> None:
        with pytest.raises(NotFound):
            await world.trips.offer(ANN, TripOffer("nowhere", "dan"))


class TestDeclining:
    async def test_a_declined_offer_becomes_null_and_is_told(self, world: World) -> None:
        trip = await world.trip_in("requested")
        await world.trips.offer(ANN, TripOffer(trip.id, "dan"))
        world.told.clear()
        await world.trips.decline(DAN, TripDecline(trip.id, "too far"))
        (told,) = world.told
        assert isinstance(told.fact, TripStatus)
        assert (told.fact.offer, told.fact.by, told.fact.reason) == (None, "dan", "too far")

    async def test_declining_again_is_done_already(self, world: World) -> None:
        trip = await world.trip_in("requested")
        await world.trips.offer(ANN, TripOffer(trip.id, "dan"))
        await world.trips.decline(DAN, TripDecline(trip.id))
        world.told.clear()
        assert (await world.trips.decline(DAN, TripDecline(trip.id))).ok
        assert set(statuses(world.told, trip.id)) == {3}

    async def test_declining_an_offer_that_was_replaced_leaves_the_new_one(
        self, world: World
    ) -> None:
        trip = await world.trip_in("requested")
        await world.trips.offer(ANN, TripOffer(trip.id, "dan"))
        await world.trips.offer(ANN, TripOffer(trip.id, "eve"))
        assert (await world.trips.decline(DAN, TripDecline(trip.id))).ok
        assert (await world.stored(trip.id)).trip.offer == Offer("eve")

    async def test_who_was_never_offered_a_trip_knows_none(self, world: World) -> None:
        trip = await world.trip_in("requested")
        await world.trips.offer(ANN, TripOffer(trip.id, "dan"))
        with pytest.raises(NotFound):
            await world.trips.decline(EVE, TripDecline(trip.id))

    async def test_an_accepted_trip_is_given_back_and_not_declined(self, world: World) -> None:
        trip = await world.trip_in("accepted")
        with pytest.raises(Forbidden):
            await world.trips.decline(DAN, TripDecline(trip.id))


class TestExpiry:
    async def test_an_offer_ends_at_its_time_and_is_told_by_nobody(self, world: World) -> None:
        trip = await world.trip_in("requested")
        await world.trips.offer(ANN, TripOffer(trip.id, "dan", 1_000))
        world.told.clear()
        world.clock.advance(999)
        assert await world.trips.expire_offers() == 0
        world.clock.advance(1)
        assert await world.trips.expire_offers() == 1
        (told,) = world.told
        assert isinstance(told.fact, TripStatus)
        assert (told.fact.version, told.fact.offer, told.fact.by) == (3, None, None)
        assert await world.trips.expire_offers() == 0

    async def test_on_many_instances_at_once_it_ends_once(self, world: World) -> None:
        trip = await world.trip_in("requested")
        await world.trips.offer(ANN, TripOffer(trip.id, "dan", 1_000))
        world.told.clear()
        world.clock.advance(1_000)
        await asyncio.gather(*(world.trips.expire_offers() for _ in range(5)))
        assert set(statuses(world.told, trip.id)) == {3}

    async def test_after_its_end_it_cannot_be_accepted(self, world: World) -> None:
        trip = await world.trip_in("requested")
        await world.trips.offer(ANN, TripOffer(trip.id, "dan", 1_000))
        world.clock.advance(1_000)
        with pytest.raises((Forbidden, NotFound)):
            await world.move(DAN, trip, "accepted")
        await world.trips.expire_offers()
        with pytest.raises(NotFound):
            await world.move(DAN, trip, "accepted")

    async def test_an_accepted_offer_does_not_end(self, world: World) -> None:
        trip = await world.new_trip(driver_id="dan", expires_in_ms=1_000)
        await world.move(DAN, trip, "accepted")
        world.clock.advance(1_000)
        assert await world.trips.expire_offers() == 0
        assert (await world.stored(trip.id)).trip.driver_id == "dan"

    async def test_an_offer_made_meanwhile_does_not_end_with_the_former(self, world: World) -> None:
        trip = await world.trip_in("requested")
        await world.trips.offer(ANN, TripOffer(trip.id, "dan", 1_000))
        world.clock.advance(1_000)
        await asyncio.gather(
            world.trips.offer(ANN, TripOffer(trip.id, "eve", 1_000)), world.trips.expire_offers()
        )
        assert (await world.stored(trip.id)).trip.offer == Offer("eve", NOW + 2_000)

    async def test_of_accepting_and_expiring_at_once_one_happens(self, world: World) -> None:
        trip = await world.new_trip(driver_id="dan", expires_in_ms=1_000)
        world.clock.advance(999)

        async def later() -> None:
            world.clock.advance(1)
            await world.trips.expire_offers()

        await asyncio.gather(world.move(DAN, trip, "accepted"), later(), return_exceptions=True)
        after = (await world.stored(trip.id)).trip
        assert (after.driver_id, after.offer) in [("dan", None), (None, None)]
        assert statuses(world.told, trip.id) == [1, 2]

    async def test_no_more_than_some_are_ended_at_once(self, world: World) -> None:
        for _ in range(EXPIRED_AT_ONCE + 1):
            await world.new_trip(driver_id="dan", expires_in_ms=1_000)
        world.clock.advance(1_000)
        assert await world.trips.expire_offers() == EXPIRED_AT_ONCE
        assert await world.trips.expire_offers() == 1
        assert await world.trips.expire_offers() == 0


class TestMoves:
    async def test_a_ride_is_told_from_its_request_to_its_end(self, world: World) -> None:
        trip = await world.new_trip(driver_id="dan")
        for step in ("accepted", "arriving", "arrived", "in_progress", "completed"):
            trip = await world.move(DAN, trip, step)
        facts = [each.fact for each in world.told if isinstance(each.fact, TripStatus)]
        assert [fact.status for fact in facts] == [
            *("requested", "accepted", "arriving", "arrived", "in_progress", "completed")
        ]
        assert statuses(world.told, trip.id) == [1, 2, 3, 4, 5, 6]
        assert sorted(key for _, key in follows(world.told)) == ["driver:dan", "rider:rita"]

    async def test_who_accepts_its_offer_is_not_told_to_follow_again(self, world: World) -> None:
        trip = await world.new_trip(driver_id="dan")
        world.told.clear()
        await world.move(DAN, trip, "accepted")
        assert [type(each.fact) for each in world.told] == [TripStatus]

    async def test_a_driver_that_staff_names_is_told_to_follow(self, world: World) -> None:
        trip = await world.trip_in("requested")
        await world.move(ANN, trip, "accepted", driver_id="dan")
        assert follows(world.told) == [("user:dan", "driver:dan")]

    async def test_naming_another_than_was_offered_is_heard_by_both(self, world: World) -> None:
        trip = await world.new_trip(driver_id="dan")
        world.told.clear()
        await world.move(ANN, trip, "accepted", driver_id="eve")
        assert statuses(world.told, trip.id) == [2]
        assert follows(world.told) == [("user:eve", "driver:eve")]

    async def test_a_trip_is_given_back_and_taken_by_another(self, world: World) -> None:
        trip = await world.trip_in("arriving")
        back = await world.move(DAN, trip, "requested", reason="flat tyre")
        assert back.driver_id is None
        again = await world.move(ANN, trip, "accepted", driver_id="eve")
        assert again.driver_id == "eve"
        with pytest.raises(NotFound):
            await world.move(DAN, trip, "arrived")

    async def test_an_illegal_transition_names_the_callers_own_ways_on(self, world: World) -> None:
        trip = await world.trip_in("accepted")
        for caller, allowed in [
            (DAN, {"arriving", "arrived", "requested", "cancelled"}),
            (RITA, {"cancelled"}),
            (ANN, {"arriving", "arrived", "requested", "cancelled"}),
        ]:
            with pytest.raises(IllegalTransition) as refused:
                await world.move(caller, trip, "completed")
            assert set(refused.value.details["allowed"]) == allowed  # type: ignore[call-overload]

    async def test_a_trip_that_is_not_there_does_not_move(self, world: World) -> None:
        with pytest.raises(NotFound):
            await world.trips.update(ANN, TripUpdate("nowhere", Status.CANCELLED))

    async def test_an_ended_trips_chat_is_open_for_a_day(self, world: World) -> None:
        for end in ("completed", "cancelled", "unfulfilled"):
            trip = await world.trip_in(end)
            assert (await world.stored(trip.id)).chat_until == NOW + DAY_MS

    async def test_a_running_trips_chat_has_no_end(self, world: World) -> None:
        trip = await world.trip_in("in_progress")
        assert (await world.stored(trip.id)).chat_until is None

    async def test_only_one_of_many_acceptances_at_once_wins(self, world: World) -> None:
        trip = await world.trip_in("requested")
        drivers = [f"d{n}" for n in range(20)]
        outcomes = await asyncio.gather(
            *(world.move(ANN, trip, "accepted", driver_id=driver) for driver in drivers),
            return_exceptions=True,
        )
        won = [outcome for outcome in outcomes if isinstance(outcome, Trip)]
        assert len(won) == 1
        assert {type(outcome) for outcome in outcomes} == {Trip, IllegalTransition}
        assert (await world.stored(trip.id)).trip == won[0]
        assert statuses(world.told, trip.id) == [2]
        assert follows(world.told) == [(f"user:{won[0].driver_id}", f"driver:{won[0].driver_id}")]


class TestArrivals:
    """`HERE` is the pickup; a degree of latitude is some 111 km."""

    def see(self, world: World, metres: float, age_ms: int = 0) -> None:
        """The driver is seen so far north of the pickup."""
        ts = NOW - age_ms
        point = Point(lat=HERE.lat + metres / 111_195, lng=HERE.lng, ts=ts, seq=1)
        world.drivers.saw(Sighting("dan", point, "phone", ts))

    async def test_a_driver_who_is_elsewhere_has_not_arrived(self, world: World) -> None:
        trip = await world.trip_in("arriving")
        self.see(world, ARRIVAL_RADIUS_M + 1)
        with pytest.raises(Forbidden) as refused:
            await world.move(DAN, trip, "arrived")
        assert refused.value.details == {"path": "status", "distance_m": ARRIVAL_RADIUS_M + 1}
        assert (await world.stored(trip.id)).trip == trip
        self.see(world, ARRIVAL_RADIUS_M)
        assert (await world.move(DAN, trip, "arrived")).status is Status.ARRIVED

    async def test_the_word_of_a_driver_counts_of_whom_nothing_newer_is_known(
        self, world: World
    ) -> None:
        trip = await world.trip_in("accepted")
        self.see(world, 50_000, KNOWN_PLACE_MS - 1)
        with pytest.raises(Forbidden):
            await world.move(DAN, trip, "arrived")
        self.see(world, 50_000, KNOWN_PLACE_MS)
        assert (await world.move(DAN, trip, "arrived")).status is Status.ARRIVED

    @pytest.mark.parametrize("who", [agent("dan"), SERVICE])
    async def test_the_word_of_staff_always_counts(self, world: World, who: Identity) -> None:
        trip = await world.trip_in("accepted")
        self.see(world, 50_000)
        assert (await world.move(who, trip, "arrived")).status is Status.ARRIVED

    async def test_a_driver_may_repeat_it_from_elsewhere(self, world: World) -> None:
        trip = await world.trip_in("accepted")
        arrived = await world.move(DAN, trip, "arrived")
        self.see(world, 50_000)
        assert await world.move(DAN, trip, "arrived") == arrived
        assert (await world.move(DAN, arrived, "in_progress")).status is Status.IN_PROGRESS

    async def test_without_a_radius_anywhere_will_do(self) -> None:
        world = World(arrival_radius_m=0)
        trip = await world.trip_in("accepted")
        self.see(world, 50_000)
        assert (await world.move(DAN, trip, "arrived")).status is Status.ARRIVED


class TestRepeats:
    async def test_a_repeated_transition_is_the_trip_and_no_change(self, world: World) -> None:
        trip = await world.new_trip(driver_id="dan")
        accepted = await world.move(DAN, trip, "accepted", version=1)
        world.told.clear()
        assert await world.move(DAN, trip, "accepted", version=1) == accepted
        assert is_told_again(world.told, accepted)

    async def test_it_is_the_trip_as_it_is_now(self, world: World) -> None:
        trip = await world.trip_in("accepted")
        await world.move(DAN, trip, "arriving", version=2)
        edited = await world.trips.edit(RITA, TripEdit(trip_id=trip.id, stops=(HERE,)))
        again = await world.move(DAN, trip, "arriving", version=2)
        assert (again.version, again.stops) == (edited.trip.version, (HERE,))

    async def test_a_start_is_repeated_without_its_pin(self, world: World) -> None:
        trip = await world.trip_in("arrived", pin=PIN)
        started = await world.move(DAN, trip, "in_progress", pin=PIN)
        assert await world.move(DAN, trip, "in_progress") == started
        assert await world.move(DAN, trip, "in_progress", pin="wrong") == started

    async def test_somebody_elses_transition_is_not_ones_own(self, world: World) -> None:
        trip = await world.trip_in("accepted")
        await world.move(ANN, trip, "arriving")
        with pytest.raises(IllegalTransition):
            await world.move(DAN, trip, "arriving")

    async def test_who_gave_a_trip_back_may_ask_again_and_sees_no_pin(self, world: World) -> None:
        trip = await world.trip_in("accepted", pin=PIN)
        back = await world.move(DAN, trip, "requested")
        again = await world.move(DAN, trip, "requested")
        assert back == again
        assert is_secret(again)

    async def test_repeats_at_once_are_one_change(self, world: World) -> None:
        trip = await world.trip_in("accepted")
        answers = await asyncio.gather(*(world.move(DAN, trip, "arriving") for _ in range(20)))
        assert {answer.version for answer in answers} == {3}
        assert set(statuses(world.told, trip.id)) == {3}


class LosesAnswers(MemoryTrips):
    """Stores what it is given, and does not answer."""

    is_lossy = False

    async def replace(self, record: TripRecord, version: int) -> bool:
        replaced = await super().replace(record, version)
        if self.is_lossy:
            raise Unavailable("the answer was lost")
        return replaced


class TestLostAnswers:
    async def test_a_change_that_was_stored_is_answered_and_told(self) -> None:
        kept = LosesAnswers()
        world = World(kept)
        trip = await world.trip_in("accepted")
        kept.is_lossy = True
        assert (await world.move(DAN, trip, "arriving")).version == trip.version + 1
        assert statuses(world.told, trip.id) == [trip.version + 1]

    async def test_a_change_that_was_not_stored_stays_unknown(self) -> None:
        class Away(MemoryTrips):
            async def replace(self, record: TripRecord, version: int) -> bool:
                raise Unavailable("nobody is there")

        world = World(Away())
        trip = await world.new_trip()
        world.told.clear()
        with pytest.raises(Unavailable):
            await world.move(ANN, trip, "cancelled")
        assert world.told == []


class TestVersions:
    async def test_a_trip_that_moved_on_is_a_conflict_with_the_trip_as_it_is(
        self, world: World
    ) -> None:
        trip = await world.trip_in("accepted")
        now = (await world.trips.edit(RITA, TripEdit(trip_id=trip.id, stops=()))).trip
        now = await world.move(ANN, now, "arriving")
        with pytest.raises(Conflict) as refused:
            await world.move(DAN, trip, "arrived", version=trip.version)
        assert refused.value.details["trip"] == now.for_driver()

    @pytest.mark.parametrize(("caller", "sees"), [(RITA, True), (ANN, True), (DAN, False)])
    async def test_the_trip_of_a_conflict_shows_its_pin_as_always(
        self, world: World, caller: Identity, sees: bool
    ) -> None:
        trip = await world.trip_in("accepted", pin=PIN)
        with pytest.raises(Conflict) as refused:
            await world.move(caller, trip, "cancelled", version=1)
        assert is_secret(refused.value.details["trip"]) is not sees

    async def test_who_is_offered_a_trip_sees_no_pin_in_a_conflict(self, world: World) -> None:
        trip = await world.new_trip(driver_id="dan", pin=PIN)
        with pytest.raises(Conflict) as refused:
            await world.move(DAN, trip, "accepted", version=7)
        assert is_secret(refused.value.details["trip"])

    async def test_the_version_that_it_has_is_no_conflict(self, world: World) -> None:
        trip = await world.trip_in("accepted")
        assert (await world.move(DAN, trip, "arriving", version=2)).version == 3

    async def test_of_changes_at_once_that_name_a_version_one_wins(self, world: World) -> None:
        trip = await world.trip_in("accepted")
        steps = ["arriving", "arrived", "requested", "cancelled"]
        outcomes = await asyncio.gather(
            *(world.move(ANN, trip, step, version=2) for step in steps), return_exceptions=True
        )
        kinds = Counter(type(outcome) for outcome in outcomes)
        assert kinds == {Trip: 1, Conflict: 3}

    async def test_a_stranger_gets_no_conflict(self, world: World) -> None:
        trip = await world.trip_in("accepted")
        with pytest.raises(NotFound):
            await world.move(EVE, trip, "cancelled", version=1)


class TestEdits:
    async def test_an_edit_is_told_with_what_it_changed(self, world: World) -> None:
        trip = await world.trip_in("arriving")
        edited = (await world.trips.edit(RITA, TripEdit(trip_id=trip.id, dropoff=HERE))).trip
        assert (edited.dropoff, edited.version) == (HERE, trip.version + 1)
        (told,) = world.told
        assert isinstance(told.fact, TripStatus)
        assert told.fact.changed is not None
        assert told.fact.changed.dropoff == HERE

    async def test_editing_again_changes_nothing(self, world: World) -> None:
        trip = await world.trip_in("arriving")
        edit = TripEdit(trip_id=trip.id, dropoff=HERE, version=trip.version)
        first = await world.trips.edit(RITA, edit)
        world.told.clear()
        assert await world.trips.edit(RITA, edit) == first
        assert is_told_again(world.told, first.trip)

    async def test_an_edit_of_another_version_is_a_conflict(self, world: World) -> None:
        trip = await world.trip_in("arriving")
        with pytest.raises(Conflict) as refused:
            await world.trips.edit(RITA, TripEdit(trip_id=trip.id, dropoff=HERE, version=1))
        assert refused.value.details["trip"] == trip

    @pytest.mark.parametrize("end", ["completed", "cancelled", "unfulfilled"])
    async def test_an_ended_trip_is_not_edited(self, world: World, end: str) -> None:
        trip = await world.trip_in(end)
        with pytest.raises(Closed):
            await world.trips.edit(ANN, TripEdit(trip_id=trip.id, dropoff=HERE))

    async def test_edits_at_once_all_happen_one_after_the_other(self, world: World) -> None:
        trip = await world.trip_in("accepted")
        edits = [TripEdit(trip_id=trip.id, metadata={"n": n}) for n in range(20)]
        await asyncio.gather(*(world.trips.edit(RITA, edit) for edit in edits))
        events = (await world.stored(trip.id)).trip.events[2:]
        assert sorted(number_of(event) for event in events) == list(range(20))
        assert sorted(statuses(world.told, trip.id)) == list(range(3, 23))

    async def test_a_trip_that_changes_without_end_is_unavailable(self) -> None:
        world = World(CrowdedTrips())
        trip = await world.trip_in("requested")
        with pytest.raises(Unavailable):
            await world.trips.edit(RITA, TripEdit(trip_id=trip.id, dropoff=HERE))
        assert world.told == []

    async def test_a_driver_sees_an_edit_without_the_pin(self, world: World) -> None:
        trip = await world.trip_in("accepted", pin=PIN)
        edited = (await world.trips.edit(RITA, TripEdit(trip_id=trip.id, dropoff=HERE))).trip
        assert not is_secret(edited)
        assert all(is_secret(each.fact) for each in world.told)


class CrowdedTrips(MemoryTrips):
    """Somebody else's change always comes first."""

    async def replace(self, record: TripRecord, version: int) -> bool:
        return False


def number_of(event: Event) -> int:
    assert event.changed is not None
    number: int = event.changed.metadata["n"]  # type: ignore[index]
    return number


class TestPins:
    async def start(self, world: World, trip: Trip, pin: str | None) -> Trip:
        return await world.move(DAN, trip, "in_progress", pin=pin)

    async def test_the_right_pin_starts_the_ride(self, world: World) -> None:
        trip = await world.trip_in("arrived", pin=PIN)
        started = await self.start(world, trip, PIN)
        assert started.status is Status.IN_PROGRESS
        assert is_secret(started)

    @pytest.mark.parametrize(
        "pin", [None, "0000", "471", "47111", " 4711", "\uff14\uff17\uff11\uff11"]
    )
    async def test_a_missing_or_wrong_pin_is_forbidden(self, world: World, pin: str | None) -> None:
        trip = await world.trip_in("arrived", pin=PIN)
        with pytest.raises(Forbidden) as refused:
            await self.start(world, trip, pin)
        assert refused.value.details == {"path": "pin"}
        assert (await world.stored(trip.id)).trip == trip
        assert world.told == []

    async def test_five_wrong_pins_lock_the_start_for_a_minute(self, world: World) -> None:
        trip = await world.trip_in("arrived", pin=PIN)
        for _ in range(5):
            with pytest.raises(Forbidden):
                await self.start(world, trip, "0000")
        world.clock.advance(1)
        with pytest.raises(RateLimited) as refused:
            await self.start(world, trip, PIN)
        assert refused.value.details == {"retry_after_ms": 59_999}
        world.clock.advance(59_998)
        with pytest.raises(RateLimited) as refused:
            await self.start(world, trip, PIN)
        assert refused.value.details == {"retry_after_ms": 1}
        world.clock.advance(1)
        assert (await self.start(world, trip, PIN)).status is Status.IN_PROGRESS

    async def test_after_four_wrong_pins_the_right_one_starts_the_ride(self, world: World) -> None:
        trip = await world.trip_in("arrived", pin=PIN)
        for _ in range(4):
            with pytest.raises(Forbidden):
                await self.start(world, trip, "0000")
        assert (await self.start(world, trip, PIN)).status is Status.IN_PROGRESS

    async def test_after_the_minute_five_more_are_looked_at(self, world: World) -> None:
        trip = await world.trip_in("arrived", pin=PIN)
        for _ in range(3):
            outcomes = [await self.outcome(world, trip, "0000") for _ in range(7)]
            assert outcomes == [Forbidden] * 5 + [RateLimited] * 2
            world.clock.advance(60_000)

    async def test_a_missing_pin_does_not_count(self, world: World) -> None:
        trip = await world.trip_in("arrived", pin=PIN)
        for _ in range(10):
            with pytest.raises(Forbidden):
                await self.start(world, trip, None)
        assert (await self.start(world, trip, PIN)).status is Status.IN_PROGRESS

    async def test_of_a_hundred_guesses_at_once_five_are_looked_at(self, world: World) -> None:
        trip = await world.trip_in("arrived", pin=PIN)
        outcomes = await asyncio.gather(*(self.outcome(world, trip, f"{n:04}") for n in range(100)))
        assert Counter(outcomes)[Forbidden] == 5
        assert set(outcomes) <= {Forbidden, RateLimited, Unavailable}

    async def test_among_guesses_at_once_the_right_one_may_go_unseen(self, world: World) -> None:
        trip = await world.trip_in("arrived", pin=PIN)
        guesses = ["0000"] * 50 + [PIN] + ["0000"] * 49
        outcomes = await asyncio.gather(*(self.outcome(world, trip, pin) for pin in guesses))
        assert Counter(outcomes)[Forbidden] == 5
        assert outcomes[50] is not Trip

    async def test_wrong_pins_of_one_trip_do_not_lock_another(self, world: World) -> None:
        one, other = (
            await world.trip_in("arrived", pin=PIN),
            await world.trip_in("arrived", pin=PIN),
        )
        for _ in range(6):
            await self.outcome(world, one, "0000")
        assert (await self.start(world, other, PIN)).status is Status.IN_PROGRESS

    async def test_staff_needs_no_pin_and_no_lock_keeps_it(self, world: World) -> None:
        trip = await world.trip_in("arrived", pin=PIN)
        for _ in range(6):
            await self.outcome(world, trip, "0000")
        assert (await world.move(ANN, trip, "in_progress")).status is Status.IN_PROGRESS

    async def test_a_trip_without_a_pin_starts_without(self, world: World) -> None:
        for pin in (None, "0000"):
            trip = await world.trip_in("arrived")
            assert (await self.start(world, trip, pin)).status is Status.IN_PROGRESS

    async def test_only_a_start_asks_for_the_pin(self, world: World) -> None:
        trip = await world.trip_in("accepted", pin=PIN)
        assert (await world.move(DAN, trip, "arrived")).status is Status.ARRIVED

    async def test_a_guess_that_may_not_start_the_ride_tells_nothing(self, world: World) -> None:
        """Neither too early nor at another version is a pin looked at or counted."""
        early = await world.trip_in("accepted", pin=PIN)
        assert await self.outcome(world, early, PIN) is IllegalTransition
        arrived = await world.trip_in("arrived", pin=PIN)
        for pin in (PIN, "0000"):
            with pytest.raises(Conflict):
                await world.move(DAN, arrived, "in_progress", pin=pin, version=1)
        with pytest.raises(Forbidden):
            await world.move(RITA, arrived, "in_progress", pin=PIN)

    async def test_a_right_pin_is_not_locked_out_by_an_edit_at_the_same_time(
        self, world: World
    ) -> None:
        trip = await world.trip_in("arrived", pin=PIN)
        for _ in range(4):
            await self.outcome(world, trip, "0000")
        edit = TripEdit(trip_id=trip.id, dropoff=HERE)
        outcome, _ = await asyncio.gather(
            self.outcome(world, trip, PIN), world.trips.edit(RITA, edit)
        )
        assert outcome is Trip

    async def outcome(self, world: World, trip: Trip, pin: str) -> type[object]:
        try:
            return type(await self.start(world, trip, pin))
        except RidewireError as error:
            return type(error)
