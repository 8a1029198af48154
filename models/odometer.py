"""How far somebody has driven, from where they were seen on the way."""

from typing import Final

from models.distances import distance_m
from models.points import Point

MOVE_M: Final = 10.0
"""Less than that is what a receiver makes of standing still; it counts when it adds up."""


class Odometer:
    """Adds up a way, its points oldest first."""

    __slots__ = ("_counted", "_newest", "_total")

    def __init__(self) -> None:
        self._counted: Point | None = None
        """Up to where the way is counted."""
        self._newest: Point | None = None
        self._total = 0.0

    @property
    def metres(self) -> int:
        """The way so far, with what is not counted yet as a straight line."""
        if self._counted is None or self._newest is None:
            return 0
        return round(self._total + _between(self._counted, self._newest))

    def pass_by(self, point: Point) -> None:
        self._newest = point
        if self._counted is None:
            self._counted = point
            return
        moved = _between(self._counted, point)
        if moved >= MOVE_M:
            self._total += moved
            self._counted = point


def _between(start: Point, end: Point) -> float:
    return distance_m(start.lat, start.lng, end.lat, end.lng)
