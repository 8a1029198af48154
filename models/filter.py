"""Which of a driver's points are news and can be true. Pure: no I/O, no clock of its own."""

from enum import StrEnum
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from models.distances import DEGREE_M, distance_m
from models.fields import Millis
from models.points import ClockDoubt, FilterState, Point, Sighting

UNSURE_M: Final = 25.0
"""What a position may be wrong by, whatever the phone says or does not say of its accuracy."""
LATE_MS: Final = 30_000
"""A point that comes in later than this was kept back, or its phone's clock is wrong."""
SAME_CLOCK_MS: Final = 1_000
"""By how much points of one wrong clock may differ: by what the network takes."""
CLOCK_POINTS: Final = 3
CLOCK_MS: Final = 2_000
"""How many points, over how long, show that a clock is wrong."""
JUMP_POINTS: Final = 3
"""How many points that agree with each other make a jump believed."""
MAX_ODD: Final = 2
"""How many points in a row may be taken although the one before them does not reach them. One wrong
point makes two: itself, and the right one after it."""


class Refusal(StrEnum):
    """Why a point is not taken."""

    FUTURE = "future"
    DUPLICATE = "duplicate"
    STALE = "stale"
    INACCURATE = "inaccurate"
    IMPLAUSIBLE = "implausible"


class Limits(Struct, frozen=True):
    """What a point of this vehicle can be like: ms, metres, metres per second."""

    future_ms: Millis = 5_000
    """How far a phone's clock may be ahead without being corrected."""
    max_accuracy_m: float = 200.0
    max_speed_mps: float = 70.0


DEFAULT_LIMITS: Final = Limits()


