"""Which connection follows which trips and conversations, and how it is brought up to date.

Always in this order: the room's channel is subscribed, then MongoDB is read, then what came
meanwhile is delivered, unless the reading contained it. So nothing is lost and nothing comes twice.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, Protocol

from msgspec import UNSET
from msgspec.structs import replace

from handlers.answers import SessionReady, Snapshot
from handlers.locations import Reporter
from handlers.ports import Clock, Drivers
from handlers.sessions import Followed, Opening, SessionHandler
from handlers.snapshots import Snapshots, View
from models import rooms, stores
from models.commands import TripSubscribe
from models.errors import TooLarge, Unauthorized, Unavailable
from models.facts import Follow, Hearing, TripDriver
from models.fields import Id, Millis
from models.filter import DEFAULT_LIMITS, Limits
from models.identity import Role
from models.presence import PresenceLimits
from models.rooms import Room
from models.trips import PARTIES, Relation
from realtime import keys
from realtime.catching_up import CatchingUp, trip_feed
from realtime.connection import Connection
from realtime.feeds import Feed, Member, TripFeed
from realtime.patience import patiently, pauses
from realtime.repair import Repair
from realtime.tasks import Tasks

SETTLED_S: Final = 0.25
"""After this time a driver's newest point, noted by whichever instance, can be read by all."""
CLOSING_S: Final = 5.0
"""How long a message may be under way that was sent just before its conversation was closed."""
RECENT_MS: Final = 2_000
NEAR_MS: Final = 3_000
"""How far each look for changes goes back behind the one before: what clocks of instances differ by
as a rule, and a write that is under way."""
RECALL_MS: Final = 20_000
"""How old changes are that are looked for a second time: what clocks of instances may differ by at
most, and a slow write."""
SLICE_MS: Final = 30_000
"""How much is looked for in one question, after a long absence."""
AWAY_MS: Final = 6_000
"""When the last look is so long ago, the store was away, or this instance asleep."""
SHARES: Final = 80
"""In how many sweeps (two minutes) every trip is compared once besides, whatever clocks say."""
_ROUNDS: Final = 5


class Channels(Protocol):
    """The part of the bus that says what this instance listens to."""

    def subscribe(self, channel: str) -> Awaitable[bool]: ...

    def unsubscribe(self, channel: str) -> None: ...


