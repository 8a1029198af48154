"""Who hears what of a trip or conversation, in which order, and who does not."""

from random import Random
from typing import Any, cast

import msgspec
import pytest
from msgspec.structs import replace

from models import rooms
from models.eta import Destination, Plan
from models.facts import ChatReceipt, ChatTyping, Hearing, TripEta, TripLocation, TripStatus
from models.identity import Identity, Role
from models.messages import Kind, Message
from models.points import Place, Point, Sighting
from models.presence import APPROACH_MS, PresenceLimits
from models.trips import (
    Changed,
    Offer,
    Relation,
    Status,
    Trip,
    edited,
    moved,
    offered,
    requested,
    without_offer,
)
from realtime.buckets import Bucket, Rate
from realtime.connection import Connection
from realtime.engine import Socket
from realtime.feeds import Feed, Member, TripFeed
from realtime.wire import JSON, MSGPACK, Encoded, Frame, Parser

NOW = 1_800_000_000_000
HERE, THERE = Place(52.5, 13.4), Place(48.1, 11.6)
LIMITS = PresenceLimits(stale_ms=10_000, offline_ms=60_000)

RITA = Identity("rita", Role.RIDER, expires_at=NOW * 2)
DAN = Identity("dan", Role.DRIVER, expires_at=NOW * 2)
EVE = Identity("eve", Role.DRIVER, expires_at=NOW * 2)
ANN = Identity("ann", Role.AGENT, expires_at=NOW * 2)
VERA = Identity("vera", Role.VIEWER, expires_at=NOW * 2, trips=frozenset({"t1"}))


class Ear:
    """Stands where a socket stands, and keeps what is written to its client."""

    def __init__(self) -> None:
        self.is_behind = False
        self.binary: list[bool] = []
        """Of each event whether it came in a binary message."""
        self.events: list[tuple[str, dict[str, Any]]] = []

    def write(self, frame: Frame, passing: bool = False) -> bool:
        if passing and self.is_behind:
            return False
        if frame.binary:
            name, payload = msgspec.msgpack.decode(frame.data)["data"]
        else:
            name, payload = msgspec.json.decode(frame.data.removeprefix(b"42"))
        self.binary.append(frame.binary)
        self.events.append((name, payload))
        return True


class Client:
    """A connection and what it hears."""

    def __init__(self, identity: Identity, parser: Parser = JSON) -> None:
        self.ear = Ear()
        socket, reports = cast("Socket", self.ear), Bucket(Rate.of(50))
        self.connection = Connection(socket, parser, identity, "phone", "test/1", reports=reports)

    def catch_up(self) -> None:
        """As a socket does it: nothing comes between the two."""
        self.ear.is_behind = False
        self.connection.show_missed()

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.ear.events]

    def heard(self, name: str) -> list[dict[str, Any]]:
        return [payload for event, payload in self.ear.events if event == name]

    @property
    def versions(self) -> list[int]:
        return [payload["version"] for payload in self.heard("trip:status")]

    @property
    def seqs(self) -> list[int]:
        return [payload["seq"] for payload in self.heard("chat:message")]

    @property
    def located(self) -> list[int]:
        """The times of the locations, ms from now."""
        return [payload["ts"] - NOW for payload in self.heard("trip:location")]

    @property
    def arrivals(self) -> list[int]:
        """In how many seconds the driver was said to arrive."""
        return [payload["duration_s"] for payload in self.heard("trip:eta")]

    @property
    def hearing(self) -> list[str]:
        return [payload["connection"] for payload in self.heard("trip:driver")]


def new_trip(offer: Offer | None = None) -> Trip:
    return requested(
        "t1",
        "rita",
        RITA,
        now=NOW,
        pickup=HERE,
        dropoff=None,
        stops=(),
        offer=offer,
        pin="4711",
        metadata={},
    )


def message(seq: int, sender_id: str = "rita", client_id: str = "") -> Message:
    return Message(
        id=f"m{seq}",
        conversation_id="t1",
        seq=seq,
        sender_id=sender_id,
        client_id=client_id or f"c{seq}",
        kind=Kind.TEXT,
        text="hello",
        sent_at=NOW,
    )


def encoded(fact: Any) -> Encoded:
    return Encoded(fact.event, fact)


