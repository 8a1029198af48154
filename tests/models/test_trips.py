"""A trip's rules: the transition table, repeats, offers, edits, and who sees what of a trip."""

from itertools import pairwise, product
from random import Random

import msgspec
import pytest
from msgspec import UNSET
from msgspec.structs import asdict, replace

from models.errors import Forbidden, IllegalTransition, Invalid, NotFound, TooLarge
from models.identity import Identity, Role
from models.points import Place
from models.trips import (
    MAX_OPTIONAL_CHANGES,
    MAX_TRIP_BYTES,
    Changed,
    Event,
    Offer,
    Relation,
    Status,
    Trip,
    allowed_transitions,
    chat_begins_with_driver,
    differences,
    edited,
    events_after,
    followers,
    moved,
    offered,
    repeats,
    requested,
    served_since,
    was_offered_to,
    watched,
    without_offer,
)

NOW = 1_800_000_000_000
HERE, THERE = Place(52.5, 13.4), Place(48.1, 11.6, "Marienplatz 1")

RITA = Identity("rita", Role.RIDER, expires_at=NOW * 2)
DAN = Identity("dan", Role.DRIVER, expires_at=NOW * 2)
EVE = Identity("eve", Role.DRIVER, expires_at=NOW * 2)
ANN = Identity("ann", Role.AGENT, expires_at=NOW * 2)
SERVICE = Identity("backend", Role.SERVICE, expires_at=NOW * 2)
VERA = Identity("vera", Role.VIEWER, expires_at=NOW * 2, trips=frozenset({"t1"}))

CALLERS = {
    Relation.RIDER: RITA,
    Relation.DRIVER: DAN,
    Relation.OFFERED: DAN,
    Relation.STAFF: ANN,
    Relation.VIEWER: VERA,
}

WHO_MAY_MOVE = """
    requested    accepted     offered staff
    requested    cancelled    rider staff
    requested    unfulfilled  staff
    accepted     arriving     driver staff
    accepted     arrived      driver staff
    accepted     requested    driver staff
    accepted     cancelled    driver rider staff
    arriving     arrived      driver staff
    arriving     requested    driver staff
    arriving     cancelled    driver rider staff
    arrived      in_progress  driver staff
    arrived      requested    driver staff
    arrived      cancelled    driver rider staff
    in_progress  completed    driver staff
    in_progress  cancelled    staff
"""
"""The documented table: from, to, and the relations that may. Whatever is not here, nobody may."""

WAY_TO = {
    "requested": [],
    "accepted": ["accepted"],
    "arriving": ["accepted", "arriving"],
    "arrived": ["accepted", "arriving", "arrived"],
    "in_progress": ["accepted", "arrived", "in_progress"],
    "completed": ["accepted", "arrived", "in_progress", "completed"],
    "cancelled": ["accepted", "cancelled"],
    "unfulfilled": ["unfulfilled"],
}


def table() -> dict[tuple[str, str], set[str]]:
    rows = [line.split() for line in WHO_MAY_MOVE.strip().splitlines()]
    return {(start, to): set(who) for start, to, *who in rows}


def new_trip(*, offer: Offer | None = None, pin: str | None = "4711") -> Trip:
    return requested(
        "t1",
        "rita",
        RITA,
        now=NOW,
        pickup=HERE,
        dropoff=THERE,
        stops=(HERE,),
        offer=offer,
        pin=pin,
        metadata={"seats": 2},
    )


def trip_in(status: str, *, offer: Offer | None = None) -> Trip:
    trip = new_trip(offer=offer)
    for step in WAY_TO[status]:
        trip = by_staff(trip, step)
    return trip


def by_staff(trip: Trip, to: str, driver_id: str | None = "dan") -> Trip:
    return moved(trip, Status(to), ANN, Relation.STAFF, now=NOW, driver_id=driver_id)


def by_driver(trip: Trip, to: str, driver: Identity = DAN) -> Trip:
    relation = trip.relation_of(driver)
    assert relation is not None
    return moved(trip, Status(to), driver, relation, now=NOW)


