"""What came of a load so far: what was delivered and how fast, and what was not as it should be."""

import math
from array import array
from collections import Counter
from collections.abc import Sequence
from typing import Final

from bench.accounting import Spent
from bench.shapes import Outcome

_DISTURBED: Final = 0.05
"""The share of time that something else may run on the server's core."""


class Record:
    """Everything that goes wrong counts, from the first connection to the last."""

    __slots__ = ("delays", "events", "missing", "notes", "wrong")

    def __init__(self) -> None:
        self.events = 0
        self.delays: array[float] = array("d")
        """Seconds, of what was delivered since the measured time began."""
        self.missing = 0
        self.wrong = 0
        self.notes: Counter[str] = Counter()

    def start_measuring(self) -> None:
        """What was delivered until now was to warm up."""
        self.events = 0
        self.delays = array("d")

    def is_wrong(self, what: str) -> None:
        self.wrong += 1
        self.notes[what] += 1

    def is_missing(self, what: str, count: int = 1) -> None:
        if count:
            self.missing += count
            self.notes[what] += count

    def outcome(
        self,
        spent: Spent,
        *,
        events: int,
        delays: Sequence[float] = (),
        largest_gap_ms: float | None = None,
        scrape_ms: float | None = None,
        rss: tuple[int, int] = (0, 0),
    ) -> Outcome:
        """What is told of the load. `events` and `delays` are those of the measured time."""
        self._note_disturbance(spent)
        ordered = sorted(delays)
        return Outcome(
            events=events,
            seconds=spent.seconds,
            cpu_s=spent.cpu_s,
            p50_ms=percentile(ordered, 50),
            p99_ms=percentile(ordered, 99),
            largest_gap_ms=largest_gap_ms,
            scrape_ms=scrape_ms,
            rss_before=rss[0],
            rss_after=rss[1],
            missing=self.missing,
            wrong=self.wrong,
            generator_busy=spent.own_busy,
            note="; ".join(_noted(what, count) for what, count in self.notes.items()),
        )

    def _note_disturbance(self, spent: Spent) -> None:
        """Say so when a server had not had its core for itself. Several share one anyway."""
        share = sum(spent.waited_s) / spent.seconds
        if len(spent.waited_s) == 1 and share > _DISTURBED:
            self.notes[f"the server waited for its core {share:.0%} of the time"] += 1
        stolen = spent.stolen_s / spent.seconds
        if stolen > _DISTURBED:
            self.notes[f"the host took the servers' core {stolen:.0%} of the time"] += 1


def _noted(what: str, count: int) -> str:
    return what if count == 1 else f"{count} times: {what}"


def percentile(ordered: Sequence[float], share: float) -> float | None:
    """The smallest of the seconds that `share` percent do not exceed, in ms; None of nothing."""
    if not ordered:
        return None
    return ordered[max(0, math.ceil(len(ordered) * share / 100) - 1)] * 1000
