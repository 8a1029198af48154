"""A world for handlers: stores in memory that keep the promises of `models.stores`, a clock that
stands still, and everything that was told.

Each call on a store lets others go first, so that what runs at once really interleaves.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from handlers import access
from handlers.answers import Answer
from handlers.chat import ChatHandler
from handlers.locations import LocationHandler
from handlers.sessions import SessionHandler
from handlers.snapshots import Snapshots
from handlers.trips import TripHandler
from models import commands, rooms
from models.collections import revocation_key
from models.commands import DriverAvailability
from models.errors import Unavailable
from models.facts import Fact, TripLocation
from models.fields import Id, Millis, new_id
from models.identity import Identity, Role
from models.messages import Conversation, Draft, Message, Read
from models.points import Place, Point, Sighting
from models.presence import PresenceLimits
from models.revocations import Revocation
from models.rooms import Room
from models.stores import PinGuard, Stores, TripChange, TripQuery, TripRecord
from models.tracks import Served, TrackMinute, stints
from models.trips import Status, Trip, followers

NOW = 1_800_000_000_000
DAY_MS = 86_400_000
LOCATIONS_PER_S = 5
ARRIVAL_RADIUS_M = 250
HERE, THERE = Place(52.5, 13.4), Place(48.1, 11.6)
WAY_TO: dict[str, list[str]] = {
    "requested": [],
    "accepted": ["accepted"],
    "arriving": ["accepted", "arriving"],
    "arrived": ["accepted", "arrived"],
    "in_progress": ["accepted", "arrived", "in_progress"],
    "completed": ["accepted", "arrived", "in_progress", "completed"],
    "cancelled": ["accepted", "cancelled"],
    "unfulfilled": ["unfulfilled"],
}


def rider(user_id: str) -> Identity:
    return Identity(user_id, Role.RIDER, expires_at=NOW + DAY_MS)


def driver(user_id: str) -> Identity:
    return Identity(user_id, Role.DRIVER, expires_at=NOW + DAY_MS)


def agent(user_id: str) -> Identity:
    return Identity(user_id, Role.AGENT, expires_at=NOW + DAY_MS)


def viewer(user_id: str, *trips: str) -> Identity:
    return Identity(user_id, Role.VIEWER, expires_at=NOW + DAY_MS, trips=frozenset(trips))


RITA, DAN, EVE, ANN = rider("rita"), driver("dan"), driver("eve"), agent("ann")
SERVICE = Identity("backend", Role.SERVICE, expires_at=NOW + DAY_MS)


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> Millis:
        return self.now

    def advance(self, ms: int) -> None:
        self.now += ms


class Later:
    """What is to be called later, once somebody lets the time go by."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._passed = 0
        self._calls: list[tuple[Millis, Callable[[], None]]] = []

    def __call__(self, in_ms: Millis, call: Callable[[], None]) -> None:
        self._calls.append((self._passed + in_ms, call))

    @property
    def timers(self) -> int:
        return len(self._calls)

    def pass_by(self, ms: int) -> None:
        """Let so many ms go by, and call what is due on the way."""
        for _ in range(ms):
            self._clock.advance(1)
            self._passed += 1
            due = [call for at, call in self._calls if at <= self._passed]
            self._calls = [(at, call) for at, call in self._calls if at > self._passed]
            for call in due:
                call()


class Told(Struct, frozen=True):
    """A fact, the room that it was told to, whom it is of, and the trip's version."""

    room: Room
    fact: Fact
    source: str = ""
    version: int = 0


async def _others_first() -> None:
    await asyncio.sleep(0)