class Ride:
    """A trip as it is stored, and its feed, which is used as the following service uses it."""

    def __init__(self, trip: Trip) -> None:
        self.trip = trip
        self.feed = TripFeed(trip.id)
        self.newly_driving: list[Member] = []

    def join(self, client: Client) -> Member:
        """A held member, of whom nothing is known yet."""
        member = self.feed.add(client.connection)
        member.hold()
        return member

    def admit(self, member: Member, *, trip: Trip | None = None, seq: int = 0) -> None:
        """The client knows the trip as it was read, and the messages up to `seq`."""
        read = trip or self.trip
        relation = read.relation_of(member.connection.identity)
        assert relation is not None
        self.newly_driving += self.feed.know(read)
        self.feed.start_messages(seq)
        if self.feed.admit(member, relation):
            self.newly_driving.append(member)
        member.knows(version=read.version, seq=seq)
        member.release()
        self._tend()

    def seat(self, *clients: Client, seq: int = 0) -> None:
        for client in clients:
            self.admit(self.join(client), seq=seq)

    def watch(self, *clients: Client, ts: int = -1, hearing: Hearing = Hearing.LIVE) -> None:
        """The clients look at the trip; each knows the location of `ts` (ms from now)."""
        for client in clients:
            if client.connection not in self.feed.members:
                self.seat(client)
            member = self.feed.members[client.connection]
            self.feed.watch(member, self.sighting(ts), hearing)

    def sighting(self, ts: int) -> Sighting | None:
        """The driver's point of `ts` (ms from now), if the trip has a driver."""
        driver_id = self.feed.driver_id
        if driver_id is None:
            return None
        return Sighting(driver_id, Point(lat=1, lng=2, ts=NOW + ts, seq=0), "phone", NOW)

    def move(self, to: str, driver_id: str | None = None) -> None:
        """Staff moves the trip, and it is told."""
        self.change(moved(self.trip, Status(to), ANN, Relation.STAFF, now=NOW, driver_id=driver_id))

    def change(self, after: Trip) -> None:
        self.trip = after
        self.tell(after.version)

    def tell(self, *versions: int) -> None:
        """The trip's changes arrive, in this order."""
        for version in versions:
            fact = TripStatus.of("t1", self.trip.events[version - 1])
            self.newly_driving += self.feed.take_status(fact)
            self._tend()

    def say(self, *seqs: int, sender_id: str = "rita") -> None:
        for seq in seqs:
            said = message(seq, sender_id)
            self.feed.take_message(seq, said, encoded(said))

    def locate(self, ts: int, driver_id: str = "dan", now: int | None = None) -> None:
        """A location of a driver arrives, measured at `ts` (ms from now)."""
        location = TripLocation.of("t1", Point(52.5, 13.4, NOW + ts, 1))
        at = NOW + (ts if now is None else now)
        self.feed.take_location(driver_id, location.number, encoded(location), at)

    def arrives_in(self, seconds: int, driver_id: str = "dan") -> None:
        eta = TripEta("t1", Destination.PICKUP, 10 * seconds, seconds, NOW)
        self.feed.take_eta(driver_id, encoded(eta))

    def receive_receipt(self, source: str = "") -> None:
        self.feed.take_receipt(encoded(ChatReceipt("t1", "rita", 1, 1)), source)

    def receive_typing(self, source: str) -> None:
        self.feed.take_typing(encoded(ChatTyping("t1", "somebody", typing=True)), source)

    def check(self, now: int) -> None:
        self.feed.check_driver(LIMITS, NOW + now)

    def _tend(self) -> None:
        for member in self.feed.strangers():
            self.feed.remove(member)


def driving(client: Client) -> list[str]:
    """The trips that the client is known to drive."""
    return list(client.connection.driving)


def served(driver_id: str = "dan") -> Trip:
    """A trip that a driver has accepted: version 2."""
    return moved(new_trip(), Status.ACCEPTED, ANN, Relation.STAFF, now=NOW, driver_id=driver_id)


class TestHolding:
    async def test_a_held_member_hears_nothing_until_it_is_released(self) -> None:
        ride, rita = Ride(new_trip()), Client(RITA)
        member = ride.join(rita)
        ride.admit(ride.join(Client(ANN)))
        ride.move("accepted", "dan")
        ride.say(1)
        assert rita.names == []
        ride.admit(member, trip=new_trip())
        assert (rita.versions, rita.seqs) == ([2], [1])

    async def test_what_the_reading_contained_is_not_told_again(self) -> None:
        ride, rita = Ride(new_trip()), Client(RITA)
        ride.seat(Client(ANN))
        member = ride.join(rita)
        ride.move("accepted", "dan")
        ride.say(1, 2)
        read = ride.trip
        ride.move("arriving")
        ride.say(3)
        ride.admit(member, trip=read, seq=2)
        assert (rita.versions, rita.seqs) == ([3], [3])

    async def test_what_waits_leaves_in_the_order_of_its_arrival(self) -> None:
        ride, rita = Ride(served()), Client(RITA)
        ride.seat(rita)
        member = ride.feed.members[rita.connection]
        member.hold()
        ride.say(1)
        ride.move("arriving")
        ride.receive_receipt()
        ride.say(2)
        assert rita.names == []
        member.release()
        assert rita.names == ["chat:message", "trip:status", "chat:receipt", "chat:message"]

    async def test_of_two_holds_the_last_to_end_counts(self) -> None:
        ride, rita = Ride(served()), Client(RITA)
        ride.seat(rita)
        member = ride.feed.members[rita.connection]
        member.hold()
        member.hold()
        ride.say(1, 2)
        member.knows(seq=1)
        member.release()
        assert rita.names == []
        member.release()
        assert rita.seqs == [2]

    async def test_who_turns_out_to_be_a_stranger_hears_nothing_of_what_waited(self) -> None:
        ride, eve = Ride(served()), Client(EVE)
        ride.seat(Client(RITA))
        member = ride.join(eve)
        ride.move("arriving")
        ride.say(1)
        member.release()
        assert eve.names == []

    async def test_a_driver_that_goes_while_it_waits_hears_that_and_nothing_after_it(self) -> None:
        ride, dan = Ride(served()), Client(DAN)
        ride.seat(Client(RITA))
        read, member = ride.trip, ride.join(dan)
        ride.move("requested")
        ride.say(1)
        ride.move("accepted", "eve")
        ride.move("arriving")
        ride.admit(member, trip=read)
        assert (dan.versions, dan.seqs) == ([3], [])

    async def test_a_driver_that_goes_and_comes_back_while_it_waits_hears_both(self) -> None:
        ride, dan = Ride(served()), Client(DAN)
        ride.seat(Client(RITA))
        read, member = ride.trip, ride.join(dan)
        for step, driver_id in (("requested", None), ("accepted", "eve"), ("requested", None)):
            ride.move(step, driver_id)
        ride.move("accepted", "dan")
        ride.move("arriving")
        ride.admit(member, trip=read)
        assert dan.versions == [3, 6, 7]

    async def test_messages_from_before_a_driver_came_are_not_among_what_waited(self) -> None:
        ride, dan = Ride(new_trip(Offer("dan"))), Client(DAN)
        ride.seat(Client(RITA))
        read, member = ride.trip, ride.join(dan)
        ride.say(1, 2)
        ride.move("accepted", "dan")
        ride.say(3)
        ride.admit(member, trip=read)
        assert member in ride.newly_driving  # and is brought what it may read
        assert (dan.versions, dan.seqs) == ([2], [])

    async def test_a_member_that_is_not_held_hears_at_once(self) -> None:
        ride, rita, other = Ride(served()), Client(RITA), Client(RITA)
        ride.seat(rita, other)
        ride.feed.members[other.connection].hold()
        ride.say(1)
        assert (rita.seqs, other.seqs) == ([1], [])


