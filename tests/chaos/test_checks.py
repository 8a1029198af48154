"""The checks, on records that are made up: what is as it should be, and what is not."""

import itertools
from typing import Any

import msgspec
import pytest

from chaos.checks import promises
from chaos.checks.checker import check
from chaos.checks.conditions import Conditions, Disturbance
from chaos.checks.truth import Truth
from chaos.load.pulse import Interval
from chaos.load.record import Attempt, Command, Entry, Life, Session, What, now
from models.facts import Hearing, TripDriver, TripLocation, TripStatus
from models.identity import Identity, Role
from models.messages import Kind, Message, Read
from models.points import Place, Point
from models.stores import TripRecord
from models.trips import Offer, Relation, Status, Trip, moved, offered, requested, watched

NOW = int(now() * 1000) - 60_000
"""When all that is stored was done: long before it is heard, unless a test says otherwise."""
RITA = Identity("rita", Role.RIDER, expires_at=NOW * 2)
ANN = Identity("ann", Role.AGENT, expires_at=NOW * 2)
STEPS = (Status.ACCEPTED, Status.ARRIVING, Status.REQUESTED, Status.CANCELLED)


class World:
    """A trip of Rita's that Dan gave back, two messages, and those who heard of it."""

    def __init__(self) -> None:
        self.truth = Truth()
        self.trip = _trip()
        self.truth.trips["t1"] = TripRecord(trip=self.trip, creator="rider:rita", client_id="one")
        self.truth.messages["t1"] = [_message(1), _message(2)]
        self.rita = Life(Role.RIDER, "rita")
        self.dan = Life(Role.DRIVER, "dan")
        self.eve = Life(Role.DRIVER, "eve")
        self.vic = Life(Role.VIEWER, "vic", trips=("another",))
        self.conditions = Conditions()

    def broken(self) -> set[str]:
        lives = [self.rita, self.dan, self.eve, self.vic]
        return {violation.promise for violation in check(self.truth, lives, self.conditions)}

    def tell(self, session: Session, *versions: int) -> None:
        for version in versions:
            status = TripStatus.of("t1", self.trip.events[version - 1])
            session.note(What.HEARD, "trip:status", msgspec.to_builtins(status))

    def say(self, session: Session, *seqs: int) -> None:
        for seq in seqs:
            session.note(What.HEARD, "chat:message", msgspec.to_builtins(_message(seq)))

    def write_now(self) -> None:
        """A third message, after all that is known until now."""
        sent_at = int(now() * 1000) + 1_000
        message = msgspec.structs.replace(_message(3), sent_at=sent_at)
        self.truth.messages["t1"].append(message)

    def subscribe(self, life: Life, session: Session, version: int, **more: Any) -> None:
        """A snapshot at a version, as good as it can be but for what is given."""
        trip = msgspec.structs.replace(
            self.trip, version=version, events=self.trip.events[:version]
        )
        messages = [] if life.role is Role.VIEWER else [_message(1), _message(2)]
        snapshot = {
            "ok": True,
            "trip": msgspec.to_builtins(trip),
            "location": None,
            "driver": {} if version in (2, 3) else None,
            "messages": msgspec.to_builtins(messages),
            "last_seq": len(messages),
            "read": {},
            "has_more": False,
        }
        _asked(life, session, "trip:subscribe", {"trip_id": "t1"}, snapshot | more)

    def show(self, session: Session, at: float | None = None, ts: int = NOW) -> None:
        """A location of Dan's."""
        self.dan.points = {1: Point(1.0, 2.0, ts, 1)}
        location = msgspec.to_builtins(TripLocation.of("t1", Point(1.0, 2.0, ts, 1)))
        session.entries.append(Entry(at or now(), What.HEARD, "trip:location", location))

    def ride(self) -> tuple[Session, Session]:
        """Everything reaches Rita and Dan as it should."""
        rita, dan = _session(self.rita), _session(self.dan)
        self.tell(rita, 1, 2)
        self.say(rita, 1, 2)
        self.tell(rita, 3, 4, 5)
        self.tell(dan, 2)
        self.say(dan, 1, 2)
        self.tell(dan, 3, 4)
        return rita, dan


