"""Trips: created, offered, moved from state to state, edited. Each change is stored, then told."""

from collections.abc import Awaitable, Callable
from hmac import compare_digest
from typing import Final

from msgspec.structs import replace

from handlers import access
from handlers.answers import Answer, TripIs
from handlers.measuring import Meter
from handlers.ports import Clock, Drivers, Publish
from models import rooms, stores, trips
from models.commands import TripCreate, TripDecline, TripEdit, TripOffer, TripUpdate
from models.distances import distance_m
from models.errors import (
    Closed,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    RateLimited,
    RidewireError,
    Unavailable,
)
from models.facts import Follow, TripStatus
from models.fields import Id, Millis, new_id
from models.identity import Identity, Role
from models.requests import TripGet, TripList
from models.stores import PinGuard, TripQuery, TripRecord
from models.trips import Offer, Relation, Status, Trip, WatchedTrip

WRONG_PINS: Final = 5
PIN_LOCK_MS: Final = 60_000
KNOWN_PLACE_MS: Final = 30_000
"""How old a driver's newest point may be to tell where the driver is."""
EXPIRED_AT_ONCE: Final = 500
_ATTEMPTS: Final = 50
"""How often a change is tried anew after somebody else's was faster."""

Rule = Callable[[Trip], Awaitable[Trip]]
"""The trip after a change; the same trip when there is nothing to change."""


