"""A store of tracks that refuses some points."""

from collections.abc import Callable, Mapping, Sequence

import pytest

from models.errors import Internal
from models.points import Point
from models.tracks import TrackMinute
from tests.handlers.world import World

Refused = Callable[[TrackMinute, Sequence[Point]], bool]


def of_driver(driver_id: str) -> Refused:
    return lambda minute, _points: minute.driver_id == driver_id


def with_seq(seq: int) -> Refused:
    return lambda _minute, points: seq in {point.seq for point in points}


def everything(_minute: TrackMinute, _points: Sequence[Point]) -> bool:
    return True


class Refusing:
    """What stands before a world's store of tracks, as long as `refused` is set."""

    def __init__(self, world: World, monkeypatch: pytest.MonkeyPatch, refused: Refused) -> None:
        self.refused: Refused | None = refused
        self.asked: list[set[str]] = []
        """The drivers of each write."""
        self._add = world.stores.tracks.add
        monkeypatch.setattr(world.stores.tracks, "add", self.add)

    async def add(self, points: Mapping[TrackMinute, Sequence[Point]]) -> None:
        self.asked.append({minute.driver_id for minute in points})
        refused = self.refused
        if refused is not None and any(refused(*some) for some in points.items()):
            raise Internal("the store refuses it")
        await self._add(points)