class MemoryTrips:
    def __init__(self) -> None:
        self._records: dict[Id, TripRecord] = {}
        self._created: dict[tuple[str, Id], Id] = {}
        self._guards: dict[Id, PinGuard] = {}

    async def create(self, record: TripRecord) -> TripRecord:
        await _others_first()
        trip_id = self._created.setdefault((record.creator, record.client_id), record.trip.id)
        return self._records.setdefault(trip_id, record)

    async def get(self, trip_id: Id) -> TripRecord | None:
        await _others_first()
        return self._records.get(trip_id)

    async def replace(self, record: TripRecord, version: int) -> bool:
        await _others_first()
        stored = self._records.get(record.trip.id)
        if stored is None or stored.trip.version != version:
            return False
        self._records[record.trip.id] = record
        return True

    async def followed_by(self, key: str, now: Millis) -> Sequence[TripRecord]:
        await _others_first()
        return [
            record
            for record in self._records.values()
            if key in followers(record.trip)
            and (record.chat_until is None or record.chat_until > now)
        ]

    async def matching(
        self, query: TripQuery, before: Id | None, limit: int
    ) -> Sequence[TripRecord]:
        await _others_first()
        found = [
            record
            for trip_id, record in sorted(self._records.items(), reverse=True)
            if (before is None or trip_id < before)
            and query.rider_id in (None, record.trip.rider_id)
            and query.driver_id in (None, record.trip.driver_id)
            and query.status in (None, record.trip.status)
        ]
        return found[:limit]

    async def versions(self, trip_ids: Sequence[Id]) -> Mapping[Id, int]:
        await _others_first()
        stored = {trip_id: self._records.get(trip_id) for trip_id in trip_ids}
        return {trip_id: record.trip.version for trip_id, record in stored.items() if record}

    async def changed(self, since: Millis, until: Millis | None) -> Sequence[TripChange]:
        await _others_first()
        trips = (record.trip for record in self._records.values())
        return [
            TripChange(trip.id, trip.version, followers(trip))
            for trip in trips
            if trip.updated_at >= since and (until is None or trip.updated_at < until)
        ]

    async def with_expired_offer(self, now: Millis, limit: int) -> Sequence[Id]:
        await _others_first()
        ends = {
            trip_id: record.trip.offer.expires_at
            for trip_id, record in self._records.items()
            if record.trip.offer and record.trip.offer.expires_at is not None
        }
        expired = [trip_id for trip_id, end in ends.items() if end <= now]
        return sorted(expired, key=lambda trip_id: ends[trip_id])[:limit]

    async def served_by(self, driver_ids: Collection[Id], since: Millis) -> Sequence[Served]:
        await _others_first()
        served = (Served(r.trip.id, stints(r.trip)) for r in self._records.values())
        return [
            trip
            for trip in served
            if any(s.driver_id in driver_ids and s.until > since for s in trip.stints)
        ]

    async def served_lately(self, since: Millis) -> Sequence[Served]:
        await _others_first()
        changed = (r.trip for r in self._records.values() if r.trip.updated_at >= since)
        return [Served(trip.id, found) for trip in changed if (found := stints(trip))]

    async def set_distance(self, trip_id: Id, distance_m: int) -> None:
        await _others_first()
        record = self._records[trip_id]
        most = max(distance_m, record.trip.distance_m or 0)
        self._records[trip_id] = replace(record, trip=replace(record.trip, distance_m=most))

    async def pin_guard(self, trip_id: Id) -> PinGuard:
        await _others_first()
        return self._guards.get(trip_id, PinGuard())

    async def replace_pin_guard(self, trip_id: Id, old: PinGuard, new: PinGuard) -> bool:
        await _others_first()
        if self._guards.get(trip_id, PinGuard()) != old:
            return False
        self._guards[trip_id] = new
        return True


class MemoryMessages:
    def __init__(self) -> None:
        self._messages: dict[Id, list[Message]] = {}

    async def append(self, draft: Draft, sender_id: Id, sent_at: Millis) -> tuple[Message, bool]:
        await _others_first()
        stored = self._find(draft, sender_id)
        if stored is not None:
            return stored, False
        conversation = self._messages.setdefault(draft.conversation_id, [])
        message = Message(
            id=new_id(sent_at),
            conversation_id=draft.conversation_id,
            seq=len(conversation) + 1,
            sender_id=sender_id,
            client_id=draft.client_id,
            kind=draft.kind,
            text=draft.text,
            data=draft.data,
            sent_at=sent_at,
        )
        conversation.append(message)
        return message, True

    async def find(self, draft: Draft, sender_id: Id) -> Message | None:
        await _others_first()
        return self._find(draft, sender_id)

    async def between(self, conversation_id: Id, after: int, up_to: int) -> Sequence[Message]:
        await _others_first()
        messages = self._messages.get(conversation_id, [])
        return [message for message in messages if after < message.seq <= up_to]

    async def newest_seq(self, conversation_id: Id) -> int:
        await _others_first()
        return len(self._messages.get(conversation_id, []))

    async def continued(self, known: Mapping[Id, int]) -> Collection[Id]:
        await _others_first()
        return {
            conversation_id
            for conversation_id, seq in known.items()
            if len(self._messages.get(conversation_id, ())) > seq
        }

    async def newest_seqs(self, conversation_ids: Collection[Id]) -> Mapping[Id, int]:
        await _others_first()
        return {
            each: len(self._messages[each]) for each in conversation_ids if each in self._messages
        }

    def _find(self, draft: Draft, sender_id: Id) -> Message | None:
        for message in self._messages.get(draft.conversation_id, []):
            if (message.sender_id, message.client_id) == (sender_id, draft.client_id):
                return message
        return None


