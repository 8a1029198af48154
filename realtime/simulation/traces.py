"""Rides that were really driven, read from recorded traces.

A trace is text, also gzipped, with a line a fix, oldest first: latitude, longitude, occupied (1
with a passenger on board, else 0), Unix seconds. A ride is a run of occupied fixes. Receivers err:
of fixes in the same second the first counts, and where a trace has a gap or jumps, it is cut.
"""

import gzip
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from random import Random
from typing import Final

from msgspec import Struct

from realtime.simulation.course import Course, Journey, Waypoint
from realtime.simulation.ground import distance_m

GAP_S: Final = 180
MAX_SPEED: Final = 45.0
"""m/s; what would be faster is a receiver's error."""
MIN_RIDE_S: Final = 60
MIN_RIDE_M: Final = 200.0
"""Less is a taximeter that was switched on and off."""
APPROACH_S: Final = 10.0
"""How much of the way to the passenger is driven, at most."""
APPROACH_SHARE: Final = 0.25
_GZIP: Final = b"\x1f\x8b"


class TraceError(Exception):
    """A trace cannot be used. The message names the file and says why."""


class TraceFix(Struct, frozen=True):
    lat: float
    lng: float
    occupied: bool
    at_s: int


class TracedRide(Struct, frozen=True):
    """The way to the passenger, as far as it was recorded, and with the passenger."""

    course: Course
    pickup_s: float
    """When in the course the passenger got in."""

    def journey(self, longest_s: float) -> Journey:
        """The ride; of one that takes longer, its last part."""
        approach_s = min(APPROACH_S, longest_s * APPROACH_SHARE)
        pickup_s = max(self.pickup_s, self.course.end_s - (longest_s - approach_s))
        start_s = max(self.course.start_s, pickup_s - approach_s)
        return Journey(
            self.course.between(start_s, pickup_s), self.course.between(pickup_s, self.course.end_s)
        )


class Traces:
    """Recorded rides in a mixed order, for all drivers: each takes the next one (see `Routes`)."""

    def __init__(self, rides: Sequence[TracedRide], rng: Random) -> None:
        self._rides = rng.sample(rides, len(rides))
        self._next = 0

    def next(self, longest_s: float) -> Journey:
        ride = self._rides[self._next % len(self._rides)]
        self._next += 1
        return ride.journey(longest_s)


def load(paths: Iterable[Path]) -> list[TracedRide]:
    """All rides in these files. Raises TraceError, also when there is none."""
    rides = [ride for path in paths for ride in rides_of(read(path))]
    if not rides:
        raise TraceError("there is no ride in the traces: no run of occupied fixes is long enough")
    return rides


def read(path: Path) -> list[TraceFix]:
    try:
        data = path.read_bytes()
        text = (gzip.decompress(data) if data.startswith(_GZIP) else data).decode("ascii")
    except (OSError, EOFError, ValueError) as error:
        raise TraceError(f"{path} cannot be read as a trace: {error}") from error
    lines = enumerate(text.splitlines(), 1)
    return [_fix(line, f"{path}, line {number}") for number, line in lines if line.strip()]


def rides_of(fixes: Iterable[TraceFix]) -> Iterator[TracedRide]:
    for stretch in _stretches(fixes):
        end = 0
        for occupied, run in groupby(stretch, key=lambda fix: fix.occupied):
            start, end = end, end + len(list(run))
            ride = stretch[start:end]
            if occupied and _is_worth_driving(ride):
                yield _ride(stretch[max(0, start - 1) : start], ride)


def _fix(line: str, where: str) -> TraceFix:
    try:
        lat, lng, occupied, at_s = line.split()
        return TraceFix(float(lat), float(lng), occupied == "1", int(at_s))
    except ValueError as error:
        expected = "expected latitude, longitude, occupied and Unix seconds"
        raise TraceError(f"{where}: {expected}, got {line[:80]!r}") from error


def _stretches(fixes: Iterable[TraceFix]) -> Iterator[list[TraceFix]]:
    """The parts of a trace in which the vehicle can have moved as the fixes say."""
    stretch: list[TraceFix] = []
    for fix in fixes:
        if stretch and fix.at_s <= stretch[-1].at_s:
            continue
        if stretch and not _follows(stretch[-1], fix):
            yield stretch
            stretch = []
        stretch.append(fix)
    if stretch:
        yield stretch


def _follows(one: TraceFix, other: TraceFix) -> bool:
    seconds = other.at_s - one.at_s
    return seconds <= GAP_S and _distance(one, other) <= MAX_SPEED * seconds


def _is_worth_driving(ride: Sequence[TraceFix]) -> bool:
    if ride[-1].at_s - ride[0].at_s < MIN_RIDE_S:
        return False
    return max(_distance(ride[0], fix) for fix in ride) >= MIN_RIDE_M


def _ride(lead_in: Sequence[TraceFix], ride: Sequence[TraceFix]) -> TracedRide:
    waypoints = [Waypoint(fix.at_s, fix.lat, fix.lng) for fix in (*lead_in, *ride)]
    return TracedRide(Course(waypoints), ride[0].at_s)


def _distance(one: TraceFix, other: TraceFix) -> float:
    return distance_m(one.lat, one.lng, other.lat, other.lng)