class TestStatus:
    async def test_parties_and_staff_hear_every_change_once(self) -> None:
        ride = Ride(served())
        clients = [Client(RITA), Client(DAN), Client(ANN), Client(RITA)]
        ride.seat(*clients)
        for step in ("arriving", "arrived", "in_progress", "completed"):
            ride.move(step)
        for client in clients:
            assert client.versions == [3, 4, 5, 6]

    async def test_what_they_hear_is_the_entry_of_the_history(self) -> None:
        ride, rita = Ride(served()), Client(RITA)
        ride.seat(rita)
        ride.change(edited(ride.trip, Changed(dropoff=HERE), RITA, NOW))
        entry = msgspec.json.decode(msgspec.json.encode(ride.trip.events[-1]))
        assert rita.heard("trip:status") == [{"trip_id": "t1", **entry}]

    @pytest.mark.parametrize("seed", range(20))
    async def test_in_whatever_order_they_come_they_are_told_in_turn(self, seed: int) -> None:
        chance = Random(seed)  # noqa: S311 - the same disorder for the same seed
        ride, rita = Ride(new_trip()), Client(RITA)
        ride.seat(rita)
        for n in range(20):
            ride.trip = edited(ride.trip, Changed(metadata={"n": n}), ANN, NOW)
        ride.tell(*chance.choices(range(1, 22), k=30))
        ride.tell(*chance.sample(range(1, 22), k=21))
        assert rita.versions == list(range(2, 22))
        assert not ride.feed.has_gap

    async def test_a_gap_is_filled_by_the_trip_as_it_is_read(self) -> None:
        ride, rita = Ride(served()), Client(RITA)
        ride.seat(rita)
        for step in ("arriving", "arrived", "in_progress"):
            ride.trip = moved(ride.trip, Status(step), ANN, Relation.STAFF, now=NOW)
        ride.tell(5)
        assert rita.versions == []
        assert ride.feed.has_gap
        ride.feed.know(ride.trip)
        assert rita.versions == [3, 4, 5]
        assert not ride.feed.has_gap

    async def test_an_older_reading_changes_nothing(self) -> None:
        ride, rita = Ride(served()), Client(RITA)
        ride.seat(rita)
        before = ride.trip
        ride.move("arriving")
        ride.feed.know(before)
        assert ride.feed.status is Status.ARRIVING
        assert rita.versions == [3]

    async def test_a_viewer_hears_what_a_link_shows(self) -> None:
        ride, vera = Ride(new_trip()), Client(VERA)
        ride.seat(vera)
        ride.change(offered(ride.trip, Offer("dan"), ANN, NOW))
        ride.move("accepted", "dan")
        ride.change(edited(ride.trip, Changed(dropoff=HERE, metadata={"a": 1}), RITA, NOW))
        assert vera.versions == [2, 3, 4]
        fields = {key for payload in vera.heard("trip:status") for key in payload}
        assert fields == {"trip_id", "version", "status", "at", "changed"}
        assert vera.heard("trip:status")[-1]["changed"] == {"dropoff": {"lat": 52.5, "lng": 13.4}}


class TestComingAndGoing:
    @pytest.mark.parametrize("by", ["taken off", "gives it back"])
    async def test_a_driver_off_the_trip_hears_so_and_nothing_after(self, by: str) -> None:
        ride, rita, dan = Ride(served()), Client(RITA), Client(DAN)
        ride.seat(rita, dan)
        ride.watch(dan)
        if by == "taken off":
            ride.move("requested")
        else:
            ride.change(moved(ride.trip, Status.REQUESTED, DAN, Relation.DRIVER, now=NOW))
        ride.say(1)
        ride.receive_receipt()
        ride.move("accepted", "eve")
        ride.locate(5, "eve")
        assert dan.versions == [3]
        assert dan.names == ["trip:status"]
        assert rita.versions == [3, 4]

    async def test_a_driver_whose_offer_went_to_another_hears_so_and_nothing_after(self) -> None:
        ride, dan, eve = Ride(new_trip(Offer("dan"))), Client(DAN), Client(EVE)
        ride.seat(dan)
        ride.change(offered(ride.trip, Offer("eve"), ANN, NOW))
        ride.seat(eve)
        ride.move("accepted", "eve")
        ride.say(1, sender_id="rita")
        assert dan.versions == [2]
        assert dan.heard("trip:status")[0]["offer"] == {"driver_id": "eve"}
        assert (eve.versions, eve.seqs) == ([3], [1])

    @pytest.mark.parametrize("by", [None, "dan"])
    async def test_a_driver_whose_offer_ended_hears_so_and_nothing_after(
        self, by: str | None
    ) -> None:
        ride, dan = Ride(new_trip(Offer("dan"))), Client(DAN)
        ride.seat(dan)
        ride.change(without_offer(ride.trip, by, NOW))
        ride.move("cancelled")
        assert dan.versions == [2]

    async def test_a_driver_off_the_trip_hears_nothing_after_it_when_all_comes_at_once(
        self,
    ) -> None:
        ride, dan = Ride(served()), Client(DAN)
        ride.seat(dan)
        for to, driver_id in (("requested", None), ("accepted", "eve"), ("arriving", None)):
            ride.trip = moved(
                ride.trip, Status(to), ANN, Relation.STAFF, now=NOW, driver_id=driver_id
            )
        ride.tell(5, 4, 3)
        assert dan.versions == [3]

    async def test_a_driver_off_the_trip_hears_its_next_offer_though_all_comes_at_once(
        self,
    ) -> None:
        ride, dan = Ride(served()), Client(DAN)
        ride.seat(dan)
        ride.trip = moved(ride.trip, Status.REQUESTED, ANN, Relation.STAFF, now=NOW)
        ride.trip = offered(ride.trip, Offer("dan"), ANN, NOW)
        ride.tell(4, 3)
        assert not ride.feed.members[dan.connection].is_stranger
        assert dan.versions == [3, 4]

    async def test_who_accepts_comes_to_drive_once(self) -> None:
        ride, dan, rita = Ride(new_trip(Offer("dan"))), Client(DAN), Client(RITA)
        ride.seat(dan, rita)
        assert ride.newly_driving == []
        ride.move("accepted", "dan")
        assert [member.connection for member in ride.newly_driving] == [dan.connection]
        ride.move("arriving")
        assert len(ride.newly_driving) == 1

    async def test_who_accepted_while_it_was_read_comes_to_drive(self) -> None:
        ride, dan = Ride(new_trip(Offer("dan"))), Client(DAN)
        ride.seat(Client(RITA))
        member, read = ride.join(dan), ride.trip
        ride.move("accepted", "dan")
        ride.newly_driving.clear()
        ride.admit(member, trip=read)
        assert ride.newly_driving == [member]
        assert member.relation is Relation.DRIVER

    async def test_who_was_taken_off_while_it_was_read_is_a_stranger(self) -> None:
        ride, dan = Ride(served()), Client(DAN)
        ride.seat(Client(RITA))
        member, read = ride.join(dan), ride.trip
        ride.move("requested")
        ride.admit(member, trip=read)
        assert member.left
        assert dan.versions == [3]

    async def test_a_held_member_that_nobody_has_read_is_no_stranger_yet(self) -> None:
        ride = Ride(new_trip())
        ride.seat(Client(RITA))
        member = ride.join(Client(DAN))
        ride.change(offered(ride.trip, Offer("eve"), ANN, NOW))
        assert not member.left

    async def test_a_rider_stays_whoever_drives(self) -> None:
        ride, rita = Ride(served()), Client(RITA)
        ride.seat(rita)
        for to, driver_id in (("requested", None), ("accepted", "eve"), ("cancelled", None)):
            ride.move(to, driver_id)
        assert rita.versions == [3, 4, 5]


