"""Share links: a token with which anybody may watch one trip until it ends."""

from typing import Protocol

from handlers import access
from handlers.answers import Shared
from models import stores
from models.errors import Closed, NotFound
from models.fields import Id, Millis
from models.identity import Identity
from models.requests import TripShare


class MintViewer(Protocol):
    def __call__(self, user_id: Id, trip_id: Id, ttl_ms: Millis) -> Shared:
        """Sign a viewer's token for one trip. Raises Forbidden where there is no key for it."""


class SharingHandler:
    def __init__(self, kept: stores.Stores, mint: MintViewer) -> None:
        self._trips = kept.trips
        self._mint = mint

    async def share(self, caller: Identity, request: TripShare) -> Shared:
        """A new link to a trip that has not ended. The rider's and staff's to give.

        All links of a trip are one user's, so that they can be revoked together.
        """
        record = await self._trips.get(request.trip_id)
        if record is None:
            raise NotFound("trip")
        access.relation_to(record.trip, caller, request.event)
        if record.trip.has_ended:
            raise Closed(f"the trip is {record.trip.status}")
        return self._mint(shared_as(record.trip.id), record.trip.id, request.expires_in_ms)


def shared_as(trip_id: Id) -> Id:
    """The user id of everybody with a link to this trip."""
    return f"share:{trip_id}"
