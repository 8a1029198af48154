"""What excuses lateness: faults while they last, and times in which the machine stood still."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from msgspec import Struct

from chaos.load.pulse import Interval

RETURN_S: Final = 5.0
"""After a fault's end, until everybody has everything again."""
SLACK_S: Final = 1.0
"""The way there and back, on a machine that is busy with everything at once."""


class Disturbance(Struct, frozen=True):
    """A fault as it happened, and the places from which no answer could come meanwhile."""

    interval: Interval
    silent: frozenset[str]
    forgetful: frozenset[str] = frozenset()
    """The places that lost what they had in memory only."""


class Conditions(Struct, frozen=True):
    """What the load met with. As it stands: nothing unusual."""

    disturbances: Sequence[Disturbance] = ()
    stalls: Sequence[Interval] = ()
    """Times in which the load's own process did not get to what was due."""
    places: Mapping[str, frozenset[str]] = {}
    """What a connection goes through, by the address that it was opened to."""
    slack_s: float = SLACK_S
    """How much longer than promised anything may take."""

    def awaited_s(self, address: str, begin: float, end: float) -> float:
        """How long an answer from there could be expected, between two times."""
        silences = self.silences(self.places.get(address, frozenset()))
        return outside(begin, end, [*silences, *self.stalls])

    def silences(self, places: frozenset[str]) -> list[Interval]:
        """When no answer could come from one of these."""
        return [d.interval for d in self.disturbances if d.silent & places]

    def lapses(self, places: frozenset[str]) -> list[Interval]:
        """When one of these lost what it had in memory."""
        return [d.interval for d in self.disturbances if d.forgetful & places]

    def calm_s(self, begin: float, end: float) -> float:
        """How much of the time between was without faults and what they leave behind."""
        faults = [Interval(d.interval.begin, d.interval.end + RETURN_S) for d in self.disturbances]
        return outside(begin, end, [*faults, *self.stalls])


def outside(begin: float, end: float, intervals: Iterable[Interval]) -> float:
    """How much of the time from `begin` to `end` is in none of the intervals."""
    left, reached = 0.0, begin
    for interval in sorted(intervals, key=lambda each: each.begin):
        if interval.begin >= end:
            break
        left += max(0.0, interval.begin - reached)
        reached = max(reached, interval.end)
    return left + max(0.0, end - reached)