class TestDriving:
    async def test_a_driver_drives_from_acceptance_to_the_end(self) -> None:
        ride, dan = Ride(new_trip(Offer("dan"))), Client(DAN)
        ride.seat(dan)
        assert driving(dan) == []
        for step in ("accepted", "arriving", "arrived", "in_progress"):
            ride.move(step, "dan")
            assert driving(dan) == ["t1"]
        ride.move("completed")
        assert driving(dan) == []

    async def test_a_driver_off_the_trip_drives_it_no_more(self) -> None:
        ride, dan, eve = Ride(served()), Client(DAN), Client(EVE)
        ride.seat(dan)
        assert driving(dan) == ["t1"]
        ride.move("requested")
        assert driving(dan) == []
        ride.move("accepted", "eve")
        ride.seat(eve)
        assert driving(eve) == ["t1"]

    async def test_who_leaves_the_feed_drives_no_more(self) -> None:
        ride, dan = Ride(served()), Client(DAN)
        ride.seat(dan)
        ride.feed.remove(ride.feed.members[dan.connection])
        assert driving(dan) == []

    async def test_who_is_off_one_of_two_trips_drives_the_other(self) -> None:
        first, second, dan = Ride(served()), Ride(replace(served(), id="t2")), Client(DAN)
        first.seat(dan)
        second.seat(dan)
        assert driving(dan) == ["t1", "t2"]
        first.move("arriving")
        assert driving(dan) == ["t1", "t2"]
        first.move("requested")
        assert driving(dan) == ["t2"]

    async def test_a_rider_of_the_same_name_does_not_drive(self) -> None:
        ride, rita = Ride(served("rita")), Client(RITA)
        ride.seat(rita)
        assert driving(rita) == []


class TestMessages:
    async def test_parties_and_staff_hear_them_others_do_not(self) -> None:
        ride, rita, ann, vera = (
            Ride(new_trip(Offer("dan"))),
            Client(RITA),
            Client(ANN),
            Client(VERA),
        )
        offered_dan = Client(DAN)
        ride.seat(rita, ann, vera, offered_dan)
        ride.watch(vera, offered_dan)
        ride.say(1)
        ride.receive_receipt()
        assert rita.names == ann.names == ["chat:message", "chat:receipt"]
        assert vera.names == offered_dan.names == []

    @pytest.mark.parametrize("seed", range(20))
    async def test_in_whatever_order_they_come_they_are_told_in_turn(self, seed: int) -> None:
        chance = Random(seed)  # noqa: S311 - the same disorder for the same seed
        ride, rita = Ride(served()), Client(RITA)
        ride.seat(rita, seq=3)
        ride.say(*chance.choices(range(1, 24), k=30))
        ride.say(*chance.sample(range(1, 24), k=23))
        assert rita.seqs == list(range(4, 24))
        assert not ride.feed.has_gap

    async def test_a_connection_does_not_hear_what_it_sent_itself(self) -> None:
        ride, phone, tablet, dan = Ride(served()), Client(RITA), Client(RITA), Client(DAN)
        ride.seat(phone, tablet, dan)
        phone.connection.remember_own("t1", "c1")
        ride.say(1, 2)
        assert phone.seqs == [2]
        assert tablet.seqs == dan.seqs == [1, 2]

    async def test_another_sender_may_use_the_same_client_id(self) -> None:
        ride, rita = Ride(served()), Client(RITA)
        ride.seat(rita)
        rita.connection.remember_own("t1", "c1")
        ride.say(1, sender_id="dan")
        assert rita.seqs == [1]

    async def test_a_message_of_another_instance_is_told_as_it_is(self) -> None:
        ride, rita = Ride(served()), Client(RITA)
        ride.seat(rita)
        rita.connection.remember_own("t1", "c1")
        ride.feed.take_message(1, None, Encoded.of_json("chat:message", b'{"seq":1}'))
        assert rita.seqs == [1]

    async def test_one_told_twice_is_heard_once(self) -> None:
        ride, rita = Ride(served()), Client(RITA)
        ride.seat(rita)
        ride.say(1, 1, 2, 1, 2)
        assert rita.seqs == [1, 2]

    async def test_until_the_conversation_was_read_messages_wait(self) -> None:
        ride, rita = Ride(served()), Client(RITA)
        member = ride.join(rita)
        ride.say(4, 5)
        ride.admit(member, seq=4)
        assert rita.seqs == [5]

    async def test_a_receipt_does_not_come_back_to_who_sent_it(self) -> None:
        ride, phone, tablet = Ride(served()), Client(RITA), Client(RITA)
        ride.seat(phone, tablet)
        ride.receive_receipt(source=phone.connection.id)
        assert phone.names == []
        assert tablet.names == ["chat:receipt"]

    async def test_who_is_behind_misses_no_message_and_no_receipt(self) -> None:
        ride, rita = Ride(served()), Client(RITA)
        ride.seat(rita)
        rita.ear.is_behind = True
        ride.say(1)
        ride.receive_receipt()
        ride.move("arriving")
        assert rita.names == ["chat:message", "chat:receipt", "trip:status"]


