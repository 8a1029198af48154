"""What drivers have reported and Redis does not have yet, and who waits until it is safe."""

from collections.abc import Iterator, Sequence
from typing import Final

from msgspec import Struct

from models.fields import Id
from models.points import Point, Sighting
from realtime.overdue import Told

MAX_POINTS: Final = 200_000
"""Points for tracks in memory while no store takes them, some 300 bytes each."""
DRIVERS_AT_ONCE: Final = 500
_POINTS_AT_ONCE: Final = 2_000
MAX_PORTION: Final = 2 * _POINTS_AT_ONCE
"""Points of one write: fewer than this."""


class Portion(Struct, frozen=True):
    """What goes in one write: drivers' newest points, and points for tracks by driver."""

    sightings: Sequence[Sighting] = ()
    points: Sequence[tuple[Id, Sequence[Point]]] = ()

    @property
    def count(self) -> int:
        return sum(len(points) for _, points in self.points)


class Unsaved:
    """One flush at a time takes all that is there; what it could not save it puts back."""

    def __init__(self) -> None:
        self.sightings: dict[Id, Sighting] = {}
        self.points: dict[Id, list[Point]] = {}
        self.dropped = 0
        """Points that there was no room for, ever."""
        self._count = 0
        self._waiting: list[tuple[Id, Told]] = []
        self._taken: Unsaved | None = None
        """What a flush is about to save."""

    def __len__(self) -> int:
        return self._count + len(self.sightings)

    def __bool__(self) -> bool:
        return bool(self.sightings or self.points or self._waiting)

    @property
    def is_full(self) -> bool:
        """Whether further points are dropped."""
        taken = self._taken._count if self._taken is not None else 0
        return self._count + taken >= MAX_POINTS

    def newest(self, driver_id: Id) -> Sighting | None:
        """A driver's newest point, unless a store has it already."""
        here = self.sightings.get(driver_id)
        if here is None and self._taken is not None:
            return self._taken.sightings.get(driver_id)
        return here

    def has_points(self, driver_id: Id) -> bool:
        """Whether no store has some of a driver's points yet."""
        taken = self._taken
        return driver_id in self.points or (taken is not None and driver_id in taken.points)

    def note(self, sighting: Sighting) -> None:
        driver_id = sighting.driver_id
        known = self.sightings.get(driver_id)
        if known is None or sighting.point.ts >= known.point.ts:
            self.sightings[driver_id] = sighting

    def record(self, driver_id: Id, points: Sequence[Point]) -> None:
        if self.is_full:
            self.dropped += len(points)
            return
        self._count += len(points)
        known = self.points.get(driver_id)
        if known is None:
            self.points[driver_id] = list(points)
        else:
            known += points

    def tell(self, driver_id: Id, told: Told) -> None:
        """Have somebody told when all is safe that is there now of a driver."""
        self._waiting.append((driver_id, told))

    def take(self) -> "Unsaved":
        """All of it, until it is put back."""
        taken = self._taken = Unsaved()
        taken.sightings, self.sightings = self.sightings, {}
        taken.points, self.points = self.points, {}
        taken._count, self._count = self._count, 0
        taken._waiting, self._waiting = self._waiting, []
        return taken

    def put_back(self, taken: "Unsaved") -> None:
        """What is left of it, under what has come since."""
        self._taken = None
        self.sightings = taken.sightings | self.sightings
        for driver_id, since in self.points.items():
            taken.points.setdefault(driver_id, []).extend(since)
        self.points = taken.points
        self._count += taken._count
        self._waiting = taken._waiting + self._waiting

    def end(self) -> None:
        """Tell those who wait whether it is."""
        waiting, self._waiting = self._waiting, []
        for driver_id, told in waiting:
            told(driver_id not in self.points)

    def saved(self, portion: Portion) -> None:
        """So much of it is safe."""
        for sighting in portion.sightings:
            self.sightings.pop(sighting.driver_id, None)
        for driver_id, points in portion.points:
            left = self.points.pop(driver_id)[len(points) :]
            if left:
                self.points[driver_id] = left
        self._count -= portion.count

    def portions(self) -> Iterator[Portion]:
        """All of it, in writes of a sane size; a driver's newest point comes with its last points.

        Whoever has both is first among those with points, so that neither waits for the other.
        """
        idle = [s for driver_id, s in self.sightings.items() if driver_id not in self.points]
        for start in range(0, len(idle), DRIVERS_AT_ONCE):
            yield Portion(sightings=idle[start : start + DRIVERS_AT_ONCE])
        sightings: list[Sighting] = []
        some: list[tuple[Id, Sequence[Point]]] = []
        count = 0
        for driver_id, points in list(self.points.items()):
            for start in range(0, len(points), _POINTS_AT_ONCE):
                some.append((driver_id, points[start : start + _POINTS_AT_ONCE]))
                count += len(some[-1][1])
                is_last = start + _POINTS_AT_ONCE >= len(points)
                if is_last and driver_id in self.sightings:
                    sightings.append(self.sightings[driver_id])
                if count >= _POINTS_AT_ONCE or len(some) >= DRIVERS_AT_ONCE:
                    yield Portion(sightings, some)
                    sightings, some, count = [], [], 0
        if some:
            yield Portion(sightings, some)
