"""What Ridewire is to reach, and whether it did."""

from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from bench.figures import (
    CPU,
    GAP,
    MEMORY,
    P99,
    PER_CPU_SECOND,
    RATE,
    Figure,
    Measure,
    figure,
    ratio,
)
from bench.plan import Contestant, Row
from bench.results import Results
from bench.views import CALLED


class Goal(Struct, frozen=True):
    row: str
    measure: Measure
    limit: float
    at_least: bool
    """Else at most."""
    against: Contestant | None = None
    """Whose number Ridewire's is divided by; else it stands for itself."""

    def reached(self, found: Figure) -> bool:
        return found.median >= self.limit if self.at_least else found.median <= self.limit

    def __str__(self) -> str:
        bound = f"at {'least' if self.at_least else 'most'} {self.limit:.3g}"
        if self.against is None:
            return f"{self.measure.title}: {bound}"
        return f"{self.measure.title}: {bound} times that of {CALLED[self.against]}"


class Verdict(Struct, frozen=True):
    row: Row
    goal: Goal
    found: Figure | None
    """None when no round of the row, or of the other contestant, counts."""
    limit: Figure | None
    """What picows makes of it, bare: more is hardly to be had. None where it takes no part."""

    @property
    def reached(self) -> bool:
        return self.found is not None and self.goal.reached(self.found)


GOALS: Final = (
    Goal("relay", PER_CPU_SECOND, 2.5, True, Contestant.NODE),
    Goal("relay", PER_CPU_SECOND, 12, True, Contestant.STOCK),
    Goal("relay_two", PER_CPU_SECOND, 3.5, True, Contestant.NODE),
    Goal("relay_two", PER_CPU_SECOND, 18, True, Contestant.STOCK),
    Goal("paced_relay", P99, 1, False, Contestant.NODE),
    Goal("fan_out", PER_CPU_SECOND, 3, True, Contestant.NODE),
    Goal("fan_out", PER_CPU_SECOND, 10, True, Contestant.STOCK),
    Goal("connect", CPU, 650, False),
    Goal("idle", MEMORY, 20, False),
    Goal("leave", GAP, 250, False),
    Goal("chat", RATE, 4, True, Contestant.NODE),
    Goal("chat", CPU, 1 / 3, False, Contestant.NODE),
)


def verdicts(results: Results) -> Iterator[Verdict]:
    """On the goals of the rows that were run."""
    rows = {row.name: row for row in results.plan.rows}
    for goal in GOALS:
        if row := rows.get(goal.row):
            found, limit = (
                _found(results, row, goal, who) for who in (Contestant.RIDEWIRE, Contestant.PICOWS)
            )
            yield Verdict(row, goal, found, limit)


def _found(results: Results, row: Row, goal: Goal, who: Contestant) -> Figure | None:
    if goal.against is None:
        return figure(results, row, who, goal.measure)
    return ratio(results, row, goal.against, goal.measure, one=who)