class TestTyping:
    async def test_who_looks_hears_who_types_but_its_author_does_not(self) -> None:
        ride, rita, dan, ann = Ride(served()), Client(RITA), Client(DAN), Client(ANN)
        ride.watch(rita, dan, ann)
        ride.receive_typing(source=DAN.key)
        assert rita.names == ["chat:typing"]
        assert dan.names == ann.names == []

    async def test_who_does_not_look_hears_nothing(self) -> None:
        ride, rita = Ride(served()), Client(RITA)
        ride.seat(rita)
        ride.receive_typing(source=DAN.key)
        assert rita.names == []

    async def test_a_viewer_and_an_offered_driver_hear_nothing(self) -> None:
        ride, vera, dan = Ride(new_trip(Offer("dan"))), Client(VERA), Client(DAN)
        ride.watch(vera, dan)
        ride.receive_typing(source=RITA.key)
        assert vera.names == dan.names == []


class TestLocations:
    async def test_who_looks_hears_them_and_nobody_else(self) -> None:
        ride = Ride(served())
        lookers = [Client(RITA), Client(DAN), Client(ANN), Client(VERA)]
        other = Client(RITA)
        ride.watch(*lookers)
        ride.seat(other)
        ride.locate(1)
        assert [client.located for client in lookers] == [[1]] * 4
        assert other.located == []

    async def test_each_client_hears_them_in_its_parsers_words(self) -> None:
        ride, text, packed = Ride(served()), Client(RITA), Client(ANN, MSGPACK)
        ride.watch(text, packed)
        ride.locate(1)
        assert (text.ear.binary, packed.ear.binary) == ([False], [True])
        assert text.ear.events == packed.ear.events

    async def test_who_does_not_look_any_more_hears_none(self) -> None:
        ride, rita = Ride(served()), Client(RITA)
        ride.watch(rita)
        ride.feed.unwatch(ride.feed.members[rita.connection])
        ride.locate(1)
        assert rita.names == []

    async def test_who_looks_again_is_not_told_what_the_snapshot_has(self) -> None:
        ride, rita, ann = Ride(served()), Client(RITA), Client(ANN)
        ride.watch(rita, ann)
        ride.watch(rita, ts=1)
        assert (rita.located, ann.located) == ([], [1])
        ride.locate(2)
        assert rita.located == [2]

    async def test_before_acceptance_and_after_the_end_there_are_none(self) -> None:
        ride, rita = Ride(new_trip(Offer("dan"))), Client(RITA)
        ride.watch(rita)
        ride.locate(1)
        for ts, step in enumerate(("accepted", "arriving", "arrived", "in_progress"), start=2):
            ride.move(step, "dan")
            ride.locate(ts)
        assert rita.located == [2, 3, 4, 5]
        ride.move("completed")
        ride.locate(6)
        assert rita.located == [2, 3, 4, 5]

    @pytest.mark.parametrize("end", ["requested", "cancelled"])
    async def test_none_follows_what_ended_the_service(self, end: str) -> None:
        ride, rita, ann = Ride(served()), Client(RITA), Client(ANN)
        ride.watch(rita, ann)
        ride.move(end)
        ride.locate(1)
        assert rita.located == ann.located == []

    async def test_a_former_driver_is_seen_no_more(self) -> None:
        ride, rita = Ride(served()), Client(RITA)
        ride.watch(rita)
        ride.locate(1, "dan")
        ride.move("requested")
        ride.move("accepted", "eve")
        ride.locate(2, "dan")
        ride.locate(3, "eve")
        ride.locate(4, "dan")
        assert rita.located == [1, 3]

    async def test_a_new_drivers_older_point_is_news(self) -> None:
        ride, rita = Ride(served()), Client(RITA)
        ride.watch(rita)
        ride.locate(5_000, "dan")
        ride.move("requested")
        ride.move("accepted", "eve")
        ride.locate(1, "eve")
        assert rita.located == [5_000, 1]

    async def test_a_former_drivers_last_point_is_not_shown_to_newcomers(self) -> None:
        ride, rita = Ride(served()), Client(RITA)
        ride.watch(Client(ANN))
        ride.locate(1, "dan")
        ride.move("requested")
        ride.move("accepted", "eve")
        ride.watch(rita)
        assert rita.located == []

    async def test_an_offered_driver_hears_none(self) -> None:
        ride, dan = Ride(new_trip(Offer("dan"))), Client(DAN)
        ride.watch(dan)
        ride.locate(1, "dan")
        assert dan.names == []

    @pytest.mark.parametrize("seed", range(20))
    async def test_an_older_point_never_follows_a_newer_one(self, seed: int) -> None:
        chance = Random(seed)  # noqa: S311 - the same points for the same seed
        ride, rita, late = Ride(served()), Client(RITA), Client(ANN)
        ride.watch(rita)
        sent = [chance.randrange(200) for _ in range(50)]
        for ts in sent[:25]:
            ride.locate(ts)
        ride.watch(late, ts=chance.randrange(200))
        for ts in sent[25:]:
            ride.locate(ts)
        for client in (rita, late):
            assert client.located == sorted(set(client.located))
        assert rita.located[-1] == max(sent)

    async def test_who_comes_late_gets_the_newest_unless_it_knows_it(self) -> None:
        ride = Ride(served())
        ride.watch(Client(RITA))
        ride.locate(7)
        older, same, newer = Client(ANN), Client(VERA), Client(DAN)
        ride.watch(older, ts=6)
        ride.watch(same, ts=7)
        ride.watch(newer, ts=8)
        assert (older.located, same.located, newer.located) == ([7, 8], [8], [])

    async def test_what_was_read_of_the_driver_reaches_who_looks_and_does_not_have_it(self) -> None:
        ride, rita = Ride(served()), Client(RITA)
        ride.watch(rita)
        ride.locate(3)
        for ts in (5, 5, 4):
            read = ride.sighting(ts)
            assert read is not None
            ride.feed.take_sighting(read, Hearing.LIVE)
        assert rita.located == [3, 5]
        ride.locate(4)
        ride.locate(6)
        assert rita.located == [3, 5, 6]

    async def test_what_was_heard_here_can_be_told_to_who_comes(self) -> None:
        ride, rita = Ride(served()), Client(RITA)
        ride.watch(rita)
        ride.locate(5, now=8_000)
        heard = Sighting("dan", Point(52.5, 13.4, NOW + 5, 1), "", NOW + 8_000)
        assert ride.feed.newest_sighting() == heard
        ride.move("requested")
        assert ride.feed.newest_sighting() is None
        ride.move("accepted", "eve")
        assert ride.feed.newest_sighting() is None

    async def test_what_was_read_of_another_driver_reaches_nobody(self) -> None:
        ride, rita = Ride(served()), Client(RITA)
        ride.watch(rita)
        read = ride.sighting(5)
        assert read is not None
        ride.move("requested")
        ride.feed.take_sighting(read, Hearing.LIVE)
        ride.move("accepted", "eve")
        ride.feed.take_sighting(read, Hearing.LIVE)
        assert rita.located == []

    async def test_a_position_from_long_before_the_acceptance_reaches_nobody(self) -> None:
        ride, rita = Ride(served()), Client(RITA)
        ride.watch(rita, ts=-2 * APPROACH_MS)
        ride.locate(-APPROACH_MS - 1)
        read = ride.sighting(-APPROACH_MS - 1)
        assert read is not None
        ride.feed.take_sighting(read, Hearing.LIVE)
        assert rita.located == []
        ride.locate(-APPROACH_MS)
        assert rita.located == [-APPROACH_MS]

    async def test_what_was_read_is_a_sign_of_life(self) -> None:
        ride, rita = Ride(served()), Client(RITA)
        ride.watch(rita)
        read = Sighting("dan", Point(1.0, 2.0, NOW + 8_000, 1), "phone", NOW + 8_000)
        ride.feed.take_sighting(read, Hearing.LIVE)
        ride.check(17_999)
        assert rita.hearing == []
        ride.check(18_000)
        assert rita.hearing == ["stale"]

    async def test_who_is_behind_gets_the_newest_once_it_can(self) -> None:
        ride, rita, ann = Ride(served()), Client(RITA), Client(ANN)
        ride.watch(rita, ann)
        rita.ear.is_behind = True
        for ts in (1, 2, 3):
            ride.locate(ts)
        assert rita.located == []
        rita.catch_up()
        rita.catch_up()
        assert rita.located == [3]
        assert ann.located == [1, 2, 3]

    async def test_who_falls_behind_again_while_it_catches_up_gets_the_newest_later(self) -> None:
        ride, rita = Ride(served()), Client(RITA)
        ride.watch(rita)
        rita.ear.is_behind = True
        ride.locate(1)
        rita.connection.show_missed()
        ride.locate(2)
        assert rita.located == []
        rita.catch_up()
        assert rita.located == [2]

    async def test_who_was_behind_gets_the_newest_of_each_trip(self) -> None:
        rides, rita = [Ride(served()) for _ in range(3)], Client(RITA)
        for ride in rides:
            ride.watch(rita)
        rita.ear.is_behind = True
        for ts, ride in enumerate(rides, 1):
            ride.locate(ts)
        rita.catch_up()
        assert sorted(rita.located) == [1, 2, 3]

    async def test_who_was_behind_for_a_while_gets_nothing_twice(self) -> None:
        ride, rita = Ride(served()), Client(RITA)
        ride.watch(rita)
        rita.ear.is_behind = True
        ride.locate(1)
        rita.catch_up()
        ride.locate(2)
        rita.catch_up()
        assert rita.located == [1, 2]

    async def test_who_was_behind_and_left_gets_nothing(self) -> None:
        ride, rita = Ride(served()), Client(RITA)
        ride.watch(rita)
        rita.ear.is_behind = True
        ride.locate(1)
        ride.feed.unwatch(ride.feed.members[rita.connection])
        rita.catch_up()
        assert rita.located == []

    async def test_who_was_behind_when_the_trip_ended_gets_nothing(self) -> None:
        ride, rita = Ride(served()), Client(RITA)
        ride.watch(rita)
        rita.ear.is_behind = True
        ride.locate(1)
        ride.move("cancelled")
        rita.catch_up()
        assert rita.located == []


