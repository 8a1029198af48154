"""Trips in MongoDB: one document each, replaced as a whole if its version is as expected."""

from collections.abc import Collection as SomeOf
from collections.abc import Mapping, Sequence
from typing import Final

from models.fields import Id, Millis
from models.grouped import Grouped, OnGroup
from models.identity import Role
from models.mongo.attempts import Creations
from models.mongo.documents import from_document, to_document, within
from models.mongo.driver import APART_S, READINGS_AT_ONCE, SHARED, Collection, Document, Duplicate
from models.stores import PinGuard, TripChange, TripQuery, TripRecord
from models.tracks import Served, Stint, stints
from models.trips import Trip, followers

_OPEN_END: Final = 2**53
"""`chat_until` of a running trip: later than every moment, so that one range finds open chats."""
_FORMER: Final = "former:"
"""Begins the keys, among the followers', of drivers who were taken off: one index finds both."""


class MongoTrips:
    def __init__(
        self, trips: Collection, pin_guards: Collection, on_group: OnGroup | None = None
    ) -> None:
        """`on_group` is told how many new trips one write has."""
        self._trips = trips
        self._creations = Creations(trips, on_group)
        self._pin_guards = pin_guards
        self._searches = Grouped(self._followed_by_all, SHARED, READINGS_AT_ONCE, apart_s=APART_S)

    async def create(self, record: TripRecord) -> TripRecord:
        unique = {"creator": record.creator, "client_id": record.client_id}
        return record_of(await self._creations.once(document_of(record), unique))

    async def get(self, trip_id: Id) -> TripRecord | None:
        document = await self._trips.get(trip_id)
        return record_of(document) if document else None

    async def replace(self, record: TripRecord, version: int) -> bool:
        expected = {"_id": record.trip.id, "version": version}
        return await self._trips.replace(expected, document_of(record))

    async def followed_by(self, key: str, now: Millis) -> Sequence[TripRecord]:
        found = await self._searches.add((key, now))
        return [record_of(document) for document in found if document["chat_until"] > now]

    async def matching(
        self, query: TripQuery, before: Id | None, limit: int
    ) -> Sequence[TripRecord]:
        given = {name: value for name, value in to_document(query).items() if value is not None}
        where: Document = {f"trip.{name}": value for name, value in given.items()}
        if before is not None:
            where["_id"] = {"$lt": before}
        return [record_of(document) for document in await self._trips.newest(where, limit)]

    async def versions(self, trip_ids: Sequence[Id]) -> Mapping[Id, int]:
        where = {"_id": {"$in": list(trip_ids)}}
        found = await self._trips.values(where, "version", count=len(trip_ids))
        return {document["_id"]: document["version"] for document in found}

    async def changed(self, since: Millis, until: Millis | None) -> Sequence[TripChange]:
        where = {"trip.updated_at": within(since, until)}
        found = await self._trips.values(where, "version", "followers")
        return [
            TripChange(
                each["_id"],
                each["version"],
                [key for key in each["followers"] if not key.startswith(_FORMER)],
            )
            for each in found
        ]

    async def with_expired_offer(self, now: Millis, limit: int) -> Sequence[Id]:
        return await self._trips.keys_up_to("offer_expires_at", now, limit)

    async def _followed_by_all(self, asked: list[tuple[str, Millis]]) -> list[list[Document]]:
        keys = {key for key, _ in asked}
        earliest = min(now for _, now in asked)
        found = await self._trips.find(
            {"followers": {"$in": list(keys)}, "chat_until": {"$gt": earliest}}
        )
        followed: dict[str, list[Document]] = {key: [] for key in keys}
        for document in found:
            for key in keys.intersection(document["followers"]):
                followed[key].append(document)
        return [followed[key] for key, _ in asked]

    async def served_by(self, driver_ids: SomeOf[Id], since: Millis) -> Sequence[Served]:
        ids = list(driver_ids)
        found: dict[Id, Served] = {}
        for start in range(0, len(ids), SHARED):
            keys = [
                f"{kind}{driver_id}"
                for driver_id in ids[start : start + SHARED]
                for kind in (f"{Role.DRIVER}:", _FORMER)
            ]
            where = {"followers": {"$in": keys}, "chat_until": {"$gte": since}}
            found.update((trip.trip_id, trip) for trip in await self._served(where))
        return list(found.values())

    async def served_lately(self, since: Millis) -> Sequence[Served]:
        return await self._served({"trip.updated_at": within(since, None)})

    async def _served(self, where: Document) -> list[Served]:
        documents = await self._trips.values(where, "served", "chat_until")
        older = await self._trips.get_many(_running_without(documents))
        found = [
            *(Served(each["_id"], _stints(each)) for each in documents),
            *(Served(trip.id, stints(trip)) for trip in (record_of(each).trip for each in older)),
        ]
        return [trip for trip in found if trip.stints]

    async def set_distance(self, trip_id: Id, distance_m: int) -> None:
        await self._trips.change({"_id": trip_id}, {"$max": {"trip.distance_m": distance_m}})

    async def pin_guard(self, trip_id: Id) -> PinGuard:
        document = await self._pin_guards.get(trip_id)
        return from_document(document, PinGuard) if document else PinGuard()

    async def replace_pin_guard(self, trip_id: Id, old: PinGuard, new: PinGuard) -> bool:
        expected = {"_id": trip_id, **to_document(old)}
        change = {"$set": to_document(new)}
        if old != PinGuard():
            return await self._pin_guards.change(expected, change)
        try:
            await self._pin_guards.upsert(expected, change)
        except Duplicate:
            return False
        return True


def document_of(record: TripRecord) -> Document:
    """The record, and beside it, flat, what is searched for."""
    trip = record.trip
    document = {
        "_id": trip.id,
        "version": trip.version,
        "followers": sorted(followers(trip) | _former(trip)),
        "served": [[stint.driver_id, stint.since, stint.until] for stint in stints(trip)],
        **to_document(record),
    }
    if record.chat_until is None:
        document["chat_until"] = _OPEN_END
    if trip.offer and trip.offer.expires_at is not None:
        document["offer_expires_at"] = trip.offer.expires_at
    return document


def _former(trip: Trip) -> set[str]:
    return {
        f"{_FORMER}{event.driver_id}"
        for event in trip.events
        if event.driver_id not in (None, trip.driver_id)
    }


def _stints(document: Document) -> list[Stint]:
    """None in a record that was written before there were tracks."""
    return [Stint(driver_id, int(s), int(u)) for driver_id, s, u in document.get("served", ())]


def _running_without(documents: Sequence[Document]) -> list[Id]:
    """Which running trips were last written by a release that noted no stints."""
    return [
        each["_id"]
        for each in documents
        if "served" not in each and each["chat_until"] == _OPEN_END
    ]


def record_of(document: Document) -> TripRecord:
    if document["chat_until"] == _OPEN_END:
        document = {**document, "chat_until": None}
    return from_document(document, TripRecord)