def _trip() -> Trip:
    trip = _requested()
    for step in STEPS:
        trip = moved(trip, step, ANN, Relation.STAFF, now=NOW, driver_id="dan", reason=step)
    return trip


def _requested() -> Trip:
    return requested(
        "t1",
        "rita",
        RITA,
        now=NOW,
        pickup=Place(52.5, 13.4),
        dropoff=None,
        stops=(),
        offer=None,
        pin=None,
        metadata={},
    )


def _message(seq: int) -> Message:
    return Message(
        id=f"m{seq}",
        conversation_id="t1",
        seq=seq,
        sender_id="ann",
        client_id=f"c{seq}",
        kind=Kind.TEXT,
        text="hello",
        sent_at=NOW,
    )


def _session(life: Life, **ready: Any) -> Session:
    session = life.begin("http://here")
    session.is_ready = True
    begun = {"server_time": NOW, "trips": [], "conversations": [], **ready}
    session.note(What.HEARD, "session:ready", begun)
    return session


def _asked(
    life: Life, session: Session, event: str, payload: dict[str, Any], answer: dict[str, Any]
) -> None:
    life.commands.append(Command(event, payload, [Attempt(session.number, 1.0, answer, 2.0)]))
    number = len(session.entries)
    session.note(What.SENT, event, payload, number)
    session.note(What.ANSWERED, "", answer, number)


def test_a_ride_as_it_should_be_breaks_nothing() -> None:
    world = World()
    world.ride()
    assert world.broken() == set()


def test_a_version_twice_is_seen() -> None:
    world = World()
    rita, _ = world.ride()
    world.tell(rita, 5)
    assert world.broken() == {promises.ONCE}


def test_a_version_that_did_not_come_is_seen() -> None:
    world = World()
    rita = _session(world.rita)
    world.tell(rita, 1, 2, 4, 5)
    world.say(rita, 1, 2)
    assert world.broken() == {promises.GAPLESS, promises.EVERYTHING}


def test_a_newest_version_that_did_not_come_is_seen() -> None:
    world = World()
    rita = _session(world.rita)
    world.tell(rita, 1, 2, 3, 4)
    world.say(rita, 1, 2)
    assert world.broken() == {promises.GAPLESS, promises.EVERYTHING}


def test_messages_the_wrong_way_round_are_seen() -> None:
    world = World()
    rita = _session(world.rita)
    world.tell(rita, 1, 2, 3, 4, 5)
    world.say(rita, 2, 1)
    assert promises.ONCE in world.broken()


def test_what_came_while_nobody_was_connected_has_to_be_read_later() -> None:
    world = World()
    first = _session(world.rita)
    world.tell(first, 1, 2)
    first.end()
    second = _session(world.rita, conversations=[{"id": "t1", "last_seq": 2, "read_seq": 0}])
    assert world.broken() == {promises.EVERYTHING}
    world.subscribe(world.rita, second, version=5)
    assert world.broken() == set()


def test_a_driver_that_is_off_the_trip_hears_no_more() -> None:
    world = World()
    _, dan = world.ride()
    world.tell(dan, 5)
    assert world.broken() == {promises.PRIVATE}


def test_a_stranger_hears_nothing() -> None:
    world = World()
    world.ride()
    eve = _session(world.eve)
    world.tell(eve, 2)
    world.say(eve, 1)
    assert world.broken() == {promises.PRIVATE}


def test_a_location_before_the_one_shown_is_seen() -> None:
    world = World()
    rita = _session(world.rita)
    world.tell(rita, 1, 2)
    world.subscribe(world.rita, rita, version=2)
    for ts in (NOW + 1, NOW):
        world.show(rita, ts=ts)
    assert promises.NEWEST in world.broken()