class TestEtas:
    async def test_who_looks_hears_them_and_nobody_else(self) -> None:
        ride = Ride(served())
        lookers, other = [Client(RITA), Client(DAN), Client(ANN), Client(VERA)], Client(RITA)
        ride.watch(*lookers)
        ride.seat(other)
        ride.arrives_in(60)
        assert [client.arrivals for client in lookers] == [[60]] * 4
        assert other.names == []

    async def test_who_comes_later_hears_the_last_one(self) -> None:
        ride, rita, ann = Ride(served()), Client(RITA), Client(ANN)
        ride.watch(rita)
        for seconds in (60, 50):
            ride.arrives_in(seconds)
        ride.watch(ann)
        assert (rita.arrivals, ann.arrivals) == ([60, 50], [50])

    async def test_who_comes_after_the_next_status_hears_none_of_before(self) -> None:
        ride, rita, ann = Ride(served()), Client(RITA), Client(ANN)
        ride.watch(rita)
        ride.arrives_in(60)
        ride.move("arrived")
        ride.watch(ann)
        assert ann.arrivals == []

    async def test_those_of_another_driver_or_after_the_end_are_not_told(self) -> None:
        ride, rita = Ride(served()), Client(RITA)
        ride.watch(rita)
        ride.arrives_in(60, driver_id="eve")
        ride.move("cancelled")
        ride.arrives_in(50)
        assert rita.arrivals == []

    async def test_who_reads_too_slowly_goes_without(self) -> None:
        ride, rita = Ride(served()), Client(RITA)
        ride.watch(rita)
        rita.ear.is_behind = True
        ride.arrives_in(60)
        assert rita.arrivals == []

    async def test_the_way_follows_what_is_edited(self) -> None:
        ride, rita = Ride(served()), Client(RITA)
        ride.watch(rita)
        assert ride.feed.plan == Plan("dan", Destination.PICKUP, HERE)
        for step in ("arrived", "in_progress"):
            ride.move(step)
            assert ride.feed.plan is None
        ride.change(edited(ride.trip, Changed(dropoff=THERE, stops=(HERE,)), RITA, NOW))
        assert ride.feed.plan == Plan("dan", Destination.DROPOFF, THERE, (HERE,))
        ride.change(edited(ride.trip, Changed(dropoff=None), RITA, NOW))
        assert ride.feed.plan is None


