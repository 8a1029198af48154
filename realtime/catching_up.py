"""Bringing members to where their feeds are: each hears what it misses, before what happens now.

What a member's client knows differs: nothing of a trip that it begins to follow, a snapshot that is
older than its feed, nothing of the chat before it came to drive. What is missing is found in one
way: everything that is stored, is the member's to hear, and is not known to its client.
"""

import asyncio
from collections.abc import Callable

from handlers.threads import chat_after
from models import stores
from models.commands import MAX_PAGE
from models.errors import Unavailable
from models.facts import TripStatus, WatchedStatus
from models.identity import Role
from models.trips import Relation, Trip, events_after, followed_since
from realtime.feeds import SEQS, TALKING, VERSIONS, Feed, Member, TripFeed, concerns
from realtime.patience import pauses
from realtime.tasks import Tasks
from realtime.wire import Encoded


class CatchingUp:
    """Members are held for as long as it takes; one that begins here is held already."""

    def __init__(
        self,
        kept: stores.Stores,
        tasks: Tasks,
        tend: Callable[[Feed, list[Member]], None],
        abandon: Callable[[Member], None],
    ) -> None:
        """`tend` is told of a feed that took something, and who came to drive by it.

        `abandon` ends the hold of a member that turned out to be a stranger.
        """
        self._trips = kept.trips
        self._messages = kept.messages
        self._tasks = tasks
        self._tend = tend
        self._abandon = abandon

    def admit(
        self, member: Member, record: stores.TripRecord, relation: Relation, seq: int
    ) -> None:
        """End a hold: the client knows the trip as it was read, and its messages up to `seq`."""
        feed = trip_feed(member)
        newly_driving = feed.know(record.trip)
        if relation in TALKING:
            feed.start_messages(seq)
        if feed.admit(member, relation):
            newly_driving.append(member)
        self._let_go(member, record.trip.version, seq)
        self._tend(feed, newly_driving)

    def admit_to_chat(self, member: Member, seq: int) -> None:
        """The same of a conversation that is no trip's."""
        member.admit(Relation.RIDER)
        member.feed.start_messages(seq)
        self._let_go(member, 0, seq)
        self._tend(member.feed, [])

    def bring(self, member: Member) -> None:
        """Have the member hear what it misses, and hold it until then."""
        member.hold()
        self._tasks.start(self.bring_held(member))

    async def bring_held(self, member: Member) -> None:
        """Bring what a held member misses, then end the hold.

        Tried again and again while the store is away and the client is there. One that has left
        still hears of the change by which it did.
        """
        await member.connection.ready
        for pause in pauses():
            if member.connection.ended or (member.left and not member.is_behind):
                break
            if await self._is_brought(member):
                break
            await asyncio.sleep(pause)
        if member.admitted:
            member.release()
        else:
            self._abandon(member)

    def _let_go(self, member: Member, version: int, seq: int) -> None:
        """End a hold; what is between the client's reading and the feed's beginning comes first.

        Of several that join at the same time, the first to be admitted says where the feed begins.
        What others have read earlier ends before that.
        """
        member.knows(version=version, seq=seq)
        if member.is_behind:
            self.bring(member)
        member.release()

    async def _is_brought(self, member: Member) -> bool:
        try:
            await self._tell_missing(member)
        except Unavailable:
            return False
        except Exception:
            member.connection.end("busy", retry=True)  # better anew than never up to date
            raise
        return not member.is_behind

    async def _tell_missing(self, member: Member) -> None:
        feed = member.feed
        # First the messages' end, then who may read them: nobody gets what came after it left.
        newest = await self._messages.newest_seq(feed.conversation_id)
        after: int | None = 0
        if isinstance(feed, TripFeed):
            after = await self._tell_trip(member, feed)
        else:
            member.admit(Relation.RIDER)
        if after is not None and member.talks:
            await self._tell_messages(member, after, newest)
            feed.start_messages(newest)
            self._tend(feed, [])

    async def _tell_trip(self, member: Member, feed: TripFeed) -> int | None:
        """The seq after which the member reads the chat, by what is told; None if it does not."""
        record = await self._trips.get(feed.trip_id)
        identity = member.connection.identity
        relation = record and record.trip.relation_of(identity)
        if record is None:
            return None
        if not member.admitted:
            if relation in (None, Relation.STAFF):
                return None  # a stranger by now; staff follows nothing unasked
            member.knows(version=followed_since(record.trip, identity.key) - 1)
        _tell_versions(member, record.trip)
        newly_driving = feed.know(record.trip)
        if relation and not member.admitted and feed.admit(member, relation):
            newly_driving.append(member)
        self._tend(feed, newly_driving)
        return chat_after(record, relation) if relation in TALKING else None

    async def _tell_messages(self, member: Member, after: int, newest: int) -> None:
        after = max(after, member.heard[SEQS])
        while after < newest:
            up_to = min(after + MAX_PAGE, newest)
            page = await self._messages.between(member.feed.conversation_id, after, up_to)
            for message in page:
                if not member.connection.owns(message):
                    member.tell(SEQS, message.seq, Encoded(message.event, message))
            after = up_to
        member.knows(seq=newest)


def trip_feed(member: Member) -> TripFeed:
    if not isinstance(member.feed, TripFeed):
        raise TypeError(f"{member.feed.room} is no trip's room")
    return member.feed


def _tell_versions(member: Member, trip: Trip) -> None:
    """The changes that the client does not know; of a driver's, only those that concern it."""
    identity = member.connection.identity
    concerned = True
    for event in events_after(trip, member.heard[VERSIONS]):
        before, concerned = concerned, concerns(identity, event.driver_id, event.offer)
        if before or concerned:
            status = TripStatus.of(trip.id, event)
            fact = WatchedStatus.of(status) if identity.role is Role.VIEWER else status
            member.tell(VERSIONS, event.version, Encoded(status.event, fact))
    member.knows(version=trip.version)
