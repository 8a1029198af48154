"""Who may hear what of a trip at which version, by what is stored."""

from collections.abc import Iterable, Mapping

from chaos.checks.truth import Truth
from chaos.load.record import Life
from models.fields import Id
from models.identity import Role
from models.messages import Message
from models.trips import SERVED, Event, Trip


def event_at(trip: Trip, version: int) -> Event | None:
    return trip.events[version - 1] if 0 < version <= len(trip.events) else None


def drives_at(trip: Trip, user_id: Id, version: int) -> bool:
    event = event_at(trip, version)
    return event is not None and event.driver_id == user_id


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


def accepted_at(trip: Trip, user_id: Id, version: int) -> int:
    """The version by which the driver of this version came onto the trip."""
    while drives_at(trip, user_id, version - 1):
        version -= 1
    return version


def followed_since(trip: Trip, user_id: Id, version: int) -> int:
    """The version that made the trip something to the driver of this version."""
    while follows_at(trip, user_id, version - 1):
        version -= 1
    return version


def is_party(truth: Truth, life: Life, topic: Id) -> bool:
    """Whether the trip or conversation was ever anything to somebody. Staff sees all."""
    if life.role in (Role.AGENT, Role.SERVICE):
        return True
    if topic in truth.conversations:
        return life.user_id in truth.conversations[topic].participants
    if topic not in truth.trips:
        return False
    trip = truth.trips[topic].trip
    if life.role is Role.DRIVER:
        return any(follows_at(trip, life.user_id, event.version) for event in trip.events)
    return life.role is Role.RIDER and trip.rider_id == life.user_id


class Times:
    """When commands were first sent and messages first answered, by the load's clock."""

    def __init__(self, lives: Iterable[Life]) -> None:
        self._changes: dict[str, float] = {}
        self._messages: dict[tuple[Id, Id], float] = {}
        for life in lives:
            for command in life.commands:
                if not command.attempts:
                    continue
                if command.event == "trip:update":
                    reason = command.payload.get("reason", "")
                    self._changes[reason] = command.attempts[0].sent_at
                elif command.event == "chat:send":
                    times = [a.answered_at for a in command.attempts if a.answered_at]
                    if command.answer and times:
                        self._messages[life.user_id, command.payload["client_id"]] = max(times)

    def was_written_before(self, message: Message, change: Event) -> bool:
        """Whether the message was answered before anybody asked for the change."""
        answered = self._messages.get((message.sender_id, message.client_id))
        asked = self._changes.get(change.reason or "")
        return answered is not None and asked is not None and answered < asked


class Points:
    """Which driver has measured a point."""

    def __init__(self, lives: Iterable[Life]) -> None:
        self._by_driver: Mapping[Id, dict[int, tuple[float, float]]] = {
            life.user_id: life.points for life in lives if life.role is Role.DRIVER
        }

    def is_of(self, driver_id: Id | None, location: dict[str, float]) -> bool:
        points = self._by_driver.get(driver_id or "", {})
        return points.get(int(location["seq"])) == (location["lat"], location["lng"])
