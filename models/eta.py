"""How far a driver still has to go, and how long that takes. Pure: no I/O, no clock of its own."""

from collections.abc import Sequence
from enum import StrEnum
from itertools import pairwise
from math import exp
from typing import Final

from msgspec import Struct

from models.distances import distance_m
from models.fields import Id, Millis
from models.points import Place
from models.trips import Status

DETOUR: Final = 1.3
"""How much longer streets are than the straight line, as a rule."""
SLOWEST_MPS: Final = 4.0
FASTEST_MPS: Final = 25.0
"""Within which a driver's mean speed counts: a red light is no end of the ride."""
FIRST_MPS: Final = 8.0
"""What a driver is thought to make who was not heard before."""
MEMORY_S: Final = 60.0
"""How long ago a speed counts a third (1/e) of the present one in the mean."""
NOTICEABLE_S: Final = 15
NOTICEABLE_SHARE: Final = 0.1


class Destination(StrEnum):
    """What a driver heads for."""

    PICKUP = "pickup"
    DROPOFF = "dropoff"


class Spot(Struct, frozen=True):
    """Where somebody is at a time. Degrees WGS84, ms."""

    lat: float
    lng: float
    ts: Millis


class Plan(Struct, frozen=True):
    """What the driver of a trip has before it: the stops in between, where there are, and the end.

    Which of the stops are behind it already is nobody's to say here.
    """

    driver_id: Id
    to: Destination
    end: Place
    stops: tuple[Place, ...] = ()


class Remaining(Struct, frozen=True):
    """A way and its time: metres, seconds."""

    distance_m: float
    duration_s: float

    def times(self, share: float) -> "Remaining":
        return Remaining(self.distance_m * share, self.duration_s * share)


def plan_of(
    status: Status | None,
    driver_id: Id | None,
    pickup: Place | None,
    dropoff: Place | None,
    stops: tuple[Place, ...],
) -> Plan | None:
    """The plan of a trip in this state; None while its driver heads for nothing that is known."""
    if driver_id is None:
        return None
    if status in (Status.ACCEPTED, Status.ARRIVING) and pickup is not None:
        return Plan(driver_id, Destination.PICKUP, pickup)
    if status is Status.IN_PROGRESS and dropoff is not None:
        return Plan(driver_id, Destination.DROPOFF, dropoff, stops)
    return None


def straight_m(way: Sequence[Spot | Place]) -> float:
    """Metres along straight lines from place to place."""
    return sum(distance_m(a.lat, a.lng, b.lat, b.lng) for a, b in pairwise(way))


def estimated(straight: float, speed: float) -> Remaining:
    """What straight lines of so many metres mean for who makes so many metres per second."""
    return Remaining(straight, straight * DETOUR / min(max(speed, SLOWEST_MPS), FASTEST_MPS))


def mean_speed(mean: float, start: Spot, end: Spot) -> float:
    """A driver's mean speed after it moved so, m/s. What is long ago counts less and less."""
    seconds = (end.ts - start.ts) / 1_000
    if seconds <= 0:
        return mean
    speed = distance_m(start.lat, start.lng, end.lat, end.lng) / seconds
    return speed + (mean - speed) * exp(-seconds / MEMORY_S)


def is_noticeable(told_s: float, now_s: float) -> bool:
    """Whether a time differs enough from what was told: by 15 s, or by a tenth."""
    return abs(now_s - told_s) >= min(NOTICEABLE_S, NOTICEABLE_SHARE * told_s or NOTICEABLE_S)