def _watched_by_rita(world: World, heard: int, *, ago_s: float) -> Session:
    """Rita looks at the trip, and has heard up to a version. All was over so long ago."""
    rita, dan = _session(world.rita), _session(world.dan)
    world.tell(rita, *range(1, heard + 1))
    world.subscribe(world.rita, rita, version=heard)
    over = msgspec.to_builtins(TripStatus.of("t1", world.trip.events[3]))
    dan.entries.append(Entry(now() - ago_s, What.HEARD, "trip:status", over))
    rita.end()
    dan.end()
    return rita


@pytest.mark.parametrize(("ago_s", "is_seen"), [(1.0, False), (9.0, True)])
def test_a_location_of_a_driver_that_has_left_long_ago_is_seen(ago_s: float, is_seen: bool) -> None:
    world = World()
    world.show(_watched_by_rita(world, heard=3, ago_s=ago_s))
    assert (promises.PRIVATE in world.broken()) is is_seen


def test_a_location_on_a_connection_that_has_heard_of_its_end_is_seen() -> None:
    world = World()
    world.show(_watched_by_rita(world, heard=4, ago_s=0.0))
    assert promises.PRIVATE in world.broken()


def test_a_fault_excuses_a_location_after_the_end() -> None:
    world = World()
    world.show(_watched_by_rita(world, heard=3, ago_s=9.0))
    fault = Disturbance(Interval(now() - 10, now() - 2), frozenset())
    world.conditions = Conditions([fault])
    assert promises.PRIVATE not in world.broken()


def test_a_driver_is_live_only_where_it_was_heard() -> None:
    world = World()
    session = _watched_by_rita(world, heard=3, ago_s=0.0)
    driver = msgspec.to_builtins(TripDriver("t1", Hearing.LIVE, NOW))
    session.note(What.HEARD, "trip:driver", driver)
    assert promises.READ in world.broken()


def test_a_message_from_after_a_driver_left_is_seen_whatever_it_had_heard() -> None:
    world = World()
    rita = _session(world.rita)
    world.tell(rita, 1, 2, 3, 4, 5)
    world.say(rita, 1, 2)
    dan = _session(world.dan)
    world.tell(dan, 2, 3)
    world.say(dan, 1, 2)
    dan.end()
    assert world.broken() == set()
    world.write_now()
    message = msgspec.to_builtins(world.truth.messages["t1"][2])
    for session in (rita, dan):
        session.note(What.HEARD, "chat:message", message)
    assert promises.PRIVATE in world.broken()


@pytest.mark.parametrize(
    ("wish", "seqs", "has_more", "is_seen"),
    [
        ({}, [1, 2], False, False),
        ({"limit": 1}, [2], True, False),
        ({"limit": 1, "after_seq": 0}, [1], True, False),
        ({"after_seq": 0}, [1], False, True),
        ({"after_seq": 0}, [1], True, True),
        ({"after_seq": 0}, [2], False, True),
        ({}, [1], False, True),
        ({}, [2], False, True),
        ({"before_seq": 3}, [], False, True),
    ],
)
def test_a_page_has_all_that_was_known_when_it_was_asked_for(
    wish: dict[str, Any], seqs: list[int], has_more: bool, is_seen: bool
) -> None:
    world = World()
    rita, _ = world.ride()
    page = msgspec.to_builtins([_message(seq) for seq in seqs])
    answer = {"ok": True, "messages": page, "has_more": has_more}
    _asked(world.rita, rita, "chat:history", {"conversation_id": "t1", **wish}, answer)
    assert world.broken() == ({promises.READ} if is_seen else set())


def test_a_page_in_a_stranger_s_hands_is_seen() -> None:
    world = World()
    world.ride()
    answer = {"ok": True, "messages": [], "has_more": False}
    wish = {"conversation_id": "t1", "after_seq": 2}
    _asked(world.eve, _session(world.eve), "chat:history", wish, answer)
    assert world.broken() == {promises.PRIVATE}


