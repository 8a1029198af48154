"""What an app knows of trips and conversations: what it shows, and what it asks for next."""

from collections.abc import Iterable

import msgspec

from chaos.load.record import now
from handlers.answers import SessionReady
from models.facts import TripStatus, WatchedStatus
from models.fields import Id
from models.identity import Role
from models.messages import Message
from models.trips import ENDED, Event, Offer, Status, Trip, WatchedTrip


class Numbers:
    """Messages by their seq: up to where all are known, and what is known beyond that."""

    def __init__(self) -> None:
        self.through = 0
        self._beyond: set[int] = set()
        self._begins_anywhere = False

    def hear(self, seq: int) -> None:
        if self._begins_anywhere and seq > self.through:
            self.through = seq - 1
        self._begins_anywhere = False
        self._beyond.add(seq)
        self._join()

    def cover(self, seq: int) -> None:
        """All up to here were read, as far as they are the app's to read."""
        self.through = max(self.through, seq)
        self._join()

    def ask_again(self) -> None:
        """A new connection: what was the next on the old one may have come in between."""
        self._begins_anywhere = False

    def cover_nothing(self) -> None:
        """A reading from here on was empty: whatever comes next is the next."""
        if self._beyond:
            self.cover(min(self._beyond))
        elif not self.through:
            self._begins_anywhere = True

    def _join(self) -> None:
        while self.through + 1 in self._beyond:
            self.through += 1
            self._beyond.discard(self.through)


class KnownTrip:
    """A trip as the app knows it."""

    def __init__(self, trip_id: Id) -> None:
        self.id = trip_id
        self.asked_at = now()
        self.version = 0
        """0 until the app has been told anything of it."""
        self.status: Status | None = None
        self.driver_id: Id | None = None
        self.offer: Offer | None = None
        self.watches = False
        """Whether the app has it on its screen, and subscribes again when it comes back."""
        self.follows = True
        """Whether it is something to the app."""
        self.talks = False
        """Whether its messages are for the app."""
        self.seqs = Numbers()

    @property
    def has_ended(self) -> bool:
        return self.status in ENDED


class Ledger:
    """The newest that any app knows of each trip and conversation: what all have to hear."""

    def __init__(self) -> None:
        self.at = now()
        self.versions: dict[Id, int] = {}
        self.seqs: dict[Id, int] = {}

    def note_version(self, trip_id: Id, version: int) -> None:
        self.versions[trip_id] = max(self.versions.get(trip_id, 0), version)

    def note_seq(self, conversation_id: Id, seq: int) -> None:
        self.seqs[conversation_id] = max(self.seqs.get(conversation_id, 0), seq)

    def copy(self) -> "Ledger":
        copied = Ledger()
        copied.versions, copied.seqs = dict(self.versions), dict(self.seqs)
        return copied


