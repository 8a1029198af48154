"""Who in this process hears what of a trip or conversation. Synchronous, no I/O.

A feed stands for one kept room with local members. Numbered facts pass through a Sequence, so that
members hear them in order; passing facts go straight on.
"""

from typing import Final

import msgspec
from msgspec import UNSET

from models import rooms
from models.eta import Plan, plan_of
from models.facts import Hearing, TripDriver, TripLocation, TripStatus, WatchedStatus
from models.fields import Id, Millis
from models.identity import Identity, Role
from models.messages import Message
from models.points import Place, Point, Sighting
from models.presence import APPROACH_MS, PresenceLimits
from models.rooms import Room
from models.trips import (
    PARTIES,
    SERVED,
    Changed,
    Event,
    Offer,
    Relation,
    Status,
    Trip,
    driver_relation,
    events_after,
    served_since,
)
from realtime.connection import Connection
from realtime.sequence import Sequence
from realtime.wire import Encoded

VERSIONS: Final = 0
SEQS: Final = 1
_PASSING: Final = 2
_UNNUMBERED: Final = 3
MAX_HELD: Final = 2_000
"""Events that wait while a client is brought up to date, before it had better start anew."""
TALKING: Final = PARTIES | {Relation.STAFF}
"""Messages and receipts are for them."""


class Member:
    """One connection in one kept room: what it may hear, and what it has heard.

    While it is held (its client is being brought up to date), events wait.
    """

    __slots__ = ("_held", "_holds", "admitted", "connection", "feed", "heard", "left", "relation")

    def __init__(self, feed: "Feed", connection: Connection) -> None:
        self.feed = feed
        self.connection = connection
        self.relation: Relation | None = None
        self.admitted = False
        """Whether a read of the trip or conversation has said what the member is to it."""
        self.left = False
        self.heard = [0, 0]
        self._holds = 0
        self._held: list[tuple[int, int, Encoded]] = []

    @property
    def talks(self) -> bool:
        """Whether messages and receipts are for this member."""
        return self.relation in TALKING

    @property
    def is_stranger(self) -> bool:
        """Whether the trip is nothing to this member any more."""
        return self.admitted and self.relation is None

    @property
    def is_behind(self) -> bool:
        """Whether its feed began after what its client knows: nobody will tell what is between."""
        return self.admitted and self.feed.began_after(self)

    @property
    def is_held(self) -> bool:
        return self._holds > 0

    def admit(self, relation: Relation) -> None:
        self.relation, self.admitted = relation, True

    def hold(self) -> None:
        self._holds += 1

    def knows(self, *, version: int = 0, seq: int = 0) -> None:
        """The client knows everything up to here: it is not told again."""
        self.heard[VERSIONS] = max(self.heard[VERSIONS], version)
        self.heard[SEQS] = max(self.heard[SEQS], seq)

    def release(self) -> None:
        """End a hold: what has waited leaves now, unless nobody has said that it may be heard."""
        self._holds -= 1
        if self._holds == 0 and self._held:
            held, self._held = self._held, []
            for stream, number, event in held if self.admitted else ():
                self.tell(stream, number, event)

    def hear(self, stream: int, number: int, event: Encoded) -> None:
        """An event in its turn."""
        if self._holds:
            self._wait((stream, number, event))
        else:
            self.tell(stream, number, event)

    def forget_waiting_messages(self) -> None:
        """They are from before the member came to drive: it gets those that it may read, anew."""
        self._held = [event for event in self._held if event[0] != SEQS]

    def _wait(self, event: tuple[int, int, Encoded]) -> None:
        self._held.append(event)
        if len(self._held) > MAX_HELD:
            self.connection.end("busy", retry=True)

    def tell(self, stream: int, number: int, event: Encoded) -> None:
        """An event at once, unless it is not for this member or the client knows it."""
        if stream != VERSIONS and not self.talks:
            return
        if stream == _PASSING:
            self.connection.send(event, passing=True)
        elif stream == _UNNUMBERED:
            self.connection.send(event)
        elif number > self.heard[stream]:
            self.heard[stream] = number
            self.connection.send(event)


