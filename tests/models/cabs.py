"""Two real taxis, replayed through the filter: each fix is sent when it was measured."""

import os
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final

import pytest
from msgspec import Struct

from models.distances import distance_m
from models.filter import DEFAULT_LIMITS, Filter, Refusal
from models.points import Point
from realtime.simulation.traces import read

FOLDER: Final = Path(__file__).resolve().parents[3] / "shared" / "data" / "cabs"
TAXIS: Final = ("new_abboip", "new_ugthfu")


class Jump(Struct, frozen=True):
    """Refused fixes in a row."""

    start: Point
    """The newest accepted fix before."""
    refused: tuple[Point, ...]
    end: Point
    """The next one that was accepted."""

    @property
    def metres(self) -> int:
        """From where the taxi was last, to the first refused fix."""
        return round(_metres(self.start, self.refused[0]))

    @property
    def seconds(self) -> int:
        return (self.refused[0].ts - self.start.ts) // 1_000

    @property
    def detour(self) -> float:
        """How many times as long the way over the refused fixes is as the way without them."""
        way = [self.start, *self.refused, self.end]
        length = sum(_metres(a, b) for a, b in pairwise(way))
        return length / max(_metres(self.start, self.end), 1.0)


class Replay(Struct, frozen=True):
    sent: Sequence[Point]
    accepted: Sequence[Point]
    refused: Counter[str]
    jumps: Sequence[Jump]


def replay(taxi: str) -> Replay:
    """Skips the test where there are no traces; in CI there have to be."""
    path = FOLDER / f"{taxi}.txt.gz"
    if not path.exists():
        missing = f"no traces of taxis: {path} is not there"
        pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)
    known = Filter("cab", None, DEFAULT_LIMITS)
    sent = [Point(f.lat, f.lng, f.at_s * 1_000, n) for n, f in enumerate(read(path), 1)]
    accepted: list[Point] = []
    refused: Counter[str] = Counter()
    jumps: list[Jump] = []
    doubted: list[Point] = []
    for point in sent:
        taken = known.take(point, point.ts)
        if isinstance(taken, Refusal):
            refused[taken.value] += 1
            doubted.append(point)
            continue
        if doubted:
            jumps.append(Jump(accepted[-1], tuple(doubted), taken))
            doubted = []
        accepted.append(taken)
    return Replay(sent, accepted, refused, jumps)


def _metres(start: Point, end: Point) -> float:
    return distance_m(start.lat, start.lng, end.lat, end.lng)