class MemoryConversations:
    def __init__(self) -> None:
        self._conversations: dict[Id, Conversation] = {}
        self._created: dict[tuple[str, Id], Id] = {}

    async def create(self, conversation: Conversation, creator: str, client_id: Id) -> Conversation:
        await _others_first()
        key = creator, client_id
        conversation_id = self._created.setdefault(key, conversation.id)
        return self._conversations.setdefault(conversation_id, conversation)

    async def get(self, conversation_id: Id) -> Conversation | None:
        await _others_first()
        return self._conversations.get(conversation_id)

    async def close(self, conversation_id: Id, at: Millis) -> None:
        await _others_first()
        stored = self._conversations.get(conversation_id)
        if stored is not None and stored.closed_at is None:
            self._conversations[conversation_id] = replace(stored, closed_at=at)

    async def open_with(self, user_id: Id) -> Sequence[Conversation]:
        await _others_first()
        return [
            conversation
            for conversation in self._conversations.values()
            if user_id in conversation.participants and conversation.closed_at is None
        ]

    async def opened(self, since: Millis, until: Millis | None) -> Mapping[Id, Collection[Id]]:
        await _others_first()
        return {
            conversation_id: list(conversation.participants)
            for conversation_id, conversation in self._conversations.items()
            if conversation.closed_at is None
            and conversation.created_at >= since
            and (until is None or conversation.created_at < until)
        }


class MemoryReceipts:
    def __init__(self) -> None:
        self._read: dict[tuple[Id, Id], Read] = {}

    async def advance(self, conversation_id: Id, user_id: Id, read: Read) -> Read:
        await _others_first()
        key = conversation_id, user_id
        old = self._read.get(key, Read())
        self._read[key] = Read(
            max(old.delivered_seq, read.delivered_seq, read.read_seq),
            max(old.read_seq, read.read_seq),
        )
        return self._read[key]

    async def of(self, conversation_id: Id) -> Mapping[Id, Read]:
        await _others_first()
        return {user: read for (chat, user), read in self._read.items() if chat == conversation_id}

    async def of_user(self, user_id: Id, conversation_ids: Collection[Id]) -> Mapping[Id, Read]:
        await _others_first()
        return {
            chat: read
            for (chat, user), read in self._read.items()
            if user == user_id and chat in conversation_ids
        }


class MemoryRevocations:
    """`away` is whether the store does not answer."""

    def __init__(self) -> None:
        self.away = False
        self._kept: dict[str, Revocation] = {}

    async def add(self, revocation: Revocation) -> None:
        await self._answer()
        stored = self._kept.setdefault(revocation_key(revocation), revocation)
        if revocation.at > stored.at:
            self._kept[revocation_key(revocation)] = revocation

    async def all(self) -> Sequence[Revocation]:
        return await self.since(0)

    async def since(self, at: Millis) -> Sequence[Revocation]:
        await self._answer()
        return [revocation for revocation in self._kept.values() if revocation.at >= at]

    async def _answer(self) -> None:
        await _others_first()
        if self.away:
            raise Unavailable("the store is away")


class MemoryTracks:
    def __init__(self) -> None:
        self.points: dict[TrackMinute, set[Point]] = {}
        self.asked: list[int] = []
        """For how many minutes each reading was."""

    async def add(self, points: Mapping[TrackMinute, Sequence[Point]]) -> None:
        await _others_first()
        for minute, found in points.items():
            self.points.setdefault(minute, set()).update(found)

    async def read(self, minutes: Sequence[TrackMinute]) -> Sequence[Point]:
        await _others_first()
        self.asked.append(len(minutes))
        found = (point for minute in minutes for point in self.points.get(minute, ()))
        return sorted(found, key=lambda point: (point.ts, point.seq))


class MemoryDrivers:
    def __init__(self) -> None:
        self._sightings: dict[Id, Sighting] = {}
        self._status: dict[Id, DriverAvailability] = {}
        self.recorded: dict[Id, list[Point]] = {}
        self.is_full = False

    def saw(self, sighting: Sighting, points: Sequence[Point] = ()) -> None:
        self._sightings[sighting.driver_id] = sighting
        if points:
            self.record(sighting.driver_id, points)

    def record(self, driver_id: Id, points: Sequence[Point]) -> None:
        self.recorded.setdefault(driver_id, []).extend(points)

    def has_room(self) -> bool:
        return not self.is_full

    def is_safe(self, _driver_id: Id) -> bool:
        return True

    def tell_when_safe(self, _driver_id: Id, told: Callable[[bool], None]) -> None:
        told(True)

    async def newest(self, driver_id: Id) -> Sighting | None:
        return self._sightings.get(driver_id)

    async def set_status(self, driver_id: Id, status: DriverAvailability) -> None:
        self._status[driver_id] = status

    async def status(self, driver_id: Id) -> DriverAvailability | None:
        return self._status.get(driver_id)

    def came(self, driver_id: Id, status: DriverAvailability | None) -> None:
        del driver_id, status

    def went(self, driver_id: Id) -> None: ...


