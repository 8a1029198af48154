"""What is kept, as the handlers see it: promises, not collections.

Everything here is durable when it returns (majority write concern, journal), reads what the
majority has (primary, majority read concern), and raises Unavailable when the store does not answer
in time: the outcome of a write is then unknown.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from msgspec import Struct

from models.fields import Id, Millis
from models.messages import Conversation, Draft, Message, Read
from models.points import Point
from models.revocations import Revocation
from models.tracks import Served, TrackMinute
from models.trips import Status, Trip


class TripRecord(Struct, frozen=True, kw_only=True):
    """A trip with what is kept beside it and shown to nobody.

    `creator` is the key of who created it, `chat_from` the newest message's seq when the trip's
    driver accepted: the driver reads what follows. `chat_until` (ms) is when the trip's
    conversation takes no more messages, None while the trip runs.
    """

    trip: Trip
    creator: str
    client_id: Id
    chat_from: int = 0
    chat_until: Millis | None = None


class PinGuard(Struct, frozen=True):
    """Wrong pins given for a trip's start, and until when (ms) no further one is looked at."""

    wrong: int = 0
    locked_until: Millis = 0


class TripQuery(Struct, frozen=True):
    """Which trips to list: those that have all that is given."""

    rider_id: Id | None = None
    driver_id: Id | None = None
    status: Status | None = None


class TripChange(Struct, frozen=True):
    """That a trip is at this version now, and the keys of its followers."""

    trip_id: Id
    version: int
    followers: Collection[str]


class Trips(Protocol):
    async def create(self, record: TripRecord) -> TripRecord:
        """Store a new trip; the stored one if (`creator`, `client_id`) created one already."""

    async def get(self, trip_id: Id) -> TripRecord | None: ...

    async def replace(self, record: TripRecord, version: int) -> bool:
        """Put the record in place of the one at `version`; False if that has moved on."""

    async def followed_by(self, key: str, now: Millis) -> Sequence[TripRecord]:
        """What the user of this key is rider, driver or offered driver of, with an open chat.

        It may wait for others' searches: the caller bounds the time.
        """

    async def matching(
        self, query: TripQuery, before: Id | None, limit: int
    ) -> Sequence[TripRecord]:
        """The newest trips that match, at most `limit`; with `before`, those created before it."""

    async def versions(self, trip_ids: Sequence[Id]) -> Mapping[Id, int]:
        """The versions of these trips; what does not exist is not in it."""

    async def changed(self, since: Millis, until: Millis | None) -> Sequence[TripChange]:
        """The trips whose newest change was made then, by the clock of who made it.

        From `since` on (ms) and before `until`; None is without an end.
        """

    async def with_expired_offer(self, now: Millis, limit: int) -> Sequence[Id]:
        """Trips whose offer's time is over, the longest first."""

    async def served_by(self, driver_ids: Collection[Id], since: Millis) -> Sequence[Served]:
        """What these drivers served at this time (ms) or later; also trips that they were taken
        off. There may be some more among them, and each comes once.
        """

    async def served_lately(self, since: Millis) -> Sequence[Served]:
        """The trips whose newest change was made then (ms) or later, by the clock of who made it.

        Only those that somebody serves or has served.
        """

    async def set_distance(self, trip_id: Id, distance_m: int) -> None:
        """Note what was driven on a trip that has ended: no change of it, and no version.

        Of several the most counts: points that are found later make no way shorter.
        """

    async def pin_guard(self, trip_id: Id) -> PinGuard: ...

    async def replace_pin_guard(self, trip_id: Id, old: PinGuard, new: PinGuard) -> bool:
        """Compare and set; False if another caller was faster."""


class Messages(Protocol):
    async def append(self, draft: Draft, sender_id: Id, sent_at: Millis) -> tuple[Message, bool]:
        """Store a message under the next seq; (message, True).

        If (conversation, sender, `client_id`) is stored already: (the stored one, False).
        """

    async def find(self, draft: Draft, sender_id: Id) -> Message | None:
        """What is stored under the draft's conversation, sender and `client_id`."""

    async def between(self, conversation_id: Id, after: int, up_to: int) -> Sequence[Message]:
        """The messages with `after` < seq <= `up_to`, oldest first."""

    async def newest_seq(self, conversation_id: Id) -> int:
        """The seq of the newest message; 0 in an empty conversation."""

    async def continued(self, known: Mapping[Id, int]) -> Collection[Id]:
        """Which of these conversations have a message after the one of this seq."""

    async def newest_seqs(self, conversation_ids: Collection[Id]) -> Mapping[Id, int]:
        """The same for many; an empty conversation is not in it."""


class Conversations(Protocol):
    async def create(self, conversation: Conversation, creator: str, client_id: Id) -> Conversation:
        """Store a new one; the stored one if (`creator`, `client_id`) created one already.

        `creator` is the key of who creates it.
        """

    async def get(self, conversation_id: Id) -> Conversation | None: ...

    async def close(self, conversation_id: Id, at: Millis) -> None:
        """Close it, if it is still open."""

    async def open_with(self, user_id: Id) -> Sequence[Conversation]:
        """The open conversations that the user takes part in.

        It may wait for others' searches: the caller bounds the time.
        """

    async def opened(self, since: Millis, until: Millis | None) -> Mapping[Id, Collection[Id]]:
        """The participants of open conversations that were created then, by id.

        From `since` on (ms) and before `until`; None is without an end.
        """


class Receipts(Protocol):
    async def advance(self, conversation_id: Id, user_id: Id, read: Read) -> Read:
        """Raise the participant's numbers to at least these; what they are then."""

    async def of(self, conversation_id: Id) -> Mapping[Id, Read]:
        """Every participant's numbers."""

    async def of_user(self, user_id: Id, conversation_ids: Collection[Id]) -> Mapping[Id, Read]:
        """One participant's numbers in many conversations."""


class Tracks(Protocol):
    """Points are kept for the days that the store was opened with, by their `ts`."""

    async def add(self, points: Mapping[TrackMinute, Sequence[Point]]) -> None:
        """Store points of each minute; what is stored already stays as it is.

        What became of each minute is unknown after Unavailable: it may be sent again. Raises
        Internal when one of them cannot be stored; what became of the others is unknown, too.
        """

    async def read(self, minutes: Sequence[TrackMinute]) -> Sequence[Point]:
        """The points of some minutes of one trip and driver, oldest first, each of them once."""


class Revocations(Protocol):
    """Each is kept for `models.revocations.KEPT_MS`."""

    async def add(self, revocation: Revocation) -> None:
        """Store it; of several of one user or token the latest counts."""

    async def all(self) -> Sequence[Revocation]:
        """Every one, in no order. For the start: it may take a minute."""

    async def since(self, at: Millis) -> Sequence[Revocation]:
        """Those that were made `at` (ms) or later, by the clocks of who made them."""


class Stores(Struct, frozen=True):
    """All of them, as they are wired."""

    trips: Trips
    messages: Messages
    conversations: Conversations
    receipts: Receipts
    revocations: Revocations
    tracks: Tracks