def test_a_page_for_a_driver_that_has_left_is_seen() -> None:
    world = World()
    _, dan = world.ride()
    answer = {"ok": True, "messages": msgspec.to_builtins([_message(2)]), "has_more": True}
    wish, later = {"conversation_id": "t1", "limit": 1}, now() + 1
    dan.entries.append(Entry(later, What.SENT, "chat:history", wish, 1))
    dan.entries.append(Entry(later, What.ANSWERED, "", answer, 1))
    assert world.broken() == {promises.PRIVATE}


def test_a_snapshot_of_another_s_link_is_seen() -> None:
    world = World()
    world.ride()
    trip = msgspec.to_builtins(watched(world.trip))
    world.subscribe(world.vic, _session(world.vic), version=5, trip=trip)
    assert world.broken() == {promises.PRIVATE}
    world.vic.trips = ("t1",)
    assert world.broken() == set()


def test_a_snapshot_older_than_what_was_known_is_seen() -> None:
    world = World()
    world.ride()
    second = _session(world.rita, conversations=[{"id": "t1", "last_seq": 2, "read_seq": 0}])
    world.subscribe(world.rita, second, version=3)
    assert promises.READ in world.broken()


def test_the_pin_in_a_driver_s_hands_is_seen() -> None:
    world = World()
    _, dan = world.ride()
    shown = msgspec.to_builtins(world.trip) | {"pin": "4711"}
    ready = {"server_time": NOW, "trips": [shown], "conversations": []}
    dan.note(What.HEARD, "session:ready", ready)
    assert promises.PRIVATE in world.broken()


@pytest.mark.parametrize(("begun_after", "is_right"), [(15, True), (5, False)])
def test_a_driver_begins_with_an_offer_made_anew_only_if_the_first_was_over(
    begun_after: int, is_right: bool
) -> None:
    world = World()
    trip = offered(_requested(), Offer("dan", NOW + 10), ANN, NOW)
    trip = world.trip = offered(trip, Offer("dan", NOW + 20), ANN, NOW)
    world.truth.trips["t1"] = TripRecord(trip=trip, creator="rider:rita", client_id="one")
    world.tell(_session(world.dan, server_time=NOW + begun_after), 3)
    assert (promises.GAPLESS not in world.broken()) is is_right


@pytest.mark.parametrize("last_seq", [1, 2, 3])
def test_a_session_begins_with_all_that_was_known(last_seq: int) -> None:
    world = World()
    first, _ = world.ride()
    first.end()
    chat = {"id": "t1", "last_seq": last_seq, "read_seq": 0}
    _session(world.rita, conversations=[chat]).end()
    assert world.broken() == (set() if last_seq == 2 else {promises.READ})


def test_a_conversation_that_a_session_does_not_begin_with_is_seen() -> None:
    world = World()
    first, _ = world.ride()
    first.end()
    _session(world.rita).end()
    assert world.broken() == {promises.READ}


def test_an_answer_that_takes_too_long_is_seen_unless_none_could_come() -> None:
    world = World()
    rita, _ = world.ride()
    asked = {"trip_id": "t1"}
    rita.entries.append(Entry(now() - 9, What.SENT, "trip:unsubscribe", asked, 1))
    rita.note(What.ANSWERED, "", {"ok": True}, 1)
    rita.began_at = now() - 9
    assert world.broken() == {promises.PROMPT}
    freeze = Disturbance(Interval(now() - 8, now() - 1), frozenset({"instance 0"}))
    world.conditions = Conditions([freeze], places={rita.to: frozenset({"instance 0"})})
    assert world.broken() == set()


def test_each_command_of_a_connection_has_its_turn() -> None:
    world = World()
    rita, _ = world.ride()
    rita.began_at = now() - 9
    for number, answered_s in ((1, 5), (2, 0)):
        rita.entries.append(Entry(now() - 9, What.SENT, "trip:unsubscribe", {}, number))
        answer = Entry(now() - answered_s, What.ANSWERED, "", {"ok": True}, number)
        rita.entries.append(answer)
    assert world.broken() == set()


