"""Facts on their way: from handlers to members here and, over the bus, on every other instance."""

from functools import lru_cache
from typing import Final

import msgspec

from handlers.ports import Clock
from models import rooms
from models.facts import (
    Arrived,
    ChatClosed,
    ChatOpened,
    ChatReceipt,
    ChatTyping,
    Control,
    Fact,
    Follow,
    Pushed,
    Revoked,
    TripEta,
    TripLocation,
    TripStatus,
)
from models.fields import Id, Millis
from models.messages import Message
from models.points import Point
from models.rooms import Room
from realtime import keys
from realtime.bus import Bus
from realtime.envelopes import Envelope, Seen, location_head, packed, unpacked
from realtime.feeds import Feed, TripFeed
from realtime.following import FollowingService
from realtime.metrics import Metrics
from realtime.revocations import Revocations
from realtime.wire import Encoded, event_head

_CONTROL: Final[dict[str, type[Control]]] = {
    kind.event: kind for kind in (Follow, ChatOpened, ChatClosed, Arrived, Pushed, Revoked)
}
_LOCATION: Final = TripLocation.event
_encode: Final = msgspec.json.Encoder().encode


@lru_cache(maxsize=16_384)
def _live(trip_id: Id) -> tuple[Room, str, bytes]:
    """Where a trip's locations go, and how the packet of each begins, before its point's fields.

    With them it is that of a `models.facts.TripLocation`, without one being made.
    """
    room = rooms.live(trip_id)
    return room, keys.channel(room), event_head(_LOCATION) + b'{"trip_id":%b,' % _encode(trip_id)


