"""What `trip:subscribe` answers: a trip as it is now, so that events have something to build on."""

from typing import Final

from msgspec import Struct

from handlers import access
from handlers.answers import Snapshot
from handlers.ports import Clock, Drivers
from handlers.threads import chat_after
from models import stores
from models.commands import MAX_PAGE, TripSubscribe
from models.errors import NotFound
from models.facts import TripDriver
from models.identity import Identity
from models.points import Sighting
from models.presence import APPROACH_MS, PresenceLimits
from models.stores import TripRecord
from models.trips import PARTIES, Relation, Trip, served_since, view

NEWEST: Final = 50


class View(Struct, frozen=True):
    """A snapshot, and what the caller is to the trip that it shows."""

    snapshot: Snapshot
    record: TripRecord
    relation: Relation
    sighting: Sighting | None


class Snapshots:
    def __init__(
        self, kept: stores.Stores, drivers: Drivers, presence: PresenceLimits, clock: Clock
    ) -> None:
        self._trips = kept.trips
        self._messages = kept.messages
        self._receipts = kept.receipts
        self._drivers = drivers
        self._presence = presence
        self._clock = clock

    async def of(self, caller: Identity, command: TripSubscribe) -> View:
        """Raises NotFound for whom the trip is nothing to."""
        # First the messages' end, then who may read them: nobody gets what came after it left.
        last_seq = await self._messages.newest_seq(command.trip_id)
        record = await self._trips.get(command.trip_id)
        if record is None:
            raise NotFound("trip")
        relation = access.relation_to(record.trip, caller, command.event)
        sighting = await self._sighting(record.trip, relation)
        snapshot = await self._snapshot(command, record, relation, sighting, last_seq)
        return View(snapshot, record, relation, sighting)

    async def _snapshot(
        self,
        command: TripSubscribe,
        record: TripRecord,
        relation: Relation,
        sighting: Sighting | None,
        newest_seq: int,
    ) -> Snapshot:
        trip = record.trip
        talks = relation in PARTIES or relation is Relation.STAFF
        last_seq = newest_seq if talks else 0
        after, up_to = _window(command.after_seq, chat_after(record, relation), last_seq)
        backward = command.after_seq is None
        return Snapshot(
            trip=view(trip, relation),
            location=sighting.point if sighting else None,
            driver=self._driver(trip, relation, sighting),
            messages=await self._messages.between(trip.id, after, up_to) if up_to > after else (),
            last_seq=last_seq,
            read=await self._receipts.of(trip.id) if talks else {},
            has_more=after > chat_after(record, relation) if backward else up_to < last_seq,
        )

    async def _sighting(self, trip: Trip, relation: Relation) -> Sighting | None:
        """Where the trip's driver is, as far as it is the trip's."""
        if trip.driver_id is None or not trip.is_served or relation is Relation.OFFERED:
            return None
        sighting = await self._drivers.newest(trip.driver_id)
        if sighting is None or sighting.point.ts < served_since(trip) - APPROACH_MS:
            return None
        return sighting

    def _driver(
        self, trip: Trip, relation: Relation, sighting: Sighting | None
    ) -> TripDriver | None:
        if trip.driver_id is None or not trip.is_served or relation is Relation.OFFERED:
            return None
        last_seen = sighting.seen_at if sighting else None
        waited_since = last_seen or served_since(trip)
        return TripDriver(trip.id, self._presence.hearing(waited_since, self._clock()), last_seen)


def _window(after_seq: int | None, floor: int, newest: int) -> tuple[int, int]:
    """The seqs that the snapshot holds, as (after, up to)."""
    if after_seq is None:
        return max(newest - NEWEST, floor), newest
    after = max(after_seq, floor)
    return after, min(after + MAX_PAGE, newest)
