"""Numbers from outcomes: what is measured of each, medians and spread over rounds, ratios."""

from collections.abc import Callable, Iterable
from statistics import median
from typing import Self

from msgspec import Struct

from bench.plan import Contestant, Row
from bench.results import Results
from bench.shapes import Outcome

KIB = 1_024


class Measure(Struct, frozen=True):
    """One number of an outcome."""

    title: str
    of: Callable[[Outcome], float | None]
    """None where the load has no such number."""
    with_spread: bool = True
    """Whether tables show how far the rounds are apart."""


class Figure(Struct, frozen=True):
    """What the rounds that count gave."""

    median: float
    lowest: float
    highest: float

    @classmethod
    def over(cls, values: Iterable[float | None]) -> Self | None:
        """None of nothing."""
        known = [value for value in values if value is not None]
        return cls(median(known), min(known), max(known)) if known else None

    def text(self, *, with_spread: bool = True) -> str:
        """The median, with the lowest and the highest where those look different."""
        shown, lowest, highest = map(number, (self.median, self.lowest, self.highest))
        return f"{shown} ({lowest}…{highest})" if with_spread and lowest != highest else shown


def figure(results: Results, row: Row, contestant: Contestant, measure: Measure) -> Figure | None:
    return Figure.over(map(measure.of, results.good(row, contestant).values()))


def ratio(
    results: Results,
    row: Row,
    other: Contestant,
    measure: Measure,
    *,
    one: Contestant = Contestant.RIDEWIRE,
) -> Figure | None:
    """One's number divided by the other's, round by round, where both count."""
    ours, theirs = (results.good(row, who) for who in (one, other))
    return Figure.over(
        _quotient(measure.of(ours[number]), measure.of(theirs[number]))
        for number in ours.keys() & theirs.keys()
    )


def number(value: float) -> str:
    """Three digits, or all before the point: 0.33, 15.9, 61,478."""
    decimals = 2 if value < 10 else 1 if value < 100 else 0
    return f"{value:,.{decimals}f}"


def _quotient(ours: float | None, theirs: float | None) -> float | None:
    return ours / theirs if ours is not None and theirs else None


def _cpu_us(outcome: Outcome) -> float | None:
    return sum(outcome.cpu_s) / outcome.events * 1e6


def _per_cpu_second(outcome: Outcome) -> float | None:
    cpu_s = sum(outcome.cpu_s)
    return outcome.events / cpu_s if cpu_s else None


def _per_second(outcome: Outcome) -> float | None:
    return outcome.events / outcome.seconds if outcome.seconds else None


def _memory_kib(outcome: Outcome) -> float | None:
    return (outcome.rss_after - outcome.rss_before) / outcome.events / KIB


def _server_busy(outcome: Outcome) -> float | None:
    return sum(outcome.cpu_s) / outcome.seconds * 100 if outcome.seconds else None


def _busy(outcome: Outcome) -> float | None:
    return outcome.generator_busy * 100


CPU = Measure("CPU µs per event", _cpu_us)
PER_CPU_SECOND = Measure("events per CPU second", _per_cpu_second, with_spread=False)
RATE = Measure("events/s", _per_second)
P50 = Measure("p50 ms", lambda outcome: outcome.p50_ms, with_spread=False)
P99 = Measure("p99 ms", lambda outcome: outcome.p99_ms)
GAP = Measure("largest gap ms", lambda outcome: outcome.largest_gap_ms)
MEMORY = Measure("KiB a connection", _memory_kib)
SCRAPE = Measure("CPU ms to read /metrics", lambda outcome: outcome.scrape_ms)
SERVER_BUSY = Measure("server busy %", _server_busy, with_spread=False)
BUSY = Measure("generator busy %", _busy, with_spread=False)