class Knowledge:
    """Everything that one app knows."""

    def __init__(self, role: Role, user_id: Id, ledger: Ledger) -> None:
        self.trips: dict[Id, KnownTrip] = {}
        self.chats: dict[Id, Numbers] = {}
        """Of support's conversations."""
        self.closed: set[Id] = set()
        """Of these, the ones that were closed and read to their end."""
        self.unread: list[Id] = []
        """Trips that the app has just come to drive, and whose messages it has yet to read."""
        self._role = role
        self._user_id = user_id
        self._ledger = ledger

    def trip(self, trip_id: Id) -> KnownTrip:
        known = self.trips.get(trip_id)
        if known is None:
            known = self.trips[trip_id] = KnownTrip(trip_id)
            known.seqs = self.chats.pop(trip_id, known.seqs)  # it may have talked there before
        return known

    def learn_trip(self, trip: Trip | WatchedTrip) -> KnownTrip:
        """A trip as an answer or a new session has it."""
        known = self.trip(trip.id)
        if trip.version >= known.version:
            if isinstance(trip, Trip):
                self._set(known, trip.events[-1])
            else:
                known.version, known.status = trip.version, trip.status
                self._ledger.note_version(trip.id, trip.version)
        return known

    def hear_status(self, payload: dict[str, object]) -> None:
        if self._role is Role.VIEWER:
            seen = msgspec.convert(payload, WatchedStatus)
            known = self.trip(seen.trip_id)
            known.version, known.status = max(known.version, seen.version), seen.status
        else:
            status = msgspec.convert(payload, TripStatus)
            known = self.trip(status.trip_id)
            if status.version > known.version:
                self._set(known, status)
        self._ledger.note_version(known.id, known.version)

    def hear_message(self, message: Message) -> None:
        self.seqs(message.conversation_id).hear(message.seq)
        self._ledger.note_seq(message.conversation_id, message.seq)

    def read_messages(
        self, conversation_id: Id, messages: Iterable[Message], up_to: int | None
    ) -> None:
        """All that follows what was known, up to this seq; None where that was nothing."""
        for message in messages:
            self._ledger.note_seq(conversation_id, message.seq)
        if up_to is None:
            self.seqs(conversation_id).cover_nothing()
        else:
            self.seqs(conversation_id).cover(up_to)

    def seqs(self, conversation_id: Id) -> Numbers:
        known = self.trips.get(conversation_id)
        if known is not None:
            return known.seqs
        return self.chats.setdefault(conversation_id, Numbers())

    def lost(self, trip_id: Id) -> None:
        """The trip is nothing to the app any more."""
        known = self.trip(trip_id)
        known.follows = known.talks = known.watches = False

    def begin(self) -> None:
        """A new connection."""
        for seqs in (*self.chats.values(), *(trip.seqs for trip in self.trips.values())):
            seqs.ask_again()

    def unsure_of(self, ready: SessionReady) -> list[KnownTrip]:
        """Trips to ask about as a session begins: what is shown, and what is not listed."""
        listed = {trip.id for trip in ready.trips}
        return [
            known
            for known in self.trips.values()
            if known.follows and (known.watches or (known.id not in listed and not known.has_ended))
        ]

    def closed_by(self, ready: SessionReady) -> list[Id]:
        """Support's conversations that a session lists no more, and whose end is yet to be read."""
        listed = {conversation.id for conversation in ready.conversations}
        return [chat_id for chat_id in self.chats if chat_id not in listed | self.closed]

    @property
    def talks(self) -> dict[Id, Numbers]:
        """The conversations that are the app's: of trips in the order of their coming, others."""
        return {trip.id: trip.seqs for trip in self.trips.values() if trip.talks} | self.chats

    def lags(self, due: Ledger) -> list[str]:
        """What the app should know by now and does not: nothing of what it asked for since."""
        behind = [
            f"{known.id} version {known.version} of {due.versions[known.id]}"
            for known in self.trips.values()
            if known.follows
            and known.version < due.versions.get(known.id, 0)
            and (known.version or known.asked_at <= due.at)
        ]
        return behind + [
            f"{chat_id} seq {seqs.through} of {due.seqs[chat_id]}"
            for chat_id, seqs in self.talks.items()
            if seqs.through < due.seqs.get(chat_id, 0)
        ]

    def _set(self, known: KnownTrip, newest: Event | TripStatus) -> None:
        known.version, known.status = newest.version, newest.status
        known.driver_id, known.offer = newest.driver_id, newest.offer
        self._ledger.note_version(known.id, known.version)
        if self._role is Role.DRIVER:
            self._assess(known)
        elif self._role is Role.RIDER:
            known.talks = True

    def _assess(self, known: KnownTrip) -> None:
        drives = known.driver_id == self._user_id
        if drives and not known.talks:
            self.unread.append(known.id)
        offered = known.offer is not None and known.offer.driver_id == self._user_id
        known.follows, known.talks = drives or offered, drives
        if not known.follows:
            known.watches = False
        if not drives:
            known.seqs = Numbers()
