"""What one client has heard of one trip: as events in which order, and besides from answers."""

import asyncio
from collections import Counter
from collections.abc import Iterable

from msgspec import Struct

from models.facts import TripStatus
from models.fields import Id
from models.messages import Message
from models.trips import ENDED, Status, Trip


class Author(Struct, frozen=True):
    """What makes a message one: whoever sent it, and its name for it."""

    sender_id: Id
    client_id: Id


class Numbered:
    """Events numbered 1, 2, 3, … as one client gets them."""

    def __init__(self, *, gapless: bool) -> None:
        """`gapless`: all of them come as events, so that a number left out is out of order."""
        self.known: set[int] = set()
        self.heard_at: dict[int, float] = {}
        self.doubled = 0
        self.out_of_order = 0
        self._gapless = gapless
        self._newest = 0
        self._read_up_to = 0

    def hear(self, number: int, now: float) -> None:
        """An event."""
        if number in self.heard_at or number <= self._read_up_to:
            self.doubled += 1
            return
        leaves_out = self._gapless and self._newest > 0 and number > self._newest + 1
        if number < self._newest or leaves_out:
            self.out_of_order += 1
        self.heard_at[number] = now
        self.known.add(number)
        self._newest = max(self._newest, number)

    def read(self, numbers: Iterable[int], up_to: int) -> None:
        """What a snapshot holds: nothing of it may come as an event any more."""
        self.known.update(numbers)
        self._read_up_to = max(self._read_up_to, up_to)
        self._newest = max(self._newest, up_to)

    def know(self, number: int) -> None:
        """From an answer to the client's own command; the event may come besides."""
        self.known.add(number)

    @property
    def known_without_gap(self) -> int:
        """Up to which number all are known."""
        number = 0
        while number + 1 in self.known:
            number += 1
        return number

    def missing(self, first: int, last: int) -> int:
        """How many of these are not known."""
        return sum(number not in self.known for number in range(first, last + 1))


class Journal:
    def __init__(self) -> None:
        self.versions = Numbered(gapless=True)
        self.messages = Numbered(gapless=False)
        self.over = asyncio.Event()
        """Set once the client knows that the ride has ended."""
        self._authors: dict[int, Author] = {}

    def hear_status(self, status: TripStatus, now: float) -> None:
        self.versions.hear(status.version, now)
        self._note_end(status.status)

    def hear_message(self, message: Message, now: float) -> None:
        self.messages.hear(message.seq, now)
        self._note_author(message)

    def read_trip(self, trip: Trip) -> None:
        """The trip in a snapshot or as a new session begins."""
        self.versions.read([event.version for event in trip.events], trip.version)
        self._note_end(trip.status)

    def read_messages(self, messages: Iterable[Message], last_seq: int) -> None:
        """The messages in a snapshot, and the newest that there was."""
        messages = list(messages)
        self.messages.read([message.seq for message in messages], last_seq)
        for message in messages:
            self._note_author(message)

    def know_message(self, message: Message) -> None:
        """The client's own, from the answer to its sending."""
        self.messages.know(message.seq)
        self._note_author(message)

    @property
    def stored_again(self) -> int:
        """Messages that are in the conversation more than once, under several numbers."""
        return sum(times - 1 for times in Counter(self._authors.values()).values())

    def _note_author(self, message: Message) -> None:
        self._authors[message.seq] = Author(message.sender_id, message.client_id)

    def _note_end(self, status: Status) -> None:
        if status in ENDED:
            self.over.set()