def memory_stores(trips: MemoryTrips | None = None) -> Stores:
    return Stores(
        trips or MemoryTrips(),
        MemoryMessages(),
        MemoryConversations(),
        MemoryReceipts(),
        MemoryRevocations(),
        MemoryTracks(),
    )


class World:
    """All handlers on the same stores."""

    def __init__(
        self, trips: MemoryTrips | None = None, arrival_radius_m: int = ARRIVAL_RADIUS_M
    ) -> None:
        self.clock = Clock()
        self.stores = memory_stores(trips)
        self.drivers = MemoryDrivers()
        self.told: list[Told] = []
        self.trips = TripHandler(
            self.stores,
            self.publish,
            self.clock,
            self.drivers,
            chat_after_end_ms=DAY_MS,
            arrival_radius_m=arrival_radius_m,
        )
        self.chat = ChatHandler(self.stores, self.publish, self.clock)
        self.later = Later(self.clock)
        self.locations = LocationHandler(
            self.drivers, self.show, self.clock, self.later, per_s=LOCATIONS_PER_S
        )
        self.sessions = SessionHandler(self.stores, self.drivers, self.clock)
        self.snapshots = Snapshots(self.stores, self.drivers, PresenceLimits(), self.clock)

    def show(self, trips: tuple[str, ...], point: Point, driver_id: str, seen_at: int) -> None:
        for trip_id in trips:
            self.publish(rooms.live(trip_id), TripLocation.of(trip_id, point), source=driver_id)

    def publish(self, room: Room, fact: Fact, *, source: str = "", version: int = 0) -> None:
        self.told.append(Told(room, fact, source, version))

    def new_facts(self) -> list[Told]:
        """What was told since this was asked the last time."""
        told, self.told = self.told, []
        return told

    async def give(self, caller: Identity, command: Struct) -> Answer:
        """Give a command as the gateway does: the role first, then the handler."""
        event: str = command.event  # type: ignore[attr-defined]
        access.require_role(caller, event)
        return await self._handlers()[type(command)](caller, command)

    async def new_trip(self, **fields: Any) -> Trip:
        """A trip of rita's, requested by herself; by staff, where that names a driver."""
        creator = ANN if "driver_id" in fields else RITA
        command = commands.TripCreate(
            client_id=new_id(), pickup=HERE, dropoff=THERE, rider_id="rita", **fields
        )
        return (await self.trips.create(creator, command)).trip

    async def trip_in(self, status: str, *, driver_id: str = "dan", **fields: Any) -> Trip:
        """A trip that staff has moved to this state, and of which nothing is in `told`."""
        trip = await self.new_trip(**fields)
        for step in WAY_TO[status]:
            trip = await self.move(ANN, trip, step, driver_id=driver_id)
        self.told.clear()
        return trip

    async def move(self, caller: Identity, trip: Trip, to: str, **fields: Any) -> Trip:
        command = commands.TripUpdate(trip.id, Status(to), **fields)
        return (await self.trips.update(caller, command)).trip

    async def stored(self, trip_id: Id) -> TripRecord:
        record = await self.stores.trips.get(trip_id)
        assert record is not None
        return record

    async def say(
        self, caller: Identity, conversation_id: Id, text: str, *, client_id: Id | None = None
    ) -> Message:
        draft = Draft(conversation_id=conversation_id, client_id=client_id or new_id(), text=text)
        return (await self.chat.send(caller, draft)).message

    async def write(self, conversation_id: Id, count: int) -> None:
        """That many messages of rita's, straight into the store."""
        for _ in range(count):
            draft = Draft(conversation_id=conversation_id, client_id=new_id(), text="hello")
            await self.stores.messages.append(draft, "rita", self.clock())

    async def support(self, *participants: str) -> Conversation:
        """An open conversation that is no trip's."""
        command = commands.ChatOpen(new_id(), participants)
        return (await self.chat.open(ANN, command)).conversation

    def _handlers(self) -> dict[type[Struct], Callable[[Identity, Any], Awaitable[Answer]]]:
        return {
            commands.TripCreate: self.trips.create,
            commands.TripOffer: self.trips.offer,
            commands.TripDecline: self.trips.decline,
            commands.TripUpdate: self.trips.update,
            commands.TripEdit: self.trips.edit,
            commands.TripSubscribe: self._subscribe,
            Draft: self.chat.send,
            commands.ChatHistory: self.chat.history,
            commands.MarkRead: self._mark_read,
            commands.ShowTyping: self.chat.show_typing,
            commands.ChatOpen: self.chat.open,
            commands.ChatClose: self.chat.close,
        }

    async def _subscribe(self, caller: Identity, command: commands.TripSubscribe) -> Answer:
        return (await self.snapshots.of(caller, command)).snapshot

    async def _mark_read(self, caller: Identity, command: commands.MarkRead) -> Answer:
        return await self.chat.mark_read(caller, command, "a connection")
