"""How often a driver's place is shown: so often at most, and the newest is never left out."""

from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from math import ceil
from typing import Final

from handlers.ports import Later, Show
from models.fields import Id, Millis
from models.points import Point

TICK_MS: Final = 20
"""How much later than allowed what was held back may be shown; one timer serves all drivers."""
ALL_PER_S: Final = 1_000
"""From this rate on everything is shown as it comes."""


class Pace:
    """One driver's, on one connection: when it was shown, and what waits to be."""

    __slots__ = ("driver_id", "newest", "shown_at")

    def __init__(self, driver_id: Id) -> None:
        self.driver_id = driver_id
        self.shown_at: Millis = 0
        self.newest: tuple[Point, Millis, tuple[Id, ...]] | None = None
        """The point that waits, when it came in, and the trips it is for."""


class Pacer:
    """Shows points at once, or when their time comes: then only the newest of what came meanwhile.

    Costs nothing while nobody sends faster than is shown. Synchronous; `show` may not fail.
    """

    def __init__(self, per_s: int, show: Show, clock: Callable[[], Millis], later: Later) -> None:
        self._gap_ms = ceil(1_000 / per_s) if per_s < ALL_PER_S else 0
        self._show = show
        self._clock = clock
        self._later = later
        self._waiting: list[tuple[Millis, int, Pace]] = []
        """A heap: who is due first."""
        self._numbers = count()

    def offer(self, pace: Pace, point: Point, now: Millis, trips: tuple[Id, ...]) -> None:
        """A newer point than all before it. `now` is the clock's time, ms."""
        if pace.newest is not None:
            pace.newest = point, now, trips
        elif 0 <= now - pace.shown_at < self._gap_ms:
            pace.newest = point, now, trips
            self._wait(pace)
        else:
            pace.shown_at = now
            self._show(trips, point, pace.driver_id, now)

    def _wait(self, pace: Pace) -> None:
        if not self._waiting:
            self._later(TICK_MS, self._release)
        heappush(self._waiting, (pace.shown_at + self._gap_ms, next(self._numbers), pace))

    def _release(self) -> None:
        """Show what is due; also what never would be, because the clock was set back."""
        now = self._clock()
        waiting = self._waiting
        while waiting and not 0 < waiting[0][0] - now <= self._gap_ms:
            pace = heappop(waiting)[2]
            if pace.newest is not None:
                point, seen_at, trips = pace.newest
                pace.newest = None
                pace.shown_at = now
                self._show(trips, point, pace.driver_id, seen_at)
        if waiting:
            self._later(TICK_MS, self._release)