class TestTransitions:
    @pytest.mark.parametrize("start", Status)
    def test_only_who_the_table_names_may_move_a_trip(self, start: Status) -> None:
        trip = trip_in(start, offer=Offer("dan"))
        for to, relation in product(Status, Relation):
            may = table().get((start, to), set())
            naming = "dan" if relation is Relation.STAFF else None
            caller = CALLERS[relation]
            if relation in may:
                after = moved(trip, to, caller, relation, now=NOW + 5, driver_id=naming)
                assert (after.status, after.version) == (to, trip.version + 1)
                assert (after.events[-1].by, after.events[-1].at) == (caller.user_id, NOW + 5)
            else:
                with pytest.raises(Forbidden if may else IllegalTransition):
                    moved(trip, to, caller, relation, now=NOW + 5, driver_id=naming)

    @pytest.mark.parametrize("start", Status)
    def test_an_illegal_transition_names_what_the_caller_may(self, start: Status) -> None:
        for relation in Relation:
            may = {to for (of, to), who in table().items() if of == start and relation in who}
            assert set(allowed_transitions(start, relation)) == may
            with pytest.raises(IllegalTransition) as refused:
                moved(trip_in(start), start, CALLERS[relation], relation, now=NOW)
            assert set(refused.value.details["allowed"]) == may  # type: ignore[call-overload]

    @pytest.mark.parametrize("status", ["completed", "cancelled", "unfulfilled"])
    def test_an_ended_trip_moves_nowhere(self, status: str) -> None:
        trip = trip_in(status)
        assert trip.has_ended
        assert not trip.is_served
        assert all(allowed_transitions(Status(status), relation) == [] for relation in Relation)

    @pytest.mark.parametrize("status", ["accepted", "arriving", "arrived", "in_progress"])
    def test_from_its_acceptance_to_its_end_a_trip_is_served(self, status: str) -> None:
        assert trip_in(status).is_served
        assert not trip_in(status).has_ended

    def test_who_was_offered_a_trip_drives_it_once_it_accepts(self) -> None:
        trip = by_driver(new_trip(offer=Offer("dan", NOW + 1)), "accepted")
        assert (trip.driver_id, trip.offer) == ("dan", None)
        assert trip.relation_of(DAN) is Relation.DRIVER

    def test_an_offer_is_open_until_the_moment_that_it_names(self) -> None:
        trip = new_trip(offer=Offer("dan", NOW + 10))
        moved(trip, Status.ACCEPTED, DAN, Relation.OFFERED, now=NOW + 9)
        with pytest.raises(NotFound):
            moved(trip, Status.ACCEPTED, DAN, Relation.OFFERED, now=NOW + 10)

    def test_an_expired_offer_does_not_keep_staff_from_accepting(self) -> None:
        trip = new_trip(offer=Offer("dan", NOW - 1))
        assert by_staff(trip, "accepted", "eve").driver_id == "eve"

    def test_a_driver_accepts_for_itself_only(self) -> None:
        trip = new_trip(offer=Offer("dan"))
        with pytest.raises(Forbidden) as refused:
            moved(trip, Status.ACCEPTED, DAN, Relation.OFFERED, now=NOW, driver_id="eve")
        assert refused.value.details == {"path": "driver_id"}
        own = moved(trip, Status.ACCEPTED, DAN, Relation.OFFERED, now=NOW, driver_id="dan")
        assert own.driver_id == "dan"

    def test_staff_says_for_whom_it_accepts(self) -> None:
        with pytest.raises(Invalid) as refused:
            by_staff(new_trip(), "accepted", None)
        assert refused.value.details["path"] == "driver_id"

    def test_staff_may_give_a_trip_to_another_than_was_offered_it(self) -> None:
        trip = by_staff(new_trip(offer=Offer("dan")), "accepted", "eve")
        assert (trip.driver_id, trip.offer) == ("eve", None)
        assert trip.relation_of(DAN) is None

    @pytest.mark.parametrize("status", ["accepted", "arriving", "arrived"])
    def test_a_driver_that_gives_a_trip_back_is_off_it(self, status: str) -> None:
        trip = by_driver(trip_in(status), "requested")
        assert (trip.status, trip.driver_id, trip.offer) == (Status.REQUESTED, None, None)
        assert trip.events[-1].driver_id is None

    @pytest.mark.parametrize(
        ("caller", "relation"),
        [
            (RITA, Relation.RIDER),
            (DAN, Relation.DRIVER),
            (ANN, Relation.STAFF),
            (SERVICE, Relation.STAFF),
        ],
    )
    def test_a_cancelled_trip_says_who_cancelled_it_and_why(
        self, caller: Identity, relation: Relation
    ) -> None:
        trip = moved(
            trip_in("arrived"), Status.CANCELLED, caller, relation, now=NOW, reason="no-show"
        )
        assert (trip.cancelled_by, trip.reason) == (caller.role, "no-show")
        assert trip.events[-1].reason == "no-show"
        assert trip.driver_id == "dan"

    def test_an_unfulfilled_trip_was_cancelled_by_nobody(self) -> None:
        trip = moved(
            new_trip(), Status.UNFULFILLED, ANN, Relation.STAFF, now=NOW, reason="no driver"
        )
        assert (trip.cancelled_by, trip.reason) == (None, "no driver")

    def test_a_reason_on_the_way_is_in_the_history_only(self) -> None:
        trip = moved(
            trip_in("arrived"), Status.REQUESTED, DAN, Relation.DRIVER, now=NOW, reason="flat tyre"
        )
        assert (trip.events[-1].reason, trip.reason) == ("flat tyre", None)

    def test_a_transition_ends_an_offer(self) -> None:
        trip = new_trip(offer=Offer("dan"))
        assert by_staff(trip, "cancelled").offer is None
        assert by_staff(trip, "unfulfilled").offer is None

    def test_a_clock_that_is_set_back_does_not_turn_history_around(self) -> None:
        trip = moved(trip_in("accepted"), Status.ARRIVED, DAN, Relation.DRIVER, now=NOW - 60_000)
        assert trip.events[-1].at == trip.updated_at == NOW

    def test_a_refused_transition_leaves_the_trip_as_it_was(self) -> None:
        trip = trip_in("accepted")
        before = msgspec.json.encode(trip)
        with pytest.raises(IllegalTransition):
            by_staff(trip, "completed")
        assert msgspec.json.encode(trip) == before