class Feed:
    """A kept room with local members: here, a conversation that is no trip's."""

    __slots__ = ("conversation_id", "members", "room", "seqs")

    def __init__(self, room: Room) -> None:
        self.room = room
        self.conversation_id: Id = room.partition(":")[2]
        self.members: dict[Connection, Member] = {}
        self.seqs: Sequence[tuple[Message | None, Encoded]] = Sequence()

    @property
    def has_gap(self) -> bool:
        return self.seqs.has_gap

    def began_after(self, member: Member) -> bool:
        """Whether what it has delivered began after what the member's client knows."""
        return member.talks and self.seqs.began > member.heard[SEQS]

    def add(self, connection: Connection) -> Member:
        member = Member(self, connection)
        self.members[connection] = member
        return member

    def remove(self, member: Member) -> None:
        member.left = True
        self.members.pop(member.connection, None)

    def take_message(self, number: int, message: Message | None, event: Encoded) -> None:
        self._tell_messages(self.seqs.take(number, (message, event)))

    def start_messages(self, newest: int) -> None:
        self._tell_messages(self.seqs.start(newest))

    def take_receipt(self, event: Encoded, source: str) -> None:
        """A receipt, for everybody but the connection that sent it."""
        for member in self.members.values():
            if member.connection.id != source:
                member.hear(_UNNUMBERED, 0, event)

    def take_typing(self, event: Encoded, source: str) -> None:
        """Who is writing, for everybody but the author (its key)."""
        for member in self.members.values():
            if member.connection.identity.key != source:
                member.hear(_PASSING, 0, event)

    def _tell_messages(self, due: list[tuple[int, tuple[Message | None, Encoded]]]) -> None:
        for number, (message, event) in due:
            for member in self.members.values():
                if message is None or not member.connection.owns(message):
                    member.hear(SEQS, number, event)


class Signal:
    """What is heard of the driver who serves a trip."""

    __slots__ = ("eta", "hearing", "last_seen", "location", "since", "ts")

    def __init__(self, since: Millis) -> None:
        """`since` (ms) is when the driver came onto the trip: from then on it is waited for."""
        self.hearing: Hearing | None = None
        self.last_seen: Millis | None = None
        self.location: Encoded | None = None
        self.eta: Encoded | None = None
        self.ts: Millis = -1
        self.since = since


