"""The checks, on records that are made up: what is as it should be, and what is not."""

from typing import Any

import msgspec
import pytest

from chaos.checks import promises
from chaos.checks.checker import check
from chaos.checks.truth import Truth
from chaos.load.record import Attempt, Command, Life, Session, What
from models.facts import TripLocation, TripStatus
from models.identity import Identity, Role
from models.messages import Kind, Message, Read
from models.points import Place, Point
from models.stores import TripRecord
from models.trips import Relation, Status, Trip, moved, requested

NOW = 1_800_000_000_000
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

    def broken(self) -> set[str]:
        lives = [self.rita, self.dan, self.eve]
        return {violation.promise for violation in check(self.truth, lives)}

    def tell(self, session: Session, *versions: int) -> None:
        for version in versions:
            status = TripStatus.of("t1", self.trip.events[version - 1])
            session.note(What.HEARD, "trip:status", msgspec.to_builtins(status))

    def say(self, session: Session, *seqs: int) -> None:
        for seq in seqs:
            session.note(What.HEARD, "chat:message", msgspec.to_builtins(_message(seq)))

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
    trip = requested(
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
    for step in STEPS:
        trip = moved(trip, step, ANN, Relation.STAFF, now=NOW, driver_id="dan", reason=step)
    return trip


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
    first.is_over = True
    second = _session(world.rita, conversations=[{"id": "t1", "last_seq": 2, "read_seq": 0}])
    assert world.broken() == {promises.EVERYTHING}
    snapshot = {
        "ok": True,
        "trip": msgspec.to_builtins(world.trip),
        "location": None,
        "driver": None,
        "messages": msgspec.to_builtins([_message(1), _message(2)]),
        "last_seq": 2,
        "read": {},
        "has_more": False,
    }
    _asked(world.rita, second, "trip:subscribe", {"trip_id": "t1"}, snapshot)
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
    snapshot = {"trip": {"id": "t1", "version": 2}, "messages": [], "last_seq": 0, "read": {}}
    answer = {"ok": True, "location": None, "driver": {}, "has_more": False, **snapshot}
    _asked(world.rita, rita, "trip:subscribe", {"trip_id": "t1"}, answer)
    world.dan.points = {1: (1.0, 2.0)}
    for ts in (NOW + 1, NOW):
        location = msgspec.to_builtins(TripLocation.of("t1", Point(1.0, 2.0, ts, 1)))
        rita.note(What.HEARD, "trip:location", location)
    assert promises.NEWEST in world.broken()


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
    found = check(world.truth, [world.rita, world.dan, ann])
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
    rita.is_over = True
    assert world.broken() == set()


def test_holes_and_doubles_in_what_is_stored_are_seen() -> None:
    world = World()
    world.ride()
    world.truth.messages["other"] = [_message(1), _message(3), _message(3)]
    assert {promises.NUMBERED, promises.STORED_ONCE} <= world.broken()