class TestRepeats:
    def test_repeating_ones_own_last_transition_is_no_change(self) -> None:
        trip = by_driver(new_trip(offer=Offer("dan")), "accepted")
        assert repeats(trip, Status.ACCEPTED, DAN, None)
        assert repeats(trip, Status.ACCEPTED, DAN, "dan")

    def test_what_somebody_else_did_is_not_repeated(self) -> None:
        trip = by_driver(new_trip(offer=Offer("dan")), "accepted")
        assert not repeats(trip, Status.ACCEPTED, ANN, "dan")
        assert not repeats(trip, Status.ACCEPTED, EVE, None)

    def test_naming_another_driver_is_another_transition(self) -> None:
        trip = by_staff(new_trip(), "accepted", "dan")
        assert repeats(trip, Status.ACCEPTED, ANN, "dan")
        assert not repeats(trip, Status.ACCEPTED, ANN, "eve")

    def test_only_the_last_transition_can_be_repeated(self) -> None:
        trip = by_driver(by_driver(new_trip(offer=Offer("dan")), "accepted"), "arriving")
        assert repeats(trip, Status.ARRIVING, DAN, None)
        assert not repeats(trip, Status.ACCEPTED, DAN, None)

    def test_edits_and_offers_do_not_come_between(self) -> None:
        trip = by_driver(trip_in("accepted"), "requested")
        trip = edited(trip, Changed(dropoff=None), RITA, NOW)
        trip = offered(trip, Offer("eve"), ANN, NOW)
        trip = without_offer(trip, "eve", NOW)
        assert repeats(trip, Status.REQUESTED, DAN, None)

    def test_a_creation_is_no_transition(self) -> None:
        assert not repeats(new_trip(), Status.REQUESTED, RITA, None)
        assert not repeats(offered(new_trip(), Offer("dan"), ANN, NOW), Status.REQUESTED, ANN, None)

    def test_giving_back_again_after_another_acceptance_is_a_new_transition(self) -> None:
        trip = by_staff(by_driver(trip_in("accepted"), "requested"), "accepted", "dan")
        assert not repeats(trip, Status.REQUESTED, DAN, None)

    def test_the_same_user_in_another_role_repeats_nothing(self) -> None:
        trip = by_driver(new_trip(offer=Offer("dan")), "accepted")
        assert not repeats(trip, Status.ACCEPTED, Identity("dan", Role.RIDER, NOW), None)
        trip = by_staff(new_trip(), "accepted", "dan")
        assert not repeats(trip, Status.ACCEPTED, Identity("ann", Role.DRIVER, NOW), "dan")
        assert not repeats(trip, Status.ACCEPTED, Identity("ann", Role.RIDER, NOW), "dan")

    def test_who_gave_a_trip_back_may_repeat_it_though_it_is_a_stranger_now(self) -> None:
        trip = by_driver(trip_in("arriving"), "requested")
        assert trip.relation_of(DAN) is None
        assert repeats(trip, Status.REQUESTED, DAN, None)
        assert not repeats(trip, Status.REQUESTED, Identity("dan", Role.RIDER, NOW), None)

    def test_giving_back_is_repeated_also_when_it_names_the_driver(self) -> None:
        trip = moved(
            trip_in("accepted"), Status.REQUESTED, DAN, Relation.DRIVER, now=NOW, driver_id="dan"
        )
        assert repeats(trip, Status.REQUESTED, DAN, "dan")


