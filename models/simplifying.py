"""A line with fewer points that is nowhere further from the whole one than a tolerance.

The algorithm is Douglas and Peucker's (1973), run on windows of some hundred points whose ends are
kept: so a line of any length needs the memory of one window, and keeps few points more.
"""

from collections.abc import Sequence
from math import cos, hypot, radians
from typing import Final

from models.distances import DEGREE_M
from models.points import Point

WINDOW: Final = 500
"""Points. Also a bound for the time that one window takes, which grows with its square."""

_Place = tuple[float, float]


class Simplifier:
    """Simplifies one line, piece by piece."""

    __slots__ = ("_tolerance_m", "_window")

    def __init__(self, tolerance_m: float) -> None:
        self._tolerance_m = tolerance_m
        self._window: list[Point] = []

    def take(self, points: Sequence[Point]) -> list[Point]:
        """Go on with the line; what is sure to be kept of it by now."""
        kept: list[Point] = []
        for point in points:
            self._window.append(point)
            if len(self._window) == WINDOW:
                kept += _simplified(self._window, self._tolerance_m)[:-1]
                self._window = [point]
        return kept

    def end(self) -> list[Point]:
        """The rest of the line."""
        rest, self._window = self._window, []
        return _simplified(rest, self._tolerance_m)


def _simplified(points: Sequence[Point], tolerance_m: float) -> list[Point]:
    if len(points) < 3:
        return list(points)
    places = _flat(points)
    kept = {0, len(points) - 1}
    spans = [(0, len(points) - 1)]
    while spans:
        start, end = spans.pop()
        furthest, away = _furthest(places, start, end)
        if away > tolerance_m:
            kept.add(furthest)
            spans += [(start, furthest), (furthest, end)]
    return [points[index] for index in sorted(kept)]


def _flat(points: Sequence[Point]) -> list[_Place]:
    """Metres east and north of the first point. Rather too far east than too little, so that no
    distance seems shorter than it is.
    """
    east_m = DEGREE_M * cos(radians(min(abs(point.lat) for point in points)))
    first = points[0]
    return [
        ((((point.lng - first.lng + 180) % 360) - 180) * east_m, (point.lat - first.lat) * DEGREE_M)
        for point in points
    ]


def _furthest(places: Sequence[_Place], start: int, end: int) -> tuple[int, float]:
    """Which place between two is furthest from the straight line from one to the other, in m."""
    furthest, most = start, 0.0
    from_x, from_y = places[start]
    line_x, line_y = places[end][0] - from_x, places[end][1] - from_y
    square = line_x * line_x + line_y * line_y
    for index in range(start + 1, end):
        x, y = places[index][0] - from_x, places[index][1] - from_y
        share = (x * line_x + y * line_y) / square if square else 0.0
        share = min(1.0, max(0.0, share))
        away = hypot(x - share * line_x, y - share * line_y)
        if away > most:
            furthest, most = index, away
    return furthest, most