class FollowingService:
    """The rooms of this instance and their members."""

    def __init__(
        self,
        *,
        channels: Channels,
        kept: stores.Stores,
        sessions: SessionHandler,
        snapshots: Snapshots,
        drivers: Drivers,
        presence: PresenceLimits,
        clock: Clock,
        tasks: Tasks,
        per_connection: int,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        """`per_connection` trips may be subscribed to by each connection."""
        self.feeds: dict[Room, Feed] = {}
        self.watched: Final[dict[Room, TripFeed]] = {}
        """By their live room: trips that somebody here looks at."""
        self.users: dict[Room, dict[Connection, None]] = {}
        self._channels = channels
        self._trips = kept.trips
        self._chats = kept.conversations
        self._messages = kept.messages
        self._sessions = sessions
        self._snapshots = snapshots
        self._drivers = drivers
        self._presence = presence
        self._limits = limits
        self._per_connection = per_connection
        self._clock = clock
        self._tasks = tasks
        self._sweeping = asyncio.Lock()
        self._looked_at = self._away_at = clock()
        self._away_until: Millis = 0
        self._share = 0
        self.repair = Repair(kept, tasks, self.tend)
        self._catching_up = CatchingUp(kept, tasks, self.tend, self._abandon)

    async def open(self, connection: Connection) -> tuple[SessionReady, Callable[[], None]]:
        """What `session:ready` says; call the second once it is written.

        It takes as long as the store is away: the caller bounds the time.
        """
        identity = connection.identity
        await self._listen(connection)
        members, followed = await self._join_followed(connection)
        opening = await patiently(lambda: self._sessions.opening(identity, followed))
        if identity.role is Role.DRIVER:  # nobody else may report
            connection.reporter = Reporter(
                identity.user_id,
                connection.device,
                opening.sighting,
                self._limits,
                now=self._clock(),
            )
            status = opening.ready.status
            self._drivers.came(identity.user_id, None if status is UNSET else status)
        return opening.ready, lambda: self._opened(members, opening)

    def close(self, connection: Connection) -> None:
        """Forget a connection. Costs its own rooms, whatever the instance holds."""
        for member in list(connection.members.values()):
            self._leave(member)
        if connection.reporter is not None:
            connection.reporter.record_recent(self._drivers)
            self._drivers.went(connection.identity.user_id)
        room = rooms.user(connection.identity.user_id)
        connections = self.users.get(room, {})
        connections.pop(connection, None)
        if not connections and self.users.pop(room, None) is not None:
            self._channels.unsubscribe(keys.channel(room))

    async def subscribe(
        self, connection: Connection, command: TripSubscribe
    ) -> tuple[Snapshot, Callable[[], None]]:
        """The snapshot; call the second once it is written: then events follow.

        Raises TooLarge for a trip more than a connection may look at.
        """
        self._require_room(connection, command.trip_id)
        member = await self._join(connection, rooms.trip(command.trip_id))
        live = keys.channel(rooms.live(command.trip_id))
        try:
            await self._channels.subscribe(live)
            view = await self._snapshots.of(connection.identity, command)
        except BaseException:
            self._abandon(member)
            raise
        view = self._brought_up_to_date(view, trip_feed(member))
        return view.snapshot, lambda: self._watch(member, view)

    def _require_room(self, connection: Connection, trip_id: Id) -> None:
        if len(connection.members) < self._per_connection:
            return
        looks_at = {
            member.feed.trip_id
            for member in connection.members.values()
            if isinstance(member.feed, TripFeed) and connection in member.feed.watchers
        }
        if len(looks_at) >= self._per_connection and trip_id not in looks_at:
            raise TooLarge(f"a connection subscribes to at most {self._per_connection} trips")

    def unsubscribe(self, connection: Connection, trip_id: Id) -> None:
        """Hear no more of what is live; staff and viewers hear no more at all."""
        member = connection.members.get(rooms.trip(trip_id))
        if member is None or not isinstance(member.feed, TripFeed):
            return
        member.feed.unwatch(member)
        self._forget_unwatched(member.feed)
        if member.relation not in PARTIES | {Relation.OFFERED}:
            self._leave(member)

    def follow(self, fact: Follow) -> None:
        """Have the connections of the fact's key follow a trip, if they do not yet."""
        room = rooms.trip(fact.trip_id)
        for connection in self.users.get(rooms.user(fact.key.partition(":")[2]), ()):
            if connection.identity.key == fact.key and not _follows(connection, room):
                self._tasks.start(self._follow(connection, room))

    def follow_conversation(self, user_id: Id, conversation_id: Id) -> None:
        room = rooms.chat(conversation_id)
        for connection in self.users.get(rooms.user(user_id), ()):
            if connection.identity.role is not Role.VIEWER and not _follows(connection, room):
                self._tasks.start(self._follow(connection, room))

    def dissolve(self, feed: Feed) -> None:
        """A conversation was closed: nobody needs to listen to it, once its last messages came."""
        self._tasks.start(self._dissolve(feed))

    async def _dissolve(self, feed: Feed) -> None:
        await asyncio.sleep(CLOSING_S)
        for pause in pauses():
            with suppress(Unavailable):
                await self.repair.compare_seqs([feed])
                if not feed.has_gap:
                    break
            if not feed.members:
                return
            await asyncio.sleep(pause)
        for member in list(feed.members.values()):
            self._leave(member)

    def tend(self, feed: Feed, newly_driving: list[Member]) -> None:
        """After a feed has taken something: newcomers get the chat, gaps are filled, others go."""
        for member in newly_driving:
            if member.connection.reporter is not None:
                member.connection.reporter.record_recent(self._drivers)
            self._catching_up.bring(member)
        if isinstance(feed, TripFeed):
            for member in feed.strangers():
                self._leave(member)
        self.repair.fill_gap(feed)

    def catch_up(self) -> None:
        """Messages between instances may have been missed: do not wait for the next sweep."""
        self._tasks.start(self._sweep_soon())

    async def sweep(self) -> None:
        """Find what connections follow and have not heard of, however it was missed, and bring it.

        Raises Unavailable. One at a time; who comes meanwhile waits for its own.
        """
        async with self._sweeping:
            await self._look_for_changes()
            await self.repair.compare_seqs(list(self.feeds.values()))
            await self.repair.compare_versions(self._next_share())

    async def _sweep_soon(self) -> None:
        with suppress(Unavailable):  # the next regular one finds the same
            await self.sweep()

    async def _look_for_changes(self) -> None:
        """Trips that changed and conversations that were opened since the last look.

        By the clocks of who did it, and so each is looked for twice: when it is new, and again when
        whatever was stored late or by a slow clock must be there.
        """
        now = self._clock()
        new = self._since(now)
        for since in range(new, now, SLICE_MS):
            await self._look(since, since + SLICE_MS if since + SLICE_MS < now else None)
        settled = min(now, self._looked_at) - RECALL_MS
        if settled < new:
            await self._look(settled, now - RECALL_MS)
        self._looked_at = now

    async def _look(self, since: Millis, until: Millis | None) -> None:
        for change in await self._trips.changed(since, until):
            feed = self.feeds.get(rooms.trip(change.trip_id))
            if isinstance(feed, TripFeed):
                self.repair.note_version(feed, change.version)
            for key in change.followers:
                self.follow(Follow(key, change.trip_id))
        for chat_id, participants in (await self._chats.opened(since, until)).items():
            for user_id in participants:
                self.follow_conversation(user_id, chat_id)

    def _since(self, now: Millis) -> Millis:
        """Where a look for new changes begins.

        After the store was away, what it took last may be stored only now: for a while every look
        goes back to before that.
        """
        if now - self._looked_at > AWAY_MS:
            self._away_at, self._away_until = self._looked_at, now + RECALL_MS
        if now < self._away_until:
            return min(now, self._away_at) - RECALL_MS
        return min(now, self._looked_at) - NEAR_MS

    def _next_share(self) -> list[TripFeed]:
        """A part of all trips, so that each is compared once in a while."""
        self._share = (self._share + 1) % SHARES
        feeds = [feed for feed in self.feeds.values() if isinstance(feed, TripFeed)]
        return feeds[self._share :: SHARES]

    def check_watched(self) -> None:
        """Tell of drivers not heard for too long."""
        now = self._clock()
        for feed in self.watched.values():
            feed.check_driver(self._presence, now)

    async def _listen(self, connection: Connection) -> None:
        room = rooms.user(connection.identity.user_id)
        self.users.setdefault(room, {})[connection] = None
        await self._channels.subscribe(keys.channel(room))

    async def _join_followed(self, connection: Connection) -> tuple[dict[Room, Member], Followed]:
        """Join what the connection follows, until a reading shows nothing that was not joined."""
        members: dict[Room, Member] = {}
        identity = connection.identity
        followed = await patiently(lambda: self._sessions.following(identity))
        for _ in range(_ROUNDS):
            missing = [room for room in _rooms_of(followed) if room not in members]
            if not missing:
                break
            joined = await asyncio.gather(*(self._join(connection, room) for room in missing))
            members.update(zip(missing, joined, strict=True))
            followed = await patiently(lambda: self._sessions.following(identity))
        return members, followed

    def _opened(self, members: dict[Room, Member], opening: Opening) -> None:
        for record in opening.following.trips:
            member = members.get(rooms.trip(record.trip.id))
            relation = member and record.trip.relation_of(member.connection.identity)
            if member is not None and relation:
                del members[member.feed.room]
                seq = opening.newest.get(record.trip.id, 0)
                self._catching_up.admit(member, record, relation, seq)
        for conversation in opening.following.conversations:
            member = members.pop(rooms.chat(conversation.id), None)
            if member is not None:
                seq = opening.newest.get(conversation.id, 0)
                self._catching_up.admit_to_chat(member, seq)
        for member in members.values():
            self._abandon(member)

    def _watch(self, member: Member, view: View) -> None:
        snapshot, feed = view.snapshot, trip_feed(member)
        self._catching_up.admit(member, view.record, view.relation, snapshot.last_seq)
        if member.left:  # perhaps before its live room was subscribed
            self._forget_unwatched(feed)
            return
        live = rooms.live(feed.trip_id)
        self.watched[live] = feed
        self._channels.subscribe(keys.channel(live))
        hearing = snapshot.driver.connection if snapshot.driver else Hearing.OFFLINE
        feed.watch(member, view.sighting, hearing)
        self._tasks.start(self._look_again(feed))

    def _brought_up_to_date(self, view: View, feed: TripFeed) -> View:
        """The view with what was heard here of the driver, where Redis does not have it yet.

        A driver who serves no more was shown where the view does not know: it is not shown again.
        """
        if (feed.versions.newest or 0) > view.record.trip.version and not (
            feed.is_served and feed.driver_id == view.record.trip.driver_id
        ):
            snapshot = replace(view.snapshot, location=None)
            return replace(view, snapshot=snapshot, sighting=None)
        heard = feed.newest_sighting()
        known = view.sighting.point.ts if view.sighting else -1
        if heard is None or view.snapshot.driver is None or heard.point.ts <= known:
            return view
        if heard.driver_id != view.record.trip.driver_id:
            return view
        hearing = self._presence.hearing(heard.seen_at, self._clock())
        snapshot = replace(
            view.snapshot,
            location=heard.point,
            driver=TripDriver(feed.trip_id, hearing, heard.seen_at),
        )
        return replace(view, snapshot=snapshot, sighting=heard)

    async def _look_again(self, feed: TripFeed) -> None:
        """Find the point that was published before the subscription, but not yet to be read."""
        await asyncio.sleep(SETTLED_S)
        if feed.driver_id is not None and feed.watchers:
            sighting = await self._drivers.newest(feed.driver_id)
            now = self._clock()
            if sighting is not None and sighting.seen_at > now - RECENT_MS:
                hearing = self._presence.hearing(sighting.seen_at, now)
                feed.take_sighting(sighting, hearing)

    async def _follow(self, connection: Connection, room: Room) -> None:
        await connection.ready
        if not (connection.ended or _follows(connection, room)):
            await self._catching_up.bring_held(await self._join(connection, room))

    async def _join(self, connection: Connection, room: Room) -> Member:
        """A held membership: what happens from now on waits until it is released."""
        if connection.ended:
            raise Unauthorized("the session has ended", "ended")
        member = connection.members.get(room)
        if member is None:
            feed = self.feeds.get(room)
            if feed is None:
                feed = self.feeds[room] = _feed_of(room)
            member = connection.members[room] = feed.add(connection)
        member.hold()
        try:
            await self._channels.subscribe(keys.channel(room))
        except BaseException:  # whoever gave up waiting for Redis: the member may be another's, too
            self._abandon(member)
            raise
        return member

    def _abandon(self, member: Member) -> None:
        """Release a hold that led to nothing; one that was not a member before, is not now.

        Unless another hold is there, which may lead to something.
        """
        member.release()
        if not member.admitted and not member.is_held:
            self._leave(member)
        if isinstance(member.feed, TripFeed):
            self._forget_unwatched(member.feed)

    def _leave(self, member: Member) -> None:
        if member.left:
            return
        feed = member.feed
        feed.remove(member)
        member.connection.members.pop(feed.room, None)
        if isinstance(feed, TripFeed):
            self._forget_unwatched(feed)
        if not feed.members and self.feeds.get(feed.room) is feed:
            del self.feeds[feed.room]
            self._channels.unsubscribe(keys.channel(feed.room))

    def _forget_unwatched(self, feed: TripFeed) -> None:
        live = rooms.live(feed.trip_id)
        if not feed.watchers and self.watched.get(live, feed) is feed:
            self.watched.pop(live, None)
            self._channels.unsubscribe(keys.channel(live))


def _follows(connection: Connection, room: Room) -> bool:
    member = connection.members.get(room)
    return member is not None and member.admitted


def _feed_of(room: Room) -> Feed:
    kind, _, subject = room.partition(":")
    return TripFeed(subject) if kind == "trip" else Feed(room)


def _rooms_of(followed: Followed) -> list[Room]:
    return [
        *(rooms.trip(record.trip.id) for record in followed.trips),
        *(rooms.chat(conversation.id) for conversation in followed.conversations),
    ]