class TestOffers:
    def test_an_offer_is_a_change_of_its_own(self) -> None:
        trip = offered(new_trip(), Offer("dan", NOW + 10), ANN, NOW + 1)
        assert (trip.version, trip.status) == (2, Status.REQUESTED)
        assert trip.offer == trip.events[-1].offer == Offer("dan", NOW + 10)
        assert trip.relation_of(DAN) is Relation.OFFERED

    def test_another_offer_takes_the_place_of_the_first(self) -> None:
        trip = offered(new_trip(offer=Offer("dan")), Offer("eve"), ANN, NOW)
        assert trip.relation_of(DAN) is None
        assert trip.relation_of(EVE) is Relation.OFFERED
        assert was_offered_to(trip, "dan")

    @pytest.mark.parametrize("status", [status for status in Status if status != "requested"])
    def test_only_a_requested_trip_is_offered(self, status: Status) -> None:
        with pytest.raises(IllegalTransition):
            offered(trip_in(status), Offer("eve"), ANN, NOW)

    def test_a_declined_offer_becomes_null_by_its_driver(self) -> None:
        trip = without_offer(new_trip(offer=Offer("dan")), "dan", NOW + 1, "too far")
        assert trip.offer is None
        last = trip.events[-1]
        assert (last.version, last.offer, last.by, last.reason) == (2, None, "dan", "too far")
        assert trip.reason is None

    def test_an_expired_offer_becomes_null_by_nobody(self) -> None:
        trip = without_offer(new_trip(offer=Offer("dan", NOW)), None, NOW + 1)
        assert (trip.offer, trip.events[-1].by) == (None, None)

    def test_who_was_never_offered_a_trip_was_not(self) -> None:
        assert not was_offered_to(trip_in("completed"), "dan")

    def test_an_offer_without_an_end_stays_open(self) -> None:
        assert Offer("dan").is_open(2**53)

    def test_offers_and_edits_end_at_a_limit_that_transitions_do_not_know(self) -> None:
        trip = new_trip()
        while trip.version < MAX_OPTIONAL_CHANGES:
            trip = offered(trip, Offer(f"d{trip.version}"), ANN, NOW)
        with pytest.raises(TooLarge):
            offered(trip, Offer("dan"), ANN, NOW)
        with pytest.raises(TooLarge):
            edited(trip, Changed(dropoff=None), RITA, NOW)
        assert without_offer(trip, None, NOW).version == MAX_OPTIONAL_CHANGES + 1
        for step in WAY_TO["completed"]:
            trip = by_staff(trip, step)
        assert trip.version == MAX_OPTIONAL_CHANGES + 4

    def test_a_trip_that_has_grown_large_takes_transitions_only(self) -> None:
        trip = new_trip()
        stops = tuple(Place(lat, 1.0, "x" * 500) for lat in range(20))
        while len(msgspec.json.encode(trip)) <= MAX_TRIP_BYTES:
            trip = edited(trip, Changed(stops=stops[trip.version % 2 :]), RITA, NOW)
        assert trip.version < MAX_OPTIONAL_CHANGES
        with pytest.raises(TooLarge):
            edited(trip, Changed(stops=()), RITA, NOW)
        assert by_staff(trip, "cancelled").has_ended


