"""When drivers arrive: worked out beside the locations' way, by the instance that receives them.

So each trip is looked after in one place, however many instances have somebody who looks at it.
"""

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from typing import Final, Protocol

from handlers.ports import Clock, Publish
from models import eta, rooms
from models.eta import Plan, Remaining, Spot
from models.facts import TripEta
from models.fields import Id, Millis
from models.points import Place, Point
from realtime.tasks import Tasks

TELL_EVERY_MS: Final = 5_000
"""How often a trip is looked at."""
TELL_AGAIN_MS: Final = 15_000
"""When it is told although it is as it was: for those who have come since."""
ROUTE_EVERY_MS: Final = 15_000
"""How often a trip's route is asked for. In between, it shortens as the straight line does."""
ROUTE_GOOD_MS: Final = 60_000
"""How long a route counts when no newer one comes."""
AT_STOP_M: Final = 150
"""How near a driver comes to a stop that is then behind it."""
FORGET_MS: Final = 600_000


class Router(Protocol):
    @property
    def is_ready(self) -> bool:
        """Whether a route may be asked for now."""

    async def route(self, way: Sequence[Spot | Place]) -> Remaining | None:
        """The way over these places; None where nobody can tell. Takes a few seconds at most."""


Shown = Callable[[], Mapping[Id, Point]]
"""The newest point of each trip that was shown since the last call."""
Watched = Callable[[Collection[Id]], Awaitable[set[Id]]]
"""Which of these trips anybody looks at, on whichever instance."""


class _Routed:
    """A route, and how far it was in straight lines when it was asked for."""

    __slots__ = ("at", "remaining", "straight_m")

    def __init__(self, remaining: Remaining, straight_m: float, at: Millis) -> None:
        self.remaining = remaining
        self.straight_m = straight_m
        self.at = at

    def after(self, straight_m: float) -> Remaining:
        """What is left of it when it is so far in straight lines."""
        return self.remaining.times(straight_m / self.straight_m if self.straight_m else 0)


class _Course:
    """A trip's driver on its way."""

    __slots__ = ("asked_at", "looked_at", "passed", "plan", "routed", "speed", "spot", "told")

    def __init__(self, plan: Plan, spot: Spot) -> None:
        self.plan = plan
        self.spot = spot
        self.speed = eta.FIRST_MPS
        self.passed: set[Place] = set()
        """The stops that the driver has been at."""
        self.looked_at: Millis = 0
        self.asked_at: Millis = 0
        self.routed: _Routed | None = None
        self.told: TripEta | None = None

    def go_on(self, plan: Plan, spot: Spot) -> None:
        self.speed = eta.mean_speed(self.speed, self.spot, spot)
        self.spot = spot
        if plan != self.plan:
            self.plan, self.routed, self.asked_at = plan, None, 0
        for stop in plan.stops:
            if eta.straight_m((spot, stop)) <= AT_STOP_M:
                self.passed.add(stop)

    @property
    def way(self) -> list[Spot | Place]:
        ahead = (stop for stop in self.plan.stops if stop not in self.passed)
        return [self.spot, *ahead, self.plan.end]

    def remaining(self, now: Millis) -> Remaining:
        straight_m = eta.straight_m(self.way)
        if self.routed is not None and now - self.routed.at < ROUTE_GOOD_MS:
            return self.routed.after(straight_m)
        return eta.estimated(straight_m, self.speed)


class Etas:
    """Costs a shown location nothing but its place in a dictionary."""

    def __init__(
        self,
        *,
        shown: Shown,
        plan: Callable[[Id], Plan | None],
        publish: Publish,
        clock: Clock,
        tasks: Tasks,
        router: Router | None,
        watched: Watched,
    ) -> None:
        """`plan` is that of a trip which is driven here. Without a router lines are straight."""
        self._shown = shown
        self._plan = plan
        self._publish = publish
        self._clock = clock
        self._tasks = tasks
        self._router = router
        self._watched = watched
        self._courses: dict[Id, _Course] = {}

    async def look(self) -> None:
        """Look at the trips that were shown, each once in a while, and tell what has changed."""
        now = self._clock()
        ready = []
        for trip_id, point in self._shown().items():
            course = self._courses.get(trip_id)
            if course is not None and 0 <= now - course.looked_at < TELL_EVERY_MS:
                continue
            course = self._followed(trip_id, point)
            if course is not None:
                course.looked_at = now
                ready.append(trip_id)
        waiting = await self._ask_routes(ready, now) if self._router is not None else set()
        for trip_id in ready:
            if trip_id not in waiting:
                self._tell(trip_id)

    def forget(self) -> None:
        """Drop the trips of which nothing was heard for long."""
        oldest = self._clock() - FORGET_MS
        self._courses = {
            trip_id: course
            for trip_id, course in self._courses.items()
            if course.looked_at >= oldest
        }

    def _followed(self, trip_id: Id, point: Point) -> _Course | None:
        plan = self._plan(trip_id)
        if plan is None:
            return None
        spot = Spot(point.lat, point.lng, point.ts)
        course = self._courses.get(trip_id)
        if course is None or course.plan.driver_id != plan.driver_id:
            course = self._courses[trip_id] = _Course(plan, spot)
        course.go_on(plan, spot)
        return course

    async def _ask_routes(self, trip_ids: Iterable[Id], now: Millis) -> set[Id]:
        """Ask for the routes that are due; returns the trips whose first one is to be waited for.

        Where the router is busy or left alone, nothing is waited for.
        """
        due = [each for each in trip_ids if now - self._courses[each].asked_at >= ROUTE_EVERY_MS]
        waiting: set[Id] = set()
        for trip_id in await self._watched(due) if due else ():
            course = self._courses[trip_id]
            if self._router is None or not self._router.is_ready:
                break
            course.asked_at = now
            self._tasks.start(self._ask_route(trip_id, course, self._router))
            if course.routed is None:
                waiting.add(trip_id)
        return waiting

    async def _ask_route(self, trip_id: Id, course: _Course, router: Router) -> None:
        plan, way, at = course.plan, course.way, self._clock()
        remaining = await router.route(way)
        if course.plan != plan:
            return
        is_first = course.routed is None
        if remaining is not None:
            course.routed = _Routed(remaining, eta.straight_m(way), at)
        if is_first and self._courses.get(trip_id) is course:
            self._tell(trip_id)

    def _tell(self, trip_id: Id) -> None:
        """Tell when the driver arrives, if that is news, or somebody may not know it yet."""
        course, now = self._courses[trip_id], self._clock()
        plan, told = course.plan, course.told
        if self._plan(trip_id) != plan:
            return  # the trip has moved on meanwhile
        remaining = course.remaining(now)
        if (
            told is not None
            and told.to is plan.to
            and now - told.at < TELL_AGAIN_MS
            and not eta.is_noticeable(told.duration_s, remaining.duration_s)
        ):
            return
        course.told = TripEta(
            trip_id, plan.to, round(remaining.distance_m), round(remaining.duration_s), now
        )
        self._publish(rooms.live(trip_id), course.told, source=plan.driver_id)