class Filter:
    """One driver's points from one device. The newest accepted one decides what is next.

    - Its clock: three points in a row that are too early or too late by the same show that it is
      wrong. From then on each `ts` is corrected. What is too early until then is refused.
    - A point has to be newer than the newest accepted one, and accurate enough.
    - It has to be within reach of the newest accepted one, unless that is the one to doubt: there
      was only one, or it was reached with more haste than the new one would have been.
    - Any other is refused, unless it agrees with the last two that were: then the vehicle really is
      elsewhere.
    """

    __slots__ = ("_future_ms", "_max_accuracy", "_reach", "device", "newest", "source", "state")

    def __init__(self, device: str, last: Sighting | None, limits: Limits) -> None:
        """Go on from what is known of the driver. A clock is known for its own device only."""
        self.device = device
        self.newest = last.point if last else None
        self.source = last.device if last else device
        """The device that the newest accepted point is from."""
        self.state = last.filtered if last else FilterState()
        if self.source != device:
            self.state = replace(self.state, ahead_ms=0, clock=None)
        self._future_ms = limits.future_ms
        self._max_accuracy = limits.max_accuracy_m
        self._reach = limits.max_speed_mps / 1_000

    def take(self, point: Point, now: Millis, *, live: bool = True) -> Point | Refusal:
        """The accepted point, its `ts` in the server's time; or why it is refused.

        `live` is whether it is the newest that the phone has: that tells of its clock.
        """
        clock = None
        if self.state.ahead_ms or not -LATE_MS < point.ts - now <= self._future_ms:
            if live:
                self._hear_clock(point, now)
            point, clock = self._timed(point), self.state.clock
            if point.ts > now + self._future_ms:
                return Refusal.FUTURE
        if refusal := self._is_no_news(point):
            return refusal
        accuracy = point.accuracy
        if accuracy is not None and accuracy > self._max_accuracy:
            return Refusal.INACCURATE
        # What the vehicle can have moved to since the newest accepted point, or may.
        if self.newest is None or self._reaches(self.newest, point):
            return self._accept(point, 0, clock)
        if self._may_be_right(point):
            return self._accept(point, self.state.odd + 1, clock)
        return self._doubt(point)

    def _is_no_news(self, point: Point) -> Refusal | None:
        newest = self.newest
        if newest is None:
            return None
        if point.ts == newest.ts or (point.seq == newest.seq and self.source == self.device):
            return Refusal.DUPLICATE
        return Refusal.STALE if point.ts < newest.ts else None

    def _accept(self, point: Point, odd: int, clock: ClockDoubt | None) -> Point:
        self.state = FilterState(self.newest, odd, (), self.state.ahead_ms, clock)
        self.newest = point
        self.source = self.device
        return point

    def _reaches(self, start: Point, end: Point) -> bool:
        """Whether the vehicle can have moved so. `end` is the later one."""
        reach = self._reach * (end.ts - start.ts)
        # The way along a meridian and a parallel is no shorter, and for a car it mostly tells.
        detour = (abs(end.lat - start.lat) + abs(end.lng - start.lng)) * DEGREE_M
        if detour <= reach:
            return True
        unsure = max(start.accuracy or 0, UNSURE_M) + max(end.accuracy or 0, UNSURE_M)
        return distance_m(start.lat, start.lng, end.lat, end.lng) <= reach + unsure

    def _may_be_right(self, point: Point) -> bool:
        """Whether, of a point and the newest that does not reach it, the newest may be wrong."""
        newest, before, odd = self.newest, self.state.before, self.state.odd
        if newest is None or before is None:
            return True
        if odd >= MAX_ODD or not self._reaches(before, point):
            return False
        return odd > 0 or _speed(before, point) < _speed(before, newest)

    def _doubt(self, point: Point) -> Point | Refusal:
        """Refuse a jump, but keep it in mind; accept it when enough points have agreed."""
        doubted = self.state.doubted
        if doubted and point.ts <= doubted[-1].ts:
            return Refusal.IMPLAUSIBLE
        if not doubted or not self._reaches(doubted[-1], point):
            doubted = ()
        if len(doubted) == JUMP_POINTS - 1:
            return self._accept(point, 0, self.state.clock)
        self.state = replace(self.state, doubted=(*doubted, point))
        return Refusal.IMPLAUSIBLE

    def _timed(self, point: Point) -> Point:
        """The point in the server's time, as far as the phone's clock is known."""
        ahead_ms = self.state.ahead_ms
        return replace(point, ts=max(0, point.ts - ahead_ms)) if ahead_ms else point

    def _hear_clock(self, point: Point, now: Millis) -> None:
        """Learn from a point that has just been measured how far the phone's clock is ahead."""
        state = self.state
        ahead = point.ts - now
        lead = ahead - state.ahead_ms
        if -LATE_MS < lead <= self._future_ms:
            # A known clock is never shown ahead: who came through faster knows better.
            better = ahead if state.ahead_ms and lead > 0 else state.ahead_ms
            if better != state.ahead_ms or state.clock is not None:
                self.state = replace(state, ahead_ms=better, clock=None)
            return
        if self._is_repeated(point):
            return
        clock = _agreeing(state.clock, point, now)
        if clock.points < CLOCK_POINTS or now - clock.since < CLOCK_MS:
            self.state = replace(state, clock=clock)
            return
        is_right = -LATE_MS < clock.ahead_to <= self._future_ms
        self.state = replace(state, ahead_ms=0 if is_right else clock.ahead_to, clock=None)

    def _is_repeated(self, point: Point) -> bool:
        """Whether the device sent it before: then its age says nothing of the clock."""
        newest, clock = self.newest, self.state.clock
        if clock is not None and point.seq <= clock.seq:
            return True
        return newest is not None and self.source == self.device and point.seq <= newest.seq


def _speed(start: Point, end: Point) -> float:
    """Metres per ms from the one to the later other."""
    return distance_m(start.lat, start.lng, end.lat, end.lng) / (end.ts - start.ts)


def _agreeing(doubt: ClockDoubt | None, point: Point, now: Millis) -> ClockDoubt:
    """The doubt with one more point; anew, if the point does not say the same."""
    ahead = point.ts - now
    if doubt is not None and point.ts > doubt.ts and now > doubt.seen_at:
        low, high = min(doubt.ahead_from, ahead), max(doubt.ahead_to, ahead)
        if high - low <= SAME_CLOCK_MS:
            return ClockDoubt(low, high, doubt.points + 1, doubt.since, now, point.ts, point.seq)
    return ClockDoubt(ahead, ahead, 1, now, now, point.ts, point.seq)