class TestEdits:
    def test_an_edit_says_what_it_changed(self) -> None:
        trip = edited(new_trip(), Changed(stops=(), metadata={"seats": 3}), RITA, NOW + 1)
        assert (trip.stops, trip.metadata, trip.dropoff) == ((), {"seats": 3}, THERE)
        assert trip.events[-1].changed == Changed(stops=(), metadata={"seats": 3})
        assert (trip.version, trip.status) == (2, Status.REQUESTED)

    def test_a_destination_can_be_taken_away(self) -> None:
        trip = edited(new_trip(), Changed(dropoff=None), RITA, NOW)
        assert trip.dropoff is None
        assert b'"changed":{"dropoff":null}' in msgspec.json.encode(trip.events[-1])

    def test_an_edit_leaves_driver_and_offer_alone(self) -> None:
        assert edited(trip_in("arriving"), Changed(dropoff=HERE), RITA, NOW).driver_id == "dan"
        assert edited(new_trip(offer=Offer("dan")), Changed(stops=()), RITA, NOW).offer

    def test_what_is_so_already_is_no_difference(self) -> None:
        same = Changed(dropoff=THERE, stops=(HERE,), metadata={"seats": 2})
        assert not differences(new_trip(), same)
        assert not differences(new_trip(), Changed())

    def test_only_what_differs_is_changed(self) -> None:
        wanted = Changed(dropoff=THERE, stops=(), metadata={"seats": 2})
        assert differences(new_trip(), wanted) == Changed(stops=())
        assert differences(new_trip(), Changed(dropoff=None)) == Changed(dropoff=None)

    @pytest.mark.parametrize(("before", "after"), [(1, True), (0, False), (1, 1.5)])
    def test_a_number_and_a_truth_value_differ(self, before: object, after: object) -> None:
        trip = edited(new_trip(), Changed(metadata={"vip": before}), RITA, NOW)
        wanted = Changed(metadata={"vip": after})
        assert differences(trip, wanted).metadata is not UNSET

    def test_the_order_of_keys_is_no_difference(self) -> None:
        trip = edited(new_trip(), Changed(metadata={"a": 1, "b": {"c": 2, "d": 3}}), RITA, NOW)
        assert not differences(trip, Changed(metadata={"b": {"d": 3, "c": 2}, "a": 1}))

    def test_a_change_is_something_exactly_when_it_sets_a_field(self) -> None:
        assert not Changed()
        assert Changed(dropoff=None)
        assert Changed(stops=())
        assert Changed(metadata={})


class TestViews:
    @pytest.mark.parametrize("relation", [Relation.RIDER, Relation.STAFF])
    def test_rider_and_staff_see_the_pin(self, relation: Relation) -> None:
        assert b'"pin":"4711"' in msgspec.json.encode(new_trip().seen_by(relation))

    @pytest.mark.parametrize("relation", [Relation.DRIVER, Relation.OFFERED])
    def test_a_driver_never_sees_the_pin(self, relation: Relation) -> None:
        seen = msgspec.json.encode(trip_in("arrived").seen_by(relation))
        assert b"4711" not in seen
        assert b'"pin"' not in seen

    def test_without_the_pin_the_trip_is_the_same(self) -> None:
        trip = trip_in("arrived")
        assert replace(trip.for_driver(), pin="4711") == trip

    def test_a_watched_trip_has_these_fields_and_no_more(self) -> None:
        trip = moved(
            trip_in("accepted"), Status.CANCELLED, RITA, Relation.RIDER, now=NOW, reason="private"
        )
        seen = msgspec.json.encode(watched(trip))
        fields = msgspec.json.decode(seen)
        assert set(fields) == {"id", "status", "version", "pickup", "dropoff", "stops"}
        for secret in (b"rita", b"dan", b"4711", b"private", b"seats"):
            assert secret not in seen

    def test_a_trip_as_clients_see_it_has_the_documented_fields(self) -> None:
        always = {
            *("id", "rider_id", "driver_id", "offer", "status", "version", "pickup", "dropoff"),
            *("stops", "created_at", "updated_at", "events", "metadata"),
        }
        fields = msgspec.json.decode(msgspec.json.encode(new_trip(pin=None)))
        assert set(fields) == always
        assert (fields["driver_id"], fields["offer"]) == (None, None)
        cancelled = moved(
            new_trip(), Status.CANCELLED, RITA, Relation.RIDER, now=NOW, reason="late"
        )
        fields = msgspec.json.decode(msgspec.json.encode(cancelled))
        assert set(fields) == always | {"cancelled_by", "reason", "pin"}

    def test_an_entry_of_the_history_has_the_documented_fields(self) -> None:
        always = {"version", "status", "driver_id", "offer", "at", "by"}
        (first,) = new_trip(offer=Offer("dan")).events
        fields = msgspec.json.decode(msgspec.json.encode(first))
        assert set(fields) == always
        assert fields["offer"] == {"driver_id": "dan"}
        declined = without_offer(new_trip(offer=Offer("dan", NOW)), "dan", NOW, "too far")
        fields = msgspec.json.decode(msgspec.json.encode(declined.events[-1]))
        assert set(fields) == always | {"reason"}


