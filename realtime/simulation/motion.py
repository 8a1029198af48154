"""How fast a car goes along its way: what it may, how it gains speed, how it brakes in time."""

import math
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Final

ACCELERATION: Final = 1.8
"""m/s²; so are the next two."""
BRAKING: Final = 2.5
SIDEWAYS: Final = 2.5


def corner_speed(radius_m: float) -> float:
    """How fast a corner can be taken, m/s."""
    return math.sqrt(SIDEWAYS * radius_m)


def profile(steps_m: Sequence[float], limits: Sequence[float]) -> list[tuple[float, float]]:
    """When (s) and how fast (m/s) each point of a way is passed, from standstill to standstill.

    `steps_m` are the distances from point to point (more than 0), `limits` the highest speed at
    each point in m/s: one more than steps. There have to be two steps or more.
    """
    speeds = _speeds(steps_m, limits)
    taken = (
        2 * step / (before + after)
        for step, (before, after) in zip(steps_m, pairwise(speeds), strict=True)
    )
    return list(zip(accumulate(taken, initial=0.0), speeds, strict=True))


def _speeds(steps_m: Sequence[float], limits: Sequence[float]) -> list[float]:
    """The highest speeds that keep to the limits and can be reached, and left, in time."""
    reached = _reachable(steps_m, [0.0, *limits[1:]], ACCELERATION)
    back = _reachable(steps_m[::-1], [0.0, *reached[-2::-1]], BRAKING)
    return back[::-1]


def _reachable(steps_m: Sequence[float], limits: Sequence[float], gain: float) -> list[float]:
    speeds = [limits[0]]
    for step, limit in zip(steps_m, limits[1:], strict=True):
        speeds.append(min(limit, math.sqrt(speeds[-1] ** 2 + 2 * gain * step)))
    return speeds
