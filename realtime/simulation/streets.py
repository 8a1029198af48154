"""Streets to drive on where there are no recorded ones: a grid of blocks, made from a seed."""

import math
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from random import Random
from typing import Final

from msgspec import Struct

from realtime.simulation import motion
from realtime.simulation.course import Course, Journey, Waypoint
from realtime.simulation.ground import moved

CENTRE: Final = (41.3925, 2.1640)
ROTATION: Final = math.radians(45)
"""As in Barcelona's Eixample, whose streets run from corner to corner of the map."""
BLOCKS: Final = 24
BLOCK_M: Final = (90.0, 140.0)
CORNER_M: Final = 8.0
"""The radius in which a car turns."""
CORNER_STEPS: Final = 5
STEP_M: Final = 4.0
SPEED: Final = (9.0, 13.0)
"""How fast drivers like to go between crossings, m/s."""
SECONDS_PER_CROSSING: Final = 14
MAX_CROSSINGS: Final = 3

Metres = tuple[float, float]
Crossing = tuple[int, int]


class Spot(Struct, frozen=True):
    """A place at the kerb: from one crossing on the way to the next, so much of it done."""

    behind: Crossing
    ahead: Crossing
    share: float


class Streets:
    """The grid. `columns` and `rows` are where its streets run, in metres from the centre."""

    def __init__(self, rng: Random) -> None:
        self.columns = _lines(rng)
        self.rows = _lines(rng)

    def somewhere(self, rng: Random) -> Spot:
        behind = rng.randrange(BLOCKS), rng.randrange(BLOCKS)
        return Spot(behind, rng.choice(self.neighbours(behind)), rng.uniform(0.2, 0.4))

    def neighbours(self, crossing: Crossing) -> list[Crossing]:
        column, row = crossing
        around = ((column + 1, row), (column - 1, row), (column, row + 1), (column, row - 1))
        return [(c, r) for c, r in around if 0 <= c < BLOCKS and 0 <= r < BLOCKS]

    def crossing(self, crossing: Crossing) -> Metres:
        return self.columns[crossing[0]], self.rows[crossing[1]]

    def spot(self, spot: Spot) -> Metres:
        (x, y), (to_x, to_y) = self.crossing(spot.behind), self.crossing(spot.ahead)
        return x + (to_x - x) * spot.share, y + (to_y - y) * spot.share


class Cruise:
    """The rides of one driver, each beginning where the last one ended."""

    def __init__(self, streets: Streets, rng: Random) -> None:
        self._streets = streets
        self._rng = rng
        self._spot = streets.somewhere(rng)
        self._speed = rng.uniform(*SPEED)

    def next(self, longest_s: float) -> Journey:
        """See `Routes`. The rider waits further on in the same street."""
        crossings = max(1, min(MAX_CROSSINGS, int(longest_s / SECONDS_PER_CROSSING) - 1))
        return Journey(self._drive_on(0), self._drive_on(self._rng.randint(1, crossings)))

    def _drive_on(self, crossings: int) -> Course:
        """Over so many crossings, or else ahead in the same street."""
        spot = self._spot
        passed = list(self._turns(spot, crossings + 1))
        behind, ahead = passed[-2:]
        share = self._rng.uniform(0.2, 0.4) if crossings else self._rng.uniform(0.6, 0.8)
        self._spot = Spot(behind, ahead, share)
        corners = [self._streets.crossing(crossing) for crossing in passed[1:-1]]
        return self._course([self._streets.spot(spot), *corners, self._streets.spot(self._spot)])

    def _turns(self, spot: Spot, steps: int) -> Iterator[Crossing]:
        """The crossings from the one behind on: straight on or round a corner, never back."""
        behind, ahead = spot.behind, spot.ahead
        yield behind
        for _ in range(steps - 1):
            yield ahead
            onward = [c for c in self._streets.neighbours(ahead) if c != behind]
            behind, ahead = ahead, self._rng.choice(onward)
        yield ahead

    def _course(self, corners: Sequence[Metres]) -> Course:
        points, limits = _rounded(corners, self._speed)
        steps = [math.dist(one, other) for one, other in pairwise(points)]
        passed = zip(motion.profile(steps, limits), points, strict=True)
        waypoints = [Waypoint(at_s, *_degrees(point), speed) for (at_s, speed), point in passed]
        return Course(waypoints, round(self._rng.uniform(4, 12), 1))


def _lines(rng: Random) -> list[float]:
    gaps = [rng.uniform(*BLOCK_M) for _ in range(BLOCKS - 1)]
    return list(accumulate(gaps, initial=-sum(gaps) / 2))


def _degrees(point: Metres) -> tuple[float, float]:
    x, y = point
    east = x * math.cos(ROTATION) - y * math.sin(ROTATION)
    return moved(*CENTRE, east, x * math.sin(ROTATION) + y * math.cos(ROTATION))


def _rounded(corners: Sequence[Metres], speed: float) -> tuple[list[Metres], list[float]]:
    """Points along a way with its corners rounded, and how fast each may be passed."""
    points, limits = [corners[0]], [speed]
    for before, corner, after in zip(corners, corners[1:], corners[2:], strict=False):
        came, goes = _direction(before, corner), _direction(corner, after)
        if came == goes:
            continue
        arc = _arc(corner, came, goes)
        _straight_to(arc[0], points, limits, speed)
        points += arc[1:]
        limits += [motion.corner_speed(CORNER_M)] * (len(arc) - 1)
    _straight_to(corners[-1], points, limits, speed)
    return points, limits


def _straight_to(end: Metres, points: list[Metres], limits: list[float], speed: float) -> None:
    (x, y), (to_x, to_y) = points[-1], end
    steps = max(2, math.ceil(math.dist(points[-1], end) / STEP_M))
    for step in range(1, steps + 1):
        points.append((x + (to_x - x) * step / steps, y + (to_y - y) * step / steps))
        limits.append(speed)


def _arc(corner: Metres, came: Metres, goes: Metres) -> list[Metres]:
    """A quarter of a circle that cuts a right-angled corner."""
    centre = [c + CORNER_M * (b - a) for c, a, b in zip(corner, came, goes, strict=True)]
    points = []
    for step in range(CORNER_STEPS + 1):
        turned = math.pi / 2 * step / CORNER_STEPS
        ahead, aside = CORNER_M * math.sin(turned), CORNER_M * math.cos(turned)
        x, y = (m + ahead * a - aside * b for m, a, b in zip(centre, came, goes, strict=True))
        points.append((x, y))
    return points


def _direction(one: Metres, other: Metres) -> Metres:
    """Exactly along a row or a column."""
    (x, y), (to_x, to_y) = one, other
    return (to_x > x) - (to_x < x), (to_y > y) - (to_y < y)