class TestRelations:
    @pytest.mark.parametrize(
        ("caller", "relation"),
        [
            (RITA, Relation.RIDER),
            (DAN, Relation.DRIVER),
            (ANN, Relation.STAFF),
            (SERVICE, Relation.STAFF),
            (VERA, Relation.VIEWER),
            (EVE, None),
            (Identity("ruth", Role.RIDER, NOW), None),
            (Identity("rita", Role.DRIVER, NOW), None),
            (Identity("dan", Role.RIDER, NOW), None),
            (Identity("rita", Role.VIEWER, NOW), None),
            (Identity("vera", Role.VIEWER, NOW, trips=frozenset({"t2"})), None),
            (Identity("ruth", Role.RIDER, NOW, trips=frozenset({"t1"})), None),
        ],
    )
    def test_what_somebody_is_to_a_trip_comes_from_role_and_id(
        self, caller: Identity, relation: Relation | None
    ) -> None:
        assert trip_in("accepted").relation_of(caller) is relation

    @pytest.mark.parametrize("status", ["completed", "cancelled"])
    def test_a_driver_stays_a_driver_of_the_trip_that_it_ended(self, status: str) -> None:
        assert trip_in(status).relation_of(DAN) is Relation.DRIVER

    def test_rider_driver_and_offered_driver_follow_a_trip(self) -> None:
        assert followers(new_trip()) == {"rider:rita"}
        assert followers(new_trip(offer=Offer("dan"))) == {"rider:rita", "driver:dan"}
        assert followers(trip_in("accepted")) == {"rider:rita", "driver:dan"}
        assert followers(by_driver(trip_in("accepted"), "requested")) == {"rider:rita"}

    def test_a_driver_serves_from_its_acceptance_on_whatever_comes_later(self) -> None:
        def later(trip: Trip, ms: int) -> Trip:
            return edited(trip, Changed(metadata={"n": ms}), RITA, NOW + ms)

        trip = later(new_trip(), 1_000)
        assert served_since(trip) == NOW
        trip = moved(trip, Status.ACCEPTED, ANN, Relation.STAFF, now=NOW + 2_000, driver_id="dan")
        trip = later(trip, 3_000)
        assert served_since(trip) == NOW + 2_000
        trip = moved(trip, Status.REQUESTED, DAN, Relation.DRIVER, now=NOW + 4_000)
        trip = moved(trip, Status.ACCEPTED, ANN, Relation.STAFF, now=NOW + 5_000, driver_id="dan")
        trip = moved(trip, Status.ARRIVED, DAN, Relation.DRIVER, now=NOW + 6_000)
        assert served_since(later(trip, 7_000)) == NOW + 5_000

    def test_who_rides_and_drives_follows_in_both_roles(self) -> None:
        trip = by_staff(new_trip(), "accepted", "rita")
        assert followers(trip) == {"rider:rita", "driver:rita"}

    def test_a_driver_reads_the_chat_from_when_it_comes_onto_the_trip(self) -> None:
        before, accepted = new_trip(), trip_in("accepted")
        assert chat_begins_with_driver(before, accepted)
        assert not chat_begins_with_driver(accepted, by_driver(accepted, "arriving"))
        assert not chat_begins_with_driver(accepted, by_driver(accepted, "requested"))


