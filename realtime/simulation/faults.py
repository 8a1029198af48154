"""What goes wrong between a car and its server: points that are lost, jump, come twice or late."""

from collections import Counter
from math import cos, pi, sin
from random import Random
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from models.points import Point
from realtime.simulation.ground import moved

TELEPORT_M: Final = (2_000.0, 20_000.0)
TUNNEL_S: Final = (5.0, 20.0)
"""A server takes what is less late than half a minute without doubting the phone's clock."""
CLEAN_POINTS: Final = 3
"""How many points of a car that stands still convince a filter of where it is."""
EXPECTED: Final = (
    "NAME=NUMBER, comma-separated, of: loss, jitter, teleport, duplicate, reorder, tunnel"
)

Commands = list[list[Point]]
"""The points of each `driver:location` to send."""


class Faults(Struct, frozen=True):
    """How often each happens to a point, from 0 to 1; `jitter` is in metres."""

    loss: float = 0.0
    """It is never sent."""
    jitter: float = 0.0
    """It is off by so much, as a rule (a standard deviation to each side)."""
    teleport: float = 0.0
    """It is far off."""
    duplicate: float = 0.0
    """It is sent twice."""
    reorder: float = 0.0
    """It is sent after the next one."""
    tunnel: float = 0.0
    """A tunnel begins: what is measured in it is sent as one list at its end."""


def parse(text: str) -> Faults:
    """Raises ValueError, which says what was expected."""
    given: dict[str, float] = {}
    for part in text.split(","):
        name, _, number = part.strip().partition("=")
        if name not in Faults.__struct_fields__ or name in given:
            raise ValueError(f"expected {EXPECTED}; got {part!r}")
        given[name] = _amount(name, number)
    return Faults(**given)


def _amount(name: str, number: str) -> float:
    most = 10_000.0 if name == "jitter" else 1.0
    try:
        amount = float(number)
    except ValueError:
        amount = -1.0
    if not 0 <= amount <= most:
        raise ValueError(f"{name}: expected a number from 0 to {most:g}, got {number!r}")
    return amount


class Disturbance:
    """One phone's bad luck, the same in every run with the same random numbers."""

    def __init__(self, faults: Faults, rng: Random, happened: Counter[str]) -> None:
        """What goes wrong is added to `happened`."""
        self._faults = faults
        self._rng = rng
        self._happened = happened
        self._tunnel_ends = 0
        self._held: list[Point] = []
        """In a tunnel, or out of turn."""

    def disturb(self, point: Point) -> Commands:
        """What the phone sends, now that it has measured this."""
        if self._happens("loss"):
            return []
        point = self._displaced(point)
        if self._is_in_tunnel(point):
            self._held.append(point)
            return []
        if self._tunnel_ends:
            return [[*self.released(), point]]
        if not self._held and self._happens("reorder"):
            self._held.append(point)
            return []
        copies = 2 if self._happens("duplicate") else 1
        return [*([point] for _ in range(copies)), *([held] for held in self.released())]

    def released(self) -> list[Point]:
        """What was held back, oldest first; a tunnel is over."""
        held, self._held = self._held, []
        self._tunnel_ends = 0
        return held

    def _displaced(self, point: Point) -> Point:
        east, north = (self._rng.gauss(0, self._faults.jitter) for _ in range(2))
        if self._happens("teleport"):
            away, towards = self._rng.uniform(*TELEPORT_M), self._rng.uniform(0, 2 * pi)
            east, north = away * sin(towards), away * cos(towards)
        lat, lng = moved(point.lat, point.lng, east, north)
        return replace(point, lat=lat, lng=lng)

    def _is_in_tunnel(self, point: Point) -> bool:
        if not self._tunnel_ends and not self._held and self._happens("tunnel"):
            self._tunnel_ends = point.ts + round(1_000 * self._rng.uniform(*TUNNEL_S))
        return point.ts < self._tunnel_ends

    def _happens(self, name: str) -> bool:
        happens: bool = self._rng.random() < getattr(self._faults, name)
        self._happened[name] += happens
        return happens
