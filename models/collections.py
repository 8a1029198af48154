"""What is kept where: MongoDB's collections, their keys and indexes, and the schema's version."""

from typing import Final

from msgspec import Struct

from models.fields import Id
from models.revocations import Revocation, RevokedToken
from models.tracks import TrackMinute

SCHEMA_VERSION: Final = 1
"""Grows with every change that code of the version before could not work with."""


class Index(Struct, frozen=True):
    """`fields` in order, all ascending. A sparse one leaves out documents without the field.

    Of an expiring one the only field is a date, after which the store drops the document.
    """

    fields: tuple[str, ...]
    unique: bool = False
    sparse: bool = False
    expiring: bool = False

    @property
    def name(self) -> str:
        return "_".join(self.fields)


class Collection(Struct, frozen=True):
    name: str
    indexes: tuple[Index, ...] = ()


TRIPS: Final = Collection(
    "trips",
    (
        # A retried creation finds the trip that the first one stored.
        Index(("creator", "client_id"), unique=True),
        # What a user's connections follow: one entry per follower and trip, by the chat's end.
        # And which trips a driver has been taken off.
        Index(("followers", "chat_until")),
        # What changed lately: connections may not have heard of it.
        Index(("trip.updated_at",)),
        # Offers to end, the longest expired first. Only trips with such an offer are in it.
        Index(("offer_expires_at",), sparse=True),
        # Lists of trips, by the time of their creation, which their ids begin with.
        Index(("trip.rider_id", "_id")),
        Index(("trip.driver_id", "_id")),
        Index(("trip.status", "_id")),
    ),
)
"""One document per trip with its whole history; `_id` is the trip's id."""

PIN_GUARDS: Final = Collection("pin_guards")
"""Wrong pins of trips; `_id` is the trip's id. Apart, so that a wrong pin is no trip's version."""

MESSAGES: Final = Collection(
    "messages",
    (
        # A retried message finds what the first attempt stored.
        Index(("conversation_id", "sender_id", "client_id"), unique=True),
    ),
)
"""One document per message under `message_key`, which makes a seq unique in its conversation."""

CONVERSATIONS: Final = Collection(
    "conversations",
    (
        # A retried opening finds the conversation that the first one stored.
        Index(("creator", "client_id"), unique=True),
        # What a user's connections follow, besides trips.
        Index(("participants", "open")),
        # What was opened lately: participants may not have heard of it.
        Index(("created_at",)),
    ),
)
"""Conversations that are no trip's; `_id` is the conversation's id."""

RECEIPTS: Final = Collection(
    "receipts",
    (
        # Everybody's receipts of one conversation.
        Index(("conversation_id",)),
    ),
)
"""One document per conversation and participant under `receipt_key`."""

REVOCATIONS: Final = Collection(
    "revocations",
    (
        # What was revoked lately, for those who know the rest.
        Index(("at",)),
        # A date: the store itself drops what need not be remembered any more.
        Index(("forget_at",), expiring=True),
    ),
)
"""One document per revoked token and per user whose tokens were, under `revocation_key`."""

TRACKS: Final = Collection(
    "tracks",
    (
        # A date: the store itself drops what is older than `TRACK_DAYS`.
        Index(("forget_at",), expiring=True),
    ),
)
"""One document per minute of a trip and driver under `track_key`, some 5 KB at a point a second.

`chunks` has the points as they came, each chunk under its own digest: so storing one twice is
storing it once. A chunk is msgpack: `[[ts, seq, lat, lng, heading, speed, accuracy], …]`.
"""

SCHEMA: Final = Collection("schema")
"""A single document under `SCHEMA_KEY`: the schema's version, and which indexes were created."""

SCHEMA_KEY: Final = "ridewire"

INDEXED: Final = (TRIPS, PIN_GUARDS, MESSAGES, CONVERSATIONS, RECEIPTS, REVOCATIONS, TRACKS)


def message_key(conversation_id: Id, seq: int) -> str:
    """The `_id` of a message. Ids have no spaces; the digits keep a conversation's keys in order.

    As seqs have no holes, a conversation is read by keys that can be told beforehand: point
    look-ups in the index that every collection has, and no other index to keep.
    """
    return f"{conversation_id} {seq:010d}"


def receipt_key(conversation_id: Id, user_id: Id) -> str:
    """The `_id` of a participant's receipt. Ids have no spaces."""
    return f"{conversation_id} {user_id}"


def track_key(of: TrackMinute) -> str:
    """The `_id` of a track's minute. Ids have no spaces; which minutes there can be is known from
    the trip, so a track is read by point look-ups.
    """
    return f"{of.trip_id} {of.driver_id} {of.minute}"


def revocation_key(revocation: Revocation) -> str:
    """The `_id` of the revocation of a token, or of all that a user had."""
    if isinstance(revocation, RevokedToken):
        return f"token {revocation.token_id}"
    return f"user {revocation.user_id}"
