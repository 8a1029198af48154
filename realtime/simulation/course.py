"""Where a vehicle is when: a way on the ground with the times along it."""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise
from typing import Final, Protocol

from msgspec import Struct

from realtime.simulation.ground import bearing, distance_m

_STANDING_M: Final = 0.5
"""What a vehicle has to move for its heading to change."""


class Waypoint(Struct, frozen=True):
    """A moment of a course: seconds, degrees, and m/s where that is known."""

    at_s: float
    lat: float
    lng: float
    speed: float | None = None


class Fix(Struct, frozen=True):
    """What a phone in the vehicle measures: degrees, m/s, metres."""

    lat: float
    lng: float
    heading: float
    speed: float
    accuracy: float | None


class Course:
    """Waypoints, oldest first; between two of them the vehicle goes straight.

    It gains or loses speed evenly between known speeds, and else keeps one.
    """

    def __init__(self, waypoints: Sequence[Waypoint], accuracy_m: float | None = None) -> None:
        self._waypoints = waypoints
        self._times = [waypoint.at_s for waypoint in waypoints]
        self._headings = _headings(waypoints)
        self._accuracy = accuracy_m

    @property
    def start_s(self) -> float:
        return self._times[0]

    @property
    def end_s(self) -> float:
        return self._times[-1]

    @property
    def duration_s(self) -> float:
        return self.end_s - self.start_s

    @property
    def start(self) -> Waypoint:
        return self._waypoints[0]

    @property
    def end(self) -> Waypoint:
        return self._waypoints[-1]

    @property
    def standing(self) -> "Course":
        """Waiting where this one begins."""
        return Course([self.start], self._accuracy)

    def at(self, at_s: float) -> Fix:
        """Where the vehicle is; it stands before its start and after its end."""
        index = bisect_right(self._times, at_s) - 1
        if index < 0 or index >= len(self._times) - 1:
            still = self.start if index < 0 else self.end
            heading = self._headings[0 if index < 0 else -1]
            return Fix(still.lat, still.lng, heading, 0.0, self._accuracy)
        before, after = self._waypoints[index], self._waypoints[index + 1]
        share, speed = _progress(before, after, at_s)
        return Fix(
            before.lat + (after.lat - before.lat) * share,
            before.lng + (after.lng - before.lng) * share,
            self._headings[index],
            speed,
            self._accuracy,
        )

    def between(self, start_s: float, end_s: float) -> "Course":
        """The part between two moments. Its waypoints keep their times."""
        inner = [w for w in self._waypoints if start_s < w.at_s < end_s]
        ends = [self._waypoint(start_s), *inner]
        if end_s > start_s:
            ends.append(self._waypoint(end_s))
        return Course(ends, self._accuracy)

    def _waypoint(self, at_s: float) -> Waypoint:
        fix = self.at(at_s)
        return Waypoint(at_s, fix.lat, fix.lng)


class Journey(Struct, frozen=True):
    """The courses of one ride: to the rider, and with the rider."""

    approach: Course
    drive: Course


class Routes(Protocol):
    """Where one driver's rides come from."""

    def next(self, longest_s: float) -> Journey:
        """The next ride, which should not take longer than this."""


def _distance(one: Waypoint, other: Waypoint) -> float:
    return distance_m(one.lat, one.lng, other.lat, other.lng)


def _progress(before: Waypoint, after: Waypoint, at_s: float) -> tuple[float, float]:
    """Which share of the way between two waypoints is done, and the speed."""
    whole_s = after.at_s - before.at_s
    time = (at_s - before.at_s) / whole_s
    start, end = before.speed, after.speed
    if start is None or end is None or start + end == 0:
        return time, _distance(before, after) / whole_s
    return time * (2 * start + (end - start) * time) / (start + end), start + (end - start) * time


def _headings(waypoints: Sequence[Waypoint]) -> list[float]:
    """Which way the vehicle looks from each waypoint on; standing, as it came."""
    headings: list[float] = []
    for one, other in pairwise(waypoints):
        if _distance(one, other) >= _STANDING_M:
            headings.append(bearing(one.lat, one.lng, other.lat, other.lng))
        else:
            headings.append(headings[-1] if headings else 0.0)
    return [*headings, headings[-1] if headings else 0.0]
