"""A trip and its rules: the states, who may move it between them, what a change leaves behind."""

from collections.abc import Iterable
from enum import StrEnum
from itertools import pairwise
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType
from msgspec.structs import replace

from models.errors import Forbidden, IllegalTransition, Invalid, NotFound, TooLarge
from models.fields import Id, Millis, Number
from models.identity import Identity, Role
from models.points import Place

MAX_STOPS = 20
MAX_OPTIONAL_CHANGES = 500
"""Offers and edits that one trip takes; transitions are always possible."""
MAX_TRIP_BYTES = 256 * 1024
"""As JSON, with its history: a larger trip takes no offers and edits."""

Stops = Annotated[tuple[Place, ...], Meta(max_length=MAX_STOPS)]


class Status(StrEnum):
    REQUESTED = "requested"
    ACCEPTED = "accepted"
    ARRIVING = "arriving"
    ARRIVED = "arrived"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    UNFULFILLED = "unfulfilled"


SERVED = frozenset({Status.ACCEPTED, Status.ARRIVING, Status.ARRIVED, Status.IN_PROGRESS})
"""A driver is on the trip: its location is the subscribers' to see."""
ENDED = frozenset({Status.COMPLETED, Status.CANCELLED, Status.UNFULFILLED})


class Relation(StrEnum):
    """What a caller is to a trip."""

    RIDER = "rider"
    DRIVER = "driver"
    OFFERED = "offered"
    STAFF = "staff"
    VIEWER = "viewer"

    @property
    def who(self) -> str:
        """In words, for messages."""
        return _WHO[self]


_WHO = {
    Relation.RIDER: "the trip's rider",
    Relation.DRIVER: "the trip's driver",
    Relation.OFFERED: "a driver with an offer",
    Relation.STAFF: "staff",
    Relation.VIEWER: "a viewer",
}

PARTIES = frozenset({Relation.RIDER, Relation.DRIVER})

_DRIVER, _RIDER, _STAFF, _OFFERED = (
    Relation.DRIVER,
    Relation.RIDER,
    Relation.STAFF,
    Relation.OFFERED,
)

TRANSITIONS: dict[tuple[Status, Status], frozenset[Relation]] = {
    (Status.REQUESTED, Status.ACCEPTED): frozenset({_OFFERED, _STAFF}),
    (Status.ACCEPTED, Status.ARRIVING): frozenset({_DRIVER, _STAFF}),
    (Status.ACCEPTED, Status.ARRIVED): frozenset({_DRIVER, _STAFF}),
    (Status.ARRIVING, Status.ARRIVED): frozenset({_DRIVER, _STAFF}),
    (Status.ARRIVED, Status.IN_PROGRESS): frozenset({_DRIVER, _STAFF}),
    (Status.IN_PROGRESS, Status.COMPLETED): frozenset({_DRIVER, _STAFF}),
    (Status.ACCEPTED, Status.REQUESTED): frozenset({_DRIVER, _STAFF}),
    (Status.ARRIVING, Status.REQUESTED): frozenset({_DRIVER, _STAFF}),
    (Status.ARRIVED, Status.REQUESTED): frozenset({_DRIVER, _STAFF}),
    (Status.REQUESTED, Status.CANCELLED): frozenset({_RIDER, _STAFF}),
    (Status.ACCEPTED, Status.CANCELLED): frozenset({_DRIVER, _RIDER, _STAFF}),
    (Status.ARRIVING, Status.CANCELLED): frozenset({_DRIVER, _RIDER, _STAFF}),
    (Status.ARRIVED, Status.CANCELLED): frozenset({_DRIVER, _RIDER, _STAFF}),
    (Status.IN_PROGRESS, Status.CANCELLED): frozenset({_STAFF}),
    (Status.REQUESTED, Status.UNFULFILLED): frozenset({_STAFF}),
}
"""Who may move a trip from where to where. Whatever is not here, nobody may."""


class Offer(Struct, frozen=True, omit_defaults=True):
    driver_id: Id
    expires_at: Millis | None = None

    def is_open(self, now: Millis) -> bool:
        return self.expires_at is None or now < self.expires_at