class TripHandler:
    """What the `trip:*` commands do. Answered means stored; then everybody concerned is told."""

    def __init__(
        self,
        kept: stores.Stores,
        publish: Publish,
        clock: Clock,
        drivers: Drivers,
        *,
        chat_after_end_ms: Millis,
        arrival_radius_m: int,
    ) -> None:
        """`arrival_radius_m` is how near to the pickup a driver has arrived; 0 is anywhere."""
        self._trips = kept.trips
        self._messages = kept.messages
        self._meter = Meter(kept)
        self._publish = publish
        self._clock = clock
        self._drivers = drivers
        self._chat_after_end_ms = chat_after_end_ms
        self._arrival_radius_m = arrival_radius_m

    async def create(self, caller: Identity, command: TripCreate) -> TripIs:
        now = self._clock()
        trip = trips.requested(
            new_id(now),
            _rider_of(caller, command),
            caller,
            now=now,
            pickup=command.pickup,
            dropoff=command.dropoff,
            stops=command.stops,
            offer=Offer(command.driver_id, _expiry(command, now)) if command.driver_id else None,
            pin=command.pin,
            metadata=command.metadata,
        )
        record = TripRecord(trip=trip, creator=caller.key, client_id=command.client_id)
        stored = await self._trips.create(record)
        if stored.trip.id == trip.id:
            self._tell(None, stored.trip)
        else:
            self._tell_again(stored.trip)
        return TripIs(trip=stored.trip)

    async def offer(self, caller: Identity, command: TripOffer) -> TripIs:
        """Offer a requested trip to a driver. One that already has the offer keeps it as it is."""

        async def rule(trip: Trip) -> Trip:
            relation = access.relation_to(trip, caller, command.event)
            now = self._clock()
            if trip.offer and trip.offer.driver_id == command.driver_id and trip.offer.is_open(now):
                return trip
            _require_version(trip, command.version, relation)
            offer = Offer(command.driver_id, _expiry(command, now))
            return trips.offered(trip, offer, caller, now)

        return TripIs(trip=await self._change(command.trip_id, rule))

    async def decline(self, caller: Identity, command: TripDecline) -> Answer:
        """End one's own offer. Where it ended already, there is nothing to do."""

        async def rule(trip: Trip) -> Trip:
            if trip.relation_of(caller) is None and trips.was_offered_to(trip, caller.user_id):
                return trip
            access.relation_to(trip, caller, command.event)
            return trips.without_offer(trip, caller.user_id, self._clock(), command.reason)

        await self._change(command.trip_id, rule)
        return Answer()

    async def update(self, caller: Identity, command: TripUpdate) -> TripIs:
        """Move a trip to another state. Repeating one's own last transition is no change."""
        pin_checked = False

        async def rule(trip: Trip) -> Trip:
            nonlocal pin_checked
            if trips.repeats(trip, command.status, caller, command.driver_id):
                return trip
            relation = access.relation_to(trip, caller, command.event)
            _require_version(trip, command.version, relation)
            after = trips.moved(
                trip,
                command.status,
                caller,
                relation,
                now=self._clock(),
                driver_id=command.driver_id,
                reason=command.reason,
            )
            if command.status is Status.ARRIVED and relation is Relation.DRIVER:
                await self._check_arrival(trip, caller.user_id)
            starts = command.status is Status.IN_PROGRESS and relation is Relation.DRIVER
            if starts and not pin_checked:
                await self._check_pin(trip, command.pin)
                pin_checked = True
            return after

        trip = await self._change(command.trip_id, rule)
        return TripIs(trip=_view(trip, caller))

    async def edit(self, caller: Identity, command: TripEdit) -> TripIs:
        """Change destination, stops or metadata. What is so already is no change."""

        async def rule(trip: Trip) -> Trip:
            relation = access.relation_to(trip, caller, command.event)
            changed = trips.differences(trip, command.changed)
            if not changed:
                return trip
            if trip.has_ended:
                raise Closed(f"the trip is {trip.status}")
            _require_version(trip, command.version, relation)
            return trips.edited(trip, changed, caller, self._clock())

        trip = await self._change(command.trip_id, rule)
        return TripIs(trip=_view(trip, caller))

    async def get(self, caller: Identity, request: TripGet) -> Trip | WatchedTrip:
        record = await self._trips.get(request.trip_id)
        if record is None:
            raise NotFound("trip")
        relation = access.relation_to(record.trip, caller, request.event)
        return trips.view(await self._meter.measured(record.trip), relation)

    async def list(self, caller: Identity, request: TripList, before: Id | None) -> list[Trip]:
        """A page of trips and, where there are further ones, one more. See `TripList`."""
        query = _query_of(caller, request)
        found = await self._trips.matching(query, before, request.limit + 1)
        return [_view(record.trip, caller) for record in found]

    async def expire_offers(self) -> int:
        """End the offers whose time is over; how many trips were looked at."""

        async def rule(trip: Trip) -> Trip:
            now = self._clock()
            if trip.offer is None or trip.offer.is_open(now):
                return trip
            return trips.without_offer(trip, None, now)

        expired = await self._trips.with_expired_offer(self._clock(), EXPIRED_AT_ONCE)
        failure: RidewireError | None = None
        for trip_id in expired:
            try:
                await self._change(trip_id, rule)
            except RidewireError as error:  # one trip must not keep the others waiting
                failure = error
        if failure is not None:
            raise failure
        return len(expired)

    async def _change(self, trip_id: Id, rule: Rule) -> Trip:
        """Apply a rule to the newest version, again when somebody else's change came first."""
        for _ in range(_ATTEMPTS):
            record = await self._trips.get(trip_id)
            if record is None:
                raise NotFound("trip")
            after = await rule(record.trip)
            if after is record.trip:
                self._tell_again(after)
                return after
            if await self._replace(record, after):
                self._tell(record.trip, after)
                return after
        raise Unavailable("the trip changes too fast")

    async def _replace(self, record: TripRecord, after: Trip) -> bool:
        """Store the trip in place of the record's; False if another change was faster.

        A write whose answer was lost is looked for before it counts as unknown.
        """
        changed = await self._record_of(record, after)
        try:
            return await self._trips.replace(changed, record.trip.version)
        except Unavailable:
            stored = await self._trips.get(after.id)
            if stored is None or stored.trip.events[-1] != after.events[-1]:
                raise
            return True

    async def _record_of(self, record: TripRecord, after: Trip) -> TripRecord:
        chat_from, chat_until = record.chat_from, record.chat_until
        if trips.chat_begins_with_driver(record.trip, after):
            chat_from = await self._messages.newest_seq(after.id)
        if after.has_ended and not record.trip.has_ended:
            chat_until = after.updated_at + self._chat_after_end_ms
        return replace(record, trip=after, chat_from=chat_from, chat_until=chat_until)

    def _tell(self, before: Trip | None, after: Trip) -> None:
        """Tell the trip's room what changed, and newcomers that there is a trip to follow."""
        known = before.version if before else 0
        for event in trips.events_after(after, known):
            self._publish(rooms.trip(after.id), TripStatus.of(after.id, event))
        following = trips.followers(before) if before else frozenset()
        for key in trips.followers(after) - following:
            user_id = key.partition(":")[2]
            self._publish(rooms.user(user_id), Follow(key, after.id))

    def _tell_again(self, trip: Trip) -> None:
        """Tell the newest change once more: whoever made it may have died before it was told.

        Nobody hears twice what it knows.
        """
        self._publish(rooms.trip(trip.id), TripStatus.of(trip.id, trip.events[-1]))
        if trip.has_ended:
            return  # nobody begins to follow it any more
        for key in trips.followers(trip):
            self._publish(rooms.user(key.partition(":")[2]), Follow(key, trip.id))

    async def _check_arrival(self, trip: Trip, driver_id: Id) -> None:
        """Raise Forbidden where the driver is known to be elsewhere than at the pickup."""
        seen = await self._drivers.newest(driver_id) if self._arrival_radius_m else None
        if seen is None or self._clock() - seen.point.ts >= KNOWN_PLACE_MS:
            return
        away_m = round(distance_m(seen.point.lat, seen.point.lng, trip.pickup.lat, trip.pickup.lng))
        if away_m > self._arrival_radius_m:
            raise Forbidden(
                f"the driver is {away_m} m away from the pickup, not {self._arrival_radius_m} m",
                path="status",
                distance_m=away_m,
            )

    async def _check_pin(self, trip: Trip, pin: str | None) -> None:
        if trip.pin is None:
            return
        if pin is None:
            raise Forbidden("the ride starts with the rider's pin", path="pin")
        await self._count_attempt(trip.id)
        if not compare_digest(pin.encode(), trip.pin.encode()):
            raise Forbidden("the pin is wrong", path="pin")

    async def _count_attempt(self, trip_id: Id) -> None:
        """Count before looking, so that many guesses at the same time are no more than a few."""
        for _ in range(_ATTEMPTS):
            now = self._clock()
            guard = await self._trips.pin_guard(trip_id)
            if now < guard.locked_until:
                raise RateLimited("too many wrong pins", retry_after_ms=guard.locked_until - now)
            last = guard.wrong + 1 >= WRONG_PINS
            counted = PinGuard(0, now + PIN_LOCK_MS) if last else PinGuard(guard.wrong + 1)
            if await self._trips.replace_pin_guard(trip_id, guard, counted):
                return
        raise Unavailable("too many attempts at once")