class TestHearing:
    async def test_a_driver_fades_and_comes_back(self) -> None:
        ride, rita = Ride(served()), Client(RITA)
        ride.watch(rita)
        for now in (0, 5_000, 9_999):
            ride.check(now)
        assert rita.hearing == []
        for now in (10_000, 30_000, 59_999):
            ride.check(now)
        assert rita.hearing == ["stale"]
        for now in (60_000, 90_000):
            ride.check(now)
        assert rita.hearing == ["stale", "offline"]
        ride.locate(100_000)
        assert rita.hearing == ["stale", "offline", "live"]
        assert rita.names[-2:] == ["trip:driver", "trip:location"]
        ride.locate(101_000)
        ride.check(110_999)
        assert len(rita.hearing) == 3
        ride.check(111_000)
        assert rita.hearing[3:] == ["stale"]

    async def test_it_says_when_the_driver_was_heard_last(self) -> None:
        ride, rita = Ride(served()), Client(RITA)
        ride.watch(rita)
        ride.locate(3, now=1_000)
        ride.check(11_000)
        assert rita.heard("trip:driver")[-1] == {
            "trip_id": "t1",
            "connection": "stale",
            "last_seen": NOW + 1_000,
        }

    @pytest.mark.parametrize("hearing", ["live", "stale", "offline"])
    async def test_who_came_before_the_drivers_first_point_is_told_of_it(
        self, hearing: str
    ) -> None:
        ride, rita = Ride(served()), Client(RITA)
        ride.seat(rita)
        ride.feed.watch(ride.feed.members[rita.connection], None, Hearing(hearing))
        ride.locate(1)
        ride.locate(2)
        assert rita.hearing == ["live"]
        assert rita.names == ["trip:driver", "trip:location", "trip:location"]

    async def test_a_late_point_counts_when_it_comes(self) -> None:
        ride, rita = Ride(served()), Client(RITA)
        ride.watch(rita)
        ride.locate(3, now=60_000)
        ride.check(69_999)
        assert rita.hearing == []

    async def test_a_refused_point_is_no_sign_of_life(self) -> None:
        ride, rita = Ride(served()), Client(RITA)
        ride.watch(rita)
        ride.locate(5)
        ride.locate(5, now=9_000)
        ride.locate(6, "eve", now=9_000)
        ride.check(10_005)
        assert rita.hearing == ["stale"]

    async def test_a_driver_that_was_never_heard_fades_from_its_acceptance_on(self) -> None:
        ride, rita = Ride(new_trip()), Client(RITA)
        ride.watch(rita)
        ride.change(
            moved(ride.trip, Status.ACCEPTED, ANN, Relation.STAFF, now=NOW + 5_000, driver_id="dan")
        )
        ride.check(14_999)
        assert rita.hearing == []
        ride.check(15_000)
        assert rita.heard("trip:driver") == [
            {"trip_id": "t1", "connection": "stale", "last_seen": None}
        ]

    @pytest.mark.parametrize("end", ["requested", "cancelled"])
    async def test_without_a_serving_driver_nothing_is_told(self, end: str) -> None:
        ride, rita = Ride(new_trip()), Client(RITA)
        ride.watch(rita)
        ride.check(10**6)
        ride.move("accepted", "dan")
        ride.move(end)
        ride.check(10**6)
        assert rita.hearing == []

    async def test_nobody_is_told_who_does_not_look_or_may_not(self) -> None:
        ride, rita, dan = Ride(new_trip(Offer("dan"))), Client(RITA), Client(DAN)
        ride.seat(rita)
        ride.watch(dan)
        ride.check(10**6)
        ride.move("accepted", "eve")
        ride.check(10**6)
        assert rita.hearing == dan.hearing == []

    async def test_a_viewer_is_told(self) -> None:
        ride, vera = Ride(served()), Client(VERA)
        ride.watch(vera)
        ride.check(10_000)
        assert vera.hearing == ["stale"]

    async def test_who_looks_again_is_told_nothing_older_than_it_was_answered(self) -> None:
        ride, rita = Ride(served()), Client(RITA)
        ride.watch(rita)
        ride.locate(0)
        member = ride.feed.members[rita.connection]
        ride.feed.unwatch(member)
        later = 120_000
        point = Point(lat=1, lng=2, ts=NOW + later, seq=0)
        ride.feed.watch(member, Sighting("dan", point, "phone", NOW + later), Hearing.LIVE)
        ride.check(later + 1_000)
        assert rita.hearing == []

    async def test_who_looks_again_is_told_again_that_the_driver_fades(self) -> None:
        ride, rita = Ride(served()), Client(RITA)
        ride.watch(rita)
        ride.check(10_000)
        ride.feed.unwatch(ride.feed.members[rita.connection])
        ride.watch(rita, ts=20_000, hearing=Hearing.LIVE)
        ride.check(30_000)
        assert rita.hearing == ["stale", "stale"]


