"""Sessions: what a new connection follows unasked, and a token that takes another's place."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from msgspec import UNSET, Struct

from handlers.answers import OpenConversation, SessionReady
from handlers.ports import Clock, Drivers
from models import stores
from models.commands import DriverAvailability
from models.errors import Forbidden
from models.fields import Id
from models.identity import Identity, Role
from models.messages import Conversation, Read
from models.points import Sighting
from models.stores import TripRecord
from models.trips import PARTIES, Relation, Trip

PROTOCOL: Final = 1
FOLLOWERS: Final = frozenset({Role.DRIVER, Role.RIDER})


class Followed(Struct, frozen=True):
    """What a connection follows: trips with an open chat, and support's conversations."""

    trips: Sequence[TripRecord]
    conversations: Sequence[Conversation]


class Opening(Struct, frozen=True):
    """What a connection starts from: what it is told, and how far each conversation is."""

    ready: SessionReady
    following: Followed
    newest: Mapping[Id, int]
    sighting: Sighting | None


class SessionHandler:
    def __init__(self, kept: stores.Stores, drivers: Drivers, clock: Clock) -> None:
        self._stores = kept
        self._drivers = drivers
        self._clock = clock

    async def following(self, caller: Identity) -> Followed:
        trips: Sequence[TripRecord] = ()
        if caller.role in FOLLOWERS:
            trips = await self._stores.trips.followed_by(caller.key, self._clock())
        conversations: Sequence[Conversation] = ()
        if caller.role is not Role.VIEWER:
            conversations = await self._stores.conversations.open_with(caller.user_id)
        return Followed(trips, conversations)

    async def opening(self, caller: Identity, following: Followed) -> Opening:
        """All that `session:ready` says of what the connection follows."""
        talks = [
            *(r.trip.id for r in following.trips if r.trip.relation_of(caller) in PARTIES),
            *(conversation.id for conversation in following.conversations),
        ]
        newest, read = await self._progress(caller.user_id, talks)
        status, sighting = await self._driver(caller)
        ready = SessionReady(
            user_id=caller.user_id,
            role=caller.role,
            protocol=PROTOCOL,
            server_time=self._clock(),
            expires_at=caller.expires_at,
            trips=[
                record.trip.seen_by(relation)
                for record in following.trips
                if (relation := record.trip.relation_of(caller))
                and self._is_current(caller, record.trip)
            ],
            conversations=_open(talks, newest, read),
            status=status or UNSET,
        )
        return Opening(ready, following, newest, sighting)

    async def _progress(
        self, user_id: Id, talks: Collection[Id]
    ) -> tuple[Mapping[Id, int], Mapping[Id, Read]]:
        """The newest messages of conversations, and what the user has read there."""
        if not talks:
            return {}, {}
        return await asyncio.gather(
            self._stores.messages.newest_seqs(talks), self._stores.receipts.of_user(user_id, talks)
        )

    async def _driver(self, caller: Identity) -> tuple[DriverAvailability | None, Sighting | None]:
        if caller.role is not Role.DRIVER:
            return None, None
        return await asyncio.gather(
            self._drivers.status(caller.user_id), self._drivers.newest(caller.user_id)
        )

    def _is_current(self, caller: Identity, trip: Trip) -> bool:
        """Whether a followed trip is unfinished, or offered to the caller still."""
        if trip.relation_of(caller) is Relation.OFFERED:
            return trip.offer is not None and trip.offer.is_open(self._clock())
        return not trip.has_ended


def refreshed(caller: Identity, token: Identity) -> Identity:
    """The identity that goes on with a new token: the same user in the same role."""
    if token.key != caller.key:
        raise Forbidden("the token is another user's or another role's", path="token")
    return token


def _open(
    ids: Collection[Id], newest: Mapping[Id, int], read: Mapping[Id, Read]
) -> list[OpenConversation]:
    return [
        OpenConversation(chat_id, newest.get(chat_id, 0), read.get(chat_id, Read()).read_seq)
        for chat_id in ids
    ]