class Changed(Struct, frozen=True):
    """The fields that an edit set, with their new values."""

    dropoff: Place | UnsetType | None = UNSET
    stops: tuple[Place, ...] | UnsetType = UNSET
    metadata: dict[str, Any] | UnsetType = UNSET

    def __bool__(self) -> bool:
        return any(value is not UNSET for value in (self.dropoff, self.stops, self.metadata))


class Event(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One change of a trip. `by` is the caller's user id, null for the server's own (an expiry)."""

    version: int
    status: Status
    driver_id: Id | None
    offer: Offer | None
    at: Millis
    by: Id | None
    reason: str | None = None
    changed: Changed | None = None


class Trip(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A ride from its request to its end. The newest entry of `events` is the trip's state.

    `duration_ms` and `distance_m` are of the ride, from `in_progress` to the end: the one is there
    as it ends, the other some seconds later, and it grows no version.
    """

    id: Id
    rider_id: Id
    driver_id: Id | None
    offer: Offer | None
    status: Status
    version: int
    pickup: Place
    dropoff: Place | None
    stops: tuple[Place, ...]
    created_at: Millis
    updated_at: Millis
    events: tuple[Event, ...]
    metadata: dict[str, Any]
    cancelled_by: Role | None = None
    reason: str | None = None
    pin: str | None = None
    duration_ms: Number | None = None
    distance_m: Number | None = None

    @property
    def is_served(self) -> bool:
        return self.status in SERVED

    @property
    def has_ended(self) -> bool:
        return self.status in ENDED

    def relation_of(self, caller: Identity) -> Relation | None:
        """What the caller is to the trip now; None for a stranger."""
        if caller.is_staff:
            return Relation.STAFF
        if caller.role is Role.RIDER:
            return Relation.RIDER if caller.user_id == self.rider_id else None
        if caller.role is Role.DRIVER:
            return driver_relation(caller.user_id, self.driver_id, self.offer)
        return Relation.VIEWER if self.id in caller.trips else None

    def for_driver(self) -> "Trip":
        """The trip as a driver may see it."""
        return replace(self, pin=None) if self.pin is not None else self

    def seen_by(self, relation: Relation) -> "Trip":
        """The trip in the view of a party, an offered driver or staff."""
        return self.for_driver() if relation in (_DRIVER, _OFFERED) else self


class WatchedTrip(Struct, frozen=True):
    """What somebody with a share link sees of a trip."""

    id: Id
    status: Status
    version: int
    pickup: Place
    dropoff: Place | None
    stops: tuple[Place, ...]


def driver_relation(driver_id: str, serving: str | None, offer: Offer | None) -> Relation | None:
    """What a driver is to a trip that `serving` drives and that is open to whom it is offered."""
    if driver_id == serving:
        return Relation.DRIVER
    return Relation.OFFERED if offer is not None and offer.driver_id == driver_id else None


def watched(trip: Trip) -> WatchedTrip:
    return WatchedTrip(trip.id, trip.status, trip.version, trip.pickup, trip.dropoff, trip.stops)


def view(trip: Trip, relation: Relation) -> Trip | WatchedTrip:
    """The trip as somebody of this relation may see it."""
    return watched(trip) if relation is Relation.VIEWER else trip.seen_by(relation)


def followers(trip: Trip) -> frozenset[str]:
    """The keys (role and user) of those whose connections follow the trip unasked."""
    return _followers(trip.rider_id, trip.driver_id, trip.offer)


def _followers(rider_id: Id, driver_id: Id | None, offer: Offer | None) -> frozenset[str]:
    drivers = {driver_id, offer.driver_id if offer else None} - {None}
    return frozenset({f"{Role.RIDER}:{rider_id}", *(f"{Role.DRIVER}:{d}" for d in drivers)})


def followed_since(trip: Trip, key: str) -> int:
    """The version that made the user of this key a follower, of those who are followers now."""
    since = trip.version
    for event in reversed(trip.events):
        if key not in _followers(trip.rider_id, event.driver_id, event.offer):
            break
        since = event.version
    return since


def allowed_transitions(status: Status, relation: Relation) -> list[Status]:
    """Where somebody of this relation may move a trip to."""
    return [to for (start, to), who in TRANSITIONS.items() if start == status and relation in who]


def requested(
    trip_id: Id,
    rider_id: Id,
    caller: Identity,
    *,
    now: Millis,
    pickup: Place,
    dropoff: Place | None,
    stops: tuple[Place, ...],
    offer: Offer | None,
    pin: str | None,
    metadata: dict[str, Any],
) -> Trip:
    """A trip's beginning: version 1."""
    first = Event(
        version=1,
        status=Status.REQUESTED,
        driver_id=None,
        offer=offer,
        at=now,
        by=caller.user_id,
    )
    return Trip(
        id=trip_id,
        rider_id=rider_id,
        driver_id=None,
        offer=offer,
        status=Status.REQUESTED,
        version=1,
        pickup=pickup,
        dropoff=dropoff,
        stops=stops,
        created_at=now,
        updated_at=now,
        events=(first,),
        metadata=metadata,
        pin=pin,
    )


def moved(
    trip: Trip,
    to: Status,
    caller: Identity,
    relation: Relation,
    *,
    now: Millis,
    driver_id: Id | None = None,
    reason: str | None = None,
) -> Trip:
    """The trip after a transition.

    Raises IllegalTransition where nobody may, Forbidden where the caller may not, NotFound for a
    driver whose offer has expired, Invalid where staff accepts without naming the driver.
    """
    _check_transition(trip, to, relation, now)
    serving = trip.driver_id
    if to is Status.ACCEPTED:
        serving = _accepting_driver(caller, relation, driver_id)
    elif to is Status.REQUESTED:
        serving = None
    over = to in (Status.CANCELLED, Status.UNFULFILLED)
    return replace(
        _change(trip, caller.user_id, now, status=to, driver_id=serving, offer=None, reason=reason),
        cancelled_by=caller.role if to is Status.CANCELLED else None,
        reason=reason if over else None,
        duration_ms=_ride_ms(trip, max(now, trip.updated_at)) if to in ENDED else None,
    )


def offered(trip: Trip, offer: Offer, caller: Identity, now: Millis) -> Trip:
    """The trip offered to a driver; a former offer ends. Raises IllegalTransition once accepted."""
    if trip.status is not Status.REQUESTED:
        raise IllegalTransition(
            f"a trip that is {trip.status} is not offered",
            allowed_transitions(trip.status, _STAFF),
        )
    _check_room_for_change(trip)
    return _change(trip, caller.user_id, now, offer=offer)


def without_offer(trip: Trip, by: Id | None, now: Millis, reason: str | None = None) -> Trip:
    """The trip after its offer was declined (`by` the driver) or expired (`by` nobody)."""
    return _change(trip, by, now, offer=None, reason=reason)


def edited(trip: Trip, changed: Changed, caller: Identity, now: Millis) -> Trip:
    """The trip with another destination, stops or metadata."""
    _check_room_for_change(trip)
    values = {
        name: value
        for name in ("dropoff", "stops", "metadata")
        if (value := getattr(changed, name)) is not UNSET
    }
    return replace(_change(trip, caller.user_id, now, changed=changed), **values)


def repeats(trip: Trip, to: Status, caller: Identity, driver_id: Id | None) -> bool:
    """Whether the trip's last transition is just this one, made by the caller itself.

    Such a caller is still something to the trip, or it is the driver who gave it back.
    """
    before, last = _last_transition(trip)
    return (
        last is not None
        and last.status == to
        and last.by == caller.user_id
        and (to is not Status.ACCEPTED or driver_id in (None, last.driver_id))
        and (trip.relation_of(caller) is not None or _drove(before, caller))
    )


def was_offered_to(trip: Trip, driver_id: Id) -> bool:
    return any(event.offer and event.offer.driver_id == driver_id for event in trip.events)


def differences(trip: Trip, wanted: Changed) -> Changed:
    """What of the wanted values the trip does not have yet."""
    same_metadata = _json(wanted.metadata) == _json(trip.metadata)
    return Changed(
        dropoff=UNSET if wanted.dropoff == trip.dropoff else wanted.dropoff,
        stops=UNSET if wanted.stops == trip.stops else wanted.stops,
        metadata=UNSET if same_metadata else wanted.metadata,
    )


def served_since(trip: Trip) -> Millis:
    """When the trip's present driver accepted, ms; its creation for a trip without one."""
    since = trip.created_at
    for before, event in pairwise(trip.events):
        if event.driver_id is not None and event.driver_id != before.driver_id:
            since = event.at
    return since


def chat_begins_with_driver(before: Trip, after: Trip) -> bool:
    """Whether the change brought a driver onto the trip, who reads the chat from here on."""
    return after.driver_id is not None and after.driver_id != before.driver_id


def _last_transition(trip: Trip) -> tuple[Event, Event] | tuple[None, None]:
    """The newest change of the status, after the event before it."""
    for before, event in reversed(list(pairwise(trip.events))):
        if event.status != before.status:
            return before, event
    return None, None


def _json(value: object) -> bytes | None:
    """What tells JSON values apart as clients do: true is not 1."""
    return None if value is UNSET else msgspec.json.encode(value, order="deterministic")


def _drove(event: Event | None, caller: Identity) -> bool:
    return event is not None and caller.role is Role.DRIVER and event.driver_id == caller.user_id


def _check_transition(trip: Trip, to: Status, relation: Relation, now: Millis) -> None:
    who = TRANSITIONS.get((trip.status, to))
    if who is None:
        raise IllegalTransition(
            f"a trip that is {trip.status} cannot become {to}",
            allowed_transitions(trip.status, relation),
        )
    if relation not in who:
        raise Forbidden(f"{relation.who} may not move a trip from {trip.status} to {to}")
    if relation is _OFFERED and trip.offer and not trip.offer.is_open(now):
        raise NotFound("trip")  # as when the offer's end has been stored already


def _ride_ms(trip: Trip, end: Millis) -> Millis | None:
    """How long the ride took that ends then; None for a trip that is not in progress."""
    if trip.status is not Status.IN_PROGRESS:
        return None
    return end - next(event.at for event in trip.events if event.status is Status.IN_PROGRESS)


def _accepting_driver(caller: Identity, relation: Relation, driver_id: Id | None) -> Id:
    if relation is _OFFERED:
        if driver_id not in (None, caller.user_id):
            raise Forbidden("a driver accepts for itself only", path="driver_id")
        return caller.user_id
    if driver_id is None:
        raise Invalid("the id of the driver who takes the trip", path="driver_id")
    return driver_id


def _check_room_for_change(trip: Trip) -> None:
    if len(msgspec.json.encode(trip)) > MAX_TRIP_BYTES:
        raise TooLarge(f"the trip has more than {MAX_TRIP_BYTES} bytes and takes no more changes")
    if trip.version >= MAX_OPTIONAL_CHANGES:
        raise TooLarge(f"the trip has {trip.version} changes and takes no more offers and edits")


def _change(
    trip: Trip,
    by: Id | None,
    now: Millis,
    *,
    status: Status | None = None,
    driver_id: Id | UnsetType | None = UNSET,
    offer: Offer | UnsetType | None = UNSET,
    reason: str | None = None,
    changed: Changed | None = None,
) -> Trip:
    event = Event(
        version=trip.version + 1,
        status=status or trip.status,
        driver_id=trip.driver_id if driver_id is UNSET else driver_id,
        offer=trip.offer if offer is UNSET else offer,
        at=max(now, trip.updated_at),
        by=by,
        reason=reason,
        changed=changed,
    )
    return replace(
        trip,
        version=event.version,
        status=event.status,
        driver_id=event.driver_id,
        offer=event.offer,
        updated_at=event.at,
        events=(*trip.events, event),
    )


def events_after(trip: Trip, version: int) -> Iterable[Event]:
    """The changes that somebody who knows the trip at `version` has not heard of."""
    return (event for event in trip.events if event.version > version)