class Hub:
    """Publishes facts, and delivers those of other instances."""

    def __init__(
        self,
        bus: Bus,
        following: FollowingService,
        revocations: Revocations,
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self._bus = bus
        self._following = following
        self._watched: Final = following.watched
        self._revocations = revocations
        self._clock = clock
        self._published = metrics.published.counts
        self._sent = metrics.sent.counts
        self._shown = metrics.relay.shown
        self._arrived = metrics.relay.arrived
        self._newest: dict[Id, Point] = {}

    def publish(self, room: Room, fact: Fact, *, source: str = "", version: int = 0) -> None:
        """See `handlers.ports.Publish`.

        An arrival is heard through Redis here too: the channel's order says who came last.
        """
        self._published[fact.event] += 1
        event = Encoded(fact.event, fact)
        number = fact.number if isinstance(fact, TripStatus | Message) else 0
        envelope = Envelope(fact.event, number, source, event.json, version=version)
        if isinstance(fact, Arrived):
            self._bus.publish(keys.channel(room), packed(envelope), echo=True)
            return
        self._deliver(room, envelope, event, fact)
        self._bus.publish(keys.channel(room), packed(envelope))

    def show(self, trips: tuple[Id, ...], point: Point, driver_id: Id, seen_at: Millis) -> None:
        """See `handlers.ports.Show`. Most of what a server does, so only what it needs."""
        self._published[_LOCATION] += len(trips)
        ts = point.ts
        head, fields = location_head(driver_id, ts, seen_at), _encode(point)[1:] + b"]"
        for trip_id in trips:
            self._newest[trip_id] = point
            room, channel, event_start = _live(trip_id)
            packet = event_start + fields
            watched = self._watched.get(room)
            if watched is not None:
                event = Encoded.of_packet(_LOCATION, packet)
                sent = watched.take_location(driver_id, ts, event, seen_at)
                if sent:
                    self._shown[seen_at] += sent
            self._bus.publish(channel, head + packet)

    def take_shown(self) -> dict[Id, Point]:
        """The newest point of each trip that was shown from here since the last call."""
        newest, self._newest = self._newest, {}
        return newest

    def receive(self, channel: str, message: bytes) -> None:
        """A message of another instance."""
        room = keys.room_of(channel)
        envelope = unpacked(message)
        if isinstance(envelope, Seen):
            self._show_received(room, envelope)
        else:
            event = Encoded.of_json(envelope.event, envelope.payload)
            self._deliver(room, envelope, event, None)

    def _show_received(self, room: Room, seen: Seen) -> None:
        watched = self._watched.get(room)
        if watched is not None:
            event = Encoded.of_packet(_LOCATION, seen.packet)
            sent = watched.take_location(seen.driver_id, seen.ts, event, self._clock())
            if sent:
                self._arrived[seen.seen_at] += sent

    def _deliver(self, room: Room, envelope: Envelope, event: Encoded, fact: Fact | None) -> None:
        """`fact` is there when it was published here; else it is read when it is needed."""
        name = envelope.event
        if name in _CONTROL:
            self._steer(room, fact or msgspec.json.decode(event.json, type=_CONTROL[name]))
        elif name == TripEta.event:
            watched = self._watched.get(room)
            if watched is not None:
                watched.take_eta(envelope.source, event)
        elif name == ChatTyping.event:
            feed = self._watched.get(room) or self._following.feeds.get(room)
            if feed is not None and not self._is_late(feed, envelope.version):
                feed.take_typing(event, envelope.source)
        else:
            self._deliver_kept(room, envelope, event, fact)

    def _deliver_kept(
        self, room: Room, envelope: Envelope, event: Encoded, fact: Fact | None
    ) -> None:
        feed = self._following.feeds.get(room)
        if feed is None:
            return
        if event.name == ChatReceipt.event:
            if not self._is_late(feed, envelope.version):
                feed.take_receipt(event, envelope.source)
        elif event.name == Message.event:
            message = fact if isinstance(fact, Message) else None
            self._deliver_message(feed, envelope, event, message)
        elif event.name == TripStatus.event and isinstance(feed, TripFeed):
            if not isinstance(fact, TripStatus):
                fact = msgspec.json.decode(event.json, type=TripStatus)
            self._following.tend(feed, feed.take_status(fact))

    def _deliver_message(
        self, feed: Feed, envelope: Envelope, event: Encoded, message: Message | None
    ) -> None:
        """A message that nobody may have yet is read in its turn, after what lets them."""
        if self._is_late(feed, envelope.version):
            feed.seqs.exists(envelope.number)
        else:
            feed.take_message(envelope.number, message, event)
        self._following.repair.fill_gap(feed)

    def _is_late(self, feed: Feed, version: int) -> bool:
        """Whether a trip is at a version that its feed has not heard of; then that is read.

        Who may hear what belongs to that version is not known before: somebody may be off the trip.
        """
        if not isinstance(feed, TripFeed) or version <= (feed.versions.newest or 0):
            return False
        self._following.repair.note_version(feed, version)
        return True

    def _steer(self, room: Room, fact: Fact) -> None:
        if isinstance(fact, Follow):
            self._following.follow(fact)
        elif isinstance(fact, ChatOpened):
            self._following.follow_conversation(room.partition(":")[2], fact.conversation_id)
        elif isinstance(fact, ChatClosed):
            feed = self._following.feeds.get(room)
            if feed is not None:
                self._following.dissolve(feed)
        elif isinstance(fact, Arrived):
            self._arrive(room, fact)
        elif isinstance(fact, Pushed):
            self._push(room, fact)
        elif isinstance(fact, Revoked):
            self._revocations.take(fact.revocation)

    def _arrive(self, room: Room, fact: Arrived) -> None:
        """End older connections of the same device: those that were announced before this one."""
        for connection in list(self._following.users.get(room, ())):
            if connection.id == fact.connection_id:
                connection.announced = True
            elif (
                connection.announced
                and connection.device == fact.device
                and connection.identity.key == fact.key
            ):
                connection.end("replaced", retry=False)

    def _push(self, room: Room, fact: Pushed) -> None:
        """The event's name is the back end's, and so none to count by."""
        event = Encoded(fact.name, fact.data)
        for connection in self._following.users.get(room, ()):
            if connection.ready.done() and fact.role in (None, connection.identity.role):
                connection.write(event)
                self._sent["pushed"] += 1