class TripFeed(Feed):
    """A trip with local members: its status, its chat, and what is live while somebody looks."""

    __slots__ = (
        "driver_id",
        "dropoff",
        "offer",
        "pickup",
        "signal",
        "status",
        "stops",
        "trip_id",
        "versions",
        "watchers",
    )

    def __init__(self, trip_id: Id) -> None:
        super().__init__(rooms.trip(trip_id))
        self.trip_id = trip_id
        self.versions: Sequence[TripStatus] = Sequence()
        self.watchers: dict[Connection, Member] = {}
        self.status: Status | None = None
        self.driver_id: Id | None = None
        self.offer: Offer | None = None
        self.pickup: Place | None = None
        self.dropoff: Place | None = None
        self.stops: tuple[Place, ...] = ()
        self.signal = Signal(0)

    @property
    def has_gap(self) -> bool:
        return self.seqs.has_gap or self.versions.has_gap

    @property
    def is_served(self) -> bool:
        return self.status in SERVED

    def began_after(self, member: Member) -> bool:
        return self.versions.began > member.heard[VERSIONS] or super().began_after(member)

    @property
    def plan(self) -> Plan | None:
        """What the trip's driver has before it."""
        return plan_of(self.status, self.driver_id, self.pickup, self.dropoff, self.stops)

    def remove(self, member: Member) -> None:
        super().remove(member)
        self.unwatch(member)
        member.connection.set_driving(self.trip_id, False)

    def know(self, trip: Trip) -> list[Member]:
        """The trip as it was read: brings the feed up to it, where it is behind.

        Returns the members that came to drive by it and have the chat to catch up with.
        """
        newest = self.versions.newest
        newly_driving = []
        if newest is None:
            self._set(trip.events[-1])
            self.pickup, self.dropoff, self.stops = trip.pickup, trip.dropoff, trip.stops
            self.signal = Signal(served_since(trip))
            for _, fact in self.versions.start(trip.version):
                newly_driving += self._apply(fact)
        else:
            for event in events_after(trip, newest):
                newly_driving += self.take_status(TripStatus.of(trip.id, event))
        return newly_driving

    def take_status(self, fact: TripStatus) -> list[Member]:
        """A change of the trip; returns the members that came to drive by it."""
        newly_driving = []
        for _, due in self.versions.take(fact.version, fact):
            newly_driving += self._apply(due)
        return newly_driving

    def assess(self, member: Member) -> bool:
        """Set what the member is to the trip now. True for one that just came to drive."""
        identity = member.connection.identity
        if identity.role is not Role.DRIVER:
            return False
        before = member.relation
        member.relation = driver_relation(identity.user_id, self.driver_id, self.offer)
        self._note_driving(member)
        if member.relation is not Relation.DRIVER or before is Relation.DRIVER:
            return False
        member.forget_waiting_messages()
        return True

    def admit(self, member: Member, relation: Relation) -> bool:
        """A member is what a read of the trip says, unless the feed has heard of a change since.

        True for one that came to drive by such a change.
        """
        member.admit(relation)
        return self.assess(member)

    def strangers(self) -> list[Member]:
        """Members to whom the trip is nothing any more."""
        return [member for member in self.members.values() if member.is_stranger]

    def watch(self, member: Member, seen: Sighting | None, hearing: Hearing) -> None:
        """From now on the member hears what is live; it knows the sighting already."""
        if not self.watchers:
            self.signal = Signal(self.signal.since)  # nobody kept it up to date
        self.watchers.pop(member.connection, None)  # its snapshot has the sighting, once more
        if seen is not None:
            self.take_sighting(seen, hearing)
        self.watchers[member.connection] = member
        signal = self.signal
        if signal.hearing is None and (seen is not None or hearing is not Hearing.LIVE):
            signal.hearing = hearing  # else the driver is waited for, and told of once it is heard
        known = seen.point.ts if seen is not None else -1
        if signal.ts > known and self.is_served:
            self.show_newest(member.connection)
        if signal.eta is not None and self.is_served:
            member.connection.send(signal.eta, passing=True)

    def unwatch(self, member: Member) -> None:
        self.watchers.pop(member.connection, None)
        member.connection.missed.discard(self)

    def take_location(self, driver_id: str, ts: Millis, event: Encoded, now: Millis) -> int:
        """A location of this driver, unless it is not the trip's, or not news.

        Returns to how many it was sent.
        """
        if not self._is_news(driver_id, ts):
            return 0
        signal = self.signal
        signal.last_seen = now
        if signal.hearing is not Hearing.LIVE:
            self._tell_hearing(Hearing.LIVE)
        return self._show(ts, event)

    def take_sighting(self, sighting: Sighting, hearing: Hearing) -> None:
        """What was read of the driver, for those who watch already and do not have it.

        `hearing` is how well such a driver is heard.
        """
        point = sighting.point
        if self._is_news(sighting.driver_id, point.ts):
            location = TripLocation.of(self.trip_id, point)
            self.signal.last_seen = max(self.signal.last_seen or 0, sighting.seen_at)
            if hearing is Hearing.LIVE and self.signal.hearing not in (None, Hearing.LIVE):
                self._tell_hearing(hearing)
            self._show(point.ts, Encoded(location.event, location))

    def newest_sighting(self) -> Sighting | None:
        """The newest that was heard here of the trip's driver."""
        signal, driver_id = self.signal, self.driver_id
        if driver_id is None or signal.location is None or signal.last_seen is None:
            return None
        point = msgspec.json.decode(signal.location.json, type=Point)
        return Sighting(driver_id, point, "", signal.last_seen)

    def show_newest(self, connection: Connection) -> None:
        """The newest location, for a connection that was behind when it came."""
        location = self.signal.location
        if (
            location is not None
            and connection in self.watchers
            and not connection.send(location, passing=True)
        ):
            connection.missed.add(self)

    def take_eta(self, driver_id: str, event: Encoded) -> None:
        """When this driver arrives, unless it is not the trip's."""
        if driver_id == self.driver_id and self.is_served:
            self.signal.eta = event
            for connection in self.watchers:
                connection.send(event, passing=True)

    def take_typing(self, event: Encoded, source: str) -> None:
        """Who is writing, for subscribed parties but the author (its key)."""
        for member in self.watchers.values():
            if member.relation in PARTIES and member.connection.identity.key != source:
                member.connection.send(event, passing=True)

    def check_driver(self, limits: PresenceLimits, now: Millis) -> None:
        """Tell when the driver has not been heard for too long."""
        if self.is_served and self.watchers:
            hearing = limits.hearing(self.signal.last_seen or self.signal.since, now)
            if hearing not in (Hearing.LIVE, self.signal.hearing):
                self._tell_hearing(hearing)

    def _apply(self, fact: TripStatus) -> list[Member]:
        concerned = {member for member in self.members.values() if self._concerns(member)}
        self._set(fact)
        event = Encoded(fact.event, fact)
        watched: Encoded | None = None
        newly_driving = []
        for member in self.members.values():
            if self.assess(member):
                newly_driving.append(member)
            if not (member in concerned or self._concerns(member)):
                continue
            if member.connection.identity.role is Role.VIEWER:
                watched = watched or Encoded(fact.event, WatchedStatus.of(fact))
                member.hear(VERSIONS, fact.version, watched)
            else:
                member.hear(VERSIONS, fact.version, event)
        return newly_driving

    def _concerns(self, member: Member) -> bool:
        return concerns(member.connection.identity, self.driver_id, self.offer)

    def _set(self, newest: Event | TripStatus) -> None:
        if newest.driver_id != self.driver_id or newest.status not in SERVED:
            self.signal = Signal(newest.at)
        if newest.status is not self.status:
            self.signal.eta = None
        if newest.changed is not None:
            self._set_places(newest.changed)
        self.status, self.driver_id, self.offer = newest.status, newest.driver_id, newest.offer

    def _set_places(self, changed: Changed) -> None:
        if changed.dropoff is not UNSET:
            self.dropoff = changed.dropoff
        if changed.stops is not UNSET:
            self.stops = changed.stops

    def _note_driving(self, member: Member) -> None:
        is_driver = member.relation is Relation.DRIVER
        member.connection.set_driving(self.trip_id, is_driver and self.is_served)

    def _is_news(self, driver_id: str, ts: Millis) -> bool:
        signal = self.signal
        return (
            driver_id == self.driver_id
            and ts > signal.ts
            and ts >= signal.since - APPROACH_MS
            and self.status in SERVED
        )

    def _show(self, ts: Millis, event: Encoded) -> int:
        signal = self.signal
        signal.location, signal.ts = event, ts
        sent, text = len(self.watchers), event.frame(False)
        for connection in self.watchers:
            frame = event.frame(True) if connection.parser.binary else text
            if not connection.socket.write(frame, True):
                connection.missed.add(self)
                sent -= 1
        return sent

    def _tell_hearing(self, hearing: Hearing) -> None:
        self.signal.hearing = hearing
        heard = TripDriver(self.trip_id, hearing, self.signal.last_seen)
        event = Encoded(TripDriver.event, heard)
        for member in self.watchers.values():
            member.connection.send(event)


def concerns(identity: Identity, driver_id: Id | None, offer: Offer | None) -> bool:
    """Whether a trip with this driver and offer is anything to one of its members.

    Where that is a driver, it may not be any more, or not again yet.
    """
    is_driver = identity.role is Role.DRIVER
    return not is_driver or driver_relation(identity.user_id, driver_id, offer) is not None
