"""A driver's points: which are news, where the newest goes. Synchronous: nothing waits for it."""

from collections import deque
from collections.abc import Sequence
from typing import Final

from handlers.answers import Located, Rejected
from handlers.pacing import Pace, Pacer
from handlers.ports import Clock, Drivers, Later, Show
from models.errors import Unavailable
from models.fields import Id, Millis
from models.filter import DEFAULT_LIMITS, Filter, Limits, Refusal
from models.points import FilterState, Point, Sighting

LATE_MS: Final = 2_000
"""A point that comes in later than this may belong to a trip that has ended."""
RECENT_MS: Final = 15_000
"""How long it may take to hear of a trip's beginning or end, with what a phone may be ahead."""
MAX_RECENT: Final = 100
"""Points of so long, of a driver without a trip."""


class Reporter:
    """One driver's stream of points from one device, on one connection."""

    __slots__ = ("driver_id", "filter", "noted", "pace", "recent", "recorded_until", "seen_at")

    def __init__(
        self,
        driver_id: Id,
        device: str,
        last: Sighting | None,
        limits: Limits = DEFAULT_LIMITS,
        *,
        now: Millis = 0,
    ) -> None:
        """Go on after what is known of the driver. `now` is when it begins, ms."""
        self.driver_id = driver_id
        self.filter = Filter(device, last, limits)
        self.pace = Pace(driver_id)
        self.seen_at = last.seen_at if last else 0
        """When the newest accepted point came in."""
        self.noted: FilterState = self.filter.state
        """What others know of the filter."""
        self.recorded_until: Millis = now + RECENT_MS
        """Until when points are recorded although no trip is heard of: one may just have ended."""
        self.recent: deque[Point] = deque(maxlen=MAX_RECENT)
        """The newest points that were not: a trip that is not heard of yet may have begun."""

    @property
    def newest(self) -> Point | None:
        """The newest accepted point."""
        return self.filter.newest

    def remember(self, points: Sequence[Point]) -> None:
        """They are in no track unless a trip is heard of soon."""
        recent = self.recent
        recent.extend(points)
        if recent[0].ts < points[0].ts - RECENT_MS:
            recent.popleft()

    def record_recent(self, drivers: Drivers) -> None:
        """The driver begins to serve a trip, or leaves: what came just before may count."""
        if self.recent:
            drivers.record(self.driver_id, list(self.recent))
            self.recent.clear()


class LocationHandler:
    """Takes points, and shows the newest, at most `per_s` times a second."""

    def __init__(
        self, drivers: Drivers, show: Show, clock: Clock, later: Later, *, per_s: int
    ) -> None:
        self._drivers = drivers
        self._clock = clock
        self._pacer = Pacer(per_s, show, clock, later)

    def take(self, reporter: Reporter, point: Point, trips: tuple[Id, ...]) -> str | None:
        """Take one point, and show it to the trips that the driver serves.

        Returns why it was not taken; None for one that was.
        """
        now = self._clock()
        taken = reporter.filter.take(point, now)
        if isinstance(taken, Point):
            self._note(reporter, (taken,), now, trips)
            return None
        self._note_doubts(reporter)
        return taken

    def report(
        self,
        reporter: Reporter,
        points: Sequence[Point | Rejected],
        trips: tuple[Id, ...],
        *,
        is_answered: bool,
    ) -> Located:
        """Take the points in order; the newest goes to the trips that the driver serves.

        What could not be read as a point arrives as rejected already, at its place. An answer says
        that the points are safe, so what `is_answered` does not wait in memory for its trip.

        Raises Unavailable, and has taken nothing, where they could not be kept: sent again, they
        must not pass for points that the server has.
        """
        if is_answered and not self._drivers.has_room():
            raise Unavailable("there is no room for points until a store takes them")
        now = self._clock()
        accepted: list[Point] = []
        rejected: list[Rejected] = []
        last = len(points) - 1
        for place, point in enumerate(points):
            if isinstance(point, Rejected):
                rejected.append(point)
                continue
            taken = reporter.filter.take(point, now, live=place == last)
            if isinstance(taken, Refusal):
                rejected.append(Rejected(point.seq, taken))
            else:
                accepted.append(taken)
        if accepted:
            self._note(reporter, accepted, now, trips, is_answered=is_answered)
        else:
            self._note_doubts(reporter)
        return Located(accepted=len(accepted), rejected=rejected)

    def _note(
        self,
        reporter: Reporter,
        points: Sequence[Point],
        now: Millis,
        trips: tuple[Id, ...],
        *,
        is_answered: bool = False,
    ) -> None:
        """Keep accepted points, and show the newest.

        All that may belong to a trip go into tracks; that is not for this instance to know for
        sure, as it hears of trips a little later.
        """
        known, newest = reporter.filter, points[-1]
        reporter.noted = state = known.state
        reporter.seen_at = now
        sighting = Sighting(reporter.driver_id, newest, known.source, now, state)
        may_count = trips or now < reporter.recorded_until or points[0].ts < now - LATE_MS
        if may_count or is_answered:
            if reporter.recent:
                reporter.record_recent(self._drivers)
            self._drivers.saw(sighting, points)
        else:
            reporter.remember(points)
            self._drivers.saw(sighting)
        if trips:
            reporter.recorded_until = now + RECENT_MS
            self._pacer.offer(reporter.pace, newest, now, trips)

    def _note_doubts(self, reporter: Reporter) -> None:
        """Keep what refused points have told, for whichever instance the driver is on next."""
        known = reporter.filter
        if known.newest is None or known.state is reporter.noted:
            return
        reporter.noted = known.state
        seen_at, state = reporter.seen_at, known.state
        self._drivers.saw(Sighting(reporter.driver_id, known.newest, known.source, seen_at, state))
