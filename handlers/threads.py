"""Conversations as a caller finds them: a trip's own, or one that support opened."""

from typing import Final

from msgspec import Struct

from handlers import access
from models import rooms, stores
from models.errors import NotFound
from models.fields import Id, Millis
from models.identity import Identity
from models.messages import Conversation
from models.rooms import Room
from models.stores import TripRecord
from models.trips import Relation

NEVER: Final = 2**53
"""Later than every moment in ms."""


class Thread(Struct, frozen=True):
    """A conversation that the caller may use.

    It reads what has a seq above `after`; messages are taken until `open_until` (ms). `version` is
    the trip's, where it is a trip's.
    """

    id: Id
    room: Room
    typing_room: Room
    after: int
    open_until: Millis
    is_a_trips: bool = False
    version: int = 0


class Threads:
    """Finds the conversation behind an id and what the caller is to it."""

    def __init__(self, kept: stores.Stores) -> None:
        self._trips = kept.trips
        self._conversations = kept.conversations

    async def of(self, caller: Identity, conversation_id: Id, event: str) -> Thread:
        """Raises NotFound for a stranger, Forbidden for a party that may not give this command."""
        record = await self._trips.get(conversation_id)
        if record is not None:
            relation = record.trip.relation_of(caller)
            access.require_relation(relation, event, "conversation")
            return trip_thread(record, caller)
        conversation = await self._conversations.get(conversation_id)
        if conversation is None:
            raise NotFound("conversation")
        access.require_relation(_relation(conversation, caller, event), event, "conversation")
        room = rooms.chat(conversation.id)
        return Thread(conversation.id, room, room, 0, conversation.closed_at or NEVER)


def trip_thread(record: TripRecord, caller: Identity) -> Thread:
    trip = record.trip
    until = NEVER if record.chat_until is None else record.chat_until
    after = chat_after(record, trip.relation_of(caller))
    return Thread(
        trip.id,
        rooms.trip(trip.id),
        rooms.live(trip.id),
        after,
        until,
        is_a_trips=True,
        version=trip.version,
    )


def chat_after(record: TripRecord, relation: Relation | None) -> int:
    """The seq after which somebody of this relation reads: a driver, since it accepted."""
    return record.chat_from if relation is Relation.DRIVER else 0


def _relation(conversation: Conversation, caller: Identity, event: str) -> Relation | None:
    """Participants are what the rider is in a trip's chat; staff besides may do what staff may."""
    takes_part = caller.user_id in conversation.participants
    if caller.is_staff and not (
        takes_part and Relation.STAFF not in access.ACCESS[event].relations
    ):
        return Relation.STAFF
    return Relation.RIDER if takes_part else None
