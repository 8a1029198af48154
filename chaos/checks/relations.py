"""Who may hear what of a trip at which version, by what is stored."""

from collections.abc import Callable, Iterable, Mapping

from msgspec import Struct
from msgspec.structs import replace

from chaos.checks.truth import Truth
from chaos.load.record import Life
from models.fields import Id
from models.identity import Role
from models.points import Point
from models.trips import SERVED, Event, Trip


def event_at(trip: Trip, version: int) -> Event | None:
    return trip.events[version - 1] if 0 < version <= len(trip.events) else None


def drives_at(trip: Trip, user_id: Id, version: int) -> bool:
    event = event_at(trip, version)
    return event is not None and event.driver_id == user_id


def driver_at(trip: Trip, version: int) -> Id | None:
    """The driver whose trip it is, also when it has ended."""
    event = event_at(trip, version)
    return event.driver_id if event is not None else None


def follows_at(trip: Trip, user_id: Id, version: int) -> bool:
    """Whether a driver serves the trip, or has its offer."""
    event = event_at(trip, version)
    return event is not None and (
        event.driver_id == user_id or (event.offer is not None and event.offer.driver_id == user_id)
    )


def serves_at(trip: Trip, version: int) -> Id | None:
    """The driver whose locations are the trip's."""
    event = event_at(trip, version)
    return event.driver_id if event is not None and event.status in SERVED else None


def followed_since(trip: Trip, user_id: Id, version: int) -> int:
    """The version that made the trip something to the driver of this version."""
    while follows_at(trip, user_id, version - 1):
        version -= 1
    return version


def is_party(truth: Truth, life: Life, topic: Id) -> bool:
    """Whether the trip or conversation was ever anything to somebody. Staff sees all."""
    if life.role in (Role.AGENT, Role.SERVICE):
        return True
    if life.role is Role.VIEWER:
        return topic in life.trips
    if topic in truth.conversations:
        return life.user_id in truth.conversations[topic].participants
    if topic not in truth.trips:
        return False
    trip = truth.trips[topic].trip
    if life.role is Role.DRIVER:
        return any(follows_at(trip, life.user_id, event.version) for event in trip.events)
    return trip.rider_id == life.user_id


class Term(Struct, frozen=True):
    """What somebody is to a trip for a while: from a version to the one that ends it, if any."""

    user_id: Id
    begin: int
    end: int | None = None


def terms(trip: Trip, who: Callable[[Trip, int], Id | None]) -> list[Term]:
    """Who is it when, as `who` says of each version."""
    found: list[Term] = []
    for version in range(1, trip.version + 1):
        user_id, before = who(trip, version), who(trip, version - 1)
        if user_id == before:
            continue
        if before is not None:
            found[-1] = replace(found[-1], end=version)
        if user_id is not None:
            found.append(Term(user_id, version))
    return found


class Points:
    """Which driver has measured a point."""

    def __init__(self, lives: Iterable[Life]) -> None:
        self._by_driver: Mapping[Id, Mapping[int, Point]] = {
            life.user_id: life.points for life in lives if life.role is Role.DRIVER
        }

    def is_of(self, driver_id: Id, location: dict[str, float]) -> bool:
        point = self._by_driver.get(driver_id, {}).get(int(location["seq"]))
        return point is not None and (point.lat, point.lng) == (location["lat"], location["lng"])