class TestConversations:
    async def test_everybody_in_support_hears_everything_in_turn(self) -> None:
        feed, rita, ann = Feed(rooms.chat("s1")), Client(RITA), Client(ANN)
        assert feed.conversation_id == "s1"
        for client in (rita, ann):
            feed.add(client.connection).relation = Relation.RIDER
        feed.start_messages(0)
        for seq in (2, 3, 1):
            feed.take_message(seq, message(seq), encoded(message(seq)))
        feed.take_typing(encoded(ChatTyping("s1", "ann", typing=True)), ANN.key)
        assert rita.names == ["chat:message"] * 3 + ["chat:typing"]
        assert rita.seqs == ann.seqs == [1, 2, 3]
        assert ann.names == ["chat:message"] * 3

    async def test_ids_with_colons_stay_whole(self) -> None:
        assert Feed(rooms.chat("a:b")).conversation_id == "a:b"
        assert TripFeed("a:b").conversation_id == "a:b"

    async def test_who_has_left_hears_nothing(self) -> None:
        feed, rita = Feed(rooms.chat("s1")), Client(RITA)
        member = feed.add(rita.connection)
        member.relation = Relation.RIDER
        feed.start_messages(0)
        feed.remove(member)
        feed.take_message(1, message(1), encoded(message(1)))
        assert member.left
        assert rita.names == []


class RandomRide(Ride):
    """A ride with two drivers that goes as chance will, and what each of them should have heard."""

    def __init__(self, chance: Random) -> None:
        super().__init__(new_trip())
        self.chance = chance
        self.drivers = {"dan": Client(DAN), "eve": Client(EVE)}
        self.expected: dict[str, list[str]] = {"dan": [], "eve": []}
        self.seq = self.ts = 0

    @property
    def relations(self) -> dict[str, Relation | None]:
        identities = {name: each.connection.identity for name, each in self.drivers.items()}
        return {name: self.trip.relation_of(identity) for name, identity in identities.items()}

    def go_on(self) -> None:
        step = self.chance.choice([self.change_by_chance, self.say_next, self.locate_next])
        step()

    def change_by_chance(self) -> None:
        if self.trip.has_ended:
            return
        before = self.relations
        self.change(random_change(self.trip, self.chance))
        for name, relation in before.items():
            if relation:
                self.expected[name].append("trip:status")
            elif self.relations[name]:
                self.watch(self.drivers[name], ts=self.ts)

    def say_next(self) -> None:
        self.seq += 1
        self.say(self.seq)
        self._expect("chat:message", self.relations)

    def locate_next(self) -> None:
        self.ts += 1
        source = self.chance.choice(["dan", "eve"])
        self.locate(self.ts, source, now=0)
        if self.trip.is_served and self.trip.driver_id == source:
            self._expect("trip:location", self.relations)

    def _expect(self, event: str, relations: dict[str, Relation | None]) -> None:
        for name, relation in relations.items():
            if relation is Relation.DRIVER:
                self.expected[name].append(event)


@pytest.mark.parametrize("seed", range(30))
async def test_whatever_happens_each_hears_what_is_its_own_and_nothing_else(seed: int) -> None:
    ride = RandomRide(Random(seed))  # noqa: S311 - the same ride for the same seed
    rita, ann, vera = Client(RITA), Client(ANN), Client(VERA)
    ride.watch(rita, ann, vera)
    for _ in range(100):
        ride.go_on()
    for name, client in ride.drivers.items():
        assert [event for event in client.names if event != "trip:driver"] == ride.expected[name]
    assert rita.versions == ann.versions == vera.versions == list(range(2, ride.trip.version + 1))
    assert rita.seqs == ann.seqs == list(range(1, ride.seq + 1))
    assert vera.seqs == []
    assert rita.located == ann.located == vera.located


def random_change(trip: Trip, chance: Random) -> Trip:
    if trip.status is Status.REQUESTED:
        return random_change_of_request(trip, chance)
    ways = {
        Status.ACCEPTED: "arriving",
        Status.ARRIVING: "arrived",
        Status.ARRIVED: "in_progress",
        Status.IN_PROGRESS: "completed",
    }
    on = ways[trip.status]
    to = on if trip.status is Status.IN_PROGRESS else chance.choice([on, "requested", "requested"])
    return moved(trip, Status(to), ANN, Relation.STAFF, now=NOW)


def random_change_of_request(trip: Trip, chance: Random) -> Trip:
    driver_id = chance.choice(["dan", "eve"])
    match chance.randrange(3):
        case 0:
            return offered(trip, Offer(driver_id), ANN, NOW)
        case 1 if trip.offer:
            return without_offer(trip, None, NOW)
        case _:
            return moved(trip, Status.ACCEPTED, ANN, Relation.STAFF, now=NOW, driver_id=driver_id)