def test_a_trip_declined_by_who_was_not_offered_it_is_seen() -> None:
    world = World()
    rita, _ = world.ride()
    _asked(world.rita, rita, "trip:decline", {"trip_id": "t1"}, {"ok": True})
    assert world.broken() == {promises.PRIVATE}


@pytest.mark.parametrize("answered", [1, 3])
def test_an_answered_receipt_is_stored(answered: int) -> None:
    world = World()
    rita, _ = world.ride()
    world.truth.receipts["t1", "rita"] = Read(1, 1)
    answer = {"ok": True, "delivered_seq": answered, "read_seq": answered}
    asked = {"conversation_id": "t1", "read_seq": answered}
    _asked(world.rita, rita, "chat:receipt", asked, answer)
    assert world.broken() == (set() if answered == 1 else {promises.STORED})


def test_a_refused_message_is_not_stored() -> None:
    world = World()
    world.ride()
    ann = Life(Role.AGENT, "ann")
    refusal = {"ok": False, "error": {"code": "closed", "retry": False}}
    draft = {"conversation_id": "t1", "client_id": "c1", "text": "hello"}
    _asked(ann, _session(ann), "chat:send", draft, refusal)
    found = check(world.truth, [world.rita, world.dan, ann], Conditions())
    assert {violation.promise for violation in found} == {promises.NOT_STORED}


def test_an_answer_too_many_is_seen() -> None:
    world = World()
    rita, _ = world.ride()
    _asked(world.rita, rita, "trip:unsubscribe", {"trip_id": "t1"}, {"ok": True})
    rita.note(What.ANSWERED, "", {"ok": True}, rita.entries[-1].ack)
    assert world.broken() == {promises.ONE_ANSWER}


def test_no_answer_on_an_open_connection_is_seen() -> None:
    world = World()
    rita, _ = world.ride()
    rita.note(What.SENT, "trip:unsubscribe", {"trip_id": "t1"}, 99)
    assert world.broken() == {promises.ONE_ANSWER}
    rita.end()
    assert world.broken() == set()


def _tracked(world: World, *seqs: int, rejected: tuple[tuple[int, str], ...] = ()) -> Session:
    """Dan serves the trip for a while, in which he sends three points and hears this of them."""
    world.trip = moved_apart(world.trip)
    world.truth.trips["t1"] = msgspec.structs.replace(world.truth.trips["t1"], trip=world.trip)
    _, dan = world.ride()
    points = [Point(1.0, 2.0, NOW + ts, ts) for ts in (0, 50, 100, 101)]
    world.dan.points = {point.seq: point for point in points}
    world.truth.tracks["t1", "dan"] = [world.dan.points[seq] for seq in seqs]
    codes = [{"seq": seq, "code": code} for seq, code in rejected]
    answer = {"ok": True, "accepted": len(points) - len(codes), "rejected": codes}
    number = len(dan.entries)
    dan.note(What.SENT, "driver:location", msgspec.to_builtins(points), number)
    dan.note(What.ANSWERED, "", answer, number)
    return dan


def moved_apart(trip: Trip) -> Trip:
    """The same changes, but 100 ms between the driver's coming and its going."""
    later = [
        msgspec.structs.replace(event, at=event.at + 100 * (event.version >= 4))
        for event in trip.events
    ]
    return msgspec.structs.replace(trip, events=tuple(later))


def test_a_track_has_every_point_of_the_time_that_its_driver_served() -> None:
    world = World()
    _tracked(world, 0, 50, 100)
    assert world.broken() == set()


@pytest.mark.parametrize("seqs", [(0, 50), (50, 100), (0, 50, 50, 100)])
def test_a_safe_point_that_is_missing_or_doubled_is_seen(seqs: tuple[int, ...]) -> None:
    world = World()
    _tracked(world, *seqs)
    assert world.broken() == {promises.TRACKED}