def as_heard(trip: Trip, event: Event) -> Trip:
    """What a client that knows the trip knows after a `trip:status`."""
    changes = asdict(event.changed) if event.changed else {}
    return replace(
        trip,
        version=event.version,
        status=event.status,
        driver_id=event.driver_id,
        offer=event.offer,
        updated_at=event.at,
        events=(*trip.events, event),
        **{name: value for name, value in changes.items() if value is not UNSET},
    )


def random_change(trip: Trip, chance: Random) -> Trip:
    """Something that somebody may try; the same trip where it is refused."""
    now = NOW + chance.randrange(-5, 1_000)
    driver = chance.choice([DAN, EVE])
    relation = chance.choice(list(Relation))
    caller = driver if relation in (Relation.DRIVER, Relation.OFFERED) else CALLERS[relation]
    named = driver.user_id if relation is Relation.STAFF else None
    try:
        match chance.randrange(6):
            case 0:
                return offered(trip, Offer(driver.user_id, chance.choice([None, now])), ANN, now)
            case 1:
                return without_offer(trip, None, now) if trip.offer else trip
            case 2 if not trip.has_ended:
                return edited(trip, random_edit(chance), RITA, now)
            case _:
                to = chance.choice(list(Status))
                return moved(trip, to, caller, relation, now=now, driver_id=named)
    except (Forbidden, IllegalTransition, NotFound):
        return trip


def random_edit(chance: Random) -> Changed:
    return chance.choice(
        [
            Changed(dropoff=chance.choice([None, HERE, THERE])),
            Changed(stops=(HERE,) * chance.randrange(3)),
            Changed(metadata={"seats": chance.randrange(9)}, dropoff=THERE),
        ]
    )


def walk(seed: int) -> list[Trip]:
    """A trip after each change of a random life."""
    chance = Random(seed)  # noqa: S311 - the same walk for the same seed
    life = [new_trip(offer=chance.choice([None, Offer("dan")]))]
    for _ in range(60):
        after = random_change(life[-1], chance)
        if after is not life[-1]:
            life.append(after)
    return life


@pytest.fixture(scope="module")
def lives() -> list[list[Trip]]:
    return [walk(seed) for seed in range(40)]


class TestRandomLives:
    def test_every_change_is_one_version_and_one_event(self, lives: list[list[Trip]]) -> None:
        for life in lives:
            assert len(life) > 1
            for number, trip in enumerate(life, start=1):
                assert trip.version == number
                assert [event.version for event in trip.events] == list(range(1, number + 1))

    def test_history_is_only_ever_added_to(self, lives: list[list[Trip]]) -> None:
        for life in lives:
            for before, after in pairwise(life):
                assert after.events[:-1] == before.events
                assert after.events[-1].at >= before.updated_at

    def test_the_newest_event_is_the_state(self, lives: list[list[Trip]]) -> None:
        for life in lives:
            for trip in life:
                last = trip.events[-1]
                assert (last.status, last.driver_id, last.offer, last.at) == (
                    trip.status,
                    trip.driver_id,
                    trip.offer,
                    trip.updated_at,
                )

    def test_an_old_state_and_the_events_since_are_the_fresh_state(
        self, lives: list[list[Trip]]
    ) -> None:
        for life in lives:
            for old in life:
                heard = old
                for event in events_after(life[-1], old.version):
                    heard = as_heard(heard, event)
                last = life[-1]
                end = replace(
                    heard,
                    cancelled_by=last.cancelled_by,
                    reason=last.reason,
                    duration_ms=last.duration_ms,
                )
                assert end == life[-1]

    def test_a_driver_is_on_a_trip_exactly_while_it_is_served(
        self, lives: list[list[Trip]]
    ) -> None:
        for life in lives:
            for trip in life:
                if not trip.has_ended:
                    assert (trip.driver_id is not None) == trip.is_served
                if trip.offer:
                    assert trip.status is Status.REQUESTED

    def test_no_transition_is_outside_the_table(self, lives: list[list[Trip]]) -> None:
        for life in lives:
            for before, after in pairwise(life):
                if before.status != after.status:
                    assert (before.status, after.status) in table()
