"""What a rider's and a driver's app do alike: follow a ride, talk, catch up after a break."""

import asyncio
import time
from contextlib import suppress
from typing import Final

from aiohttp import ClientSession
from msgspec import Struct

from handlers.answers import Answer, Marked, Sent, SessionReady
from models.commands import MarkRead, TripSubscribe, TripUnsubscribe
from models.facts import TripStatus
from models.fields import Id, new_id
from models.messages import Draft, Message
from models.points import Point
from models.trips import Trip
from realtime.simulation.journal import Author, Journal
from realtime.simulation.link import Account, CommandFailed, Link
from realtime.simulation.record import RideRecord
from realtime.simulation.tally import Tally
from realtime.tasks import Tasks

LEAVE_S: Final = 5.0
"""How long to wait for the news that a ride is over."""


class Snapshot(Struct, frozen=True):
    """What a party reads in the answer to `trip:subscribe`."""

    trip: Trip
    location: Point | None
    messages: list[Message]
    last_seq: int


class App:
    """An app shows one ride at a time. What it hears of others, it notes all the same."""

    def __init__(self, account: Account, tally: Tally, http: ClientSession) -> None:
        self.link = Link(account, tally, http)
        self.link.on_begin = self._begin_session
        self.link.on_gone = self._be_offline
        self.link.on(TripStatus.event, TripStatus, self._hear_status)
        self.link.on(Message.event, Message, self._hear_message)
        self._tally = tally
        self._tasks = Tasks()
        self._journals: dict[Id, Journal] = {}
        self._own: set[Id] = set()
        self._watching: Id | None = None

    @property
    def user_id(self) -> Id:
        return self.link.user_id

    def journal(self, trip_id: Id) -> Journal:
        """What was heard of a trip; news of it may come before the app knows what it is."""
        return self._journals.setdefault(trip_id, Journal())

    @property
    def heard_of_others(self) -> int:
        """Events of trips that are not the user's."""
        foreign = (j for trip_id, j in self._journals.items() if trip_id not in self._own)
        return sum(len(j.versions.heard_at) + len(j.messages.heard_at) for j in foreign)

    def begin(self, trip_id: Id, record: RideRecord) -> None:
        """A trip is the user's."""
        self._own.add(trip_id)

    async def close(self) -> None:
        await self._tasks.stop()
        await self.link.close()

    async def subscribe(self, trip_id: Id) -> None:
        """Look at a trip, also on the connections to come, until `leave`. Raises CommandFailed."""
        self._watching = trip_id
        after_seq = self.journal(trip_id).messages.known_without_gap or None
        await self.link.ask(TripSubscribe(trip_id, after_seq), Snapshot, self._read_snapshot)

    async def leave(self, trip_id: Id) -> None:
        """Look away, once the app knows that the ride is over. Raises CommandFailed."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self.journal(trip_id).over.wait(), LEAVE_S)
        self._watching = None
        await self.link.ask(TripUnsubscribe(trip_id), Answer)

    async def send(self, trip_id: Id, text: str, record: RideRecord) -> None:
        """Write into the ride's chat. Raises CommandFailed."""
        draft = Draft(conversation_id=trip_id, client_id=new_id(), text=text)
        author = Author(self.user_id, draft.client_id)

        def note(sent: Sent) -> None:
            record.stored(author, sent.message.seq)
            self.journal(trip_id).know_message(sent.message)

        record.drafted(author, time.perf_counter())
        await self.link.ask(draft, Sent, note)

    def _begin_session(self, ready: SessionReady) -> None:
        """A connection follows trips and chats by itself; what one looks at, it has to ask for."""
        for trip in ready.trips:
            self.journal(trip.id).read_trip(trip)
        if self._watching is not None:
            self._tasks.start(self._catch_up(self._watching))

    def _be_offline(self) -> None:
        """The connection is gone."""

    async def _catch_up(self, trip_id: Id) -> None:
        with suppress(CommandFailed):
            await self.subscribe(trip_id)

    def _read_snapshot(self, snapshot: Snapshot) -> None:
        journal = self.journal(snapshot.trip.id)
        journal.read_trip(snapshot.trip)
        journal.read_messages(snapshot.messages, snapshot.last_seq)

    def _hear_status(self, status: TripStatus) -> None:
        self.journal(status.trip_id).hear_status(status, time.perf_counter())

    def _hear_message(self, message: Message) -> None:
        self.journal(message.conversation_id).hear_message(message, time.perf_counter())
        if message.sender_id != self.user_id:
            self._tasks.start(self._mark_read(message))

    async def _mark_read(self, message: Message) -> None:
        read = MarkRead(message.conversation_id, message.seq, message.seq)
        with suppress(CommandFailed):
            await self.link.ask(read, Marked)