def test_a_point_that_nobody_sent_is_seen() -> None:
    world = World()
    _tracked(world, 0, 50, 100)
    world.truth.tracks["t1", "dan"].append(Point(1.0, 2.0, NOW + 60, 60))
    assert world.broken() == {promises.TRACKED}


def test_a_rejected_point_is_safe_only_if_it_may_have_been_accepted_before() -> None:
    world = World()
    dan = _tracked(world, 0, 100, rejected=((50, "stale"),))
    assert world.broken() == set()
    again = msgspec.to_builtins([world.dan.points[50]])
    dan.note(What.SENT, "driver:location", again, 99)
    duplicate = [{"seq": 50, "code": "duplicate"}]
    dan.note(What.ANSWERED, "", {"ok": True, "accepted": 0, "rejected": duplicate}, 99)
    assert world.broken() == {promises.TRACKED}


def test_only_what_lost_its_memory_excuses_a_point_that_is_missing() -> None:
    world = World()
    dan = _tracked(world, 0, 50)
    without_redis = Disturbance(Interval(now() - 9, now() - 1), frozenset({"redis"}))
    places = ("instance 0", "instance 1", "redis")
    seen: dict[tuple[str, bool], bool] = {}
    for place, is_redis_away in itertools.product(places, (False, True)):
        disturbances = [_memory_loss(place), *[without_redis] * is_redis_away]
        world.conditions = Conditions(disturbances, places={dan.to: frozenset({"instance 0"})})
        seen[place, is_redis_away] = promises.TRACKED in world.broken()
    assert [where for where, is_seen in seen.items() if not is_seen] == [
        ("instance 0", True),
        ("redis", False),
        ("redis", True),
    ]


@pytest.mark.parametrize(("after_s", "is_seen"), [(-3, True), (2, False), (12, False)])
def test_a_slow_client_hears_late_that_a_point_was_safe_before_it_was_lost(
    after_s: int, is_seen: bool
) -> None:
    world = World()
    dan = _tracked(world, 0, 50)
    sent, answered = dan.entries[-2:]
    dan.entries[-1] = msgspec.structs.replace(answered, at=sent.at + 10)
    lost = Interval(sent.at + after_s, sent.at + after_s + 1)
    world.conditions = Conditions([Disturbance(lost, frozenset(), frozenset({"redis"}))])
    assert (promises.TRACKED in world.broken()) is is_seen


@pytest.mark.parametrize(("codes", "is_seen"), [((), True), (("duplicate",), False)])
def test_what_is_taken_after_a_loss_is_not_excused_by_it(
    codes: tuple[str, ...], is_seen: bool
) -> None:
    world = World()
    dan = _tracked(world, 0, 50)
    del dan.entries[-1]
    first = dan.entries[-1].at
    dan.note(What.SENT, "driver:location", msgspec.to_builtins(world.dan.points[100]), 99)
    rejected = [{"seq": 100, "code": code} for code in codes]
    answer = {"ok": True, "accepted": 1 - len(codes), "rejected": rejected}
    dan.note(What.ANSWERED, "", answer, 99)
    for late, place in enumerate((-2, -1), start=10):
        dan.entries[place] = msgspec.structs.replace(dan.entries[place], at=first + late)
    lost = Interval(first + 5, first + 6)
    world.conditions = Conditions([Disturbance(lost, frozenset(), frozenset({"redis"}))])
    assert (promises.TRACKED in world.broken()) is is_seen


def _memory_loss(place: str) -> Disturbance:
    return Disturbance(Interval(now(), now() + 1), frozenset(), frozenset({place}))


def test_holes_and_doubles_in_what_is_stored_are_seen() -> None:
    world = World()
    world.ride()
    world.truth.messages["other"] = [_message(1), _message(3), _message(3)]
    assert {promises.NUMBERED, promises.STORED_ONCE} <= world.broken()
