"""Tracks: which points belong to a trip, and what is made of them. Pure: no I/O, no clock."""

from collections.abc import Iterator, Sequence
from enum import StrEnum
from itertools import zip_longest
from typing import Final

from msgspec import Struct

from models.fields import Id, Millis
from models.points import Point
from models.trips import SERVED, Event, Status, Trip

MINUTE_MS: Final = 60_000
"""What one stored bucket spans. As a driver has one accepted point per ms at most, and mostly one a
second, it stays small whatever comes."""
FOREVER: Final[Millis] = 2**53
"""Later than every moment: the end of what has not ended."""


class Report(Struct, frozen=True, array_like=True):
    """Accepted points of one driver, as they wait for being kept."""

    driver_id: Id
    points: Sequence[Point]


class TrackMinute(Struct, frozen=True):
    """The points of one trip and driver within one minute (since the epoch)."""

    trip_id: Id
    driver_id: Id
    minute: int


class Phase(StrEnum):
    """What the driver was doing for the trip."""

    APPROACH = "approach"
    """On the way to the rider, and waiting for it: from `accepted` on."""
    RIDE = "ride"
    """From `in_progress` to the end."""


class Stint(Struct, frozen=True, array_like=True):
    """That a driver served a trip from `since` until before `until`, both in ms."""

    driver_id: Id
    since: Millis
    until: Millis = FOREVER


class Served(Struct, frozen=True):
    """A trip, and who served it when."""

    trip_id: Id
    stints: Sequence[Stint]

    @property
    def until(self) -> Millis:
        """When somebody served it last, ms."""
        return max((stint.until for stint in self.stints), default=0)

    @property
    def has_ended(self) -> bool:
        """Whether nobody serves it any more."""
        return self.until < FOREVER


class Part(Struct, frozen=True):
    """A piece of a track: one driver in one phase. Its points have since <= `ts` < until (ms)."""

    driver_id: Id
    phase: Phase
    since: Millis
    until: Millis = FOREVER


def parts(trip: Trip) -> list[Part]:
    """The pieces of a trip's track, in their order. The moment of an end belongs to what ended."""
    found: list[Part] = []
    for piece in _pieces(trip.events):
        before = found[-1] if found else None
        if (
            before is not None
            and (before.driver_id, before.phase) == (piece.driver_id, piece.phase)
            and before.until >= piece.since
        ):
            found[-1] = Part(before.driver_id, before.phase, before.since, piece.until)
        else:
            found.append(piece)
    return found


def stints(trip: Trip) -> list[Stint]:
    """Who served the trip, and when. A stint may get an end, but never another beginning."""
    found: list[Stint] = []
    for piece in _pieces(trip.events):
        before = found[-1] if found else None
        if before is not None and (before.driver_id, before.until) == (
            piece.driver_id,
            piece.since,
        ):
            found[-1] = Stint(before.driver_id, before.since, piece.until)
        else:
            found.append(Stint(piece.driver_id, piece.since, piece.until))
    return found


def minutes(part: Part, newest: Millis) -> range:
    """The minutes since the epoch that a part has points in, up to the newest there can be."""
    return range(part.since // MINUTE_MS, (min(part.until, newest + 1) - 1) // MINUTE_MS + 1)


def _pieces(events: Sequence[Event]) -> Iterator[Part]:
    """From each change of the trip to the next, as long as it is served."""
    for event, following in zip_longest(events, events[1:]):
        if event.driver_id is not None and event.status in SERVED:
            phase = Phase.RIDE if event.status is Status.IN_PROGRESS else Phase.APPROACH
            yield Part(event.driver_id, phase, event.at, _until(event, following))


def _until(event: Event, following: Event | None) -> Millis:
    if following is None:
        return FOREVER
    goes_on = following.status in SERVED and following.driver_id == event.driver_id
    return following.at if goes_on else following.at + 1