def _rider_of(caller: Identity, command: TripCreate) -> Id:
    """Whose trip it is: a rider's own; staff names the rider, and may name a driver."""
    if caller.role is not Role.RIDER:
        if command.rider_id is None:
            raise Invalid("the id of the rider", path="rider_id")
        if command.expires_in_ms is not None and command.driver_id is None:
            raise Invalid("only together with driver_id", path="expires_in_ms")
        return command.rider_id
    if command.rider_id not in (None, caller.user_id):
        raise Forbidden("a rider creates its own trips only", path="rider_id")
    for name in ("driver_id", "expires_in_ms"):
        if getattr(command, name) is not None:
            raise Forbidden("a rider makes no offers", path=name)
    return caller.user_id


def _query_of(caller: Identity, request: TripList) -> TripQuery:
    """What is listed: riders and drivers see their own trips, staff all."""
    query = TripQuery(request.rider_id, request.driver_id, request.status)
    if caller.is_staff:
        return query
    own = "rider_id" if caller.role is Role.RIDER else "driver_id"
    if getattr(query, own) not in (None, caller.user_id):
        raise Forbidden(f"a {caller.role} lists its own trips only", path=own)
    return replace(query, **{own: caller.user_id})


def _expiry(command: TripCreate | TripOffer, now: Millis) -> Millis | None:
    return None if command.expires_in_ms is None else now + command.expires_in_ms


def _require_version(trip: Trip, version: int | None, relation: Relation) -> None:
    if version not in (None, trip.version):
        raise Conflict(
            f"the trip is at version {trip.version}, not {version}", trip=trip.seen_by(relation)
        )


def _view(trip: Trip, caller: Identity) -> Trip:
    """The trip in the caller's view; one who just left it sees it as a driver does."""
    return trip.seen_by(trip.relation_of(caller) or Relation.DRIVER)
